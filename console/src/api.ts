/* Calls to the server that this page came from. Every refusal is a Problem; a server that cannot be reached makes
 * `reachable` false until it answers again, and whoever watches `generation` then loads again. */
import { Num, isObject, parse, type Json, type JsonObject } from "./lib/json.ts";
import { store } from "./lib/store.ts";

export const reachable = store(true);
export const generation = store(0); /* how often the server has come back */

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly hint: string,
    readonly name_: string, /* "conflict" of urn:cairn:problem:conflict; "offline" when there was no answer */
    readonly body: JsonObject,
  ) {
    super(detail || title);
  }
}

const textOf = (value: Json | undefined): string => (typeof value === "string" ? value : "");

function problemOf(status: number, body: string): Problem {
  let json: JsonObject = {};
  try {
    const parsed = parse(body);
    if (isObject(parsed)) json = parsed;
  } catch {
    /* no problem+json: a proxy in between, perhaps */
  }
  const title = textOf(json.title) || `The server answered ${status}`;
  return new Problem(status, title, textOf(json.detail) || (json.title ? "" : body.slice(0, 300)), textOf(json.hint), textOf(json.type).replace("urn:cairn:problem:", ""), json);
}

const OFFLINE = () => new Problem(0, "The server cannot be reached", "", "It is asked again every other second.", "offline", {});

let watching = false;
async function watchForReturn(): Promise<void> {
  if (watching) return;
  watching = true;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    try {
      const answer = await fetch("/healthz", { cache: "no-store" });
      if (answer.ok) break;
    } catch {
      /* not yet */
    }
  }
  watching = false;
  reachable.set(true);
  generation.set(generation.get() + 1);
}

export function lost(): void {
  reachable.set(false);
  void watchForReturn();
}

export interface Call {
  method?: string;
  body?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export async function call(path: string, { method = "GET", body, headers = {}, signal }: Call = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      body: body ?? null,
      headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      signal: signal ?? null,
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    lost();
    throw OFFLINE();
  }
  if (!answer.ok) throw problemOf(answer.status, await answer.text());
  return answer;
}

export async function json<T>(path: string, options?: Call): Promise<T> {
  const answer = await call(path, options);
  const text = await answer.text();
  return (text === "" ? null : parse(text)) as T;
}

/* Positions and counts fit a double for every log there will be; Num only occurs in users' data. */
export const num = (value: Json | undefined): number => (typeof value === "number" ? value : value instanceof Num ? Number(value) : 0);

export function key(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/* ---- what the paths answer ---------------------------------------------------------------------- */

export interface CairnEvent {
  position: number;
  stream: string;
  revision: number;
  time: string;
  id: string;
  type: string;
  data?: Json;
  data_base64?: string;
  content_type?: string;
  meta?: JsonObject;
  tags?: string[];
  schema_id?: number;
}
export interface EventPage {
  events: CairnEvent[];
  next: number | null;
  end: boolean;
  exists?: boolean;
}
export interface StreamPage {
  streams: { stream: string; first_position: number }[];
  next: string | null;
  end: boolean;
}
export interface StreamInfo {
  stream: string;
  exists: boolean;
  tombstoned: boolean;
  first_revision: number;
  last_revision: number;
  last_position: number;
  retention: { max_count: number | null; max_age: string | null; truncate_before: number | null };
}
export interface Stats {
  version: string;
  store: Record<string, number> & { log_id: string; first_time: string | null; last_time: string | null; failed: boolean; disk_full: boolean; failure?: string };
  server: Record<string, number>;
}
export interface Failure {
  position?: number;
  stream?: string;
  type?: string;
  error: string;
  tries?: number;
  retrying?: boolean;
}
export interface ProjectionStatus {
  name: string;
  state: string;
  position: number;
  end: number;
  lag: number;
  events_per_s?: number;
  eta_s?: number | null;
  rebuild?: { position: number; end?: number; eta_s?: number | null; events_per_s?: number } | null;
  failure?: Failure | null;
  parked?: number;
  skipped?: number;
  dead_letters?: number;
  dead_letter_topic?: string; /* where the newest went */
  parked_events?: FaultEntry[];
  skipped_events?: FaultEntry[];
  dead_letter_events?: FaultEntry[];
  generation?: number;
  digest?: string;
}
export interface FaultEntry {
  position: number;
  stream: string;
  revision?: number;
  type: string;
  error: string;
  time?: string;
}
export interface QueryInfo {
  name: string;
  description?: string;
  params: { name: string; type: string; required?: boolean; default?: Json }[];
  filters: { name: string; type?: string; operators: string[] }[];
  sorts: string[]; /* in the order declared; the first is the default */
  sort?: string;
  columns: { name: string; type?: string }[];
  limit?: number;
  limit_max?: number;
  one?: boolean;
  permission?: string;
  projections?: string[];
}
export interface CommandInfo {
  name: string;
  description?: string;
  schema: JsonObject;
  stream?: string;
  decider?: string;
  permission?: string;
}
export interface AppSummary {
  name: string;
  title?: string;
  version: number;
  deployed_at?: string;
  commands: number;
  queries: number;
  projections: ProjectionStatus[];
}
export interface App {
  name: string;
  title?: string;
  description?: string;
  version: number;
  deployed_at?: string;
  digest?: string;
  commands: CommandInfo[];
  events: { type: string; version?: number; schema?: Json }[];
  queries: QueryInfo[];
  projections: ProjectionStatus[];
  deciders: { name: string; kind: string; source?: string }[];
  topics?: { topic: string; category: string; partitions?: number; config: Record<string, string> }[];
  statistics?: JsonObject;
}
export interface Deployment {
  version: number;
  time: string;
  position?: number;
  by?: string;
  note?: string;
  digest?: string;
  files?: number | string[];
  rollback_of?: number | null;
  current?: boolean;
}
export interface Outcome {
  command_id: string;
  stream: string;
  revision?: number;
  position: number;
  events: { type: string; revision?: number; position?: number }[];
  repeated: boolean;
}
export interface TopicPage {
  topics: { topic: string; category: string; partitions: number; records: number; config: Record<string, string> }[];
  next: string | null;
  end: boolean;
}
export interface Topic {
  topic: string;
  id: string;
  category: string;
  partitions: number;
  config: Record<string, { value: string; default: boolean; type: string; doc: string }>;
  offsets: { partition: number; start: number; end: number; last_time: string | null }[];
}
/* What came of sending dead letters back; next: there is more to look at. */
export interface Replayed {
  replayed: number;
  appended: number;
  before: number;
  failed: number;
  waiting: number;
  no_consumer: number;
  no_origin: number;
  gone: number;
  failures: { partition: number; offset: number; consumer?: string; error: string }[];
  next: Json;
}
/* A group of programs that speak Cairn's own API. */
export interface Subscription {
  name: string;
  stream?: string;
  category?: string;
  query?: { types: string[]; tags: string[] }[];
  lag: number;
  outstanding: number;
  retrying: number;
  parked: number;
  dead_letters: number;
  dead_letter_topic?: string;
  last_activity: string | null;
}
export interface TopicRecord extends CairnEvent {
  partition: number;
  offset: number;
  timestamp: string | null;
  key?: string | null;
  key_base64?: string;
  tombstone: boolean;
  headers: { name: string; value?: string | null; value_base64?: string }[];
}
export interface RecordPage {
  records: TopicRecord[];
  next: number;
  end: boolean;
  start_offset: number;
  end_offset: number;
}
export interface GroupSummary {
  group: string;
  state: string;
  type: string;
  protocol_type: string;
  protocol: string;
  member_count: number;
  lag: number;
}
export interface GroupPage {
  groups: GroupSummary[];
  next: string | null;
  end: boolean;
}
export interface Group extends GroupSummary {
  members: { member_id: string; instance_id?: string; client_id: string; client_host: string; topics?: string[]; assignment?: { topic: string; partitions: number[] }[]; assignment_bytes?: number }[];
  offsets: { topic: string; partition: number; offset: number | null; start: number | null; end: number | null; lag: number | null; commit_time: string | null; member_id: string | null; metadata: string }[];
}
export interface Reset {
  group: string;
  topic: string;
  dry_run: boolean;
  offsets: { partition: number; from: number | null; to: number; start: number; end: number; lag: number }[];
}
export interface Relay {
  relay: string;
  direction: "out" | "in";
  source: string;
  target: string;
  client: JsonObject;
  transactions: boolean;
  paused: boolean;
  state: string;
  detail: string;
  records_total: number;
  lag: number;
  last_time: string | null;
}

/* Topics: categories as Kafka's clients see them. Partitions, settings, and records by offset or by time. */
import { useState } from "preact/hooks";
import { Problem, json, type RecordPage, type Replayed, type Topic, type TopicPage, type TopicRecord } from "../api.ts";
import { clock, count, moment, plural } from "../lib/format.ts";
import { brief, type Json } from "../lib/json.ts";
import { queryText } from "../lib/router.ts";
import { setQuery, useLoad, usePlace } from "../hooks.ts";
import { Ask, Badge, Button, Copy, Empty, Page, ProblemBox, Scroll, Show, Tabs, Time, to, type Question } from "../ui/base.tsx";
import { decoded } from "../ui/events.tsx";
import { JsonView } from "../ui/json-view.tsx";
import { Pager, usePages } from "../ui/pages.tsx";

const LIMIT = 50;
const SELECT_MAX = 200; /* partitions that are still chosen from a list */

export const topicPath = (topic: string): string => `/v1/topics/${encodeURIComponent(topic)}`;

/* ---- all of them ------------------------------------------------------------------------------- */

export function Topics() {
  const { prefix, after, search, ...pages } = usePages();
  const page = useLoad((signal) => json<TopicPage>(`/v1/topics${queryText({ prefix, after, limit: LIMIT })}`, { signal }), [prefix, after], 5000);
  return (
    <Page title="Topics" lead="Categories of streams that Kafka’s clients read and write.">
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <label class="grow">
          <span class="label">Name begins with</span>
          <input data-search type="search" value={prefix} placeholder="order" onInput={(event) => search(event.currentTarget.value)} />
        </label>
      </form>
      <Show of={page} lines={8}>
        {({ topics, next, end }) =>
          topics.length === 0 ? (
            <Empty title={prefix ? `No topic begins with “${prefix}”` : "No topic yet"}>
              {!prefix && (
                <>
                  <p>A category becomes a topic when an app names it, or by hand:</p>
                  <pre>cairn topics create order --partitions 6</pre>
                </>
              )}
            </Empty>
          ) : (
            <>
              <Scroll label="Topics">
                <table>
                  <thead>
                    <tr>
                      <th scope="col">Topic</th>
                      <th scope="col">Category</th>
                      <th scope="col" class="number">
                        Partitions
                      </th>
                      <th scope="col" class="number">
                        Records
                      </th>
                      <th scope="col">Settings</th>
                    </tr>
                  </thead>
                  <tbody>
                    {topics.map(({ topic, category, partitions, records, config }) => (
                      <tr key={topic}>
                        <td>
                          <a data-row href={to("/topics/{topic}", { topic })}>
                            {topic}
                          </a>
                        </td>
                        <td>
                          <a class="quiet" href={to("/events", {}, { category })}>
                            <Badge>{category}</Badge>
                          </a>
                        </td>
                        <td class="number">{count(partitions)}</td>
                        <td class="number">{count(records)}</td>
                        <td class="mono dim">
                          {Object.entries(config)
                            .map(([name, value]) => `${name}=${value}`)
                            .join(" ")}
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </Scroll>
              <Pager {...pages} after={after} next={end ? null : next} />
            </>
          )
        }
      </Show>
    </Page>
  );
}

/* ---- records -------------------------------------------------------------------------------------- */

const shownBytes = (text: string | null | undefined, base64: string | undefined): string => (base64 !== undefined ? (decoded(base64) ?? base64) : (text ?? ""));

function Inside({ record }: { record: TopicRecord }) {
  const text = record.data_base64 !== undefined ? decoded(record.data_base64) : null;
  return (
    <div class="event-inside">
      <dl class="facts">
        <dt>Offset</dt>
        <dd>
          {count(record.offset)} in partition {record.partition}
        </dd>
        <dt>Key</dt>
        <dd class="mono">
          {record.key === null && record.key_base64 === undefined ? <span class="dim">none</span> : shownBytes(record.key, record.key_base64)}
          {record.key_base64 !== undefined && <Badge>bytes</Badge>}
        </dd>
        <dt>Timestamp</dt>
        <dd class="mono">{record.timestamp ?? "—"}</dd>
        <dt>Stream</dt>
        <dd>
          <a href={to("/streams/{stream}", { stream: record.stream })}>{record.stream}</a> at revision {count(record.revision)}
        </dd>
        <dt>Position</dt>
        <dd>
          <a href={to("/events", {}, { from: String(record.position), order: "oldest" })}>{count(record.position)}</a>, written <Time at={record.time} />
        </dd>
        <dt>Id</dt>
        <dd class="mono">
          {record.id} <Copy text={record.id} what="id" />
        </dd>
      </dl>
      {record.headers.length > 0 && (
        <details class="meta" open={record.headers.length <= 12}>
          <summary>Headers ({record.headers.length})</summary>
          <dl class="facts mono">
            {record.headers.map((header, at) => [
              <dt key={`${at}-name`}>{header.name}</dt>,
              <dd key={`${at}-value`}>{header.value === null && header.value_base64 === undefined ? <span class="dim">null</span> : shownBytes(header.value, header.value_base64)}</dd>,
            ])}
          </dl>
        </details>
      )}
      {record.tombstone && <p class="dim">A tombstone: the key has no value any more.</p>}
      {!record.tombstone && record.data !== undefined && <JsonView value={record.data} label="value" />}
      {!record.tombstone && record.data_base64 !== undefined && (
        <div class="json">
          <p class="dim">{record.content_type}</p>
          <pre tabIndex={0}>{text ?? record.data_base64}</pre>
        </div>
      )}
    </div>
  );
}

function RecordTable({ records }: { records: TopicRecord[] }) {
  const [open, setOpen] = useState<Record<number, boolean>>({});
  return (
    <Scroll label="Records">
      <table class="events records">
        <thead>
          <tr>
            <th scope="col" class="number">
              Offset
            </th>
            <th scope="col">Key</th>
            <th scope="col">Type</th>
            <th scope="col" class="wide">
              Value
            </th>
            <th scope="col">Timestamp (UTC)</th>
          </tr>
        </thead>
        <tbody>
          {records.map((record) => {
            const isOpen = open[record.offset] ?? false;
            return [
              <tr key={record.offset} class={isOpen ? "is-open" : ""}>
                <td class="number">
                  <button type="button" class="opener" data-row aria-expanded={isOpen} aria-label={`${record.type}, offset ${record.offset}`} onClick={() => setOpen({ ...open, [record.offset]: !isOpen })}>
                    {count(record.offset)}
                  </button>
                </td>
                <td class="mono stream">{shownBytes(record.key, record.key_base64)}</td>
                <td class="type">{record.type}</td>
                <td class="wide mono brief">
                  {record.tombstone ? <Badge tone="warn">tombstone</Badge> : record.data !== undefined ? brief(record.data as Json) : record.data_base64 !== undefined ? <span class="dim">{record.content_type}</span> : ""}
                </td>
                <td class="time">{record.timestamp ? clock(record.timestamp) : "—"}</td>
              </tr>,
              isOpen && (
                <tr key={`${record.offset}-inside`} class="inside">
                  <td colSpan={5}>
                    <Inside record={record} />
                  </td>
                </tr>
              ),
            ];
          })}
        </tbody>
      </table>
    </Scroll>
  );
}

function Where({ topic, partition, start, end }: { topic: Topic; partition: number; start: number; end: number }) {
  const [offset, setOffset] = useState("");
  const [time, setTime] = useState("");
  const [fault, setFault] = useState("");
  const jump = (event: Event) => {
    event.preventDefault();
    const at = time.trim() === "" ? null : moment(time);
    if (time.trim() !== "" && at === null) setFault("A time such as 2026-11-21 10:03");
    else if (at !== null) setQuery({ at, from: null });
    else if (/^\d+$/.test(offset.trim())) {
      const wanted = Number(offset);
      if (wanted > end) setFault(`The end is ${count(end)}`);
      else {
        setFault("");
        setQuery({ from: wanted, at: null });
      }
    } else setFault("An offset or a time");
    if (at !== null) setFault("");
  };
  return (
    <form class="filters" role="search" onSubmit={jump}>
      <label>
        <span class="label">Partition</span>
        {topic.partitions <= SELECT_MAX ? (
          <select value={String(partition)} onChange={(event) => setQuery({ partition: event.currentTarget.value, from: null, at: null })}>
            {topic.offsets.map((item) => (
              <option key={item.partition} value={String(item.partition)}>
                {item.partition} ({count(item.end - item.start)})
              </option>
            ))}
          </select>
        ) : (
          <input type="number" min={0} max={topic.partitions - 1} value={partition} onChange={(event) => setQuery({ partition: event.currentTarget.value, from: null, at: null })} />
        )}
      </label>
      <label>
        <span class="label">
          Offset, {count(start)} to {count(end)}
        </span>
        <input data-search inputMode="numeric" value={offset} placeholder={String(start)} onInput={(event) => { setOffset(event.currentTarget.value); setTime(""); }} />
      </label>
      <label>
        <span class="label">or time (UTC)</span>
        <input value={time} placeholder="2026-11-21 10:03" onInput={(event) => { setTime(event.currentTarget.value); setOffset(""); }} />
      </label>
      <Button type="submit" look="main">
        Go there
      </Button>
      {fault && (
        <span class="fault" role="alert">
          {fault}
        </span>
      )}
    </form>
  );
}

function Records({ topic }: { topic: Topic }) {
  const { query } = usePlace();
  const asked = Number(query.get("partition") ?? "0");
  const partition = Number.isInteger(asked) && asked >= 0 && asked < topic.partitions ? asked : 0;
  const at = query.get("at");
  const from = at === null ? (query.get("from") ?? "latest") : null;
  const page = useLoad(
    (signal) => json<RecordPage>(`${topicPath(topic.topic)}/partitions/${partition}/records${queryText({ from, at, limit: LIMIT })}`, { signal }),
    [topic.topic, partition, from, at],
    from === "latest" ? 3000 : 0,
  );
  const info = topic.offsets[partition] ?? { start: 0, end: 0 };
  return (
    <>
      <Where key={partition} topic={topic} partition={partition} start={page.data?.start_offset ?? info.start} end={page.data?.end_offset ?? info.end} />
      <Show of={page} lines={10}>
        {({ records, next, end, start_offset }) => (
          <>
            {records.length === 0 ? <Empty title={start_offset === next && end ? "Nothing is in this partition" : "Nothing from there on"} /> : <RecordTable key={`${partition}/${records[0]!.offset}`} records={from === "latest" ? [...records].reverse() : records} />}
            <div class="pager">
              <Button disabled={from === "earliest"} onClick={() => setQuery({ from: "earliest", at: null }, false)}>
                Oldest
              </Button>
              <Button disabled={(records[0]?.offset ?? next) <= start_offset} onClick={() => setQuery({ from: Math.max(start_offset, (records[0]?.offset ?? next) - LIMIT), at: null }, false)}>
                Earlier
              </Button>
              <Button disabled={end} onClick={() => setQuery({ from: next, at: null }, false)}>
                Later
              </Button>
              <Button disabled={from === "latest"} onClick={() => setQuery({ from: null, at: null }, false)}>
                Newest
              </Button>
              {records.length > 0 && (
                <span class="dim">
                  {count(records[0]!.offset)} to {count(records[records.length - 1]!.offset)}
                  {from === "latest" && ", newest first, goes on by itself"}
                </span>
              )}
            </div>
          </>
        )}
      </Show>
    </>
  );
}

/* ---- partitions, settings -------------------------------------------------------------------------------- */

const Partitions = ({ topic }: { topic: Topic }) => (
  <Scroll label="Partitions">
    <table>
      <thead>
        <tr>
          <th scope="col" class="number">
            Partition
          </th>
          <th scope="col" class="number">
            Start
          </th>
          <th scope="col" class="number">
            End
          </th>
          <th scope="col" class="number">
            Records
          </th>
          <th scope="col">Newest</th>
        </tr>
      </thead>
      <tbody>
        {topic.offsets.map(({ partition, start, end, last_time }) => (
          <tr key={partition}>
            <td class="number">
              <a data-row href={to("/topics/{topic}", { topic: topic.topic }, { partition })}>
                {partition}
              </a>
            </td>
            <td class="number">{count(start)}</td>
            <td class="number">{count(end)}</td>
            <td class="number">{count(end - start)}</td>
            <td>
              <Time at={last_time} relative />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </Scroll>
);

function Settings({ topic }: { topic: Topic }) {
  const [all, showAll] = useState(false);
  const settings = Object.entries(topic.config);
  const shown = settings.filter(([, { default: by_default, doc }]) => all || !by_default || !doc.includes("without effect"));
  return (
    <>
      <label class="check">
        <input type="checkbox" checked={all} onChange={(event) => showAll(event.currentTarget.checked)} />
        Also those without effect here
      </label>
      <Scroll label="Settings">
        <table>
          <thead>
            <tr>
              <th scope="col">Setting</th>
              <th scope="col">Value</th>
              <th scope="col">
                <span class="unseen">Default</span>
              </th>
              <th scope="col">What it is</th>
            </tr>
          </thead>
          <tbody>
            {shown.map(([name, { value, default: by_default, doc }]) => (
              <tr key={name}>
                <td class="mono nowrap">{name}</td>
                <td class="mono">{value === "" ? <span class="dim">empty</span> : value}</td>
                <td>{by_default ? <span class="dim">default</span> : <Badge tone="accent">set</Badge>}</td>
                <td class="dim">{doc}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </>
  );
}

/* ---- dead letters ---------------------------------------------------------------------------------- */

const COUNTS = ["replayed", "appended", "before", "failed", "waiting", "no_consumer", "no_origin", "gone"] as const;
type Counts = Record<(typeof COUNTS)[number], number>;

/* All of them, call by call. */
async function replay(topic: string, dry_run: boolean): Promise<Counts & { failures: Replayed["failures"] }> {
  const sum = { replayed: 0, appended: 0, before: 0, failed: 0, waiting: 0, no_consumer: 0, no_origin: 0, gone: 0, failures: [] as Replayed["failures"] };
  for (let next: Json = null, first = true; first || next !== null; first = false) {
    const part: Replayed = await json<Replayed>(`${topicPath(topic)}/replay`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ dry_run, next }) });
    for (const name of COUNTS) sum[name] += part[name];
    sum.failures.push(...part.failures);
    next = part.next;
  }
  return sum;
}

const said = (counts: Counts): string =>
  [
    plural(counts.replayed, "event") + " sent back",
    counts.appended > 0 && `${count(counts.appended)} appended to the topic that they came from`,
    counts.failed > 0 && `${count(counts.failed)} failed`,
    counts.waiting > 0 && `${count(counts.waiting)} wait for room in their subscription`,
    counts.before > 0 && `${count(counts.before)} sent back before, or had since`,
    counts.no_consumer > 0 && `${count(counts.no_consumer)} of consumers that are not there`,
    counts.no_origin > 0 && `${count(counts.no_origin)} whose origin is not known`,
    counts.gone > 0 && `${count(counts.gone)} not in the log any more`,
  ]
    .filter(Boolean)
    .join(", ") + ".";

function DeadLetters({ topic }: { topic: string }) {
  const [question, ask] = useState<Question | null>(null);
  const [result, setResult] = useState<Awaited<ReturnType<typeof replay>> | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const press = async () => {
    setProblem(null);
    setResult(null);
    setBusy(true);
    try {
      const would = await replay(topic, true);
      ask({ title: `Send ${plural(would.replayed + would.appended, "dead letter")} back?`, text: "Each goes once to the consumer that gave it up: a subscription’s event is handed out again, a projection’s is applied again.", yes: "Send back", act: async () => setResult(await replay(topic, false)) });
    } catch (error) {
      setProblem(error as Problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <section aria-label="Dead letters">
      <p class="row">
        <Button small disabled={busy} onClick={() => void press()}>
          Send back…
        </Button>
        {result && <span role="status">{said(result)}</span>}
      </p>
      {result && result.failures.length > 0 && (
        <pre class="error-text">{result.failures.map(({ partition, offset, consumer, error }) => `${partition}:${offset} ${consumer ?? ""}: ${error}`).join("\n")}</pre>
      )}
      {problem && <ProblemBox problem={problem} />}
      <Ask question={question} close={() => ask(null)} />
    </section>
  );
}

export function TopicDetail({ topic: name, tab }: { topic: string; tab: "Records" | "Partitions" | "Settings" }) {
  const topic = useLoad((signal) => json<Topic>(topicPath(name), { signal }), ["topic", name], 5000);
  return (
    <Page
      title={name}
      crumbs={[["Topics", to("/topics")]]}
      lead={
        topic.data && (
          <>
            Category <a href={to("/events", {}, { category: topic.data.category })}>{topic.data.category}</a>, {count(topic.data.offsets.reduce((sum, { start, end }) => sum + end - start, 0))} records
          </>
        )
      }
    >
      <Tabs
        label={`Parts of ${name}`}
        at={tab}
        items={[
          ["Records", to("/topics/{topic}", { topic: name })],
          ["Partitions", to("/topics/{topic}/partitions", { topic: name }), topic.data?.partitions],
          ["Settings", to("/topics/{topic}/settings", { topic: name })],
        ]}
      />
      {name.endsWith(".dlq") && <DeadLetters topic={name} />}
      <Show of={topic} lines={8}>
        {(data) => (tab === "Partitions" ? <Partitions topic={data} /> : tab === "Settings" ? <Settings topic={data} /> : <Records topic={data} />)}
      </Show>
    </Page>
  );
}

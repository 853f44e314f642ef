/* One app: its commands as forms, states that its deciders make, the types of its events. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Problem, json, key, num, type App, type CommandInfo, type Outcome, type StreamInfo } from "../api.ts";
import { count } from "../lib/format.ts";
import { isObject, parse, stringify, type Json } from "../lib/json.ts";
import { queryText } from "../lib/router.ts";
import { bundle, draftOf, faultsIn, fieldOf, refersOut, valueOf, type Draft, type Fault } from "../lib/schema.ts";
import { setQuery, useLoad, usePlace } from "../hooks.ts";
import { Badge, Button, Empty, Page, ProblemBox, Scroll, Show, Tabs, Time, to } from "../ui/base.tsx";
import { Input, Members, idOf, strayFaults } from "../ui/form.tsx";
import { JsonView } from "../ui/json-view.tsx";

export const appPath = (app: string): string => `/v1/apps/${encodeURIComponent(app)}`;

/* ---- commands ---------------------------------------------------------------------------------- */

function Done({ outcome, data, again }: { outcome: Outcome; data: Json; again: () => void }) {
  return (
    <div class="outcome" role="status">
      <p class="outcome-title">
        {outcome.events.length === 0 ? "Decided: nothing needs to happen" : "Done"}
        {outcome.repeated && <Badge tone="warn">the answer given before to this key</Badge>}
      </p>
      {outcome.events.length > 0 && (
        <ul>
          {outcome.events.map((event, at) => (
            <li key={at}>
              <strong>{event.type}</strong>
              {event.position !== undefined && <span class="dim"> at position {count(num(event.position))}</span>}
            </li>
          ))}
        </ul>
      )}
      <p class="row">
        <a href={to("/streams/{stream}", { stream: outcome.stream }, { as_of: null })}>{outcome.stream}</a>
        {outcome.revision !== undefined && <span class="dim">revision {count(num(outcome.revision))}</span>}
      </p>
      <details>
        <summary>What was sent</summary>
        <JsonView value={data} label="command data" />
      </details>
      <Button small onClick={again}>
        Another one
      </Button>
    </div>
  );
}

function Rejected({ problem }: { problem: Problem }) {
  const { code, message, details } = problem.body;
  if (problem.name_ !== "rejected") return <ProblemBox problem={problem} />;
  return (
    <div class="problem" role="alert">
      <p class="problem-title">
        Rejected <span class="problem-status">{String(code ?? "")}</span>
      </p>
      <p>{typeof message === "string" ? message : problem.detail}</p>
      {isObject(details) && <JsonView value={details} label="details" />}
    </div>
  );
}

function CommandForm({ app, command }: { app: string; command: CommandInfo }) {
  const field = useMemo(() => fieldOf(command.schema, command.schema), [command.schema]);
  const [draft, setDraft] = useState<Draft>(() => draftOf(field));
  const [raw, setRaw] = useState<string | null>(field.kind === "object" || field.kind === "variant" ? null : "{}");
  const [faults, setFaults] = useState<Fault[]>([]);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [outcome, setOutcome] = useState<{ outcome: Outcome; data: Json } | null>(null);
  const [busy, setBusy] = useState(false);
  const sent = useRef(key()); /* a second click repeats the answer, not the command */
  const form = useRef<HTMLFormElement>(null);

  /* The first field at fault is where to go on. */
  useEffect(() => {
    const first = faults[0];
    if (first) form.current?.querySelector<HTMLElement>(`#${CSS.escape(idOf(first.path))}`)?.focus();
  }, [faults]);

  const edit = (next: Draft) => {
    setDraft(next);
    if (outcome) setOutcome(null);
    sent.current = key();
  };
  const toRaw = () => {
    if (raw === null) setRaw(stringify(valueOf(field, draft).value ?? {}, 2));
    else {
      try {
        setDraft(draftOf(field, parse(raw)));
        setRaw(null);
        setFaults([]);
      } catch (error) {
        setFaults([{ path: "", message: (error as Error).message }]);
      }
    }
  };
  const read = (): { value: Json | undefined; faults: Fault[] } => {
    if (raw === null) return valueOf(field, draft);
    try {
      return { value: parse(raw), faults: [] };
    } catch (error) {
      return { value: undefined, faults: [{ path: "", message: (error as Error).message }] };
    }
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    setProblem(null);
    const { value = {}, faults: found } = read();
    setFaults(found);
    if (found.length > 0) return;
    setBusy(true);
    try {
      const result = await json<Outcome>(`${appPath(app)}/commands/${encodeURIComponent(command.name)}`, { method: "POST", body: stringify(value), headers: { "idempotency-key": sent.current } });
      setOutcome({ outcome: result, data: value });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const listed = error.name_ === "invalid" ? faultsIn(error.body) : [];
      setFaults(listed);
      if (listed.length === 0) {
        setProblem(error);
        sent.current = key(); /* decided anew after a no */
      }
    } finally {
      setBusy(false);
    }
  };
  const stray = raw === null ? strayFaults(field, draft, faults) : faults;
  return (
    <form ref={form} class="command" onSubmit={submit} noValidate aria-labelledby="command-name">
      <div class="section-head">
        <h2 id="command-name" class="mono">
          {command.name}
        </h2>
        {command.permission && <Badge>needs {command.permission}</Badge>}
        <Button small aria-pressed={raw !== null} disabled={field.kind !== "object" && field.kind !== "variant"} onClick={toRaw}>
          JSON
        </Button>
      </div>
      {command.description && <p>{command.description}</p>}
      {command.stream && (
        <p class="dim">
          to the stream <code>{command.stream}</code>
          {command.decider && (
            <>
              , decided by <code>{command.decider}</code>
            </>
          )}
        </p>
      )}
      {raw !== null ? (
        <div class="field">
          <label class="label" for="raw">
            Data, as JSON
          </label>
          <textarea id="raw" class="mono" rows={12} spellcheck={false} value={raw} onInput={(event) => {
            setRaw(event.currentTarget.value);
            sent.current = key();
          }} />
        </div>
      ) : field.kind === "object" ? (
        <Members field={field} draft={draft} path="" faults={faults} change={edit} />
      ) : (
        <Input field={field} draft={draft} path="" name="" label={command.name} required faults={faults} change={edit} />
      )}
      {stray.length > 0 && (
        <div class="problem" role="alert">
          <p class="problem-title">The data is not valid</p>
          <ul>
            {stray.map((fault, at) => (
              <li key={at}>
                {fault.path && <code>{fault.path}</code>} {fault.message}
              </li>
            ))}
          </ul>
        </div>
      )}
      {problem && <Rejected problem={problem} />}
      {outcome ? (
        <Done
          {...outcome}
          again={() => {
            setOutcome(null);
            setDraft(draftOf(field));
            sent.current = key();
            form.current?.querySelector<HTMLElement>("input, select, textarea")?.focus();
          }}
        />
      ) : (
        <div class="row">
          <Button type="submit" look="main" disabled={busy}>
            {busy ? "Sending…" : "Send the command"}
          </Button>
          <span class="dim">Ctrl Enter</span>
        </div>
      )}
    </form>
  );
}

function Commands({ app, command }: { app: App; command: string | undefined }) {
  const chosen = app.commands.find(({ name }) => name === command) ?? app.commands[0];
  useEffect(() => {
    const send = (event: KeyboardEvent) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) document.querySelector<HTMLFormElement>("form.command")?.requestSubmit();
    };
    addEventListener("keydown", send);
    return () => removeEventListener("keydown", send);
  }, []);
  /* A schema that refers to other files of its app is put together first. */
  const schema = useLoad(
    async (signal) => {
      if (!chosen || !refersOut(chosen.schema)) return chosen?.schema ?? {};
      const { files } = await json<{ files: Record<string, string> }>(`${appPath(app.name)}/deployments/${app.version}`, { signal });
      return bundle(chosen.schema, files);
    },
    ["schema", app.name, app.version, chosen?.name],
  );
  if (!chosen) return <Empty title="This app takes no commands" />;
  return (
    <div class="split">
      <nav class="list" aria-label="Commands">
        {app.commands.map(({ name, description }) => (
          <a key={name} data-row href={to("/apps/{app}/commands/{command}", { app: app.name, command: name })} aria-current={name === chosen.name ? "page" : undefined}>
            <span class="mono">{name}</span>
            {description && <span class="description">{description}</span>}
          </a>
        ))}
      </nav>
      <Show of={schema} lines={8}>
        {(found) => <CommandForm key={chosen.name} app={app.name} command={{ ...chosen, schema: found }} />}
      </Show>
    </div>
  );
}

/* ---- states --------------------------------------------------------------------------------------- */

interface State {
  stream: string;
  revision?: number;
  state: Json;
}

function StateOf({ app, stream, revision }: { app: string; stream: string; revision: number | null }) {
  const info = useLoad((signal) => json<StreamInfo>(`/v1/streams/${encodeURIComponent(stream)}`, { signal }), [stream], 3000);
  const last = info.data?.exists ? info.data.last_revision : 0;
  const state = useLoad((signal) => json<State>(`${appPath(app)}/state/${encodeURIComponent(stream)}${queryText({ revision })}`, { signal }), [app, stream, revision, revision === null ? last : 0]);
  return (
    <>
      {info.data?.exists && (
        <section class={`travel${revision === null ? "" : " is-past"}`} aria-label="Time travel">
          <p class="travel-what" aria-live="polite">
            <strong>{revision === null ? "Newest" : `At revision ${count(revision)}`}</strong> <span class="dim">of {count(last)}</span>
          </p>
          <div class="travel-slide">
            <input type="range" data-travel aria-label="Revision" min={0} max={last} value={revision ?? last} onInput={(event) => {
              const at = Number(event.currentTarget.value);
              setQuery({ revision: at >= last ? null : at });
            }} />
          </div>
          <Button small disabled={revision === null} onClick={() => setQuery({ revision: null })}>
            Newest
          </Button>
        </section>
      )}
      <Show of={state} lines={6}>
        {(data) => (
          <>
            <p class="row">
              <a href={to("/streams/{stream}", { stream })}>Its events</a>
              <span class="dim">state at revision {count(num(data.revision ?? last))}</span>
            </p>
            <JsonView value={data.state} label={`state of ${stream}`} />
          </>
        )}
      </Show>
    </>
  );
}

function States({ app }: { app: App }) {
  const { query } = usePlace();
  const stream = query.get("stream") ?? "";
  const at = query.get("revision");
  const [typed, type] = useState<string | null>(null);
  const patterns = [...new Set(app.commands.map((command) => command.stream).filter(Boolean))];
  return (
    <>
      <form
        class="filters"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          setQuery({ stream: typed ?? stream, revision: null }, false);
        }}
      >
        <label class="grow">
          <span class="label">Stream</span>
          <input data-search value={typed ?? stream} placeholder={patterns[0] ?? "order-42"} onInput={(event) => type(event.currentTarget.value)} />
        </label>
        <Button type="submit" look="main">
          Show its state
        </Button>
      </form>
      {stream ? (
        <StateOf key={stream} app={app.name} stream={stream} revision={at === null ? null : Number(at)} />
      ) : (
        <Empty title="Which stream?">
          <p>A state is what the decider makes of a stream’s events. This app’s streams: {patterns.map((pattern) => <code key={pattern}>{pattern} </code>)}</p>
        </Empty>
      )}
    </>
  );
}

function EventTypes({ app }: { app: App }) {
  if (app.events.length === 0) return <Empty title="This app declares no event types" />;
  return (
    <Scroll label="Event types">
      <table>
        <thead>
          <tr>
            <th scope="col">Type</th>
            <th scope="col" class="number">
              Schema version
            </th>
            <th scope="col">Schema</th>
          </tr>
        </thead>
        <tbody>
          {app.events.map(({ type, version, schema }) => (
            <tr key={type}>
              <td>
                <a data-row class="mono" href={to("/events", {}, { type })}>
                  {type}
                </a>
              </td>
              <td class="number">{version ?? "—"}</td>
              <td>
                {schema === undefined || schema === null ? (
                  <span class="dim">none</span>
                ) : (
                  <details>
                    <summary>show</summary>
                    <JsonView value={schema} label={`schema of ${type}`} />
                  </details>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

const AppTopics = ({ app }: { app: App }) => (
  <Scroll label="Topics">
    <table>
      <thead>
        <tr>
          <th scope="col">Topic</th>
          <th scope="col">Category</th>
          <th scope="col" class="number">
            Partitions
          </th>
          <th scope="col">Settings</th>
        </tr>
      </thead>
      <tbody>
        {(app.topics ?? []).map(({ topic, category, partitions, config }) => (
          <tr key={topic}>
            <td>
              <a data-row href={to("/topics/{topic}", { topic })}>
                {topic}
              </a>
            </td>
            <td>{category}</td>
            <td class="number">{partitions ?? "—"}</td>
            <td class="mono dim">
              {Object.entries(config)
                .map(([setting, value]) => `${setting}=${value}`)
                .join(" ")}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </Scroll>
);

export function AppPage({ app: name, tab, command }: { app: string; tab: string; command?: string }) {
  const app = useLoad((signal) => json<App>(appPath(name), { signal }), ["app", name]);
  return (
    <Page
      title={app.data?.title || name}
      crumbs={[["Apps", to("/apps")]]}
      lead={app.data?.description}
      actions={
        app.data && (
          <p class="dim">
            version <a href={to("/deployments/{app}", { app: name })}>{app.data.version}</a>
            {app.data.deployed_at && (
              <>
                , <Time at={app.data.deployed_at} relative />
              </>
            )}
          </p>
        )
      }
    >
      <Tabs
        label={`Parts of ${name}`}
        at={tab}
        items={[
          ["Commands", to("/apps/{app}", { app: name }), app.data?.commands.length],
          ["State", to("/apps/{app}/state", { app: name })],
          ["Event types", to("/apps/{app}/events", { app: name }), app.data?.events.length],
          ...((app.data?.topics ?? []).length > 0 ? [["Topics", to("/apps/{app}/topics", { app: name }), app.data!.topics!.length] as [string, string, number]] : []),
          ["Read models", to("/read-models", {}, { app: name }), app.data?.queries.length],
          ["Projections", to("/projections", {}, { app: name }), app.data?.projections.length],
          ["Deployments", to("/deployments/{app}", { app: name })],
        ]}
      />
      <Show of={app} lines={8}>
        {(data) => (tab === "State" ? <States app={data} /> : tab === "Event types" ? <EventTypes app={data} /> : tab === "Topics" ? <AppTopics app={data} /> : <Commands app={data} command={command} />)}
      </Show>
    </Page>
  );
}


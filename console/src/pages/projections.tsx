/* Projections at work: how far they are, what stops them, and the handles to do something about it. */
import { useState } from "preact/hooks";
import { json, num, type FaultEntry, type ProjectionStatus } from "../api.ts";
import { count, duration, plural, rate } from "../lib/format.ts";
import { useLoad, usePlace } from "../hooks.ts";
import { Ask, Badge, Button, Empty, Page, ProblemBox, Scroll, Show, Time, to, type Question } from "../ui/base.tsx";
import { Problem } from "../api.ts";
import { appPath } from "./app.tsx";
import { NoApps, stateTone, useApps } from "./apps.tsx";


function Progress({ position, end, label, eta, perSecond }: { position: number; end: number; label: string; eta?: number | null | undefined; perSecond?: number | undefined }) {
  const share = end > 0 ? Math.min(100, (position / end) * 100) : 100;
  return (
    <div class="progress">
      <progress max={Math.max(1, end)} value={end > 0 ? position : 1} aria-label={label} />
      <p class="progress-text">
        <span>{share >= 100 ? "100 %" : `${Math.min(99.9, share).toFixed(1)} %`}</span>
        <span class="dim">
          {count(position)} of {count(end)}
        </span>
        {perSecond !== undefined && num(perSecond) > 0 && <span class="dim">{rate(num(perSecond))}/s</span>}
        {eta !== undefined && eta !== null && num(eta) > 0 && <span>{duration(num(eta))} left</span>}
      </p>
    </div>
  );
}

type Action = "pause" | "resume" | "retry" | "skip" | "park" | "replay-parked" | "rebuild";

const WORDS: Record<Action, { name: string; question?: (status: ProjectionStatus) => Pick<Question, "title" | "text" | "look"> }> = {
  pause: { name: "Pause" },
  resume: { name: "Resume" },
  retry: { name: "Retry" },
  park: { name: "Park the event" },
  skip: {
    name: "Skip the event",
    question: (status) => ({ title: `Skip event ${count(num(status.failure?.position))}?`, text: "The projection goes on without it. It is remembered as skipped; only a rebuild tries it again.", look: "danger" }),
  },
  "replay-parked": { name: "Replay parked" },
  rebuild: {
    name: "Rebuild",
    question: (status) => ({ title: `Rebuild ${status.name}?`, text: "A new one is built beside from the first event on. The present one serves until the new one has caught up; then they are swapped in one step." }),
  },
};

const actionsFor = (status: ProjectionStatus): Action[] => {
  const actions: Action[] = [];
  if (status.state === "failed") return ["rebuild"];
  if (status.failure) actions.push("retry", "park", "skip");
  if (status.state === "paused") actions.push("resume");
  else if (!status.failure) actions.push("pause");
  if (num(status.parked) > 0) actions.push("replay-parked");
  if (!status.rebuild) actions.push("rebuild");
  return actions;
};

function Actions({ app, status, done }: { app: string; status: ProjectionStatus; done: () => void }) {
  const [question, ask] = useState<Question | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState<Action | null>(null);
  const act = async (action: Action) => {
    await json(`${appPath(app)}/projections/${encodeURIComponent(status.name)}/${action}`, { method: "POST" });
    done();
  };
  const press = async (action: Action) => {
    setProblem(null);
    const words = WORDS[action];
    if (words.question) {
      ask({ ...words.question(status), yes: words.name, act: () => act(action) });
      return;
    }
    setBusy(action);
    try {
      await act(action);
    } catch (error) {
      setProblem(error as Problem);
    } finally {
      setBusy(null);
    }
  };
  return (
    <>
      <div class="row">
        {actionsFor(status).map((action) => (
          <Button key={action} small look={action === "retry" || action === "resume" ? "main" : action === "skip" ? "danger" : "plain"} disabled={busy !== null} onClick={() => void press(action)}>
            {WORDS[action].name}
          </Button>
        ))}
      </div>
      {problem && <ProblemBox problem={problem} />}
      <Ask question={question} close={() => ask(null)} />
    </>
  );
}

function FailureBox({ status }: { status: ProjectionStatus }) {
  const { failure } = status;
  if (!failure) return null;
  return (
    <div class="problem" role="alert">
      <p class="problem-title">
        {failure.position === undefined ? (
          "It could not be started"
        ) : (
          <>
            Stopped at event <a href={to("/events", {}, { from: String(num(failure.position)), order: "oldest", system: "true", as_of: null })}>{count(num(failure.position))}</a>
          </>
        )}
        {failure.tries !== undefined && num(failure.tries) > 1 && <span class="problem-status">{plural(num(failure.tries), "try", "tries")}</span>}
      </p>
      {failure.type && (
        <p>
          <strong>{failure.type}</strong>
          {failure.stream && (
            <>
              {" "}
              in <a href={to("/streams/{stream}", { stream: failure.stream }, { as_of: null })}>{failure.stream}</a>
            </>
          )}
        </p>
      )}
      <pre class="error-text">{failure.error}</pre>
    </div>
  );
}

function Status({ app, status, done, link }: { app: string; status: ProjectionStatus; done: () => void; link: boolean }) {
  const parked = num(status.parked);
  const skipped = num(status.skipped);
  const dead = num(status.dead_letters);
  return (
    <article class="card projection" aria-label={`Projection ${status.name}`}>
      <div class="section-head">
        {link && (
          <h3 class="mono">
            <a data-row href={to("/projections/{app}/{projection}", { app, projection: status.name })}>{status.name}</a>
          </h3>
        )}
        <Badge tone={stateTone(status.state)}>{status.state}</Badge>
        {status.rebuild && <Badge tone="accent">rebuilding beside</Badge>}
        {status.failure?.retrying && <Badge tone="warn">trying again</Badge>}
        <span class="lag">
          {status.state === "failed" ? "" : num(status.lag) > 0 ? plural(num(status.lag), "event") + " behind" : "up to date"}
        </span>
      </div>
      {status.state !== "failed" && <Progress position={num(status.position)} end={num(status.end)} label={`${status.name}: events applied`} eta={status.eta_s} perSecond={status.events_per_s} />}
      {status.rebuild && (
        <>
          <p class="dim">The new one, built beside:</p>
          <Progress position={num(status.rebuild.position)} end={num(status.rebuild.end ?? status.end)} label={`${status.name}: events applied in the rebuild`} eta={status.rebuild.eta_s} perSecond={status.rebuild.events_per_s} />
        </>
      )}
      <FailureBox status={status} />
      {(parked > 0 || skipped > 0 || dead > 0) && (
        <p class="row">
          {parked > 0 && <Badge tone="warn">{count(parked)} parked</Badge>}
          {skipped > 0 && <Badge tone="warn">{count(skipped)} skipped</Badge>}
          {dead > 0 && <Badge tone="warn">{plural(dead, "dead letter")}</Badge>}
          {dead > 0 && status.dead_letter_topic && <a href={to("/topics/{topic}", { topic: status.dead_letter_topic })}>{status.dead_letter_topic}</a>}
        </p>
      )}
      <Actions app={app} status={status} done={done} />
    </article>
  );
}

export function Projections() {
  const { query } = usePlace();
  const only = query.get("app");
  const apps = useApps(1500);
  return (
    <Page title="Projections" lead="How far the read models are. Each stops by itself when an event cannot be applied, and stops nobody else.">
      <Show of={apps} lines={6}>
        {(list) =>
          list.length === 0 ? (
            <NoApps />
          ) : (
            list
              .filter(({ name }) => only === null || name === only)
              .map((app) => (
                <section key={app.name} aria-labelledby={`of-${app.name}`}>
                  <div class="section-head">
                    <h2 id={`of-${app.name}`}>
                      <a href={to("/apps/{app}", { app: app.name })}>{app.title || app.name}</a>
                    </h2>
                  </div>
                  {app.projections.length === 0 ? <p class="dim">It has no projections.</p> : <div class="stack">{app.projections.map((status) => <Status key={status.name} link app={app.name} status={status} done={apps.reload} />)}</div>}
                </section>
              ))
          )
        }
      </Show>
    </Page>
  );
}

function FaultTable({ name, faults }: { name: string; faults: FaultEntry[] }) {
  if (faults.length === 0) return null;
  return (
    <section aria-label={name}>
      <div class="section-head">
        <h2>{name}</h2>
        <Badge tone="warn">{faults.length}</Badge>
      </div>
      <Scroll label={name}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="number">
                Position
              </th>
              <th scope="col">Type</th>
              <th scope="col">Stream</th>
              <th scope="col">Error</th>
              <th scope="col">Time (UTC)</th>
            </tr>
          </thead>
          <tbody>
            {faults.map((fault) => (
              <tr key={num(fault.position)}>
                <td class="number">
                  <a data-row href={to("/events", {}, { from: String(num(fault.position)), order: "oldest", system: "true", as_of: null })}>
                    {count(num(fault.position))}
                  </a>
                </td>
                <td>{fault.type}</td>
                <td>
                  <a href={to("/streams/{stream}", { stream: fault.stream })}>{fault.stream}</a>
                </td>
                <td class="error-text">{fault.error}</td>
                <td>
                  <Time at={fault.time} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}

export function ProjectionPage({ app, projection }: { app: string; projection: string }) {
  const path = `${appPath(app)}/projections/${encodeURIComponent(projection)}`;
  const status = useLoad((signal) => json<ProjectionStatus>(path, { signal }), [path], 1500);
  return (
    <Page title={projection} crumbs={[["Projections", to("/projections")], [app, to("/apps/{app}", { app })]]}>
      <Show of={status} lines={5}>
        {(data) => (
          <>
            <Status app={app} status={data} done={status.reload} link={false} />
            {num(data.parked) + num(data.skipped) + num(data.dead_letters) === 0 && !data.failure && <Empty title="Every event so far could be applied" />}
            <FaultTable name="Parked events" faults={data.parked_events ?? []} />
            <FaultTable name="Skipped events" faults={data.skipped_events ?? []} />
            <FaultTable name="Dead letters" faults={data.dead_letter_events ?? []} />
          </>
        )}
      </Show>
    </Page>
  );
}

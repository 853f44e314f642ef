/* Relays: topics that go to another Kafka, and topics of one that come here. */
import { useState } from "preact/hooks";
import { Problem, json, type Relay } from "../api.ts";
import { count, plural } from "../lib/format.ts";
import { stringify } from "../lib/json.ts";
import { useLoad } from "../hooks.ts";
import { Badge, Button, Empty, Page, ProblemBox, Show, Time, to } from "../ui/base.tsx";

const relayTone = (state: string): "good" | "warn" | "bad" | "quiet" => (state === "running" ? "good" : state === "waiting" ? "warn" : state === "stopped" ? "bad" : "quiet");

function Card({ relay, done }: { relay: Relay; done: () => void }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const act = async (action: "pause" | "resume") => {
    setBusy(true);
    setProblem(null);
    try {
      await json(`/v1/relays/${encodeURIComponent(relay.relay)}/${action}`, { method: "POST" });
      done();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  const here = relay.direction === "out" ? relay.source : relay.target;
  return (
    <article class="card projection" aria-label={`Relay ${relay.relay}`}>
      <div class="section-head">
        <h2 class="mono">{relay.relay}</h2>
        <Badge tone={relayTone(relay.state)}>{relay.state}</Badge>
        {relay.direction === "out" && relay.transactions && <Badge>exactly once</Badge>}
        <span class="lag">{relay.lag > 0 ? `${plural(relay.lag, "record")} behind` : relay.state === "running" ? "up to date" : ""}</span>
      </div>
      <p>
        {relay.direction === "out" ? (
          <>
            From <a href={to("/topics/{topic}", { topic: here })}>{relay.source}</a> here to <span class="mono">{relay.target}</span> on
          </>
        ) : (
          <>
            From <span class="mono">{relay.source}</span> to <a href={to("/topics/{topic}", { topic: here })}>{relay.target}</a> here, from
          </>
        )}{" "}
        <span class="mono">{String(relay.client["bootstrap.servers"] ?? "")}</span>
      </p>
      {relay.detail && <p class={relay.state === "running" ? "dim" : "error-text"}>{relay.detail}</p>}
      <p class="dim">
        {plural(relay.records_total, "record")} since the server started, the newest <Time at={relay.last_time} relative />
      </p>
      <details class="meta">
        <summary>The client’s settings ({count(Object.keys(relay.client).length)})</summary>
        <pre tabIndex={0}>{stringify(relay.client, 2)}</pre>
      </details>
      {problem && <ProblemBox problem={problem} />}
      <div class="row">
        <Button small look={relay.paused ? "main" : "plain"} disabled={busy} onClick={() => void act(relay.paused ? "resume" : "pause")}>
          {relay.paused ? "Resume" : "Pause"}
        </Button>
      </div>
    </article>
  );
}

export function Relays() {
  const relays = useLoad(async (signal) => (await json<{ relays: Relay[] }>("/v1/relays", { signal })).relays, ["relays"], 3000);
  return (
    <Page title="Relays" lead="Topics to and from another Kafka. While it is away they wait, and nothing is lost.">
      <Show of={relays} lines={6}>
        {(list) =>
          list.length === 0 ? (
            <Empty title="No relay yet">
              <pre>{"cairn relays put orders --out --from order --bootstrap kafka:9092"}</pre>
            </Empty>
          ) : (
            <div class="stack">
              {list.map((relay) => (
                <Card key={relay.relay} relay={relay} done={relays.reload} />
              ))}
            </div>
          )
        }
      </Show>
    </Page>
  );
}

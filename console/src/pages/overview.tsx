/* How the server is doing, right now. */
import { useEffect, useRef, useState } from "preact/hooks";
import { json, num, type CairnEvent, type EventPage, type Stats } from "../api.ts";
import { bytes, clock, count, duration, rate } from "../lib/format.ts";
import { useFollow, useLoad } from "../hooks.ts";
import { Badge, Empty, Page, Scroll, Show, to } from "../ui/base.tsx";
import { EventTable } from "../ui/events.tsx";
import { Spark } from "../ui/spark.tsx";

const POLL_MS = 2000;
const KEPT = 90; /* three minutes */
const NEWEST = 12;

interface Sample {
  at: number;
  events: number;
  appends: number;
  requests: number;
  reads: number;
}

/* Per second, between neighbouring samples. A restart makes totals smaller: that counts as nothing. */
const rates = (samples: Sample[], of: (sample: Sample) => number): number[] =>
  samples.slice(1).map((sample, i) => Math.max(0, ((of(sample) - of(samples[i]!)) * 1000) / (sample.at - samples[i]!.at)));

const Tile = ({ name, value, note }: { name: string; value: string; note?: string | undefined }) => (
  <div class="tile">
    <dt>{name}</dt>
    <dd>
      {value}
      {note && <span class="tile-note">{note}</span>}
    </dd>
  </div>
);

function useSamples(stats: Stats | undefined): Sample[] {
  const samples = useRef<Sample[]>([]);
  useEffect(() => {
    if (!stats) return;
    const { store, server } = stats;
    const last = samples.current[samples.current.length - 1];
    const now = performance.now();
    if (last && now - last.at < POLL_MS / 4) return;
    samples.current = [
      ...samples.current,
      { at: now, events: num(store.events_appended_total), appends: num(store.appends_total), requests: num(server.requests_total), reads: num(store.reads_total) },
    ].slice(-KEPT - 1);
  }, [stats]);
  return samples.current;
}

function Newest() {
  const [events, setEvents] = useState<CairnEvent[] | null>(null);
  const [fresh, setFresh] = useState<number | undefined>();
  const first = useLoad(async (signal) => {
    const page = await json<EventPage>(`/v1/events?direction=backward&limit=${NEWEST}`, { signal });
    setEvents(page.events);
    return page;
  }, ["newest"]);
  const from = first.data ? (first.data.events[0]?.position ?? -1) + 1 : null;
  const state = useFollow(from === null ? null : `/v1/events?from=${from}`, (more) => {
    setFresh(more[0]?.position);
    setEvents((old) => [...more.reverse(), ...(old ?? [])].slice(0, NEWEST));
  });
  return (
    <section aria-labelledby="newest">
      <div class="section-head">
        <h2 id="newest">Newest events</h2>
        <Badge tone={state === "live" ? "good" : "quiet"}>{state === "live" ? "live" : "connecting"}</Badge>
        <a href={to("/events", {}, { as_of: null })}>All events</a>
      </div>
      <Show of={first} lines={8}>
        {() =>
          events && events.length > 0 ? (
            <Scroll label="Newest events">
              <EventTable events={events} by="position" {...(fresh === undefined ? {} : { fresh })} />
            </Scroll>
          ) : (
            <Empty title="No event yet">
              <p>Append one:</p>
              <pre>{`cairn append greeting-1 --type Greeted --data '{"text":"hello"}'`}</pre>
            </Empty>
          )
        }
      </Show>
    </section>
  );
}

export function Overview() {
  const stats = useLoad((signal) => json<Stats>("/v1/stats", { signal }), ["stats"], POLL_MS);
  const samples = useSamples(stats.data);
  const events = rates(samples, (sample) => sample.events);
  const appends = rates(samples, (sample) => sample.appends);
  const requests = rates(samples, (sample) => sample.requests);
  const last = (values: number[]) => (values.length > 0 ? rate(values[values.length - 1]!) : "…");
  return (
    <Page title="Overview" lead={stats.data && <>Cairn {stats.data.version}, up {duration(num(stats.data.server.uptime_ms) / 1000)}</>}>
      <Show of={stats}>
        {({ store, server }) => (
          <>
            {(store.failed || store.disk_full) && (
              <div class="problem" role="alert">
                <p class="problem-title">{store.failed ? "The log takes no more writes until the server is restarted" : "The disk is full: appends are refused until there is room"}</p>
                <p>{store.failure}</p>
              </div>
            )}
            <section class="live" aria-label="Rates">
              <div class="live-number">
                <p class="live-value">{last(events)}</p>
                <p class="dim">events / s</p>
              </div>
              <div class="live-line">
                <Spark values={events} most={KEPT} label={`Events per second over the last three minutes, now ${last(events)}`} />
                <p class="dim axis">
                  <span>3 min ago</span>
                  <span>peak {rate(Math.max(0, ...events))}/s</span>
                  <span>now</span>
                </p>
              </div>
            </section>
            <dl class="tiles">
              <Tile name="Events" value={count(num(store.events))} note={store.last_time ? `last ${clock(store.last_time).slice(0, 19)}` : undefined} />
              <Tile name="Streams" value={count(num(store.streams))} />
              <Tile name="Appends / s" value={last(appends)} note={`${count(num(store.conflicts_total))} conflicts`} />
              <Tile name="Requests / s" value={last(requests)} note={`${count(num(server.connections))} connections`} />
              <Tile name="Log" value={bytes(num(store.log_bytes))} note={`${count(num(store.segments))} segment${num(store.segments) === 1 ? "" : "s"}`} />
              <Tile name="Index" value={bytes(num(store.index_bytes))} note={`${bytes(num(store.memory_bytes))} in memory`} />
              <Tile name="Sync" value={num(store.batches_total) ? `${(num(store.sync_us_total) / num(store.batches_total) / 1000).toFixed(2)} ms` : "—"} note={`longest ${(num(store.sync_us_max) / 1000).toFixed(1)} ms`} />
              <Tile name="Waiting" value={count(num(store.appends_waiting))} note="appends" />
            </dl>
          </>
        )}
      </Show>
      <Newest />
    </Page>
  );
}

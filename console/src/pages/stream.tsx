/* One stream: its events from either end or from a revision, as of any moment, and its state where an app has one. */
import { json, num, type AppSummary, type EventPage, type StreamInfo } from "../api.ts";
import { count, plural } from "../lib/format.ts";
import { categoryOf, queryText } from "../lib/router.ts";
import { asOf, setQuery, useFollow, useLoad, usePlace } from "../hooks.ts";
import { Badge, Button, Empty, Page, Scroll, Show, to } from "../ui/base.tsx";
import { EventTable } from "../ui/events.tsx";
import { TimeTravel } from "../ui/time-travel.tsx";

const LIMIT = 50;

function Facts({ info }: { info: StreamInfo }) {
  const { retention } = info;
  const kept = [
    retention.max_count !== null && `the newest ${count(num(retention.max_count))}`,
    retention.max_age !== null && `for ${retention.max_age}`,
    retention.truncate_before !== null && `from revision ${count(num(retention.truncate_before))}`,
  ].filter(Boolean);
  return (
    <p class="row facts-line">
      <Badge>{categoryOf(info.stream)}</Badge>
      {info.exists ? (
        <span>
          {plural(info.last_revision - info.first_revision + 1, "event")}, revisions {count(info.first_revision)} to {count(info.last_revision)}
        </span>
      ) : (
        <span class="dim">has no events</span>
      )}
      {kept.length > 0 && <Badge tone="warn">kept: {kept.join(", ")}</Badge>}
      {info.tombstoned && <Badge tone="bad">closed for good</Badge>}
    </p>
  );
}

/* Apps whose states this stream might be: those that have deciders. */
function States({ stream }: { stream: string }) {
  const apps = useLoad((signal) => json<{ apps: AppSummary[] }>("/v1/apps", { signal }), ["apps"]);
  if (!apps.data || apps.data.apps.length === 0) return null;
  return (
    <p class="row">
      <span class="dim">State by</span>
      {apps.data.apps.map(({ name, title }) => (
        <a key={name} href={to("/apps/{app}/state", { app: name }, { stream })}>
          {title || name}
        </a>
      ))}
    </p>
  );
}

export function Stream({ stream }: { stream: string }) {
  const { query } = usePlace();
  const forward = query.get("order") === "oldest";
  const from = query.get("from");
  const moment = asOf(query);
  const base = `/v1/streams/${encodeURIComponent(stream)}`;
  const info = useLoad((signal) => json<StreamInfo>(base, { signal }), [stream]);
  const page = useLoad(
    (signal) => json<EventPage>(`${base}/events${queryText({ from, direction: forward ? "forward" : "backward", limit: LIMIT, as_of: moment })}`, { signal }),
    [stream, forward, from, moment],
  );
  /* What comes now is shown by loading again: the page stays one page. */
  const live = moment === null && from === null && info.data !== undefined;
  const state = useFollow(live ? `${base}/events?from=end` : null, () => {
    page.reload();
    info.reload();
  });
  const jump = (text: string) => setQuery({ from: /^\d+$/.test(text) ? text : null });
  return (
    <Page title={stream} crumbs={[["Streams", to("/streams")]]} actions={<Badge tone={state === "live" ? "good" : "quiet"}>{live ? (state === "live" ? "live" : "connecting") : "standing still"}</Badge>}>
      <Show of={info} lines={1}>
        {(data) => <Facts info={data} />}
      </Show>
      <States stream={stream} />
      <TimeTravel stops={page.data ? page.data.events.map(({ position }) => position + 1).sort((a, b) => a - b) : undefined} />
      <div class="filters">
        <div class="choice" role="group" aria-label="Order">
          <button type="button" aria-pressed={!forward} onClick={() => setQuery({ order: null, from: null })}>
            Newest first
          </button>
          <button type="button" aria-pressed={forward} onClick={() => setQuery({ order: "oldest", from: null })}>
            Oldest first
          </button>
        </div>
        <label>
          <span class="label">Jump to revision</span>
          <input data-search type="number" min={0} value={from ?? ""} placeholder={info.data ? String(info.data.last_revision) : ""} onChange={(event) => jump(event.currentTarget.value)} />
        </label>
      </div>
      <Show of={page} lines={10}>
        {({ events, next, end }) =>
          events.length === 0 ? (
            <Empty title={moment !== null ? "It had no events then" : "No events here"}>
              {moment !== null && <Button onClick={() => setQuery({ as_of: null })}>Back to now</Button>}
            </Empty>
          ) : (
            <>
              <Scroll label={`Events of ${stream}`}>
                <EventTable events={events} by="revision" open={from === null ? null : Number(from)} />
              </Scroll>
              <div class="pager">
                <Button disabled={from === null} onClick={() => setQuery({ from: null }, false)}>
                  {forward ? "Oldest" : "Newest"}
                </Button>
                <Button disabled={end || next === null} onClick={() => setQuery({ from: String(next) }, false)}>
                  {forward ? "Newer" : "Older"}
                </Button>
              </div>
            </>
          )
        }
      </Show>
    </Page>
  );
}

/* All events: filtered, as of any moment, page by page or as they come. */
import { useEffect, useState } from "preact/hooks";
import { json, type CairnEvent, type EventPage } from "../api.ts";
import { queryText } from "../lib/router.ts";
import { asOf, setQuery, useFollow, useLoad, usePlace } from "../hooks.ts";
import { Badge, Button, Empty, Page, Scroll, Show } from "../ui/base.tsx";
import { EventTable } from "../ui/events.tsx";
import { TimeTravel } from "../ui/time-travel.tsx";

const LIMIT = 50;
const LIVE_MAX = 300;

/* Words, any of several: "OrderPlaced, OrderPaid". */
const words = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);

function Filter(props: { name: string; label: string; value: string; hint: string; search?: boolean }) {
  const [typed, type] = useState<string | null>(null);
  const done = () => {
    if (typed === null) return;
    setQuery({ [props.name]: props.name === "category" ? typed.trim() : words(typed), from: null });
    type(null);
  };
  return (
    <label class="grow">
      <span class="label">{props.label}</span>
      <input
        type="search"
        value={typed ?? props.value}
        placeholder={props.hint}
        onInput={(event) => type(event.currentTarget.value)}
        onBlur={done}
        onChange={done}
        onKeyDown={(event) => event.key === "Enter" && done()}
        {...(props.search ? { "data-search": true } : {})}
      />
    </label>
  );
}

export function Events() {
  const { query } = usePlace();
  const moment = asOf(query);
  const forward = query.get("order") === "oldest";
  const from = query.get("from");
  const filter = { category: query.get("category"), type: query.getAll("type"), tag: query.getAll("tag"), system: query.get("system") === "true" };
  const follow = query.get("follow") === "true" && moment === null;
  const page = useLoad(
    (signal) => json<EventPage>(`/v1/events${queryText({ ...filter, from, as_of: moment, limit: LIMIT, direction: forward ? "forward" : "backward" })}`, { signal }),
    [filter, from, moment, forward],
  );
  const [live, setLive] = useState<CairnEvent[]>([]);
  const key = JSON.stringify(filter);
  useEffect(() => setLive([]), [key, follow]);
  const state = useFollow(follow ? `/v1/events${queryText({ ...filter, from: "end" })}` : null, (more) => setLive((old) => [...more.reverse(), ...old].slice(0, LIVE_MAX)));
  const narrowed = filter.category || filter.type.length > 0 || filter.tag.length > 0;
  const known = new Set(live.map(({ position }) => position));
  return (
    <Page title="Events" lead="Everything in the log, by position." actions={follow ? <Badge tone={state === "live" ? "good" : "quiet"}>{state === "live" ? "live" : "connecting"}</Badge> : undefined}>
      <TimeTravel />
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <Filter search name="category" label="Category" value={filter.category ?? ""} hint="order" />
        <Filter name="type" label="Type, any of" value={filter.type.join(" ")} hint="OrderPlaced OrderPaid" />
        <Filter name="tag" label="Tag, all of" value={filter.tag.join(" ")} hint="customer:7" />
        <label class="check">
          <input type="checkbox" checked={filter.system} onChange={(event) => setQuery({ system: event.currentTarget.checked ? "true" : null, from: null })} />
          Cairn’s own ($)
        </label>
      </form>
      <div class="filters">
        <div class="choice" role="group" aria-label="Order">
          <button type="button" aria-pressed={!forward} onClick={() => setQuery({ order: null, from: null })}>
            Newest first
          </button>
          <button type="button" aria-pressed={forward} onClick={() => setQuery({ order: "oldest", from: null, follow: null })}>
            Oldest first
          </button>
        </div>
        <Button aria-pressed={follow} disabled={moment !== null} onClick={() => setQuery(follow ? { follow: null } : { follow: "true", from: null, order: null })}>
          {follow ? "Stop following" : "Follow live"}
        </Button>
        {narrowed && (
          <Button onClick={() => setQuery({ category: null, type: null, tag: null, from: null })}>
            Clear filters
          </Button>
        )}
      </div>
      <Show of={page} lines={12}>
        {({ events, next, end }) => {
          const shown = follow ? [...live, ...events.filter(({ position }) => !known.has(position))] : events;
          return shown.length === 0 ? (
            <Empty title={narrowed ? "No event matches" : moment !== null ? "Nothing had happened yet" : "No event yet"}>
              {moment !== null && <Button onClick={() => setQuery({ as_of: null })}>Back to now</Button>}
            </Empty>
          ) : (
            <>
              <Scroll label="Events">
                <EventTable events={shown} by="position" {...(follow && live.length > 0 ? { fresh: live[live.length - 1]!.position } : {})} />
              </Scroll>
              <div class="pager">
                <Button disabled={from === null} onClick={() => setQuery({ from: null }, false)}>
                  {forward ? "Oldest" : "Newest"}
                </Button>
                <Button disabled={follow || end || next === null} onClick={() => setQuery({ from: String(next) }, false)}>
                  {forward ? "Newer" : "Older"}
                </Button>
              </div>
            </>
          );
        }}
      </Show>
    </Page>
  );
}

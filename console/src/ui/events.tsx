/* A table of events; each opens to what it holds. j and k walk through the rows. */
import { useState } from "preact/hooks";
import type { CairnEvent } from "../api.ts";
import { count } from "../lib/format.ts";
import { brief, type Json } from "../lib/json.ts";
import { setQuery } from "../hooks.ts";
import { Badge, Button, Copy, Time, to } from "./base.tsx";
import { JsonView } from "./json-view.tsx";

/* Bytes that are no JSON: as text where they are text. */
export function decoded(base64: string): string | null {
  try {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

function Inside({ event }: { event: CairnEvent }) {
  const text = event.data_base64 !== undefined ? decoded(event.data_base64) : null;
  return (
    <div class="event-inside">
      <dl class="facts">
        <dt>Position</dt>
        <dd>{count(event.position)}</dd>
        <dt>Stream</dt>
        <dd>
          <a href={to("/streams/{stream}", { stream: event.stream })}>{event.stream}</a> at revision {count(event.revision)}
        </dd>
        <dt>Time</dt>
        <dd class="mono">{event.time}</dd>
        <dt>Id</dt>
        <dd class="mono">
          {event.id} <Copy text={event.id} what="id" />
        </dd>
        {event.schema_id !== undefined && (
          <>
            <dt>Schema</dt>
            <dd>{event.schema_id}</dd>
          </>
        )}
        {event.tags && (
          <>
            <dt>Tags</dt>
            <dd class="tags">
              {event.tags.map((tag) => (
                <a key={tag} class="tag" href={to("/events", {}, { tag })}>
                  {tag}
                </a>
              ))}
            </dd>
          </>
        )}
      </dl>
      {event.data !== undefined && <JsonView value={event.data} label="data" />}
      {event.data_base64 !== undefined && (
        <div class="json">
          <p class="dim">{event.content_type}</p>
          <pre tabIndex={0}>{text ?? event.data_base64}</pre>
        </div>
      )}
      {event.meta && (
        <details class="meta">
          <summary>Metadata</summary>
          <JsonView value={event.meta} label="metadata" />
        </details>
      )}
      <Button small onClick={() => setQuery({ as_of: event.position + 1 }, false)}>
        Look at everything as of here
      </Button>
    </div>
  );
}

export function EventTable(props: { events: CairnEvent[]; by: "position" | "revision"; fresh?: number; open?: number | null }) {
  const [open, setOpen] = useState<Record<number, boolean>>({});
  const withStream = props.by === "position";
  const columns = withStream ? 5 : 4;
  return (
    <table class="events">
      <thead>
        <tr>
          <th scope="col" class="number">
            {withStream ? "Position" : "Revision"}
          </th>
          <th scope="col">Type</th>
          {withStream && <th scope="col">Stream</th>}
          <th scope="col" class="wide">
            Data
          </th>
          <th scope="col">Time (UTC)</th>
        </tr>
      </thead>
      <tbody>
        {props.events.map((event) => {
          const at = event.position;
          const isOpen = open[at] ?? props.open === event[props.by];
          return [
            <tr key={at} class={`${isOpen ? "is-open" : ""}${props.fresh !== undefined && at >= props.fresh ? " is-fresh" : ""}`}>
              <td class="number">
                <button type="button" class="opener" data-row aria-expanded={isOpen} aria-label={`${event.type}, ${props.by} ${event[props.by]}`} onClick={() => setOpen({ ...open, [at]: !isOpen })}>
                  {count(event[props.by])}
                </button>
              </td>
              <td class="type">
                <span>{event.type}</span>
                {event.tags && withStream === false && event.tags.map((tag) => <Badge key={tag}>{tag}</Badge>)}
              </td>
              {withStream && (
                <td class="stream">
                  <a href={to("/streams/{stream}", { stream: event.stream })}>{event.stream}</a>
                </td>
              )}
              <td class="wide mono brief">{event.data !== undefined ? brief(event.data as Json) : event.data_base64 !== undefined ? <span class="dim">{event.content_type}</span> : ""}</td>
              <td class="time">
                <Time at={event.time} />
              </td>
            </tr>,
            isOpen && (
              <tr key={`${at}-inside`} class="inside">
                <td colSpan={columns}>
                  <Inside event={event} />
                </td>
              </tr>
            ),
          ];
        })}
      </tbody>
    </table>
  );
}

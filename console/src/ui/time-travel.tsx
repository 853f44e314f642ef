/* The bar that says which moment is looked at: now, or when so many events had been written. The moment stands in the
 * address (as_of) and goes along from page to page. */
import { useEffect, useState } from "preact/hooks";
import { json, num, type EventPage, type Stats } from "../api.ts";
import { clock, count, moment } from "../lib/format.ts";
import { queryText } from "../lib/router.ts";
import { asOf, setQuery, useLoad, usePlace, useSettled } from "../hooks.ts";
import { Button } from "./base.tsx";

/* How many events had been written at that time, itself included. */
async function positionAt(time: string): Promise<number | null> {
  const [whole, part = ""] = time.slice(0, -1).split(".");
  const micros = Math.min(999999, Number(part.padEnd(6, "0")) + 1);
  const since = `${whole}.${String(micros).padStart(6, "0")}Z`;
  const page = await json<EventPage>(`/v1/events${queryText({ since, limit: 1, system: true })}`);
  return page.events[0]?.position ?? null;
}

export function useEnd(): number | undefined {
  const stats = useLoad((signal) => json<Stats>("/v1/stats", { signal }), ["end"], 5000);
  return stats.data && num(stats.data.store.events);
}

/* `stops`: positions after which what this page shows was another; the step buttons go from one to the next. */
export function TimeTravel({ stops }: { stops?: number[] | undefined }) {
  const { query } = usePlace();
  const now = asOf(query);
  const end = useEnd();
  const [slid, slide] = useState<number | null>(null); /* while the slider moves */
  const settled = useSettled(slid, 120);
  const [typed, type] = useState<string | null>(null);
  const [fault, setFault] = useState("");
  const at = slid ?? now;

  useEffect(() => {
    if (settled === null) return;
    setQuery({ as_of: end !== undefined && settled >= end ? null : settled });
    slide(null);
  }, [settled]);

  const when = useLoad(
    async (signal) => {
      if (!now) return null;
      const page = await json<EventPage>(`/v1/events${queryText({ from: now - 1, limit: 1, direction: "backward", system: true })}`, { signal });
      return page.events[0]?.time ?? null;
    },
    ["moment", now],
  );

  if (end === undefined) return <div class="travel" aria-hidden="true" />;
  const top = Math.max(end, now ?? 0);
  const step = (by: 1 | -1) => {
    const from = at ?? top;
    const next = stops?.length
      ? by > 0 ? stops.find((stop) => stop > from) : [...stops].reverse().find((stop) => stop < from)
      : Math.min(top, Math.max(0, from + by));
    setQuery({ as_of: next === undefined ? (by > 0 ? null : 0) : next >= top && by > 0 ? null : next });
  };
  const seek = async (event: Event) => {
    event.preventDefault();
    const time = moment(typed ?? "");
    if (!time) {
      setFault("A time such as 2026-11-21 10:03 (UTC)");
      return;
    }
    setFault("");
    try {
      setQuery({ as_of: await positionAt(time) });
      type(null);
    } catch (error) {
      setFault((error as Error).message);
    }
  };
  return (
    <section class={`travel${now === null ? "" : " is-past"}`} aria-label="Time travel">
      <p class="travel-what" aria-live="polite">
        {now === null ? (
          <>
            <strong>Now</strong> <span class="dim">{count(end)} events</span>
          </>
        ) : (
          <>
            <strong>As of {count(now)} events</strong> {when.data && <span class="dim">{clock(when.data)} UTC</span>}
          </>
        )}
      </p>
      <div class="travel-slide">
        <Button small aria-label={stops ? "The change before" : "One event back"} disabled={at === 0 || end === 0} onClick={() => step(-1)}>
          ‹
        </Button>
        <input
          type="range"
          data-travel
          min={0}
          max={top}
          value={at ?? top}
          disabled={end === 0}
          aria-label="Moment, in events written"
          aria-valuetext={at === null ? "now" : `after ${at} of ${top} events`}
          onInput={(event) => slide(Number(event.currentTarget.value))}
        />
        <Button small aria-label={stops ? "The next change" : "One event on"} disabled={at === null} onClick={() => step(1)}>
          ›
        </Button>
      </div>
      <label class="travel-position">
        <span class="unseen">Position</span>
        <input
          type="number"
          min={0}
          max={top}
          placeholder={String(top)}
          value={at ?? ""}
          onChange={(event) => {
            const text = event.currentTarget.value;
            setQuery({ as_of: text === "" ? null : Math.max(0, Math.round(Number(text))) });
          }}
        />
      </label>
      <form class="travel-time" onSubmit={seek}>
        <label>
          <span class="unseen">Time, UTC</span>
          <input
            value={typed ?? (now !== null && when.data ? clock(when.data).slice(0, 19) : "")}
            placeholder="YYYY-MM-DD hh:mm"
            aria-invalid={fault !== ""}
            title={fault || "A time in UTC, then Enter"}
            onInput={(event) => type(event.currentTarget.value)}
          />
        </label>
      </form>
      <Button small look={now === null ? "plain" : "main"} disabled={now === null} onClick={() => setQuery({ as_of: null })}>
        Now
      </Button>
      {fault && <p class="travel-fault" role="alert">{fault}</p>}
    </section>
  );
}

/* Loading, polling, following, moving about. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Problem, generation, lost, reachable, type CairnEvent } from "./api.ts";
import { parse } from "./lib/json.ts";
import { placeOf, type Place } from "./lib/router.ts";
import { store, useStore } from "./lib/store.ts";

/* ---- places -------------------------------------------------------------------------------- */

export const place = store<Place>(placeOf(location.pathname, location.search));
addEventListener("popstate", () => place.set(placeOf(location.pathname, location.search)));

export function go(to: string, replace = false): void {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  place.set(placeOf(location.pathname, location.search));
}

export const usePlace = (): Place => useStore(place);

/* Change parameters of this address, leave the others; null takes one away. */
export function setQuery(changes: Record<string, string | number | string[] | null>, replace = true): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    if (Array.isArray(value)) value.forEach((item) => query.append(name, item));
    else if (value !== null && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  go(location.pathname + (text ? `?${text}` : ""), replace);
}

/* The moment that is looked at: so many events had been written. null: now. It goes along from page to page. */
export function asOf(query: URLSearchParams): number | null {
  const text = query.get("as_of");
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/* ---- loading ----------------------------------------------------------------------------------- */

export interface Loaded<T> {
  data: T | undefined; /* the last there was: stays while the next is being loaded */
  problem: Problem | undefined;
  loading: boolean;
  reload: () => void;
}

/* `deps` say what is loaded: when they change the old data goes. `every_ms`: again and again while the page is seen. */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, deps: unknown[], every_ms = 0): Loaded<T> {
  const [state, set] = useState<{ key: string; data?: T; problem?: Problem; loading: boolean }>({ key: "", loading: true });
  const [turn, setTurn] = useState(0);
  const back = useStore(generation);
  const key = JSON.stringify(deps);
  const current = useRef(load);
  current.current = load;

  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const once = async (): Promise<void> => {
      try {
        const data = await current.current(abort.signal);
        if (!abort.signal.aborted) set({ key, data, loading: false });
      } catch (error) {
        if (abort.signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(0, "The page has made a mistake", String(error), "", "internal", {});
        if (!(error instanceof Problem)) console.error(error);
        /* What was read stays on the screen while the server is away. */
        set((old) => ({ key, ...(problem.name_ === "offline" && old.key === key && old.data !== undefined ? { data: old.data } : {}), problem, loading: false }));
      }
      if (every_ms > 0 && !abort.signal.aborted) timer = window.setTimeout(again, every_ms);
    };
    const again = (): void => {
      if (document.hidden) timer = window.setTimeout(again, every_ms);
      else void once();
    };
    set((old) => (old.key === key ? { ...old, loading: true } : { key, loading: true }));
    void once();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [key, turn, back, every_ms]);

  const reload = useCallback(() => setTurn((n) => n + 1), []);
  const mine = state.key === key;
  return { data: mine ? state.data : undefined, problem: mine ? state.problem : undefined, loading: mine ? state.loading : true, reload };
}

/* Events as they come, from `path` (its query included), while `on`. The browser itself comes back after a break and
 * says with Last-Event-ID where it was. */
export function useFollow(path: string | null, take: (events: CairnEvent[]) => void): "off" | "connecting" | "live" {
  const [state, set] = useState<"off" | "connecting" | "live">("off");
  const current = useRef(take);
  current.current = take;
  useEffect(() => {
    if (path === null) {
      set("off");
      return;
    }
    set("connecting");
    const source = new EventSource(path);
    let held: CairnEvent[] = [];
    let frame = 0;
    source.onopen = () => set("live");
    source.onmessage = (message) => {
      if (!message.data) return;
      held.push(parse(message.data as string) as unknown as CairnEvent);
      if (held.length > 1000) held = held.slice(-500); /* more than anybody reads in a frame */
      if (!frame)
        frame = requestAnimationFrame(() => {
          frame = 0;
          const events = held;
          held = [];
          current.current(events);
        });
    };
    source.onerror = () => {
      set("connecting");
      if (source.readyState === EventSource.CLOSED) lost();
    };
    return () => {
      source.close();
      cancelAnimationFrame(frame);
    };
  }, [path]);
  return state;
}

/* Now, again every so often, for "3 s ago". */
export function useNow(every_ms = 5000): number {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), every_ms);
    return () => clearInterval(timer);
  }, [every_ms]);
  return now;
}

/* A value that has been still for so long. */
export function useSettled<T>(value: T, after_ms: number): T {
  const [settled, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), after_ms);
    return () => clearTimeout(timer);
  }, [value, after_ms]);
  return settled;
}

export const useTitle = (title: string): void => {
  useEffect(() => {
    document.title = title ? `${title} · Cairn` : "Cairn";
  }, [title]);
};

export { reachable };

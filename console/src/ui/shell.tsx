/* The frame around the pages: navigation, keys, theme, health, and word when the server is away. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, call, reachable } from "../api.ts";
import { go, useLoad, usePlace } from "../hooks.ts";
import { useStore } from "../lib/store.ts";
import { BASE } from "../lib/router.ts";
import { to } from "./base.tsx";

const PAGES: { name: string; path: string; key: string; icon: string }[] = [
  { name: "Overview", path: "/", key: "o", icon: "M2 9h3l2-5 3 9 2-4h2" },
  { name: "Streams", path: "/streams", key: "s", icon: "M2 4h12M2 8h9M2 12h6" },
  { name: "Events", path: "/events", key: "e", icon: "M8 2v3M8 7v2M8 11v3M6.5 5h3v2h-3zM6.5 9h3v2h-3z" },
  { name: "Topics", path: "/topics", key: "t", icon: "M2 4h4l2 4 2-4h4M2 12h4l2-4M10 12h4" },
  { name: "Groups", path: "/groups", key: "g", icon: "M5.5 7a2 2 0 1 0 0-4 2 2 0 0 0 0 4M2 13c0-2.5 1.5-4 3.5-4s3.5 1.5 3.5 4M10.5 7.5a1.6 1.6 0 1 0 0-3.2M11 9.3c1.8.2 3 1.6 3 3.7" },
  { name: "Relays", path: "/relays", key: "l", icon: "M2 5.5h9M8.5 3 11 5.5 8.5 8M14 10.5H5M7.5 8 5 10.5 7.5 13" },
  { name: "Apps", path: "/apps", key: "a", icon: "M2.5 2.5h4.5v4.5h-4.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5h-4.5zM9 9h4.5v4.5H9z" },
  { name: "Read models", path: "/read-models", key: "r", icon: "M2 3.5h12v9H2zM2 6.5h12M6 6.5v6" },
  { name: "Projections", path: "/projections", key: "p", icon: "M2 12.5 6 8l3 2.5L14 4M10.5 4H14v3.5" },
  { name: "Deployments", path: "/deployments", key: "d", icon: "M8 13.5v-8M4.5 8.5 8 5l3.5 3.5M2.5 2.5h11" },
];

const Icon = ({ d }: { d: string }) => (
  <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
    <path d={d} />
  </svg>
);

type Theme = "system" | "light" | "dark";
const THEMES: Theme[] = ["system", "light", "dark"];

function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, set] = useState<Theme>((document.documentElement.dataset.theme as Theme | undefined) ?? "system");
  return [
    theme,
    (next) => {
      if (next === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = next;
      try {
        if (next === "system") localStorage.removeItem("cairn-theme");
        else localStorage.setItem("cairn-theme", next);
      } catch {
        /* not kept then */
      }
      set(next);
    },
  ];
}

function Health() {
  const online = useStore(reachable);
  const ready = useLoad(
    async (signal) => {
      try {
        await call("/readyz", { signal });
        return null;
      } catch (error) {
        if (error instanceof Problem && error.status > 0) return error;
        throw error;
      }
    },
    ["ready"],
    10000,
  );
  const [tone, text, why] = !online
    ? ["bad", "Unreachable", "The server does not answer"]
    : ready.data ? ["bad", "Takes no writes", ready.data.detail] : ready.data === null ? ["good", "Ready", "Takes reads and writes"] : ["quiet", "…", ""];
  return (
    <p class="health" role="status" title={why}>
      <span class={`dot ${tone}`} aria-hidden="true" />
      {text}
    </p>
  );
}

const KEYS: [string, string][] = [
  ["/", "search, or the first filter"],
  ...PAGES.map(({ key, name }): [string, string] => [`g ${key}`, name]),
  ["t", "the time slider"],
  ["j k", "the next and the previous row"],
  ["Enter", "open or close a row"],
  ["?", "this list"],
  ["Esc", "leave a field, close this"],
];

function Help({ close }: { close: () => void }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current?.showModal(), []);
  return (
    <dialog ref={box} class="help" onClose={close} aria-labelledby="help-title" onClick={(event) => event.target === box.current && box.current?.close()}>
      <h2 id="help-title">Keys</h2>
      <dl>
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split(" ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button class="button plain">Close</button>
      </form>
    </dialog>
  );
}

const isTyping = (target: EventTarget | null): boolean => target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

function walkRows(by: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

let seekOn: string | undefined; /* the page that is gone to for its search field */

function useKeys(help: () => void): void {
  useEffect(() => {
    let went = -Infinity; /* when g was pressed */
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      if (isTyping(event.target)) {
        if (event.key === "Escape") (event.target as HTMLElement).blur();
        const isSlider = event.target instanceof HTMLInputElement && event.target.type === "range";
        if (!isSlider) return;
      }
      const second = event.timeStamp - went < 1500;
      went = -Infinity;
      if (second) {
        const page = PAGES.find(({ key }) => key === event.key);
        if (page) {
          event.preventDefault();
          seekOn = undefined;
          go(to(page.path));
        }
        return;
      }
      if (event.key === "g") went = event.timeStamp;
      else if (event.key === "?") help();
      else if (event.key === "j" || event.key === "k") walkRows(event.key === "j" ? 1 : -1);
      else if (event.key === "t") document.querySelector<HTMLElement>("[data-travel]")?.focus();
      else if (event.key === "/") {
        event.preventDefault();
        const field = document.querySelector<HTMLInputElement>("[data-search]");
        if (field) {
          field.focus();
          field.select();
        } else {
          seekOn = "/streams";
          go(to(seekOn));
        }
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [help]);
}

/* Links within the console move about without loading anything again. */
function useLinks(): void {
  useEffect(() => {
    const onClick = (event: MouseEvent) => {
      if (event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      const link = (event.target as Element).closest?.("a");
      if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
      if (link.pathname !== BASE && !link.pathname.startsWith(`${BASE}/`)) return;
      if (link.getAttribute("href")?.startsWith("#")) return;
      event.preventDefault();
      go(link.pathname + link.search);
    };
    document.addEventListener("click", onClick);
    return () => document.removeEventListener("click", onClick);
  }, []);
}

export function Shell({ children }: { children: ComponentChildren }) {
  const { path } = usePlace();
  const online = useStore(reachable);
  const [theme, setTheme] = useTheme();
  const [help, setHelp] = useState(false);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const showHelp = useRef(() => setHelp(true)).current;
  useKeys(showHelp);
  useLinks();
  /* A new page begins at its top, and is what is read next. This runs a moment after the page is shown: a key that was
   * pressed meanwhile is about the page after it. */
  useEffect(() => {
    const seek = seekOn === path;
    if (seek) seekOn = undefined;
    if (!first.current) {
      scrollTo(0, 0);
      ((seek && document.querySelector<HTMLElement>("[data-search]")) || main.current)?.focus({ preventScroll: true });
    }
    first.current = false;
    document.querySelector(".pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [path]);
  const section = `/${path.split("/")[1] ?? ""}`;
  return (
    <div class="shell">
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the page
      </a>
      <aside class="side">
        <a class="brand" href={to("/")} aria-label="Cairn, overview">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <ellipse cx="16" cy="25.5" rx="13" ry="4.5" />
            <ellipse cx="16.5" cy="16.6" rx="9" ry="3.6" />
            <ellipse cx="15.5" cy="9.4" rx="5.4" ry="2.8" />
          </svg>
          <span>Cairn</span>
        </a>
        <nav class="pages" aria-label="Pages">
          {PAGES.map((page) => (
            <a key={page.path} href={to(page.path)} aria-current={page.path === section ? "page" : undefined}>
              <Icon d={page.icon} />
              <span>{page.name}</span>
              <kbd aria-hidden="true">g {page.key}</kbd>
            </a>
          ))}
        </nav>
        <div class="side-foot">
          <Health />
          <div class="theme" role="group" aria-label="Theme">
            {THEMES.map((name) => (
              <button key={name} type="button" aria-pressed={theme === name} onClick={() => setTheme(name)}>
                {name}
              </button>
            ))}
          </div>
          <button type="button" class="help-button" onClick={showHelp}>
            <kbd aria-hidden="true">?</kbd> Keys
          </button>
        </div>
      </aside>
      <main id="main" ref={main} tabIndex={-1}>
        {!online && (
          <div class="offline" role="alert">
            <span class="dot bad" aria-hidden="true" />
            The server cannot be reached. What you see is from before; it is asked again every other second.
          </div>
        )}
        {children}
      </main>
      {help && <Help close={() => setHelp(false)} />}
    </div>
  );
}

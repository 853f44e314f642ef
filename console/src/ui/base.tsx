/* Small parts that every page uses. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api.ts";
import { ago, clock } from "../lib/format.ts";
import { href } from "../lib/router.ts";
import { asOf, place, useNow, useTitle, type Loaded } from "../hooks.ts";

/* An address with the moment that is looked at. */
export const to = (pattern: string, parts: Record<string, string> = {}, query: Parameters<typeof href>[2] = {}): string =>
  href(pattern, parts, { as_of: asOf(place.get().query), ...query });

export function Page(props: { title: string; lead?: ComponentChildren; crumbs?: [string, string][]; actions?: ComponentChildren; children: ComponentChildren }) {
  useTitle(props.title);
  return (
    <>
      <header class="page-head">
        <div class="page-title">
          {props.crumbs && (
            <nav class="crumbs" aria-label="Breadcrumbs">
              {props.crumbs.map(([name, at]) => (
                <span key={at}>
                  <a href={at}>{name}</a>
                  <span aria-hidden="true"> / </span>
                </span>
              ))}
            </nav>
          )}
          <h1>{props.title}</h1>
          {props.lead && <p class="lead">{props.lead}</p>}
        </div>
        {props.actions && <div class="actions">{props.actions}</div>}
      </header>
      {props.children}
    </>
  );
}

type ButtonProps = JSX.ButtonHTMLAttributes<HTMLButtonElement> & { look?: "main" | "plain" | "danger"; small?: boolean };
export const Button = ({ look = "plain", small, class: more, ...rest }: ButtonProps) => (
  <button type="button" {...rest} class={`button ${look}${small ? " small" : ""}${more ? ` ${String(more)}` : ""}`} />
);

export const Badge = ({ tone = "quiet", children }: { tone?: "quiet" | "good" | "warn" | "bad" | "accent"; children: ComponentChildren }) => (
  <span class={`badge ${tone}`}>{children}</span>
);

export function Time({ at, relative }: { at: string | undefined | null; relative?: boolean }) {
  const now = useNow(relative ? 5000 : 3600000);
  if (!at) return <span class="dim">—</span>;
  return (
    <time dateTime={at} title={relative ? `${clock(at)} UTC` : at} class="nowrap">
      {relative ? ago(at, now) : clock(at)}
    </time>
  );
}

export const Empty = ({ title, children }: { title: string; children?: ComponentChildren }) => (
  <div class="empty">
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <ellipse cx="16" cy="25.5" rx="13" ry="4.5" />
      <ellipse cx="16.5" cy="16.6" rx="9" ry="3.6" />
      <ellipse cx="15.5" cy="9.4" rx="5.4" ry="2.8" />
    </svg>
    <p class="empty-title">{title}</p>
    {children && <div class="empty-text">{children}</div>}
  </div>
);

export const Loading = ({ lines = 6, what = "Loading" }: { lines?: number; what?: string }) => (
  <div class="skeleton" role="status">
    <span class="unseen">{what}…</span>
    {Array.from({ length: lines }, (_, i) => (
      <span key={i} class="bone" style={{ width: `${92 - ((i * 37) % 41)}%` }} />
    ))}
  </div>
);

export function ProblemBox({ problem, again }: { problem: Problem; again?: (() => void) | undefined }) {
  return (
    <div class="problem" role="alert">
      <p class="problem-title">
        {problem.title}
        {problem.status > 0 && <span class="problem-status">{problem.status}</span>}
      </p>
      {problem.detail && <p>{problem.detail}</p>}
      {problem.hint && <p class="dim">{problem.hint}</p>}
      {again && problem.name_ !== "offline" && (
        <Button small onClick={again}>
          Try again
        </Button>
      )}
    </div>
  );
}

/* What is loaded, or why not, or that it is coming. */
export function Show<T>({ of, lines, children }: { of: Loaded<T>; lines?: number; children: (data: T) => ComponentChildren }) {
  if (of.data !== undefined) {
    return (
      <>
        {of.problem && of.problem.name_ !== "offline" && <ProblemBox problem={of.problem} again={of.reload} />}
        {children(of.data)}
      </>
    );
  }
  return of.problem ? <ProblemBox problem={of.problem} again={of.reload} /> : <Loading lines={lines ?? 6} />;
}

export function Copy({ text, what }: { text: string; what: string }) {
  const [done, set] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      set(true);
      setTimeout(() => set(false), 1500);
    } catch {
      /* not allowed on this origin: the text can be selected */
    }
  };
  if (!navigator.clipboard) return null;
  return (
    <Button small class="copy" aria-label={`Copy ${what}`} onClick={copy}>
      {done ? "Copied" : "Copy"}
    </Button>
  );
}

export interface Question {
  title: string;
  text: string;
  yes: string;
  look?: "main" | "danger";
  note?: string; /* asks for a note under this label */
  act: (note: string) => Promise<void>;
}

/* Asks before something that is hard to take back. */
export function Ask({ question, close }: { question: Question | null; close: () => void }) {
  const box = useRef<HTMLDialogElement>(null);
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    if (question) {
      setNote("");
      setProblem(null);
      box.current?.showModal();
    }
  }, [question]);
  if (!question) return null;
  const act = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await question.act(note);
      close();
    } catch (error) {
      setProblem(error as Problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <dialog ref={box} onClose={close} aria-labelledby="ask-title">
      <form onSubmit={act}>
        <h2 id="ask-title">{question.title}</h2>
        <p>{question.text}</p>
        {question.note && (
          <label class="field">
            <span class="label">{question.note}</span>
            <input value={note} onInput={(event) => setNote(event.currentTarget.value)} />
          </label>
        )}
        {problem && <ProblemBox problem={problem} />}
        <div class="row end">
          <Button onClick={() => box.current?.close()}>Cancel</Button>
          <Button type="submit" look={question.look ?? "main"} disabled={busy}>
            {question.yes}
          </Button>
        </div>
      </form>
    </dialog>
  );
}

export const Tabs = ({ label, items, at }: { label: string; items: [string, string, ComponentChildren?][]; at: string }) => (
  <nav class="tabs" aria-label={label}>
    {items.map(([name, where, badge]) => (
      <a key={name} href={where} aria-current={name === at ? "page" : undefined}>
        {name}
        {badge !== undefined && <span class="tab-count">{badge}</span>}
      </a>
    ))}
  </nav>
);

/* A table that scrolls by itself when it is too wide, and can be reached by keyboard then. */
export const Scroll = ({ label, children }: { label: string; children: ComponentChildren }) => (
  <div class="scroll" role="region" aria-label={label} tabIndex={0}>
    {children}
  </div>
);

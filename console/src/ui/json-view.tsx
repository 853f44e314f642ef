/* JSON to look at: folds by <details>, so that keyboard, search in page and screen readers work by themselves. */
import { useState } from "preact/hooks";
import { Num, brief, isObject, stringify, type Json } from "../lib/json.ts";
import { Button, Copy } from "./base.tsx";

const ITEMS_SHOWN = 100;
const TEXT_SHOWN = 2000;

function Leaf({ value }: { value: Json }) {
  const [all, showAll] = useState(false);
  if (value === null) return <span class="j-null">null</span>;
  if (typeof value === "boolean") return <span class="j-bool">{String(value)}</span>;
  if (typeof value === "number" || value instanceof Num) return <span class="j-num">{String(value)}</span>;
  const text = JSON.stringify(value);
  return (
    <span class="j-str">
      {all || text.length <= TEXT_SHOWN ? text : `${text.slice(0, TEXT_SHOWN)}…`}
      {!all && text.length > TEXT_SHOWN && (
        <Button small onClick={() => showAll(true)}>
          all {text.length.toLocaleString("en-US")} characters
        </Button>
      )}
    </span>
  );
}

const Name = ({ name }: { name: string | number | undefined }) =>
  name === undefined ? null : <span class={typeof name === "number" ? "j-at" : "j-name"}>{name}: </span>;

function Node({ name, value, depth }: { name?: string | number; value: Json; depth: number }) {
  const [shown, show] = useState(ITEMS_SHOWN);
  const isList = Array.isArray(value);
  const entries: [string | number, Json][] = isList ? value.map((item, at) => [at, item]) : isObject(value) ? Object.entries(value) : [];
  if (!isList && !isObject(value)) {
    return (
      <div class="j-line">
        <Name name={name} />
        <Leaf value={value} />
      </div>
    );
  }
  if (entries.length === 0) {
    return (
      <div class="j-line">
        <Name name={name} />
        <span class="j-null">{isList ? "[]" : "{}"}</span>
      </div>
    );
  }
  const size = isList ? `[${entries.length}]` : `{${entries.length}}`;
  return (
    <details class="j-node" open={depth < 3}>
      <summary>
        <Name name={name} />
        <span class="j-size">{size}</span>
        <span class="j-brief">{brief(value, 90)}</span>
      </summary>
      <div class="j-body">
        {entries.slice(0, shown).map(([key, item]) => (
          <Node key={key} name={key} value={item} depth={depth + 1} />
        ))}
        {entries.length > shown && (
          <Button small onClick={() => show(shown + 1000)}>
            {(entries.length - shown).toLocaleString("en-US")} more
          </Button>
        )}
      </div>
    </details>
  );
}

export function JsonView({ value, label }: { value: Json; label: string }) {
  const [raw, setRaw] = useState(false);
  return (
    <div class="json" role="group" aria-label={label}>
      <div class="json-tools">
        <Button small aria-pressed={raw} onClick={() => setRaw(!raw)}>
          Text
        </Button>
        <Copy text={stringify(value, 2)} what={label} />
      </div>
      {raw ? <pre tabIndex={0}>{stringify(value, 2)}</pre> : <Node value={value} depth={0} />}
    </div>
  );
}

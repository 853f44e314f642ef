/* Inputs for a Field of lib/schema.ts. A fault is shown at its field, and read out there. */
import type { ComponentChildren } from "preact";
import { stringify } from "../lib/json.ts";
import { below, draftOf, isNested, itemOf, labelOf, memberOf, variantName, variantOf, type Draft, type Fault, type Field } from "../lib/schema.ts";
import { Button } from "./base.tsx";

interface Props {
  field: Field;
  draft: Draft;
  path: string;
  name: string;
  label: string;
  required: boolean;
  faults: Fault[];
  change: (draft: Draft) => void;
}

export const idOf = (path: string): string => `f${path.replace(/[^A-Za-z0-9]/g, (c) => `-${c.charCodeAt(0).toString(16)}-`)}`;
const faultsAt = (faults: Fault[], path: string): Fault[] => faults.filter((fault) => fault.path === path);

const INPUT_TYPE: Record<string, string> = { date: "date", email: "email", "idn-email": "email", uri: "url", iri: "url", time: "text", "date-time": "text", password: "password" };
const FORMAT_HINT: Record<string, string> = {
  "date-time": "2026-11-21T10:03:45Z",
  time: "10:03:45Z",
  uuid: "0198c5f0-7a3e-7bb2-9d6e-5f1c3b9a2e10",
  duration: "PT30M",
  ipv4: "192.0.2.7",
  uri: "https://…",
  email: "ann@example.org",
};

const limits = (field: Field): string => {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, format } = field.schema;
  const parts: string[] = [];
  if (minimum !== undefined && maximum !== undefined) parts.push(`${String(minimum)} to ${String(maximum)}`);
  else if (minimum !== undefined) parts.push(`at least ${String(minimum)}`);
  else if (maximum !== undefined) parts.push(`at most ${String(maximum)}`);
  if (exclusiveMinimum !== undefined) parts.push(`more than ${String(exclusiveMinimum)}`);
  if (exclusiveMaximum !== undefined) parts.push(`less than ${String(exclusiveMaximum)}`);
  if (typeof format === "string" && field.kind === "string") parts.push(format);
  return parts.join(", ");
};

function Faults({ faults, id }: { faults: Fault[]; id: string }) {
  return faults.length === 0 ? null : (
    <span class="fault" id={`${id}-fault`} role="alert">
      {faults.map((fault) => fault.message).join("; ")}
    </span>
  );
}

function Label({ id, label, required, description, hint, aside }: { id: string; label: string; required: boolean; description: string; hint?: string; aside?: ComponentChildren }) {
  return (
    <span class="label-line">
      <label class="label" for={id}>
        {label}
        {required && (
          <span class="required" title="needed">
            {" "}
            *<span class="unseen"> needed</span>
          </span>
        )}
      </label>
      {hint && <span class="hint">{hint}</span>}
      {aside}
      {description && (
        <span class="description" id={`${id}-text`}>
          {description}
        </span>
      )}
    </span>
  );
}

/* One input: text, number, choice, JSON. */
function Simple({ field, draft, path, label, required, faults, change }: Props) {
  const id = idOf(path);
  const mine = faultsAt(faults, path);
  const aria = {
    id,
    "aria-invalid": mine.length > 0,
    "aria-required": required,
    "aria-describedby": [field.description && `${id}-text`, mine.length > 0 && `${id}-fault`].filter(Boolean).join(" ") || undefined,
  };
  const text = draft.kind === "text" ? draft.text : "";
  const at = draft.kind === "choice" ? draft.at : -1;
  const isOff = draft.kind === "null";
  let input: ComponentChildren;
  if (field.kind === "const") input = <output id={id} class="mono">{stringify(field.options[0] ?? null)}</output>;
  else if (field.kind === "boolean" && required && !field.nullable) {
    input = (
      <div class="choice" role="radiogroup" aria-label={label}>
        {["No", "Yes"].map((word, value) => (
          <button key={word} type="button" role="radio" {...(value === Math.max(0, at) ? { id } : {})} aria-checked={at === value} aria-pressed={at === value} onClick={() => change({ kind: "choice", at: value })}>
            {word}
          </button>
        ))}
      </div>
    );
  } else if (field.kind === "boolean" || field.kind === "enum") {
    const options = field.kind === "boolean" ? ["No", "Yes"] : field.options.map((option) => (typeof option === "string" ? option : stringify(option)));
    input = (
      <select {...aria} value={String(at)} disabled={isOff} onChange={(event) => change({ kind: "choice", at: Number(event.currentTarget.value) })}>
        <option value="-1">{required ? "Choose…" : "—"}</option>
        {options.map((option, value) => (
          <option key={value} value={String(value)}>
            {option}
          </option>
        ))}
      </select>
    );
  } else {
    const format = typeof field.schema.format === "string" ? field.schema.format : "";
    const examples = Array.isArray(field.schema.examples) ? field.schema.examples : [];
    const hint = examples.length > 0 ? (typeof examples[0] === "string" ? examples[0] : stringify(examples[0]!)) : (FORMAT_HINT[format] ?? "");
    const isLong = field.kind === "json" || (typeof field.schema.maxLength === "number" && field.schema.maxLength > 200) || format === "multiline" || text.includes("\n");
    const common = { ...aria, value: text, disabled: isOff, placeholder: field.kind === "json" ? "JSON" : hint, onInput: (event: { currentTarget: { value: string } }) => change({ kind: "text", text: event.currentTarget.value }) };
    input = isLong ? (
      <textarea {...common} rows={field.kind === "json" ? 4 : 3} class={field.kind === "json" ? "mono" : ""} spellcheck={field.kind !== "json"} />
    ) : field.kind === "string" ? (
      <input {...common} type={INPUT_TYPE[format] ?? "text"} />
    ) : (
      <input {...common} type="text" inputMode={field.kind === "integer" ? "numeric" : "decimal"} class="is-number" />
    );
  }
  return (
    <div class={`field${mine.length > 0 ? " has-fault" : ""}`}>
      <Label
        id={id}
        label={label}
        required={required}
        description={field.description}
        hint={limits(field)}
        aside={
          field.nullable && (
            <label class="check small">
              <input type="checkbox" checked={isOff} onChange={(event) => change(event.currentTarget.checked ? { kind: "null" } : draftOf({ ...field, schema: { ...field.schema, default: undefined! } }))} />
              null
            </label>
          )
        }
      />
      {input}
      <Faults faults={mine} id={id} />
    </div>
  );
}

export function Members({ field, draft, path, faults, change }: { field: Field; draft: Draft; path: string; faults: Fault[]; change: (draft: Draft) => void }) {
  if (draft.kind !== "members") return null;
  const set = (name: string, member: Draft, on = true) => change({ ...draft, members: { ...draft.members, [name]: member }, on: { ...draft.on, [name]: on } });
  return (
    <>
      {field.names.map((name) => {
        const member = memberOf(field, name);
        const required = field.required.has(name);
        const label = labelOf(member, name);
        if (isNested(member) && !required && !draft.on[name]) {
          return (
            <div class="field" key={name}>
              <Button small onClick={() => set(name, draftOf(member))}>
                Add {label.toLowerCase()}
              </Button>
              {member.description && <span class="description">{member.description}</span>}
              <Faults faults={faultsAt(faults, below(path, name))} id={idOf(below(path, name))} />
            </div>
          );
        }
        return (
          <Input
            key={name}
            field={member}
            draft={draft.members[name]!}
            path={below(path, name)}
            name={name}
            label={label}
            required={required}
            faults={faults}
            change={(next) => set(name, next)}
            remove={isNested(member) && !required ? () => set(name, { kind: "null" }, false) : undefined}
          />
        );
      })}
    </>
  );
}

function Group(props: Props & { remove?: (() => void) | undefined; children: ComponentChildren; count?: number }) {
  const id = idOf(props.path);
  const mine = faultsAt(props.faults, props.path);
  return (
    <fieldset class={`group${mine.length > 0 ? " has-fault" : ""}`} id={id} tabIndex={-1} aria-describedby={mine.length > 0 ? `${id}-fault` : undefined}>
      <legend>
        {props.label}
        {props.required && <span class="required"> *</span>}
        {props.count !== undefined && <span class="hint"> {props.count}</span>}
      </legend>
      {props.remove && (
        <Button small class="remove" aria-label={`Remove ${props.label}`} onClick={props.remove}>
          Remove
        </Button>
      )}
      {props.field.description && <p class="description">{props.field.description}</p>}
      {props.children}
      <Faults faults={mine} id={id} />
    </fieldset>
  );
}

export function Input(props: Props & { remove?: (() => void) | undefined }) {
  const { field, draft, path, faults, change } = props;
  if (field.kind === "object") {
    return (
      <Group {...props}>
        <Members field={field} draft={draft} path={path} faults={faults} change={change} />
      </Group>
    );
  }
  if (field.kind === "array" && draft.kind === "items") {
    const item = itemOf(field);
    const set = (items: Draft[]) => change({ kind: "items", items });
    return (
      <Group {...props} count={draft.items.length}>
        {draft.items.map((each, at) => (
          <div class="item" key={at}>
            <Input field={item} draft={each} path={below(path, at)} name={String(at)} label={labelOf(item, `${at + 1}`)} required faults={faults} change={(next) => set(draft.items.map((old, i) => (i === at ? next : old)))} remove={isNested(item) ? () => set(draft.items.filter((_, i) => i !== at)) : undefined} />
            {!isNested(item) && (
              <Button small aria-label={`Remove ${props.label} ${at + 1}`} onClick={() => set(draft.items.filter((_, i) => i !== at))}>
                Remove
              </Button>
            )}
          </div>
        ))}
        <Button small onClick={() => set([...draft.items, draftOf(item)])}>
          Add to {props.label.toLowerCase()}
        </Button>
      </Group>
    );
  }
  if (field.kind === "variant" && draft.kind === "variant") {
    const chosen = variantOf(field, draft.at);
    const id = `${idOf(path)}-which`;
    return (
      <Group {...props}>
        <div class="field">
          <label class="unseen" for={id}>
            Which {props.label}
          </label>
          <select id={id} value={String(draft.at)} onChange={(event) => {
            const at = Number(event.currentTarget.value);
            change({ kind: "variant", at, draft: draftOf(variantOf(field, at)) });
          }}>
            {field.variants.map((variant, at) => (
              <option key={at} value={String(at)}>
                {variantName(variant, at)}
              </option>
            ))}
          </select>
        </div>
        {chosen.kind === "object" ? (
          <Members field={chosen} draft={draft.draft} path={path} faults={faults} change={(next) => change({ ...draft, draft: next })} />
        ) : (
          <Input {...props} field={chosen} draft={draft.draft} change={(next) => change({ ...draft, draft: next })} remove={undefined} />
        )}
      </Group>
    );
  }
  return <Simple {...props} />;
}

/* Faults that no input shows: of the whole, or of something that the form does not have. */
export function strayFaults(field: Field, draft: Draft, faults: Fault[]): Fault[] {
  const shown = new Set<string>();
  const visit = (at: Field, drafted: Draft, path: string, isTop: boolean): void => {
    if (!isTop) shown.add(path);
    if (at.kind === "object" && drafted.kind === "members") {
      for (const name of at.names) {
        const member = memberOf(at, name);
        shown.add(below(path, name));
        if (!isNested(member) || drafted.on[name] || at.required.has(name)) visit(member, drafted.members[name]!, below(path, name), false);
      }
    } else if (at.kind === "array" && drafted.kind === "items") drafted.items.forEach((item, i) => visit(itemOf(at), item, below(path, i), false));
    else if (at.kind === "variant" && drafted.kind === "variant") visit(variantOf(at, drafted.at), drafted.draft, path, isTop);
  };
  visit(field, draft, "", true);
  return faults.filter((fault) => !shown.has(fault.path));
}

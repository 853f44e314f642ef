/* A form from a JSON Schema, without a form: pure functions from schema to fields, from what was typed to a value.
 *
 *   schema ─► fieldOf ─► Field      what to show: one level; members, items and variants are asked for when needed,
 *                                   so that a schema that refers to itself is fine
 *   Field  ─► draftOf ─► Draft      what stands in the inputs, always representable, never judged
 *   Draft  ─► valueOf ─► Json       with faults by JSON pointer, in the shape that the server gives them
 *
 * What the model does not understand becomes a field of raw JSON; the server's validation has the last word anyway. */
import { Num, isObject, parse, stringify, type Json, type JsonObject } from "./json.ts";

export type Kind = "string" | "number" | "integer" | "boolean" | "enum" | "const" | "object" | "array" | "variant" | "json";

export interface Field {
  kind: Kind;
  schema: JsonObject; /* with references resolved */
  root: JsonObject;
  title: string;
  description: string;
  nullable: boolean;
  options: Json[]; /* enum: the values; const: the one */
  names: string[]; /* object: its members in order */
  required: ReadonlySet<string>;
  variants: JsonObject[];
}

export type Draft =
  | { kind: "text"; text: string } /* string, number, integer, json */
  | { kind: "choice"; at: number } /* enum: index or -1; boolean: 1, 0 or -1 */
  | { kind: "members"; members: Record<string, Draft>; on: Record<string, boolean> }
  | { kind: "items"; items: Draft[] }
  | { kind: "variant"; at: number; draft: Draft }
  | { kind: "null" };

export interface Fault {
  path: string; /* JSON pointer */
  message: string;
  keyword?: string;
}

/* ---- one document ------------------------------------------------------------------------------- */

/* Does a schema refer to other files of its app? */
export const refersOut = (value: Json): boolean =>
  Array.isArray(value) ? value.some(refersOut) : isObject(value) && ((typeof value.$ref === "string" && !value.$ref.startsWith("#")) || Object.values(value).some(refersOut));

/* The schema with the files that it refers to put under its $defs, and every reference pointing there. A file is found by
 * the end of its path, for what a reference is relative to is not told. What is not found stays as it is. */
export function bundle(schema: JsonObject, files: Record<string, string>): JsonObject {
  const defs: JsonObject = {};
  const fileOf = (name: string): string | undefined => {
    const bare = name.replace(/^(\.{0,2}\/)+/, "");
    return Object.keys(files).find((path) => path === bare || path.endsWith(`/${bare}`));
  };
  const take = (path: string): string => {
    const key = `file:${path}`;
    if (!(key in defs)) {
      defs[key] = {};
      try {
        defs[key] = inside(parse(files[path]!), key);
      } catch {
        /* no JSON: the server would not have taken it */
      }
    }
    return key;
  };
  const inside = (value: Json, home: string | null): Json => {
    if (Array.isArray(value)) return value.map((item) => inside(item, home));
    if (!isObject(value)) return value;
    const copy: JsonObject = {};
    for (const [name, item] of Object.entries(value)) copy[name] = name === "$ref" && typeof item === "string" ? moved(item, home) : inside(item, home);
    return copy;
  };
  const at = (key: string, fragment: string): string => `#/$defs/${escape(key)}${fragment}`;
  const moved = (reference: string, home: string | null): string => {
    const [name = "", fragment = ""] = reference.split("#");
    if (name === "") return home === null ? reference : at(home, fragment);
    const path = fileOf(name);
    return path === undefined ? reference : at(take(path), fragment);
  };
  const whole = inside(schema, null) as JsonObject;
  return { ...whole, $defs: { ...(isObject(whole.$defs) ? whole.$defs : {}), ...defs } };
}

/* ---- from schema to fields ------------------------------------------------------------------ */

const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");
const strings = (value: Json | undefined): string[] => (Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : []);
const numberOf = (value: Json | undefined): number | undefined =>
  typeof value === "number" ? value : value instanceof Num ? Number(value) : undefined;

/* "#/$defs/money" within the root. Anything else is not followed. */
function target(root: JsonObject, reference: string): JsonObject | null {
  if (!reference.startsWith("#")) return null;
  let at: Json | undefined = root;
  for (const part of reference.slice(1).split("/").slice(1)) {
    const name = decodeURIComponent(part).replace(/~1/g, "/").replace(/~0/g, "~");
    at = isObject(at) ? at[name] : Array.isArray(at) ? at[Number(name)] : undefined;
  }
  return isObject(at) ? at : null;
}

/* Two schemas that both hold, as one: properties and required together, the later word otherwise. */
function merge(one: JsonObject, other: JsonObject): JsonObject {
  const both = { ...one, ...other };
  if (isObject(one.properties) && isObject(other.properties)) both.properties = { ...one.properties, ...other.properties };
  if (Array.isArray(one.required) && Array.isArray(other.required)) both.required = [...one.required, ...other.required];
  return both;
}

function resolve(schema: JsonObject, root: JsonObject): JsonObject {
  let result = schema;
  for (let hops = 0; typeof result.$ref === "string" && hops < 32; hops++) {
    const found = target(root, result.$ref);
    if (!found) return result;
    const { $ref: _, ...beside } = result;
    result = merge(found, beside);
  }
  if (Array.isArray(result.allOf)) {
    const { allOf, ...rest } = result;
    result = (allOf as Json[]).filter(isObject).reduce<JsonObject>((sum, part) => merge(sum, resolve(part, root)), rest);
  }
  return result;
}

const isNull = (schema: Json): boolean => isObject(schema) && (schema.type === "null" || schema.const === null);

export function fieldOf(given: Json, root: JsonObject): Field {
  let schema = resolve(isObject(given) ? given : {}, root);
  const field: Field = {
    kind: "json",
    schema,
    root,
    title: text(schema.title),
    description: text(schema.description),
    nullable: false,
    options: [],
    names: [],
    required: new Set(),
    variants: [],
  };
  let types = typeof schema.type === "string" ? [schema.type] : strings(schema.type);
  field.nullable = types.includes("null") && types.length > 1;
  types = types.filter((type) => type !== "null" || !field.nullable);

  const oneOf = Array.isArray(schema.oneOf) ? schema.oneOf : Array.isArray(schema.anyOf) ? schema.anyOf : null;
  if (oneOf) {
    const others = oneOf.filter((item) => !isNull(item));
    field.nullable ||= others.length < oneOf.length;
    const resolved = others.map((item) => (isObject(item) ? resolve(item, root) : {}));
    if (others.length === 1) {
      const { oneOf: _, anyOf: __, ...rest } = schema;
      const only = fieldOf(merge(resolved[0]!, rest), root);
      return { ...only, nullable: only.nullable || field.nullable };
    }
    if (resolved.length > 0 && resolved.every((item) => "const" in item)) {
      return { ...field, kind: "enum", options: resolved.map((item) => item.const!) };
    }
    if (resolved.length > 0) {
      /* What stands beside the choice holds for every choice. */
      const { oneOf: _, anyOf: __, title: ___, description: ____, ...rest } = schema;
      return { ...field, kind: "variant", variants: resolved.map((item) => merge(rest, item)) };
    }
  }
  if ("const" in schema) return { ...field, kind: "const", options: [schema.const!] };
  if (Array.isArray(schema.enum)) {
    const options = schema.enum.filter((item) => item !== null);
    return { ...field, kind: "enum", options, nullable: field.nullable || options.length < schema.enum.length };
  }
  if (types.length === 0 && isObject(schema.properties)) types = ["object"];
  if (types.length === 0 && schema.items !== undefined) types = ["array"];
  if (types.length !== 1) return field;
  switch (types[0]) {
    case "string":
    case "number":
    case "integer":
    case "boolean":
      return { ...field, kind: types[0] };
    case "array":
      return Array.isArray(schema.items) || schema.prefixItems !== undefined ? field : { ...field, kind: "array" };
    case "object":
      /* Free names (additionalProperties alone) are typed as JSON. */
      if (!isObject(schema.properties)) return field;
      return { ...field, kind: "object", names: Object.keys(schema.properties), required: new Set(strings(schema.required)) };
    default:
      return field;
  }
}

export const memberOf = (field: Field, name: string): Field => fieldOf((field.schema.properties as JsonObject)[name] ?? {}, field.root);
export const itemOf = (field: Field): Field => fieldOf(field.schema.items ?? {}, field.root);
export const variantOf = (field: Field, at: number): Field => fieldOf(field.variants[at] ?? {}, field.root);

export const labelOf = (field: Field, name: string): string =>
  field.title || name.replace(/[_-]+/g, " ").replace(/([a-z])([A-Z])/g, "$1 $2").replace(/^./, (c) => c.toUpperCase());

export function variantName(schema: JsonObject, at: number): string {
  if (schema.title) return text(schema.title);
  const fixed = isObject(schema.properties)
    ? Object.values(schema.properties).find((member) => isObject(member) && typeof member.const === "string")
    : undefined;
  return isObject(fixed) ? text(fixed.const) : typeof schema.type === "string" ? schema.type : `Choice ${at + 1}`;
}

/* ---- drafts ---------------------------------------------------------------------------------------- */

export function draftOf(field: Field, value?: Json): Draft {
  if (value === undefined && field.schema.default !== undefined) value = field.schema.default;
  if (value === null && field.nullable) return { kind: "null" };
  switch (field.kind) {
    case "boolean":
      return { kind: "choice", at: value === true ? 1 : value === false ? 0 : -1 };
    case "const":
      return { kind: "choice", at: 0 };
    case "enum":
      return { kind: "choice", at: value === undefined ? -1 : field.options.findIndex((option) => stringify(option) === stringify(value!)) };
    case "object": {
      const members: Record<string, Draft> = {};
      const on: Record<string, boolean> = {};
      const given = isObject(value) ? value : {};
      for (const name of field.names) {
        const member = memberOf(field, name);
        on[name] = field.required.has(name) || name in given || member.schema.default !== undefined;
        /* What is left out is made when it is switched on: a schema may refer to itself. */
        members[name] = on[name] || !isNested(member) ? draftOf(member, given[name]) : { kind: "null" };
      }
      return { kind: "members", members, on };
    }
    case "array": {
      const item = itemOf(field);
      const least = Math.min(numberOf(field.schema.minItems) ?? 0, 20);
      const items = Array.isArray(value) ? value.map((each) => draftOf(item, each)) : [];
      while (items.length < least) items.push(draftOf(item));
      return { kind: "items", items };
    }
    case "variant": {
      const at = value === undefined ? 0 : Math.max(0, field.variants.findIndex((_, i) => fits(variantOf(field, i), value!)));
      return { kind: "variant", at, draft: draftOf(variantOf(field, at), value) };
    }
    case "json":
      return { kind: "text", text: value === undefined ? "" : stringify(value, 2) };
    default:
      return { kind: "text", text: value === undefined || value === null ? "" : typeof value === "string" ? value : stringify(value) };
  }
}

/* Does a value fit a variant, by and large: the right type, nothing missing, no constant that says otherwise? */
function fits(field: Field, value: Json): boolean {
  if (field.kind !== "object") {
    const read = valueOf(field, draftOf(field, value));
    return read.faults.length === 0 && read.value !== undefined && stringify(read.value) === stringify(value);
  }
  return (
    isObject(value) &&
    [...field.required].every((name) => name in value) &&
    field.names.every((name) => {
      const member = memberOf(field, name);
      return member.kind !== "const" || !(name in value) || stringify(member.options[0]!) === stringify(value[name]!);
    })
  );
}

export const isNested = (field: Field): boolean => field.kind === "object" || field.kind === "array" || field.kind === "variant";

/* ---- from drafts to values ---------------------------------------------------------------------------- */

export interface Reading {
  value: Json | undefined; /* undefined: left out */
  faults: Fault[];
}

const escape = (name: string): string => name.replace(/~/g, "~0").replace(/\//g, "~1");
export const below = (path: string, name: string | number): string => `${path}/${escape(String(name))}`;

export function valueOf(field: Field, draft: Draft, path = ""): Reading {
  if (draft.kind === "null") return { value: field.nullable ? null : undefined, faults: [] };
  switch (field.kind) {
    case "const":
      return { value: field.options[0], faults: [] };
    case "enum":
      return { value: draft.kind === "choice" && draft.at >= 0 ? field.options[draft.at] : undefined, faults: [] };
    case "boolean":
      return { value: draft.kind === "choice" && draft.at >= 0 ? draft.at === 1 : undefined, faults: [] };
    case "object":
      return draft.kind === "members" ? objectValue(field, draft, path) : { value: undefined, faults: [] };
    case "array":
      return draft.kind === "items" ? arrayValue(field, draft.items, path) : { value: undefined, faults: [] };
    case "variant":
      return draft.kind === "variant" ? valueOf(variantOf(field, draft.at), draft.draft, path) : { value: undefined, faults: [] };
    default:
      return draft.kind === "text" ? textValue(field, draft.text, path) : { value: undefined, faults: [] };
  }
}

function objectValue(field: Field, draft: Draft & { kind: "members" }, path: string): Reading {
  const value: JsonObject = {};
  const faults: Fault[] = [];
  for (const name of field.names) {
    const required = field.required.has(name);
    if (!required && !draft.on[name]) continue;
    const member = memberOf(field, name);
    const here = below(path, name);
    const read = valueOf(member, draft.members[name]!, here);
    faults.push(...read.faults);
    if (read.value !== undefined) value[name] = read.value;
    else if (required && read.faults.length === 0) {
      /* An empty text is a text, unless the schema says that it will not do. */
      if (member.kind === "string" && !member.schema.format && stringFaults(member.schema, "", here).length === 0) value[name] = "";
      else faults.push({ path: here, keyword: "required", message: "is needed" });
    }
  }
  return { value, faults };
}

function arrayValue(field: Field, items: Draft[], path: string): Reading {
  const item = itemOf(field);
  const faults: Fault[] = [];
  const value: Json[] = [];
  items.forEach((draft, at) => {
    const here = below(path, at);
    const read = valueOf(item, draft, here);
    faults.push(...read.faults);
    if (read.value !== undefined) value.push(read.value);
    else if (item.kind === "string") value.push("");
    else if (read.faults.length === 0) faults.push({ path: here, keyword: "required", message: "is needed" });
  });
  const least = numberOf(field.schema.minItems) ?? 0;
  const most = numberOf(field.schema.maxItems) ?? Infinity;
  if (value.length < least) faults.push({ path, keyword: "minItems", message: `needs at least ${least}` });
  if (value.length > most) faults.push({ path, keyword: "maxItems", message: `takes at most ${most}` });
  return { value, faults };
}

const WHOLE = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;

function textValue(field: Field, typed: string, path: string): Reading {
  const fault = (keyword: string, message: string): Reading => ({ value: undefined, faults: [{ path, keyword, message }] });
  if (field.kind === "string") {
    if (typed === "") return { value: undefined, faults: [] };
    return { value: typed, faults: stringFaults(field.schema, typed, path) };
  }
  const trimmed = typed.trim();
  if (trimmed === "") return { value: undefined, faults: [] };
  if (field.kind === "json") {
    try {
      return { value: parse(typed), faults: [] };
    } catch (error) {
      return fault("type", (error as Error).message);
    }
  }
  if (field.kind === "integer" && !WHOLE.test(trimmed)) return fault("type", "must be a whole number");
  if (!NUMBER.test(trimmed)) return fault("type", "must be a number");
  const number = Number(trimmed);
  const exact = trimmed.replace(/^\+/, "");
  const isJson = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(exact);
  return { value: String(number) === exact || !isJson ? number : new Num(exact), faults: numberFaults(field.schema, number, path) };
}

function stringFaults(schema: JsonObject, value: string, path: string): Fault[] {
  const length = [...value].length;
  const least = numberOf(schema.minLength) ?? 0;
  const most = numberOf(schema.maxLength) ?? Infinity;
  if (length < least) return [{ path, keyword: "minLength", message: `needs at least ${least} characters` }];
  if (length > most) return [{ path, keyword: "maxLength", message: `takes at most ${most} characters, these are ${length}` }];
  if (typeof schema.pattern === "string") {
    try {
      if (!new RegExp(schema.pattern, "u").test(value)) return [{ path, keyword: "pattern", message: `does not match ${schema.pattern}` }];
    } catch {
      /* A pattern of another dialect is the server's to judge. */
    }
  }
  return [];
}

function numberFaults(schema: JsonObject, value: number, path: string): Fault[] {
  const bounds: [string, (limit: number) => boolean, string][] = [
    ["minimum", (limit) => value >= limit, "must be at least"],
    ["maximum", (limit) => value <= limit, "must be at most"],
    ["exclusiveMinimum", (limit) => value > limit, "must be more than"],
    ["exclusiveMaximum", (limit) => value < limit, "must be less than"],
  ];
  for (const [keyword, holds, words] of bounds) {
    const limit = numberOf(schema[keyword]);
    if (limit !== undefined && !holds(limit)) return [{ path, keyword, message: `${words} ${limit}` }];
  }
  return [];
}

/* ---- the server's faults ----------------------------------------------------------------------------------- */

/* The same path whatever way it was written: "#/a/0", "/a/0", "a[0].b". */
export function pointer(path: string): string {
  const bare = path.replace(/^#/, "");
  if (bare === "" || bare === "/" || bare.startsWith("/")) return bare === "/" ? "" : bare;
  return bare
    .replace(/\[(\d+)\]/g, ".$1")
    .split(".")
    .filter((part) => part !== "" && part !== "$")
    .map((part) => `/${escape(part)}`)
    .join("");
}

/* A fault "required" is the object's; people look for it at the member that it names. */
export function faultsIn(problem: JsonObject): Fault[] {
  if (Array.isArray(problem.faults)) return faultsFrom(problem.faults);
  /* Only the first one, in words: "at /lines/0/price: must be more than 0" or, of the whole, "\"id\" is missing". */
  const detail = text(problem.detail);
  const placed = /^at (\/\S*): (.+)$/s.exec(detail);
  const missing = /^"([^"]+)" is missing$/.exec(placed?.[2] ?? detail);
  if (missing) return faultsFrom([{ path: placed?.[1] ?? "", keyword: "required", message: placed?.[2] ?? detail }]);
  return placed ? [{ path: placed[1]!, message: placed[2]! }] : [];
}

export function faultsFrom(list: Json | undefined): Fault[] {
  if (!Array.isArray(list)) return [];
  return list.filter(isObject).map((item) => {
    const path = pointer(text(item.path));
    const keyword = text(item.keyword);
    const message = text(item.message) || keyword;
    const named = keyword === "required" ? /['"“`]([^'"”`]+)['"”`]/.exec(message)?.[1] : undefined;
    return named ? { path: below(path, named), keyword, message: "is needed" } : { path, keyword, message };
  });
}

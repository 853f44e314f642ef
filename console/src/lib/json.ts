/* JSON as it was written. JavaScript's own parser would show 99.50 as 99.5 and 9007199254740993 as another number;
 * here a number that would not come back the same keeps its text. */

export class Num {
  constructor(readonly text: string) {}
  valueOf(): number {
    return Number(this.text);
  }
  toString(): string {
    return this.text;
  }
}

export type Json = null | boolean | number | string | Num | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Num);

const token = /[ \t\r\n]*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null))/y;
const NAMED: Record<string, Json> = { true: true, false: false, null: null };

/* Throws a SyntaxError that names the offset. */
export function parse(text: string): Json {
  let at = 0;
  const fail = (): never => {
    throw new SyntaxError(`not JSON at character ${at}`);
  };
  const next = (): RegExpExecArray => {
    token.lastIndex = at;
    const found = token.exec(text);
    if (!found) return fail();
    at = token.lastIndex;
    return found;
  };
  const string = (raw: string): string => (raw.includes("\\") || /[\u0000-\u001f]/.test(raw) ? (JSON.parse(raw) as string) : raw.slice(1, -1));
  const number = (raw: string): Json => {
    const value = Number(raw);
    return String(value) === raw ? value : new Num(raw);
  };
  const value = (found: RegExpExecArray, depth: number): Json => {
    if (found[2] !== undefined) return string(found[2]);
    if (found[3] !== undefined) return number(found[3]);
    if (found[4] !== undefined) return NAMED[found[4]]!;
    if (depth > 2000) return fail();
    if (found[1] === "[") return list(depth + 1);
    if (found[1] === "{") return object(depth + 1);
    return fail();
  };
  const list = (depth: number): Json[] => {
    const items: Json[] = [];
    for (let found = next(); ; found = next()) {
      if (found[1] === "]" && items.length === 0) return items;
      items.push(value(found, depth));
      const after = next()[1];
      if (after === "]") return items;
      if (after !== ",") fail();
    }
  };
  const object = (depth: number): JsonObject => {
    const members: JsonObject = {};
    for (let found = next(), first = true; ; found = next(), first = false) {
      if (found[1] === "}" && first) return members;
      if (found[2] === undefined || next()[1] !== ":") fail();
      Object.defineProperty(members, string(found[2]!), { value: value(next(), depth), enumerable: true, writable: true, configurable: true });
      const after = next()[1];
      if (after === "}") return members;
      if (after !== ",") fail();
    }
  };
  const result = value(next(), 0);
  if (/[^ \t\r\n]/.test(text.slice(at))) fail();
  return result;
}

/* `indent` 0: on one line. */
export function stringify(value: Json, indent = 0, level = 0): string {
  if (value instanceof Num) return value.text;
  const separator = indent ? `\n${" ".repeat(indent * (level + 1))}` : "";
  const end = indent ? `\n${" ".repeat(indent * level)}` : "";
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return `[${value.map((item) => separator + stringify(item, indent, level + 1)).join(",")}${end}]`;
  }
  if (isObject(value)) {
    const names = Object.keys(value);
    if (names.length === 0) return "{}";
    const colon = indent ? ": " : ":";
    return `{${names.map((name) => separator + JSON.stringify(name) + colon + stringify(value[name]!, indent, level + 1)).join(",")}${end}}`;
  }
  return JSON.stringify(value);
}

/* Short, for a line in a table. */
export function brief(value: Json | undefined, most = 160): string {
  if (value === undefined) return "";
  const text = typeof value === "string" ? value : stringify(value);
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

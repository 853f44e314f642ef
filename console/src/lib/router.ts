/* Addresses: /console/streams/order-42?as_of=100. Patterns have parts in braces; a part is one encoded segment. */

export const BASE = "/console";

export interface Place {
  path: string; /* below BASE, still encoded: "/streams/a%2Fb" */
  query: URLSearchParams;
}

export function placeOf(pathname: string, search: string): Place {
  const path = pathname.startsWith(BASE) ? pathname.slice(BASE.length) : pathname;
  return { path: path.replace(/\/+$/, "") || "/", query: new URLSearchParams(search) };
}

/* The parts, decoded, or null when the path has another shape. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const want = pattern.split("/");
  const have = path.split("/");
  if (want.length !== have.length) return null;
  const parts: Record<string, string> = {};
  for (let i = 0; i < want.length; i++) {
    const name = /^\{(\w+)\}$/.exec(want[i]!)?.[1];
    if (!name) {
      if (want[i] !== have[i]) return null;
      continue;
    }
    if (have[i] === "") return null;
    try {
      parts[name] = decodeURIComponent(have[i]!);
    } catch {
      return null;
    }
  }
  return parts;
}

type Query = Record<string, string | number | boolean | null | undefined | string[]>;

export function queryText(query: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) value.forEach((item) => search.append(name, item));
    else if (value !== null && value !== undefined && value !== "" && value !== false) search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `?${text}` : "";
}

/* href("/streams/{stream}", { stream: "a/b" }, { as_of: 7 }) */
export function href(pattern: string, parts: Record<string, string> = {}, query: Query = {}): string {
  const path = pattern.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(parts[name] ?? ""));
  return BASE + path + queryText(query);
}

/* The category of a stream: the text before its first '-'. */
export const categoryOf = (stream: string): string => stream.split("-", 1)[0]!;

/* Numbers, sizes and times as people read them. Pure; English whatever the browser speaks, as the rest of the console. */

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

export const count = (n: number): string => whole.format(n);

/* 0.4, 12.5, 1,204, 2.4 M */
export function rate(n: number): string {
  if (n >= 1e6) return `${tenth.format(n / 1e6)} M`;
  return n > 0 && n < 100 ? tenth.format(n) : whole.format(n);
}

export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit === 0 ? whole.format(n) : tenth.format(n)} ${units[unit]}`;
}

/* 3 s, 4 min 10 s, 2 h 5 min, 3 d 4 h */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "—";
  if (seconds < 1) return seconds === 0 ? "0 s" : `${Math.max(1, Math.round(seconds * 1000))} ms`;
  const s = Math.round(seconds);
  const steps: [number, string][] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = steps.findIndex(([size]) => s >= size);
  const [size, name] = steps[at]!;
  const below = steps[at + 1];
  const rest = below ? Math.floor((s % size) / below[0]) : 0;
  return `${Math.floor(s / size)} ${name}${rest > 0 && below ? ` ${rest} ${below[1]}` : ""}`;
}

/* "just now", "12 s ago", "3 h 5 min ago"; the future too, for clocks differ. */
export function ago(time: string, now: number): string {
  const seconds = (now - Date.parse(time)) / 1000;
  if (!Number.isFinite(seconds)) return time;
  if (Math.abs(seconds) < 2) return "just now";
  const size = Math.abs(seconds);
  const text = size < 3600 ? duration(Math.floor(size / (size < 60 ? 1 : 60)) * (size < 60 ? 1 : 60)) : duration(size);
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

/* "2026-11-21 10:03:45.659" in UTC, from RFC 3339 text. */
export function clock(time: string): string {
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/.exec(time);
  if (!match) return time;
  return `${match[1]} ${match[2]}${match[3] ? `.${match[3].padEnd(3, "0").slice(0, 3)}` : ""}`;
}

/* What someone typed as a moment: "2026-11-21", "2026-11-21 10:03", with or without a Z; as RFC 3339, or null. UTC. */
export function moment(text: string): string | null {
  const match = /^\s*(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,6})?)?)?\s*(Z|UTC)?\s*$/i.exec(text);
  if (!match) return null;
  const result = `${match[1]}T${match[2] ?? "00:00"}${match[3] ?? ":00"}Z`;
  return Number.isNaN(Date.parse(result)) ? null : result;
}

export const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`;

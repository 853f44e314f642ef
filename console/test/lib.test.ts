import assert from "node:assert/strict";
import { test } from "node:test";
import { diff, hunks } from "../src/lib/diff.ts";
import { ago, bytes, clock, count, duration, moment, plural, rate } from "../src/lib/format.ts";
import { categoryOf, href, match, placeOf } from "../src/lib/router.ts";

test("router: an address made is an address read, whatever the names hold", () => {
  for (const stream of ["order-1", "a/b", "ü?#&=%", "..", " ", "a.b", "$app-x", "100%"]) {
    const url = new URL(href("/streams/{stream}", { stream }, { as_of: 7, type: ["a b", "c&d"], none: null, off: false }), "http://host");
    const place = placeOf(url.pathname, url.search);
    if (stream === "..") continue; /* a URL has no such segment, encoded or not: a browser takes it away */
    assert.deepEqual(match("/streams/{stream}", place.path), { stream });
    assert.deepEqual([place.query.get("as_of"), place.query.getAll("type"), place.query.has("none")], ["7", ["a b", "c&d"], false]);
  }
});

test("router: other shapes do not match", () => {
  assert.equal(match("/streams/{stream}", "/streams"), null);
  assert.equal(match("/streams/{stream}", "/streams/a/b"), null);
  assert.equal(match("/streams/{stream}", "/events/a"), null);
  assert.equal(match("/streams/{stream}", "/streams/%zz"), null);
  assert.equal(placeOf("/console", "").path, "/");
  assert.equal(placeOf("/console/streams/", "").path, "/streams");
  assert.equal(categoryOf("order-1-2"), "order");
});

test("format: numbers and sizes", () => {
  assert.deepEqual([count(1234567), rate(0), rate(0.44), rate(12.34), rate(1204), rate(2_440_000)], ["1,234,567", "0", "0.4", "12.3", "1,204", "2.4 M"]);
  assert.deepEqual([bytes(0), bytes(1023), bytes(1536), bytes(5 * 2 ** 30)], ["0 B", "1,023 B", "1.5 KiB", "5 GiB"]);
  assert.deepEqual([plural(1, "event"), plural(2, "event"), plural(0, "query", "queries")], ["1 event", "2 events", "0 queries"]);
});

test("format: durations and times", () => {
  assert.deepEqual([0, 0.25, 3, 250, 7500, 273600, NaN].map(duration), ["0 s", "250 ms", "3 s", "4 min 10 s", "2 h 5 min", "3 d 4 h", "—"]);
  const now = Date.parse("2026-11-21T10:00:00Z");
  assert.deepEqual(["2026-11-21T09:59:59.500Z", "2026-11-21T09:59:48Z", "2026-11-21T06:55:00Z", "2026-11-21T10:01:00Z"].map((time) => ago(time, now)), ["just now", "12 s ago", "3 h 5 min ago", "in 1 min"]);
  assert.equal(clock("2026-11-21T10:03:45.659803Z"), "2026-11-21 10:03:45.659");
});

test("format: what people type as a moment", () => {
  assert.deepEqual(["2026-11-21", "2026-11-21 10:03", "2026-11-21T10:03:45.5Z", "yesterday", "2026-13-01", ""].map(moment), ["2026-11-21T00:00:00Z", "2026-11-21T10:03:00Z", "2026-11-21T10:03:45.5Z", null, null, null]);
});

test("diff: applying it to the old text gives the new one, for random texts", () => {
  let seed = 7;
  const random = (n: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
  for (let round = 0; round < 300; round++) {
    const a = Array.from({ length: random(12) }, () => "abc"[random(3)]!);
    const b = Array.from({ length: random(12) }, () => "abc"[random(3)]!);
    const text = (lines: string[]) => lines.map((line) => `${line}\n`).join("");
    const lines = diff(text(a), text(b));
    assert.deepEqual(lines.filter(({ kind }) => kind !== "new").map((line) => line.text), a);
    assert.deepEqual(lines.filter(({ kind }) => kind !== "old").map((line) => line.text), b);
    lines.forEach((line) => {
      if (line.oldLine) assert.equal(a[line.oldLine - 1], line.text);
      if (line.newLine) assert.equal(b[line.newLine - 1], line.text);
    });
  }
});

test("diff: the shortest one, and only what is near a change is shown", () => {
  const lines = diff("a\nb\nc\nd\ne\nf\ng\nh\ni\n", "a\nb\nc\nd\nX\nf\ng\nh\ni\n");
  assert.deepEqual(lines.filter(({ kind }) => kind !== "same").map(({ kind, text }) => kind + text), ["olde", "newX"]);
  assert.equal(hunks(lines, 1).length, 6);
  assert.deepEqual(diff("a\n", "a"), [{ kind: "same", text: "a", oldLine: 1, newLine: 1 }]);
});

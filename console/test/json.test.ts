import assert from "node:assert/strict";
import { test } from "node:test";
import { Num, brief, parse, stringify, type Json } from "../src/lib/json.ts";

const TEXTS = ["null", "[]", "{}", '"a\\u00e9\\n\\"b"', "[1,2.5,-0.1,1e3]", '{"a":{"b":[true,false,null]}}', " [ 1 , 2 ] ", '{"__proto__":1}', '"\\ud83d\\ude00"'];

test("json: reads what JSON.parse reads", () => {
  for (const text of TEXTS) assert.equal(JSON.stringify(parse(text), (_, value) => (value instanceof Num ? Number(value) : value)), JSON.stringify(JSON.parse(text)));
});

test("json: refuses what JSON.parse refuses", () => {
  for (const text of ["", "[1,]", "{\"a\":1,}", "[1 2]", "01", "+1", ".5", "1.", "nul", '"a', '"\t"', "[", "{1:2}", '{"a" 1}', "[1]]", "'a'", '"\\x"', "NaN", "\u00a01", "--1"]) {
    assert.throws(() => JSON.parse(text), text);
    assert.throws(() => parse(text), SyntaxError, text);
  }
});

test("json: numbers come back as they were written", () => {
  const text = '{"price":99.50,"big":9007199254740993,"small":1e-400,"e":1E+2,"zero":-0,"plain":12.5}';
  assert.equal(stringify(parse(text)), text);
  assert.equal((parse(text) as { [name: string]: Json }).plain, 12.5);
});

test("json: indented text reads as the same", () => {
  const value = parse('{"a":[1.10,{"b":"c"}],"d":{}}');
  assert.equal(stringify(parse(stringify(value, 2))), stringify(value));
  assert.equal(stringify(value, 2).split("\n")[1], '  "a": [');
});

test("json: a million brackets end in an error, not in the stack", () => {
  assert.throws(() => parse("[".repeat(1_000_000)), SyntaxError);
});

test("json: brief is short", () => {
  assert.equal(brief("x".repeat(500), 10), "xxxxxxxxx…");
  assert.equal(brief(parse('{"a":1.0}')), '{"a":1.0}');
});

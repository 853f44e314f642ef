import assert from "node:assert/strict";
import { test } from "node:test";
import { parse, stringify, type Json, type JsonObject } from "../src/lib/json.ts";
import { bundle, draftOf, faultsFrom, faultsIn, fieldOf, itemOf, labelOf, memberOf, pointer, refersOut, valueOf, variantName, type Draft } from "../src/lib/schema.ts";

const field = (schema: JsonObject) => fieldOf(schema, schema);
const text = (typed: string): Draft => ({ kind: "text", text: typed });
const read = (schema: JsonObject, typed: string) => {
  const { value, faults } = valueOf(field(schema), text(typed), "/x");
  return faults.length > 0 ? faults.map(({ path, keyword }) => `${path} ${keyword}`).join() : value === undefined ? undefined : stringify(value);
};

const ORDER: JsonObject = {
  type: "object",
  required: ["id", "lines", "gift", "customer"],
  properties: {
    id: { type: "string", minLength: 2, pattern: "^[a-z]+$" },
    gift: { type: "boolean" },
    channel: { enum: ["web", "shop"], default: "web" },
    note: { type: ["string", "null"] },
    customer: { $ref: "#/$defs/person" },
    lines: { type: "array", minItems: 1, items: { $ref: "#/$defs/line" } },
    payment: { oneOf: [{ title: "Card", type: "object", properties: { kind: { const: "card" }, token: { type: "string" } }, required: ["kind", "token"] }, { type: "object", properties: { kind: { const: "account" }, days: { type: "integer" } }, required: ["kind", "days"] }] },
    extra: {},
  },
  $defs: {
    person: { type: "object", required: ["name"], properties: { name: { type: "string" }, boss: { $ref: "#/$defs/person" } } },
    line: { type: "object", required: ["sku", "price"], properties: { sku: { type: "string" }, price: { type: "number", exclusiveMinimum: 0 }, quantity: { type: "integer", default: 1 } } },
  },
};

test("schema: kinds", () => {
  const kinds: [JsonObject, string][] = [
    [{ type: "string" }, "string"],
    [{ type: "integer" }, "integer"],
    [{ type: ["number", "null"] }, "number"],
    [{ enum: [1, 2] }, "enum"],
    [{ const: 1 }, "const"],
    [{ properties: { a: {} } }, "object"],
    [{ type: "object", additionalProperties: { type: "string" } }, "json"],
    [{ type: "array", items: { type: "string" } }, "array"],
    [{ type: "array", prefixItems: [] }, "json"],
    [{ oneOf: [{ const: "a", title: "A" }, { const: "b" }] }, "enum"],
    [{ anyOf: [{ type: "string" }, { type: "null" }] }, "string"],
    [{ anyOf: [{ type: "string" }, { type: "integer" }] }, "variant"],
    [{ allOf: [{ type: "object", properties: { a: {} } }, { properties: { b: {} } }] }, "object"],
    [{ type: ["string", "integer"] }, "json"],
    [{}, "json"],
    [{ $ref: "#/nowhere" }, "json"],
  ];
  for (const [schema, kind] of kinds) assert.equal(field(schema).kind, kind, stringify(schema));
  assert.equal(field({ type: ["number", "null"] }).nullable, true);
  assert.equal(field({ anyOf: [{ type: "string" }, { type: "null" }] }).nullable, true);
  assert.deepEqual(field({ allOf: [{ type: "object", properties: { a: {} }, required: ["a"] }, { properties: { b: {} }, required: ["b"] }] }).names, ["a", "b"]);
});

test("schema: a reference in a circle ends", () => {
  const circle: JsonObject = { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } } };
  assert.equal(field(circle).kind, "json");
});

test("schema: the draft of a schema that contains itself is finite, and opens one level at a time", () => {
  const draft = draftOf(field(ORDER));
  assert.equal(draft.kind, "members");
  const customer = memberOf(field(ORDER), "customer");
  assert.equal(memberOf(customer, "boss").kind, "object");
  if (draft.kind === "members") assert.equal(draft.members.customer!.kind, "members");
});

test("schema: a value becomes a draft becomes the value", () => {
  const values: Json[] = [
    { id: "ab", gift: true, customer: { name: "Ann", boss: { name: "Bo" } }, lines: [{ sku: "x", price: 1.5, quantity: 2 }] },
    { id: "ab", gift: false, channel: "shop", note: null, customer: { name: "" }, lines: [{ sku: "", price: 2, quantity: 1 }], payment: { kind: "account", days: 30 }, extra: { any: [1, "x"] } },
    { id: "ab", gift: false, channel: "web", note: "", customer: { name: "n" }, lines: [{ sku: "", price: 2, quantity: 1 }], payment: { kind: "card", token: "t" } },
  ];
  for (const value of values) {
    const result = valueOf(field(ORDER), draftOf(field(ORDER), value));
    assert.deepEqual(result.faults, []);
    const wanted = { channel: "web", ...(value as JsonObject) };
    if ((wanted as JsonObject).note === "") delete (wanted as JsonObject).note; /* an empty optional text is left out */
    const sorted = (object: JsonObject) => stringify(Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1))));
    assert.equal(sorted(result.value as JsonObject), sorted(wanted as JsonObject));
  }
});

test("schema: numbers keep their text, and what is no number says so", () => {
  assert.equal(read({ type: "number" }, "99.50"), "99.50");
  assert.equal(read({ type: "number" }, " +1.5 "), "1.5");
  assert.equal(read({ type: "number" }, ".5"), "0.5");
  assert.equal(read({ type: "integer" }, "9007199254740993"), "9007199254740993");
  assert.equal(read({ type: "integer" }, "007"), "7");
  assert.equal(read({ type: "integer" }, "1.5"), "/x type");
  assert.equal(read({ type: "number" }, "1,5"), "/x type");
  assert.equal(read({ type: "number" }, ""), undefined);
  assert.equal(read({ type: "number", minimum: 3 }, "2"), "/x minimum");
  assert.equal(read({ type: "number", exclusiveMaximum: 3 }, "3"), "/x exclusiveMaximum");
});

test("schema: texts", () => {
  assert.equal(read({ type: "string", maxLength: 2 }, "😀😀"), '"😀😀"');
  assert.equal(read({ type: "string", maxLength: 2 }, "abc"), "/x maxLength");
  assert.equal(read({ type: "string", pattern: "^a" }, "b"), "/x pattern");
  assert.equal(read({ type: "string", pattern: "(?<" }, "b"), '"b"');
  assert.equal(read({}, '{"a":1.0}'), '{"a":1.0}');
  assert.equal(read({}, "{"), "/x type");
});

test("schema: what is missing is said where it is missing", () => {
  const { faults } = valueOf(field(ORDER), draftOf(field(ORDER)));
  assert.deepEqual(faults.map(({ path }) => path).sort(), ["/gift", "/id", "/lines/0/price"]);
});

test("schema: the server's faults find their fields", () => {
  assert.deepEqual(["#/a/0", "/a/0", "a[0]", "$.a[0]", "a.0"].map(pointer), Array(5).fill("/a/0"));
  assert.deepEqual(["", "#", "/"].map(pointer), ["", "", ""]);
  const faults = faultsFrom(parse('[{"path":"/lines/0","keyword":"required","message":"\\"sku\\" is missing"},{"path":"/id","keyword":"pattern","message":"does not match"}]'));
  assert.deepEqual(faults.map(({ path, message }) => `${path} ${message}`), ["/lines/0/sku is needed", "/id does not match"]);
  assert.deepEqual(faultsFrom(undefined), []);
});

test("schema: labels", () => {
  assert.equal(labelOf(field({}), "order_id"), "Order id");
  assert.equal(labelOf(field({}), "deliverOn"), "Deliver On");
  assert.equal(labelOf(field({ title: "When" }), "deliver_on"), "When");
  assert.equal(variantName((ORDER.properties as JsonObject).payment as JsonObject, 0), "Choice 1");
  assert.equal(variantName(((((ORDER.properties as JsonObject).payment as JsonObject).oneOf as Json[])[1]) as JsonObject, 1), "account");
  assert.equal(itemOf(memberOf(field(ORDER), "lines")).names.join(), "sku,price,quantity");
});

test("schema: a problem that only has words still finds its field", () => {
  const of = (detail: string) => faultsIn({ detail }).map(({ path, message }) => `${path} ${message}`);
  assert.deepEqual(of("at /lines/0/price: must be more than 0"), ["/lines/0/price must be more than 0"]);
  assert.deepEqual(of('at /lines/0: "sku" is missing'), ["/lines/0/sku is needed"]);
  assert.deepEqual(of('"id" is missing'), ["/id is needed"]);
  assert.deepEqual(of("something else"), []);
});

test("schema: files that it refers to become part of it", () => {
  const files = {
    "schemas/common.json": '{"$defs":{"id":{"type":"string","maxLength":3},"pair":{"type":"object","properties":{"a":{"$ref":"#/$defs/id"},"b":{"$ref":"other.json"}}}}}',
    "schemas/other.json": '{"type":"object","properties":{"back":{"$ref":"common.json#/$defs/pair"}}}',
  };
  const schema: JsonObject = { type: "object", properties: { p: { $ref: "common.json#/$defs/pair" }, q: { $ref: "#/$defs/own" }, r: { $ref: "nowhere.json" } }, $defs: { own: { type: "integer" } } };
  assert.equal(refersOut(schema), true);
  const whole = bundle(schema, files);
  const top = field(whole);
  const pair = memberOf(top, "p");
  assert.equal(memberOf(pair, "a").schema.maxLength, 3);
  assert.equal(memberOf(memberOf(memberOf(pair, "b"), "back"), "a").kind, "string");
  assert.equal(memberOf(top, "q").kind, "integer");
  assert.equal(memberOf(top, "r").kind, "json");
  assert.equal(refersOut({ properties: { a: { $ref: "#/x" } } }), false);
});

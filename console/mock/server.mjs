/* For development and for the browser's tests where the server has no apps: answers /v1/apps from memory and passes
 * everything else on to a real server, which also holds the events. One app, "orders", whose read model and states are
 * folded from those events again at every request, so that as-of answers are true.
 *
 *   CAIRN_URL=http://127.0.0.1:7480 node mock/server.mjs [PORT]     prints its address when it listens */
import http from "node:http";

const target = new URL(process.env.CAIRN_URL ?? "http://127.0.0.1:7480");
const own = JSON.parse(process.env.MOCK_SEED ?? "{}");

/* ---- the app ---------------------------------------------------------------------------------- */

const commands = [
  {
    name: "PlaceOrder",
    description: "A customer orders; the order begins.",
    stream: "order-{order_id}",
    decider: "order",
    permission: "orders.write",
    schema: {
      type: "object",
      required: ["order_id", "customer", "lines", "gift"],
      additionalProperties: false,
      properties: {
        order_id: { type: "string", pattern: "^[a-z0-9-]+$", maxLength: 40, description: "Yours to choose; lower case", examples: ["1042"] },
        customer: {
          type: "object",
          required: ["name"],
          properties: { name: { type: "string", minLength: 1 }, email: { type: "string", format: "email" }, newsletter: { type: "boolean", default: false } },
        },
        channel: { enum: ["web", "phone", "shop"], default: "web" },
        deliver_on: { type: "string", format: "date" },
        lines: { type: "array", minItems: 1, items: { $ref: "#/$defs/line" } },
        gift: { type: "boolean", description: "Wrapped, without a bill inside" },
        labels: { type: "array", items: { type: "string", maxLength: 20 } },
        payment: {
          oneOf: [
            { title: "On account", type: "object", properties: { kind: { const: "account" }, days: { type: "integer", minimum: 7, maximum: 60 } }, required: ["kind", "days"] },
            { title: "By card", type: "object", properties: { kind: { const: "card" }, token: { type: "string" } }, required: ["kind", "token"] },
          ],
        },
        note: { type: ["string", "null"], maxLength: 1000 },
      },
      $defs: {
        line: {
          type: "object",
          title: "Line",
          required: ["sku", "quantity", "price"],
          properties: { sku: { type: "string" }, quantity: { type: "integer", minimum: 1, maximum: 999, default: 1 }, price: { type: "number", exclusiveMinimum: 0 } },
        },
      },
    },
  },
  { name: "ShipOrder", description: "What was ordered leaves the house.", stream: "order-{order_id}", decider: "order", schema: { type: "object", required: ["order_id"], properties: { order_id: { type: "string" }, carrier: { enum: ["post", "courier"] } } } },
  { name: "CancelOrder", description: "The order ends before it is shipped.", stream: "order-{order_id}", decider: "order", schema: { type: "object", required: ["order_id", "reason"], properties: { order_id: { type: "string" }, reason: { type: "string", minLength: 3 } } } },
];
const evolve = {
  OrderPlaced: (state, data) => ({ ...data, status: "placed", total: data.lines.reduce((sum, line) => sum + line.quantity * line.price, 0) }),
  OrderShipped: (state, data) => ({ ...state, status: "shipped", carrier: data.carrier ?? "post" }),
  OrderCancelled: (state, data) => ({ ...state, status: "cancelled", reason: data.reason }),
};
const decide = {
  PlaceOrder: (state, data) => (state ? ["already_placed", `the order ${data.order_id} is there already`] : { type: "OrderPlaced", data, tags: [`customer:${data.customer.name.toLowerCase()}`] }),
  ShipOrder: (state, data) => (!state ? ["unknown", "there is no such order"] : state.status !== "placed" ? ["not_placed", `the order is ${state.status}`] : { type: "OrderShipped", data }),
  CancelOrder: (state, data) => (!state ? ["unknown", "there is no such order"] : state.status === "shipped" ? ["shipped", "what has left the house is not cancelled"] : { type: "OrderCancelled", data }),
};
const COLUMNS = ["order_id", "customer", "status", "lines", "total", "placed_at"].map((name) => ({ name, type: "text" }));
const queries = [
  { name: "orders", description: "Every order with its status and total.", params: [{ name: "status", type: "text", required: false, default: null }], filters: [{ name: "customer", type: "text", operators: ["eq", "ne", "prefix", "in"] }, { name: "total", type: "real", operators: ["eq", "lt", "gt"] }], sorts: ["order_id", "customer", "total"], columns: COLUMNS, limit: 10, limit_max: 1000, one: false, projections: ["orders"] },
  { name: "order", description: "One order.", params: [{ name: "order_id", type: "text", required: true }], filters: [], sorts: [], columns: COLUMNS, limit: 1, limit_max: 1, one: true, projections: ["orders"] },
];
const projections = {
  orders: { state: "running" },
  customers: { state: "stopped", stopped_at: own.stopped_at ?? 3, failure: { type: "OrderPlaced", error: "NOT NULL constraint failed: customer.email\n  projections/customers.sql:7: INSERT INTO customer(name, email) VALUES (:data.customer.name, :data.customer.email)", tries: 3 }, parked: [{ position: 1, stream: "order-1001", revision: 0, type: "OrderPlaced", error: "NOT NULL constraint failed: customer.email", time: "2026-11-21T10:03:45.659803Z" }] },
  search: { state: "building", at: 0 },
};
const sql = (extra) => `-- from order
CREATE TABLE orders(order_id TEXT PRIMARY KEY, customer TEXT, status TEXT, total REAL);
-- on OrderPlaced
INSERT INTO orders VALUES (:data.order_id, :data.customer.name, 'placed', ${extra});
-- on OrderShipped
UPDATE orders SET status = 'shipped' WHERE order_id = :stream_id;
-- on OrderCancelled
UPDATE orders SET status = 'cancelled' WHERE order_id = :stream_id;
`;
const yaml = (every) => `app: orders
title: Orders
deciders:
  order:
    lua: order.lua
    snapshot: {every: ${every}}
commands:
  PlaceOrder: {schema: schemas/place_order.json, stream: "order-{order_id}"}
  ShipOrder: {schema: schemas/ship_order.json, stream: "order-{order_id}"}
  CancelOrder: {schema: schemas/cancel_order.json, stream: "order-{order_id}"}
`;
const deployments = [
  { version: 1, time: "2026-11-19T08:12:30.120000Z", by: "ann", note: "first", files: { "app.yaml": yaml(100), "order.lua": "return {\n  initial = {},\n}\n", "projections/orders.sql": sql("0") } },
  { version: 2, time: "2026-11-20T16:40:02.004000Z", by: "ben", note: "totals in the read model", files: { "app.yaml": yaml(50), "order.lua": "return {\n  initial = {},\n}\n", "projections/orders.sql": sql(":data.total"), "queries/orders.sql": "-- filter status\nSELECT * FROM orders\n" } },
];

/* ---- folding the real events ---------------------------------------------------------------------- */

async function events(asOf) {
  const all = [];
  for (let from = 0; from !== null; ) {
    const page = await (await fetch(new URL(`/v1/events?category=order&limit=1000&from=${from}${asOf ? `&as_of=${asOf}` : ""}`, target))).json();
    all.push(...page.events);
    from = page.end ? null : page.next;
  }
  return all;
}
const end = async () => (await (await fetch(new URL("/v1/stats", target))).json()).store.events;

function fold(all) {
  const states = new Map();
  for (const event of all) if (evolve[event.type]) states.set(event.stream, { ...evolve[event.type](states.get(event.stream), event.data), placed_at: states.get(event.stream)?.placed_at ?? event.time });
  return states;
}
const rowOf = (state) => ({ order_id: state.order_id, customer: state.customer.name, status: state.status, lines: state.lines.length, total: Math.round(state.total * 100) / 100, placed_at: state.placed_at });

async function status(name) {
  const projection = projections[name];
  const last = await end();
  if (projection.state === "building") {
    projection.at = Math.min(last, projection.at + Math.max(1, Math.ceil(last / 40)));
    if (projection.at === last) projection.state = "running";
  }
  const position = projection.state === "building" ? projection.at : projection.failure ? projection.stopped_at : last;
  const rebuild = projection.rebuild === undefined ? null : { position: (projection.rebuild = Math.min(last, projection.rebuild + Math.ceil(last / 20))), eta_s: 42 };
  if (rebuild && rebuild.position >= last) delete projection.rebuild;
  return { name, state: projection.state, position, end: last, lag: last - position, events_per_s: projection.state === "building" ? 1840 : 0, eta_s: projection.state === "building" ? 95 : null, rebuild, failure: projection.failure ? { position, stream: "order-1003", ...projection.failure } : null, parked: projection.parked?.length ?? 0, skipped: 0, generation: 1 };
}
const statuses = () => Promise.all(Object.keys(projections).map(status));

/* ---- the paths ----------------------------------------------------------------------------------------- */

class Refusal extends Error {
  constructor(status, name, title, more = {}) {
    super(title);
    this.status = status;
    this.body = { type: `urn:cairn:problem:${name}`, title, status, ...more };
  }
}
const notFound = () => new Refusal(404, "notfound", "There is no such thing");
const answered = new Map();

function faults(schema, data) {
  const list = [];
  for (const name of schema.required ?? []) if (!(name in data)) list.push({ path: "", keyword: "required", message: `"${name}" is missing` });
  const pattern = schema.properties.order_id?.pattern;
  if (pattern && typeof data.order_id === "string" && !new RegExp(pattern).test(data.order_id)) list.push({ path: "/order_id", keyword: "pattern", message: `does not match ${pattern}` });
  data.lines?.forEach((line, at) => line.sku === "none" && list.push({ path: `/lines/${at}/sku`, keyword: "not", message: "is not a SKU that is sold" }));
  return list;
}

async function command(name, data, key) {
  const known = commands.find((each) => each.name === name);
  if (!known) throw notFound();
  if (key && answered.has(key)) return { ...answered.get(key), repeated: true };
  const found = faults(known.schema, data);
  if (found.length > 0) throw new Refusal(422, "invalid", "The command's data is not valid", { detail: found[0].message, faults: found });
  const stream = `order-${data.order_id}`;
  const state = fold(await events()).get(stream);
  const decision = decide[name](state, data);
  if (Array.isArray(decision)) throw new Refusal(422, "rejected", "The command was rejected", { code: decision[0], message: decision[1], details: state ? { status: state.status } : null });
  const at = await (await fetch(new URL(`/v1/streams/${stream}/events`, target), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(decision) })).json();
  const answer = { command_id: crypto.randomUUID(), app: "orders", command: name, stream, revision: at.revision, position: at.last_position, events: [{ type: decision.type, revision: at.revision, position: at.last_position }], repeated: false };
  if (key) answered.set(key, answer);
  return answer;
}

async function query(name, search) {
  const known = queries.find((each) => each.name === name);
  if (!known) throw notFound();
  const asOf = search.get("as_of");
  let rows = [...fold(await events(asOf)).values()].map(rowOf);
  const position = asOf ? Number(asOf) : await end();
  if (known.one) {
    const row = rows.find((each) => each.order_id === search.get("order_id"));
    if (!row) throw notFound();
    return { row, position };
  }
  for (const [name, value] of search) {
    const [column, operator = "eq"] = name.split(".");
    const holds = { eq: (x) => String(x) === value, lt: (x) => x < value, gt: (x) => Number(x) > Number(value), prefix: (x) => String(x).startsWith(value) }[operator];
    if ((known.filters.some((filter) => filter.name === column) || column === "status") && holds) rows = rows.filter((row) => holds(row[column]));
  }
  const sort = search.get("sort") ?? "order_id";
  const column = sort.replace(/^-/, "");
  rows.sort((a, b) => (a[column] < b[column] ? -1 : a[column] > b[column] ? 1 : 0) * (sort.startsWith("-") ? -1 : 1));
  const from = Number(search.get("cursor") ?? 0);
  return { rows: rows.slice(from, from + known.limit), next: from + known.limit < rows.length ? String(from + known.limit) : null, position };
}

function act(name, action) {
  const projection = projections[name];
  if (!projection) throw notFound();
  if (action === "pause") projection.state = "paused";
  else if (action === "rebuild") projection.rebuild = 0;
  else if (action === "replay-parked") projection.parked = [];
  else if (action === "retry") projection.failure.tries++;
  else {
    if (action === "park") projection.parked = [...(projection.parked ?? []), { position: projection.stopped_at, stream: "order-1003", revision: 0, type: projection.failure.type, error: projection.failure.error, time: new Date().toISOString() }];
    delete projection.failure;
    projection.state = "running";
  }
}

const listed = () => deployments.map((each, at) => ({ ...each, files: Object.keys(each.files).length, rollback_of: each.rollback_of ?? null, current: at === deployments.length - 1 })).reverse();
const newest = () => deployments[deployments.length - 1];

async function answer(method, parts, search, body, headers) {
  const [app, what, name, action] = parts;
  if (app === undefined) return { apps: [{ name: "orders", title: "Orders", version: newest().version, deployed_at: newest().time, commands: commands.length, queries: queries.length, projections: await statuses() }] };
  if (app !== "orders") throw notFound();
  if (what === undefined)
    return { name: "orders", title: "Orders", description: "A shop’s orders, from being placed to being shipped.", version: newest().version, deployed_at: newest().time, digest: "f0", commands, events: [{ type: "OrderPlaced", version: 2, schema: commands[0].schema }, { type: "OrderShipped", version: 1, schema: null }, { type: "OrderCancelled", version: 1, schema: null }], queries, projections: await statuses(), deciders: [{ name: "order", kind: "lua", source: "order.lua" }], statistics: {} };
  if (what === "commands" && method === "POST") return command(name, JSON.parse(body), headers["idempotency-key"]);
  if (what === "queries") return query(name, search);
  if (what === "state") {
    const revision = search.get("revision");
    const mine = (await events()).filter((event) => event.stream === name && (revision === null || event.revision <= Number(revision)));
    if (mine.length === 0) throw notFound();
    const { placed_at, ...state } = fold(mine).get(name);
    return { stream: name, revision: mine[mine.length - 1].revision, state };
  }
  if (what === "projections" && method === "POST") {
    act(name, action);
    return status(name);
  }
  if (what === "projections") return name === undefined ? { projections: await statuses() } : { ...(await status(name)), parked_events: projections[name].parked ?? [], skipped_events: [] };
  if (what === "deployments" && name === undefined) return { deployments: listed() };
  if (what === "deployments") {
    const found = deployments.find(({ version }) => String(version) === name);
    if (!found) throw notFound();
    return { version: found.version, files: found.files };
  }
  if (what === "rollback") {
    const { version, note } = JSON.parse(body);
    const found = deployments.find((each) => each.version === version);
    if (!found) throw notFound();
    deployments.push({ ...found, version: newest().version + 1, time: new Date().toISOString().replace("Z", "000Z"), by: "you", note, rollback_of: version });
    return { app: "orders", version: newest().version, changed: true, faults: [] };
  }
  throw notFound();
}

function passOn(request, response) {
  const onward = http.request({ host: target.hostname, port: target.port, method: request.method, path: request.url, headers: { ...request.headers, host: target.host, ...(request.headers.origin ? { origin: target.origin } : {}) } }, (back) => {
    response.writeHead(back.statusCode, back.headers);
    back.pipe(response);
  });
  onward.on("error", () => response.destroy());
  response.on("close", () => onward.destroy());
  request.pipe(onward);
}

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, "http://mock");
  const parts = url.pathname.split("/").slice(1).map(decodeURIComponent);
  if (parts[0] !== "v1" || parts[1] !== "apps") {
    passOn(request, response);
    return;
  }
  let body = "";
  for await (const piece of request) body += piece;
  try {
    const result = await answer(request.method, parts.slice(2), url.searchParams, body, request.headers);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(result));
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal(500, "internal", String(error));
    response.writeHead(refusal.status, { "content-type": "application/problem+json" });
    response.end(JSON.stringify(refusal.body));
  }
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));

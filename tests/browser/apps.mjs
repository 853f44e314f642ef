/* The console's pages over apps: commands as forms, states, read models, projections, deployments.
 *
 * Goal: what a person does in the console is what the API does, and what goes wrong is said where it belongs. Method: the
 * app in tests/browser/orders deployed to a real server, driven through the pages in headless Chromium; what they show is
 * compared with what the API answers. */
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { accessibility, call, check, finish, picture, ready, root, same, startBrowser, startServer, step, until } from "./rig.mjs";

const folder = path.join(root, "tests/browser/orders");
const files = Object.fromEntries(
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .map((file) => [path.relative(folder, file), readFileSync(file, "utf8")]),
);

const server = await startServer();
const base = server.url;
const api = `${base}/v1/apps`;
try {
  if (await ready("apps", server)) await main();
} finally {
  await server.stop();
}

async function send(command, data) {
  const { status, text } = await call(`${api}/orders/commands/${command}`, "POST", data);
  if (status !== 200) throw new Error(`${command}: ${status} ${text.slice(0, 300)}`);
}
async function status(projection) {
  return (await call(`${api}/orders/projections/${projection}`)).json;
}

async function main() {
  const web = await startBrowser(base);
  try {
    await play(web);
    finish(web);
  } finally {
    await web.close();
  }
}

async function play(web) {
  const page = await web.open();
  const text = (selector) => page.locator(selector).first().innerText();
  const go = async (where, on = page) => {
    await on.goto(`${base}/console${where}`);
    await on.locator("main h1").waitFor();
  };
  const button = (name, within = page) => within.getByRole("button", { name, exact: true });
  const field = (label, within = page) => within.getByLabel(label, { exact: false }).first();

  await step("no app", async () => {
    for (const where of ["/apps", "/read-models", "/projections", "/deployments"]) {
      await go(where);
      await until(`apps: ${where} says that none is deployed`, () => text(".empty-title"), (shown) => shown === "No app is deployed");
    }
  });

  const deployed = await call(`${api}/deployments`, "POST", { files, note: "first" });
  if (!check("apps: the test's app is deployed", deployed.status === 201, deployed.text.slice(0, 600))) return;
  for (let n = 1; n <= 24; n++) {
    await send("PlaceOrder", { order_id: String(1000 + n), customer: { name: ["Ann", "Ben", "Cleo", "Dan"][n % 4], email: "someone@example.org" }, gift: n % 5 === 0, lines: [{ sku: `A-${n}`, quantity: (n % 3) + 1, price: 3.5 * n }] });
    if (n % 3 === 0) await send("ShipOrder", { order_id: String(1000 + n), carrier: "post" });
    else if (n % 7 === 1) await send("CancelOrder", { order_id: String(1000 + n), reason: "changed their mind" });
  }

  await step("apps", async () => {
    await go("/apps");
    await until("apps: the app with its numbers", () => text(".card"), (shown) => shown.includes("Orders") && shown.includes("3 commands") && shown.includes("2 queries"));
    await until("apps: its projections are up to date", () => text(".card"), (shown) => shown.includes("up to date"));
    await page.getByRole("link", { name: "Orders" }).click();
    await until("app: its commands", () => page.locator(".list a .mono").allInnerTexts(), (shown) => shown.join() === "PlaceOrder,ShipOrder,CancelOrder");
    await page.getByRole("link", { name: "Event types" }).click();
    await until("app: its event types", () => page.locator("tbody td:first-child").allInnerTexts(), (shown) => shown.join() === "OrderPlaced,OrderShipped,OrderCancelled");
  });

  await step("a command", async () => {
    await go("/apps/orders/commands/PlaceOrder");
    await button("Send the command").click();
    const faults = () => page.locator(".field.has-fault label.label, .group.has-fault > legend").allInnerTexts();
    await until("command: what is needed is said at its fields", faults, (shown) => ["Order id", "Name", "Sku", "Price", "Gift"].every((name) => shown.some((label) => label.startsWith(name))));
    same("command: the first of them has the focus", await page.evaluate(() => document.activeElement?.id), "f-2f-order-5f-id");
    same("command: the form with faults is accessible", await accessibility(page), []);
    await field("Order id").fill("Not Good");
    await field("Name").fill("Zoë");
    await field("Sku").fill("none");
    await field("Price").fill("99.50");
    await page.getByRole("radio", { name: "Yes" }).click();
    await button("Send the command").click();
    await until("command: a pattern that does not match is said", () => text("#f-2f-order-5f-id-fault"), (shown) => shown.includes("^[a-z0-9-]+$"));
    await field("Order id").fill("z-1");
    await web.expectingFailures(async () => {
      await button("Send the command").click();
      await until("command: what only the server knows is said at its field", () => page.locator(".field.has-fault label.label").allInnerTexts(), (shown) => shown.length === 1 && shown[0].startsWith("Sku"));
    });
    await field("Sku").fill("A-1");
    await button("Add to lines").click();
    await page.getByLabel("Sku").nth(1).fill("B-2");
    await page.getByLabel("Price").nth(1).fill("0.25");
    await button("Add payment").click();
    await page.getByLabel("Which Payment").selectOption({ label: "By card" });
    await page.getByLabel("Token").fill("tok");
    await page.getByLabel("Channel").selectOption({ label: "phone" });
    await page.locator("form.command").scrollIntoViewIfNeeded();
    const request = page.waitForRequest((each) => each.method() === "POST" && each.url().includes("/commands/"));
    await button("Send the command").click();
    const sent = (await request).postData();
    same("command: it is sent as it was typed", sent, '{"order_id":"z-1","customer":{"name":"Zoë","newsletter":false},"channel":"phone","lines":[{"sku":"A-1","quantity":1,"price":99.50},{"sku":"B-2","quantity":1,"price":0.25}],"gift":true,"payment":{"kind":"card","token":"tok"}}');
    check("command: with a key, so that a second click repeats the answer", ((await request).headers()["idempotency-key"] ?? "").length >= 16);
    await until("command: what came of it", () => text(".outcome"), (shown) => shown.includes("OrderPlaced") && shown.includes("order-z-1"));
    same("command: the outcome is accessible", await accessibility(page), []);
    const stored = (await call(`${base}/v1/streams/order-z-1/events`)).json.events;
    same("command: it has happened, once", stored.map(({ type }) => type), ["OrderPlaced"]);
    await page.locator(".outcome").getByRole("link", { name: "order-z-1" }).click();
    await until("command: and leads to its stream", () => text("td.type"), (shown) => shown.startsWith("OrderPlaced"));

    await go("/apps/orders/commands/ShipOrder");
    await field("Order id").fill("1003");
    await web.expectingFailures(async () => {
      await page.keyboard.press("Control+Enter");
      await until("command: a rejection with its code and words", () => text(".command .problem"), (shown) => shown.includes("not_open") && shown.includes("the order is shipped"));
    });
    same("command: the rejection is accessible", await accessibility(page), []);
    await field("Order id").fill("1002");
    await page.getByLabel("Carrier").selectOption({ label: "courier" });
    await button("JSON").click();
    await until("command: the form as JSON", () => page.getByLabel("Data, as JSON").inputValue(), (shown) => JSON.stringify(JSON.parse(shown)) === '{"order_id":"1002","carrier":"courier"}');
    await page.getByLabel("Data, as JSON").fill('{"order_id":"1002","carrier":"post"}');
    await button("JSON").click();
    await until("command: and JSON as the form", () => page.getByLabel("Carrier").inputValue(), (shown) => shown === "0");
  }, page);

  await step("a state", async () => {
    await go("/apps/orders/state");
    await page.getByLabel("Stream").fill("order-1003");
    await page.keyboard.press("Enter");
    await until("state: as its decider makes it", () => text(".json"), (shown) => shown.includes('"shipped"'));
    await page.getByLabel("Revision").focus();
    await page.keyboard.press("ArrowLeft");
    await until("state: as it was at a revision", () => text(".json"), (shown) => shown.includes('"placed"'));
    check("state: the revision is in the address", page.url().includes("revision=0"), page.url());
    await button("Newest").click();
    await until("state: the newest again", () => text(".json"), (shown) => shown.includes('"shipped"'));
  }, page);

  await step("a read model", async () => {
    await go("/read-models");
    await page.locator(".card").getByRole("link", { name: "orders", exact: true }).click();
    const column = (n) => page.locator(`table.rows tbody td:nth-child(${n})`).allInnerTexts();
    const asked = async (query) => (await call(`${api}/orders/queries/orders?${query}`)).json;
    await until("read model: a page of rows", async () => (await column(1)).join(), async (shown) => shown === (await asked("")).rows.map(({ order_id }) => order_id).join());
    const first = await column(1);
    await button("Next page").click();
    await until("read model: the next page", () => column(1), (shown) => shown.length === 10 && !first.includes(shown[0]));
    await button("Page before").click();
    await until("read model: and back", () => column(1), (shown) => shown.join() === first.join());
    const total = page.locator("th", { hasText: "total" });
    await total.getByRole("button").click();
    await until("read model: sorted by a header", () => column(5), (shown) => shown.length > 1 && shown.every((each, at) => at === 0 || Number(each) >= Number(shown[at - 1])));
    same("read model: which says so", await total.getAttribute("aria-sort"), "ascending");
    await total.getByRole("button").click();
    await until("read model: and the other way round", () => column(5), (shown) => shown.every((each, at) => at === 0 || Number(each) <= Number(shown[at - 1])) && Number(shown[0]) > Number(shown[1]));
    await page.getByLabel("Where").selectOption("customer");
    await page.getByLabel("Value").fill("Ann");
    await button("Narrow").click();
    await until("read model: narrowed by a filter", async () => [...new Set(await column(2))].join(), (shown) => shown === "Ann");
    await page.getByRole("button", { name: "Remove the filter" }).click();
    await until("read model: and no longer", async () => new Set(await column(2)).size, (size) => size > 1);
    await field("status").fill("shipped");
    await button("Ask").click();
    await until("read model: by a parameter", async () => [...new Set(await column(3))].join(), (shown) => shown === "shipped");
    const third = (await call(`${base}/v1/streams/order-1003/events`)).json.events;
    await go(`/read-models/orders/orders?as_of=${third[0].position + 1}`);
    await until("read model: as of then, what was then", async () => (await column(1)).join(), (shown) => shown === "1001,1002,1003");
    same("read model: and how it was then", (await column(3))[2], "placed");
    await go("/read-models/orders/order");
    await until("read model: what it needs is said", () => text(".empty-title"), (shown) => shown.includes("order_id"));
    await field("order_id").fill("1003");
    await page.keyboard.press("Enter");
    await until("read model: one row", () => text(".json"), (shown) => shown.includes("Dan") && shown.includes("shipped"));
    await web.expectingFailures(async () => {
      await field("order_id").fill("none");
      await page.keyboard.press("Enter");
      await until("read model: none", () => text(".empty-title"), (shown) => shown === "No rows");
    });
  }, page);

  await step("a projection", async () => {
    /* z-1 was placed without an e-mail address, which this projection cannot do without. */
    await until("projection: the server's has stopped", () => status("customers"), ({ state }) => state === "stopped");
    await go("/projections");
    const card = page.getByRole("article", { name: "Projection customers" });
    const shows = (name, holds) => until(name, () => card.innerText(), holds);
    await shows("projection: it is shown as stopped, with event and error", (shown) => shown.includes("stopped") && shown.includes("OrderPlaced") && shown.includes("order-z-1") && shown.includes("customer.email"));
    check("projection: the other one goes on", (await page.getByRole("article", { name: "Projection orders" }).innerText()).includes("running"));
    same("projection: the page is accessible", await accessibility(page), []);
    await button("Retry", card).click();
    await until("projection: retried in vain, it stands there still", () => status("customers"), ({ state, failure }) => state === "stopped" && failure !== null);
    await shows("projection: and is shown so", (shown) => shown.includes("stopped"));
    await button("Park the event", card).click();
    await until("projection: parked, the server's goes on", () => status("customers"), ({ state }) => state === "running");
    await shows("projection: which is shown, with what is parked", (shown) => shown.includes("running") && shown.includes("1 parked"));
    await card.getByRole("link", { name: "customers" }).click();
    await until("projection: its page lists the event with its error", () => text("table tbody"), (shown) => shown.includes("order-z-1") && shown.includes("customer.email"));
    await go("/projections");
    await button("Pause", card).click();
    await shows("projection: paused", (shown) => shown.includes("paused"));
    await button("Resume", card).click();
    await shows("projection: resumed", (shown) => shown.includes("running"));
    await send("PlaceOrder", { order_id: "z-2", customer: { name: "Yan" }, gift: false, lines: [{ sku: "A", quantity: 1, price: 1 }] });
    await shows("projection: stopped again by the next such event", (shown) => shown.includes("stopped") && shown.includes("order-z-2"));
    await button("Skip the event", card).click();
    await page.locator("dialog[open]").waitFor();
    same("projection: the question before skipping is accessible", await accessibility(page), []);
    await button("Cancel", page.locator("dialog")).click();
    same("projection: no is no", (await status("customers")).state, "stopped");
    await button("Skip the event", card).click();
    await button("Skip the event", page.locator("dialog")).click();
    await shows("projection: skipped", (shown) => shown.includes("running") && shown.includes("1 skipped"));
    const before = (await status("orders")).generation;
    const orders = page.getByRole("article", { name: "Projection orders" });
    await button("Rebuild", orders).click();
    await button("Rebuild", page.locator("dialog")).click();
    await until("projection: rebuilt beside and swapped", () => status("orders"), ({ generation, state, rebuild }) => generation !== before && state === "running" && !rebuild);
  }, page);

  await step("deployments", async () => {
    const changed = { ...files, "order.lua": files["order.lua"].replace("there is no such order", "nobody knows that order"), "README.md": "# Orders\n" };
    const second = await call(`${api}/deployments`, "POST", { files: changed, note: "kinder words" });
    check("deployments: a second version", second.status === 201, second.text.slice(0, 300));
    await go("/deployments");
    await page.getByRole("link", { name: "Orders" }).click();
    const rows = () => page.locator("table tbody tr").allInnerTexts();
    await until("deployments: the history, newest first", rows, (shown) => shown.length === 2 && shown[0].includes("kinder words") && shown[0].includes("current") && shown[1].includes("first"));
    await page.getByRole("link", { name: "Changes" }).click();
    await until("deployments: what changed", () => page.locator(".diff .old, .diff .new").allInnerTexts(), (shown) => shown.some((line) => line.includes("− ") && line.includes("no such order")) && shown.some((line) => line.includes("+ ") && line.includes("nobody knows")) && shown.some((line) => line.includes("# Orders")));
    same("deployments: and nothing else", await page.locator("details.file").count(), 2);
    same("deployments: the page is accessible", await accessibility(page), []);
    await page.getByLabel("Compare with").selectOption({ label: "nothing: its files" });
    await page.getByRole("navigation", { name: "Files" }).getByRole("link", { name: "order.lua" }).click();
    await until("deployments: a file of a version", () => text(".source"), (shown) => shown.includes("nobody knows that order"));
    await button("Roll back").click();
    await page.locator("dialog").getByLabel("Note").fill("as it was");
    await button("Roll back to 1", page.locator("dialog")).click();
    await until("deployments: rolled back, as a version of its own", rows, (shown) => shown.length === 3 && shown[0].includes("as it was") && shown[0].includes("back to 1") && shown[0].includes("current"));
    same("deployments: the server runs it", (await call(`${api}/orders`)).json.version, 3);
  }, page);

  for (const [theme, size] of [["light", { width: 1280, height: 800 }], ["dark", { width: 1280, height: 800 }], ["light", { width: 400, height: 800 }]]) {
    await step(`${theme} ${size.width}`, async () => {
      const other = await web.open({ colorScheme: theme, viewport: size });
      for (const [name, where, shot] of [
        ["overview", "/", "overview"],
        ["apps", "/apps"],
        ["command", "/apps/orders/commands/PlaceOrder", "command"],
        ["state", "/apps/orders/state?stream=order-1003"],
        ["event types", "/apps/orders/events"],
        ["read models", "/read-models"],
        ["read model", "/read-models/orders/orders?sort=-total", "read-model"],
        ["read model then", "/read-models/orders/orders?as_of=20"],
        ["projections", "/projections", "projection"],
        ["projection", "/projections/orders/customers"],
        ["deployments", "/deployments/orders?version=2&from=1", "deployments"],
      ]) {
        await go(where, other);
        await until(`${theme} ${size.width}: ${name} is loaded`, () => other.locator(".skeleton").count(), (count) => count === 0);
        same(`${theme} ${size.width}: ${name} is accessible`, await accessibility(other), []);
        same(`${theme} ${size.width}: ${name} does not scroll sideways`, await other.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);
        if (shot && size.width > 1000) {
          if (process.env.CONSOLE_PICTURES) await pose(name, other);
          await picture(other, `${shot}-${theme}`);
        }
      }
      await other.context().close();
    });
  }
}

/* For the pictures: something to see. */
async function pose(name, page) {
  if (name === "command") {
    await page.getByLabel("Order id").fill("1042");
    await page.getByLabel("Name").fill("Ann");
  }
  if (name === "overview") {
    for (let n = 0; n < 12; n++) {
      const burst = 20 + ((n * 37) % 60);
      await call(`${base}/v1/streams/visit-${n}/events`, "POST", Array.from({ length: burst }, (_, at) => ({ type: "PageSeen", data: { page: at } })));
      const seen = await page.locator(".spark").getAttribute("aria-label");
      await page.waitForFunction((before) => document.querySelector(".spark")?.getAttribute("aria-label") !== before, seen, { timeout: 15000 });
    }
  }
  if (name === "projections" && (await status("customers")).state === "running") {
    await send("PlaceOrder", { order_id: `p-${Date.now()}`, customer: { name: "Pim" }, gift: false, lines: [{ sku: "A", quantity: 1, price: 1 }] });
    await page.locator(".projection .problem").waitFor();
  }
}

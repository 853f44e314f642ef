/* The console's pages over the store: overview, streams, a stream, events, time travel, keys, themes, narrow, offline.
 *
 * Goal: what the pages show is what the server holds, now and then; everything can be done with the keyboard; nothing is
 * asked of anybody else. Method: a real server with known events, headless Chromium, no waiting but for conditions. */
import { accessibility, call, check, finish, picture, ready, same, startBrowser, startServer, step, until } from "./rig.mjs";

let server = await startServer();
try {
  if (await ready("console", server)) await main();
} finally {
  await server.stop();
}

async function fill() {
  const append = async (stream, events) => {
    const { status } = await call(`${server.url}/v1/streams/${encodeURIComponent(stream)}/events`, "POST", events);
    if (status !== 201) throw new Error(`append: ${status}`);
  };
  for (let n = 1; n <= 60; n++) {
    await append(`order-${n}`, [{ type: "OrderPlaced", data: { number: n, customer: { name: n % 2 ? "Ann" : "Ben" } }, tags: [`customer:${n % 2 ? "ann" : "ben"}`], meta: { correlation: `c-${n}` } }]);
    if (n % 3 === 0) await append(`order-${n}`, [{ type: "OrderPaid", data: { number: n } }]);
  }
  /* Its bytes are kept, so its numbers are shown as they came. */
  await fetch(`${server.url}/v1/streams/odd%2Fname%20%3F/events`, { method: "POST", headers: { "content-type": "application/json" }, body: '{"type":"Odd","data":{"price":99.50,"big":9007199254740993,"html":"<img src=x onerror=alert(1)>"}}' });
  await append("sensor-1", [{ type: "Reading", data_base64: "MjEuNSBD", content_type: "text/plain" }]);
}

async function main() {
  await fill();
  const base = server.url;
  const end = (await call(`${base}/v1/stats`)).json.store.events;
  const web = await startBrowser(base);
  try {
    await play(web, base, end);
    finish(web);
  } finally {
    await web.close();
  }
}

async function play(web, base, end) {
  const page = await web.open();
  const text = (selector) => page.locator(selector).first().innerText();
  const rows = () => page.locator("table.events tbody tr:not(.inside)").count();
  const go = async (path) => {
    await page.goto(`${base}/console${path}`);
    await page.locator("main h1").waitFor();
  };
  const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());

  await step("a browser is led to the console", async () => {
    await page.goto(`${base}/`);
    await page.locator("main h1").waitFor();
    check("a browser at / is led to the console", page.url() === `${base}/console/`, page.url());
  });

  await step("overview", async () => {
    const tile = (name) => page.locator(".tile", { hasText: name }).first().locator("dd").innerText();
    await until("overview: the number of events", async () => (await tile("Events")).split("\n")[0], (shown) => shown === String(end));
    await until("overview: the newest event is on top", () => text("table.events tbody tr td.type"), (shown) => shown === "Reading");
    await until("overview: it follows", () => text(".badge"), (shown) => shown === "live");
    await call(`${base}/v1/streams/live-1/events`, "POST", { type: "JustNow", data: {} });
    await until("overview: what is appended appears by itself", () => text("table.events tbody tr td.type"), (shown) => shown === "JustNow");
    await until("overview: and the number follows", async () => (await tile("Events")).split("\n")[0], (shown) => shown === String(end + 1));
    await until("overview: the server is ready", () => text(".health"), (shown) => shown.includes("Ready"));
  });

  await step("streams", async () => {
    await go("/streams");
    await until("streams: a page of them", () => page.locator("tbody tr").count(), (count) => count === 50);
    await page.getByRole("button", { name: "Next page" }).click();
    await until("streams: the rest on the next page", () => page.locator("tbody tr").count(), (count) => count === 13);
    await page.goBack();
    await until("streams: the browser's back button goes back a page", () => page.locator("tbody tr").count(), (count) => count === 50);
    await page.getByLabel("Name begins with").fill("order-4");
    await until("streams: a prefix narrows them", () => page.locator("tbody tr").count(), (count) => count === 11);
    await page.getByLabel("Name begins with").fill("none-such");
    await until("streams: none of them is said", () => text(".empty-title"), (shown) => shown.includes("none-such"));
    await go("/streams?as_of=10");
    const then = (await call(`${base}/v1/streams?limit=1000`)).json.streams.filter(({ first_position }) => first_position < 10);
    await until("streams: as of 10 events, those that were there then", () => page.locator("tbody tr td:first-child").allInnerTexts(), (shown) => JSON.stringify(shown) === JSON.stringify(then.map(({ stream }) => stream)));
  });

  await step("a stream", async () => {
    await go("/streams/order-3");
    await until("stream: newest first", () => page.locator("td.type").allInnerTexts(), (shown) => shown[0] === "OrderPaid" && shown[1].startsWith("OrderPlaced"));
    await page.getByRole("button", { name: "Oldest first" }).click();
    await until("stream: oldest first", () => text("td.type"), (shown) => shown.startsWith("OrderPlaced"));
    await page.locator("[data-row]").first().click();
    await until("stream: an event opens to its data", () => text(".event-inside .json"), (shown) => shown.includes('"Ann"') && shown.includes("number"));
    check("stream: its tags and id are there", /customer:ann/.test(await text(".event-inside")) && /[0-9a-f]{8}-[0-9a-f]{4}-7/.test(await text(".event-inside")));
    await page.getByRole("button", { name: "Look at everything as of here" }).click();
    await until("stream: as of an event, what came later is not there", rows, (count) => count === 1);
    check("stream: the moment is in the address", /as_of=\d+/.test(page.url()), page.url());
    check("stream: and said", (await text(".travel-what")).startsWith("As of"), await text(".travel-what"));
    await page.getByRole("button", { name: "Now", exact: true }).click();
    await until("stream: back to now", rows, (count) => count === 2);
    await page.getByLabel("Jump to revision").fill("1");
    await press("Enter");
    await until("stream: a jump to a revision", () => page.locator("td.type").allInnerTexts(), (shown) => shown.length === 1 && shown[0] === "OrderPaid");
    await until("stream: what it jumped to is open", () => page.locator(".inside").count(), (count) => count === 1);

    await go("/streams/odd%2Fname%20%3F");
    await until("stream: a name with / and ? is found", () => page.locator("td.type").allInnerTexts(), (shown) => shown[0] === "Odd");
    await page.locator("[data-row]").first().click();
    const inside = await text(".event-inside .json");
    check("stream: numbers are shown as they were written", inside.includes("99.50") && inside.includes("9007199254740993"), inside);
    check("stream: markup in data is text", inside.includes("<img src=x") && (await page.locator(".json img").count()) === 0);
    await go("/streams/sensor-1");
    await page.locator("[data-row]").first().click();
    await until("stream: data that is no JSON is shown as text", () => text(".event-inside pre"), (shown) => shown === "21.5 C");
    await go("/streams/none-such");
    await until("stream: one that does not exist says so", () => text(".empty-title"), (shown) => shown === "No events here");
    await go("/streams/grows-1");
    await page.locator(".badge", { hasText: "live" }).waitFor();
    await call(`${base}/v1/streams/grows-1/events`, "POST", { type: "Grown" });
    await until("stream: what is appended appears by itself", rows, (count) => count === 1);
  });

  await step("events", async () => {
    await go("/events?category=order");
    await page.getByLabel("Type, any of").fill("OrderPaid");
    await press("Enter");
    await until("events: by type", async () => [...new Set(await page.locator("td.type").allInnerTexts())].join(), (shown) => shown === "OrderPaid");
    await page.getByRole("button", { name: "Clear filters" }).click();
    await page.getByLabel("Tag, all of").fill("customer:ben");
    await press("Enter");
    await until("events: by tag", rows, (count) => count === 30);
    await go("/events");
    await until("events: a page of them", rows, (count) => count === 50);
    const first = await text("[data-row]");
    await page.getByRole("button", { name: "Older" }).click();
    await until("events: older ones on the next page", () => text("[data-row]"), (shown) => Number(shown) === Number(first) - 50);
    await go("/events");
    await page.getByRole("button", { name: "Follow live" }).click();
    await page.locator(".actions .badge", { hasText: "live" }).waitFor();
    for (let n = 0; n < 3; n++) await call(`${base}/v1/streams/live-2/events`, "POST", { type: `Live${n}` });
    await until("events: followed live, newest on top", () => page.locator("td.type").allInnerTexts(), (shown) => shown.slice(0, 3).join() === "Live2,Live1,Live0");
    same("events: none is there twice", await page.evaluate(() => { const all = [...document.querySelectorAll("[data-row]")].map((row) => row.textContent); return all.length - new Set(all).size; }), 0);
  });

  await step("time travel", async () => {
    await go("/events");
    const slider = page.getByLabel("Moment, in events written");
    await slider.waitFor();
    await press("t");
    await until("time: t goes to the slider", () => page.evaluate(() => document.activeElement?.hasAttribute("data-travel")));
    await press("Home");
    await until("time: at the beginning there is nothing", () => text(".empty-title"), (shown) => shown === "Nothing had happened yet");
    for (let n = 0; n < 5; n++) await press("ArrowRight");
    await until("time: five events on, five events", rows, (count) => count === 5);
    check("time: the address says so", page.url().includes("as_of=5"), page.url());
    const at = (await call(`${base}/v1/events?from=6&limit=1`)).json.events[0].time;
    await page.getByLabel("Time, UTC").fill(at.replace("T", " "));
    await press("Enter");
    const expected = (await call(`${base}/v1/events?as_of=${encodeURIComponent(at)}&limit=1000`)).json.events.length;
    await until("time: a time typed shows what the server says was then", rows, (count) => count === expected);
    await page.getByLabel("Time, UTC").fill("yesterday");
    await press("Enter");
    await until("time: what is no time is said", () => text(".travel-fault"), (shown) => shown.includes("2026-11-21"));
    await page.getByRole("spinbutton", { name: "Position" }).fill("20");
    await press("Enter");
    await until("time: a position typed", () => page.url(), (url) => url.includes("as_of=20"));
    await press("Escape");
    await press("g", "s");
    await until("time: the moment goes along to another page", () => page.url(), (url) => url.includes("/console/streams") && url.includes("as_of=20"));
  });

  await step("keys", async () => {
    await go("/");
    await press("Tab");
    same("keys: the first Tab reaches the skip link", await page.evaluate(() => document.activeElement?.className), "skip");
    await press("Enter");
    same("keys: which leads to the page", await page.evaluate(() => document.activeElement?.id), "main");
    for (const [key, path] of [["s", "/streams"], ["e", "/events"], ["a", "/apps"], ["r", "/read-models"], ["p", "/projections"], ["d", "/deployments"], ["o", "/"]]) {
      await web.expectingFailures(async () => {
        await press("g", key);
        await until(`keys: g ${key}`, () => new URL(page.url()).pathname, (found) => found.replace(/\/$/, "") === `/console${path}`.replace(/\/$/, ""));
        await page.locator("main h1").waitFor();
      });
    }
    await press("/");
    await until("keys: / where there is no search goes to the one for streams", () => page.evaluate(() => document.activeElement?.matches("[data-search]") && location.pathname), (found) => found === "/console/streams");
    await press("o", "r", "d", "e", "r", "-", "3", "Escape");
    await until("keys: typing types, and does not navigate", () => page.locator("tbody tr").count(), (count) => count === 11);
    await press("j", "j");
    await until("keys: j walks down the rows", () => page.evaluate(() => document.activeElement?.textContent), (found) => found === "order-30");
    await press("k", "Enter");
    await until("keys: k up, Enter opens", () => text("h1"), (shown) => shown === "order-3");
    await page.locator("[data-row]").first().waitFor();
    await press("j", "Enter");
    await until("keys: a row opens", () => page.locator(".inside").count(), (count) => count === 1);
    await press("?");
    await until("keys: ? shows them", () => page.locator("dialog[open] h2").innerText(), (shown) => shown === "Keys");
    same("keys: the list is accessible", await accessibility(page), []);
    await press("Escape");
    await until("keys: Escape closes the list", () => page.locator("dialog[open]").count(), (count) => count === 0);
    await go("/streams");
    const lost = [];
    for (let n = 0; n < 24; n++) {
      await press("Tab");
      const ring = await page.evaluate(() => { const at = document.activeElement; return at && at !== document.body ? getComputedStyle(at).outlineStyle !== "none" || at.id === "main" : null; });
      if (ring === false) lost.push(await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 80)));
    }
    same("keys: where the focus is can always be seen", lost, []);
  });

  await step("themes", async () => {
    const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    await page.emulateMedia({ colorScheme: "light" });
    await go("/");
    const light = await background();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await background();
    check("themes: the system's choice is followed", light !== dark, `${light} ${dark}`);
    await page.getByRole("button", { name: "light" }).click();
    same("themes: the toggle wins", await background(), light);
    await page.reload();
    same("themes: and is remembered", await background(), light);
    await page.getByRole("button", { name: "system" }).click();
    same("themes: back to the system's", await background(), dark);
  });

  for (const [theme, size] of [["light", { width: 1280, height: 800 }], ["dark", { width: 1280, height: 800 }], ["light", { width: 400, height: 800 }]]) {
    await step(`${theme} ${size.width}`, async () => {
      const other = await web.open({ colorScheme: theme, viewport: size });
      for (const [name, path] of [["overview", "/"], ["streams", "/streams"], ["stream", "/streams/order-3"], ["events", "/events?category=order"], ["past", "/events?as_of=20"], ["empty", "/streams?prefix=none"], ["nowhere", "/nowhere"]]) {
        await other.goto(`${base}/console${path}`);
        await other.locator("main h1").waitFor();
        await until(`${theme} ${size.width}: ${name} is loaded`, () => other.locator(".skeleton").count(), (count) => count === 0);
        if (name === "stream") await other.locator("[data-row]").first().click();
        same(`${theme} ${size.width}: ${name} is accessible`, await accessibility(other), []);
        same(`${theme} ${size.width}: ${name} does not scroll sideways`, await other.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);
        if (name === "stream" && size.width > 1000) await picture(other, `stream-${theme}`);
      }
      await other.context().close();
    });
  }

  await step("still", async () => {
    const calm = await web.open({ reducedMotion: "reduce" });
    await calm.goto(`${base}/console/`);
    await calm.locator("table.events").waitFor();
    same("motion: none where none is wanted", await calm.evaluate(() => document.getAnimations().length), 0);
    await calm.context().close();
  });

  await step("offline", () =>
    web.expectingFailures(async () => {
      await go("/streams/order-3");
      await page.locator("[data-row]").first().waitFor();
      const port = Number(new URL(base).port);
      await server.stop(true);
      await page.getByRole("button", { name: "Oldest first" }).click();
      await until("offline: it is said", () => text(".offline"), (shown) => shown.includes("cannot be reached"));
      same("offline: the page is accessible", await accessibility(page), []);
      server = await startServer({ data: server.folder, port });
      await until("offline: when the server is back the page goes on by itself", () => text("td.type"), (shown) => shown.startsWith("OrderPlaced"));
      await until("offline: and says so no longer", () => page.locator(".offline").count(), (count) => count === 0);
    }),
  );
}

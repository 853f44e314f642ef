/* The console's pages over topics, groups of Kafka's clients, and relays.
 *
 * Goal: what was appended and what a Kafka client produced are shown alike, by offset and by time; a group's members and lag are what
 * the server says; offsets are moved only after a dry run, and not while somebody reads.
 * Method: a real server with Kafka's door open, kcat as producer and consumer, headless Chromium, no waiting but for conditions. */
import { spawn, spawnSync } from "node:child_process";
import { accessibility, call, check, finish, picture, ready, same, startBrowser, startServer, step, until } from "./rig.mjs";

const server = await startServer({ more: ["--kafka", "127.0.0.1:0"] });
let consumer;
try {
  if (spawnSync("kcat", ["-V"]).error) check("topics: kcat is installed", false, "scripts/deps.sh test");
  else if (await ready("topics", server)) await main();
} finally {
  consumer?.kill();
  await server.stop();
}

function put(path, body) {
  return call(`${server.url}${path}`, "PUT", body);
}

async function fill(broker) {
  for (let n = 1; n <= 70; n++) await call(`${server.url}/v1/streams/my~order-${n}/events`, "POST", { type: "OrderPlaced", data: { number: n, html: "<img src=x onerror=alert(1)>" } });
  await put("/v1/topics/my-order", { partitions: 1, config: { "cleanup.policy": "compact" } });
  await put("/v1/topics/wide", { partitions: 3 });
  for (let n = 0; n < 55; n++) await put(`/v1/topics/many-${String(n).padStart(2, "0")}`, { partitions: 1 });
  const produced = spawnSync("kcat", ["-b", broker, "-P", "-t", "my-order", "-K:", "-Z", "-H", "who=me", "-z", "lz4"], { input: 'a:{"by":"kcat","price":99.50}\nb:plain text\nc:\n' });
  if (produced.status !== 0) throw new Error(`kcat: ${produced.stderr}`);
  await put("/v1/relays/copy", { direction: "out", source: "my-order", client: { "bootstrap.servers": "127.0.0.1:1", "sasl.password": "hunter2" }, paused: true });
}

async function main() {
  let broker;
  await until("the door for Kafka's clients is open", () => (broker = /for Kafka's clients on (\S+?),? /.exec(server.said())?.[1]));
  await fill(broker);
  const web = await startBrowser(server.url);
  try {
    await play(web, server.url, broker);
    finish(web);
  } finally {
    await web.close();
  }
}

async function play(web, base, broker) {
  const page = await web.open();
  const text = (selector) => page.locator(selector).first().innerText();
  const cells = (row) => page.locator(`tbody tr:not(.inside) >> nth=${row} >> td`).allInnerTexts();
  const offsets = () => page.locator("table.records tbody tr:not(.inside) .opener").allInnerTexts();
  const button = (name) => page.getByRole("button", { name, exact: true });
  const go = async (path) => {
    await page.goto(`${base}/console${path}`);
    await page.locator("main h1").waitFor();
  };

  await step("topics", async () => {
    await go("/topics");
    await until("topics: a page of them", () => page.locator("tbody tr").count(), (count) => count === 50);
    await button("Next page").click();
    await until("topics: the rest on the next page", () => page.locator("tbody tr").count(), (count) => count === 7);
    await button("Page before").click();
    await until("topics: and back", () => page.locator("tbody tr").count(), (count) => count === 50);
    await page.getByLabel("Name begins with").fill("my");
    await until("topics: a prefix narrows them", () => cells(0), (shown) => shown.join("|") === "my-order|my~order|1|73|cleanup.policy=compact");
    await page.keyboard.press("Escape");
    await page.keyboard.press("g");
    await page.keyboard.press("g");
    await until("keys: g g goes to groups", () => text("main h1"), (shown) => shown === "Groups");
    await until("groups: none is said", () => text(".empty-title"), (shown) => shown === "No group yet");
    await page.keyboard.press("g");
    await page.keyboard.press("t");
    await until("keys: g t goes to topics", () => text("main h1"), (shown) => shown === "Topics");
  }, page);

  await step("records", async () => {
    await go("/topics/my-order");
    await until("records: the newest on top", offsets, (shown) => shown.length === 50 && shown[0] === "72" && shown[49] === "23");
    await until("records: a tombstone is said", () => cells(0), (shown) => shown[1] === "c" && shown[3] === "tombstone");
    await until("records: what is no JSON is said by its type", () => cells(1), (shown) => shown[1] === "b" && shown[3].includes("octet-stream"));
    await page.locator("[data-row]").nth(2).click();
    const inside = await text(".event-inside");
    check("records: headers, key, value of what was produced", inside.includes("who") && inside.includes("me") && inside.includes("my~order-a") && inside.includes("99.50"), inside);
    await button("Oldest").click();
    await until("records: the oldest", offsets, (shown) => shown.length === 50 && shown[0] === "0" && shown[49] === "49");
    check("records: an event's key is what stands behind its category", (await cells(0))[1] === "1", JSON.stringify(await cells(0)));
    await page.locator("[data-row]").first().click();
    await until("records: an event's headers", () => text(".event-inside"), (shown) => shown.includes("ce_type") && shown.includes("OrderPlaced") && shown.includes("<img src=x"));
    await button("Later").click();
    await until("records: the next page", offsets, (shown) => shown.length === 23 && shown[0] === "50");
    await button("Earlier").click();
    await until("records: the page before", offsets, (shown) => shown[0] === "0" && shown.length === 50);
    await page.getByLabel(/^Offset/).fill("70");
    await button("Go there").click();
    await until("records: from an offset", offsets, (shown) => shown.join() === "70,71,72");
    await page.getByLabel(/^Offset/).fill("99");
    await button("Go there").click();
    await until("records: beyond the end is said", () => text(".fault"), (shown) => shown.includes("73"));
    await page.getByLabel("or time (UTC)").fill("2000-01-01");
    await button("Go there").click();
    await until("records: from a time", offsets, (shown) => shown[0] === "0");
    await page.getByLabel("or time (UTC)").fill("2100-01-01");
    await button("Go there").click();
    await until("records: from a time to come", () => text(".empty-title"), (shown) => shown === "Nothing from there on");
    await button("Newest").click();
    await until("records: the newest again", offsets, (shown) => shown[0] === "72");
    await call(`${base}/v1/streams/my~order-late/events`, "POST", { type: "OrderPlaced", data: {} });
    await until("records: what comes appears by itself", offsets, (shown) => shown[0] === "73");
    await page.getByRole("link", { name: /^Partitions/ }).click();
    await until("partitions: start, end, how many", () => cells(0), (shown) => shown.slice(0, 4).join() === "0,0,74,74");
    await page.getByRole("link", { name: "Settings" }).click();
    await until("settings: what is set is marked", () => page.locator("tr", { hasText: "cleanup.policy" }).innerText(), (shown) => shown.includes("compact") && shown.includes("set"));
    check("settings: what means nothing here is left out", (await page.locator("tr", { hasText: "flush.ms" }).count()) === 0);
    await page.getByLabel("Also those without effect here").check();
    await until("settings: or shown", () => page.locator("tr", { hasText: "flush.ms" }).count(), (count) => count === 1);
    await go("/topics/wide");
    await page.getByLabel("Partition").selectOption("2");
    await until("records: an empty partition is said", () => text(".empty-title"), (shown) => shown.includes("Nothing is in this partition"));
    check("records: the partition is in the address", page.url().includes("partition=2"), page.url());
    await web.expectingFailures(async () => {
      await go("/topics/none-such");
      await until("topics: one that is not there", () => text(".problem"), (shown) => shown.includes("There is no topic 'none-such'"));
    });
  }, page);

  await step("groups", async () => {
    consumer = spawn("kcat", ["-b", broker, "-G", "readers", "-X", "auto.offset.reset=earliest", "-X", "auto.commit.interval.ms=50", "-X", "client.id=tester", "my-order", "wide"], { stdio: "ignore" });
    await until("group: it is there", () => call(`${base}/v1/groups/readers`), ({ status }) => status === 200);
    await go("/groups/readers");
    await until("group: it is stable", () => text(".lead .badge"), (shown) => shown === "Stable");
    await until("group: its member and what it reads", () => cells(0), (shown) => shown[0].startsWith("tester") && shown[2].includes("my-order: 0"));
    await until("group: it has caught up", () => page.locator("section[aria-labelledby=offsets] tbody td").allInnerTexts(), (shown) => shown.slice(0, 5).join() === "my-order,0,74,74,0" && shown[7] === "tester");
    await picture(page, "group-light");
    check("group: no form while somebody reads", (await button("Dry run").count()) === 0 && (await text("section[aria-labelledby=move]")).includes("Stop them first"));
    check("group: and nothing to delete it with", (await button("Delete").count()) === 0);
    consumer.kill();
    await until("group: the member has gone", () => text(".lead .badge"), (shown) => shown === "Empty");
    await until("group: there is a form", () => button("Dry run").count(), (count) => count === 1);
    check("group: moving needs a dry run", await button("Move them").isDisabled());
    await page.locator("section[aria-labelledby=move] select").selectOption("position");
    await page.getByLabel("Which").fill("0");
    await button("Dry run").click();
    await until("group: to a position in the log", () => page.locator(".moved tbody td").allInnerTexts(), (shown) => shown.join() === "0,74,0,74");
    await page.locator("section[aria-labelledby=move] select").selectOption("by");
    await page.getByLabel("Which").fill("much");
    await button("Dry run").click();
    await until("group: what is no number is said", () => text(".fault"), (shown) => shown === "A whole number");
    await page.getByLabel("Which").fill("-10");
    await button("Dry run").click();
    await until("group: a dry run says what would be", () => page.locator(".moved tbody td").allInnerTexts(), (shown) => shown.join() === "0,74,64,10");
    same("group: and changes nothing", (await call(`${base}/v1/groups/readers`)).json.lag, 0);
    await button("Move them").click();
    await until("group: moved", () => text(".moved"), (shown) => shown.startsWith("Moved."));
    same("group: on the server too", (await call(`${base}/v1/groups/readers`)).json.lag, 10);
    await until("group: the lag follows", () => page.locator("section[aria-labelledby=offsets] .badge").innerText(), (shown) => shown === "10 behind");
    await page.getByLabel("Topic").fill("none-such");
    await web.expectingFailures(async () => {
      await button("Dry run").click();
      await until("group: a topic that is not there", () => text(".problem"), (shown) => shown.includes("none-such"));
    });
    await go("/groups");
    await until("groups: the list", () => cells(0), (shown) => shown[0] === "readers" && shown[1] === "Empty" && shown[4] === "10 behind");
  }, page);

  await step("relays", async () => {
    await go("/relays");
    await until("relays: how it is", () => text("article .badge"), (shown) => shown === "paused");
    check("relays: no secret is shown", !(await page.content()).includes("hunter2"));
    await button("Resume").click();
    await until("relays: it goes on, and waits", () => text("article .badge"), (shown) => shown === "waiting");
    await button("Pause").click();
    await until("relays: and pauses", () => text("article .badge"), (shown) => shown === "paused");
  }, page);

  await step("dead letters", async () => {
    await put("/v1/subscriptions/mailer", { category: "bill", dead_letter: true });
    for (let n = 1; n <= 2; n++) await call(`${base}/v1/streams/bill-${n}/events`, "POST", { type: "Sent", data: { n } });
    const taken = (await call(`${base}/v1/subscriptions/mailer/events?limit=2&wait=5000`)).json;
    await call(`${base}/v1/subscriptions/mailer/nack`, "POST", { positions: taken.events.map(({ position }) => position), park: true, reason: "no address" });
    await go("/groups");
    await page.getByRole("link", { name: "Subscriptions", exact: true }).click();
    await until("subscriptions: dead letters and where they are", () => cells(0), (shown) => shown[0] === "mailer" && shown[1].trim() === "bill" && shown[6].includes("2") && shown[6].includes("bill.dlq"));
    await page.getByRole("link", { name: "bill.dlq" }).click();
    await until("dead letters: as records of the topic", () => page.locator("table.records tbody tr:not(.inside)").count(), (count) => count === 2);
    await button("Send back…").click();
    await until("dead letters: asked first, how many", () => text("dialog[open]"), (shown) => shown.includes("Send 2 dead letters back?"));
    await page.locator("dialog[open]").getByRole("button", { name: "Send back", exact: true }).click();
    await until("dead letters: they have gone back", () => text("section[aria-label='Dead letters'] [role=status]"), (shown) => shown === "2 events sent back.");
    const again = (await call(`${base}/v1/subscriptions/mailer/events?limit=5&wait=5000`)).json;
    same("dead letters: and are handed out again", again.events.map(({ position }) => position).join(), taken.events.map(({ position }) => position).join());
  }, page);

  for (const [theme, size] of [["light", { width: 1280, height: 800 }], ["dark", { width: 1280, height: 800 }], ["light", { width: 400, height: 800 }]]) {
    await step(`${theme} ${size.width}`, async () => {
      const other = await web.open({ colorScheme: theme, viewport: size });
      for (const [name, path] of [["topics", "/topics"], ["topic", "/topics/my-order?from=60"], ["partitions", "/topics/my-order/partitions"], ["settings", "/topics/my-order/settings"], ["groups", "/groups"], ["group", "/groups/readers"], ["subscriptions", "/subscriptions"], ["dead letters", "/topics/bill.dlq"], ["relays", "/relays"]]) {
        await other.goto(`${base}/console${path}`);
        await other.locator("main h1").waitFor();
        await until(`${theme} ${size.width}: ${name} is loaded`, () => other.locator(".skeleton").count(), (count) => count === 0);
        if (name === "topic") await other.locator("[data-row]").first().click();
        same(`${theme} ${size.width}: ${name} is accessible`, await accessibility(other), []);
        same(`${theme} ${size.width}: ${name} does not scroll sideways`, await other.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);
        if (size.width > 1000 && name === "topic" && theme === "light") await picture(other, `${name}-${theme}`);
      }
      await other.context().close();
    });
  }

  await step("delete", () =>
    web.expectingFailures(async () => {
      await go("/groups/readers");
      await button("Delete").click();
      await page.locator("dialog").getByRole("button", { name: "Delete" }).click();
      await until("group: deleted", () => text("main h1"), (shown) => shown === "Groups");
      same("group: on the server too", (await call(`${base}/v1/groups/readers`)).status, 404);
    }), page);
}

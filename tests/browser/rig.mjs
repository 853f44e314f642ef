/* What the browser's tests share: a real server on a free port over a temporary folder, headless Chromium, checks that
 * print "ok name" and "not ok name", and a watch over everything a page does: a request to another origin, an error on
 * the console, a breach of the Content-Security-Policy is a failure whatever the test was about.
 *
 *   CAIRN_BIN        the program (build/cairn)
 *   CHROMIUM         the browser (/usr/bin/chromium)
 *   CONSOLE_PICTURES set: pictures for docs/console.md are taken into docs/console/ */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const cairn = process.env.CAIRN_BIN ?? path.join(root, "build/cairn");
const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
const WAIT_MS = 15000;

/* ---- counting ------------------------------------------------------------------------------------- */

let failed = 0;
export function check(name, holds, why = "") {
  if (!holds) failed++;
  console.log(holds ? `ok ${name}` : `not ok ${name}${why === "" ? "" : `: ${why}`}`);
  return holds;
}
export const same = (name, have, want) => check(name, JSON.stringify(have) === JSON.stringify(want), `${JSON.stringify(have)}, not ${JSON.stringify(want)}`);

/* Wait for a condition; its last value, or a failure that says what it was instead. */
export async function until(name, read, holds = Boolean) {
  const last = Date.now() + WAIT_MS;
  let value;
  for (;;) {
    try {
      value = await read();
      if (await holds(value)) return check(name, true);
    } catch (error) {
      value = error.message;
    }
    if (Date.now() > last) return check(name, false, `it was ${JSON.stringify(value)?.slice(0, 300)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/* One step of a test: what it throws is its failure, and the next step goes on. */
export async function step(name, run, page) {
  try {
    await run();
  } catch (error) {
    const shown = await page?.locator("main").innerText({ timeout: 1000 }).catch(() => "");
    check(name, false, `${String(error.message).split("\n").slice(0, 4).join(" ")}${shown ? `; the page: ${shown.replace(/\s+/g, " ").slice(0, 400)}` : ""}`);
  }
}

/* ---- a server ----------------------------------------------------------------------------------------- */

export async function startServer({ data, port = 0, more = [] } = {}) {
  const folder = data ?? mkdtempSync(path.join(tmpdir(), "cairn-browser-"));
  const child = spawn(cairn, ["serve", "--data", path.join(folder, "data"), "--listen", `127.0.0.1:${port}`, ...more], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  const url = await new Promise((resolve, reject) => {
    const hear = (piece) => {
      said += piece;
      const found = /msg=listening url=(\S+)/.exec(said);
      if (found) resolve(found[1]);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("exit", () => reject(new Error(`the server ended: ${said.slice(0, 500)}`)));
  });
  return {
    url,
    folder,
    said: () => said,
    async stop(keep = false) {
      const over = new Promise((resolve) => (child.exitCode === null ? child.on("exit", resolve) : resolve()));
      child.kill("SIGTERM");
      await over;
      if (!keep) rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function call(url, method = "GET", body) {
  const answer = await fetch(url, { method, headers: body === undefined ? {} : { "content-type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, json: text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : null, text };
}

/* ---- a browser ------------------------------------------------------------------------------------------ */

/* Not here, or built without the console: the whole file is skipped by name. */
export async function ready(name, server) {
  const page = await (await fetch(`${server.url}/console/`)).text();
  if (!page.includes('id="app"')) return skip(name, "the server was built without the console");
  if (!existsSync(path.join(root, "console/node_modules/playwright-core"))) return skip(name, "npm is out of reach: no playwright-core");
  if (!existsSync(chromium)) return check(`${name}: Chromium is installed`, false, `nothing at ${chromium}: scripts/deps.sh test`);
  return true;
}
function skip(name, why) {
  console.log(`skip ${name}: ${why}`);
  return false;
}

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb"];

export async function startBrowser(base) {
  const { chromium: engine } = createRequire(path.join(root, "console/package.json"))("playwright-core");
  const browser = await engine.launch({ executablePath: chromium, headless: true, args: FLAGS });
  const faults = [];
  let expecting = 0; /* failed requests are part of a test while it is not 0 */
  let expected = 0; /* so many have been heard of */
  let heard = () => {};
  return {
    browser,
    faults,
    /* What the page shows of a failure may be there before the browser tells of it: that is waited for too. */
    async expectingFailures(run) {
      const before = expected;
      expecting++;
      try {
        const result = await run();
        if (expected === before) await Promise.race([new Promise((resolve) => (heard = resolve)), new Promise((resolve) => setTimeout(resolve, 1000))]);
        return result;
      } finally {
        expecting--;
      }
    },
    async open(options = {}) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-US", timezoneId: "UTC", ...options });
      context.setDefaultTimeout(WAIT_MS);
      await context.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
      const page = await context.newPage();
      page.on("request", (request) => {
        const url = request.url();
        if (!url.startsWith(`${base}/`) && !url.startsWith("data:") && !url.startsWith("blob:")) faults.push(`a request to ${url}`);
      });
      page.on("pageerror", (error) => faults.push(`an error on ${page.url()}: ${error.message}`));
      page.on("console", (message) => {
        const isOfNetwork = message.text().startsWith("Failed to load resource");
        if (expecting > 0 && isOfNetwork) {
          expected++;
          heard();
        } else if (message.type() === "error") faults.push(`on the console of ${page.url()}: ${message.text()}`);
      });
      return page;
    },
    async close() {
      await browser.close();
    },
  };
}

/* What has gone wrong anywhere is said once, under these names. */
export function finish(web) {
  const kinds = [
    ["no request leaves for another origin", (fault) => fault.startsWith("a request")],
    ["no error on any page, and the policy holds", (fault) => !fault.startsWith("a request")],
  ];
  for (const [name, of] of kinds) same(name, [...new Set(web.faults.filter(of))].slice(0, 5), []);
  process.exitCode = failed > 0 ? 1 : 0;
}

export async function picture(page, name) {
  if (!process.env.CONSOLE_PICTURES) return;
  const folder = path.join(root, "docs/console");
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`), animations: "disabled", caret: "hide", clip: { x: 0, y: 0, width: 1280, height: 600 } });
}

/* ---- accessibility ----------------------------------------------------------------------------------------- */

/* What axe would find first: everything that can be operated has a name, ids are unique, headings begin with one h1, tables
 * have headers, text has contrast (WCAG 2.2: 4.5, or 3 where it is large), focus can be seen. Runs in the page. */
export const accessibility = (page) =>
  page.evaluate(() => {
    const faults = [];
    const seen = (element) => {
      const box = element.getBoundingClientRect();
      const style = getComputedStyle(element);
      return box.width > 0 && box.height > 0 && style.visibility !== "hidden" && style.display !== "none";
    };
    const say = (element, what) => faults.push(`${element.tagName.toLowerCase()}${element.className ? `.${String(element.className).split(" ")[0]}` : ""} "${(element.textContent ?? "").trim().slice(0, 30)}": ${what}`);
    const nameOf = (element) => {
      const by = element.getAttribute("aria-labelledby");
      if (by) return by.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
      const labels = element.labels ? [...element.labels].map((label) => label.textContent).join(" ") : "";
      return (element.getAttribute("aria-label") ?? (labels || element.textContent || element.getAttribute("title") || "")).trim();
    };
    for (const element of document.querySelectorAll("a[href], button, input, select, textarea, [role=region], [role=img], progress, dialog[open], nav")) if (seen(element) && nameOf(element) === "") say(element, "has no name");
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    ids.filter((id, at) => ids.indexOf(id) !== at).forEach((id) => faults.push(`two elements have the id ${id}`));
    if (document.querySelectorAll("h1").length !== 1) faults.push(`${document.querySelectorAll("h1").length} h1`);
    const levels = [...document.querySelectorAll("main h1, main h2, main h3, main h4")].map((heading) => Number(heading.tagName[1]));
    levels.forEach((level, at) => at > 0 && level > levels[at - 1] + 1 && faults.push(`h${level} after h${levels[at - 1]}`));
    if (!document.documentElement.lang) faults.push("no lang");
    if (document.querySelectorAll("main").length !== 1) faults.push("not one main");
    for (const table of document.querySelectorAll("table")) if (!table.querySelector("th[scope]")) say(table, "has no headers");
    for (const element of document.querySelectorAll("[aria-describedby], [aria-labelledby]"))
      for (const name of ["aria-describedby", "aria-labelledby"])
        for (const id of (element.getAttribute(name) ?? "").split(" ").filter(Boolean)) if (!document.getElementById(id)) say(element, `${name} points at nothing: ${id}`);

    /* Colours as the browser has worked them out, blended over what lies behind. */
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const brush = canvas.getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
      brush.clearRect(0, 0, 1, 1);
      brush.fillStyle = colour;
      brush.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3])).concat(1);
    const behind = (element) => {
      const layers = [];
      for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
      return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255, 1]);
    };
    const luminance = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    let texts = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (!node.textContent.trim() || !element || !seen(element) || element.closest(":disabled, .unseen, [aria-hidden=true], noscript, option")) continue;
      const style = getComputedStyle(element);
      let opacity = 1;
      for (let at = element; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
      const under = behind(element);
      const colour = rgba(style.color);
      const text = over([colour[0], colour[1], colour[2], colour[3] * opacity], under);
      const [light, dark] = [luminance(text), luminance(under)].sort((a, b) => b - a);
      const contrast = (light + 0.05) / (dark + 0.05);
      const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
      texts++;
      if (contrast < (large ? 3 : 4.5)) say(element, `contrast ${contrast.toFixed(2)}`);
    }
    if (texts < 5) faults.push("there was hardly any text to look at");
    return [...new Set(faults)].slice(0, 8);
  });

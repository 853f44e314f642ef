/* Unit tests of src/lib: esbuild, which Vite brings, makes one file of each; node's own runner runs them. */
import { build } from "esbuild";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { readdirSync, mkdirSync } from "node:fs";
import path from "node:path";

const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
const out = path.join(here, "../../build/console/test");
mkdirSync(out, { recursive: true });
const names = readdirSync(here).filter((name) => name.endsWith(".test.ts"));
await build({ entryPoints: names.map((name) => path.join(here, name)), outdir: out, bundle: true, format: "esm", platform: "node", outExtension: { ".js": ".mjs" }, logLevel: "warning" });
const files = names.map((name) => path.join(out, name.replace(/\.ts$/, ".mjs")));
if (process.env.CONSOLE_TEST_LINES) {
  /* As tests/run.sh counts: "ok name", "not ok name". */
  for await (const { type, data } of run({ files })) {
    if (data?.details?.type === "suite" || data?.name?.endsWith(".mjs")) continue;
    if (type === "test:pass") console.log(`ok ${data.name}`);
    if (type === "test:fail") {
      console.log(`not ok ${data.name}: ${data.details.error?.cause?.message ?? data.details.error}`);
      process.exitCode = 1;
    }
  }
} else {
  const results = run({ files });
  results.on("test:fail", () => (process.exitCode = 1));
  results.compose(spec).pipe(process.stdout);
}

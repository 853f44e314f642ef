/* What was deployed when, by whom: the files of a version, what changed between two, and the way back. */
import { useState } from "preact/hooks";
import { json, num, type Deployment } from "../api.ts";
import { count, plural } from "../lib/format.ts";
import { diff, hunks, type Line } from "../lib/diff.ts";
import { setQuery, useLoad, usePlace } from "../hooks.ts";
import { Ask, Badge, Button, Empty, Page, Scroll, Show, Time, to, type Question } from "../ui/base.tsx";
import { appPath } from "./app.tsx";
import { NoApps, useApps } from "./apps.tsx";

export function Deployments() {
  const apps = useApps();
  return (
    <Page title="Deployments" lead="Every version of every app is an event; going back is one more.">
      <Show of={apps} lines={4}>
        {(list) =>
          list.length === 0 ? (
            <NoApps />
          ) : (
            <Scroll label="Apps">
              <table>
                <thead>
                  <tr>
                    <th scope="col">App</th>
                    <th scope="col" class="number">
                      Version
                    </th>
                    <th scope="col">Deployed</th>
                  </tr>
                </thead>
                <tbody>
                  {list.map((app) => (
                    <tr key={app.name}>
                      <td>
                        <a data-row href={to("/deployments/{app}", { app: app.name })}>
                          {app.title || app.name}
                        </a>
                      </td>
                      <td class="number">{app.version}</td>
                      <td>
                        <Time at={app.deployed_at} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )
        }
      </Show>
    </Page>
  );
}

/* ---- one app's --------------------------------------------------------------------------------- */

type Files = Record<string, string>;
const useFiles = (app: string, version: number | null) =>
  useLoad(async (signal): Promise<Files> => (version === null ? {} : (await json<{ files: Files }>(`${appPath(app)}/deployments/${version}`, { signal })).files), ["files", app, version]);

const SIGN = { same: " ", old: "−", new: "+" } as const;

function Changes({ lines }: { lines: (Line | null)[] }) {
  return (
    <pre class="diff" tabIndex={0}>
      {lines.map((line, at) =>
        line === null ? (
          <span key={at} class="gap">
            ⋯{"\n"}
          </span>
        ) : (
          <span key={at} class={line.kind}>
            <span class="line-number">{line.oldLine ?? ""}</span>
            <span class="line-number">{line.newLine ?? ""}</span>
            {SIGN[line.kind]} {line.text}
            {"\n"}
          </span>
        ),
      )}
    </pre>
  );
}

function Diff({ app, from, version }: { app: string; from: number; version: number }) {
  const before = useFiles(app, from);
  const after = useFiles(app, version);
  return (
    <Show of={before} lines={6}>
      {(old) => (
        <Show of={after} lines={6}>
          {(files) => {
            const names = [...new Set([...Object.keys(old), ...Object.keys(files)])].sort().filter((name) => old[name] !== files[name]);
            if (names.length === 0) return <Empty title="No file differs" />;
            return names.map((name) => {
              const lines = diff(old[name] ?? "", files[name] ?? "");
              const more = lines.filter(({ kind }) => kind === "new").length;
              const less = lines.filter(({ kind }) => kind === "old").length;
              return (
                <details key={name} class="file" open>
                  <summary>
                    <span class="mono">{name}</span>
                    {!(name in old) && <Badge tone="good">new</Badge>}
                    {!(name in files) && <Badge tone="bad">gone</Badge>}
                    <span class="dim">
                      +{more} −{less}
                    </span>
                  </summary>
                  <Changes lines={hunks(lines)} />
                </details>
              );
            });
          }}
        </Show>
      )}
    </Show>
  );
}

function FileList({ app, version }: { app: string; version: number }) {
  const files = useFiles(app, version);
  const { query } = usePlace();
  return (
    <Show of={files} lines={6}>
      {(all) => {
        const names = Object.keys(all).sort((a, b) => Number(b === "app.yaml") - Number(a === "app.yaml") || a.localeCompare(b));
        const chosen = query.get("file") ?? names[0];
        return (
          <div class="split">
            <nav class="list" aria-label="Files">
              {names.map((name) => (
                <a key={name} data-row href={to("/deployments/{app}", { app }, { version: String(version), file: name })} aria-current={name === chosen ? "page" : undefined}>
                  <span class="mono">{name}</span>
                </a>
              ))}
            </nav>
            {chosen !== undefined && chosen in all ? (
              <pre class="source" tabIndex={0} aria-label={chosen}>
                {all[chosen]!.replace(/\n$/, "").split("\n").map((line, at) => (
                  <span key={at}>
                    <span class="line-number">{at + 1}</span>
                    {line}
                    {"\n"}
                  </span>
                ))}
              </pre>
            ) : (
              <Empty title="There is no such file in this version" />
            )}
          </div>
        );
      }}
    </Show>
  );
}

export function AppDeployments({ app }: { app: string }) {
  const { query } = usePlace();
  const [question, ask] = useState<Question | null>(null);
  const list = useLoad(async (signal) => (await json<{ deployments: Deployment[] }>(`${appPath(app)}/deployments`, { signal })).deployments, ["deployments", app], 5000);
  const version = query.get("version");
  const from = query.get("from");
  const rollBack = (deployment: Deployment) =>
    ask({
      title: `Go back to version ${deployment.version}?`,
      text: "Its files are deployed again as a new version. Events stay; projections whose files differ are rebuilt beside.",
      yes: `Roll back to ${deployment.version}`,
      look: "danger",
      note: "Note",
      act: async (note) => {
        await json(`${appPath(app)}/rollback`, { method: "POST", body: JSON.stringify({ version: num(deployment.version), note }) });
        list.reload();
      },
    });
  return (
    <Page title={`Deployments of ${app}`} crumbs={[["Apps", to("/apps")], [app, to("/apps/{app}", { app })]]}>
      <Show of={list} lines={5}>
        {(deployments) => (
          <Scroll label="Deployments">
            <table>
              <thead>
                <tr>
                  <th scope="col" class="number">
                    Version
                  </th>
                  <th scope="col">Time (UTC)</th>
                  <th scope="col">By</th>
                  <th scope="col">Note</th>
                  <th scope="col">
                    <span class="unseen">Actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {deployments.map((deployment, at) => {
                  const before = deployments[at + 1];
                  return (
                    <tr key={deployment.version} class={String(deployment.version) === version ? "is-open" : ""}>
                      <td class="number">
                        {count(num(deployment.version))} {deployment.current && <Badge tone="good">current</Badge>}
                      </td>
                      <td>
                        <Time at={deployment.time} />
                      </td>
                      <td class="short">{deployment.by || <span class="dim">—</span>}</td>
                      <td class="note">
                        {deployment.note}
                        {deployment.rollback_of !== null && deployment.rollback_of !== undefined && <Badge tone="warn">back to {deployment.rollback_of}</Badge>}
                      </td>
                      <td class="row end">
                        <a data-row href={to("/deployments/{app}", { app }, { version: String(deployment.version) })}>
                          {deployment.files === undefined ? "Files" : plural(Array.isArray(deployment.files) ? deployment.files.length : num(deployment.files), "file")}
                        </a>
                        {before && <a href={to("/deployments/{app}", { app }, { version: String(deployment.version), from: String(before.version) })}>Changes</a>}
                        {!deployment.current && (
                          <Button small onClick={() => rollBack(deployment)}>
                            Roll back
                          </Button>
                        )}
                      </td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </Scroll>
        )}
      </Show>
      {version !== null && list.data && (
        <section aria-labelledby="version">
          <div class="section-head">
            <h2 id="version">{from === null ? `Version ${version}` : `From version ${from} to ${version}`}</h2>
            <label class="inline">
              <span class="label">Compare with</span>
              <select value={from ?? ""} onChange={(event) => setQuery({ from: event.currentTarget.value, file: null })}>
                <option value="">nothing: its files</option>
                {list.data
                  .filter((other) => String(other.version) !== version)
                  .map((other) => (
                    <option key={other.version} value={String(other.version)}>
                      version {other.version}
                    </option>
                  ))}
              </select>
            </label>
          </div>
          {from === null ? <FileList app={app} version={Number(version)} /> : <Diff app={app} from={Number(from)} version={Number(version)} />}
        </section>
      )}
      <Ask question={question} close={() => ask(null)} />
    </Page>
  );
}

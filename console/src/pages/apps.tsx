/* Which apps are deployed. */
import { json, num, type AppSummary, type ProjectionStatus } from "../api.ts";
import { count, plural } from "../lib/format.ts";
import { useLoad } from "../hooks.ts";
import { Badge, Empty, Page, Show, Time, to } from "../ui/base.tsx";

export const useApps = (every_ms = 5000) => useLoad(async (signal) => (await json<{ apps: AppSummary[] }>("/v1/apps", { signal })).apps, ["apps"], every_ms);

export const NoApps = () => (
  <Empty title="No app is deployed">
    <p>An app is a folder: commands that decide, projections that answer. Make one and deploy it:</p>
    <pre>{"cairn new orders\ncairn deploy orders"}</pre>
  </Empty>
);

export const stateTone = (state: string): "good" | "warn" | "bad" | "accent" | "quiet" =>
  state === "running" ? "good" : state === "stopped" || state === "failed" ? "bad" : state === "paused" ? "warn" : state === "building" ? "accent" : "quiet";

function Health({ projections }: { projections: ProjectionStatus[] }) {
  const stopped = projections.filter(({ state }) => stateTone(state) === "bad").length;
  const lag = Math.max(0, ...projections.map((projection) => num(projection.lag)));
  if (projections.length === 0) return <span class="dim">no projections</span>;
  if (stopped > 0) return <Badge tone="bad">{plural(stopped, "projection")} stopped</Badge>;
  return lag > 0 ? <Badge tone="warn">{count(lag)} behind</Badge> : <Badge tone="good">up to date</Badge>;
}

export function Apps() {
  const apps = useApps();
  return (
    <Page title="Apps">
      <Show of={apps} lines={4}>
        {(list) =>
          list.length === 0 ? (
            <NoApps />
          ) : (
            <ul class="cards">
              {list.map((app) => (
                <li key={app.name} class="card">
                  <h2>
                    <a data-row href={to("/apps/{app}", { app: app.name })}>
                      {app.title || app.name}
                    </a>
                  </h2>
                  <p class="dim">
                    <span class="mono">{app.name}</span>, version {app.version}
                    {app.deployed_at && (
                      <>
                        , deployed <Time at={app.deployed_at} relative />
                      </>
                    )}
                  </p>
                  <p class="row">
                    <span>{plural(app.commands, "command")}</span>
                    <span>{plural(app.queries, "query", "queries")}</span>
                    <Health projections={app.projections} />
                  </p>
                </li>
              ))}
            </ul>
          )
        }
      </Show>
    </Page>
  );
}

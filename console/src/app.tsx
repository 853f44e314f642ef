/* Which address shows which page. */
import type { ComponentChild } from "preact";
import { usePlace } from "./hooks.ts";
import { match } from "./lib/router.ts";
import { Shell } from "./ui/shell.tsx";
import { Empty, Page, to } from "./ui/base.tsx";
import { Overview } from "./pages/overview.tsx";
import { Streams } from "./pages/streams.tsx";
import { Stream } from "./pages/stream.tsx";
import { Events } from "./pages/events.tsx";
import { TopicDetail, Topics } from "./pages/topics.tsx";
import { GroupDetail, Groups } from "./pages/groups.tsx";
import { Subscriptions } from "./pages/subscriptions.tsx";
import { Relays } from "./pages/relays.tsx";
import { Apps } from "./pages/apps.tsx";
import { AppPage } from "./pages/app.tsx";
import { ReadModel, ReadModels } from "./pages/read-models.tsx";
import { ProjectionPage, Projections } from "./pages/projections.tsx";
import { AppDeployments, Deployments } from "./pages/deployments.tsx";

type Parts = Record<string, string>;
const routes: [string, (parts: Parts) => ComponentChild][] = [
  ["/", () => <Overview />],
  ["/streams", () => <Streams />],
  ["/streams/{stream}", ({ stream }) => <Stream key={stream} stream={stream!} />],
  ["/events", () => <Events />],
  ["/topics", () => <Topics />],
  ["/topics/{topic}", ({ topic }) => <TopicDetail key={topic} topic={topic!} tab="Records" />],
  ["/topics/{topic}/partitions", ({ topic }) => <TopicDetail key={topic} topic={topic!} tab="Partitions" />],
  ["/topics/{topic}/settings", ({ topic }) => <TopicDetail key={topic} topic={topic!} tab="Settings" />],
  ["/groups", () => <Groups />],
  ["/groups/{group}", ({ group }) => <GroupDetail key={group} group={group!} />],
  ["/subscriptions", () => <Subscriptions />],
  ["/relays", () => <Relays />],
  ["/apps", () => <Apps />],
  ["/apps/{app}", ({ app }) => <AppPage key={app} app={app!} tab="Commands" />],
  ["/apps/{app}/commands/{command}", ({ app, command }) => <AppPage key={app} app={app!} tab="Commands" command={command!} />],
  ["/apps/{app}/state", ({ app }) => <AppPage key={app} app={app!} tab="State" />],
  ["/apps/{app}/events", ({ app }) => <AppPage key={app} app={app!} tab="Event types" />],
  ["/apps/{app}/topics", ({ app }) => <AppPage key={app} app={app!} tab="Topics" />],
  ["/read-models", () => <ReadModels />],
  ["/read-models/{app}/{query}", ({ app, query }) => <ReadModel key={`${app}/${query}`} app={app!} query={query!} />],
  ["/projections", () => <Projections />],
  ["/projections/{app}/{projection}", ({ app, projection }) => <ProjectionPage key={`${app}/${projection}`} app={app!} projection={projection!} />],
  ["/deployments", () => <Deployments />],
  ["/deployments/{app}", ({ app }) => <AppDeployments key={app} app={app!} />],
];

function Here() {
  const { path } = usePlace();
  for (const [pattern, page] of routes) {
    const parts = match(pattern, path);
    if (parts) return <>{page(parts)}</>;
  }
  return (
    <Page title="No such page">
      <Empty title="There is nothing at this address">
        <a href={to("/")}>To the overview</a>
      </Empty>
    </Page>
  );
}

export const App = () => (
  <Shell>
    <Here />
  </Shell>
);

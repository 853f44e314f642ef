/* Subscriptions: groups of programs that speak Cairn's own API, how far they are, and what they have given up. */
import { json, type Subscription } from "../api.ts";
import { count } from "../lib/format.ts";
import { useLoad } from "../hooks.ts";
import { Badge, Empty, Page, Scroll, Show, Tabs, Time, to } from "../ui/base.tsx";

/* The two kinds of groups stand side by side. */
export const GroupTabs = ({ at }: { at: "Kafka’s clients" | "Subscriptions" }) => (
  <Tabs
    label="Kinds of groups"
    at={at}
    items={[
      ["Kafka’s clients", to("/groups")],
      ["Subscriptions", to("/subscriptions")],
    ]}
  />
);

function View({ of }: { of: Subscription }) {
  const types = (of.query ?? []).flatMap((item) => [...item.types, ...item.tags]);
  return (
    <>
      {of.stream ? (
        <a href={to("/streams/{stream}", { stream: of.stream })}>{of.stream}</a>
      ) : of.category ? (
        <a href={to("/events", {}, { category: of.category })}>{of.category}</a>
      ) : (
        <span class="dim">all events</span>
      )}{" "}
      {types.length > 0 && <span class="dim">{types.join(", ")}</span>}
    </>
  );
}

export function Subscriptions() {
  const list = useLoad(async (signal) => (await json<{ subscriptions: Subscription[] }>("/v1/subscriptions", { signal })).subscriptions, ["subscriptions"], 3000);
  return (
    <Page title="Groups" lead="Groups of programs that speak Cairn’s own API: each event is handed to one of them, until it is done.">
      <GroupTabs at="Subscriptions" />
      <Show of={list} lines={6}>
        {(all) =>
          all.length === 0 ? (
            <Empty title="No subscription yet">
              <pre>{"cairn subscription create billing --category order --dead-letter"}</pre>
            </Empty>
          ) : (
            <Scroll label="Subscriptions">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Subscription</th>
                    <th scope="col">Of</th>
                    <th scope="col">Lag</th>
                    <th scope="col" class="number">
                      Outstanding
                    </th>
                    <th scope="col" class="number">
                      Retrying
                    </th>
                    <th scope="col" class="number">
                      Parked
                    </th>
                    <th scope="col">Dead letters</th>
                    <th scope="col">Last active</th>
                  </tr>
                </thead>
                <tbody>
                  {all.map((one) => (
                    <tr key={one.name}>
                      <td class="mono">{one.name}</td>
                      <td>
                        <View of={one} />
                      </td>
                      <td>{one.lag > 0 ? <Badge tone="warn">{count(one.lag)} behind</Badge> : <Badge tone="good">up to date</Badge>}</td>
                      <td class="number">{count(one.outstanding)}</td>
                      <td class="number">{count(one.retrying)}</td>
                      <td class="number">{one.parked > 0 ? <Badge tone="warn">{count(one.parked)}</Badge> : 0}</td>
                      <td>
                        {one.dead_letters > 0 ? <Badge tone="warn">{count(one.dead_letters)}</Badge> : <span class="dim">none</span>}{" "}
                        {one.dead_letter_topic && <a href={to("/topics/{topic}", { topic: one.dead_letter_topic })}>{one.dead_letter_topic}</a>}
                      </td>
                      <td>
                        <Time at={one.last_activity} relative />
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

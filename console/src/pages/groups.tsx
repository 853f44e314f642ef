/* Groups of Kafka's clients: who is in them, what each reads, how far behind; and moving their offsets while nobody is in. */
import { useState } from "preact/hooks";
import { Problem, json, type Group, type GroupPage, type Reset } from "../api.ts";
import { count, moment, plural } from "../lib/format.ts";
import { queryText } from "../lib/router.ts";
import { go, useLoad } from "../hooks.ts";
import { Ask, Badge, Button, Empty, Page, ProblemBox, Scroll, Show, Time, to, type Question } from "../ui/base.tsx";
import { Pager, usePages } from "../ui/pages.tsx";
import { GroupTabs } from "./subscriptions.tsx";

const LIMIT = 50;
const groupPath = (group: string): string => `/v1/groups/${encodeURIComponent(group)}`;

const groupTone = (state: string): "good" | "warn" | "bad" | "accent" | "quiet" =>
  state === "Stable" ? "good" : state === "Empty" ? "quiet" : state === "Dead" ? "bad" : "warn";

const Lag = ({ lag }: { lag: number }) => (lag > 0 ? <Badge tone="warn">{count(lag)} behind</Badge> : <Badge tone="good">up to date</Badge>);

/* ---- all of them ------------------------------------------------------------------------------- */

export function Groups() {
  const { prefix, after, search, ...pages } = usePages();
  const page = useLoad((signal) => json<GroupPage>(`/v1/groups${queryText({ prefix, after, limit: LIMIT })}`, { signal }), [prefix, after], 5000);
  return (
    <Page title="Groups" lead="Consumer groups of Kafka’s clients.">
      <GroupTabs at="Kafka’s clients" />
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <label class="grow">
          <span class="label">Name begins with</span>
          <input data-search type="search" value={prefix} placeholder="billing" onInput={(event) => search(event.currentTarget.value)} />
        </label>
      </form>
      <Show of={page} lines={6}>
        {({ groups, next, end }) =>
          groups.length === 0 ? (
            <Empty title={prefix ? `No group begins with “${prefix}”` : "No group yet"}>{!prefix && <p>A group is there when a client joins it, or when it has been given offsets.</p>}</Empty>
          ) : (
            <>
              <Scroll label="Groups">
                <table>
                  <thead>
                    <tr>
                      <th scope="col">Group</th>
                      <th scope="col">State</th>
                      <th scope="col">Protocol</th>
                      <th scope="col" class="number">
                        Members
                      </th>
                      <th scope="col">Lag</th>
                    </tr>
                  </thead>
                  <tbody>
                    {groups.map(({ group, state, type, protocol, member_count, lag }) => (
                      <tr key={group}>
                        <td>
                          <a data-row href={to("/groups/{group}", { group })}>
                            {group}
                          </a>
                        </td>
                        <td>
                          <Badge tone={groupTone(state)}>{state}</Badge>
                        </td>
                        <td class="dim">{[type, protocol].filter(Boolean).join(", ")}</td>
                        <td class="number">{count(member_count)}</td>
                        <td>
                          <Lag lag={lag} />
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </Scroll>
              <Pager {...pages} after={after} next={end ? null : next} />
            </>
          )
        }
      </Show>
    </Page>
  );
}

/* ---- one ------------------------------------------------------------------------------------------ */

const Members = ({ group }: { group: Group }) => (
  <section aria-labelledby="members">
    <div class="section-head">
      <h2 id="members">Members</h2>
    </div>
    {group.members.length === 0 ? (
      <p class="dim">Nobody is in the group now.</p>
    ) : (
      <Scroll label="Members">
        <table>
          <thead>
            <tr>
              <th scope="col">Client</th>
              <th scope="col">Host</th>
              <th scope="col">Assigned</th>
              <th scope="col">Member</th>
            </tr>
          </thead>
          <tbody>
            {group.members.map((member) => (
              <tr key={member.member_id}>
                <td>
                  {member.client_id} {member.instance_id && <Badge>{member.instance_id}</Badge>}
                </td>
                <td class="mono">{member.client_host}</td>
                <td>
                  {(member.assignment ?? []).map(({ topic, partitions }) => (
                    <div key={topic}>
                      <a href={to("/topics/{topic}", { topic })}>{topic}</a>: {partitions.join(", ")}
                    </div>
                  ))}
                  {(member.assignment ?? []).length === 0 && <span class="dim">{member.assignment_bytes ? `${member.assignment_bytes} bytes of its own` : "nothing"}</span>}
                </td>
                <td class="mono dim">{member.member_id}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    )}
  </section>
);

function Offsets({ group }: { group: Group }) {
  const clients = new Map(group.members.map((member) => [member.member_id, member.client_id]));
  const widest = Math.max(1, ...group.offsets.map(({ lag }) => lag ?? 0));
  return (
    <section aria-labelledby="offsets">
      <div class="section-head">
        <h2 id="offsets">Offsets</h2>
        <Lag lag={group.lag} />
      </div>
      {group.offsets.length === 0 ? (
        <p class="dim">Nothing has been committed yet.</p>
      ) : (
        <Scroll label="Offsets">
          <table>
            <thead>
              <tr>
                <th scope="col">Topic</th>
                <th scope="col" class="number">
                  Partition
                </th>
                <th scope="col" class="number">
                  Offset
                </th>
                <th scope="col" class="number">
                  End
                </th>
                <th scope="col" class="number">
                  Lag
                </th>
                <th scope="col">
                  <span class="unseen">Lag as a bar</span>
                </th>
                <th scope="col">Committed</th>
                <th scope="col">Read by</th>
              </tr>
            </thead>
            <tbody>
              {group.offsets.map((row) => (
                <tr key={`${row.topic}/${row.partition}`}>
                  <td>
                    <a href={to("/topics/{topic}", { topic: row.topic }, { partition: row.partition, from: row.offset })}>{row.topic}</a>
                  </td>
                  <td class="number">{row.partition}</td>
                  <td class="number">{row.offset === null ? <span class="dim">none</span> : count(row.offset)}</td>
                  <td class="number">{row.end === null ? <span class="dim">gone</span> : count(row.end)}</td>
                  <td class="number">{row.lag === null ? "" : count(row.lag)}</td>
                  <td>{row.lag !== null && row.lag > 0 && <meter class="lag-bar" min={0} max={widest} value={row.lag} aria-label={`${count(row.lag)} behind`} />}</td>
                  <td>
                    <Time at={row.commit_time} relative />
                  </td>
                  <td class="dim">{row.member_id === null ? "" : (clients.get(row.member_id) ?? row.member_id)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </section>
  );
}

type Where = "earliest" | "latest" | "time" | "position" | "offset" | "by";
const WHERE: [Where, string, string?][] = [
  ["earliest", "the beginning"],
  ["latest", "the end"],
  ["time", "a time (UTC)", "2026-11-21 10:03"],
  ["position", "a position in the log", "0"],
  ["offset", "an offset", "0"],
  ["by", "so many back or on", "-10"],
];

function Move({ group, done }: { group: Group; done: () => void }) {
  const topics = [...new Set(group.offsets.map(({ topic }) => topic))];
  const [typed, setTopic] = useState<string | null>(null);
  const topic = typed ?? topics[0] ?? ""; /* the first there is, also when it comes later */
  const [where, setWhere] = useState<Where>("earliest");
  const [value, setValue] = useState("");
  const [plan, setPlan] = useState<{ reset: Reset; body: string } | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const target = (): unknown => {
    if (where === "earliest" || where === "latest") return where;
    const time = where === "time" ? moment(value) : null;
    if (where === "time") return time && { time };
    return /^[+-]?\d{1,15}$/.test(value.trim()) && (where === "by" || !value.trim().startsWith("-")) ? { [where]: Number(value) } : null;
  };
  const changed = () => {
    setPlan(null);
    setProblem(null);
    setFault("");
  };
  const send = async (dry_run: boolean) => {
    const wanted = target();
    if (wanted === null) {
      setFault(where === "time" ? "A time such as 2026-11-21 10:03" : "A whole number");
      return;
    }
    setBusy(true);
    setProblem(null);
    try {
      const body = JSON.stringify({ topic, to: wanted, dry_run });
      const reset = await json<Reset>(`${groupPath(group.group)}/offsets`, { method: "POST", body });
      setPlan({ reset, body });
      if (!dry_run) done();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setPlan(null);
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  const hint = WHERE.find(([name]) => name === where)?.[2];
  return (
    <section aria-labelledby="move">
      <div class="section-head">
        <h2 id="move">Move the offsets</h2>
      </div>
      {group.members.length > 0 ? (
        <p class="dim">While {plural(group.members.length, "member")} {group.members.length === 1 ? "is" : "are"} in the group its offsets are theirs to move. Stop them first.</p>
      ) : (
        <form
          class="filters"
          onSubmit={(event) => {
            event.preventDefault();
            void send(true);
          }}
        >
          <label>
            <span class="label">Topic</span>
            <input list="group-topics" required value={topic} onInput={(event) => { setTopic(event.currentTarget.value); changed(); }} />
            <datalist id="group-topics">
              {topics.map((name) => (
                <option key={name} value={name} />
              ))}
            </datalist>
          </label>
          <label>
            <span class="label">To</span>
            <select value={where} onChange={(event) => { setWhere(event.currentTarget.value as Where); setValue(""); changed(); }}>
              {WHERE.map(([name, text]) => (
                <option key={name} value={name}>
                  {text}
                </option>
              ))}
            </select>
          </label>
          {hint && (
            <label>
              <span class="label">Which</span>
              <input value={value} placeholder={hint} onInput={(event) => { setValue(event.currentTarget.value); changed(); }} />
            </label>
          )}
          <Button type="submit" disabled={busy || topic === ""}>
            Dry run
          </Button>
          <Button look="main" disabled={busy || plan === null || !plan.reset.dry_run} onClick={() => void send(false)}>
            Move them
          </Button>
          {fault && (
            <span class="fault" role="alert">
              {fault}
            </span>
          )}
        </form>
      )}
      {problem && <ProblemBox problem={problem} />}
      {plan && (
        <div class="stack moved" role="status">
          <p>{plan.reset.dry_run ? "This is what would become of them:" : "Moved."}</p>
          <Scroll label="Offsets before and after">
            <table>
              <thead>
                <tr>
                  <th scope="col" class="number">
                    Partition
                  </th>
                  <th scope="col" class="number">
                    {plan.reset.dry_run ? "Is" : "Was"}
                  </th>
                  <th scope="col" class="number">
                    {plan.reset.dry_run ? "Would be" : "Is"}
                  </th>
                  <th scope="col" class="number">
                    Lag then
                  </th>
                </tr>
              </thead>
              <tbody>
                {plan.reset.offsets.map((row) => (
                  <tr key={row.partition}>
                    <td class="number">{row.partition}</td>
                    <td class="number">{row.from === null ? <span class="dim">none</span> : count(row.from)}</td>
                    <td class="number">{count(row.to)}</td>
                    <td class="number">{count(row.lag)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        </div>
      )}
    </section>
  );
}

export function GroupDetail({ group: name }: { group: string }) {
  const group = useLoad((signal) => json<Group>(groupPath(name), { signal }), ["group", name], 3000);
  const [question, ask] = useState<Question | null>(null);
  return (
    <Page
      title={name}
      crumbs={[["Groups", to("/groups")]]}
      lead={
        group.data && (
          <>
            <Badge tone={groupTone(group.data.state)}>{group.data.state}</Badge> {[group.data.type, group.data.protocol].filter(Boolean).join(", ")}
          </>
        )
      }
      actions={
        group.data &&
        group.data.members.length === 0 && (
          <Button
            look="danger"
            onClick={() =>
              ask({
                title: `Delete ${name}?`,
                text: "Its offsets are forgotten. A client that joins again begins where its settings say.",
                yes: "Delete",
                look: "danger",
                act: async () => {
                  await json(groupPath(name), { method: "DELETE" });
                  go(to("/groups"));
                },
              })
            }
          >
            Delete
          </Button>
        )
      }
    >
      <Show of={group} lines={8}>
        {(data) => (
          <>
            <Members group={data} />
            <Offsets group={data} />
            <Move group={data} done={group.reload} />
          </>
        )}
      </Show>
      <Ask question={question} close={() => ask(null)} />
    </Page>
  );
}

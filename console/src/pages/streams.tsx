/* Which streams there are: by prefix, page by page, as of any moment. */
import { useState } from "preact/hooks";
import { json, type StreamPage } from "../api.ts";
import { count } from "../lib/format.ts";
import { categoryOf, queryText } from "../lib/router.ts";
import { asOf, go, setQuery, useLoad, usePlace } from "../hooks.ts";
import { Badge, Button, Empty, Page, Scroll, Show, to } from "../ui/base.tsx";
import { TimeTravel } from "../ui/time-travel.tsx";

const LIMIT = 50;

export function Streams() {
  const { query } = usePlace();
  const prefix = query.get("prefix") ?? "";
  const after = query.get("after");
  const moment = asOf(query);
  const [before, setBefore] = useState<(string | null)[]>([]); /* the pages that led here */
  /* Streams come in the order of their first events, so those of the past are the first ones. */
  const page = useLoad(
    async (signal) => {
      const found = await json<StreamPage>(`/v1/streams${queryText({ prefix, after, limit: LIMIT })}`, { signal });
      const there = found.streams.filter(({ first_position }) => moment === null || first_position < moment);
      return { ...found, streams: there, end: found.end || there.length < found.streams.length };
    },
    [prefix, after, moment],
  );
  const search = (text: string) => {
    setBefore([]);
    setQuery({ prefix: text, after: null });
  };
  return (
    <Page title="Streams" lead="In the order in which they first appeared.">
      <TimeTravel />
      <form
        class="filters"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          if (page.data?.streams.length === 1) go(to("/streams/{stream}", { stream: page.data.streams[0]!.stream }));
        }}
      >
        <label class="grow">
          <span class="label">Name begins with</span>
          <input data-search type="search" value={prefix} placeholder="order-" onInput={(event) => search(event.currentTarget.value)} />
        </label>
        <label class="check">
          <input type="checkbox" checked={prefix.startsWith("$")} onChange={(event) => search(event.currentTarget.checked ? "$" : "")} />
          Cairn’s own ($)
        </label>
      </form>
      <Show of={page} lines={10}>
        {({ streams, next, end }) =>
          streams.length === 0 ? (
            <Empty title={prefix ? `No stream begins with “${prefix}”` : moment !== null ? "There was no stream yet" : "No stream yet"}>
              {moment !== null && <Button onClick={() => setQuery({ as_of: null })}>Back to now</Button>}
            </Empty>
          ) : (
            <>
              <Scroll label="Streams">
                <table>
                  <thead>
                    <tr>
                      <th scope="col">Stream</th>
                      <th scope="col">Category</th>
                      <th scope="col" class="number">
                        First event at
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {streams.map(({ stream, first_position }) => (
                      <tr key={stream}>
                        <td>
                          <a data-row href={to("/streams/{stream}", { stream })}>
                            {stream}
                          </a>
                        </td>
                        <td>
                          <a class="quiet" href={to("/events", {}, { category: categoryOf(stream) })}>
                            <Badge>{categoryOf(stream)}</Badge>
                          </a>
                        </td>
                        <td class="number">{count(first_position)}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </Scroll>
              <div class="pager">
                <Button
                  disabled={!after}
                  onClick={() => {
                    setQuery({ after: before[before.length - 1] ?? null }, false);
                    setBefore(before.slice(0, -1));
                  }}
                >
                  Page before
                </Button>
                <Button
                  disabled={end || next === null}
                  onClick={() => {
                    setBefore([...before, after]);
                    setQuery({ after: next }, false);
                  }}
                >
                  Next page
                </Button>
              </div>
            </>
          )
        }
      </Show>
    </Page>
  );
}

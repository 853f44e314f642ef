/* Read models as tables: an app's queries with their parameters, filters, sorting, pages, as of any moment. */
import { useState } from "preact/hooks";
import { Problem, json, num, type App, type QueryInfo } from "../api.ts";
import { count } from "../lib/format.ts";
import { Num, brief, isObject, type Json, type JsonObject } from "../lib/json.ts";
import { asOf, setQuery, useLoad, usePlace } from "../hooks.ts";
import { Badge, Button, Empty, Page, Scroll, Show, to } from "../ui/base.tsx";
import { JsonView } from "../ui/json-view.tsx";
import { TimeTravel } from "../ui/time-travel.tsx";
import { appPath } from "./app.tsx";
import { NoApps, useApps } from "./apps.tsx";

function Queries({ app }: { app: string }) {
  const info = useLoad((signal) => json<App>(appPath(app), { signal }), ["app", app]);
  return (
    <section aria-labelledby={`of-${app}`}>
      <div class="section-head">
        <h2 id={`of-${app}`}>
          <a href={to("/apps/{app}", { app })}>{info.data?.title || app}</a>
        </h2>
      </div>
      <Show of={info} lines={3}>
        {({ queries }) =>
          queries.length === 0 ? (
            <p class="dim">It has no queries.</p>
          ) : (
            <ul class="cards">
              {queries.map((query) => (
                <li key={query.name} class="card">
                  <h3>
                    <a data-row class="mono" href={to("/read-models/{app}/{query}", { app, query: query.name })}>
                      {query.name}
                    </a>
                  </h3>
                  {query.description && <p>{query.description}</p>}
                  <p class="row dim">
                    {query.params.length > 0 && <span>takes {query.params.map(({ name }) => name).join(", ")}</span>}
                    {query.one && <Badge>one row</Badge>}
                  </p>
                </li>
              ))}
            </ul>
          )
        }
      </Show>
    </section>
  );
}

export function ReadModels() {
  const { query } = usePlace();
  const only = query.get("app");
  const apps = useApps();
  return (
    <Page title="Read models" lead="What projections have made of the events, asked by name.">
      <Show of={apps} lines={4}>
        {(list) => (list.length === 0 ? <NoApps /> : list.filter(({ name }) => only === null || name === only).map(({ name }) => <Queries key={name} app={name} />))}
      </Show>
    </Page>
  );
}

/* ---- one query ------------------------------------------------------------------------------------ */

const OPERATORS: [string, string][] = [
  ["eq", "is"],
  ["ne", "is not"],
  ["lt", "before, less than"],
  ["le", "at most"],
  ["gt", "after, more than"],
  ["ge", "at least"],
  ["prefix", "begins with"],
  ["in", "is one of"],
];

interface Rows {
  rows?: JsonObject[];
  row?: JsonObject;
  next?: string | null;
  position: number;
}

/* Filters in the address: ?status=open&due.lt=2026-01-01 */
const filtersIn = (query: URLSearchParams, info: QueryInfo): [string, string, string][] =>
  [...query].flatMap(([name, value]) => {
    const [column = "", operator = "eq"] = name.split(".");
    return info.filters.some((filter) => filter.name === column) && !info.params.some((param) => param.name === name) ? [[column, operator, value] as [string, string, string]] : [];
  });
const nameOf = (column: string, operator: string): string => (operator === "eq" ? column : `${column}.${operator}`);

function Params({ info }: { info: QueryInfo }) {
  const { query } = usePlace();
  const [typed, type] = useState<Record<string, string>>({});
  if (info.params.length === 0) return null;
  const submit = (event: Event) => {
    event.preventDefault();
    setQuery({ ...typed, cursor: null }, false);
    type({});
  };
  return (
    <form class="filters" role="search" onSubmit={submit}>
      {info.params.map((param, at) => {
        const value = typed[param.name] ?? query.get(param.name) ?? "";
        const hint = param.default === undefined || param.default === null ? (param.required ? "" : "any") : brief(param.default);
        const set = (text: string) => type({ ...typed, [param.name]: text });
        return (
          <label key={param.name} class={param.type === "text" || param.type === "json" ? "grow" : ""}>
            <span class="label">
              {param.name}
              {param.required && <span class="required"> *</span>} <span class="hint">{param.type}</span>
            </span>
            {param.type === "boolean" ? (
              <select value={value} onChange={(event) => set(event.currentTarget.value)}>
                <option value="">{hint || "—"}</option>
                <option value="true">true</option>
                <option value="false">false</option>
              </select>
            ) : (
              <input {...(at === 0 ? { "data-search": true } : {})} inputMode={param.type === "integer" ? "numeric" : param.type === "real" ? "decimal" : "text"} value={value} placeholder={hint} onInput={(event) => set(event.currentTarget.value)} />
            )}
          </label>
        );
      })}
      <Button type="submit" look="main">
        Ask
      </Button>
    </form>
  );
}

function Filters({ info, filters }: { info: QueryInfo; filters: [string, string, string][] }) {
  const [column, setColumn] = useState(info.filters[0]?.name ?? "");
  const [operator, setOperator] = useState("eq");
  const [value, setValue] = useState("");
  if (info.filters.length === 0) return null;
  const operators = info.filters.find(({ name }) => name === column)?.operators ?? ["eq"];
  const add = (event: Event) => {
    event.preventDefault();
    setQuery({ [nameOf(column, operator)]: value, cursor: null });
    setValue("");
  };
  return (
    <form class="filters" onSubmit={add} aria-label="Filters">
      <label>
        <span class="label">Where</span>
        <select value={column} onChange={(event) => {
          setColumn(event.currentTarget.value);
          setOperator("eq");
        }}>
          {info.filters.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        <span class="unseen">Comparison</span>
        <select value={operator} onChange={(event) => setOperator(event.currentTarget.value)}>
          {OPERATORS.filter(([name]) => operators.includes(name)).map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <label class="grow">
        <span class="unseen">Value</span>
        <input value={value} {...(info.params.length === 0 ? { "data-search": true } : {})} onInput={(event) => setValue(event.currentTarget.value)} />
      </label>
      <Button type="submit" disabled={value === ""}>
        Narrow
      </Button>
      {filters.map(([name, how, text]) => (
        <button key={nameOf(name, how)} type="button" class="tag is-filter" aria-label={`Remove the filter ${name} ${how} ${text}`} onClick={() => setQuery({ [nameOf(name, how)]: null, cursor: null })}>
          {name} {how === "eq" ? "=" : OPERATORS.find(([each]) => each === how)?.[1]} {text} ×
        </button>
      ))}
    </form>
  );
}

const Cell = ({ value }: { value: Json | undefined }) =>
  value === undefined || value === null ? <span class="dim">—</span> : Array.isArray(value) || isObject(value) ? <code>{brief(value, 80)}</code> : <>{brief(value, 200)}</>;

const isNumber = (value: Json | undefined): boolean => typeof value === "number" || value instanceof Num;

/* A header that sorts: by it, then the other way round. */
function Header({ column, sortable, sort, isNumeric }: { column: string; sortable: boolean; sort: string; isNumeric: boolean }) {
  const direction = sort === column ? "ascending" : sort === `-${column}` ? "descending" : undefined;
  const next = direction === "ascending" ? `-${column}` : column;
  return (
    <th scope="col" class={isNumeric ? "number" : ""} aria-sort={direction ?? (sortable ? "none" : undefined)}>
      {sortable ? (
        <button type="button" class="sorter" onClick={() => setQuery({ sort: next, cursor: null })}>
          {column}
          <span aria-hidden="true">{direction === "ascending" ? " ↑" : direction === "descending" ? " ↓" : " ↕"}</span>
        </button>
      ) : (
        column
      )}
    </th>
  );
}

function Table({ info, rows }: { info: QueryInfo; rows: JsonObject[] }) {
  const { query } = usePlace();
  const sort = (query.get("sort") ?? (info.sort ?? "").replace(/^(\S+) desc\b.*/, "-$1")).split(",")[0]!.trim();
  const declared = info.columns.map(({ name }) => name);
  const columns = declared.length > 0 ? declared : Object.keys(rows[0] ?? {});
  const numeric = new Set(columns.filter((column) => rows.length > 0 && rows.every((row) => isNumber(row[column]) || row[column] === null) && rows.some((row) => isNumber(row[column]))));
  return (
    <Scroll label={`Rows of ${info.name}`}>
      <table class="rows">
        <thead>
          <tr>
            {columns.map((column) => (
              <Header key={column} column={column} sortable={info.sorts.includes(column)} sort={sort} isNumeric={numeric.has(column)} />
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <tr key={at}>
              {columns.map((column) => (
                <td key={column} class={numeric.has(column) ? "number" : brief(row[column], 100).length <= 32 ? "short" : ""}>
                  <Cell value={row[column]} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Answer({ app, info }: { app: string; info: QueryInfo }) {
  const { query } = usePlace();
  const [before, setBefore] = useState<(string | null)[]>([]);
  const filters = filtersIn(query, info);
  const moment = asOf(query);
  const cursor = query.get("cursor");
  const missing = info.params.filter((param) => param.required && (param.default === undefined || param.default === null) && !query.get(param.name));
  const asked = new URLSearchParams();
  for (const param of info.params) if (query.get(param.name)) asked.set(param.name, query.get(param.name)!);
  for (const [column, operator, value] of filters) asked.set(nameOf(column, operator), value);
  for (const name of ["sort", "cursor", "limit"]) if (query.get(name)) asked.set(name, query.get(name)!);
  if (moment !== null) asked.set("as_of", String(moment));
  const path = `${appPath(app)}/queries/${encodeURIComponent(info.name)}?${asked}`;
  const rows = useLoad(
    async (signal): Promise<Rows | null> => {
      if (missing.length > 0) return null;
      try {
        return await json<Rows>(path, { signal });
      } catch (error) {
        if (info.one && error instanceof Problem && error.status === 404) return { rows: [], position: 0 };
        throw error;
      }
    },
    [path, missing.length],
    moment === null && cursor === null ? 3000 : 0,
  );
  return (
    <>
      <Params key={info.name} info={info} />
      <Filters info={info} filters={filters} />
      <Show of={rows} lines={8}>
        {(data) =>
          data === null ? (
            <Empty title={`It needs ${missing.map(({ name }) => name).join(", ")}`} />
          ) : data.row ? (
            <JsonView value={data.row} label="row" />
          ) : (data.rows ?? []).length === 0 ? (
            <Empty title={moment !== null ? "There were no rows then" : "No rows"} />
          ) : (
            <>
              <Table info={info} rows={data.rows!} />
              <div class="pager">
                <Button
                  disabled={cursor === null}
                  onClick={() => {
                    setQuery({ cursor: before[before.length - 1] ?? null }, false);
                    setBefore(before.slice(0, -1));
                  }}
                >
                  Page before
                </Button>
                <Button
                  disabled={!data.next}
                  onClick={() => {
                    setBefore([...before, cursor]);
                    setQuery({ cursor: data.next ?? null }, false);
                  }}
                >
                  Next page
                </Button>
                <span class="dim">as of {count(num(data.position))} events</span>
              </div>
            </>
          )
        }
      </Show>
    </>
  );
}

export function ReadModel({ app, query }: { app: string; query: string }) {
  const info = useLoad((signal) => json<App>(appPath(app), { signal }), ["app", app]);
  const found = info.data?.queries.find(({ name }) => name === query);
  return (
    <Page title={query} lead={found?.description} crumbs={[["Read models", to("/read-models")], [info.data?.title || app, to("/apps/{app}", { app })]]}>
      <TimeTravel />
      <Show of={info} lines={6}>
        {() => (found ? <Answer app={app} info={found} /> : <Empty title={`${app} has no query ${query}`} />)}
      </Show>
    </Page>
  );
}

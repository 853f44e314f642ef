/* app/sql/query.h: named queries over read models. docs/projections.md is the user's page.
 *
 *   -- param status text = 'open'      (name, type: text integer real boolean json; `= default`, `?` after the type: may be
 *                                       absent (NULL), otherwise required)
 *   -- filter assignee, due            (output columns that a caller may narrow: ?assignee=ann, ?due.lt=2026-01-01;
 *                                       eq (default) ne lt le gt ge in prefix)
 *   -- sort due desc, id               (output columns a caller may sort by with ?sort=due,-id; the first line is the default)
 *   -- key id                          (unique output column(s): the last sort columns, what keyset pages rest on)
 *   -- limit 50 max 1000               (rows of a page)
 *   -- timeout 2s                      (of running; default 5 s)
 *   -- permission orders.read
 *   -- one                             (at most one row: the answer's "row", 404 when there is none)
 *   -- json tags, payload              (output columns that hold JSON text: embedded in the answer as they are)
 *   -- boolean done                    (output columns that hold 0 and 1: false and true in the answer)
 *   SELECT id, title, due FROM task WHERE status = :status
 *
 * One SELECT, read-only by SQLite's authoriser, tried at deployment against a scratch database with every table of the
 * app's projections. It may use tables of several projections (each a file, attached). Full-text search is FTS5 in the
 * SQL: WHERE finding MATCH :words; a MATCH that does not parse is the caller's CAIRN_E_INVALID. Time (progress handler),
 * rows, bytes (8 MiB) and memory are bounded. Cursors are opaque, name their query and sort, and are refused elsewhere. */
#ifndef APP_SQL_QUERY_H
#define APP_SQL_QUERY_H

#include <app/sql/projection.h>
#include <app/sql/runner.h>

struct query;

CAIRN_MUST_CHECK cairn_err query_parse(cairn_str path, cairn_str text, struct projection *const *projections,
                                       size_t projection_count, cairn_app_fault_visit visit, void *context,
                                       struct query **ret, cairn_error *error);
void query_free(struct query *query);
cairn_str query_name(const struct query *query);
cairn_str query_permission(const struct query *query);
/* Names of the projections whose tables it reads. */
bool query_projection(const struct query *query, size_t index, cairn_str *ret);
/* {"name","description","params":[{"name","type","required","default"}],"filters":[{"name","type","operators":[]}],
 * "sorts":["due"],"sort":"due,-id" (the default, key included, or null),"key":[],"columns":[{"name","type"}],"limit",
 * "limit_max","timeout_ms","one","permission"|null,"projections":[]}: what OpenAPI, GraphQL and the console are made
 * from. Types: text integer real boolean json number (an integer, a real or text) blob (base64) any. Every column may
 * be null. */
void query_describe(const struct query *query, struct buf *to);

/* Connections and prepared statements kept between calls; one for each thread that asks (any thread may use it, one at a
 * time). Bounded: 64 statements, least recently used go. */
struct query_cache;
struct query_cache *query_cache_new(void);
void query_cache_free(struct query_cache *cache);
/* Let go of connections whose model is gone, and of those unused for half a minute. Calls see to it as they come; a thread
 * that may be without any for long calls this now and then, or the space of deleted models stays taken. */
void query_cache_trim(struct query_cache *cache);

struct query_call {
    struct model *const *models; /* one for each query_projection(), in that order; held by the caller */
    const cairn_app_param *params;
    size_t param_count;
    uint32_t limit;     /* 0: the query's own */
    cairn_str cursor;   /* or empty */
    uint32_t timeout_ms; /* 0: the query's own; never longer than that */
    uint64_t steps_max; /* 0: none; otherwise CAIRN_E_BUSY when the work would take more VM steps (the quick path) */
    uint64_t position;  /* written into the answer */
};
/* The answer into `to`; nothing is put there on error. {"rows":[{…}],"next":"cursor"|null,"position":N}; without a
 * `-- key` there are no further pages, and "truncated":true stands before "position" when rows were left out. `-- one`:
 * {"row":{…},"position":N}.
 * CAIRN_E_INVALID   a parameter, filter, sort, limit or cursor: the detail names it
 * CAIRN_E_NOTFOUND  `-- one`: there is none
 * CAIRN_E_TIMEOUT   it ran longer than it may
 * CAIRN_E_BUSY      it needs more than steps_max, or the read model is not yet of this version of the app
 * CAIRN_E_LIMIT     the answer, or a value on the way to it, is larger than 8 MiB
 * CAIRN_E_SCRIPT    the query's own SQL failed on the data */
CAIRN_MUST_CHECK cairn_err query_run(const struct query *query, struct query_cache *cache,
                                     const struct query_call *call, struct buf *to, cairn_error *error);
#endif

/* app/sql/projection.h: what a projection file says. docs/projections.md is the user's page.
 *
 *   -- from order, customer        (categories; default: every category)
 *   -- tagged region:eu            (only events with all of these tags)
 *   -- table                       (DDL: tables, indexes, views, FTS5 tables, triggers on own tables)
 *   -- on OrderPlaced, "Order paid" (statements run for each such event, in order; `-- on *`: every event)
 *
 * Named parameters in statements: :position :stream :stream_id (after the first '-') :category :revision :type :id
 * :time (ISO 8601, UTC) :time_us :correlation :causation :actor :data :meta :tags (JSON text), and by path
 * :data.customer.name, :data.items[0].sku, :data."org:resource", :meta.x, :tag.customer (the text after "customer:"). Strings are TEXT,
 * whole numbers INTEGER, other numbers REAL, true and false 1 and 0, null and absent NULL, objects and arrays JSON TEXT.
 * 'now' in SQLite's date functions is the event's time; random() and the like are refused: a read model is a function of
 * its events.
 *
 * A parsed projection never changes. */
#ifndef APP_SQL_PROJECTION_H
#define APP_SQL_PROJECTION_H

#include <app/lua/lua.h>
#include <base/arena.h>
#include <cairn/app.h>

struct projection;

/* Faults: file (the path given), line, message, hint. Parsed and tried: DDL and statements are prepared against a
 * scratch database in memory under the same authoriser as later. `.lua` paths are Lua projections (sources needed).
 * CAIRN_E_INVALID: at least one fault was visited. `name`: the file's name without folder and ending. */
CAIRN_MUST_CHECK cairn_err projection_parse(cairn_str path, cairn_str text, const struct lua_sources *sources,
                                            cairn_app_fault_visit visit, void *context, struct projection **ret,
                                            cairn_error *error);
void projection_free(struct projection *projection);

cairn_str projection_name(const struct projection *projection);
cairn_str projection_ddl(const struct projection *projection); /* for scratch databases that queries are tried on */
cairn_str projection_digest(const struct projection *projection); /* changes when a rebuild is needed */
bool projection_type(const struct projection *projection, size_t index, cairn_str *ret);     /* "*" is any */
bool projection_category(const struct projection *projection, size_t index, cairn_str *ret);
bool projection_table(const struct projection *projection, size_t index, cairn_str *ret);    /* its tables and views */
#endif

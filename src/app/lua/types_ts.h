/* app/lua/types_ts.h: TypeScript types of an app's commands and events, from their JSON Schemas.
 *
 * What cannot be said in TypeScript (patterns, ranges, if/then) is left out; what is not understood is `unknown`. Any
 * thread. */
#ifndef APP_LUA_TYPES_TS_H
#define APP_LUA_TYPES_TS_H

#include <base/bytes.h>
#include <cairn/types.h>

enum lua_type_kind { LUA_TYPE_COMMAND, LUA_TYPE_EVENT };

struct lua_type_source {
    enum lua_type_kind kind;
    cairn_str name;   /* "PlaceOrder" */
    cairn_str schema; /* JSON Schema, or empty: any data */
};

/* Append the text of types.gen.d.ts: a type for each source, `Commands` and `Events` by name, and `Decider<State>` in the
 * words of cairn.d.ts. The same input is the same text.
 *
 * CAIRN_E_INVALID: a schema is no JSON (the detail names it). CAIRN_E_LIMIT: more than 4 MiB of types. */
CAIRN_MUST_CHECK cairn_err lua_typescript_types(cairn_str app, const struct lua_type_source *sources, size_t count,
                                                struct buf *to, cairn_error *error);

#endif

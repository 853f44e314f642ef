/* app/lua/lua.h: users' Lua 5.4 in a sandbox. docs/lua.md is what script authors read.
 *
 * A machine (lua_State) has no I/O, no clock, no randomness, no loading of code, no bytecode: base functions that are
 * harmless, string (patterns under the instruction budget, rep bounded), table, math without random, utf8, coroutine, and
 * ours: `null`, `array(t)`, `json.encode/decode`, `reject(code, message, details)`. Nothing that a script can see differs
 * between processes: pairs goes in the order of the keys, texts show no addresses.
 *
 * Every call into it has an instruction budget (count hook; work in C is charged), a memory budget (its allocator: the
 * module, this call's state and what the call makes) and, far above, a limit of processor time. Each ends the call with
 * CAIRN_E_SCRIPT, past any pcall, and leaves the machine and the other states in it usable.
 *
 * JSON and Lua: objects and arrays are tables (arrays keep a metatable, so that an empty array stays one), null is the
 * value `null` (or absent, where the module says nulls = "nil"), whole numbers that fit are integers. Depth 128. Written
 * with names in the order of their bytes. A file may return its table, or have it as `default` (compiled TypeScript).
 *
 * A machine belongs to one thread at a time. Errors carry "file.lua:12: message" and two callers. */
#ifndef APP_LUA_LUA_H
#define APP_LUA_LUA_H

#include <base/arena.h>
#include <cairn/app.h>
#include <schema/upcast.h>

struct lua_limits {
    uint64_t instructions_max; /* (5,000,000) a call */
    size_t memory_max;         /* (32 MiB) module, one state and a call */
    size_t output_max;         /* (1 MiB) JSON made by one call */
};

/* Sources that `require "name"` finds (name.lua beside the file), besides the file itself: an app's own Lua files. */
struct lua_sources {
    const cairn_app_file *files;
    size_t count;
};

/* A decider written in Lua: the module file returns {initial = {}|function, evolve = {Type = function(state, event)},
 * decide = {Command = function(state, command)}} where evolve and decide may also be one function (state, event/command).
 * evolve may change the state in place or return a new one. decide returns a list of {type=, data=, tags=, stream=},
 * one such table, nothing, or calls reject(). A rejection may also be returned: return reject(…).
 *
 * Copies the sources; checks by loading once (CAIRN_E_INVALID, detail "file.lua:3: …"). The result's open() makes an
 * instance with a machine of its own. `fingerprint` is a hash of all sources. */
CAIRN_MUST_CHECK cairn_err lua_decider_make(const char *name, cairn_str main_path, const struct lua_sources *sources,
                                            const struct lua_limits *limits, cairn_decider **ret,
                                            cairn_error *error);
void lua_decider_free(cairn_decider *decider);
/* Does a module define decide for the command, evolve for the event type? For cairn check. */
bool lua_decider_has(const cairn_decider *decider, const char *part, cairn_str name);

/* An upcaster: the file returns function(data, version, type) → data. Any thread (machines are pooled inside). */
struct lua_upcast;
CAIRN_MUST_CHECK cairn_err lua_upcast_make(cairn_str path, const struct lua_sources *sources,
                                           const struct lua_limits *limits, struct lua_upcast **ret,
                                           cairn_error *error);
void lua_upcast_free(struct lua_upcast *upcast);
/* An upcast_call; context is the lua_upcast. */
cairn_err lua_upcast_call(void *context, uint32_t to_version, cairn_str type, cairn_str data, struct arena *arena,
                          cairn_str *ret_data, cairn_error *error);

/* A projection: the file returns {table = "CREATE TABLE …", from = {"category", …}, on = {Type = function(event, sql)}}
 * where sql(text, {name = value, …}) runs one prepared statement against the read model through `run` and returns its
 * rows as tables. One thread at a time. */
typedef cairn_err (*lua_sql_run)(void *context, cairn_str sql, struct json params, struct buf *ret_rows_json,
                                 cairn_error *error);
struct lua_projection;
CAIRN_MUST_CHECK cairn_err lua_projection_make(cairn_str path, const struct lua_sources *sources,
                                               const struct lua_limits *limits, struct lua_projection **ret,
                                               cairn_error *error);
void lua_projection_free(struct lua_projection *projection);
cairn_str lua_projection_table_sql(const struct lua_projection *projection);
/* The index-th category of `from`, type of `on` ("*" is any). False past the last. */
bool lua_projection_from(const struct lua_projection *projection, size_t index, cairn_str *ret);
bool lua_projection_on(const struct lua_projection *projection, size_t index, cairn_str *ret);
CAIRN_MUST_CHECK cairn_err lua_projection_apply(struct lua_projection *projection, const cairn_recorded *event,
                                                lua_sql_run run, void *context, cairn_error *error);
#endif

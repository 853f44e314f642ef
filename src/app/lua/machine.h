/* app/lua/machine.h: one lua_State with its budgets. The room's own.
 *
 * Everything that touches the state runs inside machine_run(): protected, with a fresh budget. Three things end a call
 * from within, and no pcall of the script's catches them, because our pcall looks at `stop`:
 *
 *   instructions   a count hook takes them off `left`; C functions that do work of their own call machine_charge();
 *                  the allocator takes what it hands out
 *   memory         the allocator says no above `ceiling`
 *   time           processor time, looked at by hook and charge: for what neither of the two sees (comparing
 *                  megabytes is one instruction). Far above what the instructions take, so only abuse meets it
 *
 * One thread at a time. */
#ifndef APP_LUA_MACHINE_H
#define APP_LUA_MACHINE_H

#include <app/lua/lua.h>
#include <base/bytes.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

enum lua_stop {
    STOP_NONE,
    STOP_INSTRUCTIONS,
    STOP_MEMORY,
    STOP_TIME,
    STOP_REJECT, /* reject(): a decision, not a failure */
    STOP_HOST    /* what the script called failed: sql() */
};

/* What a script's `event` or `command` reads from while its call runs (facts.c). */
struct lua_facts {
    const cairn_recorded *event;
    const cairn_command *command;
};

/* A key of a table that is being written or walked in order. */
struct lua_key {
    cairn_str text;
};

struct lua_module; /* sources (module.h) */

struct lua_machine {
    lua_State *L;
    struct lua_limits limits;
    const struct lua_module *module;

    size_t used, peak; /* bytes that Lua has */
    size_t ceiling;    /* of this call */
    int64_t left;      /* instructions of this call */
    int64_t unwatched; /* charged since the clock was looked at */
    int64_t cpu_from_us, cpu_seen_us;
    int interval;      /* of the count hook */
    int pause;         /* the collector's, in percent */

    enum lua_stop stop;
    cairn_err stop_err;
    char stop_text[320];
    bool refused;      /* the allocator said no in this call */
    bool deciding;     /* reject() is allowed */
    bool loaded;       /* module code has run: globals are frozen */
    bool null_is_nil;  /* the module said nulls = "nil" */

    struct lua_facts facts;
    const void *fact_table; /* the table that `facts` belongs to */
    struct buf out, scratch, code, message, details;
    struct arena arena;
    struct lua_key *keys; /* a stack of keys, shared by the levels of one walk */
    size_t key_count, key_capacity;

    /* Metatables and other tables: their references in the registry, and for comparing their addresses. */
    int array_ref, view_ref, views_ref, fact_ref, loaded_ref;
    const void *array_meta, *view_meta, *fact_meta;

    /* projections: what sql() runs on */
    lua_sql_run sql_run;
    void *sql_context;
};

static inline struct lua_machine *
machine_of(lua_State *L)
{
    return *(struct lua_machine **)lua_getextraspace(L);
}

/* An empty sandbox. `module` is borrowed. */
CAIRN_MUST_CHECK cairn_err machine_open(const struct lua_limits *limits, const struct lua_module *module,
                                        struct lua_machine **ret, cairn_error *error);
void machine_close(struct lua_machine *machine);

/* work(L) with `arg` as light userdata at index 1, protected, under a fresh budget. `own_bytes` of what is in use
 * belong to this call's state: memory_max covers them too, other states not. Errors are CAIRN_E_SCRIPT with
 * "file.lua:12: what (…)", CAIRN_E_NOMEM, or what stop_err says (CAIRN_E_REJECTED after reject()). */
CAIRN_MUST_CHECK cairn_err machine_run(struct lua_machine *machine, lua_CFunction work, void *arg, size_t own_bytes,
                                       cairn_error *error);

/* Inside a call: take instructions off the budget, for work done in C. */
void machine_charge(lua_State *L, size_t units);
/* End the call; no pcall stops it. The text gets "file.lua:12: " before it unless it is empty. */
_Noreturn void machine_stop(lua_State *L, enum lua_stop why, cairn_err err, const char *text);
/* An ordinary error: "file.lua:12: …" with the place of the innermost Lua function (luaL_error would look one level up
 * only, and find C). Formats are lua_pushfstring's. */
_Noreturn int machine_error(lua_State *L, const char *format, ...);
/* After a protected call within the sandbox: go on unwinding when the call is over (the error is on the top). */
void machine_rethrow(lua_State *L, int status);

/* The limits where the caller left 0. */
#define LUA_INSTRUCTIONS_DEFAULT 5000000
#define LUA_MEMORY_DEFAULT ((size_t)32 << 20)
#define LUA_OUTPUT_DEFAULT ((size_t)1 << 20)
#define LUA_STRING_MAX ((size_t)4 << 20) /* one string; longer ones make single instructions slow */

#endif

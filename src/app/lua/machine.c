/* A Lua state that cannot take more than it was given.
 *
 * Invariants
 * 1. `used` is the sum of all blocks that Lua holds; it is 0 after lua_close.
 * 2. Once `stop` is set, it stays so until the call is over: every way back into the script (hook, pcall, resume)
 *    raises again, and the hook fires at every instruction.
 * 3. Outside of machine_run nothing is refused and no hook fires.
 *
 * Owner: one thread at a time. */
#include "machine.h"

#include <base/error.h>
#include <os/thread.h>
#include <stdio.h>
#include <stdlib.h>

#include "module.h"
#include "sandbox.h"

#define HOOK_INTERVAL 1000
#define HOOK_INTERVAL_FIRST 100   /* most calls are over before it; the clock is not even started */
#define HOOK_INTERVAL_SLOW 20     /* once instructions were seen to take unusually long */
#define SLOW_WINDOW_US 2000
#define BYTES_PER_UNIT 32         /* of memory handed out, for one instruction */
#define COLLECT_SMALL ((size_t)512 << 10)
#define CPU_MIN_US 200000
#define INSTRUCTIONS_PER_CPU_US 10 /* twenty times slower than they are */

/* ---- memory */

/* What Lua may have. Bytes are work too: a string of 16 MB costs one instruction to make. */
static void *
allocate(void *context, void *block, size_t size_old, size_t size_new)
{
    struct lua_machine *machine = context;
    if (size_new == 0) {
        machine->used -= block ? size_old : 0;
        free(block);
        return NULL;
    }
    size_t kind = block ? 0 : size_old; /* a new block: what it is for */
    size_t had = block ? size_old : 0;
    if (size_new > had) {
        machine->left -= (int64_t)(size_new / BYTES_PER_UNIT);
        bool too_long = kind == LUA_TSTRING && size_new > LUA_STRING_MAX + 64;
        bool too_much = machine->used - had + size_new > machine->ceiling;
        bool too_late = machine->left < 0 && size_new > 4096;
        if (too_long || too_much || too_late) {
            machine->left -= (int64_t)(machine->used / 64); /* Lua collects garbage and asks again */
            machine->refused = true;
            return NULL;
        }
    }
    void *now = realloc(block, size_new);
    if (!now)
        return size_new <= had ? block : NULL; /* Lua counts on shrinking */
    machine->used += size_new - had;
    if (machine->used > machine->peak)
        machine->peak = machine->used;
    return now;
}

/* ---- stopping */

/* "file.lua:12: " of the innermost Lua function, or "". */
static void
where(lua_State *L, char to[160])
{
    lua_Debug at;
    to[0] = 0;
    for (int level = 0; level < 32 && lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (at.currentline > 0) {
            snprintf(to, 160, "%s:%d: ", at.short_src, at.currentline);
            return;
        }
    }
}

_Noreturn void
machine_stop(lua_State *L, enum lua_stop why, cairn_err err, const char *text)
{
    struct lua_machine *machine = machine_of(L);
    if (machine->stop == STOP_NONE) {
        char place[160];
        where(L, place);
        machine->stop = why;
        machine->stop_err = err;
        snprintf(machine->stop_text, sizeof machine->stop_text, "%s%s", text[0] ? place : "", text);
    }
    lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT, 1);
    lua_pushliteral(L, "stopped");
    lua_error(L);
    abort(); /* lua_error does not return */
}

int
machine_error(lua_State *L, const char *format, ...)
{
    char place[160];
    va_list values;
    where(L, place);
    lua_pushstring(L, place);
    va_start(values, format);
    lua_pushvfstring(L, format, values);
    va_end(values);
    lua_concat(L, 2);
    lua_error(L);
    abort(); /* lua_error does not return */
}

static _Noreturn void
stop_instructions(lua_State *L)
{
    char text[96];
    snprintf(text, sizeof text, "stopped after %llu instructions: an endless loop?",
             (unsigned long long)machine_of(L)->limits.instructions_max);
    machine_stop(L, STOP_INSTRUCTIONS, CAIRN_E_SCRIPT, text);
}

static _Noreturn void
stop_memory(lua_State *L)
{
    struct lua_machine *machine = machine_of(L);
    if (machine->left < 0)
        stop_instructions(L);
    if (!machine->refused)
        machine_stop(L, STOP_MEMORY, CAIRN_E_NOMEM, "out of memory");
    char text[96];
    snprintf(text, sizeof text, "stopped: it needs more memory than %zu bytes", machine->limits.memory_max);
    machine_stop(L, STOP_MEMORY, CAIRN_E_SCRIPT, text);
}

static void
watch_clock(lua_State *L, struct lua_machine *machine)
{
    int64_t now_us = os_thread_cpu_us();
    if (machine->cpu_from_us == 0) {
        machine->cpu_from_us = machine->cpu_seen_us = now_us;
        machine->interval = HOOK_INTERVAL;
        lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT, machine->interval);
    }
    int64_t limit_us = (int64_t)(machine->limits.instructions_max / INSTRUCTIONS_PER_CPU_US);
    if (now_us - machine->cpu_from_us > (limit_us > CPU_MIN_US ? limit_us : CPU_MIN_US))
        machine_stop(L, STOP_TIME, CAIRN_E_SCRIPT, "stopped: it takes too long");
    if (now_us - machine->cpu_seen_us > SLOW_WINDOW_US && machine->interval > HOOK_INTERVAL_SLOW) {
        machine->interval = HOOK_INTERVAL_SLOW;
        lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT, machine->interval);
    }
    machine->cpu_seen_us = now_us;
    machine->unwatched = 0;
}

static void
on_count(lua_State *L, lua_Debug *event)
{
    (void)event;
    struct lua_machine *machine = machine_of(L);
    if (machine->stop != STOP_NONE)
        machine_stop(L, machine->stop, machine->stop_err, "");
    machine->left -= lua_gethookcount(L);
    if (machine->left < 0)
        stop_instructions(L);
    watch_clock(L, machine);
}

void
machine_charge(lua_State *L, size_t units)
{
    struct lua_machine *machine = machine_of(L);
    if (units > (size_t)1 << 48)
        units = (size_t)1 << 48;
    machine->left -= (int64_t)units;
    machine->unwatched += (int64_t)units;
    if (machine->left < 0)
        stop_instructions(L);
    if (machine->unwatched > HOOK_INTERVAL)
        watch_clock(L, machine);
}

void
machine_rethrow(lua_State *L, int status)
{
    struct lua_machine *machine = machine_of(L);
    if (machine->stop != STOP_NONE)
        machine_stop(L, machine->stop, machine->stop_err, "");
    if (status == LUA_ERRMEM)
        stop_memory(L);
}

/* ---- running */

/* What there is no use in looking for: named where a script meets nil instead. */
static const char *
hint_of(const char *message)
{
    static const struct { const char *name, *hint; } hints[] = {
        {"'os'", "scripts have no clock: take command.time or event.time"},
        {"'io'", "scripts have no files"},
        {"'print'", "scripts have no output"},
        {"'random'", "scripts have no randomness: take command.id, or put it into the command"},
        {"'load'", "scripts cannot load code: require() a file of the app"},
        {"'dofile'", "require() a file of the app"},
        {"'collectgarbage'", "memory is looked after"},
    };
    if (!strstr(message, "a nil value ("))
        return NULL;
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (strstr(message, hints[i].name))
            return hints[i].hint;
    return NULL;
}

/* Replace the text on the top by format(text, more). */
static void
reword(lua_State *L, const char *format, const char *text, const char *more)
{
    lua_pushfstring(L, format, text, more);
    lua_replace(L, -2);
}

/* " (called from a.lua:3, b.lua:8)" after the text on the top; the place of the innermost function before it, where the
 * message has none because C raised it. */
static void
add_places(lua_State *L)
{
    lua_Debug at;
    int seen = 0;
    for (int level = 1; level < 40 && seen < 3 && lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (at.currentline <= 0)
            continue;
        char place[96];
        snprintf(place, sizeof place, "%s:%d", at.short_src, at.currentline);
        const char *text = lua_tostring(L, -1);
        if (seen == 0 && strncmp(text, at.short_src, strlen(at.short_src)) != 0)
            reword(L, "%s: %s", place, text);
        else if (seen > 0)
            reword(L, seen == 1 ? "%s (called from %s" : "%s, %s", text, place);
        seen++;
    }
    if (seen > 1)
        reword(L, "%s)%s", lua_tostring(L, -1), "");
}

/* The message handler of every call: the error as a text, with its place, a hint and two callers where there are any. */
static int
explain(lua_State *L)
{
    if (machine_of(L)->stop != STOP_NONE)
        return 1;
    if (lua_type(L, 1) != LUA_TSTRING)
        sandbox_tostring(L, 1);
    else
        lua_pushvalue(L, 1);
    const char *hint = hint_of(lua_tostring(L, -1));
    if (hint)
        reword(L, "%s: %s", lua_tostring(L, -1), hint);
    add_places(L);
    return 1;
}

static cairn_err
failure(struct lua_machine *machine, int status, cairn_error *error)
{
    lua_State *L = machine->L;
    if (machine->stop == STOP_NONE && status == LUA_ERRMEM && !machine->refused)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (machine->stop == STOP_NONE && status == LUA_ERRMEM) {
        const char *file = machine->module ? machine->module->main->path.data : "the script";
        if (machine->left < 0)
            return error_set(error, CAIRN_E_SCRIPT, "%s: stopped after %llu instructions: an endless loop?", file,
                             (unsigned long long)machine->limits.instructions_max);
        return error_set(error, CAIRN_E_SCRIPT, "%s: stopped: it needs more memory than %zu bytes", file,
                         machine->limits.memory_max);
    }
    if (machine->stop != STOP_NONE)
        return error_set(error, machine->stop_err, "%s", machine->stop_text);
    const char *text = lua_tostring(L, -1);
    return error_set(error, CAIRN_E_SCRIPT, "%s", text ? text : "an error without a message");
}

/* A small machine may grow eightfold before its garbage is looked for: marking all of it for every few calls would
 * cost more than they do. Looked at between calls. */
static void
pace_collector(struct lua_machine *machine)
{
    int pause = machine->used < COLLECT_SMALL ? 800 : 200;
    if (pause != machine->pause) {
        machine->pause = pause;
        lua_gc(machine->L, LUA_GCINC, pause, 0, 0);
    }
}

/* Buffers that one call made large are not kept for the small ones. */
static void
trim(struct buf *buf)
{
    if (buf->capacity > 65536)
        buf_free(buf);
}

cairn_err
machine_run(struct lua_machine *machine, lua_CFunction work, void *arg, size_t own_bytes, cairn_error *error)
{
    lua_State *L = machine->L;
    size_t others = machine->used > own_bytes ? machine->used - own_bytes : 0;
    machine->ceiling = others + machine->limits.memory_max;
    machine->left = (int64_t)machine->limits.instructions_max;
    machine->unwatched = 0;
    machine->cpu_from_us = machine->cpu_seen_us = 0;
    machine->interval = HOOK_INTERVAL_FIRST;
    machine->refused = false;
    machine->stop = STOP_NONE;
    machine->key_count = 0;
    buf_clear(&machine->out);

    lua_settop(L, 0);
    lua_sethook(L, on_count, LUA_MASKCOUNT, machine->interval);
    lua_pushcfunction(L, explain);
    lua_pushcfunction(L, work);
    lua_pushlightuserdata(L, arg);
    int status = lua_pcall(L, 1, 0, 1);
    lua_sethook(L, NULL, 0, 0);
    cairn_err err = status == LUA_OK ? CAIRN_OK : failure(machine, status, error);
    lua_settop(L, 0);

    pace_collector(machine);
    machine->ceiling = SIZE_MAX;
    machine->left = INT64_MAX / 2;
    machine->fact_table = NULL;
    machine->deciding = false;
    if (machine->arena.used_bytes)
        arena_reset(&machine->arena);
    trim(&machine->scratch);
    return err;
}

/* ---- life */

static int
on_panic(lua_State *L)
{
    (void)L;
    return 0; /* every call is protected: not reached; Lua aborts */
}

cairn_err
machine_open(const struct lua_limits *limits, const struct lua_module *module, struct lua_machine **ret,
             cairn_error *error)
{
    struct lua_machine *machine = calloc(1, sizeof *machine);
    if (!machine)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    machine->limits = limits ? *limits : (struct lua_limits){0};
    if (machine->limits.instructions_max == 0)
        machine->limits.instructions_max = LUA_INSTRUCTIONS_DEFAULT;
    if (machine->limits.instructions_max > INT64_MAX / 4)
        machine->limits.instructions_max = INT64_MAX / 4;
    if (machine->limits.memory_max == 0)
        machine->limits.memory_max = LUA_MEMORY_DEFAULT;
    if (machine->limits.output_max == 0)
        machine->limits.output_max = LUA_OUTPUT_DEFAULT;
    machine->module = module;
    machine->ceiling = SIZE_MAX;
    machine->left = INT64_MAX / 2;
    machine->L = lua_newstate(allocate, machine);
    if (!machine->L) {
        free(machine);
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    *(struct lua_machine **)lua_getextraspace(machine->L) = machine;
    lua_atpanic(machine->L, on_panic);
    pace_collector(machine);
    cairn_err err = machine_run(machine, sandbox_open, NULL, 0, error);
    if (err != CAIRN_OK) {
        machine_close(machine);
        return err;
    }
    *ret = machine;
    return CAIRN_OK;
}

void
machine_close(struct lua_machine *machine)
{
    if (!machine)
        return;
    lua_close(machine->L);
    buf_free(&machine->out);
    buf_free(&machine->scratch);
    buf_free(&machine->code);
    buf_free(&machine->message);
    buf_free(&machine->details);
    arena_free(&machine->arena);
    free(machine->keys);
    free(machine);
}

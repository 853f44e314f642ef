/* A decider written in Lua, as the bus sees deciders (cairn_decider).
 *
 * decider     the sources and what the module defines; shared, never changes
 *  └ instance  a machine in which the module has run; one thread at a time
 *     └ state   a value in the machine's registry
 *
 * evolve gets the state itself and may change it in place; when it fails half way, the state is half changed and its
 * owner throws it away. decide gets a read-only view (view.c). */
#include <base/error.h>
#include <stdio.h>
#include <stdlib.h>

#include "module.h"
#include "sandbox.h"
#include "values.h"

#define EVENT_TAGS_MAX 64
#define STATE_COST_PER_VALUE 40 /* bytes, about, of a member and what it holds */

struct names {
    struct buf bytes; /* each followed by a NUL */
    bool any;         /* one function for all */
};

struct decider {
    cairn_decider face; /* first */
    char name[128];
    struct lua_module *module;
    struct lua_limits limits;
    struct names evolve, decide;
};

struct instance {
    const struct decider *decider;
    struct lua_machine *machine;
    int initial_ref, evolve_ref, decide_ref;
    struct buf initial; /* the JSON of an initial state that is no function */
};

struct state {
    int ref;
    size_t measured;  /* bytes, about, when it was last walked */
    size_t added;     /* bytes of event data since */
    size_t grown;     /* bytes that the machine's memory grew by in its calls since, garbage and all */
    uint32_t evolved; /* events since; UINT32_MAX: never walked */
    uint32_t values;  /* when it was walked */
};

/* ---- opening */

/* The module table is at 1. Push and check one of its parts. */
static int
keep_part(lua_State *L, struct instance *instance, const char *part)
{
    const char *file = instance->decider->module->main->path.data;
    lua_pushstring(L, part);
    int type = lua_rawget(L, 1);
    if (type == LUA_TTABLE) {
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            if (lua_type(L, -2) != LUA_TSTRING)
                machine_error(L, "%s: %s = {…} is keyed by names", file, part);
            if (!lua_isfunction(L, -1))
                machine_error(L, "%s: %s.%s is a %s; a function is wanted", file, part, lua_tostring(L, -2),
                           luaL_typename(L, -1));
        }
    } else if (type != LUA_TFUNCTION && type != LUA_TNIL) {
        machine_error(L, "%s: %s is a %s; a table of functions is wanted, or one function", file, part,
                   luaL_typename(L, -1));
    }
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

static int
load_work(lua_State *L)
{
    struct instance *instance = lua_touserdata(L, 1);
    const char *file = instance->decider->module->main->path.data;
    lua_settop(L, 0);
    module_push(L);
    if (!lua_istable(L, 1))
        return machine_error(L, "%s returns a %s; a decider returns {initial = …, evolve = …, decide = …}", file,
                          luaL_typename(L, 1));
    instance->evolve_ref = keep_part(L, instance, "evolve");
    instance->decide_ref = keep_part(L, instance, "decide");
    if (instance->decide_ref == LUA_REFNIL && instance->evolve_ref == LUA_REFNIL)
        return machine_error(L, "%s returns neither decide nor evolve", file);
    lua_pushliteral(L, "initial");
    int type = lua_rawget(L, 1);
    instance->initial_ref = LUA_REFNIL;
    if (type == LUA_TFUNCTION) {
        instance->initial_ref = luaL_ref(L, LUA_REGISTRYINDEX);
        return 0;
    }
    if (type == LUA_TNIL)
        lua_newtable(L);
    value_put(L, -1, &instance->initial, "initial", instance->machine->limits.output_max);
    return 0;
}

static void
instance_close(void *self)
{
    struct instance *instance = self;
    if (!instance)
        return;
    machine_close(instance->machine);
    buf_free(&instance->initial);
    free(instance);
}

static cairn_err
instance_open(void *module, void **ret_self, cairn_error *error)
{
    struct decider *decider = module;
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    instance->decider = decider;
    cairn_err err = machine_open(&decider->limits, decider->module, &instance->machine, error);
    if (err == CAIRN_OK)
        err = machine_run(instance->machine, load_work, instance, 0, error);
    if (err != CAIRN_OK) {
        instance_close(instance);
        return err;
    }
    *ret_self = instance;
    return CAIRN_OK;
}

/* ---- states */

struct state_call {
    struct instance *instance;
    struct state *state;
    cairn_str stream, json;
    bool saved; /* from json */
    size_t values;
};

static int
state_new_work(lua_State *L)
{
    struct state_call *call = lua_touserdata(L, 1);
    if (call->saved) {
        value_push_text(L, call->json, "the saved state");
    } else if (call->instance->initial_ref == LUA_REFNIL) {
        value_push(L, json_trusted(buf_str(&call->instance->initial)));
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, call->instance->initial_ref);
        lua_pushlstring(L, call->stream.data ? call->stream.data : "", call->stream.size);
        lua_call(L, 1, 1);
        if (lua_isnil(L, -1))
            return machine_error(L, "initial() returned no state");
        /* A copy: the table may be the module's own, and would be the state of several streams. */
        struct lua_machine *machine = call->instance->machine;
        value_put(L, -1, &machine->out, "initial()", machine->limits.memory_max);
        value_push(L, json_trusted(buf_str(&machine->out)));
    }
    call->state->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static cairn_err
state_make(struct state_call *call, void **ret_state, cairn_error *error)
{
    call->state = calloc(1, sizeof *call->state);
    if (!call->state)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    call->state->evolved = UINT32_MAX; /* never walked */
    call->state->added = call->saved ? call->json.size : 0;
    cairn_err err = machine_run(call->instance->machine, state_new_work, call, 0, error);
    if (err != CAIRN_OK) {
        free(call->state);
        return err;
    }
    *ret_state = call->state;
    return CAIRN_OK;
}

static cairn_err
state_new(void *self, cairn_str stream, void **ret_state, cairn_error *error)
{
    struct state_call call = {.instance = self, .stream = stream};
    return state_make(&call, ret_state, error);
}

static cairn_err
state_load(void *self, cairn_str stream, cairn_str json, void **ret_state, cairn_error *error)
{
    struct state_call call = {.instance = self, .stream = stream, .json = json, .saved = true};
    return state_make(&call, ret_state, error);
}

static void
state_free(void *self, void *state)
{
    struct instance *instance = self;
    if (!state)
        return;
    luaL_unref(instance->machine->L, LUA_REGISTRYINDEX, ((struct state *)state)->ref); /* allocates nothing */
    free(state);
}

static int
save_work(lua_State *L)
{
    struct state_call *call = lua_touserdata(L, 1);
    struct lua_machine *machine = call->instance->machine;
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->state->ref);
    value_put(L, -1, &machine->out, "state", machine->limits.memory_max);
    return 0;
}

static size_t
state_size_known(const struct state *state)
{
    return sizeof *state + state->measured + 4 * state->added;
}

static cairn_err
state_save(void *self, const void *state, cairn_sink sink, void *context, cairn_error *error)
{
    struct state_call call = {.instance = self, .state = (struct state *)(uintptr_t)state};
    cairn_err err = machine_run(call.instance->machine, save_work, &call, state_size_known(state), error);
    if (err != CAIRN_OK)
        return err;
    struct buf *out = &call.instance->machine->out;
    return sink(context, buf_str(out)) ? CAIRN_OK : error_set(error, CAIRN_E_CLOSED, "the state is not wanted any more");
}

/* Bytes of the table at the top and below, about. */
static size_t
measure(lua_State *L, int depth, size_t *values)
{
    size_t size = 56;
    luaL_checkstack(L, 4, NULL);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        size += STATE_COST_PER_VALUE;
        ++*values;
        if (lua_type(L, -1) == LUA_TSTRING)
            size += lua_rawlen(L, -1);
        else if (lua_istable(L, -1) && depth < JSON_DEPTH_MAX && *values < 10000000)
            size += measure(L, depth + 1, values);
    }
    return size;
}

static int
measure_work(lua_State *L)
{
    struct state_call *call = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->state->ref);
    if (lua_istable(L, -1))
        call->state->measured = measure(L, 0, &call->values);
    return 0;
}

/* Walked anew when so much has happened since that the walk is cheap beside it; in between, events that came are
 * taken to have stayed whole. */
static size_t
state_size(void *self, const void *state_const)
{
    struct instance *instance = self;
    struct state *state = (struct state *)(uintptr_t)state_const;
    if (state->evolved > 16 + state->values / 4 || state->grown > instance->machine->limits.memory_max / 4) {
        struct state_call call = {.instance = instance, .state = state};
        if (machine_run(instance->machine, measure_work, &call, state_size_known(state), NULL) == CAIRN_OK) {
            state->values = (uint32_t)call.values;
            state->added = 0;
            state->grown = 0;
            state->evolved = 0;
        }
    }
    return state_size_known(state);
}

/* ---- evolve and decide */

/* Push the function of a part for a name; false: it has none. */
static bool
push_function(lua_State *L, int ref, cairn_str name)
{
    int type = lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    if (type == LUA_TTABLE) {
        lua_pushlstring(L, name.data, name.size);
        type = lua_rawget(L, -2);
    }
    return type == LUA_TFUNCTION;
}

struct evolve_call {
    struct instance *instance;
    struct state *state;
    const cairn_recorded *event;
};

static int
evolve_work(lua_State *L)
{
    struct evolve_call *call = lua_touserdata(L, 1);
    if (!push_function(L, call->instance->evolve_ref, call->event->event.type))
        return 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->state->ref);
    value_push_text(L, call->event->event.data, "event.data");
    facts_push(L, &(struct lua_facts){.event = call->event});
    lua_call(L, 2, 1);
    switch (lua_type(L, -1)) {
    case LUA_TNIL: return 0; /* changed in place */
    case LUA_TFUNCTION:
    case LUA_TUSERDATA:
    case LUA_TTHREAD:
        return machine_error(L, "evolve returned a %s as the state", luaL_typename(L, -1));
    default: lua_rawseti(L, LUA_REGISTRYINDEX, call->state->ref); return 0;
    }
}

static cairn_err
evolve(void *self, void *state_void, const cairn_recorded *event, cairn_error *error)
{
    struct state *state = state_void;
    struct evolve_call call = {self, state, event};
    struct lua_machine *machine = call.instance->machine;
    size_t size = state_size(self, state), used = machine->used;
    cairn_err err = machine_run(machine, evolve_work, &call, size, error);
    state->added += event->event.data.size;
    state->grown += machine->used > used ? machine->used - used : 0;
    if (state->evolved < UINT32_MAX)
        state->evolved++;
    return err;
}

struct decide_call {
    struct instance *instance;
    const struct state *state;
    const cairn_command *command;
    cairn_decision *decision;
    cairn_error *error;
};

static cairn_str
text_member(lua_State *L, int table, const char *name, bool required)
{
    cairn_str text = {NULL, 0};
    lua_pushstring(L, name);
    int type = lua_rawget(L, table);
    if (type == LUA_TSTRING)
        text.data = lua_tolstring(L, -1, &text.size);
    else if (type != LUA_TNIL || required)
        machine_error(L, "decide returned an event whose %s is a %s; a string is wanted", name, lua_typename(L, type));
    return text; /* stays on the stack */
}

static size_t
tags_member(lua_State *L, int table, cairn_str tags[EVENT_TAGS_MAX])
{
    lua_pushliteral(L, "tags");
    int type = lua_rawget(L, table);
    if (type == LUA_TNIL)
        return 0;
    if (type != LUA_TTABLE)
        machine_error(L, "decide returned an event whose tags is a %s; a list of strings is wanted", lua_typename(L, type));
    view_open_at(L, lua_gettop(L));
    size_t count = (size_t)lua_rawlen(L, -1);
    if (count > EVENT_TAGS_MAX)
        machine_error(L, "decide returned an event with %d tags; at most %d", (int)count, EVENT_TAGS_MAX);
    luaL_checkstack(L, (int)count + 8, NULL);
    int list = lua_gettop(L);
    for (size_t i = 0; i < count; i++) {
        if (lua_rawgeti(L, list, (lua_Integer)i + 1) != LUA_TSTRING)
            machine_error(L, "decide returned an event whose tags[%d] is a %s; a string is wanted", (int)i + 1,
                       luaL_typename(L, -1));
        tags[i].data = lua_tolstring(L, -1, &tags[i].size);
    }
    return count;
}

static void
check_members(lua_State *L, int table)
{
    static const char *const known[] = {"type", "data", "tags", "stream", "meta", NULL};
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        bool found = false;
        if (lua_type(L, -2) == LUA_TSTRING)
            for (int i = 0; known[i] && !found; i++)
                found = strcmp(lua_tostring(L, -2), known[i]) == 0;
        if (!found)
            machine_error(L, "decide returned an event with '%s' in it; it may have type, data, tags, stream, meta",
                       lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : luaL_typename(L, -2));
    }
}

/* What is decided is written to `out` and copied by the decision; `spent` bounds all of it. */
static cairn_str
json_member(lua_State *L, int table, const char *name, const char *what, size_t *spent)
{
    struct lua_machine *machine = machine_of(L);
    lua_pushstring(L, name);
    if (lua_rawget(L, table) == LUA_TNIL) {
        lua_pop(L, 1);
        return (cairn_str){NULL, 0};
    }
    size_t from = machine->out.size;
    value_put(L, -1, &machine->out, what, from + machine->limits.output_max - *spent);
    lua_pop(L, 1);
    *spent += machine->out.size - from;
    return (cairn_str){NULL, machine->out.size - from};
}

static void
put_event(lua_State *L, int table, struct decide_call *call, size_t *spent)
{
    struct lua_machine *machine = call->instance->machine;
    int top = lua_gettop(L);
    cairn_str tags[EVENT_TAGS_MAX];
    luaL_checkstack(L, 16, NULL);
    view_open_at(L, table);
    check_members(L, table);
    cairn_event event = {.type = text_member(L, table, "type", true)};
    cairn_str stream = text_member(L, table, "stream", false);
    event.tags = tags;
    event.tag_count = tags_member(L, table, tags);
    buf_clear(&machine->out);
    event.data = json_member(L, table, "data", "event.data", spent);
    event.meta = json_member(L, table, "meta", "event.meta", spent);
    event.data.data = machine->out.data;
    event.meta.data = event.meta.size ? machine->out.data + event.data.size : NULL;
    if (!event.data.size)
        event.data = CAIRN_STR("{}");
    if (event.meta.size && event.meta.data[0] != '{')
        machine_error(L, "decide returned an event whose meta is no object");
    
    cairn_err err = cairn_decide_event(call->decision, stream, &event);
    if (err != CAIRN_OK)
        machine_stop(L, STOP_HOST, err, err == CAIRN_E_NOMEM ? "out of memory" : "the event that was decided is refused");
    lua_settop(L, top);
}

static int
decide_work(lua_State *L)
{
    struct decide_call *call = lua_touserdata(L, 1);
    struct lua_machine *machine = call->instance->machine;
    const cairn_command *command = call->command;
    if (!push_function(L, call->instance->decide_ref, command->name)) {
        lua_pushlstring(L, command->name.data, command->name.size);
        return machine_error(L, "%s has no decide for command %s", machine->module->main->path.data, lua_tostring(L, -1));
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->state->ref);
    view_push(L, -1);
    lua_remove(L, -2);
    value_push_text(L, command->data.size ? command->data : CAIRN_STR("{}"), "command.data");
    facts_push(L, &(struct lua_facts){.command = command});
    machine->deciding = true;
    lua_call(L, 2, 1);
    machine->deciding = false;
    if (lua_isnil(L, -1))
        return 0;
    if (!lua_istable(L, -1))
        return machine_error(L, "decide returned a %s; an event, a list of events or nothing is wanted",
                             luaL_typename(L, -1));
    int result = lua_gettop(L);
    size_t spent = 0;
    view_open_at(L, result);
    lua_pushliteral(L, "type");
    bool single = lua_rawget(L, result) != LUA_TNIL;
    lua_pop(L, 1);
    if (single) {
        put_event(L, result, call, &spent);
        return 0;
    }
    lua_Integer count = (lua_Integer)lua_rawlen(L, result), seen = 0;
    for (lua_pushnil(L); lua_next(L, result); lua_pop(L, 1))
        seen++;
    if (seen != count)
        return machine_error(L, "decide returned a table that is neither an event (type = …) nor a list of events");
    for (lua_Integer i = 1; i <= count; i++) {
        if (lua_rawgeti(L, result, i) != LUA_TTABLE)
            return machine_error(L, "decide returned a list whose item %d is a %s; an event is wanted", (int)i,
                              luaL_typename(L, -1));
        put_event(L, lua_gettop(L), call, &spent);
        lua_pop(L, 1);
    }
    return 0;
}

static cairn_err
decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    struct decide_call call = {self, state, command, decision, error};
    struct lua_machine *machine = call.instance->machine;
    cairn_err err = machine_run(machine, decide_work, &call, state_size_known(state), error);
    if (err != CAIRN_E_REJECTED || machine->stop != STOP_REJECT)
        return err;
    err = cairn_decide_reject(decision, buf_str(&machine->code), buf_str(&machine->message),
                              buf_str(&machine->details));
    return err == CAIRN_OK ? CAIRN_OK : error_set(error, err, "rejecting failed: %s", cairn_err_name(err));
}

/* ---- making */

struct probe {
    struct instance *instance;
    struct decider *decider;
};

static void
collect_names(lua_State *L, int ref, struct names *names)
{
    int type = lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    names->any = type == LUA_TFUNCTION;
    if (type == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            size_t size;
            const char *name = lua_tolstring(L, -2, &size);
            if (!memchr(name, 0, size))
                buf_put(&names->bytes, name, size + 1);
        }
    lua_pop(L, 1);
}

static int
probe_work(lua_State *L)
{
    struct probe *probe = lua_touserdata(L, 1);
    collect_names(L, probe->instance->evolve_ref, &probe->decider->evolve);
    collect_names(L, probe->instance->decide_ref, &probe->decider->decide);
    return 0;
}

cairn_err
lua_decider_make(const char *name, cairn_str main_path, const struct lua_sources *sources,
                 const struct lua_limits *limits, cairn_decider **ret, cairn_error *error)
{
    void *self = NULL;
    struct decider *decider = calloc(1, sizeof *decider);
    if (!decider)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    snprintf(decider->name, sizeof decider->name, "%s", name);
    if (limits)
        decider->limits = *limits;
    cairn_err err = module_make(main_path, sources, &decider->module, error);
    if (err != CAIRN_OK)
        goto done;
    err = instance_open(decider, &self, error);
    if (err != CAIRN_OK)
        goto done;
    struct probe probe = {self, decider};
    err = machine_run(probe.instance->machine, probe_work, &probe, 0, error);
    if (err == CAIRN_OK && (decider->evolve.bytes.failed || decider->decide.bytes.failed))
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (err == CAIRN_OK) { /* the initial state is made once, so that what is wrong with it shows now */
        void *state = NULL;
        err = state_new(self, CAIRN_STR(""), &state, error);
        state_free(self, err == CAIRN_OK ? state : NULL);
    }
done:
    instance_close(self);
    if (err != CAIRN_OK) {
        lua_decider_free(&decider->face);
        if (err == CAIRN_E_SCRIPT && error)
            error->code = CAIRN_E_INVALID;
        return err == CAIRN_E_SCRIPT ? CAIRN_E_INVALID : err;
    }
    decider->face = (cairn_decider){
        .abi = CAIRN_DECIDER_ABI, .name = decider->name, .module = decider, .open = instance_open,
        .close = instance_close, .state_new = state_new, .state_free = state_free, .state_size = state_size,
        .evolve = evolve, .decide = decide, .save = state_save, .load = state_load,
        .fingerprint = cairn_cstr(decider->module->fingerprint)};
    *ret = &decider->face;
    return CAIRN_OK;
}

void
lua_decider_free(cairn_decider *face)
{
    struct decider *decider = (struct decider *)face;
    if (!decider)
        return;
    module_free(decider->module);
    buf_free(&decider->evolve.bytes);
    buf_free(&decider->decide.bytes);
    free(decider);
}

bool
lua_decider_has(const cairn_decider *face, const char *part, cairn_str name)
{
    const struct decider *decider = (const struct decider *)face;
    const struct names *names = strcmp(part, "evolve") == 0   ? &decider->evolve
                                : strcmp(part, "decide") == 0 ? &decider->decide
                                                              : NULL;
    if (!names)
        return false;
    for (size_t at = 0; !names->any && at < names->bytes.size; at += strlen(names->bytes.data + at) + 1)
        if (cairn_str_equal(cairn_cstr(names->bytes.data + at), name))
            return true;
    return names->any;
}

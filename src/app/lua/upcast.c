/* Upcasters in Lua: function(data, version, type) → data. Any thread: each call takes a machine from the pool, or makes
 * one. */
#include <base/error.h>
#include <pthread.h>
#include <stdlib.h>

#include "module.h"
#include "values.h"

#define POOL_MAX 32 /* machines kept; more threads than this make and drop theirs */

struct worker {
    struct lua_machine *machine;
    int function_ref;
};

struct lua_upcast {
    struct lua_module *module;
    struct lua_limits limits;
    pthread_mutex_t lock; /* guards the pool */
    struct worker *pool[POOL_MAX];
    size_t pool_count;
};

static int
load_work(lua_State *L)
{
    struct worker *worker = lua_touserdata(L, 1);
    module_push(L);
    if (!lua_isfunction(L, -1))
        return machine_error(L, "%s returns a %s; an upcaster returns function(data, version, type)",
                          worker->machine->module->main->path.data, luaL_typename(L, -1));
    worker->function_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void
worker_free(struct worker *worker)
{
    if (!worker)
        return;
    machine_close(worker->machine);
    free(worker);
}

static cairn_err
worker_make(const struct lua_upcast *upcast, struct worker **ret, cairn_error *error)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    cairn_err err = machine_open(&upcast->limits, upcast->module, &worker->machine, error);
    if (err == CAIRN_OK)
        err = machine_run(worker->machine, load_work, worker, 0, error);
    if (err != CAIRN_OK) {
        worker_free(worker);
        return err;
    }
    *ret = worker;
    return CAIRN_OK;
}

static struct worker *
pool_take(struct lua_upcast *upcast)
{
    pthread_mutex_lock(&upcast->lock);
    struct worker *worker = upcast->pool_count ? upcast->pool[--upcast->pool_count] : NULL;
    pthread_mutex_unlock(&upcast->lock);
    return worker;
}

static void
pool_give(struct lua_upcast *upcast, struct worker *worker)
{
    pthread_mutex_lock(&upcast->lock);
    bool room = upcast->pool_count < POOL_MAX;
    if (room)
        upcast->pool[upcast->pool_count++] = worker;
    pthread_mutex_unlock(&upcast->lock);
    if (!room)
        worker_free(worker);
}

cairn_err
lua_upcast_make(cairn_str path, const struct lua_sources *sources, const struct lua_limits *limits,
                struct lua_upcast **ret, cairn_error *error)
{
    struct lua_upcast *upcast = calloc(1, sizeof *upcast);
    struct worker *worker = NULL;
    if (!upcast)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    pthread_mutex_init(&upcast->lock, NULL);
    if (limits)
        upcast->limits = *limits;
    cairn_err err = module_make(path, sources, &upcast->module, error);
    if (err == CAIRN_OK)
        err = worker_make(upcast, &worker, error);
    if (err != CAIRN_OK) {
        lua_upcast_free(upcast);
        if (err == CAIRN_E_SCRIPT && error)
            error->code = CAIRN_E_INVALID;
        return err == CAIRN_E_SCRIPT ? CAIRN_E_INVALID : err;
    }
    pool_give(upcast, worker);
    *ret = upcast;
    return CAIRN_OK;
}

void
lua_upcast_free(struct lua_upcast *upcast)
{
    if (!upcast)
        return;
    while (upcast->pool_count)
        worker_free(upcast->pool[--upcast->pool_count]);
    pthread_mutex_destroy(&upcast->lock);
    module_free(upcast->module);
    free(upcast);
}

struct call {
    struct worker *worker;
    uint32_t to_version;
    cairn_str type, data;
};

static int
call_work(lua_State *L)
{
    struct call *call = lua_touserdata(L, 1);
    struct lua_machine *machine = call->worker->machine;
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->worker->function_ref);
    value_push_text(L, call->data, "data");
    lua_pushvalue(L, -1);
    lua_insert(L, 1); /* kept, for a function that changes it in place and returns nothing */
    lua_pushinteger(L, call->to_version);
    lua_pushlstring(L, call->type.data, call->type.size);
    lua_call(L, 3, 1);
    if (lua_isnil(L, -1))
        lua_pushvalue(L, 1);
    if (!lua_istable(L, -1))
        return machine_error(L, "%s returned a %s; the data is an object", machine->module->main->path.data,
                          luaL_typename(L, -1));
    value_put(L, -1, &machine->out, "data", machine->limits.output_max);
    if (machine->out.data[0] != '{')
        return machine_error(L, "%s returned an array; the data is an object", machine->module->main->path.data);
    return 0;
}

cairn_err
lua_upcast_call(void *context, uint32_t to_version, cairn_str type, cairn_str data, struct arena *arena,
                cairn_str *ret_data, cairn_error *error)
{
    struct lua_upcast *upcast = context;
    struct call call = {pool_take(upcast), to_version, type, data};
    cairn_err err = CAIRN_OK;
    if (!call.worker)
        err = worker_make(upcast, &call.worker, error);
    if (err != CAIRN_OK)
        return err;
    err = machine_run(call.worker->machine, call_work, &call, 0, error);
    if (err == CAIRN_OK) {
        cairn_str copy = arena_copy(arena, buf_str(&call.worker->machine->out));
        if (copy.data)
            *ret_data = copy;
        else
            err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    pool_give(upcast, call.worker);
    return err;
}

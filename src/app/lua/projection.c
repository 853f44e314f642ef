/* Projections in Lua: {table = "CREATE TABLE …", from = {…}, on = {Type = function(event, sql)}}.
 *
 * sql(text, {name = value}) runs a statement by the owner's function and gives its rows. When that fails the call is
 * over, whatever the script does about it: an event is applied whole or not at all. One thread at a time. */
#include <base/error.h>
#include <stdlib.h>

#include "module.h"
#include "sandbox.h"
#include "values.h"

struct lua_projection {
    struct lua_module *module;
    struct lua_machine *machine;
    int on_ref, sql_ref;
    struct buf table;
    struct buf from, on; /* names, each followed by a NUL */
};

static int
run_sql(lua_State *L)
{
    struct lua_machine *machine = machine_of(L);
    cairn_str text;
    text.data = luaL_checklstring(L, 1, &text.size);
    if (!machine->sql_run)
        return machine_error(L, "sql() of an event that is over");
    lua_settop(L, 2);
    struct json params = json_trusted(CAIRN_STR("{}"));
    buf_clear(&machine->scratch);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        value_put(L, 2, &machine->scratch, "sql's parameters", machine->limits.output_max);
        params = json_trusted(buf_str(&machine->scratch));
        if (params.type != JSON_OBJECT)
            return machine_error(L, "sql's parameters are given by name: {name = value}");
    }
    cairn_error error = {.code = CAIRN_OK};
    buf_clear(&machine->out);
    machine_charge(L, 100);
    cairn_err err = machine->sql_run(machine->sql_context, text, params, &machine->out, &error);
    if (err == CAIRN_OK && machine->out.failed)
        err = error_set(&error, CAIRN_E_NOMEM, "out of memory");
    if (err != CAIRN_OK)
        machine_stop(L, STOP_HOST, err, error.detail);
    if (machine->out.size == 0) {
        lua_newtable(L);
        value_mark_array(L, -1);
        return 1;
    }
    value_push_text(L, buf_str(&machine->out), "sql's rows");
    return 1;
}

static void
put_name(lua_State *L, struct buf *to)
{
    size_t size;
    const char *name = lua_tolstring(L, -1, &size);
    if (size == 0 || memchr(name, 0, size))
        machine_error(L, "%s: an empty name", machine_of(L)->module->main->path.data);
    buf_put(to, name, size + 1);
}

static int
load_work(lua_State *L)
{
    struct lua_projection *projection = lua_touserdata(L, 1);
    const char *file = projection->module->main->path.data;
    lua_settop(L, 0);
    module_push(L);
    if (!lua_istable(L, 1))
        return machine_error(L, "%s returns a %s; a projection returns {table = …, from = {…}, on = {…}}", file,
                          luaL_typename(L, 1));
    lua_pushliteral(L, "table");
    if (lua_rawget(L, 1) != LUA_TSTRING)
        return machine_error(L, "%s: table is a %s; a string with CREATE TABLE is wanted", file, luaL_typename(L, -1));
    size_t size;
    const char *sql = lua_tolstring(L, -1, &size);
    buf_put(&projection->table, sql, size);
    lua_pushliteral(L, "from");
    int type = lua_rawget(L, 1);
    if (type != LUA_TTABLE && type != LUA_TNIL)
        return machine_error(L, "%s: from is a %s; a list of categories is wanted", file, luaL_typename(L, -1));
    for (lua_Integer i = 1; type == LUA_TTABLE && i <= (lua_Integer)lua_rawlen(L, 3); i++) {
        if (lua_rawgeti(L, 3, i) != LUA_TSTRING)
            return machine_error(L, "%s: from[%d] is a %s; a category is wanted", file, (int)i, luaL_typename(L, -1));
        put_name(L, &projection->from);
        lua_pop(L, 1);
    }
    lua_pushliteral(L, "on");
    if (lua_rawget(L, 1) != LUA_TTABLE)
        return machine_error(L, "%s: on is a %s; {Type = function(event, sql) … end} is wanted", file, luaL_typename(L, -1));
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, 4); lua_pop(L, 1), count++) {
        if (lua_type(L, -2) != LUA_TSTRING || !lua_isfunction(L, -1))
            return machine_error(L, "%s: on = {…} has functions by event type", file);
        lua_pushvalue(L, -2);
        put_name(L, &projection->on);
        lua_pop(L, 1);
    }
    if (count == 0)
        return machine_error(L, "%s: on = {} handles nothing", file);
    if (projection->table.failed || projection->from.failed || projection->on.failed)
        machine_stop(L, STOP_MEMORY, CAIRN_E_NOMEM, "out of memory");
    projection->on_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, run_sql);
    projection->sql_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

cairn_err
lua_projection_make(cairn_str path, const struct lua_sources *sources, const struct lua_limits *limits,
                    struct lua_projection **ret, cairn_error *error)
{
    struct lua_projection *projection = calloc(1, sizeof *projection);
    if (!projection)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    cairn_err err = module_make(path, sources, &projection->module, error);
    if (err == CAIRN_OK)
        err = machine_open(limits, projection->module, &projection->machine, error);
    if (err == CAIRN_OK)
        err = machine_run(projection->machine, load_work, projection, 0, error);
    if (err != CAIRN_OK) {
        lua_projection_free(projection);
        if (err == CAIRN_E_SCRIPT && error)
            error->code = CAIRN_E_INVALID;
        return err == CAIRN_E_SCRIPT ? CAIRN_E_INVALID : err;
    }
    *ret = projection;
    return CAIRN_OK;
}

void
lua_projection_free(struct lua_projection *projection)
{
    if (!projection)
        return;
    machine_close(projection->machine);
    module_free(projection->module);
    buf_free(&projection->table);
    buf_free(&projection->from);
    buf_free(&projection->on);
    free(projection);
}

cairn_str
lua_projection_table_sql(const struct lua_projection *projection)
{
    return buf_str(&projection->table);
}

static bool
name_at(const struct buf *names, size_t index, cairn_str *ret)
{
    size_t at = 0;
    for (; at < names->size && index > 0; index--)
        at += strlen(names->data + at) + 1;
    if (at >= names->size)
        return false;
    *ret = cairn_cstr(names->data + at);
    return true;
}

bool
lua_projection_from(const struct lua_projection *projection, size_t index, cairn_str *ret)
{
    return name_at(&projection->from, index, ret);
}

bool
lua_projection_on(const struct lua_projection *projection, size_t index, cairn_str *ret)
{
    return name_at(&projection->on, index, ret);
}

struct apply_call {
    struct lua_projection *projection;
    const cairn_recorded *event;
};

static int
apply_work(lua_State *L)
{
    struct apply_call *call = lua_touserdata(L, 1);
    cairn_str type = call->event->event.type;
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->projection->on_ref);
    lua_pushlstring(L, type.data, type.size);
    if (lua_rawget(L, 2) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushliteral(L, "*");
        if (lua_rawget(L, 2) == LUA_TNIL)
            return 0;
    }
    value_push_text(L, call->event->event.data, "event.data");
    facts_push(L, &(struct lua_facts){.event = call->event});
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->projection->sql_ref);
    lua_call(L, 2, 0);
    return 0;
}

cairn_err
lua_projection_apply(struct lua_projection *projection, const cairn_recorded *event, lua_sql_run run, void *context,
                     cairn_error *error)
{
    struct apply_call call = {projection, event};
    projection->machine->sql_run = run;
    projection->machine->sql_context = context;
    cairn_err err = machine_run(projection->machine, apply_work, &call, 0, error);
    projection->machine->sql_run = NULL;
    return err;
}

/* What a script finds: the harmless part of Lua's base library, and our own.
 *
 * Scripts see the globals through an empty table whose metatable leads to the real ones. While a module is loaded,
 * assigning makes a global; afterwards it is an error, so that nothing is carried from one call to the next by
 * accident. Libraries are shown in the same way, read-only from the beginning. */
#include "sandbox.h"

#include <math.h>

#include "module.h"
#include "values.h"

/* ---- text of values */

void
sandbox_tostring(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TNUMBER:
    case LUA_TSTRING: luaL_tolstring(L, index, NULL); return;
    case LUA_TLIGHTUSERDATA: lua_pushliteral(L, "null"); return;
    default: break;
    }
    if (luaL_callmeta(L, index, "__tostring")) {
        if (!lua_isstring(L, -1))
            machine_error(L, "'__tostring' must return a string");
        return;
    }
    lua_pushstring(L, luaL_typename(L, index));
}

static int
base_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    sandbox_tostring(L, 1);
    return 1;
}

static int
base_tonumber(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING) {
        machine_charge(L, lua_rawlen(L, 1) / 8);
        if (lua_rawlen(L, 1) > 400) { /* no number is that long */
            luaL_pushfail(L);
            return 1;
        }
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

/* ---- protected calls that let a stopped call go */

static int
finish_pcall(lua_State *L, int status, lua_KContext extra)
{
    if (status != LUA_OK && status != LUA_YIELD) {
        machine_rethrow(L, status);
        lua_pushboolean(L, 0);
        lua_pushvalue(L, -2);
        return 2;
    }
    return lua_gettop(L) - (int)extra;
}

static int
base_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    machine_charge(L, 10);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_pcall);
    return finish_pcall(L, status, 0);
}

static int
guarded_handler(lua_State *L)
{
    if (machine_of(L)->stop != STOP_NONE)
        return 1;
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int
base_xpcall(lua_State *L)
{
    int count = lua_gettop(L);
    machine_charge(L, 10);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, guarded_handler, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2);
    int status = lua_pcallk(L, count - 2, LUA_MULTRET, 2, 2, finish_pcall);
    return finish_pcall(L, status, 2);
}

/* ---- metatables and raw access */

static int
base_getmetatable(lua_State *L)
{
    luaL_checkany(L, 1);
    if (!lua_getmetatable(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    luaL_getmetafield(L, 1, "__metatable");
    return 1;
}

/* Garbage collection must not be seen: when it happens is no part of a decision. */
static void
refuse_collecting(lua_State *L, int meta)
{
    static const char *const names[] = {"__gc", "__mode"};
    for (int i = 0; i < 2; i++) {
        lua_pushstring(L, names[i]);
        if (lua_rawget(L, meta) != LUA_TNIL)
            machine_error(L, "a metatable with '%s': scripts cannot see when memory is collected", names[i]);
        lua_pop(L, 1);
    }
}

static int
base_setmetatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL && !value_is_array(L, 1))
        return machine_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    if (lua_istable(L, 2))
        refuse_collecting(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

/* Shown only: a library, the globals, a view. */
static bool
is_read_only(lua_State *L, int index)
{
    bool is = luaL_getmetafield(L, index, "__metatable") == LUA_TBOOLEAN;
    if (lua_gettop(L) > 0 && is)
        lua_pop(L, 1);
    return is;
}

static int
base_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    if (is_read_only(L, 1))
        return machine_error(L, "this table may not be changed");
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 1;
}

static int
base_rawget(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    bool view = view_open_at(L, 1);
    lua_rawget(L, 1);
    if (view)
        view_push(L, -1);
    return 1;
}

static int
base_rawlen(lua_State *L)
{
    luaL_argexpected(L, lua_istable(L, 1) || lua_type(L, 1) == LUA_TSTRING, 1, "table or string");
    view_open_at(L, 1);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 1));
    return 1;
}

/* ---- ours */

static int
our_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1))
        lua_newtable(L);
    else
        luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL && !value_is_array(L, 1))
        return machine_error(L, "this table may not be changed");
    lua_settop(L, 1);
    value_mark_array(L, 1);
    return 1;
}

static int
our_reject(lua_State *L)
{
    struct lua_machine *machine = machine_of(L);
    if (!machine->deciding)
        return machine_error(L, "reject() belongs into decide");
    size_t code_size, message_size;
    const char *code = luaL_checklstring(L, 1, &code_size);
    const char *message = luaL_optlstring(L, 2, "", &message_size);
    buf_clear(&machine->code);
    buf_clear(&machine->message);
    buf_clear(&machine->details);
    if (code_size == 0 || code_size > 128)
        return machine_error(L, "reject(): the code has 1 to 128 bytes");
    buf_put(&machine->code, code, code_size);
    buf_put(&machine->message, message, message_size);
    if (!lua_isnoneornil(L, 3))
        value_put(L, 3, &machine->details, "reject's details", machine->limits.output_max);
    if (machine->code.failed || machine->message.failed)
        machine_stop(L, STOP_MEMORY, CAIRN_E_NOMEM, "out of memory");
    machine_stop(L, STOP_REJECT, CAIRN_E_REJECTED, "");
}

static int
json_encode(lua_State *L)
{
    struct lua_machine *machine = machine_of(L);
    luaL_checkany(L, 1);
    buf_clear(&machine->scratch);
    value_put(L, 1, &machine->scratch, "json.encode", machine->limits.output_max);
    machine_charge(L, machine->scratch.size / 4);
    lua_pushlstring(L, machine->scratch.data, machine->scratch.size);
    return 1;
}

static int
json_decode(lua_State *L)
{
    cairn_str text;
    text.data = luaL_checklstring(L, 1, &text.size);
    machine_charge(L, text.size / 4);
    value_push_text(L, text, "json.decode");
    return 1;
}

static int
refuse_write(lua_State *L)
{
    return machine_error(L, "'%s' may not be changed", lua_tostring(L, lua_upvalueindex(1)));
}

void
sandbox_read_only(lua_State *L, const char *name)
{
    lua_newtable(L);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, name);
    lua_pushcclosure(L, refuse_write, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_replace(L, -2);
}

/* ---- globals */

static int
refuse_global(lua_State *L)
{
    return machine_error(L,
                      "global '%s' would be carried from this call to the next: make it local, or put it into the "
                      "state by way of an event",
                      lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

void
sandbox_freeze(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_getmetatable(L, -1);
    lua_pushcfunction(L, refuse_global);
    lua_setfield(L, -2, "__newindex");
    lua_pop(L, 2);
}

/* From the table at `from` into the one on the top. */
static void
copy_names(lua_State *L, int from, const char *const *names)
{
    for (; *names; names++) {
        lua_getfield(L, from, *names);
        lua_setfield(L, -2, *names);
    }
}

static void
put_library(lua_State *L, int globals, const char *name)
{
    sandbox_read_only(L, name);
    lua_setfield(L, globals, name);
}

static void
open_base(lua_State *L, int globals)
{
    static const char *const kept[] = {"assert", "error", "ipairs", "rawequal", "select", "type", "_VERSION", NULL};
    static const luaL_Reg own[] = {
        {"tostring", base_tostring}, {"pcall", base_pcall}, {"xpcall", base_xpcall},
        {"getmetatable", base_getmetatable}, {"setmetatable", base_setmetatable}, {"rawget", base_rawget},
        {"rawset", base_rawset}, {"rawlen", base_rawlen}, {"require", module_require}, {"array", our_array},
        {"reject", our_reject}, {NULL, NULL}};
    luaL_requiref(L, "_G", luaopen_base, 0);
    int base = lua_gettop(L);
    lua_pushvalue(L, globals);
    copy_names(L, base, kept);
    luaL_setfuncs(L, own, 0);
    lua_getfield(L, base, "tonumber");
    lua_pushcclosure(L, base_tonumber, 1);
    lua_setfield(L, -2, "tonumber");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    sandbox_walks(L);
    lua_settop(L, base - 1);
}

static void
open_math(lua_State *L, int globals)
{
    luaL_requiref(L, "math", luaopen_math, 0);
    static const char *const gone[] = {"random", "randomseed"};
    for (int i = 0; i < 2; i++) {
        lua_pushnil(L);
        lua_setfield(L, -2, gone[i]);
    }
    put_library(L, globals, "math");
}

/* Functions that walk a whole string in C: charged before. */
static int
charged_by_size(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING)
        machine_charge(L, lua_rawlen(L, 1) / 8);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int
utf8_codepoint(lua_State *L)
{
    lua_Integer from = luaL_optinteger(L, 2, 1), to = luaL_optinteger(L, 3, from);
    lua_Integer size = (lua_Integer)lua_rawlen(L, 1);
    if ((to < 0 ? size + to : to) - (from < 0 ? size + from : from) > 8000)
        return machine_error(L, "more than 8000 bytes at once");
    return charged_by_size(L);
}

static void
open_utf8(lua_State *L, int globals)
{
    static const struct { const char *name; lua_CFunction call; } charged[] = {
        {"len", charged_by_size}, {"offset", charged_by_size}, {"codepoint", utf8_codepoint}};
    luaL_requiref(L, "utf8", luaopen_utf8, 0);
    for (size_t i = 0; i < sizeof charged / sizeof charged[0]; i++) {
        lua_getfield(L, -1, charged[i].name);
        lua_pushcclosure(L, charged[i].call, 1);
        lua_setfield(L, -2, charged[i].name);
    }
    put_library(L, globals, "utf8");
}

/* As much of `debug` as the Error class of compiled TypeScript asks for: a stack that ends at once. */
static int
debug_getinfo(lua_State *L)
{
    if (lua_isinteger(L, 1) && lua_tointeger(L, 1) <= 3)
        lua_newtable(L);
    else
        lua_pushnil(L);
    return 1;
}

static int
debug_traceback(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_isnil(L, 1))
        lua_pushliteral(L, "");
    return 1;
}

static void
open_debug(lua_State *L, int globals)
{
    static const luaL_Reg functions[] = {{"getinfo", debug_getinfo}, {"traceback", debug_traceback}, {NULL, NULL}};
    luaL_newlib(L, functions);
    put_library(L, globals, "debug");
}

static void
open_json(lua_State *L, int globals)
{
    static const luaL_Reg functions[] = {{"encode", json_encode}, {"decode", json_decode}, {NULL, NULL}};
    luaL_newlib(L, functions);
    put_library(L, globals, "json");
}

/* The globals that scripts see: an empty table in front of the real ones. */
static void
show_globals(lua_State *L, int globals)
{
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, globals, "_G");
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, globals);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, globals);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

int
sandbox_open(lua_State *L)
{
    struct lua_machine *machine = machine_of(L);
    lua_settop(L, 0);
    lua_newtable(L);
    machine->loaded_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    lua_pushliteral(L, "array");
    lua_setfield(L, -2, "__metatable");
    machine->array_meta = lua_topointer(L, -1);
    machine->array_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    view_open(L);
    facts_open(L);

    lua_newtable(L);
    open_base(L, 1);
    open_math(L, 1);
    open_json(L, 1);
    open_debug(L, 1);
    sandbox_strings(L);
    put_library(L, 1, "string");
    sandbox_tables(L);
    put_library(L, 1, "table");
    sandbox_coroutines(L);
    put_library(L, 1, "coroutine");
    open_utf8(L, 1);
    show_globals(L, 1);
    lua_pushnil(L); /* what luaL_requiref remembered */
    lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    return 0;
}

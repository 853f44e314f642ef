/* Read-only views: what decide() gets of a state, so that it cannot change it.
 *
 * A view is an empty table with a metatable; the table that it shows is at a key that scripts have no way to name. Tables
 * inside are shown by views of their own, made when they are looked at and kept beside the state (weakly), so that a
 * state that stays in memory has its views made once, and `state.items == state.items` holds. evolve() gets the state
 * itself and pays nothing.
 *
 * The other ways would be: copying the state (slow for large ones), comparing it before and after (the same, and late),
 * trusting (a decision would then depend on what was decided before it in this process). */
#include "sandbox.h"

static char behind; /* its address is the key */

/* The table behind the view at the index, pushed. */
static void
push_behind(lua_State *L, int index)
{
    if (lua_rawgetp(L, index, &behind) != LUA_TTABLE)
        machine_error(L, "not a view");
}

void
view_push(lua_State *L, int index)
{
    struct lua_machine *machine = machine_of(L);
    index = lua_absindex(L, index);
    if (lua_type(L, index) != LUA_TTABLE) {
        lua_pushvalue(L, index);
        return;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, machine->views_ref);
    lua_pushvalue(L, index);
    if (lua_rawget(L, -2) == LUA_TTABLE) {
        lua_remove(L, -2);
        return;
    }
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, index);
    lua_rawsetp(L, -2, &behind);
    lua_rawgeti(L, LUA_REGISTRYINDEX, machine->view_ref);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, index);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
    lua_remove(L, -2);
}

bool
view_open_at(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index))
        return false;
    bool is = lua_topointer(L, -1) == machine_of(L)->view_meta;
    lua_pop(L, 1);
    if (is) {
        push_behind(L, index);
        lua_replace(L, index);
    }
    return is;
}

static int
view_index(lua_State *L)
{
    push_behind(L, 1);
    lua_pushvalue(L, 2);
    if (lua_gettable(L, -2) == LUA_TTABLE)
        view_push(L, -1);
    return 1;
}

static int
view_newindex(lua_State *L)
{
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    return machine_error(L, "decide may not change the state (%s%s%s): return an event, and change it in evolve",
                      key ? "'" : luaL_typename(L, 2), key ? key : "", key ? "'" : "");
}

static int
view_len(lua_State *L)
{
    push_behind(L, 1);
    lua_len(L, -1);
    return 1;
}

void
view_open(lua_State *L)
{
    struct lua_machine *machine = machine_of(L);
    static const luaL_Reg functions[] = {
        {"__index", view_index}, {"__newindex", view_newindex}, {"__len", view_len}, {NULL, NULL}};
    luaL_newlib(L, functions);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    machine->view_meta = lua_topointer(L, -1);
    machine->view_ref = luaL_ref(L, LUA_REGISTRYINDEX);

    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    machine->views_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

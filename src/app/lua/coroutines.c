/* Coroutines: as in Lua 5.4, under the budgets of the call that resumes them. What ends the call ends them. */
#include "sandbox.h"

static lua_State *
coroutine_at(lua_State *L, int index)
{
    lua_State *co = lua_tothread(L, index);
    luaL_argexpected(L, co, index, "coroutine");
    return co;
}

/* Resume with the `count` values on the top of L; the values or the error message take their place. -1: it failed. */
static int
resume(lua_State *L, lua_State *co, int count)
{
    int results = 0;
    if (!lua_checkstack(co, count)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    if (lua_gethookcount(co) != lua_gethookcount(L)) /* setting it begins the count anew */
        lua_sethook(co, lua_gethook(L), LUA_MASKCOUNT, lua_gethookcount(L));
    machine_charge(L, 10);
    lua_xmove(L, co, count);
    int status = lua_resume(co, L, count, &results);
    if (status == LUA_OK || status == LUA_YIELD) {
        if (!lua_checkstack(L, results + 1)) {
            lua_pop(co, results);
            lua_pushliteral(L, "too many results to resume");
            return -1;
        }
        lua_xmove(co, L, results);
        return results;
    }
    machine_rethrow(L, status);
    lua_xmove(co, L, 1);
    return -1;
}

static int
coroutine_resume(lua_State *L)
{
    int results = resume(L, coroutine_at(L, 1), lua_gettop(L) - 1);
    lua_pushboolean(L, results >= 0);
    lua_insert(L, results >= 0 ? -(results + 1) : -2);
    return results >= 0 ? results + 1 : 2;
}

static int
wrapped(lua_State *L)
{
    int results = resume(L, coroutine_at(L, lua_upvalueindex(1)), lua_gettop(L));
    if (results < 0)
        return lua_error(L);
    return results;
}

static int
coroutine_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int
coroutine_wrap(lua_State *L)
{
    coroutine_create(L);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

static int
coroutine_yield(lua_State *L)
{
    return lua_yield(L, lua_gettop(L));
}

static const char *
status_of(lua_State *L, lua_State *co)
{
    lua_Debug at;
    if (L == co)
        return "running";
    switch (lua_status(co)) {
    case LUA_YIELD: return "suspended";
    case LUA_OK: return lua_getstack(co, 0, &at) ? "normal" : lua_gettop(co) == 0 ? "dead" : "suspended";
    default: return "dead";
    }
}

static int
coroutine_status(lua_State *L)
{
    lua_pushstring(L, status_of(L, coroutine_at(L, 1)));
    return 1;
}

static int
coroutine_isyieldable(lua_State *L)
{
    lua_pushboolean(L, lua_isyieldable(lua_isnone(L, 1) ? L : coroutine_at(L, 1)));
    return 1;
}

static int
coroutine_running(lua_State *L)
{
    lua_pushboolean(L, lua_pushthread(L));
    return 2;
}

static int
coroutine_close(lua_State *L)
{
    lua_State *co = coroutine_at(L, 1);
    const char *status = status_of(L, co);
    if (strcmp(status, "dead") != 0 && strcmp(status, "suspended") != 0)
        return machine_error(L, "cannot close a %s coroutine", status);
    int closed = lua_resetthread(co);
    lua_pushboolean(L, closed == LUA_OK);
    if (closed == LUA_OK)
        return 1;
    machine_rethrow(L, closed);
    lua_xmove(co, L, 1);
    return 2;
}

void
sandbox_coroutines(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"create", coroutine_create}, {"resume", coroutine_resume}, {"wrap", coroutine_wrap},
        {"yield", coroutine_yield}, {"status", coroutine_status}, {"isyieldable", coroutine_isyieldable},
        {"running", coroutine_running}, {"close", coroutine_close}, {NULL, NULL}};
    luaL_newlib(L, functions);
}

/* The string library. */
#include "sandbox.h"

void
sandbox_strings(lua_State *L)
{
    luaL_requiref(L, "string", luaopen_string, 0);
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
}

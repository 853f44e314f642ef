/* The table library. */
#include "sandbox.h"

void
sandbox_tables(lua_State *L)
{
    luaL_requiref(L, "table", luaopen_table, 0);
}

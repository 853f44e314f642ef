/* The table library: as in Lua 5.4, with the work charged, and a sort whose result depends on nothing but its input (Lua's
 * own picks pivots by the clock): a stable merge sort, which an order function that contradicts itself cannot harm. */
#include "sandbox.h"

#include "values.h"

#define SPREAD_MAX 8000 /* values that one call may return */

static lua_Integer
length_of(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    return luaL_len(L, index);
}

/* How many there are from `from` to `to`, charged. */
static lua_Unsigned
charge_range(lua_State *L, lua_Integer from, lua_Integer to)
{
    if (from > to)
        return 0;
    lua_Unsigned count = (lua_Unsigned)to - (lua_Unsigned)from + 1;
    machine_charge(L, count ? count : SIZE_MAX);
    return count;
}

static void
shift(lua_State *L, lua_Integer to, lua_Integer from)
{
    lua_geti(L, 1, from);
    lua_seti(L, 1, to);
}

static int
table_insert(lua_State *L)
{
    lua_Integer end = (lua_Integer)((lua_Unsigned)length_of(L, 1) + 1), at = end;
    switch (lua_gettop(L)) {
    case 2: break;
    case 3:
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, (lua_Unsigned)at - 1 < (lua_Unsigned)end, 2, "position out of bounds");
        charge_range(L, at, end);
        for (lua_Integer i = end; i > at; i--)
            shift(L, i, i - 1);
        break;
    default: return machine_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, at);
    return 0;
}

static int
table_remove(lua_State *L)
{
    lua_Integer size = length_of(L, 1), at = luaL_optinteger(L, 2, size);
    if (at != size)
        luaL_argcheck(L, (lua_Unsigned)at - 1 <= (lua_Unsigned)size, 2, "position out of bounds");
    charge_range(L, at, size);
    lua_geti(L, 1, at);
    for (; at < size; at++)
        shift(L, at, at + 1);
    lua_pushnil(L);
    lua_seti(L, 1, at);
    return 1;
}

static int
table_concat(lua_State *L)
{
    lua_Integer last = length_of(L, 1);
    size_t between_size;
    const char *between = luaL_optlstring(L, 2, "", &between_size);
    lua_Integer at = luaL_optinteger(L, 3, 1);
    last = luaL_optinteger(L, 4, last);
    luaL_Buffer to;
    luaL_buffinit(L, &to);
    for (bool more = at <= last; more; at++) {
        machine_charge(L, 1);
        lua_geti(L, 1, at);
        if (!lua_isstring(L, -1))
            return machine_error(L, "invalid value (%s at index %d) in table for 'concat'", luaL_typename(L, -1),
                                 (int)at);
        luaL_addvalue(&to);
        more = at < last;
        if (more)
            luaL_addlstring(&to, between, between_size);
    }
    luaL_pushresult(&to);
    return 1;
}

static int
table_unpack(lua_State *L)
{
    lua_Integer from = luaL_optinteger(L, 2, 1);
    lua_Integer to = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
    if (from > to)
        return 0;
    lua_Unsigned count = (lua_Unsigned)to - (lua_Unsigned)from + 1;
    if (count == 0 || count > SPREAD_MAX)
        return machine_error(L, "too many results to unpack: at most %d", SPREAD_MAX);
    luaL_checkstack(L, (int)count, NULL);
    machine_charge(L, count);
    for (lua_Unsigned i = 0; i < count; i++)
        lua_geti(L, 1, (lua_Integer)((lua_Unsigned)from + i));
    return (int)count;
}

static int
table_pack(lua_State *L)
{
    int count = lua_gettop(L);
    lua_createtable(L, count, 1);
    lua_insert(L, 1);
    for (int i = count; i >= 1; i--)
        lua_seti(L, 1, i);
    lua_pushinteger(L, count);
    lua_setfield(L, 1, "n");
    return 1;
}

static int
table_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), to = luaL_checkinteger(L, 4);
    int target = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, target, LUA_TTABLE);
    lua_Integer count = (lua_Integer)charge_range(L, from, last);
    if (count > 0) {
        luaL_argcheck(L, to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
        bool forwards = to > last || to <= from || (target != 1 && !lua_compare(L, 1, target, LUA_OPEQ));
        for (lua_Integer i = 0; i < count; i++) {
            lua_Integer at = forwards ? i : count - 1 - i;
            lua_geti(L, 1, from + at);
            lua_seti(L, target, to + at);
        }
    }
    lua_pushvalue(L, target);
    return 1;
}

/* ---- sort */

enum { SORT_TABLE = 1, SORT_LESS, SORT_VALUES };

/* Is values[a] < values[b]? */
static bool
sort_less(lua_State *L, uint32_t a, uint32_t b)
{
    machine_charge(L, 2);
    bool asked = !lua_isnil(L, SORT_LESS), less;
    if (asked)
        lua_pushvalue(L, SORT_LESS);
    lua_rawgeti(L, SORT_VALUES, (lua_Integer)a + 1);
    lua_rawgeti(L, SORT_VALUES, (lua_Integer)b + 1);
    if (asked) {
        lua_call(L, 2, 1);
        less = lua_toboolean(L, -1);
        lua_pop(L, 1);
    } else {
        less = lua_compare(L, -2, -1, LUA_OPLT);
        lua_pop(L, 2);
    }
    return less;
}

static void
merge(lua_State *L, const uint32_t *from, uint32_t *to, size_t left, size_t middle, size_t right)
{
    size_t a = left, b = middle;
    for (size_t i = left; i < right; i++) {
        bool take_right = a == middle || (b < right && sort_less(L, from[b], from[a]));
        to[i] = take_right ? from[b++] : from[a++];
    }
}

static int
table_sort(lua_State *L)
{
    lua_Integer length = length_of(L, 1);
    if (length < 2)
        return 0;
    luaL_argcheck(L, length < INT32_MAX / 2, 1, "array too big");
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    size_t count = (size_t)length;
    machine_charge(L, count);
    lua_createtable(L, (int)count, 0);
    for (lua_Integer i = 1; i <= length; i++) {
        lua_geti(L, SORT_TABLE, i);
        lua_rawseti(L, SORT_VALUES, i);
    }
    uint32_t *order = lua_newuserdatauv(L, 2 * count * sizeof *order, 0), *spare = order + count;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t left = 0; left < count; left += 2 * run) {
            size_t middle = left + run < count ? left + run : count;
            size_t right = left + 2 * run < count ? left + 2 * run : count;
            merge(L, order, spare, left, middle, right);
        }
        uint32_t *sorted = spare;
        spare = order;
        order = sorted;
    }
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(L, SORT_VALUES, (lua_Integer)order[i - 1] + 1);
        lua_seti(L, SORT_TABLE, i);
    }
    return 0;
}

void
sandbox_tables(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"insert", table_insert}, {"remove", table_remove}, {"concat", table_concat}, {"unpack", table_unpack},
        {"pack", table_pack}, {"move", table_move}, {"sort", table_sort}, {NULL, NULL}};
    luaL_newlib(L, functions);
}

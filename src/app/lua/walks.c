/* pairs and next in an order that is the same everywhere.
 *
 * Lua walks a table in the order of its hash, and the hash of strings has a seed of its own in every state: the same
 * decision could give its events in another order tomorrow. Here the order is: false, true, null, numbers by value,
 * strings by bytes. Other keys (tables, functions) have nothing to order them by and are an error.
 *
 * pairs looks at the keys once, at the beginning: keys that are removed meanwhile are left out, new ones do not show. */
#include <stdlib.h>

#include "sandbox.h"

enum kind { KEY_FALSE, KEY_TRUE, KEY_NULL, KEY_NUMBER, KEY_STRING };

struct key {
    enum kind kind;
    bool integer;
    union {
        lua_Integer whole;
        lua_Number number;
        cairn_str text;
    };
};

/* The key at the index; strings stay where they are. */
static struct key
key_at(lua_State *L, int index)
{
    struct key key = {.kind = KEY_NULL};
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN: key.kind = lua_toboolean(L, index) ? KEY_TRUE : KEY_FALSE; break;
    case LUA_TLIGHTUSERDATA: break;
    case LUA_TNUMBER:
        key.kind = KEY_NUMBER;
        key.integer = lua_isinteger(L, index);
        if (key.integer)
            key.whole = lua_tointeger(L, index);
        else
            key.number = lua_tonumber(L, index);
        break;
    case LUA_TSTRING:
        key.kind = KEY_STRING;
        key.text.data = lua_tolstring(L, index, &key.text.size);
        break;
    default:
        machine_error(L, "a %s as a key has no order that is the same everywhere: pairs cannot walk such a table",
                   luaL_typename(L, index));
    }
    return key;
}

static void
push_key(lua_State *L, const struct key *key)
{
    switch (key->kind) {
    case KEY_FALSE:
    case KEY_TRUE: lua_pushboolean(L, key->kind == KEY_TRUE); break;
    case KEY_NULL: lua_pushlightuserdata(L, NULL); break;
    case KEY_NUMBER:
        if (key->integer)
            lua_pushinteger(L, key->whole);
        else
            lua_pushnumber(L, key->number);
        break;
    case KEY_STRING: lua_pushlstring(L, key->text.data, key->text.size); break;
    }
}

/* Lua keeps no float that is whole as a key where it fits an integer, so a mixed pair is never near a tie. */
static int
compare_numbers(const struct key *a, const struct key *b)
{
    if (a->integer && b->integer)
        return (a->whole > b->whole) - (a->whole < b->whole);
    lua_Number left = a->integer ? (lua_Number)a->whole : a->number;
    lua_Number right = b->integer ? (lua_Number)b->whole : b->number;
    return (left > right) - (left < right);
}

static int
compare(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == KEY_NUMBER)
        return compare_numbers(a, b);
    if (a->kind != KEY_STRING)
        return 0;
    return cairn_str_order(a->text, b->text);
}

/* ---- next */

/* The table that is really there, at `index`; true: its tables are to be shown as views. */
static bool
real_table(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    if (view_open_at(L, index))
        return true;
    facts_complete(L, index);
    return false;
}

static int
walk_next(lua_State *L)
{
    lua_settop(L, 2);
    bool view = real_table(L, 1), bounded = !lua_isnil(L, 2), found = false;
    struct key after = bounded ? key_at(L, 2) : (struct key){.kind = KEY_FALSE}, best = after;
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        struct key key = key_at(L, -2);
        count++;
        if ((bounded && compare(&key, &after) <= 0) || (found && compare(&key, &best) >= 0))
            continue;
        best = key;
        found = true;
    }
    machine_charge(L, 1 + count / 2);
    if (!found) {
        lua_pushnil(L);
        return 1;
    }
    push_key(L, &best);
    lua_pushvalue(L, -1);
    lua_rawget(L, 1);
    if (view)
        view_push(L, -1);
    else
        lua_pushvalue(L, -1);
    lua_remove(L, -2);
    return 2;
}

/* ---- pairs */

enum { UP_TABLE = 1, UP_KEYS, UP_AT, UP_VIEW, UP_COUNT = UP_VIEW };

static int
pairs_step(lua_State *L)
{
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(UP_AT));
    bool listed = lua_istable(L, lua_upvalueindex(UP_KEYS));
    lua_Integer count = listed ? 0 : lua_tointeger(L, lua_upvalueindex(UP_KEYS));
    lua_settop(L, 0);
    for (;;) {
        at++;
        if (listed) {
            if (lua_rawgeti(L, lua_upvalueindex(UP_KEYS), at) == LUA_TNIL)
                return 1;
        } else if (at > count) {
            return 0;
        } else {
            lua_pushinteger(L, at);
        }
        lua_pushvalue(L, -1);
        if (lua_rawget(L, lua_upvalueindex(UP_TABLE)) != LUA_TNIL)
            break;
        lua_settop(L, 0);
        machine_charge(L, 1);
    }
    lua_pushinteger(L, at);
    lua_replace(L, lua_upvalueindex(UP_AT));
    if (lua_toboolean(L, lua_upvalueindex(UP_VIEW))) {
        view_push(L, -1);
        lua_remove(L, 2);
    }
    return 2;
}

/* The keys of the table at 1 in order, pushed as a list; or their number, when they are 1 … n and found so. */
static void
push_keys(lua_State *L)
{
    lua_Integer count = 0;
    bool in_order = true;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        count++;
        in_order = in_order && lua_isinteger(L, -2) && lua_tointeger(L, -2) == count;
    }
    machine_charge(L, 1 + (size_t)count / 2);
    if (in_order) {
        lua_pushinteger(L, count);
        return;
    }
    struct key *keys = lua_newuserdatauv(L, (size_t)count * sizeof *keys, 0);
    lua_Integer found = 0;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1))
        keys[found++] = key_at(L, -2);
    machine_charge(L, (size_t)count);
    qsort(keys, (size_t)found, sizeof *keys, compare);
    lua_createtable(L, (int)found, 0);
    for (lua_Integer i = 0; i < found; i++) {
        push_key(L, &keys[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_remove(L, -2);
}

static int
walk_pairs(lua_State *L)
{
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 3);
        return 3;
    }
    lua_settop(L, 1);
    bool view = real_table(L, 1);
    lua_pushvalue(L, 1);
    push_keys(L);
    lua_pushinteger(L, 0);
    lua_pushboolean(L, view);
    lua_pushcclosure(L, pairs_step, UP_COUNT);
    lua_pushnil(L);
    lua_pushnil(L);
    return 3;
}

void
sandbox_walks(lua_State *L)
{
    static const luaL_Reg functions[] = {{"pairs", walk_pairs}, {"next", walk_next}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}

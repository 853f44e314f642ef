/* The string library: as in Lua 5.4, with the work of each function charged to the budget and nothing in it that depends on
 * the machine: no addresses, no locale, no native sizes (pack), no bytecode (dump). */
#include "pattern.h"
#include "sandbox.h"

#define SPREAD_MAX 8000 /* values that one call may return */

/* ---- find, match, gmatch, gsub */

/* 1-based, from the end when negative → an offset that may be one past the end; false: beyond. */
static bool
offset_of(lua_Integer position, size_t size, size_t *ret)
{
    if (position > 0)
        *ret = (size_t)position - 1;
    else if (position == 0 || position < -(lua_Integer)size)
        *ret = 0;
    else
        *ret = size + (size_t)position;
    return *ret <= size;
}

static bool
is_plain(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] && strchr("^$*+?.([%-", text[i]))
            return false;
    return true;
}

static int
find_or_match(lua_State *L, bool find)
{
    size_t size, pattern_size, from;
    const char *subject = luaL_checklstring(L, 1, &size);
    const char *text = luaL_checklstring(L, 2, &pattern_size);
    if (!offset_of(luaL_optinteger(L, 3, 1), size, &from)) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || (pattern_size < 64 && is_plain(text, pattern_size)))) {
        machine_charge(L, (size - from) / 16);
        const char *found = pattern_size ? memmem(subject + from, size - from, text, pattern_size) : subject + from;
        if (!found) {
            lua_pushnil(L);
            return 1;
        }
        lua_pushinteger(L, found - subject + 1);
        lua_pushinteger(L, found - subject + (lua_Integer)pattern_size);
        return 2;
    }
    struct pattern *pattern = pattern_push(L, (cairn_str){text, pattern_size}, true);
    struct pattern_match match = {.L = L, .pattern = pattern, .from = subject, .end = subject + size};
    for (const char *at = subject + from; at <= match.end; at++) {
        const char *end = pattern_match(&match, at);
        if (end) {
            pattern_done(&match);
            if (!find)
                return pattern_push_captures(&match, at, end);
            lua_pushinteger(L, at - subject + 1);
            lua_pushinteger(L, end - subject);
            return 2 + (match.level ? pattern_push_captures(&match, at, end) : 0);
        }
        if (pattern_anchored(pattern))
            break;
    }
    pattern_done(&match);
    lua_pushnil(L);
    return 1;
}

static int string_find(lua_State *L) { return find_or_match(L, true); }
static int string_match(lua_State *L) { return find_or_match(L, false); }

enum { UP_SUBJECT = 1, UP_PATTERN, UP_FROM, UP_LAST };

static int
gmatch_step(lua_State *L)
{
    size_t size;
    const char *subject = lua_tolstring(L, lua_upvalueindex(UP_SUBJECT), &size);
    struct pattern_match match = {.L = L, .pattern = lua_touserdata(L, lua_upvalueindex(UP_PATTERN)),
                                  .from = subject, .end = subject + size};
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(UP_LAST));
    for (const char *at = subject + lua_tointeger(L, lua_upvalueindex(UP_FROM)); at <= match.end; at++) {
        const char *end = pattern_match(&match, at);
        if (!end || end - subject == last)
            continue;
        pattern_done(&match);
        lua_pushinteger(L, end - subject);
        lua_pushvalue(L, -1);
        lua_replace(L, lua_upvalueindex(UP_FROM));
        lua_replace(L, lua_upvalueindex(UP_LAST));
        return pattern_push_captures(&match, at, end);
    }
    lua_pushinteger(L, (lua_Integer)size + 1);
    lua_replace(L, lua_upvalueindex(UP_FROM));
    pattern_done(&match);
    return 0;
}

static int
string_gmatch(lua_State *L)
{
    size_t size, pattern_size, from;
    luaL_checklstring(L, 1, &size);
    const char *text = luaL_checklstring(L, 2, &pattern_size);
    if (!offset_of(luaL_optinteger(L, 3, 1), size, &from))
        from = size + 1;
    lua_settop(L, 2);
    pattern_push(L, (cairn_str){text, pattern_size}, false);
    lua_replace(L, 2);
    lua_pushinteger(L, (lua_Integer)from);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_step, 4);
    return 1;
}

/* The replacement string with its %1. */
static void
add_template(struct pattern_match *match, luaL_Buffer *to, const char *at, const char *end)
{
    lua_State *L = match->L;
    size_t size;
    const char *text = lua_tolstring(L, 3, &size), *text_end = text + size, *escape;
    match->steps += size / 16;
    for (; (escape = memchr(text, '%', (size_t)(text_end - text))) != NULL; text = escape + 2) {
        luaL_addlstring(to, text, (size_t)(escape - text));
        char c = escape + 1 < text_end ? escape[1] : 0;
        if (c == '%') {
            luaL_addchar(to, '%');
        } else if (c == '0') {
            luaL_addlstring(to, at, (size_t)(end - at));
        } else if (c >= '1' && c <= '9') {
            pattern_push_capture(match, c - '1', at, end);
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
            luaL_addvalue(to);
        } else {
            machine_error(L, "invalid use of '%%' in replacement string");
        }
    }
    luaL_addlstring(to, text, (size_t)(text_end - text));
}

static void
add_replacement(struct pattern_match *match, luaL_Buffer *to, const char *at, const char *end)
{
    lua_State *L = match->L;
    switch (lua_type(L, 3)) {
    case LUA_TFUNCTION:
        lua_pushvalue(L, 3);
        lua_call(L, pattern_push_captures(match, at, end), 1);
        break;
    case LUA_TTABLE:
        pattern_push_capture(match, 0, at, end);
        lua_gettable(L, 3);
        break;
    default: add_template(match, to, at, end); return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(to, at, (size_t)(end - at));
    } else if (!lua_isstring(L, -1)) {
        machine_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    } else {
        luaL_addvalue(to);
    }
}

static int
string_gsub(lua_State *L)
{
    size_t size, pattern_size;
    const char *subject = luaL_checklstring(L, 1, &size);
    const char *text = luaL_checklstring(L, 2, &pattern_size);
    int type = lua_type(L, 3);
    luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
                     "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)size + 1), count = 0;
    lua_settop(L, 3);
    if (type == LUA_TNUMBER)
        lua_tostring(L, 3);
    struct pattern *pattern = pattern_push(L, (cairn_str){text, pattern_size}, true);
    struct pattern_match match = {.L = L, .pattern = pattern, .from = subject, .end = subject + size};
    luaL_Buffer to;
    luaL_buffinit(L, &to);
    const char *at = subject, *last = NULL;
    while (count < most) {
        const char *end = pattern_match(&match, at);
        if (end && end != last) {
            count++;
            add_replacement(&match, &to, at, end);
            at = last = end;
        } else if (at < match.end) {
            luaL_addchar(&to, *at++);
        } else {
            break;
        }
        if (pattern_anchored(pattern))
            break;
    }
    pattern_done(&match);
    luaL_addlstring(&to, at, (size_t)(match.end - at));
    luaL_pushresult(&to);
    lua_pushinteger(L, count);
    return 2;
}

/* ---- the rest */

static int
string_rep(lua_State *L)
{
    size_t size, between_size, whole;
    const char *text = luaL_checklstring(L, 1, &size);
    lua_Integer count = luaL_checkinteger(L, 2);
    const char *between = luaL_optlstring(L, 3, "", &between_size);
    if (count <= 0 || size + between_size == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (__builtin_mul_overflow((size_t)count, size + between_size, &whole) || whole > LUA_STRING_MAX + between_size)
        return machine_error(L, "resulting string too large");
    machine_charge(L, whole / 32);
    luaL_Buffer to;
    luaL_buffinit(L, &to);
    for (lua_Integer i = 0; i < count; i++) {
        luaL_addlstring(&to, text, size);
        if (i + 1 < count)
            luaL_addlstring(&to, between, between_size);
    }
    luaL_pushresult(&to);
    return 1;
}

static int
string_byte(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    lua_Integer from = luaL_optinteger(L, 2, 1), to = luaL_optinteger(L, 3, from), length = (lua_Integer)size;
    from = from > 0 ? from : from == 0 || from < -length ? 1 : length + from + 1;
    to = to > length ? length : to < -length ? 0 : to < 0 ? length + to + 1 : to;
    if (from > to)
        return 0;
    if (to - from >= SPREAD_MAX)
        return machine_error(L, "more than %d bytes at once", SPREAD_MAX);
    luaL_checkstack(L, (int)(to - from) + 1, NULL);
    for (lua_Integer i = from; i <= to; i++)
        lua_pushinteger(L, (unsigned char)text[i - 1]);
    return (int)(to - from) + 1;
}

static int
change_case(lua_State *L, char first)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    luaL_Buffer to;
    char *at = luaL_buffinitsize(L, &to, size);
    machine_charge(L, size / 16);
    for (size_t i = 0; i < size; i++)
        at[i] = (char)(text[i] >= first && text[i] <= first + 25 ? text[i] ^ 32 : text[i]);
    luaL_pushresultsize(&to, size);
    return 1;
}

static int string_lower(lua_State *L) { return change_case(L, 'A'); }
static int string_upper(lua_State *L) { return change_case(L, 'a'); }

/* Lua's own, after %s has been given texts without addresses. */
static int
string_format(lua_State *L)
{
    size_t size;
    const char *at = luaL_checklstring(L, 1, &size), *end = at + size;
    machine_charge(L, 1 + size / 8);
    for (int arg = 2; at < end; at++) {
        if (*at != '%')
            continue;
        if (++at < end && *at == '%')
            continue;
        while (at < end && (strchr("-+ #0.", *at) ? *at != 0 : *at >= '1' && *at <= '9'))
            at++;
        if (at < end && *at == 'p')
            return machine_error(L, "'%%p' would show an address");
        if (at < end && *at == 's' && arg <= lua_gettop(L) && !lua_isstring(L, arg)) {
            sandbox_tostring(L, arg);
            lua_replace(L, arg);
        }
        arg++;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

void
sandbox_strings(lua_State *L)
{
    static const luaL_Reg own[] = {
        {"find", string_find}, {"match", string_match}, {"gmatch", string_gmatch}, {"gsub", string_gsub},
        {"rep", string_rep}, {"byte", string_byte}, {"lower", string_lower}, {"upper", string_upper}, {NULL, NULL}};
    static const char *const gone[] = {"dump", "pack", "packsize", "unpack"};
    luaL_requiref(L, "string", luaopen_string, 0);
    luaL_setfuncs(L, own, 0);
    lua_getfield(L, -1, "format");
    lua_pushcclosure(L, string_format, 1);
    lua_setfield(L, -2, "format");
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        lua_pushnil(L);
        lua_setfield(L, -2, gone[i]);
    }
    lua_pushliteral(L, ""); /* strings' metatable is theirs to use and not to change */
    lua_getmetatable(L, -1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

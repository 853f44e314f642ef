/* JSON to Lua and back, straight between text and stack.
 *
 * Reading goes over checked text once and never looks back: members are pushed, and a table of the right size is made
 * of them when its end is reached. Writing never calls the script's code (raw access only), so what is written is
 * what the tables hold. Both recurse at most JSON_DEPTH_MAX deep. */
#include "values.h"

#include <base/error.h>
#include <base/text.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sandbox.h"

/* ---- JSON → Lua */

struct reader {
    lua_State *L;
    struct lua_machine *machine;
    const char *at, *end;
};

static inline void
skip_white(struct reader *reader)
{
    while (reader->at < reader->end && (uint8_t)*reader->at <= ' ')
        reader->at++;
}

/* From the opening quote to behind the closing one. */
static void
push_string(struct reader *reader)
{
    const char *from = reader->at + 1, *at = from, *end = reader->end;
    bool escaped = false;
    for (; at < end && *at != '"'; at++)
        if (*at == '\\') {
            escaped = true;
            at++;
        }
    reader->at = at < end ? at + 1 : end;
    if (!escaped) {
        lua_pushlstring(reader->L, from, (size_t)(at - from));
        return;
    }
    struct json value = {JSON_STRING, {from - 1, (size_t)(reader->at - from) + 1}};
    cairn_str text = json_string(value, &reader->machine->arena);
    if (!text.data)
        machine_error(reader->L, "a string with half of a surrogate pair in it");
    lua_pushlstring(reader->L, text.data, text.size);
}

static void
push_number(struct reader *reader)
{
    const char *from = reader->at, *at = from, *end = reader->end;
    lua_Integer whole = 0;
    bool negative = *at == '-';
    at += negative;
    const char *digits = at;
    while (at < end && *at >= '0' && *at <= '9')
        whole = (lua_Integer)((lua_Unsigned)whole * 10 + (lua_Unsigned)(*at++ - '0'));
    bool plain = at - digits <= 18;
    while (at < end && (uint8_t)*at > ' ' && *at != ',' && *at != ']' && *at != '}') {
        plain = false;
        at++;
    }
    reader->at = at;
    if (plain) {
        lua_pushinteger(reader->L, negative ? -whole : whole);
        return;
    }
    struct json value = {JSON_NUMBER, {from, (size_t)(at - from)}};
    int64_t integer;
    double number;
    if (json_i64(value, &integer))
        lua_pushinteger(reader->L, integer);
    else if (json_double(value, &number))
        lua_pushnumber(reader->L, number);
    else
        machine_error(reader->L, "the number %s is too large", lua_pushlstring(reader->L, from, (size_t)(at - from < 40 ? at - from : 40)));
}

/* Items are collected on the stack so far, then move into a table. */
#define BATCH 32

static void push_value(struct reader *reader);

/* Set the `count` items above the table (at `table`, or not yet made) as [first], [first + 1], … */
static void
move_items(lua_State *L, int table, int count, lua_Integer first)
{
    for (int i = count; i > 0; i--)
        lua_rawseti(L, table, first + i - 1);
}

static void
push_array(struct reader *reader)
{
    lua_State *L = reader->L;
    luaL_checkstack(L, BATCH + 8, "nested too deep");
    int table = 0, count = 0;
    lua_Integer done = 0;
    reader->at++;
    for (;;) {
        skip_white(reader);
        bool over = *reader->at == ']';
        if (over || count == BATCH) {
            if (!table) {
                lua_createtable(L, over ? count : 4 * BATCH, 0);
                lua_insert(L, -count - 1);
                table = lua_absindex(L, -count - 1);
            }
            move_items(L, table, count, done + 1);
            done += count;
            count = 0;
            if (over)
                break;
        }
        if (*reader->at == ',') {
            reader->at++;
            skip_white(reader);
        }
        push_value(reader);
        if (lua_isnil(L, -1)) { /* nulls = "nil" is about members; a hole would end an array */
            lua_pop(L, 1);
            lua_pushlightuserdata(L, NULL);
        }
        count++;
    }
    reader->at++;
    lua_rawgeti(L, LUA_REGISTRYINDEX, reader->machine->array_ref);
    lua_setmetatable(L, table);
}

/* Set the `count` pairs on the top. Of a name that comes twice the first one counts: so the last pair is set first, and
 * what an earlier batch has set stays. */
static void
move_members(lua_State *L, int table, int count, bool first_batch)
{
    if (first_batch) {
        for (int i = count; i > 0; i--)
            lua_rawset(L, table);
        return;
    }
    int first = lua_gettop(L) - 2 * count + 1;
    for (int at = first; at < first + 2 * count; at += 2) {
        lua_pushvalue(L, at);
        if (lua_rawget(L, table) == LUA_TNIL) {
            lua_pushvalue(L, at);
            lua_pushvalue(L, at + 1);
            lua_rawset(L, table);
        }
        lua_pop(L, 1);
    }
    lua_settop(L, first - 1);
}

static void
push_object(struct reader *reader)
{
    lua_State *L = reader->L;
    luaL_checkstack(L, 2 * BATCH + 8, "nested too deep");
    int table = 0, count = 0;
    bool first_batch = true;
    reader->at++;
    for (;;) {
        skip_white(reader);
        bool over = *reader->at == '}';
        if (over || count == BATCH) {
            if (!table) {
                lua_createtable(L, 0, over ? count : 2 * BATCH);
                lua_insert(L, -2 * count - 1);
                table = lua_absindex(L, -2 * count - 1);
            }
            move_members(L, table, count, first_batch);
            first_batch = false;
            count = 0;
            if (over)
                break;
        }
        if (*reader->at == ',') {
            reader->at++;
            skip_white(reader);
        }
        push_string(reader);
        skip_white(reader);
        reader->at++; /* the colon */
        skip_white(reader);
        push_value(reader);
        count++;
    }
    reader->at++;
}

static void
push_value(struct reader *reader)
{
    switch (*reader->at) {
    case '{': push_object(reader); break;
    case '[': push_array(reader); break;
    case '"': push_string(reader); break;
    case 't':
        lua_pushboolean(reader->L, 1);
        reader->at += 4;
        break;
    case 'f':
        lua_pushboolean(reader->L, 0);
        reader->at += 5;
        break;
    case 'n':
        if (reader->machine->null_is_nil)
            lua_pushnil(reader->L);
        else
            lua_pushlightuserdata(reader->L, NULL);
        reader->at += 4;
        break;
    default: push_number(reader);
    }
}

void
value_push(lua_State *L, struct json value)
{
    struct reader reader = {L, machine_of(L), value.raw.data, value.raw.data + value.raw.size};
    luaL_checkstack(L, 8, NULL);
    push_value(&reader);
}

void
value_push_text(lua_State *L, cairn_str text, const char *what)
{
    struct json value;
    cairn_error error;
    if (json_check(text, &value, &error) != CAIRN_OK)
        machine_error(L, "%s is no JSON: %s", what, error.detail);
    value_push(L, value);
}

/* ---- Lua → JSON */

struct writer {
    lua_State *L;
    struct lua_machine *machine;
    struct buf *to;
    size_t size_max;
    const char *what;
    int depth;
    struct level {
        const void *table;
        cairn_str name;    /* of the member being written */
        lua_Integer index; /* or of the item */
    } levels[JSON_DEPTH_MAX];
};

static _Noreturn void
refuse(struct writer *writer, const char *why)
{
    luaL_Buffer place;
    lua_State *L = writer->L;
    luaL_buffinit(L, &place);
    luaL_addstring(&place, writer->what);
    for (int i = 0; i < writer->depth && i < 8; i++) {
        const struct level *level = &writer->levels[i];
        char index[32];
        if (level->name.data) {
            luaL_addchar(&place, '.');
            luaL_addlstring(&place, level->name.data, level->name.size < 40 ? level->name.size : 40);
        } else if (level->index) {
            snprintf(index, sizeof index, "[%lld]", (long long)level->index);
            luaL_addstring(&place, index);
        }
    }
    luaL_pushresult(&place);
    machine_error(L, "%s: %s", lua_tostring(L, -1), why);
}

static void
check_size(struct writer *writer)
{
    if (writer->to->failed)
        machine_stop(writer->L, STOP_MEMORY, CAIRN_E_NOMEM, "out of memory");
    if (writer->to->size > writer->size_max) {
        char why[80];
        snprintf(why, sizeof why, "larger than %zu bytes as JSON", writer->size_max);
        writer->depth = 0;
        refuse(writer, why);
    }
}

static int
compare_keys(const void *left, const void *right)
{
    cairn_str a = ((const struct lua_key *)left)->text, b = ((const struct lua_key *)right)->text;
    return cairn_str_order(a, b);
}

void
value_sort_keys(struct lua_key *keys, size_t count)
{
    if (count > 24) {
        qsort(keys, count, sizeof *keys, compare_keys);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        struct lua_key key = keys[i];
        size_t j = i;
        for (; j > 0 && compare_keys(&keys[j - 1], &key) > 0; j--)
            keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

static bool
add_key(struct lua_machine *machine, cairn_str text)
{
    if (machine->key_count == machine->key_capacity) {
        size_t capacity = machine->key_capacity ? machine->key_capacity * 2 : 64;
        struct lua_key *keys = realloc(machine->keys, capacity * sizeof *keys);
        if (!keys)
            return false;
        machine->keys = keys;
        machine->key_capacity = capacity;
    }
    machine->keys[machine->key_count++] = (struct lua_key){text};
    return true;
}

static void put_value(struct writer *writer, int index);

static void
put_text(struct writer *writer, cairn_str text)
{
    if (!utf8_valid(text))
        refuse(writer, "a string that is not UTF-8");
    json_put_string(writer->to, text);
    check_size(writer);
}

static void
put_array(struct writer *writer, int table, lua_Integer length, bool marked)
{
    lua_State *L = writer->L;
    lua_Integer count = 0;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (!lua_isinteger(L, -2))
            refuse(writer, marked ? "an array with a name in it" : "a table with both [1] and names");
        lua_Integer at = lua_tointeger(L, -2);
        if (at < 1)
            refuse(writer, "an array with an index below 1");
        length = at > length ? at : length;
        count++;
    }
    if (count != length)
        refuse(writer, "an array with a hole (put null there, or use tostring(key) for an object)");
    struct level *level = &writer->levels[writer->depth - 1];
    buf_put_char(writer->to, '[');
    for (lua_Integer i = 1; i <= count; i++) {
        if (i > 1)
            buf_put_char(writer->to, ',');
        level->index = i;
        lua_rawgeti(L, table, i);
        put_value(writer, lua_gettop(L));
        lua_pop(L, 1);
    }
    buf_put_char(writer->to, ']');
}

static void
put_object(struct writer *writer, int table)
{
    lua_State *L = writer->L;
    struct lua_machine *machine = writer->machine;
    struct level *level = &writer->levels[writer->depth - 1];
    size_t first = machine->key_count;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            refuse(writer, lua_type(L, -2) == LUA_TNUMBER
                               ? "a number as a key, and no [1]: an object's names are strings (tostring(key))"
                               : "a key that is no string");
        cairn_str key;
        key.data = lua_tolstring(L, -2, &key.size);
        if (!add_key(machine, key))
            machine_stop(L, STOP_MEMORY, CAIRN_E_NOMEM, "out of memory");
    }
    size_t count = machine->key_count - first;
    if (count > 1)
        value_sort_keys(machine->keys + first, count);
    buf_put_char(writer->to, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_char(writer->to, ',');
        cairn_str name = machine->keys[first + i].text; /* `keys` may move: levels below add theirs */
        level->name = name;
        put_text(writer, name);
        buf_put_char(writer->to, ':');
        lua_pushlstring(L, name.data, name.size);
        lua_rawget(L, table);
        put_value(writer, lua_gettop(L));
        lua_pop(L, 1);
    }
    buf_put_char(writer->to, '}');
    machine->key_count = first;
}

static void
put_table(struct writer *writer, int index)
{
    lua_State *L = writer->L;
    struct lua_machine *machine = writer->machine;
    luaL_checkstack(L, 8, "nested too deep");
    machine_charge(L, 4); /* also looks at the clock: an emptied table may be slow to walk */
    bool marked = false, pushed = false;
    if (lua_getmetatable(L, index)) {
        const void *meta = lua_topointer(L, -1);
        lua_pop(L, 1);
        if (meta == machine->view_meta) {
            lua_pushvalue(L, index);
            view_open_at(L, -1);
            index = lua_gettop(L);
            pushed = true;
            marked = value_is_array(L, index);
        } else if (meta == machine->fact_meta) {
            refuse(writer, "an event or command as it was given: take what is needed out of it");
        } else {
            marked = meta == machine->array_meta;
        }
    }
    const void *table = lua_topointer(L, index);
    for (int i = 0; i < writer->depth; i++)
        if (writer->levels[i].table == table)
            refuse(writer, "a table that contains itself");
    if (writer->depth == JSON_DEPTH_MAX)
        refuse(writer, "nested deeper than 128");
    writer->levels[writer->depth++] = (struct level){table, {NULL, 0}, 0};
    lua_Integer length = (lua_Integer)lua_rawlen(L, index);
    if (length == 0 && !marked) {
        put_object(writer, index);
    } else {
        bool first = marked;
        if (!first) {
            first = lua_rawgeti(L, index, 1) != LUA_TNIL;
            lua_pop(L, 1);
        }
        if (first)
            put_array(writer, index, length, marked);
        else
            put_object(writer, index);
    }
    writer->depth--;
    if (pushed)
        lua_pop(L, 1);
}

static void
put_value(struct writer *writer, int index)
{
    lua_State *L = writer->L;
    struct buf *to = writer->to;
    switch (lua_type(L, index)) {
    case LUA_TTABLE: put_table(writer, index); break;
    case LUA_TSTRING: {
        cairn_str text;
        text.data = lua_tolstring(L, index, &text.size);
        put_text(writer, text);
        return;
    }
    case LUA_TBOOLEAN: buf_put_str(to, lua_toboolean(L, index) ? CAIRN_STR("true") : CAIRN_STR("false")); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            json_put_i64(to, lua_tointeger(L, index));
            break;
        }
        if (!isfinite(lua_tonumber(L, index)))
            refuse(writer, isnan(lua_tonumber(L, index)) ? "NaN is no JSON number" : "infinity is no JSON number");
        if (lua_tonumber(L, index) == 0) /* also -0.0, which would be read back as 0 */
            buf_put_char(to, '0');
        else
            json_put_double(to, lua_tonumber(L, index));
        break;
    case LUA_TLIGHTUSERDATA:
    case LUA_TNIL: buf_put_str(to, CAIRN_STR("null")); break;
    default: {
        char why[64];
        snprintf(why, sizeof why, "a %s has no JSON", lua_typename(L, lua_type(L, index)));
        refuse(writer, why);
    }
    }
    check_size(writer);
}

void
value_put(lua_State *L, int index, struct buf *to, const char *what, size_t size_max)
{
    struct lua_machine *machine = machine_of(L);
    struct writer writer; /* levels are filled in as they are entered */
    writer.L = L;
    writer.machine = machine;
    writer.to = to;
    writer.size_max = size_max;
    writer.what = what;
    writer.depth = 0;
    put_value(&writer, lua_absindex(L, index));
}

void
value_mark_array(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    lua_rawgeti(L, LUA_REGISTRYINDEX, machine_of(L)->array_ref);
    lua_setmetatable(L, index);
}

bool
value_is_array(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index))
        return false;
    bool is = lua_topointer(L, -1) == machine_of(L)->array_meta;
    lua_pop(L, 1);
    return is;
}

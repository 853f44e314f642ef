/* app/lua/values.h: JSON ↔ Lua values. The room's own.
 *
 *   null         the light userdata NULL (`null` in scripts); or nil, where the module says nulls = "nil"
 *   true, false  booleans
 *   numbers      integers where the number is whole and fits 64 bits ("1.0" is 1), else floats
 *   strings      strings; a lone surrogate is an error
 *   arrays       tables 1…n with the array metatable, so that an empty one stays one
 *   objects      tables; of a name that comes twice the first one counts, as everywhere in Cairn
 *
 * Back: a table is an array when it has the metatable or a [1]. Names are written in the order of their bytes, so
 * that the same value is the same text everywhere. Refused, with the place in the value: NaN and infinity, functions,
 * mixed tables, holes, tables that contain themselves, invalid UTF-8, more than 128 levels, more than size_max. */
#ifndef APP_LUA_VALUES_H
#define APP_LUA_VALUES_H

#include "machine.h"

/* Inside a call. Push a checked value. */
void value_push(lua_State *L, struct json value);
/* Check and push; the error says "what: at byte 3: …". */
void value_push_text(lua_State *L, cairn_str text, const char *what);

/* Append the value at the index to the buffer, which may grow to size_max. `what` begins the place in messages
 * ("event.data"). */
void value_put(lua_State *L, int index, struct buf *to, const char *what, size_t size_max);

/* Give the table at the index the array metatable. */
void value_mark_array(lua_State *L, int index);
bool value_is_array(lua_State *L, int index);

/* Sort keys by their bytes. */
void value_sort_keys(struct lua_key *keys, size_t count);

#endif

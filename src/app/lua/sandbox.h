/* app/lua/sandbox.h: what a script sees. The room's own. */
#ifndef APP_LUA_SANDBOX_H
#define APP_LUA_SANDBOX_H

#include "machine.h"

/* A work function of machine_run: fills a new state. */
int sandbox_open(lua_State *L);

/* Push the value's text as `tostring` gives it: never an address. */
void sandbox_tostring(lua_State *L, int index);

/* After the module has run: assigning to globals is an error from now on. Work within a call. */
void sandbox_freeze(lua_State *L);

/* What the parts of the sandbox put into the table on the top. */
void sandbox_strings(lua_State *L); /* strings.c */
void sandbox_tables(lua_State *L);  /* tables.c */
void sandbox_walks(lua_State *L);   /* walks.c: pairs, next, ipairs */
void sandbox_coroutines(lua_State *L);

/* A table that scripts may read and not change, in front of the one on the top; replaces it. */
void sandbox_read_only(lua_State *L, const char *name);

/* ---- read-only views of a state (view.c) */
void view_open(lua_State *L);
/* Push the value at the index, behind a view when it is a table. */
void view_push(lua_State *L, int index);
/* The table behind the view at the index takes its place; false: it is no view. */
bool view_open_at(lua_State *L, int index);

/* ---- event and command (facts.c) */
void facts_open(lua_State *L);
/* Push the table of the call's event or command, whose `data` is on the top; takes data away. */
void facts_push(lua_State *L, const struct lua_facts *facts);
/* Fill in every member of the fact table at the index. */
void facts_complete(lua_State *L, int index);

#endif

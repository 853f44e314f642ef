/* app/lua/module.h: an app's Lua files, and running one of them in a machine. The room's own.
 *
 * `require "name"` finds name.lua beside the main file, then from the app's root; dots are folders. A module never
 * changes after it is made; any number of machines may use it. */
#ifndef APP_LUA_MODULE_H
#define APP_LUA_MODULE_H

#include "machine.h"

struct lua_module {
    cairn_app_file *files; /* by path; texts owned */
    size_t count;
    const cairn_app_file *main;
    char *bytes;           /* that the strings lie in */
    char fingerprint[65];
};

/* Copies the sources, and the main file when it is not among them. */
CAIRN_MUST_CHECK cairn_err module_make(cairn_str main_path, const struct lua_sources *sources,
                                       struct lua_module **ret, cairn_error *error);
void module_free(struct lua_module *module);

/* Inside a call: run the main file and push what it returns (a `default` member, as TypeScript's `export default`
 * makes it, takes its place), then freeze the globals. */
void module_push(lua_State *L);

/* The global `require`. */
int module_require(lua_State *L);

#endif

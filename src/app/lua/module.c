/* An app's Lua files: kept, found by require, run once a machine. */
#include "module.h"

#include <base/error.h>
#include <base/hash.h>
#include <stdio.h>
#include <stdlib.h>

#include "sandbox.h"

#define FORM "1" /* changes whenever this room runs the same source differently */

static int
compare_paths(const void *left, const void *right)
{
    cairn_str a = ((const cairn_app_file *)left)->path, b = ((const cairn_app_file *)right)->path;
    return cairn_str_order(a, b);
}

static bool
is_lua(cairn_str path)
{
    return path.size > 4 && memcmp(path.data + path.size - 4, ".lua", 4) == 0;
}

static cairn_str
keep(char **at, cairn_str text)
{
    char *to = *at;
    if (text.size)
        memcpy(to, text.data, text.size);
    to[text.size] = 0;
    *at += text.size + 1;
    return (cairn_str){to, text.size};
}

static void
fingerprint(struct lua_module *module)
{
    cairn_str pieces[2] = {CAIRN_STR(FORM), {(const char *)NULL, 0}};
    uint8_t hash[32];
    sha256_pieces(pieces, 1, hash);
    for (size_t i = 0; i < module->count; i++) {
        uint8_t each[96];
        memcpy(each, hash, 32);
        sha256(module->files[i].path.data, module->files[i].path.size, each + 32);
        sha256(module->files[i].text.data, module->files[i].text.size, each + 64);
        sha256(each, sizeof each, hash);
    }
    for (int i = 0; i < 32; i++)
        snprintf(module->fingerprint + 2 * i, 3, "%02x", hash[i]);
}

cairn_err
module_make(cairn_str main_path, const struct lua_sources *sources, struct lua_module **ret, cairn_error *error)
{
    size_t count = 0, size = 1;
    for (size_t i = 0; i < sources->count; i++)
        if (is_lua(sources->files[i].path)) {
            count++;
            size += sources->files[i].path.size + sources->files[i].text.size + 2;
        }
    struct lua_module *module = calloc(1, sizeof *module);
    if (module) {
        module->files = calloc(count + 1, sizeof *module->files);
        module->bytes = malloc(size);
    }
    if (!module || !module->files || !module->bytes) {
        module_free(module);
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    char *at = module->bytes;
    for (size_t i = 0; i < sources->count; i++)
        if (is_lua(sources->files[i].path)) {
            cairn_app_file *file = &module->files[module->count++];
            file->path = keep(&at, sources->files[i].path);
            file->text = keep(&at, sources->files[i].text);
        }
    qsort(module->files, module->count, sizeof *module->files, compare_paths);
    for (size_t i = 0; i < module->count; i++)
        if (cairn_str_equal(module->files[i].path, main_path))
            module->main = &module->files[i];
    if (!module->main) {
        module_free(module);
        return error_set(error, CAIRN_E_INVALID, "there is no file '%.*s'", (int)main_path.size, main_path.data);
    }
    fingerprint(module);
    *ret = module;
    return CAIRN_OK;
}

void
module_free(struct lua_module *module)
{
    if (!module)
        return;
    free(module->files);
    free(module->bytes);
    free(module);
}

/* ---- running */

/* Hands a source over in pieces: what a piece costs is charged before the next, so that a source that is slow to
 * compile meets the budget. */
struct piece_reader {
    cairn_str left;
};

static const char *
next_piece(lua_State *L, void *context, size_t *ret_size)
{
    struct piece_reader *reader = context;
    size_t size = reader->left.size < 1024 ? reader->left.size : 1024;
    const char *piece = reader->left.data;
    machine_charge(L, size);
    reader->left.data += size;
    reader->left.size -= size;
    *ret_size = size;
    return size ? piece : NULL;
}

/* Compile a file and run it; one value is pushed. */
static void
run_file(lua_State *L, const cairn_app_file *file)
{
    struct piece_reader reader = {file->text};
    luaL_checkstack(L, 8, NULL);
    lua_pushfstring(L, "@%s", file->path.data);
    int status = lua_load(L, next_piece, &reader, lua_tostring(L, -1), "t");
    lua_remove(L, -2);
    if (status != LUA_OK) {
        machine_rethrow(L, status);
        const char *text = lua_tostring(L, -1);
        if (text && strncmp(text, file->path.data, file->path.size) != 0)
            lua_pushfstring(L, "%s: %s", file->path.data, text);
        lua_error(L);
    }
    lua_pushlstring(L, file->path.data, file->path.size);
    lua_call(L, 1, 1);
}

static const cairn_app_file *
find_path(const struct lua_module *module, const char *path, size_t size)
{
    for (size_t i = 0; i < module->count; i++)
        if (cairn_str_equal(module->files[i].path, (cairn_str){path, size}))
            return &module->files[i];
    return NULL;
}

/* name → folder/name.lua, then name.lua. */
static const cairn_app_file *
find_required(const struct lua_module *module, const char *name, size_t size)
{
    char path[512];
    cairn_str main = module->main->path;
    size_t folder = main.size;
    while (folder > 0 && main.data[folder - 1] != '/')
        folder--;
    if (folder + size + 5 > sizeof path || memchr(name, 0, size))
        return NULL;
    memcpy(path, main.data, folder);
    for (size_t i = 0; i < size; i++)
        path[folder + i] = name[i] == '.' ? '/' : name[i];
    memcpy(path + folder + size, ".lua", 5);
    const cairn_app_file *found = find_path(module, path, folder + size + 4);
    return found ? found : find_path(module, path + folder, size + 4);
}

int
module_require(lua_State *L)
{
    static char loading; /* its address marks a module that is under way */
    struct lua_machine *machine = machine_of(L);
    size_t size;
    const char *name = luaL_checklstring(L, 1, &size);
    lua_settop(L, 1);
    const cairn_app_file *file = find_required(machine->module, name, size);
    if (!file)
        return machine_error(L, "no module '%s': there is no %s.lua in the app", name, name);
    lua_rawgeti(L, LUA_REGISTRYINDEX, machine->loaded_ref);
    lua_pushlstring(L, file->path.data, file->path.size);
    if (lua_rawget(L, 2) != LUA_TNIL) {
        if (lua_touserdata(L, -1) == &loading)
            return machine_error(L, "module '%s' requires itself, perhaps by way of others", name);
        return 1;
    }
    lua_pushlstring(L, file->path.data, file->path.size);
    lua_pushlightuserdata(L, &loading);
    lua_rawset(L, 2);
    run_file(L, file);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_pushlstring(L, file->path.data, file->path.size);
    lua_pushvalue(L, -2);
    lua_rawset(L, 2);
    return 1;
}

void
module_push(lua_State *L)
{
    struct lua_machine *machine = machine_of(L);
    run_file(L, machine->module->main);
    if (lua_istable(L, -1)) {
        lua_pushliteral(L, "default");
        if (lua_rawget(L, -2) != LUA_TNIL)
            lua_replace(L, -2);
        else
            lua_pop(L, 1);
    }
    if (lua_istable(L, -1)) {
        lua_pushliteral(L, "nulls");
        lua_rawget(L, -2);
        if (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "nil") == 0)
            machine->null_is_nil = true;
        else if (!lua_isnil(L, -1))
            machine_error(L, "%s: `nulls` may be \"nil\" or left out", machine->module->main->path.data);
        lua_pop(L, 1);
    }
    sandbox_freeze(L);
    machine->loaded = true;
}

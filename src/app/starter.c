/* See starter.h. The assembler takes the files of templates/ in as they are (mk/starter.mk knows that they belong here);
 * "@APP@" in them stands for the app's name. */
#include <app/starter.h>

#include <app/bundle.h>
#include <app/lua/types_ts.h>
#include <app/manifest_int.h>
#include <base/error.h>

/* Bytes of a file, from NAME to NAME_end. Paths begin at the top of the checkout, where make runs. */
#define EMBED(name, path)                                                                                                  \
    __asm__(".pushsection .rodata\n"                                                                                       \
            ".hidden starter_" #name "\n.globl starter_" #name "\nstarter_" #name ":\n.incbin \"templates/" path "\"\n"    \
            ".hidden starter_" #name "_end\n.globl starter_" #name "_end\nstarter_" #name "_end:\n.byte 0\n.popsection\n"); \
    extern const char starter_##name[] __attribute__((visibility("hidden")));                                             \
    extern const char starter_##name##_end[] __attribute__((visibility("hidden")));

/* for which, the file below templates/, the path in the app */
#define FILES(X)                                                                        \
    X(BOTH, app_yaml, "orders/app.yaml", "app.yaml")                                    \
    X(BOTH, common, "orders/schemas/common.json", "schemas/common.json")                \
    X(BOTH, place_order, "orders/schemas/place_order.json", "schemas/place_order.json") \
    X(BOTH, order_placed, "orders/schemas/order_placed.json", "schemas/order_placed.json") \
    X(BOTH, projection, "orders/projections/orders.sql", "projections/orders.sql")      \
    X(BOTH, open_orders, "orders/queries/open_orders.sql", "queries/open_orders.sql")   \
    X(BOTH, order_query, "orders/queries/order.sql", "queries/order.sql")               \
    X(LUA, order_lua, "orders/order.lua", "order.lua")                                  \
    X(LUA, readme, "orders/README.md", "README.md")                                     \
    X(TYPESCRIPT, order_ts, "orders/src/order.ts", "src/order.ts")                      \
    X(TYPESCRIPT, readme_ts, "orders/README-typescript.md", "README.md")                \
    X(TYPESCRIPT, cairn_d_ts, "typescript/src/cairn.d.ts", "src/cairn.d.ts")            \
    X(TYPESCRIPT, tsconfig, "typescript/tsconfig.json", "tsconfig.json")                \
    X(TYPESCRIPT, package, "typescript/package.json", "package.json")

enum kind { BOTH, LUA, TYPESCRIPT };

#define FILE_EMBED(kind, name, path, as) EMBED(name, path)
FILES(FILE_EMBED)

static const struct starter_file {
    enum kind kind;
    const char *path, *begin, *end;
} starter_files[] = {
#define FILE_ROW(kind, name, path, as) {kind, as, starter_##name, starter_##name##_end},
    FILES(FILE_ROW)};

#define FILE_COUNT (sizeof starter_files / sizeof *starter_files)

static const char mark[] = "@APP@";

/* The text with the app's name in it. */
static cairn_str
named(cairn_str text, cairn_str name, struct arena *arena)
{
    struct buf out = {0};
    cairn_str made = text;
    size_t done = 0;
    const char *at;
    while ((at = memmem(text.data + done, text.size - done, mark, sizeof mark - 1))) {
        buf_put(&out, text.data + done, (size_t)(at - text.data) - done);
        buf_put_str(&out, name);
        done = (size_t)(at - text.data) + sizeof mark - 1;
    }
    if (done > 0) {
        buf_put(&out, text.data + done, text.size - done);
        made = out.failed ? (cairn_str){0} : arena_copy(arena, buf_str(&out));
    }
    buf_free(&out);
    return made;
}

cairn_err
app_starter(cairn_str name, bool typescript, struct arena *arena, const cairn_app_file **ret_files, size_t *ret_count,
            cairn_error *error)
{
    if (!manifest_plain_name_valid(name, true))
        return error_set(error, CAIRN_E_INVALID, "\"%.*s\" is no name for an app", (int)(name.size < 100 ? name.size : 100), name.data);
    cairn_app_file *files = arena_zalloc(arena, (FILE_COUNT + 1) * sizeof *files);
    if (!files)
        return error_set(error, CAIRN_E_NOMEM, "out of memory making an app");
    size_t count = 0;
    for (size_t i = 0; i < FILE_COUNT; i++) {
        const struct starter_file *file = &starter_files[i];
        if (file->kind != BOTH && file->kind != (typescript ? TYPESCRIPT : LUA))
            continue;
        files[count].path = cairn_cstr(file->path);
        files[count].text = named((cairn_str){file->begin, (size_t)(file->end - file->begin)}, name, arena);
        if (!files[count++].text.data)
            return error_set(error, CAIRN_E_NOMEM, "out of memory making an app");
    }
    if (typescript) {
        struct buf types = {0};
        cairn_err err = app_typescript(files, count, &types, error);
        files[count].path = CAIRN_STR(APP_TYPES_PATH);
        files[count].text = err == CAIRN_OK ? arena_copy(arena, buf_str(&types)) : (cairn_str){0};
        buf_free(&types);
        if (!files[count++].text.data)
            return err != CAIRN_OK ? err : error_set(error, CAIRN_E_NOMEM, "out of memory making an app");
    }
    bundle_sort(files, count);
    *ret_files = files;
    *ret_count = count;
    return CAIRN_OK;
}

cairn_err
app_typescript(const cairn_app_file *files, size_t count, struct buf *to, cairn_error *error)
{
    struct app_manifest *manifest;
    cairn_err err = manifest_read_types(files, count, &manifest, error);
    if (err != CAIRN_OK)
        return err;
    size_t used = 0;
    struct lua_type_source *sources = arena_zalloc(&manifest->arena, (manifest->command_count + manifest->event_count + 1) * sizeof *sources);
    for (size_t i = 0; sources && i < manifest->command_count; i++)
        sources[used++] = (struct lua_type_source){LUA_TYPE_COMMAND, manifest->commands[i].name, manifest->commands[i].schema_text};
    for (size_t i = 0; sources && i < manifest->event_count; i++)
        sources[used++] = (struct lua_type_source){LUA_TYPE_EVENT, manifest->events[i].type, manifest->events[i].schema_text};
    err = sources ? lua_typescript_types(manifest->name, sources, used, to, error)
                  : error_set(error, CAIRN_E_NOMEM, "out of memory making types");
    app_manifest_free(manifest);
    return err;
}

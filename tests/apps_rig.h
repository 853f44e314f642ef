/* apps_rig.h: the apps of a store in a temporary folder, through cairn/app.h, with a small app to play with:
 *
 *   shop   Add {item, n} to item-{item} → Added; Take {item, n} (permission shop.take; rejected "too_few") → Taken;
 *          the read model stock(item, n), the queries stock and item (permission shop.read; -- one) */
#ifndef TESTS_APPS_RIG_H
#define TESTS_APPS_RIG_H

#include <base/bytes.h>
#include <base/json.h>
#include <cairn/app.h>
#include <os/os.h>
#include <store/store.h>

#include "test.h"

#define RIG_FILES_MAX 300

struct apps_rig {
    char folder[64], models[80];
    cairn_options store_options;
    struct os *os; /* of the store; NULL: the machine's */
    cairn_apps_options options;
    cairn_store *store;
    cairn_apps *apps;
    /* Of the last call: */
    cairn_error error;
    cairn_deployed deployed;
    struct buf faults; /* "file:line: message\n" for each, warnings with a '?' before */
    struct buf out;
    uint64_t position;
    bool repeated;
    char code[64];
};

static inline void
rig_told(void *context, uint64_t end)
{
    struct apps_rig *rig = context;
    cairn_apps_committed(rig->apps, end);
}

static inline void
rig_start(struct apps_rig *rig)
{
    rig->store_options.create = true;
    if (rig->store_options.segment_size_bytes == 0)
        rig->store_options.segment_size_bytes = 64u << 20;
    snprintf(rig->models, sizeof rig->models, "%s/apps", rig->folder);
    rig->options.folder = rig->models;
    if (rig->options.workers == 0)
        rig->options.workers = 2;
    if (cairn_store_open_on(rig->os != NULL ? rig->os : os_real(), rig->folder, &rig->store_options, &rig->store, &rig->error) != CAIRN_OK)
        fail_msg("%s", rig->error.detail);
    if (cairn_apps_open(rig->store, &rig->options, &rig->apps, &rig->error) != CAIRN_OK)
        fail_msg("%s", rig->error.detail);
    cairn_on_commit(rig->store, rig_told, rig);
    cairn_apps_committed(rig->apps, cairn_end(rig->store));
}

static inline void
rig_stop(struct apps_rig *rig)
{
    cairn_on_commit(rig->store, NULL, NULL);
    cairn_apps_close(rig->apps);
    cairn_close(rig->store);
    rig->apps = NULL;
    rig->store = NULL;
}

static inline void
rig_restart(struct apps_rig *rig)
{
    rig_stop(rig);
    rig_start(rig);
}

static inline void
rig_begin(struct apps_rig *rig)
{
    test_folder(rig->folder);
    rig_start(rig);
}

static inline void
rig_end(struct apps_rig *rig)
{
    if (rig->store != NULL)
        rig_stop(rig);
    buf_free(&rig->faults);
    buf_free(&rig->out);
    test_remove(rig->folder);
}

/* What was handed out, as a C string. */
static inline const char *
rig_text(struct buf *buf)
{
    buf_put_char(buf, '\0');
    CHECK(!buf->failed);
    buf->size--;
    return buf->data;
}

static inline bool
rig_says(struct buf *buf, const char *part)
{
    bool says = strstr(rig_text(buf), part) != NULL;
    if (!says)
        printf("looked for %s in %.2000s\n", part, buf->data);
    return says;
}

/* ---- files ----------------------------------------------------------------------------------------------- */

struct rig_files {
    cairn_app_file files[RIG_FILES_MAX];
    size_t count;
};

/* Text NULL takes the file out. Both are borrowed. */
static inline void
rig_file(struct rig_files *files, const char *path, const char *text)
{
    size_t i = 0;
    while (i < files->count && !cairn_str_equal(files->files[i].path, cairn_cstr(path)))
        i++;
    assert_true(i < RIG_FILES_MAX);
    if (text != NULL) {
        files->files[i] = (cairn_app_file){cairn_cstr(path), cairn_cstr(text)};
        files->count += i == files->count;
    } else if (i < files->count) {
        files->files[i] = files->files[--files->count];
    }
}

#define RIG_SHOP_YAML                                                                                              \
    "app: shop\n"                                                                                                  \
    "title: Shop\n"                                                                                                \
    "deciders: {item: {lua: item.lua}}\n"                                                                          \
    "commands:\n"                                                                                                  \
    "  Add: {schema: schemas/change.json, stream: \"item-{item}\", description: Put some there.}\n"                \
    "  Take: {schema: schemas/change.json, stream: \"item-{item}\", permission: shop.take}\n"                      \
    "events:\n"                                                                                                    \
    "  Added: {schema: schemas/changed.json}\n"                                                                    \
    "  Taken: {schema: schemas/changed.json}\n"

static inline void
rig_shop(struct rig_files *files)
{
    files->count = 0;
    rig_file(files, "app.yaml", RIG_SHOP_YAML);
    rig_file(files, "item.lua",
             "local function change(state, event) state.n = state.n + event.data.n end\n"
             "return {\n"
             "  initial = {n = 0},\n"
             "  evolve = {Added = change, Taken = change},\n"
             "  decide = {\n"
             "    Add = function(state, command) return {type = \"Added\", data = {n = command.data.n}} end,\n"
             "    Take = function(state, command)\n"
             "      if state.n < command.data.n then return reject(\"too_few\", \"There are too few.\", {n = state.n}) end\n"
             "      return {type = \"Taken\", data = {n = -command.data.n}}\n"
             "    end,\n"
             "  },\n"
             "}\n");
    rig_file(files, "schemas/change.json",
             "{\"type\":\"object\",\"required\":[\"item\",\"n\"],\"additionalProperties\":false,"
             "\"properties\":{\"item\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":100},\"n\":{\"type\":\"integer\"}}}");
    rig_file(files, "schemas/changed.json",
             "{\"type\":\"object\",\"required\":[\"n\"],\"properties\":{\"n\":{\"type\":\"integer\"}}}");
    rig_file(files, "projections/stock.sql",
             "-- table\n"
             "CREATE TABLE stock (item TEXT PRIMARY KEY, n INTEGER NOT NULL);\n"
             "-- on Added, Taken\n"
             "INSERT INTO stock (item, n) VALUES (:stream_id, :data.n)\n"
             "  ON CONFLICT (item) DO UPDATE SET n = n + :data.n;\n");
    rig_file(files, "queries/stock.sql", "-- key item\n-- sort item\n-- limit 1000 max 1000\nSELECT item, n FROM stock\n");
    rig_file(files, "queries/item.sql",
             "-- param item text\n-- permission shop.read\n-- one\nSELECT item, n FROM stock WHERE item = :item\n");
}

/* ---- calls ------------------------------------------------------------------------------------------------- */

static inline void
rig_fault(void *context, const cairn_app_fault *fault)
{
    struct apps_rig *rig = context;
    buf_printf(&rig->faults, "%s%.*s:%u: %.*s\n", fault->warning ? "?" : "", (int)fault->file.size, fault->file.data, fault->line,
               (int)fault->message.size, fault->message.data);
}

static inline void
rig_clear(struct apps_rig *rig)
{
    buf_clear(&rig->faults);
    buf_clear(&rig->out);
    rig->error = (cairn_error){0};
    rig->deployed = (cairn_deployed){0};
    rig->code[0] = '\0';
}

static inline cairn_err
rig_deploy(struct apps_rig *rig, const struct rig_files *files, const cairn_deploy_options *options)
{
    rig_clear(rig);
    return cairn_app_deploy(rig->apps, files->files, files->count, options, rig_fault, rig, &rig->deployed, &rig->error);
}

/* Deploys, and shows the faults when it is refused. */
static inline void
rig_must_deploy(struct apps_rig *rig, const struct rig_files *files)
{
    if (rig_deploy(rig, files, NULL) != CAIRN_OK)
        fail_msg("%s\n%s", rig->error.detail, rig_text(&rig->faults));
}

static inline void
rig_over(void *context, cairn_err err, const cairn_outcome *outcome, const cairn_error *error)
{
    struct apps_rig *rig = context;
    (void)err, (void)error;
    rig->position = outcome->position;
    rig->repeated = outcome->repeated;
    snprintf(rig->code, sizeof rig->code, "%.*s", (int)outcome->code.size, outcome->code.size ? outcome->code.data : "");
}

static inline cairn_err
rig_command(struct apps_rig *rig, const char *app, const char *name, const char *data)
{
    const cairn_command command = {.app = cairn_cstr(app), .name = cairn_cstr(name), .data = cairn_cstr(data),
                                   .actor = CAIRN_STR("ann"), .deadline_ms = 60000};
    rig_clear(rig);
    return cairn_command_run(rig->apps, &command, rig_over, rig, &rig->error);
}

/* Rows into out, when the read models have reached the last command's position. */
static inline cairn_err
rig_query(struct apps_rig *rig, const char *app, const char *query, const cairn_app_param *params, size_t param_count)
{
    const cairn_app_query_request request = {.app = cairn_cstr(app), .query = cairn_cstr(query), .actor = CAIRN_STR("ann"),
                                             .params = params, .param_count = param_count, .has_after_position = true,
                                             .after_position = rig->position, .timeout_ms = 60000};
    rig_clear(rig);
    return cairn_app_query(rig->apps, &request, buf_sink, &rig->out, &rig->error);
}

/* A query's rows as text, without the position. */
static inline const char *
rig_rows(struct apps_rig *rig, const char *app, const char *query)
{
    if (rig_query(rig, app, query, NULL, 0) != CAIRN_OK)
        fail_msg("%s %s: %s", app, query, rig->error.detail);
    struct json rows = json_get(json_trusted(buf_str(&rig->out)), "rows");
    memmove(rig->out.data, rows.raw.data, rows.raw.size);
    rig->out.size = rows.raw.size;
    return rig_text(&rig->out);
}

static inline cairn_err
rig_describe(struct apps_rig *rig, const char *app)
{
    rig_clear(rig);
    return cairn_app_describe(rig->apps, cairn_cstr(app), buf_sink, &rig->out, &rig->error);
}

#endif

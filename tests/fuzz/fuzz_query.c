/* Any bytes as a query's file, or as a cursor or a parameter that a caller hands in. The first byte chooses:
 *
 *   c   the rest is a cursor        v   the rest is a parameter's text
 *   p   the rest is a filter: name, '=', value
 *   otherwise all of it is a file
 *
 * A file is parsed or refused with a fault. What is parsed describes itself as JSON and runs, within a small budget of
 * work, to an answer that is JSON or to an error with a reason; the read model stays as it was. */
#include "query_rig.h"

#define MUST(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct projection task = {
    .name = "board",
    .ddl = "CREATE TABLE task (id INTEGER PRIMARY KEY, title TEXT, due TEXT, points REAL, tags TEXT, body BLOB);"
           "CREATE INDEX by_due ON task (due); CREATE VIRTUAL TABLE finding USING fts5(body);",
    .tables = {"task", "finding"},
};
static struct projection *const TASK[] = {&task};

static struct query_cache *cache;
static struct model model = {.generation = 1};
static char folder[64], path[128];
static sqlite3 *writer;
static struct query *paged;

static void
take_away(void)
{
    query_cache_free(cache);
    query_free(paged);
    sqlite3_close(writer);
    test_remove(folder);
}

static void
make_ready(void)
{
    if (cache != NULL)
        return;
    test_folder(folder);
    snprintf(path, sizeof path, "%s/model.db", folder);
    model.path = path;
    MUST(sqlite3_open(path, &writer) == SQLITE_OK);
    MUST(sqlite3_exec(writer, "PRAGMA journal_mode = WAL", NULL, NULL, NULL) == SQLITE_OK);
    MUST(sqlite3_exec(writer, task.ddl, NULL, NULL, NULL) == SQLITE_OK);
    MUST(sqlite3_exec(writer, "INSERT INTO task VALUES (1, 'a', NULL, 1.5, '[1]', x'00'), (2, 'b', '2026', NULL, '{', NULL);"
                              "INSERT INTO finding VALUES ('the quick brown fox'), ('a lazy dog')", NULL, NULL, NULL) == SQLITE_OK);
    cache = query_cache_new();
    MUST(cache != NULL);
    MUST(query_parse(CAIRN_STR("paged.sql"),
                     CAIRN_STR("-- param words text = 'fox'\n-- param n integer?\n-- filter due, points\n-- sort due desc, points\n-- key id\n"
                               "SELECT * FROM task WHERE :n IS NULL OR EXISTS (SELECT 1 FROM finding WHERE finding MATCH :words)"),
                     TASK, 1, NULL, NULL, &paged, NULL) == CAIRN_OK);
    atexit(take_away);
}

static void
count_fault(void *context, const cairn_app_fault *fault)
{
    if (!fault->warning)
        ++*(size_t *)context;
    MUST(fault->message.size > 0);
}

static void
run(const struct query *query, cairn_str cursor, const cairn_app_param *params, size_t count)
{
    struct model *models[] = {&model};
    struct query_call call = {.models = models, .cursor = cursor, .params = params, .param_count = count, .steps_max = 20000,
                              .timeout_ms = 1000};
    struct buf to = {0};
    cairn_error error = {0};
    struct json value;
    int changes = sqlite3_total_changes(writer);
    cairn_err err = query_run(query, cache, &call, &to, &error);
    MUST(err != CAIRN_OK || (json_check(buf_str(&to), &value, NULL) == CAIRN_OK && value.type == JSON_OBJECT));
    MUST(err == CAIRN_OK || (to.size == 0 && error.detail[0] != 0 && error.code == err));
    MUST(sqlite3_total_changes(writer) == changes);
    buf_free(&to);
}

static void
parse_and_run(cairn_str text)
{
    struct query *query = NULL;
    size_t faults = 0;
    cairn_error error = {0};
    cairn_err err = query_parse(CAIRN_STR("queries/q.sql"), text, TASK, 1, count_fault, &faults, &query, &error);
    MUST(err == CAIRN_OK ? faults == 0 && query != NULL : faults > 0 && query == NULL);
    if (query == NULL)
        return;
    struct buf to = {0};
    struct json value;
    query_describe(query, &to);
    MUST(json_check(buf_str(&to), &value, NULL) == CAIRN_OK);
    buf_free(&to);
    run(query, (cairn_str){0}, NULL, 0);
    query_free(query);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    make_ready();
    cairn_str text = {(const char *)data, size}, rest = {(const char *)data + 1, size - 1};
    if (size > 0 && *data == 'c')
        run(paged, rest, NULL, 0);
    else if (size > 0 && *data == 'v')
        run(paged, (cairn_str){0}, (cairn_app_param[]){{CAIRN_STR("words"), rest}, {CAIRN_STR("n"), CAIRN_STR("1")}}, 2);
    else if (size > 0 && *data == 'p') {
        const char *equals = memchr(rest.data, '=', rest.size);
        cairn_str name = {rest.data, equals ? (size_t)(equals - rest.data) : rest.size};
        cairn_str value = {equals ? equals + 1 : NULL, equals ? rest.size - name.size - 1 : 0};
        run(paged, (cairn_str){0}, &(cairn_app_param){name, value}, 1);
    } else
        parse_and_run(text);
    return 0;
}

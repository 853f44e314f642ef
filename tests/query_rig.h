/* tests/query_rig.h: what the tests of queries share: projections that are only a name, tables and DDL, models over SQLite
 * files made here, and calls with their answers as text. */
#ifndef TESTS_QUERY_RIG_H
#define TESTS_QUERY_RIG_H

#include "test.h"

#include <app/sql/query.h>
#include <app/sql/sql_int.h>
#include <base/json.h>
#include <cairn/types.h>
#include <sqlite3.h>
#include <stdbool.h>

struct projection {
    const char *name, *ddl;
    const char *tables[8];
};

cairn_str projection_name(const struct projection *projection) { return cairn_cstr(projection->name); }
cairn_str projection_ddl(const struct projection *projection) { return cairn_cstr(projection->ddl); }
bool
projection_table(const struct projection *projection, size_t index, cairn_str *ret)
{
    if (index >= 8 || projection->tables[index] == NULL)
        return false;
    *ret = cairn_cstr(projection->tables[index]);
    return true;
}

/* ---- faults as text: "file:line: message (hint)\n", warnings with "warning: " in front of the message */

static char rig_faults[16384];

static inline void
rig_visit(void *context, const cairn_app_fault *fault)
{
    size_t size = strlen(rig_faults);
    (void)context;
    snprintf(rig_faults + size, sizeof rig_faults - size, "%.*s:%u: %s%.*s (%.*s)\n", (int)fault->file.size, fault->file.data,
             fault->line, fault->warning ? "warning: " : "", (int)fault->message.size, fault->message.data,
             (int)fault->hint.size, fault->hint.data);
}

static inline struct query *
rig_try(const char *text, struct projection *const *projections, size_t count)
{
    struct query *query = NULL;
    cairn_error error = {0};
    rig_faults[0] = 0;
    cairn_err err = query_parse(CAIRN_STR("queries/q.sql"), cairn_cstr(text), projections, count, rig_visit, NULL, &query,
                                &error);
    if (err != CAIRN_OK && err != CAIRN_E_INVALID)
        fail_msg("query_parse: %s: %s", cairn_err_name(err), error.detail);
    assert_int_equal(err == CAIRN_OK, query != NULL);
    return query;
}

static inline struct query *
rig_parse(const char *text, struct projection *const *projections, size_t count)
{
    struct query *query = rig_try(text, projections, count);
    if (query == NULL)
        fail_msg("%s", rig_faults);
    return query;
}

/* ---- models */

struct rig {
    char folder[64];
    sqlite3 *db; /* to write with */
    char path[128];
    struct model model;
    struct model *models[1];
    struct query_cache *cache;
    struct buf to;
    cairn_error error;
};

static inline void
rig_exec(sqlite3 *db, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
}

static inline void
rig_model(struct rig *rig, const struct projection *projection)
{
    static uint64_t generation;
    rig->model.generation = ++generation;
    snprintf(rig->path, sizeof rig->path, "%s/%s-%llu.db", rig->folder, projection->name, (unsigned long long)generation);
    assert_int_equal(sqlite3_open(rig->path, &rig->db), SQLITE_OK);
    rig_exec(rig->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
    rig_exec(rig->db, projection->ddl);
    rig->model.path = rig->path;
    rig->models[0] = &rig->model;
}

static inline void
rig_open(struct rig *rig, const struct projection *projection)
{
    memset(rig, 0, sizeof *rig);
    test_folder(rig->folder);
    rig_model(rig, projection);
    rig->cache = query_cache_new();
    assert_non_null(rig->cache);
}

static inline void
rig_close(struct rig *rig)
{
    query_cache_free(rig->cache);
    sqlite3_close(rig->db);
    buf_free(&rig->to);
    test_remove(rig->folder);
}

/* ---- calls: parameters as "name=value" strings, NULL ends them */

static inline cairn_err
rig_call(struct rig *rig, const struct query *query, struct query_call call, const char *const *params)
{
    static cairn_app_param list[2048];
    for (call.param_count = 0; params && params[call.param_count]; call.param_count++) {
        const char *text = params[call.param_count], *equals = strchr(text, '=');
        list[call.param_count].name = (cairn_str){text, (size_t)(equals - text)};
        list[call.param_count].value = cairn_cstr(equals + 1);
    }
    call.params = list;
    if (call.models == NULL)
        call.models = rig->models;
    buf_clear(&rig->to);
    memset(&rig->error, 0, sizeof rig->error);
    cairn_err err = query_run(query, rig->cache, &call, &rig->to, &rig->error);
    if (err != CAIRN_OK) {
        assert_int_equal(rig->to.size, 0);
        assert_int_equal(rig->error.code, err);
        assert_true(rig->error.detail[0] != 0);
    } else {
        struct json value;
        assert_int_equal(json_check(buf_str(&rig->to), &value, NULL), CAIRN_OK);
    }
    buf_put_char(&rig->to, 0);
    rig->to.size--;
    return err;
}

#define PARAMS(...) ((const char *const[]){__VA_ARGS__, NULL})
/* CHECK_ROWS(&rig, query, PARAMS("status=open"), "{…}"): the answer as a whole. */
#define CHECK_ANSWER(rig, query, params, expected)                                                                    \
    do {                                                                                                              \
        cairn_err err_ = rig_call(rig, query, (struct query_call){.position = 7}, params);                            \
        if (err_ != CAIRN_OK)                                                                                         \
            fail_msg("%s: %s", cairn_err_name(err_), (rig)->error.detail);                                            \
        assert_string_equal((rig)->to.data, expected);                                                                \
    } while (0)
#define CHECK_REFUSED(rig, query, params, code, part)                                                                 \
    do {                                                                                                              \
        cairn_err err_ = rig_call(rig, query, (struct query_call){.position = 7}, params);                            \
        if (err_ != (code) || !strstr((rig)->error.detail, part))                                                     \
            fail_msg("%s: %s", cairn_err_name(err_), err_ ? (rig)->error.detail : (rig)->to.data);                    \
    } while (0)

#endif

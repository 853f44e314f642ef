/* tests/projection_rig.h: a store, a projection and its runner, and a read model as text to compare. */
#ifndef TESTS_PROJECTION_RIG_H
#define TESTS_PROJECTION_RIG_H

#include <app/sql/runner.h>
#include <app/sql/sql_int.h>
#include <base/error.h>
#include <base/json.h>
#include <os/os.h>
#include <os/wait.h>
#include <stdatomic.h>

#include "test.h"

#define RIG_WAIT_MS 60000

struct rig {
    char folder[64], store_path[96], models[96];
    cairn_store *store;
    struct projection *projection;
    struct runner *_Atomic runner;
    struct runner_options options;
};

static inline void
rig_print_fault(void *context, const cairn_app_fault *fault)
{
    (void)context;
    printf("%.*s:%u: %.*s (%.*s)\n", (int)fault->file.size, fault->file.data, fault->line, (int)fault->message.size,
           fault->message.data, (int)fault->hint.size, fault->hint.data);
}

static inline struct projection *
rig_parse(const char *text)
{
    struct projection *projection = NULL;
    cairn_error error = {0};
    if (projection_parse(CAIRN_STR("projections/model.sql"), cairn_cstr(text), NULL, rig_print_fault, NULL, &projection,
                         &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    return projection;
}

static inline void
rig_committed(void *context, uint64_t end)
{
    struct rig *rig = context;
    struct runner *runner = atomic_load(&rig->runner);
    if (runner != NULL)
        runner_committed(runner, end);
}

static inline void
rig_open_store(struct rig *rig)
{
    cairn_options options = {.create = true};
    cairn_error error = {0};
    if (cairn_open(rig->store_path, &options, &rig->store, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    cairn_on_commit(rig->store, rig_committed, rig);
}

static inline void
rig_open(struct rig *rig, const char *text)
{
    memset(rig, 0, sizeof *rig);
    test_folder(rig->folder);
    snprintf(rig->store_path, sizeof rig->store_path, "%s/store", rig->folder);
    snprintf(rig->models, sizeof rig->models, "%s/models", rig->folder);
    rig_open_store(rig);
    rig->projection = rig_parse(text);
}

static inline void
rig_start(struct rig *rig)
{
    cairn_error error = {0};
    struct runner *runner = NULL;
    rig->options.store = rig->store;
    rig->options.folder = rig->models;
    rig->options.projection = rig->projection;
    if (runner_start(&rig->options, &runner, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    atomic_store(&rig->runner, runner);
    runner_committed(runner, cairn_end(rig->store));
}

static inline void
rig_stop(struct rig *rig, bool forget)
{
    struct runner *runner = atomic_exchange(&rig->runner, NULL);
    /* No commit is under way in a test that stops, so nobody has the pointer any more. */
    cairn_on_commit(rig->store, NULL, NULL);
    if (runner != NULL) {
        runner_stop(runner, forget);
        runner_free(runner);
    }
    cairn_on_commit(rig->store, rig_committed, rig);
}

static inline void
rig_close(struct rig *rig)
{
    rig_stop(rig, false);
    projection_free(rig->projection);
    cairn_close(rig->store);
    test_remove(rig->folder);
}

/* Append one event; its position. */
static inline uint64_t
rig_append(struct rig *rig, const char *stream, const char *type, const char *data)
{
    cairn_event event = {.type = cairn_cstr(type), .data = cairn_cstr(data)};
    cairn_at at;
    cairn_error error = {0};
    if (cairn_append(rig->store, 0, cairn_cstr(stream), CAIRN_ANY, &event, 1, &at, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    return at.last_position;
}

static inline void
rig_wait(struct rig *rig)
{
    cairn_error error = {0};
    if (runner_wait(rig->runner, cairn_end(rig->store), RIG_WAIT_MS, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
}

static inline void
rig_status(struct rig *rig, struct buf *to)
{
    buf_clear(to);
    runner_status(rig->runner, to);
    buf_put_char(to, '\0');
    assert_false(to->failed);
}

/* Until the status holds the text. */
static inline void
rig_until(struct rig *rig, const char *text)
{
    static _Atomic uint32_t nothing;
    struct buf status = {0};
    int64_t until = os_monotonic_us(os_real()) + RIG_WAIT_MS * INT64_C(1000);
    for (;;) {
        rig_status(rig, &status);
        if (strstr(status.data, text) != NULL)
            break;
        if (os_monotonic_us(os_real()) > until)
            fail_msg("never %s: %s", text, status.data);
        os_wait(&nothing, 0, 500);
    }
    buf_free(&status);
}

/* Every row of the user's tables, as one text; full-text tables by their rows. */
static inline void
rig_dump_file(const char *path, struct buf *to)
{
    sqlite3 *db;
    sqlite3_stmt *tables, *rows;
    cairn_error error = {0};
    if (sql_open(path, SQL_READ, &db, &error) != CAIRN_OK)
        fail_msg("%s: %s", path, error.detail);
    sqlite3_busy_timeout(db, 5000);
    CHECK_INT(sqlite3_prepare_v2(db, "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table',"
                                     " 'virtual') AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_cairn%' ESCAPE '\\'"
                                     " ORDER BY name", -1, &tables, NULL), SQLITE_OK);
    while (sqlite3_step(tables) == SQLITE_ROW) {
        char sql[256];
        buf_printf(to, "%s\n", (const char *)sqlite3_column_text(tables, 0));
        snprintf(sql, sizeof sql, "SELECT * FROM \"%s\"", (const char *)sqlite3_column_text(tables, 0));
        CHECK_INT(sqlite3_prepare_v2(db, sql, -1, &rows, NULL), SQLITE_OK);
        for (int i = 1; i <= sqlite3_column_count(rows); i++)
            snprintf(sql + strlen(sql), sizeof sql - strlen(sql), "%s%d", i == 1 ? " ORDER BY " : ", ", i);
        sqlite3_finalize(rows);
        CHECK_INT(sqlite3_prepare_v2(db, sql, -1, &rows, NULL), SQLITE_OK);
        int rc;
        while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
            for (int i = 0; i < sqlite3_column_count(rows); i++) {
                sql_put_column(to, rows, i);
                buf_put_char(to, ' ');
            }
            buf_put_char(to, '\n');
        }
        CHECK_INT(rc, SQLITE_DONE);
        sqlite3_finalize(rows);
    }
    sqlite3_finalize(tables);
    sql_close(db);
    buf_put_char(to, '\0');
}

static inline void
rig_dump(struct rig *rig, struct buf *to)
{
    struct model *model = runner_hold(rig->runner);
    rig_dump_file(model->path, to);
    model_release(model);
}

/* One value from the model that serves, as JSON. */
static inline void
rig_value(struct rig *rig, const char *sql, char to[512])
{
    struct model *model = runner_hold(rig->runner);
    sqlite3 *db;
    sqlite3_stmt *read;
    struct buf text = {0};
    CHECK_OK(sql_open(model->path, SQL_READ, &db, NULL));
    CHECK_INT(sqlite3_prepare_v2(db, sql, -1, &read, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_step(read), SQLITE_ROW);
    for (int i = 0; i < sqlite3_column_count(read); i++) {
        if (i > 0)
            buf_put_char(&text, '|');
        sql_put_column(&text, read, i);
    }
    snprintf(to, 512, "%.*s", (int)text.size, text.data);
    buf_free(&text);
    sqlite3_finalize(read);
    sql_close(db);
    model_release(model);
}

/* The same projection built from nothing elsewhere, and its rows. */
static inline void
rig_dump_fresh(struct rig *rig, struct buf *to)
{
    struct rig fresh = {.store = rig->store, .projection = rig->projection, .options = rig->options};
    struct runner *runner = NULL;
    cairn_error error = {0};
    snprintf(fresh.models, sizeof fresh.models, "%s/fresh", rig->folder);
    fresh.options.store = rig->store;
    fresh.options.projection = rig->projection;
    fresh.options.folder = fresh.models;
    if (runner_start(&fresh.options, &runner, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    atomic_store(&fresh.runner, runner);
    rig_wait(&fresh);
    rig_dump(&fresh, to);
    runner_stop(runner, true);
    runner_free(runner);
}

#endif

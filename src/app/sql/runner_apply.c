/* One read model being written: its connection, its prepared statements, its checkpoint.
 *
 * WAL with synchronous=NORMAL: a commit costs no sync; the file and its log are synced when the WAL is moved into the
 * file. After a power cut the read model is whole as of some earlier commit, checkpoint and rows together, and what came
 * after is read from the log again. That is all a derived file needs. OFF could leave it torn and buys nothing: six rebuilds
 * with it, in turns with six without, took no less time, for the syncs that are left are in another thread. FULL would pay a
 * sync for what the log already has. */
#include "runner_int.h"

#include <base/error.h>
#include <os/os.h>
#include <stdio.h>
#include <stdlib.h>

#define PROGRESS_EVERY 1000

bool
error_is_transient(cairn_err err)
{
    return err == CAIRN_E_NOMEM || err == CAIRN_E_NOSPACE || err == CAIRN_E_BUSY || err == CAIRN_E_IO
        || err == CAIRN_E_READONLY;
}

static int
progress(void *context)
{
    struct applier *applier = context;
    if (applier->stop != NULL && atomic_load_explicit(applier->stop, memory_order_relaxed)) {
        applier->interrupted = true;
        return 1;
    }
    return ++applier->ticks > RUNNER_STEPS_MAX;
}

cairn_err
applier_prepare_own(struct applier *applier, const char *sql, sqlite3_stmt **ret, cairn_error *error)
{
    applier->guard.own = true;
    int rc = sqlite3_prepare_v3(applier->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
    applier->guard.own = false;
    return rc == SQLITE_OK ? CAIRN_OK : sql_failed(applier->db, rc, "the read model", error);
}

static cairn_err
prepare_all_own(struct applier *applier, cairn_error *error)
{
    const struct {
        const char *sql;
        sqlite3_stmt **to;
    } OWN[] = {
        {"BEGIN IMMEDIATE", &applier->begin},
        {"COMMIT", &applier->commit},
        {"ROLLBACK", &applier->rollback},
        {"UPDATE _cairn_checkpoint SET position = ?1, last_position = ?2, last_id = ?3, complete = ?4, paused = ?5,"
         " applied = ?6, failed = ?7, failure_position = ?8, failure = ?9 WHERE id = 1", &applier->put_checkpoint},
        {"INSERT OR REPLACE INTO _cairn_fault VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", &applier->put_fault},
        {"DELETE FROM _cairn_fault WHERE position = ?1", &applier->take_fault},
        {"SELECT kind FROM _cairn_decided WHERE position = ?1", &applier->find_decided},
    };
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; i < sizeof OWN / sizeof *OWN && err == CAIRN_OK; i++)
        err = applier_prepare_own(applier, OWN[i].sql, OWN[i].to, error);
    return err;
}

static cairn_err
prepare_users(struct applier *applier, cairn_error *error)
{
    const struct projection *projection = applier->projection;
    applier->guard = (struct sql_guard){.projection = projection};
    guard_set(applier->db, &applier->guard);
    applier->statements = calloc(projection->statement_count + 1, sizeof(sqlite3_stmt *));
    if (applier->statements == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for statements");
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; i < projection->statement_count && err == CAIRN_OK; i++) {
        uint32_t line;
        const char *hint;
        err = guard_prepare(applier->db, &applier->guard, projection->statements[i].sql, true,
                            &applier->statements[i], &line, &hint, error);
    }
    return err;
}

/* ---- opening -------------------------------------------------------------------------------------------- */

static cairn_err
make_tables(struct applier *applier, cairn_error *error)
{
    sqlite3_stmt *put = NULL;
    cairn_err err = sql_exec(applier->db, "BEGIN IMMEDIATE", error);
    if (err == CAIRN_OK)
        err = sql_exec(applier->db, PROJECTION_OWN_TABLES, error);
    if (err == CAIRN_OK)
        err = applier_prepare_own(applier, "INSERT INTO _cairn_checkpoint (id, format, digest, position) VALUES (1, ?1, ?2, 0)",
                          &put, error);
    if (err == CAIRN_OK) {
        sqlite3_bind_int(put, 1, RUNNER_FORMAT);
        sqlite3_bind_text(put, 2, applier->digest, -1, SQLITE_STATIC);
        int rc = sqlite3_step(put);
        if (rc != SQLITE_DONE)
            err = sql_failed(applier->db, rc, "the read model", error);
    }
    sqlite3_finalize(put);
    if (err == CAIRN_OK)
        err = projection_create(applier->projection, applier->db, error);
    return err == CAIRN_OK ? sql_exec(applier->db, "COMMIT", error) : err;
}

static void
read_checkpoint(struct checkpoint *to, sqlite3_stmt *row)
{
    *to = (struct checkpoint){.position = (uint64_t)sqlite3_column_int64(row, 2),
                              .complete = sqlite3_column_int(row, 5) != 0,
                              .paused = sqlite3_column_int(row, 6) != 0,
                              .applied = (uint64_t)sqlite3_column_int64(row, 7),
                              .failed = (uint64_t)sqlite3_column_int64(row, 8)};
    if (sqlite3_column_type(row, 3) == SQLITE_INTEGER && sqlite3_column_bytes(row, 4) == sizeof to->last_id.bytes) {
        to->has_last = true;
        to->last_position = (uint64_t)sqlite3_column_int64(row, 3);
        memcpy(to->last_id.bytes, sqlite3_column_blob(row, 4), sizeof to->last_id.bytes);
    }
    if (sqlite3_column_type(row, 9) == SQLITE_INTEGER) {
        const char *why = (const char *)sqlite3_column_text(row, 10);
        to->has_failure = true;
        to->failure_position = (uint64_t)sqlite3_column_int64(row, 9);
        snprintf(to->failure, sizeof to->failure, "%s", why != NULL ? why : "");
    }
}

/* CAIRN_E_NOTFOUND: an empty file. */
static cairn_err
look_at_checkpoint(struct applier *applier, cairn_error *error)
{
    sqlite3_stmt *row = NULL;
    bool empty = false;
    int rc = sqlite3_prepare_v2(applier->db, "SELECT count(*) FROM sqlite_schema", -1, &row, NULL);
    if (rc == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW)
        empty = sqlite3_column_int64(row, 0) == 0;
    sqlite3_finalize(row);
    if (rc == SQLITE_OK && empty)
        return error_set(error, CAIRN_E_NOTFOUND, "the read model is empty");
    row = NULL;
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(applier->db, "SELECT format, digest, position, last_position, last_id, complete, paused,"
                                " applied, failed, failure_position, failure FROM _cairn_checkpoint WHERE id = 1", -1,
                                &row, NULL);
    cairn_err err = CAIRN_OK;
    if (rc == SQLITE_OK && (rc = sqlite3_step(row)) == SQLITE_ROW) {
        const char *digest = (const char *)sqlite3_column_text(row, 1);
        if (sqlite3_column_int(row, 0) != RUNNER_FORMAT || digest == NULL
            || strcmp(digest, applier->digest) != 0)
            err = error_set(error, CAIRN_E_VERSION, "the read model was made by another version of the projection");
        else
            read_checkpoint(&applier->checkpoint, row);
    } else if (rc != SQLITE_OK && rc != SQLITE_DONE && sql_err(rc) != CAIRN_E_SCRIPT) {
        err = sql_failed(applier->db, rc, "the read model", error);
    } else {
        err = error_set(error, CAIRN_E_CORRUPT, "the read model has no checkpoint");
    }
    sqlite3_finalize(row);
    return err;
}

/* Instead of SQLite's own checkpoints, which would sync in the middle of a commit. */
static int
committed(void *context, sqlite3 *db, const char *name, int pages)
{
    struct applier *applier = context;
    applier->wal_pages = pages;
    if (pages >= RUNNER_WAL_PAGES_MAX)
        (void)sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return SQLITE_OK;
}

cairn_err
applier_open(struct applier *applier, const struct runner *runner, const char *path, bool scratch,
             const atomic_bool *stop, cairn_error *error)
{
    const struct projection *projection = runner->projection;
    *applier = (struct applier){.projection = projection, .digest = runner->digest, .stop = stop};
    cairn_err err = sql_open(path, SQL_MODEL, &applier->db, error);
    if (err == CAIRN_OK)
        err = sql_exec(applier->db,
                       scratch ? "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;"
                               : "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                                 "PRAGMA journal_size_limit = 67108864;", error);
    if (err == CAIRN_OK)
        err = sql_exec(applier->db, "PRAGMA cache_size = -16384; PRAGMA secure_delete = OFF; PRAGMA foreign_keys = ON;"
                                     "PRAGMA recursive_triggers = OFF;",
                       error);
    if (err == CAIRN_OK) {
        sqlite3_busy_timeout(applier->db, 1000);
        if (!scratch)
            sqlite3_wal_hook(applier->db, committed, applier);
        err = look_at_checkpoint(applier, error);
        if (err == CAIRN_E_NOTFOUND) {
            applier->checkpoint = (struct checkpoint){0};
            err = make_tables(applier, error);
        }
    }
    if (err == CAIRN_OK)
        err = prepare_all_own(applier, error);
    if (err == CAIRN_OK)
        err = prepare_users(applier, error);
    if (err == CAIRN_OK)
        err = values_init(&applier->values, projection, false, error);
    if (err == CAIRN_OK && projection->is_lua)
        err = applier_lua_open(applier, error);
    if (err != CAIRN_OK) {
        applier_close(applier);
        return err;
    }
    applier_watch(applier);
    return CAIRN_OK;
}

void
applier_watch(struct applier *applier)
{
    sqlite3_progress_handler(applier->db, PROGRESS_EVERY, progress, applier);
}

void
applier_close(struct applier *applier)
{
    applier_lua_close(applier);
    if (applier->db != NULL)
        sqlite3_progress_handler(applier->db, 0, NULL, NULL);
    for (size_t i = 0; applier->statements != NULL && i < applier->projection->statement_count; i++)
        sqlite3_finalize(applier->statements[i]);
    free(applier->statements);
    sqlite3_stmt *own[] = {applier->begin, applier->commit, applier->rollback, applier->put_checkpoint,
                           applier->put_fault, applier->take_fault, applier->find_decided};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sqlite3_finalize(own[i]);
    values_free(&applier->values);
    sql_close(applier->db);
    *applier = (struct applier){0};
}

/* ---- transactions ------------------------------------------------------------------------------------------- */

cairn_err
applier_run_own(struct applier *applier, sqlite3_stmt *statement, cairn_error *error)
{
    applier->guard.own = true; /* stepping may prepare it again */
    int rc = sqlite3_step(statement);
    applier->guard.own = false;
    cairn_err err = rc == SQLITE_DONE ? CAIRN_OK : sql_failed(applier->db, rc, "the read model", error);
    (void)sqlite3_reset(statement);
    return err;
}

cairn_err
applier_begin(struct applier *applier, cairn_error *error)
{
    applier->ticks = 0;
    cairn_err err = applier_run_own(applier, applier->begin, error);
    applier->in_transaction = err == CAIRN_OK;
    return err;
}

void
applier_rollback(struct applier *applier)
{
    /* A conflict clause or an error may have rolled back already. */
    if (applier->in_transaction && sqlite3_get_autocommit(applier->db) == 0)
        error_ignore(applier_run_own(applier, applier->rollback, NULL));
    applier->in_transaction = false;
}

static void
bind_checkpoint(struct applier *applier)
{
    const struct checkpoint *at = &applier->checkpoint;
    sqlite3_stmt *put = applier->put_checkpoint;
    sqlite3_bind_int64(put, 1, (int64_t)at->position);
    if (at->has_last) {
        sqlite3_bind_int64(put, 2, (int64_t)at->last_position);
        sqlite3_bind_blob(put, 3, at->last_id.bytes, sizeof at->last_id.bytes, SQLITE_STATIC);
    } else {
        sqlite3_bind_null(put, 2);
        sqlite3_bind_null(put, 3);
    }
    sqlite3_bind_int(put, 4, at->complete);
    sqlite3_bind_int(put, 5, at->paused);
    sqlite3_bind_int64(put, 6, (int64_t)at->applied);
    sqlite3_bind_int64(put, 7, (int64_t)at->failed);
    if (at->has_failure) {
        sqlite3_bind_int64(put, 8, (int64_t)at->failure_position);
        sqlite3_bind_text(put, 9, at->failure, -1, SQLITE_STATIC);
    } else {
        sqlite3_bind_null(put, 8);
        sqlite3_bind_null(put, 9);
    }
}

cairn_err
applier_commit(struct applier *applier, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    applier->ticks = 0;
    if (!applier->in_transaction)
        err = applier_begin(applier, error);
    if (err == CAIRN_OK) {
        bind_checkpoint(applier);
        err = applier_run_own(applier, applier->put_checkpoint, error);
    }
    if (err == CAIRN_OK)
        err = applier_run_own(applier, applier->commit, error);
    if (err == CAIRN_OK)
        applier->in_transaction = false;
    else
        applier_rollback(applier);
    return err;
}

/* ---- events --------------------------------------------------------------------------------------------------- */

static cairn_err
statement_failed(struct applier *applier, const struct statement *statement, int rc, cairn_error *error)
{
    if (rc == SQLITE_INTERRUPT && !applier->interrupted)
        return error_set(error, CAIRN_E_SCRIPT, "line %u: the event took more than %d million steps", statement->line,
                         RUNNER_STEPS_MAX / 1000);
    return error_set(error, sql_err(rc), "line %u: %s", statement->line, sqlite3_errmsg(applier->db));
}

static inline cairn_err
run_statement(struct applier *applier, const struct value *slots, const struct statement *statement,
              sqlite3_stmt *prepared, cairn_error *error)
{
    int rc = values_bind(slots, statement, prepared);
    if (rc == SQLITE_OK)
        while ((rc = sqlite3_step(prepared)) == SQLITE_ROW) /* RETURNING */
            ;
    if (rc == SQLITE_DONE) {
        (void)sqlite3_reset(prepared);
        return CAIRN_OK;
    }
    cairn_err err = statement_failed(applier, statement, rc, error);
    (void)sqlite3_reset(prepared);
    return err;
}

cairn_err
applier_event(struct applier *applier, const struct feed *feed, const cairn_recorded *event, cairn_error *error)
{
    const struct plan *plan = feed->plan;
    const struct value *slots = feed->slots;
    cairn_err err = CAIRN_OK;
    applier->ticks = 0;
    sql_time_set(event->time_us);
    if (applier->lua != NULL)
        return applier_lua_event(applier, event, error);
    if (slots == NULL) {
        err = values_take(&applier->values, plan, event, error);
        slots = applier->values.slots;
    }
    if (applier->projection->rowid_used)
        sqlite3_set_last_insert_rowid(applier->db, 0);
    for (size_t i = 0; i < plan->statement_count && err == CAIRN_OK; i++) {
        uint16_t statement = plan->statements[i];
        err = run_statement(applier, slots, &applier->projection->statements[statement],
                            applier->statements[statement], error);
    }
    /* OR ROLLBACK, RAISE(ROLLBACK, …) end the whole batch, which is ours to end. */
    if (err == CAIRN_OK && applier->in_transaction && sqlite3_get_autocommit(applier->db) != 0)
        err = error_set(error, CAIRN_E_SCRIPT, "a statement ended the transaction");
    return err;
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

cairn_err
applier_put_fault(struct applier *applier, const cairn_recorded *event, const char *kind, const char *why,
                  cairn_error *error)
{
    sqlite3_stmt *put = applier->put_fault;
    sqlite3_bind_int64(put, 1, (int64_t)event->position);
    sqlite3_bind_text(put, 2, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text64(put, 3, event->stream.data, event->stream.size, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_int64(put, 4, (int64_t)event->revision);
    sqlite3_bind_text64(put, 5, event->event.type.data, event->event.type.size, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_text(put, 6, why, -1, SQLITE_STATIC);
    sqlite3_bind_int64(put, 7, os_now_us(os_real()));
    cairn_err err = applier_run_own(applier, put, error);
    sqlite3_clear_bindings(put);
    return err;
}

const char *
applier_decided(struct applier *applier, uint64_t position)
{
    const char *decided = NULL;
    sqlite3_bind_int64(applier->find_decided, 1, (int64_t)position);
    applier->guard.own = true;
    int rc = sqlite3_step(applier->find_decided);
    applier->guard.own = false;
    if (rc == SQLITE_ROW) {
        const char *kind = (const char *)sqlite3_column_text(applier->find_decided, 0);
        decided = kind == NULL ? NULL : strcmp(kind, "parked") == 0 ? "parked" : strcmp(kind, "dead") == 0 ? "dead" : "skipped";
    }
    (void)sqlite3_reset(applier->find_decided);
    return decided;
}

/* What people decided of events that could not be applied goes with a rebuild: those fail there again. */
cairn_err
applier_copy_decisions(struct applier *applier, const char *from_path, cairn_error *error)
{
    sqlite3 *from = NULL;
    sqlite3_stmt *read = NULL, *put = NULL;
    cairn_err err = sql_open(from_path, SQL_READ, &from, error);
    if (err != CAIRN_OK)
        return err;
    int rc = sqlite3_prepare_v2(from, "SELECT position, kind FROM _cairn_fault UNION SELECT position, kind FROM"
                                      " _cairn_decided", -1, &read, NULL);
    err = rc == SQLITE_OK ? applier_begin(applier, error) : sql_failed(from, rc, "the old read model", error);
    if (err == CAIRN_OK)
        err = applier_prepare_own(applier, "INSERT OR REPLACE INTO _cairn_decided VALUES (?1, ?2)", &put, error);
    while (err == CAIRN_OK && (rc = sqlite3_step(read)) == SQLITE_ROW) {
        sqlite3_bind_int64(put, 1, sqlite3_column_int64(read, 0));
        sqlite3_bind_value(put, 2, sqlite3_column_value(read, 1));
        err = applier_run_own(applier, put, error);
    }
    if (err == CAIRN_OK && rc != SQLITE_DONE)
        err = sql_failed(from, rc, "the old read model", error);
    if (err == CAIRN_OK)
        err = applier_commit(applier, error);
    applier_rollback(applier);
    sqlite3_finalize(put);
    sqlite3_finalize(read);
    sql_close(from);
    return err;
}

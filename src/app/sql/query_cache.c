/* Connections to read models and prepared statements, kept from call to call by one thread at a time.
 *
 * A connection is to one list of models by generation, the first one its main database, the others attached. A
 * statement belongs to a connection and is found by query and variant. Both are bounded; least recently used go.
 *
 * A model's file is deleted when nobody holds it any more, and an open connection would keep its space on disk. So
 * connections go whose file is no longer at its path, or that have not been used for a while: seen to at most once a
 * second by whatever call comes, and by query_cache_trim() where none come.
 *
 * SQLite's settings, and why. temp_store = file: what is sorted beyond the page cache goes to disk, not into memory.
 * cache_size: 2 MiB; every commit of the projection empties it, so more would only cost memory. mmap_size = 0: a
 * failing disk is then an error and not the end of the process, and rows by key are no slower for it. */
#include "query_int.h"

#include <base/error.h>
#include <base/hash.h>
#include <os/os.h>
#include <os/path.h>

#include <stdio.h>
#include <stdlib.h>

#define STATEMENTS_MAX 64
#define CONNS_MAX 16
#define IDLE_MAX_US (30 * INT64_C(1000000))
#define SWEEP_US INT64_C(1000000)
#define PROGRESS_STEPS 250
#define LIKE_PATTERN_MAX 200 /* bytes: no deadline is looked at during a LIKE or GLOB */

struct model_file {
    uint64_t generation;
    char *path;
    struct os_path file; /* that was opened: the path may come to name another */
};

struct query_conn {
    sqlite3 *db;
    struct query_sight sight;
    struct model_file files[QUERY_MODELS_MAX];
    size_t file_count;
    int64_t used_us;
    bool holding;
};

struct entry {
    uint64_t hash, query_id;
    struct query_conn *conn;
    sqlite3_stmt *handle; /* NULL: a free place */
    uint64_t used;
    uint8_t variant_size, variant[QUERY_VARIANT_MAX];
};

struct query_cache {
    struct query_conn *conns[CONNS_MAX];
    struct entry entries[STATEMENTS_MAX];
    uint64_t calls;
    int64_t now_us, swept_us;
    struct buf bytes[3]; /* SQL; the cursor to be; the cursor that came */
    /* the budget of the call at hand */
    int64_t deadline_us;
    uint64_t steps, steps_max;
    enum query_stop stop;
};

struct query_cache *
query_cache_new(void)
{
    return calloc(1, sizeof(struct query_cache));
}

struct buf *
query_cache_bytes(struct query_cache *cache, size_t index)
{
    return &cache->bytes[index];
}

/* ---- connections -------------------------------------------------------------------------------------- */

static void
conn_free(struct query_conn *conn)
{
    if (conn == NULL)
        return;
    sql_close(conn->db);
    for (size_t i = 0; i < conn->file_count; i++)
        free(conn->files[i].path);
    free(conn);
}

static void
conn_drop(struct query_cache *cache, size_t index)
{
    struct query_conn *conn = cache->conns[index];
    for (size_t i = 0; i < STATEMENTS_MAX; i++)
        if (cache->entries[i].handle != NULL && cache->entries[i].conn == conn) {
            (void)sqlite3_finalize(cache->entries[i].handle);
            cache->entries[i].handle = NULL;
        }
    conn_free(conn);
    cache->conns[index] = NULL;
}

static bool
files_there(const struct query_conn *conn)
{
    for (size_t i = 0; i < conn->file_count; i++) {
        const struct model_file *opened = &conn->files[i];
        struct os_path now;
        if (os_path_look(opened->path, &now) != 0 || now.device != opened->file.device
            || now.inode != opened->file.inode)
            return false;
    }
    return true;
}

static void
sweep(struct query_cache *cache)
{
    cache->swept_us = cache->now_us;
    for (size_t i = 0; i < CONNS_MAX; i++)
        if (cache->conns[i] != NULL
            && (cache->now_us - cache->conns[i]->used_us > IDLE_MAX_US || !files_there(cache->conns[i])))
            conn_drop(cache, i);
}

void
query_cache_trim(struct query_cache *cache)
{
    cache->now_us = os_monotonic_us(os_real());
    sweep(cache);
}

void
query_cache_free(struct query_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < CONNS_MAX; i++)
        if (cache->conns[i] != NULL)
            conn_drop(cache, i);
    for (size_t i = 0; i < sizeof cache->bytes / sizeof *cache->bytes; i++)
        buf_free(&cache->bytes[i]);
    free(cache);
}

/* Every few instructions of SQLite's machine: is there time and work left? */
static int
on_progress(void *context)
{
    struct query_cache *cache = context;
    cache->steps += PROGRESS_STEPS;
    if (cache->steps_max != 0 && cache->steps > cache->steps_max)
        cache->stop = STOP_STEPS;
    else if (os_monotonic_us(os_real()) >= cache->deadline_us)
        cache->stop = STOP_TIME;
    return cache->stop != STOP_NOT;
}

static cairn_err
attach(sqlite3 *db, const char *path, size_t index, cairn_error *error)
{
    sqlite3_stmt *statement = NULL;
    char name[32];
    snprintf(name, sizeof name, "model_%zu", index);
    int rc = sqlite3_prepare_v2(db, "ATTACH ?1 AS ?2", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_DONE)
        rc = SQLITE_OK;
    cairn_err err = rc == SQLITE_OK ? CAIRN_OK : sql_failed(db, rc, "opening the read model", error);
    (void)sqlite3_finalize(statement);
    return err;
}

static cairn_err
conn_open(struct query_cache *cache, const struct query_call *call, size_t count, struct query_conn **ret,
          cairn_error *error)
{
    struct query_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    cairn_err err = sql_open(count ? call->models[0]->path : NULL, count ? SQL_READ : SQL_SCRATCH, &conn->db, error);
    for (size_t i = 0; err == CAIRN_OK && i < count; i++) {
        struct model_file *file = &conn->files[i];
        if (os_path_look(call->models[i]->path, &file->file) != 0 || (file->path = strdup(call->models[i]->path)) == NULL) {
            err = error_set(error, CAIRN_E_IO, "the read model %s is not there", call->models[i]->path);
            break;
        }
        conn->file_count++;
        file->generation = call->models[i]->generation;
        if (i > 0)
            err = attach(conn->db, file->path, i, error);
    }
    if (err == CAIRN_OK)
        err = sql_exec(conn->db, "PRAGMA query_only = 1; PRAGMA temp_store = file; PRAGMA cache_size = -2048;"
                                 "PRAGMA mmap_size = 0;", error);
    if (err == CAIRN_OK)
        err = query_sight_set(conn->db, &conn->sight, error);
    if (err != CAIRN_OK) {
        conn_free(conn);
        return err;
    }
    sqlite3_limit(conn->db, SQLITE_LIMIT_LENGTH, QUERY_ANSWER_BYTES);
    sqlite3_limit(conn->db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, LIKE_PATTERN_MAX);
    sqlite3_limit(conn->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_busy_timeout(conn->db, 20);
    sqlite3_progress_handler(conn->db, PROGRESS_STEPS, on_progress, cache);
    *ret = conn;
    return CAIRN_OK;
}

static bool
conn_is(const struct query_conn *conn, const struct query_call *call, size_t count)
{
    if (conn == NULL || conn->file_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (conn->files[i].generation != call->models[i]->generation)
            return false;
    return true;
}

static cairn_err
conn_get(struct query_cache *cache, const struct query_call *call, size_t count, struct query_conn **ret,
         cairn_error *error)
{
    for (size_t i = 0; i < CONNS_MAX; i++)
        if (conn_is(cache->conns[i], call, count)) {
            *ret = cache->conns[i];
            return CAIRN_OK;
        }
    sweep(cache); /* a new generation has often taken an old one's place */
    size_t place = 0;
    for (size_t i = 0; i < CONNS_MAX; i++) {
        if (cache->conns[i] == NULL) {
            place = i;
            break;
        }
        if (cache->conns[i]->used_us < cache->conns[place]->used_us)
            place = i;
    }
    cairn_err err = conn_open(cache, call, count, ret, error);
    if (err != CAIRN_OK)
        return err;
    if (cache->conns[place] != NULL)
        conn_drop(cache, place);
    cache->conns[place] = *ret;
    return CAIRN_OK;
}

/* ---- statements ----------------------------------------------------------------------------------------- */

/* The read model may still be an earlier version's: a new one is built beside it. */
static cairn_err
not_yet(const struct query *query, const char *why, cairn_error *error)
{
    return error_set(error, CAIRN_E_BUSY, "query \"%.*s\": the read model is still being built for this version of the app (%s)",
                     (int)query->name.size, query->name.data, why);
}

static cairn_err
prepare(struct query_cache *cache, struct query_conn *conn, const struct query *query, const struct query_args *args,
        sqlite3_stmt **ret, cairn_error *error)
{
    struct buf *sql = &cache->bytes[0];
    buf_clear(sql);
    query_sql(query, args, sql);
    if (sql->failed)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    sqlite3_stmt *handle = NULL;
    int rc = sqlite3_prepare_v3(conn->db, sql->data, (int)sql->size, SQLITE_PREPARE_PERSISTENT, &handle, NULL);
    if (rc != SQLITE_OK && cache->stop != STOP_NOT)
        return error_set(error, cache->stop == STOP_STEPS ? CAIRN_E_BUSY : CAIRN_E_TIMEOUT,
                         "query \"%.*s\" took too long", (int)query->name.size, query->name.data);
    if ((rc & 0xFF) == SQLITE_ERROR)
        return not_yet(query, sqlite3_errmsg(conn->db), error);
    if (rc != SQLITE_OK)
        return sql_failed(conn->db, rc, "the read model", error);
    if ((size_t)sqlite3_column_count(handle) != query->column_count || !sqlite3_stmt_readonly(handle)) {
        (void)sqlite3_finalize(handle);
        return not_yet(query, "its columns differ", error);
    }
    *ret = handle;
    return CAIRN_OK;
}

static cairn_err
statement_get(struct query_cache *cache, struct query_conn *conn, const struct query *query,
              const struct query_args *args, sqlite3_stmt **ret, cairn_error *error)
{
    uint8_t variant[QUERY_VARIANT_MAX];
    size_t size = query_variant(args, variant);
    uint64_t hash = hash64(variant, size, query->id);
    struct entry *place = &cache->entries[0];
    for (struct entry *e = cache->entries; e < cache->entries + STATEMENTS_MAX; e++) {
        if (e->hash == hash && e->handle != NULL && e->conn == conn && e->query_id == query->id
            && e->variant_size == size && memcmp(e->variant, variant, size) == 0) {
            e->used = cache->calls;
            *ret = e->handle;
            return CAIRN_OK;
        }
        if (place->handle != NULL && (e->handle == NULL || e->used < place->used))
            place = e;
    }
    cairn_err err = prepare(cache, conn, query, args, ret, error);
    if (err != CAIRN_OK)
        return err;
    (void)sqlite3_finalize(place->handle);
    *place = (struct entry){.hash = hash, .query_id = query->id, .conn = conn, .handle = *ret, .used = cache->calls,
                            .variant_size = (uint8_t)size};
    memcpy(place->variant, variant, size);
    return CAIRN_OK;
}

void
query_budget_begin(struct query_cache *cache, const struct query *query, const struct query_call *call)
{
    uint32_t timeout_ms = call->timeout_ms != 0 && call->timeout_ms < query->timeout_ms ? call->timeout_ms : query->timeout_ms;
    cache->now_us = os_monotonic_us(os_real());
    cache->deadline_us = cache->now_us + (int64_t)timeout_ms * 1000;
    cache->steps = 0;
    cache->steps_max = call->steps_max;
    cache->stop = STOP_NOT;
    cache->calls++;
    if (cache->now_us - cache->swept_us > SWEEP_US)
        sweep(cache);
}

enum query_stop
query_budget_stop(const struct query_cache *cache)
{
    return cache->stop;
}

cairn_err
query_cache_get(struct query_cache *cache, const struct query *query, const struct query_call *call,
                const struct query_args *args, struct query_statement *ret, cairn_error *error)
{
    struct query_conn *conn = NULL;
    cairn_err err = conn_get(cache, call, query->projection_count, &conn, error);
    if (err != CAIRN_OK)
        return err;
    conn->used_us = cache->now_us;
    conn->sight.tried = true;
    conn->sight.tables = query->tables;
    conn->sight.table_count = query->table_count;
    conn->sight.refused[0] = 0;
    err = statement_get(cache, conn, query, args, &ret->handle, error);
    if (err == CAIRN_OK)
        ret->conn = conn;
    return err;
}

cairn_err
query_cache_hold(struct query_conn *conn, cairn_error *error)
{
    conn->sight.own = true;
    cairn_err err = sql_exec(conn->db, "BEGIN", error);
    conn->sight.own = false;
    conn->holding = err == CAIRN_OK;
    return err;
}

void
query_cache_done(struct query_cache *cache, struct query_statement *statement)
{
    struct query_conn *conn = statement->conn;
    if (statement->handle != NULL) {
        (void)sqlite3_reset(statement->handle);
        (void)sqlite3_clear_bindings(statement->handle);
    }
    if (conn != NULL && conn->holding) {
        cache->deadline_us = INT64_MAX; /* past the deadline too */
        cache->steps_max = 0;
        cache->stop = STOP_NOT;
        conn->sight.own = true;
        (void)sqlite3_exec(conn->db, "COMMIT", NULL, NULL, NULL);
        conn->sight.own = false;
        conn->holding = false;
    }
    statement->handle = NULL;
}

/* peer_sqlite.c: an event table in SQLite, WAL, synchronous=FULL, in this process.
 *
 * SQLite has one writer at a time, so the clients' threads take turns on one connection: with connections
 * of their own they would poll its lock and be slower. One append is one transaction. */
#include "bench.h"

#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

static const char SETTINGS[]
    = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-262144;"
      "PRAGMA wal_autocheckpoint=10000;";
static const char SCHEMA[]
    = "CREATE TABLE message (global_position INTEGER PRIMARY KEY, stream TEXT NOT NULL,"
      " position INTEGER NOT NULL, type TEXT NOT NULL, data BLOB NOT NULL,"
      " UNIQUE (stream, position));";

static struct {
    sqlite3 *db;
    sqlite3_stmt *begin, *last, *insert, *commit;
    pthread_mutex_t turn;
} state = {.turn = PTHREAD_MUTEX_INITIALIZER};

static bool
step(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW;
}

static bool
append(const char *stream, unsigned events)
{
    if (!step(state.begin))
        return false;
    sqlite3_bind_text(state.last, 1, stream, -1, SQLITE_STATIC);
    if (sqlite3_step(state.last) != SQLITE_ROW)
        return false;
    sqlite3_int64 position = sqlite3_column_int64(state.last, 0); /* next one */
    sqlite3_reset(state.last);
    for (unsigned i = 0; i < events; i++) {
        sqlite3_bind_text(state.insert, 1, stream, -1, SQLITE_STATIC);
        sqlite3_bind_int64(state.insert, 2, position + i);
        sqlite3_bind_text(state.insert, 3, "OrderPlaced", -1, SQLITE_STATIC);
        sqlite3_bind_blob(state.insert, 4, event_data(), DATA_SIZE, SQLITE_STATIC);
        if (!step(state.insert))
            return false;
    }
    return step(state.commit);
}

static bool
append_in_turn(void *context, unsigned client, const struct shape *shape)
{
    (void)context;
    char stream[32] = "c";
    text_number(stream + 1, client);
    strcat(stream, "-1");
    pthread_mutex_lock(&state.turn);
    bool ok = append(stream, shape->events);
    pthread_mutex_unlock(&state.turn);
    return ok;
}

static bool
sqlite_open(struct contender *self, const struct settings *settings)
{
    char path[512];
    snprintf(path, sizeof path, "%s/sqlite.db", settings->dir);
    if (sqlite3_open(path, &state.db) != SQLITE_OK
        || sqlite3_exec(state.db, SETTINGS, NULL, NULL, NULL) != SQLITE_OK
        || sqlite3_exec(state.db, SCHEMA, NULL, NULL, NULL) != SQLITE_OK
        || sqlite3_prepare_v2(state.db, "BEGIN IMMEDIATE", -1, &state.begin, NULL) != SQLITE_OK
        || sqlite3_prepare_v2(state.db, "COMMIT", -1, &state.commit, NULL) != SQLITE_OK
        || sqlite3_prepare_v2(
               state.db, "SELECT coalesce(max(position) + 1, 0) FROM message WHERE stream = ?1", -1,
               &state.last, NULL)
               != SQLITE_OK
        || sqlite3_prepare_v2(
               state.db,
               "INSERT INTO message (stream, position, type, data) VALUES (?1, ?2, ?3, ?4)", -1,
               &state.insert, NULL)
               != SQLITE_OK) {
        failure("%s: %s", self->label, sqlite3_errmsg(state.db));
        return false;
    }
    return true;
}

static bool
sqlite_run(struct contender *self, const struct shape *shape, struct sample *ret)
{
    bool ok = threads_run(append_in_turn, NULL, shape, ret);
    if (!ok)
        failure("%s: %s", self->label, sqlite3_errmsg(state.db));
    return ok;
}

static void
sqlite_close(struct contender *self)
{
    (void)self;
    sqlite3_finalize(state.begin);
    sqlite3_finalize(state.last);
    sqlite3_finalize(state.insert);
    sqlite3_finalize(state.commit);
    sqlite3_close(state.db);
}

struct contender SQLITE = {.key = "sqlite",
                           .label = "SQLite, WAL, synchronous=FULL",
                           .open = sqlite_open,
                           .run = sqlite_run,
                           .close = sqlite_close};

/* Opening SQLite for users' SQL: what it can do is bounded here, what it may touch is the authoriser's business.
 *
 * The clock. SQLite asks its VFS for the time. Our VFS is the machine's own with another clock: the calling
 * thread's event time. So date('now') in a projection is a function of its event, like everything else there. */
#include "sql_int.h"

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <os/os.h>
#include <pthread.h>
#include <stdio.h>

#define VFS_NAME "cairn"
#define BUSY_MS 1000 /* readers and writer wait for each other only while one recovers a WAL or closes it */
/* Milliseconds from the Julian epoch (noon, 24 November 4714 BC) to 1970. */
#define JULIAN_1970_MS INT64_C(210866760000000)

static _Thread_local int64_t thread_time_us;

void
sql_time_set(int64_t time_us)
{
    thread_time_us = time_us;
}

static int
current_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *ret_ms)
{
    (void)vfs;
    int64_t time_us = thread_time_us != 0 ? thread_time_us : os_now_us(os_real());
    int64_t time_ms = time_us >= 0 ? time_us / 1000 : -((-time_us + 999) / 1000);
    *ret_ms = JULIAN_1970_MS + time_ms;
    return SQLITE_OK;
}

static int
current_time_days(sqlite3_vfs *vfs, double *ret_days)
{
    sqlite3_int64 ms;
    (void)current_time_ms(vfs, &ms);
    *ret_days = (double)ms / 86400000.0;
    return SQLITE_OK;
}

static sqlite3_vfs clock_vfs;
static int clock_rc;

static void
register_vfs(void)
{
    if ((clock_rc = sqlite3_initialize()) != SQLITE_OK)
        return;
    const sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    if (real == NULL || real->iVersion < 2) {
        clock_rc = SQLITE_ERROR;
        return;
    }
    clock_vfs = *real;
    clock_vfs.pNext = NULL;
    clock_vfs.zName = VFS_NAME;
    clock_vfs.xCurrentTime = current_time_days;
    clock_vfs.xCurrentTimeInt64 = current_time_ms;
    clock_rc = sqlite3_vfs_register(&clock_vfs, 0);
}

cairn_err
sql_err(int rc)
{
    switch (rc & 0xFF) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return CAIRN_OK;
    case SQLITE_NOMEM: return CAIRN_E_NOMEM;
    case SQLITE_FULL: return CAIRN_E_NOSPACE;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return CAIRN_E_BUSY;
    case SQLITE_INTERRUPT: return CAIRN_E_TIMEOUT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return CAIRN_E_CORRUPT;
    case SQLITE_IOERR:
    case SQLITE_PROTOCOL:
    case SQLITE_CANTOPEN: return CAIRN_E_IO;
    case SQLITE_TOOBIG: return CAIRN_E_LIMIT;
    case SQLITE_READONLY:
    case SQLITE_PERM: return CAIRN_E_READONLY;
    case SQLITE_AUTH: return CAIRN_E_DENIED;
    default: return CAIRN_E_SCRIPT;
    }
}

cairn_err
sql_failed(sqlite3 *db, int rc, const char *what, cairn_error *error)
{
    return error_set(error, sql_err(rc), "%s: %s", what, db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

cairn_err
sql_exec(sqlite3 *db, const char *sql, cairn_error *error)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? CAIRN_OK : sql_failed(db, rc, "SQLite", error);
}

/* Limits are per connection and bound what a statement may be before it runs; what running may cost is bounded by
 * progress handlers. */
static const struct {
    int id, value;
} LIMITS[] = {
    {SQLITE_LIMIT_LENGTH, SQL_VALUE_MAX},      {SQLITE_LIMIT_SQL_LENGTH, SQL_TEXT_MAX},
    {SQLITE_LIMIT_COLUMN, 200},                {SQLITE_LIMIT_EXPR_DEPTH, 100},
    {SQLITE_LIMIT_COMPOUND_SELECT, 50},        {SQLITE_LIMIT_VDBE_OP, 100000},
    {SQLITE_LIMIT_FUNCTION_ARG, 100},          {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200},
    {SQLITE_LIMIT_VARIABLE_NUMBER, SQL_PARAMETERS_MAX}, {SQLITE_LIMIT_TRIGGER_DEPTH, 16},
    {SQLITE_LIMIT_WORKER_THREADS, 0},
};

static const struct {
    int id, value;
} SWITCHES[] = {
    {SQLITE_DBCONFIG_DEFENSIVE, 1},
    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
    {SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0},
    {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
    /* FTS5 does not call itself harmless before SQLite 3.41, and triggers keep its tables up to date; what views and triggers
     * use is the authoriser's to refuse. */
    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1},
    {SQLITE_DBCONFIG_DQS_DML, 0}, /* "x" is a name, never a string: a typing error shows itself */
    {SQLITE_DBCONFIG_DQS_DDL, 0},
};

static int
harden(sqlite3 *db)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++)
        sqlite3_limit(db, LIMITS[i].id, LIMITS[i].value);
    for (size_t i = 0; rc == SQLITE_OK && i < sizeof SWITCHES / sizeof *SWITCHES; i++)
        rc = sqlite3_db_config(db, SWITCHES[i].id, SWITCHES[i].value, (int *)NULL);
    return rc;
}

cairn_err
sql_open(const char *path, enum sql_use use, sqlite3 **ret, cairn_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_vfs);
    if (clock_rc != SQLITE_OK)
        return sql_failed(NULL, clock_rc, "SQLite", error);

    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        | (use == SQL_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(use == SQL_SCRATCH ? ":memory:" : path, &db, flags, VFS_NAME);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(db, BUSY_MS);
    if (rc == SQLITE_OK)
        rc = harden(db);
    /* The first look at the file: here it shows when it is none of SQLite's. */
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA temp_store = memory; SELECT count(*) FROM sqlite_schema;", NULL, NULL, NULL);
    /* Table functions declare themselves when they are first used, which an authoriser takes for CREATE TABLE: before one
     * is there. */
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "SELECT 1 FROM json_each('[]'), json_tree('[]');", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        cairn_err err = sql_failed(db, rc, "opening the read model", error);
        (void)sqlite3_close_v2(db);
        return err;
    }
    cairn_err err = sql_functions_set(db, error);
    if (err != CAIRN_OK) {
        (void)sqlite3_close_v2(db);
        return err;
    }
    *ret = db;
    return CAIRN_OK;
}

void
sql_close(sqlite3 *db)
{
    (void)sqlite3_close_v2(db);
}

bool
sql_function_refused(const char *name, const char **ret_hint)
{
    static const char CHANCE[] = "a read model is a function of its events: use the event's :id";
    static const char COUNT[] = "what it returns depends on the statement that ran before";
    static const char OUTSIDE[] = "it reaches outside the read model";
    static const char ENDLESS[] = "what it takes grows with the square of what it is given: json_set(), json_remove()";
    static const char BUILD[] = "what it returns depends on the program's version";
    static const struct {
        const char *name, *hint;
    } REFUSED[] = {
        {"random", CHANCE},         {"randomblob", CHANCE},          {"changes", COUNT},
        {"total_changes", COUNT},   {"load_extension", OUTSIDE},     {"fts3_tokenizer", OUTSIDE},
        {"readfile", OUTSIDE},      {"writefile", OUTSIDE},          {"edit", OUTSIDE},
        {"sqlite_version", BUILD},  {"sqlite_source_id", BUILD},     {"sqlite_compileoption_get", BUILD},
        {"sqlite_compileoption_used", BUILD}, {"sqlite_offset", BUILD}, {"sqlite_log", OUTSIDE},
        {"json_patch", ENDLESS},
    };
    for (size_t i = 0; name != NULL && i < sizeof REFUSED / sizeof *REFUSED; i++)
        if (sqlite3_stricmp(name, REFUSED[i].name) == 0) {
            *ret_hint = REFUSED[i].hint;
            return true;
        }
    return false;
}

void
sql_put_column(struct buf *to, sqlite3_stmt *statement, int column)
{
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER: json_put_i64(to, sqlite3_column_int64(statement, column)); break;
    case SQLITE_FLOAT: json_put_double(to, sqlite3_column_double(statement, column)); break;
    case SQLITE_TEXT: {
        const char *text = (const char *)sqlite3_column_text(statement, column);
        size_t size = (size_t)sqlite3_column_bytes(statement, column);
        if (text == NULL)
            to->failed = true;
        else
            json_put_string(to, (cairn_str){text, size});
        break;
    }
    case SQLITE_BLOB: {
        const void *bytes = sqlite3_column_blob(statement, column);
        buf_put_char(to, '"');
        base64_put(to, (cairn_str){bytes, (size_t)sqlite3_column_bytes(statement, column)});
        buf_put_char(to, '"');
        break;
    }
    default: buf_put_str(to, CAIRN_STR("null")); break;
    }
}

/* What a projection's SQL may touch: its own tables, and nothing that would make the read model depend on anything but
 * its events. SQLite asks for every object when it prepares a statement; each statement is prepared only here.
 *
 * Everything is tried on a database in memory before a projection is taken. */
#include "projection_int.h"

#include <base/error.h>
#include <stdio.h>

#define PREPARE_ASKS_MAX 100000 /* questions of SQLite's about one statement */

const char PROJECTION_OWN_TABLES[] =
    "CREATE TABLE _cairn_checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL,"
    " digest TEXT NOT NULL, position INTEGER NOT NULL, last_position INTEGER, last_id BLOB,"
    " complete INTEGER NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0, applied INTEGER NOT NULL DEFAULT 0,"
    " failed INTEGER NOT NULL DEFAULT 0, failure_position INTEGER, failure TEXT);"
    "CREATE TABLE _cairn_fault (position INTEGER PRIMARY KEY, kind TEXT NOT NULL, stream TEXT NOT NULL,"
    " revision INTEGER NOT NULL, type TEXT NOT NULL, error TEXT NOT NULL, time_us INTEGER NOT NULL);"
    "CREATE TABLE _cairn_decided (position INTEGER PRIMARY KEY, kind TEXT NOT NULL);";

static bool
begins(const char *text, const char *prefix)
{
    return text != NULL && sqlite3_strnicmp(text, prefix, (int)strlen(prefix)) == 0;
}

static int
refuse(struct sql_guard *guard, const char *hint, const char *what, const char *name)
{
    snprintf(guard->refused, sizeof guard->refused, "%s%s%.80s%s", what, name != NULL ? " \"" : "",
             name != NULL ? name : "", name != NULL ? "\"" : "");
    guard->hint = hint;
    return SQLITE_DENY;
}

/* Tables that are the program's or SQLite's own, and virtual ones that show the machine. */
static bool
foreign_table(const char *table)
{
    static const char *const NAMES[] = {"dbstat", "fts3tokenize", "bytecode", "tables_used", "completion"};
    if (begins(table, "_cairn_") || begins(table, "sqlite_") || begins(table, "pragma_"))
        return true;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (sqlite3_stricmp(table, NAMES[i]) == 0)
            return true;
    return false;
}

static bool
own_table(const struct sql_guard *guard, const char *table)
{
    const struct names *names = &guard->projection->schema;
    size_t size = strlen(table);
    for (size_t i = 0; i < names->count; i++)
        if (names->items[i].size == size && sqlite3_strnicmp(names->items[i].data, table, (int)size) == 0)
            return true;
    return false;
}

static int
may_read(struct sql_guard *guard, const char *table, const char *column)
{
    bool known = sqlite3_stricmp(table, "json_each") == 0 || sqlite3_stricmp(table, "json_tree") == 0
        || own_table(guard, table);
    /* Without a column it may be the name of a WITH table, which SQLite does not tell apart. */
    if (foreign_table(table) || (!known && column != NULL && *column != '\0'))
        return refuse(guard, "a projection reads only tables of its own", "it may not read", table);
    return SQLITE_OK;
}

static int
may_create(struct sql_guard *guard, int action, const char *name, const char *detail)
{
    static const char OWN[] = "choose another name";
    if (!guard->ddl)
        return refuse(guard, "put it under \"-- table\"", "only \"-- table\" may create", name);
    if (begins(name, "_cairn_") || begins(name, "pragma_"))
        return refuse(guard, OWN, "names that begin with _cairn_ or pragma_ are taken:", name);
    if (action == SQLITE_CREATE_VTABLE && sqlite3_stricmp(detail, "fts5") != 0)
        return refuse(guard, "USING fts5 is the only one", "there is no virtual table of the kind", detail);
    if ((action == SQLITE_CREATE_TRIGGER || action == SQLITE_CREATE_INDEX) && foreign_table(detail))
        return refuse(guard, "only on tables of its own", "it may not watch", detail);
    return SQLITE_OK;
}

static int
ask(void *context, int action, const char *a, const char *b, const char *c, const char *d)
{
    struct sql_guard *guard = context;
    const char *hint;
    (void)c;
    (void)d;
    if (guard->own)
        return SQLITE_OK;
    if (++guard->asked > PREPARE_ASKS_MAX)
        return refuse(guard, "simplify it", "the statement is too large once its views are unfolded", NULL);
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_FUNCTION:
        if (sql_function_refused(b, &hint))
            return refuse(guard, hint, "the function is not allowed here:", b);
        guard->rowid_used = guard->rowid_used || sqlite3_stricmp(b, "last_insert_rowid") == 0;
        return SQLITE_OK;
    case SQLITE_READ: return guard->ddl ? SQLITE_OK : may_read(guard, a, b);
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
        if (guard->ddl) /* SQLite's own schema table, as CREATE changes it */
            return SQLITE_OK;
        if (guard->reading)
            return refuse(guard, "", "it may not write", a);
        if (foreign_table(a) || !own_table(guard, a))
            return refuse(guard, "a projection writes only tables of its own", "it may not write", a);
        return SQLITE_OK;
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_VIEW: return may_create(guard, action, a, NULL);
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_CREATE_VTABLE: return may_create(guard, action, a, b);
    case SQLITE_REINDEX: /* CREATE INDEX asks for it */
        return guard->ddl ? SQLITE_OK : refuse(guard, "", "REINDEX is not allowed here", NULL);
    case SQLITE_PRAGMA: /* full-text search asks for the version as it runs; statements cannot begin with PRAGMA */
        return sqlite3_stricmp(a, "data_version") == 0 && b == NULL
            ? SQLITE_OK : refuse(guard, "", "PRAGMA is not allowed here", NULL);
    case SQLITE_ATTACH:
    case SQLITE_DETACH: return refuse(guard, "", "ATTACH and DETACH are not allowed here", NULL);
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
        return refuse(guard, "an event's statements are one transaction already", "transactions are not allowed here",
                      NULL);
    default: return refuse(guard, "", "only tables, indexes, views and triggers in the read model itself can be made",
                           a);
    }
}

/* A virtual table declares itself by a CREATE TABLE of its own when a connection first meets it: let that happen before
 * anybody asks. */
static void
meet(sqlite3 *db, const char *table)
{
    sqlite3_stmt *statement = NULL;
    char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\"", table);
    if (sql != NULL)
        (void)sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    sqlite3_finalize(statement);
    sqlite3_free(sql);
}

void
guard_set(sqlite3 *db, struct sql_guard *guard)
{
    const struct names *tables = &guard->projection->tables;
    sqlite3_set_authorizer(db, NULL, NULL);
    meet(db, "json_each");
    meet(db, "json_tree");
    for (size_t i = 0; i < tables->count; i++)
        meet(db, tables->items[i].data);
    sqlite3_set_authorizer(db, ask, guard);
}

/* SQLite prepares the first statement of a text and leaves the rest alone; nobody may lose one that way. */
static bool
more_follows(cairn_str sql, const char *tail)
{
    const char *end = sql.data + sql.size;
    size_t size;
    for (enum sql_token token; (token = sql_next(tail, end, &size)) != SQL_END; tail += size)
        if (token != SQL_SPACE && token != SQL_COMMENT && token != SQL_SEMICOLON)
            return true;
    return false;
}

cairn_err
guard_prepare(sqlite3 *db, struct sql_guard *guard, cairn_str sql, bool kept, sqlite3_stmt **ret,
              uint32_t *ret_line, const char **ret_hint, cairn_error *error)
{
    sqlite3_stmt *statement = NULL;
    const char *tail = NULL;
    guard->refused[0] = '\0';
    guard->hint = "";
    guard->asked = 0;
    int rc = sqlite3_prepare_v3(db, sql.data, (int)sql.size, kept ? SQLITE_PREPARE_PERSISTENT : 0, &statement, &tail);
    if (rc == SQLITE_OK && statement != NULL) {
        if (more_follows(sql, tail)) {
            sqlite3_finalize(statement);
            *ret_line = sql_line(sql.data, tail);
            *ret_hint = "one at a time";
            return error_set(error, CAIRN_E_INVALID, "more follows the statement's end");
        }
        *ret = statement;
        return CAIRN_OK;
    }
    int offset = rc == SQLITE_OK ? -1 : sqlite3_error_offset(db);
    *ret_line = offset > 0 && (size_t)offset <= sql.size ? sql_line(sql.data, sql.data + offset) : 1;
    *ret_hint = guard->hint;
    if (rc == SQLITE_OK)
        return error_set(error, CAIRN_E_INVALID, "the statement is empty");
    if (rc == SQLITE_NOMEM)
        return error_set(error, CAIRN_E_NOMEM, "no memory to prepare a statement");
    cairn_err err = sql_err(rc) == CAIRN_E_DENIED ? CAIRN_E_DENIED : sql_err(rc);
    return error_set(error, err, "%s", guard->refused[0] != '\0' ? guard->refused : sqlite3_errmsg(db));
}

/* ---- trying ---------------------------------------------------------------------------------------- */

static cairn_err
run_ddl(sqlite3 *db, struct sql_guard *guard, const struct statement *ddl, uint32_t *ret_line,
        const char **ret_hint, cairn_error *error)
{
    sqlite3_stmt *statement;
    cairn_err err = guard_prepare(db, guard, ddl->sql, false, &statement, ret_line, ret_hint, error);
    if (err != CAIRN_OK)
        return err;
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
        ;
    if (rc != SQLITE_DONE) { /* e.g. FTS5's own complaints about its arguments */
        *ret_line = 1;
        *ret_hint = guard->hint;
        err = error_set(error, sql_err(rc), "%s", guard->refused[0] != '\0' ? guard->refused : sqlite3_errmsg(db));
    }
    sqlite3_finalize(statement);
    return err;
}

cairn_err
projection_create(const struct projection *projection, sqlite3 *db, cairn_error *error)
{
    struct sql_guard guard = {.projection = projection, .ddl = true};
    uint32_t line;
    const char *hint;
    cairn_err err = CAIRN_OK;
    guard_set(db, &guard);
    for (size_t i = 0; i < projection->ddl_count && err == CAIRN_OK; i++)
        err = run_ddl(db, &guard, &projection->ddl_statements[i], &line, &hint, error);
    sqlite3_set_authorizer(db, NULL, NULL);
    return err;
}

static bool
transient(cairn_err err)
{
    return err == CAIRN_E_NOMEM;
}

static cairn_err
list_schema(struct projection *projection, sqlite3 *db, cairn_error *error)
{
    sqlite3_stmt *list;
    int rc = sqlite3_prepare_v2(db, "SELECT name, type FROM pragma_table_list WHERE schema = 'main'"
                                    " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_cairn\\_%' ESCAPE '\\'"
                                    " ORDER BY name", -1, &list, NULL);
    bool good = true;
    while (rc == SQLITE_OK && good && sqlite3_step(list) == SQLITE_ROW) {
        cairn_str name = cairn_cstr((const char *)sqlite3_column_text(list, 0));
        good = name.data != NULL && projection_name_add(projection, &projection->schema, name);
        if (good && strcmp((const char *)sqlite3_column_text(list, 1), "shadow") != 0)
            good = projection_name_add(projection, &projection->tables, name);
    }
    sqlite3_finalize(list);
    if (rc != SQLITE_OK)
        return sql_failed(db, rc, "listing tables", error);
    return good ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory to list tables");
}

/* CREATE VIEW [IF NOT EXISTS] name. */
static cairn_str
view_name(cairn_str sql)
{
    const char *at = sql.data, *end = sql.data + sql.size;
    size_t size, words = 0;
    for (enum sql_token token; (token = sql_next(at, end, &size)) != SQL_END; at += size) {
        if (token == SQL_SPACE || token == SQL_COMMENT)
            continue;
        words++;
        if (words == 2 && !sql_word_is(at, size, "view"))
            return (cairn_str){0};
        if (words > 2 && !sql_word_is(at, size, "if") && !sql_word_is(at, size, "not")
            && !sql_word_is(at, size, "exists")) {
            bool quoted = token == SQL_NAME && size >= 2;
            return (cairn_str){at + quoted, size - 2 * quoted};
        }
    }
    return (cairn_str){0};
}

/* Is any statement too large once unfolded? SQLite would do that before it asks anything. */
static cairn_err
check_unfolded(struct projection *projection, struct sql_faults *faults, cairn_error *error)
{
    struct sql_unfold *views = arena_alloc(&projection->arena, (projection->ddl_count + 1) * sizeof *views);
    size_t count = 0;
    if (views == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to check a projection");
    for (size_t i = 0; i < projection->ddl_count + projection->statement_count; i++) {
        bool ddl = i < projection->ddl_count;
        const struct statement *statement = ddl ? &projection->ddl_statements[i]
                                                : &projection->statements[i - projection->ddl_count];
        uint32_t parts = sql_unfolded(statement->sql, views, count);
        if (parts > PROJECTION_EXPANSION_MAX)
            sql_fault(faults, statement->line, "name each view and WITH table fewer times",
                      "the statement has too many parts once its views and WITH tables are unfolded (at most %d)",
                      PROJECTION_EXPANSION_MAX);
        cairn_str name = ddl ? view_name(statement->sql) : (cairn_str){0};
        if (name.size > 0)
            views[count++] = (struct sql_unfold){name, parts};
    }
    return CAIRN_OK;
}

static void
tell(struct sql_faults *faults, const struct statement *statement, uint32_t line, const char *hint,
     const cairn_error *error)
{
    sql_fault(faults, statement->line + line - 1, hint, "%s", error->detail);
}

/* A view that names what is not there shows itself only when it is read. */
static cairn_err
try_views(struct projection *projection, sqlite3 *db, struct sql_guard *guard, struct sql_faults *faults,
          cairn_error *error)
{
    for (size_t i = 0; i < projection->ddl_count; i++) {
        const struct statement *ddl = &projection->ddl_statements[i];
        cairn_str name = view_name(ddl->sql);
        char sql[700];
        sqlite3_stmt *statement = NULL;
        uint32_t line;
        const char *hint;
        cairn_error why = {0};
        if (name.size == 0 || name.size > 600)
            continue;
        snprintf(sql, sizeof sql, "SELECT * FROM \"%.*s\"", (int)name.size, name.data);
        cairn_err err = guard_prepare(db, guard, cairn_cstr(sql), false, &statement, &line, &hint, &why);
        sqlite3_finalize(statement);
        if (transient(err))
            return error_set(error, err, "%s", why.detail);
        if (err != CAIRN_OK)
            tell(faults, ddl, 1, hint, &why);
    }
    return CAIRN_OK;
}

static cairn_err
try_statements(struct projection *projection, sqlite3 *db, struct sql_guard *guard, struct sql_faults *faults,
          cairn_error *error)
{
    for (size_t i = 0; i < projection->statement_count; i++) {
        const struct statement *statement = &projection->statements[i];
        sqlite3_stmt *prepared = NULL;
        uint32_t line = 1;
        const char *hint = "";
        cairn_error why = {0};
        cairn_err err = guard_prepare(db, guard, statement->sql, false, &prepared, &line, &hint, &why);
        bool changes = err == CAIRN_OK && !sqlite3_stmt_readonly(prepared);
        sqlite3_finalize(prepared);
        if (transient(err))
            return error_set(error, err, "%s", why.detail);
        if (err != CAIRN_OK)
            tell(faults, statement, line, hint, &why);
        else if (!changes)
            sql_fault(faults, statement->line, "INSERT, UPDATE or DELETE", "the statement changes nothing");
    }
    return CAIRN_OK;
}

cairn_err
projection_try(struct projection *projection, struct sql_faults *faults, cairn_error *error)
{
    struct sql_guard guard = {.projection = projection, .ddl = true};
    sqlite3 *db = NULL;
    size_t before = faults->count;
    cairn_err err = check_unfolded(projection, faults, error);
    if (err != CAIRN_OK || faults->count > before)
        return err;
    if ((err = sql_open(NULL, SQL_SCRATCH, &db, error)) != CAIRN_OK)
        return err;
    err = sql_exec(db, PROJECTION_OWN_TABLES, error);
    guard_set(db, &guard);
    for (size_t i = 0; i < projection->ddl_count && err == CAIRN_OK; i++) {
        uint32_t line;
        const char *hint;
        cairn_error why = {0};
        cairn_err tried = run_ddl(db, &guard, &projection->ddl_statements[i], &line, &hint, &why);
        if (transient(tried))
            err = error_set(error, tried, "%s", why.detail);
        else if (tried != CAIRN_OK)
            tell(faults, &projection->ddl_statements[i], line, hint, &why);
    }
    sqlite3_set_authorizer(db, NULL, NULL);
    if (err == CAIRN_OK)
        err = list_schema(projection, db, error);
    guard.ddl = false;
    guard_set(db, &guard);
    /* With a table missing every statement that names it would complain too. */
    if (err == CAIRN_OK && faults->count == before)
        err = try_statements(projection, db, &guard, faults, error);
    guard.reading = true;
    if (err == CAIRN_OK && faults->count == before)
        err = try_views(projection, db, &guard, faults, error);
    projection->rowid_used = guard.rowid_used;
    sql_close(db);
    return err;
}

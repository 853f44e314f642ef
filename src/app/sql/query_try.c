/* Trying a query where every projection's tables are, empty and in memory: what it reads, what it gives, what is wrong.
 *
 * The same authoriser stands before every later preparation too, so that what was refused here stays refused: nothing
 * but reading, and that only of the projections' own tables. SQLite asks it also about what virtual tables do behind
 * the scenes: FTS5 and R-Tree read their shadow tables (name_data, …), FTS5 asks PRAGMA data_version. */
#include "query_int.h"

#include <base/error.h>
#include <base/json.h>

#include <ctype.h>
#include <stdio.h>

/* ---- the authoriser --------------------------------------------------------------------------------- */

static size_t
find_table(const struct query_sight *sight, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < sight->table_count; i++)
        if (sql_word_is(sight->tables[i].data, sight->tables[i].size, name))
            return i;
    static const char *const SHADOWS[] = {"_data", "_idx", "_content", "_docsize", "_config", "_node", "_rowid", "_parent"};
    for (size_t k = 0; k < sizeof SHADOWS / sizeof *SHADOWS; k++) {
        size_t tail = strlen(SHADOWS[k]);
        if (size <= tail || sqlite3_stricmp(name + size - tail, SHADOWS[k]) != 0)
            continue;
        for (size_t i = 0; i < sight->table_count; i++)
            if (sight->tables[i].size == size - tail
                && sqlite3_strnicmp(sight->tables[i].data, name, (int)(size - tail)) == 0)
                return i;
    }
    return sight->table_count;
}

static bool
begins(const char *name, const char *with)
{
    return sqlite3_strnicmp(name, with, (int)strlen(with)) == 0;
}

static int
read_table(struct query_sight *sight, const char *name, const char *column)
{
    if (name == NULL || *name == 0)
        return SQLITE_OK;
    size_t i = find_table(sight, name);
    if (i < sight->table_count) {
        if (sight->seen != NULL)
            sight->seen[i] = true;
        return SQLITE_OK;
    }
    if (sqlite3_stricmp(name, "json_each") == 0 || sqlite3_stricmp(name, "json_tree") == 0)
        return SQLITE_OK;
    if (sight->tried && sqlite3_stricmp(name, "sqlite_master") == 0)
        return SQLITE_OK;
    bool internal = begins(name, "sqlite_") || begins(name, "pragma_");
    for (size_t k = 0; k < sight->other_count; k++)
        internal |= sqlite3_stricmp(sight->others[k], name) == 0;
    /* Without a column it may be the name of a WITH, which is not asked about otherwise. */
    if (!internal && (column == NULL || *column == 0))
        return SQLITE_OK;
    snprintf(sight->refused, sizeof sight->refused, "\"%.60s\" is no table of a projection", name);
    return SQLITE_DENY;
}

static int
query_authorise(void *context, int action, const char *a, const char *b, const char *database, const char *via)
{
    struct query_sight *sight = context;
    const char *hint;
    (void)database;
    (void)via;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_READ: return read_table(sight, a, b);
    case SQLITE_FUNCTION:
        if (!sql_function_refused(b, &hint))
            return SQLITE_OK;
        snprintf(sight->refused, sizeof sight->refused, "%.40s() may not be used in a query", b);
        return SQLITE_DENY;
    case SQLITE_PRAGMA:
        if (a != NULL && sqlite3_stricmp(a, "data_version") == 0)
            return SQLITE_OK;
        break;
    case SQLITE_TRANSACTION:
        if (sight->own)
            return SQLITE_OK;
        break;
    case SQLITE_UPDATE:
        /* Connecting a virtual table compiles, and never runs, an update of the schema. The switches of sql_open() and
         * query_only keep anybody from writing there. */
        if (sight->tried && sqlite3_stricmp(a, "sqlite_master") == 0)
            return SQLITE_OK;
        break;
    default: break;
    }
    if (sight->refused[0] == 0)
        snprintf(sight->refused, sizeof sight->refused, "a query reads the tables of projections and does nothing else");
    return SQLITE_DENY;
}

/* json_each and json_tree come into being with their first use, and SQLite then asks as if something were written. */
cairn_err
query_sight_set(sqlite3 *db, struct query_sight *sight, cairn_error *error)
{
    cairn_err err = sql_exec(db, "SELECT 1 FROM json_each('[]'), json_tree('[]')", error);
    if (err == CAIRN_OK)
        sqlite3_set_authorizer(db, query_authorise, sight);
    return err;
}

/* ---- the scratch database ------------------------------------------------------------------------------ */

struct scratch {
    sqlite3 *db;
    struct projection *const *projections;
    size_t projection_count;
    cairn_str *tables;  /* of all projections */
    uint16_t *owners;   /* beside them */
    bool *seen;
    size_t table_count;
};

/* The first statement of some DDL, semicolon and all: a trigger's body has semicolons of its own. */
static cairn_err
first_statement(const char *at, const char *end, struct buf *ret, cairn_error *error)
{
    size_t size;
    buf_clear(ret);
    for (enum sql_token token; (token = sql_next(at, end, &size)) != SQL_END; at += size) {
        buf_put(ret, at, size);
        if (token != SQL_SEMICOLON)
            continue;
        buf_put_char(ret, 0);
        ret->size--;
        if (ret->failed || sqlite3_complete(ret->data))
            break;
    }
    buf_put_char(ret, 0);
    return ret->failed ? error_set(error, CAIRN_E_NOMEM, "out of memory") : CAIRN_OK;
}

/* One projection's DDL, a statement at a time: two projections may each have an index of the same name, which here,
 * where all is in one database, is there already. */
static cairn_err
make_tables(sqlite3 *db, struct projection *projection, cairn_error *error)
{
    cairn_str ddl = projection_ddl(projection);
    const char *at = ddl.data, *end = ddl.data + ddl.size;
    struct buf statement = {0};
    cairn_err err = CAIRN_OK;
    for (; err == CAIRN_OK && at < end; at += statement.size - 1) {
        if ((err = first_statement(at, end, &statement, error)) != CAIRN_OK)
            break;
        int rc = sqlite3_exec(db, statement.data, NULL, NULL, NULL);
        if (rc != SQLITE_OK && strstr(sqlite3_errmsg(db), "already exists") == NULL)
            err = sql_failed(db, rc, "the projections' tables", error);
    }
    buf_free(&statement);
    return err;
}

static cairn_err
list_tables(struct scratch *s, struct arena *arena, cairn_error *error)
{
    size_t count = 0;
    cairn_str name;
    for (size_t i = 0; i < s->projection_count; i++)
        for (size_t k = 0; projection_table(s->projections[i], k, &name); k++)
            count++;
    s->tables = arena_alloc(arena, (count + 1) * sizeof *s->tables);
    s->owners = arena_alloc(arena, (count + 1) * sizeof *s->owners);
    s->seen = arena_zalloc(arena, count + 1);
    if (s->tables == NULL || s->owners == NULL || s->seen == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    for (size_t i = 0; i < s->projection_count; i++)
        for (size_t k = 0; projection_table(s->projections[i], k, &name); k++) {
            s->owners[s->table_count] = (uint16_t)i;
            s->tables[s->table_count++] = name;
        }
    return CAIRN_OK;
}

/* What else there is: tables that a projection keeps for itself. */
static cairn_err
list_others(const struct scratch *s, struct arena *arena, struct query_sight *sight, cairn_error *error)
{
    sqlite3_stmt *statement = NULL;
    size_t capacity = 0;
    int rc = sqlite3_prepare_v2(s->db, "SELECT name, count(*) OVER () FROM sqlite_schema WHERE type IN ('table', 'view')", -1,
                                &statement, NULL);
    while (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        cairn_str name = cairn_cstr((const char *)sqlite3_column_text(statement, 0));
        if (capacity == 0) {
            capacity = (size_t)sqlite3_column_int64(statement, 1);
            sight->others = arena_alloc(arena, capacity * sizeof *sight->others);
        }
        name = arena_copy(arena, name);
        if (sight->others == NULL || name.data == NULL || sight->other_count == capacity) {
            (void)sqlite3_finalize(statement);
            return error_set(error, CAIRN_E_NOMEM, "out of memory");
        }
        if (find_table(sight, name.data) == sight->table_count)
            sight->others[sight->other_count++] = name.data;
    }
    rc = sqlite3_finalize(statement);
    return rc == SQLITE_OK ? CAIRN_OK : sql_failed(s->db, rc, "the projections' tables", error);
}

static cairn_err
open_scratch(struct scratch *s, struct arena *arena, cairn_error *error)
{
    /* What is kept: what read models may be made of, and json_each and json_tree. No table then speaks of SQLite itself. */
    static const char *const KEEP[] = {"fts5", "rtree", "rtree_i32", "json_each", "json_tree", NULL};
    cairn_err err = sql_open(NULL, SQL_SCRATCH, &s->db, error);
    if (err != CAIRN_OK)
        return err;
    const char **keep = (const char **)(uintptr_t)KEEP;
    (void)sqlite3_drop_modules(s->db, keep);
    for (size_t i = 0; err == CAIRN_OK && i < s->projection_count; i++)
        err = make_tables(s->db, s->projections[i], error);
    return err == CAIRN_OK ? list_tables(s, arena, error) : err;
}

/* ---- what came of it -------------------------------------------------------------------------------------- */

/* Where SQLite says no place: where the name stands. */
static int
find_word(const char *sql, cairn_str word)
{
    const char *at = sql, *end = sql + strlen(sql);
    size_t size;
    for (enum sql_token token; (token = sql_next(at, end, &size)) != SQL_END; at += size)
        if (token == SQL_WORD && size == word.size && sqlite3_strnicmp(at, word.data, (int)size) == 0)
            return (int)(at - sql);
    return -1;
}

static cairn_str
quoted_part(const char *message, const char *before)
{
    const char *at = strstr(message, before);
    return at == NULL ? (cairn_str){0} : cairn_cstr(at + strlen(before));
}

/* SQLite's message as a fault with its line, and what may have been meant. */
static void
prepare_fault(const struct scratch *s, const struct query_sight *sight, const char *sql, uint32_t first_line,
              struct sql_faults *faults)
{
    const char *message = sqlite3_errmsg(s->db);
    int offset = sqlite3_error_offset(s->db);
    char hint[160] = "";
    cairn_str table = quoted_part(message, "no such table: "), column = quoted_part(message, "no such column: ");
    if (offset < 0 && table.size > 0)
        offset = find_word(sql, table);
    uint32_t line = first_line + (offset > 0 ? sql_line(sql, sql + offset) - 1 : 0);
    if (sight->refused[0] != 0) {
        sql_fault(faults, line, "", "%s", sight->refused);
        return;
    }
    if (table.size > 0) {
        struct sql_nearest nearest = sql_nearest(table);
        for (size_t i = 0; i < s->table_count; i++)
            sql_nearest_try(&nearest, s->tables[i]);
        if (nearest.best.size > 0)
            snprintf(hint, sizeof hint, "did you mean %.*s?", (int)nearest.best.size, nearest.best.data);
        else
            snprintf(hint, sizeof hint, "a query reads tables that a projection of this app makes");
    } else if (column.size > 0) {
        bool quotes = offset > 0 && sql[offset] == '"';
        snprintf(hint, sizeof hint, quotes ? "text stands between single quotes: 'text'" : "the columns are those of the projection's CREATE TABLE");
    }
    sql_fault(faults, line, hint, "%s", message);
}

static enum query_type
declared_type(const char *text)
{
    char upper[64];
    size_t size = 0;
    if (text == NULL || *text == 0)
        return QUERY_ANY;
    for (; text[size] && size < sizeof upper - 1; size++)
        upper[size] = (char)toupper((unsigned char)text[size]);
    upper[size] = 0;
    /* https://www.sqlite.org/datatype3.html §3.1, in its order */
    if (strstr(upper, "INT"))
        return QUERY_INTEGER;
    if (strstr(upper, "CHAR") || strstr(upper, "CLOB") || strstr(upper, "TEXT"))
        return QUERY_TEXT;
    if (strstr(upper, "BLOB"))
        return QUERY_BLOB;
    if (strstr(upper, "REAL") || strstr(upper, "FLOA") || strstr(upper, "DOUB"))
        return QUERY_REAL;
    return QUERY_NUMBER;
}

static bool
plain_name(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_' && *name != '-' && *name != '.' && (unsigned char)*name < 0x80)
            return false;
    return true;
}

static cairn_err
take_columns(struct query *q, sqlite3_stmt *statement, uint32_t line, struct sql_faults *faults, cairn_error *error)
{
    size_t count = (size_t)sqlite3_column_count(statement);
    if (count > QUERY_COLUMNS_MAX) {
        sql_fault(faults, line, "", "%zu output columns; the limit is %d", count, QUERY_COLUMNS_MAX);
        return CAIRN_OK;
    }
    struct query_column *columns = arena_zalloc(&q->arena, (count + 1) * sizeof *columns);
    if (columns == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const char *name = sqlite3_column_name(statement, (int)i);
        struct buf member = {0};
        if (name == NULL)
            return error_set(error, CAIRN_E_NOMEM, "out of memory");
        if (!plain_name(name))
            sql_warning(faults, line, "give it a name: … AS name", "output column %zu is called \"%.60s\"", i + 1, name);
        buf_put_char(&member, i ? ',' : '{');
        json_put_string(&member, cairn_cstr(name));
        buf_put_char(&member, ':');
        columns[i].name = arena_copy(&q->arena, cairn_cstr(name));
        columns[i].member = arena_copy(&q->arena, buf_str(&member));
        columns[i].type = declared_type(sqlite3_column_decltype(statement, (int)i));
        bool failed = member.failed || columns[i].name.data == NULL || columns[i].member.data == NULL;
        buf_free(&member);
        if (failed)
            return error_set(error, CAIRN_E_NOMEM, "out of memory");
        for (size_t k = 0; k < i; k++)
            if (cairn_str_equal(columns[k].name, columns[i].name))
                sql_fault(faults, line, "rename one: … AS other", "two output columns are called \"%.60s\"", name);
    }
    q->columns = columns;
    q->column_count = count;
    return CAIRN_OK;
}

/* Which projections it reads, in the app's order, and all of their tables. */
static cairn_err
take_projections(struct query *q, const struct scratch *s, uint32_t line, struct sql_faults *faults, cairn_error *error)
{
    bool *used = arena_zalloc(&q->arena, s->projection_count + 1);
    q->projections = arena_alloc(&q->arena, (s->projection_count + 1) * sizeof *q->projections);
    q->tables = arena_alloc(&q->arena, (s->table_count + 1) * sizeof *q->tables);
    if (used == NULL || q->projections == NULL || q->tables == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    for (size_t i = 0; i < s->table_count; i++)
        if (s->seen[i])
            used[s->owners[i]] = true;
    for (size_t i = 0; i < s->table_count; i++)
        for (size_t k = 0; s->seen[i] && k < s->table_count; k++)
            if (s->owners[k] != s->owners[i] && s->tables[i].size == s->tables[k].size
                && sqlite3_strnicmp(s->tables[i].data, s->tables[k].data, (int)s->tables[i].size) == 0) {
                cairn_str a = projection_name(s->projections[s->owners[i]]), b = projection_name(s->projections[s->owners[k]]);
                sql_fault(faults, line, "names of tables are different in all projections of an app: rename one",
                          "the table %.*s is in projection %.*s and in %.*s", (int)s->tables[i].size, s->tables[i].data,
                          (int)a.size, a.data, (int)b.size, b.data);
            }
    for (size_t i = 0; i < s->projection_count; i++)
        if (used[i])
            q->projections[q->projection_count++] = arena_copy(&q->arena, projection_name(s->projections[i]));
    for (size_t i = 0; i < s->table_count; i++)
        if (used[s->owners[i]])
            q->tables[q->table_count++] = arena_copy(&q->arena, s->tables[i]);
    for (size_t i = 0; i < q->projection_count; i++)
        if (q->projections[i].data == NULL)
            return error_set(error, CAIRN_E_NOMEM, "out of memory");
    for (size_t i = 0; i < q->table_count; i++)
        if (q->tables[i].data == NULL)
            return error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (q->projection_count > QUERY_MODELS_MAX)
        sql_fault(faults, line, "", "it reads %zu projections; the limit is %d", q->projection_count, QUERY_MODELS_MAX);
    return CAIRN_OK;
}

/* As it will run, with the parentheses around it. */
static cairn_err
try_wrapped(const struct query *q, const struct scratch *s, uint32_t line, struct query_sight *sight,
            struct sql_faults *faults, cairn_error *error)
{
    struct query_args args = {.part = PART_FIRST};
    struct buf sql = {0};
    sqlite3_stmt *statement = NULL;
    query_sql(q, &args, &sql);
    cairn_err err = sql.failed ? error_set(error, CAIRN_E_NOMEM, "out of memory") : CAIRN_OK;
    if (err == CAIRN_OK && sqlite3_prepare_v2(s->db, sql.data, (int)sql.size, &statement, NULL) != SQLITE_OK)
        prepare_fault(s, sight, q->sql.data, line, faults);
    else if (err == CAIRN_OK && (size_t)sqlite3_column_count(statement) != q->column_count)
        sql_fault(faults, line, "", "its output columns are not the same inside another SELECT");
    (void)sqlite3_finalize(statement);
    buf_free(&sql);
    return err;
}

cairn_err
query_try(struct query *query, struct projection *const *projections, size_t count, uint32_t line,
          struct sql_faults *faults, cairn_error *error)
{
    struct scratch s = {.projections = projections, .projection_count = count};
    sqlite3_stmt *statement = NULL;
    cairn_err err = open_scratch(&s, &query->arena, error);
    if (err != CAIRN_OK)
        goto done;

    struct query_sight sight = {.tables = s.tables, .table_count = s.table_count, .seen = s.seen};
    if ((err = list_others(&s, &query->arena, &sight, error)) != CAIRN_OK)
        goto done;
    if ((err = query_sight_set(s.db, &sight, error)) != CAIRN_OK)
        goto done;
    int rc = sqlite3_prepare_v2(s.db, query->sql.data, (int)query->sql.size, &statement, NULL);
    if (rc == SQLITE_NOMEM) {
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
        goto done;
    }
    if (rc != SQLITE_OK) {
        prepare_fault(&s, &sight, query->sql.data, line, faults);
        goto done;
    }
    if (!sqlite3_stmt_readonly(statement) || sqlite3_column_count(statement) == 0) {
        sql_fault(faults, line, "", "a query is one SELECT");
        goto done;
    }
    err = take_projections(query, &s, line, faults, error);
    if (err == CAIRN_OK)
        err = take_columns(query, statement, line, faults, error);
    if (err == CAIRN_OK && faults->count == 0)
        err = try_wrapped(query, &s, line, &sight, faults, error);
done:
    (void)sqlite3_finalize(statement);
    sql_close(s.db);
    return err;
}

/* Lua projections: the statements that a script asks for, prepared under the same guard, kept between events. */
#include "runner_int.h"

#include <base/error.h>
#include <stdlib.h>

#define LUA_ROWS_MAX 1000
#define LUA_BYTES_MAX (1 << 20)

cairn_err
applier_lua_open(struct applier *applier, cairn_error *error)
{
    struct lua_limits limits = projection_lua_limits();
    applier->lua_statements = calloc(LUA_STATEMENTS_MAX, sizeof *applier->lua_statements);
    if (applier->lua_statements == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for statements");
    return lua_projection_make(applier->projection->path, &applier->projection->sources, &limits, &applier->lua, error);
}

void
applier_lua_close(struct applier *applier)
{
    for (size_t i = 0; applier->lua_statements != NULL && i < LUA_STATEMENTS_MAX; i++) {
        sqlite3_finalize(applier->lua_statements[i].statement);
        free(applier->lua_statements[i].sql);
    }
    free(applier->lua_statements);
    applier->lua_statements = NULL;
    if (applier->lua != NULL)
        lua_projection_free(applier->lua);
    applier->lua = NULL;
}

/* The statement for a text; of 64 the least recently used goes. */
static cairn_err
find_statement(struct applier *applier, cairn_str sql, sqlite3_stmt **ret, cairn_error *error)
{
    struct lua_statement *oldest = &applier->lua_statements[0];
    for (size_t i = 0; i < LUA_STATEMENTS_MAX; i++) {
        struct lua_statement *at = &applier->lua_statements[i];
        if (at->sql != NULL && strlen(at->sql) == sql.size && memcmp(at->sql, sql.data, sql.size) == 0) {
            at->used = ++applier->lua_clock;
            *ret = at->statement;
            return CAIRN_OK;
        }
        if (at->used < oldest->used)
            oldest = at;
    }
    if (sql.size > SQL_TEXT_MAX / 2 || sql_unfolded(sql, NULL, 0) > PROJECTION_EXPANSION_MAX)
        return error_set(error, CAIRN_E_SCRIPT, "the statement is too large");
    uint32_t line;
    const char *hint;
    sqlite3_stmt *statement = NULL;
    cairn_err err = guard_prepare(applier->db, &applier->guard, sql, true, &statement, &line, &hint, error);
    if (err != CAIRN_OK)
        return err == CAIRN_E_NOMEM ? err : error_set(error, CAIRN_E_SCRIPT, "%s", error->detail);
    char *copy = malloc(sql.size + 1);
    if (copy == NULL) {
        sqlite3_finalize(statement);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a statement");
    }
    memcpy(copy, sql.data, sql.size);
    copy[sql.size] = '\0';
    sqlite3_finalize(oldest->statement);
    free(oldest->sql);
    *oldest = (struct lua_statement){copy, statement, ++applier->lua_clock};
    *ret = statement;
    return CAIRN_OK;
}

static cairn_err
bind_one(struct applier *applier, sqlite3_stmt *statement, int index, struct json value, cairn_error *error)
{
    int64_t integer;
    double real;
    cairn_str text;
    int rc = SQLITE_OK;
    switch (value.type) {
    case JSON_STRING:
        text = json_string(value, &applier->values.arena);
        if (text.data == NULL)
            return error_set(error, CAIRN_E_SCRIPT, "a string is no valid text");
        rc = sqlite3_bind_text64(statement, index, text.data, text.size, SQLITE_TRANSIENT, SQLITE_UTF8);
        break;
    case JSON_NUMBER:
        if (json_i64(value, &integer))
            rc = sqlite3_bind_int64(statement, index, integer);
        else
            rc = json_double(value, &real) ? sqlite3_bind_double(statement, index, real)
                                           : sqlite3_bind_null(statement, index);
        break;
    case JSON_TRUE:
    case JSON_FALSE: rc = sqlite3_bind_int(statement, index, value.type == JSON_TRUE); break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        rc = sqlite3_bind_text64(statement, index, value.raw.data, value.raw.size, SQLITE_TRANSIENT, SQLITE_UTF8);
        break;
    default: rc = sqlite3_bind_null(statement, index); break;
    }
    return rc == SQLITE_OK ? CAIRN_OK : sql_failed(applier->db, rc, "binding", error);
}

static cairn_err
bind_params(struct applier *applier, sqlite3_stmt *statement, struct json params, cairn_error *error)
{
    int count = sqlite3_bind_parameter_count(statement);
    (void)sqlite3_clear_bindings(statement);
    for (int i = 1; i <= count; i++) {
        const char *name = sqlite3_bind_parameter_name(statement, i);
        if (name == NULL || *name == '?')
            return error_set(error, CAIRN_E_SCRIPT, "parameters have names: :name");
        cairn_err err = bind_one(applier, statement, i, json_get(params, name + 1), error);
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}

static void
put_row(sqlite3_stmt *statement, struct buf *to)
{
    json_put_comma(to);
    buf_put_char(to, '{');
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        json_put_comma(to);
        json_put_string(to, cairn_cstr(sqlite3_column_name(statement, i)));
        buf_put_char(to, ':');
        sql_put_column(to, statement, i);
    }
    buf_put_char(to, '}');
}

static cairn_err
run(void *context, cairn_str sql, struct json params, struct buf *rows, cairn_error *error)
{
    struct applier *applier = context;
    sqlite3_stmt *statement = NULL;
    cairn_error own = {0};
    if (error == NULL)
        error = &own;
    cairn_err err = find_statement(applier, sql, &statement, error);
    if (err == CAIRN_OK)
        err = bind_params(applier, statement, params, error);
    if (err != CAIRN_OK)
        return err;
    size_t count = 0, begin = rows->size;
    int rc;
    buf_put_char(rows, '[');
    while (err == CAIRN_OK && (rc = sqlite3_step(statement)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW)
            err = rc == SQLITE_INTERRUPT && !applier->interrupted
                ? error_set(error, CAIRN_E_SCRIPT, "the event took more than %d million steps", RUNNER_STEPS_MAX / 1000)
                : error_set(error, sql_err(rc), "%s", sqlite3_errmsg(applier->db));
        else {
            if (++count <= LUA_ROWS_MAX)
                put_row(statement, rows);
            if (count > LUA_ROWS_MAX || rows->size - begin > LUA_BYTES_MAX)
                err = error_set(error, CAIRN_E_SCRIPT, "more than %d rows or %d bytes", LUA_ROWS_MAX, LUA_BYTES_MAX);
        }
    }
    buf_put_char(rows, ']');
    (void)sqlite3_reset(statement);
    applier->lua_failed = err;
    if (err == CAIRN_OK && rows->failed)
        err = error_set(error, CAIRN_E_NOMEM, "no memory for rows");
    return err;
}

cairn_err
applier_lua_event(struct applier *applier, const cairn_recorded *event, cairn_error *error)
{
    if (applier->values.arena.used_bytes > 0)
        arena_reset(&applier->values.arena);
    sqlite3_set_last_insert_rowid(applier->db, 0);
    applier->lua_failed = CAIRN_OK;
    cairn_err err = lua_projection_apply(applier->lua, event, run, applier, error);
    /* To the script it was an error like any other; to us a full disk is not the event's fault. */
    if (err == CAIRN_E_SCRIPT && (error_is_transient(applier->lua_failed) || applier->lua_failed == CAIRN_E_CORRUPT))
        err = applier->lua_failed;
    if (err == CAIRN_OK && sqlite3_get_autocommit(applier->db) != 0)
        err = error_set(error, CAIRN_E_SCRIPT, "a statement ended the transaction");
    return err;
}

/* One call of a query: arguments, statement, rows as JSON, and the cursor of the next page.
 *
 * One row more than the page holds is asked for; whether it comes says whether there is a next page. All rows of a
 * page are of one snapshot of each read model. */
#include "query_int.h"

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>

struct page {
    const struct query *query;
    const struct query_args *args;
    struct buf *to, *cursor;
    size_t begin; /* of the answer in `to` */
    uint32_t rows;
    bool more;
};

/* ---- binding --------------------------------------------------------------------------------------------- */

static int
bind_value(sqlite3_stmt *statement, int index, const struct query_value *value)
{
    const char *text = value->kind >= SQLITE_TEXT && value->text.data ? value->text.data : "";
    switch (value->kind) {
    case SQLITE_INTEGER: return sqlite3_bind_int64(statement, index, value->whole);
    case SQLITE_FLOAT: return sqlite3_bind_double(statement, index, value->real);
    case SQLITE_TEXT: return sqlite3_bind_text(statement, index, text, (int)value->text.size, SQLITE_STATIC);
    case SQLITE_BLOB: return sqlite3_bind_blob(statement, index, text, (int)value->text.size, SQLITE_STATIC);
    default: return sqlite3_bind_null(statement, index);
    }
}

_Static_assert(SQLITE_NULL > SQLITE_BLOB && SQLITE_BLOB > SQLITE_TEXT && SQLITE_TEXT > SQLITE_FLOAT, "bind_value relies on it");

static int
bind_all(const struct query *query, const struct query_args *args, uint32_t row_max, sqlite3_stmt *statement)
{
    int rc = sqlite3_bind_int64(statement, query_limit_index(query), row_max);
    for (size_t i = 0; rc == SQLITE_OK && i < query->param_count; i++)
        rc = bind_value(statement, (int)i + 1, &args->params[i]);
    for (size_t i = 0; rc == SQLITE_OK && args->part == PART_AFTER && i < args->sort_count; i++)
        rc = bind_value(statement, query_after_index(query) + (int)i, &args->after[i]);
    for (size_t i = 0; rc == SQLITE_OK && i < args->value_count; i++)
        rc = bind_value(statement, query_values_index(query) + (int)i, &args->values[i]);
    return rc;
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

/* A JSON column's text as it is; what is no JSON (the projection may have put anything there) as a string. */
static void
put_json_text(struct buf *to, cairn_str text)
{
    struct json value;
    if (json_check(text, &value, NULL) == CAIRN_OK)
        buf_put_str(to, value.raw);
    else
        json_put_string(to, text);
}

static void
put_cell(struct buf *to, const struct query_column *column, sqlite3_stmt *statement, int i)
{
    int kind = sqlite3_column_type(statement, i);
    if (kind == SQLITE_TEXT && column->json) {
        const char *text = (const char *)sqlite3_column_text(statement, i);
        if (text == NULL)
            to->failed = true;
        else
            put_json_text(to, (cairn_str){text, (size_t)sqlite3_column_bytes(statement, i)});
    } else if (kind == SQLITE_INTEGER && column->type == QUERY_BOOLEAN)
        buf_put_str(to, sqlite3_column_int64(statement, i) ? CAIRN_STR("true") : CAIRN_STR("false"));
    else
        sql_put_column(to, statement, i);
}

static cairn_err
put_row(struct page *page, sqlite3_stmt *statement, cairn_error *error)
{
    const struct query *query = page->query;
    if (page->rows > 0)
        buf_put_char(page->to, ',');
    for (size_t i = 0; i < query->column_count; i++) {
        buf_put_str(page->to, query->columns[i].member);
        put_cell(page->to, &query->columns[i], statement, (int)i);
        if (page->to->size - page->begin > QUERY_ANSWER_BYTES)
            return error_set(error, CAIRN_E_LIMIT, "query \"%.*s\": the answer is larger than %d MiB; ask for fewer rows",
                             (int)query->name.size, query->name.data, QUERY_ANSWER_BYTES >> 20);
    }
    buf_put_char(page->to, '}');
    page->rows++;
    return CAIRN_OK;
}

/* ---- what may go wrong -------------------------------------------------------------------------------------- */

/* FTS5 reads a MATCH when the statement runs, and says so in these words. */
static bool
is_match_fault(const char *message)
{
    static const char *const BEGINNINGS[] = {"fts5: ", "unterminated string", "no such column", "unknown special query"};
    for (size_t i = 0; i < sizeof BEGINNINGS / sizeof *BEGINNINGS; i++)
        if (strncmp(message, BEGINNINGS[i], strlen(BEGINNINGS[i])) == 0)
            return true;
    return false;
}

static cairn_err
run_failed(struct query_cache *cache, const struct query *query, sqlite3_stmt *statement, int rc, cairn_error *error)
{
    sqlite3 *db = sqlite3_db_handle(statement);
    int size = (int)query->name.size;
    const char *name = query->name.data, *message = sqlite3_errmsg(db);
    switch (query_budget_stop(cache)) {
    case STOP_STEPS: return error_set(error, CAIRN_E_BUSY, "query \"%.*s\" takes more work than the quick path allows", size, name);
    case STOP_TIME:
        return error_set(error, CAIRN_E_TIMEOUT, "query \"%.*s\" took too long (-- timeout, timeout_ms)", size, name);
    case STOP_NOT: break;
    }
    if ((rc & 0xFF) == SQLITE_TOOBIG)
        return error_set(error, CAIRN_E_LIMIT, "query \"%.*s\": a value is larger than %d MiB", size, name, QUERY_ANSWER_BYTES >> 20);
    if ((rc & 0xFF) != SQLITE_ERROR)
        return error_set(error, sql_err(rc), "query \"%.*s\": %s", size, name, message);
    for (size_t i = 0; i < query->param_count; i++)
        if (query->params[i].match && is_match_fault(message))
            return error_set(error, CAIRN_E_INVALID, "parameter \"%.*s\" is no full-text expression: %s",
                             (int)query->params[i].name.size, query->params[i].name.data, message);
    return error_set(error, query->param_count ? CAIRN_E_INVALID : CAIRN_E_SCRIPT, "query \"%.*s\" fails%s: %s", size, name,
                     query->param_count ? " with these parameters" : "", message);
}

/* ---- running ------------------------------------------------------------------------------------------------ */

/* Rows of one statement, until the page is full or they end. */
static cairn_err
put_rows(struct page *page, struct query_cache *cache, sqlite3_stmt *statement, cairn_error *error)
{
    const struct query *query = page->query;
    int rc = bind_all(query, page->args, page->args->limit - page->rows + (query->one ? 0 : 1), statement);
    if (rc != SQLITE_OK)
        return run_failed(cache, query, statement, rc, error);
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        cairn_err err;
        if ((size_t)sqlite3_data_count(statement) != query->column_count)
            return error_set(error, CAIRN_E_BUSY, "query \"%.*s\": the read model has just been changed", (int)query->name.size,
                             query->name.data);
        if (page->rows == page->args->limit) {
            page->more = true;
            return CAIRN_OK;
        }
        if ((err = put_row(page, statement, error)) != CAIRN_OK)
            return err;
        if (page->rows == page->args->limit && query->keyed && !query->one) {
            buf_clear(page->cursor);
            if ((err = query_cursor_put(query, page->args, statement, page->cursor, error)) != CAIRN_OK)
                return err;
        }
    }
    return rc == SQLITE_DONE ? CAIRN_OK : run_failed(cache, query, statement, rc, error);
}

/* A cursor that stands on a value of a descending first column: rows where that is NULL come in a second statement. */
static bool
has_two_parts(const struct query_args *args)
{
    return args->part == PART_AFTER && args->sort[0].descending && args->after[0].kind != SQLITE_NULL;
}

static cairn_err
run_parts(struct page *page, struct query_cache *cache, const struct query_call *call, struct query_args *args,
          cairn_error *error)
{
    bool two = has_two_parts(args);
    struct query_statement statement = {0};
    cairn_err err = query_cache_get(cache, page->query, call, args, &statement, error);
    if (err == CAIRN_OK && two)
        err = query_cache_hold(statement.conn, error);
    if (err == CAIRN_OK)
        err = put_rows(page, cache, statement.handle, error);
    if (err == CAIRN_OK && two && !page->more) {
        (void)sqlite3_reset(statement.handle);
        args->part = PART_NULLS;
        err = query_cache_get(cache, page->query, call, args, &statement, error);
        if (err == CAIRN_OK)
            err = put_rows(page, cache, statement.handle, error);
    }
    query_cache_done(cache, &statement);
    return err;
}

static cairn_err
put_end(struct page *page, uint64_t position, cairn_error *error)
{
    const struct query *query = page->query;
    struct buf *to = page->to;
    if (query->one) {
        if (page->rows == 0)
            return error_set(error, CAIRN_E_NOTFOUND, "query \"%.*s\" finds nothing", (int)query->name.size, query->name.data);
    } else {
        buf_put_str(to, CAIRN_STR("],\"next\":"));
        if (page->more && query->keyed) {
            buf_put_char(to, '"');
            buf_put_str(to, buf_str(page->cursor));
            buf_put_char(to, '"');
        } else
            buf_put_str(to, CAIRN_STR("null"));
        if (page->more && !query->keyed)
            buf_put_str(to, CAIRN_STR(",\"truncated\":true"));
    }
    buf_put_str(to, CAIRN_STR(",\"position\":"));
    json_put_u64(to, position);
    buf_put_char(to, '}');
    return CAIRN_OK;
}

cairn_err
query_run(const struct query *query, struct query_cache *cache, const struct query_call *call, struct buf *to,
          cairn_error *error)
{
    struct query_args args;
    struct page page = {.query = query, .args = &args, .to = to, .begin = to->size, .cursor = query_cache_bytes(cache, 1)};
    cairn_err err = query_args_read(query, call, &args, error);
    if (err != CAIRN_OK)
        return err;
    query_budget_begin(cache, query, call);
    if (call->cursor.size > 0) {
        if (!query->keyed || query->one)
            return error_set(error, CAIRN_E_INVALID, "cursor: query \"%.*s\" has no pages", (int)query->name.size, query->name.data);
        err = query_cursor_get(query, call->cursor, query_cache_bytes(cache, 2), &args, error);
        if (err != CAIRN_OK)
            return err;
    }
    buf_put_str(to, query->one ? CAIRN_STR("{\"row\":") : CAIRN_STR("{\"rows\":["));
    err = run_parts(&page, cache, call, &args, error);
    if (err == CAIRN_OK)
        err = put_end(&page, call->position, error);
    if (err == CAIRN_OK && (to->failed || page.cursor->failed))
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (err != CAIRN_OK)
        to->size = page.begin;
    return err;
}

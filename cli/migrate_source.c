/* Where a migration's rows come from: SQLite and CSV here, PostgreSQL in migrate_postgres.c. See migrate.h.
 *
 * A database is read in one transaction, so that rows and the checks over them are of one moment. Nothing is
 * ever written to a source. */
#include <base/error.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "csv.h"
#include "migrate.h"

/* ---- all kinds --------------------------------------------------------------------------------------------- */

cairn_err
source_open(const struct mapping *mapping, struct source **ret, cairn_error *error)
{
    switch (mapping->kind) {
    case SOURCE_SQLITE:
        return source_sqlite_open(mapping, ret, error);
    case SOURCE_POSTGRES:
        return source_postgres_open(mapping, ret, error);
    case SOURCE_CSV:
        return source_csv_open(mapping, ret, error);
    }
    return error_set(error, CAIRN_E_UNSUPPORTED, "no such source");
}

void
source_close(struct source *source)
{
    if (!source)
        return;
    arena_free(&source->arena);
    source->ops->close(source);
}

cairn_err
source_column(struct source *source, size_t index, cairn_str name, cairn_error *error)
{
    if (index == 0)
        source->columns = arena_alloc(&source->arena, COLUMNS_MAX * sizeof *source->columns);
    if (index >= COLUMNS_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the source has more than %d columns", COLUMNS_MAX);
    if (!source->columns)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    source->columns[index] = arena_copy(&source->arena, name);
    source->column_count = index + 1;
    return source->columns[index].data ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "out of memory");
}

cairn_err
source_key(struct source *source, const struct mapping *mapping, cairn_error *error)
{
    struct buf list = {0};
    source->key = mapping->key;
    for (size_t i = 0; i < source->column_count; i++) {
        if (cairn_str_equal(source->columns[i], cairn_cstr(mapping->key))) {
            source->key_column = i;
            buf_free(&list);
            return CAIRN_OK;
        }
        buf_printf(&list, "%s%.*s", i ? ", " : "", (int)source->columns[i].size, source->columns[i].data);
    }
    cairn_err err = error_set(error, CAIRN_E_INVALID, "%s:%u: the source has no column \"%s\" for its key; there are %.*s",
                              mapping->path, mapping->key_line, mapping->key, (int)(list.size < 160 ? list.size : 160),
                              list.size ? list.data : "");
    buf_free(&list);
    return err;
}

void
sql_put_name(struct buf *to, cairn_str name, bool dotted)
{
    buf_put_char(to, '"');
    for (size_t i = 0; i < name.size; i++) {
        if (dotted && name.data[i] == '.') {
            buf_put_str(to, CAIRN_STR("\".\""));
            continue;
        }
        if (name.data[i] == '"')
            buf_put_char(to, '"');
        buf_put_char(to, name.data[i]);
    }
    buf_put_char(to, '"');
}

void
sql_put_select(struct buf *to, const struct mapping *mapping, cairn_str expression)
{
    buf_put_str(to, CAIRN_STR("SELECT "));
    buf_put_str(to, expression.size ? expression : CAIRN_STR("*"));
    buf_put_str(to, CAIRN_STR(" FROM "));
    if (mapping->table.size) {
        sql_put_name(to, mapping->table, true);
    } else { /* the line break ends a comment that the query may end with */
        buf_put_char(to, '(');
        buf_put_str(to, mapping->query);
        buf_put_str(to, CAIRN_STR("\n) AS source"));
    }
}

/* ---- SQLite -------------------------------------------------------------------------------------------------- */

struct sqlite_source {
    struct source source;
    const struct mapping *mapping;
    sqlite3 *db;
    sqlite3_stmt *rows;
    struct value *values;
    struct buf *texts; /* numbers as JSON, a buffer a column */
};

static cairn_err
sqlite_failed(struct sqlite_source *self, const char *doing, cairn_error *error)
{
    int code = sqlite3_errcode(self->db) & 0xFF;
    cairn_err err = code == SQLITE_NOMEM                              ? CAIRN_E_NOMEM
                    : code == SQLITE_ERROR || code == SQLITE_NOTADB ? CAIRN_E_INVALID
                    : code == SQLITE_CANTOPEN                       ? CAIRN_E_NOTFOUND
                    : code == SQLITE_BUSY                           ? CAIRN_E_BUSY
                                                                    : CAIRN_E_IO;
    return error_set(error, err, "%s: %s: %s", self->mapping->location, doing, sqlite3_errmsg(self->db));
}

static cairn_err
sqlite_prepare(struct sqlite_source *self, struct buf *sql, sqlite3_stmt **ret, cairn_error *error)
{
    buf_put_char(sql, '\0');
    if (sql->failed)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (sqlite3_prepare_v2(self->db, sql->data, -1, ret, NULL) != SQLITE_OK)
        return sqlite_failed(self, "the query", error);
    return CAIRN_OK;
}

static void
sqlite_close(struct source *source)
{
    struct sqlite_source *self = (struct sqlite_source *)source;
    sqlite3_finalize(self->rows);
    sqlite3_close(self->db);
    for (size_t i = 0; self->texts && i < source->column_count; i++)
        buf_free(&self->texts[i]);
    free(self->texts);
    free(self->values);
    free(self);
}

static void
sqlite_bind(sqlite3_stmt *statement, const struct value *key)
{
    int64_t whole;
    double number;
    struct json json = {JSON_NUMBER, key->text};
    if (key->kind == VALUE_NUMBER && json_i64(json, &whole))
        sqlite3_bind_int64(statement, 1, whole);
    else if (key->kind == VALUE_NUMBER && json_double(json, &number))
        sqlite3_bind_double(statement, 1, number);
    else
        sqlite3_bind_text(statement, 1, key->text.data, (int)key->text.size, SQLITE_TRANSIENT);
}

static cairn_err
sqlite_begin(struct source *source, const struct value *after, uint64_t rows __attribute__((unused)), cairn_error *error)
{
    struct sqlite_source *self = (struct sqlite_source *)source;
    struct buf sql = {0};
    sqlite3_finalize(self->rows);
    self->rows = NULL;
    sql_put_select(&sql, self->mapping, (cairn_str){0});
    if (after) {
        buf_put_str(&sql, CAIRN_STR(" WHERE "));
        sql_put_name(&sql, cairn_cstr(source->key), false);
        buf_put_str(&sql, CAIRN_STR(" > ?1"));
    }
    buf_put_str(&sql, CAIRN_STR(" ORDER BY "));
    sql_put_name(&sql, cairn_cstr(source->key), false);
    cairn_err err = sqlite_prepare(self, &sql, &self->rows, error);
    if (err == CAIRN_OK && after)
        sqlite_bind(self->rows, after);
    buf_free(&sql);
    return err;
}

static void
sqlite_value(struct sqlite_source *self, size_t column, struct value *ret)
{
    int at = (int)column;
    struct buf *text = &self->texts[column];
    buf_clear(text);
    switch (sqlite3_column_type(self->rows, at)) {
    case SQLITE_INTEGER:
        json_put_i64(text, sqlite3_column_int64(self->rows, at));
        *ret = (struct value){VALUE_NUMBER, buf_str(text)};
        return;
    case SQLITE_FLOAT:
        json_put_double(text, sqlite3_column_double(self->rows, at));
        *ret = (struct value){VALUE_NUMBER, buf_str(text)};
        if (cairn_str_equal(ret->text, CAIRN_STR("null"))) /* infinite */
            *ret = (struct value){0};
        return;
    case SQLITE_TEXT:
    case SQLITE_BLOB:
        *ret = (struct value){sqlite3_column_type(self->rows, at) == SQLITE_TEXT ? VALUE_TEXT : VALUE_BYTES, {0}};
        ret->text.data = sqlite3_column_blob(self->rows, at);
        ret->text.size = (size_t)sqlite3_column_bytes(self->rows, at);
        return;
    default:
        *ret = (struct value){0};
    }
}

static cairn_err
sqlite_next(struct source *source, const struct value **ret_values, cairn_error *error)
{
    struct sqlite_source *self = (struct sqlite_source *)source;
    int code = sqlite3_step(self->rows);
    if (code == SQLITE_DONE)
        return CAIRN_E_END;
    if (code != SQLITE_ROW)
        return sqlite_failed(self, "reading rows", error);
    for (size_t i = 0; i < source->column_count; i++) {
        sqlite_value(self, i, &self->values[i]);
        if (self->texts[i].failed)
            return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    *ret_values = self->values;
    return CAIRN_OK;
}

static cairn_err
sqlite_aggregate(struct source *source, cairn_str expression, struct buf *to, cairn_error *error)
{
    struct sqlite_source *self = (struct sqlite_source *)source;
    struct buf sql = {0};
    sqlite3_stmt *statement = NULL;
    sql_put_select(&sql, self->mapping, expression);
    cairn_err err = sqlite_prepare(self, &sql, &statement, error);
    if (err == CAIRN_OK && sqlite3_step(statement) != SQLITE_ROW)
        err = sqlite_failed(self, "a check", error);
    if (err == CAIRN_OK && sqlite3_column_type(statement, 0) == SQLITE_FLOAT) /* as exactly as it is */
        json_put_double(to, sqlite3_column_double(statement, 0));
    else if (err == CAIRN_OK && sqlite3_column_text(statement, 0))
        buf_put(to, sqlite3_column_text(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
    sqlite3_finalize(statement);
    buf_free(&sql);
    return err;
}

static const struct source_ops sqlite_ops = {sqlite_close, sqlite_begin, sqlite_next, sqlite_aggregate};

cairn_err
source_sqlite_open(const struct mapping *mapping, struct source **ret, cairn_error *error)
{
    struct sqlite_source *self = calloc(1, sizeof *self);
    if (!self)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    self->source.ops = &sqlite_ops;
    self->source.key = mapping->key;
    self->mapping = mapping;
    cairn_err err = CAIRN_OK;
    if (sqlite3_open_v2(mapping->location, &self->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(self->db, 10000) != SQLITE_OK ||
        sqlite3_exec(self->db, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) != SQLITE_OK)
        err = sqlite_failed(self, "cannot be read", error);
    struct buf sql = {0};
    sqlite3_stmt *statement = NULL;
    sql_put_select(&sql, mapping, (cairn_str){0});
    if (err == CAIRN_OK)
        err = sqlite_prepare(self, &sql, &statement, error);
    if (err == CAIRN_OK && !sqlite3_stmt_readonly(statement))
        err = error_set(error, CAIRN_E_INVALID, "%s: the query writes", mapping->location);
    int count = err == CAIRN_OK ? sqlite3_column_count(statement) : 0;
    for (int i = 0; err == CAIRN_OK && i < count; i++)
        err = source_column(&self->source, (size_t)i, cairn_cstr(sqlite3_column_name(statement, i)), error);
    sqlite3_finalize(statement);
    buf_free(&sql);
    if (err == CAIRN_OK)
        err = source_key(&self->source, mapping, error);
    self->values = calloc((size_t)count + 1, sizeof *self->values);
    self->texts = calloc((size_t)count + 1, sizeof *self->texts);
    if (err == CAIRN_OK && (!self->values || !self->texts))
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (err == CAIRN_OK)
        *ret = &self->source;
    else
        source_close(&self->source);
    return err;
}

/* ---- CSV -------------------------------------------------------------------------------------------------------- */

struct csv_source {
    struct source source;
    const struct mapping *mapping;
    struct csv *csv;
    struct value *values;
};

static cairn_err
csv_row(struct csv_source *self, struct csv *csv, cairn_error *error)
{
    cairn_error why = {0};
    cairn_err err = csv_next(csv, &why);
    if (err == CAIRN_E_END)
        return err;
    if (err != CAIRN_OK)
        return error_set(error, err, "%s: %s", self->mapping->location, why.detail);
    if (self->source.column_count && csv->field_count != self->source.column_count)
        return error_set(error, CAIRN_E_INVALID, "%s:%llu: the row has %zu fields; the header has %zu",
                         self->mapping->location, (unsigned long long)csv->line, csv->field_count,
                         self->source.column_count);
    return CAIRN_OK;
}

static void
csv_end(struct csv *csv)
{
    if (!csv)
        return;
    if (csv->file)
        fclose(csv->file);
    csv_free(csv);
    free(csv);
}

static void
csv_close(struct source *source)
{
    struct csv_source *self = (struct csv_source *)source;
    csv_end(self->csv);
    free(self->values);
    free(self);
}

/* Open the file anew. The header has been read. */
static cairn_err
csv_start(struct csv_source *self, struct csv **ret, cairn_error *error)
{
    struct csv *csv = calloc(1, sizeof *csv);
    if (!csv)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    csv->separator = self->mapping->separator;
    csv->file = fopen(self->mapping->location, "rbe");
    cairn_err err = csv->file ? CAIRN_OK : error_set_errno(error, errno, "%s", self->mapping->location);
    if (err == CAIRN_OK)
        err = csv_row(self, csv, error);
    if (err == CAIRN_E_END)
        err = error_set(error, CAIRN_E_INVALID, "%s is empty: the first line names the columns", self->mapping->location);
    if (err == CAIRN_OK)
        *ret = csv;
    else
        csv_end(csv);
    return err;
}

static cairn_err
csv_begin(struct source *source, const struct value *after, uint64_t rows, cairn_error *error)
{
    struct csv_source *self = (struct csv_source *)source;
    csv_end(self->csv);
    self->csv = NULL;
    cairn_err err = csv_start(self, &self->csv, error);
    for (uint64_t i = 0; err == CAIRN_OK && after && i < rows; i++) {
        err = csv_row(self, self->csv, error);
        if (err == CAIRN_E_END || (err == CAIRN_OK && i + 1 == rows &&
                                   !cairn_str_equal(self->csv->fields[source->key_column], after->text)))
            err = error_set(error, CAIRN_E_CONFLICT,
                            "%s has changed since: its row %llu was the one with the key \"%.*s\"",
                            self->mapping->location, (unsigned long long)rows,
                            (int)(after->text.size < 80 ? after->text.size : 80), after->text.data);
    }
    return err;
}

/* An empty field is null. */
static struct value
csv_value(cairn_str field)
{
    return (struct value){field.size ? VALUE_TEXT : VALUE_NULL, field};
}

static cairn_err
csv_next_row(struct source *source, const struct value **ret_values, cairn_error *error)
{
    struct csv_source *self = (struct csv_source *)source;
    cairn_err err = csv_row(self, self->csv, error);
    for (size_t i = 0; err == CAIRN_OK && i < source->column_count; i++)
        self->values[i] = csv_value(self->csv->fields[i]);
    *ret_values = self->values;
    return err;
}

static cairn_err
csv_aggregate(struct source *source, cairn_str expression, struct buf *to, cairn_error *error)
{
    struct csv_source *self = (struct csv_source *)source;
    enum check_function function;
    cairn_str name;
    size_t column = SIZE_MAX;
    struct csv *csv = NULL;
    struct tally tally = {0};
    if (!parse_check(expression, &function, &name))
        return error_set(error, CAIRN_E_INVALID, "\"%.*s\" is no check of a CSV file", (int)expression.size, expression.data);
    for (size_t i = 0; i < source->column_count; i++)
        column = cairn_str_equal(source->columns[i], name) ? i : column;
    if (name.size && column == SIZE_MAX)
        return error_set(error, CAIRN_E_INVALID, "%s has no column \"%.*s\"", self->mapping->location, (int)name.size,
                         name.data);
    cairn_err err = csv_start(self, &csv, error);
    while (err == CAIRN_OK && (err = csv_row(self, csv, error)) == CAIRN_OK) {
        struct value value = name.size ? csv_value(csv->fields[column]) : (struct value){.kind = VALUE_TRUE};
        tally_add(&tally, function, &value);
    }
    if (err == CAIRN_E_END) {
        tally_put(to, &tally, function);
        err = CAIRN_OK;
    }
    buf_free(&tally.best);
    csv_end(csv);
    return err;
}

static const struct source_ops csv_ops = {csv_close, csv_begin, csv_next_row, csv_aggregate};

cairn_err
source_csv_open(const struct mapping *mapping, struct source **ret, cairn_error *error)
{
    struct csv_source *self = calloc(1, sizeof *self);
    if (!self)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    self->source.ops = &csv_ops;
    self->mapping = mapping;
    cairn_err err = csv_start(self, &self->csv, error);
    size_t count = err == CAIRN_OK ? self->csv->field_count : 0;
    for (size_t i = 0; err == CAIRN_OK && i < count; i++)
        err = source_column(&self->source, i, self->csv->fields[i], error);
    if (err == CAIRN_OK)
        err = source_key(&self->source, mapping, error);
    self->values = calloc(count + 1, sizeof *self->values);
    if (err == CAIRN_OK && !self->values)
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (err == CAIRN_OK)
        *ret = &self->source;
    else
        source_close(&self->source);
    return err;
}

/* Rows of PostgreSQL for `cairn migrate`. See migrate.h.
 *
 * libpq is loaded when it is asked for, so that `cairn` runs where there is none. Its functions are declared here as
 * https://www.postgresql.org/docs/15/libpq.html has them; they have been the same since long before version 10.
 *
 * One transaction, REPEATABLE READ and READ ONLY: rows and checks see one moment. Rows come through a cursor. */
#include <base/error.h>
#include <dlfcn.h>
#include <stdlib.h>

#include "migrate.h"

#define FETCH_ROWS 1000

typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;
enum { PQ_CONNECTION_OK = 0, PQ_COMMAND_OK = 1, PQ_TUPLES_OK = 2 };

/* X(return type, name, parameters) */
#define PQ_FUNCTIONS(X)                                                                            \
    X(PGconn *, PQconnectdb, (const char *conninfo))                                               \
    X(int, PQstatus, (const PGconn *conn))                                                         \
    X(char *, PQerrorMessage, (const PGconn *conn))                                                \
    X(void, PQfinish, (PGconn * conn))                                                             \
    X(PGresult *, PQexec, (PGconn * conn, const char *query))                                      \
    X(int, PQresultStatus, (const PGresult *res))                                                  \
    X(int, PQntuples, (const PGresult *res))                                                       \
    X(int, PQnfields, (const PGresult *res))                                                       \
    X(char *, PQfname, (const PGresult *res, int column))                                          \
    X(unsigned, PQftype, (const PGresult *res, int column))                                        \
    X(char *, PQgetvalue, (const PGresult *res, int row, int column))                              \
    X(int, PQgetlength, (const PGresult *res, int row, int column))                                \
    X(int, PQgetisnull, (const PGresult *res, int row, int column))                                \
    X(void, PQclear, (PGresult * res))                                                             \
    X(char *, PQescapeLiteral, (PGconn * conn, const char *str, size_t length))                    \
    X(void, PQfreemem, (void *ptr))

struct pq {
#define X(type, name, parameters) type(*name) parameters;
    PQ_FUNCTIONS(X)
#undef X
};

/* Types whose values are not text in JSON (pg_type.dat). */
enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_JSON = 114, OID_FLOAT4 = 700, OID_FLOAT8 = 701,
       OID_NUMERIC = 1700, OID_JSONB = 3802 };

struct postgres_source {
    struct source source;
    const struct mapping *mapping;
    void *library;
    struct pq pq;
    PGconn *connection;
    PGresult *page;
    int row;
    unsigned *types;
    struct value *values;
};

static cairn_err
load(struct postgres_source *self, cairn_error *error)
{
    self->library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (!self->library)
        return error_set(error, CAIRN_E_UNSUPPORTED, "PostgreSQL is read with libpq, which is not here (%s); Debian: apt install "
                         "libpq5", dlerror());
#define X(type, name, parameters)                                                                  \
    *(void **)&self->pq.name = dlsym(self->library, #name);                                        \
    if (!self->pq.name)                                                                            \
        return error_set(error, CAIRN_E_UNSUPPORTED, "libpq lacks %s", #name);
    PQ_FUNCTIONS(X)
#undef X
    return CAIRN_OK;
}

static cairn_err
failed(struct postgres_source *self, cairn_err err, cairn_error *error)
{
    const char *text = self->pq.PQerrorMessage(self->connection);
    size_t size = strcspn(text, "\n");
    if (size > 7 && strncmp(text, "ERROR:  ", 8) == 0)
        text += 8, size -= 8;
    return error_set(error, err, "PostgreSQL: %.*s", (int)size, text);
}

/* *ret is NULL on failure. */
static cairn_err
execute(struct postgres_source *self, struct buf *sql, int wanted, PGresult **ret, cairn_error *error)
{
    *ret = NULL;
    buf_put_char(sql, '\0');
    if (sql->failed)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    PGresult *result = self->pq.PQexec(self->connection, sql->data);
    int status = result ? self->pq.PQresultStatus(result) : -1;
    if (status == wanted) {
        *ret = result;
        return CAIRN_OK;
    }
    bool alive = self->pq.PQstatus(self->connection) == PQ_CONNECTION_OK;
    cairn_err err = failed(self, alive ? CAIRN_E_INVALID : CAIRN_E_IO, error);
    self->pq.PQclear(result);
    return err;
}

static cairn_err
run(struct postgres_source *self, const char *sql, cairn_error *error)
{
    struct buf text = {0};
    PGresult *result;
    buf_put_str(&text, cairn_cstr(sql));
    cairn_err err = execute(self, &text, PQ_COMMAND_OK, &result, error);
    if (result)
        self->pq.PQclear(result);
    buf_free(&text);
    return err;
}

static void
postgres_close(struct source *source)
{
    struct postgres_source *self = (struct postgres_source *)source;
    if (self->page)
        self->pq.PQclear(self->page);
    if (self->connection)
        self->pq.PQfinish(self->connection);
    if (self->library)
        dlclose(self->library);
    free(self->types);
    free(self->values);
    free(self);
}

static cairn_err
fetch(struct postgres_source *self, cairn_error *error)
{
    struct buf sql = {0};
    if (self->page)
        self->pq.PQclear(self->page);
    self->page = NULL;
    self->row = 0;
    buf_printf(&sql, "FETCH %d FROM cairn_rows", FETCH_ROWS);
    cairn_err err = execute(self, &sql, PQ_TUPLES_OK, &self->page, error);
    buf_free(&sql);
    return err;
}

/* In a transaction whose cursor is open already, the next one takes its place. */
static cairn_err
postgres_begin(struct source *source, const struct value *after, uint64_t rows __attribute__((unused)), cairn_error *error)
{
    struct postgres_source *self = (struct postgres_source *)source;
    struct buf sql = {0};
    PGresult *result = NULL;
    cairn_err err = self->page ? run(self, "CLOSE cairn_rows", error) : CAIRN_OK;
    buf_put_str(&sql, CAIRN_STR("DECLARE cairn_rows NO SCROLL CURSOR FOR "));
    sql_put_select(&sql, self->mapping, (cairn_str){0});
    if (after) {
        char *literal = self->pq.PQescapeLiteral(self->connection, after->text.data, after->text.size);
        buf_put_str(&sql, CAIRN_STR(" WHERE "));
        sql_put_name(&sql, cairn_cstr(source->key), false);
        buf_put_str(&sql, CAIRN_STR(" > "));
        buf_put_str(&sql, cairn_cstr(literal ? literal : ""));
        sql.failed |= literal == NULL;
        self->pq.PQfreemem(literal);
    }
    buf_put_str(&sql, CAIRN_STR(" ORDER BY "));
    sql_put_name(&sql, cairn_cstr(source->key), false);
    if (err == CAIRN_OK)
        err = execute(self, &sql, PQ_COMMAND_OK, &result, error);
    if (result)
        self->pq.PQclear(result);
    buf_free(&sql);
    return err == CAIRN_OK ? fetch(self, error) : err;
}

static struct value
value_of(struct postgres_source *self, int column)
{
    struct json json;
    if (self->pq.PQgetisnull(self->page, self->row, column))
        return (struct value){0};
    cairn_str text = {self->pq.PQgetvalue(self->page, self->row, column),
                      (size_t)self->pq.PQgetlength(self->page, self->row, column)};
    switch (self->types[column]) {
    case OID_BOOL:
        return (struct value){text.size && text.data[0] == 't' ? VALUE_TRUE : VALUE_FALSE, text};
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_FLOAT4:
    case OID_FLOAT8:
    case OID_NUMERIC: /* NaN and Infinity are no numbers in JSON */
        if (json_check(text, &json, NULL) == CAIRN_OK && json.type == JSON_NUMBER)
            return (struct value){VALUE_NUMBER, text};
        return (struct value){VALUE_TEXT, text};
    case OID_JSON:
    case OID_JSONB:
        if (json_check(text, &json, NULL) == CAIRN_OK)
            return (struct value){VALUE_JSON, text};
        return (struct value){VALUE_TEXT, text};
    default:
        return (struct value){VALUE_TEXT, text};
    }
}

static cairn_err
postgres_next(struct source *source, const struct value **ret_values, cairn_error *error)
{
    struct postgres_source *self = (struct postgres_source *)source;
    cairn_err err = CAIRN_OK;
    if (self->row == FETCH_ROWS)
        err = fetch(self, error);
    if (err != CAIRN_OK)
        return err;
    if (self->row == self->pq.PQntuples(self->page))
        return CAIRN_E_END;
    for (size_t i = 0; i < source->column_count; i++)
        self->values[i] = value_of(self, (int)i);
    self->row++;
    *ret_values = self->values;
    return CAIRN_OK;
}

static cairn_err
postgres_aggregate(struct source *source, cairn_str expression, struct buf *to, cairn_error *error)
{
    struct postgres_source *self = (struct postgres_source *)source;
    struct buf sql = {0};
    PGresult *result;
    sql_put_select(&sql, self->mapping, expression);
    cairn_err err = execute(self, &sql, PQ_TUPLES_OK, &result, error);
    if (err == CAIRN_OK && self->pq.PQntuples(result) == 1 && !self->pq.PQgetisnull(result, 0, 0))
        buf_put(to, self->pq.PQgetvalue(result, 0, 0), (size_t)self->pq.PQgetlength(result, 0, 0));
    if (result)
        self->pq.PQclear(result);
    buf_free(&sql);
    return err;
}

static const struct source_ops postgres_ops = {postgres_close, postgres_begin, postgres_next, postgres_aggregate};

static cairn_err
read_columns(struct postgres_source *self, cairn_error *error)
{
    struct buf sql = {0};
    PGresult *result;
    sql_put_select(&sql, self->mapping, (cairn_str){0});
    buf_put_str(&sql, CAIRN_STR(" LIMIT 0"));
    cairn_err err = execute(self, &sql, PQ_TUPLES_OK, &result, error);
    int count = err == CAIRN_OK ? self->pq.PQnfields(result) : 0;
    self->types = calloc((size_t)count + 1, sizeof *self->types);
    self->values = calloc((size_t)count + 1, sizeof *self->values);
    if (err == CAIRN_OK && (!self->types || !self->values))
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    for (int i = 0; err == CAIRN_OK && i < count; i++) {
        self->types[i] = self->pq.PQftype(result, i);
        err = source_column(&self->source, (size_t)i, cairn_cstr(self->pq.PQfname(result, i)), error);
    }
    if (result)
        self->pq.PQclear(result);
    buf_free(&sql);
    return err == CAIRN_OK ? source_key(&self->source, self->mapping, error) : err;
}

cairn_err
source_postgres_open(const struct mapping *mapping, struct source **ret, cairn_error *error)
{
    static const char *const first[] = {"SET timezone = 'UTC'", "SET datestyle = 'ISO'", "SET client_encoding = 'UTF8'",
                                        "SET extra_float_digits = 1",
                                        "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"};
    struct postgres_source *self = calloc(1, sizeof *self);
    if (!self)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    self->source.ops = &postgres_ops;
    self->mapping = mapping;
    cairn_err err = load(self, error);
    if (err == CAIRN_OK) {
        self->connection = self->pq.PQconnectdb(mapping->location);
        if (!self->connection || self->pq.PQstatus(self->connection) != PQ_CONNECTION_OK)
            err = failed(self, CAIRN_E_IO, error);
    }
    for (size_t i = 0; err == CAIRN_OK && i < sizeof first / sizeof *first; i++)
        err = run(self, first[i], error);
    if (err == CAIRN_OK)
        err = read_columns(self, error);
    if (err == CAIRN_OK)
        *ret = &self->source;
    else
        source_close(&self->source);
    return err;
}

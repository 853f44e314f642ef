/* app/sql/query_int.h: what the parts of a query share: its parsed form, a call's arguments, cursors, SQL variants.
 *
 * query_parse.c  the file's header lines and the SQL's tokens → struct query
 * query_try.c    the SQL against a scratch database: tables, columns, types
 * query_args.c   a call's texts → typed values, filters, sort
 * query_sql.c    struct query + what a call asks → the SQL that runs
 * query_cursor.c where a page ended ⇄ an opaque text
 * query_cache.c  connections and prepared statements between calls
 * query_run.c    the call itself, and its answer as JSON */
#ifndef APP_SQL_QUERY_INT_H
#define APP_SQL_QUERY_INT_H

#include "query.h"
#include "sql_int.h"

#include <base/arena.h>

#define QUERY_PARAMS_MAX 48
#define QUERY_COLUMNS_MAX 100
#define QUERY_SORT_MAX 12      /* columns a page is ordered by, the key's among them */
#define QUERY_FILTERS_MAX 24   /* in one call */
#define QUERY_VALUES_MAX 100   /* of all filters of one call */
#define QUERY_MODELS_MAX 10    /* read models of one query: what SQLite attaches */
#define QUERY_VALUE_BYTES (64 << 10) /* of one parameter's text */
#define QUERY_CURSOR_BYTES 3072      /* of a cursor before it is text */
#define QUERY_ANSWER_BYTES (8 << 20)
#define QUERY_NAME_MAX 63

_Static_assert(QUERY_PARAMS_MAX + QUERY_SORT_MAX + 1 + QUERY_VALUES_MAX <= SQL_PARAMETERS_MAX, "one statement holds them");

enum query_type { QUERY_ANY, QUERY_TEXT, QUERY_INTEGER, QUERY_REAL, QUERY_NUMBER, QUERY_BOOLEAN, QUERY_JSON, QUERY_BLOB };
const char *query_type_name(enum query_type type); /* "text"; of a column that may hold anything "any" */
const char *query_type_takes(enum query_type type); /* "a whole number" */

/* A value to bind. `text` is borrowed. */
struct query_value {
    int kind; /* SQLITE_NULL, SQLITE_INTEGER, SQLITE_FLOAT, SQLITE_TEXT, SQLITE_BLOB */
    union {
        int64_t whole;
        double real;
        cairn_str text;
    };
};

struct query_param {
    cairn_str name;
    enum query_type type;
    bool optional;    /* absent: NULL, or the default */
    bool has_default;
    bool match;       /* stands right of MATCH */
    bool used;
    uint32_t line;
    struct query_value value; /* the default */
};

struct query_column {
    cairn_str name;
    cairn_str member;  /* "name": as JSON, with the comma or brace before it */
    enum query_type type;
    bool filter, sort, key, json;
};

struct query_sort {
    uint8_t column;
    bool descending;
};

struct query {
    uint64_t id; /* of this parsed query, never used again: prepared statements are kept by it */
    cairn_str name, description, permission;
    cairn_str sql;     /* one SELECT, comments gone, parameters as ?1 … */
    uint32_t name_hash, sql_hash; /* what cursors are held to; the latter of SQL and columns */
    struct query_param *params;
    size_t param_count;
    struct query_column *columns;
    size_t column_count;
    struct query_sort sort[QUERY_SORT_MAX]; /* the default, the key at its end */
    size_t sort_count;
    cairn_str *projections;
    size_t projection_count;
    cairn_str *tables; /* of these projections, and their views: what the authoriser lets it read */
    size_t table_count;
    uint32_t limit, limit_max;
    uint32_t timeout_ms;
    bool one, keyed;
    struct arena arena;
};

/* A header line's list that names output columns, kept until these are known. */
struct query_names {
    enum { NAMES_FILTER, NAMES_SORT, NAMES_KEY, NAMES_JSON, NAMES_BOOLEAN } what;
    cairn_str list;
    uint32_t line;
    struct query_names *next;
};

/* Prepare the SQL where every projection's tables are, fill in projections, tables, columns. `line` is where the SQL
 * begins in the file. Faults go to `faults`; CAIRN_OK may mean that there were some. */
CAIRN_MUST_CHECK cairn_err query_try(struct query *query, struct projection *const *projections, size_t count,
                                     uint32_t line, struct sql_faults *faults, cairn_error *error);
size_t query_column_find(const struct query *query, cairn_str name); /* column_count when there is none */
/* What SQL on a connection may do: read these tables, nothing else. */
struct query_sight {
    const cairn_str *tables;
    size_t table_count;
    const char **others; /* that are there, and not to be read */
    size_t other_count;
    bool *seen;          /* beside tables: set for those that are read; or NULL */
    char refused[160];   /* why, after a refusal */
    bool tried;          /* the SQL has been tried before: its virtual tables may connect */
    bool own;            /* our own statements: transactions too */
};
CAIRN_MUST_CHECK cairn_err query_sight_set(sqlite3 *db, struct query_sight *sight, cairn_error *error);

/* ---- a call ---------------------------------------------------------------------------------------- */

enum query_operator { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_IN, OP_PREFIX, OP_COUNT };

struct query_filter {
    uint8_t column;
    uint8_t operator;
    uint8_t first, count; /* of its values; OP_IN: a power of two, the last one repeated */
};

enum query_part {
    PART_FIRST, /* no cursor */
    PART_AFTER, /* after the cursor; of a descending column only values, */
    PART_NULLS, /* then the rows where it is NULL */
};

struct query_args {
    struct query_value params[QUERY_PARAMS_MAX];
    struct query_filter filters[QUERY_FILTERS_MAX];
    size_t filter_count;
    struct query_value values[QUERY_VALUES_MAX];
    size_t value_count;
    struct query_sort sort[QUERY_SORT_MAX];
    size_t sort_count;
    bool sort_given;
    struct query_value after[QUERY_SORT_MAX]; /* one for each of sort */
    enum query_part part;
    uint32_t limit;
};

/* Texts to values. Everything points into `call` (and into the query). CAIRN_E_INVALID names the parameter. */
CAIRN_MUST_CHECK cairn_err query_args_read(const struct query *query, const struct query_call *call,
                                           struct query_args *ret, cairn_error *error);
/* One text by its type. False: it is none. */
bool query_value_read(enum query_type type, cairn_str text, struct query_value *ret);
/* "due desc, id" or "due,-id" → columns of the query, the key after them. On failure *ret_bad is the item. */
enum query_sort_fault { SORT_FINE, SORT_UNKNOWN, SORT_TWICE, SORT_MANY, SORT_EMPTY };
enum query_sort_fault query_sort_read(const struct query *query, cairn_str list, struct query_sort *ret,
                                      size_t *ret_count, cairn_str *ret_bad);

/* ---- cursors ----------------------------------------------------------------------------------------- */

/* Version, query, sort and the row's values, checksummed, as base64url. CAIRN_E_LIMIT: a value is too long for it.
 * `columns` of the statement are those of the query. */
CAIRN_MUST_CHECK cairn_err query_cursor_put(const struct query *query, const struct query_args *args,
                                            sqlite3_stmt *row, struct buf *to, cairn_error *error);
/* Fill in args->after, part and, where the call gave none, sort. Values point into `bytes`. */
CAIRN_MUST_CHECK cairn_err query_cursor_get(const struct query *query, cairn_str cursor, struct buf *bytes,
                                            struct query_args *args, cairn_error *error);

/* ---- SQL ------------------------------------------------------------------------------------------------ */

/* Numbers of the parameters: the query's own from 1, then the cursor's values, the limit, the filters' values. */
static inline int query_after_index(const struct query *q) { return (int)q->param_count + 1; }
static inline int query_limit_index(const struct query *q) { return (int)q->param_count + QUERY_SORT_MAX + 1; }
static inline int query_values_index(const struct query *q) { return (int)q->param_count + QUERY_SORT_MAX + 2; }

void query_sql(const struct query *query, const struct query_args *args, struct buf *to);
/* What the SQL depends on besides the query, in few bytes: statements are found by it. */
#define QUERY_VARIANT_MAX (QUERY_SORT_MAX * 2 + 4 + QUERY_FILTERS_MAX * 3)
size_t query_variant(const struct query_args *args, uint8_t to[QUERY_VARIANT_MAX]);

/* ---- cache ------------------------------------------------------------------------------------------------ */

struct query_conn;
struct query_statement {
    sqlite3_stmt *handle;
    struct query_conn *conn;
};
/* The prepared statement for a call whose budget has begun; to be given back with query_cache_done(). CAIRN_E_BUSY: the
 * read model is not yet of the app's present form. */
CAIRN_MUST_CHECK cairn_err query_cache_get(struct query_cache *cache, const struct query *query,
                                           const struct query_call *call, const struct query_args *args,
                                           struct query_statement *ret, cairn_error *error);
/* Hold one snapshot over several statements of a connection; query_cache_done() ends it. */
CAIRN_MUST_CHECK cairn_err query_cache_hold(struct query_conn *conn, cairn_error *error);
void query_cache_done(struct query_cache *cache, struct query_statement *statement);

enum query_stop { STOP_NOT, STOP_TIME, STOP_STEPS };
/* The call's time and steps begin here, for everything that its statements do. */
void query_budget_begin(struct query_cache *cache, const struct query *query, const struct query_call *call);
enum query_stop query_budget_stop(const struct query_cache *cache);
struct buf *query_cache_bytes(struct query_cache *cache, size_t index); /* three buffers kept between calls */

#endif

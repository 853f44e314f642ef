/* The SQL that runs: the query's own inside, what a call asks around it.
 *
 *   SELECT * FROM (<the query>) WHERE <filters> AND <after the cursor> ORDER BY <sort, key> LIMIT ?
 *
 * SQLite flattens this into one loop where the query is a plain SELECT, so that its indexes serve filters and order.
 *
 * After the cursor. NULL comes first when a column ascends and last when it descends, as SQLite sorts. With columns
 * a, b and the cursor's values x, y a row comes after it when
 *
 *   a is after x  OR  (a IS x AND b is after y)
 *
 *   ascending:   x NULL: a IS NOT NULL     x a value: a > x
 *   descending:  x NULL: never             x a value: a < x OR a IS NULL
 *
 * An OR finds no place in an index. So the first column's bound stands in front once more (a >= x), and a descending
 * first column is asked for in two statements: PART_AFTER for values (a <= x), then PART_NULLS (a IS NULL). */
#include "query_int.h"

static void
put_name(struct buf *to, cairn_str name)
{
    buf_put_char(to, '"');
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '"')
            buf_put_char(to, '"');
        buf_put_char(to, name.data[i]);
    }
    buf_put_char(to, '"');
}

static void
put_column(struct buf *to, const struct query *query, size_t column)
{
    put_name(to, query->columns[column].name);
}

static void
put_filter(struct buf *to, const struct query *query, const struct query_filter *filter)
{
    static const char *const PLAIN[OP_COUNT] = {[OP_EQ] = " = ",  [OP_NE] = " IS NOT ", [OP_LT] = " < ",
                                                [OP_LE] = " <= ", [OP_GT] = " > ",      [OP_GE] = " >= "};
    int value = query_values_index(query) + filter->first;
    put_column(to, query, filter->column);
    if (filter->operator == OP_IN) {
        buf_printf(to, " IN (");
        for (int i = 0; i < filter->count; i++)
            buf_printf(to, "%s?%d", i ? "," : "", value + i);
        buf_put_char(to, ')');
    } else if (filter->operator == OP_PREFIX) {
        /* Up to the prefix with the last code point behind it, so that an index serves. */
        buf_printf(to, " >= ?%d AND ", value);
        put_column(to, query, filter->column);
        buf_printf(to, " < ?%d || char(1114111)", value);
    } else
        buf_printf(to, "%s?%d", PLAIN[filter->operator], value);
}

/* Does column i come after the cursor's value? Not asked of a descending column whose value is NULL. */
static void
put_beyond(struct buf *to, const struct query *query, const struct query_args *args, size_t i)
{
    int value = query_after_index(query) + (int)i;
    bool null = args->after[i].kind == SQLITE_NULL;
    if (!args->sort[i].descending) {
        put_column(to, query, args->sort[i].column);
        if (null)
            buf_printf(to, " IS NOT NULL");
        else
            buf_printf(to, " > ?%d", value);
    } else if (i == 0) {
        put_column(to, query, args->sort[i].column);
        buf_printf(to, " < ?%d", value);
    } else {
        buf_put_char(to, '(');
        put_column(to, query, args->sort[i].column);
        buf_printf(to, " < ?%d OR ", value);
        put_column(to, query, args->sort[i].column);
        buf_printf(to, " IS NULL)");
    }
}

static void
put_after(struct buf *to, const struct query *query, const struct query_args *args)
{
    size_t open = 0;
    bool bounded = args->after[0].kind != SQLITE_NULL && args->sort_count > 1;
    if (bounded) {
        put_column(to, query, args->sort[0].column);
        buf_printf(to, args->sort[0].descending ? " <= ?%d AND " : " >= ?%d AND ", query_after_index(query));
    }
    /* beyond(0) OR (a IS x AND (beyond(1) OR (b IS y AND (…)))) */
    buf_put_char(to, '(');
    for (size_t i = 0; i < args->sort_count; i++) {
        bool last = i + 1 == args->sort_count;
        bool never = args->sort[i].descending && args->after[i].kind == SQLITE_NULL;
        if (!never)
            put_beyond(to, query, args, i);
        else if (last)
            buf_put_char(to, '0');
        if (last)
            break;
        buf_printf(to, never ? "(" : " OR (");
        put_column(to, query, args->sort[i].column);
        if (args->after[i].kind == SQLITE_NULL)
            buf_printf(to, " IS NULL AND (");
        else
            buf_printf(to, " = ?%d AND (", query_after_index(query) + (int)i);
        open += 2;
    }
    while (open-- > 0)
        buf_put_char(to, ')');
    buf_put_char(to, ')');
}

void
query_sql(const struct query *query, const struct query_args *args, struct buf *to)
{
    const char *glue = " WHERE ";
    buf_printf(to, "SELECT * FROM (");
    buf_put_str(to, query->sql);
    buf_put_char(to, ')');
    for (size_t i = 0; i < args->filter_count; i++, glue = " AND ") {
        buf_printf(to, "%s", glue);
        put_filter(to, query, &args->filters[i]);
    }
    if (args->part == PART_AFTER) {
        buf_printf(to, "%s", glue);
        put_after(to, query, args);
    } else if (args->part == PART_NULLS) {
        buf_printf(to, "%s", glue);
        put_column(to, query, args->sort[0].column);
        buf_printf(to, " IS NULL");
    }
    for (size_t i = 0; i < args->sort_count; i++) {
        buf_printf(to, i ? ", " : " ORDER BY ");
        put_column(to, query, args->sort[i].column);
        buf_printf(to, args->sort[i].descending ? " DESC" : "");
    }
    buf_printf(to, " LIMIT ?%d", query_limit_index(query));
}

size_t
query_variant(const struct query_args *args, uint8_t to[QUERY_VARIANT_MAX])
{
    size_t size = 0;
    to[size++] = (uint8_t)args->part;
    to[size++] = (uint8_t)args->sort_count;
    for (size_t i = 0; i < args->sort_count; i++) {
        to[size++] = (uint8_t)(args->sort[i].column << 1 | args->sort[i].descending);
        if (args->part == PART_AFTER)
            to[size++] = args->after[i].kind == SQLITE_NULL;
    }
    for (size_t i = 0; i < args->filter_count; i++) {
        to[size++] = args->filters[i].column;
        to[size++] = args->filters[i].operator;
        to[size++] = args->filters[i].count;
    }
    return size;
}

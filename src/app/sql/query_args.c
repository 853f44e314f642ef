/* A call's texts as values: parameters by their declared types, filters and sort by the columns that the query offers.
 * Pure; every refusal names the parameter and says what it takes. */
#include "query_int.h"

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>

#include <stdio.h>

static const struct {
    const char *name, *takes;
} TYPES[] = {
    [QUERY_ANY] = {"any", "text"},
    [QUERY_TEXT] = {"text", "text (UTF-8 without NUL)"},
    [QUERY_INTEGER] = {"integer", "a whole number"},
    [QUERY_REAL] = {"real", "a number"},
    [QUERY_NUMBER] = {"number", "a number or text"},
    [QUERY_BOOLEAN] = {"boolean", "true or false"},
    [QUERY_JSON] = {"json", "JSON"},
    [QUERY_BLOB] = {"blob", "base64"},
};

const char *
query_type_name(enum query_type type)
{
    return TYPES[type].name;
}

const char *
query_type_takes(enum query_type type)
{
    return TYPES[type].takes;
}

/* By JSON's grammar, so that no locale, no "nan" and no hexadecimal gets in. */
static bool
read_real(cairn_str text, double *ret)
{
    struct json number;
    return text.size <= 400 && json_check(text, &number, NULL) == CAIRN_OK && number.type == JSON_NUMBER
        && json_double(number, ret);
}

static bool
plain_text(cairn_str text)
{
    return utf8_valid(text) && (text.size == 0 || memchr(text.data, 0, text.size) == NULL);
}

bool
query_value_read(enum query_type type, cairn_str text, struct query_value *ret)
{
    struct json json;
    switch (type) {
    case QUERY_INTEGER:
        ret->kind = SQLITE_INTEGER;
        return parse_i64(text, &ret->whole);
    case QUERY_REAL:
        ret->kind = SQLITE_FLOAT;
        return read_real(text, &ret->real);
    case QUERY_BOOLEAN:
        ret->kind = SQLITE_INTEGER;
        ret->whole = cairn_str_equal(text, CAIRN_STR("true")) || cairn_str_equal(text, CAIRN_STR("1"));
        return ret->whole || cairn_str_equal(text, CAIRN_STR("false")) || cairn_str_equal(text, CAIRN_STR("0"));
    case QUERY_NUMBER:
        if (parse_i64(text, &ret->whole)) {
            ret->kind = SQLITE_INTEGER;
            return true;
        }
        ret->kind = SQLITE_FLOAT;
        if (read_real(text, &ret->real))
            return true;
        break;
    case QUERY_JSON:
        if (!plain_text(text) || json_check(text, &json, NULL) != CAIRN_OK)
            return false;
        break;
    case QUERY_BLOB: return false;
    case QUERY_ANY:
    case QUERY_TEXT: break;
    }
    ret->kind = SQLITE_TEXT;
    ret->text = text;
    return plain_text(text);
}

/* ---- sort ------------------------------------------------------------------------------------------ */

size_t
query_column_find(const struct query *query, cairn_str name)
{
    for (size_t i = 0; i < query->column_count; i++)
        if (cairn_str_equal(query->columns[i].name, name))
            return i;
    return query->column_count;
}

/* "-due", "due", "due desc", "due asc" */
static cairn_str
sort_item(cairn_str item, bool *ret_descending)
{
    *ret_descending = item.size > 0 && item.data[0] == '-';
    if (*ret_descending)
        return sql_trim((cairn_str){item.data + 1, item.size - 1});
    static const char *const WORDS[] = {" asc", " desc"};
    for (size_t i = 0; i < 2; i++) {
        size_t size = strlen(WORDS[i]);
        if (item.size > size && sql_word_is(item.data + item.size - size, size, WORDS[i])) {
            *ret_descending = i == 1;
            return sql_trim((cairn_str){item.data, item.size - size});
        }
    }
    return item;
}

static bool
sort_has(const struct query_sort *sort, size_t count, size_t column)
{
    for (size_t i = 0; i < count; i++)
        if (sort[i].column == column)
            return true;
    return false;
}

enum query_sort_fault
query_sort_read(const struct query *query, cairn_str list, struct query_sort *ret, size_t *ret_count,
                cairn_str *ret_bad)
{
    struct query_sort sort[QUERY_SORT_MAX];
    size_t count = 0;
    bool descending = false;

    *ret_bad = list;
    while (sql_list_next(&list, ret_bad)) {
        cairn_str name = sort_item(*ret_bad, &descending);
        size_t column = query_column_find(query, name);
        *ret_bad = name;
        if (name.size == 0)
            return SORT_EMPTY;
        if (column == query->column_count || !(query->columns[column].sort || query->columns[column].key))
            return SORT_UNKNOWN;
        if (sort_has(sort, count, column))
            return SORT_TWICE;
        if (count == QUERY_SORT_MAX)
            return SORT_MANY;
        sort[count++] = (struct query_sort){(uint8_t)column, descending};
    }
    /* The key in the direction of what stands before it: an index on that column serves both ways. */
    for (size_t i = 0; i < query->column_count; i++) {
        if (!query->columns[i].key || sort_has(sort, count, i))
            continue;
        if (count == QUERY_SORT_MAX)
            return SORT_MANY;
        sort[count++] = (struct query_sort){(uint8_t)i, descending};
    }
    memcpy(ret, sort, count * sizeof *sort);
    *ret_count = count;
    return SORT_FINE;
}

static cairn_err
read_sort(const struct query *query, cairn_str list, struct query_args *ret, cairn_error *error)
{
    cairn_str bad;
    enum query_sort_fault fault = query_sort_read(query, list, ret->sort, &ret->sort_count, &bad);
    if (fault == SORT_FINE && ret->sort_count > 0) {
        ret->sort_given = true;
        return CAIRN_OK;
    }
    if (fault == SORT_TWICE)
        return error_set(error, CAIRN_E_INVALID, "sort: \"%.*s\" is named twice", (int)bad.size, bad.data);
    if (fault == SORT_MANY)
        return error_set(error, CAIRN_E_INVALID, "sort: more than %d columns", QUERY_SORT_MAX);

    char offered[160];
    int size = 0;
    offered[0] = 0;
    for (size_t i = 0; i < query->column_count && size < (int)sizeof offered - 1; i++)
        if (query->columns[i].sort || query->columns[i].key)
            size += snprintf(offered + size, sizeof offered - (size_t)size, "%s%.*s", size ? ", " : "",
                             (int)query->columns[i].name.size, query->columns[i].name.data);
    if (size == 0)
        return error_set(error, CAIRN_E_INVALID, "sort: query \"%.*s\" offers no columns to sort by",
                         (int)query->name.size, query->name.data);
    return error_set(error, CAIRN_E_INVALID, "sort: \"%.*s\" is no column to sort by; it takes a list of %s, with - in "
                     "front of what descends", (int)(bad.size < 60 ? bad.size : 60), bad.data, offered);
}

/* ---- filters ----------------------------------------------------------------------------------------- */

/* "due.lt" → column, operator. False: no such filter. */
static bool
find_filter(const struct query *query, cairn_str name, struct query_filter *ret)
{
    static const char *const NAMES[OP_COUNT] = {"eq", "ne", "lt", "le", "gt", "ge", "in", "prefix"};
    size_t column = query_column_find(query, name);
    ret->operator = OP_EQ;
    if (column == query->column_count) {
        const char *dot = memrchr(name.data, '.', name.size);
        if (dot == NULL)
            return false;
        cairn_str tail = {dot + 1, name.size - (size_t)(dot + 1 - name.data)};
        column = query_column_find(query, (cairn_str){name.data, (size_t)(dot - name.data)});
        size_t op = 0;
        while (op < OP_COUNT && !cairn_str_equal(tail, cairn_cstr(NAMES[op])))
            op++;
        if (op == OP_COUNT)
            return false;
        ret->operator = (uint8_t)op;
    }
    if (column == query->column_count || !query->columns[column].filter)
        return false;
    ret->column = (uint8_t)column;
    return true;
}

static cairn_err
bad_value(cairn_str name, enum query_type type, cairn_str value, cairn_error *error)
{
    char shown[48];
    size_t size = 0;
    for (; size < value.size && size < 40; size++)
        shown[size] = (unsigned char)value.data[size] < 0x20 || (unsigned char)value.data[size] >= 0x7F ? '?'
                                                                                                       : value.data[size];
    return error_set(error, CAIRN_E_INVALID, "parameter \"%.*s\" takes %s; \"%.*s%s\" is not", (int)name.size, name.data,
                     query_type_takes(type), (int)size, shown, size < value.size ? "…" : "");
}

static cairn_err
too_long(cairn_str name, cairn_error *error)
{
    return error_set(error, CAIRN_E_INVALID, "parameter \"%.*s\" is longer than %d KiB", (int)name.size, name.data,
                     QUERY_VALUE_BYTES >> 10);
}

static cairn_err
read_filter(const struct query *query, const cairn_app_param *given, struct query_filter filter,
            struct query_args *ret, cairn_error *error)
{
    enum query_type type = query->columns[filter.column].type;
    cairn_str rest = given->value, item = given->value;
    if (filter.operator == OP_PREFIX && type != QUERY_TEXT && type != QUERY_ANY)
        return error_set(error, CAIRN_E_INVALID, "parameter \"%.*s\": only text has a prefix", (int)given->name.size,
                         given->name.data);
    if (rest.data == NULL)
        rest.data = item.data = "";
    if (ret->filter_count == QUERY_FILTERS_MAX)
        return error_set(error, CAIRN_E_INVALID, "more than %d filters", QUERY_FILTERS_MAX);

    filter.first = (uint8_t)ret->value_count;
    while (filter.operator == OP_IN ? sql_list_next(&rest, &item) : rest.data != NULL) {
        if (ret->value_count == QUERY_VALUES_MAX)
            return error_set(error, CAIRN_E_INVALID, "parameter \"%.*s\": more than %d values to filter by",
                             (int)given->name.size, given->name.data, QUERY_VALUES_MAX);
        if (!query_value_read(type, item, &ret->values[ret->value_count]))
            return bad_value(given->name, type, item, error);
        ret->value_count++;
        filter.count++;
        if (filter.operator != OP_IN)
            break;
    }
    /* A power of two: few different statements. */
    while ((filter.count & (filter.count - 1)) != 0 && ret->value_count < QUERY_VALUES_MAX) {
        ret->values[ret->value_count] = ret->values[ret->value_count - 1];
        ret->value_count++;
        filter.count++;
    }
    ret->filters[ret->filter_count++] = filter;
    return CAIRN_OK;
}

/* ---- all of it ------------------------------------------------------------------------------------------- */

static cairn_err
unknown(const struct query *query, cairn_str name, cairn_error *error)
{
    struct sql_nearest nearest = sql_nearest(name);
    for (size_t i = 0; i < query->param_count; i++)
        sql_nearest_try(&nearest, query->params[i].name);
    for (size_t i = 0; i < query->column_count; i++)
        if (query->columns[i].filter)
            sql_nearest_try(&nearest, query->columns[i].name);
    int size = (int)(name.size < 60 ? name.size : 60);
    size_t column = query_column_find(query, name);
    if (nearest.best.size > 0 && !cairn_str_equal(nearest.best, name))
        return error_set(error, CAIRN_E_INVALID, "query \"%.*s\" has no parameter \"%.*s\"; did you mean \"%.*s\"?",
                         (int)query->name.size, query->name.data, size, name.data, (int)nearest.best.size,
                         nearest.best.data);
    return error_set(error, CAIRN_E_INVALID, "query \"%.*s\" has no parameter \"%.*s\"%s", (int)query->name.size,
                     query->name.data, size, name.data,
                     column < query->column_count ? "; the column is there, but not declared as a filter" : "");
}

static size_t
find_param(const struct query *query, cairn_str name)
{
    for (size_t i = 0; i < query->param_count; i++)
        if (cairn_str_equal(query->params[i].name, name))
            return i;
    return query->param_count;
}

static cairn_err
twice(cairn_str name, cairn_error *error)
{
    return error_set(error, CAIRN_E_INVALID, "parameter \"%.*s\" is given twice", (int)name.size, name.data);
}

static cairn_err
read_one(const struct query *query, const cairn_app_param *given, uint64_t *seen, struct query_args *ret,
         cairn_error *error)
{
    struct query_filter filter = {0};
    size_t i = find_param(query, given->name);
    if (i < query->param_count) {
        if (*seen >> i & 1)
            return twice(given->name, error);
        *seen |= UINT64_C(1) << i;
        if (given->value.size > QUERY_VALUE_BYTES)
            return too_long(given->name, error);
        if (!query_value_read(query->params[i].type, given->value, &ret->params[i]))
            return bad_value(given->name, query->params[i].type, given->value, error);
        return CAIRN_OK;
    }
    if (cairn_str_equal(given->name, CAIRN_STR("sort"))) {
        if (ret->sort_given)
            return twice(given->name, error);
        return read_sort(query, given->value, ret, error);
    }
    if (given->name.size == 0 || !find_filter(query, given->name, &filter))
        return unknown(query, given->name, error);
    if (given->value.size > QUERY_VALUE_BYTES)
        return too_long(given->name, error);
    return read_filter(query, given, filter, ret, error);
}

cairn_err
query_args_read(const struct query *query, const struct query_call *call, struct query_args *ret, cairn_error *error)
{
    uint64_t seen = 0;
    ret->filter_count = ret->value_count = 0;
    ret->sort_given = false;
    ret->sort_count = query->sort_count;
    memcpy(ret->sort, query->sort, query->sort_count * sizeof *query->sort);
    ret->part = PART_FIRST;

    if (call->limit > query->limit_max)
        return error_set(error, CAIRN_E_INVALID, "limit: query \"%.*s\" gives at most %u rows a page",
                         (int)query->name.size, query->name.data, query->limit_max);
    ret->limit = query->one ? 1 : call->limit != 0 ? call->limit : query->limit;
    for (size_t i = 0; i < call->param_count; i++) {
        cairn_err err = read_one(query, &call->params[i], &seen, ret, error);
        if (err != CAIRN_OK)
            return err;
    }
    for (size_t i = 0; i < query->param_count; i++) {
        const struct query_param *param = &query->params[i];
        if (seen >> i & 1)
            continue;
        if (!param->optional && !param->has_default)
            return error_set(error, CAIRN_E_INVALID, "parameter \"%.*s\" is missing: it takes %s", (int)param->name.size,
                             param->name.data, query_type_takes(param->type));
        ret->params[i] = param->value;
    }
    return CAIRN_OK;
}

/* A query as JSON: what OpenAPI, the console and people are told about it. */
#include "query_int.h"

#include <base/json.h>

static void
put_member(struct buf *to, const char *name, cairn_str text)
{
    json_put_text_member(to, name, text);
}

static void
put_params(struct buf *to, const struct query *query)
{
    for (size_t i = 0; i < query->param_count; i++) {
        const struct query_param *param = &query->params[i];
        json_put_comma(to);
        buf_put_char(to, '{');
        put_member(to, "name", param->name);
        put_member(to, "type", cairn_cstr(query_type_name(param->type)));
        json_put_name(to, "required");
        buf_printf(to, param->optional || param->has_default ? "false" : "true");
        if (param->has_default) {
            json_put_name(to, "default");
            if (param->type == QUERY_BOOLEAN)
                buf_printf(to, param->value.whole ? "true" : "false");
            else if (param->type == QUERY_JSON)
                buf_put_str(to, param->value.text);
            else if (param->value.kind == SQLITE_INTEGER)
                json_put_i64(to, param->value.whole);
            else if (param->value.kind == SQLITE_FLOAT)
                json_put_double(to, param->value.real);
            else
                json_put_string(to, param->value.text);
        }
        buf_put_char(to, '}');
    }
}

static void
put_filters(struct buf *to, const struct query *query)
{
    for (size_t i = 0; i < query->column_count; i++) {
        const struct query_column *column = &query->columns[i];
        if (!column->filter)
            continue;
        json_put_comma(to);
        buf_put_char(to, '{');
        put_member(to, "name", column->name);
        put_member(to, "type", cairn_cstr(query_type_name(column->type)));
        json_put_name(to, "operators");
        buf_printf(to, "[\"eq\",\"ne\",\"lt\",\"le\",\"gt\",\"ge\",\"in\"%s]}", column->type == QUERY_TEXT ? ",\"prefix\"" : "");
    }
}

static void
put_sort(struct buf *to, const struct query *query)
{
    struct buf text = {0};
    json_put_name(to, "sort");
    for (size_t i = 0; i < query->sort_count; i++) {
        buf_printf(&text, "%s%s", i ? "," : "", query->sort[i].descending ? "-" : "");
        buf_put_str(&text, query->columns[query->sort[i].column].name);
    }
    if (query->sort_count > 0)
        json_put_string(to, buf_str(&text));
    else
        buf_printf(to, "null");
    to->failed |= text.failed;
    buf_free(&text);
}

static void
put_columns(struct buf *to, const struct query *query)
{
    for (size_t i = 0; i < query->column_count; i++) {
        json_put_comma(to);
        buf_put_char(to, '{');
        put_member(to, "name", query->columns[i].name);
        put_member(to, "type", cairn_cstr(query_type_name(query->columns[i].type)));
        buf_put_char(to, '}');
    }
}

void
query_describe(const struct query *query, struct buf *to)
{
    buf_put_char(to, '{');
    put_member(to, "name", query->name);
    put_member(to, "description", query->description);
    json_put_name(to, "params");
    buf_put_char(to, '[');
    put_params(to, query);
    buf_put_char(to, ']');
    json_put_name(to, "filters");
    buf_put_char(to, '[');
    put_filters(to, query);
    buf_put_char(to, ']');
    json_put_name(to, "sorts");
    buf_put_char(to, '[');
    for (size_t i = 0; i < query->column_count; i++)
        if (query->keyed && (query->columns[i].sort || query->columns[i].key)) {
            json_put_comma(to);
            json_put_string(to, query->columns[i].name);
        }
    buf_put_char(to, ']');
    put_sort(to, query);
    json_put_name(to, "key");
    buf_put_char(to, '[');
    for (size_t i = 0; i < query->column_count; i++)
        if (query->columns[i].key) {
            json_put_comma(to);
            json_put_string(to, query->columns[i].name);
        }
    buf_put_char(to, ']');
    json_put_name(to, "columns");
    buf_put_char(to, '[');
    put_columns(to, query);
    buf_put_char(to, ']');
    json_put_u64_member(to, "limit", query->limit);
    json_put_u64_member(to, "limit_max", query->limit_max);
    json_put_u64_member(to, "timeout_ms", query->timeout_ms);
    json_put_name(to, "one");
    buf_printf(to, query->one ? "true" : "false");
    json_put_name(to, "permission");
    if (query->permission.size > 0)
        json_put_string(to, query->permission);
    else
        buf_printf(to, "null");
    json_put_name(to, "projections");
    buf_put_char(to, '[');
    for (size_t i = 0; i < query->projection_count; i++) {
        json_put_comma(to);
        json_put_string(to, query->projections[i]);
    }
    buf_printf(to, "]}");
}

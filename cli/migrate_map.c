/* From a row to events, as the mapping says. Pure: the same row gives the same events with the same ids. See migrate.h. */
#include <base/error.h>
#include <base/text.h>
#include <stdarg.h>

#include "migrate.h"

#define NAME_MAX_BYTES 512

/* One row under way. */
struct mapper {
    const struct mapping *mapping;
    const struct source *source;
    const struct value *values;
    const struct rule *rule;
    cairn_str batch;
    struct arena *arena;
    cairn_error *error;
};

__attribute__((format(printf, 3, 4))) static cairn_err
refuse(struct mapper *mapper, uint32_t line, const char *format, ...)
{
    char text[200];
    cairn_str key = mapper->values[mapper->source->key_column].text;
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return error_set(mapper->error, CAIRN_E_INVALID, "%s:%u: the row with %.40s %.*s: %s", mapper->mapping->path, line,
                     mapper->source->key, (int)(key.size < 60 ? key.size : 60), key.size ? key.data : "", text);
}

static cairn_err
no_memory(struct mapper *mapper)
{
    return error_set(mapper->error, CAIRN_E_NOMEM, "out of memory for a row");
}

/* ---- values ------------------------------------------------------------------------------------------------ */

void
value_put_json(struct buf *to, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        buf_put_str(to, CAIRN_STR("null"));
        return;
    case VALUE_TRUE:
        buf_put_str(to, CAIRN_STR("true"));
        return;
    case VALUE_FALSE:
        buf_put_str(to, CAIRN_STR("false"));
        return;
    case VALUE_NUMBER:
        buf_put_str(to, value->text);
        return;
    case VALUE_JSON:
        json_put_compact(to, value->text);
        return;
    case VALUE_TEXT:
        json_put_string(to, value->text);
        return;
    case VALUE_BYTES:
        buf_put_char(to, '"');
        base64_put(to, value->text);
        buf_put_char(to, '"');
        return;
    }
}

/* Databases write times in more ways than RFC 3339 has: without an offset (UTC is taken), with hours only. */
static bool
time_of(cairn_str text, int64_t *ret)
{
    static const char *const ends[] = {"", "Z", ":00"};
    char with_end[80];
    for (size_t i = 0; i < 3 && text.size < 64; i++) {
        int size = snprintf(with_end, sizeof with_end, "%.*s%s", (int)text.size, text.data, ends[i]);
        if (parse_time((cairn_str){with_end, (size_t)size}, ret))
            return true;
    }
    return false;
}

static bool
put_boolean(struct buf *to, const struct value *value)
{
    static const char *const words[][2] = {{"1", "0"}, {"true", "false"}, {"t", "f"}, {"yes", "no"}, {"y", "n"}};
    if (value->kind == VALUE_TRUE || value->kind == VALUE_FALSE) {
        value_put_json(to, value);
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (size_t no = 0; no < 2; no++)
            if (value->text.size == strlen(words[i][no]) && strncasecmp(value->text.data, words[i][no], value->text.size) == 0) {
                buf_put_str(to, no ? CAIRN_STR("false") : CAIRN_STR("true"));
                return true;
            }
    return false;
}

static bool
put_unix(struct buf *to, const struct value *value, int64_t unit_us)
{
    double number;
    int64_t whole;
    struct json json;
    if (json_check(value->text, &json, NULL) != CAIRN_OK || json.type != JSON_NUMBER)
        return false;
    if (json_i64(json, &whole) && whole < INT64_MAX / 1000000 && whole > INT64_MIN / 1000000)
        json_put_time(to, whole * unit_us);
    else if (json_double(json, &number) && number > -6e10 && number < 2.5e11)
        json_put_time(to, (int64_t)(number * (double)unit_us));
    else
        return false;
    return true;
}

/* A value, not null, as its cast has it. False: it cannot be read as that. */
static bool
put_cast(struct buf *to, const struct value *value, enum cast cast)
{
    struct json json;
    int64_t number;
    switch (cast) {
    case CAST_AS_IT_IS:
        value_put_json(to, value);
        return true;
    case CAST_TEXT:
        if (value->kind == VALUE_BYTES)
            value_put_json(to, value);
        else
            json_put_string(to, value->text);
        return true;
    case CAST_INTEGER:
        json = (struct json){JSON_NUMBER, value->text};
        if (!parse_i64(value->text, &number) && (value->kind != VALUE_NUMBER || !json_i64(json, &number)))
            return false;
        json_put_i64(to, number);
        return true;
    case CAST_NUMBER:
        if (json_check(value->text, &json, NULL) != CAIRN_OK || json.type != JSON_NUMBER)
            return false;
        buf_put_str(to, json.raw);
        return true;
    case CAST_BOOLEAN:
        return put_boolean(to, value);
    case CAST_JSON:
        if (json_check(value->text, &json, NULL) != CAIRN_OK)
            return false;
        json_put_compact(to, json.raw);
        return true;
    case CAST_TIME:
        if (!time_of(value->text, &number))
            return false;
        json_put_time(to, number);
        return true;
    case CAST_UNIX:
        return put_unix(to, value, 1000000);
    case CAST_UNIX_MS:
        return put_unix(to, value, 1000);
    }
    return false;
}

static cairn_err
put_value(struct mapper *mapper, const struct member *member, struct buf *to)
{
    static const char *const casts[] = {"", "text", "an integer", "a number", "a boolean", "JSON", "a time",
                                        "a time in seconds", "a time in milliseconds"};
    const struct value *value = &mapper->values[member->column.index];
    if (member->constant)
        buf_put_str(to, member->json);
    else if (value->kind == VALUE_NULL)
        buf_put_str(to, CAIRN_STR("null"));
    else if (!put_cast(to, value, member->cast))
        return refuse(mapper, member->column.line, "column \"%.*s\" is \"%.*s\": not %s", (int)member->column.name.size,
                      member->column.name.data, (int)(value->text.size < 40 ? value->text.size : 40), value->text.data,
                      casts[member->cast]);
    return CAIRN_OK;
}

/* ---- parts of an event ------------------------------------------------------------------------------------------ */

static bool
holds(const struct condition *condition, const struct value *values)
{
    const struct value *value = &values[condition->column.index];
    if (condition->test != WHEN_IN)
        return (value->kind == VALUE_NULL) == (condition->test == WHEN_NULL);
    cairn_str text = value->kind == VALUE_TRUE    ? CAIRN_STR("true")
                     : value->kind == VALUE_FALSE ? CAIRN_STR("false")
                                                  : value->text;
    for (size_t i = 0; value->kind != VALUE_NULL && i < condition->value_count; i++)
        if (cairn_str_equal(text, condition->values[i]))
            return true;
    return false;
}

/* *ret_null: a column in it is null, and there is no text. */
static cairn_err
fill_template(struct mapper *mapper, const struct text_template *text, const char *what, cairn_str *ret, bool *ret_null)
{
    struct buf to = {0};
    cairn_err err = CAIRN_OK;
    *ret_null = false;
    for (size_t i = 0; i < text->count; i++) {
        const struct piece *piece = &text->pieces[i];
        const struct value *value = piece->has_column ? &mapper->values[piece->column.index] : NULL;
        buf_put_str(&to, piece->literal);
        *ret_null |= value && (value->kind == VALUE_NULL || value->text.size == 0);
        if (value)
            buf_put_str(&to, value->text);
    }
    if (to.failed)
        err = no_memory(mapper);
    else if (!*ret_null && (to.size == 0 || to.size > NAME_MAX_BYTES))
        err = refuse(mapper, text->line, "the %s has %zu bytes; 1 to %d are allowed", what, to.size, NAME_MAX_BYTES);
    for (size_t i = 0; err == CAIRN_OK && !*ret_null && i < to.size; i++)
        if ((unsigned char)to.data[i] < 0x20 || to.data[i] == 0x7F)
            err = refuse(mapper, text->line, "the %s has a control character", what);
    if (err == CAIRN_OK && !*ret_null && !utf8_valid(buf_str(&to)))
        err = refuse(mapper, text->line, "the %s is no UTF-8", what);
    if (err == CAIRN_OK && !*ret_null) {
        *ret = arena_copy(mapper->arena, buf_str(&to));
        err = ret->data ? CAIRN_OK : no_memory(mapper);
    }
    buf_free(&to);
    return err;
}

static cairn_err
make_type(struct mapper *mapper, cairn_str *ret)
{
    const struct rule *rule = mapper->rule;
    if (rule->type.size) {
        *ret = rule->type;
        return CAIRN_OK;
    }
    const struct value *value = &mapper->values[rule->type_column.index];
    cairn_str name = rule->type_column.name;
    if (value->kind == VALUE_NULL || value->text.size == 0)
        return refuse(mapper, rule->type_column.line, "column \"%.*s\", which gives the type, is empty", (int)name.size,
                      name.data);
    for (size_t i = 0; i < rule->type_name_count; i++)
        if (cairn_str_equal(rule->type_names[i].value, value->text)) {
            *ret = rule->type_names[i].type;
            return CAIRN_OK;
        }
    if (rule->type_name_count)
        return refuse(mapper, rule->type_column.line, "column \"%.*s\" is \"%.*s\", for which `values` has no type",
                      (int)name.size, name.data, (int)(value->text.size < 60 ? value->text.size : 60), value->text.data);
    *ret = arena_copy(mapper->arena, value->text);
    return ret->data ? CAIRN_OK : no_memory(mapper);
}

static cairn_err
make_data(struct mapper *mapper, cairn_str *ret)
{
    const struct rule *rule = mapper->rule;
    struct buf to = {0};
    cairn_err err = CAIRN_OK;
    buf_put_char(&to, '{');
    for (size_t i = 0; rule->all_columns && i < mapper->source->column_count; i++) {
        json_put_comma(&to);
        json_put_string(&to, mapper->source->columns[i]);
        buf_put_char(&to, ':');
        value_put_json(&to, &mapper->values[i]);
    }
    for (size_t i = 0; err == CAIRN_OK && i < rule->member_count; i++) {
        const struct member *member = &rule->members[i];
        if (member->optional && mapper->values[member->column.index].kind == VALUE_NULL)
            continue;
        json_put_comma(&to);
        json_put_string(&to, member->name);
        buf_put_char(&to, ':');
        err = put_value(mapper, member, &to);
    }
    buf_put_char(&to, '}');
    if (err == CAIRN_OK) {
        *ret = to.failed ? (cairn_str){0} : arena_copy(mapper->arena, buf_str(&to));
        err = ret->data ? CAIRN_OK : no_memory(mapper);
    }
    buf_free(&to);
    return err;
}

/* {"migration":"batch","key":…,"occurred_at":"…"} */
static cairn_err
make_meta(struct mapper *mapper, cairn_str *ret)
{
    const struct rule *rule = mapper->rule;
    struct buf to = {0};
    cairn_err err = CAIRN_OK;
    buf_put_str(&to, CAIRN_STR("{\"migration\":"));
    json_put_string(&to, mapper->batch);
    json_put_name(&to, "key");
    value_put_json(&to, &mapper->values[mapper->source->key_column]);
    if (rule->has_time && (rule->time.constant || mapper->values[rule->time.column.index].kind != VALUE_NULL)) {
        json_put_name(&to, "occurred_at");
        err = put_value(mapper, &rule->time, &to);
    }
    buf_put_char(&to, '}');
    if (err == CAIRN_OK) {
        *ret = to.failed ? (cairn_str){0} : arena_copy(mapper->arena, buf_str(&to));
        err = ret->data ? CAIRN_OK : no_memory(mapper);
    }
    buf_free(&to);
    return err;
}

static cairn_err
make_tags(struct mapper *mapper, cairn_event *event)
{
    const struct rule *rule = mapper->rule;
    cairn_str *tags = arena_alloc(mapper->arena, (rule->tag_count + 1) * sizeof *tags);
    char own[96];
    if (!tags)
        return no_memory(mapper);
    int size = snprintf(own, sizeof own, "migration:%.*s", (int)mapper->batch.size, mapper->batch.data);
    tags[0] = arena_copy(mapper->arena, (cairn_str){own, (size_t)size});
    event->tags = tags;
    event->tag_count = 1;
    for (size_t i = 0; i < rule->tag_count; i++) {
        bool null;
        cairn_err err = fill_template(mapper, &rule->tags[i], "tag", &tags[event->tag_count], &null);
        if (err != CAIRN_OK)
            return err;
        event->tag_count += !null;
    }
    return tags[0].data ? CAIRN_OK : no_memory(mapper);
}

/* Of batch, key and rule: a row has the same ids whenever it is read. */
static cairn_uuid
make_id(const struct mapper *mapper)
{
    static const cairn_uuid space = {{0x5b, 0x0f, 0x2c, 0x9e, 0x61, 0x14, 0x4d, 0x37, 0xa8, 0x72, 0x90, 0xe3, 0x4b,
                                      0x1d, 0xf6, 0x08}};
    struct buf name = {0};
    buf_put_str(&name, mapper->batch);
    buf_put_char(&name, '\0');
    buf_put_str(&name, mapper->values[mapper->source->key_column].text);
    buf_printf(&name, "%c%zu", 0, (size_t)(mapper->rule - mapper->mapping->rules));
    cairn_uuid id = name.failed ? (cairn_uuid){0} : uuid_v5(space, buf_str(&name));
    buf_free(&name);
    return id;
}

static cairn_err
make_event(struct mapper *mapper, struct made *ret)
{
    bool null = false;
    *ret = (struct made){0};
    cairn_err err = fill_template(mapper, &mapper->rule->stream, "stream's name", &ret->stream, &null);
    if (err == CAIRN_OK && null)
        err = refuse(mapper, mapper->rule->stream.line, "a column in the stream's name is empty");
    if (err == CAIRN_OK && ret->stream.data[0] == '$')
        err = refuse(mapper, mapper->rule->stream.line, "streams whose names begin with '$' are Cairn's own");
    if (err == CAIRN_OK)
        err = make_type(mapper, &ret->event.type);
    if (err == CAIRN_OK)
        err = make_data(mapper, &ret->event.data);
    if (err == CAIRN_OK)
        err = make_meta(mapper, &ret->event.meta);
    if (err == CAIRN_OK)
        err = make_tags(mapper, &ret->event);
    if (err == CAIRN_OK)
        ret->event.id = make_id(mapper);
    return err;
}

cairn_err
map_row(const struct mapping *mapping, cairn_str batch, const struct source *source, const struct value *values,
        struct arena *arena, struct made to[RULES_MAX], size_t *ret_count, cairn_error *error)
{
    struct mapper mapper = {mapping, source, values, NULL, batch, arena, error};
    *ret_count = 0;
    for (size_t i = 0; i < mapping->rule_count; i++) {
        const struct rule *rule = &mapping->rules[i];
        bool wanted = true;
        for (size_t c = 0; c < rule->condition_count && wanted; c++)
            wanted = holds(&rule->conditions[c], values);
        if (!wanted)
            continue;
        mapper.rule = rule;
        cairn_err err = make_event(&mapper, &to[*ret_count]);
        if (err != CAIRN_OK)
            return err;
        ++*ret_count;
    }
    return CAIRN_OK;
}

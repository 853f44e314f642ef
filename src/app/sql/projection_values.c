/* What an event gives to a projection's statements. The hot path: nothing is allocated for an event unless a string has
 * escapes, everything is bound by pointer into the event, and the data is walked once whatever the number of paths. */
#include "projection_int.h"

#include <base/error.h>
#include <base/text.h>
#include <stdlib.h>

cairn_err
values_init(struct values *values, const struct projection *projection, bool keep, cairn_error *error)
{
    *values = (struct values){.projection = projection, .keep = keep};
    values->own_slots = calloc(projection->slot_count + 1, sizeof *values->own_slots);
    values->seen = calloc(projection->node_count + 1, sizeof *values->seen);
    values->slots = values->own_slots;
    if (values->own_slots == NULL || values->seen == NULL) {
        values_free(values);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a projection's values");
    }
    return CAIRN_OK;
}

void
values_free(struct values *values)
{
    free(values->own_slots);
    free(values->seen);
    arena_free(&values->arena);
    *values = (struct values){0};
}

static inline struct value
text_value(cairn_str text)
{
    return (struct value){.kind = VALUE_TEXT, .size = text.size, .text = text.data != NULL ? text.data : ""};
}

/* Most numbers are short and plain. */
static inline bool
plain_integer(cairn_str raw, int64_t *ret)
{
    bool negative = raw.size > 0 && raw.data[0] == '-';
    if (raw.size > 18)
        return false;
    int64_t n = 0;
    for (size_t i = negative; i < raw.size; i++) {
        unsigned digit = (unsigned)(raw.data[i] - '0');
        if (digit > 9)
            return false;
        n = n * 10 + digit;
    }
    *ret = negative ? -n : n;
    return true;
}

static cairn_err
json_value(struct values *values, struct json json, struct value *ret, cairn_error *error)
{
    switch (json.type) {
    case JSON_STRING: {
        cairn_str text = json_string(json, &values->arena);
        if (text.data == NULL)
            return error_set(error, CAIRN_E_SCRIPT, "a string in the event holds half a character (a lone surrogate)");
        *ret = text_value(text);
        break;
    }
    case JSON_NUMBER: {
        int64_t integer;
        double real;
        if (plain_integer(json.raw, &integer) || json_i64(json, &integer))
            *ret = (struct value){.kind = VALUE_INTEGER, .integer = integer};
        else if (json_double(json, &real))
            *ret = (struct value){.kind = VALUE_REAL, .real = real};
        else
            return error_set(error, CAIRN_E_SCRIPT, "a number in the event is too large");
        break;
    }
    case JSON_TRUE:
    case JSON_FALSE: *ret = (struct value){.kind = VALUE_INTEGER, .integer = json.type == JSON_TRUE}; break;
    case JSON_ARRAY:
    case JSON_OBJECT: *ret = text_value(json.raw); break;
    default: *ret = (struct value){.kind = VALUE_NULL}; break;
    }
    return CAIRN_OK;
}

static uint32_t
find_child(const struct projection *projection, uint32_t node, struct json name, uint32_t index)
{
    for (uint32_t i = projection->nodes[node].child; i != NODE_NONE; i = projection->nodes[i].sibling) {
        const struct path_node *child = &projection->nodes[i];
        if (name.type != JSON_STRING) {
            if (child->name.data == NULL && child->index == index)
                return i;
        } else if (child->name.data != NULL) {
            if (!child->escaped && name.raw.size == child->name.size + 2
                && memcmp(name.raw.data + 1, child->name.data, child->name.size) == 0)
                return i;
            if (name.raw.size > child->name.size + 2 && memchr(name.raw.data, '\\', name.raw.size) != NULL
                && json_string_is(name, child->name.data))
                return i;
        }
    }
    return NODE_NONE;
}

/* Depth is the paths', which is bounded. The first of members with one name counts. */
static cairn_err
walk(struct values *values, uint32_t node, struct json json, cairn_error *error)
{
    const struct projection *projection = values->projection;
    const struct path_node *at = &projection->nodes[node];
    if (at->slot != NODE_NONE) {
        cairn_err err = json_value(values, json, &values->slots[at->slot], error);
        if (err != CAIRN_OK)
            return err;
    }
    if (at->child == NODE_NONE)
        return CAIRN_OK;
    struct json_walk members = json_walk(json);
    struct json name, item;
    uint32_t left = at->child_count;
    for (uint32_t i = 0; left > 0 && json_next(&members, &name, &item); i++) {
        uint32_t child = find_child(projection, node, name, i);
        if (child == NODE_NONE || values->seen[child] == values->stamp)
            continue;
        values->seen[child] = values->stamp;
        left--;
        cairn_err err = walk(values, child, item, error);
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}

static bool
is_json(cairn_str content_type)
{
    if (content_type.size == 0)
        return true;
    const char *semicolon = memchr(content_type.data, ';', content_type.size);
    if (semicolon != NULL)
        content_type = sql_trim((cairn_str){content_type.data, (size_t)(semicolon - content_type.data)});
    return sql_word_is(content_type.data, content_type.size, "application/json")
        || (content_type.size > 5
            && sql_word_is(content_type.data + content_type.size - 5, 5, "+json"));
}

/* A copy that lives as long as the event's other values. */
static struct value
kept_value(struct values *values, cairn_str text)
{
    cairn_str copy = arena_copy(&values->arena, text);
    values->no_memory = values->no_memory || copy.data == NULL;
    return text_value(copy);
}

static struct value
tags_value(struct values *values, const cairn_event *event)
{
    struct buf tags = {0};
    buf_put_char(&tags, '[');
    for (size_t i = 0; i < event->tag_count; i++) {
        json_put_comma(&tags);
        json_put_string(&tags, event->tags[i]);
    }
    buf_put_char(&tags, ']');
    values->no_memory = values->no_memory || tags.failed;
    struct value value = kept_value(values, buf_str(&tags));
    buf_free(&tags);
    return value;
}

static struct value
tag_value(const cairn_event *event, cairn_str prefix)
{
    for (size_t i = 0; i < event->tag_count; i++) {
        cairn_str tag = event->tags[i];
        if (tag.size >= prefix.size && memcmp(tag.data, prefix.data, prefix.size) == 0)
            return text_value((cairn_str){tag.data + prefix.size, tag.size - prefix.size});
    }
    return (struct value){.kind = VALUE_NULL};
}

static struct value
stream_part(cairn_str stream, bool id)
{
    const char *dash = stream.size > 0 ? memchr(stream.data, '-', stream.size) : NULL;
    if (dash == NULL)
        return id ? (struct value){.kind = VALUE_NULL} : text_value(stream);
    size_t before = (size_t)(dash - stream.data);
    return text_value(id ? (cairn_str){dash + 1, stream.size - before - 1} : (cairn_str){stream.data, before});
}

static struct value
field_value(struct values *values, const struct slot *slot, const cairn_recorded *recorded, bool json)
{
    const cairn_event *event = &recorded->event;
    struct value value = {.kind = VALUE_NULL};
    char text[UUID_TEXT_SIZE > 32 ? UUID_TEXT_SIZE : 32];
    switch (slot->field) {
    case FIELD_POSITION: return (struct value){.kind = VALUE_INTEGER, .integer = (int64_t)recorded->position};
    case FIELD_REVISION: return (struct value){.kind = VALUE_INTEGER, .integer = (int64_t)recorded->revision};
    case FIELD_TIME_US: return (struct value){.kind = VALUE_INTEGER, .integer = recorded->time_us};
    case FIELD_STREAM: return text_value(recorded->stream);
    case FIELD_STREAM_ID: return stream_part(recorded->stream, true);
    case FIELD_CATEGORY: return stream_part(recorded->stream, false);
    case FIELD_TYPE: return text_value(event->type);
    case FIELD_ID:
        format_uuid(event->id, text);
        return kept_value(values, (cairn_str){text, UUID_TEXT_SIZE - 1});
    case FIELD_TIME: return kept_value(values, (cairn_str){text, format_time(recorded->time_us, text)});
    case FIELD_CORRELATION: return event->correlation.size > 0 ? text_value(event->correlation) : value;
    case FIELD_DATA:
        if (event->data.size == 0)
            return value;
        value = text_value(event->data);
        value.kind = json ? VALUE_TEXT : VALUE_BLOB;
        return value;
    case FIELD_META: return event->meta.size > 0 ? text_value(event->meta) : value;
    case FIELD_TAGS: return tags_value(values, event);
    case FIELD_TAG: return tag_value(event, slot->path);
    default: return value; /* found in the walk, or not there */
    }
}

cairn_err
values_take(struct values *values, const struct plan *plan, const cairn_recorded *recorded, cairn_error *error)
{
    const cairn_event *event = &recorded->event;
    bool json = true;
    if (values->keep) {
        values->slots = arena_alloc(&values->arena, (values->projection->slot_count + 1) * sizeof *values->slots);
        if (values->slots == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for an event's values");
    } else if (values->arena.used_bytes > 0)
        arena_reset(&values->arena);
    if (++values->stamp == 0) { /* the stamps have gone round */
        memset(values->seen, 0, (values->projection->node_count + 1) * sizeof *values->seen);
        values->stamp = 1;
    }
    if (plan->data_root != NODE_NONE || plan->data_text)
        json = is_json(event->content_type);
    for (size_t i = 0; i < plan->slot_count; i++) {
        uint16_t slot = plan->slots[i];
        values->slots[slot] = field_value(values, &values->projection->slots[slot], recorded, json);
    }
    if (values->no_memory) {
        values->no_memory = false;
        return error_set(error, CAIRN_E_NOMEM, "no memory for an event's values");
    }

    cairn_err err = CAIRN_OK;
    struct json data;
    if (json && event->data.size > 0 && (plan->data_root != NODE_NONE || plan->data_text)) {
        if (json_check(event->data, &data, error) != CAIRN_OK)
            return error_set(error, CAIRN_E_SCRIPT, "the event's data is not JSON%s%s", error != NULL ? ": " : "",
                             error != NULL ? error->detail : "");
        if (plan->data_root != NODE_NONE)
            err = walk(values, plan->data_root, data, error);
    }
    if (err == CAIRN_OK && plan->meta_root != NODE_NONE && event->meta.size > 0)
        err = walk(values, plan->meta_root, json_trusted(event->meta), error);
    return err;
}

int
values_bind(const struct value *slots, const struct statement *statement, sqlite3_stmt *prepared)
{
    int rc = SQLITE_OK;
    for (int i = 0; i < statement->bind_count && rc == SQLITE_OK; i++) {
        const struct value *value = &slots[statement->binds[i]];
        switch (value->kind) {
        case VALUE_NULL: rc = sqlite3_bind_null(prepared, i + 1); break;
        case VALUE_INTEGER: rc = sqlite3_bind_int64(prepared, i + 1, value->integer); break;
        case VALUE_REAL: rc = sqlite3_bind_double(prepared, i + 1, value->real); break;
        case VALUE_TEXT:
            rc = sqlite3_bind_text64(prepared, i + 1, value->text, value->size, SQLITE_STATIC, SQLITE_UTF8);
            break;
        case VALUE_BLOB:
            rc = sqlite3_bind_blob64(prepared, i + 1, value->text, value->size, SQLITE_STATIC);
            break;
        }
    }
    return rc;
}

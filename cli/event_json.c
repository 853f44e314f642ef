/* Events as JSON. See event_json.h. */
#include "event_json.h"

#include <base/error.h>
#include <base/text.h>
#include <proto/http/api_parse.h>
#include <proto/http/api_render.h>

/* ---- out ----------------------------------------------------------------------------------------- */

static bool
fits_line(cairn_str json)
{
    return memchr(json.data, '\n', json.size) == NULL && memchr(json.data, '\r', json.size) == NULL;
}

static void
put_base64(struct buf *to, const char *name, cairn_str bytes)
{
    json_put_name(to, name);
    buf_put_char(to, '"');
    base64_put(to, bytes);
    buf_put_char(to, '"');
}

/* data as it is where it is JSON on one line, as base64 otherwise. content_type is written where the
 * reader could not tell it. */
static void
put_data(struct buf *to, const cairn_event *event, bool one_line)
{
    struct json checked;
    bool json = parse_is_json_type(event->content_type);
    bool plain = json && event->data.size > 0 && (!one_line || fits_line(event->data)) &&
                 json_check(event->data, &checked, NULL) == CAIRN_OK;
    /* octet-stream is what data_base64 without a type means */
    bool type_told = plain ? event->content_type.size > 0
                           : !cairn_str_equal(event->content_type, CAIRN_STR("application/octet-stream"));
    if (event->data.size == 0)
        type_told = event->content_type.size > 0;
    if (type_told) {
        json_put_name(to, "content_type");
        json_put_string(to, event->content_type.size ? event->content_type
                                                     : CAIRN_STR("application/json"));
    }
    if (event->schema_id) {
        json_put_u64_member(to, "schema_id", event->schema_id);
    }
    if (plain) {
        json_put_name(to, "data");
        buf_put_str(to, event->data);
    } else if (event->data.size > 0) {
        put_base64(to, "data_base64", event->data);
    }
}

static void
put_tags(struct buf *to, const cairn_event *event)
{
    if (event->tag_count == 0)
        return;
    json_put_name(to, "tags");
    buf_put_char(to, '[');
    for (size_t i = 0; i < event->tag_count; i++) {
        json_put_comma(to);
        json_put_string(to, event->tags[i]);
    }
    buf_put_char(to, ']');
}

static cairn_str
meta_correlation(cairn_str meta, struct arena *arena)
{
    struct json checked;
    if (meta.size == 0 || json_check(meta, &checked, NULL) != CAIRN_OK)
        return (cairn_str){0};
    return json_string(json_get(checked, "correlation"), arena);
}

static void
put_rest(struct buf *to, const cairn_event *event, bool one_line)
{
    if (!uuid_is_zero(event->id)) {
        json_put_name(to, "id");
        json_put_uuid(to, event->id);
    }
    json_put_text_member(to, "type", event->type);
    put_data(to, event, one_line);
    if (event->meta.size > 0 && one_line && !fits_line(event->meta)) {
        put_base64(to, "meta_base64", event->meta);
    } else if (event->meta.size > 0) {
        json_put_name(to, "meta");
        buf_put_str(to, event->meta);
    }
    if (event->correlation.size > 0) { /* meta tells it in most events */
        struct arena arena = {0};
        if (!cairn_str_equal(meta_correlation(event->meta, &arena), event->correlation)) {
            json_put_text_member(to, "correlation", event->correlation);
        }
        arena_free(&arena);
    }
    put_tags(to, event);
}

void
event_put_open(struct buf *to, const cairn_recorded *event)
{
    buf_put_str(to, CAIRN_STR("{\"position\":"));
    json_put_u64(to, event->position);
    json_put_text_member(to, "stream", event->stream);
    json_put_u64_member(to, "revision", event->revision);
    json_put_name(to, "time");
    json_put_time(to, event->time_us);
    put_rest(to, &event->event, true);
}

void
event_put(struct buf *to, const cairn_recorded *event)
{
    event_put_open(to, event);
    buf_put_char(to, '}');
}

void
event_put_input(struct buf *to, const cairn_event *event)
{
    buf_put_char(to, '{');
    put_rest(to, event, false);
    buf_put_char(to, '}');
}

/* The server's own rendering, brought onto one line. */
void
event_put_cloudevent(struct buf *to, const cairn_recorded *recorded)
{
    size_t begin = to->size;
    render_cloudevent(to, recorded);
    cairn_str text = {to->data + begin, to->failed ? 0 : to->size - begin};
    if (text.size == 0 || fits_line(text))
        return;
    struct buf line = {0};
    json_put_compact(&line, text);
    to->size = begin;
    buf_put_str(to, buf_str(&line));
    to->failed |= line.failed;
    buf_free(&line);
}

void
event_put_shown(struct buf *to, const cairn_event *event)
{
    struct json checked;
    if (event->data.size && json_check(event->data, &checked, NULL) == CAIRN_OK)
        json_put_compact(to, event->data);
    else if (event->data.size && utf8_valid(event->data))
        buf_put_str(to, event->data);
    else if (event->data.size)
        buf_printf(to, "(%zu bytes of %.*s)", event->data.size, (int)event->content_type.size,
                   event->content_type.size ? event->content_type.data : "");
    for (size_t i = 0; i < event->tag_count; i++) {
        buf_put_str(to, i ? CAIRN_STR(" #") : CAIRN_STR("  #"));
        buf_put_str(to, event->tags[i]);
    }
}

/* ---- in ------------------------------------------------------------------------------------------ */

static cairn_err
want(cairn_error *error, const char *member, const char *what)
{
    return error_set(error, CAIRN_E_INVALID, "member \"%s\" must be %s", member, what);
}

static cairn_err
take_string(struct json value, struct arena *arena, const char *member, cairn_str *ret, cairn_error *error)
{
    if (value.type == JSON_NONE || value.type == JSON_NULL)
        return CAIRN_OK;
    if (value.type != JSON_STRING)
        return want(error, member, "a string");
    cairn_str text = json_string(value, arena);
    if (!text.data && value.raw.size > 2)
        return want(error, member, "a string of valid UTF-8");
    *ret = text;
    return CAIRN_OK;
}

static cairn_err
take_base64(struct json value, struct arena *arena, const char *member, cairn_str *ret, cairn_error *error)
{
    cairn_str text = {0};
    cairn_err err = take_string(value, arena, member, &text, error);
    if (err != CAIRN_OK || text.size == 0)
        return err;
    struct buf bytes = {0};
    if (!base64_get(&bytes, text))
        err = want(error, member, "base64");
    else if (bytes.size > 0 && !(*ret = arena_copy(arena, buf_str(&bytes))).data)
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    buf_free(&bytes);
    return err;
}

static cairn_err
take_tags(struct json value, struct arena *arena, cairn_event *event, cairn_error *error)
{
    if (value.type == JSON_NONE || value.type == JSON_NULL)
        return CAIRN_OK;
    if (value.type != JSON_ARRAY)
        return want(error, "tags", "an array of strings");
    size_t count = json_count(value);
    cairn_str *tags = count ? arena_zalloc(arena, count * sizeof *tags) : NULL;
    if (count && !tags)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    struct json_walk walk = json_walk(value);
    struct json none, item;
    for (size_t i = 0; json_next(&walk, &none, &item); i++) {
        cairn_err err = item.type == JSON_STRING ? take_string(item, arena, "tags", &tags[i], error)
                                                 : want(error, "tags", "an array of strings");
        if (err != CAIRN_OK)
            return err;
    }
    event->tags = tags;
    event->tag_count = count;
    return CAIRN_OK;
}

static cairn_err
take_number(struct json value, const char *member, uint64_t max, uint64_t *ret, bool *ret_given,
            cairn_error *error)
{
    if (value.type == JSON_NONE || value.type == JSON_NULL)
        return CAIRN_OK;
    if (!json_u64(value, ret) || *ret > max)
        return want(error, member, "a whole number");
    if (ret_given)
        *ret_given = true;
    return CAIRN_OK;
}

/* One member of an event. */
static cairn_err
take_member(struct json name, struct json value, struct arena *arena, struct event_in *in,
            cairn_error *error)
{
    cairn_event *event = &in->recorded.event;
    cairn_str text = {0};
    uint64_t number = 0;
    cairn_err err;
    if (json_string_is(name, "type"))
        return take_string(value, arena, "type", &event->type, error);
    if (json_string_is(name, "stream"))
        return take_string(value, arena, "stream", &in->recorded.stream, error);
    if (json_string_is(name, "content_type"))
        return take_string(value, arena, "content_type", &event->content_type, error);
    if (json_string_is(name, "correlation"))
        return take_string(value, arena, "correlation", &event->correlation, error);
    if (json_string_is(name, "reason"))
        return take_string(value, arena, "reason", &in->reason, error);
    if (json_string_is(name, "data_base64"))
        return take_base64(value, arena, "data_base64", &event->data, error);
    if (json_string_is(name, "meta_base64"))
        return take_base64(value, arena, "meta_base64", &event->meta, error);
    if (json_string_is(name, "tags"))
        return take_tags(value, arena, event, error);
    if (json_string_is(name, "revision"))
        return take_number(value, "revision", INT64_MAX - 1, &in->recorded.revision, &in->has_revision, error);
    if (json_string_is(name, "position"))
        return take_number(value, "position", INT64_MAX - 1, &in->recorded.position, NULL, error);
    if (json_string_is(name, "data")) {
        event->data = value.raw;
        return CAIRN_OK;
    }
    if (json_string_is(name, "meta")) {
        if (value.type == JSON_OBJECT)
            event->meta = value.raw;
        return value.type == JSON_OBJECT || value.type == JSON_NULL ? CAIRN_OK : want(error, "meta", "an object");
    }
    if (json_string_is(name, "delivery") || json_string_is(name, "deliveries")) {
        err = take_number(value, "delivery", UINT32_MAX, &number, NULL, error);
        in->delivery = (uint32_t)number;
        return err;
    }
    if (json_string_is(name, "schema_id")) {
        err = take_number(value, "schema_id", UINT32_MAX, &number, NULL, error);
        event->schema_id = (uint32_t)number;
        return err;
    }
    if (json_string_is(name, "id")) {
        err = take_string(value, arena, "id", &text, error);
        if (err == CAIRN_OK && text.size > 0 && !parse_uuid(text, &event->id))
            return want(error, "id", "a UUID");
        return err;
    }
    if (json_string_is(name, "time") && value.type == JSON_STRING)
        parse_time(json_string(value, arena), &in->recorded.time_us);
    return CAIRN_OK;
}

/* One way of storing each: the same that the server has. */
static void
settle_content_type(cairn_event *event, bool base64)
{
    if (cairn_str_equal(event->content_type, CAIRN_STR("application/json")))
        event->content_type = (cairn_str){0};
    else if (base64 && event->content_type.size == 0)
        event->content_type = CAIRN_STR("application/octet-stream");
}

cairn_err
event_parse(struct json value, struct arena *arena, struct event_in *ret, cairn_error *error)
{
    struct event_in in = {0};
    if (value.type != JSON_OBJECT)
        return error_set(error, CAIRN_E_INVALID, "an event must be an object");
    struct json_walk walk = json_walk(value);
    struct json name, item;
    while (json_next(&walk, &name, &item)) {
        cairn_err err = take_member(name, item, arena, &in, error);
        if (err != CAIRN_OK)
            return err;
    }
    if (in.recorded.event.type.size == 0)
        return error_set(error, CAIRN_E_INVALID, "member \"type\" is missing");
    bool base64 = json_get(value, "data_base64").type == JSON_STRING;
    settle_content_type(&in.recorded.event, base64);
    *ret = in;
    return CAIRN_OK;
}

/* The server's own parser; only the stream is this program's choice. */
cairn_err
event_parse_cloudevent(struct json value, struct arena *arena, struct event_in *ret, cairn_error *error)
{
    struct event_in in = {0};
    struct parse parse = {.arena = arena, .error = error, .events_max = 1};
    cairn_err err = parse_cloudevent(&parse, NULL, value, &in.recorded.event);
    if (err == CAIRN_OK)
        err = take_string(json_get(value, "cairnstream"), arena, "cairnstream", &in.recorded.stream, error);
    if (err == CAIRN_OK && in.recorded.stream.size == 0)
        err = take_string(json_get(value, "subject"), arena, "subject", &in.recorded.stream, error);
    if (err == CAIRN_OK)
        *ret = in;
    return err;
}

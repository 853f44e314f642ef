/* CloudEvents 1.0 in: structured, batch and binary mode (JSON format and HTTP binding).
 *
 *   type, data, datacontenttype   the event's own
 *   id                            the event's id when it is a UUID; otherwise a UUIDv5 of source and id,
 *                                 so that the same CloudEvent sent twice is the same event
 *   correlationid                 meta.correlation too, so that the correlation's series has it
 *   every other attribute         kept in meta.ce as it came, given back on the way out
 *
 * Cairn's own attributes, made on the way out: cairnstream, cairnposition and cairnrevision are
 * given anew and dropped here; cairnmeta and cairntags come back as meta and tags. */
#include <proto/http/api_parse.h>

#include <base/error.h>
#include <base/text.h>

/* Names under this namespace: "source\nid". */
static const cairn_uuid ce_namespace = {{0x5e, 0x0c, 0x1b, 0x7a, 0x2f, 0x94, 0x4d, 0x36, 0x9b, 0x61, 0x0a,
                                         0xc8, 0x3d, 0x57, 0xe1, 0x42}};

#define CE_ATTRIBUTES_MAX 64

/* An event as its attributes come in. */
struct ce {
    cairn_str specversion, id, source, type, content_type;
    cairn_str own_stream, own_time, own_recorded; /* of an event that Cairn gave out */
    bool own, source_names_id;
    cairn_str own_meta; /* an object's text, checked */
    cairn_str correlation;
    struct json data, data_base64;
    const cairn_str *tags;
    size_t tag_count;
    struct buf kept; /* members of meta.ce, without braces */
    cairn_str names[CE_ATTRIBUTES_MAX]; /* of all that came, so that none comes twice */
    size_t name_count;
};

/* Attribute names are lower-case letters and digits (CloudEvents 1.0 §3). */
static bool
is_attribute_name(cairn_str name)
{
    for (size_t i = 0; i < name.size; i++)
        if (!((name.data[i] >= 'a' && name.data[i] <= 'z') || (name.data[i] >= '0' && name.data[i] <= '9')))
            return false;
    return name.size > 0 && name.size <= 64;
}

static cairn_err
note_name(struct parse *parse, const struct field *event_at, cairn_str name, struct ce *ce)
{
    if (ce->name_count == CE_ATTRIBUTES_MAX)
        return parse_fail(parse, CAIRN_E_LIMIT, event_at, "has more than %d attributes", CE_ATTRIBUTES_MAX);
    for (size_t i = 0; i < ce->name_count; i++)
        if (cairn_str_equal(ce->names[i], name))
            return parse_fail(parse, CAIRN_E_INVALID, event_at, "attribute %.*s is given twice", (int)name.size,
                              name.data);
    ce->names[ce->name_count++] = name;
    return CAIRN_OK;
}

static void
keep(struct ce *ce, cairn_str name, cairn_str raw)
{
    if (ce->kept.size > 0)
        buf_put_char(&ce->kept, ',');
    json_put_string(&ce->kept, name);
    buf_put_char(&ce->kept, ':');
    buf_put_str(&ce->kept, raw);
}

static void
keep_text(struct ce *ce, cairn_str name, cairn_str text)
{
    struct buf raw = {0};
    json_put_string(&raw, text);
    if (raw.failed)
        ce->kept.failed = true;
    else
        keep(ce, name, buf_str(&raw));
    buf_free(&raw);
}

/* "a,b%2Cc": commas and percent signs in a tag are escaped. */
static cairn_err
split_tags(struct parse *parse, const struct field *at, cairn_str text, struct ce *ce)
{
    cairn_str *tags = arena_alloc(parse->arena, PARSE_TAGS_MAX * sizeof *tags);
    if (!tags)
        return parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory");
    ce->tags = tags;
    while (text.size > 0) {
        const char *comma = memchr(text.data, ',', text.size);
        cairn_str one = {text.data, comma ? (size_t)(comma - text.data) : text.size};
        text.data += one.size + (comma != NULL);
        text.size -= one.size + (comma != NULL);
        if (ce->tag_count == PARSE_TAGS_MAX)
            return parse_fail(parse, CAIRN_E_LIMIT, at, "has more than %d tags", PARSE_TAGS_MAX);
        struct buf plain = {0};
        bool ok = one.size > 0 && percent_get(&plain, one, false);
        cairn_str copy = ok ? arena_copy(parse->arena, buf_str(&plain)) : (cairn_str){0};
        buf_free(&plain);
        if (!copy.data || copy.size == 0)
            return parse_fail(parse, CAIRN_E_INVALID, at, "must be tags with commas between them");
        tags[ce->tag_count++] = copy;
    }
    return CAIRN_OK;
}

static cairn_err
take_meta(struct parse *parse, const struct field *at, cairn_str text, struct ce *ce)
{
    struct json value;
    if (json_check(text, &value, NULL) != CAIRN_OK || value.type != JSON_OBJECT)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be a JSON object as text");
    if (json_get(value, "ce").type != JSON_NONE)
        return parse_fail(parse, CAIRN_E_INVALID, at, "may not hold \"ce\": the other attributes make it");
    ce->own_meta = value.raw;
    return CAIRN_OK;
}

/* One attribute that is text. False in *ret_taken: it is none that has a meaning here. */
static cairn_err
take_text(struct parse *parse, const struct field *at, cairn_str text, struct ce *ce, bool *ret_taken)
{
    const struct {
        const char *name;
        cairn_str *to;
    } places[] = {
        {"specversion", &ce->specversion}, {"id", &ce->id},
        {"source", &ce->source},           {"type", &ce->type},
        {"time", &ce->own_time},           {"recordedtime", &ce->own_recorded},
        {"cairnstream", &ce->own_stream},  {"datacontenttype", &ce->content_type},
    };
    *ret_taken = true;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (!strcmp(at->name, places[i].name)) {
            *places[i].to = text;
            int64_t time_us;
            if ((!strcmp(at->name, "time") || !strcmp(at->name, "recordedtime")) && !parse_time(text, &time_us))
                return parse_fail(parse, CAIRN_E_INVALID, at, "must be an RFC 3339 time");
            return CAIRN_OK;
        }
    if (!strcmp(at->name, "cairnposition") || !strcmp(at->name, "cairnrevision")) {
        ce->own = true;
        return CAIRN_OK;
    }
    if (!strcmp(at->name, "cairntags"))
        return split_tags(parse, at, text, ce);
    if (!strcmp(at->name, "cairnmeta"))
        return take_meta(parse, at, text, ce);
    if (!strcmp(at->name, "correlationid"))
        ce->correlation = text;
    *ret_taken = false;
    return CAIRN_OK;
}

static cairn_err
take_member(struct parse *parse, const struct field *event_at, struct json name, struct json value,
            struct ce *ce)
{
    bool is_data = json_string_is(name, "data");
    if (is_data || json_string_is(name, "data_base64")) {
        *(is_data ? &ce->data : &ce->data_base64) = value;
        return note_name(parse, event_at, is_data ? CAIRN_STR("data") : CAIRN_STR("data_base64"), ce);
    }
    cairn_str text_name = json_string(name, parse->arena);
    if (!text_name.data || !is_attribute_name(text_name))
        return parse_fail(parse, CAIRN_E_INVALID, event_at,
                          "attribute %.*s: names are lower-case letters and digits, at most 64",
                          (int)(name.raw.size < 60 ? name.raw.size : 60), name.raw.data);
    cairn_str copy = arena_copy(parse->arena, text_name);
    if (!copy.data)
        return parse_fail(parse, CAIRN_E_NOMEM, event_at, "out of memory");
    struct field at = {event_at, copy.data, 0};
    cairn_err err = note_name(parse, event_at, copy, ce);
    if (err != CAIRN_OK || value.type == JSON_NULL)
        return err; /* null: the same as absent, by the JSON format's §2.2 */
    if (value.type == JSON_STRING) {
        bool taken;
        cairn_str text = json_string(value, parse->arena);
        if (!text.data)
            return parse_fail(parse, CAIRN_E_INVALID, &at, "holds a lone surrogate");
        err = take_text(parse, &at, text, ce, &taken);
        if (err == CAIRN_OK && !taken)
            keep(ce, copy, value.raw);
        return err;
    }
    static const char *const must_be_text[] = {"specversion", "id", "source", "type", "time", "subject",
                                               "dataschema", "datacontenttype", "recordedtime",
                                               "correlationid"};
    for (size_t i = 0; i < sizeof must_be_text / sizeof *must_be_text; i++)
        if (!strcmp(copy.data, must_be_text[i]))
            return parse_fail(parse, CAIRN_E_INVALID, &at, "must be a string");
    if (value.type == JSON_ARRAY || value.type == JSON_OBJECT || !strncmp(copy.data, "cairn", 5))
        return parse_fail(parse, CAIRN_E_INVALID, &at, "must be a %s",
                          strncmp(copy.data, "cairn", 5) ? "string, number or boolean" : "string");
    keep(ce, copy, value.raw);
    return CAIRN_OK;
}

/* ---- from attributes to the event ------------------------------------------------------------------ */

static cairn_err
require(struct parse *parse, const struct field *event_at, const char *name, cairn_str text)
{
    struct field at = {event_at, name, 0};
    return text.size > 0 ? CAIRN_OK
                         : parse_fail(parse, CAIRN_E_INVALID, &at,
                                      "is missing; CloudEvents need specversion, id, source and type");
}

/* The id of the event; the CloudEvent's own is kept where it is no canonical UUID. */
static cairn_err
make_id(struct parse *parse, const struct field *at, struct ce *ce, cairn_event *event)
{
    char canonical[UUID_TEXT_SIZE];
    ce->source_names_id = false;
    if (parse_uuid(ce->id, &event->id) && !uuid_is_zero(event->id)) {
        format_uuid(event->id, canonical);
        if (cairn_str_equal(ce->id, cairn_cstr(canonical)))
            return CAIRN_OK;
    } else {
        struct buf name = {0};
        buf_put_str(&name, ce->source);
        buf_put_char(&name, '\n');
        buf_put_str(&name, ce->id);
        if (name.failed)
            return parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory");
        event->id = uuid_v5(ce_namespace, buf_str(&name));
        ce->source_names_id = true;
        buf_free(&name);
    }
    keep_text(ce, CAIRN_STR("id"), ce->id);
    return CAIRN_OK;
}

/* Source and time of an event that Cairn gave out say where and when it lay in another log: unless
 * they were a producer's own, or the id was made from the source, they are made again from the new place. */
static void
keep_origin(struct ce *ce)
{
    bool own_source = false;
    if (ce->own_stream.size > 0 && !ce->source_names_id) {
        struct buf source = {0};
        buf_put_str(&source, CAIRN_STR("/v1/streams/"));
        percent_put(&source, ce->own_stream);
        own_source = !source.failed && cairn_str_equal(ce->source, buf_str(&source));
        buf_free(&source);
    }
    if (!own_source)
        keep_text(ce, CAIRN_STR("source"), ce->source);
    bool own_time = ce->own && cairn_str_equal(ce->own_time, ce->own_recorded);
    if (ce->own_time.size > 0 && !own_time)
        keep_text(ce, CAIRN_STR("time"), ce->own_time);
    if (ce->own_recorded.size > 0 && !ce->own)
        keep_text(ce, CAIRN_STR("recordedtime"), ce->own_recorded);
}

/* {…what cairnmeta said…, "correlation":…, "ce":{…}} */
static cairn_err
make_meta(struct parse *parse, const struct field *at, struct ce *ce, cairn_event *event)
{
    struct buf meta = {0};
    struct json own = ce->own_meta.size ? json_trusted(ce->own_meta) : (struct json){0};
    buf_put_char(&meta, '{');
    struct json name, value;
    if (ce->own_meta.size > 0)
        for (struct json_walk walk = json_walk(own); json_next(&walk, &name, &value);) {
            json_put_comma(&meta);
            buf_put_str(&meta, name.raw);
            buf_put_char(&meta, ':');
            buf_put_str(&meta, value.raw);
        }
    if (ce->correlation.size > 0 && json_get(own, "correlation").type == JSON_NONE) {
        json_put_text_member(&meta, "correlation", ce->correlation);
    }
    if (ce->kept.size > 0) {
        json_put_name(&meta, "ce");
        buf_put_char(&meta, '{');
        buf_put_str(&meta, buf_str(&ce->kept));
        buf_put_char(&meta, '}');
    }
    buf_put_char(&meta, '}');
    cairn_err err = CAIRN_OK;
    if (meta.failed || ce->kept.failed)
        err = parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory");
    else if (meta.size > 2 || ce->own_meta.size > 0) {
        event->meta = arena_copy(parse->arena, buf_str(&meta));
        if (!event->meta.data)
            err = parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory");
    }
    buf_free(&meta);
    return err;
}

static cairn_err
make_event(struct parse *parse, const struct field *at, struct ce *ce, cairn_event *event)
{
    const struct {
        const char *name;
        cairn_str text;
    } needed[] = {{"specversion", ce->specversion}, {"id", ce->id}, {"source", ce->source}, {"type", ce->type}};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        cairn_err err = require(parse, at, needed[i].name, needed[i].text);
        if (err != CAIRN_OK)
            return err;
    }
    struct field version_at = {at, "specversion", 0}, type_at = {at, "type", 0};
    if (!cairn_str_equal(ce->specversion, CAIRN_STR("1.0")))
        return parse_fail(parse, CAIRN_E_INVALID, &version_at, "must be \"1.0\"");
    if (ce->type.size > PARSE_NAME_MAX)
        return parse_fail(parse, CAIRN_E_LIMIT, &type_at, "is %zu bytes; the limit is %d", ce->type.size,
                          PARSE_NAME_MAX);
    if (ce->content_type.size > PARSE_NAME_MAX) {
        struct field content_at = {at, "datacontenttype", 0};
        return parse_fail(parse, CAIRN_E_LIMIT, &content_at, "is %zu bytes; the limit is %d",
                          ce->content_type.size, PARSE_NAME_MAX);
    }

    event->type = ce->type;
    event->tags = ce->tags;
    event->tag_count = ce->tag_count;
    event->content_type = ce->content_type;
    if (cairn_str_equal(event->content_type, CAIRN_STR("application/json")))
        event->content_type = (cairn_str){0};
    cairn_err err = make_id(parse, at, ce, event);
    if (err != CAIRN_OK)
        return err;
    keep_origin(ce);
    return make_meta(parse, at, ce, event);
}

/* `data` of the JSON format: JSON itself, or the text of something else. */
static cairn_err
take_data(struct parse *parse, const struct field *event_at, struct ce *ce, cairn_event *event)
{
    struct field at = {event_at, ce->data_base64.type != JSON_NONE ? "data_base64" : "data", 0};
    bool json_type = parse_is_json_type(ce->content_type);
    if (ce->data.type != JSON_NONE && ce->data_base64.type != JSON_NONE)
        return parse_fail(parse, CAIRN_E_INVALID, &at, "give either data or data_base64");
    if (ce->data_base64.type != JSON_NONE) {
        cairn_err err = parse_base64(parse, &at, ce->data_base64, &event->data);
        struct json checked;
        if (err == CAIRN_OK && ce->content_type.size == 0)
            ce->content_type = CAIRN_STR("application/octet-stream");
        else if (err == CAIRN_OK && json_type && event->data.size > 0 &&
                 json_check(event->data, &checked, NULL) != CAIRN_OK)
            err = parse_fail(parse, CAIRN_E_INVALID, &at, "is not JSON, as datacontenttype says it is");
        return err;
    }
    if (ce->data.type == JSON_NONE)
        return CAIRN_OK;
    if (json_type) {
        event->data = ce->data.raw;
        return CAIRN_OK;
    }
    event->data = json_string(ce->data, parse->arena);
    if (ce->data.type != JSON_STRING || (!event->data.data && ce->data.raw.size > 2))
        return parse_fail(parse, CAIRN_E_INVALID, &at, "must be a string (or data_base64) unless "
                                                       "datacontenttype is JSON");
    return CAIRN_OK;
}

cairn_err
parse_cloudevent(struct parse *parse, const struct field *at, struct json value, cairn_event *ret)
{
    struct ce ce = {0};
    if (value.type != JSON_OBJECT)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be an object");
    cairn_err err = CAIRN_OK;
    struct json_walk walk = json_walk(value);
    struct json name, item;
    while (err == CAIRN_OK && json_next(&walk, &name, &item))
        err = take_member(parse, at, name, item, &ce);
    if (err == CAIRN_OK)
        err = take_data(parse, at, &ce, ret);
    if (err == CAIRN_OK)
        err = make_event(parse, at, &ce, ret);
    buf_free(&ce.kept);
    return err;
}

/* ---- binary mode --------------------------------------------------------------------------------- */

static cairn_err
take_header(struct parse *parse, const struct field *event_at, const struct parse_header *header,
            struct ce *ce)
{
    cairn_str name = {header->name.data + 3, header->name.size - 3};
    cairn_str copy = arena_copy(parse->arena, name);
    if (!copy.data)
        return parse_fail(parse, CAIRN_E_NOMEM, event_at, "out of memory");
    struct field at = {event_at, copy.data, 0};
    if (!is_attribute_name(copy))
        return parse_fail(parse, CAIRN_E_INVALID, event_at,
                          "header ce-%.60s: attribute names are lower-case letters and digits", copy.data);
    if (!strcmp(copy.data, "datacontenttype"))
        return parse_fail(parse, CAIRN_E_INVALID, &at, "in binary mode this is the content-type header");
    /* The HTTP binding §3.1.3.2: values are percent-encoded. */
    struct buf plain = {0};
    bool ok = percent_get(&plain, header->value, false) && (plain.size == 0 || utf8_valid(buf_str(&plain)));
    cairn_str text = ok ? arena_copy(parse->arena, buf_str(&plain)) : (cairn_str){0};
    buf_free(&plain);
    if (!text.data)
        return parse_fail(parse, CAIRN_E_INVALID, &at, "is not percent-encoded UTF-8");
    bool taken;
    cairn_err err = note_name(parse, event_at, copy, ce);
    if (err == CAIRN_OK)
        err = take_text(parse, &at, text, ce, &taken);
    if (err == CAIRN_OK && !taken)
        keep_text(ce, copy, text);
    return err;
}

cairn_err
parse_binary_event(struct parse *parse, cairn_str content_type, const struct parse_header *headers,
                   size_t header_count, cairn_str body, struct event_list *ret)
{
    const struct field root = {NULL, "events", 0}, at = {&root, NULL, 0};
    struct ce ce = {.content_type = content_type};
    struct event_list list = {NULL, 1};
    struct json checked;
    cairn_error why = {0};
    cairn_err err = parse_room(parse, &root, 1, &list.events);
    for (size_t i = 0; i < header_count && err == CAIRN_OK; i++)
        if (headers[i].name.size > 3 && memcmp(headers[i].name.data, "ce-", 3) == 0)
            err = take_header(parse, &at, &headers[i], &ce);
    if (err == CAIRN_OK)
        err = make_event(parse, &at, &ce, list.events);
    if (err == CAIRN_OK)
        list.events->data = body;
    if (err == CAIRN_OK && body.size > 0 && parse_is_json_type(content_type)) {
        err = json_check(body, &checked, &why);
        if (err == CAIRN_OK)
            list.events->data = checked.raw; /* as in the other modes, without white space around it */
        else {
            parse->malformed = err == CAIRN_E_INVALID;
            err = error_set(parse->error, err, "the body is not JSON: %s", why.detail);
        }
    }
    buf_free(&ce.kept);
    if (err == CAIRN_OK)
        *ret = list;
    return err;
}

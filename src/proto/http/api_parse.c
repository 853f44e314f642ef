/* The pieces that every parser of a body uses, and Cairn's own form of an event. See api_parse.h. */
#include <proto/http/api_parse.h>

#include <base/error.h>
#include <base/text.h>

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

/* ---- field paths ---------------------------------------------------------------------------- */

static size_t
put_path(const struct field *at, char *to, size_t size)
{
    size_t used = at->parent ? put_path(at->parent, to, size) : 0;
    if (used >= size)
        return used;
    int n = at->name ? snprintf(to + used, size - used, "%s%s", used ? "." : "", at->name)
                     : snprintf(to + used, size - used, "[%zu]", at->index);
    return used + (n > 0 ? (size_t)n : 0);
}

cairn_err
parse_fail(struct parse *parse, cairn_err code, const struct field *at, const char *format, ...)
{
    char path[120] = "", said[260];
    if (at)
        put_path(at, path, sizeof path);
    va_list args;
    va_start(args, format);
    vsnprintf(said, sizeof said, format, args);
    va_end(args);
    return error_set(parse->error, code, "%s%s%s", path, path[0] ? ": " : "", said);
}

cairn_err
parse_member(struct parse *parse, const struct field *at, struct json name, const char *const *members,
             size_t count, uint64_t *seen, unsigned *ret_index)
{
    char known[200] = "";
    size_t used = 0;
    cairn_str shown = name.raw; /* with its quotes, as it was sent */
    for (unsigned i = 0; i < count; i++) {
        if (!json_string_is(name, members[i]))
            continue;
        if (*seen >> i & 1)
            return parse_fail(parse, CAIRN_E_INVALID, at, "member \"%s\" is given twice", members[i]);
        *seen |= UINT64_C(1) << i;
        *ret_index = i;
        return CAIRN_OK;
    }
    for (size_t i = 0; i < count && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", members[i]);
    return parse_fail(parse, CAIRN_E_INVALID, at, "member %.*s is not known here; known are %s",
                      (int)(shown.size < 40 ? shown.size : 40), shown.data, known);
}

cairn_err
parse_text(struct parse *parse, cairn_str body, struct json *ret)
{
    cairn_error why = {0};
    if (body.size == 0) {
        parse->malformed = true;
        return error_set(parse->error, CAIRN_E_INVALID, "the body is empty");
    }
    cairn_err err = json_check(body, ret, &why);
    if (err == CAIRN_OK)
        return CAIRN_OK;
    parse->malformed = err == CAIRN_E_INVALID;
    return error_set(parse->error, err, "the body is not JSON: %s", why.detail);
}

/* ---- small values ------------------------------------------------------------------------------- */

cairn_err
parse_name(struct parse *parse, const struct field *at, struct json value, bool optional, cairn_str *ret)
{
    if (value.type != JSON_STRING)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be a string");
    cairn_str text = json_string(value, parse->arena);
    if (!text.data && value.raw.size > 2)
        return parse_fail(parse, CAIRN_E_INVALID, at, "holds a lone surrogate");
    if (text.size == 0 && !optional)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must not be empty");
    if (text.size > PARSE_NAME_MAX)
        return parse_fail(parse, CAIRN_E_LIMIT, at, "is %zu bytes; the limit is %d", text.size,
                          PARSE_NAME_MAX);
    *ret = text;
    return CAIRN_OK;
}

cairn_err
parse_names(struct parse *parse, const struct field *at, struct json value, const cairn_str **ret,
            size_t *ret_count)
{
    if (value.type != JSON_ARRAY)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be an array of strings");
    size_t count = json_count(value);
    if (count > PARSE_TAGS_MAX)
        return parse_fail(parse, CAIRN_E_LIMIT, at, "has %zu items; the limit is %d", count,
                          PARSE_TAGS_MAX);
    cairn_str *names = NULL;
    if (count > 0 && !(names = arena_alloc(parse->arena, count * sizeof *names)))
        return parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory");
    struct json_walk walk = json_walk(value);
    struct json none, item;
    for (size_t i = 0; json_next(&walk, &none, &item); i++) {
        struct field here = {at, NULL, i};
        cairn_err err = parse_name(parse, &here, item, false, &names[i]);
        if (err != CAIRN_OK)
            return err;
    }
    *ret = names;
    *ret_count = count;
    return CAIRN_OK;
}

cairn_err
parse_room(struct parse *parse, const struct field *at, size_t count, cairn_event **ret)
{
    if (count == 0)
        return parse_fail(parse, CAIRN_E_INVALID, at, "holds no event");
    if (count > parse->events_max - parse->events)
        return parse_fail(parse, CAIRN_E_LIMIT, at, "holds %zu events; the limit of one append is %zu",
                          parse->events + count, parse->events_max);
    *ret = arena_zalloc(parse->arena, count * sizeof **ret);
    if (!*ret)
        return parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory");
    parse->events += count;
    return CAIRN_OK;
}

cairn_err
parse_base64(struct parse *parse, const struct field *at, struct json value, cairn_str *ret)
{
    if (value.type != JSON_STRING)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be a string of base64");
    cairn_str text = json_string(value, parse->arena);
    struct buf bytes = {0};
    cairn_err err = CAIRN_OK;
    if ((text.size > 0 && !base64_get(&bytes, text)) || (!text.data && value.raw.size > 2))
        err = bytes.failed ? parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory")
                           : parse_fail(parse, CAIRN_E_INVALID, at, "is not base64");
    if (err == CAIRN_OK) {
        *ret = arena_copy(parse->arena, buf_str(&bytes));
        if (!ret->data)
            err = parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory");
    }
    buf_free(&bytes);
    return err;
}

/* ---- content types -------------------------------------------------------------------------------- */

static cairn_str
media_of(cairn_str content_type)
{
    const char *semicolon = content_type.size ? memchr(content_type.data, ';', content_type.size) : NULL;
    if (semicolon)
        content_type.size = (size_t)(semicolon - content_type.data);
    while (content_type.size > 0 && content_type.data[content_type.size - 1] == ' ')
        content_type.size--;
    while (content_type.size > 0 && content_type.data[0] == ' ') {
        content_type.data++;
        content_type.size--;
    }
    return content_type;
}

static bool
same_without_case(cairn_str a, const char *b)
{
    return a.size == strlen(b) && strncasecmp(a.data, b, a.size) == 0;
}

bool
parse_media_is(cairn_str content_type, const char *media)
{
    cairn_str own = media_of(content_type);
    return own.size == strlen(media) && (own.size == 0 || same_without_case(own, media));
}

bool
parse_is_json_type(cairn_str content_type)
{
    cairn_str media = media_of(content_type);
    if (media.size == 0 || same_without_case(media, "application/json"))
        return true;
    return media.size > 5 && strncasecmp(media.data + media.size - 5, "+json", 5) == 0;
}

enum event_format
parse_event_format(cairn_str content_type, bool has_ce_headers)
{
    static const struct {
        const char *media;
        enum event_format format;
    } known[] = {
        {"application/cloudevents+json", EVENTS_CLOUDEVENT},
        {"application/cloudevents-batch+json", EVENTS_CLOUDEVENT_BATCH},
        {"application/x-ndjson", EVENTS_NDJSON},
        {"application/ndjson", EVENTS_NDJSON},
        {"application/jsonl", EVENTS_NDJSON},
        {"application/json", EVENTS_JSON},
        {"", EVENTS_JSON},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        bool cloudevents = known[i].format == EVENTS_CLOUDEVENT || known[i].format == EVENTS_CLOUDEVENT_BATCH;
        if (has_ce_headers && !cloudevents)
            return EVENTS_CLOUDEVENT_BINARY;
        if (parse_media_is(content_type, known[i].media))
            return known[i].format;
    }
    return has_ce_headers ? EVENTS_CLOUDEVENT_BINARY : EVENTS_UNKNOWN;
}

/* ---- an event in Cairn's own form ------------------------------------------------------------------- */

/* What may not be judged member by member, because it depends on two of them. */
struct event_parts {
    struct json data, data_base64;
};

static cairn_err
parse_id(struct parse *parse, const struct field *at, struct json value, cairn_uuid *ret)
{
    cairn_str text = value.type == JSON_STRING ? json_string(value, parse->arena) : (cairn_str){0};
    if (!text.data || !parse_uuid(text, ret))
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be a UUID such as "
                                                      "\"0198c5f0-7a3e-7bb2-9d6e-5f1c3b9a2e10\"");
    if (uuid_is_zero(*ret))
        return parse_fail(parse, CAIRN_E_INVALID, at, "must not be all zeros; leave it out to be given one");
    return CAIRN_OK;
}

static cairn_err
parse_schema_id(struct parse *parse, const struct field *at, struct json value, uint32_t *ret)
{
    uint64_t n;
    if (!json_u64(value, &n) || n > UINT32_MAX)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be a whole number from 0 to 4294967295");
    *ret = (uint32_t)n;
    return CAIRN_OK;
}

enum event_member { M_TYPE, M_DATA, M_DATA_BASE64, M_CONTENT_TYPE, M_ID, M_META, M_TAGS, M_CORRELATION, M_SCHEMA_ID, M_COUNT };
static const char *const event_members[M_COUNT] = {
    [M_TYPE] = "type", [M_DATA] = "data", [M_DATA_BASE64] = "data_base64", [M_CONTENT_TYPE] = "content_type",
    [M_ID] = "id",     [M_META] = "meta", [M_TAGS] = "tags",               [M_CORRELATION] = "correlation",
    [M_SCHEMA_ID] = "schema_id",
};

static cairn_err
parse_event_member(struct parse *parse, const struct field *at, enum event_member member, struct json value,
                   cairn_event *event, struct event_parts *parts)
{
    switch (member) {
    case M_TYPE:
        return parse_name(parse, at, value, false, &event->type);
    case M_DATA:
        parts->data = value;
        return CAIRN_OK;
    case M_DATA_BASE64:
        parts->data_base64 = value;
        return CAIRN_OK;
    case M_CONTENT_TYPE:
        return parse_name(parse, at, value, true, &event->content_type);
    case M_ID:
        return parse_id(parse, at, value, &event->id);
    case M_META:
        if (value.type != JSON_OBJECT)
            return parse_fail(parse, CAIRN_E_INVALID, at, "must be an object");
        event->meta = value.raw;
        return CAIRN_OK;
    case M_TAGS:
        return parse_names(parse, at, value, &event->tags, &event->tag_count);
    case M_CORRELATION:
        return parse_name(parse, at, value, true, &event->correlation);
    default:
        return parse_schema_id(parse, at, value, &event->schema_id);
    }
}

static cairn_err
finish_data(struct parse *parse, const struct field *event_at, const struct event_parts *parts,
            cairn_event *event)
{
    struct field at = {event_at, "data", 0};
    bool json_type = parse_is_json_type(event->content_type);

    if (parts->data.type != JSON_NONE && parts->data_base64.type != JSON_NONE)
        return parse_fail(parse, CAIRN_E_INVALID, &at, "give either data or data_base64");
    if (parts->data_base64.type != JSON_NONE) {
        at.name = "data_base64";
        cairn_err err = parse_base64(parse, &at, parts->data_base64, &event->data);
        if (err != CAIRN_OK)
            return err;
        struct json checked;
        if (json_type && event->content_type.size > 0 && event->data.size > 0 &&
            json_check(event->data, &checked, NULL) != CAIRN_OK)
            return parse_fail(parse, CAIRN_E_INVALID, &at, "is not JSON, as content_type says it is");
        if (event->content_type.size == 0)
            event->content_type = CAIRN_STR("application/octet-stream");
    } else {
        if (parts->data.type != JSON_NONE && !json_type)
            return parse_fail(parse, CAIRN_E_INVALID, &at,
                              "is JSON but content_type is '%.*s'; give data_base64 instead",
                              (int)(event->content_type.size < 60 ? event->content_type.size : 60),
                              event->content_type.data);
        event->data = parts->data.type == JSON_NONE ? (cairn_str){0} : parts->data.raw;
    }
    /* Empty means this one: one way of storing it. */
    if (cairn_str_equal(event->content_type, CAIRN_STR("application/json")))
        event->content_type = (cairn_str){0};
    return CAIRN_OK;
}

cairn_err
parse_event(struct parse *parse, const struct field *at, struct json value, cairn_event *ret)
{
    if (value.type != JSON_OBJECT)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be an object");
    struct event_parts parts = {0};
    struct json_walk walk = json_walk(value);
    struct json name, item;
    uint64_t seen = 0;
    while (json_next(&walk, &name, &item)) {
        struct field member_at = {at, NULL, 0};
        unsigned member;
        cairn_err err = parse_member(parse, at, name, event_members, M_COUNT, &seen, &member);
        if (err != CAIRN_OK)
            return err;
        member_at.name = event_members[member];
        err = parse_event_member(parse, &member_at, member, item, ret, &parts);
        if (err != CAIRN_OK)
            return err;
    }
    struct field type_at = {at, "type", 0};
    if (ret->type.size == 0)
        return parse_fail(parse, CAIRN_E_INVALID, &type_at, "is missing");
    return finish_data(parse, at, &parts, ret);
}

/* ---- lists of events --------------------------------------------------------------------------------- */

typedef cairn_err (*event_parser)(struct parse *parse, const struct field *at, struct json value,
                                  cairn_event *ret);

static cairn_err
parse_list(struct parse *parse, const struct field *at, struct json value, event_parser parser,
           struct event_list *ret)
{
    bool many = value.type == JSON_ARRAY;
    struct event_list list = {NULL, many ? json_count(value) : 1};
    cairn_err err = parse_room(parse, at, list.count, &list.events);
    if (err != CAIRN_OK)
        return err;
    struct json_walk walk = json_walk(value);
    struct json none, item = value;
    for (size_t i = 0; i < list.count && err == CAIRN_OK; i++) {
        struct field here = {at, NULL, i};
        if (many)
            json_next(&walk, &none, &item);
        err = parser(parse, &here, item, &list.events[i]);
    }
    if (err == CAIRN_OK)
        *ret = list;
    return err;
}

/* The next line that is not blank. False at the end. */
static bool
next_line(cairn_str *rest, size_t *line_number, cairn_str *ret)
{
    while (rest->size > 0) {
        const char *newline = memchr(rest->data, '\n', rest->size);
        size_t size = newline ? (size_t)(newline - rest->data) : rest->size;
        *ret = (cairn_str){rest->data, size};
        rest->data += newline ? size + 1 : size;
        rest->size -= newline ? size + 1 : size;
        ++*line_number;
        for (size_t i = 0; i < size; i++)
            if (!strchr(" \t\r", ret->data[i]) || ret->data[i] == '\0')
                return true;
    }
    return false;
}

static cairn_err
parse_lines(struct parse *parse, cairn_str body, struct event_list *ret)
{
    const struct field root = {NULL, "events", 0};
    cairn_str rest = body, line;
    size_t number = 0, count = 0;
    while (next_line(&rest, &number, &line))
        count++;
    struct event_list list = {NULL, count};
    cairn_err err = parse_room(parse, &root, count, &list.events);
    rest = body;
    number = 0;
    for (size_t i = 0; i < count && err == CAIRN_OK; i++) {
        struct field here = {&root, NULL, i};
        struct json value;
        cairn_error why = {0};
        next_line(&rest, &number, &line);
        err = json_check(line, &value, &why);
        if (err != CAIRN_OK) {
            parse->malformed = err == CAIRN_E_INVALID;
            return error_set(parse->error, err, "line %zu is not JSON: %s", number, why.detail);
        }
        err = parse_event(parse, &here, value, &list.events[i]);
    }
    if (err == CAIRN_OK)
        *ret = list;
    return err;
}

cairn_err
parse_events(struct parse *parse, enum event_format format, cairn_str body, struct event_list *ret)
{
    const struct field root = {NULL, "events", 0};
    if (format == EVENTS_NDJSON)
        return parse_lines(parse, body, ret);
    struct json value;
    cairn_err err = parse_text(parse, body, &value);
    if (err != CAIRN_OK)
        return err;
    bool is_array = value.type == JSON_ARRAY;
    if (format == EVENTS_CLOUDEVENT && is_array)
        return error_set(parse->error, CAIRN_E_INVALID,
                         "a CloudEvent is one object; send several as application/cloudevents-batch+json");
    if (format == EVENTS_CLOUDEVENT_BATCH && !is_array)
        return error_set(parse->error, CAIRN_E_INVALID, "a batch of CloudEvents is an array");
    return parse_list(parse, &root, value, format == EVENTS_JSON ? parse_event : parse_cloudevent, ret);
}

cairn_err
parse_event_list(struct parse *parse, const struct field *at, struct json value, struct event_list *ret)
{
    return parse_list(parse, at, value, parse_event, ret);
}

/* Events as JSON and as CloudEvents. See api_render.h.
 *
 * Data and meta of a JSON content type were checked before they were stored and are written as they
 * are: a page costs little more than copying it. */
#include <proto/http/api_render.h>

#include <base/json.h>
#include <base/text.h>
#include <proto/http/api_parse.h>

#define PUT(to, literal) buf_put((to), "" literal, sizeof(literal) - 1)

static bool
has_line_break(cairn_str text)
{
    return text.size > 0 && (memchr(text.data, '\n', text.size) || memchr(text.data, '\r', text.size));
}

static void
put_json(struct buf *to, cairn_str checked, bool one_line)
{
    if (one_line && has_line_break(checked))
        json_put_compact(to, checked);
    else
        buf_put_str(to, checked);
}

static void
put_data(struct buf *to, const cairn_event *event, bool one_line)
{
    if (parse_is_json_type(event->content_type)) {
        if (event->data.size > 0) {
            PUT(to, ",\"data\":");
            put_json(to, event->data, one_line);
        }
    } else {
        PUT(to, ",\"data_base64\":\"");
        base64_put(to, event->data);
        PUT(to, "\"");
    }
    if (event->content_type.size > 0) {
        PUT(to, ",\"content_type\":");
        json_put_string(to, event->content_type);
    }
}

/* A correlation that meta does not say already. */
static void
put_correlation(struct buf *to, const cairn_event *event)
{
    struct json said = {0};
    if (event->meta.size > 0)
        said = json_get(json_trusted(event->meta), "correlation");
    char text[PARSE_NAME_MAX + 1];
    memcpy(text, event->correlation.data, event->correlation.size);
    text[event->correlation.size] = '\0';
    if (said.type == JSON_STRING && json_string_is(said, text))
        return;
    PUT(to, ",\"correlation\":");
    json_put_string(to, event->correlation);
}

static void
put_tags(struct buf *to, const cairn_event *event)
{
    PUT(to, ",\"tags\":[");
    for (size_t i = 0; i < event->tag_count; i++) {
        if (i > 0)
            buf_put_char(to, ',');
        json_put_string(to, event->tags[i]);
    }
    buf_put_char(to, ']');
}

static void
put_event(struct buf *to, const cairn_recorded *recorded, bool one_line)
{
    const cairn_event *event = &recorded->event;
    char text[UUID_TEXT_SIZE];

    PUT(to, "{\"position\":");
    json_put_u64(to, recorded->position);
    PUT(to, ",\"stream\":");
    json_put_string(to, recorded->stream);
    PUT(to, ",\"revision\":");
    json_put_u64(to, recorded->revision);
    PUT(to, ",\"time\":");
    json_put_time(to, recorded->time_us);
    PUT(to, ",\"id\":\"");
    format_uuid(event->id, text);
    buf_put(to, text, UUID_TEXT_SIZE - 1);
    PUT(to, "\",\"type\":");
    json_put_string(to, event->type);
    put_data(to, event, one_line);
    if (event->meta.size > 0) {
        PUT(to, ",\"meta\":");
        put_json(to, event->meta, one_line);
    }
    if (event->tag_count > 0)
        put_tags(to, event);
    if (event->correlation.size > 0 && event->correlation.size <= PARSE_NAME_MAX)
        put_correlation(to, event);
    if (event->schema_id > 0) {
        PUT(to, ",\"schema_id\":");
        json_put_u64(to, event->schema_id);
    }
}

void
render_event_open(struct buf *to, const cairn_recorded *event)
{
    put_event(to, event, false);
}

void
render_event(struct buf *to, const cairn_recorded *event)
{
    put_event(to, event, false);
    buf_put_char(to, '}');
}

void
render_event_line(struct buf *to, const cairn_recorded *event)
{
    put_event(to, event, true);
    buf_put_char(to, '}');
}

/* ---- CloudEvents ------------------------------------------------------------------------------------ */

static void
put_own_source(struct buf *to, cairn_str stream)
{
    struct buf source = {0};
    buf_put_str(&source, CAIRN_STR("/v1/streams/"));
    percent_put(&source, stream);
    if (source.failed)
        to->failed = true;
    else
        json_put_string(to, buf_str(&source));
    buf_free(&source);
}

/* meta without "ce", as text in a string; nothing when nothing is left. */
static void
put_meta_text(struct buf *to, struct json meta)
{
    struct buf text = {0};
    struct json_walk walk = json_walk(meta);
    struct json name, value;
    buf_put_char(&text, '{');
    while (json_next(&walk, &name, &value)) {
        if (json_string_is(name, "ce"))
            continue;
        json_put_comma(&text);
        buf_put_str(&text, name.raw);
        buf_put_char(&text, ':');
        buf_put_str(&text, value.raw);
    }
    buf_put_char(&text, '}');
    if (text.failed)
        to->failed = true;
    else if (text.size > 2 || json_count(meta) == 0) {
        PUT(to, ",\"cairnmeta\":");
        json_put_string(to, buf_str(&text));
    }
    buf_free(&text);
}

static void
put_tags_text(struct buf *to, const cairn_event *event)
{
    struct buf text = {0};
    for (size_t t = 0; t < event->tag_count; t++) {
        if (t > 0)
            buf_put_char(&text, ',');
        for (size_t i = 0; i < event->tags[t].size; i++) {
            char c = event->tags[t].data[i];
            if (c == ',' || c == '%')
                buf_printf(&text, "%%%02X", (unsigned)c);
            else
                buf_put_char(&text, c);
        }
    }
    if (text.failed)
        to->failed = true;
    else {
        PUT(to, ",\"cairntags\":");
        json_put_string(to, buf_str(&text));
    }
    buf_free(&text);
}

static void
put_cloud_data(struct buf *to, const cairn_event *event)
{
    bool json_type = parse_is_json_type(event->content_type);
    PUT(to, ",\"datacontenttype\":");
    json_put_string(to, event->content_type.size ? event->content_type : CAIRN_STR("application/json"));
    if (json_type && event->data.size > 0) {
        PUT(to, ",\"data\":");
        buf_put_str(to, event->data);
    } else if (!json_type) {
        PUT(to, ",\"data_base64\":\"");
        base64_put(to, event->data);
        PUT(to, "\"");
    }
}

/* What lies in meta.ce was put there by a CloudEvent, or by somebody who wrote meta by hand: only what an
 * attribute may be is given out, and never a second one of a name. */
static bool
is_attribute(struct json name, struct json value)
{
    static const char *const own[] = {"specversion", "type", "data", "data_base64", "datacontenttype",
                                      "cairnstream", "cairnposition", "cairnrevision", "cairnmeta",
                                      "cairntags"};
    static const char *const text[] = {"id", "source", "time", "recordedtime"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (json_string_is(name, own[i]))
            return false;
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        if (json_string_is(name, text[i]))
            return value.type == JSON_STRING;
    return value.type != JSON_ARRAY && value.type != JSON_OBJECT && value.type != JSON_NULL;
}

void
render_cloudevent(struct buf *to, const cairn_recorded *recorded)
{
    const cairn_event *event = &recorded->event;
    struct json meta = event->meta.size ? json_trusted(event->meta) : (struct json){0};
    struct json ce = json_get(meta, "ce");
    bool has_id = json_get(ce, "id").type == JSON_STRING;
    bool has_source = json_get(ce, "source").type == JSON_STRING;
    bool has_time = json_get(ce, "time").type == JSON_STRING;
    bool has_recorded = json_get(ce, "recordedtime").type == JSON_STRING;

    PUT(to, "{\"specversion\":\"1.0\",\"type\":");
    json_put_string(to, event->type);
    if (!has_id) {
        PUT(to, ",\"id\":");
        json_put_uuid(to, event->id);
    }
    if (!has_source) {
        PUT(to, ",\"source\":");
        put_own_source(to, recorded->stream);
    }
    if (!has_time) {
        PUT(to, ",\"time\":");
        json_put_time(to, recorded->time_us);
    }
    if (!has_recorded) {
        PUT(to, ",\"recordedtime\":");
        json_put_time(to, recorded->time_us);
    }
    struct json name, value;
    if (ce.type == JSON_OBJECT)
        for (struct json_walk walk = json_walk(ce); json_next(&walk, &name, &value);) {
            if (!is_attribute(name, value))
                continue;
            buf_put_char(to, ',');
            buf_put_str(to, name.raw);
            buf_put_char(to, ':');
            buf_put_str(to, value.raw);
        }
    /* Numbers of CloudEvents are 32 bits wide: these go as text. */
    PUT(to, ",\"cairnstream\":");
    json_put_string(to, recorded->stream);
    buf_printf(to, ",\"cairnposition\":\"%llu\",\"cairnrevision\":\"%llu\"",
               (unsigned long long)recorded->position, (unsigned long long)recorded->revision);
    if (event->meta.size > 0)
        put_meta_text(to, meta);
    if (event->tag_count > 0)
        put_tags_text(to, event);
    put_cloud_data(to, event);
    buf_put_char(to, '}');
}

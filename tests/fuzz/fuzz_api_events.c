/* Any bytes as a request of the API. The first byte chooses the parser:
 *
 *   j n c b   a body of events: JSON, lines, a CloudEvent, a batch of them
 *   h         CloudEvents binary mode: lines "name:value", an empty line, the body
 *   a r g p   an append, a retention, a group, positions
 *   q u v     a query string, a path, an Accept header
 *
 * What is refused says why. What is accepted is within the bounds and can be written out: as one JSON value, on
 * one line, and as a CloudEvent that reads back as the same event. */
#include <proto/http/api_int.h>
#include <proto/http/api_parse.h>
#include <proto/http/api_render.h>

#include <base/text.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)
#define EVENTS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_name(cairn_str name, bool optional)
{
    MUST(name.size <= PARSE_NAME_MAX && (optional || name.size > 0) && (name.size == 0 || utf8_valid(name)));
}

static void
check_text(struct buf *text)
{
    struct json value;
    MUST(!text->failed && json_check(buf_str(text), &value, NULL) == CAIRN_OK && value.type == JSON_OBJECT);
}

static void
check_cloudevent(const cairn_recorded *recorded, bool came_as_one)
{
    struct buf text = {0};
    struct arena arena = {0};
    struct event_list list;
    cairn_error error = {0};
    struct parse parse = {.arena = &arena, .error = &error, .events_max = 1};
    render_cloudevent(&text, recorded);
    check_text(&text);
    if (came_as_one) {
        MUST(parse_events(&parse, EVENTS_CLOUDEVENT, buf_str(&text), &list) == CAIRN_OK);
        MUST(memcmp(&list.events->id, &recorded->event.id, sizeof(cairn_uuid)) == 0);
        MUST(cairn_str_equal(list.events->type, recorded->event.type));
        MUST(cairn_str_equal(list.events->data, recorded->event.data));
        MUST(list.events->tag_count == recorded->event.tag_count);
    }
    buf_free(&text);
    arena_free(&arena);
}

static void
check_event(const cairn_event *event, bool cloudevent)
{
    cairn_recorded recorded = {.stream = CAIRN_STR("fuzz-1"), .time_us = 1, .event = *event};
    struct buf text = {0};
    struct json value;
    check_name(event->type, false);
    check_name(event->correlation, true);
    MUST(event->tag_count <= PARSE_TAGS_MAX);
    for (size_t i = 0; i < event->tag_count; i++)
        MUST(event->tags[i].size > 0);
    if (event->meta.size > 0)
        MUST(json_check(event->meta, &value, NULL) == CAIRN_OK && value.type == JSON_OBJECT);
    if (event->data.size > 0 && parse_is_json_type(event->content_type))
        MUST(json_check(event->data, &value, NULL) == CAIRN_OK);
    if (uuid_is_zero(event->id))
        recorded.event.id.bytes[0] = 1; /* the store would have made one */
    render_event(&text, &recorded);
    check_text(&text);
    buf_clear(&text);
    render_event_line(&text, &recorded);
    check_text(&text);
    MUST(!memchr(text.data, '\n', text.size) && !memchr(text.data, '\r', text.size));
    buf_free(&text);
    check_cloudevent(&recorded, cloudevent);
}

static void
check_events(cairn_err err, struct parse *parse, const struct event_list *list, bool cloudevents)
{
    if (err != CAIRN_OK) {
        MUST(parse->error->code == err && parse->error->detail[0]);
        return;
    }
    MUST(list->count > 0 && list->count <= EVENTS_MAX);
    for (size_t i = 0; i < list->count; i++)
        check_event(&list->events[i], cloudevents);
}

static cairn_err
binary_event(struct parse *parse, cairn_str text, struct event_list *ret)
{
    struct parse_header headers[32];
    size_t count = 0;
    while (text.size > 0 && text.data[0] != '\n') {
        const char *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        const char *colon = memchr(text.data, ':', size);
        size_t name = colon ? (size_t)(colon - text.data) : size;
        if (count < 32)
            headers[count++] = (struct parse_header){{text.data, name},
                                                     {text.data + name + (colon != NULL), size - name - (colon != NULL)}};
        text.data += size + (end != NULL);
        text.size -= size + (end != NULL);
    }
    cairn_str body = text.size ? (cairn_str){text.data + 1, text.size - 1} : text;
    return parse_binary_event(parse, CAIRN_STR("application/json"), headers, count, body, ret);
}

static void
control(struct parse *parse, char kind, cairn_str text)
{
    cairn_append_request request = {0};
    cairn_retention retention;
    cairn_group_config group = {0};
    struct positions positions;
    cairn_err err = kind == 'a'   ? parse_append(parse, text, &request)
                    : kind == 'r' ? parse_retention(parse, text, &retention)
                    : kind == 'g' ? parse_group(parse, text, &group)
                                  : parse_positions(parse, text, true, &positions);
    if (err != CAIRN_OK) {
        MUST(parse->error->code == err && parse->error->detail[0]);
        return;
    }
    if (kind == 'p')
        MUST(positions.count > 0 && positions.count <= PARSE_POSITIONS_MAX);
    if (kind == 'a')
        MUST(request.write_count > 0);
    for (size_t i = 0; i < request.write_count; i++) {
        check_name(request.writes[i].stream, false);
        MUST(request.writes[i].expected >= CAIRN_EXISTS && request.writes[i].event_count > 0);
        for (size_t n = 0; n < request.writes[i].event_count; n++)
            check_event(&request.writes[i].events[n], false);
    }
    for (size_t i = 0; i < request.condition_count; i++)
        MUST(request.conditions[i].after >= -1);
}

static void
line(struct arena *arena, char kind, cairn_str text)
{
    static const enum api_form offered[] = {FORM_JSON, FORM_NDJSON, FORM_CLOUDEVENTS, FORM_SSE};
    struct api_args args;
    struct api_match match;
    cairn_error error = {0};
    if (kind == 'q') {
        cairn_err err = api_args_parse(text, (UINT64_C(1) << ARG_COUNT) - 1, arena, &args, &error);
        MUST(err == CAIRN_OK || error.detail[0]);
        MUST(args.types.count <= API_LIST_MAX && args.tags.count <= API_LIST_MAX);
    } else if (kind == 'u') {
        api_route_find(CAIRN_STR("GET"), text, arena, &match);
        MUST(!match.route || match.part_count <= 2);
    } else
        MUST(api_negotiate(text, offered, 4) <= FORM_NONE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct arena arena = {0};
    cairn_error error = {0};
    struct parse parse = {.arena = &arena, .error = &error, .events_max = EVENTS_MAX};
    struct event_list list = {0};
    cairn_str text = {(const char *)data + 1, size - 1};
    switch (data[0]) {
    case 'j':
        check_events(parse_events(&parse, EVENTS_JSON, text, &list), &parse, &list, false);
        break;
    case 'n':
        check_events(parse_events(&parse, EVENTS_NDJSON, text, &list), &parse, &list, false);
        break;
    case 'c':
        check_events(parse_events(&parse, EVENTS_CLOUDEVENT, text, &list), &parse, &list, true);
        break;
    case 'b':
        check_events(parse_events(&parse, EVENTS_CLOUDEVENT_BATCH, text, &list), &parse, &list, true);
        break;
    case 'h':
        check_events(binary_event(&parse, text, &list), &parse, &list, true);
        break;
    case 'a':
    case 'r':
    case 'g':
    case 'p':
        control(&parse, (char)data[0], text);
        break;
    default:
        line(&arena, (char)data[0], text);
    }
    arena_free(&arena);
    return 0;
}

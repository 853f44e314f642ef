/* OCEL 1.0 (objects and events as members by id, names with "ocel:") and 2.0 (arrays). See ocel.h. */
#include "ocel.h"

#include <base/error.h>
#include <base/hash.h>
#include <stdlib.h>

#define OBJECTS_MAX 10000000
#define OBJECTS_OF_EVENT_MAX 100000

struct log {
    struct arena arena;       /* names of objects; lives until the end */
    struct arena event_arena; /* of the event under way */
    struct ocel_object *objects;
    size_t object_count;
    uint32_t *slots;          /* index + 1 by id; open addressing */
    size_t slot_count;
    struct buf data;
    bool second;              /* OCEL 2.0 */
};

static cairn_err
no_memory(cairn_error *error)
{
    return error_set(error, CAIRN_E_NOMEM, "out of memory");
}

static uint32_t *
slot_of(struct log *log, cairn_str id)
{
    size_t at = hash64(id.data, id.size, 0) & (log->slot_count - 1);
    while (log->slots[at] && !cairn_str_equal(log->objects[log->slots[at] - 1].id, id))
        at = (at + 1) & (log->slot_count - 1);
    return &log->slots[at];
}

static cairn_err
read_objects(struct log *log, struct json objects, cairn_error *error)
{
    struct json_walk walk = json_walk(objects);
    struct json name, value;
    size_t count = json_count(objects);
    if (count > OBJECTS_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the log has %zu objects; the limit is %d", count, OBJECTS_MAX);
    for (log->slot_count = 64; log->slot_count < count * 2; log->slot_count *= 2)
        continue;
    log->objects = calloc(count + 1, sizeof *log->objects);
    log->slots = calloc(log->slot_count, sizeof *log->slots);
    if (!log->objects || !log->slots)
        return no_memory(error);
    while (json_next(&walk, &name, &value)) {
        struct ocel_object *object = &log->objects[log->object_count];
        *object = (struct ocel_object){
            .id = json_string(log->second ? json_get(value, "id") : name, &log->arena),
            .type = json_string(json_get(value, log->second ? "type" : "ocel:type"), &log->arena),
            .value = value};
        if (!object->id.data || !object->type.data)
            return error_set(error, CAIRN_E_INVALID, "object %zu lacks its id or type", log->object_count);
        uint32_t *slot = slot_of(log, object->id);
        if (!*slot)
            *slot = (uint32_t)++log->object_count;
    }
    return CAIRN_OK;
}

/* [{"name","value"}…] of 2.0 as an object; an object of 1.0 as it is. */
static void
put_attributes(struct buf *to, struct json attributes)
{
    struct json_walk walk = json_walk(attributes);
    struct json name, item;
    buf_put_char(to, '{');
    while (json_next(&walk, &name, &item)) {
        struct json key = attributes.type == JSON_ARRAY ? json_get(item, "name") : name;
        struct json value = attributes.type == JSON_ARRAY ? json_get(item, "value") : item;
        if (key.type != JSON_STRING || value.type == JSON_NONE)
            continue;
        json_put_comma(to);
        buf_put_str(to, key.raw);
        buf_put_char(to, ':');
        json_put_compact(to, value.raw);
    }
    buf_put_char(to, '}');
}

/* The objects that an event is about, and their list in its data. */
static cairn_err
read_relations(struct log *log, struct json relations, struct ocel_event *event, cairn_error *error)
{
    size_t count = json_count(relations);
    if (count > OBJECTS_OF_EVENT_MAX)
        return error_set(error, CAIRN_E_LIMIT, "an event is about %zu objects; the limit is %d", count,
                         OBJECTS_OF_EVENT_MAX);
    struct ocel_object *objects = arena_zalloc(&log->event_arena, (count + 1) * sizeof *objects);
    if (!objects)
        return no_memory(error);
    struct json_walk walk = json_walk(relations);
    struct json none, item;
    buf_put_char(&log->data, '[');
    while (json_next(&walk, &none, &item)) {
        struct json id_value = log->second ? json_get(item, "objectId") : item;
        cairn_str id = json_string(id_value, &log->event_arena);
        if (!id.data)
            return error_set(error, CAIRN_E_INVALID, "an event is about an object without an id");
        uint32_t index = *slot_of(log, id);
        cairn_str type = index ? log->objects[index - 1].type : (cairn_str){0};
        objects[event->object_count++] = (struct ocel_object){.id = id, .type = type};
        json_put_comma(&log->data);
        buf_put_str(&log->data, CAIRN_STR("{\"id\":"));
        json_put_string(&log->data, id);
        if (type.size) {
            json_put_text_member(&log->data, "type", type);
        }
        struct json qualifier = log->second ? json_get(item, "qualifier") : (struct json){0};
        if (qualifier.type == JSON_STRING) {
            json_put_name(&log->data, "qualifier");
            buf_put_str(&log->data, qualifier.raw);
        }
        buf_put_char(&log->data, '}');
    }
    buf_put_char(&log->data, ']');
    event->objects = objects;
    return CAIRN_OK;
}

static cairn_err
read_event(struct log *log, struct json name, struct json value, const struct ocel_visits *visits, cairn_error *error)
{
    arena_reset(&log->event_arena);
    buf_clear(&log->data);
    struct ocel_event event = {
        .id = json_string(log->second ? json_get(value, "id") : name, &log->event_arena),
        .type = json_string(json_get(value, log->second ? "type" : "ocel:activity"), &log->event_arena),
        .time = json_string(json_get(value, log->second ? "time" : "ocel:timestamp"), &log->event_arena)};
    if (!event.id.data || event.type.size == 0)
        return error_set(error, CAIRN_E_INVALID, "event \"%.*s\" lacks its %s",
                         (int)(event.id.size < 80 ? event.id.size : 80), event.id.data ? event.id.data : "",
                         event.id.data ? "type" : "id");
    buf_put_str(&log->data, CAIRN_STR("{\"id\":"));
    json_put_string(&log->data, event.id);
    json_put_name(&log->data, "attributes");
    put_attributes(&log->data, json_get(value, log->second ? "attributes" : "ocel:vmap"));
    json_put_name(&log->data, "objects");
    cairn_err err = read_relations(log, json_get(value, log->second ? "relationships" : "ocel:omap"), &event, error);
    buf_put_char(&log->data, '}');
    if (err == CAIRN_OK && log->data.failed)
        err = no_memory(error);
    event.data = buf_str(&log->data);
    return err == CAIRN_OK ? visits->event(visits->context, &event, error) : err;
}

static cairn_err
read_log(struct log *log, struct json root, const struct ocel_visits *visits, cairn_error *error)
{
    struct json events = json_get(root, "ocel:events"), objects = json_get(root, "ocel:objects");
    if (events.type == JSON_NONE) {
        log->second = true;
        events = json_get(root, "events");
        objects = json_get(root, "objects");
    }
    enum json_type want = log->second ? JSON_ARRAY : JSON_OBJECT;
    if (events.type != want || objects.type != want)
        return error_set(error, CAIRN_E_INVALID,
                         "neither OCEL 1.0 (\"ocel:events\", \"ocel:objects\") nor 2.0 (\"events\", \"objects\")");
    cairn_err err = read_objects(log, objects, error);
    for (size_t i = 0; i < log->object_count && visits->object && err == CAIRN_OK; i++)
        err = visits->object(visits->context, &log->objects[i], error);
    struct json_walk walk = json_walk(events);
    struct json name, value;
    while (err == CAIRN_OK && json_next(&walk, &name, &value))
        err = read_event(log, name, value, visits, error);
    return err;
}

cairn_err
ocel_read(cairn_str text, const struct ocel_visits *visits, cairn_error *error)
{
    struct log log = {0};
    struct json root;
    cairn_err err = json_check(text, &root, error);
    if (err == CAIRN_OK)
        err = read_log(&log, root, visits, error);
    arena_free(&log.arena);
    arena_free(&log.event_arena);
    buf_free(&log.data);
    free(log.objects);
    free(log.slots);
    return err;
}

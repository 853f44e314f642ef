/* A decision becomes an append: what the decider gave is checked against the app's event schemas, gets ids, tags, schema
 * ids and meta, and is grouped by stream in the order in which it was decided. The answer to an idempotency key comes
 * first, so that the append's last revision is of a stream of the app. All of it lies in the worker's arena. */
#include "bus_int.h"

#include <stdio.h>

/* ---- ids ------------------------------------------------------------------------------------------------ */

/* Random bytes are drawn in stock, so that an id costs no system call. */
cairn_uuid
bus_uuid(struct bus *bus, int64_t time_us)
{
    static _Thread_local struct {
        uint8_t bytes[1000];
        size_t left;
    } stock;
    if (stock.left == 0) {
        os_random(bus->os, stock.bytes, sizeof stock.bytes);
        stock.left = sizeof stock.bytes;
    }
    stock.left -= 10;
    return uuid_v7(time_us, stock.bytes + stock.left);
}

/* ---- events ------------------------------------------------------------------------------------------------ */

static cairn_err
bad_event(const cairn_event *event, const char *what, cairn_error *error)
{
    return error_set(error, CAIRN_E_SCRIPT, "the decider made an event %.*s %s",
                     (int)(event->type.size > 100 ? 100 : event->type.size), event->type.data, what);
}

static cairn_err
check_event(const struct app_event *spec, const cairn_event *event, struct arena *arena, struct json *ret,
            cairn_error *error)
{
    cairn_error why = {0};
    cairn_err err = json_check(event->data, ret, &why);
    if (err == CAIRN_OK && spec != NULL && spec->schema != NULL) {
        struct json_schema_fault fault;
        size_t count = 0;
        err = json_schema_validate(spec->schema, *ret, arena, &fault, 1, &count, &why);
    }
    if (err == CAIRN_OK || err == CAIRN_E_NOMEM)
        return err == CAIRN_OK ? err : error_set(error, err, "no memory for an event");
    char what[400];
    snprintf(what, sizeof what, "that is not valid: %s", why.detail);
    return bad_event(event, what, error);
}

static bool
has_tag(const cairn_str *tags, size_t count, cairn_str tag)
{
    for (size_t i = 0; i < count; i++)
        if (cairn_str_equal(tags[i], tag))
            return true;
    return false;
}

/* The decision's tags and the manifest's, each once. */
static cairn_err
add_tags(const struct app_event *spec, struct json data, cairn_event *event, struct arena *arena, struct buf *text,
         cairn_error *error)
{
    size_t most = event->tag_count + (spec ? spec->tag_count : 0), count = 0;
    if (most == 0)
        return CAIRN_OK;
    cairn_str *tags = arena_alloc(arena, most * sizeof *tags);
    if (tags == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for an event");
    for (size_t i = 0; i < event->tag_count; i++)
        if (!has_tag(tags, count, event->tags[i]))
            tags[count++] = event->tags[i];
    for (size_t i = 0; spec != NULL && i < spec->tag_count; i++) {
        cairn_error why = {0};
        buf_clear(text);
        cairn_err err = app_template_fill(spec->tags[i], data, text, &why);
        if (err != CAIRN_OK) {
            char what[400];
            snprintf(what, sizeof what, "without what its tag needs: %s", why.detail);
            return err == CAIRN_E_NOMEM ? error_set(error, err, "no memory for an event") : bad_event(event, what, error);
        }
        cairn_str tag = text->failed ? (cairn_str){0} : arena_copy(arena, buf_str(text));
        if (tag.data == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for an event");
        if (!has_tag(tags, count, tag))
            tags[count++] = tag;
    }
    if (count > BUS_TAGS_MAX)
        return bad_event(event, "with more than 64 tags", error);
    event->tags = tags;
    event->tag_count = count;
    return CAIRN_OK;
}

static cairn_err
build_event(struct bus_app *app, const struct decided *decided, struct arena *arena, struct buf *text, cairn_event *ret,
            cairn_error *error)
{
    const struct app_manifest *manifest = app->manifest;
    const struct app_event *spec = bus_app_event(app, decided->event.type);
    *ret = decided->event;
    if (spec == NULL && manifest->event_count > 0)
        return bad_event(ret, "that app.yaml does not name", error);
    if (decided->stream.size > 0 && decided->stream.data[0] == '$')
        return bad_event(ret, "for a stream of Cairn's own", error);
    struct json data;
    cairn_err err = check_event(spec, ret, arena, &data, error);
    if (err == CAIRN_OK)
        err = add_tags(spec, data, ret, arena, text, error);
    if (spec != NULL && app->schema_ids != NULL && ret->schema_id == 0)
        ret->schema_id = app->schema_ids[spec - manifest->events];
    return err;
}

cairn_err
build_events(struct bus_app *app, const struct cairn_decision *decision, cairn_str stream, struct arena *arena,
             struct buf *text, cairn_event *events, cairn_str *streams, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; err == CAIRN_OK && i < decision->count; i++) {
        const struct decided *decided = &decision->events[i];
        streams[i] = decided->stream.size > 0 ? decided->stream : stream;
        err = build_event(app, decided, arena, text, &events[i], error);
    }
    return err;
}

/* ---- meta ----------------------------------------------------------------------------------------------------- */

static bool
is_ours(struct json name)
{
    static const char *const names[] = {"correlation", "causation", "actor", "command"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_string_is(name, names[i]))
            return true;
    return false;
}

/* The members of an object that are not the bus's own. */
static void
put_members(struct buf *to, cairn_str object)
{
    struct json name, value;
    if (object.size == 0)
        return;
    struct json json = json_trusted(object);
    if (json.type != JSON_OBJECT)
        return;
    struct json_walk walk = json_walk(json);
    while (json_next(&walk, &name, &value)) {
        if (is_ours(name))
            continue;
        json_put_comma(to);
        buf_put_str(to, name.raw);
        buf_put_char(to, ':');
        buf_put_str(to, value.raw);
    }
}

static void
put_named(struct buf *to, const char *name, cairn_str value)
{
    if (value.size == 0)
        return;
    json_put_text_member(to, name, value);
}

/* {"…the user's","correlation","causation","actor","command":{"id","name"[,"time","data"]}} */
static cairn_str
make_meta(const struct op *op, cairn_str own, bool first, struct arena *arena, struct buf *text)
{
    const cairn_command *command = &op->command;
    char id[UUID_TEXT_SIZE];
    format_uuid(command->id, id);
    buf_clear(text);
    buf_put_char(text, '{');
    put_members(text, command->meta);
    put_members(text, own);
    put_named(text, "correlation", command->correlation);
    put_named(text, "causation", command->causation.size ? command->causation : cairn_cstr(id));
    put_named(text, "actor", command->actor);
    json_put_name(text, "command");
    buf_put_char(text, '{');
    put_named(text, "id", cairn_cstr(id));
    put_named(text, "name", command->name);
    if (first) {
        json_put_name(text, "time");
        json_put_time(text, command->time_us);
        if (command->data.size <= BUS_RECORDED_DATA_MAX) {
            json_put_name(text, "data");
            buf_put_str(text, command->data);
        }
    }
    buf_put_str(text, CAIRN_STR("}}"));
    return text->failed ? (cairn_str){0} : arena_copy(arena, buf_str(text));
}

static cairn_err
add_meta(struct worker *worker, const struct op *op, cairn_event *events, size_t count, cairn_error *error)
{
    cairn_str shared = {0};
    for (size_t i = 0; i < count; i++) {
        cairn_event *event = &events[i];
        struct json json;
        if (event->meta.size > 0
            && (json_check(event->meta, &json, NULL) != CAIRN_OK || json.type != JSON_OBJECT))
            return bad_event(event, "whose meta is no JSON object", error);
        if (i == 0 || event->meta.size > 0)
            event->meta = make_meta(op, event->meta, i == 0, &worker->arena, &worker->text);
        else
            event->meta = shared.data ? shared : (shared = make_meta(op, shared, false, &worker->arena, &worker->text));
        if (event->meta.data == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for an event");
        event->correlation = op->command.correlation;
    }
    return CAIRN_OK;
}

/* ---- the append ------------------------------------------------------------------------------------------------ */

/* One write for each run of events of one stream. The state's stream is expected where the state is, at its first write;
 * where nothing is written to it, that is checked all the same: the decision rests on it. */
static void
group(const struct op *op, struct append *append, size_t first)
{
    const struct fold *fold = &op->entry->fold;
    int64_t expected = fold->revision < 0 ? CAIRN_NONE : fold->revision;
    bool checked = op->over_streams;
    size_t count = first;
    for (size_t i = first; i < append->event_count; i++) {
        cairn_write *last = count > first ? &append->writes[count - 1] : NULL;
        bool own = cairn_str_equal(append->streams[i], op->stream);
        append->own_count += own;
        if (last != NULL && cairn_str_equal(last->stream, append->streams[i])) {
            last->event_count++;
            continue;
        }
        append->writes[count++] = (cairn_write){append->streams[i], own && !checked ? expected : CAIRN_ANY,
                                                &append->events[i], 1};
        checked |= own;
    }
    if (!checked)
        append->writes[count++] = (cairn_write){op->stream, expected, NULL, 0};
    append->request.write_count = count;
    append->request.writes = append->writes;
    if (op->over_streams) {
        append->condition = (cairn_condition){op->query, (int64_t)fold->position - 1};
        append->request.conditions = &append->condition;
        append->request.condition_count = 1;
    }
}

cairn_err
build_append(struct worker *worker, struct op *op, int64_t key_expected, struct append *append, cairn_error *error)
{
    const struct cairn_decision *decision = &worker->decision;
    size_t first = op->key_stream.size > 0, count = decision->count + first;
    struct arena *arena = &worker->arena;
    *append = (struct append){.event_count = count};
    append->events = arena_zalloc(arena, (count + 1) * sizeof *append->events);
    append->streams = arena_zalloc(arena, (count + 1) * sizeof *append->streams);
    append->writes = arena_zalloc(arena, (count + 1) * sizeof *append->writes);
    if (append->events == NULL || append->streams == NULL || append->writes == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the events");
    uint32_t most = worker->bus->store->append_events_max;
    if (count > most)
        return error_set(error, CAIRN_E_SCRIPT, "the decider made %zu events; an append may have %u", decision->count, most);
    cairn_event *events = append->events + first;
    cairn_err err = build_events(op->app, decision, op->stream, arena, &worker->text, events, append->streams + first, error);
    if (err == CAIRN_OK)
        err = add_meta(worker, op, events, decision->count, error);
    if (err != CAIRN_OK)
        return err;
    int64_t now_us = os_now_us(worker->bus->os);
    for (size_t i = 0; i < decision->count; i++)
        if (uuid_is_zero(events[i].id))
            events[i].id = bus_uuid(worker->bus, now_us);
    append->request = (cairn_append_request){.scope = op->command.scope, .system = first > 0};
    group(op, append, first);
    op->revision = op->over_streams ? -1 : op->entry->fold.revision + (int64_t)append->own_count;
    op->answer_events = (uint32_t)first;
    if (first == 0)
        return CAIRN_OK;
    buf_clear(&worker->text);
    cairn_str answer = key_put_answer(op, append, &worker->text) ? arena_copy(arena, buf_str(&worker->text)) : (cairn_str){0};
    if (answer.data == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the answer");
    append->events[0] = (cairn_event){.id = bus_uuid(worker->bus, now_us), .type = CAIRN_STR("$command"), .data = answer,
                                      .correlation = op->command.correlation};
    append->streams[0] = op->key_stream;
    append->writes[0] = (cairn_write){op->key_stream, key_expected, append->events, 1};
    return CAIRN_OK;
}

/* What whoever answers will need of the decision, in the command's own memory. */
cairn_err
build_outcome(struct op *op, const struct cairn_decision *decision, cairn_error *error)
{
    if (op->types_owned)
        free(op->types);
    free(op->texts);
    op->types_owned = false;
    op->texts = NULL;
    op->event_count = decision->count;
    op->types = op->types_few;
    op->code = op->message = op->details = (cairn_str){0};
    op->answer = decision->rejected ? CAIRN_E_REJECTED : CAIRN_OK;
    size_t size = decision->code.size + decision->message.size + decision->details.size;
    bool from_manifest = true;
    for (size_t i = 0; i < decision->count; i++) {
        if (bus_app_event(op->app, decision->events[i].event.type) == NULL) {
            size += decision->events[i].event.type.size;
            from_manifest = false;
        }
    }
    if (decision->count > BUS_TYPES_FEW) {
        op->types = malloc(decision->count * sizeof *op->types);
        op->types_owned = op->types != NULL;
    }
    char *to = size > 0 ? malloc(size) : NULL;
    op->texts = to;
    if (op->types == NULL || (size > 0 && to == NULL))
        return error_set(error, CAIRN_E_NOMEM, "no memory for the answer");
    for (size_t i = 0; i < decision->count; i++) {
        cairn_str type = decision->events[i].event.type;
        const struct app_event *spec = from_manifest ? bus_app_event(op->app, type) : NULL;
        op->types[i] = spec ? spec->type : (cairn_str){to, type.size};
        if (spec == NULL) {
            memcpy(to, type.data, type.size);
            to += type.size;
        }
    }
    const cairn_str from[] = {decision->code, decision->message, decision->details};
    cairn_str *const into[] = {&op->code, &op->message, &op->details};
    for (int i = 0; i < 3; i++) {
        *into[i] = (cairn_str){to, from[i].size};
        if (from[i].size > 0)
            memcpy(to, from[i].data, from[i].size);
        to += from[i].size;
    }
    return CAIRN_OK;
}

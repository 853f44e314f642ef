/* What was: the state at a revision, and an aggregate built again from nothing, its recorded decisions taken again. On the
 * caller's thread with instances of its own; the workers' states are not touched. */
#include "bus_int.h"

#include <base/json.h>

#define EVENTS_MAX 4096 /* of one decision */

static struct folding
folding_of(struct bus *bus, struct bus_app *app, const struct spare *spare, cairn_str stream, struct arena *arena)
{
    return (struct folding){.bus = bus, .app = app, .decider = spare->decider, .self = spare->self, .stream = stream,
                            .revision_max = -1, .arena = arena};
}

cairn_err
bus_state(struct bus *bus, struct bus_app *app, size_t decider, cairn_str stream, int64_t revision, cairn_sink sink,
          void *context, cairn_error *error)
{
    const cairn_decider *with = app->deciders[decider];
    if (app->manifest->deciders[decider].item_count > 0)
        return error_set(error, CAIRN_E_UNSUPPORTED, "the decider's state is of several streams, not of one");
    if (with->save == NULL)
        return error_set(error, CAIRN_E_UNSUPPORTED, "the decider does not show its states");
    struct spare *spare;
    cairn_err err = bus_app_borrow(app, decider, &spare, error);
    if (err != CAIRN_OK)
        return err;
    struct arena arena = {0};
    struct fold fold = {.revision = -1};
    struct folding folding = folding_of(bus, app, spare, stream, &arena);
    folding.revision_max = revision;
    err = fold_up(&folding, &fold, error);
    if (err == CAIRN_OK)
        err = with->save(spare->self, fold.state, sink, context, error);
    if (fold.state != NULL)
        with->state_free(spare->self, fold.state);
    bus_app_give_back(app, spare);
    arena_free(&arena);
    return err;
}

/* ---- the same JSON? ------------------------------------------------------------------------------------------- */

static bool
same_json(struct json a, struct json b, struct arena *arena, unsigned depth);

static bool
same_members(struct json a, struct json b, struct arena *arena, unsigned depth)
{
    struct json name, value, other_name, other;
    struct json_walk walk = json_walk(a);
    if (json_count(a) != json_count(b))
        return false;
    while (json_next(&walk, &name, &value)) {
        cairn_str text = json_string(name, arena);
        bool found = false;
        struct json_walk others = json_walk(b);
        while (!found && json_next(&others, &other_name, &other))
            found = cairn_str_equal(json_string(other_name, arena), text) && same_json(value, other, arena, depth + 1);
        if (!found)
            return false;
    }
    return true;
}

static bool
same_json(struct json a, struct json b, struct arena *arena, unsigned depth)
{
    if (a.type != b.type || depth > JSON_DEPTH_MAX)
        return false;
    if (cairn_str_equal(a.raw, b.raw))
        return true;
    double x, y;
    switch (a.type) {
    case JSON_STRING:
        return cairn_str_equal(json_string(a, arena), json_string(b, arena));
    case JSON_NUMBER:
        return json_double(a, &x) && json_double(b, &y) && x == y;
    case JSON_OBJECT:
        return same_members(a, b, arena, depth);
    case JSON_ARRAY: {
        struct json none, item, other;
        struct json_walk walk = json_walk(a), others = json_walk(b);
        bool same = json_count(a) == json_count(b);
        while (same && json_next(&walk, &none, &item) && json_next(&others, &none, &other))
            same = same_json(item, other, arena, depth + 1);
        return same;
    }
    default:
        return true;
    }
}

static bool
same_text(cairn_str a, cairn_str b)
{
    struct json x, y;
    struct arena arena = {0};
    bool same = cairn_str_equal(a, b)
                || (json_check(a, &x, NULL) == CAIRN_OK && json_check(b, &y, NULL) == CAIRN_OK && same_json(x, y, &arena, 0));
    arena_free(&arena);
    return same;
}

/* ---- replaying one stream ----------------------------------------------------------------------------------------- */

struct replay {
    struct bus *bus;
    struct bus_app *app;
    struct spare *spare;
    cairn_str stream;
    struct folding folding;
    struct fold fold;
    struct bus_replay_counts *counts;
    cairn_error *first;      /* or NULL: where the stream's first difference is told */
    uint64_t differed_before;
    cairn_uuid command;      /* of the last event looked at */
    struct cairn_decision decision;
    struct arena arena, upcast_arena;
    struct buf text;
    void *snapshot_memory;   /* or NULL */
    cairn_snapshot snapshot;
};

static void
differs(struct replay *replay, uint64_t revision, const char *what)
{
    const cairn_apps_options *apps = &replay->bus->apps;
    if (replay->first != NULL && replay->counts->differing == replay->differed_before)
        error_ignore(error_set(replay->first, CAIRN_E_SCRIPT, "revision %llu: %s", (unsigned long long)revision, what));
    replay->counts->differing++;
    if (apps->log == NULL)
        return;
    buf_clear(&replay->text);
    buf_printf(&replay->text, "replay app=%.*s stream=%.*s revision=%llu differs=\"%s\"", (int)replay->app->manifest->name.size,
               replay->app->manifest->name.data, (int)replay->stream.size, replay->stream.data, (unsigned long long)revision,
               what);
    if (!replay->text.failed)
        apps->log(apps->log_context, CAIRN_LOG_WARN, buf_str(&replay->text));
}

static struct json
command_of(const cairn_recorded *event, cairn_uuid *ret_id, struct arena *arena)
{
    struct json command = {0};
    struct json meta = event->event.meta.size ? json_trusted(event->event.meta) : (struct json){0};
    if (meta.type == JSON_OBJECT)
        command = json_get(meta, "command");
    if (!parse_uuid(json_string(json_get(command, "id"), arena), ret_id))
        command = (struct json){0};
    return command;
}

/* The recorded events of one decision, beginning at a position, upcast; in the replay's arena. */
static cairn_err
read_decided(struct replay *replay, uint64_t position, cairn_uuid id, cairn_recorded *to, size_t *ret_count,
             cairn_error *error)
{
    const cairn_read_options options = {.scope = replay->folding.scope, .from = (int64_t)position};
    cairn_reader *reader;
    size_t count = 0;
    cairn_err err = cairn_read_all(replay->bus->store, &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    while (count < EVENTS_MAX) {
        cairn_uuid other;
        cairn_recorded event;
        err = cairn_reader_next(reader, &event, error);
        if (err != CAIRN_OK || event.position != position + count
            || command_of(&event, &other, &replay->arena).type == JSON_NONE || memcmp(&other, &id, sizeof id) != 0)
            break;
        if (replay->app->upcast != NULL)
            err = replay->app->upcast(replay->app->upcast_context, &event, &replay->arena, error);
        if (err != CAIRN_OK)
            break;
        cairn_str *tags = arena_alloc(&replay->arena, (event.event.tag_count + 1) * sizeof *tags);
        cairn_recorded *copy = &to[count++];
        *copy = event;
        copy->stream = arena_copy(&replay->arena, event.stream);
        copy->event.type = arena_copy(&replay->arena, event.event.type);
        copy->event.data = arena_copy(&replay->arena, event.event.data);
        for (size_t i = 0; tags != NULL && i < event.event.tag_count; i++)
            tags[i] = arena_copy(&replay->arena, event.event.tags[i]);
        copy->event.tags = tags;
        if (tags == NULL || copy->stream.data == NULL || copy->event.type.data == NULL || copy->event.data.data == NULL)
            err = error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
        if (err != CAIRN_OK)
            break;
    }
    cairn_reader_free(reader);
    *ret_count = count;
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static const char *
compare(struct replay *replay, const cairn_event *events, const cairn_str *streams, const cairn_recorded *recorded,
        size_t recorded_count)
{
    if (replay->decision.rejected)
        return "it would be rejected now";
    if (replay->decision.count != recorded_count)
        return "another number of events";
    for (size_t i = 0; i < recorded_count; i++) {
        const cairn_event *was = &recorded[i].event;
        if (!cairn_str_equal(streams[i], recorded[i].stream))
            return "an event of another stream";
        if (!cairn_str_equal(events[i].type, was->type))
            return "an event of another type";
        if (!same_text(events[i].data, was->data))
            return "an event with other data";
        bool same = events[i].tag_count == was->tag_count;
        for (size_t j = 0; same && j < was->tag_count; j++)
            same = cairn_str_equal(events[i].tags[j], was->tags[j]);
        if (!same)
            return "an event with other tags";
    }
    return NULL;
}

static cairn_err
decide_again(struct replay *replay, const cairn_recorded *first, const cairn_command *command, cairn_error *error)
{
    const cairn_decider *decider = replay->app->deciders[replay->spare->decider];
    cairn_recorded *recorded = arena_alloc(&replay->arena, EVENTS_MAX * sizeof *recorded);
    size_t count = 0;
    if (recorded == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
    cairn_err err = read_decided(replay, first->position, command->id, recorded, &count, error);
    if (err != CAIRN_OK)
        return err;
    replay->counts->commands++;
    decision_clear(&replay->decision);
    cairn_error why = {0};
    err = decider->decide(replay->spare->self, replay->fold.state, command, &replay->decision, &why);
    size_t room = replay->decision.count + 1;
    cairn_event *events = arena_zalloc(&replay->arena, room * sizeof *events);
    cairn_str *streams = arena_zalloc(&replay->arena, room * sizeof *streams);
    if (events == NULL || streams == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
    if (err == CAIRN_OK)
        err = build_events(replay->app, &replay->decision, replay->stream, &replay->arena, &replay->text, events, streams, &why);
    if (err != CAIRN_OK && !replay->decision.rejected) {
        replay->counts->failed++;
        differs(replay, first->revision, why.detail);
        return CAIRN_OK;
    }
    const char *what = compare(replay, events, streams, recorded, count);
    if (what != NULL)
        differs(replay, first->revision, what);
    return CAIRN_OK;
}

static cairn_str
text_of(struct replay *replay, struct json object, const char *name)
{
    cairn_str text = json_string(json_get(object, name), &replay->arena);
    return text.data ? text : (cairn_str){0};
}

/* An event of a command that was not seen yet: what its first event recorded, when the command was about this stream. */
static cairn_err
check_decision(struct replay *replay, const cairn_recorded *event, cairn_error *error)
{
    cairn_uuid id;
    arena_reset(&replay->arena);
    struct json recorded = command_of(event, &id, &replay->arena), data = json_get(recorded, "data");
    if (recorded.type == JSON_NONE || memcmp(&id, &replay->command, sizeof id) == 0)
        return CAIRN_OK;
    replay->command = id;
    struct json meta = json_trusted(event->event.meta);
    cairn_command command = {.scope = event->scope, .app = replay->app->manifest->name, .id = id,
                             .name = text_of(replay, recorded, "name"), .data = data.raw,
                             .actor = text_of(replay, meta, "actor"), .correlation = text_of(replay, meta, "correlation"),
                             .causation = text_of(replay, meta, "causation")};
    const struct app_command *spec = NULL;
    for (size_t i = 0; i < replay->app->manifest->command_count; i++)
        if (cairn_str_equal(replay->app->manifest->commands[i].name, command.name))
            spec = &replay->app->manifest->commands[i];
    if (spec == NULL || data.type != JSON_OBJECT || spec->decider != replay->spare->decider
        || !parse_time(text_of(replay, recorded, "time"), &command.time_us))
        return CAIRN_OK;
    char id_text[UUID_TEXT_SIZE];
    format_uuid(id, id_text);
    if (cairn_str_equal(command.causation, cairn_cstr(id_text)))
        command.causation = (cairn_str){0};
    buf_clear(&replay->text);
    cairn_err err = app_template_fill(spec->stream, data, &replay->text, error);
    if (err == CAIRN_E_NOMEM || replay->text.failed)
        return error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
    if (err != CAIRN_OK || !cairn_str_equal(buf_str(&replay->text), replay->stream))
        return CAIRN_OK;
    return decide_again(replay, event, &command, error);
}

/* The state has come to where the snapshot was taken. */
static void
check_snapshot(struct replay *replay)
{
    const cairn_decider *decider = replay->app->deciders[replay->spare->decider];
    buf_clear(&replay->text);
    if (decider->save(replay->spare->self, replay->fold.state, buf_sink, &replay->text, NULL) == CAIRN_OK
        && !same_text(buf_str(&replay->text), replay->snapshot.data))
        differs(replay, replay->snapshot.revision, "the snapshot has another state");
}

static cairn_err
replay_events(struct replay *replay, bool decisions, cairn_error *error)
{
    cairn_reader *reader;
    cairn_err err = cairn_read_stream(replay->bus->store, replay->stream, &(cairn_read_options){.scope = replay->folding.scope},
                                      &reader, error);
    if (err != CAIRN_OK)
        return err;
    cairn_recorded event;
    while (err == CAIRN_OK && (err = cairn_reader_next(reader, &event, error)) == CAIRN_OK) {
        if (decisions)
            err = check_decision(replay, &event, error);
        if (err == CAIRN_OK)
            err = fold_event(&replay->folding, &replay->fold, &event, error);
        if (err != CAIRN_OK) {
            replay->counts->failed++;
            break;
        }
        replay->fold.revision = (int64_t)event.revision;
        replay->counts->events++;
        if (replay->snapshot_memory != NULL && event.revision == replay->snapshot.revision)
            check_snapshot(replay);
    }
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static void
find_snapshot(struct replay *replay)
{
    const cairn_decider *decider = replay->app->deciders[replay->spare->decider];
    if (decider->save == NULL
        || cairn_snapshot_get(replay->bus->store, replay->folding.scope, replay->stream, &replay->snapshot,
                              &replay->snapshot_memory, NULL) != CAIRN_OK)
        return;
    if (cairn_str_equal(replay->snapshot.content_type, cairn_cstr(replay->app->forms[replay->spare->decider])))
        return;
    cairn_free(replay->snapshot_memory);
    replay->snapshot_memory = NULL;
}

/* CAIRN_E_GONE, CAIRN_E_INVALID: the stream was deleted meanwhile, and has no use for one. */
static cairn_err
keep_snapshot(struct replay *replay, cairn_error *error)
{
    cairn_snapshot snapshot;
    void *memory;
    cairn_err err = snapshot_make(replay->app, replay->spare->decider, replay->spare->self, replay->stream, &replay->fold,
                                  &snapshot, &memory, error);
    if (err != CAIRN_OK)
        return err == CAIRN_E_UNSUPPORTED ? CAIRN_OK : err;
    err = cairn_snapshot_put(replay->bus->store, replay->folding.scope, replay->stream, &snapshot, error);
    free(memory);
    if (err == CAIRN_OK)
        atomic_fetch_add_explicit(&replay->bus->counts.snapshots_taken, 1, memory_order_relaxed);
    return err == CAIRN_E_GONE || err == CAIRN_E_INVALID ? CAIRN_OK : err;
}

cairn_err
bus_replay_stream(struct bus *bus, struct bus_app *app, cairn_str stream, bool snapshot, bool decisions,
                  struct bus_replay_counts *counts, cairn_error *error)
{
    size_t decider;
    if (!app_stream_decider(app->manifest, stream, &decider))
        return error_set(error, CAIRN_E_NOTFOUND, "the app %.*s has no decider for the stream %.*s",
                         (int)app->manifest->name.size, app->manifest->name.data, (int)(stream.size > 100 ? 100 : stream.size),
                         stream.data);
    struct replay replay = {.bus = bus, .app = app, .stream = stream, .counts = counts, .first = error,
                            .differed_before = counts->differing, .fold = {.revision = -1}};
    cairn_err err = bus_app_borrow(app, decider, &replay.spare, error);
    if (err != CAIRN_OK)
        return err;
    replay.folding = folding_of(bus, app, replay.spare, stream, &replay.upcast_arena);
    const cairn_decider *with = app->deciders[decider];
    err = with->state_new(replay.spare->self, stream, &replay.fold.state, error);
    if (err == CAIRN_OK) {
        find_snapshot(&replay);
        err = replay_events(&replay, decisions, error);
        if (err == CAIRN_OK && snapshot)
            err = keep_snapshot(&replay, error);
        with->state_free(replay.spare->self, replay.fold.state);
    }
    cairn_free(replay.snapshot_memory);
    bus_app_give_back(app, replay.spare);
    decision_free(&replay.decision);
    arena_free(&replay.arena);
    arena_free(&replay.upcast_arena);
    buf_free(&replay.text);
    return err;
}

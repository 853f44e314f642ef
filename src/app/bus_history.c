/* What was: the state at a revision, and an aggregate built again from nothing, its recorded decisions taken again; then the
 * decisions over several streams, in the log's order. On the caller's thread with instances of its own; the workers' states
 * are not touched.
 *
 * A decision's events lie next to each other in the log, and the first of them holds what is needed to decide again. Each
 * decision is taken again once: those of one stream where that stream is built again, those over several streams at their
 * first event. What cannot be decided again is counted there too (left_out). */
#include "bus_int.h"

#include <base/json.h>

#define EVENTS_MAX 4096 /* of one decision */
#define QUERIES_KEPT 256 /* states over several streams that are kept between decisions */
#define QUERIES_BYTES (64u << 20)
#define STATE_SIZE_UNKNOWN 4096
#define STEP_EVENTS 1024 /* between two looks at whether to go on */

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

/* The state is that before the decision; `recorded` is what came of it then. */
static cairn_err
decide_again(struct replay *replay, const cairn_recorded *recorded, size_t count, const cairn_command *command,
             cairn_error *error)
{
    const cairn_decider *decider = replay->app->deciders[replay->spare->decider];
    uint64_t revision = recorded[0].revision;
    for (size_t i = count; i-- > 0;)
        if (cairn_str_equal(recorded[i].stream, replay->stream))
            revision = recorded[i].revision; /* of the first that is the command's stream's */
    replay->counts->commands++;
    decision_clear(&replay->decision);
    cairn_error why = {0};
    cairn_err err = decider->decide(replay->spare->self, replay->fold.state, command, &replay->decision, &why);
    size_t room = replay->decision.count + 1;
    cairn_event *events = arena_zalloc(&replay->arena, room * sizeof *events);
    cairn_str *streams = arena_zalloc(&replay->arena, room * sizeof *streams);
    if (events == NULL || streams == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
    if (err == CAIRN_OK)
        err = build_events(replay->app, &replay->decision, replay->stream, &replay->arena, &replay->text, events, streams, &why);
    if (err != CAIRN_OK && !replay->decision.rejected) {
        replay->counts->failed++;
        differs(replay, revision, why.code ? why.detail : cairn_err_name(err));
        return CAIRN_OK;
    }
    const char *what = compare(replay, events, streams, recorded, count);
    if (what != NULL)
        differs(replay, revision, what);
    return CAIRN_OK;
}

static cairn_str
text_of(struct replay *replay, struct json object, const char *name)
{
    cairn_str text = json_string(json_get(object, name), &replay->arena);
    return text.data ? text : (cairn_str){0};
}

/* A decision as its first event tells of it; in the replay's arena. */
struct taken {
    cairn_uuid id;
    const struct app_command *spec; /* NULL: the app has no such command */
    bool over_streams;
    bool first;           /* the event was the decision's first: otherwise nothing of what follows is known */
    bool whole;           /* everything that is needed to decide again is there */
    struct json data;
    cairn_command command;
    cairn_str stream;     /* that the command is about */
};

/* False: no command's event. */
static bool
look_at(struct replay *replay, const cairn_recorded *event, struct taken *ret)
{
    *ret = (struct taken){0};
    struct json recorded = command_of(event, &ret->id, &replay->arena);
    if (recorded.type == JSON_NONE)
        return false;
    const struct app_manifest *manifest = replay->app->manifest;
    cairn_str name = text_of(replay, recorded, "name"), time = text_of(replay, recorded, "time");
    for (size_t i = 0; i < manifest->command_count && ret->spec == NULL; i++)
        if (cairn_str_equal(manifest->commands[i].name, name))
            ret->spec = &manifest->commands[i];
    ret->over_streams = ret->spec != NULL && manifest->deciders[ret->spec->decider].item_count > 0;
    ret->first = time.size > 0;
    ret->data = json_get(recorded, "data");
    struct json meta = json_trusted(event->event.meta);
    ret->command = (cairn_command){.scope = event->scope, .app = manifest->name, .id = ret->id, .name = name,
                                   .data = ret->data.raw, .actor = text_of(replay, meta, "actor"),
                                   .correlation = text_of(replay, meta, "correlation"),
                                   .causation = text_of(replay, meta, "causation")};
    char id_text[UUID_TEXT_SIZE];
    format_uuid(ret->id, id_text);
    if (cairn_str_equal(ret->command.causation, cairn_cstr(id_text)))
        ret->command.causation = (cairn_str){0};
    ret->whole = ret->spec != NULL && ret->data.type == JSON_OBJECT && parse_time(time, &ret->command.time_us);
    return true;
}

/* CAIRN_E_INVALID: the data does not give what the command's template needs now. */
static cairn_err
fill(struct replay *replay, cairn_str template, struct json data, cairn_str *ret, cairn_error *error)
{
    buf_clear(&replay->text);
    cairn_err err = app_template_fill(template, data, &replay->text, NULL);
    if (err != CAIRN_OK && err != CAIRN_E_NOMEM)
        return CAIRN_E_INVALID;
    *ret = err != CAIRN_OK || replay->text.failed ? (cairn_str){0} : arena_copy(&replay->arena, buf_str(&replay->text));
    return ret->data != NULL ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
}

/* The decision's first event, looked for backwards from one of its later ones; in the replay's arena. CAIRN_E_NOTFOUND: it is
 * hidden, or none of a decision. */
static cairn_err
find_first(struct replay *replay, const cairn_recorded *later, cairn_uuid id, cairn_recorded *ret, cairn_error *error)
{
    if (later->position == 0)
        return CAIRN_E_NOTFOUND;
    const cairn_read_options options = {.scope = replay->folding.scope, .from = (int64_t)later->position - 1,
                                        .direction = CAIRN_BACKWARD};
    cairn_reader *reader;
    cairn_err err = cairn_read_all(replay->bus->store, &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    bool found = false;
    for (uint64_t back = 1; !found && back < EVENTS_MAX; back++) {
        cairn_uuid other;
        err = cairn_reader_next(reader, ret, error);
        if (err != CAIRN_OK || ret->position != later->position - back)
            break;
        struct json command = command_of(ret, &other, &replay->arena);
        if (command.type == JSON_NONE || memcmp(&other, &id, sizeof id) != 0)
            break;
        found = json_get(command, "time").type == JSON_STRING;
    }
    if (found) {
        ret->stream = arena_copy(&replay->arena, ret->stream);
        ret->event = (cairn_event){.meta = arena_copy(&replay->arena, ret->event.meta)};
        if (ret->stream.data == NULL || ret->event.meta.data == NULL)
            err = error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
    }
    cairn_reader_free(reader);
    return err == CAIRN_E_END || (err == CAIRN_OK && !found) ? CAIRN_E_NOTFOUND : err;
}

static bool
reaches(const cairn_recorded *recorded, size_t count, cairn_str stream)
{
    for (size_t i = 0; i < count; i++)
        if (cairn_str_equal(recorded[i].stream, stream))
            return true;
    return false;
}

/* The stream that the command is about, and the events that came of it. CAIRN_E_NOTFOUND: it cannot be decided again. */
static cairn_err
read_taken(struct replay *replay, uint64_t position, struct taken *taken, cairn_recorded **ret, size_t *ret_count,
           cairn_error *error)
{
    if (!taken->whole)
        return CAIRN_E_NOTFOUND;
    cairn_err err = fill(replay, taken->spec->stream, taken->data, &taken->stream, error);
    if (err == CAIRN_OK && (*ret = arena_alloc(&replay->arena, EVENTS_MAX * sizeof **ret)) == NULL)
        err = error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
    if (err == CAIRN_OK)
        err = read_decided(replay, position, taken->id, *ret, ret_count, error);
    if (err == CAIRN_OK && !reaches(*ret, *ret_count, taken->stream))
        err = CAIRN_E_NOTFOUND; /* the template has changed, or no event is of the command's own stream */
    return err == CAIRN_E_INVALID ? CAIRN_E_NOTFOUND : err;
}

/* An event of a command that was not seen yet: what its first event recorded, when the command was about this stream. */
static cairn_err
check_decision(struct replay *replay, const cairn_recorded *event, cairn_error *error)
{
    struct taken taken;
    cairn_recorded begin = *event, *recorded;
    size_t count;
    cairn_err err = CAIRN_OK;
    arena_reset(&replay->arena);
    if (!look_at(replay, event, &taken) || memcmp(&taken.id, &replay->command, sizeof taken.id) == 0)
        return CAIRN_OK;
    replay->command = taken.id;
    bool here = taken.first;
    if (taken.over_streams || (!here && (taken.spec == NULL || taken.spec->decider != replay->spare->decider)))
        return CAIRN_OK; /* looked at in the log's order; or where it began */
    if (!here) {
        err = find_first(replay, event, taken.id, &begin, error);
        if (err == CAIRN_OK && !look_at(replay, &begin, &taken))
            err = CAIRN_E_NOTFOUND;
        if (err != CAIRN_OK)
            return err == CAIRN_E_NOTFOUND ? CAIRN_OK : err;
    }
    err = read_taken(replay, begin.position, &taken, &recorded, &count, error);
    bool ours = err == CAIRN_OK && cairn_str_equal(taken.stream, replay->stream);
    if (ours && taken.spec->decider == replay->spare->decider)
        return decide_again(replay, recorded, count, &taken.command, error);
    replay->counts->left_out += ours || (here && err == CAIRN_E_NOTFOUND);
    return err == CAIRN_E_NOTFOUND ? CAIRN_OK : err;
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

/* ---- decisions over several streams ------------------------------------------------------------------------------------ */

/* What a query's events have made, up to a position. */
struct query_state {
    size_t decider;
    uint64_t hash;
    cairn_str place; /* the filled-in query as text; owned. data NULL: a free place */
    struct fold fold;
    size_t bytes;
    uint64_t used;
};

struct queries {
    struct replay replay;
    size_t bytes;
    uint64_t uses;
    struct query_state states[QUERIES_KEPT];
    struct spare *spares[]; /* one for each decider, or NULL */
};

static void
forget_query(struct queries *queries, struct query_state *state)
{
    if (state->fold.state != NULL)
        queries->replay.app->deciders[state->decider]->state_free(queries->spares[state->decider]->self, state->fold.state);
    queries->bytes -= state->bytes;
    free((char *)state->place.data);
    *state = (struct query_state){0};
}

/* Forget those used longest ago until there is room; with `all` every one but `keep`. */
static void
make_room(struct queries *queries, const struct query_state *keep, bool all)
{
    while (all || queries->bytes > QUERIES_BYTES) {
        struct query_state *oldest = NULL;
        for (size_t i = 0; i < QUERIES_KEPT; i++) {
            struct query_state *state = &queries->states[i];
            if (state != keep && state->place.data != NULL && (oldest == NULL || state->used < oldest->used))
                oldest = state;
        }
        if (oldest == NULL)
            return;
        forget_query(queries, oldest);
    }
}

/* The texts filled in, in the arena; and for the place. */
static cairn_err
fill_texts(struct replay *replay, const cairn_str *texts, size_t count, struct json data, const cairn_str **ret,
           struct buf *place, cairn_error *error)
{
    cairn_str *filled = arena_alloc(&replay->arena, (count + 1) * sizeof *filled);
    if (filled == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
    *ret = filled;
    for (size_t i = 0; i < count; i++) {
        cairn_err err = fill(replay, texts[i], data, &filled[i], error);
        if (err != CAIRN_OK)
            return err;
        buf_printf(place, "%zu:", filled[i].size);
        buf_put_str(place, filled[i]);
    }
    return CAIRN_OK;
}

static cairn_err
fill_query(struct replay *replay, const struct app_decider *decider, struct json data, cairn_query *ret, struct buf *place,
           cairn_error *error)
{
    cairn_query_item *items = arena_zalloc(&replay->arena, decider->item_count * sizeof *items);
    cairn_err err = items != NULL ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
    for (size_t i = 0; err == CAIRN_OK && i < decider->item_count; i++) {
        const struct app_query_item *item = &decider->items[i];
        items[i].type_count = item->type_count;
        items[i].tag_count = item->tag_count;
        buf_put_char(place, 't');
        err = fill_texts(replay, item->types, item->type_count, data, &items[i].types, place, error);
        buf_put_char(place, 'g');
        if (err == CAIRN_OK)
            err = fill_texts(replay, item->tags, item->tag_count, data, &items[i].tags, place, error);
    }
    *ret = (cairn_query){items, decider->item_count};
    return err == CAIRN_OK && place->failed ? error_set(error, CAIRN_E_NOMEM, "no memory to decide again") : err;
}

static cairn_err
find_query(struct queries *queries, size_t decider, cairn_str place, struct query_state **ret, cairn_error *error)
{
    uint64_t hash = hash64(place.data, place.size, decider);
    struct query_state *to = &queries->states[0];
    for (size_t i = 0; i < QUERIES_KEPT; i++) {
        struct query_state *state = &queries->states[i];
        if (state->place.data != NULL && state->hash == hash && state->decider == decider
            && cairn_str_equal(state->place, place)) {
            *ret = state;
            state->used = ++queries->uses;
            return CAIRN_OK;
        }
        if (to->place.data != NULL && (state->place.data == NULL || state->used < to->used))
            to = state;
    }
    forget_query(queries, to);
    char *copy = malloc(place.size + 1);
    if (copy == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
    memcpy(copy, place.data, place.size);
    *to = (struct query_state){.decider = decider, .hash = hash, .place = {copy, place.size}, .used = ++queries->uses};
    *ret = to;
    return CAIRN_OK;
}

/* Everything that matches before the position. After an error the state is as it may be. */
static cairn_err
fold_before(const struct folding *with, struct fold *fold, uint64_t position, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    if (fold->state == NULL) {
        *fold = (struct fold){.revision = -1};
        err = with->app->deciders[with->decider]->state_new(with->self, with->stream, &fold->state, error);
    }
    if (err != CAIRN_OK || fold->position >= position)
        return err;
    const cairn_read_options options = {.scope = with->scope, .from = (int64_t)fold->position, .end = position,
                                        .query = *with->query};
    cairn_reader *reader;
    cairn_recorded event;
    err = cairn_read_all(with->bus->store, &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    while ((err = cairn_reader_next(reader, &event, error)) == CAIRN_OK
           && (err = fold_event(with, fold, &event, error)) == CAIRN_OK)
        ;
    cairn_reader_free(reader);
    if (err == CAIRN_E_END)
        fold->position = position;
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static cairn_err
load_query(struct queries *queries, struct query_state *state, const cairn_query *query, uint64_t position,
           cairn_error *error)
{
    struct replay *replay = &queries->replay;
    const cairn_decider *decider = replay->app->deciders[state->decider];
    struct folding with = folding_of(replay->bus, replay->app, replay->spare, replay->stream, &replay->upcast_arena);
    with.query = query;
    cairn_err err = CAIRN_OK;
    for (int tries = 0; tries < 2; tries++) {
        err = fold_before(&with, &state->fold, position, error);
        if (err != CAIRN_E_NOMEM && err != CAIRN_E_LIMIT)
            break;
        make_room(queries, state, true); /* the states of a decider share its memory */
        if (state->fold.state != NULL)
            decider->state_free(with.self, state->fold.state);
        state->fold = (struct fold){0};
    }
    if (err != CAIRN_OK) {
        forget_query(queries, state);
        return err;
    }
    queries->bytes -= state->bytes;
    state->bytes = decider->state_size ? decider->state_size(with.self, state->fold.state) : STATE_SIZE_UNKNOWN;
    queries->bytes += state->bytes;
    make_room(queries, state, false);
    return CAIRN_OK;
}

/* Decide again at its first event. An error ends the pass: what is wrong with one decision is counted and told. */
static cairn_err
check_query_decision(struct queries *queries, const cairn_recorded *event, const struct bus_replay_watch *watch,
                     cairn_error *error)
{
    struct replay *replay = &queries->replay;
    struct taken taken;
    cairn_recorded *recorded;
    size_t count;
    cairn_query query;
    struct buf place = {0};
    arena_reset(&replay->arena);
    if (!look_at(replay, event, &taken) || !taken.first || !taken.over_streams)
        return CAIRN_OK;
    size_t decider = taken.spec->decider;
    cairn_error why = {0};
    struct query_state *state = NULL;
    cairn_err err = read_taken(replay, event->position, &taken, &recorded, &count, error);
    if (err == CAIRN_OK)
        err = fill_query(replay, &replay->app->manifest->deciders[decider], taken.data, &query, &place, error);
    if (err == CAIRN_OK && queries->spares[decider] == NULL)
        err = bus_app_borrow(replay->app, decider, &queries->spares[decider], error);
    if (err == CAIRN_OK)
        err = find_query(queries, decider, buf_str(&place), &state, error);
    buf_free(&place);
    if (err == CAIRN_E_NOTFOUND || err == CAIRN_E_INVALID) {
        replay->counts->left_out++;
        return CAIRN_OK;
    }
    if (err != CAIRN_OK)
        return err;
    replay->spare = queries->spares[decider];
    replay->stream = taken.stream;
    replay->first = &why;
    replay->differed_before = replay->counts->differing;
    uint64_t failed_before = replay->counts->failed;
    err = load_query(queries, state, &query, event->position, &why);
    if (err != CAIRN_OK) {
        replay->counts->failed++;
    } else {
        replay->fold = state->fold;
        err = decide_again(replay, recorded, count, &taken.command, error);
        if (err != CAIRN_OK)
            return err;
    }
    if (watch->found != NULL && replay->counts->differing + replay->counts->failed != replay->differed_before + failed_before)
        watch->found(watch->context, replay->stream, &why);
    return CAIRN_OK;
}

/* Only types that the app knows, where it names them. */
static cairn_err
read_app_events(struct replay *replay, struct arena *arena, uint64_t end, cairn_reader **ret, cairn_error *error)
{
    const struct app_manifest *manifest = replay->app->manifest;
    cairn_read_options options = {.scope = replay->folding.scope, .end = end};
    cairn_query_item item = {.type_count = manifest->event_count};
    cairn_str *types = arena_alloc(arena, (manifest->event_count + 1) * sizeof *types);
    if (types == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
    for (size_t i = 0; i < manifest->event_count; i++)
        types[i] = manifest->events[i].type;
    item.types = types;
    if (manifest->event_count > 0)
        options.query = (cairn_query){&item, 1};
    return cairn_read_all(replay->bus->store, &options, ret, error);
}

static cairn_err
replay_log(struct queries *queries, const struct bus_replay_watch *watch, cairn_error *error)
{
    struct replay *replay = &queries->replay;
    struct arena arena = {0};
    cairn_reader *reader = NULL;
    cairn_recorded event;
    uint64_t looked = 0, end = cairn_end(replay->bus->store);
    cairn_err err = end > 0 ? read_app_events(replay, &arena, end, &reader, error) : CAIRN_E_END;
    while (err == CAIRN_OK && (err = cairn_reader_next(reader, &event, error)) == CAIRN_OK) {
        if (looked++ % STEP_EVENTS == 0 && watch->go_on != NULL && !watch->go_on(watch->context, event.position, end))
            err = error_set(error, CAIRN_E_CLOSED, "the replay was stopped");
        if (err == CAIRN_OK)
            err = check_query_decision(queries, &event, watch, error);
    }
    if (reader != NULL)
        cairn_reader_free(reader);
    arena_free(&arena);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

cairn_err
bus_replay_queries(struct bus *bus, struct bus_app *app, const struct bus_replay_watch *watch,
                   struct bus_replay_counts *counts, cairn_error *error)
{
    size_t count = app->manifest->decider_count;
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any |= app->manifest->deciders[i].item_count > 0;
    if (!any)
        return CAIRN_OK;
    struct queries *queries = calloc(1, sizeof *queries + count * sizeof *queries->spares);
    if (queries == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to decide again");
    queries->replay = (struct replay){.bus = bus, .app = app, .counts = counts};
    cairn_err err = replay_log(queries, watch, error);
    make_room(queries, NULL, true);
    for (size_t i = 0; i < count; i++)
        if (queries->spares[i] != NULL)
            bus_app_give_back(app, queries->spares[i]);
    decision_free(&queries->replay.decision);
    arena_free(&queries->replay.arena);
    arena_free(&queries->replay.upcast_arena);
    buf_free(&queries->replay.text);
    free(queries);
    return err;
}

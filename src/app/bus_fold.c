/* State from a snapshot and the events after it, or brought up to date by the events that came since.
 *
 * A stream's state holds everything up to its last revision, whatever retention hides: what is hidden is not part of it.
 * When the stream has been cut off (deleted, truncated) since, a state from before is no state of it any more; neither is a
 * snapshot of a revision that has been cut off. */
#include "bus_int.h"

static cairn_err
in_stream(cairn_err err, const char *what, cairn_str stream, uint64_t revision, const cairn_error *why, cairn_error *error)
{
    cairn_error copy = why->code ? *why : (cairn_error){0};
    return error_set(error, err == CAIRN_E_NOMEM || err == CAIRN_E_LIMIT ? err : CAIRN_E_SCRIPT, "%s %.*s at revision %llu: %s",
                     what, (int)(stream.size > 100 ? 100 : stream.size), stream.data, (unsigned long long)revision,
                     copy.code ? copy.detail : cairn_err_name(err));
}

static cairn_err
begin_state(const struct folding *with, struct fold *fold, cairn_error *error)
{
    const cairn_decider *decider = with->app->deciders[with->decider];
    cairn_error why = {0};
    *fold = (struct fold){.revision = -1};
    cairn_err err = decider->state_new(with->self, with->stream, &fold->state, &why);
    return err == CAIRN_OK ? err : in_stream(err, "a new state of", with->stream, 0, &why, error);
}

/* CAIRN_E_NOTFOUND: there is none that is of use. */
static cairn_err
begin_from_snapshot(const struct folding *with, uint64_t truncated, struct fold *fold)
{
    const cairn_decider *decider = with->app->deciders[with->decider];
    if (with->no_snapshot || decider->load == NULL
        || (with->app->manifest->deciders[with->decider].snapshots.every_events == 0
            && with->app->manifest->deciders[with->decider].snapshots.every_bytes == 0))
        return CAIRN_E_NOTFOUND;
    cairn_snapshot snapshot;
    void *memory;
    cairn_err err = cairn_snapshot_get(with->bus->store, with->scope, with->stream, &snapshot, &memory, NULL);
    if (err != CAIRN_OK)
        return CAIRN_E_NOTFOUND; /* a damaged one too: the events are there */
    bool fits = cairn_str_equal(snapshot.content_type, cairn_cstr(with->app->forms[with->decider]))
                && snapshot.revision >= truncated
                && (with->revision_max < 0 || snapshot.revision <= (uint64_t)with->revision_max);
    *fold = (struct fold){.revision = (int64_t)snapshot.revision, .from_snapshot = true};
    if (!fits || decider->load(with->self, with->stream, snapshot.data, &fold->state, NULL) != CAIRN_OK) {
        if (with->revision_max < 0)
            atomic_fetch_add_explicit(&with->bus->counts.snapshots_dropped, 1, memory_order_relaxed);
        *fold = (struct fold){.revision = -1};
        err = CAIRN_E_NOTFOUND;
    } else {
        atomic_fetch_add_explicit(&with->bus->counts.snapshots_used, 1, memory_order_relaxed);
    }
    cairn_free(memory);
    return err;
}

cairn_err
fold_event(const struct folding *with, struct fold *fold, cairn_recorded *event, cairn_error *error)
{
    const cairn_decider *decider = with->app->deciders[with->decider];
    cairn_error why = {0};
    cairn_err err = CAIRN_OK;
    if (with->app->upcast != NULL) {
        arena_reset(with->arena);
        err = with->app->upcast(with->app->upcast_context, event, with->arena, &why);
        if (err != CAIRN_OK)
            return in_stream(err, "an event of", event->stream, event->revision, &why, error);
    }
    err = decider->evolve(with->self, fold->state, event, &why);
    if (err != CAIRN_OK)
        return in_stream(err, "evolving", event->stream, event->revision, &why, error);
    fold->events++;
    fold->bytes += event->event.data.size;
    return CAIRN_OK;
}

/* ---- one stream ----------------------------------------------------------------------------------- */

static cairn_err
read_stream(const struct folding *with, struct fold *fold, cairn_error *error)
{
    const cairn_read_options options = {.scope = with->scope, .from = fold->revision + 1};
    cairn_reader *reader;
    cairn_err err = cairn_read_stream(with->bus->store, with->stream, &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    cairn_recorded event;
    while (with->revision_max < 0 || fold->revision < with->revision_max) {
        err = cairn_reader_next(reader, &event, error);
        if (err == CAIRN_OK && with->revision_max >= 0 && event.revision > (uint64_t)with->revision_max)
            err = CAIRN_E_END;
        if (err == CAIRN_OK)
            err = fold_event(with, fold, &event, error);
        if (err != CAIRN_OK)
            break;
        fold->revision = (int64_t)event.revision;
    }
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static void
drop_state(const struct folding *with, struct fold *fold)
{
    if (fold->state != NULL)
        with->app->deciders[with->decider]->state_free(with->self, fold->state);
    *fold = (struct fold){.revision = -1};
}

/* The stream is looked at again afterwards: cut off meanwhile, and what was read is no state of it. */
static cairn_err
fold_stream(const struct folding *with, struct fold *fold, cairn_error *error)
{
    for (unsigned tries = 0; tries < 8; tries++) {
        cairn_stream_info info, after;
        cairn_err err = cairn_stream_info_get(with->bus->store, with->scope, with->stream, &info, error);
        if (err != CAIRN_OK)
            return err;
        if (fold->state != NULL && (info.retention.truncate_before != fold->truncated || fold->revision > info.last_revision))
            drop_state(with, fold);
        if (fold->state == NULL && begin_from_snapshot(with, info.retention.truncate_before, fold) != CAIRN_OK) {
            err = begin_state(with, fold, error);
            if (err != CAIRN_OK)
                return err;
        }
        fold->truncated = info.retention.truncate_before;
        if (fold->revision < info.last_revision)
            err = read_stream(with, fold, error);
        if (err == CAIRN_OK)
            err = cairn_stream_info_get(with->bus->store, with->scope, with->stream, &after, error);
        if (err != CAIRN_OK)
            return err;
        if (after.retention.truncate_before != info.retention.truncate_before)
            continue;
        if (with->revision_max < 0 && fold->revision < info.last_revision)
            fold->revision = info.last_revision; /* the newest are hidden */
        return CAIRN_OK;
    }
    return error_set(error, CAIRN_E_BUSY, "the stream is cut off again and again while it is read");
}

/* ---- over several streams --------------------------------------------------------------------------- */

static bool
has(const cairn_str *texts, size_t count, cairn_str text)
{
    for (size_t i = 0; i < count; i++)
        if (cairn_str_equal(texts[i], text))
            return true;
    return false;
}

bool
fold_matches(const cairn_query *query, const cairn_event *event)
{
    for (size_t i = 0; i < query->item_count; i++) {
        const cairn_query_item *item = &query->items[i];
        bool matches = item->type_count == 0 || has(item->types, item->type_count, event->type);
        for (size_t j = 0; matches && j < item->tag_count; j++)
            matches = has(event->tags, event->tag_count, item->tags[j]);
        if (matches)
            return true;
    }
    return query->item_count == 0;
}

static cairn_err
fold_query(const struct folding *with, struct fold *fold, cairn_error *error)
{
    cairn_err err = fold->state != NULL ? CAIRN_OK : begin_state(with, fold, error);
    if (err != CAIRN_OK || cairn_end(with->bus->store) <= fold->position)
        return err;
    const cairn_read_options options = {.scope = with->scope, .from = (int64_t)fold->position, .query = *with->query};
    cairn_reader *reader;
    err = cairn_read_all(with->bus->store, &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    cairn_recorded event;
    while ((err = cairn_reader_next(reader, &event, error)) == CAIRN_OK
           && (err = fold_event(with, fold, &event, error)) == CAIRN_OK)
        ;
    if (err == CAIRN_E_END) {
        fold->position = (uint64_t)cairn_reader_from(reader);
        err = CAIRN_OK;
    }
    cairn_reader_free(reader);
    return err;
}

cairn_err
fold_up(const struct folding *with, struct fold *fold, cairn_error *error)
{
    return with->query != NULL ? fold_query(with, fold, error) : fold_stream(with, fold, error);
}

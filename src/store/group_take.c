/* Handing out events: first what is due again, then what is replayed, then what is new.
 *
 * One thread at a time hands out (take_lock), because the log is read in order. An event becomes
 * pending before its callback runs, so that the callback may acknowledge it. A reader lives only
 * during a call: an idle group holds no part of the log. */
#include <base/error.h>

#include "group_int.h"

struct taking {
    struct group *group;
    size_t limit, taken;
    cairn_group_visit visit;
    void *context;
    cairn_error *error;
};

static int64_t
clock_of(const struct group *group)
{
    return os_monotonic_us(group->store->os);
}

static int64_t
deadline(const struct group *group, int64_t now_us)
{
    return now_us + (int64_t)group->state.config.ack_timeout_ms * 1000;
}

static bool
has_room(const struct group *group)
{
    return group->state.pending.count < group->state.config.outstanding_max;
}

/* ---- due again ---------------------------------------------------------------------------- */

struct redelivery {
    struct taking *taking;
    uint32_t deliveries;
};

static void
visit_again(void *context, const cairn_recorded *event)
{
    struct redelivery *redelivery = context;
    struct taking *taking = redelivery->taking;
    taking->taken++;
    taking->visit(taking->context, event, redelivery->deliveries);
}

/* It cannot be read now: not delivered, tried again in a while. */
static void
put_back(struct group *group, uint64_t position)
{
    pthread_mutex_lock(&group->lock);
    const struct pending_entry *at = pending_find(&group->state.pending, position);
    if (at) {
        struct pending_entry entry = *at;
        entry.deliveries--;
        entry.state = PENDING_BACK_OFF;
        entry.due_us = group_retry_due(&group->state.config, 1, clock_of(group));
        pending_update(&group->state.pending, &entry);
    }
    pthread_mutex_unlock(&group->lock);
}

static void
drop(struct group *group, uint64_t position)
{
    pthread_mutex_lock(&group->lock);
    if (pending_remove(&group->state.pending, position))
        group_mark_dirty(group);
    pthread_mutex_unlock(&group->lock);
}

/* The earliest that is due: 0 nothing, 1 to be handed out, 2 to be parked. */
static int
next_due(struct group *group, struct pending_entry *ret)
{
    int what = 0;
    pthread_mutex_lock(&group->lock);
    const struct pending_entry *first = pending_first(&group->state.pending);
    int64_t now_us = first ? clock_of(group) : 0;
    if (first && first->due_us <= now_us) {
        struct pending_entry entry = *first;
        if (entry.failed_us == 0 && entry.deliveries > 0)
            entry.failed_us = os_now_us(group->store->os);
        if (entry.deliveries >= group->state.config.retry_max) {
            entry.state = PENDING_PARKING;
            entry.due_us = INT64_MAX;
            what = 2;
        } else {
            entry.deliveries++;
            entry.state = PENDING_OUT;
            entry.due_us = deadline(group, now_us);
            what = 1;
        }
        pending_update(&group->state.pending, &entry);
        *ret = entry;
    }
    pthread_mutex_unlock(&group->lock);
    return what;
}

static cairn_err
take_due(struct taking *taking)
{
    struct group *group = taking->group;
    struct group_parked parked[GROUP_PARK_BATCH];
    size_t parked_count = 0;
    cairn_err err = CAIRN_OK;
    struct pending_entry entry;
    for (int what; err == CAIRN_OK && taking->taken < taking->limit &&
                   (what = next_due(group, &entry)) != 0;) {
        if (what == 2) {
            parked[parked_count++] =
                (struct group_parked){entry.position, entry.deliveries,
                                      CAIRN_STR("no acknowledgement before the deadline"), "deadline",
                                      entry.failed_us};
            if (parked_count == GROUP_PARK_BATCH)
                break;
            continue;
        }
        struct redelivery redelivery = {taking, entry.deliveries};
        err = group_read_event(group, entry.position, visit_again, &redelivery, taking->error);
        if (err == CAIRN_E_NOTFOUND) { /* retention has removed it: nothing is left to be done */
            drop(group, entry.position);
            err = CAIRN_OK;
        } else if (err != CAIRN_OK) {
            put_back(group, entry.position);
        }
    }
    if (parked_count > 0) {
        cairn_err park_err = group_park(group, parked, parked_count, taking->error);
        if (err == CAIRN_OK)
            err = park_err;
    }
    return err;
}

/* ---- replayed ----------------------------------------------------------------------------- */

/* Make an event pending. False when it is already, or there is no memory. */
static cairn_err
add_pending(struct group *group, uint64_t position, bool replayed)
{
    if (pending_find(&group->state.pending, position))
        return CAIRN_E_EXISTS;
    const struct pending_entry entry = {
        .position = position,
        .due_us = deadline(group, clock_of(group)),
        .deliveries = 1,
        .state = PENDING_OUT,
        .replayed = replayed,
    };
    return pending_add(&group->state.pending, &entry) ? CAIRN_OK : CAIRN_E_NOMEM;
}

/* One parked event: pending, then handed out, and the replay is past it. */
static cairn_err
replay_one(struct taking *taking, const cairn_recorded *event)
{
    struct group *group = taking->group;
    struct arena arena = {0};
    struct group_parked parked = {0};
    cairn_err err = group_parked_decode(event->event.data, &arena, &parked, taking->error);
    arena_free(&arena);
    if (err != CAIRN_OK)
        return err;
    pthread_mutex_lock(&group->lock);
    err = add_pending(group, parked.position, true);
    if (err != CAIRN_E_NOMEM) {
        group->state.replay_next = event->revision + 1;
        group_mark_dirty(group);
    }
    pthread_mutex_unlock(&group->lock);
    if (err != CAIRN_OK)
        return err == CAIRN_E_EXISTS ? CAIRN_OK : error_set(taking->error, err, "out of memory");
    struct redelivery redelivery = {taking, 1};
    err = group_read_event(group, parked.position, visit_again, &redelivery, taking->error);
    if (err == CAIRN_E_NOTFOUND) {
        drop(group, parked.position);
        err = CAIRN_OK;
    } else if (err != CAIRN_OK) {
        put_back(group, parked.position);
    }
    return err;
}

static bool
may_replay(struct taking *taking, uint64_t *ret_from)
{
    struct group *group = taking->group;
    pthread_mutex_lock(&group->lock);
    bool may = taking->taken < taking->limit && has_room(group) &&
               group->state.replay_next < group->state.replay_until;
    *ret_from = group->state.replay_next;
    pthread_mutex_unlock(&group->lock);
    return may;
}

static cairn_err
take_replayed(struct taking *taking)
{
    struct group *group = taking->group;
    uint64_t from;
    if (!may_replay(taking, &from))
        return CAIRN_OK;
    char memory[GROUP_STREAM_MAX];
    const cairn_read_options options = {.scope = group->scope, .from = (int64_t)from};
    cairn_reader *reader = NULL;
    cairn_err err = cairn_read_stream(group->store,
                                      group_stream(group, GROUP_PARKED_PREFIX, memory), &options,
                                      &reader, taking->error);
    while (err == CAIRN_OK && may_replay(taking, &from)) {
        cairn_recorded event;
        err = cairn_reader_next(reader, &event, taking->error);
        if (err == CAIRN_OK)
            err = replay_one(taking, &event);
    }
    cairn_reader_free(reader);
    if (err == CAIRN_E_END) { /* the rest of the parked stream is gone */
        pthread_mutex_lock(&group->lock);
        group->state.replay_next = group->state.replay_until;
        group_mark_dirty(group);
        pthread_mutex_unlock(&group->lock);
        err = CAIRN_OK;
    }
    return err;
}

/* ---- new ---------------------------------------------------------------------------------- */

/* The first revision of the stream at or after a position: positions rise with revisions. */
static cairn_err
find_revision(struct group *group, uint64_t position, int64_t *ret, cairn_error *error)
{
    cairn_stream_info info;
    cairn_str stream = group->state.config.stream;
    cairn_err err =
        group->store->ops->stream_info(group->store, group->scope, stream, &info, error);
    int64_t low = 0, high = err == CAIRN_OK ? info.last_revision + 1 : 0;
    if (position == 0)
        high = 0;
    while (err == CAIRN_OK && low < high) {
        int64_t middle = low + (high - low) / 2;
        const cairn_read_options options = {.scope = group->scope, .from = middle};
        cairn_reader *reader = NULL;
        cairn_recorded event;
        err = cairn_read_stream(group->store, stream, &options, &reader, error);
        if (err == CAIRN_OK)
            err = cairn_reader_next(reader, &event, error);
        if (err == CAIRN_E_END || (err == CAIRN_OK && event.position >= position)) {
            high = middle;
            err = CAIRN_OK;
        } else if (err == CAIRN_OK) {
            low = (int64_t)event.revision + 1;
        }
        cairn_reader_free(reader);
    }
    if (err == CAIRN_OK)
        *ret = low;
    return err;
}

static cairn_err
open_reader(struct group *group, cairn_reader **ret, cairn_error *error)
{
    const cairn_group_config *config = &group->state.config;
    cairn_read_options options = {.scope = group->scope, .from = (int64_t)group->state.next};
    if (config->stream.size == 0) {
        options.category = config->category;
        options.query = config->query;
        return cairn_read_all(group->store, &options, ret, error);
    }
    cairn_err err = CAIRN_OK;
    if (group->next_revision < 0) {
        int64_t revision = 0;
        err = find_revision(group, group->state.next, &revision, error);
        if (err != CAIRN_OK)
            return err;
        pthread_mutex_lock(&group->lock);
        group->next_revision = revision;
        pthread_mutex_unlock(&group->lock);
    }
    options.from = group->next_revision;
    return cairn_read_stream(group->store, config->stream, &options, ret, error);
}

static bool
may_take_new(struct taking *taking, uint64_t end)
{
    struct group *group = taking->group;
    pthread_mutex_lock(&group->lock);
    bool may = taking->taken < taking->limit && has_room(group) && group->caught_up != end;
    pthread_mutex_unlock(&group->lock);
    return may;
}

/* There was nothing more below `end`, which was noted before the reader looked. */
static void
catch_up(struct group *group, uint64_t end)
{
    pthread_mutex_lock(&group->lock);
    group->caught_up = end;
    if (group->state.next < end) {
        group->state.next = end;
        group->moved = true;
    }
    pthread_mutex_unlock(&group->lock);
}

static cairn_err
take_new(struct taking *taking)
{
    struct group *group = taking->group;
    uint64_t end = cairn_end(group->store);
    if (!may_take_new(taking, end))
        return CAIRN_OK;
    cairn_reader *reader = NULL;
    cairn_err err = open_reader(group, &reader, taking->error);
    while (err == CAIRN_OK && may_take_new(taking, end)) {
        cairn_recorded event;
        err = cairn_reader_next(reader, &event, taking->error);
        if (err != CAIRN_OK)
            break;
        pthread_mutex_lock(&group->lock);
        cairn_err added = add_pending(group, event.position, false);
        if (added != CAIRN_E_NOMEM) {
            group->state.next = event.position + 1;
            group->next_revision = (int64_t)event.revision + 1;
            group->moved = true;
        }
        pthread_mutex_unlock(&group->lock);
        if (added == CAIRN_E_NOMEM) {
            err = error_set(taking->error, added, "out of memory");
        } else if (added == CAIRN_OK) {
            taking->taken++;
            taking->visit(taking->context, &event, 1);
        }
    }
    cairn_reader_free(reader);
    if (err == CAIRN_E_END) {
        catch_up(group, end);
        err = CAIRN_OK;
    }
    return err;
}

/* ---- all of it ---------------------------------------------------------------------------- */

/* Without any I/O: may there be something to hand out? */
static cairn_err
look(struct group *group, cairn_error *error)
{
    uint64_t end = cairn_end(group->store);
    cairn_err err = CAIRN_E_END;
    pthread_mutex_lock(&group->lock);
    const struct pending_entry *first = pending_first(&group->state.pending);
    uint64_t parked = group->parked_end - group->state.replay_until;
    if (group->presence != GROUP_PRESENT)
        err = error_set(error, CAIRN_E_NOTFOUND, "the consumer group has been deleted");
    else if (parked >= GROUP_PARKED_MAX)
        err = error_set(error, CAIRN_E_LIMIT,
                        "the group has %llu parked events; the limit is %d: replay them or delete "
                        "the group",
                        (unsigned long long)parked, GROUP_PARKED_MAX);
    else if ((first && first->due_us <= clock_of(group)) ||
             (has_room(group) && (group->caught_up != end ||
                                  group->state.replay_next < group->state.replay_until)))
        err = CAIRN_OK;
    pthread_mutex_unlock(&group->lock);
    return err;
}

static cairn_err
take_locked(struct taking *taking, cairn_error *error)
{
    struct group *group = taking->group;
    cairn_error why = {0};
    taking->error = &why;
    cairn_err err = look(group, error); /* another taker may have been quicker */
    if (err != CAIRN_OK)
        return err;
    err = take_due(taking);
    if (err == CAIRN_OK)
        err = take_replayed(taking);
    if (err == CAIRN_OK)
        err = take_new(taking);
    pthread_mutex_lock(&group->lock);
    if (taking->taken > 0)
        group->last_activity_us = os_now_us(group->store->os);
    why.code = err;
    group->read_failure = why;
    bool dirty = group->dirty;
    pthread_mutex_unlock(&group->lock);
    if (dirty)
        groups_wake_keeper(group->groups);
    if (taking->taken > 0)
        return CAIRN_OK;
    if (err != CAIRN_OK && error)
        *error = why;
    return err != CAIRN_OK ? err : CAIRN_E_END;
}

cairn_err
cairn_group_take(cairn_store *store, cairn_scope scope, cairn_str name, size_t limit,
                 cairn_group_visit visit, void *context, cairn_error *error)
{
    if (visit == NULL || limit == 0)
        return error_set(error, CAIRN_E_INVALID, "%s", visit ? "limit is 0" : "visit is NULL");
    if (store != NULL && store->read_only)
        return error_set(error, CAIRN_E_READONLY,
                         "the store was opened read-only; a group could not keep what is done");
    struct group *group;
    cairn_err err = group_acquire(store, scope, name, &group, error);
    if (err != CAIRN_OK)
        return err;
    err = look(group, error);
    if (err == CAIRN_OK) {
        struct taking taking = {
            .group = group, .limit = limit, .visit = visit, .context = context};
        pthread_mutex_lock(&group->take_lock);
        err = take_locked(&taking, error);
        pthread_mutex_unlock(&group->take_lock);
    }
    group_release(group);
    return err;
}

/* The public calls of cairn/group.h, but for taking (group_take.c). How it works: group_int.h. */
#include "group.h"

#include <base/error.h>
#include <stdlib.h>

#include "group_int.h"

static cairn_err
check_writable(const cairn_store *store, cairn_error *error)
{
    if (store == NULL)
        return error_set(error, CAIRN_E_INVALID, "no store given");
    if (store->read_only)
        return error_set(error, CAIRN_E_READONLY,
                         "the store was opened read-only; a group could not keep what is done");
    return CAIRN_OK;
}

/* Who changes or deletes the group holds off takers and writers. */
static void
lock_whole(struct group *group)
{
    pthread_mutex_lock(&group->take_lock);
    pthread_mutex_lock(&group->write_lock);
}

static void
unlock_whole(struct group *group)
{
    pthread_mutex_unlock(&group->write_lock);
    pthread_mutex_unlock(&group->take_lock);
}

/* ---- put, delete -------------------------------------------------------------------------- */

/* The state must always fit one event, however many events are pending. */
static cairn_err
check_size(const cairn_store *store, const cairn_group_config *config, cairn_error *error)
{
    struct group_state empty = {.config = *config};
    struct buf text = {0};
    group_state_encode(&empty, &text);
    size_t size = text.size;
    bool failed = text.failed;
    buf_free(&text);
    if (failed)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (size > GROUP_CONFIG_BYTES_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the group's settings are %zu bytes; the limit is %d",
                         size, GROUP_CONFIG_BYTES_MAX);
    size_t most = size + 512 + (size_t)config->outstanding_max * GROUP_PENDING_BYTES_MAX;
    if (most > store->event_size_max)
        return error_set(error, CAIRN_E_LIMIT,
                         "with outstanding_max %u the group's state may take %zu bytes; an event "
                         "may have %u",
                         config->outstanding_max, most, store->event_size_max);
    return CAIRN_OK;
}

/* Where a new group begins. */
static cairn_err
begin(struct group *group, const cairn_group_config *config, struct group_state *ret,
      cairn_error *error)
{
    uint64_t end = cairn_end(group->store);
    if (config->from != CAIRN_FROM_END && (uint64_t)config->from > end)
        return error_set(error, CAIRN_E_INVALID,
                         "from is %lld; the log ends at %llu: for what comes from now on use "
                         "CAIRN_FROM_END",
                         (long long)config->from, (unsigned long long)end);
    ret->next = config->from == CAIRN_FROM_END ? end : (uint64_t)config->from;
    ret->replay_next = ret->replay_until = group->parked_end;
    return CAIRN_OK;
}

/* Put the new settings in place, write them, and go back to the old ones when that fails. */
static cairn_err
change(struct group *group, const cairn_group_config *config, cairn_error *error)
{
    struct group_state next = {0};
    cairn_err err = group_config_copy(config, &next.arena, &next.config, error);
    if (err == CAIRN_OK)
        err = check_size(group->store, &next.config, error);
    bool is_new = group->presence != GROUP_PRESENT;
    if (err == CAIRN_OK && is_new)
        err = begin(group, &next.config, &next, error);
    if (err != CAIRN_OK) {
        arena_free(&next.arena);
        return err;
    }
    pthread_mutex_lock(&group->lock);
    struct group_state old = group->state;
    group->state.arena = next.arena;
    group->state.config = next.config;
    if (is_new) {
        group->state.next = next.next;
        group->state.replay_next = next.replay_next;
        group->state.replay_until = next.replay_until;
    }
    group->next_revision = -1;
    group->caught_up = UINT64_MAX;
    pthread_mutex_unlock(&group->lock);
    err = group_write_state(group, error);
    pthread_mutex_lock(&group->lock);
    if (err == CAIRN_OK) {
        group->presence = GROUP_PRESENT;
    } else {
        group->state.arena = old.arena;
        group->state.config = old.config;
        old.arena = next.arena;
    }
    pthread_mutex_unlock(&group->lock);
    arena_free(&old.arena);
    return err;
}

cairn_err
cairn_group_put(cairn_store *store, cairn_scope scope, cairn_str name,
                const cairn_group_config *config, cairn_error *error)
{
    cairn_err err = check_writable(store, error);
    if (err == CAIRN_OK && config == NULL)
        err = error_set(error, CAIRN_E_INVALID, "config is NULL");
    if (err == CAIRN_OK)
        err = groups_load_all(store, scope, error); /* so that the limit counts them all */
    struct group *group;
    if (err == CAIRN_OK)
        err = group_acquire_any(store, scope, name, &group, error);
    if (err != CAIRN_OK)
        return err;
    lock_whole(group);
    err = change(group, config, error);
    unlock_whole(group);
    group_release(group);
    return err;
}

cairn_err
cairn_group_delete(cairn_store *store, cairn_scope scope, cairn_str name, cairn_error *error)
{
    cairn_err err = check_writable(store, error);
    struct group *group;
    if (err == CAIRN_OK)
        err = group_acquire(store, scope, name, &group, error);
    if (err != CAIRN_OK)
        return err;
    lock_whole(group);
    if (group->presence != GROUP_PRESENT)
        err = error_set(error, CAIRN_E_NOTFOUND, "the consumer group has been deleted");
    else
        err = group_erase(group, error);
    if (err == CAIRN_OK) {
        pthread_mutex_lock(&group->lock);
        group->presence = GROUP_ABSENT;
        group_state_free(&group->state);
        group->dirty = group->moved = false;
        group->acks_since = group->acked_total = 0;
        pthread_mutex_unlock(&group->lock);
    }
    unlock_whole(group);
    group_release(group);
    return err;
}

/* ---- acknowledge, refuse ------------------------------------------------------------------ */

static cairn_err
begin_answer(cairn_store *store, cairn_scope scope, cairn_str name, const uint64_t *positions,
             size_t count, struct group **ret, cairn_error *error)
{
    cairn_err err = check_writable(store, error);
    if (err == CAIRN_OK && count > 0 && positions == NULL)
        err = error_set(error, CAIRN_E_INVALID, "positions is NULL");
    return err == CAIRN_OK ? group_acquire(store, scope, name, ret, error) : err;
}

/* After something has changed: note it, and see to the checkpoint. */
static void
end_answer(struct group *group, bool changed)
{
    if (changed) {
        group_checkpoint(group, false);
        groups_wake_keeper(group->groups);
    }
    group_release(group);
}

cairn_err
cairn_group_ack(cairn_store *store, cairn_scope scope, cairn_str name, const uint64_t *positions,
                size_t count, size_t *ret_count, cairn_error *error)
{
    struct group *group;
    cairn_err err = begin_answer(store, scope, name, positions, count, &group, error);
    if (err != CAIRN_OK)
        return err;
    size_t done = 0;
    pthread_mutex_lock(&group->lock);
    for (size_t i = 0; i < count; i++)
        done += pending_remove(&group->state.pending, positions[i]);
    if (done > 0) {
        group_mark_dirty(group);
        group->acks_since += done;
        group->acked_total += done;
        group->last_activity_us = os_now_us(store->os);
    }
    pthread_mutex_unlock(&group->lock);
    if (ret_count)
        *ret_count = done;
    end_answer(group, done > 0);
    return CAIRN_OK;
}

/* One refused event: to be tried again, or (true) to be parked. */
static bool
refuse(struct group *group, const struct pending_entry *at, bool park, int64_t now_us)
{
    struct pending_entry entry = *at;
    bool give_up = park || entry.deliveries >= group->state.config.retry_max;
    if (entry.failed_us == 0)
        entry.failed_us = os_now_us(group->store->os);
    entry.state = give_up ? PENDING_PARKING : PENDING_BACK_OFF;
    entry.due_us =
        give_up ? INT64_MAX : group_retry_due(&group->state.config, entry.deliveries, now_us);
    pending_update(&group->state.pending, &entry);
    return give_up;
}

/* Up to GROUP_PARK_BATCH positions. */
static cairn_err
refuse_some(struct group *group, const uint64_t *positions, size_t count, bool park,
            cairn_str reason, size_t *ret_count, cairn_error *error)
{
    struct group_parked parked[GROUP_PARK_BATCH];
    size_t parked_count = 0;
    int64_t now_us = os_monotonic_us(group->store->os);
    pthread_mutex_lock(&group->lock);
    for (size_t i = 0; i < count; i++) {
        const struct pending_entry *at = pending_find(&group->state.pending, positions[i]);
        if (at == NULL || at->state == PENDING_PARKING)
            continue;
        ++*ret_count;
        struct group_parked one = {positions[i], at->deliveries, reason, "refused", at->failed_us};
        if (refuse(group, at, park, now_us))
            parked[parked_count++] = one;
    }
    if (*ret_count > 0) {
        group_mark_dirty(group);
        group->last_activity_us = os_now_us(group->store->os);
    }
    pthread_mutex_unlock(&group->lock);
    return parked_count ? group_park(group, parked, parked_count, error) : CAIRN_OK;
}

cairn_err
cairn_group_nack(cairn_store *store, cairn_scope scope, cairn_str name, const uint64_t *positions,
                 size_t count, bool park, cairn_str reason, size_t *ret_count, cairn_error *error)
{
    struct group *group;
    cairn_err err = begin_answer(store, scope, name, positions, count, &group, error);
    if (err != CAIRN_OK)
        return err;
    size_t refused = 0;
    for (size_t i = 0; i < count && err == CAIRN_OK; i += GROUP_PARK_BATCH) {
        size_t some = count - i < GROUP_PARK_BATCH ? count - i : GROUP_PARK_BATCH;
        err = refuse_some(group, positions + i, some, park, reason, &refused, error);
    }
    if (ret_count && err == CAIRN_OK)
        *ret_count = refused;
    end_answer(group, refused > 0);
    return err;
}

/* ---- parked events ------------------------------------------------------------------------ */

cairn_err
cairn_group_replay_parked(cairn_store *store, cairn_scope scope, cairn_str name, size_t *ret_count,
                          cairn_error *error)
{
    cairn_err err = check_writable(store, error);
    struct group *group;
    if (err == CAIRN_OK)
        err = group_acquire(store, scope, name, &group, error);
    if (err != CAIRN_OK)
        return err;
    pthread_mutex_lock(&group->write_lock);
    pthread_mutex_lock(&group->lock);
    uint64_t before = group->state.replay_until;
    uint64_t count = group->parked_end - before;
    group->state.replay_until = group->parked_end;
    pthread_mutex_unlock(&group->lock);
    if (count > 0)
        err = group_write_state(group, error);
    if (err != CAIRN_OK) {
        pthread_mutex_lock(&group->lock);
        group->state.replay_until = before;
        if (group->state.replay_next > before) /* a taker has begun: what it took is pending */
            group->state.replay_until = group->state.replay_next;
        pthread_mutex_unlock(&group->lock);
    }
    pthread_mutex_unlock(&group->write_lock);
    group_release(group);
    if (err == CAIRN_OK && ret_count)
        *ret_count = (size_t)count;
    return err;
}

struct parked_visit {
    cairn_group_parked_visit visit;
    void *context;
    struct group_parked parked;
};

static void
visit_parked(void *context, const cairn_recorded *event)
{
    struct parked_visit *to = context;
    to->visit(to->context, event, to->parked.deliveries, to->parked.reason);
}

/* The next one of the parked stream. */
static cairn_err
next_parked(struct group *group, cairn_reader *reader, struct arena *arena,
            struct parked_visit *to, cairn_error *error)
{
    cairn_recorded event;
    cairn_err err = cairn_reader_next(reader, &event, error);
    if (err == CAIRN_OK)
        err = group_parked_decode(event.event.data, arena, &to->parked, error);
    if (err != CAIRN_OK)
        return err;
    to->parked.reason = arena_copy(arena, to->parked.reason); /* it was the reader's */
    if (to->parked.reason.data == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    err = group_read_event(group, to->parked.position, visit_parked, to, error);
    return err == CAIRN_E_NOTFOUND ? CAIRN_OK : err; /* retention has removed it meanwhile */
}

cairn_err
cairn_group_parked(cairn_store *store, cairn_scope scope, cairn_str name, size_t limit,
                   cairn_group_parked_visit visit, void *context, cairn_error *error)
{
    if (visit == NULL)
        return error_set(error, CAIRN_E_INVALID, "visit is NULL");
    struct group *group;
    cairn_err err = group_acquire(store, scope, name, &group, error);
    if (err != CAIRN_OK)
        return err;
    pthread_mutex_lock(&group->lock);
    uint64_t from = group->state.replay_until;
    pthread_mutex_unlock(&group->lock);
    char memory[GROUP_STREAM_MAX];
    const cairn_read_options options = {.scope = scope, .from = (int64_t)from};
    struct parked_visit to = {.visit = visit, .context = context};
    struct arena arena = {0};
    cairn_reader *reader = NULL;
    err = cairn_read_stream(store, group_stream(group, GROUP_PARKED_PREFIX, memory), &options,
                            &reader, error);
    for (size_t i = 0; i < limit && err == CAIRN_OK; i++) {
        arena_reset(&arena);
        err = next_parked(group, reader, &arena, &to, error);
    }
    cairn_reader_free(reader);
    arena_free(&arena);
    group_release(group);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

/* ---- status ------------------------------------------------------------------------------- */

static cairn_group_state
state_of(const struct group *group, const cairn_group_status *status)
{
    if (status->parked >= GROUP_PARKED_MAX)
        return CAIRN_GROUP_STOPPED;
    if (status->failure.code != CAIRN_OK)
        return CAIRN_GROUP_FAILING;
    if (group->state.pending.count >= group->state.config.outstanding_max)
        return CAIRN_GROUP_FULL;
    return CAIRN_GROUP_RUNNING;
}

/* A copy, settings included: the group may change while the caller looks at it. */
static cairn_err
describe(struct group *group, struct arena *arena, cairn_group_status *ret, cairn_error *error)
{
    uint64_t end = cairn_end(group->store);
    pthread_mutex_lock(&group->lock);
    const struct group_state *state = &group->state;
    cairn_err err = CAIRN_E_NOTFOUND;
    if (group->presence == GROUP_PRESENT)
        err = group_config_copy(&state->config, arena, &ret->config, error);
    if (err == CAIRN_OK) {
        ret->name = group_name(group);
        ret->next = state->next;
        ret->checkpoint = pending_lowest(&state->pending, state->next);
        ret->end = end > state->next ? end : state->next;
        ret->retrying = state->pending.back_off_count;
        ret->outstanding = state->pending.count - ret->retrying;
        ret->parked = group->parked_end - state->replay_until;
        ret->replaying = state->replay_until - state->replay_next;
        ret->dead_letters = state->dead_letters;
        ret->dead_letter_topic = arena_copy(arena, (cairn_str){state->dead_topic, state->dead_topic_size});
        ret->acked_total = group->acked_total;
        ret->last_activity_us = group->last_activity_us;
        ret->failure = group->write_failure.code != CAIRN_OK ? group->write_failure
                                                             : group->read_failure;
        ret->state = state_of(group, ret);
    }
    pthread_mutex_unlock(&group->lock);
    return err;
}

static cairn_err
show(struct group *group, cairn_group_status_visit visit, void *context, cairn_error *error)
{
    struct arena arena = {0};
    cairn_group_status status = {0};
    cairn_err err = describe(group, &arena, &status, error);
    if (err == CAIRN_OK)
        visit(context, &status);
    arena_free(&arena);
    return err;
}

static cairn_err
show_all(cairn_store *store, cairn_scope scope, cairn_group_status_visit visit, void *context,
         cairn_error *error)
{
    struct group **groups;
    size_t count;
    cairn_err err = group_acquire_all(store, scope, &groups, &count, error);
    if (err != CAIRN_OK)
        return err;
    for (size_t i = 0; i < count; i++) {
        if (err == CAIRN_OK)
            err = show(groups[i], visit, context, error);
        if (err == CAIRN_E_NOTFOUND)
            err = CAIRN_OK; /* deleted meanwhile */
        group_release(groups[i]);
    }
    free(groups);
    return err;
}

cairn_err
cairn_group_status_get(cairn_store *store, cairn_scope scope, cairn_str name,
                       cairn_group_status_visit visit, void *context, cairn_error *error)
{
    if (visit == NULL)
        return error_set(error, CAIRN_E_INVALID, "visit is NULL");
    if (name.size == 0)
        return show_all(store, scope, visit, context, error);
    struct group *group;
    cairn_err err = group_acquire(store, scope, name, &group, error);
    if (err != CAIRN_OK)
        return err;
    err = show(group, visit, context, error);
    if (err == CAIRN_E_NOTFOUND)
        error_set(error, err, "the consumer group has been deleted");
    group_release(group);
    return err;
}

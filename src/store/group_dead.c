/* A consumer group's dead letters: made of what is given up, and handed out again. What they are: dead.h.
 *
 * A letter and the state that no longer waits for its event are one append (park_batch() in group_log.c), and so are a mark and the
 * state that waits for it again: a crash neither loses an event nor doubles it. Who sends back is alone by write_lock, so looking for the
 * mark and writing it cannot be divided. */
#include <base/error.h>
#include <stdlib.h>

#include "group_int.h"

cairn_err
group_letter_add(struct group *group, const struct group_parked *parked, struct group_letters *letters, enum group_letter *ret,
                 cairn_error *error)
{
    cairn_error why = {0};
    int64_t now_us = os_now_us(group->store->os);
    *ret = GROUP_LETTER_NONE;
    if (letters->count == GROUP_DEAD_BATCH)
        return CAIRN_OK;
    const struct dead_consumer consumer = {.kind = DEAD_SUBSCRIPTION, .name = group_name(group),
                                           .topic = group->state.config.dead_letter_topic};
    cairn_str reason = parked->reason;
    if (reason.size > GROUP_REASON_BYTES_MAX) { /* not within a character */
        reason.size = GROUP_REASON_BYTES_MAX;
        while (reason.size > 0 && ((unsigned char)reason.data[reason.size] & 0xC0) == 0x80)
            reason.size--;
    }
    const struct dead_failure failure = {.code = cairn_cstr(parked->code), .detail = reason, .attempts = parked->deliveries,
                                         .first_us = parked->failed_us > 0 ? parked->failed_us : now_us, .last_us = now_us};
    struct dead_letter *letter = &letters->letters[letters->count];
    cairn_err err = dead_letter_make(group->store, group->scope, &consumer, &failure, parked->position, false, &letters->arena,
                                     letter, &why);
    const size_t size = err == CAIRN_OK ? letter->event.data.size + letter->event.meta.size : 0;
    if (err == CAIRN_OK && letters->count > 0 && letters->bytes + size > DEAD_BYTES_MAX) {
        *ret = GROUP_LETTER_FULL;
    } else if (err == CAIRN_OK) {
        *ret = GROUP_LETTER_MADE;
        letters->bytes += size;
        letters->writes[letters->count++] = (cairn_write){letter->stream, CAIRN_ANY, &letter->event, 1};
    }
    return err != CAIRN_OK && dead_error_passes(err) ? error_set(error, err, "%s", why.detail) : CAIRN_OK;
}

void
group_letters_count(struct group *group, struct group_letters *letters)
{
    if (letters->count == 0)
        return;
    struct group_state *state = &group->state;
    cairn_str topic = letters->letters[letters->count - 1].topic;
    memcpy(letters->topic_before, state->dead_topic, state->dead_topic_size);
    letters->topic_before_size = state->dead_topic_size;
    memcpy(state->dead_topic, topic.data, topic.size);
    state->dead_topic_size = topic.size;
    state->dead_letters += letters->count;
}

void
group_letters_uncount(struct group *group, const struct group_letters *letters)
{
    if (letters->count == 0)
        return;
    pthread_mutex_lock(&group->lock);
    group->state.dead_letters -= letters->count;
    memcpy(group->state.dead_topic, letters->topic_before, letters->topic_before_size);
    group->state.dead_topic_size = letters->topic_before_size;
    pthread_mutex_unlock(&group->lock);
}

void
group_letters_free(struct group_letters *letters)
{
    arena_free(&letters->arena);
}

/* ---- sent back ------------------------------------------------------------------------------------------------------------------- */

struct returning {
    struct group *group;
    struct dead_return *returns[GROUP_DEAD_BATCH]; /* those of this append */
    struct dead_mark *marks;                       /* beside them */
    bool added[GROUP_DEAD_BATCH];                  /* false: somebody has the event in hand already */
    size_t count;
};

/* lock held: pending, and not due before it is durable. */
static cairn_err
begin_return(struct returning *returning, struct dead_return *one)
{
    struct group *group = returning->group;
    struct group_state *state = &group->state;
    bool there = pending_find(&state->pending, one->position) != NULL;
    const struct pending_entry entry = {.position = one->position, .due_us = INT64_MAX, .state = PENDING_BACK_OFF, .replayed = true};
    if (!there && state->pending.count >= state->config.outstanding_max) {
        one->result = DEAD_NO_ROOM;
        return CAIRN_OK;
    }
    if (!there && !pending_add(&state->pending, &entry))
        return CAIRN_E_NOMEM;
    returning->added[returning->count] = !there;
    returning->returns[returning->count++] = one;
    return CAIRN_OK;
}

/* They are due now, or (the append failed) not pending any more. */
static void
end_return(struct returning *returning, bool done)
{
    struct group *group = returning->group;
    pthread_mutex_lock(&group->lock);
    for (size_t i = 0; i < returning->count; i++) {
        const struct pending_entry *at = pending_find(&group->state.pending, returning->returns[i]->position);
        if (!returning->added[i] || at == NULL || at->due_us != INT64_MAX)
            continue;
        struct pending_entry entry = *at;
        entry.due_us = 0;
        if (done)
            pending_update(&group->state.pending, &entry);
        else
            pending_remove(&group->state.pending, entry.position);
    }
    pthread_mutex_unlock(&group->lock);
}

/* write_lock held. */
static cairn_err
return_some(struct returning *returning, cairn_str topic, struct dead_return *returns, size_t count, cairn_error *error)
{
    struct group *group = returning->group;
    struct buf state = {0};
    cairn_write writes[GROUP_DEAD_BATCH];
    cairn_err err = CAIRN_OK;
    returning->count = 0;
    for (size_t i = 0; i < count && err == CAIRN_OK; i++) {
        bool marked;
        err = dead_mark_find(group->store, group->scope, returns[i].letter, &marked, error);
        if (err != CAIRN_OK)
            break;
        returns[i].result = marked ? DEAD_BEFORE : DEAD_RETURNED;
        if (marked)
            continue;
        pthread_mutex_lock(&group->lock);
        err = begin_return(returning, &returns[i]);
        pthread_mutex_unlock(&group->lock);
        if (err != CAIRN_OK)
            error_set(error, err, "out of memory");
    }
    for (size_t i = 0; i < returning->count; i++) {
        dead_mark_make(&returning->marks[i], topic, returning->returns[i]->letter);
        writes[i] = returning->marks[i].write;
    }
    if (err == CAIRN_OK && returning->count > 0) {
        struct group_beside beside = {.writes = writes, .write_count = returning->count};
        pthread_mutex_lock(&group->lock);
        group_encode_state(group, &state);
        uint64_t replayed = group_replayed_before(group);
        pthread_mutex_unlock(&group->lock);
        err = group_append_state(group, &state, &beside, replayed, error);
    }
    end_return(returning, err == CAIRN_OK);
    buf_free(&state);
    return err;
}

/* What a dry run says: nothing is changed. */
static cairn_err
look_only(struct group *group, struct dead_return *returns, size_t count, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; i < count && err == CAIRN_OK; i++) {
        bool marked = false;
        err = dead_mark_find(group->store, group->scope, returns[i].letter, &marked, error);
        returns[i].result = marked ? DEAD_BEFORE : DEAD_RETURNED;
    }
    return err;
}

cairn_err
group_return_dead(cairn_store *store, cairn_scope scope, cairn_str name, cairn_str topic, struct dead_return *returns, size_t count,
                  bool dry_run, cairn_error *error)
{
    struct group *group;
    if (!dry_run && store->read_only)
        return error_set(error, CAIRN_E_READONLY, "the store was opened read-only");
    cairn_err err = group_acquire(store, scope, name, &group, error);
    if (err != CAIRN_OK)
        return err;
    struct returning returning = {.group = group, .marks = calloc(GROUP_DEAD_BATCH, sizeof *returning.marks)};
    if (returning.marks == NULL)
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    else if (dry_run)
        err = look_only(group, returns, count, error);
    for (size_t i = 0; !dry_run && i < count && err == CAIRN_OK; i += GROUP_DEAD_BATCH) {
        pthread_mutex_lock(&group->write_lock);
        err = return_some(&returning, topic, returns + i, count - i < GROUP_DEAD_BATCH ? count - i : GROUP_DEAD_BATCH, error);
        pthread_mutex_unlock(&group->write_lock);
    }
    free(returning.marks);
    group_release(group);
    return err;
}

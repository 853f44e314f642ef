/* A consumer group's events: load the newest state, write checkpoints, park.
 *
 * A checkpoint is encoded under `lock` and appended outside it, so acknowledging goes on meanwhile;
 * what comes in between makes the group dirty again. Streams are written under write_lock only, so
 * the newest event is the newest state. */
#include "group_int.h"

#include <base/error.h>

#define STATE_TYPE "$group-state"
#define PARKED_TYPE "$group-parked"
#define JSON_TYPE "application/json"
#define STATES_KEPT 8

cairn_str
group_stream(const struct group *group, const char *prefix, char to[GROUP_STREAM_MAX])
{
    size_t size = strlen(prefix);
    memcpy(to, prefix, size);
    memcpy(to + size, group->name, group->name_size);
    return (cairn_str){to, size + group->name_size};
}

/* ---- load --------------------------------------------------------------------------------- */

static cairn_err
read_newest(struct group *group, struct group_state *ret, cairn_error *error)
{
    char memory[GROUP_STREAM_MAX];
    const cairn_read_options newest = {
        .scope = group->scope, .from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD};
    cairn_reader *reader = NULL;
    cairn_err err = cairn_read_stream(group->store, group_stream(group, GROUP_STATE_PREFIX, memory),
                                      &newest, &reader, error);
    cairn_recorded event;
    if (err == CAIRN_OK)
        err = cairn_reader_next(reader, &event, error);
    if (err == CAIRN_OK)
        err = group_state_decode(event.event.data, ret, error);
    cairn_reader_free(reader);
    return err;
}

cairn_err
group_load(struct group *group, cairn_error *error)
{
    const struct store_ops *ops = group->store->ops;
    char memory[GROUP_STREAM_MAX];
    struct group_state state = {0};
    cairn_stream_info own, parked;
    cairn_err err = ops->stream_info(group->store, group->scope,
                                     group_stream(group, GROUP_STATE_PREFIX, memory), &own, error);
    if (err == CAIRN_OK)
        err = ops->stream_info(group->store, group->scope,
                               group_stream(group, GROUP_PARKED_PREFIX, memory), &parked, error);
    if (err == CAIRN_OK)
        err = read_newest(group, &state, error);
    if (err != CAIRN_OK && err != CAIRN_E_END)
        return err;
    group->retention_set = own.retention.max_count == STATES_KEPT;
    group->parked_cut = parked.retention.truncate_before;
    pthread_mutex_lock(&group->lock);
    group->presence = err == CAIRN_OK ? GROUP_PRESENT : GROUP_ABSENT;
    group->parked_end = (uint64_t)(parked.last_revision + 1);
    group->state = state;
    group->next_revision = -1;
    group->caught_up = UINT64_MAX;
    pthread_mutex_unlock(&group->lock);
    return CAIRN_OK;
}

/* ---- checkpoint --------------------------------------------------------------------------- */

/* The state's event; what it will say is taken off the group's list of things to write. */
void
group_encode_state(struct group *group, struct buf *to)
{
    group_state_encode(&group->state, to);
    group->dirty = false;
    group->moved = false;
    group->acks_since = 0;
    group->tried_us = os_monotonic_us(group->store->os);
}

static cairn_event
json_event(cairn_str type, const struct buf *data)
{
    return (cairn_event){.type = type, .content_type = CAIRN_STR(JSON_TYPE), .data = buf_str(data)};
}

/* Retention follows the state: it may lag behind after a crash, and is then set by a later write.
 * Its failure costs only space, so it is not the caller's. */
static void
follow_with_retention(struct group *group, uint64_t replayed)
{
    const struct store_ops *ops = group->store->ops;
    char memory[GROUP_STREAM_MAX];
    if (!group->retention_set) {
        const cairn_retention newest = {.max_count = STATES_KEPT};
        cairn_str stream = group_stream(group, GROUP_STATE_PREFIX, memory);
        group->retention_set =
            ops->retention_set(group->store, group->scope, stream, &newest, NULL) == CAIRN_OK;
    }
    if (replayed > group->parked_cut) {
        const cairn_retention cut = {.truncate_before = replayed};
        cairn_str stream = group_stream(group, GROUP_PARKED_PREFIX, memory);
        if (ops->retention_set(group->store, group->scope, stream, &cut, NULL) == CAIRN_OK)
            group->parked_cut = replayed;
    }
}

/* Append the encoded state, and with it what comes of those that were given up, or marks. */
cairn_err
group_append_state(struct group *group, const struct buf *state, struct group_beside *beside,
                   uint64_t replayed, cairn_error *error)
{
    static struct group_beside nothing;
    char state_name[GROUP_STREAM_MAX], parked_name[GROUP_STREAM_MAX];
    const cairn_event event = json_event(CAIRN_STR(STATE_TYPE), state);
    struct group_beside *with = beside ? beside : &nothing;
    cairn_write writes[2 + GROUP_PARK_BATCH];
    size_t count = 0;
    writes[count++] =
        (cairn_write){group_stream(group, GROUP_STATE_PREFIX, state_name), CAIRN_ANY, &event, 1};
    for (size_t i = 0; i < with->write_count; i++)
        writes[count++] = with->writes[i];
    if (with->parked_count > 0) /* the last one: its revision is what is told */
        writes[count++] = (cairn_write){group_stream(group, GROUP_PARKED_PREFIX, parked_name),
                                        CAIRN_ANY, with->parked, with->parked_count};
    cairn_error why = {0};
    cairn_at at;
    cairn_err err = state->failed ? error_set(&why, CAIRN_E_NOMEM, "out of memory")
                                  : store_append_system(group->store, group->scope, writes, count,
                                                        &at, &why);
    if (err != CAIRN_OK) {
        why.code = err;
        pthread_mutex_lock(&group->lock);
        group->dirty = true;
        group->write_failure = why;
        pthread_mutex_unlock(&group->lock);
        if (error)
            *error = why;
        return err;
    }
    pthread_mutex_lock(&group->lock);
    group->write_failure.code = CAIRN_OK;
    if (with->parked_count > 0)
        group->parked_end = at.revision + 1;
    pthread_mutex_unlock(&group->lock);
    follow_with_retention(group, replayed);
    return CAIRN_OK;
}

/* Parked events below this revision have all been handed out again, as the state now says. */
uint64_t
group_replayed_before(const struct group *group)
{
    return group->state.replay_next == group->state.replay_until ? group->state.replay_until : 0;
}

cairn_err
group_write_state(struct group *group, cairn_error *error)
{
    struct buf state = {0};
    pthread_mutex_lock(&group->lock);
    group_encode_state(group, &state);
    uint64_t replayed = group_replayed_before(group);
    pthread_mutex_unlock(&group->lock);
    cairn_err err = group_append_state(group, &state, NULL, replayed, error);
    buf_free(&state);
    return err;
}

static bool
is_due(struct group *group, bool always)
{
    pthread_mutex_lock(&group->lock);
    int64_t since_us = os_monotonic_us(group->store->os) - group->tried_us;
    uint64_t acks_max = group->state.pending.count;
    if (acks_max < GROUP_CHECKPOINT_ACKS)
        acks_max = GROUP_CHECKPOINT_ACKS; /* a long state is written less often */
    bool due = group->presence == GROUP_PRESENT &&
               (group->acks_since >= acks_max ||
                (group->dirty && since_us >= GROUP_CHECKPOINT_US) ||
                (always && (group->dirty || group->moved)));
    pthread_mutex_unlock(&group->lock);
    return due;
}

void
group_checkpoint(struct group *group, bool always)
{
    if (group->store->read_only || !is_due(group, always) ||
        pthread_mutex_trylock(&group->write_lock) != 0)
        return;
    cairn_err err = CAIRN_OK;
    if (is_due(group, always))
        err = group_write_state(group, NULL);
    pthread_mutex_unlock(&group->write_lock);
    (void)err; /* kept in the group; the next one tries again */
}

/* ---- parking ------------------------------------------------------------------------------ */

/* Those that are still to be parked (an acknowledgement may have come first): they leave. */
static size_t
begin_leaving(struct group *group, const struct group_parked *parked, size_t count,
              const struct group_parked **leaving)
{
    size_t leaving_count = 0;
    if (group->presence != GROUP_PRESENT)
        return 0;
    for (size_t i = 0; i < count; i++) {
        const struct pending_entry *at = pending_find(&group->state.pending, parked[i].position);
        if (at == NULL || at->state != PENDING_PARKING || at->leaving)
            continue;
        struct pending_entry entry = *at;
        entry.leaving = true;
        pending_update(&group->state.pending, &entry);
        leaving[leaving_count++] = &parked[i];
    }
    return leaving_count;
}

struct batch {
    cairn_event events[GROUP_PARK_BATCH];
    size_t ends[GROUP_PARK_BATCH]; /* of each event's data in `bytes` */
    struct buf bytes;
    struct group_letters letters;
    struct group_beside beside;
};

/* Each is a dead letter, or a parked event; as many of them as one append takes, then *count is less.
 * write_lock held. */
static cairn_err
make_up(struct group *group, const struct group_parked *const *leaving, size_t *count,
        struct batch *batch, cairn_error *error)
{
    struct group_beside *beside = &batch->beside;
    for (size_t i = 0; i < *count; i++) {
        enum group_letter letter = GROUP_LETTER_NONE;
        if (group->state.config.dead_letter) {
            cairn_err err = group_letter_add(group, leaving[i], &batch->letters, &letter, error);
            if (err != CAIRN_OK)
                return err;
        }
        if (letter == GROUP_LETTER_FULL)
            *count = i;
        if (letter != GROUP_LETTER_NONE)
            continue;
        group_parked_encode(leaving[i], &batch->bytes);
        batch->ends[beside->parked_count++] = batch->bytes.size;
    }
    for (size_t i = 0, begin = 0; i < beside->parked_count; begin = batch->ends[i++])
        batch->events[i] = (cairn_event){
            .type = CAIRN_STR(PARKED_TYPE),
            .content_type = CAIRN_STR(JSON_TYPE),
            .data = {batch->bytes.data + begin, batch->ends[i] - begin},
        };
    beside->parked = batch->events;
    beside->writes = batch->letters.writes;
    beside->write_count = batch->letters.count;
    return batch->bytes.failed ? error_set(error, CAIRN_E_NOMEM, "out of memory") : CAIRN_OK;
}

static void
settle(struct group *group, const struct group_parked *parked, size_t count, bool done)
{
    int64_t now_us = os_monotonic_us(group->store->os);
    pthread_mutex_lock(&group->lock);
    for (size_t i = 0; i < count; i++) {
        const struct pending_entry *at = pending_find(&group->state.pending, parked[i].position);
        if (at == NULL || !at->leaving)
            continue;
        if (done) {
            pending_remove(&group->state.pending, parked[i].position);
            continue;
        }
        struct pending_entry entry = *at;
        entry.leaving = false;
        entry.state = PENDING_BACK_OFF;
        entry.due_us = group_retry_due(&group->state.config, entry.deliveries, now_us);
        pending_update(&group->state.pending, &entry);
    }
    pthread_mutex_unlock(&group->lock);
}

/* They are only PARKING again: the next batch has them. */
static void
stay(struct group *group, const struct group_parked *const *staying, size_t count)
{
    pthread_mutex_lock(&group->lock);
    for (size_t i = 0; i < count; i++) {
        const struct pending_entry *at = pending_find(&group->state.pending, staying[i]->position);
        if (at == NULL || !at->leaving)
            continue;
        struct pending_entry entry = *at;
        entry.leaving = false;
        pending_update(&group->state.pending, &entry);
    }
    pthread_mutex_unlock(&group->lock);
}

/* *count: how many of them were dealt with, at least one. */
static cairn_err
park_batch(struct group *group, const struct group_parked *parked, size_t *count,
           cairn_error *error)
{
    struct buf state = {0};
    struct batch batch = {.bytes = {0}};
    const struct group_parked *leaving[GROUP_PARK_BATCH];
    pthread_mutex_lock(&group->write_lock);
    pthread_mutex_lock(&group->lock);
    size_t leaving_count = begin_leaving(group, parked, *count, leaving);
    pthread_mutex_unlock(&group->lock);
    cairn_err err = CAIRN_OK;
    if (leaving_count > 0) {
        size_t fit = leaving_count;
        err = make_up(group, leaving, &fit, &batch, error);
        if (fit < leaving_count) {
            stay(group, leaving + fit, leaving_count - fit);
            *count = (size_t)(leaving[fit] - parked);
        }
        if (err == CAIRN_OK) {
            pthread_mutex_lock(&group->lock);
            group_letters_count(group, &batch.letters);
            group_encode_state(group, &state);
            uint64_t replayed = group_replayed_before(group);
            pthread_mutex_unlock(&group->lock);
            err = group_append_state(group, &state, &batch.beside, replayed, error);
            if (err != CAIRN_OK)
                group_letters_uncount(group, &batch.letters);
        }
        settle(group, parked, *count, err == CAIRN_OK);
    }
    pthread_mutex_unlock(&group->write_lock);
    group_letters_free(&batch.letters);
    buf_free(&batch.bytes);
    buf_free(&state);
    return err;
}

cairn_err
group_park(struct group *group, const struct group_parked *parked, size_t count,
           cairn_error *error)
{
    size_t batch_max = group->store->append_events_max - 1; /* one is the state */
    pthread_mutex_lock(&group->lock);
    size_t most = group->state.config.dead_letter ? GROUP_DEAD_BATCH : GROUP_PARK_BATCH;
    pthread_mutex_unlock(&group->lock);
    if (batch_max > most)
        batch_max = most;
    if (batch_max == 0)
        batch_max = 1;
    cairn_err first = CAIRN_OK;
    for (size_t i = 0, size; i < count; i += size) {
        size = count - i < batch_max ? count - i : batch_max;
        cairn_err err = park_batch(group, parked + i, &size, first == CAIRN_OK ? error : NULL);
        if (first == CAIRN_OK)
            first = err;
    }
    return first;
}

/* ---- erasing, reading --------------------------------------------------------------------- */

/* The state first: without it parked events belong to nobody, and a new group of the same name
 * begins after them. So when the second step fails only space is lost. */
cairn_err
group_erase(struct group *group, cairn_error *error)
{
    const struct store_ops *ops = group->store->ops;
    char memory[GROUP_STREAM_MAX];
    cairn_err err = ops->delete(group->store, group->scope,
                                group_stream(group, GROUP_STATE_PREFIX, memory), CAIRN_ANY, false,
                                error);
    if (err != CAIRN_OK)
        return err;
    group->retention_set = false;
    cairn_err ignored = ops->delete(group->store, group->scope,
                                    group_stream(group, GROUP_PARKED_PREFIX, memory), CAIRN_ANY,
                                    false, NULL);
    (void)ignored;
    return CAIRN_OK;
}

cairn_err
group_read_event(struct group *group, uint64_t position, group_event_visit visit, void *context,
                 cairn_error *error)
{
    const cairn_read_options options = {
        .scope = group->scope, .from = (int64_t)position, .end = position + 1, .system = true};
    cairn_reader *reader = NULL;
    cairn_err err = cairn_read_all(group->store, &options, &reader, error);
    cairn_recorded event;
    if (err == CAIRN_OK)
        err = cairn_reader_next(reader, &event, error);
    if (err == CAIRN_E_END)
        err = CAIRN_E_NOTFOUND;
    if (err == CAIRN_OK)
        visit(context, &event);
    cairn_reader_free(reader);
    return err;
}

/* Appending: encode, then sequence under the lock, then wait for the disk.
 *
 *   prepare   without the lock: check limits, encode records, hash series keys
 *   sequence  under the lock: conditions, revisions, position; copy into the open batch; index
 *   commit    commit.c
 *
 * Sequencing never reads the disk. When it lacks a fact (a head that is not in memory, a condition that
 * needs a look at the index, room in the index) it says what it needs; the caller's thread gets it
 * without the lock and tries again, a bounded number of times. */
#include "attempt.h"
#include <os/wait.h>

#define PREFETCH_AHEAD 8 /* keys: enough to hide the way to memory */

/* ---- sequencing -------------------------------------------------------------------------------- */

/* Where every stream and partition of the append goes on. */
static bool
know_heads(struct log *log, struct attempt *attempt)
{
    struct scratch *scratch = attempt->scratch;
    for (size_t i = 0; i < scratch->head_count; i++) {
        struct prepared_head *prepared = &scratch->heads[i];
        struct series_head head;
        if (i + PREFETCH_AHEAD < scratch->head_count)
            cairn_series_prefetch(log->series, scratch->heads[i + PREFETCH_AHEAD].key);
        switch (cairn_series_known(log->series, prepared->key, &head)) {
        case SERIES_PRESENT:
            prepared->next = head.ordinal + 1;
            break;
        case SERIES_ABSENT:
            prepared->next = prepared->first;
            break;
        default:
            attempt->need = NEED_HEAD;
            attempt->head = prepared->key;
            return false;
        }
    }
    return true;
}

static const char *
expected_text(int64_t expected, char to[32])
{
    snprintf(to, 32, "revision %lld", (long long)expected);
    return expected == CAIRN_NONE ? "no events" : expected == CAIRN_EXISTS ? "events" : to;
}

/* Do all streams stand where they are expected? Sets each write's first revision. */
static cairn_err
check_expected(struct log *log, struct attempt *attempt, cairn_error *error)
{
    struct scratch *scratch = attempt->scratch;
    if (!know_heads(log, attempt))
        return CAIRN_OK;
    for (size_t i = 0; i < scratch->write_count; i++) {
        struct prepared_write *write = &scratch->writes[i];
        /* Earlier writes of the same append to the same stream count. */
        int64_t last = (int64_t)scratch->heads[write->head].next - 1;
        struct retention retention;
        bool limited = retention_sequenced(log, write->entries[0].key, write->stream, &retention);
        if (limited && retention.tombstoned)
            return error_set(error, CAIRN_E_GONE, "the stream %.*s was deleted for good",
                             (int)(write->stream.size > 100 ? 100 : write->stream.size),
                             write->stream.data);
        bool empty = last < 0 || (limited && retention.limits.truncate_before > (uint64_t)last);
        bool holds = write->expected == CAIRN_ANY || (write->expected == CAIRN_NONE && empty)
                     || (write->expected == CAIRN_EXISTS && !empty)
                     || (write->expected >= 0 && write->expected == last);
        if (!holds) {
            char actual[40], text[32];
            snprintf(actual, sizeof actual, last < 0 ? "has no events" : "is at revision %lld",
                     (long long)last);
            (void)error_set(error, CAIRN_E_CONFLICT, "the stream %.*s %s; expected: %s",
                            (int)(write->stream.size > 100 ? 100 : write->stream.size),
                            write->stream.data, actual, expected_text(write->expected, text));
            if (error != NULL)
                error->revision = last;
            attempt->conflict_at = i;
            return CAIRN_E_CONFLICT;
        }
        write->revision = (uint64_t)(last + 1);
        scratch->heads[write->head].next += write->event_count;
    }
    return CAIRN_OK;
}

static cairn_err
condition_failed(size_t index, uint64_t position, cairn_error *error)
{
    (void)error_set(error, CAIRN_E_CONDITION,
                    "conditions[%zu] does not hold: the event at position %llu matches it", index,
                    (unsigned long long)position);
    if (error != NULL)
        error->position = position;
    return CAIRN_E_CONDITION;
}

/* More positions than this are not searched under the lock while some of them are durable. */
#define LOOK_MAX 65536

/* Do all conditions hold, as far as memory can tell? Otherwise what is needed to tell: a head, or a look at
 * what is durable, so that only what is in flight is left to be looked at here. */
static cairn_err
check_conditions(struct log *log, struct attempt *attempt, cairn_error *error)
{
    const cairn_append_request *request = attempt->request;
    for (size_t i = 0; i < request->condition_count; i++) {
        const cairn_condition *condition = &request->conditions[i];
        uint64_t low = condition->after < 0 ? 0 : (uint64_t)condition->after + 1;
        if (low < attempt->checked_end)
            low = attempt->checked_end;
        switch (query_ask_heads(log, request->scope, &condition->query, low, &attempt->head)) {
        case HEAD_NONE:
            break;
        case HEAD_UNKNOWN:
            attempt->need = NEED_HEAD;
            return CAIRN_OK;
        case HEAD_MAYBE: {
            bool everything = condition->query.item_count == 0; /* no series of it: records are read */
            if (everything || cairn_series_flushed_end(log->series) > low
                || (log->next_position - low > LOOK_MAX && atomic_load(&log->durable) > low)) {
                attempt->need = NEED_QUERY;
                attempt->durable_first = everything ? log->next_position : 0;
                return CAIRN_OK;
            }
            uint64_t found;
            cairn_err err = log_first_match(log, request->scope, &condition->query, low,
                                            log->next_position, &found, error);
            if (err == CAIRN_OK && found < atomic_load(&log->durable)
                && atomic_load(&log->removed) > 0) {
                attempt->need = NEED_QUERY; /* the record tells whether it has been removed */
                attempt->durable_first = 0;
                return CAIRN_OK;
            }
            if (err == CAIRN_OK)
                return condition_failed(i, found, error);
            if (err != CAIRN_E_END)
                return err;
        }
        }
    }
    return CAIRN_OK;
}

/* ---- placing --------------------------------------------------------------------------------- */

static void
insert_range(struct log *log, struct hash128 key, uint64_t first_ordinal, uint32_t step, uint64_t position,
             uint32_t count)
{
    if (count == 1)
        cairn_series_insert(log->series, key, first_ordinal, position);
    else
        cairn_series_insert_range(log->series, key, first_ordinal, step, position, count);
}

/* Into the index: the streams of a batch's records, and their revisions into the record. */
static void
place_streams(struct log *log, struct scratch *scratch, const struct prepared_batch *batch, uint8_t *revisions,
              uint64_t position)
{
    const struct prepared_run *runs = scratch->runs + batch->first_run;
    for (size_t i = 0; i < batch->run_count; i++) {
        if (i + PREFETCH_AHEAD < batch->run_count)
            cairn_series_prefetch(log->series, scratch->heads[runs[i + PREFETCH_AHEAD].head].key);
        struct prepared_head *head = &scratch->heads[runs[i].head];
        if (batch->run_count == 1)
            store64(revisions, head->next);
        else
            for (uint32_t j = 0; j < runs[i].count; j++, revisions += 8)
                store64(revisions, head->next + j);
        if (head->next == 0) {
            cairn_series_insert(log->series, batch->directory, 0, position);
            cairn_series_insert(log->series, batch->category_directory, 0, position);
        }
        insert_range(log, head->key, head->next, 1, position, runs[i].count);
        head->next += runs[i].count;
        position += runs[i].count;
    }
}

/* Returns the crc of the record's head. */
static uint32_t
place_batch(struct log *log, struct scratch *scratch, struct prepared_batch *batch, uint8_t *record, uint64_t position,
            int64_t now_us)
{
    struct prepared_head *partition = &scratch->heads[batch->head];
    batch->offset = partition->next;
    partition->next += batch->count;
    place_streams(log, scratch, batch, batch_record_revisions(record), position);
    insert_range(log, partition->key, batch->offset, 1, position, batch->count);
    insert_range(log, batch->topic->category_key, 0, 0, position, batch->count);
    const struct prepared_span *spans = scratch->spans + batch->first_span;
    for (size_t i = 0; i < batch->span_count; i++)
        insert_range(log, spans[i].key, 0, 0, position + spans[i].first, spans[i].count);
    return batch_record_place(record, log->active->seed, position, batch->offset, now_us);
}

/* Everything holds: give positions and revisions, copy into the batch, enter into the index. This is the
 * fast path's serial part: per event a copy, 40 bytes of checksum and the index entries. */
static cairn_err
place(struct log *log, struct attempt *attempt, size_t frame_size, cairn_error *error)
{
    struct scratch *scratch = attempt->scratch;
    uint8_t *frame = batch_reserve(log, frame_size);
    if (frame == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the append");
    int64_t now_us = os_now_us(log->os);
    if (now_us < log->last_time_us)
        now_us = log->last_time_us;
    log->last_time_us = now_us;

    struct segment *segment = log->active;
    uint64_t position = log->next_position, first = position;
    uint64_t index = position - segment->first_position;
    uint32_t records_crc = 0;
    if (scratch->events_size > 0)
        memcpy(frame + FRAME_HEADER_SIZE, scratch->records.data, scratch->events_size);
    for (size_t i = 0; i < scratch->write_count; i++) {
        struct prepared_write *write = &scratch->writes[i];
        uint64_t revision = write->revision;
        struct prepared_head *partition = write->partition == NO_HEAD ? NULL : &scratch->heads[write->partition];
        for (size_t j = 0; j < write->event_count; j++, position++, index++, revision++) {
            const struct prepared_event *event = &scratch->events[write->first_event + j];
            uint8_t *record = frame + FRAME_HEADER_SIZE + event->at;
            records_crc = frame_carry(records_crc, record_place(record, segment->seed, position,
                                                                revision, now_us));
            uint32_t offset = (uint32_t)(log->tail + FRAME_HEADER_SIZE + event->at);
            segment_note(segment, index, offset, offset + event->size, now_us);
            size_t stream_entry_count = revision == 0 ? 4 : 2;
            for (size_t k = 0; k < stream_entry_count; k++)
                cairn_series_insert(log->series, write->entries[k].key, k == 0 ? revision : 0,
                                    position);
            if (partition != NULL)
                cairn_series_insert(log->series, partition->key, partition->next++, position);
            const struct log_entry *entries = scratch->entries + event->first_entry;
            for (size_t k = 0; k < event->entry_count; k++)
                cairn_series_insert(log->series, entries[k].key, 0, position);
            if (event->has_id)
                recent_put(log, write->entries[0].key, event->id, position, revision);
        }
        if (write->event_count == 0)
            continue; /* it only checked what the stream's revision is */
        if (write->plain)
            log->last_plain_end = position;
        attempt->at.revision = revision - 1;
        if (write->retention)
            retention_placed(log, frame + FRAME_HEADER_SIZE + scratch->events[write->first_event].at,
                             segment->seed);
    }
    uint8_t *record = frame + FRAME_HEADER_SIZE + scratch->events_size;
    for (size_t i = 0; i < scratch->batch_count; i++) {
        struct prepared_batch *batch = &scratch->batches[i];
        size_t size = batch->front_size + batch->bytes.size;
        uint32_t offset = (uint32_t)(log->tail + (size_t)(record - frame));
        memcpy(record, scratch->records.data + batch->front_at, batch->front_size);
        memcpy(record + batch->front_size, batch->bytes.data, batch->bytes.size);
        records_crc = frame_carry(records_crc, place_batch(log, scratch, batch, record, position, now_us));
        segment_note_range(segment, index, batch->count, offset, (uint32_t)(offset + size), now_us);
        record += size;
        position += batch->count;
        index += batch->count;
        log->last_plain_end = position;
        attempt->at.revision = scratch->heads[scratch->runs[batch->first_run + batch->run_count - 1].head].next - 1;
    }
    memset(record, 0, (size_t)(frame + frame_size - record));
    assert(position == first + scratch->positions);
    if (attempt->change != NULL)
        topic_placed(log, attempt->change, attempt->at.revision, position - 1);
    struct frame head = {.size = (uint32_t)frame_size,
                         .count = (uint32_t)(scratch->event_count + scratch->batch_count),
                         .first_position = first,
                         .durable = atomic_load(&log->durable),
                         .time_us = now_us};
    frame_place(frame, segment->seed, &head, records_crc);

    log->open->size += frame_size;
    log->open->appends++;
    log->open->events += (uint32_t)scratch->positions;
    log->tail += frame_size;
    log->next_position = position;
    attempt->at.first_position = first;
    attempt->at.last_position = position - 1;
    attempt->at.repeated = false;
    attempt->time_us = now_us;
    return CAIRN_OK;
}

static bool
fits_segment(const struct log *log, size_t frame_size, uint64_t positions)
{
    return log->tail + frame_size <= log->options.segment_size_bytes && segment_has_room(log->active, positions);
}

/* The next segment, when a frame does not fit the active one. Everything before must be durable first. */
static cairn_err
roll_segment(struct log *log, size_t frame_size, uint64_t positions, cairn_error *error)
{
    bool ours = commit_drain_segment(log, log->active);
    if (atomic_load(&log->failed))
        return log_failure(log, error);
    if (!ours || fits_segment(log, frame_size, positions))
        return CAIRN_OK; /* somebody else did it while we waited, or the disk was full and it was cut */
    if (atomic_load(&log->segment_count) == LOG_SEGMENTS_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the log has %u segments, which is the limit",
                         LOG_SEGMENTS_MAX);
    struct segment *segment;
    cairn_err err = segment_create(log, log->active->number + 1, log->next_position, &segment, error);
    if (err != CAIRN_OK)
        return err;
    pthread_mutex_lock(&log->fill_lock);
    log_publish_segment(log, segment);
    log->active = segment;
    log->tail = SEGMENT_HEADER_SIZE;
    atomic_store(&log->reserved_end, SEGMENT_HEADER_SIZE);
    pthread_mutex_unlock(&log->fill_lock);
    log->vouched = true; /* the new segment's header says so */
    wake(&log->sealer_word);
    return CAIRN_OK;
}

static cairn_err
sequence(struct log *log, struct attempt *attempt, cairn_error *error)
{
    struct scratch *scratch = attempt->scratch;
    attempt->need = NEED_NOTHING;
    if (atomic_load(&log->failed))
        return log_failure(log, error);
    const uint32_t *epoch = attempt->request->epoch;
    attempt->taken_back = epoch != NULL && *epoch != 0 && *epoch != log->take_backs;
    if (attempt->taken_back)
        return error_set(error, CAIRN_E_NOSPACE,
                         "the disk was full: an append that this one rests on was taken back");

    size_t frame_size = pad8(FRAME_HEADER_SIZE + scratch->frame_size);
    size_t batch_max = attempt->blocking ? LOG_BATCH_MAX : LOG_BATCH_ASYNC_MAX;
    if (log->open->size > 0 && log->open->size + frame_size > batch_max) {
        attempt->need = NEED_BATCH;
        attempt->word = &log->open->word;
        attempt->word_seen = atomic_load(attempt->word);
        return CAIRN_OK;
    }
    while (!fits_segment(log, frame_size, scratch->positions)) {
        cairn_err err = roll_segment(log, frame_size, scratch->positions, error); /* may drop the lock: all checks come after it */
        if (err != CAIRN_OK)
            return err;
    }
    if (!batch_make_room(log))
        return error_set(error, CAIRN_E_NOMEM, "no memory to wait for the append");
    if (repeat_is_recent(log, attempt))
        return CAIRN_OK;
    if (!cairn_series_has_room_ranges(log->series, &scratch->index, log->next_position)) {
        attempt->need = NEED_ROOM;
        attempt->word = &log->room_word;
        attempt->word_seen = atomic_load(attempt->word);
        return CAIRN_OK;
    }
    cairn_err err = CAIRN_OK;
    if (scratch->topics_seen != log_topics_sequenced_changes(log))
        err = prepare_partitions(log, scratch, attempt->request, error);
    if (err == CAIRN_OK)
        err = check_expected(log, attempt, error);
    if (err != CAIRN_OK || attempt->need != NEED_NOTHING)
        return err;
    err = check_conditions(log, attempt, error);
    if (err != CAIRN_OK || attempt->need != NEED_NOTHING)
        return err;
    if (attempt->change != NULL) {
        err = topic_check_change(log, attempt, error);
        if (err != CAIRN_OK || attempt->need != NEED_NOTHING)
            return err;
    }
    for (size_t i = 0; i < scratch->write_count; i++)
        if (scratch->writes[i].retention && !retention_make_room(log))
            return error_set(error, CAIRN_E_NOMEM, "no memory for a stream's retention");
    return place(log, attempt, frame_size, error);
}

/* ---- fetching what sequencing lacked, without the lock --------------------------------------- */

/* Evaluate the conditions on what is durable. They hold up to there, or the append is refused. */
static cairn_err
look_at_conditions(struct log *log, struct attempt *attempt, cairn_error *error)
{
    const cairn_append_request *request = attempt->request;
    if (atomic_load(&log->durable) < attempt->durable_first) {
        pthread_mutex_lock(&log->lock);
        commit_until(log, attempt->durable_first);
        pthread_mutex_unlock(&log->lock);
    }
    uint64_t end = atomic_load_explicit(&log->durable, memory_order_acquire);
    for (size_t i = 0; i < request->condition_count; i++) {
        const cairn_condition *condition = &request->conditions[i];
        uint64_t low = condition->after < 0 ? 0 : (uint64_t)condition->after + 1, found;
        if (low < attempt->checked_end)
            low = attempt->checked_end;
        cairn_err err = log_first_kept(log, request->scope, &condition->query, low, end, &found,
                                       error);
        if (err == CAIRN_OK)
            return condition_failed(i, found, error);
        if (err != CAIRN_E_END)
            return err;
    }
    attempt->checked_end = end;
    return CAIRN_OK;
}

/* Make the head known that is missing; and the first time all that are asked for, since appends to many streams
 * that are not in memory would take a turn for each of them. */
static cairn_err
warm_heads(struct log *log, struct attempt *attempt, cairn_error *error)
{
    const cairn_append_request *request = attempt->request;
    struct scratch *scratch = attempt->scratch;
    bool warmed = attempt->warmed;
    attempt->warmed = true;
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; !warmed && err == CAIRN_OK && i < scratch->head_count; i++)
        err = cairn_series_warm(log->series, scratch->heads[i].key, error);
    for (size_t i = 0; !warmed && err == CAIRN_OK && i < request->condition_count; i++)
        err = query_warm_heads(log, request->scope, &request->conditions[i].query, error);
    return err == CAIRN_OK ? cairn_series_warm(log->series, attempt->head, error) : err;
}

/* Give the index room: the indexer's work, or ours where there is no indexer. */
static cairn_err
wait_for_room(struct log *log, struct attempt *attempt, cairn_error *error)
{
    if (log->threads_started) {
        wake(&log->indexer_word);
        if (!attempt->blocking)
            return error_set(error, CAIRN_E_BUSY, "the index is being written; try again in a moment");
        os_wait(attempt->word, attempt->word_seen, 1000000);
        return CAIRN_OK;
    }
    pthread_mutex_lock(&log->lock);
    commit_drain(log); /* only what is durable can be flushed */
    pthread_mutex_unlock(&log->lock);
    bool more, was_idle = attempt->index_idle;
    cairn_err err = keep_index(log, &more, error);
    if (err == CAIRN_E_CORRUPT)
        err = CAIRN_OK; /* noted; from the next turn on it flushes without merging */
    attempt->index_idle = !more;
    return err == CAIRN_OK && was_idle && !more
               ? error_set(error, CAIRN_E_NOMEM, "no memory for the index of the append")
               : err;
}

static cairn_err
fetch(struct log *log, struct attempt *attempt, cairn_error *error)
{
    switch (attempt->need) {
    case NEED_HEAD:
        return warm_heads(log, attempt, error);
    case NEED_QUERY:
        return look_at_conditions(log, attempt, error);
    case NEED_ROOM:
        return wait_for_room(log, attempt, error);
    case NEED_BATCH:
        if (!attempt->blocking)
            return error_set(error, CAIRN_E_BUSY, "%u bytes of appends are waiting for the disk",
                             LOG_BATCH_ASYNC_MAX);
        if (log->threads_started) {
            wake(&log->commit_word);
            os_wait(attempt->word, attempt->word_seen, 1000000);
        } else {
            pthread_mutex_lock(&log->lock);
            commit_drain(log);
            pthread_mutex_unlock(&log->lock);
        }
        return CAIRN_OK;
    case NEED_NOTHING:
        break;
    }
    return CAIRN_OK;
}

/* ---- the call ------------------------------------------------------------------------------------ */

/* Sequence, fetching what is missing, until it is placed (lock held on return) or refused (not held). */
static cairn_err
sequence_with_retries(struct log *log, struct attempt *attempt, cairn_error *error)
{
    int64_t deadline = os_monotonic_us(log->os) + 30000000;
    for (unsigned tries = 0;; tries++) {
        if (!attempt->locked)
            pthread_mutex_lock(&log->lock);
        attempt->locked = false;
        cairn_err err = sequence(log, attempt, error);
        if (err == CAIRN_OK && attempt->need == NEED_NOTHING)
            return CAIRN_OK;
        pthread_mutex_unlock(&log->lock);
        if (err == CAIRN_OK)
            err = fetch(log, attempt, error);
        if (err != CAIRN_OK)
            return err;
        if (tries >= LOG_RETRIES_MAX
            && (attempt->need < NEED_ROOM || os_monotonic_us(log->os) > deadline))
            return error_set(error, CAIRN_E_BUSY, "too many appends compete; try again");
    }
}

/* With the lock held. A repeat has its place from long ago: whoever decides on top of it reads the log. */
static void
tell_sequenced(const struct log *log, const struct attempt *attempt)
{
    const cairn_append_request *request = attempt->request;
    if (request->ret_sequenced != NULL)
        *request->ret_sequenced = attempt->at;
    if (request->ret_time_us != NULL && !attempt->at.repeated)
        *request->ret_time_us = attempt->time_us;
    if (request->epoch != NULL)
        *request->epoch = log->take_backs;
    for (size_t i = 0; i < attempt->scratch->batch_count; i++)
        if (request->batches[i].ret_offset != NULL)
            *request->batches[i].ret_offset = attempt->scratch->batches[i].offset;
}

/* What needs no lock. */
static cairn_err
begin_append(struct log *log, struct attempt *attempt, cairn_error *error)
{
    if (log->options.read_only)
        return error_set(error, CAIRN_E_READONLY, "the store was opened for reading only");
    if (atomic_load(&log->failed))
        return log_failure(log, error);
    if (atomic_load(&log->stopping))
        return error_set(error, CAIRN_E_CLOSED, "the store is closing");
    cairn_err err = prepare(log, attempt->scratch, attempt->request, error);
    if (err == CAIRN_OK && atomic_load(&log->disk_full))
        err = attempt->locked ? error_set(error, CAIRN_E_NOSPACE, "the disk was full a moment ago") : log_check_space(log, error);
    return err;
}

/* Sequence the append. On CAIRN_OK the lock is held, and the waiter says what to tell once all that was sequenced
 * so far is durable: also a refusal is told only when what it rests upon is durable, since whoever
 * reads after being told of a conflict must find the event that caused it. */
static cairn_err
append(struct log *log, struct attempt *attempt, struct waiter *waiter, cairn_error *error)
{
    cairn_err err = begin_append(log, attempt, error);
    if (err != CAIRN_OK) {
        if (attempt->locked)
            pthread_mutex_unlock(&log->lock);
        return err;
    }
    cairn_error refusal = {0};
    err = sequence_with_retries(log, attempt, &refusal);
    bool refused = err == CAIRN_E_CONFLICT || err == CAIRN_E_CONDITION || err == CAIRN_E_GONE;
    if (refused) {
        atomic_fetch_add(&log->stats.conflicts, err != CAIRN_E_GONE);
        cairn_err repeated = repeat_was_refused(log, attempt, err, refusal.position, error);
        if (repeated != CAIRN_OK && repeated != CAIRN_E_END)
            return repeated;
        if (repeated == CAIRN_OK)
            err = CAIRN_OK;
        pthread_mutex_lock(&log->lock);
        if (!batch_make_room(log)) {
            pthread_mutex_unlock(&log->lock);
            return error_set(error, CAIRN_E_NOMEM, "no memory to wait for the append");
        }
    } else if (err != CAIRN_OK) {
        if (err == CAIRN_E_NOSPACE && !attempt->taken_back)
            log_is_full(log, &refusal);
        if (error != NULL)
            *error = refusal;
        return err;
    }
    waiter->at = attempt->at;
    waiter->err = err;
    if (err == CAIRN_OK)
        tell_sequenced(log, attempt);
    if (err != CAIRN_OK) {
        if (error != NULL)
            *error = refusal;
        if (!attempt->blocking && (waiter->error = malloc(sizeof *waiter->error)) != NULL)
            *waiter->error = refusal;
    }
    return CAIRN_OK;
}

/* What the log itself applies is written by retention.c and topic_put.c alone, so that it is always understood. */
static cairn_err
refuse_own_streams(const cairn_append_request *request, cairn_error *error)
{
    for (size_t i = 0; i < request->write_count; i++) {
        bool retention = is_retention_stream(request->writes[i].stream);
        if (retention || is_topic_stream(request->writes[i].stream))
            return error_set(error, CAIRN_E_DENIED, "writes[%zu].stream: %s by its own call", i,
                             retention ? "retention is set" : "a topic is defined");
    }
    return CAIRN_OK;
}

cairn_err
cairn_log_append(struct log *log, const cairn_append_request *request, cairn_at *ret_at,
                 cairn_error *error)
{
    cairn_err err = refuse_own_streams(request, error);
    return err == CAIRN_OK ? log_append_blocking(log, request, ret_at, error) : err;
}

cairn_err
log_append_blocking(struct log *log, const cairn_append_request *request, cairn_at *ret_at,
                    cairn_error *error)
{
    return log_append_definition(log, request, NULL, ret_at, error);
}

cairn_err
log_append_definition(struct log *log, const cairn_append_request *request, struct topic_change *change,
                      cairn_at *ret_at, cairn_error *error)
{
    _Atomic uint32_t over = 0;
    cairn_err commit_err = CAIRN_OK;
    cairn_error commit_error;
    struct waiter waiter = {.state = &over, .ret_err = &commit_err};
    struct attempt attempt = {.request = request, .scratch = scratch_take(), .change = change, .blocking = true};
    attempt.locked = change != NULL && change->locked;
    if (attempt.scratch == NULL) {
        if (attempt.locked)
            pthread_mutex_unlock(&log->lock);
        return error_set(error, CAIRN_E_NOMEM, "no memory for the append");
    }
    cairn_err err = append(log, &attempt, &waiter, error);
    scratch_give(attempt.scratch);
    if (err != CAIRN_OK)
        return err;

    waiter.error = &commit_error;
    if (log->committing || !batch_is_empty(log->open)) {
        struct batch *batch = log->open;
        batch_wait(log, &waiter);
        write_ahead(log);
        if (log->committing || batch_is_empty(log->open))
            pthread_mutex_unlock(&log->lock);
        else
            commit_and_unlock(log);
        for (;;) {
            uint32_t seen = atomic_load(&batch->word);
            if (atomic_load_explicit(&over, memory_order_acquire) != 0)
                break;
            os_wait(&batch->word, seen, UINT64_MAX);
        }
    } else {
        pthread_mutex_unlock(&log->lock); /* everything is durable already */
    }
    if (commit_err != CAIRN_OK) {
        if (error != NULL)
            *error = commit_error;
        return commit_err;
    }
    if (waiter.err != CAIRN_OK)
        return waiter.err;
    *ret_at = attempt.at;
    return CAIRN_OK;
}

bool
cairn_log_has_room(struct log *log)
{
    if (!log->threads_started || atomic_load(&log->failed) || atomic_load(&log->disk_full) || atomic_load(&log->stopping))
        return true;
    if (atomic_load(&log->stats.waiting) > log->options.appends_waiting_max / 2)
        return false;
    pthread_mutex_lock(&log->lock);
    bool bytes = log->open->size <= LOG_BATCH_ASYNC_MAX / 2, entries = cairn_series_is_roomy(log->series);
    pthread_mutex_unlock(&log->lock);
    if (!entries)
        wake(&log->indexer_word);
    return bytes && entries;
}

cairn_err
cairn_log_append_async(struct log *log, const cairn_append_request *request, cairn_append_done done,
                       void *context, cairn_error *error)
{
    cairn_err err = refuse_own_streams(request, error);
    if (err != CAIRN_OK)
        return err;
    if (atomic_fetch_add(&log->stats.waiting, 1) >= log->options.appends_waiting_max) {
        atomic_fetch_sub(&log->stats.waiting, 1);
        return error_set(error, CAIRN_E_BUSY, "%u appends are waiting for the disk, which is the limit",
                         log->options.appends_waiting_max);
    }
    struct waiter waiter = {.done = done, .context = context};
    struct attempt attempt = {.request = request, .scratch = scratch_take()};
    err = attempt.scratch != NULL ? append(log, &attempt, &waiter, error)
                                  : error_set(error, CAIRN_E_NOMEM, "no memory for the append");
    if (attempt.scratch != NULL)
        scratch_give(attempt.scratch);
    if (err != CAIRN_OK) {
        atomic_fetch_sub(&log->stats.waiting, 1);
        return err;
    }
    if (!log->committing && batch_is_empty(log->open)) {
        pthread_mutex_unlock(&log->lock);
        done(context, waiter.err, &waiter.at, waiter.error);
        free(waiter.error);
        atomic_fetch_sub(&log->stats.waiting, 1);
        return CAIRN_OK;
    }
    batch_wait(log, &waiter);
    bool idle = !log->committing, ahead = write_ahead_pays(log);
    if (idle && !log->threads_started)
        commit_drain(log);
    pthread_mutex_unlock(&log->lock);
    if (log->threads_started && (idle || ahead))
        wake(idle ? &log->commit_word : &log->keeper_word);
    return CAIRN_OK;
}

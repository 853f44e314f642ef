/* Repeats: an append whose events, by their ids, are at the same place already succeeds and writes nothing.
 *
 * Three places know: the table of recent ids (recent.c) says where to look; the batches in memory hold what is
 * in flight; the log holds the rest, and is asked only after a refusal, since then the place is known
 * without a search. */
#include "attempt.h"

/* Is an event of this revision where the write's first one would have been put? "No events" puts it at the
 * stream's beginning, or where it was last deleted. */
static bool
is_placed(struct log *log, const struct prepared_write *write, uint64_t revision, bool locked)
{
    struct retention retention;
    if (write->expected >= 0)
        return revision == (uint64_t)write->expected + 1;
    if (write->expected != CAIRN_NONE || revision == 0)
        return true;
    bool limited = locked ? retention_sequenced(log, write->entries[0].key, write->stream, &retention)
                          : retention_get(log, write->entries[0].key, write->stream, &retention);
    return limited && revision <= retention.limits.truncate_before;
}

bool
record_in_flight(struct log *log, uint64_t position, struct record *ret)
{
    struct segment *segment = log->active;
    uint32_t offsets[2];
    if (position < segment->first_position || position >= log->next_position
        || segment_offsets(log, segment, position - segment->first_position, 1, offsets, NULL)
               != CAIRN_OK)
        return false;
    for (int i = 0; i < 2; i++) {
        const struct batch *batch = &log->batches[i];
        if (batch->size == 0 || offsets[0] < batch->offset
            || offsets[0] >= batch->offset + batch->size)
            continue;
        size_t at = (size_t)(offsets[0] - batch->offset);
        cairn_str bytes = {(const char *)batch->bytes + at, batch->size - at};
        return record_decode(bytes, segment->seed, ret) == NULL;
    }
    return false;
}

/* Are the events from `position` on the ones of this append? `block` NULL: they are in flight, and the lock
 * is held; otherwise they are durable. CAIRN_E_END: they are others. */
static cairn_err
is_same(struct log *log, struct attempt *attempt, uint64_t position, struct block *block,
        cairn_error *error)
{
    struct scratch *scratch = attempt->scratch;
    uint64_t revision = 0;
    for (size_t i = 0; i < scratch->write_count; i++) {
        const struct prepared_write *write = &scratch->writes[i];
        for (size_t j = 0; j < write->event_count; j++) {
            size_t index = write->first_event + j;
            struct record record;
            if (block == NULL && !record_in_flight(log, position + index, &record))
                return CAIRN_E_END;
            cairn_err err = block == NULL ? CAIRN_OK
                                          : log_read_record(log, block, position + index, BLOCK_SCAN,
                                                            &record, error);
            if (err != CAIRN_OK)
                return err;
            if (record.kind != RECORD_EVENT || record.scope != attempt->request->scope
                || !cairn_str_equal(record.stream, write->stream)
                || memcmp(&record.event.id, &scratch->events[index].id, 16) != 0
                || (j == 0 && !is_placed(log, write, record.revision, block == NULL)))
                return CAIRN_E_END;
            revision = record.revision;
        }
    }
    attempt->at = (cairn_at){position, position + scratch->event_count - 1, revision, true};
    return CAIRN_OK;
}

/* Found by any of the first few ids, since a later event may have taken the place of an earlier one in the
 * table of recent ones. */
static bool
is_in_flight(struct log *log, struct attempt *attempt)
{
    struct scratch *scratch = attempt->scratch;
    uint64_t durable = atomic_load(&log->durable), position, revision;
    for (size_t i = 0; i < scratch->write_count; i++) {
        const struct prepared_write *write = &scratch->writes[i];
        for (size_t j = 0; j < write->event_count; j++) {
            size_t index = write->first_event + j;
            if (index == 4)
                return false;
            if (recent_get(log, write->entries[0].key, scratch->events[index].id, &position,
                           &revision)
                && position >= durable)
                return position >= index
                       && is_same(log, attempt, position - index, NULL, NULL) == CAIRN_OK;
        }
    }
    return false;
}

bool
repeat_is_recent(struct log *log, struct attempt *attempt)
{
    struct scratch *scratch = attempt->scratch;
    if (!scratch->has_ids)
        return false;
    if (is_in_flight(log, attempt))
        return true;
    uint64_t first = 0, revision = 0;
    for (size_t i = 0; i < scratch->write_count; i++) {
        const struct prepared_write *write = &scratch->writes[i];
        uint64_t write_revision = 0;
        for (size_t j = 0; j < write->event_count; j++) {
            uint64_t position, index = write->first_event + j;
            if (!recent_get(log, write->entries[0].key, scratch->events[index].id, &position,
                            &revision))
                return false;
            if (index == 0)
                first = position;
            if (j == 0)
                write_revision = revision;
            if (position != first + index || revision != write_revision + j
                || !is_placed(log, write, write_revision, true))
                return false;
        }
    }
    attempt->at = (cairn_at){first, first + scratch->event_count - 1, revision, true};
    return true;
}

/* ---- refused, perhaps because it was done long ago ------------------------------------------------ */

/* Are the events from `position` on, in flight or durable, the ones of this append? CAIRN_E_END: no. */
static cairn_err
same_events(struct log *log, struct attempt *attempt, uint64_t position, cairn_error *error)
{
    pthread_mutex_lock(&log->lock);
    bool in_flight = position + attempt->scratch->event_count > atomic_load(&log->durable);
    cairn_err err = in_flight ? is_same(log, attempt, position, NULL, error) : CAIRN_OK;
    pthread_mutex_unlock(&log->lock);
    if (in_flight)
        return err;
    struct block *block = block_new();
    err = block != NULL ? is_same(log, attempt, position, block, error)
                        : error_set(error, CAIRN_E_NOMEM, "no memory to read the log");
    block_free(block);
    return err;
}

/* The id of the event at a position, in flight or durable. CAIRN_E_END: there is none. */
static cairn_err
id_at(struct log *log, uint64_t position, cairn_uuid *ret, cairn_error *error)
{
    struct record record;
    pthread_mutex_lock(&log->lock);
    bool in_flight = position >= atomic_load(&log->durable);
    bool found = in_flight && record_in_flight(log, position, &record);
    if (found)
        *ret = record.event.id;
    pthread_mutex_unlock(&log->lock);
    if (in_flight)
        return found ? CAIRN_OK : CAIRN_E_END;
    struct block *block = block_new();
    cairn_err err = block != NULL
                        ? log_read_record(log, block, position, BLOCK_POINT, &record, error)
                        : error_set(error, CAIRN_E_NOMEM, "no memory to read the log");
    if (err == CAIRN_OK && record.kind == RECORD_EVENT)
        *ret = record.event.id;
    else if (err == CAIRN_OK)
        err = CAIRN_E_END;
    block_free(block);
    return err;
}

/* Then the events are at the place where the first write wanted to put them, or one of them broke the
 * condition. */
cairn_err
repeat_was_refused(struct log *log, struct attempt *attempt, cairn_err refusal, uint64_t match,
                   cairn_error *error)
{
    struct scratch *scratch = attempt->scratch;
    if (!scratch->has_ids || refusal == CAIRN_E_GONE)
        return CAIRN_E_END;
    if (refusal == CAIRN_E_CONDITION) {
        cairn_uuid id;
        size_t index = 0;
        cairn_err err = id_at(log, match, &id, error);
        if (err != CAIRN_OK)
            return err;
        while (index < scratch->event_count && memcmp(&scratch->events[index].id, &id, 16) != 0)
            index++;
        return index < scratch->event_count && match >= index
                   ? same_events(log, attempt, match - index, error)
                   : CAIRN_E_END;
    }
    const struct prepared_write *write = &scratch->writes[attempt->conflict_at];
    if (write->expected < 0 && write->expected != CAIRN_NONE)
        return CAIRN_E_END;
    struct retention retention = {0};
    pthread_mutex_lock(&log->lock);
    uint64_t end = log->next_position;
    (void)retention_sequenced(log, write->entries[0].key, write->stream, &retention);
    pthread_mutex_unlock(&log->lock);
    struct series_head head;
    struct series_read read = {
        .key = write->entries[0].key,
        .by = SERIES_BY_ORDINAL,
        .from = write->expected == CAIRN_NONE ? retention.limits.truncate_before
                                              : (uint64_t)write->expected + 1,
        .end = end,
    };
    size_t found;
    cairn_err err = cairn_series_read(log->series, &read, &head, 1, &found, error);
    if (err != CAIRN_OK)
        return err;
    return found == 1 && head.position >= write->first_event
               ? same_events(log, attempt, head.position - write->first_event, error)
               : CAIRN_E_END;
}

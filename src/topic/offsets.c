/* Offsets of moments and of positions in the log: binary search over a partition's items, then through one batch.
 *
 * An item is a batch, or an event that came another way. Positions ascend along a partition. Their largest timestamps are taken to ascend, as Kafka's time index
 * takes them to; where producers' clocks disagree the answer is one of several right ones. Every step reads one item. */
#include "broker_int.h"

int64_t
item_timestamp(const cairn_partition_item *item)
{
    struct batch_head head;
    if (item->batch.size > 0 && batch_head_read(item->batch, &head) == NULL)
        return head.max_timestamp_ms;
    return item->time_us / 1000;
}

static int64_t
place_of(const cairn_partition_item *item, enum search_by by)
{
    switch (by) {
    case BY_COMMIT: return item->time_us;
    case BY_POSITION: return (int64_t)(item->position + (item->last_offset - item->first_offset));
    default: return item_timestamp(item);
    }
}

cairn_err
offset_search(cairn_partition_reader *reader, const cairn_uuid *topic_id, uint32_t partition, uint64_t from, uint64_t end,
              enum search_by by, int64_t least, uint64_t *ret, cairn_error *error)
{
    uint64_t low = from, high = end, found = end; /* everything below low is before; found, and from high on, is not */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        cairn_partition_item item;
        cairn_err err = cairn_partition_seek(reader, topic_id, partition, middle, error);
        if (err == CAIRN_OK)
            err = cairn_partition_next(reader, &item, error);
        if (err == CAIRN_E_END || (err == CAIRN_OK && item.first_offset >= high)) {
            high = middle; /* nothing is left between */
            continue;
        }
        if (err != CAIRN_OK)
            return err;
        if (place_of(&item, by) >= least) {
            found = item.first_offset > from ? item.first_offset : from;
            high = item.first_offset < middle ? item.first_offset : middle;
        } else {
            low = item.last_offset + 1;
        }
    }
    *ret = found;
    return CAIRN_OK;
}

/* The first record of the item at or after the moment, or the one with its largest timestamp (OFFSET_MAX_TIMESTAMP). CAIRN_E_END: none. */
static cairn_err
find_record(const cairn_partition_item *item, uint64_t from, int64_t timestamp_ms, int64_t *ret_offset, int64_t *ret_timestamp_ms)
{
    struct batch_cursor cursor = {.left = 0};
    struct batch_record record;
    cairn_err err = CAIRN_E_END;
    if (item->batch.size == 0) {
        *ret_offset = (int64_t)item->first_offset;
        *ret_timestamp_ms = item->time_us / 1000;
        return CAIRN_OK;
    }
    const char *fault = batch_open(&cursor, item->batch);
    if (fault) {
        batch_close(&cursor);
        return fault == batch_no_memory ? CAIRN_E_NOMEM : CAIRN_E_CORRUPT;
    }
    bool appended = cursor.head.attributes & BATCH_LOG_APPEND_TIME, largest = timestamp_ms == OFFSET_MAX_TIMESTAMP;
    while ((largest || err == CAIRN_E_END) && batch_next(&cursor, &record)) {
        uint64_t offset = item->first_offset + (uint64_t)record.offset_delta;
        int64_t time = appended ? cursor.head.max_timestamp_ms : record.timestamp_ms;
        if (offset >= from && (largest ? err == CAIRN_E_END || time > *ret_timestamp_ms : time >= timestamp_ms)) {
            *ret_offset = (int64_t)offset;
            *ret_timestamp_ms = time;
            err = CAIRN_OK;
        }
    }
    if (cursor.fault)
        err = cursor.fault == batch_no_memory ? CAIRN_E_NOMEM : CAIRN_E_CORRUPT;
    batch_close(&cursor);
    return err;
}

/* The first record at or after the moment, from the item at `at` on. */
static cairn_err
find_from(cairn_partition_reader *reader, const cairn_uuid *topic_id, uint32_t partition, uint64_t at, uint64_t from,
          int64_t timestamp_ms, int64_t *ret_offset, int64_t *ret_timestamp_ms)
{
    cairn_partition_item item;
    cairn_err err = cairn_partition_seek(reader, topic_id, partition, at, NULL);
    while (err == CAIRN_OK) {
        err = cairn_partition_next(reader, &item, NULL);
        if (err != CAIRN_OK)
            return err;
        err = find_record(&item, from, timestamp_ms, ret_offset, ret_timestamp_ms);
        if (err != CAIRN_E_END)
            return err;
        err = CAIRN_OK; /* its head promised more than its records have: a later item will do */
    }
    return err;
}

static bool
has_records(const cairn_partition_item *item)
{
    struct batch_head head;
    return item->batch.size == 0 || batch_head_read(item->batch, &head) != NULL || head.count > 0;
}

/* The last item that there is. What lies behind it may be hidden, or have lost its records: each look begins twice as far before the
 * end as the one before. */
static cairn_err
find_newest(cairn_partition_reader *reader, const cairn_uuid *topic_id, uint32_t partition, const cairn_partition_info *info,
            int64_t *ret_offset, int64_t *ret_timestamp_ms)
{
    cairn_partition_item item;
    uint64_t at = info->end, last = 0;
    bool found = false;
    for (uint64_t back = 1; !found && at > info->start; back *= 2) {
        at = info->end - info->start > back ? info->end - back : info->start;
        cairn_err err = cairn_partition_seek(reader, topic_id, partition, at, NULL);
        while (err == CAIRN_OK && (err = cairn_partition_next(reader, &item, NULL)) == CAIRN_OK)
            if (has_records(&item)) {
                last = item.first_offset;
                found = true;
            }
        if (err != CAIRN_E_END)
            return err;
    }
    cairn_err err = found ? cairn_partition_seek(reader, topic_id, partition, last, NULL) : CAIRN_E_END;
    if (err == CAIRN_OK)
        err = cairn_partition_next(reader, &item, NULL);
    return err == CAIRN_OK ? find_record(&item, info->start, OFFSET_MAX_TIMESTAMP, ret_offset, ret_timestamp_ms) : err;
}

static cairn_err
find_moment(struct broker *broker, const cairn_uuid *topic_id, uint32_t partition, const cairn_partition_info *info,
            int64_t timestamp_ms, int64_t *ret_offset, int64_t *ret_timestamp_ms)
{
    cairn_partition_reader *reader = NULL;
    uint64_t at = info->end;
    cairn_err err = cairn_read_partition(broker->store, broker->scope, topic_id, partition, info->start, &reader, NULL);
    if (err != CAIRN_OK)
        return err;
    if (timestamp_ms == OFFSET_MAX_TIMESTAMP) {
        err = find_newest(reader, topic_id, partition, info, ret_offset, ret_timestamp_ms);
    } else {
        err = offset_search(reader, topic_id, partition, info->start, info->end, BY_TIMESTAMP, timestamp_ms, &at, NULL);
        if (err == CAIRN_OK && at < info->end)
            err = find_from(reader, topic_id, partition, at, info->start, timestamp_ms, ret_offset, ret_timestamp_ms);
    }
    cairn_partition_reader_free(reader);
    return err;
}

enum kafka_err
broker_offset_at(struct broker *broker, const cairn_uuid *topic_id, uint32_t partition, int64_t timestamp_ms, int64_t *ret_offset,
                 int64_t *ret_timestamp_ms)
{
    cairn_partition_info info;
    cairn_err err = cairn_partition_get(broker->store, broker->scope, topic_id, partition, &info, NULL);
    if (err != CAIRN_OK)
        return kafka_err_of(err);
    *ret_offset = *ret_timestamp_ms = -1;
    if (timestamp_ms == OFFSET_LATEST) {
        *ret_offset = (int64_t)info.end;
    } else if (timestamp_ms == OFFSET_EARLIEST) {
        *ret_offset = (int64_t)info.start;
    } else if (timestamp_ms < OFFSET_MAX_TIMESTAMP) {
        return KAFKA_INVALID_REQUEST;
    } else if (info.start < info.end) {
        err = find_moment(broker, topic_id, partition, &info, timestamp_ms, ret_offset, ret_timestamp_ms);
    }
    return err == CAIRN_E_END ? KAFKA_NONE : kafka_err_of(err);
}

enum kafka_err
broker_offset_at_position(struct broker *broker, const cairn_uuid *topic_id, uint32_t partition, uint64_t position, int64_t *ret_offset)
{
    cairn_partition_info info;
    cairn_partition_reader *reader;
    cairn_partition_item item;
    uint64_t at = 0;
    cairn_err err = cairn_partition_get(broker->store, broker->scope, topic_id, partition, &info, NULL);
    if (err == CAIRN_OK)
        err = cairn_read_partition(broker->store, broker->scope, topic_id, partition, info.start, &reader, NULL);
    if (err != CAIRN_OK)
        return kafka_err_of(err);
    err = offset_search(reader, topic_id, partition, info.start, info.end, BY_POSITION, (int64_t)position, &at, NULL);
    if (err == CAIRN_OK && at < info.end) {
        err = cairn_partition_seek(reader, topic_id, partition, at, NULL);
        if (err == CAIRN_OK)
            err = cairn_partition_next(reader, &item, NULL);
        /* Within a batch offsets and positions go up together. */
        if (err == CAIRN_OK && item.position < position && item.first_offset + (position - item.position) > at)
            at = item.first_offset + (position - item.position);
    }
    cairn_partition_reader_free(reader);
    *ret_offset = (int64_t)at;
    return err == CAIRN_E_END ? KAFKA_NONE : kafka_err_of(err); /* END: what was found has just gone */
}

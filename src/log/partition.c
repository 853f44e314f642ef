/* Reading partitions: offset → position by the partition's series, then what is stored there, a batch as a whole.
 *
 * Batches of one partition often lie next to each other in the log. While that is so, the next one is looked for behind the
 * last, and found out to be the right one by what it says of itself; the index is asked when it is not. Events between
 * batches do not know their offset, so of them the index is always asked. */
#include "topics.h"

#define ENTRIES_MAX 256
#define ENTRIES_MIN 4
#define NEAR_POSITIONS 8

struct partition_reader {
    struct log *log;
    cairn_scope scope;
    cairn_topic_ref *topic;   /* as of topic_changes */
    uint64_t topic_changes;
    uint32_t partition;
    struct hash128 key;
    uint64_t next;            /* offset */
    uint64_t behind;          /* position behind the batch that was returned last */
    bool neighbours;          /* that one was right behind the one before it */
    uint64_t last, last_position; /* that one's first offset (UINT64_MAX: none), and where it lies */
    struct block *block;
    struct links_cursor *links; /* NULL: not needed so far */
    struct series_head entries[ENTRIES_MAX];
    size_t entry_count, entry_next, entries_wanted;
    cairn_str tags[LOG_TAGS_MAX];
    size_t least;             /* batches of that size are not read but found; 0: all are read */
    bool small;               /* the last batch was smaller: the next one likely too, so more is read at once */
    struct log_extent extent; /* where the last one found lies; file -1: it was read */
};

static cairn_err
find_partition(struct log *log, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition, cairn_topic_ref **ret,
               cairn_error *error)
{
    cairn_topic_ref *topic = log_topic_by_id(log, scope, topic_id, false);
    if (topic == NULL)
        return error_set(error, CAIRN_E_NOTFOUND, "there is no such topic");
    if (partition >= topic->topic.partitions) {
        (void)error_set(error, CAIRN_E_NOTFOUND, "the topic %.*s has %u partition%s, so none of number %u",
                        (int)topic->topic.name.size, topic->topic.name.data, topic->topic.partitions,
                        topic->topic.partitions == 1 ? "" : "s", partition);
        cairn_topic_release(topic);
        return CAIRN_E_NOTFOUND;
    }
    *ret = topic;
    return CAIRN_OK;
}

cairn_err
cairn_log_partition_get(struct log *log, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition,
                        cairn_partition_info *ret, cairn_error *error)
{
    cairn_topic_ref *topic;
    cairn_err err = find_partition(log, scope, topic_id, partition, &topic, error);
    if (err != CAIRN_OK)
        return err;
    struct series_head head;
    err = cairn_series_head(log->series, partition_key(log, scope, topic_id, partition), cairn_log_end(log), &head, error);
    if (err == CAIRN_OK || err == CAIRN_E_END) {
        *ret = (cairn_partition_info){.start = topic_start(topic, partition)};
        ret->end = err == CAIRN_OK ? head.ordinal + 1 : topic_linked(topic, partition);
        ret->last_position = err == CAIRN_OK ? head.position : 0;
        if (ret->start > ret->end)
            ret->start = ret->end;
        err = CAIRN_OK;
    }
    cairn_topic_release(topic);
    return err;
}

/* ---- a reader ------------------------------------------------------------------------------------------------------------------ */

cairn_err
cairn_log_partition_seek(struct partition_reader *reader, const cairn_uuid *topic_id, uint32_t partition, uint64_t from,
                         cairn_error *error)
{
    uint64_t changes = log_topics_changes(reader->log);
    cairn_topic_ref *topic;
    cairn_err err = find_partition(reader->log, reader->scope, topic_id, partition, &topic, error);
    if (err != CAIRN_OK)
        return err;
    /* Whoever fetches goes on where the last fetch ended, or with the batch that had no room there: then it is known where that lies,
     * and the index is not asked. What is found there says itself whether it is the right one: read_behind(). */
    bool same = reader->topic != NULL && reader->partition == partition
                && memcmp(&reader->topic->topic.id, topic_id, sizeof *topic_id) == 0;
    bool again = same && from == reader->last, on = same && !again && from == reader->next;
    reader->behind = again ? reader->last_position : on ? reader->behind : UINT64_MAX;
    reader->neighbours = again || (on && reader->neighbours);
    reader->last = UINT64_MAX;
    cairn_topic_release(reader->topic);
    reader->topic = topic;
    reader->topic_changes = changes;
    reader->partition = partition;
    reader->key = partition_key(reader->log, reader->scope, topic_id, partition);
    reader->next = from;
    reader->small = false;
    reader->entry_count = reader->entry_next = 0;
    reader->entries_wanted = ENTRIES_MIN;
    return CAIRN_OK;
}

cairn_err
cairn_log_read_partition(struct log *log, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition, uint64_t from,
                         struct partition_reader **ret, cairn_error *error)
{
    struct partition_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL || (reader->block = block_new()) == NULL) {
        free(reader);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a reader");
    }
    reader->log = log;
    reader->scope = scope;
    reader->extent.file = -1;
    cairn_err err = cairn_log_partition_seek(reader, topic_id, partition, from, error);
    if (err != CAIRN_OK) {
        cairn_log_partition_reader_free(reader);
        return err;
    }
    atomic_fetch_add(&log->stats.reads, 1);
    *ret = reader;
    return CAIRN_OK;
}

void
cairn_log_partition_reader_free(struct partition_reader *reader)
{
    if (reader == NULL)
        return;
    cairn_topic_release(reader->topic);
    block_free(reader->block);
    links_cursor_free(reader->links);
    free(reader);
}

/* The topic as it is now: its start may have moved, or it may be gone. */
static cairn_err
look_at_topic(struct partition_reader *reader, cairn_error *error)
{
    uint64_t changes = log_topics_changes(reader->log);
    if (changes == reader->topic_changes)
        return CAIRN_OK;
    cairn_topic_ref *topic;
    cairn_err err = find_partition(reader->log, reader->scope, &reader->topic->topic.id, reader->partition, &topic, error);
    if (err != CAIRN_OK)
        return err;
    cairn_topic_release(reader->topic);
    reader->topic = topic;
    reader->topic_changes = changes;
    return CAIRN_OK;
}

static bool
is_ours(const struct partition_reader *reader, const struct record *record)
{
    return record_holds_batch(record) && record->scope == reader->scope && record->batch.partition == reader->partition
           && memcmp(&record->batch.topic_id, &reader->topic->topic.id, sizeof record->batch.topic_id) == 0;
}

static void
drop_extent(struct partition_reader *reader)
{
    if (reader->extent.file >= 0)
        os_descriptor_close(reader->extent.file);
    reader->extent.file = -1;
}

/* What is stored there, found or read. */
static cairn_err
look_there(struct partition_reader *reader, uint64_t position, enum block_mode mode, struct record *record, cairn_error *error)
{
    if (reader->least > 0) {
        struct log_extent extent;
        cairn_err err = log_find_batch(reader->log, reader->block, position, reader->least, reader->small ? mode : BLOCK_POINT,
                                       record, &extent, error);
        if (err == CAIRN_OK)
            reader->extent = extent;
        if (err != CAIRN_E_END)
            return err;
    }
    return log_read_stored(reader->log, reader->block, position, mode, record, error);
}

/* Is the batch with the next offset right behind the last one? CAIRN_E_END: it is not. */
static cairn_err
read_behind(struct partition_reader *reader, uint64_t end, struct record *record, cairn_error *error)
{
    if (!reader->neighbours || reader->behind >= end)
        return CAIRN_E_END;
    cairn_err err = look_there(reader, reader->behind, BLOCK_SCAN, record, error);
    if (err != CAIRN_OK)
        return err;
    if (is_ours(reader, record) && record->batch.first_offset == reader->next)
        return CAIRN_OK;
    drop_extent(reader);
    return CAIRN_E_END;
}

/* The entry of the next offset, or of a later one when there is none of it. */
static cairn_err
find_entry(struct partition_reader *reader, uint64_t end, struct series_head *ret, cairn_error *error)
{
    while (reader->entry_next < reader->entry_count && reader->entries[reader->entry_next].ordinal < reader->next)
        reader->entry_next++;
    if (reader->entry_next == reader->entry_count) {
        struct series_read read = {.key = reader->key, .by = SERIES_BY_ORDINAL, .from = reader->next, .end = end};
        reader->entry_next = reader->entry_count = 0;
        cairn_err err = cairn_series_read(reader->log->series, &read, reader->entries, reader->entries_wanted,
                                          &reader->entry_count, error);
        if (err != CAIRN_OK)
            return err;
        if (reader->entry_count == 0)
            return CAIRN_E_END;
        if (reader->entries_wanted < ENTRIES_MAX)
            reader->entries_wanted *= 2;
    }
    *ret = reader->entries[reader->entry_next];
    return CAIRN_OK;
}

static cairn_err
read_by_links(struct partition_reader *reader, struct record *record, cairn_error *error)
{
    uint64_t position;
    if (reader->links == NULL && (reader->links = links_cursor_new()) == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a reader");
    cairn_err err = links_find(reader->log, reader->links, reader->scope, &reader->topic->topic.id, reader->partition,
                               reader->next, &position, error);
    if (err != CAIRN_OK)
        return err;
    return log_read_stored(reader->log, reader->block, position,
                           position - reader->behind < NEAR_POSITIONS ? BLOCK_SCAN : BLOCK_POINT, record, error);
}

static cairn_err
read_by_index(struct partition_reader *reader, uint64_t end, struct record *record, uint64_t *ret_offset,
              cairn_error *error)
{
    struct series_head entry;
    cairn_err err = find_entry(reader, end, &entry, error);
    if (err != CAIRN_OK)
        return err;
    bool near = entry.position == reader->behind
                || (reader->entry_next + 1 < reader->entry_count
                    && reader->entries[reader->entry_next + 1].position == entry.position + 1);
    *ret_offset = entry.ordinal;
    err = look_there(reader, entry.position, near ? BLOCK_SCAN : BLOCK_POINT, record, error);
    if (err == CAIRN_OK && record_holds_batch(record) && !is_ours(reader, record))
        err = error_set(error, CAIRN_E_CORRUPT, "the index says that the event at position %llu is in another partition",
                        (unsigned long long)entry.position);
    return err;
}

static cairn_err
event_is_hidden(struct partition_reader *reader, const struct record *record, uint64_t end, bool *ret, cairn_error *error)
{
    *ret = record->kind != RECORD_EVENT;
    if (*ret || !retention_any(reader->log))
        return CAIRN_OK;
    return retention_hides(reader->log, record, os_now_us(reader->log->os), end, ret, error);
}

static void
give_batch(struct partition_reader *reader, const struct record *record, cairn_partition_item *ret)
{
    const struct stored_batch *batch = &record->batch;
    reader->next = batch->first_offset + batch->count;
    reader->neighbours = reader->behind == batch->first_position;
    reader->last = batch->first_offset;
    reader->last_position = batch->first_position;
    reader->behind = batch->first_position + batch->count;
    reader->small = batch->bytes.size < reader->least;
    reader->entries_wanted = ENTRIES_MIN;
    *ret = (cairn_partition_item){.first_offset = batch->first_offset,
                                  .last_offset = reader->next - 1,
                                  .position = batch->first_position,
                                  .time_us = record->time_us,
                                  .batch = batch->bytes};
}

static void
give_event(struct partition_reader *reader, struct record *record, uint64_t offset, cairn_partition_item *ret)
{
    cairn_str packed = record->tags_packed;
    for (size_t i = 0; i < record->event.tag_count; i++)
        (void)record_next_tag(&packed, &reader->tags[i]);
    record->event.tags = reader->tags;
    *ret = (cairn_partition_item){.first_offset = offset,
                                  .last_offset = offset,
                                  .position = record->position,
                                  .time_us = record->time_us,
                                  .event = {record->position, record->revision, record->time_us, record->scope,
                                            record->stream, record->event}};
}

static cairn_err
next_item(struct partition_reader *reader, cairn_partition_item *ret, cairn_error *error)
{
    uint64_t end = cairn_log_end(reader->log);
    cairn_err err = look_at_topic(reader, error);
    if (err != CAIRN_OK)
        return err;
    if (reader->next < topic_start(reader->topic, reader->partition))
        reader->next = topic_start(reader->topic, reader->partition);
    for (;;) {
        struct record record;
        uint64_t offset = reader->next;
        if (offset < topic_linked(reader->topic, reader->partition))
            err = read_by_links(reader, &record, error);
        else
            err = read_behind(reader, end, &record, error);
        if (err == CAIRN_E_END)
            err = read_by_index(reader, end, &record, &offset, error);
        if (err != CAIRN_OK)
            return err;
        if (record_holds_batch(&record)) {
            give_batch(reader, &record, ret);
            if (ret->batch.size > 0)
                break;
            continue; /* scavenging has left no record of it */
        }
        bool hidden;
        reader->next = offset + 1;
        reader->neighbours = false;
        reader->behind = record.position + 1;
        err = event_is_hidden(reader, &record, end, &hidden, error);
        if (err != CAIRN_OK)
            return err;
        if (!hidden) {
            give_event(reader, &record, offset, ret);
            break;
        }
    }
    atomic_fetch_add_explicit(&reader->log->stats.events_read, ret->last_offset - ret->first_offset + 1,
                              memory_order_relaxed);
    return CAIRN_OK;
}

cairn_err
cairn_log_partition_next(struct partition_reader *reader, cairn_partition_item *ret, cairn_error *error)
{
    reader->least = 0;
    return next_item(reader, ret, error);
}

cairn_err
cairn_log_partition_find(struct partition_reader *reader, size_t least, cairn_partition_item *ret, int *ret_file,
                         uint64_t *ret_at, cairn_error *error)
{
    reader->least = least;
    cairn_err err = next_item(reader, ret, error);
    if (err == CAIRN_OK) {
        *ret_file = reader->extent.file; /* the caller's from here on */
        *ret_at = reader->extent.at;
        reader->extent.file = -1;
    }
    drop_extent(reader);
    return err;
}

/* ---- producers ------------------------------------------------------------------------------------------------------------------- */

static cairn_err
read_producer_batch(struct log *log, struct block *block, uint64_t position, cairn_producer_batch *ret, bool *ret_there,
                    cairn_error *error)
{
    struct record record;
    struct batch_head head;
    cairn_err err = log_read_stored(log, block, position, BLOCK_POINT, &record, error);
    *ret_there = err == CAIRN_OK && record_holds_batch(&record) && batch_head_read(record.batch.bytes, &head) == NULL;
    if (*ret_there)
        *ret = (cairn_producer_batch){head.producer_epoch, head.base_sequence,
                                      batch_sequence_after(head.base_sequence, record.batch.count - 1), record.batch.first_offset,
                                      record.time_us};
    return err;
}

cairn_err
cairn_log_producer_batches(struct log *log, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition,
                           int64_t producer_id, cairn_producer_batch *batches, size_t max, size_t *ret_count,
                           cairn_error *error)
{
    cairn_topic_ref *topic;
    cairn_err err = find_partition(log, scope, topic_id, partition, &topic, error);
    if (err != CAIRN_OK)
        return err;
    cairn_topic_release(topic);
    struct series_head entries[16];
    size_t count = 0, found = 0;
    struct series_read read = {.key = producer_key(log, scope, topic_id, partition, producer_id), .by = SERIES_BY_POSITION,
                               .backward = true, .from = UINT64_MAX, .end = cairn_log_end(log)};
    struct block *block = block_new();
    if (block == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to read the log");
    while (err == CAIRN_OK && count < max) {
        size_t wanted = max - count < 16 ? max - count : 16;
        err = cairn_series_read(log->series, &read, entries, wanted, &found, error);
        for (size_t i = 0; err == CAIRN_OK && i < found; i++) {
            bool there;
            err = read_producer_batch(log, block, entries[i].position, &batches[count], &there, error);
            count += err == CAIRN_OK && there;
        }
        if (err != CAIRN_OK || found < wanted || entries[found - 1].position == 0)
            break;
        read.from = entries[found - 1].position - 1;
    }
    block_free(block);
    if (err == CAIRN_OK)
        *ret_count = count;
    return err;
}

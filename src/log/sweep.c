/* Scavenging that nobody asks for: the thread, and which segments it reads.
 *
 * Reading all of a large log every hour for what a few topics have given up would cost more than it wins, and so would writing a
 * segment again for a record. So a segment is read once when it is full, and then again only when what is known of it (sweep.h)
 * allows that a quarter of it may be gone:
 *
 *   hidden    batches below their partition's start, or of a deleted topic: known exactly, from memory
 *   compacted no more records than the partition has got since, as each takes the place of one at most, and those that were too
 *             young; of records without value it is the number that counts, as they are hardly larger than what is left of them
 *   limited   whatever is in streams with limits; everything, when any stream's limits have changed
 *
 * The last two are bounds. Where reading shows that it is not so, the next time is twice as far away, up to a day. A segment that
 * nothing is said about is never read again. Whatever it does, it lets administrators go first, and a stop of the log. */
#include "sweep.h"
#include "topics.h"
#include <os/thread.h>
#include <os/wait.h>

#define PARTS_MAX 1024 /* partitions remembered of a segment; with more it is due whenever a topic has changed */
#define WAIT_MAX_US (INT64_C(24) * 3600 * 1000000)
#define GIVE_WAY_US (INT64_C(60) * 1000000) /* after an administrator was in the way */

/* Of a partition, in the segment. */
struct part {
    cairn_scope scope;
    cairn_uuid topic_id;
    uint32_t partition;
    bool compact;
    uint64_t first_offset, last_offset;
    uint64_t bytes, records, waiting; /* left; waiting: of the records */
    uint64_t end;                     /* of the partition, when it was looked at */
};

struct look {
    int64_t now_us, again_us, wait_us;
    uint64_t log_end, topics_changes, retention_changes;
    uint64_t known_bytes;   /* that could go, and are there because they were too few */
    uint64_t hidden_bytes;  /* of the rest, by the same measure as later: that does not see where in a batch its start is */
    uint64_t limited_bytes;
    bool overflow;
    size_t count, capacity;
    struct part *parts;
};

struct look *
look_new(struct log *log, int64_t now_us, uint64_t end, const struct look *before)
{
    int64_t interval_us = (int64_t)log->options.scavenge_interval_us;
    struct look *look = interval_us > 0 ? calloc(1, sizeof *look) : NULL;
    if (look == NULL)
        return NULL;
    look->now_us = now_us;
    look->log_end = end;
    look->wait_us = before == NULL || before->wait_us > WAIT_MAX_US / 2 ? WAIT_MAX_US : 2 * before->wait_us;
    if (before == NULL && interval_us < WAIT_MAX_US)
        look->wait_us = interval_us;
    look->topics_changes = log_topics_changes(log);
    look->retention_changes = atomic_load(&log->retention_changes);
    return look;
}

void
look_free(struct look *look)
{
    if (look == NULL)
        return;
    free(look->parts);
    free(look);
}

void
look_note_event(struct look *look, uint64_t bytes)
{
    if (look != NULL)
        look->limited_bytes += bytes;
}

static uint64_t
share(uint64_t bytes, uint64_t some, uint64_t of)
{
    return some >= of ? bytes : (uint64_t)((unsigned __int128)bytes * some / of);
}

/* NULL: there are too many. */
static struct part *
part_of(struct look *look, const struct record *stored)
{
    const struct stored_batch *batch = &stored->batch;
    for (size_t i = look->count; i-- > 0;) {
        struct part *part = &look->parts[i];
        if (part->partition == batch->partition && part->scope == stored->scope
            && memcmp(&part->topic_id, &batch->topic_id, sizeof part->topic_id) == 0)
            return part;
    }
    if (look->count == PARTS_MAX)
        return NULL;
    if (look->count == look->capacity) {
        size_t capacity = look->capacity ? look->capacity * 2 : 8;
        struct part *parts = realloc(look->parts, capacity * sizeof *parts);
        if (parts == NULL)
            return NULL;
        look->parts = parts;
        look->capacity = capacity;
    }
    look->parts[look->count] = (struct part){.scope = stored->scope, .topic_id = batch->topic_id,
                                             .partition = batch->partition, .first_offset = batch->first_offset};
    return &look->parts[look->count++];
}

void
look_note_batch(struct look *look, const struct record *stored, const struct thin_count *count)
{
    if (look == NULL || count->left == 0)
        return;
    struct part *part = part_of(look, stored);
    look->overflow |= part == NULL;
    if (part == NULL)
        return;
    part->last_offset = stored->batch.first_offset + stored->batch.count - 1;
    part->bytes += share(stored->batch.bytes.size, count->left, count->left + count->gone);
    part->records += count->left;
    part->waiting += count->waiting;
}

/* What of a partition is hidden by now. `topic`: NULL when it is deleted. */
static uint64_t
hidden_bytes(const struct part *part, const cairn_topic_ref *topic)
{
    if (topic == NULL)
        return part->bytes;
    uint64_t start = topic_start(topic, part->partition);
    return start <= part->first_offset
               ? 0
               : share(part->bytes, start - part->first_offset, part->last_offset - part->first_offset + 1);
}

/* What may have become of a segment since it was looked at. */
struct weight {
    uint64_t hidden, compacted; /* bytes */
    uint64_t records, old;      /* old: of them, that waited, and need not any more */
};

/* Of a partition, when the log ended there. */
static uint64_t
partition_end(struct log *log, const struct part *part, const cairn_topic_ref *topic, uint64_t log_end, uint64_t when_unknown)
{
    struct series_head head;
    struct hash128 key = partition_key(log, part->scope, &part->topic_id, part->partition);
    cairn_err err = cairn_series_head(log->series, key, log_end, &head, NULL);
    return err == CAIRN_OK ? head.ordinal + 1 : err == CAIRN_E_END ? topic_linked(topic, part->partition) : when_unknown;
}

/* At most so much more may have been compacted away since. */
static void
weigh_compacted(struct log *log, const struct part *part, const cairn_topic_ref *topic, int64_t age_us, struct weight *weight)
{
    uint64_t wait_us = topic->lag_us > topic->null_age_us ? topic->lag_us : topic->null_age_us;
    uint64_t old = age_us > 0 && (uint64_t)age_us >= wait_us ? part->waiting : 0;
    if (!topic->topic.compact)
        return;
    uint64_t newer = part->compact ? partition_end(log, part, topic, cairn_log_end(log), UINT64_MAX) - part->end : part->records;
    weight->compacted += newer < part->records ? share(part->bytes, newer + old, part->records) : part->bytes;
    weight->old += old;
}

static struct weight
weigh(struct log *log, const struct look *look, int64_t now_us)
{
    struct weight weight = {0};
    for (size_t i = 0; i < look->count; i++) {
        const struct part *part = &look->parts[i];
        cairn_topic_ref *topic = log_topic_by_id(log, part->scope, &part->topic_id, false);
        weight.records += part->records;
        weight.hidden += hidden_bytes(part, topic);
        if (topic != NULL)
            weigh_compacted(log, part, topic, now_us - look->now_us, &weight);
        cairn_topic_release(topic);
    }
    return weight;
}

void
look_end(struct look *look, struct log *log, uint64_t bytes, bool worth)
{
    if (look == NULL)
        return;
    for (size_t i = 0; i < look->count; i++) {
        struct part *part = &look->parts[i];
        cairn_topic_ref *topic = log_topic_by_id(log, part->scope, &part->topic_id, false);
        part->compact = topic != NULL && topic->topic.compact;
        part->end = part->compact ? partition_end(log, part, topic, look->log_end, 0) : 0;
        cairn_topic_release(topic);
    }
    look->hidden_bytes = weigh(log, look, look->now_us).hidden;
    look->known_bytes = bytes;
    if (worth)
        look->wait_us = (int64_t)log->options.scavenge_interval_us;
    look->again_us = look->now_us + look->wait_us;
}

bool
look_is_due(struct log *log, const struct segment *segment, int64_t now_us)
{
    const struct look *look = segment->look;
    uint64_t worth = atomic_load(&segment->data_end) / 100 * SWEEP_PERCENT;
    if (look == NULL)
        return true;
    struct weight weight = weigh(log, look, now_us);
    uint64_t gone = look->known_bytes + (weight.hidden > look->hidden_bytes ? weight.hidden - look->hidden_bytes : 0);
    if (gone >= worth)
        return true;
    if (now_us < look->again_us)
        return false;
    return gone + weight.compacted + look->limited_bytes >= worth
           || (weight.old > 0 && weight.old * 100 >= weight.records * SWEEP_PERCENT)
           || look->retention_changes != atomic_load(&log->retention_changes)
           || (look->overflow && look->topics_changes != log_topics_changes(log));
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------ */

void
log_admin_begin(struct log *log)
{
    atomic_fetch_add(&log->admin_waiting, 1);
    pthread_mutex_lock(&log->admin_lock);
    atomic_fetch_sub(&log->admin_waiting, 1);
}

void
log_admin_end(struct log *log)
{
    pthread_mutex_unlock(&log->admin_lock);
}

cairn_err
sweep_may_go_on(struct log *log, cairn_error *error)
{
    if (atomic_load(&log->stopping))
        return error_set(error, CAIRN_E_CLOSED, "scavenging was stopped");
    if (atomic_load(&log->admin_waiting) > 0)
        return error_set(error, CAIRN_E_BUSY, "an administrator is at work");
    return CAIRN_OK;
}

/* What is said of it to whoever watches the store. */
static void
note_failure(struct log *log, cairn_err err, const cairn_error *error)
{
    pthread_mutex_lock(&log->lock);
    if (err == CAIRN_OK)
        log->scavenge_failure = (cairn_error){0};
    else if (err != CAIRN_E_BUSY && err != CAIRN_E_CLOSED)
        log->scavenge_failure = *error;
    pthread_mutex_unlock(&log->lock);
}

void *
scavenger_main(void *context)
{
    struct log *log = context;
    int64_t interval_us = (int64_t)log->options.scavenge_interval_us;
    int64_t next_us = os_monotonic_us(log->os) + interval_us;
    os_lower_priority();
    for (;;) {
        uint32_t seen = atomic_load(&log->scavenger_word); /* before the question: nobody wakes us again */
        if (atomic_load(&log->stopping))
            return NULL;
        int64_t now_us = os_monotonic_us(log->os);
        if (now_us < next_us) {
            os_wait(&log->scavenger_word, seen, (uint64_t)(next_us - now_us));
            continue;
        }
        cairn_scavenge_report report;
        cairn_error error = {0};
        cairn_err err = atomic_load(&log->failed) ? CAIRN_OK : log_sweep(log, &report, &error);
        note_failure(log, err, &error);
        next_us = os_monotonic_us(log->os)
                  + (err == CAIRN_E_BUSY && interval_us > GIVE_WAY_US ? GIVE_WAY_US : interval_us);
    }
}

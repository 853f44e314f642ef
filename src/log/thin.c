/* Thinning: what scavenging makes of a batch.
 *
 * The records that are left keep their bytes, so their offset and time deltas, and with them the head's base and producer
 * fields, mean what they did; only count, size, checksum and compression are new. Positions, offsets and revisions stay
 * taken. So that no revision is given twice when the index is computed again, the thinned batch goes on naming each stream
 * whose last record in it is gone. And as long as it is its producer's newest in the partition, it keeps the head, with no
 * records, by which a broker knows the producer's sequence after a restart.
 *
 * A null value, the newest of its key, goes when it is old enough and nothing that is older is left of the key: whatever was
 * spared (in a segment where too little would be won, or as an event that came another way) would be taken for the newest. */
#include "sweep.h"
#include "topics.h"
#include "unfold.h"

#define OLDER_MAX 1000 /* of a key, looked at for one null value: where there are more, it stays */

enum fate { LEFT, GOES, GONE_NAMELESS, GONE_NAMED };

struct thin_event {
    struct hash128 stream; /* GONE_NAMELESS: none */
    uint16_t stream_size;
    uint8_t fate;
};

/* By stream: the last of its events in the batch. */
struct thin_slot {
    struct hash128 stream;
    uint32_t last; /* index + 1; 0: empty */
};

struct thin {
    struct log *log;
    int64_t now_us;
    uint64_t end;
    bool unasked;
    bool all, compact; /* the rule of the batch's topic */
    uint64_t lag_us, null_age_us;
    struct unfold *unfold;
    struct block *block; /* for looking elsewhere */
    uint64_t from; /* first position of the segment at work */
    struct segment *to;
    struct record stored;
    struct thin_event *events;
    size_t event_capacity;
    struct thin_slot *slots;
    size_t slot_count, slot_capacity; /* powers of two; of the batch at hand, of the largest so far */
    struct buf gone, records, out;
};

struct thin *
thin_new(struct log *log, int64_t now_us, uint64_t end, bool unasked)
{
    struct thin *thin = calloc(1, sizeof *thin);
    struct unfold *unfold = unfold_new();
    struct block *block = block_new();
    if (thin == NULL || unfold == NULL || block == NULL) {
        free(thin);
        unfold_free(unfold);
        block_free(block);
        return NULL;
    }
    thin->block = block;
    thin->log = log;
    thin->now_us = now_us;
    thin->end = end;
    thin->unasked = unasked;
    thin->unfold = unfold;
    return thin;
}

void
thin_free(struct thin *thin)
{
    if (thin == NULL)
        return;
    unfold_free(thin->unfold);
    block_free(thin->block);
    free(thin->events);
    free(thin->slots);
    buf_free(&thin->gone);
    buf_free(&thin->records);
    buf_free(&thin->out);
    free(thin);
}

void
thin_begin(struct thin *thin, const struct segment *from, struct segment *to)
{
    thin->from = from->first_position;
    thin->to = to;
}

static cairn_err
no_memory(cairn_error *error)
{
    return error_set(error, CAIRN_E_NOMEM, "no memory to scavenge a batch");
}

static cairn_err
damaged(const struct thin *thin, const char *fault, cairn_error *error)
{
    return fault == batch_no_memory ? no_memory(error)
                                    : error_set(error, CAIRN_E_CORRUPT, "the batch at position %llu: %s",
                                                (unsigned long long)thin->stored.position, fault);
}

/* Room for so many events, and twice as many slots, all empty. */
static bool
make_room(struct thin *thin, uint32_t count)
{
    if (count > thin->event_capacity) {
        struct thin_event *events = realloc(thin->events, count * sizeof *events);
        if (events == NULL)
            return false;
        thin->events = events;
        thin->event_capacity = count;
    }
    size_t slots = 64;
    while (slots < 2 * (size_t)count)
        slots *= 2;
    if (slots > thin->slot_capacity) {
        free(thin->slots);
        thin->slot_capacity = 0;
        if ((thin->slots = malloc(slots * sizeof *thin->slots)) == NULL)
            return false;
        thin->slot_capacity = slots;
    }
    thin->slot_count = slots;
    memset(thin->slots, 0, slots * sizeof *thin->slots);
    return true;
}

static struct thin_slot *
slot_of(struct thin *thin, struct hash128 stream)
{
    size_t mask = thin->slot_count - 1, at = stream.low & mask;
    while (thin->slots[at].last != 0
           && (thin->slots[at].stream.low != stream.low || thin->slots[at].stream.high != stream.high))
        at = (at + 1) & mask;
    return &thin->slots[at];
}

/* Has the series an entry behind this position? */
static cairn_err
goes_on(const struct thin *thin, struct hash128 key, uint64_t position, bool *ret, cairn_error *error)
{
    struct series_head head;
    cairn_err err = cairn_series_head(thin->log->series, key, thin->end, &head, error);
    *ret = err == CAIRN_OK && head.position > position;
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

/* Has a stored record one of the stream that somebody may still read? */
static cairn_err
has_left(const struct thin *thin, const struct record *stored, cairn_str stream, bool *ret, cairn_error *error)
{
    const struct stored_batch *batch = &stored->batch;
    cairn_str gone = batch->gone, name;
    uint32_t index;
    *ret = stored->kind != RECORD_REMOVED;
    if (stored->kind == RECORD_EVENT) {
        cairn_err err = retention_hides(thin->log, stored, thin->now_us, thin->end, ret, error);
        *ret = !*ret;
        return err;
    }
    if (record_holds_batch(stored))
        *ret = batch->bytes.size > 0
               && !topic_hides_batch(thin->log, stored->scope, &batch->topic_id, batch->partition,
                                     batch->first_offset + batch->count - 1);
    while (*ret && stored->kind == RECORD_THINNED && batch_next_gone(&gone, &index, &name))
        *ret = !cairn_str_equal(name, stream); /* its last one there is gone, and so are those before */
    return CAIRN_OK;
}

/* Does the file that takes the segment's place have the record already that holds this position? */
static bool
is_written(const struct segment *to, uint64_t index)
{
    return index < atomic_load(&to->count) && atomic_load(&atomic_load(&to->offsets)[index]) < atomic_load(&to->data_end);
}

/* The same of what holds a position, as it will be when this segment is done. *ret_end: one past what that holds. */
static cairn_err
is_left(struct thin *thin, uint64_t position, cairn_str stream, bool *ret, uint64_t *ret_end, cairn_error *error)
{
    struct log *log = thin->log;
    struct record stored;
    bool here = position >= thin->from;
    cairn_err err;
    if (!here || thin->to == NULL) {
        err = log_read_stored(log, thin->block, position, BLOCK_POINT, &stored, error);
    } else if (is_written(thin->to, position - thin->from)) {
        err = block_record(log, thin->block, thin->to, position - thin->from, BLOCK_POINT, &stored, error);
    } else {
        *ret = true; /* of the same append */
        return CAIRN_OK;
    }
    if (err != CAIRN_OK)
        return err;
    *ret_end = stored.position + stored.count;
    *ret = false;
    if (here && thin->to == NULL && record_holds_batch(&stored))
        return CAIRN_OK; /* it would go with this one */
    return has_left(thin, &stored, stream, ret, error);
}

/* Is a record of the stream left that is older than this batch? What it holds itself goes with it, or stays with it. */
static cairn_err
older_is_left(struct thin *thin, struct hash128 key, cairn_str stream, bool *ret, cairn_error *error)
{
    struct series_read read = {.key = key, .by = SERIES_BY_POSITION, .end = thin->stored.position};
    struct series_head entries[64];
    *ret = false;
    for (size_t seen = 0, count;; seen += count) {
        cairn_err err = cairn_series_read(thin->log->series, &read, entries, 64, &count, error);
        if (err != CAIRN_OK || count == 0)
            return err;
        *ret = seen + count > OLDER_MAX;
        for (size_t i = 0; i < count && !*ret && err == CAIRN_OK; i++)
            if (entries[i].position >= read.from)
                err = is_left(thin, entries[i].position, stream, ret, &read.from, error);
        if (err != CAIRN_OK || *ret)
            return err;
    }
}

/* In a compacting topic. A record without a key is none that another could take the place of. */
static cairn_err
decide_by_key(struct thin *thin, const struct record *record, struct hash128 stream, bool *ret_goes, bool *ret_waits,
              cairn_error *error)
{
    char text[RECORD_STREAM_MAX];
    cairn_str key;
    bool newer, older;
    uint64_t age_us = record->time_us < thin->now_us ? (uint64_t)(thin->now_us - record->time_us) : 0;
    if (!stream_record_key(record->stream, text, &key))
        return CAIRN_OK;
    cairn_err err = goes_on(thin, stream, record->position, &newer, error);
    if (err != CAIRN_OK || (!newer && !record->null_value))
        return err;
    *ret_waits = age_us < (newer ? thin->lag_us : thin->null_age_us);
    *ret_goes = !*ret_waits;
    if (newer || *ret_waits)
        return CAIRN_OK;
    err = older_is_left(thin, stream, record->stream, &older, error);
    *ret_goes = !older;
    return err;
}

static cairn_err
decide(struct thin *thin, const struct record *record, struct hash128 stream, enum fate *ret, struct thin_count *count,
       cairn_error *error)
{
    bool goes = thin->all, waits = false;
    cairn_err err = CAIRN_OK;
    if (!goes)
        err = retention_hides(thin->log, record, thin->now_us, thin->end, &goes, error);
    if (err == CAIRN_OK && !goes && thin->compact) {
        err = decide_by_key(thin, record, stream, &goes, &waits, error);
        count->nulls += goes && record->null_value;
    }
    if (err == CAIRN_OK && thin->unasked)
        err = sweep_may_go_on(thin->log, error);
    count->waiting += waits;
    *ret = goes ? GOES : LEFT;
    return err;
}

/* What does the topic say? False: none of the batch is hidden, neither by it nor by any stream's retention. */
static bool
ask_topic(struct thin *thin, const struct record *stored)
{
    const struct stored_batch *batch = &stored->batch;
    struct log *log = thin->log;
    cairn_topic_ref *topic = log_topic_by_id(log, stored->scope, &batch->topic_id, false);
    thin->compact = topic != NULL && topic->topic.compact;
    thin->lag_us = topic != NULL ? topic->lag_us : 0;
    thin->null_age_us = topic != NULL && topic->null_age_us > thin->lag_us ? topic->null_age_us : thin->lag_us;
    cairn_topic_release(topic);
    thin->all = topic_hides_batch(log, stored->scope, &batch->topic_id, batch->partition,
                                  batch->first_offset + batch->count - 1);
    return thin->all || thin->compact || retention_any(log)
           || topic_hides_batch(log, stored->scope, &batch->topic_id, batch->partition, batch->first_offset);
}

/* What the thinned one is smaller by, if its records are alike. */
static uint64_t
estimate(struct thin *thin, const struct thin_count *count)
{
    const struct stored_batch *batch = &thin->stored.batch;
    uint64_t size = BATCH_RECORD_HEAD_SIZE + 8 * (uint64_t)batch->revision_count + THINNED_FIXED_SIZE + batch->category.size;
    if (count->left > 0)
        size += (uint64_t)batch->bytes.size * count->left / (count->left + count->gone);
    for (uint32_t i = 0; i < thin->stored.count; i++) {
        const struct thin_event *event = &thin->events[i];
        if (event->fate != LEFT && event->fate != GONE_NAMELESS && slot_of(thin, event->stream)->last == i + 1)
            size += 6 + (uint64_t)event->stream_size;
    }
    return count->gone > 0 && size < thin->stored.size ? thin->stored.size - size : 0;
}

cairn_err
thin_look(struct thin *thin, const struct record *stored, struct thin_count *ret, cairn_error *error)
{
    struct batch_head head;
    *ret = (struct thin_count){0};
    if (stored->batch.bytes.size == 0)
        return CAIRN_OK;
    thin->stored = *stored;
    const char *fault = batch_head_read(stored->batch.bytes, &head);
    if (fault != NULL)
        return damaged(thin, fault, error);
    ret->left = head.count;
    if (head.count == 0 || !ask_topic(thin, stored))
        return CAIRN_OK;
    fault = unfold_open(thin->unfold, stored);
    if (fault != NULL)
        return damaged(thin, fault, error);
    if (!make_room(thin, stored->count))
        return no_memory(error);
    for (uint32_t i = 0; i < stored->count; i++) {
        struct record record;
        struct thin_event *event = &thin->events[i];
        enum fate fate = GONE_NAMELESS;
        fault = unfold_at(thin->unfold, stored->position + i, true, &record);
        if (fault != NULL)
            return damaged(thin, fault, error);
        if (record.stream.size > 0) {
            event->stream = log_key(thin->log, KEY_STREAM, record.scope, record.stream);
            event->stream_size = (uint16_t)record.stream.size;
            *slot_of(thin, event->stream) = (struct thin_slot){event->stream, i + 1};
            fate = GONE_NAMED;
        }
        if (record.kind == RECORD_EVENT) {
            cairn_err err = decide(thin, &record, event->stream, &fate, ret, error);
            if (err != CAIRN_OK)
                return err;
        }
        ret->gone += fate == GOES;
        event->fate = (uint8_t)fate;
    }
    ret->left -= ret->gone;
    ret->bytes = estimate(thin, ret);
    return CAIRN_OK;
}

/* The streams to go on naming. */
static const char *
put_gone(struct thin *thin, uint32_t *ret_count)
{
    buf_clear(&thin->gone);
    *ret_count = 0;
    for (uint32_t i = 0; i < thin->stored.count; i++) {
        const struct thin_event *event = &thin->events[i];
        if ((event->fate != GOES && event->fate != GONE_NAMED) || slot_of(thin, event->stream)->last != i + 1)
            continue;
        struct record record;
        const char *fault = unfold_at(thin->unfold, thin->stored.position + i, true, &record);
        if (fault != NULL)
            return fault;
        char head[6];
        store32(head, i);
        store16(head + 4, (uint16_t)record.stream.size);
        buf_put(&thin->gone, head, sizeof head);
        buf_put_str(&thin->gone, record.stream);
        ++*ret_count;
    }
    return thin->gone.failed ? batch_no_memory : NULL;
}

/* The records that are left, as they are. */
static const char *
gather(struct thin *thin, uint32_t *ret_left)
{
    buf_clear(&thin->records);
    *ret_left = 0;
    for (uint32_t number = 0; number < unfold_count(thin->unfold); number++) {
        uint32_t index;
        cairn_str bytes;
        const char *fault = unfold_bytes(thin->unfold, number, &index, &bytes);
        if (fault != NULL)
            return fault;
        if (thin->events[index].fate != LEFT)
            continue;
        buf_put_str(&thin->records, bytes);
        ++*ret_left;
    }
    return thin->records.failed ? batch_no_memory : NULL;
}

/* A batch of them, into thin->out behind what is there. */
static const char *
put_batch(struct thin *thin, struct batch_head *head, uint32_t left)
{
    struct buf *out = &thin->out;
    size_t at = out->size;
    if (left == 0)
        head->attributes &= (uint16_t)~BATCH_CODEC_BITS; /* nothing is not compressed */
    enum batch_codec codec = (enum batch_codec)(head->attributes & BATCH_CODEC_BITS);
    if (!buf_reserve(out, BATCH_HEAD_SIZE))
        return batch_no_memory;
    out->size += BATCH_HEAD_SIZE;
    if (codec == BATCH_PLAIN)
        buf_put_str(out, buf_str(&thin->records));
    else if (!codec_pack(codec, buf_str(&thin->records), out))
        return batch_no_memory;
    if (out->failed)
        return batch_no_memory;
    head->count = left;
    head->size = (uint32_t)(out->size - at);
    batch_head_write((uint8_t *)out->data + at, head);
    return NULL;
}

/* What is left of the batch, if anything. */
static cairn_err
put_left(struct thin *thin, cairn_error *error)
{
    const struct record *stored = &thin->stored;
    const struct stored_batch *batch = &stored->batch;
    struct batch_head head;
    uint32_t left = 0;
    const char *fault = gather(thin, &left);
    if (fault == NULL)
        fault = batch_head_read(batch->bytes, &head);
    if (fault == NULL && left == 0) {
        bool newer = true;
        cairn_err err = CAIRN_OK;
        if (!thin->all && head.producer_id >= 0)
            err = goes_on(thin, producer_key(thin->log, stored->scope, &batch->topic_id, batch->partition, head.producer_id),
                          stored->position, &newer, error);
        if (err != CAIRN_OK || newer)
            return err;
    }
    if (fault == NULL)
        fault = put_batch(thin, &head, left);
    return fault != NULL ? damaged(thin, fault, error) : CAIRN_OK;
}

cairn_err
thin_encode(struct thin *thin, cairn_str *ret, cairn_error *error)
{
    const struct stored_batch *batch = &thin->stored.batch;
    uint32_t gone_count;
    const char *fault = put_gone(thin, &gone_count);
    if (fault != NULL)
        return damaged(thin, fault, error);
    size_t placed = 8 * (size_t)batch->revision_count, body_at = BATCH_RECORD_HEAD_SIZE + placed;
    struct buf *out = &thin->out;
    buf_clear(out);
    if (!buf_reserve(out, body_at + THINNED_FIXED_SIZE))
        return no_memory(error);
    out->size = body_at + THINNED_FIXED_SIZE;
    buf_put_str(out, batch->category);
    buf_put_str(out, buf_str(&thin->gone));
    size_t batch_at = out->size;
    cairn_err err = out->failed ? no_memory(error) : put_left(thin, error);
    if (err != CAIRN_OK)
        return err;

    uint8_t *record = (uint8_t *)out->data, *body = record + body_at;
    memset(record, 0, BATCH_RECORD_HEAD_SIZE);
    memcpy(record + BATCH_RECORD_HEAD_SIZE, batch->revisions, placed);
    record_leaf(&thin->stored, body);
    store32(body + 32, thin->stored.scope);
    store32(body + 36, batch->count);
    memcpy(body + 40, batch->topic_id.bytes, 16);
    store32(body + 56, batch->partition);
    store16(body + 60, (uint16_t)batch->category.size);
    store16(body + 62, 0);
    store32(body + 64, (uint32_t)(out->size - batch_at));
    store32(body + 68, gone_count);
    store32(record + 4, (uint32_t)out->size);
    store32(record + 8, crc32c(0, body, out->size - body_at));
    store32(record + 12, RECORD_THINNED);
    store32(record + 40, (uint32_t)placed);
    *ret = buf_str(out);
    return CAIRN_OK;
}

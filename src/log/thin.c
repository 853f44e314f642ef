/* Thinning: what scavenging makes of a batch.
 *
 * The records that are left keep their bytes, so their offset and time deltas, and with them the head's base and producer
 * fields, mean what they did; only count, size, checksum and compression are new. Positions, offsets and revisions stay
 * taken. So that no revision is given twice when the index is computed again, the thinned batch goes on naming each stream
 * whose last record in it is gone. And as long as it is its producer's newest in the partition, it keeps the head, with no
 * records, by which a broker knows the producer's sequence after a restart. */
#include "thin.h"
#include "topics.h"
#include "unfold.h"

enum fate { LEFT, GOES, GONE_NAMELESS, GONE_NAMED };

struct thin_event {
    struct hash128 stream; /* GONE_NAMELESS: none */
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
    bool all, compact; /* the rule of the batch's topic */
    struct unfold *unfold;
    struct record stored;
    struct thin_event *events;
    size_t event_capacity;
    struct thin_slot *slots;
    size_t slot_capacity; /* a power of two */
    struct buf gone, records, out;
};

struct thin *
thin_new(struct log *log, int64_t now_us, uint64_t end)
{
    struct thin *thin = calloc(1, sizeof *thin);
    struct unfold *unfold = unfold_new();
    if (thin == NULL || unfold == NULL) {
        free(thin);
        unfold_free(unfold);
        return NULL;
    }
    thin->log = log;
    thin->now_us = now_us;
    thin->end = end;
    thin->unfold = unfold;
    return thin;
}

void
thin_free(struct thin *thin)
{
    if (thin == NULL)
        return;
    unfold_free(thin->unfold);
    free(thin->events);
    free(thin->slots);
    buf_free(&thin->gone);
    buf_free(&thin->records);
    buf_free(&thin->out);
    free(thin);
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
    memset(thin->slots, 0, thin->slot_capacity * sizeof *thin->slots);
    return true;
}

static struct thin_slot *
slot_of(struct thin *thin, struct hash128 stream)
{
    size_t mask = thin->slot_capacity - 1, at = stream.low & mask;
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

/* A record without a key is none that another could take the place of. */
static cairn_err
decide(const struct thin *thin, const struct record *record, struct hash128 stream, enum fate *ret, cairn_error *error)
{
    char text[RECORD_STREAM_MAX];
    cairn_str key;
    bool goes = thin->all;
    cairn_err err = CAIRN_OK;
    if (!goes)
        err = retention_hides(thin->log, record, thin->now_us, thin->end, &goes, error);
    if (err == CAIRN_OK && !goes && thin->compact && stream_record_key(record->stream, text, &key))
        err = goes_on(thin, stream, record->position, &goes, error);
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
    cairn_topic_release(topic);
    thin->all = topic_hides_batch(log, stored->scope, &batch->topic_id, batch->partition,
                                  batch->first_offset + batch->count - 1);
    return thin->all || thin->compact || retention_any(log)
           || topic_hides_batch(log, stored->scope, &batch->topic_id, batch->partition, batch->first_offset);
}

cairn_err
thin_look(struct thin *thin, const struct record *stored, uint32_t *ret_gone, uint64_t *ret_bytes, cairn_error *error)
{
    *ret_gone = 0;
    *ret_bytes = 0;
    if (stored->batch.bytes.size == 0 || !ask_topic(thin, stored))
        return CAIRN_OK;
    thin->stored = *stored;
    const char *fault = unfold_open(thin->unfold, stored);
    if (fault != NULL)
        return damaged(thin, fault, error);
    if (unfold_count(thin->unfold) == 0)
        return CAIRN_OK;
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
            *slot_of(thin, event->stream) = (struct thin_slot){event->stream, i + 1};
            fate = GONE_NAMED;
        }
        if (record.kind == RECORD_EVENT) {
            cairn_err err = decide(thin, &record, event->stream, &fate, error);
            if (err != CAIRN_OK)
                return err;
        }
        *ret_gone += fate == GOES;
        event->fate = (uint8_t)fate;
    }
    *ret_bytes = (uint64_t)stored->batch.bytes.size * *ret_gone / unfold_count(thin->unfold);
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

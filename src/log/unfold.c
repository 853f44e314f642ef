/* Unfolding: from a stored batch to its events. See unfold.h.
 *
 * A record's index is its position, and its offset, counted from the batch's first. In a batch as it came, record number i has
 * index i (prepare saw to that). Where scavenging has taken records out, those that are left keep their index, and are found by
 * binary search. */
#include "unfold.h"

#define KEPT_MAX (1u << 20) /* decompressed bytes whose memory is kept for the next batch */

struct unfold {
    bool open;
    struct record stored;
    struct batch_cursor cursor;
    uint32_t number, index; /* thinned: of the record found last; what is asked for next is mostly the one after it */
    cairn_str gone;         /* thinned: what follows the one found last */
    uint32_t gone_index;    /* its index + 1 */
    struct arena arena;
    struct record_names names;
    char stream[RECORD_STREAM_MAX];
};

struct unfold *
unfold_new(void)
{
    return calloc(1, sizeof(struct unfold));
}

void
unfold_forget(struct unfold *unfold)
{
    if (unfold == NULL || !unfold->open)
        return;
    unfold->open = false;
    if (unfold->cursor.unpacked.capacity > KEPT_MAX)
        batch_close(&unfold->cursor);
}

void
unfold_free(struct unfold *unfold)
{
    if (unfold == NULL)
        return;
    batch_close(&unfold->cursor);
    arena_free(&unfold->arena);
    free(unfold);
}

bool
unfold_has(const struct unfold *unfold, uint64_t position)
{
    const struct stored_batch *batch = &unfold->stored.batch;
    return unfold->open && position >= batch->first_position && position - batch->first_position < batch->count;
}

uint32_t
unfold_count(const struct unfold *unfold)
{
    return unfold->cursor.head.count;
}

/* Record number `number`, as its producer sent it. */
static const char *
unfold_record(struct unfold *unfold, uint32_t number, struct batch_record *ret)
{
    if (!batch_record_at(&unfold->cursor, number, ret))
        return unfold->cursor.fault;
    bool as_it_came = unfold->stored.kind == RECORD_BATCH;
    if (ret->offset_delta < 0 || ret->offset_delta >= unfold->stored.batch.count
        || (as_it_came && ret->offset_delta != number))
        return "a record of the batch has an impossible offset";
    return NULL;
}

/* Binary search needs them in order; in a batch as it came, each index is checked when it is asked for. */
static const char *
check_order(struct unfold *unfold)
{
    int64_t before = -1;
    for (uint32_t number = 0; number < unfold_count(unfold); number++) {
        struct batch_record record;
        const char *fault = unfold_record(unfold, number, &record);
        if (fault != NULL)
            return fault;
        if (record.offset_delta <= before)
            return "the offsets of the batch's records do not ascend";
        before = record.offset_delta;
    }
    return NULL;
}

const char *
unfold_open(struct unfold *unfold, const struct record *stored)
{
    assert(record_holds_batch(stored));
    unfold_forget(unfold);
    const struct stored_batch *batch = &stored->batch;
    struct batch_head *head = &unfold->cursor.head;
    if (batch->bytes.size == 0) {
        if (stored->kind == RECORD_BATCH)
            return "the batch is empty";
        batch_close(&unfold->cursor);
    } else {
        const char *fault = batch_open(&unfold->cursor, batch->bytes);
        if (fault != NULL)
            return fault;
        if (head->size != batch->bytes.size)
            return "there is something behind the batch";
        if (head->count > batch->count || (stored->kind == RECORD_BATCH && head->count < batch->count))
            return "the batch has another number of records than its positions";
    }
    unfold->stored = *stored;
    unfold->number = UINT32_MAX;
    unfold->gone = stored->batch.gone;
    unfold->gone_index = 0;
    const char *fault = stored->kind == RECORD_THINNED ? check_order(unfold) : NULL;
    unfold->open = fault == NULL;
    return fault;
}

const char *
unfold_bytes(struct unfold *unfold, uint32_t number, uint32_t *ret_index, cairn_str *ret_bytes)
{
    struct batch_record record;
    const char *fault = unfold_record(unfold, number, &record);
    if (fault != NULL)
        return fault;
    const struct batch_cursor *cursor = &unfold->cursor;
    const char *starts = cursor->starts.data + number * sizeof(uint32_t);
    const uint8_t *begin = cursor->records + load32(starts);
    const uint8_t *end = number + 1 < cursor->head.count ? cursor->records + load32(starts + sizeof(uint32_t)) : cursor->end;
    *ret_index = (uint32_t)record.offset_delta;
    *ret_bytes = (cairn_str){(const char *)begin, (size_t)(end - begin)};
    return NULL;
}

/* The same where some are gone. */
static const char *
find_left(struct unfold *unfold, uint32_t index, struct batch_record *ret, bool *ret_there)
{
    uint32_t low = 0, high = unfold_count(unfold);
    if (unfold->number < high && index > unfold->index)
        low = unfold->number + 1;
    bool near = low > 0;
    while (low < high) { /* what is sought is one of [low, high), or gone */
        uint32_t at = near ? low : low + (high - low) / 2;
        const char *fault = unfold_record(unfold, at, ret);
        if (fault != NULL)
            return fault;
        if (ret->offset_delta == index) {
            unfold->number = at;
            unfold->index = index;
            *ret_there = true;
            return NULL;
        }
        near = false;
        if (ret->offset_delta < index)
            low = at + 1;
        else
            high = at;
    }
    *ret_there = false;
    return NULL;
}

/* The record at an index; *ret_there false: it is gone. */
static const char *
find(struct unfold *unfold, uint32_t index, struct batch_record *ret, bool *ret_there)
{
    if (unfold->stored.kind == RECORD_THINNED)
        return find_left(unfold, index, ret, ret_there);
    *ret_there = true;
    return unfold_record(unfold, index, ret);
}

/* What is gone has a stream only where its batch says so. */
static cairn_str
gone_stream(struct unfold *unfold, uint32_t index)
{
    if (index < unfold->gone_index) { /* backward: from the beginning */
        unfold->gone = unfold->stored.batch.gone;
        unfold->gone_index = 0;
    }
    for (;;) {
        cairn_str rest = unfold->gone, stream;
        uint32_t at;
        if (!batch_next_gone(&rest, &at, &stream) || at > index)
            return (cairn_str){0};
        unfold->gone = rest;
        unfold->gone_index = at + 1;
        if (at == index)
            return stream;
    }
}

static bool
pack_tags(struct arena *arena, const cairn_str *tags, size_t count, struct record *ret)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += 2 + tags[i].size;
    ret->event.tags = NULL;
    ret->event.tag_count = count;
    if (size == 0)
        return true;
    char *at = arena_alloc(arena, size);
    if (at == NULL)
        return false;
    ret->tags_packed = (cairn_str){at, size};
    for (size_t i = 0; i < count; i++) {
        store16(at, (uint16_t)tags[i].size);
        memcpy(at + 2, tags[i].data, tags[i].size);
        at += 2 + tags[i].size;
    }
    return true;
}

const char *
unfold_at(struct unfold *unfold, uint64_t position, bool only_names, struct record *ret)
{
    assert(unfold_has(unfold, position));
    const struct record *stored = &unfold->stored;
    const struct stored_batch *batch = &stored->batch;
    uint32_t index = (uint32_t)(position - batch->first_position);
    struct batch_record record;
    bool there;
    const char *fault = find(unfold, index, &record, &there);
    if (fault != NULL)
        return fault;
    *ret = *stored;
    ret->count = 1;
    ret->position = position;
    ret->revision = batch_revision(batch, index);
    ret->unfolded = true;
    ret->batch_index = index;
    ret->place = (struct record_place){batch->topic_id, batch->category, batch->partition, batch->first_offset + index};
    if (!there) {
        ret->kind = RECORD_REMOVED;
        ret->stream = gone_stream(unfold, index);
        return NULL;
    }
    ret->kind = RECORD_EVENT;
    ret->leaf = NULL;
    ret->null_value = !record.has_value;
    arena_reset(&unfold->arena);
    if (only_names) {
        struct record_names *names = &unfold->names;
        if (!record_names(&record, batch->category, &unfold->arena, names)
            || !pack_tags(&unfold->arena, names->tags, names->tag_count, ret))
            return batch_no_memory;
        ret->stream = names->stream;
        ret->event.type = names->type;
        ret->event.correlation = names->correlation;
        return NULL;
    }
    ret->stream = record_stream(batch->category, record.has_key ? &record.key : NULL, unfold->stream);
    if (!record_to_event(&record, &ret->place, &unfold->arena, &ret->event)
        || !pack_tags(&unfold->arena, ret->event.tags, ret->event.tag_count, ret))
        return batch_no_memory;
    return NULL;
}

/* Reading records: position → segment → offset → bytes, checked.
 *
 * A block is a window on one segment's file. Scans read ahead, in either direction; point reads take
 * just the record. A batch that lies in the window is opened once (unfold.h), and stays so until the window moves. No lock is taken: what
 * lies below `durable` never changes, and a segment that scavenging replaces stays until the epoch has
 * passed (log_read_record's callers are inside one). */
#include "unfold.h"

#define BLOCK_OFFSETS 256

#define BLOCK_LOOK 4096u /* read of a batch whose size only its head tells */

struct block {
    bool only_names;
    struct unfold *unfold; /* of a batch in the window; NULL: there was none yet */
    uint64_t generation; /* of the segment: its pointer may be reused; 0: none */
    uint8_t *bytes;
    size_t capacity, size;
    uint64_t offset;    /* in the file of bytes[0] */
    uint64_t first;     /* index of the record at offsets[0] */
    size_t offset_count; /* records whose offsets are known; offsets has one more */
    uint32_t offsets[BLOCK_OFFSETS + 1];
};

struct block *
block_new(void)
{
    return calloc(1, sizeof(struct block));
}

void
block_free(struct block *block)
{
    if (block == NULL)
        return;
    unfold_free(block->unfold);
    free(block->bytes);
    free(block);
}

/* Records that may be read: in the active segment only what is durable, since the rest may yet be taken
 * back (disk full) and written anew. */
static uint64_t
segment_visible(struct log *log, const struct segment *segment)
{
    uint64_t durable = atomic_load_explicit(&log->durable, memory_order_acquire);
    uint64_t count = atomic_load_explicit(&segment->count, memory_order_acquire);
    uint64_t below = durable > segment->first_position ? durable - segment->first_position : 0;
    return count < below ? count : below;
}

/* Make the window of offsets cover record `index`. */
static cairn_err
cover_offsets(struct log *log, struct block *block, struct segment *segment, uint64_t index,
              enum block_mode mode, cairn_error *error)
{
    if (block->generation == segment->generation && index >= block->first
        && index < block->first + block->offset_count)
        return CAIRN_OK;
    uint64_t count = segment_visible(log, segment), first = index;
    size_t n = 1;
    assert(index < count);
    if (mode == BLOCK_SCAN) {
        n = count - index < BLOCK_OFFSETS ? (size_t)(count - index) : BLOCK_OFFSETS;
    } else if (mode == BLOCK_SCAN_BACKWARD) {
        first = index >= BLOCK_OFFSETS - 1 ? index - (BLOCK_OFFSETS - 1) : 0;
        n = (size_t)(index - first) + 1;
    }
    if (block->generation != segment->generation) {
        unfold_forget(block->unfold);
        block->generation = segment->generation;
        block->size = 0;
    }
    block->offset_count = 0;
    cairn_err err = segment_offsets(log, segment, first, n, block->offsets, error);
    if (err != CAIRN_OK)
        return err;
    block->first = first;
    block->offset_count = n;
    return CAIRN_OK;
}

/* Make the window of bytes cover [begin, end) of the file, reading `ahead` more in the mode's direction. */
static cairn_err
cover_bytes(struct log *log, struct block *block, struct segment *segment, uint64_t begin,
            uint64_t end, enum block_mode mode, cairn_error *error)
{
    /* data_end was published before the durable position that allowed this read; bytes after it may
     * change, so they must not be kept in the window. */
    uint64_t limit = atomic_load_explicit(&segment->data_end, memory_order_acquire);
    if (end > limit)
        end = limit;
    if (begin >= block->offset && end <= block->offset + block->size)
        return CAIRN_OK;
    uint64_t from = begin, to = end;
    if (mode == BLOCK_SCAN && end - begin < BLOCK_AHEAD)
        to = begin + BLOCK_AHEAD;
    else if (mode == BLOCK_SCAN_BACKWARD && end - begin < BLOCK_AHEAD)
        from = end > BLOCK_AHEAD ? end - BLOCK_AHEAD : 0;
    if (to > limit)
        to = limit;
    if (to <= from)
        return CAIRN_OK; /* the offset is beyond the data: decoding will say so */
    size_t size = (size_t)(to - from);
    unfold_forget(block->unfold);
    if (size > block->capacity) {
        uint8_t *bytes = realloc(block->bytes, size);
        if (bytes == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory to read %zu bytes", size);
        block->bytes = bytes;
        block->capacity = size;
    }
    block->size = 0;
    ssize_t n = os_pread(log->os, segment->file, block->bytes, size, from);
    if (n < 0)
        return error_set_errno(error, (int)-n, "%s at byte %llu: cannot read", segment->path,
                               (unsigned long long)from);
    block->offset = from;
    block->size = (size_t)n;
    return CAIRN_OK;
}

/* Where the record of position `index` ends, or may end at most (padding and the next frame's header may lie between): where
 * the next position has another record. 0: the window does not tell, since the next one's is the same. */
static uint64_t
end_by_offsets(const struct block *block, uint64_t index)
{
    size_t at = (size_t)(index - block->first);
    for (size_t i = at + 1; i <= block->offset_count; i++)
        if (block->offsets[i] != block->offsets[at])
            return block->offsets[i];
    return 0;
}

/* By its head, which alone is read, where the window does not have it. When it is damaged, the record ends with it. */
static cairn_err
end_by_head(struct log *log, struct block *block, struct segment *segment, uint64_t begin, uint64_t *ret_end,
            cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    if (begin < block->offset || begin + BATCH_RECORD_HEAD_SIZE > block->offset + block->size)
        err = cover_bytes(log, block, segment, begin, begin + BLOCK_LOOK, BLOCK_POINT, error);
    if (err != CAIRN_OK || begin < block->offset || begin >= block->offset + block->size)
        return err;
    cairn_str head = {(char *)block->bytes + (begin - block->offset), (size_t)(block->offset + block->size - begin)};
    bool sound = record_check_head(head, segment->seed) == NULL;
    *ret_end = begin + (sound ? load32(head.data + 4) : BATCH_RECORD_HEAD_SIZE);
    return CAIRN_OK;
}

cairn_err
block_record(struct log *log, struct block *block, struct segment *segment, uint64_t index,
             enum block_mode mode, struct record *ret, cairn_error *error)
{
    cairn_err err = cover_offsets(log, block, segment, index, mode, error);
    if (err != CAIRN_OK)
        return err;
    uint64_t begin = block->offsets[index - block->first], end = end_by_offsets(block, index);
    const char *fault = "its offset is impossible";
    if (begin >= SEGMENT_HEADER_SIZE && end == 0)
        err = end_by_head(log, block, segment, begin, &end, error);
    if (err != CAIRN_OK)
        return err;
    if (begin >= SEGMENT_HEADER_SIZE && end > begin
        && end - begin <= LOG_SEGMENT_MAX) {
        err = cover_bytes(log, block, segment, begin, end, mode, error);
        if (err != CAIRN_OK)
            return err;
        uint64_t have = block->offset + block->size, position = segment->first_position + index;
        cairn_str bytes = {0};
        if (begin >= block->offset && begin < have)
            bytes = (cairn_str){(char *)block->bytes + (begin - block->offset),
                                (size_t)((end < have ? end : have) - begin)};
        fault = record_decode(bytes, segment->seed, ret);
        if (fault == NULL && ret->position <= position && position - ret->position < ret->count)
            return CAIRN_OK;
        if (fault == NULL)
            fault = "another event's record lies there";
    }
    unfold_forget(block->unfold);
    block->generation = 0;
    return error_set(error, CAIRN_E_CORRUPT, "%s at byte %llu: event %llu: %s", segment->path,
                     (unsigned long long)begin,
                     (unsigned long long)(segment->first_position + index), fault);
}

struct segment *
log_segment_at(struct log *log, uint64_t position)
{
    uint32_t low = 0, high = atomic_load_explicit(&log->segment_count, memory_order_acquire);
    assert(high > 0);
    while (high - low > 1) { /* slots[low] begins at or before position */
        uint32_t middle = low + (high - low) / 2;
        if (atomic_load_explicit(&log->slots[middle], memory_order_acquire)->first_position
            <= position)
            low = middle;
        else
            high = middle;
    }
    return atomic_load_explicit(&log->slots[low], memory_order_acquire);
}

cairn_err
log_read_stored(struct log *log, struct block *block, uint64_t position, enum block_mode mode,
                struct record *ret, cairn_error *error)
{
    uint32_t parity = epoch_enter(log);
    struct segment *segment = log_segment_at(log, position);
    cairn_err err = block_record(log, block, segment, position - segment->first_position, mode, ret,
                                 error);
    epoch_leave(log, parity);
    return err;
}

/* The front of a large batch that lies at `begin` in the segment's file. CAIRN_E_END: there is none. */
static cairn_err
find_front(struct log *log, struct block *block, struct segment *segment, uint64_t begin, size_t least, enum block_mode mode,
           struct record *ret, cairn_error *error)
{
    cairn_str front = {0};
    cairn_err err = cover_bytes(log, block, segment, begin, begin + BLOCK_LOOK, mode, error);
    for (int tries = 0; err == CAIRN_OK && tries < 2; tries++) {
        if (begin < block->offset || begin >= block->offset + block->size)
            return CAIRN_E_END;
        front = (cairn_str){(char *)block->bytes + (begin - block->offset), (size_t)(block->offset + block->size - begin)};
        if (record_check_head(front, segment->seed) != NULL || load32(front.data + 12) != RECORD_BATCH
            || load32(front.data + 4) < least || record_front_size(front) >= least)
            return CAIRN_E_END;
        if (front.size >= record_front_size(front))
            break;
        err = cover_bytes(log, block, segment, begin, begin + record_front_size(front), BLOCK_POINT, error);
    }
    if (err != CAIRN_OK)
        return err;
    if (front.size > record_front_size(front))
        front.size = record_front_size(front);
    return record_decode_front(front, segment->seed, ret) == NULL && ret->batch.bytes.size >= least ? CAIRN_OK : CAIRN_E_END;
}

cairn_err
log_find_batch(struct log *log, struct block *block, uint64_t position, size_t least, enum block_mode mode,
               struct record *ret, struct log_extent *ret_extent, cairn_error *error)
{
    uint32_t parity = epoch_enter(log);
    struct segment *segment = log_segment_at(log, position);
    uint64_t index = position - segment->first_position;
    cairn_err err = cover_offsets(log, block, segment, index, mode, error);
    if (err == CAIRN_OK) {
        uint64_t begin = block->offsets[index - block->first];
        err = find_front(log, block, segment, begin, least, mode, ret, error);
        if (err == CAIRN_OK) {
            uint64_t bytes_at = (uint64_t)(ret->batch.bytes.data - (char *)block->bytes) + block->offset;
            int file = os_descriptor(log->os, segment->file); /* the file may be replaced, or closed, behind us */
            *ret_extent = (struct log_extent){file, bytes_at};
            err = file < 0 ? CAIRN_E_END : CAIRN_OK;
        }
    }
    epoch_leave(log, parity);
    return err;
}

void
block_only_names(struct block *block)
{
    block->only_names = true;
}

/* A batch is damaged, though its checksums hold: nobody but us could have written it so. */
static cairn_err
bad_batch(struct block *block, const struct segment *segment, uint64_t position,
          const char *fault, cairn_error *error)
{
    if (block->unfold == NULL || fault == batch_no_memory)
        return error_set(error, CAIRN_E_NOMEM, "no memory to read the batch at position %llu",
                         (unsigned long long)position);
    unfold_forget(block->unfold);
    return error_set(error, CAIRN_E_CORRUPT, "%s: the batch that holds event %llu: %s", segment->path,
                     (unsigned long long)position, fault);
}

/* Inside an epoch. */
static cairn_err
read_record(struct log *log, struct block *block, struct segment *segment, uint64_t position,
            enum block_mode mode, struct record *ret, cairn_error *error)
{
    bool open = block->unfold != NULL && block->generation == segment->generation
                && unfold_has(block->unfold, position);
    const char *fault = NULL;
    if (!open) {
        cairn_err err = block_record(log, block, segment, position - segment->first_position, mode,
                                     ret, error);
        if (err != CAIRN_OK || !record_holds_batch(ret))
            return err;
        if (block->unfold == NULL && (block->unfold = unfold_new()) == NULL)
            return bad_batch(block, segment, position, NULL, error);
        fault = unfold_open(block->unfold, ret);
    }
    if (fault == NULL)
        fault = unfold_at(block->unfold, position, block->only_names, ret);
    return fault == NULL ? CAIRN_OK : bad_batch(block, segment, position, fault, error);
}

cairn_err
log_read_record(struct log *log, struct block *block, uint64_t position, enum block_mode mode,
                struct record *ret, cairn_error *error)
{
    uint32_t parity = epoch_enter(log);
    struct segment *segment = log_segment_at(log, position);
    cairn_err err = read_record(log, block, segment, position, mode, ret, error);
    epoch_leave(log, parity);
    return err;
}

/* Two flips: a reader may have read the epoch before the first one and counted itself after it. */
void
epoch_wait(struct log *log)
{
    pthread_mutex_lock(&log->epoch_lock);
    for (int flip = 0; flip < 2; flip++) {
        uint32_t parity = atomic_fetch_add(&log->epoch, 1) & 1;
        while (atomic_load(&log->epoch_readers[parity]) != 0)
            sched_yield();
    }
    pthread_mutex_unlock(&log->epoch_lock);
}

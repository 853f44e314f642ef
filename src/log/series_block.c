/* Blocks, chunks and the filter of a run file, as bytes. docs/format.md describes them.
 *
 * Pure functions over memory. Whatever a block holds, walking it stays inside it: a checksum does
 * not excuse a bound. */
#include <log/series_int.h>

uint32_t
series_block_crc(uint64_t run_id, uint64_t block, const uint8_t bytes[SERIES_BLOCK])
{
    /* The seed makes a block valid only at its own place in its own file. */
    uint8_t seed[16];
    store64(seed, run_id);
    store64(seed + 8, block);
    return crc32c(crc32c(0, seed, sizeof seed), bytes, SERIES_BLOCK - 4);
}

void
series_block_walk(struct block_walk *walk, const uint8_t block[SERIES_BLOCK], uint64_t base)
{
    size_t used = load16(block);
    memset(walk, 0, sizeof *walk);
    walk->at = block + SERIES_BLOCK_HEAD;
    walk->end = used <= SERIES_BLOCK_ROOM ? walk->at + used : NULL;
    walk->base = base;
}

/* The key of a chunk that takes its first `shared` (0 to 6) bytes from the one before: sixteen bytes are
 * loaded from where they would begin, and the first of them replaced. Those lie inside the block: before
 * a chunk that shares there is another chunk. */
static struct hash128
load_key(struct hash128 before, const uint8_t *rest, unsigned shared)
{
    uint64_t mask = UINT64_MAX >> (8 * shared);
    return (struct hash128){.high = (before.high & ~mask)
                                    | (__builtin_bswap64(load64(rest - shared)) & mask),
                            .low = __builtin_bswap64(load64(rest - shared + 8))};
}

static inline enum block_step
next_chunk(struct block_walk *walk)
{
    const uint8_t *at = walk->at, *end = walk->end;
    if (end == NULL)
        return BLOCK_BAD;
    if (at == end)
        return BLOCK_END;

    uint8_t tag = *at++;
    unsigned shared = tag & 7;
    uint64_t count = tag >> 4;
    bool first = walk->count == 0;
    if (first && shared != 0)
        return BLOCK_BAD;
    if (shared != 7) {
        if ((size_t)(end - at) < 16 - shared)
            return BLOCK_BAD;
        walk->key = load_key(walk->key, at, shared);
        at += 16 - shared;
    }
    bool range = false;
    if (count == 0) {
        at = varint_read(at, end, &count);
        range = at != NULL && count == 0;
        if (range)
            at = varint_read(at, end, &count);
        if (at == NULL || count == 0 || count > (range ? SERIES_SPAN_MAX : SERIES_CHUNK_MAX))
            return BLOCK_BAD;
    }
    walk->at = at;
    walk->step = tag >> 3 & 1;
    walk->count = (uint32_t)count;
    walk->varints = walk->step + (range ? 1 : walk->count);
    walk->range = range;
    walk->begun = false;
    return BLOCK_CHUNK;
}

enum block_step
series_block_next(struct block_walk *walk)
{
    return next_chunk(walk);
}

/* A varint ends at a byte below 0x80: count those, eight bytes at a time. */
static inline bool
skip_chunk(struct block_walk *walk)
{
    const uint64_t high = 0x8080808080808080u;
    uint32_t left = walk->varints;
    const uint8_t *at = walk->at, *end = walk->end;
    while (left > 0 && end - at >= 8) {
        uint64_t ends = ~load64(at) & high;
        uint32_t count = (uint32_t)((ends >> 7) * 0x0101010101010101u >> 56);
        if (count > left) {
            for (; left > 1; left--)
                ends &= ends - 1;
            walk->at = at + __builtin_ctzll(ends) / 8 + 1;
            return true;
        }
        left -= count;
        at += 8;
        if (left == 0)
            at -= __builtin_clzll(ends) / 8; /* what follows the last end is the next chunk's */
    }
    while (left > 0) {
        if (at == end)
            return false;
        left -= *at++ < 0x80;
    }
    walk->at = at;
    return true;
}

bool
series_block_skip(struct block_walk *walk)
{
    return skip_chunk(walk);
}

enum block_step
series_block_find(struct block_walk *walk, struct hash128 key)
{
    enum block_step step;
    while ((step = next_chunk(walk)) == BLOCK_CHUNK && key_compare(walk->key, key) < 0)
        if (!skip_chunk(walk))
            return BLOCK_BAD;
    return step;
}

bool
series_block_begin(struct block_walk *walk)
{
    uint64_t position;
    walk->first_ordinal = 0;
    if (walk->step == 1) {
        walk->at = varint_read(walk->at, walk->end, &walk->first_ordinal);
        if (walk->at == NULL)
            return false;
    }
    walk->at = varint_read(walk->at, walk->end, &position);
    if (walk->at == NULL || walk->base + position < position)
        return false;
    walk->first_position = walk->base + position;
    walk->varints = walk->range ? 0 : walk->count - 1;
    walk->begun = true;
    return true;
}

bool
series_block_decode(struct block_walk *walk, struct span *span)
{
    if (!walk->begun && !series_block_begin(walk))
        return false;
    span->first_ordinal = walk->first_ordinal;
    span->step = walk->step;
    span->count = walk->count;
    if (walk->range)
        return series_span_range(span, walk->first_position);
    const uint8_t *at = series_span_decode(span, walk->first_position, walk->at, walk->end);
    if (at == NULL)
        return false;
    walk->at = at;
    return true;
}

bool
series_span_range(struct span *span, uint64_t first)
{
    assert(span->count >= 1 && span->count <= SERIES_SPAN_MAX);
    for (uint32_t i = 0; i < span->count; i++)
        span->positions[i] = first + i;
    return first + span->count > first;
}

const uint8_t *
series_span_decode(struct span *span, uint64_t first, const uint8_t *from, const uint8_t *end)
{
    uint64_t position = first;
    assert(span->count >= 1 && span->count <= SERIES_SPAN_MAX);
    span->positions[0] = position;
    for (uint32_t i = 1; i < span->count; i++) {
        uint64_t delta;
        from = varint_read(from, end, &delta);
        if (from == NULL || delta == 0 || position + delta < position)
            return NULL;
        position += delta;
        span->positions[i] = position;
    }
    return from;
}

/* ---- filter -------------------------------------------------------------------------------- */

/* The line comes from the upper half of key.low, scaled, so that halving the number of lines halves a
 * key's line too; six bits in the line come from nine bits each of key.high. The false positive rate
 * is about 3 % at 8 bits a key, 1.3 % at 10, 0.3 % at 16. */
#define FILTER_BITS 6

static uint8_t *
filter_line(const struct filter *filter, struct hash128 key)
{
    return filter->lines + FILTER_LINE * ((key.low >> 32) * filter->count >> 32);
}

void
series_filter_add(struct filter *filter, struct hash128 key)
{
    uint8_t *line = filter_line(filter, key);
    for (unsigned i = 0; i < FILTER_BITS; i++) {
        unsigned bit = key.high >> (9 * i) & 511;
        line[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
}

bool
series_filter_has(const struct filter *filter, struct hash128 key)
{
    const uint8_t *line = filter_line(filter, key);
    unsigned all = 1;
    for (unsigned i = 0; i < FILTER_BITS; i++) {
        unsigned bit = key.high >> (9 * i) & 511;
        all &= (unsigned)line[bit / 8] >> bit % 8;
    }
    return all & 1;
}

void
series_filter_fold(struct filter *filter, uint64_t keys)
{
    while (filter->count % 2 == 0 && filter->count / 2 * FILTER_LINE >= keys) {
        filter->count /= 2;
        for (uint64_t line = 0; line < filter->count; line++)
            for (unsigned i = 0; i < FILTER_LINE; i++)
                filter->lines[line * FILTER_LINE + i]
                    = filter->lines[2 * line * FILTER_LINE + i]
                      | filter->lines[(2 * line + 1) * FILTER_LINE + i];
    }
}

/* The memory table: a hash table of fixed capacity from key to a chain of chunks.
 *
 *   slot { key, last entry, tail } ──► chunk ◄─prev─ … ◄─ chunk (tail)
 *                                     { first entry, next, prev, jump, deltas }
 *
 * A series of one entry lives in its slot (32 bytes, two to a cache line). From the second entry on the
 * positions are varint deltas in chunks of an arena that only grows; chunks of one series double in
 * size up to 1 KiB. Each chunk has a pointer to the chunk before it and one that jumps further back
 * (Myers 1983: a skew-binary list), so that a position in a series of millions is found in O(log n).
 *
 * Threads. One writer; any number of readers at the same time. What a reader may look at is never
 * changed again, except for the words that publish something new: slot.tail (a new slot or a new
 * chunk), chunk.fill (new entries), chunk.next. Those are stored with release and loaded with
 * acquire. Readers pass an `end` and never look at entries from it on, so it does not matter whether
 * they see an entry that is being added. */
#include <log/series_int.h>

#include <stdlib.h>

#define SLOT_FREE 0u
#define SLOT_ONE 1u
#define CHUNK_BYTES_MIN 48u
#define CHUNK_BYTES_MAX 1024u
#define UNIT 8u
#define ENTRY_UNITS (2 * CHUNK_BYTES_MIN / UNIT) /* kept free for each promised entry */

struct table_chunk {
    uint64_t first_ordinal;
    _Atomic uint32_t fill; /* entries << 16 | step << 15 | bytes of deltas */
    uint32_t first;
    uint32_t prev, jump; /* 0: none */
    _Atomic uint32_t next;
    uint32_t depth; /* chunks before this one */
    uint16_t room;  /* bytes for deltas; 0: a range, whose entries are at neighbouring positions */
    uint8_t deltas[];
};
#define CHUNK_HEAD offsetof(struct table_chunk, deltas)
_Static_assert(CHUNK_BYTES_MAX - CHUNK_HEAD < SERIES_SPAN_MAX, "a chunk decodes into a span");
_Static_assert(CHUNK_BYTES_MIN - CHUNK_HEAD >= 10, "a new chunk takes at least two deltas");

static inline struct table_chunk *
chunk_at(const struct table *table, uint32_t at)
{
    return (struct table_chunk *)(void *)(table->arena + (uint64_t)at * UNIT);
}

static inline uint32_t
fill_count(uint32_t fill)
{
    return fill >> 16;
}
static inline uint32_t
fill_step(uint32_t fill)
{
    return fill >> 15 & 1;
}
static inline uint32_t
fill_size(uint32_t fill)
{
    return fill & 0x7fff;
}

/* ---- making -------------------------------------------------------------------------------- */

struct table *
series_table_new(uint64_t base, uint32_t memory_events, uint64_t keys, uint64_t weight)
{
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    /* Two slots an event, at most 70 % of them used: room for the stream and the tag of every event
     * to be a new one, nearly. calloc takes zeroed pages from the kernel as they are touched. */
    uint64_t slots = 64;
    while (slots < 2 * (uint64_t)memory_events || slots * 7 / 10 < keys)
        slots *= 2;
    uint64_t arena_bytes = CHUNK_BYTES_MIN * (uint64_t)memory_events;
    if (arena_bytes < ENTRY_UNITS * UNIT * weight)
        arena_bytes = ENTRY_UNITS * UNIT * weight;
    arena_bytes += 4096;
    table->mask = slots - 1;
    table->keys_max = slots * 7 / 10;
    table->entries_max
        = 6 * (uint64_t)memory_events > weight ? 6 * (uint64_t)memory_events : weight;
    table->arena_units = arena_bytes / UNIT < UINT32_MAX ? arena_bytes / UNIT : UINT32_MAX;
    table->base = base;
    table->end = UINT64_MAX;
    atomic_init(&table->arena_used, 2); /* 0 and 1 mean something else in slot.tail */
    table->memory = calloc(slots + 2, sizeof *table->slots);
    table->arena = calloc(table->arena_units, UNIT);
    if (table->memory == NULL || table->arena == NULL) {
        series_table_free(table);
        return NULL;
    }
    uintptr_t address
        = ((uintptr_t)table->memory + 63) & ~(uintptr_t)63; /* two slots to a cache line */
    table->slots = (struct table_slot *)address;
    return table;
}

void
series_table_free(struct table *table)
{
    if (table == NULL)
        return;
    free(table->memory);
    free(table->arena);
    free(table);
}

static uint64_t
units_of(uint64_t bytes)
{
    return (bytes + UNIT - 1) / UNIT;
}

/* A short range is entered as so many entries would be; a long one takes a chunk without deltas for each 1024. */
#define RANGE_SHORT 32u
#define RANGE_MAX SERIES_SPAN_MAX

static uint64_t
range_weight(uint64_t ranges, uint64_t entries)
{
    return 2 * ranges + entries / 8;
}

uint64_t
series_need_weight(const struct series_need *need)
{
    return need->entries + range_weight(need->ranges, need->range_entries);
}

/* Each promised entry may need a slot and two chunks of the smallest size (its own, and one for the entry
 * that lived in the slot). Larger chunks are taken only from what is not promised (chunk_new), so
 * the promise holds whatever the keys are. A range may need one for the entry in the slot and then its own, which its weight
 * allows for with room to spare. */
bool
series_table_has_room(struct table *table, const struct series_need *need, uint64_t next_position)
{
    uint64_t keys = atomic_load_explicit(&table->keys, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&table->arena_used, memory_order_relaxed);
    uint64_t weight = series_need_weight(need), positions = need->entries + need->range_entries;
    if (weight > table->entries_max || keys + need->entries + need->ranges > table->keys_max
        || table->weight + weight > table->entries_max || used + weight * ENTRY_UNITS > table->arena_units
        || next_position - table->base > UINT32_MAX - positions)
        return false;
    table->promised = weight;
    return true;
}

bool
series_table_half_free(const struct table *table)
{
    return atomic_load_explicit(&table->keys, memory_order_relaxed) <= table->keys_max / 2
           && table->weight <= table->entries_max / 2
           && atomic_load_explicit(&table->arena_used, memory_order_relaxed) <= table->arena_units / 2;
}

/* ---- inserting ----------------------------------------------------------------------------- */

void
series_table_prefetch(const struct table *table, struct hash128 key)
{
    __builtin_prefetch(&table->slots[key.low & table->mask], 1);
}

void
series_table_prefetch_chunk(const struct table *table, uint64_t slot)
{
    uint32_t tail = atomic_load_explicit(&table->slots[slot].tail, memory_order_relaxed);
    if (tail > SLOT_ONE)
        __builtin_prefetch(chunk_at(table, tail));
}

/* A chunk of so many bytes behind `prev` (0: the first), holding its first entry. */
static uint32_t
chunk_take(struct table *table, uint32_t prev, uint64_t bytes, uint64_t ordinal, uint32_t position)
{
    uint64_t used = atomic_load_explicit(&table->arena_used, memory_order_relaxed);
    uint32_t at = (uint32_t)used;
    assert(used + units_of(bytes) <= table->arena_units);
    atomic_store_explicit(&table->arena_used, used + units_of(bytes), memory_order_relaxed);

    struct table_chunk *chunk = chunk_at(table, at);
    chunk->first_ordinal = ordinal;
    chunk->first = position;
    chunk->room = (uint16_t)(bytes - CHUNK_HEAD);
    if (prev != 0) {
        const struct table_chunk *before = chunk_at(table, prev);
        chunk->prev = prev;
        chunk->depth = before->depth + 1;
        /* Two jumps of equal length behind the previous chunk join into one. */
        const struct table_chunk *jump = before->jump ? chunk_at(table, before->jump) : NULL;
        uint32_t jump_depth = jump ? jump->depth : 0;
        uint32_t jump_jump_depth = jump && jump->jump ? chunk_at(table, jump->jump)->depth : 0;
        if (jump && before->depth - jump_depth == jump_depth - jump_jump_depth && jump->jump)
            chunk->jump = jump->jump;
        else
            chunk->jump = prev;
    }
    atomic_store_explicit(&chunk->fill, 1u << 16, memory_order_relaxed);
    return at;
}

/* A chunk with room for deltas: twice as many as the one before it, while that is not promised to others. */
static uint32_t
chunk_new(struct table *table, uint32_t prev, uint64_t ordinal, uint32_t position)
{
    uint64_t used = atomic_load_explicit(&table->arena_used, memory_order_relaxed);
    uint64_t bytes = CHUNK_BYTES_MIN;
    if (prev != 0) {
        bytes = 2 * (CHUNK_HEAD + chunk_at(table, prev)->room);
        if (bytes > CHUNK_BYTES_MAX)
            bytes = CHUNK_BYTES_MAX;
        if (used + units_of(bytes) + table->promised * ENTRY_UNITS > table->arena_units)
            bytes = CHUNK_BYTES_MIN;
    }
    return chunk_take(table, prev, bytes, ordinal, position);
}

/* A chunk without room for deltas is a range: its entries are neighbours. */
static inline bool
chunk_is_range(const struct table_chunk *chunk)
{
    return chunk->room == 0;
}

/* A chunk of its own behind `prev` (not 0) for `count` neighbours. */
static uint32_t
range_chunk_new(struct table *table, uint32_t prev, uint64_t ordinal, uint32_t step, uint32_t position, uint32_t count)
{
    uint32_t at = chunk_take(table, prev, CHUNK_HEAD, ordinal, position);
    atomic_store_explicit(&chunk_at(table, at)->fill, count << 16 | step << 15, memory_order_relaxed);
    return at;
}

/* Add to the series' last chunk, or begin the next one. */
static void
slot_append(struct table *table, struct table_slot *slot, uint64_t ordinal, uint32_t position)
{
    uint32_t tail = atomic_load_explicit(&slot->tail, memory_order_relaxed);
    uint32_t last = atomic_load_explicit(&slot->last, memory_order_relaxed);
    uint64_t last_ordinal = atomic_load_explicit(&slot->last_ordinal, memory_order_relaxed);
    if (position == last)
        return; /* the same entry again: an event is in a series once */
    assert(position > last);

    bool begins = tail == SLOT_ONE;
    if (begins)
        tail = chunk_new(table, 0, last_ordinal, last);
    struct table_chunk *chunk = chunk_at(table, tail);
    uint32_t fill = atomic_load_explicit(&chunk->fill, memory_order_relaxed);
    uint32_t size = fill_size(fill), delta = position - last, step = 0;
    bool follows = step_follows(last_ordinal, ordinal, fill_count(fill), fill_step(fill), &step);
    if (follows && chunk_is_range(chunk) && delta == 1 && fill_count(fill) < RANGE_MAX) {
        atomic_store_explicit(&chunk->fill, fill + (1u << 16), memory_order_release);
    } else if (follows && size + varint_size(delta) <= chunk->room) {
        size = (uint32_t)(varint_write(chunk->deltas + size, delta) - chunk->deltas);
        atomic_store_explicit(&chunk->fill, (fill_count(fill) + 1) << 16 | step << 15 | size,
                              memory_order_release);
        if (begins)
            atomic_store_explicit(&slot->tail, tail, memory_order_release);
    } else {
        uint32_t next = chunk_new(table, tail, ordinal, position);
        atomic_store_explicit(&chunk->next, next, memory_order_release);
        atomic_store_explicit(&slot->tail, next, memory_order_release);
    }
    /* After tail: a reader that sees these has to see that the slot is no longer single. */
    atomic_store_explicit(&slot->last, position, memory_order_release);
    atomic_store_explicit(&slot->last_ordinal, ordinal, memory_order_release);
}

static inline void
count_up(_Atomic uint64_t *counter, uint64_t by)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + by, memory_order_relaxed);
}

/* The slot of a key; where there is none yet, a new one with this entry, and *ret_new. */
static struct table_slot *
slot_take(struct table *table, struct hash128 key, uint64_t ordinal, uint32_t position, bool *ret_new)
{
    for (uint64_t i = key.low & table->mask;; i = (i + 1) & table->mask) {
        struct table_slot *slot = &table->slots[i];
        *ret_new = atomic_load_explicit(&slot->tail, memory_order_relaxed) == SLOT_FREE;
        if (*ret_new) {
            assert(atomic_load_explicit(&table->keys, memory_order_relaxed) < table->keys_max);
            slot->key = key;
            atomic_store_explicit(&slot->last_ordinal, ordinal, memory_order_relaxed);
            atomic_store_explicit(&slot->last, position, memory_order_relaxed);
            atomic_store_explicit(&slot->tail, SLOT_ONE, memory_order_release);
            count_up(&table->keys, 1);
            return slot;
        }
        if (key_equal(slot->key, key))
            return slot;
    }
}

static void
count_entries(struct table *table, uint64_t entries, uint64_t weight, uint64_t last_position)
{
    count_up(&table->entries, entries);
    table->weight += weight;
    table->promised -= weight < table->promised ? weight : table->promised;
    table->last_position = last_position;
}

void
series_table_insert(struct table *table, struct hash128 key, uint64_t ordinal, uint64_t position)
{
    assert(position >= table->base && position - table->base <= UINT32_MAX);
    uint32_t relative = (uint32_t)(position - table->base);
    bool new;
    struct table_slot *slot = slot_take(table, key, ordinal, relative, &new);
    if (!new)
        slot_append(table, slot, ordinal, relative);
    count_entries(table, 1, 1, position);
}

/* Add `count` neighbours to a slot that has an entry: on to the range at its end, or as ranges of their own. */
static void
slot_append_range(struct table *table, struct table_slot *slot, uint64_t ordinal, uint32_t step, uint32_t position,
                  uint32_t count)
{
    uint32_t tail = atomic_load_explicit(&slot->tail, memory_order_relaxed);
    uint32_t last = atomic_load_explicit(&slot->last, memory_order_relaxed);
    uint64_t last_ordinal = atomic_load_explicit(&slot->last_ordinal, memory_order_relaxed);
    uint64_t end_ordinal = ordinal + (uint64_t)step * (count - 1);
    uint32_t end = position + count - 1;
    assert(position > last);
    if (tail == SLOT_ONE) {
        tail = chunk_new(table, 0, last_ordinal, last);
        atomic_store_explicit(&slot->tail, tail, memory_order_release);
    }
    struct table_chunk *chunk = chunk_at(table, tail);
    uint32_t fill = atomic_load_explicit(&chunk->fill, memory_order_relaxed), follows;
    if (chunk_is_range(chunk) && position == last + 1 && fill_step(fill) == step
        && step_follows(last_ordinal, ordinal, fill_count(fill), fill_step(fill), &follows)) {
        uint32_t more = RANGE_MAX - fill_count(fill) < count ? RANGE_MAX - fill_count(fill) : count;
        atomic_store_explicit(&chunk->fill, fill + (more << 16), memory_order_release);
        ordinal += (uint64_t)step * more;
        position += more;
        count -= more;
    }
    while (count > 0) {
        uint32_t n = count < RANGE_MAX ? count : RANGE_MAX;
        uint32_t next = range_chunk_new(table, tail, ordinal, step, position, n);
        atomic_store_explicit(&chunk_at(table, tail)->next, next, memory_order_release);
        atomic_store_explicit(&slot->tail, next, memory_order_release);
        tail = next;
        ordinal += (uint64_t)step * n;
        position += n;
        count -= n;
    }
    atomic_store_explicit(&slot->last, end, memory_order_release); /* after tail, as in slot_append() */
    atomic_store_explicit(&slot->last_ordinal, end_ordinal, memory_order_release);
}

void
series_table_insert_range(struct table *table, struct hash128 key, uint64_t first_ordinal, uint32_t step,
                          uint64_t first_position, uint64_t count)
{
    if (count == 0)
        return;
    uint64_t last_position = first_position + count - 1;
    assert(first_position >= table->base && last_position - table->base <= UINT32_MAX);
    assert(step == 1 || (step == 0 && first_ordinal == 0));
    uint32_t at = (uint32_t)(first_position - table->base), left = (uint32_t)count;
    uint64_t ordinal = first_ordinal;
    bool new;
    struct table_slot *slot = slot_take(table, key, ordinal, at, &new);
    if (new) {
        at++;
        left--;
        ordinal += step;
    }
    if (left >= RANGE_SHORT)
        slot_append_range(table, slot, ordinal, step, at, left);
    else
        for (; left > 0; left--, at++, ordinal += step)
            slot_append(table, slot, ordinal, at);
    count_entries(table, count, range_weight(1, count), last_position);
}

/* ---- finding ------------------------------------------------------------------------------- */

static const struct table_slot *
slot_find(const struct table *table, struct hash128 key)
{
    for (uint64_t i = key.low & table->mask;; i = (i + 1) & table->mask) {
        const struct table_slot *slot = &table->slots[i];
        if (atomic_load_explicit(&slot->tail, memory_order_acquire) == SLOT_FREE)
            return NULL;
        if (key_equal(slot->key, key))
            return slot;
    }
}

/* The slot's tail, and the entry while there is a single one. A slot goes from one entry to a chain
 * once, and `last` changes only after: so what was read counts only if it is still single then. */
static uint32_t
slot_load(const struct table_slot *slot, uint64_t *ret_ordinal, uint32_t *ret_position)
{
    uint32_t tail = atomic_load_explicit(&slot->tail, memory_order_acquire);
    if (tail == SLOT_ONE) {
        *ret_position = atomic_load_explicit(&slot->last, memory_order_acquire);
        *ret_ordinal = atomic_load_explicit(&slot->last_ordinal, memory_order_acquire);
        tail = atomic_load_explicit(&slot->tail, memory_order_acquire);
    }
    return tail;
}

bool
series_table_head(const struct table *table, struct hash128 key, struct series_head *ret)
{
    const struct table_slot *slot = slot_find(table, key);
    if (slot == NULL)
        return false;
    ret->ordinal = atomic_load_explicit(&slot->last_ordinal, memory_order_relaxed);
    ret->position = table->base + atomic_load_explicit(&slot->last, memory_order_relaxed);
    return true;
}

bool
series_table_has(const struct table *table, struct hash128 key)
{
    return slot_find(table, key) != NULL;
}

/* ---- reading ------------------------------------------------------------------------------- */

static void
chunk_decode(const struct table *table, const struct table_chunk *chunk, struct span *span)
{
    uint32_t fill = atomic_load_explicit(&chunk->fill, memory_order_acquire);
    span->first_ordinal = chunk->first_ordinal;
    span->step = fill_step(fill);
    span->count = fill_count(fill);
    if (chunk_is_range(chunk)) {
        (void)series_span_range(span, table->base + chunk->first);
        return;
    }
    const uint8_t *end = series_span_decode(span, table->base + chunk->first, chunk->deltas,
                                            chunk->deltas + fill_size(fill));
    assert(end == chunk->deltas + fill_size(fill));
    (void)end;
}

static uint64_t
chunk_first(const struct table *table, uint32_t at, enum series_by by)
{
    const struct table_chunk *chunk = chunk_at(table, at);
    return by == SERIES_BY_POSITION ? table->base + chunk->first : chunk->first_ordinal;
}

/* The last chunk that begins at or before `value`; the first one where none does. */
static uint32_t
chain_seek(const struct table *table, uint32_t tail, enum series_by by, uint64_t value)
{
    uint32_t at = tail;
    while (chunk_first(table, at, by) > value) {
        const struct table_chunk *chunk = chunk_at(table, at);
        if (chunk->prev == 0)
            return at;
        bool far = chunk_first(table, chunk->jump, by) > value;
        at = far ? chunk->jump : chunk->prev;
    }
    return at;
}

void
series_table_read(const struct table *table, struct sink *sink)
{
    const struct series_read *read = sink->read;
    const struct table_slot *slot = slot_find(table, read->key);
    if (slot == NULL)
        return;
    struct span span;
    uint32_t single = 0, at = slot_load(slot, &span.first_ordinal, &single);
    if (at == SLOT_ONE) {
        span.step = 0;
        span.count = 1;
        span.positions[0] = table->base + single;
        series_sink_put(sink, &span);
        return;
    }
    if (read->backward)
        at = chain_seek(table, at, SERIES_BY_POSITION, read->end - 1);
    at = chain_seek(table, at, read->by, series_sink_seek(sink));
    while (at != 0 && !sink->done) {
        const struct table_chunk *chunk = chunk_at(table, at);
        chunk_decode(table, chunk, &span);
        series_sink_put(sink, &span);
        at = read->backward ? chunk->prev
                            : atomic_load_explicit(&chunk->next, memory_order_acquire);
    }
}

bool
series_table_walk(struct table_walk *walk, const struct table *table, uint64_t index,
                  struct hash128 *ret_key)
{
    const struct table_slot *slot = &table->slots[index];
    uint32_t tail = slot_load(slot, &walk->ordinal, &walk->position);
    if (tail == SLOT_FREE)
        return false;
    walk->table = table;
    walk->single = tail == SLOT_ONE;
    walk->chunk = walk->single ? 0 : chain_seek(table, tail, SERIES_BY_POSITION, 0);
    *ret_key = slot->key;
    return true;
}

bool
series_table_walk_next(struct table_walk *walk, struct span *span)
{
    if (walk->single) {
        walk->single = false;
        span->first_ordinal = walk->ordinal;
        span->step = walk->ordinal != 0;
        span->count = 1;
        span->positions[0] = walk->table->base + walk->position;
        return true;
    }
    if (walk->chunk == 0)
        return false;
    const struct table_chunk *chunk = chunk_at(walk->table, walk->chunk);
    chunk_decode(walk->table, chunk, span);
    walk->chunk = atomic_load_explicit(&chunk->next, memory_order_acquire);
    return true;
}

uint64_t
series_table_bytes(const struct table *table)
{
    /* Pages that were never touched cost nothing: the arena counts as used, the slots whole. */
    return (table->mask + 1) * sizeof *table->slots
           + atomic_load_explicit(&table->arena_used, memory_order_relaxed) * UNIT + sizeof *table;
}

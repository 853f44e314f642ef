/* The head cache: the last entry that a series has in the runs, or that it has none there.
 *
 * A set-associative table of fixed size; 32 bytes an entry and a word a set. The word is a lock held for a
 * few instructions, the ways in use, and the ways used lately (a clock hand picks the victim). The
 * writer never waits for it: a set that stays locked reads as "unknown".
 *
 * Why it is never stale. It speaks of the runs only, and what the runs say of a key changes in one
 * place: when the maintainer turns a frozen table into a run. It then
 *   1. raises `generation`,
 *   2. puts the head of every key of the table (replacing what is there),
 *   3. publishes the view in which the run stands in the table's place.
 * The writer asks the tables first. Until 3 it finds the key in the frozen table; after 3 it finds what 2
 * put, or nothing. A thread that warms a head notes the generation, then enters a view, gives up
 * when the key is in one of its tables, looks in its runs, and puts what it found under the noted
 * generation; put compares it again under the set's lock. If that thread's view was from before 3 and
 * its generation from before 1, then either its put comes first and 2 replaces it, or 2 has had the lock
 * of that set, hence 1 is visible, and the put is refused. If its generation is from after 1, a key
 * of the frozen table is found in the table (view from before 3) or in the run (view from after 3).
 * Keys that are not in the table have the same head before and after. A flush that is overtaken by a
 * rewind has its puts refused the same way, because the rewind raises the generation and then clears.
 * Merging changes no head. */
#include <log/series_int.h>

#include <sched.h>
#include <stdlib.h>

#define META_LOCK (1u << 31)
#define META_USED(way) (1u << (way))         /* holds a key */
#define META_RECENT(way) (1u << (8 + (way))) /* asked for since the hand last passed */
#define META_HAND_SHIFT 16
#define META_HAND_MASK (3u << META_HAND_SHIFT)
#define SPINS_MAX 64
#define ABSENT UINT64_MAX

bool
series_heads_init(struct heads *heads, uint32_t entries)
{
    heads->set_count = (uint64_t)entries / HEADS_WAYS + 1;
    heads->sets = calloc(heads->set_count, sizeof *heads->sets);
    heads->meta = calloc(heads->set_count, sizeof *heads->meta);
    if (heads->sets == NULL || heads->meta == NULL) {
        series_heads_free(heads);
        return false;
    }
    return true;
}

void
series_heads_free(struct heads *heads)
{
    free(heads->sets);
    free((void *)heads->meta);
    heads->sets = NULL;
    heads->meta = NULL;
}

static uint64_t
set_of(const struct heads *heads, struct hash128 key)
{
    return (uint64_t)((unsigned __int128)key.high * heads->set_count >> 64);
}

void
series_heads_prefetch(const struct heads *heads, struct hash128 key)
{
    uint64_t set = set_of(heads, key);
    __builtin_prefetch(&heads->sets[set][0], 1);
    __builtin_prefetch(&heads->sets[set][2], 1);
}

static bool
try_lock(_Atomic uint32_t *meta, uint32_t *ret_meta)
{
    uint32_t seen = atomic_load_explicit(meta, memory_order_relaxed);
    if (seen & META_LOCK)
        return false;
    *ret_meta = seen;
    return atomic_compare_exchange_strong_explicit(meta, &seen, seen | META_LOCK,
                                                   memory_order_acquire, memory_order_relaxed);
}

static uint32_t
lock_set(_Atomic uint32_t *meta)
{
    uint32_t bits;
    for (unsigned spins = 0; !try_lock(meta, &bits); spins++)
        if (spins >= SPINS_MAX)
            sched_yield(); /* the holder is not running */
    return bits;
}

static void
unlock_set(_Atomic uint32_t *meta, uint32_t bits)
{
    atomic_store_explicit(meta, bits, memory_order_release);
}

/* HEADS_WAYS: not there. */
static unsigned
find_way(const struct heads_way ways[HEADS_WAYS], uint32_t bits, struct hash128 key)
{
    for (unsigned way = 0; way < HEADS_WAYS; way++)
        if ((bits & META_USED(way)) && key_equal(ways[way].key, key))
            return way;
    return HEADS_WAYS;
}

enum series_known
series_heads_get(struct heads *heads, struct hash128 key, struct series_head *ret_head)
{
    uint64_t set = set_of(heads, key);
    _Atomic uint32_t *meta = &heads->meta[set];
    const struct heads_way *ways = heads->sets[set];
    __builtin_prefetch(ways);
    uint32_t bits;
    for (unsigned spins = 0; !try_lock(meta, &bits); spins++)
        if (spins >= SPINS_MAX)
            return SERIES_UNKNOWN;

    enum series_known known = SERIES_UNKNOWN;
    unsigned way = find_way(ways, bits, key);
    if (way < HEADS_WAYS) {
        bits |= META_RECENT(way);
        known = SERIES_ABSENT;
        if (ways[way].position != ABSENT) {
            known = SERIES_PRESENT;
            ret_head->ordinal = ways[way].ordinal;
            ret_head->position = ways[way].position;
        }
    }
    unlock_set(meta, bits);
    return known;
}

/* A way for a new key: a free one, else the first that was not asked for since the hand passed. */
static unsigned
take_way(uint32_t *bits)
{
    for (unsigned way = 0; way < HEADS_WAYS; way++)
        if (!(*bits & META_USED(way)))
            return way;
    unsigned hand = (*bits & META_HAND_MASK) >> META_HAND_SHIFT;
    while (*bits & META_RECENT(hand)) {
        *bits &= ~META_RECENT(hand);
        hand = (hand + 1) % HEADS_WAYS;
    }
    *bits = (*bits & ~META_HAND_MASK) | ((hand + 1) % HEADS_WAYS) << META_HAND_SHIFT;
    return hand;
}

bool
series_heads_put(struct heads *heads, struct hash128 key, const struct series_head *head,
                 uint64_t generation)
{
    uint64_t set = set_of(heads, key);
    _Atomic uint32_t *meta = &heads->meta[set];
    struct heads_way *ways = heads->sets[set];
    uint32_t bits = lock_set(meta);
    bool current = atomic_load_explicit(&heads->generation, memory_order_acquire) == generation;
    if (current) {
        unsigned way = find_way(ways, bits, key);
        if (way == HEADS_WAYS)
            way = take_way(&bits);
        bits |= META_USED(way);
        ways[way].key = key;
        ways[way].ordinal = head ? head->ordinal : 0;
        ways[way].position = head ? head->position : ABSENT;
    }
    unlock_set(meta, bits);
    return current;
}

void
series_heads_clear(struct heads *heads)
{
    for (uint64_t set = 0; set < heads->set_count; set++) {
        lock_set(&heads->meta[set]);
        unlock_set(&heads->meta[set], 0);
    }
}

/* log/series_int.h: what the files of the series index share. Only src/log/series*.c include it.
 *
 *   series.c           open, close, maintain
 *   series_write.c     the writer's calls: insert, has_room, known, forget, rewind
 *   series_view.c      what readers see, and when it may be freed
 *   series_table.c     the memory table
 *   series_head.c      the cache of heads
 *   series_block.c     blocks, chunks and the filter, as bytes
 *   series_writer.c    writes a run file
 *   series_run.c       opens and reads a run file
 *   series_manifest.c  which runs there are
 *   series_flush.c     a frozen table becomes a run
 *   series_merge.c     runs become one
 *   series_read.c      reads across tables and runs
 *   series_check.c     checks every byte
 *
 * Invariants
 *  1. The runs of a view cover disjoint ranges of positions, oldest first; tables follow them.
 *  2. A run holds only events that are durable in the log.
 *  3. What a view points to stays until the last reader of the last view that has it has left.
 *  4. A run's file is removed only after a manifest that does not name it is durable.
 *  5. The head cache tells the last entry in the *runs*; what is in a table is asked there first. */
#ifndef LOG_SERIES_INT_H
#define LOG_SERIES_INT_H

#include <assert.h>
#include <base/bytes.h>
#include <base/error.h>
#include <log/series.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define SERIES_PATH_MAX 1024
#define SERIES_BLOCK 4096u                                        /* bytes of a block on disk */
#define SERIES_BLOCK_HEAD 2u                                      /* u16: bytes used by chunks */
#define SERIES_BLOCK_ROOM (SERIES_BLOCK - SERIES_BLOCK_HEAD - 4u) /* a CRC32C ends it */
#define SERIES_CHUNK_MAX 512u                                     /* entries of a chunk on disk, with deltas */
#define SERIES_SPAN_MAX 1024u                                     /* entries of a chunk anywhere, and of a range */
#define SERIES_RUNS_MAX 96u
#define SERIES_TABLES_MAX 64u /* read-only opens keep all that is not flushed in memory */
#define SERIES_VIEWS 64u
#define SERIES_VERSION 2u       /* 2: ranges */
#define SERIES_VERSION_LEAST 1u /* that is still read */
#define SERIES_MANIFEST "MANIFEST"

/* ---- keys and entries ---------------------------------------------------------------------- */

static inline bool
key_equal(struct hash128 a, struct hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

static inline int
key_compare(struct hash128 a, struct hash128 b)
{
    if (a.high != b.high)
        return a.high < b.high ? -1 : 1;
    return a.low == b.low ? 0 : a.low < b.low ? -1 : 1;
}

/* Neighbouring entries of one series, decoded. The i-th has ordinal first_ordinal + i * step. */
struct span {
    uint64_t first_ordinal;
    uint32_t step; /* 1: consecutive ordinals; 0: a series without ordinals, all are 0 */
    uint32_t count;
    uint64_t positions[SERIES_SPAN_MAX];
};

/* Does an entry go on where the last one of a chunk of `count` entries ended? */
static inline bool
step_follows(uint64_t last_ordinal, uint64_t ordinal, uint32_t count, uint32_t step,
             uint32_t *ret_step)
{
    uint32_t next_step;
    if (ordinal == last_ordinal + 1)
        next_step = 1;
    else if (ordinal == 0 && last_ordinal == 0)
        next_step = 0;
    else
        return false;
    if (count > 1 && next_step != step)
        return false;
    *ret_step = next_step;
    return true;
}

/* The varint of base/bytes.h, inline because it is the whole cost of a long read. */
static inline uint8_t *
varint_write(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

/* One byte is the common case; up to eight are gathered without a branch a byte. */
static inline const uint8_t *
varint_read(const uint8_t *from, const uint8_t *end, uint64_t *ret_value)
{
    if (from < end && *from < 0x80) {
        *ret_value = *from;
        return from + 1;
    }
    if (end - from >= 8) {
        uint64_t word = load64(from), ends = ~word & 0x8080808080808080u;
        if (ends != 0) {
            unsigned size = (unsigned)__builtin_ctzll(ends) / 8 + 1;
            word &= (UINT64_MAX >> (64 - 8 * size)) & 0x7f7f7f7f7f7f7f7fu;
            word = (word & 0x007f007f007f007fu) | (word & 0x7f007f007f007f00u) >> 1;
            word = (word & 0x00003fff00003fffu) | (word & 0x3fff00003fff0000u) >> 2;
            *ret_value = (word & 0x0fffffffu) | (word & 0x0fffffff00000000u) >> 4;
            return from + size;
        }
    }
    return varint_get(from, end, ret_value);
}

static inline unsigned
varint_size(uint64_t value)
{
    return (unsigned)(63 - __builtin_clzll(value | 1)) / 7 + 1;
}

/* Positions first, first + 1, … into span->positions; false: they are more than there can be. */
bool series_span_range(struct span *span, uint64_t first);
/* Positions first, first + d1, … into span->positions; returns the end of the deltas or NULL. */
const uint8_t *
series_span_decode(struct span *span, uint64_t first, const uint8_t *from, const uint8_t *end);

/* ---- reading ------------------------------------------------------------------------------- */

/* Where a read puts what it finds. */
struct sink {
    const struct series_read *read;
    struct series_head *entries;
    size_t max, count;
    bool done; /* full, or past the end: ask no further source */
};
/* Take what is wanted of a span, in the direction of the read. */
void series_sink_put(struct sink *sink, const struct span *span);
/* Where a read begins to be interested: forward at its `from`; backward at its `from` too, but not at or
 * after `end`. In positions or ordinals, as the read is. */
uint64_t series_sink_seek(const struct sink *sink);

/* ---- memory table -------------------------------------------------------------------------- */

/* tail: 0 the slot is free; 1 the series has one entry, kept here; else the last chunk of its chain.
 * last and last_ordinal are the writer's; a reader may use them only while tail is 1. */
struct table_slot {
    struct hash128 key;
    _Atomic uint64_t last_ordinal;
    _Atomic uint32_t last; /* positions are relative to the table's base */
    _Atomic uint32_t tail;
};

struct table_chunk;

struct table {
    void *memory; /* of the slots, before alignment */
    struct table_slot *slots;
    uint64_t mask;
    uint8_t *arena;
    uint64_t arena_units; /* of 8 bytes */
    uint64_t base;        /* positions before this are not in it */
    uint64_t end;         /* once frozen: positions from this on are not in it; else UINT64_MAX */
    uint64_t keys_max, entries_max;
    uint64_t promised; /* weight that has_room() said would fit */
    uint64_t weight;   /* entries, those of ranges counting less: what is held against entries_max */
    uint64_t last_position;
    _Atomic uint64_t keys, entries, arena_used;
    unsigned views;          /* that have it; under series->lock */
    struct table *next_dead; /* under series->lock */
};

/* Room for what `memory_events` asks for, and at least for so many keys and so much weight. NULL: out of memory. */
struct table *
series_table_new(uint64_t base, uint32_t memory_events, uint64_t keys, uint64_t weight);
void series_table_free(struct table *table);
bool series_table_has_room(struct table *table, const struct series_need *need, uint64_t next_position);
bool series_table_half_free(const struct table *table);
/* In entries: what it may take of the arena, and of the time to flush the table or to insert it all again. */
uint64_t series_need_weight(const struct series_need *need);
void
series_table_insert(struct table *table, struct hash128 key, uint64_t ordinal, uint64_t position);
void series_table_insert_range(struct table *table, struct hash128 key, uint64_t first_ordinal, uint32_t step,
                               uint64_t first_position, uint64_t count);
void series_table_prefetch(const struct table *table, struct hash128 key);
/* Of a slot that is in the cache already: its last chunk. */
void series_table_prefetch_chunk(const struct table *table, uint64_t slot);
/* The writer's view of the last entry. For a frozen table: anybody's. */
bool series_table_head(const struct table *table, struct hash128 key, struct series_head *ret);
bool series_table_has(const struct table *table, struct hash128 key);
void series_table_read(const struct table *table, struct sink *sink);
uint64_t series_table_bytes(const struct table *table);

/* Walk the entries of one slot (0 ≤ slot ≤ mask) span by span, in order. */
struct table_walk {
    const struct table *table;
    uint32_t chunk; /* 0: no more */
    bool single;    /* one entry, which follows */
    uint64_t ordinal;
    uint32_t position;
};
bool series_table_walk(struct table_walk *walk, const struct table *table, uint64_t slot,
                       struct hash128 *ret_key);
bool series_table_walk_next(struct table_walk *walk, struct span *span);

/* ---- head cache ---------------------------------------------------------------------------- */

#define HEADS_WAYS 4

struct heads_way {
    struct hash128 key;
    uint64_t ordinal;
    uint64_t position; /* UINT64_MAX: the series has no entries in the runs */
};

struct heads {
    struct heads_way (*sets)[HEADS_WAYS];
    _Atomic uint32_t *meta; /* one per set: lock, which ways are in use, which were used lately */
    uint64_t set_count;
    /* Raised whenever what the runs say changes, so that a head computed from the runs of before is
     * not stored after. See series_head.c. */
    _Atomic uint64_t generation;
};

CAIRN_MUST_CHECK bool series_heads_init(struct heads *heads, uint32_t entries);
void series_heads_free(struct heads *heads);
enum series_known
series_heads_get(struct heads *heads, struct hash128 key, struct series_head *ret_head);
/* head NULL: absent. False, and nothing stored, when `generation` is no longer the current one. */
bool series_heads_put(struct heads *heads, struct hash128 key, const struct series_head *head,
                      uint64_t generation);
void series_heads_clear(struct heads *heads);
void series_heads_prefetch(const struct heads *heads, struct hash128 key);

/* ---- blocks, chunks, filter ---------------------------------------------------------------- */

uint32_t series_block_crc(uint64_t run_id, uint64_t block, const uint8_t bytes[SERIES_BLOCK]);

/* Walks the chunks of a block whose CRC has been checked. series_block_next() tells a chunk's key and count;
 * the caller then skips the rest of it, or decodes it (after series_block_begin(), if it wants to know where
 * the chunk begins before it decides). */
struct block_walk {
    const uint8_t *at, *end;
    uint64_t base; /* of the run: first positions are relative to it */
    struct hash128 key;
    uint32_t count, step; /* of the chunk */
    uint32_t varints;     /* of the chunk that follow `at` */
    bool range;           /* its positions follow each other, without deltas */
    bool begun;           /* first ordinal and position have been read */
    uint64_t first_ordinal, first_position;
};
enum block_step { BLOCK_CHUNK, BLOCK_END, BLOCK_BAD };
void series_block_walk(struct block_walk *walk, const uint8_t block[SERIES_BLOCK], uint64_t base);
enum block_step series_block_next(struct block_walk *walk);
/* On to the first chunk of this key or of a greater one. */
enum block_step series_block_find(struct block_walk *walk, struct hash128 key);
bool series_block_skip(struct block_walk *walk);
bool series_block_begin(struct block_walk *walk);
bool series_block_decode(struct block_walk *walk, struct span *span);

/* Big-endian, so that neighbours in order share their first bytes. */
static inline void
key_bytes(struct hash128 key, uint8_t to[16])
{
    store64(to, __builtin_bswap64(key.high));
    store64(to + 8, __builtin_bswap64(key.low));
}

/* A blocked Bloom filter (Putze, Sanders, Singler 2007): one cache line a key. */
#define FILTER_LINE 64u
struct filter {
    uint8_t *lines;
    uint64_t count; /* of lines, at most 2^32 */
};
void series_filter_add(struct filter *filter, struct hash128 key);
bool series_filter_has(const struct filter *filter, struct hash128 key);
/* Halve it while that leaves at least 8 bits a key. */
void series_filter_fold(struct filter *filter, uint64_t keys);

/* ---- run files ----------------------------------------------------------------------------- */

/* The first chunk of each block; kept on disk in this very form. */
struct fence {
    struct hash128 key;
    uint64_t position, ordinal;
};
_Static_assert(sizeof(struct fence) == 32, "the stored form");

#define RUN_MAGIC "CAIRNRUN"
#define RUN_END_MAGIC "CAIRNEND"
#define RUN_FOOTER 128u
#define RUN_NAME "%016llx.run"
#define RUN_NAME_SIZE 21 /* with the NUL */

/* What the manifest knows of a run. */
struct run_info {
    uint64_t id;
    uint64_t first, end; /* positions: first inclusive, end exclusive */
    uint64_t entries;
    uint64_t size_bytes;
    uint32_t footer_crc;
    uint32_t level;
};

struct run {
    struct os *os;
    struct os_file *file;
    struct run_info info;
    uint64_t keys, blocks;
    struct fence *fences;
    struct filter filter;
    char name[RUN_NAME_SIZE];
    bool doomed;           /* merged into another: remove the file when it is freed */
    unsigned views;        /* that have it; under series->lock */
    struct run *next_dead; /* under series->lock */
};

/* CAIRN_E_CORRUPT, with the offset in error.position too. */
cairn_err series_damaged(cairn_error *error, const char *file, uint64_t offset, const char *what);
CAIRN_MUST_CHECK cairn_err series_path(char to[SERIES_PATH_MAX], const char *dir, const char *name,
                                       cairn_error *error);
CAIRN_MUST_CHECK cairn_err series_run_open(struct os *os, const char *dir,
                                           const struct run_info *info, struct run **ret,
                                           cairn_error *error);
/* Closes the file; does not remove it. */
void series_run_free(struct run *run);
CAIRN_MUST_CHECK cairn_err series_run_read(const struct run *run, struct sink *sink,
                                           cairn_error *error);
/* Read `count` blocks from `first` on and check them. */
CAIRN_MUST_CHECK cairn_err series_run_blocks(const struct run *run, uint64_t first, uint64_t count,
                                             uint8_t *to, cairn_error *error);
uint64_t series_run_memory(const struct run *run);
void series_run_header(uint8_t page[SERIES_BLOCK], uint64_t id, uint64_t first);
void series_run_footer(uint8_t to[RUN_FOOTER], const struct run *run, uint32_t filter_crc,
                       uint32_t fences_crc);

/* Every chunk of a run in order, read ahead in large pieces. */
#define CURSOR_BLOCKS 32u
struct run_cursor {
    const struct run *run;
    uint8_t *buffer;
    uint64_t next_block;    /* of the file, to be read */
    uint32_t block, blocks; /* in the buffer */
    struct block_walk walk;
    bool in_block, end;
    struct hash128 key;
    struct span span;
};
CAIRN_MUST_CHECK cairn_err series_cursor_open(struct run_cursor *cursor, const struct run *run,
                                              cairn_error *error);
/* To the next chunk; cursor->end is set after the last. */
CAIRN_MUST_CHECK cairn_err series_cursor_next(struct run_cursor *cursor, cairn_error *error);
void series_cursor_close(struct run_cursor *cursor);

/* Writes a run: entries in order of key, then position. */
#define WRITER_BLOCKS 64u
struct run_writer {
    struct os *os;
    const char *dir;
    struct run *run; /* being made */
    uint8_t *buffer;
    uint32_t blocks; /* full ones in the buffer; the one being filled follows */
    uint64_t unsynced_bytes;
    uint32_t used; /* bytes of the block being filled */
    bool key_in_block;
    uint8_t block_key[16]; /* the last key written into this block */
    /* The chunk being filled; count 0: none. */
    struct hash128 key;
    uint8_t key_be[16];
    uint64_t first_ordinal, last_ordinal, first_position, last_position;
    uint32_t count, step, head_size, deltas_size;
    bool range; /* no deltas: each position follows the one before */
    uint8_t deltas[SERIES_BLOCK];
    uint64_t fences_max;
    bool any;
};
CAIRN_MUST_CHECK cairn_err series_writer_begin(struct run_writer *writer, struct os *os,
                                               const char *dir, uint64_t id, uint64_t first,
                                               uint64_t keys_max, cairn_error *error);
CAIRN_MUST_CHECK cairn_err series_writer_add(struct run_writer *writer, struct hash128 key,
                                             const struct span *span, cairn_error *error);
/* Written, synced, its folder synced: owned by the caller from here on. */
CAIRN_MUST_CHECK cairn_err series_writer_finish(struct run_writer *writer, uint64_t end,
                                                struct run **ret, cairn_error *error);
/* Give up: remove the file, free everything. Fine after finish. */
void series_writer_abort(struct run_writer *writer);

/* ---- manifest ------------------------------------------------------------------------------ */

struct manifest {
    uint64_t next_run_id, flushed_end;
    uint32_t run_count;
    struct run_info runs[SERIES_RUNS_MAX];
};
/* CAIRN_E_NOTFOUND: there is none. */
CAIRN_MUST_CHECK cairn_err series_manifest_load(struct os *os, const char *dir,
                                                struct manifest *ret, cairn_error *error);
CAIRN_MUST_CHECK cairn_err series_manifest_save(struct os *os, const char *dir,
                                                const struct manifest *manifest,
                                                cairn_error *error);

/* ---- views --------------------------------------------------------------------------------- */

struct view {
    uint32_t table_count, run_count;
    struct table *tables[SERIES_TABLES_MAX]; /* newest first; [0] is the one being filled */
    struct run *runs[SERIES_RUNS_MAX];       /* oldest first */
};

enum view_state { VIEW_FREE, VIEW_CURRENT, VIEW_RETIRED };
struct view_slot {
    struct view view;
    enum view_state state;
    uint64_t entered;      /* readers that ever entered, once retired */
    _Atomic uint64_t left; /* readers that left */
};

struct merge; /* series_merge.c */

struct series {
    struct os *os;
    char dir[SERIES_PATH_MAX];
    struct series_options options;

    _Atomic uint64_t current; /* readers entered << 16 | index of the current view */
    struct table *active;     /* the writer's: tables[0] of the current view */
    _Atomic uint64_t flushed_end;
    struct heads heads;

    pthread_mutex_t lock; /* what follows, and every change of the view: held for moments only */
    struct view_slot views[SERIES_VIEWS];
    struct table *dead_tables;
    struct run *dead_runs;

    pthread_mutex_t maintaining; /* what follows: the maintainer's */
    uint64_t next_run_id;
    bool manifest_dirty; /* the view's runs are not what the manifest on disk says */
    struct merge *merge;
    bool damaged; /* a run is: nothing is merged any more */
    _Atomic uint64_t flushes, merges, merged_bytes;
};

/* Enter the current view; it stays whole until left. Two atomic additions in all. */
const struct view *series_view_enter(struct series *series, uint32_t *ret_index);
void series_view_leave(struct series *series, uint32_t index);
/* With series->lock held: begin a changed copy of the current view, publish it (never fails). NULL: too many
 * old views are still being read; `spare` slots are left alone. */
struct view *series_view_copy(struct series *series, unsigned spare);
void series_view_publish(struct series *series, struct view *view);
/* The current view, with series->lock held. */
struct view *series_view_current(struct series *series);
void series_view_first(struct series *series); /* before any reader */
/* Free what no reader can see any more. The maintainer's. */
void series_view_reap(struct series *series);
void series_view_free_all(struct series *series); /* no reader is left */

/* The writer's: a new table in front, for positions from `position` on. The one before becomes the frozen
 * one, or is dropped when it holds nothing. False: out of memory, or the frozen one is not flushed. */
bool series_freeze(struct series *series, uint64_t weight, uint64_t position);
/* Bring the manifest on disk up to the view; try again later where that fails. */
CAIRN_MUST_CHECK cairn_err series_manifest_sync(struct series *series, cairn_error *error);
/* Turn the oldest frozen table into a run and publish it. */
CAIRN_MUST_CHECK cairn_err series_flush_table(struct series *series, cairn_error *error);
/* One bounded step of the merge under way, or of the one that is due. */
CAIRN_MUST_CHECK cairn_err series_merge_step(struct series *series, cairn_error *error);
bool series_merge_due(struct series *series);
/* Give up the merge under way, if there is one. */
void series_merge_abort(struct series *series);

/* How big a run is, in powers of SERIES_FANOUT. */
#define SERIES_FANOUT 3u
static inline uint32_t
series_level(uint64_t entries)
{
    uint32_t level = 0;
    for (entries /= 1u << 15; entries >= SERIES_FANOUT; entries /= SERIES_FANOUT)
        level++;
    return level;
}

#endif

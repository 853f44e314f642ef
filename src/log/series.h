/* log/series.h: the series index: for each key, the ordered positions of the events that bear it.
 *
 *   insert ─► memory table ─(full)─► frozen table ─flush─► run files, level 0 ─merge─► level 1 …
 *
 * The index is derived: everything from flushed_end() on is inserted again by the log when it
 * opens. Runs are immutable, sorted by key, delta-encoded, with a filter and fence keys in memory;
 * every block carries a CRC32C. docs/format.md has the bytes.
 *
 * A key is a 128-bit hash under the log's secret, so two names never share one (n² · 2^-129: under
 * 10^-20 for a billion names) and no code deals with collisions.
 *
 * Threads. Insert, freeze, known and rewind: one thread at a time (the log holds its sequence lock).
 * Reads: any thread, at any time, without taking a lock; they see entries below the `end` they are
 * given. Maintain: any thread, one at a time (a second one waits for the first). Flush: as maintain,
 * while nobody inserts. */
#ifndef LOG_SERIES_H
#define LOG_SERIES_H

#include <base/hash.h>
#include <os/os.h>

struct series; /* the index */

struct series_options {
    uint32_t memory_events;  /* entries of the memory table = 6 × this, at most; then it is frozen */
    uint32_t head_cache_entries; /* heads kept of series that are not in the tables */
    bool read_only;
};

/* The last entry of a series. */
struct series_head {
    uint64_t ordinal;
    uint64_t position;
};

/* Open or make the index in folder `dir` (made where there is none). A damaged or missing manifest,
 * or a run whose header, filter, fences or size do not check, is CAIRN_E_CORRUPT with file and
 * offset: the log then removes it all (cairn_series_destroy) and inserts everything again. */
CAIRN_MUST_CHECK cairn_err cairn_series_open(struct os *os, const char *dir,
                                             const struct series_options *options,
                                             struct series **ret, cairn_error *error);
/* Frees memory; flushes nothing. */
void cairn_series_close(struct series *series);
/* Its folder has been renamed: from here on its files are made, and removed, there. Open files stay as they are. */
void cairn_series_moved(struct series *series, const char *dir);
/* Remove all files of an index that is not open. */
CAIRN_MUST_CHECK cairn_err cairn_series_destroy(struct os *os, const char *dir, cairn_error *error);

/* Every event before this position is in the runs. */
uint64_t cairn_series_flushed_end(const struct series *series);

/* Add an entry. Positions of one key ascend. `ordinal` is the entry's ordinal (streams: revision;
 * ordinal-less series: always 0). Never blocks, never fails: memory was taken by has_room(). */
void cairn_series_insert(struct series *series, struct hash128 key, uint64_t ordinal,
                         uint64_t position);
/* Add `count` entries at neighbouring positions, as many inserts would. step 1: ordinals count up from first_ordinal; 0: all are
 * 0. Memory was taken by has_room_ranges(). In the memory table a range costs some 40 bytes for each 1024 entries. */
void cairn_series_insert_range(struct series *series, struct hash128 key, uint64_t first_ordinal, uint32_t step,
                               uint64_t first_position, uint64_t count);
/* Fetch what an insert or known() of this key will touch; call it a few keys ahead. A hint. */
void cairn_series_prefetch(const struct series *series, struct hash128 key);
/* True when `entries` more inserts will fit (it takes the memory for them). When the memory table is
 * full it is frozen and a new one begun; false when the frozen one is not yet flushed either
 * (the caller waits for maintain: a full queue is an answer) or memory ran out. */
bool cairn_series_has_room(struct series *series, size_t entries, uint64_t next_position);
/* The same for `entries` inserts and `ranges` ranges that have `range_entries` entries among them. */
struct series_need {
    size_t entries, ranges;
    uint64_t range_entries;
};
bool cairn_series_has_room_ranges(struct series *series, const struct series_need *need, uint64_t next_position);
/* Half of the memory table is free, or the next one may be begun at once. A thread that may insert. */
bool cairn_series_is_roomy(struct series *series);
/* Forget the entries at and after position `end` (after a failed write; end >= what was ever passed as
 * `durable`). Everything below stays, for readers and the writer alike, with nothing to insert again:
 * the next insert is at `end` or later. Costs a copy of the memory table (a fraction of a second).
 * CAIRN_E_NOMEM or CAIRN_E_BUSY (too many reads are at work on old tables): nothing was forgotten. */
CAIRN_MUST_CHECK cairn_err cairn_series_forget(struct series *series, uint64_t end);
/* Forget the memory and frozen tables: the log inserts again from flushed_end(). Readers may be
 * active, and miss what is below their `end` until it is inserted again; prefer forget. Errors as above. */
CAIRN_MUST_CHECK cairn_err cairn_series_rewind(struct series *series);

/* What is the last entry? Writer's side: never reads the disk, sees entries not yet durable too. */
enum series_known { SERIES_UNKNOWN, SERIES_ABSENT, SERIES_PRESENT };
enum series_known cairn_series_known(struct series *series, struct hash128 key,
                                     struct series_head *ret_head);
/* Make a head known (present or absent) by looking in the runs; any thread, may read the disk. It may be
 * forgotten again later by the bounded cache: callers loop, a bounded number of times. */
CAIRN_MUST_CHECK cairn_err cairn_series_warm(struct series *series, struct hash128 key,
                                             cairn_error *error);

/* The last entry below position `end`; CAIRN_E_END when there is none. May read the disk. */
CAIRN_MUST_CHECK cairn_err cairn_series_head(struct series *series, struct hash128 key,
                                             uint64_t end, struct series_head *ret_head,
                                             cairn_error *error);

enum series_by { SERIES_BY_POSITION, SERIES_BY_ORDINAL };

struct series_read {
    struct hash128 key;
    enum series_by by;
    uint64_t from;  /* inclusive: forward, entries >= from; backward, entries <= from */
    bool backward;
    uint64_t end;   /* only positions below this */
};

/* Up to `max` entries in the order asked for; 0 in *ret_count: there are no more. Stateless: read on
 * with from = last + 1 (forward) or last - 1 (backward). Allocates nothing that outlives the call.
 * An entry costs a few ns when many are read; a call costs a seek. */
CAIRN_MUST_CHECK cairn_err cairn_series_read(struct series *series, const struct series_read *read,
                                             struct series_head *entries, size_t max,
                                             size_t *ret_count, cairn_error *error);

/* Do the most urgent piece of background work: flush the frozen table once everything in it is
 * durable (its end <= durable), or a step of a merge (some 4 MiB). *ret_more: call again. A failed
 * flush (disk full) leaves the table in memory and is tried again at the next call; the error is
 * returned for the record. CAIRN_E_CORRUPT, once: a run cannot be merged. Reads of what is whole go on, and so do
 * flushes, but nothing is merged until the index is opened again, so runs will pile up (then CAIRN_E_BUSY):
 * compute the index anew. */
CAIRN_MUST_CHECK cairn_err cairn_series_maintain(struct series *series, uint64_t durable,
                                                 bool *ret_more, cairn_error *error);
/* Freeze and flush everything below `durable` (clean stop; everything inserted must be durable). */
CAIRN_MUST_CHECK cairn_err cairn_series_flush(struct series *series, uint64_t durable,
                                              cairn_error *error);

struct series_stats {
    uint64_t memory_entries, memory_bytes; /* all tables, caches, filters, fences */
    uint64_t runs, run_bytes, entries;    /* on disk */
    uint64_t flushes, merges, merged_bytes;
};
void cairn_series_stats(struct series *series, struct series_stats *ret);

/* Call for every entry below `end`, in any order; for comparing with the log. Return false to stop. Each
 * block read is checked. */
typedef bool (*series_visit)(void *context, struct hash128 key, uint64_t ordinal, uint64_t position);
CAIRN_MUST_CHECK cairn_err cairn_series_each(struct series *series, uint64_t end,
                                             series_visit visit, void *context,
                                             cairn_error *error);
/* Check every byte of every file of the index; each fault is reported (file, offset, what).
 * CAIRN_E_CORRUPT when there was any. */
typedef bool (*series_fault)(void *context, const char *file, uint64_t offset, const char *what);
CAIRN_MUST_CHECK cairn_err cairn_series_check(struct series *series, series_fault fault,
                                              void *context, cairn_error *error);

#endif

/* store/snapshot_cache.h: recently used snapshots in memory, bounded in bytes and in age.
 *
 * The least recently used goes first. An entry is answered for at most a minute after it was put
 * in, so that with a backend that several processes share no process keeps an old one for long.
 *
 * A snapshot read from the log may be older than one that was put meanwhile. So a reader takes the
 * generation before it reads, and what it found is kept only if nothing changed since.
 *
 * Threads: every call from any thread, under one lock. */
#ifndef STORE_SNAPSHOT_CACHE_H
#define STORE_SNAPSHOT_CACHE_H

#include <cairn/store.h>

#define SNAPSHOT_CACHE_AGE_US INT64_C(60000000)

struct snapshot_cache;

struct snapshot_cache *snapshot_cache_new(uint64_t size_max_bytes);
void snapshot_cache_free(struct snapshot_cache *cache);

/* A copy in *ret_memory (malloc) that ret points into. CAIRN_E_NOTFOUND: not here, and then
 * *ret_generation is what snapshot_cache_fill() wants. */
CAIRN_MUST_CHECK cairn_err snapshot_cache_get(struct snapshot_cache *cache, cairn_scope scope,
                                              cairn_str stream, int64_t now_us,
                                              cairn_snapshot *ret, void **ret_memory,
                                              uint64_t *ret_generation);
/* Keep what was read, unless a put or drop came in between. A lack of memory is no error here. */
void snapshot_cache_fill(struct snapshot_cache *cache, cairn_scope scope, cairn_str stream,
                         const cairn_snapshot *snapshot, int64_t now_us, uint64_t generation);
void snapshot_cache_put(struct snapshot_cache *cache, cairn_scope scope, cairn_str stream,
                        const cairn_snapshot *snapshot, int64_t now_us);
void snapshot_cache_drop(struct snapshot_cache *cache, cairn_scope scope, cairn_str stream);

struct snapshot_cache_stats {
    uint64_t bytes, entries, hits, misses;
};
void snapshot_cache_stats(struct snapshot_cache *cache, struct snapshot_cache_stats *ret);

/* Both parts of a snapshot in one piece of memory, as cairn_snapshot_get() gives it out; NULL when
 * out of memory. */
void *snapshot_copy(const cairn_snapshot *from, cairn_snapshot *ret);

#endif

/* store/snapshot.h: the newest state of a stream, kept as an event of "$snapshot-<stream>".
 *
 * The event's data is a small header and the state, compressed with zstd where that helps:
 *
 *   0 u8 form (1)   1 u8 codec (0 as it is, 1 zstd)   2 u16 size of the content type
 *   4 u32 size of the state   8 u64 revision of the stream, included in the state
 *   16 content type ‖ state
 *
 * A backend keeps only the newest event of streams of the category "$snapshot". An event of type
 * "$snapshot-removed" says that there is none.
 *
 * Threads: every call from any thread. The cache has one lock; puts and deletes of one stream are
 * kept apart by one of 64 locks, chosen by the stream's name. */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include "store.h"

/* States are held to this before compression; compressed they must fit an event. */
#define SNAPSHOT_SIZE_MAX (UINT32_C(64) << 20)

struct snapshots;

/* cache_bytes bounds what the cache holds, its own bookkeeping included. */
struct snapshots *snapshots_new(uint64_t cache_bytes);
void snapshots_free(struct snapshots *snapshots);
uint64_t snapshots_memory(struct snapshots *snapshots);

/* How often a get was answered from memory, and how often not: for tests and metrics. */
void snapshots_counts(struct snapshots *snapshots, uint64_t *ret_hits, uint64_t *ret_misses);

/* Delete a stream together with its snapshot: what comes to the stream later must not be taken for
 * a continuation of the state that was deleted. */
CAIRN_MUST_CHECK cairn_err snapshots_delete_stream(cairn_store *store, cairn_scope scope,
                                                   cairn_str stream, int64_t expected,
                                                   bool tombstone, cairn_error *error);

#endif

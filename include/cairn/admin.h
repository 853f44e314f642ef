/* cairn/admin.h: look after a store: figures, verify, backup, restore, branch, scavenge.
 *
 * Long work reports through a progress callback and stops when it answers false. */
#ifndef CAIRN_ADMIN_H
#define CAIRN_ADMIN_H

#include <cairn/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* done and total in the unit named by `unit` ("bytes", "events"). Return false to stop: the call
 * then answers CAIRN_E_CLOSED and leaves everything as it was. */
typedef bool (*cairn_progress)(void *context, uint64_t done, uint64_t total, const char *unit);

typedef struct cairn_stats {
    cairn_uuid log_id;
    uint64_t events;          /* = end */
    uint64_t streams;         /* that ever had an event, Cairn's own included */
    int64_t first_time_us, last_time_us;
    uint64_t log_bytes;       /* segments on disk */
    uint64_t index_bytes;
    uint64_t segments, index_runs;
    uint64_t index_memory_entries; /* in the memory table: one for each series an event is in */
    uint64_t memory_bytes;    /* known to be held by caches and tables */
    uint64_t appends_total, events_appended_total, conflicts_total; /* since opened */
    uint64_t batches_total, batch_bytes_total;                      /* group commits since opened */
    uint64_t sync_us_total, sync_us_max;
    uint64_t reads_total, events_read_total;
    uint64_t appends_waiting;
    uint64_t recovered_events;   /* replayed into the index when opened */
    uint64_t discarded_bytes;    /* torn tail thrown away when opened (never acknowledged) */
    uint64_t index_faults;       /* times that damage was found in the index since opened */
    uint64_t scavenges_total, scavenged_bytes_total; /* times that it came to its end, and what it gave back, since opened */
    bool failed;                 /* takes no more writes */
    bool disk_full;
    cairn_error failure;         /* why, when failed or disk_full */
    cairn_error index_failure;   /* code not CAIRN_OK: the index is damaged, and not computed again yet */
    cairn_error scavenge_failure; /* code not CAIRN_OK: why the store's last scavenging of its own failed */
} cairn_stats;

CAIRN_API void cairn_stats_get(cairn_store *store, cairn_stats *ret_stats);

/* A damage that verify found: where, and what. Return false to stop looking. */
typedef bool (*cairn_fault_visit)(void *context, const char *file, uint64_t offset,
                                  const char *what);

typedef struct cairn_verify_report {
    uint64_t events, streams, segments, index_entries;
    uint64_t faults;
    uint8_t root[32];   /* chained Merkle root over every event up to the end */
    uint8_t digest[32]; /* over what the events say, not where: equal for a log and its re-import */
} cairn_verify_report;

/* Read every byte and check it: headers, checksums, dense positions and revisions, times, Merkle
 * roots and their chain, and the index against one computed from the log. Works on an open store
 * while it is in use. CAIRN_E_CORRUPT when there was any fault. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_verify(cairn_store *store, cairn_fault_visit visit,
                                                  cairn_progress progress, void *context,
                                                  cairn_verify_report *ret_report,
                                                  cairn_error *error);

/* A proof that one event is in the log: hashes from its leaf to its segment's root (RFC 9162 §2.1.3)
 * and the chain of segment roots. Events that came in one batch have its leaf in common. ret_proof is JSON, freed with cairn_free(). */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_prove(cairn_store *store, uint64_t position,
                                                 char **ret_proof, cairn_error *error);

/* Copy a consistent state of a running store into a folder, which may hold an earlier backup of
 * the same log: then only what is new is copied. Durable on return. The result is a store. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_backup(cairn_store *store, const char *folder,
                                                  cairn_progress progress, void *context,
                                                  uint64_t *ret_end, cairn_error *error);

/* Make a store in `folder` (which must not hold one) out of the backup or store at `source`, up to
 * but not including position `end` (UINT64_MAX: everything). An append is never split: one that
 * reaches to `end` or beyond is left out whole. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_restore(const char *source, const char *folder,
                                                   uint64_t end, cairn_progress progress,
                                                   void *context, cairn_error *error);

/* A second, independent store in `folder` that begins with this one's events up to `end` and shares
 * its sealed segments (hard links on the same file system, copies elsewhere). Appends are never split. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_branch(cairn_store *store, const char *folder,
                                                  uint64_t end, cairn_error *error);

typedef struct cairn_scavenge_report {
    uint64_t segments_rewritten, events_removed, bytes_freed;
} cairn_scavenge_report;

/* Give back the space of events that retention has removed, and of records that compaction has. Positions, revisions and
 * Merkle roots stay. Sealed segments only. A store that does so by itself (scavenge_interval_us) gives way to this call, and to
 * the others here. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_scavenge(cairn_store *store, cairn_progress progress,
                                                    void *context,
                                                    cairn_scavenge_report *ret_report,
                                                    cairn_error *error);

/* Compute the index again from the log and put it in the old one's place. Appends and reads go on; appends wait while
 * what came meanwhile is entered. The old one keeps its memory until the store is closed, so there is a limit:
 * CAIRN_E_BUSY after the fourth time. The store does this by itself, once, when it finds a damaged run. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_reindex(cairn_store *store, cairn_progress progress,
                                                   void *context, cairn_error *error);

/* Do background work that is due (flush, merge, seal, prepare space), for stores opened with
 * no_background. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_maintain(cairn_store *store, cairn_error *error);

#ifdef __cplusplus
}
#endif
#endif

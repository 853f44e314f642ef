/* cairn/store.h: append to streams, read them back, follow them.
 *
 * A store is one log of events. An event is in one stream, and in every series its names put it
 * into: its category (the stream's name before the first '-'), its type, its tags. Reading any of
 * them is the same walk over positions.
 *
 * Thread-safe: yes, every call on a store from any thread. A reader belongs to one thread at a
 * time. Every call may block on the disk unless its comment says otherwise.
 *
 * Errors common to all: CAIRN_E_NOMEM, CAIRN_E_INVALID, CAIRN_E_LIMIT, CAIRN_E_IO,
 * CAIRN_E_CORRUPT, CAIRN_E_CLOSED. `error` may be NULL; it is written only on failure. */
#ifndef CAIRN_STORE_H
#define CAIRN_STORE_H

#include <cairn/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cairn_store cairn_store;
typedef struct cairn_reader cairn_reader;

/* Limits. Zero means the default in parentheses. */
typedef struct cairn_options {
    bool read_only;               /* do not write, do not lock: for looking at a copy */
    bool create;                  /* make the folder where there is none */
    uint64_t segment_size_bytes;  /* (256 MiB) 64 KiB to 1 GiB */
    uint32_t event_size_max;      /* (1 MiB) data + meta + names of one event */
    uint32_t append_size_max;     /* (16 MiB) all events of one append */
    uint32_t append_events_max;   /* (4096) at most 65,536 */
    uint32_t appends_waiting_max; /* (65,536) asynchronous appends not yet durable; then CAIRN_E_BUSY */
    uint32_t index_memory_events; /* (1,000,000) room of the memory table, at six entries an event */
    uint32_t snapshot_cache_bytes; /* (64 MiB) */
    bool no_background;           /* no threads of its own: the caller runs cairn_maintain() */
    uint64_t scavenge_interval_us; /* (0: never) how often the store looks by itself where cairn_scavenge() is worth it */
} cairn_options;

/* Open the store at a location: a folder (embedded backend).
 *
 * ret_store  owned by the caller, closed with cairn_close()
 * CAIRN_E_LOCKED   another process owns the folder; the detail names its pid
 * CAIRN_E_VERSION  written by an unknown format version
 * CAIRN_E_NOTFOUND no store there, and options.create is false
 * CAIRN_E_CORRUPT  acknowledged events are damaged; the detail names file and offset           */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_open(const char *location, const cairn_options *options,
                                                cairn_store **ret_store, cairn_error *error);

/* Stop background work, flush the index, close the log cleanly. NULL is fine. Readers and
 * groups must have been freed. Events acknowledged before are safe with or without this. */
CAIRN_API void cairn_close(cairn_store *store);

/* ---- appending ---------------------------------------------------------------------------- */

/* Append events to one stream.
 *
 * All of the events become durable, in order and next to each other, or none does. When this
 * returns CAIRN_OK they have reached the disk: a power cut cannot take them back. Appending the
 * same event ids again at the same place succeeds, writes nothing and sets at.repeated.
 *
 * expected   the stream's last revision, or CAIRN_ANY, CAIRN_NONE, CAIRN_EXISTS
 * events     borrowed until return
 * ret_at     untouched on error
 *
 * CAIRN_E_CONFLICT  the stream is elsewhere: error.revision says where; nothing written
 * CAIRN_E_GONE      the stream bears a tombstone
 * CAIRN_E_DENIED    the stream's name begins with '$'
 * CAIRN_E_LIMIT     an event or the append is too large; nothing written
 * CAIRN_E_BUSY      too many appends are waiting; nothing written
 * CAIRN_E_NOSPACE   the disk is full; nothing written; try again when there is room
 * CAIRN_E_IO        the log has failed and takes no more writes until it is reopened            */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_append(cairn_store *store, cairn_scope scope,
                                                  cairn_str stream, int64_t expected,
                                                  const cairn_event *events, size_t event_count,
                                                  cairn_at *ret_at, cairn_error *error);

/* One stream's part of an append over several. */
typedef struct cairn_write {
    cairn_str stream;
    int64_t expected;
    const cairn_event *events;
    size_t event_count;
} cairn_write;

/* An event matches an item when its type is one of the types (or there are none) and it bears all
 * of the tags. It matches a query when it matches any item; a query without items matches all. */
typedef struct cairn_query_item {
    const cairn_str *types;
    size_t type_count;
    const cairn_str *tags;
    size_t tag_count;
} cairn_query_item;

typedef struct cairn_query {
    const cairn_query_item *items;
    size_t item_count;
} cairn_query;

/* Holds when no event that matches `query` has a position greater than `after`. That is about what has happened, so events
 * that retention or deletion hides count too, until scavenging removes them: what they said is gone then. */
typedef struct cairn_condition {
    cairn_query query;
    int64_t after; /* -1: from the beginning of the log */
} cairn_condition;

struct cairn_batch; /* cairn/topic.h */

typedef struct cairn_append_request {
    cairn_scope scope;
    const cairn_write *writes;
    size_t write_count;
    const struct cairn_batch *batches; /* record batches for partitions of topics; they come after the writes */
    size_t batch_count;
    const cairn_condition *conditions;
    size_t condition_count;
    bool system; /* Cairn's own use: streams beginning with '$' are allowed, more fits (64 MiB), and batches' checksums, which then
                  * have to hold, are not looked at */
    /* Optional, for cairn_append_async(): written before it returns when the append has its place in the order and will
     * be there unless the disk fails; untouched when it is refused, or when the backend cannot tell yet. Whoever decides
     * the next append on top of this one needs not wait for the disk. */
    cairn_at *ret_sequenced;
    int64_t *ret_time_us; /* optional, written together with it: the time of commit that the events bear */
    /* Optional. In: what the call wrote here that the decision rests on, or 0 when it rests on what is durable; out: now's,
     * written together with ret_sequenced. A full disk takes back what had its place and was not durable: an append that
     * rests on such a one is refused with CAIRN_E_NOSPACE. */
    uint32_t *epoch;
} cairn_append_request;

/* Append to several streams under several conditions: all hold and all is written, or nothing is.
 * Errors as cairn_append(), and CAIRN_E_CONDITION: error.position is the first event that matched. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_append_all(cairn_store *store,
                                                      const cairn_append_request *request,
                                                      cairn_at *ret_at, cairn_error *error);

/* Called once when an asynchronous append is over: on the commit thread, so it must be short, must
 * not block and must not append synchronously. `at` and `error` are borrowed until it returns. */
typedef void (*cairn_append_done)(void *context, cairn_err err, const cairn_at *at,
                                  const cairn_error *error);

/* The same without waiting for the disk. Everything in `request` is borrowed only until this call
 * returns. When it returns CAIRN_OK, `done` will be called exactly once, possibly before the
 * return; otherwise never. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_append_async(cairn_store *store,
                                                        const cairn_append_request *request,
                                                        cairn_append_done done, void *context,
                                                        cairn_error *error);

/* ---- reading ------------------------------------------------------------------------------ */

typedef enum cairn_direction { CAIRN_FORWARD = 0, CAIRN_BACKWARD = 1 } cairn_direction;

#define CAIRN_FROM_START INT64_C(0)
#define CAIRN_FROM_END INT64_MAX /* forward: only what comes from now on; backward: the newest */

/* What to read. Zero everything, then set what matters. */
typedef struct cairn_read_options {
    cairn_scope scope;
    int64_t from;              /* first revision (stream) or position (all) to return, inclusive */
    cairn_direction direction;
    uint64_t end;              /* exclusive bound on position: "as of"; 0: none */
    bool system;               /* read of all: also Cairn's own streams */
    cairn_str category;        /* read of all: only this category; empty: any */
    cairn_query query;         /* read of all: only what matches; no items: everything */
    bool follow;               /* forward only: cairn_reader_wait() may be used at the end */
} cairn_read_options;

/* Read a stream (from = revision), or all events (from = position). The reader sees the log as it
 * is durable at each call of next. Events that retention hides are left out, also from what is left to
 * read of a stream that is deleted meanwhile. An unknown stream reads as empty.
 *
 * ret_reader  owned by the caller, freed with cairn_reader_free() before cairn_close() */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_read_stream(cairn_store *store, cairn_str stream,
                                                       const cairn_read_options *options,
                                                       cairn_reader **ret_reader,
                                                       cairn_error *error);
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_read_all(cairn_store *store,
                                                    const cairn_read_options *options,
                                                    cairn_reader **ret_reader, cairn_error *error);

/* The next event. What it points to is borrowed until the next call on this reader.
 * CAIRN_E_END      nothing more now; a later call may find more (forward reading only)
 * CAIRN_E_CORRUPT  the stored event is damaged; it is never returned */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_reader_next(cairn_reader *reader,
                                                       cairn_recorded *ret_event,
                                                       cairn_error *error);

/* Where the reader stands: the `from` that would resume it. For a read of all, positions that did
 * not match are counted as passed. Does not block. */
CAIRN_API int64_t cairn_reader_from(const cairn_reader *reader);

/* Wait until there may be more to read, at most timeout_ms. CAIRN_E_TIMEOUT when not. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_reader_wait(cairn_reader *reader, uint32_t timeout_ms);

CAIRN_API void cairn_reader_free(cairn_reader *reader);

/* One past the last durable position: the number of positions ever assigned. Does not block. */
CAIRN_API uint64_t cairn_end(cairn_store *store);

/* Calls `notify(context, end)` after each commit, on the commit thread: short, never blocking. At most 8 listeners a store,
 * known by their contexts; NULL takes this context's away, or everybody's where that is NULL too, and returns when no call of it
 * is under way. */
typedef void (*cairn_commit_notify)(void *context, uint64_t end);
CAIRN_API void cairn_on_commit(cairn_store *store, cairn_commit_notify notify, void *context);

/* The position of the first event committed after time_us: what `end` wants for "as of". */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_position_at(cairn_store *store, int64_t time_us,
                                                       uint64_t *ret_position, cairn_error *error);

/* ---- streams ------------------------------------------------------------------------------ */

typedef struct cairn_retention {
    uint64_t max_count;       /* keep the newest n; 0: no limit */
    uint64_t max_age_us;      /* keep what is younger; 0: no limit */
    uint64_t truncate_before; /* revisions below are gone; 0: none */
} cairn_retention;

typedef struct cairn_stream_info {
    bool exists;             /* it has a readable event */
    bool tombstoned;
    uint64_t first_revision; /* first that retention lets be read; meaningful when exists */
    int64_t last_revision;   /* -1: never written */
    uint64_t last_position;
    cairn_retention retention;
} cairn_stream_info;

/* What is known of a stream; an unknown one has exists = false and last_revision = -1. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_stream_info_get(cairn_store *store, cairn_scope scope,
                                                           cairn_str stream,
                                                           cairn_stream_info *ret_info,
                                                           cairn_error *error);

/* Called for each stream, in the order in which streams first appeared. Return false to stop. */
typedef bool (*cairn_stream_visit)(void *context, cairn_str stream, uint64_t first_position);

/* List streams whose names begin with `prefix`, after the stream `after` (empty: from the first).
 * A prefix that holds a '-' looks only into that category. Streams beginning with '$' only where
 * the prefix begins with it. CAIRN_E_NOTFOUND: `after` names no stream. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_streams(cairn_store *store, cairn_scope scope,
                                                   cairn_str prefix, cairn_str after,
                                                   cairn_stream_visit visit, void *context,
                                                   cairn_error *error);

/* Set a stream's retention. Takes effect for readers at once; space returns by scavenging. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_retention_set(cairn_store *store, cairn_scope scope,
                                                         cairn_str stream,
                                                         const cairn_retention *retention,
                                                         cairn_error *error);

/* Delete a stream. It reads as not existing; a later append goes on with the next revision. With
 * `tombstone` the name is closed for good: appends answer CAIRN_E_GONE. Deleting what does not
 * exist: CAIRN_E_NOTFOUND. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_delete(cairn_store *store, cairn_scope scope,
                                                  cairn_str stream, int64_t expected,
                                                  bool tombstone, cairn_error *error);

/* ---- snapshots ---------------------------------------------------------------------------- */

typedef struct cairn_snapshot {
    uint64_t revision; /* of the stream, included in the state */
    cairn_str content_type;
    cairn_str data;
} cairn_snapshot;

/* Keep a snapshot of a stream's state (the newest one only), compressed, durable on return.
 * CAIRN_E_INVALID: the revision is beyond the stream's last. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_snapshot_put(cairn_store *store, cairn_scope scope,
                                                        cairn_str stream,
                                                        const cairn_snapshot *snapshot,
                                                        cairn_error *error);

/* The newest snapshot. ret_snapshot points into *ret_memory, which the caller gives to
 * cairn_free(). CAIRN_E_NOTFOUND: there is none. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_snapshot_get(cairn_store *store, cairn_scope scope,
                                                        cairn_str stream,
                                                        cairn_snapshot *ret_snapshot,
                                                        void **ret_memory, cairn_error *error);
CAIRN_API void cairn_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif

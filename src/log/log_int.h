/* log/log_int.h: what the files of this room share. Nobody outside it includes this.
 *
 * The states of a log, and who moves it:
 *
 *   opening ─(recover.c)─► open ─(commit.c: write or sync failed)─► failed ─► close
 *                           │ ▲
 *                 disk full ▼ │ rewind: forget what was sequenced and not durable
 *                          rewinding
 *
 * Invariants
 *  1. durable only grows, and only after a sync that covers every byte before it.
 *  2. A caller hears "done" only for positions below durable.
 *  3. next_position >= durable; what lies between is in the open batch or in the one being committed.
 *  4. The bytes of a segment from `tail` on never hold a frame that could check as the next one: they
 *     were zeroed and synced before the first write of this run.
 *  5. A segment's first frame is written only when every frame of the one before is durable.
 *  6. The index holds every sequenced event; readers bound what they see by durable.
 *  7. Limits of a stream (retention) reach readers, and scavenging, only when their event is durable. */
#ifndef LOG_LOG_INT_H
#define LOG_LOG_INT_H

#include <assert.h>
#include <base/arena.h>
#include <base/error.h>
#include <base/text.h>
#include <batch/event.h>
#include "merkle.h"
#include <log/format.h>
#include <log/log.h>
#include <log/series.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define LOG_PATH_MAX 1024
#define LOG_SEGMENTS_MAX 65536u
#define LOG_SEGMENT_MAX (1u << 30)      /* the largest segment_size_bytes, and what bounds a stored one */
#define LOG_APPEND_MAX (64u << 20)      /* the largest append_size_max */
#define LOG_FRAME_MAX (LOG_APPEND_MAX + 64)
#define LOG_BATCH_MAX (4u << 20)        /* a blocking append waits rather than grow a batch past this */
#define LOG_BATCH_ASYNC_MAX (64u << 20) /* an asynchronous one is refused (busy) past this */
#define LOG_WAITERS_MAX 65536u
#define LOG_TERMS_MAX 256               /* keys of one query */
#define LOG_CONDITIONS_MAX 64
#define LOG_OFFSETS_BYTES_MAX (96u << 20) /* offset tables of sealed segments kept in memory */
#define LOG_RETRIES_MAX 64
#define LOG_LISTENERS_MAX 8
#define LOG_RETIRED_MAX 4 /* indexes replaced between opening and closing; each keeps its memory */
/* Positions that one append may take: batches can be far denser than events, and a segment's tables have room for one such
 * append however full it is. */
#define LOG_APPEND_POSITIONS_MAX (2u << 20)
#define LOG_STREAM_MAX (LOG_NAME_MAX + 32) /* Cairn's own streams carry a prefix before a user's name */

/* ---- segments (segment.c) ------------------------------------------------------------------ */

struct segment {
    uint64_t number, id;
    uint64_t generation; /* of this object: scavenging makes a new one for the same segment */
    uint32_t seed; /* crc of the id: every checksum in the file begins with it */
    struct os_file *file;
    char path[LOG_PATH_MAX];
    uint64_t first_position;
    _Atomic uint64_t count;     /* positions sequenced (active), or in all (sealed) */
    _Atomic uint64_t data_end;  /* end of the frames; sealed: where the footer is */
    _Atomic bool sealed;
    /* Offset of the record that holds position i, the same for all of a batch; entry `count` is an upper bound of the last
     * one's end. NULL: in the footer only. */
    _Atomic uint32_t *_Atomic offsets;
    uint32_t offsets_capacity;
    uint64_t offsets_at;        /* sealed: where the table begins in the file */
    int64_t *times;             /* of records 0, TIME_STEP, 2·TIME_STEP … */
    _Atomic int64_t last_time_us;
    uint64_t removed;
    _Atomic bool few_offsets;   /* sealed: most positions share theirs, being in batches; the table is not worth its memory */
    enum { ROOT_NONE, ROOT_CLAIMED, ROOT_KNOWN } root_state; /* not yet sealed: under the seal lock */
    uint8_t root[32], chain[32]; /* sealed */
    struct look *look; /* what scavenging saw when it last looked at it (sweep.h); NULL: it has not. Under admin_lock */
};

CAIRN_MUST_CHECK cairn_err segment_create(struct log *log, uint64_t number, uint64_t first_position,
                                          struct segment **ret, cairn_error *error);
/* Open an existing file and check its header; footer too when it has one. */
CAIRN_MUST_CHECK cairn_err segment_open(struct log *log, uint64_t number, struct segment **ret,
                                        cairn_error *error);
void segment_free(struct log *log, struct segment *segment);
/* Take memory for the offset table and times of up to `capacity` records. */
CAIRN_MUST_CHECK cairn_err segment_make_tables(struct segment *segment, uint32_t capacity,
                                               cairn_error *error);
/* Make room in them for `positions` more than are noted; nobody else may look at them yet. */
CAIRN_MUST_CHECK cairn_err segment_grow_tables(struct segment *segment, uint64_t positions, cairn_error *error);
/* Remember record number `index` at file offset `offset`. */
void segment_note(struct segment *segment, uint64_t index, uint32_t offset, uint32_t end,
                  int64_t time_us);
/* The same of a batch, which holds positions [index, index + n). */
void segment_note_range(struct segment *segment, uint64_t index, uint64_t n, uint32_t offset, uint32_t end,
                        int64_t time_us);
/* May so many more positions be noted? When they may not, the next segment begins, which has room for any append of at most
 * LOG_APPEND_POSITIONS_MAX. */
bool segment_has_room(const struct segment *segment, uint64_t positions);
/* Where records [index, index + n] begin, n + 1 entries: from memory or from the footer. */
CAIRN_MUST_CHECK cairn_err segment_offsets(struct log *log, struct segment *segment, uint64_t index,
                                           size_t n, uint32_t *ret_offsets, cairn_error *error);
/* Free offset tables of sealed segments beyond what may be kept in memory. */
void segment_trim_offsets(struct log *log);
/* The root being known: compute the chain, write the footer, cut the file behind it. `before`: the chain so far. */
CAIRN_MUST_CHECK cairn_err segment_seal(struct log *log, struct segment *segment,
                                        const uint8_t before[32], cairn_error *error);
/* Footer bytes for a segment whose frames end at data_end (scavenging writes them too). */
CAIRN_MUST_CHECK cairn_err segment_footer(const struct segment *segment, uint64_t data_end,
                                          struct buf *ret, cairn_error *error);

/* ---- frames and records (frame.c) ---------------------------------------------------------- */

/* What is known of a batch as it is stored. */
struct stored_batch {
    uint64_t first_position, first_offset;
    uint32_t count;            /* positions that it holds */
    cairn_uuid topic_id;
    uint32_t partition;
    cairn_str category;
    const uint8_t *revisions;  /* u64 each, not aligned: batch_revision() */
    uint32_t revision_count;   /* 1: of the first record, all being in one stream; otherwise one for each position */
    cairn_str bytes;           /* Kafka's; empty: scavenging has left no record */
    bool thinned;              /* scavenging has taken records out of it */
    uint32_t gone_count;       /* streams that records are gone of */
    cairn_str gone;            /* u32 index of the last of them ‖ u16 size ‖ stream; batch_next_gone() */
};

/* A record as it lies in a buffer: everything borrowed from there. What log_read_record() returns is the event at a position;
 * when a batch holds that, it is unfolded: kind EVENT (REMOVED: scavenging took it out of the batch, and `stream` is empty
 * unless it was the last one of its stream there), with `batch` and `place` filled in, `size` and `body` the batch's. */
struct record {
    uint32_t size;
    enum record_kind kind;
    uint32_t count;           /* positions that it holds: 1, but for BATCH and THINNED */
    uint64_t position, revision; /* BATCH, THINNED: of the first, and its offset */
    int64_t time_us;
    cairn_scope scope;
    cairn_str body;
    cairn_str stream;         /* BATCH, THINNED: empty */
    const uint8_t *leaf;      /* REMOVED, THINNED: its hash */
    cairn_event event;        /* EVENT; tags left packed: */
    cairn_str tags_packed;    /* u16 size ‖ bytes, tag_count times */
    bool unfolded;            /* an event of a batch */
    bool null_value;          /* unfolded: of a record without a value, which says that its key is deleted */
    uint32_t batch_index;     /* unfolded: position and offset, counted from the batch's first */
    struct record_place place; /* unfolded */
    struct stored_batch batch; /* BATCH, THINNED, unfolded */
};

/* Bytes of an event's record, 0 when a limit is broken (then error says which). */
size_t record_size(const struct log_options *options, cairn_str stream, const cairn_event *event,
                   size_t index, cairn_error *error);
/* Write a record of `size` bytes with position, revision, time and head crc left for record_place(). */
void record_encode(uint8_t *to, size_t size, cairn_scope scope, cairn_str stream,
                   const cairn_event *event);
/* Fill in what only the writer knows. Returns the head crc, which the frame's crc covers. */
uint32_t record_place(uint8_t *record, uint32_t seed, uint64_t position, uint64_t revision,
                      int64_t time_us);

/* A batch's record is its front, with all that we say of the batch, and behind it the batch as it came. Bytes of the front;
 * revision_count: 1 when all of its records are in one stream, otherwise one for each. The caller sees to it that sizes and counts
 * are within limits (batch: a whole one, BATCH_RECORDS_MAX), and that the batch's own checksum holds: ours is made of it. */
size_t batch_front_size(size_t category_size, uint32_t revision_count);
/* Write the front, but for revisions, position, first offset, time and the crcs over them. */
void batch_front_encode(uint8_t *to, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition, cairn_str category,
                        uint32_t count, uint32_t revision_count, cairn_str batch);
/* Where revision_count u64s are to be stored (store64(): they are not aligned) before it is placed. */
uint8_t *batch_record_revisions(uint8_t *record);
/* Fill in what only the writer knows. Returns the head crc, which the frame's crc covers. */
uint32_t batch_record_place(uint8_t *record, uint32_t seed, uint64_t position, uint64_t first_offset, int64_t time_us);
/* Revision of the record at this index. */
uint64_t batch_revision(const struct stored_batch *batch, uint32_t index);
/* The next of the streams that records are gone of; false at the end. */
bool batch_next_gone(cairn_str *gone, uint32_t *ret_index, cairn_str *ret_stream);
static inline bool
record_holds_batch(const struct record *record)
{
    return record->kind == RECORD_BATCH || record->kind == RECORD_THINNED;
}

/* Check the head of the record at the beginning of `bytes`, and so its size. NULL, or what is wrong. */
const char *record_check_head(cairn_str bytes, uint32_t seed);
/* The same of a batch's record of which only the front is there (record_front_size() of its checked head, at most the whole): all but
 * the checksum of its body, which is not read. Of batch.bytes only Kafka's head may be looked at. */
const char *record_decode_front(cairn_str front, uint32_t seed, struct record *ret);
size_t record_front_size(cairn_str head);
/* Check and take apart the record at the beginning of `bytes`, as it is stored. NULL, or what is wrong with it. */
const char *record_decode(cairn_str bytes, uint32_t seed, struct record *ret);
/* What a record that has been checked covers. */
struct record_extent {
    uint32_t size, positions;
    uint32_t removed; /* positions whose event scavenging has removed */
};
struct record_extent record_extent(const uint8_t *record);
/* The next tag of a packed list; false at the end. */
bool record_next_tag(cairn_str *packed, cairn_str *ret_tag);
void record_leaf(const struct record *record, uint8_t ret_leaf[32]);

struct frame {
    uint32_t size, count; /* count: of records, which may hold more positions */
    uint64_t first_position, durable;
    int64_t time_us;
};
/* Write the header of a frame whose records are in place; records_crc: all head crcs, carried. */
void frame_place(uint8_t *frame, uint32_t seed, const struct frame *head, uint32_t records_crc);
uint32_t frame_carry(uint32_t records_crc, uint32_t head_crc);
/* Let a frame that frame_place() has finished say that everything before `durable` is durable. */
void frame_vouch(uint8_t *frame, uint32_t seed, uint64_t durable);
/* How many positions the records of a checked frame hold. */
uint64_t frame_positions(cairn_str frame);
/* Check a whole frame that begins at `bytes` (which may hold more than it). NULL, or what is wrong; when it
 * is only cut short, *ret_needed is how many bytes to come again with. */
const char *frame_check(cairn_str bytes, uint32_t seed, struct frame *ret, size_t *ret_needed);

/* ---- keys (keys.c) --------------------------------------------------------------------------- */

enum key_kind {
    KEY_STREAM = 's',
    KEY_CATEGORY = 'c',
    KEY_TYPE = 't',
    KEY_TAG = 'g',
    KEY_CORRELATION = 'r',
    KEY_DIRECTORY = 'd',          /* first events of streams of a scope */
    KEY_CATEGORY_DIRECTORY = 'e', /* first events of streams of a category */
    KEY_RETENTION = 'x',          /* retention events of all scopes */
    KEY_TOPICS = 'o',             /* definitions of topics of all scopes */
    KEY_PARTITION = 'p',          /* of a topic; the ordinal is the offset */
    KEY_PRODUCER = 'q',           /* a producer's batches in a partition, each by its first position */
    KEY_TOPIC_NAME = 'N',         /* no series: tables of topics */
    KEY_TOPIC_ID = 'I',
};
struct hash128 log_key(const struct log *log, enum key_kind kind, cairn_scope scope, cairn_str name);
/* Text before the first '-', or all of it. */
cairn_str category_of(cairn_str stream);
#define LOG_KEYS_MAX (LOG_TAGS_MAX + 12)
struct log_entry {
    struct hash128 key;
    uint64_t ordinal;
};
/* The entries that an event has by its stream alone; how many. */
size_t stream_entries(const struct log *log, cairn_scope scope, cairn_str stream, uint64_t revision,
                      struct log_entry entries[4]);
size_t add_tag(const struct log *log, cairn_scope scope, cairn_str tag, struct log_entry *entries,
               size_t first_tag, size_t n);
/* "$retention-…" */
bool is_retention_stream(cairn_str stream);
/* Every series entry of a stored record. Returns how many. */
size_t record_entries(const struct log *log, const struct record *record,
                      struct log_entry entries[LOG_KEYS_MAX]);

/* ---- queries over series (query.c) ----------------------------------------------------------- */

struct query_plan;
/* Terms of a query, with an optional category, for seeking. NULL query and category: not allowed. */
CAIRN_MUST_CHECK cairn_err query_plan_new(struct log *log, cairn_scope scope, cairn_str category,
                                          const cairn_query *query, struct query_plan **ret,
                                          cairn_error *error);
void query_plan_free(struct query_plan *plan);
/* The first match at or after `from` and below `end` (backward: at or before `from`). CAIRN_E_END: none. */
CAIRN_MUST_CHECK cairn_err query_seek(struct query_plan *plan, uint64_t from, uint64_t end,
                                      bool backward, uint64_t *ret_position, cairn_error *error);
/* Names within limits, no empty items, not too many terms. */
CAIRN_MUST_CHECK cairn_err query_check(const cairn_query *query, cairn_error *error);

/* Make the heads known that query_ask_heads() will ask for. */
CAIRN_MUST_CHECK cairn_err query_warm_heads(struct log *log, cairn_scope scope,
                                            const cairn_query *query, cairn_error *error);
/* Under the sequence lock: may an event at or after `low` match? NONE is certain; MAYBE needs a look at the
 * index; UNKNOWN needs a head warmed first. Never reads the disk. */
enum head_says { HEAD_NONE, HEAD_MAYBE, HEAD_UNKNOWN };
enum head_says query_ask_heads(struct log *log, cairn_scope scope, const cairn_query *query,
                               uint64_t low, struct hash128 *ret_unknown);

/* The first event in [low, end) that matches, by the index alone, which may not know yet what scavenging has removed;
 * CAIRN_E_END: none. The query has items. Under the lock only when all of it is in the memory tables. */
CAIRN_MUST_CHECK cairn_err log_first_match(struct log *log, cairn_scope scope,
                                           const cairn_query *query, uint64_t low, uint64_t end,
                                           uint64_t *ret_position, cairn_error *error);
/* The same, of what is durable, by the records where that matters. Not under the lock. */
CAIRN_MUST_CHECK cairn_err log_first_kept(struct log *log, cairn_scope scope,
                                          const cairn_query *query, uint64_t low, uint64_t end,
                                          uint64_t *ret_position, cairn_error *error);

/* ---- retention (retention.c) ------------------------------------------------------------------- */

struct retention {
    cairn_retention limits;
    bool tombstoned;
};
/* What limits a stream; false when nothing does. For readers: as it is durable. */
bool retention_get(struct log *log, struct hash128 stream_key, cairn_str stream,
                   struct retention *ret);
/* The same for the sequencer: what is in flight counts. */
bool retention_sequenced(struct log *log, struct hash128 stream_key, cairn_str stream,
                         struct retention *ret);
/* Does any stream outside Cairn's own have limits? */
bool retention_any(const struct log *log);
/* The first revision that count and truncation leave, given the last one. */
uint64_t retention_first(const struct retention *retention, uint64_t last_revision);
/* Is this event hidden? `end` bounds what counts as the stream's last. */
CAIRN_MUST_CHECK cairn_err retention_hides(struct log *log, const struct record *record,
                                           int64_t now_us, uint64_t end, bool *ret_hidden,
                                           cairn_error *error);

/* Take over a stored retention event. */
CAIRN_MUST_CHECK cairn_err retention_apply(struct log *log, const struct record *record,
                                           cairn_error *error);
/* The sequencer, under its lock: memory for one more; the record as placed in the batch; what is below `end` is
 * durable, so that readers may know; nothing of what is in flight will be. */
bool retention_make_room(struct log *log);
void retention_placed(struct log *log, const uint8_t *record, uint32_t seed);
void retention_settle(struct log *log, uint64_t end);
void retention_forget(struct log *log);
/* All retention events below `end`, found by the index. */
CAIRN_MUST_CHECK cairn_err retention_load(struct log *log, uint64_t end, cairn_error *error);
void retention_free(struct log *log);
/* The earliest commit time that max_age_us leaves; max_age_us is not 0. */
int64_t retention_oldest(const struct retention *retention, int64_t now_us);

/* ---- the log ---------------------------------------------------------------------------------- */

/* One append that waits for its batch. */
struct waiter {
    _Atomic uint32_t *state;  /* blocking caller: set to 1 when over */
    cairn_err *ret_err;       /* blocking caller */
    cairn_append_done done;   /* asynchronous caller */
    void *context;
    cairn_err err;            /* known already (conflict): delivered when the batch is durable */
    cairn_error *error;       /* malloc'ed, for err */
    cairn_at at;
};

struct batch {
    uint8_t *bytes;
    size_t size, capacity;
    size_t ahead_end;       /* all but the first frame's header was written up to here; 0: nothing was */
    bool writing_ahead;     /* somebody is at it, without the lock */
    uint8_t *retired_bytes; /* where he reads, when `bytes` had to move meanwhile */
    struct segment *segment;
    uint64_t offset; /* in the file */
    uint64_t end_position;
    uint32_t events, appends;
    bool closing; /* holds a frame without records */
    struct waiter *waiters;
    size_t waiter_count, waiter_capacity;
    _Atomic uint32_t word; /* blocking callers sleep on this */
};

struct log {
    struct os *os;
    char dir[LOG_PATH_MAX];
    struct log_options options;
    cairn_uuid id;
    cairn_uuid lineage;          /* in every segment: a branch shares those of its origin */
    uint8_t key_seed[64];
    uint8_t secret[HASH_SECRET_BYTES];
    struct os_file *lock_file;
    struct series *_Atomic series;
    struct series *retired_series[LOG_RETIRED_MAX]; /* replaced by reindexing; until close readers may be in them */
    uint32_t retired_count;
    _Atomic bool index_damaged;  /* a run is, and it is to be computed again */
    bool index_mended;           /* that was done, or tried, since the log was opened; under admin_lock */
    cairn_error index_failure;   /* what was found, until it has been computed again; under `lock` */
    _Atomic uint64_t generations;

    /* Segments, oldest first; slots are filled once, and swapped by scavenging. Readers go by the count. */
    struct segment *_Atomic *slots;
    _Atomic uint32_t segment_count;
    _Atomic uint64_t offsets_bytes;
    _Atomic uint64_t removed;         /* events that scavenging has, of all segments */
    _Atomic uint32_t epoch;           /* parity tells which of the two counts new readers use */
    _Atomic uint32_t epoch_readers[2];
    pthread_mutex_t epoch_lock;       /* one synchroniser at a time */

    /* Sequencing: all under `lock`. */
    pthread_mutex_t lock;
    uint64_t next_position;
    uint32_t take_backs;         /* from 1; another one whenever a full disk has taken appends back */
    uint64_t tail;               /* of the active segment: where the next frame goes */
    int64_t last_time_us;
    uint64_t last_plain_end;     /* one past the last event outside Cairn's own streams */
    struct segment *_Atomic active; /* changed by the sequencer alone; background threads look */
    struct batch batches[2];
    struct batch *open;
    bool committing;             /* somebody writes or syncs the other batch */
    pthread_cond_t idle;         /* committing became false */
    struct recent *recent;
    bool vouched;                /* a frame says that everything written before is durable */

    /* Published. */
    _Atomic uint64_t durable;
    _Atomic bool failed;
    _Atomic bool disk_full;
    cairn_error failure;         /* written before `failed`, under lock */
    _Atomic uint32_t follow_word;
    _Atomic uint32_t followers;
    pthread_mutex_t notify_lock;
    struct listener {
        cairn_commit_notify notify;
        void *context;
    } listeners[LOG_LISTENERS_MAX];
    size_t listener_count;

    /* The file's prepared space: only grown, by filler or committer, under fill_lock. */
    pthread_mutex_t fill_lock;
    _Atomic uint64_t reserved_end;
    _Atomic uint32_t batch_bytes_recent; /* moving average: large batches need no filling */

    struct log_topics *topics; /* topics.h */

    struct retention_map *retention; /* stream key → retention, of streams that have any; durable */
    struct retention_queue *retention_queue; /* in flight; under `lock` */
    pthread_rwlock_t retention_lock;
    _Atomic uint64_t retention_count;
    _Atomic uint64_t retention_changes; /* so far: readers that have looked ahead look again */

    /* Streams counted so far, for stats: by the directory, from where the last count ended. */
    pthread_mutex_t count_lock;
    uint64_t streams_counted, streams_counted_end;

    /* Background. */
    pthread_mutex_t admin_lock;    /* one of verify, backup, branch, scavenge, reindex at a time: log_admin_begin() */
    _Atomic uint32_t admin_waiting; /* for it: scavenging that nobody has asked for gives way */
    pthread_mutex_t maintain_lock; /* one maintainer of the index at a time */
    pthread_mutex_t seal_lock;     /* who computes which root; footers in order */
    _Atomic uint32_t sealed_count; /* segments before this one are sealed; grows under seal_lock */
    pthread_t committer, keeper, indexer, sealer, scavenger; /* the last: where it is wanted */
    _Atomic bool threads_started;
    _Atomic bool stopping;
    _Atomic uint32_t commit_word, keeper_word, indexer_word, sealer_word, scavenger_word;
    cairn_error scavenge_failure;  /* of the last time that nobody has asked for; under `lock` */
    _Atomic uint32_t room_word;    /* the index has room again */

    struct {
        _Atomic uint64_t appends, events, conflicts, batches, batch_bytes, sync_us, sync_us_max;
        _Atomic uint64_t reads, events_read, waiting;
        _Atomic uint64_t index_faults;
        _Atomic uint64_t scavenges, scavenged_bytes;
        uint64_t recovered_events, discarded_bytes;
    } stats;
};

/* Readers of segments bracket their use, so that scavenging knows when a retired one may go. */
static inline uint32_t
epoch_enter(struct log *log)
{
    uint32_t parity = atomic_load(&log->epoch) & 1;
    atomic_fetch_add(&log->epoch_readers[parity], 1);
    return parity;
}
static inline void
epoch_leave(struct log *log, uint32_t parity)
{
    atomic_fetch_sub(&log->epoch_readers[parity], 1);
}
/* Return when everybody who was inside has left. */
void epoch_wait(struct log *log);

/* The segment that holds a position below durable; inside an epoch. */
struct segment *log_segment_at(struct log *log, uint64_t position);

/* ---- reading records (read.c) ------------------------------------------------------------------ */

struct block; /* a window on a segment's file */
enum block_mode { BLOCK_POINT, BLOCK_SCAN, BLOCK_SCAN_BACKWARD };
#define BLOCK_AHEAD (256u << 10)
struct block *block_new(void);
void block_free(struct block *block);
/* The stored record that holds position number `index` of a segment, checked: a batch as a whole (its position may be a lower
 * one). It borrows from the block until the next call. */
CAIRN_MUST_CHECK cairn_err block_record(struct log *log, struct block *block,
                                        struct segment *segment, uint64_t index,
                                        enum block_mode mode, struct record *ret,
                                        cairn_error *error);
/* Unfold names only from now on: of batches' records scope, stream, revision, type, tags, correlation, place. That is what
 * the index is made from; id, content type, meta and data stay empty. */
void block_only_names(struct block *block);
/* The stored record that holds a position below durable. */
CAIRN_MUST_CHECK cairn_err log_read_stored(struct log *log, struct block *block, uint64_t position,
                                           enum block_mode mode, struct record *ret,
                                           cairn_error *error);
/* A batch of at least `least` bytes that is stored as it came, and holds the position: its record without the batch's bytes,
 * of which only Kafka's head is read, and where they lie. What vouches for them is the checksum that they carry. The file is
 * the caller's (os_descriptor()). CAIRN_E_END: something else lies there, or files cannot be handed out: read it. */
struct log_extent {
    int file;
    uint64_t at;
};
CAIRN_MUST_CHECK cairn_err log_find_batch(struct log *log, struct block *block, uint64_t position, size_t least,
                                          enum block_mode mode, struct record *ret, struct log_extent *ret_extent,
                                          cairn_error *error);
/* The event at a position below durable; of a batch, unfolded. It borrows from the block until the next call. Neighbours in
 * a batch cost no second look at it. */
CAIRN_MUST_CHECK cairn_err log_read_record(struct log *log, struct block *block, uint64_t position,
                                           enum block_mode mode, struct record *ret,
                                           cairn_error *error);

/* ---- opening (recover.c) ------------------------------------------------------------------------- */

/* Walk the frames of a segment's file, whatever the tables say. */
struct frame_scan {
    struct segment *segment;
    uint64_t at;        /* in the file: the next frame */
    const char *fault;  /* why scan_next ended */
    uint64_t vouched;   /* the last frame's durable position */
    uint8_t *bytes;
    size_t size, capacity;
    uint64_t offset;    /* in the file of bytes[0] */
    bool at_end;
};
void scan_begin(struct frame_scan *scan, struct segment *segment);
/* The frame at scan->at, checked; the caller then moves scan->at on by its size. CAIRN_E_END: there is no
 * valid frame there, scan->fault says why. *ret_bytes is borrowed until the next call. */
CAIRN_MUST_CHECK cairn_err scan_next(struct log *log, struct frame_scan *scan, struct frame *ret,
                                     cairn_str *ret_bytes, cairn_error *error);
void scan_end(struct frame_scan *scan);

CAIRN_MUST_CHECK cairn_err log_read_manifest(struct log *log, cairn_error *error);
/* id, lineage and key seed of `log` into `dir`, durable. */
CAIRN_MUST_CHECK cairn_err log_write_manifest(const struct log *log, const char *dir,
                                              cairn_error *error);
/* A log without index, for reading segments only; log_free() ends it. */
CAIRN_MUST_CHECK cairn_err log_open_segments(struct os *os, const char *dir, struct log **ret,
                                             cairn_error *error);
void log_free(struct log *log);
int log_make_folder(struct os *os, const char *dir);
/* The segments alone: enough to copy a log, or to verify it. */
CAIRN_MUST_CHECK cairn_err log_recover_segments(struct log *log, cairn_error *error);
/* And the index. */
CAIRN_MUST_CHECK cairn_err log_recover(struct log *log, cairn_error *error);
void log_publish_segment(struct log *log, struct segment *segment);

/* ---- filling an index from the log (fill.c) -------------------------------------------------------- */

/* Entries come position by position, without gaps until they are flushed, and are gathered: neighbours become ranges. What has
 * been flushed is in the index, whose memory is flushed here and now when it is full. */
struct index_fill {
    struct log *log;
    struct series *series;
    uint64_t first;     /* position gathered first */
    uint32_t positions; /* gathered */
    struct fill_run *runs;
    size_t run_count, run_capacity;
    uint32_t last[LOG_KEYS_MAX]; /* runs that the last position is in */
    size_t last_count;
};
void index_fill_begin(struct index_fill *fill, struct log *log, struct series *series);
CAIRN_MUST_CHECK cairn_err index_fill_add(struct index_fill *fill, uint64_t position, const struct log_entry *entries,
                                          size_t n, cairn_error *error);
CAIRN_MUST_CHECK cairn_err index_fill_flush(struct index_fill *fill, cairn_error *error);
void index_fill_end(struct index_fill *fill);
/* Is this the last position of its record? Whoever fills flushes then. */
static inline bool
record_ends(const struct record *record)
{
    return !record->unfolded || record->batch_index + 1 == record->batch.count;
}

/* ---- recent ids (recent.c): idempotent repeats that are still in memory ------------------------- */

#define RECENT_SLOTS 65536u
CAIRN_MUST_CHECK cairn_err recent_open(struct log *log, cairn_error *error);
void recent_close(struct log *log);
/* Forget positions from `end` on. */
void recent_forget(struct log *log, uint64_t end);
void recent_put(struct log *log, struct hash128 stream_key, cairn_uuid id, uint64_t position, uint64_t revision);
bool recent_get(const struct log *log, struct hash128 stream_key, cairn_uuid id, uint64_t *ret_position, uint64_t *ret_revision);

/* ---- appending (append.c) and committing (commit.c) ---------------------------------------------- */

/* All of these under the sequence lock. */

/* Room for `size` bytes at the end of the open batch; NULL when out of memory. */
uint8_t *batch_reserve(struct log *log, size_t size);
/* Memory for one more waiter, then have it told when everything sequenced so far is durable. */
CAIRN_MUST_CHECK bool batch_make_room(struct log *log);
void batch_wait(struct log *log, const struct waiter *waiter);
/* While the other batch is being written or synced: hand what the open one holds to the kernel, if it is much.
 * Drops the lock meanwhile. */
void write_ahead(struct log *log);
bool write_ahead_pays(const struct log *log); /* is there enough to wake somebody for it? Under the lock */
/* Write, sync and publish the open batch, nobody else being at it, and see to it that somebody commits what came
 * meanwhile. Returns without the lock. */
void commit_and_unlock(struct log *log);
/* Wait until nothing is open and nothing is being committed; or until that, or `end` is durable. */
void commit_drain(struct log *log);
/* Wait until all of a full segment is durable. False: it was replaced meanwhile; on a busy log, waiting for a
 * moment without work would then take for ever. */
bool commit_drain_segment(struct log *log, const struct segment *segment);
void commit_until(struct log *log, uint64_t end);
static inline bool
batch_is_empty(const struct batch *batch)
{
    return batch->size == 0 && batch->waiter_count == 0;
}

/* Free space below which a disk counts as full: 16 MiB with segments of the default size. */
static inline uint64_t
log_space_min(const struct log *log)
{
    return log->options.segment_size_bytes / 16;
}

/* Not under the lock. */
CAIRN_MUST_CHECK cairn_err log_failure(struct log *log, cairn_error *error);
/* Unless the log is at work (the next batch vouches for this one), or nothing was written since the last. */
CAIRN_MUST_CHECK cairn_err log_write_closing_frame(struct log *log, cairn_error *error);
/* cairn_log_append() without asking which stream; with the change of a topic that it is. */
struct topic_change;
CAIRN_MUST_CHECK cairn_err log_append_definition(struct log *log, const cairn_append_request *request,
                                                 struct topic_change *change, cairn_at *ret_at,
                                                 cairn_error *error);
CAIRN_MUST_CHECK cairn_err log_append_blocking(struct log *log, const cairn_append_request *request,
                                               cairn_at *ret_at, cairn_error *error);
/* Nothing can be written for lack of room, and why. */
void log_is_full(struct log *log, const cairn_error *why);
/* Is there room on the disk again? Clears disk_full. */
CAIRN_MUST_CHECK cairn_err log_check_space(struct log *log, cairn_error *error);
void *committer_main(void *log);
void wake(_Atomic uint32_t *word);

/* ---- background work (keep.c) --------------------------------------------------------------------- */

void *keeper_main(void *log);
void *indexer_main(void *log);
void *sealer_main(void *log);
/* Prepare space ahead of the tail; after a batch: is it time to? */
CAIRN_MUST_CHECK cairn_err keep_filled(struct log *log, cairn_error *error);
bool keep_wants_fill(struct log *log);
/* Hash the oldest full segment that nobody hashes, and seal those that can be: it, or it and later ones, or none
 * while an older one is still being hashed. *ret_more: there are others to hash. */
CAIRN_MUST_CHECK cairn_err keep_seal(struct log *log, bool *ret_more, cairn_error *error);
CAIRN_MUST_CHECK cairn_err keep_index(struct log *log, bool *ret_more, cairn_error *error);

/* ---- looking after it (scavenge.c, sweep.c) ---------------------------------------------------------- */

/* An administrator's work begins when it has the lock, and ends. */
void log_admin_begin(struct log *log);
void log_admin_end(struct log *log);
/* Scavenge where that is worth it, as the scavenger does every options.scavenge_interval_us. CAIRN_E_BUSY: an
 * administrator is at work, or waits; what was done is done. */
CAIRN_MUST_CHECK cairn_err log_sweep(struct log *log, cairn_scavenge_report *ret, cairn_error *error);
void *scavenger_main(void *log);

/* ---- a damaged index (reindex.c) -------------------------------------------------------------------- */

/* After maintaining the index gave `err`, for the reason `found`: when a run of it is damaged, note that and compute
 * the index anew, once while the log is open and not while an administrator's work is going on. CAIRN_E_CORRUPT, told
 * once: that failed; the log goes on with the index as it is. Other errors are passed on. */
CAIRN_MUST_CHECK cairn_err log_mend_index(struct log *log, cairn_err err, const cairn_error *found,
                                          cairn_error *error);
/* Note it only. */
void log_index_is_damaged(struct log *log, const cairn_error *found);

#endif

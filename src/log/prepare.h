/* log/prepare.h: what an append needs before it is sequenced: limits checked, records encoded, keys hashed.
 *
 * All of it is done in the caller's thread without a lock, and kept by the thread for its next append, so
 * that in steady state nothing is allocated. */
#ifndef LOG_PREPARE_H
#define LOG_PREPARE_H

#include "log_int.h"
#include "topics.h"

/* A series whose last entry says where events of this append go: a stream or a partition. Each is here once, whatever
 * writes and batches it gets. */
struct prepared_head {
    struct hash128 key;
    uint64_t first; /* the ordinal of its first entry, when it has none yet */
    uint64_t next;  /* under the lock: of the next one */
};
#define NO_HEAD UINT32_MAX

struct prepared_write {
    cairn_str stream;
    int64_t expected;
    struct log_entry entries[4]; /* stream, category, and two directories for a first event */
    uint32_t first_event, event_count;
    uint32_t head;               /* of its stream */
    uint32_t partition;          /* head of the partition that its events go to; NO_HEAD: none */
    uint64_t revision;           /* of its first event, once sequenced */
    bool plain;                  /* not one of Cairn's own streams */
    bool retention;
};

struct prepared_event {
    uint32_t at, size; /* in records, and in the frame behind its header */
    uint32_t first_entry, entry_count;
    cairn_uuid id;
    bool has_id; /* the caller's, so a repeat can be recognised */
};

/* Records of a batch next to each other that are in one stream. */
struct prepared_run {
    uint32_t head, count;
};

/* Records of a batch next to each other that have a type, tag or correlation. */
struct prepared_span {
    struct hash128 key;
    uint32_t first, count;
};

struct prepared_batch {
    cairn_topic_ref *topic; /* counted */
    uint32_t partition;
    cairn_str bytes;   /* borrowed from the request: copied once, when it is placed */
    uint32_t front_at, front_size; /* in records; the bytes follow it in the frame */
    uint32_t count;    /* of its records, each of which takes a position */
    uint32_t head;     /* of its partition */
    uint32_t first_run, run_count;
    uint32_t first_span, span_count;
    struct hash128 directory, category_directory;
    uint64_t offset;   /* of its first record, once sequenced */
};

/* Everything an append needs before it is sequenced, kept by the thread for its next one. */
struct scratch {
    struct buf records;        /* of events, and behind them the fronts of batches */
    size_t events_size;        /* of the events' records */
    size_t frame_size;         /* of all records, batches with their bytes */
    struct prepared_write *writes;
    size_t write_count, write_capacity;
    struct prepared_event *events;
    size_t event_count, event_capacity;
    struct log_entry *entries; /* type, correlation, tags */
    size_t entry_count, entry_capacity;
    struct prepared_head *heads;
    size_t head_count, head_capacity;
    uint32_t *head_slots;      /* hash table of heads, each number + 1, once there are many */
    size_t head_slot_count;    /* 0: not in use */
    size_t head_slot_capacity;
    uint64_t topics_seen;      /* the topics were so when partitions were looked up */
    struct prepared_batch *batches;
    size_t batch_count, batch_capacity;
    struct prepared_run *runs;
    size_t run_count, run_capacity;
    struct prepared_span *spans;
    size_t span_count, span_capacity;
    struct batch_cursor cursor;
    struct arena arena;        /* while a batch is walked */
    uint64_t positions;        /* that the append takes */
    struct series_need index;  /* at most, for room in the index */
    bool has_ids;              /* every event has an id of the caller's */
    uint8_t random[1024];      /* for ids we make */
    size_t random_left;
    uint8_t id_random[10];     /* of the last id made */
    bool drawn;
    bool taken;
    struct scratch *next;      /* of this thread */
};

/* A scratch of this thread that nobody uses; NULL when out of memory. There is more than one only when an
 * append, committing for others in the middle of its own, calls a completion that appends too. They
 * are freed when the thread ends. */
struct scratch *scratch_take(void);
void scratch_give(struct scratch *scratch);
/* Fill it with a request, whose strings stay borrowed. */
CAIRN_MUST_CHECK cairn_err prepare(struct log *log, struct scratch *scratch,
                                   const cairn_append_request *request, cairn_error *error);
/* Its batches, after the writes (prepare_batch.c). */
CAIRN_MUST_CHECK cairn_err prepare_batches(struct log *log, struct scratch *scratch,
                                           const cairn_append_request *request, cairn_error *error);
/* Which partitions do the events go to, as the topics are now? Also under the lock, when the topics have changed. */
CAIRN_MUST_CHECK cairn_err prepare_partitions(struct log *log, struct scratch *scratch,
                                              const cairn_append_request *request, cairn_error *error);
/* The number of a series' head; NO_HEAD when out of memory. */
uint32_t prepare_head(struct scratch *scratch, struct hash128 key, uint64_t first);
/* Room for `count` items of an array; false when out of memory. */
bool have_room(void *array, size_t *capacity, size_t count, size_t item_size);

#endif

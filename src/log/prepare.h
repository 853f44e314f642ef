/* log/prepare.h: what an append needs before it is sequenced: limits checked, records encoded, keys hashed.
 *
 * All of it is done in the caller's thread without a lock, and kept by the thread for its next append, so
 * that in steady state nothing is allocated. */
#ifndef LOG_PREPARE_H
#define LOG_PREPARE_H

#include "log_int.h"

struct prepared_write {
    cairn_str stream;
    int64_t expected;
    struct log_entry entries[4]; /* stream, category, and two directories for a first event */
    uint32_t first_event, event_count;
    uint64_t revision;           /* of its first event, once sequenced */
    bool plain;                  /* not one of Cairn's own streams */
    bool retention;
};

struct prepared_event {
    uint32_t at, size; /* in records */
    uint32_t first_entry, entry_count;
    cairn_uuid id;
    bool has_id; /* the caller's, so a repeat can be recognised */
};

/* Everything an append needs before it is sequenced, kept by the thread for its next one. */
struct scratch {
    struct buf records;
    struct prepared_write *writes;
    size_t write_count, write_capacity;
    struct prepared_event *events;
    size_t event_count, event_capacity;
    struct log_entry *entries; /* type, correlation, tags */
    size_t entry_count, entry_capacity;
    uint32_t *touched;         /* hash table of writes by stream, for appends with many writes */
    size_t touched_capacity;
    size_t index_entries;      /* at most, for room in the index */
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

#endif

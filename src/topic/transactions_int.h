/* transactions_int.h: what a transaction is in memory.
 *
 *              init                 add (its event is durable)                end (one append)
 *   (unknown) ─────► EMPTY ─────────────────────► ONGOING ──────────────► COMPLETE_COMMIT, COMPLETE_ABORT ──add──► ONGOING …
 *                      ▲                            │ time is up, or the program ended                    ▲
 *                      └──────────init──────────── LOST ───────────────────────abort──────────────────────┘
 *
 * The state and its producer are the newest event of `$transaction-<id>`. ONGOING is written before the first add is answered, so
 * that after a crash it is known that something was lost: then every call but an abort or an init is refused with an error after which
 * clients abort and go on. The end is in the same append as what was held, so that an end that comes again is answered alike.
 *
 * A transactional id's sequences are kept here, not with those of other producers: what it sends becomes known to the log only at
 * the commit, and an abort leaves no trace there, while the producer counts on. After a restart the first batch of a partition may
 * bear any sequence.
 *
 * One lock for all. `busy` says that somebody is appending for this transaction without the lock: nobody else changes it, or takes
 * it out of memory, until he is back. */
#ifndef TOPIC_TRANSACTIONS_INT_H
#define TOPIC_TRANSACTIONS_INT_H

#include "broker_int.h"

#define TRANSACTIONS_MAX 100000          /* in memory; those that rest longest are left to the log */
#define TRANSACTION_PARTITIONS_MAX 10000
#define TRANSACTION_OFFSETS_MAX 3000     /* as many events as an append of Cairn's own has room for, and some */
#define TRANSACTION_GROUPS_MAX 1000
#define TRANSACTION_RECORDS_MAX 1500000
#define TRANSACTIONAL_ID_MAX 480         /* the stream's name has room for it */
#define OFFSET_STREAM_ROOM 544            /* what groups_offset_stream() needs */
#define OFFSET_HEADS 256                 /* chains of held offsets */
#define BATCH_APPEND_BYTES 128           /* at most what the log adds to a batch, but for 8 bytes a record and the category's name */
#define OFFSET_APPEND_BYTES 320          /* and what an offset's event comes to without its metadata and its stream's name */
#define EPOCH_LAST 32766                 /* what a client may have; the next is a new producer id */

enum transaction_state { TXN_EMPTY, TXN_ONGOING, TXN_COMPLETE_COMMIT, TXN_COMPLETE_ABORT, TXN_LOST };

/* A batch that waits for the commit. */
struct held {
    struct held *next;
    size_t size;
    uint32_t records;
    uint8_t bytes[];
};

struct held_offset {
    cairn_str group;
    struct offset_commit commit;
    uint16_t next;         /* in its chain: index + 1; 0: the last */
};

struct txn_partition {
    cairn_uuid topic_id;
    uint32_t partition;
    cairn_str topic;      /* malloc'ed */
    bool added;           /* to the transaction that is open */
    struct window window;
    struct held *first, *last;
};

struct transaction {
    struct transaction *next;          /* in its slot */
    struct transaction *newer, *older; /* used; in the list of those that are open, or that rest */
    bool busy;
    bool exists;                       /* it has an event */
    enum transaction_state state;
    struct producer producer, before;  /* before: the one that this one replaced at its own wish or by time-out; or epoch -1 */
    bool timed_out;                    /* it was the latter */
    bool begun_here;                   /* this epoch began in this run of the program: sequences begin at 0 */
    int32_t timeout_ms;
    int64_t revision;                  /* of its stream; -1: none */
    int64_t started_ms;
    struct txn_partition *partitions;  /* in order of topic id and partition */
    size_t partition_count, partition_capacity;
    struct arena arena;                /* of what follows, until the end */
    cairn_str *groups;
    size_t group_count, group_capacity;
    struct held_offset *offsets;
    size_t offset_count, offset_capacity;
    uint16_t *offset_heads;            /* chains by the names of their streams: index + 1; NULL: there are none */
    uint64_t held_bytes, held_records;
    uint64_t append_bytes;             /* what the commit's append comes to, at most */
    size_t held_batches;
    size_t id_size;
    char id[];
};

struct ending;
struct used_transactions {
    struct transaction *newest, *oldest;
};
struct transactions {
    pthread_mutex_t lock;
    struct transaction **slots;
    size_t capacity, count; /* capacity: a power of two */
    struct used_transactions open, resting; /* open: TXN_ONGOING */
    uint64_t held_bytes, open_count;
    struct ending *_Atomic over; /* appends of ends that are over */
};

static inline cairn_str
transaction_id(const struct transaction *one)
{
    return (cairn_str){one->id, one->id_size};
}

/* ---- transactions.c; under the lock */
/* The transaction in memory or in the log (for which the lock is let go and taken again), and one that may be used: not NULL in
 * *ret. create: make it where there is none. KAFKA_INVALID_PRODUCER_ID_MAPPING: there is none. KAFKA_CONCURRENT_TRANSACTIONS: busy; only
 * to be looked at. */
enum kafka_err transaction_find(struct broker *broker, cairn_str id, bool create, struct transaction **ret);
/* Is the caller its producer, now? */
enum kafka_err transaction_check(const struct transaction *one, struct producer producer);
/* Where the partition is among its partitions, or belongs. */
size_t transaction_partition(const struct transaction *one, const cairn_uuid *topic_id, uint32_t number, bool *ret_there);
/* From one state to another, and from one list to the other. */
void transaction_become(struct transactions *transactions, struct transaction *one, enum transaction_state state);
/* What it holds, groups and partitions go; sequences stay. */
void transaction_forget_held(struct transactions *transactions, struct transaction *one);
void transaction_forget_sequences(struct transaction *one);

/* ---- transaction_log.c */
cairn_str transaction_stream(cairn_str id, char to[512]);
/* The event that says this state. Put into `to`. */
bool transaction_event(const struct transaction *one, struct buf *to, cairn_event *ret);
/* Fill in from the newest event. *ret->exists false: there is none. Without the lock; one is nobody else's. */
cairn_err transaction_load(struct broker *broker, struct transaction *one);
/* Append this state. Waits for the disk; without the lock. */
cairn_err transaction_write(struct broker *broker, const struct transaction *as, cairn_str id);
enum kafka_err transaction_err(cairn_err err);

/* ---- transaction_end.c */
/* Ends of appends are entered where nobody has the lock. Call without the lock, after each time it was held. */
void transactions_settle(struct broker *broker);

#endif

/* broker_int.h: what the broker's files know of each other.
 *
 *   broker.c        opening, closing, ticking; topics with their settings as numbers (views)
 *   settings.c      names, defaults and checks of settings
 *   topics.c        making, changing, deleting topics; deleting records
 *   retention.c     what is too old or too much goes
 *   offsets.c       the offset of a moment, or of a position in the log
 *   produce.c       checks of batches, and appending them
 *   producers.c     producer ids; what idempotent producers have sent
 *   transactions.c  transactions: their states; transaction_hold.c: their batches; transaction_end.c: their ends;
 *                   transaction_log.c: their events
 *
 * Locks: a view's table; a stripe of producers; the transactions. None is held while another is taken, but that the transactions'
 * lock may be held while the table of views is looked at. What the commit thread calls takes none that it would have to wait for. */
#ifndef TOPIC_BROKER_INT_H
#define TOPIC_BROKER_INT_H

#include "broker.h"
#include "settings.h"

#include <base/error.h>
#include <base/hash.h>
#include <batch/batch.h>
#include <batch/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <store/store.h>

#define CALL_BATCHES_MAX 1024  /* in one produce */
#define CONFLICT_TRIES 16      /* somebody else has changed the definition meanwhile */

/* ---- views (broker.c) -------------------------------------------------------------------------------------------------------- */

/* A topic as it was at `changes`, with those of its settings that producing looks at. Counted. */
struct view {
    _Atomic uint32_t holders;
    _Atomic uint64_t changes; /* cairn_topics_changes() when it was last found to be the newest */
    cairn_topic_ref *ref;
    const cairn_topic *topic;
    uint32_t batch_bytes_max;
    bool log_append_time, deletes; /* deletes: by retention, and at a client's word */
    int64_t before_max_ms, after_max_ms, retention_ms, retention_bytes;
    cairn_str value_subject;
    struct view *next; /* in its slot */
};
struct views {
    pthread_rwlock_t lock;
    struct view **slots;
    size_t capacity, count; /* capacity: a power of two */
};
/* The topic by name, or by id where the name is empty. Given back with view_release(). */
enum kafka_err view_get(struct broker *broker, cairn_str name, const cairn_uuid *id, struct view **ret);
void view_release(struct view *view);

/* ---- producers.c ------------------------------------------------------------------------------------------------------------- */

#define PRODUCER_BLOCK 1000 /* ids taken by one event */
#define BATCHES_KNOWN 5     /* Kafka's number: how many requests an idempotent producer may have under way */
#define STRIPES 64

struct flight;
struct stripe;
struct producers {
    pthread_mutex_t id_lock;
    int64_t next_id, end_id; /* of our block; equal: none left */
    _Atomic int64_t first_new, given; /* ids from first_new up to given have written nothing that is not in memory */
    _Atomic uint64_t count;
    struct stripe *stripes;
};
cairn_err producers_open(struct broker *broker);
void producers_close(struct broker *broker);
/* A producer id that nobody has had. May block. */
enum kafka_err producer_id_new(struct broker *broker, int64_t *ret);

/* Batches of one call, checked, to be appended to one partition. */
struct appending {
    struct broker *broker;
    const struct view *view;
    uint32_t partition;
    const struct batch_head *heads;
    const cairn_str *batches;
    size_t count;
    int64_t log_append_time_ms;
    produce_done done;
    void *context;
};
/* Append what bears no producer id: nothing to remember. */
void append_plain(const struct appending *appending);
/* Append an idempotent producer's, in its order, each once. */
void append_idempotent(const struct appending *appending);

/* Sequences of a producer's last batches in a partition, newest first. */
struct window {
    uint8_t count;
    struct {
        int32_t first, last;
    } batches[BATCHES_KNOWN];
};
/* May these batches of one call come next? *ret_duplicate: where in the window the first of them is, since all of them are there
 * already; or -1. KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER: one is missing. Nothing in the window: any may come. */
enum kafka_err window_check(const struct window *window, const struct batch_head *heads, size_t count, int *ret_duplicate);
void window_put(struct window *window, const struct batch_head *head);

int64_t view_start(const struct view *view, uint32_t partition);
/* The answer to a batch with this fault (batch.h). */
enum kafka_err fault_err(const char *fault);
/* The answer when an append was refused or has failed. */
enum kafka_err append_err(cairn_err err);

/* ---- transactions.c ---------------------------------------------------------------------------------------------------------- */

struct transactions;
cairn_err transactions_open(struct broker *broker);
void transactions_close(struct broker *broker);
void transactions_tick(struct broker *broker, int64_t now_us);
void transactions_stats(struct broker *broker, struct broker_stats *ret);
enum kafka_err transaction_init(struct broker *broker, cairn_str transactional_id, int32_t timeout_ms, struct producer expected,
                                struct producer *ret);
/* Hold a producer's batches until the end of its transaction. Calls done. */
void transaction_hold(const struct appending *appending, cairn_str transactional_id);

/* ---- retention.c ------------------------------------------------------------------------------------------------------------- */

struct retention_work;
void retention_tick(struct broker *broker, int64_t now_us);
void retention_close(struct broker *broker);
/* Raise starts of partitions (NULL or -1: as they are); topics.c. */
enum kafka_err starts_raise(struct broker *broker, cairn_str name, const cairn_uuid *id, const int64_t *starts, size_t count,
                            struct broker_why *why);

/* ---- offsets.c --------------------------------------------------------------------------------------------------------------- */

/* A batch's largest timestamp, or the event's time. */
int64_t item_timestamp(const cairn_partition_item *item);
/* The first offset of the first item from `from` on that is at or after; `end` when there is none. */
enum search_by {
    BY_TIMESTAMP, /* ms: an item's largest */
    BY_COMMIT,    /* µs */
    BY_POSITION,  /* an item's last */
};
cairn_err offset_search(cairn_partition_reader *reader, const cairn_uuid *topic_id, uint32_t partition, uint64_t from, uint64_t end,
                        enum search_by by, int64_t least, uint64_t *ret, cairn_error *error);

struct broker {
    cairn_store *store;
    cairn_scope scope;
    struct broker_options options;
    char message_max_text[12]; /* options.message_max_bytes */
    struct views views;
    struct producers producers;
    struct transactions *transactions;
    struct retention_work *retention;
    pthread_mutex_t tick_lock;
    _Atomic uint64_t records_in, bytes_in, batches_in, duplicates, out_of_order;
    _Atomic uint32_t flights; /* appends whose end is awaited; broker_close() waits for them */
};

static inline int64_t
now_ms(const struct broker *broker)
{
    return os_now_us(broker->store->os) / 1000;
}
/* An append has begun, or is over: the last thing that is done with it. */
void flight_begins(struct broker *broker);
void flight_ends(struct broker *broker);

#endif

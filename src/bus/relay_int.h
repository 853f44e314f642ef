/* bus/relay_int.h: what the files of this room share.
 *
 *   relay.c         definitions, threads, status
 *   relay_client.c  librdkafka: settings, offsets of a topic there
 *   relay_out.c     from here to Kafka
 *   relay_in.c      from Kafka to here
 *
 * A relay's thread owns its client and its places; what others see (`status`) is under the relay's lock, which is taken last. */
#ifndef BUS_RELAY_INT_H
#define BUS_RELAY_INT_H

#include <base/arena.h>
#include <base/bytes.h>
#include <base/error.h>
#include <base/text.h>
#include <bus/relay.h>
#include <cairn/admin.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#define RELAY_BATCH_RECORDS 5000
#define RELAY_BATCH_BYTES (4u << 20)
#define RELAY_WAIT_MS 500       /* for records, commits, answers: how long it takes to notice a stop at most */
#define RELAY_CALL_MS 10000     /* for an answer of Kafka's */
#define RELAY_BACK_OFF_MS 1000  /* after a fault: doubled up to the most */
#define RELAY_BACK_OFF_MOST_MS 30000
#define RELAY_CHECKPOINT_US 1000000
#define RELAY_LOOK_US 1000000     /* how often a busy relay looks whether its topic has changed */
#define RELAY_PARTITIONS_MAX 10000

struct relay {
    struct relays *relays;
    char name[RELAY_NAME_MAX + 1];
    char *definition;        /* JSON; what spec points into */
    struct relay_spec spec;
    pthread_t thread;
    bool started;
    _Atomic bool stop;
    _Atomic uint32_t wake;   /* changes when it should look again */
    char reason[200];        /* its thread's: the newest why Kafka cannot be reached, of this run */

    pthread_mutex_t lock;    /* of what follows */
    const char *state;
    char detail[256];
    uint64_t records_total, lag;
    uint64_t reached;        /* going out: records of the source that are behind it, as far as is known */
    int64_t last_time_us;
};

struct relays {
    cairn_store *store;
    cairn_scope scope;
    cairn_uuid log_id;
    relay_log log;
    void *log_context;
    pthread_mutex_t changing; /* held by whoever puts, pauses or deletes, also while a thread is waited for; before lock */
    pthread_mutex_t lock;     /* of the list, `started` and the definitions; both are held to change them, so either does to read */
    struct relay *list[RELAYS_MAX]; /* in the order of names */
    size_t count;
};

/* ---- relay.c ---- */

/* "running", or why not. A new reason is logged. */
void relay_say(struct relay *relay, const char *state, const char *format, ...) __attribute__((format(printf, 3, 4)));
void relay_count(struct relay *relay, uint64_t records, uint64_t lag);
struct relay_places;
/* Going out: the sum of the places reached. Its lag is reckoned when somebody asks, also while Kafka is away. */
void relay_reached(struct relay *relay, const struct relay_places *places);
/* Sleep until woken, stopped, or the time is up. */
void relay_sleep(struct relay *relay, uint32_t seen, unsigned ms);
static inline bool
relay_stopping(const struct relay *relay)
{
    return atomic_load(&relay->stop);
}

/* Offsets reached, one for each partition of the source, as an event of `$relayed-<name>` or in what Kafka's group has committed. */
struct relay_places {
    uint64_t *next;
    size_t count;
    char topic[UUID_TEXT_SIZE]; /* going out: the source's id, for one that is made again counts from 0. Empty: not said */
    int64_t revision; /* of the event; CAIRN_NONE: there is none yet */
};
CAIRN_MUST_CHECK cairn_err relay_places_load(struct relay *relay, struct relay_places *ret, cairn_error *error);
/* At least `count` partitions; new ones begin at 0. */
CAIRN_MUST_CHECK bool relay_places_grow(struct relay_places *places, size_t count);
void relay_places_free(struct relay_places *places);
/* {"topic":"…","offsets":[…]} */
void relay_places_put(const struct relay_places *places, struct buf *to);
bool relay_places_get(struct relay_places *places, cairn_str json);
/* Append them with record batches, under the expected revision. CAIRN_E_CONFLICT: another server runs this relay. */
CAIRN_MUST_CHECK cairn_err relay_places_save(struct relay *relay, struct relay_places *places, const cairn_batch *batches,
                                             size_t batch_count, cairn_error *error);

/* ---- relay_client.c ---- */

/* A setting's name is one that may be set. */
bool relay_setting_allowed(cairn_str name);
struct relay_client_setting {
    const char *name, *value;
};
/* A client with the relay's settings and then `more` (ended by a NULL name). CAIRN_E_INVALID: which setting, and why. */
CAIRN_MUST_CHECK cairn_err relay_client_new(struct relay *relay, rd_kafka_type_t type, const struct relay_client_setting *more,
                                            void (*told)(rd_kafka_t *, const rd_kafka_message_t *, void *),
                                            rd_kafka_t **ret, cairn_error *error);
/* How many partitions the topic there has. CAIRN_E_NOTFOUND: none; CAIRN_E_TIMEOUT: Kafka does not answer, or the relay is to stop. */
CAIRN_MUST_CHECK cairn_err relay_partitions(const struct relay *relay, rd_kafka_t *client, cairn_str topic, size_t *ret, cairn_error *error);
/* Of a call by which CAIRN_E_TIMEOUT came back: why, where the client knows more. It has not begun to consume. */
cairn_err relay_explain(struct relay *relay, rd_kafka_t *client, cairn_err err, cairn_error *error);
/* After a fault that nothing has followed: say that it runs when Kafka answers again. */
void relay_look_again(struct relay *relay, rd_kafka_t *client, cairn_str topic);
/* The group's name in Kafka, and the producer's: of this log's relay, so that two logs may have relays of one name to one Kafka. */
#define RELAY_GROUP_SIZE (RELAY_NAME_MAX + UUID_TEXT_SIZE + 16)
const char *relay_group(const struct relay *relay, char to[RELAY_GROUP_SIZE]);

/* ---- relay_out.c, relay_in.c: run until stopped or failed; the caller backs off and calls again ---- */

CAIRN_MUST_CHECK cairn_err relay_run_out(struct relay *relay, cairn_error *error);
CAIRN_MUST_CHECK cairn_err relay_run_in(struct relay *relay, cairn_error *error);

/* A record that has come this way from this very log is not taken in again: its header says which log it left. */
#define RELAY_HEADER_LOG "cairn_log"
#define RELAY_HEADER_PLACE "cairn_place" /* topic/partition/offset */

#endif

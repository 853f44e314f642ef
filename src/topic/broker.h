/* topic/broker.h: topics, partitions, producers, transactions: what Kafka calls a broker, without its wire.
 *
 * One broker a store. It decides what may enter a partition (sizes, timestamps, sequences, epochs), keeps what producers
 * and transactions are about, and looks after topics (retention, configuration). Consumer groups are topic/groups.h. All it
 * keeps are events: definitions of topics (cairn/topic.h), `$producer-ids` (blocks of producer ids), `$transaction-<id>`,
 * `$offset/<group>-…`; after a crash they are the truth.
 *
 *   produce ─► checks (no lock) ─► partition's lock: sequence, epoch ─► append_async ─► answered when durable
 *
 * A transaction is one append. What a producer sends within it is held in memory, bounded, and appended whole by the commit:
 * all its batches and offsets, or nothing. So nobody ever sees a record of a transaction that is open or was aborted, there
 * are no control records, and the last stable offset is always the end. Such a batch is acknowledged with offset -1, because
 * it has none yet. That a transaction has begun is an event, written before its first partition or group is acknowledged: a
 * transaction that a crash of the server has taken is known to be lost, and its producer is told so.
 *
 *   the state, when the producer is        Produce, Add…, EndTxn(commit)   TxnOffsetCommit       EndTxn(abort)
 *   lost (a restart), or timed out         INVALID_PRODUCER_ID_MAPPING     ILLEGAL_GENERATION    NONE
 *   replaced by another instance           PRODUCER_FENCED (Produce: INVALID_PRODUCER_EPOCH)     PRODUCER_FENCED
 *   another's id, or nobody's              INVALID_PRODUCER_ID_MAPPING     ILLEGAL_GENERATION    INVALID_PRODUCER_ID_MAPPING
 *
 * After those of the first row the Java client and librdkafka abort, take a new epoch, and go on; PRODUCER_FENCED ends them.
 *
 * Threads: any. Calls named _async never wait for the disk to have written and call `done` once: perhaps before they return,
 * otherwise on the commit thread or that of another call (so it must be short, and must not call the broker's blocking calls). The
 * first batch of a producer, or call of a transactional id, from before a restart may read. The others may block: not on a loop's
 * thread. */
#ifndef TOPIC_BROKER_H
#define TOPIC_BROKER_H

#include <base/arena.h>
#include <cairn/topic.h>
#include <topic/kafka_error.h>

struct broker;

struct broker_options {
    cairn_scope scope;
    uint32_t partitions;           /* (1) of a topic that is made without saying how many */
    bool no_auto_create;           /* Metadata does not make a missing topic */
    uint32_t message_max_bytes;    /* (1 MiB + 12) one batch; topics may say otherwise: max.message.bytes */
    uint64_t transactions_bytes;   /* (256 MiB) held by all open transactions */
    uint32_t transaction_bytes;    /* (32 MiB) by one, and at most what an append holds */
    uint32_t transaction_timeout_max_ms; /* (15 min) */
    uint32_t producers_max;        /* (100,000) producers known in memory; the rest is looked up in the log */
    /* Value validation, or NULL (topic config cairn.value.subject): called without locks. */
    enum kafka_err (*validate)(void *context, cairn_str subject, cairn_str value, char *ret_reason, size_t reason_size);
    void *validate_context;
};

CAIRN_MUST_CHECK cairn_err broker_open(cairn_store *store, const struct broker_options *options, struct broker **ret,
                                       cairn_error *error);
/* Transactions that are open are forgotten (aborted). NULL is fine. */
void broker_close(struct broker *broker);
cairn_store *broker_store(struct broker *broker);
cairn_scope broker_scope(const struct broker *broker);
bool broker_auto_creates(const struct broker *broker); /* !options.no_auto_create */
/* Time-outs of transactions, retention of topics: call it about once a second, on a thread that may block. */
void broker_tick(struct broker *broker, int64_t now_us);

/* ---- topics ------------------------------------------------------------------------------------------------------------------ */

/* Names and defaults of all settings that a topic has, for DescribeConfigs. Names and defaults are those of Kafka 4, but that
 * retention.ms is -1: Cairn keeps what it is given unless it is told otherwise. In force are retention.ms, retention.bytes,
 * cleanup.policy, max.message.bytes (whose default is options.message_max_bytes, where that is said), message.timestamp.type,
 * message.timestamp.before.max.ms and .after.max.ms, and Cairn's own: cairn.category, cairn.value.subject, cairn.dead.letter.
 * Kafka's others are taken, kept and told, since tools set them and compare; their doc says that they do nothing here. */
struct broker_setting {
    const char *name, *type; /* "boolean" "string" "int" "long" "double" "list" */
    const char *value;       /* by default, see broker_setting_default() */
    const char *doc;
};
const struct broker_setting *broker_settings(size_t *ret_count);
/* What holds where a topic says nothing: the table's value, or what this broker was opened with. Borrowed from it, or static. */
cairn_str broker_setting_default(const struct broker *broker, const struct broker_setting *setting);
/* The value in force: the topic's own, or the default. Borrowed from the topic or the broker, or static. */
cairn_str broker_setting_get(const struct broker *broker, const cairn_topic *topic, const char *name, bool *ret_default);

struct broker_pair {
    cairn_str name, value;
    enum { PAIR_SET, PAIR_DELETE, PAIR_APPEND, PAIR_SUBTRACT } op; /* IncrementalAlterConfigs */
};
struct broker_topic_spec {
    cairn_str name, category;   /* empty category: by the name */
    int32_t partitions;         /* -1: the default */
    const struct broker_pair *config;
    size_t config_count;
};
/* `why` (optional) gets a sentence, from the arena-free static or formatted buffer of the caller. */
struct broker_why {
    char text[320];
};
/* *ret (optional) is released by the caller. TOPIC_ALREADY_EXISTS (or one of its category), INVALID_TOPIC_EXCEPTION,
 * INVALID_PARTITIONS, INVALID_CONFIG; POLICY_VIOLATION: as many topics or partitions as there may be. */
enum kafka_err broker_topic_create(struct broker *broker, const struct broker_topic_spec *spec, bool validate_only,
                                   cairn_topic_ref **ret, struct broker_why *why);
enum kafka_err broker_topic_delete(struct broker *broker, cairn_str name, struct broker_why *why);
/* That one, and never another of its name. UNKNOWN_TOPIC_ID. */
enum kafka_err broker_topic_delete_id(struct broker *broker, const cairn_uuid *id, struct broker_why *why);
enum kafka_err broker_topic_grow(struct broker *broker, cairn_str name, int32_t partitions, bool validate_only,
                                 struct broker_why *why);
/* replace: what is not named goes back to its default (AlterConfigs); otherwise by each pair's op. */
enum kafka_err broker_topic_configure(struct broker *broker, cairn_str name, const struct broker_pair *pairs, size_t count,
                                      bool replace, bool validate_only, struct broker_why *why);
/* Everything below `offset` goes (-1: all there is). POLICY_VIOLATION: the topic is only compacted. */
enum kafka_err broker_delete_records(struct broker *broker, cairn_str name, uint32_t partition, int64_t offset,
                                     uint64_t *ret_low_watermark, struct broker_why *why);

/* ---- offsets ----------------------------------------------------------------------------------------------------------------- */

#define OFFSET_LATEST (-1)
#define OFFSET_EARLIEST (-2)
#define OFFSET_MAX_TIMESTAMP (-3)
/* The first offset whose timestamp is at or after timestamp_ms, or one of the above. *ret_offset -1: there is none.
 * Largest timestamps of batches are taken to ascend, as Kafka's time index does. */
enum kafka_err broker_offset_at(struct broker *broker, const cairn_uuid *topic_id, uint32_t partition, int64_t timestamp_ms,
                                int64_t *ret_offset, int64_t *ret_timestamp_ms);
/* The first offset whose event is at or after a position in the log; the partition's end when there is none. */
enum kafka_err broker_offset_at_position(struct broker *broker, const cairn_uuid *topic_id, uint32_t partition, uint64_t position,
                                         int64_t *ret_offset);

/* ---- producing --------------------------------------------------------------------------------------------------------------- */

struct produced {
    enum kafka_err err;
    int64_t base_offset;        /* -1: none (a transaction's, or an error) */
    uint64_t records;           /* that are new in the log: 0 where there is no offset, and of what was there already */
    int64_t log_append_time_ms; /* -1: the producer's own times hold */
    int64_t log_start_offset;
    const char *message;        /* static, or borrowed until done returns; NULL */
    const uint32_t *bad_records; /* of a batch that was refused for some of its records: which, from 0; borrowed until done returns.
                                    Then done is called before broker_produce_async() returns */
    size_t bad_count;            /* PRODUCE_BAD_MAX at most */
};
#define PRODUCE_BAD_MAX 1000
typedef void (*produce_done)(void *context, const struct produced *result);

struct produce {
    cairn_str topic;            /* or, when it is empty, */
    cairn_uuid topic_id;
    uint32_t partition;
    cairn_str bytes;            /* one batch or several; borrowed until the call returns */
    cairn_str transactional_id; /* empty: none */
};
/* Are the topic's values held to schemas? Then producing to it may take long before anything is written. */
bool broker_checks_values(struct broker *broker, cairn_str topic);
/* Append to one partition, after the checks of Kafka's own broker, with its codes: MESSAGE_TOO_LARGE, CORRUPT_MESSAGE,
 * INVALID_RECORD, INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION_TYPE, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH,
 * INVALID_TXN_STATE …; KAFKA_STORAGE_ERROR and REQUEST_TIMED_OUT: nothing was written, try again. A transaction that is larger
 * than an append may be: RECORD_LIST_TOO_LARGE. Calls of one connection keep their order. A producer's duplicate (its last five batches are known) is
 * answered with the offset that it has. Several batches are one append. */
void broker_produce_async(struct broker *broker, const struct produce *produce, produce_done done, void *context);

/* ---- producers and transactions ---------------------------------------------------------------------------------------------- */

struct producer {
    int64_t id;
    int16_t epoch;
};
/* InitProducerId: a new producer; or the one of a transactional id (at most 480 bytes of UTF-8), whose older instances are fenced
 * and whose open transaction is aborted. expected: {-1,-1}, or what the caller has (KIP-360). INVALID_TRANSACTION_TIMEOUT,
 * PRODUCER_FENCED (expected is not the producer), CONCURRENT_TRANSACTIONS (it is just ending: try again). */
enum kafka_err broker_producer_init(struct broker *broker, cairn_str transactional_id, int32_t timeout_ms, struct producer expected,
                                    struct producer *ret);

struct topic_partition {
    cairn_str topic;
    uint32_t partition;
};
/* AddPartitionsToTxn. errs: one each. */
enum kafka_err broker_transaction_add(struct broker *broker, cairn_str transactional_id, struct producer producer,
                                      const struct topic_partition *partitions, size_t count, enum kafka_err *ret_errs);
/* AddOffsetsToTxn: the group may be committed to in this transaction. */
enum kafka_err broker_transaction_add_group(struct broker *broker, cairn_str transactional_id, struct producer producer,
                                            cairn_str group);
/* TxnOffsetCommit: offsets held until the end. Group membership has been checked (groups.h). They become events of
 * groups_offset_stream() in the commit's append. */
struct offset_commit {
    cairn_str topic;
    uint32_t partition;
    int64_t offset;        /* -1 deletes it */
    int32_t leader_epoch;  /* -1 */
    cairn_str metadata;
    int64_t commit_time_ms, expire_time_ms; /* expire: -1 never */
    int64_t revision;      /* of its event, where it has been read */
};
enum kafka_err broker_transaction_offsets(struct broker *broker, cairn_str transactional_id, struct producer producer,
                                          cairn_str group, const struct offset_commit *commits, size_t count);
/* Does an open transaction hold an offset for this partition? Then what the group has committed is about to change (KIP-447). */
bool broker_offset_pending(struct broker *broker, cairn_str group, cairn_str topic, uint32_t partition);
/* EndTxn. Durable, and visible, when done is called. The same end again is answered alike, also after a crash; the other one is
 * INVALID_TXN_STATE, as is one of a transaction that has not begun. COORDINATOR_NOT_AVAILABLE: the disk is full; try again. */
typedef void (*end_done)(void *context, enum kafka_err err);
void broker_transaction_end_async(struct broker *broker, cairn_str transactional_id, struct producer producer, bool commit,
                                  end_done done, void *context);

struct transaction_info {
    cairn_str transactional_id;
    struct producer producer;
    const char *state;      /* "Empty" "Ongoing" "CompleteCommit" "CompleteAbort" */
    int32_t timeout_ms;
    int64_t started_ms;
    uint64_t held_bytes;
    const struct topic_partition *partitions;
    size_t partition_count;
};
typedef bool (*transaction_visit)(void *context, const struct transaction_info *info);
/* Open ones, and those that have been used since the program began. Borrowed until return; called without locks. */
void broker_transactions(struct broker *broker, transaction_visit visit, void *context);

/* Idempotent producers of a partition that are known in memory. No call to the broker from the visit. */
struct producer_info {
    struct producer producer;
    int32_t last_sequence;
};
typedef bool (*producer_visit)(void *context, const struct producer_info *info);
void broker_producers(struct broker *broker, const cairn_uuid *topic_id, uint32_t partition, producer_visit visit, void *context);

struct broker_stats {
    uint64_t records_in, bytes_in, batches_in, duplicates, out_of_order, transactions_open, transactions_bytes;
};
void broker_stats(struct broker *broker, struct broker_stats *ret);

#endif

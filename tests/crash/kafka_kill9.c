/* The server is killed (SIGKILL) under librdkafka's producers, a transactional one and a group, again and again: every record is counted.
 *
 * Goal: no acknowledged record lost, none doubled, order per partition kept; a transaction is there whole and once, with its offsets, or
 *       not at all; a committed offset stays; a consumer that goes on sees every record once.
 * Method: two idempotent producers that never give up, one that tries each transaction until it is committed, one member of a group that
 *       commits as it reads. The server is killed once a random number of records more has been acknowledged. In the end all
 *       partitions are read from the beginning. TEST_SEED replays the numbers. */
#include "rdkafka_rig.h"

#include <pthread.h>

#define PARTITIONS 3
#define PRODUCERS 2
#define RECORDS_MAX 2000000 /* of one producer in one partition */
#define EACH 5              /* records of a transaction in a partition */

static struct serve serve;
static atomic_bool stop;
static atomic_uint acknowledged;

/* In threads, where cmocka's checks may not be used: say it and end. */
#define MUST(condition, ...)                                                                                                    \
    do {                                                                                                                        \
        if (!(condition)) {                                                                                                     \
            fprintf(stderr, "not ok %s: ", #condition);                                                                         \
            fprintf(stderr, __VA_ARGS__);                                                                                       \
            fputc('\n', stderr);                                                                                                \
            _exit(1);                                                                                                           \
        }                                                                                                                       \
    } while (0)

/* ---- idempotent producers ------------------------------------------------------------------------------------------------------ */

struct sent {
    int64_t *offsets; /* by number: as acknowledged plus one; 0: not yet; -1: acknowledged, offset not told */
    uint32_t next;
};
static struct producer {
    uint32_t which;
    uint64_t seed;
    struct sent sent[PARTITIONS];
} producers[PRODUCERS];

static void
delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct producer *producer = opaque;
    uint32_t number = (uint32_t)(uintptr_t)message->_private;
    int64_t *at = &producer->sent[message->partition].offsets[number];
    MUST(message->err == 0, "producer %u, record %u: %s", producer->which, number, rd_kafka_err2name(message->err));
    MUST(*at == 0, "producer %u, record %u is acknowledged twice", producer->which, number);
    *at = message->offset >= 0 ? message->offset + 1 : -1;
    atomic_fetch_add(&acknowledged, 1);
}

static void *
produce(void *context)
{
    struct producer *producer = context;
    rd_kafka_conf_t *conf =
        rig_conf(&serve, SETTINGS("enable.idempotence", "true", "message.timeout.ms", "0", "reconnect.backoff.ms", "20", "reconnect.backoff.max.ms",
                                  "100", "retry.backoff.ms", "20", "queue.buffering.max.messages", "500", "batch.num.messages", "200",
                                  "compression.codec", producer->which ? "lz4" : "none"));
    rd_kafka_conf_set_opaque(conf, producer);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *rk = rig_new(RD_KAFKA_PRODUCER, conf);
    while (!atomic_load(&stop)) {
        int32_t partition = (int32_t)(test_random(&producer->seed) % PARTITIONS);
        struct sent *sent = &producer->sent[partition];
        char value[64];
        MUST(sent->next < RECORDS_MAX, "too many records");
        int size = snprintf(value, sizeof value, "%u %u %s", producer->which, sent->next, "some more bytes, as records have them");
        rd_kafka_resp_err_t err =
            rd_kafka_producev(rk, RD_KAFKA_V_TOPIC("load"), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_VALUE(value, (size_t)size),
                              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE((void *)(uintptr_t)sent->next), RD_KAFKA_V_END);
        MUST(err == 0 || err == RD_KAFKA_RESP_ERR__QUEUE_FULL, "%s", rd_kafka_err2name(err));
        sent->next += err == 0;
        rd_kafka_poll(rk, err == 0 ? 0 : 5);
    }
    MUST(rd_kafka_flush(rk, RIG_PATIENCE_MS) == 0, "producer %u: %d records are not acknowledged", producer->which, rd_kafka_outq_len(rk));
    rd_kafka_destroy(rk);
    return NULL;
}

/* ---- transactions ---------------------------------------------------------------------------------------------------------------- */

static struct {
    atomic_uint committed;
    uint32_t aborted;
    uint32_t *attempts; /* by number of the transaction: the one that was committed */
} teller;

/* Try a call until it has worked (true), or the transaction must be aborted (false). */
static bool
settled(rd_kafka_error_t *error, const char *what, bool *ret_again)
{
    *ret_again = false;
    if (!error)
        return true;
    MUST(!rd_kafka_error_is_fatal(error), "%s: %s: %s", what, rd_kafka_error_name(error), rd_kafka_error_string(error));
    *ret_again = rd_kafka_error_is_retriable(error);
    MUST(*ret_again || rd_kafka_error_txn_requires_abort(error), "%s: %s: %s", what, rd_kafka_error_name(error), rd_kafka_error_string(error));
    if (rd_kafka_error_txn_requires_abort(error))
        *ret_again = false;
    rd_kafka_error_destroy(error);
    return false;
}
#define TRY(call)                                                                                                               \
    ({                                                                                                                          \
        bool again_, done_;                                                                                                     \
        do                                                                                                                      \
            done_ = settled(call, #call, &again_);                                                                              \
        while (again_);                                                                                                         \
        done_;                                                                                                                  \
    })

static bool
try_transaction(rd_kafka_t *rk, rd_kafka_consumer_group_metadata_t *group, uint32_t number, uint32_t attempt)
{
    MUST(TRY(rd_kafka_begin_transaction(rk)), "a transaction cannot begin");
    for (uint32_t i = 0; i < EACH * PARTITIONS; i++) {
        char value[64];
        int size = snprintf(value, sizeof value, "%u %u %u", number, attempt, i / PARTITIONS);
        rd_kafka_resp_err_t err = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC("money"), RD_KAFKA_V_PARTITION((int32_t)(i % PARTITIONS)),
                                                    RD_KAFKA_V_VALUE(value, (size_t)size), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (err != 0)
            break; /* the commit says why */
    }
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(offsets, "load", 0)->offset = number + 1;
    bool done = TRY(rd_kafka_send_offsets_to_transaction(rk, offsets, group, RIG_PATIENCE_MS)) && TRY(rd_kafka_commit_transaction(rk, RIG_PATIENCE_MS));
    rd_kafka_topic_partition_list_destroy(offsets);
    if (!done)
        MUST(TRY(rd_kafka_abort_transaction(rk, RIG_PATIENCE_MS)), "an abort wants to be aborted");
    return done;
}

static void *
transact(void *context)
{
    (void)context;
    rd_kafka_t *rk = PRODUCER(&serve, "transactional.id", "teller", "reconnect.backoff.ms", "20", "reconnect.backoff.max.ms", "100", "retry.backoff.ms", "20",
                              "message.timeout.ms", "50000", "transaction.timeout.ms", "60000");
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata_new("tellers");
    MUST(TRY(rd_kafka_init_transactions(rk, RIG_PATIENCE_MS)), "no transactions");
    while (!atomic_load(&stop)) {
        uint32_t attempt = 0;
        while (!try_transaction(rk, group, teller.committed, attempt)) {
            attempt++;
            teller.aborted++;
        }
        teller.attempts[teller.committed++] = attempt;
        atomic_fetch_add(&acknowledged, EACH * PARTITIONS);
        MUST(teller.committed < RECORDS_MAX, "too many transactions");
    }
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_destroy(rk);
    return NULL;
}

/* ---- a group --------------------------------------------------------------------------------------------------------------------- */

static _Atomic int64_t committed[PARTITIONS]; /* acknowledged commits */
static struct {
    int64_t next[PARTITIONS];
    int64_t floor[PARTITIONS]; /* committed when the partitions were assigned: they go on from there or later */
    uint64_t count;
    atomic_uint commits;
    unsigned refused;
} reader;

static void
commit_read(rd_kafka_t *rk)
{
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t p = 0; p < PARTITIONS; p++)
        if (reader.next[p] > 0)
            rd_kafka_topic_partition_list_add(offsets, "load", p)->offset = reader.next[p];
    if (offsets->cnt > 0 && rd_kafka_commit(rk, offsets, 0) == 0) {
        reader.commits++;
        for (int i = 0; i < offsets->cnt; i++)
            if (offsets->elems[i].err == 0)
                atomic_store(&committed[offsets->elems[i].partition], offsets->elems[i].offset);
    } else
        reader.refused++; /* the server was away, or knew nothing of the group any more: it will be joined again */
    rd_kafka_topic_partition_list_destroy(offsets);
}

static void
assigned(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    (void)opaque;
    for (int p = 0; p < PARTITIONS; p++)
        reader.floor[p] = atomic_load(&committed[p]);
    (void)rd_kafka_assign(rk, err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS ? partitions : NULL);
}

/* Records come one after the other, also across crashes: a member that joins again goes on where it has committed. */
static void *
read_along(void *context)
{
    (void)context;
    rd_kafka_conf_t *conf = rig_conf(&serve, SETTINGS("group.id", "readers", "auto.offset.reset", "earliest", "enable.auto.commit", "false",
                                                      "reconnect.backoff.ms", "20", "reconnect.backoff.max.ms", "100", "heartbeat.interval.ms", "200",
                                                      "fetch.wait.max.ms", "20", "retry.backoff.ms", "20"));
    rd_kafka_conf_set_rebalance_cb(conf, assigned);
    rd_kafka_t *rk = rig_new(RD_KAFKA_CONSUMER, conf);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, "load", RD_KAFKA_PARTITION_UA);
    MUST(rd_kafka_subscribe(rk, topics) == 0, "no subscription");
    rd_kafka_topic_partition_list_destroy(topics);
    while (!atomic_load(&stop)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 100);
        if (message && message->err == 0) {
            int64_t *next = &reader.next[message->partition];
            /* Again from a commit of before is fine, over one is not. */
            MUST(message->offset <= *next, "partition %d: %ld comes after %ld", message->partition, (long)message->offset, (long)*next - 1);
            MUST(message->offset >= reader.floor[message->partition], "partition %d: %ld comes, which was committed", message->partition,
                 (long)message->offset);
            *next = message->offset + 1;
            if (++reader.count % 500 == 0)
                commit_read(rk);
        }
        if (message)
            rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return NULL;
}

static void
check_committed(void)
{
    int64_t before[PARTITIONS];
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        before[p] = atomic_load(&committed[p]);
        rd_kafka_topic_partition_list_add(offsets, "load", p);
    }
    rd_kafka_t *rk = CONSUMER(&serve, "group.id", "readers");
    CHECK_RK(rd_kafka_committed(rk, offsets, RIG_PATIENCE_MS));
    for (int32_t p = 0; p < PARTITIONS; p++)
        if (before[p] > 0 && offsets->elems[p].offset < before[p])
            fail_msg("partition %d: %ld was committed, %ld is there", p, (long)before[p], (long)offsets->elems[p].offset);
    rd_kafka_topic_partition_list_destroy(offsets);
    rd_kafka_destroy(rk);
}

/* ---- counting -------------------------------------------------------------------------------------------------------------------- */

typedef void (*read_visit)(int32_t partition, int64_t offset, const char *value);

static uint64_t
read_all(const char *topic, read_visit visit)
{
    uint64_t count = 0;
    int ended = 0;
    rd_kafka_t *rk = CONSUMER(&serve, "group.id", "verifier", "enable.partition.eof", "true", "enable.auto.commit", "false", "isolation.level", "read_committed");
    rd_kafka_topic_partition_list_t *partitions = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t p = 0; p < PARTITIONS; p++)
        rd_kafka_topic_partition_list_add(partitions, topic, p)->offset = 0;
    CHECK_RK(rd_kafka_assign(rk, partitions));
    rd_kafka_topic_partition_list_destroy(partitions);
    while (ended < PARTITIONS) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, RIG_PATIENCE_MS);
        assert_non_null(message);
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            ended++;
        else {
            char value[128];
            CHECK_RK(message->err);
            snprintf(value, sizeof value, "%.*s", (int)message->len, (const char *)message->payload);
            visit(message->partition, message->offset, value);
            count++;
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return count;
}

static uint32_t seen[PRODUCERS][PARTITIONS];

static void
count_load(int32_t partition, int64_t offset, const char *value)
{
    unsigned which, number;
    CHECK_INT(sscanf(value, "%u %u", &which, &number), 2);
    if (number != seen[which][partition])
        fail_msg("partition %d, offset %ld: producer %u's record %u stands where %u belongs", partition, (long)offset, which, number, seen[which][partition]);
    int64_t told = producers[which].sent[partition].offsets[number];
    if (told > 0 && told - 1 != offset)
        fail_msg("partition %d: producer %u's record %u is at %ld, acknowledged at %ld", partition, which, number, (long)offset, (long)told - 1);
    seen[which][partition]++;
}

static uint32_t money[PARTITIONS];

static void
count_money(int32_t partition, int64_t offset, const char *value)
{
    unsigned number, attempt, i;
    CHECK_INT(sscanf(value, "%u %u %u", &number, &attempt, &i), 3);
    uint32_t at = money[partition]++;
    if (number != at / EACH || i != at % EACH || number >= teller.committed || attempt != teller.attempts[number])
        fail_msg("partition %d, offset %ld: record %u of attempt %u at transaction %u stands where %u of %u belongs", partition, (long)offset, i, attempt,
                 number, at % EACH, at / EACH);
}

static void
more_of(atomic_uint *what, unsigned count)
{
    unsigned until = atomic_load(what) + count;
    AWAIT(atomic_load(what) >= until);
}

TEST(every_record_is_counted)
{
    uint64_t seed = test_seed();
    unsigned kills = 6 * test_scale();
    pthread_t threads[PRODUCERS + 2];
    kills = kills > 60 ? 60 : kills;
    serve_start(&serve);
    rd_kafka_t *admin = PRODUCER(&serve);
    rig_make_topic(admin, "load", PARTITIONS);
    rig_make_topic(admin, "money", PARTITIONS);
    rd_kafka_destroy(admin);
    teller.attempts = calloc(RECORDS_MAX, sizeof *teller.attempts);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i].which = i;
        producers[i].seed = seed + i;
        for (int32_t p = 0; p < PARTITIONS; p++)
            producers[i].sent[p].offsets = calloc(RECORDS_MAX, sizeof(int64_t));
        pthread_create(&threads[i], NULL, produce, &producers[i]);
    }
    pthread_create(&threads[PRODUCERS], NULL, transact, NULL);
    pthread_create(&threads[PRODUCERS + 1], NULL, read_along, NULL);
    for (unsigned i = 0; i < kills; i++) {
        more_of(&acknowledged, 1 + (unsigned)(test_random(&seed) % 15000));
        if (i % 3 == 1)
            more_of(&teller.committed, 1 + (unsigned)(test_random(&seed) % 20));
        else if (i % 3 == 2) /* librdkafka joins a group once a second */
            more_of(&reader.commits, 1 + (unsigned)(test_random(&seed) % 20));
        serve_kill(&serve);
        serve_start(&serve);
        check_committed();
    }
    more_of(&acknowledged, 1000);
    atomic_store(&stop, true);
    for (size_t i = 0; i < PRODUCERS + 2; i++)
        pthread_join(threads[i], NULL);
    serve_kill(&serve);
    serve_start(&serve);
    check_committed();

    uint64_t count = read_all("load", count_load);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        for (int32_t p = 0; p < PARTITIONS; p++) {
            CHECK_INT(seen[i][p], producers[i].sent[p].next);
            free(producers[i].sent[p].offsets);
        }
    CHECK_INT(read_all("money", count_money), (uint64_t)teller.committed * EACH * PARTITIONS);
    rd_kafka_topic_partition_list_t *offset = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(offset, "load", 0);
    rd_kafka_t *rk = CONSUMER(&serve, "group.id", "tellers");
    CHECK_RK(rd_kafka_committed(rk, offset, RIG_PATIENCE_MS));
    CHECK_INT(offset->elems[0].offset, teller.committed);
    rd_kafka_topic_partition_list_destroy(offset);
    rd_kafka_destroy(rk);
    printf("%u kills: %lu records of idempotent producers, %u transactions (%u tried again), %lu records read along, %u commits (%u not acknowledged)\n",
           kills + 1, (unsigned long)count, teller.committed, teller.aborted, (unsigned long)reader.count, reader.commits, reader.refused);
    free(teller.attempts);
    serve_end(&serve);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(every_record_is_counted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

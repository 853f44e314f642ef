/* Goal: whatever producers, their second instances and time-outs do to each other at once, a transaction whose commit was
 * acknowledged is in all its partitions, once and whole, and no other is in any.
 * Method: threads that are clients, two of them for each transactional id, so that they fence each other; one that plays the clock
 * forward, so that some transactions time out. Each does what clients do with each error. Every transaction writes its number to all
 * partitions; at the end these are read whole. TEST_SEED, TEST_SCALE. */
#include "broker_rig.h"

#include <sched.h>
#include <stdatomic.h>

#define IDS 3
#define CLIENTS (2 * IDS)
#define PARTITIONS 3
#define TRANSACTIONS 60 /* of a client */
#define TIMEOUT_MS 5000

enum outcome { OPEN = 0, COMMITTED, ABORTED };

struct client {
    struct rig *rig;
    int number;
    char id[16];
    struct producer producer;
    int32_t sequence[PARTITIONS];
    enum outcome outcomes[TRANSACTIONS];
    uint64_t seed;
    int fenced, lost;
};

static void
ended(void *context, enum kafka_err err)
{
    answer_came(context, &(struct produced){.err = err});
}

static enum kafka_err
end_once(struct client *client, bool commit)
{
    struct answer answer;
    answer_init(&answer);
    broker_transaction_end_async(client->rig->broker, cairn_cstr(client->id), client->producer, commit, ended, &answer);
    return answer_wait(&answer).err;
}

/* Again while it is just changing. */
static enum kafka_err
end_txn(struct client *client, bool commit)
{
    enum kafka_err err;
    while ((err = end_once(client, commit)) == KAFKA_CONCURRENT_TRANSACTIONS)
        sched_yield();
    return err;
}

static enum kafka_err
add_partitions(struct client *client)
{
    struct topic_partition partitions[PARTITIONS];
    enum kafka_err err, errs[PARTITIONS];
    for (uint32_t i = 0; i < PARTITIONS; i++)
        partitions[i] = (struct topic_partition){CAIRN_STR("t"), i};
    while ((err = broker_transaction_add(client->rig->broker, cairn_cstr(client->id), client->producer, partitions, PARTITIONS, errs)) ==
           KAFKA_CONCURRENT_TRANSACTIONS)
        sched_yield();
    return err;
}

static enum kafka_err
send_number(struct client *client, struct batch_maker *maker, uint32_t partition, int number, uint32_t count)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d", client->number, number);
    cairn_str batch = rig_batch(client->rig, maker, &(struct batch_spec){.count = count, .text = text, .producer_id = client->producer.id + 1,
                                                                         .epoch = client->producer.epoch, .transactional = true,
                                                                         .sequence = client->sequence[partition]});
    enum kafka_err err = KAFKA_NONE;
    for (int times = test_random(&client->seed) % 4 ? 1 : 2; times > 0 && err == KAFKA_NONE; times--) /* now and then again */
        err = rig_produce_bytes(client->rig, "t", partition, client->id, batch, NULL).err;
    client->sequence[partition] += (int32_t)count;
    return err;
}

/* A new epoch: of the same instance where that is still in charge, or over whoever is. */
static void
begin_anew(struct client *client, bool fenced)
{
    enum kafka_err err;
    struct producer expected = fenced ? (struct producer){-1, -1} : client->producer;
    client->fenced += fenced;
    client->lost += !fenced;
    while ((err = broker_producer_init(client->rig->broker, cairn_cstr(client->id), TIMEOUT_MS, expected, &client->producer)) != KAFKA_NONE) {
        CHECK(err == KAFKA_CONCURRENT_TRANSACTIONS || err == KAFKA_PRODUCER_FENCED);
        if (err == KAFKA_PRODUCER_FENCED)
            expected = (struct producer){-1, -1};
        sched_yield();
    }
    memset(client->sequence, 0, sizeof client->sequence);
}

/* All have had an epoch before any begins: so of two instances one is fenced for certain. */
static pthread_barrier_t all_there;

static void *
transact(void *context)
{
    struct client *client = context;
    struct batch_maker maker = {.count = 0};
    begin_anew(client, true);
    pthread_barrier_wait(&all_there);
    for (int i = 0; i < TRANSACTIONS; i++) {
        bool commit = test_random(&client->seed) % 4 != 0;
        enum kafka_err err = add_partitions(client);
        for (uint32_t p = 0; p < PARTITIONS && err == KAFKA_NONE; p++)
            err = send_number(client, &maker, p, i, 2);
        if (err == KAFKA_NONE)
            err = end_txn(client, commit);
        if (err == KAFKA_NONE && test_random(&client->seed) % 4 == 0) { /* the answer was lost */
            err = end_txn(client, commit);
            CHECK(err == KAFKA_NONE || err == KAFKA_PRODUCER_FENCED);
            client->outcomes[i] = commit ? COMMITTED : ABORTED;
        } else {
            client->outcomes[i] = err == KAFKA_NONE && commit ? COMMITTED : ABORTED;
        }
        if (err == KAFKA_NONE)
            continue;
        if (err != KAFKA_PRODUCER_FENCED && err != KAFKA_INVALID_PRODUCER_EPOCH && err != KAFKA_INVALID_PRODUCER_ID_MAPPING &&
            err != KAFKA_INVALID_TXN_STATE)
            fail_msg("%s", kafka_err_name(err));
        begin_anew(client, err == KAFKA_PRODUCER_FENCED || err == KAFKA_INVALID_PRODUCER_EPOCH);
    }
    batch_make_free(&maker);
    return NULL;
}

struct clock {
    struct rig *rig;
    _Atomic bool over;
};

/* Every tick is a different moment up to twice the time-out from now. */
static void *
play_clock(void *context)
{
    struct clock *clock = context;
    uint64_t seed = 5;
    while (!atomic_load(&clock->over)) {
        int64_t ahead = (int64_t)(test_random(&seed) % 20 ? 0 : TIMEOUT_MS * 2) * 1000;
        broker_tick(clock->rig->broker, os_now_us(os_real()) + ahead);
        sched_yield();
    }
    return NULL;
}

static void
check_partition(struct rig *rig, struct client *clients, uint32_t partition)
{
    struct buf values = {0};
    static int seen[CLIENTS][TRANSACTIONS];
    memset(seen, 0, sizeof seen);
    rig_values(rig, "t", partition, &values);
    for (char *save, *word = strtok_r(values.data, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        int client, number, record;
        CHECK_INT(sscanf(word, "%d.%d-%d", &client, &number, &record), 3);
        CHECK_INT(record, seen[client][number]++);
    }
    for (int i = 0; i < CLIENTS; i++)
        for (int j = 0; j < TRANSACTIONS; j++)
            if (seen[i][j] != (clients[i].outcomes[j] == COMMITTED ? 2 : 0))
                fail_msg("partition %u has %d records of transaction %d of client %d, which was %s", partition, seen[i][j], j, i,
                         clients[i].outcomes[j] == COMMITTED ? "committed" : "aborted");
    buf_free(&values);
}

static void
play(uint64_t seed)
{
    struct rig rig = {.sim = NULL};
    static struct client clients[CLIENTS];
    pthread_t threads[CLIENTS], ticker;
    rig_begin(&rig, false);
    rig_topic(&rig, "t", PARTITIONS, NULL, NULL);
    struct clock clock = {.rig = &rig};
    CHECK_INT(pthread_barrier_init(&all_there, NULL, CLIENTS), 0);
    CHECK_INT(pthread_create(&ticker, NULL, play_clock, &clock), 0);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.rig = &rig, .number = i, .seed = test_random(&seed)};
        snprintf(clients[i].id, sizeof clients[i].id, "txn%d", i % IDS);
        CHECK_INT(pthread_create(&threads[i], NULL, transact, &clients[i]), 0);
    }
    int fenced = 0, lost = 0, committed = 0;
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        fenced += clients[i].fenced - 1;
        lost += clients[i].lost;
        for (int j = 0; j < TRANSACTIONS; j++)
            committed += clients[i].outcomes[j] == COMMITTED;
    }
    atomic_store(&clock.over, true);
    pthread_join(ticker, NULL);
    pthread_barrier_destroy(&all_there);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        check_partition(&rig, clients, i);
    printf("%d committed, fenced %d times, lost %d\n", committed, fenced, lost);
    CHECK(committed > 0 && fenced > 0);
    struct broker_stats stats;
    broker_stats(rig.broker, &stats);
    CHECK_INT(stats.transactions_bytes == 0, stats.transactions_open == 0);
    rig_end(&rig);
}

TEST(committed_or_nowhere)
{
    uint64_t seed = test_seed();
    for (unsigned i = 0; i < 4 * test_scale(); i++)
        play(test_random(&seed));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(committed_or_nowhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

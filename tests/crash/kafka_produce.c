/* Goal: the process is killed (SIGKILL) under produce load, again and again: nothing that was acknowledged is lost, nothing is
 * there twice, each producer's records are in order, and each transaction that was committed is there whole and once.
 * Method: a child embeds store and broker. Its threads are the clients: idempotent producers with up to five batches under way,
 * which send again what has no answer, and a transactional one that writes to two partitions at once. What a client knows is in
 * memory that outlives the child, as a client outlives a server. After each kill the parent reads all partitions whole. */
#include "broker_rig.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define ROUNDS 25
#define PRODUCERS 4
#define PARTITIONS 2
#define UNDER_WAY 5
#define TXN_RECORDS 3

/* What a client knows. */
struct client {
    int64_t id;      /* -1: none yet */
    int32_t acked;   /* batches, from the first on */
    int64_t offsets[1 << 16];
};
struct txn_client {
    struct producer producer;
    int32_t state;   /* twice the transactions that are known to be committed; odd: the commit of the next has been asked for */
    bool abortable;  /* it was told that something is lost */
    int32_t sequence[PARTITIONS];
};
static struct shared {
    struct client clients[PRODUCERS];
    struct txn_client txn;
} *shared;

/* ---- the child --------------------------------------------------------------------------------------------------------------- */

static int acks; /* the pipe */

static void
say_acked(void)
{
    if (write(acks, "", 1) != 1)
        _exit(3);
}

struct under_way {
    struct rig *rig;
    int number;
};

/* Up to five at once, from the first that is not acknowledged on; each round waits for all. */
static void *
produce_on(void *context)
{
    const struct under_way *work = context;
    struct client *client = &shared->clients[work->number];
    struct batch_maker maker = {.count = 0};
    struct answer answers[UNDER_WAY];
    if (client->id < 0) {
        struct producer producer;
        CHECK_KAFKA(broker_producer_init(work->rig->broker, CAIRN_STR(""), 0, (struct producer){-1, -1}, &producer), KAFKA_NONE);
        client->id = producer.id;
    }
    for (;;) {
        for (int i = 0; i < UNDER_WAY; i++) {
            int32_t number = client->acked + i;
            char text[32];
            snprintf(text, sizeof text, "%d.%d", work->number, number);
            cairn_str batch = rig_batch(work->rig, &maker, &(struct batch_spec){.count = 2, .text = text, .producer_id = client->id + 1,
                                                                                .sequence = 2 * number});
            const struct produce produce = {.topic = CAIRN_STR("t"), .partition = (uint32_t)work->number % PARTITIONS, .bytes = batch};
            answer_init(&answers[i]);
            broker_produce_async(work->rig->broker, &produce, answer_came, &answers[i]);
        }
        for (int i = 0; i < UNDER_WAY; i++) {
            struct produced result = answer_wait(&answers[i]);
            if (result.err != KAFKA_NONE) {
                fprintf(stderr, "producer %d, batch %d: %s\n", work->number, client->acked, kafka_err_name(result.err));
                _exit(2);
            }
            client->offsets[client->acked] = result.base_offset;
            __atomic_store_n(&client->acked, client->acked + 1, __ATOMIC_SEQ_CST);
            say_acked();
        }
    }
    return NULL;
}

static void
ended(void *context, enum kafka_err err)
{
    answer_came(context, &(struct produced){.err = err});
}

static enum kafka_err
end_txn(struct rig *rig)
{
    struct answer answer;
    answer_init(&answer);
    broker_transaction_end_async(rig->broker, CAIRN_STR("txn"), shared->txn.producer, true, ended, &answer);
    return answer_wait(&answer).err;
}

/* One transaction, as far as it goes; what is refused as lost is begun anew under a new epoch. */
static enum kafka_err
transact(struct rig *rig, struct batch_maker *maker)
{
    struct txn_client *txn = &shared->txn;
    enum kafka_err err = KAFKA_NONE, errs[PARTITIONS];
    struct topic_partition partitions[PARTITIONS];
    for (uint32_t i = 0; i < PARTITIONS; i++)
        partitions[i] = (struct topic_partition){CAIRN_STR("x"), i};
    if (txn->state % 2 == 0) {
        err = broker_transaction_add(rig->broker, CAIRN_STR("txn"), txn->producer, partitions, PARTITIONS, errs);
        for (uint32_t i = 0; i < PARTITIONS && err == KAFKA_NONE; i++) {
            char text[32];
            snprintf(text, sizeof text, "%d", txn->state / 2);
            cairn_str batch = rig_batch(rig, maker, &(struct batch_spec){.count = TXN_RECORDS, .text = text,
                                                                         .producer_id = txn->producer.id + 1, .epoch = txn->producer.epoch,
                                                                         .sequence = txn->sequence[i], .transactional = true});
            err = rig_produce_bytes(rig, "x", i, "txn", batch, NULL).err;
            txn->sequence[i] += TXN_RECORDS;
        }
    }
    if (err == KAFKA_NONE) {
        txn->state |= 1;
        err = end_txn(rig);
    }
    if (err == KAFKA_NONE) {
        txn->state++;
        say_acked();
    }
    return err;
}

static void *
transact_on(void *context)
{
    struct rig *rig = context;
    struct txn_client *txn = &shared->txn;
    struct batch_maker maker = {.count = 0};
    if (txn->producer.id < 0)
        CHECK_KAFKA(broker_producer_init(rig->broker, CAIRN_STR("txn"), 60000, (struct producer){-1, -1}, &txn->producer), KAFKA_NONE);
    for (;;) {
        enum kafka_err err = txn->abortable ? KAFKA_INVALID_PRODUCER_ID_MAPPING : transact(rig, &maker);
        if (err == KAFKA_NONE)
            continue;
        if (err != KAFKA_INVALID_PRODUCER_ID_MAPPING) { /* the one that says: abort, and go on */
            fprintf(stderr, "transaction %d: %s\n", txn->state / 2, kafka_err_name(err));
            _exit(2);
        }
        txn->abortable = true;
        struct producer next;
        err = broker_producer_init(rig->broker, CAIRN_STR("txn"), 60000, txn->producer, &next);
        if (err != KAFKA_NONE) {
            fprintf(stderr, "a new epoch: %s\n", kafka_err_name(err));
            _exit(2);
        }
        txn->producer = next;
        memset(txn->sequence, 0, sizeof txn->sequence);
        txn->state &= ~1;
        txn->abortable = false;
    }
    return NULL;
}

static void
run_child(const char *folder, int pipe_end)
{
    static struct rig rig;
    static struct under_way works[PRODUCERS];
    pthread_t thread;
    acks = pipe_end;
    snprintf(rig.folder, sizeof rig.folder, "%s", folder);
    rig_open(&rig);
    for (int i = 0; i < PRODUCERS; i++) {
        works[i] = (struct under_way){&rig, i};
        if (pthread_create(&thread, NULL, produce_on, &works[i]) != 0)
            _exit(3);
    }
    transact_on(&rig);
}

/* ---- the parent -------------------------------------------------------------------------------------------------------------- */

static void
check_producers(struct rig *rig)
{
    struct buf values = {0};
    int32_t next[PRODUCERS] = {0};
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        int64_t offset = 0;
        rig_values(rig, "t", i, &values);
        for (char *save, *word = strtok_r(values.data, " ", &save); word; word = strtok_r(NULL, " ", &save), offset++) {
            int number, batch, record;
            CHECK_INT(sscanf(word, "%d.%d-%d", &number, &batch, &record), 3);
            CHECK_INT(2 * batch + record, next[number]);
            if (record == 0 && batch < shared->clients[number].acked)
                CHECK_INT(shared->clients[number].offsets[batch], offset);
            next[number]++;
        }
    }
    for (int i = 0; i < PRODUCERS; i++) {
        CHECK(next[i] >= 2 * shared->clients[i].acked);
        CHECK(next[i] <= 2 * (shared->clients[i].acked + UNDER_WAY));
    }
    buf_free(&values);
}

static void
check_transactions(struct rig *rig)
{
    struct buf values = {0};
    int counts[PARTITIONS];
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        int count = 0;
        rig_values(rig, "x", i, &values);
        for (char *save, *word = strtok_r(values.data, " ", &save); word; word = strtok_r(NULL, " ", &save), count++) {
            int number, record;
            CHECK_INT(sscanf(word, "%d-%d", &number, &record), 2);
            CHECK_INT(number * TXN_RECORDS + record, count);
        }
        counts[i] = count;
    }
    CHECK_INT(counts[0], counts[1]);
    CHECK_INT(counts[0] % TXN_RECORDS, 0);
    int committed = counts[0] / TXN_RECORDS, known = shared->txn.state / 2;
    CHECK(committed == known || (committed == known + 1 && shared->txn.state % 2 == 1));
    buf_free(&values);
}

TEST(killed_under_load)
{
    struct rig rig = {.sim = NULL};
    uint64_t seed = test_seed();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    for (int i = 0; i < PRODUCERS; i++)
        shared->clients[i].id = -1;
    shared->txn.producer = (struct producer){-1, -1};
    rig_begin(&rig, false);
    rig_topic(&rig, "t", PARTITIONS, NULL, NULL);
    rig_topic(&rig, "x", PARTITIONS, NULL, NULL);
    rig_close(&rig);
    for (unsigned round = 0; round < ROUNDS * test_scale(); round++) {
        int ends[2], status;
        CHECK_INT(pipe(ends), 0);
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            close(ends[0]);
            run_child(rig.folder, ends[1]);
            _exit(0);
        }
        close(ends[1]);
        char byte;
        for (uint64_t left = 1 + test_random(&seed) % 400; left > 0 && read(ends[0], &byte, 1) == 1; left--)
            ;
        kill(child, SIGKILL);
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it has not given up by itself */
        close(ends[0]);
        rig_open(&rig);
        check_producers(&rig);
        check_transactions(&rig);
        rig_close(&rig);
    }
    int total = shared->txn.state / 2;
    printf("%d transactions", total);
    for (int i = 0; i < PRODUCERS; i++)
        printf(", %d batches", shared->clients[i].acked);
    printf(" acknowledged\n");
    CHECK(total > 0);
    rig_open(&rig);
    rig_end(&rig);
    munmap(shared, sizeof *shared);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(killed_under_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

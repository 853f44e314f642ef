/* Goal: whatever producers, retries, duplicates, stale epochs and restarts do to each other, each acknowledged batch is in its
 * partition once, at the offset that was acknowledged, and each producer's batches are in the order of their sequences.
 * Method: random sends of a few producers to a few partitions, asynchronous, some repeated, some out of their order, some with an
 * older epoch; a model says what each is to be answered and what the partitions hold. The broker is closed and opened at random,
 * with few producers in memory, so that both memory and log are asked. TEST_SEED, TEST_SCALE. */
#include "broker_rig.h"

#define PRODUCERS 6
#define PARTITIONS 3
#define KNOWN 5

struct sent {
    int32_t sequence;
    uint32_t count;
    int64_t offset;
};
struct place { /* what the model knows of a producer in a partition */
    bool known;
    int16_t epoch;
    int32_t next;
    struct sent last[KNOWN];
    int sent;
};
struct model {
    struct place places[PRODUCERS][PARTITIONS];
    int64_t ids[PRODUCERS];
    int16_t epochs[PRODUCERS];
    int64_t ends[PARTITIONS];
    struct buf expected[PARTITIONS];
    uint64_t seed;
    uint32_t batches;
};

/* The answer that it must get; NONE: at *ret_offset, new where that is the partition's end. */
static enum kafka_err
model_answer(struct model *model, int producer, int partition, int16_t epoch, int32_t sequence, uint32_t count, int64_t *ret_offset,
             bool *ret_new)
{
    struct place *place = &model->places[producer][partition];
    *ret_new = false;
    if (place->known && epoch < place->epoch)
        return KAFKA_INVALID_PRODUCER_EPOCH;
    if (place->known && epoch > place->epoch && sequence != 0)
        return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    if (place->known && epoch == place->epoch) {
        for (int i = 0; i < place->sent && i < KNOWN; i++)
            if (place->last[i].sequence == sequence && place->last[i].count == count) {
                *ret_offset = place->last[i].offset;
                return KAFKA_NONE;
            }
        if (sequence != place->next)
            return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    } else {
        place->sent = 0;
    }
    memmove(&place->last[1], &place->last[0], (KNOWN - 1) * sizeof place->last[0]);
    place->last[0] = (struct sent){sequence, count, model->ends[partition]};
    place->sent++;
    place->known = true;
    place->epoch = epoch;
    place->next = (int32_t)(((uint32_t)sequence + count) & INT32_MAX);
    *ret_offset = model->ends[partition];
    *ret_new = true;
    model->ends[partition] += count;
    return KAFKA_NONE;
}

struct pending {
    struct answer answer;
    enum kafka_err err;
    int64_t offset;
};

static void
send_one(struct rig *rig, struct model *model, struct pending *pending)
{
    int producer = (int)(test_random(&model->seed) % PRODUCERS), partition = (int)(test_random(&model->seed) % PARTITIONS);
    struct place *place = &model->places[producer][partition];
    uint32_t count = 1 + (uint32_t)(test_random(&model->seed) % 3), kind = (uint32_t)(test_random(&model->seed) % 16);
    int16_t epoch = model->epochs[producer];
    int32_t sequence = place->known && place->epoch == epoch ? place->next : 0;
    if (kind < 3 && place->sent > 0) { /* again */
        const struct sent *again = &place->last[test_random(&model->seed) % (uint32_t)(place->sent < KNOWN ? place->sent : KNOWN)];
        epoch = place->epoch;
        sequence = again->sequence;
        count = again->count;
    } else if (kind == 3) { /* too early */
        sequence = (int32_t)(((uint32_t)sequence + 1 + (uint32_t)(test_random(&model->seed) % 4)) & INT32_MAX);
    } else if (kind == 4 && epoch > 0) { /* fenced */
        epoch--;
    } else if (kind == 5) { /* a new epoch */
        epoch = ++model->epochs[producer];
        sequence = test_random(&model->seed) % 4 ? 0 : 5;
    } else if (kind == 6 && !place->known) { /* anything goes */
        sequence = INT32_MAX - 2;
    }
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d.%u", producer, epoch, sequence, model->batches++);
    struct batch_maker maker = {.count = 0};
    cairn_str batch = rig_batch(rig, &maker, &(struct batch_spec){.count = count, .text = text, .producer_id = model->ids[producer] + 1,
                                                                  .epoch = epoch, .sequence = sequence});
    bool new;
    pending->offset = -1;
    pending->err = model_answer(model, producer, partition, epoch, sequence, count, &pending->offset, &new);
    for (uint32_t i = 0; i < count && new; i++)
        buf_printf(&model->expected[partition], "%s-%u ", text, i);
    answer_init(&pending->answer);
    const struct produce produce = {.topic = CAIRN_STR("t"), .partition = (uint32_t)partition, .bytes = batch};
    broker_produce_async(rig->broker, &produce, answer_came, &pending->answer);
    batch_make_free(&maker);
}

static void
check_partitions(struct rig *rig, struct model *model)
{
    struct buf values = {0};
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        rig_values(rig, "t", i, &values);
        buf_put_char(&model->expected[i], '\0');
        CHECK_STR(values.data, model->expected[i].data);
        model->expected[i].size--;
    }
    buf_free(&values);
}

static void
play(uint64_t seed, bool simulated)
{
    struct rig rig = {.options = {.producers_max = 8}};
    struct model model = {.seed = seed};
    enum { PENDING = 24 };
    struct pending pending[PENDING];
    rig_begin(&rig, simulated);
    rig_topic(&rig, "t", PARTITIONS, NULL, NULL);
    for (int i = 0; i < PRODUCERS; i++) {
        struct producer producer;
        CHECK_KAFKA(broker_producer_init(rig.broker, CAIRN_STR(""), 0, (struct producer){-1, -1}, &producer), KAFKA_NONE);
        model.ids[i] = producer.id;
    }
    for (int round = 0; round < 40; round++) {
        uint32_t count = 1 + (uint32_t)(test_random(&model.seed) % PENDING);
        for (uint32_t i = 0; i < count; i++)
            send_one(&rig, &model, &pending[i]);
        for (uint32_t i = 0; i < count; i++) {
            struct produced result = answer_wait(&pending[i].answer);
            if (result.err != pending[i].err || result.base_offset != pending[i].offset)
                fail_msg("seed %llu, round %d: %s at %lld instead of %s at %lld", (unsigned long long)seed, round,
                         kafka_err_name(result.err), (long long)result.base_offset, kafka_err_name(pending[i].err),
                         (long long)pending[i].offset);
        }
        if (test_random(&model.seed) % 8 == 0)
            rig_reopen(&rig);
    }
    check_partitions(&rig, &model);
    for (int i = 0; i < PARTITIONS; i++)
        buf_free(&model.expected[i]);
    rig_end(&rig);
}

#ifdef __SANITIZE_THREAD__
#define PLAYS_ALONE 4 /* three seconds each; and there is one thread */
#define PLAYS 1
#else
#define PLAYS_ALONE 40
#define PLAYS 4
#endif

TEST(each_batch_is_there_once_and_in_order)
{
    uint64_t seed = test_seed();
    for (unsigned i = 0; i < PLAYS_ALONE * test_scale(); i++)
        play(test_random(&seed), true);
}

TEST(and_with_threads)
{
    uint64_t seed = test_seed();
    for (unsigned i = 0; i < PLAYS * test_scale(); i++)
        play(test_random(&seed), false);
}

/* ---- many threads: what the answers say is what is there --------------------------------------------------------------------- */

#define THREADS 6
#define BATCHES 300

struct worker {
    struct rig *rig;
    int number;
    int64_t id;
    int64_t offsets[BATCHES];
    uint64_t seed;
};

/* A client: up to five batches under way, each sent twice now and then; sends again what is refused as out of order. */
static void *
work(void *context)
{
    struct worker *worker = context;
    struct batch_maker maker = {.count = 0};
    for (int first = 0; first < BATCHES;) {
        struct answer answers[10];
        int sent = 0, sequences[10];
        for (int i = first; i < BATCHES && i < first + 5; i++)
            for (int times = test_random(&worker->seed) % 4 ? 1 : 2; times > 0; times--) {
                char text[32];
                snprintf(text, sizeof text, "%d.%d", worker->number, i);
                cairn_str batch = rig_batch(worker->rig, &maker, &(struct batch_spec){.count = 1, .text = text,
                                                                                      .producer_id = worker->id + 1, .sequence = i});
                const struct produce produce = {.topic = CAIRN_STR("t"), .partition = 0, .bytes = batch};
                answer_init(&answers[sent]);
                sequences[sent] = i;
                broker_produce_async(worker->rig->broker, &produce, answer_came, &answers[sent++]);
            }
        for (int i = 0; i < sent; i++) {
            struct produced result = answer_wait(&answers[i]);
            CHECK_KAFKA(result.err, KAFKA_NONE);
            CHECK(first == sequences[i] || result.base_offset > worker->offsets[sequences[i] - 1]);
            worker->offsets[sequences[i]] = result.base_offset;
        }
        first += 5;
    }
    batch_make_free(&maker);
    return NULL;
}

TEST(producers_on_many_threads)
{
    struct rig rig = {.sim = NULL};
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    uint64_t seed = test_seed();
    struct buf values = {0};
    rig_begin(&rig, false);
    rig_topic(&rig, "t", 1, NULL, NULL);
    for (int i = 0; i < THREADS; i++) {
        struct producer producer;
        CHECK_KAFKA(broker_producer_init(rig.broker, CAIRN_STR(""), 0, (struct producer){-1, -1}, &producer), KAFKA_NONE);
        workers[i] = (struct worker){.rig = &rig, .number = i, .id = producer.id, .seed = test_random(&seed)};
        CHECK_INT(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(rig_partition(&rig, "t", 0).end, THREADS * BATCHES);
    rig_values(&rig, "t", 0, &values);
    int64_t at = 0;
    int next[THREADS] = {0};
    for (char *save, *word = strtok_r(values.data, " ", &save); word; word = strtok_r(NULL, " ", &save), at++) {
        int number, batch;
        CHECK_INT(sscanf(word, "%d.%d-0", &number, &batch), 2);
        CHECK_INT(batch, next[number]++);
        CHECK_INT(workers[number].offsets[batch], at);
    }
    buf_free(&values);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(each_batch_is_there_once_and_in_order),
        RUN(and_with_threads),
        RUN(producers_on_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

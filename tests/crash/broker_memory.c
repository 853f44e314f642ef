/* Goal: running out of memory in the broker is an answer that says "try again", and trying again does what was asked, once.
 * Method: no_memory.h. The n-th allocation fails, once, until a run meets no fault; every step of a day of a broker is tried again
 * until it is done; then the partitions hold what they must. */
#include "broker_rig.h"
#include "crash/no_memory.h"

#include <topic/groups.h>

#define TRIES 4
#define TXN CAIRN_STR("txn")

static unsigned failing;

struct batches {
    struct batch_maker plain, first, second, held;
};

static bool
may_try_again(enum kafka_err err)
{
    return err == KAFKA_REQUEST_TIMED_OUT || err == KAFKA_COORDINATOR_NOT_AVAILABLE || err == KAFKA_STORAGE_ERROR
           || err == KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
}

/* Until it is done. */
#define AGAIN(call)                                                                                                                    \
    do {                                                                                                                               \
        enum kafka_err err_ = KAFKA_REQUEST_TIMED_OUT;                                                                                 \
        for (int try_ = 0; try_ < TRIES && err_ != KAFKA_NONE; try_++) {                                                               \
            err_ = (call);                                                                                                             \
            if (err_ != KAFKA_NONE && !may_try_again(err_))                                                                            \
                fail_msg("%s: %s", #call, kafka_err_name(err_));                                                                       \
        }                                                                                                                              \
        if (err_ != KAFKA_NONE)                                                                                                        \
            fail_msg("allocation %u: %s: %s %s", failing, #call, kafka_err_name(err_), why.text);                                                   \
    } while (0)

static void
ended(void *context, enum kafka_err err)
{
    answer_came(context, &(struct produced){.err = err});
}

static enum kafka_err
commit(struct rig *rig, struct producer producer)
{
    struct answer answer;
    answer_init(&answer);
    broker_transaction_end_async(rig->broker, TXN, producer, true, ended, &answer);
    return answer_wait(&answer).err;
}

static void
make_batches(struct rig *rig, struct batches *batches)
{
    rig_batch(rig, &batches->plain, &(struct batch_spec){.count = 2, .text = "plain", .key = "k", .codec = BATCH_LZ4});
    rig_batch(rig, &batches->first, &(struct batch_spec){.count = 2, .text = "first", .producer_id = 6, .key = "k"});
    rig_batch(rig, &batches->second, &(struct batch_spec){.count = 1, .text = "second", .producer_id = 6, .sequence = 2, .key = "k"});
    rig_batch(rig, &batches->held, &(struct batch_spec){.count = 1, .text = "held", .producer_id = 1, .transactional = true, .key = "k"});
}

static void
play(struct rig *rig, struct batches *batches)
{
    struct producer producer;
    enum kafka_err errs[1];
    struct broker_why why;
    int64_t offset, time;
    const struct broker_pair pair = {.name = CAIRN_STR("cleanup.policy"), .value = CAIRN_STR("compact"), .op = PAIR_APPEND};
    const struct broker_pair size = {.name = CAIRN_STR("retention.bytes"), .value = CAIRN_STR("100000")};
    const struct topic_partition partition = {CAIRN_STR("t"), 0};
    const struct offset_commit offsets = {.topic = CAIRN_STR("t"), .offset = 3, .leader_epoch = -1, .metadata = CAIRN_STR("m")};
    AGAIN(broker_topic_configure(rig->broker, CAIRN_STR("t"), &pair, 1, false, false, &why));
    AGAIN(broker_topic_configure(rig->broker, CAIRN_STR("t"), &size, 1, false, false, &why));
    AGAIN(rig_produce_bytes(rig, "t", 0, NULL, buf_str(&batches->plain.out), NULL).err);
    AGAIN(broker_producer_init(rig->broker, TXN, 60000, (struct producer){-1, -1}, &producer));
    uint8_t *held = (uint8_t *)batches->held.out.data; /* an id that was taken and not told is lost: no matter */
    put_big(held + 43, (uint64_t)producer.id, 8);
    put_big(held + 51, (uint16_t)producer.epoch, 2);
    rig_checksum(held, batches->held.out.size);
    AGAIN(rig_produce_bytes(rig, "t", 0, NULL, buf_str(&batches->first.out), NULL).err);
    AGAIN(rig_produce_bytes(rig, "t", 0, NULL, buf_str(&batches->second.out), NULL).err);
    AGAIN(rig_produce_bytes(rig, "t", 0, NULL, buf_str(&batches->second.out), NULL).err);
    AGAIN(broker_transaction_add(rig->broker, TXN, producer, &partition, 1, errs));
    AGAIN(broker_transaction_add_group(rig->broker, TXN, producer, CAIRN_STR("g")));
    AGAIN(broker_transaction_offsets(rig->broker, TXN, producer, CAIRN_STR("g"), &offsets, 1));
    AGAIN(rig_produce_bytes(rig, "t", 0, "txn", buf_str(&batches->held.out), NULL).err);
    AGAIN(commit(rig, producer));
    broker_tick(rig->broker, os_now_us(rig->store->os));
    cairn_topic_ref *ref = NULL;
    CHECK_OK(cairn_topic_get(rig->store, 0, CAIRN_STR("t"), &ref, NULL));
    AGAIN(broker_offset_at(rig->broker, &cairn_topic_of(ref)->id, 0, 1000, &offset, &time));
    CHECK_INT(offset, 0);
    AGAIN(broker_offset_at_position(rig->broker, &cairn_topic_of(ref)->id, 0, 0, &offset));
    CHECK_INT(offset, 0);
    cairn_topic_release(ref);
}

TEST(out_of_memory_means_again)
{
    for (bool fired = true; fired;) {
        struct rig rig = {.no_background = true}; /* the simulated disk takes memory to write, and would fail too */
        struct batches batches;
        struct buf values = {0};
        memset(&batches, 0, sizeof batches);
        rig_begin(&rig, false);
        rig_topic(&rig, "t", 1, NULL, NULL);
        make_batches(&rig, &batches);
        memory_fails(++failing, false);
        play(&rig, &batches);
        fired = memory_returns();
        rig_values(&rig, "t", 0, &values);
        CHECK_STR(values.data, "plain-0 plain-1 first-0 first-1 second-0 held-0 ");
        buf_free(&values);
        batch_make_free(&batches.plain);
        batch_make_free(&batches.first);
        batch_make_free(&batches.second);
        batch_make_free(&batches.held);
        rig_end(&rig);
    }
    printf("%u allocations\n", failing - 1);
    CHECK(failing > 50);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(out_of_memory_means_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Goal: a transaction is all or nothing, its producers are fenced, and its end can be asked for again, whatever happens between.
 * Method: a broker on a simulated disk whose clock the test sets; wrong calls in every state; the store reopened in the midst. */
#include "broker_rig.h"

#include <base/json.h>
#include <topic/groups.h>

#define TXN CAIRN_STR("txn")
static const struct producer nobody = {-1, -1};

static void
ended(void *context, enum kafka_err err)
{
    struct answer *answer = context;
    answer_came(answer, &(struct produced){.err = err});
}

static enum kafka_err
end_of(struct rig *rig, struct producer producer, bool commit)
{
    struct answer answer;
    answer_init(&answer);
    broker_transaction_end_async(rig->broker, TXN, producer, commit, ended, &answer);
    return answer_wait(&answer).err;
}

static enum kafka_err
add(struct rig *rig, struct producer producer, const char *topic, uint32_t partition)
{
    const struct topic_partition one = {cairn_cstr(topic), partition};
    enum kafka_err each;
    enum kafka_err err = broker_transaction_add(rig->broker, TXN, producer, &one, 1, &each);
    CHECK_INT(err, each);
    return err;
}

static enum kafka_err
send_records(struct rig *rig, struct producer producer, const char *topic, int32_t sequence, const char *text, uint32_t count)
{
    struct batch_maker maker = {.count = 0};
    cairn_str batch = rig_batch(rig, &maker, &(struct batch_spec){.count = count, .text = text, .producer_id = producer.id + 1,
                                                                  .epoch = producer.epoch, .sequence = sequence, .transactional = true});
    struct produced result = rig_produce_bytes(rig, topic, 0, "txn", batch, NULL);
    batch_make_free(&maker);
    CHECK_INT(result.base_offset, -1);
    return result.err;
}

static struct producer
init(struct rig *rig)
{
    struct producer producer;
    CHECK_KAFKA(broker_producer_init(rig->broker, TXN, 60000, nobody, &producer), KAFKA_NONE);
    return producer;
}

static void
check_values(struct rig *rig, const char *topic, const char *expected)
{
    struct buf values = {0};
    rig_values(rig, topic, 0, &values);
    CHECK_STR(values.data, expected);
    buf_free(&values);
}

static void
begin(struct rig *rig)
{
    rig_begin(rig, true);
    rig_topic(rig, "a", 1, NULL, NULL);
    rig_topic(rig, "b", 2, NULL, NULL);
}

TEST(a_commit_is_all_and_an_abort_is_nothing)
{
    struct rig rig = {.sim = NULL};
    begin(&rig);
    struct producer producer = init(&rig);
    CHECK_INT(producer.epoch, 0);
    CHECK_KAFKA(send_records(&rig, producer, "a", 0, "early", 1), KAFKA_INVALID_TXN_STATE); /* before it was added */
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(add(&rig, producer, "b", 0), KAFKA_NONE);
    CHECK_KAFKA(add(&rig, producer, "c", 0), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    CHECK_KAFKA(send_records(&rig, producer, "a", 0, "x", 2), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "a", 0, "x", 2), KAFKA_NONE); /* again: once */
    CHECK_KAFKA(send_records(&rig, producer, "a", 3, "gap", 1), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    CHECK_KAFKA(send_records(&rig, producer, "a", 2, "y", 1), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "b", 0, "z", 1), KAFKA_NONE);
    check_values(&rig, "a", "");
    struct broker_stats stats;
    broker_stats(rig.broker, &stats);
    CHECK_INT(stats.transactions_open, 1);
    CHECK(stats.transactions_bytes > 3 * BATCH_HEAD_SIZE);
    CHECK_INT(stats.duplicates, 1);
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE);
    check_values(&rig, "a", "x-0 x-1 y-0 ");
    check_values(&rig, "b", "z-0 ");
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE); /* again */
    CHECK_KAFKA(end_of(&rig, producer, false), KAFKA_INVALID_TXN_STATE);

    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "b", 1, "not added", 1), KAFKA_INVALID_TXN_STATE);
    CHECK_KAFKA(send_records(&rig, producer, "a", 3, "gone", 4), KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, producer, false), KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, producer, false), KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_INVALID_TXN_STATE);
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "a", 7, "on", 1), KAFKA_NONE); /* the producer counts on */
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE);
    check_values(&rig, "a", "x-0 x-1 y-0 on-0 ");
    broker_stats(rig.broker, &stats);
    CHECK_INT(stats.transactions_open, 0);
    CHECK_INT(stats.transactions_bytes, 0);
    CHECK_INT(stats.records_in, 5);
    rig_end(&rig);
}

TEST(older_instances_are_fenced)
{
    struct rig rig = {.sim = NULL};
    begin(&rig);
    struct producer first = init(&rig);
    CHECK_KAFKA(add(&rig, first, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, first, "a", 0, "first", 1), KAFKA_NONE);
    struct producer second = init(&rig); /* aborts what is open */
    CHECK_INT(second.id, first.id);
    CHECK_INT(second.epoch, 1);
    CHECK_KAFKA(add(&rig, first, "a", 0), KAFKA_PRODUCER_FENCED);
    CHECK_KAFKA(send_records(&rig, first, "a", 1, "first", 1), KAFKA_INVALID_PRODUCER_EPOCH);
    CHECK_KAFKA(end_of(&rig, first, true), KAFKA_PRODUCER_FENCED);
    CHECK_KAFKA(broker_transaction_add_group(rig.broker, TXN, first, CAIRN_STR("g")), KAFKA_PRODUCER_FENCED);
    struct producer other;
    CHECK_KAFKA(broker_producer_init(rig.broker, TXN, 60000, (struct producer){first.id, 7}, &other), KAFKA_PRODUCER_FENCED);
    CHECK_KAFKA(end_of(&rig, second, true), KAFKA_INVALID_TXN_STATE); /* nothing has begun */
    CHECK_KAFKA(add(&rig, second, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, second, "a", 1, "second", 1), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER); /* a new epoch begins at 0 */
    CHECK_KAFKA(send_records(&rig, second, "a", 0, "second", 1), KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, second, true), KAFKA_NONE);
    check_values(&rig, "a", "second-0 ");

    /* bumped by the producer itself (KIP-360); the same call again has the same answer */
    CHECK_KAFKA(broker_producer_init(rig.broker, TXN, 60000, second, &other), KAFKA_NONE);
    CHECK_INT(other.epoch, 2);
    CHECK_KAFKA(broker_producer_init(rig.broker, TXN, 60000, second, &other), KAFKA_NONE);
    CHECK_INT(other.epoch, 2);
    struct producer third = init(&rig); /* but not over another instance */
    CHECK_INT(third.epoch, 3);
    CHECK_KAFKA(broker_producer_init(rig.broker, TXN, 60000, other, &other), KAFKA_PRODUCER_FENCED);
    CHECK_KAFKA(add(&rig, (struct producer){other.id + 5, 0}, "a", 0), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    CHECK_KAFKA(broker_producer_init(rig.broker, TXN, 0, nobody, &other), KAFKA_INVALID_TRANSACTION_TIMEOUT);
    CHECK_KAFKA(broker_producer_init(rig.broker, TXN, 15 * 60 * 1000 + 1, nobody, &other), KAFKA_INVALID_TRANSACTION_TIMEOUT);
    rig_end(&rig);
}

/* Epochs are used up by inits; the next producer has a new id, and the last one of the old is fenced. */
TEST(an_epoch_after_the_last_is_a_new_producer)
{
    struct rig rig = {.sim = NULL};
    begin(&rig);
    struct producer producer = init(&rig), last = producer;
    for (int i = 1; i <= 32766; i++) {
        last = producer;
        producer = init(&rig);
        if (producer.epoch != i || producer.id != last.id)
            fail_msg("epoch %d of %lld after %d inits", producer.epoch, (long long)producer.id, i);
    }
    last = producer;
    producer = init(&rig);
    CHECK(producer.id != last.id);
    CHECK_INT(producer.epoch, 0);
    CHECK_KAFKA(add(&rig, last, "a", 0), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    rig_end(&rig);
}

TEST(a_restart_in_the_midst_is_an_abort_that_the_producer_is_told_of)
{
    struct rig rig = {.sim = NULL};
    begin(&rig);
    struct producer producer = init(&rig);
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "a", 0, "lost", 1), KAFKA_NONE);
    rig_reopen(&rig);
    CHECK_KAFKA(send_records(&rig, producer, "a", 1, "more", 1), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    CHECK_KAFKA(add(&rig, producer, "b", 0), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    CHECK_KAFKA(broker_transaction_add_group(rig.broker, TXN, producer, CAIRN_STR("g")), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    CHECK_KAFKA(broker_transaction_offsets(rig.broker, TXN, producer, CAIRN_STR("g"), NULL, 0), KAFKA_ILLEGAL_GENERATION);
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    CHECK_KAFKA(end_of(&rig, producer, false), KAFKA_NONE);
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE); /* and on */
    CHECK_KAFKA(send_records(&rig, producer, "a", 2, "on", 1), KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE);
    check_values(&rig, "a", "on-0 ");

    /* what was committed is known to be, what had ended before stays ended */
    rig_reopen(&rig);
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, producer, false), KAFKA_INVALID_TXN_STATE);
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    struct producer bumped;
    rig_reopen(&rig);
    CHECK_KAFKA(broker_producer_init(rig.broker, TXN, 60000, producer, &bumped), KAFKA_NONE);
    CHECK_INT(bumped.id, producer.id);
    CHECK_INT(bumped.epoch, producer.epoch + 1);
    CHECK_KAFKA(add(&rig, bumped, "a", 0), KAFKA_NONE);
    check_values(&rig, "a", "on-0 ");
    rig_end(&rig);
}

TEST(a_transaction_that_takes_too_long_is_aborted)
{
    struct rig rig = {.sim = NULL};
    begin(&rig);
    struct producer producer = init(&rig), next;
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "a", 0, "late", 1), KAFKA_NONE);
    int64_t now = os_now_us(rig.store->os);
    broker_tick(rig.broker, now + 59 * 1000000);
    CHECK_KAFKA(send_records(&rig, producer, "a", 1, "late", 1), KAFKA_NONE);
    broker_tick(rig.broker, now + 61 * 1000000);
    CHECK_KAFKA(send_records(&rig, producer, "a", 2, "late", 1), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    CHECK_KAFKA(end_of(&rig, producer, false), KAFKA_NONE);
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    CHECK_KAFKA(broker_producer_init(rig.broker, TXN, 60000, producer, &next), KAFKA_NONE);
    CHECK_INT(next.epoch, 1);
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_PRODUCER_FENCED);
    CHECK_KAFKA(add(&rig, next, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, next, "a", 0, "on", 1), KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, next, true), KAFKA_NONE);
    check_values(&rig, "a", "on-0 ");
    rig_end(&rig);
}

static int64_t
committed(struct rig *rig, const char *group, const char *topic)
{
    char name[544];
    cairn_read_options options = {.from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD, .system = true};
    cairn_reader *reader;
    cairn_recorded event;
    struct json data;
    int64_t offset = -1;
    CHECK_OK(cairn_read_stream(rig->store, groups_offset_stream(cairn_cstr(group), cairn_cstr(topic), 0, name), &options, &reader, NULL));
    if (cairn_reader_next(reader, &event, NULL) == CAIRN_OK) {
        CHECK_OK(json_check(event.event.data, &data, NULL));
        CHECK(json_i64(json_get(data, "offset"), &offset));
    }
    cairn_reader_free(reader);
    return offset;
}

TEST(offsets_are_committed_with_the_batches_or_not_at_all)
{
    struct rig rig = {.sim = NULL};
    begin(&rig);
    struct producer producer = init(&rig);
    struct offset_commit commits[] = {{.topic = CAIRN_STR("a"), .offset = 5, .leader_epoch = -1, .expire_time_ms = -1},
                                      {.topic = CAIRN_STR("b"), .offset = 6, .leader_epoch = -1, .expire_time_ms = -1}};
    CHECK_KAFKA(broker_transaction_add_group(rig.broker, TXN, producer, CAIRN_STR("g")), KAFKA_NONE);
    CHECK_KAFKA(broker_transaction_offsets(rig.broker, TXN, producer, CAIRN_STR("h"), commits, 2), KAFKA_INVALID_TXN_STATE);
    CHECK_KAFKA(broker_transaction_offsets(rig.broker, TXN, producer, CAIRN_STR("g"), commits, 2), KAFKA_NONE);
    CHECK_INT(committed(&rig, "g", "a"), -1);
    CHECK_KAFKA(end_of(&rig, producer, false), KAFKA_NONE);
    CHECK_INT(committed(&rig, "g", "a"), -1);

    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "a", 0, "x", 1), KAFKA_NONE);
    CHECK_KAFKA(broker_transaction_add_group(rig.broker, TXN, producer, CAIRN_STR("g")), KAFKA_NONE);
    CHECK_KAFKA(broker_transaction_offsets(rig.broker, TXN, producer, CAIRN_STR("g"), commits, 2), KAFKA_NONE);
    commits[0].offset = 7; /* the newest counts */
    CHECK_KAFKA(broker_transaction_offsets(rig.broker, TXN, producer, CAIRN_STR("g"), commits, 1), KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE);
    CHECK_INT(committed(&rig, "g", "a"), 7);
    CHECK_INT(committed(&rig, "g", "b"), 6);
    check_values(&rig, "a", "x-0 ");
    rig_end(&rig);
}

TEST(what_a_transaction_holds_is_bounded)
{
    struct rig rig = {.options = {.transaction_bytes = 2000, .transactions_bytes = 3000}};
    begin(&rig);
    struct producer producer = init(&rig), other;
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "a", 0, "x", 100), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "a", 100, "x", 100), KAFKA_RECORD_LIST_TOO_LARGE);
    CHECK_KAFKA(broker_producer_init(rig.broker, CAIRN_STR("other"), 60000, nobody, &other), KAFKA_NONE);
    const struct topic_partition one = {CAIRN_STR("a"), 0};
    enum kafka_err each;
    CHECK_KAFKA(broker_transaction_add(rig.broker, CAIRN_STR("other"), other, &one, 1, &each), KAFKA_NONE);
    struct batch_maker maker = {.count = 0};
    cairn_str batch = rig_batch(&rig, &maker, &(struct batch_spec){.count = 180, .producer_id = other.id + 1, .transactional = true});
    CHECK(batch.size < 3000);
    CHECK(rig_produce_bytes(&rig, "a", 0, "other", batch, NULL).err != KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE);
    batch_make_free(&maker);
    rig_end(&rig);
}

/* What has been taken can be committed, however small a segment is: of many small batches, of large ones, of offsets with metadata that
 * takes six times its bytes in JSON, and of all together. */
TEST(what_is_held_fits_an_append)
{
    for (int kind = 0; kind < 4; kind++) {
        struct rig rig = {.segment_size_bytes = 64 << 10};
        static char metadata[1000];
        memset(metadata, 1, sizeof metadata);
        begin(&rig);
        struct producer producer = init(&rig);
        CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
        CHECK_KAFKA(broker_transaction_add_group(rig.broker, TXN, producer, CAIRN_STR("g")), KAFKA_NONE);
        uint32_t records = kind == 1 ? 700 : 1, refused = 0;
        int32_t sequence = 0, offsets = 0;
        for (int i = 0; i < 10000 && refused == 0; i++) {
            if (kind != 2) {
                enum kafka_err err = send_records(&rig, producer, "a", sequence, "x", records);
                refused += err != KAFKA_NONE;
                if (err == KAFKA_NONE)
                    sequence += (int32_t)records;
                else
                    CHECK_KAFKA(err, KAFKA_RECORD_LIST_TOO_LARGE);
            }
            if (kind >= 2) {
                const struct offset_commit commit = {.topic = CAIRN_STR("a"), .partition = (uint32_t)i, .offset = i,
                                                     .metadata = {metadata, sizeof metadata}, .expire_time_ms = -1};
                enum kafka_err err = broker_transaction_offsets(rig.broker, TXN, producer, CAIRN_STR("g"), &commit, 1);
                refused += err != KAFKA_NONE;
                offsets += err == KAFKA_NONE;
                if (err != KAFKA_NONE)
                    CHECK_KAFKA(err, KAFKA_INVALID_COMMIT_OFFSET_SIZE);
            }
        }
        CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE);
        CHECK(refused > 0);
        CHECK(kind == 2 || (uint32_t)sequence >= (kind == 1 ? 2 : kind == 0 ? 200 : 5) * records); /* but not for nothing */
        CHECK(kind < 2 || offsets >= 5);
        CHECK_INT(rig_partition(&rig, "a", 0).end, sequence);
        CHECK_INT(committed(&rig, "g", "a"), kind >= 2 ? 0 : -1);
        rig_end(&rig);
    }
}

/* Offsets are looked up among many: each of a group's partitions is held once, and known to be pending while the transaction is open. */
TEST(many_offsets_are_held)
{
    struct rig rig = {.sim = NULL};
    begin(&rig);
    struct producer producer = init(&rig);
    static struct offset_commit commits[3000];
    CHECK_KAFKA(broker_transaction_add_group(rig.broker, TXN, producer, CAIRN_STR("g")), KAFKA_NONE);
    for (uint32_t i = 0; i < 3000; i++)
        commits[i] = (struct offset_commit){.topic = i % 2 ? CAIRN_STR("a") : CAIRN_STR("b"), .partition = i / 2, .offset = i,
                                            .leader_epoch = -1, .expire_time_ms = -1};
    CHECK_KAFKA(broker_transaction_offsets(rig.broker, TXN, producer, CAIRN_STR("g"), commits, 3000), KAFKA_NONE);
    CHECK_KAFKA(broker_transaction_offsets(rig.broker, TXN, producer, CAIRN_STR("g"), commits, 3000), KAFKA_NONE); /* in their place */
    const struct offset_commit more = {.topic = CAIRN_STR("a"), .partition = 1500};
    CHECK_KAFKA(broker_transaction_offsets(rig.broker, TXN, producer, CAIRN_STR("g"), &more, 1), KAFKA_INVALID_COMMIT_OFFSET_SIZE);
    for (uint32_t i = 0; i < 1500; i++) {
        CHECK(broker_offset_pending(rig.broker, CAIRN_STR("g"), CAIRN_STR("a"), i));
        CHECK(!broker_offset_pending(rig.broker, CAIRN_STR("h"), CAIRN_STR("a"), i));
        CHECK(!broker_offset_pending(rig.broker, CAIRN_STR("g"), CAIRN_STR("c"), i));
    }
    CHECK(!broker_offset_pending(rig.broker, CAIRN_STR("g"), CAIRN_STR("a"), 1500));
    commits[1].offset = 7777; /* a/0 */
    CHECK_KAFKA(broker_transaction_offsets(rig.broker, TXN, producer, CAIRN_STR("g"), &commits[1], 1), KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE);
    CHECK(!broker_offset_pending(rig.broker, CAIRN_STR("g"), CAIRN_STR("a"), 7));
    CHECK_INT(committed(&rig, "g", "a"), 7777);
    CHECK_INT(committed(&rig, "g", "b"), 0);
    rig_end(&rig);
}

/* A topic that is deleted while its transaction is open takes its batches with it; the rest is committed. */
TEST(a_topic_that_is_gone_does_not_stop_a_commit)
{
    struct rig rig = {.sim = NULL};
    struct broker_why why;
    begin(&rig);
    struct producer producer = init(&rig);
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(add(&rig, producer, "b", 0), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "a", 0, "x", 1), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "b", 0, "y", 1), KAFKA_NONE);
    CHECK_KAFKA(broker_topic_delete(rig.broker, CAIRN_STR("a"), &why), KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE);
    check_values(&rig, "b", "y-0 ");
    rig_end(&rig);
}

/* What the log would refuse at the commit is refused when it comes, and the transaction can go on. */
TEST(a_bad_batch_is_refused_at_once)
{
    struct rig rig = {.sim = NULL};
    begin(&rig);
    struct producer producer = init(&rig);
    struct batch_maker maker = {.count = 0};
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    cairn_str batch = rig_batch(&rig, &maker, &(struct batch_spec){.count = 2, .producer_id = producer.id + 1, .transactional = true});
    uint8_t *bytes = (uint8_t *)maker.out.data;
    bytes[BATCH_HEAD_SIZE] ^= 0x02; /* the first record's length */
    rig_checksum(bytes, batch.size);
    CHECK_KAFKA(rig_produce_bytes(&rig, "a", 0, "txn", batch, NULL).err, KAFKA_INVALID_RECORD);
    CHECK_KAFKA(send_records(&rig, producer, "a", 0, "x", 1), KAFKA_NONE);
    CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE);
    check_values(&rig, "a", "x-0 ");
    batch_make_free(&maker);
    rig_end(&rig);
}

static bool
see(void *context, const struct transaction_info *info)
{
    int *seen = context;
    ++*seen;
    CHECK(cairn_str_equal(info->transactional_id, TXN));
    CHECK_STR(info->state, "Ongoing");
    CHECK_INT(info->partition_count, 1);
    CHECK(cairn_str_equal(info->partitions[0].topic, CAIRN_STR("b")));
    return true;
}

TEST(transactions_can_be_looked_at)
{
    struct rig rig = {.sim = NULL};
    int seen = 0;
    begin(&rig);
    struct producer producer = init(&rig);
    CHECK_KAFKA(add(&rig, producer, "b", 1), KAFKA_NONE);
    broker_transactions(rig.broker, see, &seen);
    CHECK_INT(seen, 1);
    rig_end(&rig);
}

/* A full disk at the commit: nothing of it is there, and the same call does it when there is room. */
TEST(a_commit_waits_for_room_on_the_disk)
{
    struct rig rig = {.sim = NULL};
    begin(&rig);
    struct producer producer = init(&rig);
    CHECK_KAFKA(add(&rig, producer, "a", 0), KAFKA_NONE);
    CHECK_KAFKA(send_records(&rig, producer, "a", 0, "x", 3), KAFKA_NONE);
    os_sim_set_space(rig.sim, 0);
    enum kafka_err err = end_of(&rig, producer, true);
    os_sim_set_space(rig.sim, UINT64_MAX);
    if (err != KAFKA_NONE) { /* there may have been room in what was written ahead */
        CHECK_KAFKA(err, KAFKA_COORDINATOR_NOT_AVAILABLE);
        check_values(&rig, "a", "");
        CHECK_KAFKA(end_of(&rig, producer, true), KAFKA_NONE);
    }
    check_values(&rig, "a", "x-0 x-1 x-2 ");
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_commit_is_all_and_an_abort_is_nothing),
        RUN(older_instances_are_fenced),
        RUN(an_epoch_after_the_last_is_a_new_producer),
        RUN(a_restart_in_the_midst_is_an_abort_that_the_producer_is_told_of),
        RUN(a_transaction_that_takes_too_long_is_aborted),
        RUN(offsets_are_committed_with_the_batches_or_not_at_all),
        RUN(what_a_transaction_holds_is_bounded),
        RUN(what_is_held_fits_an_append),
        RUN(many_offsets_are_held),
        RUN(a_topic_that_is_gone_does_not_stop_a_commit),
        RUN(a_bad_batch_is_refused_at_once),
        RUN(transactions_can_be_looked_at),
        RUN(a_commit_waits_for_room_on_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

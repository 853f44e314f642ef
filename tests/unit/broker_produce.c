/* Goal: nothing enters a partition that Kafka would not take, and what is refused is refused with Kafka's code; each batch of an
 * idempotent producer is there once, in its order.
 * Method: good batches damaged in one way each; sequences in every order; reopening; a disk without room. */
#include "broker_rig.h"

/* ---- what is no batch -------------------------------------------------------------------------------------------------------- */

struct damage {
    const char *what;
    size_t at, size;   /* bytes of the head that are replaced */
    uint64_t value;
    bool checksum;     /* made right again */
    enum kafka_err err;
};

static const struct damage damages[] = {
    {"magic 1", 16, 1, 1, true, KAFKA_INVALID_RECORD},
    {"magic 3", 16, 1, 3, true, KAFKA_INVALID_RECORD},
    {"checksum", 17, 4, 0, false, KAFKA_CORRUPT_MESSAGE},
    {"a time that the checksum does not cover", 27, 8, 5, false, KAFKA_CORRUPT_MESSAGE},
    {"control", 21, 2, BATCH_CONTROL, true, KAFKA_INVALID_RECORD},
    {"log-append time by the producer", 21, 2, BATCH_LOG_APPEND_TIME, true, KAFKA_INVALID_TIMESTAMP},
    {"transactional, and no producer", 21, 2, BATCH_TRANSACTIONAL, true, KAFKA_INVALID_RECORD},
    {"base offset", 0, 8, 1, false, KAFKA_INVALID_RECORD},
    {"last offset delta", 23, 4, 5, true, KAFKA_INVALID_RECORD},
    {"negative last offset delta", 23, 4, 0xFFFFFFFF, true, KAFKA_INVALID_RECORD},
    {"too few records said", 57, 4, 1, true, KAFKA_INVALID_RECORD},
    {"no records said", 57, 4, 0, true, KAFKA_INVALID_RECORD},
    {"negative number of records", 57, 4, 0x80000000, true, KAFKA_INVALID_RECORD},
    {"a producer without a sequence", 43, 8, 7, true, KAFKA_INVALID_RECORD},
    {"length too large", 8, 4, 1000000, false, KAFKA_CORRUPT_MESSAGE},
    {"length negative", 8, 4, 0xFFFFFFFF, false, KAFKA_INVALID_RECORD},
    {"length below a head", 8, 4, 10, false, KAFKA_INVALID_RECORD},
    {"a later time", 35, 8, 4102444800000, true, KAFKA_INVALID_TIMESTAMP}, /* 2100 */
    {"a record's length", BATCH_HEAD_SIZE, 1, 2, true, KAFKA_INVALID_RECORD},
};

TEST(what_is_no_batch_is_refused)
{
    struct rig rig = {.sim = NULL};
    struct batch_maker maker = {.count = 0};
    char message[200];
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, NULL, NULL);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const struct damage *damage = &damages[i];
        cairn_str batch = rig_batch(&rig, &maker, &(struct batch_spec){.count = 3});
        uint8_t *bytes = (uint8_t *)maker.out.data;
        put_big(bytes + damage->at, damage->value, damage->size);
        if (damage->checksum)
            rig_checksum(bytes, batch.size);
        struct produced result = rig_produce_bytes(&rig, "t", 0, NULL, batch, message);
        if (result.err != damage->err)
            fail_msg("%s: %s (%s)", damage->what, kafka_err_name(result.err), message);
        CHECK(message[0] != '\0');
        CHECK_INT(result.base_offset, -1);
    }
    cairn_str batch = rig_batch(&rig, &maker, &(struct batch_spec){.count = 3});
    for (size_t size = 0; size < batch.size; size++) /* cut anywhere */
        CHECK(rig_produce_bytes(&rig, "t", 0, NULL, (cairn_str){batch.data, size}, NULL).err != KAFKA_NONE);
    CHECK_INT(rig_partition(&rig, "t", 0).end, 0);
    CHECK_KAFKA(rig_produce_bytes(&rig, "t", 0, NULL, batch, NULL).err, KAFKA_NONE);
    batch_make_free(&maker);
    rig_end(&rig);
}

static enum kafka_err
check_value(void *context, cairn_str subject, cairn_str value, char *ret_reason, size_t reason_size)
{
    int *calls = context;
    ++*calls;
    CHECK(cairn_str_equal(subject, CAIRN_STR("s")));
    snprintf(ret_reason, reason_size, "not good");
    return value.data[0] == 'g' ? KAFKA_NONE : KAFKA_INVALID_RECORD;
}

TEST(settings_decide_what_is_taken)
{
    int calls = 0;
    char message[200];
    struct rig rig = {.options = {.validate = check_value, .validate_context = &calls}};
    struct batch_maker maker = {.count = 0};
    rig_begin(&rig, true);
    int64_t now = os_now_us(rig.store->os) / 1000;
    rig_topic(&rig, "small", 1, "max.message.bytes", "200");
    CHECK_KAFKA(rig_produce(&rig, "small", 0, &(struct batch_spec){.count = 3}).err, KAFKA_NONE);
    CHECK_KAFKA(rig_produce(&rig, "small", 0, &(struct batch_spec){.count = 30}).err, KAFKA_MESSAGE_TOO_LARGE);
    rig_topic(&rig, "compact", 1, "cleanup.policy", "compact");
    struct produced keyless = rig_produce(&rig, "compact", 0, &(struct batch_spec){.count = 3});
    CHECK_KAFKA(keyless.err, KAFKA_INVALID_RECORD);
    CHECK_INT(keyless.bad_count, 3); /* each is told */
    CHECK_KAFKA(rig_produce(&rig, "compact", 0, &(struct batch_spec){.count = 1, .key = "k"}).err, KAFKA_NONE);
    rig_topic(&rig, "recent", 1, "message.timestamp.before.max.ms", "60000");
    CHECK_KAFKA(rig_produce(&rig, "recent", 0, &(struct batch_spec){.count = 1, .timestamp_ms = now - 70000}).err, KAFKA_INVALID_TIMESTAMP);
    CHECK_KAFKA(rig_produce(&rig, "recent", 0, &(struct batch_spec){.count = 1, .timestamp_ms = now - 50000}).err, KAFKA_NONE);
    CHECK_KAFKA(rig_produce(&rig, "recent", 0, &(struct batch_spec){.count = 1, .timestamp_ms = now + 3700000}).err, KAFKA_INVALID_TIMESTAMP);
    rig_topic(&rig, "valid", 1, "cairn.value.subject", "s");
    CHECK_KAFKA(rig_produce(&rig, "valid", 0, &(struct batch_spec){.count = 2, .text = "good"}).err, KAFKA_NONE);
    CHECK_INT(calls, 2);
    cairn_str batch = rig_batch(&rig, &maker, &(struct batch_spec){.count = 2, .text = "bad", .codec = BATCH_LZ4});
    CHECK_KAFKA(rig_produce_bytes(&rig, "valid", 0, NULL, batch, message).err, KAFKA_INVALID_RECORD);
    CHECK_STR(message, "not good");
    batch_make_free(&maker);
    rig_end(&rig);
}

TEST(log_append_time_is_stamped_on_a_copy)
{
    struct rig rig = {.sim = NULL};
    struct batch_maker maker = {.count = 0};
    cairn_topic_ref *ref;
    cairn_partition_reader *reader;
    cairn_partition_item item;
    struct batch_head head;
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, "message.timestamp.type", "LogAppendTime");
    cairn_str batch = rig_batch(&rig, &maker, &(struct batch_spec){.count = 2, .timestamp_ms = 5, .codec = BATCH_SNAPPY});
    char *before = malloc(batch.size);
    memcpy(before, batch.data, batch.size);
    struct produced result = rig_produce_bytes(&rig, "t", 0, NULL, batch, NULL);
    CHECK_KAFKA(result.err, KAFKA_NONE);
    CHECK(result.log_append_time_ms > 1000000);
    CHECK(memcmp(before, batch.data, batch.size) == 0);
    CHECK_OK(cairn_topic_get(rig.store, 0, CAIRN_STR("t"), &ref, NULL));
    CHECK_OK(cairn_read_partition(rig.store, 0, &cairn_topic_of(ref)->id, 0, 0, &reader, NULL));
    CHECK_OK(cairn_partition_next(reader, &item, NULL));
    CHECK(batch_head_read(item.batch, &head) == NULL);
    CHECK(batch_crc_holds(item.batch));
    CHECK(head.attributes & BATCH_LOG_APPEND_TIME);
    CHECK_INT(head.max_timestamp_ms, result.log_append_time_ms);
    int64_t offset, time;
    CHECK_KAFKA(broker_offset_at(rig.broker, &cairn_topic_of(ref)->id, 0, 1000, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, 0);
    CHECK_INT(time, result.log_append_time_ms);
    cairn_partition_reader_free(reader);
    cairn_topic_release(ref);
    free(before);
    batch_make_free(&maker);
    rig_end(&rig);
}

/* ---- sequences --------------------------------------------------------------------------------------------------------------- */

static struct produced
send_batch(struct rig *rig, int64_t id, int16_t epoch, int32_t sequence, uint32_t count, const char *text)
{
    return rig_produce(rig, "t", 0, &(struct batch_spec){.count = count, .text = text, .producer_id = id + 1, .epoch = epoch,
                                                         .sequence = sequence});
}

/* The same with the broker that sent them, and with one that has to ask the log. */
static void
check_sequences(bool reopen)
{
    struct rig rig = {.sim = NULL};
    struct producer producer;
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, NULL, NULL);
    CHECK_KAFKA(broker_producer_init(rig.broker, CAIRN_STR(""), 0, (struct producer){-1, -1}, &producer), KAFKA_NONE);
    int64_t id = producer.id;
    for (int i = 0; i < 7; i++)
        CHECK_INT(send_batch(&rig, id, 0, 2 * i, 2, "v").base_offset, 2 * i);
    if (reopen)
        rig_reopen(&rig);
    for (int i = 2; i < 7; i++) /* the last five are known */
        CHECK_INT(send_batch(&rig, id, 0, 2 * i, 2, "v").base_offset, 2 * i);
    CHECK_KAFKA(send_batch(&rig, id, 0, 2, 2, "v").err, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    CHECK_KAFKA(send_batch(&rig, id, 0, 12, 3, "v").err, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER); /* not the same batch */
    CHECK_KAFKA(send_batch(&rig, id, 0, 15, 1, "v").err, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    CHECK_KAFKA(send_batch(&rig, id, 1, 14, 1, "v").err, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER); /* a new epoch begins at 0 */
    CHECK_INT(send_batch(&rig, id, 1, 0, 1, "w").base_offset, 14);
    CHECK_KAFKA(send_batch(&rig, id, 0, 14, 1, "v").err, KAFKA_INVALID_PRODUCER_EPOCH);
    if (reopen)
        rig_reopen(&rig);
    CHECK_INT(send_batch(&rig, id, 1, 1, 1, "w").base_offset, 15);
    CHECK_INT(send_batch(&rig, id, 1, 0, 1, "w").base_offset, 14);
    CHECK_KAFKA(send_batch(&rig, id, 0, 0, 1, "v").err, KAFKA_INVALID_PRODUCER_EPOCH);
    CHECK_INT(rig_partition(&rig, "t", 0).end, 16);
    struct broker_stats stats;
    broker_stats(rig.broker, &stats);
    CHECK(reopen || stats.duplicates == 6);
    CHECK(reopen || stats.out_of_order == 4);
    struct producer next;
    CHECK_KAFKA(broker_producer_init(rig.broker, CAIRN_STR(""), 0, (struct producer){-1, -1}, &next), KAFKA_NONE);
    CHECK(next.id > id);
    rig_end(&rig);
}

TEST(a_producers_batches_are_there_once_and_in_order)
{
    check_sequences(false);
}

TEST(sequences_are_known_after_a_restart)
{
    check_sequences(true);
}

TEST(a_producer_that_is_not_known_begins_anywhere)
{
    struct rig rig = {.sim = NULL};
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, NULL, NULL);
    CHECK_KAFKA(send_batch(&rig, 500, 3, 77, 1, "v").err, KAFKA_NONE);
    CHECK_KAFKA(send_batch(&rig, 500, 3, 79, 1, "v").err, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    CHECK_KAFKA(send_batch(&rig, 500, 3, 78, 1, "v").err, KAFKA_NONE);
    /* after 2^31 - 1 comes 0 */
    CHECK_KAFKA(send_batch(&rig, 501, 0, INT32_MAX - 1, 4, "v").err, KAFKA_NONE);
    CHECK_KAFKA(send_batch(&rig, 501, 0, 2, 1, "v").err, KAFKA_NONE);
    CHECK_INT(send_batch(&rig, 501, 0, INT32_MAX - 1, 4, "v").base_offset, 2);
    rig_reopen(&rig);
    CHECK_INT(send_batch(&rig, 501, 0, INT32_MAX - 1, 4, "v").base_offset, 2);
    CHECK_KAFKA(send_batch(&rig, 501, 0, 3, 1, "v").err, KAFKA_NONE);
    rig_end(&rig);
}

/* Many more producers than are kept in memory: those that were left out are as well known. */
TEST(producers_that_are_forgotten_are_read_from_the_log)
{
    struct rig rig = {.options = {.producers_max = 4}};
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, NULL, NULL);
    int64_t ids[20], offsets[20];
    for (int i = 0; i < 20; i++) {
        struct producer producer;
        CHECK_KAFKA(broker_producer_init(rig.broker, CAIRN_STR(""), 0, (struct producer){-1, -1}, &producer), KAFKA_NONE);
        ids[i] = producer.id;
        offsets[i] = send_batch(&rig, ids[i], 0, 0, 1, "v").base_offset;
    }
    for (int i = 0; i < 20; i++) {
        CHECK_INT(send_batch(&rig, ids[i], 0, 0, 1, "v").base_offset, offsets[i]);
        CHECK_KAFKA(send_batch(&rig, ids[i], 0, 2, 1, "v").err, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
        CHECK_KAFKA(send_batch(&rig, ids[i], 0, 1, 1, "v").err, KAFKA_NONE);
    }
    CHECK_INT(rig_partition(&rig, "t", 0).end, 40);
    rig_end(&rig);
}

/* A disk without room takes back what had its place: the producer's next try finds its sequence where it was. */
TEST(what_a_full_disk_takes_back_can_be_sent_again)
{
    struct rig rig = {.sim = NULL};
    char text[48];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, NULL, NULL);
    int32_t sequence = 0;
    bool refused = false;
    os_sim_set_space(rig.sim, 1 << 20);
    for (int i = 0; i < 1000 && !refused; i++) { /* until there is no room */
        struct produced result = send_batch(&rig, 9, 0, sequence, 1000, text);
        refused = result.err != KAFKA_NONE;
        if (refused)
            CHECK_KAFKA(result.err, KAFKA_STORAGE_ERROR);
        else
            sequence += 1000;
    }
    CHECK(refused);
    CHECK_KAFKA(send_batch(&rig, 9, 0, sequence + 1000, 1000, text).err, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    struct producer producer;
    os_sim_set_space(rig.sim, 0);
    for (int64_t other = 100; send_batch(&rig, other, 0, 0, 1, "x").err == KAFKA_NONE; other++) /* up to the last byte */
        CHECK(other < 100000);
    CHECK_KAFKA(broker_producer_init(rig.broker, CAIRN_STR(""), 0, (struct producer){-1, -1}, &producer),
                KAFKA_COORDINATOR_LOAD_IN_PROGRESS); /* of those to try again upon, what a producer without transactions knows */
    os_sim_set_space(rig.sim, UINT64_MAX);
    CHECK_INT(send_batch(&rig, 9, 0, sequence, 1000, text).base_offset, sequence);
    CHECK_INT(send_batch(&rig, 9, 0, sequence, 1000, text).base_offset, sequence);
    CHECK_INT(rig_partition(&rig, "t", 0).end, sequence + 1000);
    rig_end(&rig);
}

TEST(several_batches_of_a_producer_are_one)
{
    struct rig rig = {.sim = NULL};
    struct batch_maker maker = {.count = 0};
    struct buf both = {0}, mixed = {0};
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, NULL, NULL);
    buf_put_str(&both, rig_batch(&rig, &maker, &(struct batch_spec){.count = 2, .producer_id = 8, .sequence = 0}));
    buf_put_str(&both, rig_batch(&rig, &maker, &(struct batch_spec){.count = 3, .producer_id = 8, .sequence = 2}));
    CHECK_INT(rig_produce_bytes(&rig, "t", 0, NULL, buf_str(&both), NULL).base_offset, 0);
    CHECK_INT(rig_produce_bytes(&rig, "t", 0, NULL, buf_str(&both), NULL).base_offset, 0);
    CHECK_INT(rig_partition(&rig, "t", 0).end, 5);
    CHECK_INT(send_batch(&rig, 7, 0, 2, 3, "v").base_offset, 2); /* each is known by itself */
    buf_put_str(&mixed, rig_batch(&rig, &maker, &(struct batch_spec){.count = 1, .producer_id = 8, .sequence = 5}));
    buf_put_str(&mixed, rig_batch(&rig, &maker, &(struct batch_spec){.count = 1, .producer_id = 9, .sequence = 0}));
    CHECK_KAFKA(rig_produce_bytes(&rig, "t", 0, NULL, buf_str(&mixed), NULL).err, KAFKA_INVALID_RECORD);
    CHECK_INT(rig_partition(&rig, "t", 0).end, 5);
    buf_free(&both);
    buf_free(&mixed);
    batch_make_free(&maker);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(what_is_no_batch_is_refused),
        RUN(settings_decide_what_is_taken),
        RUN(log_append_time_is_stamped_on_a_copy),
        RUN(a_producers_batches_are_there_once_and_in_order),
        RUN(sequences_are_known_after_a_restart),
        RUN(a_producer_that_is_not_known_begins_anywhere),
        RUN(producers_that_are_forgotten_are_read_from_the_log),
        RUN(what_a_full_disk_takes_back_can_be_sent_again),
        RUN(several_batches_of_a_producer_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

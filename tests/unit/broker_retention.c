/* Goal: retention takes what is too old or too much from the beginning of partitions, and nothing else.
 * Method: a clock that the test sets; batches at known times and of known sizes; ticks; what is left. */
#include "broker_rig.h"

#include <cairn/admin.h>

#define SECOND INT64_C(1000000)

TEST(what_is_too_old_goes)
{
    struct rig rig = {.sim = NULL};
    struct buf values = {0};
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 2, "retention.ms", "100000");
    rig_topic(&rig, "forever", 1, NULL, NULL);
    int64_t begin = os_now_us(rig.store->os);
    for (int i = 0; i < 10; i++) { /* one in ten seconds */
        char text[8];
        snprintf(text, sizeof text, "%d", i);
        os_sim_set_time(rig.sim, begin + i * 10 * SECOND);
        /* the producer's clock says otherwise, and does not count */
        CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 1, .text = text, .timestamp_ms = 1000}).err, KAFKA_NONE);
        CHECK_KAFKA(rig_produce(&rig, "forever", 0, &(struct batch_spec){.count = 1, .text = text}).err, KAFKA_NONE);
    }
    broker_tick(rig.broker, begin + 99 * SECOND);
    CHECK_INT(rig_partition(&rig, "t", 0).start, 0);
    broker_tick(rig.broker, begin + 135 * SECOND); /* older than 35: 0, 10, 20, 30 */
    CHECK_INT(rig_partition(&rig, "t", 0).start, 4);
    rig_values(&rig, "t", 0, &values);
    CHECK_STR(values.data, "4-0 5-0 6-0 7-0 8-0 9-0 ");
    rig_reopen(&rig);
    CHECK_INT(rig_partition(&rig, "t", 0).start, 4);
    broker_tick(rig.broker, begin + 1000 * SECOND);
    CHECK_INT(rig_partition(&rig, "t", 0).start, 10);
    CHECK_INT(rig_partition(&rig, "t", 0).end, 10);
    CHECK_INT(rig_partition(&rig, "t", 1).start, 0);
    CHECK_INT(rig_partition(&rig, "forever", 0).start, 0);
    CHECK_INT(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 1}).base_offset, 10);
    buf_free(&values);
    rig_end(&rig);
}

TEST(what_is_too_much_goes)
{
    struct rig rig = {.sim = NULL};
    struct broker_why why;
    rig_begin(&rig, true);
    struct batch_maker maker = {.count = 0};
    size_t size = rig_batch(&rig, &maker, &(struct batch_spec){.count = 5}).size;
    char limit[32];
    snprintf(limit, sizeof limit, "%zu", 10 * size + 1);
    rig_topic(&rig, "t", 1, "retention.bytes", limit);
    for (int i = 1; i <= 100; i++) {
        CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 5}).err, KAFKA_NONE);
        broker_tick(rig.broker, os_now_us(rig.store->os));
        /* as many batches as reach the limit: eleven */
        CHECK_INT(rig_partition(&rig, "t", 0).start, i <= 11 ? 0 : 5 * (i - 11));
    }
    rig_reopen(&rig);
    CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 5}).err, KAFKA_NONE);
    broker_tick(rig.broker, os_now_us(rig.store->os));
    CHECK_INT(rig_partition(&rig, "t", 0).start, 5 * 90);
    uint64_t low; /* what is deleted by hand counts no more */
    CHECK_KAFKA(broker_delete_records(rig.broker, CAIRN_STR("t"), 0, 5 * 95, &low, &why), KAFKA_NONE);
    for (int i = 0; i < 5; i++)
        CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 5}).err, KAFKA_NONE);
    broker_tick(rig.broker, os_now_us(rig.store->os));
    CHECK_INT(rig_partition(&rig, "t", 0).start, 5 * 95);
    CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 5}).err, KAFKA_NONE);
    broker_tick(rig.broker, os_now_us(rig.store->os));
    CHECK_INT(rig_partition(&rig, "t", 0).start, 5 * 96);
    batch_make_free(&maker);
    rig_end(&rig);
}

/* Both limits at once: whichever takes more. */
TEST(what_is_too_old_or_too_much_goes)
{
    struct rig rig = {.sim = NULL};
    struct broker_why why;
    rig_begin(&rig, true);
    struct batch_maker maker = {.count = 0};
    size_t size = rig_batch(&rig, &maker, &(struct batch_spec){.count = 1}).size;
    char limit[32];
    snprintf(limit, sizeof limit, "%zu", 10 * size);
    rig_topic(&rig, "t", 1, "retention.bytes", limit);
    const struct broker_pair age = {.name = CAIRN_STR("retention.ms"), .value = CAIRN_STR("20000")};
    CHECK_KAFKA(broker_topic_configure(rig.broker, CAIRN_STR("t"), &age, 1, false, false, &why), KAFKA_NONE);
    int64_t begin = os_now_us(rig.store->os);
    for (int i = 0; i < 60; i++) { /* first five a second: ten are left by size; then one in four seconds: five by age */
        int64_t at = i < 30 ? i * SECOND / 5 : (6 + 4 * (i - 30)) * SECOND;
        os_sim_set_time(rig.sim, begin + at);
        CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 1}).err, KAFKA_NONE);
        broker_tick(rig.broker, begin + at + SECOND / 2);
        uint64_t left = (uint64_t)i + 1 - rig_partition(&rig, "t", 0).start;
        if (i >= 10 && i < 30)
            CHECK_INT(left, 10);
        if (i >= 40)
            CHECK_INT(left, 5);
    }
    batch_make_free(&maker);
    rig_end(&rig);
}

/* A setting that comes later holds for what is there; compaction alone keeps what is old. */
TEST(limits_are_those_of_now)
{
    struct rig rig = {.sim = NULL};
    struct broker_why why;
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, "cleanup.policy", "compact");
    int64_t begin = os_now_us(rig.store->os);
    CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 5, .key = "k"}).err, KAFKA_NONE);
    const struct broker_pair age = {.name = CAIRN_STR("retention.ms"), .value = CAIRN_STR("1000")};
    CHECK_KAFKA(broker_topic_configure(rig.broker, CAIRN_STR("t"), &age, 1, false, false, &why), KAFKA_NONE);
    broker_tick(rig.broker, begin + 10 * SECOND);
    CHECK_INT(rig_partition(&rig, "t", 0).start, 0);
    uint64_t low;
    CHECK_KAFKA(broker_delete_records(rig.broker, CAIRN_STR("t"), 0, -1, &low, &why), KAFKA_POLICY_VIOLATION);
    CHECK_INT(rig_partition(&rig, "t", 0).start, 0);
    const struct broker_pair both = {.name = CAIRN_STR("cleanup.policy"), .value = CAIRN_STR("compact,delete")};
    CHECK_KAFKA(broker_topic_configure(rig.broker, CAIRN_STR("t"), &both, 1, false, false, &why), KAFKA_NONE);
    broker_tick(rig.broker, begin + 10 * SECOND);
    CHECK_INT(rig_partition(&rig, "t", 0).start, 5);
    rig_end(&rig);
}

/* Many batches in one append. */
static void
produce_many(struct rig *rig, const char *topic, uint32_t partition, cairn_str batch, int count)
{
    struct buf many = {0};
    for (int left = count; left > 0; left -= 1000) {
        buf_clear(&many);
        for (int i = 0; i < 1000 && i < left; i++)
            buf_put_str(&many, batch);
        CHECK_KAFKA(rig_produce_bytes(rig, topic, partition, NULL, buf_str(&many), NULL).err, KAFKA_NONE);
    }
    buf_free(&many);
}

/* A partition to which more comes between ticks than one tick reads is trimmed all the same, and so are all others. */
TEST(what_is_always_behind_stops_nobody)
{
    struct rig rig = {.sim = NULL};
    rig_begin(&rig, true);
    struct batch_maker maker = {.count = 0};
    cairn_str batch = rig_batch(&rig, &maker, &(struct batch_spec){.count = 1});
    char limit[32];
    snprintf(limit, sizeof limit, "%zu", 10 * batch.size);
    static const char *const names[] = {"a", "m", "z"};
    for (int i = 0; i < 3; i++) {
        rig_topic(&rig, names[i], 3, "retention.bytes", limit);
        produce_many(&rig, names[i], 0, batch, 20);
        produce_many(&rig, names[i], 2, batch, 20);
    }
    uint64_t before = 0;
    for (int tick = 0; tick < 8; tick++) {
        produce_many(&rig, "m", 1, batch, 25000);
        broker_tick(rig.broker, os_now_us(rig.store->os));
        CHECK(tick % 3 || rig_partition(&rig, "m", 1).start > before);
        before = rig_partition(&rig, "m", 1).start;
    }
    for (int i = 0; i < 3; i++) {
        CHECK_INT(rig_partition(&rig, names[i], 0).start, 10);
        CHECK_INT(rig_partition(&rig, names[i], 2).start, 10);
    }
    for (int tick = 0; tick < 30; tick++)
        broker_tick(rig.broker, os_now_us(rig.store->os));
    CHECK_INT(rig_partition(&rig, "m", 1).start, rig_partition(&rig, "m", 1).end - 10);
    batch_make_free(&maker);
    rig_end(&rig);
}

/* Of large batches only the head is read, and counted whole. */
TEST(large_batches_are_counted_whole)
{
    struct rig rig = {.sim = NULL};
    rig_begin(&rig, false); /* where a file has a descriptor */
    struct batch_maker maker = {.count = 0};
    cairn_str batch = rig_batch(&rig, &maker, &(struct batch_spec){.count = 2000});
    CHECK(batch.size > 20000);
    char limit[32];
    snprintf(limit, sizeof limit, "%zu", 10 * batch.size);
    rig_topic(&rig, "t", 1, "retention.bytes", limit);
    for (int i = 1; i <= 30; i++) {
        produce_many(&rig, "t", 0, batch, 2);
        broker_tick(rig.broker, os_now_us(rig.store->os));
        CHECK_INT(rig_partition(&rig, "t", 0).start, i <= 5 ? 0 : 2000 * (2 * i - 10));
    }
    batch_make_free(&maker);
    rig_end(&rig);
}

/* What compaction has taken out of batches that were counted is not there any more. */
TEST(what_is_scavenged_counts_no_more)
{
    struct rig rig = {.segment_size_bytes = 64 << 10};
    struct broker_why why;
    cairn_scavenge_report report;
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, "cleanup.policy", "compact,delete");
    const struct broker_pair size = {.name = CAIRN_STR("retention.bytes"), .value = CAIRN_STR("250000")};
    CHECK_KAFKA(broker_topic_configure(rig.broker, CAIRN_STR("t"), &size, 1, false, false, &why), KAFKA_NONE);
    for (int i = 0; i < 60; i++) { /* some 220 KB, of which as good as nothing is left */
        char key[24];
        snprintf(key, sizeof key, "kept-%d", i);
        CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 1, .key = key}).err, KAFKA_NONE);
        CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 150, .key = "replaced"}).err, KAFKA_NONE);
    }
    broker_tick(rig.broker, os_now_us(rig.store->os));
    CHECK_INT(rig_partition(&rig, "t", 0).start, 0);
    CHECK_OK(cairn_maintain(rig.store, NULL));
    CHECK_OK(cairn_scavenge(rig.store, NULL, NULL, &report, NULL));
    CHECK(report.events_removed > 5000);
    for (int i = 0; i < 30; i++) {
        CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 150, .key = "replaced"}).err, KAFKA_NONE);
        broker_tick(rig.broker, os_now_us(rig.store->os));
    }
    CHECK_INT(rig_partition(&rig, "t", 0).start, 0); /* all that there is has less than the limit */
    rig_end(&rig);
}

/* What streams' retention has hidden since it was counted does not push out what can be read. */
TEST(what_is_hidden_counts_no_more)
{
    struct rig rig = {.sim = NULL};
    static char text[1000];
    cairn_at at;
    memset(text, 'x', sizeof text);
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, "retention.bytes", "10000");
    const cairn_event event = {.type = CAIRN_STR("E"), .data = {text, sizeof text}};
    for (int i = 0; i < 9; i++)
        CHECK_OK(cairn_append(rig.store, 0, CAIRN_STR("t-a"), CAIRN_ANY, &event, 1, &at, NULL));
    for (int i = 0; i < 700; i++)
        broker_tick(rig.broker, os_now_us(rig.store->os));
    CHECK_OK(cairn_retention_set(rig.store, 0, CAIRN_STR("t-a"), &(cairn_retention){.truncate_before = 9}, NULL));
    for (int i = 0; i < 30; i++) {
        CHECK_OK(cairn_append(rig.store, 0, CAIRN_STR("t-b"), CAIRN_ANY, &event, 1, &at, NULL));
        broker_tick(rig.broker, os_now_us(rig.store->os));
        broker_tick(rig.broker, os_now_us(rig.store->os));
        uint64_t left = rig_partition(&rig, "t", 0).end - rig_partition(&rig, "t", 0).start;
        CHECK(i < 10 || left == 10);
        CHECK(i >= 10 || rig_partition(&rig, "t", 0).start <= 9);
    }
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(what_is_too_old_goes),
        RUN(what_is_too_much_goes),
        RUN(what_is_too_old_or_too_much_goes),
        RUN(limits_are_those_of_now),
        RUN(what_is_always_behind_stops_nobody),
        RUN(large_batches_are_counted_whole),
        RUN(what_is_scavenged_counts_no_more),
        RUN(what_is_hidden_counts_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

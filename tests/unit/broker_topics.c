/* Goal: topics can be made, changed and deleted, and hold what is produced to them, by what the broker's header says.
 * Method: a broker on a simulated disk, one call after the other, and what the store has of them. */
#include "broker_rig.h"

#include <stdatomic.h>

TEST(topics_are_made_listed_and_deleted)
{
    struct rig rig = {.sim = NULL};
    struct broker_why why;
    rig_begin(&rig, true);
    rig_topic(&rig, "my-orders", 3, "retention.ms", "1000");
    const struct broker_topic_spec again = {.name = CAIRN_STR("my-orders"), .partitions = 1};
    CHECK_KAFKA(broker_topic_create(rig.broker, &again, false, NULL, &why), KAFKA_TOPIC_ALREADY_EXISTS);
    const struct broker_topic_spec bad = {.name = CAIRN_STR("my orders"), .partitions = 1};
    CHECK_KAFKA(broker_topic_create(rig.broker, &bad, false, NULL, &why), KAFKA_INVALID_TOPIC_EXCEPTION);
    const struct broker_topic_spec none = {.name = CAIRN_STR("none"), .partitions = 0};
    CHECK_KAFKA(broker_topic_create(rig.broker, &none, false, NULL, &why), KAFKA_INVALID_PARTITIONS);
    const struct broker_topic_spec only = {.name = CAIRN_STR("only"), .partitions = -1};
    CHECK_KAFKA(broker_topic_create(rig.broker, &only, true, NULL, &why), KAFKA_NONE);
    cairn_topic_ref *ref;
    CHECK_INT(cairn_topic_get(rig.store, 0, CAIRN_STR("only"), &ref, NULL), CAIRN_E_NOTFOUND);
    CHECK_OK(cairn_topic_get(rig.store, 0, CAIRN_STR("my-orders"), &ref, NULL));
    CHECK_INT(cairn_topic_of(ref)->partitions, 3);
    CHECK(cairn_str_equal(cairn_topic_of(ref)->category, CAIRN_STR("my~orders")));
    bool by_default;
    CHECK(cairn_str_equal(broker_setting_get(rig.broker, cairn_topic_of(ref), "retention.ms", &by_default), CAIRN_STR("1000")));
    CHECK(!by_default);
    CHECK(cairn_str_equal(broker_setting_get(rig.broker, cairn_topic_of(ref), "retention.bytes", &by_default), CAIRN_STR("-1")));
    CHECK(by_default);
    cairn_topic_release(ref);

    CHECK_KAFKA(broker_topic_grow(rig.broker, CAIRN_STR("my-orders"), 3, false, &why), KAFKA_INVALID_PARTITIONS);
    CHECK_KAFKA(broker_topic_grow(rig.broker, CAIRN_STR("my-orders"), 5, false, &why), KAFKA_NONE);
    CHECK_INT(rig_partition(&rig, "my-orders", 4).end, 0);
    CHECK_KAFKA(broker_topic_delete(rig.broker, CAIRN_STR("my-orders"), &why), KAFKA_NONE);
    CHECK_KAFKA(broker_topic_delete(rig.broker, CAIRN_STR("my-orders"), &why), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    rig_end(&rig);
}

/* Delete the topic by the id that is set, again and again. */
struct deleter {
    struct rig *rig;
    pthread_mutex_t lock;
    cairn_uuid id;
    atomic_bool stop;
};

static void *
delete_by_id(void *context)
{
    struct deleter *deleter = context;
    while (!atomic_load(&deleter->stop)) {
        struct broker_why why;
        pthread_mutex_lock(&deleter->lock);
        cairn_uuid id = deleter->id;
        pthread_mutex_unlock(&deleter->lock);
        enum kafka_err err = broker_topic_delete_id(deleter->rig->broker, &id, &why);
        CHECK(err == KAFKA_NONE || err == KAFKA_UNKNOWN_TOPIC_ID);
    }
    return NULL;
}

/* Goal: deleting by id never takes another topic of the same name. Method: one thread deletes by the id of a topic that this one
 * deletes too, and at once makes another of that name: which has to be there. */
TEST(deleting_by_id_takes_that_one_only)
{
    struct rig rig = {.sim = NULL};
    struct broker_why why;
    struct deleter deleter = {.rig = &rig, .lock = PTHREAD_MUTEX_INITIALIZER};
    const struct broker_topic_spec spec = {.name = CAIRN_STR("t"), .partitions = 1};
    pthread_t thread;
    rig_begin(&rig, false);
    CHECK_INT(pthread_create(&thread, NULL, delete_by_id, &deleter), 0);
    for (int i = 0; i < 300; i++) {
        cairn_topic_ref *ref;
        CHECK_KAFKA(broker_topic_create(rig.broker, &spec, false, &ref, &why), KAFKA_NONE);
        pthread_mutex_lock(&deleter.lock);
        deleter.id = cairn_topic_of(ref)->id;
        pthread_mutex_unlock(&deleter.lock);
        cairn_topic_release(ref);
        (void)broker_topic_delete(rig.broker, spec.name, &why); /* one of the two */
        CHECK_KAFKA(broker_topic_create(rig.broker, &spec, false, NULL, &why), KAFKA_NONE);
        CHECK_KAFKA(broker_topic_delete(rig.broker, spec.name, &why), KAFKA_NONE);
    }
    atomic_store(&deleter.stop, true);
    pthread_join(thread, NULL);
    rig_end(&rig);
}

TEST(what_is_produced_is_there)
{
    struct rig rig = {.sim = NULL};
    struct buf values = {0};
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 2, NULL, NULL);
    struct produced result = rig_produce(&rig, "t", 1, &(struct batch_spec){.count = 3, .text = "a"});
    CHECK_KAFKA(result.err, KAFKA_NONE);
    CHECK_INT(result.base_offset, 0);
    CHECK_INT(result.log_append_time_ms, -1);
    result = rig_produce(&rig, "t", 1, &(struct batch_spec){.count = 2, .text = "b", .codec = BATCH_ZSTD});
    CHECK_INT(result.base_offset, 3);
    CHECK_KAFKA(rig_produce(&rig, "t", 2, &(struct batch_spec){.count = 1}).err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    CHECK_KAFKA(rig_produce(&rig, "u", 0, &(struct batch_spec){.count = 1}).err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);

    /* several batches are one append */
    struct batch_maker one = {.count = 0}, two = {.count = 0};
    struct buf both = {0};
    buf_put_str(&both, rig_batch(&rig, &one, &(struct batch_spec){.count = 1, .text = "c"}));
    buf_put_str(&both, rig_batch(&rig, &two, &(struct batch_spec){.count = 2, .text = "d"}));
    CHECK_INT(rig_produce_bytes(&rig, "t", 1, NULL, buf_str(&both), NULL).base_offset, 5);
    rig_reopen(&rig);
    rig_values(&rig, "t", 1, &values);
    CHECK_STR(values.data, "a-0 a-1 a-2 b-0 b-1 c-0 d-0 d-1 ");
    CHECK_INT(rig_partition(&rig, "t", 0).end, 0);
    buf_free(&both);
    buf_free(&values);
    batch_make_free(&one);
    batch_make_free(&two);
    rig_end(&rig);
}

TEST(offsets_of_moments)
{
    struct rig rig = {.sim = NULL};
    int64_t offset, time;
    cairn_topic_ref *ref;
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, NULL, NULL);
    CHECK_OK(cairn_topic_get(rig.store, 0, CAIRN_STR("t"), &ref, NULL));
    const cairn_uuid id = cairn_topic_of(ref)->id;
    CHECK_KAFKA(broker_offset_at(rig.broker, &id, 0, 5, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, -1);
    int64_t now = os_now_us(rig.store->os) / 1000 - 100000;
    for (int64_t i = 0; i < 50; i++) /* offsets 3i to 3i + 2 have the time now + 10i */
        CHECK_INT(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 3, .timestamp_ms = now + 10 * i}).base_offset, 3 * i);
    for (int64_t at = -5; at < 500; at++) {
        CHECK_KAFKA(broker_offset_at(rig.broker, &id, 0, now + at, &offset, &time), KAFKA_NONE);
        int64_t expected = at <= 0 ? 0 : at > 490 ? -1 : (at + 9) / 10 * 3;
        CHECK_INT(offset, expected);
        CHECK_INT(time, expected == -1 ? -1 : now + expected / 3 * 10);
    }
    CHECK_KAFKA(broker_offset_at(rig.broker, &id, 0, OFFSET_LATEST, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, 150);
    CHECK_KAFKA(broker_offset_at(rig.broker, &id, 0, OFFSET_EARLIEST, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, 0);
    CHECK_KAFKA(broker_offset_at(rig.broker, &id, 0, OFFSET_MAX_TIMESTAMP, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, 147);
    CHECK_INT(time, now + 490);
    CHECK_KAFKA(broker_offset_at(rig.broker, &id, 1, OFFSET_LATEST, &offset, &time), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);

    uint64_t low;
    struct broker_why why;
    CHECK_KAFKA(broker_delete_records(rig.broker, CAIRN_STR("t"), 0, 31, &low, &why), KAFKA_NONE);
    CHECK_INT(low, 31);
    CHECK_KAFKA(broker_offset_at(rig.broker, &id, 0, OFFSET_EARLIEST, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, 31);
    CHECK_KAFKA(broker_offset_at(rig.broker, &id, 0, now, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, 31);
    CHECK_KAFKA(broker_delete_records(rig.broker, CAIRN_STR("t"), 0, 151, &low, &why), KAFKA_OFFSET_OUT_OF_RANGE);
    CHECK_KAFKA(broker_delete_records(rig.broker, CAIRN_STR("t"), 0, -1, &low, &why), KAFKA_NONE);
    CHECK_INT(low, 150);
    CHECK_KAFKA(broker_offset_at(rig.broker, &id, 0, now, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, -1);
    cairn_topic_release(ref);
    rig_end(&rig);
}

/* Goal: a position in the log becomes the first offset at or after it, wherever it lies: before a topic was made of the category, at an
 * event, within a batch, between what belongs to others, below what has been deleted, beyond the end.
 * Method: the category read in the order of the log says which offset has which position; every position is asked for. */
TEST(offsets_of_positions)
{
    struct rig rig = {.sim = NULL};
    uint64_t positions[200], low;
    size_t count = 0;
    struct broker_why why;
    rig_begin(&rig, true);
    const cairn_event event = {.type = CAIRN_STR("Happened"), .data = CAIRN_STR("{}")};
    cairn_at at;
    for (int i = 0; i < 60; i++) {
        if (i == 20)
            rig_topic(&rig, "t", 1, NULL, NULL);
        for (int other = i % 4; other > 0; other--)
            CHECK_OK(cairn_append(rig.store, 0, CAIRN_STR("other-1"), CAIRN_ANY, &event, 1, &at, NULL));
        if (i > 20 && i % 3 > 0)
            CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 1 + (uint32_t)i % 5}).err, KAFKA_NONE);
        else
            CHECK_OK(cairn_append(rig.store, 0, CAIRN_STR("t-1"), CAIRN_ANY, &event, 1, &at, NULL));
    }
    const cairn_read_options options = {.category = CAIRN_STR("t")};
    cairn_reader *reader;
    cairn_recorded recorded;
    CHECK_OK(cairn_read_all(rig.store, &options, &reader, NULL));
    while (cairn_reader_next(reader, &recorded, NULL) == CAIRN_OK && count < 200)
        positions[count++] = recorded.position;
    cairn_reader_free(reader);
    CHECK_INT(rig_partition(&rig, "t", 0).end, count);
    cairn_topic_ref *ref;
    CHECK_OK(cairn_topic_get(rig.store, 0, CAIRN_STR("t"), &ref, NULL));
    const cairn_uuid id = cairn_topic_of(ref)->id;
    for (size_t start = 0; start <= count; start += 11) {
        CHECK_KAFKA(broker_delete_records(rig.broker, CAIRN_STR("t"), 0, (int64_t)start, &low, &why), KAFKA_NONE);
        for (uint64_t position = 0; position <= cairn_end(rig.store); position++) {
            int64_t offset;
            size_t expected = start;
            while (expected < count && positions[expected] < position)
                expected++;
            CHECK_KAFKA(broker_offset_at_position(rig.broker, &id, 0, position, &offset), KAFKA_NONE);
            CHECK_INT(offset, expected);
        }
    }
    int64_t offset;
    CHECK_KAFKA(broker_offset_at_position(rig.broker, &id, 0, INT64_MAX - 1, &offset), KAFKA_NONE);
    CHECK_INT(offset, count);
    CHECK_KAFKA(broker_offset_at_position(rig.broker, &id, 1, 0, &offset), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    cairn_topic_release(ref);
    rig_end(&rig);
}

/* What comes last is hidden, further and further back: the newest record is before it. */
TEST(the_newest_record_that_there_is)
{
    struct rig rig = {.sim = NULL};
    int64_t offset, time;
    cairn_topic_ref *ref;
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, NULL, NULL);
    CHECK_OK(cairn_topic_get(rig.store, 0, CAIRN_STR("t"), &ref, NULL));
    cairn_uuid id = cairn_topic_of(ref)->id;
    cairn_topic_release(ref);
    cairn_at at;
    const cairn_event event = {.type = CAIRN_STR("E"), .data = CAIRN_STR("{}")};
    CHECK_OK(cairn_append(rig.store, 0, CAIRN_STR("t-first"), CAIRN_ANY, &event, 1, &at, NULL));
    CHECK_KAFKA(rig_produce(&rig, "t", 0, &(struct batch_spec){.count = 3, .timestamp_ms = 1000}).err, KAFKA_NONE);
    for (int i = 0; i < 20; i++)
        CHECK_OK(cairn_append(rig.store, 0, CAIRN_STR("t-last"), CAIRN_ANY, &event, 1, &at, NULL));
    CHECK_KAFKA(broker_offset_at(rig.broker, &id, 0, OFFSET_MAX_TIMESTAMP, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, 23);
    for (uint64_t before = 1; before <= 20; before++) { /* the first ones of them, then all */
        const cairn_retention retention = {.truncate_before = before};
        CHECK_OK(cairn_retention_set(rig.store, 0, CAIRN_STR("t-last"), &retention, NULL));
        CHECK_KAFKA(broker_offset_at(rig.broker, &id, 0, OFFSET_MAX_TIMESTAMP, &offset, &time), KAFKA_NONE);
        CHECK_INT(offset, before < 20 ? 23 : 1);
    }
    CHECK_INT(time, 1000);
    uint64_t low;
    struct broker_why why;
    CHECK_KAFKA(broker_delete_records(rig.broker, CAIRN_STR("t"), 0, 4, &low, &why), KAFKA_NONE);
    CHECK_KAFKA(broker_offset_at(rig.broker, &id, 0, OFFSET_MAX_TIMESTAMP, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, -1);
    rig_end(&rig);
}

/* Compaction has taken the record that gave the batch its largest timestamp. */
TEST(the_newest_record_of_a_thinned_batch)
{
    struct rig rig = {.segment_size_bytes = 64 << 10};
    struct batch_maker maker = {.count = 0};
    char text[1000] = {0};
    cairn_str key = CAIRN_STR("k"), value = {text, sizeof text};
    cairn_scavenge_report report;
    cairn_topic_ref *ref;
    int64_t offset, time;
    rig_begin(&rig, true);
    rig_topic(&rig, "t", 1, "cleanup.policy", "compact");
    rig_topic(&rig, "filler", 1, "cleanup.policy", "compact"); /* so that the segment is worth it */
    CHECK_OK(cairn_topic_get(rig.store, 0, CAIRN_STR("t"), &ref, NULL));
    batch_make_begin(&maker);
    CHECK(batch_make_add(&maker, 0, 9000, &key, &value, NULL, 0));
    CHECK(batch_make_add(&maker, 1, 5000, &key, &value, NULL, 0));
    CHECK(batch_make_end(&maker, BATCH_PLAIN, 0, 1));
    CHECK_KAFKA(rig_produce_bytes(&rig, "t", 0, NULL, buf_str(&maker.out), NULL).err, KAFKA_NONE);
    for (int i = 0; i < 40; i++)
        CHECK_KAFKA(rig_produce(&rig, "filler", 0, &(struct batch_spec){.count = 150, .key = "k"}).err, KAFKA_NONE);
    CHECK_KAFKA(broker_offset_at(rig.broker, &cairn_topic_of(ref)->id, 0, OFFSET_MAX_TIMESTAMP, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, 0);
    CHECK_INT(time, 9000);
    CHECK_OK(cairn_maintain(rig.store, NULL));
    CHECK_OK(cairn_scavenge(rig.store, NULL, NULL, &report, NULL));
    CHECK(report.segments_rewritten > 0);
    CHECK_KAFKA(broker_offset_at(rig.broker, &cairn_topic_of(ref)->id, 0, OFFSET_MAX_TIMESTAMP, &offset, &time), KAFKA_NONE);
    CHECK_INT(offset, 1);
    CHECK_INT(time, 5000);
    cairn_topic_release(ref);
    batch_make_free(&maker);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(topics_are_made_listed_and_deleted),
        RUN(deleting_by_id_takes_that_one_only),
        RUN(what_is_produced_is_there),
        RUN(offsets_of_moments),
        RUN(offsets_of_positions),
        RUN(the_newest_record_that_there_is),
        RUN(the_newest_record_of_a_thinned_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Scavenging batches: by retention of streams, and by topics. */
#include "log_batches.h"

/* ---- scavenging ------------------------------------------------------------------------------------------------- */

/* What is left by now: streams of `gone` keys (bits; KEYS: the keyless one) lack all but the last `kept` revisions. */
static void
check_left(const struct disk *disk, struct log *log, unsigned gone)
{
    struct block *block = block_new();
    for (int backward = 0; backward < 2; backward++)
        for (uint64_t i = 1; i < disk->position; i++) {
            uint64_t position = backward ? disk->position - i : i;
            const struct expected *event = &disk->events[position];
            unsigned key = event->keyed ? event->number % KEYS : KEYS;
            struct record record;
            CHECK_TOLD(log_read_record(log, block, position, backward ? BLOCK_SCAN_BACKWARD : BLOCK_SCAN, &record, &error));
            if ((gone >> key & 1) == 0) {
                check_event(disk, &record, position);
                check_data(disk, &record, position);
                continue;
            }
            CHECK_INT(record.kind, RECORD_REMOVED);
            CHECK_INT(record.place.offset, event->offset);
            CHECK_INT(record.revision, event->revision);
            if (record.stream.size > 0)
                check_text(record.stream, event->stream);
        }
    block_free(block);
    for (unsigned key = 0; key <= KEYS; key++) {
        char stream[32];
        cairn_stream_info info;
        snprintf(stream, sizeof stream, key < KEYS ? "my~orders-k%u" : "my~orders", key);
        CHECK_TOLD(cairn_log_stream_info(log, 0, cairn_cstr(stream), &info, &error));
        CHECK_INT(info.last_revision, (int64_t)(key < KEYS ? disk->revisions[key] : disk->keyless) - 1);
    }
}

/* Goal: scavenging takes out of batches what retention hides, and nothing else; roots and revisions stay, and the index can be made
 * anew from what is left; a batch that nothing is left of keeps its positions and offsets.
 * Method: three rounds with more and more streams deleted; after each look at every position, before and after reindexing. */
TEST(scavenging_thins_batches)
{
    struct disk *disk = new_disk();
    write_batches(disk);
    struct log *log = open_log(disk->sim);
    seal(log);
    cairn_verify_report before, after;
    cairn_scavenge_report report;
    uint8_t root[32];
    memcpy(root, atomic_load(&log->slots[0])->root, 32);
    static const unsigned rounds[] = {1u << 2, 1u << 2 | 1u << 5 | 1u << KEYS, (2u << KEYS) - 1};
    unsigned gone = 0;
    uint64_t removed = 0;
    for (size_t round = 0; round < 3; round++) {
        for (unsigned key = 0; key <= KEYS; key++) {
            char stream[32];
            if (((rounds[round] & ~gone) >> key & 1) == 0)
                continue;
            snprintf(stream, sizeof stream, key < KEYS ? "my~orders-k%u" : "my~orders", key);
            delete_stream(log, stream, key < KEYS ? disk->revisions[key] : disk->keyless);
        }
        gone = rounds[round];
        verify(log, &before);
        uint64_t size = atomic_load(&atomic_load(&log->slots[0])->data_end);
        CHECK_TOLD(cairn_log_scavenge(log, NULL, NULL, &report, &error));
        CHECK_INT(report.segments_rewritten, 1);
        CHECK(atomic_load(&atomic_load(&log->slots[0])->data_end) < size);
        CHECK(memcmp(root, atomic_load(&log->slots[0])->root, 32) == 0);
        removed += report.events_removed;
        CHECK_INT(atomic_load(&log->removed), removed);
        check_left(disk, log, gone);
        verify(log, &after);
        CHECK(memcmp(before.root, after.root, 32) == 0);
        CHECK_TOLD(cairn_log_reindex(log, NULL, NULL, &error));
        verify(log, &after);
        check_left(disk, log, gone);
        CHECK_TOLD(cairn_log_scavenge(log, NULL, NULL, &report, &error));
        CHECK_INT(report.events_removed, 0);
    }
    CHECK_INT(removed, disk->position - 1);
    cairn_log_close(log);
    log = open_log(disk->sim);
    CHECK_INT(atomic_load(&log->removed), removed);
    check_left(disk, log, gone);
    verify(log, &after);
    cairn_log_close(log);
    free_disk(disk);
}

/* ---- scavenging by topics ------------------------------------------------------------------------------------------ */

/* How many records the partition gives from its beginning; each is the one that was at its offset. */
static uint64_t
count_in_partition(const struct disk *disk, struct log *log)
{
    cairn_uuid id = topic_id();
    struct partition_reader *reader;
    struct batch_cursor cursor = {0};
    cairn_partition_item item;
    cairn_err err;
    uint64_t count = 0;
    CHECK_TOLD(cairn_log_read_partition(log, 0, &id, 3, 0, &reader, &error));
    while ((err = cairn_log_partition_next(reader, &item, &error)) == CAIRN_OK) {
        struct batch_record record;
        CHECK(batch_crc_holds(item.batch));
        CHECK(batch_open(&cursor, item.batch) == NULL);
        CHECK_INT(cursor.head.producer_id, PRODUCER);
        CHECK_INT(cursor.head.base_sequence, item.first_offset);
        CHECK_INT(cursor.head.last_offset_delta, item.last_offset - item.first_offset);
        for (; batch_next(&cursor, &record); count++) {
            char value[32];
            snprintf(value, sizeof value, "{\"number\":%llu}",
                     (unsigned long long)(item.first_offset + (uint64_t)record.offset_delta));
            check_text(record.value, value);
            CHECK_INT(record.timestamp_ms, 1000 + record.offset_delta);
        }
        CHECK(cursor.fault == NULL);
    }
    CHECK_INT(err, CAIRN_E_END);
    CHECK(disk->numbers >= count);
    batch_close(&cursor);
    cairn_log_partition_reader_free(reader);
    return count;
}

static cairn_scavenge_report
scavenge(struct log *log)
{
    cairn_verify_report before, after;
    cairn_scavenge_report report;
    verify(log, &before);
    CHECK_TOLD(cairn_log_scavenge(log, NULL, NULL, &report, &error));
    verify(log, &after);
    CHECK(memcmp(before.root, after.root, 32) == 0);
    if (report.events_removed > 0) {
        CHECK_TOLD(cairn_log_reindex(log, NULL, NULL, &error));
        verify(log, &after);
    }
    return report;
}

/* Goal: in a compacting topic the newest record of each key stays, and what has no key; then a start hides what is below it, also within
 * a batch; then deletion takes the rest. No offset is given twice.
 * Method: do one after the other, scavenge, count what the partition gives. */
TEST(topics_say_what_goes)
{
    struct disk *disk = new_disk();
    write_batches(disk);
    struct log *log = open_log(disk->sim);
    cairn_uuid id = topic_id();
    cairn_partition_info info;
    seal(log);
    CHECK_INT(count_in_partition(disk, log), disk->numbers);
    put_topic(log, true, 0);
    CHECK_INT(scavenge(log).events_removed, disk->numbers - disk->keyless - KEYS);
    CHECK_INT(count_in_partition(disk, log), disk->keyless + KEYS);
    CHECK_INT(scavenge(log).events_removed, 0);

    uint64_t starts[4] = {0, 0, 0, 401}; /* within the batch of 500 that begins at 301 */
    cairn_topic topic = {.id = id, .name = CAIRN_STR("my-orders"), .partitions = 4, .compact = true, .starts = starts};
    cairn_topic_ref *ref;
    CHECK_TOLD(cairn_log_topic_put(log, 0, &topic, 1, &ref, &error));
    cairn_topic_release(ref);
    CHECK_INT(scavenge(log).events_removed, 101);
    CHECK_INT(count_in_partition(disk, log), disk->keyless - 101 + KEYS);

    starts[3] = disk->offset;
    CHECK_TOLD(cairn_log_topic_put(log, 0, &topic, 2, &ref, &error));
    cairn_topic_release(ref);
    for (unsigned key = 0; key < KEYS; key++) {
        char stream[32];
        snprintf(stream, sizeof stream, "my~orders-k%u", key);
        delete_stream(log, stream, disk->revisions[key]);
    }
    (void)scavenge(log);
    CHECK_INT(count_in_partition(disk, log), 0);
    CHECK_TOLD(cairn_log_partition_get(log, 0, &id, 3, &info, &error));
    CHECK_INT(info.start, disk->offset);
    CHECK_INT(info.end, disk->offset);
    CHECK_TOLD(cairn_log_topic_delete(log, 0, CAIRN_STR("my-orders"), CAIRN_ANY, &error));
    (void)scavenge(log);
    check_left(disk, log, (2u << KEYS) - 1);
    cairn_log_close(log);
    free_disk(disk);
}

/* Goal: where nothing is left of a producer's newest batch, its head is.
 * Method: hide all streams; ask for the producer's batches after scavenging and reindexing. */
TEST(a_producer_is_known_without_records)
{
    struct disk *disk = new_disk();
    write_batches(disk);
    struct log *log = open_log(disk->sim);
    seal(log);
    for (unsigned key = 0; key <= KEYS; key++) {
        char stream[32];
        snprintf(stream, sizeof stream, key < KEYS ? "my~orders-k%u" : "my~orders", key);
        delete_stream(log, stream, key < KEYS ? disk->revisions[key] : disk->keyless);
    }
    CHECK_INT(scavenge(log).events_removed, disk->numbers);
    check_left(disk, log, (2u << KEYS) - 1);
    CHECK_INT(count_in_partition(disk, log), 0);
    cairn_uuid id = topic_id();
    cairn_producer_batch batches[5];
    size_t count;
    CHECK_TOLD(cairn_log_producer_batches(log, 0, &id, 3, PRODUCER, batches, 5, &count, &error));
    CHECK_INT(count, 1);
    CHECK_INT(batches[0].epoch, 1);
    CHECK_INT(batches[0].first_sequence, 803);
    CHECK_INT(batches[0].last_sequence, disk->numbers - 1);
    CHECK_INT(batches[0].first_offset, 803);
    CHECK_INT(scavenge(log).events_removed, 0);
    cairn_log_close(log);
    free_disk(disk);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(scavenging_thins_batches),
        RUN(topics_say_what_goes),
        RUN(a_producer_is_known_without_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

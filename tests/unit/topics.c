/* Topics: definitions, events and batches in partitions, producers' batches; after closing and opening, and after computing the
 * index again, everything is as it was. */
#include <os/os.h>
#include <os/twin.h>
#include <store/store.h>

#include "topic_rig.h"

struct world {
    struct os_sim *sim;
    cairn_store *store;
    struct batch_maker maker;
    struct buf text;
};

static void
open_world(struct world *world)
{
    const cairn_options options = {.create = true, .no_background = true, .segment_size_bytes = 1 << 20};
    if (world->sim == NULL)
        world->sim = os_sim_new(1);
    CHECK_OK(cairn_store_open_on(os_sim_os(world->sim), "data", &options, &world->store, NULL));
}

static void
close_world(struct world *world)
{
    cairn_close(world->store);
    batch_make_free(&world->maker);
    buf_free(&world->text);
    os_sim_free(world->sim);
}

static void
reopen(struct world *world)
{
    cairn_close(world->store);
    open_world(world);
}

static const char *
read_from(struct world *world, const cairn_uuid *id, uint32_t partition, uint64_t from)
{
    rig_read(world->store, id, partition, from, &world->text);
    return world->text.data;
}

static cairn_partition_info
info_of(struct world *world, const cairn_uuid *id, uint32_t partition)
{
    cairn_partition_info info;
    CHECK_OK(cairn_partition_get(world->store, 0, id, partition, &info, NULL));
    return info;
}

static bool
count_topics(void *context, const cairn_topic *topic, uint64_t revision)
{
    struct buf *names = context;
    buf_printf(names, "%.*s@%llu ", (int)topic->name.size, topic->name.data, (unsigned long long)revision);
    return true;
}

static void
check_topics(struct world *world, const char *expected)
{
    struct buf names = {0};
    CHECK_OK(cairn_topics(world->store, 0, count_topics, &names, NULL));
    buf_put_char(&names, '\0');
    CHECK_STR(names.data, expected);
    buf_free(&names);
}

/* Goal: what is appended to a partition is read back by offset, batches whole and as they were.
 * Method: batches of every codec, read from every offset, also after opening again. */
TEST(batches_are_read_by_offset)
{
    struct world world = {0};
    open_world(&world);
    cairn_topic_ref *ref = rig_make_topic(world.store, "my-orders", 2);
    const cairn_topic *topic = cairn_topic_of(ref);
    CHECK(cairn_str_equal(topic->category, CAIRN_STR("my~orders")));
    CHECK_INT(rig_produce(world.store, &topic->id, 0, rig_batch(&world.maker, "a", 3, NULL, 0, BATCH_PLAIN)), 0);
    CHECK_INT(rig_produce(world.store, &topic->id, 1, rig_batch(&world.maker, "x", 1, NULL, 0, BATCH_PLAIN)), 0);
    CHECK_INT(rig_produce(world.store, &topic->id, 0, rig_batch(&world.maker, "b", 2, NULL, 0, BATCH_ZSTD)), 3);
    CHECK_INT(rig_produce(world.store, &topic->id, 0, rig_batch(&world.maker, "c", 1, NULL, 0, BATCH_LZ4)), 5);
    for (int round = 0; round < 2; round++) {
        CHECK_STR(read_from(&world, &topic->id, 0, 0), "0=a.0 1=a.1 2=a.2 3=b.0 4=b.1 5=c.0 ");
        CHECK_STR(read_from(&world, &topic->id, 0, 4), "3=b.0 4=b.1 5=c.0 ");
        CHECK_STR(read_from(&world, &topic->id, 0, 5), "5=c.0 ");
        CHECK_STR(read_from(&world, &topic->id, 0, 6), "");
        CHECK_STR(read_from(&world, &topic->id, 1, 0), "0=x.0 ");
        CHECK(info_of(&world, &topic->id, 0).end == 6 && info_of(&world, &topic->id, 1).end == 1);
        CHECK(info_of(&world, &topic->id, 0).last_position == cairn_end(world.store) - 1);
        if (round == 0)
            reopen(&world);
    }
    cairn_topic_release(ref);
    close_world(&world);
}

/* Goal: a large batch that is found in its file instead of being read is the same, also when it bears a revision for each
 * record; a small one and an event are read. Method: read everything by both calls. */
TEST(large_batches_are_found_in_their_file)
{
    struct world world = {0};
    char folder[64]; /* the simulated disk has no descriptors to give */
    const cairn_options options = {.create = true};
    test_folder(folder);
    CHECK_OK(cairn_open(folder, &options, &world.store, NULL));
    cairn_topic_ref *ref = rig_make_topic(world.store, "t", 1);
    cairn_uuid id = cairn_topic_of(ref)->id;
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    (void)rig_produce(world.store, &id, 0, rig_batch(&world.maker, "plain", 4000, NULL, 0, BATCH_PLAIN));
    (void)rig_append(world.store, "t-1", "event");
    (void)rig_produce(world.store, &id, 0, rig_batch(&world.maker, "keyed", 2000, keys, 5, BATCH_PLAIN));
    (void)rig_produce(world.store, &id, 0, rig_batch(&world.maker, "small", 3, NULL, 0, BATCH_PLAIN));
    (void)rig_produce(world.store, &id, 0, rig_batch(&world.maker, "packed", 20000, NULL, 0, BATCH_LZ4));
    cairn_partition_reader *reading, *finding;
    cairn_partition_item read, found;
    cairn_error error;
    unsigned files = 0;
    int file;
    uint64_t at;
    CHECK_OK(cairn_read_partition(world.store, 0, &id, 0, 0, &reading, NULL));
    CHECK_OK(cairn_read_partition(world.store, 0, &id, 0, 0, &finding, NULL));
    while (cairn_partition_next(reading, &read, &error) == CAIRN_OK) {
        CHECK_OK(store_partition_find(finding, 20000, &found, &file, &at, NULL));
        CHECK(found.first_offset == read.first_offset && found.last_offset == read.last_offset && found.position == read.position);
        CHECK_INT(found.batch.size, read.batch.size);
        CHECK_INT(file >= 0, read.batch.size >= 20000);
        /* the same once more, and then on: known without the index, whatever lies between */
        int same_file;
        uint64_t same_at;
        CHECK_OK(cairn_partition_seek(finding, &id, 0, read.first_offset, NULL));
        CHECK_OK(store_partition_find(finding, 20000, &found, &same_file, &same_at, NULL));
        CHECK(found.first_offset == read.first_offset && found.last_offset == read.last_offset && found.position == read.position);
        CHECK(same_file < 0 || same_at == at);
        if (same_file >= 0)
            os_descriptor_close(same_file);
        CHECK_OK(cairn_partition_seek(finding, &id, 0, read.last_offset + 1, NULL));
        if (file < 0)
            continue;
        char *bytes = malloc(read.batch.size);
        CHECK(bytes != NULL && memcmp(found.batch.data, read.batch.data, BATCH_HEAD_SIZE) == 0);
        CHECK_INT(os_descriptor_read(file, bytes, read.batch.size, at), read.batch.size);
        CHECK(memcmp(bytes, read.batch.data, read.batch.size) == 0);
        free(bytes);
        os_descriptor_close(file);
        files++;
    }
    CHECK_INT(files, 3);
    CHECK_INT(store_partition_find(finding, 20000, &found, &file, &at, NULL), CAIRN_E_END);
    cairn_partition_reader_free(reading);
    cairn_partition_reader_free(finding);
    cairn_topic_release(ref);
    close_world(&world);
    test_remove(folder);
}

/* Goal: an event that is appended to a stream of the category is in the partition of its key; between batches, and with them in
 * one append. */
TEST(events_and_batches_share_partitions)
{
    struct world world = {0};
    open_world(&world);
    (void)rig_append(world.store, "other-1", "before");
    cairn_topic_ref *ref = rig_make_topic(world.store, "t", 1);
    cairn_uuid id = cairn_topic_of(ref)->id;
    cairn_topic_release(ref);
    (void)rig_append(world.store, "t-1", "one");
    (void)rig_append(world.store, "other-1", "elsewhere");
    (void)rig_produce(world.store, &id, 0, rig_batch(&world.maker, "b", 2, (const char *const[]){"1", "2"}, 2, BATCH_PLAIN));
    (void)rig_append(world.store, "t-2", "two");

    const cairn_event event = {.type = CAIRN_STR("Happened"), .data = CAIRN_STR("three")};
    const cairn_write writes[2] = {{CAIRN_STR("t-1"), 1, &event, 1}, {CAIRN_STR("t-1"), 2, &event, 1}};
    uint64_t offsets[2];
    struct batch_maker other = {0};
    const cairn_batch batches[2] = {{id, 0, rig_batch(&world.maker, "c", 2, (const char *const[]){"1"}, 1, BATCH_PLAIN), &offsets[0]},
                                    {id, 0, rig_batch(&other, "d", 1, (const char *const[]){"1"}, 1, BATCH_PLAIN), &offsets[1]}};
    const cairn_append_request request = {.writes = writes, .write_count = 2, .batches = batches, .batch_count = 2};
    cairn_at at;
    CHECK_OK(cairn_append_all(world.store, &request, &at, NULL));
    CHECK(offsets[0] == 6 && offsets[1] == 8 && at.revision == 6 && at.last_position - at.first_position == 4);
    batch_make_free(&other);
    (void)rig_append(world.store, "t-1", "last");
    for (int round = 0; round < 3; round++) {
        cairn_stream_info info;
        CHECK_STR(read_from(&world, &id, 0, 0),
                  "0=one 1=b.0 2=b.1 3=two 4=three 5=three 6=c.0 7=c.1 8=d.0 9=last ");
        CHECK_OK(cairn_stream_info_get(world.store, 0, CAIRN_STR("t-1"), &info, NULL));
        CHECK_INT(info.last_revision, 7);
        CHECK_OK(cairn_stream_info_get(world.store, 0, CAIRN_STR("t-2"), &info, NULL));
        CHECK_INT(info.last_revision, 1);
        if (round == 0)
            reopen(&world);
        else if (round == 1)
            CHECK_OK(cairn_reindex(world.store, NULL, NULL, NULL));
    }
    cairn_verify_report report;
    CHECK_OK(cairn_verify(world.store, NULL, NULL, NULL, &report, NULL));
    CHECK(report.faults == 0 && report.index_entries > 0);
    close_world(&world);
}

/* Goal: topics grow, their starts move, they are deleted and made again, with nothing mixed up; wrong changes are refused. */
TEST(definitions_change)
{
    struct world world = {0};
    cairn_error error = {0};
    open_world(&world);
    uint64_t changes = cairn_topics_changes(world.store);
    cairn_topic_ref *ref = rig_make_topic(world.store, "t", 2), *now, *gone;
    CHECK(cairn_topics_changes(world.store) > changes);
    cairn_topic topic = *cairn_topic_of(ref);
    CHECK_INT(cairn_topic_put(world.store, 0, &topic, CAIRN_NONE, &now, &error), CAIRN_E_EXISTS);
    cairn_topic other = {.name = CAIRN_STR("u"), .category = CAIRN_STR("t"), .partitions = 1};
    CHECK_INT(cairn_topic_put(world.store, 0, &other, CAIRN_NONE, &now, &error), CAIRN_E_EXISTS);
    topic.partitions = 1;
    CHECK_INT(cairn_topic_put(world.store, 0, &topic, 0, &now, &error), CAIRN_E_INVALID);
    CHECK_INT(rig_produce(world.store, &topic.id, 1, rig_batch(&world.maker, "a", 4, NULL, 0, BATCH_PLAIN)), 0);
    CHECK_INT(rig_produce(world.store, &topic.id, 1, rig_batch(&world.maker, "b", 2, NULL, 0, BATCH_PLAIN)), 4);

    topic.partitions = 3;
    topic.config = CAIRN_STR("{\"retention.ms\": \"5\"}");
    CHECK_OK(cairn_topic_put(world.store, 0, &topic, 0, &now, NULL));
    CHECK(cairn_topic_revision(now) == 1 && cairn_topic_of(now)->partitions == 3);
    cairn_topic_release(now);
    CHECK_INT(cairn_topic_put(world.store, 0, &topic, 0, &now, &error), CAIRN_E_CONFLICT);
    CHECK_INT(error.revision, 1);
    topic.starts = (const uint64_t[]){0, 4, 0};
    CHECK_OK(cairn_topic_put(world.store, 0, &topic, 1, &now, NULL));
    cairn_topic_release(now);
    topic.starts = (const uint64_t[]){0, 3, 0};
    CHECK_INT(cairn_topic_put(world.store, 0, &topic, 2, &now, &error), CAIRN_E_INVALID);
    for (int round = 0; round < 2; round++) {
        CHECK_OK(cairn_topic_get(world.store, 0, CAIRN_STR("t"), &now, NULL));
        CHECK(cairn_topic_of(now)->starts[1] == 4 && cairn_topic_of(now)->partitions == 3);
        CHECK(cairn_str_equal(cairn_topic_of(now)->config, CAIRN_STR("{\"retention.ms\":\"5\"}")));
        cairn_topic_release(now);
        CHECK_STR(read_from(&world, &topic.id, 1, 0), "4=b.0 5=b.1 ");
        CHECK(info_of(&world, &topic.id, 1).start == 4 && info_of(&world, &topic.id, 1).end == 6);
        check_topics(&world, "t@2 ");
        if (round == 0)
            reopen(&world);
    }

    cairn_partition_reader *reader;
    cairn_partition_item item;
    CHECK_OK(cairn_read_partition(world.store, 0, &topic.id, 1, 0, &reader, NULL));
    CHECK_INT(cairn_topic_delete(world.store, 0, CAIRN_STR("t"), 1, &error), CAIRN_E_CONFLICT);
    CHECK_OK(cairn_topic_delete(world.store, 0, CAIRN_STR("t"), CAIRN_ANY, NULL));
    CHECK_INT(cairn_partition_next(reader, &item, &error), CAIRN_E_NOTFOUND);
    cairn_partition_reader_free(reader);
    CHECK_INT(cairn_topic_delete(world.store, 0, CAIRN_STR("t"), CAIRN_ANY, &error), CAIRN_E_NOTFOUND);
    CHECK_INT(cairn_topic_by_id(world.store, 0, &topic.id, &gone, &error), CAIRN_E_NOTFOUND);
    cairn_batch batch = {topic.id, 0, rig_batch(&world.maker, "c", 1, NULL, 0, BATCH_PLAIN), NULL};
    cairn_append_request request = {.batches = &batch, .batch_count = 1};
    cairn_at at;
    CHECK_INT(cairn_append_all(world.store, &request, &at, &error), CAIRN_E_NOTFOUND);
    check_topics(&world, "");

    now = rig_make_topic(world.store, "t", 1);
    CHECK(cairn_topic_revision(now) == 4 && memcmp(&cairn_topic_of(now)->id, &topic.id, 16) != 0);
    batch.topic_id = cairn_topic_of(now)->id;
    cairn_topic_release(now);
    CHECK_INT(rig_produce(world.store, &batch.topic_id, 0, batch.bytes), 0);
    reopen(&world);
    CHECK_STR(read_from(&world, &batch.topic_id, 0, 0), "0=c.0 ");
    check_topics(&world, "t@4 ");
    cairn_topic_release(ref);
    close_world(&world);
}

/* Goal: bytes that are no batch, or not one to keep, are refused with nothing written. */
TEST(wrong_batches_are_refused)
{
    struct world world = {0};
    cairn_error error = {0};
    open_world(&world);
    cairn_topic_ref *ref = rig_make_topic(world.store, "t", 1);
    cairn_batch batch = {.topic_id = cairn_topic_of(ref)->id};
    const cairn_append_request request = {.batches = &batch, .batch_count = 1};
    cairn_at at;
    uint64_t end = cairn_end(world.store);

    batch.bytes = rig_batch(&world.maker, "a", 3, NULL, 0, BATCH_PLAIN);
    ((char *)(uintptr_t)batch.bytes.data)[batch.bytes.size - 2] ^= 1;
    CHECK_INT(cairn_append_all(world.store, &request, &at, &error), CAIRN_E_INVALID);
    batch.bytes = rig_batch(&world.maker, "a", 3, NULL, 0, BATCH_PLAIN);
    batch.bytes.size--;
    CHECK_INT(cairn_append_all(world.store, &request, &at, &error), CAIRN_E_INVALID);
    batch.bytes.size++;
    batch.partition = 1;
    CHECK_INT(cairn_append_all(world.store, &request, &at, &error), CAIRN_E_NOTFOUND);
    batch.partition = 0;

    const cairn_str x = CAIRN_STR("x"), y = CAIRN_STR("y");
    batch_make_begin(&world.maker); /* a gap */
    CHECK(batch_make_add(&world.maker, 0, 0, NULL, &x, NULL, 0));
    CHECK(batch_make_add(&world.maker, 2, 0, NULL, &y, NULL, 0));
    CHECK(batch_make_end(&world.maker, BATCH_PLAIN, 0, 2));
    batch.bytes = buf_str(&world.maker.out);
    CHECK_INT(cairn_append_all(world.store, &request, &at, &error), CAIRN_E_INVALID);
    CHECK_INT(cairn_end(world.store), end);
    cairn_topic_release(ref);
    close_world(&world);
}

/* Goal: a producer's batches are known, newest first, also after opening again. */
TEST(producers_are_remembered)
{
    struct world world = {0};
    open_world(&world);
    cairn_topic_ref *ref = rig_make_topic(world.store, "t", 1);
    cairn_uuid id = cairn_topic_of(ref)->id;
    cairn_topic_release(ref);
    for (int i = 0; i < 20; i++) {
        cairn_str batch = rig_batch(&world.maker, "a", 3, NULL, 0, BATCH_PLAIN);
        rig_set_producer(batch, (struct rig_producer){7 + i % 2, 1, 3 * i});
        CHECK_INT(rig_produce(world.store, &id, 0, batch), 3 * i);
    }
    for (int round = 0; round < 2; round++) {
        cairn_producer_batch batches[30];
        size_t count;
        CHECK_OK(cairn_producer_batches(world.store, 0, &id, 0, 7, batches, 5, &count, NULL));
        CHECK_INT(count, 5);
        for (int i = 0; i < 5; i++) {
            CHECK(batches[i].epoch == 1 && batches[i].first_sequence == 3 * (18 - 2 * i));
            CHECK(batches[i].last_sequence == batches[i].first_sequence + 2);
            CHECK_INT(batches[i].first_offset, 3 * (18 - 2 * i));
        }
        CHECK_OK(cairn_producer_batches(world.store, 0, &id, 0, 8, batches, 30, &count, NULL));
        CHECK_INT(count, 10);
        CHECK_OK(cairn_producer_batches(world.store, 0, &id, 0, 9, batches, 30, &count, NULL));
        CHECK_INT(count, 0);
        reopen(&world);
    }
    close_world(&world);
}

/* Goal: what a category had before it got a topic is in the partitions, first and in order, and goes on without a seam; what
 * an earlier topic's batches held is not.
 * Method: more events than one list of links holds; read from the beginning and from the middle, after opening again too. */
TEST(history_is_linked)
{
    enum { EVENTS = 10000 };
    struct world world = {0};
    struct buf expected[2] = {0};
    uint64_t counts[2] = {0};
    open_world(&world);
    cairn_topic_ref *ref = rig_make_topic(world.store, "t", 1);
    (void)rig_produce(world.store, &cairn_topic_of(ref)->id, 0, rig_batch(&world.maker, "old", 3, NULL, 0, BATCH_PLAIN));
    cairn_topic_release(ref);
    CHECK_OK(cairn_topic_delete(world.store, 0, CAIRN_STR("t"), CAIRN_ANY, NULL));
    for (int i = 0; i < EVENTS; i++) {
        char stream[32], data[32];
        snprintf(stream, sizeof stream, "t-%d", i % 7);
        snprintf(data, sizeof data, "e%d", i);
        (void)rig_append(world.store, stream, data);
        uint32_t partition = key_partition(cairn_cstr(stream + 2), 2);
        buf_printf(&expected[partition], "%llu=%s ", (unsigned long long)counts[partition]++, data);
    }
    ref = rig_make_topic(world.store, "t", 2);
    cairn_uuid id = cairn_topic_of(ref)->id;
    cairn_topic_release(ref);
    CHECK(counts[0] > 4096 || counts[1] > 4096);
    for (uint32_t partition = 0; partition < 2; partition++) {
        CHECK_INT(info_of(&world, &id, partition).end, counts[partition]);
        CHECK_INT(rig_produce(world.store, &id, partition, rig_batch(&world.maker, "b", 1, NULL, 0, BATCH_PLAIN)),
                  counts[partition]);
        buf_printf(&expected[partition], "%llu=b.0 ", (unsigned long long)counts[partition]);
        buf_put_char(&expected[partition], '\0');
    }
    for (int round = 0; round < 3; round++) {
        for (uint32_t partition = 0; partition < 2; partition++) {
            CHECK_STR(read_from(&world, &id, partition, 0), expected[partition].data);
            for (uint64_t from = counts[partition]; from > 700; from -= 611) {
                char begin[32];
                snprintf(begin, sizeof begin, "%llu=", (unsigned long long)from);
                const char *text = read_from(&world, &id, partition, from);
                CHECK(strncmp(text, begin, strlen(begin)) == 0);
                CHECK_STR(text, strstr(expected[partition].data, text));
            }
        }
        if (round == 0)
            reopen(&world);
        else if (round == 1)
            CHECK_OK(cairn_reindex(world.store, NULL, NULL, NULL));
    }
    buf_free(&expected[0]);
    buf_free(&expected[1]);
    close_world(&world);
}

static size_t
count_events(cairn_store *store, const char *category)
{
    cairn_read_options options = {.category = cairn_cstr(category)};
    cairn_reader *reader;
    cairn_recorded event;
    size_t count = 0;
    cairn_err err;
    CHECK_OK(cairn_read_all(store, &options, &reader, NULL));
    while ((err = cairn_reader_next(reader, &event, NULL)) == CAIRN_OK)
        count++;
    CHECK_INT(err, CAIRN_E_END);
    cairn_reader_free(reader);
    return count;
}

/* Goal: records are events like others, in their streams and category; what lies below a start, or in a deleted topic, is hidden
 * there, while events that came by themselves stay. */
TEST(starts_and_deletion_hide)
{
    struct world world = {0};
    open_world(&world);
    cairn_topic_ref *ref = rig_make_topic(world.store, "t", 1), *now;
    cairn_topic topic = *cairn_topic_of(ref);
    (void)rig_append(world.store, "t-1", "one");
    (void)rig_produce(world.store, &topic.id, 0, rig_batch(&world.maker, "a", 4, (const char *const[]){"1", "2", NULL}, 3, BATCH_GZIP));
    CHECK_INT(count_events(world.store, "t"), 5);
    topic.starts = (const uint64_t[]){3};
    CHECK_OK(cairn_topic_put(world.store, 0, &topic, 0, &now, NULL));
    cairn_topic_release(now);
    CHECK_INT(count_events(world.store, "t"), 3); /* the event, and offsets 3 and 4 */
    CHECK_STR(read_from(&world, &topic.id, 0, 0), "1=a.0 2=a.1 3=a.2 4=a.3 "); /* a batch comes whole */
    cairn_reader *reader;
    cairn_recorded event;
    CHECK_OK(cairn_read_stream(world.store, CAIRN_STR("t-1"), &(cairn_read_options){0}, &reader, NULL));
    CHECK_OK(cairn_reader_next(reader, &event, NULL));
    CHECK(cairn_str_equal(event.event.data, CAIRN_STR("one")));
    CHECK_OK(cairn_reader_next(reader, &event, NULL));
    CHECK(event.revision == 2 && cairn_str_equal(event.event.data, CAIRN_STR("a.3")));
    CHECK_INT(cairn_reader_next(reader, &event, NULL), CAIRN_E_END);
    cairn_reader_free(reader);
    CHECK_OK(cairn_topic_delete(world.store, 0, CAIRN_STR("t"), 1, NULL));
    for (int round = 0; round < 2; round++) {
        CHECK_INT(count_events(world.store, "t"), 1);
        reopen(&world);
    }
    cairn_topic_release(ref);
    close_world(&world);
}

/* Goal: what a full disk takes back of topics was never there: neither the topic, nor its batches' offsets; with room again all
 * goes on as if it had not been tried.
 * Method: less and less room, so that making a topic, or a batch's append, fails in its write. */
TEST(a_full_disk_takes_back)
{
    struct os_sim *sim = os_sim_new(1);
    struct os_faulty faulty;
    struct batch_maker maker = {0};
    struct buf text = {0};
    cairn_store *store;
    cairn_error error = {0};
    unsigned topics_refused = 0, batches_refused = 0;
    os_faulty_init(&faulty, os_sim_os(sim));
    const cairn_options options = {.create = true, .no_background = true, .segment_size_bytes = 64 << 10};
    CHECK_OK(cairn_store_open_on(&faulty.os, "data", &options, &store, NULL));
    for (unsigned i = 0; i < 40; i++) {
        char name[16], stream[24];
        cairn_topic_ref *ref;
        cairn_batch batch = {.bytes = rig_batch(&maker, "b", 20, (const char *const[]){"1", "2"}, 2, BATCH_PLAIN)};
        cairn_append_request request = {.batches = &batch, .batch_count = 1};
        cairn_at at;
        snprintf(name, sizeof name, "n%u", i);
        snprintf(stream, sizeof stream, "n%u-1", i);
        cairn_topic topic = {.name = cairn_cstr(name), .partitions = 1};
        faulty.space_left = i * 25;
        cairn_err err = cairn_topic_put(store, 0, &topic, CAIRN_NONE, &ref, &error);
        CHECK(err == CAIRN_OK || err == CAIRN_E_NOSPACE);
        faulty.space_left = UINT64_MAX;
        if (err == CAIRN_E_NOSPACE) {
            topics_refused++;
            CHECK_INT(cairn_topic_get(store, 0, topic.name, &ref, &error), CAIRN_E_NOTFOUND);
            (void)rig_append(store, stream, "before"); /* of no partition yet */
            CHECK_OK(cairn_topic_put(store, 0, &topic, CAIRN_NONE, &ref, NULL));
        } else {
            (void)rig_append(store, stream, "before");
        }
        batch.topic_id = cairn_topic_of(ref)->id;
        cairn_topic_release(ref);
        faulty.space_left = i * 50;
        err = cairn_append_all(store, &request, &at, &error);
        CHECK(err == CAIRN_OK || err == CAIRN_E_NOSPACE);
        faulty.space_left = UINT64_MAX;
        if (err == CAIRN_E_NOSPACE) {
            batches_refused++;
            CHECK_OK(cairn_append_all(store, &request, &at, NULL));
        }
        CHECK_INT(at.revision, 9); /* of the last record, whose key is 2 */
        (void)rig_append(store, stream, "after");
        rig_read(store, &batch.topic_id, 0, 19, &text);
        CHECK_STR(strstr(text.data, "19="), "19=b.18 20=b.19 21=after ");
        CHECK(strncmp(text.data, "1=b.0 ", 6) == 0);
    }
    CHECK(topics_refused > 3 && batches_refused > 3);
    cairn_verify_report report;
    CHECK_OK(cairn_verify(store, NULL, NULL, NULL, &report, NULL));
    CHECK_INT(report.faults, 0);
    cairn_close(store);
    batch_make_free(&maker);
    buf_free(&text);
    os_sim_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(batches_are_read_by_offset),
        RUN(large_batches_are_found_in_their_file),
        RUN(events_and_batches_share_partitions),
        RUN(definitions_change),
        RUN(wrong_batches_are_refused),
        RUN(producers_are_remembered),
        RUN(history_is_linked),
        RUN(starts_and_deletion_hide),
        RUN(a_full_disk_takes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

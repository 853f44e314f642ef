/* Topics under load: while threads append events and batches, a topic is made over the category that they write to, it grows, and
 * other topics come and go; a reader follows meanwhile. In the end every event is in one partition, once, and each writer's are
 * in their order; and all is the same after opening again and computing the index anew. */
#include <pthread.h>
#include <stdatomic.h>
#include <store/store.h>

#include "topic_rig.h"

#define WRITERS 2   /* of events */
#define PRODUCERS 2 /* of batches */
#define PARTITIONS_MAX 4
#define EVENTS_MIN 2000 /* of each writer, and until the rest is over */
#define BATCHES 300
#define SEEN_MAX 400000

struct shared {
    cairn_store *store;
    cairn_uuid id; /* valid once made */
    _Atomic bool made, over;
    _Atomic uint32_t started, written[WRITERS + PRODUCERS];
};

struct thread {
    struct shared *shared;
    unsigned number;
    pthread_t id;
};

static void *
write_events(void *context)
{
    struct thread *thread = context;
    struct shared *shared = thread->shared;
    for (uint32_t i = 0; i < EVENTS_MIN || !atomic_load(&shared->over); i++) {
        char stream[32], data[32];
        snprintf(stream, sizeof stream, "t-%u", (i * 7 + thread->number) % 23);
        snprintf(data, sizeof data, "%u.%u", thread->number, i);
        (void)rig_append(shared->store, stream, data);
        atomic_store(&shared->written[thread->number], i + 1);
        if (i == 50)
            atomic_fetch_add(&shared->started, 1);
    }
    return NULL;
}

static void *
produce(void *context)
{
    struct thread *thread = context;
    struct shared *shared = thread->shared;
    struct batch_maker maker = {0};
    uint32_t next = 0;
    while (!atomic_load(&shared->made))
        sched_yield();
    for (unsigned i = 0; i < BATCHES; i++) {
        uint32_t count = 1 + i % 40;
        batch_make_begin(&maker);
        for (uint32_t j = 0; j < count; j++) {
            char value[32], key[16];
            snprintf(value, sizeof value, "%u.%u", thread->number, next++);
            snprintf(key, sizeof key, "%u", j % 23);
            cairn_str value_text = cairn_cstr(value), key_text = cairn_cstr(key);
            CHECK(batch_make_add(&maker, j, 1700000000000, i % 3 ? &key_text : NULL, &value_text, NULL, 0));
        }
        CHECK(batch_make_end(&maker, BATCH_PLAIN, 0, (int64_t)count - 1));
        (void)rig_produce(shared->store, &shared->id, thread->number % 2, buf_str(&maker.out));
        atomic_store(&shared->written[thread->number], next);
    }
    batch_make_free(&maker);
    return NULL;
}

/* Numbers of a partition, in its order: writer and count. */
struct seen {
    uint32_t *writers, *numbers;
    size_t count;
};

static void
see(struct seen *seen, cairn_str value)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)value.size, value.data);
    assert_true(seen->count < SEEN_MAX);
    CHECK_INT(sscanf(text, "%u.%u", &seen->writers[seen->count], &seen->numbers[seen->count]), 2);
    seen->count++;
}

/* Read on until there is no more; *next is the offset to go on from. */
static void
read_on(cairn_partition_reader *reader, uint64_t *next, struct seen *seen)
{
    cairn_partition_item item;
    struct batch_cursor cursor = {0};
    struct batch_record record;
    cairn_err err;
    while ((err = cairn_partition_next(reader, &item, NULL)) == CAIRN_OK) {
        CHECK_INT(item.first_offset, *next);
        *next = item.last_offset + 1;
        if (item.batch.size == 0) {
            see(seen, item.event.event.data);
            continue;
        }
        CHECK(batch_open(&cursor, item.batch) == NULL);
        while (batch_next(&cursor, &record))
            see(seen, record.value);
    }
    CHECK_INT(err, CAIRN_E_END);
    batch_close(&cursor);
}

static void
seen_new(struct seen *seen)
{
    *seen = (struct seen){calloc(SEEN_MAX, sizeof *seen->writers), calloc(SEEN_MAX, sizeof *seen->numbers), 0};
    assert_true(seen->writers != NULL && seen->numbers != NULL);
}

static void
seen_free(struct seen *seen)
{
    free(seen->writers);
    free(seen->numbers);
}

static void *
follow(void *context)
{
    struct thread *thread = context;
    struct shared *shared = thread->shared;
    cairn_partition_reader *reader;
    struct seen seen;
    uint64_t next = 0;
    seen_new(&seen);
    while (!atomic_load(&shared->made))
        sched_yield();
    CHECK_OK(cairn_read_partition(shared->store, 0, &shared->id, 0, 0, &reader, NULL));
    bool over;
    do {
        cairn_partition_info info;
        over = atomic_load(&shared->over);
        CHECK_OK(cairn_partition_get(shared->store, 0, &shared->id, 0, &info, NULL));
        read_on(reader, &next, &seen);
        CHECK(next >= info.end);
    } while (!over);
    cairn_partition_reader_free(reader);
    seen_free(&seen);
    return NULL;
}

static void
grow(struct shared *shared, uint32_t partitions)
{
    cairn_topic_ref *ref, *now;
    CHECK_OK(cairn_topic_by_id(shared->store, 0, &shared->id, &ref, NULL));
    cairn_topic topic = *cairn_topic_of(ref);
    topic.partitions = partitions;
    CHECK_OK(cairn_topic_put(shared->store, 0, &topic, (int64_t)cairn_topic_revision(ref), &now, NULL));
    cairn_topic_release(ref);
    cairn_topic_release(now);
}

/* Every event of everybody, once; in each partition each writer's in order. */
static void
check_all(struct shared *shared)
{
    uint64_t counts[WRITERS + PRODUCERS] = {0}, sums[WRITERS + PRODUCERS] = {0};
    struct seen seen;
    seen_new(&seen);
    for (uint32_t partition = 0; partition < PARTITIONS_MAX; partition++) {
        cairn_partition_reader *reader;
        uint64_t next = 0;
        int64_t last[WRITERS + PRODUCERS];
        for (int i = 0; i < WRITERS + PRODUCERS; i++)
            last[i] = -1;
        seen.count = 0;
        CHECK_OK(cairn_read_partition(shared->store, 0, &shared->id, partition, 0, &reader, NULL));
        read_on(reader, &next, &seen);
        cairn_partition_reader_free(reader);
        CHECK_INT(next, seen.count);
        for (size_t i = 0; i < seen.count; i++) {
            uint32_t writer = seen.writers[i];
            assert_true(writer < WRITERS + PRODUCERS);
            CHECK(seen.numbers[i] > last[writer]);
            last[writer] = seen.numbers[i];
            counts[writer]++;
            sums[writer] += seen.numbers[i];
        }
    }
    for (int i = 0; i < WRITERS + PRODUCERS; i++) {
        uint64_t written = atomic_load(&shared->written[i]);
        CHECK_INT(counts[i], written);
        CHECK_INT(sums[i], written * (written - 1) / 2);
    }
    seen_free(&seen);
}

static void
open_store(struct shared *shared, const char *folder)
{
    const cairn_options options = {.create = true, .segment_size_bytes = 1 << 20, .index_memory_events = 5000};
    CHECK_OK(cairn_open(folder, &options, &shared->store, NULL));
}

TEST(everything_is_in_one_partition_once)
{
    char folder[64];
    struct shared shared = {.made = false};
    struct thread threads[WRITERS + PRODUCERS + 1];
    test_folder(folder);
    open_store(&shared, folder);
    for (unsigned i = 0; i < WRITERS + PRODUCERS + 1; i++) {
        threads[i] = (struct thread){.shared = &shared, .number = i};
        CHECK_INT(pthread_create(&threads[i].id, NULL,
                                 i < WRITERS ? write_events : i < WRITERS + PRODUCERS ? produce : follow, &threads[i]),
                  0);
    }
    while (atomic_load(&shared.started) < WRITERS)
        sched_yield();
    cairn_topic_ref *ref = rig_make_topic(shared.store, "t", 2);
    shared.id = cairn_topic_of(ref)->id;
    cairn_topic_release(ref);
    atomic_store(&shared.made, true);
    for (unsigned i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "other.%u", i % 3);
        if (i >= 3)
            CHECK_OK(cairn_topic_delete(shared.store, 0, cairn_cstr(name), CAIRN_ANY, NULL));
        else
            cairn_topic_release(rig_make_topic(shared.store, name, 3));
        if (i % 3 == 2)
            grow(&shared, 3 + i / 3);
    }
    for (unsigned i = WRITERS; i < WRITERS + PRODUCERS; i++)
        pthread_join(threads[i].id, NULL);
    atomic_store(&shared.over, true);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i].id, NULL);
    pthread_join(threads[WRITERS + PRODUCERS].id, NULL);
    check_all(&shared);
    cairn_close(shared.store);
    open_store(&shared, folder);
    check_all(&shared);
    CHECK_OK(cairn_reindex(shared.store, NULL, NULL, NULL));
    check_all(&shared);
    cairn_verify_report report;
    CHECK_OK(cairn_verify(shared.store, NULL, NULL, NULL, &report, NULL));
    CHECK_INT(report.faults, 0);
    cairn_close(shared.store);
    test_remove(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(everything_is_in_one_partition_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

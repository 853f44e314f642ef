/* What thinning costs: by the batch, not by the largest one there has been. */
#include "topic_rig.h"

#include <store/store.h>

#include <time.h>

#define LARGE 150000u
#define SMALL_COUNT 1500u
#define FILLERS 5

static int
no_sync(struct os *os, struct os_file *file)
{
    (void)os;
    (void)file;
    return 0;
}

static cairn_str
make_batch(struct batch_maker *maker, unsigned count, unsigned number)
{
    cairn_str value = count == LARGE ? CAIRN_STR("v") : CAIRN_STR("worth more than the name of a stream that goes");
    batch_make_begin(maker);
    for (unsigned i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%u.%u", number % 2, i);
        cairn_str key = cairn_cstr(text);
        CHECK(batch_make_add(maker, i, 1700000000000, &key, &value, NULL, 0));
    }
    CHECK(batch_make_end(maker, BATCH_PLAIN, 0, (int64_t)count - 1));
    return buf_str(&maker->out);
}

static cairn_str
make_filler(struct batch_maker *maker)
{
    static char bytes[900000];
    const cairn_str value = {bytes, sizeof bytes};
    batch_make_begin(maker);
    CHECK(batch_make_add(maker, 0, 1700000000000, NULL, &value, NULL, 0));
    CHECK(batch_make_end(maker, BATCH_PLAIN, 0, 0));
    return buf_str(&maker->out);
}

/* Processor time of scavenging a compacted topic of `large` and then `small` batches. */
static double
scavenge_seconds(unsigned large, unsigned small)
{
    char folder[64], data[96];
    cairn_store *store;
    cairn_topic_ref *ref, *other;
    cairn_scavenge_report report;
    struct batch_maker maker = {0};
    struct os_ops ops = *os_real()->ops;
    struct os machine = {&ops};
    ops.sync = no_sync;
    const cairn_topic topic = {.name = CAIRN_STR("t"), .partitions = 1, .compact = true};
    test_folder(folder);
    snprintf(data, sizeof data, "%s/data", folder);
    const cairn_options options = {.create = true, .no_background = true, .segment_size_bytes = 4 << 20};
    CHECK_OK(cairn_store_open_on(&machine, data, &options, &store, NULL));
    CHECK_OK(cairn_topic_put(store, 0, &topic, CAIRN_NONE, &ref, NULL));
    cairn_uuid id = cairn_topic_of(ref)->id;
    cairn_topic_release(ref);
    other = rig_make_topic(store, "other", 1);
    for (unsigned i = 0; i < large; i++)
        rig_produce(store, &id, 0, make_batch(&maker, LARGE, i));
    for (unsigned i = 0; i < small; i++)
        rig_produce(store, &id, 0, make_batch(&maker, 10, i));
    for (unsigned i = 0; i < FILLERS; i++) /* so that the segment is full and sealed */
        rig_produce(store, &cairn_topic_of(other)->id, 0, make_filler(&maker));
    cairn_topic_release(other);
    CHECK_OK(cairn_maintain(store, NULL));
    clock_t begin = clock();
    CHECK_OK(cairn_scavenge(store, NULL, NULL, &report, NULL));
    clock_t end = clock();
    CHECK((report.events_removed > 0) == (small > 0));
    cairn_close(store);
    batch_make_free(&maker);
    test_remove(folder);
    return (double)(end - begin) / CLOCKS_PER_SEC;
}

/* Goal: small batches behind a large one cost what they cost without it.
 * Method: processor time, several times what it may be apart. */
TEST(a_large_batch_makes_no_other_dear)
{
    double small = scavenge_seconds(0, SMALL_COUNT), large = scavenge_seconds(1, 0), both = scavenge_seconds(1, SMALL_COUNT);
    if (both > 3 * (small + large))
        fail_msg("%.3f s of small ones, %.3f s of a large one, %.3f s of both", small, large, both);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_large_batch_makes_no_other_dear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

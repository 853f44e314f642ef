/* Snapshots: the cache's bounds, what is stored, and what a delete leaves. */
#include <base/bytes.h>
#include <store/snapshot.h>
#include <store/snapshot_cache.h>

#include "test.h"

static cairn_store *store;
static char folder[64];

static void
open_store(const cairn_options *options)
{
    cairn_options with = *options;
    with.create = true;
    with.no_background = true;
    CHECK_OK(cairn_open(folder, &with, &store, NULL));
}

static void
begin(void)
{
    test_folder(folder);
    open_store(&(cairn_options){0});
}

static void
end(void)
{
    cairn_close(store);
    test_remove(folder);
}

static void
append(const char *stream, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const cairn_event event = {.type = CAIRN_STR("T")};
        cairn_at at;
        CHECK_OK(cairn_append(store, 0, cairn_cstr(stream), CAIRN_ANY, &event, 1, &at, NULL));
    }
}

static cairn_err
put(const char *stream, uint64_t revision, cairn_str data)
{
    const cairn_snapshot snapshot = {revision, CAIRN_STR("text/plain"), data};
    return cairn_snapshot_put(store, 0, cairn_cstr(stream), &snapshot, NULL);
}

static bool
holds(const char *stream, uint64_t revision, cairn_str data)
{
    cairn_snapshot snapshot;
    void *memory;
    if (cairn_snapshot_get(store, 0, cairn_cstr(stream), &snapshot, &memory, NULL) != CAIRN_OK)
        return false;
    bool same = snapshot.revision == revision && cairn_str_equal(snapshot.data, data) &&
                cairn_str_equal(snapshot.content_type, CAIRN_STR("text/plain"));
    cairn_free(memory);
    return same;
}

/* ---- the cache --------------------------------------------------------------------------------- */

static bool
is_cached(struct snapshot_cache *cache, const char *stream, int64_t now_us)
{
    cairn_snapshot snapshot;
    void *memory;
    uint64_t generation;
    cairn_err err =
        snapshot_cache_get(cache, 0, cairn_cstr(stream), now_us, &snapshot, &memory, &generation);
    if (err == CAIRN_OK)
        cairn_free(memory);
    return err == CAIRN_OK;
}

/* Goal: the cache stays within its bytes and gives up what was used least recently.
 * Method: put 100 snapshots of 1 KiB into 20 KiB while one of them is read again and again. */
TEST(cache_keeps_what_is_used_within_its_bytes)
{
    struct snapshot_cache *cache = snapshot_cache_new(20 * 1024);
    char data[1024] = {0};
    const cairn_snapshot snapshot = {1, CAIRN_STR("a/b"), {data, sizeof data}};
    snapshot_cache_put(cache, 0, CAIRN_STR("used"), &snapshot, 0);
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "s-%d", i);
        snapshot_cache_put(cache, 0, cairn_cstr(name), &snapshot, 0);
        CHECK(is_cached(cache, "used", 0));
        struct snapshot_cache_stats stats;
        snapshot_cache_stats(cache, &stats);
        CHECK(stats.bytes <= 20 * 1024);
    }
    CHECK(is_cached(cache, "s-99", 0));
    CHECK(!is_cached(cache, "s-0", 0));
    snapshot_cache_free(cache);
}

/* Goal: what is larger than the cache is left out and drives nothing else away.
 * Method: a small snapshot, then a large one. */
TEST(cache_leaves_out_what_is_too_large)
{
    struct snapshot_cache *cache = snapshot_cache_new(4096);
    static char data[5000];
    const cairn_snapshot small = {1, {0}, {data, 10}}, large = {1, {0}, {data, sizeof data}};
    snapshot_cache_put(cache, 0, CAIRN_STR("small"), &small, 0);
    snapshot_cache_put(cache, 0, CAIRN_STR("large"), &large, 0);
    CHECK(is_cached(cache, "small", 0) && !is_cached(cache, "large", 0));
    snapshot_cache_put(cache, 0, CAIRN_STR("small"), &large, 0); /* and no older one stays */
    CHECK(!is_cached(cache, "small", 0));
    snapshot_cache_free(cache);
}

/* Goal: an entry is not answered beyond its time to live.
 * Method: move the clock that is handed in. */
TEST(cache_forgets_with_time)
{
    struct snapshot_cache *cache = snapshot_cache_new(4096);
    const cairn_snapshot snapshot = {1, {0}, CAIRN_STR("x")};
    snapshot_cache_put(cache, 0, CAIRN_STR("s"), &snapshot, 1000);
    CHECK(is_cached(cache, "s", 1000 + SNAPSHOT_CACHE_AGE_US));
    CHECK(!is_cached(cache, "s", 1001 + SNAPSHOT_CACHE_AGE_US));
    struct snapshot_cache_stats stats;
    snapshot_cache_stats(cache, &stats);
    CHECK(stats.entries == 0 && stats.bytes == 0);
    snapshot_cache_free(cache);
}

/* Goal: a slow reader cannot put an old snapshot back over a newer one.
 * Method: miss, put a newer one, fill with what the miss would have read. */
TEST(cache_ignores_fills_that_come_too_late)
{
    struct snapshot_cache *cache = snapshot_cache_new(4096);
    const cairn_snapshot old = {1, {0}, CAIRN_STR("old")}, new = {2, {0}, CAIRN_STR("new")};
    cairn_snapshot got;
    void *memory;
    uint64_t generation;
    CHECK(snapshot_cache_get(cache, 0, CAIRN_STR("s"), 0, &got, &memory, &generation) ==
          CAIRN_E_NOTFOUND);
    snapshot_cache_put(cache, 0, CAIRN_STR("s"), &new, 0);
    snapshot_cache_fill(cache, 0, CAIRN_STR("s"), &old, 0, generation);
    CHECK_OK(snapshot_cache_get(cache, 0, CAIRN_STR("s"), 0, &got, &memory, &generation));
    CHECK_INT(got.revision, 2);
    cairn_free(memory);
    snapshot_cache_free(cache);
}

/* Goal: many entries, found by their own scope and name only.
 * Method: 1,000 streams in two scopes (the table grows on the way), each with its own revision. */
TEST(cache_tells_streams_and_scopes_apart)
{
    struct snapshot_cache *cache = snapshot_cache_new(1 << 20);
    for (uint64_t i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof name, "s-%llu", (unsigned long long)(i / 2));
        const cairn_snapshot snapshot = {i, {0}, {0}};
        snapshot_cache_put(cache, (cairn_scope)(i % 2), cairn_cstr(name), &snapshot, 0);
    }
    for (uint64_t i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof name, "s-%llu", (unsigned long long)(i / 2));
        cairn_snapshot got;
        void *memory;
        uint64_t generation;
        CHECK_OK(snapshot_cache_get(cache, (cairn_scope)(i % 2), cairn_cstr(name), 0, &got, &memory,
                                    &generation));
        CHECK_INT(got.revision, i);
        cairn_free(memory);
    }
    snapshot_cache_drop(cache, 0, CAIRN_STR("s-7"));
    CHECK(!is_cached(cache, "s-7", 0) && is_cached(cache, "s-8", 0));
    snapshot_cache_free(cache);
}

/* ---- in a store -------------------------------------------------------------------------------- */

/* Goal: whatever its content, a snapshot comes back as it was put, from memory and from the log.
 * Method: empty, tiny, compressible and random states; read each, reopen, read each again. */
TEST(snapshots_come_back_as_they_were)
{
    begin();
    static char zeros[200000], noise[200000];
    uint64_t seed = test_seed();
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)test_random(&seed);
    const cairn_str states[] = {
        {0}, CAIRN_STR("x"), {zeros, sizeof zeros}, {noise, sizeof noise}, CAIRN_STR("{\"a\":[1,2,3]}")};
    const size_t count = sizeof states / sizeof states[0];
    for (int again = 0; again < 2; again++) {
        for (unsigned i = 0; i < count; i++) {
            char stream[16];
            snprintf(stream, sizeof stream, "s-%u", i);
            if (!again) {
                append(stream, 3);
                CHECK_OK(put(stream, i % 3, states[i]));
            }
            CHECK(holds(stream, i % 3, states[i]));
        }
        cairn_close(store);
        open_store(&(cairn_options){0});
    }
    end();
}

/* Goal: compression is real: what compresses well takes little of the log.
 * Method: 4 MiB of zeros, which as they are would not fit an event; then as much noise as does not. */
TEST(large_states_are_compressed)
{
    begin();
    static char zeros[4 << 20];
    append("s-1", 1);
    CHECK_OK(put("s-1", 0, (cairn_str){zeros, sizeof zeros}));
    CHECK(holds("s-1", 0, (cairn_str){zeros, sizeof zeros}));
    cairn_stats stats;
    cairn_stats_get(store, &stats);
    CHECK(stats.batch_bytes_total < 64 * 1024);
    static char noise[2 << 20];
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)test_random(&seed);
    CHECK(put("s-1", 0, (cairn_str){noise, sizeof noise}) == CAIRN_E_LIMIT);
    CHECK(holds("s-1", 0, (cairn_str){zeros, sizeof zeros}));
    end();
}

/* Goal: a snapshot of what the stream has not reached is refused, and says nothing is there.
 * Method: put at and beyond the last revision, on an unknown and on a closed stream, on one of Cairn's. */
TEST(puts_are_checked_against_the_stream)
{
    begin();
    CHECK(put("s-1", 0, CAIRN_STR("x")) == CAIRN_E_INVALID);
    append("s-1", 2);
    CHECK(put("s-1", 2, CAIRN_STR("x")) == CAIRN_E_INVALID);
    CHECK(!holds("s-1", 2, CAIRN_STR("x")));
    CHECK_OK(put("s-1", 1, CAIRN_STR("x")));
    CHECK(put("$s-1", 0, CAIRN_STR("x")) == CAIRN_E_DENIED);
    CHECK_OK(cairn_delete(store, 0, CAIRN_STR("s-1"), CAIRN_ANY, true, NULL));
    CHECK(put("s-1", 0, CAIRN_STR("x")) == CAIRN_E_GONE);
    end();
}

/* Goal: the state of a deleted stream is not taken for the beginning of what comes after it.
 * Method: snapshot, delete, append again, get; with and without the cache. */
TEST(deleting_a_stream_deletes_its_snapshot)
{
    begin();
    append("s-1", 2);
    CHECK_OK(put("s-1", 1, CAIRN_STR("before")));
    CHECK(cairn_delete(store, 0, CAIRN_STR("s-1"), 0, false, NULL) == CAIRN_E_CONFLICT);
    CHECK(holds("s-1", 1, CAIRN_STR("before"))); /* a refused delete takes nothing away */
    CHECK_OK(cairn_delete(store, 0, CAIRN_STR("s-1"), CAIRN_ANY, false, NULL));
    cairn_snapshot snapshot;
    void *memory;
    for (int again = 0; again < 2; again++) {
        CHECK(cairn_snapshot_get(store, 0, CAIRN_STR("s-1"), &snapshot, &memory, NULL) ==
              CAIRN_E_NOTFOUND);
        append("s-1", 1);
        cairn_close(store);
        open_store(&(cairn_options){0});
    }
    CHECK_OK(put("s-1", 2, CAIRN_STR("after")));
    CHECK(holds("s-1", 2, CAIRN_STR("after")));
    end();
}

/* Goal: repeated gets are answered from memory; only the newest of many puts can be read.
 * Method: put 50 times, get 50 times; count hits; count events of the snapshot's stream. */
TEST(gets_come_from_memory_and_one_snapshot_is_kept)
{
    begin();
    append("s-1", 1);
    for (int i = 0; i < 50; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        CHECK_OK(put("s-1", 0, cairn_cstr(text)));
        CHECK(holds("s-1", 0, cairn_cstr(text)));
    }
    uint64_t hits, misses;
    snapshots_counts(store->snapshots, &hits, &misses);
    CHECK(hits == 50 && misses == 0);
    cairn_reader *reader;
    cairn_recorded event;
    CHECK_OK(cairn_read_stream(store, CAIRN_STR("$snapshot-s-1"), &(cairn_read_options){0}, &reader,
                               NULL));
    CHECK_OK(cairn_reader_next(reader, &event, NULL));
    CHECK_INT(event.revision, 49);
    CHECK_INT(cairn_reader_next(reader, &event, NULL), CAIRN_E_END);
    cairn_reader_free(reader);
    end();
}

/* Goal: bytes that only look like a snapshot are reported, not believed.
 * Method: write the snapshot's stream as Cairn itself may, with wrong sizes, forms and frames. */
TEST(damaged_snapshots_are_reported)
{
    begin();
    append("s-1", 1);
    static const struct {
        cairn_str bytes;
        cairn_err expected;
    } cases[] = {
        {CAIRN_STR(""), CAIRN_E_CORRUPT},
        {CAIRN_STR("\1\0\0\0"), CAIRN_E_CORRUPT},
        {CAIRN_STR("\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), CAIRN_E_VERSION},
        {CAIRN_STR("\1\0\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0"), CAIRN_E_CORRUPT},
        {CAIRN_STR("\1\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0"), CAIRN_E_CORRUPT},
        {CAIRN_STR("\1\1\0\0\5\0\0\0\0\0\0\0\0\0\0\0no zstd"), CAIRN_E_CORRUPT},
        {CAIRN_STR("\1\0\0\0\5\0\0\0\0\0\0\0\0\0\0\0four"), CAIRN_E_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const cairn_event event = {.type = CAIRN_STR("$snapshot"), .data = cases[i].bytes};
        const cairn_write write = {CAIRN_STR("$snapshot-s-1"), CAIRN_ANY, &event, 1};
        const cairn_append_request request = {.writes = &write, .write_count = 1, .system = true};
        cairn_at at;
        CHECK_OK(cairn_append_all(store, &request, &at, NULL));
        cairn_snapshot snapshot;
        void *memory;
        CHECK_INT(cairn_snapshot_get(store, 0, CAIRN_STR("s-1"), &snapshot, &memory, NULL),
                  cases[i].expected);
    }
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(cache_keeps_what_is_used_within_its_bytes),
        RUN(cache_leaves_out_what_is_too_large),
        RUN(cache_forgets_with_time),
        RUN(cache_ignores_fills_that_come_too_late),
        RUN(cache_tells_streams_and_scopes_apart),
        RUN(snapshots_come_back_as_they_were),
        RUN(large_states_are_compressed),
        RUN(puts_are_checked_against_the_stream),
        RUN(deleting_a_stream_deletes_its_snapshot),
        RUN(gets_come_from_memory_and_one_snapshot_is_kept),
        RUN(damaged_snapshots_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

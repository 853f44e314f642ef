/* The series index: limits, damage, versions, read-only opens. */
#include "../property/series_model.h"
#include <base/bytes.h>
#include <os/twin.h>

#define DIR "/index"

static const struct series_options small = {.memory_events = 64, .head_cache_entries = 16};

static struct series *
open_index(struct os *os, const struct series_options *options)
{
    struct series *series = NULL;
    cairn_error error = {0};
    cairn_err err = cairn_series_open(os, DIR, options, &series, &error);
    if (err != CAIRN_OK)
        fail_msg("open: %s", error.detail);
    return series;
}

static struct hash128
key(uint32_t n)
{
    return model_key(n);
}

/* Events of one hot key without ordinals and one of `streams` streams, at positions [from, end). */
static void
insert_range(struct series *series, uint64_t from, uint64_t end, uint32_t streams)
{
    cairn_error error = {0};
    bool more;
    for (uint64_t position = from; position < end; position++) {
        while (!cairn_series_has_room(series, 2, position))
            CHECK_OK(cairn_series_maintain(series, position, &more, &error));
        cairn_series_insert(series, key(1000), 0, position);
        cairn_series_insert(series, key((uint32_t)(position % streams)), position / streams,
                            position);
    }
}

static void
settle(struct series *series, uint64_t end)
{
    cairn_error error = {0};
    bool more = true;
    CHECK_OK(cairn_series_flush(series, end, &error));
    while (more)
        CHECK_OK(cairn_series_maintain(series, end, &more, &error));
}

static size_t
read_all(struct series *series, struct hash128 of, uint64_t end, struct series_head *to, size_t max)
{
    struct series_read read = {.key = of, .end = end};
    size_t count = 0;
    cairn_error error = {0};
    CHECK_OK(cairn_series_read(series, &read, to, max, &count, &error));
    return count;
}

/* Goal: an empty index answers, and a new folder is a valid one.
 * Method: ask everything of an index without entries, close, open again. */
TEST(empty_index)
{
    struct os_sim *sim = os_sim_new(1);
    for (int i = 0; i < 2; i++) {
        struct series *series = open_index(os_sim_os(sim), &small);
        struct series_head head;
        cairn_error error;
        CHECK_INT(cairn_series_flushed_end(series), 0);
        CHECK_INT(cairn_series_known(series, key(1), &head), SERIES_ABSENT);
        CHECK_INT(cairn_series_head(series, key(1), 100, &head, &error), CAIRN_E_END);
        CHECK_INT(read_all(series, key(1), 100, &head, 1), 0);
        CHECK_OK(cairn_series_flush(series, 0, &error));
        cairn_series_close(series);
    }
    os_sim_free(sim);
}

/* Goal: a full table is an answer, not a stall, and room comes back when it is flushed.
 * Method: insert without maintenance until has_room says no; maintain; it says yes. */
TEST(full_tables_say_so)
{
    struct os_sim *sim = os_sim_new(1);
    struct series *series = open_index(os_sim_os(sim), &small);
    uint64_t position = 0;
    while (cairn_series_has_room(series, 1, position)) {
        cairn_series_insert(series, key(1000), 0, position++);
        CHECK(position <= 2 * 6 * small.memory_events); /* two tables of 6 entries an event */
    }
    CHECK(position > small.memory_events);
    cairn_error error = {0};
    bool more;
    CHECK_OK(cairn_series_maintain(series, 1, &more,
                                   &error)); /* nothing of it is durable: not flushed */
    CHECK_INT(cairn_series_flushed_end(series), 0);
    CHECK(!cairn_series_has_room(series, 1, position));
    CHECK_OK(cairn_series_maintain(series, position, &more, &error));
    CHECK(cairn_series_flushed_end(series) > 0);
    CHECK(cairn_series_has_room(series, 1, position));
    cairn_series_close(series);
    os_sim_free(sim);
}

/* Goal: an append larger than a whole table still fits.
 * Method: ask for room for more entries than memory_events gives, of as many keys; insert them. */
TEST(room_for_one_large_append)
{
    struct os_sim *sim = os_sim_new(1);
    struct series *series = open_index(os_sim_os(sim), &small);
    enum { LARGE = 20000 };
    cairn_series_insert(series, key(0), 0, 0);
    CHECK(cairn_series_has_room(series, LARGE, 1));
    for (uint32_t i = 0; i < LARGE; i++)
        cairn_series_insert(series, key(i), i == 0, 1 + i);
    settle(series, LARGE + 1);
    struct series_head got[4];
    CHECK_INT(read_all(series, key(0), UINT64_MAX, got, 4), 2);
    CHECK_INT(read_all(series, key(LARGE - 1), UINT64_MAX, got, 4), 1);
    CHECK_INT(got[0].position, LARGE);
    cairn_series_close(series);
    os_sim_free(sim);
}

/* Goal: ranges cost little memory, join where they are neighbours, and are found from everywhere in them.
 * Method: a million entries in ranges of many sizes; what they take; read here and there in both directions. */
TEST(ranges_are_small_and_whole)
{
    struct os_sim *sim = os_sim_new(1);
    struct series_options options = {.memory_events = 100000, .head_cache_entries = 16};
    struct series *series = NULL;
    struct hash128 key = {1, 2};
    struct series_stats before, after;
    CHECK_OK(cairn_series_open(os_sim_os(sim), "/index", &options, &series, NULL));
    cairn_series_stats(series, &before);
    uint64_t end = 0;
    for (uint64_t size = 2; end < 1000000; end += size, size = size * 3 % 10007 + 1) {
        struct series_need need = {.ranges = 1, .range_entries = size};
        CHECK(cairn_series_has_room_ranges(series, &need, end));
        cairn_series_insert_range(series, key, 5 + end, 1, end, size);
    }
    cairn_series_stats(series, &after);
    CHECK_INT(after.memory_entries, end);
    CHECK(after.memory_bytes - before.memory_bytes < end / 10);
    uint64_t seed = 3;
    for (int flushed = 0; flushed < 2; flushed++) {
        for (int i = 0; i < 2000; i++) {
            struct series_head got[3];
            size_t count;
            uint64_t at = 10 + test_random(&seed) % (end - 20);
            struct series_read read = {.key = key, .by = i % 2 ? SERIES_BY_ORDINAL : SERIES_BY_POSITION, .from = at,
                                       .backward = i / 2 % 2, .end = UINT64_MAX};
            CHECK_OK(cairn_series_read(series, &read, got, 3, &count, NULL));
            CHECK_INT(count, 3);
            for (uint64_t n = 0; n < 3; n++) {
                uint64_t position = (i % 2 ? at - 5 : at) + (read.backward ? 0 - n : n);
                CHECK_INT(got[n].position, position);
                CHECK_INT(got[n].ordinal, position + 5);
            }
        }
        CHECK_OK(cairn_series_flush(series, end, NULL));
    }
    cairn_series_close(series);
    os_sim_free(sim);
}

/* Goal: the promise of has_room holds for the worst keys: each one's second entry leaves a gap.
 * Method: fill the arena with such series, asking for room as seldom as it allows. */
TEST(room_for_gaps)
{
    struct os_sim *sim = os_sim_new(1);
    struct series *series = open_index(os_sim_os(sim), &small);
    cairn_error error = {0};
    bool more;
    uint64_t position = 0;
    for (uint64_t round = 0; round < 200; round++) {
        while (!cairn_series_has_room(series, 40, position))
            CHECK_OK(cairn_series_maintain(series, position, &more, &error));
        for (uint32_t i = 0; i < 40; i++)
            cairn_series_insert(series, key(i), round * 7, position++);
    }
    struct series_head got[256];
    for (uint32_t i = 0; i < 40; i++) {
        CHECK_INT(read_all(series, key(i), UINT64_MAX, got, 256), 200);
        CHECK_INT(got[199].ordinal, 199 * 7);
    }
    cairn_series_close(series);
    os_sim_free(sim);
}

/* Goal: the same entry twice (an event that bears a tag twice) is in the series once.
 * Method: insert it twice, as the first of its series and as a later one. */
TEST(same_entry_twice)
{
    struct os_sim *sim = os_sim_new(1);
    struct series *series = open_index(os_sim_os(sim), &small);
    for (uint64_t position = 0; position < 3; position++)
        for (int twice = 0; twice < 2; twice++)
            cairn_series_insert(series, key(5), 0, position);
    struct series_head got[8];
    CHECK_INT(read_all(series, key(5), UINT64_MAX, got, 8), 3);
    settle(series, 3);
    CHECK_INT(read_all(series, key(5), UINT64_MAX, got, 8), 3);
    cairn_series_close(series);
    os_sim_free(sim);
}

/* Goal: merging keeps the runs few and the bytes an entry low.
 * Method: many flushes of streams drawn in turn; at rest compare runs and bytes with the bound. */
TEST(few_runs_at_rest)
{
    struct os_sim *sim = os_sim_new(1);
    struct series_options options = {.memory_events = 1000, .head_cache_entries = 16};
    struct series *series = open_index(os_sim_os(sim), &options);
    uint64_t end = 0;
    for (unsigned flush = 0; flush < 60; flush++) {
        insert_range(series, end, end + 1000, 1000);
        end += 1000;
        settle(series, end);
        struct series_stats stats;
        cairn_series_stats(series, &stats);
        CHECK(stats.runs <= 10);
        CHECK_INT(stats.entries, 2 * end);
    }
    struct series_stats stats;
    cairn_series_stats(series, &stats);
    CHECK(stats.merges > 10);
    CHECK(stats.run_bytes < 6 * stats.entries);
    cairn_series_close(series);
    os_sim_free(sim);
}

/* ---- races, made to happen ----------------------------------------------------------------- */

/* A machine that does something else in the middle of one chosen call. */
static struct {
    const struct os_ops *below;
    struct os_ops ops;
    struct series *series;
    unsigned reads, writes; /* calls until it happens; 0: never */
} trap;

static void
flush_newer_head(void)
{
    cairn_error error = {0};
    cairn_series_insert(trap.series, key(3), 1, 101);
    CHECK_OK(cairn_series_flush(trap.series, 102, &error));
}

static ssize_t
trapped_pread(struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset)
{
    ssize_t got = trap.below->pread(os, file, to, size, offset);
    if (trap.reads > 0 && --trap.reads == 0)
        flush_newer_head();
    return got;
}

static ssize_t
trapped_pwritev(struct os *os, struct os_file *file, const struct iovec *pieces, int count,
                uint64_t offset)
{
    if (trap.writes > 0 && --trap.writes == 0)
        CHECK_OK(cairn_series_rewind(trap.series));
    return trap.below->pwritev(os, file, pieces, count, offset);
}

static struct os *
trapped_os(struct os_faulty *faulty, struct os_sim *sim)
{
    memset(&trap, 0, sizeof trap);
    os_faulty_init(faulty, os_sim_os(sim));
    trap.below = faulty->os.ops;
    trap.ops = *faulty->os.ops;
    trap.ops.pread = trapped_pread;
    trap.ops.pwritev = trapped_pwritev;
    faulty->os.ops = &trap.ops;
    return &faulty->os;
}

/* Goal: a head looked up before a flush is not stored after it.
 * Method: while warm reads the block, a newer entry is inserted and flushed. */
TEST(warm_overtaken_by_flush)
{
    struct os_sim *sim = os_sim_new(1);
    struct os_faulty faulty;
    struct os *os = trapped_os(&faulty, sim);
    struct series *series = trap.series = open_index(os, &small);
    cairn_error error = {0};
    cairn_series_insert(series, key(3), 0, 100);
    CHECK_OK(cairn_series_flush(series, 101, &error));
    cairn_series_close(series);
    series = trap.series = open_index(os, &small); /* with an empty head cache */
    struct series_head head = {0};
    CHECK_INT(cairn_series_known(series, key(3), &head), SERIES_UNKNOWN);
    trap.reads = 1;
    CHECK_OK(cairn_series_warm(series, key(3), &error));
    CHECK_INT(cairn_series_flushed_end(series), 102);
    CHECK_INT(cairn_series_known(series, key(3), &head), SERIES_PRESENT);
    CHECK_INT(head.position, 101);
    CHECK_INT(head.ordinal, 1);
    cairn_series_close(series);
    os_sim_free(sim);
}

/* Goal: a flush that a rewind overtakes publishes nothing and leaves no file and no head.
 * Method: rewind while the run is being written, at each of its writes. */
TEST(flush_overtaken_by_rewind)
{
    for (unsigned write = 1; write <= 3; write++) {
        struct os_sim *sim = os_sim_new(1);
        struct os_faulty faulty;
        struct os *os = trapped_os(&faulty, sim);
        struct series *series = trap.series = open_index(os, &small);
        uint64_t end = 0;
        for (; cairn_series_has_room(series, 1, end); end++)
            cairn_series_insert(series, key((uint32_t)end % 7), end / 7, end);
        trap.writes = write;
        cairn_error error = {0};
        bool more;
        CHECK_OK(cairn_series_maintain(series, end, &more, &error));
        CHECK_INT(trap.writes, 0);
        CHECK_INT(cairn_series_flushed_end(series), 0);
        struct series_head head;
        for (uint32_t i = 0; i < 7; i++)
            CHECK_INT(cairn_series_known(series, key(i), &head), SERIES_ABSENT);
        CHECK(os_sim_file_size(sim, DIR "/0000000000000001.run") < 0);
        insert_range(series, 0, 500, 7);
        settle(series, 500);
        cairn_series_close(series);
        os_sim_free(sim);
    }
}

/* ---- damage -------------------------------------------------------------------------------- */

struct listing {
    char names[16][32];
    unsigned count;
};

static void
list_name(void *context, const char *name)
{
    struct listing *listing = context;
    assert_true(listing->count < 16);
    snprintf(listing->names[listing->count++], 32, "%s", name);
}

static bool
note_fault(void *context, const char *file, uint64_t offset, const char *what)
{
    (void)offset;
    (void)what;
    snprintf(context, 128, "%s", file);
    return true;
}

/* Is damage noticed by open, by check, and never read as an entry? */
static bool
is_detected(struct os *os, const char *path, size_t want_hot)
{
    struct series *series = NULL;
    cairn_error error = {0};
    cairn_err err = cairn_series_open(os, DIR, &small, &series, &error);
    if (err != CAIRN_OK)
        return (err == CAIRN_E_CORRUPT || err == CAIRN_E_VERSION)
               && strstr(error.detail, strrchr(path, '/') + 1);
    char file[128] = "";
    err = cairn_series_check(series, note_fault, file, &error);
    bool found = err == CAIRN_E_CORRUPT && strcmp(file, path) == 0;
    static struct series_head entries[4096];
    struct series_read read = {.key = key(1000), .end = UINT64_MAX};
    size_t count = 0;
    err = cairn_series_read(series, &read, entries, 4096, &count, &error);
    found = found && (err == CAIRN_E_CORRUPT || (err == CAIRN_OK && count == want_hot));
    cairn_series_close(series);
    return found;
}

/* Goal: a flipped byte anywhere in any file is noticed and named, and never returned as data.
 * Method: flip one bit of every byte of the manifest and of each run in turn (of the large runs every 7th). */
TEST(every_flipped_byte_is_detected)
{
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    struct series *series = open_index(os, &small);
    insert_range(series, 0, 900, 40);
    settle(series, 900);
    insert_range(series, 900, 1000, 40);
    settle(series, 1000);
    cairn_series_close(series);

    struct listing listing = {.count = 0};
    CHECK_INT(os_list(os, DIR, list_name, &listing), 0);
    CHECK(listing.count >= 2);
    for (unsigned i = 0; i < listing.count; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", DIR, listing.names[i]);
        uint64_t size = (uint64_t)os_sim_file_size(sim, path);
        for (uint64_t offset = 0; offset<size; offset += size> 20000 ? 7 : 1) {
            uint8_t bits = (uint8_t)(1u << offset % 8);
            CHECK_INT(os_sim_flip(sim, path, offset, bits), 0);
            if (!is_detected(os, path, 1000))
                fail_msg("%s: a flipped bit at byte %llu was not noticed", path,
                         (unsigned long long)offset);
            CHECK_INT(os_sim_flip(sim, path, offset, bits), 0);
        }
    }
    CHECK(!is_detected(os, DIR "/none", 1000)); /* the test can tell the difference */
    os_sim_free(sim);
}

/* Replace a file's bytes from `offset` on and make its last four a valid checksum again. */
static void
rewrite(struct os *os, const char *path, uint64_t offset, uint32_t value, uint64_t crc_end)
{
    struct os_file *file;
    static uint8_t bytes[8192];
    CHECK_INT(os_open(os, path, OS_WRITE, &file), 0);
    CHECK_INT(os_pread(os, file, bytes, crc_end, 0), crc_end);
    store32(bytes + offset, value);
    store32(bytes + crc_end - 4, crc32c(0, bytes, crc_end - 4));
    CHECK_INT(os_pwrite(os, file, bytes, crc_end, 0), crc_end);
    CHECK_INT(os_close(os, file), 0);
}

/* Goal: an unknown format version is refused as such, not taken for damage.
 * Method: raise the version in the manifest, then in a run's header, with a right checksum. */
TEST(unknown_version_is_refused)
{
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    struct series *series = open_index(os, &small);
    insert_range(series, 0, 50, 5);
    settle(series, 50);
    cairn_series_close(series);
    cairn_error error = {0};
    uint64_t size = (uint64_t)os_sim_file_size(sim, DIR "/MANIFEST");
    rewrite(os, DIR "/MANIFEST", 8, 3, size);
    CHECK_INT(cairn_series_open(os, DIR, &small, &series, &error), CAIRN_E_VERSION);
    CHECK(strstr(error.detail, "version 3") != NULL);
    rewrite(os, DIR "/MANIFEST", 8, 1, size);
    rewrite(os, DIR "/0000000000000001.run", 8, 7, 4096);
    CHECK_INT(cairn_series_open(os, DIR, &small, &series, &error), CAIRN_E_VERSION);
    CHECK(strstr(error.detail, "version 7") != NULL);
    rewrite(os, DIR "/0000000000000001.run", 8, 1, 4096); /* without ranges, version 1 is what we write too */
    series = open_index(os, &small);
    cairn_series_close(series);
    os_sim_free(sim);
}

/* Goal: what is missing is noticed; destroy makes a fresh start possible; orphans go.
 * Method: remove the manifest, then a run; destroy and open; leave a stray run and open. */
TEST(missing_files_and_orphans)
{
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    struct series *series = open_index(os, &small);
    insert_range(series, 0, 50, 5);
    settle(series, 50);
    cairn_series_close(series);
    cairn_error error = {0};
    CHECK_INT(os_rename(os, DIR "/MANIFEST", DIR "/aside"), 0);
    CHECK_INT(cairn_series_open(os, DIR, &small, &series, &error), CAIRN_E_CORRUPT);
    CHECK_INT(os_rename(os, DIR "/aside", DIR "/MANIFEST"), 0);
    CHECK_INT(os_rename(os, DIR "/0000000000000001.run", DIR "/00000000000000aa.run"), 0);
    CHECK_INT(cairn_series_open(os, DIR, &small, &series, &error), CAIRN_E_CORRUPT);
    CHECK(strstr(error.detail, "0000000000000001.run") != NULL);
    CHECK_OK(cairn_series_destroy(os, DIR, &error));
    CHECK(os_sim_file_size(sim, DIR "/00000000000000aa.run") < 0);

    struct os_file *file;
    series = open_index(os, &small);
    CHECK_INT(cairn_series_flushed_end(series), 0);
    cairn_series_close(series);
    CHECK_INT(os_open(os, DIR "/00000000000000bb.run", OS_WRITE | OS_CREATE, &file), 0);
    CHECK_INT(os_close(os, file), 0);
    struct series_options looking = small;
    looking.read_only = true;
    cairn_series_close(open_index(os, &looking));
    CHECK(os_sim_file_size(sim, DIR "/00000000000000bb.run") == 0);
    cairn_series_close(open_index(os, &small));
    CHECK(os_sim_file_size(sim, DIR "/00000000000000bb.run") < 0);
    os_sim_free(sim);
}

/* Goal: a read-only index changes nothing on disk and takes all that the log inserts.
 * Method: open read-only over a flushed part and over nothing; insert many tables' worth; count steps. */
TEST(read_only_writes_nothing)
{
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    struct series *series = open_index(os, &small);
    insert_range(series, 0, 500, 20);
    settle(series, 500);
    cairn_series_close(series);
    uint64_t steps = os_sim_steps(sim);

    struct series_options looking = small;
    looking.read_only = true;
    static struct series_head got[4096];
    cairn_error error = {0};
    bool more;
    series = open_index(os, &looking);
    for (uint64_t position = 500; position < 3000; position++) {
        CHECK(cairn_series_has_room(series, 1, position));
        cairn_series_insert(series, key(1000), 0, position);
    }
    CHECK_INT(read_all(series, key(1000), UINT64_MAX, got, 4096), 3000);
    CHECK_OK(cairn_series_maintain(series, 3000, &more, &error));
    CHECK_OK(cairn_series_flush(series, 3000, &error));
    CHECK_INT(cairn_series_flushed_end(series), 500);
    CHECK_OK(cairn_series_check(series, note_fault, got, &error));
    cairn_series_close(series);
    CHECK_OK(cairn_series_open(os, "/nowhere", &looking, &series, &error));
    CHECK_INT(cairn_series_flushed_end(series), 0);
    cairn_series_close(series);
    CHECK_INT(os_sim_steps(sim), steps);
    os_sim_free(sim);
}

/* Goal: a failed read is an error of the call, not of the index.
 * Method: fail the n-th read of a lookup with EIO, then EMFILE an open; the same calls then succeed. */
TEST(errors_of_the_machine)
{
    struct os_sim *sim = os_sim_new(1);
    struct os_faulty faulty;
    os_faulty_init(&faulty, os_sim_os(sim));
    struct series *series = open_index(&faulty.os, &small);
    insert_range(series, 0, 2000, 20);
    settle(series, 2000);
    struct series_read read = {.key = key(3), .end = UINT64_MAX};
    struct series_head got[128];
    size_t count = 0;
    cairn_error error = {0};
    faulty.kinds = OS_FAULT_READ;
    faulty.calls = 0;
    faulty.fail_at = 1;
    faulty.errno_value = 5;
    CHECK_INT(cairn_series_read(series, &read, got, 128, &count, &error), CAIRN_E_IO);
    CHECK_OK(cairn_series_read(series, &read, got, 128, &count, &error));
    CHECK_INT(count, 100);
    cairn_series_close(series);
    faulty.kinds = OS_FAULT_META;
    faulty.errno_value = 24;
    faulty.fail_at = 1;
    for (faulty.calls = 0, faulty.fired = false;; faulty.calls = 0, faulty.fired = false) {
        cairn_err err = cairn_series_open(&faulty.os, DIR, &small, &series, &error);
        CHECK(err == CAIRN_OK || err == CAIRN_E_IO);
        if (err == CAIRN_OK)
            cairn_series_close(series);
        if (!faulty.fired)
            break;
        faulty.fail_at++;
    }
    CHECK(faulty.fail_at > 3);
    os_sim_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(empty_index),
                                       RUN(full_tables_say_so),
                                       RUN(room_for_one_large_append),
                                       RUN(ranges_are_small_and_whole),
                                       RUN(room_for_gaps),
                                       RUN(same_entry_twice),
                                       RUN(few_runs_at_rest),
                                       RUN(warm_overtaken_by_flush),
                                       RUN(flush_overtaken_by_rewind),
                                       RUN(every_flipped_byte_is_detected),
                                       RUN(unknown_version_is_refused),
                                       RUN(missing_files_and_orphans),
                                       RUN(read_only_writes_nothing),
                                       RUN(errors_of_the_machine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

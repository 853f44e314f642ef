/* The series index with a writer, a maintainer and readers at the same time. Meant for PRESET=tsan too. */
#include "series_model.h"
#include <pthread.h>
#include <stdatomic.h>

#define STREAMS 97u
#define TAGS 1009u
#define READERS 3
#define PAGE 64

/* Event p is in stream p % STREAMS with ordinal p / STREAMS, bears tag p * 7 % TAGS, and is in series HOT; so
 * everybody knows what every series holds below any end. */
enum { STREAM = 1u << 20, TAG = 2u << 20, HOT = 3u << 20 };

struct shared {
    struct series *series;
    _Atomic uint64_t durable;
    _Atomic bool stop, failed;
    _Atomic uint64_t readers;
    bool rewinds;
    uint64_t events, seed;
};

/* cmocka's checks belong to the main thread: others note a failure. */
#define EXPECT(condition)                                                   \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            atomic_store(&shared->failed, true);                            \
        }                                                                   \
    } while (0)

static void
insert_event(struct series *series, uint64_t p)
{
    cairn_series_insert(series, model_key(STREAM + (uint32_t)(p % STREAMS)), p / STREAMS, p);
    cairn_series_insert(series, model_key(TAG + (uint32_t)(p * 7 % TAGS)), 0, p);
}

/* `count` events; what they have in common goes in as a range. */
static void
insert_batch(struct series *series, uint64_t p, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        insert_event(series, p + i);
    cairn_series_insert_range(series, model_key(HOT), 0, 0, p, count);
}

/* Before event p is inserted, what is the head of its stream? */
static void
check_known(struct shared *shared, uint64_t p)
{
    struct hash128 key = model_key(STREAM + (uint32_t)(p % STREAMS));
    struct series_head head = {0};
    enum series_known known = cairn_series_known(shared->series, key, &head);
    for (unsigned tries = 0; known == SERIES_UNKNOWN && tries < 1000; tries++) {
        cairn_error error;
        EXPECT(cairn_series_warm(shared->series, key, &error) == CAIRN_OK);
        known = cairn_series_known(shared->series, key, &head);
    }
    EXPECT(known == (p < STREAMS ? SERIES_ABSENT : SERIES_PRESENT));
    if (known == SERIES_PRESENT)
        EXPECT(head.position == p - STREAMS && head.ordinal == p / STREAMS - 1);
}

static void
wait_for_room(struct shared *shared, uint64_t p, uint64_t count)
{
    struct series_need need = {.entries = 2 * count, .ranges = 1, .range_entries = count};
    /* What was inserted becomes durable while the writer waits, as in the log. */
    while (!cairn_series_has_room_ranges(shared->series, &need, p)) {
        if (p > atomic_load(&shared->durable))
            atomic_store_explicit(&shared->durable, p, memory_order_release);
        usleep(100);
    }
}

static void *
write_events(void *context)
{
    struct shared *shared = context;
    uint64_t seed = shared->seed, p = 0;
    while (p < shared->events && !atomic_load(&shared->failed)) {
        for (uint64_t left = 1 + test_random(&seed) % 50, n; left > 0; left -= n, p += n) {
            n = test_random(&seed) % 2 ? 1 : left; /* fewer than STREAMS */
            wait_for_room(shared, p, n);
            for (uint64_t i = 0; i < n; i++)
                check_known(shared, p + i);
            insert_batch(shared->series, p, n);
        }
        uint64_t chance = test_random(&seed) % 200;
        if (chance < 4) {
            p = atomic_load(&shared->durable);
            cairn_err err = cairn_series_forget(shared->series, p);
            EXPECT(err == CAIRN_OK || err == CAIRN_E_BUSY);
            if (err != CAIRN_OK)
                break;
        } else if (chance < 6 && shared->rewinds) {
            EXPECT(cairn_series_rewind(shared->series) == CAIRN_OK);
            for (uint64_t again = cairn_series_flushed_end(shared->series); again < p; again++) {
                wait_for_room(shared, again, 1);
                insert_batch(shared->series, again, 1);
            }
        } else {
            atomic_store_explicit(&shared->durable, p, memory_order_release);
        }
    }
    atomic_store(&shared->stop, true);
    return NULL;
}

static void *
maintain(void *context)
{
    struct shared *shared = context;
    while (!atomic_load(&shared->stop)) {
        bool more;
        cairn_error error = {0};
        cairn_err err = cairn_series_maintain(
            shared->series, atomic_load_explicit(&shared->durable, memory_order_acquire), &more,
            &error);
        EXPECT(err == CAIRN_OK || err == CAIRN_E_BUSY);
        if (!more)
            usleep(200);
    }
    return NULL;
}

/* Read a page of a stream and compare it with what it must be. */
static void
check_stream(struct shared *shared, uint64_t *seed)
{
    struct series_head got[PAGE];
    uint64_t end = atomic_load_explicit(&shared->durable, memory_order_acquire);
    uint64_t stream = test_random(seed) % STREAMS;
    uint64_t total = end > stream ? (end - stream - 1) / STREAMS + 1 : 0;
    struct series_read read
        = {.key = model_key(STREAM + (uint32_t)stream), .end = end, .by = SERIES_BY_ORDINAL};
    read.from = test_random(seed) % (total + 2);
    read.backward = test_random(seed) % 2;
    uint64_t ordinal = read.backward && read.from >= total ? total - 1 : read.from;
    uint64_t left = total == 0          ? 0
                    : read.backward     ? ordinal + 1
                    : read.from < total ? total - read.from
                                        : 0;
    if (read.by == SERIES_BY_ORDINAL && test_random(seed) % 2) {
        read.by = SERIES_BY_POSITION;
        read.from = read.from * STREAMS + stream;
    }
    size_t count = 0;
    cairn_error error;
    EXPECT(cairn_series_read(shared->series, &read, got, PAGE, &count, &error) == CAIRN_OK);
    if (!shared->rewinds)
        EXPECT(count == (left < PAGE ? left : PAGE));
    for (size_t i = 0; i < count; i++) {
        EXPECT(got[i].position == got[i].ordinal * STREAMS + stream && got[i].position < end);
        if (!shared->rewinds)
            EXPECT(got[i].ordinal == (read.backward ? ordinal - i : ordinal + i));
    }
}

static void
check_tag(struct shared *shared, uint64_t *seed)
{
    uint64_t end = atomic_load_explicit(&shared->durable, memory_order_acquire),
             tag = test_random(seed) % TAGS;
    uint64_t first = tag * 865 % TAGS; /* 7 * 865 = 1 modulo 1009 */
    struct series_head head;
    cairn_error error;
    cairn_err err
        = cairn_series_head(shared->series, model_key(TAG + (uint32_t)tag), end, &head, &error);
    EXPECT(err == CAIRN_OK || err == CAIRN_E_END);
    if (err == CAIRN_OK)
        EXPECT(head.position % TAGS == first && head.position < end);
    if (!shared->rewinds && end > first)
        EXPECT(err == CAIRN_OK && head.position + TAGS >= end);
    else if (end <= first)
        EXPECT(err == CAIRN_E_END);
}

static void
check_hot(struct shared *shared, uint64_t *seed)
{
    struct series_head got[PAGE];
    uint64_t end = atomic_load_explicit(&shared->durable, memory_order_acquire);
    struct series_read read
        = {.key = model_key(HOT), .end = end, .from = end ? test_random(seed) % end : 0};
    size_t count = 0;
    cairn_error error;
    EXPECT(cairn_series_read(shared->series, &read, got, PAGE, &count, &error) == CAIRN_OK);
    if (!shared->rewinds)
        EXPECT(count == (end - read.from < PAGE ? end - read.from : PAGE));
    for (size_t i = 0; i < count && !shared->rewinds; i++)
        EXPECT(got[i].position == read.from + i);
}

static bool
count_visit(void *context, struct hash128 key, uint64_t ordinal, uint64_t position)
{
    (void)key;
    (void)ordinal;
    (void)position;
    ++*(uint64_t *)context;
    return true;
}

static void
check_rest(struct shared *shared, uint64_t *seed)
{
    uint64_t end = atomic_load_explicit(&shared->durable, memory_order_acquire), count = 0;
    cairn_error error;
    struct series_stats stats;
    EXPECT(cairn_series_warm(shared->series,
                             model_key(STREAM + (uint32_t)(test_random(seed) % STREAMS)), &error)
           == CAIRN_OK);
    cairn_series_stats(shared->series, &stats);
    if (test_random(seed) % 64)
        return;
    EXPECT(cairn_series_each(shared->series, end, count_visit, &count, &error) == CAIRN_OK);
    if (!shared->rewinds)
        EXPECT(count == 3 * end);
}

static void *
read_events(void *context)
{
    struct shared *shared = context;
    uint64_t seed = shared->seed + 1 + atomic_fetch_add(&shared->readers, 1);
    while (!atomic_load(&shared->stop)) {
        check_stream(shared, &seed);
        check_tag(shared, &seed);
        check_hot(shared, &seed);
        check_rest(shared, &seed);
    }
    return NULL;
}

static void
run_threads(bool rewinds)
{
    char folder[64], dir[80];
    test_folder(folder);
    snprintf(dir, sizeof dir, "%s/index", folder);
    struct series_options options = {.memory_events = 700, .head_cache_entries = 64};
    struct shared shared
        = {.rewinds = rewinds, .events = 40000 * test_scale(), .seed = test_seed()};
    cairn_error error;
    CHECK_OK(cairn_series_open(os_real(), dir, &options, &shared.series, &error));
    pthread_t writer, maintainer, readers[READERS];
    CHECK_INT(pthread_create(&writer, NULL, write_events, &shared), 0);
    CHECK_INT(pthread_create(&maintainer, NULL, maintain, &shared), 0);
    for (unsigned i = 0; i < READERS; i++)
        CHECK_INT(pthread_create(&readers[i], NULL, read_events, &shared), 0);
    pthread_join(writer, NULL);
    pthread_join(maintainer, NULL);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    CHECK(!atomic_load(&shared.failed));
    bool more = true;
    while (more)
        CHECK_OK(cairn_series_maintain(shared.series, shared.durable, &more, &error));
    struct series_stats stats;
    cairn_series_stats(shared.series, &stats);
    CHECK(stats.flushes > 5 && stats.merges > 0 && stats.runs <= 10);
    cairn_series_close(shared.series);
    test_remove(folder);
}

/* Goal: readers always see exactly what is below the end they know, and the writer the true heads.
 * Method: one writer (with forgets), one maintainer and three readers; every series has a closed form. */
TEST(readers_see_everything_below_their_end)
{
    run_threads(false);
}

/* Goal: a rewind never shows anybody a wrong entry or head, whatever flush it overtakes.
 * Method: the same with rewinds; entries may be missing for a moment, but never wrong. */
TEST(rewinds_show_nothing_wrong)
{
    run_threads(true);
}

int
main(void)
{
    const struct CMUnitTest tests[]
        = {RUN(readers_see_everything_below_their_end), RUN(rewinds_show_nothing_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

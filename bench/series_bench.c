/* The series index alone: what an insert, a lookup, a read and a byte cost.
 *
 *   series_bench [EVENTS] [STREAMS] [FOLDER]      5,000,000 1,000,000 and a new folder in TMPDIR
 *
 * Every event is in four series: one of STREAMS streams and one of as many tags at random, one of 10
 * categories, one of 20 types. The writer asks for the stream's head as an append would. Maintenance runs
 * on the same thread and is timed apart, so figures are for one core. */
#include <log/series.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH 256u

static uint64_t seed = 42;

static uint64_t
next_random(void)
{
    uint64_t z = (seed += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static struct hash128
key_of(uint64_t kind, uint64_t name)
{
    uint64_t keep = seed;
    seed = kind << 56 ^ name * 0x9E3779B97F4A7C15u;
    struct hash128 key = {.low = next_random(), .high = next_random()};
    seed = keep;
    return key;
}

enum { STREAM, CATEGORY, TYPE, TAG, KINDS };

static double
now_ns(void)
{
    return 1000.0 * (double)os_monotonic_us(os_real());
}

static void
must(cairn_err err, const cairn_error *error)
{
    if (err != CAIRN_OK) {
        fprintf(stderr, "series_bench: %s\n", error->detail);
        exit(1);
    }
}

struct bench {
    struct series *series;
    uint64_t events, streams;
    uint64_t *revisions; /* of each stream */
    double insert_ns, hot_ns, room_ns, maintain_ns, known_ns, longest_maintain_ns;
    uint64_t known_asked, known_unknown;
};

struct keys {
    struct hash128 key[KINDS];
    uint64_t stream;
};

static void
maintain(struct bench *bench, uint64_t durable, bool all)
{
    cairn_error error;
    bool more = true;
    while (more) {
        double begin = now_ns();
        must(cairn_series_maintain(bench->series, durable, &more, &error), &error);
        double took = now_ns() - begin;
        bench->maintain_ns += took;
        if (took > bench->longest_maintain_ns)
            bench->longest_maintain_ns = took;
        if (!all)
            break;
    }
}

static void
fill_batch(struct bench *bench, struct keys *batch, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct keys *keys = &batch[i];
        keys->stream = next_random() % bench->streams;
        keys->key[STREAM] = key_of(STREAM, keys->stream);
        keys->key[CATEGORY] = key_of(CATEGORY, next_random() % 10);
        keys->key[TYPE] = key_of(TYPE, next_random() % 20);
        keys->key[TAG] = key_of(TAG, next_random() % bench->streams);
    }
}

static void
insert_batch(struct bench *bench, const struct keys *batch, uint64_t count, uint64_t position)
{
    double begin = now_ns();
    while (!cairn_series_has_room(bench->series, count * KINDS, position)) {
        bench->room_ns += now_ns() - begin;
        maintain(bench, position, false);
        begin = now_ns();
    }
    bench->room_ns += now_ns() - begin;

    begin = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        struct series_head head;
        if (i + 4 < count)
            cairn_series_prefetch(bench->series, batch[i + 4].key[STREAM]);
        bench->known_unknown
            += cairn_series_known(bench->series, batch[i].key[STREAM], &head) == SERIES_UNKNOWN;
    }
    double known = now_ns();
    bench->known_ns += known - begin;
    bench->known_asked += count;
    for (uint64_t i = 0; i < count; i++) {
        if (i + 4 < count)
            cairn_series_prefetch(bench->series, batch[i + 4].key[TAG]);
        cairn_series_insert(bench->series, batch[i].key[STREAM],
                            bench->revisions[batch[i].stream]++, position + i);
        cairn_series_insert(bench->series, batch[i].key[TAG], 0, position + i);
    }
    double middle = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        cairn_series_insert(bench->series, batch[i].key[CATEGORY], 0, position + i);
        cairn_series_insert(bench->series, batch[i].key[TYPE], 0, position + i);
    }
    bench->insert_ns += middle - known;
    bench->hot_ns += now_ns() - middle;
}

static void
print_size(struct bench *bench, const char *when)
{
    struct series_stats stats;
    cairn_series_stats(bench->series, &stats);
    printf("%-34s %6.2f B an event, %4.2f B an entry in %llu runs; memory %llu MiB\n", when,
           (double)stats.run_bytes / (double)bench->events,
           (double)stats.run_bytes / (double)(stats.entries ? stats.entries : 1),
           (unsigned long long)stats.runs, (unsigned long long)(stats.memory_bytes >> 20));
}

static void
insert_all(struct bench *bench)
{
    struct keys batch[BATCH];
    for (uint64_t at = 0; at < bench->events; at += BATCH) {
        uint64_t count = bench->events - at < BATCH ? bench->events - at : BATCH;
        fill_batch(bench, batch, count);
        insert_batch(bench, batch, count, at);
    }
    print_size(bench, "before the end");
    double inline_ns = bench->maintain_ns;
    cairn_error error;
    double begin = now_ns();
    must(cairn_series_flush(bench->series, bench->events, &error), &error);
    printf("%-34s %6.0f ms\n", "flush at a clean stop", (now_ns() - begin) / 1e6);
    maintain(bench, bench->events, true);
    double events = (double)bench->events;
    printf("%-34s %6.1f ns\n", "insert, cold (stream, tag)", bench->insert_ns / events / 2);
    printf("%-34s %6.1f ns\n", "insert, hot (category, type)", bench->hot_ns / events / 2);
    printf("%-34s %6.1f ns, %.1f %% unknown\n", "known (stream)", bench->known_ns / events,
           100.0 * (double)bench->known_unknown / (double)bench->known_asked);
    printf("%-34s %6.1f ns an event\n", "has_room", bench->room_ns / events);
    printf("%-34s %6.1f ns an event while inserting, %.1f at the end; longest call %.0f ms\n",
           "maintain", inline_ns / events, (bench->maintain_ns - inline_ns) / events,
           bench->longest_maintain_ns / 1e6);
}

static void
look_up(struct bench *bench)
{
    enum { COUNT = 100000 };
    cairn_error error;
    double begin = now_ns();
    for (unsigned i = 0; i < COUNT; i++)
        must(cairn_series_warm(bench->series, key_of(STREAM, next_random() % bench->streams),
                               &error),
             &error);
    printf("%-34s %6.0f ns\n", "warm, from the runs", (now_ns() - begin) / COUNT);
    begin = now_ns();
    for (unsigned i = 0; i < COUNT; i++)
        must(cairn_series_warm(bench->series, key_of(STREAM, bench->streams + i), &error), &error);
    printf("%-34s %6.0f ns\n", "warm, no such stream", (now_ns() - begin) / COUNT);
    begin = now_ns();
    for (unsigned i = 0; i < COUNT; i++) {
        struct series_head head;
        cairn_err err
            = cairn_series_head(bench->series, key_of(STREAM, next_random() % bench->streams),
                                bench->events / 2, &head, &error);
        if (err != CAIRN_E_END)
            must(err, &error);
    }
    printf("%-34s %6.0f ns\n", "head below the middle", (now_ns() - begin) / COUNT);
}

static void
read_all(struct bench *bench, const char *what, struct hash128 key, bool backward, size_t page)
{
    struct series_head *entries = calloc(page, sizeof *entries);
    struct series_read read = {
        .key = key, .backward = backward, .from = backward ? UINT64_MAX : 0, .end = bench->events};
    uint64_t total = 0;
    size_t count;
    cairn_error error;
    double begin = now_ns();
    do {
        must(cairn_series_read(bench->series, &read, entries, page, &count, &error), &error);
        total += count;
        if (count > 0)
            read.from = entries[count - 1].position + (backward ? -1 : 1);
    } while (count > 0);
    printf("%-24s pages of %-5zu %6.1f ns an entry (%llu)\n", what, page,
           (now_ns() - begin) / (double)total, (unsigned long long)total);
    free(entries);
}

int
main(int argc, char **argv)
{
    struct bench bench = {.events = argc > 1 ? strtoull(argv[1], NULL, 0) : 5000000,
                          .streams = argc > 2 ? strtoull(argv[2], NULL, 0) : 1000000};
    char folder[4096], dir[4200];
    snprintf(folder, sizeof folder, "%s/series-bench-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    bool own = argc <= 3;
    if (own && mkdtemp(folder) == NULL) {
        perror("series_bench");
        return 1;
    }
    snprintf(dir, sizeof dir, "%s/index", own ? folder : argv[3]);
    struct series_options options = {.memory_events = 1000000, .head_cache_entries = 1000000};
    bench.revisions = calloc(bench.streams, sizeof *bench.revisions);
    cairn_error error;
    must(cairn_series_open(os_real(), dir, &options, &bench.series, &error), &error);

    insert_all(&bench);
    print_size(&bench, "at rest");
    look_up(&bench);
    read_all(&bench, "category forward", key_of(CATEGORY, 3), false, 4096);
    read_all(&bench, "category forward", key_of(CATEGORY, 3), false, 256);
    read_all(&bench, "category backward", key_of(CATEGORY, 3), true, 256);

    cairn_series_close(bench.series);
    double begin = now_ns();
    must(cairn_series_open(os_real(), dir, &options, &bench.series, &error), &error);
    printf("%-34s %6.1f ms\n", "open", (now_ns() - begin) / 1e6);
    struct series_stats stats;
    cairn_series_stats(bench.series, &stats);
    cairn_series_close(bench.series);
    if (own) {
        must(cairn_series_destroy(os_real(), dir, &error), &error);
        if (rmdir(dir) != 0 || rmdir(folder) != 0)
            perror(dir);
    }
    free(bench.revisions);
    return 0;
}

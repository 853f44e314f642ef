/* cairn_child.c: what has to be measured in a process that has done nothing else.
 *
 *   bench --child open DIR 0     open, read one event, close; says how long opening took, and sizes
 *   bench --child dirty DIR N    append to N streams, say "ready" at a bad moment, wait to be killed
 *   bench --child use DIR N      append to and read any of N streams for a while; says how much memory that took
 *
 * Answers are "name=value" words on the standard output. */
#include "cairn_log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIRTY_STEP 50000
#define DIRTY_MAX 2500000 /* DIRTY_MAX / DIRTY_STEP < ROUNDS_MAX */
#define USE_SECONDS 1.0
#define USE_READS 20000
#define USE_SCAN 5000000

static int
child_open(const char *folder)
{
    cairn_store *store;
    cairn_stats stats;
    uint64_t begin = now_ns();
    if (!lib_open(folder, &store))
        return 1;
    double ms = (double)(now_ns() - begin) / 1e6;
    bool ok = log_read_all(store, 1) == 1;
    cairn_stats_get(store, &stats);
    printf("ms=%.3f events=%llu recovered_events=%llu index_bytes=%llu index_bytes_per_event=%.2f "
           "log_bytes_per_event=%.2f index_runs=%llu rss_mb=%.1f\n",
           ms, (unsigned long long)stats.events, (unsigned long long)stats.recovered_events,
           (unsigned long long)stats.index_bytes, (double)stats.index_bytes / (double)stats.events,
           (double)stats.log_bytes / (double)stats.events, (unsigned long long)stats.index_runs,
           memory_mb(getpid(), "VmRSS"));
    cairn_close(store);
    return ok ? 0 : 1;
}

/* The worst moment to be killed at is just before the index flushes its memory table: append until a
 * flush has shown where that is, and go on until it is near again. */
static bool
append_up_to_a_flush(cairn_store *store, uint64_t streams)
{
    cairn_stats stats;
    uint64_t total = 0, last = 0, peak = 0;
    for (bool flushed = false; total < DIRTY_MAX; total += DIRTY_STEP) {
        if (!log_build(store, total, total + DIRTY_STEP, streams, 0))
            return false;
        cairn_stats_get(store, &stats);
        flushed |= stats.index_memory_entries < last;
        last = stats.index_memory_entries;
        peak = last > peak ? last : peak;
        if (flushed && last >= peak - peak / 8)
            break;
    }
    return true;
}

static int
child_dirty(const char *folder, uint64_t streams)
{
    cairn_store *store;
    cairn_stats stats;
    if (!lib_open(folder, &store) || !append_up_to_a_flush(store, streams))
        return 1;
    const struct figure *busy = figure_find("log.build_busy_answers");
    double answers = 0;
    for (unsigned i = 0; busy != NULL && i < busy->count; i++)
        answers += busy->values[i];
    cairn_stats_get(store, &stats);
    printf("busy_answers=%.0f memory_table_events=%llu ready\n", answers,
           (unsigned long long)stats.index_memory_entries);
    fflush(stdout);
    for (;;)
        pause();
}

static void
say_memory(cairn_store *store, const char *when)
{
    cairn_stats stats;
    cairn_stats_get(store, &stats);
    printf("%s.rss_mb=%.1f %s.anonymous_mb=%.1f %s.file_mb=%.1f %s.known_mb=%.1f\n", when,
           memory_mb(getpid(), "VmRSS"), when, memory_mb(getpid(), "RssAnon"), when,
           memory_mb(getpid(), "RssFile"), when, (double)stats.memory_bytes / 1e6);
}

static int
child_use(const char *folder, uint64_t streams)
{
    cairn_store *store;
    struct sample sample = {0};
    if (!lib_open(folder, &store))
        return 1;
    say_memory(store, "opened");
    struct lib_load load = {.store = store,
                            .shape = {.events = 1, .clients = 64, .seconds = USE_SECONDS},
                            .streams = streams,
                            .tags = streams,
                            .condition = true};
    bool ok = lib_run_async(&load, &sample);
    uint64_t random = 88172645463325252u, begin = now_ns();
    for (unsigned i = 0; ok && i < USE_READS; i++) {
        char stream[32];
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        lib_stream_name(stream, random % streams);
        ok = log_read_stream(store, stream) > 0;
    }
    printf("streams_read_per_s=%.0f\n", USE_READS * 1e9 / (double)(now_ns() - begin));
    say_memory(store, "used");
    ok = ok && log_read_all(store, USE_SCAN) > 0;
    say_memory(store, "scanned");
    cairn_close(store);
    return ok ? 0 : 1;
}

int
child_main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    uint64_t number = strtoull(arguments[2], NULL, 10);
    if (strcmp(arguments[0], "open") == 0)
        return child_open(arguments[1]);
    if (strcmp(arguments[0], "dirty") == 0)
        return child_dirty(arguments[1], number);
    if (strcmp(arguments[0], "use") == 0)
        return child_use(arguments[1], number);
    return 2;
}

/* The log and its index: computed again, damaged, looked at while it changes. On the simulated disk, with no background
 * threads: what happens meanwhile happens in the middle of a call (os_hook.h). */
#include <log/log_int.h>
#include "os_hook.h"
#include <test.h>

#define FOLDER "data"
#define INDEX FOLDER "/index"
#define FLUSH_EVENTS 30 /* after so many the memory table is sure to be full */

static cairn_error error;

static struct log *
open_log(struct os *os)
{
    struct log *log;
    struct log_options options;
    cairn_log_defaults(&options);
    options.create = options.no_background = true;
    options.segment_size_bytes = 64 << 10;
    options.index_memory_events = 20;
    options.head_cache_entries = 64;
    CHECK_TOLD(cairn_log_open(os, FOLDER, &options, &log, &error));
    return log;
}

/* One append each, of two tags to one of seven streams. */
static void
append(struct log *log, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char stream[16];
        snprintf(stream, sizeof stream, "s-%u", (unsigned)log->next_position % 7);
        cairn_str tags[] = {CAIRN_STR("red"), CAIRN_STR("round")};
        cairn_event event = {.type = CAIRN_STR("T"), .tags = tags, .tag_count = 2};
        cairn_write write = {cairn_cstr(stream), CAIRN_ANY, &event, 1};
        cairn_append_request request = {.writes = &write, .write_count = 1};
        cairn_at at;
        CHECK_TOLD(cairn_log_append(log, &request, &at, &error));
    }
}

/* Everything that is appended has the tag "red": the index tells them all. */
static void
check_all(struct log *log)
{
    cairn_str tag = CAIRN_STR("red");
    cairn_query_item item = {.tags = &tag, .tag_count = 1};
    cairn_read_options options = {.query = {&item, 1}};
    struct log_reader *reader;
    cairn_recorded event;
    uint64_t count = 0;
    cairn_err err;
    CHECK_TOLD(cairn_log_read_all(log, &options, &reader, &error));
    while ((err = cairn_log_reader_next(reader, &event, &error)) == CAIRN_OK)
        CHECK_INT(event.position, count++);
    CHECK_INT(err, CAIRN_E_END);
    CHECK_INT(count, cairn_log_end(log));
    cairn_log_reader_free(reader);
}

static bool
print_fault(void *context __attribute__((unused)), const char *file, uint64_t offset, const char *what)
{
    print_message("%s at %llu: %s\n", file, (unsigned long long)offset, what);
    return true;
}

static void
check_verified(struct log *log)
{
    cairn_verify_report report;
    CHECK_TOLD(cairn_log_verify(log, print_fault, NULL, NULL, &report, &error));
    CHECK_INT(report.events, cairn_log_end(log));
}

static cairn_stats
stats_of(struct log *log)
{
    cairn_stats stats;
    cairn_log_stats(log, &stats);
    return stats;
}

/* The index is used as the log left it: nothing had to be entered again. */
static struct log *
reopen_with_index(struct os *os, struct log *log)
{
    cairn_log_close(log);
    log = open_log(os);
    CHECK_INT(log->stats.recovered_events, 0);
    CHECK_INT(stats_of(log).index_faults, 0);
    check_all(log);
    check_verified(log);
    return log;
}

struct names {
    char first[64];
    unsigned runs, others;
};

static void
note_name(void *context, const char *name)
{
    struct names *names = context;
    if (strstr(name, ".run") == NULL) {
        names->others++;
    } else if (names->runs++ == 0) {
        snprintf(names->first, sizeof names->first, "%s/%s", INDEX, name);
    }
}

static struct names
names_in(struct os_sim *sim, const char *folder)
{
    struct names names = {.runs = 0};
    (void)os_list(os_sim_os(sim), folder, note_name, &names);
    return names;
}

/* ---- reindexing --------------------------------------------------------------------------------- */

static void
merge_and_reindex(void *context)
{
    struct log *log = context;
    struct series_stats before, after;
    append(log, FLUSH_EVENTS);
    cairn_series_stats(log->series, &before);
    CHECK_TOLD(cairn_log_maintain(log, &error));
    cairn_series_stats(log->series, &after);
    CHECK(after.merges > before.merges);
    CHECK_TOLD(cairn_log_reindex(log, NULL, NULL, &error));
}

/* Goal: the old index, which readers may still be in, takes none of the new one's files away.
 * Method: while a reader is in the runs they are merged, so that their files are to be removed when it has left; and
 * then the index is computed again, which makes files of the same names. Append, close, open. */
TEST(old_index_leaves_the_new_one_alone)
{
    struct os_sim *sim = os_sim_new(1);
    struct os_hook hook;
    struct log *log = open_log(os_hook_init(&hook, os_sim_os(sim)));
    while (stats_of(log).index_runs < 2)
        append(log, 1);
    struct series_read read = {.key = log_key(log, KEY_TAG, 0, CAIRN_STR("red")), .end = 1};
    struct series_head entry;
    size_t count;
    os_hook_arm(&hook, HOOK_READ, NULL, merge_and_reindex, log);
    CHECK_TOLD(cairn_series_read(log->series, &read, &entry, 1, &count, &error));
    CHECK_INT(log->retired_count, 1);
    append(log, FLUSH_EVENTS + 7);
    check_all(log);
    log = reopen_with_index(os_sim_os(sim), log);
    cairn_log_close(log);
    os_sim_free(sim);
}

/* Goal: reindexing that fails leaves the log at work with a good index; and it may be done several times.
 * Method: fail each call on the way; append, flush; open again, every file must be there, and none too many. */
TEST(failed_reindex_changes_nothing)
{
    bool fired = true;
    for (uint64_t call = 1; fired; call++) {
        struct os_sim *sim = os_sim_new(call);
        struct os_hook hook;
        struct log *log = open_log(os_hook_init(&hook, os_sim_os(sim)));
        append(log, 3 * FLUSH_EVENTS);
        hook.faulty.kinds = OS_FAULT_ALL;
        hook.faulty.calls = 0;
        hook.faulty.fail_at = call;
        cairn_err err = cairn_log_reindex(log, NULL, NULL, &error);
        fired = hook.faulty.fired;
        hook.faulty.fail_at = 0;
        CHECK(fired || err == CAIRN_OK);
        append(log, 3 * FLUSH_EVENTS);
        CHECK_TOLD(cairn_log_maintain(log, &error));
        check_all(log);
        if (!atomic_load(&log->failed))
            CHECK_TOLD(cairn_log_reindex(log, NULL, NULL, &error));
        append(log, FLUSH_EVENTS);
        CHECK_TOLD(cairn_log_maintain(log, &error));
        log = reopen_with_index(os_sim_os(sim), log);
        uint64_t runs = stats_of(log).index_runs;
        CHECK_INT(names_in(sim, INDEX).runs, runs);
        CHECK_INT(names_in(sim, INDEX ".new").runs + names_in(sim, INDEX ".old").runs, 0);
        cairn_log_close(log);
        os_sim_free(sim);
    }
}

static void *
append_and_end(void *log)
{
    append(log, FLUSH_EVENTS);
    return NULL;
}

/* By another thread, as it would be, while this one holds what it holds. */
static void
append_some(void *log)
{
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, append_and_end, log), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
}

/* Goal: appends go on while the index is computed again, and are in it.
 * Method: append when it makes its first file. */
TEST(appends_go_on_while_reindexing)
{
    struct os_sim *sim = os_sim_new(1);
    struct os_hook hook;
    struct log *log = open_log(os_hook_init(&hook, os_sim_os(sim)));
    append(log, 2 * FLUSH_EVENTS);
    os_hook_arm(&hook, HOOK_OPEN, "index.new/0", append_some, log);
    CHECK_TOLD(cairn_log_reindex(log, NULL, NULL, &error));
    CHECK(hook.meanwhile == NULL);
    CHECK_INT(cairn_log_end(log), 3 * FLUSH_EVENTS);
    check_all(log);
    log = reopen_with_index(os_sim_os(sim), log);
    cairn_log_close(log);
    os_sim_free(sim);
}

/* Goal: it is refused, rather than holding on to more and more memory, after a number of times.
 * Method: as often as that, and once more. */
TEST(reindexing_has_a_limit)
{
    struct os_sim *sim = os_sim_new(1);
    struct log *log = open_log(os_sim_os(sim));
    append(log, FLUSH_EVENTS);
    for (int i = 0; i < LOG_RETIRED_MAX; i++)
        CHECK_TOLD(cairn_log_reindex(log, NULL, NULL, &error));
    CHECK_INT(cairn_log_reindex(log, NULL, NULL, &error), CAIRN_E_BUSY);
    append(log, FLUSH_EVENTS);
    check_all(log);
    log = reopen_with_index(os_sim_os(sim), log);
    CHECK_TOLD(cairn_log_reindex(log, NULL, NULL, &error));
    cairn_log_close(log);
    os_sim_free(sim);
}

/* ---- damage ------------------------------------------------------------------------------------- */

/* A log with two runs, of which the first has a damaged block, and a third one nearly due. */
static struct log *
log_with_damaged_run(struct os_sim *sim)
{
    struct log *log = open_log(os_sim_os(sim));
    while (stats_of(log).index_runs < 2)
        append(log, 1);
    struct names names = names_in(sim, INDEX);
    CHECK_INT(names.runs, 2);
    CHECK_INT(os_sim_flip(sim, names.first, 4096 + 100, 1), 0);
    return log;
}

/* Goal: a damaged run that is found in a merge is mended by computing the index again, and that is visible.
 * Method: flip a bit of a run; append until it is merged; maintain. */
TEST(damaged_run_is_mended)
{
    struct os_sim *sim = os_sim_new(1);
    struct log *log = log_with_damaged_run(sim);
    append(log, 3 * FLUSH_EVENTS);
    CHECK_TOLD(cairn_log_maintain(log, &error));
    cairn_stats stats = stats_of(log);
    CHECK_INT(stats.index_faults, 1);
    CHECK_INT(stats.index_failure.code, CAIRN_OK);
    CHECK_INT(log->retired_count, 1);
    check_all(log);
    check_verified(log);
    append(log, 3 * FLUSH_EVENTS);
    CHECK_TOLD(cairn_log_maintain(log, &error));
    CHECK_INT(stats_of(log).index_faults, 1);
    log = reopen_with_index(os_sim_os(sim), log);
    cairn_log_close(log);
    os_sim_free(sim);
}

/* Goal: it is done once: when damage comes again something is at work on the index, and that is told.
 * Method: flip a bit of a run after mending, too. */
TEST(mending_is_done_once)
{
    struct os_sim *sim = os_sim_new(1);
    struct log *log = log_with_damaged_run(sim);
    append(log, 3 * FLUSH_EVENTS);
    CHECK_TOLD(cairn_log_maintain(log, &error));
    CHECK_INT(log->retired_count, 1);
    CHECK_INT(os_sim_flip(sim, names_in(sim, INDEX).first, 4096 + 100, 1), 0);
    append(log, 12 * FLUSH_EVENTS); /* which meets the damage when there is no room */
    CHECK_TOLD(cairn_log_maintain(log, &error));
    CHECK_INT(stats_of(log).index_faults, 2);
    CHECK_INT(log->retired_count, 1);
    CHECK_INT(stats_of(log).index_failure.code, CAIRN_E_CORRUPT);
    CHECK_TOLD(cairn_log_reindex(log, NULL, NULL, &error)); /* a person may */
    CHECK_INT(stats_of(log).index_failure.code, CAIRN_OK);
    check_all(log);
    check_verified(log);
    cairn_log_close(log);
    os_sim_free(sim);
}

/* Goal: the threads of the background do the same.
 * Method: open the damaged log with them, append, wait until it is mended. */
TEST(damaged_run_is_mended_in_the_background)
{
    char folder[64], path[128];
    test_folder(folder);
    struct log_options options;
    struct log *log;
    cairn_log_defaults(&options);
    options.create = options.no_background = true;
    options.index_memory_events = 20;
    CHECK_TOLD(cairn_log_open(os_real(), folder, &options, &log, &error));
    while (stats_of(log).index_runs < 2)
        append(log, 1);
    cairn_log_close(log);
    snprintf(path, sizeof path, "%s/index/0000000000000001.run", folder);
    FILE *file = fopen(path, "r+");
    CHECK(file != NULL && fseek(file, 4096 + 100, SEEK_SET) == 0);
    int byte = fgetc(file);
    CHECK(fseek(file, 4096 + 100, SEEK_SET) == 0 && fputc(byte ^ 1, file) != EOF && fclose(file) == 0);
    options.no_background = false;
    CHECK_TOLD(cairn_log_open(os_real(), folder, &options, &log, &error));
    while (stats_of(log).index_faults == 0 || atomic_load(&log->index_damaged)
           || stats_of(log).index_failure.code != CAIRN_OK)
        append(log, 1);
    check_all(log);
    check_verified(log);
    cairn_log_close(log);
    test_remove(folder);
}

/* Goal: when the index cannot be computed again the log says so once, and goes on: it appends, flushes, and reads what
 * is whole, and does not try for ever.
 * Method: the log itself is damaged, too. */
TEST(failed_mending_is_told_once)
{
    struct os_sim *sim = os_sim_new(1);
    struct log *log = log_with_damaged_run(sim);
    append(log, 3 * FLUSH_EVENTS);
    CHECK_INT(os_sim_flip(sim, FOLDER "/segments/00000001.seg", 200, 1), 0);
    CHECK_INT(cairn_log_maintain(log, &error), CAIRN_E_CORRUPT);
    CHECK(strstr(error.detail, ".run") != NULL && strstr(error.detail, ".seg") != NULL);
    uint64_t merges = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct series_stats series;
        append(log, 3 * FLUSH_EVENTS);
        CHECK_TOLD(cairn_log_maintain(log, &error));
        cairn_series_stats(log->series, &series);
        CHECK(i == 0 || series.merges == merges);
        CHECK(series.memory_entries <= 6 * 20 * 2); /* it is flushed */
        merges = series.merges;
    }
    cairn_stats stats = stats_of(log);
    CHECK_INT(stats.index_faults, 1);
    CHECK_INT(stats.index_failure.code, CAIRN_E_CORRUPT);
    CHECK(!stats.failed);
    CHECK_INT(names_in(sim, INDEX ".new").runs, 0);
    cairn_log_close(log);
    os_sim_free(sim);
}

/* Goal: mending waits for the administrator's work that is going on, and is then done.
 * Method: maintain in the middle of a backup's progress, then after it. */
static bool
maintain_meanwhile(void *context, uint64_t done __attribute__((unused)),
                   uint64_t total __attribute__((unused)), const char *unit __attribute__((unused)))
{
    struct log *log = context;
    CHECK_TOLD(cairn_log_maintain(log, &error));
    CHECK_INT(log->retired_count, 0);
    return true;
}

TEST(mending_waits_for_other_work)
{
    struct os_sim *sim = os_sim_new(1);
    struct log *log = log_with_damaged_run(sim);
    uint64_t end;
    append(log, 3 * FLUSH_EVENTS);
    CHECK_TOLD(cairn_log_backup(log, "copy", maintain_meanwhile, log, &end, &error));
    CHECK_INT(stats_of(log).index_faults, 1);
    CHECK_INT(stats_of(log).index_failure.code, CAIRN_E_CORRUPT);
    CHECK_TOLD(cairn_log_maintain(log, &error));
    CHECK_INT(log->retired_count, 1);
    CHECK_INT(stats_of(log).index_failure.code, CAIRN_OK);
    check_all(log);
    check_verified(log);
    cairn_log_close(log);
    os_sim_free(sim);
}

/* Goal: an index that cannot be read never keeps a log from being opened.
 * Method: flip a bit at many places of the oldest run, which has the limits of a stream; open, and ask for them. */
TEST(damaged_index_opens)
{
    struct os_sim *sim = os_sim_new(1);
    struct log *log = open_log(os_sim_os(sim));
    cairn_retention limits = {.max_count = 2};
    CHECK_TOLD(cairn_log_retention_set(log, 0, CAIRN_STR("other"), &limits, &error));
    append(log, 3 * FLUSH_EVENTS);
    cairn_log_close(log);
    struct names names = names_in(sim, INDEX);
    CHECK(names.runs > 0);
    int64_t size = os_sim_file_size(sim, names.first);
    uint64_t faults = 0;
    for (int64_t at = 0; at < size; at += 61) {
        struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_KEEP, 1);
        CHECK_INT(os_sim_flip(disk, names.first, (uint64_t)at, 1), 0);
        log = open_log(os_sim_os(disk));
        cairn_stream_info info;
        CHECK_TOLD(cairn_log_stream_info(log, 0, CAIRN_STR("other"), &info, &error));
        CHECK_INT(info.retention.max_count, 2);
        faults += stats_of(log).index_faults;
        cairn_log_close(log);
        os_sim_free(disk);
    }
    CHECK(faults > 0); /* besides those that the opening of the index noticed */
    os_sim_free(sim);
}

/* ---- verifying ---------------------------------------------------------------------------------- */

static bool maintained;

static void
append_and_maintain(void *context)
{
    struct log *log = context;
    struct series_stats before, after;
    if (pthread_mutex_trylock(&log->maintain_lock) != 0)
        return; /* so no append could get room in the index */
    pthread_mutex_unlock(&log->maintain_lock);
    cairn_series_stats(log->series, &before);
    append(log, 6 * FLUSH_EVENTS);
    CHECK_TOLD(cairn_log_maintain(log, &error));
    cairn_series_stats(log->series, &after);
    maintained = after.merges > before.merges;
}

/* Goal: appends that fill the index do not wait for verify's check of it, which stays right.
 * Method: in the middle of the check, where it opens the last run's file again, append, flush and merge. */
TEST(verify_does_not_stop_the_index)
{
    for (unsigned run = 0; run < 2; run++) {
        struct os_sim *sim = os_sim_new(1);
        struct os_hook hook;
        struct log *log = open_log(os_hook_init(&hook, os_sim_os(sim)));
        while (stats_of(log).index_runs < 2)
            append(log, 1);
        struct names names = names_in(sim, INDEX);
        maintained = false;
        os_hook_arm(&hook, HOOK_OPEN, run ? ".run" : strrchr(names.first, '/'), append_and_maintain,
                    log);
        cairn_verify_report report;
        CHECK_TOLD(cairn_log_verify(log, print_fault, NULL, NULL, &report, &error));
        CHECK(maintained);
        CHECK(cairn_log_end(log) > report.events);
        check_verified(log);
        log = reopen_with_index(os_sim_os(sim), log);
        CHECK_INT(names_in(sim, INDEX).runs, stats_of(log).index_runs);
        cairn_log_close(log);
        os_sim_free(sim);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(old_index_leaves_the_new_one_alone),
        RUN(failed_reindex_changes_nothing),
        RUN(appends_go_on_while_reindexing),
        RUN(reindexing_has_a_limit),
        RUN(damaged_run_is_mended),
        RUN(mending_is_done_once),
        RUN(damaged_run_is_mended_in_the_background),
        RUN(failed_mending_is_told_once),
        RUN(mending_waits_for_other_work),
        RUN(damaged_index_opens),
        RUN(verify_does_not_stop_the_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

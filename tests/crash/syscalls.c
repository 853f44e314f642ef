/* Every system call of the engine is made to fail in turn.
 *
 * One script of work, from the making of the folder to the last close, is played again and again; in the n-th run
 * the n-th call fails. It does so once or from then on, with several errors, writes with or without leaving a
 * part behind. Whatever the call was: an append is whole or absent, the error says something, what was acknowledged
 * can be read, a log whose write or sync failed takes no more, a full disk can be emptied; and
 * what is opened afterwards, with or without a power cut in between, is the log that was promised. */
#include "play.h"

#include <errno.h>
#include <os/twin.h>

#define FOLDER "var/data/log"
#ifdef __SANITIZE_ADDRESS__
#define EVERY_CALL 1 /* of the faults: with those after it, every third call fails */
#else
#define EVERY_CALL 7
#endif

struct fault {
    const char *name;
    unsigned kinds;
    int errno_value;
    bool forever, torn;
};

static struct {
    uint64_t runs, refused_opens, failed_logs, full_disks, survivors;
    char calls[32][64];
    size_t call_count;
} tally;

static void
count_call_name(const char *call)
{
    for (size_t i = 0; i < tally.call_count; i++)
        if (strcmp(tally.calls[i], call) == 0)
            return;
    CHECK(tally.call_count < 32);
    snprintf(tally.calls[tally.call_count++], 64, "%s", call);
}

/* A run: a machine that is going to fail, and the log on it while it is open. */
struct run {
    struct os_sim *sim; /* NULL: on the real machine */
    struct os_faulty faulty;
    const struct fault *fault;
    const char *folder;
    struct world world;
    struct play play; /* play.log: NULL when closed */
};

static void
set_options(struct log_options *options)
{
    cairn_log_defaults(options);
    options->create = options->no_background = true;
    options->segment_size_bytes = 64 << 10;
    options->index_memory_events = 30;
    options->head_cache_entries = 64;
    options->scavenge_interval_us = 1;
}

/* Is this a fair answer to a call that failed so? */
static bool
is_fair(const struct fault *fault, cairn_err err)
{
    return err == CAIRN_E_IO || (err == CAIRN_E_NOSPACE && fault->errno_value == ENOSPC);
}

static bool
open_run(struct run *run)
{
    struct log_options options;
    cairn_error error = {0};
    set_options(&options);
    run->play.log = NULL;
    cairn_err err = cairn_log_open(&run->faulty.os, run->folder, &options, &run->play.log, &error);
    if (err != CAIRN_OK) {
        EXPECT(run->faulty.fired, "opening: %s: %s", cairn_err_name(err), error.detail);
        EXPECT(is_fair(run->fault, err), "opening: %s: %s", cairn_err_name(err), error.detail);
        EXPECT(error.detail[0] != '\0' && error.code == err, "opening: no detail");
        run->play.log = NULL;
        tally.refused_opens++;
        return false;
    }
    world_adopt(&run->world, run->play.log);
    return true;
}

static void
close_run(struct run *run)
{
    cairn_log_close(run->play.log);
    run->play.log = NULL;
}

/* The disk works again, but nobody knows what it holds: the log goes on refusing, and reading. */
static void
check_failed_log(struct run *run)
{
    cairn_event event = {.type = CAIRN_STR("Late")};
    cairn_write write = {CAIRN_STR("late"), CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_error error = {0};
    cairn_at at;
    tally.failed_logs++;
    run->faulty.fail_at = 0;
    cairn_err err = cairn_log_append(run->play.log, &request, &at, &error);
    EXPECT(err == CAIRN_E_IO && error.detail[0] != '\0', "a failed log answered %s: %s",
           cairn_err_name(err), error.detail);
    cairn_stats stats;
    cairn_log_stats(run->play.log, &stats);
    EXPECT(stats.failed && stats.failure.detail[0] != '\0', "the figures do not say that it failed");
    world_check(&run->world, run->play.log);
}

/* The power goes: what is then on the disk? */
static void
check_after_cut(const struct run *run, enum os_cut how, uint64_t seed)
{
    struct os_sim *disk = os_sim_after_cut(run->sim, how, seed);
    struct log_options options;
    struct world world;
    cairn_error error = {0};
    CHECK(disk != NULL);
    struct play play = {.world = &world, .random = ~seed}; /* ids of its own */
    set_options(&options);
    world_copy(&world, &run->world);
    EXPECT_OK(cairn_log_open(os_sim_os(disk), run->folder, &options, &play.log, &error), &error);
    tally.survivors += cairn_log_end(play.log) > world.acked;
    world_adopt(&world, play.log);
    world_check(&world, play.log);
    play_do(&play, play_append);
    world_check(&world, play.log);
    cairn_log_close(play.log);
    world_free(&world);
    os_sim_free(disk);
}

static void
check_cuts(const struct run *run, unsigned cuts, uint64_t seed)
{
    char outer[sizeof world_context];
    if (run->sim == NULL)
        return;
    memcpy(outer, world_context, sizeof outer);
    for (unsigned i = 0; i < cuts; i++) {
        snprintf(world_context, sizeof world_context, "%.200s, then power cut %u", outer, i);
        check_after_cut(run, seed % 2 == i ? OS_CUT_KEEP : i == 0 ? OS_CUT_DROP : OS_CUT_RANDOM, seed + i);
    }
    memcpy(world_context, outer, sizeof outer);
}

/* One act of the script. False: the log has failed, and was closed. */
static bool
act(struct run *run, cairn_err (*what)(struct play *play))
{
    if (run->play.log == NULL)
        return false;
    play_do(&run->play, what);
    if (run->play.err == CAIRN_OK)
        return true;
    EXPECT(run->faulty.fired, "%s: %s", cairn_err_name(run->play.err), run->play.error.detail);
    EXPECT(is_fair(run->fault, run->play.err), "%s: %s", cairn_err_name(run->play.err),
           run->play.error.detail);
    if (!has_failed(&run->play)) {
        check_cuts(run, 1, run->faulty.calls); /* what was refused is not there, now or later */
        return true;
    }
    check_failed_log(run);
    close_run(run);
    return false;
}

static void
act_times(struct run *run, unsigned times, cairn_err (*what)(struct play *play))
{
    for (unsigned i = 0; i < times; i++)
        (void)act(run, what);
}

static cairn_err
truncate_bulk(struct play *play)
{
    struct standing standing;
    play_standing(play, &standing);
    (void)add_note(play);
    struct fact *fact = add_fact(play, 0, (uint64_t)(standing.last_retention[0] + 1));
    fact->is_retention = true;
    fact->limits.retention.truncate_before = (uint64_t)(standing.last[0] < 0 ? 0 : standing.last[0]);
    cairn_err err = cairn_log_retention_set(play->log, 0, cairn_cstr(stream_names[0].name),
                                            &fact->limits.retention, &play->error);
    if (err == CAIRN_OK)
        play->world->acked = play->world->count;
    return err;
}

/* Anything that does not depend on what the log answers: the same calls in each run until one fails. */
static void
play_script(struct run *run)
{
    if (!open_run(run))
        return;
    act_times(run, 5, play_append);
    act_times(run, 1, play_group);
    act_times(run, 1, play_many);
    act_times(run, 4, play_bulk);
    act_times(run, 1, play_maintain);
    act_times(run, 1, play_condition);
    act_times(run, 2, play_refused);
    act_times(run, 1, play_repeat);
    act_times(run, 1, truncate_bulk);
    act_times(run, 1, play_maintain);
    act_times(run, 4, play_many);
    act_times(run, 1, play_scavenge);
    act_times(run, 1, play_delete);
    act_times(run, 2, play_maintain);
    if (run->play.log == NULL)
        return;
    close_run(run);
    if (!open_run(run))
        return;
    act_times(run, 4, play_append);
    act_times(run, 2, play_repeat);
    act_times(run, 1, play_closing_frame);
    act_times(run, 2, play_bulk);
    act_times(run, 1, play_reindex);
    act_times(run, 2, play_many);
    act_times(run, 2, play_maintain);
}

/* The fault is over, and the log is still open: it works again, without being opened anew. */
static void
check_recovered_disk(struct run *run)
{
    if (run->play.log == NULL)
        return;
    cairn_stats stats;
    cairn_log_stats(run->play.log, &stats);
    tally.full_disks += stats.disk_full;
    run->faulty.fail_at = 0;
    run->play.faults = false;
    world_check(&run->world, run->play.log);
    play_do(&run->play, play_append);
    play_do(&run->play, play_bulk);
    world_check(&run->world, run->play.log);
    run->play.faults = true;
}

/* Open again on a machine that works, compare, work, compare. */
static void
check_reopened(struct run *run)
{
    run->faulty.fail_at = 0;
    run->play.faults = false;
    EXPECT(open_run(run), "it cannot be opened");
    world_check(&run->world, run->play.log);
    world_verify(&run->world, run->play.log);
    play_do(&run->play, play_append);
    play_do(&run->play, play_bulk);
    play_do(&run->play, play_maintain);
    world_check(&run->world, run->play.log);
}

/* False: the script has fewer than `call` calls of these kinds. */
static bool
run_once(const struct fault *fault, uint64_t call, uint64_t seed, struct os *real, const char *folder)
{
    struct run run = {.fault = fault, .folder = folder, .sim = real ? NULL : os_sim_new(seed)};
    os_faulty_init(&run.faulty, real ? real : os_sim_os(run.sim));
    run.faulty.kinds = fault->kinds;
    run.faulty.fail_at = call;
    run.faulty.fail_forever = fault->forever;
    run.faulty.errno_value = fault->errno_value;
    run.faulty.torn = fault->torn;
    world_new(&run.world);
    run.play = (struct play){.world = &run.world, .random = seed, .faults = true};
    snprintf(world_context, sizeof world_context, "%s, call %llu", fault->name,
             (unsigned long long)call);
    play_script(&run);
    bool fired = run.faulty.fired;
    if (fired) {
        snprintf(world_context, sizeof world_context, "%s, call %llu (%s)", fault->name,
                 (unsigned long long)call, run.faulty.fired_at);
        count_call_name(run.faulty.fired_at);
    }
    check_cuts(&run, 3, seed);
    if (call % 2 == 0)
        check_recovered_disk(&run);
    close_run(&run); /* perhaps with a disk that fails at every call */
    fired = run.faulty.fired;
    check_cuts(&run, 1, seed + 10);
    check_reopened(&run);
    check_cuts(&run, 2, seed + 20);
    close_run(&run);
    world_free(&run.world);
    os_sim_free(run.sim);
    tally.runs++;
    return fired;
}

/* The first two meet every call; of the calls that the last ones have in common with them a sample is enough. */
static const struct fault faults[] = {
    {"every call, once EIO", OS_FAULT_ALL, EIO, false, false},
    {"every call, EIO from then on", OS_FAULT_ALL, EIO, true, false},
    {"writes, once EIO, torn", OS_FAULT_WRITE, EIO, false, true},
    {"writes, EIO from then on, torn", OS_FAULT_WRITE, EIO, true, true},
    {"writes, once ENOSPC", OS_FAULT_WRITE, ENOSPC, false, false},
    {"writes, once ENOSPC, torn", OS_FAULT_WRITE, ENOSPC, false, true},
    {"writes, ENOSPC from then on, torn", OS_FAULT_WRITE, ENOSPC, true, true},
    {"changes, ENOSPC from then on", OS_FAULT_WRITE | OS_FAULT_SYNC | OS_FAULT_META, ENOSPC, true, false},
    {"changes, once ENOSPC", OS_FAULT_WRITE | OS_FAULT_SYNC | OS_FAULT_META, ENOSPC, false, false},
    {"names, once EMFILE", OS_FAULT_META, EMFILE, false, false},
    {"names, ENFILE from then on", OS_FAULT_META, ENFILE, true, false},
};

static void
print_tally(void)
{
    printf("%llu runs: %llu logs failed, %llu openings refused, %llu disks full, %llu unacknowledged appends "
           "kept by a cut; calls that failed:", (unsigned long long)tally.runs,
           (unsigned long long)tally.failed_logs, (unsigned long long)tally.refused_opens,
           (unsigned long long)tally.full_disks, (unsigned long long)tally.survivors);
    for (size_t i = 0; i < tally.call_count; i++)
        printf(" %s", tally.calls[i]);
    printf("\n");
}

/* Goal: whichever call fails, nothing acknowledged is lost, and no error is silent or wrong.
 * Method: on the simulated disk, so that each run also ends in power cuts. */
TEST(any_call_may_fail)
{
    uint64_t seed = test_seed();
    for (unsigned round = 0; round < test_scale(); round++)
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
            uint64_t stride = i < EVERY_CALL || test_scale() > 1 ? 1 : 3, call = 1;
            while (run_once(&faults[i], call, seed + round, NULL, FOLDER))
                call += stride;
            printf("%s: %llu calls\n", faults[i].name, (unsigned long long)call - 1);
            CHECK(call > 50);
        }
    print_tally();
    CHECK(tally.failed_logs > 0 && tally.refused_opens > 0 && tally.full_disks > 0
          && tally.survivors > 0 && tally.call_count >= 12);
}

/* Goal: the same on real files.
 * Method: a sample of the calls, in a temporary folder. */
TEST(any_call_may_fail_on_real_files)
{
    uint64_t seed = test_seed();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        bool fired = true;
        for (uint64_t call = 1 + i; fired; call += i == 0 ? 7 : 29) {
            char path[64], folder[80];
            test_folder(path);
            snprintf(folder, sizeof folder, "%s/log", path);
            fired = run_once(&faults[i], call, seed, os_real(), folder);
            test_remove(path);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(any_call_may_fail), RUN(any_call_may_fail_on_real_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every allocation of the engine fails in turn: out of memory is an ordinary error.
 *
 * malloc, calloc and realloc (no_memory.h) count while the engine is at work and make the n-th call fail, once or from
 * then on. What the engine was asked is refused with "nomem" or done; nothing acknowledged is lost, nothing crashes, and with memory again it goes on. */
#include "play.h"
#include "no_memory.h"

#include <os/twin.h>

#define FOLDER "data"

/* ---- one run ----------------------------------------------------------------------------------------- */

static struct {
    uint64_t runs, refused_opens, refused, failed_logs;
} tally;

struct run {
    struct os_sim *sim;
    struct world world;
    struct play play; /* play.log: NULL when closed */
};

static bool
open_run(struct run *run)
{
    struct log_options options;
    cairn_error error = {0};
    cairn_log_defaults(&options);
    options.create = options.no_background = true;
    options.segment_size_bytes = 64 << 10;
    options.index_memory_events = 30;
    options.head_cache_entries = 64;
    options.scavenge_interval_us = 1;
    run->play.log = NULL;
    memory.armed = memory.fail_at > 0;
    cairn_err err = cairn_log_open(os_sim_os(run->sim), FOLDER, &options, &run->play.log, &error);
    memory.armed = false;
    if (err == CAIRN_OK) {
        world_adopt(&run->world, run->play.log);
        return true;
    }
    EXPECT(memory.fired && err == CAIRN_E_NOMEM && error.detail[0] != '\0', "opening: %s (%s)",
           cairn_err_name(err), error.detail);
    tally.refused_opens++;
    run->play.log = NULL;
    return false;
}

static void
close_run(struct run *run)
{
    memory.armed = memory.fail_at > 0;
    cairn_log_close(run->play.log);
    memory.armed = false;
    run->play.log = NULL;
}

static cairn_err
read_back(struct play *play)
{
    struct log_reader *reader;
    cairn_recorded event;
    cairn_str tag = cairn_cstr(tag_names[0]);
    cairn_query_item item = {.tags = &tag, .tag_count = 1};
    cairn_read_options options = {.query = {&item, 1}};
    cairn_err err = cairn_log_read_all(play->log, &options, &reader, &play->error);
    if (err != CAIRN_OK)
        return err;
    while ((err = cairn_log_reader_next(reader, &event, &play->error)) == CAIRN_OK)
        EXPECT(event.position < play->world->acked, "position %llu",
               (unsigned long long)event.position);
    cairn_log_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

/* The simulated disk answers "out of memory" too, where a real one would have failed: such a log has
 * failed, and is opened again. */
static void
act(struct run *run, unsigned times, cairn_err (*what)(struct play *play))
{
    for (unsigned i = 0; i < times && run->play.log != NULL; i++) {
        memory.armed = memory.fail_at > 0;
        play_do(&run->play, what);
        memory.armed = false;
        cairn_err err = run->play.err;
        if (err == CAIRN_OK)
            continue;
        EXPECT(memory.fired && (err == CAIRN_E_NOMEM || (err == CAIRN_E_IO && has_failed(&run->play))),
               "%s: %s", cairn_err_name(err), run->play.error.detail);
        tally.refused++;
        if (!has_failed(&run->play))
            continue;
        tally.failed_logs++;
        world_check(&run->world, run->play.log);
        close_run(run);
    }
}

static void
play_script(struct run *run)
{
    if (!open_run(run))
        return;
    act(run, 4, play_append);
    act(run, 1, play_many);
    act(run, 1, play_condition);
    act(run, 1, play_refused);
    act(run, 1, play_repeat);
    act(run, 1, play_retention);
    act(run, 1, play_delete);
    act(run, 4, play_bulk);
    act(run, 1, read_back);
    act(run, 2, play_maintain);
    act(run, 3, play_many);
    act(run, 1, play_scavenge);
    act(run, 1, play_reindex);
    if (run->play.log == NULL)
        return;
    close_run(run);
    if (!open_run(run))
        return;
    act(run, 1, play_repeat);
    act(run, 2, play_bulk);
    act(run, 1, read_back);
    act(run, 2, play_maintain);
}

/* False: the script has fewer allocations. */
static bool
run_once(uint64_t call, bool forever, uint64_t seed)
{
    struct run run = {.sim = os_sim_new(seed)};
    CHECK(run.sim != NULL);
    world_new(&run.world);
    run.play = (struct play){.world = &run.world, .random = seed, .faults = true};
    snprintf(world_context, sizeof world_context, "allocation %llu fails%s", (unsigned long long)call,
             forever ? ", and all after it" : "");
    memset(&memory, 0, sizeof memory);
    memory.fail_at = call;
    memory.forever = forever;
    play_script(&run);
    bool fired = memory.fired;
    memory.fail_at = 0; /* memory is there again */
    run.play.faults = false;
    if (run.play.log != NULL) {
        world_check(&run.world, run.play.log);
        play_do(&run.play, play_append);
        play_do(&run.play, play_bulk);
        play_do(&run.play, play_maintain);
        close_run(&run);
    }
    EXPECT(open_run(&run), "it cannot be opened");
    world_check(&run.world, run.play.log);
    world_verify(&run.world, run.play.log);
    close_run(&run);
    world_free(&run.world);
    os_sim_free(run.sim);
    tally.runs++;
    return fired;
}

/* Goal: running out of memory at any moment is an error, not the end.
 * Method: the script with the first allocation failing, then the second …; once, then for good. */
TEST(any_allocation_may_fail)
{
    uint64_t seed = test_seed();
    for (int forever = 0; forever < 2; forever++) {
        uint64_t call = 1;
        while (run_once(call, forever, seed))
            call++;
        printf("%llu allocations\n", (unsigned long long)call - 1);
        CHECK(call > 100);
    }
    printf("%llu runs: %llu openings and %llu calls refused, %llu logs failed\n",
           (unsigned long long)tally.runs, (unsigned long long)tally.refused_opens,
           (unsigned long long)tally.refused, (unsigned long long)tally.failed_logs);
    CHECK(tally.refused_opens > 0 && tally.refused > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(any_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

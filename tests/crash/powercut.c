/* Power is cut at every step of random work; whatever the disk then holds, nothing acknowledged is lost.
 *
 * The work runs on the simulated disk. After every write, sync and change of names the disk is copied as several
 * power cuts would leave it: nothing unsynced kept, all of it, random sectors of it. Each copy is opened and
 * compared with the world (world.h) of that moment. On some of them work goes on, and power is cut again, also
 * while they are being opened.
 *
 * TEST_SCALE multiplies the number of workloads; TEST_SEED chooses them. */
#include "cuts.h"

#define FOLDER "var/data/log"
#ifdef __SANITIZE_ADDRESS__
#define WORKLOADS 3 /* three times slower */
#else
#define WORKLOADS 5
#endif
#define STEPS 120      /* of a workload */
#define LATER_STEPS 6  /* after a cut */
#define LATER_PERCENT 2
#define DEPTH_MAX 2
#define CUTS_MIN (2000 * WORKLOADS)

static struct {
    uint64_t cuts, deep_cuts, torn_tails, survivors, recovered, rolls, seals, flushes, merges, retries,
        removals;
} tally;

/* Every append that is in the log is recognised when it comes again. */
static void
retry_acknowledged(struct play *play)
{
    struct standing standing;
    play_standing(play, &standing);
    size_t notes = play->world->note_count;
    for (size_t i = 0; i < notes; i++) {
        const struct note *note = &play->world->notes[i];
        if (i + 8 < notes && pick(play, 8) != 0)
            continue; /* the newest ones, and an eighth of the others */
        if (!is_repeatable(play->world, &standing, note))
            continue;
        cairn_err err = repeat_note(play, note);
        EXPECT(err == CAIRN_OK, "a retry of the append of %u: %s (%s)", note->first,
               cairn_err_name(err), play->error.detail);
        tally.retries++;
    }
}

static void look_at(struct snapshot *snapshot, const struct world *before, unsigned depth, uint64_t seed);

/* Go on where the power cut ended: open, work, stop; all of it with power cuts of its own. */
static void
work_on(struct os_sim *disk, struct world *world, unsigned depth, uint64_t seed)
{
    struct scene scene;
    scene_begin(&scene, disk, world, depth, seed);
    struct play play = {.world = world, .random = seed ^ 1};
    play.log = open_folder(&scene.watch.os, FOLDER, true);
    world_adopt(world, play.log);
    check_records(world, play.log);
    for (unsigned i = 0; i < LATER_STEPS; i++)
        play_step(&play);
    if (pick(&play, 2) == 0)
        play_do(&play, play_maintain);
    cairn_log_close(play.log);
    look_at_snapshots(&scene, world, look_at);
    play.log = open_folder(os_sim_os(disk), FOLDER, true);
    world_check(world, play.log);
    cairn_log_close(play.log);
    scene_end(&scene);
}

/* One outcome of one cut. */
static void
look_at(struct snapshot *snapshot, const struct world *before, unsigned depth, uint64_t seed)
{
    struct world world;
    snapshot_world(snapshot, before, &world);
    tally.cuts++;
    tally.deep_cuts += depth > 0;
    if (depth < DEPTH_MAX && test_random(&seed) % 100 < LATER_PERCENT) {
        work_on(snapshot->disk, &world, depth + 1, seed);
        world_free(&world);
        return;
    }
    struct play play = {.world = &world, .random = seed};
    play.log = open_folder(os_sim_os(snapshot->disk), FOLDER, true);
    cairn_stats stats;
    cairn_log_stats(play.log, &stats);
    tally.torn_tails += stats.discarded_bytes > 0;
    tally.recovered += stats.recovered_events;
    tally.survivors += cairn_log_end(play.log) > world.acked;
    world_adopt(&world, play.log);
    world_check(&world, play.log);
    if (pick(&play, 4) == 0) {
        world_verify(&world, play.log);
        retry_acknowledged(&play);
    }
    cairn_log_close(play.log);
    world_free(&world);
}

static void
count_work(const struct log *log)
{
    struct series_stats stats;
    cairn_series_stats(log->series, &stats);
    tally.flushes += stats.flushes;
    tally.merges += stats.merges;
    uint32_t segments = atomic_load(&log->segment_count);
    tally.rolls += segments - 1;
    for (uint32_t i = 0; i < segments; i++)
        tally.seals += atomic_load(&atomic_load(&log->slots[i])->sealed);
}

static void
run_workload(uint64_t seed, unsigned number)
{
    struct world world;
    struct scene scene;
    world_new(&world);
    snprintf(world_context, sizeof world_context, "workload %u", number);
    scene_begin(&scene, os_sim_new(seed), &world, 0, seed);
    struct play play = {.world = &world, .random = seed ^ 2};
    play.log = open_folder(&scene.watch.os, FOLDER, true);
    for (unsigned i = 0; i < STEPS; i++) {
        snprintf(world_context, sizeof world_context, "workload %u step %u", number, i);
        if (pick(&play, 50) == 0)
            os_sim_set_time(scene.sim, os_now_us(os_sim_os(scene.sim)) + 2 * HOUR_US);
        play_step(&play);
        if (play.closing) {
            count_work(play.log);
            cairn_log_close(play.log);
            play.log = open_folder(&scene.watch.os, FOLDER, true);
            world_check(&world, play.log);
        }
        if (pick(&play, 4) == 0)
            world_check(&world, play.log);
        look_at_snapshots(&scene, &world, look_at);
    }
    world_check(&world, play.log);
    world_verify(&world, play.log);
    count_work(play.log);
    tally.removals += play.did.removals;
    cairn_log_close(play.log);
    look_at_snapshots(&scene, &world, look_at);
    scene_end(&scene);
    os_sim_free(scene.sim);
    world_free(&world);
}

static void
print_tally(void)
{
    printf("%llu cuts, %llu of them after another; %llu with a torn tail, %llu with an unacknowledged append "
           "kept; %llu events indexed again, %llu retries recognised\n"
           "the work: %llu segments begun, %llu sealed, %llu index flushes, %llu merges, %llu events "
           "scavenged\n",
           (unsigned long long)tally.cuts, (unsigned long long)tally.deep_cuts,
           (unsigned long long)tally.torn_tails, (unsigned long long)tally.survivors,
           (unsigned long long)tally.recovered, (unsigned long long)tally.retries,
           (unsigned long long)tally.rolls, (unsigned long long)tally.seals,
           (unsigned long long)tally.flushes, (unsigned long long)tally.merges,
           (unsigned long long)tally.removals);
}

/* Goal: a power cut at any moment loses nothing acknowledged and leaves nothing half done.
 * Method: cut after every step of random work, in several ways; open what is left and compare it. */
TEST(power_may_go_at_any_moment)
{
    uint64_t seed = test_seed();
    unsigned workloads = WORKLOADS * test_scale();
    for (unsigned i = 0; i < workloads; i++) {
        uint64_t own = seed + i;
        run_workload(test_random(&own), i);
    }
    print_tally();
    CHECK(tally.torn_tails > 0 && tally.survivors > 0 && tally.rolls > 0 && tally.seals > 0
          && tally.flushes > 0 && tally.merges > 0 && tally.retries > 0 && tally.deep_cuts > 0);
    CHECK(tally.cuts >= CUTS_MIN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(power_may_go_at_any_moment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

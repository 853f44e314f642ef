/* Backups, branches and restored logs, with the power cut at every step of their making.
 *
 * Making a copy never harms what it is made of. A backup that was finished stays whole, also while the next one is
 * written over it; one that was cut off is either no log, or a whole one, and making it again completes it. */
#include "cuts.h"

#define FOLDER "data"
#define BACKUP "backup"
#define ROUNDS 8

static struct {
    uint64_t cuts, backups, older, none;
} tally;

static bool
is_log(struct os *os, const char *folder)
{
    struct log_options options;
    struct log *log;
    cairn_error error = {0};
    cairn_log_defaults(&options);
    options.read_only = true;
    cairn_err err = cairn_log_open(os, folder, &options, &log, &error);
    if (err == CAIRN_OK)
        cairn_log_close(log);
    EXPECT(err == CAIRN_OK || err == CAIRN_E_NOTFOUND, "%s: %s", cairn_err_name(err), error.detail);
    return err == CAIRN_OK;
}

/* A copy holds a beginning of the world: at least `least` facts, whole appends. */
static void
check_copy(struct os *os, const char *folder, const struct world *of, size_t least, size_t most)
{
    struct world world;
    world_copy(&world, of);
    world.acked = least;
    world.count = most;
    for (size_t i = 0; i < world.count; i++)
        world.facts[i].removed = false;
    struct log *log = open_folder(os, folder, false);
    world_adopt(&world, log);
    world_check(&world, log);
    world_verify(&world, log);
    struct play play = {.world = &world, .log = log, .random = least};
    play_do(&play, play_append); /* it is a log of its own */
    world_check(&world, log);
    cairn_log_close(log);
    world_free(&world);
}

static size_t
back_up(struct log *log)
{
    uint64_t end;
    cairn_error error = {0};
    EXPECT_OK(cairn_log_backup(log, BACKUP, NULL, NULL, &end, &error), &error);
    return (size_t)end;
}

/* The mark is what the last finished backup holds; 0: there was none. */
static void
look_at(struct snapshot *snapshot, const struct world *now, unsigned depth __attribute__((unused)),
        uint64_t seed)
{
    struct os *os = os_sim_os(snapshot->disk);
    struct world world;
    struct os_sim *aside = os_sim_after_cut(snapshot->disk, OS_CUT_KEEP, 1);
    CHECK(aside != NULL);
    snapshot_world(snapshot, now, &world);
    tally.cuts++;
    if (is_log(os_sim_os(aside), BACKUP)) {
        check_copy(os_sim_os(aside), BACKUP, &world, snapshot->mark, world.acked);
        tally.older += snapshot->mark > 0;
    } else {
        EXPECT(snapshot->mark == 0, "the backup of %zu events is gone", snapshot->mark);
        tally.none++;
    }
    struct log *log = open_folder(os, FOLDER, false);
    world_adopt(&world, log);
    world_check(&world, log);
    if (test_random(&seed) % 4 == 0) {
        EXPECT(back_up(log) == world.acked, "the backup ends early");
        check_copy(os, BACKUP, &world, world.acked, world.acked);
    }
    cairn_log_close(log);
    os_sim_free(aside);
    world_free(&world);
}

/* Goal: a backup that was finished survives everything, and an unfinished one does no harm.
 * Method: backups into one folder between random work; a cut after each of their steps. */
TEST(backup_is_cut_off)
{
    uint64_t seed = test_seed();
    for (unsigned round = 0; round < 2 * test_scale(); round++) {
        struct world world;
        struct scene scene;
        world_new(&world);
        scene_begin(&scene, os_sim_new(seed + round), &world, 0, seed);
        struct play play = {.world = &world, .random = seed + round};
        scene.paused = true;
        play.log = open_folder(&scene.watch.os, FOLDER, true);
        for (unsigned i = 0; i < ROUNDS; i++) {
            snprintf(world_context, sizeof world_context, "round %u.%u", round, i);
            for (unsigned j = 0; j < 8; j++)
                play_do(&play, j % 3 == 0 ? play_bulk : play_append);
            play_do(&play, i % 3 == 1 ? play_retention : play_append);
            play_do(&play, i % 2 == 0 ? play_maintain : play_append);
            if (i % 4 == 3)
                play_do(&play, play_scavenge);
            scene.paused = false;
            scene.mark = back_up(play.log);
            tally.backups++;
            EXPECT(scene.mark == world.acked, "the backup ends at %zu", scene.mark);
            take_snapshots(&scene, "done");
            scene.paused = true;
            look_at_snapshots(&scene, &world, look_at);
        }
        cairn_log_close(play.log);
        scene_end(&scene);
        os_sim_free(scene.sim);
        world_free(&world);
    }
    printf("%llu backups, %llu cuts: %llu left an older backup or the new one, %llu none\n",
           (unsigned long long)tally.backups, (unsigned long long)tally.cuts,
           (unsigned long long)tally.older, (unsigned long long)tally.none);
    CHECK(tally.older > 0 && tally.none > 0);
}

/* A log of a segment and a half is backed up, grows by two more, and is backed up again over that; the power goes at
 * `step` of the second backup. Returns the disk as it was then; NULL: the backup was done before. */
static struct os_sim *
cut_second_backup(uint64_t step, uint64_t *ret_first)
{
    struct os_sim *sim = os_sim_new(5);
    struct log *log = open_folder(os_sim_os(sim), FOLDER, true);
    static char data[8 << 10];
    const cairn_event event = {.type = CAIRN_STR("T"), .data = {data, sizeof data}};
    const cairn_write write = {CAIRN_STR("s"), CAIRN_ANY, &event, 1};
    const cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_error error = {0};
    cairn_at at;
    uint64_t end;
    for (unsigned i = 0; i < 30; i++) {
        EXPECT_OK(cairn_log_append(log, &request, &at, &error), &error);
        if (i == 12)
            EXPECT_OK(cairn_log_backup(log, BACKUP, NULL, NULL, ret_first, &error), &error);
    }
    os_sim_cut_at(sim, os_sim_steps(sim) + step);
    cairn_err err = cairn_log_backup(log, BACKUP, NULL, NULL, &end, &error);
    cairn_log_close(log);
    if (err == CAIRN_OK) {
        os_sim_free(sim);
        return NULL;
    }
    EXPECT(os_sim_is_off(sim), "%s", error.detail);
    return sim;
}

/* Goal: what a cut leaves of a backup that replaces a shorter segment and adds others is the older one, or more.
 * Method: every step of such a backup, the disk's unsynced names and bytes taken or lost in 40 ways each. */
TEST(growing_backup_is_cut_off)
{
    uint64_t seed = test_seed(), first;
    struct os_sim *sim;
    unsigned steps = 0, grown = 0;
    for (; (sim = cut_second_backup(steps + 1, &first)) != NULL; steps++) {
        for (unsigned i = 0; i < 40; i++) {
            snprintf(world_context, sizeof world_context, "step %u, cut %u", steps, i);
            struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_RANDOM, seed + i);
            CHECK(disk != NULL);
            struct log *log = open_folder(os_sim_os(disk), BACKUP, false);
            uint64_t end = cairn_log_end(log);
            EXPECT(end >= first && end <= 30, "it ends at %llu", (unsigned long long)end);
            grown += end > first;
            cairn_log_close(log);
            os_sim_free(disk);
        }
        os_sim_free(sim);
    }
    printf("%u steps; %u of %u cuts left more than the older backup\n", steps, grown, steps * 40);
    CHECK(steps > 10 && grown > 0 && grown < steps * 40);
}

/* ---- branch and restore ------------------------------------------------------------------------- */

static void
look_at_origin(struct snapshot *snapshot, const struct world *now,
               unsigned depth __attribute__((unused)), uint64_t seed)
{
    struct os *os = os_sim_os(snapshot->disk);
    struct world world;
    char folder[32];
    cairn_error error = {0};
    snapshot_world(snapshot, now, &world);
    tally.cuts++;
    snprintf(folder, sizeof folder, "copy-%zu", snapshot->mark);
    if (is_log(os, folder)) {
        check_copy(os, folder, &world, 0, world.acked);
        tally.older++;
    }
    struct log *log = open_folder(os, FOLDER, false);
    world_adopt(&world, log);
    world_check(&world, log);
    if (test_random(&seed) % 8 == 0) {
        EXPECT_OK(cairn_log_branch(log, "again", UINT64_MAX, &error), &error);
        check_copy(os, "again", &world, world.acked, world.acked);
        struct play play = {.world = &world, .log = log, .random = seed};
        play_do(&play, play_scavenge); /* segments are shared: the branch keeps its own names */
        play_do(&play, play_append);
        world_check(&world, log);
    }
    cairn_log_close(log);
    world_free(&world);
}

/* Where the append ends that holds the position before `end`: what a copy up to there contains. */
static size_t
whole_appends(const struct world *world, size_t end)
{
    while (end > 0 && end < world->count && world->facts[end].append == world->facts[end - 1].append)
        end--;
    return end;
}

/* Goal: branches and restored logs hold whole appends up to a position, and what they are made of is unharmed.
 * Method: make both up to random positions, cut after each step; go on in both. */
TEST(branch_and_restore_are_cut_off)
{
    uint64_t seed = test_seed();
    memset(&tally, 0, sizeof tally);
    for (unsigned round = 0; round < 2 * test_scale(); round++) {
        struct world world;
        struct scene scene;
        cairn_error error = {0};
        world_new(&world);
        scene_begin(&scene, os_sim_new(seed + round), &world, 0, seed);
        struct play play = {.world = &world, .random = seed + round};
        scene.paused = true;
        play.log = open_folder(&scene.watch.os, FOLDER, true);
        for (unsigned i = 0; i < ROUNDS; i++) {
            char folder[32];
            snprintf(world_context, sizeof world_context, "round %u.%u", round, i);
            snprintf(folder, sizeof folder, "copy-%u", i);
            scene.mark = i;
            for (unsigned j = 0; j < 6; j++)
                play_do(&play, j % 3 == 0 ? play_bulk : j % 3 == 1 ? play_many : play_append);
            if (i % 4 == 2)
                play_do(&play, play_delete);
            if (i % 2 == 0)
                play_do(&play, play_maintain);
            scene.paused = false;
            size_t end = 1 + (size_t)pick(&play, world.acked);
            if (i % 3 == 2)
                EXPECT_OK(cairn_log_restore(&scene.watch.os, FOLDER, folder, end, NULL, NULL, &error),
                          &error);
            else
                EXPECT_OK(cairn_log_branch(play.log, folder, end, &error), &error);
            scene.paused = true;
            end = whole_appends(&world, end);
            check_copy(&scene.watch.os, folder, &world, end, end);
            look_at_snapshots(&scene, &world, look_at_origin);
        }
        world_check(&world, play.log);
        cairn_log_close(play.log);
        scene_end(&scene);
        os_sim_free(scene.sim);
        world_free(&world);
    }
    printf("%llu cuts, %llu of them left a whole copy\n", (unsigned long long)tally.cuts,
           (unsigned long long)tally.older);
    CHECK(tally.cuts > 0 && tally.older > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(backup_is_cut_off), RUN(growing_backup_is_cut_off), RUN(branch_and_restore_are_cut_off)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Topics when the power goes: whatever the disk then holds, what was acknowledged is there, what was not is there whole or not at
 * all, and every offset is what it was.
 *
 * All is decided by the seed, so the same work is done again and again, and the power goes at another step each time. How much
 * of it survived is told by the log's end; the same work up to there, undisturbed, makes the model to compare with. Then work
 * goes on, on what survived. */
#include "topics_world.h"

#define STEPS 60
#define LATER_STEPS 10
#define CUTS 60

/* Work until the power goes; the log's end after each step that was acknowledged. Returns how many were. */
static unsigned
work(struct world *world, unsigned steps, uint64_t ends[STEPS])
{
    for (unsigned i = 0; i < steps; i++) {
        step(world);
        if (os_sim_is_off(world->sim))
            return i;
        ends[i] = cairn_end(world->store);
    }
    return steps;
}

static struct {
    unsigned cuts, survivors, links; /* survivors: steps that were not acknowledged, and are there */
} tally;

/* The model of the steps that the log holds: those that were acknowledged, and perhaps the one that was going on. */
static void
make_model(struct world *model, uint64_t seed, uint64_t end, unsigned acked)
{
    world_begin(model, os_sim_new(seed), seed);
    for (unsigned i = 0; i < acked; i++)
        step(model);
    assert_true(cairn_end(model->store) <= end);
    if (acked == STEPS)
        return;
    struct world *further = malloc(sizeof *further);
    assert_non_null(further);
    world_begin(further, os_sim_new(seed), seed);
    for (unsigned i = 0; i <= acked; i++)
        step(further);
    if (cairn_end(further->store) <= end) {
        struct world swap = *model;
        *model = *further;
        *further = swap;
        tally.survivors++;
    }
    world_end(further);
    free(further);
}

static void
look_at(const struct world *cut, uint64_t seed, unsigned acked, enum os_cut how)
{
    struct world world;
    struct os_sim *disk = os_sim_after_cut(cut->sim, how, seed + acked);
    const cairn_options options = {.no_background = true, .segment_size_bytes = 64 << 10, .read_only = true};
    cairn_store *store;
    assert_non_null(disk);
    CHECK_OK(cairn_store_open_on(os_sim_os(disk), "data", &options, &store, NULL));
    uint64_t end = cairn_end(store);
    cairn_close(store);
    make_model(&world, seed, end, acked);
    uint64_t model_end = cairn_end(world.store);
    tally.cuts++;
    tally.links += model_end < end; /* only of a topic that never was */
    cairn_close(world.store);
    os_sim_free(world.sim);
    world.sim = disk;
    open_world(&world);
    check_all(&world);
    for (unsigned i = 0; i < LATER_STEPS; i++)
        step(&world);
    check_all(&world);
    check_log(&world);
    world_end(&world);
}

TEST(power_may_go_at_any_moment)
{
    uint64_t seed = test_seed(), ends[STEPS];
    for (unsigned round = 0; round < 2 * test_scale(); round++) {
        struct world whole;
        uint64_t own = seed + round;
        world_begin(&whole, os_sim_new(own), own);
        CHECK_INT(work(&whole, STEPS, ends), STEPS);
        uint64_t steps = os_sim_steps(whole.sim);
        world_end(&whole);
        for (unsigned i = 0; i < CUTS; i++) {
            struct world cut;
            struct os_sim *sim = os_sim_new(own);
            uint64_t pick = own * 1000 + i;
            os_sim_cut_at(sim, 20 + test_random(&pick) % (steps - 20));
            world_begin(&cut, sim, own);
            if (cut.store == NULL) { /* it went before there was anything */
                world_end(&cut);
                continue;
            }
            unsigned acked = work(&cut, STEPS, ends);
            for (int how = OS_CUT_DROP; how <= OS_CUT_RANDOM; how++)
                look_at(&cut, own, acked, (enum os_cut)how);
            world_end(&cut);
        }
    }
    printf("%u cuts; %u with an unacknowledged step kept, %u with links of a topic that never was\n", tally.cuts,
           tally.survivors, tally.links);
    CHECK(tally.cuts > CUTS && tally.survivors > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(power_may_go_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Topics: whatever is done in whatever order, partitions, streams and producers are what a model says: at once, after closing and
 * opening, after the index was computed again, and verifying finds nothing. */
#include "topics_world.h"

#define STEPS 400

TEST(partitions_are_as_the_model_says)
{
    uint64_t seed = test_seed(), gone = 0;
    for (unsigned round = 0; round < 4 * test_scale(); round++) {
        struct world world;
        world_begin(&world, os_sim_new(seed + round), seed + round);
        for (unsigned i = 0; i < STEPS; i++) {
            step(&world);
            if (i % 20 == 0)
                check_all(&world);
        }
        check_all(&world);
        check_log(&world);
        cairn_close(world.store);
        open_world(&world);
        check_all(&world);
        CHECK_OK(cairn_reindex(world.store, NULL, NULL, NULL));
        check_all(&world);
        check_log(&world);
        gone += world.gone;
        world_end(&world);
    }
    CHECK(gone > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(partitions_are_as_the_model_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

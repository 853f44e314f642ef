/* Goal: the server's assignors give every partition that is wanted to one who wants it, as evenly as single moves can make it, and
 * move nothing when nothing has changed.
 * Method: random groups, held against those sentences. */
#include <test.h>
#include <topic/group_consumer_int.h>

#define TOPICS 6
#define MEMBERS 9

struct play {
    struct assign assign;
    struct assign_member members[MEMBERS];
    struct set topics[MEMBERS], old[MEMBERS];
    uint32_t partitions[TOPICS];
    char names[MEMBERS][8];
};

static void
play_new(struct play *play, uint64_t *seed, bool same)
{
    memset(play, 0, sizeof *play);
    play->assign = (struct assign){play->members, 1 + test_random(seed) % MEMBERS, play->partitions, TOPICS};
    for (size_t t = 0; t < TOPICS; t++)
        play->partitions[t] = (uint32_t)(test_random(seed) % 4 == 0 ? 0 : test_random(seed) % 30);
    for (size_t m = 0; m < play->assign.member_count; m++) {
        snprintf(play->names[m], sizeof play->names[m], "%c%zu", (int)('a' + test_random(seed) % 26), m);
        for (uint64_t t = 0; t < TOPICS; t++)
            if (same || test_random(seed) % 2)
                CHECK(set_put(&play->topics[m], t));
        play->members[m] = (struct assign_member){.order = cairn_cstr(play->names[m]), .topics = &play->topics[m], .old = &play->old[m]};
    }
}

static void
play_free(struct play *play)
{
    for (size_t m = 0; m < MEMBERS; m++) {
        set_free(&play->topics[m]);
        set_free(&play->old[m]);
    }
}

/* What was given becomes what they had. */
static size_t
take_over(struct play *play)
{
    size_t moved = 0;
    for (size_t m = 0; m < play->assign.member_count; m++) {
        for (size_t i = 0; i < play->members[m].now.count; i++)
            moved += !set_has(&play->old[m], play->members[m].now.items[i]);
        set_free(&play->old[m]);
        play->old[m] = play->members[m].now;
        play->members[m].now = (struct set){0};
    }
    return moved;
}

static void
check_whole(const struct play *play)
{
    for (uint64_t t = 0; t < TOPICS; t++) {
        bool wanted = false;
        for (size_t m = 0; m < play->assign.member_count; m++)
            wanted |= set_has(&play->topics[m], t);
        for (uint32_t p = 0; p < play->partitions[t]; p++) {
            int owners = 0;
            for (size_t m = 0; m < play->assign.member_count; m++) {
                bool has = set_has(&play->members[m].now, t << 32 | p);
                owners += has;
                CHECK(!has || set_has(&play->topics[m], t));
            }
            CHECK_INT(owners, wanted);
        }
    }
}

/* Nobody has two more than somebody who wants one of its partitions. */
static void
check_even(const struct play *play)
{
    for (size_t a = 0; a < play->assign.member_count; a++)
        for (size_t i = 0; i < play->members[a].now.count; i++)
            for (size_t b = 0; b < play->assign.member_count; b++)
                if (set_has(&play->topics[b], play->members[a].now.items[i] >> 32))
                    CHECK(play->members[a].now.count <= play->members[b].now.count + 1);
}

TEST(uniform_is_even_and_stays)
{
    uint64_t seed = test_seed();
    for (unsigned run = 0; run < 2000 * test_scale(); run++) {
        struct play play;
        play_new(&play, &seed, run % 2 == 0);
        for (int round = 0; round < 4; round++) {
            CHECK(assign_uniform(&play.assign));
            check_whole(&play);
            check_even(&play);
            (void)take_over(&play);
            CHECK(assign_uniform(&play.assign)); /* nothing has changed: nothing moves */
            CHECK_INT(take_over(&play), 0);
            size_t topic = test_random(&seed) % TOPICS;
            play.partitions[topic] += (uint32_t)(test_random(&seed) % 9);
            if (play.assign.member_count > 1 && test_random(&seed) % 2) /* the last one leaves */
                set_free(&play.old[--play.assign.member_count]);
        }
        play_free(&play);
    }
}

TEST(range_keeps_neighbours_together)
{
    uint64_t seed = test_seed();
    for (unsigned run = 0; run < 500 * test_scale(); run++) {
        struct play play;
        play_new(&play, &seed, run % 2 == 0);
        CHECK(assign_range(&play.assign));
        check_whole(&play);
        for (size_t m = 0; m < play.assign.member_count; m++) {
            const struct set *now = &play.members[m].now;
            for (size_t i = 1; i < now->count; i++) /* no gap within a topic */
                CHECK(now->items[i] >> 32 != now->items[i - 1] >> 32 || now->items[i] == now->items[i - 1] + 1);
        }
        (void)take_over(&play);
        play_free(&play);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(uniform_is_even_and_stays), RUN(range_keeps_neighbours_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

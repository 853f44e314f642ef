/* Goal: whatever members do (come, go, die, sync late, change their minds, lose their connections), every call is answered once
 * unless its connection has gone, a generation has one leader, what is handed out is what it said, and who lives ends in a stable
 * group within its timeouts. And a storm of ten thousand members in a thousand groups costs what is due, and leaves nothing behind.
 * Method: clients at random on a clock that the test moves. */
#include <groups_rig.h>

#include <time.h>

#define CLIENTS 16
#define SESSION_MS 6000
#define REBALANCE_MS 8000

struct call {
    struct call *next;
    struct player *player; /* NULL: forgotten */
    unsigned calls;
    bool is_sync;
};

struct player {
    enum { OUT, IDLE, WAITING, MUST_SYNC, STABLE, DEAD } state;
    char id[128];
    unsigned version;  /* of its metadata */
    int32_t generation;
    bool leads;
    char members[64][128];
    size_t member_count;
    struct call *call;
    int64_t beat_ms, sync_ms;
    bool with_id;
};

struct world {
    struct rig rig;
    struct player players[CLIENTS];
    struct call *calls;
    char leaders[4096][128]; /* by generation */
    unsigned answered, forgotten, stable;
};
static struct world *world; /* the answers find it here */

static struct call *
new_call(struct player *player, bool is_sync)
{
    struct call *call = calloc(1, sizeof *call);
    assert_non_null(call);
    *call = (struct call){.next = world->calls, .player = player, .is_sync = is_sync};
    world->calls = call;
    player->call = call;
    return call;
}

static struct player *
hear(struct call *call)
{
    call->calls++;
    world->answered++;
    CHECK_INT(call->calls, 1);
    CHECK(call->player != NULL); /* not after it was forgotten */
    struct player *player = call->player;
    if (player->call == call)
        player->call = NULL;
    return player;
}

static void
hear_join(void *context, const struct group_joined *result)
{
    struct player *player = hear(context);
    if (player->state == DEAD || player->state == OUT)
        return;
    player->state = IDLE;
    if (result->err == KAFKA_MEMBER_ID_REQUIRED)
        keep_text(player->id, sizeof player->id, result->member_id);
    if (result->err == KAFKA_UNKNOWN_MEMBER_ID)
        player->id[0] = 0;
    if (result->err != KAFKA_NONE)
        return;
    keep_text(player->id, sizeof player->id, result->member_id);
    player->generation = result->generation;
    player->leads = cairn_str_equal(result->leader, result->member_id);
    player->member_count = result->member_count;
    for (size_t i = 0; i < result->member_count; i++)
        keep_text(player->members[i], 128, result->members[i].member_id);
    CHECK(result->generation > 0 && result->generation < 4096);
    char *leader = world->leaders[result->generation];
    if (leader[0] == 0)
        keep_text(leader, 128, result->leader);
    CHECK(cairn_str_equal(cairn_cstr(leader), result->leader)); /* one leader a generation */
    player->state = MUST_SYNC;
    player->sync_ms = world->rig.now_ms;
}

static void
hear_sync(void *context, const struct group_synced *result)
{
    struct player *player = hear(context);
    if (player->state == DEAD || player->state == OUT)
        return;
    player->state = IDLE;
    if (result->err == KAFKA_UNKNOWN_MEMBER_ID)
        player->id[0] = 0;
    if (result->err != KAFKA_NONE)
        return;
    char expected[160], got[160];
    snprintf(expected, sizeof expected, "%d:%s", player->generation, player->id);
    keep_text(got, sizeof got, result->assignment);
    CHECK_STR(got, expected);
    player->state = STABLE;
    world->stable++;
}

static void
send_join(struct player *player)
{
    char metadata[16];
    snprintf(metadata, sizeof metadata, "v%u", player->version);
    struct group_protocol protocol = {CAIRN_STR("range"), cairn_cstr(metadata)};
    struct group_join join = {.group = CAIRN_STR("g"), .member_id = cairn_cstr(player->id), .client_id = CAIRN_STR("c"),
                              .protocol_type = CAIRN_STR("consumer"), .session_timeout_ms = SESSION_MS,
                              .rebalance_timeout_ms = REBALANCE_MS, .protocols = &protocol, .protocol_count = 1,
                              .member_id_required = player->with_id};
    player->state = WAITING;
    groups_join(world->rig.groups, &join, world->rig.now_ms, hear_join, new_call(player, false));
}

static void
send_sync(struct player *player)
{
    static char texts[64][160];
    struct group_assignment assignments[64];
    for (size_t i = 0; i < player->member_count; i++) {
        snprintf(texts[i], sizeof texts[i], "%d:%s", player->generation, player->members[i]);
        assignments[i] = (struct group_assignment){cairn_cstr(player->members[i]), cairn_cstr(texts[i])};
    }
    struct group_sync sync = {.group = CAIRN_STR("g"), .member_id = cairn_cstr(player->id), .generation = player->generation,
                              .assignments = assignments, .assignment_count = player->leads ? player->member_count : 0};
    player->state = WAITING;
    groups_sync(world->rig.groups, &sync, world->rig.now_ms, hear_sync, new_call(player, true));
}

static void
send_beat(struct player *player)
{
    player->beat_ms = world->rig.now_ms;
    enum kafka_err err = rig_beat(&world->rig, "g", player->id, NULL, player->generation);
    enum kafka_err commit = groups_may_commit(world->rig.groups, CAIRN_STR("g"), cairn_cstr(player->id), (cairn_str){0}, player->generation);
    if (err == KAFKA_NONE)
        CHECK(commit == KAFKA_NONE || commit == KAFKA_REBALANCE_IN_PROGRESS);
    if (err == KAFKA_UNKNOWN_MEMBER_ID) {
        CHECK_INT(commit, KAFKA_UNKNOWN_MEMBER_ID);
        player->id[0] = 0;
    }
    if (err != KAFKA_NONE)
        player->state = IDLE;
}

/* What a client does when nothing odd happens. */
static void
go_on(struct player *player, bool sync_late, uint64_t *seed)
{
    switch (player->state) {
    case IDLE: send_join(player); break;
    case MUST_SYNC:
        if (!sync_late || test_random(seed) % 8 == 0)
            send_sync(player);
        break;
    case STABLE:
        if (world->rig.now_ms - player->beat_ms >= 1000)
            send_beat(player);
        break;
    default: break;
    }
}

static void
forget(struct player *player)
{
    if (player->call == NULL)
        return;
    struct call *call = player->call;
    player->call = NULL;
    if (groups_forget(world->rig.groups, call)) {
        call->player = NULL;
        world->forgotten++;
    }
    if (player->state == WAITING)
        player->state = IDLE;
}

static void
odd_step(struct player *player, uint64_t *seed)
{
    switch (test_random(seed) % 8) {
    case 0: /* dies */
        forget(player);
        player->state = DEAD;
        break;
    case 1:
        if (player->id[0] && (player->state == STABLE || player->state == IDLE)) {
            (void)rig_leave(&world->rig, "g", player->id, NULL);
            player->state = OUT;
        }
        break;
    case 2: player->version++; if (player->state == STABLE) player->state = IDLE; break;
    case 3: forget(player); break; /* its connection goes; it tries again */
    case 4: if (player->state == STABLE) player->state = IDLE; break; /* joins again as it is */
    default: break;
    }
}

static void
step(uint64_t *seed)
{
    struct player *player = &world->players[test_random(seed) % CLIENTS];
    if (player->state == OUT || player->state == DEAD) {
        if (test_random(seed) % 10 == 0)
            *player = (struct player){.state = IDLE, .with_id = test_random(seed) % 2};
        return;
    }
    if (test_random(seed) % 150 == 0)
        odd_step(player, seed);
    else
        go_on(player, true, seed);
}

static void
settle(uint64_t *seed)
{
    for (int64_t end = world->rig.now_ms + 3 * (SESSION_MS + REBALANCE_MS); world->rig.now_ms < end;) {
        for (int i = 0; i < CLIENTS; i++)
            go_on(&world->players[i], false, seed);
        rig_pass(&world->rig, 100);
    }
    size_t alive = 0;
    int32_t generation = -1;
    for (int i = 0; i < CLIENTS; i++) {
        struct player *player = &world->players[i];
        if (player->state == OUT || player->state == DEAD)
            continue;
        CHECK_INT(player->state, STABLE);
        CHECK(generation == -1 || generation == player->generation);
        generation = player->generation;
        alive++;
    }
    struct arena arena = {0};
    struct group_info info = {0};
    if (alive > 0) {
        CHECK_INT(groups_describe(world->rig.groups, CAIRN_STR("g"), &arena, &info), KAFKA_NONE);
        CHECK(cairn_str_equal(info.state, CAIRN_STR("Stable")));
        CHECK_INT(info.member_count, alive);
    }
    arena_free(&arena);
}

TEST(members_at_random)
{
    uint64_t seed = test_seed();
    for (unsigned run = 0; run < 10 * test_scale(); run++) {
        world = calloc(1, sizeof *world);
        assert_non_null(world);
        rig_open(&world->rig, NULL);
        for (int i = 0; i < 20000; i++) {
            step(&seed);
            if (test_random(&seed) % 6 == 0)
                rig_pass(&world->rig, (int64_t)(test_random(&seed) % 400));
        }
        settle(&seed);
        groups_close(world->rig.groups);
        for (struct call *call = world->calls, *next; call != NULL; call = next) {
            next = call->next;
            CHECK_INT(call->calls, call->player != NULL);
            free(call);
        }
        CHECK(world->stable > 50);
        CHECK(world->forgotten > 0);
        free(world);
    }
}

/* ---- a storm ---------------------------------------------------------------------------------------------------------------------- */

#define GROUPS 1000
#define EACH 10

static unsigned storm_answers, storm_synced;
static struct { char id[64], leader[64]; int32_t generation; } storm[GROUPS][EACH];

static void
storm_joined(void *context, const struct group_joined *result)
{
    size_t at = (size_t)(uintptr_t)context - 1;
    storm_answers++;
    CHECK_INT(result->err, KAFKA_NONE);
    keep_text(storm[at / EACH][at % EACH].id, 64, result->member_id);
    keep_text(storm[at / EACH][at % EACH].leader, 64, result->leader);
    storm[at / EACH][at % EACH].generation = result->generation;
}

static void
storm_sync_done(void *context, const struct group_synced *result)
{
    (void)context;
    storm_synced += result->err == KAFKA_NONE;
}

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
storm_join_all(struct rig *rig)
{
    struct group_protocol protocol = {CAIRN_STR("range"), CAIRN_STR("m")};
    storm_answers = storm_synced = 0;
    for (size_t at = 0; at < GROUPS * EACH; at++) {
        char name[16];
        snprintf(name, sizeof name, "g%zu", at / EACH);
        struct group_join join = {.group = cairn_cstr(name), .member_id = cairn_cstr(storm[at / EACH][at % EACH].id),
                                  .client_id = CAIRN_STR("c"), .protocol_type = CAIRN_STR("consumer"),
                                  .session_timeout_ms = 10000, .rebalance_timeout_ms = 30000, .protocols = &protocol,
                                  .protocol_count = 1};
        groups_join(rig->groups, &join, rig->now_ms, storm_joined, (void *)(uintptr_t)(at + 1));
    }
    rig_pass(rig, 500);
    for (size_t at = 0; at < GROUPS * EACH; at++) {
        char name[16];
        snprintf(name, sizeof name, "g%zu", at / EACH);
        struct group_sync sync = {.group = cairn_cstr(name), .member_id = cairn_cstr(storm[at / EACH][at % EACH].id),
                                  .generation = storm[at / EACH][at % EACH].generation};
        groups_sync(rig->groups, &sync, rig->now_ms, storm_sync_done, NULL);
    }
}

TEST(ten_thousand_members_in_a_thousand_groups)
{
    struct rig rig;
    rig_open(&rig, NULL);
    double began = seconds();
    for (int round = 0; round < 5; round++) {
        memset(storm, 0, sizeof storm);
        storm_join_all(&rig);
        CHECK_INT(storm_answers, GROUPS * EACH);
        CHECK_INT(storm_synced, GROUPS * EACH);
        if (round == 0) { /* a tick with nothing due does not look at ten thousand members */
            rig.now_ms += 1;
            groups_tick(rig.groups, rig.now_ms);
            double before = seconds();
            for (int i = 0; i < 1000; i++)
                groups_tick(rig.groups, rig.now_ms);
            double tick_us = (seconds() - before) * 1000;
            before = seconds();
            for (size_t at = 0; at < GROUPS * EACH; at++) {
                char name[16];
                snprintf(name, sizeof name, "g%zu", at / EACH);
                CHECK_INT(rig_beat(&rig, name, storm[at / EACH][at % EACH].id, NULL, 1), KAFKA_NONE);
            }
            printf("an idle tick: %.2f µs; a heartbeat: %.2f µs\n", tick_us, (seconds() - before) * 1e6 / (GROUPS * EACH));
            CHECK(tick_us < 100);
        }
        rig_pass(&rig, 10100); /* all die: their sessions end */
        CHECK_STATE(&rig, "g999", "Empty");
    }
    printf("five storms: %.2f s of processor time\n", seconds() - began);
    rig_pass(&rig, 40000);
    CHECK_INT(rig.groups->timers.count, 0);
    CHECK_INT(rig.groups->timers.reserved, 2 * GROUPS);
    groups_close(rig.groups);
}

TEST(ten_thousand_members_in_one_group)
{
    struct rig rig;
    rig_open(&rig, NULL);
    double began = seconds();
    struct group_protocol protocol = {CAIRN_STR("range"), CAIRN_STR("m")};
    struct group_join join = {.group = CAIRN_STR("g"), .client_id = CAIRN_STR("c"), .protocol_type = CAIRN_STR("consumer"),
                              .session_timeout_ms = 10000, .rebalance_timeout_ms = 30000, .protocols = &protocol, .protocol_count = 1};
    memset(storm, 0, sizeof storm);
    storm_answers = 0;
    for (size_t at = 0; at < GROUPS * EACH; at++)
        groups_join(rig.groups, &join, rig.now_ms, storm_joined, (void *)(uintptr_t)(at + 1));
    rig_pass(&rig, 500);
    CHECK_INT(storm_answers, GROUPS * EACH);
    rig_pass(&rig, 11000);
    CHECK_STATE(&rig, "g", "Empty");
    printf("one group of ten thousand: %.2f s of processor time\n", seconds() - began);
    groups_close(rig.groups);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(members_at_random),
        RUN(ten_thousand_members_in_a_thousand_groups),
        RUN(ten_thousand_members_in_one_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

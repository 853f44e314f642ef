/* Goal: a group that runs out of memory answers with an error, or goes on as if nothing had been; every call is answered once, no
 * partition gets two owners, and with memory again members end in a stable group.
 * Method: no_memory.h. A script of calls; the n-th allocation fails, once or from there on, until a run meets no fault. */
#include "no_memory.h"
#include <consumer_rig.h>

/* ---- classic ------------------------------------------------------------------------------------------------------------------------ */

struct script {
    struct rig rig;
    struct heard_join joins[16];
    struct heard_sync syncs[16];
    size_t join_count, sync_count;
};

static struct heard_join *
join(struct script *script, struct join_as as)
{
    struct heard_join *heard = &script->joins[script->join_count++];
    rig_join(&script->rig, as, heard);
    return heard;
}

static void
sync_as(struct script *script, const struct heard_join *joined)
{
    struct heard_sync *heard = &script->syncs[script->sync_count++];
    if (joined->member_count > 0)
        rig_sync_lead(&script->rig, "g", joined, "p", heard);
    else
        rig_sync(&script->rig, "g", joined->member_id, NULL, joined->generation, heard);
}

static void
run_classic(struct script *script)
{
    struct heard_join *id = join(script, (struct join_as){.id_required = true});
    struct heard_join *a = join(script, (struct join_as){.id = id->member_id, .protocols = {"x", "range"}});
    struct heard_join *b = join(script, (struct join_as){0});
    struct heard_join *s = join(script, (struct join_as){.instance = "S"});
    rig_pass(&script->rig, 400);
    sync_as(script, b);
    sync_as(script, s);
    sync_as(script, a);
    struct heard_join *s2 = join(script, (struct join_as){.instance = "S"});
    sync_as(script, s2);
    struct heard_join *c = join(script, (struct join_as){.protocols = {"range", "y"}});
    struct heard_join *b2 = join(script, (struct join_as){.id = b->member_id, .metadata = {"changed"}});
    (void)rig_beat(&script->rig, "g", a->member_id, NULL, a->generation);
    (void)rig_leave(&script->rig, "g", a->member_id, NULL);
    rig_pass(&script->rig, 9000);
    (void)rig_beat(&script->rig, "g", s2->member_id, "S", s2->generation);
    sync_as(script, c);
    sync_as(script, b2);
    rig_pass(&script->rig, 70000);
}

static bool
play_classic(uint64_t at, bool forever)
{
    static struct script script;
    script = (struct script){0};
    rig_open(&script.rig, NULL);
    memory_fails(at, forever);
    run_classic(&script);
    bool fired = memory_returns();
    rig_pass(&script.rig, 400000); /* whoever has been left behind is gone */
    for (size_t i = 0; i < script.join_count; i++)
        CHECK_INT(script.joins[i].calls, 1);
    for (size_t i = 0; i < script.sync_count; i++)
        CHECK_INT(script.syncs[i].calls, 1);
    struct heard_join joins[3];
    rig_stable(&script.rig, (struct join_as){0}, 3, joins);
    groups_close(script.rig.groups);
    return fired;
}

TEST(classic_groups_without_memory)
{
    for (int forever = 0; forever < 2; forever++) {
        uint64_t at = 1;
        while (play_classic(at, forever))
            CHECK(at++ < 2000);
        CHECK(at > 30);
    }
}

/* ---- KIP-848 ------------------------------------------------------------------------------------------------------------------------ */

#define CLIENTS 3

static void
beat(struct client *client, struct groups_broker *groups, int64_t now_ms)
{
    client->calls = 0;
    client_send(client, groups, now_ms, client->epoch, on_beaten);
    CHECK_INT(client->calls, 1);
    if (client->err == KAFKA_NONE)
        client_apply(client);
    else if (client->err != KAFKA_COORDINATOR_NOT_AVAILABLE && client->err != KAFKA_INVALID_REGULAR_EXPRESSION) {
        client->owned = client->told = (struct holds){0};
        client->epoch = 0;
    }
}

static void
check_owners(const struct client *clients)
{
    for (int a = 0; a < CLIENTS; a++)
        for (int b = a + 1; b < CLIENTS; b++)
            for (int t = 0; t < PLAY_TOPICS; t++)
                CHECK_INT(clients[a].owned.bits[t] & clients[b].owned.bits[t], 0);
}

static bool
play_consumer(uint64_t at, bool forever)
{
    struct play play = {0};
    struct groups_topics topics = {play_changes, play_visit, &play};
    struct groups_broker *groups;
    struct client clients[CLIENTS] = {{.id = "a", .topics = {"t0"}, .topic_count = 1},
                                      {.id = "b", .regex = "t.*"},
                                      {.id = "c", .topics = {"t0", "t1"}, .topic_count = 2, .instance = "C", .assignor = "range"}};
    int64_t now_ms = 1000;
    play_set(&play, 0, 6);
    play_set(&play, 1, 3);
    CHECK_OK(groups_new_on(NULL, 0, &topics, NULL, &groups, NULL));
    memory_fails(at, forever);
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            beat(&clients[i], groups, now_ms += 300);
            check_owners(clients);
        }
        if (round == 3)
            play_set(&play, 0, 9);
        groups_tick(groups, now_ms);
    }
    bool fired = memory_returns();
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            beat(&clients[i], groups, now_ms += 300);
            CHECK_INT(clients[i].err, KAFKA_NONE);
            check_owners(clients);
        }
    }
    CHECK_INT(clients[0].owned.bits[0] | clients[1].owned.bits[0] | clients[2].owned.bits[0], 0x1FF);
    CHECK_INT(clients[1].owned.bits[1] | clients[2].owned.bits[1], 0x7);
    groups_close(groups);
    return fired;
}

TEST(consumer_groups_without_memory)
{
    for (int forever = 0; forever < 2; forever++) {
        uint64_t at = 1;
        while (play_consumer(at, forever))
            CHECK(at++ < 5000);
        CHECK(at > 30);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(classic_groups_without_memory), RUN(consumer_groups_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

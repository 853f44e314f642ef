/* Goal: the classic group protocol makes the moves, and gives the errors, that Kafka's coordinator does.
 * Method: calls on a clock that the test moves; every answer is kept and counted. */
#include <groups_rig.h>

#define NOT_ANSWERED(heard) CHECK_INT((heard).calls, 0)
#define ANSWERED(heard, error)          \
    do {                                \
        CHECK_INT((heard).calls, 1);    \
        CHECK_INT((heard).err, error);  \
    } while (0)

TEST(one_member_joins_syncs_beats_leaves)
{
    struct rig rig;
    struct heard_join join;
    struct heard_sync sync;
    rig_open(&rig, NULL);
    rig_join(&rig, (struct join_as){.metadata = {"mine"}}, &join);
    NOT_ANSWERED(join);
    CHECK_STATE(&rig, "g", "PreparingRebalance");
    rig_pass(&rig, 100);
    ANSWERED(join, KAFKA_NONE);
    CHECK_INT(join.generation, 1);
    CHECK_STR(join.leader, join.member_id);
    CHECK_STR(join.protocol, "range");
    CHECK_STR(join.type, "consumer");
    CHECK_INT(join.member_count, 1);
    CHECK_STR(join.metadata[0], "mine");
    CHECK_INT(strncmp(join.member_id, "client-", 7), 0);
    CHECK_STATE(&rig, "g", "CompletingRebalance");
    CHECK_INT(rig_beat(&rig, "g", join.member_id, NULL, 1), KAFKA_NONE);
    rig_sync_lead(&rig, "g", &join, "all", &sync);
    ANSWERED(sync, KAFKA_NONE);
    CHECK_STR(sync.assignment, "all0");
    CHECK_STR(sync.protocol, "range");
    CHECK_STATE(&rig, "g", "Stable");
    rig_pass(&rig, 9000);
    CHECK_INT(rig_beat(&rig, "g", join.member_id, NULL, 1), KAFKA_NONE);
    rig_pass(&rig, 9000);
    CHECK_INT(rig_beat(&rig, "g", join.member_id, NULL, 1), KAFKA_NONE);
    CHECK_INT(rig_leave(&rig, "g", join.member_id, NULL), KAFKA_NONE);
    CHECK_STATE(&rig, "g", "Empty");
    CHECK_INT(rig_leave(&rig, "g", join.member_id, NULL), KAFKA_UNKNOWN_MEMBER_ID);
    groups_close(rig.groups);
}

TEST(errors_of_calls_that_fit_nothing)
{
    struct rig rig;
    struct heard_join join, first;
    struct heard_sync sync;
    char text[300];
    rig_open(&rig, NULL);
    rig_join(&rig, (struct join_as){.group = ""}, &join);
    ANSWERED(join, KAFKA_INVALID_GROUP_ID);
    memset(text, 'a', 256);
    text[256] = 0;
    rig_join(&rig, (struct join_as){.group = text}, &join);
    ANSWERED(join, KAFKA_INVALID_GROUP_ID);
    rig_join(&rig, (struct join_as){.session_ms = 5999}, &join);
    ANSWERED(join, KAFKA_INVALID_SESSION_TIMEOUT);
    rig_join(&rig, (struct join_as){.session_ms = 1800001}, &join);
    ANSWERED(join, KAFKA_INVALID_SESSION_TIMEOUT);
    rig_join(&rig, (struct join_as){.id = "nobody"}, &join); /* no such group */
    ANSWERED(join, KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_STR(join.member_id, "nobody");
    CHECK_INT(rig_beat(&rig, "g", "nobody", NULL, 1), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(rig_leave(&rig, "g", "nobody", NULL), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(rig_leave(&rig, "g", NULL, "nothing"), KAFKA_UNKNOWN_MEMBER_ID);
    rig_sync(&rig, "g", "nobody", NULL, 1, &sync);
    ANSWERED(sync, KAFKA_UNKNOWN_MEMBER_ID);
    rig_join(&rig, (struct join_as){.type = ""}, &join);
    ANSWERED(join, KAFKA_INCONSISTENT_GROUP_PROTOCOL);

    rig_stable(&rig, (struct join_as){0}, 1, &first);
    rig_join(&rig, (struct join_as){.id = "nobody"}, &join);
    ANSWERED(join, KAFKA_UNKNOWN_MEMBER_ID);
    rig_join(&rig, (struct join_as){.protocols = {"other"}}, &join);
    ANSWERED(join, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    rig_join(&rig, (struct join_as){.type = "connect"}, &join);
    ANSWERED(join, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    CHECK_INT(rig_beat(&rig, "g", first.member_id, NULL, 2), KAFKA_ILLEGAL_GENERATION);
    CHECK_INT(rig_beat(&rig, "g", "nobody", NULL, 1), KAFKA_UNKNOWN_MEMBER_ID);
    rig_sync(&rig, "g", first.member_id, NULL, 7, &sync);
    ANSWERED(sync, KAFKA_ILLEGAL_GENERATION);
    struct group_sync odd = {.group = CAIRN_STR("g"), .member_id = cairn_cstr(first.member_id), .generation = 1,
                             .protocol = CAIRN_STR("roundrobin")};
    sync = (struct heard_sync){0};
    groups_sync(rig.groups, &odd, rig.now_ms, on_synced, &sync);
    ANSWERED(sync, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    groups_close(rig.groups);
}

TEST(an_id_is_given_before_a_first_join)
{
    struct rig rig;
    struct heard_join join, again;
    rig_open(&rig, NULL);
    rig_join(&rig, (struct join_as){.id_required = true}, &join);
    ANSWERED(join, KAFKA_MEMBER_ID_REQUIRED);
    CHECK(join.member_id[0] != 0);
    CHECK_INT(rig_beat(&rig, "g", join.member_id, NULL, 0), KAFKA_UNKNOWN_MEMBER_ID);
    rig_join(&rig, (struct join_as){.id = join.member_id, .id_required = true}, &again);
    NOT_ANSWERED(again);
    rig_pass(&rig, 100);
    ANSWERED(again, KAFKA_NONE);
    CHECK_STR(again.member_id, join.member_id);

    /* An id that nobody comes back with holds up a rebalance until its session ends, or it leaves. */
    rig_join(&rig, (struct join_as){.id_required = true, .session_ms = 6000}, &join);
    ANSWERED(join, KAFKA_MEMBER_ID_REQUIRED);
    struct heard_join leader;
    rig_join(&rig, (struct join_as){.id = again.member_id, .metadata = {"new"}}, &leader);
    rig_pass(&rig, 5900);
    NOT_ANSWERED(leader);
    rig_pass(&rig, 200);
    ANSWERED(leader, KAFKA_NONE);
    CHECK_INT(leader.generation, 2);
    rig_join(&rig, (struct join_as){.id = join.member_id}, &join);
    ANSWERED(join, KAFKA_UNKNOWN_MEMBER_ID);
    groups_close(rig.groups);
}

TEST(an_id_nobody_uses_leaves_no_group)
{
    struct rig rig;
    struct heard_join join;
    rig_open(&rig, NULL);
    rig_join(&rig, (struct join_as){.id_required = true}, &join);
    CHECK_INT(rig.groups->table.count, 1);
    rig_pass(&rig, 10001);
    CHECK_INT(rig.groups->table.count, 0);
    rig_join(&rig, (struct join_as){.id_required = true}, &join);
    CHECK_INT(rig_leave(&rig, "g", join.member_id, NULL), KAFKA_NONE);
    CHECK_INT(rig.groups->table.count, 0);
    CHECK_INT(rig.groups->timers.count, 0);
    CHECK_INT(rig.groups->timers.reserved, 0);
    groups_close(rig.groups);
}

TEST(a_new_group_waits_while_members_come)
{
    struct rig rig;
    struct heard_join joins[5];
    rig_open(&rig, &(struct groups_options){.initial_delay_ms = 1000});
    for (int i = 0; i < 4; i++) { /* one every 600 ms: each second has one */
        rig_join(&rig, (struct join_as){.rebalance_ms = 3500}, &joins[i]);
        rig_pass(&rig, 600);
        NOT_ANSWERED(joins[0]);
    }
    rig_pass(&rig, 1200); /* 3,600 ms: no more than the rebalance timeout */
    for (int i = 0; i < 4; i++)
        ANSWERED(joins[i], KAFKA_NONE);
    CHECK_INT(joins[0].generation, 1);
    CHECK_INT(joins[0].member_count, 4);
    CHECK_INT(joins[1].member_count, 0);
    CHECK_STR(joins[3].leader, joins[0].member_id);
    groups_close(rig.groups);

    rig_open(&rig, &(struct groups_options){.initial_delay_ms = 1000}); /* nobody else comes: one delay */
    rig_join(&rig, (struct join_as){0}, &joins[0]);
    rig_pass(&rig, 999);
    NOT_ANSWERED(joins[0]);
    rig_pass(&rig, 1);
    ANSWERED(joins[0], KAFKA_NONE);
    groups_close(rig.groups);
}

TEST(followers_wait_for_the_leader)
{
    struct rig rig;
    struct heard_join joins[3];
    struct heard_sync syncs[3];
    rig_open(&rig, NULL);
    for (int i = 0; i < 3; i++)
        rig_join(&rig, (struct join_as){0}, &joins[i]);
    rig_pass(&rig, 200);
    CHECK_INT(joins[0].member_count, 3);
    rig_sync(&rig, "g", joins[1].member_id, NULL, 1, &syncs[1]);
    rig_sync(&rig, "g", joins[2].member_id, NULL, 1, &syncs[2]);
    for (int i = 0; i < 4; i++) {
        rig_pass(&rig, 5000);
        CHECK_INT(rig_beat(&rig, "g", joins[0].member_id, NULL, 1), KAFKA_NONE);
    }
    NOT_ANSWERED(syncs[1]);
    CHECK_INT(rig_beat(&rig, "g", joins[1].member_id, NULL, 1), KAFKA_NONE); /* who waits is alive, although it says nothing */
    rig_pass(&rig, 10100);
    CHECK_INT(rig_beat(&rig, "g", joins[0].member_id, NULL, 1), KAFKA_UNKNOWN_MEMBER_ID); /* the leader's session ended */
    ANSWERED(syncs[1], KAFKA_REBALANCE_IN_PROGRESS);
    ANSWERED(syncs[2], KAFKA_REBALANCE_IN_PROGRESS);
    for (int i = 1; i < 3; i++)
        rig_join(&rig, (struct join_as){.id = joins[i].member_id}, &joins[i == 1 ? 1 : 2]);
    groups_close(rig.groups);
}

TEST(a_member_joins_a_stable_group)
{
    struct rig rig;
    struct heard_join joins[3], again[2];
    struct heard_sync sync[3];
    rig_open(&rig, NULL);
    rig_stable(&rig, (struct join_as){0}, 2, joins);
    rig_join(&rig, (struct join_as){0}, &joins[2]);
    NOT_ANSWERED(joins[2]);
    CHECK_STATE(&rig, "g", "PreparingRebalance");
    CHECK_INT(rig_beat(&rig, "g", joins[0].member_id, NULL, 1), KAFKA_REBALANCE_IN_PROGRESS);
    rig_sync(&rig, "g", joins[0].member_id, NULL, 1, &sync[0]);
    ANSWERED(sync[0], KAFKA_REBALANCE_IN_PROGRESS);
    rig_join(&rig, (struct join_as){.id = joins[1].member_id}, &again[1]);
    NOT_ANSWERED(again[1]);
    rig_join(&rig, (struct join_as){.id = joins[0].member_id}, &again[0]);
    ANSWERED(again[0], KAFKA_NONE); /* all have joined: at once */
    ANSWERED(again[1], KAFKA_NONE);
    ANSWERED(joins[2], KAFKA_NONE);
    CHECK_INT(again[0].generation, 2);
    CHECK_STR(joins[2].leader, joins[0].member_id); /* the leader stays */
    CHECK_INT(again[0].member_count, 3);
    rig_sync(&rig, "g", again[1].member_id, NULL, 2, &sync[1]);
    rig_sync(&rig, "g", joins[2].member_id, NULL, 2, &sync[2]);
    rig_sync_lead(&rig, "g", &again[0], "p", &sync[0]);
    for (int i = 0; i < 3; i++) {
        char expected[16];
        snprintf(expected, sizeof expected, "p%d", i);
        ANSWERED(sync[i], KAFKA_NONE);
        CHECK_STR(sync[i].assignment, expected);
    }
    rig_sync(&rig, "g", joins[2].member_id, NULL, 2, &sync[2]); /* asked again, told again */
    CHECK_STR(sync[2].assignment, "p2");
    groups_close(rig.groups);
}

TEST(rejoining_a_stable_group)
{
    struct rig rig;
    struct heard_join joins[2], again[2];
    rig_open(&rig, NULL);
    rig_stable(&rig, (struct join_as){.metadata = {"m"}}, 2, joins);
    rig_join(&rig, (struct join_as){.id = joins[1].member_id, .metadata = {"m"}}, &again[1]); /* a follower as it was */
    ANSWERED(again[1], KAFKA_NONE);
    CHECK_INT(again[1].generation, 1);
    CHECK_STATE(&rig, "g", "Stable");
    rig_join(&rig, (struct join_as){.id = joins[1].member_id, .metadata = {"n"}}, &again[1]); /* changed */
    NOT_ANSWERED(again[1]);
    CHECK_STATE(&rig, "g", "PreparingRebalance");
    rig_join(&rig, (struct join_as){.id = joins[0].member_id, .metadata = {"m"}}, &again[0]);
    ANSWERED(again[0], KAFKA_NONE);
    ANSWERED(again[1], KAFKA_NONE);
    CHECK_INT(again[0].generation, 2);
    struct heard_join repeat; /* its answer was lost: the same again, and the leader the members again */
    rig_join(&rig, (struct join_as){.id = joins[0].member_id, .metadata = {"m"}}, &repeat);
    ANSWERED(repeat, KAFKA_NONE);
    CHECK_INT(repeat.generation, 2);
    CHECK_INT(repeat.member_count, 2);
    struct heard_sync sync;
    rig_sync_lead(&rig, "g", &again[0], "p", &sync);
    rig_join(&rig, (struct join_as){.id = joins[0].member_id, .metadata = {"m"}}, &again[0]); /* a leader wants to assign anew */
    NOT_ANSWERED(again[0]);
    CHECK_STATE(&rig, "g", "PreparingRebalance");
    rig_join(&rig, (struct join_as){.id = joins[0].member_id, .metadata = {"m"}}, &repeat); /* on another connection */
    ANSWERED(again[0], KAFKA_REBALANCE_IN_PROGRESS);
    NOT_ANSWERED(repeat);
    groups_close(rig.groups);
    ANSWERED(repeat, KAFKA_NOT_COORDINATOR);
}

TEST(who_does_not_rejoin_in_time_is_out)
{
    struct rig rig;
    struct heard_join joins[3], fresh, again;
    rig_open(&rig, NULL);
    rig_stable(&rig, (struct join_as){.session_ms = 30000, .rebalance_ms = 10000}, 3, joins);
    rig_join(&rig, (struct join_as){.session_ms = 30000, .rebalance_ms = 10000}, &fresh);
    rig_join(&rig, (struct join_as){.id = joins[2].member_id, .session_ms = 30000, .rebalance_ms = 10000}, &again);
    rig_pass(&rig, 9900);
    NOT_ANSWERED(fresh);
    rig_pass(&rig, 200);
    ANSWERED(fresh, KAFKA_NONE);
    ANSWERED(again, KAFKA_NONE);
    CHECK_INT(again.generation, 2);
    CHECK_STR(fresh.leader, joins[2].member_id); /* the leader did not come: the first who did */
    CHECK_INT(again.member_count, 2);
    CHECK_INT(rig_beat(&rig, "g", joins[0].member_id, NULL, 2), KAFKA_UNKNOWN_MEMBER_ID);
    groups_close(rig.groups);
}

TEST(sessions_end)
{
    struct rig rig;
    struct heard_join joins[2], again;
    rig_open(&rig, NULL);
    rig_stable(&rig, (struct join_as){0}, 2, joins);
    for (int i = 0; i < 4; i++) {
        rig_pass(&rig, 3000);
        enum kafka_err err = rig_beat(&rig, "g", joins[0].member_id, NULL, 1);
        CHECK_INT(err, i < 3 ? KAFKA_NONE : KAFKA_REBALANCE_IN_PROGRESS);
    }
    CHECK_INT(rig_beat(&rig, "g", joins[1].member_id, NULL, 1), KAFKA_UNKNOWN_MEMBER_ID);
    rig_join(&rig, (struct join_as){.id = joins[0].member_id}, &again);
    ANSWERED(again, KAFKA_NONE);
    CHECK_INT(again.member_count, 1);
    rig_pass(&rig, 11000);
    CHECK_STATE(&rig, "g", "Empty");
    rig_pass(&rig, 60000);
    CHECK_INT(rig.groups->timers.count, 0);
    groups_close(rig.groups);
}

TEST(who_never_syncs_is_out)
{
    struct rig rig;
    struct heard_join joins[2], again;
    struct heard_sync sync;
    rig_open(&rig, NULL);
    for (int i = 0; i < 2; i++)
        rig_join(&rig, (struct join_as){.rebalance_ms = 20000}, &joins[i]);
    rig_pass(&rig, 200);
    rig_sync_lead(&rig, "g", &joins[0], "p", &sync);
    ANSWERED(sync, KAFKA_NONE);
    for (int i = 0; i < 4; i++) { /* both send heartbeats, but the second never asks what it has */
        rig_pass(&rig, 5000);
        rig_beat(&rig, "g", joins[0].member_id, NULL, 1);
        rig_beat(&rig, "g", joins[1].member_id, NULL, 1);
    }
    CHECK_STATE(&rig, "g", "PreparingRebalance");
    CHECK_INT(rig_beat(&rig, "g", joins[1].member_id, NULL, 1), KAFKA_UNKNOWN_MEMBER_ID);
    rig_join(&rig, (struct join_as){.id = joins[0].member_id}, &again);
    ANSWERED(again, KAFKA_NONE);
    CHECK_INT(again.generation, 2);
    groups_close(rig.groups);
}

/* Goal: whoever left without syncing holds nothing up later. */
TEST(one_that_left_unsynced_is_not_waited_for)
{
    struct rig rig;
    struct heard_join joins[2], again;
    struct heard_sync sync;
    rig_open(&rig, NULL);
    for (int i = 0; i < 2; i++)
        rig_join(&rig, (struct join_as){.rebalance_ms = 20000}, &joins[i]);
    rig_pass(&rig, 200);
    rig_join(&rig, (struct join_as){.id = joins[0].member_id, .rebalance_ms = 20000, .metadata = {"new"}}, &again);
    CHECK_INT(rig_leave(&rig, "g", joins[1].member_id, NULL), KAFKA_NONE);
    ANSWERED(again, KAFKA_NONE);
    rig_sync_lead(&rig, "g", &again, "p", &sync);
    for (int i = 0; i < 10; i++) {
        rig_pass(&rig, 5000);
        CHECK_INT(rig_beat(&rig, "g", again.member_id, NULL, 2), KAFKA_NONE);
    }
    groups_close(rig.groups);
}

TEST(the_protocol_that_most_want_among_those_all_know)
{
    struct rig rig;
    struct heard_join joins[3], none;
    rig_open(&rig, NULL);
    rig_join(&rig, (struct join_as){.protocols = {"range", "sticky", "old"}, .metadata = {"r0", "s0", "o0"}}, &joins[0]);
    rig_join(&rig, (struct join_as){.protocols = {"sticky", "range"}, .metadata = {"s1", "r1"}}, &joins[1]);
    rig_join(&rig, (struct join_as){.protocols = {"new", "sticky", "range"}, .metadata = {"n2", "s2", "r2"}}, &joins[2]);
    rig_join(&rig, (struct join_as){.protocols = {"new", "old"}}, &none);
    ANSWERED(none, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    rig_pass(&rig, 200);
    ANSWERED(joins[0], KAFKA_NONE);
    CHECK_STR(joins[0].protocol, "sticky");
    CHECK_STR(joins[2].protocol, "sticky");
    CHECK_STR(joins[0].metadata[0], "s0");
    CHECK_STR(joins[0].metadata[2], "s2");
    /* The first leaves, and with it the one that knew "old": what is left knows the rest still. */
    CHECK_INT(rig_leave(&rig, "g", joins[0].member_id, NULL), KAFKA_NONE);
    struct heard_join again[2];
    rig_join(&rig, (struct join_as){.id = joins[1].member_id, .protocols = {"range", "sticky"}}, &again[0]);
    rig_join(&rig, (struct join_as){.id = joins[2].member_id, .protocols = {"range", "range", "sticky"}}, &again[1]);
    ANSWERED(again[0], KAFKA_NONE);
    CHECK_STR(again[0].protocol, "range");
    groups_close(rig.groups);
}

TEST(leaving)
{
    struct rig rig;
    struct heard_join joins[3], again[3];
    rig_open(&rig, NULL);
    rig_stable(&rig, (struct join_as){0}, 3, joins);
    CHECK_INT(rig_leave(&rig, "g", joins[0].member_id, NULL), KAFKA_NONE);
    CHECK_STATE(&rig, "g", "PreparingRebalance");
    rig_join(&rig, (struct join_as){.id = joins[1].member_id}, &again[1]);
    NOT_ANSWERED(again[1]);
    CHECK_INT(rig_leave(&rig, "g", joins[2].member_id, NULL), KAFKA_NONE); /* the last that was waited for */
    ANSWERED(again[1], KAFKA_NONE);
    CHECK_STR(again[1].leader, joins[1].member_id);
    struct heard_sync sync; /* leaving while waiting in a sync or a join */
    rig_join(&rig, (struct join_as){0}, &again[0]);
    CHECK_INT(rig_leave(&rig, "g", joins[1].member_id, NULL), KAFKA_NONE);
    ANSWERED(again[0], KAFKA_NONE);
    rig_join(&rig, (struct join_as){0}, &again[1]);
    rig_join(&rig, (struct join_as){.id = again[0].member_id}, &again[2]);
    ANSWERED(again[1], KAFKA_NONE);
    rig_sync(&rig, "g", again[1].member_id, NULL, again[1].generation, &sync);
    NOT_ANSWERED(sync);
    CHECK_INT(rig_leave(&rig, "g", again[1].member_id, NULL), KAFKA_NONE);
    ANSWERED(sync, KAFKA_UNKNOWN_MEMBER_ID);
    groups_close(rig.groups);
}

TEST(static_members_come_back_without_a_rebalance)
{
    struct rig rig;
    struct heard_join a, b, a2, b2;
    struct heard_sync sync;
    char same[512], other[512];
    cairn_str topics = subscription("x,y", same), topics2 = subscription("x,z", other);
    struct group_protocol protocol = {CAIRN_STR("range"), topics};
    struct group_join join = {.group = CAIRN_STR("g"), .instance_id = CAIRN_STR("A"), .client_id = CAIRN_STR("c"),
                              .protocol_type = CAIRN_STR("consumer"), .session_timeout_ms = 10000, .rebalance_timeout_ms = 30000,
                              .protocols = &protocol, .protocol_count = 1, .member_id_required = true};
    rig_open(&rig, NULL);
    a = b = a2 = b2 = (struct heard_join){0};
    groups_join(rig.groups, &join, rig.now_ms, on_joined, &a);
    join.instance_id = CAIRN_STR("B");
    groups_join(rig.groups, &join, rig.now_ms, on_joined, &b);
    rig_pass(&rig, 200);
    ANSWERED(a, KAFKA_NONE); /* an instance needs no id first */
    CHECK_INT(strncmp(a.member_id, "A-", 2), 0);
    rig_sync_lead(&rig, "g", &a, "p", &sync);
    rig_sync(&rig, "g", b.member_id, "B", 1, &sync);
    CHECK_STR(sync.assignment, "p1");

    groups_join(rig.groups, &join, rig.now_ms, on_joined, &b2); /* B has been started again */
    ANSWERED(b2, KAFKA_NONE);
    CHECK_INT(b2.generation, 1);
    CHECK(strcmp(b2.member_id, b.member_id) != 0);
    CHECK_STR(b2.leader, a.member_id);
    CHECK_STATE(&rig, "g", "Stable");
    rig_sync(&rig, "g", b2.member_id, "B", 1, &sync);
    CHECK_STR(sync.assignment, "p1");
    CHECK_INT(rig_beat(&rig, "g", b.member_id, "B", 1), KAFKA_FENCED_INSTANCE_ID);
    CHECK_INT(rig_beat(&rig, "g", b.member_id, NULL, 1), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(rig_beat(&rig, "g", b2.member_id, "B", 1), KAFKA_NONE);
    CHECK_INT(rig_leave(&rig, "g", b.member_id, "B"), KAFKA_FENCED_INSTANCE_ID);
    rig_sync(&rig, "g", b.member_id, "B", 1, &sync);
    ANSWERED(sync, KAFKA_FENCED_INSTANCE_ID);

    join.instance_id = CAIRN_STR("A"); /* the leader, too: told its old id as the leader's, it assigns nothing */
    groups_join(rig.groups, &join, rig.now_ms, on_joined, &a2);
    ANSWERED(a2, KAFKA_NONE);
    CHECK_STR(a2.leader, a.member_id);
    CHECK_INT(a2.member_count, 0);
    join.skip_assignment_known = true;
    groups_join(rig.groups, &join, rig.now_ms, on_joined, &a2);
    CHECK_STR(a2.leader, a2.member_id);
    CHECK(a2.skip);
    CHECK_INT(a2.member_count, 2);

    protocol.metadata = topics2; /* other topics: a rebalance */
    join.instance_id = CAIRN_STR("B");
    b2.calls = 0;
    groups_join(rig.groups, &join, rig.now_ms, on_joined, &b2);
    NOT_ANSWERED(b2);
    CHECK_STATE(&rig, "g", "PreparingRebalance");
    struct heard_join b3 = {0}; /* and again while it waits: the one before is fenced */
    groups_join(rig.groups, &join, rig.now_ms, on_joined, &b3);
    ANSWERED(b2, KAFKA_FENCED_INSTANCE_ID);
    NOT_ANSWERED(b3);
    /* A does not come back in time, but it is static: it stays until its session ends. */
    rig_pass(&rig, 9000);
    rig_pass(&rig, 2000);
    ANSWERED(b3, KAFKA_NONE);
    CHECK_INT(b3.member_count, 1);
    groups_close(rig.groups);
}

TEST(static_members_survive_a_rebalance_they_miss)
{
    struct rig rig;
    struct heard_join a, b, again;
    rig_open(&rig, NULL);
    rig_join(&rig, (struct join_as){.instance = "A", .session_ms = 60000, .rebalance_ms = 10000}, &a);
    rig_join(&rig, (struct join_as){.session_ms = 60000, .rebalance_ms = 10000}, &b);
    rig_pass(&rig, 200);
    struct heard_sync sync;
    rig_sync_lead(&rig, "g", &a, "p", &sync);
    rig_sync(&rig, "g", b.member_id, NULL, 1, &sync);
    rig_join(&rig, (struct join_as){.id = b.member_id, .session_ms = 60000, .rebalance_ms = 10000, .metadata = {"changed"}}, &again);
    rig_pass(&rig, 10100);
    ANSWERED(again, KAFKA_NONE);
    CHECK_STR(again.leader, b.member_id);
    CHECK_INT(again.member_count, 2); /* A, too */
    CHECK_INT(rig_leave(&rig, "g", NULL, "A"), KAFKA_NONE); /* as an administrator removes it */
    CHECK_INT(rig_leave(&rig, "g", NULL, "A"), KAFKA_UNKNOWN_MEMBER_ID);
    groups_close(rig.groups);
}

TEST(a_group_has_a_greatest_size)
{
    struct rig rig;
    struct heard_join joins[2], more, again[2];
    rig_open(&rig, &(struct groups_options){.members_max = 2});
    rig_stable(&rig, (struct join_as){0}, 2, joins);
    rig_join(&rig, (struct join_as){0}, &more);
    ANSWERED(more, KAFKA_GROUP_MAX_SIZE_REACHED);
    CHECK_STATE(&rig, "g", "Stable");
    rig_join(&rig, (struct join_as){.id = joins[0].member_id}, &again[0]); /* while it rebalances, who comes first stays */
    rig_join(&rig, (struct join_as){0}, &more);
    NOT_ANSWERED(more);
    rig_join(&rig, (struct join_as){.id = joins[1].member_id}, &again[1]);
    ANSWERED(again[1], KAFKA_GROUP_MAX_SIZE_REACHED);
    ANSWERED(more, KAFKA_NONE);
    ANSWERED(again[0], KAFKA_NONE);
    CHECK_INT(again[0].member_count, 2);
    groups_close(rig.groups);
}

/* Goal: what members offer and are assigned counts over all groups, until it is given back; who would hold too much is refused, and who is
 *       in goes on.
 * Method: a bound of 64 KiB, members of 8 KB in a group each. groups_close() looks whether all has been given back. */
TEST(all_groups_together_have_a_greatest_size)
{
    struct rig rig;
    struct heard_join joins[16], more;
    struct heard_sync sync;
    char names[16][8], large[8001], larger[30001], assignment[60000] = {0};
    size_t count = 0;
    memset(large, 'm', sizeof large - 1);
    memset(larger, 'm', sizeof larger - 1);
    large[sizeof large - 1] = larger[sizeof larger - 1] = 0;
    rig_open(&rig, &(struct groups_options){.bytes_max = 64 << 10});
    for (more.err = KAFKA_NONE; more.err == KAFKA_NONE; count += more.err == KAFKA_NONE) {
        assert_true(count < 16);
        snprintf(names[count], sizeof names[count], "g%zu", count);
        rig_join(&rig, (struct join_as){.group = names[count], .metadata = {large}}, &joins[count]);
        rig_pass(&rig, 100);
        more = joins[count];
        CHECK_INT(more.calls, 1);
    }
    CHECK_INT(more.err, KAFKA_GROUP_MAX_SIZE_REACHED);
    CHECK_INT(count, 7);
    size_t full = groups_bytes(rig.groups);
    CHECK(full > 7 * 8000 && full <= 64 << 10);
    CHECK_INT(rig.groups->table.count, 7); /* no empty group is left of who was refused */

    rig_join(&rig, (struct join_as){.group = "g0", .id = joins[0].member_id, .metadata = {larger}}, &more);
    ANSWERED(more, KAFKA_GROUP_MAX_SIZE_REACHED);
    rig_join(&rig, (struct join_as){.group = "g0", .id = joins[0].member_id, .metadata = {large}}, &joins[0]);
    ANSWERED(joins[0], KAFKA_NONE);
    CHECK_INT(groups_bytes(rig.groups), full);
    const struct group_assignment wide = {cairn_cstr(joins[0].member_id), {assignment, sizeof assignment}};
    struct group_sync ask = {.group = CAIRN_STR("g0"), .member_id = wide.member_id, .generation = joins[0].generation,
                             .assignments = &wide, .assignment_count = 1};
    sync = (struct heard_sync){0};
    groups_sync(rig.groups, &ask, rig.now_ms, on_synced, &sync);
    ANSWERED(sync, KAFKA_COORDINATOR_NOT_AVAILABLE);
    CHECK_INT(groups_bytes(rig.groups), full);
    rig_sync_lead(&rig, "g0", &joins[0], "small", &sync);
    ANSWERED(sync, KAFKA_NONE);
    CHECK_INT(groups_bytes(rig.groups), full + strlen("small0"));

    CHECK_INT(rig_leave(&rig, "g6", joins[6].member_id, NULL), KAFKA_NONE);
    rig_join(&rig, (struct join_as){.group = "g7", .metadata = {large}}, &more);
    rig_pass(&rig, 100);
    ANSWERED(more, KAFKA_NONE);
    rig_pass(&rig, 400000);
    CHECK_INT(groups_bytes(rig.groups), 0);
    groups_close(rig.groups);
}

TEST(as_many_groups_as_there_may_be)
{
    struct rig rig;
    struct heard_join a, b, c;
    rig_open(&rig, &(struct groups_options){.groups_max = 2});
    rig_stable(&rig, (struct join_as){.group = "a"}, 1, &a);
    rig_stable(&rig, (struct join_as){.group = "b"}, 1, &b);
    rig_join(&rig, (struct join_as){.group = "c"}, &c);
    ANSWERED(c, KAFKA_COORDINATOR_NOT_AVAILABLE);
    CHECK_INT(rig_leave(&rig, "b", b.member_id, NULL), KAFKA_NONE);
    rig_join(&rig, (struct join_as){.group = "c"}, &c);
    ANSWERED(c, KAFKA_COORDINATOR_NOT_AVAILABLE); /* looked through a moment ago */
    rig_pass(&rig, 9000);
    rig_beat(&rig, "a", a.member_id, NULL, 1);
    rig_pass(&rig, 2000);
    rig_join(&rig, (struct join_as){.group = "c"}, &c); /* the empty one makes room */
    NOT_ANSWERED(c);
    groups_close(rig.groups);
}

TEST(connections_that_go_while_they_wait)
{
    struct rig rig;
    struct heard_join a, b, c;
    struct heard_sync sync;
    rig_open(&rig, NULL);
    rig_join(&rig, (struct join_as){0}, &a); /* never learnt its id: gone */
    CHECK(groups_forget(rig.groups, &a));
    CHECK(!groups_forget(rig.groups, &a));
    rig_pass(&rig, 200);
    NOT_ANSWERED(a);
    CHECK_STATE(&rig, "g", "Empty");
    rig_stable(&rig, (struct join_as){0}, 1, &a);
    rig_join(&rig, (struct join_as){.id_required = true}, &b);
    rig_join(&rig, (struct join_as){.id = b.member_id}, &c);
    CHECK(groups_forget(rig.groups, &c)); /* knows its id: comes back, and has joined all the same */
    rig_join(&rig, (struct join_as){.id = a.member_id}, &a);
    ANSWERED(a, KAFKA_NONE);
    NOT_ANSWERED(c);
    CHECK_INT(a.member_count, 2);
    rig_join(&rig, (struct join_as){.id = b.member_id}, &c);
    ANSWERED(c, KAFKA_NONE);
    CHECK_INT(c.generation, a.generation);
    rig_sync(&rig, "g", c.member_id, NULL, c.generation, &sync);
    CHECK(groups_forget(rig.groups, &sync));
    struct heard_sync lead;
    rig_sync_lead(&rig, "g", &a, "p", &lead);
    NOT_ANSWERED(sync);
    rig_sync(&rig, "g", c.member_id, NULL, c.generation, &sync);
    CHECK_STR(sync.assignment, "p1");
    groups_close(rig.groups);
}

/* Cooperative: a first rebalance in which partitions are only revoked, a second, asked for by whoever revoked, that gives them
 * away. For the coordinator nothing but two rebalances: assignments pass as they are. */
TEST(two_rebalances_as_cooperative_consumers_make_them)
{
    struct rig rig;
    struct heard_join a, b, a2, b2;
    struct heard_sync sync_a, sync_b;
    rig_open(&rig, NULL);
    struct join_as cooperative = {.protocols = {"cooperative-sticky"}, .metadata = {"owned:"}};
    rig_stable(&rig, cooperative, 1, &a);
    rig_join(&rig, cooperative, &b);
    cooperative.id = a.member_id;
    cooperative.metadata[0] = "owned:0,1";
    rig_join(&rig, cooperative, &a2);
    ANSWERED(b, KAFKA_NONE);
    CHECK_STR(a2.metadata[0], "owned:0,1");
    CHECK_STR(a2.metadata[1], "owned:");
    rig_sync(&rig, "g", b.member_id, NULL, 2, &sync_b);
    rig_sync_lead(&rig, "g", &a2, "first", &sync_a);
    CHECK_STR(sync_b.assignment, "first1");
    cooperative.metadata[0] = "owned:0"; /* A has revoked 1, and joins again */
    rig_join(&rig, cooperative, &a2);
    NOT_ANSWERED(a2);
    CHECK_INT(rig_beat(&rig, "g", b.member_id, NULL, 2), KAFKA_REBALANCE_IN_PROGRESS);
    cooperative.id = b.member_id;
    cooperative.metadata[0] = "owned:";
    rig_join(&rig, cooperative, &b2);
    ANSWERED(a2, KAFKA_NONE);
    CHECK_INT(b2.generation, 3);
    CHECK_STR(a2.metadata[0], "owned:0");
    rig_sync_lead(&rig, "g", &a2, "second", &sync_a);
    rig_sync(&rig, "g", b2.member_id, NULL, 3, &sync_b);
    CHECK_STR(sync_a.assignment, "second0");
    CHECK_STR(sync_b.assignment, "second1");
    groups_close(rig.groups);
}

TEST(generations_wrap)
{
    struct rig rig;
    struct heard_join a, again;
    rig_open(&rig, NULL);
    rig_stable(&rig, (struct join_as){0}, 1, &a);
    struct kgroup *group = kgroup_find(rig.groups, CAIRN_STR("g"));
    group->generation = INT32_MAX;
    kgroup_release(group);
    rig_join(&rig, (struct join_as){.id = a.member_id}, &again);
    ANSWERED(again, KAFKA_NONE);
    CHECK_INT(again.generation, 1);
    groups_close(rig.groups);
}

TEST(who_may_commit)
{
    struct rig rig;
    struct heard_join a, b;
    struct groups_broker *groups;
    rig_open(&rig, NULL);
    groups = rig.groups;
    cairn_str g = CAIRN_STR("g"), none = {0};
    CHECK_INT(groups_may_commit(groups, g, none, none, -1), KAFKA_NONE);
    CHECK_INT(groups_may_commit(groups, g, none, none, 1), KAFKA_ILLEGAL_GENERATION);
    rig_join(&rig, (struct join_as){0}, &a);
    rig_pass(&rig, 200);
    cairn_str id = cairn_cstr(a.member_id);
    CHECK_INT(groups_may_commit(groups, g, id, none, 1), KAFKA_REBALANCE_IN_PROGRESS);
    struct heard_sync sync;
    rig_sync_lead(&rig, "g", &a, "p", &sync);
    CHECK_INT(groups_may_commit(groups, g, id, none, 1), KAFKA_NONE);
    CHECK_INT(groups_may_commit(groups, g, id, none, 0), KAFKA_ILLEGAL_GENERATION);
    CHECK_INT(groups_may_commit(groups, g, CAIRN_STR("x"), none, 1), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(groups_may_commit(groups, g, id, CAIRN_STR("i"), 1), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(groups_may_commit(groups, g, none, none, -1), KAFKA_UNKNOWN_MEMBER_ID); /* somebody is in it */
    CHECK_INT(groups_may_fetch(groups, g, none, -1), KAFKA_NONE);
    for (int i = 0; i < 3; i++) { /* committing keeps a member alive */
        rig_pass(&rig, 9000);
        CHECK_INT(groups_may_commit(groups, g, id, none, 1), KAFKA_NONE);
    }
    rig_join(&rig, (struct join_as){0}, &b); /* what was done before the rebalance may be committed while it goes on */
    CHECK_INT(groups_may_commit(groups, g, id, none, 1), KAFKA_NONE);
    rig_join(&rig, (struct join_as){.id = a.member_id}, &a);
    CHECK_INT(groups_may_commit(groups, g, id, none, 1), KAFKA_ILLEGAL_GENERATION);
    CHECK_INT(groups_may_commit(groups, g, id, none, 2), KAFKA_REBALANCE_IN_PROGRESS);
    groups_close(groups);
}

/* Goal: nothing that a client may put into its metadata is read beyond its end. Method: every beginning of a good one, lengths that
 * lie; under a sanitizer. */
TEST(subscriptions_that_are_none)
{
    char good[512];
    cairn_str whole = subscription("alpha,beta", good);
    CHECK(subscription_has(whole, CAIRN_STR("alpha")));
    CHECK(subscription_has(whole, CAIRN_STR("beta")));
    CHECK(!subscription_has(whole, CAIRN_STR("bet")));
    for (size_t size = 0; size < whole.size; size++) {
        char *exact = malloc(size ? size : 1);
        memcpy(exact, good, size);
        CHECK_INT(subscription_has((cairn_str){exact, size}, CAIRN_STR("beta")), size >= whole.size - 4);
        free(exact);
    }
    memset(good + 2, 0xFF, 4);
    CHECK(!subscription_has(whole, CAIRN_STR("alpha")));
    memset(good + 2, 0x7F, 4);
    CHECK(!subscription_has(whole, CAIRN_STR("alpha")));
    whole = subscription("alpha,beta", good);
    good[6] = (char)0x80; /* a negative length */
    CHECK(!subscription_has(whole, CAIRN_STR("beta")));
    char other[512];
    CHECK(subscription_same_topics(subscription("a,b", good), subscription("b,a", other)));
    CHECK(!subscription_same_topics(subscription("a,b", good), subscription("b", other)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(one_member_joins_syncs_beats_leaves),
        RUN(errors_of_calls_that_fit_nothing),
        RUN(an_id_is_given_before_a_first_join),
        RUN(an_id_nobody_uses_leaves_no_group),
        RUN(a_new_group_waits_while_members_come),
        RUN(followers_wait_for_the_leader),
        RUN(a_member_joins_a_stable_group),
        RUN(rejoining_a_stable_group),
        RUN(who_does_not_rejoin_in_time_is_out),
        RUN(sessions_end),
        RUN(who_never_syncs_is_out),
        RUN(one_that_left_unsynced_is_not_waited_for),
        RUN(the_protocol_that_most_want_among_those_all_know),
        RUN(leaving),
        RUN(static_members_come_back_without_a_rebalance),
        RUN(static_members_survive_a_rebalance_they_miss),
        RUN(a_group_has_a_greatest_size),
        RUN(all_groups_together_have_a_greatest_size),
        RUN(as_many_groups_as_there_may_be),
        RUN(connections_that_go_while_they_wait),
        RUN(two_rebalances_as_cooperative_consumers_make_them),
        RUN(generations_wrap),
        RUN(who_may_commit),
        RUN(subscriptions_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

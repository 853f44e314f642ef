/* Goal: KIP-848's groups: epochs, the target assignment, giving up before being given, errors, conversions.
 * Method: clients that do as they are told, on a clock and on topics that the test moves. */
#include <consumer_rig.h>

struct stage {
    struct play play;
    struct rig rig;
};

static void
stage_open(struct stage *stage, const struct groups_options *options)
{
    memset(stage, 0, sizeof *stage);
    struct groups_topics topics = {play_changes, play_visit, &stage->play};
    stage->rig.now_ms = 1000000;
    CHECK_OK(groups_new_on(NULL, 0, &topics, options, &stage->rig.groups, NULL));
}

static struct client
client_of(const char *id, const char *topic, const char *topic2)
{
    struct client client = {.topics = {topic, topic2}, .topic_count = (topic != NULL) + (topic2 != NULL)};
    snprintf(client.id, sizeof client.id, "%s", id);
    return client;
}

static enum kafka_err
beat(struct stage *stage, struct client *client)
{
    client_beat(client, stage->rig.groups, stage->rig.now_ms);
    return client->err;
}

/* Send as it is, with this epoch, and keep what was heard without doing it. */
static enum kafka_err
send(struct stage *stage, struct client *client, int32_t epoch)
{
    client_send(client, stage->rig.groups, stage->rig.now_ms, epoch, on_beaten);
    return client->err;
}

TEST(a_partition_is_given_only_when_it_has_been_given_up)
{
    struct stage stage;
    stage_open(&stage, NULL);
    play_set(&stage.play, 0, 4);
    struct client a = client_of("a", "t0", NULL), b = client_of("b", "t0", NULL);
    CHECK_INT(beat(&stage, &a), KAFKA_NONE);
    CHECK_INT(a.epoch, 1);
    CHECK_INT(a.owned.bits[0], 0xF);
    CHECK_STATE(&stage.rig, "g", "Stable");

    CHECK_INT(beat(&stage, &b), KAFKA_NONE);
    CHECK_INT(b.epoch, 2); /* nothing to give up: it is at the target's at once, and waits */
    CHECK_INT(client_count(&b), 0);
    CHECK_STATE(&stage.rig, "g", "Reconciling");
    CHECK_INT(beat(&stage, &b), KAFKA_NONE);
    CHECK_INT(client_count(&b), 0);

    CHECK_INT(send(&stage, &a, a.epoch), KAFKA_NONE); /* told what to keep, still has all */
    CHECK_INT(a.epoch, 1);
    CHECK(a.has_assignment);
    CHECK_INT(a.told.bits[0], 0x3);
    CHECK_INT(beat(&stage, &b), KAFKA_NONE);
    CHECK_INT(client_count(&b), 0);
    CHECK_INT(send(&stage, &a, a.epoch), KAFKA_NONE); /* has not given it up yet */
    CHECK_INT(a.epoch, 1);
    client_apply(&a);
    CHECK_INT(send(&stage, &a, a.epoch), KAFKA_NONE);
    CHECK_INT(a.epoch, 2);
    CHECK_INT(beat(&stage, &b), KAFKA_NONE);
    CHECK_INT(b.owned.bits[0], 0xC);
    CHECK_STATE(&stage.rig, "g", "Stable");

    struct arena arena = {0};
    struct group_info info;
    CHECK_INT(groups_describe(stage.rig.groups, CAIRN_STR("g"), &arena, &info), KAFKA_NONE);
    CHECK_STR(info.type, "consumer");
    CHECK(cairn_str_equal(info.protocol_type, CAIRN_STR("consumer")));
    CHECK(cairn_str_equal(info.protocol, CAIRN_STR("uniform")));
    CHECK_INT(info.generation, 2);
    CHECK_INT(info.assignment_epoch, 2);
    CHECK_INT(info.member_count, 2);
    CHECK_INT(info.members[1].owned_count, 1);
    CHECK_INT(info.members[1].owned[0].count, 2);
    CHECK_INT(info.members[1].owned[0].partitions[0], 2);
    CHECK_INT(info.members[1].target[0].count, 2);
    CHECK(cairn_str_equal(info.members[1].topics[0], CAIRN_STR("t0")));
    arena_free(&arena);

    CHECK_INT(send(&stage, &b, -1), KAFKA_NONE); /* leaves: what it had goes to the other at its next heartbeat */
    CHECK_INT(b.epoch, -1);
    CHECK_INT(beat(&stage, &a), KAFKA_NONE);
    CHECK_INT(a.owned.bits[0], 0xF);
    CHECK_INT(a.epoch, 3);
    CHECK_INT(send(&stage, &b, 2), KAFKA_UNKNOWN_MEMBER_ID);
    groups_close(stage.rig.groups);
}

TEST(who_gives_nothing_up_in_time_is_fenced)
{
    struct stage stage;
    stage_open(&stage, NULL);
    play_set(&stage.play, 0, 2);
    struct client a = client_of("a", "t0", NULL), b = client_of("b", "t0", NULL);
    beat(&stage, &a);
    beat(&stage, &b);
    for (int i = 0; i < 6; i++) { /* 30 s is the rebalance timeout it asked for */
        CHECK_INT(send(&stage, &a, 1), KAFKA_NONE);
        CHECK_INT(beat(&stage, &b), KAFKA_NONE);
        rig_pass(&stage.rig, 5000);
    }
    CHECK_INT(send(&stage, &a, 1), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(beat(&stage, &b), KAFKA_NONE);
    CHECK_INT(b.owned.bits[0], 0x3);
    a.owned = (struct holds){0}; /* and joins again */
    CHECK_INT(send(&stage, &a, 0), KAFKA_NONE);
    groups_close(stage.rig.groups);
}

TEST(sessions_end)
{
    struct stage stage;
    stage_open(&stage, NULL);
    play_set(&stage.play, 0, 2);
    struct client a = client_of("a", "t0", NULL), b = client_of("b", "t0", NULL);
    beat(&stage, &a);
    beat(&stage, &b);
    beat(&stage, &a);
    beat(&stage, &a);
    rig_pass(&stage.rig, 40000);
    CHECK_INT(beat(&stage, &b), KAFKA_NONE);
    CHECK_INT(client_count(&b), 1);
    rig_pass(&stage.rig, 5000);
    CHECK_INT(beat(&stage, &b), KAFKA_NONE);
    CHECK_INT(client_count(&b), 2);
    rig_pass(&stage.rig, 45000);
    CHECK_STATE(&stage.rig, "g", "Empty");
    CHECK_INT(stage.rig.groups->timers.count, 0);
    CHECK_INT(beat(&stage, &b), KAFKA_UNKNOWN_MEMBER_ID);
    groups_close(stage.rig.groups);
}

TEST(epochs_that_do_not_fit)
{
    struct stage stage;
    stage_open(&stage, NULL);
    play_set(&stage.play, 0, 4);
    struct client a = client_of("a", "t0", NULL), b = client_of("b", "t0", NULL);
    CHECK_INT(send(&stage, &a, 5), KAFKA_UNKNOWN_MEMBER_ID); /* as after a restart of the server: it joins again */
    beat(&stage, &a);
    CHECK_INT(send(&stage, &a, 2), KAFKA_FENCED_MEMBER_EPOCH);
    CHECK_INT(send(&stage, &b, 1), KAFKA_UNKNOWN_MEMBER_ID);
    beat(&stage, &b);
    beat(&stage, &a);
    beat(&stage, &a);
    CHECK_INT(a.epoch, 2);
    CHECK_INT(send(&stage, &a, 1), KAFKA_NONE); /* the answer was lost: epoch before, nothing but what it was given */
    CHECK_INT(a.epoch, 2);
    a.owned.bits[0] = 0xF;
    CHECK_INT(send(&stage, &a, 1), KAFKA_FENCED_MEMBER_EPOCH);
    a.owned.bits[0] = 0;
    CHECK_INT(send(&stage, &a, 0), KAFKA_NONE); /* a fenced one begins again under its id, and is told all */
    CHECK(a.has_assignment);
    CHECK_INT(a.told.bits[0], 0x3);
    cairn_str g = CAIRN_STR("g"), none = {0};
    CHECK_INT(groups_may_commit(stage.rig.groups, g, CAIRN_STR("a"), none, 2), KAFKA_NONE);
    CHECK_INT(groups_may_commit(stage.rig.groups, g, CAIRN_STR("a"), none, 1), KAFKA_STALE_MEMBER_EPOCH);
    CHECK_INT(groups_may_commit(stage.rig.groups, g, CAIRN_STR("x"), none, 1), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(groups_may_commit(stage.rig.groups, g, none, none, -1), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(groups_may_fetch(stage.rig.groups, g, CAIRN_STR("a"), 1), KAFKA_STALE_MEMBER_EPOCH);
    CHECK_INT(groups_may_fetch(stage.rig.groups, g, none, -1), KAFKA_NONE);
    groups_close(stage.rig.groups);
}

TEST(requests_that_make_no_sense)
{
    struct stage stage;
    stage_open(&stage, &(struct groups_options){.members_max = 1});
    play_set(&stage.play, 0, 4);
    struct client a = client_of("a", "t0", NULL), b = client_of("b", "t0", NULL);
    a.group = "";
    CHECK_INT(send(&stage, &a, 0), KAFKA_INVALID_GROUP_ID);
    a.group = "g";
    CHECK_INT(send(&stage, &a, -3), KAFKA_INVALID_REQUEST);
    CHECK_INT(send(&stage, &a, -2), KAFKA_INVALID_REQUEST); /* only an instance can be away */
    CHECK_INT(send(&stage, &a, -1), KAFKA_UNKNOWN_MEMBER_ID);
    a.owned.bits[0] = 1;
    CHECK_INT(send(&stage, &a, 0), KAFKA_INVALID_REQUEST);
    a.owned.bits[0] = 0;
    a.assignor = "sticky";
    CHECK_INT(send(&stage, &a, 0), KAFKA_UNSUPPORTED_ASSIGNOR);
    CHECK(a.message[0] != 0);
    a.assignor = "range";
    CHECK_INT(send(&stage, &a, 0), KAFKA_NONE);
    CHECK_INT(send(&stage, &b, 0), KAFKA_GROUP_MAX_SIZE_REACHED);
    CHECK_INT(send(&stage, &a, 0), KAFKA_NONE);
    struct client nameless = client_of("", "t0", NULL);
    CHECK_INT(send(&stage, &nameless, 1), KAFKA_INVALID_REQUEST);
    nameless.group = "other"; /* version 0: the server makes the id */
    CHECK_INT(send(&stage, &nameless, 0), KAFKA_NONE);
    CHECK(strlen(nameless.id) > 36);
    CHECK_INT(send(&stage, &nameless, nameless.epoch), KAFKA_NONE);
    groups_close(stage.rig.groups);
}

TEST(topics_come_grow_and_go)
{
    struct stage stage;
    stage_open(&stage, NULL);
    struct client a = client_of("a", "t0", "t1");
    CHECK_INT(beat(&stage, &a), KAFKA_NONE);
    CHECK_INT(client_count(&a), 0);
    play_set(&stage.play, 0, 3);
    rig_pass(&stage.rig, 200);
    beat(&stage, &a);
    CHECK_INT(a.owned.bits[0], 0x7);
    play_set(&stage.play, 0, 5);
    play_set(&stage.play, 2, 5); /* nobody's */
    rig_pass(&stage.rig, 200);
    beat(&stage, &a);
    CHECK_INT(a.owned.bits[0], 0x1F);
    int32_t epoch = a.epoch;
    play_set(&stage.play, 2, 9);
    rig_pass(&stage.rig, 200);
    beat(&stage, &a);
    CHECK_INT(a.epoch, epoch); /* no business of this group */
    play_set(&stage.play, 0, 0);
    play_set(&stage.play, 0, 2); /* made again: another topic of that name */
    rig_pass(&stage.rig, 200);
    CHECK_INT(send(&stage, &a, a.epoch), KAFKA_NONE);
    client_apply(&a);
    for (int i = 0; i < 3; i++)
        beat(&stage, &a);
    CHECK_INT(a.owned.bits[0], 0x3);
    CHECK_INT(a.owned.life[0], 2);
    play_set(&stage.play, 0, 0);
    rig_pass(&stage.rig, 200);
    beat(&stage, &a);
    beat(&stage, &a);
    CHECK_INT(client_count(&a), 0);
    struct kgroup *group = kgroup_find(stage.rig.groups, CAIRN_STR("g"));
    CHECK(group->consumer != NULL);
    kgroup_release(group);
    groups_close(stage.rig.groups);
}

TEST(subscriptions_change)
{
    struct stage stage;
    stage_open(&stage, NULL);
    play_set(&stage.play, 0, 2);
    play_set(&stage.play, 1, 2);
    struct client a = client_of("a", "t0", NULL), b = client_of("b", "t0", NULL);
    beat(&stage, &a);
    beat(&stage, &b);
    beat(&stage, &a);
    beat(&stage, &a);
    beat(&stage, &b);
    CHECK_INT(client_count(&a), 1);
    a.topics[0] = "t1"; /* another topic: what it had of the first goes to b */
    for (int i = 0; i < 4; i++) {
        beat(&stage, &a);
        beat(&stage, &b);
    }
    CHECK_INT(a.owned.bits[1], 0x3);
    CHECK_INT(a.owned.bits[0], 0);
    CHECK_INT(b.owned.bits[0], 0x3);
    enum kafka_err errs[2];
    struct topic_partition two[2] = {{CAIRN_STR("t0"), 0}, {CAIRN_STR("t1"), 0}};
    CHECK_INT(groups_offset_delete(stage.rig.groups, CAIRN_STR("g"), two, 2, errs), KAFKA_NONE);
    CHECK_INT(errs[0], KAFKA_GROUP_SUBSCRIBED_TO_TOPIC);
    CHECK_INT(errs[1], KAFKA_GROUP_SUBSCRIBED_TO_TOPIC);
    groups_close(stage.rig.groups);
}

TEST(regular_expressions)
{
    struct stage stage;
    stage_open(&stage, NULL);
    for (size_t i = 0; i < 4; i++)
        play_set(&stage.play, i, 1);
    struct client a = client_of("a", NULL, NULL);
    a.regex = "t[02]";
    CHECK_INT(beat(&stage, &a), KAFKA_NONE);
    CHECK(a.owned.bits[0] && !a.owned.bits[1] && a.owned.bits[2] && !a.owned.bits[3]);
    a.regex = "t"; /* the whole name */
    for (int i = 0; i < 2; i++)
        CHECK_INT(beat(&stage, &a), KAFKA_NONE);
    CHECK_INT(client_count(&a), 0);
    a.regex = "t[1-9]";
    a.topics[a.topic_count++] = "t0"; /* and names beside it */
    CHECK_INT(beat(&stage, &a), KAFKA_NONE);
    CHECK_INT(client_count(&a), 4);
    play_set(&stage.play, 7, 1);
    rig_pass(&stage.rig, 200);
    CHECK_INT(beat(&stage, &a), KAFKA_NONE);
    CHECK_INT(client_count(&a), 5);
    a.regex = "t(";
    CHECK_INT(beat(&stage, &a), KAFKA_INVALID_REGULAR_EXPRESSION);
    CHECK(a.message[0] != 0);
    a.regex = "(t+)+(t+)+(t+)+$x"; /* evil ones end */
    CHECK_INT(beat(&stage, &a), KAFKA_NONE);
    struct client b = client_of("b", NULL, NULL); /* a first heartbeat with a bad one makes no member */
    b.regex = "[";
    CHECK_INT(beat(&stage, &b), KAFKA_INVALID_REGULAR_EXPRESSION);
    struct client c = client_of("c", NULL, NULL);
    c.group = "none";
    c.regex = "[";
    CHECK_INT(beat(&stage, &c), KAFKA_INVALID_REGULAR_EXPRESSION);
    groups_close(stage.rig.groups);
}

TEST(instances_come_back)
{
    struct stage stage;
    stage_open(&stage, NULL);
    play_set(&stage.play, 0, 4);
    struct client a = client_of("a", "t0", NULL), b = client_of("b", "t0", NULL), a2 = client_of("a2", "t0", NULL);
    a.instance = a2.instance = "A";
    beat(&stage, &a);
    beat(&stage, &b);
    beat(&stage, &a);
    beat(&stage, &a);
    beat(&stage, &b);
    CHECK_INT(client_count(&b), 2);
    CHECK_INT(send(&stage, &a2, 0), KAFKA_UNRELEASED_INSTANCE_ID);
    CHECK_INT(send(&stage, &a2, 3), KAFKA_FENCED_INSTANCE_ID);
    int32_t epoch = b.epoch;
    uint64_t had = a.owned.bits[0];
    CHECK_INT(send(&stage, &a, -2), KAFKA_NONE);
    CHECK_INT(a.epoch, -2);
    CHECK_INT(beat(&stage, &b), KAFKA_NONE); /* nothing of it goes to others */
    CHECK_INT(b.epoch, epoch);
    CHECK_INT(client_count(&b), 2);
    CHECK_INT(beat(&stage, &a2), KAFKA_NONE); /* its next life has it all at once */
    CHECK_INT(a2.owned.bits[0], had);
    CHECK_INT(a2.epoch, epoch);
    CHECK_INT(beat(&stage, &b), KAFKA_NONE);
    CHECK_INT(b.epoch, epoch);
    CHECK_INT(send(&stage, &a, epoch), KAFKA_FENCED_INSTANCE_ID);
    CHECK_INT(send(&stage, &a2, -2), KAFKA_NONE); /* away for longer than a session: gone */
    rig_pass(&stage.rig, 44000);
    beat(&stage, &b);
    rig_pass(&stage.rig, 2000);
    beat(&stage, &b);
    CHECK_INT(client_count(&b), 4);
    CHECK_INT(send(&stage, &a2, epoch), KAFKA_UNKNOWN_MEMBER_ID);
    groups_close(stage.rig.groups);
}

TEST(groups_change_their_kind_only_when_empty)
{
    struct stage stage;
    struct heard_join join, none;
    stage_open(&stage, NULL);
    play_set(&stage.play, 0, 4);
    struct client a = client_of("a", "t0", NULL);
    rig_stable(&stage.rig, (struct join_as){0}, 1, &join);
    CHECK_INT(beat(&stage, &a), KAFKA_GROUP_ID_NOT_FOUND);
    CHECK_INT(rig_leave(&stage.rig, "g", join.member_id, NULL), KAFKA_NONE);
    CHECK_INT(beat(&stage, &a), KAFKA_NONE);
    CHECK_INT(client_count(&a), 4);
    rig_join(&stage.rig, (struct join_as){0}, &none);
    CHECK_INT(none.err, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    CHECK_INT(rig_beat(&stage.rig, "g", join.member_id, NULL, 1), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(rig_leave(&stage.rig, "g", "a", NULL), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(groups_delete(stage.rig.groups, CAIRN_STR("g")), KAFKA_NON_EMPTY_GROUP);
    CHECK_INT(send(&stage, &a, -1), KAFKA_NONE);
    CHECK_STATE(&stage.rig, "g", "Empty");
    rig_stable(&stage.rig, (struct join_as){0}, 1, &join);
    CHECK_INT(join.generation, 1);
    groups_close(stage.rig.groups);
}

/* ---- the assignors ---------------------------------------------------------------------------------------------------------------- */

TEST(range_gives_neighbours)
{
    struct stage stage;
    stage_open(&stage, NULL);
    play_set(&stage.play, 0, 5);
    play_set(&stage.play, 1, 5);
    struct client c[3] = {client_of("m2", "t0", "t1"), client_of("m0", "t0", "t1"), client_of("m1", "t0", "t1")};
    for (int i = 0; i < 3; i++)
        c[i].assignor = "range";
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < 3; i++)
            CHECK_INT(beat(&stage, &c[i]), KAFKA_NONE);
    for (int t = 0; t < 2; t++) {
        CHECK_INT(c[1].owned.bits[t], 0x03); /* in the order of names */
        CHECK_INT(c[2].owned.bits[t], 0x0C);
        CHECK_INT(c[0].owned.bits[t], 0x10);
    }
    groups_close(stage.rig.groups);
}

TEST(uniform_moves_little)
{
    struct stage stage;
    stage_open(&stage, NULL);
    play_set(&stage.play, 0, 60);
    struct client c[4];
    for (int n = 0; n < 4; n++) {
        char id[8];
        snprintf(id, sizeof id, "m%d", n);
        c[n] = client_of(id, "t0", NULL);
        uint64_t before[4];
        for (int i = 0; i <= n; i++)
            before[i] = c[i].owned.bits[0];
        for (int round = 0; round < 4; round++)
            for (int i = 0; i <= n; i++)
                CHECK_INT(beat(&stage, &c[i]), KAFKA_NONE);
        for (int i = 0; i <= n; i++)
            CHECK_INT(client_count(&c[i]), 60 / (n + 1));
        for (int i = 0; i < n; i++) /* nobody who was there got anything new */
            CHECK_INT(c[i].owned.bits[0] & ~before[i], 0);
    }
    groups_close(stage.rig.groups);
}

/* ---- at random -------------------------------------------------------------------------------------------------------------------- */

#define CLIENTS 12

struct life {
    struct client client;
    enum { OUT, IN, DEAD } state;
    bool slow;           /* does not give up at once what it should */
    bool away;
    int64_t heard_ms;
    unsigned number;
};

static void
lose(void *context, const struct consumer_heartbeat_result *result)
{
    (void)context;
    (void)result;
}

static void
check_owners(const struct life *lives)
{
    for (int a = 0; a < CLIENTS; a++)
        for (int b = a + 1; b < CLIENTS; b++)
            for (int t = 0; t < PLAY_TOPICS; t++)
                if (lives[a].client.owned.life[t] == lives[b].client.owned.life[t]
                    && (lives[a].client.owned.bits[t] & lives[b].client.owned.bits[t]))
                    fail_msg("clients %d and %d both have partitions %llx of t%d", a, b,
                             (unsigned long long)(lives[a].client.owned.bits[t] & lives[b].client.owned.bits[t]), t);
}

static void
begin_life(struct life *life, uint64_t *seed, bool same_topics, int index)
{
    static const char *const names[] = {"t0", "t1", "t2", "t3", "t4"};
    static const char *const patterns[] = {"t[0-2]", "t.*", "t[34]"};
    life->client = (struct client){.assignor = test_random(seed) % 3 == 0 ? "range" : NULL};
    snprintf(life->client.id, sizeof life->client.id, "m%d-%u", index, life->number++);
    if (index % 4 == 0)
        life->client.instance = index == 0 ? "I0" : index == 4 ? "I4" : "I8";
    for (size_t t = 0; t < 5; t++)
        if (same_topics || test_random(seed) % 2)
            life->client.topics[life->client.topic_count++] = names[t];
    if (!same_topics && test_random(seed) % 3 == 0)
        life->client.regex = patterns[test_random(seed) % 3];
    life->state = IN;
}

static void
live(struct life *life, struct stage *stage, uint64_t *seed)
{
    struct client *client = &life->client;
    client->calls = 0;
    if (client->epoch == 0)
        client->owned = client->told = (struct holds){0};
    if (test_random(seed) % 12 == 0) { /* the answer is lost: until it hears again it begins nothing new */
        for (size_t t = 0; t < PLAY_TOPICS; t++)
            client->told.bits[t] &= client->owned.life[t] == client->told.life[t] ? client->owned.bits[t] : 0;
        client_send(client, stage->rig.groups, stage->rig.now_ms, client->epoch, lose);
        life->heard_ms = stage->rig.now_ms;
        return;
    }
    client_send(client, stage->rig.groups, stage->rig.now_ms, client->epoch, on_beaten);
    CHECK_INT(client->calls, 1);
    if (client->err != KAFKA_NONE) {
        bool fenced = client->err == KAFKA_FENCED_MEMBER_EPOCH || client->err == KAFKA_UNKNOWN_MEMBER_ID
                      || client->err == KAFKA_UNRELEASED_INSTANCE_ID || client->err == KAFKA_FENCED_INSTANCE_ID;
        CHECK(fenced);
        client->owned = (struct holds){0};
        client->epoch = 0;
        return;
    }
    life->heard_ms = stage->rig.now_ms;
    life->slow = test_random(seed) % 3 == 0;
    if (!life->slow)
        client_apply(client);
}

/* Who died may begin another life when its session has ended, or earlier. */
static void
notice_ends(struct life *lives, int64_t now_ms)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (lives[i].state == IN || now_ms - lives[i].heard_ms < 44000)
            continue;
        lives[i].state = OUT;
    }
}

static void
change_topics(struct play *play, uint64_t *seed)
{
    size_t topic = test_random(seed) % 5;
    uint32_t now = play->partitions[topic];
    if (now == 0 || (now < 40 && test_random(seed) % 2))
        play_set(play, topic, now + 1 + (uint32_t)(test_random(seed) % 8));
    else if (test_random(seed) % 4 == 0)
        play_set(play, topic, 0);
}

static void
random_step(struct stage *stage, struct life *lives, uint64_t *seed, bool same_topics)
{
    int index = (int)(test_random(seed) % CLIENTS);
    struct life *life = &lives[index];
    uint64_t dice = test_random(seed) % 100;
    if (life->state == OUT) {
        if (dice < 30)
            begin_life(life, seed, same_topics, index);
        return;
    }
    if (life->state == DEAD)
        return;
    if (dice < 3 && life->client.epoch > 0) {
        life->client.owned = (struct holds){0}; /* gives all up, then leaves */
        client_send(&life->client, stage->rig.groups, stage->rig.now_ms, life->client.instance && dice < 2 ? -2 : -1, lose);
        life->state = OUT;
    } else if (dice < 5) {
        life->state = DEAD; /* the process is gone; its session is not */
        life->client.owned = (struct holds){0};
    } else if (dice < 7) {
        change_topics(&stage->play, seed);
    } else if (life->slow && dice < 40) {
        client_apply(&life->client); /* now it has given up */
        life->slow = false;
    } else {
        live(life, stage, seed);
    }
    check_owners(lives);
}

/* Every partition that anybody wants has an owner who wants it. */
static void
check_all_owned(const struct play *play, const struct life *lives, bool same_topics)
{
    int least = INT32_MAX, most = 0;
    for (int i = 0; i < CLIENTS; i++) {
        if (lives[i].state != IN)
            continue;
        int count = client_count(&lives[i].client);
        least = count < least ? count : least;
        most = count > most ? count : most;
    }
    for (size_t t = 0; t < PLAY_TOPICS; t++) {
        uint64_t owned = 0, all = play->partitions[t] ? ~UINT64_C(0) >> (64 - play->partitions[t]) : 0;
        bool wanted = false;
        char name[4] = {'t', (char)('0' + t), 0, 0};
        for (int i = 0; i < CLIENTS; i++) {
            const struct client *client = &lives[i].client;
            if (lives[i].state != IN)
                continue;
            bool wants = client->regex != NULL
                         && (client->regex[1] == '.' || (client->regex[3] == '-' ? t < 3 : t == 3 || t == 4));
            for (size_t n = 0; n < client->topic_count; n++)
                wants |= strcmp(client->topics[n], name) == 0;
            wanted |= wants;
            if (client->owned.bits[t] != 0)
                CHECK(wants && client->owned.life[t] == play->life[t]);
            owned |= client->owned.bits[t];
        }
        CHECK_INT(owned, wanted ? all : 0);
    }
    if (same_topics && least != INT32_MAX)
        CHECK(most - least <= 1);
}

static void
play_at_random(uint64_t *seed, bool same_topics)
{
    struct stage stage;
    struct life lives[CLIENTS] = {0};
    stage_open(&stage, NULL);
    for (int i = 0; i < 3; i++)
        change_topics(&stage.play, seed);
    for (int step = 0; step < 3000; step++) {
        random_step(&stage, lives, seed, same_topics);
        if (test_random(seed) % 8 == 0)
            rig_pass(&stage.rig, (int64_t)(test_random(seed) % 2000));
        for (int i = 0; i < CLIENTS; i++) /* nobody alive is silent for long */
            if (lives[i].state == IN && stage.rig.now_ms - lives[i].heard_ms > 10000) {
                client_apply(&lives[i].client);
                live(&lives[i], &stage, seed);
            }
        notice_ends(lives, stage.rig.now_ms);
    }
    rig_pass(&stage.rig, 1000);
    for (int i = 0; i < CLIENTS; i++) /* uniform alone is as even as can be */
        if (lives[i].state == IN && same_topics)
            lives[i].client.assignor = "uniform";
    for (int round = 0; round < 90; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            if (lives[i].state != IN)
                continue;
            client_apply(&lives[i].client);
            if (lives[i].client.epoch == 0)
                lives[i].client.owned = lives[i].client.told = (struct holds){0};
            client_send(&lives[i].client, stage.rig.groups, stage.rig.now_ms, lives[i].client.epoch, on_beaten);
            lives[i].heard_ms = stage.rig.now_ms;
            if (lives[i].client.err != KAFKA_NONE) {
                lives[i].client.owned = (struct holds){0};
                lives[i].client.epoch = 0;
            } else {
                client_apply(&lives[i].client);
            }
            check_owners(lives);
        }
        rig_pass(&stage.rig, 1000);
        notice_ends(lives, stage.rig.now_ms);
    }
    check_all_owned(&stage.play, lives, same_topics);
    groups_close(stage.rig.groups);
}

/* Goal: subscriptions count by what they make the server keep, not by their few bytes. Who is in when topics grow beyond the bound is told to
 *       try again, and goes on when there is room.
 * Method: groups that want eight topics of 64 partitions, some by an expression, within 48 KiB. */
TEST(all_groups_together_have_a_greatest_size)
{
    struct stage stage;
    char names[16][8];
    struct client clients[16];
    size_t count = 0;
    stage_open(&stage, &(struct groups_options){.bytes_max = 48 << 10});
    for (size_t t = 0; t < PLAY_TOPICS; t++)
        play_set(&stage.play, t, 32);
    for (enum kafka_err err = KAFKA_NONE; err == KAFKA_NONE; count += err == KAFKA_NONE) {
        assert_true(count < 16);
        snprintf(names[count], sizeof names[count], "g%zu", count);
        clients[count] = client_of("m", "t0", NULL);
        clients[count].group = names[count];
        clients[count].regex = count % 2 ? "t." : "t[0-7]";
        err = beat(&stage, &clients[count]);
        CHECK(err == KAFKA_NONE || err == KAFKA_GROUP_MAX_SIZE_REACHED);
        CHECK(groups_bytes(stage.rig.groups) <= 48 << 10);
    }
    CHECK(count >= 2 && count <= 5); /* 8 KiB a group, and its members and expressions */
    CHECK_INT(stage.rig.groups->table.count, count);
    for (size_t t = 0; t < PLAY_TOPICS; t++)
        play_set(&stage.play, t, 64);
    stage.rig.now_ms += 10000; /* topics are looked at now and then */
    size_t told = 0;
    for (size_t i = 0; i < count; i++) {
        enum kafka_err err = beat(&stage, &clients[i]);
        CHECK(err == KAFKA_NONE || err == KAFKA_COORDINATOR_NOT_AVAILABLE);
        told += err != KAFKA_NONE;
    }
    CHECK(told > 0);
    for (size_t i = 1; i < count; i++)
        CHECK_INT(send(&stage, &clients[i], -1), KAFKA_NONE);
    CHECK_INT(beat(&stage, &clients[0]), KAFKA_NONE);
    CHECK_INT(client_count(&clients[0]), 8 * 64);
    CHECK_INT(send(&stage, &clients[0], -1), KAFKA_NONE);
    CHECK_INT(groups_bytes(stage.rig.groups), 0);
    groups_close(stage.rig.groups);
}

TEST(no_partition_ever_has_two_owners)
{
    uint64_t seed = test_seed();
    for (unsigned run = 0; run < 20 * test_scale(); run++)
        play_at_random(&seed, run % 2 == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_partition_is_given_only_when_it_has_been_given_up),
        RUN(who_gives_nothing_up_in_time_is_fenced),
        RUN(sessions_end),
        RUN(epochs_that_do_not_fit),
        RUN(requests_that_make_no_sense),
        RUN(topics_come_grow_and_go),
        RUN(subscriptions_change),
        RUN(regular_expressions),
        RUN(instances_come_back),
        RUN(groups_change_their_kind_only_when_empty),
        RUN(range_gives_neighbours),
        RUN(uniform_moves_little),
        RUN(all_groups_together_have_a_greatest_size),
        RUN(no_partition_ever_has_two_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

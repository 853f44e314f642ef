/* Goal: offsets are durable when answered, read back as they are, listed by group, deleted, expired; and names never collide.
 * Method: a store in a folder, opened again between; commits waited for by condition. */
#include <groups_rig.h>

#include <cairn/admin.h>
#include <os/twin.h>
#include <store/store.h>

struct home {
    char folder[64];
    struct os_sim *sim; /* NULL: the real machine */
    cairn_store *store;
    struct groups_broker *groups;
};

static void
home_open(struct home *home, const struct groups_options *options)
{
    static const struct groups_topics none = {no_changes, no_topics, NULL};
    cairn_options store = {.create = true, .segment_size_bytes = 1 << 20, .no_background = home->sim != NULL};
    CHECK_OK(cairn_store_open_on(home->sim ? os_sim_os(home->sim) : os_real(), home->sim ? "store" : home->folder, &store, &home->store,
                                 NULL));
    CHECK_OK(groups_new_on(home->store, 0, &none, options, &home->groups, NULL));
}

static void
home_close(struct home *home)
{
    groups_close(home->groups);
    cairn_close(home->store);
}

struct committed {
    pthread_mutex_t lock;
    pthread_cond_t over;
    unsigned calls;
    enum kafka_err err, errs[4096];
    size_t count;
};

static void
on_committed(void *context, enum kafka_err err, const enum kafka_err *errs)
{
    struct committed *committed = context;
    pthread_mutex_lock(&committed->lock);
    committed->calls++;
    committed->err = err;
    for (size_t i = 0; errs != NULL && i < committed->count; i++)
        committed->errs[i] = errs[i];
    pthread_cond_signal(&committed->over);
    pthread_mutex_unlock(&committed->lock);
}

static void
commit(struct home *home, cairn_str group, const struct offset_commit *commits, size_t count, struct committed *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->count = count;
    pthread_mutex_init(&ret->lock, NULL);
    pthread_cond_init(&ret->over, NULL);
    groups_commit_async(home->groups, group, commits, count, on_committed, ret);
    pthread_mutex_lock(&ret->lock);
    while (ret->calls == 0)
        pthread_cond_wait(&ret->over, &ret->lock);
    pthread_mutex_unlock(&ret->lock);
    CHECK_INT(ret->calls, 1);
}

static void
commit_one(struct home *home, cairn_str group, cairn_str topic, uint32_t partition, int64_t offset, const char *metadata)
{
    static struct committed committed;
    struct offset_commit one = {.topic = topic, .partition = partition, .offset = offset, .leader_epoch = 3,
                                .metadata = cairn_cstr(metadata), .commit_time_ms = 1000, .expire_time_ms = -1};
    commit(home, group, &one, 1, &committed);
    CHECK_INT(committed.err, KAFKA_NONE);
    CHECK_INT(committed.errs[0], KAFKA_NONE);
}

static int64_t
fetch(struct home *home, cairn_str group, cairn_str topic, uint32_t partition)
{
    struct arena arena = {0};
    struct offset_commit found;
    CHECK_INT(groups_offset_fetch(home->groups, group, topic, partition, &arena, &found), KAFKA_NONE);
    arena_free(&arena);
    return found.offset;
}

struct listed {
    size_t count;
    char text[2048];
};

static bool
list_offset(void *context, const struct offset_commit *commit)
{
    struct listed *listed = context;
    size_t at = strlen(listed->text);
    listed->count++;
    snprintf(listed->text + at, sizeof listed->text - at, "%.*s/%u=%lld ", (int)commit->topic.size, commit->topic.data,
             commit->partition, (long long)commit->offset);
    return true;
}

static bool
list_group(void *context, const struct group_info *info)
{
    struct listed *listed = context;
    size_t at = strlen(listed->text);
    listed->count++;
    snprintf(listed->text + at, sizeof listed->text - at, "%.*s(%.*s) ", (int)info->group.size, info->group.data,
             (int)info->state.size, info->state.data);
    return true;
}

#define CHECK_OFFSETS(home, group, expected)                                              \
    do {                                                                                  \
        struct listed listed_ = {0};                                                      \
        CHECK_INT(groups_offsets((home)->groups, group, list_offset, &listed_), KAFKA_NONE); \
        CHECK_STR(listed_.text, expected);                                                \
    } while (0)
#define CHECK_GROUPS(home, expected)                              \
    do {                                                          \
        struct listed listed_ = {0};                              \
        groups_list((home)->groups, list_group, &listed_);        \
        CHECK_STR(listed_.text, expected);                        \
    } while (0)

TEST(committed_and_read_back)
{
    struct home home = {.sim = NULL};
    cairn_str g = CAIRN_STR("my-group"), t = CAIRN_STR("orders");
    test_folder(home.folder);
    home_open(&home, NULL);
    CHECK_INT(fetch(&home, g, t, 0), -1);
    CHECK_GROUPS(&home, "");
    commit_one(&home, g, t, 0, 7, "note \"x\" \xC3\xA9");
    commit_one(&home, g, t, 10, 70, NULL);
    commit_one(&home, g, t, 2, 20, "");
    CHECK_INT(fetch(&home, g, t, 0), 7);
    CHECK_INT(fetch(&home, g, t, 0), 7); /* from memory */
    commit_one(&home, g, t, 0, 8, "later");
    CHECK_INT(fetch(&home, g, t, 0), 8);
    commit_one(&home, g, CAIRN_STR("alpha"), 1, 5, NULL);
    for (int again = 0; again < 2; again++) {
        struct arena arena = {0};
        struct offset_commit found;
        CHECK_INT(groups_offset_fetch(home.groups, g, t, 0, &arena, &found), KAFKA_NONE);
        CHECK_INT(found.offset, 8);
        CHECK_INT(found.leader_epoch, 3);
        CHECK_INT(found.commit_time_ms, 1000);
        CHECK_INT(found.expire_time_ms, -1);
        CHECK(cairn_str_equal(found.metadata, CAIRN_STR("later")));
        arena_free(&arena);
        CHECK_OFFSETS(&home, g, "alpha/1=5 orders/0=8 orders/2=20 orders/10=70 ");
        CHECK_GROUPS(&home, "my-group(Empty) ");
        home_close(&home);
        home_open(&home, NULL);
    }
    home_close(&home);
    test_remove(home.folder);
}

/* Goal: the log keeps one offset, listing them goes on after scavenging. */
TEST(older_offsets_are_scavenged)
{
    struct home home = {.sim = NULL};
    cairn_str g = CAIRN_STR("g"), t = CAIRN_STR("t");
    char name[544], padding[2048];
    memset(padding, 'p', sizeof padding - 1);
    padding[sizeof padding - 1] = 0;
    test_folder(home.folder);
    home_open(&home, NULL);
    for (int i = 0; i < 1200; i++)
        commit_one(&home, g, t, (uint32_t)i % 2, i, padding);
    cairn_stream_info info;
    CHECK_OK(cairn_stream_info_get(home.store, 0, groups_offset_stream(g, t, 1, name), &info, NULL));
    CHECK_INT(info.last_revision, 599);
    CHECK_INT(info.first_revision, 599);
    cairn_scavenge_report report;
    CHECK_OK(cairn_scavenge(home.store, NULL, NULL, &report, NULL));
    CHECK(report.events_removed > 100);
    CHECK_OFFSETS(&home, g, "t/0=1198 t/1=1199 ");
    home_close(&home);
    home_open(&home, NULL);
    CHECK_OFFSETS(&home, g, "t/0=1198 t/1=1199 ");
    CHECK_GROUPS(&home, "g(Empty) ");
    home_close(&home);
    test_remove(home.folder);
}

TEST(names_that_look_alike)
{
    static const char *const groups[] = {"a", "a-b", "a/b", "a%2Db", "a%2Fb", "A", "a.b", "\xC3\xA9", "a b", "$offset", "-", "/"};
    static const char *const topics[] = {"t", "b-t", "t-0", "b.t", "B-t"};
    struct home home = {.sim = NULL};
    test_folder(home.folder);
    home_open(&home, NULL);
    int64_t n = 0;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
        for (size_t t = 0; t < sizeof topics / sizeof *topics; t++)
            commit_one(&home, cairn_cstr(groups[g]), cairn_cstr(topics[t]), 1, ++n, NULL);
    n = 0;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        struct listed listed = {0};
        for (size_t t = 0; t < sizeof topics / sizeof *topics; t++)
            CHECK_INT(fetch(&home, cairn_cstr(groups[g]), cairn_cstr(topics[t]), 1), ++n);
        CHECK_INT(groups_offsets(home.groups, cairn_cstr(groups[g]), list_offset, &listed), KAFKA_NONE);
        CHECK_INT(listed.count, sizeof topics / sizeof *topics);
    }
    struct listed all = {0};
    groups_list(home.groups, list_group, &all);
    CHECK_INT(all.count, sizeof groups / sizeof *groups);
    home_close(&home);
    test_remove(home.folder);
}

TEST(what_may_not_be_committed)
{
    static struct committed committed;
    struct home home = {.sim = NULL};
    char text[300];
    memset(text, '-', sizeof text);
    test_folder(home.folder);
    home_open(&home, &(struct groups_options){.metadata_max = 10});
    struct offset_commit three[3] = {
        {.topic = CAIRN_STR("t"), .partition = 0, .offset = 1, .metadata = CAIRN_STR("0123456789")},
        {.topic = CAIRN_STR("t"), .partition = 1, .offset = 2, .metadata = CAIRN_STR("0123456789a")},
        {.topic = {text, 200}, .partition = 2, .offset = 3},
    };
    commit(&home, CAIRN_STR("g"), three, 3, &committed);
    CHECK_INT(committed.err, KAFKA_NONE);
    CHECK_INT(committed.errs[0], KAFKA_NONE);
    CHECK_INT(committed.errs[1], KAFKA_OFFSET_METADATA_TOO_LARGE);
    CHECK_INT(committed.errs[2], KAFKA_INVALID_GROUP_ID);
    CHECK_OFFSETS(&home, CAIRN_STR("g"), "t/0=1 ");
    commit(&home, CAIRN_STR("none"), three + 1, 2, &committed); /* nothing of it: no such group then */
    CHECK_GROUPS(&home, "g(Empty) ");
    commit(&home, (cairn_str){text, 256}, three, 1, &committed);
    CHECK_INT(committed.err, KAFKA_INVALID_GROUP_ID);
    CHECK_INT(fetch(&home, (cairn_str){text, 256}, CAIRN_STR("t"), 0), -1);
    home_close(&home);
    test_remove(home.folder);
}

TEST(more_than_an_append_takes)
{
    static struct committed committed;
    static struct offset_commit many[4000];
    struct home home = {.sim = NULL};
    test_folder(home.folder);
    home_open(&home, NULL);
    for (size_t i = 0; i < 4000; i++)
        many[i] = (struct offset_commit){.topic = CAIRN_STR("t"), .partition = (uint32_t)i, .offset = (int64_t)i * 3};
    commit(&home, CAIRN_STR("g"), many, 4000, &committed);
    for (size_t i = 0; i < 4000; i++) {
        CHECK_INT(committed.errs[i], KAFKA_NONE);
        CHECK_INT(fetch(&home, CAIRN_STR("g"), CAIRN_STR("t"), (uint32_t)i), (int64_t)i * 3);
    }
    many[1].partition = 0; /* twice in one: the later counts */
    commit(&home, CAIRN_STR("g"), many, 2, &committed);
    CHECK_INT(fetch(&home, CAIRN_STR("g"), CAIRN_STR("t"), 0), 3);
    home_close(&home);
    test_remove(home.folder);
}

TEST(deleting)
{
    struct home home = {.sim = NULL};
    struct rig rig;
    struct heard_join join;
    enum kafka_err errs[2];
    char metadata[512];
    cairn_str g = CAIRN_STR("g");
    test_folder(home.folder);
    home_open(&home, NULL);
    rig = (struct rig){home.groups, 1000};
    struct topic_partition two[2] = {{CAIRN_STR("x"), 0}, {CAIRN_STR("y"), 0}};
    CHECK_INT(groups_delete(home.groups, g), KAFKA_GROUP_ID_NOT_FOUND);
    CHECK_INT(groups_offset_delete(home.groups, g, two, 2, errs), KAFKA_GROUP_ID_NOT_FOUND);
    commit_one(&home, g, CAIRN_STR("x"), 0, 1, NULL);
    commit_one(&home, g, CAIRN_STR("y"), 0, 2, NULL);
    struct group_protocol protocol = {CAIRN_STR("range"), subscription("x", metadata)};
    struct group_join as = {.group = g, .protocol_type = CAIRN_STR("consumer"), .session_timeout_ms = 10000,
                            .rebalance_timeout_ms = 10000, .protocols = &protocol, .protocol_count = 1};
    join = (struct heard_join){0};
    groups_join(home.groups, &as, rig.now_ms, on_joined, &join);
    rig_pass(&rig, 200);
    CHECK_INT(join.err, KAFKA_NONE);
    CHECK_INT(groups_delete(home.groups, g), KAFKA_NON_EMPTY_GROUP);
    CHECK_INT(groups_offset_delete(home.groups, g, two, 2, errs), KAFKA_NONE);
    CHECK_INT(errs[0], KAFKA_GROUP_SUBSCRIBED_TO_TOPIC);
    CHECK_INT(errs[1], KAFKA_NONE);
    CHECK_OFFSETS(&home, g, "x/0=1 ");
    CHECK_INT(rig_leave(&rig, "g", join.member_id, NULL), KAFKA_NONE);
    CHECK_GROUPS(&home, "g(Empty) ");
    CHECK_INT(groups_delete(home.groups, g), KAFKA_NONE);
    CHECK_OFFSETS(&home, g, "");
    CHECK_GROUPS(&home, "");
    CHECK_INT(groups_delete(home.groups, g), KAFKA_GROUP_ID_NOT_FOUND);
    commit_one(&home, g, CAIRN_STR("x"), 0, 9, NULL); /* and again */
    CHECK_GROUPS(&home, "g(Empty) ");
    home_close(&home);
    home_open(&home, NULL);
    CHECK_GROUPS(&home, "g(Empty) ");
    CHECK_OFFSETS(&home, g, "x/0=9 ");
    home_close(&home);
    test_remove(home.folder);
}

TEST(expiry)
{
    struct home home = {.sim = NULL};
    struct rig rig;
    struct heard_join join;
    const int64_t minute_us = INT64_C(60000000);
    test_folder(home.folder);
    home_open(&home, &(struct groups_options){.offsets_retention_minutes = 100});
    rig = (struct rig){home.groups, 1000};
    commit_one(&home, CAIRN_STR("idle"), CAIRN_STR("t"), 0, 1, NULL); /* at 1 s */
    commit_one(&home, CAIRN_STR("busy"), CAIRN_STR("t"), 0, 2, NULL);
    static struct committed committed;
    struct offset_commit own = {.topic = CAIRN_STR("t"), .partition = 1, .offset = 5, .commit_time_ms = 1000,
                                .expire_time_ms = INT64_C(115) * 60000};
    commit(&home, CAIRN_STR("idle"), &own, 1, &committed);
    rig_stable(&rig, (struct join_as){.group = "busy", .session_ms = 1800000}, 1, &join);
    groups_expire(home.groups, minute_us / 60);
    groups_expire(home.groups, minute_us * 100); /* a second before its time */
    CHECK_OFFSETS(&home, CAIRN_STR("idle"), "t/0=1 t/1=5 ");
    groups_expire(home.groups, minute_us * 109); /* looked at a moment ago */
    CHECK_OFFSETS(&home, CAIRN_STR("idle"), "t/0=1 t/1=5 ");
    groups_expire(home.groups, minute_us * 110);
    CHECK_OFFSETS(&home, CAIRN_STR("idle"), "t/1=5 "); /* which has a time of its own */
    groups_expire(home.groups, minute_us * 120);
    CHECK_OFFSETS(&home, CAIRN_STR("idle"), "");
    CHECK_OFFSETS(&home, CAIRN_STR("busy"), "t/0=2 ");
    CHECK_GROUPS(&home, "busy(Stable) ");
    CHECK_INT(rig_leave(&rig, "busy", join.member_id, NULL), KAFKA_NONE);
    groups_expire(home.groups, minute_us * 200); /* ninety minutes after it was last seen with members */
    CHECK_OFFSETS(&home, CAIRN_STR("busy"), "t/0=2 ");
    groups_expire(home.groups, minute_us * 220);
    CHECK_GROUPS(&home, "");
    CHECK_INT(home.groups->table.count, 0);
    home_close(&home);
    test_remove(home.folder);
}

/* A group's members come back after a restart, and had nothing to commit for longer than offsets are kept. */
TEST(a_restart_expires_nothing)
{
    struct home home = {.sim = NULL};
    struct rig rig;
    struct heard_join join;
    const int64_t minute_us = INT64_C(60000000), opened_us = 1000 * minute_us;
    const struct groups_options options = {.offsets_retention_minutes = 100};
    test_folder(home.folder);
    home_open(&home, &options);
    commit_one(&home, CAIRN_STR("busy"), CAIRN_STR("t"), 0, 2, NULL); /* at 1 s */
    commit_one(&home, CAIRN_STR("idle"), CAIRN_STR("t"), 0, 1, NULL);
    commit_one(&home, CAIRN_STR("short"), CAIRN_STR("t"), 0, 3, NULL);
    home_close(&home);
    home_open(&home, &options);
    rig = (struct rig){home.groups, 1000};
    groups_expire(home.groups, opened_us); /* nobody has come back yet */
    CHECK_GROUPS(&home, "busy(Empty) idle(Empty) short(Empty) ");
    rig_stable(&rig, (struct join_as){.group = "busy", .session_ms = 1800000}, 1, &join);
    groups_expire(home.groups, opened_us + 90 * minute_us);
    CHECK_GROUPS(&home, "busy(Stable) idle(Empty) short(Empty) ");
    rig_stable(&rig, (struct join_as){.group = "short"}, 1, &join); /* came and left between two looks */
    CHECK_INT(rig_leave(&rig, "short", join.member_id, NULL), KAFKA_NONE);
    groups_expire(home.groups, opened_us + 110 * minute_us);
    CHECK_OFFSETS(&home, CAIRN_STR("idle"), "");
    CHECK_OFFSETS(&home, CAIRN_STR("busy"), "t/0=2 ");
    CHECK_OFFSETS(&home, CAIRN_STR("short"), "t/0=3 ");
    groups_expire(home.groups, opened_us + 211 * minute_us);
    CHECK_OFFSETS(&home, CAIRN_STR("short"), "");
    CHECK_OFFSETS(&home, CAIRN_STR("busy"), "t/0=2 ");
    home_close(&home);
    test_remove(home.folder);
}

static bool
take_revision(void *context, const struct offset_commit *commit)
{
    *(int64_t *)context = commit->revision;
    return true;
}

/* What is committed between the look at an offset and its deletion stays. */
TEST(a_newer_commit_is_not_deleted)
{
    struct home home = {.sim = NULL};
    const struct topic_partition partition = {CAIRN_STR("t"), 0};
    cairn_str g = CAIRN_STR("g");
    int64_t revision = -1;
    test_folder(home.folder);
    home_open(&home, NULL);
    commit_one(&home, g, CAIRN_STR("t"), 0, 1, NULL);
    for (int again = 0; again < 2; again++) { /* the second time from memory */
        CHECK_INT(groups_offsets(home.groups, g, take_revision, &revision), KAFKA_NONE);
        CHECK_INT(revision, 0);
    }
    commit_one(&home, g, CAIRN_STR("t"), 0, 2, NULL);
    CHECK(offsets_delete(home.groups, g, &partition, &revision, 1, true) != KAFKA_NONE);
    CHECK_OFFSETS(&home, g, "t/0=2 ");
    CHECK_GROUPS(&home, "g(Empty) ");
    CHECK_INT(groups_offsets(home.groups, g, take_revision, &revision), KAFKA_NONE);
    CHECK_INT(offsets_delete(home.groups, g, &partition, &revision, 1, true), KAFKA_NONE);
    CHECK_GROUPS(&home, "");
    home_close(&home);
    test_remove(home.folder);
}

/* The code for "try again" that every client knows here, and none for what never will be. */
TEST(a_full_disk_does_not_end_a_client)
{
    static struct committed committed;
    static char metadata[4096];
    struct home home = {.sim = os_sim_new(5)};
    struct offset_commit one = {.topic = CAIRN_STR("t"), .metadata = {metadata, sizeof metadata}, .expire_time_ms = -1};
    memset(metadata, 'm', sizeof metadata);
    home_open(&home, NULL);
    os_sim_set_space(home.sim, 1 << 20);
    for (one.offset = 1; one.offset < 1000 && committed.errs[0] == KAFKA_NONE; one.offset++)
        commit(&home, CAIRN_STR("g"), &one, 1, &committed);
    CHECK_INT(committed.errs[0], KAFKA_NOT_COORDINATOR);
    CHECK_INT(fetch(&home, CAIRN_STR("g"), CAIRN_STR("t"), 0), one.offset - 2);
    os_sim_set_space(home.sim, UINT64_MAX);
    commit(&home, CAIRN_STR("g"), &one, 1, &committed);
    CHECK_INT(committed.errs[0], KAFKA_NONE);
    CHECK_INT(fetch(&home, CAIRN_STR("g"), CAIRN_STR("t"), 0), one.offset);
    home_close(&home);
    os_sim_free(home.sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(committed_and_read_back), RUN(older_offsets_are_scavenged), RUN(names_that_look_alike), RUN(what_may_not_be_committed),
        RUN(more_than_an_append_takes), RUN(deleting), RUN(expiry), RUN(a_restart_expires_nothing), RUN(a_newer_commit_is_not_deleted),
        RUN(a_full_disk_does_not_end_a_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

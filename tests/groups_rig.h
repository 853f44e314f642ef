/* tests/groups_rig.h: groups on a clock that the test moves, and answers that are kept and counted. */
#ifndef TESTS_GROUPS_RIG_H
#define TESTS_GROUPS_RIG_H

#include <test.h>
#include <topic/groups_int.h>

/* ConsumerProtocolSubscription version 0 with these topics (comma-separated; "" none), then user data's length -1. */
static inline cairn_str
subscription(const char *topics, char to[512])
{
    size_t at = 6, count = 0;
    memset(to, 0, 6);
    for (const char *from = topics; *from;) {
        size_t size = strcspn(from, ",");
        to[at] = (char)(size >> 8);
        to[at + 1] = (char)size;
        memcpy(to + at + 2, from, size);
        at += 2 + size;
        count++;
        from += size + (from[size] == ',');
    }
    to[5] = (char)count;
    memset(to + at, 0xFF, 4);
    return (cairn_str){to, at + 4};
}

struct heard_join {
    unsigned calls;
    enum kafka_err err;
    int32_t generation;
    char member_id[128], leader[128], protocol[64], type[64];
    bool skip;
    size_t member_count;
    char members[64][128], metadata[64][64];
};

static inline void
keep_text(char *to, size_t room, cairn_str text)
{
    size_t size = text.size < room - 1 ? text.size : room - 1;
    if (size > 0)
        memcpy(to, text.data, size);
    to[size] = 0;
}

static inline void
on_joined(void *context, const struct group_joined *result)
{
    struct heard_join *heard = context;
    heard->calls++;
    heard->err = result->err;
    heard->generation = result->generation;
    heard->skip = result->skip_assignment;
    keep_text(heard->member_id, sizeof heard->member_id, result->member_id);
    keep_text(heard->leader, sizeof heard->leader, result->leader);
    keep_text(heard->protocol, sizeof heard->protocol, result->protocol);
    keep_text(heard->type, sizeof heard->type, result->protocol_type);
    heard->member_count = result->member_count;
    for (size_t i = 0; i < result->member_count && i < 64; i++) {
        keep_text(heard->members[i], 128, result->members[i].member_id);
        keep_text(heard->metadata[i], 64, result->members[i].metadata);
    }
}

struct heard_sync {
    unsigned calls;
    enum kafka_err err;
    char assignment[64], protocol[64];
};

static inline void
on_synced(void *context, const struct group_synced *result)
{
    struct heard_sync *heard = context;
    heard->calls++;
    heard->err = result->err;
    keep_text(heard->assignment, sizeof heard->assignment, result->assignment);
    keep_text(heard->protocol, sizeof heard->protocol, result->protocol);
}

/* No topics at all. */
static inline uint64_t no_changes(void *context) { (void)context; return 0; }
static inline cairn_err
no_topics(void *context, cairn_topic_visit visit, void *visit_context)
{
    (void)context;
    (void)visit;
    (void)visit_context;
    return CAIRN_OK;
}

struct rig {
    struct groups_broker *groups;
    int64_t now_ms;
};

static inline void
rig_open(struct rig *rig, const struct groups_options *options)
{
    static const struct groups_topics none = {no_changes, no_topics, NULL};
    *rig = (struct rig){.now_ms = 1000000};
    CHECK_OK(groups_new_on(NULL, 0, &none, options, &rig->groups, NULL));
}

/* Let time pass, ticking as the server does. */
static inline void
rig_pass(struct rig *rig, int64_t ms)
{
    for (int64_t end = rig->now_ms + ms; rig->now_ms < end;) {
        rig->now_ms += end - rig->now_ms < 50 ? end - rig->now_ms : 50;
        groups_tick(rig->groups, rig->now_ms);
    }
}

struct join_as {
    const char *group, *id, *instance, *type;
    const char *protocols[4], *metadata[4];
    int32_t session_ms, rebalance_ms;
    bool id_required, skip_known;
};

static inline void
rig_join(struct rig *rig, struct join_as as, struct heard_join *heard)
{
    struct group_protocol protocols[4];
    size_t count = 0;
    char id[128];
    keep_text(id, sizeof id, cairn_cstr(as.id)); /* it may be the one of *heard */
    if (as.protocols[0] == NULL)
        as.protocols[0] = "range";
    while (count < 4 && as.protocols[count] != NULL) {
        protocols[count] = (struct group_protocol){cairn_cstr(as.protocols[count]), cairn_cstr(as.metadata[count])};
        count++;
    }
    struct group_join join = {
        .group = cairn_cstr(as.group ? as.group : "g"), .member_id = cairn_cstr(id), .instance_id = cairn_cstr(as.instance),
        .client_id = CAIRN_STR("client"), .client_host = CAIRN_STR("/127.0.0.1"),
        .protocol_type = cairn_cstr(as.type ? as.type : "consumer"), .session_timeout_ms = as.session_ms ? as.session_ms : 10000,
        .rebalance_timeout_ms = as.rebalance_ms ? as.rebalance_ms : 60000, .protocols = protocols, .protocol_count = count,
        .member_id_required = as.id_required, .skip_assignment_known = as.skip_known,
    };
    *heard = (struct heard_join){0};
    groups_join(rig->groups, &join, rig->now_ms, on_joined, heard);
}

/* The leader gives each member "<prefix><its number in the list>". */
static inline void
rig_sync_lead(struct rig *rig, const char *group, const struct heard_join *joined, const char *prefix, struct heard_sync *heard)
{
    struct group_assignment assignments[64];
    char texts[64][80];
    for (size_t i = 0; i < joined->member_count; i++) {
        snprintf(texts[i], sizeof texts[i], "%s%zu", prefix, i);
        assignments[i] = (struct group_assignment){cairn_cstr(joined->members[i]), cairn_cstr(texts[i])};
    }
    struct group_sync sync = {.group = cairn_cstr(group), .member_id = cairn_cstr(joined->member_id),
                              .generation = joined->generation, .assignments = assignments,
                              .assignment_count = joined->member_count};
    *heard = (struct heard_sync){0};
    groups_sync(rig->groups, &sync, rig->now_ms, on_synced, heard);
}

static inline void
rig_sync(struct rig *rig, const char *group, const char *id, const char *instance, int32_t generation, struct heard_sync *heard)
{
    struct group_sync sync = {.group = cairn_cstr(group), .member_id = cairn_cstr(id), .instance_id = cairn_cstr(instance),
                              .generation = generation};
    *heard = (struct heard_sync){0};
    groups_sync(rig->groups, &sync, rig->now_ms, on_synced, heard);
}

static inline enum kafka_err
rig_beat(struct rig *rig, const char *group, const char *id, const char *instance, int32_t generation)
{
    return groups_heartbeat(rig->groups, cairn_cstr(group), cairn_cstr(id), cairn_cstr(instance), generation, rig->now_ms);
}

static inline enum kafka_err
rig_leave(struct rig *rig, const char *group, const char *id, const char *instance)
{
    return groups_leave(rig->groups, cairn_cstr(group), cairn_cstr(id), cairn_cstr(instance), rig->now_ms);
}

static inline void
rig_state(struct rig *rig, const char *group, char to[32])
{
    struct arena arena = {0};
    struct group_info info;
    CHECK_INT(groups_describe(rig->groups, cairn_cstr(group), &arena, &info), KAFKA_NONE);
    keep_text(to, 32, info.state);
    arena_free(&arena);
}
#define CHECK_STATE(rig, group, expected)  \
    do {                                   \
        char state_[32];                   \
        rig_state(rig, group, state_);     \
        CHECK_STR(state_, expected);       \
    } while (0)

/* `count` members in a stable group: ids and the leader's join in `joins`. The first is the leader. */
static inline void
rig_stable(struct rig *rig, struct join_as as, size_t count, struct heard_join *joins)
{
    struct heard_sync sync;
    const char *group = as.group ? as.group : "g";
    for (size_t i = 0; i < count; i++)
        rig_join(rig, as, &joins[i]);
    rig_pass(rig, 60000 < as.rebalance_ms ? as.rebalance_ms : 300);
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(joins[i].calls, 1);
        CHECK_INT(joins[i].err, KAFKA_NONE);
    }
    rig_sync_lead(rig, group, &joins[0], "part", &sync);
    CHECK_INT(sync.err, KAFKA_NONE);
    for (size_t i = 1; i < count; i++) {
        rig_sync(rig, group, joins[i].member_id, NULL, joins[i].generation, &sync);
        CHECK_INT(sync.err, KAFKA_NONE);
    }
    CHECK_STATE(rig, group, "Stable");
}

#endif

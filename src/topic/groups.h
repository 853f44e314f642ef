/* topic/groups.h: consumer groups of Kafka's clients: the classic protocol (the clients assign) and the newer one (KIP-848: the
 * server assigns), and the offsets they commit.
 *
 * A group is memory: members come back after a restart by joining again, as they do after any coordinator's move. What they
 * have committed is events: stream `$offset/<group>-<topic>/<partition>` (groups_offset_stream), whose newest event counts; the log
 * keeps no others. So a group's offsets are one category, and listing them costs what it has. Names are percent-encoded but for
 * [A-Za-z0-9._]. Data: JSON {"offset","epoch","metadata","commit_time","expire_time"}, times in ms; offset -1: deleted. That a
 * group has offsets is said by stream `$offset-<group>`: {"group","deleted"}.
 *
 *   Empty ─join─► PreparingRebalance ─all joined, or time is up─► CompletingRebalance ─leader's sync─► Stable
 *     ▲                  ▲──────────── a member joins, leaves, changes, or its session ends ────────────┘
 *     └── last member left          Dead: deleted
 *
 * Not to be confused with cairn/group.h: subscriptions of programs that speak Cairn's own API.
 *
 * Threads: any; a lock for each group. `done` is called once, perhaps before the call returns, perhaps on another
 * member's thread or the ticking one; never with a lock held. What it is given is borrowed until it returns. */
#ifndef TOPIC_GROUPS_H
#define TOPIC_GROUPS_H

#include <base/bytes.h>
#include <topic/broker.h>

struct groups_broker; /* the groups of a broker */

struct groups_options {
    uint32_t session_timeout_min_ms, session_timeout_max_ms; /* (6,000) (1,800,000) */
    uint32_t initial_delay_ms;     /* (100) how long a new group waits for more members */
    uint32_t members_max;          /* (10,000) of one group */
    uint32_t groups_max;           /* (100,000) */
    size_t bytes_max;              /* (256 MiB) what members of all groups hold: themselves, what they offer, want and are assigned */
    uint32_t metadata_max;         /* (4,096) bytes of an offset's metadata */
    uint32_t offsets_retention_minutes; /* (10,080) of a group without members; counted from the start at the earliest */
    uint32_t consumer_session_timeout_ms, consumer_heartbeat_ms; /* (45,000) (5,000) KIP-848 */
};
CAIRN_MUST_CHECK cairn_err groups_open(struct broker *broker, const struct groups_options *options, struct groups_broker **ret,
                                       cairn_error *error);
void groups_close(struct groups_broker *groups);
/* Sessions and rebalances whose time is up: call every 50 to 100 ms, never blocking. now_ms: monotonic, the clock of all below. */
void groups_tick(struct groups_broker *groups, int64_t now_ms);
/* What counts towards bytes_max now. Any thread. */
size_t groups_bytes(const struct groups_broker *groups);
/* Offsets of groups without members whose time is up: call it now and then; it looks every ten minutes, and may block. */
void groups_expire(struct groups_broker *groups, int64_t wall_now_us);

/* ---- classic ---------------------------------------------------------------------------------------------------------------------- */

struct group_protocol {
    cairn_str name, metadata;
};
struct group_join {
    cairn_str group, member_id, instance_id; /* instance_id empty: not static */
    cairn_str client_id, client_host;
    cairn_str protocol_type;                 /* "consumer" */
    int32_t session_timeout_ms, rebalance_timeout_ms;
    const struct group_protocol *protocols;
    size_t protocol_count;
    bool member_id_required;                 /* JoinGroup 4 and later: MEMBER_ID_REQUIRED for a first join */
    bool skip_assignment_known;              /* JoinGroup 9 */
};
struct group_joined {
    enum kafka_err err;
    int32_t generation;
    cairn_str protocol_type, protocol, leader, member_id;
    bool skip_assignment;
    const struct group_member_view {
        cairn_str member_id, instance_id, metadata;
    } *members;                              /* the leader's answer only */
    size_t member_count;
};
typedef void (*group_joined_done)(void *context, const struct group_joined *result);
void groups_join(struct groups_broker *groups, const struct group_join *join, int64_t now_ms, group_joined_done done,
                 void *context);

struct group_assignment {
    cairn_str member_id, assignment;
};
struct group_sync {
    cairn_str group, member_id, instance_id, protocol_type, protocol; /* protocol fields empty: not said */
    int32_t generation;
    const struct group_assignment *assignments; /* the leader's */
    size_t assignment_count;
};
struct group_synced {
    enum kafka_err err;
    cairn_str protocol_type, protocol, assignment;
};
typedef void (*group_synced_done)(void *context, const struct group_synced *result);
void groups_sync(struct groups_broker *groups, const struct group_sync *sync, int64_t now_ms, group_synced_done done,
                 void *context);

enum kafka_err groups_heartbeat(struct groups_broker *groups, cairn_str group, cairn_str member_id, cairn_str instance_id,
                                int32_t generation, int64_t now_ms);
/* By member id, or by instance id with an empty member id. */
enum kafka_err groups_leave(struct groups_broker *groups, cairn_str group, cairn_str member_id, cairn_str instance_id,
                            int64_t now_ms);
/* The connection on which a member waits in join or sync has gone. True: it was waiting, and its `done` will not be called any
 * more. False: it has been called, or is about to be. */
bool groups_forget(struct groups_broker *groups, void *done_context);

/* ---- KIP-848 ------------------------------------------------------------------------------------------------------------------------- */

#define KAFKA_INVALID_REGULAR_EXPRESSION ((enum kafka_err)128)

struct topic_partitions {
    cairn_uuid topic_id;
    const int32_t *partitions;
    size_t count;
};
struct consumer_heartbeat {
    cairn_str group, member_id, instance_id, rack_id, client_id, client_host;
    int32_t epoch;                     /* 0 joins, -1 leaves, -2 leaves for a while (static) */
    int32_t rebalance_timeout_ms;      /* -1: as before */
    const cairn_str *topics;           /* NULL: as before */
    size_t topic_count;
    bool has_regex;
    cairn_str regex;                   /* RE2 in Kafka; PCRE2 here */
    cairn_str assignor;                /* empty: as before; "uniform" or "range" */
    const struct topic_partitions *owned; /* NULL: as before */
    size_t owned_count;
};
struct consumer_heartbeat_result {
    enum kafka_err err;
    const char *message;
    cairn_str member_id;
    int32_t epoch, heartbeat_interval_ms;
    bool has_assignment;
    const struct topic_partitions *assignment;
    size_t assignment_count;
};
typedef void (*consumer_heartbeat_done)(void *context, const struct consumer_heartbeat_result *result);
/* Answers before it returns. */
void groups_consumer_heartbeat(struct groups_broker *groups, const struct consumer_heartbeat *heartbeat, int64_t now_ms,
                               consumer_heartbeat_done done, void *context);

/* ---- offsets ------------------------------------------------------------------------------------------------------------------------- */

#define GROUP_ID_MAX 255
/* The stream that an offset lives in; `to` has 544 bytes. Empty: the names are too long. */
cairn_str groups_offset_stream(cairn_str group, cairn_str topic, uint32_t partition, char *to);
/* The event that says it, for whoever appends to that stream: type and data, which is put into `to`. False: no memory. */
bool groups_offset_event(const struct offset_commit *commit, struct buf *to, cairn_event *ret);
/* May this member commit? generation -1 and no member: from outside the group, allowed while it has no members. Counts as a
 * heartbeat. ILLEGAL_GENERATION, STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, REBALANCE_IN_PROGRESS. */
enum kafka_err groups_may_commit(struct groups_broker *groups, cairn_str group, cairn_str member_id, cairn_str instance_id,
                                 int32_t generation_or_epoch);
/* The same for TxnOffsetCommit, which may come while a generation waits for its assignments, or (its older versions) without a
 * member. */
enum kafka_err groups_may_commit_transaction(struct groups_broker *groups, cairn_str group, cairn_str member_id,
                                             cairn_str instance_id, int32_t generation_or_epoch);
/* OffsetFetch 9 with a member id and epoch; without them (empty, -1) anybody may. */
enum kafka_err groups_may_fetch(struct groups_broker *groups, cairn_str group, cairn_str member_id, int32_t epoch);
/* Whether the member may has been asked. One append (several above 1,024 offsets); durable when done is called. errs are in the
 * order of commits, and borrowed until done returns; NULL when err says that nothing was done. */
typedef void (*offsets_done)(void *context, enum kafka_err err, const enum kafka_err *errs);
void groups_commit_async(struct groups_broker *groups, cairn_str group, const struct offset_commit *commits, size_t count,
                         offsets_done done, void *context);
/* *ret_offset -1: none. Metadata in the arena. May read the disk. */
enum kafka_err groups_offset_fetch(struct groups_broker *groups, cairn_str group, cairn_str topic, uint32_t partition,
                                   struct arena *arena, struct offset_commit *ret);
/* All that the group has, in order of topic and partition. Return false to stop. */
typedef bool (*offset_visit)(void *context, const struct offset_commit *commit);
enum kafka_err groups_offsets(struct groups_broker *groups, cairn_str group, offset_visit visit, void *context);
/* OffsetDelete: refused for topics that members are subscribed to (GROUP_SUBSCRIBED_TO_TOPIC, 86). */
enum kafka_err groups_offset_delete(struct groups_broker *groups, cairn_str group, const struct topic_partition *partitions,
                                    size_t count, enum kafka_err *ret_errs);

/* ---- looking, deleting ------------------------------------------------------------------------------------------------------------------ */

struct group_info {
    cairn_str group, state, protocol_type, protocol; /* state as Kafka's tools write it: "Stable", "Empty", "Assigning" … */
    const char *type;      /* "classic" or "consumer" */
    int32_t generation, assignment_epoch;
    const struct group_member_info {
        cairn_str member_id, instance_id, client_id, client_host;
        cairn_str metadata, assignment;              /* classic: as the client's own assignor wrote them */
        int32_t epoch;                               /* consumer */
        cairn_str regex;
        const cairn_str *topics;
        size_t topic_count;
        const struct topic_partitions *owned, *target;
        size_t owned_count, target_count;
    } *members;
    size_t member_count;
};
/* In the arena. GROUP_ID_NOT_FOUND: neither members nor offsets. */
enum kafka_err groups_describe(struct groups_broker *groups, cairn_str group, struct arena *arena, struct group_info *ret);
typedef bool (*group_visit)(void *context, const struct group_info *info); /* without members */
void groups_list(struct groups_broker *groups, group_visit visit, void *context);
/* NON_EMPTY_GROUP; GROUP_ID_NOT_FOUND. */
enum kafka_err groups_delete(struct groups_broker *groups, cairn_str group);

#endif

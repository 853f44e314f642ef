/* topic/group_consumer_int.h: KIP-848's side of a group, shared by group_consumer.c (heartbeats), group_target.c (subscriptions and
 * the target assignment), group_reconcile.c (towards it) and group_topics.c.
 *
 * Topics of a group are numbered (`slot`); a partition is one number, slot << 32 | partition, so that what members have and
 * should have are sorted sets of numbers.
 *
 * Invariants
 *   1. slot->owners[p] is the one member whose `assigned` or `revoking` holds it, or NULL. A partition enters a member's
 *      `assigned` only while it has no owner; it loses its owner only when that member's heartbeat does not list it, or the
 *      member is no more.
 *   2. `target` sets of members are disjoint, and of target_epoch. epoch > target_epoch: they have to be made again.
 *   3. A member's epoch never passes target_epoch; it gets there when it has revoked all that is not its any more. */
#ifndef TOPIC_GROUP_CONSUMER_INT_H
#define TOPIC_GROUP_CONSUMER_INT_H

#include <topic/groups_int.h>

struct set { /* ascending, each once; malloc'ed */
    uint64_t *items;
    size_t count;
};

struct slot {
    struct link by_id; /* key: id */
    cairn_uuid id;
    cairn_str name;
    uint32_t index, partitions;
    size_t subscribers; /* members that want it */
    size_t held;        /* owners that are not NULL */
    struct member **owners;
    uint32_t owner_room;
};

struct pattern {
    struct pattern *next;
    cairn_str text;
    struct pcre2_real_code_8 *code;
    size_t users, bytes;
    bool resolved;
    uint64_t changes; /* as of which `slots` are */
    struct set slots;
};

struct consumer_group {
    int32_t epoch, target_epoch;
    bool moved;          /* the epoch is about to move on: members, topics or wishes are not what they were */
    struct names slots_by_id;
    struct slot **slots; /* by index; NULL: free */
    size_t slot_count, slot_capacity;
    bool resolved;
    uint64_t changes;    /* of topics, as of which all subscriptions are */
    struct pattern *patterns;
};

enum assignor { ASSIGNOR_ANY, ASSIGNOR_UNIFORM, ASSIGNOR_RANGE };
enum reconciling { MEMBER_STABLE, MEMBER_UNREVOKED, MEMBER_UNRELEASED };

struct topic_names { /* one piece of memory */
    size_t bytes, count;
    cairn_str items[];
};

struct consumer {
    enum reconciling state;
    int32_t epoch, previous_epoch; /* epoch -2: a static member that will be back */
    enum assignor assignor;
    struct topic_names *topics;
    struct pattern *pattern;
    bool stale;                    /* its wishes are newer than */
    struct set slots;              /* what it is subscribed to, of what there is */
    struct set assigned, revoking, target;
    int64_t revoke_due_ms;
};

/* group_topics.c */
struct topic_seen {
    cairn_uuid id;
    cairn_str name;
    uint32_t partitions;
};
struct topics_seen {
    atomic_size_t refs;
    uint64_t changes;
    struct arena arena;
    struct topic_seen *topics; /* by name */
    size_t count, capacity;
    bool failed;
};
struct topics_seen *topics_look(struct groups_broker *groups, int64_t now_ms); /* counted; NULL: it cannot be known now */
const struct topic_seen *topics_find(const struct topics_seen *seen, cairn_str name);
bool topic_pattern_compile(cairn_str text, struct pcre2_real_code_8 **ret, char *ret_message, size_t message_size);
size_t topic_pattern_bytes(const struct pcre2_real_code_8 *code);
void topic_pattern_free(struct pcre2_real_code_8 *code);
/* visit each topic whose whole name matches; false when visit said so. */
bool topic_pattern_match(const struct pcre2_real_code_8 *code, const struct topics_seen *seen,
                   bool (*visit)(void *context, const struct topic_seen *topic), void *context);

/* group_assign.c: pure functions. Topics are slots; `partitions` is indexed by them. */
struct assign_member {
    cairn_str order;       /* for range: instance id or member id */
    const struct set *topics, *old;
    struct set now;        /* out; the caller frees it, also after a failure */
};
struct assign {
    struct assign_member *members;
    size_t member_count;
    const uint32_t *partitions;
    size_t topic_count;
};
bool assign_uniform(struct assign *assign); /* false: no memory */
bool assign_range(struct assign *assign);

/* group_target.c */
bool set_has(const struct set *set, uint64_t item);
bool set_put(struct set *set, uint64_t item); /* at the end, in whatever order; amortised */
void set_sort(struct set *set);
bool set_equal(const struct set *a, const struct set *b);
void set_free(struct set *set);
/* Subscriptions as of the topics that there are: everybody's when those have changed, otherwise this member's. *ret_changed when any
 * is another. False: no memory, or too much is held by all groups; it is tried again the next time. */
bool resolve(struct turn *turn, struct member *member, const struct topics_seen *seen, bool *ret_changed);
void drop_subscription(struct kgroup *group, struct consumer *consumer);
void slots_tidy(struct turn *turn);
void slots_free(struct groups_broker *groups, struct consumer_group *consumers);
bool make_target(struct turn *turn);
/* The one that most ask for; uniform where nobody asks. */
enum assignor choose_assignor(const struct kgroup *group);
struct pattern *pattern_take(struct turn *turn, cairn_str text, char *ret_message, size_t message_size);
void pattern_give_back(struct turn *turn, struct pattern *pattern);

/* group_reconcile.c */
/* One step towards the target; *ret_changed: its assignment is another one. False: no memory, nothing changed. */
bool reconcile(struct turn *turn, struct member *member, const struct consumer_heartbeat *heartbeat, bool *ret_changed);
void release_all(struct kgroup *group, struct consumer *consumer);
bool owned_within(const struct kgroup *group, const struct consumer_heartbeat *heartbeat, const struct set *set);

#endif

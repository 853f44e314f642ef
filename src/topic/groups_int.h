/* topic/groups_int.h: what the sources of groups.h share. Nobody else includes it.
 *
 * Invariants
 *   1. `done` of a waiting call belongs to one `struct answer`, which is in exactly one place: a member (it waits), an
 *      outbox (it is about to be called), or nowhere (it has been called, or was forgotten). So it is called once at most.
 *   2. Nothing of a group is touched without its lock; nothing is called back with it held: a `struct turn` gathers the
 *      answers, and turn_end() gives them when the lock is free.
 *   3. A timer that is armed fires at or before what it is for; the handler looks whether it is time and arms it again. So a
 *      heartbeat only moves a deadline, and costs nothing in the heap.
 *   4. A group that is not in the table any more is `dead` and has no members and no armed timers.
 *
 * Order of locks: a group's, then the table's, then any one of the leaves (timers, waiting, topics). */
#ifndef TOPIC_GROUPS_INT_H
#define TOPIC_GROUPS_INT_H

#include <topic/groups.h>

#include <base/arena.h>
#include <base/bytes.h>
#include <pthread.h>
#include <stdatomic.h>

#define PROTOCOLS_MAX 64             /* assignors that one member may list */
#define TALLIES_MAX 1024             /* different assignors in one group */
#define MEMBER_BYTES_MAX (1u << 20)  /* metadata of one member under all its protocols; an assignment */
#define JOIN_TIMEOUT_NEW_MS 300000   /* Kafka's bound on how long a member that does not know its id yet waits */
#define WAITING_BUCKETS 4096
#define NEVER INT64_MAX

/* ---- names: a hash table whose links live in what they name -------------------------------------------------------------- */

struct link {
    struct link *next;
    uint64_t hash;
    cairn_str key; /* of its owner */
};
/* Adding never fails: without memory for more buckets the chains grow. Zero it to begin. */
struct names {
    struct link **buckets, *first[2];
    size_t mask, count;
};
void names_put(struct names *names, struct link *link, cairn_str key);
struct link *names_get(const struct names *names, cairn_str key);
void names_remove(struct names *names, struct link *link);
void names_free(struct names *names); /* the buckets */

#define OWNER_OF(pointer, type, field) ((type *)(void *)((char *)(pointer) - offsetof(type, field)))

/* ---- timers ------------------------------------------------------------------------------------------------------------------- */

enum timer_kind { TIMER_MEMBER, TIMER_REBALANCE, TIMER_SYNC };
struct timer {
    struct kgroup *group;
    struct timer *next_due; /* in its group's list of those that have come due */
    int64_t due_ms;
    size_t at;              /* in the heap, from 1; 0: not there */
    bool due;
    enum timer_kind kind;
};
struct timers {
    pthread_mutex_t lock;
    struct timer **heap; /* from 1 */
    size_t count, capacity, reserved;
};

/* ---- answers --------------------------------------------------------------------------------------------------------------------- */

enum answer_kind { ANSWER_JOIN, ANSWER_SYNC };
struct answer {
    struct answer *next;                        /* in an outbox */
    struct answer *waiting_next, **waiting_at;  /* in the table of those who wait, where `waiting_at` is not NULL */
    struct kgroup *group;                       /* while it waits */
    struct member *member;
    enum answer_kind kind;
    union {
        group_joined_done joined;
        group_synced_done synced;
    } done;
    void *context;
    struct arena arena; /* what the result points to */
    struct group_joined joined;
    struct group_synced synced;
};

/* ---- groups ------------------------------------------------------------------------------------------------------------------------ */

enum group_type { GROUP_NONE, GROUP_CLASSIC, GROUP_CONSUMER };
enum group_state { STATE_EMPTY, STATE_PREPARING, STATE_COMPLETING, STATE_STABLE };

/* What a member offers, in one piece of memory. */
struct protocols {
    size_t bytes, count;
    struct group_protocol items[];
};

struct consumer; /* group_consumer.c */

struct member {
    struct member *next, *previous; /* of the group, in the order of joining */
    struct link by_id, by_instance; /* keys: id, instance_id */
    struct timer timer;
    int64_t deadline_ms;            /* the end of its session unless it is heard of */
    cairn_str id, instance_id, client_id, client_host; /* malloc'ed each */
    int32_t session_ms, rebalance_ms;
    size_t bytes;                   /* counted for it in groups->bytes */
    /* classic */
    bool pending;                   /* has been given an id, and has not joined with it */
    bool is_new;                    /* has not been told a generation yet */
    bool id_known;                  /* its client knows its id */
    bool joined;                    /* for the generation that is being prepared */
    bool unsynced;                  /* has not asked for its assignment in this generation */
    struct protocols *protocols;
    cairn_str assignment;
    struct answer *join, *sync;     /* what it waits for */
    struct consumer *consumer;      /* KIP-848 */
};

struct tally { /* how many members know a protocol */
    cairn_str name;
    size_t members, votes;
};

struct kgroup {
    pthread_mutex_t lock;
    atomic_size_t refs;
    struct link by_name; /* key: name */
    cairn_str name;
    bool dead;
    enum group_type type;
    struct timer *due_first; /* under the timers' lock */
    int64_t seen_wall_ms;    /* when it last had members, as far as groups_expire() knows */
    bool entered;            /* somebody has, since that looked last */

    struct member *first, *last;
    struct names by_id, by_instance;
    size_t member_count, pending_count; /* pending ones are not among the members */

    /* classic */
    enum group_state state;
    int32_t generation;
    cairn_str protocol_type, protocol; /* malloc'ed */
    struct member *leader;
    size_t joined_count, unsynced_count;
    bool initial;        /* a new group waits for more members */
    bool member_added;   /* … and one has come */
    int64_t initial_left_ms;
    int64_t rebalance_due_ms, sync_due_ms;
    struct timer rebalance, sync;
    struct tally *tallies;
    size_t tally_count, tally_capacity;

    struct consumer_group *consumer; /* KIP-848 */
};

/* Where the topics of a broker are looked up. */
struct groups_topics {
    uint64_t (*changes)(void *context);
    cairn_err (*visit)(void *context, cairn_topic_visit visit, void *visit_context);
    void *context;
};

struct topics_seen; /* group_topics.c: all topics as they were, counted */

struct groups_broker {
    cairn_store *store;
    cairn_scope scope;
    struct groups_options options;
    struct groups_topics topics;
    pthread_mutex_t table_lock;
    struct names table;
    atomic_size_t bytes;                     /* see bytes_take() */
    int64_t swept_ms;
    struct timers timers;
    pthread_mutex_t waiting_lock;
    struct answer *waiting[WAITING_BUCKETS]; /* by context */
    _Atomic int64_t now_ms;                  /* the latest that anybody has said */
    _Atomic int64_t expired_ms;              /* when groups_expire() last looked */
    _Atomic int64_t opened_ms;               /* … and first: nobody knows how long groups had members before. 0: not yet */
    pthread_mutex_t topics_lock;
    struct topics_seen *seen;
    int64_t seen_ms;
    struct offsets *offsets;
};

/* As groups_open(), without a broker: for it, and for tests that play the topics. */
CAIRN_MUST_CHECK cairn_err groups_new_on(cairn_store *store, cairn_scope scope, const struct groups_topics *topics,
                                         const struct groups_options *options, struct groups_broker **ret, cairn_error *error);

/* One visit to a group: its lock, the time, and the answers to give afterwards. */
struct turn {
    struct groups_broker *groups;
    struct kgroup *group;
    int64_t now_ms;
    bool full; /* something was refused because all groups together hold too much */
    struct answer *first, **last;
};

/* groups.c */
/* KAFKA_GROUP_ID_NOT_FOUND where there is none and `create` is false; COORDINATOR_NOT_AVAILABLE without room or memory. The turn
 * can be used for answers even when it fails. */
enum kafka_err turn_begin(struct turn *turn, struct groups_broker *groups, cairn_str name, int64_t now_ms, bool create);
void turn_end(struct turn *turn);
/* Memory that clients make the server keep counts for as long as it is kept. False, and turn->full: that would be more than all groups may
 * hold; nothing is counted. */
bool bytes_take(struct turn *turn, size_t bytes);
void bytes_give(struct groups_broker *groups, size_t bytes);
struct kgroup *kgroup_find(struct groups_broker *groups, cairn_str name); /* counted; NULL */
void kgroup_release(struct kgroup *group);
/* Every group, counted, in malloc'ed memory. False without memory. */
bool kgroup_all(struct groups_broker *groups, struct kgroup ***ret, size_t *ret_count);
/* Under the group's lock, without members: takes it out of the table. */
void kgroup_drop(struct groups_broker *groups, struct kgroup *group);
struct answer *answer_new(enum answer_kind kind, void *context);
void answer_wait(struct turn *turn, struct answer *answer, struct member *member);
void answer_give(struct turn *turn, struct answer *answer); /* takes it out of the waiting, into the outbox */
bool str_copy(cairn_str text, cairn_str *ret); /* malloc'ed; an empty one has no memory */
void str_free(cairn_str *text);

/* group_timers.c */
void timer_arm(struct groups_broker *groups, struct timer *timer, int64_t due_ms);
void timer_cancel(struct groups_broker *groups, struct timer *timer);
bool timers_reserve(struct timers *timers, size_t more);
void timers_give_back(struct timers *timers, size_t count);
/* The next group with timers that are due, counted; they wait in its list, from which take_due takes them one by one. */
struct kgroup *timers_take_group(struct groups_broker *groups, int64_t now_ms);
struct timer *timers_take_due(struct groups_broker *groups, struct kgroup *group);

/* group_member.c */
struct member *member_new(struct turn *turn, cairn_str id, cairn_str instance_id, cairn_str client_id, cairn_str client_host);
void member_enter(struct turn *turn, struct member *member);   /* into the group's tables and list */
void member_free(struct turn *turn, struct member *member);    /* takes it out, too */
void member_abandon(struct turn *turn, struct member *member); /* one that has not entered */
/* Count `after` bytes for it in place of `before`. False, and turn->full: no. */
bool member_recount(struct turn *turn, struct member *member, size_t before, size_t after);
/* In place of the assignment that it has. False: no memory, or it may not be kept; then it has none. */
bool member_assign(struct turn *turn, struct member *member, cairn_str assignment);
struct member *member_by_id(const struct kgroup *group, cairn_str id);
struct member *member_by_instance(const struct kgroup *group, cairn_str instance_id);
void member_deadline(struct turn *turn, struct member *member, int64_t due_ms);
#define MEMBER_BASE_MAX 512 /* bytes of the client or instance id that a member id begins with */
bool member_make_id(cairn_str base, cairn_str *ret); /* malloc'ed */
/* The list holds those, too, that are only pending: these skip them. */
struct member *member_first(const struct kgroup *group);
struct member *member_after(const struct member *member);
struct protocols *protocols_copy(const struct group_protocol *items, size_t count);

/* group_classic.c */
void classic_timer(struct turn *turn, struct timer *timer);
void classic_forget(struct turn *turn, struct answer *answer);
void classic_clear(struct turn *turn); /* an empty group becomes one of no type */
enum kafka_err classic_may_commit(struct kgroup *group, cairn_str member_id, cairn_str instance_id, int32_t generation,
                                  bool transactional);
enum kafka_err classic_member_check(const struct kgroup *group, cairn_str member_id, cairn_str instance_id,
                                    struct member **ret);
cairn_str classic_metadata(const struct kgroup *group, const struct member *member);

/* group_rebalance.c */
bool tally_reserve(struct kgroup *group, size_t more);
void tally_count_in(struct kgroup *group, const struct protocols *protocols);
void tally_take(struct kgroup *group, const struct protocols *protocols);
/* Does every member know one of these? */
bool protocols_fit(const struct kgroup *group, const struct group_protocol *items, size_t count);
cairn_str select_protocol(struct kgroup *group); /* borrowed from the tally, which every change of members moves */
void set_joined(struct kgroup *group, struct member *member, bool joined);
void set_unsynced(struct kgroup *group, struct member *member, bool unsynced);
void drop_member(struct turn *turn, struct member *member); /* without a rebalance; it must not wait any more */
void maybe_prepare_rebalance(struct turn *turn);
void complete_if_all_joined(struct turn *turn);
void remove_member(struct turn *turn, struct member *member);
void session_renew(struct turn *turn, struct member *member);
void answer_joined(struct turn *turn, struct member *member, struct answer *answer, bool with_members, cairn_str leader,
                   bool skip_assignment);
void answer_join_error(struct turn *turn, struct answer *answer, enum kafka_err err, cairn_str member_id);
void answer_synced(struct turn *turn, struct member *member, struct answer *answer);
void answer_sync_error(struct turn *turn, struct answer *answer, enum kafka_err err);
void rebalance_timer(struct turn *turn);
void sync_timer(struct turn *turn);

/* group_subscription.c: ConsumerProtocolSubscription, versions 0 to 3 and what begins like them. The topics are borrowed from the
 * metadata. False when it is not one. */
typedef bool (*topic_name_visit)(void *context, cairn_str topic);
bool subscription_topics(cairn_str metadata, topic_name_visit visit, void *context);
bool subscription_has(cairn_str metadata, cairn_str topic);
bool subscription_same_topics(cairn_str a, cairn_str b); /* false, too, when either is none */

/* group_consumer.c */
void consumer_timer(struct turn *turn, struct timer *timer);
void consumer_clear(struct turn *turn);
void consumer_member_free(struct turn *turn, struct member *member);
void consumer_group_free(struct groups_broker *groups, struct kgroup *group);
enum kafka_err consumer_may_commit(struct kgroup *group, cairn_str member_id, int32_t epoch);
bool consumer_subscribed(struct kgroup *group, cairn_str topic);
const char *consumer_state(const struct kgroup *group);
enum kafka_err consumer_describe(struct kgroup *group, struct arena *arena, struct group_info *ret);

/* group_topics.c */
void topics_seen_release(struct topics_seen *seen);

/* group_offset_form.c */
#define OFFSETS_GROUP_PREFIX "$offset-"
cairn_str offsets_prefix(cairn_str group, char *to);       /* of the streams of all its offsets; 544 bytes; empty: too long */
cairn_str offsets_group_stream(cairn_str group, char *to); /* the one that says that it has offsets */
bool offsets_stream_parse(cairn_str stream, size_t prefix_size, struct arena *arena, cairn_str *ret_topic, uint32_t *ret_partition);
bool offsets_group_parse(cairn_str stream, struct arena *arena, cairn_str *ret_group);
bool offsets_parse(cairn_str data, struct arena *arena, struct offset_commit *ret); /* all but topic and partition */

/* group_offsets.c */
struct offsets *offsets_new(void);
void offsets_free(struct offsets *offsets); /* waits for appends that are under way */
/* Has it an offset that has not been deleted? May read the disk: without locks. */
enum kafka_err offsets_any(struct groups_broker *groups, cairn_str group, bool *ret);
/* Write that these are deleted, and wait until it is durable. expected: each one's revision, so that what has been committed since
 * stays, with what would go in the same append; NULL: whatever there is. `last`: nothing is left of the group. */
enum kafka_err offsets_delete(struct groups_broker *groups, cairn_str group, const struct topic_partition *partitions,
                              const int64_t *expected, size_t count, bool last);
/* The offsets are being committed to without groups_commit_async(): see that the group is listed. Does not block. */
void offsets_announce(struct groups_broker *groups, cairn_str group);
/* Names of the groups that have, or had, offsets; in the arena. */
typedef bool (*group_name_visit)(void *context, cairn_str group);
enum kafka_err offsets_groups(struct groups_broker *groups, group_name_visit visit, void *context);

#endif

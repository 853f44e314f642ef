/* cairn/group.h: consumer groups. Several consumers share the work on a stream or on a filtered
 * view of the log; the store remembers what they have done.
 *
 * Each event is handed to one consumer at a time. It is *acknowledged* (done), *refused* (nack:
 * try again after a back-off, or park at once), or its deadline passes (try again). After
 * retry_max tries it is parked: kept aside with the reason until somebody replays it, or, where the
 * group says so, becomes a dead letter: an event of a topic (docs/kafka.md, "Dead letters"). The
 * checkpoint is the first position not yet done with; it is kept in the log itself. Delivery is
 * at least once: after a crash what was not yet checkpointed is delivered again (a second's worth,
 * and at most 1,000 acknowledgements or as many as there were events outstanding).
 *
 * Limits: 10,000 groups, names of 256 bytes, 10,000 outstanding events a group, 100,000 parked
 * events a group: then it hands out nothing until they are replayed, and says so.
 *
 * Thread-safe: yes. */
#ifndef CAIRN_GROUP_H
#define CAIRN_GROUP_H

#include <cairn/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cairn_group_config {
    cairn_str stream;     /* a stream, or empty: all events that match the following */
    cairn_str category;
    cairn_query query;
    int64_t from;         /* position to begin at when the group is new; CAIRN_FROM_END */
    uint32_t ack_timeout_ms; /* (30,000) */
    uint32_t retry_max;      /* (10) deliveries before parking */
    uint32_t retry_delay_ms; /* (200) before the second delivery, doubled each time up to 60 s */
    uint32_t outstanding_max; /* (1,000) delivered and not yet done with; at most 10,000 */
    bool dead_letter;        /* what is given up goes to a topic of dead letters instead of being parked */
    cairn_str dead_letter_topic; /* that one; empty: by the event, its topic's name and ".dlq" */
} cairn_group_config;

/* Make a group, or change its settings (what it has done stays). Durable on return. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_group_put(cairn_store *store, cairn_scope scope,
                                                     cairn_str name,
                                                     const cairn_group_config *config,
                                                     cairn_error *error);

CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_group_delete(cairn_store *store, cairn_scope scope,
                                                        cairn_str name, cairn_error *error);

/* One delivery: the event, and how often it has been handed out (1 the first time). */
typedef void (*cairn_group_visit)(void *context, const cairn_recorded *event, uint32_t delivery);

/* Take up to `limit` events that are due. `visit` is called for each, on this thread; what it is
 * given is borrowed until it returns. It may acknowledge and refuse; it must not take from, change
 * or delete the same group. Does not wait: CAIRN_E_END when nothing is due, which costs next to
 * nothing to find out. An error after the first event was handed out comes with the next call.
 * CAIRN_E_LIMIT: too many parked events. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_group_take(cairn_store *store, cairn_scope scope,
                                                      cairn_str name, size_t limit,
                                                      cairn_group_visit visit, void *context,
                                                      cairn_error *error);

/* Done with these positions. Unknown ones are ignored (they were done with before); ret_count
 * (optional) says how many were outstanding. Takes effect at once and reaches the log with the next
 * checkpoint; when that cannot be written, the group's status says so. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_group_ack(cairn_store *store, cairn_scope scope,
                                                     cairn_str name, const uint64_t *positions,
                                                     size_t count, size_t *ret_count,
                                                     cairn_error *error);

/* Refuse these positions: with `park` they go aside at once (dead letters where the group has them),
 * otherwise they are retried. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_group_nack(cairn_store *store, cairn_scope scope,
                                                      cairn_str name, const uint64_t *positions,
                                                      size_t count, bool park, cairn_str reason,
                                                      size_t *ret_count, cairn_error *error);

/* Hand all parked events out again. ret_count: how many. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_group_replay_parked(cairn_store *store,
                                                               cairn_scope scope, cairn_str name,
                                                               size_t *ret_count,
                                                               cairn_error *error);

typedef enum cairn_group_state {
    CAIRN_GROUP_RUNNING = 0, /* hands out what comes */
    CAIRN_GROUP_FULL = 1,    /* outstanding_max reached: waits for acknowledgements or deadlines */
    CAIRN_GROUP_STOPPED = 2, /* too many parked events: hands out nothing until they are replayed */
    CAIRN_GROUP_FAILING = 3  /* the last read or checkpoint failed, see failure; tries again */
} cairn_group_state;

typedef struct cairn_group_status {
    cairn_str name; /* borrowed until the visit returns */
    cairn_group_config config;
    uint64_t checkpoint;  /* everything before is done with */
    uint64_t end;         /* the log's end: end - checkpoint bounds the lag */
    uint64_t outstanding;
    uint64_t retrying;
    uint64_t parked;
    uint64_t acked_total; /* since the store was opened */
    int64_t last_activity_us; /* 0: none since the store was opened */
    cairn_group_state state;
    cairn_error failure;      /* when failing */
    uint64_t next;            /* everything before was looked at */
    uint64_t replaying;       /* parked events that wait to be handed out again */
    uint64_t dead_letters;    /* events that have become dead letters, since the group was made */
    cairn_str dead_letter_topic; /* where the newest of them went; empty: there is none */
} cairn_group_status;

typedef void (*cairn_group_status_visit)(void *context, const cairn_group_status *status);

/* One group's state, or every group's when name is empty. CAIRN_E_NOTFOUND: no such group. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_group_status_get(cairn_store *store, cairn_scope scope,
                                                            cairn_str name,
                                                            cairn_group_status_visit visit,
                                                            void *context, cairn_error *error);

/* The parked events of a group with their reasons, oldest first, up to limit. */
typedef void (*cairn_group_parked_visit)(void *context, const cairn_recorded *event,
                                         uint32_t deliveries, cairn_str reason);
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_group_parked(cairn_store *store, cairn_scope scope,
                                                        cairn_str name, size_t limit,
                                                        cairn_group_parked_visit visit,
                                                        void *context, cairn_error *error);

#ifdef __cplusplus
}
#endif
#endif

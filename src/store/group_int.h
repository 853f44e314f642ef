/* store/group_int.h: consumer groups, shared by the files of this room that make them up.
 *
 *   group.c           the public calls
 *   group_take.c      handing out: what is due, what is replayed, what is new
 *   group_log.c       the group's events: load, checkpoint, park
 *   group_dead.c      dead letters: made of what is given up, handed out again
 *   group_registry.c  which groups are in memory; the keeper; closing
 *   group_state.c     what a group remembers, and its JSON
 *   pending.c         events handed out, by position and by moment
 *
 * In the log. "$subscription-<name>": each event is the whole state (settings, next, pending), so
 * that the newest alone is enough; max_count 8. "$parked-<name>": one event for each parked one,
 * appended together with the state that no longer waits for it: an event is never both or neither.
 * A dead letter (dead.h) takes the parked event's place in that append; sent back, its mark and the
 * state that waits for the event again are one append too.
 *
 * Invariants
 *  1. Every matching event below `next` is pending, parked or done.
 *  2. A done event was acknowledged, or is gone from the log.
 *  3. What the log's newest state says was true when it was encoded; what happened since is
 *     repeated after a crash, never lost.
 *  4. pending.count <= outstanding_max, but for a lowered setting.
 *
 * Locks, taken in this order; none is held while a user's callback runs except take_lock:
 *   take_lock   who hands out: it reads the log in order. Also held to change or delete the group
 *   write_lock  who appends the group's events, so that states reach the log in the order in which
 *               they were encoded
 *   lock        the fields below it: short, no I/O
 * The registry's lock guards the table and reference counts and is never held with another. */
#ifndef STORE_GROUP_INT_H
#define STORE_GROUP_INT_H

#include <pthread.h>

#include "dead.h"
#include "group.h"
#include "group_state.h"
#include "store.h"

#define GROUPS_MAX 10000
#define GROUP_NAME_MAX 256
#define GROUP_PARKED_MAX 100000
#define GROUP_PARK_BATCH 100     /* events of one append that parks */
#define GROUP_DEAD_BATCH 32      /* dead letters of one append: they carry the data, up to DEAD_BYTES_MAX */
#define GROUP_CHECKPOINT_ACKS 1000
#define GROUP_CHECKPOINT_US INT64_C(1000000)

#define GROUP_STATE_PREFIX "$subscription-"
#define GROUP_PARKED_PREFIX "$parked-"

enum group_presence { GROUP_UNKNOWN, GROUP_ABSENT, GROUP_PRESENT };

struct group {
    struct groups *groups;
    cairn_store *store;
    cairn_scope scope;
    char name[GROUP_NAME_MAX];
    size_t name_size;

    /* under the registry's lock */
    struct group *next_in_bucket;
    uint64_t hash;
    unsigned refs;

    pthread_mutex_t take_lock, write_lock, lock;

    /* under write_lock */
    bool retention_set;
    uint64_t parked_cut; /* truncate_before of the parked stream */

    /* under lock; `state.config` changes only with all three locks held, so any of them lets read */
    enum group_presence presence;
    struct group_state state;
    int64_t next_revision; /* of a group on a stream: where to read on; -1: find it from next */
    uint64_t caught_up;    /* there was nothing more below this end; UINT64_MAX: not known */
    uint64_t parked_end;   /* of the parked stream: its next revision */
    uint64_t acks_since;   /* the last checkpoint was encoded */
    bool dirty;            /* a checkpoint is due within a second */
    bool moved;            /* `next` has changed: written when closing */
    int64_t tried_us;      /* when a checkpoint was last tried, or the group became dirty */
    uint64_t acked_total;
    int64_t last_activity_us;
    cairn_error read_failure, write_failure; /* code is CAIRN_OK when there is none */
};

static inline cairn_str
group_name(const struct group *group)
{
    return (cairn_str){group->name, group->name_size};
}

/* There is something for a checkpoint; it is due within a second. Called under `lock`. */
static inline void
group_mark_dirty(struct group *group)
{
    if (!group->dirty)
        group->tried_us = os_monotonic_us(group->store->os);
    group->dirty = true;
}

/* The name of one of the group's streams in `to`. */
#define GROUP_STREAM_MAX (GROUP_NAME_MAX + sizeof GROUP_STATE_PREFIX)
cairn_str group_stream(const struct group *group, const char *prefix, char to[GROUP_STREAM_MAX]);

/* ---- group_registry.c --------------------------------------------------------------------- */

/* The group of that name, loaded from the log if it was not in memory. Give it back with
 * group_release(). CAIRN_E_NOTFOUND: no such group. */
CAIRN_MUST_CHECK cairn_err group_acquire(cairn_store *store, cairn_scope scope, cairn_str name,
                                         struct group **ret, cairn_error *error);
/* The same, but a group that does not exist is given too, as GROUP_ABSENT, to be made. */
CAIRN_MUST_CHECK cairn_err group_acquire_any(cairn_store *store, cairn_scope scope, cairn_str name,
                                             struct group **ret, cairn_error *error);
void group_release(struct group *group);

/* Bring every group of the scope into memory, so that they can be counted and listed. */
CAIRN_MUST_CHECK cairn_err groups_load_all(cairn_store *store, cairn_scope scope,
                                           cairn_error *error);
/* All groups of a scope by name, each to be released; the array is malloc'ed. */
CAIRN_MUST_CHECK cairn_err group_acquire_all(cairn_store *store, cairn_scope scope,
                                             struct group ***ret, size_t *ret_count,
                                             cairn_error *error);
/* Tell the keeper that a checkpoint will be due. Called without any group's lock. */
void groups_wake_keeper(struct groups *groups);

/* ---- group_log.c -------------------------------------------------------------------------- */

/* Read the group's newest state. Sets presence. write_lock held. */
CAIRN_MUST_CHECK cairn_err group_load(struct group *group, cairn_error *error);
/* Append the state as it is now. write_lock held, lock not. A failure is also kept in the group. */
CAIRN_MUST_CHECK cairn_err group_write_state(struct group *group, cairn_error *error);
/* The state's event; what it will say is taken off the group's list of things to write. lock held. */
void group_encode_state(struct group *group, struct buf *to);
/* Parked events below this revision have been handed out again, as the state now says. lock held. */
uint64_t group_replayed_before(const struct group *group);
/* Append the encoded state and what belongs to it, at most GROUP_PARK_BATCH writes. write_lock held, lock not. */
struct group_beside {
    const cairn_event *parked;
    size_t parked_count;
    const cairn_write *writes;
    size_t write_count;
};
CAIRN_MUST_CHECK cairn_err group_append_state(struct group *group, const struct buf *state,
                                              struct group_beside *beside, uint64_t replayed,
                                              cairn_error *error);
/* Write a checkpoint if one is due (always: with `always` and anything changed). Takes write_lock;
 * does nothing when somebody else is writing. */
void group_checkpoint(struct group *group, bool always);
/* Park events that are in state PARKING, at most GROUP_PARK_BATCH. Takes write_lock. On failure they
 * are handed out again later. */
CAIRN_MUST_CHECK cairn_err group_park(struct group *group, const struct group_parked *parked,
                                      size_t count, cairn_error *error);
/* ---- group_dead.c ------------------------------------------------------------------------- */

struct group_letters {
    struct arena arena;
    struct dead_letter letters[GROUP_DEAD_BATCH];
    cairn_write writes[GROUP_DEAD_BATCH];
    size_t count, bytes;
    char topic_before[TOPIC_NAME_MAX]; /* of the state, in case the append fails */
    size_t topic_before_size;
};
/* Make the dead letter of one that is given up. NONE: it has to be parked (it is a dead letter itself,
 * or cannot be one). FULL: it belongs into the next append, this one has bytes enough. An error is one
 * that passes. write_lock held, lock not. */
enum group_letter { GROUP_LETTER_NONE, GROUP_LETTER_MADE, GROUP_LETTER_FULL };
CAIRN_MUST_CHECK cairn_err group_letter_add(struct group *group, const struct group_parked *parked,
                                            struct group_letters *letters, enum group_letter *ret,
                                            cairn_error *error);
/* Count them in the state; lock held. And take that back; lock not held. */
void group_letters_count(struct group *group, struct group_letters *letters);
void group_letters_uncount(struct group *group, const struct group_letters *letters);
void group_letters_free(struct group_letters *letters);

/* Remove the group's events from view. take_lock and write_lock held. */
CAIRN_MUST_CHECK cairn_err group_erase(struct group *group, cairn_error *error);
/* The event at a position, while `visit` runs. CAIRN_E_NOTFOUND: it is gone. */
typedef void (*group_event_visit)(void *context, const cairn_recorded *event);
CAIRN_MUST_CHECK cairn_err group_read_event(struct group *group, uint64_t position,
                                            group_event_visit visit, void *context,
                                            cairn_error *error);

#endif

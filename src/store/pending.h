/* store/pending.h: the events that a consumer group has handed out and that are not done with,
 * by position and by the moment at which something is due. No I/O, no locks: the group's.
 *
 *   (new) ─► OUT ──deadline passes──► due again ─► OUT …             done: removed
 *             ├────refused──► BACK_OFF ──moment comes──┘
 *             └────given up──► PARKING ──parked──► removed
 *
 * A binary heap by moment finds what is due; a hash table finds a position. Both grow together by
 * doubling; the group bounds the count. */
#ifndef STORE_PENDING_H
#define STORE_PENDING_H

#include <cairn/types.h>

enum pending_state {
    PENDING_OUT,
    PENDING_BACK_OFF,
    PENDING_PARKING, /* an append that parks it is under way; not due */
};

struct pending_entry {
    uint64_t position;
    int64_t due_us;      /* OUT: the deadline; BACK_OFF: when to hand it out again; PARKING: never */
    int64_t failed_us;   /* when it was first refused, or its deadline passed, as far as is known; 0: not yet */
    uint32_t deliveries; /* so far */
    uint8_t state;       /* enum pending_state */
    bool replayed;       /* it was parked before: the checkpoint does not wait for it */
    bool leaving;        /* PARKING, and the append has been made up: no longer part of the state */
};

/* Zero it to begin. */
struct pending {
    struct pending_entry *heap; /* [count], earliest first */
    uint32_t *slots;            /* [slot_count] heap index + 1, or 0: open addressing by position */
    size_t count, capacity, slot_count;
    size_t back_off_count;
};

void pending_free(struct pending *pending);

/* False when there is no memory. The position must not be in it. */
CAIRN_MUST_CHECK bool pending_add(struct pending *pending, const struct pending_entry *entry);
/* NULL when it is not there. Valid until the next call that changes anything. */
const struct pending_entry *pending_find(const struct pending *pending, uint64_t position);
/* The earliest; NULL when empty. */
const struct pending_entry *pending_first(const struct pending *pending);
/* Change one that is there (found by its position). */
void pending_update(struct pending *pending, const struct pending_entry *entry);
/* False when it was not there. */
bool pending_remove(struct pending *pending, uint64_t position);

/* The lowest position that the checkpoint waits for, or `none`. Looks at every entry. */
uint64_t pending_lowest(const struct pending *pending, uint64_t none);
size_t pending_memory(const struct pending *pending);

#endif

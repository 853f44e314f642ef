/* store/group_state.h: what a consumer group remembers, in memory and as the JSON of its events.
 *
 * Everything below `next` has been looked at: it did not match, or was handed out. Of what was
 * handed out, `pending` is what is not done with. So "done out of order" needs no list of its own:
 * it is whatever lies below `next` and is not pending. That bounds the state by outstanding_max.
 *
 * Parked events are those of "$parked-<name>" from revision replay_until on. Below it they have
 * been handed out again (below replay_next) or wait for it (from replay_next on). */
#ifndef STORE_GROUP_STATE_H
#define STORE_GROUP_STATE_H

#include <base/arena.h>
#include <base/bytes.h>
#include <batch/event.h>
#include <cairn/group.h>

#include "pending.h"

#define GROUP_ACK_TIMEOUT_MS 30000
#define GROUP_RETRY_MAX 10
#define GROUP_RETRY_DELAY_MS 200
#define GROUP_RETRY_DELAY_MAX_MS 60000
#define GROUP_OUTSTANDING 1000
#define GROUP_OUTSTANDING_MAX 10000
#define GROUP_CONFIG_BYTES_MAX 65536
#define GROUP_PENDING_BYTES_MAX 32 /* of one pending event in the JSON */
#define GROUP_REASON_BYTES_MAX 1024

struct group_state {
    struct arena arena; /* of the settings' strings */
    cairn_group_config config;
    uint64_t next;
    uint64_t replay_next, replay_until;
    uint64_t dead_letters; /* so far */
    char dead_topic[TOPIC_NAME_MAX]; /* where the newest went */
    size_t dead_topic_size;
    struct pending pending;
};

void group_state_free(struct group_state *state);

/* Copy the settings with defaults for zeros. CAIRN_E_INVALID, CAIRN_E_LIMIT: what is wrong. */
CAIRN_MUST_CHECK cairn_err group_config_copy(const cairn_group_config *from, struct arena *arena,
                                             cairn_group_config *ret, cairn_error *error);

/* Entries that are leaving are left out: they are written as parked in the same append. */
void group_state_encode(const struct group_state *state, struct buf *to);
/* Into a zeroed state; every pending event is due at once. CAIRN_E_CORRUPT when it is not what
 * group_state_encode() writes. */
CAIRN_MUST_CHECK cairn_err group_state_decode(cairn_str text, struct group_state *ret,
                                              cairn_error *error);

struct group_parked {
    uint64_t position;
    uint32_t deliveries;
    cairn_str reason;
    const char *code;  /* "refused" or "deadline": of a dead letter */
    int64_t failed_us; /* the first time; 0: not known. Neither is kept of parked events */
};
void group_parked_encode(const struct group_parked *parked, struct buf *to);
CAIRN_MUST_CHECK cairn_err group_parked_decode(cairn_str text, struct arena *arena,
                                               struct group_parked *ret, cairn_error *error);

/* When to hand out again what was refused after `deliveries` (>= 1). */
int64_t group_retry_due(const cairn_group_config *config, uint32_t deliveries, int64_t now_us);

#endif

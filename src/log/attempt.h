/* log/attempt.h: one append on its way through sequencing (append.c), and whether it had been done before
 * (repeat.c). */
#ifndef LOG_ATTEMPT_H
#define LOG_ATTEMPT_H

#include "prepare.h"

/* What sequencing found: done, refused, or something is missing that must be fetched without the lock. */
enum need { NEED_NOTHING, NEED_HEAD, NEED_QUERY, NEED_ROOM, NEED_BATCH };

struct attempt {
    const cairn_append_request *request;
    struct scratch *scratch;
    struct topic_change *change; /* of the topic that the append defines; NULL: none */
    bool locked;             /* the sequence lock is held already: for the first try */
    bool blocking;
    enum need need;
    struct hash128 head;     /* NEED_HEAD */
    bool warmed;             /* every head that it asks for was looked at once */
    uint64_t checked_end;    /* conditions are known to hold for positions below this */
    uint64_t durable_first;  /* NEED_QUERY: what must be durable before there is anything to learn */
    _Atomic uint32_t *word;  /* NEED_BATCH, NEED_ROOM: changes when it is worth trying again */
    uint32_t word_seen;
    bool index_idle;         /* NEED_ROOM: the index had nothing left to write, so only memory is missing */
    cairn_at at;
    bool taken_back;         /* what it rests upon is not there any more */
    int64_t time_us;         /* when it was placed */
    uint64_t conflict_at;    /* on CONFLICT: index of the write */
};

/* Under the lock: a record that is not durable yet lies in one of the batches in memory. As it is stored. */
bool record_in_flight(struct log *log, uint64_t position, struct record *ret);
/* Under the lock: are these very events, by their ids, at the same place in the same streams already, as far as
 * memory tells? Then attempt->at says where. Exact for what is in flight; of what is durable only the last
 * are known. */
bool repeat_is_recent(struct log *log, struct attempt *attempt);
/* Not under the lock: the append was refused. Is that because it had succeeded before, however long ago? `match`: the
 * event that broke the condition. CAIRN_E_END: it had not; any other error: it cannot be told, so neither can the
 * refusal. */
CAIRN_MUST_CHECK cairn_err repeat_was_refused(struct log *log, struct attempt *attempt,
                                              cairn_err refusal, uint64_t match,
                                              cairn_error *error);

#endif

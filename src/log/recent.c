/* Recent ids: a table that knows the ids of the last events, durable or not, so that a repeated append
 * is recognised while its first try is still on its way to the disk, and for appends that
 * expect nothing of the stream. Best effort by design: a newer id takes the slot of an older one. What is
 * expected at an exact place is recognised from the log itself (append.c), however old.
 *
 * Owned by the sequencer: every call under the log's lock (or while it opens). */
#include "log_int.h"

struct recent {
    cairn_uuid id;
    uint64_t stream_low;
    uint64_t position_plus_1; /* 0: empty */
    uint64_t revision;
};

cairn_err
recent_open(struct log *log, cairn_error *error)
{
    log->recent = calloc(RECENT_SLOTS, sizeof *log->recent);
    return log->recent ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for recent ids");
}

void
recent_close(struct log *log)
{
    free(log->recent);
    log->recent = NULL;
}

void
recent_forget(struct log *log, uint64_t end)
{
    for (size_t i = 0; i < RECENT_SLOTS; i++)
        if (log->recent[i].position_plus_1 > end)
            log->recent[i] = (struct recent){0};
}

static struct recent *
slot_of(const struct log *log, cairn_uuid id)
{
    /* Ids are random at the end (version 7, 4) or throughout (5). */
    return &log->recent[load32(id.bytes + 12) % RECENT_SLOTS];
}

void
recent_put(struct log *log, struct hash128 stream_key, cairn_uuid id, uint64_t position,
           uint64_t revision)
{
    *slot_of(log, id) = (struct recent){id, stream_key.low, position + 1, revision};
}

bool
recent_get(const struct log *log, struct hash128 stream_key, cairn_uuid id, uint64_t *ret_position,
           uint64_t *ret_revision)
{
    const struct recent *slot = slot_of(log, id);
    if (slot->position_plus_1 == 0 || slot->stream_low != stream_key.low
        || memcmp(&slot->id, &id, sizeof id) != 0)
        return false;
    *ret_position = slot->position_plus_1 - 1;
    *ret_revision = slot->revision;
    return true;
}

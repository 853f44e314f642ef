/* Background work: space ahead of the tail, the closing frame of an idle log, sealing, the index.
 *
 * Three threads: the keeper does what is short and regular, the indexer and the sealer what may take seconds. A
 * log opened with no_background has none of them, and does the same by cairn_log_maintain().
 *
 * Why fill: a synced overwrite of written space is 1.4 to 2 times as fast as growing the file, since the file
 * system has no metadata to commit. Filling writes everything twice, and shares the disk with the commits: so most of it
 * is done while nobody appends, and it stops when large batches stream in, where growing is nearly as good. */
#include "log_int.h"
#include <os/thread.h>
#include <os/wait.h>

#define FILL_AHEAD (8u << 20)
#define FILL_IDLE (64u << 20) /* while nobody appends; at most as much as the segment holds */
#define FILL_STEP (1u << 20)
#define FILL_BATCH_MAX (192u << 10) /* average batch above which filling does not pay */
#define KEEPER_TICK_US 100000
#define INDEXER_TICK_US 200000
#define SEALER_TICK_US 500000
#define UNSEALED_MAX 6 /* full segments that may wait for their seal */

/* How far ahead of the tail the file is prepared. Inside an epoch: before we have looked at the active segment it may have
 * become full, sealed, scavenged and freed. */
static uint64_t
filled_ahead(struct log *log)
{
    uint32_t parity = epoch_enter(log);
    uint64_t reserved = atomic_load(&log->reserved_end);
    uint64_t data_end = atomic_load(&log->active->data_end);
    epoch_leave(log, parity);
    return reserved > data_end ? reserved - data_end : 0;
}

static uint64_t
fill_target(const struct log *log)
{
    uint64_t share = log->options.segment_size_bytes / 8;
    return share < FILL_AHEAD ? share : FILL_AHEAD;
}

/* Enough for a burst, in proportion to what the segment has seen. */
static uint64_t
idle_target(struct log *log)
{
    uint64_t least = fill_target(log), most = log->options.segment_size_bytes / 4;
    uint32_t parity = epoch_enter(log);
    uint64_t target = atomic_load(&log->active->data_end);
    epoch_leave(log, parity);
    if (target > most)
        target = most;
    if (target > FILL_IDLE)
        target = FILL_IDLE;
    return target > least ? target : least;
}

/* A hint, taken without a lock. */
bool
keep_wants_fill(struct log *log)
{
    return atomic_load(&log->batch_bytes_recent) < FILL_BATCH_MAX
           && filled_ahead(log) < fill_target(log) / 2
           && atomic_load(&log->reserved_end) < log->options.segment_size_bytes;
}

/* One step under the fill lock, so that a commit that must grow the file waits a millisecond at most. Writes only
 * beyond reserved_end, where no batch has been written; one that is placed there but not yet written
 * comes after us and overwrites the zeros. */
static int
fill_step(struct log *log)
{
    static const uint8_t zeros[FILL_STEP];
    pthread_mutex_lock(&log->fill_lock);
    uint64_t at = atomic_load(&log->reserved_end), limit = log->options.segment_size_bytes;
    uint64_t size = at < limit ? limit - at : 0;
    int fault = 0;
    if (size > FILL_STEP)
        size = FILL_STEP;
    if (size > 0) {
        ssize_t n = os_pwrite(log->os, log->active->file, zeros, size, at);
        fault = n < 0 ? (int)n : os_sync(log->os, log->active->file);
        if (fault == 0)
            atomic_store(&log->reserved_end, at + size);
    }
    pthread_mutex_unlock(&log->fill_lock);
    return fault;
}

/* Until `target` is prepared, or the log is being closed, or appends come that it should not hold up; `idle`: until any
 * come. */
static cairn_err
fill(struct log *log, uint64_t target, bool idle, cairn_error *error)
{
    uint64_t durable = atomic_load(&log->durable);
    while (!atomic_load(&log->failed) && !atomic_load(&log->disk_full) && !atomic_load(&log->stopping)
           && (idle ? atomic_load(&log->durable) == durable : atomic_load(&log->batch_bytes_recent) < FILL_BATCH_MAX)
           && filled_ahead(log) < target
           && atomic_load(&log->reserved_end) < log->options.segment_size_bytes) {
        int fault = fill_step(log);
        if (fault != 0)
            return error_set_errno(error, -fault, "%s: cannot prepare space in its newest segment", log->dir);
    }
    return CAIRN_OK;
}

/* Is the disk so full that what there is should be left to events? */
static bool
is_scarce(struct log *log, uint64_t target)
{
    uint64_t free_bytes;
    return os_free_space(log->os, log->dir, &free_bytes) == 0
           && free_bytes < 4 * log_space_min(log) + target;
}

cairn_err
keep_filled(struct log *log, cairn_error *error)
{
    return is_scarce(log, 0) ? CAIRN_OK : fill(log, fill_target(log), false, error);
}

/* Nobody has appended for a tick. */
static void
fill_when_idle(struct log *log)
{
    uint64_t target = idle_target(log);
    if (!is_scarce(log, 8 * target))
        error_ignore(fill(log, target, true, NULL));
}

/* ---- sealing ----------------------------------------------------------------------------------- */

/* Sealing is two steps. The root takes a hash of every event and depends on nothing outside its segment, so
 * threads may compute those of several segments at once, without a lock. The footer carries the chain, so
 * footers are written oldest first, by whoever holds the lock when the next root is known. */

/* Scavenging may replace a sealed segment at any time, hence the epoch; never one that is not sealed. */
static bool
is_sealed(struct log *log, uint32_t index)
{
    uint32_t parity = epoch_enter(log);
    bool sealed = atomic_load(&atomic_load(&log->slots[index])->sealed);
    epoch_leave(log, parity);
    return sealed;
}

/* The oldest segment whose root nobody has or computes; NULL: none. Under the seal lock. */
static struct segment *
claim_root(struct log *log, bool *ret_more)
{
    struct segment *claimed = NULL;
    uint32_t last = atomic_load(&log->segment_count) - 1; /* the active one */
    *ret_more = false;
    for (uint32_t i = atomic_load(&log->sealed_count); i < last && !*ret_more; i++) {
        if (is_sealed(log, i))
            continue;
        struct segment *segment = atomic_load(&log->slots[i]);
        if (segment->root_state != ROOT_NONE)
            continue;
        *ret_more = claimed != NULL;
        if (claimed == NULL)
            claimed = segment;
    }
    if (claimed != NULL)
        claimed->root_state = ROOT_CLAIMED;
    return claimed;
}

static void
chain_so_far(struct log *log, uint32_t sealed, uint8_t ret_chain[32])
{
    memset(ret_chain, 0, 32);
    if (sealed == 0)
        return;
    uint32_t parity = epoch_enter(log);
    memcpy(ret_chain, atomic_load(&log->slots[sealed - 1])->chain, 32);
    epoch_leave(log, parity);
}

static cairn_err
write_footers(struct log *log, cairn_error *error)
{
    uint32_t last = atomic_load(&log->segment_count) - 1;
    cairn_err err = CAIRN_OK;
    for (uint32_t i = atomic_load(&log->sealed_count); err == CAIRN_OK && i < last; i++) {
        if (!is_sealed(log, i)) {
            struct segment *segment = atomic_load(&log->slots[i]);
            if (segment->root_state != ROOT_KNOWN)
                break;
            uint8_t before[32];
            chain_so_far(log, i, before);
            err = segment_seal(log, segment, before, error);
        }
        if (err == CAIRN_OK)
            atomic_store(&log->sealed_count, i + 1);
    }
    return err;
}

cairn_err
keep_seal(struct log *log, bool *ret_more, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    pthread_mutex_lock(&log->seal_lock);
    struct segment *segment = claim_root(log, ret_more);
    if (segment != NULL) {
        pthread_mutex_unlock(&log->seal_lock);
        err = merkle_segment_root(log, segment, atomic_load(&segment->count), segment->root, error);
        pthread_mutex_lock(&log->seal_lock);
        segment->root_state = err == CAIRN_OK ? ROOT_KNOWN : ROOT_NONE;
    }
    if (err == CAIRN_OK)
        err = write_footers(log, error);
    pthread_mutex_unlock(&log->seal_lock);
    return err;
}

static uint32_t
unsealed_count(struct log *log)
{
    return atomic_load(&log->segment_count) - 1 - atomic_load(&log->sealed_count);
}

/* ---- the index and the threads ------------------------------------------------------------- */

cairn_err
keep_index(struct log *log, bool *ret_more, cairn_error *error)
{
    cairn_error found = {0};
    pthread_mutex_lock(&log->maintain_lock);
    cairn_err err = cairn_series_maintain(log->series, atomic_load(&log->durable), ret_more, &found);
    pthread_mutex_unlock(&log->maintain_lock);
    wake(&log->room_word);
    return err == CAIRN_OK && !atomic_load(&log->index_damaged)
               ? CAIRN_OK
               : log_mend_index(log, err, &found, error);
}

/* An idle log says that its newest append is durable, so that damage to it is told from a torn tail; and it prepares for
 * the next burst. */
static void
use_idle_time(struct log *log, uint64_t *last_end)
{
    uint64_t end = atomic_load(&log->durable);
    if (end == *last_end && !atomic_load(&log->failed)) {
        error_ignore(log_write_closing_frame(log, NULL));
        fill_when_idle(log);
    }
    *last_end = end;
}

/* What asynchronous appends have gathered goes to the kernel while the batch before is synced. */
static void
keep_written_ahead(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    while (write_ahead_pays(log))
        write_ahead(log);
    pthread_mutex_unlock(&log->lock);
}

void *
keeper_main(void *context)
{
    struct log *log = context;
    uint64_t last_end = UINT64_MAX;
    int64_t next_tick_us = 0;
    while (!atomic_load(&log->stopping)) {
        uint32_t seen = atomic_load(&log->keeper_word);
        keep_written_ahead(log);
        error_ignore(keep_filled(log, NULL)); /* a full disk shows itself in the next append */
        int64_t now_us = os_monotonic_us(log->os);
        if (now_us >= next_tick_us) {
            use_idle_time(log, &last_end);
            error_ignore(log_check_space(log, NULL));
            next_tick_us = now_us + KEEPER_TICK_US;
        }
        os_wait(&log->keeper_word, seen, KEEPER_TICK_US);
    }
    return NULL;
}

void *
indexer_main(void *context)
{
    struct log *log = context;
    while (!atomic_load(&log->stopping)) {
        uint32_t seen = atomic_load(&log->indexer_word);
        bool more = false, more_segments;
        cairn_err err = keep_index(log, &more, NULL);
        if (!more && unsealed_count(log) > UNSEALED_MAX)
            error_ignore(keep_seal(log, &more_segments, NULL));
        if (err != CAIRN_OK || !more)
            os_wait(&log->indexer_word, seen, INDEXER_TICK_US);
    }
    return NULL;
}

/* Hashing a segment takes half as long as writing it at full speed, and nobody waits for it: it takes the
 * processor time that is left over. Opening after a crash scans what is not sealed, so when too
 * much is, the indexer lends a hand at its own priority. */
void *
sealer_main(void *context)
{
    struct log *log = context;
    os_lower_priority();
    while (!atomic_load(&log->stopping)) {
        uint32_t seen = atomic_load(&log->sealer_word);
        bool more;
        if (keep_seal(log, &more, NULL) != CAIRN_OK || !more)
            os_wait(&log->sealer_word, seen, SEALER_TICK_US);
    }
    return NULL;
}

cairn_err
cairn_log_maintain(struct log *log, cairn_error *error)
{
    if (log->options.read_only)
        return CAIRN_OK;
    bool more = true;
    cairn_err err = keep_filled(log, error);
    while (err == CAIRN_OK && more)
        err = keep_index(log, &more, error);
    more = true;
    while (err == CAIRN_OK && more)
        err = keep_seal(log, &more, error);
    return err;
}

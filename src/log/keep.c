/* Background work: space ahead of the tail, the closing frame of an idle log, sealing, the index.
 *
 * Two threads: the keeper does what is short and regular, the indexer what may take seconds. A log
 * opened with no_background has neither, and does the same by cairn_log_maintain().
 *
 * Why fill: a synced overwrite of written space is 1.4 to 2 times as fast as growing the file, since the file
 * system has no metadata to commit. Filling writes everything twice, so it stops when large batches
 * stream in, where growing is nearly as good. */
#include "log_int.h"
#include <os/wait.h>

#define FILL_AHEAD (8u << 20)
#define FILL_STEP (1u << 20)
#define FILL_BATCH_MAX (192u << 10) /* average batch above which filling does not pay */
#define KEEPER_TICK_US 100000
#define INDEXER_TICK_US 200000

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

cairn_err
keep_filled(struct log *log, cairn_error *error)
{
    uint64_t free_bytes;
    if (os_free_space(log->os, log->dir, &free_bytes) == 0
        && free_bytes < 4 * log_space_min(log))
        return CAIRN_OK; /* the disk is nearly full: leave what there is to events */
    while (!atomic_load(&log->failed) && !atomic_load(&log->disk_full)
           && atomic_load(&log->batch_bytes_recent) < FILL_BATCH_MAX
           && filled_ahead(log) < fill_target(log)
           && atomic_load(&log->reserved_end) < log->options.segment_size_bytes) {
        int fault = fill_step(log);
        if (fault != 0)
            return error_set_errno(error, -fault, "%s: cannot prepare space in its newest segment", log->dir);
    }
    return CAIRN_OK;
}

cairn_err
keep_seal(struct log *log, bool *ret_more, cairn_error *error)
{
    uint8_t before[32] = {0};
    struct segment *segment = NULL;
    *ret_more = false;
    pthread_mutex_lock(&log->maintain_lock);
    uint32_t parity = epoch_enter(log); /* scavenging may replace those that are sealed */
    uint32_t count = atomic_load(&log->segment_count);
    for (uint32_t i = 0; i + 1 < count && segment == NULL; i++) { /* the last one is the active one */
        struct segment *next = atomic_load(&log->slots[i]);
        if (!atomic_load(&next->sealed)) {
            segment = next;
            *ret_more = i + 2 < count;
        } else {
            memcpy(before, next->chain, sizeof before);
        }
    }
    epoch_leave(log, parity);
    cairn_err err = segment != NULL ? segment_seal(log, segment, before, error) : CAIRN_OK;
    pthread_mutex_unlock(&log->maintain_lock);
    return err;
}

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

/* An idle log says that its newest append is durable, so that damage to it is told from a torn tail. */
static void
close_when_idle(struct log *log, uint64_t *last_end)
{
    uint64_t end = atomic_load(&log->durable);
    if (end == *last_end && !atomic_load(&log->failed))
        error_ignore(log_write_closing_frame(log, NULL));
    *last_end = end;
}

void *
keeper_main(void *context)
{
    struct log *log = context;
    uint64_t last_end = UINT64_MAX;
    int64_t next_tick_us = 0;
    while (!atomic_load(&log->stopping)) {
        uint32_t seen = atomic_load(&log->keeper_word);
        error_ignore(keep_filled(log, NULL)); /* a full disk shows itself in the next append */
        int64_t now_us = os_monotonic_us(log->os);
        if (now_us >= next_tick_us) {
            close_when_idle(log, &last_end);
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
        bool more_segments = false, more_index = false;
        cairn_err err = keep_index(log, &more_index, NULL);
        if (!more_index && err == CAIRN_OK)
            err = keep_seal(log, &more_segments, NULL);
        if (err != CAIRN_OK || !(more_segments || more_index))
            os_wait(&log->indexer_word, seen, INDEXER_TICK_US);
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

/* Group commit: one write and one sync for everybody who is waiting.
 *
 *   open batch:  callers place their frames in it, under the lock
 *      │  somebody swaps it out (commit_open_batch), then without the lock: write, sync
 *      ▼
 *   durable:     moved up after the sync; everybody in the batch is told
 *
 * There are two batches: while one is being written the other fills. Who commits? A blocking caller
 * who finds nobody at it does it himself: then one client's append costs no thread switch at all. When he finds
 * that more has come meanwhile, or when only asynchronous appends are waiting, the committer thread takes
 * over and goes on for as long as there is work.
 *
 * Large appends gather faster than a sync takes, and handing them to the kernel takes time too. So a caller who would
 * only wait while the other batch is synced hands over what the open one holds (write_ahead), and the keeper does it for
 * those who do not wait; when its turn comes, little is left to write before its sync.
 *
 * The order is the whole point: `durable` moves only after the sync, because readers and waiting callers take it
 * as a promise. After a failed sync the kernel may have dropped the dirty pages, so trying again proves
 * nothing: the log stays failed until recovery has read the disk. A full disk is different: it shows
 * itself in the write, before any sync, and what was written can be taken back (rewind). */
#include "topics.h"
#include <errno.h>
#include <os/wait.h>

#define BATCH_FIRST_CAPACITY (256u << 10)
#define BATCH_KEEP_CAPACITY (32u << 20)
#define WRITE_AHEAD_MIN (64u << 10)
#define WRITE_AHEAD_ASYNC_MIN (1u << 20) /* worth waking the keeper */

void
wake(_Atomic uint32_t *word)
{
    atomic_fetch_add(word, 1);
    os_wake(word, INT32_MAX);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Memory that is being written ahead stays where it is, until that is over. */
static bool
grow_batch(struct batch *batch, size_t size)
{
    size_t capacity = batch->capacity ? batch->capacity : BATCH_FIRST_CAPACITY;
    while (capacity < size)
        capacity *= 2;
    bool keep = batch->writing_ahead && batch->retired_bytes == NULL;
    uint8_t *bytes = realloc(keep ? NULL : batch->bytes, capacity);
    if (bytes == NULL)
        return false;
    if (keep) {
        memcpy(bytes, batch->bytes, batch->size);
        batch->retired_bytes = batch->bytes;
    }
    batch->bytes = bytes;
    batch->capacity = capacity;
    return true;
}

uint8_t *
batch_reserve(struct log *log, size_t size)
{
    struct batch *batch = log->open;
    if (batch->size + size > batch->capacity && !grow_batch(batch, batch->size + size))
        return NULL;
    if (batch->size == 0) {
        batch->segment = log->active;
        batch->offset = log->tail;
    }
    assert(batch->segment == log->active && batch->offset + batch->size == log->tail);
    return batch->bytes + batch->size;
}

bool
batch_make_room(struct log *log)
{
    struct batch *batch = log->open;
    if (batch->waiter_count < batch->waiter_capacity)
        return true;
    size_t capacity = batch->waiter_capacity ? batch->waiter_capacity * 2 : 64;
    struct waiter *waiters = realloc(batch->waiters, capacity * sizeof *waiters);
    if (waiters == NULL)
        return false;
    batch->waiters = waiters;
    batch->waiter_capacity = capacity;
    return true;
}

void
batch_wait(struct log *log, const struct waiter *waiter)
{
    struct batch *batch = log->open;
    assert(batch->waiter_count < batch->waiter_capacity);
    batch->waiters[batch->waiter_count++] = *waiter;
}

/* What became of a batch, taken off it so that it can fill again while its callers are told. */
struct outcome {
    struct waiter *waiters;
    size_t count;
    _Atomic uint32_t *word;
    cairn_err err;
    cairn_error error;
};

static struct outcome
take_waiters(struct batch *batch, cairn_err err, const cairn_error *error)
{
    assert(!batch->writing_ahead);
    struct outcome outcome = {.waiters = batch->waiters, .count = batch->waiter_count,
                              .word = &batch->word, .err = err};
    if (err != CAIRN_OK)
        outcome.error = *error;
    batch->waiters = NULL;
    batch->waiter_count = batch->waiter_capacity = 0;
    if (batch->capacity > BATCH_KEEP_CAPACITY) {
        free(batch->bytes);
        batch->bytes = NULL;
        batch->capacity = 0;
    }
    batch->size = batch->ahead_end = 0;
    batch->events = batch->appends = 0;
    batch->closing = false;
    return outcome;
}

/* Without the lock. A blocking caller's memory may be gone as soon as its state is set. */
static void
tell(struct log *log, struct outcome *outcome)
{
    uint64_t asynchronous = 0;
    for (size_t i = 0; i < outcome->count; i++) {
        struct waiter *waiter = &outcome->waiters[i];
        if (waiter->state != NULL) {
            *waiter->ret_err = outcome->err;
            if (outcome->err != CAIRN_OK && waiter->error != NULL)
                *waiter->error = outcome->error;
            atomic_store_explicit(waiter->state, 1, memory_order_release);
        }
    }
    wake(outcome->word);
    for (size_t i = 0; i < outcome->count; i++) {
        struct waiter *waiter = &outcome->waiters[i];
        if (waiter->done == NULL)
            continue;
        cairn_err err = outcome->err != CAIRN_OK ? outcome->err : waiter->err;
        waiter->done(waiter->context, err, &waiter->at,
                     outcome->err != CAIRN_OK ? &outcome->error : waiter->error);
        free(waiter->error);
        asynchronous++;
    }
    free(outcome->waiters);
    atomic_fetch_sub(&log->stats.waiting, asynchronous);
}

static void
notify(struct log *log)
{
    if (atomic_load(&log->followers) > 0)
        wake(&log->follow_word);
    pthread_mutex_lock(&log->notify_lock);
    for (size_t i = 0; i < log->listener_count; i++)
        log->listeners[i].notify(log->listeners[i].context, atomic_load(&log->durable));
    pthread_mutex_unlock(&log->notify_lock);
}

/* ---- one commit ---------------------------------------------------------------------------- */

/* What lies before reserved_end is not the filler's: it must not write its zeros over it. */
static void
reserve(struct log *log, uint64_t end)
{
    if (end <= atomic_load(&log->reserved_end))
        return;
    pthread_mutex_lock(&log->fill_lock);
    if (end > atomic_load(&log->reserved_end))
        atomic_store(&log->reserved_end, end);
    pthread_mutex_unlock(&log->fill_lock);
}

static int
write_part(struct log *log, const struct batch *batch, const uint8_t *bytes, size_t from, size_t end)
{
    reserve(log, batch->offset + end);
    ssize_t n = from < end ? os_pwrite(log->os, batch->segment->file, bytes + from, end - from,
                                       batch->offset + from)
                           : 0;
    return n < 0 ? (int)n : 0;
}

/* The first header is left for the end: it says what is durable when the batch's turn has come. */
static size_t
ahead_from(const struct batch *batch)
{
    return batch->ahead_end ? batch->ahead_end : FRAME_HEADER_SIZE;
}

bool
write_ahead_pays(const struct log *log)
{
    const struct batch *batch = log->open;
    return log->committing && !batch->writing_ahead && batch->size >= ahead_from(batch) + WRITE_AHEAD_ASYNC_MIN;
}

void
write_ahead(struct log *log)
{
    struct batch *batch = log->open;
    size_t from = ahead_from(batch), end = batch->size;
    if (!log->committing || batch->writing_ahead || end < from + WRITE_AHEAD_MIN)
        return;
    const uint8_t *bytes = batch->bytes;
    batch->writing_ahead = true;
    pthread_mutex_unlock(&log->lock);
    int fault = write_part(log, batch, bytes, from, end);
    pthread_mutex_lock(&log->lock);
    batch->writing_ahead = false;
    free(batch->retired_bytes);
    batch->retired_bytes = NULL;
    if (fault == 0) /* otherwise it is written again in its turn, and fails there */
        batch->ahead_end = end;
    pthread_cond_broadcast(&log->idle);
}

static int
write_batch(struct log *log, const struct batch *batch)
{
    /* When its frames were placed the batch before may have been under way: now everything before is durable, and
     * its first frame says so. Then damage to any batch but the newest is never taken for a torn tail. */
    frame_vouch(batch->bytes, batch->segment->seed, atomic_load(&log->durable));
    size_t ahead_end = batch->ahead_end;
    if (ahead_end == 0)
        return write_part(log, batch, batch->bytes, 0, batch->size);
    int fault = write_part(log, batch, batch->bytes, 0, FRAME_HEADER_SIZE);
    return fault != 0 ? fault : write_part(log, batch, batch->bytes, ahead_end, batch->size);
}

static int
sync_batch(struct log *log, const struct batch *batch)
{
    int64_t begin = os_monotonic_us(log->os);
    int fault = os_sync(log->os, batch->segment->file);
    uint64_t took = (uint64_t)(os_monotonic_us(log->os) - begin);
    atomic_fetch_add(&log->stats.sync_us, took);
    if (took > atomic_load(&log->stats.sync_us_max))
        atomic_store(&log->stats.sync_us_max, took);
    /* A sync that says "no space" is as final as any other: pages may be lost. */
    return fault == -ENOSPC || fault == -EDQUOT ? -EIO : fault;
}

static void
wait_for_write_ahead(struct log *log, const struct batch *batch)
{
    while (batch->writing_ahead)
        pthread_cond_wait(&log->idle, &log->lock);
}

static void
fail_log(struct log *log, int fault, const struct batch *batch)
{
    if (atomic_load(&log->failed))
        return;
    log->failure.code = CAIRN_E_IO;
    (void)error_set_errno(&log->failure, -fault, "%s: writing failed; the log takes no more writes "
                          "until it is reopened", batch->segment->path);
    log->failure.code = CAIRN_E_IO;
    atomic_store(&log->failed, true);
    wake(&log->follow_word);
}

/* The disk is full. Nothing of what is in memory and not durable has been acknowledged: take it all
 * back, index entries included, and wipe what the failed write may have left, or recovery might one
 * day take it for ours. */
static void
rewind_log(struct log *log, struct batch *batch)
{
    struct segment *segment = batch->segment;
    uint64_t durable = atomic_load(&log->durable), tail = atomic_load(&segment->data_end);
    pthread_mutex_lock(&log->fill_lock);
    int fault = os_truncate(log->os, segment->file, tail);
    if (fault == 0)
        fault = os_sync(log->os, segment->file);
    if (fault == 0)
        atomic_store(&log->reserved_end, tail);
    pthread_mutex_unlock(&log->fill_lock);
    if (fault != 0) {
        fail_log(log, fault, batch);
        return;
    }
    atomic_store(&segment->count, durable - segment->first_position);
    log->next_position = durable;
    log->last_plain_end = durable;
    log->tail = tail;
    log->vouched = false;
    log->take_backs++;
    recent_forget(log, durable);
    retention_forget(log);
    topics_forget(log);
    if (cairn_series_forget(log->series, durable) != CAIRN_OK)
        fail_log(log, -EIO, batch);
}

static void
publish(struct log *log, struct batch *batch)
{
    if (batch->size > 0) {
        atomic_store_explicit(&batch->segment->data_end, batch->offset + batch->size,
                              memory_order_release);
        log->vouched = batch->closing;
    }
    retention_settle(log, batch->end_position); /* before anybody can be told that it is set */
    topics_settle(log, batch->end_position);
    atomic_store_explicit(&log->durable, batch->end_position, memory_order_release);
    atomic_fetch_add(&log->stats.appends, batch->appends);
    atomic_fetch_add(&log->stats.events, batch->events);
    if (batch->size > 0) {
        atomic_fetch_add(&log->stats.batches, 1);
        atomic_fetch_add(&log->stats.batch_bytes, batch->size);
        uint32_t recent = atomic_load(&log->batch_bytes_recent);
        uint32_t size = batch->size > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)batch->size;
        atomic_store(&log->batch_bytes_recent, recent - recent / 16 + size / 16);
    }
}

/* Drops the lock while it writes, and again while it tells. */
static void
commit_open_batch(struct log *log)
{
    assert(!log->committing);
    struct batch *batch = log->open;
    struct outcome outcome, spilled = {0};
    bool had_events = batch->events > 0;
    cairn_error error = {0};

    log->committing = true;
    log->open = batch == &log->batches[0] ? &log->batches[1] : &log->batches[0];
    batch->end_position = log->next_position;
    wait_for_write_ahead(log, batch);
    int fault = 0;
    if (atomic_load(&log->failed)) {
        fault = -EIO;
    } else if (batch->size > 0) {
        pthread_mutex_unlock(&log->lock);
        fault = write_batch(log, batch);
        if (fault == 0)
            fault = sync_batch(log, batch);
        pthread_mutex_lock(&log->lock);
    }

    if (fault == 0) {
        publish(log, batch);
        outcome = take_waiters(batch, CAIRN_OK, NULL);
    } else {
        wait_for_write_ahead(log, log->open);
        if (fault == -ENOSPC || fault == -EDQUOT) {
            log->failure.code = error_set_errno(&log->failure, -fault, "%s: cannot write",
                                                batch->segment->path);
            atomic_store(&log->disk_full, true);
            rewind_log(log, batch);
        } else {
            fail_log(log, fault, batch);
        }
        error = log->failure;
        outcome = take_waiters(batch, error.code, &error);
        spilled = take_waiters(log->open, error.code, &error);
    }
    log->committing = false;
    pthread_cond_broadcast(&log->idle);
    pthread_mutex_unlock(&log->lock);

    tell(log, &outcome);
    if (spilled.word != NULL)
        tell(log, &spilled);
    if (fault == 0 && had_events)
        notify(log);
    if (log->threads_started && keep_wants_fill(log))
        wake(&log->keeper_word);
    pthread_mutex_lock(&log->lock);
}

/* One batch further, by us or by who is at it. */
static void
commit_step(struct log *log)
{
    if (log->committing)
        pthread_cond_wait(&log->idle, &log->lock);
    else
        commit_open_batch(log);
}

static bool
is_drained(const struct log *log)
{
    return !log->committing && batch_is_empty(log->open);
}

void
commit_until(struct log *log, uint64_t end)
{
    while (atomic_load(&log->durable) < end && !is_drained(log))
        commit_step(log);
}

void
commit_drain(struct log *log)
{
    while (!is_drained(log))
        commit_step(log);
}

bool
commit_drain_segment(struct log *log, const struct segment *segment)
{
    while (log->active == segment && !is_drained(log))
        commit_step(log);
    return log->active == segment;
}

void
commit_and_unlock(struct log *log)
{
    commit_open_batch(log);
    bool more = !batch_is_empty(log->open) && !log->committing;
    if (more && !log->threads_started)
        commit_drain(log);
    pthread_mutex_unlock(&log->lock);
    if (more && log->threads_started)
        wake(&log->commit_word);
}

void *
committer_main(void *context)
{
    struct log *log = context;
    for (;;) {
        uint32_t seen = atomic_load(&log->commit_word);
        pthread_mutex_lock(&log->lock);
        while (!log->committing && !batch_is_empty(log->open))
            commit_open_batch(log);
        pthread_mutex_unlock(&log->lock);
        if (atomic_load(&log->stopping))
            return NULL;
        os_wait(&log->commit_word, seen, UINT64_MAX);
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

cairn_err
log_failure(struct log *log, cairn_error *error)
{
    if (error != NULL)
        *error = log->failure;
    return log->failure.code;
}

void
log_is_full(struct log *log, const cairn_error *why)
{
    pthread_mutex_lock(&log->lock);
    if (!atomic_load(&log->failed))
        log->failure = *why;
    atomic_store(&log->disk_full, true);
    pthread_mutex_unlock(&log->lock);
}

cairn_err
log_check_space(struct log *log, cairn_error *error)
{
    uint64_t bytes;
    int fault = os_free_space(log->os, log->dir, &bytes);
    if (fault == 0 && bytes < log_space_min(log)) {
        cairn_error full = {0};
        (void)error_set(&full, CAIRN_E_NOSPACE,
                        "%s: the disk has %llu bytes free; at least %llu are needed to write",
                        log->dir, (unsigned long long)bytes, (unsigned long long)log_space_min(log));
        log_is_full(log, &full);
        if (error != NULL)
            *error = full;
        return CAIRN_E_NOSPACE;
    }
    if (fault == 0)
        atomic_store(&log->disk_full, false);
    return CAIRN_OK;
}

cairn_err
log_write_closing_frame(struct log *log, cairn_error *error)
{
    pthread_mutex_lock(&log->lock);
    bool idle = !log->committing && batch_is_empty(log->open);
    cairn_err err = CAIRN_OK;
    bool fits = log->tail + FRAME_HEADER_SIZE <= log->options.segment_size_bytes;
    if (atomic_load(&log->failed)) {
        err = log_failure(log, error);
    } else if (idle && !log->vouched && fits && !atomic_load(&log->disk_full)) {
        uint8_t *at = batch_reserve(log, FRAME_HEADER_SIZE);
        if (at == NULL) {
            err = error_set(error, CAIRN_E_NOMEM, "no memory to write");
        } else {
            struct frame frame = {FRAME_HEADER_SIZE, 0, log->next_position, log->next_position,
                                  log->last_time_us};
            frame_place(at, log->active->seed, &frame, 0);
            log->open->size += FRAME_HEADER_SIZE;
            log->open->closing = true;
            log->tail += FRAME_HEADER_SIZE;
            commit_and_unlock(log);
            pthread_mutex_lock(&log->lock);
            if (atomic_load(&log->failed) || atomic_load(&log->disk_full))
                err = log_failure(log, error);
        }
    }
    pthread_mutex_unlock(&log->lock);
    return err;
}

/* Reindex: compute the series index again from the log.
 *
 *   build     in the folder index.new, up to where the log ends by then; appends and reads go on
 *   catch up  what came meanwhile, with appends waiting
 *   swap      index becomes index.old, index.new becomes index, and the new one is what everybody uses
 *
 * Readers that are in the old index finish there: it stays open until the log is closed, though its files have lost their
 * names. It goes on to know its folder by the new name, so what it removes is never a file of the new one. A crash
 * leaves the old index, none, or the new one: opening computes what is missing.
 *
 * It is done on demand, and once by itself when a run turns out to be damaged (log_mend_index). */
#include "topics.h"
#include <errno.h>

#define LOOK_UP_EVERY 4096    /* events, to see to other things */
#define PROGRESS_EVERY 65536  /* a multiple of it */
#define BUILD_ROUNDS 3        /* each leaves less for the others to wait for */

struct reindex {
    struct log *log;
    struct series *series; /* the new one */
    uint64_t next;         /* what is below is in it, or in `fill` */
    struct block *block;
    struct index_fill fill;
    struct topics *topics; /* as of `next` */
    cairn_progress progress;
    void *context;
    bool mending;          /* we are the indexer: nobody else maintains the old index meanwhile */
};

static cairn_err
enter_event(struct reindex *work, cairn_error *error)
{
    struct record record;
    struct log_entry entries[LOG_KEYS_MAX];
    cairn_err err = log_read_record(work->log, work->block, work->next, BLOCK_SCAN, &record, error);
    if (err != CAIRN_OK)
        return err;
    size_t n = record_entries(work->log, &record, entries);
    err = topics_entry(work->log, work->topics, work->series, &record, entries, &n, error);
    if (err == CAIRN_OK && record.kind == RECORD_EVENT && is_topic_stream(record.stream))
        err = topics_apply(work->log, work->topics, &record, error);
    if (err == CAIRN_OK)
        err = index_fill_add(&work->fill, work->next, entries, n, error);
    if (err == CAIRN_OK && record_ends(&record))
        err = index_fill_flush(&work->fill, error);
    if (err != CAIRN_OK)
        return err;
    work->next++;
    return CAIRN_OK;
}

static cairn_err
look_up(struct reindex *work, uint64_t end, cairn_error *error)
{
    struct log *log = work->log;
    bool more;
    if (atomic_load(&log->stopping))
        return error_set(error, CAIRN_E_CLOSED, "the store is closing");
    if (work->mending)
        error_ignore(keep_index(log, &more, NULL));
    if (work->next % PROGRESS_EVERY == 0 && work->progress != NULL
        && !work->progress(work->context, work->next, end, "events"))
        return error_set(error, CAIRN_E_CLOSED, "reindexing was stopped");
    return CAIRN_OK;
}

/* Nearly all of it, without any lock. */
static cairn_err
build(struct reindex *work, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    for (int round = 0; err == CAIRN_OK && round < BUILD_ROUNDS; round++) {
        uint64_t end = cairn_log_end(work->log);
        while (err == CAIRN_OK && work->next < end) {
            if (work->next % LOOK_UP_EVERY == 0)
                err = look_up(work, end, error);
            if (err == CAIRN_OK)
                err = enter_event(work, error);
        }
        if (err == CAIRN_OK)
            err = cairn_series_flush(work->series, work->next, error);
    }
    return err;
}

/* Give the folders their new names. *ret_fault 0: done, and durable. False: nothing has changed, except that the old
 * index may be in `old` when it could not be put back. */
static bool
swap_folders(struct log *log, const char *dir, const char *fresh, const char *old, int *ret_fault)
{
    int fault = os_rename(log->os, dir, old);
    *ret_fault = fault == -ENOENT ? 0 : fault;
    if (*ret_fault != 0)
        return false;
    *ret_fault = os_rename(log->os, fresh, dir);
    if (*ret_fault == 0) {
        *ret_fault = os_sync_dir(log->os, log->dir);
        return true;
    }
    if (fault == 0 && os_rename(log->os, old, dir) != 0)
        cairn_series_moved(log->series, old); /* it goes on there; opening will find no index, and compute one */
    return false;
}

/* Under the locks of sequencer and maintainer, with nothing waiting to be committed: everything is in the new index
 * that is in the log. */
static cairn_err
take_over(struct reindex *work, const char *fresh, cairn_error *error)
{
    struct log *log = work->log;
    char dir[LOG_PATH_MAX], old[LOG_PATH_MAX];
    int fault;
    snprintf(dir, sizeof dir, "%.*s/index", LOG_PATH_MAX - 16, log->dir);
    snprintf(old, sizeof old, "%.*s/index.old", LOG_PATH_MAX - 16, log->dir);
    cairn_err err = cairn_series_destroy(log->os, old, error); /* what an earlier one could not remove */
    if (err != CAIRN_OK)
        return err;
    if (swap_folders(log, dir, fresh, old, &fault)) {
        struct series *retired = log->series;
        cairn_series_moved(retired, old);
        cairn_series_moved(work->series, dir);
        log->series = work->series;
        work->series = NULL;
        log->retired_series[log->retired_count++] = retired;
        log->index_failure = (cairn_error){0};
        atomic_store(&log->index_damaged, false);
        if (fault == 0) /* otherwise the old names may come back, and must then find the files */
            error_ignore(cairn_series_destroy(log->os, old, NULL));
    }
    return fault == 0 ? CAIRN_OK
                      : error_set_errno(error, -fault, "%s: cannot put the new index in place", dir);
}

static cairn_err
catch_up_and_take_over(struct reindex *work, const char *fresh, cairn_error *error)
{
    struct log *log = work->log;
    cairn_err err = CAIRN_OK;
    pthread_mutex_lock(&log->lock);
    commit_drain(log);
    pthread_mutex_lock(&log->maintain_lock);
    if (atomic_load(&log->failed))
        err = log_failure(log, error);
    while (err == CAIRN_OK && work->next < log->next_position)
        err = enter_event(work, error);
    if (err == CAIRN_OK)
        err = take_over(work, fresh, error);
    pthread_mutex_unlock(&log->maintain_lock);
    pthread_mutex_unlock(&log->lock);
    return err;
}

/* Under the admin lock. */
static cairn_err
reindex(struct reindex *work, cairn_error *error)
{
    struct log *log = work->log;
    char fresh[LOG_PATH_MAX];
    snprintf(fresh, sizeof fresh, "%.*s/index.new", LOG_PATH_MAX - 16, log->dir);
    struct series_options options = {.memory_events = log->options.index_memory_events,
                                     .head_cache_entries = log->options.head_cache_entries};
    if (log->retired_count == LOG_RETIRED_MAX)
        return error_set(error, CAIRN_E_BUSY,
                         "the index was computed again %d times since the store was opened; close it "
                         "before doing so once more", LOG_RETIRED_MAX);
    if (atomic_load(&log->failed))
        return log_failure(log, error);
    cairn_err err = cairn_series_destroy(log->os, fresh, error);
    if (err != CAIRN_OK)
        return err;
    if ((work->block = block_new()) == NULL || (work->topics = topics_new()) == NULL) {
        block_free(work->block);
        return error_set(error, CAIRN_E_NOMEM, "no memory to reindex");
    }
    block_only_names(work->block);
    err = cairn_series_open(log->os, fresh, &options, &work->series, error);
    index_fill_begin(&work->fill, log, work->series);
    if (err == CAIRN_OK)
        err = build(work, error);
    if (err == CAIRN_OK)
        err = catch_up_and_take_over(work, fresh, error);
    index_fill_end(&work->fill);
    block_free(work->block);
    topics_free(work->topics);
    if (err != CAIRN_OK && work->series != NULL) {
        cairn_series_close(work->series);
        error_ignore(cairn_series_destroy(log->os, fresh, NULL));
    }
    return err;
}

cairn_err
cairn_log_reindex(struct log *log, cairn_progress progress, void *context, cairn_error *error)
{
    if (log->options.read_only)
        return error_set(error, CAIRN_E_READONLY, "the store was opened for reading only");
    struct reindex work = {.log = log, .progress = progress, .context = context};
    log_admin_begin(log);
    cairn_err err = reindex(&work, error);
    log_admin_end(log);
    return err;
}

/* ---- by itself ------------------------------------------------------------------------------- */

void
log_index_is_damaged(struct log *log, const cairn_error *found)
{
    atomic_fetch_add(&log->stats.index_faults, 1);
    pthread_mutex_lock(&log->lock);
    log->index_failure = *found;
    pthread_mutex_unlock(&log->lock);
    atomic_store(&log->index_damaged, true);
}

/* Under the admin lock. Twice is no accident of the past: the disk, or the memory, is at work on it. */
static cairn_err
mend(struct log *log, cairn_error *error)
{
    struct reindex work = {.log = log, .mending = true};
    cairn_error why = {0};
    atomic_store(&log->index_damaged, false);
    cairn_err err = log->index_mended
                        ? error_set(&why, CAIRN_E_CORRUPT, "it was computed again once already")
                        : reindex(&work, &why);
    log->index_mended = true;
    if (err == CAIRN_OK)
        return CAIRN_OK;
    pthread_mutex_lock(&log->lock);
    (void)error_set(&log->index_failure, CAIRN_E_CORRUPT, "%s; the index is not computed again: %s",
                    log->index_failure.detail, why.detail);
    if (error != NULL)
        *error = log->index_failure;
    pthread_mutex_unlock(&log->lock);
    return CAIRN_E_CORRUPT;
}

cairn_err
log_mend_index(struct log *log, cairn_err err, const cairn_error *found, cairn_error *error)
{
    if (err == CAIRN_E_CORRUPT) {
        log_index_is_damaged(log, found);
    } else if (err != CAIRN_OK) {
        if (error != NULL)
            *error = *found;
        return err;
    }
    err = CAIRN_OK;
    if (pthread_mutex_trylock(&log->admin_lock) != 0)
        return err; /* after the verify, backup … that is at work */
    if (atomic_load(&log->index_damaged))
        err = mend(log, error);
    log_admin_end(log);
    return err;
}

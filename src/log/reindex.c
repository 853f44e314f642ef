/* Reindex: compute the series index again from the log.
 *
 * Appends wait while it runs; readers go on in the old index, whose files stay open until the log is
 * closed. A crash in between leaves no index or the new one: opening computes what is missing. */
#include "log_int.h"

struct reindex {
    struct log *log;
    cairn_progress progress;
    void *context;
};

static cairn_err
fill_index(struct reindex *work, struct series *series, uint64_t end, cairn_error *error)
{
    struct log *log = work->log;
    struct block *block = block_new();
    if (block == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to reindex");
    cairn_err err = CAIRN_OK;
    for (uint64_t position = 0; err == CAIRN_OK && position < end; position++) {
        struct record record;
        struct log_entry entries[LOG_KEYS_MAX];
        err = log_read_record(log, block, position, BLOCK_SCAN, &record, error);
        if (err == CAIRN_OK)
            err = index_make_room(log, series, position, error);
        if (err != CAIRN_OK)
            break;
        size_t n = record_entries(log, &record, entries);
        for (size_t i = 0; i < n; i++)
            cairn_series_insert(series, entries[i].key, entries[i].ordinal, position);
        if (position % 65536 == 0 && work->progress != NULL
            && !work->progress(work->context, position, end, "events"))
            err = error_set(error, CAIRN_E_CLOSED, "reindexing was stopped");
    }
    block_free(block);
    return err == CAIRN_OK ? cairn_series_flush(series, end, error) : err;
}

/* A complete index in the folder `dir`, closed. */
static cairn_err
build_index(struct reindex *work, const char *dir, const struct series_options *options,
            cairn_error *error)
{
    struct log *log = work->log;
    struct series *series;
    cairn_err err = cairn_series_destroy(log->os, dir, error);
    if (err == CAIRN_OK)
        err = cairn_series_open(log->os, dir, options, &series, error);
    if (err != CAIRN_OK)
        return err;
    err = fill_index(work, series, cairn_log_end(log), error);
    cairn_series_close(series);
    return err;
}

/* Under the locks of sequencer and maintainer, with nothing waiting to be committed. */
static cairn_err
replace_index(struct reindex *work, cairn_error *error)
{
    struct log *log = work->log;
    char dir[LOG_PATH_MAX], fresh[LOG_PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s/index", LOG_PATH_MAX - 16, log->dir);
    snprintf(fresh, sizeof fresh, "%.*s/index.new", LOG_PATH_MAX - 16, log->dir);
    struct series_options options = {.memory_events = log->options.index_memory_events,
                                     .head_cache_entries = log->options.head_cache_entries};
    cairn_err err = build_index(work, fresh, &options, error);
    if (err != CAIRN_OK) {
        error_ignore(cairn_series_destroy(log->os, fresh, NULL));
        return err;
    }
    err = cairn_series_destroy(log->os, dir, error);
    int fault = err == CAIRN_OK ? os_rename(log->os, fresh, dir) : 0;
    if (fault == 0 && err == CAIRN_OK)
        fault = os_sync_dir(log->os, log->dir);
    if (fault != 0)
        err = error_set_errno(error, -fault, "%s: cannot put the new index in place", dir);
    struct series *series = NULL;
    if (err == CAIRN_OK)
        err = cairn_series_open(log->os, dir, &options, &series, error);
    if (err == CAIRN_OK) {
        log->retired_series = log->series;
        log->series = series;
    }
    return err;
}

cairn_err
cairn_log_reindex(struct log *log, cairn_progress progress, void *context, cairn_error *error)
{
    if (log->options.read_only)
        return error_set(error, CAIRN_E_READONLY, "the store was opened for reading only");
    struct reindex work = {log, progress, context};
    pthread_mutex_lock(&log->admin_lock);
    pthread_mutex_lock(&log->lock);
    commit_drain(log);
    pthread_mutex_lock(&log->maintain_lock);
    cairn_err err = log->retired_series != NULL
                        ? error_set(error, CAIRN_E_BUSY,
                                    "the index was computed again since the store was opened; close it "
                                    "before doing so once more")
                    : atomic_load(&log->failed) ? log_failure(log, error)
                                                : replace_index(&work, error);
    pthread_mutex_unlock(&log->maintain_lock);
    pthread_mutex_unlock(&log->lock);
    pthread_mutex_unlock(&log->admin_lock);
    return err;
}

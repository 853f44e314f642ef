/* The series index: open, close, maintain. log/series.h is the manual, series_int.h the map.
 *
 * Who changes what: the writer fills the active table and freezes or rewinds; the maintainer turns the frozen
 * table into a run and merges runs. Both change the view under series->lock, for a few hundred
 * instructions. Readers never take it. */
#include <log/series_int.h>

#include <errno.h>
#include <stdlib.h>

/* ---- files --------------------------------------------------------------------------------- */

#define NAMES_MAX 4096

/* The files of the folder that are the index's own. */
struct names {
    char (*names)[RUN_NAME_SIZE];
    unsigned count;
    bool manifest, manifest_tmp, no_memory;
};

static bool
is_run_name(const char *name, uint64_t *ret_id)
{
    char *end;
    if (strlen(name) != RUN_NAME_SIZE - 1 || strspn(name, "0123456789abcdef") != 16
        || strcmp(name + 16, ".run") != 0)
        return false;
    *ret_id = strtoull(name, &end, 16);
    return true;
}

static void
visit_name(void *context, const char *name)
{
    struct names *names = context;
    uint64_t id;
    names->manifest |= strcmp(name, SERIES_MANIFEST) == 0;
    names->manifest_tmp |= strcmp(name, SERIES_MANIFEST ".tmp") == 0;
    if (!is_run_name(name, &id) || names->count == NAMES_MAX)
        return;
    if (names->names == NULL) {
        names->names = malloc(NAMES_MAX * sizeof *names->names);
        names->no_memory = names->names == NULL;
    }
    if (names->names != NULL)
        memcpy(names->names[names->count++], name, RUN_NAME_SIZE);
}

static cairn_err
list_names(struct os *os, const char *dir, struct names *names, cairn_error *error)
{
    int failed = os_list(os, dir, visit_name, names);
    if (failed < 0)
        return error_set_errno(error, -failed, "cannot list folder %s", dir);
    if (names->no_memory)
        return error_set(error, CAIRN_E_NOMEM, "out of memory for the names in folder %s", dir);
    return CAIRN_OK;
}

static cairn_err
remove_name(struct os *os, const char *dir, const char *name, cairn_error *error)
{
    char path[SERIES_PATH_MAX];
    cairn_err err = series_path(path, dir, name, error);
    if (err != CAIRN_OK)
        return err;
    int failed = os_unlink(os, path);
    if (failed < 0 && failed != -ENOENT)
        return error_set_errno(error, -failed, "cannot remove %s", path);
    return CAIRN_OK;
}

cairn_err
cairn_series_destroy(struct os *os, const char *dir, cairn_error *error)
{
    struct names names = {0};
    int failed = os_list(os, dir, visit_name, &names);
    cairn_err err = CAIRN_OK;
    if (failed == -ENOENT)
        goto done;
    if (failed < 0 || names.no_memory) {
        err = failed < 0 ? error_set_errno(error, -failed, "cannot list folder %s", dir)
                         : error_set(error, CAIRN_E_NOMEM,
                                     "out of memory for the names in folder %s", dir);
        goto done;
    }
    /* Runs without a manifest are refused by the next open, so a crash in between is noticed. */
    if (names.manifest)
        err = remove_name(os, dir, SERIES_MANIFEST, error);
    if (err == CAIRN_OK && names.manifest_tmp)
        err = remove_name(os, dir, SERIES_MANIFEST ".tmp", error);
    for (unsigned i = 0; i < names.count && err == CAIRN_OK; i++)
        err = remove_name(os, dir, names.names[i], error);
    if (err == CAIRN_OK && (failed = os_sync_dir(os, dir)) < 0)
        err = error_set_errno(error, -failed, "cannot sync folder %s", dir);
done:
    free(names.names);
    return err;
}

/* ---- opening ------------------------------------------------------------------------------- */

/* Files that a crash left behind. One that cannot be removed takes space and does no harm. */
static void
remove_orphans(struct series *series, const struct names *names)
{
    const struct view *view = &series->views[0].view;
    for (unsigned i = 0; i < names->count; i++) {
        bool named = false;
        for (uint32_t j = 0; j < view->run_count && !named; j++)
            named = strcmp(names->names[i], view->runs[j]->name) == 0;
        if (!named)
            (void)remove_name(series->os, series->dir, names->names[i], NULL);
    }
    if (names->manifest_tmp)
        (void)remove_name(series->os, series->dir, SERIES_MANIFEST ".tmp", NULL);
}

static cairn_err
make_folder(struct os *os, const char *dir, cairn_error *error)
{
    int failed = os_mkdir(os, dir);
    if (failed == -EEXIST)
        return CAIRN_OK;
    if (failed < 0)
        return error_set_errno(error, -failed, "cannot make folder %s", dir);
    char parent[SERIES_PATH_MAX];
    snprintf(parent, sizeof parent, "%s", dir);
    char *slash = strrchr(parent, '/');
    if (slash != NULL)
        slash[slash == parent] = '\0';
    failed = os_sync_dir(os, slash ? parent : ".");
    if (failed < 0)
        return error_set_errno(error, -failed, "cannot sync the folder that holds %s", dir);
    return CAIRN_OK;
}

/* No manifest: an index that was never begun, or one whose heart is missing. */
static cairn_err
begin_new(struct series *series, const struct names *names, struct manifest *manifest,
          cairn_error *error)
{
    if (names->count > 0)
        return error_set(error, CAIRN_E_CORRUPT,
                         "%s/%s is missing (at byte 0) and there are %u index runs", series->dir,
                         SERIES_MANIFEST, names->count);
    *manifest = (struct manifest){.next_run_id = 1};
    if (series->options.read_only)
        return CAIRN_OK;
    return series_manifest_save(series->os, series->dir, manifest, error);
}

static cairn_err
load_runs(struct series *series, cairn_error *error)
{
    struct manifest manifest;
    struct names names = {0};
    cairn_err err = CAIRN_OK;
    if (!series->options.read_only)
        err = make_folder(series->os, series->dir, error);
    if (err != CAIRN_OK)
        return err;
    cairn_error unlisted = {0};
    err = list_names(series->os, series->dir, &names, &unlisted);
    if (err == CAIRN_E_NOTFOUND && series->options.read_only)
        err = CAIRN_OK; /* nothing there: everything is inserted into memory */
    else if (err != CAIRN_OK && error != NULL)
        *error = unlisted;
    if (err == CAIRN_OK && names.manifest)
        err = series_manifest_load(series->os, series->dir, &manifest, error);
    else if (err == CAIRN_OK)
        err = begin_new(series, &names, &manifest, error);
    if (err != CAIRN_OK)
        goto done;

    struct view *view = &series->views[0].view;
    for (uint32_t i = 0; i < manifest.run_count && err == CAIRN_OK; i++) {
        err = series_run_open(series->os, series->dir, &manifest.runs[i], &view->runs[i], error);
        view->run_count += err == CAIRN_OK;
    }
    series->next_run_id = manifest.next_run_id;
    atomic_init(&series->flushed_end, manifest.flushed_end);
    if (err == CAIRN_OK && !series->options.read_only)
        remove_orphans(series, &names);
done:
    free(names.names);
    return err;
}

cairn_err
cairn_series_open(struct os *os, const char *dir, const struct series_options *options,
                  struct series **ret, cairn_error *error)
{
    char path[SERIES_PATH_MAX];
    cairn_err err = series_path(path, dir, SERIES_MANIFEST ".tmp", error);
    if (err != CAIRN_OK)
        return err;
    struct series *series = calloc(1, sizeof *series);
    if (series == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory for the index");
    series->os = os;
    series->options = *options;
    snprintf(series->dir, sizeof series->dir, "%s", dir);
    pthread_mutex_init(&series->lock, NULL);
    pthread_mutex_init(&series->maintaining, NULL);

    struct view *view = &series->views[0].view;
    err = load_runs(series, error);
    if (err == CAIRN_OK) {
        series->active
            = series_table_new(cairn_series_flushed_end(series), options->memory_events, 0, 0);
        if (series->active != NULL)
            view->tables[view->table_count++] = series->active;
        if (series->active == NULL
            || !series_heads_init(&series->heads, options->head_cache_entries))
            err = error_set(error, CAIRN_E_NOMEM,
                            "out of memory for an index of %u events in memory and %u heads",
                            options->memory_events, options->head_cache_entries);
    }
    series_view_first(series);
    if (err == CAIRN_OK)
        *ret = series;
    else
        cairn_series_close(series);
    return err;
}

void
cairn_series_close(struct series *series)
{
    if (series == NULL)
        return;
    series_merge_abort(series);
    series_view_free_all(series);
    series_heads_free(&series->heads);
    pthread_mutex_destroy(&series->lock);
    pthread_mutex_destroy(&series->maintaining);
    free(series);
}

void
cairn_series_moved(struct series *series, const char *dir)
{
    pthread_mutex_lock(&series->maintaining);
    snprintf(series->dir, sizeof series->dir, "%s", dir);
    pthread_mutex_unlock(&series->maintaining);
}

uint64_t
cairn_series_flushed_end(const struct series *series)
{
    return atomic_load_explicit(&series->flushed_end, memory_order_acquire);
}

/* ---- the maintainer ------------------------------------------------------------------------ */

/* Flushes come first, because the writer may wait for them. But a caller who maintains only when there is no
 * room would never merge: from so many runs on, merging comes before the next flush. */
#define RUNS_CROWDED 16u

/* The oldest frozen table, if everything in it is durable. */
static bool
flush_due(struct series *series, uint64_t durable)
{
    pthread_mutex_lock(&series->lock);
    const struct view *view = series_view_current(series);
    bool due = view->table_count > 1 && view->tables[view->table_count - 1]->end <= durable;
    pthread_mutex_unlock(&series->lock);
    return due;
}

static bool
is_crowded(struct series *series)
{
    pthread_mutex_lock(&series->lock);
    bool crowded = series_view_current(series)->run_count >= RUNS_CROWDED;
    pthread_mutex_unlock(&series->lock);
    return crowded && series_merge_due(series);
}

static cairn_err
flush_or_merge(struct series *series, uint64_t durable, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    bool due = flush_due(series, durable);
    while (due && err == CAIRN_OK && is_crowded(series))
        err = series_merge_step(series, error);
    if (err == CAIRN_OK && due)
        err = series_flush_table(series, error);
    else if (err == CAIRN_OK && series_merge_due(series))
        err = series_merge_step(series, error);
    return err;
}

static cairn_err
maintain_step(struct series *series, uint64_t durable, bool *ret_more, cairn_error *error)
{
    cairn_err err = series_manifest_sync(series, error);
    if (err == CAIRN_OK)
        err = flush_or_merge(series, durable, error);
    if (err == CAIRN_OK)
        err = series_manifest_sync(series, error);
    series_view_reap(series);
    *ret_more = (err == CAIRN_OK || err == CAIRN_E_CORRUPT)
                && (flush_due(series, durable) || series_merge_due(series));
    return err;
}

cairn_err
cairn_series_maintain(struct series *series, uint64_t durable, bool *ret_more, cairn_error *error)
{
    *ret_more = false;
    if (series->options.read_only)
        return CAIRN_OK;
    pthread_mutex_lock(&series->maintaining);
    cairn_err err = maintain_step(series, durable, ret_more, error);
    pthread_mutex_unlock(&series->maintaining);
    return err;
}

static cairn_err
flush_all(struct series *series, uint64_t durable, cairn_error *error)
{
    cairn_err err = series_manifest_sync(series, error);
    while (err == CAIRN_OK && flush_due(series, durable))
        err = series_flush_table(series, error);
    if (err == CAIRN_OK
        && atomic_load_explicit(&series->active->entries, memory_order_relaxed) > 0) {
        if (!series_freeze(series, 0, durable))
            err = error_set(error, CAIRN_E_NOMEM, "out of memory for a new index table");
        else
            err = series_flush_table(series, error);
    } else if (err == CAIRN_OK && durable > cairn_series_flushed_end(series)) {
        /* Nothing was indexed since: the runs cover these positions as they are. */
        atomic_store_explicit(&series->flushed_end, durable, memory_order_release);
        series->manifest_dirty = true;
    }
    if (err == CAIRN_OK)
        err = series_manifest_sync(series, error);
    series_view_reap(series);
    return err;
}

cairn_err
cairn_series_flush(struct series *series, uint64_t durable, cairn_error *error)
{
    if (series->options.read_only)
        return CAIRN_OK;
    pthread_mutex_lock(&series->maintaining);
    cairn_err err = flush_all(series, durable, error);
    pthread_mutex_unlock(&series->maintaining);
    return err;
}

void
cairn_series_stats(struct series *series, struct series_stats *ret)
{
    struct series_stats stats = {0};
    uint32_t index;
    const struct view *view = series_view_enter(series, &index);
    for (uint32_t i = 0; i < view->table_count; i++) {
        const struct table *table = view->tables[i];
        stats.memory_entries += atomic_load_explicit(&table->entries, memory_order_relaxed);
        stats.memory_bytes += series_table_bytes(table);
    }
    stats.runs = view->run_count;
    for (uint32_t i = 0; i < view->run_count; i++) {
        stats.run_bytes += view->runs[i]->info.size_bytes;
        stats.entries += view->runs[i]->info.entries;
        stats.memory_bytes += series_run_memory(view->runs[i]);
    }
    series_view_leave(series, index);
    stats.memory_bytes
        += series->heads.set_count * (sizeof *series->heads.sets + sizeof *series->heads.meta);
    stats.flushes = atomic_load_explicit(&series->flushes, memory_order_relaxed);
    stats.merges = atomic_load_explicit(&series->merges, memory_order_relaxed);
    stats.merged_bytes = atomic_load_explicit(&series->merged_bytes, memory_order_relaxed);
    *ret = stats;
}

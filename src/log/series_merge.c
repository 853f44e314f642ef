/* Runs become one: which, when, and how, in bounded steps.
 *
 * A run's level is the logarithm of its entries to the base SERIES_FANOUT. When three neighbours of one
 * level have come together (with nothing larger between them; smaller ones are taken along) they are
 * merged into one, which is at least one level up. So there are at most two runs a level at rest, an
 * entry is rewritten once a level, and most of everything is in the two or three largest runs, where
 * a key is stored once for all its entries. A cap on the number of runs, whatever their levels,
 * merges the cheapest neighbours.
 *
 * A step writes a few MiB and returns, so that a flush never waits for a merge. The inputs are read in order
 * through a buffer each; they stay in the view until the merged run takes their place. Runs flushed
 * meanwhile come after them and do not disturb. Owned by the maintainer. */
#include <log/series_int.h>

#include <stdlib.h>

#define MERGE_RUNS_MAX 16u
#define RUNS_AT_REST 10u  /* more than this: merge the cheapest three neighbours */
#define STEP_BLOCKS 1024u /* of 4 KiB, written in one step */

struct merge {
    uint32_t count;
    struct run *inputs[MERGE_RUNS_MAX];
    struct run_cursor cursors[MERGE_RUNS_MAX];
    struct run_writer writer;
};

/* ---- which --------------------------------------------------------------------------------- */

struct group {
    uint32_t first, count; /* of the view's runs; count 0: none */
};

/* The newest neighbours, none above `level`, of which at least three are of that level. */
static struct group
find_level(const struct view *view, uint32_t level)
{
    uint32_t end = view->run_count;
    while (end > 0) {
        uint32_t first = end, members = 0;
        while (first > 0 && end - first < MERGE_RUNS_MAX
               && view->runs[first - 1]->info.level <= level) {
            first--;
            members += view->runs[first]->info.level == level;
        }
        if (members >= SERIES_FANOUT) {
            while (view->runs[end - 1]->info.level < level)
                end--; /* smaller ones after the last wait for their own kind */
            return (struct group){.first = first, .count = end - first};
        }
        end = first < end ? first : end - 1;
    }
    return (struct group){0};
}

static struct group
find_cheapest(const struct view *view)
{
    struct group best = {0};
    uint64_t least = UINT64_MAX;
    for (uint32_t first = 0; first + SERIES_FANOUT <= view->run_count; first++) {
        uint64_t entries = 0;
        for (uint32_t i = first; i < first + SERIES_FANOUT; i++)
            entries += view->runs[i]->info.entries;
        if (entries < least) {
            least = entries;
            best = (struct group){.first = first, .count = SERIES_FANOUT};
        }
    }
    return best;
}

static struct group
find_group(const struct view *view)
{
    for (uint32_t level = 0; level < 64; level++) {
        struct group group = find_level(view, level);
        if (group.count > 0)
            return group;
    }
    return view->run_count > RUNS_AT_REST ? find_cheapest(view) : (struct group){0};
}

bool
series_merge_due(struct series *series)
{
    if (series->merge != NULL || series->damaged)
        return !series->damaged;
    pthread_mutex_lock(&series->lock);
    bool due = find_group(series_view_current(series)).count > 0;
    pthread_mutex_unlock(&series->lock);
    return due;
}

/* ---- merging ------------------------------------------------------------------------------- */

void
series_merge_abort(struct series *series)
{
    struct merge *merge = series->merge;
    if (merge == NULL)
        return;
    for (uint32_t i = 0; i < merge->count; i++)
        series_cursor_close(&merge->cursors[i]);
    series_writer_abort(&merge->writer);
    free(merge);
    series->merge = NULL;
}

static cairn_err
begin_merge(struct series *series, cairn_error *error)
{
    struct merge *merge = series->merge = calloc(1, sizeof *merge);
    if (merge == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory for merging index runs");
    pthread_mutex_lock(&series->lock);
    const struct view *view = series_view_current(series);
    struct group group = find_group(view);
    uint64_t keys = 0;
    merge->count = group.count;
    for (uint32_t i = 0; i < group.count; i++) {
        merge->inputs[i] = view->runs[group.first + i];
        keys += merge->inputs[i]->keys;
    }
    pthread_mutex_unlock(&series->lock);
    assert(group.count > 0);

    cairn_err err
        = series_writer_begin(&merge->writer, series->os, series->dir, series->next_run_id++,
                              merge->inputs[0]->info.first, keys, error);
    for (uint32_t i = 0; i < merge->count && err == CAIRN_OK; i++) {
        err = series_cursor_open(&merge->cursors[i], merge->inputs[i], error);
        if (err == CAIRN_OK)
            err = series_cursor_next(&merge->cursors[i], error);
    }
    return err;
}

/* Copy all that the inputs have of the smallest key, oldest run first. False: they have ended. */
static cairn_err
merge_key(struct merge *merge, bool *ret_ended, cairn_error *error)
{
    const struct run_cursor *least = NULL;
    for (uint32_t i = 0; i < merge->count; i++) {
        const struct run_cursor *cursor = &merge->cursors[i];
        if (!cursor->end && (least == NULL || key_compare(cursor->key, least->key) < 0))
            least = cursor;
    }
    *ret_ended = least == NULL;
    if (least == NULL)
        return CAIRN_OK;
    struct hash128 key = least->key;
    cairn_err err = CAIRN_OK;
    for (uint32_t i = 0; i < merge->count; i++) {
        struct run_cursor *cursor = &merge->cursors[i];
        while (err == CAIRN_OK && !cursor->end && key_equal(cursor->key, key)) {
            err = series_writer_add(&merge->writer, key, &cursor->span, error);
            if (err == CAIRN_OK)
                err = series_cursor_next(cursor, error);
        }
    }
    return err;
}

/* The merged run in the place of its inputs, whose files go when the manifest no longer names them. */
static cairn_err
publish_merged(struct series *series, struct run *merged, cairn_error *error)
{
    struct merge *merge = series->merge;
    pthread_mutex_lock(&series->lock);
    struct view *view = series_view_copy(series, 0);
    if (view == NULL) {
        pthread_mutex_unlock(&series->lock);
        return error_set(error, CAIRN_E_BUSY, "more than %u old views of the index are being read",
                         SERIES_VIEWS);
    }
    uint32_t at = 0;
    while (view->runs[at] != merge->inputs[0])
        at++;
    for (uint32_t i = 0; i < merge->count; i++) {
        assert(view->runs[at + i] == merge->inputs[i]);
        merge->inputs[i]->doomed = true;
    }
    view->runs[at] = merged;
    view->run_count -= merge->count - 1;
    memmove(&view->runs[at + 1], &view->runs[at + merge->count],
            (view->run_count - at - 1) * sizeof view->runs[0]);
    series_view_publish(series, view);
    series->manifest_dirty = true;
    pthread_mutex_unlock(&series->lock);
    return CAIRN_OK;
}

static cairn_err
finish_merge(struct series *series, cairn_error *error)
{
    struct merge *merge = series->merge;
    struct run *merged = NULL;
    uint64_t end = merge->inputs[merge->count - 1]->info.end;
    cairn_err err = series_writer_finish(&merge->writer, end, &merged, error);
    if (err != CAIRN_OK)
        return err;
    uint64_t size_bytes = merged->info.size_bytes;
    err = publish_merged(series, merged, error);
    if (err != CAIRN_OK) {
        merge->writer.run = merged; /* for abort to remove */
        return err;
    }
    atomic_fetch_add_explicit(&series->merges, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&series->merged_bytes, size_bytes, memory_order_relaxed);
    series_merge_abort(series); /* what is left of it: buffers */
    return CAIRN_OK;
}

cairn_err
series_merge_step(struct series *series, cairn_error *error)
{
    cairn_err err = series->merge == NULL ? begin_merge(series, error) : CAIRN_OK;
    struct merge *merge = series->merge;
    if (err == CAIRN_OK) {
        uint64_t until = merge->writer.run->blocks + STEP_BLOCKS;
        bool ended = false;
        while (err == CAIRN_OK && !ended && merge->writer.run->blocks < until)
            err = merge_key(merge, &ended, error);
        if (err == CAIRN_OK && ended)
            err = finish_merge(series, error);
    }
    if (err != CAIRN_OK)
        series_merge_abort(series); /* begun anew at the next call, unless that can only fail again */
    series->damaged |= err == CAIRN_E_CORRUPT;
    return err;
}

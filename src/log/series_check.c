/* Checks every byte of every file of the index: manifest, headers, blocks, filters, fences, footers, and
 * that they agree with each other. Any thread; the index may be in use. */
#include <log/series_int.h>

#include <stdlib.h>

struct check {
    struct series *series;
    series_fault fault;
    void *context;
    bool any, stop;
};

static void
report(struct check *check, const char *name, uint64_t offset, const char *what)
{
    char path[SERIES_PATH_MAX];
    if (series_path(path, check->series->dir, name, NULL) != CAIRN_OK)
        snprintf(path, sizeof path, "%s", name);
    check->any = true;
    if (!check->fault(check->context, path, offset, what))
        check->stop = true;
}

/* Damage is reported and looked past; anything else ends the check. */
static cairn_err
report_error(struct check *check, const char *name, cairn_err err, const cairn_error *found,
             cairn_error *error)
{
    if (err == CAIRN_E_CORRUPT || err == CAIRN_E_VERSION || err == CAIRN_E_NOTFOUND) {
        report(check, name, err == CAIRN_E_CORRUPT ? found->position : 0, found->detail);
        return CAIRN_OK;
    }
    if (err != CAIRN_OK && error != NULL)
        *error = *found;
    return err;
}

static cairn_err
check_manifest(struct check *check, cairn_error *error)
{
    struct manifest manifest;
    cairn_error found = {0};
    cairn_err err = series_manifest_load(check->series->os, check->series->dir, &manifest, &found);
    if (err == CAIRN_E_NOTFOUND && check->series->options.read_only
        && cairn_series_flushed_end(check->series) == 0)
        return CAIRN_OK; /* opened without an index */
    return report_error(check, SERIES_MANIFEST, err, &found, error);
}

/* What the chunks of a run add up to, as they are walked. */
struct tally {
    uint64_t entries, keys, last_position;
    struct hash128 key;
    bool any;
};

/* NULL, or what is wrong with a chunk where it stands. */
static const char *
judge_chunk(struct tally *tally, const struct run *run, struct hash128 key, const struct span *span)
{
    int order = tally->any ? key_compare(tally->key, key) : -1;
    uint64_t last = span->positions[span->count - 1];
    if (order > 0)
        return "keys are not in order";
    if (order == 0 && span->positions[0] <= tally->last_position)
        return "positions of one key are not in order";
    if (span->positions[0] < run->info.first || last >= run->info.end)
        return "a position is outside the run's range";
    if (!series_filter_has(&run->filter, key))
        return "the filter does not have a key";
    tally->entries += span->count;
    tally->keys += order < 0;
    tally->last_position = last;
    tally->key = key;
    tally->any = true;
    return NULL;
}

static const char *
judge_block(struct tally *tally, const struct run *run, uint64_t number, const uint8_t *block,
            struct span *span)
{
    struct block_walk walk;
    enum block_step step;
    const struct fence *fence = &run->fences[number];
    bool first = true;
    series_block_walk(&walk, block, run->info.first);
    while ((step = series_block_next(&walk)) == BLOCK_CHUNK) {
        if (!series_block_decode(&walk, span))
            return "the block's chunks do not make sense";
        struct hash128 key = walk.key;
        if (first
            && (!key_equal(fence->key, key) || fence->position != span->positions[0]
                || fence->ordinal != span->first_ordinal))
            return "the fence is not the block's first chunk";
        first = false;
        const char *what = judge_chunk(tally, run, key, span);
        if (what != NULL)
            return what;
    }
    return step == BLOCK_BAD ? "the block's chunks do not make sense"
           : first           ? "the block is empty"
                             : NULL;
}

static cairn_err
check_blocks(struct check *check, const struct run *run, cairn_error *error)
{
    struct tally tally = {0};
    bool whole = true;
    uint8_t block[SERIES_BLOCK];
    struct span *span = malloc(sizeof *span);
    if (span == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory for checking the index");
    cairn_err err = CAIRN_OK;
    for (uint64_t i = 0; i < run->blocks && err == CAIRN_OK && !check->stop; i++) {
        cairn_error found = {0};
        err = series_run_blocks(run, i, 1, block, &found);
        const char *what = err == CAIRN_OK ? judge_block(&tally, run, i, block, span) : NULL;
        whole &= err == CAIRN_OK && what == NULL;
        if (what != NULL)
            report(check, run->name, SERIES_BLOCK * (i + 1), what);
        err = report_error(check, run->name, err, &found, error);
    }
    if (err == CAIRN_OK && whole && !check->stop
        && (tally.entries != run->info.entries || tally.keys != run->keys))
        report(check, run->name, run->info.size_bytes - RUN_FOOTER,
               "the footer's counts are not those of the blocks");
    free(span);
    return err;
}

/* Opening it again reads and checks what lies around the blocks on disk. */
static cairn_err
check_frame(struct check *check, const struct run *run, cairn_error *error)
{
    struct run *again = NULL;
    cairn_error found = {0};
    cairn_err err = series_run_open(run->os, check->series->dir, &run->info, &again, &found);
    series_run_free(again);
    return report_error(check, run->name, err, &found, error);
}

cairn_err
cairn_series_check(struct series *series, series_fault fault, void *context, cairn_error *error)
{
    struct check check = {.series = series, .fault = fault, .context = context};
    uint32_t index;
    const struct view *view = series_view_enter(series, &index);
    cairn_err err = check_manifest(&check, error);
    for (uint32_t i = 0; i < view->run_count && err == CAIRN_OK && !check.stop; i++) {
        err = check_frame(&check, view->runs[i], error);
        if (err == CAIRN_OK && !check.stop)
            err = check_blocks(&check, view->runs[i], error);
    }
    series_view_leave(series, index);
    if (err == CAIRN_OK && check.any)
        return error_set(error, CAIRN_E_CORRUPT, "the index in %s is damaged", series->dir);
    return err;
}

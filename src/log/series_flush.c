/* A frozen table becomes a run.
 *
 * Nobody waits for it: readers and the writer go on with the frozen table until the run, written and
 * synced, takes its place in the view. A rewind may take the table away meanwhile; then the run is
 * thrown away. Owned by the maintainer. */
#include <log/series_int.h>

#include <stdlib.h>

/* ---- in order of keys ---------------------------------------------------------------------- */

struct sorted {
    uint64_t high; /* of the key */
    uint64_t low;
    uint64_t slot;
};

static int
compare_sorted(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    return key_compare((struct hash128){.low = x->low, .high = x->high},
                       (struct hash128){.low = y->low, .high = y->high});
}

/* Few, or nearly in order. */
static void
sort_bucket(struct sorted *keys, size_t count)
{
    if (count > 32) {
        qsort(keys, count, sizeof *keys, compare_sorted);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        struct sorted key = keys[i];
        size_t to = i;
        for (; to > 0 && compare_sorted(&key, &keys[to - 1]) < 0; to--)
            keys[to] = keys[to - 1];
        keys[to] = key;
    }
}

/* Keys are hashes, evenly spread: one pass by their first bits leaves buckets of a few keys each. */
static struct sorted *
sort_keys(const struct table *table, size_t count)
{
    unsigned bits = 4;
    while (bits < 20 && (count >> bits) > 8)
        bits++;
    size_t buckets = (size_t)1 << bits;
    struct sorted *keys = malloc((count + 1) * sizeof *keys);
    size_t *begins = calloc(buckets + 1, sizeof *begins);
    if (keys == NULL || begins == NULL) {
        free(keys);
        free(begins);
        return NULL;
    }
    for (uint64_t slot = 0; slot <= table->mask; slot++)
        if (atomic_load_explicit(&table->slots[slot].tail, memory_order_relaxed) != 0)
            begins[(table->slots[slot].key.high >> (64 - bits)) + 1]++;
    for (size_t i = 0; i < buckets; i++)
        begins[i + 1] += begins[i];
    for (uint64_t slot = 0; slot <= table->mask; slot++) {
        if (atomic_load_explicit(&table->slots[slot].tail, memory_order_relaxed) == 0)
            continue;
        struct hash128 key = table->slots[slot].key;
        keys[begins[key.high >> (64 - bits)]++]
            = (struct sorted){.high = key.high, .low = key.low, .slot = slot};
    }
    size_t begin = 0; /* each bucket's begin has moved to its end */
    for (size_t i = 0; i < buckets; i++) {
        sort_bucket(keys + begin, begins[i] - begin);
        begin = begins[i];
    }
    free(begins);
    return keys;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Keys whose slots, and then chunks, are fetched beforehand: they lie all over the memory. */
#define SLOTS_AHEAD 16
#define CHUNKS_AHEAD 8

static cairn_err
write_table(struct series *series, const struct table *table, struct run **ret, cairn_error *error)
{
    size_t count = atomic_load_explicit(&table->keys, memory_order_relaxed);
    struct sorted *keys = sort_keys(table, count);
    struct run_writer *writer = calloc(1, sizeof *writer);
    struct span *span = malloc(sizeof *span);
    cairn_err err = CAIRN_OK;
    if (keys == NULL || writer == NULL || span == NULL) {
        err = error_set(error, CAIRN_E_NOMEM, "out of memory for flushing %zu index keys", count);
        goto done;
    }
    err = series_writer_begin(writer, series->os, series->dir, series->next_run_id++, table->base,
                              count, error);
    for (size_t i = 0; i < count && err == CAIRN_OK; i++) {
        if (i + SLOTS_AHEAD < count)
            __builtin_prefetch(&table->slots[keys[i + SLOTS_AHEAD].slot]);
        if (i + CHUNKS_AHEAD < count)
            series_table_prefetch_chunk(table, keys[i + CHUNKS_AHEAD].slot);
        struct table_walk walk;
        struct hash128 key;
        bool used = series_table_walk(&walk, table, keys[i].slot, &key);
        assert(used);
        (void)used;
        while (err == CAIRN_OK && series_table_walk_next(&walk, span))
            err = series_writer_add(writer, key, span, error);
    }
    if (err == CAIRN_OK)
        err = series_writer_finish(writer, table->end, ret, error);
done:
    if (writer != NULL)
        series_writer_abort(writer);
    free(writer);
    free(span);
    free(keys);
    return err;
}

/* ---- publishing ---------------------------------------------------------------------------- */

static bool
is_oldest_frozen(struct series *series, const struct table *table)
{
    const struct view *view = series_view_current(series);
    return view->table_count > 1 && view->tables[view->table_count - 1] == table;
}

/* Step 1 and 2 of series_head.c. Stops at the first put that a rewind has overtaken. */
static void
move_heads(struct series *series, const struct table *table)
{
    pthread_mutex_lock(&series->lock);
    bool current = is_oldest_frozen(series, table);
    uint64_t generation = 0;
    if (current)
        generation
            = 1 + atomic_fetch_add_explicit(&series->heads.generation, 1, memory_order_acq_rel);
    pthread_mutex_unlock(&series->lock);

    for (uint64_t i = 0; i <= table->mask && current; i++) {
        const struct table_slot *slot = &table->slots[i];
        if (i + SLOTS_AHEAD <= table->mask)
            series_heads_prefetch(&series->heads, slot[SLOTS_AHEAD].key);
        if (atomic_load_explicit(&slot->tail, memory_order_relaxed) == 0)
            continue;
        struct series_head head
            = {.ordinal = atomic_load_explicit(&slot->last_ordinal, memory_order_relaxed),
               .position = table->base + atomic_load_explicit(&slot->last, memory_order_relaxed)};
        current = series_heads_put(&series->heads, slot->key, &head, generation);
    }
}

/* The run in the table's place; false when a rewind took the table away. run NULL: it was empty. */
static cairn_err
publish_run(struct series *series, const struct table *table, struct run *run, bool *ret_published,
            cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    pthread_mutex_lock(&series->lock);
    *ret_published = is_oldest_frozen(series, table);
    if (*ret_published) {
        struct view *view = series_view_copy(series, 0);
        if (view == NULL) {
            err = error_set(error, CAIRN_E_BUSY,
                            "more than %u old views of the index are being read", SERIES_VIEWS);
        } else {
            view->table_count--;
            if (run != NULL)
                view->runs[view->run_count++] = run;
            atomic_store_explicit(&series->flushed_end, table->end, memory_order_release);
            series_view_publish(series, view);
            series->manifest_dirty = true;
        }
    }
    pthread_mutex_unlock(&series->lock);
    return err;
}

static void
discard_run(struct series *series, struct run *run)
{
    if (run == NULL)
        return;
    char path[SERIES_PATH_MAX];
    cairn_err err = series_path(path, series->dir, run->name, NULL);
    series_run_free(run);
    if (err == CAIRN_OK)
        (void)os_unlink(series->os, path);
}

/* The table stays where it is until it is certain that no reader is left: views hold it. The caller's own
 * view keeps it here, in case a rewind drops it while it is being written. */
cairn_err
series_flush_table(struct series *series, cairn_error *error)
{
    uint32_t index;
    const struct view *view = series_view_enter(series, &index);
    struct run *run = NULL;
    cairn_err err = CAIRN_OK;
    if (view->table_count < 2)
        goto done;
    if (view->run_count == SERIES_RUNS_MAX) {
        err = error_set(error, CAIRN_E_BUSY,
                        "the index has %u runs and merging them does not get on; reindex", SERIES_RUNS_MAX);
        goto done;
    }
    const struct table *table = view->tables[view->table_count - 1];
    if (atomic_load_explicit(&table->keys, memory_order_relaxed) > 0)
        err = write_table(series, table, &run, error);
    if (err != CAIRN_OK)
        goto done;
    bool published = false;
    move_heads(series, table);
    err = publish_run(series, table, run, &published, error);
    if (err != CAIRN_OK || !published)
        discard_run(series, run);
    else
        atomic_fetch_add_explicit(&series->flushes, 1, memory_order_relaxed);
done:
    series_view_leave(series, index);
    return err;
}

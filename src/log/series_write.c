/* The writer's calls. One thread at a time: the log holds its sequence lock.
 *
 * Inserting touches the active table only. Freezing, forgetting and rewinding put other tables into the view;
 * readers of the old view go on with the old tables, which stay as they are. */
#include <log/series_int.h>

void
cairn_series_prefetch(const struct series *series, struct hash128 key)
{
    series_table_prefetch(series->active, key);
}

void
cairn_series_insert(struct series *series, struct hash128 key, uint64_t ordinal, uint64_t position)
{
    series_table_insert(series->active, key, ordinal, position);
}

void
cairn_series_insert_range(struct series *series, struct hash128 key, uint64_t first_ordinal, uint32_t step,
                          uint64_t first_position, uint64_t count)
{
    series_table_insert_range(series->active, key, first_ordinal, step, first_position, count);
}

bool
series_freeze(struct series *series, uint64_t weight, uint64_t position)
{
    struct table *table
        = series_table_new(position, series->options.memory_events, weight, weight);
    if (table == NULL)
        return false;
    struct table *before = series->active;
    bool keep = atomic_load_explicit(&before->entries, memory_order_relaxed) > 0;
    uint32_t frozen_max = series->options.read_only ? SERIES_TABLES_MAX - 1 : 1;

    pthread_mutex_lock(&series->lock);
    bool room = !keep || series_view_current(series)->table_count <= frozen_max;
    struct view *view = room ? series_view_copy(series, 2) : NULL; /* two are the maintainer's */
    if (view != NULL) {
        if (keep) {
            assert(before->last_position < position);
            before->end = position;
            memmove(&view->tables[1], &view->tables[0], view->table_count * sizeof view->tables[0]);
            view->table_count++;
        }
        view->tables[0] = table;
        series->active = table;
        series_view_publish(series, view);
    }
    pthread_mutex_unlock(&series->lock);
    if (view == NULL)
        series_table_free(table);
    return view != NULL;
}

bool
cairn_series_has_room(struct series *series, size_t entries, uint64_t next_position)
{
    struct series_need need = {.entries = entries};
    return cairn_series_has_room_ranges(series, &need, next_position);
}

bool
cairn_series_has_room_ranges(struct series *series, const struct series_need *need, uint64_t next_position)
{
    if (series_table_has_room(series->active, need, next_position))
        return true;
    return series_freeze(series, series_need_weight(need), next_position)
           && series_table_has_room(series->active, need, next_position);
}

bool
cairn_series_is_roomy(struct series *series)
{
    if (series_table_half_free(series->active))
        return true;
    pthread_mutex_lock(&series->lock);
    bool frozen = series_view_current(series)->table_count > 1;
    pthread_mutex_unlock(&series->lock);
    return !frozen;
}

/* ---- known --------------------------------------------------------------------------------- */

/* What no filter has is in no run: a new stream or tag needs no disk. */
static bool
runs_may_have(const struct view *view, struct hash128 key)
{
    for (uint32_t i = 0; i < view->run_count; i++)
        if (series_filter_has(&view->runs[i]->filter, key))
            return true;
    return false;
}

enum series_known
cairn_series_known(struct series *series, struct hash128 key, struct series_head *ret_head)
{
    if (series_table_head(series->active, key, ret_head))
        return SERIES_PRESENT;
    uint32_t index;
    enum series_known known = SERIES_UNKNOWN;
    const struct view *view = series_view_enter(series, &index);
    for (uint32_t i = 1; i < view->table_count && known == SERIES_UNKNOWN; i++)
        if (series_table_head(view->tables[i], key, ret_head))
            known = SERIES_PRESENT;
    if (known == SERIES_UNKNOWN)
        known = series_heads_get(&series->heads, key, ret_head);
    if (known == SERIES_UNKNOWN && !runs_may_have(view, key))
        known = SERIES_ABSENT;
    series_view_leave(series, index);
    return known;
}

/* ---- forget, rewind ------------------------------------------------------------------------ */

/* What a table holds below `end`, in a new one that is filled on. */
static struct table *
copy_below(const struct series *series, const struct table *table, uint64_t end)
{
    uint64_t keys = atomic_load_explicit(&table->keys, memory_order_relaxed);
    struct table *copy
        = series_table_new(table->base, series->options.memory_events, keys, table->weight);
    if (copy == NULL)
        return NULL;
    copy->promised = table->weight;
    for (uint64_t slot = 0; slot <= table->mask; slot++) {
        struct table_walk walk;
        struct hash128 key;
        struct span span;
        if (!series_table_walk(&walk, table, slot, &key))
            continue;
        while (series_table_walk_next(&walk, &span)) {
            uint32_t count = 0;
            while (count < span.count && span.positions[count] < end)
                count++;
            if (count > 1 && span.positions[count - 1] - span.positions[0] == count - 1) {
                series_table_insert_range(copy, key, span.first_ordinal, span.step, span.positions[0], count);
                continue;
            }
            for (uint32_t i = 0; i < count; i++)
                series_table_insert(copy, key, span.first_ordinal + (uint64_t)i * span.step,
                                    span.positions[i]);
        }
    }
    copy->promised = 0;
    copy->last_position = end > 0 ? end - 1 : 0; /* keys came in any order */
    return copy;
}

/* Tables that end at or before `end` stay; the one that `end` falls into is copied as far as it is wanted,
 * and becomes the active one; later ones go. */
cairn_err
cairn_series_forget(struct series *series, uint64_t end)
{
    assert(end >= cairn_series_flushed_end(series));
    /* The maintainer may flush and take away the oldest table, but only one that stays: what it
     * flushes is durable, hence below `end`. */
    uint32_t index, cut = 0;
    const struct view *old = series_view_enter(series, &index);
    while (cut + 1 < old->table_count && old->tables[cut]->base > end)
        cut++;
    struct table *copy = copy_below(series, old->tables[cut], end);
    uint32_t dropped = cut + 1;
    series_view_leave(series, index);
    if (copy == NULL)
        return CAIRN_E_NOMEM;

    pthread_mutex_lock(&series->lock);
    struct view *view = series_view_copy(series, 2);
    if (view != NULL) {
        memmove(&view->tables[1], &view->tables[dropped],
                (view->table_count - dropped) * sizeof view->tables[0]);
        view->table_count -= dropped - 1;
        view->tables[0] = copy;
        series->active = copy;
        series_view_publish(series, view);
    }
    pthread_mutex_unlock(&series->lock);
    if (view == NULL) {
        series_table_free(copy);
        return CAIRN_E_BUSY;
    }
    return CAIRN_OK;
}

cairn_err
cairn_series_rewind(struct series *series)
{
    pthread_mutex_lock(&series->lock);
    struct table *table
        = series_table_new(cairn_series_flushed_end(series), series->options.memory_events, 0, 0);
    struct view *view = table ? series_view_copy(series, 2) : NULL;
    if (view != NULL) {
        view->tables[0] = table;
        view->table_count = 1;
        series->active = table;
        series_view_publish(series, view);
        atomic_fetch_add_explicit(&series->heads.generation, 1, memory_order_acq_rel);
    }
    pthread_mutex_unlock(&series->lock);
    if (view == NULL) {
        series_table_free(table);
        return table == NULL ? CAIRN_E_NOMEM : CAIRN_E_BUSY;
    }
    series_heads_clear(&series->heads);
    return CAIRN_OK;
}

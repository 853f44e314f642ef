/* What readers see: an immutable list of tables and runs, and when its parts may be freed.
 *
 *   FREE ─copy─► CURRENT ─publish of the next─► RETIRED ─last reader left─► FREE
 *
 * Readers take no lock. `current` is one word: the index of the current view and the number of readers that
 * ever entered it. Entering is one addition to that word, which counts the reader and tells it the
 * view at once; leaving is one addition to the view's own counter. When a view is replaced the
 * number of those that entered is known, and the view is free when as many have left (both counts
 * modulo 2^48, so that neither can run over).
 *
 * A table or run counts the views that have it. When that falls to none it goes on a list of the
 * dead, which the maintainer frees: no reader and no writer ever closes a file or unmaps memory. */
#include <log/series_int.h>

#define COUNT_SHIFT 16
#define COUNT_MASK (UINT64_MAX >> COUNT_SHIFT)

const struct view *
series_view_enter(struct series *series, uint32_t *ret_index)
{
    uint64_t word = atomic_fetch_add_explicit(&series->current, UINT64_C(1) << COUNT_SHIFT,
                                              memory_order_acquire);
    *ret_index = word & 0xffff;
    return &series->views[*ret_index].view;
}

void
series_view_leave(struct series *series, uint32_t index)
{
    atomic_fetch_add_explicit(&series->views[index].left, 1, memory_order_release);
}

struct view *
series_view_current(struct series *series)
{
    return &series->views[atomic_load_explicit(&series->current, memory_order_relaxed) & 0xffff]
                .view;
}

/* The last view that had these is gone: only the dead lists know them from here on. */
static void
release_parts(struct series *series, const struct view *view)
{
    for (uint32_t i = 0; i < view->table_count; i++) {
        struct table *table = view->tables[i];
        if (--table->views == 0) {
            table->next_dead = series->dead_tables;
            series->dead_tables = table;
        }
    }
    for (uint32_t i = 0; i < view->run_count; i++) {
        struct run *run = view->runs[i];
        if (--run->views == 0) {
            run->next_dead = series->dead_runs;
            series->dead_runs = run;
        }
    }
}

static unsigned
reclaim_views(struct series *series)
{
    unsigned free_count = 0;
    for (unsigned i = 0; i < SERIES_VIEWS; i++) {
        struct view_slot *slot = &series->views[i];
        if (slot->state == VIEW_RETIRED
            && (atomic_load_explicit(&slot->left, memory_order_acquire) & COUNT_MASK)
                   == slot->entered) {
            release_parts(series, &slot->view);
            slot->state = VIEW_FREE;
        }
        free_count += slot->state == VIEW_FREE;
    }
    return free_count;
}

struct view *
series_view_copy(struct series *series, unsigned spare)
{
    if (reclaim_views(series) <= spare)
        return NULL;
    for (unsigned i = 0;; i++) {
        struct view_slot *slot = &series->views[i];
        if (slot->state == VIEW_FREE) {
            slot->view = *series_view_current(series);
            return &slot->view;
        }
    }
}

void
series_view_publish(struct series *series, struct view *view)
{
    struct view_slot *slot = (struct view_slot *)(void *)view; /* view is its first member */
    _Static_assert(offsetof(struct view_slot, view) == 0, "a view is found from its slot");
    for (uint32_t i = 0; i < view->table_count; i++)
        view->tables[i]->views++;
    for (uint32_t i = 0; i < view->run_count; i++)
        view->runs[i]->views++;
    slot->state = VIEW_CURRENT;
    atomic_store_explicit(&slot->left, 0, memory_order_relaxed);

    uint64_t word = atomic_exchange_explicit(&series->current, (uint64_t)(slot - series->views),
                                             memory_order_acq_rel);
    struct view_slot *old = &series->views[word & 0xffff];
    old->entered = word >> COUNT_SHIFT;
    old->state = VIEW_RETIRED;
}

void
series_view_first(struct series *series)
{
    struct view_slot *slot = &series->views[0];
    for (uint32_t i = 0; i < slot->view.table_count; i++)
        slot->view.tables[i]->views++;
    for (uint32_t i = 0; i < slot->view.run_count; i++)
        slot->view.runs[i]->views++;
    slot->state = VIEW_CURRENT;
    atomic_store_explicit(&series->current, 0, memory_order_release);
}

static void
free_run(struct series *series, struct run *run)
{
    char path[SERIES_PATH_MAX];
    bool doomed = run->doomed && series_path(path, series->dir, run->name, NULL) == CAIRN_OK;
    series_run_free(run);
    /* A file that cannot be removed now is removed at the next open, as an orphan. */
    if (doomed)
        (void)os_unlink(series->os, path);
}

void
series_view_reap(struct series *series)
{
    pthread_mutex_lock(&series->lock);
    (void)reclaim_views(series);
    struct table *tables = series->dead_tables;
    series->dead_tables = NULL;
    /* Invariant 4: while the manifest on disk may name them, the runs' files stay. */
    struct run *runs = series->manifest_dirty ? NULL : series->dead_runs;
    if (!series->manifest_dirty)
        series->dead_runs = NULL;
    pthread_mutex_unlock(&series->lock);

    while (tables != NULL) {
        struct table *next = tables->next_dead;
        series_table_free(tables);
        tables = next;
    }
    while (runs != NULL) {
        struct run *next = runs->next_dead;
        free_run(series, runs);
        runs = next;
    }
}

void
series_view_free_all(struct series *series)
{
    pthread_mutex_lock(&series->lock);
    for (unsigned i = 0; i < SERIES_VIEWS; i++) {
        struct view_slot *slot = &series->views[i];
        if (slot->state != VIEW_FREE)
            release_parts(series, &slot->view);
        slot->state = VIEW_FREE;
    }
    pthread_mutex_unlock(&series->lock);
    if (series->manifest_dirty)
        for (struct run *run = series->dead_runs; run != NULL; run = run->next_dead)
            run->doomed = false; /* whether the manifest on disk names it is not known */
    series->manifest_dirty = false;
    series_view_reap(series);
}

/* Reads across the tables and runs of one view: they cover disjoint ranges of positions, so a read asks
 * them one after the other, in its direction, and stops when it is full. Any thread; no lock. */
#include <log/series_int.h>

/* ---- what a read takes of a span ----------------------------------------------------------- */

uint64_t
series_sink_seek(const struct sink *sink)
{
    const struct series_read *read = sink->read;
    if (read->backward && read->by == SERIES_BY_POSITION && read->from >= read->end)
        return read->end - 1;
    return read->from;
}

/* How many positions of a span are below `position`. */
static uint32_t
count_below(const struct span *span, uint64_t position)
{
    uint32_t low = 0, high = span->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (span->positions[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* How many entries of a span come before `from`, in the read's own measure. */
static uint32_t
count_before(const struct span *span, enum series_by by, uint64_t from)
{
    if (by == SERIES_BY_POSITION)
        return count_below(span, from);
    if (from <= span->first_ordinal)
        return 0;
    uint64_t before = span->step ? from - span->first_ordinal : span->count;
    return before < span->count ? (uint32_t)before : span->count;
}

static inline struct series_head
entry_at(const struct span *span, uint32_t i)
{
    return (struct series_head){.ordinal = span->first_ordinal + (uint64_t)i * span->step,
                                .position = span->positions[i]};
}

static void
put_forward(struct sink *sink, const struct span *span)
{
    uint32_t i = count_before(span, sink->read->by, sink->read->from);
    uint32_t end = count_below(span, sink->read->end);
    for (; i < end && sink->count < sink->max; i++)
        sink->entries[sink->count++] = entry_at(span, i);
    sink->done = end < span->count || sink->count == sink->max;
}

static void
put_backward(struct sink *sink, const struct span *span)
{
    uint64_t from = sink->read->from;
    uint32_t end = from == UINT64_MAX ? span->count : count_before(span, sink->read->by, from + 1);
    uint32_t below = count_below(span, sink->read->end);
    for (uint32_t i = end < below ? end : below; i > 0 && sink->count < sink->max; i--)
        sink->entries[sink->count++] = entry_at(span, i - 1);
    sink->done = sink->count == sink->max;
}

void
series_sink_put(struct sink *sink, const struct span *span)
{
    if (sink->read->backward)
        put_backward(sink, span);
    else
        put_forward(sink, span);
}

/* ---- over a view --------------------------------------------------------------------------- */

static cairn_err
read_runs(const struct view *view, struct sink *sink, cairn_error *error)
{
    const struct series_read *read = sink->read;
    for (uint32_t n = 0; n < view->run_count && !sink->done; n++) {
        const struct run *run = view->runs[read->backward ? view->run_count - 1 - n : n];
        if (run->info.first >= read->end)
            continue;
        if (read->by == SERIES_BY_POSITION
            && (read->backward ? run->info.first > read->from : run->info.end <= read->from))
            continue;
        cairn_err err = series_run_read(run, sink, error);
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}

static void
read_tables(const struct view *view, struct sink *sink)
{
    const struct series_read *read = sink->read;
    for (uint32_t n = 0; n < view->table_count && !sink->done; n++) {
        const struct table *table = view->tables[read->backward ? n : view->table_count - 1 - n];
        if (table->base < read->end)
            series_table_read(table, sink);
    }
}

cairn_err
cairn_series_read(struct series *series, const struct series_read *read,
                  struct series_head *entries, size_t max, size_t *ret_count, cairn_error *error)
{
    struct sink sink
        = {.read = read, .entries = entries, .max = max, .done = max == 0 || read->end == 0};
    uint32_t index;
    cairn_err err = CAIRN_OK;
    const struct view *view = series_view_enter(series, &index);
    if (read->backward)
        read_tables(view, &sink);
    err = read_runs(view, &sink, error);
    if (!read->backward && err == CAIRN_OK)
        read_tables(view, &sink);
    series_view_leave(series, index);
    if (err == CAIRN_OK)
        *ret_count = sink.count;
    return err;
}

static bool
tables_have(const struct view *view, struct hash128 key)
{
    for (uint32_t i = 0; i < view->table_count; i++)
        if (series_table_has(view->tables[i], key))
            return true;
    return false;
}

/* Of a key that no table has, the cache knows what the runs say, or comes to know it. False: ask. See series_head.c for why
 * that is as true for a reader as for the writer. */
static bool
head_is_known(struct series *series, struct hash128 key, size_t *ret_count, struct series_head *ret_head)
{
    const struct series_read read = {.key = key, .from = UINT64_MAX, .backward = true, .end = UINT64_MAX};
    struct sink sink = {.read = &read, .entries = ret_head, .max = 1};
    uint64_t generation = atomic_load_explicit(&series->heads.generation, memory_order_acquire);
    uint32_t index;
    const struct view *view = series_view_enter(series, &index);
    bool known = false;
    if (!tables_have(view, key)) {
        enum series_known said = series_heads_get(&series->heads, key, ret_head);
        known = said != SERIES_UNKNOWN;
        sink.count = said == SERIES_PRESENT;
        if (!known && read_runs(view, &sink, NULL) == CAIRN_OK)
            known = series_heads_put(&series->heads, key, sink.count ? ret_head : NULL, generation);
    }
    series_view_leave(series, index);
    *ret_count = sink.count;
    return known;
}

cairn_err
cairn_series_head(struct series *series, struct hash128 key, uint64_t end,
                  struct series_head *ret_head, cairn_error *error)
{
    struct series_read read = {.key = key, .from = UINT64_MAX, .backward = true, .end = end};
    struct series_head head;
    size_t count = 0;
    cairn_err err = CAIRN_OK;
    bool known = head_is_known(series, key, &count, &head);
    if (!known || (count == 1 && head.position >= end))
        err = cairn_series_read(series, &read, &head, 1, &count, error);
    if (err == CAIRN_OK && count == 1)
        *ret_head = head;
    if (err != CAIRN_OK || count == 1)
        return err;
    return error_set(error, CAIRN_E_END, "the series has no entries");
}

/* ---- heads --------------------------------------------------------------------------------- */

/* See series_head.c for why what is stored here is never stale. */
cairn_err
cairn_series_warm(struct series *series, struct hash128 key, cairn_error *error)
{
    const struct series_read read
        = {.key = key, .from = UINT64_MAX, .backward = true, .end = UINT64_MAX};
    for (unsigned tries = 0; tries < 4;
         tries++) { /* a flush in between is rare; the caller loops too */
        uint64_t generation = atomic_load_explicit(&series->heads.generation, memory_order_acquire);
        uint32_t index;
        struct series_head head;
        struct sink sink = {.read = &read, .entries = &head, .max = 1};
        const struct view *view = series_view_enter(series, &index);
        bool known = tables_have(view, key);
        cairn_err err = known ? CAIRN_OK : read_runs(view, &sink, error);
        series_view_leave(series, index);
        if (known || err != CAIRN_OK)
            return err;
        if (series_heads_put(&series->heads, key, sink.count ? &head : NULL, generation))
            return CAIRN_OK;
    }
    return CAIRN_OK;
}

/* ---- everything ---------------------------------------------------------------------------- */

/* False: the visitor wants no more. */
static bool
visit_span(struct hash128 key, const struct span *span, uint64_t end, series_visit visit,
           void *context)
{
    for (uint32_t i = 0; i < span->count && span->positions[i] < end; i++)
        if (!visit(context, key, span->first_ordinal + (uint64_t)i * span->step,
                   span->positions[i]))
            return false;
    return true;
}

static cairn_err
each_of_run(const struct run *run, uint64_t end, series_visit visit, void *context, bool *ret_stop,
            cairn_error *error)
{
    struct run_cursor cursor;
    cairn_err err = series_cursor_open(&cursor, run, error);
    while (err == CAIRN_OK && !*ret_stop) {
        err = series_cursor_next(&cursor, error);
        if (err != CAIRN_OK || cursor.end)
            break;
        *ret_stop = !visit_span(cursor.key, &cursor.span, end, visit, context);
    }
    series_cursor_close(&cursor);
    return err;
}

static void
each_of_table(const struct table *table, uint64_t end, series_visit visit, void *context,
              bool *ret_stop)
{
    struct table_walk walk;
    struct hash128 key;
    struct span span;
    for (uint64_t slot = 0; slot <= table->mask && !*ret_stop; slot++)
        if (series_table_walk(&walk, table, slot, &key))
            while (!*ret_stop && series_table_walk_next(&walk, &span))
                *ret_stop = !visit_span(key, &span, end, visit, context);
}

cairn_err
cairn_series_each(struct series *series, uint64_t end, series_visit visit, void *context,
                  cairn_error *error)
{
    uint32_t index;
    bool stop = false;
    cairn_err err = CAIRN_OK;
    const struct view *view = series_view_enter(series, &index);
    for (uint32_t i = 0; i < view->run_count && err == CAIRN_OK && !stop; i++)
        if (view->runs[i]->info.first < end)
            err = each_of_run(view->runs[i], end, visit, context, &stop, error);
    for (uint32_t i = 0; i < view->table_count && err == CAIRN_OK && !stop; i++)
        each_of_table(view->tables[i], end, visit, context, &stop);
    series_view_leave(series, index);
    return err;
}

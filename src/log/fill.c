/* Filling an index from the log, at opening and when it is computed again.
 *
 * The entries of a batch's positions are gathered first, neighbours of one series as one run, so that a batch costs the index
 * little more than an event does, and so that exactly the room that is needed is asked for. Owned by who fills. */
#include "log_int.h"

#define GATHERED_MAX 1024u /* positions */

struct fill_run {
    struct hash128 key;
    uint64_t first_ordinal, first_position;
    uint32_t step, count;
};

void
index_fill_begin(struct index_fill *fill, struct log *log, struct series *series)
{
    *fill = (struct index_fill){.log = log, .series = series};
}

void
index_fill_end(struct index_fill *fill)
{
    free(fill->runs);
    fill->runs = NULL;
}

/* When maintaining has nothing more to do and there is still no room, memory is what lacks. */
static cairn_err
make_room(struct index_fill *fill, const struct series_need *need, uint64_t position, cairn_error *error)
{
    struct log *log = fill->log;
    bool more = true;
    unsigned tries = 0;
    while (!cairn_series_has_room_ranges(fill->series, need, position)) {
        if (log->options.read_only)
            return error_set(error, CAIRN_E_LIMIT,
                             "the index is too far behind the log; open it for writing once, or reindex");
        if (!more)
            return error_set(error, CAIRN_E_NOMEM, "no memory for the index");
        cairn_error found = {0};
        cairn_err err = cairn_series_maintain(fill->series, position, &more, &found);
        if (err == CAIRN_E_CORRUPT && fill->series == log->series) {
            log_index_is_damaged(log, &found); /* mended once the log is open; flushing goes on until then */
            more = tries++ < LOG_RETRIES_MAX;
        } else if (err != CAIRN_OK) {
            if (error != NULL)
                *error = found;
            return err;
        }
    }
    return CAIRN_OK;
}

cairn_err
index_fill_flush(struct index_fill *fill, cairn_error *error)
{
    if (fill->run_count == 0)
        return CAIRN_OK;
    struct series_need need = {0};
    for (size_t i = 0; i < fill->run_count; i++) {
        bool single = fill->runs[i].count == 1;
        need.entries += single;
        need.ranges += !single;
        need.range_entries += single ? 0 : fill->runs[i].count;
    }
    cairn_err err = make_room(fill, &need, fill->first, error);
    if (err != CAIRN_OK)
        return err;
    for (size_t i = 0; i < fill->run_count; i++) {
        const struct fill_run *run = &fill->runs[i];
        if (run->count == 1)
            cairn_series_insert(fill->series, run->key, run->first_ordinal, run->first_position);
        else
            cairn_series_insert_range(fill->series, run->key, run->first_ordinal, run->step, run->first_position,
                                      run->count);
    }
    fill->run_count = fill->last_count = fill->positions = 0;
    return CAIRN_OK;
}

/* Does the entry go on where a run ended, which is at the position before? */
static bool
extend(struct fill_run *run, const struct log_entry *entry)
{
    if (run->key.low != entry->key.low || run->key.high != entry->key.high)
        return false;
    uint32_t step = entry->ordinal != 0;
    if (entry->ordinal != (step ? run->first_ordinal + run->count : 0) || (run->count > 1 && run->step != step)
        || (step == 0 && run->first_ordinal != 0))
        return false;
    run->step = step;
    run->count++;
    return true;
}

/* The run that this entry extends; the count where there is none. Batches mostly repeat their keys in one order. */
static size_t
find_run(const struct index_fill *fill, const struct log_entry *entry, size_t like)
{
    for (size_t i = 0; i < fill->last_count; i++) {
        size_t at = fill->last[(like + i) % fill->last_count];
        if (extend(&fill->runs[at], entry))
            return at;
    }
    return fill->run_count;
}

cairn_err
index_fill_add(struct index_fill *fill, uint64_t position, const struct log_entry *entries, size_t n, cairn_error *error)
{
    if (fill->positions == GATHERED_MAX) {
        cairn_err err = index_fill_flush(fill, error);
        if (err != CAIRN_OK)
            return err;
    }
    if (fill->run_count + n > fill->run_capacity) {
        size_t capacity = 2 * fill->run_capacity + n;
        struct fill_run *runs = realloc(fill->runs, capacity * sizeof *runs);
        if (runs == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for the index");
        fill->runs = runs;
        fill->run_capacity = capacity;
    }
    if (fill->positions == 0)
        fill->first = position;
    assert(n <= LOG_KEYS_MAX && position == fill->first + fill->positions);
    uint32_t now[LOG_KEYS_MAX];
    for (size_t i = 0; i < n; i++) {
        size_t at = find_run(fill, &entries[i], i);
        if (at == fill->run_count)
            fill->runs[fill->run_count++] = (struct fill_run){entries[i].key, entries[i].ordinal, position, 0, 1};
        now[i] = (uint32_t)at;
    }
    memcpy(fill->last, now, n * sizeof *now);
    fill->last_count = n;
    fill->positions++;
    return CAIRN_OK;
}

/* Readers: a stream by revision, all events by position, filtered events by query.
 *
 * Each call of next looks at the log as it is durable then. A reader holds no lock and pins nothing between calls;
 * what it returns lies in its own block until the next call. */
#include "topics.h"
#include <os/wait.h>

#define READER_ENTRIES 256
#define NEAR_POSITIONS 8 /* entries this close are read with one look ahead */

enum reader_mode { READ_STREAM, READ_ALL, READ_QUERY };

struct log_reader {
    struct log *log;
    enum reader_mode mode;
    cairn_scope scope;
    bool backward, system;
    uint64_t end_limit;  /* UINT64_MAX: none */
    int64_t next;        /* revision or position to return next; -1: past the beginning */
    struct block *block;
    struct query_plan *plan;

    /* READ_STREAM */
    struct hash128 key;
    char stream[LOG_STREAM_MAX];
    size_t stream_size;
    struct series_head entries[READER_ENTRIES];
    size_t entry_count, entry_next;
    uint64_t retention_changes; /* when they were loaded */

    cairn_str tags[LOG_TAGS_MAX];
};

static uint64_t
reader_end(const struct log_reader *reader)
{
    uint64_t durable = atomic_load_explicit(&reader->log->durable, memory_order_acquire);
    return durable < reader->end_limit ? durable : reader->end_limit;
}

static cairn_err
reader_new(struct log *log, enum reader_mode mode, const cairn_read_options *options,
           struct log_reader **ret, cairn_error *error)
{
    if (options->follow && options->direction == CAIRN_BACKWARD)
        return error_set(error, CAIRN_E_INVALID, "following goes forward only");
    if (options->from < 0)
        return error_set(error, CAIRN_E_INVALID, "from is negative");
    struct log_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL || (reader->block = block_new()) == NULL) {
        free(reader);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a reader");
    }
    reader->log = log;
    reader->mode = mode;
    reader->scope = options->scope;
    reader->backward = options->direction == CAIRN_BACKWARD;
    reader->system = options->system;
    reader->end_limit = options->end ? options->end : UINT64_MAX;
    reader->next = options->from;
    *ret = reader;
    return CAIRN_OK;
}

void
cairn_log_reader_free(struct log_reader *reader)
{
    if (reader == NULL)
        return;
    block_free(reader->block);
    query_plan_free(reader->plan);
    free(reader);
}

int64_t
cairn_log_reader_from(const struct log_reader *reader)
{
    return reader->next;
}

cairn_err
cairn_log_read_stream(struct log *log, cairn_str stream, const cairn_read_options *options,
                      struct log_reader **ret, cairn_error *error)
{
    if (stream.size == 0 || stream.size > LOG_STREAM_MAX)
        return error_set(error, stream.size ? CAIRN_E_LIMIT : CAIRN_E_INVALID,
                         "stream is %zu bytes; 1 to %d are allowed", stream.size, LOG_NAME_MAX);
    struct log_reader *reader;
    cairn_err err = reader_new(log, READ_STREAM, options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    memcpy(reader->stream, stream.data, stream.size);
    reader->stream_size = stream.size;
    reader->key = log_key(log, KEY_STREAM, options->scope, stream);
    if (options->from == CAIRN_FROM_END) {
        struct series_head head;
        err = cairn_series_head(log->series, reader->key, reader_end(reader), &head, error);
        if (err == CAIRN_OK)
            reader->next = (int64_t)head.ordinal + (reader->backward ? 0 : 1);
        else if (err == CAIRN_E_END)
            reader->next = reader->backward ? -1 : 0;
        if (err != CAIRN_OK && err != CAIRN_E_END) {
            cairn_log_reader_free(reader);
            return err;
        }
    }
    atomic_fetch_add(&log->stats.reads, 1);
    *ret = reader;
    return CAIRN_OK;
}

cairn_err
cairn_log_read_all(struct log *log, const cairn_read_options *options, struct log_reader **ret,
                   cairn_error *error)
{
    bool filtered = options->category.size > 0 || options->query.item_count > 0;
    if (options->category.size > LOG_NAME_MAX)
        return error_set(error, CAIRN_E_LIMIT, "category is %zu bytes; the limit is %d",
                         options->category.size, LOG_NAME_MAX);
    struct log_reader *reader;
    cairn_err err = reader_new(log, filtered ? READ_QUERY : READ_ALL, options, &reader, error);
    if (err == CAIRN_OK && filtered) {
        err = query_plan_new(log, options->scope, options->category, &options->query,
                             &reader->plan, error);
        if (err != CAIRN_OK)
            cairn_log_reader_free(reader);
    }
    if (err != CAIRN_OK)
        return err;
    uint64_t end = reader_end(reader);
    if (reader->backward && (uint64_t)reader->next >= end)
        reader->next = (int64_t)end - 1;
    else if (options->from == CAIRN_FROM_END)
        reader->next = (int64_t)end;
    atomic_fetch_add(&log->stats.reads, 1);
    *ret = reader;
    return CAIRN_OK;
}

/* ---- a stream ------------------------------------------------------------------------------ */

/* The first revision that may be read: count and truncation, then age by the time index. */
static cairn_err
first_readable(struct log *log, struct hash128 key, cairn_str stream, uint64_t end,
               uint64_t *ret_first, struct retention *ret_retention, cairn_error *error)
{
    *ret_first = 0;
    *ret_retention = (struct retention){0};
    if (!retention_get(log, key, stream, ret_retention))
        return CAIRN_OK;
    struct series_head head;
    cairn_err err = cairn_series_head(log->series, key, end, &head, error);
    if (err != CAIRN_OK)
        return err == CAIRN_E_END ? CAIRN_OK : err;
    *ret_first = retention_first(ret_retention, head.ordinal);
    if (ret_retention->limits.max_age_us == 0)
        return CAIRN_OK;
    int64_t oldest = retention_oldest(ret_retention, os_now_us(log->os));
    uint64_t position;
    err = cairn_log_position_at(log, oldest - 1, &position, error);
    if (err != CAIRN_OK)
        return err;
    struct series_read read = {.key = key, .by = SERIES_BY_POSITION, .from = position, .end = end};
    size_t found;
    err = cairn_series_read(log->series, &read, &head, 1, &found, error);
    uint64_t young = found == 1 ? head.ordinal : UINT64_MAX;
    if (err == CAIRN_OK && young > *ret_first)
        *ret_first = young;
    return err;
}

static cairn_err
load_entries(struct log_reader *reader, cairn_error *error)
{
    uint64_t changes = atomic_load_explicit(&reader->log->retention_changes, memory_order_acquire);
    uint64_t end = reader_end(reader), first;
    struct retention retention;
    cairn_str stream = {reader->stream, reader->stream_size};
    cairn_err err = first_readable(reader->log, reader->key, stream, end, &first, &retention, error);
    if (err != CAIRN_OK)
        return err;
    reader->entry_next = reader->entry_count = 0;
    reader->retention_changes = changes;
    if (reader->next < 0)
        return CAIRN_E_END;
    uint64_t from = (uint64_t)reader->next;
    if (first > from) {
        if (reader->backward)
            return CAIRN_E_END;
        from = first;
    }
    if (first == UINT64_MAX)
        return CAIRN_E_END;
    struct series_read read = {.key = reader->key, .by = SERIES_BY_ORDINAL, .from = from,
                               .backward = reader->backward, .end = end};
    err = cairn_series_read(reader->log->series, &read, reader->entries, READER_ENTRIES,
                            &reader->entry_count, error);
    /* Going backward, what lies below the first readable revision is left out. */
    while (reader->backward && reader->entry_count > 0
           && reader->entries[reader->entry_count - 1].ordinal < first)
        reader->entry_count--;
    return err != CAIRN_OK ? err : reader->entry_count > 0 ? CAIRN_OK : CAIRN_E_END;
}

/* One look ahead serves neighbours; lonely records are read alone. */
static enum block_mode
mode_for(const struct log_reader *reader)
{
    if (reader->entry_next + 1 >= reader->entry_count)
        return BLOCK_POINT;
    uint64_t here = reader->entries[reader->entry_next].position;
    uint64_t then = reader->entries[reader->entry_next + 1].position;
    if (reader->backward)
        return here - then <= NEAR_POSITIONS ? BLOCK_SCAN_BACKWARD : BLOCK_POINT;
    return then - here <= NEAR_POSITIONS ? BLOCK_SCAN : BLOCK_POINT;
}

static cairn_err
next_of_stream(struct log_reader *reader, struct record *record, cairn_error *error)
{
    for (;;) {
        if (reader->entry_next == reader->entry_count
            || atomic_load_explicit(&reader->log->retention_changes, memory_order_acquire)
                   != reader->retention_changes) {
            cairn_err err = load_entries(reader, error);
            if (err != CAIRN_OK)
                return err;
        }
        struct series_head entry = reader->entries[reader->entry_next];
        cairn_err err = log_read_record(reader->log, reader->block, entry.position,
                                        mode_for(reader), record, error);
        if (err != CAIRN_OK)
            return err;
        reader->entry_next++;
        reader->next = (int64_t)entry.ordinal + (reader->backward ? -1 : 1);
        if (record->kind == RECORD_EVENT && !topic_hides_record(reader->log, record))
            return CAIRN_OK;
    }
}

/* ---- all events, filtered or not ------------------------------------------------------------- */

static cairn_err
may_return(struct log_reader *reader, const struct record *record, bool *ret, cairn_error *error)
{
    bool system = record->stream.size > 0 && record->stream.data[0] == '$';
    *ret = record->kind == RECORD_EVENT && record->scope == reader->scope
           && (reader->system || !system);
    if (!*ret)
        return CAIRN_OK;
    if (!system && !retention_any(reader->log)) { /* then it is the topic alone that may hide it */
        *ret = !topic_hides_record(reader->log, record);
        return CAIRN_OK;
    }
    bool hidden;
    cairn_err err = retention_hides(reader->log, record, os_now_us(reader->log->os),
                                    reader_end(reader), &hidden, error);
    *ret = !hidden;
    return err;
}

static cairn_err
next_of_all(struct log_reader *reader, struct record *record, cairn_error *error)
{
    uint64_t end = reader_end(reader);
    enum block_mode mode = reader->backward ? BLOCK_SCAN_BACKWARD : BLOCK_SCAN;
    while (reader->next >= 0 && (uint64_t)reader->next < end) {
        uint64_t position = (uint64_t)reader->next;
        cairn_err err;
        if (reader->mode == READ_QUERY) {
            err = query_seek(reader->plan, position, end, reader->backward, &position, error);
            if (err == CAIRN_E_END) {
                reader->next = reader->backward ? -1 : (int64_t)end;
                return CAIRN_E_END;
            }
            if (err != CAIRN_OK)
                return err;
            uint64_t there = (uint64_t)reader->next;
            uint64_t gap = position > there ? position - there : there - position;
            mode = gap > NEAR_POSITIONS ? BLOCK_POINT
                   : reader->backward   ? BLOCK_SCAN_BACKWARD
                                        : BLOCK_SCAN;
        }
        err = log_read_record(reader->log, reader->block, position, mode, record, error);
        if (err != CAIRN_OK)
            return err;
        reader->next = reader->backward ? (int64_t)position - 1 : (int64_t)position + 1;
        bool wanted;
        err = may_return(reader, record, &wanted, error);
        if (err != CAIRN_OK || wanted)
            return err;
    }
    return CAIRN_E_END;
}

cairn_err
cairn_log_reader_next(struct log_reader *reader, cairn_recorded *ret, cairn_error *error)
{
    struct record record;
    cairn_err err = reader->mode == READ_STREAM ? next_of_stream(reader, &record, error)
                                                : next_of_all(reader, &record, error);
    if (err != CAIRN_OK)
        return err;
    cairn_str packed = record.tags_packed;
    for (size_t i = 0; i < record.event.tag_count; i++)
        (void)record_next_tag(&packed, &reader->tags[i]);
    record.event.tags = reader->tags;
    *ret = (cairn_recorded){record.position, record.revision, record.time_us,
                            record.scope,    record.stream,   record.event};
    atomic_fetch_add_explicit(&reader->log->stats.events_read, 1, memory_order_relaxed);
    return CAIRN_OK;
}

/* ---- questions -------------------------------------------------------------------------------- */

cairn_err
log_first_match(struct log *log, cairn_scope scope, const cairn_query *query, uint64_t low,
                uint64_t end, uint64_t *ret_position, cairn_error *error)
{
    struct query_plan *plan;
    if (low >= end)
        return CAIRN_E_END;
    cairn_err err = query_plan_new(log, scope, (cairn_str){0}, query, &plan, error);
    if (err != CAIRN_OK)
        return err;
    err = query_seek(plan, low, end, false, ret_position, error);
    query_plan_free(plan);
    return err;
}

/* The first position at or after `low` that may be an event to count: by the index, or, where there is no plan since
 * everything matches, the next one. */
static cairn_err
next_candidate(struct query_plan *plan, uint64_t low, uint64_t end, uint64_t *ret, cairn_error *error)
{
    *ret = low;
    if (low >= end)
        return CAIRN_E_END;
    return plan != NULL ? query_seek(plan, low, end, false, ret, error) : CAIRN_OK;
}

cairn_err
log_first_kept(struct log *log, cairn_scope scope, const cairn_query *query, uint64_t low,
               uint64_t end, uint64_t *ret_position, cairn_error *error)
{
    if (query->item_count > 0 && atomic_load(&log->removed) == 0)
        return log_first_match(log, scope, query, low, end, ret_position, error);
    struct query_plan *plan = NULL;
    struct block *block = block_new();
    cairn_err err = block == NULL
                        ? error_set(error, CAIRN_E_NOMEM, "no memory to read the log")
                    : query->item_count > 0
                        ? query_plan_new(log, scope, (cairn_str){0}, query, &plan, error)
                        : CAIRN_OK;
    if (block != NULL)
        block_only_names(block);
    for (uint64_t position; err == CAIRN_OK; low = position + 1) {
        struct record record;
        err = next_candidate(plan, low, end, &position, error);
        if (err == CAIRN_OK)
            err = log_read_record(log, block, position, plan != NULL ? BLOCK_POINT : BLOCK_SCAN,
                                  &record, error);
        if (err == CAIRN_OK && record.kind == RECORD_EVENT && record.scope == scope
            && (plan != NULL || (record.stream.size > 0 && record.stream.data[0] != '$'))) {
            *ret_position = position;
            break;
        }
    }
    query_plan_free(plan);
    block_free(block);
    return err;
}

cairn_err
cairn_log_stream_info(struct log *log, cairn_scope scope, cairn_str stream, cairn_stream_info *ret,
                      cairn_error *error)
{
    if (stream.size == 0 || stream.size > LOG_STREAM_MAX)
        return error_set(error, stream.size ? CAIRN_E_LIMIT : CAIRN_E_INVALID,
                         "stream is %zu bytes; 1 to %d are allowed", stream.size, LOG_NAME_MAX);
    struct hash128 key = log_key(log, KEY_STREAM, scope, stream);
    uint64_t end = cairn_log_end(log), first;
    struct retention retention;
    struct series_head head;
    cairn_err err = first_readable(log, key, stream, end, &first, &retention, error);
    if (err != CAIRN_OK)
        return err;
    *ret = (cairn_stream_info){.last_revision = -1, .retention = retention.limits,
                               .tombstoned = retention.tombstoned};
    err = cairn_series_head(log->series, key, end, &head, error);
    if (err == CAIRN_E_END)
        return CAIRN_OK;
    if (err != CAIRN_OK)
        return err;
    ret->last_revision = (int64_t)head.ordinal;
    ret->last_position = head.position;
    ret->exists = first <= head.ordinal;
    ret->first_revision = first;
    return CAIRN_OK;
}

static bool
has_prefix(cairn_str text, cairn_str prefix)
{
    return text.size >= prefix.size
           && (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

/* Is this a stream to list? Deleted ones are not. */
static cairn_err
is_listed(struct log *log, const struct record *record, cairn_str prefix, bool *ret,
          cairn_error *error)
{
    bool system = record->stream.size > 0 && record->stream.data[0] == '$';
    *ret = record->stream.size > 0 && has_prefix(record->stream, prefix)
           && (!system || (prefix.size > 0 && prefix.data[0] == '$'));
    if (!*ret || !retention_any(log))
        return CAIRN_OK;
    cairn_stream_info info;
    cairn_err err = cairn_log_stream_info(log, record->scope, record->stream, &info, error);
    *ret = err == CAIRN_OK && info.exists;
    return err;
}

cairn_err
cairn_log_streams(struct log *log, cairn_scope scope, cairn_str prefix, cairn_str after,
                  cairn_stream_visit visit, void *context, cairn_error *error)
{
    if (prefix.size > LOG_STREAM_MAX || after.size > LOG_STREAM_MAX)
        return error_set(error, CAIRN_E_LIMIT, "a stream's name has at most %d bytes", LOG_NAME_MAX);
    cairn_str category = category_of(prefix);
    bool in_category = category.size < prefix.size;
    struct series_read read = {
        .key = in_category ? log_key(log, KEY_CATEGORY_DIRECTORY, scope, category)
                           : log_key(log, KEY_DIRECTORY, scope, (cairn_str){0}),
        .by = SERIES_BY_POSITION,
        .end = cairn_log_end(log),
    };
    struct series_head entries[64];
    size_t count;
    cairn_err err;
    if (after.size > 0) {
        struct series_read first = {.key = log_key(log, KEY_STREAM, scope, after),
                                    .by = SERIES_BY_ORDINAL, .end = read.end};
        err = cairn_series_read(log->series, &first, entries, 1, &count, error);
        if (err == CAIRN_OK && count == 0)
            err = error_set(error, CAIRN_E_NOTFOUND, "after: there is no such stream");
        if (err != CAIRN_OK)
            return err;
        read.from = entries[0].position + 1;
    }
    struct block *block = block_new();
    if (block == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to read the log");
    block_only_names(block);
    bool more = true;
    do {
        err = cairn_series_read(log->series, &read, entries, 64, &count, error);
        for (size_t i = 0; err == CAIRN_OK && more && i < count; i++) {
            struct record record;
            bool listed = false;
            err = log_read_record(log, block, entries[i].position, BLOCK_POINT, &record, error);
            if (err == CAIRN_OK)
                err = is_listed(log, &record, prefix, &listed, error);
            if (listed)
                more = visit(context, record.stream, entries[i].position);
            read.from = entries[i].position + 1;
        }
    } while (err == CAIRN_OK && more && count > 0);
    block_free(block);
    return err;
}

/* First the segment, then the piece of it, then record by record: times never decrease. */
cairn_err
cairn_log_position_at(struct log *log, int64_t time_us, uint64_t *ret_position, cairn_error *error)
{
    uint64_t end = cairn_log_end(log), low = 0;
    uint32_t parity = epoch_enter(log);
    uint32_t count = atomic_load_explicit(&log->segment_count, memory_order_acquire);
    for (uint32_t i = count; i-- > 0;) { /* newest first: recent times are asked for most */
        struct segment *segment = atomic_load_explicit(&log->slots[i], memory_order_acquire);
        uint64_t records = segment->first_position < end ? end - segment->first_position : 0;
        if (records > atomic_load_explicit(&segment->count, memory_order_acquire))
            records = atomic_load_explicit(&segment->count, memory_order_acquire);
        if (records == 0 || segment->times[0] > time_us)
            continue;
        size_t a = 0, b = (size_t)((records - 1) / TIME_STEP) + 1;
        while (b - a > 1) { /* times[a] <= time_us < times[b] */
            size_t middle = a + (b - a) / 2;
            if (segment->times[middle] <= time_us)
                a = middle;
            else
                b = middle;
        }
        low = segment->first_position + a * TIME_STEP;
        break;
    }
    epoch_leave(log, parity);
    struct block *block = block_new();
    if (block == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to read the log");
    cairn_err err = CAIRN_OK;
    while (low < end) {
        struct record record;
        err = log_read_stored(log, block, low, BLOCK_SCAN, &record, error);
        if (err != CAIRN_OK || record.time_us > time_us)
            break;
        low = record.position + record.count;
    }
    block_free(block);
    if (err == CAIRN_OK)
        *ret_position = low;
    return err;
}

/* ---- following -------------------------------------------------------------------------------- */

uint64_t
cairn_log_end(struct log *log)
{
    return atomic_load_explicit(&log->durable, memory_order_acquire);
}

cairn_err
cairn_log_wait(struct log *log, uint64_t end, uint32_t timeout_ms)
{
    int64_t deadline = os_monotonic_us(log->os) + (int64_t)timeout_ms * 1000;
    cairn_err err = CAIRN_OK;
    atomic_fetch_add(&log->followers, 1);
    for (;;) {
        uint32_t seen = atomic_load(&log->follow_word);
        if (cairn_log_end(log) > end)
            break;
        int64_t left = deadline - os_monotonic_us(log->os);
        if (atomic_load(&log->stopping) || left <= 0) {
            err = left <= 0 ? CAIRN_E_TIMEOUT : CAIRN_E_CLOSED;
            break;
        }
        os_wait(&log->follow_word, seen, (uint64_t)left);
    }
    atomic_fetch_sub(&log->followers, 1);
    return err;
}

void
cairn_log_on_commit(struct log *log, cairn_commit_notify notify, void *context)
{
    pthread_mutex_lock(&log->notify_lock);
    size_t i = 0;
    if (notify == NULL && context == NULL)
        log->listener_count = 0;
    while (i < log->listener_count && log->listeners[i].context != context)
        i++;
    if (notify == NULL && i < log->listener_count)
        log->listeners[i] = log->listeners[--log->listener_count];
    else if (notify != NULL && i < LOG_LISTENERS_MAX) {
        log->listeners[i] = (struct listener){notify, context};
        log->listener_count += i == log->listener_count;
    }
    pthread_mutex_unlock(&log->notify_lock);
}

/* Opening: find the segments, find the tail, bring the index up to date.
 *
 * The tail is found by frames, not by file size. A frame that does not check is either
 *   - torn: it was being written when the power went, so nobody was told that it was done; it and
 *     whatever follows is cut off before the first new write, or
 *   - damaged: it had been acknowledged. Then we refuse to guess, and name file and offset.
 * What tells them apart is the durable position that every frame carries: when a valid later frame says that the
 * bad one's position had been durable, it is damage. The first frame of a batch says so of all before it, so only the
 * newest batch can be torn. Frames may follow a torn one, since the sectors of one unsynced write reach the disk
 * in any order. */
#include "topics.h"
#include <errno.h>

#define SCAN_STEP (1u << 20)

static cairn_err
damaged(cairn_error *error, const struct segment *segment, uint64_t offset, const char *what)
{
    return error_set(error, CAIRN_E_CORRUPT,
                     "%s at byte %llu: %s, though it had been acknowledged; restore a backup, or "
                     "a branch of what is before it",
                     segment->path, (unsigned long long)offset, what);
}

/* ---- scanning frames --------------------------------------------------------------------- */

void
scan_begin(struct frame_scan *scan, struct segment *segment)
{
    *scan = (struct frame_scan){.segment = segment, .at = SEGMENT_HEADER_SIZE};
}

void
scan_end(struct frame_scan *scan)
{
    free(scan->bytes);
    scan->bytes = NULL;
}

/* Have `need` bytes from scan->at on in memory, or what the file has of them. */
static cairn_err
scan_read(struct log *log, struct frame_scan *scan, size_t need, cairn_error *error)
{
    uint64_t have_end = scan->offset + scan->size;
    if (scan->bytes != NULL && scan->at >= scan->offset
        && (scan->at + need <= have_end || scan->at_end))
        return CAIRN_OK;
    size_t size = need > SCAN_STEP ? need : SCAN_STEP;
    if (size > scan->capacity) {
        uint8_t *bytes = realloc(scan->bytes, size);
        if (bytes == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory to read a frame of %zu bytes", size);
        scan->bytes = bytes;
        scan->capacity = size;
    }
    ssize_t n = os_pread(log->os, scan->segment->file, scan->bytes, size, scan->at);
    if (n < 0)
        return error_set_errno(error, (int)-n, "%s at byte %llu: cannot read", scan->segment->path,
                               (unsigned long long)scan->at);
    scan->offset = scan->at;
    scan->size = (size_t)n;
    scan->at_end = (size_t)n < size;
    return CAIRN_OK;
}

static cairn_str
scan_rest(const struct frame_scan *scan)
{
    return (cairn_str){(char *)scan->bytes + (scan->at - scan->offset),
                       (size_t)(scan->offset + scan->size - scan->at)};
}

cairn_err
scan_next(struct log *log, struct frame_scan *scan, struct frame *ret, cairn_str *ret_bytes,
          cairn_error *error)
{
    size_t need = FRAME_HEADER_SIZE;
    for (;;) {
        cairn_err err = scan_read(log, scan, need, error);
        if (err != CAIRN_OK)
            return err;
        cairn_str rest = scan_rest(scan);
        size_t more;
        scan->fault = frame_check(rest, scan->segment->seed, ret, &more);
        if (scan->fault == NULL) {
            *ret_bytes = (cairn_str){rest.data, ret->size};
            return CAIRN_OK;
        }
        if (more <= need || scan->at_end || more > LOG_FRAME_MAX)
            return CAIRN_E_END;
        need = more;
    }
}

/* Take the frames of an unsealed segment into its tables. On return scan->at is where they end. */
static cairn_err
scan_segment(struct log *log, struct frame_scan *scan, cairn_error *error)
{
    struct segment *segment = scan->segment;
    struct frame frame;
    cairn_str bytes;
    cairn_err err;
    while ((err = scan_next(log, scan, &frame, &bytes, error)) == CAIRN_OK) {
        uint64_t expected = segment->first_position + atomic_load(&segment->count);
        if (frame.first_position != expected || frame.durable > expected
            || frame.time_us < log->last_time_us) {
            scan->fault = "the frame does not continue the one before it";
            break;
        }
        size_t at = FRAME_HEADER_SIZE;
        for (uint32_t i = 0; i < frame.count; i++) {
            struct record_extent extent = record_extent((const uint8_t *)bytes.data + at);
            uint64_t index = atomic_load(&segment->count);
            if (index + extent.positions > UINT32_MAX)
                return damaged(error, segment, scan->at, "the segment holds too many positions");
            if (!segment_has_room(segment, extent.positions)
                && (err = segment_grow_tables(segment, extent.positions, error)) != CAIRN_OK)
                return err;
            segment_note_range(segment, index, extent.positions, (uint32_t)(scan->at + at),
                               (uint32_t)(scan->at + at + extent.size), frame.time_us);
            segment->removed += extent.removed;
            at += extent.size;
        }
        log->last_time_us = frame.time_us;
        scan->vouched = frame.durable;
        scan->at += frame.size;
    }
    atomic_store(&segment->data_end, scan->at);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

/* Behind the frames of the last segment: is there anything, and does it say that what is missing had been
 * acknowledged? ret_garbage_end: end of the last byte that is not zero. */
static cairn_err
inspect_tail(struct log *log, struct frame_scan *scan, uint64_t *ret_garbage_end, cairn_error *error)
{
    struct segment *segment = scan->segment;
    uint64_t tail = scan->at, position = segment->first_position + atomic_load(&segment->count);
    const char *fault = scan->fault;
    uint64_t garbage_end = tail;
    for (;;) {
        cairn_err err = scan_read(log, scan, FRAME_HEADER_SIZE, error);
        if (err != CAIRN_OK)
            return err;
        cairn_str rest = scan_rest(scan);
        if (rest.size == 0)
            break;
        static const char zeros[4096];
        if (rest.size >= sizeof zeros && memcmp(rest.data, zeros, sizeof zeros) == 0) { /* prepared, mostly */
            scan->at += sizeof zeros;
            continue;
        }
        size_t step = rest.size < 8 ? rest.size : 8;
        if (memcmp(rest.data, zeros, step) != 0) {
            garbage_end = scan->at + step;
            if (step == 8 && load32(rest.data) == FRAME_MAGIC) {
                struct frame frame;
                cairn_str bytes;
                err = scan_next(log, scan, &frame, &bytes, error);
                if (err == CAIRN_OK && frame.durable > position)
                    return damaged(error, segment, tail, fault);
                if (err != CAIRN_OK && err != CAIRN_E_END)
                    return err;
            }
        }
        scan->at += step;
    }
    *ret_garbage_end = garbage_end;
    return CAIRN_OK;
}

/* ---- the segments ------------------------------------------------------------------------ */

struct numbers {
    uint64_t *items;
    size_t count, capacity;
    bool failed;
};

static void
note_number(void *context, const char *name)
{
    struct numbers *numbers = context;
    uint64_t number;
    cairn_str text = cairn_cstr(name);
    if (text.size < 5 || strcmp(name + text.size - 4, ".seg") != 0
        || !parse_u64((cairn_str){name, text.size - 4}, &number))
        return;
    if (numbers->count == numbers->capacity) {
        size_t capacity = numbers->capacity ? numbers->capacity * 2 : 64;
        uint64_t *items = realloc(numbers->items, capacity * sizeof *items);
        if (items == NULL) {
            numbers->failed = true;
            return;
        }
        numbers->items = items;
        numbers->capacity = capacity;
    }
    numbers->items[numbers->count++] = number;
}

static int
compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void
log_publish_segment(struct log *log, struct segment *segment)
{
    uint32_t count = atomic_load(&log->segment_count);
    assert(count < LOG_SEGMENTS_MAX);
    atomic_store_explicit(&log->slots[count], segment, memory_order_release);
    atomic_store_explicit(&log->segment_count, count + 1, memory_order_release);
}

/* The newest file may be one whose creation was cut off: no valid header, and nothing behind it. It
 * never held a frame, since frames are written only after the header has been synced. */
static bool
is_unborn(struct log *log, uint64_t number)
{
    char path[LOG_PATH_MAX];
    snprintf(path, sizeof path, "%.*s/segments/%08llu.seg", LOG_PATH_MAX - 40, log->dir,
             (unsigned long long)number);
    struct os_file *file;
    if (os_open(log->os, path, OS_READ, &file) != 0)
        return false;
    uint64_t size = 0;
    bool unborn = os_size(log->os, file, &size) == 0 && size <= SEGMENT_HEADER_SIZE;
    (void)os_close(log->os, file);
    return unborn;
}

/* Its making failed (the folder could not be synced), so the one before it went on; then the power went, and
 * came back with its name. It never held a frame, and is made anew. */
static bool
is_stillborn(struct log *log, const struct segment *segment, uint64_t end_before)
{
    uint64_t size = 0;
    return segment->first_position < end_before && !atomic_load(&segment->sealed)
           && os_size(log->os, segment->file, &size) == 0 && size <= SEGMENT_HEADER_SIZE;
}

static cairn_err
open_segments(struct log *log, const struct numbers *numbers, cairn_error *error)
{
    for (size_t i = 0; i < numbers->count; i++) {
        bool last = i + 1 == numbers->count;
        struct segment *segment;
        cairn_error inner = {0};
        cairn_err err = segment_open(log, numbers->items[i], &segment, &inner);
        if (err == CAIRN_E_CORRUPT && last && is_unborn(log, numbers->items[i]))
            break; /* made anew, by the same name */
        if (err != CAIRN_OK)
            return error_set(error, err, "%s", inner.detail);
        if (atomic_load(&log->segment_count) == LOG_SEGMENTS_MAX) {
            segment_free(log, segment);
            return error_set(error, CAIRN_E_LIMIT, "the log has more than %u segments",
                             LOG_SEGMENTS_MAX);
        }
        log_publish_segment(log, segment);
    }
    return CAIRN_OK;
}

/* Scan what is not sealed, and check that the segments continue each other. */
static cairn_err
scan_segments(struct log *log, cairn_error *error)
{
    uint64_t expected = 0;
    uint32_t count = atomic_load(&log->segment_count);
    for (uint32_t i = 0; i < count; i++) {
        struct segment *segment = atomic_load(&log->slots[i]);
        bool last = i + 1 == count;
        if (i > 0 && segment->number != atomic_load(&log->slots[i - 1])->number + 1)
            return error_set(error, CAIRN_E_CORRUPT, "%s: the segment before it is missing", segment->path);
        if (segment->first_position != expected)
            return error_set(error, CAIRN_E_CORRUPT,
                             "%s begins at event %llu, but the segments before it end at %llu: "
                             "acknowledged events are missing",
                             segment->path, (unsigned long long)segment->first_position,
                             (unsigned long long)expected);
        if (atomic_load(&segment->sealed)) {
            log->last_time_us = atomic_load(&segment->last_time_us);
            expected += atomic_load(&segment->count);
            continue;
        }
        uint64_t size;
        int fault = os_size(log->os, segment->file, &size);
        if (fault != 0)
            return error_set_errno(error, -fault, "%s: cannot tell its size", segment->path);
        if (size < log->options.segment_size_bytes)
            size = log->options.segment_size_bytes;
        cairn_err err = segment_make_tables(segment, (uint32_t)(size / RECORD_SIZE_MIN) + LOG_APPEND_POSITIONS_MAX,
                                            error);
        if (err != CAIRN_OK)
            return err;
        struct frame_scan scan;
        scan_begin(&scan, segment);
        err = scan_segment(log, &scan, error);
        uint64_t garbage_end = scan.at, end = expected + atomic_load(&segment->count);
        if (err == CAIRN_OK && i + 2 == count
            && is_stillborn(log, atomic_load(&log->slots[i + 1]), end)) {
            segment_free(log, atomic_exchange(&log->slots[i + 1], NULL));
            atomic_store(&log->segment_count, --count);
            last = true;
        }
        if (err == CAIRN_OK && last) {
            err = inspect_tail(log, &scan, &garbage_end, error);
            log->vouched = scan.vouched == end;
        }
        if (err == CAIRN_OK && !last && atomic_load(&log->slots[i + 1])->first_position != end)
            err = damaged(error, segment, scan.at, scan.fault);
        scan_end(&scan);
        if (err != CAIRN_OK)
            return err;
        log->stats.discarded_bytes += garbage_end - atomic_load(&segment->data_end);
        expected = end;
    }
    log->next_position = expected;
    return CAIRN_OK;
}

/* The names of manifest and segments may be as little durable as the tail. */
static int
sync_folders(struct log *log)
{
    char path[LOG_PATH_MAX];
    snprintf(path, sizeof path, "%.*s/segments", LOG_PATH_MAX - 16, log->dir);
    int fault = os_sync_dir(log->os, path);
    snprintf(path, sizeof path, "%s", log->dir);
    if (fault == 0)
        fault = os_sync_dir(log->os, path);
    return fault;
}

/* Make the last segment ready to be written: cut off a torn tail, and make sure that what we read of it is on
 * the disk and not just in the page cache of a process that was killed. */
static cairn_err
take_over_tail(struct log *log, cairn_error *error)
{
    uint32_t count = atomic_load(&log->segment_count);
    struct segment *last = count > 0 ? atomic_load(&log->slots[count - 1]) : NULL;
    if (last == NULL || atomic_load(&last->sealed)) {
        struct segment *segment;
        cairn_err err = segment_create(log, last ? last->number + 1 : 1, log->next_position,
                                       &segment, error);
        if (err != CAIRN_OK)
            return err;
        log_publish_segment(log, segment);
        last = segment;
    }
    uint64_t tail = atomic_load(&last->data_end), size;
    int fault = os_size(log->os, last->file, &size);
    if (fault == 0 && log->stats.discarded_bytes > 0) {
        fault = os_truncate(log->os, last->file, tail);
        size = tail;
    }
    if (fault == 0)
        fault = os_sync(log->os, last->file);
    if (fault == 0)
        fault = sync_folders(log);
    if (fault != 0)
        return error_set_errno(error, -fault, "%s: cannot make its tail durable", last->path);
    log->active = last;
    log->tail = tail;
    atomic_store(&log->reserved_end, size);
    return CAIRN_OK;
}

/* ---- the index --------------------------------------------------------------------------- */

/* Of an event that came by itself: what else is kept of it in memory. */
static cairn_err
remember(struct log *log, const struct record *record, struct hash128 stream_key, cairn_error *error)
{
    if (record->kind != RECORD_EVENT || record->unfolded)
        return CAIRN_OK;
    recent_put(log, stream_key, record->event.id, record->position, record->revision);
    if (is_topic_stream(record->stream))
        return log_topics_apply(log, record, error);
    return is_retention_stream(record->stream) ? retention_apply(log, record, error) : CAIRN_OK;
}

/* Insert the events [from, next_position) into index, recents, retention and topics. */
static cairn_err
log_replay(struct log *log, uint64_t from, cairn_error *error)
{
    struct index_fill fill;
    struct block *block = block_new();
    if (block == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to read the log");
    block_only_names(block);
    index_fill_begin(&fill, log, log->series);
    cairn_err err = CAIRN_OK;
    for (uint64_t position = from; err == CAIRN_OK && position < log->next_position; position++) {
        struct record record;
        struct log_entry entries[LOG_KEYS_MAX];
        err = log_read_record(log, block, position, BLOCK_SCAN, &record, error);
        if (err != CAIRN_OK)
            break;
        size_t n = record_entries(log, &record, entries);
        err = topics_entry(log, log_topics_durable(log), log->series, &record, entries, &n, error);
        if (err == CAIRN_OK)
            err = index_fill_add(&fill, position, entries, n, error);
        if (err == CAIRN_OK && record_ends(&record))
            err = index_fill_flush(&fill, error);
        if (err == CAIRN_OK)
            err = remember(log, &record, entries[0].key, error);
    }
    index_fill_end(&fill);
    block_free(block);
    return err;
}

static cairn_err
open_index(struct log *log, cairn_error *error)
{
    char dir[LOG_PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s/index", LOG_PATH_MAX - 16, log->dir);
    struct series_options options = {
        .memory_events = log->options.index_memory_events,
        .head_cache_entries = log->options.head_cache_entries,
        .read_only = log->options.read_only,
    };
    cairn_err err = CAIRN_OK;
    for (int tries = 0; tries < 2; tries++) {
        cairn_error inner = {0};
        struct series *series = NULL;
        err = cairn_series_open(log->os, dir, &options, &series, &inner);
        log->series = series;
        bool behind = err == CAIRN_OK
                      && cairn_series_flushed_end(log->series) > log->next_position;
        if (err == CAIRN_OK && !behind)
            return CAIRN_OK;
        if (err != CAIRN_OK && err != CAIRN_E_CORRUPT)
            return error_set(error, err, "%s", inner.detail);
        if (log->options.read_only)
            return error_set(error, CAIRN_E_CORRUPT, "the index cannot be used: %s",
                             behind ? "it is ahead of the log" : inner.detail);
        cairn_series_close(log->series); /* derived: computed again from the log */
        log->series = NULL;
        err = cairn_series_destroy(log->os, dir, error);
        if (err != CAIRN_OK)
            return err;
    }
    return error_set(error, CAIRN_E_CORRUPT, "%s: the index cannot be made anew", dir);
}

cairn_err
log_recover_segments(struct log *log, cairn_error *error)
{
    char dir[LOG_PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s/segments", LOG_PATH_MAX - 16, log->dir);
    struct numbers numbers = {0};
    int fault = os_list(log->os, dir, note_number, &numbers);
    cairn_err err = fault != 0
                        ? error_set_errno(error, -fault, "%s: cannot list the segments", dir)
                    : numbers.failed ? error_set(error, CAIRN_E_NOMEM, "no memory for segments")
                                     : CAIRN_OK;
    if (err == CAIRN_OK && numbers.count > 0)
        qsort(numbers.items, numbers.count, sizeof *numbers.items, compare_numbers);
    if (err == CAIRN_OK)
        err = open_segments(log, &numbers, error);
    free(numbers.items);
    if (err == CAIRN_OK)
        err = scan_segments(log, error);
    if (err == CAIRN_OK && !log->options.read_only)
        err = take_over_tail(log, error);
    if (err != CAIRN_OK)
        return err;
    uint32_t count = atomic_load(&log->segment_count);
    for (uint32_t i = 0; i < count; i++)
        atomic_fetch_add(&log->removed, atomic_load(&log->slots[i])->removed);
    atomic_store(&log->durable, log->next_position);
    return CAIRN_OK;
}

/* Some of the index cannot be read. It is derived, so it is computed again from the log; if it is the log that cannot
 * be read, that will show. */
static cairn_err
renew_index(struct log *log, cairn_error *error)
{
    char dir[LOG_PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s/index", LOG_PATH_MAX - 16, log->dir);
    atomic_fetch_add(&log->stats.index_faults, 1);
    cairn_series_close(log->series);
    log->series = NULL;
    cairn_err err = cairn_series_destroy(log->os, dir, error);
    return err == CAIRN_OK ? open_index(log, error) : err;
}

/* What a cut-off scavenging, backup or reindexing left behind. */
struct leftovers {
    char names[16][64];
    size_t count;
};

static void
note_leftover(void *context, const char *name)
{
    struct leftovers *leftovers = context;
    size_t size = strlen(name);
    bool left = size > 4 && size < sizeof leftovers->names[0]
                && (strcmp(name + size - 4, ".new") == 0
                    || (size > 5 && strcmp(name + size - 5, ".part") == 0));
    if (left && leftovers->count < sizeof leftovers->names / sizeof *leftovers->names)
        strcpy(leftovers->names[leftovers->count++], name);
}

static void
remove_leftovers(struct log *log)
{
    char dir[LOG_PATH_MAX], path[LOG_PATH_MAX];
    struct leftovers leftovers = {.count = 0};
    snprintf(dir, sizeof dir, "%.*s/segments", LOG_PATH_MAX - 96, log->dir);
    (void)os_list(log->os, dir, note_leftover, &leftovers);
    for (size_t i = 0; i < leftovers.count; i++) {
        snprintf(path, sizeof path, "%.*s/%s", LOG_PATH_MAX - 80, dir, leftovers.names[i]);
        (void)os_unlink(log->os, path);
    }
    static const char *const folders[] = {"index.new", "index.old"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(dir, sizeof dir, "%.*s/%s", LOG_PATH_MAX - 16, log->dir, folders[i]);
        error_ignore(cairn_series_destroy(log->os, dir, NULL));
    }
}

cairn_err
log_recover(struct log *log, cairn_error *error)
{
    cairn_err err = log_recover_segments(log, error);
    if (err == CAIRN_OK && !log->options.read_only)
        remove_leftovers(log);
    if (err == CAIRN_OK)
        err = open_index(log, error);
    if (err != CAIRN_OK)
        return err;
    err = retention_load(log, cairn_series_flushed_end(log->series), error);
    if (err == CAIRN_OK)
        err = log_topics_load(log, cairn_series_flushed_end(log->series), error);
    if (err == CAIRN_E_CORRUPT && !log->options.read_only)
        err = renew_index(log, error);
    if (err != CAIRN_OK)
        return err;
    uint64_t from = cairn_series_flushed_end(log->series);
    log->stats.recovered_events = log->next_position - from;
    return log_replay(log, from, error);
}

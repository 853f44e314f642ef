/* Segments: one file of frames each.
 *
 *   created ─(frames appended)─► full ─(next one created)─► sealed: footer, cut to size, immutable
 *
 * The active segment's tables (offsets, times) are in memory and written by the sequencer only;
 * readers look at entries of positions below `durable`. A sealed segment's offset table stays in memory
 * while the budget lasts, otherwise it is read from the footer. */
#include "sweep.h"

static void
segment_path(const struct log *log, uint64_t number, char path[LOG_PATH_MAX])
{
    snprintf(path, LOG_PATH_MAX, "%.*s/segments/%08llu.seg", LOG_PATH_MAX - 40, log->dir,
             (unsigned long long)number);
}

static cairn_err
corrupt(cairn_error *error, const struct segment *segment, uint64_t offset, const char *what)
{
    return error_set(error, CAIRN_E_CORRUPT, "%s at byte %llu: %s", segment->path,
                     (unsigned long long)offset, what);
}

static uint32_t
segment_capacity(const struct log *log)
{
    return (uint32_t)(log->options.segment_size_bytes / RECORD_SIZE_MIN) + LOG_APPEND_POSITIONS_MAX;
}

cairn_err
segment_make_tables(struct segment *segment, uint32_t capacity, cairn_error *error)
{
    /* calloc of something this large maps pages that cost nothing until they are touched. */
    _Atomic uint32_t *offsets = calloc((size_t)capacity + 1, sizeof *offsets);
    int64_t *times = calloc((size_t)capacity / TIME_STEP + 1, sizeof *times);
    if (offsets == NULL || times == NULL) {
        free(offsets);
        free(times);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a segment's tables");
    }
    free(segment->times);
    segment->times = times;
    segment->offsets_capacity = capacity;
    atomic_store_explicit(&segment->offsets, offsets, memory_order_release);
    return CAIRN_OK;
}

cairn_err
segment_grow_tables(struct segment *segment, uint64_t positions, cairn_error *error)
{
    uint64_t count = atomic_load(&segment->count), capacity = count + positions + LOG_APPEND_POSITIONS_MAX;
    _Atomic uint32_t *offsets = atomic_load(&segment->offsets);
    int64_t *times = segment->times;
    segment->times = NULL;
    cairn_err err = segment_make_tables(segment, capacity < UINT32_MAX ? (uint32_t)capacity : UINT32_MAX, error);
    if (err != CAIRN_OK) {
        segment->times = times;
        return err;
    }
    memcpy(atomic_load(&segment->offsets), offsets, (count + 1) * sizeof *offsets);
    memcpy(segment->times, times, (count + TIME_STEP - 1) / TIME_STEP * sizeof *times);
    free(offsets);
    free(times);
    return CAIRN_OK;
}

void
segment_note(struct segment *segment, uint64_t index, uint32_t offset, uint32_t end, int64_t time_us)
{
    segment_note_range(segment, index, 1, offset, end, time_us);
}

void
segment_note_range(struct segment *segment, uint64_t index, uint64_t n, uint32_t offset, uint32_t end,
                   int64_t time_us)
{
    assert(n > 0 && n <= segment->offsets_capacity && index <= segment->offsets_capacity - n);
    _Atomic uint32_t *offsets = atomic_load_explicit(&segment->offsets, memory_order_relaxed);
    for (uint64_t i = index; i < index + n; i++)
        atomic_store_explicit(&offsets[i], offset, memory_order_relaxed);
    atomic_store_explicit(&offsets[index + n], end, memory_order_relaxed);
    for (uint64_t i = (index + TIME_STEP - 1) / TIME_STEP; i * TIME_STEP < index + n; i++)
        segment->times[i] = time_us;
    atomic_store_explicit(&segment->last_time_us, time_us, memory_order_relaxed);
    atomic_store_explicit(&segment->count, index + n, memory_order_release);
}

bool
segment_has_room(const struct segment *segment, uint64_t positions)
{
    uint64_t count = atomic_load_explicit(&segment->count, memory_order_relaxed);
    return positions <= segment->offsets_capacity && count <= segment->offsets_capacity - positions;
}

cairn_err
segment_create(struct log *log, uint64_t number, uint64_t first_position, struct segment **ret,
               cairn_error *error)
{
    struct segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a segment");
    segment->number = number;
    segment->generation = atomic_fetch_add(&log->generations, 1) + 1;
    segment->first_position = first_position;
    atomic_store(&segment->data_end, SEGMENT_HEADER_SIZE);
    os_random(log->os, &segment->id, sizeof segment->id);
    segment->seed = segment_seed(segment->id);
    segment_path(log, number, segment->path);

    uint8_t header[SEGMENT_HEADER_SIZE] = SEGMENT_MAGIC;
    store32(header + 8, LOG_FORMAT_VERSION);
    memcpy(header + 16, log->lineage.bytes, 16);
    store64(header + 32, number);
    store64(header + 40, segment->id);
    store64(header + 48, first_position);
    store64(header + 56, (uint64_t)os_now_us(log->os));
    store32(header + 12, crc32c(0, header + 16, SEGMENT_HEADER_SIZE - 16));

    cairn_err err = segment_make_tables(segment, segment_capacity(log), error);
    if (err != CAIRN_OK)
        goto done;
    char dir[LOG_PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s/segments", LOG_PATH_MAX - 16, log->dir);
    int fault = os_open(log->os, segment->path, OS_WRITE | OS_CREATE | OS_TRUNCATE, &segment->file);
    if (fault == 0) {
        ssize_t n = os_pwrite(log->os, segment->file, header, sizeof header, 0);
        fault = n < 0 ? (int)n : os_sync(log->os, segment->file);
    }
    if (fault == 0)
        fault = os_sync_dir(log->os, dir);
    if (fault != 0)
        err = error_set_errno(error, -fault, "%s: cannot create the segment", segment->path);
done:
    if (err != CAIRN_OK) {
        if (segment->file != NULL)
            (void)os_unlink(log->os, segment->path);
        segment_free(log, segment);
        return err;
    }
    *ret = segment;
    return CAIRN_OK;
}

void
segment_free(struct log *log, struct segment *segment)
{
    if (segment == NULL)
        return;
    (void)os_close(log->os, segment->file);
    free(atomic_load(&segment->offsets));
    free(segment->times);
    look_free(segment->look);
    free(segment);
}

static cairn_err
read_exact(struct log *log, const struct segment *segment, void *to, size_t size, uint64_t offset,
           cairn_error *error)
{
    ssize_t n = os_pread(log->os, segment->file, to, size, offset);
    if (n < 0)
        return error_set_errno(error, (int)-n, "%s at byte %llu: cannot read", segment->path,
                               (unsigned long long)offset);
    if ((size_t)n < size)
        return corrupt(error, segment, offset + (uint64_t)n, "the file ends too early");
    return CAIRN_OK;
}

static cairn_err
check_header(struct log *log, struct segment *segment, cairn_error *error)
{
    uint8_t header[SEGMENT_HEADER_SIZE];
    cairn_err err = read_exact(log, segment, header, sizeof header, 0, error);
    if (err != CAIRN_OK)
        return err;
    if (memcmp(header, SEGMENT_MAGIC, 8) != 0)
        return corrupt(error, segment, 0, "this is no segment");
    if (load32(header + 8) != LOG_FORMAT_VERSION)
        return error_set(error, CAIRN_E_VERSION, "%s has format version %u; this program knows %d",
                         segment->path, load32(header + 8), LOG_FORMAT_VERSION);
    if (load32(header + 12) != crc32c(0, header + 16, SEGMENT_HEADER_SIZE - 16))
        return corrupt(error, segment, 16, "the header does not match its checksum");
    if (memcmp(header + 16, log->lineage.bytes, 16) != 0)
        return corrupt(error, segment, 16, "the segment belongs to another log");
    if (load64(header + 32) != segment->number)
        return corrupt(error, segment, 32, "the segment's number is not that of its name");
    segment->id = load64(header + 40);
    segment->seed = segment_seed(segment->id);
    segment->first_position = load64(header + 48);
    return CAIRN_OK;
}

/* ---- the footer ---------------------------------------------------------------------------- */

static size_t
time_entries(uint64_t count)
{
    return (size_t)((count + TIME_STEP - 1) / TIME_STEP);
}

static size_t
footer_size(uint64_t count)
{
    return FOOTER_FIXED_SIZE + pad8((size_t)count * 4) + time_entries(count) * 8
           + FOOTER_TRAILER_SIZE;
}

/* Look for a footer at the end of the file and take over what it says. A file without a whole one is not
 * sealed (or its sealing was cut off: the frames are then scanned and it is sealed again). */
static cairn_err
read_footer(struct log *log, struct segment *segment, cairn_error *error)
{
    uint64_t size;
    int fault = os_size(log->os, segment->file, &size);
    if (fault != 0)
        return error_set_errno(error, -fault, "%s: cannot tell its size", segment->path);
    if (size < SEGMENT_HEADER_SIZE + FOOTER_FIXED_SIZE + FOOTER_TRAILER_SIZE)
        return CAIRN_OK;
    uint8_t trailer[FOOTER_TRAILER_SIZE];
    cairn_err err = read_exact(log, segment, trailer, sizeof trailer, size - sizeof trailer, error);
    if (err != CAIRN_OK)
        return err;
    uint64_t at = load64(trailer);
    if (load32(trailer + 12) != FOOTER_MAGIC || at < SEGMENT_HEADER_SIZE || at >= size
        || size - at < FOOTER_FIXED_SIZE + FOOTER_TRAILER_SIZE || size - at > UINT32_MAX)
        return CAIRN_OK;

    size_t footer_bytes = (size_t)(size - at);
    uint8_t *footer = malloc(footer_bytes);
    if (footer == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a segment's footer");
    err = read_exact(log, segment, footer, footer_bytes, at, error);
    if (err != CAIRN_OK)
        goto done;
    uint64_t count = load64(footer + 24);
    if (load32(footer) != FOOTER_MAGIC || load64(footer + 8) != footer_bytes
        || count > footer_bytes / 4 || footer_size(count) != footer_bytes
        || load32(footer + 4) != load32(trailer + 8)
        || load32(footer + 4)
               != crc32c(segment->seed, footer + 8, footer_bytes - 8 - FOOTER_TRAILER_SIZE))
        goto done; /* torn while sealing, or damaged: all that it says is in the frames */
    if (load64(footer + 16) != segment->first_position) {
        err = corrupt(error, segment, at + 16, "header and footer disagree on the first position");
        goto done;
    }
    size_t times = time_entries(count);
    segment->times = calloc(times + 1, sizeof *segment->times);
    if (segment->times == NULL) {
        err = error_set(error, CAIRN_E_NOMEM, "no memory for a segment's times");
        goto done;
    }
    memcpy(segment->times, footer + FOOTER_FIXED_SIZE + pad8((size_t)count * 4), times * 8);
    atomic_store(&segment->count, count);
    atomic_store(&segment->last_time_us, (int64_t)load64(footer + 40));
    memcpy(segment->root, footer + 48, 32);
    memcpy(segment->chain, footer + 80, 32);
    segment->removed = load64(footer + 112);
    segment->offsets_at = at + FOOTER_FIXED_SIZE;
    atomic_store(&segment->data_end, at);
    atomic_store(&segment->sealed, true);
done:
    free(footer);
    return err;
}

cairn_err
segment_open(struct log *log, uint64_t number, struct segment **ret, cairn_error *error)
{
    struct segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a segment");
    segment->number = number;
    segment->generation = atomic_fetch_add(&log->generations, 1) + 1;
    segment_path(log, number, segment->path);
    cairn_err err = CAIRN_OK;
    int fault = os_open(log->os, segment->path, log->options.read_only ? OS_READ : OS_WRITE,
                        &segment->file);
    if (fault != 0)
        err = error_set_errno(error, -fault, "%s: cannot open", segment->path);
    if (err == CAIRN_OK)
        err = check_header(log, segment, error);
    if (err == CAIRN_OK)
        err = read_footer(log, segment, error);
    if (err != CAIRN_OK) {
        segment_free(log, segment);
        return err;
    }
    *ret = segment;
    return CAIRN_OK;
}

cairn_err
segment_footer(const struct segment *segment, uint64_t data_end, struct buf *ret, cairn_error *error)
{
    uint64_t count = atomic_load(&segment->count);
    size_t size = footer_size(count);
    buf_clear(ret);
    if (!buf_reserve(ret, size))
        return error_set(error, CAIRN_E_NOMEM, "no memory for a segment's footer");
    uint8_t *footer = (uint8_t *)ret->data;
    memset(footer, 0, size);
    store32(footer, FOOTER_MAGIC);
    store64(footer + 8, size);
    store64(footer + 16, segment->first_position);
    store64(footer + 24, count);
    store64(footer + 32, (uint64_t)(count > 0 ? segment->times[0] : 0));
    store64(footer + 40, (uint64_t)atomic_load(&segment->last_time_us));
    memcpy(footer + 48, segment->root, 32);
    memcpy(footer + 80, segment->chain, 32);
    store64(footer + 112, segment->removed);
    store32(footer + 120, (uint32_t)time_entries(count));
    _Atomic uint32_t *offsets = atomic_load(&segment->offsets);
    for (uint64_t i = 0; i < count; i++)
        store32(footer + FOOTER_FIXED_SIZE + i * 4,
                atomic_load_explicit(&offsets[i], memory_order_relaxed));
    memcpy(footer + FOOTER_FIXED_SIZE + pad8((size_t)count * 4), segment->times,
           time_entries(count) * 8);
    uint32_t crc = crc32c(segment->seed, footer + 8, size - 8 - FOOTER_TRAILER_SIZE);
    store32(footer + 4, crc);
    uint8_t *trailer = footer + size - FOOTER_TRAILER_SIZE;
    store64(trailer, data_end);
    store32(trailer + 8, crc);
    store32(trailer + 12, FOOTER_MAGIC);
    ret->size = size;
    return CAIRN_OK;
}

/* Reading by batches, one look into the footer a batch is nothing; kept, the table would cost 4 bytes a record. */
#define SHARE_MIN 8

static bool
has_few_offsets(const _Atomic uint32_t *table, uint64_t count)
{
    uint64_t different = count > 0;
    for (uint64_t i = 1; i < count; i++)
        different += atomic_load_explicit(&table[i], memory_order_relaxed)
                     != atomic_load_explicit(&table[i - 1], memory_order_relaxed);
    return different * SHARE_MIN < count;
}

cairn_err
segment_seal(struct log *log, struct segment *segment, const uint8_t before[32], cairn_error *error)
{
    uint64_t count = atomic_load(&segment->count), data_end = atomic_load(&segment->data_end);
    merkle_chain(before, segment->root, segment->first_position, count, segment->chain);

    struct buf footer = {0};
    cairn_err err = segment_footer(segment, data_end, &footer, error);
    if (err == CAIRN_OK) {
        ssize_t n = os_pwrite(log->os, segment->file, footer.data, footer.size, data_end);
        int fault = n < 0 ? (int)n
                          : os_truncate(log->os, segment->file, data_end + footer.size);
        if (fault == 0)
            fault = os_sync(log->os, segment->file);
        if (fault != 0)
            err = error_set_errno(error, -fault, "%s: cannot write the footer", segment->path);
    }
    buf_free(&footer);
    if (err != CAIRN_OK)
        return err;
    segment->offsets_at = data_end + FOOTER_FIXED_SIZE;
    if (has_few_offsets(atomic_load(&segment->offsets), count)) {
        atomic_store(&segment->few_offsets, true); /* from here on readers ask the footer */
        _Atomic uint32_t *table = atomic_exchange(&segment->offsets, NULL);
        epoch_wait(log);
        free(table);
        atomic_store(&segment->sealed, true);
        return CAIRN_OK;
    }
    atomic_store(&segment->sealed, true);
    atomic_fetch_add(&log->offsets_bytes, (count + 1) * 4);
    segment_trim_offsets(log);
    return CAIRN_OK;
}

/* ---- where a record is ----------------------------------------------------------------------- */

/* The oldest go first: what is newest is asked for most. Readers look at tables inside an epoch. */
void
segment_trim_offsets(struct log *log)
{
    uint32_t count = atomic_load(&log->segment_count);
    for (uint32_t i = 0; i + 1 < count && atomic_load(&log->offsets_bytes) > LOG_OFFSETS_BYTES_MAX; i++) {
        uint32_t parity = epoch_enter(log);
        struct segment *segment = atomic_load(&log->slots[i]);
        _Atomic uint32_t *table
            = atomic_load(&segment->sealed) ? atomic_exchange(&segment->offsets, NULL) : NULL;
        if (table != NULL)
            atomic_fetch_sub(&log->offsets_bytes, (atomic_load(&segment->count) + 1) * 4);
        epoch_leave(log, parity);
        if (table != NULL)
            epoch_wait(log);
        free(table);
    }
}

/* Bring a sealed segment's offset table into memory if the budget allows. */
static void
keep_offsets(struct log *log, struct segment *segment)
{
    uint64_t count = atomic_load(&segment->count), bytes = (count + 1) * 4;
    if (atomic_load_explicit(&segment->few_offsets, memory_order_relaxed))
        return;
    if (atomic_fetch_add(&log->offsets_bytes, bytes) + bytes > LOG_OFFSETS_BYTES_MAX) {
        atomic_fetch_sub(&log->offsets_bytes, bytes);
        return;
    }
    _Atomic uint32_t *table = malloc(bytes), *none = NULL;
    if (table != NULL
        && os_pread(log->os, segment->file, table, count * 4, segment->offsets_at)
               == (ssize_t)(count * 4)) {
        atomic_init(&table[count], (uint32_t)atomic_load(&segment->data_end));
        atomic_store(&segment->few_offsets, has_few_offsets(table, count));
        if (!atomic_load(&segment->few_offsets) && atomic_compare_exchange_strong(&segment->offsets, &none, table))
            return;
    }
    free(table);
    atomic_fetch_sub(&log->offsets_bytes, bytes);
}

static cairn_err
find_offsets(struct log *log, struct segment *segment, uint64_t index, size_t n,
             uint32_t *ret_offsets, cairn_error *error)
{
    uint64_t count = atomic_load_explicit(&segment->count, memory_order_acquire);
    assert(index + n <= count);
    _Atomic uint32_t *table = atomic_load_explicit(&segment->offsets, memory_order_acquire);
    if (table == NULL) {
        keep_offsets(log, segment);
        table = atomic_load_explicit(&segment->offsets, memory_order_acquire);
    }
    if (table != NULL) {
        for (size_t i = 0; i <= n; i++)
            ret_offsets[i] = atomic_load_explicit(&table[index + i], memory_order_relaxed);
        return CAIRN_OK;
    }
    size_t have = index + n == count ? n : n + 1;
    cairn_err err = read_exact(log, segment, ret_offsets, have * 4,
                               segment->offsets_at + index * 4, error);
    if (err == CAIRN_OK && have == n)
        ret_offsets[n] = (uint32_t)atomic_load(&segment->data_end);
    return err;
}

cairn_err
segment_offsets(struct log *log, struct segment *segment, uint64_t index, size_t n,
                uint32_t *ret_offsets, cairn_error *error)
{
    uint32_t parity = epoch_enter(log);
    cairn_err err = find_offsets(log, segment, index, n, ret_offsets, error);
    epoch_leave(log, parity);
    return err;
}

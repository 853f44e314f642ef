/* Scavenging: give back the space of events that retention hides, and of records that compaction leaves out.
 *
 * A sealed segment with enough of them is written again beside itself: same frames, same positions and
 * revisions, but in the place of a hidden event a short record with its Merkle leaf and its stream's
 * name; and in that of a batch that has some, what is left of it (thin.h). So the root does not change, which is checked before
 * the new file takes the old one's name. Readers that are in the old file finish there (epoch_wait); a crash at any point leaves
 * one or the other.
 *
 * A record without value is worth taking even where naming its stream costs as much: whoever reads the topic from the beginning
 * would read it for good. So a record may grow, but the file never beyond what it was, or the size of a segment.
 *
 * Whoever asks for it has every sealed segment read. When nobody asks (sweep.c), those are that may be worth it, and it stops as
 * soon as an administrator waits. */
#include "sweep.h"
#include <errno.h>

#define WORTH_PERCENT 2 /* of a segment's bytes: below that it is not written again */
#define STOP_EVERY 256  /* records looked at between two questions whether to go on */
#define SYNC_EVERY (8u << 20) /* bytes written between two syncs, so that no append's sync waits behind a whole segment */

struct scavenge {
    struct log *log;
    struct thin *thin;
    bool unasked;
    int64_t now_us;
    uint64_t end;
    cairn_progress progress;
    void *context;
    uint64_t bytes_done, bytes_total;
    cairn_scavenge_report *report;
    cairn_error no_room; /* code not CAIRN_OK: a segment was left out for that */
};

static cairn_err
may_go_on(struct scavenge *work, cairn_error *error)
{
    if (work->unasked)
        return sweep_may_go_on(work->log, error);
    return work->progress == NULL || work->progress(work->context, work->bytes_done, work->bytes_total, "bytes")
               ? CAIRN_OK
               : error_set(error, CAIRN_E_CLOSED, "scavenging was stopped");
}

static size_t
removed_size(const struct record *record)
{
    return RECORD_HEAD_SIZE + REMOVED_FIXED_SIZE + record->stream.size;
}

static cairn_err
is_removable(struct scavenge *work, const struct record *record, bool *ret, cairn_error *error)
{
    *ret = false;
    if (record->kind != RECORD_EVENT || removed_size(record) >= record->size)
        return CAIRN_OK;
    return retention_hides(work->log, record, work->now_us, work->end, ret, error);
}

/* An event that is left. */
static void
note_event(struct scavenge *work, struct look *look, const struct record *record)
{
    struct log *log = work->log;
    struct retention retention;
    if (look != NULL && record->kind == RECORD_EVENT
        && retention_get(log, log_key(log, KEY_STREAM, record->scope, record->stream), record->stream, &retention))
        look_note_event(look, record->size);
}

/* What writing a segment again would bring. */
struct gain {
    uint64_t bytes;          /* given back */
    uint64_t records, nulls; /* of batches: all that are there; without value, that go */
};

static cairn_err
count_record(struct scavenge *work, const struct record *record, struct look *look, struct gain *gain, cairn_error *error)
{
    cairn_err err;
    if (record_holds_batch(record)) {
        struct thin_count batch;
        err = thin_look(work->thin, record, &batch, error);
        if (err == CAIRN_OK) {
            gain->bytes += batch.bytes;
            gain->records += batch.left + batch.gone;
            gain->nulls += batch.nulls;
            look_note_batch(look, record, &batch);
        }
        return err;
    }
    bool removable;
    err = is_removable(work, record, &removable, error);
    if (err == CAIRN_OK && removable)
        gain->bytes += record->size - removed_size(record);
    else if (err == CAIRN_OK)
        note_event(work, look, record);
    return err;
}

static cairn_err
count_removable(struct scavenge *work, struct segment *segment, struct look *look, struct gain *ret, cairn_error *error)
{
    struct block *block = block_new();
    if (block == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to scavenge");
    uint64_t count = atomic_load(&segment->count);
    cairn_err err = CAIRN_OK;
    thin_begin(work->thin, segment, NULL);
    for (uint64_t i = 0, n = 0; err == CAIRN_OK && i < count; n++) {
        struct record record;
        err = block_record(work->log, block, segment, i, BLOCK_SCAN, &record, error);
        if (err == CAIRN_OK)
            err = count_record(work, &record, look, ret, error);
        if (err == CAIRN_OK && n % STOP_EVERY == 0)
            err = may_go_on(work, error);
        i += record.count;
    }
    block_free(block);
    return err;
}

static void
encode_removed(uint8_t *to, const struct record *record)
{
    size_t size = removed_size(record);
    uint8_t *body = to + RECORD_HEAD_SIZE;
    record_leaf(record, body);
    store32(body + 32, record->scope);
    store16(body + 36, (uint16_t)record->stream.size);
    store16(body + 38, 0);
    memcpy(body + REMOVED_FIXED_SIZE, record->stream.data, record->stream.size);
    store32(to + 4, (uint32_t)size);
    store32(to + 8, crc32c(0, body, size - RECORD_HEAD_SIZE));
    store32(to + 12, RECORD_REMOVED);
}

/* The record that takes a batch's place. */
static cairn_err
rewrite_batch(struct scavenge *work, struct look *look, const struct record *record, cairn_str bytes, uint64_t room,
              uint8_t *to, cairn_error *error)
{
    struct thin_count count;
    cairn_str thinned = {0};
    cairn_err err = thin_look(work->thin, record, &count, error);
    if (err == CAIRN_OK && count.gone > 0)
        err = thin_encode(work->thin, &thinned, error);
    if (err != CAIRN_OK)
        return err;
    if (thinned.size == 0 || thinned.size > room || (thinned.size >= record->size && count.nulls == 0)) {
        thinned = (cairn_str){bytes.data, record->size};
        count.left += count.gone;
        count.gone = 0;
    }
    memcpy(to, thinned.data, thinned.size);
    work->report->events_removed += count.gone;
    look_note_batch(look, record, &count);
    return CAIRN_OK;
}

/* The record that takes this one's place, into `to`, which has so much room: at least for the old one. But for position and
 * head crc. */
static cairn_err
rewrite_record(struct scavenge *work, struct look *look, const struct record *record, cairn_str bytes, uint64_t room,
               uint8_t *to, cairn_error *error)
{
    bool removable;
    if (record_holds_batch(record))
        return rewrite_batch(work, look, record, bytes, room, to, error);
    cairn_err err = is_removable(work, record, &removable, error);
    if (err != CAIRN_OK)
        return err;
    if (removable) {
        encode_removed(to, record);
        work->report->events_removed++;
    } else {
        memcpy(to, bytes.data, record->size);
        note_event(work, look, record);
    }
    return CAIRN_OK;
}

/* One frame again, into `out`; notes where its records lie. `spare`: how much larger than before it may get. */
static cairn_err
rewrite_frame(struct scavenge *work, struct segment *to, const struct frame *frame, cairn_str bytes,
              uint64_t at, uint64_t spare, struct buf *out, cairn_error *error)
{
    uint64_t size_max = frame->size + (spare < frame->size ? spare : frame->size);
    if (size_max > LOG_FRAME_MAX)
        size_max = LOG_FRAME_MAX;
    buf_clear(out);
    if (!buf_reserve(out, size_max))
        return error_set(error, CAIRN_E_NOMEM, "no memory to scavenge");
    uint8_t *begin = (uint8_t *)out->data;
    size_t from = FRAME_HEADER_SIZE, size = FRAME_HEADER_SIZE;
    uint32_t records_crc = 0;
    for (uint32_t i = 0; i < frame->count; i++) {
        struct record record;
        cairn_str rest = {bytes.data + from, bytes.size - from};
        (void)record_decode(rest, to->seed, &record);
        uint64_t room = size_max - size - (frame->size - from - record.size);
        cairn_err err = rewrite_record(work, to->look, &record, rest, room, begin + size, error);
        if (err != CAIRN_OK)
            return err;
        uint32_t crc = record_holds_batch(&record)
                           ? batch_record_place(begin + size, to->seed, record.position, record.revision, record.time_us)
                           : record_place(begin + size, to->seed, record.position, record.revision, record.time_us);
        struct record_extent extent = record_extent(begin + size);
        assert(extent.positions == record.count && extent.size <= room);
        to->removed += extent.removed;
        records_crc = frame_carry(records_crc, crc);
        segment_note_range(to, record.position - to->first_position, record.count, (uint32_t)(at + size),
                           (uint32_t)(at + size + extent.size), record.time_us);
        from += record.size;
        size += extent.size;
    }
    memset(begin + size, 0, pad8(size) - size);
    struct frame head = *frame;
    head.size = (uint32_t)pad8(size);
    frame_place(begin, to->seed, &head, records_crc);
    out->size = head.size;
    return CAIRN_OK;
}

static cairn_err
write_frame(struct log *log, struct segment *to, cairn_str frame, uint64_t at, cairn_error *error)
{
    ssize_t n = os_pwrite(log->os, to->file, frame.data, frame.size, at);
    int fault = n < 0 ? (int)n : 0;
    if (fault == 0 && at / SYNC_EVERY != (at + frame.size) / SYNC_EVERY)
        fault = os_sync(log->os, to->file);
    if (fault != 0)
        return error_set_errno(error, -fault, "%s: cannot write", to->path);
    atomic_store(&to->data_end, at + frame.size);
    return CAIRN_OK;
}

static cairn_err
rewrite_frames(struct scavenge *work, struct segment *from, struct segment *to, cairn_error *error)
{
    struct log *log = work->log;
    struct frame_scan scan;
    struct buf out = {0};
    uint64_t at = SEGMENT_HEADER_SIZE, data_end = atomic_load(&from->data_end);
    uint64_t whole = log->options.segment_size_bytes & ~UINT64_C(7);
    uint64_t spare = whole > data_end ? whole - data_end : 0;
    cairn_err err = CAIRN_OK;
    thin_begin(work->thin, from, to);
    atomic_store(&to->data_end, at);
    scan_begin(&scan, from);
    while (err == CAIRN_OK && scan.at < data_end) {
        struct frame frame;
        cairn_str bytes;
        err = scan_next(log, &scan, &frame, &bytes, error);
        if (err == CAIRN_E_END)
            err = error_set(error, CAIRN_E_CORRUPT, "%s at byte %llu: %s", from->path,
                            (unsigned long long)scan.at, scan.fault);
        if (err == CAIRN_OK)
            err = rewrite_frame(work, to, &frame, bytes, at, spare + scan.at - at, &out, error);
        if (err != CAIRN_OK)
            break;
        err = write_frame(log, to, buf_str(&out), at, error);
        at += out.size;
        scan.at += frame.size;
        if (err == CAIRN_OK)
            err = may_go_on(work, error);
    }
    scan_end(&scan);
    buf_free(&out);
    return err;
}

/* Header, footer, sync. The root must be the one it was. */
static cairn_err
finish_file(struct scavenge *work, struct segment *from, struct segment *to, cairn_error *error)
{
    struct log *log = work->log;
    uint8_t header[SEGMENT_HEADER_SIZE], root[32];
    struct buf footer = {0};
    uint64_t data_end = atomic_load(&to->data_end);
    memcpy(to->chain, from->chain, 32);
    memcpy(to->root, from->root, 32);
    cairn_err err = segment_footer(to, data_end, &footer, error);
    if (err == CAIRN_OK) {
        ssize_t n = os_pread(log->os, from->file, header, sizeof header, 0);
        if (n >= 0)
            n = n == (ssize_t)sizeof header
                    ? os_pwrite(log->os, to->file, header, sizeof header, 0)
                    : -EIO;
        if (n >= 0)
            n = os_pwrite(log->os, to->file, footer.data, footer.size, data_end);
        int fault = n < 0 ? (int)n : os_sync(log->os, to->file);
        if (fault != 0)
            err = error_set_errno(error, -fault, "%s: cannot write", to->path);
    }
    buf_free(&footer);
    if (err == CAIRN_OK) {
        to->offsets_at = data_end + FOOTER_FIXED_SIZE;
        atomic_store(&to->sealed, true);
        err = merkle_segment_root(log, to, atomic_load(&to->count), root, error);
    }
    if (err == CAIRN_OK && memcmp(root, from->root, 32) != 0)
        err = error_set(error, CAIRN_E_CORRUPT,
                        "%s: what is left does not have the Merkle root of before; nothing changed",
                        from->path);
    return err;
}

/* The new file takes the old one's name and place. */
static cairn_err
swap_in(struct scavenge *work, uint32_t slot, struct segment *from, struct segment *to,
        cairn_error *error)
{
    struct log *log = work->log;
    char dir[LOG_PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s/segments", LOG_PATH_MAX - 16, log->dir);
    int fault = os_rename(log->os, to->path, from->path);
    if (fault == 0)
        fault = os_sync_dir(log->os, dir);
    if (fault != 0)
        return error_set_errno(error, -fault, "%s: cannot take its place", from->path);
    memcpy(to->path, from->path, sizeof to->path);
    atomic_fetch_add(&log->removed, to->removed - from->removed);
    atomic_store_explicit(&log->slots[slot], to, memory_order_release);
    epoch_wait(log);
    if (atomic_load(&from->offsets) != NULL)
        atomic_fetch_sub(&log->offsets_bytes, (atomic_load(&from->count) + 1) * 4);
    atomic_fetch_add(&log->offsets_bytes, (atomic_load(&to->count) + 1) * 4);
    segment_free(log, from);
    segment_trim_offsets(log);
    return CAIRN_OK;
}

static cairn_err
rewrite_segment(struct scavenge *work, uint32_t slot, struct segment *from, cairn_error *error)
{
    struct log *log = work->log;
    struct segment *to = calloc(1, sizeof *to);
    if (to == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to scavenge");
    uint64_t events_before = work->report->events_removed;
    to->number = from->number;
    to->id = from->id;
    to->seed = from->seed;
    to->first_position = from->first_position;
    to->generation = atomic_fetch_add(&log->generations, 1) + 1;
    to->look = look_new(log, work->now_us, work->end, from->look);
    snprintf(to->path, sizeof to->path, "%.*s.new", LOG_PATH_MAX - 8, from->path);
    cairn_err err = segment_make_tables(to, (uint32_t)atomic_load(&from->count), error);
    int fault = 0;
    if (err == CAIRN_OK) {
        fault = os_open(log->os, to->path, OS_WRITE | OS_CREATE | OS_TRUNCATE, &to->file);
        if (fault != 0)
            err = error_set_errno(error, -fault, "%s: cannot create", to->path);
    }
    if (err == CAIRN_OK)
        err = rewrite_frames(work, from, to, error);
    if (err == CAIRN_OK)
        err = finish_file(work, from, to, error);
    uint64_t old_end = atomic_load(&from->data_end), new_end = atomic_load(&to->data_end);
    uint64_t freed = new_end < old_end ? old_end - new_end : 0;
    if (err == CAIRN_OK)
        err = swap_in(work, slot, from, to, error);
    if (err == CAIRN_OK) {
        work->report->segments_rewritten++;
        work->report->bytes_freed += freed;
        atomic_fetch_add(&log->stats.scavenged_bytes, freed);
        look_end(to->look, log, 0, freed >= old_end / 100 * SWEEP_PERCENT);
        return CAIRN_OK;
    }
    work->report->events_removed = events_before;
    if (to->file != NULL)
        (void)os_unlink(log->os, to->path);
    segment_free(log, to);
    return err;
}

/* What nobody has asked for must not make the disk full: that would stop appends. Is there room for what is left of a segment? */
static bool
has_room(struct scavenge *work, const struct segment *segment, uint64_t bytes_left)
{
    struct log *log = work->log;
    uint64_t have, need = bytes_left + atomic_load(&segment->count) * 4;
    if (!atomic_load(&log->disk_full))
        need += 2 * log_space_min(log);
    if (!work->unasked || os_free_space(log->os, log->dir, &have) != 0 || have >= need)
        return true;
    (void)error_set(&work->no_room, CAIRN_E_NOSPACE, "%s: to write it again takes %llu bytes of room for a while; there are %llu",
                    segment->path, (unsigned long long)need, (unsigned long long)have);
    return false;
}

/* Read a segment, and write it again when that is worth it. */
static cairn_err
scavenge_segment(struct scavenge *work, uint32_t slot, struct segment *segment, cairn_error *error)
{
    struct gain gain = {0};
    uint64_t size = atomic_load(&segment->data_end), percent = work->unasked ? SWEEP_PERCENT : WORTH_PERCENT;
    struct look *look = look_new(work->log, work->now_us, work->end, segment->look);
    cairn_err err = count_removable(work, segment, look, &gain, error);
    bool worth = (gain.bytes > 0 && gain.bytes * 100 >= size * percent)
                 || (gain.nulls > 0 && gain.nulls * 100 >= gain.records * percent);
    if (err != CAIRN_OK || worth) {
        look_free(look);
        return err == CAIRN_OK && has_room(work, segment, size - gain.bytes) ? rewrite_segment(work, slot, segment, error) : err;
    }
    look_end(look, work->log, gain.bytes, false);
    look_free(segment->look);
    segment->look = look;
    return CAIRN_OK;
}

/* Under the admin lock. */
static cairn_err
scavenge(struct scavenge *work, cairn_error *error)
{
    struct log *log = work->log;
    uint32_t count = atomic_load(&log->segment_count);
    *work->report = (cairn_scavenge_report){0};
    work->now_us = os_now_us(log->os);
    work->end = cairn_log_end(log);
    for (uint32_t i = 0; i < count; i++)
        work->bytes_total += atomic_load(&atomic_load(&log->slots[i])->data_end);
    cairn_err err = CAIRN_OK;
    if ((work->thin = thin_new(log, work->now_us, work->end, work->unasked)) == NULL)
        err = error_set(error, CAIRN_E_NOMEM, "no memory to scavenge");
    for (uint32_t i = 0; err == CAIRN_OK && i < count; i++) {
        struct segment *segment = atomic_load(&log->slots[i]);
        uint64_t size = atomic_load(&segment->data_end);
        if (atomic_load(&segment->sealed) && (!work->unasked || look_is_due(log, segment, work->now_us)))
            err = scavenge_segment(work, i, segment, error);
        work->bytes_done += size;
        if (err == CAIRN_OK)
            err = may_go_on(work, error);
    }
    thin_free(work->thin);
    if (err == CAIRN_OK && work->no_room.code != CAIRN_OK) {
        err = work->no_room.code;
        if (error != NULL)
            *error = work->no_room;
    }
    if (err == CAIRN_OK)
        atomic_fetch_add(&log->stats.scavenges, 1);
    return err;
}

cairn_err
cairn_log_scavenge(struct log *log, cairn_progress progress, void *context,
                   cairn_scavenge_report *ret, cairn_error *error)
{
    *ret = (cairn_scavenge_report){0};
    if (log->options.read_only)
        return error_set(error, CAIRN_E_READONLY, "the store was opened for reading only");
    struct scavenge work = {.log = log, .progress = progress, .context = context, .report = ret};
    log_admin_begin(log);
    cairn_err err = scavenge(&work, error);
    log_admin_end(log);
    return err;
}

cairn_err
log_sweep(struct log *log, cairn_scavenge_report *ret, cairn_error *error)
{
    struct scavenge work = {.log = log, .unasked = true, .report = ret};
    *ret = (cairn_scavenge_report){0};
    if (pthread_mutex_trylock(&log->admin_lock) != 0)
        return error_set(error, CAIRN_E_BUSY, "an administrator is at work");
    cairn_err err = scavenge(&work, error);
    pthread_mutex_unlock(&log->admin_lock);
    return err;
}

/* Verify: read every byte of the log and hold it against everything else that is known.
 *
 *   segments   headers, frames, records, dense positions, times that never decrease
 *   footers    offset and time tables, Merkle roots, their chain
 *   streams    dense revisions
 *   index      every byte of its files, and its entries against those computed from the log
 *
 * Entries are compared as a sum of hashes, which does not depend on their order and needs no
 * memory. Only what lies below the end as it was when verify began is looked at, so it works while the store
 * is in use. */
#include "topics.h"
#include "unfold.h"

#define AHEAD_STEP (64u << 10)

struct verify {
    struct log *log;
    cairn_fault_visit visit;
    cairn_progress progress;
    void *context;
    cairn_verify_report *report;
    uint64_t end, bytes_done, bytes_total;
    uint64_t position;     /* next expected */
    int64_t last_time_us;
    uint64_t sum;          /* of entries, from the log */
    uint64_t entries;
    uint64_t index_sum, index_entries;
    uint8_t *removed;      /* a bit for each removed position; NULL: none */
    struct revisions *revisions;
    struct unfold *unfold;
    struct topics *topics; /* as of where we are */
    bool stop;
};

static void
report_fault(struct verify *verify, const char *file, uint64_t offset, const char *what)
{
    verify->report->faults++;
    if (verify->visit != NULL && !verify->visit(verify->context, file, offset, what))
        verify->stop = true;
}

static void
report_progress(struct verify *verify)
{
    if (verify->progress != NULL
        && !verify->progress(verify->context, verify->bytes_done, verify->bytes_total, "bytes"))
        verify->stop = true;
}

/* ---- revisions: the next one of each stream ------------------------------------------------- */

struct revisions {
    struct revision {
        struct hash128 key;
        uint64_t next; /* 0: empty slot */
    } *slots;
    size_t capacity, count;
};

static struct revision *
revision_slot(const struct revisions *map, struct hash128 key)
{
    size_t at = key.low & (map->capacity - 1);
    while (map->slots[at].next != 0
           && (map->slots[at].key.low != key.low || map->slots[at].key.high != key.high))
        at = (at + 1) & (map->capacity - 1);
    return &map->slots[at];
}

static bool
revisions_grow(struct revisions *map)
{
    if (map->count * 2 < map->capacity)
        return true;
    struct revisions larger = {.capacity = map->capacity ? map->capacity * 2 : 1024,
                               .count = map->count};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        return false;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].next != 0)
            *revision_slot(&larger, map->slots[i].key) = map->slots[i];
    free(map->slots);
    *map = larger;
    return true;
}

/* NULL, or what is wrong. */
static const char *
check_revision(struct verify *verify, const struct record *record, struct hash128 key)
{
    if (!revisions_grow(verify->revisions))
        return "no memory to check the revisions";
    struct revision *slot = revision_slot(verify->revisions, key);
    bool first = slot->next == 0;
    uint64_t next = first ? 0 : slot->next;
    bool some_gone = record->unfolded && record->batch.thinned; /* of a stream that is known to go on */
    bool dense = record->revision == next || (some_gone && record->revision > next);
    if (first)
        verify->revisions->count++;
    slot->key = key;
    slot->next = record->revision + 1;
    return dense ? NULL : "the stream's revisions are not dense";
}

/* ---- segments --------------------------------------------------------------------------------- */

static uint64_t
entry_hash(struct hash128 key, uint64_t ordinal, uint64_t position)
{
    uint64_t words[4] = {key.low, key.high, ordinal, position};
    return hash64(words, sizeof words, 0);
}

static void
digest_record(struct verify *verify, const struct record *record)
{
    if (record->leaf != NULL || (record->stream.size > 0 && record->stream.data[0] == '$'))
        return; /* scavenged, or Cairn's own */
    char revision[8];
    uint8_t hash[32];
    store64(revision, record->revision);
    cairn_str revisions = {revision, sizeof revision};
    if (record_holds_batch(record))
        revisions = (cairn_str){(const char *)record->batch.revisions, 8 * (size_t)record->batch.revision_count};
    cairn_str event[] = {revisions, record->body};
    sha256_pieces(event, 2, hash);
    cairn_str chain[] = {{(char *)verify->report->digest, 32}, {(char *)hash, 32}};
    sha256_pieces(chain, 2, verify->report->digest);
}

/* One event, of a batch or not. NULL, or what is wrong. */
static const char *
check_event(struct verify *verify, const struct record *record)
{
    struct log_entry entries[LOG_KEYS_MAX];
    size_t n = record_entries(verify->log, record, entries);
    const char *fault = record->stream.size > 0 ? check_revision(verify, record, entries[0].key) : NULL;
    if (record->kind == RECORD_REMOVED) {
        if (verify->removed != NULL && record->position < verify->end)
            verify->removed[record->position / 8] |= (uint8_t)(1u << record->position % 8);
        return fault;
    }
    cairn_err err = topics_entry(verify->log, verify->topics, verify->log->series, record, entries, &n, NULL);
    if (err == CAIRN_OK && is_topic_stream(record->stream))
        err = topics_apply(verify->log, verify->topics, record, NULL);
    if (err != CAIRN_OK && fault == NULL)
        fault = "its partition cannot be told, or the topic that it defines";
    for (size_t i = 0; i < n; i++)
        verify->sum += entry_hash(entries[i].key, entries[i].ordinal, record->position);
    verify->entries += n;
    return fault;
}

static const char *
check_batch(struct verify *verify, const struct record *stored)
{
    const char *fault = unfold_open(verify->unfold, stored);
    for (uint32_t i = 0; fault == NULL && i < stored->count; i++) {
        struct record record;
        fault = unfold_at(verify->unfold, stored->position + i, true, &record);
        if (fault == NULL)
            fault = check_event(verify, &record);
    }
    unfold_forget(verify->unfold);
    return fault;
}

/* What the segment's tables say of a record's positions. NULL, or what is wrong. */
static const char *
check_tables(struct verify *verify, struct segment *segment, const struct record *record, uint64_t offset)
{
    uint32_t offsets[257];
    uint64_t index = record->position - segment->first_position, end = index + record->count;
    if (end > atomic_load(&segment->count))
        return "the segment's table has no place for this event";
    for (uint64_t i = (index + TIME_STEP - 1) / TIME_STEP; i * TIME_STEP < end; i++)
        if (segment->times[i] != record->time_us)
            return "the segment's time index has another time for this event";
    for (uint64_t i = index, n; i < end; i += n) {
        n = end - i < 256 ? end - i : 256;
        if (segment_offsets(verify->log, segment, i, n, offsets, NULL) != CAIRN_OK)
            return "the segment's table cannot be read";
        for (uint64_t j = 0; j < n; j++)
            if (offsets[j] != offset)
                return "the segment's table has another offset for this event";
    }
    return NULL;
}

static void
check_frame(struct verify *verify, struct segment *segment, const struct frame *frame,
            cairn_str bytes, uint64_t at, struct merkle_tree *tree)
{
    if (frame->first_position != verify->position)
        report_fault(verify, segment->path, at, "the frame does not continue the one before it");
    if (frame->time_us < verify->last_time_us)
        report_fault(verify, segment->path, at, "time goes backward");
    verify->last_time_us = frame->time_us;
    verify->position = frame->first_position;
    size_t inside = FRAME_HEADER_SIZE;
    for (uint32_t i = 0; i < frame->count; i++) {
        struct record record;
        (void)record_decode((cairn_str){bytes.data + inside, bytes.size - inside}, segment->seed,
                            &record); /* frame_check has just done it */
        uint8_t leaf[32];
        const char *fault = check_tables(verify, segment, &record, at + inside);
        if (fault != NULL)
            report_fault(verify, segment->path, at + inside, fault);
        fault = record_holds_batch(&record) ? check_batch(verify, &record) : check_event(verify, &record);
        if (fault != NULL)
            report_fault(verify, segment->path, at + inside, fault);
        digest_record(verify, &record);
        record_leaf(&record, leaf);
        merkle_add(tree, leaf);
        inside += record.size;
        verify->position += record.count;
    }
}

static cairn_err
check_segment(struct verify *verify, struct segment *segment, uint8_t chain[32], cairn_error *error)
{
    struct frame_scan scan;
    struct merkle_tree *tree = calloc(1, sizeof *tree);
    if (tree == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to verify");
    /* One that goes on beyond the end, or did when we began, is checked as far as that. */
    bool whole = atomic_load(&segment->sealed)
                 && segment->first_position + atomic_load(&segment->count) <= verify->end;
    uint64_t data_end = atomic_load(&segment->data_end);
    cairn_err err = CAIRN_OK;
    scan_begin(&scan, segment);
    if (segment->first_position != verify->position)
        report_fault(verify, segment->path, 48, "the segment does not continue the one before it");
    verify->position = segment->first_position;
    while (scan.at < data_end && !verify->stop) {
        struct frame frame;
        cairn_str bytes;
        err = scan_next(verify->log, &scan, &frame, &bytes, error);
        if (err == CAIRN_E_END) {
            report_fault(verify, segment->path, scan.at, scan.fault);
            err = CAIRN_OK;
            break;
        }
        if (err != CAIRN_OK || (!whole && frame.count > 0 && frame.first_position >= verify->end))
            break;
        check_frame(verify, segment, &frame, bytes, scan.at, tree);
        scan.at += frame.size;
        verify->bytes_done += frame.size;
        if (frame.first_position / 65536 != verify->position / 65536)
            report_progress(verify);
    }
    if (err == CAIRN_OK && !verify->stop) {
        uint8_t root[32];
        uint64_t count = verify->position - segment->first_position;
        merkle_root(tree, root);
        merkle_chain(chain, root, segment->first_position, count, chain);
        if (whole && (count != atomic_load(&segment->count) || memcmp(root, segment->root, 32) != 0))
            report_fault(verify, segment->path, data_end + 48, "the Merkle root is not that of the events");
        else if (whole && memcmp(chain, segment->chain, 32) != 0)
            report_fault(verify, segment->path, data_end + 80,
                         "the chain of Merkle roots does not continue the segment before");
        report_progress(verify);
    }
    scan_end(&scan);
    free(tree);
    return err;
}

/* Header and footer are in memory since the segment was opened: read them again. */
static cairn_err
check_ends(struct verify *verify, struct segment *segment, cairn_error *error)
{
    struct segment *again;
    cairn_error inner = {0};
    bool sealed = atomic_load(&segment->sealed); /* it may be while we look */
    cairn_err err = segment_open(verify->log, segment->number, &again, &inner);
    if (err == CAIRN_E_CORRUPT || err == CAIRN_E_VERSION)
        report_fault(verify, segment->path, 0, inner.detail);
    else if (err != CAIRN_OK)
        return error_set(error, err, "%s", inner.detail);
    if (err == CAIRN_OK && sealed && !atomic_load(&again->sealed))
        report_fault(verify, segment->path, atomic_load(&segment->data_end), "the footer is gone");
    if (err == CAIRN_OK)
        segment_free(verify->log, again);
    return CAIRN_OK;
}

/* One step of it, while appends wait. *at: where to go on; what has become events since is skipped. */
static ssize_t
check_ahead_step(struct verify *verify, const struct segment *segment, uint64_t *at, uint8_t *bytes)
{
    struct log *log = verify->log;
    pthread_mutex_lock(&log->lock);
    commit_drain(log);
    uint64_t tail = atomic_load(&segment->data_end);
    if (*at < tail)
        *at = tail;
    bool ours = log->active == segment && !atomic_load(&log->failed);
    ssize_t n = ours ? os_pread(log->os, segment->file, bytes, AHEAD_STEP, *at) : 0;
    pthread_mutex_unlock(&log->lock);
    return n;
}

/* The space prepared ahead of the tail holds nothing but zeros. */
static cairn_err
check_ahead(struct verify *verify, cairn_error *error)
{
    struct log *log = verify->log;
    if (log->options.read_only)
        return CAIRN_OK; /* a tail that nobody has taken over may be torn */
    uint8_t *bytes = malloc(AHEAD_STEP);
    if (bytes == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to verify");
    const struct segment *segment = log->active; /* not freed while the administrator's lock is held */
    cairn_err err = CAIRN_OK;
    uint64_t at = 0;
    ssize_t n;
    while ((n = check_ahead_step(verify, segment, &at, bytes)) > 0) {
        ssize_t i = 0;
        while (i < n && bytes[i] == 0)
            i++;
        if (i < n) {
            report_fault(verify, segment->path, at + (uint64_t)i, "the space ahead of the tail is not empty");
            break;
        }
        at += (uint64_t)n;
    }
    if (n < 0)
        err = error_set_errno(error, (int)-n, "%s: cannot read", segment->path);
    free(bytes);
    return err;
}

/* The manifest is in memory since the log was opened, too. */
static cairn_err
check_manifest(struct verify *verify, cairn_error *error)
{
    struct log *again = calloc(1, sizeof *again);
    if (again == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to verify");
    const struct log *log = verify->log;
    cairn_error inner = {0};
    again->os = log->os;
    memcpy(again->dir, log->dir, sizeof again->dir);
    cairn_err err = log_read_manifest(again, &inner);
    char path[LOG_PATH_MAX];
    snprintf(path, sizeof path, "%.*s/cairn.log", LOG_PATH_MAX - 16, log->dir);
    if (err == CAIRN_E_CORRUPT || err == CAIRN_E_VERSION || err == CAIRN_E_NOTFOUND)
        report_fault(verify, path, 0, inner.detail);
    else if (err != CAIRN_OK)
        (void)error_set(error, err, "%s", inner.detail);
    else if (memcmp(&again->id, &log->id, sizeof again->id) != 0
             || memcmp(&again->lineage, &log->lineage, sizeof again->lineage) != 0
             || memcmp(again->key_seed, log->key_seed, sizeof again->key_seed) != 0)
        report_fault(verify, path, 16, "this is the manifest of another log");
    free(again);
    return err == CAIRN_E_CORRUPT || err == CAIRN_E_VERSION || err == CAIRN_E_NOTFOUND ? CAIRN_OK
                                                                                      : err;
}

/* ---- the index ----------------------------------------------------------------------------------- */

static bool
add_index_entry(void *context, struct hash128 key, uint64_t ordinal, uint64_t position)
{
    struct verify *verify = context;
    if (verify->removed != NULL && (verify->removed[position / 8] >> position % 8 & 1) != 0)
        return true;
    verify->index_sum += entry_hash(key, ordinal, position);
    verify->index_entries++;
    return !verify->stop;
}

static bool
index_fault(void *context, const char *file, uint64_t offset, const char *what)
{
    struct verify *verify = context;
    report_fault(verify, file, offset, what);
    return !verify->stop;
}

/* Both calls look at a view of the index, whose runs and files stay as long as they do: it goes on being flushed and
 * merged meanwhile. It is not replaced: reindexing needs the admin lock. */
static cairn_err
check_index(struct verify *verify, cairn_error *error)
{
    struct log *log = verify->log;
    uint64_t faults = verify->report->faults;
    cairn_err err = cairn_series_check(log->series, index_fault, verify, error);
    if (err == CAIRN_OK && verify->report->faults == faults)
        err = cairn_series_each(log->series, verify->end, add_index_entry, verify, error);
    if (err == CAIRN_E_CORRUPT)
        return CAIRN_OK; /* reported */
    verify->report->index_entries = verify->index_entries;
    if (err == CAIRN_OK && verify->report->faults == 0
        && (verify->index_sum != verify->sum || verify->index_entries != verify->entries))
        report_fault(verify, "index", 0, "the index is not the one computed from the log; reindex");
    return err;
}

cairn_err
cairn_log_verify(struct log *log, cairn_fault_visit visit, cairn_progress progress, void *context,
                 cairn_verify_report *ret, cairn_error *error)
{
    struct revisions revisions = {0};
    *ret = (cairn_verify_report){0};
    log_admin_begin(log);
    struct verify verify = {.log = log, .visit = visit, .progress = progress, .context = context,
                            .report = ret, .end = cairn_log_end(log), .revisions = &revisions};
    uint32_t count = atomic_load(&log->segment_count);
    uint64_t removed = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct segment *segment = atomic_load(&log->slots[i]);
        verify.bytes_total += atomic_load(&segment->data_end) - SEGMENT_HEADER_SIZE;
        removed += segment->removed;
    }
    cairn_err err = check_manifest(&verify, error);
    if (err == CAIRN_OK && ((verify.unfold = unfold_new()) == NULL || (verify.topics = topics_new()) == NULL))
        err = error_set(error, CAIRN_E_NOMEM, "no memory to verify");
    if (err == CAIRN_OK && removed > 0 && (verify.removed = calloc(1, (size_t)(verify.end / 8 + 1))) == NULL)
        err = error_set(error, CAIRN_E_NOMEM, "no memory to verify");
    for (uint32_t i = 0; err == CAIRN_OK && i < count && !verify.stop; i++) {
        struct segment *segment = atomic_load(&log->slots[i]);
        err = check_ends(&verify, segment, error);
        if (err == CAIRN_OK && segment->first_position <= verify.end)
            err = check_segment(&verify, segment, ret->root, error);
    }
    if (err == CAIRN_OK && !verify.stop)
        err = check_ahead(&verify, error);
    if (err == CAIRN_OK && verify.stop && ret->faults == 0)
        err = error_set(error, CAIRN_E_CLOSED, "verifying was stopped");
    ret->events = verify.end;
    ret->segments = count;
    ret->streams = revisions.count;
    if (err == CAIRN_OK && verify.position != verify.end && ret->faults == 0)
        report_fault(&verify, log->dir, 0, "the segments do not reach the log's end");
    if (err == CAIRN_OK && !verify.stop)
        err = check_index(&verify, error);
    unfold_free(verify.unfold);
    topics_free(verify.topics);
    free(verify.removed);
    free(revisions.slots);
    log_admin_end(log);
    if (err == CAIRN_OK && ret->faults > 0)
        err = error_set(error, CAIRN_E_CORRUPT, "%llu faults were found",
                        (unsigned long long)ret->faults);
    return err;
}

/* Retention: what of a stream may still be read.
 *
 * A stream's limits are the newest event of "$retention-<stream>": JSON {"max_count", "max_age_us",
 * "truncate_before", "tombstone"}. The log keeps those of all streams that have any in one table, for
 * readers, who take over an event when it is durable. The sequencer knows it as soon as it has placed it, so
 * that an append sequenced after a tombstone is refused. Some of Cairn's own streams are limited by their
 * category, without events. */
#include "topics.h"
#include <base/json.h>

struct slot {
    struct hash128 key;
    struct retention retention;
    bool used;
};

struct retention_map {
    struct slot *slots;
    size_t capacity, count; /* capacity: a power of two */
};

/* Set by events that are not durable yet, oldest first: the sequencer goes by them, readers do not, and a full
 * disk may take them back. As many as there are callers waiting. */
struct retention_queue {
    struct change {
        struct hash128 key;
        struct retention retention;
        uint64_t position;
    } *changes;
    size_t capacity, count;
};

/* Answers to commands that bore an idempotency key are kept for a week; of the others the newest event is all there is. What goes
 * for a category goes for those below it, which begin with its name and a '/'. */
static const struct {
    const char *category;
    cairn_retention limits;
} by_category[] = {
    {"$retention", {.max_count = 1}},
    {"$snapshot", {.max_count = 1}},
    {"$topic", {.max_count = 1}}, /* but see is_kept() */
    {"$offset", {.max_count = 1}},
    {"$transaction", {.max_count = 1}},
    {"$producer", {.max_count = 1}},
    {"$relay", {.max_count = 1}},
    {"$relayed", {.max_count = 1}},
    {"$credentials", {.max_count = 1}},
    {"$command", {.max_age_us = UINT64_C(7) * 24 * 3600 * 1000000}},
};

static bool
limited_by_category(cairn_str stream, struct retention *ret)
{
    cairn_str category = category_of(stream);
    for (size_t i = 0; i < sizeof by_category / sizeof *by_category; i++) {
        size_t size = strlen(by_category[i].category);
        cairn_str whole = {category.data, category.size > size && category.data[size] == '/' ? size : category.size};
        if (cairn_str_equal(whole, cairn_cstr(by_category[i].category))) {
            *ret = (struct retention){.limits = by_category[i].limits};
            return true;
        }
    }
    return false;
}

static struct slot *
find(const struct retention_map *map, struct hash128 key)
{
    size_t mask = map->capacity - 1, at = key.low & mask;
    while (map->slots[at].used
           && (map->slots[at].key.low != key.low || map->slots[at].key.high != key.high))
        at = (at + 1) & mask;
    return &map->slots[at];
}

bool
retention_get(struct log *log, struct hash128 stream_key, cairn_str stream, struct retention *ret)
{
    if (stream.size > 0 && stream.data[0] == '$' && limited_by_category(stream, ret))
        return true;
    if (atomic_load_explicit(&log->retention_count, memory_order_acquire) == 0)
        return false;
    pthread_rwlock_rdlock(&log->retention_lock);
    const struct slot *slot = log->retention ? find(log->retention, stream_key) : NULL;
    bool found = slot != NULL && slot->used;
    if (found)
        *ret = slot->retention;
    pthread_rwlock_unlock(&log->retention_lock);
    return found;
}

bool
retention_sequenced(struct log *log, struct hash128 stream_key, cairn_str stream,
                    struct retention *ret)
{
    const struct retention_queue *queue = log->retention_queue;
    for (size_t i = queue ? queue->count : 0; i-- > 0;) {
        if (queue->changes[i].key.low == stream_key.low
            && queue->changes[i].key.high == stream_key.high) {
            *ret = queue->changes[i].retention;
            return true;
        }
    }
    return retention_get(log, stream_key, stream, ret);
}

bool
retention_any(const struct log *log)
{
    return atomic_load_explicit(&log->retention_count, memory_order_acquire) > 0;
}

/* Under the write lock: room for `more` at half load. */
static bool
grow(struct log *log, size_t more)
{
    struct retention_map *map = log->retention;
    if (map == NULL && (map = log->retention = calloc(1, sizeof *map)) == NULL)
        return false;
    if ((map->count + more) * 2 <= map->capacity)
        return true;
    struct retention_map larger = {.capacity = map->capacity ? map->capacity * 2 : 64};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        return false;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].used)
            *find(&larger, map->slots[i].key) = map->slots[i];
    larger.count = map->count;
    free(map->slots);
    *map = larger;
    return true;
}

bool
retention_make_room(struct log *log)
{
    struct retention_queue *queue = log->retention_queue;
    if (queue == NULL && (queue = log->retention_queue = calloc(1, sizeof *queue)) == NULL)
        return false;
    if (queue->count == queue->capacity) {
        size_t capacity = queue->capacity ? queue->capacity * 2 : 16;
        struct change *changes = realloc(queue->changes, capacity * sizeof *changes);
        if (changes == NULL)
            return false;
        queue->changes = changes;
        queue->capacity = capacity;
    }
    pthread_rwlock_wrlock(&log->retention_lock);
    bool room = grow(log, queue->count + 1);
    pthread_rwlock_unlock(&log->retention_lock);
    return room;
}

static cairn_str
target_of(cairn_str retention_stream)
{
    size_t prefix = sizeof "$retention-" - 1;
    return (cairn_str){retention_stream.data + prefix, retention_stream.size - prefix};
}

/* What a retention event says, of which stream. */
static cairn_err
parse_change(struct log *log, const struct record *record, struct change *ret, cairn_error *error)
{
    struct json json;
    cairn_err err = json_check(record->event.data, &json, error);
    if (err != CAIRN_OK || json.type != JSON_OBJECT)
        return error_set(error, CAIRN_E_CORRUPT, "the retention event at position %llu is not JSON",
                         (unsigned long long)record->position);
    struct retention retention = {0};
    (void)json_u64(json_get(json, "max_count"), &retention.limits.max_count);
    (void)json_u64(json_get(json, "max_age_us"), &retention.limits.max_age_us);
    (void)json_u64(json_get(json, "truncate_before"), &retention.limits.truncate_before);
    retention.tombstoned = json_get(json, "tombstone").type == JSON_TRUE;
    *ret = (struct change){log_key(log, KEY_STREAM, record->scope, target_of(record->stream)),
                           retention, record->position};
    return CAIRN_OK;
}

/* What has been cut off stays so: part of it may be scavenged. */
static void
keep_cut(struct retention *retention, const struct retention *before)
{
    if (retention->limits.truncate_before < before->limits.truncate_before)
        retention->limits.truncate_before = before->limits.truncate_before;
}

/* Under the write lock, with room made. */
static void
enter(struct log *log, const struct change *change)
{
    struct slot *slot = find(log->retention, change->key);
    struct slot now = {change->key, change->retention, true};
    if (slot->used)
        keep_cut(&now.retention, &slot->retention);
    else
        log->retention->count++;
    *slot = now;
    atomic_fetch_add_explicit(&log->retention_changes, 1, memory_order_release);
    atomic_store_explicit(&log->retention_count, log->retention->count, memory_order_release);
}

cairn_err
retention_apply(struct log *log, const struct record *record, cairn_error *error)
{
    struct change change;
    cairn_err err = parse_change(log, record, &change, error);
    if (err != CAIRN_OK)
        return err;
    pthread_rwlock_wrlock(&log->retention_lock);
    bool room = grow(log, 1);
    if (room)
        enter(log, &change);
    pthread_rwlock_unlock(&log->retention_lock);
    return room ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for a stream's retention");
}

void
retention_placed(struct log *log, const uint8_t *record_bytes, uint32_t seed)
{
    struct retention_queue *queue = log->retention_queue;
    struct record record;
    struct change change;
    struct retention before;
    cairn_str bytes = {(const char *)record_bytes, load32(record_bytes + 4)};
    const char *fault = record_decode(bytes, seed, &record);
    assert(fault == NULL && queue->count < queue->capacity);
    cairn_err err = parse_change(log, &record, &change, NULL);
    assert(fault == NULL && err == CAIRN_OK); /* append_retention() wrote it */
    if (retention_sequenced(log, change.key, target_of(record.stream), &before))
        keep_cut(&change.retention, &before);
    queue->changes[queue->count++] = change;
    (void)fault;
    (void)err;
}

void
retention_settle(struct log *log, uint64_t end)
{
    struct retention_queue *queue = log->retention_queue;
    size_t settled = 0;
    if (queue == NULL || queue->count == 0)
        return;
    pthread_rwlock_wrlock(&log->retention_lock);
    while (settled < queue->count && queue->changes[settled].position < end)
        enter(log, &queue->changes[settled++]);
    pthread_rwlock_unlock(&log->retention_lock);
    queue->count -= settled;
    memmove(queue->changes, queue->changes + settled, queue->count * sizeof *queue->changes);
}

void
retention_forget(struct log *log)
{
    if (log->retention_queue != NULL)
        log->retention_queue->count = 0;
}

cairn_err
retention_load(struct log *log, uint64_t end, cairn_error *error)
{
    struct block *block = block_new();
    if (block == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to read the log");
    struct series_read read = {.key = log_key(log, KEY_RETENTION, 0, (cairn_str){0}),
                               .by = SERIES_BY_POSITION, .end = end};
    struct series_head entries[64];
    size_t count = 0;
    cairn_err err;
    do {
        err = cairn_series_read(log->series, &read, entries, 64, &count, error);
        for (size_t i = 0; err == CAIRN_OK && i < count; i++) {
            struct record record;
            err = log_read_record(log, block, entries[i].position, BLOCK_POINT, &record, error);
            if (err == CAIRN_OK && record.kind == RECORD_EVENT)
                err = retention_apply(log, &record, error);
            read.from = entries[i].position + 1;
        }
    } while (err == CAIRN_OK && count > 0);
    block_free(block);
    return err;
}

void
retention_free(struct log *log)
{
    if (log->retention != NULL)
        free(log->retention->slots);
    free(log->retention);
    if (log->retention_queue != NULL)
        free(log->retention_queue->changes);
    free(log->retention_queue);
}

/* ---- what is hidden ---------------------------------------------------------------------------- */

uint64_t
retention_first(const struct retention *retention, uint64_t last_revision)
{
    uint64_t first = retention->limits.truncate_before;
    uint64_t keep = retention->limits.max_count;
    if (keep > 0 && last_revision + 1 > keep && last_revision + 1 - keep > first)
        first = last_revision + 1 - keep;
    return retention->tombstoned ? UINT64_MAX : first;
}

int64_t
retention_oldest(const struct retention *retention, int64_t now_us)
{
    uint64_t age = retention->limits.max_age_us;
    return now_us < 0 || age >= (uint64_t)now_us ? 0 : now_us - (int64_t)age;
}

/* What a partition's entries are computed from, again and again. */
static bool
is_kept(const struct record *record)
{
    return is_topic_stream(record->stream) && !cairn_str_equal(record->event.type, CAIRN_STR(TOPIC_CHANGED));
}

cairn_err
retention_hides(struct log *log, const struct record *record, int64_t now_us, uint64_t end,
                bool *ret_hidden, cairn_error *error)
{
    struct hash128 key = log_key(log, KEY_STREAM, record->scope, record->stream);
    struct retention retention;
    *ret_hidden = topic_hides_record(log, record);
    if (*ret_hidden || is_kept(record) || !retention_get(log, key, record->stream, &retention))
        return CAIRN_OK;
    struct series_head head = {.ordinal = record->revision};
    if (retention.limits.max_count > 0) {
        cairn_err err = cairn_series_head(log->series, key, end, &head, error);
        if (err != CAIRN_OK && err != CAIRN_E_END)
            return err;
    }
    *ret_hidden = record->revision < retention_first(&retention, head.ordinal)
                  || (retention.limits.max_age_us > 0
                      && record->time_us < retention_oldest(&retention, now_us));
    return CAIRN_OK;
}

/* ---- setting it ----------------------------------------------------------------------------------- */

static void
put_member(struct buf *to, const char *name, uint64_t value)
{
    json_put_u64_member(to, name, value);
}

/* Whoever changes a stream's limits writes all of them, so he expects the event that he has read them from to be the
 * newest still: two that change one stream at once would lose what the other has set. */
struct update {
    struct log *log;
    cairn_scope scope;
    cairn_str stream;
    char name[LOG_STREAM_MAX + 16]; /* of the stream that holds the limits */
    size_t name_size;
    int64_t revision; /* of its newest event; CAIRN_NONE: there is none */
    cairn_stream_info info;
};

static cairn_err
begin_update(struct update *update, struct log *log, cairn_scope scope, cairn_str stream,
             cairn_error *error)
{
    if (stream.size == 0 || stream.size > LOG_NAME_MAX)
        return error_set(error, stream.size ? CAIRN_E_LIMIT : CAIRN_E_INVALID,
                         "stream is %zu bytes; 1 to %d are allowed", stream.size, LOG_NAME_MAX);
    *update = (struct update){.log = log, .scope = scope, .stream = stream};
    update->name_size = (size_t)snprintf(update->name, sizeof update->name, "$retention-%.*s",
                                         (int)stream.size, stream.data);
    return CAIRN_OK;
}

/* In this order the limits are never older than the revision. */
static cairn_err
read_limits(struct update *update, cairn_error *error)
{
    struct log *log = update->log;
    struct hash128 key = log_key(log, KEY_STREAM, update->scope,
                                 (cairn_str){update->name, update->name_size});
    struct series_head head;
    cairn_err err = cairn_series_head(log->series, key, cairn_log_end(log), &head, error);
    if (err != CAIRN_OK && err != CAIRN_E_END)
        return err;
    update->revision = err == CAIRN_OK ? (int64_t)head.ordinal : CAIRN_NONE;
    return cairn_log_stream_info(log, update->scope, update->stream, &update->info, error);
}

/* Append the retention event, with the stream itself where it is expected. */
static cairn_err
append_retention(const struct update *update, int64_t expected, const struct retention *retention,
                 cairn_error *error)
{
    struct buf data = {0};
    buf_put_char(&data, '{');
    put_member(&data, "max_count", retention->limits.max_count);
    put_member(&data, "max_age_us", retention->limits.max_age_us);
    put_member(&data, "truncate_before", retention->limits.truncate_before);
    json_put_name(&data, "tombstone");
    buf_put_str(&data, retention->tombstoned ? CAIRN_STR("true}") : CAIRN_STR("false}"));
    cairn_err err;
    if (data.failed) {
        err = error_set(error, CAIRN_E_NOMEM, "no memory for a stream's retention");
    } else {
        cairn_event event = {.type = CAIRN_STR("$retention"), .data = buf_str(&data)};
        cairn_write writes[2] = {{update->stream, expected, NULL, 0},
                                 {{update->name, update->name_size}, update->revision, &event, 1}};
        cairn_append_request request = {.scope = update->scope, .writes = writes, .write_count = 2,
                                        .system = true};
        cairn_at at;
        err = log_append_blocking(update->log, &request, &at, error);
    }
    buf_free(&data);
    return err;
}

static cairn_err
pass_on(cairn_err err, const cairn_error *found, cairn_error *error)
{
    if (err != CAIRN_OK && error != NULL)
        *error = *found;
    return err;
}

static cairn_err
too_many_changes(const struct update *update, cairn_error *error)
{
    return error_set(error, CAIRN_E_BUSY, "too many changes of %.*s compete; try again",
                     (int)(update->name_size > 100 ? 100 : update->name_size), update->name);
}

cairn_err
cairn_log_retention_set(struct log *log, cairn_scope scope, cairn_str stream,
                        const cairn_retention *limits, cairn_error *error)
{
    struct update update;
    cairn_error refusal = {0};
    cairn_err err = begin_update(&update, log, scope, stream, error);
    for (unsigned tries = 0; err == CAIRN_OK; tries++) {
        err = read_limits(&update, error);
        if (err != CAIRN_OK)
            return err;
        struct retention retention = {.limits = *limits, .tombstoned = update.info.tombstoned};
        /* What has been cut off stays so, part of it may be scavenged; and a tombstone is for good. */
        if (retention.limits.truncate_before < update.info.retention.truncate_before)
            retention.limits.truncate_before = update.info.retention.truncate_before;
        err = append_retention(&update, CAIRN_ANY, &retention, &refusal);
        if (err != CAIRN_E_CONFLICT)
            return pass_on(err, &refusal, error);
        err = tries < LOG_RETRIES_MAX ? CAIRN_OK : too_many_changes(&update, error);
    }
    return err;
}

cairn_err
cairn_log_delete(struct log *log, cairn_scope scope, cairn_str stream, int64_t expected,
                 bool tombstone, cairn_error *error)
{
    /* What is deleted is what was there: nobody's event may slip in between. */
    bool any = expected == CAIRN_ANY || expected == CAIRN_EXISTS;
    struct update update;
    cairn_error refusal = {0};
    cairn_err err = begin_update(&update, log, scope, stream, error);
    for (unsigned tries = 0; err == CAIRN_OK; tries++) {
        const cairn_stream_info *info = &update.info;
        int64_t revision = update.revision;
        err = read_limits(&update, error);
        if (err != CAIRN_OK)
            return err;
        if (tries > 0 && !any && update.revision == revision)
            return pass_on(CAIRN_E_CONFLICT, &refusal, error); /* it is the stream that is elsewhere */
        if (info->tombstoned)
            return error_set(error, CAIRN_E_GONE, "the stream was deleted for good already");
        if (!info->exists && !(tombstone && info->last_revision >= 0))
            return error_set(error, CAIRN_E_NOTFOUND, "there is no such stream to delete");
        struct retention retention = {.limits = info->retention, .tombstoned = tombstone};
        retention.limits.truncate_before = (uint64_t)info->last_revision + 1;
        err = append_retention(&update, any ? info->last_revision : expected, &retention, &refusal);
        if (err != CAIRN_E_CONFLICT)
            return pass_on(err, &refusal, error);
        err = tries < LOG_RETRIES_MAX ? CAIRN_OK : too_many_changes(&update, error);
    }
    return err;
}

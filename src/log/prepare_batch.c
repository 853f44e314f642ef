/* Preparing record batches: walk the records once, without the lock, and find what the index will say of them.
 *
 * Of a plain batch, whose records have no keys and one type, that is four ranges. Otherwise there is one entry for each run
 * of neighbours that are in one stream, or have one type; and one for each tag and correlation. record_entries() says the
 * same of the records one by one, when they are read again. */
#include "prepare.h"
#include <batch/event.h>

struct walk {
    struct log *log;
    struct scratch *scratch;
    const cairn_append_request *request;
    struct prepared_batch *batch;
    cairn_str category;
    size_t index;        /* of the batch in the request */
    uint32_t keyless;    /* head of the category's own stream; NO_HEAD: not needed so far */
    uint32_t keyed;      /* head of the last record that had a key, which was … */
    cairn_str key;
    uint32_t plain_type; /* span of the type that records without headers have; NO_HEAD: not needed so far */
    struct hash128 plain_type_key;
};

static cairn_err
no_memory(cairn_error *error)
{
    return error_set(error, CAIRN_E_NOMEM, "no memory for the append");
}

static cairn_err
invalid(const struct walk *walk, const char *what, cairn_error *error)
{
    return error_set(error, what == batch_no_memory ? CAIRN_E_NOMEM : CAIRN_E_INVALID, "batches[%zu]: %s", walk->index,
                     what);
}

static bool
same_text(cairn_str a, cairn_str b)
{
    return a.size == b.size && (a.size == 0 || a.data == b.data || memcmp(a.data, b.data, a.size) == 0);
}

/* ---- streams ---------------------------------------------------------------------------------------------------------------- */

/* The head of the record's stream; NO_HEAD when out of memory. */
static uint32_t
stream_of(struct walk *walk, const struct batch_record *record)
{
    if (!record->has_key && walk->keyless != NO_HEAD)
        return walk->keyless;
    if (record->has_key && walk->keyed != NO_HEAD && same_text(record->key, walk->key))
        return walk->keyed;
    char name[RECORD_STREAM_MAX];
    cairn_str stream = record_stream(walk->category, record->has_key ? &record->key : NULL, name);
    size_t before = walk->scratch->head_count;
    uint32_t head = prepare_head(walk->scratch, log_key(walk->log, KEY_STREAM, walk->request->scope, stream), 0);
    if (walk->scratch->head_count > before)
        walk->scratch->index.entries += 2; /* perhaps its first event: two directories */
    if (record->has_key) {
        walk->keyed = head;
        walk->key = record->key;
    } else {
        walk->keyless = head;
    }
    return head;
}

static bool
add_stream(struct walk *walk, const struct batch_record *record)
{
    struct scratch *scratch = walk->scratch;
    struct prepared_batch *batch = walk->batch;
    uint32_t head = stream_of(walk, record);
    if (head == NO_HEAD)
        return false;
    if (batch->run_count > 0 && scratch->runs[scratch->run_count - 1].head == head) {
        scratch->runs[scratch->run_count - 1].count++;
        return true;
    }
    if (!have_room(&scratch->runs, &scratch->run_capacity, scratch->run_count + 1, sizeof *scratch->runs))
        return false;
    scratch->runs[scratch->run_count++] = (struct prepared_run){head, 1};
    batch->run_count++;
    return true;
}

/* ---- types, tags, correlations ---------------------------------------------------------------------------------------------- */

static bool
add_span(struct walk *walk, struct hash128 key, uint32_t record)
{
    struct scratch *scratch = walk->scratch;
    if (!have_room(&scratch->spans, &scratch->span_capacity, scratch->span_count + 1, sizeof *scratch->spans))
        return false;
    scratch->spans[scratch->span_count++] = (struct prepared_span){key, record, 1};
    walk->batch->span_count++;
    return true;
}

/* `last`: the span of the type of the record before, which goes on when it is the same. */
static bool
add_type(struct walk *walk, const struct batch_record *record, uint32_t number, size_t *last)
{
    struct scratch *scratch = walk->scratch;
    struct hash128 key = walk->plain_type_key;
    if (record->header_count > 0 || walk->plain_type == NO_HEAD) {
        char name[TOPIC_NAME_MAX];
        cairn_str type = record_type(walk->category, record, name);
        key = log_key(walk->log, KEY_TYPE, walk->request->scope, type);
    }
    if (record->header_count == 0 && walk->plain_type == NO_HEAD) {
        walk->plain_type = 0;
        walk->plain_type_key = key;
    }
    if (number > 0) {
        struct prepared_span *span = &scratch->spans[*last];
        if (span->key.low == key.low && span->key.high == key.high) {
            span->count++;
            return true;
        }
    }
    *last = scratch->span_count;
    return add_span(walk, key, number);
}

/* Has it headers that say more than the type? */
static bool
has_marks(const struct batch_record *record)
{
    cairn_str headers = record->headers, name, value;
    bool has_value;
    while (batch_next_header(&headers, &name, &has_value, &value))
        if (cairn_str_equal(name, CAIRN_STR("ce_tags")) || cairn_str_equal(name, CAIRN_STR("ce_correlation")))
            return true;
    return false;
}

static bool
add_marks(struct walk *walk, const struct batch_record *record, uint32_t number)
{
    struct log *log = walk->log;
    cairn_scope scope = walk->request->scope;
    struct record_names names;
    struct log_entry entries[RECORD_TAGS_MAX];
    size_t n = 0;
    arena_reset(&walk->scratch->arena);
    if (!record_names(record, walk->category, &walk->scratch->arena, &names))
        return false;
    bool added = names.correlation.size == 0
                 || add_span(walk, log_key(log, KEY_CORRELATION, scope, names.correlation), number);
    for (size_t i = 0; i < names.tag_count; i++)
        n = add_tag(log, scope, names.tags[i], entries, 0, n);
    for (size_t i = 0; added && i < n; i++)
        added = add_span(walk, entries[i].key, number);
    return added;
}

/* ---- the walk ---------------------------------------------------------------------------------------------------------------- */

static cairn_err
walk_records(struct walk *walk, cairn_str bytes, cairn_error *error)
{
    struct batch_cursor *cursor = &walk->scratch->cursor;
    const char *fault = batch_open(cursor, bytes);
    if (fault != NULL)
        return invalid(walk, fault, error);
    const struct batch_head *head = &cursor->head;
    if (head->size != bytes.size)
        return invalid(walk, "there is something behind the batch", error);
    if (head->attributes & BATCH_CONTROL)
        return invalid(walk, "it is a control batch", error);
    if (head->count == 0 || (int64_t)head->last_offset_delta != (int64_t)head->count - 1)
        return invalid(walk, "its offsets have gaps, or it has no records", error);
    struct batch_record record;
    uint32_t number = 0;
    size_t last_type = 0, limit = walk->log->options.event_size_max;
    for (; batch_next(cursor, &record); number++) {
        if (record.offset_delta != (int64_t)number)
            return invalid(walk, "its offset deltas are not 0, 1, 2 …", error);
        if (record.key.size + record.value.size + record.headers.size > limit)
            return error_set(error, CAIRN_E_LIMIT, "batches[%zu]: record %u has %zu bytes; the limit is %zu", walk->index,
                             number, record.key.size + record.value.size + record.headers.size, limit);
        if (!add_stream(walk, &record) || !add_type(walk, &record, number, &last_type)
            || (record.header_count > 0 && has_marks(&record) && !add_marks(walk, &record, number)))
            return no_memory(error);
    }
    if (cursor->fault != NULL)
        return invalid(walk, cursor->fault, error);
    walk->batch->count = number;
    return CAIRN_OK;
}

/* What the index will get of it, at most; directories were counted with the heads. */
static void
add_up(struct walk *walk)
{
    struct scratch *scratch = walk->scratch;
    const struct prepared_batch *batch = walk->batch;
    struct series_need *need = &scratch->index;
    need->ranges += 2; /* partition and category */
    need->range_entries += 2 * (uint64_t)batch->count;
    need->entries += 1; /* the producer */
    for (size_t i = batch->first_run; i < scratch->run_count; i++) {
        bool single = scratch->runs[i].count == 1;
        need->entries += single;
        need->ranges += !single;
        need->range_entries += single ? 0 : scratch->runs[i].count;
    }
    for (size_t i = batch->first_span; i < scratch->span_count; i++) {
        bool single = scratch->spans[i].count == 1;
        need->entries += single;
        need->ranges += !single;
        need->range_entries += single ? 0 : scratch->spans[i].count;
    }
}

static cairn_err
encode(struct walk *walk, cairn_str bytes, cairn_error *error)
{
    struct scratch *scratch = walk->scratch;
    struct prepared_batch *batch = walk->batch;
    uint32_t revisions = batch->run_count == 1 ? 1 : batch->count;
    size_t limit = walk->request->system ? LOG_APPEND_MAX : walk->log->options.append_size_max;
    size_t front_size = batch_front_size(walk->category.size, revisions), size = front_size + bytes.size;
    if (scratch->frame_size + size > limit)
        return error_set(error, CAIRN_E_LIMIT, "the append is larger than %zu bytes, which is the limit", limit);
    if (scratch->positions + batch->count > LOG_APPEND_POSITIONS_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the append has more than %u records, which is the limit",
                         LOG_APPEND_POSITIONS_MAX);
    if (!buf_reserve(&scratch->records, front_size))
        return no_memory(error);
    batch->bytes = bytes;
    batch->front_at = (uint32_t)scratch->records.size;
    batch->front_size = (uint32_t)front_size;
    batch_front_encode((uint8_t *)scratch->records.data + batch->front_at, walk->request->scope, &batch->topic->topic.id,
                       batch->partition, walk->category, batch->count, revisions, bytes);
    scratch->records.size += front_size;
    scratch->frame_size += size;
    scratch->positions += batch->count;
    return CAIRN_OK;
}

static cairn_err
prepare_batch(struct walk *walk, const cairn_batch *given, cairn_error *error)
{
    struct log *log = walk->log;
    struct scratch *scratch = walk->scratch;
    cairn_scope scope = walk->request->scope;
    cairn_topic_ref *topic = log_topic_by_id(log, scope, &given->topic_id, true);
    if (topic == NULL || given->partition >= topic->topic.partitions) {
        cairn_topic_release(topic);
        return error_set(error, CAIRN_E_NOTFOUND, "batches[%zu]: there is no such %s", walk->index,
                         topic ? "partition" : "topic");
    }
    struct prepared_batch *batch = walk->batch = &scratch->batches[scratch->batch_count++];
    *batch = (struct prepared_batch){.topic = topic, .partition = given->partition,
                                     .first_run = (uint32_t)scratch->run_count,
                                     .first_span = (uint32_t)scratch->span_count};
    walk->category = topic->topic.category;
    walk->keyless = walk->keyed = walk->plain_type = NO_HEAD;
    cairn_err err = walk_records(walk, given->bytes, error);
    if (err == CAIRN_OK)
        err = encode(walk, given->bytes, error);
    if (err != CAIRN_OK)
        return err;
    batch->head = prepare_head(scratch, partition_key(log, scope, &topic->topic.id, given->partition),
                               topic_linked(topic, given->partition));
    int64_t producer = scratch->cursor.head.producer_id;
    if (batch->head == NO_HEAD
        || (producer >= 0
            && !add_span(walk, producer_key(log, scope, &topic->topic.id, given->partition, producer), 0)))
        return no_memory(error);
    batch->directory = log_key(log, KEY_DIRECTORY, scope, (cairn_str){0});
    batch->category_directory = log_key(log, KEY_CATEGORY_DIRECTORY, scope, walk->category);
    add_up(walk);
    return CAIRN_OK;
}

cairn_err
prepare_batches(struct log *log, struct scratch *scratch, const cairn_append_request *request, cairn_error *error)
{
    struct walk walk = {.log = log, .scratch = scratch, .request = request};
    if (request->batch_count == 0)
        return CAIRN_OK;
    scratch->has_ids = false; /* who knows a batch again is the broker, by its producer's sequence */
    if (!have_room(&scratch->batches, &scratch->batch_capacity, request->batch_count, sizeof *scratch->batches))
        return no_memory(error);
    for (; walk.index < request->batch_count; walk.index++) {
        cairn_err err = prepare_batch(&walk, &request->batches[walk.index], error);
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}

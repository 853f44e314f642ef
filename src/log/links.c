/* Links: where the events are that a category had before it got a topic.
 *
 * Making the topic reads the category once, and stores each partition's positions as events of "$links-<topic id>-<partition>",
 * in order: varints, first offset ‖ count ‖ first position ‖ steps to the next. Only then comes the definition, which says how
 * many there are (`linked`): its series goes on from there. It is sequenced only when nothing came to the category that has
 * not been read. What a crash leaves of it belongs to a topic that never was.
 *
 * A reader finds an offset by halving among the events of the partition's links, and then goes on from one to the next. */
#include "attempt.h"
#include "topics.h"

#define CHUNK_MAX 4096u          /* positions of one event */
#define PENDING_MAX (1u << 20)   /* positions in memory, of all partitions, before they are written */
#define WRITES_MAX 256           /* events of one append */
#define NAME_MAX_SIZE 64

static cairn_str
links_stream(const cairn_uuid *topic_id, uint32_t partition, char name[NAME_MAX_SIZE])
{
    char id[UUID_TEXT_SIZE];
    format_uuid(*topic_id, id);
    size_t size = (size_t)snprintf(name, NAME_MAX_SIZE, "$links-%s-%u", id, partition);
    return (cairn_str){name, size};
}

/* ---- making --------------------------------------------------------------------------------------------------------------- */

struct chunk {
    uint64_t *positions;
    uint32_t count, capacity;
};

struct links {
    struct log *log;
    cairn_scope scope;
    const cairn_topic *topic;
    struct chunk *chunks;  /* of each partition: what is not written yet */
    uint64_t *counts;      /* of each partition: positions so far */
    uint64_t pending, total;
    uint64_t looked_end;   /* the category has been read up to here */
    struct block *block;
};

struct links *
links_new(struct log *log, cairn_scope scope, const cairn_topic *topic)
{
    struct links *links = calloc(1, sizeof *links);
    if (links == NULL)
        return NULL;
    *links = (struct links){.log = log, .scope = scope, .topic = topic,
                            .chunks = calloc(topic->partitions, sizeof *links->chunks),
                            .counts = calloc(topic->partitions, sizeof *links->counts), .block = block_new()};
    if (links->chunks == NULL || links->counts == NULL || links->block == NULL) {
        links_free(links);
        return NULL;
    }
    block_only_names(links->block);
    return links;
}

void
links_free(struct links *links)
{
    if (links == NULL)
        return;
    for (uint32_t i = 0; links->chunks != NULL && i < links->topic->partitions; i++)
        free(links->chunks[i].positions);
    free(links->chunks);
    free(links->counts);
    block_free(links->block);
    free(links);
}

const uint64_t *
links_counts(const struct links *links)
{
    return links->total > 0 ? links->counts : NULL;
}

uint64_t
links_looked_end(const struct links *links)
{
    return links->looked_end;
}

static void
encode(struct buf *to, uint64_t first_offset, const struct chunk *chunk)
{
    uint8_t bytes[2 * VARINT_MAX];
    uint64_t before = 0;
    buf_put(to, bytes, (size_t)(varint_put(varint_put(bytes, first_offset), chunk->count) - bytes));
    for (uint32_t i = 0; i < chunk->count; i++) {
        buf_put(to, bytes, (size_t)(varint_put(bytes, chunk->positions[i] - before) - bytes));
        before = chunk->positions[i];
    }
}

/* What is pending of the partitions from *next on, as many as one append takes. */
static cairn_err
write_some(struct links *links, uint32_t *next, cairn_error *error)
{
    cairn_write writes[WRITES_MAX];
    cairn_event events[WRITES_MAX];
    char names[WRITES_MAX][NAME_MAX_SIZE];
    size_t ends[WRITES_MAX], count = 0;
    struct buf data = {0};
    uint32_t partition = *next, first = partition;
    for (; partition < links->topic->partitions && count < WRITES_MAX; partition++) {
        const struct chunk *chunk = &links->chunks[partition];
        if (chunk->count == 0)
            continue;
        encode(&data, links->counts[partition] - chunk->count, chunk);
        writes[count] = (cairn_write){links_stream(&links->topic->id, partition, names[count]), CAIRN_ANY, &events[count], 1};
        ends[count++] = data.size;
    }
    for (size_t i = 0; i < count; i++)
        events[i] = (cairn_event){.type = CAIRN_STR("$links"),
                                  .content_type = CAIRN_STR("application/octet-stream"),
                                  .data = {data.data + (i ? ends[i - 1] : 0), ends[i] - (i ? ends[i - 1] : 0)}};
    cairn_append_request request = {.scope = links->scope, .writes = writes, .write_count = count, .system = true};
    cairn_at at;
    cairn_err err = data.failed ? error_set(error, CAIRN_E_NOMEM, "no memory to link a topic's events")
                    : count > 0 ? log_append_blocking(links->log, &request, &at, error)
                                : CAIRN_OK;
    buf_free(&data);
    for (uint32_t i = first; err == CAIRN_OK && i < partition; i++) {
        links->pending -= links->chunks[i].count;
        links->chunks[i].count = 0;
    }
    *next = partition;
    return err;
}

static cairn_err
write_all(struct links *links, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    for (uint32_t next = 0; err == CAIRN_OK && links->pending > 0 && next < links->topic->partitions;)
        err = write_some(links, &next, error);
    return err;
}

static cairn_err
add(struct links *links, uint32_t partition, uint64_t position, cairn_error *error)
{
    struct chunk *chunk = &links->chunks[partition];
    if (chunk->count == CHUNK_MAX || links->pending == PENDING_MAX) {
        cairn_err err = write_all(links, error);
        if (err != CAIRN_OK)
            return err;
    }
    if (chunk->count == chunk->capacity) {
        uint32_t capacity = chunk->capacity ? chunk->capacity * 4 : 64;
        uint64_t *positions = realloc(chunk->positions, capacity * sizeof *positions);
        if (positions == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory to link a topic's events");
        chunk->positions = positions;
        chunk->capacity = capacity;
    }
    chunk->positions[chunk->count++] = position;
    links->counts[partition]++;
    links->pending++;
    links->total++;
    return CAIRN_OK;
}

/* Records of batches belong to a topic that the category had, and that was deleted. */
cairn_err
links_read_on(struct links *links, cairn_error *error)
{
    struct log *log = links->log;
    struct series_head entries[256];
    size_t count = 0;
    struct series_read read = {.key = log_key(log, KEY_CATEGORY, links->scope, links->topic->category),
                               .by = SERIES_BY_POSITION, .from = links->looked_end, .end = cairn_log_end(log)};
    cairn_err err;
    do {
        err = cairn_series_read(log->series, &read, entries, 256, &count, error);
        for (size_t i = 0; err == CAIRN_OK && i < count; i++) {
            struct record record;
            bool near = i + 1 < count && entries[i + 1].position - entries[i].position < 8;
            err = log_read_record(log, links->block, entries[i].position, near ? BLOCK_SCAN : BLOCK_POINT, &record, error);
            if (err == CAIRN_OK && record.kind == RECORD_EVENT && !record.unfolded)
                err = add(links, stream_partition(record.stream, links->topic->partitions), record.position, error);
            read.from = entries[i].position + 1;
        }
        if (err == CAIRN_OK && atomic_load(&log->stopping))
            err = error_set(error, CAIRN_E_CLOSED, "the store is closing");
    } while (err == CAIRN_OK && count > 0);
    if (err == CAIRN_OK)
        err = write_all(links, error);
    if (err == CAIRN_OK)
        links->looked_end = read.end;
    return err;
}

/* ---- reading -------------------------------------------------------------------------------------------------------------- */

struct links_cursor {
    struct block *block;
    struct hash128 key;   /* of the links' stream; all zeros: nothing is loaded */
    uint64_t revision, first;
    uint32_t count;
    uint64_t positions[CHUNK_MAX];
};

struct links_cursor *
links_cursor_new(void)
{
    struct links_cursor *cursor = calloc(1, sizeof *cursor);
    if (cursor != NULL && (cursor->block = block_new()) == NULL) {
        free(cursor);
        return NULL;
    }
    return cursor;
}

void
links_cursor_free(struct links_cursor *cursor)
{
    if (cursor == NULL)
        return;
    block_free(cursor->block);
    free(cursor);
}

static bool
decode(struct links_cursor *cursor, cairn_str data)
{
    const uint8_t *at = (const uint8_t *)data.data, *end = at + data.size;
    uint64_t count, step, position = 0;
    if ((at = varint_get(at, end, &cursor->first)) == NULL || (at = varint_get(at, end, &count)) == NULL
        || count == 0 || count > CHUNK_MAX)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if ((at = varint_get(at, end, &step)) == NULL)
            return false;
        cursor->positions[i] = position += step;
    }
    cursor->count = (uint32_t)count;
    return at == end;
}

/* CAIRN_E_END: there is no such revision. */
static cairn_err
load(struct log *log, struct links_cursor *cursor, struct hash128 key, uint64_t revision, cairn_error *error)
{
    struct series_read read = {.key = key, .by = SERIES_BY_ORDINAL, .from = revision, .end = cairn_log_end(log)};
    struct series_head entry;
    struct record record;
    size_t count;
    cursor->key = (struct hash128){0};
    cairn_err err = cairn_series_read(log->series, &read, &entry, 1, &count, error);
    if (err != CAIRN_OK)
        return err;
    if (count == 0)
        return CAIRN_E_END;
    err = log_read_stored(log, cursor->block, entry.position, BLOCK_POINT, &record, error);
    if (err != CAIRN_OK)
        return err;
    if (record.kind != RECORD_EVENT || !decode(cursor, record.event.data))
        return error_set(error, CAIRN_E_CORRUPT, "the links at position %llu cannot be read",
                         (unsigned long long)entry.position);
    cursor->key = key;
    cursor->revision = entry.ordinal;
    return CAIRN_OK;
}

static bool
is_in(const struct links_cursor *cursor, uint64_t offset)
{
    return offset >= cursor->first && offset - cursor->first < cursor->count;
}

cairn_err
links_find(struct log *log, struct links_cursor *cursor, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition,
           uint64_t offset, uint64_t *ret_position, cairn_error *error)
{
    char name[NAME_MAX_SIZE];
    struct hash128 key = log_key(log, KEY_STREAM, scope, links_stream(topic_id, partition, name));
    cairn_err err = CAIRN_OK;
    bool ours = cursor->key.low == key.low && cursor->key.high == key.high;
    if (ours && offset == cursor->first + cursor->count)
        err = load(log, cursor, key, cursor->revision + 1, error);
    if (err == CAIRN_OK && (!ours || !is_in(cursor, offset))) {
        struct series_head last;
        err = cairn_series_head(log->series, key, cairn_log_end(log), &last, error);
        uint64_t low = 0, high = err == CAIRN_OK ? last.ordinal : 0;
        do { /* the revision that holds it is in [low, high] */
            uint64_t middle = low + (high - low) / 2;
            if (err == CAIRN_OK)
                err = load(log, cursor, key, middle, error);
            if (err != CAIRN_OK || is_in(cursor, offset))
                break;
            if (offset < cursor->first)
                high = middle > low ? middle - 1 : low;
            else
                low = middle + 1;
        } while (low <= high && !(low == high && cursor->revision == low));
    }
    if (err == CAIRN_OK && is_in(cursor, offset))
        *ret_position = cursor->positions[offset - cursor->first];
    else if (err == CAIRN_OK || err == CAIRN_E_END)
        err = error_set(error, CAIRN_E_CORRUPT, "offset %llu of a partition is missing in its links",
                        (unsigned long long)offset);
    return err;
}

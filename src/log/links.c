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

/* Events as they are to be written, of the partitions [first, end). */
struct drafts {
    uint32_t first, end;
    cairn_write writes[LINKS_WRITES_MAX];
    cairn_event events[LINKS_WRITES_MAX];
    char names[LINKS_WRITES_MAX][NAME_MAX_SIZE];
    struct buf data;
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
    struct drafts drafts;
};

struct links *
links_new(struct log *log, cairn_scope scope, const cairn_topic *topic)
{
    struct links *links = calloc(1, sizeof *links);
    if (links == NULL)
        return NULL;
    links->log = log;
    links->scope = scope;
    links->topic = topic;
    links->chunks = calloc(topic->partitions, sizeof *links->chunks);
    links->counts = calloc(topic->partitions, sizeof *links->counts);
    links->block = block_new();
    if (links->chunks == NULL || links->counts == NULL || links->block == NULL) {
        links_free(links);
        return NULL;
    }
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
    buf_free(&links->drafts.data);
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

cairn_err
links_writes(struct links *links, const cairn_write **ret, size_t *ret_count, cairn_error *error)
{
    struct drafts *drafts = &links->drafts;
    size_t ends[LINKS_WRITES_MAX], count = 0;
    buf_clear(&drafts->data);
    drafts->end = drafts->first;
    for (; drafts->end < links->topic->partitions && count < LINKS_WRITES_MAX; drafts->end++) {
        const struct chunk *chunk = &links->chunks[drafts->end];
        if (chunk->count == 0)
            continue;
        encode(&drafts->data, links->counts[drafts->end] - chunk->count, chunk);
        drafts->writes[count] = (cairn_write){links_stream(&links->topic->id, drafts->end, drafts->names[count]), CAIRN_ANY,
                                              &drafts->events[count], 1};
        ends[count++] = drafts->data.size;
    }
    for (size_t i = 0, begin = 0; i < count; begin = ends[i++])
        drafts->events[i] = (cairn_event){.type = CAIRN_STR("$links"),
                                          .content_type = CAIRN_STR("application/octet-stream"),
                                          .data = {drafts->data.data + begin, ends[i] - begin}};
    *ret = drafts->writes;
    *ret_count = count;
    return drafts->data.failed ? error_set(error, CAIRN_E_NOMEM, "no memory to link a topic's events") : CAIRN_OK;
}

static cairn_err
write_all(struct links *links, cairn_error *error)
{
    struct drafts *drafts = &links->drafts;
    cairn_err err = CAIRN_OK;
    for (drafts->first = 0; err == CAIRN_OK && links->pending > 0 && drafts->first < links->topic->partitions;
         drafts->first = drafts->end) {
        cairn_append_request request = {.scope = links->scope, .system = true};
        cairn_at at;
        err = links_writes(links, &request.writes, &request.write_count, error);
        if (err == CAIRN_OK && request.write_count > 0)
            err = log_append_blocking(links->log, &request, &at, error);
        for (uint32_t i = drafts->first; err == CAIRN_OK && i < drafts->end; i++) {
            links->pending -= links->chunks[i].count;
            links->chunks[i].count = 0;
        }
    }
    drafts->first = 0;
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

/* Records of batches belong to a topic that the category had, and that was deleted: they are passed over. *next: the position
 * behind what lies there. */
static cairn_err
link_record(struct links *links, uint64_t position, enum block_mode mode, uint64_t *next, cairn_error *error)
{
    struct log *log = links->log;
    struct record record;
    if (position >= cairn_log_end(log)) { /* then we are under the lock */
        if (!record_in_flight(log, position, &record))
            return error_set(error, CAIRN_E_BUSY, "an event is on its way to the disk; try again");
    } else {
        cairn_err err = log_read_stored(log, links->block, position, mode, &record, error);
        if (err != CAIRN_OK)
            return err;
    }
    *next = record.position + record.count;
    return record.kind == RECORD_EVENT
               ? add(links, stream_partition(record.stream, links->topic->partitions), record.position, error)
               : CAIRN_OK;
}

static cairn_err
read_category(struct links *links, uint64_t end, cairn_error *error)
{
    struct log *log = links->log;
    struct series_head entries[256];
    size_t count = 0;
    struct series_read read = {.key = log_key(log, KEY_CATEGORY, links->scope, links->topic->category),
                               .by = SERIES_BY_POSITION, .from = links->looked_end, .end = end};
    cairn_err err;
    do {
        err = cairn_series_read(log->series, &read, entries, 256, &count, error);
        for (size_t i = 0; err == CAIRN_OK && i < count; i++) {
            bool near = i + 1 < count && entries[i + 1].position - entries[i].position < 8;
            if (entries[i].position >= read.from)
                err = link_record(links, entries[i].position, near ? BLOCK_SCAN : BLOCK_POINT, &read.from, error);
            if (err == CAIRN_OK)
                links->looked_end = read.from;
        }
        if (err == CAIRN_OK && atomic_load(&log->stopping))
            err = error_set(error, CAIRN_E_CLOSED, "the store is closing");
    } while (err == CAIRN_OK && count > 0);
    if (err == CAIRN_OK)
        links->looked_end = end;
    return err;
}

cairn_err
links_read_on(struct links *links, cairn_error *error)
{
    cairn_err err = read_category(links, cairn_log_end(links->log), error);
    return err == CAIRN_OK ? write_all(links, error) : err;
}

cairn_err
links_read_rest(struct links *links, cairn_error *error)
{
    uint64_t end = links->log->next_position;
    struct series_head entries[LINKS_WRITES_MAX];
    size_t count;
    struct series_read read = {.key = log_key(links->log, KEY_CATEGORY, links->scope, links->topic->category),
                               .by = SERIES_BY_POSITION, .from = links->looked_end, .end = end};
    cairn_err err = cairn_series_read(links->log->series, &read, entries, LINKS_WRITES_MAX, &count, error);
    if (err == CAIRN_OK && (links->pending > 0 || count == LINKS_WRITES_MAX))
        err = error_set(error, CAIRN_E_BUSY, "too many events come to the category while the topic is made; try again");
    return err == CAIRN_OK ? read_category(links, end, error) : err;
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

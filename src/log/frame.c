/* Frames and records: the bytes of format.h, written and checked.
 *
 * A caller encodes its records before it takes the sequence lock (record_encode: all of the work
 * that grows with the data); under the lock only the 28 bytes that the writer decides are filled in and
 * checksummed (record_place), 4 bytes a record being carried up into the frame's checksum. */
#include "log_int.h"

static bool
within(cairn_error *error, size_t index, const char *field, size_t size, size_t limit, bool required)
{
    if (required && size == 0) {
        (void)error_set(error, CAIRN_E_INVALID, "events[%zu].%s is empty", index, field);
        return false;
    }
    if (size > limit) {
        (void)error_set(error, CAIRN_E_LIMIT, "events[%zu].%s is %zu bytes; the limit is %zu", index,
                        field, size, limit);
        return false;
    }
    return true;
}

size_t
record_size(const struct log_options *options, cairn_str stream, const cairn_event *event,
            size_t index, cairn_error *error)
{
    if (!within(error, index, "type", event->type.size, LOG_NAME_MAX, true)
        || !within(error, index, "content_type", event->content_type.size, LOG_NAME_MAX, false)
        || !within(error, index, "correlation", event->correlation.size, LOG_NAME_MAX, false))
        return 0;
    if (event->tag_count > LOG_TAGS_MAX) {
        (void)error_set(error, CAIRN_E_LIMIT, "events[%zu] has %zu tags; the limit is %d", index,
                        event->tag_count, LOG_TAGS_MAX);
        return 0;
    }
    size_t tags = 0;
    for (size_t i = 0; i < event->tag_count; i++) {
        if (!within(error, index, "tags", event->tags[i].size, LOG_NAME_MAX, true))
            return 0;
        tags += 2 + event->tags[i].size;
    }
    size_t limit = options->event_size_max;
    if (!within(error, index, "data", event->data.size, limit, false)
        || !within(error, index, "meta", event->meta.size, limit, false))
        return 0;
    size_t names = stream.size + event->type.size + event->content_type.size
                   + event->correlation.size + tags;
    if (!within(error, index, "size", names + event->meta.size + event->data.size, limit, false))
        return 0;
    return RECORD_HEAD_SIZE + BODY_FIXED_SIZE + names + event->meta.size + event->data.size;
}

static uint8_t *
put(uint8_t *to, cairn_str text)
{
    if (text.size > 0)
        memcpy(to, text.data, text.size);
    return to + text.size;
}

void
record_encode(uint8_t *to, size_t size, cairn_scope scope, cairn_str stream, const cairn_event *event)
{
    uint8_t *body = to + RECORD_HEAD_SIZE;
    store32(body, scope);
    store32(body + 4, event->schema_id);
    store32(body + 8, (uint32_t)event->data.size);
    store32(body + 12, (uint32_t)event->meta.size);
    memcpy(body + 16, event->id.bytes, 16);
    store16(body + 32, (uint16_t)stream.size);
    store16(body + 34, (uint16_t)event->type.size);
    store16(body + 36, (uint16_t)event->content_type.size);
    store16(body + 38, (uint16_t)event->correlation.size);
    store16(body + 40, (uint16_t)event->tag_count);
    store16(body + 42, 0);
    uint8_t *at = put(body + BODY_FIXED_SIZE, stream);
    at = put(at, event->type);
    at = put(at, event->content_type);
    at = put(at, event->correlation);
    for (size_t i = 0; i < event->tag_count; i++) {
        store16(at, (uint16_t)event->tags[i].size);
        at = put(at + 2, event->tags[i]);
    }
    at = put(at, event->meta);
    at = put(at, event->data);
    assert(at == to + size);

    store32(to + 4, (uint32_t)size);
    store32(to + 8, crc32c(0, body, size - RECORD_HEAD_SIZE));
    store32(to + 12, RECORD_EVENT);
}

uint32_t
record_place(uint8_t *record, uint32_t seed, uint64_t position, uint64_t revision, int64_t time_us)
{
    store64(record + 16, position);
    store64(record + 24, revision);
    store64(record + 32, (uint64_t)time_us);
    uint32_t crc = crc32c(seed, record + 4, RECORD_HEAD_SIZE - 4);
    store32(record, crc);
    return crc;
}

size_t
batch_front_size(size_t category_size, uint32_t revision_count)
{
    return BATCH_RECORD_HEAD_SIZE + 8 * (size_t)revision_count + BATCH_BODY_FIXED_SIZE + category_size;
}

void
batch_front_encode(uint8_t *to, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition, cairn_str category,
                   uint32_t count, uint32_t revision_count, cairn_str batch)
{
    assert(count > 0 && count <= BATCH_RECORDS_MAX && (revision_count == 1 || revision_count == count));
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ /* otherwise it would be read once more */
    assert(batch_crc_holds(batch));
#endif
    uint8_t *body = to + BATCH_RECORD_HEAD_SIZE + 8 * (size_t)revision_count;
    store32(body, scope);
    store32(body + 4, count);
    memcpy(body + 8, topic_id->bytes, 16);
    store32(body + 24, partition);
    store16(body + 28, (uint16_t)category.size);
    store16(body + 30, 0);
    uint8_t *end = put(body + BATCH_BODY_FIXED_SIZE, category);

    store32(to + 4, (uint32_t)((size_t)(end - to) + batch.size));
    store32(to + 8, batch_crc_on(crc32c(0, body, (size_t)(end - body)), batch));
    store32(to + 12, RECORD_BATCH);
    store32(to + 40, 8 * revision_count);
}

uint8_t *
batch_record_revisions(uint8_t *record)
{
    return record + BATCH_RECORD_HEAD_SIZE;
}

uint32_t
batch_record_place(uint8_t *record, uint32_t seed, uint64_t position, uint64_t first_offset, int64_t time_us)
{
    store64(record + 16, position);
    store64(record + 24, first_offset);
    store64(record + 32, (uint64_t)time_us);
    store32(record + 44, crc32c(0, record + BATCH_RECORD_HEAD_SIZE, load32(record + 40)));
    uint32_t crc = crc32c(seed, record + 4, BATCH_RECORD_HEAD_SIZE - 4);
    store32(record, crc);
    return crc;
}

uint64_t
batch_revision(const struct stored_batch *batch, uint32_t index)
{
    assert(index < batch->count);
    return batch->revision_count == 1 ? load64(batch->revisions) + index : load64(batch->revisions + 8 * (size_t)index);
}

void
frame_place(uint8_t *frame, uint32_t seed, const struct frame *head, uint32_t records_crc)
{
    store32(frame, FRAME_MAGIC);
    store32(frame + 8, head->size);
    store32(frame + 12, head->count);
    store64(frame + 16, head->first_position);
    store64(frame + 24, head->durable);
    store64(frame + 32, (uint64_t)head->time_us);
    uint32_t crc = crc32c(seed, frame + 8, FRAME_HEADER_SIZE - 8);
    store32(frame + 4, crc32c(crc, &records_crc, 4));
}

/* The records are as they were: of each only the 4 bytes that are carried up are read. */
void
frame_vouch(uint8_t *frame, uint32_t seed, uint64_t durable)
{
    struct frame head = {load32(frame + 8), load32(frame + 12), load64(frame + 16), durable,
                         (int64_t)load64(frame + 32)};
    assert(load32(frame) == FRAME_MAGIC && durable <= head.first_position);
    if (load64(frame + 24) == durable)
        return;
    const uint8_t *record = frame + FRAME_HEADER_SIZE;
    uint32_t records_crc = 0;
    for (uint32_t i = 0; i < head.count; i++) {
        records_crc = frame_carry(records_crc, load32(record));
        record += load32(record + 4);
    }
    frame_place(frame, seed, &head, records_crc);
}

uint32_t
frame_carry(uint32_t records_crc, uint32_t head_crc)
{
    return crc32c(records_crc, &head_crc, 4);
}

/* Cut `size` bytes off the front of `rest`. */
static cairn_str
take(cairn_str *rest, size_t size)
{
    cairn_str piece = {rest->data, size};
    rest->data += size;
    rest->size -= size;
    return piece;
}

static const char *
decode_event(struct record *record)
{
    const char *body = record->body.data;
    if (record->body.size < BODY_FIXED_SIZE)
        return "the record is too short for an event";
    size_t data_size = load32(body + 8), meta_size = load32(body + 12);
    size_t stream_size = load16(body + 32), type_size = load16(body + 34);
    size_t content_size = load16(body + 36), correlation_size = load16(body + 38);
    size_t fixed = stream_size + type_size + content_size + correlation_size + meta_size + data_size;
    cairn_str rest = {body + BODY_FIXED_SIZE, record->body.size - BODY_FIXED_SIZE};
    if (rest.size < fixed)
        return "the sizes in the record exceed it";
    size_t tags_size = rest.size - fixed;

    cairn_event *event = &record->event;
    record->scope = load32(body);
    event->schema_id = load32(body + 4);
    memcpy(event->id.bytes, body + 16, 16);
    event->tag_count = load16(body + 40);
    event->tags = NULL;
    record->stream = take(&rest, stream_size);
    event->type = take(&rest, type_size);
    event->content_type = take(&rest, content_size);
    event->correlation = take(&rest, correlation_size);
    record->tags_packed = take(&rest, tags_size);
    event->meta = take(&rest, meta_size);
    event->data = take(&rest, data_size);

    if (event->tag_count > LOG_TAGS_MAX)
        return "the record has too many tags";
    cairn_str packed = record->tags_packed, tag;
    for (size_t i = 0; i < event->tag_count; i++)
        if (!record_next_tag(&packed, &tag))
            return "the tags exceed the record";
    return packed.size == 0 ? NULL : "the record holds more than its parts";
}

static const char *
decode_removed(struct record *record)
{
    const char *body = record->body.data;
    if (record->body.size < REMOVED_FIXED_SIZE
        || record->body.size != REMOVED_FIXED_SIZE + (size_t)load16(body + 36))
        return "a removed record has a wrong size";
    record->leaf = (const uint8_t *)body;
    record->scope = load32(body + 32);
    record->stream = (cairn_str){body + REMOVED_FIXED_SIZE, record->body.size - REMOVED_FIXED_SIZE};
    return NULL;
}

/* Streams that records are gone of: each within the batch and with a name, in ascending order, nothing behind them. */
static const char *
check_gone(const struct stored_batch *batch)
{
    cairn_str rest = batch->gone, stream;
    uint32_t index, next = 0;
    for (uint32_t i = 0; i < batch->gone_count; i++) {
        if (!batch_next_gone(&rest, &index, &stream) || stream.size == 0 || index < next || index >= batch->count)
            return "a thinned batch has wrong streams";
        next = index + 1;
    }
    return rest.size == 0 ? NULL : "a thinned batch holds more than its parts";
}

static const char *
decode_batch(struct record *record)
{
    bool thinned = record->kind == RECORD_THINNED;
    const char *body = record->body.data;
    struct stored_batch *batch = &record->batch;
    size_t fixed = thinned ? THINNED_FIXED_SIZE : BATCH_BODY_FIXED_SIZE;
    if (record->body.size < fixed)
        return "the record is too short for a batch";
    if (thinned) {
        record->leaf = (const uint8_t *)body;
        body += 32;
    }
    record->scope = load32(body);
    record->count = batch->count = load32(body + 4);
    memcpy(batch->topic_id.bytes, body + 8, 16);
    batch->partition = load32(body + 24);
    size_t category_size = load16(body + 28);
    cairn_str rest = {record->body.data + fixed, record->body.size - fixed};
    size_t left = thinned ? load32(body + 32) : 0;
    if (rest.size < category_size || rest.size - category_size < left)
        return "the sizes in the batch's record exceed it";
    batch->category = take(&rest, category_size);
    batch->thinned = thinned;
    batch->gone_count = thinned ? load32(body + 36) : 0;
    batch->gone = take(&rest, thinned ? rest.size - left : 0);
    batch->bytes = rest;
    batch->first_position = record->position;
    batch->first_offset = record->revision;
    if (load16(body + 30) != 0 || category_size == 0 || category_size > RECORD_CATEGORY_MAX)
        return "the batch's record holds something unknown";
    if (batch->count == 0 || batch->count > BATCH_RECORDS_MAX
        || (batch->revision_count != 1 && batch->revision_count != batch->count))
        return "a batch has a wrong number of revisions";
    if (record->position > UINT64_MAX - batch->count || record->revision > UINT64_MAX - batch->count)
        return "a batch is at an impossible position";
    return thinned ? check_gone(batch) : NULL;
}

/* The placed part of a batch, which stands between head and body. */
static const char *
check_placed(const char *head, struct record *ret)
{
    size_t size = load32(head + 40);
    if (size == 0 || size % 8 != 0 || size > ret->body.size)
        return "the batch's placed part has an impossible size";
    const char *placed = ret->body.data;
    if (load32(head + 44) != crc32c(0, placed, size))
        return "the batch's placed part does not match its checksum";
    ret->batch.revisions = (const uint8_t *)placed;
    ret->batch.revision_count = (uint32_t)(size / 8);
    (void)take(&ret->body, size);
    return NULL;
}

static inline bool
kind_holds_batch(uint32_t kind)
{
    return kind == RECORD_BATCH || kind == RECORD_THINNED;
}

/* A batch's head has 8 bytes more, which no other record is too short for. */
const char *
record_check_head(cairn_str bytes, uint32_t seed)
{
    const char *head = bytes.data;
    if (bytes.size < RECORD_HEAD_SIZE)
        return "the record is cut short";
    size_t size = kind_holds_batch(load32(head + 12)) ? BATCH_RECORD_HEAD_SIZE : RECORD_HEAD_SIZE;
    if (bytes.size < size)
        return "the record is cut short";
    return load32(head) == crc32c(seed, head + 4, size - 4) ? NULL : "the record's head does not match its checksum";
}

const char *
record_decode(cairn_str bytes, uint32_t seed, struct record *ret)
{
    const char *head = bytes.data;
    const char *fault = record_check_head(bytes, seed);
    if (fault != NULL)
        return fault;
    *ret = (struct record){.size = load32(head + 4), .kind = load32(head + 12), .count = 1,
                           .position = load64(head + 16), .revision = load64(head + 24),
                           .time_us = (int64_t)load64(head + 32)};
    size_t head_size = kind_holds_batch(ret->kind) ? BATCH_RECORD_HEAD_SIZE : RECORD_HEAD_SIZE;
    if (ret->size < head_size || ret->size > bytes.size)
        return "the record is cut short";
    ret->body = (cairn_str){head + head_size, ret->size - head_size};
    if (kind_holds_batch(ret->kind) && (fault = check_placed(head, ret)) != NULL)
        return fault;
    if (load32(head + 8) != crc32c(0, ret->body.data, ret->body.size))
        return "the record does not match its checksum";
    switch (ret->kind) {
    case RECORD_EVENT:
        return decode_event(ret);
    case RECORD_REMOVED:
        return decode_removed(ret);
    case RECORD_BATCH:
    case RECORD_THINNED:
        return decode_batch(ret);
    default:
        return "the record is of an unknown kind";
    }
}

const char *
record_decode_front(cairn_str front, uint32_t seed, struct record *ret)
{
    const char *head = front.data, *fault = record_check_head(front, seed);
    if (fault != NULL)
        return fault;
    *ret = (struct record){.size = load32(head + 4), .kind = load32(head + 12), .count = 1,
                           .position = load64(head + 16), .revision = load64(head + 24),
                           .time_us = (int64_t)load64(head + 32)};
    if (ret->kind != RECORD_BATCH || ret->size < BATCH_RECORD_HEAD_SIZE
        || front.size < record_front_size(front) || front.size > ret->size)
        return "there is no batch's front";
    ret->body = (cairn_str){head + BATCH_RECORD_HEAD_SIZE, ret->size - BATCH_RECORD_HEAD_SIZE};
    fault = check_placed(head, ret);
    return fault != NULL ? fault : decode_batch(ret);
}

size_t
record_front_size(cairn_str head)
{
    return BATCH_RECORD_HEAD_SIZE + (size_t)load32(head.data + 40) + BATCH_BODY_FIXED_SIZE + RECORD_CATEGORY_MAX + BATCH_HEAD_SIZE;
}

/* Where the number of a batch's records is in its head (batch/batch.h), big-endian. */
#define BATCH_COUNT_AT 57

struct record_extent
record_extent(const uint8_t *record)
{
    struct record_extent extent = {.size = load32(record + 4), .positions = 1};
    uint32_t kind = load32(record + 12);
    extent.removed = kind == RECORD_REMOVED;
    if (!kind_holds_batch(kind))
        return extent;
    const uint8_t *body = record + BATCH_RECORD_HEAD_SIZE + load32(record + 40);
    extent.positions = load32(body + (kind == RECORD_THINNED ? 32 + 4 : 4));
    if (kind == RECORD_THINNED) {
        uint32_t left = load32(body + 64);
        const uint8_t *batch = record + extent.size - left;
        uint32_t records = left < BATCH_HEAD_SIZE ? 0 : __builtin_bswap32(load32(batch + BATCH_COUNT_AT));
        extent.removed = extent.positions - (records < extent.positions ? records : extent.positions);
    }
    return extent;
}

bool
batch_next_gone(cairn_str *gone, uint32_t *ret_index, cairn_str *ret_stream)
{
    if (gone->size < 6)
        return false;
    size_t size = load16(gone->data + 4);
    if (gone->size - 6 < size)
        return false;
    *ret_index = load32(gone->data);
    *ret_stream = (cairn_str){gone->data + 6, size};
    gone->data += 6 + size;
    gone->size -= 6 + size;
    return true;
}

bool
record_next_tag(cairn_str *packed, cairn_str *ret_tag)
{
    if (packed->size < 2)
        return false;
    size_t size = load16(packed->data);
    if (packed->size - 2 < size)
        return false;
    *ret_tag = (cairn_str){packed->data + 2, size};
    packed->data += 2 + size;
    packed->size -= 2 + size;
    return true;
}

void
record_leaf(const struct record *record, uint8_t ret_leaf[32])
{
    if (record->leaf != NULL) {
        memcpy(ret_leaf, record->leaf, 32);
        return;
    }
    char head[25];
    head[0] = 0x00;
    store64(head + 1, record->position);
    store64(head + 9, record->revision);
    store64(head + 17, (uint64_t)record->time_us);
    cairn_str pieces[] = {{head, sizeof head},
                          {(const char *)record->batch.revisions, 8 * (size_t)record->batch.revision_count},
                          record->body};
    sha256_pieces(pieces, 3, ret_leaf);
}

const char *
frame_check(cairn_str bytes, uint32_t seed, struct frame *ret, size_t *ret_needed)
{
    *ret_needed = 0;
    if (bytes.size < FRAME_HEADER_SIZE) {
        *ret_needed = FRAME_HEADER_SIZE;
        return "the frame is cut short";
    }
    if (load32(bytes.data) != FRAME_MAGIC)
        return "there is no frame";
    ret->size = load32(bytes.data + 8);
    ret->count = load32(bytes.data + 12);
    ret->first_position = load64(bytes.data + 16);
    ret->durable = load64(bytes.data + 24);
    ret->time_us = (int64_t)load64(bytes.data + 32);
    if (ret->size < FRAME_HEADER_SIZE || ret->size % 8 != 0)
        return "the frame's size is impossible";
    if (ret->size > bytes.size) {
        /* What only looks like a frame shows itself before megabytes are fetched for it. */
        const size_t first_head = FRAME_HEADER_SIZE + BATCH_RECORD_HEAD_SIZE;
        if (ret->count == 0)
            return "the frame holds more than its records";
        const char *fault = bytes.size < first_head ? NULL
                            : record_check_head((cairn_str){bytes.data + FRAME_HEADER_SIZE, bytes.size - FRAME_HEADER_SIZE}, seed);
        if (fault != NULL)
            return fault;
        *ret_needed = bytes.size < first_head ? first_head : ret->size;
        return "the frame is cut short";
    }

    uint32_t records_crc = 0;
    uint64_t positions = 0;
    size_t at = FRAME_HEADER_SIZE;
    for (uint32_t i = 0; i < ret->count; i++) {
        struct record record;
        const char *fault = record_decode((cairn_str){bytes.data + at, ret->size - at}, seed, &record);
        if (fault != NULL)
            return fault;
        if (record.position != ret->first_position + positions || record.time_us != ret->time_us)
            return "a record is not the one its frame announces";
        positions += record.count;
        records_crc = frame_carry(records_crc, load32(bytes.data + at));
        at += record.size;
    }
    if (ret->size - at >= 8)
        return "the frame holds more than its records";
    for (; at < ret->size; at++)
        if (bytes.data[at] != 0)
            return "the frame's padding is not zero";
    uint32_t crc = crc32c(seed, bytes.data + 8, FRAME_HEADER_SIZE - 8);
    if (load32(bytes.data + 4) != crc32c(crc, &records_crc, 4))
        return "the frame does not match its checksum";
    return NULL;
}

uint64_t
frame_positions(cairn_str frame)
{
    const uint8_t *record = (const uint8_t *)frame.data + FRAME_HEADER_SIZE;
    uint64_t positions = 0;
    for (uint32_t i = load32(frame.data + 12); i > 0; i--) {
        struct record_extent extent = record_extent(record);
        positions += extent.positions;
        record += extent.size;
    }
    return positions;
}

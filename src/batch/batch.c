/* The head of a batch, its checksum, and the walk over its records.
 *
 * A record: varint length of what follows ‖ i8 attributes (unused) ‖ varlong timestamp delta ‖ varint offset delta ‖
 * varint key size (-1: null) ‖ key ‖ varint value size (-1: null) ‖ value ‖ varint number of headers ‖ headers.
 * A header: varint name size ‖ name ‖ varint value size (-1: null) ‖ value.
 *
 * Invariants of a cursor: records <= at <= end; `left` records are still to come and at most as many as the bytes can hold;
 * once `fault` is set, batch_next() returns nothing more. A record is given out only when all of it, headers too, lies
 * within its length, and its length within the batch: batch_next_header() meets no surprise. A cursor belongs to one thread at
 * a time. */
#include <base/hash.h>
#include <batch/batch.h>
#include <batch/varint.h>

enum { AT_LENGTH = 8, AT_EPOCH = 12, AT_MAGIC = 16, AT_CRC = 17, AT_ATTRIBUTES = 21, AT_LAST_DELTA = 23, AT_BASE_TIME = 27,
       AT_MAX_TIME = 35, AT_PRODUCER = 43, AT_PRODUCER_EPOCH = 51, AT_SEQUENCE = 53, AT_COUNT = 57 };

#define LENGTH_END 12   /* the length counts from here */
#define MAGIC 2
#define RECORD_MIN 7    /* bytes of the smallest record */
#define KEEP_MAX ((size_t)16 << 20) /* of memory that a cursor keeps for the next batch */

const char batch_cut_short[] = "the batch is cut short";
const char batch_no_memory[] = "out of memory";
static const char record_beyond[] = "a record reaches beyond its end";

static uint16_t big16(const uint8_t *at) { return __builtin_bswap16(load16(at)); }
static uint32_t big32(const uint8_t *at) { return __builtin_bswap32(load32(at)); }
static uint64_t big64(const uint8_t *at) { return __builtin_bswap64(load64(at)); }

const char *
batch_codec_name(enum batch_codec codec)
{
    static const char *const names[BATCH_CODECS] = {"none", "gzip", "snappy", "lz4", "zstd"};
    return (unsigned)codec < BATCH_CODECS ? names[codec] : "unknown";
}

static enum batch_codec
codec_of(const struct batch_head *head)
{
    return (enum batch_codec)(head->attributes & BATCH_CODEC_BITS);
}

/* ---- the head */

static const char *
check_head(const struct batch_head *head)
{
    if (codec_of(head) >= BATCH_CODECS)
        return "the batch has an unknown codec";
    if (head->count > BATCH_RECORDS_MAX)
        return "the batch has too many records";
    if (head->last_offset_delta < 0 || (uint32_t)head->last_offset_delta + 1 < head->count)
        return "the batch has more records than offsets";
    if (codec_of(head) == BATCH_PLAIN && head->count > (head->size - BATCH_HEAD_SIZE) / RECORD_MIN)
        return "the batch has more records than bytes for them";
    return NULL;
}

const char *
batch_head_read(cairn_str bytes, struct batch_head *ret)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    /* The magic first: earlier formats have it at the same place, and mean something else by all that follows. */
    if (bytes.size <= AT_MAGIC)
        return batch_cut_short;
    if (at[AT_MAGIC] != MAGIC)
        return at[AT_MAGIC] < MAGIC ? "message formats before version 2 are not supported" : "the batch has an unknown format version";
    uint32_t length = big32(at + AT_LENGTH);
    if (length < BATCH_HEAD_SIZE - LENGTH_END || length > INT32_MAX - LENGTH_END)
        return "the batch has an impossible length";
    if (bytes.size < BATCH_HEAD_SIZE || bytes.size - LENGTH_END < length)
        return batch_cut_short;
    struct batch_head head = {
        .base_offset = (int64_t)big64(at),
        .size = length + LENGTH_END,
        .leader_epoch = (int32_t)big32(at + AT_EPOCH),
        .crc = big32(at + AT_CRC),
        .attributes = big16(at + AT_ATTRIBUTES),
        .last_offset_delta = (int32_t)big32(at + AT_LAST_DELTA),
        .base_timestamp_ms = (int64_t)big64(at + AT_BASE_TIME),
        .max_timestamp_ms = (int64_t)big64(at + AT_MAX_TIME),
        .producer_id = (int64_t)big64(at + AT_PRODUCER),
        .producer_epoch = (int16_t)big16(at + AT_PRODUCER_EPOCH),
        .base_sequence = (int32_t)big32(at + AT_SEQUENCE),
        .count = big32(at + AT_COUNT),
    };
    const char *fault = check_head(&head);
    if (!fault)
        *ret = head;
    return fault;
}

bool
batch_crc_holds(cairn_str batch)
{
    const uint8_t *at = (const uint8_t *)batch.data;
    if (batch.size < BATCH_HEAD_SIZE)
        return false;
    uint32_t length = big32(at + AT_LENGTH);
    if (length < BATCH_HEAD_SIZE - LENGTH_END || batch.size - LENGTH_END < length)
        return false;
    return crc32c(0, at + AT_ATTRIBUTES, length + LENGTH_END - AT_ATTRIBUTES) == big32(at + AT_CRC);
}

#define JOIN_LEAST 8192 /* below it reading is quicker than joining */

uint32_t
batch_crc_on(uint32_t crc, cairn_str batch)
{
    if (batch.size < JOIN_LEAST)
        return crc32c(crc, batch.data, batch.size);
    const uint8_t *at = (const uint8_t *)batch.data;
    return crc32c_join(crc32c(crc, at, AT_ATTRIBUTES), big32(at + AT_CRC), batch.size - AT_ATTRIBUTES);
}

static void put_big16(uint8_t *at, uint16_t v) { store16(at, __builtin_bswap16(v)); }
static void put_big32(uint8_t *at, uint32_t v) { store32(at, __builtin_bswap32(v)); }
static void put_big64(uint8_t *at, uint64_t v) { store64(at, __builtin_bswap64(v)); }

int32_t
batch_sequence_after(int32_t sequence, uint32_t records)
{
    return (int32_t)(((uint32_t)sequence + records) & INT32_MAX);
}

void
batch_place(uint8_t *batch, int64_t base_offset, int32_t leader_epoch)
{
    put_big64(batch, (uint64_t)base_offset);
    put_big32(batch + AT_EPOCH, (uint32_t)leader_epoch);
}

static void
seal(uint8_t *batch, uint32_t size)
{
    put_big32(batch + AT_CRC, crc32c(0, batch + AT_ATTRIBUTES, size - AT_ATTRIBUTES));
}

void
batch_stamp(uint8_t *batch, int64_t timestamp_ms)
{
    put_big16(batch + AT_ATTRIBUTES, big16(batch + AT_ATTRIBUTES) | BATCH_LOG_APPEND_TIME);
    put_big64(batch + AT_MAX_TIME, (uint64_t)timestamp_ms);
    seal(batch, big32(batch + AT_LENGTH) + LENGTH_END);
}

void
batch_head_write(uint8_t *batch, const struct batch_head *head)
{
    put_big64(batch, (uint64_t)head->base_offset);
    put_big32(batch + AT_LENGTH, head->size - LENGTH_END);
    put_big32(batch + AT_EPOCH, (uint32_t)head->leader_epoch);
    batch[AT_MAGIC] = MAGIC;
    put_big16(batch + AT_ATTRIBUTES, head->attributes);
    put_big32(batch + AT_LAST_DELTA, (uint32_t)head->last_offset_delta);
    put_big64(batch + AT_BASE_TIME, (uint64_t)head->base_timestamp_ms);
    put_big64(batch + AT_MAX_TIME, (uint64_t)head->max_timestamp_ms);
    put_big64(batch + AT_PRODUCER, (uint64_t)head->producer_id);
    put_big16(batch + AT_PRODUCER_EPOCH, (uint16_t)head->producer_epoch);
    put_big32(batch + AT_SEQUENCE, (uint32_t)head->base_sequence);
    put_big32(batch + AT_COUNT, head->count);
    seal(batch, head->size);
}

/* ---- records */

const uint8_t *
signed_varint_slow(const uint8_t *at, const uint8_t *end, unsigned bits, int64_t *ret)
{
    uint64_t zigzag;
    const uint8_t *after = varint_get(at, end, &zigzag);
    if (!after || (bits == 32 && (zigzag > UINT32_MAX || after - at > VARINT32_MAX)))
        return NULL;
    *ret = (int64_t)(zigzag >> 1 ^ (0 - (zigzag & 1)));
    return after;
}

/* A size (-1: null) and so many bytes. NULL: it is no size, or reaches beyond the end. */
static inline const uint8_t *
take_bytes(const uint8_t *at, const uint8_t *end, bool *ret_there, cairn_str *ret)
{
    int64_t size;
    at = signed_varint(at, end, 32, &size);
    if (__builtin_expect(!at || size < -1 || size > end - at, 0))
        return NULL;
    *ret_there = size >= 0;
    size = size < 0 ? 0 : size;
    *ret = (cairn_str){(const char *)at, (size_t)size};
    return at + size;
}

bool
batch_next_header(cairn_str *headers, cairn_str *ret_name, bool *ret_has_value, cairn_str *ret_value)
{
    if (headers->size == 0)
        return false;
    const uint8_t *at = (const uint8_t *)headers->data, *end = at + headers->size;
    cairn_str name, value;
    bool named, has_value;
    at = take_bytes(at, end, &named, &name);
    if (!at || !named)
        return false;
    at = take_bytes(at, end, &has_value, &value);
    if (!at)
        return false;
    *headers = (cairn_str){(const char *)at, (size_t)(end - at)};
    *ret_name = name;
    *ret_has_value = has_value;
    *ret_value = value;
    return true;
}

/* The headers are as many as they should be, and end where the record ends. */
static const char *
check_headers(cairn_str headers, uint32_t count)
{
    cairn_str name, value;
    bool has_value;
    for (uint32_t i = 0; i < count; i++)
        if (!batch_next_header(&headers, &name, &has_value, &value))
            return record_beyond;
    return headers.size == 0 ? NULL : "a record has bytes after its end";
}

/* The record at `at`. NULL: `fault` says why; otherwise where the next one begins. */
static inline const uint8_t *
take_record(const struct batch_head *head, const uint8_t *at, const uint8_t *end, struct batch_record *ret, const char **fault)
{
    int64_t length, time_delta, offset_delta, headers;
    at = signed_varint(at, end, 32, &length);
    if (__builtin_expect(!at || length < RECORD_MIN - 1 || length > end - at, 0)) {
        *fault = "a record reaches beyond the batch";
        return NULL;
    }
    end = at + length;
    at++; /* attributes: none are in use */
    if (!(at = signed_varint(at, end, 64, &time_delta)) || !(at = signed_varint(at, end, 32, &offset_delta)) ||
        !(at = take_bytes(at, end, &ret->has_key, &ret->key)) || !(at = take_bytes(at, end, &ret->has_value, &ret->value)) ||
        !(at = signed_varint(at, end, 32, &headers))) {
        *fault = record_beyond;
        return NULL;
    }
    if (headers < 0 || headers > BATCH_HEADERS_MAX) {
        *fault = "a record has too many headers";
        return NULL;
    }
    ret->offset_delta = offset_delta;
    ret->timestamp_ms = head->attributes & BATCH_LOG_APPEND_TIME
                            ? head->max_timestamp_ms
                            : (int64_t)((uint64_t)head->base_timestamp_ms + (uint64_t)time_delta);
    ret->header_count = (uint32_t)headers;
    ret->headers = (cairn_str){(const char *)at, (size_t)(end - at)};
    if (at != end || headers > 0)
        *fault = check_headers(ret->headers, ret->header_count);
    return *fault ? NULL : end;
}

const char *
batch_open(struct batch_cursor *cursor, cairn_str batch)
{
    cursor->left = 0;
    cursor->starts.size = 0;
    cursor->fault = batch_head_read(batch, &cursor->head);
    if (cursor->fault)
        return cursor->fault;
    const struct batch_head *head = &cursor->head;
    cairn_str records = {batch.data + BATCH_HEAD_SIZE, head->size - BATCH_HEAD_SIZE};
    if (codec_of(head) != BATCH_PLAIN) {
        if (cursor->unpacked.capacity > KEEP_MAX)
            buf_free(&cursor->unpacked);
        buf_clear(&cursor->unpacked);
        cursor->fault = codec_unpack(codec_of(head), records, BATCH_UNPACKED_MAX, &cursor->unpacked);
        records = buf_str(&cursor->unpacked);
        if (!cursor->fault && head->count > records.size / RECORD_MIN)
            cursor->fault = "the batch has more records than bytes for them";
        if (cursor->fault)
            return cursor->fault;
    }
    cursor->records = (const uint8_t *)records.data;
    cursor->at = cursor->records;
    cursor->end = cursor->records + records.size;
    cursor->left = head->count;
    cursor->last_delta = -1;
    return NULL;
}

static bool
fail(struct batch_cursor *cursor, const char *fault)
{
    cursor->fault = fault;
    cursor->left = 0;
    return false;
}

bool
batch_next(struct batch_cursor *cursor, struct batch_record *ret)
{
    if (cursor->left == 0) {
        if (!cursor->fault && cursor->at != cursor->end)
            cursor->fault = "the batch has bytes after its last record";
        return false;
    }
    const char *fault = NULL;
    const uint8_t *after = take_record(&cursor->head, cursor->at, cursor->end, ret, &fault);
    if (!after)
        return fail(cursor, fault);
    if (ret->offset_delta <= cursor->last_delta || ret->offset_delta > cursor->head.last_offset_delta)
        return fail(cursor, "the offsets of the records do not ascend");
    cursor->last_delta = ret->offset_delta;
    cursor->at = after;
    cursor->left--;
    return true;
}

/* Where every record begins. */
static const char *
make_starts(struct batch_cursor *cursor)
{
    const uint8_t *at = cursor->records;
    buf_clear(&cursor->starts);
    if (!buf_reserve(&cursor->starts, cursor->head.count * sizeof(uint32_t)))
        return batch_no_memory;
    for (uint32_t i = 0; i < cursor->head.count; i++) {
        int64_t length;
        store32(cursor->starts.data + i * sizeof(uint32_t), (uint32_t)(at - cursor->records));
        at = signed_varint(at, cursor->end, 32, &length);
        if (!at || length < 0 || length > cursor->end - at)
            return "a record reaches beyond the batch";
        at += length;
    }
    cursor->starts.size = cursor->head.count * sizeof(uint32_t);
    return NULL;
}

bool
batch_record_at(struct batch_cursor *cursor, uint32_t index, struct batch_record *ret)
{
    if (cursor->fault)
        return false;
    if (index >= cursor->head.count)
        return fail(cursor, "the batch has no such record");
    if (cursor->starts.size == 0) {
        const char *fault = make_starts(cursor);
        if (fault)
            return fail(cursor, fault);
    }
    const char *fault = NULL;
    const uint8_t *at = cursor->records + load32(cursor->starts.data + index * sizeof(uint32_t));
    return take_record(&cursor->head, at, cursor->end, ret, &fault) || fail(cursor, fault);
}

void
batch_close(struct batch_cursor *cursor)
{
    if (!cursor)
        return;
    buf_free(&cursor->unpacked);
    buf_free(&cursor->starts);
    *cursor = (struct batch_cursor){0};
}

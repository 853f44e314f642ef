/* Make a batch: records are encoded as they come, the head is written and the whole compressed at the end.
 *
 * `out` begins with room for the head, so that a plain batch is never moved; a compressed one is built in `packed` behind such
 * room, and the two change places. Times and offsets are kept relative to the first record. */
#include <batch/batch.h>
#include <batch/varint.h>

#include <assert.h>

void
batch_make_begin(struct batch_maker *maker)
{
    buf_clear(&maker->out);
    maker->count = 0;
    maker->last_offset = -1;
    maker->base_offset = maker->base_timestamp_ms = maker->max_timestamp_ms = 0;
}

static size_t
bytes_size(const cairn_str *bytes)
{
    return bytes ? signed_varint_size((int64_t)bytes->size) + bytes->size : 1;
}

static uint8_t *
put_bytes(uint8_t *to, const cairn_str *bytes)
{
    to = signed_varint_put(to, bytes ? (int64_t)bytes->size : -1);
    if (bytes && bytes->size) {
        memcpy(to, bytes->data, bytes->size);
        to += bytes->size;
    }
    return to;
}

/* False: over the bound. Every size is looked at before it is added, so the sum cannot overflow. */
static bool
add_size(size_t *sum, const cairn_str *bytes)
{
    if (bytes && bytes->size > BATCH_UNPACKED_MAX)
        return false;
    *sum += bytes_size(bytes);
    return *sum <= BATCH_UNPACKED_MAX;
}

static const cairn_str *
field_value(const struct batch_header_field *field)
{
    return field->null ? NULL : &field->value;
}

bool
batch_make_add(struct batch_maker *maker, int64_t offset, int64_t timestamp_ms, const cairn_str *key, const cairn_str *value,
               const struct batch_header_field *headers, size_t header_count)
{
    bool first = maker->count == 0;
    int64_t base = first ? offset : maker->base_offset;
    assert(first || offset > maker->last_offset);
    maker->full = true;
    if (maker->count == BATCH_RECORDS_MAX || header_count > BATCH_HEADERS_MAX || offset - base >= INT32_MAX)
        return false;
    int64_t time_delta = first ? 0 : (int64_t)((uint64_t)timestamp_ms - (uint64_t)maker->base_timestamp_ms);
    size_t size = 1 + signed_varint_size(time_delta) + signed_varint_size(offset - base) + signed_varint_size((int64_t)header_count);
    bool fits = add_size(&size, key) && add_size(&size, value);
    for (size_t i = 0; i < header_count && fits; i++)
        fits = add_size(&size, &headers[i].name) && add_size(&size, field_value(&headers[i]));
    if (!fits || maker->out.size + size + VARINT_MAX > BATCH_HEAD_SIZE + (size_t)BATCH_UNPACKED_MAX)
        return false;
    maker->full = false;
    if (!buf_reserve(&maker->out, (first ? BATCH_HEAD_SIZE : 0) + size + VARINT_MAX))
        return false;
    if (first)
        maker->out.size = BATCH_HEAD_SIZE;
    uint8_t *to = (uint8_t *)maker->out.data + maker->out.size;
    to = signed_varint_put(to, (int64_t)size);
    *to++ = 0;
    to = signed_varint_put(to, time_delta);
    to = signed_varint_put(to, offset - base);
    to = put_bytes(to, key);
    to = put_bytes(to, value);
    to = signed_varint_put(to, (int64_t)header_count);
    for (size_t i = 0; i < header_count; i++) {
        to = put_bytes(to, &headers[i].name);
        to = put_bytes(to, field_value(&headers[i]));
    }
    maker->out.size = (size_t)(to - (uint8_t *)maker->out.data);
    maker->last_offset = offset;
    maker->count++;
    if (first) {
        maker->base_offset = offset;
        maker->base_timestamp_ms = maker->max_timestamp_ms = timestamp_ms;
    }
    if (timestamp_ms > maker->max_timestamp_ms)
        maker->max_timestamp_ms = timestamp_ms;
    return true;
}

/* What stands behind the room for the head, compressed: into `packed`, which then takes the place of `out`. */
static bool
compress(struct batch_maker *maker, enum batch_codec codec)
{
    cairn_str records = {maker->out.data + BATCH_HEAD_SIZE, maker->out.size - BATCH_HEAD_SIZE};
    buf_clear(&maker->packed);
    if (!buf_reserve(&maker->packed, BATCH_HEAD_SIZE))
        return false;
    maker->packed.size = BATCH_HEAD_SIZE;
    if (!codec_pack(codec, records, &maker->packed))
        return false;
    struct buf plain = maker->out;
    maker->out = maker->packed;
    maker->packed = plain;
    return true;
}

bool
batch_make_end(struct batch_maker *maker, enum batch_codec codec, uint16_t attributes, int64_t last_offset)
{
    assert(maker->count > 0 && last_offset >= maker->last_offset && last_offset - maker->base_offset <= INT32_MAX);
    if (maker->out.failed || (codec != BATCH_PLAIN && !compress(maker, codec)))
        return false;
    struct batch_head head = {
        .base_offset = maker->base_offset,
        .size = (uint32_t)maker->out.size,
        .leader_epoch = -1,
        .attributes = (uint16_t)((attributes & ~BATCH_CODEC_BITS) | codec),
        .last_offset_delta = (int32_t)(last_offset - maker->base_offset),
        .base_timestamp_ms = maker->base_timestamp_ms,
        .max_timestamp_ms = maker->max_timestamp_ms,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
        .count = maker->count,
    };
    batch_head_write((uint8_t *)maker->out.data, &head);
    return true;
}

void
batch_make_free(struct batch_maker *maker)
{
    if (!maker)
        return;
    buf_free(&maker->out);
    buf_free(&maker->packed);
    *maker = (struct batch_maker){0};
}

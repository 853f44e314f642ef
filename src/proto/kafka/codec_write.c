/* Writing by the tables.
 *
 * Pieces (record batches) are not copied: where one belongs, a gap notes it. The sizes that come before them count them. A
 * tagged field is written where it will be, and then moved up by what its size takes. */
#include <proto/kafka/codec.h>

#include <assert.h>

struct writer {
    struct kafka_out *out;
    int16_t version;
    bool flexible, too_long;
};

void
kafka_out_clear(struct kafka_out *out)
{
    buf_clear(&out->bytes);
    buf_clear(&out->gaps);
    out->piece_bytes = out->file_bytes = 0;
}

void
kafka_out_free(struct kafka_out *out)
{
    buf_free(&out->bytes);
    buf_free(&out->gaps);
    out->piece_bytes = out->file_bytes = 0;
}

/* ---- scalars ----------------------------------------------------------------------------------------------------------- */

static void
put_number(struct writer *w, uint64_t value, unsigned size)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * (size - 1 - i));
    buf_put(&w->out->bytes, bytes, size);
}

static void
put_varint(struct writer *w, uint64_t value)
{
    uint8_t bytes[VARINT_MAX];
    buf_put(&w->out->bytes, bytes, (size_t)(varint_put(bytes, value) - bytes));
}

/* What take_count() reads. `null`: -1. */
static void
put_count(struct writer *w, bool narrow, bool null, size_t count)
{
    if (count > (w->flexible || !narrow ? (size_t)INT32_MAX : (size_t)INT16_MAX)) {
        w->too_long = true;
        return;
    }
    if (w->flexible)
        put_varint(w, null ? 0 : (uint64_t)count + 1);
    else
        put_number(w, null ? UINT64_MAX : count, narrow ? 2 : 4);
}

static bool
may_be_null(const struct writer *w, const struct kafka_field *field)
{
    return w->version >= field->null_from;
}

static void
put_pieces(struct writer *w, const struct kafka_pieces *pieces)
{
    size_t size = 0;
    for (size_t i = 0; i < pieces->count; i++)
        size += pieces->items[i].bytes.size;
    put_count(w, false, false, size);
    for (size_t i = 0; i < pieces->count; i++) {
        if (pieces->items[i].bytes.size == 0)
            continue;
        struct kafka_gap gap = {w->out->bytes.size, pieces->items[i]};
        buf_put(&w->out->gaps, &gap, sizeof gap);
        w->out->piece_bytes += gap.piece.bytes.size;
        if (!gap.piece.bytes.data)
            w->out->file_bytes += gap.piece.bytes.size;
    }
}

static void
put_scalar(struct writer *w, const struct kafka_field *field, bool nullable, const void *from)
{
    uint64_t number = 0;
    const cairn_str *text = from;
    size_t size = kafka_size_of(field);
    switch ((enum kafka_kind)field->kind) {
    case KAFKA_STRING: case KAFKA_BYTES: case KAFKA_RECORDS:
        put_count(w, field->kind == KAFKA_STRING, nullable && !text->data, text->size);
        buf_put(&w->out->bytes, text->data, text->size);
        return;
    case KAFKA_PIECES:
        put_pieces(w, from);
        return;
    case KAFKA_UUID:
        buf_put(&w->out->bytes, from, size);
        return;
    default:
        memcpy(&number, from, size);
        put_number(w, number, (unsigned)size);
        return;
    }
}

/* ---- structs ----------------------------------------------------------------------------------------------------------- */

static void put_struct(struct writer *w, const struct kafka_struct *table, const void *from);

static bool
is_there(const struct writer *w, const struct kafka_field *field)
{
    return w->version >= field->first && w->version <= field->last;
}

static void
put_list(struct writer *w, const struct kafka_field *field, const char *from)
{
    const char *items;
    int32_t count = *(const int32_t *)(from + field->beside);
    memcpy(&items, from + field->offset, sizeof items);
    put_count(w, false, count < 0 && may_be_null(w, field), count < 0 ? 0 : (size_t)count);
    size_t size = kafka_size_of(field);
    for (int32_t i = 0; i < count && !w->too_long; i++) {
        const void *item = items + (size_t)i * size;
        if (field->kind == KAFKA_STRUCT)
            put_struct(w, field->of, item);
        else
            put_scalar(w, field, false, item);
        w->too_long |= w->out->bytes.size > KAFKA_OUT_MAX;
    }
}

static void
put_field(struct writer *w, const struct kafka_field *field, const char *from)
{
    if (field->list) {
        put_list(w, field, from);
    } else if (field->kind != KAFKA_STRUCT) {
        put_scalar(w, field, may_be_null(w, field), from + field->offset);
    } else {
        bool nullable = field->tag < 0 && field->null_from != KAFKA_NEVER;
        bool has = !nullable || *(const bool *)(from + field->beside);
        if (nullable)
            put_number(w, has ? 1 : UINT64_MAX, 1);
        if (has)
            put_struct(w, field->of, from + field->offset);
    }
}

/* A tagged field is left out where it says what its absence says. */
static bool
is_default(const struct kafka_field *field, const char *from)
{
    if (field->list)
        return *(const int32_t *)(from + field->beside) <= 0;
    if (field->kind == KAFKA_STRUCT)
        return !*(const bool *)(from + field->beside);
    if (field->kind == KAFKA_STRING || field->kind == KAFKA_BYTES)
        return !((const cairn_str *)(from + field->offset))->data;
    return memcmp(from + field->offset, &field->otherwise, kafka_size_of(field)) == 0;
}

static bool
is_tagged_now(const struct writer *w, const struct kafka_field *field, const char *from)
{
    return field->tag >= 0 && is_there(w, field) && !is_default(field, from);
}

static void
put_tagged_field(struct writer *w, const struct kafka_field *field, const char *from)
{
    struct buf *bytes = &w->out->bytes;
    uint8_t length[VARINT_MAX];
    put_varint(w, (uint64_t)field->tag);
    size_t start = bytes->size;
    put_field(w, field, from);
    size_t size = bytes->size - start, more = (size_t)(varint_put(length, size) - length);
    if (!buf_reserve(bytes, more))
        return;
    memmove(bytes->data + start + more, bytes->data + start, size);
    memcpy(bytes->data + start, length, more);
    bytes->size += more;
}

/* In the order of the table, which is that of the tags. */
static void
put_tagged(struct writer *w, const struct kafka_struct *table, const char *from)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < table->field_count; i++)
        count += is_tagged_now(w, &table->fields[i], from);
    put_varint(w, count);
    for (uint32_t i = 0; i < table->field_count && count > 0; i++)
        if (is_tagged_now(w, &table->fields[i], from))
            put_tagged_field(w, &table->fields[i], from);
}

static void
put_struct(struct writer *w, const struct kafka_struct *table, const void *from)
{
    for (uint32_t i = 0; i < table->field_count; i++)
        if (table->fields[i].tag < 0 && is_there(w, &table->fields[i]))
            put_field(w, &table->fields[i], from);
    if (w->flexible)
        put_tagged(w, table, from);
}

/* ---- messages ------------------------------------------------------------------------------------------------------------ */

static cairn_err
result_of(const struct writer *w)
{
    if (w->out->bytes.failed || w->out->gaps.failed)
        return CAIRN_E_NOMEM;
    return w->too_long || kafka_out_size(w->out) > INT32_MAX ? CAIRN_E_LIMIT : CAIRN_OK;
}

cairn_err
kafka_write(struct kafka_out *out, const struct kafka_struct *table, int16_t version, bool flexible, const void *from)
{
    struct writer w = {.out = out, .version = version, .flexible = flexible};
    put_struct(&w, table, from);
    return result_of(&w);
}

/* The frame's size goes in front when all has been written. */
static cairn_err
finish_frame(struct writer *w, size_t start, size_t pieces_before)
{
    cairn_err err = result_of(w);
    if (err != CAIRN_OK)
        return err;
    size_t size = w->out->bytes.size - start - 4 + w->out->piece_bytes - pieces_before;
    uint32_t swapped = __builtin_bswap32((uint32_t)size);
    memcpy(w->out->bytes.data + start, &swapped, 4);
    return CAIRN_OK;
}

cairn_err
kafka_write_response(struct kafka_out *out, const struct kafka_message *message, int16_t version, int32_t correlation,
                     const void *response)
{
    struct writer w = {.out = out, .version = version, .flexible = kafka_is_flexible(message, version)};
    size_t start = out->bytes.size, pieces = out->piece_bytes;
    put_number(&w, 0, 4);
    put_number(&w, (uint32_t)correlation, 4);
    /* The answer that tells the versions has to be understood by whoever asked with a version that we do not know. */
    if (w.flexible && message->key != KAFKA_API_API_VERSIONS)
        put_varint(&w, 0);
    put_struct(&w, message->response, response);
    return finish_frame(&w, start, pieces);
}

cairn_err
kafka_write_request(struct kafka_out *out, const struct kafka_message *message, int16_t version, int32_t correlation,
                    cairn_str client_id, const void *request)
{
    struct writer w = {.out = out, .version = version};
    size_t start = out->bytes.size, pieces = out->piece_bytes;
    put_number(&w, 0, 4);
    put_number(&w, (uint16_t)message->key, 2);
    put_number(&w, (uint16_t)version, 2);
    put_number(&w, (uint32_t)correlation, 4);
    put_count(&w, true, !client_id.data, client_id.size);
    buf_put(&out->bytes, client_id.data, client_id.size);
    w.flexible = kafka_is_flexible(message, version);
    if (w.flexible)
        put_varint(&w, 0);
    put_struct(&w, message->request, request);
    return finish_frame(&w, start, pieces);
}

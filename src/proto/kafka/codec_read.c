/* Reading by the tables.
 *
 * Every count is held against what is left of the bytes, divided by the least that one element takes, before memory is taken
 * for the list: what a message can make us allocate is a fixed multiple of its own size. Recursion is as deep as the tables
 * nest, which is data of ours. Tagged fields are read each within its own size; tags that the tables do not know are passed
 * over, as KIP-482 asks. */
#include <proto/kafka/codec.h>

#include <assert.h>

struct reader {
    const uint8_t *at, *end;
    struct arena *arena;
    int16_t version;
    bool flexible, no_memory;
    struct kafka_fault *fault;
};

static const char past_end[] = "the bytes end too early";

/* The first fault counts; the innermost field that knows its name gives it. */
static bool
refuse(struct reader *r, const char *what, const char *where)
{
    struct kafka_fault *fault = r->fault;
    if (!fault->what && !r->no_memory)
        fault->what = what;
    if (fault->what && where && !*fault->where)
        fault->where = where;
    return false;
}

static inline size_t
left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

/* ---- scalars ----------------------------------------------------------------------------------------------------------- */

static bool
take(struct reader *r, size_t size, const uint8_t **ret)
{
    if (left(r) < size)
        return refuse(r, past_end, NULL);
    *ret = r->at;
    r->at += size;
    return true;
}

/* Big-endian, of 1, 2, 4 or 8 bytes. */
static bool
take_number(struct reader *r, size_t size, uint64_t *ret)
{
    const uint8_t *bytes;
    uint64_t value = 0;
    if (!take(r, size, &bytes))
        return false;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    *ret = value;
    return true;
}

static bool
take_varint(struct reader *r, uint32_t *ret)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (r->at == r->end)
            return refuse(r, past_end, NULL);
        uint8_t byte = *r->at++;
        if (shift == 28 && byte > 0x0F)
            break;
        value |= (uint32_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return refuse(r, "a variable-length number does not fit 32 bits", NULL);
}

/* How many bytes or elements follow; -1: null. `narrow`: 16 bits, as text has it in the forms that are not compact. */
static bool
take_count(struct reader *r, bool narrow, int64_t *ret)
{
    uint64_t number;
    uint32_t more_by_one;
    if (r->flexible) {
        if (!take_varint(r, &more_by_one))
            return false;
        *ret = (int64_t)more_by_one - 1;
    } else {
        if (!take_number(r, narrow ? 2 : 4, &number))
            return false;
        *ret = narrow ? (int16_t)number : (int32_t)number;
    }
    return *ret >= -1 || refuse(r, "a length is negative", NULL);
}

static bool
may_be_null(const struct reader *r, const struct kafka_field *field)
{
    return r->version >= field->null_from;
}

static bool
read_bytes(struct reader *r, const struct kafka_field *field, bool nullable, cairn_str *to)
{
    int64_t size;
    const uint8_t *bytes;
    if (!take_count(r, field->kind == KAFKA_STRING, &size))
        return false;
    if (size < 0) {
        *to = (cairn_str){NULL, 0};
        return nullable || refuse(r, "null, where there must be something", NULL);
    }
    if ((uint64_t)size > left(r))
        return refuse(r, "a length reaches past the end", NULL);
    if (!take(r, (size_t)size, &bytes))
        return false;
    *to = (cairn_str){(const char *)bytes, (size_t)size};
    return true;
}

/* One value that is not a struct; `to` is where C keeps it. */
static bool
read_scalar(struct reader *r, const struct kafka_field *field, bool nullable, void *to)
{
    uint64_t number;
    const uint8_t *bytes;
    struct kafka_pieces *pieces = to;
    size_t size = kafka_size_of(field);
    switch ((enum kafka_kind)field->kind) {
    case KAFKA_STRING: case KAFKA_BYTES: case KAFKA_RECORDS:
        return read_bytes(r, field, nullable, to);
    case KAFKA_PIECES:
        pieces->items = arena_zalloc(r->arena, sizeof *pieces->items);
        pieces->count = 1;
        if (!pieces->items) {
            r->no_memory = true;
            return false;
        }
        return read_bytes(r, field, nullable, &pieces->items->bytes);
    case KAFKA_UUID:
        if (!take(r, size, &bytes))
            return false;
        memcpy(to, bytes, size);
        return true;
    case KAFKA_BOOL:
        if (!take_number(r, 1, &number))
            return false;
        *(bool *)to = number != 0;
        return true;
    default: /* numbers: what is stored of `number` are its low bytes */
        if (!take_number(r, size, &number))
            return false;
        memcpy(to, &number, size);
        return true;
    }
}

/* ---- structs ----------------------------------------------------------------------------------------------------------- */

static bool read_struct(struct reader *r, const struct kafka_struct *table, void *to);

static bool
is_there(const struct reader *r, const struct kafka_field *field)
{
    return r->version >= field->first && r->version <= field->last;
}

/* The fewest bytes that a struct takes in this version. */
static size_t
least_of(const struct reader *r, const struct kafka_struct *table)
{
    size_t least = r->flexible; /* the count of tagged fields */
    for (uint32_t i = 0; i < table->field_count; i++) {
        const struct kafka_field *field = &table->fields[i];
        if (!is_there(r, field) || field->tag >= 0)
            continue;
        if (field->list || field->kind == KAFKA_BYTES || field->kind == KAFKA_RECORDS || field->kind == KAFKA_PIECES)
            least += r->flexible ? 1 : 4;
        else if (field->kind == KAFKA_STRING)
            least += r->flexible ? 1 : 2;
        else if (field->kind == KAFKA_STRUCT)
            least += field->null_from != KAFKA_NEVER ? 1 : least_of(r, field->of);
        else
            least += kafka_size_of(field);
    }
    return least;
}

static size_t
least_of_element(const struct reader *r, const struct kafka_field *field)
{
    if (field->kind == KAFKA_STRUCT)
        return least_of(r, field->of);
    if (field->kind == KAFKA_STRING)
        return r->flexible ? 1 : 2;
    return kafka_size_of(field);
}

static bool
read_list(struct reader *r, const struct kafka_field *field, char *to)
{
    int64_t count;
    if (!take_count(r, false, &count))
        return false;
    int32_t *ret_count = (int32_t *)(to + field->beside);
    if (count < 0) {
        *ret_count = -1;
        return may_be_null(r, field) || refuse(r, "null, where there must be a list", NULL);
    }
    size_t least = least_of_element(r, field), size = kafka_size_of(field);
    assert(least > 0);
    if ((uint64_t)count > left(r) / least)
        return refuse(r, "a list is longer than the bytes that are left", NULL);
    char *items = arena_alloc(r->arena, (size_t)count * size);
    if (!items) {
        r->no_memory = true;
        return false;
    }
    memcpy(to + field->offset, &items, sizeof items);
    *ret_count = (int32_t)count;
    for (int64_t i = 0; i < count; i++) {
        void *item = items + (size_t)i * size;
        if (field->kind == KAFKA_STRUCT ? !read_struct(r, field->of, item) : !read_scalar(r, field, false, item))
            return false;
    }
    return true;
}

static bool
read_field(struct reader *r, const struct kafka_field *field, char *to)
{
    bool fine;
    uint64_t present;
    if (field->list) {
        fine = read_list(r, field, to);
    } else if (field->kind != KAFKA_STRUCT) {
        fine = read_scalar(r, field, may_be_null(r, field), to + field->offset);
    } else if (field->null_from == KAFKA_NEVER) {
        fine = read_struct(r, field->of, to + field->offset);
    } else {
        bool *has = (bool *)(to + field->beside);
        fine = field->tag >= 0 || take_number(r, 1, &present);
        *has = fine && (field->tag >= 0 || (int8_t)present >= 0);
        fine = fine && (!*has || read_struct(r, field->of, to + field->offset));
    }
    return fine || refuse(r, past_end, field->name);
}

static bool
read_tagged(struct reader *r, const struct kafka_struct *table, char *to)
{
    uint32_t count, tag, size;
    if (!take_varint(r, &count))
        return false;
    if (count > left(r) / 2) /* each has a tag and a size */
        return refuse(r, "there are more tagged fields than bytes", NULL);
    while (count-- > 0) {
        if (!take_varint(r, &tag) || !take_varint(r, &size))
            return false;
        if (size > left(r))
            return refuse(r, "a tagged field reaches past the end", NULL);
        const uint8_t *end = r->end, *next = r->at + size;
        for (uint32_t i = 0; i < table->field_count; i++) {
            const struct kafka_field *field = &table->fields[i];
            if (field->tag < 0 || (uint32_t)field->tag != tag || !is_there(r, field))
                continue;
            r->end = next;
            if (!read_field(r, field, to))
                return false;
            if (r->at != next)
                return refuse(r, "a tagged field is longer than what it holds", field->name);
        }
        r->end = end;
        r->at = next;
    }
    return true;
}

static bool
read_struct(struct reader *r, const struct kafka_struct *table, void *to)
{
    kafka_defaults(table, to);
    for (uint32_t i = 0; i < table->field_count; i++) {
        const struct kafka_field *field = &table->fields[i];
        if (field->tag < 0 && is_there(r, field) && !read_field(r, field, to))
            return false;
    }
    return !r->flexible || read_tagged(r, table, to);
}

void
kafka_defaults(const struct kafka_struct *table, void *to)
{
    memset(to, 0, table->size);
    for (uint32_t i = 0; i < table->field_count; i++) {
        const struct kafka_field *field = &table->fields[i];
        if (field->otherwise) /* little-endian: the low bytes of the number are the number */
            memcpy((char *)to + field->offset, &field->otherwise, kafka_size_of(field));
        else if (field->kind == KAFKA_STRUCT && !field->list)
            kafka_defaults(field->of, (char *)to + field->offset);
    }
}

/* ---- messages ------------------------------------------------------------------------------------------------------------ */

static cairn_err
result_of(const struct reader *r, bool fine)
{
    return fine ? CAIRN_OK : r->no_memory ? CAIRN_E_NOMEM : CAIRN_E_INVALID;
}

cairn_err
kafka_read(cairn_str bytes, const struct kafka_struct *table, int16_t version, bool flexible, struct arena *arena, void *to,
           size_t *ret_used, struct kafka_fault *fault)
{
    struct reader r = {.at = (const uint8_t *)bytes.data, .arena = arena, .version = version, .flexible = flexible, .fault = fault};
    r.end = r.at + bytes.size;
    *fault = (struct kafka_fault){NULL, ""};
    bool fine = read_struct(&r, table, to);
    if (fine && ret_used)
        *ret_used = bytes.size - left(&r);
    return result_of(&r, fine);
}

/* Tagged fields of a header: none has a meaning here. */
static bool
skip_tagged(struct reader *r)
{
    static const struct kafka_struct none = {"header", 0, 0, NULL};
    return read_tagged(r, &none, NULL);
}

enum kafka_header_result
kafka_read_header(cairn_str bytes, struct kafka_header *ret, struct kafka_fault *fault)
{
    static const struct kafka_field client_id = {.name = "client_id", .kind = KAFKA_STRING};
    struct reader r = {.at = (const uint8_t *)bytes.data, .fault = fault};
    uint64_t key, version, correlation;
    r.end = r.at + bytes.size;
    *fault = (struct kafka_fault){NULL, ""};
    *ret = (struct kafka_header){0};
    if (!take_number(&r, 2, &key) || !take_number(&r, 2, &version) || !take_number(&r, 4, &correlation))
        return KAFKA_HEADER_MALFORMED;
    ret->key = (int16_t)key;
    ret->version = (int16_t)version;
    ret->correlation = (int32_t)correlation;
    const struct kafka_message *message = kafka_message_of(ret->key);
    if (!message)
        return KAFKA_HEADER_KEY;
    if (ret->version < message->first || ret->version > message->last)
        return KAFKA_HEADER_VERSION;
    if (!read_bytes(&r, &client_id, true, &ret->client_id)) /* never compact, so that any broker can read it */
        return KAFKA_HEADER_MALFORMED;
    ret->has_client_id = ret->client_id.data != NULL;
    r.flexible = kafka_is_flexible(message, ret->version);
    if (r.flexible && !skip_tagged(&r))
        return KAFKA_HEADER_MALFORMED;
    ret->size = bytes.size - left(&r);
    return KAFKA_HEADER_FINE;
}

cairn_err
kafka_read_response(cairn_str bytes, const struct kafka_message *message, int16_t version, struct arena *arena,
                    int32_t *ret_correlation, void *response, struct kafka_fault *fault)
{
    struct reader r = {.at = (const uint8_t *)bytes.data, .arena = arena, .version = version, .fault = fault};
    uint64_t correlation;
    r.end = r.at + bytes.size;
    *fault = (struct kafka_fault){NULL, ""};
    bool fine = take_number(&r, 4, &correlation);
    r.flexible = kafka_is_flexible(message, version);
    if (fine && r.flexible && message->key != KAFKA_API_API_VERSIONS)
        fine = skip_tagged(&r);
    fine = fine && read_struct(&r, message->response, response);
    if (fine && r.at != r.end)
        fine = refuse(&r, "there are bytes behind the message", "");
    if (fine)
        *ret_correlation = (int32_t)correlation;
    return result_of(&r, fine);
}

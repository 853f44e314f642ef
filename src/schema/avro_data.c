/* Read Avro binary data: hold it to the writer's schema, and show it as a reader sees it.
 *
 * One walk does both: `reader` NULL means that the value is only passed over, `to` NULL that nobody wants to see it. Every
 * value costs a step, so that an array of a billion nulls (which take no bytes) ends. One owner thread. */
#include <schema/avro_int.h>

#include <base/text.h>

#include <math.h>

struct reading {
    const uint8_t *start, *at, *end;
    struct arena *arena;
    struct avro_match *match; /* NULL: writer and reader are the same */
    struct buf *to;
    int64_t steps;
    unsigned depth;
    cairn_err err;
    cairn_error *error;
};

static bool
fail(struct reading *r, const char *what)
{
    if (r->err == CAIRN_OK)
        r->err = error_set(r->error, CAIRN_E_INVALID, "at byte %zu: %s", (size_t)(r->at - r->start), what);
    return false;
}

static bool
no_memory(struct reading *r)
{
    if (r->err == CAIRN_OK)
        r->err = error_set(r->error, CAIRN_E_NOMEM, "no memory to read data");
    return false;
}

/* ---- bytes */

static bool
read_long(struct reading *r, int64_t *ret)
{
    uint64_t value;
    const uint8_t *after = varint_get(r->at, r->end, &value);
    if (!after)
        return fail(r, "a number that does not end or is too large");
    r->at = after;
    *ret = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    return true;
}

static bool
read_size(struct reading *r, cairn_str *ret)
{
    int64_t size;
    if (!read_long(r, &size))
        return false;
    if (size < 0 || size > r->end - r->at)
        return fail(r, "text or bytes go beyond the end");
    *ret = (cairn_str){(const char *)r->at, (size_t)size};
    r->at += size;
    return true;
}

static void
put_bytes(struct buf *to, cairn_str bytes)
{
    buf_put_char(to, '"');
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = (uint8_t)bytes.data[i];
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\')
            buf_put_char(to, (char)c);
        else
            buf_printf(to, "\\u%04x", c);
    }
    buf_put_char(to, '"');
}

/* ---- values */

static bool read_value(struct reading *r, const struct avro_node *writer, const struct avro_node *reader, bool shown);

static bool
read_number(struct reading *r, const struct avro_node *writer, const struct avro_node *reader, bool shown)
{
    int64_t whole;
    if (!read_long(r, &whole))
        return false;
    if (writer->type == AVRO_INT && (whole < INT32_MIN || whole > INT32_MAX))
        return fail(r, "an int of more than 32 bits");
    if (shown && reader->type >= AVRO_FLOAT)
        json_put_double(r->to, reader->type == AVRO_FLOAT ? (double)(float)whole : (double)whole);
    else if (shown)
        json_put_i64(r->to, whole);
    return true;
}

static bool
read_real(struct reading *r, const struct avro_node *writer, bool shown)
{
    size_t size = writer->type == AVRO_FLOAT ? 4 : 8;
    if ((size_t)(r->end - r->at) < size)
        return fail(r, "a number goes beyond the end");
    float narrow = 0;
    double number = 0;
    if (size == 4)
        memcpy(&narrow, r->at, 4);
    else
        memcpy(&number, r->at, 8);
    r->at += size;
    number = size == 4 ? (double)narrow : number;
    if (!shown)
        return true;
    if (isfinite(number))
        json_put_double(r->to, number);
    else
        json_put_string(r->to, cairn_cstr(isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity"));
    return true;
}

static bool
read_text(struct reading *r, const struct avro_node *writer, const struct avro_node *reader, bool shown)
{
    cairn_str text;
    if (writer->type == AVRO_FIXED) {
        if (writer->size > (uint64_t)(r->end - r->at))
            return fail(r, "fixed bytes go beyond the end");
        text = (cairn_str){(const char *)r->at, (size_t)writer->size};
        r->at += writer->size;
    } else if (!read_size(r, &text)) {
        return false;
    }
    if (writer->type == AVRO_STRING && !utf8_valid(text))
        return fail(r, "text that is not UTF-8");
    if (shown && reader->type == AVRO_STRING)
        json_put_string(r->to, text);
    else if (shown)
        put_bytes(r->to, text);
    return true;
}

static bool
read_enum(struct reading *r, const struct avro_node *writer, const struct avro_node *reader, bool shown)
{
    int64_t index;
    if (!read_long(r, &index))
        return false;
    if (index < 0 || (uint64_t)index >= writer->symbol_count)
        return fail(r, "an enum's symbol that is not there");
    cairn_str symbol = writer->symbols[index];
    if (reader && reader != writer && avro_symbol(reader, symbol) < 0) {
        if (reader->symbol_default.type == JSON_NONE)
            return fail(r, "a symbol that the reader does not have");
        symbol = js_text(reader->symbol_default, r->arena);
        if (!symbol.data)
            return no_memory(r);
    }
    if (shown)
        json_put_string(r->to, symbol);
    return true;
}

/* Blocks: a count, then for a negative one the bytes of the block; ended by a block of none. */
static bool
read_block(struct reading *r, int64_t *ret_count)
{
    int64_t size;
    if (!read_long(r, ret_count))
        return false;
    if (*ret_count == INT64_MIN)
        return fail(r, "a block that cannot be");
    if (*ret_count < 0) {
        *ret_count = -*ret_count;
        if (!read_long(r, &size))
            return false;
        if (size < 0 || size > r->end - r->at)
            return fail(r, "a block goes beyond the end");
    }
    return true;
}

static bool
read_items(struct reading *r, const struct avro_node *writer, const struct avro_node *reader, bool shown)
{
    int64_t count = 0;
    cairn_str key;
    bool map = writer->type == AVRO_MAP;
    if (shown)
        buf_put_char(r->to, map ? '{' : '[');
    do {
        if (!read_block(r, &count))
            return false;
        for (int64_t i = 0; i < count; i++) {
            if (map && !read_size(r, &key))
                return false;
            if (map && !utf8_valid(key))
                return fail(r, "a key that is not UTF-8");
            if (shown)
                json_put_comma(r->to);
            if (shown && map) {
                json_put_string(r->to, key);
                buf_put_char(r->to, ':');
            }
            if (!read_value(r, writer->item, reader ? reader->item : NULL, shown))
                return false;
        }
    } while (count > 0);
    if (shown)
        buf_put_char(r->to, map ? '}' : ']');
    return true;
}

/* The reader's field that a writer's value goes to. */
static const struct avro_field *
reader_field(const struct avro_node *writer, const struct avro_field *field, const struct avro_node *reader)
{
    if (!reader)
        return NULL;
    if (reader == writer)
        return field;
    for (size_t i = 0; i < reader->field_count; i++)
        if (avro_writer_field(writer, &reader->fields[i]) == field)
            return &reader->fields[i];
    return NULL;
}

static void
put_member(struct reading *r, const struct avro_field *field)
{
    json_put_comma(r->to);
    json_put_string(r->to, field->name);
    buf_put_char(r->to, ':');
}

static bool
read_record(struct reading *r, const struct avro_node *writer, const struct avro_node *reader, bool shown)
{
    if (shown)
        buf_put_char(r->to, '{');
    for (size_t i = 0; i < writer->field_count; i++) {
        const struct avro_field *field = &writer->fields[i], *seen = reader_field(writer, field, reader);
        if (shown && seen)
            put_member(r, seen);
        if (!read_value(r, field->type, seen ? seen->type : NULL, shown && seen))
            return false;
    }
    for (size_t i = 0; reader && reader != writer && i < reader->field_count; i++) {
        const struct avro_field *field = &reader->fields[i];
        if (avro_writer_field(writer, field))
            continue;
        if (field->fallback.type == JSON_NONE)
            return fail(r, "the reader has a field without a default that was not written");
        if (shown) {
            put_member(r, field);
            json_put_compact(r->to, field->fallback.raw);
        }
    }
    if (shown)
        buf_put_char(r->to, '}');
    return true;
}

/* The first branch of the same type, else the first that can read it. */
static const struct avro_node *
choose(struct reading *r, const struct avro_node *writer, const struct avro_node *reader)
{
    if (!reader || reader->type != AVRO_UNION)
        return reader;
    for (int same = 1; same >= 0; same--)
        for (size_t i = 0; i < reader->branch_count; i++)
            if ((!same || reader->branches[i]->type == writer->type) && avro_node_reads(r->match, reader->branches[i], writer))
                return reader->branches[i];
    return NULL;
}

static bool
read_union(struct reading *r, const struct avro_node *writer, const struct avro_node *reader, bool shown)
{
    int64_t index;
    if (!read_long(r, &index))
        return false;
    if (index < 0 || (uint64_t)index >= writer->branch_count)
        return fail(r, "a union's branch that is not there");
    return read_value(r, writer->branches[index], reader == writer ? writer->branches[index] : reader, shown);
}

static bool
fits(const struct avro_node *writer, const struct avro_node *reader)
{
    if (writer->type != reader->type)
        return avro_is_promoted(writer->type, reader->type);
    if (writer->type == AVRO_FIXED && writer->size != reader->size)
        return false;
    return writer->name.size == 0 || avro_names_match(reader, writer);
}

static bool
dispatch(struct reading *r, const struct avro_node *writer, const struct avro_node *reader, bool shown)
{
    switch (writer->type) {
    case AVRO_NULL:
        if (shown)
            buf_put_str(r->to, CAIRN_STR("null"));
        return true;
    case AVRO_BOOLEAN:
        if (r->at >= r->end || *r->at > 1)
            return fail(r, "a boolean must be 0 or 1");
        if (shown)
            buf_put_str(r->to, *r->at ? CAIRN_STR("true") : CAIRN_STR("false"));
        r->at++;
        return true;
    case AVRO_INT:
    case AVRO_LONG: return read_number(r, writer, reader, shown);
    case AVRO_FLOAT:
    case AVRO_DOUBLE: return read_real(r, writer, shown);
    case AVRO_BYTES:
    case AVRO_STRING:
    case AVRO_FIXED: return read_text(r, writer, reader, shown);
    case AVRO_RECORD: return read_record(r, writer, reader, shown);
    case AVRO_ENUM: return read_enum(r, writer, reader, shown);
    case AVRO_ARRAY:
    case AVRO_MAP: return read_items(r, writer, reader, shown);
    case AVRO_UNION: return read_union(r, writer, reader, shown);
    }
    return false;
}

static bool
read_value(struct reading *r, const struct avro_node *writer, const struct avro_node *reader, bool shown)
{
    if (--r->steps < 0)
        return fail(r, "more than a million values");
    if (r->depth >= AVRO_DEPTH_MAX)
        return fail(r, "values nested too deep");
    if (reader && reader != writer && writer->type != AVRO_UNION) {
        reader = choose(r, writer, reader);
        if (!reader || !fits(writer, reader))
            return fail(r, "a value that the reader has no place for");
    }
    r->depth++;
    bool ok = dispatch(r, writer, reader, shown);
    r->depth--;
    return ok;
}

static cairn_err
read_all(const struct avro_schema *writer, const struct avro_schema *reader, cairn_str data, struct buf *to, cairn_error *error)
{
    struct arena scratch = {0};
    const uint8_t *start = (const uint8_t *)(data.data ? data.data : "");
    struct reading r = {.start = start, .at = start, .end = start + data.size, .arena = &scratch, .to = to,
                        .steps = AVRO_STEPS_MAX, .error = error};
    if (reader != writer)
        r.match = avro_match_create(&scratch);
    if (reader != writer && !r.match)
        no_memory(&r);
    else if (read_value(&r, writer->root, reader->root, to != NULL) && r.at != r.end)
        fail(&r, "bytes after the value");
    if (r.err == CAIRN_OK && to && to->failed)
        no_memory(&r);
    arena_free(&scratch);
    return r.err;
}

cairn_err
avro_check(const struct avro_schema *schema, cairn_str data, cairn_error *error)
{
    return read_all(schema, schema, data, NULL, error);
}

cairn_err
avro_to_json(const struct avro_schema *writer, const struct avro_schema *reader, cairn_str data, struct buf *to, cairn_error *error)
{
    return read_all(writer, reader, data, to, error);
}

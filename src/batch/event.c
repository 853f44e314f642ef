/* Records as events, and events as records (event.h has the rule).
 *
 * What comes out of here is derived again whenever a stored batch is read, and the index is built on it: for the same bytes it must
 * be the same for ever. So nothing here depends on configuration, time, or how much memory there is (running out of
 * it is an error, never another answer). */
#include <base/hash.h>
#include <base/json.h>
#include <base/text.h>
#include <batch/event.h>

#include <assert.h>
#include <stdlib.h>

#define HEX_PREFIX "x:"
#define HASH_PREFIX "sha256:"
#define CONTENT_JSON "application/json"
#define CONTENT_BYTES "application/octet-stream"
#define CONTENT_NULL "application/x-null"
#define SOURCE_PREFIX "/v1/streams/"

/* ---- topics and categories */

bool
topic_name_valid(cairn_str name)
{
    if (name.size == 0 || name.size > TOPIC_NAME_MAX)
        return false;
    if (cairn_str_equal(name, CAIRN_STR(".")) || cairn_str_equal(name, CAIRN_STR("..")))
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

/* A longer name than a topic's is nobody's default, and stays as it is. */
static cairn_str
exchange(cairn_str name, char from, char with, char *to)
{
    if (name.size == 0 || name.size > TOPIC_NAME_MAX || !memchr(name.data, from, name.size))
        return name;
    for (size_t i = 0; i < name.size; i++)
        to[i] = name.data[i] == from ? with : name.data[i];
    return (cairn_str){to, name.size};
}

cairn_str
topic_category(cairn_str topic, char *to)
{
    return exchange(topic, '-', '~', to);
}

cairn_str
category_topic(cairn_str category, char *to)
{
    return exchange(category, '~', '-', to);
}

/* ---- keys and streams */

static bool
begins_with(cairn_str text, cairn_str prefix)
{
    return text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0;
}

/* It stands in the stream's name as it is. Prefixes of ours are not taken for ours. */
static bool
key_is_plain(cairn_str key)
{
    return key.size == 0 || (!memchr(key.data, 0, key.size) && !begins_with(key, CAIRN_STR(HEX_PREFIX)) &&
                             !begins_with(key, CAIRN_STR(HASH_PREFIX)) && utf8_valid(key));
}

cairn_str
record_stream(cairn_str category, const cairn_str *key, char *to)
{
    assert(category.size <= RECORD_CATEGORY_MAX);
    if (!key)
        return category;
    char hex[2 * RECORD_STREAM_MAX + 1];
    cairn_str prefix = {0}, text = *key;
    size_t room = RECORD_STREAM_MAX - category.size - 1;
    bool plain = key->size <= room && key_is_plain(*key);
    if (!plain && key->size <= (room - 2) / 2) {
        format_hex(key->data, key->size, hex);
        prefix = CAIRN_STR(HEX_PREFIX);
        text = (cairn_str){hex, 2 * key->size};
    } else if (!plain) {
        uint8_t hash[32];
        sha256(key->data, key->size, hash);
        format_hex(hash, sizeof hash, hex);
        prefix = CAIRN_STR(HASH_PREFIX);
        text = (cairn_str){hex, 2 * sizeof hash};
    }
    char *at = to;
    if (category.size)
        memcpy(at, category.data, category.size);
    at += category.size;
    *at++ = '-';
    if (prefix.size)
        memcpy(at, prefix.data, prefix.size);
    at += prefix.size;
    if (text.size)
        memcpy(at, text.data, text.size);
    at += text.size;
    return (cairn_str){to, (size_t)(at - to)};
}

bool
stream_record_key(cairn_str stream, char *to, cairn_str *ret_key)
{
    const char *dash = stream.size ? memchr(stream.data, '-', stream.size) : NULL;
    if (!dash)
        return false;
    cairn_str key = {dash + 1, (size_t)(stream.data + stream.size - dash) - 1};
    *ret_key = key;
    if (!begins_with(key, CAIRN_STR(HEX_PREFIX)))
        return true;
    /* Only hex that record_stream() would have written is bytes: lower case, of a key that needs it. */
    size_t size = (key.size - 2) / 2;
    char again[2 * RECORD_STREAM_MAX + 1];
    cairn_str digits = {key.data + 2, key.size - 2};
    if (size > RECORD_STREAM_MAX || !parse_hex(digits, (uint8_t *)to, size))
        return true;
    format_hex(to, size, again);
    cairn_str bytes = {to, size};
    if (memcmp(again, digits.data, digits.size) == 0 && !key_is_plain(bytes))
        *ret_key = bytes;
    return true;
}

uint32_t
key_partition(cairn_str key, uint32_t partitions)
{
    return (murmur2(key.data, key.size) & 0x7FFFFFFFu) % partitions;
}

/* ---- headers */

/* The headers that mean something here; {NULL, 0}: absent or null. */
struct known {
    cairn_str type, id, content_type, tags, correlation;
};

static void
find_known(const struct batch_record *record, struct known *ret)
{
    cairn_str headers = record->headers, name, value;
    bool has_value;
    *ret = (struct known){0};
    while (batch_next_header(&headers, &name, &has_value, &value)) {
        cairn_str *to = NULL;
        switch (name.size) {
        case 5: to = memcmp(name.data, "ce_id", 5) == 0 ? &ret->id : NULL; break;
        case 7:
            to = memcmp(name.data, "ce_type", 7) == 0   ? &ret->type
                 : memcmp(name.data, "ce_tags", 7) == 0 ? &ret->tags
                                                        : NULL;
            break;
        case 12: to = memcmp(name.data, "content-type", 12) == 0 ? &ret->content_type : NULL; break;
        case 14: to = memcmp(name.data, "ce_correlation", 14) == 0 ? &ret->correlation : NULL; break;
        }
        if (to)
            *to = has_value ? value : (cairn_str){0};
    }
}

static bool
name_is_legal(cairn_str name)
{
    return name.size > 0 && name.size <= RECORD_NAME_MAX && utf8_valid(name);
}

static cairn_str
type_of(const struct known *known, cairn_str category, char *to)
{
    return name_is_legal(known->type) ? known->type : category_topic(category, to);
}

cairn_str
record_type(cairn_str category, const struct batch_record *record, char *to)
{
    struct known known;
    find_known(record, &known);
    return type_of(&known, category, to);
}

/* Four hex digits of a checked \u escape. */
static unsigned
escape_code(const char *at)
{
    unsigned code = 0;
    for (int i = 2; i < 6; i++)
        code = code << 4 | (unsigned)((at[i] & 0xF) + (at[i] > '9' ? 9 : 0));
    return code;
}

/* No lone surrogate: json_string() then fails for want of memory only. */
static bool
has_text(struct json string)
{
    const char *at = string.raw.data, *end = at + string.raw.size;
    while ((at = memchr(at, '\\', (size_t)(end - at)))) {
        unsigned code = at[1] == 'u' ? escape_code(at) : 0;
        at += at[1] == 'u' ? 6 : 2;
        if (code < 0xD800 || code > 0xDFFF)
            continue;
        if (code > 0xDBFF || end - at < 6 || at[0] != '\\' || at[1] != 'u')
            return false;
        code = escape_code(at);
        if (code < 0xDC00 || code > 0xDFFF)
            return false;
        at += 6;
    }
    return true;
}

/* All of them, or none when one is not as it should be. False: out of memory. */
static bool
read_tags(cairn_str text, struct arena *arena, const cairn_str **ret_tags, size_t *ret_count)
{
    struct json value, name, item;
    *ret_tags = NULL;
    *ret_count = 0;
    if (text.size == 0 || json_check(text, &value, NULL) != CAIRN_OK || value.type != JSON_ARRAY)
        return true;
    size_t count = json_count(value), n = 0;
    if (count == 0 || count > RECORD_TAGS_MAX)
        return true;
    cairn_str *tags = arena_alloc(arena, count * sizeof *tags);
    if (!tags)
        return false;
    for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item); n++) {
        if (item.type != JSON_STRING || !has_text(item))
            return true;
        tags[n] = json_string(item, arena);
        if (!tags[n].data && item.raw.size > 2)
            return false;
        if (!name_is_legal(tags[n]))
            return true;
    }
    *ret_tags = tags;
    *ret_count = n;
    return true;
}

bool
record_names(const struct batch_record *record, cairn_str category, struct arena *arena, struct record_names *ret)
{
    struct known known = {0};
    if (record->header_count > 0)
        find_known(record, &known);
    ret->stream = record_stream(category, record->has_key ? &record->key : NULL, ret->stream_text);
    ret->type = type_of(&known, category, ret->type_text);
    ret->correlation = name_is_legal(known.correlation) ? known.correlation : (cairn_str){0};
    return read_tags(known.tags, arena, &ret->tags, &ret->tag_count);
}

/* ---- a record as an event */

cairn_uuid
record_id(const struct record_place *place)
{
    /* 48 bits topic | 4 version 8 | 12 + 2 partition (its low bits behind the variant) | 60 offset */
    uint64_t topic = hash64(place->topic_id.bytes, sizeof place->topic_id.bytes, 0) >> 16;
    uint64_t high = topic << 16 | 0x8000 | (place->partition >> 2 & 0xFFF);
    uint64_t low = UINT64_C(2) << 62 | (uint64_t)(place->partition & 3) << 60 | (place->offset & (UINT64_MAX >> 4));
    cairn_uuid id;
    store64(id.bytes, __builtin_bswap64(high));
    store64(id.bytes + 8, __builtin_bswap64(low));
    return id;
}

/* Text that is written into memory of a known bound: the arena's, so that nothing has to be freed. The buffer must not grow;
 * the slack is for writers that make sure of some room before they need it. */
#define BOUNDED_SLACK 256
#define JSON_GROWTH 6 /* the longest escape of a byte */

static bool
begin_bounded(struct buf *to, struct arena *arena, size_t bound)
{
    *to = (struct buf){.data = arena_alloc(arena, bound + BOUNDED_SLACK), .capacity = bound + BOUNDED_SLACK};
    return to->data != NULL;
}

struct header {
    cairn_str name, value;
    uint32_t index;
    bool has_value;
};

static int
compare_headers(const void *left, const void *right)
{
    const struct header *a = left, *b = right;
    int order = cairn_str_order(a->name, b->name);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

static void
put_header_value(struct buf *to, const struct header *header)
{
    if (!header->has_value) {
        buf_put_str(to, CAIRN_STR("null"));
    } else if (utf8_valid(header->value)) {
        json_put_string(to, header->value);
    } else {
        buf_put_str(to, CAIRN_STR("{\"base64\":\""));
        base64_put(to, header->value);
        buf_put_str(to, CAIRN_STR("\"}"));
    }
}

/* In the order of their names, those of one name in their own. */
static bool
put_headers(struct buf *to, const struct batch_record *record, struct arena *arena)
{
    struct header *headers = arena_alloc(arena, record->header_count * sizeof *headers);
    if (!headers)
        return false;
    cairn_str packed = record->headers;
    uint32_t count = 0;
    for (; count < record->header_count; count++) {
        struct header *header = &headers[count];
        header->index = count;
        if (!batch_next_header(&packed, &header->name, &header->has_value, &header->value))
            break;
    }
    if (count > 1)
        qsort(headers, count, sizeof *headers, compare_headers);
    buf_put_str(to, CAIRN_STR(",\"headers\":{"));
    for (uint32_t i = 0; i < count;) {
        uint32_t end = i + 1;
        while (end < count && cairn_str_equal(headers[i].name, headers[end].name))
            end++;
        json_put_comma(to);
        json_put_string(to, headers[i].name);
        buf_put_char(to, ':');
        if (end - i > 1)
            buf_put_char(to, '[');
        for (uint32_t value = i; value < end; value++) {
            if (value > i)
                buf_put_char(to, ',');
            put_header_value(to, &headers[value]);
        }
        if (end - i > 1)
            buf_put_char(to, ']');
        i = end;
    }
    buf_put_char(to, '}');
    return true;
}

static bool
make_meta(const struct batch_record *record, const struct record_place *place, struct arena *arena, cairn_str *ret)
{
    char topic[TOPIC_NAME_MAX];
    struct buf to;
    /* A header's own bytes at their longest, and what stands around each: quotes, colon, comma, {"base64":""}. */
    size_t bound = JSON_GROWTH * (record->headers.size + place->category.size) + (size_t)record->header_count * 32;
    if (!begin_bounded(&to, arena, bound))
        return false;
    buf_put_str(&to, CAIRN_STR("{\"kafka\":{\"topic\":"));
    json_put_string(&to, category_topic(place->category, topic));
    buf_put_str(&to, CAIRN_STR(",\"partition\":"));
    json_put_u64(&to, place->partition);
    buf_put_str(&to, CAIRN_STR(",\"offset\":"));
    json_put_u64(&to, place->offset);
    buf_put_str(&to, CAIRN_STR(",\"timestamp\":"));
    json_put_i64(&to, record->timestamp_ms);
    if (record->header_count > 0 && !put_headers(&to, record, arena))
        return false;
    buf_put_str(&to, CAIRN_STR("}}"));
    assert(!to.failed && to.size <= bound + BOUNDED_SLACK);
    *ret = buf_str(&to);
    return true;
}

static cairn_str
content_type_of(const struct batch_record *record, const struct known *known)
{
    if (!record->has_value)
        return CAIRN_STR(CONTENT_NULL);
    if (name_is_legal(known->content_type))
        return known->content_type;
    return json_check(record->value, NULL, NULL) == CAIRN_OK ? CAIRN_STR(CONTENT_JSON) : CAIRN_STR(CONTENT_BYTES);
}

bool
record_to_event(const struct batch_record *record, const struct record_place *place, struct arena *arena, cairn_event *ret)
{
    struct known known = {0};
    if (record->header_count > 0)
        find_known(record, &known);
    cairn_event event = {
        .content_type = content_type_of(record, &known),
        .data = record->has_value ? record->value : (cairn_str){0},
        .correlation = name_is_legal(known.correlation) ? known.correlation : (cairn_str){0},
    };
    if (!parse_uuid(known.id, &event.id) || uuid_is_zero(event.id))
        event.id = record_id(place);
    char text[TOPIC_NAME_MAX];
    event.type = type_of(&known, place->category, text);
    if (event.type.data == text)
        event.type = arena_copy(arena, event.type);
    if (!event.type.data || !read_tags(known.tags, arena, &event.tags, &event.tag_count) ||
        !make_meta(record, place, arena, &event.meta))
        return false;
    *ret = event;
    return true;
}

/* ---- an event as a record */

static void
add_field(struct batch_header_field *fields, size_t *count, cairn_str name, cairn_str value)
{
    fields[(*count)++] = (struct batch_header_field){.name = name, .value = value};
}

static bool
put_source(cairn_str stream, struct arena *arena, cairn_str *ret)
{
    struct buf to;
    if (!begin_bounded(&to, arena, sizeof SOURCE_PREFIX + 3 * stream.size))
        return false;
    buf_put_str(&to, CAIRN_STR(SOURCE_PREFIX));
    percent_put(&to, stream);
    *ret = buf_str(&to);
    return true;
}

static bool
put_tags(const cairn_event *event, struct arena *arena, cairn_str *ret)
{
    struct buf to;
    size_t bound = 2;
    for (size_t i = 0; i < event->tag_count; i++)
        bound += JSON_GROWTH * event->tags[i].size + 3;
    if (!begin_bounded(&to, arena, bound))
        return false;
    buf_put_char(&to, '[');
    for (size_t i = 0; i < event->tag_count; i++) {
        json_put_comma(&to);
        json_put_string(&to, event->tags[i]);
    }
    buf_put_char(&to, ']');
    *ret = buf_str(&to);
    return true;
}

/* Digits, at the end of `room`. */
static cairn_str
decimal(uint64_t n, char room[20])
{
    char *at = room + 20;
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    return (cairn_str){at, (size_t)(room + 20 - at)};
}

/* ---- headers that an event brings itself: meta.kafka_headers */

#define OWN_HEADERS "kafka_headers"
#define EVENT_FIELDS 12 /* that are made of an event */
#define OWN_BYTES ((size_t)1 << 20) /* of names, once for each value, and values as they stand there; or as many as meta has */

/* {"base64":"…"} */
static bool
is_base64(struct json value, cairn_str *ret)
{
    struct json text = json_get(value, "base64");
    if (text.type != JSON_STRING || json_count(value) != 1)
        return false;
    *ret = (cairn_str){text.raw.data + 1, text.raw.size - 2};
    return true;
}

/* False: out of memory. */
static bool
read_value(struct json value, struct arena *arena, struct batch_header_field *field)
{
    cairn_str text;
    struct buf bytes;
    field->null = value.type == JSON_NULL;
    field->value = field->null ? (cairn_str){0} : value.raw;
    if (value.type == JSON_STRING && has_text(value)) {
        field->value = json_string(value, arena);
        return field->value.data || value.raw.size == 2;
    }
    if (is_base64(value, &text)) {
        if (!begin_bounded(&bytes, arena, text.size))
            return false;
        if (base64_get(&bytes, text))
            field->value = buf_str(&bytes);
    }
    return true;
}

struct own_headers {
    struct batch_header_field *fields; /* with room for EVENT_FIELDS more */
    size_t count;
};

/* A header for each value of the member. False: out of memory. */
static bool
read_own(struct json name, struct json value, struct arena *arena, struct own_headers *ret)
{
    if (!has_text(name))
        return true;
    cairn_str text = json_string(name, arena);
    if (!text.data && name.raw.size > 2)
        return false;
    struct json none, item = value;
    struct json_walk walk = json_walk(value);
    bool array = value.type == JSON_ARRAY;
    while (!array || json_next(&walk, &none, &item)) {
        struct batch_header_field *field = &ret->fields[ret->count++];
        field->name = text;
        if (!read_value(item, arena, field))
            return false;
        if (!array)
            break;
    }
    return true;
}

/* How many values there are. False: more than a record can have beside what is made, or their names, which a record repeats for each,
 * would make it much larger than the event. */
static bool
own_fit(struct json headers, size_t meta_size, size_t *ret_count)
{
    struct json name, value;
    size_t bytes = 0, most = meta_size > OWN_BYTES ? meta_size : OWN_BYTES;
    *ret_count = 0;
    for (struct json_walk walk = json_walk(headers); json_next(&walk, &name, &value);) {
        size_t values = value.type == JSON_ARRAY ? json_count(value) : 1;
        *ret_count += values;
        bytes += values * name.raw.size + value.raw.size;
    }
    return *ret_count <= BATCH_HEADERS_MAX - EVENT_FIELDS && bytes <= most;
}

static bool
read_all_own(struct json headers, size_t count, struct arena *arena, struct own_headers *ret)
{
    struct json name, value;
    ret->fields = arena_alloc(arena, (count + EVENT_FIELDS) * sizeof *ret->fields);
    if (!ret->fields)
        return false;
    for (struct json_walk walk = json_walk(headers); json_next(&walk, &name, &value);)
        if (!read_own(name, value, arena, ret))
            return false;
    return true;
}

/* meta without kafka_headers; empty when nothing else is in it. False: out of memory. */
static bool
rest_of_meta(struct json meta, struct arena *arena, cairn_str *ret)
{
    struct buf to;
    struct json name, value;
    *ret = (cairn_str){0};
    if (!begin_bounded(&to, arena, meta.raw.size))
        return false;
    for (struct json_walk walk = json_walk(meta); json_next(&walk, &name, &value);) {
        if (json_string_is(name, OWN_HEADERS))
            continue;
        buf_put_char(&to, to.size ? ',' : '{');
        buf_put_str(&to, name.raw);
        buf_put_char(&to, ':');
        buf_put_str(&to, value.raw);
    }
    if (to.size) {
        buf_put_char(&to, '}');
        *ret = buf_str(&to);
    }
    return true;
}

/* What meta says of headers, and the rest of it. False: out of memory. */
static bool
split_meta(cairn_str meta, struct arena *arena, struct own_headers *ret, cairn_str *ret_rest)
{
    static const char member[] = "\"" OWN_HEADERS "\"";
    *ret = (struct own_headers){NULL, 0};
    *ret_rest = meta;
    if (meta.size == 0 || !memmem(meta.data, meta.size, member, sizeof member - 1))
        return true;
    struct json whole = json_trusted(meta), headers = json_get(whole, OWN_HEADERS);
    size_t count;
    if (headers.type != JSON_OBJECT || !own_fit(headers, meta.size, &count))
        return true;
    return read_all_own(headers, count, arena, ret) && rest_of_meta(whole, arena, ret_rest);
}

/* Behind them those that are made, but for the names that they have. */
static void
add_made(struct own_headers *own, const struct batch_header_field *made, size_t made_count)
{
    size_t count = own->count;
    for (size_t i = 0; i < made_count; i++) {
        bool there = false;
        for (size_t j = 0; j < count && !there; j++)
            there = cairn_str_equal(own->fields[j].name, made[i].name);
        if (!there)
            own->fields[own->count++] = made[i];
    }
}

bool
event_to_record(const cairn_recorded *recorded, int64_t offset, struct arena *scratch, struct batch_maker *to)
{
    const cairn_event *event = &recorded->event;
    bool tombstone = cairn_str_equal(event->content_type, CAIRN_STR(CONTENT_NULL));
    char id[UUID_TEXT_SIZE], time[TIME_TEXT_SIZE], position[20], revision[20], key_room[RECORD_STREAM_MAX];
    struct batch_header_field fields[EVENT_FIELDS];
    struct own_headers own;
    size_t count = 0;
    cairn_str source, tags = {0}, meta;
    if (!put_source(recorded->stream, scratch, &source) || (event->tag_count > 0 && !put_tags(event, scratch, &tags)) ||
        !split_meta(event->meta, scratch, &own, &meta))
        return false;
    format_uuid(event->id, id);
    size_t time_size = format_time(recorded->time_us, time);
    add_field(fields, &count, CAIRN_STR("ce_specversion"), CAIRN_STR("1.0"));
    add_field(fields, &count, CAIRN_STR("ce_id"), (cairn_str){id, sizeof id - 1});
    add_field(fields, &count, CAIRN_STR("ce_source"), source);
    add_field(fields, &count, CAIRN_STR("ce_type"), event->type);
    add_field(fields, &count, CAIRN_STR("ce_subject"), recorded->stream);
    add_field(fields, &count, CAIRN_STR("ce_time"), (cairn_str){time, time_size});
    if (!tombstone)
        add_field(fields, &count, CAIRN_STR("content-type"), event->content_type.size ? event->content_type : CAIRN_STR(CONTENT_JSON));
    add_field(fields, &count, CAIRN_STR("ce_position"), decimal(recorded->position, position));
    add_field(fields, &count, CAIRN_STR("ce_revision"), decimal(recorded->revision, revision));
    if (event->correlation.size)
        add_field(fields, &count, CAIRN_STR("ce_correlation"), event->correlation);
    if (event->tag_count > 0)
        add_field(fields, &count, CAIRN_STR("ce_tags"), tags);
    if (meta.size)
        add_field(fields, &count, CAIRN_STR("ce_meta"), meta);
    if (own.fields)
        add_made(&own, fields, count);
    else
        own = (struct own_headers){fields, count};
    cairn_str key;
    bool has_key = stream_record_key(recorded->stream, key_room, &key);
    /* Rounded down, also before 1970. */
    int64_t time_ms = recorded->time_us / 1000 - (recorded->time_us % 1000 < 0);
    return batch_make_add(to, offset, time_ms, has_key ? &key : NULL, tombstone ? NULL : &event->data, own.fields, own.count);
}

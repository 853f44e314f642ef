/* Any batch's records as events, and these as records again: what the log would take, what the key says, what comes back. The same
 * bytes are a stream's name too. */
#include <base/json.h>
#include <base/text.h>
#include <batch/event.h>

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                       \
    do {                                                                                            \
        if (!(condition)) {                                                                         \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);           \
            abort();                                                                                \
        }                                                                                           \
    } while (0)

static const struct record_place place = {.category = {"my~orders", 9}, .partition = 9999, .offset = 4711};

static bool
legal(cairn_str name)
{
    return name.size > 0 && name.size <= RECORD_NAME_MAX && utf8_valid(name);
}

static void
check_key(const struct batch_record *record, cairn_str stream)
{
    char room[RECORD_STREAM_MAX];
    cairn_str key;
    bool has_key = stream_record_key(stream, room, &key);
    FUZZ_CHECK(legal(stream) && has_key == record->has_key);
    bool hashed = has_key && key.size == 71 && memcmp(key.data, "sha256:", 7) == 0;
    FUZZ_CHECK(!has_key || hashed || cairn_str_equal(key, record->key));
}

static void
check_event(const struct record_names *names, const cairn_event *event)
{
    struct json meta;
    FUZZ_CHECK(legal(event->type) && legal(event->content_type) && !uuid_is_zero(event->id));
    FUZZ_CHECK(event->correlation.size == 0 || legal(event->correlation));
    FUZZ_CHECK(json_check(event->meta, &meta, NULL) == CAIRN_OK && json_get(meta, "kafka").type == JSON_OBJECT);
    FUZZ_CHECK(utf8_valid(event->meta));
    FUZZ_CHECK(cairn_str_equal(names->type, event->type) && cairn_str_equal(names->correlation, event->correlation));
    FUZZ_CHECK(names->tag_count == event->tag_count && event->tag_count <= RECORD_TAGS_MAX);
    for (size_t i = 0; i < event->tag_count; i++)
        FUZZ_CHECK(legal(event->tags[i]) && cairn_str_equal(names->tags[i], event->tags[i]));
}

/* The event as a record, and that as an event: the same one. */
static void
there_and_back(cairn_str stream, const cairn_event *event, struct arena *arena)
{
    struct batch_maker maker = {0};
    struct batch_cursor cursor = {0};
    struct batch_record record;
    cairn_event back;
    cairn_recorded recorded = {.position = 1, .time_us = INT64_C(1700000000000000), .stream = stream, .event = *event};
    batch_make_begin(&maker);
    FUZZ_CHECK(event_to_record(&recorded, 0, arena, &maker) && batch_make_end(&maker, BATCH_PLAIN, 0, 0));
    FUZZ_CHECK(batch_open(&cursor, buf_str(&maker.out)) == NULL && batch_next(&cursor, &record));
    FUZZ_CHECK(record_to_event(&record, &place, arena, &back));
    FUZZ_CHECK(memcmp(&back.id, &event->id, sizeof back.id) == 0 && cairn_str_equal(back.type, event->type));
    FUZZ_CHECK(cairn_str_equal(back.content_type, event->content_type) && cairn_str_equal(back.data, event->data));
    FUZZ_CHECK(cairn_str_equal(back.correlation, event->correlation) && back.tag_count == event->tag_count);
    for (size_t i = 0; i < back.tag_count; i++)
        FUZZ_CHECK(cairn_str_equal(back.tags[i], event->tags[i]));
    batch_close(&cursor);
    batch_make_free(&maker);
}

static void
as_batch(cairn_str batch)
{
    struct batch_cursor cursor = {0};
    struct batch_record record;
    struct record_names names;
    struct arena arena = {0};
    cairn_event event;
    if (batch_open(&cursor, batch) == NULL)
        while (batch_next(&cursor, &record)) {
            arena_reset(&arena);
            FUZZ_CHECK(record_names(&record, place.category, &arena, &names) && record_to_event(&record, &place, &arena, &event));
            check_key(&record, names.stream);
            check_event(&names, &event);
            there_and_back(names.stream, &event, &arena);
        }
    batch_close(&cursor);
    arena_free(&arena);
}

static void
as_stream(cairn_str stream)
{
    char room[RECORD_STREAM_MAX], again[RECORD_STREAM_MAX];
    cairn_str key;
    if (stream.size > RECORD_STREAM_MAX || !stream_record_key(stream, room, &key))
        return;
    cairn_str category = {stream.data, (size_t)((const char *)memchr(stream.data, '-', stream.size) - stream.data)};
    FUZZ_CHECK(key.size < stream.size);
    if (category.size <= RECORD_CATEGORY_MAX)
        FUZZ_CHECK(record_stream(category, &key, again).size <= RECORD_STREAM_MAX);
}

/* Whatever meta.kafka_headers is, the record is whole. */
static void
as_headers(cairn_str text)
{
    struct batch_maker maker = {0};
    struct batch_cursor cursor = {0};
    struct batch_record record;
    struct arena arena = {0};
    struct buf meta = {0};
    if (json_check(text, NULL, NULL) == CAIRN_OK) {
        buf_put_str(&meta, CAIRN_STR("{\"x\":[],\"kafka_headers\":"));
        buf_put_str(&meta, text);
        buf_put_char(&meta, '}');
        cairn_recorded recorded = {.stream = CAIRN_STR("a-1"), .event = {.type = CAIRN_STR("T"), .meta = buf_str(&meta)}};
        batch_make_begin(&maker);
        FUZZ_CHECK(event_to_record(&recorded, 0, &arena, &maker) && batch_make_end(&maker, BATCH_PLAIN, 0, 0));
        FUZZ_CHECK(batch_open(&cursor, buf_str(&maker.out)) == NULL && batch_next(&cursor, &record));
        cairn_str headers = record.headers, name, value;
        bool has_value;
        uint32_t count = 0;
        while (batch_next_header(&headers, &name, &has_value, &value))
            count++;
        FUZZ_CHECK(count == record.header_count);
    }
    batch_close(&cursor);
    batch_make_free(&maker);
    arena_free(&arena);
    buf_free(&meta);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cairn_str bytes = {(const char *)data, size};
    as_batch(bytes);
    as_stream(bytes);
    as_headers(bytes);
    return 0;
}

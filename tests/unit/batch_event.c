/* batch/event.h: names of topics, categories and streams; records as events; events as records. */
#include "test.h"

#include <base/hash.h>
#include <base/json.h>
#include <base/text.h>
#include <batch/event.h>

static void
check_text(cairn_str text, const char *expected)
{
    char copy[2048];
    CHECK(text.size < sizeof copy);
    memcpy(copy, text.data ? text.data : "", text.size);
    copy[text.size] = '\0';
    CHECK_STR(copy, expected);
}

/* Goal: keys go where Kafka's clients send them. Method: the vectors of Kafka's own tests (UtilsTest, testMurmur2). */
TEST(murmur2_known_answers)
{
    static const struct {
        const char *key;
        int32_t hash;
    } known[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        CHECK_INT((int32_t)murmur2(known[i].key, strlen(known[i].key)), known[i].hash);
        CHECK_INT(key_partition(cairn_cstr(known[i].key), 12), (known[i].hash & 0x7FFFFFFF) % 12);
    }
    CHECK_INT(murmur2(NULL, 0), 275646681);
}

/* Goal: Kafka's rule for names, and the way to a category and back. */
TEST(topics_and_categories)
{
    char room[TOPIC_NAME_MAX], back[TOPIC_NAME_MAX], longest[TOPIC_NAME_MAX + 1];
    memset(longest, 'a', sizeof longest);
    CHECK(topic_name_valid(CAIRN_STR("my-orders_1.x")) && topic_name_valid((cairn_str){longest, TOPIC_NAME_MAX}));
    CHECK(topic_name_valid(CAIRN_STR("...")));
    CHECK(!topic_name_valid((cairn_str){longest, sizeof longest}) && !topic_name_valid(CAIRN_STR("")));
    CHECK(!topic_name_valid(CAIRN_STR(".")) && !topic_name_valid(CAIRN_STR("..")) && !topic_name_valid(CAIRN_STR("a b")));
    CHECK(!topic_name_valid(CAIRN_STR("a~b")) && !topic_name_valid(CAIRN_STR("$a")) && !topic_name_valid(CAIRN_STR("\xC3\xA4")));
    cairn_str category = topic_category(CAIRN_STR("my-or-ders"), room);
    check_text(category, "my~or~ders");
    check_text(category_topic(category, back), "my-or-ders");
    check_text(topic_category(CAIRN_STR("orders"), room), "orders");
}

static void
check_stream(cairn_str key, const char *expected, bool returns)
{
    char room[RECORD_STREAM_MAX], key_room[RECORD_STREAM_MAX];
    cairn_str stream = record_stream(CAIRN_STR("my~orders"), &key, room), back;
    check_text(stream, expected);
    CHECK(utf8_valid(stream));
    CHECK(stream_record_key(stream, key_room, &back));
    CHECK(cairn_str_equal(key, back) == returns);
}

/* Goal: every key has a stream of its own, and the stream says the key. Method: keys of each kind, at their bounds. */
TEST(keys_and_streams)
{
    char room[RECORD_STREAM_MAX], longest[600];
    cairn_str key;
    check_text(record_stream(CAIRN_STR("my~orders"), NULL, room), "my~orders");
    CHECK(!stream_record_key(CAIRN_STR("my~orders"), room, &key));
    check_stream(CAIRN_STR(""), "my~orders-", true);
    check_stream(CAIRN_STR("42"), "my~orders-42", true);
    check_stream(CAIRN_STR("4-2"), "my~orders-4-2", true);
    check_stream(CAIRN_STR("a\0b"), "my~orders-x:610062", true);
    check_stream(CAIRN_STR("\xFF\x00\x10"), "my~orders-x:ff0010", true);
    check_stream(CAIRN_STR("x:ff"), "my~orders-x:783a6666", true);
    check_stream(CAIRN_STR("x:"), "my~orders-x:783a", true);
    check_stream(CAIRN_STR("sha256:1"), "my~orders-x:7368613235363a31", true);
    memset(longest, 'k', sizeof longest);
    cairn_str stream = record_stream(CAIRN_STR("my~orders"), &(cairn_str){longest, 502}, room);
    CHECK_INT(stream.size, 512);
    check_stream((cairn_str){longest, 503},
                 "my~orders-sha256:f8c59e5fffd6f846f3aecf64903831e0170daef9e9e446beb8c71772908283d4", false);
}

/* ---- records as events */

#define FIELD(name, value) {CAIRN_STR(name), CAIRN_STR(value), false}

static const struct record_place place = {
    .topic_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
    .category = {"my~orders", 9},
    .partition = 5,
    .offset = 4711,
};

/* A record as a batch would hand it out. */
struct made {
    struct batch_maker maker;
    struct batch_cursor cursor;
    struct batch_record record;
    struct arena arena;
};

static void
make_record(struct made *made, const cairn_str *key, const cairn_str *value, const struct batch_header_field *headers, size_t count)
{
    batch_make_begin(&made->maker);
    CHECK(batch_make_add(&made->maker, 4711, 1700000000001, key, value, headers, count));
    CHECK(batch_make_end(&made->maker, BATCH_PLAIN, 0, 4711));
    CHECK(batch_open(&made->cursor, buf_str(&made->maker.out)) == NULL);
    CHECK(batch_next(&made->cursor, &made->record));
}

static void
free_made(struct made *made)
{
    batch_close(&made->cursor);
    batch_make_free(&made->maker);
    arena_free(&made->arena);
}

/* Both ways to look at a record say the same. */
static cairn_event
event_of(struct made *made)
{
    struct record_names names;
    cairn_event event;
    char room[TOPIC_NAME_MAX];
    CHECK(record_to_event(&made->record, &place, &made->arena, &event));
    CHECK(record_names(&made->record, place.category, &made->arena, &names));
    CHECK(cairn_str_equal(names.type, event.type) && cairn_str_equal(names.correlation, event.correlation));
    CHECK(cairn_str_equal(record_type(place.category, &made->record, room), event.type));
    CHECK_INT(names.tag_count, event.tag_count);
    for (size_t i = 0; i < names.tag_count; i++)
        CHECK(cairn_str_equal(names.tags[i], event.tags[i]));
    CHECK(json_check(event.meta, NULL, NULL) == CAIRN_OK && utf8_valid(event.meta));
    return event;
}

/* Goal: a record of any old Kafka client. Method: no headers; JSON, then other bytes, then null. */
TEST(plain_records)
{
    struct made made = {.maker = {.count = 0}};
    cairn_str key = CAIRN_STR("42"), json = CAIRN_STR(" {\"n\": 1} "), bytes = CAIRN_STR("\x01\x02");
    make_record(&made, &key, &json, NULL, 0);
    cairn_event event = event_of(&made);
    check_text(event.type, "my-orders");
    check_text(event.content_type, "application/json");
    check_text(event.data, " {\"n\": 1} ");
    check_text(event.meta, "{\"kafka\":{\"topic\":\"my-orders\",\"partition\":5,\"offset\":4711,\"timestamp\":1700000000001}}");
    CHECK(event.correlation.size == 0 && event.tag_count == 0 && event.schema_id == 0);
    struct record_names names;
    CHECK(record_names(&made.record, place.category, &made.arena, &names));
    check_text(names.stream, "my~orders-42");
    make_record(&made, NULL, &bytes, NULL, 0);
    event = event_of(&made);
    check_text(event.content_type, "application/octet-stream");
    CHECK(record_names(&made.record, place.category, &made.arena, &names));
    check_text(names.stream, "my~orders");
    make_record(&made, &key, NULL, NULL, 0);
    event = event_of(&made);
    check_text(event.content_type, "application/x-null");
    CHECK(event.data.size == 0);
    make_record(&made, &key, &(cairn_str){NULL, 0}, NULL, 0);
    check_text(event_of(&made).content_type, "application/octet-stream"); /* empty is no JSON, and not null */
    free_made(&made);
}

/* Goal: what the CloudEvents binding puts into headers. */
TEST(records_with_headers)
{
    struct made made = {.maker = {.count = 0}};
    cairn_str key = CAIRN_STR("42"), value = CAIRN_STR("<a/>");
    struct batch_header_field headers[] = {
        FIELD("ce_type", "first"), FIELD("ce_id", "0190163D-8694-739b-aea5-966c26f8ad91"), FIELD("content-type", "text/xml"),
        FIELD("ce_time", "2018-04-05T03:56:24Z"), FIELD("ce_tags", "[\"a:1\", \"b\\u00e4\"]"), FIELD("ce_correlation", "c-9"),
        {CAIRN_STR("nothing"), {0}, true}, FIELD("b", "\xFF\x00"), FIELD("twice", "1"), FIELD("twice", "\"2\""),
        FIELD("ce_type", "OrderPlaced"),
    };
    make_record(&made, &key, &value, headers, sizeof headers / sizeof *headers);
    cairn_event event = event_of(&made);
    char id[UUID_TEXT_SIZE];
    format_uuid(event.id, id);
    CHECK_STR(id, "0190163d-8694-739b-aea5-966c26f8ad91");
    check_text(event.type, "OrderPlaced"); /* the last one counts */
    check_text(event.content_type, "text/xml");
    check_text(event.correlation, "c-9");
    CHECK_INT(event.tag_count, 2);
    check_text(event.tags[0], "a:1");
    check_text(event.tags[1], "b\xC3\xA4");
    check_text(event.meta, "{\"kafka\":{\"topic\":\"my-orders\",\"partition\":5,\"offset\":4711,\"timestamp\":1700000000001,"
                           "\"headers\":{"
                           "\"b\":{\"base64\":\"/wA=\"},\"ce_correlation\":\"c-9\",\"ce_id\":\"0190163D-8694-739b-aea5-966c26f8ad91\","
                           "\"ce_tags\":\"[\\\"a:1\\\", \\\"b\\\\u00e4\\\"]\",\"ce_time\":\"2018-04-05T03:56:24Z\","
                           "\"ce_type\":[\"first\",\"OrderPlaced\"],\"content-type\":\"text/xml\",\"nothing\":null,"
                           "\"twice\":[\"1\",\"\\\"2\\\"\"]}}}");
    free_made(&made);
}

/* Goal: headers that are no legal names count as absent, and never make an event that the log would refuse. */
TEST(headers_that_lie)
{
    static const struct {
        const char *tags;
        size_t count;
    } tags[] = {
        {"[]", 0}, {"{}", 0}, {"[1]", 0}, {"[\"\"]", 0}, {"[\"a\",null]", 0}, {"\"a\"", 0}, {"[\"a\"", 0}, {"[\"\\ud800\"]", 0},
        {"[\"\\ud800x\"]", 0}, {"[\"\\udc00\\ud800\"]", 0}, {"[\"\\ud83d\\ude00\"]", 1}, {"[\"\\\\ud800\"]", 1}, {"[\"a\",\"a\"]", 2},
    };
    struct made made = {.maker = {.count = 0}};
    char long_name[513];
    memset(long_name, 'n', sizeof long_name);
    struct batch_header_field bad[] = {
        {CAIRN_STR("ce_type"), {long_name, 513}, false}, FIELD("ce_id", "0190163d-8694-739b-aea5-966c26f8ad9"),
        FIELD("content-type", "\xFF"), {CAIRN_STR("ce_correlation"), {long_name, 513}, false}, {CAIRN_STR("ce_tags"), {0}, true},
    };
    cairn_str value = CAIRN_STR("1");
    make_record(&made, NULL, &value, bad, sizeof bad / sizeof *bad);
    cairn_event event = event_of(&made);
    check_text(event.type, "my-orders");
    check_text(event.content_type, "application/json");
    CHECK(event.correlation.size == 0 && event.tag_count == 0);
    cairn_uuid id = record_id(&place);
    CHECK(memcmp(&event.id, &id, sizeof id) == 0);
    bad[0].value.size = 512;
    make_record(&made, NULL, &value, bad, 1);
    CHECK_INT(event_of(&made).type.size, 512);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        struct batch_header_field field = {CAIRN_STR("ce_tags"), cairn_cstr(tags[i].tags), false};
        make_record(&made, NULL, &value, &field, 1);
        CHECK_INT(event_of(&made).tag_count, tags[i].count);
    }
    struct buf many = {0};
    for (size_t count = RECORD_TAGS_MAX; count <= RECORD_TAGS_MAX + 1; count++) {
        buf_clear(&many);
        for (size_t i = 0; i < count; i++)
            buf_printf(&many, "%c\"t%zu\"", i ? ',' : '[', i);
        buf_put_char(&many, ']');
        struct batch_header_field field = {CAIRN_STR("ce_tags"), buf_str(&many), false};
        make_record(&made, NULL, &value, &field, 1);
        CHECK_INT(event_of(&made).tag_count, count > RECORD_TAGS_MAX ? 0 : count);
    }
    buf_free(&many);
    free_made(&made);
}

/* Goal: meta stays within the memory that was reckoned for it. Method: headers of which every byte takes the longest escape, and of
 * which every value is base64. */
TEST(meta_at_its_longest)
{
    struct made made = {.maker = {.count = 0}};
    char worst[3000], name[2] = {'\x01', '\x02'};
    struct batch_header_field headers[40];
    for (size_t i = 0; i < 40; i++) {
        headers[i] = (struct batch_header_field){{name, i % 3}, {worst, i % 2 ? i : 0}, false};
        if (i == 7)
            headers[i].value.size = sizeof worst;
    }
    memset(worst, 0x01, sizeof worst);
    make_record(&made, NULL, NULL, headers, 40);
    event_of(&made);
    memset(worst, 0xFF, sizeof worst);
    make_record(&made, NULL, NULL, headers, 40);
    event_of(&made);
    free_made(&made);
}

/* Goal: made ids are stable, legal UUIDv8, and differ wherever place differs. */
TEST(ids_of_places)
{
    struct record_place other = place;
    char text[UUID_TEXT_SIZE];
    format_uuid(record_id(&place), text);
    CHECK_STR(text, "eb5aeb9a-3245-8001-9000-000000001267");
    static const uint32_t partitions[] = {0, 1, 2, 3, 4, 5, 8191, 9999};
    static const uint64_t offsets[] = {0, 1, 4711, 1u << 31, UINT64_C(1) << 32, (UINT64_C(1) << 60) - 1};
    cairn_uuid seen[64];
    size_t count = 0;
    for (size_t p = 0; p < 8; p++)
        for (size_t o = 0; o < 6; o++) {
            other.partition = partitions[p];
            other.offset = offsets[o];
            seen[count] = record_id(&other);
            CHECK(seen[count].bytes[6] >> 4 == 8 && seen[count].bytes[8] >> 6 == 2);
            for (size_t i = 0; i < count; i++)
                CHECK(memcmp(&seen[i], &seen[count], sizeof *seen) != 0);
            count++;
        }
    other = place;
    other.topic_id.bytes[15]++;
    cairn_uuid a = record_id(&place), b = record_id(&other);
    CHECK(memcmp(&a, &b, 6) != 0);
}

/* ---- events as records */

static void
check_header(cairn_str *headers, const char *name, const char *value)
{
    cairn_str its_name, its_value;
    bool has_value;
    CHECK(batch_next_header(headers, &its_name, &has_value, &its_value) && has_value);
    check_text(its_name, name);
    check_text(its_value, value);
}

static struct batch_record
record_of(struct made *made, const cairn_recorded *event)
{
    batch_make_begin(&made->maker);
    CHECK(event_to_record(event, 4711, &made->arena, &made->maker));
    CHECK(batch_make_end(&made->maker, BATCH_PLAIN, 0, 4711));
    CHECK(batch_open(&made->cursor, buf_str(&made->maker.out)) == NULL);
    CHECK(batch_next(&made->cursor, &made->record));
    return made->record;
}

/* Meta with that many values for one header whose name is that long; the caller's, free(). */
static cairn_str
meta_of_headers(unsigned values, size_t name_size)
{
    struct buf meta = {0};
    buf_put_str(&meta, CAIRN_STR("{\"kafka_headers\":{\""));
    for (size_t i = 0; i < name_size; i++)
        buf_put_char(&meta, 'n');
    buf_put_str(&meta, CAIRN_STR("\":["));
    for (unsigned i = 0; i < values; i++)
        buf_put_str(&meta, i ? CAIRN_STR(",\"v\"") : CAIRN_STR("\"v\""));
    buf_put_str(&meta, CAIRN_STR("]},\"more\":1}"));
    CHECK(!meta.failed);
    return buf_str(&meta);
}

/* Goal: whatever an event's meta says of headers, a record is made of the event.
 * Method: the most values that are headers, and one more; a long name, written for each of many values. Then meta is left as it is. */
TEST(headers_beyond_what_a_record_holds)
{
    static const struct {
        unsigned values;
        size_t name_size;
        bool headers;
    } cases[] = {{988, 1, true}, {989, 1, false}, {100000, 1, false}, {900, 1000, true}, {900, 2000, false}, {900, 500000, false}};
    struct made made = {.maker = {.count = 0}};
    cairn_str tags[] = {CAIRN_STR("red")};
    cairn_recorded event = {.stream = CAIRN_STR("a-1"),
                            .event = {.type = CAIRN_STR("T"), .data = CAIRN_STR("{}"), .correlation = CAIRN_STR("c"), .tags = tags, .tag_count = 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cairn_str meta = meta_of_headers(cases[i].values, cases[i].name_size);
        event.event.meta = meta;
        struct batch_record record = record_of(&made, &event);
        CHECK_INT(record.header_count, 12 + (cases[i].headers ? cases[i].values : 0));
        cairn_str headers = record.headers, name, value;
        bool there, found = false;
        while (batch_next_header(&headers, &name, &there, &value))
            if (cairn_str_equal(name, CAIRN_STR("ce_meta"))) {
                found = true;
                CHECK(cairn_str_equal(value, cases[i].headers ? CAIRN_STR("{\"more\":1}") : meta));
            }
        CHECK(found);
        free((char *)(uintptr_t)meta.data);
        arena_reset(&made.arena);
    }
    free_made(&made);
}

/* Goal: an event brings headers of its own, in place of those that are made, and ce_meta is the rest of meta.
 * Method: each kind of value, a name of CloudEvents', escapes, a lone surrogate; meta of nothing else; and what is no object. */
TEST(headers_of_an_events_own)
{
    struct made made = {.maker = {.count = 0}};
    cairn_recorded event = {
        .stream = CAIRN_STR("a-1"),
        .event = {.type = CAIRN_STR("T"), .data = CAIRN_STR("{}"),
                  .meta = CAIRN_STR("{\"actor\":\"x\",\"kafka_headers\":{\"ce_type\":\"Other\",\"a\\n\":\"b\\\"\",\"none\":null,\"raw\":"
                                    "{\"base64\":\"AP8=\"},\"bad\":{\"base64\":\"?\"},\"many\":[\"1\",2],\"no\":[],\"\\ud800\":\"x\",\"n\":1.5,"
                                    "\"o\":{\"p\":[]}}}")},
    };
    struct batch_record record = record_of(&made, &event);
    cairn_str headers = record.headers, name, value;
    bool has_value, type = false, meta = false;
    check_header(&headers, "ce_type", "Other");
    check_header(&headers, "a\n", "b\"");
    CHECK(batch_next_header(&headers, &name, &has_value, &value) && !has_value);
    check_text(name, "none");
    CHECK(batch_next_header(&headers, &name, &has_value, &value) && has_value && value.size == 2 && memcmp(value.data, "\0\xFF", 2) == 0);
    check_header(&headers, "bad", "{\"base64\":\"?\"}");
    check_header(&headers, "many", "1");
    check_header(&headers, "many", "2");
    check_header(&headers, "n", "1.5");
    check_header(&headers, "o", "{\"p\":[]}");
    while (batch_next_header(&headers, &name, &has_value, &value)) {
        type |= cairn_str_equal(name, CAIRN_STR("ce_type"));
        if (cairn_str_equal(name, CAIRN_STR("ce_meta"))) {
            meta = true;
            check_text(value, "{\"actor\":\"x\"}");
        }
    }
    CHECK(!type && meta);
    batch_close(&made.cursor);
    event.event.meta = CAIRN_STR("{\"kafka_headers\":{\"a\":\"b\"}}");
    headers = record_of(&made, &event).headers;
    check_header(&headers, "a", "b");
    while (batch_next_header(&headers, &name, &has_value, &value))
        CHECK(!cairn_str_equal(name, CAIRN_STR("ce_meta")));
    batch_close(&made.cursor);
    event.event.meta = CAIRN_STR("{\"kafka_headers\":7}");
    headers = record_of(&made, &event).headers;
    check_header(&headers, "ce_specversion", "1.0");
    free_made(&made);
}

/* Goal: an event is a CloudEvent of the Kafka binding, and the record it becomes is that event again. */
TEST(events_as_records)
{
    struct made made = {.maker = {.count = 0}};
    cairn_str tags[] = {CAIRN_STR("customer:7"), CAIRN_STR("\"\n")};
    cairn_recorded event = {
        .position = 99, .revision = 3, .time_us = 1700000000123456, .stream = CAIRN_STR("my~orders-4-2\xC3\xA4"),
        .event = {.type = CAIRN_STR("OrderPlaced"), .data = CAIRN_STR("{}"), .meta = CAIRN_STR("{\"actor\":\"x\"}"),
                  .correlation = CAIRN_STR("c-1"), .tags = tags, .tag_count = 2},
    };
    CHECK(parse_uuid(CAIRN_STR("0190163d-8694-739b-aea5-966c26f8ad91"), &event.event.id));
    struct batch_record record = record_of(&made, &event);
    check_text(record.key, "4-2\xC3\xA4");
    check_text(record.value, "{}");
    CHECK(record.timestamp_ms == 1700000000123 && made.cursor.head.base_offset == 4711);
    cairn_str headers = record.headers;
    check_header(&headers, "ce_specversion", "1.0");
    check_header(&headers, "ce_id", "0190163d-8694-739b-aea5-966c26f8ad91");
    check_header(&headers, "ce_source", "/v1/streams/my~orders-4-2%C3%A4");
    check_header(&headers, "ce_type", "OrderPlaced");
    check_header(&headers, "ce_subject", "my~orders-4-2\xC3\xA4");
    check_header(&headers, "ce_time", "2023-11-14T22:13:20.123456Z");
    check_header(&headers, "content-type", "application/json");
    check_header(&headers, "ce_position", "99");
    check_header(&headers, "ce_revision", "3");
    check_header(&headers, "ce_correlation", "c-1");
    check_header(&headers, "ce_tags", "[\"customer:7\",\"\\\"\\n\"]");
    check_header(&headers, "ce_meta", "{\"actor\":\"x\"}");
    CHECK(headers.size == 0);
    cairn_event back = event_of(&made);
    CHECK(memcmp(&back.id, &event.event.id, sizeof back.id) == 0 && back.tag_count == 2);
    check_text(back.type, "OrderPlaced");
    check_text(back.correlation, "c-1");
    check_text(back.tags[1], "\"\n");
    check_text(back.data, "{}");
    free_made(&made);
}

/* Goal: tombstones and streams without a key, both ways; times before 1970 round down; positions at their largest. */
TEST(odd_events_as_records)
{
    struct made made = {.maker = {.count = 0}};
    cairn_recorded event = {.position = UINT64_MAX, .time_us = -1, .stream = CAIRN_STR("my~orders"),
                            .event = {.type = CAIRN_STR("T"), .content_type = CAIRN_STR("application/x-null")}};
    event.event.id.bytes[0] = 1;
    struct batch_record record = record_of(&made, &event);
    CHECK(!record.has_key && !record.has_value && record.timestamp_ms == -1 && record.header_count == 8);
    check_text(event_of(&made).content_type, "application/x-null");
    event.stream = CAIRN_STR("my~orders-x:ff0010");
    event.event.content_type = CAIRN_STR("text/plain");
    record = record_of(&made, &event);
    CHECK(cairn_str_equal(record.key, CAIRN_STR("\xFF\x00\x10")) && record.has_value && record.value.size == 0);
    check_text(event_of(&made).content_type, "text/plain");
    free_made(&made);
}

/* Goal: keys behind our prefixes that we would not have written are the text they are. */
TEST(keys_that_look_like_hex)
{
    static const char *const keys[] = {"x:FF", "x:f", "x:zz", "x:", "x:6162", "sha256:00", "x:783a78"};
    char room[RECORD_STREAM_MAX], stream[64];
    cairn_str key;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(stream, sizeof stream, "c-%s", keys[i]);
        CHECK(stream_record_key(cairn_cstr(stream), room, &key));
        check_text(key, i == 6 ? "x:x" : keys[i]); /* the last one is what we write for x:x */
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(murmur2_known_answers), RUN(topics_and_categories), RUN(keys_and_streams), RUN(plain_records), RUN(records_with_headers),
        RUN(headers_that_lie), RUN(meta_at_its_longest), RUN(ids_of_places), RUN(events_as_records), RUN(odd_events_as_records),
        RUN(keys_that_look_like_hex), RUN(headers_of_an_events_own), RUN(headers_beyond_what_a_record_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

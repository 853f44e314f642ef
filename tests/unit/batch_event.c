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
    check_stream((cairn_str){longest, 503}, "my~orders-sha256:f8c59e5fffd6f846f3aecf64903831e0170daef9e9e446beb8c71772908283d4", false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(murmur2_known_answers), RUN(topics_and_categories), RUN(keys_and_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

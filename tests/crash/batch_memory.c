/* Goal: running out of memory while a batch is made, read, or told as events is an error, and never another answer: the index is built
 * on these answers.
 * Method: no_memory.h. The n-th allocation fails, once or for good, until a run meets no fault; whatever a step returns
 * then is held against what it says with all the memory it wants. */
#include "test.h"
#include "no_memory.h"

#include <base/text.h>
#include <batch/event.h>

#define FIELD(name, value) {CAIRN_STR(name), CAIRN_STR(value), false}

static const struct record_place place = {.category = {"my~orders", 9}, .partition = 3, .offset = 4711};
static char long_value[20000];

static bool
make(struct batch_maker *maker, enum batch_codec codec)
{
    static const struct batch_header_field headers[] = {
        FIELD("ce_type", "OrderPlaced"), FIELD("ce_tags", "[\"a:1\",\"b\\u00e4\"]"), FIELD("b", "\xFF"), FIELD("b", "2"),
    };
    cairn_str key = CAIRN_STR("42"), value = {long_value, sizeof long_value}, tombstone = CAIRN_STR("\xFF\x00");
    batch_make_begin(maker);
    return batch_make_add(maker, 0, 1700000000000, &key, &value, headers, 4) &&
           batch_make_add(maker, 1, 1700000000000, &tombstone, NULL, NULL, 0) &&
           batch_make_end(maker, codec, 0, 1);
}

/* What a batch says, in one text. False: out of memory somewhere. */
static bool
tell(cairn_str batch, struct buf *to)
{
    struct batch_cursor cursor = {0};
    struct batch_record record;
    struct record_names names;
    struct arena arena = {0};
    cairn_event event;
    const char *fault = batch_open(&cursor, batch);
    bool told = !fault;
    CHECK(!fault || fault == batch_no_memory);
    for (uint32_t i = 0; told && i < 2; i++) {
        told = batch_record_at(&cursor, i, &record);
        CHECK(told || cursor.fault == batch_no_memory);
        told = told && record_names(&record, place.category, &arena, &names) && record_to_event(&record, &place, &arena, &event);
        if (!told)
            break;
        CHECK(names.tag_count == event.tag_count && cairn_str_equal(names.type, event.type));
        buf_put_str(to, names.stream);
        buf_put_str(to, event.type);
        for (size_t tag = 0; tag < event.tag_count; tag++)
            buf_put_str(to, event.tags[tag]);
        buf_put_str(to, event.meta);
        buf_put_str(to, event.data);
        cairn_recorded recorded = {.stream = names.stream, .event = event};
        if (i == 1) /* headers of its own */
            recorded.event.meta = CAIRN_STR("{\"a\":1,\"kafka_headers\":{\"b\\n\":\"c\\t\",\"d\":[\"e\",null,{\"base64\":\"AP8=\"}]}}");
        struct batch_maker maker = {0};
        batch_make_begin(&maker);
        told = event_to_record(&recorded, 0, &arena, &maker) && batch_make_end(&maker, BATCH_LZ4, 0, 0);
        buf_put_str(to, buf_str(&maker.out));
        batch_make_free(&maker);
    }
    batch_close(&cursor);
    arena_free(&arena);
    return told && !to->failed;
}

static void
play(enum batch_codec codec, bool forever)
{
    struct batch_maker good = {0};
    struct buf answer = {0};
    CHECK(make(&good, codec) && tell(buf_str(&good.out), &answer));
    bool fired = true;
    for (uint64_t at = 1; fired; at++) {
        struct batch_maker maker = {0};
        struct buf told = {0};
        CHECK(at < 1000);
        memory_fails(at, forever);
        bool made = make(&maker, codec);
        bool same = made && tell(buf_str(&maker.out), &told);
        fired = memory_returns();
        CHECK(same || fired);
        CHECK(!made || cairn_str_equal(buf_str(&maker.out), buf_str(&good.out)));
        CHECK(!same || cairn_str_equal(buf_str(&told), buf_str(&answer)));
        buf_free(&told);
        /* What has failed can be used again. */
        CHECK(make(&maker, codec) && cairn_str_equal(buf_str(&maker.out), buf_str(&good.out)));
        batch_make_free(&maker);
    }
    buf_free(&answer);
    batch_make_free(&good);
}

TEST(no_memory_is_never_another_answer)
{
    for (size_t i = 0; i < sizeof long_value; i++)
        long_value[i] = (char)('a' + i * i % 17);
    for (int codec = 0; codec < BATCH_CODECS; codec++) {
        play((enum batch_codec)codec, false);
        play((enum batch_codec)codec, true);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(no_memory_is_never_another_answer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

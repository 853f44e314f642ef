/* cli/json_source.c and cli/event_json.c: events as JSON, in and out. */
#include <test.h>

#include <base/text.h>

#include "../../cli/event_json.h"

static cairn_err
read_all(const char *text, size_t value_max, struct buf *to)
{
    struct json_source source = {.file = fmemopen((void *)(uintptr_t)text, strlen(text) ? strlen(text) : 1, "rb"),
                                 .value_max = value_max};
    cairn_error error = {0};
    struct json value;
    cairn_err err;
    if (*text == '\0')
        (void)fgetc(source.file);
    while ((err = json_source_next(&source, &value, &error)) == CAIRN_OK) {
        buf_printf(to, "%llu:", (unsigned long long)source.line);
        buf_put_str(to, value.raw);
        buf_put_char(to, ' ');
    }
    if (err != CAIRN_E_END)
        buf_put(to, error.detail, strlen(error.detail));
    buf_put_char(to, '\0');
    fclose(source.file);
    json_source_free(&source);
    return err;
}

/* Goal: lines, arrays and plain sequences of objects; the line of each; errors that name it. Method: a table. */
TEST(finds_objects_in_a_stream)
{
    static const struct {
        const char *text;
        cairn_err err;
        const char *read;
    } cases[] = {
        {"", CAIRN_E_END, ""},
        {" \n\n", CAIRN_E_END, ""},
        {"{}", CAIRN_E_END, "1:{} "},
        {"{\"a\":1}\n{\"b\":\"}\"}\n", CAIRN_E_END, "1:{\"a\":1} 2:{\"b\":\"}\"} "},
        {"\n\n{}\r\n\n{}", CAIRN_E_END, "3:{} 5:{} "},
        {"{}{}", CAIRN_E_END, "1:{} 1:{} "},
        {"{\"a\":\n[{}]}\n{}", CAIRN_E_END, "1:{\"a\":\n[{}]} 3:{} "},
        {"[]", CAIRN_E_END, ""},
        {"[{}, {\"\\\"\":\"{\"}\n]\n", CAIRN_E_END, "1:{} 1:{\"\\\"\":\"{\"} "},
        {"\xEF\xBB\xBF{}", CAIRN_E_END, "1:{} "},
        {"{}\n1\n", CAIRN_E_INVALID, "1:{} line 2: expected an object, found '1'"},
        {"{}\n{\"a\":}\n", CAIRN_E_INVALID, "1:{} line 2: at byte "},
        {"{\"a\":", CAIRN_E_INVALID, "line 1: the input ends inside an object"},
        {"[{}", CAIRN_E_INVALID, "1:{} the input ends inside an array"},
        {"[{} {}]", CAIRN_E_INVALID, "1:{} line 1: expected ',' or ']'"},
        {"[{}] {}", CAIRN_E_INVALID, "1:{} line 1: more after the array's ']'"},
        {"[{},]", CAIRN_E_INVALID, "1:{} line 1: a ',' with nothing after it"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf got = {0};
        cairn_err err = read_all(cases[i].text, 0, &got);
        bool same = err == CAIRN_E_INVALID ? strncmp(got.data, cases[i].read, strlen(cases[i].read)) == 0
                                           : strcmp(got.data, cases[i].read) == 0;
        if (err != cases[i].err || !same)
            fail_msg("case %zu: %s <%s>, wanted <%s>", i, cairn_err_name(err), got.data, cases[i].read);
        buf_free(&got);
    }
}

/* Goal: bounded memory. Method: an object larger than the bound, that never ends. */
TEST(refuses_an_object_without_bounds)
{
    struct buf text = {0}, got = {0};
    buf_put_str(&text, CAIRN_STR("{}\n{\"a\":\""));
    for (size_t i = 0; i < (1u << 20); i++)
        buf_put_char(&text, 'x');
    buf_put_char(&text, '\0');
    CHECK_INT(read_all(text.data, 1 << 16, &got), CAIRN_E_LIMIT);
    CHECK(strstr(got.data, "line 2: ") != NULL);
    buf_free(&text);
    buf_free(&got);
}

static void
check_round_trip(const cairn_recorded *recorded)
{
    struct buf line = {0};
    struct arena arena = {0};
    struct event_in in;
    struct json value;
    cairn_error error = {0};
    event_put(&line, recorded);
    CHECK(!line.failed && memchr(line.data, '\n', line.size) == NULL);
    CHECK_OK(json_check(buf_str(&line), &value, NULL));
    CHECK_OK(event_parse(value, &arena, &in, &error));
    const cairn_event *a = &recorded->event, *b = &in.recorded.event;
    CHECK(in.has_revision && in.recorded.revision == recorded->revision && in.recorded.position == recorded->position);
    CHECK(in.recorded.time_us == recorded->time_us);
    CHECK(cairn_str_equal(in.recorded.stream, recorded->stream));
    CHECK(memcmp(&a->id, &b->id, sizeof a->id) == 0 && a->schema_id == b->schema_id);
    CHECK(cairn_str_equal(a->type, b->type) && cairn_str_equal(a->content_type, b->content_type));
    CHECK(cairn_str_equal(a->data, b->data));
    CHECK(cairn_str_equal(a->meta, b->meta));
    CHECK_INT(a->tag_count, b->tag_count);
    for (size_t i = 0; i < a->tag_count; i++)
        CHECK(cairn_str_equal(a->tags[i], b->tags[i]));
    buf_free(&line);
    arena_free(&arena);
}

/* Goal: what is exported and read again is the same, byte for byte. Method: events of every shape: pretty JSON,
 * line breaks, bytes that are no text, no data, JSON that is none, odd names. */
TEST(exports_are_exact)
{
    static const cairn_str tags[] = {{"a:1", 3}, {"\"quo\\te\"\n", 9}, {"\xC3\xBC", 2}};
    static const struct {
        const char *content_type, *data, *meta;
        size_t data_size;
    } shapes[] = {
        {"", "{\"a\":1}", "", 0},
        {"", "{ \"a\" :\t1 }", "{\"b\" : 2}", 0},
        {"", "{\n  \"a\": 1\n}", "{\n\"correlation\": \"c\"}", 0},
        {"", "null", "", 0},
        {"", "", "{}", 0},
        {"text/plain", "plain", "", 0},
        {"text/plain", "", "", 0},
        {"application/octet-stream", "\0\xFF\x01\n", "", 4},
        {"application/vnd.x+json", "[1,2]", "", 0},
        {"application/vnd.x+json", "not json", "", 0},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        cairn_recorded recorded = {.position = 9007199254740993, .revision = 7, .time_us = 1700000000123456,
                                   .stream = CAIRN_STR("s-\"1\"/x y")};
        recorded.event = (cairn_event){.type = CAIRN_STR("T"),
                                       .content_type = cairn_cstr(shapes[i].content_type),
                                       .data = {shapes[i].data, shapes[i].data_size ? shapes[i].data_size : strlen(shapes[i].data)},
                                       .meta = cairn_cstr(shapes[i].meta),
                                       .schema_id = (uint32_t)i,
                                       .tags = tags,
                                       .tag_count = i % 4};
        memset(&recorded.event.id, (int)i + 1, sizeof recorded.event.id);
        check_round_trip(&recorded);
    }
}

/* Goal: members of the wrong kind are refused by name. Method: a table. */
TEST(refuses_wrong_members)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{}", "\"type\" is missing"},          {"{\"type\":1}", "\"type\" must be a string"},
        {"{\"type\":\"t\",\"id\":\"x\"}", "\"id\" must be a UUID"}, {"{\"type\":\"t\",\"meta\":[]}", "\"meta\" must be an object"},
        {"{\"type\":\"t\",\"tags\":{}}", "\"tags\" must be an array"}, {"{\"type\":\"t\",\"tags\":[1]}", "\"tags\" must be an array"},
        {"{\"type\":\"t\",\"revision\":-1}", "\"revision\" must be"}, {"{\"type\":\"t\",\"data_base64\":\"*\"}", "base64"},
        {"{\"type\":\"t\",\"schema_id\":4294967296}", "\"schema_id\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json value;
        struct arena arena = {0};
        struct event_in in;
        cairn_error error = {0};
        CHECK_OK(json_check(cairn_cstr(cases[i].text), &value, NULL));
        CHECK_INT(event_parse(value, &arena, &in, &error), CAIRN_E_INVALID);
        if (!strstr(error.detail, cases[i].says))
            fail_msg("case %zu says: %s", i, error.detail);
        arena_free(&arena);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(finds_objects_in_a_stream), RUN(refuses_an_object_without_bounds),
                                       RUN(exports_are_exact), RUN(refuses_wrong_members)};
    return cmocka_run_group_tests_name("import_json", tests, NULL, NULL);
}

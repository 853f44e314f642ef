/* Reading requests: bodies of events in every form, control objects, the query string, paths; and events on
 * their way out. Pure functions: no server. */
#include <proto/http/api_int.h>
#include <proto/http/api_parse.h>
#include <proto/http/api_render.h>
#include <test.h>

#include <base/error.h>
#include <base/text.h>

static struct arena arena;
static cairn_error error;

static int
teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static struct parse
begin(void)
{
    error = (cairn_error){0};
    arena_reset(&arena);
    return (struct parse){.arena = &arena, .error = &error, .events_max = 100};
}

static cairn_err
parse_as(enum event_format format, const char *text, struct event_list *ret)
{
    struct parse parse = begin();
    return parse_events(&parse, format, cairn_cstr(text), ret);
}

static void
check_text(cairn_str actual, const char *expected)
{
    if (!cairn_str_equal(actual, cairn_cstr(expected)))
        fail_msg("'%.*s' is not '%s'", (int)actual.size, actual.data ? actual.data : "", expected);
}

static void
check_refused(cairn_err err, cairn_err expected, const char *detail)
{
    CHECK_INT(err, expected);
    if (!strstr(error.detail, detail))
        fail_msg("'%s' does not say '%s'", error.detail, detail);
}

/* Goal: every member of an event arrives; data keeps its exact bytes, white space and all.
 * Method: one event with all of them. */
TEST(one_event_with_everything)
{
    struct event_list list;
    CHECK_OK(parse_as(EVENTS_JSON,
                      "{\"type\":\"Order\\u0020Placed\",\"data\": { \"a\" : 1.50 },\"id\":"
                      "\"0198c5f0-7a3e-7bb2-9d6e-5f1c3b9a2e10\",\"meta\":{\"correlation\":\"c\"},"
                      "\"tags\":[\"a:1\",\"b:2\"],\"correlation\":\"x\",\"schema_id\":7,"
                      "\"content_type\":\"application/vnd.order+json\"}",
                      &list));
    CHECK_INT(list.count, 1);
    const cairn_event *e = list.events;
    char id[UUID_TEXT_SIZE];
    format_uuid(e->id, id);
    CHECK_STR(id, "0198c5f0-7a3e-7bb2-9d6e-5f1c3b9a2e10");
    check_text(e->type, "Order Placed");
    check_text(e->data, "{ \"a\" : 1.50 }");
    check_text(e->meta, "{\"correlation\":\"c\"}");
    check_text(e->correlation, "x");
    check_text(e->content_type, "application/vnd.order+json");
    CHECK_INT(e->schema_id, 7);
    CHECK_INT(e->tag_count, 2);
    check_text(e->tags[1], "b:2");
}

/* Goal: an array, lines, other content types, and application/json stored as empty.
 * Method: each once. */
TEST(arrays_lines_and_bytes)
{
    struct event_list list;
    CHECK_OK(parse_as(EVENTS_JSON, "[{\"type\":\"A\"},{\"type\":\"B\",\"data\":null}]", &list));
    CHECK_INT(list.count, 2);
    CHECK_INT(list.events[0].data.size, 0);
    check_text(list.events[1].data, "null");

    CHECK_OK(parse_as(EVENTS_NDJSON, "\n{\"type\":\"A\"}\r\n  \n{\"type\":\"B\"}", &list));
    CHECK_INT(list.count, 2);
    check_text(list.events[1].type, "B");

    CHECK_OK(parse_as(EVENTS_JSON, "{\"type\":\"A\",\"data_base64\":\"AAH/\"}", &list));
    CHECK_INT(list.events[0].data.size, 3);
    check_text(list.events[0].content_type, "application/octet-stream");

    CHECK_OK(parse_as(EVENTS_JSON, "{\"type\":\"A\",\"data\":1,\"content_type\":\"application/json\"}", &list));
    CHECK_INT(list.events[0].content_type.size, 0);
}

/* Goal: whatever is wrong is refused with the path of the field and what it should be.
 * Method: a table of bodies and what the refusal must say. */
TEST(refusals_name_the_field)
{
    static const struct {
        enum event_format format;
        const char *body;
        cairn_err err;
        const char *says;
    } cases[] = {
        {EVENTS_JSON, "[{\"type\":\"A\"},{\"type\":\"A\"},{\"type\":\"A\"},{\"type\":\"A\",\"tags\":[5]}]",
         CAIRN_E_INVALID, "events[3].tags[0]: must be a string"},
        {EVENTS_JSON, "{\"type\":\"A\",\"tag\":[]}", CAIRN_E_INVALID, "events[0]: member \"tag\" is not known"},
        {EVENTS_JSON, "{\"type\":\"A\",\"tags\":[],\"type\":\"B\"}", CAIRN_E_INVALID, "events[0]: member \"type\" is given twice"},
        {EVENTS_JSON, "{}", CAIRN_E_INVALID, "events[0].type: is missing"},
        {EVENTS_JSON, "{\"type\":\"\"}", CAIRN_E_INVALID, "events[0].type: must not be empty"},
        {EVENTS_JSON, "{\"type\":\"A\",\"id\":\"1\"}", CAIRN_E_INVALID, "events[0].id: must be a UUID"},
        {EVENTS_JSON, "{\"type\":\"A\",\"id\":\"00000000-0000-0000-0000-000000000000\"}", CAIRN_E_INVALID, "zeros"},
        {EVENTS_JSON, "{\"type\":\"A\",\"meta\":[]}", CAIRN_E_INVALID, "events[0].meta: must be an object"},
        {EVENTS_JSON, "{\"type\":\"A\",\"data\":1,\"data_base64\":\"\"}", CAIRN_E_INVALID, "either data or"},
        {EVENTS_JSON, "{\"type\":\"A\",\"data_base64\":\"!\"}", CAIRN_E_INVALID, "data_base64: is not base64"},
        {EVENTS_JSON, "{\"type\":\"A\",\"data_base64\":\"e30\",\"content_type\":\"application/json\"}", CAIRN_OK, ""},
        {EVENTS_JSON, "{\"type\":\"A\",\"data_base64\":\"e30h\",\"content_type\":\"a/b+json\"}", CAIRN_E_INVALID,
         "is not JSON"},
        {EVENTS_JSON, "{\"type\":\"A\",\"data\":1,\"content_type\":\"text/plain\"}", CAIRN_E_INVALID,
         "content_type is 'text/plain'"},
        {EVENTS_JSON, "{\"type\":\"A\",\"schema_id\":-1}", CAIRN_E_INVALID, "schema_id: must be a whole"},
        {EVENTS_JSON, "{\"type\":\"\\ud800\"}", CAIRN_E_INVALID, "lone surrogate"},
        {EVENTS_JSON, "[1]", CAIRN_E_INVALID, "events[0]: must be an object"},
        {EVENTS_JSON, "[]", CAIRN_E_INVALID, "holds no event"},
        {EVENTS_JSON, "", CAIRN_E_INVALID, "the body is empty"},
        {EVENTS_JSON, "{\"type\":\"A\"", CAIRN_E_INVALID, "not JSON: at byte"},
        {EVENTS_NDJSON, "{\"type\":\"A\"}\n{", CAIRN_E_INVALID, "line 2 is not JSON"},
        {EVENTS_NDJSON, "\n\n", CAIRN_E_INVALID, "holds no event"},
        {EVENTS_CLOUDEVENT, "[]", CAIRN_E_INVALID, "one object"},
        {EVENTS_CLOUDEVENT_BATCH, "{}", CAIRN_E_INVALID, "array"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct event_list list;
        cairn_err err = parse_as(cases[i].format, cases[i].body, &list);
        if (err != cases[i].err || !strstr(error.detail, cases[i].says))
            fail_msg("%s: %s '%s', not '%s'", cases[i].body, cairn_err_name(err), error.detail, cases[i].says);
    }
}

/* Goal: limits are refused before memory is taken for what is too much; syntax is told from meaning.
 * Method: 101 events where 100 are allowed, 65 tags, a type of 513 bytes; the flag of both kinds. */
TEST(limits_and_malformed)
{
    struct buf body = {0};
    struct event_list list;
    buf_put_char(&body, '[');
    for (int i = 0; i < 101; i++)
        buf_printf(&body, "%s1", i ? "," : "");
    buf_put_str(&body, CAIRN_STR("]"));
    struct parse parse = begin();
    check_refused(parse_events(&parse, EVENTS_JSON, buf_str(&body), &list), CAIRN_E_LIMIT, "limit of one append is 100");

    buf_clear(&body);
    buf_put_str(&body, CAIRN_STR("{\"type\":\"A\",\"tags\":["));
    for (int i = 0; i < 65; i++)
        buf_printf(&body, "%s\"t\"", i ? "," : "");
    buf_put_str(&body, CAIRN_STR("]}"));
    parse = begin();
    check_refused(parse_events(&parse, EVENTS_JSON, buf_str(&body), &list), CAIRN_E_LIMIT, "has 65 items; the limit is 64");

    buf_clear(&body);
    buf_printf(&body, "{\"type\":\"%0513d\"}", 1);
    parse = begin();
    check_refused(parse_events(&parse, EVENTS_JSON, buf_str(&body), &list), CAIRN_E_LIMIT,
                  "events[0].type: is 513 bytes; the limit is 512");
    CHECK(!parse.malformed);
    parse = begin();
    CHECK_INT(parse_events(&parse, EVENTS_JSON, CAIRN_STR("{,}"), &list), CAIRN_E_INVALID);
    CHECK(parse.malformed);
    buf_free(&body);
}

/* Goal: the content type chooses the form; ce-* headers choose binary mode.
 * Method: a table. */
TEST(content_types)
{
    CHECK_INT(parse_event_format(CAIRN_STR(""), false), EVENTS_JSON);
    CHECK_INT(parse_event_format(CAIRN_STR("Application/JSON; charset=utf-8"), false), EVENTS_JSON);
    CHECK_INT(parse_event_format(CAIRN_STR("application/x-ndjson"), false), EVENTS_NDJSON);
    CHECK_INT(parse_event_format(CAIRN_STR("application/cloudevents+json"), true), EVENTS_CLOUDEVENT);
    CHECK_INT(parse_event_format(CAIRN_STR("application/cloudevents-batch+json; charset=UTF-8"), false),
              EVENTS_CLOUDEVENT_BATCH);
    CHECK_INT(parse_event_format(CAIRN_STR("application/json"), true), EVENTS_CLOUDEVENT_BINARY);
    CHECK_INT(parse_event_format(CAIRN_STR("text/xml"), true), EVENTS_CLOUDEVENT_BINARY);
    CHECK_INT(parse_event_format(CAIRN_STR("text/xml"), false), EVENTS_UNKNOWN);
    CHECK_INT(parse_event_format(CAIRN_STR("application/x-www-form-urlencoded"), false), EVENTS_UNKNOWN);
    CHECK(parse_is_json_type(CAIRN_STR("application/problem+json")));
    CHECK(!parse_is_json_type(CAIRN_STR("text/plain")));
}

/* ---- CloudEvents ----------------------------------------------------------------------------------------- */

/* Goal: structured mode: attributes are kept in meta.ce, a foreign id becomes the same UUID each time, a UUID stays.
 * Method: one of each. */
TEST(cloudevent_structured)
{
    struct event_list list;
    static const char text[] = "{\"specversion\":\"1.0\",\"type\":\"com.x.made\",\"source\":\"/s\",\"id\":\"A-1\","
                               "\"subject\":\"sub\",\"time\":\"2020-01-01T00:00:00Z\",\"n\":5,\"data\":{\"a\": 1}}";
    CHECK_OK(parse_as(EVENTS_CLOUDEVENT, text, &list));
    cairn_event e = list.events[0];
    check_text(e.type, "com.x.made");
    check_text(e.data, "{\"a\": 1}");
    check_text(e.meta, "{\"ce\":{\"subject\":\"sub\",\"n\":5,\"id\":\"A-1\",\"source\":\"/s\",\"time\":\"2020-01-01T00:00:00Z\"}}");
    cairn_uuid id = e.id;
    CHECK(!uuid_is_zero(id));
    CHECK_OK(parse_as(EVENTS_CLOUDEVENT, text, &list));
    CHECK(memcmp(&id, &list.events[0].id, sizeof id) == 0);

    CHECK_OK(parse_as(EVENTS_CLOUDEVENT_BATCH,
                      "[{\"specversion\":\"1.0\",\"type\":\"T\",\"source\":\"/s\",\"id\":"
                      "\"0198c5f0-7a3e-7bb2-9d6e-5f1c3b9a2e10\",\"datacontenttype\":\"text/plain\",\"data\":\"a\\nb\","
                      "\"correlationid\":\"c9\"}]",
                      &list));
    e = list.events[0];
    check_text(e.data, "a\nb");
    check_text(e.content_type, "text/plain");
    check_text(e.meta, "{\"correlation\":\"c9\",\"ce\":{\"correlationid\":\"c9\",\"source\":\"/s\"}}");
}

/* Goal: binary mode: attributes from percent-encoded headers, any body, the id in the headers.
 * Method: a text body and a JSON one, and one that lies about being JSON. */
TEST(cloudevent_binary)
{
    const struct parse_header headers[] = {
        {CAIRN_STR("ce-specversion"), CAIRN_STR("1.0")}, {CAIRN_STR("ce-type"), CAIRN_STR("T")},
        {CAIRN_STR("ce-source"), CAIRN_STR("/s%20x")},   {CAIRN_STR("ce-id"), CAIRN_STR("7")},
        {CAIRN_STR("ce-name"), CAIRN_STR("Fr%C3%A4nzi")},
    };
    struct event_list list;
    struct parse parse = begin();
    CHECK_OK(parse_binary_event(&parse, CAIRN_STR("text/xml"), headers, 5, CAIRN_STR("<a/>"), &list));
    check_text(list.events[0].data, "<a/>");
    check_text(list.events[0].content_type, "text/xml");
    check_text(list.events[0].meta, "{\"ce\":{\"name\":\"Fr\xC3\xA4nzi\",\"id\":\"7\",\"source\":\"/s x\"}}");
    parse = begin();
    CHECK_OK(parse_binary_event(&parse, CAIRN_STR("application/json"), headers, 5, CAIRN_STR("[1]"), &list));
    check_text(list.events[0].data, "[1]");
    CHECK_INT(list.events[0].content_type.size, 0);
    parse = begin();
    check_refused(parse_binary_event(&parse, CAIRN_STR("application/json"), headers, 5, CAIRN_STR("[1"), &list),
                  CAIRN_E_INVALID, "not JSON");
    CHECK(parse.malformed);
    parse = begin();
    check_refused(parse_binary_event(&parse, CAIRN_STR("a/b"), headers, 3, CAIRN_STR(""), &list), CAIRN_E_INVALID,
                  "events[0].id: is missing");
}

/* Goal: what CloudEvents forbids is refused by the attribute's name.
 * Method: a table. */
TEST(cloudevent_refusals)
{
    static const struct {
        const char *member, *says;
    } cases[] = {
        {"\"specversion\":\"1.0\"", "attribute specversion is given twice"},
        {"\"Subject\":\"x\"", "lower-case letters and digits"},
        {"\"my_ext\":\"x\"", "lower-case letters and digits"},
        {"\"time\":\"noon\"", "events[0].time: must be an RFC 3339 time"},
        {"\"subject\":5", "events[0].subject: must be a string"},
        {"\"ext\":{}", "events[0].ext: must be a string, number or boolean"},
        {"\"data\":1,\"data_base64\":\"AA==\"", "either data or data_base64"},
        {"\"datacontenttype\":\"text/plain\",\"data\":1", "must be a string (or data_base64)"},
        {"\"cairnmeta\":\"5\"", "cairnmeta: must be a JSON object"},
        {"\"cairntags\":\"a,,b\"", "cairntags: must be tags"},
        {"\"cairntags\":\"a\",\"cairntags\":\"a,b\"", "attribute cairntags is given twice"},
    };
    struct event_list old;
    CHECK_INT(parse_as(EVENTS_CLOUDEVENT, "{\"specversion\":\"0.3\",\"type\":\"T\",\"source\":\"/s\",\"id\":\"1\"}", &old),
              CAIRN_E_INVALID);
    check_refused(CAIRN_E_INVALID, CAIRN_E_INVALID, "events[0].specversion: must be \"1.0\"");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[400];
        struct event_list list;
        snprintf(body, sizeof body, "{\"specversion\":\"1.0\",\"type\":\"T\",\"source\":\"/s\",\"id\":\"1\",%s}",
                 cases[i].member);
        cairn_err err = parse_as(EVENTS_CLOUDEVENT, body, &list);
        if (err != CAIRN_E_INVALID || !strstr(error.detail, cases[i].says))
            fail_msg("%s: %s '%s'", body, cairn_err_name(err), error.detail);
    }
}

static void
check_same_event(const cairn_event *a, const cairn_event *b)
{
    CHECK(memcmp(&a->id, &b->id, sizeof a->id) == 0);
    CHECK(cairn_str_equal(a->type, b->type));
    CHECK(cairn_str_equal(a->content_type, b->content_type));
    CHECK(cairn_str_equal(a->data, b->data));
    if (!cairn_str_equal(a->meta, b->meta))
        fail_msg("%.*s is not %.*s", (int)a->meta.size, a->meta.data, (int)b->meta.size, b->meta.data);
    CHECK_INT(a->tag_count, b->tag_count);
    for (size_t i = 0; i < a->tag_count; i++)
        CHECK(cairn_str_equal(a->tags[i], b->tags[i]));
}

/* Goal: out as a CloudEvent and in again is the same event, its own and a foreign one alike.
 * Method: render, parse, compare every field. */
TEST(cloudevent_round_trip)
{
    const cairn_str tags[] = {CAIRN_STR("order:1"), CAIRN_STR("50%,off")};
    const cairn_event events[] = {
        {.id = {{1, 2, 3}}, .type = CAIRN_STR("T"), .data = CAIRN_STR("{\"a\":[1, 2]}"), .tags = tags, .tag_count = 2,
         .meta = CAIRN_STR("{\"correlation\":\"c\",\"user\":{\"x\":\"\\u00e4\"}}")},
        {.id = {{4}}, .type = CAIRN_STR("T"), .data = CAIRN_STR("\x00\xff"), .content_type = CAIRN_STR("image/png")},
        {.id = {{5}}, .type = CAIRN_STR("T"), .meta = CAIRN_STR("{}")},
    };
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        const cairn_recorded recorded = {.position = 9, .revision = 3, .time_us = 1600000000123456,
                                         .stream = CAIRN_STR("a b/\xC3\xA4-1"), .event = events[i]};
        struct buf text = {0};
        struct event_list list;
        struct parse parse = begin();
        render_cloudevent(&text, &recorded);
        if (parse_events(&parse, EVENTS_CLOUDEVENT, buf_str(&text), &list) != CAIRN_OK)
            fail_msg("%.*s: %s", (int)text.size, text.data, error.detail);
        check_same_event(list.events, &events[i]);
        buf_free(&text);
    }
}

/* Goal: a CloudEvent stays the same event wherever it is appended, and however often it goes out and in.
 * Method: in, out of another stream, in and out again; one with much of its own, one whose id is named by a source that
 * looks like Cairn's. */
TEST(cloudevent_moves)
{
    static const char *const events[][2] = {
        {"{\"specversion\":\"1.0\",\"type\":\"T\",\"source\":\"urn:x\",\"id\":\"q\",\"time\":"
         "\"2020-01-01T00:00:00+01:00\",\"dataschema\":\"http://s\",\"flag\":true,\"correlationid\":\"c\"}",
         "\"time\":\"2020-01-01T00:00:00+01:00\""},
        {"{\"specversion\":\"1.0\",\"type\":\"T\",\"source\":\"/v1/streams/a-1\",\"id\":\"q\",\"cairnstream\":\"a-1\"}",
         "\"source\":\"/v1/streams/a-1\""},
    };
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        struct event_list list;
        CHECK_OK(parse_as(EVENTS_CLOUDEVENT, events[i][0], &list));
        struct buf first = {0}, second = {0};
        cairn_recorded recorded = {.time_us = 1, .stream = CAIRN_STR("s"), .event = list.events[0]};
        render_cloudevent(&first, &recorded);
        struct parse parse = {.arena = &arena, .error = &error, .events_max = 100};
        CHECK_OK(parse_events(&parse, EVENTS_CLOUDEVENT, buf_str(&first), &list));
        check_same_event(list.events, &recorded.event);
        recorded.event = list.events[0];
        render_cloudevent(&second, &recorded);
        CHECK(cairn_str_equal(buf_str(&first), buf_str(&second)));
        CHECK(strstr(first.data, events[i][1]) != NULL);
        buf_free(&first);
        buf_free(&second);
    }
}

/* ---- out ------------------------------------------------------------------------------------------------------- */

/* Goal: an event out has its data's exact bytes, or base64 for what is not JSON; on one line for NDJSON.
 * Method: compare the whole text. */
TEST(events_out)
{
    const cairn_str tags[] = {CAIRN_STR("a\"b")};
    cairn_recorded recorded = {
        .position = 12, .revision = 3, .time_us = 1600000000123456, .stream = CAIRN_STR("s-1"),
        .event = {.id = {{1}}, .type = CAIRN_STR("T"), .data = CAIRN_STR("{\n \"a\": 1}"), .tags = tags, .tag_count = 1,
                  .meta = CAIRN_STR("{\"correlation\":\"c\"}"), .correlation = CAIRN_STR("c"), .schema_id = 4}};
    struct buf to = {0};
    render_event(&to, &recorded);
    check_text(buf_str(&to), "{\"position\":12,\"stream\":\"s-1\",\"revision\":3,\"time\":\"2020-09-13T12:26:40.123456Z\","
                             "\"id\":\"01000000-0000-0000-0000-000000000000\",\"type\":\"T\",\"data\":{\n \"a\": 1},"
                             "\"meta\":{\"correlation\":\"c\"},\"tags\":[\"a\\\"b\"],\"schema_id\":4}");
    buf_clear(&to);
    render_event_line(&to, &recorded);
    CHECK(memchr(to.data, '\n', to.size) == NULL);
    CHECK(strstr(to.data, "{\"a\":1}") != NULL);
    buf_clear(&to);
    recorded.event = (cairn_event){.type = CAIRN_STR("T"), .data = CAIRN_STR("\x01"), .correlation = CAIRN_STR("k"),
                                   .content_type = CAIRN_STR("text/plain")};
    render_event(&to, &recorded);
    check_text(buf_str(&to), "{\"position\":12,\"stream\":\"s-1\",\"revision\":3,\"time\":\"2020-09-13T12:26:40.123456Z\","
                             "\"id\":\"00000000-0000-0000-0000-000000000000\",\"type\":\"T\",\"data_base64\":\"AQ==\","
                             "\"content_type\":\"text/plain\",\"correlation\":\"k\"}");
    buf_free(&to);
}

/* ---- control objects -------------------------------------------------------------------------------------------- */

/* Goal: an append over streams with conditions arrives whole; what is absent has its default.
 * Method: two writes, two conditions. */
TEST(append_request)
{
    cairn_append_request r;
    struct parse parse = begin();
    CHECK_OK(parse_append(&parse,
                          CAIRN_STR("{\"writes\":[{\"stream\":\"a\",\"expected\":\"none\",\"events\":[{\"type\":\"A\"},"
                                    "{\"type\":\"B\"}]},{\"stream\":\"b\",\"events\":{\"type\":\"C\"}},{\"stream\":\"c\","
                                    "\"expected\":0,\"events\":{\"type\":\"C\"}}],\"conditions\":[{\"query\":"
                                    "[{\"types\":[\"A\"],\"tags\":[\"x\",\"y\"]},{}],\"after\":17},{\"query\":[]}]}"),
                          &r));
    CHECK_INT(r.write_count, 3);
    CHECK_INT(r.writes[0].expected, CAIRN_NONE);
    CHECK_INT(r.writes[0].event_count, 2);
    CHECK_INT(r.writes[1].expected, CAIRN_ANY);
    CHECK_INT(r.writes[2].expected, 0);
    CHECK_INT(r.condition_count, 2);
    CHECK_INT(r.conditions[0].after, 17);
    CHECK_INT(r.conditions[0].query.item_count, 2);
    check_text(r.conditions[0].query.items[0].tags[1], "y");
    CHECK_INT(r.conditions[1].after, -1);
    CHECK_INT(r.conditions[1].query.item_count, 0);
}

/* Goal: control objects refuse what they do not know, naming the field.
 * Method: tables for the append, retention, group and positions. */
TEST(control_refusals)
{
    static const struct {
        char kind;
        const char *body, *says;
    } cases[] = {
        {'a', "{}", "writes: is missing"},
        {'a', "{\"writes\":[]}", "writes: holds no write"},
        {'a', "{\"writes\":[{\"stream\":\"a\"}]}", "writes[0].events: is missing"},
        {'a', "{\"writes\":[{\"events\":{\"type\":\"A\"}}]}", "writes[0].stream: is missing"},
        {'a', "{\"writes\":[{\"stream\":\"a\",\"expected\":-1,\"events\":{\"type\":\"A\"}}]}", "writes[0].expected: must be"},
        {'a', "{\"writes\":[{\"stream\":\"a\",\"expects\":1,\"events\":{\"type\":\"A\"}}]}", "member \"expects\" is not known here; known are stream, expected, events"},
        {'a', "{\"writes\":[{\"stream\":\"a\",\"events\":[{\"type\":\"A\"},{\"type\":3}]}]}", "writes[0].events[1].type: must be a string"},
        {'a', "{\"writes\":[{\"stream\":\"a\",\"events\":{\"type\":\"A\"}}],\"conditions\":[{}]}", "conditions[0].query: is missing"},
        {'a', "{\"writes\":[{\"stream\":\"a\",\"events\":{\"type\":\"A\"}}],\"conditions\":[{\"query\":[{\"type\":[]}]}]}", "conditions[0].query[0]: member \"type\""},
        {'a', "{\"writes\":[{\"stream\":\"a\",\"events\":{\"type\":\"A\"}}],\"conditions\":[{\"query\":[],\"after\":-2}]}", "conditions[0].after: must be"},
        {'r', "{\"max_age\":\"soon\"}", "max_age: must be a duration"},
        {'r', "{\"maxcount\":1}", "member \"maxcount\""},
        {'r', "{\"max_count\":-1}", "max_count: must be a whole number"},
        {'g', "{\"from\":\"now\"}", "from: must be a position"},
        {'g', "{\"query\":5}", "query: must be an array"},
        {'p', "{}", "positions: is missing"},
        {'p', "{\"positions\":[]}", "positions: is empty"},
        {'p', "{\"positions\":[1,\"2\"]}", "positions[1]: must be a position"},
        {'p', "{\"positions\":[1],\"park\":true}", "member \"park\" is not known here; known are positions"},
        {'n', "{\"positions\":[1],\"park\":1}", "park: must be true or false"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parse parse = begin();
        cairn_str body = cairn_cstr(cases[i].body);
        cairn_append_request request;
        cairn_retention retention;
        cairn_group_config group = {0};
        struct positions positions;
        cairn_err err = cases[i].kind == 'a'   ? parse_append(&parse, body, &request)
                        : cases[i].kind == 'r' ? parse_retention(&parse, body, &retention)
                        : cases[i].kind == 'g' ? parse_group(&parse, body, &group)
                                               : parse_positions(&parse, body, cases[i].kind == 'n', &positions);
        if (err != CAIRN_E_INVALID || !strstr(error.detail, cases[i].says))
            fail_msg("%s: %s '%s', not '%s'", cases[i].body, cairn_err_name(err), error.detail, cases[i].says);
    }
}

/* Goal: retention, groups and positions that are good are read.
 * Method: one of each; a group keeps what is left out. */
TEST(control_objects)
{
    cairn_retention retention;
    struct parse parse = begin();
    CHECK_OK(parse_retention(&parse, CAIRN_STR("{\"max_count\":5,\"max_age\":\"2h\",\"truncate_before\":null}"), &retention));
    CHECK_INT(retention.max_count, 5);
    CHECK_INT(retention.max_age_us, UINT64_C(7200000000));
    CHECK_INT(retention.truncate_before, 0);
    cairn_group_config group = {.retry_max = 3, .stream = CAIRN_STR("s")};
    parse = begin();
    CHECK_OK(parse_group(&parse, CAIRN_STR("{\"from\":\"end\",\"ack_timeout_ms\":50}"), &group));
    CHECK(group.from == CAIRN_FROM_END);
    CHECK_INT(group.retry_max, 3);
    CHECK_INT(group.ack_timeout_ms, 50);
    check_text(group.stream, "s");
    struct positions positions;
    parse = begin();
    CHECK_OK(parse_positions(&parse, CAIRN_STR("{\"positions\":[4,9],\"park\":true,\"reason\":\"bad\"}"), true, &positions));
    CHECK_INT(positions.count, 2);
    CHECK_INT(positions.positions[1], 9);
    CHECK(positions.park);
    check_text(positions.reason, "bad");
}

/* ---- the query string ----------------------------------------------------------------------------------------------- */

static cairn_err
parse_query(const char *query, uint64_t taken, struct api_args *args)
{
    error = (cairn_error){0};
    arena_reset(&arena);
    return api_args_parse(cairn_cstr(query), taken, &arena, args, &error);
}

/* Goal: parameters are decoded and read by kind; lists repeat; defaults hold.
 * Method: one query string with every kind. */
TEST(parameters)
{
    struct api_args args;
    CHECK_OK(parse_query("from=end&direction=backward&limit=7&type=a&type=b%20c&tag=x+y&system=true&"
                         "as_of=2026-01-01T00:00:00Z&expected=exists",
                         ARG(FROM_POSITION) | ARG(DIRECTION) | ARG(LIMIT) | ARG(TYPE) | ARG(TAG) | ARG(SYSTEM) |
                             ARG(AS_OF) | ARG(EXPECTED) | ARG(WAIT),
                         &args));
    CHECK(args.value[ARG_FROM_POSITION].number == CAIRN_FROM_END);
    CHECK_INT(args.value[ARG_DIRECTION].number, CAIRN_BACKWARD);
    CHECK_INT(args.value[ARG_LIMIT].number, 7);
    CHECK_INT(args.types.count, 2);
    check_text(args.types.items[1], "b c");
    check_text(args.tags.items[0], "x y");
    CHECK(args.value[ARG_SYSTEM].number);
    CHECK(args.value[ARG_AS_OF].is_time);
    CHECK_INT(args.value[ARG_EXPECTED].number, CAIRN_EXISTS);
    CHECK(!args.value[ARG_WAIT].given);
    CHECK_OK(parse_query("", ARG(EXPECTED) | ARG(LIMIT), &args));
    CHECK_INT(args.value[ARG_EXPECTED].number, CAIRN_ANY);
    CHECK_INT(args.value[ARG_LIMIT].number, API_LIMIT_DEFAULT);
}

/* Goal: a typo, a double, a bad value are refused by name.
 * Method: a table. */
TEST(parameter_refusals)
{
    static const struct {
        const char *query, *says;
    } cases[] = {
        {"fro=1", "parameter 'fro' is not known here; known are from, limit"},
        {"limit=1&limit=2", "parameter 'limit' is given twice"},
        {"limit=0", "parameter 'limit': '0' is not a whole number from 1 to 10000"},
        {"limit=10001", "'10001' is not"},
        {"limit=", "parameter 'limit': ''"},
        {"limit=1e2", "'1e2'"},
        {"from=-1", "'-1' is not a whole number, start or end"},
        {"from=9223372036854775807", "is not a whole number, start or end"},
        {"limit=%zz", "bad percent-escape"},
        {"%", "bad percent-escape"},
        {"category=x", "'category' is not known"},
    };
    struct api_args args;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cairn_err err = parse_query(cases[i].query, ARG(FROM_REVISION) | ARG(LIMIT), &args);
        if (err != CAIRN_E_INVALID || !strstr(error.detail, cases[i].says))
            fail_msg("%s: %s '%s'", cases[i].query, cairn_err_name(err), error.detail);
    }
    CHECK_INT(parse_query("", ARG(REVISION), &args), CAIRN_E_INVALID);
    check_refused(CAIRN_E_INVALID, CAIRN_E_INVALID, "parameter 'revision' is missing");
    CHECK_INT(parse_query("x=1", 0, &args), CAIRN_E_INVALID);
    check_refused(CAIRN_E_INVALID, CAIRN_E_INVALID, "this path takes none");
}

/* ---- paths and Accept ---------------------------------------------------------------------------------------------------- */

/* Goal: paths find their routes, parts are decoded, a wrong method says which are right.
 * Method: a few of each kind. */
TEST(routes)
{
    struct api_match match;
    arena_reset(&arena);
    api_route_find(CAIRN_STR("POST"), CAIRN_STR("/v1/streams/a%2Fb/events"), &arena, &match);
    CHECK(match.route != NULL);
    CHECK_STR(match.route->id, "appendToStream");
    check_text(match.parts[0], "a/b");
    api_route_find(CAIRN_STR("HEAD"), CAIRN_STR("/v1/streams/events/events"), &arena, &match);
    CHECK_STR(match.route->id, "readStream");
    check_text(match.parts[0], "events");
    api_route_find(CAIRN_STR("POST"), CAIRN_STR("/v1/subscriptions/g/parked/replay"), &arena, &match);
    CHECK_STR(match.route->id, "replayParked");
    api_route_find(CAIRN_STR("GET"), CAIRN_STR("/"), &arena, &match);
    CHECK_STR(match.route->id, "index");
    api_route_find(CAIRN_STR("PATCH"), CAIRN_STR("/v1/streams/x"), &arena, &match);
    CHECK(match.route == NULL);
    CHECK_STR(match.allow, "GET, HEAD, DELETE");
    static const char *const unknown[] = {"/v1", "/v1/streams/", "/v1/streams//events", "/v1/streams/a/events/", "x", "",
                                          "/v1/streams/a/b"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        api_route_find(CAIRN_STR("GET"), cairn_cstr(unknown[i]), &arena, &match);
        if (match.route || match.allow[0])
            fail_msg("%s found something", unknown[i]);
    }
    api_route_find(CAIRN_STR("GET"), CAIRN_STR("/v1/streams/%G0/events"), &arena, &match);
    CHECK(match.bad_escape);
}

/* Goal: Accept chooses by quality, an exact type beats a wildcard, nothing acceptable is said.
 * Method: a table. */
TEST(accept)
{
    static const enum api_form offered[] = {FORM_JSON, FORM_NDJSON, FORM_CLOUDEVENTS, FORM_SSE};
    static const struct {
        const char *accept;
        enum api_form form;
    } cases[] = {
        {"", FORM_JSON},
        {"*/*", FORM_JSON},
        {"text/event-stream", FORM_SSE},
        {"text/*", FORM_SSE},
        {"application/x-ndjson, application/json;q=0.5", FORM_NDJSON},
        {"application/json;q=0.2,application/cloudevents-batch+json;q=0.9", FORM_CLOUDEVENTS},
        {"application/json;q=0, */*;q=0.1", FORM_NDJSON},
        {"text/html,application/xhtml+xml,*/*;q=0.8", FORM_JSON},
        {"image/png", FORM_NONE},
        {",;q=,", FORM_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (api_negotiate(cairn_cstr(cases[i].accept), offered, 4) != cases[i].form)
            fail_msg("'%s' gave %d", cases[i].accept, (int)api_negotiate(cairn_cstr(cases[i].accept), offered, 4));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(one_event_with_everything), RUN(arrays_lines_and_bytes), RUN(refusals_name_the_field),
        RUN(limits_and_malformed),      RUN(content_types),          RUN(cloudevent_structured),
        RUN(cloudevent_binary),         RUN(cloudevent_refusals),    RUN(cloudevent_round_trip), RUN(cloudevent_moves),
        RUN(events_out),                RUN(append_request),         RUN(control_refusals),
        RUN(control_objects),           RUN(parameters),             RUN(parameter_refusals),
        RUN(routes),                    RUN(accept),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}

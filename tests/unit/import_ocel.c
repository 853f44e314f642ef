/* cli/ocel.c: object-centric logs, both versions of the format. */
#include <test.h>

#include "../../cli/ocel.h"

static cairn_err
write_event(void *context, const struct ocel_event *event, cairn_error *error __attribute__((unused)))
{
    struct buf *to = context;
    struct json checked;
    CHECK_OK(json_check(event->data, &checked, NULL));
    buf_put_str(to, event->type);
    buf_put_char(to, '@');
    buf_put_str(to, event->time);
    for (size_t i = 0; i < event->object_count; i++)
        buf_printf(to, " %.*s:%.*s", (int)event->objects[i].type.size, event->objects[i].type.data,
                   (int)event->objects[i].id.size, event->objects[i].id.data);
    buf_put_char(to, ' ');
    buf_put_str(to, event->data);
    buf_put_char(to, '\n');
    return CAIRN_OK;
}

static cairn_err
write_object(void *context, const struct ocel_object *object, cairn_error *error __attribute__((unused)))
{
    buf_printf(context, "object %.*s:%.*s\n", (int)object->type.size, object->type.data, (int)object->id.size,
               object->id.data);
    return CAIRN_OK;
}

static cairn_err
read_text(const char *text, struct buf *to)
{
    struct ocel_visits visits = {write_event, write_object, to};
    cairn_error error = {0};
    cairn_err err = ocel_read(cairn_cstr(text), &visits, &error);
    if (err != CAIRN_OK)
        buf_put(to, error.detail, strlen(error.detail));
    buf_put_char(to, '\0');
    return err;
}

/* Goal: OCEL 1.0. Method: a log of two events that names one object before and one never. */
TEST(reads_version_1)
{
    struct buf got = {0};
    CHECK_INT(read_text("{\"ocel:events\":{\"e\\u00e9\":{\"ocel:activity\":\"place\",\"ocel:timestamp\":\"2019-05-20T12:26:57\","
                        "\"ocel:omap\":[\"o1\",\"ghost\"],\"ocel:vmap\":{\"price\": 1.50}},"
                        "\"e2\":{\"ocel:activity\":\"ship\",\"ocel:timestamp\":\"t\",\"ocel:omap\":[],\"ocel:vmap\":{}}},"
                        "\"ocel:objects\":{\"o1\":{\"ocel:type\":\"order\",\"ocel:ovmap\":{}}}}", &got),
              CAIRN_OK);
    CHECK_STR(got.data, "object order:o1\n"
                        "place@2019-05-20T12:26:57 order:o1 :ghost {\"id\":\"e\303\251\",\"attributes\":{\"price\":1.50},"
                        "\"objects\":[{\"id\":\"o1\",\"type\":\"order\"},{\"id\":\"ghost\"}]}\n"
                        "ship@t {\"id\":\"e2\",\"attributes\":{},\"objects\":[]}\n");
    buf_free(&got);
}

/* Goal: OCEL 2.0. Method: attributes as a list, a qualified relationship, an object named twice (the first counts). */
TEST(reads_version_2)
{
    struct buf got = {0};
    CHECK_INT(read_text("{\"objectTypes\":[],\"eventTypes\":[],\"objects\":[{\"id\":\"R1\",\"type\":\"Invoice\"},"
                        "{\"id\":\"R1\",\"type\":\"Other\"}],\"events\":[{\"id\":\"e1\",\"type\":\"Pay\",\"time\":\"T\","
                        "\"attributes\":[{\"name\":\"by\",\"value\":\"Mike\"},{\"bad\":1}],"
                        "\"relationships\":[{\"objectId\":\"R1\",\"qualifier\":\"for\"}]},{\"id\":\"e2\",\"type\":\"X\"}]}", &got),
              CAIRN_OK);
    CHECK_STR(got.data, "object Invoice:R1\n"
                        "Pay@T Invoice:R1 {\"id\":\"e1\",\"attributes\":{\"by\":\"Mike\"},\"objects\":[{\"id\":\"R1\","
                        "\"type\":\"Invoice\",\"qualifier\":\"for\"}]}\nX@ {\"id\":\"e2\",\"attributes\":{},\"objects\":[]}\n");
    buf_free(&got);
}

/* Goal: anything else is refused and says why. Method: a table. */
TEST(refuses_what_is_no_log)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "at byte 0"},
        {"[]", "neither OCEL"},
        {"{}", "neither OCEL"},
        {"{\"events\":{},\"objects\":[]}", "neither OCEL"},
        {"{\"ocel:events\":[],\"ocel:objects\":{}}", "neither OCEL"},
        {"{\"events\":[{\"type\":\"x\"}],\"objects\":[]}", "lacks its id"},
        {"{\"events\":[{\"id\":\"a\"}],\"objects\":[]}", "event \"a\" lacks its type"},
        {"{\"events\":[],\"objects\":[{\"id\":\"a\"}]}", "object 0 lacks"},
        {"{\"events\":[],\"objects\":[1,2]}", "object 0 lacks"},
        {"{\"events\":[{\"id\":\"a\",\"type\":\"t\",\"relationships\":[{}]}],\"objects\":[]}", "without an id"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf got = {0};
        CHECK_INT(read_text(cases[i].text, &got), CAIRN_E_INVALID);
        if (!strstr(got.data, cases[i].says))
            fail_msg("case %zu says: %s", i, got.data);
        buf_free(&got);
    }
}

/* Goal: object ids and types are exact, however many. Method: 5,000 objects, and an event about every 7th. */
TEST(finds_every_object)
{
    struct buf text = {0}, got = {0};
    buf_put_str(&text, CAIRN_STR("{\"ocel:objects\":{"));
    for (int i = 0; i < 5000; i++)
        buf_printf(&text, "%s\"o%d\":{\"ocel:type\":\"t%d\"}", i ? "," : "", i, i % 13);
    buf_put_str(&text, CAIRN_STR("},\"ocel:events\":{\"e\":{\"ocel:activity\":\"a\",\"ocel:omap\":["));
    for (int i = 0; i < 5000; i += 7)
        buf_printf(&text, "%s\"o%d\"", i ? "," : "", i);
    buf_put_str(&text, CAIRN_STR("]}}}"));
    buf_put_char(&text, '\0');
    CHECK_INT(read_text(text.data, &got), CAIRN_OK);
    const char *event = strstr(got.data, "\na@") + 1;
    for (int i = 0; i < 5000; i += 7) {
        char want[32];
        snprintf(want, sizeof want, " t%d:o%d ", i % 13, i);
        assert_non_null(strstr(event, want));
    }
    buf_free(&text);
    buf_free(&got);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(reads_version_1), RUN(reads_version_2), RUN(refuses_what_is_no_log),
                                       RUN(finds_every_object)};
    return cmocka_run_group_tests_name("import_ocel", tests, NULL, NULL);
}

/* Goal: a template takes members and JSON pointers, and only values that make a name.
 * Method: a table of templates and data with what comes of them. */
#include "test.h"

#include <app/manifest.h>

static const struct {
    const char *template, *data, *filled; /* NULL: CAIRN_E_INVALID */
    const char *detail;
} cases[] = {
    {"order-{order_id}", "{\"order_id\":\"o1\"}", "order-o1", NULL},
    {"{a}{b}", "{\"a\":\"x\",\"b\":\"y\"}", "xy", NULL},
    {"plain", "{}", "plain", NULL},
    {"", "{}", "", NULL},
    {"n-{n}", "{\"n\":42}", "n-42", NULL},
    {"n-{n}", "{\"n\":-7}", "n--7", NULL},
    {"n-{n}", "{\"n\":1e3}", "n-1000", NULL},
    {"n-{n}", "{\"n\":1.5}", NULL, "n must be text or a whole number"},
    {"n-{n}", "{\"n\":1e300}", NULL, "n must be"},
    {"n-{n}", "{\"n\":true}", NULL, "n must be"},
    {"n-{n}", "{\"n\":null}", NULL, "n is needed here"},
    {"n-{n}", "{\"n\":{}}", NULL, "n must be"},
    {"n-{n}", "{\"n\":\"\"}", NULL, "n must not be empty"},
    {"n-{n}", "{\"n\":\"a\\nb\"}", NULL, "n holds a control character"},
    {"n-{n}", "{\"n\":\"\\u0000\"}", NULL, "control character"},
    {"n-{n}", "{\"n\":\"\\ud800\"}", NULL, "n is not text"},
    {"n-{n}", "{}", NULL, "n is needed here"},
    {"n-{n}", "[]", NULL, "n is needed here"},
    {"c:{/customer/id}", "{\"customer\":{\"id\":\"ann\"}}", "c:ann", NULL},
    {"c:{/a~1b/~0}", "{\"a/b\":{\"~\":\"x\"}}", "c:x", NULL},
    {"c:{/a/b}", "{\"a\":\"x\"}", NULL, "/a/b is needed"},
    {"c:{/a~2}", "{\"a\":\"x\"}", NULL, "/a~2 is needed"},
    {"{caf\xc3\xa9}", "{\"caf\\u00e9\":\"x\"}", "x", NULL}, /* the name is escaped in the data */
    {"{n}-\xc3\xa9", "{\"n\":\"\\u00fc\"}", "\xc3\xbc-\xc3\xa9", NULL},
    {"order-{order_id", "{}", NULL, "braces"},
    {"order-}", "{}", NULL, "braces"},
    {"order-{}", "{}", NULL, "braces"},
    {"order-{{a}}", "{\"a\":\"x\"}", NULL, "braces"},
    {"{a}}", "{\"a\":\"x\"}", NULL, "braces"},
};

TEST(templates_are_filled_in)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf to = {0};
        struct json data;
        cairn_error error = {0};
        CHECK_OK(json_check(cairn_cstr(cases[i].data), &data, &error));
        cairn_err err = app_template_fill(cairn_cstr(cases[i].template), data, &to, &error);
        bool fine = cases[i].filled ? err == CAIRN_OK && cairn_str_equal(buf_str(&to), cairn_cstr(cases[i].filled))
                                    : err == CAIRN_E_INVALID && strstr(error.detail, cases[i].detail);
        if (!fine)
            fail_msg("%s with %s: %s, \"%.*s\", %s", cases[i].template, cases[i].data, cairn_err_name(err), (int)to.size, to.data ? to.data : "",
                     error.detail);
        buf_free(&to);
    }
}

TEST(members_are_told_in_turn)
{
    cairn_str text = CAIRN_STR("a-{b}-{/c/d}"), member;
    size_t at = 0;
    CHECK(app_template_member(text, &at, &member));
    CHECK(cairn_str_equal(member, CAIRN_STR("b")));
    CHECK(app_template_member(text, &at, &member));
    CHECK(cairn_str_equal(member, CAIRN_STR("/c/d")));
    CHECK(!app_template_member(text, &at, &member));
    CHECK(at != SIZE_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(templates_are_filled_in), RUN(members_are_told_in_turn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

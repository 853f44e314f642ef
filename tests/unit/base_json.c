/* base/json.h: checking, walking, values, writing. The whole grammar is json_suite's business. */
#include "test.h"

#include "json_tour.h"
#include <errno.h>
#include <float.h>
#include <math.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct json
checked(const char *text)
{
    struct json value;
    cairn_error error;
    if (json_check(cairn_cstr(text), &value, &error) != CAIRN_OK)
        fail_msg("%s: %s", text, error.detail);
    return value;
}

/* ---- checking */

/* Goal: the value is its exact text without the space around it, with the right type.
 * Method: one of each type. */
TEST(check_gives_type_and_slice)
{
    const struct {
        const char *text, *raw;
        enum json_type type;
    } cases[] = {
        {" null\n", "null", JSON_NULL},     {"true", "true", JSON_TRUE},  {"\tfalse ", "false", JSON_FALSE},
        {" -1.5e+3 ", "-1.5e+3", JSON_NUMBER}, {"\"a b\"", "\"a b\"", JSON_STRING},
        {"\r\n[ ] ", "[ ]", JSON_ARRAY},    {" { } ", "{ }", JSON_OBJECT},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json value = checked(cases[i].text);
        CHECK_INT(value.type, cases[i].type);
        CHECK(cairn_str_equal(value.raw, cairn_cstr(cases[i].raw)));
        struct json trusted = json_trusted(cairn_cstr(cases[i].text));
        CHECK(trusted.type == value.type && trusted.raw.data == value.raw.data &&
              trusted.raw.size == value.raw.size);
    }
    CHECK_INT(json_trusted((cairn_str){NULL, 0}).type, JSON_NONE);
    CHECK_INT(json_trusted(CAIRN_STR("  ")).type, JSON_NONE);
    CHECK_OK(json_check(CAIRN_STR("[1]"), NULL, NULL)); /* only to know whether it is well-formed */
}

/* Goal: a complaint says what was wrong and at which byte. Method: one text for each complaint. */
TEST(check_says_what_and_where)
{
    const struct {
        const char *text, *detail;
    } cases[] = {
        {"", "at byte 0: expected a value, but the text ends"},
        {"  ", "at byte 2: expected a value, but the text ends"},
        {"{\"a\" 1}", "at byte 5: expected ':'"},
        {"{\"a\":}", "at byte 5: expected a value"},
        {"{\"a\":1,}", "at byte 7: expected a name in double quotes"},
        {"{a:1}", "at byte 1: expected a name in double quotes"},
        {"{\"a\":1 \"b\":2}", "at byte 7: expected ',' or '}'"},
        {"[1 2]", "at byte 3: expected ',' or ']'"},
        {"[1,]", "at byte 3: expected a value"},
        {"[1", "at byte 2: expected ',' or ']', but the text ends"},
        {"[1}", "at byte 2: expected ',' or ']'"},
        {"01", "at byte 0: a number must not begin with 0"},
        {"-", "at byte 1: expected a digit, but the text ends"},
        {"1.e3", "at byte 2: expected a digit after the decimal point"},
        {"1e", "at byte 2: expected a digit in the exponent, but the text ends"},
        {"nul", "at byte 0: expected a value"},
        {"NaN", "at byte 0: expected a value"},
        {"1 2", "at byte 2: expected nothing after the value"},
        {"\"ab", "at byte 3: the string does not end"},
        {"\"a\nb\"", "at byte 2: a control character in a string must be escaped"},
        {"\"a\\xb\"", "at byte 3: no such escape"},
        {"\"\\u12g4\"", "at byte 5: expected four hexadecimal digits after \\u"},
        {"\"\xc3(\"", "at byte 1: malformed UTF-8"},
        {"\xef\xbb\xbf{}", "at byte 0: expected a value"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cairn_error error;
        struct json value = {.type = JSON_TRUE};
        CHECK_INT(json_check(cairn_cstr(cases[i].text), &value, &error), CAIRN_E_INVALID);
        CHECK_INT(value.type, JSON_TRUE); /* untouched */
        if (strcmp(error.detail, cases[i].detail) != 0)
            fail_msg("%s: %s", cases[i].text, error.detail);
        CHECK(json_check(cairn_cstr(cases[i].text), &value, NULL) == CAIRN_E_INVALID);
    }
}

/* Goal: the depth is bounded exactly. Method: the limit and one more, arrays and objects in turn. */
TEST(check_bounds_depth)
{
    struct buf text = {0};
    for (int extra = 0; extra <= 1; extra++) {
        buf_clear(&text);
        for (int i = 0; i < JSON_DEPTH_MAX + extra; i++)
            buf_put_str(&text, i % 2 ? CAIRN_STR("{\"a\":") : CAIRN_STR("["));
        size_t open = text.size;
        buf_put_char(&text, '1');
        for (int i = JSON_DEPTH_MAX + extra; i-- > 0;)
            buf_put_char(&text, i % 2 ? '}' : ']');
        struct json value;
        cairn_error error;
        cairn_err err = json_check(buf_str(&text), &value, &error);
        CHECK_INT(err, extra ? CAIRN_E_LIMIT : CAIRN_OK);
        if (extra) {
            char expected[120];
            snprintf(expected, sizeof expected,
                     "at byte %zu: arrays and objects are nested too deep; the limit is 128 levels", open - 1);
            CHECK_STR(error.detail, expected);
        } else {
            struct tour tour = {.values = 0};
            tour_checked(&tour, buf_str(&text), value);
            CHECK_INT(tour.values, JSON_DEPTH_MAX + 1);
            arena_free(&tour.arena);
        }
    }
    buf_free(&text);
}

static const char event[] =
    "{ \"id\" : \"0192f3a8\", \"n\": [1, -2.50, 3e2, [], {}, [[\"]\"]]],\n  \"t\\u0065xt\": \"Gr\\u00f6\\u00DFe "
    "\\\"42\\\" \\ud83d\\ude00 \xe2\x82\xac\", \"deep\":{\"a\":{\"b\":{\"c\":[null,true,false]}}}, \"e\":\"\" }";

/* Goal: a text is accepted, no proper prefix of it is, and none is read past its end.
 * Method: an object with everything in it; every prefix, in memory of exactly its size. */
TEST(every_prefix_is_refused)
{
    struct tour whole = {.values = 0};
    tour_checked(&whole, cairn_cstr(event), checked(event));
    CHECK_INT(whole.values, 20);
    arena_free(&whole.arena);
    for (size_t size = 0; size < sizeof event - 1; size++) {
        char *exact = malloc(size ? size : 1);
        memcpy(exact, event, size);
        struct tour tour = {.values = 0};
        CHECK(json_check((cairn_str){exact, size}, NULL, NULL) == CAIRN_E_INVALID);
        tour_unchecked(&tour, json_trusted((cairn_str){exact, size}), 0);
        arena_free(&tour.arena);
        free(exact);
    }
}

/* Goal: whatever byte is damaged, the check answers and the walk stays inside.
 * Method: each byte replaced by each value; what is still accepted makes the tour. */
TEST(every_damaged_byte_is_survived)
{
    size_t size = sizeof event - 1;
    char *exact = malloc(size);
    memcpy(exact, event, size);
    for (size_t at = 0; at < size; at++) {
        for (int byte = 0; byte < 256; byte++) {
            struct tour tour = {.values = 0};
            struct json value;
            exact[at] = (char)byte;
            if (json_check((cairn_str){exact, size}, &value, NULL) == CAIRN_OK)
                tour_checked(&tour, (cairn_str){exact, size}, value);
            else
                tour_unchecked(&tour, json_trusted((cairn_str){exact, size}), 0);
            arena_free(&tour.arena);
        }
        exact[at] = event[at];
    }
    free(exact);
}

/* Goal: no control character gets into a string unescaped, in either direction.
 * Method: each of them at each place of a string of many sizes (the fast way goes by 16). */
TEST(control_characters_are_escaped)
{
    struct buf written = {0};
    struct arena arena = {0};
    for (int c = 0; c < 0x20; c++)
        for (size_t size = 1; size < 40; size++)
            for (size_t at = 0; at < size; at++) {
                char text[64];
                memset(text, 'a', sizeof text);
                text[0] = text[size + 1] = '"';
                text[at + 1] = (char)c;
                cairn_error error;
                char expected[100];
                CHECK_INT(json_check((cairn_str){text, size + 2}, NULL, &error), CAIRN_E_INVALID);
                snprintf(expected, sizeof expected,
                         "at byte %zu: a control character in a string must be escaped", at + 1);
                CHECK_STR(error.detail, expected);
                buf_clear(&written);
                arena_reset(&arena);
                struct json value;
                json_put_string(&written, (cairn_str){text + 1, size});
                CHECK_OK(json_check(buf_str(&written), &value, NULL));
                CHECK(cairn_str_equal(json_string(value, &arena), (cairn_str){text + 1, size}));
            }
    buf_free(&written);
    arena_free(&arena);
}

/* ---- walking */

/* Goal: members and items come in order, with names; json_get finds them, the first of two.
 * Method: an object with duplicates, escaped names, nested values and odd white space. */
TEST(walk_gives_members_in_order)
{
    struct json value = checked(" {\"a\":1 ,\"b\" : [ 2,{\"a\":3} ],\"a\":4,\"c\\u0064\" :\"x\" ,\"\":5} ");
    const char *names[] = {"\"a\"", "\"b\"", "\"a\"", "\"c\\u0064\"", "\"\""};
    const char *items[] = {"1", "[ 2,{\"a\":3} ]", "4", "\"x\"", "5"};
    struct json_walk walk = json_walk(value);
    struct json name, item;
    for (size_t i = 0; i < COUNT(names); i++) {
        CHECK(json_next(&walk, &name, &item));
        CHECK(cairn_str_equal(name.raw, cairn_cstr(names[i])));
        CHECK(cairn_str_equal(item.raw, cairn_cstr(items[i])));
    }
    CHECK(!json_next(&walk, &name, &item) && !json_next(&walk, &name, &item));
    CHECK_INT(json_count(value), 5);
    CHECK(cairn_str_equal(json_get(value, "a").raw, CAIRN_STR("1")));
    CHECK(cairn_str_equal(json_get(value, "cd").raw, CAIRN_STR("\"x\"")));
    CHECK(cairn_str_equal(json_get(value, "").raw, CAIRN_STR("5")));
    CHECK_INT(json_get(value, "nope").type, JSON_NONE);
    CHECK_INT(json_get(json_get(value, "b"), "a").type, JSON_NONE); /* no object */
    CHECK_INT(json_get(json_get(value, "nope"), "a").type, JSON_NONE);
    CHECK_INT(json_count(json_get(value, "b")), 2);
    CHECK_INT(json_count(json_get(value, "a")), 0);
    walk = json_walk(json_get(value, "b"));
    CHECK(json_next(&walk, NULL, &item) && item.type == JSON_NUMBER);
    CHECK(json_next(&walk, &name, &item) && item.type == JSON_OBJECT && name.type == JSON_NONE);
    CHECK(!json_next(&walk, &name, &item));
    CHECK_INT(json_count(checked("[ ]")), 0);
    CHECK_INT(json_count(checked("{ }")), 0);
}

/* ---- strings */

/* Goal: strings are borrowed where they can be, decoded where they must, and refused when they hold
 * half a character. Method: a table. */
TEST(strings_are_decoded)
{
    const struct {
        const char *text, *expected; /* NULL: refused */
        bool borrowed;
    } cases[] = {
        {"\"\"", "", true},
        {"\"plain ä €\"", "plain ä €", true},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", false},
        {"\"\\u0041\\u00e4\\u20AC\\ud83d\\uDE00z\"", "Aä€😀z", false},
        {"\"\\ud800\\udc00\\udbff\\udfff\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", false},
        {"\"\\ud800\"", NULL, false},
        {"\"\\udc00\"", NULL, false},
        {"\"x\\ud800\\ud800\"", NULL, false},
        {"\"\\ud800\\n\"", NULL, false},
        {"\"\\ud800\\u0041\"", NULL, false},
        {"\"\\ud800abcdef\"", NULL, false},
        {"[\"a\"]", NULL, false},
        {"12", NULL, false},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json value = checked(cases[i].text);
        cairn_str text = json_string(value, &arena);
        if (!cases[i].expected) {
            assert_null(text.data);
            continue;
        }
        assert_non_null(text.data);
        CHECK(cairn_str_equal(text, cairn_cstr(cases[i].expected)));
        CHECK_INT(text.data == value.raw.data + 1, cases[i].borrowed);
        CHECK(json_string_is(value, cases[i].expected));
        CHECK(!json_string_is(value, "other"));
    }
    struct json zero = checked("\"a\\u0000b\"");
    CHECK(cairn_str_equal(json_string(zero, &arena), CAIRN_STR("a\0b")));
    CHECK(!json_string_is(zero, "a"));
    CHECK(!json_string_is(checked("\"\\udc00\""), ""));
    CHECK(!json_string_is(checked("17"), "17"));
    arena_free(&arena);
    struct arena small = {.size_max = 2}; /* out of memory: no text, not part of one */
    assert_null(json_string(checked("\"\\tlong\""), &small).data);
    arena_free(&small);
}

/* ---- numbers */

/* Goal: whole numbers in every notation, exactly up to the edges. Method: a table. */
TEST(whole_numbers)
{
    const struct {
        const char *text;
        bool is_i, is_u;
        int64_t i;
        uint64_t u;
    } cases[] = {
        {"0", true, true, 0, 0}, {"-0", true, true, 0, 0}, {"0.000", true, true, 0, 0}, {"0e999999999999", true, true, 0, 0},
        {"1.0", true, true, 1, 1}, {"1e3", true, true, 1000, 1000}, {"12.50e1", true, true, 125, 125},
        {"1200e-2", true, true, 12, 12}, {"100.00", true, true, 100, 100}, {"0.001e3", true, true, 1, 1},
        {"0.5", false, false, 0, 0}, {"1e-1", false, false, 0, 0}, {"12.5", false, false, 0, 0},
        {"9223372036854775807", true, true, INT64_MAX, INT64_MAX}, {"-9223372036854775808", true, false, INT64_MIN, 0},
        {"9223372036854775808", false, true, 0, UINT64_C(1) << 63}, {"-9223372036854775809", false, false, 0, 0},
        {"18446744073709551615", false, true, 0, UINT64_MAX}, {"18446744073709551616", false, false, 0, 0},
        {"1844674407370955161.5e1", false, true, 0, UINT64_MAX}, {"1e19", false, true, 0, UINT64_C(10000000000000000000)},
        {"1e20", false, false, 0, 0}, {"2e19", false, false, 0, 0}, {"1e99999999999999999999", false, false, 0, 0},
        {"1e-99999999999999999999", false, false, 0, 0}, {"-1", true, false, -1, 0}, {"-1e18", true, false, -1000000000000000000, 0},
        {"10000000000000000000000000000e-25", true, true, 1000, 1000},
        {"0.0000000000000000000000000000000001e34", true, true, 1, 1},
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        struct json value = checked(cases[k].text);
        int64_t i = 77;
        uint64_t u = 77;
        if (json_i64(value, &i) != cases[k].is_i || json_u64(value, &u) != cases[k].is_u)
            fail_msg("%s", cases[k].text);
        CHECK(i == (cases[k].is_i ? cases[k].i : 77));
        CHECK(u == (cases[k].is_u ? cases[k].u : 77));
    }
    int64_t i;
    CHECK(!json_i64(checked("\"1\""), &i) && !json_i64(checked("true"), &i) && !json_i64(checked("[1]"), &i));
}

static void
check_double(const char *text, double expected)
{
    double number = -77;
    if (!json_double(checked(text), &number) || memcmp(&number, &expected, sizeof number) != 0)
        fail_msg("%.60s: %.17g, not %.17g", text, number, expected);
}

/* Goal: doubles are the nearest ones, to the last bit. Method: the known hard cases. */
TEST(doubles_are_nearest)
{
    check_double("0", 0.0);
    check_double("-0.0", -0.0);
    check_double("-0e5", -0.0);
    check_double("45.05", 45.05);
    check_double("0.1", 0.1);
    check_double("1e22", 1e22);
    check_double("1e23", 1e23);
    check_double("123456789012345678", 123456789012345680.0);
    check_double("9007199254740993", 9007199254740992.0);
    check_double("9007199254740993.0000000000000000000000000000000001", 9007199254740994.0);
    check_double("2.2250738585072011e-308", 2.2250738585072011e-308);
    check_double("2.2250738585072012e-308", DBL_MIN);
    check_double("4.9e-324", 4.9e-324);
    check_double("2.4703282292062328e-324", 4.9e-324);
    check_double("2.4703282292062327e-324", 0.0);
    check_double("1e-999999999999999999999", 0.0);
    check_double("1.7976931348623157e308", DBL_MAX);
    check_double("0.000000000000000000000000000000000000000000000000000000001e57", 1.0);
    struct buf text = {0}; /* a half-way case that only the 901st digit decides, and a very long one */
    buf_put_str(&text, CAIRN_STR("9007199254740993."));
    for (int i = 0; i < 900; i++)
        buf_put_char(&text, '0');
    buf_put_str(&text, CAIRN_STR("1"));
    buf_put(&text, "", 1);
    check_double(text.data, 9007199254740994.0);
    buf_clear(&text);
    buf_put_str(&text, CAIRN_STR("0."));
    for (int i = 0; i < 5000; i++)
        buf_put_char(&text, '0');
    buf_put_str(&text, CAIRN_STR("25e5001"));
    buf_put(&text, "", 1);
    check_double(text.data, 2.5);
    buf_free(&text);
    double number = 5;
    CHECK(!json_double(checked("1e309"), &number) && !json_double(checked("-1.8e308"), &number));
    CHECK(!json_double(checked("1e999999999999999999999"), &number) && !json_double(checked("\"1\""), &number));
    CHECK(number == 5);
}

/* Goal: json_double is strtod, for any notation. Method: random digits, points and exponents. */
TEST(doubles_agree_with_strtod)
{
    uint64_t seed = test_seed();
    for (int round = 0; round < 100000; round++) {
        char text[80];
        int size = 0, digits = 1 + (int)(test_random(&seed) % 25);
        int point = (int)(test_random(&seed) % 30);
        if (test_random(&seed) % 2)
            text[size++] = '-';
        text[size++] = (char)('1' + test_random(&seed) % 9);
        for (int i = 1; i < digits; i++) {
            if (i == point)
                text[size++] = '.';
            text[size++] = (char)('0' + (test_random(&seed) % 3 ? test_random(&seed) % 10 : 0));
        }
        int range = round % 3 == 0 ? 700 : 50;
        if (test_random(&seed) % 3)
            size += sprintf(text + size, "e%d", (int)(test_random(&seed) % (unsigned)range) - range / 2);
        text[size] = '\0';
        double expected = strtod(text, NULL), number;
        if (isinf(expected))
            CHECK(!json_double(checked(text), &number));
        else
            check_double(text, expected);
    }
}

/* ---- writing */

static void
check_put_string(cairn_str text, const char *expected)
{
    struct buf to = {0};
    json_put_string(&to, text);
    if (!cairn_str_equal(buf_str(&to), cairn_cstr(expected)))
        fail_msg("%.*s, not %s", (int)to.size, to.data, expected);
    CHECK_OK(json_check(buf_str(&to), NULL, NULL));
    buf_free(&to);
}

/* Goal: strings are escaped as little as RFC 8259 asks, and bad UTF-8 never gets out.
 * Method: a table; the last ones are the example of Unicode's table 3-8 and cut characters. */
TEST(put_string_escapes)
{
    check_put_string((cairn_str){NULL, 0}, "\"\"");
    check_put_string(CAIRN_STR("order-42 / ä € 😀 \x7f"), "\"order-42 / ä € 😀 \x7f\"");
    check_put_string(CAIRN_STR("\"\\\b\f\n\r\t"), "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
    check_put_string(CAIRN_STR("\0\x01\x1f"), "\"\\u0000\\u0001\\u001f\"");
    check_put_string(CAIRN_STR("a line that is longer than sixteen bytes\nand goes on for longer still\n"),
                     "\"a line that is longer than sixteen bytes\\nand goes on for longer still\\n\"");
    check_put_string(CAIRN_STR("a\xf1\x80\x80\xe1\x80\xc2" "b\x80" "c\x80\xbf" "d"),
                     "\"a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd\"");
    check_put_string(CAIRN_STR("\xed\xa0\x80"), "\"\uFFFD\uFFFD\uFFFD\"");
    check_put_string(CAIRN_STR("abc\xe2\x82"), "\"abc\uFFFD\"");
    check_put_string(CAIRN_STR("\xf0"), "\"\uFFFD\"");
}

/* Goal: commas stand where they belong. Method: write a nested document and compare. */
TEST(commas_stand_where_they_belong)
{
    struct buf to = {0};
    json_put_comma(&to);
    buf_put_char(&to, '{');
    json_put_name(&to, "a \"b\"");
    json_put_i64(&to, INT64_MIN);
    json_put_name(&to, "list");
    buf_put_char(&to, '[');
    for (uint64_t i = 0; i < 3; i++) {
        json_put_comma(&to);
        json_put_u64(&to, i ? UINT64_MAX - i : 0);
    }
    buf_put_char(&to, ']');
    json_put_name(&to, "time");
    json_put_time(&to, 0);
    json_put_name(&to, "id");
    json_put_uuid(&to, (cairn_uuid){{1, 2}});
    buf_put_char(&to, '}');
    CHECK(cairn_str_equal(
        buf_str(&to),
        CAIRN_STR("{\"a \\\"b\\\"\":-9223372036854775808,\"list\":[0,18446744073709551614,18446744073709551613],"
                  "\"time\":\"1970-01-01T00:00:00.000000Z\",\"id\":\"01020000-0000-0000-0000-000000000000\"}")));
    buf_free(&to);
}

/* Goal: known doubles have their known shortest form. Method: a table. */
TEST(put_double_known_forms)
{
    const struct {
        double n;
        const char *text;
    } cases[] = {
        {0.0, "0"}, {-0.0, "-0"}, {1, "1"}, {-1.5, "-1.5"}, {0.1, "0.1"}, {45.05, "45.05"}, {100, "100"},
        {1e6, "1000000"}, {123456789, "123456789"}, {1e21, "1e+21"}, {1e20, "100000000000000000000"},
        {0.000001, "0.000001"}, {0.0000001, "1e-7"}, {1.5e-9, "1.5e-9"}, {0.3, "0.3"}, {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"}, {5e-324, "5e-324"}, {DBL_MIN, "2.2250738585072014e-308"},
        {DBL_MAX, "1.7976931348623157e+308"}, {9007199254740993.0, "9007199254740992"}, {123456.789012, "123456.789012"},
        {0.00001234, "0.00001234"}, {999999999.999999, "999999999.999999"}, {NAN, "null"}, {INFINITY, "null"}, {-INFINITY, "null"},
        {2.5e-5, "0.000025"}, {1234567890123.5, "1234567890123.5"}, {4.35, "4.35"}, {1e9, "1000000000"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf to = {0};
        json_put_double(&to, cases[i].n);
        if (!cairn_str_equal(buf_str(&to), cairn_cstr(cases[i].text)))
            fail_msg("%.*s, not %s", (int)to.size, to.data, cases[i].text);
        buf_free(&to);
    }
}

static int
significant_digits(cairn_str text)
{
    int count = 0, zeros = 0;
    for (size_t i = 0; i < text.size && text.data[i] != 'e'; i++) {
        char c = text.data[i];
        if (c == '0' && count)
            zeros++;
        else if (c > '0' && c <= '9') {
            count += zeros + 1;
            zeros = 0;
        }
    }
    return count;
}

/* Goal: every double reads back as itself, and no fewer digits by printf would have.
 * Method: random bit patterns, random amounts with few decimals, and neighbours of both. */
TEST(put_double_reads_back)
{
    uint64_t seed = test_seed();
    struct buf to = {0};
    for (int round = 0; round < 60000; round++) {
        uint64_t bits = test_random(&seed);
        double n;
        memcpy(&n, &bits, sizeof n);
        if (round % 2) {
            static const double places[] = {1, 10, 100, 1000, 1e4, 1e5, 1e6};
            n = (double)(bits >> (24 + bits % 40)) / places[bits % 7];
            if (round % 4 == 3)
                n = nextafter(n, round % 8 == 3 ? INFINITY : 0);
        }
        if (!isfinite(n))
            continue;
        buf_clear(&to);
        json_put_double(&to, n);
        struct json value;
        double read;
        CHECK_OK(json_check(buf_str(&to), &value, NULL));
        CHECK(json_double(value, &read));
        if (memcmp(&read, &n, sizeof n) != 0)
            fail_msg("%.17g became %.*s", n, (int)to.size, to.data);
        int digits = significant_digits(buf_str(&to));
        char shorter[40];
        snprintf(shorter, sizeof shorter, "%.*e", digits > 1 ? digits - 2 : 0, n);
        if (digits > 1 && strtod(shorter, NULL) == n)
            fail_msg("%.*s could be %s", (int)to.size, to.data, shorter);
    }
    buf_free(&to);
}

/* Goal: compacting takes away the white space between tokens, and none in strings.
 * Method: one text with both, and texts without any. */
TEST(compact_keeps_strings)
{
    struct buf to = {0};
    json_put_compact(&to, CAIRN_STR(" { \"a \\\" b\" :\t[ 1 , \"x  y\\\\\" ,\r\n null ] , \"\" : { } } \n"));
    CHECK(cairn_str_equal(buf_str(&to), CAIRN_STR("{\"a \\\" b\":[1,\"x  y\\\\\",null],\"\":{}}")));
    buf_clear(&to);
    json_put_compact(&to, CAIRN_STR("17"));
    json_put_compact(&to, (cairn_str){NULL, 0});
    CHECK(cairn_str_equal(buf_str(&to), CAIRN_STR("17")));
    buf_free(&to);
}

/* Goal: a writer without memory stops and says so. Method: write into a buffer that has failed. */
TEST(writers_respect_failure)
{
    struct buf to = {.failed = true};
    json_put_string(&to, CAIRN_STR("abc"));
    json_put_name(&to, "abc");
    json_put_u64(&to, 1);
    json_put_i64(&to, -1);
    json_put_double(&to, 1.5);
    json_put_double(&to, 1e300);
    json_put_time(&to, 1);
    json_put_uuid(&to, (cairn_uuid){{0}});
    json_put_compact(&to, CAIRN_STR("[1, 2]"));
    CHECK(to.failed && to.size == 0 && !to.data);
    buf_clear(&to);
    json_put_string(&to, (cairn_str){"x", SIZE_MAX - 4});
    CHECK(to.failed && to.size == 0);
    buf_free(&to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(check_gives_type_and_slice), RUN(check_says_what_and_where), RUN(check_bounds_depth),
        RUN(every_prefix_is_refused), RUN(every_damaged_byte_is_survived),
        RUN(control_characters_are_escaped),
        RUN(walk_gives_members_in_order), RUN(strings_are_decoded), RUN(whole_numbers),
        RUN(doubles_are_nearest), RUN(doubles_agree_with_strtod), RUN(put_string_escapes),
        RUN(commas_stand_where_they_belong), RUN(put_double_known_forms), RUN(put_double_reads_back),
        RUN(compact_keeps_strings), RUN(writers_respect_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* schema/json_schema.h beyond the suite: faults, limits, bombs, references to other texts, memory that is not taken. */
#include "test.h"

#include <base/bytes.h>
#include <schema/json_schema.h>
#include <time.h>

static struct json_schema *
compiled(const char *text)
{
    struct json_schema *schema = NULL;
    struct json_schema_options options = {.assert_formats = true};
    cairn_error error;
    if (json_schema_compile(cairn_cstr(text), &options, &schema, &error) != CAIRN_OK)
        fail_msg("%s: %s", text, error.detail);
    return schema;
}

static cairn_err
refusal(cairn_str text, cairn_error *error)
{
    struct json_schema *schema = NULL;
    *error = (cairn_error){.code = CAIRN_OK};
    cairn_err err = json_schema_compile(text, NULL, &schema, error);
    CHECK((err == CAIRN_OK) == (schema != NULL));
    json_schema_free(schema);
    return err;
}

static struct json
value(const char *text)
{
    struct json json;
    CHECK_OK(json_check(cairn_cstr(text), &json, NULL));
    return json;
}

/* Goal: each fault names the place, the keyword and what is wrong. Method: a schema and a value with one mistake each. */
TEST(faults_name_place_and_reason)
{
    static const struct {
        const char *schema, *value, *place, *keyword, *message;
    } cases[] = {
        {"{\"type\":\"integer\"}", "\"x\"", "", "type", "must be integer, is string"},
        {"{\"type\":[\"string\",\"null\"]}", "1", "", "type", "must be null or string, is number"},
        {"{\"type\":\"number\"}", "[]", "", "type", "must be number, is array"},
        {"{\"properties\":{\"a/b~\":{\"minimum\":3}}}", "{\"a/b~\":2}", "/a~1b~0", "minimum", "must be at least 3, is 2"},
        {"{\"items\":{\"exclusiveMaximum\":3}}", "[1,3]", "/1", "exclusiveMaximum", "must be below 3, is 3"},
        {"{\"multipleOf\":0.01}", "1.005", "", "multipleOf", "must be a multiple of 0.01, is 1.005"},
        {"{\"minLength\":2}", "\"\\ud83d\\ude00\"", "", "minLength", "must have at least 2 characters, has 1"},
        {"{\"pattern\":\"^a\"}", "\"b\"", "", "pattern", "must match ^a"},
        {"{\"format\":\"date\"}", "\"2026-02-29\"", "", "format", "must be a date like 2026-11-21"},
        {"{\"required\":[\"id\"]}", "{}", "", "required", "\"id\" is missing"},
        {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"b\":1}", "/b", "additionalProperties",
         "\"b\" is not allowed here"},
        {"{\"enum\":[1,\"x\"]}", "2", "", "enum", "must be one of 1, \"x\""},
        {"{\"const\":{\"a\":[1]}}", "{\"a\":[2]}", "", "const", "must be {\"a\":[1]}"},
        {"{\"uniqueItems\":true}", "[1,{\"a\":1,\"b\":2},{\"b\":2.0,\"a\":1e0}]", "", "uniqueItems", "items 1 and 2 are equal"},
        {"{\"contains\":{\"const\":1}}", "[2]", "", "contains", "must contain at least 1 items that match, contains 0"},
        {"{\"oneOf\":[{\"minimum\":1},{\"minimum\":2}]}", "3", "", "oneOf", "matches alternatives 0 and 1, must match only one"},
        {"{\"anyOf\":[{\"minimum\":4},{\"type\":\"string\"}]}", "3", "", "anyOf", "matches none of the 2 alternatives"},
        {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", "", "dependentRequired", "\"b\" is missing, which \"a\" needs"},
        {"{\"properties\":{\"a\":{}},\"unevaluatedProperties\":false}", "{\"a\":1,\"b\":2}", "/b", "unevaluatedProperties",
         "is not allowed here"},
        {"{\"properties\":{\"a\":false}}", "{\"a\":1}", "/a", "false", "is not allowed here"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_schema *schema = compiled(cases[i].schema);
        struct arena arena = {0};
        struct json_schema_fault faults[2];
        size_t count = 9;
        cairn_error error;
        CHECK_INT(json_schema_validate(schema, value(cases[i].value), &arena, faults, 2, &count, &error), CAIRN_E_INVALID);
        CHECK_INT(count, 1);
        CHECK_STR(faults[0].instance.data, cases[i].place);
        CHECK(cairn_str_equal(faults[0].keyword, cairn_cstr(cases[i].keyword)));
        CHECK_STR(faults[0].message.data, cases[i].message);
        CHECK(strstr(error.detail, cases[i].message));
        arena_free(&arena);
        json_schema_free(schema);
    }
}

/* Goal: as many faults as there is room for, and the first in the error whatever the room. */
TEST(faults_are_bounded)
{
    struct json_schema *schema = compiled("{\"items\":{\"type\":\"string\"},\"maxItems\":2}");
    struct json_schema_fault faults[8];
    for (size_t room = 0; room <= 8; room++) {
        struct arena arena = {0};
        size_t count = 99;
        cairn_error error;
        CHECK_INT(json_schema_validate(schema, value("[1,2,\"x\",4]"), &arena, faults, room, &count, &error), CAIRN_E_INVALID);
        CHECK_INT(count, room < 4 ? room : 4);
        CHECK_STR(error.detail, "at /0: must be string, is number");
        if (room >= 4)
            CHECK(cairn_str_equal(faults[3].keyword, CAIRN_STR("maxItems")));
        arena_free(&arena);
    }
    json_schema_free(schema);
}

/* Goal: what is no schema is refused, with a pointer to the place. */
TEST(wrong_schemas_are_refused)
{
    static const char *const wrong[][2] = {
        {"{\"type\":\"strnig\"}", "/type: must be null, boolean,"},
        {"{\"properties\":{\"a/b\":{\"minimum\":\"3\"}}}", "/properties/a~1b/minimum: must be a number"},
        {"{\"allOf\":[true,3]}", "/allOf/1: must be a schema"},
        {"{\"required\":true}", "/required: must be an array of names"},
        {"{\"pattern\":\"(\"}", "/pattern: missing closing parenthesis"},
        {"{\"pattern\":\"a++\"}", "/pattern: nothing to repeat"},
        {"{\"pattern\":\"(?R)\"}", "/pattern: has a group that ECMA-262 does not know"},
        {"{\"pattern\":\"\\\\Z\"}", "/pattern: has an escape that ECMA-262 does not know"},
        {"{\"$ref\":\"#/$defs/x\"}", "/$ref: #/$defs/x leads to no schema"},
        {"{\"$ref\":\"other.json\"}", "/$ref: there is no schema other.json"},
        {"{\"minLength\":-1}", "/minLength: must be a whole number, 0 or more"},
        {"{\"multipleOf\":0}", "/multipleOf: must be above 0"},
        {"{\"items\":[{}]}", "/items: must be a schema; a list of schemas is \"prefixItems\""},
        {"{\"$schema\":\"http://json-schema.org/draft-03/schema#\"}", "/$schema: http://json-schema.org/draft-03/schema# is not known"},
        {"{\"$defs\":{\"x\":{\"type\":1}}}", "/$defs/x/type: must be"},
        {"[]", ": must be a schema"},
        {"{", "at byte 1"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cairn_error error;
        CHECK_INT(refusal(cairn_cstr(wrong[i][0]), &error), CAIRN_E_INVALID);
        if (strncmp(error.detail, wrong[i][1], strlen(wrong[i][1])) != 0)
            fail_msg("%s: %s, expected %s", wrong[i][0], error.detail, wrong[i][1]);
    }
}

/* ---- bombs */

static int64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#define QUICKLY_MS 5000 /* also under the sanitizers, and beside other tests; plainly it is a few hundred */

static cairn_err
judge(cairn_str schema_text, cairn_str value_text)
{
    struct json_schema *schema = NULL;
    struct arena arena = {0};
    struct json json;
    int64_t begun = now_ms();
    cairn_err err = json_schema_compile(schema_text, NULL, &schema, NULL);
    if (err == CAIRN_OK && json_check(value_text, &json, NULL) == CAIRN_OK)
        err = json_schema_validate(schema, json, &arena, NULL, 0, NULL, NULL);
    json_schema_free(schema);
    arena_free(&arena);
    CHECK(now_ms() - begun < QUICKLY_MS);
    return err;
}

static void
repeat(struct buf *to, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++)
        buf_put_str(to, cairn_cstr(text));
}

/* Goal: references that go round without going into the value are seen when compiling. */
TEST(circles_are_refused)
{
    cairn_error error;
    CHECK_INT(refusal(CAIRN_STR("{\"$ref\":\"#\"}"), &error), CAIRN_E_INVALID);
    CHECK(strstr(error.detail, "would never end"));
    CHECK_INT(refusal(CAIRN_STR("{\"allOf\":[{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":{\"anyOf\":[{\"not\":{\"$ref\":\"#\"}}]}}}"),
                      &error), CAIRN_E_INVALID);
    CHECK_INT(refusal(CAIRN_STR("{\"if\":{\"dependentSchemas\":{\"a\":{\"$ref\":\"#\"}}}}"), &error), CAIRN_E_INVALID);
    CHECK_OK(refusal(CAIRN_STR("{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"items\":{\"$ref\":\"#\"}}"), &error));
    /* by $dynamicRef it shows only when it runs */
    CHECK_INT(judge(CAIRN_STR("{\"$dynamicAnchor\":\"a\",\"$dynamicRef\":\"#a\"}"), CAIRN_STR("1")), CAIRN_E_LIMIT);
}

/* Goal: a → [b,b], b → [c,c] … ends soon. Method: 64 levels, which would be 2^64 checks. */
TEST(fan_out_meets_a_limit)
{
    struct buf text = {0};
    buf_printf(&text, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 64; i++)
        buf_printf(&text, "\"d%d\":{\"allOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},", i, i + 1, i + 1);
    buf_printf(&text, "\"d64\":{\"type\":\"integer\"}}}");
    CHECK_INT(judge(buf_str(&text), CAIRN_STR("1")), CAIRN_E_LIMIT);
    buf_free(&text);
}

/* Goal: a chain of references as long as may be neither overflows the stack nor takes long. */
TEST(long_chains_meet_a_limit)
{
    struct buf text = {0};
    buf_printf(&text, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 9000; i++)
        buf_printf(&text, "\"d%d\":{\"$ref\":\"#/$defs/d%d\"},", i, i + 1);
    buf_printf(&text, "\"d9000\":{}}}");
    CHECK_INT(judge(buf_str(&text), CAIRN_STR("1")), CAIRN_E_LIMIT);
    buf_free(&text);
}

/* Goal: many subschemas are a limit, deep ones too. */
TEST(large_schemas_meet_a_limit)
{
    struct buf text = {0};
    buf_printf(&text, "{\"allOf\":[{}");
    repeat(&text, ",{\"type\":\"integer\"}", 10000);
    buf_printf(&text, "]}");
    CHECK_INT(judge(buf_str(&text), CAIRN_STR("1")), CAIRN_E_LIMIT);
    buf_clear(&text);
    buf_printf(&text, "{\"allOf\":[{}");
    repeat(&text, ",{\"type\":\"integer\"}", 9990);
    buf_printf(&text, "]}");
    CHECK_OK(judge(buf_str(&text), CAIRN_STR("1")));
    buf_clear(&text);
    repeat(&text, "{\"not\":", 200);
    buf_printf(&text, "{}");
    repeat(&text, "}", 200);
    CHECK_INT(judge(buf_str(&text), CAIRN_STR("1")), CAIRN_E_LIMIT);
    buf_clear(&text);
    repeat(&text, " ", (1 << 20) + 1);
    CHECK_INT(judge(buf_str(&text), CAIRN_STR("1")), CAIRN_E_LIMIT);
    buf_clear(&text);
    repeat(&text, "{\"not\":", 120);
    buf_printf(&text, "{}");
    repeat(&text, "}", 120);
    CHECK_OK(judge(buf_str(&text), CAIRN_STR("1")));
    buf_free(&text);
}

/* Goal: a pattern that backtracks without end, on one string and on many, is a limit. */
TEST(patterns_meet_a_limit)
{
    struct buf text = {0};
    buf_printf(&text, "[");
    for (int i = 0; i < 2000; i++)
        buf_printf(&text, "%s\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"", i ? "," : "");
    buf_printf(&text, "]");
    CHECK_INT(judge(CAIRN_STR("{\"items\":{\"pattern\":\"^(a|a)*$\"}}"), buf_str(&text)), CAIRN_E_LIMIT);
    CHECK_INT(judge(CAIRN_STR("{\"items\":{\"pattern\":\"^(a+)+$\"}}"), buf_str(&text)), CAIRN_E_LIMIT);
    CHECK_INT(judge(CAIRN_STR("{\"items\":{\"pattern\":\"^a{1,99}!$\"}}"), buf_str(&text)), CAIRN_OK);
    buf_clear(&text);
    buf_printf(&text, "{\"pattern\":\"");
    repeat(&text, "a", 1001);
    buf_printf(&text, "\"}");
    CHECK_INT(judge(buf_str(&text), CAIRN_STR("\"\"")), CAIRN_E_LIMIT);
    buf_free(&text);
}

/* Goal: large values are no way around the steps: uniqueItems over equal hashes, objects in another order. */
TEST(large_values_end_soon)
{
    struct buf text = {0};
    buf_printf(&text, "[0");
    for (int i = 1; i < 200000; i++)
        buf_printf(&text, ",%d", i);
    buf_printf(&text, "]");
    CHECK_OK(judge(CAIRN_STR("{\"uniqueItems\":true}"), buf_str(&text)));
    buf_clear(&text);
    buf_printf(&text, "[{\"m0\":0");
    for (int i = 1; i < 20000; i++)
        buf_printf(&text, ",\"m%d\":0", i);
    buf_printf(&text, "},{\"m19999\":0");
    for (int i = 19998; i >= 0; i--)
        buf_printf(&text, ",\"m%d\":0", i);
    buf_printf(&text, "}]");
    CHECK_INT(judge(CAIRN_STR("{\"uniqueItems\":true}"), buf_str(&text)), CAIRN_E_LIMIT);
    buf_free(&text);
}

/* Goal: many rules on one large text or number neither take long nor take memory without end.
 * Method: 3,000 rules each on a value of nearly 1 MiB, which has an escape, so that it must be copied. */
TEST(large_texts_end_soon)
{
    static const char *const rules[] = {"{\"pattern\":\"b\"}", "{\"maxLength\":9999999}", "{\"minimum\":0}", "{\"enum\":[1]}",
                                        "{\"properties\":{\"a\":true}}"};
    static const char *const values[] = {"\"\\u0062", "\"\\u0062", "1", "\"\\u0062", "{\"\\u0062"};
    for (size_t i = 0; i < 5; i++) {
        struct buf schema = {0}, text = {0};
        buf_printf(&schema, "{\"%s\":[", i == 3 ? "anyOf" : "allOf");
        buf_put_str(&schema, cairn_cstr(rules[i]));
        for (int n = 0; n < 3000; n++)
            buf_printf(&schema, ",%s", rules[i]);
        buf_printf(&schema, "]}");
        buf_put_str(&text, cairn_cstr(values[i]));
        repeat(&text, "1", 1000000);
        buf_put_str(&text, cairn_cstr(i == 2 ? "" : i == 4 ? "\":1}" : "\""));
        struct arena arena = {.size_max = 128 << 20};
        struct json_schema *compiled_schema = NULL;
        struct json json;
        int64_t begun = now_ms();
        CHECK_OK(json_schema_compile(buf_str(&schema), NULL, &compiled_schema, NULL));
        CHECK_OK(json_check(buf_str(&text), &json, NULL));
        CHECK_INT(json_schema_validate(compiled_schema, json, &arena, NULL, 0, NULL, NULL), CAIRN_E_LIMIT);
        CHECK(now_ms() - begun < QUICKLY_MS);
        arena_free(&arena);
        json_schema_free(compiled_schema);
        buf_free(&schema);
        buf_free(&text);
    }
}

/* Goal: without memory the answer is "no memory", wherever it runs out. Method: an arena of one more byte each time. */
TEST(no_memory_is_an_error)
{
    struct json_schema *schema = compiled("{\"properties\":{\"a\":{\"pattern\":\"^x\",\"enum\":[\"\\n\"]}},\"uniqueItems\":true}");
    for (size_t room = 1;; room++) {
        struct arena arena = {.size_max = room};
        struct json_schema_fault faults[4];
        size_t count;
        cairn_err err = json_schema_validate(schema, value("{\"\\u0061\":\"\\t\"}"), &arena, faults, 4, &count, NULL);
        arena_free(&arena);
        if (err == CAIRN_E_INVALID)
            break;
        CHECK_INT(err, CAIRN_E_NOMEM);
        CHECK(room < 4096);
    }
    json_schema_free(schema);
}

/* ---- numbers, text, memory */

/* Goal: numbers count by their value, however large or small. */
TEST(numbers_are_exact)
{
    static const struct {
        const char *schema, *value;
        bool valid;
    } cases[] = {
        {"{\"maximum\":18446744073709551616}", "18446744073709551616", true},
        {"{\"maximum\":18446744073709551616}", "18446744073709551617", false},
        {"{\"minimum\":-1e400}", "-1e401", false},
        {"{\"exclusiveMinimum\":0.1}", "0.10000000000000000000000000000001", true},
        {"{\"exclusiveMinimum\":0.1}", "0.1000000", false},
        {"{\"multipleOf\":0.0001}", "0.0075", true},
        {"{\"multipleOf\":0.1}", "123456789012345678901234567890.3", true},
        {"{\"multipleOf\":0.1}", "123456789012345678901234567890.33", false},
        {"{\"multipleOf\":7}", "1e30", false},
        {"{\"multipleOf\":1e3}", "1e30", true},
        {"{\"multipleOf\":1e30}", "1e3", false},
        {"{\"type\":\"integer\"}", "1.50e1", true},
        {"{\"type\":\"integer\"}", "1.55e1", false},
        {"{\"type\":\"integer\"}", "-0.0", true},
        {"{\"const\":100}", "1E2", true},
        {"{\"enum\":[0]}", "-0.0e9", true},
        {"{\"minItems\":2.0}", "[1]", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cairn_err err = judge(cairn_cstr(cases[i].schema), cairn_cstr(cases[i].value));
        if (err != (cases[i].valid ? CAIRN_OK : CAIRN_E_INVALID))
            fail_msg("%s on %s: %s", cases[i].schema, cases[i].value, cairn_err_name(err));
    }
}

/* Goal: names and strings written with escapes are those that they mean. */
TEST(escapes_are_understood)
{
    CHECK_OK(judge(CAIRN_STR("{\"properties\":{\"\\u0061\":{\"const\":\"x\\/\"}},\"required\":[\"a\"],\"additionalProperties\":false}"),
                   CAIRN_STR("{\"a\":\"\\u0078/\"}")));
    CHECK_OK(judge(CAIRN_STR("{\"t\\u0079pe\":\"object\",\"required\":[\"a\"]}"), CAIRN_STR("{\"\\u0061\":1}")));
    CHECK_INT(judge(CAIRN_STR("{\"t\\u0079pe\":\"object\"}"), CAIRN_STR("1")), CAIRN_E_INVALID);
    CHECK_OK(judge(CAIRN_STR("{\"maxLength\":1,\"pattern\":\"^.$\"}"), CAIRN_STR("\"\\ud800\""))); /* a lone surrogate is one */
    CHECK_INT(judge(CAIRN_STR("{\"maxLength\":1}"), CAIRN_STR("\"\\ud800x\"")), CAIRN_E_INVALID);
}

static bool
lend(void *context, cairn_str uri, cairn_str *ret_text)
{
    static unsigned asked;
    if (cairn_str_equal(uri, CAIRN_STR("schemas/common.json")))
        *ret_text = CAIRN_STR("{\"$defs\":{\"id\":{\"$ref\":\"sub/text.json\"}}}");
    else if (cairn_str_equal(uri, CAIRN_STR("schemas/sub/text.json")))
        *ret_text = CAIRN_STR("{\"type\":\"string\"}");
    else if (cairn_str_equal(uri, CAIRN_STR("schemas/broken.json")))
        *ret_text = CAIRN_STR("{\"type\":1}");
    else if (context) { /* endless: each refers to another */
        static char text[64];
        snprintf(text, sizeof text, "{\"$ref\":\"n%u.json\"}", ++asked);
        *ret_text = cairn_cstr(text);
    } else
        return false;
    return true;
}

/* Goal: references between files of a folder, by relative paths; an endless row of them is a limit. */
TEST(references_reach_other_texts)
{
    struct json_schema_options options = {.base_uri = CAIRN_STR("schemas/order.json"), .resolve = lend};
    struct json_schema *schema = NULL;
    struct arena arena = {0};
    cairn_error error;
    CHECK_OK(json_schema_compile(CAIRN_STR("{\"properties\":{\"a\":{\"$ref\":\"common.json#/$defs/id\"},"
                                           "\"b\":{\"$ref\":\"./x/../sub/text.json\"}}}"), &options, &schema, &error));
    CHECK_OK(json_schema_validate(schema, value("{\"a\":\"x\",\"b\":\"y\"}"), &arena, NULL, 0, NULL, NULL));
    CHECK_INT(json_schema_validate(schema, value("{\"a\":1}"), &arena, NULL, 0, NULL, NULL), CAIRN_E_INVALID);
    CHECK_INT(json_schema_validate(schema, value("{\"b\":1}"), &arena, NULL, 0, NULL, NULL), CAIRN_E_INVALID);
    json_schema_free(schema);
    CHECK_INT(json_schema_compile(CAIRN_STR("{\"items\":{\"$ref\":\"nowhere.json\"}}"), &options, &schema, &error), CAIRN_E_INVALID);
    CHECK_STR(error.detail, "/items/$ref: there is no schema schemas/nowhere.json");
    CHECK_INT(json_schema_compile(CAIRN_STR("{\"items\":{\"$ref\":\"broken.json\"}}"), &options, &schema, &error), CAIRN_E_INVALID);
    CHECK(strstr(error.detail, "broken.json"));
    options.context = &arena;
    CHECK_INT(json_schema_compile(CAIRN_STR("{\"$ref\":\"n.json\"}"), &options, &schema, &error), CAIRN_E_LIMIT);
    arena_free(&arena);
}

/* Goal: a plain value that is valid costs no memory. Method: an arena that has none to give. */
TEST(plain_values_take_no_memory)
{
    struct json_schema *schema = compiled(
        "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"minLength\":1},\"n\":{\"type\":\"integer\",\"minimum\":0},"
        "\"kind\":{\"enum\":[\"a\",\"b\"]},\"lines\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/line\"}}},"
        "\"required\":[\"id\",\"n\"],\"additionalProperties\":false,\"$defs\":{\"line\":{\"type\":\"object\",\"properties\":"
        "{\"sku\":{\"type\":\"string\",\"pattern\":\"^[A-Z]+$\"},\"price\":{\"type\":\"number\",\"multipleOf\":0.01}}}}}");
    struct arena none = {.size_max = 1};
    CHECK_OK(json_schema_validate(schema, value("{\"id\":\"x\",\"n\":3,\"kind\":\"b\",\"lines\":[{\"sku\":\"A\",\"price\":1.25}]}"),
                                  &none, NULL, 0, NULL, NULL));
    CHECK_INT(none.used_bytes, 0);
    CHECK_INT(json_schema_validate(schema, value("{\"i\\u0064\":\"x\",\"n\":3}"), &none, NULL, 0, NULL, NULL), CAIRN_E_NOMEM);
    json_schema_free(schema);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(faults_name_place_and_reason), RUN(faults_are_bounded), RUN(wrong_schemas_are_refused), RUN(circles_are_refused),
        RUN(fan_out_meets_a_limit), RUN(long_chains_meet_a_limit), RUN(large_schemas_meet_a_limit), RUN(patterns_meet_a_limit),
        RUN(large_values_end_soon), RUN(large_texts_end_soon),
        RUN(no_memory_is_an_error), RUN(numbers_are_exact), RUN(escapes_are_understood), RUN(references_reach_other_texts),
        RUN(plain_values_take_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

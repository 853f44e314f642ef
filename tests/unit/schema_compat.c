/* schema/compat.h: which schema may follow which, case by case, and what the faults say. */
#include "test.h"

#include <schema/compat.h>

struct pair {
    const char *what, *older, *newer;
    bool backward, forward;
};

#define OBJECT(properties, rest) "{\"type\":\"object\",\"properties\":{" properties "}" rest "}"
#define CLOSED ",\"additionalProperties\":false"

static const struct pair pairs[] = {
    {"the same", "{\"type\":\"string\"}", "{ \"type\": \"string\" }", true, true},
    {"an annotation", "{\"type\":\"string\"}", "{\"type\":\"string\",\"title\":\"T\"}", true, true},
    {"a wider type", "{\"type\":\"integer\"}", "{\"type\":\"number\"}", true, false},
    {"another type", "{\"type\":\"integer\"}", "{\"type\":\"string\"}", false, false},
    {"one more type", "{\"type\":\"string\"}", "{\"type\":[\"string\",\"null\"]}", true, false},
    {"multiples of a whole number are integers", "{\"type\":\"number\",\"multipleOf\":2}", "{\"type\":\"integer\"}", true, false},
    {"true takes everything", "{\"type\":\"string\"}", "true", true, false},
    {"false takes nothing", "{\"type\":\"string\"}", "false", false, true},
    {"an empty schema", "{}", "true", true, true},
    /* numbers */
    {"a lower minimum", "{\"type\":\"number\",\"minimum\":3}", "{\"type\":\"number\",\"minimum\":2.5}", true, false},
    {"minimum to exclusive", "{\"minimum\":3}", "{\"exclusiveMinimum\":3}", false, true},
    {"exclusive below", "{\"exclusiveMinimum\":3}", "{\"exclusiveMinimum\":2}", true, false},
    {"a new maximum", "{\"type\":\"number\"}", "{\"type\":\"number\",\"maximum\":9}", false, true},
    {"a maximum for numbers only", "{\"type\":\"string\"}", "{\"maximum\":9,\"type\":\"string\"}", true, true},
    {"multiple of a divisor", "{\"multipleOf\":6}", "{\"multipleOf\":3}", true, false},
    {"decimal divisor", "{\"multipleOf\":0.1}", "{\"multipleOf\":0.01}", true, false},
    /* strings */
    {"longer", "{\"maxLength\":5}", "{\"maxLength\":6}", true, false},
    {"shorter", "{\"minLength\":5}", "{\"minLength\":6}", false, true},
    {"a new pattern", "{\"type\":\"string\"}", "{\"type\":\"string\",\"pattern\":\"^a\"}", false, true},
    {"the same pattern", "{\"pattern\":\"^a\"}", "{\"type\":[\"string\",\"number\"],\"pattern\":\"^a\"}", false, true},
    {"format away", "{\"type\":\"string\",\"format\":\"date\"}", "{\"type\":\"string\"}", true, false},
    /* enum and const */
    {"one more value", "{\"enum\":[\"a\",\"b\"]}", "{\"enum\":[\"b\",\"a\",\"c\"]}", true, false},
    {"enum to type", "{\"enum\":[1,2]}", "{\"type\":\"integer\"}", true, false},
    {"enum to type with one misfit", "{\"enum\":[1,\"x\"]}", "{\"type\":\"integer\"}", false, false},
    {"enum that the type cuts down", "{\"enum\":[1,\"x\"],\"type\":\"integer\"}", "{\"const\":1.0}", true, true},
    {"booleans are two values", "{\"type\":\"boolean\"}", "{\"enum\":[true,false]}", true, true},
    {"const to const", "{\"const\":{\"a\":1}}", "{\"const\":{\"a\":2}}", false, false},
    /* objects */
    {"optional member, closed", OBJECT("\"a\":{\"type\":\"string\"}", CLOSED),
     OBJECT("\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"integer\"}", CLOSED), true, false},
    {"optional member, open", OBJECT("\"a\":{\"type\":\"string\"}", ""),
     OBJECT("\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"integer\"}", ""), false, true},
    {"optional member of any value, open", OBJECT("\"a\":{\"type\":\"string\"}", ""),
     OBJECT("\"a\":{\"type\":\"string\"},\"b\":{}", ""), true, true},
    {"a required member more", OBJECT("\"a\":{}", CLOSED), OBJECT("\"a\":{}", CLOSED ",\"required\":[\"a\"]"), false, true},
    {"a member taken away, closed", OBJECT("\"a\":{},\"b\":{}", CLOSED), OBJECT("\"a\":{}", CLOSED), false, true},
    {"a member taken away, open", OBJECT("\"a\":{\"type\":\"string\"}", ""), OBJECT("", ""), true, false},
    {"closing", OBJECT("\"a\":{}", ""), OBJECT("\"a\":{}", CLOSED), false, true},
    {"restricting others", "{\"additionalProperties\":{\"type\":\"integer\"}}", "{\"additionalProperties\":{\"type\":\"number\"}}",
     true, false},
    {"pattern to additional", "{\"patternProperties\":{\"^x\":{\"type\":\"integer\"}},\"additionalProperties\":false}",
     "{\"additionalProperties\":{\"type\":\"number\"}}", true, false},
    {"the same pattern wider", "{\"patternProperties\":{\"^x\":{\"type\":\"integer\"}}}",
     "{\"patternProperties\":{\"^x\":{\"type\":\"number\"}}}", true, false},
    {"a new pattern that a property falls under", OBJECT("\"xa\":{\"type\":\"string\"}", CLOSED),
     "{\"type\":\"object\",\"properties\":{\"xa\":{}},\"patternProperties\":{\"^x\":{\"type\":\"integer\"}}}", false, false},
    {"a pattern lets in what additionalProperties refuses", "{\"patternProperties\":{\"^x\":{}},\"additionalProperties\":false}",
     "{\"properties\":{\"xa\":{\"type\":\"integer\"}}}", false, false},
    {"names", "{\"propertyNames\":{\"maxLength\":3}}", "{\"propertyNames\":{\"maxLength\":4}}", true, false},
    {"names of a closed object", OBJECT("\"a\":{}", CLOSED), "{\"type\":\"object\",\"propertyNames\":{\"maxLength\":1}}", true, false},
    {"fewer members", "{\"minProperties\":2}", "{\"minProperties\":1}", true, false},
    {"required implies a count", "{\"type\":\"object\",\"required\":[\"a\",\"b\"]}", "{\"type\":\"object\",\"minProperties\":2}", true, false},
    {"dependent", "{\"dependentRequired\":{\"a\":[\"b\",\"c\"]}}", "{\"dependentRequired\":{\"a\":[\"b\"]}}", true, false},
    {"a member that depended is required", "{\"type\":\"object\",\"required\":[\"b\"]}",
     "{\"type\":\"object\",\"dependentRequired\":{\"a\":[\"b\"]}}", true, false},
    {"deep", OBJECT("\"a\":{\"properties\":{\"b\":{\"minimum\":1}},\"type\":\"object\"}", CLOSED),
     OBJECT("\"a\":{\"properties\":{\"b\":{\"minimum\":0}},\"type\":\"object\"}", CLOSED), true, false},
    /* arrays */
    {"items wider", "{\"items\":{\"type\":\"integer\"}}", "{\"items\":{\"type\":\"number\"}}", true, false},
    {"more items", "{\"maxItems\":3}", "{\"maxItems\":4}", true, false},
    {"tuple under items", "{\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"integer\"}}",
     "{\"items\":{\"type\":\"integer\"}}", true, true},
    {"tuple of bounded length", "{\"prefixItems\":[{\"type\":\"integer\"}],\"items\":false}", "{\"items\":{\"type\":\"integer\"}}",
     true, false},
    {"unique", "{\"type\":\"array\"}", "{\"type\":\"array\",\"uniqueItems\":true}", false, true},
    {"contains", "{\"contains\":{\"const\":1},\"minContains\":2}", "{\"contains\":{\"type\":\"integer\"}}", true, false},
    {"items imply contains", "{\"type\":\"array\",\"items\":{\"const\":1},\"minItems\":1}",
     "{\"type\":\"array\",\"contains\":{\"type\":\"integer\"}}", true, false},
    /* references and logic */
    {"behind a reference", "{\"$ref\":\"#/$defs/x\",\"$defs\":{\"x\":{\"type\":\"integer\"}}}", "{\"type\":\"number\"}", true, false},
    {"recursive", "{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},\"n\":{\"$ref\":\"#\"}}" CLOSED "}",
     "{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"number\"},\"n\":{\"$ref\":\"#\"}}" CLOSED "}", true, false},
    {"allOf adds up", "{\"allOf\":[{\"minimum\":1},{\"maximum\":2}]}", "{\"minimum\":1,\"maximum\":2}", true, true},
    {"one more alternative", "{\"anyOf\":[{\"type\":\"string\"}]}", "{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\"}]}", true, false},
    {"alternatives to types", "{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\"}]}", "{\"type\":[\"string\",\"null\"]}", true, true},
    {"the same oneOf", "{\"oneOf\":[{\"minimum\":1},{\"maximum\":0}],\"title\":\"x\"}", "{\"oneOf\":[{\"minimum\":1},{\"maximum\":0}]}",
     true, true},
    {"oneOf with a discriminator",
     "{\"oneOf\":[{\"type\":\"object\",\"required\":[\"k\"],\"properties\":{\"k\":{\"const\":1}}}]}",
     "{\"oneOf\":[{\"type\":\"object\",\"required\":[\"k\"],\"properties\":{\"k\":{\"const\":1}}},"
     "{\"type\":\"object\",\"required\":[\"k\"],\"properties\":{\"k\":{\"const\":2}}}]}", true, false},
    {"oneOf that overlaps", "{\"type\":\"integer\"}", "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", false, false},
    {"not narrower", "{\"not\":{\"type\":[\"string\",\"null\"]}}", "{\"not\":{\"type\":\"string\"}}", true, false},
    {"not of another type", "{\"type\":\"integer\"}", "{\"not\":{\"type\":\"string\"}}", true, false},
    {"the same condition",
     "{\"if\":{\"required\":[\"a\"]},\"then\":{\"minProperties\":3},\"else\":{\"maxProperties\":1}}",
     "{\"if\":{\"required\":[\"a\"]},\"then\":{\"minProperties\":2},\"else\":{\"maxProperties\":1}}", true, false},
    {"unevaluated, untouched", "{\"title\":\"x\",\"$ref\":\"#/$defs/y\",\"$defs\":{\"y\":{\"properties\":{\"a\":{}},\"unevaluatedProperties\":false}}}",
     "{\"$ref\":\"#/$defs/y\",\"$defs\":{\"y\":{\"properties\":{\"a\":{}},\"unevaluatedProperties\":false}}}", true, true},
    {"unevaluated, changed", "{\"properties\":{\"a\":{}},\"unevaluatedProperties\":false}",
     "{\"properties\":{\"a\":{},\"b\":{}},\"unevaluatedProperties\":false}", false, false},
    /* the table of docs/schemas.md */
#define ORDER(qty, more, required) OBJECT("\"order_id\":{\"type\":\"string\",\"minLength\":1}" qty more, ",\"required\":[" required "]" CLOSED)
#define QTY(type, least) ",\"qty\":{\"type\":\"" type "\",\"minimum\":" least "}"
#define FIRST ORDER(QTY("integer", "1"), "", "\"order_id\",\"qty\"")
    {"docs: optional", FIRST, ORDER(QTY("integer", "1"), ",\"note\":{\"type\":\"string\"}", "\"order_id\",\"qty\""), true, false},
    {"docs: required", FIRST, ORDER(QTY("integer", "1"), ",\"note\":{}", "\"order_id\",\"qty\",\"note\""), false, false},
    {"docs: no longer required", FIRST, ORDER(QTY("integer", "1"), "", "\"qty\""), true, false},
    {"docs: taken away", FIRST, ORDER("", "", "\"order_id\""), false, false},
    {"docs: number", FIRST, ORDER(QTY("number", "1"), "", "\"order_id\",\"qty\""), true, false},
    {"docs: minimum 0", FIRST, ORDER(QTY("integer", "0"), "", "\"order_id\",\"qty\""), true, false},
    {"docs: minimum 2", FIRST, ORDER(QTY("integer", "2"), "", "\"order_id\",\"qty\""), false, true},
    {"no schema at all", "{\"type\":\"string\"}", "{\"type\":\"strnig\"}", false, false},
};

static cairn_err
ask(enum compat_level level, const char *older, const char *newer, struct arena *arena, cairn_error *error)
{
    cairn_str earlier = cairn_cstr(older);
    struct compat_fault faults[8];
    size_t count = 99;
    cairn_err err = compat_check(level, &earlier, 1, cairn_cstr(newer), arena, faults, 8, &count, error);
    CHECK((err == CAIRN_OK) == (count == 0));
    for (size_t i = 0; i < count; i++)
        CHECK(faults[i].version == 1 && faults[i].message.size > 10);
    return err;
}

/* Goal: each level asks the right question. Method: a table of pairs, each both ways and under every level. */
TEST(pairs_are_judged)
{
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const struct pair *pair = &pairs[i];
        struct arena arena = {0};
        cairn_error error = {.code = CAIRN_OK};
        bool backward = ask(COMPAT_BACKWARD, pair->older, pair->newer, &arena, &error) == CAIRN_OK;
        if (backward != pair->backward)
            fail_msg("%s: backward: %s", pair->what, backward ? "was allowed" : error.detail);
        bool forward = ask(COMPAT_FORWARD, pair->older, pair->newer, &arena, &error) == CAIRN_OK;
        if (forward != pair->forward)
            fail_msg("%s: forward: %s", pair->what, forward ? "was allowed" : error.detail);
        CHECK((ask(COMPAT_FULL, pair->older, pair->newer, &arena, &error) == CAIRN_OK) == (backward && forward));
        CHECK_OK(ask(COMPAT_NONE, pair->older, pair->newer, &arena, &error));
        arena_free(&arena);
    }
}

/* Goal: only the _TRANSITIVE levels look further back than one version. Method: 1 → 3 is wrong, 2 → 3 is right. */
TEST(transitive_levels_look_at_all)
{
    struct arena arena = {0};
    const cairn_str earlier[] = {CAIRN_STR("{\"type\":\"number\"}"), CAIRN_STR("{\"type\":\"integer\"}")};
    cairn_str newer = CAIRN_STR("{\"type\":\"integer\",\"title\":\"x\"}");
    struct compat_fault faults[4];
    size_t count;
    CHECK_OK(compat_check(COMPAT_BACKWARD, earlier, 2, newer, &arena, faults, 4, &count, NULL));
    CHECK_INT(compat_check(COMPAT_BACKWARD_TRANSITIVE, earlier, 2, newer, &arena, faults, 4, &count, NULL), CAIRN_E_INVALID);
    CHECK(count == 1 && faults[0].version == 1);
    CHECK_OK(compat_check(COMPAT_FORWARD_TRANSITIVE, earlier, 2, newer, &arena, faults, 4, &count, NULL));
    CHECK_INT(compat_check(COMPAT_FULL_TRANSITIVE, earlier, 2, newer, &arena, faults, 4, &count, NULL), CAIRN_E_INVALID);
    CHECK_OK(compat_check(COMPAT_FULL_TRANSITIVE, earlier, 0, newer, &arena, faults, 4, &count, NULL));
    arena_free(&arena);
}

/* Goal: a fault says where in the newer schema, and who cannot read what. */
TEST(faults_say_where)
{
    struct arena arena = {0};
    cairn_str older = CAIRN_STR(OBJECT("\"a\":{\"minimum\":1}", CLOSED));
    cairn_str newer = CAIRN_STR(OBJECT("\"a\":{\"minimum\":2}", CLOSED ",\"required\":[\"a\"]"));
    struct compat_fault faults[4];
    size_t count;
    cairn_error error;
    CHECK_INT(compat_check(COMPAT_BACKWARD, &older, 1, newer, &arena, faults, 4, &count, &error), CAIRN_E_INVALID);
    CHECK_INT(count, 2);
    CHECK_STR(faults[0].place.data, "/required");
    CHECK_STR(faults[0].message.data, "\"a\" is required and was not; the new schema could not read all that version 1 allows");
    CHECK_STR(faults[1].place.data, "/properties/a/minimum");
    CHECK_STR(faults[1].message.data, "\"minimum\" is 2 where 1 was allowed; the new schema could not read all that version 1 allows");
    CHECK(strstr(error.detail, "not BACKWARD compatible with version 1: at /required"));
    CHECK_INT(compat_check(COMPAT_FORWARD, &newer, 1, older, &arena, faults, 4, &count, &error), CAIRN_E_INVALID);
    CHECK_INT(count, 2);
    CHECK_STR(faults[1].place.data, "/properties/a");
    CHECK(strstr(faults[1].message.data, "version 1 could not read all that the new schema allows"));
    /* no room for faults: the answer is the same */
    CHECK_INT(compat_check(COMPAT_BACKWARD, &older, 1, newer, &arena, NULL, 0, NULL, &error), CAIRN_E_INVALID);
    arena_free(&arena);
}

TEST(levels_have_names)
{
    enum compat_level level;
    for (int i = COMPAT_NONE; i <= COMPAT_FULL_TRANSITIVE; i++) {
        CHECK(compat_level_parse(cairn_cstr(compat_level_name((enum compat_level)i)), &level));
        CHECK_INT(level, i);
    }
    CHECK(!compat_level_parse(CAIRN_STR("backward"), &level) && !compat_level_parse(CAIRN_STR(""), &level));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(pairs_are_judged), RUN(transitive_levels_look_at_all), RUN(faults_say_where),
                                       RUN(levels_have_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

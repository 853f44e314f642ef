/* Random pairs of schemas and random values against compat_check(): what it calls compatible must be. */
#include "test.h"

#include <base/bytes.h>
#include <schema/compat.h>
#include <schema/json_schema.h>

static uint64_t seed;

static unsigned
pick(unsigned n)
{
    return (unsigned)(test_random(&seed) % n);
}

static const char *const names[] = {"a", "b", "xa", "xb"};

/* ---- schemas */

static void
put_number(struct buf *to)
{
    static const char *const numbers[] = {"0", "1", "2", "3", "-1", "0.5", "1.5", "1e1", "2.0"};
    buf_put_str(to, cairn_cstr(numbers[pick(9)]));
}

static void
put_constant(struct buf *to)
{
    static const char *const constants[] = {"null", "true", "false", "0", "1", "1.0", "2.5", "\"\"", "\"a\"", "\"ab\"",
                                            "[]", "[1]", "{}", "{\"a\":1}", "{\"a\":\"a\",\"b\":2}"};
    buf_put_str(to, cairn_cstr(constants[pick(15)]));
}

static void put_schema(struct buf *to, unsigned depth);

static void
put_list(struct buf *to, unsigned depth, unsigned count)
{
    buf_put_char(to, '[');
    for (unsigned i = 0; i < count; i++) {
        if (i)
            buf_put_char(to, ',');
        put_schema(to, depth);
    }
    buf_put_char(to, ']');
}

static void
put_map(struct buf *to, unsigned depth, const char *const *keys, unsigned key_count)
{
    bool any = false;
    buf_put_char(to, '{');
    for (unsigned i = 0; i < key_count; i++) {
        if (pick(2))
            continue;
        buf_printf(to, "%s\"%s\":", any ? "," : "", keys[i]);
        put_schema(to, depth);
        any = true;
    }
    buf_put_char(to, '}');
}

static void
put_names(struct buf *to)
{
    buf_printf(to, "[\"%s\"", names[pick(4)]);
    if (pick(2))
        buf_printf(to, ",\"%s\"", names[pick(4)]);
    buf_put_char(to, ']');
}

static void
put_keyword(struct buf *to, unsigned depth)
{
    static const char *const types[] = {"\"null\"", "\"boolean\"", "\"integer\"", "\"number\"", "\"string\"", "\"array\"",
                                        "\"object\"", "[\"string\",\"null\"]", "[\"integer\",\"object\"]"};
    static const char *const patterns[] = {"^x", "a$", "^.$"};
    unsigned which = pick(depth ? 34 : 14);
    switch (which) {
    case 0: case 1: case 2: buf_printf(to, "\"type\":%s", types[pick(9)]); break;
    case 3: buf_printf(to, "\"minimum\":"); put_number(to); break;
    case 4: buf_printf(to, "\"maximum\":"); put_number(to); break;
    case 5: buf_printf(to, "\"exclusiveMinimum\":"); put_number(to); break;
    case 6: buf_printf(to, "\"exclusiveMaximum\":"); put_number(to); break;
    case 7: buf_printf(to, "\"multipleOf\":%s", pick(2) ? "2" : pick(2) ? "0.5" : "1"); break;
    case 8: buf_printf(to, "\"minLength\":%u", pick(3)); break;
    case 9: buf_printf(to, "\"maxLength\":%u", pick(3)); break;
    case 10: buf_printf(to, "\"pattern\":\"%s\"", patterns[pick(3)]); break;
    case 11: buf_printf(to, "\"const\":"); put_constant(to); break;
    case 12: case 13:
        buf_printf(to, "\"enum\":[");
        put_constant(to);
        buf_put_char(to, ',');
        put_constant(to);
        buf_put_char(to, ']');
        break;
    case 14: case 15: case 16: case 17: buf_printf(to, "\"properties\":"); put_map(to, depth - 1, names, 4); break;
    case 18: case 19: buf_printf(to, "\"required\":"); put_names(to); break;
    case 20: case 21: case 22: buf_printf(to, "\"additionalProperties\":"); put_schema(to, pick(2) ? 0 : depth - 1); break;
    case 23: buf_printf(to, "\"patternProperties\":"); put_map(to, depth - 1, patterns, 3); break;
    case 24: buf_printf(to, "\"propertyNames\":"); put_schema(to, 0); break;
    case 25: buf_printf(to, "\"%sProperties\":%u", pick(2) ? "min" : "max", pick(3)); break;
    case 26: buf_printf(to, "\"items\":"); put_schema(to, depth - 1); break;
    case 27: buf_printf(to, "\"prefixItems\":"); put_list(to, depth - 1, 1 + pick(2)); break;
    case 28: buf_printf(to, "\"%s\":%u", pick(2) ? "minItems" : "maxItems", pick(3)); break;
    case 29: buf_printf(to, pick(2) ? "\"uniqueItems\":true" : "\"minContains\":2"); break;
    case 30: buf_printf(to, "\"contains\":"); put_schema(to, depth - 1); break;
    case 31: buf_printf(to, "\"%s\":", pick(3) == 0 ? "allOf" : pick(2) ? "anyOf" : "oneOf"); put_list(to, depth - 1, 1 + pick(2)); break;
    case 32:
        if (pick(2)) {
            buf_printf(to, "\"not\":");
            put_schema(to, depth - 1);
        } else {
            buf_printf(to, "\"if\":");
            put_schema(to, depth - 1);
            buf_printf(to, ",\"then\":");
            put_schema(to, depth - 1);
            buf_printf(to, ",\"else\":");
            put_schema(to, depth - 1);
        }
        break;
    default: {
        bool required = pick(2);
        buf_printf(to, "\"%s\":{\"%s\":", required ? "dependentRequired" : "dependentSchemas", names[pick(4)]);
        if (required)
            put_names(to);
        else
            put_schema(to, depth - 1);
        buf_put_char(to, '}');
    }
    }
}

/* Keywords that are there already are left out: JSON objects have each name once. */
static void
put_schema(struct buf *to, unsigned depth)
{
    if (pick(12) == 0) {
        buf_put_str(to, pick(3) ? CAIRN_STR("true") : CAIRN_STR("false"));
        return;
    }
    struct buf parts[4] = {{0}};
    unsigned count = pick(4);
    bool any = false;
    buf_put_char(to, '{');
    for (unsigned i = 0; i < count; i++) {
        put_keyword(&parts[i], depth);
        bool twice = false;
        size_t size = (size_t)((char *)memchr(parts[i].data, ':', parts[i].size) - parts[i].data);
        for (unsigned j = 0; j < i; j++)
            twice |= parts[j].size > size && memcmp(parts[j].data, parts[i].data, size + 1) == 0;
        if (twice)
            continue;
        if (any)
            buf_put_char(to, ',');
        buf_put_str(to, buf_str(&parts[i]));
        any = true;
    }
    buf_put_char(to, '}');
    for (unsigned i = 0; i < count; i++)
        buf_free(&parts[i]);
}

/* A schema near to another: one number, word or keyword of it replaced. */
static void
put_near(struct buf *to, cairn_str schema)
{
    static const char *const swaps[][2] = {
        {"0", "1"}, {"1", "2"}, {"2", "3"}, {"3", "1"}, {"integer", "number"}, {"number", "integer"}, {"minimum", "exclusiveMinimum"},
        {"anyOf", "oneOf"}, {"oneOf", "anyOf"}, {"true", "{}"}, {"false", "true"}, {"allOf", "anyOf"}, {"\"a\"", "\"b\""},
        {"\"xa\"", "\"xb\""}, {"maxLength", "minLength"}, {"\"string\"", "[\"string\",\"null\"]"}, {"items", "contains"},
    };
    const char *const *swap = swaps[pick(sizeof swaps / sizeof swaps[0])];
    size_t size = strlen(swap[0]);
    const char *at = memmem(schema.data, schema.size, swap[0], size);
    if (!at) {
        buf_put_str(to, schema);
        return;
    }
    buf_put(to, schema.data, (size_t)(at - schema.data));
    buf_put_str(to, cairn_cstr(swap[1]));
    buf_put(to, at + size, schema.size - (size_t)(at - schema.data) - size);
}

/* ---- values */

static void
put_value(struct buf *to, unsigned depth)
{
    unsigned which = pick(depth ? 12 : 6), count = pick(4);
    if (which < 3) {
        put_constant(to);
    } else if (which < 5) {
        put_number(to);
    } else if (which == 5) {
        buf_put_str(to, pick(2) ? CAIRN_STR("\"xa\"") : CAIRN_STR("\"b\""));
    } else if (which < 8) {
        buf_put_char(to, '[');
        for (unsigned i = 0; i < count; i++) {
            if (i)
                buf_put_char(to, ',');
            put_value(to, depth - 1);
        }
        buf_put_char(to, ']');
    } else {
        bool any = false;
        buf_put_char(to, '{');
        for (unsigned i = 0; i < 5; i++) {
            if (pick(2))
                continue;
            buf_printf(to, "%s\"%s\":", any ? "," : "", i < 4 ? names[i] : "other");
            put_value(to, depth - 1);
            any = true;
        }
        buf_put_char(to, '}');
    }
}

#define VALUES 3000
static struct buf values[VALUES];

static cairn_err
validate(const struct json_schema *schema, cairn_str text)
{
    struct arena arena = {0};
    cairn_err err = json_schema_validate(schema, json_trusted(text), &arena, NULL, 0, NULL, NULL);
    arena_free(&arena);
    return err;
}

static struct {
    unsigned pairs, compatible, refuted, unshown;
} tally;

/* Every value valid by the writer's schema must be valid by the reader's when compat_check() said so. */
static void
judge(cairn_str writer_text, cairn_str reader_text, enum compat_level level)
{
    struct arena arena = {0};
    struct json_schema *writer = NULL, *reader = NULL;
    cairn_str earlier = level == COMPAT_BACKWARD ? writer_text : reader_text;
    cairn_str newer = level == COMPAT_BACKWARD ? reader_text : writer_text;
    bool compatible = compat_check(level, &earlier, 1, newer, &arena, NULL, 0, NULL, NULL) == CAIRN_OK;
    arena_free(&arena);
    if (json_schema_compile(writer_text, NULL, &writer, NULL) != CAIRN_OK ||
        json_schema_compile(reader_text, NULL, &reader, NULL) != CAIRN_OK) {
        json_schema_free(writer);
        return;
    }
    unsigned refuted = 0;
    for (unsigned i = 0; i < VALUES && !refuted; i++) {
        cairn_str value = buf_str(&values[i]);
        if (validate(writer, value) == CAIRN_OK && validate(reader, value) != CAIRN_OK) {
            refuted++;
            if (compatible)
                fail_msg("called compatible: written by %.*s, read by %.*s: value %.*s", (int)writer_text.size,
                         writer_text.data, (int)reader_text.size, reader_text.data, (int)value.size, value.data);
        }
    }
    tally.pairs++;
    tally.compatible += compatible;
    tally.refuted += refuted;
    tally.unshown += !compatible && !refuted;
    json_schema_free(writer);
    json_schema_free(reader);
}

/* Goal: compat_check() is never wrong when it says yes, and says yes often enough to be of use.
 * Method: random schemas, each against a near one both ways and against an unrelated one, on 3,000 random values. */
TEST(compatible_means_readable)
{
    seed = test_seed();
    for (unsigned i = 0; i < VALUES; i++)
        put_value(&values[i], 3);
    for (unsigned round = 0; round < 500 * test_scale(); round++) {
        struct buf one = {0}, near = {0}, other = {0};
        put_schema(&one, 2);
        put_near(&near, buf_str(&one));
        put_schema(&other, 2);
        judge(buf_str(&one), buf_str(&near), COMPAT_BACKWARD);
        judge(buf_str(&near), buf_str(&one), COMPAT_FORWARD);
        judge(buf_str(&one), buf_str(&other), COMPAT_BACKWARD);
        buf_free(&one);
        buf_free(&near);
        buf_free(&other);
    }
    for (unsigned i = 0; i < VALUES; i++)
        buf_free(&values[i]);
    print_message("%u pairs: %u compatible, %u with a counterexample, %u neither shown nor refuted\n", tally.pairs,
                  tally.compatible, tally.refuted, tally.unshown);
    CHECK(tally.compatible > tally.pairs / 10 && tally.refuted > tally.pairs / 10 && tally.unshown < tally.pairs / 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(compatible_means_readable)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

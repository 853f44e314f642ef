/* Goal: where avro_compatible() says that a reader reads a writer's data, it does, whatever the data; what a schema's canonical
 * text says is the schema. Method: random schemas, changed a little to make readers of them, random data written by hand. */
#include "test.h"

#include <math.h>
#include <schema/avro_int.h>

static uint64_t seed;

static unsigned
pick(unsigned n)
{
    return (unsigned)(test_random(&seed) % n);
}

/* ---- schemas: a tree of choices, so that a reader is the writer with some of them made anew */

struct plan {
    uint8_t choices[600];
    size_t at, size;
};

static unsigned
choose(struct plan *plan, unsigned n)
{
    return plan->at < plan->size ? plan->choices[plan->at++] % n : 0;
}

struct naming {
    unsigned records, others;
};

static void
put_type(struct buf *to, struct plan *plan, struct naming *naming, unsigned depth)
{
    static const char *const plain[] = {"\"int\"", "\"long\"", "\"float\"", "\"double\"", "\"string\"", "\"bytes\"", "\"boolean\"", "\"null\""};
    static const char *const symbols[] = {"\"A\"", "\"A\",\"B\"", "\"B\",\"A\",\"C\""};
    unsigned kind = choose(plan, depth == 0 ? 12 : 22);
    if (kind < 9) {
        buf_put_str(to, cairn_cstr(plain[kind % 8]));
    } else if (kind == 9) {
        buf_printf(to, "{\"type\":\"enum\",\"name\":\"E%u\",\"symbols\":[%s]%s}", naming->others++, symbols[choose(plan, 3)],
                   choose(plan, 2) ? ",\"default\":\"A\"" : "");
    } else if (kind == 10) {
        buf_printf(to, "{\"type\":\"fixed\",\"name\":\"F%u\",\"size\":%u}", naming->others++, choose(plan, 3));
    } else if (kind == 11 && naming->records) {
        buf_printf(to, "[\"null\",\"R%u\"]", choose(plan, naming->records)); /* one that is around it or was before */
    } else if (kind < 14) {
        buf_put_str(to, CAIRN_STR("{\"type\":\"array\",\"items\":"));
        put_type(to, plan, naming, depth ? depth - 1 : 0);
        buf_put_char(to, '}');
    } else if (kind < 15) {
        buf_put_str(to, CAIRN_STR("{\"type\":\"map\",\"values\":"));
        put_type(to, plan, naming, depth - 1);
        buf_put_char(to, '}');
    } else if (kind < 18) { /* may have a type twice; then the schema is no schema, and another is made */
        buf_put_char(to, '[');
        for (unsigned i = 0, n = 1 + choose(plan, 3); i < n; i++) {
            buf_put_str(to, i ? CAIRN_STR(",") : CAIRN_STR(""));
            put_type(to, plan, naming, depth - 1);
        }
        buf_put_char(to, ']');
    } else {
        buf_printf(to, "{\"type\":\"record\",\"name\":\"R%u\",\"fields\":[", naming->records++);
        for (unsigned i = 0, n = choose(plan, 4); i < n; i++) {
            unsigned form = choose(plan, 6);
            buf_printf(to, "%s{\"name\":\"f%u\",", i ? "," : "", (i + (form == 5)) % 4 + (form == 5 ? 4 : 0));
            if (form == 0)
                buf_put_str(to, CAIRN_STR("\"type\":[\"null\",\"string\"],\"default\":null}"));
            else if (form == 1)
                buf_put_str(to, CAIRN_STR("\"aliases\":[\"f1\",\"f5\"],\"type\":\"long\",\"default\":7}"));
            else {
                buf_put_str(to, CAIRN_STR("\"type\":"));
                put_type(to, plan, naming, depth - 1);
                buf_put_char(to, '}');
            }
        }
        buf_put_str(to, CAIRN_STR("]}"));
    }
}

static struct avro_schema *
make(const struct plan *from)
{
    struct plan plan = *from;
    struct naming naming = {0, 0};
    struct buf text = {0};
    struct avro_schema *schema = NULL;
    plan.at = 0;
    put_type(&text, &plan, &naming, 4);
    cairn_err err = avro_compile(buf_str(&text), NULL, 0, &schema, NULL);
    CHECK(err == CAIRN_OK || err == CAIRN_E_INVALID);
    buf_free(&text);
    return schema;
}

/* ---- data */

static void
put_long(struct buf *to, int64_t value)
{
    uint8_t bytes[VARINT_MAX];
    buf_put(to, bytes, (size_t)(varint_put(bytes, (uint64_t)value << 1 ^ (uint64_t)(value >> 63)) - bytes));
}

/* False: a record within itself without end. */
static bool
put_value(struct buf *to, const struct avro_node *node, unsigned depth)
{
    static const double reals[] = {0, -1.5, 1e30, INFINITY};
    float narrow = (float)reals[pick(4)];
    double wide = reals[pick(4)];
    if (depth > 40)
        return false;
    switch (node->type) {
    case AVRO_NULL: return true;
    case AVRO_BOOLEAN: buf_put_char(to, (char)pick(2)); return true;
    case AVRO_INT: put_long(to, (int32_t)(test_random(&seed) >> pick(63))); return true;
    case AVRO_LONG: put_long(to, (int64_t)(test_random(&seed) >> pick(63))); return true;
    case AVRO_FLOAT: buf_put(to, &narrow, 4); return true;
    case AVRO_DOUBLE: buf_put(to, &wide, 8); return true;
    case AVRO_BYTES:
    case AVRO_STRING:
        put_long(to, 3);
        buf_put(to, "a\xC3\xA4", 3);
        return true;
    case AVRO_FIXED:
        for (uint64_t i = 0; i < node->size; i++)
            buf_put_char(to, (char)pick(256));
        return true;
    case AVRO_ENUM: put_long(to, pick((unsigned)node->symbol_count)); return true;
    case AVRO_RECORD:
        for (size_t i = 0; i < node->field_count; i++)
            if (!put_value(to, node->fields[i].type, depth + 1))
                return false;
        return true;
    case AVRO_ARRAY:
    case AVRO_MAP:
        for (unsigned n = depth > 8 ? 0 : pick(3); n > 0; n--) {
            put_long(to, 1);
            if (node->type == AVRO_MAP) {
                put_long(to, 1);
                buf_put_char(to, (char)('a' + n));
            }
            if (!put_value(to, node->item, depth + 1))
                return false;
        }
        put_long(to, 0);
        return true;
    case AVRO_UNION: {
        if (node->branch_count == 0)
            return false;
        unsigned branch = depth > 8 ? 0 : pick((unsigned)node->branch_count);
        put_long(to, branch);
        return put_value(to, node->branches[branch], depth + 1);
    }
    }
    return false;
}

static void
check_data(const struct avro_schema *writer, const struct avro_schema *reader, bool compatible, unsigned *read)
{
    struct buf data = {0}, json = {0};
    struct json value;
    cairn_error error = {0};
    if (put_value(&data, writer->root, 0)) {
        if (avro_check(writer, buf_str(&data), &error) != CAIRN_OK)
            fail_msg("its own data: %s", error.detail);
        cairn_err err = avro_to_json(writer, reader, buf_str(&data), &json, &error);
        if (err != CAIRN_OK && compatible)
            fail_msg("compatible, but: %s", error.detail);
        if (err == CAIRN_OK && json_check(buf_str(&json), &value, &error) != CAIRN_OK)
            fail_msg("%s", error.detail);
        *read += err == CAIRN_OK && compatible;
    }
    buf_free(&data);
    buf_free(&json);
}

static void
check_text(const struct avro_schema *schema, enum avro_form form)
{
    struct buf text = {0}, again = {0};
    struct avro_schema *second = NULL;
    struct arena arena = {0};
    struct schema_faults faults = {.arena = &arena};
    avro_put_text(schema, form, &text);
    if (form == AVRO_WHOLE) { /* without its defaults an enum's text says less */
        CHECK_OK(avro_compile(buf_str(&text), NULL, 0, &second, NULL));
        avro_put_text(second, form, &again);
        CHECK(cairn_str_equal(buf_str(&text), buf_str(&again)));
        CHECK_OK(avro_compatible(second, schema, &faults, NULL));
        CHECK_OK(avro_compatible(schema, second, &faults, NULL));
    } else if (avro_compile(buf_str(&text), NULL, 0, &second, NULL) == CAIRN_OK) {
        avro_put_text(second, form, &again);
        CHECK(cairn_str_equal(buf_str(&text), buf_str(&again)));
    }
    buf_free(&text);
    buf_free(&again);
    avro_free(second);
    arena_free(&arena);
}

TEST(what_is_compatible_can_be_read)
{
    unsigned pairs = 0, compatible = 0, read = 0;
    for (unsigned i = 0; i < 60000 * test_scale(); i++) {
        struct plan plan = {.size = sizeof plan.choices};
        for (size_t k = 0; k < plan.size; k++)
            plan.choices[k] = (uint8_t)pick(256);
        if (pick(4))
            plan.choices[0] = 18; /* a record */
        struct avro_schema *writer = make(&plan);
        for (unsigned changes = 1 + pick(3); changes > 0; changes--)
            plan.choices[1 + pick(20)] = (uint8_t)pick(256);
        struct avro_schema *reader = writer ? make(&plan) : NULL;
        if (reader) {
            struct arena arena = {0};
            struct schema_faults faults = {.arena = &arena};
            bool reads = avro_compatible(reader, writer, &faults, NULL) == CAIRN_OK;
            CHECK(reads == (faults.count == 0));
            pairs++;
            compatible += reads;
            for (int k = 0; k < 4; k++)
                check_data(writer, reader, reads, &read);
            check_text(reader, AVRO_WHOLE);
            check_text(writer, AVRO_PARSING);
            arena_free(&arena);
        }
        avro_free(writer);
        avro_free(reader);
    }
    printf("%u pairs, %u compatible, %u values read\n", pairs, compatible, read);
    CHECK(compatible > pairs / 20 && compatible < pairs - pairs / 20 && read > compatible);
}

int
main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {RUN(what_is_compatible_can_be_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* schema/avro.h: what is a schema and what is not, canonical forms, resolution by the specification's rules, data. */
#include "test.h"

#include <base/json.h>
#include <schema/avro.h>

#define REC(name, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"
#define FIELD(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define FIELD_OR(name, type, fallback) "{\"name\":\"" name "\",\"type\":" type ",\"default\":" fallback "}"

static struct avro_schema *
compiled(const char *text)
{
    struct avro_schema *schema = NULL;
    cairn_error error = {0};
    if (avro_compile(cairn_cstr(text), NULL, 0, &schema, &error) != CAIRN_OK)
        fail_msg("%s: %s", text, error.detail);
    return schema;
}

/* Goal: every kind of type is taken. */
TEST(good_schemas)
{
    static const char *const good[] = {
        "\"null\"", "string", "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4,\"scale\":2}", "[]", "[\"null\",\"int\"]",
        "{\"type\":{\"type\":\"array\",\"items\":\"int\"}}", "{\"type\":\"map\",\"values\":[\"int\",\"string\"]}",
        "{\"type\":\"fixed\",\"name\":\"a.b.F\",\"size\":0}", "{\"type\":\"error\",\"name\":\"E\",\"fields\":[]}",
        "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"],\"default\":\"B\"}",
        REC("List", FIELD("v", "\"int\"") "," FIELD("next", "[\"null\",\"List\"]")),
        REC("R", FIELD_OR("a", "\"double\"", "1") "," FIELD_OR("b", "\"bytes\"", "\"\\u00ff\"") "," FIELD_OR("c", "[\"null\",\"int\"]", "3") ","
            FIELD_OR("d", "{\"type\":\"array\",\"items\":\"long\"}", "[1,2]") "," FIELD_OR("e", "\"float\"", "\"NaN\"")),
        REC("O", FIELD("in", REC("In", FIELD("x", "\"int\""))) "," FIELD_OR("again", "\"In\"", "{\"x\":1}")),
        "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"x.y\",\"fields\":[" FIELD("a", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[]}") ","
        FIELD("b", "\"x.y.E\"") "," FIELD("c", "\"E\"") "]}",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        avro_free(compiled(good[i]));
}

/* Goal: what is no schema is refused, with the place. */
TEST(bad_schemas)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "at byte"}, {"{", "at byte"}, {"5", "a type must be"}, {"\"nothing\"", "there is no type \"nothing\""},
        {"{}", "type must be a string"}, {"{\"type\":\"record\",\"name\":\"R\"}", "\"fields\""},
        {REC("R", "{}"), "/fields/0: a field's name"}, {REC("R", FIELD("a", "\"X\"")), "/fields/0/type: there is no type"},
        {REC("R", "{\"name\":\"a\"}"), "has no type"}, {REC("1R", ""), "is no name"}, {REC("int", ""), "primitive"},
        {REC("R", FIELD("a", "\"int\"") "," FIELD("a", "\"int\"")), "two fields"},
        {REC("R", FIELD_OR("a", "\"int\"", "\"x\"")), "default of a"}, {REC("R", FIELD_OR("a", "\"int\"", "3000000000")), "default"},
        {REC("R", FIELD_OR("a", "\"R\"", "{}")), "default of a"},
        {REC("R", FIELD_OR("a", "[\"string\",\"int\"]", "null")), "default"}, {REC("R", FIELD_OR("a", "\"bytes\"", "\"\\u0100\"")), "default"},
        {"[\"int\",\"int\"]", "twice"}, {"[\"int\",[\"null\"]]", "/1: a union directly"},
        {"[{\"type\":\"array\",\"items\":\"int\"},{\"type\":\"array\",\"items\":\"long\"}]", "twice"},
        {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"A\"]}", "twice"}, {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"a-b\"]}", "no name"},
        {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"],\"default\":\"B\"}", "none of the symbols"},
        {"{\"type\":\"fixed\",\"name\":\"F\"}", "size"}, {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}", "size"},
        {"{\"type\":\"array\"}", "items"}, {"{\"type\":\"map\"}", "values"},
        {"[" REC("R", "") "," REC("R", "") "]", "defined twice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct avro_schema *schema = NULL;
        cairn_error error = {0};
        CHECK_INT(avro_compile(cairn_cstr(bad[i].text), NULL, 0, &schema, &error), CAIRN_E_INVALID);
        if (!strstr(error.detail, bad[i].says))
            fail_msg("%s: %s", bad[i].text, error.detail);
    }
}

/* Goal: defaults that can be looked at in 2^40 ways are not: what falls back on other defaults is compiled, what tries every branch of
 * unions within unions is refused at a bound. Method: forty records, each with two fields whose default needs the one before's;
 * a value that fits neither of two records only at its sixtieth level. */
TEST(defaults_take_few_steps)
{
    struct buf text = {0};
    struct avro_schema *schema = NULL;
    cairn_error error = {0};
    buf_put_str(&text, CAIRN_STR("[" REC("R0", "")));
    for (int i = 1; i <= 40; i++)
        buf_printf(&text, "," REC("R%d", FIELD_OR("a", "\"R%d\"", "{}") "," FIELD_OR("b", "\"R%d\"", "{}")), i, i - 1, i - 1);
    buf_put_char(&text, ']');
    CHECK_INT(avro_compile(buf_str(&text), NULL, 0, &schema, &error), CAIRN_OK);
    avro_free(schema);
    text.size = 0;
    buf_put_str(&text, CAIRN_STR("[" REC("A", FIELD("x", "[\"null\",\"A\"," REC("B", FIELD("x", "[\"null\",\"A\",\"B\"]")) "]")) ","
                                 "{\"type\":\"record\",\"name\":\"C\",\"fields\":[{\"name\":\"c\",\"type\":\"A\",\"default\":"));
    for (int i = 0; i < 60; i++)
        buf_put_str(&text, CAIRN_STR("{\"x\":"));
    buf_put_char(&text, '5');
    for (int i = 0; i < 60; i++)
        buf_put_char(&text, '}');
    buf_put_str(&text, CAIRN_STR("}]}]"));
    CHECK_INT(avro_compile(buf_str(&text), NULL, 0, &schema, &error), CAIRN_E_LIMIT);
    assert_non_null(strstr(error.detail, "1000000 steps"));
    buf_free(&text);
}

static void
check_text(const char *text, enum avro_form form, const char *wanted)
{
    struct avro_schema *schema = compiled(text);
    struct buf to = {0};
    avro_put_text(schema, form, &to);
    buf_put_char(&to, 0);
    CHECK_STR(to.data, wanted);
    buf_free(&to);
    avro_free(schema);
}

/* Goal: Parsing Canonical Form as the specification gives it; the whole form keeps what else was said, in one order. */
TEST(canonical_forms)
{
    check_text("{\"type\":\"int\"}", AVRO_PARSING, "\"int\"");
    check_text("{ \"type\" : \"string\", \"avro.java.string\":\"String\"}", AVRO_PARSING, "\"string\"");
    check_text("{ \"type\" : \"string\", \"b\":1,\"a\":[ 2 ]}", AVRO_WHOLE, "{\"type\":\"string\",\"a\":[2],\"b\":1}");
    check_text("[ \"null\" , {\"type\":\"boolean\"}]", AVRO_PARSING, "[\"null\",\"boolean\"]");
    check_text("{\"fields\":[], \"type\":\"record\", \"name\":\"foo\", \"namespace\":\"x.y\", \"doc\":\"d\", \"aliases\":[\"foo\",\"bar\"]}", AVRO_PARSING,
               "{\"name\":\"x.y.foo\",\"type\":\"record\",\"fields\":[]}");
    check_text("{\"fields\":[], \"type\":\"record\", \"name\":\"foo\", \"namespace\":\"x.y\", \"doc\":\"d\", \"aliases\":[\"foo\",\"bar\"]}", AVRO_WHOLE,
               "{\"name\":\"x.y.foo\",\"type\":\"record\",\"fields\":[],\"aliases\":[\"x.y.foo\",\"x.y.bar\"],\"doc\":\"d\"}");
    check_text("{\"type\":\"enum\", \"name\":\"foo\", \"symbols\":[\"A1\", \"A2\"], \"doc\":\"x\"}", AVRO_PARSING,
               "{\"name\":\"foo\",\"type\":\"enum\",\"symbols\":[\"A1\",\"A2\"]}");
    check_text("{\"name\":\"foo\",\"type\":\"fixed\",\"size\":15}", AVRO_PARSING, "{\"name\":\"foo\",\"type\":\"fixed\",\"size\":15}");
    check_text("{ \"values\":{\"type\":\"map\", \"values\":\"int\"}, \"type\":\"map\"}", AVRO_PARSING,
               "{\"type\":\"map\",\"values\":{\"type\":\"map\",\"values\":\"int\"}}");
    check_text("{\"type\":\"record\",\"name\":\"PigValue\",\"fields\":[{\"default\":null,\"name\":\"value\",\"type\":[\"null\",\"int\",\"long\",\"PigValue\"]}]}",
               AVRO_PARSING, "{\"name\":\"PigValue\",\"type\":\"record\",\"fields\":[{\"name\":\"value\",\"type\":[\"null\",\"int\",\"long\",\"PigValue\"]}]}");
    check_text(REC("R", "{\"type\":\"int\",\"order\":\"ignore\",\"name\":\"a\",\"default\":1}"), AVRO_WHOLE,
               "{\"name\":\"R\",\"type\":\"record\",\"fields\":[{\"name\":\"a\",\"type\":\"int\",\"default\":1,\"order\":\"ignore\"}]}");
}

/* Goal: types of other documents can be used, and are not written as one's own. */
TEST(documents)
{
    cairn_str references[] = {CAIRN_STR("{\"type\":\"record\",\"name\":\"A\",\"namespace\":\"n\",\"fields\":[]}"),
                              CAIRN_STR("{\"type\":\"array\",\"items\":\"n.A\"}")};
    struct avro_schema *schema = NULL;
    CHECK_OK(avro_compile(CAIRN_STR(REC("B", FIELD("a", "\"n.A\""))), references, 2, &schema, NULL));
    struct buf to = {0};
    avro_put_text(schema, AVRO_PARSING, &to);
    CHECK(cairn_str_equal(buf_str(&to), CAIRN_STR("{\"name\":\"B\",\"type\":\"record\",\"fields\":[{\"name\":\"a\",\"type\":\"n.A\"}]}")));
    buf_free(&to);
    avro_free(schema);
}

#define ENUM(symbols) "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[" symbols "]}"
#define ENUM_OR(symbols, fallback) "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[" symbols "],\"default\":" fallback "}"
#define FIXED(name, size) "{\"type\":\"fixed\",\"name\":\"" name "\",\"size\":" size "}"
#define ARRAY(item) "{\"type\":\"array\",\"items\":" item "}"
#define MAP(item) "{\"type\":\"map\",\"values\":" item "}"

/* Goal: who can read what, by "Schema Resolution" of the specification and the names of Avro's faults. */
TEST(resolution)
{
    static const struct {
        const char *reader, *writer, *fault, *place; /* fault NULL: it reads */
    } table[] = {
        {"\"long\"", "\"int\"", NULL, NULL}, {"\"float\"", "\"int\"", NULL, NULL}, {"\"double\"", "\"int\"", NULL, NULL},
        {"\"float\"", "\"long\"", NULL, NULL}, {"\"double\"", "\"long\"", NULL, NULL}, {"\"double\"", "\"float\"", NULL, NULL},
        {"\"string\"", "\"bytes\"", NULL, NULL}, {"\"bytes\"", "\"string\"", NULL, NULL},
        {"\"int\"", "\"long\"", "TYPE_MISMATCH", "/type"}, {"\"float\"", "\"double\"", "TYPE_MISMATCH", "/type"},
        {"\"int\"", "\"string\"", "TYPE_MISMATCH", "/type"}, {"\"boolean\"", "\"int\"", "TYPE_MISMATCH", "/type"},
        {ARRAY("\"long\""), ARRAY("\"int\""), NULL, NULL}, {ARRAY("\"int\""), ARRAY("\"long\""), "TYPE_MISMATCH", "/items/type"},
        {MAP("\"int\""), MAP("\"long\""), "TYPE_MISMATCH", "/values/type"}, {MAP("\"int\""), ARRAY("\"int\""), "TYPE_MISMATCH", "/type"},
        {ENUM("\"A\",\"B\""), ENUM("\"A\""), NULL, NULL}, {ENUM("\"A\""), ENUM("\"A\",\"B\""), "MISSING_ENUM_SYMBOLS", "/symbols"},
        {ENUM_OR("\"A\"", "\"A\""), ENUM("\"A\",\"B\""), NULL, NULL},
        {FIXED("F", "4"), FIXED("F", "8"), "FIXED_SIZE_MISMATCH", "/size"}, {FIXED("F", "4"), FIXED("G", "4"), "NAME_MISMATCH", "/name"},
        {FIXED("a.F", "4"), FIXED("b.F", "4"), NULL, NULL},
        {REC("R", ""), REC("R", FIELD("a", "\"int\"")), NULL, NULL},
        {REC("R", FIELD("a", "\"int\"")), REC("R", ""), "READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/0"},
        {REC("R", FIELD_OR("a", "\"int\"", "1")), REC("R", ""), NULL, NULL},
        {REC("R", FIELD("a", "\"int\"")), REC("R", FIELD("a", "\"string\"")), "TYPE_MISMATCH", "/fields/0/type/type"},
        {REC("R", ""), REC("S", ""), "NAME_MISMATCH", "/name"},
        {"{\"type\":\"record\",\"name\":\"R\",\"aliases\":[\"S\"],\"fields\":[]}", REC("S", ""), NULL, NULL},
        {REC("R", "{\"name\":\"b\",\"aliases\":[\"a\"],\"type\":\"long\"}"), REC("R", FIELD("a", "\"int\"")), NULL, NULL},
        {"[\"null\",\"int\"]", "\"int\"", NULL, NULL}, {"\"int\"", "[\"int\"]", NULL, NULL},
        {"\"int\"", "[\"null\",\"int\"]", "TYPE_MISMATCH", "/type"}, {"[\"null\",\"string\"]", "\"int\"", "MISSING_UNION_BRANCH", "/"},
        {"[\"null\",\"double\"]", "[\"int\",\"float\"]", NULL, NULL}, {"[\"null\"]", "[\"null\",\"int\"]", "MISSING_UNION_BRANCH", "/"},
        {REC("L", FIELD("next", "[\"null\",\"L\"]")), REC("L", FIELD("next", "[\"null\",\"L\"]")), NULL, NULL},
        {REC("L", FIELD("v", "\"long\"") "," FIELD("next", "[\"null\",\"L\"]")), REC("L", FIELD("v", "\"int\"") "," FIELD("next", "[\"null\",\"L\"]")), NULL, NULL},
        {REC("L", FIELD("next", "[\"null\",\"L\"]") "," FIELD("w", "\"int\"")), REC("L", FIELD("next", "[\"null\",\"L\"]")),
         "READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/1"},
        /* what was found within a branch that did not hold must not be taken as known by the next */
        {REC("T", FIELD("u", "[" REC("A", FIELD("t", REC("B", FIELD("a", "[\"null\",\"A\"]"))) "," FIELD("x", "\"int\"")) ",\"null\"]") "," FIELD("b", "\"B\"")),
         REC("T", FIELD("u", "[" REC("A", FIELD("t", REC("B", FIELD("a", "[\"null\",\"A\"]")))) ",\"null\"]") "," FIELD("b", "\"B\"")),
         "MISSING_UNION_BRANCH", "/fields/0/type"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct avro_schema *reader = compiled(table[i].reader), *writer = compiled(table[i].writer);
        struct arena arena = {0};
        struct schema_faults faults = {.arena = &arena};
        cairn_error error = {0};
        cairn_err err = avro_compatible(reader, writer, &faults, &error);
        if (!table[i].fault && err != CAIRN_OK)
            fail_msg("%s cannot read %s: %s", table[i].reader, table[i].writer, error.detail);
        if (table[i].fault && (err != CAIRN_E_INVALID || faults.count == 0 || strcmp(faults.items[0].type, table[i].fault) != 0 ||
                               !cairn_str_equal(faults.items[0].place, cairn_cstr(table[i].place))))
            fail_msg("%s reads %s: %d, %s at %s", table[i].reader, table[i].writer, err, faults.count ? faults.items[0].type : "nothing",
                     faults.count ? faults.items[0].place.data : "");
        arena_free(&arena);
        avro_free(reader);
        avro_free(writer);
    }
}

/* Goal: data as the reader sees it. The bytes are the specification's examples and by hand. */
TEST(data)
{
    static const struct {
        const char *writer, *reader, *bytes;
        size_t size;
        const char *json; /* NULL: it is refused */
    } table[] = {
        {"\"int\"", NULL, "\x01", 1, "-1"}, {"\"int\"", NULL, "\x80\x01", 2, "64"}, {"\"long\"", "\"double\"", "\x02", 1, "1"},
        {"\"int\"", NULL, "\x80\x80\x80\x80\x80\x01", 6, NULL}, {"\"int\"", NULL, "", 0, NULL}, {"\"int\"", NULL, "\x02\x02", 2, NULL},
        {"\"string\"", NULL, "\x06" "foo", 4, "\"foo\""}, {"\"string\"", NULL, "\x06" "fo", 3, NULL}, {"\"string\"", NULL, "\x02\xff", 2, NULL},
        {"\"bytes\"", NULL, "\x04\x00\xff", 3, "\"\\u0000\\u00ff\""}, {"\"boolean\"", NULL, "\x01", 1, "true"}, {"\"boolean\"", NULL, "\x02", 1, NULL},
        {"\"float\"", NULL, "\x00\x00\xc0\x3f", 4, "1.5"}, {"\"double\"", NULL, "\x00\x00\x00\x00\x00\x00\xf8\x7f", 8, "\"NaN\""},
        {REC("t", FIELD("a", "\"long\"") "," FIELD("b", "\"string\"")), NULL, "\x36\x06" "foo", 5, "{\"a\":27,\"b\":\"foo\"}"},
        {ARRAY("\"long\""), NULL, "\x04\x06\x36\x00", 4, "[3,27]"}, {ARRAY("\"long\""), NULL, "\x03\x04\x06\x36\x00", 5, "[3,27]"},
        {ARRAY("\"null\""), NULL, "\xfe\xff\xff\xff\xff\xff\xff\x7f\x00", 9, NULL}, {ARRAY("\"long\""), NULL, "\x04\x06", 2, NULL},
        {MAP("\"int\""), NULL, "\x02\x02" "k\x04\x00", 5, "{\"k\":2}"}, {"[\"null\",\"string\"]", NULL, "\x02\x02" "a", 3, "\"a\""},
        {"[\"null\",\"string\"]", NULL, "\x00", 1, "null"}, {"[\"null\",\"string\"]", NULL, "\x04", 1, NULL},
        {ENUM("\"A\",\"B\""), NULL, "\x02", 1, "\"B\""}, {ENUM("\"A\",\"B\""), NULL, "\x04", 1, NULL},
        {ENUM("\"A\",\"B\""), ENUM_OR("\"A\"", "\"A\""), "\x02", 1, "\"A\""}, {ENUM("\"A\",\"B\""), ENUM("\"A\""), "\x02", 1, NULL},
        {FIXED("F", "2"), NULL, "ab", 2, "\"ab\""}, {FIXED("F", "2"), NULL, "a", 1, NULL},
        {REC("R", FIELD("a", "\"int\"") "," FIELD("b", "\"int\"")), REC("R", FIELD_OR("c", "[\"null\",\"int\"]", "null") "," FIELD("b", "\"long\"")),
         "\x02\x04", 2, "{\"b\":2,\"c\":null}"},
        {"[\"int\",\"string\"]", "[\"null\",\"string\",\"double\"]", "\x00\x06", 2, "3"}, {"[\"int\",\"string\"]", "\"string\"", "\x00\x06", 2, NULL},
        {REC("L", FIELD("n", "[\"null\",\"L\"]")), NULL, "\x02\x02\x00", 3, "{\"n\":{\"n\":{\"n\":null}}}"},
        {REC("L", FIELD("n", "\"L\"")), NULL, "", 0, NULL}, /* never ends */
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct avro_schema *writer = compiled(table[i].writer), *reader = table[i].reader ? compiled(table[i].reader) : NULL;
        struct buf to = {0};
        cairn_error error = {0};
        cairn_str bytes = {table[i].bytes, table[i].size};
        cairn_err err = avro_to_json(writer, reader ? reader : writer, bytes, &to, &error);
        buf_put_char(&to, 0);
        if (err != (table[i].json ? CAIRN_OK : CAIRN_E_INVALID) || (table[i].json && strcmp(to.data, table[i].json) != 0))
            fail_msg("%zu: %s: %s %s", i, table[i].writer, to.data, error.detail);
        if (!reader)
            CHECK_INT(avro_check(writer, bytes, NULL), err);
        buf_free(&to);
        avro_free(writer);
        avro_free(reader);
    }
}

/* Goal: what is too much is a limit, not a crash. */
TEST(limits)
{
    struct buf text = {0};
    struct avro_schema *schema = NULL;
    for (int i = 0; i < 200; i++)
        buf_put_str(&text, CAIRN_STR("{\"type\":\"array\",\"items\":"));
    CHECK_INT(avro_compile(buf_str(&text), NULL, 0, &schema, NULL), CAIRN_E_LIMIT);
    buf_clear(&text);
    buf_put_char(&text, '[');
    for (int i = 0; i < 10001; i++)
        buf_printf(&text, "%s{\"type\":\"fixed\",\"name\":\"F%d\",\"size\":1}", i ? "," : "", i);
    buf_put_char(&text, ']');
    CHECK_INT(avro_compile(buf_str(&text), NULL, 0, &schema, NULL), CAIRN_E_LIMIT);
    buf_clear(&text);
    for (int i = 0; i < (1 << 20) + 1; i++)
        buf_put_char(&text, ' ');
    CHECK_INT(avro_compile(buf_str(&text), NULL, 0, &schema, NULL), CAIRN_E_LIMIT);
    /* a list of a thousand within each other */
    schema = compiled(REC("L", FIELD("n", "[\"null\",\"L\"]")));
    buf_clear(&text);
    for (int i = 0; i < 1000; i++)
        buf_put_char(&text, 2);
    buf_put_char(&text, 0);
    CHECK_INT(avro_check(schema, buf_str(&text), NULL), CAIRN_E_INVALID);
    buf_free(&text);
    avro_free(schema);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(good_schemas), RUN(bad_schemas), RUN(defaults_take_few_steps), RUN(canonical_forms), RUN(documents), RUN(resolution),
                                       RUN(data), RUN(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* schema/protobuf.h: what is a .proto file and what is not, text and descriptor there and back, compatibility, data. */
#include "test.h"

#include <base/text.h>
#include <schema/kind.h>
#include <schema/protobuf.h>

#define P3 "syntax = \"proto3\"; "
#define P2 "syntax = \"proto2\"; "

static struct protobuf_schema *
compiled(const char *text)
{
    struct protobuf_schema *schema = NULL;
    cairn_error error = {0};
    if (protobuf_compile(cairn_cstr(text), NULL, 0, &schema, &error) != CAIRN_OK)
        fail_msg("%s: %s", text, error.detail);
    return schema;
}

/* Everything at once: what the tests below take as an example. */
static const char everything[] =
    "// a comment\nsyntax = \"proto3\";\npackage shop.v1;\nimport \"google/protobuf/timestamp.proto\";\n"
    "import public 'google/protobuf/any.proto';\noption java_package = \"com.\" \"shop\";\noption optimize_for = SPEED;\n"
    "option (custom).x = { a: 1 b: \"}\" };\n"
    "/* block\n comment */ message Order {\n  option deprecated = true;\n  reserved 9, 20 to 22, 100 to max;\n  reserved \"old\", \"older\";\n"
    "  string id = 1 [json_name = \"ID\", deprecated = true, (validate.rules).string.min_len = 1];\n  repeated Line lines = 2;\n  map<string, Line> by_sku = 3;\n"
    "  optional int32 count = 4;\n  oneof how { string card = 5; .shop.v1.Order.Cash cash = 6; }\n  google.protobuf.Timestamp at = 7;\n"
    "  Status status = 8 ;;\n  repeated sint64 deltas = 10 [packed = false];\n"
    "  message Line { string sku = 1; Order back = 2; enum Unit { UNIT_NONE = 0; UNIT_KG = 1; } Unit unit = 3; }\n  message Cash { double amount = 0x1; }\n}\n"
    "enum Status { option allow_alias = true; reserved 5 to 7; reserved \"GONE\"; NEW = 0; OPEN = 1; STARTED = 1 [deprecated = true]; DONE = -2; }\n"
    "service Orders { rpc Get (Order) returns (stream Order) { option (x) = {}; } }\n"
    "message Empty {}\n";

/* Goal: every part of the language is taken; text and descriptor made of it say the same. */
TEST(there_and_back)
{
    static const char *const texts[] = {
        everything, P3, "message A { required int32 a = 1; optional group G = 2 { repeated string s = 3; } extensions 100 to 199; }",
        P2 "message A { optional string s = 1 [default = \"a\\\"b\\n\\001\\xff\"]; optional double d = 2 [default = -inf]; optional E e = 3 [default = B];"
        " optional bytes b = 4 [default = \"\\000x\"]; } enum E { A_ = 1; B = 2; } extend A { optional int32 x = 100; }",
        P3 "message message { string string = 1; int32 int32 = 2; bool option_ = 3; }",
        P3 "import \"google/protobuf/struct.proto\"; import \"google/protobuf/wrappers.proto\"; import \"confluent/type/decimal.proto\";"
        " message A { google.protobuf.Struct s = 1; google.protobuf.Int64Value v = 2; confluent.type.Decimal d = 3; }",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct protobuf_schema *schema = compiled(texts[i]), *again, *third;
        struct buf text = {0}, descriptor = {0}, second = {0}, canonical = {0}, canonical_again = {0};
        protobuf_put_text(schema, false, &text);
        buf_put_char(&text, 0);
        again = compiled(text.data);
        CHECK_OK(protobuf_put_descriptor(schema, &descriptor, NULL));
        CHECK_OK(protobuf_put_descriptor(again, &second, NULL));
        CHECK(cairn_str_equal(buf_str(&descriptor), buf_str(&second)));
        buf_put_char(&descriptor, 0);
        third = compiled(descriptor.data);
        CHECK(protobuf_was_descriptor(third) && !protobuf_was_descriptor(schema));
        buf_clear(&second);
        CHECK_OK(protobuf_put_descriptor(third, &second, NULL));
        descriptor.size--;
        CHECK(cairn_str_equal(buf_str(&descriptor), buf_str(&second)));
        if (i > 0 && i != 3) { /* the custom options and the service of that one, and the extension of this, only the text has */
            protobuf_put_text(schema, true, &canonical);
            protobuf_put_text(third, true, &canonical_again);
            buf_put_char(&canonical, 0);
            buf_put_char(&canonical_again, 0);
            CHECK_STR(canonical.data, canonical_again.data);
        }
        buf_free(&text);
        buf_free(&descriptor);
        buf_free(&second);
        buf_free(&canonical);
        buf_free(&canonical_again);
        protobuf_free(schema);
        protobuf_free(again);
        protobuf_free(third);
    }
}

/* Goal: comments, white space, the order of fields and relative names make no difference; messages' order does. */
TEST(canonical_text)
{
    static const struct {
        const char *a, *b;
        bool same;
    } table[] = {
        {P3 "package p; message A { B b = 1; string c = 2; } message B {}",
         "//x\n" P3 "package p;message A{string c=0x2;/*y*/.p.B b=1;}message B{}", true},
        {P3 "message A {} message B {}", P3 "message B {} message A {}", false},
        {P3 "message A { string a = 1; }", P3 "message A { string b = 1; }", false},
        {P3 "message A { string a = 1; }", P3 "message A { optional string a = 1; }", false},
        {P3 "message A { string a = 1 [(x) = 1]; }", P3 "message A { string a = 1 [(x) = 2]; }", false},
        {"message A {}", P2 "message A {}", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct protobuf_schema *a = compiled(table[i].a), *b = compiled(table[i].b);
        struct buf x = {0}, y = {0};
        protobuf_put_text(a, true, &x);
        protobuf_put_text(b, true, &y);
        if (cairn_str_equal(buf_str(&x), buf_str(&y)) != table[i].same)
            fail_msg("%s\n%s", table[i].a, table[i].b);
        buf_free(&x);
        buf_free(&y);
        protobuf_free(a);
        protobuf_free(b);
    }
}

/* Goal: what is no .proto file is refused, with the line where there is one. */
TEST(bad_files)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"nonsense", "descriptor"}, {"no sense", "line 1: no where a message"}, {P3 "\n\nmessage A {", "line 3: the text ends"},
        {"syntax = \"proto4\";", "proto2"}, {"edition = \"2023\";", "editions"}, {P3 "message A { int32 a = 0; }", "cannot be a field's number"},
        {P3 "message A { int32 a = 19500; }", "cannot be a field's number"}, {P3 "message A { int32 a = 536870912; }", "cannot be"},
        {P3 "message A { int32 a = 1; int32 b = 1; }", "two fields of number 1"}, {P3 "message A { int32 a = 1; int32 a = 2; }", "two fields called a"},
        {P3 "message A { B b = 1; }", "there is no type B"}, {P3 "message A {} message A {}", "defined twice"},
        {P3 "message A { required int32 a = 1; }", "no required"}, {P2 "message A { int32 a = 1; }", "must be optional"},
        {P3 "message A { map<bytes, int32> m = 1; }", "key of a map"}, {P3 "message A { oneof x { } }", "without a field"},
        {P3 "message A { oneof x { repeated int32 a = 1; } }", "no label"}, {P3 "enum E { A = 1; }", "must be 0"}, {P3 "enum E { }", "has no value"},
        {P3 "enum E { A = 0; B = 0; }", "twice"}, {P3 "message A { reserved 1 to 3; int32 a = 2; }", "reserved"},
        {P3 "message A { reserved \"a\"; int32 a = 2; }", "reserved"}, {P3 "import \"x.proto\";", "imports \"x.proto\""},
        {P3 "message A { string s = 1 [default = \"x; }", "does not end"}, {P3 "/* x", "does not end"}, {P3 "message A { reserved 5 to 3; }", "ends before"},
        {"AAAA", "descriptor"}, {"CgA=x", "descriptor"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct protobuf_schema *schema = NULL;
        cairn_error error = {0};
        if (protobuf_compile(cairn_cstr(bad[i].text), NULL, 0, &schema, &error) != CAIRN_E_INVALID || !strstr(error.detail, bad[i].says))
            if (strcmp(bad[i].says, "descriptor") != 0 || schema)
                fail_msg("%s: %s", bad[i].text, error.detail);
    }
}

#define A(fields) P3 "message A { " fields " }"

/* Goal: which changes are compatible, by Confluent's published rules (protobuf's section of its documents and its table of
 * differences). The second is the newer, and reads. */
TEST(compatibility)
{
    static const struct {
        const char *older, *newer, *fault; /* fault NULL: compatible */
    } table[] = {
        {A("string a = 1;"), A("string a = 1; string b = 2;"), NULL},
        {A("string a = 1; string b = 2;"), A("string a = 1;"), NULL},
        {A("string a = 1;"), A("string z = 1;"), NULL},
        {A("string a = 1;"), A("bytes a = 1;"), NULL},
        {A("int32 a = 1;"), A("uint64 a = 1;"), NULL},
        {A("int32 a = 1;"), A("bool a = 1;"), NULL},
        {A("sint32 a = 1;"), A("sint64 a = 1;"), NULL},
        {A("fixed32 a = 1;"), A("sfixed32 a = 1;"), NULL},
        {A("fixed64 a = 1;"), A("sfixed64 a = 1;"), NULL},
        {A("E a = 1; enum E { X = 0; }"), A("int32 a = 1;"), NULL},
        {A("int32 a = 1;"), A("sint32 a = 1;"), "FIELD_SCALAR_KIND_CHANGED"},
        {A("int32 a = 1;"), A("string a = 1;"), "FIELD_SCALAR_KIND_CHANGED"},
        {A("float a = 1;"), A("double a = 1;"), "FIELD_SCALAR_KIND_CHANGED"},
        {A("fixed32 a = 1;"), A("fixed64 a = 1;"), "FIELD_SCALAR_KIND_CHANGED"},
        {A("string a = 1;"), A("A a = 1;"), "FIELD_KIND_CHANGED"},
        {A("map<string, int32> a = 1;"), A("map<string, bool> a = 1;"), NULL},
        {A("map<string, int32> a = 1;"), A("map<string, string> a = 1;"), "FIELD_SCALAR_KIND_CHANGED"},
        {A("map<string, int32> a = 1;"), A("string a = 1;"), "FIELD_KIND_CHANGED"},
        {A("B a = 1;") "message B {} message C {}", A("C a = 1;") "message B {} message C {}", "FIELD_NAMED_TYPE_CHANGED"},
        {A("B a = 1;") "message B { int32 x = 1; }", A("B a = 1;") "message B { string x = 1; }", "FIELD_SCALAR_KIND_CHANGED"},
        {A("") "message B {}", A(""), "MESSAGE_REMOVED"},
        {A(""), A("") "message B {}", NULL},
        {A("") "message B {}", P3 "message B {} message A {}", NULL},
        {A("message N {}"), A(""), "MESSAGE_REMOVED"},
        {A("") "enum E { X = 0; }", A(""), NULL},
        {A("") "enum E { X = 0; Y = 1; }", A("") "enum E { X = 0; Z = 2; }", NULL},
        {P3 "package p; message A {}", P3 "package q; message A {}", "PACKAGE_CHANGED"},
        {A("string a = 1;"), A("oneof o { string a = 1; }"), NULL},
        {A("string a = 1; string b = 2;"), A("oneof o { string a = 1; string b = 2; }"), "MULTIPLE_FIELDS_MOVED_TO_ONEOF"},
        {A("oneof o { string a = 1; } string b = 2;"), A("oneof o { string a = 1; string b = 2; }"), "FIELD_MOVED_TO_EXISTING_ONEOF"},
        {A("oneof o { string a = 1; string b = 2; }"), A("oneof o { string a = 1; }"), "ONEOF_FIELD_REMOVED"},
        {A("oneof o { string a = 1; }"), A("oneof o { string a = 1; string b = 2; }"), NULL},
        {A("oneof o { string a = 1; }"), A("string a = 1;"), NULL},
        {A("oneof o { string a = 1; }"), A("int32 a = 1;"), "FIELD_SCALAR_KIND_CHANGED"},
        {P2 "message A { optional int32 a = 1; }", P2 "message A { optional int32 a = 1; required int32 b = 2; }", "REQUIRED_FIELD_ADDED"},
        {P2 "message A { required int32 a = 1; }", P2 "message A { }", "REQUIRED_FIELD_REMOVED"},
        {A("A a = 1; int32 b = 2;"), A("A a = 1; bool b = 2;"), NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct protobuf_schema *older = compiled(table[i].older), *newer = compiled(table[i].newer);
        struct arena arena = {0};
        struct schema_faults faults = {.arena = &arena};
        cairn_err err = protobuf_compatible(newer, older, &faults, NULL);
        const char *fault = faults.count ? faults.items[0].type : NULL;
        if (err != (table[i].fault ? CAIRN_E_INVALID : CAIRN_OK) || (table[i].fault && strcmp(fault, table[i].fault) != 0))
            fail_msg("%s\n%s: %s", table[i].older, table[i].newer, fault ? fault : "compatible");
        arena_free(&arena);
        protobuf_free(older);
        protobuf_free(newer);
    }
}

/* Goal: values: message indexes, then fields by their wire types; what is not known is passed over. */
TEST(data)
{
    static const char text[] =
        "message A { optional int32 i = 1; optional string s = 2; repeated fixed32 f = 3; optional A a = 4; required bool must = 5;"
        " optional group G = 6 { optional int32 x = 1; } message N { optional string s = 1; message M { required int32 z = 1; } } }"
        "";
    static const struct {
        const char *bytes;
        size_t size;
        bool good;
    } table[] = {
        {"\x00\x28\x01", 3, true}, {"\x00", 1, false} /* must */, {"", 0, false}, {"\x02\x00\x28\x01", 4, true} /* [0] */,
        {"\x04\x00\x02", 3, true} /* [0,1]: A.N */, {"\x06\x00\x02\x00\x08\x05", 6, true} /* A.N.M */, {"\x06\x00\x02\x00", 4, false},
        {"\x02\x08", 2, false} /* no fourth message */, {"\x01", 1, false}, {"\x02\x01", 2, false},
        {"\x00\x08\x80\x01\x28\x01", 6, true}, {"\x00\x08\x80", 3, false}, {"\x00\x0a\x00\x28\x01", 5, false} /* i is no text */,
        {"\x00\x12\x02hi\x28\x01", 7, true}, {"\x00\x12\x09hi\x28\x01", 7, false}, {"\x00\x1a\x04\x01\x02\x03\x04\x28\x01", 9, true} /* packed */,
        {"\x00\x1d\x01\x02\x03\x04\x28\x01", 8, true} /* not packed */, {"\x00\x1a\x03\x01\x02\x03\x28\x01", 8, false},
        {"\x00\x22\x02\x28\x01\x28\x01", 7, true} /* a */, {"\x00\x22\x00\x28\x01", 5, false} /* a without must */,
        {"\x00\x33\x08\x01\x34\x28\x01", 7, true} /* group */, {"\x00\x33\x08\x01\x28\x01", 6, false}, {"\x00\x33\x3c\x28\x01", 5, false},
        {"\x00\xf8\x07\x01\x28\x01", 6, true} /* unknown */, {"\x00\xfb\x07\x08\x01\xfc\x07\x28\x01", 9, true}, {"\x00\x07\x28\x01", 4, false},
        {"\x00\x00\x28\x01", 4, false} /* number 0 */,
    };
    struct protobuf_schema *schema = compiled(text);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        cairn_error error = {0};
        cairn_err err = protobuf_check(schema, (cairn_str){table[i].bytes, table[i].size}, &error);
        if (err != (table[i].good ? CAIRN_OK : CAIRN_E_INVALID))
            fail_msg("%zu: %s", i, error.detail);
    }
    protobuf_free(schema);
    schema = compiled(P3 "message A { string s = 1; map<string, A> m = 2; }");
    CHECK_OK(protobuf_check(schema, (cairn_str){"\x00\x12\x07\x0a\x01k\x12\x02\x0a\x00", 10}, NULL));
    CHECK_INT(protobuf_check(schema, (cairn_str){"\x00\x0a\x01\xff", 4}, NULL), CAIRN_E_INVALID); /* not UTF-8 */
    CHECK_INT(protobuf_check(schema, (cairn_str){"\x00\x12\x04\x0a\x02k", 6}, NULL), CAIRN_E_INVALID);
    /* messages within messages without end */
    struct buf deep = {0};
    struct protobuf_schema *loop = compiled(P2 "message L { optional group G = 1 { optional L l = 2; } }");
    buf_put_char(&deep, 0);
    for (int i = 0; i < 300; i++)
        buf_put_char(&deep, 0x0b);
    CHECK_INT(protobuf_check(loop, buf_str(&deep), NULL), CAIRN_E_INVALID);
    buf_free(&deep);
    protobuf_free(loop);
    protobuf_free(schema);
}

/* Goal: imports are looked for among the references, and theirs too. */
TEST(imports)
{
    const struct schema_text references[] = {
        {CAIRN_STR("deep.proto"), CAIRN_STR(P3 "package d; message Deep { string s = 1; }")},
        {CAIRN_STR("mid.proto"), CAIRN_STR(P3 "package m; import \"deep.proto\"; message Mid { d.Deep deep = 1; }")}};
    struct protobuf_schema *schema = NULL;
    CHECK_OK(protobuf_compile(CAIRN_STR(P3 "package m.inner; import \"mid.proto\"; message Top { m.Mid mid = 1; Mid same = 2; }"), references, 2,
                              &schema, NULL));
    CHECK_OK(protobuf_check(schema, (cairn_str){"\x00\x0a\x05\x0a\x03\x0a\x01x", 8}, NULL));
    CHECK_INT(protobuf_check(schema, (cairn_str){"\x00\x0a\x05\x0a\x03\x0a\x01\xff", 8}, NULL), CAIRN_E_INVALID);
    protobuf_free(schema);
    CHECK_INT(protobuf_compile(CAIRN_STR(P3 "import \"mid.proto\";"), references + 1, 1, &schema, NULL), CAIRN_E_INVALID);
}

/* The outcome of a text with `count` times `each` in it, or of a descriptor: that begins with a name (0x0A). */
static cairn_err
compile_many(cairn_str begin, cairn_str each, int count, cairn_str end, cairn_error *error)
{
    struct protobuf_schema *schema = NULL;
    struct buf text = {0}, bytes = {0};
    buf_put_str(&text, begin);
    for (int i = 0; i < count; i++)
        buf_put_str(&text, each);
    buf_put_str(&text, end);
    if (begin.data[0] == '\n')
        base64_put(&bytes, buf_str(&text));
    CHECK(!text.failed && !bytes.failed);
    cairn_err err = protobuf_compile(bytes.size > 0 ? buf_str(&bytes) : buf_str(&text), NULL, 0, &schema, error);
    buf_free(&bytes);
    buf_free(&text);
    protobuf_free(schema);
    return err;
}

/* Goal: what is put at the end of a list, found by walking it, is bounded: 1,000 options are taken in a place and no more, however they
 * come; nor are imports made public again and again. Method: as many, and one more; a text, options that nobody keeps, a descriptor. */
TEST(lists_are_bounded)
{
    static const struct {
        cairn_str begin, each, end;
        int most;
        const char *says;
    } all[] = {
        {CAIRN_STR(P3 "message A { int32 a = 1 [z = 0"), CAIRN_STR(",x=1"), CAIRN_STR("]; }"), 999, "options"},
        {CAIRN_STR(P3 "message A {"), CAIRN_STR("option x=1;"), CAIRN_STR("}"), 1000, "options"},
        {CAIRN_STR(P2 "message A { extensions 100 [z = 0"), CAIRN_STR(",x=1"), CAIRN_STR("]; }"), 999, "options"},
        {CAIRN_STR("\x0A\x01x\x62\x06proto3"), CAIRN_STR("\x42\x02\x50\x01"), CAIRN_STR(""), 1000, "options"}, /* java_multiple_files */
        {CAIRN_STR("\x0A\x01x\x62\x06proto3"), CAIRN_STR("\x50\x07"), CAIRN_STR(""), 10000, "messages, enums"}, /* public_dependency */
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        cairn_error error = {0};
        if (compile_many(all[i].begin, all[i].each, all[i].most, all[i].end, &error) != CAIRN_OK)
            fail_msg("%zu: %s", i, error.detail);
        CHECK_INT(compile_many(all[i].begin, all[i].each, all[i].most + 1, all[i].end, &error), CAIRN_E_LIMIT);
        assert_non_null(strstr(error.detail, all[i].says));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(there_and_back), RUN(canonical_text), RUN(bad_files), RUN(compatibility), RUN(data),
                                       RUN(imports), RUN(lists_are_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

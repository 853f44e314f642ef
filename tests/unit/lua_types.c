/* TypeScript types from JSON Schemas, as text; tests/integration/typescript.c compiles them. */
#include "../test.h"

#include <app/lua/types_ts.h>

/* The type that the schema of command C gets. */
static void
check_type(const char *schema, const char *type)
{
    struct lua_type_source source = {LUA_TYPE_COMMAND, CAIRN_STR("C"), cairn_cstr(schema)};
    struct buf text = {0};
    cairn_error error;
    if (lua_typescript_types(CAIRN_STR("app"), &source, 1, &text, &error) != CAIRN_OK)
        fail_msg("%s: %s", schema, error.detail);
    buf_put_char(&text, 0);
    const char *from = strstr(text.data, "\n\n") + 2;
    char *to = strstr(from, "\n\nexport interface Commands {");
    assert_non_null(to);
    *to = 0;
    if (strcmp(from, type) != 0)
        fail_msg("%s\ngives '%s'\nwanted '%s'", schema, from, type);
    buf_free(&text);
}

TEST(schemas_become_types)
{
    static const char *const cases[][2] = {
        {"true", "export type C = unknown;"},
        {"false", "export type C = never;"},
        {"{}", "export type C = unknown;"},
        {"{\"type\":\"string\"}", "export type C = string;"},
        {"{\"type\":\"integer\"}", "export type C = number;"},
        {"{\"type\":[\"number\",\"null\"]}", "export type C = number | null;"},
        {"{\"type\":\"boolean\",\"nullable\":true}", "export type C = (boolean) | null;"},
        {"{\"type\":\"object\"}", "export type C = Record<string, unknown>;"},
        {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"number\"}}", "export type C = Record<string, number>;"},
        {"{\"type\":\"object\",\"additionalProperties\":false}", "export type C = Record<string, never>;"},
        {"{\"properties\":{\"a\":{\"type\":\"string\"},\"b-c\":true},\"required\":[\"a\"]}",
         "export interface C {\n  a: string;\n  \"b-c\"?: unknown;\n}"},
        {"{\"properties\":{\"a\":{\"properties\":{\"b\":{\"const\":1}},\"required\":[\"b\"]}},\"additionalProperties\":{}}",
         "export interface C {\n  a?: {\n    b: 1;\n  };\n  [name: string]: unknown;\n}"},
        {"{\"enum\":[\"a\",1,true,null]}", "export type C = (\"a\" | 1 | true | null);"},
        {"{\"enum\":[]}", "export type C = (never);"},
        {"{\"const\":\"a\\\"b\"}", "export type C = \"a\\\"b\";"},
        {"{\"const\":{\"a\":1}}", "export type C = unknown;"},
        {"{\"type\":\"array\"}", "export type C = unknown[];"},
        {"{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"number\"]}}", "export type C = (string | number)[];"},
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":false}", "export type C = [string?];"},
        {"{\"items\":[{\"type\":\"string\"}],\"additionalItems\":{\"type\":\"number\"}}", "export type C = [string?, ...(number)[]];"},
        {"{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "export type C = (string | null);"},
        {"{\"anyOf\":[{\"type\":\"string\"}],\"type\":\"string\"}", "export type C = (string) & (string);"},
        {"{\"allOf\":[{\"$ref\":\"#/$defs/a\"},{\"type\":\"object\"}],\"$defs\":{\"a\":{\"type\":\"string\"}}}",
         "export type C = (C_a & Record<string, unknown>);\n\nexport type C_a = string;"},
        {"{\"$ref\":\"#/definitions/a~1b\",\"definitions\":{\"a/b\":{\"items\":{\"$ref\":\"#/definitions/a~1b\"}}}}",
         "export type C = C_a_1b;\n\nexport type C_a_1b = (C_a_1b)[];"},
        {"{\"items\":{\"$ref\":\"#\"}}", "export type C = (C)[];"},
        {"{\"$ref\":\"other.json#/x\"}", "export type C = unknown;"},
        {"{\"$ref\":\"#/nowhere\"}", "export type C = unknown;"},
        {"{\"description\":\"a */ b\\n\",\"type\":\"string\"}", "/** a * / b  */\nexport type C = string;"},
        {"{\"if\":{\"type\":\"string\"},\"pattern\":\"x\"}", "export type C = unknown;"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_type(cases[i][0], cases[i][1]);
}

TEST(names_are_kept_apart)
{
    struct lua_type_source sources[] = {
        {LUA_TYPE_COMMAND, CAIRN_STR("Cancel"), {NULL, 0}}, {LUA_TYPE_EVENT, CAIRN_STR("Cancel"), {NULL, 0}},
        {LUA_TYPE_EVENT, CAIRN_STR("Events"), {NULL, 0}}, {LUA_TYPE_EVENT, CAIRN_STR("a.b-c"), {NULL, 0}}};
    struct buf text = {0};
    cairn_error error;
    CHECK_OK(lua_typescript_types(CAIRN_STR("my\napp"), sources, 4, &text, &error));
    buf_put_char(&text, 0);
    CHECK_STR(text.data,
              "// The commands and events of my_app, made from their schemas. Do not edit: it is made anew.\n"
              "\nexport type Cancel = unknown;\n\nexport type CancelEvent = unknown;\n\nexport type EventsEvent = unknown;\n"
              "\nexport type a_b_c = unknown;\n"
              "\nexport interface Commands {\n  Cancel: Cancel;\n}\n"
              "\nexport interface Events {\n  Cancel: CancelEvent;\n  Events: EventsEvent;\n  \"a.b-c\": a_b_c;\n}\n"
              "\n/** A decider of this app; Names: the commands that it decides. */\n"
              "export type Decider<State, Names extends keyof Commands = keyof Commands> =\n"
              "  cairn.Decider<State, Pick<Commands, Names>, Events>;\n");
    buf_free(&text);
}

/* Goal: schemas that are made to be hard end as types or as errors. Method: depth, breadth, references to themselves. */
TEST(hostile_schemas_end)
{
    struct buf schema = {0}, text = {0};
    cairn_error error;
    struct lua_type_source source = {.kind = LUA_TYPE_EVENT, .name = CAIRN_STR("E")};
    for (int i = 0; i < 100; i++)
        buf_put_str(&schema, CAIRN_STR("{\"items\":"));
    buf_put_str(&schema, CAIRN_STR("true"));
    for (int i = 0; i < 100; i++)
        buf_put_char(&schema, '}');
    source.schema = buf_str(&schema);
    CHECK_OK(lua_typescript_types(CAIRN_STR("app"), &source, 1, &text, &error));
    buf_clear(&schema);
    buf_clear(&text);
    buf_put_str(&schema, CAIRN_STR("{\"$defs\":{"));
    for (int i = 0; i < 5000; i++)
        buf_printf(&schema, "%s\"d%d\":{\"oneOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]}", i ? "," : "", i, i + 1,
                   i / 2);
    buf_put_str(&schema, CAIRN_STR("},\"$ref\":\"#/$defs/d0\"}"));
    source.schema = buf_str(&schema);
    CHECK_OK(lua_typescript_types(CAIRN_STR("app"), &source, 1, &text, &error));
    buf_clear(&text);
    source.schema = CAIRN_STR("{\"a\":");
    CHECK_INT(lua_typescript_types(CAIRN_STR("app"), &source, 1, &text, &error), CAIRN_E_INVALID);
    CHECK(strncmp(error.detail, "schema of E: at byte", 20) == 0);
    buf_free(&schema);
    buf_free(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(schemas_become_types), RUN(names_are_kept_apart), RUN(hostile_schemas_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

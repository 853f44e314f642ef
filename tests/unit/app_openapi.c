/* Goal: an app's OpenAPI document is well formed, every reference in it resolves, and a command's schema means there what
 * it means alone.
 * Method: a manifest made here; the document walked as JSON; schemas compiled out of the document and alone, and held
 * against the same values. */
#include "query_rig.h"

#include <app/manifest.h>
#include <app/openapi_int.h>
#include <schema/json_schema.h>

static struct projection task = {
    .name = "board",
    .ddl = "CREATE TABLE task (id INTEGER PRIMARY KEY, title TEXT, due TEXT, points REAL, tags TEXT, done INT, body BLOB, \"a \"\"b\" DECIMAL);",
    .tables = {"task"},
};
static struct projection *const TASK[] = {&task};

static const char PLACE[] =
    "{ \"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"$id\": \"https://example.org/place.json\", \"type\": \"object\",\n"
    "  \"required\": [\"order_id\", \"lines\"], \"additionalProperties\": false,\n"
    "  \"properties\": {\"order_id\": {\"$ref\": \"#/$defs/id\"}, \"lines\": {\"type\": \"array\", \"items\": {\"$ref\": \"#line\"}, \"minItems\": 1},\n"
    "    \"$ref\": {\"type\": \"string\"}, \"parent\": {\"$ref\": \"#\"}, \"kind\": {\"enum\": [{\"$ref\": \"#/x\"}, 1]},\n"
    "    \"total\": {\"$ref\": \"https://example.org/place.json#/$defs/a~1b%25\"}},\n"
    "  \"$defs\": {\"id\": {\"type\": \"string\", \"minLength\": 2}, \"l i/ne\": {\"$anchor\": \"line\", \"type\": \"object\", \"required\": [\"sku\"],\n"
    "    \"properties\": {\"sku\": {\"$ref\": \"#/$defs/id\"}}}, \"a/b%\": {\"type\": \"number\"}} }";

struct made {
    struct app_manifest manifest;
    struct app_command commands[3];
    struct app_event events[2];
    struct query *queries[3];
    struct buf text;
    struct json document;
};

static struct query *
parse_named(const char *path, const char *text)
{
    struct query *query = NULL;
    rig_faults[0] = 0;
    if (query_parse(cairn_cstr(path), cairn_cstr(text), TASK, 1, rig_visit, NULL, &query, NULL) != CAIRN_OK)
        fail_msg("%s", rig_faults);
    return query;
}

static void
make(struct made *m)
{
    memset(m, 0, sizeof *m);
    m->commands[0] = (struct app_command){.name = CAIRN_STR("Place"), .description = CAIRN_STR("Place an order. It \"must\" have lines."),
                                          .schema_text = cairn_cstr(PLACE), .stream = CAIRN_STR("order-{order_id}"),
                                          .permission = CAIRN_STR("orders.write")};
    m->commands[1] = (struct app_command){.name = CAIRN_STR("board"), .schema_text = CAIRN_STR("true"), .stream = CAIRN_STR("b-{x}")};
    m->commands[2] = (struct app_command){.name = CAIRN_STR("Ändern"), .stream = CAIRN_STR("b-{x}")};
    m->events[0] = (struct app_event){.type = CAIRN_STR("Placed"), .schema_text = cairn_cstr(PLACE)};
    m->events[1] = (struct app_event){.type = CAIRN_STR("Gone")};
    m->queries[0] = parse_named("board.sql", "-- Tasks that are due.\n-- param least real = 1.5\n-- param word text\n-- param extra json = '{\"a\": 1}'\n"
                                             "-- filter due, points, done\n-- sort due desc, title\n-- key id\n-- json tags\n-- boolean done\n-- limit 5 max 9\n"
                                             "-- permission tasks.read\n"
                                             "SELECT *, count(*) OVER () AS n FROM task WHERE points > :least AND title <> :word AND :extra");
    m->queries[1] = parse_named("one.sql", "-- param id integer\n-- one\nSELECT id, title FROM task WHERE id = :id");
    m->queries[2] = parse_named("plain.sql", "SELECT due, count(*) AS n FROM task GROUP BY due");
    m->manifest = (struct app_manifest){.name = CAIRN_STR("shop"), .title = CAIRN_STR("The \"shop\""), .description = CAIRN_STR("Sells."),
                                        .commands = m->commands, .command_count = 3, .events = m->events, .event_count = 2,
                                        .queries = m->queries, .query_count = 3};
    app_openapi(&m->manifest, 7, &m->text);
    CHECK(!m->text.failed);
    cairn_error error;
    if (json_check(buf_str(&m->text), &m->document, &error) != CAIRN_OK)
        fail_msg("%s\n%.*s", error.detail, (int)m->text.size, m->text.data);
}

static void
unmake(struct made *m)
{
    for (size_t i = 0; i < 3; i++)
        query_free(m->queries[i]);
    buf_free(&m->text);
}

/* "paths", "/v1/…", "get" … */
static struct json
get(struct json value, const char *const *names)
{
    for (; *names; names++)
        value = json_get(value, *names);
    return value;
}
#define GET(value, ...) get(value, (const char *const[]){__VA_ARGS__, NULL})

static void
check_json(struct json value, const char *expected)
{
    char got[4096];
    snprintf(got, sizeof got, "%.*s", (int)value.raw.size, value.raw.data ? value.raw.data : "");
    CHECK_STR(got, expected);
}

/* ---- the document */

static struct json
follow(struct json document, cairn_str pointer)
{
    char token[256];
    struct json at = document;
    CHECK(pointer.size > 1 && pointer.data[0] == '#' && pointer.data[1] == '/');
    for (size_t i = 1; i < pointer.size;) {
        size_t size = 0;
        for (i++; i < pointer.size && pointer.data[i] != '/'; i++) {
            char c = pointer.data[i];
            if (c == '%') {
                unsigned byte;
                CHECK(sscanf(pointer.data + i + 1, "%2x", &byte) == 1);
                c = (char)byte;
                i += 2;
            } else if (c == '~')
                c = pointer.data[++i] == '1' ? '/' : '~';
            token[size++] = c;
        }
        token[size] = 0;
        if (at.type == JSON_ARRAY) {
            struct json none, item = {0};
            struct json_walk walk = json_walk(at);
            for (long n = strtol(token, NULL, 10); n >= 0 && json_next(&walk, &none, &item); n--)
                ;
            at = item;
        } else
            at = json_get(at, token);
    }
    return at;
}

/* Every "$ref" that is a string; those inside "enum" are data. */
static unsigned
check_references(struct json document, struct json value, struct arena *arena)
{
    unsigned count = 0;
    struct json name, item;
    if (value.type != JSON_OBJECT && value.type != JSON_ARRAY)
        return 0;
    struct json_walk walk = json_walk(value);
    while (json_next(&walk, &name, &item)) {
        if (name.type == JSON_STRING && json_string_is(name, "enum"))
            continue;
        if (name.type == JSON_STRING && json_string_is(name, "$ref") && item.type == JSON_STRING) {
            if (follow(document, json_string(item, arena)).type == JSON_NONE)
                fail_msg("nothing at %.*s", (int)item.raw.size, item.raw.data);
            count++;
        }
        count += check_references(document, item, arena);
    }
    return count;
}

TEST(every_reference_resolves)
{
    struct made m;
    struct arena arena = {0};
    make(&m);
    CHECK(check_references(m.document, m.document, &arena) > 60);
    arena_free(&arena);
    unmake(&m);
}

TEST(operations_have_names_of_their_own)
{
    struct made m;
    char seen[32][100];
    size_t count = 0;
    make(&m);
    struct json path, item, method, operation;
    struct json_walk paths = json_walk(json_get(m.document, "paths"));
    while (json_next(&paths, &path, &item)) {
        struct json_walk methods = json_walk(item);
        while (json_next(&methods, &method, &operation)) {
            struct json id = json_get(operation, "operationId");
            CHECK(id.type == JSON_STRING && count < 32);
            snprintf(seen[count], sizeof seen[count], "%.*s", (int)id.raw.size, id.raw.data);
            for (size_t i = 0; i < count; i++)
                assert_string_not_equal(seen[i], seen[count]);
            count++;
            CHECK(json_get(operation, "summary").type == JSON_STRING);
            CHECK(json_count(json_get(operation, "tags")) == 1);
            CHECK(GET(operation, "responses", "200", "content", "application/json", "schema").type == JSON_OBJECT);
        }
    }
    CHECK_INT(count, 6);
    unmake(&m);
}

TEST(head_and_commands)
{
    struct made m;
    make(&m);
    check_json(json_get(m.document, "openapi"), "\"3.1.0\"");
    check_json(json_get(m.document, "info"), "{\"title\":\"The \\\"shop\\\"\",\"version\":\"7\",\"description\":\"Sells.\"}");
    struct json post = GET(m.document, "paths", "/v1/apps/shop/commands/Place", "post");
    check_json(json_get(post, "operationId"), "\"command_Place\"");
    check_json(json_get(post, "summary"), "\"Place an order\"");
    check_json(json_get(post, "x-cairn-permission"), "\"orders.write\"");
    check_json(GET(post, "requestBody", "content", "application/json", "schema"), "{\"$ref\":\"#/components/schemas/command_Place\"}");
    check_json(GET(m.document, "components", "schemas", "command_board"), "true");
    check_json(GET(m.document, "components", "schemas", "command_2"), "{\"type\":\"object\"}");
    CHECK(GET(m.document, "paths", "/v1/apps/shop/commands/%C3%84ndern", "post").type == JSON_OBJECT);
    CHECK(GET(m.document, "components", "schemas", "event_Placed").type == JSON_OBJECT);
    CHECK(GET(m.document, "components", "schemas", "event_Gone").type == JSON_NONE);
    unmake(&m);
}

static struct json
parameter(struct json operation, const char *name)
{
    struct json none, item;
    struct json_walk walk = json_walk(json_get(operation, "parameters"));
    while (json_next(&walk, &none, &item))
        if (json_string_is(json_get(item, "name"), name))
            return item;
    return (struct json){0};
}

TEST(queries_say_what_they_take_and_give)
{
    struct made m;
    make(&m);
    struct json board = GET(m.document, "paths", "/v1/apps/shop/queries/board", "get");
    check_json(json_get(board, "summary"), "\"Tasks that are due\"");
    check_json(parameter(board, "least"), "{\"name\":\"least\",\"in\":\"query\",\"required\":false,\"schema\":{\"type\":\"number\",\"default\":1.5}}");
    check_json(parameter(board, "word"), "{\"name\":\"word\",\"in\":\"query\",\"required\":true,\"schema\":{\"type\":\"string\"}}");
    check_json(json_get(parameter(board, "extra"), "content"), "{\"application/json\":{\"schema\":{\"default\":{\"a\":1}}}}");
    check_json(json_get(parameter(board, "due.prefix"), "schema"), "{\"type\":\"string\"}");
    check_json(json_get(parameter(board, "points.in"), "schema"), "{\"type\":\"array\",\"items\":{\"type\":\"number\"}}");
    check_json(json_get(parameter(board, "done"), "schema"), "{\"type\":\"boolean\"}");
    CHECK(parameter(board, "points.prefix").type == JSON_NONE);
    check_json(json_get(parameter(board, "sort"), "schema"),
               "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":[\"id\",\"-id\",\"title\",\"-title\",\"due\",\"-due\"]},"
               "\"default\":[\"-due\",\"title\",\"id\"]}");
    check_json(json_get(parameter(board, "limit"), "schema"), "{\"type\":\"integer\",\"minimum\":1,\"maximum\":9,\"default\":5}");
    check_json(GET(m.document, "components", "schemas", "row_board", "properties"),
               "{\"id\":{\"type\":[\"integer\",\"null\"]},\"title\":{\"type\":[\"string\",\"null\"]},\"due\":{\"type\":[\"string\",\"null\"]},"
               "\"points\":{\"type\":[\"number\",\"null\"]},\"tags\":{},\"done\":{\"type\":[\"boolean\",\"null\"]},"
               "\"body\":{\"type\":[\"string\",\"null\"],\"contentEncoding\":\"base64\"},\"a \\\"b\":{\"type\":[\"number\",\"string\",\"null\"]},\"n\":{}}");
    struct json one = GET(m.document, "paths", "/v1/apps/shop/queries/one", "get");
    CHECK(parameter(one, "limit").type == JSON_NONE && parameter(one, "sort").type == JSON_NONE);
    check_json(GET(one, "responses", "200", "content", "application/json", "schema", "required"), "[\"row\",\"position\"]");
    unmake(&m);
}

/* ---- schemas */

static struct json_schema *
compile(cairn_str text, enum json_schema_draft draft)
{
    struct json_schema *schema = NULL;
    struct json_schema_options options = {.draft = draft};
    cairn_error error = {0};
    if (json_schema_compile(text, &options, &schema, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    return schema;
}

static bool
valid(const struct json_schema *schema, const char *text)
{
    struct json value;
    struct arena arena = {0};
    struct json_schema_fault fault;
    size_t count;
    CHECK_OK(json_check(cairn_cstr(text), &value, NULL));
    cairn_err err = json_schema_validate(schema, value, &arena, &fault, 1, &count, NULL);
    arena_free(&arena);
    CHECK(err == CAIRN_OK || err == CAIRN_E_INVALID);
    return err == CAIRN_OK;
}

/* A schema as a component, reached through a document that refers to it. */
static struct json_schema *
compile_inside(const char *text, enum json_schema_draft draft)
{
    struct buf document = {0};
    buf_printf(&document, "{\"$ref\":\"#/components/schemas/command_x\",\"components\":{\"schemas\":{\"command_x\":");
    openapi_put_schema(&document, cairn_cstr(text), CAIRN_STR("command_x"));
    buf_printf(&document, "}}}");
    struct json_schema *schema = compile(buf_str(&document), draft);
    buf_free(&document);
    return schema;
}

TEST(a_schema_means_the_same_inside)
{
    static const struct {
        const char *schema;
        const char *values[8];
    } CASES[] = {
        {PLACE,
         {"{\"order_id\":\"ab\",\"lines\":[{\"sku\":\"xy\"}],\"total\":5}", "{\"order_id\":\"a\",\"lines\":[{\"sku\":\"xy\"}]}",
          "{\"order_id\":\"ab\",\"lines\":[{\"sku\":\"x\"}]}", "{\"order_id\":\"ab\",\"lines\":[{}]}",
          "{\"order_id\":\"ab\",\"lines\":[{\"sku\":\"xy\"}],\"total\":\"5\"}", "{\"order_id\":\"ab\",\"lines\":[{\"sku\":\"xy\"}],\"parent\":{}}",
          "{\"order_id\":\"ab\",\"lines\":[{\"sku\":\"xy\"}],\"kind\":{\"$ref\":\"#/x\"}}",
          "{\"order_id\":\"ab\",\"lines\":[{\"sku\":\"xy\"}],\"$ref\":1}"}},
        {"{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"items\":[{\"$ref\":\"#/definitions/a\"},{\"$ref\":\"#b\"}],\"additionalItems\":false,"
         "\"definitions\":{\"a\":{\"type\":\"string\"},\"x\":{\"$id\":\"#b\",\"type\":\"integer\"}}}",
         {"[\"a\",1]", "[1,1]", "[\"a\",\"b\"]", "[\"a\",1,2]"}},
        {"{\"allOf\":[{\"$anchor\":\"deep\",\"type\":\"object\"},{\"properties\":{\"next\":{\"$ref\":\"#deep\"},\"all\":{\"$ref\":\"#/allOf/0\"}}}]}",
         {"{\"next\":{}}", "{\"next\":1}", "{\"all\":1}", "5"}},
        {"false", {"1"}},
        {"{\"type\":\"object\",\"additionalProperties\":{\"$ref\":\"#\"}}", {"{\"a\":{\"b\":{}}}", "{\"a\":{\"b\":1}}"}},
    };
    unsigned good = 0, bad = 0;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        enum json_schema_draft draft = strstr(CASES[i].schema, "draft-07") ? JSON_SCHEMA_7 : JSON_SCHEMA_2020_12;
        struct json_schema *alone = compile(cairn_cstr(CASES[i].schema), draft);
        struct json_schema *inside = compile_inside(CASES[i].schema, draft);
        for (size_t k = 0; k < 8 && CASES[i].values[k]; k++) {
            bool fine = valid(alone, CASES[i].values[k]);
            fine ? good++ : bad++;
            if (valid(inside, CASES[i].values[k]) != fine)
                fail_msg("%s: %s alone", CASES[i].values[k], fine ? "valid" : "invalid");
        }
        json_schema_free(alone);
        json_schema_free(inside);
    }
    CHECK_INT(good, 5);
    CHECK_INT(bad, 14);
}

/* References below an "$id" are relative to it, and stay. */
TEST(a_resource_of_its_own_stays_as_it_is)
{
    struct buf to = {0};
    openapi_put_schema(&to, CAIRN_STR("{\"$id\":\"urn:x\",\"properties\":{\"a\":{\"$ref\":\"https://example.org/own\"},\"b\":{\"$ref\":\"urn:x#/$defs/o\"},"
                                      "\"c\":{\"$ref\":\"#nowhere\"}}, \"$defs\": {\"o\": {\"$id\":\"https://example.org/own\", \"$ref\":\"#/$defs/t\"}}}"),
                       CAIRN_STR("y"));
    buf_put_char(&to, 0);
    CHECK_STR(to.data, "{\"properties\":{\"a\":{\"$ref\":\"https://example.org/own\"},\"b\":{\"$ref\":\"#/components/schemas/y/$defs/o\"},"
                       "\"c\":{\"$ref\":\"#nowhere\"}},\"$defs\":{\"o\":{\"$id\":\"https://example.org/own\",\"$ref\":\"#/$defs/t\"}}}");
    buf_free(&to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(every_reference_resolves),
        RUN(operations_have_names_of_their_own),
        RUN(head_and_commands),
        RUN(queries_say_what_they_take_and_give),
        RUN(a_schema_means_the_same_inside),
        RUN(a_resource_of_its_own_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Goal: the schema registry's door answers as Confluent's clients expect: calls, error codes, compatibility, deletion, settings.
 * Method: an HTTP server with the door as its handler on a store of its own, libcurl as the client.
 *
 * With the argument "serve" it is that server alone: prints its port, answers each line "SUBJECT HEX" with "ok" or why those bytes
 * are no value of that subject, and ends when its input does (registry_npm.sh). */
#include "api_client.h"

#include <base/text.h>
#include <proto/http/registry.h>
#include <pthread.h>
#include <schema/registry.h>
#include <sys/resource.h>

static char folder[64], base[64];
static cairn_store *store;
static struct registry_door *door;
static struct http_server *server;

static void
start(void)
{
    cairn_options options = {.create = true, .no_background = true, .segment_size_bytes = 1 << 22};
    cairn_error error = {0};
    if (cairn_open(folder, &options, &store, &error) != CAIRN_OK || registry_door_create(store, 0, NULL, &door, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    struct http_config config = {.address = "127.0.0.1", .loops = 2, .handler = registry_door_handle, .context = door};
    if (http_server_start(&config, &server, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    snprintf(base, sizeof base, "http://127.0.0.1:%u", http_server_port(server));
}

static void
stop(void)
{
    http_server_stop(server, 1000);
    registry_door_free(door);
    cairn_close(store);
}

static int
begin(void **state)
{
    (void)state;
    test_folder(folder);
    start();
    return 0;
}

static int
end(void **state)
{
    (void)state;
    stop();
    test_remove(folder);
    return 0;
}

static struct reply
call(const char *method, const char *path, const char *body)
{
    static const char *const headers[] = {"content-type: application/vnd.schemaregistry.v1+json", NULL};
    return client_call(base, method, path, headers, cairn_cstr(body));
}

/* The answer has that status and is that JSON text. */
static void
expect(const char *method, const char *path, const char *body, long status, const char *wanted)
{
    struct reply reply = call(method, path, body);
    if (reply.status != status || strcmp(reply.body.data, wanted) != 0)
        fail_msg("%s %s: %ld %s", method, path, reply.status, reply.body.data);
    reply_free(&reply);
}

/* The answer is an error of that code. */
static void
refused(const char *method, const char *path, const char *body, long code)
{
    struct reply reply = call(method, path, body);
    int64_t said = 0;
    json_i64(json_get(reply.json, "error_code"), &said);
    if (said != code || reply.status != (code > 999 ? code / 100 : code) || json_get(reply.json, "message").type != JSON_STRING)
        fail_msg("%s %s: %ld %s", method, path, reply.status, reply.body.data);
    reply_free(&reply);
}

/* {"schema": TEXT, MORE} with the text as a JSON string. */
static const char *
with_schema(const char *text, const char *more)
{
    static _Thread_local char body[16384];
    struct buf to = {0};
    buf_put_str(&to, CAIRN_STR("{\"schema\":"));
    json_put_string(&to, cairn_cstr(text));
    if (more[0])
        buf_printf(&to, ",%s", more);
    buf_put_char(&to, '}');
    assert_true(to.size < sizeof body);
    memcpy(body, to.data, to.size);
    body[to.size] = 0;
    buf_free(&to);
    return body;
}

static int64_t
member(const struct reply *reply, const char *name)
{
    int64_t number = -1;
    json_i64(json_get(reply->json, name), &number);
    return number;
}

/* Register, and return the id. */
static int64_t
add(const char *subject, const char *text, const char *more)
{
    char path[300];
    snprintf(path, sizeof path, "/subjects/%s/versions", subject);
    struct reply reply = call("POST", path, with_schema(text, more));
    if (reply.status != 200)
        fail_msg("%s: %ld %s", path, reply.status, reply.body.data);
    int64_t id = member(&reply, "id");
    reply_free(&reply);
    return id;
}

#define USER "{\"type\":\"record\",\"name\":\"User\",\"namespace\":\"a\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"}"
#define USER1 USER "]}"
#define USER2 USER ",{\"name\":\"mail\",\"type\":[\"null\",\"string\"],\"default\":null}]}"
#define USER3 USER ",{\"name\":\"age\",\"type\":\"int\"}]}"

/* Goal: register, ask by id, subject, version; the same again is the same; another subject shares the id. */
TEST(registering_and_asking)
{
    expect("GET", "/", NULL, 200, "{}");
    expect("GET", "/subjects", NULL, 200, "[]");
    expect("GET", "/schemas/types", NULL, 200, "[\"JSON\",\"PROTOBUF\",\"AVRO\"]");
    expect("GET", "/contexts", NULL, 200, "[\".\"]");
    CHECK_INT(add("users-value", USER1, ""), 1);
    CHECK_INT(add("users-value", " " USER1, ""), 1);
    CHECK_INT(add("other-value", USER1, ""), 1);
    CHECK_INT(add("users-value", USER2, ""), 2);
    expect("GET", "/subjects", NULL, 200, "[\"other-value\",\"users-value\"]");
    expect("GET", "/subjects?subjectPrefix=user", NULL, 200, "[\"users-value\"]");
    expect("GET", "/subjects/users-value/versions", NULL, 200, "[1,2]");
    expect("GET", "/schemas/ids/1/subjects", NULL, 200, "[\"other-value\",\"users-value\"]");
    expect("GET", "/schemas/ids/1/versions", NULL, 200,
           "[{\"subject\":\"users-value\",\"version\":1},{\"subject\":\"other-value\",\"version\":1}]");
    expect("GET", "/schemas/ids/1/schema", NULL, 200, USER1);
    expect("GET", "/subjects/users-value/versions/latest/schema", NULL, 200, USER2);
    struct reply reply = call("GET", "/schemas/ids/2", NULL);
    CHECK_INT(reply.status, 200);
    CHECK(json_string_is(json_get(reply.json, "schema"), USER2));
    CHECK(json_get(reply.json, "schemaType").type == JSON_NONE);
    char type[256], path[200];
    CHECK(reply_header(&reply, "content-type", type));
    CHECK_STR(type, "application/vnd.schemaregistry.v1+json");
    struct json guid = json_get(reply.json, "guid");
    snprintf(path, sizeof path, "/schemas/guids/%.*s/ids", (int)guid.raw.size - 2, guid.raw.data + 1);
    expect("GET", path, NULL, 200, "[{\"context\":\".\",\"id\":2}]");
    reply_free(&reply);
    reply = call("GET", "/subjects/users-value/versions/2", NULL);
    CHECK(member(&reply, "id") == 2 && member(&reply, "version") == 2);
    CHECK(json_string_is(json_get(reply.json, "subject"), "users-value"));
    reply_free(&reply);
    reply = call("POST", "/subjects/users-value", with_schema(USER1, ""));
    CHECK(reply.status == 200 && member(&reply, "version") == 1 && member(&reply, "id") == 1);
    reply_free(&reply);
    reply = call("GET", "/schemas?latestOnly=true", NULL);
    CHECK_INT(json_count(reply.json), 2);
    reply_free(&reply);
}

/* Goal: asking for the newest version of each subject takes memory for the versions there are, not for each of them as many again.
 * Method: 2,000 versions of a subject (640 MB, when copied for each); the most that this process has held before and after. */
TEST(newest_of_many)
{
    enum { VERSIONS = 2000 };
    struct schema_registry *registry = registry_door_registry(door);
    struct schema_plan_item *items = calloc(VERSIONS, sizeof *items);
    struct arena arena = {0};
    cairn_write write;
    struct rusage before, after;
    CHECK(items != NULL);
    for (int i = 0; i < VERSIONS; i++) {
        char text[32];
        snprintf(text, sizeof text, "{\"const\":%d}", i);
        items[i] = (struct schema_plan_item){.subject = CAIRN_STR("many"), .kind = CAIRN_STR("JSON"), .text = arena_copy(&arena, cairn_cstr(text))};
    }
    CHECK_OK(schema_registry_plan(registry, items, VERSIONS, &arena, &write, NULL));
    const cairn_append_request request = {.writes = &write, .write_count = 1, .system = true};
    cairn_at at;
    CHECK_OK(cairn_append_all(store, &request, &at, NULL));
    CHECK_OK(schema_registry_refresh(registry, NULL));
    arena_free(&arena);
    free(items);
    getrusage(RUSAGE_SELF, &before);
    struct reply reply = call("GET", "/schemas?latestOnly=true", NULL);
    getrusage(RUSAGE_SELF, &after);
    CHECK(reply.status == 200 && json_count(reply.json) == 1);
    reply_free(&reply);
    if (after.ru_maxrss - before.ru_maxrss > 100000) /* KiB */
        fail_msg("%ld KiB for one answer", after.ru_maxrss - before.ru_maxrss);
}

/* Goal: what is wrong is answered with Confluent's codes. */
TEST(error_codes)
{
    refused("GET", "/schemas/ids/7", NULL, 40403);
    refused("GET", "/schemas/guids/7", NULL, 40403);
    refused("GET", "/subjects/none/versions", NULL, 40401);
    refused("GET", "/subjects/none/versions/1", NULL, 40401);
    refused("DELETE", "/subjects/none", NULL, 40401);
    refused("GET", "/config/none", NULL, 40408);
    refused("GET", "/mode/none", NULL, 40409);
    add("s", USER1, "");
    refused("GET", "/subjects/s/versions/2", NULL, 40402);
    refused("GET", "/subjects/s/versions/0", NULL, 42202);
    refused("GET", "/subjects/s/versions/x", NULL, 42202);
    refused("POST", "/subjects/none", with_schema(USER1, ""), 40401);
    refused("POST", "/subjects/s", with_schema(USER2, ""), 40403);
    refused("POST", "/subjects/s/versions", "{\"schema\":\"{\\\"type\\\":\\\"nothing\\\"}\"}", 42201);
    refused("POST", "/subjects/s/versions", "{\"schema\":\"\"}", 42201);
    refused("POST", "/subjects/s/versions", "{", 400);
    refused("POST", "/subjects/s/versions", with_schema(USER1, "\"schemaType\":\"THRIFT\""), 42201);
    refused("POST", "/subjects/s/versions", with_schema(USER1, "\"references\":[{\"name\":\"a\",\"subject\":\"b\",\"version\":1}]"), 42201);
    refused("POST", "/subjects/s/versions", with_schema(USER3, ""), 40901);
    refused("POST", "/subjects/s/versions", with_schema(USER1, "\"id\":77"), 42205);
    refused("PUT", "/config", "{\"compatibility\":\"SOMETIMES\"}", 42203);
    refused("PUT", "/config", "{\"compatability\":\"FULL\"}", 422);
    refused("PUT", "/config/s", "{}", 422);
    refused("PUT", "/mode/s", "{\"mod\":\"READONLY\"}", 42204);
    refused("PUT", "/mode", "{\"mode\":\"SOMETIMES\"}", 42204);
    refused("GET", "/nothing", NULL, 404);
    refused("PATCH", "/subjects", NULL, 405);
}

/* Goal: compatibility by level, by version, with reasons. */
TEST(compatibility)
{
    add("s", USER1, "");
    add("s", USER2, "");
    expect("GET", "/config", NULL, 200, "{\"compatibilityLevel\":\"BACKWARD\"}");
    expect("POST", "/compatibility/subjects/s/versions/latest", with_schema(USER2, ""), 200, "{\"is_compatible\":true}");
    expect("POST", "/compatibility/subjects/new/versions/latest", with_schema(USER2, ""), 200, "{\"is_compatible\":true}");
    expect("POST", "/compatibility/subjects/s/versions/1", with_schema(USER3, ""), 200, "{\"is_compatible\":false}");
    refused("POST", "/compatibility/subjects/s/versions/9", with_schema(USER3, ""), 40402);
    struct reply reply = call("POST", "/compatibility/subjects/s/versions/latest?verbose=true", with_schema(USER3, ""));
    CHECK(strstr(reply.body.data, "READER_FIELD_MISSING_DEFAULT_VALUE") && strstr(reply.body.data, "/fields/1"));
    CHECK(strstr(reply.body.data, "oldSchemaVersion: 2") && strstr(reply.body.data, "compatibility: 'BACKWARD'"));
    reply_free(&reply);
    expect("PUT", "/config/s", "{\"compatibility\":\"NONE\"}", 200, "{\"compatibility\":\"NONE\"}");
    expect("GET", "/config/s", NULL, 200, "{\"compatibilityLevel\":\"NONE\"}");
    expect("POST", "/compatibility/subjects/s/versions", with_schema(USER3, ""), 200, "{\"is_compatible\":true}");
    CHECK_INT(add("s", USER3, ""), 3);
    expect("PUT", "/config", "{\"compatibility\":\"FULL_TRANSITIVE\",\"normalize\":true}", 200,
           "{\"compatibility\":\"FULL_TRANSITIVE\",\"normalize\":true}");
    expect("GET", "/config/s?defaultToGlobal=true", NULL, 200, "{\"compatibilityLevel\":\"NONE\"}");
    expect("DELETE", "/config/s", NULL, 200, "{\"compatibilityLevel\":\"NONE\"}");
    expect("GET", "/config/s?defaultToGlobal=true", NULL, 200, "{\"compatibilityLevel\":\"FULL_TRANSITIVE\",\"normalize\":true}");
    expect("POST", "/compatibility/subjects/s/versions", with_schema(USER1, ""), 200, "{\"is_compatible\":false}");
    expect("PUT", "/config", "{\"ofTomorrow\":1,\"normalize\":true}", 200,
           "{\"compatibility\":\"FULL_TRANSITIVE\",\"normalize\":true}"); /* what a newer client says, too */
    expect("DELETE", "/config", NULL, 200, "{\"compatibilityLevel\":\"FULL_TRANSITIVE\",\"normalize\":true}");
    expect("GET", "/config", NULL, 200, "{\"compatibilityLevel\":\"BACKWARD\"}");
}

/* Goal: soft and permanent deletion, of versions and subjects; numbers are not used again; all of it after a restart. */
TEST(deleting)
{
    add("s", USER1, "");
    add("s", USER2, "");
    refused("DELETE", "/subjects/s/versions/1?permanent=true", NULL, 40407);
    refused("DELETE", "/subjects/s?permanent=true", NULL, 40405);
    expect("DELETE", "/subjects/s/versions/1", NULL, 200, "1");
    refused("DELETE", "/subjects/s/versions/1", NULL, 40406);
    refused("GET", "/subjects/s/versions/1", NULL, 40402);
    expect("GET", "/subjects/s/versions", NULL, 200, "[2]");
    expect("GET", "/subjects/s/versions?deleted=true", NULL, 200, "[1,2]");
    expect("GET", "/schemas/ids/1/schema", NULL, 200, USER1); /* its values can still be read */
    CHECK_INT(add("s", USER1, ""), 1);
    expect("GET", "/subjects/s/versions", NULL, 200, "[2,3]");
    expect("DELETE", "/subjects/s", NULL, 200, "[2,3]");
    refused("DELETE", "/subjects/s", NULL, 40404);
    refused("GET", "/subjects/s/versions", NULL, 40401);
    refused("POST", "/subjects/s", with_schema(USER1, ""), 40401);
    expect("GET", "/subjects?deleted=true", NULL, 200, "[\"s\"]");
    expect("DELETE", "/subjects/s?permanent=true", NULL, 200, "[1,2,3]");
    refused("DELETE", "/subjects/s?permanent=true", NULL, 40401);
    refused("GET", "/schemas/ids/1", NULL, 40403);
    stop();
    start();
    expect("GET", "/subjects?deleted=true", NULL, 200, "[]");
    CHECK_INT(add("s", USER1, ""), 3);
    expect("GET", "/subjects/s/versions", NULL, 200, "[4]");
}

/* Goal: references of all kinds; what is referred to cannot be deleted. */
TEST(references)
{
    add("address", "{\"type\":\"record\",\"name\":\"Address\",\"namespace\":\"a\",\"fields\":[{\"name\":\"city\",\"type\":\"string\"}]}", "");
    add("person", "{\"type\":\"record\",\"name\":\"Person\",\"namespace\":\"a\",\"fields\":[{\"name\":\"home\",\"type\":\"a.Address\"}]}",
        "\"references\":[{\"name\":\"a.Address\",\"subject\":\"address\",\"version\":1}]");
    refused("POST", "/subjects/lonely/versions",
            with_schema("{\"type\":\"record\",\"name\":\"Person\",\"fields\":[{\"name\":\"home\",\"type\":\"a.Address\"}]}", ""), 42201);
    expect("GET", "/subjects/address/versions/1/referencedby", NULL, 200, "[2]");
    refused("DELETE", "/subjects/address/versions/1", NULL, 42206);
    struct reply reply = call("GET", "/schemas/ids/2", NULL);
    CHECK_INT(json_count(json_get(reply.json, "references")), 1);
    reply_free(&reply);
    add("money.proto", "syntax = \"proto3\"; package m; message Money { int64 cents = 1; string currency = 2; }",
        "\"schemaType\":\"PROTOBUF\"");
    add("order", "syntax = \"proto3\"; import \"money.proto\"; message Order { m.Money total = 1; }",
        "\"schemaType\":\"PROTOBUF\",\"references\":[{\"name\":\"money.proto\",\"subject\":\"money.proto\",\"version\":1}]");
    add("id.json", "{\"type\":\"string\",\"minLength\":1}", "\"schemaType\":\"JSON\"");
    add("thing", "{\"type\":\"object\",\"properties\":{\"id\":{\"$ref\":\"id.json\"}}}",
        "\"schemaType\":\"JSON\",\"references\":[{\"name\":\"id.json\",\"subject\":\"id.json\",\"version\":1}]");
    refused("POST", "/subjects/thing/versions", with_schema("{\"$ref\":\"missing.json\"}", "\"schemaType\":\"JSON\""), 42201);
    expect("DELETE", "/subjects/person", NULL, 200, "[1]");
    expect("DELETE", "/subjects/address/versions/latest", NULL, 200, "1");
}

/* Goal: modes: nothing is written while reading only; ids and versions as given while importing. */
TEST(modes)
{
    expect("GET", "/mode", NULL, 200, "{\"mode\":\"READWRITE\"}");
    expect("PUT", "/mode/s", "{\"mode\":\"IMPORT\"}", 200, "{\"mode\":\"IMPORT\"}");
    CHECK_INT(add("s", USER1, "\"id\":1000,\"version\":5"), 1000);
    CHECK_INT(add("s", USER3, "\"id\":900,\"version\":7"), 900); /* not compatible, and not asked to be */
    refused("POST", "/subjects/s/versions", with_schema(USER2, "\"id\":1000"), 42205);
    refused("POST", "/subjects/s/versions", with_schema(USER2, "\"id\":1001,\"version\":6"), 42202);
    expect("GET", "/subjects/s/versions", NULL, 200, "[5,7]");
    expect("DELETE", "/mode/s", NULL, 200, "{\"mode\":\"IMPORT\"}");
    refused("PUT", "/mode/s", "{\"mode\":\"IMPORT\"}", 42205);
    CHECK_INT(add("t", USER2, ""), 1001);
    expect("PUT", "/mode", "{\"mode\":\"READONLY\"}", 200, "{\"mode\":\"READONLY\"}");
    refused("POST", "/subjects/u/versions", with_schema("\"string\"", ""), 42205);
    refused("DELETE", "/subjects/t", NULL, 42205);
    expect("GET", "/mode/t?defaultToGlobal=true", NULL, 200, "{\"mode\":\"READONLY\"}");
    expect("PUT", "/mode", "{\"mode\":\"READWRITE\"}", 200, "{\"mode\":\"READWRITE\"}");
    CHECK_INT(add("u", "\"string\"", ""), 1002);
}

/* Goal: metadata, rules, contexts, subjects with any characters, the descriptor of a .proto. */
TEST(the_rest)
{
    add("m", USER1, "\"metadata\":{\"properties\":{\"owner\":\"me\"}},\"ruleSet\":{\"domainRules\":[]}");
    add("m", USER2, "\"metadata\":{\"properties\":{\"owner\":\"you\"}}");
    struct reply reply = call("GET", "/subjects/m/metadata?key=owner&value=me", NULL);
    CHECK(member(&reply, "version") == 1 && json_get(reply.json, "ruleSet").type == JSON_OBJECT);
    reply_free(&reply);
    refused("GET", "/subjects/m/metadata?key=owner&value=them", NULL, 40403);
    /* Who says nothing of metadata means those of the newest, and finds a version whatever it has. */
    reply = call("POST", "/subjects/m/versions", with_schema(USER2, ""));
    CHECK(member(&reply, "version") == 2 && json_get(reply.json, "metadata").type == JSON_OBJECT);
    reply_free(&reply);
    reply = call("POST", "/subjects/m", with_schema(USER1, ""));
    CHECK(member(&reply, "version") == 1);
    reply_free(&reply);
    add("a%2Fb%3Ac", USER1, "");
    expect("GET", "/subjects/a%2Fb%3Ac/versions", NULL, 200, "[1]");
    add(":.ctx:s", USER1, "");
    add("%3A.%3Aplain", USER1, "");
    expect("GET", "/contexts", NULL, 200, "[\".\",\".ctx\"]");
    expect("GET", "/subjects", NULL, 200, "[\":.ctx:s\",\"a/b:c\",\"m\",\"plain\"]");
    expect("GET", "/contexts/.ctx/subjects/s/versions", NULL, 200, "[1]");
    int64_t id = add("p", "syntax = \"proto3\"; message P { map<string, int32> counts = 1; optional bool on = 2; oneof w { string a = 3; P b = 4; } }",
                     "\"schemaType\":\"PROTOBUF\"");
    char path[100];
    snprintf(path, sizeof path, "/schemas/ids/%d?format=serialized", (int)id);
    reply = call("GET", path, NULL);
    struct json text = json_get(reply.json, "schema");
    CHECK(text.type == JSON_STRING && text.raw.size > 100);
    char serialized[2000];
    snprintf(serialized, sizeof serialized, "%.*s", (int)text.raw.size - 2, text.raw.data + 1);
    reply_free(&reply);
    CHECK_INT(add("p", serialized, "\"schemaType\":\"PROTOBUF\""), id); /* the same, said in another way */
    CHECK_INT(add("q", serialized, "\"schemaType\":\"PROTOBUF\""), id);
}

/* Goal: two who register at once agree on ids; TSan watches. */
static void *
register_many(void *context)
{
    for (int i = 0; i < 20; i++) {
        char subject[40], text[100];
        snprintf(subject, sizeof subject, "t%d", i);
        snprintf(text, sizeof text, "{\"type\":\"fixed\",\"name\":\"F\",\"size\":%d}", i);
        int64_t *ids = context;
        ids[i] = add(subject, text, "");
    }
    return NULL;
}

TEST(many_at_once)
{
    pthread_t threads[4];
    int64_t ids[4][20];
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, register_many, ids[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 20; i++)
        CHECK(ids[0][i] == ids[1][i] && ids[1][i] == ids[2][i] && ids[2][i] == ids[3][i] && ids[0][i] >= 1 && ids[0][i] <= 20);
    struct schema_version none;
    CHECK(!schema_registry_by_id(registry_door_registry(door), 21, &none));
}

static int
serve(void)
{
    begin(NULL);
    printf("%u\n", http_server_port(server));
    fflush(stdout);
    static char line[1 << 16], subject[600], hex[1 << 16];
    static uint8_t bytes[1 << 15];
    while (fgets(line, sizeof line, stdin)) {
        cairn_error error = {.detail = "no line \"SUBJECT HEX\""};
        size_t size = sscanf(line, "%599s %65535s", subject, hex) == 2 ? strlen(hex) / 2 : 0;
        bool good = size > 0 && parse_hex(cairn_cstr(hex), bytes, size) &&
                    schema_registry_validate(registry_door_registry(door), cairn_cstr(subject),
                                             (cairn_str){(char *)bytes, size}, &error) == CAIRN_OK;
        printf("%s\n", good ? "ok" : error.detail);
        fflush(stdout);
    }
    end(NULL);
    return 0;
}

#define WITH_DOOR(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return serve();
    const struct CMUnitTest tests[] = {WITH_DOOR(registering_and_asking), WITH_DOOR(newest_of_many), WITH_DOOR(error_codes), WITH_DOOR(compatibility),
                                       WITH_DOOR(deleting), WITH_DOOR(references), WITH_DOOR(modes), WITH_DOOR(the_rest),
                                       WITH_DOOR(many_at_once)};
    curl_global_init(CURL_GLOBAL_ALL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

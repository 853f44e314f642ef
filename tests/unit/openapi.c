/* The OpenAPI document: it is what the table of routes says, and whole. */
#include <proto/http/api_int.h>
#include <test.h>

#include <base/json.h>
#include <os/os.h>

static struct buf text;
static struct json document;

static int
setup(void **state)
{
    (void)state;
    cairn_error error = {0};
    api_openapi_put(&text);
    if (json_check(buf_str(&text), &document, &error) == CAIRN_OK)
        return 0;
    size_t at = strtoul(error.detail + strlen("at byte "), NULL, 10);
    fprintf(stderr, "%s: …%.80s\n", error.detail, text.data + (at > 40 ? at - 40 : 0));
    return -1;
}

static int
teardown(void **state)
{
    (void)state;
    buf_free(&text);
    return 0;
}

static struct json
operation_of(const struct api_route *route)
{
    char method[8];
    for (size_t i = 0; i <= strlen(route->method); i++)
        method[i] = (char)(route->method[i] | (route->method[i] ? 32 : 0));
    return json_get(json_get(json_get(document, "paths"), route->pattern), method);
}

/* Goal: the document says what it is.
 * Method: its head. */
TEST(is_openapi)
{
    CHECK(json_string_is(json_get(document, "openapi"), "3.1.0"));
    CHECK(json_string_is(json_get(json_get(document, "info"), "version"), cairn_version()));
}

/* Goal: every route is there, once, with its parameters, and nothing else is.
 * Method: look each up; count paths and operations. */
TEST(covers_every_route)
{
    size_t operations = 0;
    struct json_walk walk = json_walk(json_get(document, "paths"));
    struct json name, path;
    while (json_next(&walk, &name, &path))
        operations += json_count(path);
    CHECK_INT(operations, api_route_count());
    for (size_t i = 0; i < api_route_count(); i++) {
        const struct api_route *route = api_route_at(i);
        struct json operation = operation_of(route);
        if (!json_string_is(json_get(operation, "operationId"), route->id))
            fail_msg("%s %s is missing", route->method, route->pattern);
        size_t wanted = (size_t)__builtin_popcountll(route->args);
        for (const char *at = route->pattern; *at; at++)
            wanted += *at == '{';
        wanted += route->responses[0].contents[3].type != NULL; /* Last-Event-ID */
        CHECK_INT(json_count(json_get(operation, "parameters")), wanted);
        CHECK(json_count(json_get(operation, "responses")) >= 2);
    }
}

static bool
resolves(cairn_str ref)
{
    char name[128];
    struct json at = document;
    for (const char *part = memchr(ref.data, '/', ref.size); part;) {
        const char *end = ref.data + ref.size, *next = memchr(part + 1, '/', (size_t)(end - part - 1));
        snprintf(name, sizeof name, "%.*s", (int)((next ? next : end) - part - 1), part + 1);
        at = json_get(at, name);
        part = next;
    }
    return at.type == JSON_OBJECT;
}

/* Goal: no reference leads nowhere.
 * Method: every "$ref" in the text is followed through the document. */
TEST(references_resolve)
{
    struct arena arena = {0};
    size_t count = 0;
    for (const char *at = text.data; (at = memmem(at, (size_t)(text.data + text.size - at), "\"$ref\":\"", 8)); count++) {
        at += 8;
        cairn_str ref = {at, strcspn(at, "\"")};
        if (!resolves(ref))
            fail_msg("%.*s leads nowhere", (int)ref.size, ref.data);
    }
    CHECK(count > 100);
    arena_free(&arena);
}

/* Goal: operation ids are unique; every handler's status is three digits.
 * Method: compare all pairs. */
TEST(ids_are_unique)
{
    for (size_t i = 0; i < api_route_count(); i++)
        for (size_t n = 0; n < i; n++)
            CHECK(strcmp(api_route_at(i)->id, api_route_at(n)->id) != 0);
}

/* Goal: every kind of problem has a status that the document describes, and a name fit for a URN.
 * Method: all kinds. */
TEST(problems_are_described)
{
    struct problem_kind kind;
    char name[32];
    for (size_t i = 0; problem_at(i, &kind); i++) {
        CHECK_INT(strspn(kind.name, "abcdefghijklmnopqrstuvwxyz-"), strlen(kind.name));
        snprintf(name, sizeof name, "Problem%d", kind.status);
        CHECK(json_get(json_get(json_get(document, "components"), "responses"), name).type == JSON_OBJECT);
    }
}

/* Goal: a type means one thing (RFC 9457: its title does not change), whoever refuses with it.
 * Method: the titles of all kinds of the same name are compared. */
TEST(types_have_one_title)
{
    struct problem_kind one, other;
    size_t count = 0;
    for (; problem_at(count, &one); count++)
        for (size_t i = 0; i < count && problem_at(i, &other); i++)
            if (!strcmp(one.name, other.name))
                CHECK_STR(one.title, other.title);
    CHECK(count > 25);
}

/* Goal: a full queue is 429, in the answer and in the document, for appends as for reads.
 * Method: the store's error, and the responses of four operations. */
TEST(a_full_queue_is_429)
{
    static const char *const ids[] = {"appendToStream", "append", "readAll", "takeEvents"};
    struct problem_kind kind = problem_of(CAIRN_E_BUSY);
    CHECK_INT(kind.status, 429);
    CHECK_STR(kind.name, "busy");
    for (size_t i = 0; i < api_route_count(); i++)
        for (size_t n = 0; n < sizeof ids / sizeof *ids; n++)
            if (!strcmp(api_route_at(i)->id, ids[n]))
                CHECK(json_get(json_get(operation_of(api_route_at(i)), "responses"), "429").type == JSON_OBJECT);
}

/* Goal: docs/http.md tells of every type of problem with its status, and of every path.
 * Method: a table row that begins with the status and holds the type; the path as it stands in the route. */
TEST(the_manual_is_whole)
{
    char *manual, row[64];
    size_t size;
    struct problem_kind kind;
    CHECK_INT(os_read_file(os_real(), "docs/http.md", 1 << 20, &manual, &size), 0);
    for (size_t i = 0; problem_at(i, &kind); i++) {
        snprintf(row, sizeof row, "\n| %d | `%s` | ", kind.status, kind.name);
        if (!memmem(manual, size, row, strlen(row)))
            fail_msg("docs/http.md has no row%s", row);
    }
    for (size_t i = 0; i < api_route_count(); i++)
        if (!memmem(manual, size, api_route_at(i)->pattern, strlen(api_route_at(i)->pattern)))
            fail_msg("docs/http.md does not mention %s", api_route_at(i)->pattern);
    free(manual);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(is_openapi), RUN(covers_every_route), RUN(references_resolve), RUN(ids_are_unique),
        RUN(problems_are_described), RUN(types_have_one_title), RUN(a_full_queue_is_429), RUN(the_manual_is_whole),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

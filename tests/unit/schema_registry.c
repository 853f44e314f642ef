/* schema/registry.h: ids and versions, planning together with other events, two planners, restart, damage, threads. */
#include "test.h"

#include <base/bytes.h>
#include <pthread.h>
#include <schema/registry.h>
#include <stdatomic.h>

#define S(text) CAIRN_STR(text)

static char folder[64];
static cairn_store *store;

static void
open_store(void)
{
    cairn_options options = {.create = true, .no_background = true, .segment_size_bytes = 1 << 20};
    CHECK_OK(cairn_open(folder, &options, &store, NULL));
}

static int
begin(void **state)
{
    (void)state;
    test_folder(folder);
    open_store();
    return 0;
}

static int
end(void **state)
{
    (void)state;
    cairn_close(store);
    test_remove(folder);
    return 0;
}

static struct schema_registry *
opened(void)
{
    struct schema_registry *registry = NULL;
    cairn_error error;
    if (schema_registry_open(store, 0, &registry, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    return registry;
}

static cairn_err
append(const cairn_write *writes, size_t count)
{
    cairn_append_request request = {.writes = writes, .write_count = count, .system = true};
    cairn_at at;
    return cairn_append_all(store, &request, &at, NULL);
}

/* Plan, append, refresh: what a deployment does. */
static cairn_err
register_all(struct schema_registry *registry, struct schema_plan_item *items, size_t count)
{
    struct arena arena = {0};
    cairn_write write;
    cairn_err err = schema_registry_plan(registry, items, count, &arena, &write, NULL);
    if (err == CAIRN_OK && write.event_count > 0)
        err = append(&write, 1);
    if (err == CAIRN_OK)
        err = schema_registry_refresh(registry, NULL);
    arena_free(&arena);
    return err;
}

static void
check_version(struct schema_registry *registry, const char *subject, uint32_t version, uint32_t id, const char *text)
{
    struct schema_version found;
    CHECK(schema_registry_find(registry, cairn_cstr(subject), version, &found));
    CHECK_INT(found.id, id);
    CHECK(cairn_str_equal(found.text, cairn_cstr(text)));
    CHECK(schema_registry_by_id(registry, id, &found));
    CHECK(cairn_str_equal(found.subject, cairn_cstr(subject)) && cairn_str_equal(found.kind, S("JSON")));
    CHECK(version == 0 || found.version == version);
}

/* Goal: ids count up over all subjects, versions within one; the same schema is no new version. */
TEST(ids_and_versions)
{
    struct schema_registry *registry = opened();
    struct schema_version none;
    CHECK(!schema_registry_by_id(registry, 0, &none) && !schema_registry_by_id(registry, 1, &none));
    CHECK(!schema_registry_find(registry, S("a.X"), 0, &none));
    CHECK_INT(schema_registry_newest(registry, S("a.X")), 0);
    struct schema_plan_item items[] = {
        {.subject = S("a.X"), .kind = S("JSON"), .text = S("{\"type\":\"string\"}")},
        {.subject = S("a.Y"), .kind = S("JSON"), .text = S("{\"a\": \"\\n\", \"b\":1}")},
        {.subject = S("a.X"), .kind = S("JSON"), .text = S("{ \"type\" : \"string\" }")},
        {.subject = S("a.X"), .kind = S("JSON"), .text = S("{\"type\":\"number\"}")},
    };
    CHECK_OK(register_all(registry, items, 4));
    CHECK(items[0].ret_new && items[0].ret.id == 1 && items[0].ret.version == 1);
    CHECK(items[1].ret_new && items[1].ret.id == 2 && items[1].ret.version == 1);
    CHECK(!items[2].ret_new && items[2].ret.id == 1 && items[2].ret.version == 1);
    CHECK(items[3].ret_new && items[3].ret.id == 3 && items[3].ret.version == 2);
    check_version(registry, "a.X", 1, 1, "{\"type\":\"string\"}");
    check_version(registry, "a.X", 2, 3, "{\"type\":\"number\"}");
    check_version(registry, "a.X", 0, 3, "{\"type\":\"number\"}");
    check_version(registry, "a.Y", 1, 2, "{\"a\": \"\\n\", \"b\":1}");
    CHECK(!schema_registry_find(registry, S("a.X"), 3, &none));

    /* The same values again, members in another order: nothing to write. */
    struct schema_plan_item again[] = {{.subject = S("a.Y"), .kind = S("JSON"), .text = S("{\"b\":1.0,\"a\":\"\\u000a\"}")}};
    struct arena arena = {0};
    cairn_write write;
    CHECK_OK(schema_registry_plan(registry, again, 1, &arena, &write, NULL));
    CHECK(write.event_count == 0 && !again[0].ret_new && again[0].ret.id == 2);
    /* Going back to an earlier text goes back to its version; another kind is a new one. */
    struct schema_plan_item back[] = {{.subject = S("a.X"), .kind = S("JSON"), .text = S("{\"type\":\"string\"}")},
                                      {.subject = S("a.Y"), .kind = S("AVRO"), .text = S("{\"b\":1.0,\"a\":\"\\u000a\"}")}};
    CHECK_OK(register_all(registry, back, 2));
    CHECK(!back[0].ret_new && back[0].ret.id == 1 && back[0].ret.version == 1);
    CHECK(back[1].ret_new && back[1].ret.id == 4 && back[1].ret.version == 2);
    arena_free(&arena);
    schema_registry_free(registry);
}

/* Goal: what was registered is there after a restart, byte by byte, and counting goes on. */
TEST(survives_a_restart)
{
    struct schema_registry *registry = opened();
    char text[64], subject[32];
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "{\"const\" : %d,\t\"x\":\"\xC3\xA9\\u0000\"}", i);
        snprintf(subject, sizeof subject, "app.T%d", i % 100);
        struct schema_plan_item item = {.subject = cairn_cstr(subject), .kind = S("JSON"), .text = cairn_cstr(text)};
        CHECK_OK(register_all(registry, &item, 1));
        CHECK(item.ret.id == (uint32_t)i + 1 && item.ret.version == (uint32_t)i / 100 + 1);
    }
    schema_registry_free(registry);
    cairn_close(store);
    open_store();
    registry = opened();
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "{\"const\" : %d,\t\"x\":\"\xC3\xA9\\u0000\"}", i);
        snprintf(subject, sizeof subject, "app.T%d", i % 100);
        check_version(registry, subject, (uint32_t)i / 100 + 1, (uint32_t)i + 1, text);
        CHECK_INT(schema_registry_newest(registry, cairn_cstr(subject)), 3);
    }
    struct schema_plan_item item = {.subject = S("app.T7"), .kind = S("JSON"), .text = S("{}")};
    CHECK_OK(register_all(registry, &item, 1));
    CHECK(item.ret.id == 301 && item.ret.version == 4);
    schema_registry_free(registry);
}

/* Goal: of two that plan on the same state one wins, together with its other writes; the other plans again.
 * Method: two registries on one store. */
TEST(two_planners_conflict)
{
    struct schema_registry *one = opened(), *two = opened();
    struct schema_plan_item a = {.subject = S("x.A"), .kind = S("JSON"), .text = S("{\"minimum\":1}")};
    struct schema_plan_item b = {.subject = S("x.A"), .kind = S("JSON"), .text = S("{\"minimum\":2}")};
    struct arena arena = {0};
    cairn_write first[2], second[2];
    cairn_event deployed = {.type = S("$deployed"), .data = S("{}")};
    CHECK_OK(schema_registry_plan(one, &a, 1, &arena, &first[0], NULL));
    CHECK_OK(schema_registry_plan(two, &b, 1, &arena, &second[0], NULL));
    CHECK(a.ret.id == 1 && b.ret.id == 1);
    first[1] = second[1] = (cairn_write){.stream = S("$app-x"), .expected = CAIRN_ANY, .events = &deployed, .event_count = 1};
    CHECK_OK(append(first, 2));
    CHECK_INT(append(second, 2), CAIRN_E_CONFLICT);
    CHECK_INT(cairn_end(store), 2); /* nothing of the second was written */

    struct schema_version found;
    CHECK(!schema_registry_by_id(two, 1, &found)); /* what others append is seen after a refresh */
    CHECK_OK(schema_registry_refresh(two, NULL));
    check_version(two, "x.A", 1, 1, "{\"minimum\":1}");
    CHECK_OK(register_all(two, &b, 1));
    CHECK(b.ret.id == 2 && b.ret.version == 2);
    CHECK_INT(schema_registry_newest(one, S("x.A")), 0);
    CHECK_OK(schema_registry_refresh(one, NULL));
    check_version(one, "x.A", 2, 2, "{\"minimum\":2}");
    arena_free(&arena);
    schema_registry_free(one);
    schema_registry_free(two);
}

/* Goal: an event in "$schemas" that cannot be is damage, and said so; one of an unknown type is left alone. */
TEST(damage_is_named)
{
    static const char *const wrong[] = {
        "{}", "[]", "", "{\"id\":2,\"subject\":\"a\",\"version\":1,\"kind\":\"JSON\",\"text\":\"{}\"}",
        "{\"id\":1,\"subject\":\"a\",\"version\":2,\"kind\":\"JSON\",\"text\":\"{}\"}",
        "{\"id\":1,\"subject\":\"a\",\"version\":1,\"kind\":\"JSON\"}",
        "{\"id\":4294967297,\"subject\":\"a\",\"version\":1,\"kind\":\"JSON\",\"text\":\"{}\"}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cairn_event events[] = {{.type = S("$something-later"), .data = S("?")}, {.type = S("$schema"), .data = cairn_cstr(wrong[i])}};
        cairn_write write = {.stream = S(SCHEMA_STREAM), .expected = CAIRN_ANY, .events = events, .event_count = 2};
        CHECK_OK(append(&write, 1));
        struct schema_registry *registry = NULL;
        cairn_error error;
        CHECK_INT(schema_registry_open(store, 0, &registry, &error), CAIRN_E_CORRUPT);
        CHECK(strncmp(error.detail, "$schemas: the event at revision 1 ", 34) == 0);
        end(NULL);
        begin(NULL);
    }
}

/* Goal: readers see whole versions while others register and refresh. Method: threads, each checking all it sees. */
static atomic_bool over;

static void *
keep_reading(void *context)
{
    struct schema_registry *registry = context;
    uint32_t seen = 0;
    while (!atomic_load(&over)) {
        struct schema_version version;
        for (uint32_t id = 1; schema_registry_by_id(registry, id, &version); id++) {
            struct schema_version same;
            assert_true(version.id == id && version.text.size > 0);
            assert_true(schema_registry_find(registry, version.subject, version.version, &same) && same.id == id);
            seen = id > seen ? id : seen;
        }
        assert_int_equal(schema_registry_refresh(registry, NULL), CAIRN_OK);
        assert_true(seen == 0 || schema_registry_by_id(registry, seen, &version));
    }
    return NULL;
}

TEST(threads_read_while_one_plans)
{
    struct schema_registry *registry = opened();
    pthread_t threads[3];
    atomic_store(&over, false);
    for (int i = 0; i < 3; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, keep_reading, registry), 0);
    for (int i = 0; i < 200; i++) {
        char subject[16], text[32];
        snprintf(subject, sizeof subject, "s%d", i % 70);
        snprintf(text, sizeof text, "{\"const\":%d}", i);
        struct schema_plan_item item = {.subject = cairn_cstr(subject), .kind = S("JSON"), .text = cairn_cstr(text)};
        CHECK_OK(register_all(registry, &item, 1));
        CHECK_INT(item.ret.id, i + 1);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    struct schema_version version;
    CHECK(schema_registry_by_id(registry, 200, &version) && !schema_registry_by_id(registry, 201, &version));
    schema_registry_free(registry);
}

#define WITH_STORE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {WITH_STORE(ids_and_versions), WITH_STORE(survives_a_restart),
                                       WITH_STORE(two_planners_conflict), WITH_STORE(damage_is_named),
                                       WITH_STORE(threads_read_while_one_plans)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* schema/registry.h: ids and versions, planning together with other events, two planners, restart, damage, threads;
 * and for clients: shared ids, conflicts, levels, values. */
#include "test.h"

#include <base/bytes.h>
#include <cairn/admin.h>
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

/* ---- clients */

static cairn_err
ask(struct schema_registry *registry, const char *subject, enum schema_kind kind, const char *text, const char *references,
    struct schema_version *ret, enum schema_refusal *ret_refusal)
{
    struct arena arena = {0};
    struct schema_outcome outcome = {.faults = {.arena = &arena}};
    struct schema_request request = {.subject = cairn_cstr(subject), .kind = kind, .text = cairn_cstr(text),
                                     .references = cairn_cstr(references)};
    cairn_err err = schema_registry_register(registry, &request, &outcome, NULL);
    if (ret)
        *ret = outcome.version;
    if (ret_refusal)
        *ret_refusal = outcome.refusal;
    arena_free(&arena);
    return err;
}

/* Goal: apps and clients share ids in one order, and a version of an app keeps an id of its own. */
TEST(apps_and_clients)
{
    struct schema_registry *registry = opened();
    struct schema_version version;
    struct schema_plan_item first = {.subject = S("shop.Placed"), .kind = S("JSON"), .text = S("{\"type\":\"string\"}")};
    CHECK_OK(register_all(registry, &first, 1));
    /* A client says the same elsewhere: the same id, which still is the app's. */
    CHECK_OK(ask(registry, "orders-value", SCHEMA_JSON, "{ \"type\":\"string\" }", NULL, &version, NULL));
    CHECK(version.id == 1 && version.version == 1 && cairn_str_equal(version.text, S("{\"type\":\"string\"}")));
    CHECK(schema_registry_by_id(registry, 1, &version) && cairn_str_equal(version.subject, S("shop.Placed")));
    /* What a client had first, the app gets with another id. */
    CHECK_OK(ask(registry, "orders-value", SCHEMA_JSON, "{\"type\":[\"string\",\"null\"]}", NULL, &version, NULL));
    CHECK(version.id == 2 && version.version == 2);
    CHECK_OK(ask(registry, "shop.Placed", SCHEMA_JSON, "{\"type\":[\"string\",\"null\"]}", NULL, &version, NULL));
    CHECK(version.id == 2 && version.version == 2);
    struct schema_plan_item second = {.subject = S("shop.Placed"), .kind = S("JSON"), .text = S("{\"type\":[\"string\",\"null\"]}")};
    CHECK_OK(register_all(registry, &second, 1));
    CHECK(second.ret_new && second.ret.id == 3 && second.ret.version == 3);
    CHECK_OK(register_all(registry, &second, 1));
    CHECK(!second.ret_new && second.ret.id == 3);
    /* A deleted one is an app's still: its events bear the id. */
    uint32_t *versions;
    size_t count;
    struct arena arena = {0};
    enum schema_refusal refusal;
    for (int permanent = 0; permanent < 2; permanent++)
        CHECK_OK(schema_registry_delete(registry, S("shop.Placed"), 1, permanent, &arena, &versions, &count, &refusal, NULL));
    CHECK(schema_registry_find(registry, S("shop.Placed"), 1, &version) && version.life == SCHEMA_GONE);
    CHECK_OK(register_all(registry, &first, 1));
    CHECK(!first.ret_new && first.ret.id == 1 && first.ret.version == 1);
    arena_free(&arena);
    schema_registry_free(registry);
    /* All of it again from the log. */
    registry = opened();
    CHECK(schema_registry_by_id(registry, 3, &version) && version.version == 3 && schema_registry_id_max(registry) == 3);
    CHECK(schema_registry_find(registry, S("orders-value"), 2, &version) && version.id == 2 && version.guid.bytes[0] + version.guid.bytes[1]);
    schema_registry_free(registry);
}

/* Goal: two registries on one store that register at once agree. Method: neither has seen what the other wrote. */
TEST(clients_conflict_and_try_again)
{
    struct schema_registry *one = opened(), *two = opened();
    struct schema_version a, b;
    CHECK_OK(ask(one, "a", SCHEMA_AVRO, "\"int\"", NULL, &a, NULL));
    CHECK_OK(ask(two, "b", SCHEMA_AVRO, "\"long\"", NULL, &b, NULL));
    CHECK(a.id == 1 && b.id == 2);
    CHECK_INT(ask(one, "b", SCHEMA_AVRO, "\"int\"", NULL, NULL, NULL), CAIRN_E_INVALID); /* sees the other's long */
    CHECK_OK(ask(two, "c", SCHEMA_AVRO, "\"int\"", NULL, &b, NULL));
    CHECK(b.id == 1);
    schema_registry_free(one);
    schema_registry_free(two);
}

/* Goal: a value is held to the schema that it names, if that is its subject's. */
TEST(values_are_validated)
{
    struct schema_registry *registry = opened();
    struct schema_version version;
    CHECK_OK(ask(registry, "n-value", SCHEMA_AVRO, "\"string\"", NULL, &version, NULL));
    CHECK_OK(ask(registry, "p-value", SCHEMA_PROTOBUF, "syntax=\"proto3\"; message P { string s = 1; }", NULL, &version, NULL));
    CHECK_OK(ask(registry, "j-value", SCHEMA_JSON, "{\"type\":\"object\"}", NULL, &version, NULL));
    static const struct {
        const char *subject, *bytes;
        size_t size;
        const char *says; /* NULL: it is good */
    } table[] = {
        {"n-value", "\x00\x00\x00\x00\x01\x04hi", 8, NULL}, {"", "\x00\x00\x00\x00\x01\x04hi", 8, NULL},
        {"n-value", "\x00\x00\x00\x00\x01\x04h", 7, "at byte 1: text"}, {"p-value", "\x00\x00\x00\x00\x01\x04hi", 8, "schema 1 is not of the subject p-value"},
        {"n-value", "\x00\x00\x00\x00\x63\x04hi", 8, "no schema of id 99"}, {"n-value", "\x01\x00\x00\x00\x01\x04hi", 8, "0x01"},
        {"n-value", "hi", 2, "2 bytes"}, {"n-value", "", 0, "0 bytes"}, {"p-value", "\x00\x00\x00\x00\x02\x00\x0a\x01x", 9, NULL},
        {"p-value", "\x00\x00\x00\x00\x02\x00\x08\x01", 8, "field 1 (s)"}, {"j-value", "\x00\x00\x00\x00\x03{}", 7, NULL},
        {"j-value", "\x00\x00\x00\x00\x03[]", 7, "object"}, {"j-value", "\x00\x00\x00\x00\x03{", 6, "at byte"},
    };
    for (int round = 0; round < 2; round++) /* the second time from the cache */
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            cairn_error error = {.detail = ""};
            cairn_err err = schema_registry_validate(registry, cairn_cstr(table[i].subject), (cairn_str){table[i].bytes, table[i].size}, &error);
            if (err != (table[i].says ? CAIRN_E_INVALID : CAIRN_OK) || (table[i].says && !strstr(error.detail, table[i].says)))
                fail_msg("%zu: %s", i, error.detail);
        }
    /* What another registry on the same store has registered since is known too. */
    struct schema_registry *other = opened();
    CHECK_OK(ask(other, "late-value", SCHEMA_AVRO, "\"boolean\"", NULL, &version, NULL));
    CHECK_INT(version.id, 4);
    CHECK_OK(schema_registry_validate(registry, S("late-value"), (cairn_str){"\x00\x00\x00\x00\x04\x01", 6}, NULL));
    schema_registry_free(other);
    /* More schemas than the cache has places: each is itself. */
    for (int i = 0; i < 600; i++) {
        char text[80], subject[20];
        snprintf(text, sizeof text, "{\"type\":\"fixed\",\"name\":\"F\",\"size\":%d}", i);
        snprintf(subject, sizeof subject, "f%d", i);
        CHECK_OK(ask(registry, subject, SCHEMA_AVRO, text, NULL, &version, NULL));
        CHECK_INT(version.id, 5 + i);
    }
    static uint8_t value[700];
    for (uint32_t id = 5; id < 605; id++) {
        value[3] = (uint8_t)(id >> 8);
        value[4] = (uint8_t)id;
        CHECK_OK(schema_registry_validate(registry, S(""), (cairn_str){(char *)value, 5 + id - 5}, NULL));
        CHECK_INT(schema_registry_validate(registry, S(""), (cairn_str){(char *)value, 6 + id - 5}, NULL), CAIRN_E_INVALID);
    }
    schema_registry_free(registry);
}

static struct schema_compiled *
compiled_of(struct schema_registry *registry, uint32_t id)
{
    struct schema_version version;
    struct schema_compiled *schema = NULL;
    CHECK(schema_registry_by_id(registry, id, &version));
    CHECK_OK(schema_registry_compiled(registry, &version, &schema, NULL));
    return schema;
}

/* Goal: a record costs no compiling and no reading of the log: not by a schema that refers to the newest of another either, nor with
 * an id that nobody knows. What is registered meanwhile holds at once. Method: what is compiled is the same object, and the
 * store counts reads. */
TEST(records_cost_little)
{
    struct schema_registry *registry = opened();
    struct schema_version version;
    enum schema_refusal refusal;
    cairn_stats before, after;
    static const cairn_str empty = CAIRN_STR("\x00\x00\x00\x00\x02"), one = CAIRN_STR("\x00\x00\x00\x00\x02\x04");
    CHECK_OK(ask(registry, "a", SCHEMA_AVRO, "{\"type\":\"record\",\"name\":\"A\",\"fields\":[]}", NULL, NULL, NULL));
    CHECK_OK(schema_registry_set_config(registry, S("a"), S("{\"compatibilityLevel\":\"NONE\"}"), &refusal, NULL));
    CHECK_OK(ask(registry, "u", SCHEMA_AVRO, "{\"type\":\"record\",\"name\":\"U\",\"fields\":[{\"name\":\"a\",\"type\":\"A\"}]}",
                 "[{\"name\":\"A\",\"subject\":\"a\",\"version\":-1}]", &version, NULL));
    CHECK_INT(version.id, 2);
    struct schema_compiled *first = compiled_of(registry, 2), *second = compiled_of(registry, 2);
    assert_ptr_equal(first, second);
    CHECK_OK(schema_registry_validate(registry, S("u"), empty, NULL));
    CHECK_OK(ask(registry, "a", SCHEMA_AVRO, "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"}]}", NULL, NULL, NULL));
    CHECK_OK(schema_registry_validate(registry, S("u"), one, NULL));
    CHECK_INT(schema_registry_validate(registry, S("u"), empty, NULL), CAIRN_E_INVALID);
    schema_release(first);
    schema_release(second);
    cairn_stats_get(store, &before);
    for (int i = 0; i < 100; i++)
        CHECK_INT(schema_registry_validate(registry, S("u"), S("\x00\x00\x00\x00\x63"), NULL), CAIRN_E_INVALID);
    cairn_stats_get(store, &after);
    CHECK_INT(after.reads_total - before.reads_total, 0);
    schema_registry_free(registry);
}

/* Goal: every transitive level looks at all earlier versions, with what they refer to. */
TEST(levels_with_references)
{
#define USES(more) "{\"type\":\"record\",\"name\":\"U\",\"fields\":[{\"name\":\"a\",\"type\":\"A\"}" more "]}"
#define REF(version) "[{\"name\":\"A\",\"subject\":\"a\",\"version\":" version "}]"
    struct schema_registry *registry = opened();
    enum schema_refusal refusal;
    CHECK_OK(ask(registry, "a", SCHEMA_AVRO, "{\"type\":\"record\",\"name\":\"A\",\"fields\":[]}", NULL, NULL, NULL));
    CHECK_OK(schema_registry_set_config(registry, S("a"), S("{\"compatibilityLevel\":\"NONE\"}"), &refusal, NULL));
    CHECK_OK(ask(registry, "a", SCHEMA_AVRO, "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"}]}", NULL, NULL, NULL));
    CHECK_OK(ask(registry, "u", SCHEMA_AVRO, USES(""), REF("1"), NULL, NULL));
    CHECK_INT(ask(registry, "u", SCHEMA_AVRO, USES(""), REF("2"), NULL, &refusal), CAIRN_E_INVALID);
    CHECK_INT(refusal, SCHEMA_INCOMPATIBLE);
    CHECK_INT(ask(registry, "u", SCHEMA_AVRO, USES(""), REF("3"), NULL, &refusal), CAIRN_E_INVALID);
    CHECK_INT(refusal, SCHEMA_BAD_SCHEMA);
    /* v1 {}, v2 {b = 1}, v3 {b}: follows v2 alone. */
    static const char *const texts[] = {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}",
                                        "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"b\",\"type\":\"int\",\"default\":1}]}",
                                        "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"b\",\"type\":\"int\"}]}"};
    CHECK_OK(ask(registry, "r", SCHEMA_AVRO, texts[0], NULL, NULL, NULL));
    CHECK_OK(ask(registry, "r", SCHEMA_AVRO, texts[1], NULL, NULL, NULL));
    CHECK_OK(schema_registry_set_config(registry, S("r"), S("{\"compatibilityLevel\":\"BACKWARD_TRANSITIVE\"}"), &refusal, NULL));
    CHECK_INT(ask(registry, "r", SCHEMA_AVRO, texts[2], NULL, NULL, &refusal), CAIRN_E_INVALID);
    CHECK_OK(schema_registry_set_config(registry, S("r"), S("{\"compatibilityLevel\":\"FULL\"}"), &refusal, NULL));
    CHECK_OK(ask(registry, "r", SCHEMA_AVRO, texts[2], NULL, NULL, &refusal));
    CHECK_INT(ask(registry, "r", SCHEMA_JSON, "{}", NULL, NULL, &refusal), CAIRN_E_INVALID);
    CHECK_INT(refusal, SCHEMA_INCOMPATIBLE);
    schema_registry_free(registry);
}

#define WITH_STORE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {WITH_STORE(ids_and_versions), WITH_STORE(survives_a_restart),
                                       WITH_STORE(two_planners_conflict), WITH_STORE(damage_is_named),
                                       WITH_STORE(threads_read_while_one_plans), WITH_STORE(apps_and_clients),
                                       WITH_STORE(clients_conflict_and_try_again), WITH_STORE(values_are_validated), WITH_STORE(records_cost_little),
                                       WITH_STORE(levels_with_references)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

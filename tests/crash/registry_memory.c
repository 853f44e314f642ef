/* Every allocation in the schema registry's way fails in turn: out of memory is an ordinary error.
 *
 * Goal: nothing crashes or leaks, nothing half is registered, and with memory again everything is as if nothing had been.
 * Method: no_memory.h, in every thread. Schemas of all kinds are registered, looked up, compared, written and used; the n-th
 * allocation fails, n = 1, 2, …, until a run meets no fault. Then the same once more, and ids are what they should be. */
#include "test.h"
#include "no_memory.h"

#include <schema/registry.h>

static char folder[64];

static const struct step {
    const char *subject, *text, *references, *metadata, *value;
    enum schema_kind kind;
    size_t value_size;
    uint32_t id;
} steps[] = {
    {"a", "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"e\\u0031\",\"type\":[\"null\",\"string\"],\"default\":null}]}", NULL, NULL,
     "\x02\x02x", SCHEMA_AVRO, 3, 1},
    {"a", "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"e1\",\"type\":[\"null\",\"string\"],\"default\":null},{\"name\":\"i\",\"type\":"
          "{\"type\":\"array\",\"items\":\"int\"},\"default\":[1]}]}", NULL, NULL, "\x00\x02\x02\x00", SCHEMA_AVRO, 4, 2},
    {"b", "{\"type\":\"array\",\"items\":\"A\"}", "[{\"name\":\"A\",\"subject\":\"a\",\"version\":1}]", "{\"properties\":{\"k\":\"v\"}}", "\x02\x00\x00",
     SCHEMA_AVRO, 3, 3},
    {"p", "syntax=\"proto3\"; import \"google/protobuf/timestamp.proto\"; option java_package=\"x\"; message P { map<string,P> m=1 [deprecated=true];"
          " oneof o { string s=2; google.protobuf.Timestamp t=3; } reserved 9; enum E { Z=0; } optional E e=4; }", NULL, NULL, "\x00\x12\x01x", SCHEMA_PROTOBUF, 4, 4},
    {"j", "{\"type\":\"object\",\"properties\":{\"a\\u0062\":{\"$ref\":\"#/$defs/x\"}},\"$defs\":{\"x\":{\"type\":\"integer\"}}}", NULL, NULL, "{\"ab\":1}", SCHEMA_JSON, 8, 5},
    {"k", "{ \"type\":\"object\",\"properties\":{\"ab\":{\"$ref\":\"#/$defs/x\"}},\"$defs\":{\"x\":{\"type\":\"integer\"}}}", NULL, NULL, "{\"ab\":1}", SCHEMA_JSON, 8, 5},
};
#define STEPS (sizeof steps / sizeof steps[0])

static void
use(struct schema_registry *registry, const struct step *step, uint32_t id, bool whole)
{
    uint8_t value[32] = {0, 0, 0, 0, (uint8_t)id};
    memcpy(value + 5, step->value, step->value_size);
    cairn_error error = {.detail = ""};
    cairn_err err = schema_registry_validate(registry, cairn_cstr(step->subject), (cairn_str){(char *)value, 5 + step->value_size}, &error);
    if (err != CAIRN_OK && (whole || (err != CAIRN_E_NOMEM && err != CAIRN_E_INVALID)))
        fail_msg("%s: %s", step->subject, error.detail);
    struct schema_version version;
    struct schema_compiled *schema = NULL;
    struct buf text = {0};
    if (schema_registry_by_id(registry, id, &version) && schema_registry_compiled(registry, &version, &schema, NULL) == CAIRN_OK) {
        err = schema_put(schema, SCHEMA_SERIALIZED, &text, NULL);
        CHECK(err == CAIRN_OK || (!whole && err == CAIRN_E_NOMEM));
    }
    schema_release(schema);
    buf_free(&text);
}

static void
run_all(struct schema_registry *registry, bool whole)
{
    for (size_t i = 0; i < STEPS; i++) {
        struct arena arena = {0};
        struct schema_outcome outcome = {.faults = {.arena = &arena}};
        struct schema_request request = {.subject = cairn_cstr(steps[i].subject), .kind = steps[i].kind, .text = cairn_cstr(steps[i].text),
                                         .references = cairn_cstr(steps[i].references), .metadata = cairn_cstr(steps[i].metadata)};
        cairn_error error = {.detail = ""};
        cairn_err err = schema_registry_register(registry, &request, &outcome, &error);
        if (err != CAIRN_OK && (whole || (err != CAIRN_E_NOMEM && err != CAIRN_E_INVALID)))
            fail_msg("%s: %s", steps[i].subject, error.detail);
        if (err == CAIRN_OK)
            use(registry, &steps[i], outcome.version.id, whole);
        err = schema_registry_lookup(registry, &request, false, &outcome, NULL);
        CHECK(err == CAIRN_OK || !whole);
        err = schema_registry_compatible(registry, &request, 0, &outcome, NULL);
        CHECK(err == CAIRN_OK || (!whole && (err == CAIRN_E_NOMEM || err == CAIRN_E_INVALID)));
        arena_free(&arena);
        if (!whole && memory.fired)
            return; /* the order of versions is the order of the steps */
    }
}

/* What one run did not get in is in now; ids are dense, and what says the same has one. */
static void
check_all(cairn_store *store)
{
    struct schema_registry *registry = NULL;
    struct schema_version version, other;
    CHECK_OK(schema_registry_open(store, 0, &registry, NULL));
    CHECK_INT(schema_registry_id_max(registry), 5);
    for (size_t i = 0; i < STEPS; i++)
        CHECK(schema_registry_find(registry, cairn_cstr(steps[i].subject), 0, &version) && version.id <= 5);
    CHECK(schema_registry_find(registry, CAIRN_STR("j"), 1, &version) && schema_registry_find(registry, CAIRN_STR("k"), 1, &other));
    CHECK(version.id == other.id && memcmp(&version.guid, &other.guid, sizeof version.guid) == 0);
    CHECK(schema_registry_newest(registry, CAIRN_STR("a")) == 2 && schema_registry_newest(registry, CAIRN_STR("b")) == 1);
    schema_registry_free(registry);
}

/* The same of schemas alone, which needs no disk: every allocation. */
static void
try_alone(const struct step *step, bool whole)
{
    const struct schema_text reference = {CAIRN_STR("A"), cairn_cstr(steps[0].text)};
    struct schema_compiled *schema = NULL;
    struct buf text = {0};
    struct arena arena = {0};
    struct schema_faults faults = {.arena = &arena};
    cairn_err err = schema_compile(step->kind, cairn_cstr(step->text), &reference, step->references != NULL, &schema, NULL);
    CHECK(err == CAIRN_OK || (!whole && (err == CAIRN_E_NOMEM || err == CAIRN_E_INVALID)));
    for (int form = SCHEMA_CANONICAL; schema && form <= SCHEMA_SERIALIZED; form++) {
        buf_clear(&text);
        err = schema_put(schema, (enum schema_form)form, &text, NULL);
        CHECK(err == CAIRN_OK || (!whole && err == CAIRN_E_NOMEM));
    }
    if (schema) {
        err = schema_reads(schema, schema, &faults, NULL);
        CHECK(err == CAIRN_OK || (!whole && (err == CAIRN_E_NOMEM || err == CAIRN_E_INVALID)));
        err = schema_check_value(schema, (cairn_str){step->value, step->value_size}, NULL);
        CHECK(err == CAIRN_OK || (!whole && (err == CAIRN_E_NOMEM || err == CAIRN_E_INVALID)));
    }
    schema_release(schema);
    buf_free(&text);
    arena_free(&arena);
}

TEST(of_schemas)
{
    for (size_t i = 0; i < STEPS; i++)
        for (uint64_t fail_at = 1;; fail_at++) {
            memory_fails(fail_at, false);
            try_alone(&steps[i], false);
            if (!memory_returns())
                break;
            try_alone(&steps[i], true);
        }
}

/* Every fifth, or every one where the work is scaled up: a run is twelve appends that reach the disk. */
TEST(of_the_registry)
{
    uint64_t fail_at = 1, step = test_scale() > 1 ? 1 : 5;
    for (;; fail_at += step) {
        cairn_store *store;
        struct schema_registry *registry = NULL;
        cairn_options options = {.create = true, .no_background = true, .segment_size_bytes = 1 << 20};
        test_folder(folder);
        CHECK_OK(cairn_open(folder, &options, &store, NULL));
        CHECK_OK(schema_registry_open(store, 0, &registry, NULL));
        memory_fails(fail_at, false);
        run_all(registry, false);
        bool fired = memory_returns();
        run_all(registry, true);
        schema_registry_free(registry);
        check_all(store);
        cairn_close(store);
        test_remove(folder);
        if (!fired)
            break;
    }
    CHECK(fail_at > 200);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(of_schemas), RUN(of_the_registry)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

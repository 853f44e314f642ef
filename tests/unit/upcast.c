/* schema/upcast.h: each step, steps in order, and that chains compose. */
#include "test.h"

#include <base/bytes.h>
#include <base/error.h>
#include <schema/upcast.h>

#define S(text) CAIRN_STR(text)
#define PLACE(text) {text, sizeof(text) - 1}

static struct upcast_chain *
build(const struct upcast_step *steps, size_t count)
{
    struct upcast_chain *chain = NULL;
    cairn_error error;
    if (upcast_build(steps, count, &chain, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    return chain;
}

/* Goal: each step does what its comment says, also where something is absent or in the way. */
TEST(steps_do_what_they_say)
{
    static const struct {
        struct upcast_step step;
        const char *before, *after; /* NULL: unchanged */
    } cases[] = {
        {{2, UPCAST_RENAME, PLACE("qty"), PLACE("quantity"), {0}, 0, 0}, "{\"id\": 1, \"qty\":2,\"z\":[ 3 ]}", "{\"id\":1,\"quantity\":2,\"z\":[ 3 ]}"},
        {{2, UPCAST_RENAME, PLACE("qty"), PLACE("quantity"), {0}, 0, 0}, "{\"id\": 1}", NULL},
        {{2, UPCAST_RENAME, PLACE("a"), PLACE("b"), {0}, 0, 0}, "{\"b\":0,\"c\":1,\"a\":2}", "{\"b\":2,\"c\":1}"},
        {{2, UPCAST_RENAME, PLACE("/a/b"), PLACE("/a/c"), {0}, 0, 0}, "{\"a\":{\"b\":{\"x\":[]}}}", "{\"a\":{\"c\":{\"x\":[]}}}"},
        {{2, UPCAST_RENAME, PLACE("/a/b"), PLACE("/x/c"), {0}, 0, 0}, "{\"a\":{\"b\":1}}", NULL},
        {{2, UPCAST_RENAME, PLACE("a"), PLACE("b"), {0}, 0, 0}, "{\"a\":1,\"a\":2}", "{\"b\":1}"},
        {{2, UPCAST_RENAME, PLACE("\xC3\xA9"), PLACE("e\""), {0}, 0, 0}, "{\"\\u00e9\":1,\"\\u0061\":2}", "{\"e\\\"\":1,\"\\u0061\":2}"},
        {{2, UPCAST_MOVE, PLACE("/customer/name"), PLACE("/customer_name"), {0}, 0, 0}, "{\"customer\":{\"name\":\"x\",\"id\":1}}",
         "{\"customer\":{\"id\":1},\"customer_name\":\"x\"}"},
        {{2, UPCAST_MOVE, PLACE("name"), PLACE("/customer/person/name"), {0}, 0, 0}, "{\"name\":\"x\",\"customer\":{}}",
         "{\"customer\":{\"person\":{\"name\":\"x\"}}}"},
        {{2, UPCAST_MOVE, PLACE("name"), PLACE("/customer/name"), {0}, 0, 0}, "{\"name\":\"x\",\"customer\":3}", NULL},
        {{2, UPCAST_MOVE, PLACE("/a/b"), PLACE("/a"), {0}, 0, 0}, "{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":1}"},
        {{2, UPCAST_MOVE, PLACE("/lines/1/n"), PLACE("/second"), {0}, 0, 0}, "{\"lines\":[{\"n\":1},{\"n\":2}]}",
         "{\"lines\":[{\"n\":1},{}],\"second\":2}"},
        {{2, UPCAST_MOVE, PLACE("/lines/01/n"), PLACE("/second"), {0}, 0, 0}, "{\"lines\":[{\"n\":1},{\"n\":2}]}", NULL},
        {{2, UPCAST_MOVE, PLACE("/a~1b/~0"), PLACE("c"), {0}, 0, 0}, "{\"a/b\":{\"~\":true}}", "{\"a/b\":{},\"c\":true}"},
        {{2, UPCAST_DEFAULT, {0}, PLACE("currency"), PLACE(" \"EUR\" "), 0, 0}, "{}", "{\"currency\":\"EUR\"}"},
        {{2, UPCAST_DEFAULT, {0}, PLACE("currency"), PLACE("\"EUR\""), 0, 0}, "{\"currency\":null}", NULL},
        {{2, UPCAST_DEFAULT, {0}, PLACE("/a/b"), PLACE("{\"x\":1}"), 0, 0}, "{\"z\":0}", "{\"z\":0,\"a\":{\"b\":{\"x\":1}}}"},
        {{2, UPCAST_DEFAULT, {0}, PLACE("/a/b"), PLACE("1"), 0, 0}, "{\"a\":[]}", NULL},
        {{2, UPCAST_REMOVE, PLACE("legacy"), {0}, {0}, 0, 0}, "{\"legacy\":1,\"a\":2,\"legacy\":3}", "{\"a\":2}"},
        {{2, UPCAST_REMOVE, PLACE("/a/b"), {0}, {0}, 0, 0}, "{\"a\":{\"b\":1}}", "{\"a\":{}}"},
        {{2, UPCAST_REMOVE, PLACE("/a/0"), {0}, {0}, 0, 0}, "{\"a\":[1]}", NULL},
        {{2, UPCAST_REMOVE, PLACE("/"), {0}, {0}, 0, 0}, "{\"\":1,\"a\":2}", "{\"a\":2}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct upcast_chain *chain = build(&cases[i].step, 1);
        struct arena arena = {0};
        cairn_str before = cairn_cstr(cases[i].before), after = {NULL, 0};
        CHECK_OK(upcast_apply(chain, S("T"), 1, 2, before, &arena, &after, NULL));
        if (!cases[i].after)
            CHECK(after.data == before.data && after.size == before.size); /* borrowed */
        else if (!cairn_str_equal(after, cairn_cstr(cases[i].after)))
            fail_msg("%zu: %s became %.*s", i, cases[i].before, (int)after.size, after.data);
        arena_free(&arena);
        upcast_free(chain);
    }
}

static cairn_err
count_up(void *context, uint32_t to_version, cairn_str type, cairn_str data, struct arena *arena, cairn_str *ret_data,
         cairn_error *error)
{
    const char *outcome = context;
    char text[200];
    if (strcmp(outcome, "fails") == 0)
        return error_set(error, CAIRN_E_SCRIPT, "the script failed");
    snprintf(text, sizeof text, "{\"to\":%u,\"type\":\"%.*s\",\"was\":%.*s}", to_version, (int)type.size, type.data,
             (int)data.size, data.data);
    *ret_data = arena_copy(arena, strcmp(outcome, "array") == 0 ? S("[1]") : cairn_cstr(text));
    return CAIRN_OK;
}

/* Goal: steps run in the order of their versions, those of one version as they were given, calls among them. */
TEST(steps_run_in_order)
{
    char works[] = "works", fails[] = "fails", array[] = "array";
    struct upcast_step steps[] = {
        {4, UPCAST_RENAME, S("was"), S("before"), {0}, 0, 0},
        {2, UPCAST_DEFAULT, {0}, S("a"), S("1"), 0, 0},
        {2, UPCAST_RENAME, S("a"), S("b"), {0}, 0, 0},
        {3, UPCAST_CALL, {0}, {0}, {0}, count_up, works},
    };
    struct upcast_chain *chain = build(steps, 4);
    struct arena arena = {0};
    cairn_str data = {NULL, 0};
    CHECK_OK(upcast_apply(chain, S("T"), 1, 4, S("{}"), &arena, &data, NULL));
    CHECK_STR(data.data, "{\"to\":3,\"type\":\"T\",\"before\":{\"b\":1}}");
    CHECK_OK(upcast_apply(chain, S("T"), 1, 2, S("{}"), &arena, &data, NULL));
    CHECK_STR(data.data, "{\"b\":1}");
    CHECK_OK(upcast_apply(chain, S("T"), 3, 4, S("{\"was\":0}"), &arena, &data, NULL));
    CHECK_STR(data.data, "{\"before\":0}");
    /* nothing to do: not even looked at */
    cairn_str bytes = S("\x01 no JSON");
    CHECK_OK(upcast_apply(chain, S("T"), 4, 4, bytes, &arena, &data, NULL));
    CHECK(data.data == bytes.data);
    CHECK_OK(upcast_apply(chain, S("T"), 0, 4, bytes, &arena, &data, NULL));
    CHECK_OK(upcast_apply(NULL, S("T"), 1, 4, bytes, &arena, &data, NULL));
    cairn_error error;
    CHECK_INT(upcast_apply(chain, S("T"), 1, 4, bytes, &arena, &data, &error), CAIRN_E_INVALID);
    CHECK_STR(error.detail, "data of version 1 is no JSON object and cannot be upcast");
    CHECK_INT(upcast_apply(chain, S("T"), 1, 4, S("[]"), &arena, &data, &error), CAIRN_E_INVALID);
    upcast_free(chain);
    steps[3].context = fails;
    chain = build(steps, 4);
    CHECK_INT(upcast_apply(chain, S("T"), 1, 4, S("{}"), &arena, &data, &error), CAIRN_E_SCRIPT);
    upcast_free(chain);
    steps[3].context = array;
    chain = build(steps, 4);
    CHECK_INT(upcast_apply(chain, S("T"), 1, 4, S("{}"), &arena, &data, &error), CAIRN_E_INVALID);
    upcast_free(chain);
    arena_free(&arena);
}

/* Goal: a step that makes no sense is named when the chain is built. */
TEST(senseless_steps_are_refused)
{
    static const struct {
        struct upcast_step step;
        const char *detail;
    } cases[] = {
        {{1, UPCAST_REMOVE, PLACE("a"), {0}, {0}, 0, 0}, "an upcast step leads to version 2 or a later one, not 1"},
        {{2, UPCAST_REMOVE, {0}, {0}, {0}, 0, 0}, "in the upcast step to version 2, \"from\" is empty"},
        {{2, UPCAST_RENAME, PLACE("a"), PLACE("/a"), {0}, 0, 0}, "in the upcast step to version 2, \"to\" is at or below \"from\""},
        {{2, UPCAST_MOVE, PLACE("/a"), PLACE("/a/b"), {0}, 0, 0}, "in the upcast step to version 2, \"to\" is at or below \"from\""},
        {{2, UPCAST_MOVE, PLACE("/a~2"), PLACE("b"), {0}, 0, 0}, "in the upcast step to version 2, \"from\" has a '~' that is not ~0 or ~1"},
        {{2, UPCAST_REMOVE, PLACE("a\xFF"), {0}, {0}, 0, 0}, "in the upcast step to version 2, \"from\" is not valid UTF-8"},
        {{3, UPCAST_DEFAULT, {0}, PLACE("a"), PLACE("EUR"), 0, 0}, "in the upcast step to version 3, \"value\" is no JSON"},
        {{2, UPCAST_REMOVE, PLACE("/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3"), {0}, {0}, 0, 0},
         "in the upcast step to version 2, \"from\" goes too deep"},
        {{2, UPCAST_CALL, {0}, {0}, {0}, NULL, NULL}, "an upcast step to version 2 calls nothing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct upcast_chain *chain = NULL;
        cairn_error error;
        CHECK_INT(upcast_build(&cases[i].step, 1, &chain, &error), CAIRN_E_INVALID);
        CHECK(chain == NULL);
        CHECK_STR(error.detail, cases[i].detail);
    }
    static struct upcast_step many[UPCAST_STEPS_MAX + 1];
    struct upcast_chain *chain = NULL;
    CHECK_INT(upcast_build(many, UPCAST_STEPS_MAX + 1, &chain, NULL), CAIRN_E_LIMIT);
}

/* Goal: what would be nested deeper than JSON may be is a limit, not a crash. Method: wrap a value 1,000 × 31 times. */
TEST(depth_is_bounded)
{
    static struct upcast_step steps[UPCAST_STEPS_MAX];
    for (size_t i = 0; i < UPCAST_STEPS_MAX; i++)
        steps[i] = (struct upcast_step){2, UPCAST_MOVE, i % 2 ? S("b") : S("a"),
                                        i % 2 ? S("/a/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9")
                                              : S("/b/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9"), {0}, 0, 0};
    struct upcast_chain *chain = build(steps, UPCAST_STEPS_MAX);
    struct arena arena = {0};
    cairn_str data = {NULL, 0};
    CHECK_INT(upcast_apply(chain, S("T"), 1, 2, S("{\"a\":1}"), &arena, &data, NULL), CAIRN_E_LIMIT);
    arena_free(&arena);
    upcast_free(chain);
}

/* ---- chains compose */

static uint64_t seed;

static unsigned
pick(unsigned n)
{
    return (unsigned)(test_random(&seed) % n);
}

static void
put_data(struct buf *to, unsigned depth)
{
    static const char *const scalars[] = {"1", "\"x\"", "null", "[1,{\"a\":2}]", "{}"};
    bool any = false;
    if (depth == 0) {
        buf_put_str(to, cairn_cstr(scalars[pick(5)]));
        return;
    }
    buf_put_char(to, '{');
    for (int c = 'a'; c <= 'd'; c++) {
        if (pick(3) == 0)
            continue;
        buf_printf(to, "%s\"%c\":", any ? "," : "", c);
        put_data(to, pick(2) ? 0 : depth - 1);
        any = true;
    }
    buf_put_char(to, '}');
}

static cairn_str
random_place(struct arena *arena)
{
    struct buf text = {0};
    for (unsigned i = 0, n = 1 + pick(3); i < n; i++)
        buf_printf(&text, "/%c", 'a' + (char)pick(5));
    cairn_str copy = arena_copy(arena, buf_str(&text));
    buf_free(&text);
    return copy;
}

/* Goal: 1 → n is 1 → m, then m → n; and what comes out is JSON. Method: random chains, data and m. */
TEST(chains_compose)
{
    seed = test_seed();
    unsigned changed = 0, rounds = 5000 * test_scale();
    for (unsigned round = 0; round < rounds; round++) {
        struct arena arena = {0};
        struct upcast_step steps[6];
        size_t count = 0;
        for (size_t wanted = 1 + pick(6); count < wanted;) {
            struct upcast_step step = {2 + pick(4), (enum upcast_op)pick(4), random_place(&arena), random_place(&arena),
                                       S("{\"new\":true}"), NULL, NULL};
            struct upcast_chain *one = NULL;
            if (upcast_build(&step, 1, &one, NULL) != CAIRN_OK)
                continue;
            upcast_free(one);
            steps[count++] = step;
        }
        struct upcast_chain *chain = build(steps, count);
        struct buf text = {0};
        put_data(&text, 3);
        cairn_str data = buf_str(&text), whole = {NULL, 0}, half = {NULL, 0}, both = {NULL, 0}, one_by_one = data;
        uint32_t middle = 1 + pick(5);
        CHECK_OK(upcast_apply(chain, S("T"), 1, 5, data, &arena, &whole, NULL));
        CHECK_OK(upcast_apply(chain, S("T"), 1, middle, data, &arena, &half, NULL));
        CHECK_OK(upcast_apply(chain, S("T"), middle, 5, half, &arena, &both, NULL));
        for (uint32_t version = 1; version < 5; version++)
            CHECK_OK(upcast_apply(chain, S("T"), version, version + 1, one_by_one, &arena, &one_by_one, NULL));
        struct json json;
        CHECK_OK(json_check(whole, &json, NULL));
        if (!cairn_str_equal(whole, both) || !cairn_str_equal(whole, one_by_one))
            fail_msg("%.*s: at once %.*s, by %u %.*s", (int)data.size, data.data, (int)whole.size, whole.data, middle,
                     (int)both.size, both.data);
        changed += whole.data != data.data;
        buf_free(&text);
        upcast_free(chain);
        arena_free(&arena);
    }
    CHECK(changed > rounds / 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(steps_do_what_they_say), RUN(steps_run_in_order), RUN(senseless_steps_are_refused),
                                       RUN(depth_is_bounded), RUN(chains_compose)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

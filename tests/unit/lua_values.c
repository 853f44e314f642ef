/* JSON ↔ Lua: what comes back of a document that went through a script, and what is refused. Each case is a state that
 * evolve sets to the event's data, or changes, and save writes. */
#include "../lua_rig.h"

static const char keeper[] =
    "local function set(state, event) return event.data end\n"
    "return { evolve = {\n"
    "  Set = set,\n"
    "  Through = function(state, event) return { json = json.decode(json.encode(event.data)) } end,\n"
    "  Types = function(state, event) local t = {}\n"
    "    for i, v in ipairs(event.data) do t[i] = v == null and 'null' or math.type(v) or type(v) end return t end,\n"
    "  Add = function(state, event) state.list[#state.list + 1] = event.data state.empty = {} state.none = array() end,\n"
    "  Run = function(state, event) return runs[event.data](state) end,\n"
    "} }\n";

static void
check_through(struct lua_rig *rig, const char *in, const char *out)
{
    CHECK_STR(rig_evolve(rig, "Set", in), "");
    CHECK_STR(rig_save(rig), out);
    char wrapped[4096];
    snprintf(wrapped, sizeof wrapped, "{\"json\":%s}", out);
    CHECK_STR(rig_evolve(rig, "Through", in), "");
    CHECK_STR(rig_save(rig), wrapped);
}

TEST(documents_come_back)
{
    static const char *const same[] = {
        "{}", "[]", "null", "true", "false", "0", "-1", "\"\"", "\"a\\\"b\\\\c\\n\\u0001\"", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "9223372036854775807", "-9223372036854775808", "1.5", "-0.25", "1e+300", "5e-324", "1.7976931348623157e+308",
        "[null,true,[],{},[[]]]", "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"b\":[]}", "{\"\":1,\"A\":2,\"a\":3,\"\xc3\xa4\":4}",
        "[1,[2,[3,[4,[5,[6,[7]]]]]]]"};
    static const char *const other[][2] = {
        {" { \"b\" : 1 , \"a\" : [ ] } ", "{\"a\":[],\"b\":1}"},
        {"1.0", "1"}, {"1e3", "1000"}, {"-0", "0"}, {"-0.0", "0"}, {"-1e-9999", "0"}, {"100e-2", "1"}, {"0.1e1", "1"}, {"1E2", "100"},
        {"18446744073709551616", "18446744073709552000"}, {"-9223372036854775809", "-9223372036854776000"},
        {"\"\\u00e4\\ud83d\\ude00\\/\"", "\"\xc3\xa4\xf0\x9f\x98\x80/\""},
        {"{\"\\u0061\":1}", "{\"a\":1}"},
        {"{\"a\":1,\"a\":2}", "{\"a\":1}"}, {"{\"a\":1,\"b\":2,\"\\u0061\":3}", "{\"a\":1,\"b\":2}"}};
    struct lua_rig rig = {0};
    rig_open(&rig, keeper);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        check_through(&rig, same[i], same[i]);
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        check_through(&rig, other[i][0], other[i][1]);
    rig_close(&rig);
}

/* Goal: the batches in which items and members are moved join without a seam. Method: every size around their borders, and
 * names that come twice in the same and in different batches. */
TEST(sizes_around_the_batches)
{
    struct lua_rig rig = {0};
    rig_open(&rig, keeper);
    struct buf in = {0}, out = {0};
    for (unsigned size = 0; size < 140; size++) {
        for (int object = 0; object < 2; object++) {
            buf_clear(&in);
            buf_clear(&out);
            buf_put_char(&in, object ? '{' : '[');
            for (unsigned i = 0; i < size; i++)
                buf_printf(&in, object ? "%s\"k%03u\":%u" : "%s%u", i ? "," : "", object ? i : 1000 + i, i);
            buf_put(&out, in.data, in.size);
            if (object && size) { /* again: these do not count */
                buf_printf(&in, ",\"k000\":\"no\",\"k%03u\":\"no\",\"k%03u\":null", size - 1, size / 2);
            }
            buf_put_char(&in, object ? '}' : ']');
            buf_put_char(&out, object ? '}' : ']');
            buf_put_char(&in, 0);
            buf_put_char(&out, 0);
            CHECK_STR(rig_evolve(&rig, "Set", in.data), "");
            CHECK_STR(rig_save(&rig), out.data);
        }
    }
    buf_free(&in);
    buf_free(&out);
    rig_close(&rig);
}

TEST(types_are_what_scripts_expect)
{
    struct lua_rig rig = {0};
    rig_open(&rig, keeper);
    CHECK_STR(rig_evolve(&rig, "Types", "[1, 1.0, 1.5, 1e3, 1e400e, null]"), "event.data is no JSON: at byte 24: expected ',' or ']'");
    CHECK_STR(rig_evolve(&rig, "Types", "[1, 1.0, 1.5, 1e3, 9223372036854775808, \"x\", true, {}, [], null]"), "");
    CHECK_STR(rig_save(&rig), "[\"integer\",\"integer\",\"float\",\"integer\",\"float\",\"string\",\"boolean\",\"table\","
                              "\"table\",\"null\"]");
    CHECK(strstr(rig_evolve(&rig, "Set", "[1e400]"), "too large") != NULL);
    CHECK(strstr(rig_evolve(&rig, "Set", "[\"\\ud800\"]"), "surrogate") != NULL);
    CHECK_STR(rig_evolve(&rig, "Set", "{\"list\":[]}"), "");
    CHECK_STR(rig_evolve(&rig, "Add", "1"), "");
    CHECK_STR(rig_evolve(&rig, "Add", "{\"x\":[]}"), "");
    CHECK_STR(rig_save(&rig), "{\"empty\":{},\"list\":[1,{\"x\":[]}],\"none\":[]}");
    rig_close(&rig);
}

TEST(nulls_may_be_nil)
{
    struct lua_rig rig = {0};
    rig_open(&rig, "return { nulls = 'nil', evolve = { Set = function(state, event) assert(event.data.a == nil) return "
                   "event.data end } }");
    CHECK_STR(rig_evolve(&rig, "Set", "{\"a\":null,\"b\":[null,1],\"c\":{\"d\":null}}"), "");
    CHECK_STR(rig_save(&rig), "{\"b\":[null,1],\"c\":{}}");
    rig_close(&rig);
    CHECK_INT(rig_make(&rig, "return { nulls = 'none', decide = {} }"), CAIRN_E_INVALID);
    rig_close(&(struct lua_rig){0});
}

/* Goal: the same table is the same text and walked in the same order, in every state and however it was filled.
 * Method: the same names are set in two orders, with others taken away in between; text and pairs() agree, in 20
 * machines (each has a hash seed of its own). */
TEST(order_is_the_same_everywhere)
{
    static const char source[] =
        "local function fill(from, to, step) local t = {}\n"
        "  for i = from, to, step do t['junk' .. i] = 1 t['k' .. i] = i t[i] = i t[i + 0.5] = i end\n"
        "  for i = from, to, step do t['junk' .. i] = nil end t[true] = 1 t[false] = 0 t[null] = 'n' return t end\n"
        "local function walk(t) local l = {} for k, v in pairs(t) do l[#l + 1] = tostring(k) .. '=' .. tostring(v) end\n"
        "  local m, k, v = {}, next(t) while k ~= nil do m[#m + 1] = tostring(k) .. '=' .. tostring(v) k, v = next(t, k) end\n"
        "  assert(table.concat(l, ' ') == table.concat(m, ' ')) return table.concat(l, ' ') end\n"
        "return { evolve = { Walk = function() local a, b = walk(fill(1, 9, 1)), walk(fill(9, 1, -1)) assert(a == b)\n"
        "  local removed = {} local t = fill(1, 9, 1) for k in pairs(t) do removed[#removed + 1] = tostring(k) t[k] = nil\n"
        "    t.k5 = nil end return { a, #removed, next(t) == nil } end } }";
    char *first = NULL;
    for (int i = 0; i < 20; i++) {
        struct lua_rig rig = {0};
        rig_open(&rig, source);
        CHECK_STR(rig_evolve(&rig, "Walk", "{}"), "");
        const char *text = rig_save(&rig);
        if (!first) {
            first = strdup(text);
            CHECK_STR(first, "[\"false=0 true=1 null=n 1=1 1.5=1 2=2 2.5=2 3=3 3.5=3 4=4 4.5=4 5=5 5.5=5 6=6 6.5=6 7=7 "
                             "7.5=7 8=8 8.5=8 9=9 9.5=9 k1=1 k2=2 k3=3 k4=4 k5=5 k6=6 k7=7 k8=8 k9=9\",29,true]");
        }
        CHECK_STR(text, first);
        rig_close(&rig);
    }
    free(first);
}

TEST(views_read_like_the_state)
{
    struct lua_rig rig = {0};
    rig_open(&rig,
             "return { initial = { items = array{ { id = 'a' }, { id = 'b' } }, by = { x = 1, y = 2 }, n = 5 },\n"
             "decide = { Read = function(state) local t = {}\n"
             "  for k, v in pairs(state) do t[#t + 1] = k .. ':' .. type(v) end\n"
             "  for i, v in ipairs(state.items) do t[#t + 1] = i .. v.id end\n"
             "  for k, v in pairs(state.by) do t[#t + 1] = k .. v end\n"
             "  t[#t + 1] = #state.items\n"
             "  assert(state.items == state.items and state.items[1] ~= state.items[2])\n"
             "  assert(rawlen(state.items) == 2 and rawget(state, 'n') == 5 and next(state) == 'by')\n"
             "  assert(select('#', table.unpack(state.items)) == 2 and state.none == nil)\n"
             "  assert(json.encode(state.by) == '{\"x\":1,\"y\":2}' and json.encode(array()) == '[]')\n"
             "  return { type = 'Read', data = { t = table.concat(t, ' '), items = state.items, all = state } } end } }");
    CHECK_STR(rig_decide(&rig, "Read", "{}"),
              "Read {\"all\":{\"by\":{\"x\":1,\"y\":2},\"items\":[{\"id\":\"a\"},{\"id\":\"b\"}],\"n\":5},"
              "\"items\":[{\"id\":\"a\"},{\"id\":\"b\"}],"
              "\"t\":\"by:table items:table n:number 1a 2b x1 y2 2\"}\n");
    rig_close(&rig);
}

TEST(events_and_commands_have_their_members)
{
    struct lua_rig rig = {0};
    rig_open(&rig,
             "local function all(fact) local t = {} for k, v in pairs(fact) do t[k] = v end return t end\n"
             "return { evolve = { E = function(state, event) assert(event.tags[2] == 'red' and event.meta.actor == 'ann')\n"
             "    assert(event.nothing == nil and event.revision == 3) return all(event) end,\n"
             "  Keep = function(state, event) return { event = event } end },\n"
             "decide = { C = function(state, command) return { type = 'T', data = all(command) } end } }");
    CHECK_STR(rig_evolve(&rig, "E", "{\"x\":1}"), "");
    CHECK_STR(rig_save(&rig),
              "{\"correlation\":\"c-1\",\"data\":{\"x\":1},\"id\":\"00000000-0000-0000-0000-000000000009\","
              "\"meta\":{\"actor\":\"ann\"},\"position\":41,\"revision\":3,\"stream\":\"order-1\","
              "\"tags\":[\"customer:7\",\"red\"],\"time\":\"2025-11-21T12:00:00.000000Z\",\"time_us\":1763726400000000,"
              "\"type\":\"E\"}");
    CHECK_STR(rig_decide(&rig, "C", "{\"y\":[]}"),
              "T {\"actor\":\"ann\",\"correlation\":\"c-1\",\"data\":{\"y\":[]},"
              "\"id\":\"ab000000-0000-0000-0000-000000000000\",\"name\":\"C\","
              "\"time\":\"2025-11-21T12:00:00.000000Z\",\"time_us\":1763726400000000}\n");
    CHECK_STR(rig_evolve(&rig, "Keep", "{}"), "");
    CHECK(strstr(rig_save(&rig), "take what is needed") != NULL);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(documents_come_back), RUN(sizes_around_the_batches), RUN(types_are_what_scripts_expect), RUN(nulls_may_be_nil),
        RUN(order_is_the_same_everywhere), RUN(views_read_like_the_state), RUN(events_and_commands_have_their_members)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

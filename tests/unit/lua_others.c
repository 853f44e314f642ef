/* Upcasters and projections in Lua, modules, and what check and deploy ask of a decider. */
#include "../lua_rig.h"

#include <pthread.h>

static cairn_app_file
file(const char *path, const char *text)
{
    return (cairn_app_file){cairn_cstr(path), cairn_cstr(text)};
}

/* ---- modules */

static cairn_err
make_from(const cairn_app_file *files, size_t count, const char *main, cairn_decider **ret, cairn_error *error)
{
    struct lua_sources sources = {files, count};
    return lua_decider_make("order", cairn_cstr(main), &sources, NULL, ret, error);
}

TEST(modules_are_found_beside_and_from_the_root)
{
    cairn_app_file files[] = {
        file("deciders/order.lua", "local a, b = require 'near', require('lib.far') assert(require 'near' == a)\n"
                                   "return { decide = { C = function() return { type = a.name .. b.name .. require('late') } end } }"),
        file("deciders/near.lua", "return { name = 'near' }"), file("near.lua", "return { name = 'wrong' }"),
        file("lib/far.lua", "local path = ... return { name = path }"), file("late.lua", "return 'late'"),
        file("README.md", "no Lua"), file("loop.lua", "return require 'loop2'"), file("loop2.lua", "return require 'loop'"),
        file("ts.lua", "local ____exports = {} ____exports.default = { decide = { C = function() end } } return ____exports"),
        file("all.lua", "return { evolve = function() end, decide = function(state, command) return { type = command.name } end }")};
    size_t count = sizeof files / sizeof files[0];
    struct lua_rig rig = {0};
    CHECK_OK(make_from(files, count, "deciders/order.lua", &rig.decider, &rig.error));
    CHECK_OK(rig_start(&rig));
    CHECK_STR(rig_decide(&rig, "C", "{}"), "nearlib/far.lualate {}\n");
    CHECK_STR(rig_decide(&rig, "D", "{}"), "deciders/order.lua has no decide for command D");
    CHECK(lua_decider_has(rig.decider, "decide", CAIRN_STR("C")) && !lua_decider_has(rig.decider, "decide", CAIRN_STR("D")) &&
          !lua_decider_has(rig.decider, "evolve", CAIRN_STR("C")) && !lua_decider_has(rig.decider, "other", CAIRN_STR("C")));
    rig_close(&rig);

    rig = (struct lua_rig){0};
    CHECK_OK(make_from(files, count, "all.lua", &rig.decider, &rig.error));
    CHECK_OK(rig_start(&rig));
    CHECK(lua_decider_has(rig.decider, "decide", CAIRN_STR("Any")) && lua_decider_has(rig.decider, "evolve", CAIRN_STR("Any")));
    CHECK_STR(rig_decide(&rig, "Any", "{}"), "Any {}\n");
    rig_close(&rig);

    rig = (struct lua_rig){0};
    CHECK_OK(make_from(files, count, "ts.lua", &rig.decider, &rig.error));
    CHECK(lua_decider_has(rig.decider, "decide", CAIRN_STR("C")));
    rig_close(&rig);

    rig = (struct lua_rig){0};
    CHECK_INT(make_from(files, count, "loop.lua", &rig.decider, &rig.error), CAIRN_E_INVALID);
    CHECK(strstr(rig.error.detail, "loop.lua:1: module 'loop' requires itself") || strstr(rig.error.detail, "requires itself"));
    CHECK_INT(make_from(files, count, "none.lua", &rig.decider, &rig.error), CAIRN_E_INVALID);
    CHECK_STR(rig.error.detail, "there is no file 'none.lua'");
}

TEST(what_is_wrong_with_a_module_is_said)
{
    static const char *const cases[][2] = {
        {"return {", "order.lua:1: unexpected symbol near <eof>"},
        {"local x = {}\nlocal y = x.y.z", "order.lua:2: attempt to index a nil value (field 'y')"},
        {"", "order.lua returns a nil; a decider returns {initial = …, evolve = …, decide = …}"},
        {"return 5", "order.lua returns a number; a decider returns"},
        {"return {}", "order.lua returns neither decide nor evolve"},
        {"return { decide = 5 }", "order.lua: decide is a number; a table of functions is wanted"},
        {"return { decide = { C = 5 } }", "order.lua: decide.C is a number; a function is wanted"},
        {"return { decide = { function() end } }", "order.lua: decide = {…} is keyed by names"},
        {"return { initial = { x = 0 / 0 }, decide = {} }", "initial.x: NaN"},
        {"return { initial = function() end, decide = {} }", "initial() returned no state"},
        {"return { initial = function() return x.y end, decide = {} }", "order.lua:1: attempt to index a nil value (global 'x')"},
        {"reject('x')", "order.lua:1: reject() belongs into decide"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lua_rig rig = {0};
        CHECK_INT(rig_make(&rig, cases[i][0]), CAIRN_E_INVALID);
        if (!strstr(rig.error.detail, cases[i][1]))
            fail_msg("%s\nsays '%s'\nwanted '%s'", cases[i][0], rig.error.detail, cases[i][1]);
    }
}

TEST(errors_say_where_and_by_whom)
{
    struct lua_rig rig = {0};
    rig_open(&rig, "local function inner(data)\n  return data.customer.name\nend\n"
                   "return { decide = { C = function(state, command)\n  return { type = inner(command.data) }\nend } }");
    CHECK_STR(rig_decide(&rig, "C", "{}"),
              "order.lua:2: attempt to index a nil value (field 'customer') (called from order.lua:5)");
    rig_close(&rig);
}

TEST(fingerprints_follow_the_sources)
{
    cairn_app_file files[] = {file("order.lua", "return { decide = {} }"), file("other.lua", "return 1")};
    cairn_app_file turned[] = {files[1], files[0]};
    cairn_app_file changed[] = {files[0], file("other.lua", "return 2")};
    cairn_app_file moved[] = {files[0], file("another.lua", "return 1")};
    const cairn_app_file *const sets[] = {files, turned, changed, moved};
    cairn_decider *deciders[4];
    cairn_error error;
    for (int i = 0; i < 4; i++)
        CHECK_OK(make_from(sets[i], 2, "order.lua", &deciders[i], &error));
    CHECK_INT(deciders[0]->fingerprint.size, 64);
    CHECK(cairn_str_equal(deciders[0]->fingerprint, deciders[1]->fingerprint));
    CHECK(!cairn_str_equal(deciders[0]->fingerprint, deciders[2]->fingerprint));
    CHECK(!cairn_str_equal(deciders[0]->fingerprint, deciders[3]->fingerprint));
    for (int i = 0; i < 4; i++)
        lua_decider_free(deciders[i]);
}

/* ---- upcasters */

static const char upcaster[] =
    "return function(data, version, type)\n"
    "  if data.loop then while true do end end\n"
    "  if data.list then return array{} end\n"
    "  data.name = type .. version .. (data.first or '?') data.first = nil\n"
    "  if version == 3 then return { wrapped = data } end\n"
    "end\n";

TEST(upcasters_change_data)
{
    cairn_app_file source = file("up.lua", upcaster);
    struct lua_sources sources = {&source, 1};
    struct lua_upcast *upcast;
    struct arena arena = {0};
    cairn_str data;
    cairn_error error;
    CHECK_OK(lua_upcast_make(CAIRN_STR("up.lua"), &sources, NULL, &upcast, &error));
    CHECK_OK(lua_upcast_call(upcast, 2, CAIRN_STR("T"), CAIRN_STR("{\"first\":\"ann\",\"n\":[]}"), &arena, &data, &error));
    CHECK(cairn_str_equal(data, CAIRN_STR("{\"n\":[],\"name\":\"T2ann\"}")));
    CHECK_OK(lua_upcast_call(upcast, 3, CAIRN_STR("T"), CAIRN_STR("{}"), &arena, &data, &error));
    CHECK(cairn_str_equal(data, CAIRN_STR("{\"wrapped\":{\"name\":\"T3?\"}}")));
    CHECK_INT(lua_upcast_call(upcast, 2, CAIRN_STR("T"), CAIRN_STR("{\"loop\":1}"), &arena, &data, &error), CAIRN_E_SCRIPT);
    CHECK_INT(lua_upcast_call(upcast, 2, CAIRN_STR("T"), CAIRN_STR("{\"list\":1}"), &arena, &data, &error), CAIRN_E_SCRIPT);
    CHECK_STR(error.detail, "up.lua returned an array; the data is an object");
    CHECK_INT(lua_upcast_call(upcast, 2, CAIRN_STR("T"), CAIRN_STR("{"), &arena, &data, &error), CAIRN_E_SCRIPT);
    lua_upcast_free(upcast);
    source.text = CAIRN_STR("return { }");
    CHECK_INT(lua_upcast_make(CAIRN_STR("up.lua"), &sources, NULL, &upcast, &error), CAIRN_E_INVALID);
    CHECK_STR(error.detail, "up.lua returns a table; an upcaster returns function(data, version, type)");
    arena_free(&arena);
}

static void *
upcast_often(void *context)
{
    struct arena arena = {0};
    intptr_t wrong = 0;
    for (int i = 0; i < 2000; i++) {
        cairn_str data;
        cairn_error error;
        if (lua_upcast_call(context, 2, CAIRN_STR("T"), CAIRN_STR("{\"first\":\"ann\"}"), &arena, &data, &error) != CAIRN_OK ||
            !cairn_str_equal(data, CAIRN_STR("{\"name\":\"T2ann\"}")))
            wrong++;
        arena_reset(&arena);
    }
    arena_free(&arena);
    return (void *)wrong;
}

/* Goal: any thread may upcast. Method: four at once, all results looked at (and by TSan). */
TEST(upcasters_are_for_any_thread)
{
    cairn_app_file source = file("up.lua", upcaster);
    struct lua_sources sources = {&source, 1};
    struct lua_upcast *upcast;
    cairn_error error;
    pthread_t threads[4];
    CHECK_OK(lua_upcast_make(CAIRN_STR("up.lua"), &sources, NULL, &upcast, &error));
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, upcast_often, upcast), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        CHECK(wrong == NULL);
    }
    lua_upcast_free(upcast);
}

/* ---- projections */

struct sql_log {
    struct buf text;
    cairn_err answer;
    const char *rows;
};

static cairn_err
log_sql(void *context, cairn_str sql, struct json params, struct buf *ret_rows, cairn_error *error)
{
    struct sql_log *log = context;
    buf_put_str(&log->text, sql);
    buf_put_char(&log->text, ' ');
    buf_put_str(&log->text, params.raw);
    buf_put_char(&log->text, '\n');
    if (log->answer != CAIRN_OK)
        return error_set(error, log->answer, "no such table: orders");
    buf_put_str(ret_rows, cairn_cstr(log->rows));
    return CAIRN_OK;
}

static const char projector[] =
    "return { table = 'CREATE TABLE orders (id)', from = { 'order', 'customer' }, on = {\n"
    "  Placed = function(event, sql)\n"
    "    local rows = sql('SELECT n FROM orders WHERE id = :id', { id = event.data.id })\n"
    "    sql('INSERT', { id = event.data.id, n = #rows > 0 and rows[1].n + 1 or 0, at = event.time_us, none = null }) end,\n"
    "  Caught = function(event, sql) pcall(sql, 'SELECT 1') pcall(sql, 'SELECT 2') end,\n"
    "  List = function(event, sql) sql('X', { 1, 2 }) end,\n"
    "  ['*'] = function(event, sql) sql('OTHER ' .. event.type) end } }";

static cairn_err
apply(struct lua_projection *projection, const char *type, struct sql_log *log, cairn_error *error)
{
    cairn_recorded event = {.time_us = 5, .stream = CAIRN_STR("order-1"),
                            .event = {.type = cairn_cstr(type), .data = CAIRN_STR("{\"id\":\"o1\"}")}};
    buf_clear(&log->text);
    cairn_err err = lua_projection_apply(projection, &event, log_sql, log, error);
    buf_put_char(&log->text, 0);
    return err;
}

TEST(projections_run_statements)
{
    cairn_app_file source = file("board.lua", projector);
    struct lua_sources sources = {&source, 1};
    struct lua_projection *projection;
    struct sql_log log = {.rows = "[{\"n\":4}]"};
    cairn_error error;
    cairn_str name;
    CHECK_OK(lua_projection_make(CAIRN_STR("board.lua"), &sources, NULL, &projection, &error));
    CHECK(cairn_str_equal(lua_projection_table_sql(projection), CAIRN_STR("CREATE TABLE orders (id)")));
    CHECK(lua_projection_from(projection, 1, &name) && cairn_str_equal(name, CAIRN_STR("customer")));
    CHECK(!lua_projection_from(projection, 2, &name));
    size_t types = 0;
    while (lua_projection_on(projection, types, &name))
        types++;
    CHECK_INT(types, 4);

    CHECK_OK(apply(projection, "Placed", &log, &error));
    CHECK_STR(log.text.data, "SELECT n FROM orders WHERE id = :id {\"id\":\"o1\"}\n"
                             "INSERT {\"at\":5,\"id\":\"o1\",\"n\":5,\"none\":null}\n");
    log.rows = "";
    CHECK_OK(apply(projection, "Placed", &log, &error));
    CHECK(strstr(log.text.data, "\"n\":0") != NULL);
    CHECK_OK(apply(projection, "Unheard", &log, &error));
    CHECK_STR(log.text.data, "OTHER Unheard {}\n");
    CHECK_INT(apply(projection, "List", &log, &error), CAIRN_E_SCRIPT);
    CHECK(strstr(error.detail, "board.lua:6: sql's parameters are given by name") != NULL);

    log.answer = CAIRN_E_INVALID; /* the first failure ends the event, whatever the script does about it */
    CHECK_INT(apply(projection, "Caught", &log, &error), CAIRN_E_INVALID);
    CHECK_STR(error.detail, "board.lua:5: no such table: orders");
    CHECK_STR(log.text.data, "SELECT 1 {}\n");
    lua_projection_free(projection);
    buf_free(&log.text);
}

TEST(what_is_wrong_with_a_projection_is_said)
{
    static const char *const cases[][2] = {
        {"return 1", "a projection returns"}, {"return { }", "table is a nil"}, {"return { table = '' }", "on is a nil"},
        {"return { table = '', on = { } }", "handles nothing"}, {"return { table = '', on = { 5 } }", "functions by event type"},
        {"return { table = '', from = 'x', on = { } }", "from is a string"},
        {"return { table = '', from = { 1 }, on = { } }", "from[1] is a number"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cairn_app_file source = file("board.lua", cases[i][0]);
        struct lua_sources sources = {&source, 1};
        struct lua_projection *projection;
        cairn_error error;
        CHECK_INT(lua_projection_make(CAIRN_STR("board.lua"), &sources, NULL, &projection, &error), CAIRN_E_INVALID);
        if (!strstr(error.detail, cases[i][1]))
            fail_msg("%s\nsays '%s'\nwanted '%s'", cases[i][0], error.detail, cases[i][1]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(modules_are_found_beside_and_from_the_root), RUN(what_is_wrong_with_a_module_is_said),
        RUN(errors_say_where_and_by_whom), RUN(fingerprints_follow_the_sources), RUN(upcasters_change_data),
        RUN(upcasters_are_for_any_thread), RUN(projections_run_statements), RUN(what_is_wrong_with_a_projection_is_said)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

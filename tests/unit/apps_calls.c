/* Calls of running apps through cairn/app.h: what they say of themselves, permissions, middleware, log, deployments while
 * commands and queries go on, stopping. */
#include "apps_rig.h"

#include <base/error.h>
#include <os/wait.h>
#include <pthread.h>
#include <stdatomic.h>

static struct apps_rig rig;
static struct rig_files shop;

static void
begin(void)
{
    rig_begin(&rig);
    rig_shop(&shop);
    rig_must_deploy(&rig, &shop);
}

/* ---- describing --------------------------------------------------------------------------------------------- */

/* Goal: an app's description is JSON with everything that a console needs; so is the list of all. */
TEST(describe)
{
    rig = (struct apps_rig){0};
    begin();
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":3}"));
    (void)rig_rows(&rig, "shop", "stock");
    CHECK_OK(rig_describe(&rig, "shop"));
    struct json app;
    CHECK_OK(json_check(buf_str(&rig.out), &app, NULL));
    CHECK(json_string_is(json_get(app, "name"), "shop") && json_string_is(json_get(app, "title"), "Shop"));
    CHECK_INT(json_count(json_get(app, "commands")), 2);
    CHECK_INT(json_count(json_get(app, "events")), 2);
    CHECK_INT(json_count(json_get(app, "queries")), 2);
    CHECK_INT(json_count(json_get(app, "deciders")), 1);
    static const char *const parts[] = {
        "\"version\":1", "\"name\":\"Add\",\"description\":\"Put some there.\"", "\"stream\":\"item-{item}\"",
        "\"permission\":\"shop.take\"", "\"type\":\"Added\"", "\"schema_id\":1", "\"state\":\"running\"", "\"kind\":\"lua\"",
        "\"accepted\":1", "\"permission\":\"shop.read\"", "\"maxLength\":100"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        CHECK(rig_says(&rig.out, parts[i]));
    CHECK_OK(rig_describe(&rig, ""));
    CHECK_OK(json_check(buf_str(&rig.out), &app, NULL));
    CHECK_INT(json_count(json_get(app, "apps")), 1);
    CHECK_INT(rig_describe(&rig, "none"), CAIRN_E_NOTFOUND);
    rig_clear(&rig);
    CHECK_OK(cairn_projection_status(rig.apps, CAIRN_STR("shop"), CAIRN_STR("stock"), buf_sink, &rig.out, &rig.error));
    CHECK_OK(json_check(buf_str(&rig.out), &app, NULL));
    CHECK_INT(json_get(app, "parked_events").type, JSON_ARRAY);
    CHECK(rig_says(&rig.out, "\"parked\":0,\"skipped\":0,"));
    CHECK_INT(cairn_projection_status(rig.apps, CAIRN_STR("shop"), CAIRN_STR("none"), buf_sink, &rig.out, NULL), CAIRN_E_NOTFOUND);
    rig_clear(&rig);
    cairn_apps_metrics(rig.apps, buf_sink, &rig.out);
    CHECK(rig_says(&rig.out, "cairn_projection_state{app=\"shop\",projection=\"stock\"} 1\n"));
    CHECK(rig_says(&rig.out, "cairn_commands_total{app=\"shop\",command=\"Add\",outcome=\"ok\"} 1\n"));
    rig_end(&rig);
}

static const char *
state_of(const char *app, const char *stream, int64_t revision)
{
    rig_clear(&rig);
    if (cairn_app_state(rig.apps, cairn_cstr(app), cairn_cstr(stream), revision, buf_sink, &rig.out, &rig.error) != CAIRN_OK)
        return cairn_err_name(rig.error.code);
    return rig_text(&rig.out);
}

/* Goal: two apps run beside each other and do not meet: states, read models, schemas, versions are each one's own. */
TEST(two_apps)
{
    rig = (struct apps_rig){0};
    begin();
    struct rig_files other = shop;
    rig_file(&other, "app.yaml", "app: depot\ndeciders: {item: {lua: item.lua}}\ncommands:\n"
                                 "  Add: {schema: schemas/change.json, stream: \"shelf-{item}\"}\n"
                                 "events:\n  Added: {schema: schemas/changed.json}\n  Taken: {}\n");
    rig_file(&other, "projections/stock.sql", "-- from shelf\n-- table\nCREATE TABLE stock (item TEXT PRIMARY KEY, n INTEGER NOT NULL);\n"
                                              "-- on Added\nINSERT INTO stock (item, n) VALUES (:stream_id, 100 * :data.n);\n");
    rig_file(&shop, "projections/stock.sql", "-- from item\n-- table\nCREATE TABLE stock (item TEXT PRIMARY KEY, n INTEGER NOT NULL);\n"
                                             "-- on Added\nINSERT INTO stock (item, n) VALUES (:stream_id, :data.n);\n");
    rig_must_deploy(&rig, &shop);
    rig_must_deploy(&rig, &other);
    for (int round = 0; round < 2; round++) {
        char data[64];
        snprintf(data, sizeof data, "{\"item\":\"tea%d\",\"n\":2}", round);
        CHECK_OK(rig_command(&rig, "shop", "Add", data));
        CHECK_OK(rig_command(&rig, "depot", "Add", data));
        CHECK_STR(rig_rows(&rig, "shop", "stock"), round ? "[{\"item\":\"tea0\",\"n\":2},{\"item\":\"tea1\",\"n\":2}]" : "[{\"item\":\"tea0\",\"n\":2}]");
        CHECK_STR(rig_rows(&rig, "depot", "stock"), round ? "[{\"item\":\"tea0\",\"n\":200},{\"item\":\"tea1\",\"n\":200}]" : "[{\"item\":\"tea0\",\"n\":200}]");
        CHECK_STR(state_of("depot", "shelf-tea0", -1), "{\"n\":2}");
        CHECK_STR(state_of("depot", "item-tea0", -1), cairn_err_name(CAIRN_E_NOTFOUND));
        CHECK_STR(state_of("depot", "$app-depot", -1), cairn_err_name(CAIRN_E_NOTFOUND));
        rig_restart(&rig);
    }
    CHECK_OK(cairn_app_remove(rig.apps, CAIRN_STR("depot"), NULL));
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"last\",\"n\":2}"));
    rig_end(&rig);
}

/* Goal: a stream's state and its replay agree on whose it is, where one command's template is the beginning of another's. */
TEST(whose_stream)
{
    rig = (struct apps_rig){0};
    rig_begin(&rig);
    rig_shop(&shop);
    rig_file(&shop, "app.yaml", "app: shop\ndeciders:\n  item: {lua: item.lua}\n  lot: {lua: lot.lua}\ncommands:\n"
                                "  Add: {schema: schemas/change.json, stream: \"item-{item}\", decider: item}\n"
                                "  AddLot: {schema: schemas/change.json, stream: \"item-lot-{item}\", decider: lot}\n"
                                "events:\n  Added: {schema: schemas/changed.json}\n  Taken: {}\n");
    rig_file(&shop, "lot.lua", "return {initial = {lots = 0}, evolve = {Added = function(state, event) state.lots = state.lots + event.data.n end},\n"
                               "decide = {AddLot = function(state, command) return {type = \"Added\", data = {n = command.data.n}} end}}\n");
    rig_must_deploy(&rig, &shop);
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"a\",\"n\":3}"));
    CHECK_OK(rig_command(&rig, "shop", "AddLot", "{\"item\":\"a\",\"n\":5}"));
    CHECK_STR(state_of("shop", "item-a", -1), "{\"n\":3}");
    CHECK_STR(state_of("shop", "item-lot-a", -1), "{\"lots\":5}");
    rig_clear(&rig);
    const cairn_replay_request request = {.app = CAIRN_STR("shop"), .decisions = true};
    CHECK_OK(cairn_app_replay(rig.apps, &request, NULL, NULL, buf_sink, &rig.out, &rig.error));
    CHECK(rig_says(&rig.out, "\"streams\":2,\"events\":2,\"commands\":2,\"differing\":0"));
    rig_end(&rig);
}

static void
check_history(cairn_err expected)
{
    const cairn_replay_request request = {.app = CAIRN_STR("shop"), .decisions = true};
    rig_clear(&rig);
    CHECK_INT(cairn_app_replay(rig.apps, &request, NULL, NULL, buf_sink, &rig.out, &rig.error), expected);
}

/* Goal: decisions over several streams are decided again too, by a decider in Lua; the report names the command's stream. */
TEST(history_over_several_streams)
{
    static const char *const lua = "return {initial = {n = 0}, evolve = {Added = function(state, event) state.n = state.n + event.data.n end},\n"
                                   "decide = {Add = function(state, command)\n"
                                   "  if state.n + command.data.n > %d then return reject(\"full\", \"no more\") end\n"
                                   "  return {type = \"Added\", data = {item = command.data.item, n = command.data.n}} end}}\n";
    char text[600];
    rig = (struct apps_rig){0};
    rig_begin(&rig);
    rig_shop(&shop);
    rig_file(&shop, "app.yaml", "app: shop\ndeciders:\n  item:\n    lua: item.lua\n    query: [{types: [Added]}]\ncommands:\n"
                                "  Add: {schema: schemas/change.json, stream: \"item-{item}\", decider: item}\n"
                                "events:\n  Added: {schema: schemas/changed.json}\n  Taken: {}\n");
    snprintf(text, sizeof text, lua, 9);
    rig_file(&shop, "item.lua", text);
    rig_must_deploy(&rig, &shop);
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"a\",\"n\":3}"));
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"b\",\"n\":3}"));
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"a\",\"n\":3}"));
    CHECK_INT(rig_command(&rig, "shop", "Add", "{\"item\":\"c\",\"n\":1}"), CAIRN_E_REJECTED);
    check_history(CAIRN_OK);
    CHECK(rig_says(&rig.out, "\"commands\":3,\"differing\":0,\"failed\":0,\"left_out\":0"));
    snprintf(text, sizeof text, lua, 8);
    rig_file(&shop, "item.lua", text);
    rig_must_deploy(&rig, &shop);
    check_history(CAIRN_E_SCRIPT);
    CHECK(rig_says(&rig.out, "\"commands\":3,\"differing\":1,\"failed\":0,\"left_out\":0"));
    CHECK(rig_says(&rig.out, "{\"stream\":\"item-a\",\"error\":\"revision 1: it would be rejected now\"}"));
    rig_end(&rig);
}

/* ---- permissions, middleware, log ---------------------------------------------------------------------------- */

static char asked[200];

static cairn_err
only_reading(void *context, cairn_scope scope, cairn_str actor, cairn_str permission, cairn_error *error)
{
    (void)scope;
    CHECK(context == asked);
    snprintf(asked, sizeof asked, "%.*s %.*s", (int)actor.size, actor.data, (int)permission.size, permission.data);
    return cairn_str_equal(permission, cairn_cstr(getenv("RIG_MAY"))) ? CAIRN_OK : error_set(error, CAIRN_E_DENIED, "not for you");
}

/* Goal: permissions of commands and queries are asked of options.authorise, with who asks; a refusal writes and shows
 * nothing. */
TEST(permissions)
{
    rig = (struct apps_rig){.options = {.authorise = only_reading, .authorise_context = asked}};
    begin();
    const cairn_app_param tea = {CAIRN_STR("item"), CAIRN_STR("tea")};
    setenv("RIG_MAY", "shop.none", 1);
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":3}")); /* needs none */
    CHECK_STR(asked, "");
    uint64_t end = cairn_end(rig.store);
    CHECK_INT(rig_command(&rig, "shop", "Take", "{\"item\":\"tea\",\"n\":1}"), CAIRN_E_DENIED);
    CHECK_STR(asked, "ann shop.take");
    CHECK_STR(rig.error.detail, "not for you");
    CHECK_INT(rig_query(&rig, "shop", "item", &tea, 1), CAIRN_E_DENIED);
    CHECK_STR(asked, "ann shop.read");
    CHECK_INT(rig.out.size, 0);
    CHECK_INT(cairn_end(rig.store), end);
    setenv("RIG_MAY", "shop.take", 1);
    CHECK_OK(rig_command(&rig, "shop", "Take", "{\"item\":\"tea\",\"n\":1}"));
    CHECK_INT(rig_command(&rig, "shop", "Take", "{\"item\":\"tea\",\"n\":9}"), CAIRN_E_REJECTED);
    CHECK_STR(rig.code, "too_few");
    setenv("RIG_MAY", "shop.read", 1);
    CHECK_OK(rig_query(&rig, "shop", "item", &tea, 1));
    CHECK(rig_says(&rig.out, "{\"row\":{\"item\":\"tea\",\"n\":2},\"position\":"));
    rig_end(&rig);
}

static char calls[400];
static pthread_mutex_t calls_lock = PTHREAD_MUTEX_INITIALIZER;

static void
note_call(const char *format, const char *who, const char *what)
{
    pthread_mutex_lock(&calls_lock);
    snprintf(calls + strlen(calls), sizeof calls - strlen(calls), format, who, what);
    pthread_mutex_unlock(&calls_lock);
}

static cairn_err
before(void *context, const cairn_command *command, cairn_error *error)
{
    note_call("+%s%s ", context, "");
    return cairn_str_equal(command->key, cairn_cstr(context)) ? error_set(error, CAIRN_E_BUSY, "%s is busy", (char *)context)
                                                               : CAIRN_OK;
}

static void
after(void *context, const cairn_command *command, cairn_err err, uint64_t took_us)
{
    CHECK(took_us < 600000000 && command->name.size > 0);
    note_call("-%s:%s ", context, cairn_err_name(err));
}

static void
take_line(void *context, cairn_log_level level, cairn_str line)
{
    if (level == CAIRN_LOG_DEBUG)
        return;
    pthread_mutex_lock(&calls_lock);
    buf_printf(context, "%d %.*s\n", (int)level, (int)line.size, line.data);
    pthread_mutex_unlock(&calls_lock);
}

static cairn_err
add_with_key(const char *key, const char *data)
{
    const cairn_command command = {.app = CAIRN_STR("shop"), .name = CAIRN_STR("Add"), .data = cairn_cstr(data), .key = cairn_cstr(key)};
    rig_clear(&rig);
    calls[0] = '\0';
    return cairn_command_run(rig.apps, &command, rig_over, &rig, &rig.error);
}

/* Goal: middleware is around commands in the order in which it is given, outermost first, and `after` in the other; one that
 * refuses keeps the inner ones and the command from running; log_commands gives one line a command. */
TEST(middleware_and_log)
{
    struct buf lines = {0};
    const cairn_middleware around[] = {{(void *)"a", before, after}, {(void *)"b", before, NULL}, {(void *)"c", NULL, after}};
    rig = (struct apps_rig){.options = {.middleware = around, .middleware_count = 3, .log = take_line, .log_context = &lines,
                                        .log_commands = true}};
    begin();
    CHECK_OK(add_with_key("k1", "{\"item\":\"tea\",\"n\":3}"));
    CHECK_STR(calls, "+a +b -c:ok -a:ok ");
    CHECK(rig_says(&lines, "1 command=Add app=shop stream=item-tea outcome=ok took_us="));
    uint64_t end = cairn_end(rig.store);
    CHECK_INT(add_with_key("a", "{\"item\":\"tea\",\"n\":3}"), CAIRN_E_BUSY);
    CHECK(strncmp(calls, "+a -c:busy", 10) == 0);
    CHECK_STR(rig.error.detail, "a is busy");
    CHECK_INT(add_with_key("b", "{\"item\":\"tea\",\"n\":3}"), CAIRN_E_BUSY);
    CHECK(strncmp(calls, "+a +b -c", 8) == 0);
    CHECK_INT(add_with_key("k2", "{\"item\":\"tea\"}"), CAIRN_E_INVALID);
    CHECK_STR(calls, "+a +b -c:invalid -a:invalid ");
    CHECK_INT(cairn_end(rig.store), end);
    rig_stop(&rig);
    rig.options.log_commands = false;
    rig_start(&rig);
    buf_clear(&lines);
    CHECK_OK(add_with_key("k3", "{\"item\":\"tea\",\"n\":3}"));
    rig_stop(&rig);
    CHECK(strstr(rig_text(&lines), "outcome=") == NULL);
    buf_free(&lines);
    rig_end(&rig);
}

/* ---- deployments while others call ------------------------------------------------------------------------------ */

static _Atomic bool enough;
static _Atomic uint32_t asked_total, added_total;

static bool
drop_bytes(void *context, cairn_str bytes)
{
    (void)context, (void)bytes;
    return true;
}

/* Adds, and reads what it wrote. Never told that it came in the middle of something. */
static void *
add_and_ask(void *context)
{
    while (!atomic_load(&enough)) {
        const cairn_command command = {.app = CAIRN_STR("shop"), .name = CAIRN_STR("Add"), .deadline_ms = 60000,
                                       .data = cairn_cstr(context)};
        cairn_error error = {0};
        cairn_err err = cairn_command_run(rig.apps, &command, NULL, NULL, &error);
        if (err != CAIRN_OK) {
            printf("command: %s\n", error.detail);
            return (void *)"command";
        }
        atomic_fetch_add(&added_total, 1);
        const cairn_app_query_request request = {.app = CAIRN_STR("shop"), .query = CAIRN_STR("stock"), .has_after_position = true,
                                                 .after_position = cairn_end(rig.store) - 1, .timeout_ms = 120000};
        err = cairn_app_query(rig.apps, &request, drop_bytes, NULL, &error);
        /* BUSY: the new version's table is still being built beside the old model, which has no such column. */
        if (err != CAIRN_OK && err != CAIRN_E_BUSY) {
            printf("query: %s\n", error.detail);
            return (void *)"query";
        }
        atomic_fetch_add(&asked_total, 1);
        rig_clear(&(struct apps_rig){0});
        cairn_apps_metrics(rig.apps, drop_bytes, NULL);
        if (cairn_app_describe(rig.apps, CAIRN_STR("shop"), drop_bytes, NULL, &error) != CAIRN_OK)
            return (void *)"describe";
    }
    return NULL;
}

/* Goal: deployments that replace decider, projection and queries under load disturb nobody: every command is decided, every
 * query answered, and what is there in the end is what was added.
 * Method: four threads add and ask while versions come that differ in one thing or another. */
TEST(deployments_under_load)
{
    rig = (struct apps_rig){0};
    begin();
    atomic_store(&enough, false);
    pthread_t threads[4];
    static const char *const data[] = {"{\"item\":\"a\",\"n\":1}", "{\"item\":\"b\",\"n\":1}", "{\"item\":\"c\",\"n\":1}", "{\"item\":\"a\",\"n\":1}"};
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, add_and_ask, (void *)(uintptr_t)data[i]), 0);
    static char models[20][400];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(models[i], sizeof models[i], "-- table\nCREATE TABLE stock (item TEXT PRIMARY KEY, n INTEGER NOT NULL, v%u INTEGER);\n"
                 "-- on Added, Taken\nINSERT INTO stock (item, n) VALUES (:stream_id, :data.n) ON CONFLICT (item) DO UPDATE SET n = n + :data.n;\n", i / 2);
        rig_file(&shop, "projections/stock.sql", models[i]);
        rig_file(&shop, "README.md", models[i] + 40 + i % 3);
        if (i % 5 == 4) {
            rig_clear(&rig);
            CHECK_OK(cairn_app_rollback(rig.apps, CAIRN_STR("shop"), i / 2, NULL, rig_fault, &rig, &rig.deployed, &rig.error));
        } else {
            rig_must_deploy(&rig, &shop);
        }
        uint32_t seen = atomic_load(&asked_total);
        for (int spins = 0; atomic_load(&asked_total) < seen + 3 && spins < 600; spins++) {
            _Atomic uint32_t never = 0;
            os_wait(&never, 0, 10000);
        }
    }
    atomic_store(&enough, true);
    for (int i = 0; i < 4; i++) {
        void *failed;
        CHECK_INT(pthread_join(threads[i], &failed), 0);
        if (failed != NULL)
            fail_msg("a %s failed", (char *)failed);
    }
    rig.position = cairn_end(rig.store) - 1;
    struct json rows = json_trusted((cairn_str){rig_rows(&rig, "shop", "stock"), rig.out.size}), unused, row;
    struct json_walk walk = json_walk(rows);
    uint64_t sum = 0, n;
    while (json_next(&walk, &unused, &row))
        sum += json_u64(json_get(row, "n"), &n) ? n : 0;
    CHECK_INT(sum, atomic_load(&added_total));
    rig_end(&rig);
}

struct waiting {
    pthread_t thread;
    cairn_err err;
    _Atomic uint32_t begun;
};

static void *
wait_for_ever(void *context)
{
    struct waiting *waiting = context;
    const cairn_app_query_request request = {.app = CAIRN_STR("shop"), .query = CAIRN_STR("stock"), .has_after_position = true,
                                             .after_position = 1u << 30, .timeout_ms = 120000};
    atomic_store(&waiting->begun, 1);
    waiting->err = cairn_app_query(rig.apps, &request, drop_bytes, NULL, NULL);
    return NULL;
}

/* Goal: a query that waits for what does not come ends when the apps stop, or when its app is removed. */
TEST(waiting_ends)
{
    for (int removed = 0; removed < 2; removed++) {
        rig = (struct apps_rig){0};
        begin();
        struct waiting waiting = {0};
        CHECK_INT(pthread_create(&waiting.thread, NULL, wait_for_ever, &waiting), 0);
        while (atomic_load(&waiting.begun) == 0)
            os_wait(&waiting.begun, 0, 1000);
        if (removed)
            CHECK_OK(cairn_app_remove(rig.apps, CAIRN_STR("shop"), NULL));
        else
            cairn_apps_stop(rig.apps);
        CHECK_INT(pthread_join(waiting.thread, NULL), 0);
        CHECK(waiting.err == (removed ? CAIRN_E_NOTFOUND : CAIRN_E_CLOSED));
        if (!removed) {
            CHECK_INT(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":3}"), CAIRN_E_CLOSED);
            CHECK_INT(rig_deploy(&rig, &shop, NULL), CAIRN_E_CLOSED);
        }
        rig_end(&rig);
    }
}

static bool
stop_at_once(void *context, cairn_str what, uint64_t done, uint64_t total)
{
    (void)what, (void)done, (void)total;
    return ++*(int *)context < 3;
}

/* Goal: a replay that is told to stop does so between two streams. */
TEST(replay_stops)
{
    rig = (struct apps_rig){0};
    begin();
    for (int i = 0; i < 40; i++) {
        char data[64];
        snprintf(data, sizeof data, "{\"item\":\"i%d\",\"n\":1}", i);
        CHECK_OK(rig_command(&rig, "shop", "Add", data));
    }
    int told = 0;
    rig_clear(&rig);
    const cairn_replay_request request = {.app = CAIRN_STR("shop"), .decisions = true, .parallel = 1};
    CHECK_INT(cairn_app_replay(rig.apps, &request, stop_at_once, &told, buf_sink, &rig.out, &rig.error), CAIRN_E_CLOSED);
    CHECK_INT(told, 3);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(describe), RUN(two_apps), RUN(whose_stream), RUN(history_over_several_streams), RUN(permissions), RUN(middleware_and_log),
        RUN(deployments_under_load), RUN(waiting_ends), RUN(replay_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Projections in Lua, with a store, a runner and a read model around them. */
#include "projection_rig.h"

static const char MODULE[] = "local days = {}\nfunction days.of(event) return event.time:sub(1, 10) end\nreturn days\n";

static cairn_err
parse_lua(const char *text, cairn_app_fault_visit visit, void *context, struct projection **ret, cairn_error *error)
{
    cairn_app_file files[] = {{CAIRN_STR("projections/model.lua"), cairn_cstr(text)}, {CAIRN_STR("days.lua"), cairn_cstr(MODULE)}};
    struct lua_sources sources = {files, 2};
    return projection_parse(files[0].path, files[0].text, &sources, visit, context, ret, error);
}

static void
open_lua(struct rig *rig, const char *text)
{
    cairn_error error = {0};
    rig_open(rig, "-- table\nCREATE TABLE t (a);\n-- on A\nDELETE FROM t;\n");
    projection_free(rig->projection);
    rig->projection = NULL;
    if (parse_lua(text, rig_print_fault, NULL, &rig->projection, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
}

static void
check(struct rig *rig, const char *sql, const char *expected)
{
    char value[512];
    rig_value(rig, sql, value);
    CHECK_STR(value, expected);
}

static const char TOTALS[] =
    "local days = require('days')\n"
    "return {\n"
    "  table = [[CREATE TABLE total (customer TEXT PRIMARY KEY, n INTEGER, sum REAL, day TEXT, tags TEXT);\n"
    "            CREATE TABLE seen (position INTEGER PRIMARY KEY, type TEXT, value, kind TEXT)]],\n"
    "  from = {'order'},\n"
    "  on = {\n"
    "    OrderPaid = function(event, sql)\n"
    "      local rows = sql('SELECT n, sum FROM total WHERE customer = :customer', {customer = event.data.customer})\n"
    "      local n, sum = 0, 0\n"
    "      if #rows == 1 then n, sum = rows[1].n, rows[1].sum end\n"
    "      sql('INSERT OR REPLACE INTO total VALUES (:customer, :n, :sum, :day, :tags)', {customer = event.data.customer,\n"
    "          n = n + 1, sum = sum + event.data.amount, day = days.of(event), tags = event.tags})\n"
    "    end,\n"
    "    Value = function(event, sql)\n"
    "      sql('INSERT INTO seen VALUES (:p, :type, :value, typeof(:value))', {p = event.position, type = event.type,\n"
    "          value = event.data.v})\n"
    "    end,\n"
    "    ['Order shipped'] = function(event, sql)\n"
    "      for _, row in ipairs(sql('SELECT customer FROM total ORDER BY customer')) do\n"
    "        sql('UPDATE total SET tags = :tags WHERE customer = :customer', {tags = 'shipped ' .. row.customer, customer = row.customer})\n"
    "      end\n"
    "    end,\n"
    "  },\n"
    "}\n";

/* Goal: a script's statements make the read model: categories, types with blanks, parameters and rows of every kind, modules; a
 * rebuild gives the same, and so does one that begins with nothing. */
TEST(makes_a_read_model)
{
    struct rig rig;
    uint64_t position;
    cairn_error error = {0};
    open_lua(&rig, TOTALS);
    for (int i = 0; i < 300; i++) {
        char data[96];
        snprintf(data, sizeof data, "{\"customer\":\"K%d \\u00e4\",\"amount\":%d.5}", i % 7, i);
        rig_append(&rig, i % 10 == 0 ? "elsewhere-1" : "order-1", "OrderPaid", data);
    }
    rig_start(&rig);
    static const char *const VALUES[] = {"null", "true", "7", "-9007199254740993", "1.25", "\"text \\u0000 \\ud83d\\ude00\"",
                                         "{\"a\":[1,2]}", "[]"};
    for (size_t i = 0; i < sizeof VALUES / sizeof *VALUES; i++) {
        char data[96];
        snprintf(data, sizeof data, "{\"v\":%s}", VALUES[i]);
        rig_append(&rig, "order-2", "Value", data);
    }
    rig_append(&rig, "order-2", "Unheard", "{}");
    rig_wait(&rig);
    check(&rig, "SELECT count(*), sum(n), sum(sum) FROM total", "7|270|40635");
    check(&rig, "SELECT sum, day = (SELECT max(day) FROM total), tags FROM total WHERE customer = 'K3 ä'", "5719|1|\"[]\"");
    check(&rig, "SELECT group_concat(kind) FROM seen", "\"null,integer,integer,integer,real,text,text,text\"");
    check(&rig, "SELECT group_concat(quote(CASE WHEN kind = 'text' THEN CAST(value AS BLOB) ELSE value END), ' ') FROM seen",
          "\"NULL 1 7 -9007199254740993 1.25 X'74657874200020F09F9880' X'7B2261223A5B312C325D7D' X'5B5D'\"");
    rig_append(&rig, "order-2", "Order shipped", "{}");
    rig_wait(&rig);
    check(&rig, "SELECT group_concat(tags) FROM (SELECT tags FROM total ORDER BY customer LIMIT 2)", "\"shipped K0 ä,shipped K1 ä\"");
    struct buf before = {0}, after = {0}, fresh = {0};
    rig_dump(&rig, &before);
    CHECK_OK(runner_rebuild(rig.runner, 0, CAIRN_ON_ERROR_STOP, &error));
    CHECK_OK(runner_rebuild_wait(rig.runner, RIG_WAIT_MS, &position, &error));
    rig_dump(&rig, &after);
    CHECK_STR(before.data, after.data);
    rig_dump_fresh(&rig, &fresh);
    CHECK_STR(before.data, fresh.data);
    /* A changed script is built anew by itself. */
    struct buf text = {0};
    buf_put_str(&text, CAIRN_STR("-- changed\n"));
    buf_put_str(&text, cairn_cstr(TOTALS));
    buf_put_char(&text, '\0');
    for (char *at = text.data; (at = strstr(at, "n + 1")) != NULL;)
        memcpy(at, "n + 2", 5);
    rig_stop(&rig, false);
    projection_free(rig.projection);
    CHECK_OK(parse_lua(text.data, rig_print_fault, NULL, &rig.projection, &error));
    rig_start(&rig);
    rig_until(&rig, "\"outdated\":false");
    rig_until(&rig, "\"rebuild\":null");
    rig_wait(&rig);
    check(&rig, "SELECT count(*), sum(n) FROM total", "7|540");
    buf_free(&text);
    buf_free(&before);
    buf_free(&after);
    buf_free(&fresh);
    rig_close(&rig);
}

/* Goal: a script that fails stops its projection at that event, visibly, whatever it does about it; nothing of the event stays.
 * Method: for each way of failing one event among good ones; then it is left out. */
TEST(stops_where_it_fails)
{
    static const struct {
        const char *body, *error;
    } CASES[] = {
        {"error('no such customer')", "model.lua:6: no such customer"},
        {"local x = event.data.nothing.more", "model.lua:6: "},
        {"while true do end", "instructions"},
        {"local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end", ""},
        {"pcall(sql, 'INSERT INTO t VALUES (1, NULL)')", "NOT NULL"},
        {"pcall(sql, 'INSERT INTO nowhere VALUES (1)')", "no such table: nowhere"},
        {"sql('INSERT INTO t VALUES (1, :position, 2)')", "model.lua:6: "},
        {"sql('DROP TABLE t')", "may not"},
        {"sql('CREATE TABLE u (a)')", "may not"},
        {"sql('PRAGMA user_version = 1')", ""},
        {"sql('COMMIT')", ""},
        {"sql('ATTACH \\'x.db\\' AS x')", ""},
        {"sql('INSERT INTO t VALUES (random(), 1)')", "random"},
        {"sql('SELECT position FROM _cairn_checkpoint')", "may not read"},
        {"sql('INSERT OR ROLLBACK INTO t VALUES (1, NULL)')", "NOT NULL"},
        {"sql('WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r')", "million steps"},
        {"sql('WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 1001) SELECT n FROM r')", "1000 rows"},
        {"sql('SELECT hex(zeroblob(1000000))')", "bytes"},
        {"sql('INSERT INTO t VALUES (?, 1)', {1})", "by name"},
        {"sql('INSERT INTO t VALUES (:a, 1)', {1})", "by name"},
        {"sql('DELETE FROM t; DELETE FROM t')", "more follows"},
        {"sql('INSERT INTO t VALUES (1, 2); -- done')\nsql('INSERT INTO t VALUES (1, 2)\\0')", "more follows"},
        {"sql('')", "empty"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct rig rig;
        struct buf status = {0};
        char text[1024];
        snprintf(text, sizeof text, "return {table = 'CREATE TABLE t (id, n NOT NULL)', on = {\n"
                 "Good = function(event, sql) sql('INSERT INTO t VALUES (:p, :n)', {p = event.position, n = event.data.n}) end,\n"
                 "Bad = function(event, sql)\n"
                 "sql('INSERT INTO t VALUES (:p, 1000)', {p = event.position})\n"
                 "--\n%s\nend}}\n", CASES[i].body);
        open_lua(&rig, text);
        rig_append(&rig, "a-1", "Good", "{\"n\":1}");
        rig_append(&rig, "a-1", "Good", "{\"n\":2}");
        rig_append(&rig, "a-1", "Bad", "{}");
        rig_append(&rig, "a-1", "Good", "{\"n\":3}");
        rig_start(&rig);
        error_ignore(runner_wait(rig.runner, 4, RIG_WAIT_MS, NULL)); /* it ends where it stops */
        rig_status(&rig, &status);
        if (strstr(status.data, "\"state\":\"stopped\"") == NULL || strstr(status.data, CASES[i].error) == NULL
            || strstr(status.data, "\"position\":2,\"stream\":\"a-1\",\"type\":\"Bad\",\"error\":\"") == NULL)
            fail_msg("%s: %s", CASES[i].body, status.data);
        check(&rig, "SELECT count(*), sum(n) FROM t", "2|3");
        CHECK_OK(runner_do(rig.runner, CAIRN_PROJECTION_SKIP, NULL));
        rig_wait(&rig);
        check(&rig, "SELECT count(*), sum(n) FROM t", "3|6");
        buf_free(&status);
        rig_close(&rig);
    }
}

struct heard {
    unsigned count;
    uint32_t line;
    char message[512];
};

static void
hear(void *context, const cairn_app_fault *fault)
{
    struct heard *heard = context;
    if (heard->count++ > 0)
        return;
    heard->line = fault->line;
    snprintf(heard->message, sizeof heard->message, "%.*s", (int)fault->message.size, fault->message.data);
}

/* Goal: what is wrong with a script's tables or with the script is told before anything runs. */
TEST(faults)
{
    static const struct {
        const char *text;
        uint32_t line;
        const char *message;
    } CASES[] = {
        {"return {\ntable = 'CREATE TABLE t (a)',\non = {A = function(event, sql) sql( end}}", 3, "unexpected symbol"},
        {"return {table = 'CREATE TABLE t (a', on = {A = function() end}}", 0, "incomplete input"},
        {"return {table = 'DROP TABLE t', on = {A = function() end}}", 0, "only CREATE"},
        {"return {table = 'CREATE TABLE t (a DEFAULT (random()))', on = {A = function() end}}", 0, "random"},
        {"return {table = 'CREATE TABLE t (a)', on = {}}", 0, "handles nothing"},
        {"return {table = 'CREATE TABLE t (a)', from = 'order', on = {A = function() end}}", 0, "list of categories"},
        {"local x = require('nowhere')\nreturn {table = 'CREATE TABLE t (a)', on = {A = function() end}}", 1, "nowhere"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct heard heard = {0};
        struct projection *projection = NULL;
        cairn_error error = {0};
        cairn_err err = parse_lua(CASES[i].text, hear, &heard, &projection, &error);
        if (err != CAIRN_E_INVALID || heard.count == 0 || heard.line != CASES[i].line
            || strstr(heard.message, CASES[i].message) == NULL)
            fail_msg("case %zu: %s, line %u: %s", i, cairn_err_name(err), heard.line, heard.message);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(makes_a_read_model), RUN(stops_where_it_fails), RUN(faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

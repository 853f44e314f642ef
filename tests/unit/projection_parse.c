/* Projection files: what they say, what is wrong with them and where, and what each parameter gives. */
#include <app/sql/projection_int.h>

#include "projection_rig.h"

struct heard {
    unsigned count;
    uint32_t line;
    char message[512], hint[256];
};

static void
hear(void *context, const cairn_app_fault *fault)
{
    struct heard *heard = context;
    if (heard->count++ > 0)
        return;
    heard->line = fault->line;
    snprintf(heard->message, sizeof heard->message, "%.*s", (int)fault->message.size, fault->message.data);
    snprintf(heard->hint, sizeof heard->hint, "%.*s", (int)fault->hint.size, fault->hint.data);
}

#define TABLE "-- table\nCREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER);\n"

/* Goal: mistakes are told with their line and what to do. Method: a table of files with one mistake each. */
TEST(faults_have_line_and_hint)
{
    static const struct {
        const char *text;
        uint32_t line;
        const char *message, *hint;
    } CASES[] = {
        {"", 0, "no table", "-- table"},
        {"-- table\nCREATE TABLE t (id TEXT);\n", 0, "does nothing for any event", "-- on"},
        {"SELECT 1;\n", 1, "before the first section", "-- table"},
        {"-- tabel\nCREATE TABLE t (id TEXT);\n", 1, "no section \"tabel\"", "-- table"},
        {TABLE "-- onn Made\nDELETE FROM t;\n", 3, "no section \"onn\"", "-- on"},
        {TABLE "-- on Made Gone\nDELETE FROM t;\n", 3, "event types, separated by commas", "/*"},
        {TABLE "-- on \"Half open\nDELETE FROM t;\n", 3, "event types, separated by commas", "double quotes"},
        {TABLE "-- on \"A\" \"B\"\nDELETE FROM t;\n", 3, "event types, separated by commas", "double quotes"},
        {TABLE "-- on \"\"\nDELETE FROM t;\n", 3, "event types, separated by commas", ""},
        {TABLE "-- on \"*\"\nDELETE FROM t;\n", 3, "nothing can be named", "-- on *"},
        {TABLE "-- onn \"W_Make tea\", Made\nDELETE FROM t;\n", 3, "no section \"onn\"", "-- on"},
        {TABLE "-- on Made\nINSERT INTO t\nVALUES (:data.org:resource, 1);\n", 5, "follows a parameter", ":data.\"org:resource\""},
        {TABLE "-- on Made\nINSERT INTO t VALUES (:data.\"a\nb\", 1);\n", 4, "line's end", ""},
        {TABLE "-- on Made\nINSERT INTO t VALUES (:data.\"a, 1);\n", 4, "name that begins here does not end", ""},
        {TABLE "-- on Made\nINSERT INTO t VALUES (:tag.\"a b\".c, 1);\n", 4, "no tag's name", ":tag.customer"},
        {TABLE "-- on Made\nINSERT INTO t VALUES (:time.\"x\", 1);\n", 4, "no parts", ""},
        {TABLE "-- from\n-- on Made\nDELETE FROM t;\n", 3, "categories", ""},
        {TABLE "-- on Made\nINSERT INTO t VALUES (:stream_id, :dat.n);\n", 4, ":dat.n", "did you mean :data.n?"},
        {TABLE "-- on Made\nINSERT INTO t\n VALUES (:stream_id,\n :qty);\n", 6, ":qty", ":data.qty"},
        {TABLE "-- on Made\nINSERT INTO t VALUES (:time.x, 1);\n", 4, "no parts", ":tag.NAME"},
        {TABLE "-- on Made\nINSERT INTO t VALUES (:tag, 1);\n", 4, "tag", ":tag.customer"},
        {TABLE "-- on Made\nINSERT INTO t VALUES (?, 1);\n", 4, "names", ":data.MEMBER"},
        {TABLE "-- on Made\nINSERT INTO t VALUES ($x, 1);\n", 4, "names", ":data.MEMBER"},
        {TABLE "-- on Made\n/* two\nlines */\nINSERT INTO t (id,\n nope) VALUES (1, 2);\n", 6, "nope", ""},
        {TABLE "-- on Made\nINSERT INTO u VALUES (1);\n", 4, "no such table: u", ""},
        {TABLE "-- on Made\nINSERT INTO t VALUES ('open);\n", 4, "string that begins here does not end", ""},
        {TABLE "-- on Made\nDELETE FROM t; /* open\n", 4, "comment that begins here", ""},
        {TABLE "-- on Made\nSELECT * FROM t;\n", 4, "SELECT cannot stand", "queries"},
        {TABLE "-- on Made\nWITH a AS (SELECT 1) SELECT * FROM a;\n", 4, "changes nothing", ""},
        {TABLE "-- on Made\nCREATE TABLE u (a);\n", 4, "CREATE cannot stand", "-- table"},
        {"-- table\nCREATE TABLE t (id TEXT);\nINSERT INTO t VALUES (1);\n-- on A\nDELETE FROM t;\n", 3, "CREATE",
         "-- on TYPE"},
        {"-- table\nCREATE TABLE t (id TEXT, :data.x TEXT);\n-- on A\nDELETE FROM t;\n", 2, "parameter", "before"},
        {"-- table\nCREATE TABLE t (id TEXT);\nCREATE TABLE t (id TEXT);\n-- on A\nDELETE FROM t;\n", 3, "already exists",
         ""},
        {"-- table\nCREATE TABLE t (id TEXT);\nCREATE VIEW v AS SELECT nope FROM t;\n-- on A\nDELETE FROM t;\n", 3,
         "nope", ""},
        {"-- table\nCREATE VIRTUAL TABLE f USING fts5(a, tokenize = 'nothing');\n-- on A\nDELETE FROM f;\n", 2, "nothing",
         ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct heard heard = {0};
        struct projection *projection = NULL;
        cairn_error error = {0};
        cairn_err err = projection_parse(CAIRN_STR("p/model.sql"), cairn_cstr(CASES[i].text), NULL, hear, &heard,
                                         &projection, &error);
        if (err != CAIRN_E_INVALID || heard.count == 0 || heard.line != CASES[i].line
            || strstr(heard.message, CASES[i].message) == NULL || strstr(heard.hint, CASES[i].hint) == NULL)
            fail_msg("case %zu: %s, %u faults, line %u: %s (%s); expected line %u: %s (%s)", i, cairn_err_name(err),
                     heard.count, heard.line, heard.message, heard.hint, CASES[i].line, CASES[i].message,
                     CASES[i].hint);
    }
}

/* Goal: every fault is told, not only the first. */
TEST(all_faults_are_told)
{
    struct heard heard = {0};
    struct projection *projection;
    cairn_error error = {0};
    CHECK_INT(projection_parse(CAIRN_STR("model.sql"), CAIRN_STR(TABLE "-- on A\nINSERT INTO t VALUES (:a, :b);\n"
                               "DELETE FROM u;\n-- on B, ,C\nDELETE FROM t;\nDROP TABLE t;\n"), NULL, hear, &heard,
                               &projection, &error), CAIRN_E_INVALID);
    CHECK(heard.count >= 3);
    CHECK_INT(projection_parse(CAIRN_STR("../evil name.sql"), CAIRN_STR(TABLE "-- on A\nDELETE FROM t;\n"), NULL, hear,
                               &heard, &projection, &error), CAIRN_E_INVALID);
}

static void
check_names(bool (*name_at)(const struct projection *, size_t, cairn_str *), const struct projection *projection,
            const char *expected)
{
    struct buf all = {0};
    cairn_str name;
    for (size_t i = 0; name_at(projection, i, &name); i++) {
        buf_put_str(&all, name);
        buf_put_char(&all, ' ');
    }
    buf_put_char(&all, '\0');
    CHECK_STR(all.data, expected);
    buf_free(&all);
}

/* Goal: names of real logs, with blanks, colons, commas and quotes, are those that stand between the quotes. */
TEST(names_in_quotes)
{
    struct projection *projection = rig_parse(
        "-- from \"the case\", task\n-- tagged \"a, \"\"b\"\"\", vip\n" TABLE
        "-- on \"W_Completeren aanvraag\", A_SUBMITTED,\"A, B\" , \"say \"\"hi\"\"\"\n"
        "INSERT INTO t VALUES (:data.\"org:resource\", :data.plain) ON CONFLICT (id) DO UPDATE SET n = :data.\"plain\";\n");
    struct buf all = {0};
    cairn_str name;
    for (size_t i = 0; projection_type(projection, i, &name); i++)
        buf_printf(&all, "<%.*s>", (int)name.size, name.data);
    for (size_t i = 0; projection_category(projection, i, &name); i++)
        buf_printf(&all, "<%.*s>", (int)name.size, name.data);
    for (size_t i = 0; i < projection->tags.count; i++)
        buf_printf(&all, "<%s>", projection->tags.items[i].data);
    buf_put_char(&all, '\0');
    CHECK_STR(all.data, "<W_Completeren aanvraag><A_SUBMITTED><A, B><say \"hi\"><the case><task><a, \"b\"><vip>");
    buf_free(&all);
    CHECK(projection_plan(projection, CAIRN_STR("W_Completeren aanvraag")) != NULL);
    CHECK(projection_plan(projection, CAIRN_STR("\"A_SUBMITTED\"")) == NULL);
    CHECK_INT(projection->slot_count, 2); /* quoted or not, plain is one */
    projection_free(projection);
}

/* Goal: sections, lists, triggers, comments and quoted names are read as they stand. */
TEST(a_whole_file)
{
    struct projection *projection = rig_parse(
        "-- Tasks by day. On the other hand, this is only a comment.\n"
        "-- from task, project\n-- tagged region:eu\n"
        "-- table\n"
        "CREATE TABLE task (id TEXT PRIMARY KEY, \"a ; b\" TEXT, n INTEGER) -- no semicolon; but in here\n;\n"
        "CREATE TABLE log (n INTEGER);\n"
        "CREATE TRIGGER told AFTER INSERT ON task BEGIN\n"
        "  INSERT INTO log VALUES (CASE WHEN new.n > 1 THEN 2 ELSE 1 END);\n  DELETE FROM log WHERE n = ':data.x';\nEND;\n"
        "CREATE VIEW open AS SELECT id FROM task;\n"
        "CREATE VIRTUAL TABLE words USING fts5(id UNINDEXED, text);\n"
        "-- on TaskMade, TaskCopied\n"
        "INSERT INTO task (id, \"a ; b\", n) VALUES (:stream_id, ':data.no', :data.n);\n"
        "INSERT INTO words VALUES (:stream_id, :data.text || ' ' || :data.text)\n"
        "-- on *\nUPDATE task SET n = n WHERE id = :id;\n");
    check_names(projection_type, projection, "TaskMade TaskCopied * ");
    check_names(projection_category, projection, "task project ");
    check_names(projection_table, projection, "log open task words ");
    CHECK(cairn_str_equal(projection_name(projection), CAIRN_STR("model")));
    const struct plan *plan = projection_plan(projection, CAIRN_STR("TaskMade"));
    CHECK_INT(plan->statement_count, 3);
    CHECK_INT(plan->slot_count, 4); /* stream_id, n, text, id */
    CHECK_INT(projection_plan(projection, CAIRN_STR("Else"))->statement_count, 1);
    sqlite3 *db;
    CHECK_OK(sql_open(NULL, SQL_SCRATCH, &db, NULL));
    char ddl[4096];
    snprintf(ddl, sizeof ddl, "%.*s", (int)projection_ddl(projection).size, projection_ddl(projection).data);
    CHECK_OK(sql_exec(db, ddl, NULL));
    sql_close(db);
    projection_free(projection);
}

static void
digest_of(const char *text, char to[65])
{
    struct projection *projection = rig_parse(text);
    snprintf(to, 65, "%.*s", 64, projection_digest(projection).data);
    projection_free(projection);
}

/* Goal: the digest changes exactly when the read model would. */
TEST(digest)
{
    char first[65], other[65];
    digest_of(TABLE "-- on A\nINSERT INTO t VALUES (:id, :data.n);\n", first);
    digest_of("-- A comment\n\n" TABLE "\n-- on A\nINSERT  INTO t /* here */ VALUES (:id,:data.n)", other);
    CHECK_STR(first, other);
    static const char *const DIFFERENT[] = {
        TABLE "-- on B\nINSERT INTO t VALUES (:id, :data.n);\n", TABLE "-- on A\nINSERT INTO t VALUES (:id, :data.m);\n",
        "-- from a\n" TABLE "-- on A\nINSERT INTO t VALUES (:id, :data.n);\n",
        "-- tagged a\n" TABLE "-- on A\nINSERT INTO t VALUES (:id, :data.n);\n",
        TABLE "CREATE INDEX i ON t (n);\n-- on A\nINSERT INTO t VALUES (:id, :data.n);\n",
        TABLE "-- on A\nINSERT INTO t VALUES (:stream_id, :data.n);\n",
        TABLE "-- on A\nINSERT INTO t VALUES (:id, :data.n);\nDELETE FROM t;\n",
    };
    for (size_t i = 0; i < sizeof DIFFERENT / sizeof *DIFFERENT; i++) {
        digest_of(DIFFERENT[i], other);
        CHECK(strcmp(first, other) != 0);
    }
}

/* ---- what parameters give ------------------------------------------------------------------------- */

static void
check_value(const char *parameter, const cairn_recorded *event, const char *expected)
{
    char text[512];
    struct buf json = {0};
    sqlite3 *db;
    sqlite3_stmt *read;
    snprintf(text, sizeof text, TABLE "-- on *\nINSERT INTO t VALUES (%s, 1);\n", parameter);
    struct projection *projection = rig_parse(text);
    struct values values;
    cairn_error error = {0};
    CHECK_OK(values_init(&values, projection, false, NULL));
    const struct plan *plan = projection_plan(projection, event->event.type);
    if (values_take(&values, plan, event, &error) != CAIRN_OK)
        buf_put_str(&json, CAIRN_STR("error"));
    else {
        CHECK_OK(sql_open(NULL, SQL_SCRATCH, &db, NULL));
        CHECK_INT(sqlite3_prepare_v2(db, "SELECT ?1", -1, &read, NULL), SQLITE_OK);
        CHECK_INT(values_bind(values.slots, &projection->statements[0], read), SQLITE_OK);
        CHECK_INT(sqlite3_step(read), SQLITE_ROW);
        sql_put_column(&json, read, 0);
        sqlite3_finalize(read);
        sql_close(db);
    }
    buf_put_char(&json, '\0');
    if (strcmp(json.data, expected) != 0)
        fail_msg("%s is %s, expected %s", parameter, json.data, expected);
    buf_free(&json);
    values_free(&values);
    projection_free(projection);
}

/* Goal: each parameter is what the manual says. */
TEST(parameters)
{
    cairn_str tags[] = {CAIRN_STR("customer:7"), CAIRN_STR("plain"), CAIRN_STR("customer:8"), CAIRN_STR("org:unit x:9")};
    cairn_recorded event = {
        .position = 41, .revision = 3, .time_us = 1763713871123456, .stream = CAIRN_STR("order-4-2"),
        .event = {.type = CAIRN_STR("Placed"), .correlation = CAIRN_STR("c-1"), .tags = tags, .tag_count = 4,
                  .data = CAIRN_STR("{\"a\":{\"b\":[1,{\"c\":\"x\\ny\"}]},\"t\":true,\"f\":false,\"z\":null,\"i\":1.0,"
                                    "\"r\":1.5,\"big\":123456789012345678901,\"min\":-9223372036854775808,\"e\":\"\","
                                    "\"a\":5,\"\\u0061b\":\"esc\",\"o\":{\"k\":[]},"
                                    "\"org:resource\":112,\"q\\\"q\":{\"a.b[0]\":[0,{\"\":\"deep\"}]},"
                                    "\"back\\n\":0,\"back\\\\n\":1,\"Größe in m²\":4}"),
                  .meta = CAIRN_STR("{\"causation\":\"x-2\",\"actor\":\"ann\",\"trace\":{\"id\":7}}")}};
    static const char *const CASES[][2] = {
        {":position", "41"}, {":revision", "3"}, {":stream", "\"order-4-2\""}, {":stream_id", "\"4-2\""},
        {":category", "\"order\""}, {":type", "\"Placed\""}, {":id", "\"00000000-0000-0000-0000-000000000000\""},
        {":time", "\"2025-11-21T08:31:11.123456Z\""}, {":time_us", "1763713871123456"}, {":correlation", "\"c-1\""},
        {":causation", "\"x-2\""}, {":actor", "\"ann\""}, {":meta.actor", "\"ann\""}, {":meta.trace.id", "7"},
        {":tags", "\"[\\\"customer:7\\\",\\\"plain\\\",\\\"customer:8\\\",\\\"org:unit x:9\\\"]\""}, {":tag.customer", "\"7\""},
        {":tag.plain", "null"}, {":data.a.b[0]", "1"}, {":data.a.b[1].c", "\"x\\ny\""}, {":data.a.b[2]", "null"},
        {":data.a.b", "\"[1,{\\\"c\\\":\\\"x\\\\ny\\\"}]\""}, {":data.t", "1"}, {":data.f", "0"}, {":data.z", "null"},
        {":data.i", "1"}, {":data.r", "1.5"}, {":data.min", "-9223372036854775808"}, {":data.e", "\"\""},
        {":data.ab", "\"esc\""}, {":data.none", "null"}, {":data.t.x", "null"}, {":data.o.k", "\"[]\""},
        {":data.big", "123456789012345680000"},
        {":data.\"org:resource\"", "112"}, {":data.\"org:resource\".\"a \"\"b\"\"\"", "null"},
        {":data.\"q\"\"q\".\"a.b[0]\"[1].\"\"", "\"deep\""}, {":data.\"ab\"", "\"esc\""}, {":data.\"back\\n\"", "1"},
        {":data.\"Größe in m²\"", "4"}, {":meta.\"trace\".\"id\"", "7"}, {":tag.\"customer\"", "\"7\""},
        {":tag.\"org:unit x\"", "\"9\""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        check_value(CASES[i][0], &event, CASES[i][1]);
    event.stream = CAIRN_STR("settings");
    check_value(":stream_id", &event, "null");
    check_value(":category", &event, "\"settings\"");
    event.event.data = CAIRN_STR("{\"a\":");
    check_value(":data.a", &event, "error");
    check_value(":stream", &event, "\"settings\"");
    event.event.data = CAIRN_STR("{\"a\":\"\\ud800\"}");
    check_value(":data.a", &event, "error");
    event.event.content_type = CAIRN_STR("application/octet-stream");
    check_value(":data.a", &event, "null");
    check_value(":data", &event, "\"eyJhIjoiXHVkODAwIn0=\"");
    event.event.content_type = CAIRN_STR("Application/Cloud+JSON; charset=utf-8");
    event.event.data = CAIRN_STR("[7]");
    check_value(":data[0]", &event, "7");
    check_value(":data", &event, "\"[7]\"");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(faults_have_line_and_hint), RUN(all_faults_are_told), RUN(names_in_quotes), RUN(a_whole_file),
                                       RUN(digest), RUN(parameters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

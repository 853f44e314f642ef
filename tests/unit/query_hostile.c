/* Hostile queries and callers: what writes, reaches out, never ends, grows without bound, or comes in absurd sizes is
 * refused or stopped in time, with a clear error, and the next call is answered as if nothing had been. */
#include "query_rig.h"

#include <os/os.h>

static struct projection task = {
    .name = "board",
    .ddl = "CREATE TABLE task (id INTEGER PRIMARY KEY, title TEXT, due TEXT); CREATE VIRTUAL TABLE finding USING fts5(body);"
           "CREATE TABLE _checkpoint (position INTEGER);",
    .tables = {"task", "finding"},
};
static struct projection *const TASK[] = {&task};

/* Goal: nothing but reading the projections' own tables gets through.
 * Method: each way of doing something else is a fault of the file. */
TEST(what_does_not_read_is_refused)
{
    static const char *const CASES[] = {
        "INSERT INTO task (title) VALUES ('x')", "REPLACE INTO task (title) VALUES ('x')", "UPDATE task SET title = 'x'",
        "DELETE FROM task", "DELETE FROM task RETURNING id", "DROP TABLE task", "ALTER TABLE task ADD x", "CREATE TABLE x (a)",
        "CREATE TEMP TABLE x AS SELECT * FROM task", "CREATE TRIGGER t AFTER INSERT ON task BEGIN SELECT 1; END", "CREATE VIEW v AS SELECT 1",
        "CREATE VIRTUAL TABLE v USING fts5(a)", "CREATE INDEX i ON task (due)", "REINDEX", "ANALYZE", "VACUUM", "VACUUM INTO '/tmp/x'",
        "ATTACH '/etc/passwd' AS p", "DETACH main", "PRAGMA query_only = 0", "PRAGMA journal_mode = DELETE", "PRAGMA table_info(task)",
        "BEGIN", "COMMIT", "SAVEPOINT a", "EXPLAIN SELECT 1", "EXPLAIN QUERY PLAN SELECT id FROM task",
        "WITH x AS (SELECT 1) INSERT INTO task (title) SELECT 'x' FROM x RETURNING id", "WITH x AS (SELECT 1) UPDATE task SET title = 'x'",
        "WITH x AS (SELECT 1) DELETE FROM task RETURNING id", "WITH x AS (SELECT 1) REPLACE INTO finding VALUES ('x')",
        "WITH x AS (SELECT 1) UPDATE sqlite_master SET type = 'x' RETURNING 1",
        "SELECT load_extension('/tmp/x.so') AS a", "SELECT fts3_tokenizer('simple') AS a", "SELECT writefile('/tmp/x', 'a') AS a",
        "SELECT readfile('/etc/passwd') AS a", "SELECT edit('a') AS a", "SELECT sqlite_log(1, 'a') AS a", "SELECT json_patch('{}', '{}') AS a", "SELECT random() AS a",
        "SELECT * FROM pragma_table_info('task')", "SELECT * FROM pragma_database_list", "SELECT count(*) AS n FROM pragma_query_only(0)",
        "SELECT * FROM sqlite_schema", "SELECT * FROM sqlite_master", "SELECT * FROM sqlite_temp_schema", "SELECT * FROM temp.sqlite_master",
        "SELECT sql FROM main.sqlite_schema", "SELECT count(*) AS n FROM sqlite_schema", "SELECT * FROM sqlite_dbpage", "SELECT * FROM dbstat",
        "SELECT * FROM sqlite_stmt", "SELECT * FROM bytecode('SELECT 1')", "SELECT * FROM tables_used('SELECT 1')",
        "SELECT * FROM fts3tokenize('simple')", "SELECT * FROM _checkpoint", "SELECT count(*) AS n FROM _checkpoint",
        "SELECT (SELECT position FROM _checkpoint) AS p", "SELECT id FROM task WHERE EXISTS (SELECT sql FROM sqlite_schema)",
        "SELECT 1 AS a; DELETE FROM task", "SELECT 1 AS a) ; DELETE FROM task; --", "SELECT 1 AS a) UNION SELECT sql FROM (sqlite_schema",
        "SELECT 1 AS a /*", "SELECT ']' AS a]", "SELECT 1 AS a -- \n; --\nSELECT 2", "(SELECT 1)", "", ";", "\xff", "-- key id",
        "SELECT finding('x') AS a FROM finding", "SELECT 1 AS a FROM file('/etc/passwd')", "SELECT :a.b AS a", "SELECT $a AS a", "SELECT @a AS a",
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        if (rig_try(CASES[i], TASK, 1) != NULL)
            fail_msg("accepted: %s", CASES[i]);
        else if (rig_faults[0] == 0)
            fail_msg("no fault for: %s", CASES[i]);
}

/* Goal: a connection that queries use cannot write, even where the authoriser would let it: the file stays as it is. */
TEST(shadow_tables_can_be_read_only)
{
    struct rig rig;
    rig_open(&rig, &task);
    rig_exec(rig.db, "INSERT INTO finding VALUES ('hello')");
    /* FTS5's commands are inserts; as a MATCH they are nothing. */
    struct query *query = rig_parse("-- param w text\nSELECT body FROM finding WHERE finding MATCH :w", TASK, 1);
    CHECK_REFUSED(&rig, query, PARAMS("w=*rebuild"), CAIRN_E_INVALID, "parameter \"w\" is no full-text expression");
    CHECK_ANSWER(&rig, query, PARAMS("w=hello"), "{\"rows\":[{\"body\":\"hello\"}],\"next\":null,\"position\":7}");
    query_free(query);
    rig_close(&rig);
}

static const char ENDLESS[] = "-- timeout 60s\nWITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0";

/* Goal: what would run for ever ends near its deadline, whichever way it loops.
 * Method: a timeout of 100 ms; generous bounds above, for slow machines. */
TEST(endless_work_is_stopped_in_time)
{
    static const char *const CASES[] = {
        ENDLESS,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n) SELECT max(i) AS c FROM n",
        "WITH RECURSIVE n(s) AS (SELECT 'a' UNION ALL SELECT substr(s || s, 1, 100000) FROM n) SELECT count(*) AS c FROM n",
        "SELECT count(*) AS c FROM task a, task b, task c, task d",
        "SELECT a.id FROM task a, task b, task c, task d ORDER BY a.title || b.title || c.title || d.title LIMIT 1",
        "SELECT count(DISTINCT a.id * b.id * c.id * d.id) AS c FROM task a, task b, task c, task d",
        "SELECT sum(length(replace(hex(zeroblob(100000)), '0', a.title))) AS c FROM task a, task b, task c",
        "SELECT count(*) AS c FROM task a, task b, task c, finding WHERE finding MATCH 'word' AND finding.rank < a.id * b.id * c.id",
        "SELECT count(*) AS c FROM task a, task b, task c WHERE a.title || b.title LIKE '%a%a%a%a%b' || c.title",
    };
    struct rig rig;
    rig_open(&rig, &task);
    rig_exec(rig.db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO task SELECT i, 'title ' || i, i FROM n;"
                     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO finding SELECT 'word ' || i FROM n;");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct query *query = rig_parse(CASES[i], TASK, 1);
        int64_t begin = os_monotonic_us(os_real());
        cairn_err err = rig_call(&rig, query, (struct query_call){.timeout_ms = 100}, NULL);
        int64_t took_ms = (os_monotonic_us(os_real()) - begin) / 1000;
        if (err != CAIRN_E_TIMEOUT || !strstr(rig.error.detail, "took too long"))
            fail_msg("%s: %s: %s", CASES[i], cairn_err_name(err), rig.error.detail);
        if (took_ms < 90 || took_ms > 10000) /* near it, also on a busy machine under a sanitizer */
            fail_msg("%s: %lld ms", CASES[i], (long long)took_ms);
        query_free(query);
    }
    struct query *fine = rig_parse("-- one\nSELECT count(*) AS n FROM task", TASK, 1);
    CHECK_ANSWER(&rig, fine, NULL, "{\"row\":{\"n\":2000},\"position\":7}");
    query_free(fine);
    rig_close(&rig);
}

/* Goal: the quick path says BUSY when the work is more than its steps, and the same query without steps is answered. */
TEST(steps_bound_the_quick_path)
{
    struct rig rig;
    rig_open(&rig, &task);
    rig_exec(rig.db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO task SELECT i, 'x', i FROM n");
    struct query *all = rig_parse("-- one\nSELECT count(*) AS n FROM task WHERE title = 'x'", TASK, 1);
    struct query *key = rig_parse("-- param id integer\n-- one\nSELECT due FROM task WHERE id = :id", TASK, 1);
    struct query *endless = rig_parse(ENDLESS, TASK, 1);
    for (unsigned i = 0; i < 50; i++) {
        CHECK_INT(rig_call(&rig, all, (struct query_call){.steps_max = 2000}, NULL), CAIRN_E_BUSY);
        CHECK(strstr(rig.error.detail, "more work than the quick path allows"));
        CHECK_INT(rig_call(&rig, endless, (struct query_call){.steps_max = 2000}, NULL), CAIRN_E_BUSY);
        CHECK_INT(rig_call(&rig, key, (struct query_call){.steps_max = 2000}, PARAMS("id=77")), CAIRN_OK);
        CHECK_STR(rig.to.data, "{\"row\":{\"due\":\"77\"},\"position\":0}");
        CHECK_INT(rig_call(&rig, all, (struct query_call){0}, NULL), CAIRN_OK);
    }
    query_free(all);
    query_free(key);
    query_free(endless);
    rig_close(&rig);
}

/* Goal: no function runs past the deadline by what it is given.
 * Method: the worst that each may be given, with sizes near the bound of a value; and that they still mean what they mean
 * in SQLite, by its own functions on a plain connection. */
TEST(functions_take_no_quadratic_time)
{
    static const char *const CASES[] = {
        "SELECT instr(hex(zeroblob(4000000)), hex(zeroblob(1900000)) || 'x') AS a",
        "SELECT length(replace(hex(zeroblob(4000000)), hex(zeroblob(1900000)) || 'x', '')) AS a",
        "SELECT length(trim(hex(zeroblob(4000000)), replace(hex(zeroblob(1900000)), '0', 'x') || '0')) AS a",
        "SELECT length(rtrim(hex(zeroblob(4000000)), '0')) AS a",
        "SELECT hex(zeroblob(4000000)) LIKE '%00000000000000000000000000000000000000000000000000000000000000000000001%' AS a",
        "SELECT hex(zeroblob(4000000)) GLOB '*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*1' AS a",
    };
    static const char *const SAME[] = {
        "instr('abcabc', 'ca')", "instr('äöü', 'ü')", "instr('abc', '')", "instr('', 'a')", "instr('', '')", "instr(x'00ff10', x'ff')",
        "instr(x'c3a4', 'ä')", "instr(1234, 34)", "instr(NULL, 'a')", "instr('a', NULL)", "replace('banana', 'an', 'AN')",
        "replace('banana', '', 'x')", "replace('', 'a', 'b')", "replace('aaa', 'a', '')", "replace(123, 2, 'two')", "replace('a', 'b', NULL)",
        "typeof(replace(12, '', 'x'))", "trim('  a b ')", "trim('xyaxy', 'yx')", "ltrim('ääa', 'ä')", "rtrim('aää', 'ä')", "trim('aaa', 'a')", "trim('a', '')",
        "trim('', 'a')", "trim(NULL)", "trim('a', NULL)", "rtrim(' a ')", "ltrim(' a ')", "typeof(trim(5))", "trim(x'2020') || '|'",
    };
    struct rig rig;
    rig_open(&rig, &task);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct query *query = rig_parse(CASES[i], TASK, 1);
        int64_t begin = os_monotonic_us(os_real());
        (void)rig_call(&rig, query, (struct query_call){0}, NULL);
        int64_t took_ms = (os_monotonic_us(os_real()) - begin) / 1000;
        if (took_ms > 20000)
            fail_msg("%s: %lld ms", CASES[i], (long long)took_ms);
        query_free(query);
    }
    for (size_t i = 0; i < sizeof SAME / sizeof *SAME; i++) {
        char sql[200], expected[300];
        sqlite3_stmt *statement;
        snprintf(sql, sizeof sql, "SELECT quote(%s) AS a", SAME[i]);
        CHECK_INT(sqlite3_prepare_v2(rig.db, sql, -1, &statement, NULL), SQLITE_OK);
        CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
        snprintf(expected, sizeof expected, "{\"rows\":[{\"a\":\"%s\"}],\"next\":null,\"position\":7}", sqlite3_column_text(statement, 0));
        sqlite3_finalize(statement);
        struct query *query = rig_parse(sql, TASK, 1);
        CHECK_ANSWER(&rig, query, NULL, expected);
        query_free(query);
    }
    rig_close(&rig);
}

static size_t
peak_kib(void)
{
    char line[200];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %zu", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

/* Goal: values and answers that blow up are refused at a bound, before they cost much memory. */
TEST(blow_ups_are_refused)
{
    static const char *const CASES[] = {
        "SELECT zeroblob(1000000000) AS a",
        "SELECT hex(zeroblob(8000000)) AS a",
        "SELECT replace(hex(zeroblob(10000)), '0', hex(zeroblob(10000))) AS a",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT group_concat(hex(zeroblob(50000))) AS a FROM n",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT json_group_array(hex(zeroblob(50000))) AS a FROM n",
        "WITH RECURSIVE n(s) AS (SELECT 'abcdefgh' UNION ALL SELECT s || s FROM n) SELECT length(s) AS a FROM n",
        "-- limit 1000\nWITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT hex(zeroblob(50000)) AS a FROM n",
        "SELECT zeroblob(7000000) AS a, zeroblob(7000000) AS b, zeroblob(7000000) AS c",
    };
    struct rig rig;
    rig_open(&rig, &task);
    size_t before = peak_kib();
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct query *query = rig_parse(CASES[i], TASK, 1);
        cairn_err err = rig_call(&rig, query, (struct query_call){0}, NULL);
        if (err != CAIRN_E_LIMIT)
            fail_msg("%s: %s: %s", CASES[i], cairn_err_name(err), err ? rig.error.detail : "answered");
        query_free(query);
    }
    /* Here SQLite gives up by itself and answers with nothing. */
    struct query *wide = rig_parse("SELECT printf('%.*c', 1000000000, 'x') AS a, printf('%1000000000d', 1) AS b", TASK, 1);
    cairn_err err = rig_call(&rig, wide, (struct query_call){0}, NULL);
    CHECK(err == CAIRN_E_LIMIT || (err == CAIRN_OK && rig.to.size < 1000));
    query_free(wide);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    CHECK(peak_kib() - before < 200 * 1024);
#else
    (void)before;
#endif
    rig_close(&rig);
}

TEST(sql_of_absurd_shape_is_refused)
{
    struct buf text = {0};
    buf_printf(&text, "SELECT ");
    for (unsigned i = 0; i < 2000; i++)
        buf_printf(&text, "(1+");
    buf_printf(&text, "1");
    for (unsigned i = 0; i < 2000; i++)
        buf_printf(&text, ")");
    buf_printf(&text, " AS a");
    buf_put_char(&text, 0);
    CHECK(rig_try(text.data, TASK, 1) == NULL && rig_faults[0] != 0);
    buf_clear(&text);
    buf_printf(&text, "SELECT 1 AS a0");
    for (unsigned i = 1; i < 150; i++)
        buf_printf(&text, ", %u AS a%u", i, i);
    buf_put_char(&text, 0);
    CHECK(rig_try(text.data, TASK, 1) == NULL && strstr(rig_faults, "output columns; the limit is 100"));
    buf_clear(&text);
    buf_printf(&text, "SELECT 1 AS a");
    for (unsigned i = 1; i < 3000; i++)
        buf_printf(&text, " UNION ALL SELECT %u", i);
    buf_put_char(&text, 0);
    CHECK(rig_try(text.data, TASK, 1) == NULL);
    buf_clear(&text);
    for (unsigned i = 0; i < 100; i++)
        buf_printf(&text, "-- param p%u text\n", i);
    buf_printf(&text, "SELECT 1 AS a");
    buf_put_char(&text, 0);
    CHECK(rig_try(text.data, TASK, 1) == NULL && strstr(rig_faults, "more than 48 parameters"));
    buf_clear(&text);
    buf_printf(&text, "SELECT 1 AS a %*s", 70000, "");
    buf_put_char(&text, 0);
    CHECK(rig_try(text.data, TASK, 1) == NULL && strstr(rig_faults, "at most 64 KiB"));
    buf_free(&text);
}

TEST(callers_of_absurd_size_are_refused)
{
    static char big[1 << 20];
    static const char *many[1002];
    static char names[1000][16];
    struct rig rig;
    rig_open(&rig, &task);
    struct query *query = rig_parse("-- param t text\n-- key id\n-- sort title\n-- filter title, id\nSELECT id, title FROM task WHERE due = :t", TASK, 1);
    memset(big, 'x', sizeof big - 1);
    memcpy(big, "t=", 2);
    CHECK_REFUSED(&rig, query, PARAMS(big), CAIRN_E_INVALID, "parameter \"t\" is longer than 64 KiB");
    memcpy(big, "title=", 6);
    CHECK_REFUSED(&rig, query, PARAMS("t=a", big), CAIRN_E_INVALID, "is longer than 64 KiB");
    memcpy(big, "sort=x", 6);
    CHECK_REFUSED(&rig, query, PARAMS("t=a", big), CAIRN_E_INVALID, "is no column to sort by");
    memset(big, ',', 2000);
    memcpy(big, "id.in=1", 7);
    big[2000] = 0;
    CHECK_REFUSED(&rig, query, PARAMS("t=a", big), CAIRN_E_INVALID, "parameter \"id.in\" takes a whole number");
    for (unsigned i = 7; i < 2000; i++)
        big[i] = i % 2 ? ',' : '1';
    CHECK_REFUSED(&rig, query, PARAMS("t=a", big), CAIRN_E_INVALID, "more than 100 values to filter by");
    memset(big, 'x', sizeof big - 1);
    big[300000] = '=';
    CHECK_REFUSED(&rig, query, PARAMS("t=a", big), CAIRN_E_INVALID, "has no parameter \"xxx");
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof names[i], i ? "title.ne=%u" : "t=%u", i);
        many[i] = names[i];
    }
    CHECK_REFUSED(&rig, query, many, CAIRN_E_INVALID, "more than 24 filters");
    memset(big, 'A', sizeof big - 1);
    CHECK_INT(rig_call(&rig, query, (struct query_call){.cursor = {big, sizeof big - 1}}, PARAMS("t=a")), CAIRN_E_INVALID);
    CHECK(strstr(rig.error.detail, "cursor: "));
    /* Text that a cursor cannot hold: the page is refused with the reason. */
    rig_exec(rig.db, "INSERT INTO task VALUES (1, printf('%.*c', 4000, 'a'), 'd'), (2, 'b', 'd')");
    CHECK_INT(rig_call(&rig, query, (struct query_call){.limit = 1}, PARAMS("t=d")), CAIRN_E_LIMIT);
    CHECK(strstr(rig.error.detail, "sort by a shorter column"));
    CHECK_INT(rig_call(&rig, query, (struct query_call){.limit = 1}, PARAMS("t=d", "sort=id")), CAIRN_OK);
    query_free(query);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(what_does_not_read_is_refused), RUN(shadow_tables_can_be_read_only), RUN(endless_work_is_stopped_in_time),
        RUN(steps_bound_the_quick_path),    RUN(blow_ups_are_refused),           RUN(sql_of_absurd_shape_is_refused),
        RUN(callers_of_absurd_size_are_refused), RUN(functions_take_no_quadratic_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

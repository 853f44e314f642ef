/* Hostile projections: what they may not do is refused when they are read, with the line; what only shows itself at an event
 * stops that projection at the event, within bounds. */
#include "projection_rig.h"

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

static void
refused(const char *what, const char *text, uint32_t line, const char *message)
{
    struct heard heard = {0};
    struct projection *projection = NULL;
    cairn_error error = {0};
    cairn_err err = projection_parse(CAIRN_STR("model.sql"), cairn_cstr(text), NULL, hear, &heard, &projection, &error);
    if (err != CAIRN_E_INVALID || heard.count == 0 || (line != 0 && heard.line != line)
        || strstr(heard.message, message) == NULL)
        fail_msg("%s: %s, line %u: %s; expected line %u: %s", what, cairn_err_name(err), heard.line, heard.message, line,
                 message);
}

/* Goal: SQL that reaches for anything but its own tables is refused, with its line.
 * Method: one statement each, in a section for an event (line 4) or among the tables (line 3). */
TEST(what_may_not_be_touched)
{
    static const struct {
        const char *sql, *message;
        bool table;
    } CASES[] = {
        {"ATTACH 'other.db' AS o", "cannot stand", false},
        {"PRAGMA writable_schema = ON", "cannot stand", false},
        {"VACUUM INTO 'copy.db'", "cannot stand", false},
        {"BEGIN", "cannot stand", false},
        {"EXPLAIN INSERT INTO t VALUES (1, 2)", "cannot stand", false},
        {"ATTACH 'other.db' AS o", "only CREATE", true},
        {"DROP TABLE t", "only CREATE", true},
        {"PRAGMA journal_mode = OFF", "only CREATE", true},
        {"INSERT INTO sqlite_master VALUES (1, 2, 3, 4, 5)", "only CREATE", true},
        {"CREATE TEMP TABLE x (a)", "temporary", true},
        {"CREATE TEMPORARY VIEW x AS SELECT 1", "temporary", true},
        {"CREATE TABLE x AS SELECT * FROM sqlite_master", "declared", true},
        {"CREATE TABLE main.x AS SELECT 1", "declared", true},
        {"CREATE TABLE _cairn_x (a)", "are taken", true},
        {"CREATE TABLE sqlite_x (a)", "reserved", true},
        {"CREATE VIRTUAL TABLE x USING fts3(a)", "no virtual table of the kind", true},
        {"CREATE VIRTUAL TABLE x USING rtree(a, b, c)", "no virtual table of the kind", true},
        {"CREATE VIRTUAL TABLE x USING dbstat", "no virtual table of the kind", true},
        {"CREATE VIRTUAL TABLE x USING fts5vocab(f, 'row')", "no virtual table of the kind", true},
        {"CREATE TRIGGER x AFTER UPDATE ON _cairn_checkpoint BEGIN SELECT 1; END", "may not watch", true},
        {"CREATE INDEX x ON _cairn_checkpoint (position)", "may not watch", true},
        {"CREATE TABLE x (a REFERENCES t DEFERRABLE INITIALLY DEFERRED)", "deferred", true},
        {"CREATE VIEW x AS SELECT * FROM sqlite_master", "may not read \"sqlite_master\"", true},
        {"CREATE VIEW x AS SELECT random()", "random", true},
        {"CREATE TABLE x (a DEFAULT (randomblob(8)))", "not allowed", true},
        {"CREATE TABLE x (a DEFAULT (\"Random\" ()))", "not allowed", true},
        {"UPDATE _cairn_checkpoint SET position = 0", "may not write \"_cairn_checkpoint\"", false},
        {"INSERT INTO t SELECT position, 1 FROM _cairn_fault", "may not read \"_cairn_fault\"", false},
        {"INSERT INTO t SELECT count(*), 1 FROM _cairn_fault", "may not read \"_cairn_fault\"", false},
        {"INSERT INTO t SELECT sql, 1 FROM sqlite_master", "may not read \"sqlite_master\"", false},
        {"INSERT INTO t SELECT sql, 1 FROM sqlite_schema", "may not read \"sqlite_", false},
        {"UPDATE sqlite_master SET sql = ''", "sqlite_master", false},
        {"DELETE FROM sqlite_sequence", "no such table", false},
        {"INSERT INTO t SELECT name, 1 FROM pragma_database_list", "may not", false},
        {"INSERT INTO t SELECT count(*), 1 FROM pragma_table_list", "may not", false},
        {"INSERT INTO t SELECT name, 1 FROM dbstat", "may not", false},
        {"INSERT INTO t SELECT sql, 1 FROM sqlite_stmt", "may not", false},
        {"INSERT INTO t VALUES (random(), 1)", "random", false},
        {"INSERT INTO t VALUES (hex(randomblob(4)), 1)", "randomblob", false},
        {"INSERT INTO t VALUES (1, changes())", "changes", false},
        {"INSERT INTO t VALUES (1, total_changes())", "total_changes", false},
        {"INSERT INTO t VALUES (sqlite_version(), 1)", "sqlite_version", false},
        {"INSERT INTO t VALUES (json_patch(:data, '{}'), 1)", "json_patch", false},
        {"INSERT INTO t VALUES (load_extension('x.so'), 1)", "load_extension", false},
        {"INSERT INTO t VALUES (fts3_tokenizer('simple'), 1)", "fts3_tokenizer", false},
        {"INSERT INTO t VALUES (datetime(:time, 'localtime'), 1)", "time zone", false},
        {"INSERT INTO t VALUES (datetime(:time, 'UTC'), 1)", "time zone", false},
        {"INSERT INTO t VALUES (\"text\", 1)", "no such column", false},
        {"INSERT INTO other.t VALUES (1, 2)", "other", false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char text[1024];
        snprintf(text, sizeof text, CASES[i].table
                 ? "-- table\nCREATE TABLE t (id TEXT, n INTEGER);\n%s;\n-- on A\nDELETE FROM t;\n"
                 : "-- table\nCREATE TABLE t (id TEXT, n INTEGER);\n-- on A\n%s;\n", CASES[i].sql);
        refused(CASES[i].sql, text, CASES[i].table ? 3 : 4, CASES[i].message);
    }
}

/* Goal: a trigger does not get round the guard: it is looked at with the statement that fires it. */
TEST(triggers_are_guarded)
{
    refused("trigger", "-- table\nCREATE TABLE t (id);\nCREATE TRIGGER x AFTER INSERT ON t BEGIN\n"
            " UPDATE _cairn_checkpoint SET position = 9; END;\n-- on A\nINSERT INTO t VALUES (1);\n", 6,
            "may not write \"_cairn_checkpoint\"");
    refused("trigger", "-- table\nCREATE TABLE t (id);\nCREATE TRIGGER x AFTER INSERT ON t BEGIN\n"
            " DELETE FROM t WHERE id = random(); END;\n-- on A\nINSERT INTO t VALUES (1);\n", 4, "random");
}

static void
repeat(struct buf *to, const char *text, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        buf_put_str(to, cairn_cstr(text));
}

/* Goal: what is too large is refused before SQLite chokes on it. */
TEST(bounds)
{
    struct buf text = {0};
    repeat(&text, "-- table\nCREATE TABLE t (id);\n-- on A\n", 1);
    repeat(&text, "DELETE FROM t;\n", 600);
    buf_put_char(&text, '\0');
    refused("statements", text.data, 504, "more than 500 statements");

    buf_clear(&text);
    repeat(&text, "-- table\nCREATE TABLE t (id);\n-- on A\nINSERT INTO t VALUES (", 1);
    for (int i = 0; i < 250; i++)
        buf_printf(&text, "%s:data.m%d", i > 0 ? " + " : "", i);
    repeat(&text, ");\n", 1);
    buf_put_char(&text, '\0');
    refused("parameters", text.data, 4, "more than 200 parameters");

    buf_clear(&text);
    repeat(&text, "-- table\nCREATE TABLE t (id);\n-- on A\nINSERT INTO t VALUES (", 1);
    repeat(&text, "(", 2000);
    repeat(&text, "1", 1);
    repeat(&text, ")", 2000);
    repeat(&text, ");\n", 1);
    buf_put_char(&text, '\0');
    refused("depth", text.data, 4, "");

    buf_clear(&text);
    repeat(&text, "-- table\nCREATE TABLE t (id);\n-- on A\nINSERT INTO t VALUES ('", 1);
    repeat(&text, "0123456789abcdef", 20000);
    repeat(&text, "');\n", 1);
    buf_put_char(&text, '\0');
    refused("length", text.data, 4, "bytes");

    buf_clear(&text);
    repeat(&text, "-- table\nCREATE TABLE t (", 1);
    for (int i = 0; i < 300; i++)
        buf_printf(&text, "%sc%d", i > 0 ? ", " : "", i);
    repeat(&text, ");\n-- on A\nDELETE FROM t;\n", 1);
    buf_put_char(&text, '\0');
    refused("columns", text.data, 2, "too many columns");

    /* Each doubles the one before: a billion parts if SQLite began. */
    buf_clear(&text);
    repeat(&text, "-- table\nCREATE TABLE t (id);\nCREATE VIEW v0 AS SELECT id FROM t;\n", 1);
    for (int i = 1; i <= 30; i++)
        buf_printf(&text, "CREATE VIEW v%d AS SELECT a.id FROM v%d a, v%d b;\n", i, i - 1, i - 1);
    repeat(&text, "-- on A\nINSERT INTO t SELECT id FROM v30;\n", 1);
    buf_put_char(&text, '\0');
    refused("views", text.data, 0, "unfolded");

    buf_clear(&text);
    repeat(&text, "-- table\nCREATE TABLE t (id);\n-- on A\nWITH w0 AS (SELECT 1 AS id)", 1);
    for (int i = 1; i <= 30; i++)
        buf_printf(&text, ", w%d(id) AS NOT MATERIALIZED (SELECT a.id FROM w%d a, w%d b)", i, i - 1, i - 1);
    repeat(&text, " INSERT INTO t SELECT id FROM w30;\n", 1);
    buf_put_char(&text, '\0');
    refused("with", text.data, 4, "unfolded");
    buf_free(&text);
}

/* Goal: what only running shows stops the projection at that event, and others go on.
 * Method: an event for each; afterwards the state before is intact. */
TEST(stopped_at_the_event)
{
    static const struct {
        const char *sql, *error;
    } CASES[] = {
        {"INSERT INTO t WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n, n FROM r", "steps"},
        {"INSERT INTO t VALUES (1, length(hex(zeroblob(1000000000))))", "too big"},
        {"INSERT INTO t VALUES (1, replace(hex(zeroblob(1000000)), '0', '0123456789abcdef'))", "too big"},
        {"INSERT OR ROLLBACK INTO u VALUES (1)", "UNIQUE"},
        {"INSERT INTO u VALUES (NULL)", "NOT NULL"},
        {"INSERT INTO v VALUES (5)", "not like this"},
        {"INSERT INTO w VALUES (99)", "FOREIGN KEY"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct rig rig;
        struct buf status = {0};
        char text[2048], value[512];
        snprintf(text, sizeof text,
                 "-- table\nCREATE TABLE t (id, n);\nCREATE TABLE u (id INTEGER NOT NULL UNIQUE);\nCREATE TABLE v (id);\n"
                 "CREATE TABLE w (id REFERENCES u (id));\n"
                 "CREATE TRIGGER no BEFORE INSERT ON v BEGIN SELECT raise(ROLLBACK, 'not like this'); END;\n"
                 "-- on Good\nINSERT INTO t VALUES (:position, :data.n);\nINSERT OR IGNORE INTO u VALUES (1);\n"
                 "-- on Bad\nINSERT INTO t VALUES ('bad', 1);\n%s;\n", CASES[i].sql);
        rig_open(&rig, text);
        rig_append(&rig, "a-1", "Good", "{\"n\":1}");
        rig_append(&rig, "a-1", "Good", "{\"n\":2}");
        rig_append(&rig, "a-1", "Bad", "{}");
        rig_append(&rig, "a-1", "Good", "{\"n\":3}");
        rig_start(&rig);
        rig_until(&rig, "\"state\":\"stopped\"");
        rig_status(&rig, &status);
        if (strstr(status.data, CASES[i].error) == NULL)
            fail_msg("%s: %s", CASES[i].sql, status.data);
        CHECK(strstr(status.data, "\"position\":2,\"stream\":\"a-1\",\"type\":\"Bad\"") != NULL);
        rig_value(&rig, "SELECT count(*), sum(n) FROM t", value);
        CHECK_STR(value, "2|3");
        CHECK_OK(runner_do(rig.runner, CAIRN_PROJECTION_SKIP, NULL));
        rig_wait(&rig);
        rig_value(&rig, "SELECT count(*), sum(n) FROM t", value);
        CHECK_STR(value, "3|6");
        buf_free(&status);
        rig_close(&rig);
    }
}

/* Goal: functions whose work SQLite makes the product of their arguments' sizes end in time, with SQLite's results: no count of
 * steps would ever stop them. Method: arguments of megabytes, which SQLite itself would compare for hours. */
TEST(functions_end)
{
    struct rig rig;
    char value[512];
    rig_open(&rig, "-- table\nCREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c, d, e);\n"
             "CREATE INDEX i ON t (instr(a, '1'));\nCREATE TRIGGER x AFTER INSERT ON t BEGIN\n"
             " UPDATE t SET e = instr(hex(zeroblob(2000000)), hex(zeroblob(1000000)) || '1') WHERE id = new.id; END;\n"
             "-- on Made\nINSERT INTO t (id, a, b, c, d) VALUES (:position,\n"
             " instr(hex(zeroblob(2000000)), hex(zeroblob(1000000)) || '1'),\n"
             " length(replace(hex(zeroblob(2000000)), hex(zeroblob(1000000)) || '1', 'x')),\n"
             " length(rtrim(hex(zeroblob(2000000)), '0')), replace(:data.text, 'ä', 'ae') || instr(:data.text, 'l') || trim('  x '));\n");
    for (int i = 0; i < 3; i++)
        rig_append(&rig, "a-1", "Made", "{\"text\":\"Bär lala\"}");
    rig_start(&rig);
    rig_wait(&rig);
    rig_value(&rig, "SELECT count(*), a, b, c, d, e FROM t", value);
    CHECK_STR(value, "3|0|4000000|0|\"Baer lala5x\"|0");
    rig_close(&rig);
}

/* Goal: the clock of a projection is its events', wherever SQLite asks for it. */
TEST(now_is_the_events_time)
{
    struct rig rig;
    char value[512];
    rig_open(&rig, "-- table\nCREATE TABLE t (id INTEGER PRIMARY KEY, made TEXT DEFAULT CURRENT_TIMESTAMP, a, b, c, time);\n"
             "-- on Made\nINSERT INTO t (id, a, b, c, time) VALUES (:position, strftime('%Y-%m-%d %H:%M:%f', 'now'),"
             " CURRENT_DATE || ' ' || CURRENT_TIME, unixepoch(), :time);\n");
    for (int i = 0; i < 20; i++)
        rig_append(&rig, "a-1", "Made", "{}");
    rig_start(&rig);
    rig_wait(&rig);
    rig_value(&rig, "SELECT count(*) FROM t WHERE replace(substr(time, 1, 23), 'T', ' ') = a AND substr(a, 1, 19) = made"
                    " AND made = b AND strftime('%s', time) = CAST(c AS TEXT)", value);
    CHECK_STR(value, "20");
    struct buf first = {0}, again = {0};
    rig_dump(&rig, &first);
    rig_dump_fresh(&rig, &again);
    CHECK_STR(first.data, again.data);
    buf_free(&first);
    buf_free(&again);
    rig_close(&rig);
    sql_time_set(INT64_C(-62135596800000000)); /* year 1, before the epoch */
    sqlite3 *db;
    sqlite3_stmt *read;
    CHECK_OK(sql_open(NULL, SQL_SCRATCH, &db, NULL));
    CHECK_INT(sqlite3_prepare_v2(db, "SELECT datetime('now')", -1, &read, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_step(read), SQLITE_ROW);
    CHECK_STR((const char *)sqlite3_column_text(read, 0), "0001-01-01 00:00:00");
    sqlite3_finalize(read);
    sql_close(db);
    sql_time_set(0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(what_may_not_be_touched), RUN(triggers_are_guarded), RUN(bounds),
                                       RUN(stopped_at_the_event), RUN(functions_end), RUN(now_is_the_events_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

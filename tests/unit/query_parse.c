/* Query files: header lines, the SELECT, what a scratch database says, faults with line and hint. */
#include "query_rig.h"

static struct projection task = {
    .name = "board",
    .ddl = "CREATE TABLE task (id INTEGER PRIMARY KEY, title TEXT NOT NULL, status TEXT, due TEXT, points REAL, tags TEXT, done BOOLEAN);\n"
           "CREATE INDEX by_status ON task (status, due);\n"
           "CREATE VIEW open_task AS SELECT * FROM task WHERE status = 'open';",
    .tables = {"task", "open_task"},
};
static struct projection person = {
    .name = "people",
    .ddl = "CREATE TABLE person (name TEXT PRIMARY KEY, email TEXT) WITHOUT ROWID; CREATE INDEX by_status ON person (email);",
    .tables = {"person"},
};
static struct projection words = {
    .name = "words",
    .ddl = "CREATE VIRTUAL TABLE finding USING fts5(id UNINDEXED, body); CREATE TABLE internal (a);",
    .tables = {"finding"},
};
static struct projection again = {.name = "again", .ddl = "CREATE TABLE person (x)", .tables = {"person"}};
static struct projection *const ALL[] = {&task, &person, &words};

static struct query *
parse(const char *text)
{
    return rig_parse(text, ALL, 3);
}

static void
check_described(const struct query *query, const char *expected)
{
    struct buf to = {0};
    struct json value;
    query_describe(query, &to);
    CHECK_OK(json_check(buf_str(&to), &value, NULL));
    buf_put_char(&to, 0);
    CHECK_STR(to.data, expected);
    buf_free(&to);
}

TEST(everything_that_a_header_says)
{
    struct query *query = parse("-- Tasks of a status,\n"
                                "-- newest due first.\n"
                                "\n"
                                "-- another comment\n"
                                "-- param status text = 'it''s open'\n"
                                "-- param least real ?\n"
                                "-- param n integer\n"
                                "-- param flag boolean = true\n"
                                "-- param extra json = '{\"a\":[1]}'\n"
                                "-- filter due, title, points\n"
                                "-- sort due desc, title\n"
                                "-- sort points\n"
                                "-- key id\n"
                                "-- json tags\n"
                                "-- boolean done\n"
                                "-- limit 20 max 40\n"
                                "-- timeout 2s\n"
                                "-- permission tasks.read\n"
                                "SELECT id, title, due, points, tags, done, count(*) OVER () AS n -- how many\n"
                                "FROM task WHERE status = :status AND (:least IS NULL OR points > :least)\n"
                                "  AND :n AND :flag AND :extra <> ':nothing';\n");
    CHECK_STR(rig_faults, "");
    check_described(query,
                    "{\"name\":\"q\",\"description\":\"Tasks of a status, newest due first.\",\"params\":["
                    "{\"name\":\"status\",\"type\":\"text\",\"required\":false,\"default\":\"it's open\"},"
                    "{\"name\":\"least\",\"type\":\"real\",\"required\":false},"
                    "{\"name\":\"n\",\"type\":\"integer\",\"required\":true},"
                    "{\"name\":\"flag\",\"type\":\"boolean\",\"required\":false,\"default\":true},"
                    "{\"name\":\"extra\",\"type\":\"json\",\"required\":false,\"default\":{\"a\":[1]}}],\"filters\":["
                    "{\"name\":\"title\",\"type\":\"text\",\"operators\":[\"eq\",\"ne\",\"lt\",\"le\",\"gt\",\"ge\",\"in\",\"prefix\"]},"
                    "{\"name\":\"due\",\"type\":\"text\",\"operators\":[\"eq\",\"ne\",\"lt\",\"le\",\"gt\",\"ge\",\"in\",\"prefix\"]},"
                    "{\"name\":\"points\",\"type\":\"real\",\"operators\":[\"eq\",\"ne\",\"lt\",\"le\",\"gt\",\"ge\",\"in\"]}],"
                    "\"sorts\":[\"id\",\"title\",\"due\",\"points\"],\"sort\":\"-due,title,id\",\"key\":[\"id\"],\"columns\":["
                    "{\"name\":\"id\",\"type\":\"integer\"},{\"name\":\"title\",\"type\":\"text\"},{\"name\":\"due\",\"type\":\"text\"},"
                    "{\"name\":\"points\",\"type\":\"real\"},{\"name\":\"tags\",\"type\":\"json\"},{\"name\":\"done\",\"type\":\"boolean\"},"
                    "{\"name\":\"n\",\"type\":\"any\"}],\"limit\":20,\"limit_max\":40,\"timeout_ms\":2000,\"one\":false,"
                    "\"permission\":\"tasks.read\",\"projections\":[\"board\"]}");
    query_free(query);
}

TEST(defaults_when_nothing_is_said)
{
    struct query *query = parse("SELECT 1 AS one");
    check_described(query, "{\"name\":\"q\",\"description\":\"\",\"params\":[],\"filters\":[],\"sorts\":[],\"sort\":null,"
                           "\"key\":[],\"columns\":[{\"name\":\"one\",\"type\":\"any\"}],\"limit\":50,\"limit_max\":1000,"
                           "\"timeout_ms\":5000,\"one\":false,\"permission\":null,\"projections\":[]}");
    CHECK(query_permission(query).size == 0);
    query_free(query);
}

/* Goal: the projections that a query reads are found whatever way it reads them.
 * Method: tables by name, by view, in a subquery, in a WITH, by counting only, by full-text search. */
TEST(projections_are_those_whose_tables_are_read)
{
    static const struct {
        const char *sql, *projections;
    } CASES[] = {
        {"SELECT id FROM task", "board"},
        {"SELECT id FROM open_task", "board"},
        {"SELECT count(*) AS n FROM task", "board"},
        {"SELECT TITLE FROM Task", "board"},
        {"SELECT 1 AS a WHERE EXISTS (SELECT 1 FROM person)", "people"},
        {"SELECT name, title FROM task JOIN person ON status = name", "board people"},
        {"WITH p AS (SELECT name FROM person) SELECT count(*) AS n FROM p, task", "board people"},
        {"SELECT id, rank, snippet(finding, 1, '<', '>', '…', 8) AS text FROM finding WHERE finding MATCH 'a'", "words"},
        {"SELECT value FROM json_each('[1,2]')", ""},
        {"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n", ""},
        {"/* first */ SELECT id FROM task /* ) */ WHERE title = ');--' ;;  -- end", "board"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct query *query = parse(CASES[i].sql);
        char names[100] = "";
        cairn_str name;
        for (size_t k = 0; query_projection(query, k, &name); k++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%.*s", k ? " " : "", (int)name.size, name.data);
        CHECK_STR(names, CASES[i].projections);
        query_free(query);
    }
}

/* Goal: what is wrong is said with its line, in words, with a hint. Each case's fault begins as shown. */
TEST(faults_have_line_message_and_hint)
{
    static const struct {
        const char *text, *fault;
    } CASES[] = {
        {"", "q.sql:1: there is no SELECT"},
        {"-- only\n-- one\n", "there is no SELECT"},
        {"SELECT id FROM task;\nSELECT 2", "q.sql:2: a query is one statement"},
        {"\nDELETE FROM task", "q.sql:2: a query cannot begin with DELETE (a query reads"},
        {"WITH a AS (SELECT 1) DELETE FROM task", "q.sql:1: a query reads the tables of projections and does nothing else"},
        {"WITH a AS (SELECT 1) INSERT INTO task (id) VALUES (1) RETURNING id", "does nothing else"},
        {"SELECT id\nFROM tsak", "q.sql:2: no such table: tsak (did you mean task?)"},
        {"SELECT id,\n titel FROM task", "q.sql:2: no such column: titel"},
        {"SELECT id FROM task WHERE status = \"open\"", "(text stands between single quotes"},
        {"SELECT id FROM task WHERE", "q.sql:1: incomplete input"},
        {"SELECT id FROM task WHERE id = :di\n", "parameter :di is not declared (declare it: -- param di text)"},
        {"-- param status text\nSELECT id FROM task WHERE status = :stauts", "q.sql:2: parameter :stauts is not declared (did you mean :status?)"},
        {"SELECT id FROM task WHERE id = ?", "parameters have names; \"?\" does not fit"},
        {"SELECT id FROM task WHERE id = @id", "\"@id\" does not fit"},
        {"-- param limit integer\nSELECT :limit AS a", "\"limit\" is a parameter that every query has already"},
        {"-- param a number\nSELECT :a AS a", "parameter \"a\": \"number\" is no type (write: -- param"},
        {"-- param a\nSELECT :a AS a", "is no type"},
        {"-- param 1a text\nSELECT 1 AS a", "\"1a\" is no name of a parameter"},
        {"-- param a text = open\nSELECT :a AS a", "the default is not (text stands between single quotes"},
        {"-- param a text = 'o'pen'\nSELECT :a AS a", "the default is not"},
        {"-- param a integer = 1.5\nSELECT :a AS a", "parameter \"a\" takes a whole number; the default is not"},
        {"-- param a json = '{'\nSELECT :a AS a", "takes JSON; the default is not"},
        {"-- param a text\n-- param a text\nSELECT :a AS a", "q.sql:2: parameter \"a\" is declared twice"},
        {"-- filter stats\nSELECT id, status FROM task", "q.sql:1: there is no output column \"stats\" (did you mean \"status\"?)"},
        {"-- filter n\nSELECT count(*) AS n FROM task", "(say its type: -- filter n integer"},
        {"-- filter n whole\nSELECT count(*) AS n FROM task", "\"whole\" is no type"},
        {"-- param id text\n-- filter id\nSELECT id FROM task WHERE title = :id", "\"id\" is a parameter and a filter"},
        {"-- filter sort\nSELECT title AS sort FROM task", "\"sort\" is a parameter that every query has already"},
        {"-- sort due\nSELECT id, due FROM task", "q.sql:1: a sort needs a key"},
        {"-- key id\n-- sort due, due desc\nSELECT id, due FROM task", "\"due\" is sorted by twice"},
        {"-- key id title\nSELECT id, title FROM task", "\"title\" does not belong here (put commas"},
        {"-- filter\nSELECT id FROM task", "the names of output columns are missing"},
        {"-- limit many\nSELECT id FROM task", "the limit is not understood (write, once: -- limit 50"},
        {"-- limit 50 max 20\nSELECT id FROM task", "the limit is not understood"},
        {"-- limit 0\nSELECT id FROM task", "the limit is not understood"},
        {"-- timeout 2\nSELECT id FROM task", "the timeout is not understood"},
        {"-- timeout 2h\nSELECT id FROM task", "the timeout is not understood"},
        {"-- permission a b\nSELECT id FROM task", "the permission is not understood"},
        {"SELECT id, title AS id FROM task", "two output columns are called \"id\""},
        {"SELECT id FROM task WHERE title = 'x", "q.sql:1: here begins what does not end"},
        {"SELECT id FROM task /* x", "here begins what does not end"},
        {"SELECT * FROM internal", "\"internal\" is no table of a projection"},
        {"SELECT name FROM sqlite_schema", "\"sqlite_master\" is no table of a projection"},
        {"SELECT count(*) AS n FROM sqlite_schema", "is no table of a projection"},
        {"SELECT count(*) AS n FROM pragma_database_list", "does nothing else"},
        {"SELECT * FROM dbstat", "no such table: dbstat"},
        {"SELECT load_extension('x') AS a", "load_extension() may not be used"},
        {"SELECT id FROM task) UNION SELECT (1", "near \")\""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct query *query = rig_try(CASES[i].text, ALL, 3);
        if (query != NULL || !strstr(rig_faults, CASES[i].fault))
            fail_msg("%s\nwanted: %s\ngot: %s", CASES[i].text, CASES[i].fault, rig_faults);
    }
}

TEST(all_faults_of_a_header_at_once)
{
    CHECK(rig_try("-- param a nothing\n-- limit x\n-- timeout y\nSELECT id FROM task WHERE id = :b", ALL, 3) == NULL);
    CHECK(strstr(rig_faults, "q.sql:1: ") && strstr(rig_faults, "q.sql:2: ") && strstr(rig_faults, "q.sql:3: ")
          && strstr(rig_faults, "q.sql:4: "));
}

TEST(warnings_do_not_refuse)
{
    static const struct {
        const char *text, *warning;
    } CASES[] = {
        {"-- param a text\nSELECT id FROM task", "q.sql:1: warning: parameter :a is not used"},
        {"-- filtr id\nSELECT id FROM task", "q.sql:1: warning: \"filtr\" is no setting: the line is a comment (did you mean `-- filter`?)"},
        {"SELECT count(*) FROM task", "output column 1 is called \"count(*)\" (give it a name"},
        {"-- key id\nSELECT id FROM task\nORDER BY due", "q.sql:3: warning: with a key the rows are sorted by"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct query *query = rig_try(CASES[i].text, ALL, 3);
        if (query == NULL || !strstr(rig_faults, CASES[i].warning))
            fail_msg("%s\nwanted: %s\ngot: %s", CASES[i].text, CASES[i].warning, rig_faults);
        query_free(query);
    }
}

TEST(a_table_of_two_projections_is_a_fault_where_it_is_read)
{
    struct projection *const both[] = {&task, &person, &again};
    CHECK(rig_try("SELECT name FROM person", both, 3) == NULL);
    CHECK(strstr(rig_faults, "the table person is in projection people and in again"));
    query_free(rig_parse("SELECT id FROM task", both, 3));
}

TEST(names_come_from_the_file)
{
    static const char *const BAD[] = {"queries/.sql", "queries/a-b.sql", "queries/1.sql", "queries/a", ""};
    struct query *query;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        rig_faults[0] = 0;
        CHECK_INT(query_parse(cairn_cstr(BAD[i]), CAIRN_STR("SELECT 1 AS a"), ALL, 3, rig_visit, NULL, &query, NULL), CAIRN_E_INVALID);
        CHECK(strstr(rig_faults, "gives no name of a query"));
    }
    CHECK_OK(query_parse(CAIRN_STR("x/y/Open_2.sql"), CAIRN_STR("SELECT 1 AS a"), ALL, 3, NULL, NULL, &query, NULL));
    CHECK(cairn_str_equal(query_name(query), CAIRN_STR("Open_2")));
    query_free(query);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(everything_that_a_header_says),
        RUN(defaults_when_nothing_is_said),
        RUN(projections_are_those_whose_tables_are_read),
        RUN(faults_have_line_message_and_hint),
        RUN(all_faults_of_a_header_at_once),
        RUN(warnings_do_not_refuse),
        RUN(a_table_of_two_projections_is_a_fault_where_it_is_read),
        RUN(names_come_from_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

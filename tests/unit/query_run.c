/* Queries at work: types, filters, sort, pages, full-text search, several read models, generations that come and go. */
#include "query_rig.h"

#include <base/text.h>
#include <dirent.h>
#include <math.h>

static struct projection task = {
    .name = "board",
    .ddl = "CREATE TABLE task (id INTEGER PRIMARY KEY, title TEXT, status TEXT, due TEXT, points REAL, tags TEXT, done BOOLEAN, body BLOB, n INT);"
           "CREATE INDEX by_status ON task (status, due); CREATE INDEX by_due ON task (due);",
    .tables = {"task"},
};
static struct projection *const TASK[] = {&task};

static void
fill(struct rig *rig)
{
    rig_exec(rig->db, "INSERT INTO task VALUES"
                      "(1, 'Äpfel \"kaufen\"', 'open', '2026-01-05', 0.1, '[\"a\", {\"b\":1}]', 1, x'00ff', 9223372036854775807),"
                      "(2, 'Brot', 'open', NULL, -1e300, 'no json', 0, x'', -9223372036854775808),"
                      "(3, 'Brote', 'done', '2026-01-01', 3.0, NULL, NULL, NULL, 0),"
                      "(4, 'Wein', NULL, '2026-01-05', NULL, '5', 1, NULL, 10)");
}

TEST(every_type_of_value_comes_out_right)
{
    struct rig rig;
    rig_open(&rig, &task);
    fill(&rig);
    struct query *query = rig_parse("-- key id\n-- json tags\n-- boolean done\n"
                                    "SELECT id, title, due, points, tags, done, body, n FROM task", TASK, 1);
    CHECK_ANSWER(&rig, query, NULL,
                 "{\"rows\":["
                 "{\"id\":1,\"title\":\"Äpfel \\\"kaufen\\\"\",\"due\":\"2026-01-05\",\"points\":0.1,\"tags\":[\"a\", {\"b\":1}],"
                 "\"done\":true,\"body\":\"AP8=\",\"n\":9223372036854775807},"
                 "{\"id\":2,\"title\":\"Brot\",\"due\":null,\"points\":-1e+300,\"tags\":\"no json\",\"done\":false,\"body\":\"\","
                 "\"n\":-9223372036854775808},"
                 "{\"id\":3,\"title\":\"Brote\",\"due\":\"2026-01-01\",\"points\":3,\"tags\":null,\"done\":null,\"body\":null,\"n\":0},"
                 "{\"id\":4,\"title\":\"Wein\",\"due\":\"2026-01-05\",\"points\":null,\"tags\":5,\"done\":true,\"body\":null,\"n\":10}"
                 "],\"next\":null,\"position\":7}");
    query_free(query);
    rig_close(&rig);
}

TEST(parameters_are_read_by_their_types)
{
    struct rig rig;
    rig_open(&rig, &task);
    struct query *query = rig_parse("-- param t text\n-- param i integer?\n-- param r real = 1.5\n-- param b boolean?\n-- param j json?\n"
                                    "-- one\nSELECT :t AS t, :i AS i, :r AS r, :b AS b, :j AS j, typeof(:t) || typeof(:i) || typeof(:r) AS types",
                                    TASK, 1);
    CHECK_ANSWER(&rig, query, PARAMS("t="),
                 "{\"row\":{\"t\":\"\",\"i\":null,\"r\":1.5,\"b\":null,\"j\":null,\"types\":\"textnullreal\"},\"position\":7}");
    CHECK_ANSWER(&rig, query, PARAMS("j={\"a\": 1}", "b=true", "r=2", "i=-7", "t=5"),
                 "{\"row\":{\"t\":\"5\",\"i\":-7,\"r\":2,\"b\":1,\"j\":\"{\\\"a\\\": 1}\",\"types\":\"textintegerreal\"},\"position\":7}");
    CHECK_REFUSED(&rig, query, NULL, CAIRN_E_INVALID, "parameter \"t\" is missing: it takes text");
    CHECK_REFUSED(&rig, query, PARAMS("t=a", "i=1.5"), CAIRN_E_INVALID, "parameter \"i\" takes a whole number; \"1.5\" is not");
    CHECK_REFUSED(&rig, query, PARAMS("t=a", "i=9223372036854775808"), CAIRN_E_INVALID, "a whole number");
    CHECK_REFUSED(&rig, query, PARAMS("t=a", "r=nan"), CAIRN_E_INVALID, "parameter \"r\" takes a number; \"nan\" is not");
    CHECK_REFUSED(&rig, query, PARAMS("t=a", "r=0x1"), CAIRN_E_INVALID, "takes a number");
    CHECK_REFUSED(&rig, query, PARAMS("t=a", "b=yes"), CAIRN_E_INVALID, "takes true or false");
    CHECK_REFUSED(&rig, query, PARAMS("t=a", "j={"), CAIRN_E_INVALID, "takes JSON");
    CHECK_REFUSED(&rig, query, PARAMS("t=\xff"), CAIRN_E_INVALID, "takes text (UTF-8");
    CHECK_REFUSED(&rig, query, PARAMS("t=a", "t=b"), CAIRN_E_INVALID, "parameter \"t\" is given twice");
    CHECK_REFUSED(&rig, query, PARAMS("t=a", "tt=b"), CAIRN_E_INVALID, "query \"q\" has no parameter \"tt\"; did you mean \"t\"?");
    CHECK_REFUSED(&rig, query, PARAMS("t=a", "unheard=b"), CAIRN_E_INVALID, "query \"q\" has no parameter \"unheard\"");
    CHECK_REFUSED(&rig, query, PARAMS("t=a", "=b"), CAIRN_E_INVALID, "has no parameter \"\"");
    query_free(query);
    rig_close(&rig);
}

/* The ids of an answer, as text. */
static const char *
ids(const struct rig *rig)
{
    static char list[4096];
    struct json value, row;
    size_t size = 0;
    list[0] = 0;
    CHECK_OK(json_check(buf_str(&rig->to), &value, NULL));
    struct json_walk walk = json_walk(json_get(value, "rows"));
    while (json_next(&walk, &(struct json){0}, &row)) {
        struct json id = json_get(row, "id");
        size += (size_t)snprintf(list + size, sizeof list - size, "%s%.*s", size ? " " : "", (int)id.raw.size, id.raw.data);
    }
    return list;
}

#define CHECK_IDS(rig, query, params, expected)                                                                       \
    do {                                                                                                              \
        cairn_err err_ = rig_call(rig, query, (struct query_call){0}, params);                                        \
        if (err_ != CAIRN_OK)                                                                                         \
            fail_msg("%s: %s", cairn_err_name(err_), (rig)->error.detail);                                            \
        assert_string_equal(ids(rig), expected);                                                                      \
    } while (0)

TEST(filters_narrow)
{
    struct rig rig;
    rig_open(&rig, &task);
    fill(&rig);
    struct query *query = rig_parse("-- key id\n-- boolean done\n-- filter title, status, due, points, done, n\n-- filter size integer\n"
                                    "SELECT *, length(title) AS size FROM task", TASK, 1);
    CHECK_IDS(&rig, query, PARAMS("status=open"), "1 2");
    CHECK_IDS(&rig, query, PARAMS("status.ne=open"), "3 4");
    CHECK_IDS(&rig, query, PARAMS("status.in=open,done"), "1 2 3");
    CHECK_IDS(&rig, query, PARAMS("status.in=done"), "3");
    CHECK_IDS(&rig, query, PARAMS("status.in=a,b,done"), "3");
    CHECK_IDS(&rig, query, PARAMS("title.prefix=Brot"), "2 3");
    CHECK_IDS(&rig, query, PARAMS("title.prefix=Brote"), "3");
    CHECK_IDS(&rig, query, PARAMS("title.prefix=Ä"), "1");
    CHECK_IDS(&rig, query, PARAMS("title.prefix="), "1 2 3 4");
    CHECK_IDS(&rig, query, PARAMS("title.prefix=%"), "");
    CHECK_IDS(&rig, query, PARAMS("due.lt=2026-01-05"), "3");
    CHECK_IDS(&rig, query, PARAMS("due.le=2026-01-05", "due.gt=2026-01-01"), "1 4");
    CHECK_IDS(&rig, query, PARAMS("points.ge=0.1"), "1 3");
    CHECK_IDS(&rig, query, PARAMS("points.eq=3"), "3");
    CHECK_IDS(&rig, query, PARAMS("done=true"), "1 4");
    CHECK_IDS(&rig, query, PARAMS("done=false"), "2");
    CHECK_IDS(&rig, query, PARAMS("n=9223372036854775807"), "1");
    CHECK_IDS(&rig, query, PARAMS("n.in=0,10,9223372036854775807"), "1 3 4");
    CHECK_IDS(&rig, query, PARAMS("size=4"), "2 4");
    CHECK_IDS(&rig, query, PARAMS("title='; DROP TABLE task; --"), "");
    CHECK_REFUSED(&rig, query, PARAMS("n=ten"), CAIRN_E_INVALID, "parameter \"n\" takes a whole number; \"ten\" is not");
    CHECK_REFUSED(&rig, query, PARAMS("n.in=1,"), CAIRN_E_INVALID, "parameter \"n.in\" takes a whole number");
    CHECK_REFUSED(&rig, query, PARAMS("n.prefix=1"), CAIRN_E_INVALID, "only text has a prefix");
    CHECK_REFUSED(&rig, query, PARAMS("n.like=1"), CAIRN_E_INVALID, "has no parameter \"n.like\"");
    CHECK_REFUSED(&rig, query, PARAMS("tags=1"), CAIRN_E_INVALID, "has no parameter \"tags\"");
    query_free(query);
    rig_close(&rig);
}

TEST(sorts_are_those_declared)
{
    struct rig rig;
    rig_open(&rig, &task);
    fill(&rig);
    struct query *query = rig_parse("-- key id\n-- sort due desc, title\n-- sort n\nSELECT id, title, due, n, status FROM task", TASK, 1);
    CHECK_IDS(&rig, query, NULL, "4 1 3 2"); /* 'W' is before 'Ä'; NULL is last when it descends */
    CHECK_IDS(&rig, query, PARAMS("sort=due"), "2 3 1 4");
    CHECK_IDS(&rig, query, PARAMS("sort=-due"), "4 1 3 2"); /* the key goes the same way */
    CHECK_IDS(&rig, query, PARAMS("sort=-due,id"), "1 4 3 2");
    CHECK_IDS(&rig, query, PARAMS("sort=-n"), "1 4 3 2");
    CHECK_IDS(&rig, query, PARAMS("sort=id"), "1 2 3 4");
    CHECK_REFUSED(&rig, query, PARAMS("sort=status"), CAIRN_E_INVALID, "\"status\" is no column to sort by; it takes a list of id, title, due, n");
    CHECK_REFUSED(&rig, query, PARAMS("sort=due,due"), CAIRN_E_INVALID, "\"due\" is named twice");
    CHECK_REFUSED(&rig, query, PARAMS("sort="), CAIRN_E_INVALID, "sort:");
    CHECK_REFUSED(&rig, query, PARAMS("sort=due", "sort=n"), CAIRN_E_INVALID, "parameter \"sort\" is given twice");
    query_free(query);
    rig_close(&rig);
}

TEST(limits_one_and_truncated)
{
    struct rig rig;
    rig_open(&rig, &task);
    fill(&rig);
    struct query *page = rig_parse("-- key id\n-- limit 2 max 3\nSELECT id FROM task", TASK, 1);
    struct query *plain = rig_parse("-- limit 2\nSELECT id FROM task ORDER BY id", TASK, 1);
    struct query *one = rig_parse("-- param id integer\n-- one\nSELECT id FROM task WHERE id = :id", TASK, 1);
    CHECK_IDS(&rig, page, NULL, "1 2");
    CHECK_INT(rig_call(&rig, page, (struct query_call){.limit = 3}, NULL), CAIRN_OK);
    CHECK_STR(ids(&rig), "1 2 3");
    CHECK_INT(rig_call(&rig, page, (struct query_call){.limit = 4}, NULL), CAIRN_E_INVALID);
    CHECK(strstr(rig.error.detail, "at most 3 rows a page"));
    CHECK_ANSWER(&rig, plain, NULL, "{\"rows\":[{\"id\":1},{\"id\":2}],\"next\":null,\"truncated\":true,\"position\":7}");
    CHECK_INT(rig_call(&rig, plain, (struct query_call){.limit = 4}, NULL), CAIRN_OK);
    CHECK(!strstr(rig.to.data, "truncated"));
    CHECK_ANSWER(&rig, one, PARAMS("id=3"), "{\"row\":{\"id\":3},\"position\":7}");
    CHECK_REFUSED(&rig, one, PARAMS("id=5"), CAIRN_E_NOTFOUND, "query \"q\" finds nothing");
    CHECK_INT(rig_call(&rig, one, (struct query_call){.cursor = CAIRN_STR("AAAA")}, PARAMS("id=3")), CAIRN_E_INVALID);
    query_free(page);
    query_free(plain);
    query_free(one);
    rig_close(&rig);
}

/* ---- pages ----------------------------------------------------------------------------------------------------- */

static cairn_str
next_cursor(const struct rig *rig, struct buf *keep)
{
    struct json value;
    CHECK_OK(json_check(buf_str(&rig->to), &value, NULL));
    struct json next = json_get(value, "next");
    buf_clear(keep);
    if (next.type == JSON_STRING)
        buf_put(keep, next.raw.data + 1, next.raw.size - 2);
    return buf_str(keep);
}

static void
walk_pages(struct rig *rig, const struct query *query, const char *const *params, uint32_t limit, struct buf *to)
{
    struct buf cursor = {0};
    for (unsigned page = 0; page < 10000; page++) {
        CHECK_INT(rig_call(rig, query, (struct query_call){.limit = limit, .cursor = buf_str(&cursor)}, params), CAIRN_OK);
        const char *list = ids(rig);
        if (*list && to->size > 0)
            buf_put_char(to, ' ');
        buf_printf(to, "%s", list);
        if (next_cursor(rig, &cursor).size == 0) {
            buf_free(&cursor);
            buf_put_char(to, 0);
            return;
        }
    }
    fail_msg("the pages do not end");
}

/* Goal: all pages together are the whole, sorted, whatever the sort, with ties and NULLs, and every type of value.
 * Method: random rows from few values; random sorts of one to three columns; page sizes 1 to 7; against SQLite's own
 * ORDER BY without a limit. */
TEST(pages_are_the_sorted_whole)
{
    uint64_t seed = test_seed();
    struct rig rig;
    rig_open(&rig, &task);
    static const char *const TITLES[] = {"NULL", "''", "'a'", "'b'", "'b '", "'ä'"};
    static const char *const NUMBERS[] = {"NULL", "0", "1.5", "-1e300", "0.1", "7"};
    static const char *const MIXED[] = {"NULL", "0", "1.5", "'x'", "x'61'", "'1'", "-9223372036854775807"};
    for (unsigned i = 0; i < 120; i++) {
        char sql[300];
        snprintf(sql, sizeof sql, "INSERT INTO task (id, title, points, body, due) VALUES (%u, %s, %s, %s, %s)",
                 (unsigned)(test_random(&seed) % 100000), TITLES[test_random(&seed) % 6], NUMBERS[test_random(&seed) % 6],
                 MIXED[test_random(&seed) % 7], TITLES[test_random(&seed) % 6]);
        sqlite3_exec(rig.db, sql, NULL, NULL, NULL); /* an id may be there already */
    }
    struct query *query = rig_parse("-- key id\n-- sort title, points, body, due, twice\n-- limit 7 max 5000\n"
                                    "SELECT id, title, points, body, due, points * 2 AS twice FROM task", TASK, 1);
    static const char *const COLUMNS[] = {"title", "points", "body", "due", "twice", "id"};
    for (unsigned round = 0; round < 150 * test_scale(); round++) {
        char sort[100] = "sort=";
        unsigned used = 0, count = 1 + (unsigned)(test_random(&seed) % 3);
        for (unsigned i = 0; i < count; i++) {
            unsigned c = (unsigned)(test_random(&seed) % 6);
            if (used >> c & 1)
                continue;
            used |= 1u << c;
            snprintf(sort + strlen(sort), sizeof sort - strlen(sort), "%s%s%s", sort[5] ? "," : "",
                     test_random(&seed) % 2 ? "-" : "", COLUMNS[c]);
        }
        /* The yardstick: SQLite's own order of everything. */
        char order[300] = "SELECT group_concat(id, ' ') FROM (SELECT id, points * 2 AS twice FROM task ORDER BY ";
        bool descending = false;
        for (char *item = strtok(strcpy((char[100]){0}, sort + 5), ","); item; item = strtok(NULL, ",")) {
            descending = *item == '-';
            snprintf(order + strlen(order), sizeof order - strlen(order), "%s%s, ", item + descending, descending ? " DESC" : "");
        }
        snprintf(order + strlen(order), sizeof order - strlen(order), "id%s)", descending ? " DESC" : "");
        sqlite3_stmt *statement;
        CHECK_INT(sqlite3_prepare_v2(rig.db, order, -1, &statement, NULL), SQLITE_OK);
        CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
        struct buf all = {0};
        walk_pages(&rig, query, PARAMS(sort), 1 + (uint32_t)(test_random(&seed) % 7), &all);
        if (strcmp(all.data, (const char *)sqlite3_column_text(statement, 0)) != 0)
            fail_msg("%s\nwanted: %s\ngot:    %s", sort, sqlite3_column_text(statement, 0), all.data);
        sqlite3_finalize(statement);
        buf_free(&all);
    }
    query_free(query);
    rig_close(&rig);
}

/* Goal: rows that come and go between pages never make a row come twice, and what was there all the time comes.
 * Method: between pages insert rows anywhere and delete rows; even ids stay, odd ones come and go. */
TEST(pages_while_rows_come_and_go)
{
    uint64_t seed = test_seed();
    struct rig rig;
    struct buf cursor = {0};
    static const char *const SORTS[] = {"sort=due", "sort=-due", "sort=-due,id", "sort=due,-id", "sort=-id"};
    rig_open(&rig, &task);
    struct query *query = rig_parse("-- key id\n-- sort due\nSELECT id, due FROM task", TASK, 1);
    for (unsigned round = 0; round < 20 * test_scale(); round++) {
        bool seen[1000] = {0};
        rig_exec(rig.db, "DELETE FROM task");
        for (unsigned i = 0; i < 1000; i += 2) {
            char sql[100];
            snprintf(sql, sizeof sql, i % 10 ? "INSERT INTO task (id, due) VALUES (%u, %u)" : "INSERT INTO task (id) VALUES (%u)", i,
                     (unsigned)(test_random(&seed) % 20));
            rig_exec(rig.db, sql);
        }
        buf_clear(&cursor);
        do {
            struct json value, row;
            CHECK_INT(rig_call(&rig, query, (struct query_call){.limit = 1 + (uint32_t)(test_random(&seed) % 90),
                                                                .cursor = buf_str(&cursor)}, PARAMS(SORTS[round % 5])), CAIRN_OK);
            CHECK_OK(json_check(buf_str(&rig.to), &value, NULL));
            struct json_walk walk = json_walk(json_get(value, "rows"));
            while (json_next(&walk, &(struct json){0}, &row)) {
                uint64_t id;
                CHECK(json_u64(json_get(row, "id"), &id) && id < 1000);
                CHECK(!seen[id]);
                seen[id] = true;
            }
            for (unsigned i = 0; i < 10; i++) {
                char sql[100];
                unsigned id = 1 + 2 * (unsigned)(test_random(&seed) % 500);
                if (seen[id])
                    continue; /* a row that moves behind the cursor comes again, and may */
                snprintf(sql, sizeof sql, test_random(&seed) % 3 ? "INSERT OR IGNORE INTO task (id, due) VALUES (%u, %u)"
                                                                 : "DELETE FROM task WHERE id = %u",
                         id, (unsigned)(test_random(&seed) % 20));
                rig_exec(rig.db, sql);
            }
        } while (next_cursor(&rig, &cursor).size > 0);
        for (unsigned i = 0; i < 1000; i += 2)
            CHECK(seen[i]);
    }
    buf_free(&cursor);
    query_free(query);
    rig_close(&rig);
}

/* Goal: a cursor works where it comes from and nowhere else; damage is found, every byte of it. */
TEST(cursors_are_refused_elsewhere)
{
    struct rig rig;
    struct buf cursor = {0};
    rig_open(&rig, &task);
    fill(&rig);
    struct query *query = rig_parse("-- key id\n-- sort due, title\n-- limit 2\nSELECT id, due, title FROM task", TASK, 1);
    struct query *changed = rig_parse("-- key id\n-- sort due, title\n-- limit 2\nSELECT id, due, title FROM task WHERE id", TASK, 1);
    struct query *other;
    CHECK_OK(query_parse(CAIRN_STR("other.sql"), CAIRN_STR("-- key id\n-- sort due, title\nSELECT id, due, title FROM task"), TASK, 1,
                         NULL, NULL, &other, NULL));
    CHECK_INT(rig_call(&rig, query, (struct query_call){0}, PARAMS("sort=-title")), CAIRN_OK);
    CHECK_STR(ids(&rig), "1 4");
    next_cursor(&rig, &cursor);
#define WITH_CURSOR(q, text, params) rig_call(&rig, q, (struct query_call){.cursor = text}, params)
    CHECK_INT(WITH_CURSOR(query, buf_str(&cursor), PARAMS("sort=-title")), CAIRN_OK);
    CHECK_STR(ids(&rig), "3 2");
    CHECK_INT(WITH_CURSOR(query, buf_str(&cursor), NULL), CAIRN_OK); /* it knows its sort */
    CHECK_STR(ids(&rig), "3 2");
    CHECK_INT(WITH_CURSOR(query, buf_str(&cursor), PARAMS("sort=title")), CAIRN_E_INVALID);
    CHECK(strstr(rig.error.detail, "under another sort"));
    CHECK_INT(WITH_CURSOR(changed, buf_str(&cursor), NULL), CAIRN_E_INVALID);
    CHECK(strstr(rig.error.detail, "has been changed since"));
    CHECK_INT(WITH_CURSOR(other, buf_str(&cursor), NULL), CAIRN_E_INVALID);
    CHECK(strstr(rig.error.detail, "belongs to another query"));
    /* The same text over a table that has become another. */
    static struct projection later = {.name = "board", .ddl = "CREATE TABLE task (title TEXT, id INTEGER PRIMARY KEY, due TEXT)", .tables = {"task"}};
    struct projection *const list[] = {&later};
    struct query *before = rig_parse("-- key id\n-- limit 2\nSELECT * FROM task", TASK, 1);
    struct query *after = rig_parse("-- key id\n-- limit 2\nSELECT * FROM task", list, 1);
    struct buf star = {0};
    CHECK_INT(rig_call(&rig, before, (struct query_call){0}, NULL), CAIRN_OK);
    CHECK(next_cursor(&rig, &star).size > 0);
    CHECK_INT(WITH_CURSOR(after, buf_str(&star), NULL), CAIRN_E_INVALID);
    CHECK(strstr(rig.error.detail, "has been changed since"));
    buf_free(&star);
    query_free(before);
    query_free(after);
    for (size_t i = 0; i < cursor.size; i++) {
        cursor.data[i] ^= 1;
        CHECK_INT(WITH_CURSOR(query, buf_str(&cursor), NULL), CAIRN_E_INVALID);
        cursor.data[i] ^= 1;
        if (i > 0) /* none at all is the first page */
            CHECK_INT(WITH_CURSOR(query, ((cairn_str){cursor.data, i}), NULL), CAIRN_E_INVALID);
    }
    buf_free(&cursor);
    query_free(query);
    query_free(changed);
    query_free(other);
    rig_close(&rig);
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* Goal: what callers ask around a query does not keep SQLite from its indexes.
 * Method: EXPLAIN QUERY PLAN of the SQL that runs: searches by index, no sorting, no table made in between. */
#include <app/sql/query_int.h>

static void
check_plan(struct rig *rig, const char *text, struct query_args args, const char *wanted, const char *unwanted)
{
    struct query *query = rig_parse(text, TASK, 1);
    struct buf sql = {0}, plan = {0};
    if (args.sort_count == 0) {
        memcpy(args.sort, query->sort, sizeof args.sort);
        args.sort_count = query->sort_count;
    }
    buf_printf(&sql, "EXPLAIN QUERY PLAN ");
    query_sql(query, &args, &sql);
    buf_put_char(&sql, 0);
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(rig->db, sql.data, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql.data, sqlite3_errmsg(rig->db));
    while (sqlite3_step(statement) == SQLITE_ROW)
        buf_printf(&plan, "%s; ", sqlite3_column_text(statement, 3));
    buf_put_char(&plan, 0);
    if (!strstr(plan.data, wanted) || (unwanted && strstr(plan.data, unwanted)))
        fail_msg("%s\n%s", sql.data, plan.data);
    sqlite3_finalize(statement);
    buf_free(&sql);
    buf_free(&plan);
    query_free(query);
}

TEST(indexes_serve_keys_filters_and_pages)
{
    struct rig rig;
    const struct query_value text = {.kind = SQLITE_TEXT, .text = CAIRN_STR("a")}, null = {.kind = SQLITE_NULL};
    rig_open(&rig, &task);
    fill(&rig);
    check_plan(&rig, "-- param id integer\n-- one\nSELECT id, title FROM task WHERE id = :id", (struct query_args){0},
               "SEARCH task USING INTEGER PRIMARY KEY (rowid=?)", "CO-ROUTINE");
    check_plan(&rig, "-- key id\nSELECT id, title FROM task", (struct query_args){0}, "SCAN task; ", "TEMP B-TREE");
    check_plan(&rig, "-- key id\n-- sort due\nSELECT id, due FROM task", (struct query_args){0}, "USING COVERING INDEX by_due", "TEMP B-TREE");
    check_plan(&rig, "-- key id\n-- sort due desc\nSELECT id, due, title FROM task", (struct query_args){0}, "USING INDEX by_due", "TEMP B-TREE");
    check_plan(&rig, "-- key id\n-- sort due\nSELECT id, due, title FROM task ORDER BY title",
               (struct query_args){.part = PART_AFTER, .after = {text, text}}, "SEARCH task USING INDEX by_due (due>?)", "TEMP B-TREE");
    check_plan(&rig, "-- key id\n-- sort due desc\nSELECT id, due, title FROM task",
               (struct query_args){.part = PART_AFTER, .after = {text, text}}, "SEARCH task USING INDEX by_due (due<?)", "TEMP B-TREE");
    check_plan(&rig, "-- key id\n-- sort due desc\nSELECT id, due, title FROM task",
               (struct query_args){.part = PART_NULLS}, "SEARCH task USING INDEX by_due (due=?)", "TEMP B-TREE");
    check_plan(&rig, "-- key id\n-- sort due desc\nSELECT id, due, title FROM task",
               (struct query_args){.part = PART_AFTER, .after = {null, text}}, "SEARCH task USING INDEX by_due (due=?", "TEMP B-TREE");
    check_plan(&rig, "-- key id\nSELECT id, title FROM task", (struct query_args){.part = PART_AFTER, .after = {text}},
               "SEARCH task USING INTEGER PRIMARY KEY (rowid>?)", "TEMP B-TREE");
    check_plan(&rig, "-- key id\n-- filter status\n-- sort due\nSELECT id, due, status FROM task",
               (struct query_args){.filter_count = 1, .filters = {{.column = 2, .operator = OP_EQ, .count = 1}}},
               "SEARCH task USING COVERING INDEX by_status (status=?)", "TEMP B-TREE");
    check_plan(&rig, "-- key id\n-- filter due\nSELECT id, due FROM task",
               (struct query_args){.filter_count = 1, .filters = {{.column = 1, .operator = OP_PREFIX, .count = 1}}},
               "SEARCH task USING COVERING INDEX by_due (due>? AND due<?)", NULL);
    check_plan(&rig, "-- key id\n-- filter due\nWITH t AS (SELECT * FROM task) SELECT id, due FROM t",
               (struct query_args){.filter_count = 1, .filters = {{.column = 1, .operator = OP_IN, .count = 2}}},
               "SEARCH task USING COVERING INDEX by_due (due=?)", NULL);
    rig_close(&rig);
}

/* ---- full text ----------------------------------------------------------------------------------------------------- */

TEST(full_text_search_and_its_mistakes)
{
    static struct projection words = {
        .name = "words",
        .ddl = "CREATE VIRTUAL TABLE finding USING fts5(id UNINDEXED, body);",
        .tables = {"finding"},
    };
    struct projection *const list[] = {&words};
    struct rig rig;
    rig_open(&rig, &words);
    rig_exec(rig.db, "INSERT INTO finding VALUES ('a', 'the quick brown fox'), ('b', 'a lazy dog, a quick dog'), ('c', 'nothing')");
    struct query *query = rig_parse("-- param words text\n-- key id\n-- sort rank\n-- limit 1\n"
                                    "SELECT id, rank, snippet(finding, 1, '[', ']', '…', 4) AS text FROM finding WHERE finding MATCH :words",
                                    list, 1);
    cairn_err err = rig_call(&rig, query, (struct query_call){.limit = 9}, PARAMS("words=quick"));
    if (err != CAIRN_OK)
        fail_msg("%s", rig.error.detail);
    CHECK(strstr(rig.to.data, "[quick]"));
    struct buf all = {0};
    walk_pages(&rig, query, PARAMS("words=qui* OR nothing"), 1, &all);
    CHECK_INT(strlen(all.data), strlen("\"a\" \"b\" \"c\""));
    buf_free(&all);
    static const char *const BAD[] = {"words=\"", "words=AND", "words=a NEAR(", "words=nocolumn:x", "words=*", "words=(", "words=a AND OR b",
                                      "words=^*", "words='"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        CHECK_REFUSED(&rig, query, PARAMS(BAD[i]), CAIRN_E_INVALID, "parameter \"words\" is no full-text expression: ");
    CHECK_INT(rig_call(&rig, query, (struct query_call){0}, PARAMS("words=quick")), CAIRN_OK); /* unharmed */
    query_free(query);
    rig_close(&rig);
}

/* ---- models ---------------------------------------------------------------------------------------------------------- */

static unsigned
open_files(const char *folder)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300], target[300] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        if (readlink(path, target, sizeof target - 1) > 0 && strncmp(target, folder, strlen(folder)) == 0)
            count++;
    }
    closedir(dir);
    return count;
}

TEST(a_query_over_several_read_models)
{
    static struct projection people = {
        .name = "people",
        .ddl = "CREATE TABLE person (name TEXT PRIMARY KEY, email TEXT); CREATE INDEX by_due ON person (email);",
        .tables = {"person"},
    };
    struct projection *const both[] = {&people, &task};
    struct rig rig, other;
    rig_open(&rig, &task);
    rig_open(&other, &people);
    fill(&rig);
    rig_exec(other.db, "INSERT INTO person VALUES ('open', 'o@example.org'), ('done', 'd@example.org')");
    struct query *query = rig_parse("-- key id\nSELECT id, email FROM task JOIN person ON name = status", both, 2);
    cairn_str name;
    CHECK(query_projection(query, 0, &name) && cairn_str_equal(name, CAIRN_STR("people")));
    CHECK(query_projection(query, 1, &name) && cairn_str_equal(name, CAIRN_STR("board")));
    struct model *models[] = {&other.model, &rig.model};
    CHECK_INT(rig_call(&rig, query, (struct query_call){.models = models}, NULL), CAIRN_OK);
    CHECK_STR(rig.to.data, "{\"rows\":[{\"id\":1,\"email\":\"o@example.org\"},{\"id\":2,\"email\":\"o@example.org\"},"
                           "{\"id\":3,\"email\":\"d@example.org\"}],\"next\":null,\"position\":0}");
    rig_exec(other.db, "UPDATE person SET email = 'x'"); /* seen at once */
    CHECK_INT(rig_call(&rig, query, (struct query_call){.models = models, .limit = 1}, NULL), CAIRN_OK);
    CHECK(strstr(rig.to.data, "{\"id\":1,\"email\":\"x\"}"));
    query_free(query);
    rig_close(&rig);
    rig_close(&other);
}

/* Goal: a new generation is read at once; connections to models that are gone are let go. */
TEST(generations_come_and_go)
{
    struct rig rig;
    rig_open(&rig, &task);
    struct query *query = rig_parse("-- key id\nSELECT id FROM task", TASK, 1);
    sqlite3_close(rig.db);
    rig.db = NULL;
    for (unsigned i = 1; i <= 40; i++) {
        char sql[200], expected[20];
        rig_model(&rig, &task);
        snprintf(sql, sizeof sql, "INSERT INTO task (id) VALUES (%u)", i);
        rig_exec(rig.db, sql);
        snprintf(expected, sizeof expected, "%u", i);
        CHECK_IDS(&rig, query, NULL, expected);
        sqlite3_close(rig.db);
        rig.db = NULL;
        if (i < 40) {
            snprintf(sql, sizeof sql, "%s-wal", rig.path);
            (void)unlink(sql);
            snprintf(sql, sizeof sql, "%s-shm", rig.path);
            (void)unlink(sql);
            CHECK_INT(unlink(rig.path), 0);
        }
    }
    query_cache_trim(rig.cache);
    CHECK(open_files(rig.path) > 0);
    CHECK_INT(open_files(rig.folder), open_files(rig.path));
    query_free(query);
    rig_close(&rig);
}

/* Goal: a read model of an earlier version, which serves while a new one is built, is no fault of the caller's. */
TEST(an_older_read_model_is_busy_not_broken)
{
    static struct projection older = {.name = "board", .ddl = "CREATE TABLE task (id INTEGER PRIMARY KEY, title TEXT)"};
    struct rig rig;
    rig_open(&rig, &older);
    struct query *query = rig_parse("-- key id\nSELECT id, due FROM task", TASK, 1);
    struct query *all = rig_parse("-- key id\nSELECT * FROM task", TASK, 1);
    CHECK_REFUSED(&rig, query, NULL, CAIRN_E_BUSY, "still being built for this version of the app");
    CHECK_REFUSED(&rig, all, NULL, CAIRN_E_BUSY, "still being built for this version of the app");
    query_free(query);
    query_free(all);
    rig_close(&rig);
}

/* Goal: more queries and variants than the cache holds still answer right, again and again. */
TEST(more_statements_than_are_kept)
{
    struct rig rig;
    struct query *queries[100];
    rig_open(&rig, &task);
    fill(&rig);
    for (unsigned i = 0; i < 100; i++) {
        char text[200];
        snprintf(text, sizeof text, "-- key id\n-- sort due, title\n-- filter status\nSELECT id, due, title, status FROM task WHERE id <> %u", i % 5);
        queries[i] = rig_parse(text, TASK, 1);
    }
    static const char *const EXPECTED[] = {"2 3 4 1", "2 3 4", "3 4 1", "2 4 1", "2 3 1"};
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 100; i++) {
            CHECK_IDS(&rig, queries[i], NULL, EXPECTED[i % 5]);
            CHECK_IDS(&rig, queries[i], PARAMS("status=done", "sort=-title"), i % 5 == 3 ? "" : "3");
        }
    for (unsigned i = 0; i < 100; i++)
        query_free(queries[i]);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(every_type_of_value_comes_out_right),
        RUN(parameters_are_read_by_their_types),
        RUN(filters_narrow),
        RUN(sorts_are_those_declared),
        RUN(limits_one_and_truncated),
        RUN(pages_are_the_sorted_whole),
        RUN(pages_while_rows_come_and_go),
        RUN(cursors_are_refused_elsewhere),
        RUN(indexes_serve_keys_filters_and_pages),
        RUN(full_text_search_and_its_mistakes),
        RUN(a_query_over_several_read_models),
        RUN(generations_come_and_go),
        RUN(an_older_read_model_is_busy_not_broken),
        RUN(more_statements_than_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

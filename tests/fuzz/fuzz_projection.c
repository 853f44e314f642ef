/* Projection files of any bytes: read and tried, never a crash, an endless loop, or a file outside. What is taken is applied to an
 * event, by a database in memory. */
#include <app/sql/projection_int.h>

#include <stdlib.h>

static void
hear(void *context, const cairn_app_fault *fault)
{
    size_t *bytes = context;
    *bytes += fault->message.size + fault->hint.size;
}

static int
out_of_steps(void *context)
{
    return ++*(unsigned *)context > 100;
}

static void
apply(const struct projection *projection)
{
    cairn_str tag = CAIRN_STR("customer:7");
    cairn_recorded event = {.position = 7, .time_us = 1763713871123456, .stream = CAIRN_STR("task-1"),
                            .event = {.type = CAIRN_STR("TaskMade"), .tags = &tag, .tag_count = 1,
                                      .data = CAIRN_STR("{\"title\":\"a \\u00e4\",\"n\":1,\"a\":{\"b\":[1,{\"c\":null}]}}"),
                                      .meta = CAIRN_STR("{\"actor\":\"ann\"}")}};
    const struct plan *plan = projection_plan(projection, event.event.type);
    struct values values;
    sqlite3 *db;
    unsigned steps = 0;
    if (plan == NULL || !projection_wants(projection, &event) || sql_open(NULL, SQL_SCRATCH, &db, NULL) != CAIRN_OK)
        return;
    struct sql_guard guard = {.projection = projection};
    if (sql_exec(db, PROJECTION_OWN_TABLES, NULL) != CAIRN_OK || projection_create(projection, db, NULL) != CAIRN_OK)
        abort(); /* it was tried */
    guard_set(db, &guard);
    sqlite3_progress_handler(db, 1000, out_of_steps, &steps);
    if (values_init(&values, projection, false, NULL) != CAIRN_OK)
        abort();
    if (values_take(&values, plan, &event, NULL) == CAIRN_OK)
        for (size_t i = 0; i < plan->statement_count; i++) {
            const struct statement *statement = &projection->statements[plan->statements[i]];
            sqlite3_stmt *prepared = NULL;
            uint32_t line;
            const char *hint;
            if (guard_prepare(db, &guard, statement->sql, false, &prepared, &line, &hint, NULL) != CAIRN_OK)
                abort();
            if (values_bind(values.slots, statement, prepared) == SQLITE_OK)
                while (sqlite3_step(prepared) == SQLITE_ROW)
                    ;
            sqlite3_finalize(prepared);
        }
    values_free(&values);
    sqlite3_set_authorizer(db, NULL, NULL);
    sql_close(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct projection *projection;
    size_t heard = 0;
    cairn_error error;
    if (projection_parse(CAIRN_STR("projections/fuzz.sql"), (cairn_str){(const char *)data, size}, NULL, hear, &heard,
                         &projection, &error) != CAIRN_OK)
        return 0;
    apply(projection);
    projection_free(projection);
    return 0;
}

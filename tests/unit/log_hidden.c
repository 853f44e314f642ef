/* What retention hides: set by several at once, by those who are reading, and what it means for conditions. On the
 * simulated disk; what happens meanwhile happens in the middle of a call (os_hook.h). */
#include <log/log_int.h>
#include "os_hook.h"
#include <test.h>

#define FOLDER "data"
#define ORDER CAIRN_STR("order-1")

static cairn_error error;

static struct log *
open_log(struct os *os, uint32_t index_memory_events)
{
    struct log *log;
    struct log_options options;
    cairn_log_defaults(&options);
    options.create = options.no_background = true;
    options.segment_size_bytes = 64 << 10;
    options.index_memory_events = index_memory_events;
    options.head_cache_entries = 64;
    CHECK_TOLD(cairn_log_open(os, FOLDER, &options, &log, &error));
    return log;
}

static cairn_err
append(struct log *log, cairn_str stream, const char *tag, size_t data_size,
       const cairn_condition *condition)
{
    static char data[32 << 10];
    cairn_str tags[] = {cairn_cstr(tag)};
    cairn_event event = {.type = CAIRN_STR("T"), .tags = tags, .tag_count = 1, .data = {data, data_size}};
    cairn_write write = {stream, CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1, .conditions = condition,
                                    .condition_count = condition != NULL};
    cairn_at at;
    return cairn_log_append(log, &request, &at, &error);
}

static void
append_some(struct log *log, cairn_str stream, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        CHECK_TOLD(append(log, stream, "some", 10, NULL));
}

static cairn_stream_info
info_of(struct log *log, cairn_str stream)
{
    cairn_stream_info info;
    CHECK_TOLD(cairn_log_stream_info(log, 0, stream, &info, &error));
    return info;
}

/* ---- set by several at once -------------------------------------------------------------------- */

static void
limit_meanwhile(void *log)
{
    cairn_retention limits = {.max_count = 7, .max_age_us = UINT64_C(1) << 50};
    CHECK_TOLD(cairn_log_retention_set(log, 0, ORDER, &limits, &error));
}

/* Goal: a deletion does not take back limits that are set at the same time; whether it says which revision it
 * expects or not.
 * Method: set limits between the deletion's look at them and its append. */
TEST(deletion_keeps_limits_set_meanwhile)
{
    static const int64_t expected[] = {CAIRN_ANY, 2};
    for (size_t i = 0; i < 2; i++) {
        struct os_sim *sim = os_sim_new(1);
        struct os_hook hook;
        struct log *log = open_log(os_hook_init(&hook, os_sim_os(sim)), 100);
        append_some(log, ORDER, 3);
        os_hook_arm(&hook, HOOK_CLOCK, NULL, limit_meanwhile, log);
        CHECK_TOLD(cairn_log_delete(log, 0, ORDER, expected[i], false, &error));
        CHECK(hook.meanwhile == NULL);
        cairn_stream_info info = info_of(log, ORDER);
        CHECK(!info.exists);
        CHECK_INT(info.retention.truncate_before, 3);
        CHECK_INT(info.retention.max_count, 7);
        CHECK_INT(info.retention.max_age_us, UINT64_C(1) << 50);
        cairn_log_close(log);
        os_sim_free(sim);
    }
}

static void
append_and_limit_meanwhile(void *log)
{
    append_some(log, ORDER, 1);
    limit_meanwhile(log);
}

/* Goal: a stream that is not where the deletion expects it is a conflict, also when the limits have changed, too.
 * Method: append and set limits meanwhile. */
TEST(deletion_still_conflicts)
{
    struct os_sim *sim = os_sim_new(1);
    struct os_hook hook;
    struct log *log = open_log(os_hook_init(&hook, os_sim_os(sim)), 100);
    append_some(log, ORDER, 3);
    os_hook_arm(&hook, HOOK_CLOCK, NULL, append_and_limit_meanwhile, log);
    CHECK_INT(cairn_log_delete(log, 0, ORDER, 2, false, &error), CAIRN_E_CONFLICT);
    CHECK(hook.meanwhile == NULL);
    CHECK_INT(error.revision, 3);
    CHECK(strstr(error.detail, "$retention") == NULL);
    CHECK(info_of(log, ORDER).exists);
    os_hook_arm(&hook, HOOK_CLOCK, NULL, append_and_limit_meanwhile, log);
    CHECK_TOLD(cairn_log_delete(log, 0, ORDER, CAIRN_ANY, false, &error)); /* what there is by then */
    CHECK_INT(info_of(log, ORDER).retention.truncate_before, 5);
    cairn_log_close(log);
    os_sim_free(sim);
}

static struct os_hook *rival_hook;
static unsigned rivals;

static void
limit_again_and_again(void *context)
{
    struct log *log = context;
    if (log->committing)
        return; /* the append was let through: nobody can come before it any more */
    rivals++;
    limit_meanwhile(log);
    os_hook_arm(rival_hook, HOOK_CLOCK, NULL, limit_again_and_again, log);
}

/* Goal: who loses every time is told, after a bounded number of tries.
 * Method: somebody else is always faster. */
TEST(changes_give_up_in_the_end)
{
    struct os_sim *sim = os_sim_new(1);
    struct os_hook hook;
    struct log *log = open_log(os_hook_init(&hook, os_sim_os(sim)), 10000);
    cairn_retention limits = {.max_count = 1};
    append_some(log, ORDER, 3);
    rival_hook = &hook;
    os_hook_arm(&hook, HOOK_CLOCK, NULL, limit_again_and_again, log);
    CHECK_INT(cairn_log_retention_set(log, 0, ORDER, &limits, &error), CAIRN_E_BUSY);
    CHECK(rivals > 10 && rivals < 1000);
    CHECK_INT(cairn_log_delete(log, 0, ORDER, CAIRN_ANY, false, &error), CAIRN_E_BUSY);
    hook.meanwhile = NULL;
    CHECK_INT(info_of(log, ORDER).retention.max_count, 7);
    CHECK_TOLD(cairn_log_retention_set(log, 0, ORDER, &limits, &error));
    CHECK_INT(info_of(log, ORDER).retention.max_count, 1);
    cairn_log_close(log);
    os_sim_free(sim);
}

/* ---- while somebody reads ----------------------------------------------------------------------- */

/* Goal: a reader returns nothing of a stream that is deleted, or cut off, while it reads.
 * Method: read one event; cut off some, delete all; read on, forward and backward. */
TEST(reader_sees_deletion_at_once)
{
    for (int backward = 0; backward < 2; backward++) {
        struct os_sim *sim = os_sim_new(1);
        struct log *log = open_log(os_sim_os(sim), 100);
        append_some(log, ORDER, 20);
        cairn_read_options options = {.from = backward ? CAIRN_FROM_END : 0,
                                      .direction = backward ? CAIRN_BACKWARD : CAIRN_FORWARD};
        struct log_reader *reader;
        cairn_recorded event;
        CHECK_TOLD(cairn_log_read_stream(log, ORDER, &options, &reader, &error));
        CHECK_TOLD(cairn_log_reader_next(reader, &event, &error));
        CHECK_INT(event.revision, backward ? 19 : 0);
        cairn_retention limits = {.truncate_before = 10};
        CHECK_TOLD(cairn_log_retention_set(log, 0, ORDER, &limits, &error));
        CHECK_TOLD(cairn_log_reader_next(reader, &event, &error));
        CHECK_INT(event.revision, backward ? 18 : 10);
        CHECK_TOLD(cairn_log_delete(log, 0, ORDER, CAIRN_ANY, false, &error));
        CHECK_INT(cairn_log_reader_next(reader, &event, &error), CAIRN_E_END);
        append_some(log, ORDER, 1);
        if (!backward) {
            CHECK_TOLD(cairn_log_reader_next(reader, &event, &error));
            CHECK_INT(event.revision, 20);
        }
        CHECK_INT(cairn_log_reader_next(reader, &event, &error), CAIRN_E_END);
        cairn_log_reader_free(reader);
        cairn_log_close(log);
        os_sim_free(sim);
    }
}

/* ---- conditions ---------------------------------------------------------------------------------- */

/* May an append go on that wants no event with the tag, or no event of any kind? Nothing stays of it if it may: its own
 * tag is another one. */
static cairn_err
try_condition(struct log *log, const char *tag, int64_t after)
{
    cairn_str tags[] = {cairn_cstr(tag)};
    cairn_query_item item = {.tags = tags, .tag_count = 1};
    cairn_condition condition = {{&item, 1}, after};
    return append(log, CAIRN_STR("probe"), "probe", 10, &condition);
}

static void
remove_file(void *context, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, FOLDER "/index/%s", name);
    CHECK_INT(os_unlink(context, path), 0);
}

enum state { AS_IT_IS, REINDEXED, REOPENED, INDEX_LOST, STATES };

static struct log *
bring_into(enum state state, struct os *os, struct log *log, uint32_t memory)
{
    if (state == REINDEXED) {
        CHECK_TOLD(cairn_log_reindex(log, NULL, NULL, &error));
    } else if (state != AS_IT_IS) {
        cairn_log_close(log);
        if (state == INDEX_LOST)
            CHECK_INT(os_list(os, FOLDER "/index", remove_file, os), 0);
        log = open_log(os, memory);
    }
    return log;
}

/* Goal: a condition counts what is in the log: an event that is hidden, and none that has been removed; whatever
 * the index knows of it, and wherever it is.
 * Method: delete a stream, scavenge it; ask before and after each, and after all that makes the index anew, with the
 * index in files and in memory. */
TEST(condition_counts_what_is_in_the_log)
{
    static const uint32_t memories[] = {20, 100000};
    for (size_t i = 0; i < 2; i++) {
        for (enum state then = AS_IT_IS; then < STATES; then++) {
            struct os_sim *sim = os_sim_new(1);
            struct os *os = os_sim_os(sim);
            struct log *log = open_log(os, memories[i]);
            for (unsigned j = 0; j < 6; j++)
                CHECK_TOLD(append(log, CAIRN_STR("user-1"), "mail:a", 9000, NULL));
            CHECK_TOLD(append(log, CAIRN_STR("user-2"), "mail:b", 9000, NULL));
            for (unsigned j = 0; j < 40; j++)
                CHECK_TOLD(append(log, CAIRN_STR("bulk"), "bulk", 5000, NULL));
            CHECK_TOLD(cairn_log_maintain(log, &error));
            CHECK_INT(try_condition(log, "mail:a", -1), CAIRN_E_CONDITION);
            CHECK_TOLD(try_condition(log, "mail:a", 5));

            CHECK_TOLD(cairn_log_delete(log, 0, CAIRN_STR("user-1"), CAIRN_ANY, false, &error));
            log = bring_into(then, os, log, memories[i]);
            CHECK_INT(try_condition(log, "mail:a", -1), CAIRN_E_CONDITION);
            CHECK_INT(error.position, 0);
            CHECK_INT(try_condition(log, "mail:a", 4), CAIRN_E_CONDITION);

            cairn_scavenge_report report;
            CHECK_TOLD(cairn_log_scavenge(log, NULL, NULL, &report, &error));
            CHECK_INT(report.events_removed, 6);
            for (int again = 0; again < 2; again++) {
                CHECK_TOLD(try_condition(log, "mail:a", -1));
                CHECK_INT(try_condition(log, "mail:b", -1), CAIRN_E_CONDITION);
                CHECK_INT(error.position, 6);
                CHECK_INT(try_condition(log, "bulk", -1), CAIRN_E_CONDITION);
                log = bring_into(then, os, log, memories[i]);
            }

            CHECK_TOLD(append(log, CAIRN_STR("user-3"), "mail:a", 10, NULL));
            CHECK_INT(try_condition(log, "mail:a", -1), CAIRN_E_CONDITION);
            CHECK_INT(error.position, cairn_log_end(log) - 1);
            cairn_log_close(log);
            os_sim_free(sim);
        }
    }
}

/* Goal: the query that everything matches does not count what has been removed either.
 * Method: a log whose first segment is removed but for Cairn's own events. */
TEST(everything_counts_what_is_in_the_log)
{
    struct os_sim *sim = os_sim_new(1);
    struct log *log = open_log(os_sim_os(sim), 100);
    cairn_condition nothing = {.after = -1};
    for (unsigned j = 0; j < 14; j++)
        CHECK_TOLD(append(log, CAIRN_STR("user-1"), "x", 9000, NULL));
    uint64_t kept = atomic_load(&log->slots[1])->first_position;
    CHECK_TOLD(cairn_log_maintain(log, &error));
    cairn_retention limits = {.truncate_before = kept};
    CHECK_TOLD(cairn_log_retention_set(log, 0, CAIRN_STR("user-1"), &limits, &error));
    CHECK_INT(append(log, CAIRN_STR("p"), "p", 1, &nothing), CAIRN_E_CONDITION);
    CHECK_INT(error.position, 0);
    cairn_scavenge_report report;
    CHECK_TOLD(cairn_log_scavenge(log, NULL, NULL, &report, &error));
    CHECK_INT(append(log, CAIRN_STR("p"), "p", 1, &nothing), CAIRN_E_CONDITION);
    CHECK_INT(error.position, kept);
    cairn_log_close(log);
    os_sim_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(deletion_keeps_limits_set_meanwhile),
        RUN(deletion_still_conflicts),
        RUN(changes_give_up_in_the_end),
        RUN(reader_sees_deletion_at_once),
        RUN(condition_counts_what_is_in_the_log),
        RUN(everything_counts_what_is_in_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

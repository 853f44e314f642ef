/* What an asynchronous append says before it is durable: its place, its time, and whether what it rests upon is still there.
 * And what the log keeps of answers to commands. */
#include <errno.h>
#include <os/twin.h>
#include <store/store.h>

#include "test.h"

struct told {
    bool over;
    cairn_err err;
    cairn_at at;
};

static void
on_done(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    struct told *told = context;
    (void)error;
    *told = (struct told){true, err, err == CAIRN_OK ? *at : (cairn_at){0}};
}

static cairn_err
append(cairn_store *store, const char *stream, int64_t expected, cairn_at *ret_at, int64_t *ret_time_us, uint32_t *epoch,
       struct told *told)
{
    const cairn_event event = {.type = CAIRN_STR("T")};
    const cairn_write write = {cairn_cstr(stream), expected, &event, 1};
    const cairn_append_request request = {.writes = &write, .write_count = 1, .system = true, .ret_sequenced = ret_at,
                                          .ret_time_us = ret_time_us, .epoch = epoch};
    *told = (struct told){0};
    return cairn_append_async(store, &request, on_done, told, NULL);
}

static cairn_store *
open_store(struct os *os)
{
    cairn_store *store;
    CHECK_OK(cairn_store_open_on(os, "data", &(cairn_options){.create = true, .no_background = true,
                                                              .segment_size_bytes = 64 << 10}, &store, NULL));
    return store;
}

/* Goal: the place and the time that are told are the event's; a refusal tells neither. */
TEST(place_and_time_are_the_events)
{
    struct os_sim *sim = os_sim_new(1);
    cairn_store *store = open_store(os_sim_os(sim));
    struct told told;
    cairn_at at = {.first_position = 99};
    int64_t time_us = 7;
    uint32_t epoch = 0;
    CHECK_OK(append(store, "a", CAIRN_NONE, &at, &time_us, &epoch, &told));
    CHECK(told.over && told.err == CAIRN_OK && at.first_position == 0 && at.revision == 0 && epoch != 0);
    cairn_reader *reader;
    cairn_recorded event;
    CHECK_OK(cairn_read_stream(store, CAIRN_STR("a"), &(cairn_read_options){0}, &reader, NULL));
    CHECK_OK(cairn_reader_next(reader, &event, NULL));
    CHECK_INT(event.time_us, time_us);
    cairn_reader_free(reader);
    at.first_position = 99;
    time_us = 7;
    CHECK_OK(append(store, "a", CAIRN_NONE, &at, &time_us, &epoch, &told));
    CHECK(told.over && told.err == CAIRN_E_CONFLICT && at.first_position == 99 && time_us == 7);
    cairn_close(store);
    os_sim_free(sim);
}

/* Goal: what rests on an append that a full disk took back is refused, though the revision that it expects is there again.
 * Method: an append fails with "no space" after it had its place; another takes that place; then one decided on the first. */
TEST(what_rests_on_the_taken_back_is_refused)
{
    struct os_sim *sim = os_sim_new(1);
    struct os_faulty faulty;
    os_faulty_init(&faulty, os_sim_os(sim));
    cairn_store *store = open_store(&faulty.os);
    struct told told;
    cairn_at at;
    int64_t time_us;
    uint32_t first = 0, lost = 0, none = 0;
    CHECK_OK(append(store, "a", CAIRN_NONE, &at, &time_us, &first, &told));
    faulty.kinds = OS_FAULT_WRITE;
    faulty.errno_value = ENOSPC;
    faulty.fail_at = faulty.calls + 1;
    CHECK_OK(append(store, "a", 0, &at, &time_us, &lost, &told));
    CHECK(told.over && told.err == CAIRN_E_NOSPACE && lost == first);
    CHECK_OK(append(store, "a", 0, &at, &time_us, &none, &told));
    CHECK(told.err == CAIRN_OK && none != lost && at.revision == 1);
    CHECK_INT(append(store, "a", 1, &at, &time_us, &lost, &told), CAIRN_E_NOSPACE);
    CHECK(!told.over);
    CHECK_OK(append(store, "a", 1, &at, &time_us, &none, &told));
    CHECK(told.err == CAIRN_OK && at.revision == 2);
    cairn_close(store);
    os_sim_free(sim);
}

/* Goal: answers to commands are readable for seven days; other streams are not concerned. */
TEST(answers_are_kept_a_week)
{
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    cairn_store *store = open_store(os);
    struct told told;
    cairn_stream_info info;
    const int64_t day_us = INT64_C(24) * 3600 * 1000000, now_us = os_now_us(os);
    CHECK_OK(append(store, "$command-app/key", CAIRN_NONE, NULL, NULL, NULL, &told));
    CHECK_OK(append(store, "command-1", CAIRN_NONE, NULL, NULL, NULL, &told));
    for (int days = 6; days <= 8; days += 2) {
        os_sim_set_time(sim, now_us + days * day_us);
        CHECK_OK(append(store, "other", CAIRN_ANY, NULL, NULL, NULL, &told));
        CHECK_OK(cairn_stream_info_get(store, 0, CAIRN_STR("$command-app/key"), &info, NULL));
        CHECK(info.exists == (days < 7) && info.last_revision == 0);
        CHECK_OK(cairn_stream_info_get(store, 0, CAIRN_STR("command-1"), &info, NULL));
        CHECK(info.exists);
    }
    cairn_close(store);
    os_sim_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(place_and_time_are_the_events), RUN(what_rests_on_the_taken_back_is_refused),
                                       RUN(answers_are_kept_a_week)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

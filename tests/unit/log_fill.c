/* Space ahead of the tail: the spare that the next segment takes as its file. On a simulated disk, with segments of
 * 64 KiB, so that a step of it is 8 KiB. */
#include <log/log_int.h>
#include <os/twin.h>
#include <test.h>

#include <errno.h>

#define FOLDER "data"
#define SEGMENT (64u << 10)
#define STEP (SEGMENT / 8)
#define SPARE FOLDER "/segments/" SPARE_NAME
#define SECOND FOLDER "/segments/00000002.seg"
#define EVENT_SIZE 1000

static struct os_sim *sim;
static struct os_faulty faulty;
static struct log *log_;
static uint64_t appended;

static void
open_log(void)
{
    struct log_options options;
    cairn_error error = {0};
    cairn_log_defaults(&options);
    options.create = options.no_background = true;
    options.segment_size_bytes = SEGMENT;
    options.index_memory_events = 1000;
    os_faulty_init(&faulty, os_sim_os(sim));
    if (cairn_log_open(&faulty.os, FOLDER, &options, &log_, &error) != CAIRN_OK)
        fail_msg("it cannot be opened: %s", error.detail);
}

static void
begin(void)
{
    sim = os_sim_new(7);
    CHECK(sim != NULL);
    appended = 0;
    open_log();
}

static void
end(void)
{
    cairn_log_close(log_);
    os_sim_free(sim);
}

static void
append(void)
{
    static char data[EVENT_SIZE];
    cairn_event event = {.type = CAIRN_STR("T"), .data = {data, sizeof data}};
    cairn_write write = {CAIRN_STR("s"), CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_at at;
    cairn_error error = {0};
    if (cairn_log_append(log_, &request, &at, &error) != CAIRN_OK)
        fail_msg("append: %s", error.detail);
    CHECK_INT(at.first_position, appended++);
}

/* Append until the active segment is nearly full, as the background would see it: maintained after each. */
static void
append_and_maintain(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        append();
        CHECK_OK(cairn_log_maintain(log_, NULL));
    }
}

static void
check_events(void)
{
    struct log_reader *reader;
    cairn_read_options options = {0};
    cairn_recorded event;
    uint64_t n = 0;
    cairn_err err;
    CHECK_OK(cairn_log_read_all(log_, &options, &reader, NULL));
    while ((err = cairn_log_reader_next(reader, &event, NULL)) == CAIRN_OK)
        CHECK_INT(event.position, n++);
    CHECK_INT(err, CAIRN_E_END);
    CHECK_INT(n, appended);
    cairn_log_reader_free(reader);
}

/* Goal: the spare grows as events do, and never beyond them or a segment.
 * Method: append and maintain; compare its size with what the segment holds. */
TEST(spare_grows_with_the_events)
{
    begin();
    append_and_maintain(6);
    CHECK_INT(os_sim_file_size(sim, SPARE), -ENOENT);
    for (unsigned i = 0; i < 40; i++) {
        append_and_maintain(1);
        uint64_t held = atomic_load(&log_->active->data_end);
        int64_t size = os_sim_file_size(sim, SPARE);
        CHECK(size < 0 || (uint64_t)size <= held);
        CHECK(size < 0 || (uint64_t)size + 2 * STEP >= held);
    }
    CHECK(os_sim_file_size(sim, SPARE) >= (int64_t)(SEGMENT / 2));
    end();
}

/* Goal: the next segment takes the spare as it is, and after a clean stop there is none.
 * Method: fill a segment; the second file is as large as the spare was, before anything is filled in it; appends, a
 * closing and an opening find every event. */
TEST(next_segment_takes_the_spare)
{
    begin();
    append_and_maintain(55);
    int64_t prepared = os_sim_file_size(sim, SPARE);
    CHECK(prepared >= (int64_t)(SEGMENT / 2));
    while (os_sim_file_size(sim, SECOND) < 0)
        append();
    CHECK_INT(os_sim_file_size(sim, SECOND), prepared);
    CHECK_INT(atomic_load(&log_->reserved_end), prepared);
    CHECK_INT(os_sim_file_size(sim, SPARE), -ENOENT);
    append_and_maintain(40);
    CHECK(os_sim_file_size(sim, SPARE) > 0);
    check_events();
    cairn_log_close(log_);
    CHECK_INT(os_sim_file_size(sim, SPARE), -ENOENT);
    open_log();
    check_events();
    end();
}

/* Goal: a spare that a crash leaves behind is removed, and what was taken for a segment is whole.
 * Method: cut the power with a spare beside the second segment; open. */
TEST(spare_does_not_outlive_a_crash)
{
    begin();
    append_and_maintain(80);
    CHECK(os_sim_file_size(sim, SPARE) > 0 && os_sim_file_size(sim, SECOND) > 0);
    struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_KEEP, 1);
    CHECK(disk != NULL);
    end();
    sim = disk;
    CHECK(os_sim_file_size(sim, SPARE) > 0);
    open_log();
    CHECK_INT(os_sim_file_size(sim, SPARE), -ENOENT);
    check_events();
    append_and_maintain(80);
    check_events();
    end();
}

/* Goal: a nearly full disk gets the spare's space back for events.
 * Method: leave less than is kept free; maintain. */
TEST(full_disk_drops_the_spare)
{
    begin();
    append_and_maintain(40);
    CHECK(os_sim_file_size(sim, SPARE) > 0);
    os_sim_set_space(sim, 1000);
    CHECK_OK(cairn_log_maintain(log_, NULL));
    CHECK_INT(os_sim_file_size(sim, SPARE), -ENOENT);
    check_events();
    end();
}

/* Goal: preparing may fail without harm: the spare is dropped, the log goes on.
 * Method: let the sync, then the renaming of a spare fail; append beyond the segment's end. */
TEST(failing_spare_is_dropped)
{
    begin();
    cairn_error error = {0};
    append_and_maintain(40);
    while (atomic_load(&log_->spare_due) < STEP)
        append();
    faulty.kinds = OS_FAULT_SYNC;
    faulty.errno_value = EIO;
    faulty.fail_at = 1;
    faulty.calls = 0;
    CHECK_INT(cairn_log_maintain(log_, &error), CAIRN_E_IO);
    CHECK(strstr(error.detail, "cannot prepare space for its next segment") != NULL);
    CHECK_INT(os_sim_file_size(sim, SPARE), -ENOENT);
    append_and_maintain(10);
    CHECK(os_sim_file_size(sim, SPARE) > 0);

    static char data[20 << 10];
    cairn_event event = {.type = CAIRN_STR("T"), .data = {data, sizeof data}};
    cairn_write write = {CAIRN_STR("s"), CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_at at;
    faulty.fired = false;
    faulty.kinds = OS_FAULT_META;
    faulty.fail_at = 1;
    faulty.calls = 0;
    CHECK_INT(cairn_log_append(log_, &request, &at, &error), CAIRN_E_IO);
    CHECK_STR(faulty.fired_at, "rename");
    faulty.fail_at = 0;
    CHECK_INT(os_sim_file_size(sim, SPARE), -ENOENT);
    CHECK_OK(cairn_log_append(log_, &request, &at, &error));
    appended++;
    append_and_maintain(5);
    check_events();
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(spare_grows_with_the_events), RUN(next_segment_takes_the_spare), RUN(spare_does_not_outlive_a_crash),
        RUN(full_disk_drops_the_spare),   RUN(failing_spare_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

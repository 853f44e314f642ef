/* The series index when the machine fails: any call, or the power. */
#include "../property/series_model.h"
#include <os/twin.h>

#define DIR "/index"
#define EVENTS 700

static const struct series_options options = {.memory_events = 40, .head_cache_entries = 16};

struct work {
    struct model model;
    struct series *series;
    uint64_t next; /* event to insert */
    unsigned errors;
};

static void
make_model(struct model *model)
{
    uint64_t seed = 4;
    model_init(model, 60, 40);
    while (model->next < EVENTS)
        model_add(model, &seed);
}

static bool
try_insert(struct work *work)
{
    const struct model_event *event = &work->model.events[work->next];
    cairn_error error = {0};
    bool more;
    for (unsigned tries = 0; !cairn_series_has_room(work->series, event->count, work->next);
         tries++) {
        work->errors += cairn_series_maintain(work->series, work->next, &more, &error) != CAIRN_OK;
        if (tries == 20)
            return false;
    }
    for (unsigned i = 0; i < event->count; i++)
        cairn_series_insert(work->series, model_key(event->entries[i].key),
                            event->entries[i].ordinal, work->next);
    work->next++;
    return true;
}

/* Insert everything, maintain now and then, flush. False when it cannot get on. */
static bool
play(struct work *work, struct os *os)
{
    cairn_error error = {0};
    bool more;
    work->next = 0;
    if (cairn_series_open(os, DIR, &options, &work->series, &error) != CAIRN_OK)
        return false;
    work->next = cairn_series_flushed_end(work->series);
    while (work->next < EVENTS && try_insert(work))
        if (work->next % 37 == 0)
            work->errors
                += cairn_series_maintain(work->series, work->next, &more, &error) != CAIRN_OK;
    return work->next == EVENTS;
}

static void
settle(struct work *work)
{
    cairn_error error = {0};
    bool more = true;
    work->errors += cairn_series_flush(work->series, EVENTS, &error) != CAIRN_OK;
    for (unsigned calls = 0; more && calls < 50; calls++)
        work->errors += cairn_series_maintain(work->series, EVENTS, &more, &error) != CAIRN_OK;
}

static bool
fault_found(void *context, const char *file, uint64_t offset, const char *what)
{
    (void)context;
    fail_msg("%s at %llu: %s", file, (unsigned long long)offset, what);
    return false;
}

static void
compare(struct work *work)
{
    static struct series_head want[EVENTS], got[EVENTS];
    cairn_error error = {0};
    for (uint32_t key = 0; key < work->model.keys; key++) {
        struct series_read read = {.key = model_key(key), .end = work->next};
        size_t count = 0, expected = model_read(&work->model, key, &read, want, EVENTS);
        CHECK_OK(cairn_series_read(work->series, &read, got, EVENTS, &count, &error));
        CHECK_INT(count, expected);
        CHECK(memcmp(want, got, count * sizeof want[0]) == 0);
        struct series_head head;
        CHECK_OK(cairn_series_warm(work->series, model_key(key), &error));
        CHECK_INT(cairn_series_known(work->series, model_key(key), &head),
                  count ? SERIES_PRESENT : SERIES_ABSENT);
        if (count)
            CHECK_INT(head.position, want[count - 1].position);
    }
    CHECK_OK(cairn_series_check(work->series, fault_found, NULL, &error));
}

/* Open again on a machine that works, insert what the runs do not have, compare. */
static void
recover_and_compare(struct work *work, struct os *os)
{
    struct work again = {.model = work->model};
    if (!play(&again, os))
        fail_msg("cannot open the index after the fault");
    CHECK_INT(again.errors, 0);
    compare(&again);
    settle(&again);
    CHECK_INT(again.errors, 0);
    compare(&again);
    cairn_series_close(again.series);
}

static void
count_runs(void *context, const char *name)
{
    *(unsigned *)context += strstr(name, ".run") != NULL;
}

/* One fault, then a working machine: the index goes on as if nothing had been, and nothing is left over. */
static bool
play_with_fault(struct work *work, uint64_t fail_at, int errno_value, bool torn)
{
    struct os_sim *sim = os_sim_new(3);
    struct os_faulty faulty;
    os_faulty_init(&faulty, os_sim_os(sim));
    faulty.kinds = OS_FAULT_ALL;
    faulty.fail_at = fail_at;
    faulty.errno_value = errno_value;
    faulty.torn = torn;
    work->series = NULL;
    bool done = play(work, &faulty.os);
    if (work->series != NULL) {
        CHECK(done);
        faulty.kinds = 0; /* the questions of the test do not count */
        compare(work);
        faulty.kinds = OS_FAULT_ALL;
        settle(work);
        faulty.kinds = 0;
        compare(work);
        cairn_series_close(work->series);
        recover_and_compare(work, os_sim_os(sim));
    } else {
        recover_and_compare(work, os_sim_os(sim)); /* it was the opening that failed */
    }
    struct series_options opening = options;
    struct series *series = NULL;
    cairn_error error = {0};
    CHECK_OK(cairn_series_open(os_sim_os(sim), DIR, &opening, &series, &error));
    struct series_stats stats;
    cairn_series_stats(series, &stats);
    cairn_series_close(series);
    unsigned files = 0;
    CHECK_INT(os_list(os_sim_os(sim), DIR, count_runs, &files), 0);
    CHECK_INT(files, stats.runs);
    os_sim_free(sim);
    return faulty.fired;
}

/* Goal: any failing system call leaves the index whole, and the work is done at the next try.
 * Method: fail call 1, then 2, … until a run meets no fault; compare with the model before and after reopening. */
TEST(every_failing_call)
{
    struct work work = {.series = NULL};
    make_model(&work.model);
    uint64_t fail_at = 1;
    while (play_with_fault(&work, fail_at, 5, fail_at % 2)
           || play_with_fault(&work, fail_at, 28, false))
        fail_at++;
    CHECK(fail_at > 100);
    CHECK(work.errors > 50);
    model_free(&work.model);
}

/* Goal: on a full disk the index keeps what it has in memory, and flushes when there is room again.
 * Method: every write fails from call n on; insert until no room; mend; go on; compare. */
TEST(full_disk)
{
    struct work work = {.series = NULL};
    make_model(&work.model);
    for (uint64_t fail_at = 2; fail_at < 120; fail_at += 5) {
        struct os_sim *sim = os_sim_new(3);
        struct os_faulty faulty;
        os_faulty_init(&faulty, os_sim_os(sim));
        cairn_error error = {0};
        CHECK_OK(cairn_series_open(&faulty.os, DIR, &options, &work.series, &error));
        faulty.kinds = OS_FAULT_WRITE | OS_FAULT_SYNC;
        faulty.fail_at = fail_at;
        faulty.fail_forever = true;
        faulty.errno_value = 28;
        work.next = 0;
        while (work.next < EVENTS && try_insert(&work))
            ;
        CHECK(work.errors > 0 || work.next == EVENTS);
        compare(&work);
        faulty.fail_at = 0;
        faulty.fail_forever = false;
        while (work.next < EVENTS)
            CHECK(try_insert(&work));
        work.errors = 0;
        settle(&work);
        CHECK_INT(work.errors, 0);
        compare(&work);
        cairn_series_close(work.series);
        os_sim_free(sim);
    }
    model_free(&work.model);
}

/* Goal: a power cut at any moment leaves an index that opens, and holds nothing that was not durable.
 * Method: cut at every step; what was not synced is dropped, kept, or torn; open, complete, compare. */
TEST(every_power_cut)
{
    struct work work = {.series = NULL};
    make_model(&work.model);
    uint64_t cut = 1, off = 1;
    for (; off; cut++) {
        struct os_sim *sim = os_sim_new(cut);
        os_sim_cut_at(sim, cut);
        work.series = NULL;
        if (play(&work, os_sim_os(sim)))
            settle(&work);
        cairn_series_close(work.series);
        off = os_sim_is_off(sim);
        for (uint64_t how = 0; how < 5; how++) {
            struct os_sim *after
                = os_sim_after_cut(sim, how < 2 ? (enum os_cut)how : OS_CUT_RANDOM, cut * 8 + how);
            recover_and_compare(&work, os_sim_os(after));
            os_sim_free(after);
        }
        os_sim_free(sim);
    }
    CHECK(cut > 50);
    model_free(&work.model);
}

int
main(void)
{
    const struct CMUnitTest tests[]
        = {RUN(every_failing_call), RUN(full_disk), RUN(every_power_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Goal: a process that is killed (SIGKILL) while a projection gives up events leaves each of them as one dead letter, neither lost nor
 * doubled, and a read model that lacks just these.
 * Method: a child appends by several threads, among it events that the table refuses, while the projection follows and is rebuilt again
 * and again; it is killed after a random number of acknowledged appends; the parent opens the folder, lets the projection catch up, and holds
 * the dead letters against the events. And every write and sync of the store's that a letter needs fails in turn. */
#include <os/twin.h>
#include <store/dead.h>
#include <store/store.h>

#include "projection_kill.h"

#define ROUNDS 12

static const char TEXT[] =
    "-- from move\n-- table\n"
    "CREATE TABLE move (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, amount INTEGER NOT NULL CHECK (amount >= 0));\n"
    "-- on Moved\n"
    "INSERT INTO move (id, amount) VALUES (:stream_id, :data.amount);\n";

/* ---- what must be ------------------------------------------------------------------------------------------------ */

struct counts {
    uint64_t refused, letters;
};

/* One letter for each event that the table refuses, of the right position, and no other. */
static struct counts
check_letters(struct rig *rig, const char *when)
{
    struct counts counts = {0};
    uint64_t end = cairn_end(rig->store);
    uint8_t *letters = calloc(end + 1, 1), *refused = calloc(end + 1, 1);
    const cairn_read_options options = {.from = 0};
    struct arena arena = {0};
    cairn_reader *reader;
    cairn_recorded event;
    cairn_err err;
    assert_true(letters != NULL && refused != NULL);
    CHECK_OK(cairn_read_all(rig->store, &options, &reader, NULL));
    while ((err = cairn_reader_next(reader, &event, NULL)) == CAIRN_OK) {
        struct dead_origin origin;
        if (cairn_str_equal(event.event.type, CAIRN_STR("Moved"))) {
            refused[event.position] = memchr(event.event.data.data, '-', event.event.data.size) != NULL;
        } else {
            CHECK(dead_letter_read(&event.event, &arena, &origin) == CAIRN_OK && origin.position < event.position);
            CHECK(cairn_str_equal(origin.app, CAIRN_STR("till")) && cairn_str_equal(origin.name, CAIRN_STR("model")));
            letters[origin.position]++;
        }
    }
    CHECK_INT(err, CAIRN_E_END);
    for (uint64_t i = 0; i < end; i++) {
        if (letters[i] != refused[i])
            fail_msg("%s: event %llu has %u dead letters, not %u", when, (unsigned long long)i, letters[i], refused[i]);
        counts.refused += refused[i];
        counts.letters += letters[i];
    }
    cairn_reader_free(reader);
    arena_free(&arena);
    free(letters);
    free(refused);
    return counts;
}

/* The model that serves says that it lacks them all. */
static void
check_model(struct rig *rig, uint64_t refused)
{
    char text[64];
    struct buf status = {0};
    rig_status(rig, &status);
    snprintf(text, sizeof text, "\"dead_letters\":%llu,", (unsigned long long)refused);
    if (strstr(status.data, text) == NULL)
        fail_msg("not %s in %s", text, status.data);
    buf_free(&status);
}

/* ---- killed ------------------------------------------------------------------------------------------------------ */

static const struct kill_load LOAD = {"move", -20};
static const struct runner_options dead_options = {.on_error = CAIRN_ON_ERROR_DEAD_LETTER, .app = "till", .backoff_us = 100};

TEST(killed_while_giving_up)
{
    struct rig rig;
    struct counts counts = {0};
    uint64_t seed = test_seed();
    rig_open(&rig, TEXT);
    cairn_close(rig.store);
    rig.options = dead_options;
    rig.options.folder = rig.models;
    rig.options.projection = rig.projection;
    for (unsigned round = 0; round < ROUNDS * test_scale(); round++) {
        rig.options.retries = round % 2;
        play_child(&rig, &LOAD, 1 + test_random(&seed) % 300);
        rig_open_store(&rig);
        rig_start(&rig);
        rig_wait(&rig);
        counts = check_letters(&rig, "killed");
        if (round % 3 == 0) { /* a rebuild writes none again */
            uint64_t position;
            cairn_err err = runner_rebuild(rig.runner, 0, CAIRN_ON_ERROR_DEAD_LETTER, NULL);
            CHECK(err == CAIRN_OK || err == CAIRN_E_EXISTS);
            CHECK_OK(runner_rebuild_wait(rig.runner, RIG_WAIT_MS, &position, NULL));
            rig_wait(&rig);
            counts = check_letters(&rig, "rebuilt");
            check_model(&rig, counts.refused);
        }
        rig_stop(&rig, false);
        cairn_on_commit(rig.store, NULL, NULL);
        cairn_close(rig.store);
    }
    printf("%llu refused\n", (unsigned long long)counts.refused);
    CHECK(counts.refused > 20);
    rig_open_store(&rig);
    rig_close(&rig);
}

/* ---- a disk that fails ----------------------------------------------------------------------------------------------- */

static void
open_on(struct rig *rig, struct os *os)
{
    cairn_options options = {.create = true};
    CHECK_OK(cairn_store_open_on(os, rig->store_path, &options, &rig->store, NULL));
    cairn_on_commit(rig->store, rig_committed, rig);
}

TEST(every_failing_call)
{
    struct os_faulty faulty;
    uint64_t failures = 0;
    bool fired = true;
    for (uint64_t fail_at = 1; fired && fail_at < 200; fail_at++) {
        struct rig rig;
        rig_open(&rig, TEXT);
        rig.options = dead_options;
        for (int i = 0; i < 6; i++)
            rig_append(&rig, "move-1", "Moved", i % 2 ? "{\"amount\":-1}" : "{\"amount\":1}");
        uint64_t end = cairn_end(rig.store);
        cairn_on_commit(rig.store, NULL, NULL);
        cairn_close(rig.store);
        os_faulty_init(&faulty, os_real());
        open_on(&rig, &faulty.os);
        faulty.kinds = OS_FAULT_WRITE | OS_FAULT_SYNC;
        faulty.errno_value = fail_at % 2 ? 5 : 28; /* EIO, after which the log takes no more; ENOSPC, which passes */
        faulty.fail_at = fail_at;
        faulty.calls = 0;
        rig_start(&rig);
        cairn_error error = {0}; /* until it is through, or the log has failed and it tries for ever */
        bool through = false;
        for (cairn_stats stats = {0}; !through && !stats.failed; cairn_stats_get(rig.store, &stats))
            through = runner_wait(rig.runner, end, 20, &error) == CAIRN_OK;
        fired = __atomic_load_n(&faulty.fired, __ATOMIC_RELAXED);
        failures += fired;
        rig_stop(&rig, false);
        cairn_on_commit(rig.store, NULL, NULL);
        cairn_close(rig.store);
        rig_open_store(&rig);
        rig_start(&rig);
        rig_wait(&rig);
        CHECK_INT(check_letters(&rig, "a failing call").letters, 3);
        check_model(&rig, 3);
        rig_close(&rig);
    }
    printf("%llu failures\n", (unsigned long long)failures);
    CHECK(failures > 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(killed_while_giving_up), RUN(every_failing_call)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Goal: a process that is killed (SIGKILL) under load, 20 times, leaves read models that equal those built from nothing.
 * Method: a child appends by several threads while a projection follows and is rebuilt again and again; it is killed after a
 * random number of acknowledged appends; each time the parent opens the folder, lets the projection catch up, and
 * compares all rows with those of a projection that begins with nothing. */
#include "projection_kill.h"

#define ROUNDS 20

static const char TEXT[] =
    "-- from account\n-- table\n"
    "CREATE TABLE account (id TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0), moves INTEGER NOT NULL);\n"
    "CREATE TABLE entry (n INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT, amount INTEGER);\n"
    "CREATE VIRTUAL TABLE word USING fts5(text);\n"
    "-- on Moved\n"
    "INSERT INTO entry (account, amount) VALUES (:stream_id, :data.amount);\n"
    "INSERT INTO account VALUES (:stream_id, 0, 0) ON CONFLICT (id) DO NOTHING;\n"
    "UPDATE account SET balance = balance + :data.amount, moves = moves + 1 WHERE id = :stream_id;\n"
    "INSERT INTO word VALUES ('amount ' || :data.amount);\n";

static const struct kill_load LOAD = {"account", -30};

TEST(killed_under_load)
{
    struct rig rig;
    uint64_t seed = test_seed();
    rig_open(&rig, TEXT);
    cairn_close(rig.store);
    rig.options = (struct runner_options){.folder = rig.models, .projection = rig.projection,
                                          .on_error = CAIRN_ON_ERROR_SKIP, .checkpoint_every = 300};
    for (unsigned round = 0; round < ROUNDS * test_scale(); round++) {
        play_child(&rig, &LOAD, 1 + test_random(&seed) % 500);
        rig_open_store(&rig);
        rig_start(&rig);
        rig_wait(&rig);
        struct buf live = {0}, fresh = {0};
        rig_dump(&rig, &live);
        rig_dump_fresh(&rig, &fresh);
        if (strcmp(live.data, fresh.data) != 0)
            fail_msg("round %u: the read model is not what its events make it", round);
        buf_free(&live);
        buf_free(&fresh);
        rig_stop(&rig, false);
        if (round + 1 < ROUNDS * test_scale()) {
            cairn_on_commit(rig.store, NULL, NULL);
            cairn_close(rig.store);
        }
    }
    printf("%llu events\n", (unsigned long long)cairn_end(rig.store));
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(killed_under_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Goal: a process that is killed (SIGKILL) under load, 20 times, leaves read models that equal those built from nothing.
 * Method: a child appends by several threads while a projection follows and is rebuilt again and again; it is killed after a
 * random number of acknowledged appends; each time the parent opens the folder, lets the projection catch up, and
 * compares all rows with those of a projection that begins with nothing. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "projection_rig.h"

#define ROUNDS 20
#define WRITERS 3

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

struct writer {
    struct rig *rig;
    unsigned number;
    int acks;
};

/* Only in the child: its exit says that something was wrong. */
static void
child_fails(const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s\n", what, detail);
    _exit(1);
}

static void *
write_forever(void *context)
{
    struct writer *writer = context;
    uint64_t seed = (uint64_t)getpid() * 31 + writer->number;
    for (;;) {
        char stream[32], data[64];
        snprintf(stream, sizeof stream, "account-%u", (unsigned)(test_random(&seed) % 30));
        snprintf(data, sizeof data, "{\"amount\":%d}", (int)(test_random(&seed) % 100) - 30);
        cairn_event event = {.type = CAIRN_STR("Moved"), .data = cairn_cstr(data)};
        cairn_at at;
        cairn_error error = {0};
        if (cairn_append(writer->rig->store, 0, cairn_cstr(stream), CAIRN_ANY, &event, 1, &at, &error) != CAIRN_OK)
            child_fails("append", error.detail);
        if (write(writer->acks, "a", 1) != 1)
            _exit(1);
    }
    return NULL;
}

static void
run_child(struct rig *rig, int acks)
{
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    struct runner *runner;
    cairn_error error = {0};
    cairn_options options = {.create = true};
    if (cairn_open(rig->store_path, &options, &rig->store, &error) != CAIRN_OK)
        child_fails("store", error.detail);
    rig->options.store = rig->store;
    if (runner_start(&rig->options, &runner, &error) != CAIRN_OK)
        child_fails("runner", error.detail);
    atomic_store(&rig->runner, runner);
    cairn_on_commit(rig->store, rig_committed, rig);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){rig, i, acks};
        if (pthread_create(&threads[i], NULL, write_forever, &writers[i]) != 0)
            child_fails("thread", "");
    }
    for (;;) {
        uint64_t position;
        if (runner_rebuild(runner, 0, CAIRN_ON_ERROR_SKIP, &error) != CAIRN_OK && error.code != CAIRN_E_EXISTS)
            child_fails("rebuild", error.detail);
        if (runner_rebuild_wait(runner, 60000, &position, &error) != CAIRN_OK)
            child_fails("rebuild", error.detail);
    }
}

static void
play_child(struct rig *rig, uint64_t until)
{
    int acks[2], status;
    char one;
    uint64_t seen = 0;
    CHECK_INT(pipe(acks), 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(acks[0]);
        run_child(rig, acks[1]);
    }
    close(acks[1]);
    while (seen < until && read(acks[0], &one, 1) == 1)
        seen++;
    CHECK_INT(seen, until); /* otherwise it has ended by itself */
    CHECK_INT(kill(child, SIGKILL), 0);
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    close(acks[0]);
}

TEST(killed_under_load)
{
    struct rig rig;
    uint64_t seed = test_seed();
    rig_open(&rig, TEXT);
    cairn_close(rig.store);
    rig.options = (struct runner_options){.folder = rig.models, .projection = rig.projection,
                                          .on_error = CAIRN_ON_ERROR_SKIP, .checkpoint_every = 300};
    for (unsigned round = 0; round < ROUNDS * test_scale(); round++) {
        play_child(&rig, 1 + test_random(&seed) % 500);
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

/* tests/projection_kill.h: a process that appends by several threads while a projection follows and is rebuilt again and again, and that is
 * killed (SIGKILL) in the middle of it. */
#ifndef TESTS_PROJECTION_KILL_H
#define TESTS_PROJECTION_KILL_H

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "projection_rig.h"

#define KILL_WRITERS 3

struct kill_load {
    const char *prefix; /* of the streams */
    int least;          /* amounts are from here on, up to 99 more */
};

struct writer {
    struct rig *rig;
    const struct kill_load *load;
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
        snprintf(stream, sizeof stream, "%s-%u", writer->load->prefix, (unsigned)(test_random(&seed) % 30));
        snprintf(data, sizeof data, "{\"amount\":%d}", writer->load->least + (int)(test_random(&seed) % 100));
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
run_child(struct rig *rig, const struct kill_load *load, int acks)
{
    struct writer writers[KILL_WRITERS];
    pthread_t threads[KILL_WRITERS];
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
    for (unsigned i = 0; i < KILL_WRITERS; i++) {
        writers[i] = (struct writer){rig, load, i, acks};
        if (pthread_create(&threads[i], NULL, write_forever, &writers[i]) != 0)
            child_fails("thread", "");
    }
    for (;;) {
        uint64_t position;
        if (runner_rebuild(runner, 0, rig->options.on_error, &error) != CAIRN_OK && error.code != CAIRN_E_EXISTS)
            child_fails("rebuild", error.detail);
        if (runner_rebuild_wait(runner, 60000, &position, &error) != CAIRN_OK)
            child_fails("rebuild", error.detail);
    }
}

/* A child that appends, follows and rebuilds, killed when it has acknowledged so many appends. */
static void
play_child(struct rig *rig, const struct kill_load *load, uint64_t until)
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
        run_child(rig, load, acks[1]);
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

#endif

/* What a machine runs out of: space, file descriptors, the right to write, the folder itself.
 *
 * Each time: the error is clear, what was acknowledged can be read and is still there afterwards, and when
 * the cause is gone writing goes on, without opening the log again. */
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <os/twin.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NOBODY 65534

static void
set_options(struct log_options *options)
{
    cairn_log_defaults(options);
    options->create = options->no_background = true;
    options->segment_size_bytes = 64 << 10;
    options->index_memory_events = 40;
}

static struct log *
open_log(struct os *os, const char *folder, bool background)
{
    struct log_options options;
    struct log *log;
    cairn_error error = {0};
    set_options(&options);
    options.no_background = !background;
    EXPECT_OK(cairn_log_open(os, folder, &options, &log, &error), &error);
    return log;
}

/* Close, open without any limit, compare. */
static void
check_reopened(struct play *play, struct os *os, const char *folder)
{
    cairn_log_close(play->log);
    play->faults = false;
    play->log = open_log(os, folder, false);
    world_adopt(play->world, play->log);
    world_check(play->world, play->log);
    world_verify(play->world, play->log);
    cairn_log_close(play->log);
}

/* Append until the disk is full; it must say so. */
static void
play_until_full(struct play *play, unsigned times_max)
{
    play->faults = true;
    play->err = CAIRN_OK;
    for (unsigned i = 0; play->err == CAIRN_OK; i++) {
        EXPECT(i < times_max, "the disk is never full");
        play_do(play, i % 3 == 2 ? play_bulk : play_append);
        if (i % 4 == 3 && play->err == CAIRN_OK)
            play_do(play, play_maintain);
    }
    EXPECT(play->err == CAIRN_E_NOSPACE, "a full disk: %s (%s)", cairn_err_name(play->err),
           play->error.detail);
    cairn_stats stats;
    cairn_log_stats(play->log, &stats);
    EXPECT(!stats.failed, "a full disk counts as a failure: %s", stats.failure.detail);
    play_do(play, play_append);
    EXPECT(play->err == CAIRN_E_NOSPACE || play->err == CAIRN_OK, "still full: %s (%s)",
           cairn_err_name(play->err), play->error.detail);
    world_check(play->world, play->log);
    play->faults = false;
}

/* ---- a full disk ------------------------------------------------------------------------------ */

/* Goal: a disk that fills up at any byte stops writing, and nothing else; room again, and it goes on.
 * Method: a budget of random size, again and again, on the simulated disk; then a power cut. */
TEST(disk_fills_up_anywhere)
{
    uint64_t seed = test_seed();
    for (unsigned round = 0; round < 40 * test_scale(); round++) {
        struct os_sim *sim = os_sim_new(seed + round);
        struct os_faulty faulty;
        struct world world;
        world_new(&world);
        os_faulty_init(&faulty, os_sim_os(sim));
        struct play play = {.world = &world, .random = seed + round};
        play.log = open_log(&faulty.os, "data", false);
        for (unsigned i = 0; i < 5; i++) {
            faulty.space_left = 3000 + pick(&play, 90000);
            snprintf(world_context, sizeof world_context, "round %u.%u, %llu bytes of space", round, i,
                     (unsigned long long)faulty.space_left);
            play_until_full(&play, 200);
            faulty.space_left = UINT64_MAX;
            play_do(&play, play_append); /* at once, on the same log */
            play_do(&play, play_many);
            play_do(&play, play_maintain);
        }
        struct os_sim *cut = os_sim_after_cut(sim, OS_CUT_RANDOM, seed + round);
        check_reopened(&play, &faulty.os, "data");
        play.log = open_log(os_sim_os(cut), "data", false);
        world_adopt(&world, play.log);
        world_check(&world, play.log);
        cairn_log_close(play.log);
        world_free(&world);
        os_sim_free(cut);
        os_sim_free(sim);
    }
}

/* Goal: the same on a real file system that is full, with the log's own threads.
 * Method: a tmpfs of 1 MiB; somebody else's file fills it, and goes away. */
TEST(real_disk_fills_up)
{
    char path[64], folder[80], ballast[80];
    struct world world;
    uint64_t seed = test_seed();
    test_folder(path);
    if (mount("cairn", path, "tmpfs", 0, "size=1m") != 0) {
        printf("skipped: mounting a tmpfs needs root (%s)\n", strerror(errno));
        test_remove(path);
        skip();
    }
    snprintf(folder, sizeof folder, "%s/log", path);
    snprintf(ballast, sizeof ballast, "%s/ballast", path);
    for (unsigned background = 0; background < 2; background++) {
        world_new(&world);
        struct play play = {.world = &world, .random = seed};
        play.log = open_log(os_real(), folder, background);
        for (unsigned i = 0; i < 10; i++)
            play_do(&play, play_append);
        int file = open(ballast, O_CREAT | O_WRONLY, 0600);
        static const char bytes[4096];
        CHECK(file >= 0);
        while (write(file, bytes, sizeof bytes) > 0)
            ;
        close(file);
        play_until_full(&play, 500);
        CHECK_INT(unlink(ballast), 0);
        play_do(&play, play_append);
        play_do(&play, play_bulk);
        world_check(&world, play.log);
        check_reopened(&play, os_real(), folder);
        world_free(&world);
        test_remove(folder);
    }
    CHECK_INT(umount(path), 0);
    test_remove(path);
}

/* ---- children ------------------------------------------------------------------------------------ */

/* Run in a process of its own, since it changes what the process may do. */
static void
in_child(void (*work)(const char *folder), const char *folder)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        world_in_child = true;
        work(folder);
        fflush(NULL);
        _exit(0);
    }
    int status;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
fill_folder(struct world *world, const char *folder, uint64_t seed)
{
    world_new(world);
    struct play play = {.world = world, .random = seed};
    play.log = open_log(os_real(), folder, false);
    for (unsigned i = 0; i < 20; i++)
        play_do(&play, play_append);
    cairn_log_close(play.log);
}

/* ---- file descriptors --------------------------------------------------------------------------- */

static struct world child_world;

/* Allow exactly the descriptors that are open now, or as many as before. */
static void
limit_descriptors(bool limit)
{
    static struct rlimit before;
    struct rlimit now;
    if (before.rlim_cur == 0)
        CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    if (limit) {
        int lowest = open("/dev/null", O_RDONLY);
        CHECK(lowest >= 0);
        close(lowest);
        now.rlim_cur = (rlim_t)lowest;
    }
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &now), 0);
}

static void
run_out_of_descriptors(const char *folder)
{
    struct play play = {.world = &child_world, .random = 3};
    struct log *second;
    struct log_options options;
    cairn_error error = {0};
    play.log = open_log(os_real(), folder, false);
    play.faults = true;
    limit_descriptors(true);
    unsigned refused = 0;
    for (unsigned i = 0; i < 12; i++) {
        play_do(&play, i % 2 ? play_bulk : play_append);
        EXPECT(play.err == CAIRN_OK || play.err == CAIRN_E_IO, "no descriptors: %s",
               cairn_err_name(play.err));
        EXPECT(play.err == CAIRN_OK || strstr(play.error.detail, "open files") != NULL,
               "the detail is '%s'", play.error.detail);
        refused += play.err != CAIRN_OK;
    }
    EXPECT(refused > 0, "no new segment was ever needed");
    EXPECT(!has_failed(&play), "too few descriptors count as a failure");
    play_do(&play, play_maintain);
    world_check(&child_world, play.log);

    char other[128];
    snprintf(other, sizeof other, "%s-2", folder);
    set_options(&options);
    cairn_err err = cairn_log_open(os_real(), other, &options, &second, &error);
    EXPECT(err == CAIRN_E_IO && strstr(error.detail, "open files") != NULL,
           "opening without descriptors: %s (%s)", cairn_err_name(err), error.detail);

    limit_descriptors(false);
    play.faults = false;
    for (unsigned i = 0; i < 6; i++)
        play_do(&play, play_bulk);
    play_do(&play, play_maintain);
    world_check(&child_world, play.log);
    check_reopened(&play, os_real(), folder);
}

/* Goal: without free descriptors reading goes on, and so does writing until a new file is needed; later all of it.
 * Method: the process's limit is lowered to what is open, then raised again. */
TEST(descriptors_run_out)
{
    char path[64], folder[80];
    test_folder(path);
    snprintf(folder, sizeof folder, "%s/log", path);
    fill_folder(&child_world, folder, test_seed());
    in_child(run_out_of_descriptors, folder);
    world_free(&child_world);
    test_remove(path);
}

/* ---- a folder that may not be written ------------------------------------------------------------ */

static void
use_read_only_folder(const char *folder)
{
    struct log_options options;
    struct log *log = NULL;
    cairn_error error = {0};
    if (geteuid() == 0)
        EXPECT(setgid(NOBODY) == 0 && setuid(NOBODY) == 0, "cannot become nobody");
    set_options(&options);
    cairn_err err = cairn_log_open(os_real(), folder, &options, &log, &error);
    EXPECT(err == CAIRN_E_READONLY && strstr(error.detail, folder) != NULL,
           "opening a read-only folder: %s (%s)", cairn_err_name(err), error.detail);

    options.create = false;
    options.read_only = true;
    EXPECT_OK(cairn_log_open(os_real(), folder, &options, &log, &error), &error);
    world_check(&child_world, log);
    cairn_event event = {.type = CAIRN_STR("Late")};
    cairn_write write = {CAIRN_STR("late"), CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_at at;
    err = cairn_log_append(log, &request, &at, &error);
    EXPECT(err == CAIRN_E_READONLY && error.detail[0] != '\0', "appending to it: %s (%s)",
           cairn_err_name(err), error.detail);
    cairn_log_close(log);
}

/* Goal: a folder without the right to write says so, and can be read.
 * Method: take the rights away, and become somebody whom that concerns. */
TEST(folder_is_read_only)
{
    char path[64], folder[80], command[256];
    test_folder(path);
    snprintf(folder, sizeof folder, "%s/log", path);
    fill_folder(&child_world, folder, test_seed());
    snprintf(command, sizeof command, "chmod 755 '%s' && chmod -R a-w,a+rX '%s'", path, folder);
    CHECK_INT(system(command), 0);
    in_child(use_read_only_folder, folder);
    snprintf(command, sizeof command, "chmod -R u+w '%s'", folder);
    CHECK_INT(system(command), 0);
    struct play play = {.world = &child_world, .random = 9};
    play.log = open_log(os_real(), folder, false);
    play_do(&play, play_append);
    check_reopened(&play, os_real(), folder);
    world_free(&child_world);
    test_remove(path);
}

/* ---- a folder in use -------------------------------------------------------------------------------- */

/* Hold the log open until the pipe is closed. */
static void
hold_log(const char *folder, int ready, int until)
{
    char byte = 1;
    struct log *log = open_log(os_real(), folder, false);
    EXPECT(write(ready, &byte, 1) == 1, "cannot tell");
    (void)!read(until, &byte, 1);
    cairn_log_close(log);
    _exit(0);
}

/* Goal: a folder belongs to one process, and whoever comes second learns to whom.
 * Method: a child holds it; the parent tries, then the child goes. */
TEST(folder_is_in_use)
{
    char path[64], folder[80], pid[32], byte;
    int ready[2], until[2], status;
    test_folder(path);
    snprintf(folder, sizeof folder, "%s/log", path);
    fill_folder(&child_world, folder, test_seed());
    CHECK(pipe(ready) == 0 && pipe(until) == 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        world_in_child = true;
        close(until[1]);
        hold_log(folder, ready[1], until[0]);
    }
    close(until[0]);
    CHECK_INT(read(ready[0], &byte, 1), 1);

    struct log_options options;
    struct log *log = NULL;
    cairn_error error = {0};
    set_options(&options);
    CHECK_INT(cairn_log_open(os_real(), folder, &options, &log, &error), CAIRN_E_LOCKED);
    snprintf(pid, sizeof pid, "pid %ld ", (long)child);
    EXPECT(strstr(error.detail, pid) != NULL && strstr(error.detail, folder) != NULL,
           "the detail is '%s', which does not name %s", error.detail, pid);

    close(until[1]);
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct play play = {.world = &child_world, .random = 9};
    play.log = open_log(os_real(), folder, false);
    CHECK_INT(cairn_log_open(os_real(), folder, &options, &log, &error), CAIRN_E_LOCKED);
    play_do(&play, play_append);
    check_reopened(&play, os_real(), folder);
    close(ready[0]);
    close(ready[1]);
    world_free(&child_world);
    test_remove(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(disk_fills_up_anywhere), RUN(real_disk_fills_up), RUN(descriptors_run_out),
        RUN(folder_is_read_only),    RUN(folder_is_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

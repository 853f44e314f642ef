/* The faulty machine (os/faulty.c), and the simulated one (os/sim*.c) while its power is on. */
#include "unit/os_twin.h"

#include <pthread.h>

/* ---- faulty ---- */

/* What a small program does: 11 calls, of each kind some. The first error. */
static int
write_and_read(struct os *os)
{
    struct os_file *file = NULL;
    char bytes[8];
    uint64_t size;
    int err = os_open(os, "a", OS_WRITE | OS_CREATE, &file);
    ssize_t n = err ? err : os_pwrite(os, file, "12345678", 8, 0);
    if (n >= 0)
        n = os_pread(os, file, bytes, sizeof bytes, 0);
    if (n >= 0)
        n = os_sync(os, file);
    if (n >= 0)
        n = os_size(os, file, &size);
    if (n >= 0)
        n = os_lock(os, file);
    if (n >= 0)
        n = os_truncate(os, file, 4);
    err = os_close(os, file);
    if (n >= 0)
        n = err;
    if (n >= 0)
        n = os_link(os, "a", "b");
    if (n >= 0)
        n = os_unlink(os, "a");
    if (n >= 0)
        n = os_sync_dir(os, "/");
    return (int)n;
}

/* Goal: the n-th call fails, and says its name. Method: n = 1, 2, … until none does. */
TEST(faulty_fails_the_nth_call)
{
    static const char *const names[] = {"open", "pwritev", "pread", "sync", "size", "lock",
                                        "truncate", "close", "link", "unlink", "sync_dir"};
    size_t count = sizeof names / sizeof *names;
    for (size_t i = 0; i <= count; i++) {
        struct os_sim *sim = os_sim_new(1);
        struct os_faulty faulty;
        os_faulty_init(&faulty, os_sim_os(sim));
        faulty.fail_at = i + 1;
        faulty.errno_value = EMFILE;
        CHECK_INT(write_and_read(&faulty.os), i < count ? -EMFILE : 0);
        CHECK_INT(faulty.fired, i < count);
        CHECK_STR(faulty.fired_at, i < count ? names[i] : "");
        if (i == count)
            CHECK_INT(faulty.calls, count);
        os_sim_free(sim);
    }
}

/* Goal: only the kinds chosen count. Method: one kind at a time; how many there are is known. */
TEST(faulty_counts_only_chosen_kinds)
{
    static const struct { unsigned kinds; uint64_t calls; } cases[] = {
        {OS_FAULT_READ, 1}, {OS_FAULT_WRITE, 1}, {OS_FAULT_SYNC, 1}, {OS_FAULT_META, 8},
        {OS_FAULT_READ | OS_FAULT_SYNC, 2}, {0, 0}, {OS_FAULT_ALL, 11},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct os_sim *sim = os_sim_new(1);
        struct os_faulty faulty;
        os_faulty_init(&faulty, os_sim_os(sim));
        faulty.kinds = cases[i].kinds;
        CHECK_INT(write_and_read(&faulty.os), 0);
        CHECK_INT(faulty.calls, cases[i].calls);
        CHECK(!faulty.fired);
        os_sim_free(sim);
    }
}

/* Goal: fail_forever goes on failing, a single fault does not; what failed has not been done. */
TEST(faulty_once_and_forever)
{
    for (int forever = 0; forever < 2; forever++) {
        struct os_sim *sim = os_sim_new(1);
        struct os_faulty faulty;
        os_faulty_init(&faulty, os_sim_os(sim));
        faulty.kinds = OS_FAULT_META;
        faulty.fail_at = 2;
        faulty.fail_forever = forever;
        CHECK_INT(os_mkdir(&faulty.os, "one"), 0);
        CHECK_INT(os_mkdir(&faulty.os, "two"), -EIO);
        CHECK_INT(os_mkdir(&faulty.os, "three"), forever ? -EIO : 0);
        CHECK_STR(faulty.fired_at, "mkdir");
        CHECK(is_there(sim, "one") && !is_there(sim, "two") && is_there(sim, "three") == !forever);
        os_sim_free(sim);
    }
}

/* Goal: a torn write leaves half of its bytes, an untorn one nothing. Method: three uneven pieces. */
TEST(faulty_torn_writes)
{
    struct iovec pieces[3] = {{(char[]){"abc"}, 3}, {(char[]){"defgh"}, 5}, {(char[]){"ij"}, 2}};
    for (int torn = 0; torn < 2; torn++) {
        struct os_sim *sim = os_sim_new(1);
        struct os_faulty faulty;
        os_faulty_init(&faulty, os_sim_os(sim));
        put_text(&faulty.os, "file", "..........");
        struct os_file *file;
        CHECK_INT(os_open(&faulty.os, "file", OS_WRITE, &file), 0);
        faulty.kinds = OS_FAULT_WRITE;
        faulty.fail_at = faulty.calls + 1;
        faulty.torn = torn;
        CHECK_INT(os_pwritev(&faulty.os, file, pieces, 3, 0), -EIO);
        CHECK(holds(&faulty.os, "file", torn ? "abcde....." : ".........."));
        CHECK_INT(os_pwritev(&faulty.os, file, pieces, 3, 0), 10);
        CHECK(holds(&faulty.os, "file", "abcdefghij"));
        CHECK_INT(os_close(&faulty.os, file), 0);
        os_sim_free(sim);
    }
}

/* Goal: growth ends at the limit, overwriting does not; what is given back can be used again. */
TEST(faulty_space)
{
    struct os_sim *sim = os_sim_new(1);
    struct os_faulty faulty;
    os_faulty_init(&faulty, os_sim_os(sim));
    struct os *os = &faulty.os;
    faulty.space_left = 10;
    struct os_file *file;
    uint64_t size, space;
    CHECK_INT(os_open(os, "file", OS_WRITE | OS_CREATE, &file), 0);
    CHECK_INT(os_pwrite(os, file, "1234567", 7, 0), 7);
    CHECK_INT(os_free_space(os, "/", &space), 0);
    CHECK_INT(space, 3);
    CHECK_INT(os_pwrite(os, file, "ABCDEFG", 7, 5), -ENOSPC); /* 5 more than there are, 3 of them fit */
    CHECK_INT(os_size(os, file, &size), 0);
    CHECK_INT(size, 10);
    CHECK_INT(os_pwrite(os, file, "abcdefghij", 10, 0), 10);
    CHECK_INT(os_truncate(os, file, 11), -ENOSPC);
    CHECK_INT(os_truncate(os, file, 4), 0);
    CHECK_INT(os_pwrite(os, file, "456789", 6, 4), 6);
    CHECK_INT(os_pwrite(os, file, "x", 1, 10), -ENOSPC);
    CHECK(!faulty.fired);
    faulty.space_left = UINT64_MAX;
    CHECK_INT(os_pwrite(os, file, "x", 1, 10), 1);
    CHECK_INT(os_close(os, file), 0);
    CHECK(holds(os, "file", "abcd456789x"));
    os_sim_free(sim);
}

static void *
read_often(void *context)
{
    struct os_faulty *faulty = context;
    struct os_file *file;
    intptr_t failures = 0;
    if (os_open(&faulty->os, "/dev/zero", OS_READ, &file))
        return (void *)(intptr_t)-1;
    for (int i = 0; i < 1000; i++) {
        char byte;
        failures += os_pread(&faulty->os, file, &byte, 1, 0) < 0;
    }
    os_close(&faulty->os, file);
    return (void *)failures;
}

/* Goal: counting is right with threads. Method: four of them, one fault among 4,000 reads; then all
 * after the 2,000th. */
TEST(faulty_counts_across_threads)
{
    for (int forever = 0; forever < 2; forever++) {
        struct os_faulty faulty;
        os_faulty_init(&faulty, os_real());
        faulty.kinds = OS_FAULT_READ;
        faulty.fail_at = 2001;
        faulty.fail_forever = forever;
        pthread_t threads[4];
        intptr_t failures = 0;
        for (int i = 0; i < 4; i++)
            CHECK_INT(pthread_create(&threads[i], NULL, read_often, &faulty), 0);
        for (int i = 0; i < 4; i++) {
            void *result;
            CHECK_INT(pthread_join(threads[i], &result), 0);
            failures += (intptr_t)result;
        }
        CHECK_INT(faulty.calls, 4000);
        CHECK_INT(failures, forever ? 2000 : 1);
        CHECK_STR(faulty.fired_at, "pread");
    }
}

/* ---- sim: the machine while it is on ---- */

/* Goal: errors are those of a real machine. Method: each by its cause. */
TEST(sim_errors)
{
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    struct os_file *file, *other;
    char byte;
    uint64_t size;
    CHECK_INT(os_open(os, "file", OS_WRITE, &file), -ENOENT);
    CHECK_INT(os_open(os, "", OS_READ, &file), -ENOENT);
    CHECK_INT(os_open(os, "no/file", OS_WRITE | OS_CREATE, &file), -ENOENT);
    put_text(os, "/file", "0123456789");
    CHECK_INT(os_open(os, "file", OS_WRITE | OS_CREATE | OS_EXCLUSIVE, &file), -EEXIST);
    CHECK_INT(os_open(os, "file/x", OS_READ, &file), -ENOTDIR);
    CHECK_INT(os_open(os, ".", OS_WRITE, &file), -EISDIR);

    CHECK_INT(os_open(os, "./file", OS_READ, &file), 0);
    CHECK_INT(os_pwrite(os, file, "x", 1, 0), -EBADF);
    CHECK_INT(os_truncate(os, file, 0), -EINVAL);
    CHECK_INT(os_pread(os, file, &byte, 1, 10), 0);
    CHECK_INT(os_open(os, "//file", OS_WRITE, &other), 0);
    CHECK_INT(os_lock(os, file), 0);
    CHECK_INT(os_lock(os, other), -EWOULDBLOCK);
    CHECK_INT(os_close(os, file), 0);
    CHECK_INT(os_lock(os, other), 0);
    struct iovec none = {NULL, 0};
    CHECK_INT(os_pwritev(os, other, &none, 1025, 0), -EINVAL);
    CHECK_INT(os_pwrite(os, other, "x", 1, UINT64_C(1) << 40), -EFBIG);
    CHECK_INT(os_pwrite(os, other, "x", 1, UINT64_MAX), -EINVAL);
    CHECK_INT(os_unlink(os, "file"), 0); /* an open file stays readable */
    CHECK_INT(os_pread(os, other, &byte, 1, 9), 1);
    CHECK_INT(os_size(os, other, &size), 0);
    CHECK_INT(os_close(os, other), 0);

    CHECK_INT(os_mkdir(os, "d"), 0);
    CHECK_INT(os_mkdir(os, "d/e"), 0);
    CHECK_INT(os_mkdir(os, "/"), -EEXIST);
    CHECK_INT(os_rename(os, "d", "d/e/f"), -EINVAL);
    CHECK_INT(os_rename(os, "d", "."), -EBUSY);
    CHECK_INT(os_link(os, "d", "l"), -EPERM);
    CHECK_INT(os_unlink(os, "d"), -EISDIR);
    CHECK_INT(os_sync_dir(os, "none"), -ENOENT);
    CHECK_INT(os_free_space(os, "none", &size), -ENOENT);
    put_text(os, "d/e/../../x", "x");
    CHECK(holds(os, "x", "x"));
    CHECK_INT(os_sync_dir(os, "x"), -ENOTDIR);

    char name[300];
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    CHECK_INT(os_mkdir(os, name), -ENAMETOOLONG);
    name[255] = '\0';
    CHECK_INT(os_mkdir(os, name), 0);
    os_sim_free(sim);
}

/* Goal: the clock starts where the header says, ticks, and can be set; randomness comes from the seed. */
TEST(sim_clock_and_randomness)
{
    struct os_sim *sim = os_sim_new(7), *same = os_sim_new(7), *other = os_sim_new(8);
    struct os *os = os_sim_os(sim);
    int64_t start = os_now_us(os), mono = os_monotonic_us(os);
    CHECK(start == INT64_C(1767225600000000));
    CHECK(mono > 0);
    CHECK_INT(os_now_us(os), start + 2);
    CHECK(os_monotonic_us(os) > mono);
    os_sim_set_time(sim, 1000);
    CHECK_INT(os_now_us(os), 1000);
    CHECK_INT(os_now_us(os), 1001);
    uint8_t a[21], b[21], c[21];
    os_random(os, a, sizeof a);
    os_random(os_sim_os(same), b, sizeof b);
    os_random(os_sim_os(other), c, sizeof c);
    CHECK(memcmp(a, b, sizeof a) == 0);
    CHECK(memcmp(a, c, sizeof a) != 0);
    os_random(os, b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    os_sim_free(sim);
    os_sim_free(same);
    os_sim_free(other);
}

/* Goal: a full disk refuses growth and only growth; space comes back. Method: 3 blocks of 4 KiB. */
TEST(sim_space)
{
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    static uint8_t bytes[16384];
    uint64_t space;
    put(os, "old", bytes, 4096, 0, true);
    os_sim_set_space(sim, 3 * 4096);
    struct os_file *file;
    CHECK_INT(os_open(os, "new", OS_WRITE | OS_CREATE, &file), 0);
    CHECK_INT(os_pwrite(os, file, bytes, sizeof bytes, 0), -ENOSPC);
    CHECK_INT(os_sim_file_size(sim, "new"), 3 * 4096);
    CHECK_INT(os_free_space(os, "/", &space), 0);
    CHECK_INT(space, 0);
    CHECK_INT(os_pwrite(os, file, bytes, 3 * 4096, 0), 3 * 4096);
    put(os, "old", bytes, 100, 10, true);
    CHECK_INT(os_truncate(os, file, 4096), 0);
    CHECK_INT(os_free_space(os, "/", &space), 0);
    CHECK_INT(space, 2 * 4096);
    CHECK_INT(os_unlink(os, "old"), 0);
    CHECK_INT(os_unlink(os, "new"), 0);
    CHECK_INT(os_free_space(os, "/", &space), 0);
    CHECK_INT(space, 3 * 4096); /* "new" is still open */
    CHECK_INT(os_pwrite(os, file, bytes, 4096, 4096), 4096);
    CHECK_INT(os_close(os, file), 0);
    CHECK_INT(os_free_space(os, "/", &space), 0);
    CHECK_INT(space, 4 * 4096);
    os_sim_set_space(sim, UINT64_MAX);
    put(os, "big", bytes, sizeof bytes, 1 << 20, true);
    struct os_sim *cut = after(sim, OS_CUT_KEEP, 1);
    CHECK_INT(os_sim_file_size(cut, "big"), (1 << 20) + 16384);
    os_sim_free(cut);
    os_sim_free(sim);
}

static const char *
random_path(const char *folder, uint64_t *seed)
{
    static const char *const names[] = {"a", "b", "c", "d/a", "d/b", "e/a", "d", "e", "d/e", "e/d/a"};
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, 128, "%s/%s", folder, names[test_random(seed) % (sizeof names / sizeof *names)]);
    return path;
}

/* One random call on both machines; both must answer the same. */
static void
call_both(struct os *real, struct os *sim, const char *folder, uint64_t *seed)
{
    static uint8_t bytes[20000], got_real[30000], got_sim[30000];
    const char *path = random_path(folder, seed), *to = random_path(folder, seed);
    uint64_t draw = test_random(seed);
    switch (draw % 8) {
    case 0:
        CHECK_INT(os_rename(real, path, to), os_rename(sim, path, to));
        return;
    case 1:
        CHECK_INT(os_link(real, path, to), os_link(sim, path, to));
        return;
    case 2:
        CHECK_INT(os_unlink(real, path), os_unlink(sim, path));
        return;
    case 3:
        CHECK_INT(os_mkdir(real, path), os_mkdir(sim, path));
        return;
    }
    int flags = OS_WRITE | ((draw >> 8) % 2 ? OS_CREATE : 0) | ((draw >> 9) % 4 == 0 ? OS_TRUNCATE : 0) |
                ((draw >> 11) % 4 == 0 && (draw >> 8) % 2 ? OS_EXCLUSIVE : 0);
    struct os_file *file_real, *file_sim;
    int err = os_open(real, path, flags, &file_real);
    CHECK_INT(os_open(sim, path, flags, &file_sim), err);
    if (err)
        return;
    size_t size = (size_t)(draw >> 16) % sizeof bytes, at = (size_t)(draw >> 32) % 5000;
    fill(bytes, size, draw);
    if ((draw >> 13) % 3 == 0) {
        CHECK_INT(os_truncate(real, file_real, at), 0);
        CHECK_INT(os_truncate(sim, file_sim, at), 0);
    } else {
        CHECK_INT(os_pwrite(real, file_real, bytes, size, at), size);
        CHECK_INT(os_pwrite(sim, file_sim, bytes, size, at), size);
    }
    ssize_t n = os_pread(real, file_real, got_real, sizeof got_real, at / 2);
    CHECK_INT(os_pread(sim, file_sim, got_sim, sizeof got_sim, at / 2), n);
    CHECK(memcmp(got_real, got_sim, (size_t)n) == 0);
    CHECK_INT(os_close(real, file_real), 0);
    CHECK_INT(os_close(sim, file_sim), 0);
}

/* Goal: while it is on, the simulated machine behaves as the real one. Method: random calls on both. */
TEST(sim_behaves_as_the_real_machine)
{
    char folder[64];
    test_folder(folder);
    uint64_t seed = test_seed();
    struct os_sim *sim = os_sim_new(1);
    char *slash = strrchr(folder, '/'), parent[64];
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - folder), folder);
    for (char *end = strchr(parent + 1, '/'); end; end = strchr(end + 1, '/')) {
        *end = '\0';
        CHECK_INT(os_mkdir(os_sim_os(sim), parent), 0);
        *end = '/';
    }
    CHECK_INT(os_mkdir(os_sim_os(sim), parent), 0);
    CHECK_INT(os_mkdir(os_sim_os(sim), folder), 0);
    for (unsigned i = 0; i < 3000 * test_scale(); i++)
        call_both(os_real(), os_sim_os(sim), folder, &seed);
    os_sim_free(sim);
    test_remove(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(faulty_fails_the_nth_call),
        RUN(faulty_counts_only_chosen_kinds),
        RUN(faulty_once_and_forever),
        RUN(faulty_torn_writes),
        RUN(faulty_space),
        RUN(faulty_counts_across_threads),
        RUN(sim_errors),
        RUN(sim_clock_and_randomness),
        RUN(sim_space),
        RUN(sim_behaves_as_the_real_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

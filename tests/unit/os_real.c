/* The real machine (os/real.c) and whole files (os/file.c).
 *
 * This program has its own pread, pwrite, pwritev and fdatasync, which take the place of the C
 * library's, so that short and interrupted calls happen when a test wants them. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <os/twin.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

/* ---- calls that come back early ---- */

static size_t short_max;     /* 0: as the kernel does it */
static unsigned interrupts;  /* how many calls still fail with EINTR */
static unsigned short_calls; /* how many came back short */

static bool
is_interrupted(void)
{
    if (interrupts == 0)
        return false;
    interrupts--;
    errno = EINTR;
    return true;
}

static size_t
shorten(size_t size)
{
    if (short_max == 0 || size <= short_max)
        return size;
    short_calls++;
    return short_max;
}

ssize_t
pread(int fd, void *to, size_t size, off_t offset)
{
    return is_interrupted() ? -1 : syscall(SYS_pread64, fd, to, shorten(size), offset);
}

ssize_t
pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return is_interrupted() ? -1 : syscall(SYS_pwrite64, fd, bytes, shorten(size), offset);
}

ssize_t
pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    if (is_interrupted())
        return -1;
    if (short_max == 0)
        return syscall(SYS_pwritev, fd, pieces, count, offset, 0);
    ssize_t written = 0;
    for (int i = 0; i < count; i++) {
        size_t left = short_max - (size_t)written;
        size_t size = pieces[i].iov_len < left ? pieces[i].iov_len : left;
        written += syscall(SYS_pwrite64, fd, pieces[i].iov_base, size, offset + written);
        short_calls += size < pieces[i].iov_len;
        if (size < pieces[i].iov_len)
            break;
    }
    return written;
}

int
fdatasync(int fd)
{
    return is_interrupted() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

/* ---- helpers ---- */

static char folder[64];

static int
set_up(void **state)
{
    (void)state;
    test_folder(folder);
    short_max = 0;
    interrupts = short_calls = 0;
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    test_remove(folder);
    return 0;
}

/* A path in the test's folder. Valid until the eighth next call. */
static const char *
in_folder(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

static void
put_file(const char *path, const char *text)
{
    struct os *os = os_real();
    struct os_file *file;
    CHECK_INT(os_open(os, path, OS_WRITE | OS_CREATE | OS_TRUNCATE, &file), 0);
    CHECK_INT(os_pwrite(os, file, text, strlen(text), 0), strlen(text));
    CHECK_INT(os_close(os, file), 0);
}

static void
check_file(const char *path, const char *text)
{
    char *bytes;
    size_t size;
    CHECK_INT(os_read_file(os_real(), path, 4096, &bytes, &size), 0);
    CHECK_STR(bytes, text);
    CHECK_INT(size, strlen(text));
    free(bytes);
}

static void
count_name(void *context, const char *name)
{
    (void)name;
    ++*(unsigned *)context;
}

/* ---- tests ---- */

/* Goal: open's flags mean what the header says. Method: each, with the file there and not there. */
TEST(open_flags)
{
    struct os *os = os_real();
    struct os_file *file = NULL;
    const char *path = in_folder("file");
    CHECK_INT(os_open(os, path, OS_READ, &file), -ENOENT);
    CHECK_INT(os_open(os, path, OS_WRITE, &file), -ENOENT);
    CHECK_INT(os_open(os, in_folder("no/file"), OS_WRITE | OS_CREATE, &file), -ENOENT);
    CHECK(file == NULL); /* untouched by failures */

    CHECK_INT(os_open(os, path, OS_WRITE | OS_CREATE | OS_EXCLUSIVE, &file), 0);
    CHECK_INT(os_pwrite(os, file, "hello", 5, 0), 5);
    CHECK_INT(os_close(os, file), 0);
    CHECK_INT(os_open(os, path, OS_WRITE | OS_CREATE | OS_EXCLUSIVE, &file), -EEXIST);

    CHECK_INT(os_open(os, path, OS_WRITE | OS_CREATE, &file), 0);
    uint64_t size;
    CHECK_INT(os_size(os, file, &size), 0);
    CHECK_INT(size, 5);
    CHECK_INT(os_close(os, file), 0);
    CHECK_INT(os_open(os, path, OS_WRITE | OS_TRUNCATE, &file), 0);
    CHECK_INT(os_size(os, file, &size), 0);
    CHECK_INT(size, 0);
    CHECK_INT(os_close(os, file), 0);

    CHECK_INT(os_open(os, path, OS_READ, &file), 0);
    CHECK_INT(os_pwrite(os, file, "x", 1, 0), -EBADF);
    CHECK_INT(os_close(os, file), 0);
    CHECK_INT(os_close(os, NULL), 0);
    CHECK_INT(os_open(os, folder, OS_WRITE, &file), -EISDIR);
}

/* Goal: a program that is started does not inherit our files. Method: look at the descriptor. */
TEST(files_are_closed_on_exec)
{
    int fd = open("/dev/null", O_RDONLY);
    close(fd); /* the next file opened gets the same number */
    struct os_file *file;
    CHECK_INT(os_open(os_real(), in_folder("file"), OS_WRITE | OS_CREATE, &file), 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK_INT(os_close(os_real(), file), 0);
}

/* Goal: reads stop at the end of the file and nowhere else. Method: before, across and behind it. */
TEST(read_past_the_end)
{
    struct os *os = os_real();
    put_file(in_folder("file"), "0123456789");
    struct os_file *file;
    CHECK_INT(os_open(os, in_folder("file"), OS_READ, &file), 0);
    char bytes[32];
    CHECK_INT(os_pread(os, file, bytes, 4, 2), 4);
    CHECK(memcmp(bytes, "2345", 4) == 0);
    CHECK_INT(os_pread(os, file, bytes, sizeof bytes, 7), 3);
    CHECK(memcmp(bytes, "789", 3) == 0);
    CHECK_INT(os_pread(os, file, bytes, sizeof bytes, 10), 0);
    CHECK_INT(os_pread(os, file, bytes, sizeof bytes, 1000), 0);
    CHECK_INT(os_pread(os, file, bytes, sizeof bytes, UINT64_MAX), -EINVAL);
    CHECK_INT(os_close(os, file), 0);
}

#define MUCH (1u << 20)

/* Is the file's first page in memory? Asked without asking for it. */
static bool
is_in_memory(int descriptor)
{
    unsigned char there = 0;
    void *page = mmap(NULL, 1, PROT_READ, MAP_SHARED, descriptor, 0);
    CHECK(page != MAP_FAILED);
    CHECK_INT(mincore(page, 1, &there), 0);
    CHECK_INT(munmap(page, 1), 0);
    return there & 1;
}

/* Goal: a read that may not wait gives what is in the page cache, and otherwise says that it would have to wait; what has been
 * brought there is there.
 * Method: a synced file is dropped from the cache. To read may be to ask for it, so that it may be there a moment later: of some
 * tries one at least has to be told that it is not there. */
TEST(reads_that_may_not_wait)
{
    struct os *os = os_real();
    char *bytes = calloc(1, MUCH);
    struct os_file *file;
    CHECK(bytes != NULL);
    bytes[MUCH - 1] = 'e';
    CHECK_INT(os_open(os, in_folder("file"), OS_WRITE | OS_CREATE, &file), 0);
    CHECK_INT(os_pwrite(os, file, bytes, MUCH, 0), MUCH);
    CHECK_INT(os_sync(os, file), 0);
    int descriptor = os_descriptor(os, file);
    CHECK(descriptor >= 0 && os_reads_are_waiting());

    os_reads_wait(false);
    CHECK(!os_reads_are_waiting());
    ssize_t n = os_pread(os, file, bytes, 10, MUCH - 3);
    bool can_tell = n != -EAGAIN; /* not every file system can */
    if (can_tell) {
        CHECK_INT(n, 3);
        CHECK_INT(os_pread(os, file, bytes, OS_AT_ONCE_MAX, 0), OS_AT_ONCE_MAX);
        CHECK_INT(os_pread(os, file, bytes, 10, MUCH), 0);
        CHECK_INT(os_descriptor_bring(descriptor, 0, MUCH), 0);
    } else {
        print_message("this file system cannot tell what is in memory\n");
    }
    CHECK_INT(os_pread(os, file, bytes, OS_AT_ONCE_MAX + 1, 0), -EAGAIN);
    unsigned dropped = 0, told_of_read = 0, told_of_bring = 0;
    for (int i = 0; i < 100; i++) {
        CHECK_INT(posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED), 0);
        dropped += !is_in_memory(descriptor);
        n = os_pread(os, file, bytes, 10, 0);
        CHECK(n == -EAGAIN || n == 10);
        told_of_read += n == -EAGAIN;
        CHECK_INT(posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED), 0);
        told_of_bring += os_descriptor_bring(descriptor, 0, MUCH) == -EAGAIN;
    }
    CHECK(dropped == 0 || (told_of_read > 0 && told_of_bring > 0));

    os_reads_wait(true);
    CHECK(os_reads_are_waiting());
    CHECK_INT(os_descriptor_bring(descriptor, 0, MUCH), 0);
    os_reads_wait(false);
    CHECK_INT(os_descriptor_bring(descriptor, 0, MUCH), can_tell ? 0 : -EAGAIN);
    os_reads_wait(true);
    memset(bytes, 'x', MUCH);
    CHECK_INT(os_pread(os, file, bytes, MUCH, 0), MUCH);
    CHECK(bytes[0] == 0 && bytes[MUCH - 1] == 'e');
    os_descriptor_close(descriptor);
    CHECK_INT(os_close(os, file), 0);
    free(bytes);
}

/* Pieces of 0, 1, 2 … bytes with running content; returns the sum of their sizes. */
static size_t
make_pieces(struct iovec *pieces, int count, uint8_t *bytes)
{
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        pieces[i] = (struct iovec){bytes + size, (size_t)i % 97};
        for (size_t k = 0; k < pieces[i].iov_len; k++)
            bytes[size + k] = (uint8_t)((size + k) * 131 >> 3);
        size += pieces[i].iov_len;
    }
    return size;
}

/* Goal: many pieces arrive whole and in order. Method: 1,024 of them; one more is refused. */
TEST(write_many_pieces)
{
    enum { COUNT = 1024 };
    struct os *os = os_real();
    struct iovec *pieces = calloc(COUNT + 1, sizeof *pieces);
    uint8_t *bytes = malloc(COUNT * 97), *back = malloc(COUNT * 97);
    size_t size = make_pieces(pieces, COUNT, bytes);
    pieces[COUNT] = (struct iovec){bytes, 1};

    struct os_file *file;
    CHECK_INT(os_open(os, in_folder("file"), OS_WRITE | OS_CREATE, &file), 0);
    CHECK_INT(os_pwritev(os, file, pieces, COUNT, 1000), size);
    CHECK_INT(os_pread(os, file, back, size, 1000), size);
    CHECK(memcmp(back, bytes, size) == 0);
    CHECK_INT(os_pwritev(os, file, pieces, COUNT + 1, 0), -EINVAL);
    CHECK_INT(os_pwritev(os, file, pieces, -1, 0), -EINVAL);
    CHECK_INT(os_pwritev(os, file, pieces, 0, 0), 0);
    CHECK_INT(os_close(os, file), 0);
    free(pieces);
    free(bytes);
    free(back);
}

/* Goal: short and interrupted calls are carried on. Method: let the calls of this program do only a few
 * bytes at a time, for piece borders at every distance. */
TEST(short_and_interrupted_calls_are_carried_on)
{
    enum { COUNT = 40 };
    struct os *os = os_real();
    struct iovec pieces[COUNT], before[COUNT];
    uint8_t bytes[COUNT * 97], back[COUNT * 97];
    size_t size = make_pieces(pieces, COUNT, bytes);
    memcpy(before, pieces, sizeof pieces);
    struct os_file *file;
    CHECK_INT(os_open(os, in_folder("file"), OS_WRITE | OS_CREATE, &file), 0);
    for (short_max = 1; short_max < 200; short_max += 3) {
        memset(back, 0, sizeof back);
        CHECK_INT(os_truncate(os, file, 0), 0);
        short_calls = 0;
        interrupts = 3;
        CHECK_INT(os_pwritev(os, file, pieces, COUNT, 5), size);
        CHECK_INT(interrupts, 0);
        CHECK(short_calls > 0);
        interrupts = 3;
        CHECK_INT(os_pread(os, file, back, size, 5), size);
        CHECK_INT(interrupts, 0);
        CHECK(memcmp(back, bytes, size) == 0);
        CHECK(memcmp(before, pieces, sizeof pieces) == 0); /* the caller's */
    }
    short_max = 0;
    interrupts = 2;
    CHECK_INT(os_sync(os, file), 0);
    CHECK_INT(interrupts, 0);
    CHECK_INT(os_close(os, file), 0);
}

/* Goal: a write that cannot be finished is an error, not a short success. Method: a file size limit
 * in the midst of it. */
TEST(write_over_a_limit_fails)
{
    struct os *os = os_real();
    struct rlimit before, limit;
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 10000;
    signal(SIGXFSZ, SIG_IGN);
    struct os_file *file;
    CHECK_INT(os_open(os, in_folder("file"), OS_WRITE | OS_CREATE, &file), 0);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    static char bytes[8192];
    struct iovec pieces[2] = {{bytes, sizeof bytes}, {bytes, sizeof bytes}};
    ssize_t n = os_pwritev(os, file, pieces, 2, 0);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    CHECK_INT(n, -EFBIG);
    uint64_t size;
    CHECK_INT(os_size(os, file, &size), 0);
    CHECK(size <= 10000);
    CHECK_INT(os_close(os, file), 0);
}

/* Goal: truncate both ways; the new part reads as zeros. */
TEST(truncate_shrinks_and_grows)
{
    struct os *os = os_real();
    put_file(in_folder("file"), "0123456789");
    struct os_file *file;
    CHECK_INT(os_open(os, in_folder("file"), OS_WRITE, &file), 0);
    CHECK_INT(os_truncate(os, file, 4), 0);
    CHECK_INT(os_truncate(os, file, 8), 0);
    char bytes[16];
    CHECK_INT(os_pread(os, file, bytes, sizeof bytes, 0), 8);
    CHECK(memcmp(bytes, "0123\0\0\0\0", 8) == 0);
    CHECK_INT(os_truncate(os, file, UINT64_MAX), -EINVAL);
    CHECK_INT(os_close(os, file), 0);
}

/* Goal: one holder of a lock at a time. Method: two opens of one file in this process. */
TEST(lock_excludes_other_opens)
{
    struct os *os = os_real();
    struct os_file *one, *two;
    CHECK_INT(os_open(os, in_folder("LOCK"), OS_WRITE | OS_CREATE, &one), 0);
    CHECK_INT(os_open(os, in_folder("LOCK"), OS_WRITE, &two), 0);
    CHECK_INT(os_lock(os, one), 0);
    CHECK_INT(os_lock(os, one), 0);
    CHECK_INT(os_lock(os, two), -EWOULDBLOCK);
    CHECK_INT(os_close(os, one), 0);
    CHECK_INT(os_lock(os, two), 0);
    CHECK_INT(os_close(os, two), 0);
}

/* Goal: names come, go and move, and each mistake has its own answer. */
TEST(names)
{
    struct os *os = os_real();
    put_file(in_folder("a"), "A");
    CHECK_INT(os_link(os, in_folder("a"), in_folder("b")), 0);
    CHECK_INT(os_link(os, in_folder("a"), in_folder("b")), -EEXIST);
    CHECK_INT(os_link(os, in_folder("none"), in_folder("c")), -ENOENT);
    CHECK_INT(os_unlink(os, in_folder("a")), 0);
    CHECK_INT(os_unlink(os, in_folder("a")), -ENOENT);
    check_file(in_folder("b"), "A");
    put_file(in_folder("c"), "C");
    CHECK_INT(os_rename(os, in_folder("c"), in_folder("b")), 0);
    CHECK_INT(os_rename(os, in_folder("c"), in_folder("b")), -ENOENT);
    check_file(in_folder("b"), "C");

    CHECK_INT(os_mkdir(os, in_folder("sub")), 0);
    CHECK_INT(os_mkdir(os, in_folder("sub")), -EEXIST);
    CHECK_INT(os_mkdir(os, in_folder("b")), -EEXIST);
    CHECK_INT(os_mkdir(os, in_folder("no/sub")), -ENOENT);
    CHECK_INT(os_rename(os, in_folder("b"), in_folder("sub")), -EISDIR);

    unsigned count = 0;
    CHECK_INT(os_list(os, folder, count_name, &count), 0);
    CHECK_INT(count, 2);
    CHECK_INT(os_list(os, in_folder("sub"), count_name, &count), 0);
    CHECK_INT(count, 2);
    CHECK_INT(os_list(os, in_folder("none"), count_name, &count), -ENOENT);
    CHECK_INT(os_list(os, in_folder("b"), count_name, &count), -ENOTDIR);
    CHECK_INT(os_sync_dir(os, folder), 0);
    CHECK_INT(os_sync_dir(os, in_folder("none")), -ENOENT);
    CHECK_INT(os_sync_dir(os, in_folder("b")), -ENOTDIR);
}

/* Goal: space, clocks and randomness are plausible. Method: compare with the C library's. */
TEST(space_clocks_randomness)
{
    struct os *os = os_real();
    uint64_t space = UINT64_MAX;
    CHECK_INT(os_free_space(os, folder, &space), 0);
    CHECK(space < UINT64_C(1) << 60);
    CHECK_INT(os_free_space(os, in_folder("none"), &space), -ENOENT);

    int64_t before = (int64_t)time(NULL) * 1000000;
    int64_t now = os_now_us(os);
    CHECK(now >= before - 1000000 && now < before + 60 * 1000000);
    int64_t first = os_monotonic_us(os);
    CHECK(first > 0 && os_monotonic_us(os) >= first);

    uint8_t bytes[1000] = {0};
    unsigned counts[256] = {0}, different = 0;
    os_random(os, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        different += counts[bytes[i]]++ == 0;
    CHECK(different > 200); /* 251 expected; fewer than 200: never */
}

/* Goal: a whole file or an error. Method: sizes around the limit, an empty file, a file of /proc that
 * claims to be empty. */
TEST(read_whole_files)
{
    struct os *os = os_real();
    char *bytes = NULL;
    size_t size = 0;
    put_file(in_folder("ten"), "0123456789");
    put_file(in_folder("empty"), "");
    CHECK_INT(os_read_file(os, in_folder("none"), 10, &bytes, &size), -ENOENT);
    CHECK_INT(os_read_file(os, in_folder("ten"), 9, &bytes, &size), -EFBIG);
    CHECK_INT(os_read_file(os, folder, 1 << 20, &bytes, &size), -EISDIR);
    CHECK(bytes == NULL);
    CHECK_INT(os_read_file(os, in_folder("ten"), 10, &bytes, &size), 0);
    CHECK_INT(size, 10);
    CHECK_STR(bytes, "0123456789");
    free(bytes);
    CHECK_INT(os_read_file(os, in_folder("ten"), SIZE_MAX, &bytes, &size), 0);
    CHECK_INT(size, 10);
    free(bytes);
    CHECK_INT(os_read_file(os, in_folder("empty"), 0, &bytes, &size), 0);
    CHECK_INT(size, 0);
    CHECK_STR(bytes, "");
    free(bytes);
    CHECK_INT(os_read_file(os, "/proc/self/status", 1 << 20, &bytes, &size), 0);
    CHECK(size > 100 && strlen(bytes) == size);
    free(bytes);
    CHECK_INT(os_read_file(os, "/proc/self/status", 64, &bytes, &size), -EFBIG);
}

/* Goal: a replaced file holds the old or the new content, whichever call fails. Method: fail call 1,
 * 2, … (writes half done) until none does. */
TEST(replace_survives_every_failing_call)
{
    struct os_faulty faulty;
    unsigned kept = 0, replaced = 0;
    for (uint64_t fail_at = 1;; fail_at++) {
        put_file(in_folder("config"), "old content");
        os_faulty_init(&faulty, os_real());
        faulty.fail_at = fail_at;
        faulty.torn = true;
        int err = os_replace_file(&faulty.os, folder, "config", "NEW", 3);
        CHECK_INT(err, faulty.fired ? -EIO : 0);
        char *bytes;
        size_t size;
        CHECK_INT(os_read_file(os_real(), in_folder("config"), 100, &bytes, &size), 0);
        bool is_new = strcmp(bytes, "NEW") == 0;
        CHECK(is_new || (err && strcmp(bytes, "old content") == 0));
        free(bytes);
        unsigned count = 0;
        CHECK_INT(os_list(os_real(), folder, count_name, &count), 0);
        CHECK_INT(count, 1); /* nothing left behind */
        kept += !is_new;
        replaced += is_new;
        if (!faulty.fired)
            break;
    }
    CHECK_INT(kept, 5);     /* open, pwritev, sync, close, rename */
    CHECK_INT(replaced, 2); /* sync_dir, none */
}

/* Goal: a name that does not fit is refused, not cut. */
TEST(replace_refuses_long_names)
{
    static char name[PATH_MAX];
    memset(name, 'n', sizeof name - 1);
    CHECK_INT(os_replace_file(os_real(), folder, name, "x", 1), -ENAMETOOLONG);
    name[255] = '\0'; /* fits the path, but not the file system with ".tmp" behind it */
    CHECK_INT(os_replace_file(os_real(), folder, name, "x", 1), -ENAMETOOLONG);
}

#define RUN_IN_FOLDER(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_IN_FOLDER(open_flags),
        RUN_IN_FOLDER(files_are_closed_on_exec),
        RUN_IN_FOLDER(read_past_the_end),
        RUN_IN_FOLDER(reads_that_may_not_wait),
        RUN_IN_FOLDER(write_many_pieces),
        RUN_IN_FOLDER(short_and_interrupted_calls_are_carried_on),
        RUN_IN_FOLDER(write_over_a_limit_fails),
        RUN_IN_FOLDER(truncate_shrinks_and_grows),
        RUN_IN_FOLDER(lock_excludes_other_opens),
        RUN_IN_FOLDER(names),
        RUN_IN_FOLDER(space_clocks_randomness),
        RUN_IN_FOLDER(read_whole_files),
        RUN_IN_FOLDER(replace_survives_every_failing_call),
        RUN_IN_FOLDER(replace_refuses_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

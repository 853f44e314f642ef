/* os/real.c: the real machine, by POSIX and a few Linux calls.
 *
 * Every call hides what callers need not know: interruptions by signals (EINTR) are tried again,
 * short reads and writes are carried on, descriptors are closed on exec. Failures come back as the
 * kernel named them, negated. Thread-safe: there is no state but the descriptor in each os_file. */
#include <os/os.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* Events are nobody's business but the owner's and the group's (backup tools). */
#define FILE_MODE 0640
#define FOLDER_MODE 0750

struct os_file {
    int fd;
};

static int
open_retrying(const char *path, int flags)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, FILE_MODE);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int
real_open(struct os *os, const char *path, int flags, struct os_file **ret_file)
{
    (void)os;
    int posix_flags = flags & OS_WRITE ? O_RDWR : O_RDONLY;
    posix_flags |= flags & OS_CREATE ? O_CREAT : 0;
    posix_flags |= flags & OS_EXCLUSIVE ? O_EXCL : 0;
    posix_flags |= flags & OS_TRUNCATE ? O_TRUNC : 0;

    /* Memory first: a file must not have been made when the answer is -ENOMEM. */
    struct os_file *file = malloc(sizeof *file);
    if (!file)
        return -ENOMEM;
    /* Noting when a file was read costs a tenth of a small read. Only its owner may go without. */
    int fd = open_retrying(path, posix_flags | O_NOATIME);
    if (fd == -EPERM)
        fd = open_retrying(path, posix_flags);
    if (fd < 0) {
        free(file);
        return fd;
    }
    file->fd = fd;
    *ret_file = file;
    return 0;
}

static int
real_close(struct os *os, struct os_file *file)
{
    (void)os;
    int fd = file->fd;
    free(file);
    /* Linux has given the descriptor back even when close fails; closing again could hit another
     * thread's new file. An interrupted close is a complete one. */
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static _Thread_local bool reads_at_once;

void
os_reads_wait(bool wait)
{
    reads_at_once = !wait;
}

bool
os_reads_are_waiting(void)
{
    return !reads_at_once;
}

static ssize_t
read_some(int descriptor, void *to, size_t size, off_t offset)
{
    if (!reads_at_once)
        return pread(descriptor, to, size, offset);
    struct iovec piece = {to, size};
    ssize_t n = preadv2(descriptor, &piece, 1, offset, RWF_NOWAIT);
    if (n < 0 && errno == EOPNOTSUPP) /* not every file system can tell */
        errno = EAGAIN;
    return n;
}

ssize_t
os_descriptor_read(int descriptor, void *to, size_t size, uint64_t offset)
{
    size_t done = 0;
    if (reads_at_once && size > OS_AT_ONCE_MAX)
        return -EAGAIN;
    while (done < size) {
        ssize_t n = read_some(descriptor, (char *)to + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

#define BRING_STEP ((size_t)128 << 10) /* what Linux reads ahead by default; of more it may bring only the beginning */

static int
touch(int descriptor, uint64_t offset, size_t size)
{
    char byte;
    for (size_t at = 0; at < size; at += BRING_STEP) {
        size_t step = size - at < BRING_STEP ? size - at : BRING_STEP;
        ssize_t n = os_descriptor_read(descriptor, &byte, 1, offset + at + step - 1);
        if (n < 0)
            return (int)n;
        if (n == 0 && reads_at_once) /* Linux 5.9 and 5.10 say so of what is not there yet (preadv2(2), BUGS) */
            return -EAGAIN;
    }
    return 0;
}

int
os_descriptor_bring(int descriptor, uint64_t offset, size_t size)
{
    bool at_once = reads_at_once;
    reads_at_once = true;
    int fault = touch(descriptor, offset, size);
    reads_at_once = at_once;
    if (fault != -EAGAIN || at_once)
        return fault;
    for (size_t at = 0; at < size; at += BRING_STEP)
        (void)posix_fadvise(descriptor, (off_t)(offset + at), (off_t)BRING_STEP, POSIX_FADV_WILLNEED);
    return touch(descriptor, offset, size);
}

static ssize_t
real_pread(struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset)
{
    (void)os;
    return os_descriptor_read(file->fd, to, size, offset);
}

static int
real_descriptor(struct os *os, struct os_file *file)
{
    (void)os;
    int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

int
os_descriptor(struct os *os, struct os_file *file)
{
    return os->ops->descriptor ? os->ops->descriptor(os, file) : -ENOTSUP;
}

void
os_descriptor_close(int descriptor)
{
    (void)close(descriptor);
}

/* Write all of one piece. */
static ssize_t
write_whole(int fd, const char *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pwrite(fd, bytes + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static ssize_t
real_pwritev(struct os *os, struct os_file *file, const struct iovec *pieces, int count,
             uint64_t offset)
{
    (void)os;
    if (count < 0 || count > IOV_MAX)
        return -EINVAL;
    ssize_t total = 0;
    while (count > 0) {
        ssize_t n = pwritev(file->fd, pieces, count, (off_t)(offset + (uint64_t)total));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        total += n;
        size_t written = (size_t)n;
        while (count > 0 && written >= pieces->iov_len) {
            written -= pieces->iov_len;
            pieces++;
            count--;
        }
        if (count == 0)
            break;
        /* Short: finish the piece it stopped in, then go on with the ones behind it. The pieces are
         * the caller's and stay as they are. A disk that stays full answers here. */
        n = write_whole(file->fd, (const char *)pieces->iov_base + written,
                        pieces->iov_len - written, offset + (uint64_t)total);
        if (n < 0)
            return n;
        total += n;
        pieces++;
        count--;
    }
    return total;
}

static int
real_sync(struct os *os, struct os_file *file)
{
    (void)os;
    int failed;
    /* Only an interrupted sync is tried again: after EIO the kernel may have dropped the pages. */
    do
        failed = fdatasync(file->fd);
    while (failed && errno == EINTR);
    return failed ? -errno : 0;
}

static int
real_truncate(struct os *os, struct os_file *file, uint64_t size_bytes)
{
    (void)os;
    int failed;
    do
        failed = ftruncate(file->fd, (off_t)size_bytes);
    while (failed && errno == EINTR);
    return failed ? -errno : 0;
}

static int
real_size(struct os *os, struct os_file *file, uint64_t *ret_size_bytes)
{
    (void)os;
    struct stat info;
    if (fstat(file->fd, &info))
        return -errno;
    *ret_size_bytes = (uint64_t)info.st_size;
    return 0;
}

static int
real_lock(struct os *os, struct os_file *file)
{
    (void)os;
    int failed;
    do
        failed = flock(file->fd, LOCK_EX | LOCK_NB);
    while (failed && errno == EINTR);
    return failed ? -errno : 0;
}

static int
real_rename(struct os *os, const char *from, const char *to)
{
    (void)os;
    return rename(from, to) ? -errno : 0;
}

static int
real_link(struct os *os, const char *from, const char *to)
{
    (void)os;
    return link(from, to) ? -errno : 0;
}

static int
real_unlink(struct os *os, const char *path)
{
    (void)os;
    return unlink(path) ? -errno : 0;
}

static int
real_mkdir(struct os *os, const char *path)
{
    (void)os;
    return mkdir(path, FOLDER_MODE) ? -errno : 0;
}

static int
real_list(struct os *os, const char *path, void (*visit)(void *context, const char *name),
          void *context)
{
    (void)os;
    DIR *folder = opendir(path);
    if (!folder)
        return -errno;
    int err = 0;
    for (;;) {
        errno = 0; /* readdir tells the end from a failure only by errno */
        struct dirent *entry = readdir(folder);
        if (!entry) {
            err = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(context, entry->d_name);
    }
    closedir(folder);
    return err;
}

static int
real_sync_dir(struct os *os, const char *path)
{
    (void)os;
    int fd = open_retrying(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    int failed;
    do
        failed = fsync(fd);
    while (failed && errno == EINTR);
    /* EINVAL: a file system (some network ones) that has no sync for folders; its servers make name
     * changes durable by themselves. */
    int err = failed && errno != EINVAL ? -errno : 0;
    close(fd);
    return err;
}

static int
real_free_space(struct os *os, const char *path, uint64_t *ret_bytes)
{
    (void)os;
    struct statvfs info;
    int failed;
    do
        failed = statvfs(path, &info);
    while (failed && errno == EINTR);
    if (failed)
        return -errno;
    /* bavail, not bfree: the superuser's reserve is not for us. */
    *ret_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    return 0;
}

static int64_t
clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now); /* cannot fail for the two clocks used here */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t
real_now_us(struct os *os)
{
    (void)os;
    return clock_us(CLOCK_REALTIME);
}

static int64_t
real_monotonic_us(struct os *os)
{
    (void)os;
    return clock_us(CLOCK_MONOTONIC);
}

static void
real_random(struct os *os, void *to, size_t size)
{
    (void)os;
    size_t done = 0;
    while (done < size) {
        ssize_t n = getrandom((char *)to + done, size - done, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            /* Only where a sandbox forbids the call. Secrets that can be guessed would be worse
             * than stopping. */
            fprintf(stderr, "cairn: getrandom: %s\n", strerror(errno));
            abort();
        }
        done += (size_t)n;
    }
}

struct os *
os_real(void)
{
    static const struct os_ops ops = {
        .open = real_open,
        .close = real_close,
        .pread = real_pread,
        .pwritev = real_pwritev,
        .sync = real_sync,
        .truncate = real_truncate,
        .size = real_size,
        .lock = real_lock,
        .rename = real_rename,
        .link = real_link,
        .unlink = real_unlink,
        .mkdir = real_mkdir,
        .list = real_list,
        .sync_dir = real_sync_dir,
        .free_space = real_free_space,
        .now_us = real_now_us,
        .monotonic_us = real_monotonic_us,
        .random = real_random,
        .descriptor = real_descriptor,
    };
    static struct os real = {&ops};
    return &real;
}

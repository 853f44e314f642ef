/* os/os.h: every system call for files, clocks and randomness goes through here, so that the same
 * engine runs on the real machine, on a faulty one, and on a simulated disk.
 *
 * All calls return 0 (or a size) on success and a negative errno on failure. Paths are
 * NUL-terminated. Thread-safe, except where a twin's header says otherwise. */
#ifndef OS_OS_H
#define OS_OS_H

#include <cairn/types.h>
#include <sys/types.h>
#include <sys/uio.h>

struct os;
struct os_file; /* one open file; made by os_open, ended by os_close */

enum os_open_flags {
    OS_READ = 0,
    OS_WRITE = 1 << 0,     /* read and write */
    OS_CREATE = 1 << 1,    /* make it where there is none */
    OS_EXCLUSIVE = 1 << 2, /* with OS_CREATE: fail with -EEXIST where there is one */
    OS_TRUNCATE = 1 << 3,
};

struct os_ops {
    int (*open)(struct os *os, const char *path, int flags, struct os_file **ret_file);
    int (*close)(struct os *os, struct os_file *file);
    ssize_t (*pread)(struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset);
    ssize_t (*pwritev)(struct os *os, struct os_file *file, const struct iovec *pieces, int count,
                       uint64_t offset);
    int (*sync)(struct os *os, struct os_file *file); /* fdatasync */
    int (*truncate)(struct os *os, struct os_file *file, uint64_t size_bytes);
    int (*size)(struct os *os, struct os_file *file, uint64_t *ret_size_bytes);
    int (*lock)(struct os *os, struct os_file *file); /* exclusive, not waiting: -EWOULDBLOCK */
    int (*rename)(struct os *os, const char *from, const char *to);
    int (*link)(struct os *os, const char *from, const char *to); /* hard link; -EXDEV elsewhere */
    int (*unlink)(struct os *os, const char *path);
    int (*mkdir)(struct os *os, const char *path); /* -EEXIST where there is one */
    int (*list)(struct os *os, const char *path, void (*visit)(void *context, const char *name),
                void *context);                         /* names only, without . and .. */
    int (*sync_dir)(struct os *os, const char *path);
    int (*free_space)(struct os *os, const char *path, uint64_t *ret_bytes);
    int64_t (*now_us)(struct os *os);       /* wall clock, UTC */
    int64_t (*monotonic_us)(struct os *os); /* for durations and deadlines */
    void (*random)(struct os *os, void *to, size_t size); /* cryptographic quality */
    int (*descriptor)(struct os *os, struct os_file *file); /* NULL: it has none to give */
};

struct os {
    const struct os_ops *ops;
};

/* The real machine. Static; nothing to free. */
struct os *os_real(void);

static inline int os_open(struct os *os, const char *path, int flags, struct os_file **ret) { return os->ops->open(os, path, flags, ret); }
static inline int os_close(struct os *os, struct os_file *f) { return f ? os->ops->close(os, f) : 0; }
/* May read less only at the end of the file. */
static inline ssize_t os_pread(struct os *os, struct os_file *f, void *to, size_t n, uint64_t at) { return os->ops->pread(os, f, to, n, at); }
/* Writes everything or fails: what a failed call has written is unknown. count is at most 1024. */
static inline ssize_t os_pwritev(struct os *os, struct os_file *f, const struct iovec *v, int count, uint64_t at) { return os->ops->pwritev(os, f, v, count, at); }
static inline ssize_t
os_pwrite(struct os *os, struct os_file *f, const void *bytes, size_t n, uint64_t at)
{
    struct iovec piece = {(void *)(uintptr_t)bytes, n};
    return os->ops->pwritev(os, f, &piece, 1, at);
}
static inline int os_sync(struct os *os, struct os_file *f) { return os->ops->sync(os, f); }
static inline int os_truncate(struct os *os, struct os_file *f, uint64_t n) { return os->ops->truncate(os, f, n); }
static inline int os_size(struct os *os, struct os_file *f, uint64_t *ret) { return os->ops->size(os, f, ret); }
static inline int os_lock(struct os *os, struct os_file *f) { return os->ops->lock(os, f); }
static inline int os_rename(struct os *os, const char *from, const char *to) { return os->ops->rename(os, from, to); }
static inline int os_link(struct os *os, const char *from, const char *to) { return os->ops->link(os, from, to); }
static inline int os_unlink(struct os *os, const char *path) { return os->ops->unlink(os, path); }
static inline int os_mkdir(struct os *os, const char *path) { return os->ops->mkdir(os, path); }
static inline int os_list(struct os *os, const char *path, void (*visit)(void *, const char *), void *context) { return os->ops->list(os, path, visit, context); }
static inline int os_sync_dir(struct os *os, const char *path) { return os->ops->sync_dir(os, path); }
static inline int os_free_space(struct os *os, const char *path, uint64_t *ret) { return os->ops->free_space(os, path, ret); }
static inline int64_t os_now_us(struct os *os) { return os->ops->now_us(os); }
static inline int64_t os_monotonic_us(struct os *os) { return os->ops->monotonic_us(os); }
static inline void os_random(struct os *os, void *to, size_t n) { os->ops->random(os, to, n); }

/* A descriptor of one's own on the file, so that a socket can be given its bytes (os/net, net_conn_send_file()): closed with
 * os_descriptor_close(), whatever becomes of the file. -ENOTSUP where files have none. */
int os_descriptor(struct os *os, struct os_file *file);
void os_descriptor_close(int descriptor);
/* As os_pread(). */
ssize_t os_descriptor_read(int descriptor, void *to, size_t size, uint64_t offset);
/* Whether the calling thread's reads wait for the disk. They do until it says otherwise; where they do not, what is not in the
 * page cache fails with -EAGAIN, on the real machine, and so does a read of more than OS_AT_ONCE_MAX bytes. For a thread that many
 * rely on: it tries, and leaves what fails to a thread that may wait. */
#define OS_AT_ONCE_MAX ((size_t)512 << 10)
void os_reads_wait(bool wait);
bool os_reads_are_waiting(void);

/* These bytes are about to be sent: see to it that they are in the page cache (on a thread whose reads wait), or whether they are
 * (-EAGAIN: not). As far as looking at a byte of every 128 KiB tells. */
int os_descriptor_bring(int descriptor, uint64_t offset, size_t size);

/* Read a whole small file (at most size_max bytes) into malloc'ed memory with a NUL after it.
 * -EFBIG when it is larger. */
int os_read_file(struct os *os, const char *path, size_t size_max, char **ret_bytes, size_t *ret_size);
/* Replace a file whole and durably: write path.tmp, sync, rename, sync the folder. */
int os_replace_file(struct os *os, const char *dir, const char *name, const void *bytes, size_t size);

#endif

/* tests/crash/watch.h: an `os` that passes every call on, and tells after each that changed something. */
#ifndef TESTS_CRASH_WATCH_H
#define TESTS_CRASH_WATCH_H

#include <os/twin.h>

struct watch {
    struct os os; /* give &watch->os to the engine */
    struct os *below;
    void (*changed)(void *context, const char *call);
    void *context;
};

#define WATCH_BELOW(os) (((struct watch *)(void *)(os))->below)

static inline int
watch_tell(struct os *os, const char *call, int result)
{
    struct watch *watch = (struct watch *)(void *)os;
    watch->changed(watch->context, call);
    return result;
}

static inline int
watch_open(struct os *os, const char *path, int flags, struct os_file **ret_file)
{
    int err = os_open(WATCH_BELOW(os), path, flags, ret_file);
    return flags & (OS_CREATE | OS_TRUNCATE) ? watch_tell(os, "open", err) : err;
}
static inline int
watch_close(struct os *os, struct os_file *file)
{
    return os_close(WATCH_BELOW(os), file);
}
static inline ssize_t
watch_pread(struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset)
{
    return os_pread(WATCH_BELOW(os), file, to, size, offset);
}
static inline ssize_t
watch_pwritev(struct os *os, struct os_file *file, const struct iovec *pieces, int count,
              uint64_t offset)
{
    ssize_t n = os_pwritev(WATCH_BELOW(os), file, pieces, count, offset);
    (void)watch_tell(os, "pwritev", 0);
    return n;
}
static inline int
watch_sync(struct os *os, struct os_file *file)
{
    return watch_tell(os, "sync", os_sync(WATCH_BELOW(os), file));
}
static inline int
watch_truncate(struct os *os, struct os_file *file, uint64_t size_bytes)
{
    return watch_tell(os, "truncate", os_truncate(WATCH_BELOW(os), file, size_bytes));
}
static inline int
watch_size(struct os *os, struct os_file *file, uint64_t *ret_size_bytes)
{
    return os_size(WATCH_BELOW(os), file, ret_size_bytes);
}
static inline int
watch_lock(struct os *os, struct os_file *file)
{
    return os_lock(WATCH_BELOW(os), file);
}
static inline int
watch_rename(struct os *os, const char *from, const char *to)
{
    return watch_tell(os, "rename", os_rename(WATCH_BELOW(os), from, to));
}
static inline int
watch_link(struct os *os, const char *from, const char *to)
{
    return watch_tell(os, "link", os_link(WATCH_BELOW(os), from, to));
}
static inline int
watch_unlink(struct os *os, const char *path)
{
    return watch_tell(os, "unlink", os_unlink(WATCH_BELOW(os), path));
}
static inline int
watch_mkdir(struct os *os, const char *path)
{
    return watch_tell(os, "mkdir", os_mkdir(WATCH_BELOW(os), path));
}
static inline int
watch_list(struct os *os, const char *path, void (*visit)(void *context, const char *name),
           void *context)
{
    return os_list(WATCH_BELOW(os), path, visit, context);
}
static inline int
watch_sync_dir(struct os *os, const char *path)
{
    return watch_tell(os, "sync_dir", os_sync_dir(WATCH_BELOW(os), path));
}
static inline int
watch_free_space(struct os *os, const char *path, uint64_t *ret_bytes)
{
    return os_free_space(WATCH_BELOW(os), path, ret_bytes);
}
static inline int64_t
watch_now_us(struct os *os)
{
    return os_now_us(WATCH_BELOW(os));
}
static inline int64_t
watch_monotonic_us(struct os *os)
{
    return os_monotonic_us(WATCH_BELOW(os));
}
static inline void
watch_random(struct os *os, void *to, size_t size)
{
    os_random(WATCH_BELOW(os), to, size);
}

static inline void
watch_init(struct watch *watch, struct os *below, void (*changed)(void *context, const char *call),
           void *context)
{
    static const struct os_ops ops = {
        .open = watch_open,
        .close = watch_close,
        .pread = watch_pread,
        .pwritev = watch_pwritev,
        .sync = watch_sync,
        .truncate = watch_truncate,
        .size = watch_size,
        .lock = watch_lock,
        .rename = watch_rename,
        .link = watch_link,
        .unlink = watch_unlink,
        .mkdir = watch_mkdir,
        .list = watch_list,
        .sync_dir = watch_sync_dir,
        .free_space = watch_free_space,
        .now_us = watch_now_us,
        .monotonic_us = watch_monotonic_us,
        .random = watch_random,
    };
    *watch = (struct watch){{&ops}, below, changed, context};
}

#endif

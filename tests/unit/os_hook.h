/* A machine on which something else happens in the middle of a call: what a test asks for, once, before the next call
 * of the kind it names goes on. Thus two things overlap without a second thread. */
#ifndef TESTS_UNIT_OS_HOOK_H
#define TESTS_UNIT_OS_HOOK_H

#include <os/twin.h>
#include <string.h>

enum os_hook_call { HOOK_OPEN, HOOK_READ, HOOK_SYNC, HOOK_CLOCK };

struct os_hook {
    struct os_faulty faulty; /* begins with the struct os: &hook->faulty.os goes to the engine */
    const struct os_ops *below;
    struct os_ops ops;
    enum os_hook_call call;
    const char *path_part; /* HOOK_OPEN: of the path */
    void (*meanwhile)(void *context); /* NULL: nothing is asked for, or it has happened */
    void *context;
};

static inline void
os_hook_fire(struct os *os, enum os_hook_call call, const char *path)
{
    struct os_hook *hook = (struct os_hook *)(void *)os;
    void (*meanwhile)(void *context) = hook->meanwhile;
    if (meanwhile == NULL || hook->call != call
        || (hook->path_part != NULL && (path == NULL || strstr(path, hook->path_part) == NULL)))
        return;
    hook->meanwhile = NULL;
    meanwhile(hook->context);
}

static inline int
os_hook_open(struct os *os, const char *path, int flags, struct os_file **ret_file)
{
    os_hook_fire(os, HOOK_OPEN, path);
    return ((struct os_hook *)(void *)os)->below->open(os, path, flags, ret_file);
}

static inline ssize_t
os_hook_pread(struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset)
{
    os_hook_fire(os, HOOK_READ, NULL);
    return ((struct os_hook *)(void *)os)->below->pread(os, file, to, size, offset);
}

static inline int
os_hook_sync(struct os *os, struct os_file *file)
{
    os_hook_fire(os, HOOK_SYNC, NULL);
    return ((struct os_hook *)(void *)os)->below->sync(os, file);
}

static inline int64_t
os_hook_monotonic_us(struct os *os)
{
    os_hook_fire(os, HOOK_CLOCK, NULL);
    return ((struct os_hook *)(void *)os)->below->monotonic_us(os);
}

static inline struct os *
os_hook_init(struct os_hook *hook, struct os *below)
{
    memset(hook, 0, sizeof *hook);
    os_faulty_init(&hook->faulty, below);
    hook->below = hook->faulty.os.ops;
    hook->ops = *hook->below;
    hook->ops.open = os_hook_open;
    hook->ops.pread = os_hook_pread;
    hook->ops.sync = os_hook_sync;
    hook->ops.monotonic_us = os_hook_monotonic_us;
    hook->faulty.os.ops = &hook->ops;
    return &hook->faulty.os;
}

/* path_part: of the path of a HOOK_OPEN; otherwise NULL. */
static inline void
os_hook_arm(struct os_hook *hook, enum os_hook_call call, const char *path_part,
            void (*meanwhile)(void *context), void *context)
{
    hook->call = call;
    hook->path_part = path_part;
    hook->context = context;
    hook->meanwhile = meanwhile;
}

#endif

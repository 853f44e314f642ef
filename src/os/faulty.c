/* os/faulty.c: the faulty machine: passes calls on to another `os` and makes chosen ones fail.
 *
 * Files are those of the machine below; nothing is wrapped. Calls are counted by atomics, so that an
 * engine with threads may run on it; a test sets the other fields while no call is under way.
 *
 * A call that fails has not reached the machine below, except for what a torn write or a full
 * disk leaves behind, and for close, which releases the file even when it fails, as Linux does.
 * Running out of `space_left` is a limit and not the fault: it does not set `fired`. */
#include <os/twin.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#define PIECES_MAX 1024

static struct os_faulty *
faulty_of(struct os *os)
{
    return (struct os_faulty *)((char *)os - offsetof(struct os_faulty, os));
}

/* The first failing call leaves its name. With fail_forever several threads may come here at once. */
static void
note_fault(struct os_faulty *faulty, const char *call)
{
    static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&first);
    if (!faulty->fired) {
        snprintf(faulty->fired_at, sizeof faulty->fired_at, "%s", call);
        __atomic_store_n(&faulty->fired, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&first);
}

/* Count a call; 0, or the negative errno with which it has to fail. */
static int
count_call(struct os_faulty *faulty, enum os_fault_kind kind, const char *call)
{
    if (!(faulty->kinds & kind))
        return 0;
    uint64_t number = __atomic_add_fetch(&faulty->calls, 1, __ATOMIC_RELAXED);
    uint64_t fail_at = __atomic_load_n(&faulty->fail_at, __ATOMIC_RELAXED);
    if (fail_at == 0 || number < fail_at || (number > fail_at && !faulty->fail_forever))
        return 0;
    note_fault(faulty, call);
    return -faulty->errno_value;
}

static int
faulty_open(struct os *os, const char *path, int flags, struct os_file **ret_file)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_META, "open");
    return err ? err : os_open(faulty->below, path, flags, ret_file);
}

static int
faulty_close(struct os *os, struct os_file *file)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_META, "close");
    int below_err = os_close(faulty->below, file);
    return err ? err : below_err;
}

static ssize_t
faulty_pread(struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_READ, "pread");
    return err ? err : os_pread(faulty->below, file, to, size, offset);
}

static uint64_t
size_of(const struct iovec *pieces, int count)
{
    uint64_t size = 0;
    for (int i = 0; i < count; i++)
        size += pieces[i].iov_len;
    return size;
}

/* Write only the first `size` bytes of the pieces, as well as can be: the call fails anyway. */
static void
write_part(struct os *below, struct os_file *file, const struct iovec *pieces, int count,
           uint64_t offset, uint64_t size)
{
    struct iovec part[PIECES_MAX];
    int part_count = 0;
    for (int i = 0; i < count && size > 0; i++) {
        part[i] = pieces[i];
        if (part[i].iov_len > size)
            part[i].iov_len = size;
        size -= part[i].iov_len;
        part_count++;
    }
    if (part_count > 0)
        os_pwritev(below, file, part, part_count, offset);
}

/* Take up to `wanted` bytes of the space left; what was granted. */
static uint64_t
take_space(struct os_faulty *faulty, uint64_t wanted)
{
    uint64_t left = __atomic_load_n(&faulty->space_left, __ATOMIC_RELAXED);
    for (;;) {
        if (left == UINT64_MAX)
            return wanted;
        uint64_t granted = wanted < left ? wanted : left;
        if (__atomic_compare_exchange_n(&faulty->space_left, &left, left - granted, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return granted;
    }
}

static void
give_space(struct os_faulty *faulty, uint64_t size)
{
    uint64_t left = __atomic_load_n(&faulty->space_left, __ATOMIC_RELAXED);
    while (left != UINT64_MAX &&
           !__atomic_compare_exchange_n(&faulty->space_left, &left, left + size, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}

static bool
is_limited(struct os_faulty *faulty)
{
    return __atomic_load_n(&faulty->space_left, __ATOMIC_RELAXED) != UINT64_MAX;
}

/* By how much the file grows when it ends at `end` or beyond. */
static int
growth_to(struct os_faulty *faulty, struct os_file *file, uint64_t end, uint64_t *ret_growth)
{
    uint64_t size_bytes;
    int err = os_size(faulty->below, file, &size_bytes);
    if (!err)
        *ret_growth = end > size_bytes ? end - size_bytes : 0;
    return err;
}

static ssize_t
write_limited(struct os_faulty *faulty, struct os_file *file, const struct iovec *pieces, int count,
              uint64_t offset)
{
    uint64_t size = size_of(pieces, count), growth;
    int err = growth_to(faulty, file, offset + size, &growth);
    if (err)
        return err;
    uint64_t granted = take_space(faulty, growth);
    if (granted < growth) {
        /* A full disk takes what fits before it says so. */
        uint64_t missing = growth - granted;
        write_part(faulty->below, file, pieces, count, offset, size > missing ? size - missing : 0);
        return -ENOSPC;
    }
    ssize_t n = os_pwritev(faulty->below, file, pieces, count, offset);
    if (n < 0)
        give_space(faulty, granted);
    return n;
}

static ssize_t
faulty_pwritev(struct os *os, struct os_file *file, const struct iovec *pieces, int count,
               uint64_t offset)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_WRITE, "pwritev");
    if (count < 0 || count > PIECES_MAX)
        return -EINVAL;
    if (err && faulty->torn)
        write_part(faulty->below, file, pieces, count, offset, size_of(pieces, count) / 2);
    if (err)
        return err;
    return is_limited(faulty) ? write_limited(faulty, file, pieces, count, offset)
                              : os_pwritev(faulty->below, file, pieces, count, offset);
}

static int
faulty_sync(struct os *os, struct os_file *file)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_SYNC, "sync");
    return err ? err : os_sync(faulty->below, file);
}

static int
truncate_limited(struct os_faulty *faulty, struct os_file *file, uint64_t size_bytes)
{
    uint64_t before;
    int err = os_size(faulty->below, file, &before);
    if (err)
        return err;
    uint64_t growth = size_bytes > before ? size_bytes - before : 0;
    uint64_t granted = take_space(faulty, growth);
    if (granted < growth) {
        give_space(faulty, granted);
        return -ENOSPC;
    }
    err = os_truncate(faulty->below, file, size_bytes);
    if (err)
        give_space(faulty, granted);
    else if (size_bytes < before)
        give_space(faulty, before - size_bytes);
    return err;
}

static int
faulty_truncate(struct os *os, struct os_file *file, uint64_t size_bytes)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_META, "truncate");
    if (err)
        return err;
    return is_limited(faulty) ? truncate_limited(faulty, file, size_bytes)
                              : os_truncate(faulty->below, file, size_bytes);
}

static int
faulty_size(struct os *os, struct os_file *file, uint64_t *ret_size_bytes)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_META, "size");
    return err ? err : os_size(faulty->below, file, ret_size_bytes);
}

static int
faulty_lock(struct os *os, struct os_file *file)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_META, "lock");
    return err ? err : os_lock(faulty->below, file);
}

static int
faulty_rename(struct os *os, const char *from, const char *to)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_META, "rename");
    return err ? err : os_rename(faulty->below, from, to);
}

static int
faulty_link(struct os *os, const char *from, const char *to)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_META, "link");
    return err ? err : os_link(faulty->below, from, to);
}

static int
faulty_unlink(struct os *os, const char *path)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_META, "unlink");
    return err ? err : os_unlink(faulty->below, path);
}

static int
faulty_mkdir(struct os *os, const char *path)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_META, "mkdir");
    return err ? err : os_mkdir(faulty->below, path);
}

static int
faulty_list(struct os *os, const char *path, void (*visit)(void *context, const char *name),
            void *context)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_META, "list");
    return err ? err : os_list(faulty->below, path, visit, context);
}

static int
faulty_sync_dir(struct os *os, const char *path)
{
    struct os_faulty *faulty = faulty_of(os);
    int err = count_call(faulty, OS_FAULT_META, "sync_dir");
    return err ? err : os_sync_dir(faulty->below, path);
}

static int
faulty_free_space(struct os *os, const char *path, uint64_t *ret_bytes)
{
    struct os_faulty *faulty = faulty_of(os);
    uint64_t bytes;
    int err = os_free_space(faulty->below, path, &bytes);
    if (err)
        return err;
    uint64_t left = __atomic_load_n(&faulty->space_left, __ATOMIC_RELAXED);
    *ret_bytes = left < bytes ? left : bytes;
    return 0;
}

static int64_t
faulty_now_us(struct os *os)
{
    return os_now_us(faulty_of(os)->below);
}

static int64_t
faulty_monotonic_us(struct os *os)
{
    return os_monotonic_us(faulty_of(os)->below);
}

static void
faulty_random(struct os *os, void *to, size_t size)
{
    os_random(faulty_of(os)->below, to, size);
}

void
os_faulty_init(struct os_faulty *faulty, struct os *below)
{
    static const struct os_ops ops = {
        .open = faulty_open,
        .close = faulty_close,
        .pread = faulty_pread,
        .pwritev = faulty_pwritev,
        .sync = faulty_sync,
        .truncate = faulty_truncate,
        .size = faulty_size,
        .lock = faulty_lock,
        .rename = faulty_rename,
        .link = faulty_link,
        .unlink = faulty_unlink,
        .mkdir = faulty_mkdir,
        .list = faulty_list,
        .sync_dir = faulty_sync_dir,
        .free_space = faulty_free_space,
        .now_us = faulty_now_us,
        .monotonic_us = faulty_monotonic_us,
        .random = faulty_random,
    };
    *faulty = (struct os_faulty){
        .os = {&ops},
        .below = below,
        .kinds = OS_FAULT_ALL,
        .errno_value = EIO,
        .space_left = UINT64_MAX,
    };
}

/* os/file.c: whole small files, read and replaced, over any `os`. */
#include <os/os.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* Read until the end of the file, whatever size it claimed to have: it may be growing, and files of
 * /proc claim 0. `room` is one more than the size expected, so that the usual case is one read. */
static int
read_to_end(struct os *os, struct os_file *file, size_t size_max, size_t room, char **ret_bytes,
            size_t *ret_size)
{
    char *bytes = NULL;
    size_t size = 0;
    int err;
    for (;;) {
        char *larger = realloc(bytes, room + 1);
        if (!larger) {
            err = -ENOMEM;
            goto fail;
        }
        bytes = larger;
        ssize_t n = os_pread(os, file, bytes + size, room - size, size);
        if (n < 0) {
            err = (int)n;
            goto fail;
        }
        size += (size_t)n;
        if (size < room)
            break;
        if (size > size_max) {
            err = -EFBIG;
            goto fail;
        }
        room = room > size_max / 2 ? size_max + 1 : room * 2;
    }
    bytes[size] = '\0';
    *ret_bytes = bytes;
    *ret_size = size;
    return 0;

fail:
    free(bytes);
    return err;
}

int
os_read_file(struct os *os, const char *path, size_t size_max, char **ret_bytes, size_t *ret_size)
{
    if (size_max > SSIZE_MAX - 2)
        size_max = SSIZE_MAX - 2;
    struct os_file *file;
    int err = os_open(os, path, OS_READ, &file);
    if (err)
        return err;
    uint64_t size_bytes;
    err = os_size(os, file, &size_bytes);
    if (!err && size_bytes > size_max)
        err = -EFBIG;
    if (!err)
        err = read_to_end(os, file, size_max, (size_t)size_bytes + 1, ret_bytes, ret_size);
    os_close(os, file); /* it was only read: nothing can be lost by a failing close */
    return err;
}

static int
write_synced(struct os *os, const char *path, const void *bytes, size_t size)
{
    struct os_file *file;
    int err = os_open(os, path, OS_WRITE | OS_CREATE | OS_TRUNCATE, &file);
    if (err)
        return err;
    ssize_t n = os_pwrite(os, file, bytes, size, 0);
    err = n < 0 ? (int)n : os_sync(os, file);
    int close_err = os_close(os, file);
    return err ? err : close_err;
}

/* The order is the whole point: the bytes are durable before the name points at them, so that a power cut
 * leaves the old content or the new. When the last step, syncing the folder, fails, the new content
 * is in place but may be gone after a power cut. */
int
os_replace_file(struct os *os, const char *dir, const char *name, const void *bytes, size_t size)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    int length = snprintf(temporary, sizeof temporary, "%s/%s.tmp", dir, name);
    if (length < 0 || (size_t)length >= sizeof temporary)
        return -ENAMETOOLONG;
    snprintf(path, sizeof path, "%.*s", length - (int)strlen(".tmp"), temporary);

    int err = write_synced(os, temporary, bytes, size);
    if (!err)
        err = os_rename(os, temporary, path);
    if (err) {
        os_unlink(os, temporary); /* as well as can be; the next replacement writes over it */
        return err;
    }
    return os_sync_dir(os, dir);
}

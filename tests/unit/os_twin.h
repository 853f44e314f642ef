/* What the tests of the twins share: files put and got whole, outcomes of cuts. */
#ifndef TESTS_UNIT_OS_TWIN_H
#define TESTS_UNIT_OS_TWIN_H

#include "test.h"

#include <errno.h>
#include <os/twin.h>

static inline void
put(struct os *os, const char *path, const void *bytes, size_t size, uint64_t offset, bool synced)
{
    struct os_file *file;
    CHECK_INT(os_open(os, path, OS_WRITE | OS_CREATE, &file), 0);
    CHECK_INT(os_pwrite(os, file, bytes, size, offset), size);
    if (synced)
        CHECK_INT(os_sync(os, file), 0);
    CHECK_INT(os_close(os, file), 0);
}

static inline void
put_text(struct os *os, const char *path, const char *text)
{
    put(os, path, text, strlen(text), 0, true);
}

/* The whole file; *ret_size is -1 where there is none. The caller frees it. */
static inline uint8_t *
get(struct os *os, const char *path, int64_t *ret_size)
{
    char *bytes = NULL;
    size_t size = 0;
    int err = os_read_file(os, path, 16 << 20, &bytes, &size);
    CHECK(err == 0 || err == -ENOENT);
    *ret_size = err ? -1 : (int64_t)size;
    return (uint8_t *)bytes;
}

static inline bool
holds(struct os *os, const char *path, const char *text)
{
    int64_t size;
    uint8_t *bytes = get(os, path, &size);
    bool same = size == (int64_t)strlen(text) && memcmp(bytes, text, (size_t)size) == 0;
    free(bytes);
    return same;
}

static inline bool
is_there(struct os_sim *sim, const char *path)
{
    int64_t size = os_sim_file_size(sim, path);
    CHECK(size >= 0 || size == -ENOENT);
    return size >= 0;
}

static inline struct os_sim *
after(const struct os_sim *sim, enum os_cut how, uint64_t seed)
{
    struct os_sim *cut = os_sim_after_cut(sim, how, seed);
    assert_non_null(cut);
    return cut;
}

static inline void
fill(uint8_t *bytes, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)test_random(&seed);
}

#endif

/* The manifest: which runs there are, oldest first, and up to where they go.
 *
 *   magic │ version │ run count │ next run id │ flushed end │ runs … │ CRC32C of all before it
 *
 * It is replaced whole (os_replace_file), so a crash leaves the old one or the new one. In every
 * version the last four bytes are the CRC32C of the rest: that tells an unknown version from a
 * damaged file. */
#include <log/series_int.h>

#include <errno.h>
#include <stdlib.h>

#define MAGIC "CAIRNIDX"
enum { AT_MAGIC = 0, AT_VERSION = 8, AT_COUNT = 12, AT_NEXT_ID = 16, AT_END = 24, AT_RUNS = 32 };
#define RUN_BYTES 48u
#define SIZE_MAX_BYTES (AT_RUNS + SERIES_RUNS_MAX * RUN_BYTES + 4)

cairn_err
series_path(char to[SERIES_PATH_MAX], const char *dir, const char *name, cairn_error *error)
{
    int size = snprintf(to, SERIES_PATH_MAX, "%s/%s", dir, name);
    if (size < 0 || (unsigned)size >= SERIES_PATH_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the path of index file %s is longer than %u bytes",
                         name, SERIES_PATH_MAX - 1);
    return CAIRN_OK;
}

static void
put_run(uint8_t *to, const struct run_info *run)
{
    store64(to, run->id);
    store64(to + 8, run->first);
    store64(to + 16, run->end);
    store64(to + 24, run->entries);
    store64(to + 32, run->size_bytes);
    store32(to + 40, run->footer_crc);
    store32(to + 44, run->level);
}

static struct run_info
get_run(const uint8_t *from)
{
    return (struct run_info){.id = load64(from),
                             .first = load64(from + 8),
                             .end = load64(from + 16),
                             .entries = load64(from + 24),
                             .size_bytes = load64(from + 32),
                             .footer_crc = load32(from + 40),
                             .level = load32(from + 44)};
}

static cairn_err
parse(const char *path, const uint8_t *bytes, size_t size, struct manifest *ret, cairn_error *error)
{
    if (size < AT_RUNS + 4)
        return series_damaged(error, SERIES_MANIFEST, size, "the file ends too early");
    if (memcmp(bytes + AT_MAGIC, MAGIC, 8) != 0)
        return series_damaged(error, SERIES_MANIFEST, AT_MAGIC, "not an index manifest");
    if (load32(bytes + size - 4) != crc32c(0, bytes, size - 4))
        return series_damaged(error, SERIES_MANIFEST, size - 4, "the checksum does not match");
    if (load32(bytes + AT_VERSION) < SERIES_VERSION_LEAST || load32(bytes + AT_VERSION) > SERIES_VERSION)
        return error_set(error, CAIRN_E_VERSION, "%s has format version %u; this program knows %u",
                         path, load32(bytes + AT_VERSION), SERIES_VERSION);
    ret->run_count = load32(bytes + AT_COUNT);
    if (ret->run_count > SERIES_RUNS_MAX || size != AT_RUNS + ret->run_count * RUN_BYTES + 4)
        return series_damaged(error, SERIES_MANIFEST, AT_COUNT,
                              "the number of runs does not fit the file's size");
    ret->next_run_id = load64(bytes + AT_NEXT_ID);
    ret->flushed_end = load64(bytes + AT_END);
    uint64_t end = 0;
    for (uint32_t i = 0; i < ret->run_count; i++) {
        struct run_info *run = &ret->runs[i];
        *run = get_run(bytes + AT_RUNS + i * RUN_BYTES);
        if (run->first < end || run->end <= run->first || run->end > ret->flushed_end
            || run->id >= ret->next_run_id)
            return series_damaged(error, SERIES_MANIFEST, AT_RUNS + i * RUN_BYTES,
                                  "the ranges of the runs are not in order");
        end = run->end;
    }
    return CAIRN_OK;
}

cairn_err
series_manifest_load(struct os *os, const char *dir, struct manifest *ret, cairn_error *error)
{
    char path[SERIES_PATH_MAX];
    cairn_err err = series_path(path, dir, SERIES_MANIFEST, error);
    if (err != CAIRN_OK)
        return err;
    char *bytes = NULL;
    size_t size = 0;
    int failed = os_read_file(os, path, SIZE_MAX_BYTES, &bytes, &size);
    if (failed == -EFBIG)
        return series_damaged(error, SERIES_MANIFEST, SIZE_MAX_BYTES, "the file is too long");
    if (failed < 0)
        return error_set_errno(error, -failed, "cannot read %s", path);
    err = parse(path, (const uint8_t *)bytes, size, ret, error);
    free(bytes);
    return err;
}

cairn_err
series_manifest_save(struct os *os, const char *dir, const struct manifest *manifest,
                     cairn_error *error)
{
    uint8_t bytes[SIZE_MAX_BYTES];
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes + AT_MAGIC, MAGIC, 8);
    store32(bytes + AT_VERSION, SERIES_VERSION);
    store32(bytes + AT_COUNT, manifest->run_count);
    store64(bytes + AT_NEXT_ID, manifest->next_run_id);
    store64(bytes + AT_END, manifest->flushed_end);
    size_t size = AT_RUNS;
    for (uint32_t i = 0; i < manifest->run_count; i++, size += RUN_BYTES)
        put_run(bytes + size, &manifest->runs[i]);
    store32(bytes + size, crc32c(0, bytes, size));
    size += 4;
    int failed = os_replace_file(os, dir, SERIES_MANIFEST, bytes, size);
    if (failed < 0)
        return error_set_errno(error, -failed, "cannot replace %s/%s", dir, SERIES_MANIFEST);
    return CAIRN_OK;
}

cairn_err
series_manifest_sync(struct series *series, cairn_error *error)
{
    if (!series->manifest_dirty)
        return CAIRN_OK;
    struct manifest manifest = {.next_run_id = series->next_run_id};
    pthread_mutex_lock(&series->lock);
    const struct view *view = series_view_current(series);
    manifest.flushed_end = atomic_load_explicit(&series->flushed_end, memory_order_relaxed);
    manifest.run_count = view->run_count;
    for (uint32_t i = 0; i < view->run_count; i++)
        manifest.runs[i] = view->runs[i]->info;
    pthread_mutex_unlock(&series->lock);

    cairn_err err = series_manifest_save(series->os, series->dir, &manifest, error);
    if (err == CAIRN_OK)
        series->manifest_dirty = false;
    return err;
}

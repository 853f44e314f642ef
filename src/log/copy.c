/* Backup, restore, branch: making one log out of another.
 *
 * All three copy whole segments, then the frames of the last one up to a position, and write the manifest last:
 * a folder without a manifest is no log, so a copy that was cut off is never taken for one. The index
 * is derived and is computed again when the copy is first opened.
 *
 *   backup   into a folder that may hold an earlier backup: sealed segments it has are not copied again
 *   restore  from a folder that nobody need have open, up to a position
 *   branch   with an identity of its own; sealed segments are shared by hard links */
#include "log_int.h"
#include <errno.h>

#define COPY_STEP (1u << 20)

struct copy {
    struct log *from;
    char to[LOG_PATH_MAX];
    uint64_t end;          /* position: frames that reach beyond it are left out */
    bool link, incremental;
    cairn_progress progress;
    void *context;
    uint64_t bytes_done, bytes_total;
    uint8_t *buffer;
};

static cairn_err
failed(cairn_error *error, int fault, const char *path)
{
    return error_set_errno(error, -fault, "%s: cannot copy", path);
}

static cairn_err
report(struct copy *copy, uint64_t bytes, cairn_error *error)
{
    copy->bytes_done += bytes;
    if (copy->progress != NULL
        && !copy->progress(copy->context, copy->bytes_done, copy->bytes_total, "bytes"))
        return error_set(error, CAIRN_E_CLOSED, "copying was stopped");
    return CAIRN_OK;
}

static void
target_path(const struct copy *copy, uint64_t number, const char *suffix, char path[LOG_PATH_MAX])
{
    snprintf(path, LOG_PATH_MAX, "%.*s/segments/%08llu.seg%s", LOG_PATH_MAX - 48, copy->to,
             (unsigned long long)number, suffix);
}

/* The first `size` bytes of a segment's file, under a temporary name, then in place. Durable there before the next one
 * is: of an earlier backup that has a shorter one in its place, that is what a cut in between would leave. */
static cairn_err
copy_bytes(struct copy *copy, struct segment *segment, uint64_t size, cairn_error *error)
{
    struct os *os = copy->from->os;
    char path[LOG_PATH_MAX], partial[LOG_PATH_MAX], folder[LOG_PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s/segments", LOG_PATH_MAX - 16, copy->to);
    target_path(copy, segment->number, "", path);
    target_path(copy, segment->number, ".part", partial);
    struct os_file *file = NULL;
    cairn_err err = CAIRN_OK;
    int fault = os_open(os, partial, OS_WRITE | OS_CREATE | OS_TRUNCATE, &file);
    for (uint64_t at = 0; fault == 0 && err == CAIRN_OK && at < size;) {
        size_t step = size - at < COPY_STEP ? (size_t)(size - at) : COPY_STEP;
        ssize_t n = os_pread(os, segment->file, copy->buffer, step, at);
        if (n <= 0) {
            fault = n < 0 ? (int)n : -EIO;
            break;
        }
        ssize_t written = os_pwrite(os, file, copy->buffer, (size_t)n, at);
        if (written < 0)
            fault = (int)written;
        at += (uint64_t)n;
        err = report(copy, (uint64_t)n, error);
    }
    if (fault == 0 && err == CAIRN_OK)
        fault = os_sync(os, file);
    int close_fault = os_close(os, file);
    if (fault == 0)
        fault = close_fault;
    if (fault == 0 && err == CAIRN_OK)
        fault = os_rename(os, partial, path);
    if (fault == 0 && err == CAIRN_OK)
        fault = os_sync_dir(os, folder);
    if (fault != 0 && err == CAIRN_OK)
        err = failed(error, fault, path);
    if (err != CAIRN_OK)
        (void)os_unlink(os, partial);
    return err;
}

/* Is this sealed segment there already, from an earlier backup? Footers carry the Merkle root. */
static bool
is_there(struct copy *copy, struct segment *segment)
{
    struct os *os = copy->from->os;
    char path[LOG_PATH_MAX];
    target_path(copy, segment->number, "", path);
    uint64_t size, target_size;
    struct os_file *file;
    uint8_t ours[FOOTER_TRAILER_SIZE], theirs[FOOTER_TRAILER_SIZE];
    if (os_size(os, segment->file, &size) != 0 || os_open(os, path, OS_READ, &file) != 0)
        return false;
    bool same = os_size(os, file, &target_size) == 0 && size == target_size
                && os_pread(os, segment->file, ours, sizeof ours, size - sizeof ours)
                       == (ssize_t)sizeof ours
                && os_pread(os, file, theirs, sizeof theirs, size - sizeof theirs)
                       == (ssize_t)sizeof theirs
                && memcmp(ours, theirs, sizeof ours) == 0;
    (void)os_close(os, file);
    return same;
}

static cairn_err
copy_sealed(struct copy *copy, struct segment *segment, cairn_error *error)
{
    struct os *os = copy->from->os;
    uint64_t size;
    int fault = os_size(os, segment->file, &size);
    if (fault != 0)
        return failed(error, fault, segment->path);
    if (copy->incremental && is_there(copy, segment))
        return report(copy, size, error);
    if (copy->link) {
        char path[LOG_PATH_MAX];
        target_path(copy, segment->number, "", path);
        fault = os_link(os, segment->path, path);
        if (fault == 0)
            return report(copy, size, error);
        if (fault != -EXDEV && fault != -EPERM && fault != -EMLINK)
            return failed(error, fault, path);
    }
    return copy_bytes(copy, segment, size, error);
}

/* Where the frames of the segment end that lie wholly below copy->end, in the file and in positions: an append, and so a
 * batch, is copied whole or not at all. */
static cairn_err
find_cut(struct copy *copy, struct segment *segment, uint64_t *ret_size, uint64_t *ret_end, cairn_error *error)
{
    struct frame_scan scan;
    struct frame frame;
    cairn_str bytes;
    uint64_t position = segment->first_position;
    uint64_t data_end = atomic_load(&segment->data_end);
    cairn_err err = CAIRN_OK;
    scan_begin(&scan, segment);
    while (scan.at < data_end) {
        err = scan_next(copy->from, &scan, &frame, &bytes, error);
        if (err == CAIRN_E_END)
            err = error_set(error, CAIRN_E_CORRUPT, "%s at byte %llu: %s", segment->path,
                            (unsigned long long)scan.at, scan.fault);
        if (err != CAIRN_OK)
            break;
        uint64_t positions = frame_positions(bytes);
        if (position + positions > copy->end)
            break;
        position += positions;
        scan.at += frame.size;
    }
    *ret_size = scan.at;
    *ret_end = position;
    scan_end(&scan);
    return err;
}

/* Files that a copy must not have: segments after its last one, and an index of something else. */
static void
note_files(void *context, const char *name)
{
    uint64_t number, *highest = context;
    cairn_str text = cairn_cstr(name);
    if (text.size > 4 && strcmp(name + text.size - 4, ".seg") == 0
        && parse_u64((cairn_str){name, text.size - 4}, &number) && number > *highest)
        *highest = number;
}

static cairn_err
copy_segments(struct copy *copy, uint64_t *ret_end, cairn_error *error)
{
    struct log *from = copy->from;
    uint32_t count = atomic_load(&from->segment_count);
    cairn_err err = CAIRN_OK;
    uint64_t last = 0;
    *ret_end = 0;
    for (uint32_t i = 0; err == CAIRN_OK && i < count; i++) {
        struct segment *segment = atomic_load(&from->slots[i]);
        bool sealed = atomic_load(&segment->sealed); /* first: it may go on until then */
        uint64_t records = atomic_load(&segment->count);
        if (segment->first_position >= copy->end && i > 0)
            break;
        last = segment->number;
        if (sealed && segment->first_position + records <= copy->end) {
            err = copy_sealed(copy, segment, error);
            *ret_end = segment->first_position + records;
            continue;
        }
        /* Never copy less than the header: an empty log has one segment too. */
        uint64_t size = 0;
        err = find_cut(copy, segment, &size, ret_end, error);
        if (err == CAIRN_OK)
            err = copy_bytes(copy, segment, size, error);
    }
    uint64_t highest = 0;
    char path[LOG_PATH_MAX];
    snprintf(path, sizeof path, "%.*s/segments", LOG_PATH_MAX - 16, copy->to);
    if (err == CAIRN_OK && os_list(from->os, path, note_files, &highest) == 0 && highest > last)
        err = error_set(error, CAIRN_E_EXISTS,
                        "%s holds segment %llu, which the log does not have up to there: it is a backup "
                        "of something newer or different",
                        copy->to, (unsigned long long)highest);
    int fault = err == CAIRN_OK ? os_sync_dir(from->os, path) : 0;
    return fault != 0 ? failed(error, fault, path) : err;
}

/* The target folder, with a place for segments and without an index. */
static cairn_err
prepare_target(struct copy *copy, const char *folder, cairn_error *error)
{
    struct os *os = copy->from->os;
    char path[LOG_PATH_MAX];
    if (strlen(folder) == 0 || strlen(folder) > LOG_PATH_MAX - 64)
        return error_set(error, CAIRN_E_INVALID, "the folder's path is too long");
    snprintf(copy->to, sizeof copy->to, "%s", folder);
    int fault = log_make_folder(os, folder);
    snprintf(path, sizeof path, "%s/segments", folder);
    if (fault == 0)
        fault = os_mkdir(os, path);
    if (fault != 0 && fault != -EEXIST)
        return failed(error, fault, path);

    struct log *target = calloc(1, sizeof *target);
    if (target == NULL || (copy->buffer = malloc(COPY_STEP)) == NULL) {
        free(target);
        return error_set(error, CAIRN_E_NOMEM, "no memory to copy");
    }
    target->os = os;
    snprintf(target->dir, sizeof target->dir, "%s", folder);
    cairn_error inner = {0};
    cairn_err err = log_read_manifest(target, &inner);
    if (err == CAIRN_OK && !copy->incremental)
        err = error_set(error, CAIRN_E_EXISTS, "%s holds a log already", folder);
    else if (err == CAIRN_OK && memcmp(&target->id, &copy->from->id, sizeof target->id) != 0)
        err = error_set(error, CAIRN_E_EXISTS, "%s holds a backup of another log", folder);
    else if (err == CAIRN_E_NOTFOUND)
        err = CAIRN_OK;
    else if (err != CAIRN_OK)
        err = error_set(error, err, "%s", inner.detail);
    free(target);
    snprintf(path, sizeof path, "%s/index", folder);
    return err == CAIRN_OK ? cairn_series_destroy(os, path, error) : err;
}

static cairn_err
run_copy(struct copy *copy, const char *folder, uint64_t *ret_end, cairn_error *error)
{
    struct log *from = copy->from;
    uint32_t count = atomic_load(&from->segment_count);
    for (uint32_t i = 0; i < count; i++)
        copy->bytes_total += atomic_load(&atomic_load(&from->slots[i])->data_end);
    cairn_err err = prepare_target(copy, folder, error);
    if (err == CAIRN_OK)
        err = copy_segments(copy, ret_end, error);
    free(copy->buffer);
    copy->buffer = NULL;
    return err;
}

cairn_err
cairn_log_backup(struct log *log, const char *folder, cairn_progress progress, void *context,
                 uint64_t *ret_end, cairn_error *error)
{
    log_admin_begin(log);
    struct copy copy = {.from = log, .end = cairn_log_end(log), .incremental = true,
                        .progress = progress, .context = context};
    cairn_err err = run_copy(&copy, folder, ret_end, error);
    if (err == CAIRN_OK)
        err = log_write_manifest(log, folder, error);
    log_admin_end(log);
    return err;
}

cairn_err
cairn_log_restore(struct os *os, const char *source, const char *folder, uint64_t end,
                  cairn_progress progress, void *context, cairn_error *error)
{
    struct log *from;
    cairn_err err = log_open_segments(os, source, &from, error);
    if (err != CAIRN_OK)
        return err;
    uint64_t there = cairn_log_end(from), copied;
    struct copy copy = {.from = from, .end = end < there ? end : there, .progress = progress,
                        .context = context};
    err = run_copy(&copy, folder, &copied, error);
    if (err == CAIRN_OK)
        err = log_write_manifest(from, folder, error);
    log_free(from);
    return err;
}

cairn_err
cairn_log_branch(struct log *log, const char *folder, uint64_t end, cairn_error *error)
{
    log_admin_begin(log);
    uint64_t there = cairn_log_end(log), copied;
    struct copy copy = {.from = log, .end = end < there ? end : there, .link = true};
    cairn_err err = run_copy(&copy, folder, &copied, error);
    if (err == CAIRN_OK) {
        struct log *branch = malloc(sizeof *branch); /* its identity is all that is used of it */
        if (branch == NULL) {
            err = error_set(error, CAIRN_E_NOMEM, "no memory to branch");
        } else {
            uint8_t random[10];
            branch->os = log->os;
            branch->lineage = log->lineage;
            memcpy(branch->key_seed, log->key_seed, sizeof branch->key_seed);
            os_random(log->os, random, sizeof random);
            branch->id = uuid_v7(os_now_us(log->os), random);
            err = log_write_manifest(branch, folder, error);
            free(branch);
        }
    }
    log_admin_end(log);
    return err;
}

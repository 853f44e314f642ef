/* GET /v1/backup: a consistent copy, put together in a scratch folder and sent as a tar archive.
 *
 *   pool: room? ─► cairn_backup ─► list of files ─► loop: http_begin ─► pool: read a piece ─► loop: http_write
 *                                                                            ▲                      │
 *                                                                            └── (on_drain) ◄───────┘
 *
 * The files of the scratch folder go when the exchange does, and what a killed server has left there goes with
 * the next backup. One backup at a time: job_running[JOB_BACKUP]. */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <os/os.h>
#include <proto/http/api_tar.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECE_BYTES (256u << 10)
#define FILES_MAX 100000
#define PATH_BYTES 1024
#define DEPTH_MAX 4
#define SPARE_BYTES (UINT64_C(64) << 20) /* left free for the log that goes on growing */

struct backup_file {
    char *name; /* within the folder; ends with '/' when it is one itself */
    uint64_t size_bytes;
};

struct backup {
    struct api *api;
    struct api_call *call; /* kept */
    char folder[PATH_BYTES];
    uint64_t end;
    int64_t time_us;
    cairn_err err;
    cairn_error error;
    struct backup_file *files;
    size_t file_count, file_room;
    /* where the archive stands */
    size_t file;
    uint64_t offset;
    bool header_sent, finished;
    struct os_file *open;
    struct buf piece;
    bool on_pool, closed;
};

/* ---- the scratch folder --------------------------------------------------------------------------- */

struct names {
    char **items;
    size_t count, room;
    bool failed;
};

static void
note_name(void *context, const char *name)
{
    struct names *names = context;
    if (names->count == names->room) {
        size_t room = names->room ? names->room * 2 : 32;
        char **items = room <= FILES_MAX ? realloc(names->items, room * sizeof *items) : NULL;
        if (!items) {
            names->failed = true;
            return;
        }
        names->items = items;
        names->room = room;
    }
    names->items[names->count] = strdup(name);
    names->failed |= !names->items[names->count];
    names->count += names->items[names->count] != NULL;
}

static void
free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

/* Remove every file below a path. Empty folders stay for the next backup (os/ has no call to remove them). */
static void
remove_files(const char *path, unsigned depth)
{
    struct os *os = os_real();
    struct names names = {0};
    if (depth <= DEPTH_MAX && os_list(os, path, note_name, &names) == 0)
        for (size_t i = 0; i < names.count; i++) {
            char inner[PATH_BYTES];
            if (snprintf(inner, sizeof inner, "%s/%s", path, names.items[i]) < (int)sizeof inner)
                remove_files(inner, depth + 1);
        }
    free_names(&names);
    os_unlink(os, path);
}

static cairn_err
add_file(struct backup *backup, const char *name, uint64_t size_bytes)
{
    if (backup->file_count == backup->file_room) {
        size_t room = backup->file_room ? backup->file_room * 2 : 64;
        struct backup_file *files =
            room <= FILES_MAX ? realloc(backup->files, room * sizeof *files) : NULL;
        if (!files)
            return error_set(&backup->error, CAIRN_E_NOMEM, "no memory for the list of files");
        backup->files = files;
        backup->file_room = room;
    }
    char *copy = strdup(name);
    if (!copy)
        return error_set(&backup->error, CAIRN_E_NOMEM, "no memory for the list of files");
    backup->files[backup->file_count++] = (struct backup_file){copy, size_bytes};
    return CAIRN_OK;
}

static cairn_err
list_file(struct backup *backup, const char *path, const char *name)
{
    struct os_file *file;
    uint64_t size_bytes = 0;
    int fault = os_open(os_real(), path, OS_READ, &file);
    if (fault == 0) {
        fault = os_size(os_real(), file, &size_bytes);
        os_close(os_real(), file);
    }
    return fault == 0 ? add_file(backup, name, size_bytes)
                      : error_set_errno(&backup->error, -fault, "%s: cannot read", path);
}

/* Everything below `prefix` of the backup's folder, folders before what is in them. */
static cairn_err
list_folder(struct backup *backup, const char *prefix, unsigned depth)
{
    char path[PATH_BYTES * 2], name[PATH_BYTES];
    struct names names = {0};
    snprintf(path, sizeof path, "%s/%s", backup->folder, prefix);
    int fault = os_list(os_real(), path, note_name, &names);
    cairn_err err = fault != 0     ? error_set_errno(&backup->error, -fault, "%s: cannot list", path)
                    : names.failed ? error_set(&backup->error, CAIRN_E_NOMEM, "no memory for names")
                                   : CAIRN_OK;
    for (size_t i = 0; i < names.count && err == CAIRN_OK; i++) {
        struct names inner = {0};
        snprintf(name, sizeof name, "%s%s", prefix, names.items[i]);
        snprintf(path, sizeof path, "%s/%s", backup->folder, name);
        bool is_folder = depth < DEPTH_MAX && os_list(os_real(), path, note_name, &inner) == 0;
        free_names(&inner);
        if (!is_folder) {
            err = list_file(backup, path, name);
            continue;
        }
        size_t size = strlen(name);
        snprintf(name + size, sizeof name - size, "/");
        err = add_file(backup, name, 0);
        if (err == CAIRN_OK)
            err = list_folder(backup, name, depth + 1);
    }
    free_names(&names);
    return err;
}

/* ---- making it -------------------------------------------------------------------------------------- */

static bool
may_go_on(void *context, uint64_t done, uint64_t total, const char *unit)
{
    struct backup *backup = context;
    (void)done, (void)total, (void)unit;
    return !atomic_load_explicit(&backup->api->closing, memory_order_relaxed);
}

/* A backup must not be what fills the disk that the log needs. */
static cairn_err
check_room(struct backup *backup)
{
    cairn_stats stats;
    uint64_t free_bytes;
    cairn_stats_get(backup->api->store, &stats);
    uint64_t need_bytes = stats.log_bytes + stats.index_bytes + SPARE_BYTES;
    int fault = os_free_space(os_real(), backup->api->config.scratch_folder, &free_bytes);
    if (fault != 0)
        return error_set_errno(&backup->error, -fault, "%s: cannot tell the free space",
                               backup->api->config.scratch_folder);
    if (free_bytes < need_bytes)
        return error_set(&backup->error, CAIRN_E_NOSPACE,
                         "a backup needs %llu bytes of room in %s, where %llu are free",
                         (unsigned long long)need_bytes, backup->api->config.scratch_folder,
                         (unsigned long long)free_bytes);
    return CAIRN_OK;
}

static void
make(void *context)
{
    struct backup *backup = context;
    const char *scratch = backup->api->config.scratch_folder;
    int fault = os_mkdir(os_real(), scratch);
    backup->err = fault == 0 || fault == -EEXIST
                      ? check_room(backup)
                      : error_set_errno(&backup->error, -fault, "%s: cannot make the folder", scratch);
    if (backup->err != CAIRN_OK)
        return;
    snprintf(backup->folder, sizeof backup->folder, "%s/backup", scratch);
    remove_files(backup->folder, 0);
    backup->err = cairn_backup(backup->api->store, backup->folder, may_go_on, backup, &backup->end,
                               &backup->error);
    if (backup->err == CAIRN_OK)
        backup->err = list_folder(backup, "", 0);
    backup->time_us = os_now_us(os_real());
}

/* ---- sending it ----------------------------------------------------------------------------------------- */

static void
put_zeros(struct buf *to, size_t count)
{
    static const char zeros[TAR_BLOCK * 2];
    buf_put(to, zeros, count);
}

/* Bytes of the file at hand, up to a piece. */
static cairn_err
add_bytes(struct backup *backup, const struct backup_file *file)
{
    char path[PATH_BYTES * 2];
    uint64_t left = file->size_bytes - backup->offset;
    size_t want = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    snprintf(path, sizeof path, "%s/%s", backup->folder, file->name);
    int fault = backup->open ? 0 : os_open(os_real(), path, OS_READ, &backup->open);
    if (fault != 0)
        return error_set_errno(&backup->error, -fault, "%s: cannot open", path);
    if (!buf_reserve(&backup->piece, want))
        return error_set(&backup->error, CAIRN_E_NOMEM, "no memory for a piece of the archive");
    ssize_t n = os_pread(os_real(), backup->open, backup->piece.data + backup->piece.size, want, backup->offset);
    if (n != (ssize_t)want)
        return n < 0 ? error_set_errno(&backup->error, (int)-n, "%s: cannot read", path)
                     : error_set(&backup->error, CAIRN_E_IO, "%s: is shorter than it was", path);
    backup->piece.size += want;
    backup->offset += want;
    return CAIRN_OK;
}

/* One file's header, some of its bytes, or the archive's end. */
static cairn_err
add_piece(struct backup *backup)
{
    if (backup->file == backup->file_count) {
        put_zeros(&backup->piece, 2 * TAR_BLOCK);
        backup->finished = true;
        return CAIRN_OK;
    }
    const struct backup_file *file = &backup->files[backup->file];
    cairn_err err = CAIRN_OK;
    if (!backup->header_sent) {
        uint8_t block[TAR_BLOCK];
        if (!tar_header(block, file->name, file->size_bytes, backup->time_us))
            return error_set(&backup->error, CAIRN_E_LIMIT, "%s: the name is too long for an archive", file->name);
        buf_put(&backup->piece, block, sizeof block);
        backup->header_sent = true;
    }
    if (backup->offset < file->size_bytes)
        err = add_bytes(backup, file);
    if (backup->offset < file->size_bytes || err != CAIRN_OK)
        return err;
    put_zeros(&backup->piece, tar_padding(file->size_bytes));
    os_close(os_real(), backup->open);
    backup->open = NULL;
    backup->file++;
    backup->offset = 0;
    backup->header_sent = false;
    return CAIRN_OK;
}

/* On the pool. */
static void
read_piece(void *context)
{
    struct backup *backup = context;
    buf_clear(&backup->piece);
    while (backup->err == CAIRN_OK && !backup->finished && backup->piece.size < PIECE_BYTES)
        backup->err = add_piece(backup);
    if (backup->piece.failed)
        backup->err = CAIRN_E_NOMEM;
}

static void
free_backup(struct backup *backup)
{
    if (backup->folder[0])
        remove_files(backup->folder, 0);
    os_close(os_real(), backup->open);
    for (size_t i = 0; i < backup->file_count; i++)
        free(backup->files[i].name);
    free(backup->files);
    buf_free(&backup->piece);
    atomic_store(&backup->api->job_running[JOB_BACKUP], false);
    api_release(backup->call);
    free(backup);
}

static void piece_done(void *context);

/* A peer that cannot be served further is cut off: an archive without its end is seen to be broken. */
static void
next_piece(struct backup *backup)
{
    backup->on_pool = http_work(backup->call->loop->loop, read_piece, piece_done, backup);
    if (!backup->on_pool)
        http_end(backup->call->x);
}

static void
piece_done(void *context)
{
    struct backup *backup = context;
    backup->on_pool = false;
    if (backup->closed) {
        free_backup(backup);
        return;
    }
    bool more = backup->err == CAIRN_OK && http_write(backup->call->x, buf_str(&backup->piece));
    if (backup->err != CAIRN_OK || backup->finished)
        http_end(backup->call->x);
    else if (more)
        next_piece(backup);
}

static void
on_drain(void *context, struct http_exchange *x)
{
    struct backup *backup = context;
    (void)x;
    if (!backup->on_pool && !backup->closed && !backup->finished)
        next_piece(backup);
}

static void
on_close(void *context, struct http_exchange *x)
{
    struct backup *backup = context;
    (void)x;
    backup->closed = true;
    if (!backup->on_pool)
        free_backup(backup);
}

static void
made(void *context)
{
    struct backup *backup = context;
    struct api_call *call = backup->call;
    char end[24];
    backup->on_pool = false;
    if (backup->err != CAIRN_OK) {
        api_finish(call, backup->err, &backup->error);
        free_backup(backup);
        return;
    }
    int size = snprintf(end, sizeof end, "%llu", (unsigned long long)backup->end);
    const struct http_field fields[] = {
        {"content-type", CAIRN_STR("application/x-tar")},
        {"content-disposition", CAIRN_STR("attachment; filename=\"cairn-backup.tar\"")},
        {"cache-control", CAIRN_STR("no-store")},
        {"cairn-end", {end, (size_t)size}},
    };
    api_count(call, 200);
    http_begin(call->x, 200, fields, sizeof fields / sizeof *fields, on_drain, on_close, backup);
    next_piece(backup);
}

cairn_err
api_backup(struct api_call *call, cairn_error *error)
{
    if (!call->api->config.scratch_folder)
        return error_set(error, CAIRN_E_UNSUPPORTED, "this server has no folder to put a backup together in");
    if (cairn_str_equal(http_method(call->x), CAIRN_STR("HEAD"))) {
        call->reply_type = "application/x-tar";
        api_finish(call, CAIRN_OK, NULL);
        return CAIRN_OK;
    }
    if (atomic_exchange(&call->api->job_running[JOB_BACKUP], true))
        return error_set(error, CAIRN_E_BUSY, "another backup is under way");
    struct backup *backup = calloc(1, sizeof *backup);
    if (backup) {
        backup->api = call->api;
        backup->call = api_keep(call);
    }
    if (!backup || !backup->call) {
        free(backup);
        atomic_store(&call->api->job_running[JOB_BACKUP], false);
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    backup->on_pool = http_work(call->loop->loop, make, made, backup);
    if (backup->on_pool)
        return CAIRN_OK;
    free_backup(backup);
    return error_set(error, CAIRN_E_BUSY, "too many requests are waiting for the disk");
}

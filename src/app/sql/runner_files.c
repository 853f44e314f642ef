/* A projection's files: generations, which of them serves, copies. Names are <name>-<generation>.db, and for a copy
 * <name>-<generation>@<position>.copy, for an as-of model <name>@<serial>.asof. */
#include "runner_int.h"

#include <base/error.h>
#include <base/text.h>
#include <errno.h>
#include <os/os.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- models ---------------------------------------------------------------------------------------------- */

struct runner_model *
model_new(const char *path, uint64_t position)
{
    static atomic_uint_fast64_t source; /* no two models of a process share a number */
    size_t size = strlen(path) + 1;
    struct runner_model *model = calloc(1, sizeof *model + size);
    if (model == NULL)
        return NULL;
    memcpy(model->text, path, size);
    model->model = (struct model){model->text, atomic_fetch_add(&source, 1) + 1, position};
    atomic_init(&model->holders, 1);
    return model;
}

struct model *
model_hold(struct runner_model *model)
{
    atomic_fetch_add(&model->holders, 1);
    return &model->model;
}

void
model_release(struct model *model)
{
    if (model == NULL)
        return;
    struct runner_model *whole = model_of(model);
    if (atomic_fetch_sub(&whole->holders, 1) != 1)
        return;
    if (atomic_load(&whole->doomed))
        files_remove(whole->text);
    free(whole);
}

void
model_damaged(struct model *model)
{
    atomic_store(&model_of(model)->damaged, true);
}

/* ---- names ------------------------------------------------------------------------------------------------- */

bool
files_path(const struct runner *runner, char to[RUNNER_PATH_MAX], uint64_t generation, const char *suffix)
{
    int size = snprintf(to, RUNNER_PATH_MAX, "%s/%s-%llu%s", runner->folder, runner->name,
                        (unsigned long long)generation, suffix);
    return size > 0 && size < RUNNER_PATH_MAX;
}

void
files_remove(const char *path)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm", "-journal"};
    char name[RUNNER_PATH_MAX + 16];
    for (size_t i = 0; i < sizeof SUFFIXES / sizeof *SUFFIXES; i++) {
        snprintf(name, sizeof name, "%s%s", path, SUFFIXES[i]);
        (void)os_unlink(os_real(), name);
    }
}

bool
files_current(const struct runner *runner, uint64_t *ret_generation, cairn_error *error)
{
    char path[RUNNER_PATH_MAX];
    char *text = NULL;
    size_t size = 0;
    (void)error;
    snprintf(path, sizeof path, "%s/%s.current", runner->folder, runner->name);
    bool there = os_read_file(os_real(), path, 64, &text, &size) >= 0
        && parse_u64(sql_trim((cairn_str){text, size}), ret_generation);
    free(text);
    return there;
}

cairn_err
files_set_current(const struct runner *runner, uint64_t generation, cairn_error *error)
{
    char name[96], text[32];
    snprintf(name, sizeof name, "%s.current", runner->name);
    int size = snprintf(text, sizeof text, "%llu\n", (unsigned long long)generation);
    int rc = os_replace_file(os_real(), runner->folder, name, text, (size_t)size);
    return rc < 0 ? error_set_errno(error, -rc, "writing %s", name) : CAIRN_OK;
}

/* ---- cleaning ---------------------------------------------------------------------------------------------- */

struct cleaning {
    const struct runner *runner;
    uint64_t current, building;
};

/* What follows "<name>" and the separator; NULL when the file is not this projection's. */
static const char *
own_part(const struct runner *runner, const char *file, char separator)
{
    size_t size = strlen(runner->name);
    return strncmp(file, runner->name, size) == 0 && file[size] == separator ? file + size + 1 : NULL;
}

/* "order-2@7.asof" may be a file of "order-2", and "order-2.db" is one of "order": the endings tell. */
static bool
doomed(const struct cleaning *cleaning, const char *file)
{
    const struct runner *runner = cleaning->runner;
    const char *part = own_part(runner, file, '@');
    if (part != NULL && strstr(part, ".asof") != NULL)
        return true;
    part = own_part(runner, file, '-');
    if (part == NULL || *part < '0' || *part > '9')
        return false;
    char *after;
    uint64_t generation = strtoull(part, &after, 10);
    if (*after == '.')
        return strncmp(after, ".db", 3) == 0 && generation != cleaning->current && generation != cleaning->building;
    const char *copy = *after == '@' ? strstr(after, ".copy") : NULL;
    return copy != NULL && (generation != cleaning->current || copy[5] != '\0');
}

static void
clean_one(void *context, const char *file)
{
    const struct cleaning *cleaning = context;
    char path[RUNNER_PATH_MAX + 300];
    if (!doomed(cleaning, file))
        return;
    snprintf(path, sizeof path, "%s/%s", cleaning->runner->folder, file);
    (void)os_unlink(os_real(), path);
}

cairn_err
files_clean(const struct runner *runner, uint64_t current, uint64_t building, cairn_error *error)
{
    struct cleaning cleaning = {runner, current, building};
    int rc = os_list(os_real(), runner->folder, clean_one, &cleaning);
    return rc < 0 ? error_set_errno(error, -rc, "listing %s", runner->folder) : CAIRN_OK;
}

/* ---- bytes --------------------------------------------------------------------------------------------------- */

cairn_err
files_copy(const char *from, const char *to, cairn_error *error)
{
    enum { PIECE = 1 << 20 };
    struct os *os = os_real();
    struct os_file *in = NULL, *out = NULL;
    char *piece = malloc(PIECE);
    int rc = piece == NULL ? -ENOMEM : os_open(os, from, OS_READ, &in);
    if (rc >= 0)
        rc = os_open(os, to, OS_WRITE | OS_CREATE | OS_TRUNCATE, &out);
    for (uint64_t at = 0; rc >= 0;) {
        ssize_t size = os_pread(os, in, piece, PIECE, at);
        if (size <= 0) {
            rc = (int)size;
            break;
        }
        ssize_t written = os_pwrite(os, out, piece, (size_t)size, at);
        rc = written < 0 ? (int)written : 0;
        at += (uint64_t)size;
    }
    free(piece);
    (void)os_close(os, in);
    int closed = os_close(os, out);
    rc = rc < 0 ? rc : closed;
    return rc < 0 ? error_set_errno(error, -rc, "copying a read model") : CAIRN_OK;
}

cairn_err
files_sync(const char *path, cairn_error *error)
{
    struct os_file *file = NULL;
    int rc = os_open(os_real(), path, OS_WRITE, &file);
    if (rc >= 0)
        rc = os_sync(os_real(), file);
    (void)os_close(os_real(), file);
    return rc < 0 ? error_set_errno(error, -rc, "syncing a read model") : CAIRN_OK;
}

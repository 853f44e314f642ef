/* See bundle.h. Folders are walked with os_list(); a path's kind and its way through links are asked of the real machine,
 * because an app's folder is always there. */
#include <app/bundle.h>

#include <base/bytes.h>
#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <os/path.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FOLDER_DEPTH_MAX = 8, NAMES_MAX = 4096 };

struct walk {
    struct os *os;
    const char *folder;
    char real[PATH_MAX]; /* of the folder: what links must stay below */
    cairn_app_fault_visit visit;
    void *context;
    cairn_app_file files[BUNDLE_FILES_MAX];
    size_t count, bytes;
    struct arena arena;
    size_t faults;
    cairn_err err; /* the first, of faults too */
    cairn_error *error;
};

__attribute__((format(printf, 5, 6))) static void
fault(struct walk *walk, cairn_err err, const char *path, const char *hint, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (walk->err == CAIRN_OK)
        walk->err = error_set(walk->error, err, "%s: %s", path, text);
    if (walk->visit && walk->faults++ < 20)
        walk->visit(walk->context, &(cairn_app_fault){.file = cairn_cstr(path), .message = cairn_cstr(text), .hint = cairn_cstr(hint)});
}

bool
bundle_path_valid(cairn_str path)
{
    size_t begin = 0;
    if (path.size == 0 || path.size > BUNDLE_PATH_MAX || !utf8_valid(path))
        return false;
    for (size_t i = 0; i <= path.size; i++) {
        char c = i < path.size ? path.data[i] : '/';
        if ((unsigned char)c < 0x20 || c == 0x7F || c == '\\' || c == ':')
            return false;
        if (c != '/')
            continue;
        size_t size = i - begin;
        if (size == 0 || (path.data[begin] == '.' && (size == 1 || (size == 2 && path.data[begin + 1] == '.'))))
            return false;
        begin = i + 1;
    }
    return true;
}

static int
compare_files(const void *a, const void *b)
{
    const cairn_app_file *x = a, *y = b;
    return cairn_str_order(x->path, y->path);
}

void
bundle_sort(cairn_app_file *files, size_t count)
{
    if (count > 1)
        qsort(files, count, sizeof *files, compare_files);
}

void
bundle_digest(const cairn_app_file *files, size_t count, char ret_hex[65])
{
    cairn_str pieces[4 * BUNDLE_FILES_MAX];
    uint64_t sizes[2 * BUNDLE_FILES_MAX];
    uint8_t hash[32];
    if (count > BUNDLE_FILES_MAX)
        count = BUNDLE_FILES_MAX;
    for (size_t i = 0; i < count; i++) {
        sizes[2 * i] = files[i].path.size;
        sizes[2 * i + 1] = files[i].text.size;
        pieces[4 * i] = (cairn_str){(const char *)&sizes[2 * i], sizeof *sizes};
        pieces[4 * i + 1] = files[i].path;
        pieces[4 * i + 2] = (cairn_str){(const char *)&sizes[2 * i + 1], sizeof *sizes};
        pieces[4 * i + 3] = files[i].text;
    }
    sha256_pieces(pieces, 4 * count, hash);
    format_hex(hash, sizeof hash, ret_hex);
}

static void
read_file(struct walk *walk, const char *full, const char *path)
{
    char *bytes = NULL;
    size_t size;
    if (walk->count == BUNDLE_FILES_MAX) {
        if (walk->err == CAIRN_OK)
            fault(walk, CAIRN_E_LIMIT, path, "Keep what is no part of the app elsewhere, or in a folder whose name begins with a dot.",
                  "more than %d files", BUNDLE_FILES_MAX);
        return;
    }
    int failed = os_read_file(walk->os, full, BUNDLE_FILE_BYTES_MAX, &bytes, &size);
    if (failed == -EFBIG) {
        fault(walk, CAIRN_E_LIMIT, path, "An app's files are text that people write.", "larger than %d KiB", BUNDLE_FILE_BYTES_MAX / 1024);
        return;
    }
    if (failed) {
        walk->err = error_set_errno(walk->error, -failed, "reading %s", full);
        return;
    }
    cairn_app_file file = {.text = {bytes, size}};
    if (!utf8_valid(file.text))
        fault(walk, CAIRN_E_INVALID, path, "An app's files are text. Keep pictures and databases elsewhere.", "it is not UTF-8 text");
    else if (!bundle_path_valid(cairn_cstr(path)))
        fault(walk, CAIRN_E_INVALID, path, "Rename it.", "a file of an app cannot have this name");
    else if ((walk->bytes += size) > BUNDLE_BYTES_MAX) {
        if (walk->err == CAIRN_OK)
            fault(walk, CAIRN_E_LIMIT, path, "An app's files are text that people write.", "the files have more than %d MiB together", BUNDLE_BYTES_MAX / 1024 / 1024);
    } else {
        file.path = arena_copy(&walk->arena, cairn_cstr(path));
        file.text = arena_copy(&walk->arena, file.text);
        if (file.path.data && file.text.data)
            walk->files[walk->count++] = file;
        else
            walk->err = error_set(walk->error, CAIRN_E_NOMEM, "out of memory reading %s", full);
    }
    free(bytes);
}

struct names {
    struct arena *arena;
    const char **list;
    size_t count;
    bool failed, too_many;
};

static void
take_name(void *context, const char *name)
{
    struct names *names = context;
    size_t size = strlen(name);
    if (name[0] == '.' || size == 0 || name[size - 1] == '~' || strcmp(name, "node_modules") == 0)
        return;
    if (names->count == NAMES_MAX) {
        names->too_many = true;
        return;
    }
    cairn_str copy = arena_copy(names->arena, cairn_cstr(name));
    if (copy.data)
        names->list[names->count++] = copy.data;
    else
        names->failed = true;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A path that is a link, or lies behind one, must still be below the folder. */
static bool
stays_inside(struct walk *walk, const char *full)
{
    char real[PATH_MAX];
    size_t size = strlen(walk->real);
    return os_path_real(full, real) == 0 && strncmp(real, walk->real, size) == 0 && (real[size] == '/' || walk->real[size - 1] == '/');
}

static void walk_folder(struct walk *walk, const char *path, unsigned depth);

static void
walk_name(struct walk *walk, const char *folder, const char *name, unsigned depth)
{
    char path[PATH_MAX], full[PATH_MAX];
    struct os_path found;
    int size = snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", name);
    int looked, full_size = snprintf(full, sizeof full, "%s/%s", walk->folder, path);
    if (size > BUNDLE_PATH_MAX || full_size >= (int)sizeof full)
        fault(walk, CAIRN_E_LIMIT, name, "Rename it, or the folder it is in.", "its path is longer than %d bytes", BUNDLE_PATH_MAX);
    else if (!stays_inside(walk, full))
        fault(walk, CAIRN_E_INVALID, path, "Copy the file into the folder.", "a link that leads nowhere, or out of the app's folder");
    else if ((looked = os_path_look(full, &found)) != 0)
        walk->err = error_set_errno(walk->error, -looked, "looking at %s", full);
    else if (found.kind == OS_KIND_FOLDER)
        walk_folder(walk, path, depth + 1);
    else if (found.kind != OS_KIND_FILE)
        fault(walk, CAIRN_E_INVALID, path, "Take it away.", "it is no plain file");
    else
        read_file(walk, full, path);
}

static void
walk_folder(struct walk *walk, const char *path, unsigned depth)
{
    char full[PATH_MAX];
    struct arena arena = {0};
    struct names names = {.arena = &arena, .list = arena_alloc(&arena, NAMES_MAX * sizeof(char *))};
    if (depth > FOLDER_DEPTH_MAX) {
        fault(walk, CAIRN_E_LIMIT, path, "Keep the folder flat.", "folders nested deeper than %d", FOLDER_DEPTH_MAX);
    } else if (!names.list) {
        walk->err = error_set(walk->error, CAIRN_E_NOMEM, "out of memory reading %s", walk->folder);
    } else {
        snprintf(full, sizeof full, "%s%s%s", walk->folder, *path ? "/" : "", path);
        int failed = os_list(walk->os, full, take_name, &names);
        if (failed)
            walk->err = error_set_errno(walk->error, -failed, "reading the folder %s", full);
        else if (names.failed)
            walk->err = error_set(walk->error, CAIRN_E_NOMEM, "out of memory reading %s", full);
        else if (names.too_many)
            fault(walk, CAIRN_E_LIMIT, *path ? path : ".", "Is this an app's folder?", "more than %d names in one folder", NAMES_MAX);
        qsort(names.list, names.count, sizeof *names.list, compare_names);
        /* Faults go on to the next file; what the machine refuses ends the walk. */
        for (size_t i = 0; i < names.count && (walk->err == CAIRN_OK || walk->faults > 0) && walk->faults < 20; i++)
            walk_name(walk, path, names.list[i], depth);
    }
    arena_free(&arena);
}

cairn_err
bundle_read(struct os *os, const char *folder, cairn_app_fault_visit visit, void *context, struct bundle *ret,
            cairn_error *error)
{
    struct os_path found;
    struct walk *walk = calloc(1, sizeof *walk);
    if (!walk)
        return error_set(error, CAIRN_E_NOMEM, "out of memory reading %s", folder);
    walk->os = os;
    walk->folder = folder;
    walk->visit = visit;
    walk->context = context;
    walk->error = error;
    int looked = os_path_real(folder, walk->real);
    if (looked == 0)
        looked = os_path_look(folder, &found);
    if (looked != 0)
        walk->err = error_set_errno(error, -looked, "the app's folder %s", folder);
    else if (found.kind != OS_KIND_FOLDER)
        walk->err = error_set(error, CAIRN_E_INVALID, "%s is no folder; an app is a folder with an app.yaml", folder);
    else
        walk_folder(walk, "", 0);

    cairn_app_file *files = NULL;
    if (walk->err == CAIRN_OK) {
        files = arena_alloc(&walk->arena, (walk->count + 1) * sizeof *files);
        if (!files)
            walk->err = error_set(error, CAIRN_E_NOMEM, "out of memory reading %s", folder);
    }
    cairn_err err = walk->err;
    if (err == CAIRN_OK) {
        memcpy(files, walk->files, walk->count * sizeof *files);
        bundle_sort(files, walk->count);
        *ret = (struct bundle){.files = files, .count = walk->count, .arena = walk->arena};
    } else {
        arena_free(&walk->arena);
    }
    free(walk);
    return err;
}

void
bundle_free(struct bundle *bundle)
{
    if (bundle) {
        arena_free(&bundle->arena);
        *bundle = (struct bundle){0};
    }
}

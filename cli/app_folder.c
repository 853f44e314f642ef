/* An app's folder: read, taken out of an answer, written. See app_client.h.
 *
 * Paths inside are relative, with '/', without "..": what a server names is written only below the folder. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app_client.h"

int
app_folder_read(const struct args *args, const char *path, struct bundle *ret)
{
    struct app_faults faults = {.folder = path};
    cairn_error error = {0};
    cairn_err err = bundle_read(os_real(), path, app_say_fault, &faults, ret, &error);
    buf_free(&faults.json);
    if (err != CAIRN_OK)
        return fail_hint(args->command->name, &error,
                         err == CAIRN_E_NOTFOUND ? "name an app's folder; `cairn new NAME` makes one" : NULL);
    for (size_t i = 0; i < ret->count; i++)
        if (cairn_str_equal(ret->files[i].path, CAIRN_STR("app.yaml")))
            return 0;
    bundle_free(ret);
    return fail(EXIT_NOT_FOUND, args->command->name, "name an app's folder; `cairn new NAME` makes one",
                "%s holds no app.yaml", path);
}

int
app_folder_take(const struct args *args, struct json files, struct bundle *ret)
{
    struct json_walk walk = json_walk(files);
    struct json name, text;
    struct bundle bundle = {0};
    size_t room = json_count(files);
    bundle.files = arena_zalloc(&bundle.arena, (room + 1) * sizeof *bundle.files);
    bool fine = bundle.files != NULL;
    while (fine && bundle.count < room && json_next(&walk, &name, &text)) {
        /* copied: the answer's buffer is used again by the next call */
        cairn_app_file *file = &bundle.files[bundle.count++];
        file->path = arena_copy(&bundle.arena, json_string(name, &bundle.arena));
        file->text = arena_copy(&bundle.arena, json_string(text, &bundle.arena));
        fine = file->path.data && file->text.data;
    }
    if (!fine) {
        bundle_free(&bundle);
        return fail(EXIT_FAILED, args->command->name, NULL, "out of memory");
    }
    bundle_sort(bundle.files, bundle.count);
    *ret = bundle;
    return 0;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static int
make_folders(char *path, size_t root_size)
{
    for (char *slash = path + root_size + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made)
            return -1;
    }
    return 0;
}

static int
write_file(const char *root, const cairn_app_file *file, bool replace)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%.*s", root, (int)file->path.size, file->path.data) >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (make_folders(path, strlen(root)) != 0)
        return -1;
    FILE *to = fopen(path, replace ? "wbe" : "wbxe");
    if (!to)
        return -1;
    bool whole = fwrite(file->text.data, 1, file->text.size, to) == file->text.size;
    return fclose(to) == 0 && whole ? 0 : -1;
}

static bool
is_empty(const char *path)
{
    DIR *dir = opendir(path);
    unsigned names = 0;
    while (dir && readdir(dir))
        names++;
    if (dir)
        closedir(dir);
    return dir && names <= 2;
}

static int
fail_write(const struct args *args, const char *root, const cairn_app_file *file)
{
    return fail(errno == ENOSPC ? EXIT_DISK_FULL : EXIT_FAILED, args->command->name, NULL, "%s/%.*s: %s", root,
                (int)file->path.size, file->path.data, strerror(errno));
}

int
app_folder_write(const struct args *args, const char *path, const cairn_app_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!bundle_path_valid(files[i].path))
            return fail(EXIT_FAILED, args->command->name, NULL, "\"%.*s\" is no path inside an app",
                        (int)(files[i].path.size < 100 ? files[i].path.size : 100), files[i].path.data);
    if (mkdir(path, 0777) != 0 && (errno != EEXIST || !is_empty(path)))
        return fail(errno == EEXIST ? EXIT_CONFLICT : EXIT_FAILED, args->command->name,
                    errno == EEXIST ? "nothing is overwritten: name a folder that is not there yet" : NULL, "%s: %s", path,
                    strerror(errno));
    for (size_t i = 0; i < count; i++)
        if (write_file(path, &files[i], false) != 0)
            return fail_write(args, path, &files[i]);
    return 0;
}

int
app_folder_replace(const struct args *args, const char *path, const cairn_app_file *file)
{
    return write_file(path, file, true) == 0 ? 0 : fail_write(args, path, file);
}

/* `cairn import packages`: the package manager's log of a Debian machine. See import.h.
 *
 *   2026-11-21 08:31:02 install libuv1-dev:amd64 <none> 1.44.2-1+deb12u1
 *
 * The log is rotated, and its oldest parts go away one day, so a package's n-th line has no fixed place. The
 * files are read twice: first to find, in each package's lines, the event that is its stream's newest; then to
 * append what comes after it, or everything where it is not among them. */
#include <base/error.h>
#include <errno.h>
#include <glob.h>
#include <search.h>
#include <stdlib.h>
#include <zlib.h>

#include "import.h"
#include "run.h"

#define LINE_MAX_BYTES 4096
#define FILES_MAX 512

struct package {
    char *name;
    uint64_t lines, known_through; /* lines up to this one are in the store */
    uint64_t same; /* lines in a row that read the same: so many before this one */
    char *last_line;
    cairn_uuid head_id;
    bool head_known;
};

struct reading {
    const struct args *args;
    struct target *target;
    struct import *import; /* NULL in the first pass */
    void *packages;        /* a tree by name */
    struct buf stream, data, meta, tag, key;
    cairn_err err;
    cairn_error *error;
};

static const struct {
    const char *action, *type;
} actions[] = {{"install", "PackageInstalled"}, {"upgrade", "PackageUpgraded"}, {"configure", "PackageConfigured"},
               {"trigproc", "PackageTriggered"}, {"remove", "PackageRemoved"}, {"purge", "PackagePurged"}};

/* A line's parts; false for lines that tell no such action. */
struct line {
    const char *date, *time, *type, *package, *architecture, *from, *to;
};

static bool
take_apart(char *text, struct line *ret)
{
    char *rest = text, *action;
    *ret = (struct line){.date = strsep(&rest, " "), .time = strsep(&rest, " ")};
    action = strsep(&rest, " ");
    char *package = strsep(&rest, " ");
    ret->from = strsep(&rest, " ");
    ret->to = strsep(&rest, " \n");
    for (size_t i = 0; ret->to && i < sizeof actions / sizeof *actions; i++)
        if (strcmp(action, actions[i].action) == 0)
            ret->type = actions[i].type;
    if (!ret->type || !*package)
        return false;
    ret->package = strsep(&package, ":");
    ret->architecture = package;
    return true;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct package *)a)->name, ((const struct package *)b)->name);
}

static void
package_free(void *memory)
{
    struct package *package = memory;
    free(package->name);
    free(package->last_line);
    free(package);
}

static struct package *
package_of(struct reading *reading, const char *name)
{
    struct package key = {.name = (char *)(uintptr_t)name};
    struct package **found = tfind(&key, &reading->packages, by_name);
    if (found)
        return *found;
    struct package *package = calloc(1, sizeof *package);
    if (package)
        package->name = strdup(name);
    if (!package || !package->name || !tsearch(package, &reading->packages, by_name)) {
        if (package)
            package_free(package);
        return NULL;
    }
    struct stream_head head;
    cairn_str stream = import_name(&reading->stream, CAIRN_STR("package"), cairn_cstr(name));
    reading->err = reading->target->ops->head(reading->target, stream, &head, reading->error);
    package->head_known = reading->err == CAIRN_OK && head.readable;
    package->head_id = head.last_id;
    return reading->err == CAIRN_OK ? package : NULL;
}

/* Lines of the same second may read the same: their number tells them apart. */
static cairn_uuid
line_id(struct reading *reading, struct package *package, const char *text)
{
    static const cairn_uuid space = {{0xe2, 0x5f, 0x18, 0x7c, 0x44, 0xb9, 0x4e, 0x03, 0x95, 0xd6, 0x2a, 0x81, 0x6f,
                                      0xc0, 0x3b, 0x17}};
    package->same = package->last_line && strcmp(package->last_line, text) == 0 ? package->same + 1 : 0;
    free(package->last_line);
    package->last_line = strdup(text);
    buf_clear(&reading->key);
    buf_printf(&reading->key, "%s#%llu", text, (unsigned long long)package->same);
    return uuid_v5(space, buf_str(&reading->key));
}

static void
put_member(struct buf *to, const char *name, const char *text)
{
    if (!text || !*text || strcmp(text, "<none>") == 0)
        return;
    json_put_text_member(to, name, cairn_cstr(text));
}

static cairn_err
put_line(struct reading *reading, const struct line *line, cairn_uuid id)
{
    buf_clear(&reading->data);
    buf_clear(&reading->meta);
    buf_put_char(&reading->data, '{');
    put_member(&reading->data, "package", line->package);
    put_member(&reading->data, "architecture", line->architecture);
    bool has_new = strcmp(line->to, "<none>") != 0; /* what is not installed or upgraded has its version first */
    put_member(&reading->data, "version", has_new ? line->to : line->from);
    put_member(&reading->data, "previous", has_new ? line->from : NULL);
    buf_put_char(&reading->data, '}');
    /* local time, as the log has it */
    buf_printf(&reading->meta, "{\"occurred_at\":\"%s %s\"}", line->date, line->time);
    cairn_str architecture = cairn_cstr(line->architecture ? line->architecture : "all");
    cairn_str tag = import_tag(&reading->tag, CAIRN_STR("architecture"), architecture);
    struct import_event in = {.stream = import_name(&reading->stream, CAIRN_STR("package"), cairn_cstr(line->package)),
                              .event = {.id = id,
                                        .type = cairn_cstr(line->type),
                                        .data = buf_str(&reading->data),
                                        .meta = buf_str(&reading->meta),
                                        .tags = &tag,
                                        .tag_count = 1}};
    if (reading->data.failed || reading->meta.failed)
        return error_set(reading->error, CAIRN_E_NOMEM, "out of memory");
    return import_put(reading->import, &in, reading->error);
}

static cairn_err
take_line(struct reading *reading, char *text)
{
    char parts[LINE_MAX_BYTES];
    struct line line;
    snprintf(parts, sizeof parts, "%s", text);
    if (!take_apart(parts, &line))
        return CAIRN_OK;
    struct package *package = package_of(reading, line.package);
    if (!package)
        return reading->err != CAIRN_OK ? reading->err : error_set(reading->error, CAIRN_E_NOMEM, "out of memory");
    cairn_uuid id = line_id(reading, package, text);
    package->lines++;
    if (!reading->import) {
        if (package->head_known && memcmp(&id, &package->head_id, sizeof id) == 0)
            package->known_through = package->lines;
        return CAIRN_OK;
    }
    if (package->lines > package->known_through)
        return put_line(reading, &line, id);
    import_already(reading->import, 1);
    return CAIRN_OK;
}

static cairn_err
read_file(struct reading *reading, const char *path)
{
    char text[LINE_MAX_BYTES];
    gzFile file = gzopen(path, "rb");
    if (!file)
        return error_set_errno(reading->error, errno ? errno : ENOMEM, "cannot open %s", path);
    cairn_err err = CAIRN_OK;
    while (err == CAIRN_OK && !interrupted && gzgets(file, text, sizeof text)) {
        text[strcspn(text, "\n")] = '\0';
        err = take_line(reading, text);
    }
    gzclose(file);
    return err;
}

static void
start_again(const void *node, VISIT which, int depth __attribute__((unused)))
{
    struct package *package = *(struct package *const *)node;
    if (which != postorder && which != leaf)
        return;
    package->lines = package->same = 0;
    free(package->last_line);
    package->last_line = NULL;
}

/* dpkg.log.12.gz before dpkg.log.2.gz before dpkg.log. */
static int
older_first(const void *a, const void *b)
{
    const char *x = strstr(*(const char *const *)a, ".log."), *y = strstr(*(const char *const *)b, ".log.");
    long m = x ? strtol(x + 5, NULL, 10) : 0, n = y ? strtol(y + 5, NULL, 10) : 0;
    return (n > m) - (n < m);
}

static cairn_err
read_files(struct reading *reading, const char *const *paths, size_t count)
{
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; i < count && err == CAIRN_OK; i++)
        err = read_file(reading, paths[i]);
    return err;
}

static int
import_files(struct reading *reading, const char *const *paths, size_t count)
{
    const struct args *args = reading->args;
    struct import_options options = {.kind = "packages", .by_tail = true, .careful = true};
    cairn_error error = {0};
    reading->error = &error;
    int code = target_open(args, TARGET_CREATE, &reading->target);
    if (code)
        return code;
    cairn_err err = read_files(reading, paths, count);
    if (err != CAIRN_OK) {
        target_close(reading->target);
        return fail_error(args->command->name, &error);
    }
    twalk(reading->packages, start_again);
    code = import_open(args, &options, &reading->target, &reading->import);
    if (code) {
        target_close(reading->target);
        return code;
    }
    err = read_files(reading, paths, count);
    if (err == CAIRN_OK && interrupted)
        err = error_set(&error, CLI_E_INTERRUPTED, "interrupted");
    return import_close(args, reading->target, reading->import, err, &error, paths[0]);
}

int
run_import_packages(const struct args *args)
{
    struct reading reading = {.args = args};
    const char *paths[FILES_MAX];
    size_t count = 0;
    glob_t found = {0};
    int code;
    for (; count < args->operand_count && count < FILES_MAX; count++)
        paths[count] = args->operands[count];
    if (count == 0 && glob("/var/log/dpkg.log*", 0, NULL, &found) == 0)
        for (; count < found.gl_pathc && count < FILES_MAX; count++)
            paths[count] = found.gl_pathv[count];
    qsort(paths, count, sizeof *paths, older_first);
    if (count == 0)
        code = fail(EXIT_NOT_FOUND, args->command->name, "this machine keeps no /var/log/dpkg.log; name a file",
                    "no package log");
    else
        code = import_files(&reading, paths, count);
    globfree(&found);
    tdestroy(reading.packages, package_free);
    struct buf *bufs[] = {&reading.stream, &reading.data, &reading.meta, &reading.tag, &reading.key};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_free(bufs[i]);
    return code;
}

/* What all importers' commands share: options, files, names, the last line. See import.h. */
#include <base/error.h>
#include <base/hash.h>
#include <errno.h>
#include <sys/stat.h>

#include "import.h"

#define NAME_MAX_BYTES 512

int
import_open(const struct args *args, struct import_options *options, struct target **ret_target,
            struct import **ret)
{
    cairn_error error = {0};
    uint64_t in_flight = 0, batch = 0;
    int code = arg_u64(args, "batch", 0, &batch);
    if (!code && !options->ordered && !options->by_tail)
        code = arg_u64(args, "in-flight", 0, &in_flight);
    if (!code && (batch > 4096 || in_flight > 32))
        code = fail(EXIT_USAGE, args->command->name, NULL, "--batch takes up to 4096, --in-flight up to 32");
    bool own = *ret_target == NULL;
    if (!code && own)
        code = target_open(args, TARGET_CREATE, ret_target);
    if (code)
        return code;
    options->target = *ret_target;
    options->batch_events = (size_t)batch;
    options->in_flight = (unsigned)in_flight;
    if (import_begin(options, ret, &error) == CAIRN_OK)
        return 0;
    if (own)
        target_close(*ret_target);
    return fail_error(args->command->name, &error);
}

static void
say_report(const struct import_report *report, bool interrupted_early)
{
    double events = (double)(report->imported + report->already);
    uint64_t rate = report->seconds > 0 ? (uint64_t)(events / report->seconds) : 0;
    if (out.json) {
        printf("{\"imported\":%llu,\"already\":%llu,\"streams\":%llu,\"seconds\":%.3f,\"rate\":%llu%s}\n",
               (unsigned long long)report->imported, (unsigned long long)report->already,
               (unsigned long long)report->streams, report->seconds, (unsigned long long)rate,
               interrupted_early ? ",\"interrupted\":true" : "");
        return;
    }
    char per_second[32], speed[48] = "";
    if (report->seconds >= 0.1) /* less says nothing about a rate */
        snprintf(speed, sizeof speed, " (%s/s)", human_count(rate, per_second));
    printf("%simported %llu event%s, %llu already there, %llu stream%s, %.1f s%s\n",
           interrupted_early ? "interrupted: " : "", (unsigned long long)report->imported,
           report->imported == 1 ? "" : "s", (unsigned long long)report->already,
           (unsigned long long)report->streams, report->streams == 1 ? "" : "s", report->seconds,
           speed);
}

int
import_close(const struct args *args, struct target *target, struct import *import, cairn_err err,
             cairn_error *error, const char *source)
{
    struct import_report report;
    err = import_end(import, err, &report, error);
    target_close(target);
    if (err == CAIRN_OK) {
        say_report(&report, false);
        return EXIT_DONE;
    }
    if ((int)err == (int)CLI_E_INTERRUPTED) {
        say_report(&report, true);
        note("run it again to go on where it stopped");
        return EXIT_INTERRUPTED;
    }
    char what[256];
    snprintf(what, sizeof what, "%s %s", args->command->name, source);
    if (err == CAIRN_E_CONFLICT)
        return fail_hint(what, error, "the stream was written by somebody else, or the source has changed: choose "
                                      "another --prefix, or an empty store");
    if (err == CAIRN_E_INVALID)
        return fail_hint(what, error, "mend the source, then import it again: what is there is left alone");
    return fail_error(what, error);
}

int
import_file(const struct args *args, const char *path, FILE **ret, uint64_t *ret_size)
{
    struct stat stat_of;
    *ret_size = 0;
    if (strcmp(path, "-") == 0) {
        *ret = stdin;
        return 0;
    }
    *ret = fopen(path, "rbe");
    if (*ret && fstat(fileno(*ret), &stat_of) == 0 && S_ISDIR(stat_of.st_mode)) {
        fclose(*ret);
        *ret = NULL;
        errno = EISDIR;
    }
    if (!*ret)
        return fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, args->command->name, NULL, "%s: %s", path,
                    strerror(errno));
    *ret_size = S_ISREG(stat_of.st_mode) ? (uint64_t)stat_of.st_size : 0;
    return 0;
}

/* Bytes that are no UTF-8, and control characters, as %XX. */
static void
put_clean(struct buf *to, cairn_str text)
{
    bool valid = utf8_valid(text);
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == 0x7F || (c >= 0x80 && !valid))
            buf_printf(to, "%%%02X", c);
        else
            buf_put_char(to, (char)c);
    }
}

static cairn_str
make_name(struct buf *to, cairn_str before, char mark, cairn_str text)
{
    buf_clear(to);
    put_clean(to, before);
    buf_put_char(to, mark);
    put_clean(to, text);
    if (to->size > NAME_MAX_BYTES && !to->failed) {
        uint64_t hash = hash64(to->data, to->size, 0);
        size_t keep = NAME_MAX_BYTES - 17;
        while (keep > 0 && ((unsigned char)to->data[keep] & 0xC0) == 0x80)
            keep--;
        to->size = keep;
        buf_printf(to, "~%016llx", (unsigned long long)hash);
    }
    return to->failed ? (cairn_str){0} : buf_str(to);
}

cairn_str
import_name(struct buf *to, cairn_str category, cairn_str text)
{
    return make_name(to, category, '-', text);
}

cairn_str
import_tag(struct buf *to, cairn_str key, cairn_str text)
{
    return make_name(to, key, ':', text);
}

void
import_base_name(const char *path, char to[64])
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t size = 0;
    for (; name[size] && name[size] != '.' && size < 63; size++)
        to[size] = name[size] == '-' || name[size] == '$' ? '_' : name[size];
    to[size] = '\0';
    if (size == 0)
        snprintf(to, 64, "import");
}

/* `cairn import xes`: a process log, gzipped or not, as it streams by. See xes.h and import.h. */
#include <base/error.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "import.h"
#include "run.h"
#include "xes.h"

struct reading {
    struct import *import;
    const char *prefix;
    struct buf stream, meta, tag[XES_TAGS_MAX];
    cairn_err err;
    cairn_error *error;
};

static void
put_meta(struct buf *to, const struct xes_event *event)
{
    int64_t time_us;
    buf_clear(to);
    buf_put_char(to, '{');
    if (event->time.size) {
        json_put_name(to, "occurred_at");
        if (parse_time(event->time, &time_us))
            json_put_time(to, time_us);
        else
            json_put_string(to, event->time);
    }
    if (event->trace_data.size) {
        json_put_name(to, "trace");
        buf_put_str(to, event->trace_data);
    }
    if (event->types.size) {
        json_put_name(to, "xes_types");
        buf_put_str(to, event->types);
    }
    buf_put_char(to, '}');
    if (to->size == 2)
        buf_clear(to);
}

static bool
take_event(void *context, const struct xes_event *event)
{
    struct reading *reading = context;
    cairn_str tags[XES_TAGS_MAX], name = event->trace_name;
    char number[32];
    if (name.size == 0) {
        snprintf(number, sizeof number, "trace%llu", (unsigned long long)event->trace);
        name = cairn_cstr(number);
    }
    put_meta(&reading->meta, event);
    for (size_t i = 0; i < event->tag_count; i++)
        tags[i] = import_tag(&reading->tag[i], event->tags[i].key, event->tags[i].value);
    struct import_event in = {
        .stream = import_name(&reading->stream, cairn_cstr(reading->prefix), name),
        .event = {.type = event->type.size ? event->type : CAIRN_STR("event"),
                  .data = event->data,
                  .meta = buf_str(&reading->meta),
                  .tags = tags,
                  .tag_count = event->tag_count},
    };
    reading->err = reading->meta.failed || !in.stream.data ? error_set(reading->error, CAIRN_E_NOMEM, "out of memory")
                                                           : import_put(reading->import, &in, reading->error);
    return reading->err == CAIRN_OK;
}

static cairn_err
read_all(struct reading *reading, struct xes *xes, gzFile file, uint64_t size)
{
    static char chunk[128 << 10];
    int n;
    do {
        n = gzread(file, chunk, sizeof chunk);
        if (n < 0) {
            int code;
            const char *text = gzerror(file, &code);
            return error_set(reading->error, code == Z_ERRNO ? CAIRN_E_IO : CAIRN_E_INVALID, "cannot unpack it: %s",
                             code == Z_ERRNO ? strerror(errno) : text);
        }
        cairn_error why = {0};
        cairn_err err = xes_feed(xes, (cairn_str){chunk, (size_t)n}, n == 0, &why);
        if (reading->err != CAIRN_OK) /* the visit stopped it, and has said why */
            return reading->err;
        if (err != CAIRN_OK) {
            *reading->error = why;
            return err;
        }
        z_off_t at = gzoffset(file);
        import_progress(reading->import, at > 0 ? (uint64_t)at : 0, size, "bytes");
    } while (n > 0);
    return CAIRN_OK;
}

static cairn_err
put_log_event(struct reading *reading, struct xes *xes)
{
    struct buf name = {0};
    buf_printf(&name, "%s_log", reading->prefix);
    struct import_event in = {.stream = buf_str(&name),
                              .event = {.type = CAIRN_STR("LogDescribed"), .data = xes_log(xes)}};
    cairn_err err = import_put(reading->import, &in, reading->error);
    buf_free(&name);
    return err;
}

static int
open_source(const struct args *args, gzFile *ret, uint64_t *ret_size)
{
    FILE *file;
    int code = import_file(args, args->operands[0], &file, ret_size);
    if (code)
        return code;
    int fd = dup(fileno(file));
    *ret = fd < 0 ? NULL : gzdopen(fd, "rb");
    if (file != stdin)
        fclose(file);
    if (*ret)
        gzbuffer(*ret, 128 << 10);
    return *ret ? 0 : fail(EXIT_FAILED, args->command->name, NULL, "%s: %s", args->operands[0], strerror(errno));
}

static void
say_counts(const struct xes *xes)
{
    struct xes_counts counts = xes_count(xes);
    if (out.verbose)
        note("%llu traces, %llu of them empty; %llu events", (unsigned long long)counts.traces,
             (unsigned long long)counts.traces_empty, (unsigned long long)counts.events);
    if (counts.attributes_dropped)
        note("%llu traces have attributes after their last event: left out",
             (unsigned long long)counts.attributes_dropped);
}

int
run_import_xes(const struct args *args)
{
    cairn_error error = {0};
    cairn_str keys[XES_TAGS_MAX];
    size_t key_count = arg_all(args, "tag", keys, XES_TAGS_MAX);
    const char *prefix = arg_text(args, "prefix");
    struct reading reading = {.prefix = prefix ? prefix : "case", .error = &error};
    struct xes_options xes_options = {.visit = take_event, .context = &reading, .tag_keys = keys,
                                      .tag_key_count = key_count, .keep_log = arg_flag(args, "log-event")};
    struct import_options options = {.kind = "xes"};
    struct target *target = NULL;
    uint64_t size;
    gzFile file;
    int code = open_source(args, &file, &size);
    if (code)
        return code;
    struct xes *xes = xes_new(&xes_options);
    if (!xes)
        code = fail(EXIT_FAILED, args->command->name, NULL, "out of memory");
    else
        code = import_open(args, &options, &target, &reading.import);
    if (!code) {
        cairn_err err = read_all(&reading, xes, file, size);
        if (err == CAIRN_OK && xes_options.keep_log)
            err = put_log_event(&reading, xes);
        code = import_close(args, target, reading.import, err, &error, args->operands[0]);
        say_counts(xes);
    }
    xes_free(xes);
    gzclose(file);
    buf_free(&reading.stream);
    buf_free(&reading.meta);
    for (size_t i = 0; i < XES_TAGS_MAX; i++)
        buf_free(&reading.tag[i]);
    return code;
}

/* `cairn read`, `cairn follow`, `cairn export`: events to people, programs and files. */
#include <errno.h>
#include <unistd.h>

#include "event_json.h"
#include "read_options.h"
#include "run.h"

#define ROWS_AT_ONCE 64

struct show {
    struct table table;
    bool table_begun, data_only, live;
    struct buf line;
    uint64_t count;
};

static const struct table_column columns[] = {
    {"POSITION", true, STYLE_DIM},   {"TIME", false, STYLE_DIM},   {"STREAM", false, STYLE_CYAN},
    {"REVISION", true, STYLE_PLAIN}, {"TYPE", false, STYLE_GREEN}, {"DATA", false, STYLE_PLAIN},
};

static void
show_row(struct show *show, const cairn_recorded *event)
{
    char time[TIME_TEXT_SIZE];
    if (!show->table_begun) {
        table_begin(&show->table, columns, sizeof columns / sizeof *columns);
        show->table_begun = true;
    }
    format_time(event->time_us, time);
    memcpy(time + 23, "Z", 2); /* milliseconds are enough for people */
    table_cellf(&show->table, "%llu", (unsigned long long)event->position);
    table_cell(&show->table, cairn_cstr(time));
    table_cell(&show->table, event->stream);
    table_cellf(&show->table, "%llu", (unsigned long long)event->revision);
    table_cell(&show->table, event->event.type);
    buf_clear(&show->line);
    event_put_shown(&show->line, &event->event);
    table_cell(&show->table, buf_str(&show->line));
}

static bool
show_event(void *context, const cairn_recorded *event)
{
    struct show *show = context;
    bool fine = true;
    show->count++;
    if (show->data_only) {
        fine = out_write(event->event.data) && out_write(CAIRN_STR("\n"));
    } else if (out.json) {
        buf_clear(&show->line);
        event_put(&show->line, event);
        fine = out_json_line(&show->line);
    } else {
        show_row(show, event);
        if (show->live || show->table.row_count >= ROWS_AT_ONCE * show->table.column_count)
            table_flush(&show->table);
    }
    if (show->live)
        fflush(stdout);
    return fine && !ferror(stdout);
}

static void
show_end(struct show *show)
{
    if (show->table_begun)
        table_end(&show->table);
    buf_free(&show->line);
}

static int
nothing_to_show(const struct args *args, struct target *target, const struct read_request *request)
{
    cairn_stream_info info;
    cairn_error error = {0};
    if (request->stream.size == 0) {
        note("no events");
        return EXIT_DONE;
    }
    if (target->ops->stream_info(target, request->stream, &info, &error) != CAIRN_OK)
        return fail_error(args->command->name, &error);
    if (info.exists) {
        note("no events of stream %s match", request->stream.data);
        return EXIT_DONE;
    }
    return fail(EXIT_NOT_FOUND, args->command->name, "`cairn streams` lists what there is", "%sstream %s%s",
                info.last_revision >= 0 ? "" : "no ", request->stream.data,
                info.tombstoned               ? " was deleted for good"
                : info.last_revision >= 0 ? " was deleted, or retention has removed all of it"
                                              : "");
}

int
run_read(const struct args *args)
{
    static struct read_choice choice;
    const char *stream = args->operand_count ? args->operands[0] : NULL;
    struct show show = {.data_only = arg_flag(args, "data-only")};
    struct target *target = NULL;
    cairn_error error = {0};
    if (!stream && !arg_flag(args, "all"))
        return fail(EXIT_USAGE, "read", "cairn read STREAM, or cairn read --all", "which stream?");
    if (stream && arg_flag(args, "all"))
        return fail(EXIT_USAGE, "read", NULL, "a stream and --all exclude each other");
    int code = read_choice_of(args, stream, &choice);
    if (!code)
        code = target_open(args, TARGET_READ, &target);
    if (code)
        return code;
    cairn_err err = target->ops->read(target, &choice.request, show_event, &show, &error);
    show_end(&show);
    if (err != CAIRN_OK)
        code = fail_error("read", &error);
    else if (show.count == 0)
        code = nothing_to_show(args, target, &choice.request);
    target_close(target);
    return code;
}

int
run_follow(const struct args *args)
{
    static struct read_choice choice;
    struct show show = {.data_only = arg_flag(args, "data-only"), .live = true};
    struct target *target = NULL;
    cairn_error error = {0};
    int code = read_choice_of(args, args->operand_count ? args->operands[0] : NULL, &choice);
    if (!code)
        code = target_open(args, TARGET_READ, &target);
    if (code)
        return code;
    if (!choice.request.from_given) {
        choice.request.from_given = true;
        choice.request.from = CAIRN_FROM_END;
    }
    if (out.verbose || out.err_terminal)
        note("following %s; Ctrl-C ends it", target->where);
    cairn_err err = target->ops->follow(target, &choice.request, show_event, &show, &error);
    show_end(&show);
    target_close(target);
    return err == CAIRN_OK ? EXIT_DONE : fail_error("follow", &error);
}

/* ---- export ----------------------------------------------------------------------------------------------- */

struct exporting {
    FILE *to;
    bool cloudevents;
    struct buf line;
    struct progress progress;
    uint64_t count, end;
    int failed; /* errno */
};

static bool
export_event(void *context, const cairn_recorded *event)
{
    struct exporting *exporting = context;
    struct buf *line = &exporting->line;
    buf_clear(line);
    if (exporting->cloudevents)
        event_put_cloudevent(line, event);
    else
        event_put(line, event);
    buf_put_char(line, '\n');
    if (line->failed || fwrite(line->data, 1, line->size, exporting->to) != line->size) {
        exporting->failed = line->failed ? ENOMEM : errno;
        return false;
    }
    exporting->count++;
    if (exporting->count % 256 == 0)
        progress_update(&exporting->progress, event->position + 1, exporting->end, "events");
    return true;
}

/* The name is taken only by a file that is whole. */
static int
finish_file(struct exporting *exporting, const char *path, const char *part, bool fine)
{
    if (fine && (fflush(exporting->to) != 0 || fsync(fileno(exporting->to)) != 0))
        exporting->failed = errno;
    if (fclose(exporting->to) != 0 && !exporting->failed)
        exporting->failed = errno;
    if (!fine || exporting->failed || rename(part, path) != 0) {
        exporting->failed = exporting->failed ? exporting->failed : errno;
        unlink(part);
        if (fine)
            return fail(exporting->failed == ENOSPC ? EXIT_DISK_FULL : EXIT_FAILED, "export", NULL, "%s: %s", path,
                        strerror(exporting->failed));
    }
    return EXIT_DONE;
}

static int
export_all(struct target *target, const struct read_request *request,
           struct exporting *exporting, const char *path)
{
    cairn_error error = {0};
    char part[4096];
    snprintf(part, sizeof part, "%s.part-%ld", path ? path : "", (long)getpid());
    exporting->to = path ? fopen(part, "wbe") : stdout;
    if (!exporting->to)
        return fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "export", NULL, "%s: %s", path, strerror(errno));
    progress_begin(&exporting->progress, "exporting");
    cairn_err err = target->ops->read(target, request, export_event, exporting, &error);
    progress_end(&exporting->progress);
    bool fine = err == CAIRN_OK && !exporting->failed;
    int code = EXIT_DONE;
    if (path)
        code = finish_file(exporting, path, part, fine);
    if (err != CAIRN_OK)
        return fail_error("export", &error);
    if (!path && exporting->failed && exporting->failed != EPIPE)
        return fail(EXIT_FAILED, "export", NULL, "standard output: %s", strerror(exporting->failed));
    if (!code && path && !out.json)
        note("exported %llu events to %s", (unsigned long long)exporting->count, path);
    else if (!code && path)
        printf("{\"exported\":%llu}\n", (unsigned long long)exporting->count);
    return code;
}

static bool
keep_position(void *context, const cairn_recorded *event)
{
    *(uint64_t *)context = event->position + 1;
    return false;
}

int
run_export(const struct args *args)
{
    static struct read_choice choice;
    const char *format = arg_text(args, "format");
    struct exporting exporting = {.cloudevents = format && strcmp(format, "cloudevents") == 0};
    struct target *target = NULL;
    cairn_error error = {0};
    if (format && !exporting.cloudevents && strcmp(format, "ndjson") != 0)
        return fail(EXIT_USAGE, "export", "ndjson or cloudevents", "--format: \"%s\"", format);
    int code = read_choice_of(args, arg_text(args, "stream"), &choice);
    if (!code)
        code = target_open(args, TARGET_READ, &target);
    if (code)
        return code;
    struct read_request newest = {.backward = true, .limit = 1, .system = true};
    if (target->ops->read(target, &newest, keep_position, &exporting.end, &error) != CAIRN_OK)
        code = fail_error("export", &error);
    else
        code = export_all(target, &choice.request, &exporting, arg_text(args, "output"));
    buf_free(&exporting.line);
    target_close(target);
    return code;
}

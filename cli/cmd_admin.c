/* `cairn verify`, `backup`, `restore`, `branch`, `scavenge`, `reindex`. */
#include "command.h"
#include "run.h"
#include "target.h"

/* What long work reports to. */
struct job {
    struct progress progress;
    struct buf line;
    uint64_t faults_shown;
};

static bool
show_progress(void *context, uint64_t done, uint64_t total, const char *unit)
{
    struct job *job = context;
    progress_update(&job->progress, done, total, unit);
    return !interrupted;
}

/* Work that was stopped by Ctrl-C ends as such, whatever the call made of it. */
static int
fail_job(const char *what, const cairn_error *error)
{
    if (interrupted)
        return fail(EXIT_INTERRUPTED, what, NULL, "interrupted");
    return fail_error(what, error);
}

/* ---- verify ------------------------------------------------------------------------------------------------ */

static bool
show_fault(void *context, const char *file, uint64_t offset, const char *what)
{
    struct job *job = context;
    progress_end(&job->progress);
    if (out.json) {
        buf_put_str(&job->line, CAIRN_STR("{\"fault\":{\"file\":"));
        json_put_string(&job->line, cairn_cstr(file));
        json_put_u64_member(&job->line, "offset", offset);
        json_put_text_member(&job->line, "what", cairn_cstr(what));
        buf_put_str(&job->line, CAIRN_STR("}}"));
        out_json_line(&job->line);
    } else if (++job->faults_shown <= 100) {
        printf("%sdamaged%s %s at byte %llu: %s\n", style_on(STYLE_RED), style_off(), file, (unsigned long long)offset,
               what);
    }
    return !interrupted && job->faults_shown < 10000;
}

static void
say_verified(const cairn_verify_report *report)
{
    char root[65], digest[65];
    format_hex(report->root, 32, root);
    format_hex(report->digest, 32, digest);
    if (out.json) {
        printf("{\"events\":%llu,\"streams\":%llu,\"segments\":%llu,\"index_entries\":%llu,\"faults\":%llu,"
               "\"root\":\"%s\",\"digest\":\"%s\"}\n",
               (unsigned long long)report->events, (unsigned long long)report->streams,
               (unsigned long long)report->segments, (unsigned long long)report->index_entries,
               (unsigned long long)report->faults, root, digest);
        return;
    }
    printf("%s%s%s: %llu events, %llu streams, %llu segment%s, %llu index entries\n",
           style_on(report->faults ? STYLE_RED : STYLE_GREEN), report->faults ? "damaged" : "intact", style_off(),
           (unsigned long long)report->events, (unsigned long long)report->streams,
           (unsigned long long)report->segments, report->segments == 1 ? "" : "s",
           (unsigned long long)report->index_entries);
    printf("root    %s\ndigest  %s\n", root, digest);
}

int
run_verify(const struct args *args)
{
    struct job job = {0};
    struct target *target;
    cairn_verify_report report = {0};
    cairn_error error = {0};
    int code = target_open(args, TARGET_READ, &target);
    if (code)
        return code;
    progress_begin(&job.progress, "verifying");
    cairn_err err = target->ops->verify(target, show_fault, show_progress, &job, &report, &error);
    progress_end(&job.progress);
    if (err == CAIRN_OK || (err == CAIRN_E_CORRUPT && report.events))
        say_verified(&report);
    target_close(target);
    buf_free(&job.line);
    return err == CAIRN_OK ? EXIT_DONE : fail_job("verify", &error);
}

/* ---- backup, restore, branch, scavenge, reindex ----------------------------------------------------------- */

/* Say what a new store in a folder holds. `wanted`: the exclusive end that was asked for, UINT64_MAX for none; it may
 * lie within an append, which is then left out whole. */
static int
say_made(const char *command, const char *done, const char *folder, uint64_t wanted)
{
    cairn_store *store = NULL;
    cairn_error error = {0};
    struct buf line = {0};
    const cairn_options options = {.read_only = true};
    if (cairn_open(folder, &options, &store, &error) != CAIRN_OK)
        return fail_error(command, &error);
    uint64_t events = cairn_end(store);
    cairn_close(store);
    if (wanted != UINT64_MAX && events < wanted)
        note("fewer than %llu events: there are no more, or one append reaches beyond, and appends are never split",
             (unsigned long long)wanted);
    if (out.json) {
        buf_put_str(&line, CAIRN_STR("{\"folder\":"));
        json_put_string(&line, cairn_cstr(folder));
        json_put_u64_member(&line, "events", events);
        buf_put_char(&line, '}');
        out_json_line(&line);
        buf_free(&line);
    } else {
        printf("%s %llu event%s into %s; `cairn serve --data %s` serves it\n", done, (unsigned long long)events,
               events == 1 ? "" : "s", folder, folder);
    }
    return EXIT_DONE;
}

int
run_backup(const struct args *args)
{
    struct job job = {0};
    struct target *target;
    cairn_error error = {0};
    uint64_t end = 0;
    int code = target_open(args, TARGET_READ, &target);
    if (code)
        return code;
    progress_begin(&job.progress, "copying");
    cairn_err err = target->ops->backup(target, args->operands[0], show_progress, &job, &end, &error);
    progress_end(&job.progress);
    target_close(target);
    if (err != CAIRN_OK)
        return fail_job("backup", &error);
    return say_made("backup", "backed up", args->operands[0], UINT64_MAX);
}

/* The exclusive end that --to or --at means in a store that lies in a folder. */
static int
end_of(const char *command, const char *option, const char *folder, const char *text, uint64_t *ret)
{
    bool is_time;
    int64_t value;
    cairn_store *store = NULL;
    cairn_error error = {0};
    const cairn_options options = {.read_only = true};
    *ret = UINT64_MAX;
    if (!text)
        return 0;
    if (!parse_as_of(cairn_cstr(text), &is_time, &value))
        return fail(EXIT_USAGE, command, "write 2026-01-31T18:00:00Z, or a position",
                    "--%s: \"%s\" is neither a time nor a position", option, text);
    if (!is_time) {
        *ret = (uint64_t)value;
        return 0;
    }
    cairn_err err = cairn_open(folder, &options, &store, &error);
    if (err == CAIRN_OK)
        err = cairn_position_at(store, value, ret, &error);
    cairn_close(store);
    return err == CAIRN_OK ? 0 : fail_error(command, &error);
}

int
run_restore(const struct args *args)
{
    struct job job = {0};
    cairn_error error = {0};
    uint64_t end;
    int code = end_of("restore", "to", args->operands[0], arg_text(args, "to"), &end);
    if (code)
        return code;
    progress_begin(&job.progress, "restoring");
    cairn_err err = cairn_restore(args->operands[0], args->operands[1], end, show_progress, &job, &error);
    progress_end(&job.progress);
    if (err != CAIRN_OK)
        return fail_job("restore", &error);
    return say_made("restore", "restored", args->operands[1], end);
}

/* --at as a position; a time may lie anywhere. */
static uint64_t
wanted_at(const char *text)
{
    bool is_time;
    int64_t value;
    return text && parse_as_of(cairn_cstr(text), &is_time, &value) && !is_time ? (uint64_t)value : UINT64_MAX;
}

int
run_branch(const struct args *args)
{
    struct target *target;
    cairn_error error = {0};
    int code = target_open(args, TARGET_WRITE, &target);
    if (code)
        return code;
    cairn_err err = target->ops->branch(target, args->operands[0], cairn_cstr(arg_text(args, "at")), &error);
    target_close(target);
    if (err == CAIRN_E_UNSUPPORTED)
        return fail_hint("branch", &error,
                         "of a running server: cairn backup FOLDER, then cairn restore FOLDER NEWDIR --to …");
    if (err != CAIRN_OK)
        return fail_error("branch", &error);
    return say_made("branch", "branched", args->operands[0], wanted_at(arg_text(args, "at")));
}

int
run_scavenge(const struct args *args)
{
    struct job job = {0};
    struct target *target;
    cairn_scavenge_report report = {0};
    cairn_error error = {0};
    char freed[32];
    int code = target_open(args, TARGET_WRITE, &target);
    if (code)
        return code;
    progress_begin(&job.progress, "scavenging");
    cairn_err err = target->ops->scavenge(target, show_progress, &job, &report, &error);
    progress_end(&job.progress);
    target_close(target);
    if (err != CAIRN_OK)
        return fail_job("scavenge", &error);
    if (out.json)
        printf("{\"segments_rewritten\":%llu,\"events_removed\":%llu,\"bytes_freed\":%llu}\n",
               (unsigned long long)report.segments_rewritten, (unsigned long long)report.events_removed,
               (unsigned long long)report.bytes_freed);
    else
        printf("removed %llu events, freed %s, rewrote %llu segment%s\n", (unsigned long long)report.events_removed,
               human_bytes(report.bytes_freed, freed), (unsigned long long)report.segments_rewritten,
               report.segments_rewritten == 1 ? "" : "s");
    return EXIT_DONE;
}

int
run_reindex(const struct args *args)
{
    struct job job = {0};
    struct target *target;
    cairn_error error = {0};
    int code = target_open(args, TARGET_WRITE, &target);
    if (code)
        return code;
    progress_begin(&job.progress, "reindexing");
    cairn_err err = target->ops->reindex(target, show_progress, &job, &error);
    progress_end(&job.progress);
    target_close(target);
    if (err != CAIRN_OK)
        return fail_job("reindex", &error);
    puts(out.json ? "{\"reindexed\":true}" : "the index is computed anew; `cairn verify` compares it with the log");
    return EXIT_DONE;
}

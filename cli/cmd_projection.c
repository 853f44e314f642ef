/* `cairn projections`, `projection`, `replay`: read models at work, and built anew. */
#include <base/error.h>
#include <base/text.h>

#include "app_client.h"
#include "run.h"

/* ---- projections ------------------------------------------------------------------------------------------ */

static const struct table_column list_columns[] = {
    {"APP", false, STYLE_CYAN},     {"PROJECTION", false, STYLE_CYAN}, {"STATE", false, STYLE_PLAIN},
    {"POSITION", true, STYLE_PLAIN}, {"LAG", true, STYLE_PLAIN},        {"EVENTS/S", true, STYLE_PLAIN},
    {"LEFT", true, STYLE_PLAIN},    {"PARKED", true, STYLE_PLAIN},     {"SKIPPED", true, STYLE_PLAIN},
    {"", false, STYLE_RED}};

static cairn_str
failure_text(struct json status, struct arena *arena)
{
    struct json failure = json_get(status, "failure");
    return failure.type == JSON_OBJECT ? app_text(failure, "error", arena) : (cairn_str){0};
}

static void
put_status(struct table *table, cairn_str app, struct json status, struct arena *arena)
{
    char text[32] = "";
    double seconds;
    table_cell(table, app);
    table_cell(table, app_text(status, "name", arena));
    table_cell(table, app_text(status, "state", arena));
    table_cell(table, app_text(status, "position", arena));
    table_cell(table, app_text(status, "lag", arena));
    table_cellf(table, "%s", json_double(json_get(status, "events_per_s"), &seconds) && seconds >= 1
                                 ? human_count((uint64_t)seconds, text)
                                 : "");
    table_cellf(table, "%s", json_double(json_get(status, "eta_s"), &seconds) && seconds > 0
                                 ? human_duration((uint64_t)(seconds * 1e6), text)
                                 : "");
    table_cell(table, app_text(status, "parked", arena));
    table_cell(table, app_text(status, "skipped", arena));
    table_cell(table, failure_text(status, arena));
}

static void
put_statuses(struct table *table, cairn_str app, struct json projections, struct arena *arena)
{
    struct json_walk walk = json_walk(projections);
    struct json none, status;
    while (json_next(&walk, &none, &status)) {
        if (!out.json) {
            put_status(table, app, status, arena);
            continue;
        }
        struct buf line = {0};
        buf_put_str(&line, CAIRN_STR("{\"app\":"));
        json_put_string(&line, app);
        json_put_name(&line, "status");
        json_put_compact(&line, status.raw);
        buf_put_char(&line, '}');
        out_json_line(&line);
        buf_free(&line);
    }
}

int
run_projections(const struct args *args)
{
    const char *app = args->operand_count ? args->operands[0] : NULL;
    struct wire *wire;
    struct json reply, none, item;
    struct table table;
    struct arena arena = {0};
    int code = app_open(args, &wire);
    if (code)
        return code;
    app_path(wire, app, app ? "projections" : NULL, NULL);
    code = app_get(args, wire, &reply);
    if (!code) {
        table_begin(&table, list_columns, sizeof list_columns / sizeof *list_columns);
        if (app)
            put_statuses(&table, cairn_cstr(app), json_get(reply, "projections"), &arena);
        struct json_walk walk = json_walk(json_get(reply, "apps"));
        while (!app && json_next(&walk, &none, &item))
            put_statuses(&table, app_text(item, "name", &arena), json_get(item, "projections"), &arena);
        if (!out.json && table.row_count == 0)
            note("no projections");
        table_end(&table);
    }
    arena_free(&arena);
    app_close(wire);
    return code;
}

/* ---- projection APP NAME ACTION ---------------------------------------------------------------------------- */

static const char *const action_names[] = {"pause", "resume",        "retry",   "skip",
                                           "park",  "replay-parked", "rebuild", "status"};
#define ACTION_COUNT (sizeof action_names / sizeof *action_names)

static void
say_member(const char *title, struct json object, const char *member)
{
    struct arena arena = {0};
    struct buf shown = {0};
    put_printable(&shown, app_text(object, member, &arena), 0);
    if (shown.size)
        printf("%-12s %.*s\n", title, (int)shown.size, shown.data);
    buf_free(&shown);
    arena_free(&arena);
}

static void
say_events(const char *title, struct json events)
{
    static const struct table_column columns[] = {{"POSITION", true, STYLE_PLAIN}, {"STREAM", false, STYLE_CYAN},
                                                  {"REVISION", true, STYLE_PLAIN}, {"TYPE", false, STYLE_GREEN},
                                                  {"ERROR", false, STYLE_RED}};
    static const char *const members[] = {"position", "stream", "revision", "type", "error"};
    struct table table;
    struct arena arena = {0};
    struct json none, event;
    if (json_count(events) == 0)
        return;
    printf("\n%s%s%s\n", style_on(STYLE_BOLD), title, style_off());
    table_begin(&table, columns, 5);
    struct json_walk walk = json_walk(events);
    while (json_next(&walk, &none, &event))
        for (size_t i = 0; i < 5; i++)
            table_cell(&table, app_text(event, members[i], &arena));
    table_end(&table);
    arena_free(&arena);
}

static void
say_status(const char *app, const char *name, struct json status)
{
    static const char *const lines[][2] = {{"state", "state"},       {"position", "position"}, {"end", "end"},
                                           {"lag", "lag"},           {"parked", "parked"},     {"skipped", "skipped"},
                                           {"dead letters", "dead_letters"}, {"generation", "generation"}};
    double rate, left;
    char shown[32];
    struct json counts = status, failure = json_get(status, "failure");
    printf("%s%s %s%s\n", style_on(STYLE_BOLD), app, name, style_off());
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        say_member(lines[i][0], counts, lines[i][1]);
    if (json_double(json_get(status, "events_per_s"), &rate) && rate >= 1)
        printf("%-12s %s\n", "events/s", human_count((uint64_t)rate, shown));
    if (json_double(json_get(status, "eta_s"), &left) && left > 0)
        printf("%-12s %s\n", "time left", human_duration((uint64_t)(left * 1e6), shown));
    if (json_get(status, "rebuild").type == JSON_OBJECT)
        say_member("rebuilt to", json_get(status, "rebuild"), "position");
    if (failure.type == JSON_OBJECT) {
        printf("\n%sstopped%s before this event:\n", style_on(STYLE_RED), style_off());
        say_member("  position", failure, "position");
        say_member("  stream", failure, "stream");
        say_member("  type", failure, "type");
        say_member("  error", failure, "error");
        printf("then: cairn projection %s %s retry|skip|park\n", app, name);
    }
    say_events("Parked", json_get(status, "parked_events"));
    say_events("Skipped", json_get(status, "skipped_events"));
    say_events("Dead letters", json_get(status, "dead_letter_events"));
    if (json_count(json_get(status, "dead_letter_events")) > 0 && json_get(status, "dead_letter_topic").type == JSON_STRING) {
        struct arena arena = {0};
        cairn_str topic = app_text(status, "dead_letter_topic", &arena);
        printf("then: cairn topics replay %.*s --consumer %s/%s\n", (int)topic.size, topic.data ? topic.data : "", app, name);
        arena_free(&arena);
    }
}

static int
check_action(const char *typed)
{
    const char *nearest = NULL;
    char hint[160];
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        if (strcmp(action_names[i], typed) == 0)
            return 0;
        if (edit_distance(action_names[i], typed) <= 2)
            nearest = action_names[i];
    }
    snprintf(hint, sizeof hint,
             nearest ? "did you mean %s?" : "pause, resume, retry, skip, park, replay-parked, rebuild, status", nearest);
    return fail(EXIT_USAGE, "projection", hint, "\"%s\" is nothing that a projection does", typed);
}

int
run_projection(const struct args *args)
{
    const char *action = args->operand_count > 2 ? args->operands[2] : "status";
    bool asks = strcmp(action, "status") == 0;
    struct wire *wire;
    struct json reply;
    int code = check_action(action);
    if (code || (code = app_open(args, &wire)))
        return code;
    app_path(wire, args->operands[0], "projections", args->operands[1]);
    if (!asks) {
        buf_put_char(&wire->path, '/');
        buf_put_str(&wire->path, cairn_cstr(action));
    }
    struct call call = {.method = asks ? "GET" : "POST"};
    code = app_perform(args, wire, &call, &reply);
    if (!code && out.json) {
        app_say_json(reply);
    } else if (!code && asks) {
        say_status(args->operands[0], args->operands[1], reply);
    } else if (!code) {
        struct arena arena = {0};
        cairn_str state = app_text(reply, "state", &arena), at = app_text(reply, "position", &arena);
        printf("%s: %s %.*s, position %.*s\n", action, args->operands[1], (int)state.size, state.size ? state.data : "",
               (int)at.size, at.size ? at.data : "");
        arena_free(&arena);
    }
    app_close(wire);
    return code;
}

/* ---- replay ------------------------------------------------------------------------------------------------ */

/* Lines of JSON as they come: {"what","done","total"}, then {"report":…}, or {"problem":…}. */
struct replaying {
    struct progress progress;
    struct buf line, report, problem;
    char what[64];
};

static void
take_replay_line(struct replaying *replaying, cairn_str line)
{
    struct json value, report;
    struct arena arena = {0};
    if (json_check(line, &value, NULL) != CAIRN_OK)
        return;
    report = json_get(value, "report");
    if (report.type != JSON_NONE) {
        buf_clear(&replaying->report);
        buf_put_str(&replaying->report, report.raw);
    } else if (json_get(value, "what").type != JSON_NONE) {
        cairn_str what = app_text(value, "what", &arena);
        snprintf(replaying->what, sizeof replaying->what, "%.*s", (int)what.size, what.size ? what.data : "");
        replaying->progress.doing = replaying->what;
        progress_update(&replaying->progress, wire_number(value, "done"), wire_number(value, "total"), "events");
    } else if (json_get(value, "problem").type == JSON_OBJECT) { /* told after the answer had begun */
        buf_clear(&replaying->problem);
        buf_put_str(&replaying->problem, json_get(value, "problem").raw);
    } else if (json_get(value, "status").type == JSON_NUMBER) {
        buf_clear(&replaying->problem);
        buf_put_str(&replaying->problem, value.raw);
    } else { /* the report itself, where the server does not stream */
        buf_clear(&replaying->report);
        buf_put_str(&replaying->report, value.raw);
    }
    arena_free(&arena);
}

static bool
take_replay(void *context, cairn_str bytes)
{
    struct replaying *replaying = context;
    while (bytes.size) {
        const char *newline = memchr(bytes.data, '\n', bytes.size);
        size_t size = newline ? (size_t)(newline - bytes.data) : bytes.size;
        buf_put(&replaying->line, bytes.data, size);
        bytes.data += size + (newline != NULL);
        bytes.size -= size + (newline != NULL);
        if (newline) {
            take_replay_line(replaying, buf_str(&replaying->line));
            buf_clear(&replaying->line);
        }
    }
    return !replaying->line.failed && !replaying->report.failed;
}

static void
put_replay(struct buf *to, const struct replay_options *options)
{
    buf_clear(to);
    buf_put_char(to, '{');
    if (options->projection) {
        json_put_text_member(to, "projection", cairn_cstr(options->projection));
    }
    if (options->aggregates) {
        json_put_name(to, "aggregates");
        buf_put_str(to, CAIRN_STR("true"));
    }
    if (options->decisions) {
        json_put_name(to, "decisions");
        buf_put_str(to, CAIRN_STR("true"));
    }
    if (options->from) {
        json_put_u64_member(to, "from", options->from);
    }
    if (options->parallel) {
        json_put_u64_member(to, "parallel", options->parallel);
    }
    json_put_text_member(to, "on_error", cairn_cstr(options->on_error));
    buf_put_char(to, '}');
}

/* A report for people: numbers and texts a line each, lists and objects indented. */
static void
show_report(struct json value, unsigned indent)
{
    struct json_walk walk = json_walk(value);
    struct json name, item;
    struct arena arena = {0};
    struct buf shown = {0};
    while (json_next(&walk, &name, &item)) {
        bool nested = item.type == JSON_OBJECT || item.type == JSON_ARRAY;
        cairn_str title = name.type == JSON_STRING ? json_string(name, &arena) : CAIRN_STR("-");
        buf_clear(&shown);
        put_printable(&shown, item.type == JSON_STRING ? json_string(item, &arena) : item.raw, 0);
        if (nested && json_count(item) == 0)
            continue;
        printf("%*s%s%.*s%s", (int)indent, "", nested ? style_on(STYLE_BOLD) : "", (int)title.size, title.data,
               nested ? style_off() : "");
        if (nested) {
            putchar('\n');
            show_report(item, indent + 2);
        } else {
            int pad = title.size + indent < 20 ? (int)(20 - title.size - indent) : 1;
            printf("%*s%.*s\n", pad, "", (int)shown.size, shown.data);
        }
    }
    buf_free(&shown);
    arena_free(&arena);
}

/* Anything in the report that says that not all went well. */
static bool
tells_failure(struct json report)
{
    static const char *const members[] = {"differing", "failed", "skipped", "parked"};
    struct json_walk walk = json_walk(report);
    struct json none, item;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct json value = json_get(report, members[i]);
        uint64_t count = 0;
        if ((json_u64(value, &count) && count) || (value.type == JSON_ARRAY && json_count(value)))
            return true;
    }
    while (json_next(&walk, &none, &item))
        if ((item.type == JSON_OBJECT || item.type == JSON_ARRAY) && tells_failure(item))
            return true;
    return false;
}

int
app_replay(const struct args *args, struct wire *wire, const struct replay_options *options)
{
    struct replaying replaying = {0};
    struct json report = {0}, problem = {0};
    cairn_error error = {0};
    put_replay(&wire->body, options);
    app_path(wire, options->app, "replay", NULL);
    struct call call = {.method = "POST", .body = buf_str(&wire->body), .content_type = "application/json",
                        .accept = "application/x-ndjson", .chunk = take_replay, .context = &replaying, .patient = true};
    progress_begin(&replaying.progress, "replaying");
    int code = app_perform(args, wire, &call, NULL);
    progress_end(&replaying.progress);
    if (!code && replaying.line.size)
        take_replay_line(&replaying, buf_str(&replaying.line));
    if (!code && replaying.report.size && json_check(buf_str(&replaying.report), &report, NULL) == CAIRN_OK) {
        if (out.json)
            app_say_json(report);
        else
            show_report(report, 0);
    }
    if (!code && replaying.problem.size && json_check(buf_str(&replaying.problem), &problem, NULL) == CAIRN_OK) {
        error_ignore(wire_problem(problem, 500, &error));
        code = fail_problem(0, args->command->name, &error, cairn_err_hint(error.code), problem.raw);
    } else if (!code && report.type == JSON_NONE) {
        code = fail(EXIT_UNREACHABLE, args->command->name, "run it again: a replay begins anew",
                    "the server ended before it had told the report");
    } else if (!code && tells_failure(report)) {
        code = EXIT_FAILED;
    }
    buf_free(&replaying.line);
    buf_free(&replaying.report);
    buf_free(&replaying.problem);
    return code;
}

int
run_replay(const struct args *args)
{
    const char *on_error = arg_text(args, "on-error");
    struct replay_options options = {.app = args->operands[0],
                                     .projection = arg_text(args, "projection"),
                                     .aggregates = arg_flag(args, "aggregates"),
                                     .decisions = arg_flag(args, "decisions"),
                                     .on_error = on_error ? on_error : "stop"};
    struct wire *wire;
    if (on_error && strcmp(on_error, "stop") != 0 && strcmp(on_error, "skip") != 0 && strcmp(on_error, "park") != 0
        && strcmp(on_error, "dead_letter") != 0)
        return fail(EXIT_USAGE, "replay", "stop, skip, park or dead_letter", "--on-error: \"%s\"", on_error);
    int code = arg_u64(args, "from", 0, &options.from);
    if (!code)
        code = arg_u64(args, "parallel", 0, &options.parallel);
    if (code || (code = app_open(args, &wire)))
        return code;
    code = app_replay(args, wire, &options);
    app_close(wire);
    return code;
}

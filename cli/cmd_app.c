/* `cairn apps`, `app`, `state`: what is deployed, and how it came to be. */
#include <base/text.h>

#include "app_client.h"
#include "run.h"

/* Cells of a table out of the members of an object. */
struct member_column {
    const char *title, *member;
    bool right;
    enum style style;
};

static void
show_members(struct json array, const struct member_column *members, size_t count)
{
    struct table_column columns[TABLE_COLUMNS_MAX];
    struct table table;
    struct arena arena = {0};
    struct json none, item;
    for (size_t i = 0; i < count; i++)
        columns[i] = (struct table_column){members[i].title, members[i].right, members[i].style};
    table_begin(&table, columns, count);
    struct json_walk walk = json_walk(array);
    while (json_next(&walk, &none, &item))
        for (size_t i = 0; i < count; i++)
            table_cell(&table, app_text(item, members[i].member, &arena));
    table_end(&table);
    arena_free(&arena);
}

static void
say_items(struct json array)
{
    struct json_walk walk = json_walk(array);
    struct json none, item;
    while (json_next(&walk, &none, &item))
        app_say_json(item);
}

/* ---- apps ---------------------------------------------------------------------------------------------- */

/* "3 running, 1 stopped" */
static void
put_states(struct buf *to, struct json projections, struct arena *arena)
{
    static const char *const states[] = {"running", "building", "paused", "stopped"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        unsigned count = 0;
        struct json_walk walk = json_walk(projections);
        struct json none, item;
        while (json_next(&walk, &none, &item))
            count += cairn_str_equal(app_text(item, "state", arena), cairn_cstr(states[i]));
        if (count)
            buf_printf(to, "%s%u %s", to->size ? ", " : "", count, states[i]);
    }
    if (to->size == 0)
        buf_put_str(to, CAIRN_STR("none"));
}

static void
show_apps(struct json apps)
{
    static const struct table_column columns[] = {{"APP", false, STYLE_CYAN},     {"VERSION", true, STYLE_PLAIN},
                                                  {"DEPLOYED", false, STYLE_DIM}, {"COMMANDS", true, STYLE_PLAIN},
                                                  {"QUERIES", true, STYLE_PLAIN}, {"PROJECTIONS", false, STYLE_PLAIN},
                                                  {"TITLE", false, STYLE_PLAIN}};
    struct table table;
    struct arena arena = {0};
    struct json none, app;
    table_begin(&table, columns, sizeof columns / sizeof *columns);
    struct json_walk walk = json_walk(apps);
    while (json_next(&walk, &none, &app)) {
        struct buf states = {0};
        put_states(&states, json_get(app, "projections"), &arena);
        table_cell(&table, app_text(app, "name", &arena));
        table_cell(&table, app_text(app, "version", &arena));
        table_cell(&table, app_text(app, "deployed_at", &arena));
        table_cell(&table, app_text(app, "commands", &arena));
        table_cell(&table, app_text(app, "queries", &arena));
        table_cell(&table, buf_str(&states));
        if (json_get(app, "failure").type == JSON_OBJECT) {
            buf_clear(&states);
            buf_put_str(&states, CAIRN_STR("cannot run here: "));
            buf_put_str(&states, app_text(json_get(app, "failure"), "error", &arena));
            table_cell(&table, buf_str(&states));
        } else {
            table_cell(&table, app_text(app, "title", &arena));
        }
        buf_free(&states);
    }
    if (table.row_count == 0)
        note("no apps; `cairn new NAME` makes one, `cairn deploy DIR` deploys it");
    table_end(&table);
    arena_free(&arena);
}

int
run_apps(const struct args *args)
{
    struct wire *wire;
    struct json reply;
    int code = app_open(args, &wire);
    if (code)
        return code;
    app_path(wire, NULL, NULL, NULL);
    code = app_get(args, wire, &reply);
    if (!code && out.json)
        say_items(json_get(reply, "apps"));
    else if (!code)
        show_apps(json_get(reply, "apps"));
    app_close(wire);
    return code;
}

/* ---- app NAME ------------------------------------------------------------------------------------------- */

static void
heading(const char *text)
{
    printf("\n%s%s%s\n", style_on(STYLE_BOLD), text, style_off());
}

static void
show_params(struct json query, struct buf *to, struct arena *arena)
{
    struct json_walk walk = json_walk(json_get(query, "params"));
    struct json none, param;
    while (json_next(&walk, &none, &param)) {
        cairn_str name = app_text(param, "name", arena), type = app_text(param, "type", arena);
        buf_printf(to, "%s%.*s %.*s%s", to->size ? ", " : "", (int)name.size, name.data, (int)type.size,
                   type.size ? type.data : "", json_get(param, "required").type == JSON_TRUE ? "" : "?");
    }
}

static void
show_queries(struct json queries)
{
    static const struct table_column columns[] = {{"QUERY", false, STYLE_CYAN}, {"PARAMETERS", false, STYLE_PLAIN},
                                                  {"DESCRIPTION", false, STYLE_DIM}};
    struct table table;
    struct arena arena = {0};
    struct json none, query;
    table_begin(&table, columns, 3);
    struct json_walk walk = json_walk(queries);
    while (json_next(&walk, &none, &query)) {
        struct buf params = {0};
        show_params(query, &params, &arena);
        table_cell(&table, app_text(query, "name", &arena));
        table_cell(&table, buf_str(&params));
        table_cell(&table, app_text(query, "description", &arena));
        buf_free(&params);
    }
    table_end(&table);
    arena_free(&arena);
}

static void
show_app(struct json app)
{
    static const struct member_column command_columns[] = {{"COMMAND", "name", false, STYLE_CYAN},
                                                    {"STREAM", "stream", false, STYLE_PLAIN},
                                                    {"DECIDER", "decider", false, STYLE_PLAIN},
                                                    {"DESCRIPTION", "description", false, STYLE_DIM}};
    static const struct member_column events[] = {{"EVENT", "type", false, STYLE_GREEN},
                                                  {"VERSION", "version", true, STYLE_PLAIN}};
    static const struct member_column projections[] = {{"PROJECTION", "name", false, STYLE_CYAN},
                                                       {"STATE", "state", false, STYLE_PLAIN},
                                                       {"POSITION", "position", true, STYLE_PLAIN},
                                                       {"LAG", "lag", true, STYLE_PLAIN},
                                                       {"PARKED", "parked", true, STYLE_PLAIN},
                                                       {"SKIPPED", "skipped", true, STYLE_PLAIN}};
    struct arena arena = {0};
    struct buf text = {0};
    static const char *const lines[][2] = {{"title", "title"},       {"description", "description"}, {"version", "version"},
                                           {"deployed", "deployed_at"}, {"digest", "digest"}};
    printf("%s%.*s%s\n", style_on(STYLE_BOLD), (int)app_text(app, "name", &arena).size,
           app_text(app, "name", &arena).data ? app_text(app, "name", &arena).data : "", style_off());
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        cairn_str value = app_text(app, lines[i][1], &arena);
        buf_clear(&text);
        put_printable(&text, value, 0);
        if (value.size)
            printf("%-12s %.*s\n", lines[i][0], (int)text.size, text.data);
    }
    const struct {
        const char *title, *member;
        const struct member_column *columns;
        size_t count;
    } parts[] = {{"Commands", "commands", command_columns, 4}, {"Events", "events", events, 2},
                 {"Projections", "projections", projections, 6}};
    for (size_t i = 0; i < 3; i++)
        if (json_count(json_get(app, parts[i].member))) {
            heading(parts[i].title);
            show_members(json_get(app, parts[i].member), parts[i].columns, parts[i].count);
        }
    if (json_count(json_get(app, "queries"))) {
        heading("Queries");
        show_queries(json_get(app, "queries"));
    }
    buf_free(&text);
    arena_free(&arena);
}

static int
app_describe(const struct args *args, struct wire *wire, const char *app)
{
    struct json reply;
    app_path(wire, app, NULL, NULL);
    int code = app_get(args, wire, &reply);
    if (!code && out.json)
        app_say_json(reply);
    else if (!code)
        show_app(reply);
    return code;
}

/* ---- history -------------------------------------------------------------------------------------------- */

static void
show_history(struct json deployments)
{
    static const struct table_column columns[] = {{"VERSION", true, STYLE_CYAN}, {"", false, STYLE_GREEN},
                                                  {"TIME", false, STYLE_DIM},    {"BY", false, STYLE_PLAIN},
                                                  {"FILES", true, STYLE_PLAIN},  {"DIGEST", false, STYLE_DIM},
                                                  {"NOTE", false, STYLE_PLAIN}};
    struct table table;
    struct arena arena = {0};
    struct json none, item;
    table_begin(&table, columns, sizeof columns / sizeof *columns);
    struct json_walk walk = json_walk(deployments);
    while (json_next(&walk, &none, &item)) {
        cairn_str digest = app_text(item, "digest", &arena), note_text = app_text(item, "note", &arena);
        uint64_t of = wire_number(item, "rollback_of");
        table_cell(&table, app_text(item, "version", &arena));
        table_cell(&table, json_get(item, "current").type == JSON_TRUE ? CAIRN_STR("current") : (cairn_str){0});
        table_cell(&table, app_text(item, "time", &arena));
        table_cell(&table, app_text(item, "by", &arena));
        table_cell(&table, app_text(item, "files", &arena));
        table_cell(&table, (cairn_str){digest.data, digest.size < 12 ? digest.size : 12});
        if (of)
            table_cellf(&table, "version %llu again%s%.*s", (unsigned long long)of, note_text.size ? ": " : "",
                        (int)note_text.size, note_text.size ? note_text.data : "");
        else
            table_cell(&table, note_text);
    }
    table_end(&table);
    arena_free(&arena);
}

static int
app_history(const struct args *args, struct wire *wire, const char *app)
{
    struct json reply;
    app_path(wire, app, "deployments", NULL);
    int code = app_get(args, wire, &reply);
    if (!code && out.json)
        say_items(json_get(reply, "deployments"));
    else if (!code)
        show_history(json_get(reply, "deployments"));
    return code;
}

static int
app_rollback(const struct args *args, struct wire *wire, const char *app)
{
    uint64_t version;
    struct json reply;
    if (!parse_u64(cairn_cstr(args->operands[2]), &version) || version == 0)
        return fail(EXIT_USAGE, "app rollback", "`cairn app NAME history` lists them", "\"%s\" is no version",
                    args->operands[2]);
    buf_clear(&wire->body);
    buf_printf(&wire->body, "{\"version\":%llu", (unsigned long long)version);
    if (arg_text(args, "note")) {
        json_put_text_member(&wire->body, "note", cairn_cstr(arg_text(args, "note")));
    }
    buf_put_char(&wire->body, '}');
    app_path(wire, app, "rollback", NULL);
    struct call call = {.method = "POST", .body = buf_str(&wire->body), .content_type = "application/json",
                        .patient = true};
    int code = app_perform(args, wire, &call, &reply);
    if (!code && out.json)
        app_say_json(reply);
    else if (!code)
        printf("%s is as in version %llu again: version %llu\n", app, (unsigned long long)version,
               (unsigned long long)wire_number(reply, "version"));
    return code;
}

/* ---- files, diff ----------------------------------------------------------------------------------------- */

/* The same, where there must be one. */
static int
current_version(const struct args *args, struct wire *wire, const char *app, uint64_t *ret)
{
    int code = app_current(args, wire, app, ret);
    if (!code && *ret == 0)
        code = fail(EXIT_NOT_FOUND, args->command->name, "`cairn apps` lists them", "there is no app %s", app);
    return code;
}

static int
files_of(const struct args *args, struct wire *wire, const char *app, uint64_t version, struct bundle *ret)
{
    char number[24];
    struct json reply;
    snprintf(number, sizeof number, "%llu", (unsigned long long)version);
    app_path(wire, app, "deployments", number);
    int code = app_get(args, wire, &reply);
    return code ? code : app_folder_take(args, json_get(reply, "files"), ret);
}

static void
say_files(const struct bundle *bundle)
{
    static const struct table_column columns[] = {{"FILE", false, STYLE_CYAN}, {"BYTES", true, STYLE_PLAIN}};
    struct table table;
    struct buf line = {0};
    table_begin(&table, columns, 2);
    for (size_t i = 0; i < bundle->count; i++) {
        const cairn_app_file *file = &bundle->files[i];
        if (out.json) {
            buf_put_str(&line, CAIRN_STR("{\"path\":"));
            json_put_string(&line, file->path);
            json_put_text_member(&line, "text", file->text);
            buf_put_char(&line, '}');
            out_json_line(&line);
        } else {
            table_cell(&table, file->path);
            table_cellf(&table, "%zu", file->text.size);
        }
    }
    table_end(&table);
    buf_free(&line);
}

static int
app_files(const struct args *args, struct wire *wire, const char *app)
{
    struct bundle bundle = {0};
    const char *to = arg_text(args, "out");
    uint64_t version;
    int code = arg_u64(args, "version", 0, &version);
    if (!code && version == 0)
        code = current_version(args, wire, app, &version);
    if (!code)
        code = files_of(args, wire, app, version, &bundle);
    if (code)
        return code;
    if (to)
        code = app_folder_write(args, to, bundle.files, bundle.count);
    if (!code && to && !out.json)
        printf("%zu files of %s, version %llu, are in %s\n", bundle.count, app, (unsigned long long)version, to);
    else if (!code)
        say_files(&bundle);
    bundle_free(&bundle);
    return code;
}

/* One side of a diff: a version's number, or a folder. */
static int
side_of(const struct args *args, struct wire *wire, const char *app, const char *text, struct bundle *ret)
{
    uint64_t version;
    if (parse_u64(cairn_cstr(text), &version))
        return files_of(args, wire, app, version, ret);
    return app_folder_read(args, text, ret);
}

static const cairn_app_file *
file_named(const struct bundle *bundle, cairn_str path)
{
    for (size_t i = 0; i < bundle->count; i++)
        if (cairn_str_equal(bundle->files[i].path, path))
            return &bundle->files[i];
    return NULL;
}

static void
put_file_diff(struct buf *to, const cairn_app_file *a, const cairn_app_file *b)
{
    char name_a[256] = "/dev/null", name_b[256] = "/dev/null";
    if (a)
        snprintf(name_a, sizeof name_a, "a/%.*s", (int)a->path.size, a->path.data);
    if (b)
        snprintf(name_b, sizeof name_b, "b/%.*s", (int)b->path.size, b->path.data);
    diff_put(to, name_a, a ? a->text : (cairn_str){0}, name_b, b ? b->text : (cairn_str){0}, out.colour);
}

static int
say_diff(const struct bundle *a, const struct bundle *b)
{
    struct buf text = {0};
    for (size_t i = 0; i < a->count; i++)
        put_file_diff(&text, &a->files[i], file_named(b, a->files[i].path));
    for (size_t i = 0; i < b->count; i++)
        if (!file_named(a, b->files[i].path))
            put_file_diff(&text, NULL, &b->files[i]);
    int code = text.failed ? fail(EXIT_FAILED, "app diff", NULL, "out of memory") : 0;
    if (!code && out.json) {
        struct buf line = {0};
        buf_put_str(&line, CAIRN_STR("{\"diff\":"));
        json_put_string(&line, buf_str(&text));
        buf_put_char(&line, '}');
        out_json_line(&line);
        buf_free(&line);
    } else if (!code && text.size) {
        out_write(buf_str(&text));
    } else if (!code) {
        note("no difference");
    }
    buf_free(&text);
    return code;
}

static int
app_diff(const struct args *args, struct wire *wire, const char *app)
{
    struct bundle a = {0}, b = {0};
    char from[24], to[24];
    uint64_t current;
    int code = current_version(args, wire, app, &current);
    if (code)
        return code;
    if (current < 2 && args->operand_count < 3)
        return fail(EXIT_NOT_FOUND, "app diff", "name a folder to compare it with: cairn app NAME diff 1 DIR",
                    "%s has one version only", app);
    snprintf(from, sizeof from, "%llu", (unsigned long long)(current - 1));
    snprintf(to, sizeof to, "%llu", (unsigned long long)current);
    code = side_of(args, wire, app, args->operand_count > 2 ? args->operands[2] : from, &a);
    if (!code)
        code = side_of(args, wire, app, args->operand_count > 3 ? args->operands[3] : to, &b);
    if (!code)
        code = say_diff(&a, &b);
    bundle_free(&a);
    bundle_free(&b);
    return code;
}

/* ---- the rest -------------------------------------------------------------------------------------------- */

static int
app_remove(const struct args *args, struct wire *wire, const char *app)
{
    struct call call = {.method = "DELETE"};
    app_path(wire, app, NULL, NULL);
    int code = app_perform(args, wire, &call, NULL);
    if (!code)
        printf(out.json ? "{\"removed\":true}\n" : "%s is stopped; its events and its history stay, and deploying brings it back\n", app);
    return code;
}

static int
app_check_history(const struct args *args, struct wire *wire, const char *app)
{
    const struct replay_options options = {.app = app, .decisions = true, .on_error = "stop"};
    return app_replay(args, wire, &options);
}

static const struct action {
    const char *name;
    int (*run)(const struct args *args, struct wire *wire, const char *app);
    size_t operands_min, operands_max; /* after the action */
    const char *usage;
} actions[] = {
    {"history", app_history, 0, 0, "history"},
    {"rollback", app_rollback, 1, 1, "rollback VERSION [--note TEXT]"},
    {"diff", app_diff, 0, 2, "diff [FROM [TO]]"},
    {"files", app_files, 0, 0, "files [--version N] [--out DIR]"},
    {"check-history", app_check_history, 0, 0, "check-history"},
    {"remove", app_remove, 0, 0, "remove"},
};

int
run_app(const struct args *args)
{
    const struct action *action = NULL;
    const char *typed = args->operand_count > 1 ? args->operands[1] : NULL, *nearest = NULL;
    struct wire *wire;
    for (size_t i = 0; typed && i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(actions[i].name, typed) == 0)
            action = &actions[i];
        else if (edit_distance(actions[i].name, typed) <= 2)
            nearest = actions[i].name;
    }
    char hint[160];
    if (typed && !action) {
        snprintf(hint, sizeof hint, nearest ? "did you mean %s?" : "history, rollback, diff, files, check-history, remove",
                 nearest);
        return fail(EXIT_USAGE, "app", hint, "\"%s\" is nothing that an app does", typed);
    }
    size_t more = args->operand_count > 2 ? args->operand_count - 2 : 0;
    if (action && (more < action->operands_min || more > action->operands_max)) {
        snprintf(hint, sizeof hint, "usage: cairn app NAME %s", action->usage);
        return fail(EXIT_USAGE, "app", hint, more < action->operands_min ? "an argument is missing" : "too many arguments");
    }
    int code = app_open(args, &wire);
    if (code)
        return code;
    code = action ? action->run(args, wire, args->operands[0]) : app_describe(args, wire, args->operands[0]);
    app_close(wire);
    return code;
}

/* ---- state ------------------------------------------------------------------------------------------------ */

int
run_state(const struct args *args)
{
    struct wire *wire;
    struct json reply;
    uint64_t revision;
    int code = arg_u64(args, "revision", 0, &revision);
    if (code || (code = app_open(args, &wire)))
        return code;
    app_path(wire, args->operands[0], "state", args->operands[1]);
    if (arg_text(args, "revision"))
        wire_arg_number(wire, "revision", (int64_t)revision);
    code = app_get(args, wire, &reply);
    if (!code && out.json) {
        app_say_json(reply);
    } else if (!code) {
        struct arena arena = {0};
        cairn_str at = app_text(reply, "revision", &arena);
        if (at.size)
            note("%s as of revision %.*s", args->operands[1], (int)at.size, at.data);
        app_say_json(json_get(reply, "state"));
        arena_free(&arena);
    }
    app_close(wire);
    return code;
}

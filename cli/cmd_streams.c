/* `cairn streams`, `stats`, `retention`, `delete`, `snapshot`. */
#include <base/arena.h>

#include "read_options.h"
#include "run.h"

/* ---- streams --------------------------------------------------------------------------------------------- */

struct names {
    struct arena arena;
    struct table table;
    struct buf line;
    bool long_form;
    struct target *infos; /* a second connection: the first is busy listing */
    uint64_t count;
    cairn_err err;
    cairn_error error;
};

static const struct table_column name_columns[] = {{"STREAM", false, STYLE_CYAN},
                                                   {"FIRST POSITION", true, STYLE_DIM},
                                                   {"EVENTS", true, STYLE_PLAIN},
                                                   {"LAST REVISION", true, STYLE_PLAIN}};

static void
put_stream_line(struct names *names, cairn_str stream, uint64_t first_position, const cairn_stream_info *info)
{
    buf_put_str(&names->line, CAIRN_STR("{\"stream\":"));
    json_put_string(&names->line, stream);
    json_put_u64_member(&names->line, "first_position", first_position);
    if (info) {
        json_put_name(&names->line, "last_revision");
        json_put_i64(&names->line, info->last_revision);
        json_put_u64_member(&names->line, "first_revision", info->first_revision);
    }
    buf_put_char(&names->line, '}');
}

static bool
take_stream(void *context, cairn_str stream, uint64_t first_position)
{
    struct names *names = context;
    cairn_stream_info info = {0};
    if (names->long_form) {
        names->err = names->infos->ops->stream_info(names->infos, stream, &info, &names->error);
        if (names->err != CAIRN_OK)
            return false;
    }
    names->count++;
    if (out.json) {
        put_stream_line(names, stream, first_position, names->long_form ? &info : NULL);
        return out_json_line(&names->line);
    }
    table_cell(&names->table, stream);
    table_cellf(&names->table, "%llu", (unsigned long long)first_position);
    if (names->long_form) {
        uint64_t events = info.exists ? (uint64_t)(info.last_revision + 1) - info.first_revision : 0;
        table_cellf(&names->table, "%llu", (unsigned long long)events);
        table_cellf(&names->table, "%lld", (long long)info.last_revision);
    }
    if (names->table.row_count >= 1000)
        table_flush(&names->table);
    return true;
}

int
run_streams(const struct args *args)
{
    struct names names = {.long_form = arg_flag(args, "long")};
    struct target *target;
    cairn_error error = {0};
    uint64_t limit;
    int code = arg_u64(args, "limit", 100, &limit);
    if (!code)
        code = target_open(args, TARGET_READ, &target);
    if (code)
        return code;
    cairn_err err = target->ops->clone(target, &names.infos, &error);
    table_begin(&names.table, name_columns, names.long_form ? 4 : 2);
    if (err == CAIRN_OK)
        err = target->ops->streams(target, cairn_cstr(arg_text(args, "prefix")), cairn_cstr(arg_text(args, "after")),
                                   limit, take_stream, &names, &error);
    table_end(&names.table);
    buf_free(&names.line);
    if (err == CAIRN_OK && names.err != CAIRN_OK) {
        err = names.err;
        error = names.error;
    }
    if (err != CAIRN_OK)
        code = fail_error("streams", &error);
    else if (names.count == 0)
        note("no streams");
    else if (limit && names.count == limit && !out.json)
        note("… at most %llu: --limit 0 shows all, --after continues", (unsigned long long)limit);
    target_close(names.infos);
    target_close(target);
    return code;
}

/* ---- stats ------------------------------------------------------------------------------------------------- */

static bool
ends_with(cairn_str text, const char *end)
{
    size_t size = strlen(end);
    return text.size > size && memcmp(text.data + text.size - size, end, size) == 0;
}

static void
put_figure(struct table *table, cairn_str name, struct json value, struct arena *arena)
{
    char human[32];
    uint64_t number;
    struct buf shown = {0};
    for (size_t i = 0; i < name.size; i++) /* "log_bytes" → "log bytes" */
        buf_put_char(&shown, name.data[i] == '_' ? ' ' : name.data[i]);
    table_cell(table, buf_str(&shown));
    if (value.type == JSON_STRING)
        table_cell(table, json_string(value, arena));
    else if (ends_with(name, "_bytes") && json_u64(value, &number))
        table_cell(table, cairn_cstr(human_bytes(number, human)));
    else if ((ends_with(name, "_us") || ends_with(name, "_us_total") || ends_with(name, "_us_max")) &&
             json_u64(value, &number))
        table_cell(table, cairn_cstr(human_duration(number, human)));
    else
        table_cell(table, value.raw);
    buf_free(&shown);
}

/* {"section":{"figure":…}}: a heading and a table for each section. */
static void
show_figures(struct json figures, const char *heading)
{
    static const struct table_column figure_columns[] = {{"", false, STYLE_DIM}, {"", false, STYLE_PLAIN}};
    struct table table;
    struct arena arena = {0};
    struct json name, value;
    table_begin(&table, figure_columns, 2);
    table.no_header = true;
    struct json_walk walk = json_walk(figures);
    while (json_next(&walk, &name, &value))
        if (value.type != JSON_OBJECT && value.type != JSON_ARRAY)
            put_figure(&table, json_string(name, &arena), value, &arena);
    if (*heading && table.row_count)
        printf("%s%s%s\n", style_on(STYLE_BOLD), heading, style_off());
    table_end(&table);
    walk = json_walk(figures);
    while (json_next(&walk, &name, &value))
        if (value.type == JSON_OBJECT) {
            cairn_str section = arena_copy(&arena, json_string(name, &arena));
            show_figures(value, section.data ? section.data : "");
        }
    arena_free(&arena);
}

int
run_stats(const struct args *args)
{
    struct target *target;
    struct buf text = {0};
    struct json figures;
    cairn_error error = {0};
    int code = target_open(args, TARGET_READ, &target);
    if (code)
        return code;
    cairn_err err = target->ops->stats(target, &text, &error);
    if (err != CAIRN_OK)
        code = fail_error("stats", &error);
    else if (out.json)
        out_json_line(&text);
    else if (json_check(buf_str(&text), &figures, NULL) == CAIRN_OK)
        show_figures(figures, "");
    buf_free(&text);
    target_close(target);
    return code;
}

/* ---- retention, delete --------------------------------------------------------------------------------------- */

static void
say_retention(const char *stream, const cairn_retention *r)
{
    char age[32];
    if (out.json) {
        printf("{\"max_count\":%llu,\"max_age_us\":%llu,\"truncate_before\":%llu}\n", (unsigned long long)r->max_count,
               (unsigned long long)r->max_age_us, (unsigned long long)r->truncate_before);
        return;
    }
    if (!r->max_count && !r->max_age_us && !r->truncate_before)
        printf("%s keeps everything\n", stream);
    if (r->max_count)
        printf("%s keeps the newest %llu event%s\n", stream, (unsigned long long)r->max_count,
               r->max_count == 1 ? "" : "s");
    if (r->max_age_us)
        printf("%s keeps what is younger than %s\n", stream, human_duration(r->max_age_us, age));
    if (r->truncate_before)
        printf("%s begins at revision %llu\n", stream, (unsigned long long)r->truncate_before);
}

int
run_retention(const struct args *args)
{
    cairn_str stream = cairn_cstr(args->operands[0]);
    bool change = arg_text(args, "max-count") || arg_text(args, "max-age") || arg_text(args, "truncate-before");
    struct target *target;
    cairn_stream_info info;
    cairn_error error = {0};
    cairn_retention *r = &info.retention;
    int code = target_open(args, change ? TARGET_WRITE : TARGET_READ, &target);
    if (code)
        return code;
    cairn_err err = target->ops->stream_info(target, stream, &info, &error);
    if (err == CAIRN_OK && change) {
        code = arg_u64(args, "max-count", r->max_count, &r->max_count);
        if (!code && arg_text(args, "max-age") && strcmp(arg_text(args, "max-age"), "0") == 0)
            r->max_age_us = 0;
        else if (!code)
            code = arg_duration(args, "max-age", r->max_age_us, &r->max_age_us);
        if (!code)
            code = arg_u64(args, "truncate-before", r->truncate_before, &r->truncate_before);
        if (!code)
            err = target->ops->retention_set(target, stream, r, &error);
    }
    if (err != CAIRN_OK)
        code = fail_error("retention", &error);
    else if (!code)
        say_retention(args->operands[0], r);
    target_close(target);
    return code;
}

int
run_delete(const struct args *args)
{
    const char *text = arg_text(args, "expected");
    int64_t expected = CAIRN_ANY;
    struct target *target;
    cairn_error error = {0};
    bool tombstone = arg_flag(args, "tombstone");
    if (text && !parse_expected(cairn_cstr(text), &expected))
        return fail(EXIT_USAGE, "delete", NULL, "--expected: \"%s\" is none of any, exists or a revision", text);
    int code = target_open(args, TARGET_WRITE, &target);
    if (code)
        return code;
    cairn_err err = target->ops->delete(target, cairn_cstr(args->operands[0]), expected, tombstone, &error);
    target_close(target);
    if (err != CAIRN_OK)
        return fail_error("delete", &error);
    if (out.json)
        printf("{\"deleted\":true,\"tombstone\":%s}\n", tombstone ? "true" : "false");
    else
        printf("deleted %s%s\n", args->operands[0], tombstone ? "; its name is closed for good" : "");
    return EXIT_DONE;
}

/* ---- snapshots ------------------------------------------------------------------------------------------------- */

int
run_snapshot_get(const struct args *args)
{
    struct target *target;
    struct buf type = {0}, state = {0}, line = {0};
    struct json checked;
    uint64_t revision = 0;
    cairn_error error = {0};
    int code = target_open(args, TARGET_READ, &target);
    if (code)
        return code;
    cairn_err err =
        target->ops->snapshot_get(target, cairn_cstr(args->operands[0]), &revision, &type, &state, &error);
    target_close(target);
    if (err != CAIRN_OK) {
        code = fail_error("snapshot get", &error);
    } else if (out.json) {
        buf_printf(&line, "{\"revision\":%llu,\"content_type\":", (unsigned long long)revision);
        json_put_string(&line, buf_str(&type));
        if (json_check(buf_str(&state), &checked, NULL) == CAIRN_OK) {
            json_put_name(&line, "state");
            json_put_compact(&line, buf_str(&state));
        } else {
            json_put_name(&line, "state_base64");
            buf_put_char(&line, '"');
            base64_put(&line, buf_str(&state));
            buf_put_char(&line, '"');
        }
        buf_put_char(&line, '}');
        out_json_line(&line);
    } else {
        note("as of revision %llu", (unsigned long long)revision);
        fflush(stderr);
        out_write(buf_str(&state));
        out_write(CAIRN_STR("\n"));
    }
    buf_free(&type);
    buf_free(&state);
    buf_free(&line);
    return code;
}

int
run_snapshot_put(const struct args *args)
{
    cairn_str stream = cairn_cstr(args->operands[0]);
    const char *state = arg_text(args, "state");
    struct target *target;
    struct buf bytes = {0};
    cairn_stream_info info;
    const char *content_type = arg_text(args, "content-type");
    cairn_snapshot snapshot = {.content_type = cairn_cstr(content_type ? content_type : "application/json")};
    cairn_error error = {0};
    if (!state)
        return fail(EXIT_USAGE, "snapshot put", "--state JSON, --state @FILE or --state -", "--state is missing");
    int code = text_argument(args, "state", state, &bytes);
    if (!code)
        code = target_open(args, TARGET_WRITE, &target);
    if (code)
        return code;
    cairn_err err = target->ops->stream_info(target, stream, &info, &error);
    if (err == CAIRN_OK && info.last_revision < 0)
        code = fail(EXIT_NOT_FOUND, "snapshot put", NULL, "no stream %s", args->operands[0]);
    else if (err == CAIRN_OK)
        code = arg_u64(args, "revision", (uint64_t)info.last_revision, &snapshot.revision);
    snapshot.data = buf_str(&bytes);
    if (err == CAIRN_OK && !code)
        err = target->ops->snapshot_put(target, stream, &snapshot, &error);
    target_close(target);
    buf_free(&bytes);
    if (err != CAIRN_OK)
        return fail_error("snapshot put", &error);
    if (!code && out.json)
        printf("{\"revision\":%llu}\n", (unsigned long long)snapshot.revision);
    else if (!code)
        printf("kept a snapshot of %s as of revision %llu\n", args->operands[0], (unsigned long long)snapshot.revision);
    return code;
}

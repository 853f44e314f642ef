/* `cairn command`, `query`: what an app decides, and what it answers. */
#include <base/text.h>

#include "app_client.h"
#include "read_options.h"
#include "run.h"

#define SETS_MAX 128

/* ---- command -------------------------------------------------------------------------------------------- */

/* name=value pairs as an object: a value that is JSON is taken as it is, anything else is text. */
static int
put_sets(const struct args *args, struct buf *to)
{
    cairn_str sets[SETS_MAX];
    size_t count = arg_all(args, "set", sets, SETS_MAX);
    buf_put_char(to, '{');
    for (size_t i = 0; i < count; i++) {
        const char *equals = memchr(sets[i].data, '=', sets[i].size);
        struct json value;
        if (!equals || equals == sets[i].data)
            return fail(EXIT_USAGE, "command", "for example --set order_id=42 --set note='two words'",
                        "--set: \"%s\" is not name=value", sets[i].data);
        cairn_str text = {equals + 1, sets[i].size - (size_t)(equals + 1 - sets[i].data)};
        json_put_comma(to);
        json_put_string(to, (cairn_str){sets[i].data, (size_t)(equals - sets[i].data)});
        buf_put_char(to, ':');
        if (json_check(text, &value, NULL) == CAIRN_OK)
            buf_put_str(to, value.raw);
        else
            json_put_string(to, text);
    }
    buf_put_char(to, '}');
    return 0;
}

/* The command's data into `to`: an argument, --data, --set, or an empty object. */
static int
data_of(const struct args *args, struct buf *to)
{
    const char *text = args->operand_count > 2 ? args->operands[2] : arg_text(args, "data");
    struct json value;
    cairn_error error = {0};
    cairn_str one;
    bool sets = arg_all(args, "set", &one, 1) > 0;
    if (sets && text)
        return fail(EXIT_USAGE, "command", NULL, "the data is given as JSON or by --set, not by both");
    int code = sets ? put_sets(args, to) : text_argument(args, "data", text ? text : "{}", to);
    if (!code && json_check(buf_str(to), &value, &error) != CAIRN_OK)
        code = fail(EXIT_USAGE, "command", "quote it for the shell: '{\"order_id\":\"42\"}'; or use --set order_id=42",
                    "the data is no JSON: %s", error.detail);
    else if (!code && value.type != JSON_OBJECT)
        code = fail(EXIT_USAGE, "command", NULL, "the data is no JSON object");
    return code;
}

static void
say_accepted(struct json reply)
{
    struct arena arena = {0};
    cairn_str name = app_text(reply, "command", &arena), stream = app_text(reply, "stream", &arena);
    struct json events = json_get(reply, "events"), none, event;
    struct buf shown = {0};
    put_printable(&shown, stream, 200);
    printf("%s%.*s%s on %.*s%s", style_on(STYLE_GREEN), (int)name.size, name.size ? name.data : "", style_off(),
           (int)shown.size, shown.size ? shown.data : "",
           json_get(reply, "repeated").type == JSON_TRUE ? " (answered before: the same key)" : "");
    if (json_count(events) == 0) {
        printf(": nothing had to happen\n");
    } else {
        cairn_str revision = app_text(reply, "revision", &arena), position = app_text(reply, "position", &arena);
        printf(": revision %.*s, position %.*s\n", (int)revision.size, revision.size ? revision.data : "",
               (int)position.size, position.size ? position.data : "");
    }
    struct json_walk walk = json_walk(events);
    while (json_next(&walk, &none, &event)) {
        cairn_str type = app_text(event, "type", &arena);
        buf_clear(&shown);
        put_printable(&shown, type, 0);
        printf("  %.*s\n", (int)shown.size, shown.size ? shown.data : "");
    }
    buf_free(&shown);
    arena_free(&arena);
}

int
run_command(const struct args *args)
{
    struct wire *wire = NULL;
    struct buf data = {0};
    struct json reply;
    uint64_t deadline_us;
    char deadline[24] = "";
    const char *deadline_text = arg_text(args, "deadline");
    int code = 0;
    if (deadline_text && parse_u64(cairn_cstr(deadline_text), &deadline_us) && deadline_us <= UINT32_MAX)
        deadline_us *= 1000; /* a number alone: milliseconds */
    else
        code = arg_duration(args, "deadline", 0, &deadline_us);
    if (!code)
        code = data_of(args, &data);
    if (!code)
        code = app_open(args, &wire);
    if (!code) {
        if (deadline_us)
            snprintf(deadline, sizeof deadline, "%llu", (unsigned long long)(deadline_us + 999) / 1000);
        const struct call_header headers[] = {{"idempotency-key", cairn_cstr(arg_text(args, "key"))},
                                              {"cairn-deadline-ms", cairn_cstr(deadline)},
                                              {"cairn-actor", cairn_cstr(arg_text(args, "actor"))},
                                              {"cairn-correlation", cairn_cstr(arg_text(args, "correlation"))},
                                              {"cairn-causation", cairn_cstr(arg_text(args, "causation"))},
                                              {0}};
        struct call call = {.method = "POST", .body = buf_str(&data), .content_type = "application/json",
                            .headers = headers, .patient = true};
        app_path(wire, args->operands[0], "commands", args->operands[1]);
        code = app_perform(args, wire, &call, &reply);
        if (!code && out.json)
            app_say_json(reply);
        else if (!code)
            say_accepted(reply);
        app_close(wire);
    }
    buf_free(&data);
    return code;
}

/* ---- query ------------------------------------------------------------------------------------------------ */

/* Rows as they come, page after page: the columns are those of the first row. */
struct rows {
    bool csv, begun;
    struct table table;
    struct table_column columns[TABLE_COLUMNS_MAX];
    char *names[TABLE_COLUMNS_MAX];
    size_t column_count;
    uint64_t row_count;
    struct arena arena;
    struct buf line;
};

static void
put_csv(struct buf *to, cairn_str text)
{
    bool quote = text.size && (memchr(text.data, ',', text.size) || memchr(text.data, '"', text.size) ||
                               memchr(text.data, '\n', text.size) || memchr(text.data, '\r', text.size));
    if (!quote) {
        buf_put_str(to, text);
        return;
    }
    buf_put_char(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"')
            buf_put_char(to, '"');
        buf_put_char(to, text.data[i]);
    }
    buf_put_char(to, '"');
}

static void
begin_rows(struct rows *rows, struct json first)
{
    struct json_walk walk = json_walk(first);
    struct json name, value;
    size_t more = 0;
    while (json_next(&walk, &name, &value)) {
        cairn_str text = arena_copy(&rows->arena, json_string(name, &rows->arena));
        if (rows->csv) {
            if (rows->line.size)
                buf_put_char(&rows->line, ',');
            put_csv(&rows->line, text);
        }
        if (rows->column_count == TABLE_COLUMNS_MAX) {
            more++;
            continue;
        }
        size_t at = rows->column_count++;
        rows->names[at] = text.data ? (char *)(uintptr_t)text.data : NULL;
        rows->columns[at] = (struct table_column){rows->names[at] ? rows->names[at] : "", value.type == JSON_NUMBER,
                                                  at ? STYLE_PLAIN : STYLE_CYAN};
    }
    rows->begun = true;
    if (rows->csv) {
        buf_put_str(&rows->line, CAIRN_STR("\r\n"));
        out_write(buf_str(&rows->line));
    } else if (more) {
        note("%zu columns more: --json shows them", more);
    }
    table_begin(&rows->table, rows->columns, rows->column_count);
}

static cairn_str
value_text(struct json value, struct arena *arena)
{
    if (value.type == JSON_STRING)
        return json_string(value, arena);
    return value.type == JSON_NULL ? (cairn_str){0} : value.raw;
}

static void
put_row(struct rows *rows, struct json row)
{
    struct json_walk walk = json_walk(row);
    struct json name, value;
    if (!rows->begun)
        begin_rows(rows, row);
    buf_clear(&rows->line);
    for (size_t i = 0; json_next(&walk, &name, &value); i++) {
        struct arena arena = {0};
        cairn_str text = value_text(value, &arena);
        if (rows->csv) {
            if (i)
                buf_put_char(&rows->line, ',');
            put_csv(&rows->line, text);
        } else if (i < rows->column_count) {
            struct buf shown = {0};
            put_printable(&shown, text, out.width && i + 1 < rows->column_count ? 48 : 0);
            table_cell(&rows->table, buf_str(&shown));
            buf_free(&shown);
        }
        arena_free(&arena);
    }
    if (rows->csv) {
        buf_put_str(&rows->line, CAIRN_STR("\r\n"));
        out_write(buf_str(&rows->line));
    }
    rows->row_count++;
}

static void
end_rows(struct rows *rows)
{
    if (rows->begun)
        table_end(&rows->table);
    buf_free(&rows->line);
    arena_free(&rows->arena);
}

/* The options that go into the query string. */
static int
put_arguments(const struct args *args, struct wire *wire, const char *cursor)
{
    static const char *const same[][2] = {{"sort", "sort"}, {"as-of", "as_of"}, {"after-position", "after_position"}};
    cairn_str params[SETS_MAX];
    struct buf name = {0};
    uint64_t limit, timeout_us;
    size_t count = arg_all(args, "param", params, SETS_MAX);
    int code = arg_u64(args, "limit", 0, &limit);
    if (!code)
        code = arg_duration(args, "timeout", 0, &timeout_us);
    for (size_t i = 0; i < count && !code; i++) {
        const char *equals = memchr(params[i].data, '=', params[i].size);
        if (!equals || equals == params[i].data) {
            code = fail(EXIT_USAGE, "query", "for example --param status=open, or a filter: --param due.lt=2026-02-01",
                        "--param: \"%s\" is not name=value", params[i].data);
            break;
        }
        buf_clear(&name);
        percent_put(&name, (cairn_str){params[i].data, (size_t)(equals - params[i].data)});
        buf_put_char(&name, '\0');
        if (!name.failed)
            wire_arg(wire, name.data, cairn_cstr(equals + 1));
    }
    buf_free(&name);
    for (size_t i = 0; i < sizeof same / sizeof *same && !code; i++)
        if (arg_text(args, same[i][0]))
            wire_arg(wire, same[i][1], cairn_cstr(arg_text(args, same[i][0])));
    if (!code && limit)
        wire_arg_number(wire, "limit", (int64_t)limit);
    if (!code && timeout_us)
        wire_arg_number(wire, "timeout_ms", (int64_t)(timeout_us + 999) / 1000);
    if (!code && cursor && *cursor)
        wire_arg(wire, "cursor", cairn_cstr(cursor));
    return code;
}

/* One page: say its rows, keep its cursor ("" after the last). */
static int
say_page(const struct args *args, struct wire *wire, struct rows *rows, struct buf *cursor)
{
    struct json reply, none, row;
    struct arena arena = {0};
    app_path(wire, args->operands[0], "queries", args->operands[1]);
    int code = put_arguments(args, wire, cursor->data);
    if (!code)
        code = app_get(args, wire, &reply);
    if (code)
        return code;
    struct json one = json_get(reply, "row");
    struct json_walk walk = json_walk(json_get(reply, "rows"));
    if (out.json) {
        app_say_json(reply);
    } else if (one.type == JSON_OBJECT) {
        put_row(rows, one);
    } else {
        while (json_next(&walk, &none, &row))
            put_row(rows, row);
        if (rows->begun)
            table_flush(&rows->table);
    }
    cairn_str next = app_text(reply, "next", &arena);
    buf_clear(cursor);
    buf_put_str(cursor, next);
    buf_put_char(cursor, '\0');
    arena_free(&arena);
    return cursor->failed ? fail(EXIT_FAILED, "query", NULL, "out of memory") : 0;
}

static bool
reads(struct json query, cairn_str projection, struct arena *arena)
{
    struct json_walk walk = json_walk(json_get(query, "projections"));
    struct json none, name;
    while (json_next(&walk, &none, &name))
        if (cairn_str_equal(json_string(name, arena), projection))
            return true;
    return false;
}

static bool
runs(struct json status, struct arena *arena)
{
    return cairn_str_equal(app_text(status, "state", arena), CAIRN_STR("running"));
}

/* An empty table looks like an answer: where a read model of the query does not run, that is said. */
static int
say_standing(const struct args *args, struct wire *wire)
{
    struct json reply = {0}, none, item, query = {0};
    struct arena arena = {0};
    bool all_run = true;
    app_path(wire, args->operands[0], "projections", NULL);
    int code = app_get(args, wire, &reply);
    struct json_walk walk = json_walk(json_get(reply, "projections"));
    while (!code && json_next(&walk, &none, &item))
        all_run &= runs(item, &arena);
    if (code || all_run)
        goto done;
    app_path(wire, args->operands[0], NULL, NULL);
    code = app_get(args, wire, &reply);
    walk = json_walk(json_get(reply, "queries"));
    while (!code && json_next(&walk, &none, &item))
        if (cairn_str_equal(app_text(item, "name", &arena), cairn_cstr(args->operands[1])))
            query = item;
    walk = json_walk(json_get(reply, "projections"));
    while (!code && json_next(&walk, &none, &item)) {
        cairn_str name = app_text(item, "name", &arena), state = app_text(item, "state", &arena);
        cairn_str at = app_text(item, "position", &arena), end = app_text(item, "end", &arena);
        cairn_str error = app_text(json_get(item, "failure"), "error", &arena);
        if (!runs(item, &arena) && reads(query, name, &arena))
            note("the read model %.*s is %.*s, at position %.*s of %.*s%s%.*s; `cairn projection %s %.*s`", (int)name.size,
                 name.data, (int)state.size, state.data, (int)at.size, at.data, (int)end.size, end.data,
                 error.size ? ": " : "", (int)error.size, error.size ? error.data : "", args->operands[0], (int)name.size,
                 name.data);
    }
done:
    arena_free(&arena);
    return code;
}

int
run_query(const struct args *args)
{
    struct rows rows = {.csv = arg_flag(args, "csv")};
    struct buf cursor = {0};
    struct wire *wire;
    if (out.json && rows.csv)
        return fail(EXIT_USAGE, "query", NULL, "--json and --csv exclude each other");
    int code = app_open(args, &wire);
    if (code)
        return code;
    buf_put_str(&cursor, cairn_cstr(arg_text(args, "cursor")));
    buf_put_char(&cursor, '\0');
    do
        code = say_page(args, wire, &rows, &cursor);
    while (!code && arg_flag(args, "all") && *cursor.data && !interrupted);
    end_rows(&rows);
    if (!code && !out.json && !rows.csv && rows.row_count == 0)
        note("no rows");
    if (!code && !out.json && !arg_flag(args, "all") && *cursor.data)
        note("there are more: --all, or --cursor %s", cursor.data);
    if (!code && !out.json && !out.quiet && !interrupted && !arg_text(args, "as-of"))
        code = say_standing(args, wire);
    if (interrupted && !code)
        code = EXIT_INTERRUPTED;
    buf_free(&cursor);
    app_close(wire);
    return code;
}

/* `cairn import csv`: a table with a header line; each row an event. See csv.h and import.h. */
#include <base/error.h>
#include <stdlib.h>

#include "csv.h"
#include "import.h"
#include "run.h"

#define TAGS_MAX 64

/* Which columns mean what: indexes into a row; SIZE_MAX: none. */
struct plan {
    size_t stream, type, time, id;
    size_t tags[TAGS_MAX];
    size_t tag_count;
    char prefix[64];
    bool numbers;
    cairn_str *names; /* of the columns */
    size_t column_count;
    struct arena arena;
};

static void
list_columns(const struct plan *plan, char *to, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < plan->column_count && used + 1 < size; i++)
        used += (size_t)snprintf(to + used, size - used, "%s%.*s", i ? ", " : "", (int)plan->names[i].size,
                                 plan->names[i].data);
}

static int
find_column(const struct args *args, const struct plan *plan, const char *option, const char *name, size_t *ret)
{
    for (size_t i = 0; i < plan->column_count; i++)
        if (cairn_str_equal(plan->names[i], cairn_cstr(name))) {
            *ret = i;
            return 0;
        }
    char list[700];
    list_columns(plan, list, sizeof list);
    return fail(EXIT_USAGE, args->command->name, "columns are named by the first line",
                "--%s: no column \"%s\"; there are %s", option, name, list);
}

static int
keep_header(const struct args *args, const struct csv *csv, struct plan *plan)
{
    plan->column_count = csv->field_count;
    plan->names = arena_alloc(&plan->arena, csv->field_count * sizeof *plan->names);
    for (size_t i = 0; plan->names && i < csv->field_count; i++) {
        plan->names[i] = arena_copy(&plan->arena, csv->fields[i]);
        if (!plan->names[i].data)
            return fail(EXIT_FAILED, args->command->name, NULL, "out of memory");
    }
    return plan->names ? 0 : fail(EXIT_FAILED, args->command->name, NULL, "out of memory");
}

static int
make_plan(const struct args *args, const struct csv *csv, struct plan *plan)
{
    const struct {
        const char *option;
        size_t *to;
        bool required;
    } columns[] = {{"stream", &plan->stream, true}, {"type", &plan->type, true}, {"time", &plan->time, false},
                   {"id", &plan->id, false}};
    int code = keep_header(args, csv, plan);
    for (size_t i = 0; i < sizeof columns / sizeof *columns && !code; i++) {
        const char *name = arg_text(args, columns[i].option);
        *columns[i].to = SIZE_MAX;
        if (name) {
            code = find_column(args, plan, columns[i].option, name, columns[i].to);
        } else if (columns[i].required) {
            char list[700];
            list_columns(plan, list, sizeof list);
            code = fail(EXIT_USAGE, args->command->name, "say which column names the stream, and which the event type",
                        "--%s COLUMN is missing; columns are %s", columns[i].option, list);
        }
    }
    cairn_str tags[TAGS_MAX];
    plan->tag_count = arg_all(args, "tag", tags, TAGS_MAX);
    for (size_t i = 0; i < plan->tag_count && !code; i++)
        code = find_column(args, plan, "tag", tags[i].data, &plan->tags[i]);
    if (arg_text(args, "prefix"))
        snprintf(plan->prefix, sizeof plan->prefix, "%s", arg_text(args, "prefix"));
    else
        import_base_name(args->operands[0], plan->prefix);
    plan->numbers = arg_flag(args, "numbers");
    return code;
}

/* {"column":"field",…} */
static void
put_row(struct buf *to, const struct plan *plan, const struct csv *csv)
{
    buf_clear(to);
    buf_put_char(to, '{');
    for (size_t i = 0; i < plan->column_count && i < csv->field_count; i++) {
        struct json number;
        cairn_str field = csv->fields[i];
        json_put_comma(to);
        json_put_string(to, plan->names[i]);
        buf_put_char(to, ':');
        if (plan->numbers && field.size && strchr("-0123456789", field.data[0]) &&
            json_check(field, &number, NULL) == CAIRN_OK && number.raw.size == field.size)
            buf_put_str(to, field);
        else
            json_put_string(to, field);
    }
    buf_put_char(to, '}');
}

/* Times with a blank between date and time are common in tables; others are kept as they are. */
static void
put_meta(struct buf *to, cairn_str text)
{
    int64_t time_us;
    buf_clear(to);
    if (text.size == 0)
        return;
    buf_put_str(to, CAIRN_STR("{\"occurred_at\":"));
    if (parse_time(text, &time_us))
        json_put_time(to, time_us);
    else
        json_put_string(to, text);
    buf_put_char(to, '}');
}

static cairn_uuid
row_id(const struct plan *plan, cairn_str text)
{
    static const cairn_uuid space = {{0x1d, 0x8e, 0x44, 0x02, 0xb7, 0x5c, 0x4a, 0xe9, 0x83, 0x3f, 0x7a, 0x60, 0x15,
                                      0xce, 0x28, 0xd1}};
    struct buf name = {0};
    cairn_uuid id = {0};
    if (parse_uuid(text, &id))
        return id;
    buf_put_str(&name, cairn_cstr(plan->prefix));
    buf_put_char(&name, '\0');
    buf_put_str(&name, text);
    id = uuid_v5(space, buf_str(&name));
    buf_free(&name);
    return id;
}

/* The buffers of one row. */
struct row_space {
    struct buf stream, type, data, meta, tag[TAGS_MAX];
};

static cairn_err
put_event(struct import *import, const struct plan *plan, const struct csv *csv, struct row_space *space,
          cairn_error *error)
{
    if (csv->field_count != plan->column_count)
        return error_set(error, CAIRN_E_INVALID, "line %llu has %zu fields; the header has %zu",
                         (unsigned long long)csv->line, csv->field_count, plan->column_count);
    cairn_str tags[TAGS_MAX], type = csv->fields[plan->type];
    struct import_event in = {0};
    size_t tag_count = 0;
    if (type.size == 0 || csv->fields[plan->stream].size == 0)
        return error_set(error, CAIRN_E_INVALID, "line %llu: column \"%s\" is empty", (unsigned long long)csv->line,
                         plan->names[type.size ? plan->stream : plan->type].data);
    for (size_t i = 0; i < plan->tag_count; i++)
        if (csv->fields[plan->tags[i]].size)
            tags[tag_count++] = import_tag(&space->tag[i], plan->names[plan->tags[i]], csv->fields[plan->tags[i]]);
    put_row(&space->data, plan, csv);
    put_meta(&space->meta, plan->time == SIZE_MAX ? (cairn_str){0} : csv->fields[plan->time]);
    in.stream = import_name(&space->stream, cairn_cstr(plan->prefix), csv->fields[plan->stream]);
    in.event = (cairn_event){.type = type, .data = buf_str(&space->data), .meta = buf_str(&space->meta),
                             .tags = tags, .tag_count = tag_count};
    if (plan->id != SIZE_MAX && csv->fields[plan->id].size)
        in.event.id = row_id(plan, csv->fields[plan->id]);
    if (space->data.failed || space->meta.failed || !in.stream.data)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    return import_put(import, &in, error);
}

static cairn_err
put_all(struct import *import, const struct plan *plan, struct csv *csv, uint64_t size, cairn_error *error)
{
    struct row_space space = {0};
    cairn_err err;
    while ((err = csv_next(csv, error)) == CAIRN_OK) {
        err = put_event(import, plan, csv, &space, error);
        if (err != CAIRN_OK)
            break;
        import_progress(import, csv->bytes, size, "bytes");
    }
    buf_free(&space.stream);
    buf_free(&space.type);
    buf_free(&space.data);
    buf_free(&space.meta);
    for (size_t i = 0; i < TAGS_MAX; i++)
        buf_free(&space.tag[i]);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static int
separator_of(const struct args *args, char *ret)
{
    const char *text = arg_text(args, "separator");
    *ret = !text ? ',' : strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0 ? '\t' : text[0];
    if (text && *ret != '\t' && (strlen(text) != 1 || strchr("\"\r\n", text[0])))
        return fail(EXIT_USAGE, args->command->name, "for example --separator ';' or --separator tab",
                    "--separator takes one character");
    return 0;
}

int
run_import_csv(const struct args *args)
{
    cairn_error error = {0};
    struct plan plan = {0};
    struct target *target = NULL;
    struct import *import;
    uint64_t size;
    struct csv *csv = calloc(1, sizeof *csv);
    int code = csv ? separator_of(args, &csv->separator)
                   : fail(EXIT_FAILED, args->command->name, NULL, "out of memory");
    if (!code)
        code = import_file(args, args->operands[0], &csv->file, &size);
    if (code) {
        free(csv);
        return code;
    }
    cairn_err err = csv_next(csv, &error);
    if (err == CAIRN_E_END)
        code = fail(EXIT_USAGE, args->command->name, "the first line names the columns", "%s is empty",
                    args->operands[0]);
    else if (err != CAIRN_OK)
        code = fail_hint(args->command->name, &error, "is it CSV, with this separator?");
    if (!code)
        code = make_plan(args, csv, &plan);
    struct import_options options = {.kind = "csv"};
    if (!code && !(code = import_open(args, &options, &target, &import))) {
        err = put_all(import, &plan, csv, size, &error);
        code = import_close(args, target, import, err, &error, args->operands[0]);
    }
    arena_free(&plan.arena);
    if (csv->file != stdin)
        fclose(csv->file);
    csv_free(csv);
    free(csv);
    return code;
}

/* `cairn append`: one event from the command line, or many as NDJSON from standard input. */
#include <base/arena.h>
#include <base/error.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event_json.h"
#include "read_options.h"
#include "run.h"

/* An append being put together. */
struct draft {
    const struct args *args;
    struct target *target;
    cairn_str stream;
    int64_t expected;
    cairn_query_item unless;
    cairn_condition condition;
    cairn_str unless_types[NAMES_MAX], unless_tags[NAMES_MAX];
    bool has_condition;
};

static int
draft_of(const struct args *args, struct draft *draft)
{
    const char *expected = arg_text(args, "expected");
    uint64_t after = 0;
    draft->args = args;
    draft->stream = cairn_cstr(args->operands[0]);
    draft->expected = CAIRN_ANY;
    if (expected && !parse_expected(cairn_cstr(expected), &draft->expected))
        return fail(EXIT_USAGE, "append", NULL, "--expected: \"%s\" is none of any, none, exists or a revision",
                    expected);
    draft->unless.types = draft->unless_types;
    draft->unless.tags = draft->unless_tags;
    draft->unless.type_count = arg_all(args, "unless-type", draft->unless_types, NAMES_MAX);
    draft->unless.tag_count = arg_all(args, "unless-tag", draft->unless_tags, NAMES_MAX);
    draft->has_condition = draft->unless.type_count || draft->unless.tag_count;
    int code = arg_u64(args, "after", 0, &after);
    if (code)
        return code;
    if (arg_text(args, "after") && !draft->has_condition)
        return fail(EXIT_USAGE, "append", "--after says from where on --unless-type and --unless-tag look",
                    "--after without --unless-type or --unless-tag");
    draft->condition = (cairn_condition){{&draft->unless, 1}, arg_text(args, "after") ? (int64_t)after : -1};
    return 0;
}

static void
say_appended(const struct draft *draft, const cairn_at *at, size_t count)
{
    if (out.json) {
        printf("{\"first_position\":%llu,\"last_position\":%llu,\"revision\":%llu%s}\n",
               (unsigned long long)at->first_position, (unsigned long long)at->last_position,
               (unsigned long long)at->revision, at->repeated ? ",\"repeated\":true" : "");
        return;
    }
    struct buf name = {0};
    put_printable(&name, draft->stream, 200);
    printf("%s%s %zu event%s to %.*s: revision %llu, position %llu\n", at->repeated ? "already there, " : "",
           at->repeated ? "not appended:" : "appended", count, count == 1 ? "" : "s", (int)name.size, name.data,
           (unsigned long long)at->revision, (unsigned long long)at->last_position);
    buf_free(&name);
}

static int
append(struct draft *draft, const cairn_event *events, size_t count)
{
    const cairn_write write = {draft->stream, draft->expected, events, count};
    const cairn_append_request request = {.writes = &write,
                                          .write_count = 1,
                                          .conditions = &draft->condition,
                                          .condition_count = draft->has_condition};
    cairn_at at = {0};
    cairn_error error = {0};
    cairn_err err = draft->target->ops->append(draft->target, &request, &at, &error);
    if (err != CAIRN_OK)
        return fail_error("append", &error);
    say_appended(draft, &at, count);
    if (draft->expected != CAIRN_ANY) /* later batches of this command follow on */
        draft->expected = (int64_t)at.revision;
    return EXIT_DONE;
}

/* ---- one event from the command line ---------------------------------------------------------------- */

/* --data after `append` is the event's; but a folder is no JSON, so that one can mean only the store. */
static bool
names_folder(const char *value)
{
    struct stat stat_of;
    struct json checked;
    return json_check(cairn_cstr(value), &checked, NULL) != CAIRN_OK && stat(value, &stat_of) == 0 &&
           S_ISDIR(stat_of.st_mode);
}

static void
move_folder(struct args *args)
{
    for (size_t i = 0; i < args->given_count; i++) {
        const struct option *option = args->given[i].option;
        if (strcmp(option->name, "data") != 0 || !names_folder(args->given[i].text))
            continue;
        for (const struct option *o = global_options; o->name; o++)
            if (strcmp(o->name, "data") == 0)
                args->given[i].option = o;
    }
}

static const char *
event_data(const struct args *args)
{
    const char *text = NULL;
    for (size_t i = 0; i < args->given_count; i++)
        for (const struct option *o = args->command->options; o->name; o++)
            if (args->given[i].option == o && strcmp(o->name, "data") == 0)
                text = args->given[i].text;
    return text;
}

static int
check_json(const char *option, cairn_str text, bool object)
{
    cairn_error error = {0};
    struct json checked;
    if (json_check(text, &checked, &error) != CAIRN_OK)
        return fail(EXIT_USAGE, "append",
                    "quote it for the shell: --data '{\"total\":99}'; a folder goes before the command: "
                    "cairn --data DIR append …",
                    "--%s is not JSON: %s", option, error.detail);
    if (object && checked.type != JSON_OBJECT)
        return fail(EXIT_USAGE, "append", NULL, "--%s must be a JSON object", option);
    return 0;
}

static int
append_one(struct draft *draft, const char *type)
{
    const struct args *args = draft->args;
    const char *data = event_data(args), *meta = arg_text(args, "meta"), *id = arg_text(args, "id");
    cairn_str tags[NAMES_MAX];
    struct buf bytes = {0};
    cairn_event event = {.type = cairn_cstr(type),
                         .content_type = cairn_cstr(arg_text(args, "content-type")),
                         .meta = cairn_cstr(meta),
                         .tags = tags,
                         .tag_count = arg_all(args, "tag", tags, NAMES_MAX)};
    bool json = event.content_type.size == 0 || strstr(event.content_type.data, "json");
    int code = 0;
    if (id && !parse_uuid(cairn_cstr(id), &event.id))
        return fail(EXIT_USAGE, "append", "for example --id $(uuidgen)", "--id: \"%s\" is no UUID", id);
    if (meta)
        code = check_json("meta", event.meta, true);
    if (!code && data)
        code = text_argument(args, "data", data, &bytes);
    if (!code && data && json)
        code = check_json("data", buf_str(&bytes), false);
    event.data = buf_str(&bytes);
    if (!code)
        code = append(draft, &event, 1);
    buf_free(&bytes);
    return code;
}

/* ---- NDJSON from standard input ------------------------------------------------------------------------ */

#define GATHER_MAX 4096 /* the most that one append may carry */

struct gathered {
    struct arena arena; /* the events' bytes: what a source gives is borrowed only until its next */
    cairn_event events[GATHER_MAX];
    size_t count;
};

static cairn_err
gather(struct gathered *gathered, struct json value, const struct draft *draft, cairn_error *error)
{
    struct event_in in;
    cairn_str text = arena_copy(&gathered->arena, value.raw);
    if (!text.data)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    cairn_err err = event_parse(json_trusted(text), &gathered->arena, &in, error);
    if (err != CAIRN_OK)
        return err;
    if (in.recorded.stream.size && !cairn_str_equal(in.recorded.stream, draft->stream))
        return error_set(error, CAIRN_E_INVALID, "it names stream %.*s; `cairn import ndjson` appends to several",
                         (int)(in.recorded.stream.size < 100 ? in.recorded.stream.size : 100),
                         in.recorded.stream.data);
    gathered->events[gathered->count++] = in.recorded.event;
    return CAIRN_OK;
}

static int
flush(struct draft *draft, struct gathered *gathered)
{
    int code = gathered->count ? append(draft, gathered->events, gathered->count) : EXIT_DONE;
    gathered->count = 0;
    arena_reset(&gathered->arena);
    return code;
}

static int
append_lines(struct draft *draft)
{
    struct json_source source = {.file = stdin};
    struct gathered *gathered = calloc(1, sizeof *gathered);
    cairn_error error = {0};
    struct json value;
    uint64_t batch, events = 0;
    cairn_err err = CAIRN_OK;
    int code = arg_u64(draft->args, "batch", GATHER_MAX, &batch);
    bool whole = arg_text(draft->args, "batch") == NULL;
    if (!gathered)
        return fail(EXIT_FAILED, "append", NULL, "out of memory");
    if (!code && (batch == 0 || batch > GATHER_MAX))
        code = fail(EXIT_USAGE, "append", NULL, "--batch takes 1 to %d", GATHER_MAX);
    while (!code && (err = json_source_next(&source, &value, &error)) == CAIRN_OK) {
        if (gathered->count == batch && whole)
            code = fail(EXIT_USAGE, "append", "--batch N makes several appends of N events each",
                        "more than %d events; one append takes no more", GATHER_MAX);
        else if (gathered->count == batch)
            code = flush(draft, gathered);
        if (code)
            break;
        err = gather(gathered, value, draft, &error);
        if (err != CAIRN_OK)
            break;
        events++;
    }
    if (!code && err != CAIRN_E_END) {
        char what[64];
        snprintf(what, sizeof what, "append: line %llu", (unsigned long long)source.line);
        code = fail_hint(what, &error, "nothing of this append was written");
    }
    if (!code)
        code = flush(draft, gathered);
    if (!code && events == 0)
        code = fail(EXIT_USAGE, "append", "lines of {\"type\":…,\"data\":…}, or --type TYPE --data JSON for one event",
                    "standard input is empty");
    json_source_free(&source);
    arena_free(&gathered->arena);
    free(gathered);
    return code;
}

int
run_append(const struct args *args)
{
    static struct draft draft;
    static struct args own;
    const char *type = arg_text(args, "type");
    own = *args;
    move_folder(&own);
    int code = draft_of(&own, &draft);
    if (!code && !type && isatty(STDIN_FILENO))
        code = fail(EXIT_USAGE, "append", "cairn append STREAM --type TYPE --data JSON", "--type is missing");
    if (!code && !type && (event_data(&own) || arg_text(&own, "id") || arg_text(&own, "meta")))
        code = fail(EXIT_USAGE, "append", "cairn append STREAM --type TYPE --data JSON", "--type is missing");
    if (!code)
        code = target_open(&own, TARGET_CREATE, &draft.target);
    if (code)
        return code;
    code = type ? append_one(&draft, type) : append_lines(&draft);
    target_close(draft.target);
    return code;
}

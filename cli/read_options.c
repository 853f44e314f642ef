/* See read_options.h. */
#include "read_options.h"

#include <base/text.h>
#include <errno.h>

static bool
has_option(const struct args *args, const char *name)
{
    for (const struct option *o = args->command->options; o && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return true;
    return false;
}

int
from_of(const struct args *args, bool *ret_given, int64_t *ret)
{
    const char *text = arg_text(args, "from");
    uint64_t number;
    *ret_given = text != NULL;
    if (!text || strcmp(text, "start") == 0)
        *ret = CAIRN_FROM_START;
    else if (strcmp(text, "end") == 0)
        *ret = CAIRN_FROM_END;
    else if (parse_u64(cairn_cstr(text), &number) && number < INT64_MAX)
        *ret = (int64_t)number;
    else
        return fail(EXIT_USAGE, args->command->name, NULL, "--from: \"%s\" is neither a number nor start or end", text);
    return 0;
}

static int
time_of(const struct args *args, const char *name, cairn_str *ret)
{
    const char *text = has_option(args, name) ? arg_text(args, name) : NULL;
    int64_t time_us;
    *ret = cairn_cstr(text);
    if (!text || parse_time(*ret, &time_us))
        return 0;
    return fail(EXIT_USAGE, args->command->name, "write 2026-01-31T18:00:00Z, or 2026-01-31",
                "--%s: \"%s\" is no time", name, text);
}

int
read_choice_of(const struct args *args, const char *stream, struct read_choice *ret)
{
    struct read_request *request = &ret->request;
    bool is_time;
    int64_t value;
    *ret = (struct read_choice){.request = {.stream = cairn_cstr(stream)}};
    int code = from_of(args, &request->from_given, &request->from);
    if (!code)
        code = arg_u64(args, "limit", 0, &request->limit);
    if (!code)
        code = time_of(args, "since", &request->since);
    if (!code)
        code = time_of(args, "until", &request->until);
    if (code)
        return code;
    request->backward = has_option(args, "backward") && arg_flag(args, "backward");
    if (has_option(args, "as-of"))
        request->as_of = cairn_cstr(arg_text(args, "as-of"));
    if (request->as_of.size && !parse_as_of(request->as_of, &is_time, &value))
        return fail(EXIT_USAGE, args->command->name, "write 2026-01-31T18:00:00Z, or a position",
                    "--as-of: \"%s\" is neither a time nor a position", request->as_of.data);
    request->category = cairn_cstr(arg_text(args, "category"));
    if (request->category.size && request->stream.size)
        return fail(EXIT_USAGE, args->command->name, NULL, "a stream and --category exclude each other");
    request->types = ret->types;
    request->tags = ret->tags;
    request->type_count = arg_all(args, "type", ret->types, NAMES_MAX);
    request->tag_count = arg_all(args, "tag", ret->tags, NAMES_MAX);
    request->system = arg_flag(args, "system");
    return 0;
}

int
text_argument(const struct args *args, const char *option, const char *value, struct buf *to)
{
    if (value[0] != '@' && strcmp(value, "-") != 0) {
        buf_put_str(to, cairn_cstr(value));
        return 0;
    }
    FILE *file = value[0] == '@' ? fopen(value + 1, "rbe") : stdin;
    if (!file)
        return fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, args->command->name, NULL, "--%s: %s: %s", option,
                    value + 1, strerror(errno));
    size_t got = 1;
    while (got > 0 && buf_reserve(to, 64 << 10) && to->size <= (64u << 20)) {
        got = fread(to->data + to->size, 1, 64 << 10, file);
        to->size += got;
    }
    int failed = ferror(file) ? errno : 0;
    if (file != stdin)
        fclose(file);
    if (failed)
        return fail(EXIT_FAILED, args->command->name, NULL, "--%s: %s: %s", option, value, strerror(failed));
    return to->failed ? fail(EXIT_FAILED, args->command->name, NULL, "out of memory") : 0;
}

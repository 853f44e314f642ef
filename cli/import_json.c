/* `cairn import ndjson` and `cairn import cloudevents`: events as JSON objects. See event_json.h, import.h. */
#include <base/error.h>

#include "event_json.h"
#include "import.h"
#include "run.h"

typedef cairn_err (*event_parser)(struct json value, struct arena *arena, struct event_in *ret, cairn_error *error);

static cairn_err
put_one(struct import *import, struct json value, event_parser parse, cairn_str stream, struct arena *arena,
        cairn_error *error)
{
    struct event_in in;
    arena_reset(arena);
    cairn_err err = parse(value, arena, &in, error);
    if (err != CAIRN_OK)
        return err;
    if (in.recorded.stream.size == 0)
        in.recorded.stream = stream;
    if (in.recorded.stream.size == 0)
        return error_set(error, CAIRN_E_INVALID, "it names no stream, and --stream was not given");
    if (in.recorded.stream.data[0] == '$')
        return error_set(error, CAIRN_E_INVALID,
                         "stream %.*s is Cairn's own: export without --system; `cairn backup` copies a store with "
                         "everything",
                         (int)(in.recorded.stream.size < 80 ? in.recorded.stream.size : 80),
                         in.recorded.stream.data);
    struct import_event event = {.stream = in.recorded.stream,
                                 .event = in.recorded.event,
                                 .has_revision = in.has_revision,
                                 .revision = in.recorded.revision};
    return import_put(import, &event, error);
}

static cairn_err
put_all(struct import *import, struct json_source *source, event_parser parse, cairn_str stream, uint64_t size,
        cairn_error *error)
{
    struct arena arena = {0};
    struct json value;
    cairn_err err;
    while ((err = json_source_next(source, &value, error)) == CAIRN_OK) {
        err = put_one(import, value, parse, stream, &arena, error);
        if (err == CAIRN_E_INVALID) {
            cairn_error inner = *error;
            err = error_set(error, err, "line %llu: %.280s", (unsigned long long)source->line, inner.detail);
        }
        if (err != CAIRN_OK)
            break;
        import_progress(import, source->bytes, size, "bytes");
    }
    arena_free(&arena);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static int
run_json(const struct args *args, event_parser parse, struct import_options *options)
{
    const char *stream = arg_text(args, "stream");
    struct json_source source = {0};
    struct target *target = NULL;
    struct import *import;
    cairn_error error = {0};
    uint64_t size;
    int code = import_file(args, args->operands[0], &source.file, &size);
    if (code)
        return code;
    if (!(code = import_open(args, options, &target, &import))) {
        cairn_err err = put_all(import, &source, parse, cairn_cstr(stream), size, &error);
        code = import_close(args, target, import, err, &error, args->operands[0]);
    }
    json_source_free(&source);
    if (source.file != stdin)
        fclose(source.file);
    return code;
}

int
run_import_ndjson(const struct args *args)
{
    struct import_options options = {.kind = "ndjson", .ordered = true};
    return run_json(args, event_parse, &options);
}

int
run_import_cloudevents(const struct args *args)
{
    struct import_options options = {.kind = "cloudevents"};
    return run_json(args, event_parse_cloudevent, &options);
}

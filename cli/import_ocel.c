/* `cairn import ocel`: an object-centric log; its objects become tags. See ocel.h and import.h. */
#include <base/error.h>
#include <errno.h>

#include "import.h"
#include "ocel.h"
#include "run.h"

#define TEXT_MAX (1u << 30)
#define TAGS_MAX 64

struct reading {
    struct import *import;
    struct buf stream, object_stream, meta, data, tag[TAGS_MAX];
    uint64_t events, tags_dropped, unknown_objects;
};

static void
put_meta(struct buf *to, cairn_str time)
{
    int64_t time_us;
    buf_clear(to);
    if (time.size == 0)
        return;
    buf_put_str(to, CAIRN_STR("{\"occurred_at\":"));
    if (parse_time(time, &time_us))
        json_put_time(to, time_us);
    else
        json_put_string(to, time);
    buf_put_char(to, '}');
}

static cairn_err
take_event(void *context, const struct ocel_event *event, cairn_error *error)
{
    struct reading *reading = context;
    cairn_str tags[TAGS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < event->object_count; i++) {
        const struct ocel_object *object = &event->objects[i];
        reading->unknown_objects += object->type.size == 0;
        reading->tags_dropped += count == TAGS_MAX;
        if (count < TAGS_MAX) {
            cairn_str type = object->type.size ? object->type : CAIRN_STR("object");
            tags[count] = import_tag(&reading->tag[count], type, object->id);
            count++;
        }
    }
    put_meta(&reading->meta, event->time);
    struct import_event in = {.stream = buf_str(&reading->stream),
                              .event = {.type = event->type,
                                        .data = event->data,
                                        .meta = buf_str(&reading->meta),
                                        .tags = tags,
                                        .tag_count = count}};
    import_progress(reading->import, ++reading->events, 0, "events read");
    return import_put(reading->import, &in, error);
}

static cairn_err
take_object(void *context, const struct ocel_object *object, cairn_error *error)
{
    struct reading *reading = context;
    struct buf name = {0};
    cairn_str tag = import_tag(&reading->tag[0], object->type, object->id);
    buf_clear(&reading->data);
    json_put_compact(&reading->data, object->value.raw);
    struct import_event in = {.stream = import_name(&name, CAIRN_STR("object"), tag),
                              .event = {.type = CAIRN_STR("ObjectRecorded"),
                                        .data = buf_str(&reading->data),
                                        .tags = &tag,
                                        .tag_count = 1}};
    cairn_err err = import_put(reading->import, &in, error);
    buf_free(&name);
    return err;
}

static int
read_text(const struct args *args, struct buf *to)
{
    FILE *file;
    uint64_t size;
    int code = import_file(args, args->operands[0], &file, &size);
    if (code)
        return code;
    size_t got = 1;
    while (got > 0 && to->size <= TEXT_MAX && buf_reserve(to, 1 << 20)) {
        got = fread(to->data + to->size, 1, 1 << 20, file);
        to->size += got;
    }
    if (ferror(file))
        code = fail(EXIT_FAILED, args->command->name, NULL, "%s: %s", args->operands[0], strerror(errno));
    else if (to->size > TEXT_MAX)
        code = fail(EXIT_FAILED, args->command->name, "split the log", "%s is larger than 1 GiB", args->operands[0]);
    else if (to->failed)
        code = fail(EXIT_FAILED, args->command->name, NULL, "out of memory for %s", args->operands[0]);
    if (file != stdin)
        fclose(file);
    return code;
}

int
run_import_ocel(const struct args *args)
{
    struct reading reading = {0};
    struct ocel_visits visits = {take_event, arg_flag(args, "objects") ? take_object : NULL, &reading};
    struct import_options options = {.kind = "ocel"};
    struct target *target = NULL;
    struct buf text = {0};
    cairn_error error = {0};
    char base[64];
    int code = read_text(args, &text);
    import_base_name(args->operands[0], base);
    import_name(&reading.stream, CAIRN_STR("ocel"), cairn_cstr(arg_text(args, "name") ? arg_text(args, "name") : base));
    if (!code && !(code = import_open(args, &options, &target, &reading.import))) {
        cairn_err err = ocel_read(buf_str(&text), &visits, &error);
        code = import_close(args, target, reading.import, err, &error, args->operands[0]);
        if (reading.tags_dropped)
            note("%llu objects beyond the 64 tags of an event are in its data only",
                 (unsigned long long)reading.tags_dropped);
        if (reading.unknown_objects)
            note("%llu references to objects that the file does not describe: tagged object:<id>",
                 (unsigned long long)reading.unknown_objects);
    }
    struct buf *bufs[] = {&text, &reading.stream, &reading.object_stream, &reading.meta, &reading.data};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_free(bufs[i]);
    for (size_t i = 0; i < TAGS_MAX; i++)
        buf_free(&reading.tag[i]);
    return code;
}

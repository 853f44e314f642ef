/* Write a schema as the text of a .proto file.
 *
 * Types are named in full with a dot before them, so that the text means the same wherever it stands. In the canonical form
 * fields are in the order of their numbers and options in that of their names; messages keep their order, which the indexes
 * before a value count. */
#include <schema/protobuf_int.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct writer {
    struct buf *to;
    bool canonical;
    unsigned depth;
    struct arena scratch;
};

__attribute__((format(printf, 2, 3))) static void
put_line(struct writer *w, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    for (unsigned i = 0; i < w->depth; i++)
        buf_put(w->to, "  ", 2);
    char *text = NULL;
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size < 0)
        w->to->failed = true;
    else
        buf_put(w->to, text, (size_t)size);
    free(text);
    buf_put_char(w->to, '\n');
}

#define STR(text) (int)(text).size, (text).data

static int
by_option(const void *a, const void *b)
{
    const struct proto_option *const *x = a, *const *y = b;
    int order = cairn_str_order((*x)->name, (*y)->name);
    return order ? order : (*x > *y) - (*x < *y);
}

/* As an array, sorted where that is wanted. NULL: out of memory. */
static const struct proto_option **
list_options(struct writer *w, const struct proto_option *options, size_t *ret_count)
{
    size_t count = 0;
    for (const struct proto_option *option = options; option; option = option->next)
        count++;
    const struct proto_option **list = arena_alloc(&w->scratch, (count + 1) * sizeof *list);
    *ret_count = 0;
    for (; list && options; options = options->next)
        list[(*ret_count)++] = options;
    if (!list)
        w->to->failed = true;
    else if (w->canonical)
        qsort(list, count, sizeof *list, by_option);
    return list;
}

static void
put_options(struct writer *w, const struct proto_option *options)
{
    size_t count;
    const struct proto_option **list = list_options(w, options, &count);
    for (size_t i = 0; i < count; i++)
        put_line(w, "option %.*s = %.*s;", STR(list[i]->name), STR(list[i]->value));
}

/* " [a = 1, b = 2]" */
static cairn_str
inline_options(struct writer *w, const struct proto_option *options)
{
    struct buf text = {0};
    size_t count;
    const struct proto_option **list = list_options(w, options, &count);
    for (size_t i = 0; i < count; i++)
        buf_printf(&text, "%s%.*s = %.*s", i ? ", " : " [", STR(list[i]->name), STR(list[i]->value));
    if (count)
        buf_put_char(&text, ']');
    cairn_str copy = text.failed ? (cairn_str){NULL, 0} : arena_copy(&w->scratch, buf_str(&text));
    w->to->failed |= !copy.data;
    buf_free(&text);
    return copy;
}

static void
put_ranges(struct writer *w, const char *word, const struct proto_range *range, int64_t max)
{
    for (; range; range = range->next) {
        if (range->first == range->last)
            put_line(w, "%s %lld;", word, (long long)range->first);
        else if (range->last == max)
            put_line(w, "%s %lld to max;", word, (long long)range->first);
        else
            put_line(w, "%s %lld to %lld;", word, (long long)range->first, (long long)range->last);
    }
}

static void
put_names(struct writer *w, const struct proto_name *name)
{
    for (; name; name = name->next)
        put_line(w, "reserved \"%.*s\";", STR(name->text));
}

static void
put_enum(struct writer *w, const struct proto_enum *enum_)
{
    put_line(w, "enum %.*s {", STR(enum_->name));
    w->depth++;
    put_options(w, enum_->options);
    put_ranges(w, "reserved", enum_->reserved, INT32_MAX);
    put_names(w, enum_->reserved_names);
    for (const struct proto_value *value = enum_->values; value; value = value->next)
        put_line(w, "%.*s = %d%.*s;", STR(value->name), value->number, STR(inline_options(w, value->options)));
    w->depth--;
    put_line(w, "}");
}

/* ".a.B", or "int32". */
static cairn_str
type_text(struct writer *w, const struct proto_field *field)
{
    struct buf text = {0};
    if (field->message && !field->message->is_map_entry)
        buf_printf(&text, ".%.*s", STR(field->message->full));
    else if (field->message)
        buf_printf(&text, "map<%.*s, %.*s>", STR(type_text(w, &field->message->fields[0])),
                   STR(type_text(w, field->message->fields[0].next)));
    else if (field->enum_)
        buf_printf(&text, ".%.*s", STR(field->enum_->full));
    else
        buf_put_str(&text, cairn_cstr(proto_type_names[field->type]));
    cairn_str copy = text.failed ? (cairn_str){NULL, 0} : arena_copy(&w->scratch, buf_str(&text));
    w->to->failed |= !copy.data;
    buf_free(&text);
    return copy;
}

static void put_message_body(struct writer *w, const struct proto_message *message);

static const char *
label_text(const struct proto_message *message, const struct proto_field *field)
{
    if (field->oneof >= 0 || (field->message && field->message->is_map_entry))
        return "";
    switch (field->label) {
    case PROTO_REPEATED: return "repeated ";
    case PROTO_REQUIRED: return "required ";
    default: return !message->file->proto3 || field->is_optional ? "optional " : "";
    }
}

static void
put_field(struct writer *w, const struct proto_message *message, const struct proto_field *field)
{
    cairn_str options = inline_options(w, field->options);
    const char *label = label_text(message, field);
    if (field->type != PROTO_GROUP) {
        put_line(w, "%s%.*s %.*s = %u%.*s;", label, STR(type_text(w, field)), STR(field->name), field->number, STR(options));
        return;
    }
    put_line(w, "%sgroup %.*s = %u%.*s {", label, STR(field->message->name), field->number, STR(options));
    w->depth++;
    put_message_body(w, field->message);
    w->depth--;
    put_line(w, "}");
}

static void
put_oneof(struct writer *w, const struct proto_message *message, int32_t index)
{
    const struct proto_oneof *oneof = proto_oneof_at(message, index);
    put_line(w, "oneof %.*s {", STR(oneof->name));
    w->depth++;
    put_options(w, oneof->options);
    const struct proto_field *field = message->fields;
    for (size_t i = 0; i < message->field_count; i++, field = field->next) {
        const struct proto_field *here = w->canonical ? message->by_number[i] : field;
        if (here->oneof == index)
            put_field(w, message, here);
    }
    w->depth--;
    put_line(w, "}");
}

/* A oneof stands where the first of its fields does. */
static void
put_fields(struct writer *w, const struct proto_message *message)
{
    uint8_t *done = arena_zalloc(&w->scratch, message->oneof_count + 1);
    const struct proto_field *field = message->fields;
    if (!done) {
        w->to->failed = true;
        return;
    }
    for (size_t i = 0; i < message->field_count; i++, field = field->next) {
        const struct proto_field *here = w->canonical ? message->by_number[i] : field;
        if (here->oneof < 0) {
            put_field(w, message, here);
        } else if (!done[here->oneof]) {
            done[here->oneof] = 1;
            put_oneof(w, message, here->oneof);
        }
    }
}

static void
put_message(struct writer *w, const struct proto_message *message)
{
    put_line(w, "message %.*s {", STR(message->name));
    w->depth++;
    put_message_body(w, message);
    w->depth--;
    put_line(w, "}");
}

static void
put_message_body(struct writer *w, const struct proto_message *message)
{
    put_options(w, message->options);
    put_ranges(w, "reserved", message->reserved, PROTO_NUMBER_MAX);
    put_names(w, message->reserved_names);
    put_ranges(w, "extensions", message->extensions, PROTO_NUMBER_MAX);
    put_fields(w, message);
    for (const struct proto_message *nested = message->messages; nested; nested = nested->next)
        if (!nested->is_group)
            put_message(w, nested);
    for (const struct proto_enum *enum_ = message->enums; enum_; enum_ = enum_->next)
        put_enum(w, enum_);
}

void
protobuf_put_text(const struct protobuf_schema *schema, bool canonical, struct buf *to)
{
    struct writer w = {.to = to, .canonical = canonical};
    const struct proto_file *file = schema->main;
    put_line(&w, "syntax = \"%s\";", file->proto3 ? "proto3" : "proto2");
    if (file->package.size)
        put_line(&w, "package %.*s;", STR(file->package));
    for (const struct proto_import *import = file->imports; import; import = import->next)
        put_line(&w, "import %s\"%.*s\";", import->kind == 'p' ? "public " : import->kind == 'w' ? "weak " : "", STR(import->name));
    put_options(&w, file->options);
    for (const struct proto_message *message = file->messages; message; message = message->next)
        put_message(&w, message);
    for (const struct proto_enum *enum_ = file->enums; enum_; enum_ = enum_->next)
        put_enum(&w, enum_);
    if (canonical && file->services.size)
        put_line(&w, "%.*s", STR(file->services));
    arena_free(&w.scratch);
}

/* Write a FileDescriptorProto, in base64: what clients ask for that have no parser of .proto files.
 *
 * A part is written into a buffer of its own first, because its size stands before it; buffers are as many as parts are deep. */
#include <schema/protobuf_int.h>

#include <stdlib.h>

static void
put_varint(struct buf *to, uint64_t value)
{
    uint8_t bytes[VARINT_MAX];
    buf_put(to, bytes, (size_t)(varint_put(bytes, value) - bytes));
}

static void
put_number(struct buf *to, uint32_t field, int64_t value)
{
    put_varint(to, (uint64_t)field << 3);
    put_varint(to, (uint64_t)value);
}

static void
put_bytes(struct buf *to, uint32_t field, cairn_str bytes)
{
    put_varint(to, (uint64_t)field << 3 | 2);
    put_varint(to, bytes.size);
    buf_put_str(to, bytes);
}

/* A part that was written; its buffer is free afterwards. */
static void
put_part(struct buf *to, uint32_t field, struct buf *part)
{
    to->failed |= part->failed;
    put_bytes(to, field, buf_str(part));
    buf_free(part);
}

/* ---- options */

static void
put_option(struct buf *to, const struct proto_option *option, enum proto_place place)
{
    for (size_t i = 0; i < PROTO_OPTION_KINDS; i++) {
        const struct proto_option_kind *kind = &proto_option_kinds[i];
        struct buf text = {0};
        if (kind->place != place || !cairn_str_equal(option->name, cairn_cstr(kind->name)))
            continue;
        switch (kind->type) {
        case PROTO_IS_BOOL: put_number(to, kind->number, cairn_str_equal(option->value, CAIRN_STR("true"))); break;
        case PROTO_IS_TEXT:
            proto_put_unquoted(&text, option->value);
            put_part(to, kind->number, &text);
            break;
        case PROTO_IS_WORD:
            for (int64_t value = 0; kind->words[value]; value++)
                if (cairn_str_equal(option->value, cairn_cstr(kind->words[value])))
                    put_number(to, kind->number, value);
            break;
        }
    }
}

static void
put_options(struct buf *to, uint32_t field, const struct proto_option *options, enum proto_place place)
{
    struct buf part = {0};
    for (; options; options = options->next)
        put_option(&part, options, place);
    if (part.size)
        put_part(to, field, &part);
    buf_free(&part);
}

/* ---- parts */

static void
put_range(struct buf *to, uint32_t field, const struct proto_range *range, int64_t end)
{
    for (; range; range = range->next) {
        struct buf part = {0};
        put_number(&part, 1, range->first);
        put_number(&part, 2, range->last + end);
        put_part(to, field, &part);
    }
}

static void
put_names(struct buf *to, uint32_t field, const struct proto_name *name)
{
    for (; name; name = name->next)
        put_bytes(to, field, name->text);
}

static void
put_enum(struct buf *to, uint32_t field, const struct proto_enum *enum_)
{
    struct buf part = {0};
    put_bytes(&part, 1, enum_->name);
    for (const struct proto_value *value = enum_->values; value; value = value->next) {
        struct buf inner = {0};
        put_bytes(&inner, 1, value->name);
        put_number(&inner, 2, value->number);
        put_options(&inner, 3, value->options, PROTO_OF_VALUE);
        put_part(&part, 2, &inner);
    }
    put_options(&part, 3, enum_->options, PROTO_OF_ENUM);
    put_range(&part, 4, enum_->reserved, 0);
    put_names(&part, 5, enum_->reserved_names);
    put_part(to, field, &part);
}

/* The name of a map's entry: that of the field in CamelCase, and "Entry". */
static void
put_entry_name(struct buf *to, cairn_str field)
{
    bool upper = true;
    for (size_t i = 0; i < field.size; i++) {
        char c = field.data[i];
        if (c != '_')
            buf_put_char(to, (char)(upper && c >= 'a' && c <= 'z' ? c - 32 : c));
        upper = c == '_';
    }
    buf_put_str(to, CAIRN_STR("Entry"));
}

static void
put_type(struct buf *to, const struct proto_message *message, const struct proto_field *field)
{
    struct buf name = {0};
    put_number(to, 5, field->type);
    if (!field->message && !field->enum_)
        return;
    buf_put_char(&name, '.');
    if (field->message && field->message->is_map_entry) {
        buf_put_str(&name, message->full);
        buf_put_char(&name, '.');
        put_entry_name(&name, field->name);
    } else {
        buf_put_str(&name, field->message ? field->message->full : field->enum_->full);
    }
    put_part(to, 6, &name);
}

/* `synthetic`: the index of the oneof that stands for "optional" in proto3, or -1. */
static void
put_field(struct buf *to, const struct proto_message *message, const struct proto_field *field, int32_t synthetic)
{
    struct buf part = {0}, text = {0};
    const struct proto_option *fallback = proto_find_option(field->options, "default");
    const struct proto_option *json_name = proto_find_option(field->options, "json_name");
    put_bytes(&part, 1, field->name);
    put_number(&part, 3, field->number);
    put_number(&part, 4, field->label);
    put_type(&part, message, field);
    if (fallback && field->type == PROTO_STRING)
        proto_put_unquoted(&text, fallback->value);
    else if (fallback && field->type == PROTO_BYTES && fallback->value.size >= 2)
        buf_put(&text, fallback->value.data + 1, fallback->value.size - 2);
    else if (fallback)
        buf_put_str(&text, fallback->value);
    if (fallback)
        put_part(&part, 7, &text);
    put_options(&part, 8, field->options, PROTO_OF_FIELD);
    if (field->oneof >= 0 || synthetic >= 0)
        put_number(&part, 9, field->oneof >= 0 ? field->oneof : synthetic);
    if (json_name)
        proto_put_unquoted(&text, json_name->value);
    else
        proto_put_json_name(&text, field->name);
    put_part(&part, 10, &text);
    if (synthetic >= 0)
        put_number(&part, 17, 1);
    put_part(to, 2, &part);
}

static void
put_entry(struct buf *to, const struct proto_field *field)
{
    struct buf part = {0}, name = {0};
    put_entry_name(&name, field->name);
    put_part(&part, 1, &name);
    put_field(&part, field->message, field->message->fields, -1);
    put_field(&part, field->message, field->message->fields->next, -1);
    put_bytes(&part, 7, (cairn_str){"\x38\x01", 2}); /* map_entry = true */
    put_part(to, 3, &part);
}

static bool
has_presence(const struct proto_message *message, const struct proto_field *field)
{
    return field->is_optional && message->file && message->file->proto3 && field->oneof < 0;
}

static void
put_oneof_name(struct buf *to, const char *before, cairn_str name)
{
    struct buf part = {0}, text = {0};
    buf_printf(&text, "%s", before);
    buf_put_str(&text, name);
    put_part(&part, 1, &text);
    put_part(to, 8, &part);
}

static void
put_message(struct buf *to, uint32_t number, const struct proto_message *message)
{
    struct buf part = {0};
    int32_t synthetic = (int32_t)message->oneof_count;
    put_bytes(&part, 1, message->name);
    for (const struct proto_field *field = message->fields; field; field = field->next)
        put_field(&part, message, field, has_presence(message, field) ? synthetic++ : -1);
    for (const struct proto_message *nested = message->messages; nested; nested = nested->next)
        put_message(&part, 3, nested);
    for (const struct proto_field *field = message->fields; field; field = field->next)
        if (field->message && field->message->is_map_entry)
            put_entry(&part, field);
    for (const struct proto_enum *enum_ = message->enums; enum_; enum_ = enum_->next)
        put_enum(&part, 4, enum_);
    put_range(&part, 5, message->extensions, 1);
    put_options(&part, 7, message->options, PROTO_OF_MESSAGE);
    for (const struct proto_oneof *oneof = message->oneofs; oneof; oneof = oneof->next)
        put_oneof_name(&part, "", oneof->name);
    for (const struct proto_field *field = message->fields; field; field = field->next)
        if (has_presence(message, field))
            put_oneof_name(&part, "_", field->name);
    put_range(&part, 9, message->reserved, 1);
    put_names(&part, 10, message->reserved_names);
    put_part(to, number, &part);
}

cairn_err
protobuf_put_descriptor(const struct protobuf_schema *schema, struct buf *to, cairn_error *error)
{
    const struct proto_file *file = schema->main;
    struct buf bytes = {0};
    put_bytes(&bytes, 1, CAIRN_STR("default")); /* a text has no name; Confluent's clients know it as this */
    if (file->package.size)
        put_bytes(&bytes, 2, file->package);
    for (const struct proto_import *import = file->imports; import; import = import->next)
        put_bytes(&bytes, 3, import->name);
    for (const struct proto_message *message = file->messages; message; message = message->next)
        put_message(&bytes, 4, message);
    for (const struct proto_enum *enum_ = file->enums; enum_; enum_ = enum_->next)
        put_enum(&bytes, 5, enum_);
    put_options(&bytes, 8, file->options, PROTO_OF_FILE);
    int64_t index = 0;
    for (const struct proto_import *import = file->imports; import; import = import->next, index++)
        if (import->kind)
            put_number(&bytes, import->kind == 'p' ? 10 : 11, index);
    if (file->proto3)
        put_bytes(&bytes, 12, CAIRN_STR("proto3"));
    base64_put(to, buf_str(&bytes));
    bool failed = bytes.failed || to->failed;
    buf_free(&bytes);
    return failed ? error_set(error, CAIRN_E_NOMEM, "no memory for the schema") : CAIRN_OK;
}

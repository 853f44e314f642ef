/* Read a FileDescriptorProto: the form in which some clients register what others have as text.
 *
 * Numbers of fields and options are those of descriptor.proto. Options are kept as text ("true", "\"x\"", "SPEED"), those that
 * protobuf_options.c knows. The entries of maps and the oneofs that stand for "optional" in proto3
 * are made and taken away here, so that the rest never sees them. One owner thread. */
#include <schema/protobuf_int.h>

/* ---- reading */

#define TRY(call)                \
    do {                         \
        cairn_err err_ = (call); \
        if (err_ != CAIRN_OK)    \
            return err_;         \
    } while (0)

struct reading {
    struct proto_compile *compile;
    struct proto_file *file;
    unsigned depth;
};

static cairn_err
broken(struct reading *r, const char *what)
{
    return error_set(r->compile->error, CAIRN_E_INVALID, "the descriptor is broken: %s", what);
}

static struct proto_reader
reader_of(cairn_str bytes)
{
    const uint8_t *at = (const uint8_t *)(bytes.data ? bytes.data : "");
    return (struct proto_reader){at, at, at + bytes.size};
}

/* Whether the loop over a reader came to the end. */
static cairn_err
at_end(struct reading *r, const struct proto_reader *reader)
{
    return reader->at == reader->end ? CAIRN_OK : broken(r, "bytes that are no field");
}

static bool
is_identifier(cairn_str text, bool dots)
{
    bool first = true;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (dots && c == '.')
            first = true;
        else if (letter || (!first && c >= '0' && c <= '9'))
            first = false;
        else
            return false;
    }
    return !first;
}

static cairn_err
keep(struct reading *r, cairn_str text, cairn_str *ret)
{
    *ret = arena_copy(&r->compile->schema->arena, text);
    return ret->data ? CAIRN_OK : proto_no_memory(r->compile);
}

static cairn_err
keep_name(struct reading *r, cairn_str text, bool dots, cairn_str *ret)
{
    return is_identifier(text, dots) ? keep(r, text, ret) : broken(r, "a name that is none");
}

/* For names that are written between quotes. */
static cairn_err
keep_plain(struct reading *r, cairn_str text, cairn_str *ret)
{
    for (size_t i = 0; i < text.size; i++)
        if ((uint8_t)text.data[i] < 0x20 || text.data[i] == '"' || text.data[i] == '\\' || text.data[i] == 0x7F)
            return broken(r, "a name that is none");
    return keep(r, text, ret);
}

static cairn_err
add_option(struct reading *r, struct proto_option **list, const char *name, struct buf *value)
{
    struct proto_option *option = arena_zalloc(&r->compile->schema->arena, sizeof *option);
    cairn_err err = option && !value->failed ? keep(r, buf_str(value), &option->value) : proto_no_memory(r->compile);
    buf_free(value);
    if (err != CAIRN_OK)
        return err;
    option->name = cairn_cstr(name);
    return proto_add_option(r->compile, list, option);
}

static const char *
word_of(const struct proto_option_kind *kind, uint64_t value)
{
    for (uint64_t i = 0; kind->words[i]; i++)
        if (i == value && kind->words[i][0])
            return kind->words[i];
    return NULL;
}

static cairn_err
read_options(struct reading *r, cairn_str bytes, enum proto_place place, struct proto_option **list, bool *ret_map_entry)
{
    struct proto_reader reader = reader_of(bytes);
    struct proto_item item;
    while (proto_next(&reader, &item)) {
        if (place == PROTO_OF_MESSAGE && item.number == 7 && item.wire == 0 && ret_map_entry)
            *ret_map_entry = item.value != 0;
        for (size_t i = 0; i < PROTO_OPTION_KINDS; i++) {
            const struct proto_option_kind *kind = &proto_option_kinds[i];
            struct buf value = {0};
            if (kind->place != place || kind->number != item.number || item.wire != (kind->type == PROTO_IS_TEXT ? 2u : 0u))
                continue;
            if (kind->type == PROTO_IS_TEXT)
                proto_put_quoted(&value, item.bytes);
            else if (kind->type == PROTO_IS_BOOL)
                buf_put_str(&value, item.value ? CAIRN_STR("true") : CAIRN_STR("false"));
            else if (word_of(kind, item.value))
                buf_put_str(&value, cairn_cstr(word_of(kind, item.value)));
            else
                continue;
            TRY(add_option(r, list, kind->name, &value));
        }
    }
    return at_end(r, &reader);
}

/* `end`: what to add to the last number, which of messages is one too far. */
static cairn_err
read_range(struct reading *r, cairn_str bytes, int64_t end, struct proto_range **list)
{
    struct proto_reader reader = reader_of(bytes);
    struct proto_item item;
    struct proto_range *range = arena_zalloc(&r->compile->schema->arena, sizeof *range);
    if (!range)
        return proto_no_memory(r->compile);
    TRY(proto_count(r->compile));
    while (proto_next(&reader, &item)) {
        if (item.number == 1)
            range->first = (int32_t)item.value;
        else if (item.number == 2)
            range->last = (int64_t)(int32_t)item.value + end;
    }
    if (range->last < range->first)
        return broken(r, "a range that ends before it begins");
    while (*list)
        list = &(*list)->next;
    *list = range;
    return at_end(r, &reader);
}

static cairn_err
read_reserved_name(struct reading *r, cairn_str bytes, struct proto_name **list)
{
    struct proto_name *name = arena_zalloc(&r->compile->schema->arena, sizeof *name);
    if (!name)
        return proto_no_memory(r->compile);
    TRY(proto_count(r->compile));
    TRY(keep_plain(r, bytes, &name->text));
    while (*list)
        list = &(*list)->next;
    *list = name;
    return CAIRN_OK;
}

static cairn_err
read_value(struct reading *r, cairn_str bytes, struct proto_enum *enum_)
{
    struct proto_reader reader = reader_of(bytes);
    struct proto_item item;
    struct proto_value *value = arena_zalloc(&r->compile->schema->arena, sizeof *value), **end = &enum_->values;
    if (!value)
        return proto_no_memory(r->compile);
    TRY(proto_count(r->compile));
    while (proto_next(&reader, &item)) {
        if (item.number == 1)
            TRY(keep_name(r, item.bytes, false, &value->name));
        else if (item.number == 2)
            value->number = (int32_t)item.value;
        else if (item.number == 3)
            TRY(read_options(r, item.bytes, PROTO_OF_VALUE, &value->options, NULL));
    }
    if (!value->name.data)
        return broken(r, "a value without a name");
    while (*end)
        end = &(*end)->next;
    *end = value;
    return at_end(r, &reader);
}

static cairn_err
read_enum(struct reading *r, cairn_str bytes, struct proto_enum **list)
{
    struct proto_reader reader = reader_of(bytes);
    struct proto_item item;
    struct proto_enum *enum_ = arena_zalloc(&r->compile->schema->arena, sizeof *enum_);
    if (!enum_)
        return proto_no_memory(r->compile);
    TRY(proto_count(r->compile));
    while (proto_next(&reader, &item)) {
        switch (item.number) {
        case 1: TRY(keep_name(r, item.bytes, false, &enum_->name)); break;
        case 2: TRY(read_value(r, item.bytes, enum_)); break;
        case 3: TRY(read_options(r, item.bytes, PROTO_OF_ENUM, &enum_->options, NULL)); break;
        case 4: TRY(read_range(r, item.bytes, 0, &enum_->reserved)); break;
        case 5: TRY(read_reserved_name(r, item.bytes, &enum_->reserved_names)); break;
        }
    }
    if (!enum_->name.data)
        return broken(r, "an enum without a name");
    while (*list)
        list = &(*list)->next;
    *list = enum_;
    return at_end(r, &reader);
}

/* A default is written as text whatever its type; that of bytes with its escapes. */
static cairn_err
read_default(struct reading *r, struct proto_field *field, cairn_str bytes)
{
    struct buf value = {0}, plain = {0};
    if (field->type == PROTO_BYTES) {
        buf_put_char(&plain, '"');
        buf_put_str(&plain, bytes);
        buf_put_char(&plain, '"');
        struct buf text = {0};
        proto_put_unquoted(&text, plain.failed ? (cairn_str){"", 0} : buf_str(&plain));
        proto_put_quoted(&value, buf_str(&text));
        value.failed |= text.failed || plain.failed;
        buf_free(&text);
        buf_free(&plain);
    } else if (field->type == PROTO_STRING) {
        proto_put_quoted(&value, bytes);
    } else {
        if (!proto_is_scalar(bytes))
            return broken(r, "a default that is none");
        buf_put_str(&value, bytes);
    }
    return add_option(r, &field->options, "default", &value);
}

/* Said only where it is not what everybody makes of the name. */
static cairn_err
read_json_name(struct reading *r, struct proto_field *field, cairn_str bytes)
{
    struct buf usual = {0}, value = {0};
    proto_put_json_name(&usual, field->name);
    bool same = cairn_str_equal(buf_str(&usual), bytes);
    buf_free(&usual);
    if (same)
        return CAIRN_OK;
    proto_put_quoted(&value, bytes);
    return add_option(r, &field->options, "json_name", &value);
}

static cairn_err
read_field(struct reading *r, cairn_str bytes, struct proto_message *message)
{
    struct proto_reader reader = reader_of(bytes);
    struct proto_item item;
    cairn_str fallback = {NULL, 0}, json_name = {NULL, 0};
    struct proto_field *field = arena_zalloc(&r->compile->schema->arena, sizeof *field), **end = &message->fields;
    if (!field)
        return proto_no_memory(r->compile);
    TRY(proto_count(r->compile));
    *field = (struct proto_field){.label = PROTO_OPTIONAL, .oneof = -1};
    while (proto_next(&reader, &item)) {
        switch (item.number) {
        case 1: TRY(keep_name(r, item.bytes, false, &field->name)); break;
        case 3: field->number = item.value > PROTO_NUMBER_MAX ? 0 : (uint32_t)item.value; break;
        case 4: field->label = item.value >= 1 && item.value <= 3 ? (enum proto_label)item.value : PROTO_OPTIONAL; break;
        case 5: field->type = item.value >= 1 && item.value < PROTO_TYPES ? (enum proto_type)item.value : PROTO_NAMED; break;
        case 6: TRY(keep_name(r, item.bytes.size && item.bytes.data[0] == '.' ? (cairn_str){item.bytes.data + 1, item.bytes.size - 1}
                                                                              : item.bytes, true, &field->type_name));
            if (item.bytes.data[0] == '.') /* with its dot: found by nothing else */
                TRY(keep(r, item.bytes, &field->type_name));
            break;
        case 7: fallback = item.bytes; break;
        case 8: TRY(read_options(r, item.bytes, PROTO_OF_FIELD, &field->options, NULL)); break;
        case 10: json_name = item.bytes; break;
        case 9: field->oneof = item.value < PROTO_THINGS_MAX ? (int32_t)item.value : PROTO_THINGS_MAX; break;
        case 17: field->is_optional = item.value != 0; break;
        }
    }
    if (field->type == PROTO_MESSAGE || field->type == PROTO_ENUM)
        field->type = PROTO_NAMED;
    if (!field->name.data || field->number == 0 || (field->type == PROTO_NAMED && !field->type_name.data))
        return broken(r, "a field without a name, a number or a type");
    if (field->number >= 19000 && field->number <= 19999)
        return broken(r, "a number that cannot be a field's");
    if (fallback.data)
        TRY(read_default(r, field, fallback));
    if (json_name.data)
        TRY(read_json_name(r, field, json_name));
    while (*end)
        end = &(*end)->next;
    *end = field;
    message->field_count++;
    return at_end(r, &reader);
}

/* ---- maps and oneofs, as text has them */

static cairn_str
last_part(cairn_str name)
{
    const char *dot = name.size ? memrchr(name.data, '.', name.size) : NULL;
    return dot ? (cairn_str){dot + 1, (size_t)(name.data + name.size - dot - 1)} : name;
}

/* The nested messages that are entries become maps of the fields that name them. */
static cairn_err
take_entries(struct reading *r, struct proto_message *message)
{
    for (struct proto_message **at = &message->messages; *at;) {
        struct proto_message *entry = *at;
        if (!entry->is_map_entry) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        struct proto_field *key = entry->fields, *value = key ? key->next : NULL;
        if (!value || value->next || key->number != 1 || value->number != 2 || key->type == PROTO_NAMED || value->type == PROTO_GROUP ||
            key->type == PROTO_GROUP || key->type == PROTO_BYTES || key->type == PROTO_FLOAT || key->type == PROTO_DOUBLE)
            return broken(r, "a map's entry that is none");
        for (struct proto_field *field = message->fields; field; field = field->next) {
            if (field->type != PROTO_NAMED || field->label != PROTO_REPEATED || !cairn_str_equal(last_part(field->type_name), entry->name))
                continue;
            struct proto_message *made = proto_make_entry(r->compile, field, key->type, value->type, value->type_name);
            if (!made)
                return proto_no_memory(r->compile);
            made->file = r->file;
            made->parent = message;
        }
    }
    return CAIRN_OK;
}

/* Oneofs that hold nothing but an optional field of proto3, or nothing, go; the others are counted anew. */
static cairn_err
take_oneofs(struct reading *r, struct proto_message *message)
{
    int32_t *now = arena_alloc(&r->compile->scratch, (message->oneof_count + 1) * sizeof *now);
    if (!now)
        return proto_no_memory(r->compile);
    for (size_t i = 0; i < message->oneof_count; i++)
        now[i] = -1;
    for (struct proto_field *field = message->fields; field; field = field->next) {
        if (field->oneof >= (int32_t)message->oneof_count)
            return broken(r, "a field of a oneof that is not there");
        if (field->oneof >= 0 && !field->is_optional)
            now[field->oneof] = 0;
    }
    struct proto_oneof **at = &message->oneofs;
    int32_t kept = 0;
    for (size_t i = 0, count = message->oneof_count; i < count; i++) {
        if (now[i] == 0) {
            now[i] = kept++;
            at = &(*at)->next;
        } else {
            *at = (*at)->next;
        }
    }
    message->oneof_count = (size_t)kept;
    for (struct proto_field *field = message->fields; field; field = field->next)
        field->oneof = field->oneof >= 0 && !field->is_optional ? now[field->oneof] : -1;
    return CAIRN_OK;
}

static cairn_err
read_oneof(struct reading *r, cairn_str bytes, struct proto_message *message)
{
    struct proto_reader reader = reader_of(bytes);
    struct proto_item item;
    struct proto_oneof *oneof = arena_zalloc(&r->compile->schema->arena, sizeof *oneof), **end = &message->oneofs;
    if (!oneof)
        return proto_no_memory(r->compile);
    TRY(proto_count(r->compile));
    while (proto_next(&reader, &item))
        if (item.number == 1)
            TRY(keep_name(r, item.bytes, false, &oneof->name));
    if (!oneof->name.data)
        return broken(r, "a oneof without a name");
    while (*end)
        end = &(*end)->next;
    *end = oneof;
    message->oneof_count++;
    return at_end(r, &reader);
}

static void
mark_groups(struct proto_message *message)
{
    for (struct proto_field *field = message->fields; field; field = field->next)
        for (struct proto_message *nested = message->messages; field->type == PROTO_GROUP && nested; nested = nested->next)
            nested->is_group |= cairn_str_equal(last_part(field->type_name), nested->name);
}

static cairn_err
read_message(struct reading *r, cairn_str bytes, const struct proto_message *parent, struct proto_message **list)
{
    struct proto_reader reader = reader_of(bytes);
    struct proto_item item;
    struct proto_message *message = arena_zalloc(&r->compile->schema->arena, sizeof *message);
    if (!message)
        return proto_no_memory(r->compile);
    TRY(proto_count(r->compile));
    if (++r->depth > PROTO_DEPTH_MAX)
        return broken(r, "messages nested too deep");
    *message = (struct proto_message){.file = r->file, .parent = parent, .number = r->compile->schema->message_count++};
    while (proto_next(&reader, &item)) {
        switch (item.number) {
        case 1: TRY(keep_name(r, item.bytes, false, &message->name)); break;
        case 2: TRY(read_field(r, item.bytes, message)); break;
        case 3: TRY(read_message(r, item.bytes, message, &message->messages)); break;
        case 4: TRY(read_enum(r, item.bytes, &message->enums)); break;
        case 5: TRY(read_range(r, item.bytes, -1, &message->extensions)); break;
        case 7: TRY(read_options(r, item.bytes, PROTO_OF_MESSAGE, &message->options, &message->is_map_entry)); break;
        case 8: TRY(read_oneof(r, item.bytes, message)); break;
        case 9: TRY(read_range(r, item.bytes, -1, &message->reserved)); break;
        case 10: TRY(read_reserved_name(r, item.bytes, &message->reserved_names)); break;
        }
    }
    r->depth--;
    if (!message->name.data)
        return broken(r, "a message without a name");
    mark_groups(message);
    TRY(take_entries(r, message));
    TRY(take_oneofs(r, message));
    while (*list)
        list = &(*list)->next;
    *list = message;
    return at_end(r, &reader);
}

static cairn_err
read_import(struct reading *r, cairn_str bytes)
{
    struct proto_import *import = arena_zalloc(&r->compile->schema->arena, sizeof *import), **end = &r->file->imports;
    if (!import)
        return proto_no_memory(r->compile);
    TRY(proto_count(r->compile));
    TRY(keep_plain(r, bytes, &import->name));
    while (*end)
        end = &(*end)->next;
    *end = import;
    return CAIRN_OK;
}

static cairn_err
mark_import(struct reading *r, uint64_t index, char kind)
{
    struct proto_import *import = r->file->imports;
    while (import && index-- > 0)
        import = import->next;
    if (import)
        import->kind = kind;
    return proto_count(r->compile);
}

cairn_err
proto_read_descriptor(struct proto_compile *compile, cairn_str bytes, struct proto_file *file)
{
    struct reading reading = {.compile = compile, .file = file}, *r = &reading;
    struct proto_reader reader = reader_of(bytes), first = reader;
    struct proto_item item;
    while (proto_next(&first, &item)) /* whether it is proto3 has to be known before its messages */
        if (item.number == 12 && item.wire == 2)
            file->proto3 = cairn_str_equal(item.bytes, CAIRN_STR("proto3"));
        else if (item.number == 14 || (item.number == 12 && cairn_str_equal(item.bytes, CAIRN_STR("editions"))))
            return broken(r, "editions are not known here");
    while (proto_next(&reader, &item)) {
        if (item.wire != 2 && item.number <= 8)
            return broken(r, "a field of another type");
        switch (item.number) {
        case 2: TRY(keep_name(r, item.bytes, true, &file->package)); break;
        case 3: TRY(read_import(r, item.bytes)); break;
        case 4: TRY(read_message(r, item.bytes, NULL, &file->messages)); break;
        case 5: TRY(read_enum(r, item.bytes, &file->enums)); break;
        case 8: TRY(read_options(r, item.bytes, PROTO_OF_FILE, &file->options, NULL)); break;
        case 10: TRY(mark_import(r, item.value, 'p')); break;
        case 11: TRY(mark_import(r, item.value, 'w')); break;
        }
    }
    return at_end(r, &reader);
}

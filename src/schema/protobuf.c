/* Compile .proto files: read the main one and what it imports, give every message and enum its full name, find what every
 * type's name means, and hold it to the rules of the language that data depends on.
 *
 * One owner thread; constant afterwards. */
#include <schema/protobuf_int.h>

#include <stdlib.h>
#include <strings.h>

const char *const proto_type_names[] = {NULL, "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool",
                                        "string", NULL, NULL, "bytes", "uint32", NULL, "sfixed32", "sfixed64", "sint32", "sint64"};

#define CUT(text) (int)((text).size > 80 ? 80 : (text).size), (text).data

cairn_err
proto_no_memory(struct proto_compile *compile)
{
    return error_set(compile->error, CAIRN_E_NOMEM, "no memory for the schema");
}

cairn_err
proto_count(struct proto_compile *compile)
{
    if (++compile->schema->things <= PROTO_THINGS_MAX)
        return CAIRN_OK;
    return error_set(compile->error, CAIRN_E_LIMIT, "more than %d messages, enums, fields and values", PROTO_THINGS_MAX);
}

cairn_err
proto_add_option(struct proto_compile *compile, struct proto_option **list, struct proto_option *option)
{
    size_t count = 0;
    for (; *list; list = &(*list)->next)
        if (++count == PROTO_OPTIONS_MAX)
            return error_set(compile->error, CAIRN_E_LIMIT, "more than %d options in one place", PROTO_OPTIONS_MAX);
    *list = option;
    return CAIRN_OK;
}

bool
proto_type_by_name(cairn_str name, enum proto_type *ret)
{
    for (int i = 1; i < PROTO_TYPES; i++)
        if (proto_type_names[i] && cairn_str_equal(name, cairn_cstr(proto_type_names[i]))) {
            *ret = (enum proto_type)i;
            return true;
        }
    return false;
}

const struct proto_option *
proto_find_option(const struct proto_option *options, const char *name)
{
    for (; options; options = options->next)
        if (cairn_str_equal(options->name, cairn_cstr(name)))
            return options;
    return NULL;
}

const struct proto_oneof *
proto_oneof_at(const struct proto_message *message, int32_t index)
{
    const struct proto_oneof *oneof = message->oneofs;
    while (oneof && index-- > 0)
        oneof = oneof->next;
    return oneof;
}

struct proto_field *
proto_find_field(const struct proto_message *message, uint32_t number)
{
    size_t low = 0, high = message->field_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (message->by_number[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < message->field_count && message->by_number[low]->number == number ? message->by_number[low] : NULL;
}

/* ---- names */

static cairn_str
join(struct arena *arena, cairn_str scope, cairn_str name)
{
    if (scope.size == 0)
        return name;
    char *full = arena_alloc(arena, scope.size + 1 + name.size);
    if (!full)
        return (cairn_str){NULL, 0};
    memcpy(full, scope.data, scope.size);
    full[scope.size] = '.';
    memcpy(full + scope.size + 1, name.data, name.size);
    return (cairn_str){full, scope.size + 1 + name.size};
}

static cairn_err
declare(struct proto_compile *compile, cairn_str full, struct proto_message *message, struct proto_enum *enum_)
{
    struct proto_named *named = arena_zalloc(&compile->scratch, sizeof *named);
    if (!full.data || !named)
        return proto_no_memory(compile);
    *named = (struct proto_named){message, enum_};
    if (js_map_get(&compile->names, full))
        return error_set(compile->error, CAIRN_E_INVALID, "%.*s is defined twice", CUT(full));
    return js_map_put(&compile->names, &compile->scratch, full, named) ? CAIRN_OK : proto_no_memory(compile);
}

/* Goes as deep as the text, PROTO_DEPTH_MAX. */
static cairn_err
declare_all(struct proto_compile *compile, struct proto_message *messages, struct proto_enum *enums, cairn_str scope)
{
    cairn_err err = CAIRN_OK;
    for (struct proto_enum *enum_ = enums; enum_ && err == CAIRN_OK; enum_ = enum_->next) {
        enum_->full = join(&compile->schema->arena, scope, enum_->name);
        err = declare(compile, enum_->full, NULL, enum_);
    }
    for (struct proto_message *message = messages; message && err == CAIRN_OK; message = message->next) {
        message->full = join(&compile->schema->arena, scope, message->name);
        err = declare(compile, message->full, message, NULL);
        if (err == CAIRN_OK)
            err = declare_all(compile, message->messages, message->enums, message->full);
    }
    return err;
}

/* From the inside out; ".a.b" is a.b and nothing else. */
static const struct proto_named *
find_type(struct proto_compile *compile, cairn_str name, cairn_str scope)
{
    if (name.size > 1 && name.data[0] == '.')
        return js_map_get(&compile->names, (cairn_str){name.data + 1, name.size - 1});
    for (;;) {
        cairn_str full = join(&compile->scratch, scope, name);
        const struct proto_named *named = full.size ? js_map_get(&compile->names, full) : NULL;
        if (named || scope.size == 0)
            return named;
        const char *dot = memrchr(scope.data, '.', scope.size);
        scope.size = dot ? (size_t)(dot - scope.data) : 0;
    }
}

/* Of a group: a message within the same one, called as the field is, but for capitals. */
static bool
is_group_of(const struct proto_message *message, const struct proto_field *field)
{
    const struct proto_message *group = field->message;
    return group && group->is_group && group->parent == message && group->name.size == field->name.size &&
           strncasecmp(group->name.data, field->name.data, field->name.size) == 0;
}

static cairn_err
resolve_field(struct proto_compile *compile, const struct proto_message *message, struct proto_field *field, cairn_str scope)
{
    if (field->oneof >= 0 && (field->label != PROTO_OPTIONAL || (field->message && field->message->is_map_entry)))
        return error_set(compile->error, CAIRN_E_INVALID, "line %u: %.*s is in a oneof, where nothing is repeated or required",
                         field->line, CUT(field->name));
    if (message->file && message->file->proto3 && (field->label == PROTO_REQUIRED || field->type == PROTO_GROUP))
        return error_set(compile->error, CAIRN_E_INVALID, "line %u: %.*s: proto3 has neither required fields nor groups",
                         field->line, CUT(field->name));
    if (field->type != PROTO_NAMED && field->type != PROTO_GROUP)
        return CAIRN_OK;
    const struct proto_named *named = find_type(compile, field->type_name, scope);
    if (!named)
        return error_set(compile->error, CAIRN_E_INVALID, "line %u: there is no type %.*s", field->line, CUT(field->type_name));
    field->message = named->message;
    field->enum_ = named->enum_;
    if (field->type == PROTO_NAMED)
        field->type = named->message ? PROTO_MESSAGE : PROTO_ENUM;
    else if (!is_group_of(message, field))
        return error_set(compile->error, CAIRN_E_INVALID, "line %u: %.*s is no group of that message", field->line,
                         CUT(field->type_name));
    return CAIRN_OK;
}

/* ---- rules */

static int
by_number(const void *a, const void *b)
{
    const struct proto_field *const *x = a, *const *y = b;
    return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

static cairn_err
check_reserved(struct proto_compile *compile, const struct proto_message *message, const struct proto_field *field)
{
    for (const struct proto_range *range = message->reserved; range; range = range->next)
        if (field->number >= range->first && field->number <= range->last)
            return error_set(compile->error, CAIRN_E_INVALID, "line %u: the number %u of %.*s is reserved in %.*s", field->line,
                             field->number, CUT(field->name), CUT(message->full));
    for (const struct proto_name *name = message->reserved_names; name; name = name->next)
        if (cairn_str_equal(name->text, field->name))
            return error_set(compile->error, CAIRN_E_INVALID, "line %u: the name %.*s is reserved in %.*s", field->line,
                             CUT(field->name), CUT(message->full));
    return CAIRN_OK;
}

static cairn_err
sort_fields(struct proto_compile *compile, struct proto_message *message)
{
    struct js_map names = {0};
    size_t count = 0;
    message->by_number = arena_alloc(&compile->schema->arena, (message->field_count + 1) * sizeof *message->by_number);
    if (!message->by_number)
        return proto_no_memory(compile);
    for (struct proto_field *field = message->fields; field; field = field->next) {
        message->by_number[count++] = field;
        if (js_map_get(&names, field->name))
            return error_set(compile->error, CAIRN_E_INVALID, "line %u: %.*s has two fields called %.*s", field->line,
                             CUT(message->full), CUT(field->name));
        if (!js_map_put(&names, &compile->scratch, field->name, field))
            return proto_no_memory(compile);
    }
    qsort(message->by_number, count, sizeof(struct proto_field *), by_number);
    for (size_t i = 1; i < count; i++)
        if (message->by_number[i]->number == message->by_number[i - 1]->number)
            return error_set(compile->error, CAIRN_E_INVALID, "line %u: %.*s has two fields of number %u",
                             message->by_number[i]->line, CUT(message->full), message->by_number[i]->number);
    return CAIRN_OK;
}

static cairn_err
check_default(struct proto_compile *compile, const struct proto_message *message, const struct proto_field *field)
{
    const struct proto_option *fallback = proto_find_option(field->options, "default");
    const struct proto_option *json_name = proto_find_option(field->options, "json_name");
    bool quoted = fallback && fallback->value.size && (fallback->value.data[0] == '"' || fallback->value.data[0] == '\'');
    bool text = field->type == PROTO_STRING || field->type == PROTO_BYTES;
    if (fallback && (field->message || (message->file && message->file->proto3) || quoted != text ||
                     (!text && !proto_is_scalar(fallback->value))))
        return error_set(compile->error, CAIRN_E_INVALID, "line %u: the default of %.*s is not of its type", field->line,
                         CUT(field->name));
    if (json_name && (json_name->value.size < 2 || (json_name->value.data[0] != '"' && json_name->value.data[0] != '\'')))
        return error_set(compile->error, CAIRN_E_INVALID, "line %u: the json_name of %.*s is no text", field->line,
                         CUT(field->name));
    return CAIRN_OK;
}

static cairn_err
finish_message(struct proto_compile *compile, struct proto_message *message, cairn_str scope)
{
    cairn_err err = sort_fields(compile, message);
    for (struct proto_field *field = message->fields; field && err == CAIRN_OK; field = field->next) {
        err = resolve_field(compile, message, field, scope);
        if (err == CAIRN_OK)
            err = check_reserved(compile, message, field);
        if (err == CAIRN_OK)
            err = check_default(compile, message, field);
        if (err == CAIRN_OK && field->message && field->message->is_map_entry)
            err = finish_message(compile, field->message, scope);
    }
    return err;
}

static int
by_value(const void *a, const void *b)
{
    const struct proto_value *const *x = a, *const *y = b;
    return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

static cairn_err
check_enum(struct proto_compile *compile, const struct proto_file *file, const struct proto_enum *enum_)
{
    const struct proto_option *alias = proto_find_option(enum_->options, "allow_alias");
    bool may_repeat = alias && cairn_str_equal(alias->value, CAIRN_STR("true"));
    size_t count = 0;
    for (const struct proto_value *value = enum_->values; value; value = value->next)
        count++;
    if (count == 0)
        return error_set(compile->error, CAIRN_E_INVALID, "the enum %.*s has no value", CUT(enum_->full));
    if (file->proto3 && enum_->values->number != 0)
        return error_set(compile->error, CAIRN_E_INVALID, "the first value of %.*s must be 0", CUT(enum_->full));
    const struct proto_value **sorted = arena_alloc(&compile->scratch, count * sizeof *sorted);
    if (!sorted)
        return proto_no_memory(compile);
    struct js_map names = {0};
    count = 0;
    for (struct proto_value *value = enum_->values; value; value = value->next) {
        sorted[count++] = value;
        if (js_map_get(&names, value->name))
            return error_set(compile->error, CAIRN_E_INVALID, "%.*s has %.*s twice", CUT(enum_->full), CUT(value->name));
        if (!js_map_put(&names, &compile->scratch, value->name, value))
            return proto_no_memory(compile);
    }
    qsort(sorted, count, sizeof *sorted, by_value);
    for (size_t i = 1; i < count && !may_repeat; i++)
        if (sorted[i]->number == sorted[i - 1]->number)
            return error_set(compile->error, CAIRN_E_INVALID, "%.*s has the number %d twice", CUT(enum_->full), sorted[i]->number);
    return CAIRN_OK;
}

static cairn_err
finish_all(struct proto_compile *compile, const struct proto_file *file, struct proto_message *messages,
           const struct proto_enum *enums)
{
    cairn_err err = CAIRN_OK;
    for (; enums && err == CAIRN_OK; enums = enums->next)
        err = check_enum(compile, file, enums);
    for (; messages && err == CAIRN_OK; messages = messages->next) {
        err = finish_message(compile, messages, messages->full);
        if (err == CAIRN_OK)
            err = finish_all(compile, file, messages->messages, messages->enums);
    }
    return err;
}

/* ---- files */

static struct proto_file *
find_file(const struct protobuf_schema *schema, cairn_str name)
{
    for (struct proto_file *file = schema->files; file; file = file->next)
        if (cairn_str_equal(file->name, name))
            return file;
    return NULL;
}

/* A descriptor begins with a name (0x0a) or a package (0x12): as base64 with 'C' or 'E', and without what only text has. */
static bool
is_descriptor(cairn_str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool base64 = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=' ||
                      c == '-' || c == '_';
        if (!base64)
            return false;
    }
    return text.size > 0;
}

static cairn_err load(struct proto_compile *compile, cairn_str name, cairn_str text, struct proto_file **ret);

static cairn_err
load_imports(struct proto_compile *compile, const struct proto_file *file)
{
    cairn_err err = CAIRN_OK;
    for (const struct proto_import *import = file->imports; import && err == CAIRN_OK; import = import->next) {
        cairn_str text = {NULL, 0};
        struct proto_file *loaded;
        if (find_file(compile->schema, import->name))
            continue;
        for (size_t i = 0; i < compile->reference_count && !text.data; i++)
            if (cairn_str_equal(compile->references[i].name, import->name))
                text = compile->references[i].text;
        if (!text.data && !proto_known(import->name, &text))
            return error_set(compile->error, CAIRN_E_INVALID, "it imports \"%.*s\", which is not among its references",
                             CUT(import->name));
        err = load(compile, import->name, text, &loaded);
    }
    return err;
}

/* Imports in a circle end here: a file is found before it is loaded a second time. */
static cairn_err
load(struct proto_compile *compile, cairn_str name, cairn_str text, struct proto_file **ret)
{
    struct buf bytes = {0};
    if (text.size > PROTO_TEXT_MAX)
        return error_set(compile->error, CAIRN_E_LIMIT, "a schema of %zu bytes; the limit is %zu", text.size, PROTO_TEXT_MAX);
    if (++compile->file_count > PROTO_FILES_MAX)
        return error_set(compile->error, CAIRN_E_LIMIT, "more than %d files", PROTO_FILES_MAX);
    struct proto_file *file = arena_zalloc(&compile->schema->arena, sizeof *file);
    if (!file || !(file->name = arena_copy(&compile->schema->arena, name)).data)
        return proto_no_memory(compile);
    file->next = compile->schema->files;
    compile->schema->files = file;
    bool descriptor = is_descriptor(text) && base64_get(&bytes, text);
    cairn_err err = bytes.failed ? proto_no_memory(compile)
                    : descriptor ? proto_read_descriptor(compile, buf_str(&bytes), file)
                                 : proto_parse(compile, text, file);
    buf_free(&bytes);
    if (name.size == 0)
        compile->schema->was_descriptor = descriptor;
    if (err == CAIRN_OK)
        err = load_imports(compile, file);
    if (err == CAIRN_OK)
        err = declare_all(compile, file->messages, file->enums, file->package);
    if (err == CAIRN_OK)
        err = finish_all(compile, file, file->messages, file->enums);
    *ret = file;
    return err;
}

cairn_err
protobuf_compile(cairn_str text, const struct schema_text *references, size_t reference_count, struct protobuf_schema **ret,
                 cairn_error *error)
{
    struct protobuf_schema *schema = calloc(1, sizeof *schema);
    if (!schema)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the schema");
    schema->arena.size_max = PROTO_ARENA_MAX;
    struct proto_compile compile = {.schema = schema, .scratch = {.size_max = PROTO_ARENA_MAX}, .references = references,
                                    .reference_count = reference_count, .error = error};
    cairn_err err = load(&compile, (cairn_str){"", 0}, text, &schema->main);
    arena_free(&compile.scratch);
    if (err == CAIRN_OK)
        *ret = schema;
    else
        protobuf_free(schema);
    return err;
}

void
protobuf_free(struct protobuf_schema *schema)
{
    if (!schema)
        return;
    arena_free(&schema->arena);
    free(schema);
}

size_t
protobuf_memory(const struct protobuf_schema *schema)
{
    return sizeof *schema + schema->arena.used_bytes;
}

bool
protobuf_was_descriptor(const struct protobuf_schema *schema)
{
    return schema->was_descriptor;
}

/* Parse an Avro schema: each place of its text becomes a node, each name a node that was made before.
 *
 * A name must have been defined earlier in the text, or in a reference. One owner thread; constant afterwards. */
#include <schema/avro_int.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const avro_type_names[] = {"null", "boolean", "int", "long", "float", "double", "bytes", "string",
                                       "record", "enum", "fixed", "array", "map", "union"};

struct parse {
    struct avro_schema *schema;
    struct arena scratch;
    struct avro_fitting fitting;
    struct js_map names;     /* full name → node */
    uint32_t document;
    cairn_error *error;
};

/* Where in the text: a list on the stack, for messages. */
struct place {
    const struct place *up;
    const char *keyword;
    size_t index; /* SIZE_MAX: none */
};

static void
put_place(struct buf *to, const struct place *place)
{
    if (!place)
        return;
    put_place(to, place->up);
    if (place->keyword)
        buf_printf(to, "/%s", place->keyword);
    if (place->index != SIZE_MAX)
        buf_printf(to, "/%zu", place->index);
}

__attribute__((format(printf, 4, 5))) static cairn_err
refuse(struct parse *parse, const struct place *place, cairn_err code, const char *format, ...)
{
    char message[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    struct buf text = {0};
    put_place(&text, place);
    cairn_err err = error_set(parse->error, code, "%.*s: %s", (int)(text.size > 200 ? 200 : text.size),
                              text.data ? text.data : "", message);
    buf_free(&text);
    return err;
}

static cairn_err
no_memory(struct parse *parse)
{
    return error_set(parse->error, CAIRN_E_NOMEM, "no memory for the schema");
}

/* ---- names */

cairn_str
avro_short_name(cairn_str full)
{
    const char *dot = full.size ? memrchr(full.data, '.', full.size) : NULL;
    return dot ? (cairn_str){dot + 1, (size_t)(full.data + full.size - dot - 1)} : full;
}

static cairn_str
space_of(cairn_str full)
{
    const char *dot = full.size ? memrchr(full.data, '.', full.size) : NULL;
    return dot ? (cairn_str){full.data, (size_t)(dot - full.data)} : (cairn_str){"", 0};
}

cairn_str
avro_full_name(struct arena *arena, cairn_str name, cairn_str space)
{
    if (space.size == 0 || memchr(name.data, '.', name.size))
        return name.size && name.data[0] == '.' ? (cairn_str){name.data + 1, name.size - 1} : name;
    char *full = arena_alloc(arena, space.size + 1 + name.size);
    if (!full)
        return (cairn_str){NULL, 0};
    memcpy(full, space.data, space.size);
    full[space.size] = '.';
    memcpy(full + space.size + 1, name.data, name.size);
    return (cairn_str){full, space.size + 1 + name.size};
}

static bool
is_name(cairn_str text, bool dots)
{
    bool first = true;
    if (text.size == 0 || text.size > AVRO_NAME_MAX)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (dots && c == '.' && !first)
            first = true;
        else if (letter || (!first && c >= '0' && c <= '9'))
            first = false;
        else
            return false;
    }
    return !first;
}

static bool
primitive(cairn_str name, enum avro_type *ret)
{
    for (int i = 0; i < AVRO_PRIMITIVES; i++)
        if (cairn_str_equal(name, cairn_cstr(avro_type_names[i]))) {
            *ret = (enum avro_type)i;
            return true;
        }
    return false;
}

/* ---- nodes */

static struct avro_node *
make_node(struct parse *parse, enum avro_type type, struct json source)
{
    struct avro_node *node = arena_zalloc(&parse->schema->arena, sizeof *node);
    if (!node)
        return NULL;
    *node = (struct avro_node){.type = type, .number = parse->schema->node_count++, .document = parse->document, .source = source};
    return node;
}

static cairn_err parse_type(struct parse *parse, struct json value, cairn_str space, const struct place *place,
                            struct avro_node **ret);

static cairn_err
take_text(struct parse *parse, struct json value, const char *what, const struct place *place, cairn_str *ret)
{
    if (value.type != JSON_STRING)
        return refuse(parse, place, CAIRN_E_INVALID, "%s must be a string", what);
    *ret = js_text(value, &parse->schema->arena);
    return ret->data ? CAIRN_OK : no_memory(parse);
}

/* `space` not NULL: they are type names of that namespace. */
static cairn_err
take_names(struct parse *parse, struct json list, const char *what, const cairn_str *space, const struct place *place,
           cairn_str **ret, size_t *ret_count)
{
    struct json item;
    if (list.type == JSON_NONE)
        return CAIRN_OK;
    if (list.type != JSON_ARRAY)
        return refuse(parse, place, CAIRN_E_INVALID, "%s must be a list of names", what);
    size_t count = json_count(list);
    *ret = arena_zalloc(&parse->schema->arena, (count + 1) * sizeof **ret);
    if (!*ret)
        return no_memory(parse);
    for (struct json_walk walk = json_walk(list); json_next(&walk, NULL, &item);) {
        cairn_str name;
        cairn_err err = take_text(parse, item, "a name", place, &name);
        if (err != CAIRN_OK)
            return err;
        if (!is_name(name, space != NULL))
            return refuse(parse, place, CAIRN_E_INVALID, "%s: \"%.*s\" is no name", what,
                          (int)(name.size > 80 ? 80 : name.size), name.data);
        if (space)
            name = avro_full_name(&parse->schema->arena, name, *space);
        if (!name.data)
            return no_memory(parse);
        (*ret)[(*ret_count)++] = name;
    }
    return CAIRN_OK;
}

static cairn_err
find_named(struct parse *parse, cairn_str name, cairn_str space, const struct place *place, struct avro_node **ret)
{
    enum avro_type type;
    if (primitive(name, &type)) {
        *ret = make_node(parse, type, (struct json){JSON_NONE, {NULL, 0}});
        return *ret ? CAIRN_OK : no_memory(parse);
    }
    cairn_str full = avro_full_name(&parse->scratch, name, space);
    if (!full.data)
        return no_memory(parse);
    *ret = full.size ? js_map_get(&parse->names, full) : NULL;
    if (!*ret && name.size) /* a short name may also be one without a namespace */
        *ret = js_map_get(&parse->names, name);
    return *ret ? CAIRN_OK
                : refuse(parse, place, CAIRN_E_INVALID, "there is no type \"%.*s\" before here",
                         (int)(full.size > 120 ? 120 : full.size), full.data);
}

/* Name, aliases, and where the names within it stand. */
static cairn_err
take_name(struct parse *parse, struct avro_node *node, cairn_str space, const struct place *place, cairn_str *ret_space)
{
    cairn_str name = {NULL, 0}, own = {NULL, 0};
    struct json given = json_get(node->source, "namespace");
    enum avro_type type;
    cairn_err err = take_text(parse, json_get(node->source, "name"), "name", place, &name);
    if (err == CAIRN_OK && given.type != JSON_NONE && given.type != JSON_NULL) {
        err = take_text(parse, given, "namespace", place, &own);
        space = own;
    }
    if (err != CAIRN_OK)
        return err;
    if (!is_name(name, true) || (space.size && !is_name(space, true)))
        return refuse(parse, place, CAIRN_E_INVALID, "\"%.*s\" is no name", (int)(name.size > 80 ? 80 : name.size), name.data);
    node->name = avro_full_name(&parse->schema->arena, name, space);
    if (!node->name.data)
        return no_memory(parse);
    *ret_space = space_of(node->name);
    if (ret_space->size == 0 && primitive(node->name, &type))
        return refuse(parse, place, CAIRN_E_INVALID, "%.*s is the name of a primitive type", (int)name.size, name.data);
    if (js_map_get(&parse->names, node->name))
        return refuse(parse, place, CAIRN_E_INVALID, "the type %.*s is defined twice",
                      (int)(node->name.size > 120 ? 120 : node->name.size), node->name.data);
    if (!js_map_put(&parse->names, &parse->scratch, node->name, node))
        return no_memory(parse);
    return take_names(parse, json_get(node->source, "aliases"), "aliases", ret_space, place, &node->aliases,
                      &node->alias_count);
}

/* ---- fields */

static cairn_err
parse_field(struct parse *parse, struct avro_field *field, cairn_str space, const struct place *place)
{
    if (field->source.type != JSON_OBJECT)
        return refuse(parse, place, CAIRN_E_INVALID, "a field must be an object");
    cairn_err err = take_text(parse, json_get(field->source, "name"), "a field's name", place, &field->name);
    if (err == CAIRN_OK && !is_name(field->name, false))
        err = refuse(parse, place, CAIRN_E_INVALID, "\"%.*s\" is no name of a field",
                     (int)(field->name.size > 80 ? 80 : field->name.size), field->name.data);
    if (err == CAIRN_OK)
        err = take_names(parse, json_get(field->source, "aliases"), "aliases", NULL, place, &field->aliases,
                         &field->alias_count);
    struct json type = json_get(field->source, "type");
    if (err == CAIRN_OK && type.type == JSON_NONE)
        err = refuse(parse, place, CAIRN_E_INVALID, "the field %.*s has no type",
                     (int)(field->name.size > 80 ? 80 : field->name.size), field->name.data);
    struct place below = {place, "type", SIZE_MAX};
    if (err == CAIRN_OK)
        err = parse_type(parse, type, space, &below, &field->type);
    field->fallback = json_get(field->source, "default");
    return err;
}

static cairn_err
parse_fields(struct parse *parse, struct avro_node *node, cairn_str space, const struct place *place)
{
    struct json list = json_get(node->source, "fields"), item;
    struct js_map seen = {0};
    if (list.type != JSON_ARRAY)
        return refuse(parse, place, CAIRN_E_INVALID, "a record must have a list \"fields\"");
    node->fields = arena_zalloc(&parse->schema->arena, (json_count(list) + 1) * sizeof *node->fields);
    if (!node->fields)
        return no_memory(parse);
    for (struct json_walk walk = json_walk(list); json_next(&walk, NULL, &item);) {
        struct avro_field *field = &node->fields[node->field_count];
        struct place here = {place, "fields", node->field_count};
        field->source = item;
        cairn_err err = parse_field(parse, field, space, &here);
        if (err != CAIRN_OK)
            return err;
        if (js_map_get(&seen, field->name))
            return refuse(parse, &here, CAIRN_E_INVALID, "two fields are called %.*s",
                          (int)(field->name.size > 80 ? 80 : field->name.size), field->name.data);
        if (!js_map_put(&seen, &parse->scratch, field->name, field))
            return no_memory(parse);
        node->field_count++;
    }
    /* Held to their types only now: a default may be of a record that its own field is within. */
    for (size_t i = 0; i < node->field_count; i++) {
        struct place here = {place, "fields", i};
        struct avro_field *field = &node->fields[i];
        if (field->fallback.type == JSON_NONE || avro_default_fits(&parse->fitting, field))
            continue;
        return parse->fitting.too_many
                   ? refuse(parse, &here, CAIRN_E_LIMIT, "the defaults take more than %d steps to check", AVRO_STEPS_MAX)
                   : refuse(parse, &here, CAIRN_E_INVALID, "the default of %.*s is not of its type",
                            (int)(field->name.size > 80 ? 80 : field->name.size), field->name.data);
    }
    return CAIRN_OK;
}

static cairn_err
parse_symbols(struct parse *parse, struct avro_node *node, const struct place *place)
{
    struct js_map seen = {0};
    struct json list = json_get(node->source, "symbols");
    if (list.type != JSON_ARRAY)
        return refuse(parse, place, CAIRN_E_INVALID, "an enum must have a list \"symbols\"");
    cairn_err err = take_names(parse, list, "symbols", NULL, place, &node->symbols, &node->symbol_count);
    for (size_t i = 0; err == CAIRN_OK && i < node->symbol_count; i++) {
        if (js_map_get(&seen, node->symbols[i]))
            err = refuse(parse, place, CAIRN_E_INVALID, "the symbol %.*s is there twice",
                         (int)(node->symbols[i].size > 80 ? 80 : node->symbols[i].size), node->symbols[i].data);
        else if (!js_map_put(&seen, &parse->scratch, node->symbols[i], node))
            err = no_memory(parse);
    }
    node->symbol_default = json_get(node->source, "default");
    if (err == CAIRN_OK && node->symbol_default.type != JSON_NONE &&
        avro_symbol(node, js_text(node->symbol_default, &parse->scratch)) < 0)
        err = refuse(parse, place, CAIRN_E_INVALID, "the default is none of the symbols");
    return err;
}

/* ---- types */

static cairn_err
parse_union(struct parse *parse, struct json list, cairn_str space, const struct place *place, struct avro_node **ret)
{
    struct json item;
    struct avro_node *node = make_node(parse, AVRO_UNION, (struct json){JSON_NONE, {NULL, 0}});
    size_t count = json_count(list);
    if (node)
        node->branches = arena_zalloc(&parse->schema->arena, (count + 1) * sizeof *node->branches);
    if (!node || !node->branches)
        return no_memory(parse);
    struct js_map seen = {0};
    for (struct json_walk walk = json_walk(list); json_next(&walk, NULL, &item);) {
        struct place here = {place, NULL, node->branch_count};
        struct avro_node *branch = NULL;
        cairn_err err = parse_type(parse, item, space, &here, &branch);
        if (err != CAIRN_OK)
            return err;
        if (branch->type == AVRO_UNION)
            return refuse(parse, &here, CAIRN_E_INVALID, "a union directly within a union");
        cairn_str key = branch->name.size ? branch->name : cairn_cstr(avro_type_names[branch->type]);
        if (js_map_get(&seen, key))
            return refuse(parse, &here, CAIRN_E_INVALID, "the union has %.*s twice", (int)(key.size > 120 ? 120 : key.size), key.data);
        if (!js_map_put(&seen, &parse->scratch, key, branch))
            return no_memory(parse);
        node->branches[node->branch_count++] = branch;
    }
    *ret = node;
    return CAIRN_OK;
}

static cairn_err
parse_item(struct parse *parse, struct avro_node *node, cairn_str space, const struct place *place)
{
    const char *keyword = node->type == AVRO_ARRAY ? "items" : "values";
    struct json item = json_get(node->source, keyword);
    struct place here = {place, keyword, SIZE_MAX};
    if (item.type == JSON_NONE)
        return refuse(parse, place, CAIRN_E_INVALID, "%s without \"%s\"", avro_type_names[node->type], keyword);
    return parse_type(parse, item, space, &here, &node->item);
}

static cairn_err
parse_complex(struct parse *parse, struct avro_node *node, cairn_str space, const struct place *place)
{
    cairn_str inner = space;
    cairn_err err = CAIRN_OK;
    if (node->type == AVRO_RECORD || node->type == AVRO_ENUM || node->type == AVRO_FIXED)
        err = take_name(parse, node, space, place, &inner);
    if (err != CAIRN_OK)
        return err;
    switch (node->type) {
    case AVRO_RECORD: return parse_fields(parse, node, inner, place);
    case AVRO_ENUM: return parse_symbols(parse, node, place);
    case AVRO_FIXED:
        if (!json_u64(json_get(node->source, "size"), &node->size) || node->size > INT32_MAX)
            return refuse(parse, place, CAIRN_E_INVALID, "fixed must have a whole number \"size\"");
        return CAIRN_OK;
    default: return parse_item(parse, node, space, place);
    }
}

static cairn_err
parse_object(struct parse *parse, struct json value, cairn_str space, const struct place *place, struct avro_node **ret)
{
    struct json type = json_get(value, "type");
    struct place here = {place, "type", SIZE_MAX};
    if (type.type == JSON_OBJECT || type.type == JSON_ARRAY)
        return parse_type(parse, type, space, &here, ret);
    cairn_str name;
    cairn_err err = take_text(parse, type, "type", place, &name);
    if (err != CAIRN_OK)
        return err;
    enum avro_type known = AVRO_NULL;
    bool found = primitive(name, &known);
    for (int i = AVRO_PRIMITIVES; !found && i < AVRO_UNION; i++)
        if (cairn_str_equal(name, cairn_cstr(avro_type_names[i]))) {
            known = (enum avro_type)i;
            found = true;
        }
    if (!found && cairn_str_equal(name, CAIRN_STR("error"))) {
        known = AVRO_RECORD;
        found = true;
    }
    if (!found)
        return find_named(parse, name, space, &here, ret);
    struct avro_node *node = make_node(parse, known, value);
    if (!node)
        return no_memory(parse);
    *ret = node;
    return known < AVRO_PRIMITIVES ? CAIRN_OK : parse_complex(parse, node, space, place);
}

/* Goes as deep as the text, which json_check() bounds. */
static cairn_err
parse_type(struct parse *parse, struct json value, cairn_str space, const struct place *place, struct avro_node **ret)
{
    if (parse->schema->node_count >= AVRO_NODES_MAX)
        return refuse(parse, NULL, CAIRN_E_LIMIT, "more than %d types", AVRO_NODES_MAX);
    cairn_str name;
    cairn_err err;
    switch (value.type) {
    case JSON_STRING:
        err = take_text(parse, value, "type", place, &name);
        return err == CAIRN_OK ? find_named(parse, name, space, place, ret) : err;
    case JSON_ARRAY: return parse_union(parse, value, space, place, ret);
    case JSON_OBJECT: return parse_object(parse, value, space, place, ret);
    default: return refuse(parse, place, CAIRN_E_INVALID, "a type must be a name, an object or a list");
    }
}

/* A text that is only a name needs no quotes: clients send "string" as well as "\"string\"". */
static cairn_err
parse_document(struct parse *parse, cairn_str text)
{
    struct json value;
    enum avro_type type;
    if (text.size > AVRO_TEXT_MAX)
        return error_set(parse->error, CAIRN_E_LIMIT, "a schema of %zu bytes; the limit is %zu", text.size, AVRO_TEXT_MAX);
    cairn_str copy = arena_copy(&parse->schema->arena, text);
    if (!copy.data)
        return no_memory(parse);
    if (primitive(copy, &type)) {
        parse->schema->root = make_node(parse, type, (struct json){JSON_NONE, {NULL, 0}});
        return parse->schema->root ? CAIRN_OK : no_memory(parse);
    }
    cairn_err err = json_check(copy, &value, parse->error);
    return err == CAIRN_OK ? parse_type(parse, value, (cairn_str){"", 0}, NULL, &parse->schema->root) : err;
}

cairn_err
avro_compile(cairn_str text, const cairn_str *references, size_t reference_count, struct avro_schema **ret, cairn_error *error)
{
    struct avro_schema *schema = calloc(1, sizeof *schema);
    if (!schema)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the schema");
    schema->arena.size_max = AVRO_ARENA_MAX;
    struct parse parse = {.schema = schema, .scratch = {.size_max = AVRO_ARENA_MAX}, .error = error};
    parse.fitting.arena = &parse.scratch;
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; i < reference_count && err == CAIRN_OK; i++, parse.document++)
        err = parse_document(&parse, references[i]);
    if (err == CAIRN_OK)
        err = parse_document(&parse, text);
    schema->document_count = parse.document + 1;
    arena_free(&parse.scratch);
    if (err == CAIRN_OK)
        *ret = schema;
    else
        avro_free(schema);
    return err;
}

void
avro_free(struct avro_schema *schema)
{
    if (!schema)
        return;
    arena_free(&schema->arena);
    free(schema);
}

size_t
avro_memory(const struct avro_schema *schema)
{
    return sizeof *schema + schema->arena.used_bytes;
}

/* JSON Schema → TypeScript.
 *
 * A schema is rendered as a type expression where it stands. What a local reference leads to becomes a type with a name of
 * its own (PlaceOrder_Address), written after the type that refers to it, once; so recursive schemas are recursive types. */
#include "types_ts.h"

#include <base/error.h>
#include <base/json.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 48
#define TEXT_MAX ((size_t)4 << 20)
#define REFERENCES_MAX 1000
#define PROPERTIES_MAX 2000 /* of one object; beyond it nobody reads the type */

struct reference {
    cairn_str pointer; /* "#/$defs/Address" without the '#' */
    char name[160];
};

struct render {
    struct buf *to;
    struct arena *arena;
    struct json root;
    const char *root_name;
    struct reference *references; /* REFERENCES_MAX */
    size_t reference_count;
    size_t size_max;
};

static void put(struct render *render, const char *text) { buf_put_str(render->to, cairn_cstr(text)); }

static void
put_indent(struct render *render, int depth)
{
    for (int i = 0; i < depth; i++)
        put(render, "  ");
}

static bool
is_identifier(cairn_str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i], lower = (char)(c | 32);
        if (!((lower >= 'a' && lower <= 'z') || c == '_' || c == '$' || (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return text.size > 0;
}

/* Letters, digits and '_' of the text, into a name. */
static void
add_to_name(char *name, size_t capacity, cairn_str text)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < text.size && size + 1 < capacity; i++) {
        char c = text.data[i], lower = (char)(c | 32);
        bool plain = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9' && size > 0);
        name[size++] = plain ? c : '_';
    }
    name[size] = 0;
}

/* A comment from a description; nothing in it can end it. */
static void
put_description(struct render *render, struct json schema, int depth)
{
    cairn_str text = json_string(json_get(schema, "description"), render->arena);
    if (!text.size)
        return;
    put_indent(render, depth);
    put(render, "/** ");
    for (size_t i = 0; i < text.size && i < 500; i++) {
        char c = text.data[i];
        if (c == '/' && i > 0 && text.data[i - 1] == '*')
            buf_put_char(render->to, ' ');
        buf_put_char(render->to, (unsigned char)c < 0x20 ? ' ' : c);
    }
    put(render, " */\n");
}

/* ---- references */

/* One step of a JSON pointer; JSON_NONE when there is nothing. */
static struct json
step_into(struct render *render, struct json at, cairn_str token)
{
    struct json_walk walk = json_walk(at);
    struct json name, item, none = {JSON_NONE, {NULL, 0}};
    char plain[256];
    size_t size = 0;
    for (size_t i = 0; i < token.size && size < sizeof plain; i++) {
        bool escape = token.data[i] == '~' && i + 1 < token.size;
        plain[size++] = !escape ? token.data[i] : token.data[++i] == '1' ? '/' : '~';
    }
    uint64_t index = 0;
    while (json_next(&walk, &name, &item)) {
        if (at.type == JSON_OBJECT && cairn_str_equal(json_string(name, render->arena), (cairn_str){plain, size}))
            return item;
        char digits[24];
        if (at.type == JSON_ARRAY && (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)index++) == size &&
            memcmp(digits, plain, size) == 0)
            return item;
    }
    return none;
}

static struct json
resolve(struct render *render, cairn_str pointer)
{
    struct json at = render->root;
    const char *from = pointer.data, *end = from + pointer.size;
    while (from < end && at.type != JSON_NONE) {
        const char *slash = memchr(from + 1, '/', (size_t)(end - from - 1));
        const char *to = slash ? slash : end;
        at = step_into(render, at, (cairn_str){from + 1, (size_t)(to - from - 1)});
        from = to;
    }
    return at;
}

static bool
name_taken(const struct render *render, const char *name)
{
    for (size_t i = 0; i < render->reference_count; i++)
        if (strcmp(render->references[i].name, name) == 0)
            return true;
    return false;
}

static void
put_reference(struct render *render, cairn_str text)
{
    if (text.size == 0 || text.data[0] != '#' || (text.size > 1 && text.data[1] != '/')) {
        put(render, "unknown");
        return;
    }
    cairn_str pointer = {text.data + 1, text.size - 1};
    if (pointer.size == 0) {
        put(render, render->root_name);
        return;
    }
    for (size_t i = 0; i < render->reference_count; i++)
        if (cairn_str_equal(render->references[i].pointer, pointer)) {
            put(render, render->references[i].name);
            return;
        }
    if (render->reference_count == REFERENCES_MAX || resolve(render, pointer).type == JSON_NONE) {
        put(render, "unknown");
        return;
    }
    struct reference next = {.pointer = pointer};
    const char *last = pointer.data + pointer.size;
    while (last > pointer.data && last[-1] != '/')
        last--;
    snprintf(next.name, sizeof next.name - 8, "%s_", render->root_name);
    add_to_name(next.name, sizeof next.name - 8, (cairn_str){last, (size_t)(pointer.data + pointer.size - last)});
    size_t size = strlen(next.name);
    for (unsigned i = 2; name_taken(render, next.name) && i < REFERENCES_MAX; i++)
        snprintf(next.name + size, sizeof next.name - size, "_%u", i);
    render->references[render->reference_count++] = next;
    put(render, next.name);
}

/* ---- types */

static void put_type(struct render *render, struct json schema, int depth);

static void
put_literal(struct render *render, struct json value)
{
    switch (value.type) {
    case JSON_STRING:
    case JSON_NUMBER:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL: buf_put_str(render->to, value.raw); break;
    default: put(render, "unknown");
    }
}

static void
put_union(struct render *render, struct json list, int depth, const char *between, bool literals)
{
    struct json_walk walk = json_walk(list);
    struct json name, item;
    size_t count = 0;
    buf_put_char(render->to, '(');
    while (json_next(&walk, &name, &item)) {
        if (count++)
            put(render, between);
        if (literals)
            put_literal(render, item);
        else
            put_type(render, item, depth + 1);
    }
    put(render, count ? ")" : "never)");
}

static bool
is_required(struct json schema, cairn_str name, struct arena *arena)
{
    struct json_walk walk = json_walk(json_get(schema, "required"));
    struct json none, item;
    while (json_next(&walk, &none, &item))
        if (cairn_str_equal(json_string(item, arena), name))
            return true;
    return false;
}

static void
put_properties(struct render *render, struct json schema, struct json properties, int depth)
{
    struct json_walk walk = json_walk(properties);
    struct json name, item;
    put(render, "{\n");
    while (json_next(&walk, &name, &item)) {
        cairn_str text = json_string(name, render->arena);
        put_description(render, item, depth + 1);
        put_indent(render, depth + 1);
        if (text.data && is_identifier(text))
            buf_put_str(render->to, text);
        else
            buf_put_str(render->to, name.raw);
        put(render, is_required(schema, text, render->arena) ? ": " : "?: ");
        put_type(render, item, depth + 1);
        put(render, ";\n");
    }
    struct json more = json_get(schema, "additionalProperties");
    if (more.type == JSON_OBJECT) { /* its type would have to hold for the named ones too */
        put_indent(render, depth + 1);
        put(render, "[name: string]: unknown;\n");
    }
    put_indent(render, depth);
    put(render, "}");
}

static void
put_object(struct render *render, struct json schema, int depth)
{
    struct json properties = json_get(schema, "properties");
    size_t count = properties.type == JSON_OBJECT ? json_count(properties) : 0;
    if (count > 0 && count <= PROPERTIES_MAX) {
        put_properties(render, schema, properties, depth);
        return;
    }
    struct json more = json_get(schema, "additionalProperties"), patterns = json_get(schema, "patternProperties");
    if (more.type == JSON_FALSE && patterns.type != JSON_OBJECT) {
        put(render, "Record<string, never>");
    } else if (more.type == JSON_OBJECT && patterns.type != JSON_OBJECT) {
        put(render, "Record<string, ");
        put_type(render, more, depth + 1);
        put(render, ">");
    } else {
        put(render, "Record<string, unknown>");
    }
}

static void
put_tuple(struct render *render, struct json items, struct json rest, int depth)
{
    struct json_walk walk = json_walk(items);
    struct json name, item;
    size_t count = 0;
    buf_put_char(render->to, '[');
    while (json_next(&walk, &name, &item)) {
        if (count++)
            put(render, ", ");
        put_type(render, item, depth + 1);
        buf_put_char(render->to, '?'); /* shorter ones are valid */
    }
    if (rest.type != JSON_FALSE) {
        put(render, count ? ", ...(" : "...(");
        put_type(render, rest, depth + 1);
        put(render, ")[]");
    }
    buf_put_char(render->to, ']');
}

static void
put_array(struct render *render, struct json schema, int depth)
{
    struct json first = json_get(schema, "prefixItems"), items = json_get(schema, "items");
    if (first.type == JSON_ARRAY) {
        put_tuple(render, first, items, depth);
    } else if (items.type == JSON_ARRAY) { /* draft 7 */
        put_tuple(render, items, json_get(schema, "additionalItems"), depth);
    } else if (items.type == JSON_NONE || items.type == JSON_TRUE) {
        put(render, "unknown[]");
    } else {
        buf_put_char(render->to, '(');
        put_type(render, items, depth + 1);
        put(render, ")[]");
    }
}

static void
put_named_type(struct render *render, struct json schema, struct json type, int depth)
{
    if (json_string_is(type, "object"))
        put_object(render, schema, depth);
    else if (json_string_is(type, "array"))
        put_array(render, schema, depth);
    else if (json_string_is(type, "integer") || json_string_is(type, "number"))
        put(render, "number");
    else if (json_string_is(type, "string") || json_string_is(type, "boolean") || json_string_is(type, "null"))
        buf_put(render->to, type.raw.data + 1, type.raw.size - 2);
    else
        put(render, "unknown");
}

/* By "type", or by what the keywords speak of. False: nothing is said. */
static bool
put_by_type(struct render *render, struct json schema, int depth)
{
    struct json type = json_get(schema, "type");
    if (type.type == JSON_STRING) {
        put_named_type(render, schema, type, depth);
    } else if (type.type == JSON_ARRAY) {
        struct json_walk walk = json_walk(type);
        struct json name, item;
        for (size_t count = 0; json_next(&walk, &name, &item); count++) {
            put(render, count ? " | " : "");
            put_named_type(render, schema, item, depth);
        }
        if (json_count(type) == 0)
            put(render, "never");
    } else if (json_get(schema, "properties").type == JSON_OBJECT) {
        put_object(render, schema, depth);
    } else if (json_get(schema, "items").type != JSON_NONE || json_get(schema, "prefixItems").type == JSON_ARRAY) {
        put_array(render, schema, depth);
    } else {
        return false;
    }
    return true;
}

/* Everything that a schema says holds at once: an intersection. */
static void
put_schema(struct render *render, struct json schema, int depth)
{
    static const struct { const char *keyword, *between; bool literals; } lists[] = {
        {"enum", " | ", true}, {"oneOf", " | ", false}, {"anyOf", " | ", false}, {"allOf", " & ", false}};
    size_t from = render->to->size, parts = 0;
    struct json reference = json_get(schema, "$ref"), constant = json_get(schema, "const");
    if (constant.type != JSON_NONE) { /* says all there is to say */
        put_literal(render, constant);
        return;
    }
    if (json_get(schema, "enum").type == JSON_ARRAY) {
        put_union(render, json_get(schema, "enum"), depth, " | ", true);
        return;
    }
    if (reference.type == JSON_STRING) {
        put_reference(render, json_string(reference, render->arena));
        parts++;
    }
    for (size_t i = 1; i < sizeof lists / sizeof lists[0]; i++) {
        struct json list = json_get(schema, lists[i].keyword);
        if (list.type != JSON_ARRAY)
            continue;
        if (parts++)
            put(render, " & ");
        put_union(render, list, depth, lists[i].between, lists[i].literals);
    }
    size_t size = render->to->size;
    if (parts)
        put(render, " & (");
    if (put_by_type(render, schema, depth)) {
        put(render, parts++ ? ")" : "");
    } else if (parts) {
        render->to->size = size;
    }
    if (parts == 0 && render->to->size == from)
        put(render, "unknown");
}

static void
put_type(struct render *render, struct json schema, int depth)
{
    if (schema.type == JSON_FALSE) {
        put(render, "never");
        return;
    }
    if (schema.type != JSON_OBJECT || depth > DEPTH_MAX || render->to->size > render->size_max) {
        put(render, "unknown");
        return;
    }
    bool nullable = json_get(schema, "nullable").type == JSON_TRUE;
    put(render, nullable ? "(" : "");
    put_schema(render, schema, depth);
    put(render, nullable ? ") | null" : "");
}

static void
put_declaration(struct render *render, const char *name, struct json schema)
{
    static const char *const composite[] = {"$ref", "oneOf", "anyOf", "allOf", "enum", "const", NULL};
    bool interface = json_get(schema, "properties").type == JSON_OBJECT && json_count(json_get(schema, "properties")) &&
                     json_get(schema, "nullable").type != JSON_TRUE &&
                     (json_get(schema, "type").type == JSON_NONE || json_string_is(json_get(schema, "type"), "object"));
    for (int i = 0; composite[i]; i++)
        interface = interface && json_get(schema, composite[i]).type == JSON_NONE;
    put(render, "\n");
    put_description(render, schema, 0);
    put(render, interface ? "export interface " : "export type ");
    put(render, name);
    put(render, interface ? " " : " = ");
    put_type(render, schema, 0);
    put(render, interface ? "\n" : ";\n");
}

/* ---- the file */

/* The name of a source's type; an event that is called like a command gets "Event" after it. */
static void
type_name(const struct lua_type_source *sources, size_t count, size_t index, char name[128])
{
    name[0] = 0;
    add_to_name(name, 120, sources[index].name);
    bool twice = strcmp(name, "Commands") == 0 || strcmp(name, "Events") == 0 || strcmp(name, "Decider") == 0;
    for (size_t i = 0; i < count; i++)
        twice = twice || (sources[i].kind == LUA_TYPE_COMMAND && sources[index].kind == LUA_TYPE_EVENT &&
                          cairn_str_equal(sources[i].name, sources[index].name));
    if (twice)
        strcat(name, sources[index].kind == LUA_TYPE_EVENT ? "Event" : "Command"); /* 120 + 7 + 1 */
}

static cairn_err
put_source(const struct lua_type_source *sources, size_t count, size_t index, struct render *render, cairn_error *error)
{
    char name[128];
    const struct lua_type_source *source = &sources[index];
    cairn_error inner = {.code = CAIRN_OK};
    type_name(sources, count, index, name);
    render->root = (struct json){JSON_TRUE, CAIRN_STR("true")};
    render->root_name = name;
    render->reference_count = 0;
    if (source->schema.size) {
        cairn_err err = json_check(source->schema, &render->root, &inner);
        if (err != CAIRN_OK)
            return error_set(error, err, "schema of %.*s: %s", (int)source->name.size, source->name.data, inner.detail);
    }
    put_declaration(render, name, render->root);
    for (size_t i = 0; i < render->reference_count; i++) /* which grows meanwhile */
        put_declaration(render, render->references[i].name, resolve(render, render->references[i].pointer));
    return CAIRN_OK;
}

static void
put_table(struct buf *to, const char *title, enum lua_type_kind kind, const struct lua_type_source *sources, size_t count)
{
    buf_printf(to, "\nexport interface %s {\n", title);
    for (size_t i = 0; i < count; i++) {
        if (sources[i].kind != kind)
            continue;
        char name[128];
        type_name(sources, count, i, name);
        buf_put_str(to, CAIRN_STR("  "));
        if (is_identifier(sources[i].name))
            buf_put_str(to, sources[i].name);
        else
            json_put_string(to, sources[i].name);
        buf_printf(to, ": %s;\n", name);
    }
    buf_put_str(to, CAIRN_STR("}\n"));
}

cairn_err
lua_typescript_types(cairn_str app, const struct lua_type_source *sources, size_t count, struct buf *to,
                     cairn_error *error)
{
    struct arena arena = {.size_max = 64u << 20};
    struct render render = {.to = to, .arena = &arena, .size_max = to->size + TEXT_MAX};
    render.references = calloc(REFERENCES_MAX, sizeof *render.references);
    if (!render.references)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    buf_put_str(to, CAIRN_STR("// The commands and events of "));
    char plain[128] = "";
    add_to_name(plain, sizeof plain, app);
    put(&render, plain);
    put(&render, ", made from their schemas. Do not edit: it is made anew.\n");
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; i < count && err == CAIRN_OK; i++)
        err = put_source(sources, count, i, &render, error);
    if (err == CAIRN_OK) {
        put_table(to, "Commands", LUA_TYPE_COMMAND, sources, count);
        put_table(to, "Events", LUA_TYPE_EVENT, sources, count);
        put(&render, "\n/** A decider of this app; Names: the commands that it decides. */\n"
                     "export type Decider<State, Names extends keyof Commands = keyof Commands> =\n"
                     "  cairn.Decider<State, Pick<Commands, Names>, Events>;\n");
        if (to->failed)
            err = error_set(error, CAIRN_E_NOMEM, "out of memory");
        else if (to->size > render.size_max)
            err = error_set(error, CAIRN_E_LIMIT, "more than %zu bytes of types", TEXT_MAX);
    }
    free(render.references);
    arena_free(&arena);
    return err;
}

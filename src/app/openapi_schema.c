/* JSON Schemas inside an OpenAPI document, where "#" is another text. See openapi_int.h.
 *
 * Only what stands where a schema stands is looked at: "$ref" may also be somebody's property, or part of an enum.
 * Depth is bounded by json_check(). */
#include <app/openapi_int.h>

enum place { PLACE_SCHEMA, PLACE_NAMED_SCHEMAS, PLACE_DATA };

struct rewrite {
    struct buf *to;
    struct json root;
    cairn_str id;        /* the schema's own, or empty */
    cairn_str component;
    struct arena arena;
};

static bool
is_one_of(struct json name, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (json_string_is(name, words[i]))
            return true;
    return false;
}

/* Where a member's value stands, when the object itself is a schema. */
static enum place
place_of(struct json name)
{
    static const char *const NAMED[] = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"};
    static const char *const DATA[] = {"const", "enum", "default", "examples", "example", "required", "dependentRequired", "$vocabulary"};
    if (is_one_of(name, NAMED, sizeof NAMED / sizeof *NAMED))
        return PLACE_NAMED_SCHEMAS;
    return is_one_of(name, DATA, sizeof DATA / sizeof *DATA) ? PLACE_DATA : PLACE_SCHEMA;
}

static bool
begins_with(cairn_str text, cairn_str with)
{
    return text.size >= with.size && memcmp(text.data, with.data, with.size) == 0;
}

/* "$id" that makes a resource of its own; draft 7's "#name" is only an anchor. */
static bool
has_own_id(struct json schema)
{
    struct json id = json_get(schema, "$id");
    return id.type == JSON_STRING && id.raw.size > 2 && id.raw.data[1] != '#';
}

/* One token more of a JSON pointer in a fragment: ~ and / escaped, then what a URI cannot hold. */
static void
put_token(struct buf *to, cairn_str token)
{
    static const char PLAIN[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@";
    buf_put_char(to, '/');
    for (size_t i = 0; i < token.size; i++) {
        unsigned char c = (unsigned char)token.data[i];
        if (c == '~' || c == '/')
            buf_printf(to, c == '~' ? "~0" : "~1");
        else if (c != 0 && strchr(PLAIN, c))
            buf_put_char(to, (char)c);
        else
            buf_printf(to, "%%%02X", c);
    }
}

static bool
is_anchor(struct rewrite *r, struct json schema, cairn_str anchor)
{
    static const char *const NAMES[] = {"$anchor", "$dynamicAnchor", "$id"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        cairn_str text = json_string(json_get(schema, NAMES[i]), &r->arena);
        if (i == 2 && text.size > 0 && text.data[0] == '#')
            text = (cairn_str){text.data + 1, text.size - 1};
        else if (i == 2)
            continue;
        if (text.data != NULL && cairn_str_equal(text, anchor))
            return true;
    }
    return false;
}

/* The pointer to the subschema that bears the anchor goes to `path`; false: none does, and path is as it was. */
static bool
find_anchor(struct rewrite *r, struct json value, enum place place, cairn_str anchor, struct buf *path)
{
    struct json name, item;
    if (place == PLACE_DATA || (value.type != JSON_OBJECT && value.type != JSON_ARRAY))
        return false;
    if (place == PLACE_SCHEMA && value.type == JSON_OBJECT && is_anchor(r, value, anchor))
        return true;
    struct json_walk walk = json_walk(value);
    for (size_t i = 0, size = path->size; json_next(&walk, &name, &item); i++, path->size = size) {
        enum place inside = value.type == JSON_ARRAY || place == PLACE_NAMED_SCHEMAS ? PLACE_SCHEMA : place_of(name);
        if (inside == PLACE_SCHEMA && has_own_id(item))
            continue;
        if (value.type == JSON_ARRAY)
            buf_printf(path, "/%zu", i);
        else
            put_token(path, json_string(name, &r->arena));
        if (find_anchor(r, item, inside, anchor, path))
            return true;
    }
    return false;
}

static void
put_reference(struct rewrite *r, struct json value)
{
    cairn_str text = json_string(value, &r->arena);
    if (text.data == NULL) {
        buf_put_str(r->to, value.raw);
        return;
    }
    cairn_str fragment = text;
    if (r->id.size > 0 && begins_with(text, r->id) && (text.size == r->id.size || text.data[r->id.size] == '#'))
        fragment = (cairn_str){text.data + r->id.size, text.size - r->id.size};
    bool here = fragment.size == 0 || fragment.data[0] == '#';
    struct buf target = {0};
    buf_printf(&target, "#/components/schemas/%.*s", (int)r->component.size, r->component.data);
    if (fragment.size > 1 && fragment.data[1] == '/')
        buf_put(&target, fragment.data + 1, fragment.size - 1);
    else if (fragment.size > 1)
        here = here && find_anchor(r, r->root, PLACE_SCHEMA, (cairn_str){fragment.data + 1, fragment.size - 1}, &target);
    r->to->failed |= target.failed;
    json_put_string(r->to, here ? buf_str(&target) : text);
    buf_free(&target);
}

static void
put_value(struct rewrite *r, struct json value, enum place place, bool root)
{
    struct json name, item;
    if (place == PLACE_DATA || (value.type != JSON_OBJECT && value.type != JSON_ARRAY)
        || (place == PLACE_SCHEMA && !root && value.type == JSON_OBJECT && has_own_id(value))) {
        json_put_compact(r->to, value.raw);
        return;
    }
    bool object = value.type == JSON_OBJECT;
    struct json_walk walk = json_walk(value);
    buf_put_char(r->to, object ? '{' : '[');
    while (json_next(&walk, &name, &item)) {
        if (object && root && json_string_is(name, "$id"))
            continue;
        json_put_comma(r->to);
        if (object) {
            buf_put_str(r->to, name.raw);
            buf_put_char(r->to, ':');
        }
        bool keyword = object && place == PLACE_SCHEMA && item.type == JSON_STRING;
        if (keyword && (json_string_is(name, "$ref") || json_string_is(name, "$dynamicRef")))
            put_reference(r, item);
        else
            put_value(r, item, !object || place == PLACE_NAMED_SCHEMAS ? PLACE_SCHEMA : place_of(name), false);
    }
    buf_put_char(r->to, object ? '}' : ']');
}

void
openapi_put_schema(struct buf *to, cairn_str schema, cairn_str component)
{
    struct rewrite r = {.to = to, .root = json_trusted(schema), .component = component};
    r.id = json_string(json_get(r.root, "$id"), &r.arena);
    if (r.id.size > 0 && r.id.data[r.id.size - 1] == '#') /* draft 7 lets an empty fragment stand there */
        r.id.size--;
    put_value(&r, r.root, PLACE_SCHEMA, true);
    arena_free(&r.arena);
}

/* Schemas of commands and events: found, made whole, compiled; and what templates may take from them. See manifest_int.h. */
#include <app/manifest_int.h>

#include <base/error.h>
#include <stdio.h>

enum { SCHEMA_BYTES_MAX = 16 * 1024 * 1024, HOPS_MAX = 16 };

/* ---- reading */

/* The pointer that a compiler's detail begins with ("/properties/x: …"). */
static cairn_str
leading_pointer(const char *detail)
{
    const char *end = detail[0] == '/' ? strstr(detail, ": ") : NULL;
    return (cairn_str){detail, end ? (size_t)(end - detail) : 0};
}

static void
compile_fault(struct manifest_reader *reader, const struct yaml *node, cairn_str path, const char *what, const cairn_error *error)
{
    cairn_str rest, place = manifest_whole_place(reader, leading_pointer(error->detail), &rest);
    cairn_str in = place.size ? place : path;
    const char *hint = strstr(error->detail, "$ref") ? "Files are named relative to the schema's own, with a JSON pointer after '#'." : "";
    if (in.size == 0) {
        yaml_fault(reader, yaml_pointer_line(node, rest), hint, "%s: the schema: %s", what, error->detail);
        return;
    }
    manifest_fault(reader, in, manifest_json_line(manifest_file(reader->manifest, in)->text, rest), hint, "%s", error->detail);
}

static bool
inline_text(struct manifest_reader *reader, const struct yaml *node, cairn_str *ret)
{
    struct buf json = {0};
    yaml_put_json(&json, node);
    if (!json.failed)
        *ret = arena_copy(&reader->manifest->arena, buf_str(&json));
    bool fine = !json.failed && ret->data;
    buf_free(&json);
    return fine || manifest_nomem(reader);
}

static bool
read_schema(struct manifest_reader *reader, const struct yaml *node, const char *what, cairn_str *ret_text,
            cairn_str *ret_path, struct json_schema **ret_schema)
{
    cairn_str text = {0}, path = {0}, whole;
    cairn_error error = {0};
    if (node->kind == YAML_MAP) {
        if (!inline_text(reader, node, &text))
            return false;
    } else {
        const cairn_app_file *file = manifest_named_file(reader, node, what);
        if (!file || manifest_file_json(reader, file).type == JSON_NONE)
            return false;
        text = file->text;
        path = file->path;
    }
    if (!manifest_whole_schema(reader, path.size ? path : CAIRN_STR(MANIFEST_FILE), text, &whole))
        return false;
    if ((reader->schema_bytes += whole.size) > SCHEMA_BYTES_MAX) {
        yaml_fault(reader, node->line, "", "%s: the schemas have more than %d MiB together", what, SCHEMA_BYTES_MAX / 1024 / 1024);
        return false;
    }
    struct json_schema_options options = {.draft = JSON_SCHEMA_2020_12, .assert_formats = true};
    cairn_err err = json_schema_compile(whole, &options, ret_schema, &error);
    if (err == CAIRN_E_NOMEM)
        return manifest_nomem(reader);
    if (err != CAIRN_OK) {
        compile_fault(reader, node, path, what, &error);
        return false;
    }
    *ret_text = whole;
    *ret_path = path;
    return true;
}

bool
manifest_read_schema(struct manifest_reader *reader, const struct yaml *node, const char *what, cairn_str *ret_text,
                     cairn_str *ret_path, struct json_schema **ret_schema)
{
    reader->in_schema = true;
    bool fine = read_schema(reader, node, what, ret_text, ret_path, ret_schema);
    reader->in_schema = false;
    reader->schema_wrong |= !fine;
    return fine;
}

/* ---- templates */

struct search {
    struct json root, at; /* the whole schema; the schema of what was found so far */
    bool unsure;          /* keywords on the way that this look does not follow */
};

/* Follow "#/…" references; anything else leaves us unsure. */
static void
follow_references(struct search *search)
{
    char pointer[512];
    struct arena arena = {.size_max = 64 * 1024};
    for (unsigned hops = 0; hops < HOPS_MAX; hops++) {
        struct json ref = json_get(search->at, "$ref");
        if (ref.type != JSON_STRING)
            break;
        cairn_str text = json_string(ref, &arena);
        if (!text.data || text.size < 2 || text.size >= sizeof pointer || text.data[0] != '#' || text.data[1] != '/'
            || memchr(text.data, '%', text.size)) {
            search->unsure = true;
            break;
        }
        memcpy(pointer, text.data + 1, text.size - 1);
        pointer[text.size - 1] = '\0';
        struct json at = search->root;
        for (char *token = pointer; token && at.type != JSON_NONE;) {
            char *next = strchr(token + 1, '/'), *to = token + 1;
            if (next)
                *next = '\0';
            for (const char *from = token + 1; *from; from++)
                *to++ = *from == '~' && from[1] ? *++from == '1' ? '/' : '~' : *from;
            *to = '\0';
            at = json_get(at, token + 1);
            token = next;
        }
        search->at = at;
        if (at.type == JSON_NONE)
            search->unsure = true;
    }
    arena_free(&arena);
    static const char *const others[] = {"allOf", "anyOf", "oneOf", "if", "$dynamicRef", "patternProperties", "dependentSchemas", "not"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (json_get(search->at, others[i]).type != JSON_NONE)
            search->unsure = true;
}

static bool
is_required(struct json schema, const char *name)
{
    struct json item, none;
    struct json_walk walk = json_walk(json_get(schema, "required"));
    while (json_get(schema, "required").type == JSON_ARRAY && json_next(&walk, &none, &item))
        if (json_string_is(item, name))
            return true;
    return false;
}

struct property_names {
    struct json properties;
    struct arena *arena;
};

static bool
property_name_at(const void *context, size_t index, cairn_str *ret)
{
    const struct property_names *names = context;
    struct json name, item;
    if (names->properties.type != JSON_OBJECT)
        return false;
    struct json_walk walk = json_walk(names->properties);
    while (json_next(&walk, &name, &item))
        if (index-- == 0) {
            *ret = json_string(name, names->arena);
            return ret->data != NULL;
        }
    return false;
}

/* Types that a template can take: a text, a whole number. */
static void
check_type(struct manifest_reader *reader, const struct yaml *node, const char *whose, cairn_str member, struct json schema)
{
    struct json type = json_get(schema, "type"), item, none;
    bool good = type.type == JSON_NONE, bad = false;
    if (type.type == JSON_STRING) {
        good = json_string_is(type, "string") || json_string_is(type, "integer");
        bad = !good;
    } else if (type.type == JSON_ARRAY) {
        struct json_walk walk = json_walk(type);
        while (json_next(&walk, &none, &item)) {
            bool fits = json_string_is(item, "string") || json_string_is(item, "integer");
            good |= fits;
            bad |= !fits;
        }
    }
    if (bad && !good)
        yaml_fault(reader, node->line, "Take a member that is a string or an integer.", "%s takes %.*s, which is neither text nor a whole number",
                   whose, (int)member.size, member.data);
    else if (bad)
        yaml_warn(reader, node->line, "Let it be a string or an integer only.", "%s takes %.*s, which may be something else than text or a whole number",
                  whose, (int)member.size, member.data);
}

/* One name on the way of a member; false: nothing more to look at. */
static bool
step_into(struct manifest_reader *reader, struct search *search, const struct yaml *node, const char *whose,
          cairn_str member, const char *name)
{
    follow_references(search);
    struct json properties = json_get(search->at, "properties"), found = json_get(properties, name);
    if (search->at.type != JSON_OBJECT || (found.type == JSON_NONE && search->unsure))
        return false;
    if (found.type == JSON_NONE) {
        struct arena arena = {.size_max = 1 << 20};
        struct property_names names = {properties, &arena};
        const char *hint = manifest_did_you_mean(reader, cairn_cstr(name), property_name_at, &names, "Add it to the schema's properties.");
        yaml_fault(reader, node->line, hint, "%s takes %.*s, which the schema does not have", whose, (int)member.size, member.data);
        arena_free(&arena);
        return false;
    }
    if (!search->unsure && !is_required(search->at, name)) {
        const char *hint = manifest_hint(reader, "Add \"%s\" to the schema's \"required\".", name);
        yaml_fault(reader, node->line, hint, "%s takes %.*s, which the schema does not require", whose, (int)member.size, member.data);
    }
    search->at = found;
    return true;
}

static void
check_member(struct manifest_reader *reader, const struct yaml *node, struct json schema, const char *whose,
             cairn_str member)
{
    struct search search = {.root = schema, .at = schema};
    char name[256];
    size_t at = 0;
    bool pointer = member.data[0] == '/';
    while (at < member.size) {
        size_t used = 0;
        for (at += pointer; at < member.size && used + 1 < sizeof name && !(pointer && member.data[at] == '/'); at++) {
            char c = member.data[at];
            if (pointer && c == '~' && at + 1 < member.size)
                c = member.data[++at] == '1' ? '/' : '~';
            name[used++] = c;
        }
        name[used] = '\0';
        if (!step_into(reader, &search, node, whose, member, name))
            return;
    }
    follow_references(&search);
    if (!search.unsure)
        check_type(reader, node, whose, member, search.at);
}

void
manifest_check_template(struct manifest_reader *reader, const struct yaml *node, cairn_str schema_text, const char *whose)
{
    size_t at = 0;
    cairn_str member;
    if (schema_text.size == 0)
        return;
    struct json schema = json_trusted(schema_text);
    while (schema.type == JSON_OBJECT && app_template_member(node->text, &at, &member))
        if (member.size < 200)
            check_member(reader, node, schema, whose, member);
}

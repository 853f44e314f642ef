/* A schema made whole: the app's other schema files that it refers to become part of it, so that it means the same wherever
 * its text is kept: in the registry, in the OpenAPI document, in a console's form. See manifest_int.h.
 *
 *   schemas/place.json   {"properties": {"total": {"$ref": "common.json#/$defs/money"}}}
 *   becomes              {"properties": {"total": {"$ref": "#/$defs/schemas~1common.json/$defs/money"}},
 *                         "$defs": {"schemas/common.json": {"$defs": {"money": …}}}}
 *
 * A reference names a file relative to the file it stands in, or by the "$id" of that file. */
#include <app/manifest_int.h>

#include <app/bundle.h>
#include <base/text.h>

enum { DOCUMENTS_MAX = 64, WHOLE_MAX = 1024 * 1024 };

/* What a value is, since "$ref" may also be somebody's property. */
enum place { PLACE_SCHEMA, PLACE_NAMED_SCHEMAS, PLACE_DATA };

struct whole {
    struct manifest_reader *reader;
    cairn_str path;                                /* of the schema itself */
    const cairn_app_file *documents[DOCUMENTS_MAX]; /* to go under "$defs" */
    size_t count;
    bool too_many;
    struct buf out;
    struct arena scratch;
};

/* ---- files as JSON */

static void
json_fault(struct manifest_reader *reader, const cairn_app_file *file, const cairn_error *error)
{
    uint64_t byte = 0;
    const char *at = strstr(error->detail, "at byte ");
    if (at) {
        at += 8;
        parse_u64((cairn_str){at, strspn(at, "0123456789")}, &byte);
    }
    manifest_fault(reader, file->path, manifest_line_at(file->text, byte), "", "not JSON: %s", error->detail);
}

static void
look_at(struct manifest_reader *reader, size_t index)
{
    struct manifest_json *json = &reader->json[index];
    cairn_error error = {0};
    if (json->looked_at)
        return;
    json->looked_at = true;
    if (json_check(reader->manifest->files[index].text, &json->value, &error) != CAIRN_OK) {
        json->value = (struct json){0};
        json_fault(reader, &reader->manifest->files[index], &error);
        return;
    }
    struct json id = json_get(json->value, "$id");
    if (id.type == JSON_STRING)
        json->id = json_string(id, &reader->manifest->arena);
}

struct json
manifest_file_json(struct manifest_reader *reader, const cairn_app_file *file)
{
    size_t index = (size_t)(file - reader->manifest->files);
    look_at(reader, index);
    return reader->json[index].value;
}

/* ---- which file a reference names */

/* "schemas/a.json" and "../common/b.json" → "common/b.json"; false: it leads out, or is too long. */
static bool
join(cairn_str base, cairn_str relative, char to[BUNDLE_PATH_MAX + 1], size_t *ret_size)
{
    size_t size = base.size;
    while (size > 0 && base.data[size - 1] != '/')
        size--;
    if (size > BUNDLE_PATH_MAX)
        return false;
    memcpy(to, base.data, size);
    for (size_t i = 0; i < relative.size;) {
        const char *slash = memchr(relative.data + i, '/', relative.size - i);
        size_t end = slash ? (size_t)(slash - relative.data) : relative.size;
        cairn_str name = {relative.data + i, end - i};
        i = end + 1;
        if (cairn_str_equal(name, CAIRN_STR(".")))
            continue;
        if (cairn_str_equal(name, CAIRN_STR(".."))) {
            if (size == 0)
                return false;
            for (size--; size > 0 && to[size - 1] != '/'; size--)
                continue;
            continue;
        }
        if (name.size == 0 || size + name.size + 1 > BUNDLE_PATH_MAX)
            return false;
        memcpy(to + size, name.data, name.size);
        size += name.size;
        if (slash)
            to[size++] = '/';
    }
    *ret_size = size;
    return size > 0;
}

static const cairn_app_file *
find_document(struct whole *whole, cairn_str from, cairn_str base)
{
    struct manifest_reader *reader = whole->reader;
    char path[BUNDLE_PATH_MAX + 1];
    size_t size;
    struct buf decoded = {0};
    const cairn_app_file *file = NULL;
    if (percent_get(&decoded, base, false) && join(from, buf_str(&decoded), path, &size))
        file = manifest_file(reader->manifest, (cairn_str){path, size});
    buf_free(&decoded);
    for (size_t i = 0; !file && i < reader->manifest->file_count; i++) {
        cairn_str name = reader->manifest->files[i].path;
        if (name.size < 6 || memcmp(name.data + name.size - 5, ".json", 5) != 0 || strncmp(name.data, "schemas/", 8) != 0)
            continue;
        look_at(reader, i);
        if (reader->json[i].id.size && cairn_str_equal(reader->json[i].id, base))
            file = &reader->manifest->files[i];
    }
    return file && manifest_file_json(reader, file).type != JSON_NONE ? file : NULL;
}

/* ---- writing */

static void put_value(struct whole *whole, struct json value, cairn_str from, enum place place);

/* "#/$defs/schemas~1common.json", a URI's fragment. */
static void
put_document_pointer(struct buf *to, cairn_str path)
{
    struct buf token = {0};
    for (size_t i = 0; i < path.size; i++) {
        if (path.data[i] == '/' || path.data[i] == '~')
            buf_put_str(&token, path.data[i] == '/' ? CAIRN_STR("~1") : CAIRN_STR("~0"));
        else
            buf_put_char(&token, path.data[i]);
    }
    buf_put_str(to, CAIRN_STR("/$defs/"));
    percent_put(to, buf_str(&token));
    to->failed |= token.failed;
    buf_free(&token);
}

static void
put_reference(struct whole *whole, struct json value, cairn_str from)
{
    struct buf made = {0};
    cairn_str ref = json_string(value, &whole->scratch);
    const char *hash = ref.data ? memchr(ref.data, '#', ref.size) : NULL;
    cairn_str base = {ref.data, hash ? (size_t)(hash - ref.data) : ref.size};
    cairn_str fragment = hash ? (cairn_str){hash + 1, ref.size - base.size - 1} : (cairn_str){0};
    bool own = cairn_str_equal(from, whole->path), pointer = fragment.size == 0 || fragment.data[0] == '/';
    const cairn_app_file *file = NULL;
    if (!ref.data || (base.size == 0 && own) || !pointer) {
        buf_put_str(&whole->out, value.raw);
        return;
    }
    cairn_str path = from;
    if (base.size > 0) {
        file = find_document(whole, from, base);
        if (!file) { /* the compiler says what it thinks of it */
            buf_put_str(&whole->out, value.raw);
            return;
        }
        whole->reader->file_used[file - whole->reader->manifest->files] = true;
        path = file->path;
        bool known = cairn_str_equal(path, whole->path);
        for (size_t i = 0; i < whole->count && !known; i++)
            known = whole->documents[i] == file;
        if (!known && whole->count == DOCUMENTS_MAX)
            whole->too_many = true;
        else if (!known)
            whole->documents[whole->count++] = file;
    }
    buf_put_char(&made, '#');
    if (!cairn_str_equal(path, whole->path))
        put_document_pointer(&made, path);
    buf_put_str(&made, fragment);
    whole->out.failed |= made.failed;
    json_put_string(&whole->out, buf_str(&made));
    buf_free(&made);
}

static enum place
place_of(cairn_str name, enum place around)
{
    static const char *const data[] = {"\"const\"", "\"enum\"", "\"default\"", "\"examples\""};
    static const char *const named[] = {"\"properties\"", "\"patternProperties\"", "\"$defs\"", "\"definitions\"", "\"dependentSchemas\""};
    if (around != PLACE_SCHEMA)
        return around == PLACE_DATA ? PLACE_DATA : PLACE_SCHEMA;
    for (size_t i = 0; i < sizeof data / sizeof *data; i++)
        if (cairn_str_equal(name, cairn_cstr(data[i])))
            return PLACE_DATA;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (cairn_str_equal(name, cairn_cstr(named[i])))
            return PLACE_NAMED_SCHEMAS;
    return PLACE_SCHEMA;
}

/* The members of an object, without those that would make an embedded document a resource of its own. `$defs` of the schema
 * itself is left for the end. */
static void
put_members(struct whole *whole, struct json value, cairn_str from, enum place place, bool top)
{
    struct json name, item;
    struct json_walk walk = json_walk(value);
    bool own = cairn_str_equal(from, whole->path);
    while (json_next(&walk, &name, &item)) {
        bool resource = json_string_is(name, "$id") || json_string_is(name, "$schema");
        if (top && place == PLACE_SCHEMA && (own ? json_string_is(name, "$defs") : resource))
            continue;
        json_put_comma(&whole->out);
        buf_put_str(&whole->out, name.raw);
        buf_put_char(&whole->out, ':');
        if (place == PLACE_SCHEMA && item.type == JSON_STRING && json_string_is(name, "$ref"))
            put_reference(whole, item, from);
        else
            put_value(whole, item, from, place_of(name.raw, place));
    }
}

static void
put_value(struct whole *whole, struct json value, cairn_str from, enum place place)
{
    struct json name, item;
    if (whole->out.size > WHOLE_MAX || (value.type != JSON_OBJECT && value.type != JSON_ARRAY) || place == PLACE_DATA) {
        buf_put_str(&whole->out, value.raw);
        return;
    }
    if (value.type == JSON_OBJECT) {
        buf_put_char(&whole->out, '{');
        put_members(whole, value, from, place, false);
        buf_put_char(&whole->out, '}');
        return;
    }
    buf_put_char(&whole->out, '[');
    struct json_walk walk = json_walk(value);
    while (json_next(&walk, &name, &item)) {
        json_put_comma(&whole->out);
        put_value(whole, item, from, place);
    }
    buf_put_char(&whole->out, ']');
}

static void
put_whole(struct whole *whole, struct json root)
{
    struct buf *out = &whole->out;
    buf_put_char(out, '{');
    put_members(whole, root, whole->path, PLACE_SCHEMA, true);
    struct json defs = json_get(root, "$defs");
    json_put_comma(out);
    buf_put_str(out, CAIRN_STR("\"$defs\":{"));
    if (defs.type == JSON_OBJECT)
        put_members(whole, defs, whole->path, PLACE_NAMED_SCHEMAS, false);
    for (size_t i = 0; i < whole->count; i++) { /* grows while it is walked */
        const cairn_app_file *file = whole->documents[i];
        struct json value = manifest_file_json(whole->reader, file);
        json_put_comma(out);
        json_put_string(out, file->path);
        buf_put_char(out, ':');
        if (value.type != JSON_OBJECT) {
            buf_put_str(out, value.raw);
            continue;
        }
        buf_put_char(out, '{');
        put_members(whole, value, file->path, PLACE_SCHEMA, true);
        buf_put_char(out, '}');
    }
    buf_put_str(out, CAIRN_STR("}}"));
}

bool
manifest_whole_schema(struct manifest_reader *reader, cairn_str path, cairn_str text, cairn_str *ret_text)
{
    struct whole whole = {.reader = reader, .path = path, .scratch = {.size_max = 4 << 20}};
    struct json root = json_trusted(text);
    bool fine = true;
    *ret_text = text;
    if (root.type != JSON_OBJECT)
        return true;
    put_whole(&whole, root);
    if (whole.out.failed) {
        fine = manifest_nomem(reader);
    } else if (whole.too_many || whole.out.size > WHOLE_MAX) {
        manifest_fault(reader, path, 0, "Refer to fewer or smaller files.",
                       "with what it refers to the schema has more than %d files or %d KiB", DOCUMENTS_MAX, WHOLE_MAX / 1024);
        fine = false;
    } else if (whole.count > 0) {
        *ret_text = arena_copy(&reader->manifest->arena, buf_str(&whole.out));
        fine = ret_text->data || manifest_nomem(reader);
    }
    arena_free(&whole.scratch);
    buf_free(&whole.out);
    return fine;
}

cairn_str
manifest_whole_place(struct manifest_reader *reader, cairn_str pointer, cairn_str *ret_rest)
{
    *ret_rest = pointer;
    if (pointer.size < 7 || memcmp(pointer.data, "/$defs/", 7) != 0)
        return (cairn_str){0};
    const char *end = memchr(pointer.data + 7, '/', pointer.size - 7);
    size_t size = end ? (size_t)(end - pointer.data) : pointer.size, used = 0;
    char path[BUNDLE_PATH_MAX + 1];
    for (size_t i = 7; i < size && used < BUNDLE_PATH_MAX; i++) {
        char c = pointer.data[i];
        if (c == '~' && i + 1 < size)
            c = pointer.data[++i] == '1' ? '/' : '~';
        path[used++] = c;
    }
    const cairn_app_file *file = manifest_file(reader->manifest, (cairn_str){path, used});
    if (!file)
        return (cairn_str){0};
    *ret_rest = (cairn_str){pointer.data + size, pointer.size - size};
    return file->path;
}

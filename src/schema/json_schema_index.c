/* What is where in the documents of a schema: resources ($id), anchors, and what a reference means.
 *
 * A document is scanned once when it is loaded. Members are looked up by a hash of their container and name, so that a
 * document of a thousand references into a large "$defs" is not walked a thousand times. One owner thread. */
#include <schema/json_schema_int.h>

#include <stdio.h>

/* ---- a hash table */

struct js_map_slot {
    cairn_str key;
    void *value; /* NULL: free */
};

static bool
same_key(cairn_str a, cairn_str b)
{
    return a.size == b.size && (a.size == 0 ? a.data == b.data : memcmp(a.data, b.data, a.size) == 0);
}

static struct js_map_slot *
find_slot(const struct js_map *map, cairn_str key)
{
    uint64_t hash = key.size ? hash64(key.data, key.size, 0) : hash64(&key.data, sizeof key.data, 1);
    for (size_t i = (size_t)hash;; i++) {
        struct js_map_slot *slot = &map->slots[i & (map->capacity - 1)];
        if (!slot->value || same_key(slot->key, key))
            return slot;
    }
}

void *
js_map_get(const struct js_map *map, cairn_str key)
{
    return map->capacity ? find_slot(map, key)->value : NULL;
}

bool
js_map_put(struct js_map *map, struct arena *arena, cairn_str key, void *value)
{
    if (map->count * 2 >= map->capacity) {
        struct js_map larger = {.capacity = map->capacity ? map->capacity * 2 : 64, .count = map->count};
        larger.slots = arena_zalloc(arena, larger.capacity * sizeof *larger.slots);
        if (!larger.slots)
            return false;
        for (size_t i = 0; i < map->capacity; i++)
            if (map->slots[i].value)
                *find_slot(&larger, map->slots[i].key) = map->slots[i];
        *map = larger;
    }
    struct js_map_slot *slot = find_slot(map, key);
    map->count += !slot->value;
    *slot = (struct js_map_slot){key, value};
    return true;
}

static cairn_err
no_memory(struct js_compile *compile)
{
    return error_set(compile->error, CAIRN_E_NOMEM, "no memory to compile the schema");
}

/* The key of a name within a container: its address, then the name. */
static cairn_str
key_in(struct js_compile *compile, const void *container, char kind, cairn_str name)
{
    char *key = arena_alloc(&compile->scratch, sizeof container + 1 + name.size);
    if (!key)
        return (cairn_str){NULL, 0};
    memcpy(key, &container, sizeof container);
    key[sizeof container] = kind;
    if (name.size)
        memcpy(key + sizeof container + 1, name.data, name.size);
    return (cairn_str){key, sizeof container + 1 + name.size};
}

static cairn_err
put_name(struct js_compile *compile, const void *container, char kind, cairn_str name, struct json value)
{
    cairn_str key = key_in(compile, container, kind, name);
    struct json *copy = arena_alloc(&compile->scratch, sizeof *copy);
    if (!key.data || !copy)
        return no_memory(compile);
    *copy = value;
    if (js_map_get(&compile->names, key))
        return CAIRN_OK; /* the first of two counts */
    return js_map_put(&compile->names, &compile->scratch, key, copy) ? CAIRN_OK : no_memory(compile);
}

static cairn_err
get_name(struct js_compile *compile, const void *container, char kind, cairn_str name, struct json *ret)
{
    cairn_str key = key_in(compile, container, kind, name);
    if (!key.data)
        return no_memory(compile);
    const struct json *found = js_map_get(&compile->names, key);
    *ret = found ? *found : (struct json){JSON_NONE, {NULL, 0}};
    return CAIRN_OK;
}

/* ---- dialects */

static cairn_str
without_fragment(cairn_str uri)
{
    const char *hash = uri.size ? memchr(uri.data, '#', uri.size) : NULL;
    return hash ? (cairn_str){uri.data, (size_t)(hash - uri.data)} : uri;
}

static bool
known_draft(cairn_str uri, enum json_schema_draft *ret)
{
    static const struct {
        cairn_str uri;
        enum json_schema_draft draft;
    } known[] = {
        {{"https://json-schema.org/draft/2020-12/schema", 44}, JSON_SCHEMA_2020_12},
        {{"http://json-schema.org/draft/2020-12/schema", 43}, JSON_SCHEMA_2020_12},
        {{"http://json-schema.org/draft-07/schema", 38}, JSON_SCHEMA_7},
        {{"https://json-schema.org/draft-07/schema", 39}, JSON_SCHEMA_7},
        /* Older ones are read as draft 7, which kept what they say but for draft 4's "id" and boolean exclusive bounds. */
        {{"http://json-schema.org/draft-06/schema", 38}, JSON_SCHEMA_7},
        {{"http://json-schema.org/draft-04/schema", 38}, JSON_SCHEMA_7},
    };
    uri = without_fragment(uri);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (cairn_str_equal(uri, known[i].uri)) {
            *ret = known[i].draft;
            return true;
        }
    return false;
}

static cairn_err
read_vocabularies(struct js_compile *compile, struct json metaschema, struct js_resource *resource)
{
    static const struct {
        const char *name;
        unsigned bit;
    } known[] = {
        {"core", JS_VOCABULARY_CORE}, {"applicator", JS_VOCABULARY_APPLICATOR},
        {"unevaluated", JS_VOCABULARY_UNEVALUATED}, {"validation", JS_VOCABULARY_VALIDATION},
        {"meta-data", JS_VOCABULARY_OTHER}, {"format-annotation", JS_VOCABULARY_FORMAT},
        {"format-assertion", JS_VOCABULARY_FORMAT}, {"content", JS_VOCABULARY_OTHER},
    };
    static const char prefix[] = "https://json-schema.org/draft/2020-12/vocab/";
    struct json list = json_get(metaschema, "$vocabulary"), name, needed;
    if (list.type != JSON_OBJECT)
        return CAIRN_OK;
    resource->vocabularies = JS_VOCABULARY_CORE;
    for (struct json_walk walk = json_walk(list); json_next(&walk, &name, &needed);) {
        cairn_str uri = js_text(name, &compile->scratch);
        bool ours = uri.size > sizeof prefix - 1 && memcmp(uri.data, prefix, sizeof prefix - 1) == 0;
        unsigned bit = 0;
        for (size_t i = 0; ours && i < sizeof known / sizeof known[0]; i++)
            if (cairn_str_equal((cairn_str){uri.data + sizeof prefix - 1, uri.size - sizeof prefix + 1},
                                cairn_cstr(known[i].name))) {
                bit = known[i].bit;
                resource->formats |= strcmp(known[i].name, "format-assertion") == 0;
            }
        if (bit == 0 && needed.type == JSON_TRUE)
            return error_set(compile->error, CAIRN_E_INVALID, "/$schema: needs the unknown vocabulary %.*s",
                             (int)(uri.size > 200 ? 200 : uri.size), uri.data);
        resource->vocabularies |= bit;
    }
    return CAIRN_OK;
}

/* By "$schema" where there is one; otherwise the resource stays as it is. */
static cairn_err
read_dialect(struct js_compile *compile, struct json root, struct js_resource *resource)
{
    struct json named = json_get(root, "$schema");
    if (named.type == JSON_NONE)
        return CAIRN_OK;
    cairn_str uri = js_text(named, &compile->scratch), text = {NULL, 0};
    if (named.type != JSON_STRING || !uri.data)
        return error_set(compile->error, CAIRN_E_INVALID, "/$schema: must be a URI");
    int size = (int)(uri.size > 200 ? 200 : uri.size);
    resource->vocabularies = JS_VOCABULARY_ALL;
    resource->formats = compile->options->assert_formats;
    if (known_draft(uri, &resource->draft))
        return CAIRN_OK;
    if (!compile->options->resolve ||
        !compile->options->resolve(compile->options->context, without_fragment(uri), &text) || text.size > JS_TEXT_MAX)
        return error_set(compile->error, CAIRN_E_INVALID,
                         "/$schema: %.*s is not known; use https://json-schema.org/draft/2020-12/schema or "
                         "http://json-schema.org/draft-07/schema#", size, uri.data);
    struct json metaschema;
    cairn_err err = json_check(text, &metaschema, compile->error);
    if (err != CAIRN_OK)
        return err;
    cairn_str base = js_text(json_get(metaschema, "$schema"), &compile->scratch);
    if (!base.data || !known_draft(base, &resource->draft))
        return error_set(compile->error, CAIRN_E_INVALID, "/$schema: %.*s is of an unknown draft", size, uri.data);
    return read_vocabularies(compile, metaschema, resource);
}

/* ---- scanning a document */

enum holds { HOLDS_SCHEMA = 1, HOLDS_LIST = 2, HOLDS_MAP = 4 };

/* Where schemas are within a schema. */
static unsigned
what_holds(cairn_str keyword)
{
    static const struct {
        const char *keyword;
        unsigned holds;
    } places[] = {
        {"properties", HOLDS_MAP}, {"$defs", HOLDS_MAP}, {"definitions", HOLDS_MAP}, {"items", HOLDS_SCHEMA | HOLDS_LIST},
        {"allOf", HOLDS_LIST}, {"anyOf", HOLDS_LIST}, {"oneOf", HOLDS_LIST}, {"prefixItems", HOLDS_LIST},
        {"additionalProperties", HOLDS_SCHEMA}, {"unevaluatedProperties", HOLDS_SCHEMA},
        {"patternProperties", HOLDS_MAP}, {"propertyNames", HOLDS_SCHEMA}, {"additionalItems", HOLDS_SCHEMA},
        {"unevaluatedItems", HOLDS_SCHEMA}, {"contains", HOLDS_SCHEMA}, {"not", HOLDS_SCHEMA}, {"if", HOLDS_SCHEMA},
        {"then", HOLDS_SCHEMA}, {"else", HOLDS_SCHEMA}, {"contentSchema", HOLDS_SCHEMA},
        {"dependentSchemas", HOLDS_MAP}, {"dependencies", HOLDS_MAP},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (cairn_str_equal(keyword, cairn_cstr(places[i].keyword)))
            return places[i].holds;
    return 0;
}

static cairn_err
add_resource(struct js_compile *compile, cairn_str uri, struct js_resource *resource)
{
    if (uri.size == 0)
        return CAIRN_OK;
    struct js_resource *there = js_map_get(&compile->resources, uri);
    if (there && there->root.raw.data != resource->root.raw.data)
        return error_set(compile->error, CAIRN_E_INVALID, "/$id: two schemas are called %.*s",
                         (int)(uri.size > 200 ? 200 : uri.size), uri.data);
    return there || js_map_put(&compile->resources, &compile->scratch, uri, resource) ? CAIRN_OK : no_memory(compile);
}

static cairn_err
add_anchor(struct js_compile *compile, struct js_resource *resource, struct json value, cairn_str name, bool dynamic)
{
    cairn_err err = put_name(compile, resource, '#', name, value);
    if (err != CAIRN_OK || !dynamic)
        return err;
    struct js_anchor *anchor = arena_zalloc(&compile->schema->arena, sizeof *anchor);
    if (!anchor)
        return no_memory(compile);
    *anchor = (struct js_anchor){.name = name, .value = value, .next = resource->dynamic};
    resource->dynamic = anchor;
    return CAIRN_OK;
}

static struct js_resource *
make_resource(struct js_compile *compile, struct json root, const struct js_resource *like, cairn_str uri)
{
    struct js_resource *resource = arena_zalloc(&compile->schema->arena, sizeof *resource);
    if (!resource)
        return NULL;
    *resource = *like;
    resource->uri = uri;
    resource->root = root;
    resource->dynamic = NULL;
    resource->next = compile->all_resources;
    compile->all_resources = resource;
    return resource;
}

/* "$id" of a schema: it begins a resource (or, in draft 7, names a place when it is only a fragment). */
static cairn_err
scan_id(struct js_compile *compile, struct json value, struct json id, struct js_resource **resource)
{
    struct arena *arena = &compile->schema->arena;
    cairn_str text = js_text(id, arena), fragment;
    if (id.type != JSON_STRING || !text.data)
        return CAIRN_OK; /* js_compile_keywords() complains */
    bool has_fragment = js_uri_fragment(arena, text, &fragment);
    if ((*resource)->draft == JSON_SCHEMA_7 && has_fragment && fragment.size > 0) {
        cairn_err err = add_anchor(compile, *resource, value, fragment, false);
        if (err != CAIRN_OK || text.data[0] == '#')
            return err;
    }
    if (text.size == 0 || text.data[0] == '#')
        return CAIRN_OK;
    cairn_str uri = js_uri_resolve(arena, (*resource)->uri, text);
    struct js_resource *made = uri.data ? make_resource(compile, value, *resource, uri) : NULL;
    if (!made || !js_map_put(&compile->roots, &compile->scratch, (cairn_str){value.raw.data, 0}, made))
        return no_memory(compile);
    *resource = made;
    cairn_err err = read_dialect(compile, value, made);
    return err == CAIRN_OK ? add_resource(compile, uri, made) : err;
}

static cairn_err scan(struct js_compile *compile, struct json value, struct js_resource *resource);

static cairn_err
scan_all(struct js_compile *compile, struct json container, struct js_resource *resource)
{
    struct json name, item;
    cairn_err err = CAIRN_OK;
    for (struct json_walk walk = json_walk(container); err == CAIRN_OK && json_next(&walk, &name, &item);)
        err = scan(compile, item, resource);
    return err;
}

static cairn_err
scan_anchors(struct js_compile *compile, struct json value, struct js_resource *resource)
{
    static const char *const keywords[] = {"$anchor", "$dynamicAnchor"};
    for (int i = 0; i < 2; i++) {
        struct json anchor = json_get(value, keywords[i]);
        if (anchor.type != JSON_STRING)
            continue;
        cairn_str name = js_text(anchor, &compile->schema->arena);
        cairn_err err = name.data ? add_anchor(compile, resource, value, name, i == 1) : no_memory(compile);
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}

/* `value` stands where a schema does. Goes as deep as the text, which json_check() bounds. */
static cairn_err
scan(struct js_compile *compile, struct json value, struct js_resource *resource)
{
    if (value.type != JSON_OBJECT)
        return CAIRN_OK;
    if (++compile->scanned > JS_NODES_MAX)
        return error_set(compile->error, CAIRN_E_LIMIT, ": more than %d subschemas", JS_NODES_MAX);
    bool only_ref = resource->draft == JSON_SCHEMA_7 && json_get(value, "$ref").type == JSON_STRING;
    struct json id = json_get(value, "$id");
    cairn_err err = CAIRN_OK;
    if (id.type != JSON_NONE && !only_ref)
        err = scan_id(compile, value, id, &resource);
    if (err == CAIRN_OK && resource->draft != JSON_SCHEMA_7)
        err = scan_anchors(compile, value, resource);
    struct json name, item;
    for (struct json_walk walk = json_walk(value); err == CAIRN_OK && json_next(&walk, &name, &item);) {
        cairn_str keyword = js_text(name, &compile->scratch);
        unsigned holds = keyword.data ? what_holds(keyword) : 0;
        if ((holds & HOLDS_MAP && item.type == JSON_OBJECT) || (holds & HOLDS_LIST && item.type == JSON_ARRAY))
            err = scan_all(compile, item, resource);
        else if (holds & HOLDS_SCHEMA)
            err = scan(compile, item, resource);
    }
    return err;
}

cairn_err
js_load(struct js_compile *compile, cairn_str text, cairn_str uri, const struct js_resource *referrer,
        struct js_resource **ret)
{
    struct arena *arena = &compile->schema->arena;
    if (text.size > JS_TEXT_MAX)
        return error_set(compile->error, CAIRN_E_LIMIT, ": a schema of %zu bytes; the limit is %zu", text.size, JS_TEXT_MAX);
    if (++compile->document_count > JS_DOCUMENTS_MAX)
        return error_set(compile->error, CAIRN_E_LIMIT, ": refers to more than %d documents", JS_DOCUMENTS_MAX);
    struct json root;
    cairn_str copy = arena_copy(arena, text), name = arena_copy(arena, without_fragment(uri));
    if (!copy.data || !name.data)
        return no_memory(compile);
    cairn_err err = json_check(copy, &root, compile->error);
    if (err != CAIRN_OK)
        return err;
    struct js_resource plain = {.draft = compile->options->draft, .vocabularies = JS_VOCABULARY_ALL,
                                .formats = compile->options->assert_formats};
    struct js_resource *resource = make_resource(compile, root, referrer ? referrer : &plain, name);
    if (!resource || !js_map_put(&compile->roots, &compile->scratch, (cairn_str){root.raw.data, 0}, resource))
        return no_memory(compile);
    err = read_dialect(compile, root, resource);
    if (err == CAIRN_OK)
        err = add_resource(compile, name, resource);
    if (err == CAIRN_OK)
        err = scan(compile, root, resource);
    if (err == CAIRN_OK)
        *ret = js_map_get(&compile->roots, (cairn_str){root.raw.data, 0}); /* that of its "$id" where it has one */
    return err;
}

/* ---- references */

/* Put a container's members into compile->names, once. */
static cairn_err
index_members(struct js_compile *compile, struct json container)
{
    cairn_str key = {container.raw.data, 0};
    if (js_map_get(&compile->indexed, key))
        return CAIRN_OK;
    struct json name, item;
    size_t index = 0;
    for (struct json_walk walk = json_walk(container); json_next(&walk, &name, &item); index++) {
        char number[24];
        cairn_str text = name.type == JSON_STRING
                             ? js_text(name, &compile->scratch)
                             : (cairn_str){number, (size_t)snprintf(number, sizeof number, "%zu", index)};
        cairn_err err = text.data ? put_name(compile, container.raw.data, '/', text, item) : no_memory(compile);
        if (err != CAIRN_OK)
            return err;
    }
    return js_map_put(&compile->indexed, &compile->scratch, key, compile) ? CAIRN_OK : no_memory(compile);
}

/* The next token of a JSON pointer (RFC 6901), decoded in place into `to`; *at is behind its '/'. */
static cairn_str
next_token(const char **at, const char *end, char *to)
{
    cairn_str token = {to, 0};
    for (; *at < end && **at != '/'; ++*at) {
        char c = **at;
        if (c == '~' && end - *at >= 2 && ((*at)[1] == '0' || (*at)[1] == '1'))
            c = *++*at == '0' ? '~' : '/';
        to[token.size++] = c;
    }
    return token;
}

/* `pointer` begins with '/'. ret->type is JSON_NONE when there is nothing. */
static cairn_err
follow_pointer(struct js_compile *compile, cairn_str pointer, struct js_resource **resource, struct json *ret)
{
    struct json value = (*resource)->root;
    const char *at = pointer.data, *end = at + pointer.size;
    char *room = arena_alloc(&compile->scratch, pointer.size);
    if (!room)
        return no_memory(compile);
    cairn_err err = CAIRN_OK;
    while (err == CAIRN_OK && at < end && value.type != JSON_NONE) {
        at++;
        cairn_str token = next_token(&at, end, room);
        err = index_members(compile, value);
        if (err == CAIRN_OK)
            err = get_name(compile, value.raw.data, '/', token, &value);
        struct js_resource *there = value.type == JSON_NONE ? NULL
                                        : js_map_get(&compile->roots, (cairn_str){value.raw.data, 0});
        if (there)
            *resource = there;
    }
    *ret = value;
    return err;
}

static cairn_err
find_resource(struct js_compile *compile, const struct js_node *node, const char *keyword, cairn_str reference,
              struct js_resource **ret)
{
    *ret = node->resource;
    if (reference.size == 0 || reference.data[0] == '#')
        return CAIRN_OK;
    cairn_str uri = js_uri_resolve(&compile->schema->arena, node->resource->uri, reference), text;
    if (!uri.data)
        return no_memory(compile);
    *ret = js_map_get(&compile->resources, uri);
    if (*ret)
        return CAIRN_OK;
    if (!js_metaschema(uri, &text) &&
        !(compile->options->resolve && compile->options->resolve(compile->options->context, uri, &text)))
        return js_refuse(compile, node, keyword, CAIRN_E_INVALID, "there is no schema %.*s",
                         (int)(uri.size > 200 ? 200 : uri.size), uri.data);
    cairn_error inner = {.code = CAIRN_OK}, *outer = compile->error;
    compile->error = &inner;
    cairn_err err = js_load(compile, text, uri, node->resource, ret);
    compile->error = outer;
    return err == CAIRN_OK ? CAIRN_OK
                           : js_refuse(compile, node, keyword, err, "in %.*s: %s",
                                       (int)(uri.size > 100 ? 100 : uri.size), uri.data, inner.detail);
}

cairn_err
js_reference(struct js_compile *compile, const struct js_node *node, const char *keyword, struct json reference,
             struct js_node **ret, cairn_str *ret_anchor)
{
    struct js_resource *resource;
    struct json value;
    cairn_str fragment, text = js_text(reference, &compile->schema->arena);
    if (reference.type != JSON_STRING)
        return js_refuse(compile, node, keyword, CAIRN_E_INVALID, "must be a string");
    if (!text.data)
        return no_memory(compile);
    cairn_err err = find_resource(compile, node, keyword, text, &resource);
    if (err != CAIRN_OK)
        return err;
    js_uri_fragment(&compile->schema->arena, text, &fragment);
    *ret_anchor = (cairn_str){"", 0};
    if (!fragment.data)
        return no_memory(compile);
    if (fragment.size == 0) {
        value = resource->root;
    } else if (fragment.data[0] == '/') {
        err = follow_pointer(compile, fragment, &resource, &value);
    } else {
        err = get_name(compile, resource, '#', fragment, &value);
        for (struct js_anchor *anchor = resource->dynamic; anchor; anchor = anchor->next)
            if (cairn_str_equal(anchor->name, fragment))
                *ret_anchor = fragment;
    }
    if (err != CAIRN_OK)
        return err;
    if (value.type != JSON_OBJECT && value.type != JSON_TRUE && value.type != JSON_FALSE)
        return js_refuse(compile, node, keyword, CAIRN_E_INVALID, "%.*s leads to no schema",
                         (int)(text.size > 200 ? 200 : text.size), text.data);
    err = js_node_at(compile, value, resource, ret);
    if (err == CAIRN_OK && !(*ret)->parent && (*ret)->place.size == 0 && *ret != compile->schema->root)
        (*ret)->place = text.data[0] == '#' ? fragment : text;
    return err;
}

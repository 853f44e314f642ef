/* Compile what is registered, with the schemas that it refers to, and keep it for the next who asks; validate values by it.
 *
 * A version never changes, so what is compiled of an id holds for good; with a reference to "the newest" it does until something is
 * registered or deleted. The cache has a slot for each remainder of an id and is emptied when it holds too many bytes. */
#include <schema/registry_int.h>

struct gathering {
    struct schema_registry *registry;
    struct arena *arena;
    struct schema_text *texts;
    size_t count;
    bool newest; /* some reference is to the newest: which may be another later */
    unsigned depth;
    cairn_error *error;
};

static cairn_err gather(struct gathering *g, cairn_str references);

static cairn_err
gather_one(struct gathering *g, const struct schema_reference *reference)
{
    struct schema_version version;
    int name_size = (int)(reference->name.size > 100 ? 100 : reference->name.size);
    for (size_t i = 0; i < g->count; i++)
        if (cairn_str_equal(g->texts[i].name, reference->name))
            return CAIRN_OK;
    if (g->depth > SCHEMA_REFERENCES_MAX || g->count >= SCHEMA_REFERENCES_MAX)
        return error_set(g->error, CAIRN_E_INVALID, "more than %d schemas are referred to", SCHEMA_REFERENCES_MAX);
    bool newest = reference->version == UINT32_MAX;
    g->newest |= newest;
    if (!schema_registry_find(g->registry, reference->subject, newest ? 0 : reference->version, &version) ||
        version.life == SCHEMA_GONE || reference->version == 0)
        return error_set(g->error, CAIRN_E_INVALID, "the reference %.*s leads nowhere: there is no version %d of %.*s",
                         name_size, reference->name.data, newest ? -1 : (int)reference->version,
                         (int)(reference->subject.size > 100 ? 100 : reference->subject.size), reference->subject.data);
    g->depth++;
    cairn_err err = gather(g, version.references);
    g->depth--;
    if (err == CAIRN_OK && g->count >= SCHEMA_REFERENCES_MAX)
        return error_set(g->error, CAIRN_E_INVALID, "more than %d schemas are referred to", SCHEMA_REFERENCES_MAX);
    if (err == CAIRN_OK)
        g->texts[g->count++] = (struct schema_text){reference->name, version.text};
    return err;
}

/* Dependencies first. */
static cairn_err
gather(struct gathering *g, cairn_str references)
{
    struct json list;
    struct schema_reference reference;
    if (references.size == 0)
        return CAIRN_OK;
    cairn_err err = json_check(references, &list, g->error);
    if (err != CAIRN_OK)
        return err;
    if (list.type != JSON_ARRAY)
        return error_set(g->error, CAIRN_E_INVALID, "references must be a list");
    size_t wanted = json_count(list), got = 0;
    for (struct json_walk walk = json_walk(list); err == CAIRN_OK && schema_reference_next(&walk, g->arena, &reference); got++)
        err = gather_one(g, &reference);
    if (err == CAIRN_OK && got < wanted)
        return error_set(g->error, CAIRN_E_INVALID, "a reference must have a name, a subject and a version");
    return err;
}

static cairn_err
compile(struct schema_registry *registry, enum schema_kind kind, cairn_str text, cairn_str references,
        struct schema_compiled **ret, bool *ret_lasting, cairn_error *error)
{
    struct arena arena = {0};
    struct gathering g = {.registry = registry, .arena = &arena, .error = error};
    g.texts = arena_alloc(&arena, SCHEMA_REFERENCES_MAX * sizeof *g.texts);
    cairn_err err = g.texts ? gather(&g, references) : error_set(error, CAIRN_E_NOMEM, "no memory for schemas");
    if (err == CAIRN_OK)
        err = schema_compile(kind, text, g.texts, g.count, ret, error);
    *ret_lasting = !g.newest;
    arena_free(&arena);
    return err;
}

cairn_err
registry_compile(struct schema_registry *registry, enum schema_kind kind, cairn_str text, cairn_str references,
                 struct schema_compiled **ret, cairn_error *error)
{
    bool lasting;
    return compile(registry, kind, text, references, ret, &lasting, error);
}

/* ---- the cache */

static struct schema_compiled *
cached(struct schema_registry *registry, uint32_t id)
{
    struct schema_compiled *schema = NULL;
    size_t slot = id % CACHE_SLOTS;
    int64_t revision = registry->revision;
    pthread_mutex_lock(&registry->cache_lock);
    if (registry->cache[slot].schema && registry->cache[slot].id == id &&
        (registry->cache[slot].as_of == SCHEMA_LASTING || registry->cache[slot].as_of == revision))
        schema = schema_hold(registry->cache[slot].schema);
    pthread_mutex_unlock(&registry->cache_lock);
    return schema;
}

static void
empty_slot(struct schema_registry *registry, size_t slot)
{
    schema_release(registry->cache[slot].schema);
    registry->cache_bytes -= registry->cache[slot].bytes;
    registry->cache[slot].schema = NULL;
    registry->cache[slot].bytes = 0;
}

static void
keep(struct schema_registry *registry, uint32_t id, int64_t as_of, struct schema_compiled *schema)
{
    size_t bytes = schema_memory(schema), slot = id % CACHE_SLOTS;
    if (bytes > CACHE_BYTES_MAX / 4)
        return;
    pthread_mutex_lock(&registry->cache_lock);
    empty_slot(registry, slot);
    if (registry->cache_bytes + bytes > CACHE_BYTES_MAX)
        for (size_t i = 0; i < CACHE_SLOTS; i++)
            empty_slot(registry, i);
    registry->cache[slot].id = id;
    registry->cache[slot].as_of = as_of;
    registry->cache[slot].bytes = bytes;
    registry->cache[slot].schema = schema_hold(schema);
    registry->cache_bytes += bytes;
    pthread_mutex_unlock(&registry->cache_lock);
}

cairn_err
schema_registry_compiled(struct schema_registry *registry, const struct schema_version *version, struct schema_compiled **ret,
                         cairn_error *error)
{
    enum schema_kind kind;
    bool lasting;
    *ret = cached(registry, version->id);
    if (*ret)
        return CAIRN_OK;
    if (!schema_kind_parse(version->kind, &kind))
        return error_set(error, CAIRN_E_INVALID, "schema %u is of the unknown kind %.*s", version->id,
                         (int)(version->kind.size > 40 ? 40 : version->kind.size), version->kind.data);
    int64_t as_of = registry->revision; /* before compiling: what comes meanwhile makes it old */
    cairn_err err = compile(registry, kind, version->text, version->references, ret, &lasting, error);
    if (err == CAIRN_OK)
        keep(registry, version->id, lasting ? SCHEMA_LASTING : as_of, *ret);
    return err;
}

/* ---- values */

/* The id's schema, where it is registered under the subject (an empty one: under any). */
static bool
find_of_subject(struct schema_registry *registry, uint32_t id, cairn_str subject, struct schema_version *ret, bool *ret_known)
{
    bool found = false, known = false;
    pthread_rwlock_rdlock(&registry->lock);
    for (const struct entry *entry = registry_id(registry, id); entry && !found; entry = entry->next_same) {
        known |= entry->version.life != SCHEMA_GONE;
        found = entry->version.life != SCHEMA_GONE &&
                (subject.size == 0 || cairn_str_equal(entry->version.subject, subject));
        if (found)
            *ret = entry->version;
    }
    pthread_rwlock_unlock(&registry->lock);
    *ret_known = known;
    return found;
}

/* Others write to "$schemas" too: before an id is called unknown, what is new there is read. */
static cairn_err
schema_of_value(struct schema_registry *registry, uint32_t id, cairn_str subject, struct schema_version *ret, cairn_error *error)
{
    bool known;
    if (find_of_subject(registry, id, subject, ret, &known))
        return CAIRN_OK;
    cairn_err err = schema_registry_refresh(registry, error);
    if (err != CAIRN_OK)
        return err;
    if (find_of_subject(registry, id, subject, ret, &known))
        return CAIRN_OK;
    if (!known)
        return error_set(error, CAIRN_E_INVALID, "there is no schema of id %u", id);
    return error_set(error, CAIRN_E_INVALID, "schema %u is not of the subject %.*s", id,
                     (int)(subject.size > 200 ? 200 : subject.size), subject.data);
}

cairn_err
schema_registry_validate(struct schema_registry *registry, cairn_str subject, cairn_str value, cairn_error *error)
{
    struct schema_version version;
    struct schema_compiled *schema = NULL;
    const uint8_t *bytes = (const uint8_t *)value.data;
    if (value.size < 5)
        return error_set(error, CAIRN_E_INVALID, "the value has %zu bytes, too few for a schema's id", value.size);
    if (bytes[0] != 0)
        return error_set(error, CAIRN_E_INVALID, "the value begins with 0x%02x, not with 0x00 and a schema's id", bytes[0]);
    uint32_t id = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 | bytes[4];
    cairn_err err = schema_of_value(registry, id, subject, &version, error);
    if (err == CAIRN_OK)
        err = schema_registry_compiled(registry, &version, &schema, error);
    if (err == CAIRN_OK)
        err = schema_check_value(schema, (cairn_str){value.data + 5, value.size - 5}, error);
    schema_release(schema);
    return err;
}

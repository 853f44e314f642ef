/* Questions to the registry. The lock is held for the look-up only; what is answered lives as long as the registry. */
#include <schema/registry_int.h>

bool
schema_registry_by_id(struct schema_registry *registry, uint32_t id, struct schema_version *ret)
{
    pthread_rwlock_rdlock(&registry->lock);
    const struct entry *entry = registry_id(registry, id);
    if (entry)
        *ret = entry->version;
    pthread_rwlock_unlock(&registry->lock);
    return entry != NULL;
}

bool
schema_registry_find(struct schema_registry *registry, cairn_str subject, uint32_t version, struct schema_version *ret)
{
    pthread_rwlock_rdlock(&registry->lock);
    const struct subject *known = registry_subject(registry, subject);
    const struct entry *entry = known ? known->newest : NULL;
    while (entry && version != 0 && entry->version.version != version)
        entry = entry->before;
    if (entry)
        *ret = entry->version;
    pthread_rwlock_unlock(&registry->lock);
    return entry != NULL;
}

uint32_t
schema_registry_newest(struct schema_registry *registry, cairn_str subject)
{
    struct schema_version version;
    return schema_registry_find(registry, subject, 0, &version) ? version.version : 0;
}

uint32_t
schema_registry_id_max(struct schema_registry *registry)
{
    pthread_rwlock_rdlock(&registry->lock);
    uint32_t id = registry->id_max;
    pthread_rwlock_unlock(&registry->lock);
    return id;
}

static bool
is_seen(enum schema_view view, enum schema_life life)
{
    return life == SCHEMA_LIVE ? view != SCHEMA_VIEW_DELETED_ONLY : life == SCHEMA_HIDDEN && view != SCHEMA_VIEW_LIVE;
}

bool
schema_registry_seen(struct schema_registry *registry, cairn_str subject, uint32_t version, enum schema_view view,
                     struct schema_version *ret)
{
    pthread_rwlock_rdlock(&registry->lock);
    const struct subject *known = registry_subject(registry, subject);
    const struct entry *entry = known ? known->newest : NULL;
    while (entry && (!is_seen(view, entry->version.life) || (version != 0 && entry->version.version != version)))
        entry = entry->before;
    if (entry)
        *ret = entry->version;
    pthread_rwlock_unlock(&registry->lock);
    return entry != NULL;
}

cairn_err
schema_registry_select(struct schema_registry *registry, enum schema_view view,
                       bool (*keep)(void *context, const struct schema_version *version), void *context,
                       struct arena *arena, struct schema_version **ret, size_t *ret_count)
{
    size_t count = 0;
    pthread_rwlock_rdlock(&registry->lock);
    struct schema_version *list = arena_alloc(arena, (registry->count + 1) * sizeof *list);
    for (size_t i = 0; list && i < registry->count; i++) {
        const struct schema_version *version = &registry->entries[i]->version;
        if (is_seen(view, version->life) && (!keep || keep(context, version)))
            list[count++] = *version;
    }
    pthread_rwlock_unlock(&registry->lock);
    *ret = list;
    *ret_count = count;
    return list ? CAIRN_OK : CAIRN_E_NOMEM;
}

cairn_err
schema_registry_versions(struct schema_registry *registry, cairn_str subject, enum schema_view view, struct arena *arena,
                         struct schema_version **ret, size_t *ret_count)
{
    size_t count = 0;
    pthread_rwlock_rdlock(&registry->lock);
    const struct subject *known = registry_subject(registry, subject);
    const struct entry *newest = known ? known->newest : NULL;
    for (const struct entry *entry = newest; entry; entry = entry->before)
        count += is_seen(view, entry->version.life);
    struct schema_version *list = arena_alloc(arena, (count + 1) * sizeof *list);
    size_t at = count;
    for (const struct entry *entry = newest; list && entry; entry = entry->before)
        if (is_seen(view, entry->version.life))
            list[--at] = entry->version;
    pthread_rwlock_unlock(&registry->lock);
    *ret = list;
    *ret_count = count;
    return list ? CAIRN_OK : CAIRN_E_NOMEM;
}

cairn_err
schema_registry_of_id(struct schema_registry *registry, uint32_t id, enum schema_view view, struct arena *arena,
                      struct schema_version **ret, size_t *ret_count)
{
    size_t count = 0;
    pthread_rwlock_rdlock(&registry->lock);
    const struct entry *first = registry_id(registry, id);
    for (const struct entry *entry = first; entry; entry = entry->next_same)
        count += is_seen(view, entry->version.life);
    struct schema_version *list = arena_alloc(arena, (count + 1) * sizeof *list);
    size_t at = 0;
    for (const struct entry *entry = first; list && entry; entry = entry->next_same)
        if (is_seen(view, entry->version.life))
            list[at++] = entry->version;
    pthread_rwlock_unlock(&registry->lock);
    *ret = list;
    *ret_count = count;
    return list ? CAIRN_OK : CAIRN_E_NOMEM;
}

bool
schema_registry_by_guid(struct schema_registry *registry, cairn_uuid guid, struct schema_version *ret)
{
    bool found = false;
    pthread_rwlock_rdlock(&registry->lock);
    for (size_t i = 0; i < registry->count && !found; i++) {
        const struct schema_version *version = &registry->entries[i]->version;
        if (version->life == SCHEMA_GONE || memcmp(&version->guid, &guid, sizeof guid) != 0)
            continue;
        *ret = version[0];
        found = true;
    }
    pthread_rwlock_unlock(&registry->lock);
    return found;
}

bool
schema_reference_next(struct json_walk *walk, struct arena *arena, struct schema_reference *ret)
{
    struct json item;
    int64_t version;
    if (!json_next(walk, NULL, &item) || !json_i64(json_get(item, "version"), &version))
        return false;
    *ret = (struct schema_reference){json_string(json_get(item, "name"), arena), json_string(json_get(item, "subject"), arena),
                                     version == -1 ? UINT32_MAX : (uint32_t)version};
    return ret->name.data && ret->subject.data && version >= -1 && version < UINT32_MAX;
}

/* ---- settings */

static const char *const mode_names[] = {[SCHEMA_MODE_UNSET] = "", [SCHEMA_READWRITE] = "READWRITE",
                                         [SCHEMA_READONLY] = "READONLY", [SCHEMA_IMPORT] = "IMPORT",
                                         [SCHEMA_READONLY_OVERRIDE] = "READONLY_OVERRIDE"};

bool
schema_mode_parse(cairn_str text, enum schema_mode *ret)
{
    for (int i = SCHEMA_READWRITE; i <= SCHEMA_READONLY_OVERRIDE; i++)
        if (cairn_str_equal(text, cairn_cstr(mode_names[i]))) {
            *ret = (enum schema_mode)i;
            return true;
        }
    return false;
}

const char *
schema_mode_name(enum schema_mode mode)
{
    return mode_names[mode];
}

static const struct subject *
settings_of(const struct schema_registry *registry, cairn_str subject)
{
    return subject.size ? registry_subject(registry, subject) : &registry->everybody;
}

bool
schema_registry_config(struct schema_registry *registry, cairn_str subject, cairn_str *ret)
{
    pthread_rwlock_rdlock(&registry->lock);
    const struct subject *known = settings_of(registry, subject);
    bool found = known && known->config.data;
    if (found)
        *ret = known->config;
    pthread_rwlock_unlock(&registry->lock);
    return found;
}

enum schema_mode
schema_registry_mode(struct schema_registry *registry, cairn_str subject)
{
    pthread_rwlock_rdlock(&registry->lock);
    const struct subject *known = settings_of(registry, subject);
    enum schema_mode mode = known ? known->mode : SCHEMA_MODE_UNSET;
    pthread_rwlock_unlock(&registry->lock);
    return mode;
}

enum compat_level
schema_registry_level(struct schema_registry *registry, cairn_str subject)
{
    pthread_rwlock_rdlock(&registry->lock);
    const struct subject *known = settings_of(registry, subject);
    if (!known || !known->has_level)
        known = &registry->everybody;
    enum compat_level level = known->has_level ? known->level : COMPAT_BACKWARD;
    pthread_rwlock_unlock(&registry->lock);
    return level;
}

/* READONLY_OVERRIDE of all is above what a subject says. */
enum schema_mode
schema_registry_effective_mode(struct schema_registry *registry, cairn_str subject)
{
    enum schema_mode everybody = schema_registry_mode(registry, (cairn_str){"", 0});
    enum schema_mode own = schema_registry_mode(registry, subject);
    if (everybody == SCHEMA_READONLY_OVERRIDE)
        return everybody;
    return own != SCHEMA_MODE_UNSET ? own : everybody != SCHEMA_MODE_UNSET ? everybody : SCHEMA_READWRITE;
}

/* The schema registry: what the stream "$schemas" says, in memory; see registry_int.h.
 *
 * An event that cannot be is damage, and said so; one of an unknown type is of a later program. Order of locks: writing before
 * refreshing before lock. */
#include <schema/registry_int.h>

#include <stdlib.h>

static const uint8_t guid_space[16] = {0x6b, 0x1d, 0x9f, 0x52, 0x0c, 0x6e, 0x4a, 0x77, 0x9a, 0x3e, 0x51, 0x0e, 0x84, 0xd2, 0x13, 0xc8};

/* ---- tables; under the lock */

static bool
table_room(struct table *table, uint64_t (*hash_of)(const void *item))
{
    if ((table->count + 1) * 2 <= table->capacity)
        return true;
    size_t capacity = table->capacity ? table->capacity * 2 : 64;
    void **slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->slots[i]) {
            size_t at = (size_t)hash_of(table->slots[i]);
            while (slots[at & (capacity - 1)])
                at++;
            slots[at & (capacity - 1)] = table->slots[i];
        }
    free(table->slots);
    table->slots = slots;
    table->capacity = capacity;
    return true;
}

static uint64_t
hash_id(const void *item)
{
    return hash64(&((const struct entry *)item)->version.id, sizeof(uint32_t), 0);
}

static uint64_t
hash_digest(const void *item)
{
    return load64(((const struct entry *)item)->version.digest);
}

static uint64_t
hash_subject(const void *item)
{
    const struct subject *subject = item;
    return hash64(subject->name.data, subject->name.size, 0);
}

static void **
id_slot(const struct schema_registry *registry, uint32_t id)
{
    for (size_t i = (size_t)hash64(&id, sizeof id, 0);; i++) {
        void **slot = &registry->ids.slots[i & (registry->ids.capacity - 1)];
        if (!*slot || ((struct entry *)*slot)->version.id == id)
            return slot;
    }
}

static void **
digest_slot(const struct schema_registry *registry, const uint8_t digest[32])
{
    for (size_t i = (size_t)load64(digest);; i++) {
        void **slot = &registry->digests.slots[i & (registry->digests.capacity - 1)];
        if (!*slot || memcmp(((struct entry *)*slot)->version.digest, digest, 32) == 0)
            return slot;
    }
}

static void **
subject_slot(const struct schema_registry *registry, cairn_str name)
{
    for (size_t i = (size_t)hash64(name.data, name.size, 0);; i++) {
        void **slot = &registry->subjects.slots[i & (registry->subjects.capacity - 1)];
        if (!*slot || cairn_str_equal(((struct subject *)*slot)->name, name))
            return slot;
    }
}

struct subject *
registry_subject(const struct schema_registry *registry, cairn_str name)
{
    return registry->subjects.capacity ? *subject_slot(registry, name) : NULL;
}

struct entry *
registry_id(const struct schema_registry *registry, uint32_t id)
{
    return registry->ids.capacity ? *id_slot(registry, id) : NULL;
}

struct entry *
registry_digest(const struct schema_registry *registry, const uint8_t digest[32])
{
    return registry->digests.capacity ? *digest_slot(registry, digest) : NULL;
}

static struct subject *
make_subject(struct schema_registry *registry, cairn_str name)
{
    if (!table_room(&registry->subjects, hash_subject))
        return NULL;
    void **slot = subject_slot(registry, name);
    if (!*slot) {
        struct subject *subject = arena_zalloc(&registry->arena, sizeof *subject);
        if (!subject || !(subject->name = arena_copy(&registry->arena, name)).data)
            return NULL;
        *slot = subject;
        registry->subjects.count++;
    }
    return *slot;
}

/* ---- what a schema says */

static cairn_err
put_json_part(struct buf *to, cairn_str text)
{
    buf_put_char(to, '\n');
    return text.size ? schema_put_json_canonical(text, to) : CAIRN_OK;
}

cairn_err
registry_make_digest(cairn_str kind, cairn_str canonical, cairn_str references, cairn_str metadata, cairn_str rules, uint8_t ret[32])
{
    struct buf text = {0};
    cairn_err err = put_json_part(&text, references);
    if (err == CAIRN_OK)
        err = put_json_part(&text, metadata);
    if (err == CAIRN_OK)
        err = put_json_part(&text, rules);
    buf_put_char(&text, '\n');
    if (err == CAIRN_OK && text.failed)
        err = CAIRN_E_NOMEM;
    cairn_str pieces[3] = {kind, buf_str(&text), canonical};
    if (err == CAIRN_OK)
        sha256_pieces(pieces, 3, ret);
    buf_free(&text);
    return err;
}

/* Of an app's schema, or one of an earlier program: JSON Schema has one that needs no compiling. */
static cairn_err
digest_of_text(struct entry *entry)
{
    struct buf canonical = {0};
    if (!cairn_str_equal(entry->version.kind, CAIRN_STR("JSON")))
        return CAIRN_OK;
    cairn_err err = schema_put_json_canonical(entry->version.text, &canonical);
    if (err == CAIRN_OK)
        err = registry_make_digest(entry->version.kind, buf_str(&canonical), entry->version.references,
                                   entry->version.metadata, entry->version.rules, entry->version.digest);
    entry->has_digest = err == CAIRN_OK;
    buf_free(&canonical);
    return err == CAIRN_E_NOMEM ? err : CAIRN_OK; /* a text that is no JSON says what only it says */
}

/* ---- reading "$schemas" */

static cairn_err
damaged(const cairn_recorded *event, const char *what, cairn_error *error)
{
    return error_set(error, CAIRN_E_CORRUPT, "%s: the event at revision %llu %s", SCHEMA_STREAM,
                     (unsigned long long)event->revision, what);
}

static cairn_err
no_memory(cairn_error *error)
{
    return error_set(error, CAIRN_E_NOMEM, "no memory for schemas");
}

/* A member that is optional, as text. False: out of memory. */
static bool
take_json(struct schema_registry *registry, struct json value, cairn_str *ret)
{
    *ret = value.type == JSON_NONE ? (cairn_str){NULL, 0} : arena_copy(&registry->arena, value.raw);
    return value.type == JSON_NONE || ret->data;
}

/* A member that must be a string. */
static cairn_err
take_string(struct json data, const char *name, struct arena *scratch, cairn_str *ret)
{
    struct json value = json_get(data, name);
    if (value.type != JSON_STRING)
        return CAIRN_E_CORRUPT;
    *ret = js_text(value, scratch);
    return ret->data ? CAIRN_OK : CAIRN_E_NOMEM;
}

static cairn_err
take_version(struct schema_registry *registry, struct json data, struct entry *entry, struct arena *scratch)
{
    struct schema_version *version = &entry->version;
    cairn_str subject, kind, text, digest;
    cairn_err err = take_string(data, "subject", scratch, &subject);
    if (err == CAIRN_OK)
        err = take_string(data, "kind", scratch, &kind);
    if (err == CAIRN_OK)
        err = take_string(data, "text", scratch, &text);
    if (err != CAIRN_OK)
        return err;
    err = take_string(data, "digest", scratch, &digest);
    if (err == CAIRN_E_NOMEM)
        return err;
    version->subject = arena_copy(&registry->arena, subject);
    version->kind = arena_copy(&registry->arena, kind);
    version->text = arena_copy(&registry->arena, text);
    if (!version->subject.data || !version->kind.data || !version->text.data ||
        !take_json(registry, json_get(data, "references"), &version->references) ||
        !take_json(registry, json_get(data, "metadata"), &version->metadata) ||
        !take_json(registry, json_get(data, "ruleSet"), &version->rules))
        return CAIRN_E_NOMEM;
    entry->has_digest = err == CAIRN_OK && parse_hex(digest, entry->version.digest, sizeof entry->version.digest);
    err = entry->has_digest ? CAIRN_OK : digest_of_text(entry);
    cairn_uuid space;
    memcpy(&space, guid_space, sizeof space);
    version->guid = entry->has_digest ? uuid_v5(space, (cairn_str){(const char *)entry->version.digest, 32})
                                      : uuid_v5(space, version->text);
    return err;
}

/* Ids and versions count up, but for those that share an id and for what was imported. */
static bool
in_order(const struct schema_registry *registry, const struct entry *entry, bool imported)
{
    const struct schema_version *version = &entry->version;
    const struct subject *subject = registry_subject(registry, version->subject);
    uint32_t largest = subject ? subject->version_max : 0;
    const struct entry *same = registry_id(registry, version->id);
    if (same && (!cairn_str_equal(same->version.kind, version->kind) || !cairn_str_equal(same->version.text, version->text)))
        return false;
    return (same || imported || version->id == registry->id_max + 1) &&
           (imported ? version->version > largest : version->version == largest + 1);
}

static cairn_err
read_entry(struct schema_registry *registry, const cairn_recorded *event, struct json data, struct entry **ret, cairn_error *error)
{
    uint64_t id, number;
    struct arena scratch = {0};
    if (!json_u64(json_get(data, "id"), &id) || !json_u64(json_get(data, "version"), &number) || id == 0 || id >= UINT32_MAX ||
        number == 0 || number >= UINT32_MAX)
        return damaged(event, "is no schema", error);
    struct entry *entry = arena_zalloc(&registry->arena, sizeof *entry);
    if (!entry)
        return no_memory(error);
    entry->version.id = (uint32_t)id;
    entry->version.version = (uint32_t)number;
    cairn_err err = take_version(registry, data, entry, &scratch);
    arena_free(&scratch);
    if (err == CAIRN_E_CORRUPT)
        return damaged(event, "is no schema", error);
    if (err != CAIRN_OK)
        return no_memory(error);
    if (!in_order(registry, entry, json_get(data, "imported").type == JSON_TRUE))
        return damaged(event, "is out of order", error);
    *ret = entry;
    return CAIRN_OK;
}

static bool
grow_entries(struct schema_registry *registry)
{
    if (registry->count < registry->capacity)
        return true;
    size_t capacity = registry->capacity ? registry->capacity * 2 : 64;
    struct entry **entries = realloc(registry->entries, capacity * sizeof *entries);
    if (!entries)
        return false;
    registry->entries = entries;
    registry->capacity = capacity;
    return true;
}

static bool
is_gone(const struct entry *entry)
{
    for (; entry; entry = entry->next_same)
        if (entry->version.life != SCHEMA_GONE)
            return false;
    return true;
}

static void
add_digest(struct schema_registry *registry, struct entry *entry)
{
    void **slot = digest_slot(registry, entry->version.digest);
    struct entry *there = *slot;
    registry->digests.count += !there;
    if (!there || is_gone(registry_id(registry, there->version.id)))
        *slot = entry;
}

static cairn_err
add_schema(struct schema_registry *registry, const cairn_recorded *event, struct json data, cairn_error *error)
{
    struct entry *entry = NULL;
    cairn_err err = read_entry(registry, event, data, &entry, error);
    if (err != CAIRN_OK)
        return err;
    struct subject *subject = make_subject(registry, entry->version.subject);
    if (!subject || !grow_entries(registry) || !table_room(&registry->ids, hash_id) ||
        !table_room(&registry->digests, hash_digest))
        return no_memory(error);
    entry->before = subject->newest;
    subject->newest = entry;
    subject->version_max = entry->version.version;
    if (entry->version.id > registry->id_max)
        registry->id_max = entry->version.id;
    void **slot = id_slot(registry, entry->version.id);
    if (*slot) {
        struct entry *last = *slot;
        while (last->next_same)
            last = last->next_same;
        last->next_same = entry;
    } else {
        *slot = entry;
        registry->ids.count++;
    }
    if (entry->has_digest)
        add_digest(registry, entry);
    registry->entries[registry->count++] = entry;
    return CAIRN_OK;
}

static cairn_err
add_deletion(struct schema_registry *registry, const cairn_recorded *event, struct json data, cairn_str name, cairn_error *error)
{
    uint64_t number;
    struct subject *subject = registry_subject(registry, name);
    if (!subject || !json_u64(json_get(data, "version"), &number))
        return damaged(event, "deletes nothing", error);
    bool permanent = json_get(data, "permanent").type == JSON_TRUE;
    for (struct entry *entry = subject->newest; entry; entry = (struct entry *)entry->before) {
        if (number != 0 && entry->version.version != number)
            continue;
        if (permanent && entry->version.life == SCHEMA_HIDDEN)
            entry->version.life = SCHEMA_GONE;
        else if (!permanent && entry->version.life == SCHEMA_LIVE)
            entry->version.life = SCHEMA_HIDDEN;
    }
    return CAIRN_OK;
}

static cairn_err
add_config(struct schema_registry *registry, const cairn_recorded *event, struct json data, struct subject *subject,
           cairn_error *error)
{
    struct json config = json_get(data, "config");
    struct arena scratch = {0};
    if (config.type != JSON_OBJECT) {
        subject->config = (cairn_str){NULL, 0};
        subject->has_level = false;
        return config.type == JSON_NULL ? CAIRN_OK : damaged(event, "has no settings", error);
    }
    subject->config = arena_copy(&registry->arena, config.raw);
    cairn_str level;
    cairn_err err = take_string(config, "compatibilityLevel", &scratch, &level);
    subject->has_level = err == CAIRN_OK && compat_level_parse(level, &subject->level);
    arena_free(&scratch);
    return subject->config.data && err != CAIRN_E_NOMEM ? CAIRN_OK : no_memory(error);
}

static cairn_err
add_setting(struct schema_registry *registry, const cairn_recorded *event, struct json data, cairn_str name, bool mode,
            cairn_error *error)
{
    struct arena scratch = {0};
    struct subject *subject = name.size ? make_subject(registry, name) : &registry->everybody;
    if (!subject)
        return no_memory(error);
    if (!mode)
        return add_config(registry, event, data, subject, error);
    enum schema_mode value = SCHEMA_MODE_UNSET;
    struct json text = json_get(data, "mode");
    cairn_str word = js_text(text, &scratch);
    bool known = text.type == JSON_NULL || (word.data && schema_mode_parse(word, &value)), full = word.data != NULL;
    arena_free(&scratch);
    if (!full)
        return no_memory(error);
    if (!known)
        return damaged(event, "has no mode", error);
    subject->mode = value;
    return CAIRN_OK;
}

static cairn_err
add_event(struct schema_registry *registry, const cairn_recorded *event, cairn_error *error)
{
    bool schema = cairn_str_equal(event->event.type, CAIRN_STR(EVENT_SCHEMA));
    bool deleted = cairn_str_equal(event->event.type, CAIRN_STR(EVENT_DELETED));
    bool config = cairn_str_equal(event->event.type, CAIRN_STR(EVENT_CONFIG));
    bool mode = cairn_str_equal(event->event.type, CAIRN_STR(EVENT_MODE));
    struct json data;
    struct arena scratch = {0};
    cairn_err err;
    if (!schema && !deleted && !config && !mode)
        return CAIRN_OK; /* of a later program */
    if (json_check(event->event.data, &data, NULL) != CAIRN_OK)
        return damaged(event, "is no schema", error);
    cairn_str name = {NULL, 0};
    cairn_err named = take_string(data, "subject", &scratch, &name);
    pthread_rwlock_wrlock(&registry->lock);
    if (named == CAIRN_E_NOMEM)
        err = no_memory(error);
    else if (schema)
        err = add_schema(registry, event, data, error);
    else if (named != CAIRN_OK)
        err = damaged(event, "has no subject", error);
    else if (deleted)
        err = add_deletion(registry, event, data, name, error);
    else
        err = add_setting(registry, event, data, name, mode, error);
    pthread_rwlock_unlock(&registry->lock);
    arena_free(&scratch);
    return err;
}

static cairn_err
refresh(struct schema_registry *registry, cairn_error *error)
{
    cairn_reader *reader = NULL;
    cairn_recorded event;
    cairn_stream_info info;
    cairn_err err = cairn_stream_info_get(registry->store, registry->scope, CAIRN_STR(SCHEMA_STREAM), &info, error);
    if (err != CAIRN_OK || info.last_revision == registry->revision)
        return err; /* nothing new, as for every record with an id that nobody knows: no reading for that */
    cairn_read_options options = {.scope = registry->scope, .from = registry->revision + 1, .system = true};
    err = cairn_read_stream(registry->store, CAIRN_STR(SCHEMA_STREAM), &options, &reader, error);
    while (err == CAIRN_OK) {
        err = cairn_reader_next(reader, &event, error);
        if (err == CAIRN_OK)
            err = add_event(registry, &event, error);
        if (err == CAIRN_OK)
            registry->revision = (int64_t)event.revision;
    }
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

cairn_err
schema_registry_refresh(struct schema_registry *registry, cairn_error *error)
{
    pthread_mutex_lock(&registry->refreshing);
    cairn_err err = refresh(registry, error);
    pthread_mutex_unlock(&registry->refreshing);
    return err;
}

cairn_err
registry_begin(struct schema_registry *registry, int64_t *ret_expected, cairn_error *error)
{
    pthread_mutex_lock(&registry->refreshing);
    cairn_err err = refresh(registry, error);
    *ret_expected = registry->revision < 0 ? CAIRN_NONE : registry->revision;
    pthread_mutex_unlock(&registry->refreshing);
    return err;
}

cairn_err
schema_registry_open(cairn_store *store, cairn_scope scope, struct schema_registry **ret, cairn_error *error)
{
    struct schema_registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return no_memory(error);
    registry->store = store;
    registry->scope = scope;
    registry->revision = -1;
    pthread_mutex_init(&registry->writing, NULL);
    pthread_mutex_init(&registry->refreshing, NULL);
    pthread_mutex_init(&registry->cache_lock, NULL);
    pthread_rwlock_init(&registry->lock, NULL);
    cairn_err err = schema_registry_refresh(registry, error);
    if (err == CAIRN_OK)
        *ret = registry;
    else
        schema_registry_free(registry);
    return err;
}

void
schema_registry_free(struct schema_registry *registry)
{
    if (!registry)
        return;
    for (size_t i = 0; i < CACHE_SLOTS; i++)
        schema_release(registry->cache[i].schema);
    pthread_rwlock_destroy(&registry->lock);
    pthread_mutex_destroy(&registry->cache_lock);
    pthread_mutex_destroy(&registry->refreshing);
    pthread_mutex_destroy(&registry->writing);
    arena_free(&registry->arena);
    free(registry->entries);
    free(registry->ids.slots);
    free(registry->digests.slots);
    free(registry->subjects.slots);
    free(registry);
}

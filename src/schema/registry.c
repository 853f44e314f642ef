/* The schema registry: what the stream "$schemas" says, in memory.
 *
 *   "$schemas" ─► refresh ─► entries by id ─► newest of each subject, which points to the one before it
 *
 * One event a version: type "$schema", data {"id","subject","version","kind","text"}; text is a string, so that every byte
 * of what was registered comes back. Ids and versions must count up without a gap: anything else is damage.
 *
 * Invariants: entries are only added, never changed, and live in the arena until the registry is freed; `lock` guards the
 * tables around them and is held for look-ups and additions only; `refreshing` is held by whoever reads the store. Order:
 * refreshing before lock. */
#include <schema/registry.h>

#include <base/bytes.h>
#include <base/error.h>
#include <base/hash.h>
#include <base/json.h>
#include <schema/json_schema_int.h>

#include <pthread.h>
#include <stdlib.h>

#define EVENT_TYPE "$schema"
#define KIND_JSON "JSON"

struct entry {
    struct schema_version version;
    const struct entry *before; /* the subject's version before this one */
};

struct subject {
    const struct entry *newest;
};

struct schema_registry {
    cairn_store *store;
    cairn_scope scope;
    pthread_mutex_t refreshing;
    int64_t revision; /* of "$schemas", the last that was read, or -1 */

    pthread_rwlock_t lock;
    struct arena arena;
    const struct entry **entries; /* entries[id - 1] */
    size_t count, capacity;
    struct subject *subjects; /* open addressing by the subject's hash */
    size_t subject_count, subject_capacity; /* a power of two */
};

/* ---- tables; under the lock */

static struct subject *
subject_slot(const struct schema_registry *registry, cairn_str name)
{
    for (size_t i = (size_t)hash64(name.data, name.size, 0);; i++) {
        struct subject *slot = &registry->subjects[i & (registry->subject_capacity - 1)];
        if (!slot->newest || cairn_str_equal(slot->newest->version.subject, name))
            return slot;
    }
}

static const struct entry *
find_newest(const struct schema_registry *registry, cairn_str subject)
{
    return registry->subject_capacity ? subject_slot(registry, subject)->newest : NULL;
}

/* Room for one more of each. */
static bool
make_room(struct schema_registry *registry)
{
    if (registry->count == registry->capacity) {
        size_t capacity = registry->capacity ? registry->capacity * 2 : 64;
        const struct entry **entries = realloc(registry->entries, capacity * sizeof *entries);
        if (!entries)
            return false;
        registry->entries = entries;
        registry->capacity = capacity;
    }
    if (registry->subject_count * 2 >= registry->subject_capacity) {
        struct schema_registry larger = {.subject_capacity = registry->subject_capacity ? registry->subject_capacity * 2 : 64};
        larger.subjects = calloc(larger.subject_capacity, sizeof *larger.subjects);
        if (!larger.subjects)
            return false;
        for (size_t i = 0; i < registry->subject_capacity; i++)
            if (registry->subjects[i].newest)
                *subject_slot(&larger, registry->subjects[i].newest->version.subject) = registry->subjects[i];
        free(registry->subjects);
        registry->subjects = larger.subjects;
        registry->subject_capacity = larger.subject_capacity;
    }
    return true;
}

/* ---- reading "$schemas" */

static cairn_err
damaged(const cairn_recorded *event, const char *what, cairn_error *error)
{
    return error_set(error, CAIRN_E_CORRUPT, "%s: the event at revision %llu %s", SCHEMA_STREAM,
                     (unsigned long long)event->revision, what);
}

/* The entry that an event tells of; the arena is used under the lock. */
static cairn_err
read_entry(struct schema_registry *registry, const cairn_recorded *event, struct entry **ret, cairn_error *error)
{
    struct json data;
    uint64_t id, version;
    if (json_check(event->event.data, &data, NULL) != CAIRN_OK || !json_u64(json_get(data, "id"), &id) ||
        !json_u64(json_get(data, "version"), &version))
        return damaged(event, "is no schema", error);
    struct arena scratch = {0};
    struct entry *entry = arena_zalloc(&registry->arena, sizeof *entry);
    cairn_str subject = json_string(json_get(data, "subject"), &scratch);
    cairn_str kind = json_string(json_get(data, "kind"), &scratch);
    cairn_str text = json_string(json_get(data, "text"), &scratch);
    cairn_err err = CAIRN_OK;
    if (!subject.data || !kind.data || !text.data)
        err = damaged(event, "is no schema", error);
    if (err == CAIRN_OK && entry)
        entry->version = (struct schema_version){
            .id = (uint32_t)id, .version = (uint32_t)version, .subject = arena_copy(&registry->arena, subject),
            .kind = arena_copy(&registry->arena, kind), .text = arena_copy(&registry->arena, text)};
    arena_free(&scratch);
    if (err != CAIRN_OK)
        return err;
    if (!entry || !entry->version.subject.data || !entry->version.kind.data || !entry->version.text.data)
        return error_set(error, CAIRN_E_NOMEM, "no memory for schemas");
    entry->before = find_newest(registry, entry->version.subject);
    if (id != registry->count + 1 || version != (entry->before ? entry->before->version.version : 0) + UINT64_C(1))
        return damaged(event, "is out of order", error);
    *ret = entry;
    return CAIRN_OK;
}

static cairn_err
add_event(struct schema_registry *registry, const cairn_recorded *event, cairn_error *error)
{
    struct entry *entry = NULL;
    cairn_err err = CAIRN_OK;
    if (!cairn_str_equal(event->event.type, CAIRN_STR(EVENT_TYPE)))
        return CAIRN_OK; /* of a later program */
    pthread_rwlock_wrlock(&registry->lock);
    if (!make_room(registry))
        err = error_set(error, CAIRN_E_NOMEM, "no memory for schemas");
    if (err == CAIRN_OK)
        err = read_entry(registry, event, &entry, error);
    if (err == CAIRN_OK) {
        struct subject *slot = subject_slot(registry, entry->version.subject);
        registry->subject_count += !slot->newest;
        slot->newest = entry;
        registry->entries[registry->count++] = entry;
    }
    pthread_rwlock_unlock(&registry->lock);
    return err;
}

cairn_err
schema_registry_refresh(struct schema_registry *registry, cairn_error *error)
{
    cairn_reader *reader = NULL;
    cairn_recorded event;
    pthread_mutex_lock(&registry->refreshing);
    cairn_read_options options = {.scope = registry->scope, .from = registry->revision + 1, .system = true};
    cairn_err err = cairn_read_stream(registry->store, CAIRN_STR(SCHEMA_STREAM), &options, &reader, error);
    while (err == CAIRN_OK) {
        err = cairn_reader_next(reader, &event, error);
        if (err == CAIRN_OK)
            err = add_event(registry, &event, error);
        if (err == CAIRN_OK)
            registry->revision = (int64_t)event.revision;
    }
    cairn_reader_free(reader);
    pthread_mutex_unlock(&registry->refreshing);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

cairn_err
schema_registry_open(cairn_store *store, cairn_scope scope, struct schema_registry **ret, cairn_error *error)
{
    struct schema_registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return error_set(error, CAIRN_E_NOMEM, "no memory for schemas");
    registry->store = store;
    registry->scope = scope;
    registry->revision = -1;
    pthread_mutex_init(&registry->refreshing, NULL);
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
    pthread_rwlock_destroy(&registry->lock);
    pthread_mutex_destroy(&registry->refreshing);
    arena_free(&registry->arena);
    free(registry->entries);
    free(registry->subjects);
    free(registry);
}

/* ---- asking */

bool
schema_registry_by_id(struct schema_registry *registry, uint32_t id, struct schema_version *ret)
{
    pthread_rwlock_rdlock(&registry->lock);
    bool found = id >= 1 && id <= registry->count;
    if (found)
        *ret = registry->entries[id - 1]->version;
    pthread_rwlock_unlock(&registry->lock);
    return found;
}

bool
schema_registry_find(struct schema_registry *registry, cairn_str subject, uint32_t version, struct schema_version *ret)
{
    pthread_rwlock_rdlock(&registry->lock);
    const struct entry *entry = find_newest(registry, subject);
    pthread_rwlock_unlock(&registry->lock);
    while (entry && version != 0 && entry->version.version != version) /* entries never change */
        entry = entry->before;
    if (entry)
        *ret = entry->version;
    return entry != NULL;
}

uint32_t
schema_registry_newest(struct schema_registry *registry, cairn_str subject)
{
    struct schema_version version;
    return schema_registry_find(registry, subject, 0, &version) ? version.version : 0;
}

/* ---- planning */

/* The same schema: as a value where it is JSON, else byte by byte. */
static cairn_err
same_text(cairn_str kind, cairn_str a, cairn_str b, struct arena *arena, bool *ret)
{
    int64_t steps = INT64_MAX;
    struct js_compare compare = {.arena = arena, .steps = &steps};
    struct json x, y;
    *ret = cairn_str_equal(a, b);
    if (*ret || !cairn_str_equal(kind, CAIRN_STR(KIND_JSON)) || json_check(a, &x, NULL) != CAIRN_OK ||
        json_check(b, &y, NULL) != CAIRN_OK)
        return CAIRN_OK;
    *ret = js_equal(&compare, x, y);
    return compare.nomem ? CAIRN_E_NOMEM : CAIRN_OK;
}

/* What the subject's newest version will be once the items before this one are written. */
static bool
newest_planned(struct schema_registry *registry, const struct schema_plan_item *items, size_t before, cairn_str subject,
               struct schema_version *ret)
{
    while (before-- > 0)
        if (cairn_str_equal(items[before].subject, subject)) {
            *ret = items[before].ret;
            return true;
        }
    return schema_registry_find(registry, subject, 0, ret);
}

static cairn_err
write_event(const struct schema_version *version, struct arena *arena, cairn_event *ret)
{
    struct buf data = {0};
    buf_put_char(&data, '{');
    json_put_u64_member(&data, "id", version->id);
    json_put_text_member(&data, "subject", version->subject);
    json_put_u64_member(&data, "version", version->version);
    json_put_text_member(&data, "kind", version->kind);
    json_put_text_member(&data, "text", version->text);
    buf_put_char(&data, '}');
    cairn_str copy = data.failed ? (cairn_str){NULL, 0} : arena_copy(arena, buf_str(&data));
    buf_free(&data);
    *ret = (cairn_event){.type = CAIRN_STR(EVENT_TYPE), .data = copy};
    return copy.data ? CAIRN_OK : CAIRN_E_NOMEM;
}

static cairn_err
plan_item(struct schema_registry *registry, struct schema_plan_item *items, size_t index, uint32_t *next_id,
          struct arena *arena, cairn_event *ret_event)
{
    struct schema_plan_item *item = &items[index];
    struct schema_version newest = {.version = 0};
    bool same = false;
    cairn_err err = CAIRN_OK;
    struct schema_version known = {.version = 0};
    bool any = newest_planned(registry, items, index, item->subject, &newest);
    /* Going back to an earlier text goes back to its version: events written by it meanwhile are what they were then. */
    for (known = newest; any && !same && err == CAIRN_OK; any = schema_registry_find(registry, item->subject, known.version - 1, &known)) {
        if (cairn_str_equal(known.kind, item->kind))
            err = same_text(item->kind, known.text, item->text, arena, &same);
        if (same || known.version <= 1)
            break;
    }
    if (err != CAIRN_OK)
        return err;
    item->ret_new = !same;
    item->ret = known;
    if (same)
        return CAIRN_OK;
    item->ret = (struct schema_version){.id = (*next_id)++, .version = newest.version + 1, .subject = item->subject,
                                        .kind = item->kind, .text = item->text};
    return write_event(&item->ret, arena, ret_event);
}

cairn_err
schema_registry_plan(struct schema_registry *registry, struct schema_plan_item *items, size_t count, struct arena *arena,
                     cairn_write *ret_write, cairn_error *error)
{
    cairn_event *events = arena_alloc(arena, (count ? count : 1) * sizeof *events);
    size_t event_count = 0;
    cairn_err err = events ? CAIRN_OK : CAIRN_E_NOMEM;
    pthread_mutex_lock(&registry->refreshing); /* what was read and the revision belong together */
    int64_t revision = registry->revision;
    uint32_t next_id = (uint32_t)registry->count + 1;
    for (size_t i = 0; i < count && err == CAIRN_OK; i++) {
        err = plan_item(registry, items, i, &next_id, arena, &events[event_count]);
        if (err == CAIRN_OK)
            event_count += items[i].ret_new;
    }
    pthread_mutex_unlock(&registry->refreshing);
    if (err != CAIRN_OK)
        return error_set(error, err, "no memory for schemas");
    *ret_write = (cairn_write){.stream = CAIRN_STR(SCHEMA_STREAM), .expected = revision < 0 ? CAIRN_NONE : revision,
                               .events = events, .event_count = event_count};
    return CAIRN_OK;
}

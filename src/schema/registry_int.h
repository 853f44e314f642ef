/* schema/registry_int.h: the registry in memory.
 *
 *   "$schemas" ─► registry.c: refresh ─┬─► entries, in the order of the log
 *                                      ├─► ids      id ─► the first entry that got it ─► the next of the same id
 *                                      ├─► digests  what a schema says ─► an entry that says so
 *                                      └─► subjects name ─► newest entry ─► the one before it; settings
 *
 * Files: registry.c reads the events and answers, registry_plan.c plans for apps, registry_change.c writes for clients,
 * registry_compile.c compiles with references, and validates.
 *
 * Events: "$schema" {"id","subject","version","kind","text"} and, of clients, "references","metadata","ruleSet","digest",
 * "imported"; "$schema-deleted" {"subject","version" (0: all),"permanent"}; "$schema-config" {"subject","config"};
 * "$schema-mode" {"subject","mode"}. Texts are strings, so that every byte of what was registered comes back.
 *
 * Invariants: entries are only added; of an entry only `life` changes, under the lock. An id is one more than the largest, or
 * that of an entry with the same kind and text, or imported. A version is one more than the subject's largest, or imported. */
#ifndef SCHEMA_REGISTRY_INT_H
#define SCHEMA_REGISTRY_INT_H

#include <schema/registry.h>

#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <schema/json_schema_int.h>

#include <pthread.h>
#include <stdatomic.h>

#define CACHE_SLOTS 512
#define CACHE_BYTES_MAX ((size_t)128 << 20)
#define SCHEMA_LASTING INT64_MAX

struct entry {
    struct schema_version version;
    bool has_digest;
    const struct entry *before; /* the subject's version before this one */
    struct entry *next_same;    /* the next of the same id */
};

struct subject {
    cairn_str name;
    struct entry *newest;
    uint32_t version_max;
    cairn_str config; /* data NULL: none */
    enum compat_level level;
    bool has_level;
    enum schema_mode mode;
};

/* Open addressing; a slot is a pointer, NULL: free. */
struct table {
    void **slots;
    size_t count, capacity; /* a power of two */
};

struct schema_registry {
    cairn_store *store;
    cairn_scope scope;
    pthread_mutex_t writing;    /* held by whoever decides and appends, for clients */
    pthread_mutex_t refreshing; /* held by whoever reads the store */
    _Atomic int64_t revision; /* of "$schemas", the last that was read, or -1; changed under refreshing */

    pthread_rwlock_t lock; /* of all below; held for look-ups and additions only */
    struct arena arena;
    struct entry **entries;
    size_t count, capacity;
    struct table ids, digests, subjects;
    uint32_t id_max;
    struct subject everybody; /* the settings of all */

    pthread_mutex_t cache_lock;
    struct {
        uint32_t id;
        int64_t as_of; /* it holds while that is the revision; SCHEMA_LASTING: for good */
        size_t bytes;
        struct schema_compiled *schema;
    } cache[CACHE_SLOTS];
    size_t cache_bytes;
};

/* Under the lock; NULL: none. */
struct subject *registry_subject(const struct schema_registry *registry, cairn_str name);
struct entry *registry_id(const struct schema_registry *registry, uint32_t id);
struct entry *registry_digest(const struct schema_registry *registry, const uint8_t digest[32]);

/* What a schema says, as one hash: kind, canonical form, references, metadata, rules. */
CAIRN_MUST_CHECK cairn_err registry_make_digest(cairn_str kind, cairn_str canonical, cairn_str references, cairn_str metadata,
                                                cairn_str rules, uint8_t ret[32]);
/* The revision to expect in an append that rests on what is known now; refreshed first. */
CAIRN_MUST_CHECK cairn_err registry_begin(struct schema_registry *registry, int64_t *ret_expected, cairn_error *error);

/* The event of a new version, in the arena. digest NULL: an app's. */
CAIRN_MUST_CHECK cairn_err registry_version_event(const struct schema_version *version, const uint8_t *digest, bool imported,
                                                  struct arena *arena, cairn_event *ret);

/* Compile a text that is not registered (yet) with the schemas that it refers to. *ret_missing: a reference leads nowhere. */
CAIRN_MUST_CHECK cairn_err registry_compile(struct schema_registry *registry, enum schema_kind kind, cairn_str text,
                                            cairn_str references, struct schema_compiled **ret, cairn_error *error);

#define EVENT_SCHEMA "$schema"
#define EVENT_DELETED "$schema-deleted"
#define EVENT_CONFIG "$schema-config"
#define EVENT_MODE "$schema-mode"
#endif

/* schema/registry.h: which schemas there are: subjects, versions, ids. Events of the system stream "$schemas".
 *
 * A subject is "<app>.<EventType>" for apps, and what Kafka's clients call it for them ("orders-value"). A schema's id is what
 * cairn_event.schema_id carries, and what stands before a Kafka value; ids begin at 1, never change and are never used again.
 *
 * Two ways to register:
 *   - schema_registry_plan(), for apps: nothing is written here but planned; the caller appends the planned events together
 *     with its own, so that a deployment and its schemas are one append, and then tells the registry. A version of an app has
 *     an id of its own.
 *   - schema_registry_register(), for clients: held to the subject's compatibility and mode, written at once. The same schema
 *     under another subject has the same id.
 *
 * Threads: reading from any thread without a lock that is held for long; of planners one at a time (the caller's lock); the
 * calls that write take turns themselves, and plan again when somebody else was faster. */
#ifndef SCHEMA_REGISTRY_H
#define SCHEMA_REGISTRY_H

#include <base/arena.h>
#include <base/json.h>
#include <cairn/store.h>
#include <schema/compat.h>
#include <schema/kind.h>

struct schema_registry;

#define SCHEMA_STREAM "$schemas"
#define SCHEMA_SUBJECT_MAX 512
#define SCHEMA_REFERENCES_MAX 64 /* of a schema and of those that it refers to */

/* A version that was deleted softly is only hidden; one that was deleted for good is shown to apps alone, whose events still
 * bear its id. */
enum schema_life { SCHEMA_LIVE, SCHEMA_HIDDEN, SCHEMA_GONE };

/* Texts live as long as the registry. */
struct schema_version {
    uint32_t id;
    uint32_t version; /* of the subject, from 1 */
    cairn_str subject, kind, text; /* kind: "AVRO", "JSON", "PROTOBUF" */
    cairn_str references, metadata, rules; /* JSON as the client sent it, or empty */
    uint8_t digest[32]; /* of what the schema says; zeros where that is not known */
    cairn_uuid guid; /* made of it: the same wherever the schema is registered */
    enum schema_life life;
};

/* Read "$schemas". Keeps up with what others append by schema_registry_refresh(). */
CAIRN_MUST_CHECK cairn_err schema_registry_open(cairn_store *store, cairn_scope scope,
                                                struct schema_registry **ret, cairn_error *error);
void schema_registry_free(struct schema_registry *registry);
CAIRN_MUST_CHECK cairn_err schema_registry_refresh(struct schema_registry *registry, cairn_error *error);

/* The first version that got the id. Deleted ones are found too. */
bool schema_registry_by_id(struct schema_registry *registry, uint32_t id, struct schema_version *ret);
/* version 0: the newest. Deleted ones are found too. */
bool schema_registry_find(struct schema_registry *registry, cairn_str subject, uint32_t version,
                          struct schema_version *ret);
uint32_t schema_registry_newest(struct schema_registry *registry, cairn_str subject); /* 0: unknown subject */

/* ---- planning, for apps */

/* Texts to register in one go. One that the subject has had (compared as JSON values): no new version, ret is the newest
 * of those. */
struct schema_plan_item {
    cairn_str subject, kind, text;
    struct schema_version ret; /* filled in: the id and version that it has or will have */
    bool ret_new;
};
/* Fills items, and `ret_write` (its events in the arena; expected revision set; event_count 0 when nothing is new).
 * After the append succeeded call schema_registry_refresh(). */
CAIRN_MUST_CHECK cairn_err schema_registry_plan(struct schema_registry *registry, struct schema_plan_item *items,
                                                size_t count, struct arena *arena, cairn_write *ret_write,
                                                cairn_error *error);

/* ---- asking, for clients */

enum schema_view { SCHEMA_VIEW_LIVE, SCHEMA_VIEW_DELETED_TOO, SCHEMA_VIEW_DELETED_ONLY }; /* never those that are gone */

/* A version of a subject's, or the newest (0), of those that the view has. */
bool schema_registry_seen(struct schema_registry *registry, cairn_str subject, uint32_t version, enum schema_view view,
                          struct schema_version *ret);
/* All versions that `keep` wants, in the order in which they were registered, in the arena. */
CAIRN_MUST_CHECK cairn_err schema_registry_select(struct schema_registry *registry, enum schema_view view,
                                                  bool (*keep)(void *context, const struct schema_version *version),
                                                  void *context, struct arena *arena, struct schema_version **ret,
                                                  size_t *ret_count);
/* A subject's, oldest first; and those of an id or a guid, of whatever subject. */
CAIRN_MUST_CHECK cairn_err schema_registry_versions(struct schema_registry *registry, cairn_str subject, enum schema_view view,
                                                    struct arena *arena, struct schema_version **ret, size_t *ret_count);
CAIRN_MUST_CHECK cairn_err schema_registry_of_id(struct schema_registry *registry, uint32_t id, enum schema_view view,
                                                 struct arena *arena, struct schema_version **ret, size_t *ret_count);
bool schema_registry_by_guid(struct schema_registry *registry, cairn_uuid guid, struct schema_version *ret);
uint32_t schema_registry_id_max(struct schema_registry *registry);

/* What a reference in a schema's list says; false at the end or where the list is no such list. */
struct schema_reference {
    cairn_str name, subject;
    uint32_t version; /* UINT32_MAX: the newest there is */
};
bool schema_reference_next(struct json_walk *walk, struct arena *arena, struct schema_reference *ret);

/* A registered schema, compiled with its references; kept for the next who asks. Release it. CAIRN_E_INVALID: it does not
 * compile (an app's own, or what an earlier program took). */
CAIRN_MUST_CHECK cairn_err schema_registry_compiled(struct schema_registry *registry, const struct schema_version *version,
                                                    struct schema_compiled **ret, cairn_error *error);

/* Whether a Kafka value is framed (0x00, id in 4 bytes, big end first, for Protobuf message indexes), its id is a schema that
 * is registered under the subject, and what follows is a value of it. An empty subject: of any. CAIRN_E_INVALID: what is wrong. */
CAIRN_MUST_CHECK cairn_err schema_registry_validate(struct schema_registry *registry, cairn_str subject, cairn_str value,
                                                    cairn_error *error);

/* ---- settings of a subject; an empty subject: of all that have none of their own */

enum schema_mode { SCHEMA_MODE_UNSET, SCHEMA_READWRITE, SCHEMA_READONLY, SCHEMA_IMPORT, SCHEMA_READONLY_OVERRIDE };
bool schema_mode_parse(cairn_str text, enum schema_mode *ret);
const char *schema_mode_name(enum schema_mode mode);

/* The settings as JSON ({"compatibilityLevel":"FULL",…}); lives as long as the registry. False: none of its own. */
bool schema_registry_config(struct schema_registry *registry, cairn_str subject, cairn_str *ret);
enum schema_mode schema_registry_mode(struct schema_registry *registry, cairn_str subject); /* its own, or UNSET */
/* What holds for a subject: its own, or else of all, or else BACKWARD and READWRITE. */
enum compat_level schema_registry_level(struct schema_registry *registry, cairn_str subject);
enum schema_mode schema_registry_effective_mode(struct schema_registry *registry, cairn_str subject);

/* ---- writing, for clients */

/* Why not, in Confluent's numbers; 0 where the cairn_err says all. */
enum schema_refusal {
    SCHEMA_NO_SUBJECT = 40401, SCHEMA_NO_VERSION = 40402, SCHEMA_NO_SCHEMA = 40403, SCHEMA_SUBJECT_HIDDEN = 40404,
    SCHEMA_SUBJECT_NOT_HIDDEN = 40405, SCHEMA_VERSION_HIDDEN = 40406, SCHEMA_VERSION_NOT_HIDDEN = 40407,
    SCHEMA_NO_CONFIG = 40408, SCHEMA_NO_MODE = 40409, SCHEMA_INCOMPATIBLE = 40901, SCHEMA_BAD_SCHEMA = 42201,
    SCHEMA_BAD_VERSION = 42202, SCHEMA_BAD_LEVEL = 42203, SCHEMA_BAD_MODE = 42204, SCHEMA_NOT_PERMITTED = 42205,
    SCHEMA_REFERRED_TO = 42206, SCHEMA_BAD_SUBJECT = 42208, SCHEMA_TOO_LARGE = 42209
};

struct schema_request {
    cairn_str subject;
    enum schema_kind kind;
    cairn_str text;
    cairn_str references, metadata, rules; /* JSON or empty */
    uint32_t id, version; /* 0: whatever comes next; others only in mode IMPORT */
    bool normalize;
};

/* ret: the version that there was already, or the new one. Where the earlier versions refuse it, faults say why, each with
 * its version in fault_versions (SCHEMA_FAULTS_MAX of them). */
struct schema_outcome {
    struct schema_version version;
    enum schema_refusal refusal;
    struct schema_faults faults;
    uint32_t fault_versions[SCHEMA_FAULTS_MAX];
    enum compat_level level;
};
CAIRN_MUST_CHECK cairn_err schema_registry_register(struct schema_registry *registry, const struct schema_request *request,
                                                    struct schema_outcome *outcome, cairn_error *error);
/* The version of the subject that says the same, newest first. SCHEMA_NO_SUBJECT, SCHEMA_NO_SCHEMA. */
CAIRN_MUST_CHECK cairn_err schema_registry_lookup(struct schema_registry *registry, const struct schema_request *request,
                                                  bool deleted_too, struct schema_outcome *outcome, cairn_error *error);
/* May it follow? version 0: what the subject's level asks for; others: that version alone. CAIRN_E_INVALID with
 * SCHEMA_INCOMPATIBLE and faults: no. */
CAIRN_MUST_CHECK cairn_err schema_registry_compatible(struct schema_registry *registry, const struct schema_request *request,
                                                      uint32_t version, struct schema_outcome *outcome, cairn_error *error);

/* Delete a version, or all (version 0); `permanent` those that are hidden already. ret_versions in the arena. */
CAIRN_MUST_CHECK cairn_err schema_registry_delete(struct schema_registry *registry, cairn_str subject, uint32_t version,
                                                  bool permanent, struct arena *arena, uint32_t **ret_versions,
                                                  size_t *ret_count, enum schema_refusal *ret_refusal, cairn_error *error);
/* config: a JSON object, or empty to forget; mode SCHEMA_MODE_UNSET to forget. */
CAIRN_MUST_CHECK cairn_err schema_registry_set_config(struct schema_registry *registry, cairn_str subject, cairn_str config,
                                                      enum schema_refusal *ret_refusal, cairn_error *error);
CAIRN_MUST_CHECK cairn_err schema_registry_set_mode(struct schema_registry *registry, cairn_str subject, enum schema_mode mode,
                                                    bool force, enum schema_refusal *ret_refusal, cairn_error *error);
#endif

/* schema/registry.h: which schemas there are: subjects, versions, ids. Events of the system stream "$schemas".
 *
 * A subject is "<app>.<EventType>" for apps. A schema's id is what cairn_event.schema_id carries; ids begin at 1, never
 * change and are never used again. Registering is not done here but planned: the caller appends the planned events
 * together with its own, so that a deployment and its schemas are one append, and then tells the registry.
 *
 * Threads: reading from any thread without a lock that is held for long; one planner at a time (the caller's lock). */
#ifndef SCHEMA_REGISTRY_H
#define SCHEMA_REGISTRY_H

#include <base/arena.h>
#include <cairn/store.h>

struct schema_registry;

#define SCHEMA_STREAM "$schemas"

struct schema_version {
    uint32_t id;
    uint32_t version; /* of the subject, from 1 */
    cairn_str subject, kind, text; /* kind: "JSON". Live as long as the registry */
};

/* Read "$schemas". Keeps up with what others append by schema_registry_refresh(). */
CAIRN_MUST_CHECK cairn_err schema_registry_open(cairn_store *store, cairn_scope scope,
                                                struct schema_registry **ret, cairn_error *error);
void schema_registry_free(struct schema_registry *registry);
CAIRN_MUST_CHECK cairn_err schema_registry_refresh(struct schema_registry *registry, cairn_error *error);

bool schema_registry_by_id(struct schema_registry *registry, uint32_t id, struct schema_version *ret);
/* version 0: the newest. */
bool schema_registry_find(struct schema_registry *registry, cairn_str subject, uint32_t version,
                          struct schema_version *ret);
uint32_t schema_registry_newest(struct schema_registry *registry, cairn_str subject); /* 0: unknown subject */

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
#endif

/* proto/http/registry.h: the schema registry as Confluent's clients know it, for a server of its own (port 8081).
 *
 * Paths, members and error codes are Confluent's; what is answered comes from schema/registry.h. Credentials are not looked
 * at yet. docs/registry.md lists the calls and what is different.
 *
 * Threads: requests are read on the exchange's loop and worked on by the pool (http_work), so any number at once. Bounds: the
 * server's own for bodies; 12 parts a path, 2,000 bytes a part, 1,000 items an answer unless `limit` says more. */
#ifndef PROTO_HTTP_REGISTRY_H
#define PROTO_HTTP_REGISTRY_H

#include <cairn/store.h>
#include <proto/http/http.h>

struct registry_door;
struct schema_registry;

/* registry: one that others share, which has to outlive the door; NULL: the door opens its own. */
CAIRN_MUST_CHECK cairn_err registry_door_create(cairn_store *store, cairn_scope scope, struct schema_registry *registry,
                                                struct registry_door **ret, cairn_error *error);
/* An http_handler; context is the door. */
void registry_door_handle(void *context, struct http_exchange *x);
/* After the server has stopped. */
void registry_door_free(struct registry_door *door);
struct schema_registry *registry_door_registry(struct registry_door *door);
#endif

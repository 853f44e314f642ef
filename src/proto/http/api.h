/* proto/http/api.h: what the paths mean: the HTTP API on a store.
 *
 * One table (api_routes.c) of method, path, parameters, handler and description drives dispatch and
 * /openapi.json alike. docs/http.md is the user's page.
 *
 * Life:  api_create ─► http_server_start(handler = api_serve, context = api) ─► api_drain ─►
 *        http_server_stop ─► api_free ─► cairn_close
 *
 * Threads: api_serve runs on the http loops' threads; the other calls on the thread that owns the
 * server. */
#ifndef PROTO_HTTP_API_H
#define PROTO_HTTP_API_H

#include <cairn/cairn.h>

struct api;
struct broker;
struct buf;
struct groups_broker;
struct http_exchange;
struct http_server;
struct relays;

struct api_config {
    cairn_store *store;         /* borrowed */
    cairn_apps *apps;           /* borrowed; NULL: this server has none */
    struct broker *broker;      /* these three borrowed; NULL: this server has no topics, groups, relays */
    struct groups_broker *groups;
    struct relays *relays;
    void (*metrics)(void *context, struct buf *to); /* lines that /metrics ends with: of doors that the API does not know; NULL */
    void *metrics_context;
    uint32_t append_events_max; /* (4096) refused before memory is taken for more */
    uint32_t followers_max;     /* (100,000) streams of server-sent events at once */
    uint32_t heartbeat_ms;      /* (15,000) silence after which a follower gets a comment line */
    const char *data_folder;    /* whose disk /v1/stats speaks of; NULL: none */
    const char *scratch_folder; /* where a backup is put together; NULL: it cannot be downloaded */
};

/* ret  freed with api_free() */
CAIRN_MUST_CHECK cairn_err api_create(const struct api_config *config, struct api **ret,
                                      cairn_error *error);
/* An http_handler; context is the struct api. */
void api_serve(void *context, struct http_exchange *x);
/* The server whose figures /metrics shows; before the first request where there is one. */
void api_set_server(struct api *api, struct http_server *server);
/* Refuse new work and end long work soon; returns when no append is under way. Afterwards
 * http_server_stop() may free every exchange. */
void api_drain(struct api *api);
/* After http_server_stop(). NULL is fine. */
void api_free(struct api *api);

/* The OpenAPI 3.1 document, borrowed until api_free(). */
cairn_str api_openapi(const struct api *api);

#endif

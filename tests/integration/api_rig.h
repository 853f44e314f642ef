/* api_rig.h: a real server in this process, on a free port over a temporary folder, and short calls to it. */
#ifndef TESTS_API_RIG_H
#define TESTS_API_RIG_H

#include "api_client.h"

#include <base/text.h>
#include <proto/http/api_int.h>
#include <server/server.h>

static char folder[64];
static struct server *server;
static char base[128];
static unsigned port;

static inline int
setup(void **state)
{
    (void)state;
    struct server_config config;
    cairn_error error = {0};
    curl_global_init(CURL_GLOBAL_ALL);
    test_folder(folder);
    config_defaults(&config);
    snprintf(config.data, sizeof config.data, "%s/data", folder);
    snprintf(config.listen, sizeof config.listen, "127.0.0.1:0");
    config.loops = 2;
    config.segment_size = 1 << 20;
    config.heartbeat_us = 300000;
    if (server_start(&config, &server, &error) != CAIRN_OK) {
        fprintf(stderr, "%s\n", error.detail);
        return -1;
    }
    snprintf(base, sizeof base, "%s", server_url(server));
    port = (unsigned)strtoul(strrchr(base, ':') + 1, NULL, 10);
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    server_stop(server);
    test_remove(folder);
    curl_global_cleanup();
    return 0;
}

/* ---- calls ------------------------------------------------------------------------------------------------- */

static const char *const json_headers[] = {"content-type: application/json", NULL};

static inline struct reply
call(const char *method, const char *path, const char *body)
{
    return client_call(base, method, path, body ? json_headers : NULL, body ? cairn_cstr(body) : (cairn_str){0});
}

static inline struct reply
call_as(const char *method, const char *path, const char *header, const char *body)
{
    const char *const headers[] = {header, NULL};
    return client_call(base, method, path, headers, body ? cairn_cstr(body) : (cairn_str){0});
}

/* Call, check the status, give the reply. */
static inline struct reply
expect(long status, const char *method, const char *path, const char *body)
{
    struct reply reply = call(method, path, body);
    if (reply.status != status)
        fail_msg("%s %s: %ld, not %ld: %s", method, path, reply.status, status, reply.body.data);
    return reply;
}

static inline void
just(long status, const char *method, const char *path, const char *body)
{
    struct reply reply = expect(status, method, path, body);
    reply_free(&reply);
}

/* A problem of that status and type whose detail says so. */
static inline struct reply
expect_problem(long status, const char *name, const char *says, struct reply reply)
{
    char type[64], content[256];
    snprintf(type, sizeof type, "urn:cairn:problem:%s", name);
    if (reply.status != status || !json_string_is(json_get(reply.json, "type"), type) ||
        !strstr(reply.body.data, says))
        fail_msg("%ld %s (%s): got %ld %s", status, name, says, reply.status, reply.body.data);
    uint64_t said;
    CHECK(json_u64(json_get(reply.json, "status"), &said) && said == (uint64_t)status);
    CHECK(reply_header(&reply, "content-type", content));
    CHECK_STR(content, "application/problem+json");
    return reply;
}

static inline void
problem(long status, const char *name, const char *says, const char *method, const char *path, const char *body)
{
    struct reply reply = expect_problem(status, name, says, call(method, path, body));
    reply_free(&reply);
}

static inline int64_t
number(struct json value, const char *name)
{
    int64_t n = -99;
    if (!json_i64(json_get(value, name), &n))
        fail_msg("no number %s in %.*s", name, (int)value.raw.size, value.raw.data);
    return n;
}

static inline void
append(const char *stream, const char *body)
{
    char path[256];
    snprintf(path, sizeof path, "/v1/streams/%s/events", stream);
    just(201, "POST", path, body);
}

static inline size_t
events_in(const struct reply *reply)
{
    return json_count(json_get(reply->json, "events"));
}

static inline struct json
event_at(const struct reply *reply, size_t index)
{
    struct json_walk walk = json_walk(json_get(reply->json, "events"));
    struct json none, event = {0};
    for (size_t i = 0; i <= index; i++)
        CHECK(json_next(&walk, &none, &event));
    return event;
}

#endif

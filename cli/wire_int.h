/* cli/wire_int.h: what the files of the wire target share: one HTTP call at a time over one kept
 * connection (libcurl), and the server's problems as errors. */
#ifndef CLI_WIRE_INT_H
#define CLI_WIRE_INT_H

#include <base/json.h>
#include <curl/curl.h>

#include "out.h"
#include "target.h"

struct wire {
    struct target target;
    struct wire_options options;
    char *url, *cacert; /* own copies */
    CURL *curl;
    struct buf path, body, reply; /* reused by every call */
};

/* Bytes of an answer as they come. False: enough, end the call (which then succeeds). */
typedef bool (*wire_chunk)(void *context, cairn_str bytes);

/* One call. Zero everything, then set what matters. */
struct call {
    const char *method;
    cairn_str body;
    const char *content_type; /* of the body */
    const char *accept;
    int64_t last_event_id;    /* SSE: -1 none */
    bool has_last_event_id;
    const struct call_header { /* further ones, up to a NULL name; an empty value is left out */
        const char *name;
        cairn_str value;
    } *headers;
    struct buf *problem_text; /* where not NULL: gets the text of the server's problem, the caller's to free */
    wire_chunk chunk;         /* NULL: the answer is gathered in wire->reply */
    void *context;
    bool patient;             /* no limit on silence: the server may work long, or have nothing to say */
    bool whatever;            /* Ctrl-C does not end it */

    /* the answer */
    long status;
    bool connected;           /* an answer's header was read */
    char content_type_got[128];
    int64_t revision, end;    /* cairn-revision, cairn-end; -1 */
    uint64_t length;          /* content-length; 0: unknown */
    uint64_t retry_after_s;   /* retry-after; 0: not said */

    struct wire *wire;        /* the call's own */
    bool enough, no_memory;
    struct buf problem;
};

/* The target as a server, or NULL when it is a folder. */
struct wire *wire_of(struct target *target);

/* Perform wire->path on the server. Errors: the server's problem, or CLI_E_UNREACHABLE, CLI_E_INTERRUPTED. */
CAIRN_MUST_CHECK cairn_err wire_call(struct wire *wire, struct call *call, cairn_error *error);
/* A problem (RFC 9457) as an error. */
cairn_err wire_problem(struct json problem, long status, cairn_error *error);

/* Begin a path: wire_path(wire, "/v1/streams/", stream, "/events"); the middle is percent-encoded. */
void wire_path(struct wire *wire, const char *before, cairn_str name, const char *after);
/* Add a query parameter. */
void wire_arg(struct wire *wire, const char *name, cairn_str value);
void wire_arg_number(struct wire *wire, const char *name, int64_t value);

/* The reply as JSON, checked. */
CAIRN_MUST_CHECK cairn_err wire_json(struct wire *wire, struct json *ret, cairn_error *error);
uint64_t wire_number(struct json object, const char *name); /* 0 when absent */

/* wire_admin.c */
cairn_err wire_verify(struct target *target, cairn_fault_visit visit, cairn_progress progress,
                      void *context, cairn_verify_report *ret, cairn_error *error);
cairn_err wire_backup(struct target *target, const char *folder, cairn_progress progress,
                      void *context, uint64_t *ret_end, cairn_error *error);
cairn_err wire_branch(struct target *target, const char *folder, cairn_str at, cairn_error *error);
cairn_err wire_scavenge(struct target *target, cairn_progress progress, void *context,
                        cairn_scavenge_report *ret, cairn_error *error);
cairn_err wire_reindex(struct target *target, cairn_progress progress, void *context, cairn_error *error);
/* wire_group.c */
cairn_err wire_group_put(struct target *target, cairn_str name, const cairn_group_config *config,
                         cairn_error *error);
cairn_err wire_group_delete(struct target *target, cairn_str name, cairn_error *error);
cairn_err wire_group_status(struct target *target, cairn_str name, struct buf *to, cairn_error *error);
cairn_err wire_group_take(struct target *target, cairn_str name, size_t limit, delivery_visit visit,
                          void *context, cairn_error *error);
cairn_err wire_group_ack(struct target *target, cairn_str name, const uint64_t *positions, size_t count,
                         size_t *ret_count, cairn_error *error);
cairn_err wire_group_nack(struct target *target, cairn_str name, const uint64_t *positions, size_t count,
                          bool park, cairn_str reason, size_t *ret_count, cairn_error *error);
cairn_err wire_group_parked(struct target *target, cairn_str name, size_t limit, delivery_visit visit,
                            void *context, cairn_error *error);
cairn_err wire_group_replay(struct target *target, cairn_str name, size_t *ret_count, cairn_error *error);

/* Write a query: [{"types":[…],"tags":[…]}…]. */
void wire_put_query(struct buf *to, const cairn_query *query);

#endif

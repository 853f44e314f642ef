/* proto/http/api_int.h: what the files of the API share. Nothing outside api*.c includes this.
 *
 * A handler is a function from a call (parameters, body) to a reply in call->out. It touches no
 * exchange, so the dispatcher may run it on the loop (RUN_INLINE) or on a pool thread (RUN_WORK);
 * the route says which. Handlers that answer later or in pieces (RUN_OWN) take the exchange over. */
#ifndef PROTO_HTTP_API_INT_H
#define PROTO_HTTP_API_INT_H

#include <proto/http/api.h>
#include <proto/http/api_follow.h>
#include <proto/http/http.h>
#include <proto/http/problem.h>

#include <stdatomic.h>

#define API_LOOPS_MAX 64
#define API_PATH_PARTS_MAX 8
#define API_PARTS_MAX 3
#define API_LIMIT_DEFAULT 100
#define API_LIMIT_MAX 10000
#define API_LIMIT_INLINE 200                  /* longer pages go to the pool */
#define API_PAGE_INLINE_BYTES (256u << 10)    /* and so do larger ones */
#define API_PAGE_BYTES_MAX (8u << 20)         /* a page ends after the event that reaches this */
#define API_STREAM_SYSTEM_SIGIL '$'

/* ---- parameters ------------------------------------------------------------------------------- */

/* Every parameter there is. A route names those it takes; the rest is refused by name. */
enum api_arg {
    ARG_EXPECTED,
    ARG_FROM_REVISION,
    ARG_FROM_POSITION,
    ARG_DIRECTION,
    ARG_LIMIT,
    ARG_AS_OF,
    ARG_CATEGORY,
    ARG_TYPE,
    ARG_TAG,
    ARG_SINCE,
    ARG_UNTIL,
    ARG_SYSTEM,
    ARG_PREFIX,
    ARG_AFTER,
    ARG_TOMBSTONE,
    ARG_REVISION,
    ARG_WAIT,
    ARG_ROWS,
    ARG_CURSOR,
    ARG_AFTER_POSITION,
    ARG_TIMEOUT,
    ARG_AT_REVISION,
    ARG_MAKE,
    ARG_AFTER_NAME,
    ARG_NAME_PREFIX,
    ARG_FROM_OFFSET,
    ARG_AT,
    ARG_FREE, /* last: whatever else; an app's query names its own */
    ARG_COUNT
};
#define ARG(name) (UINT64_C(1) << ARG_##name)

enum api_arg_kind {
    KIND_TEXT,      /* 1 to 512 bytes of UTF-8 */
    KIND_LIST,      /* the same, repeatable, up to 64 */
    KIND_WHOLE,     /* a whole number within bounds */
    KIND_BOOL,      /* true or false */
    KIND_DIRECTION, /* forward or backward */
    KIND_EXPECTED,  /* any, none, exists or a revision */
    KIND_FROM,      /* a whole number, start or end */
    KIND_OFFSET,    /* a whole number, earliest or latest */
    KIND_TIME,      /* RFC 3339 */
    KIND_MOMENT,    /* RFC 3339 or a position */
    KIND_CURSOR,    /* opaque text of at most 4,096 bytes */
    KIND_FREE       /* any name, once each, any UTF-8 */
};

struct api_arg_spec {
    const char *name;
    enum api_arg_kind kind;
    const char *summary;
    int64_t min, max, fallback; /* KIND_WHOLE */
    bool required;
};
extern const struct api_arg_spec api_arg_specs[ARG_COUNT];

struct api_value {
    bool given;
    bool is_time; /* KIND_MOMENT: number is µs, not a position */
    cairn_str text;
    int64_t number; /* whatever the kind reads as a number, or the fallback */
};

#define API_LIST_MAX 64
#define API_FREE_MAX 64
struct api_list {
    cairn_str *items;
    size_t count;
};

struct api_args {
    struct api_value value[ARG_COUNT];
    struct api_list types, tags; /* ARG_TYPE, ARG_TAG */
    cairn_app_param *free;       /* ARG_FREE */
    size_t free_count;
};

/* Read a query string. `taken`: ARG() bits. CAIRN_E_INVALID names the parameter and what it takes. */
CAIRN_MUST_CHECK cairn_err api_args_parse(cairn_str query, uint64_t taken, struct arena *arena,
                                          struct api_args *ret, cairn_error *error);
/* "any", "none", "exists" or a revision. */
bool api_parse_expected(cairn_str text, int64_t *ret);
/* Percent-decoded into the arena when it holds an escape, otherwise borrowed. False: a bad escape or
 * no memory. */
bool api_decode(cairn_str text, bool form, struct arena *arena, cairn_str *ret);

/* ---- routes ------------------------------------------------------------------------------------- */

struct api_call;

enum api_run { RUN_INLINE, RUN_WORK, RUN_OWN };
typedef cairn_err (*api_handle)(struct api_call *call, cairn_error *error);

struct api_content {
    const char *type;   /* media type */
    const char *schema; /* name under #/components/schemas, or NULL: any bytes */
};

struct api_response {
    int status;
    const char *description;
    struct api_content contents[4];
};

struct api_route {
    const char *method;
    const char *pattern; /* "/v1/streams/{stream}/events" */
    const char *id;      /* operationId, and the route's label in /metrics */
    const char *tag;
    api_handle handle;
    enum api_run run;
    uint64_t args;
    const char *summary;
    const char *description; /* or NULL */
    struct api_content body[7];
    struct api_response responses[3];
    const char *problems; /* statuses, "400 409" */
};

/* NULL past the last. */
const struct api_route *api_route_at(size_t index);
size_t api_route_count(void);

struct api_match {
    const struct api_route *route; /* NULL: see allow */
    cairn_str parts[API_PARTS_MAX]; /* of {…}, decoded into the arena, in order */
    size_t part_count;
    char allow[64]; /* methods of the path when only the method did not match, else "" */
    bool bad_escape;
};
void api_route_find(cairn_str method, cairn_str path, struct arena *arena, struct api_match *ret);

void api_openapi_put(struct buf *to);
/* The members of components.schemas, as JSON. */
extern const char api_schemas[];

/* ---- calls --------------------------------------------------------------------------------------- */

/* What Accept asked for, among what a route can give. */
enum api_form {
    FORM_JSON,
    FORM_NDJSON,
    FORM_CLOUDEVENTS,
    FORM_SSE,
    FORM_NONE /* nothing that it can give */
};
enum api_form api_negotiate(cairn_str accept, const enum api_form *offered, size_t count);

struct api_call {
    struct api *api;
    struct http_exchange *x;
    struct api_loop *loop;
    const struct api_route *route;
    struct arena *arena; /* of whoever runs the handler now */
    cairn_str parts[API_PARTS_MAX];
    struct api_args args;
    cairn_str body, content_type, accept, last_event_id;
    int64_t start_us; /* monotonic */
    bool malformed;   /* CAIRN_E_INVALID is 400 (syntax), not 422 */

    /* The reply, when the handler returns CAIRN_OK. */
    int status;              /* 0: 200 */
    const char *reply_type;  /* NULL: application/json */
    cairn_str reply_type_text; /* instead, when size > 0: must live in the arena */
    struct buf *out;
    struct http_field fields[6];
    size_t field_count;

    struct arena own_arena; /* of a kept call */
    struct buf own_out;
    api_handle on_pool;
    void *state; /* the handler's own */
    const struct problem_kind *problem; /* where the problem is no error of the store's; static */
    cairn_str problem_members; /* what a problem gets besides the usual: `"name":value,…` in the arena */
    cairn_err result;
    cairn_error failure;
};

/* Answer with the reply, or with the problem of `err`; counts the request. Loop's thread. */
void api_finish(struct api_call *call, cairn_err err, const cairn_error *error);
/* A copy of a call that outlives the handler; holds the exchange. NULL: no memory. api_release()
 * releases and frees what is its own. */
struct api_call *api_keep(const struct api_call *call);
void api_release(struct api_call *call);
/* Run a handler for a kept call on the pool and answer with what it returns; releases the call. On
 * CAIRN_E_BUSY the call is still the caller's. */
cairn_err api_run_on_pool(struct api_call *kept, api_handle handle, cairn_error *error);
/* The same for a handler that may do nothing but wait. */
cairn_err api_run_waiting(struct api_call *kept, api_handle handle, cairn_error *error);
/* Add a header to the reply; value must live as long as the call. */
void api_reply_field(struct api_call *call, const char *name, cairn_str value);
/* One question of GET /v1/subscriptions/{name}/events: the answer in call->out. */
cairn_err api_group_take_now(struct api_call *call, bool *ret_any, cairn_error *error);
/* Count a request that was answered without api_finish(). */
void api_count(struct api_call *call, int status);

/* ---- the API itself -------------------------------------------------------------------------------- */

#define API_BUCKETS 16
extern const uint32_t api_bucket_us[API_BUCKETS]; /* upper bounds; +Inf follows */

struct api_histogram {
    atomic_uint_fast64_t bucket[API_BUCKETS + 1]; /* not cumulative */
    atomic_uint_fast64_t sum_us;
};
void api_observe(struct api_histogram *histogram, int64_t us);

struct api_loop {
    struct api *api;
    struct http_loop *loop;
    bool ready;
    struct buf out; /* reused by every reply made inline */
    struct hub hub;
    struct polls polls;
};

enum api_job { JOB_VERIFY, JOB_SCAVENGE, JOB_REINDEX, JOB_BACKUP, JOB_REPLAY, JOB_COUNT };

struct api {
    struct api_config config;
    cairn_store *store;
    struct http_server *server;
    int64_t started_us; /* monotonic */
    struct buf openapi;
    struct api_loop loops[API_LOOPS_MAX];
    atomic_bool closing;
    _Atomic uint32_t appends; /* handed to the store and not yet posted back */
    atomic_uint followers;
    atomic_bool job_running[JOB_COUNT]; /* one of each at a time */
    struct api_histogram append_time, read_time;
    atomic_uint_fast64_t *requests; /* [route_count + 1][6]: by status / 100; last: no route */
    atomic_uint_fast64_t followed_total; /* events handed to followers */
};

int64_t api_now_us(void); /* monotonic */

/* The apps of this server; CAIRN_E_UNSUPPORTED when it has none. */
CAIRN_MUST_CHECK cairn_err api_apps(struct api_call *call, cairn_apps **ret, cairn_error *error);
/* Answer with a problem that has members of its own (`"name":value,…`); counts the request. Loop's thread. */
void api_problem_with(struct api_call *call, cairn_err err, const cairn_error *error, cairn_str members);

/* ---- handlers ---------------------------------------------------------------------------------------- */

#define HANDLER(name) cairn_err name(struct api_call *call, cairn_error *error)
HANDLER(api_append_stream);
HANDLER(api_append_many);
HANDLER(api_read_stream);
HANDLER(api_read_all);
HANDLER(api_streams_list);
HANDLER(api_stream_get);
HANDLER(api_stream_delete);
HANDLER(api_retention_get);
HANDLER(api_retention_put);
HANDLER(api_snapshot_get);
HANDLER(api_snapshot_put);
HANDLER(api_group_list);
HANDLER(api_group_get);
HANDLER(api_group_put);
HANDLER(api_group_delete);
HANDLER(api_group_take);
HANDLER(api_group_ack);
HANDLER(api_group_nack);
HANDLER(api_group_parked);
HANDLER(api_group_replay);
HANDLER(api_stats);
HANDLER(api_healthz);
HANDLER(api_readyz);
HANDLER(api_metrics);
HANDLER(api_openapi_get);
HANDLER(api_index);
HANDLER(api_backup);
HANDLER(api_verify);
HANDLER(api_scavenge);
HANDLER(api_reindex);
HANDLER(api_proof);
HANDLER(api_app_list);
HANDLER(api_app_get);
HANDLER(api_app_openapi);
HANDLER(api_app_state);
HANDLER(api_app_deploy);
HANDLER(api_app_rollback);
HANDLER(api_app_remove);
HANDLER(api_app_history);
HANDLER(api_app_files);
HANDLER(api_projection_list);
HANDLER(api_projection_get);
HANDLER(api_projection_do);
HANDLER(api_command);
HANDLER(api_query);
HANDLER(api_replay);
HANDLER(api_topic_list);
HANDLER(api_topic_get);
HANDLER(api_topic_put);
HANDLER(api_topic_patch);
HANDLER(api_topic_delete);
HANDLER(api_topic_replay);
HANDLER(api_records);
HANDLER(api_kgroup_list);
HANDLER(api_kgroup_get);
HANDLER(api_kgroup_delete);
HANDLER(api_kgroup_reset);
HANDLER(api_relay_list);
HANDLER(api_relay_get);
HANDLER(api_relay_put);
HANDLER(api_relay_delete);
HANDLER(api_relay_pause);
HANDLER(api_relay_resume);
#undef HANDLER

#endif

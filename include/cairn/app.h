/* cairn/app.h: apps on a store: commands that decide, projections that answer.
 *
 * An app is a folder of files (docs/apps.md). Deployed, it runs here: commands are validated, decided and
 * appended; projections keep read models in SQLite; queries read these. A deployment is events in the store's own
 * stream "$app-<name>", so opening the apps of a store brings back what was deployed.
 *
 * Threads: every call from any thread unless its comment says otherwise. Strings handed in are borrowed until the
 * call returns; strings handed to a visit or sink until that returns.
 *
 * Errors common to all: CAIRN_E_NOMEM, CAIRN_E_INVALID, CAIRN_E_LIMIT, CAIRN_E_IO, CAIRN_E_CLOSED;
 * CAIRN_E_NOTFOUND names the app, command, query or projection that is not there. */
#ifndef CAIRN_APP_H
#define CAIRN_APP_H

#include <cairn/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cairn_apps cairn_apps;

/* ---- deciders in C ------------------------------------------------------------------------------ */

/* A command as a decider sees it. Everything that is not in the stream and that a decision may rest on is here, so that
 * the same state and command give the same events again. */
typedef struct cairn_command {
    cairn_scope scope;
    cairn_str app;         /* empty inside a decider that does not care */
    cairn_str name;        /* "PlaceOrder" */
    cairn_str data;        /* a JSON object, valid by the command's schema when a decider sees it */
    cairn_str key;         /* idempotency key, or empty; at most 256 bytes */
    cairn_str correlation; /* or empty: the command's id is taken */
    cairn_str causation;   /* or empty */
    cairn_str actor;       /* who asks, or empty */
    cairn_str meta;        /* a JSON object for the events' meta, or empty */
    cairn_uuid id;         /* all zeros: one is made */
    int64_t time_us;       /* 0: now. The decider's only clock */
    uint32_t deadline_ms;  /* (10,000) from submission; then CAIRN_E_TIMEOUT, and nothing is written by it later */
} cairn_command;

/* Where a decider puts what it decided: any number of events, or one rejection. Copies what it is given. */
typedef struct cairn_decision cairn_decision;

/* `stream` empty: the command's own. Others take part under a condition-free "any" expectation. data is JSON. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_decide_event(cairn_decision *decision, cairn_str stream,
                                                        const cairn_event *event);
/* Refuse the command by a name that callers can rely on ("already_done"), with a sentence for people. `details` is
 * JSON or empty. Drops the events decided so far. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_decide_reject(cairn_decision *decision, cairn_str code,
                                                         cairn_str message, cairn_str details);

/* Bytes that a callee hands out piece by piece. False: stop. */
typedef bool (*cairn_sink)(void *context, cairn_str bytes);

/* What turns state and command into events. decide and evolve are pure: no clock, no chance, no I/O.
 *
 * An instance belongs to one thread at a time; open makes one for each worker. NULL open and close: `module` itself
 * is every instance, and the functions are thread-safe. States are the decider's own memory. */
typedef struct cairn_decider {
    uint32_t abi;     /* CAIRN_DECIDER_ABI */
    const char *name; /* as app.yaml names it: deciders: {order: {native: NAME}} */
    void *module;
    cairn_err (*open)(void *module, void **ret_self, cairn_error *error);
    void (*close)(void *self);

    cairn_err (*state_new)(void *self, cairn_str stream, void **ret_state, cairn_error *error);
    void (*state_free)(void *self, void *state);
    size_t (*state_size)(void *self, const void *state); /* bytes, about; NULL: unknown */
    cairn_err (*evolve)(void *self, void *state, const cairn_recorded *event, cairn_error *error);
    cairn_err (*decide)(void *self, const void *state, const cairn_command *command,
                        cairn_decision *decision, cairn_error *error);
    /* The state as JSON, for snapshots and for people; and back. NULL both: no snapshots. */
    cairn_err (*save)(void *self, const void *state, cairn_sink sink, void *context, cairn_error *error);
    cairn_err (*load)(void *self, cairn_str stream, cairn_str json, void **ret_state, cairn_error *error);
    cairn_str fingerprint; /* changes whenever evolve or the state's form does: older snapshots are dropped */
} cairn_decider;
#define CAIRN_DECIDER_ABI 1
/* A shared object exports: const cairn_decider *cairn_decider_module(void). */
#define CAIRN_DECIDER_SYMBOL "cairn_decider_module"

/* ---- opening ----------------------------------------------------------------------------------- */

/* Around every command, in the order in which they are given; `next` goes on inwards. */
typedef struct cairn_middleware {
    void *context;
    /* Before the command is validated. An error refuses it: CAIRN_E_DENIED, CAIRN_E_BUSY, … */
    cairn_err (*before)(void *context, const cairn_command *command, cairn_error *error);
    /* When it is over, whatever came of it. Short, never blocking. */
    void (*after)(void *context, const cairn_command *command, cairn_err err, uint64_t took_us);
} cairn_middleware;

/* What `permission:` in app.yaml asks of. NULL: everything is allowed. */
typedef cairn_err (*cairn_authorise)(void *context, cairn_scope scope, cairn_str actor, cairn_str permission,
                                     cairn_error *error);

/* One HTTP POST for deciders behind webhooks; blocks up to timeout_ms. The library has none of its own. */
typedef cairn_err (*cairn_post)(void *context, cairn_str url, const cairn_str *headers, size_t header_count,
                                cairn_str body, uint32_t timeout_ms, size_t reply_max, int *ret_status,
                                cairn_sink reply, void *reply_context, cairn_error *error);

typedef enum cairn_log_level { CAIRN_LOG_DEBUG, CAIRN_LOG_INFO, CAIRN_LOG_WARN, CAIRN_LOG_ERROR } cairn_log_level;

/* Zero means the default in parentheses. */
typedef struct cairn_apps_options {
    const char *folder;            /* where read models are kept; made when missing; one owner */
    const char *native_folder;     /* (none) whose shared objects `native:` may name */
    const cairn_decider *const *natives; /* built-in deciders, borrowed for the life of the apps */
    size_t native_count;
    const cairn_middleware *middleware; /* borrowed for the life of the apps */
    size_t middleware_count;
    cairn_authorise authorise;
    void *authorise_context;
    cairn_post post;
    void *post_context;
    /* One line of name=value pairs, e.g. a command that is over. Any thread; short. */
    void (*log)(void *context, cairn_log_level level, cairn_str line);
    void *log_context;
    bool log_commands;              /* a line for every command that is over, not only for those that failed */
    uint32_t workers;               /* (processors, at most 16) threads that decide */
    uint32_t commands_waiting_max;  /* (10,000) then CAIRN_E_BUSY */
    uint32_t retries_max;           /* (16) lost races of one command */
    size_t state_cache_bytes;       /* (64 MiB) states kept in memory, over all workers */
    uint32_t state_cache_ttl_ms;    /* (600,000) */
    bool read_only;                 /* no projections run, so no queries; no commands: for looking and checking history */
} cairn_apps_options;

/* Load every deployed app and start its projections. The store must outlive the apps, and tell them of commits: give
 * cairn_on_commit() a function that calls cairn_apps_committed(), and take it away before cairn_apps_close(). */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_apps_open(cairn_store *store, const cairn_apps_options *options,
                                                     cairn_apps **ret_apps, cairn_error *error);
/* Finish commands under way, stop projections at a checkpoint. No other call may be under way. NULL is fine. */
CAIRN_API void cairn_apps_close(cairn_apps *apps);
/* Before cairn_apps_close(), where other threads may still be calling: stops projections, so that queries and replays that
 * wait return CAIRN_E_CLOSED now. Commands and deployments are refused from here on; those under way are finished. */
CAIRN_API void cairn_apps_stop(cairn_apps *apps);
/* Must be told of commits: from the function given to cairn_on_commit(). Short, never blocks. */
CAIRN_API void cairn_apps_committed(cairn_apps *apps, uint64_t end);

/* ---- deployment ------------------------------------------------------------------------------------ */

/* One file of an app's folder: path with '/', relative, no "..". Limits: 256 files, 512 KiB each, 8 MiB in all. */
typedef struct cairn_app_file {
    cairn_str path;
    cairn_str text;
} cairn_app_file;

/* Something wrong with an app: file, line (1-based; 0: the whole file), what, and what to do about it. */
typedef struct cairn_app_fault {
    cairn_str file;
    uint32_t line;
    cairn_str message;
    cairn_str hint;
    bool warning; /* does not keep the app from being deployed */
} cairn_app_fault;
typedef void (*cairn_app_fault_visit)(void *context, const cairn_app_fault *fault);

/* Look for everything that a deployment would refuse: manifest, names, schemas, SQL against a scratch database, Lua by
 * loading. Does not need a store. CAIRN_E_INVALID: at least one fault that is no warning. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_app_check(const cairn_app_file *files, size_t count,
                                                     cairn_app_fault_visit visit, void *context,
                                                     cairn_error *error);

typedef struct cairn_deployment {
    uint32_t version;    /* 1, 2, … of the app */
    uint32_t rollback_of; /* the version whose files these are, or 0 */
    int64_t time_us;
    uint64_t position;
    cairn_str by, note;  /* or empty */
    cairn_str digest;    /* SHA-256 of all files, hex */
    size_t file_count;
    bool current;
} cairn_deployment;

typedef struct cairn_deploy_options {
    cairn_str by, note;
    uint32_t expected_version; /* 0: whatever is there; otherwise CAIRN_E_CONFLICT when another is current */
    bool dry_run;              /* check against the running version too, change nothing */
} cairn_deploy_options;

typedef struct cairn_deployed {
    uint32_t version; /* that runs now; of a dry run: that it would be */
    bool changed;     /* false: the very files that ran before; nothing was written */
    char app[64];     /* its name, as app.yaml says */
} cairn_deployed;

/* Deploy a folder's files: all of it takes effect, durable, or nothing does and every fault was visited. The
 * app's name is in app.yaml. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_app_deploy(cairn_apps *apps, const cairn_app_file *files, size_t count,
                                                      const cairn_deploy_options *options,
                                                      cairn_app_fault_visit visit, void *context,
                                                      cairn_deployed *ret, cairn_error *error);
/* Deploy an earlier version's files again, as a new version. Checked like any deployment. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_app_rollback(cairn_apps *apps, cairn_str app, uint32_t to_version,
                                                        const cairn_deploy_options *options,
                                                        cairn_app_fault_visit visit, void *context,
                                                        cairn_deployed *ret, cairn_error *error);
/* Stop an app and take its read models away. Its events and its history stay; deploying brings it back. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_app_remove(cairn_apps *apps, cairn_str app, cairn_error *error);

typedef void (*cairn_deployment_visit)(void *context, const cairn_deployment *deployment);
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_app_history(cairn_apps *apps, cairn_str app,
                                                       cairn_deployment_visit visit, void *context,
                                                       cairn_error *error);
/* A version's files (0: the current one's), by path. */
typedef void (*cairn_app_file_visit)(void *context, const cairn_app_file *file);
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_app_files(cairn_apps *apps, cairn_str app, uint32_t version,
                                                     cairn_app_file_visit visit, void *context,
                                                     cairn_error *error);

/* Everything there is to know of one app as a JSON object: version, commands with their schemas, events, queries with
 * their parameters, projections with their status, statistics. With `app` empty: {"apps":[…]}, a summary of each. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_app_describe(cairn_apps *apps, cairn_str app, cairn_sink sink,
                                                        void *context, cairn_error *error);
/* The app's OpenAPI 3.1 document. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_app_openapi(cairn_apps *apps, cairn_str app, cairn_sink sink,
                                                       void *context, cairn_error *error);

/* ---- commands ---------------------------------------------------------------------------------------- */

/* What came of a command. */
typedef struct cairn_outcome {
    cairn_str stream;
    cairn_at at;           /* meaningful when event_count > 0; at.last_position is what after_position wants */
    uint64_t position;     /* read models that have reached it show the command's effect */
    size_t event_count;    /* 0: decided that nothing needs to happen */
    const cairn_str *types; /* of the events */
    cairn_uuid id;         /* the command's */
    bool repeated;         /* the answer given before to the same key */
    /* CAIRN_E_REJECTED */
    cairn_str code, message, details;
    uint32_t tries;
} cairn_outcome;

/* Called once, when the command is over, on a worker's or the commit thread: short, never blocking. `error` has the
 * detail when err is not CAIRN_OK. Everything is borrowed until it returns. */
typedef void (*cairn_command_done)(void *context, cairn_err err, const cairn_outcome *outcome,
                                   const cairn_error *error);

/* Submit a command. Copies it. CAIRN_OK: `done` will be called exactly once, perhaps before the return; otherwise never.
 *
 * done is told:
 * CAIRN_OK          its events are durable (or there were none)
 * CAIRN_E_REJECTED  the decider said no: outcome.code, message, details. With a key, the same answer again later
 * CAIRN_E_INVALID   not valid by the command's schema: the detail names the place; nothing was decided
 * CAIRN_E_EXISTS    the key was used for another command or other data
 * CAIRN_E_DENIED    not authorised
 * CAIRN_E_BUSY      a bounded queue is full, or too many lost races: try again
 * CAIRN_E_TIMEOUT   the deadline passed before it was decided; nothing was written
 * CAIRN_E_SCRIPT    the decider failed (error, endless loop, memory, webhook); nothing was written */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_command_async(cairn_apps *apps, const cairn_command *command,
                                                         cairn_command_done done, void *context,
                                                         cairn_error *error);
/* The same, waiting. `done` may be NULL; it is called before the return. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_command_run(cairn_apps *apps, const cairn_command *command,
                                                       cairn_command_done done, void *context,
                                                       cairn_error *error);

/* The state of an aggregate as JSON, as its decider makes it, at a revision (-1: now). */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_app_state(cairn_apps *apps, cairn_str app, cairn_str stream,
                                                     int64_t revision, cairn_sink sink, void *context,
                                                     cairn_error *error);

/* ---- queries -------------------------------------------------------------------------------------------- */

typedef struct cairn_app_param {
    cairn_str name;
    cairn_str value; /* text; read as the type that the query declares */
} cairn_app_param;

typedef struct cairn_app_query_request {
    cairn_scope scope;
    cairn_str app, query, actor;
    const cairn_app_param *params; /* also filters and sort, as the query declares them */
    size_t param_count;
    uint32_t limit;            /* (the query's own) rows */
    cairn_str cursor;          /* from the page before, or empty */
    bool has_after_position;   /* wait until the read models have reached it (read your own writes) */
    uint64_t after_position;
    bool has_as_of;            /* the read models as they were: after the first as_of events of the log */
    uint64_t as_of;
    uint32_t timeout_ms;       /* (5,000) for waiting and running together */
    bool quick_only;           /* no waiting, and a small budget of work: CAIRN_E_BUSY says "ask again without" */
} cairn_app_query_request;

/* Run a query: {"rows":[{…},…],"next":"cursor"|null,"position":N} goes to the sink, in pieces. After an error the sink
 * may have been given bytes; they are worthless.
 * CAIRN_E_TIMEOUT  the read model has not reached after_position, or the query took too long
 * CAIRN_E_LIMIT    too many rows or bytes */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_app_query(cairn_apps *apps, const cairn_app_query_request *request,
                                                     cairn_sink sink, void *context, cairn_error *error);

/* ---- projections ------------------------------------------------------------------------------------------- */

typedef enum cairn_projection_action {
    CAIRN_PROJECTION_PAUSE,
    CAIRN_PROJECTION_RESUME,
    CAIRN_PROJECTION_RETRY,   /* try the event that it stands at again */
    CAIRN_PROJECTION_SKIP,    /* leave that event out, remembered as skipped */
    CAIRN_PROJECTION_PARK,    /* set it aside with its error, go on */
    CAIRN_PROJECTION_REPLAY_PARKED, /* apply the parked events now */
    CAIRN_PROJECTION_REBUILD  /* build anew beside, swap when caught up */
} cairn_projection_action;

CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_projection_do(cairn_apps *apps, cairn_str app, cairn_str projection,
                                                         cairn_projection_action action, cairn_error *error);
/* Its status (and parked and skipped events) as JSON. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_projection_status(cairn_apps *apps, cairn_str app, cairn_str projection,
                                                             cairn_sink sink, void *context, cairn_error *error);

/* Commands, deciders' caches and projections in figures, as Prometheus text. */
CAIRN_API void cairn_apps_metrics(cairn_apps *apps, cairn_sink sink, void *context);

/* ---- dead letters ------------------------------------------------------------------------------------------------ */

/* Which dead letters of a topic are to go back to who gave them up. */
typedef struct cairn_dead_request {
    cairn_scope scope;
    cairn_str topic;
    bool has_partition;     /* only this one */
    uint32_t partition;
    uint64_t from, to;      /* only these offsets of a partition: from this one on, before that one (0: all) */
    cairn_str consumer;     /* only what it gave up: a subscription's name, or "app/projection"; empty: everybody */
    bool dry_run;           /* tell what would be, change nothing */
    uint32_t limit;         /* (1,000) records looked at; at most 10,000 */
    uint32_t next_partition; /* go on where a report's "next" says; zeros: begin */
    uint64_t next_offset, until;
} cairn_dead_request;

/* Send dead letters back (docs/kafka.md, "Dead letters"): a subscription's event is handed out again, a projection's is applied again in
 * a transaction of its own; a record that no consumer of Cairn's gave up is appended to the topic that it came from. Each once,
 * however often this is called. apps may be NULL: then projections are not there.
 *
 * The sink gets {"topic","dry_run","looked_at","replayed","appended","before","failed","waiting","no_consumer","gone","failures":[…],
 * "next":{"partition","offset","until"}|null}. CAIRN_E_NOTFOUND: no such topic. After an error some may have gone back: call again. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_dead_letters_replay(cairn_store *store, cairn_apps *apps, const cairn_dead_request *request,
                                                               cairn_sink sink, void *context, cairn_error *error);

/* ---- history --------------------------------------------------------------------------------------------------- */

typedef enum cairn_on_error {
    CAIRN_ON_ERROR_STOP,
    CAIRN_ON_ERROR_SKIP,
    CAIRN_ON_ERROR_PARK,
    CAIRN_ON_ERROR_DEAD_LETTER /* an event of a topic beside: docs/kafka.md, "Dead letters" */
} cairn_on_error;

typedef struct cairn_replay_request {
    cairn_str app;
    cairn_str projection;   /* or empty: all */
    bool aggregates;        /* also rebuild every aggregate's snapshot */
    bool decisions;         /* check-history: decide again what was decided, compare */
    uint64_t from;          /* projections: 0, or go on from the newest kept checkpoint at or before it */
    uint32_t parallel;      /* (processors) */
    cairn_on_error on_error;
} cairn_replay_request;

/* done of total; false stops. */
typedef bool (*cairn_replay_progress)(void *context, cairn_str what, uint64_t done, uint64_t total);

/* Rebuild, wait until done, and hand a report as JSON to the sink. CAIRN_E_SCRIPT: something differed or failed; the
 * report says what. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_app_replay(cairn_apps *apps, const cairn_replay_request *request,
                                                      cairn_replay_progress progress, void *progress_context,
                                                      cairn_sink sink, void *context, cairn_error *error);

#ifdef __cplusplus
}
#endif
#endif

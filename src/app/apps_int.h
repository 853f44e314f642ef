/* app/apps_int.h: what the files of the apps themselves share: which apps there are, which version of each runs.
 *
 *   cairn_apps ── app ── app_version (the current one) ── bus_app ──────────► app_code (manifest, deciders)
 *                                                     └── app_projection ──►
 *
 * A version is made whole before it is shown and never changes afterwards; whoever uses one holds it. A projection that
 * two versions have in common is one app_projection that both hold, so that a deployment which does not touch it does
 * not disturb it; it keeps the code that it was made from.
 *
 * Locks: deploying (one deployment at a time) before lock (the list of apps, current versions, counts) before
 * runners_lock (the runners that commits are told to). deploying is held while runners start and stop; the other two only
 * for a look at memory, because the commit thread takes runners_lock and loops take lock. */
#ifndef APP_APPS_INT_H
#define APP_APPS_INT_H

#include <app/bus.h>
#include <app/manifest.h>
#include <app/sql/query.h>
#include <app/sql/runner.h>
#include <cairn/app.h>
#include <schema/registry.h>

#include <pthread.h>
#include <stdatomic.h>

#define APP_STREAM_PREFIX "$app-"
#define APPS_MAX 1000
#define APP_VERSIONS_MAX 100000
#define APP_NAME_MAX 63
#define APP_EVENT_FILE "AppFileAdded"
#define APP_EVENT_DEPLOYED "AppDeployed"
#define APP_EVENT_REMOVED "AppRemoved"

/* What a version is made of: files read, deciders ready. */
struct app_code {
    _Atomic uint32_t refs;
    cairn_apps *apps;
    struct app_manifest *manifest;
    const cairn_decider **deciders;         /* one for each of the manifest's */
    uint32_t *schema_ids, *schema_versions; /* one for each of its events; 0: none */
};

struct app_projection {
    _Atomic uint32_t refs;
    cairn_apps *apps;
    struct app_code *code;         /* held: the runner reads from its manifest */
    struct projection *projection;
    cairn_str name;
    char app[APP_NAME_MAX + 1];
    uint64_t salt;                 /* how the events that it reads are upcast */
    struct app_on_error on_error;
    _Atomic(struct runner *) runner; /* NULL: it could not be started, failure says why; set once, also later by a retry */
    cairn_error failure;             /* of the first try; never changes afterwards */
};

struct app_version {
    _Atomic uint32_t refs;
    struct app_code *code;
    uint32_t number, rollback_of;
    int64_t time_us;
    uint64_t position;
    struct bus_app *bus_app;
    struct app_projection **projections; /* one for each of the manifest's, held */
};

struct app {
    struct app *next;
    char name[APP_NAME_MAX + 1];
    struct app_version *current; /* NULL: removed */
    uint32_t newest;             /* version number ever given */
    int64_t stream_revision;     /* last of "$app-<name>" */
    cairn_error failure;         /* code not CAIRN_OK: deployed, and cannot run here */
    int64_t failed_time_us;      /* of that deployment */
};

struct cairn_apps {
    cairn_store *store;
    cairn_apps_options options;
    char *folder, *native_folder;
    struct bus *bus;
    struct schema_registry *registry;
    pthread_mutex_t deploying, lock, runners_lock, caches_lock;
    struct app *first;
    size_t count;
    struct app_projection **runners; /* those that commits are told to */
    size_t runner_count, runner_capacity;
    struct query_cache **caches; /* those nobody uses now, warmest last */
    size_t cache_count, cache_capacity;
    uint64_t cache_gives;
    _Atomic uint32_t shown; /* goes up with every apps_show(): who met a runner that was stopped waits here for its successor */
    atomic_bool closing;
};

/* Log one line through the options' log; printf. */
__attribute__((format(printf, 3, 4))) void apps_log(cairn_apps *apps, cairn_log_level level, const char *format, ...);

/* The running version, held; CAIRN_E_NOTFOUND. */
CAIRN_MUST_CHECK cairn_err apps_hold(cairn_apps *apps, cairn_str name, struct app_version **ret, cairn_error *error);
struct app *apps_find(cairn_apps *apps, cairn_str name); /* under lock or deploying */
/* An entry for a name; NULL: no memory, or APPS_MAX. Under deploying. */
struct app *apps_entry(cairn_apps *apps, cairn_str name);
/* Show a version (or none) as the current one; takes over the caller's hold, gives up that of the one before. */
void apps_show(cairn_apps *apps, struct app *app, struct app_version *version);
bool app_name_valid(cairn_str name);

/* version.c: from files to something that runs.
 *
 * app_version_plan reads the manifest, finds deciders, plans schema ids, and makes everything but the projections'
 * runners. Faults are visited. */
struct version_plan {
    struct app_version *version;
    struct arena arena;
    cairn_write schemas; /* what "$schemas" gets; event_count 0: nothing */
};
CAIRN_MUST_CHECK cairn_err app_version_plan(cairn_apps *apps, const cairn_app_file *files, size_t count,
                                            cairn_app_fault_visit visit, void *context, struct version_plan *ret,
                                            cairn_error *error);
void version_plan_free(struct version_plan *plan); /* also the version, when it is still there */
/* Take over the projections that `before` (or NULL) has too, start the others, stop what is gone or changed. Never
 * fails: a projection that cannot be started says so in its status. */
void app_version_start(struct app_version *version, struct app_version *before);
/* Stop all of its projections; `forget`: their read models are deleted. */
void app_version_stop(struct app_version *version, bool forget);
/* Try again to start a projection that could not be. Under deploying, while its version is the current one. */
CAIRN_MUST_CHECK cairn_err app_projection_retry(struct app_projection *projection, cairn_error *error);
/* Those that run, held, in memory of the caller's (free); for looking at them without runners_lock. */
size_t app_projections_hold(cairn_apps *apps, struct app_projection ***ret);
void app_projection_release(struct app_projection *projection); /* NULL is fine */
void app_version_hold(struct app_version *version);
void app_version_release(struct app_version *version); /* NULL is fine */
struct app_projection *app_version_projection(const struct app_version *version, cairn_str name);
const struct query *app_version_query(const struct app_version *version, cairn_str name);

/* upcasting.c: an event_upcast; context is an app_code. Events of other apps stay as they are stored. */
cairn_err app_code_upcast(void *context, cairn_recorded *event, struct arena *arena, cairn_error *error);
/* Changes when events that a projection listens to read differently. */
uint64_t app_code_salt(const struct app_code *code, const struct projection *projection);

/* deployments.c: "$app-<name>". */
struct deployed_file {
    cairn_str path, sha256; /* hex */
    uint64_t revision;      /* of its AppFileAdded */
};
struct deployed {
    cairn_deployment about;
    struct deployed_file *files;
};
/* The version (0: the newest, also when the app has been removed since), its strings in the arena. CAIRN_E_NOTFOUND. */
CAIRN_MUST_CHECK cairn_err deployments_find(cairn_apps *apps, cairn_str app, uint32_t version, struct arena *arena,
                                            struct deployed *ret, cairn_error *error);
CAIRN_MUST_CHECK cairn_err deployments_files(cairn_apps *apps, cairn_str app, const struct deployed *deployed,
                                             struct arena *arena, cairn_app_file **ret, cairn_error *error);
/* Bring back every app that was deployed. One that does not load any more (a native decider that is gone) is logged
 * and left out, with its history. */
CAIRN_MUST_CHECK cairn_err deployments_load(cairn_apps *apps, cairn_error *error);

/* native.c: deciders in C: built in, or a shared object of the server's own folder. Never unloaded. */
CAIRN_MUST_CHECK cairn_err native_find(const cairn_apps_options *options, cairn_str name, const cairn_decider **ret,
                                       cairn_error *error);

/* topics.c: what a manifest's topics are in the store.
 *
 * Checking finds what cannot be (another category, fewer partitions; a roll-back leaves partitions as they are) and visits a fault for
 * each: CAIRN_E_INVALID. Putting makes those that are missing and grows and configures the others; durable on return, and again is no
 * harm. */
CAIRN_MUST_CHECK cairn_err app_topics_check(cairn_apps *apps, const struct app_manifest *manifest, bool rollback,
                                            cairn_app_fault_visit visit, void *context, cairn_error *error);
CAIRN_MUST_CHECK cairn_err app_topics_put(cairn_apps *apps, const struct app_manifest *manifest, cairn_error *error);

/* describe.c: a projection's status, also when it could not be started. */
void app_projection_status(struct app_projection *projection, struct buf *to);

#endif

/* From an app's files to something that runs, and which projections go on when a version replaces another. */
#include <app/apps_int.h>

#include <base/error.h>
#include <base/hash.h>
#include <os/os.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SUBJECT_SIZE 700
#define PATH_SIZE 4096

/* ---- code -------------------------------------------------------------------------------------------------- */

static void
code_release(struct app_code *code)
{
    if (code == NULL || atomic_fetch_sub(&code->refs, 1) != 1)
        return;
    if (code->manifest != NULL)
        for (size_t i = 0; i < code->manifest->decider_count && code->deciders != NULL; i++) {
            /* Made here: Lua and webhooks. Native ones belong to whoever built them. */
            cairn_decider *own = (cairn_decider *)(uintptr_t)code->deciders[i];
            if (own == NULL)
                continue;
            if (code->manifest->deciders[i].kind == APP_DECIDER_LUA)
                lua_decider_free(own);
            else if (code->manifest->deciders[i].kind == APP_DECIDER_WEBHOOK)
                webhook_decider_free(own);
        }
    app_manifest_free(code->manifest);
    free(code->deciders);
    free(code->schema_ids);
    free(code->schema_versions);
    free(code);
}

static void
code_gone(void *context)
{
    code_release(context);
}

static void
visit_fault(cairn_app_fault_visit visit, void *context, cairn_str file, const cairn_error *why, const char *hint)
{
    const cairn_app_fault fault = {.file = file, .message = cairn_cstr(why->detail), .hint = cairn_cstr(hint)};
    if (visit != NULL)
        visit(context, &fault);
}

static cairn_err
make_decider(cairn_apps *apps, const struct app_manifest *manifest, const struct app_decider *spec,
             const cairn_decider **ret, cairn_error *error)
{
    if (spec->kind == APP_DECIDER_NATIVE)
        return native_find(&apps->options, spec->source, ret, error);
    cairn_decider *made = NULL;
    cairn_err err;
    if (spec->kind == APP_DECIDER_WEBHOOK) {
        err = apps->options.post == NULL
                  ? error_set(error, CAIRN_E_UNSUPPORTED, "this program cannot call webhooks: options.post is not set")
                  : webhook_decider_make(spec, &apps->options, &made, error);
    } else {
        const struct lua_sources sources = {manifest->files, manifest->file_count};
        const struct lua_limits limits = {.instructions_max = spec->instructions_max, .memory_max = spec->memory_max};
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)spec->name.size, spec->name.data);
        err = lua_decider_make(name, spec->source, &sources, &limits, &made, error);
    }
    if (err == CAIRN_OK)
        *ret = made;
    return err;
}

/* Every decider, or a fault for each that cannot be had. */
static cairn_err
make_deciders(struct app_code *code, cairn_app_fault_visit visit, void *context, cairn_error *error)
{
    const struct app_manifest *manifest = code->manifest;
    cairn_err result = CAIRN_OK;
    for (size_t i = 0; i < manifest->decider_count; i++) {
        cairn_error why = {0};
        cairn_err err = make_decider(code->apps, manifest, &manifest->deciders[i], &code->deciders[i], &why);
        if (err == CAIRN_E_NOMEM || err == CAIRN_E_IO)
            return error_set(error, err, "%s", why.detail);
        if (err == CAIRN_OK)
            continue;
        visit_fault(visit, context, CAIRN_STR("app.yaml"), &why,
                    manifest->deciders[i].kind == APP_DECIDER_NATIVE
                        ? "Put NAME.so into the folder that the server was started with: cairn serve --apps-native DIR."
                        : cairn_err_hint(err));
        result = error_set(error, CAIRN_E_INVALID, "%s", why.detail);
    }
    return result;
}

/* ---- schemas --------------------------------------------------------------------------------------------------- */

static cairn_str
subject_of(const struct app_manifest *manifest, cairn_str type, char to[SUBJECT_SIZE])
{
    int size = snprintf(to, SUBJECT_SIZE, "%.*s.%.*s", (int)manifest->name.size, manifest->name.data, (int)type.size,
                        type.data);
    return (cairn_str){to, (size_t)size < SUBJECT_SIZE ? (size_t)size : SUBJECT_SIZE - 1};
}

static bool
earlier_schema(void *context, cairn_str event_type, uint32_t version, cairn_str *ret_text)
{
    const struct app_code *code = context;
    char subject[SUBJECT_SIZE];
    struct schema_version found;
    if (version == 0
        || !schema_registry_find(code->apps->registry, subject_of(code->manifest, event_type, subject), version, &found))
        return false;
    *ret_text = found.text;
    return true;
}

/* Which ids and versions the events' schemas have, or will have once `schemas` is appended. */
static cairn_err
plan_schemas(struct app_code *code, struct version_plan *plan, cairn_error *error)
{
    const struct app_manifest *manifest = code->manifest;
    struct schema_plan_item *items = arena_zalloc(&plan->arena, (manifest->event_count + 1) * sizeof *items);
    size_t *event_of = arena_alloc(&plan->arena, (manifest->event_count + 1) * sizeof *event_of);
    if (items == NULL || event_of == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the app's schemas");
    size_t count = 0;
    for (size_t i = 0; i < manifest->event_count; i++) {
        const struct app_event *event = &manifest->events[i];
        if (event->schema_text.size == 0)
            continue;
        char subject[SUBJECT_SIZE];
        items[count].subject = arena_copy(&plan->arena, subject_of(manifest, event->type, subject));
        items[count].kind = CAIRN_STR("JSON");
        items[count].text = event->schema_text;
        if (items[count].subject.data == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for the app's schemas");
        event_of[count++] = i;
    }
    cairn_err err = schema_registry_plan(code->apps->registry, items, count, &plan->arena, &plan->schemas, error);
    for (size_t i = 0; err == CAIRN_OK && i < count; i++) {
        code->schema_ids[event_of[i]] = items[i].ret.id;
        code->schema_versions[event_of[i]] = items[i].ret.version;
    }
    return err;
}

/* Who writes `permission:` believes that it is asked for. */
static void
warn_of_permissions(const struct app_code *code, cairn_app_fault_visit visit, void *context)
{
    const struct app_manifest *manifest = code->manifest;
    if (code->apps->options.authorise != NULL || visit == NULL)
        return;
    for (size_t i = 0; i < manifest->command_count; i++) {
        if (manifest->commands[i].permission.size == 0)
            continue;
        const cairn_app_fault warning = {
            .file = CAIRN_STR("app.yaml"), .line = manifest->commands[i].line, .warning = true,
            .message = CAIRN_STR("permissions are not checked here: this server has no authorisation, and lets everybody"),
            .hint = CAIRN_STR("Keep the server where only those reach it who may; or embed it with options.authorise."),
        };
        visit(context, &warning);
        return;
    }
}

/* ---- versions --------------------------------------------------------------------------------------------------- */

static cairn_err
code_make(cairn_apps *apps, const cairn_app_file *files, size_t count, cairn_app_fault_visit visit, void *context,
          struct version_plan *plan, struct app_code **ret, cairn_error *error)
{
    struct app_code *code = calloc(1, sizeof *code);
    if (code == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the app");
    code->refs = 1;
    code->apps = apps;
    cairn_err err = app_manifest_read(files, count, visit, context, &code->manifest, error);
    if (err == CAIRN_OK) {
        size_t events = code->manifest->event_count + 1, deciders = code->manifest->decider_count + 1;
        code->deciders = calloc(deciders, sizeof *code->deciders);
        code->schema_ids = calloc(events, sizeof *code->schema_ids);
        code->schema_versions = calloc(events, sizeof *code->schema_versions);
        if (code->deciders == NULL || code->schema_ids == NULL || code->schema_versions == NULL)
            err = error_set(error, CAIRN_E_NOMEM, "no memory for the app");
    }
    if (err == CAIRN_OK)
        err = app_manifest_check_schemas(code->manifest, earlier_schema, code, visit, context, error);
    if (err == CAIRN_OK)
        err = make_deciders(code, visit, context, error);
    if (err == CAIRN_OK)
        warn_of_permissions(code, visit, context);
    if (err == CAIRN_OK)
        err = plan_schemas(code, plan, error);
    if (err != CAIRN_OK)
        code_release(code);
    else
        *ret = code;
    return err;
}

cairn_err
app_version_plan(cairn_apps *apps, const cairn_app_file *files, size_t count, cairn_app_fault_visit visit,
                 void *context, struct version_plan *ret, cairn_error *error)
{
    memset(ret, 0, sizeof *ret);
    struct app_version *version = calloc(1, sizeof *version);
    if (version == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the app");
    version->refs = 1;
    ret->version = version;
    cairn_err err = code_make(apps, files, count, visit, context, ret, &version->code, error);
    if (err != CAIRN_OK)
        goto done;
    struct app_code *code = version->code;
    version->projections = calloc(code->manifest->projection_count + 1, sizeof(struct app_projection *));
    if (version->projections == NULL) {
        err = error_set(error, CAIRN_E_NOMEM, "no memory for the app");
        goto done;
    }
    const struct bus_app_options options = {
        .manifest = code->manifest,
        .deciders = code->deciders,
        .schema_ids = code->schema_ids,
        .schema_versions = code->schema_versions,
        .upcast = app_code_upcast,
        .upcast_context = code,
        .gone = code_gone,
        .context = code,
    };
    atomic_fetch_add(&code->refs, 1);
    err = bus_app_new(apps->bus, &options, &version->bus_app, error);
    if (err != CAIRN_OK)
        code_release(code);
done:
    if (err != CAIRN_OK)
        version_plan_free(ret);
    return err;
}

void
version_plan_free(struct version_plan *plan)
{
    app_version_release(plan->version);
    arena_free(&plan->arena);
    memset(plan, 0, sizeof *plan);
}

/* ---- projections --------------------------------------------------------------------------------------------------- */

void
app_projection_release(struct app_projection *projection)
{
    if (projection == NULL || atomic_fetch_sub(&projection->refs, 1) != 1)
        return;
    runner_free(projection->runner);
    code_release(projection->code);
    free(projection);
}

/* Room for one more; it stays, because only one thread at a time starts projections. */
static bool
make_room(cairn_apps *apps)
{
    pthread_mutex_lock(&apps->runners_lock);
    bool room = apps->runner_count < apps->runner_capacity;
    if (!room) {
        size_t capacity = apps->runner_capacity * 2 + 16;
        struct app_projection **more = realloc(apps->runners, capacity * sizeof(struct app_projection *));
        room = more != NULL;
        if (room) {
            apps->runners = more;
            apps->runner_capacity = capacity;
        }
    }
    pthread_mutex_unlock(&apps->runners_lock);
    return room;
}

static void
tell_of_commits(cairn_apps *apps, struct app_projection *projection)
{
    pthread_mutex_lock(&apps->runners_lock);
    apps->runners[apps->runner_count++] = projection;
    /* What was committed since it looked at the log's end was told to the others only. */
    runner_committed(projection->runner, cairn_end(apps->store));
    pthread_mutex_unlock(&apps->runners_lock);
}

/* True: it was told until now, so it has not been stopped yet. */
static bool
tell_no_more(cairn_apps *apps, const struct app_projection *projection)
{
    bool told = false;
    pthread_mutex_lock(&apps->runners_lock);
    for (size_t i = 0; i < apps->runner_count && !told; i++)
        if (apps->runners[i] == projection) {
            apps->runners[i] = apps->runners[--apps->runner_count];
            told = true;
        }
    pthread_mutex_unlock(&apps->runners_lock);
    return told;
}

size_t
app_projections_hold(cairn_apps *apps, struct app_projection ***ret)
{
    pthread_mutex_lock(&apps->runners_lock);
    size_t count = apps->runner_count;
    *ret = malloc((count + 1) * sizeof(struct app_projection *));
    for (size_t i = 0; *ret != NULL && i < count; i++) {
        (*ret)[i] = apps->runners[i];
        atomic_fetch_add(&apps->runners[i]->refs, 1);
    }
    pthread_mutex_unlock(&apps->runners_lock);
    return *ret != NULL ? count : 0;
}

/* A projection's lines say whose it is. */
static void
log_projection(void *context, cairn_log_level level, cairn_str line)
{
    const struct app_projection *projection = context;
    cairn_str app = projection->code->manifest->name;
    apps_log(projection->apps, level, "app=%.*s %.*s", (int)app.size, app.data, (int)line.size, line.data);
}

static cairn_err
run_projection(struct app_projection *projection, cairn_error *error)
{
    cairn_apps *apps = projection->apps;
    cairn_str app = projection->code->manifest->name;
    char folder[PATH_SIZE];
    int size = snprintf(folder, sizeof folder, "%s/%.*s", apps->folder, (int)app.size, app.data);
    if (size < 0 || (size_t)size >= sizeof folder)
        return error_set(error, CAIRN_E_LIMIT, "the path of the read models is too long");
    int made = os_mkdir(os_real(), folder);
    if (made != 0 && made != -EEXIST)
        return error_set_errno(error, -made, "cannot make the folder %s", folder);
    const struct runner_options options = {
        .store = apps->store,
        .folder = folder,
        .projection = projection->projection,
        .upcast = app_code_upcast,
        .upcast_context = projection->code,
        .salt = projection->salt,
        .on_error = projection->on_error.what,
        .app = projection->app,
        .retries = projection->on_error.retries,
        .backoff_us = projection->on_error.backoff_us,
        .log = apps->options.log != NULL ? log_projection : NULL,
        .log_context = projection,
    };
    struct runner *runner = NULL;
    cairn_err err = make_room(apps) ? runner_start(&options, &runner, error)
                                    : error_set(error, CAIRN_E_NOMEM, "no memory for the projection");
    if (err == CAIRN_OK) {
        projection->runner = runner;
        tell_of_commits(apps, projection);
    }
    return err;
}

static struct app_projection *
start_projection(struct app_code *code, size_t index, uint64_t salt)
{
    struct app_projection *projection = calloc(1, sizeof *projection);
    if (projection == NULL)
        return NULL;
    projection->refs = 1;
    projection->apps = code->apps;
    projection->code = code;
    atomic_fetch_add(&code->refs, 1);
    projection->projection = code->manifest->projections[index];
    projection->name = projection_name(projection->projection);
    projection->salt = salt;
    snprintf(projection->app, sizeof projection->app, "%.*s", (int)code->manifest->name.size, code->manifest->name.data);
    projection->on_error = code->manifest->projection_on_error[index];
    if (run_projection(projection, &projection->failure) != CAIRN_OK)
        apps_log(code->apps, CAIRN_LOG_ERROR, "msg=\"a projection cannot run\" app=%.*s projection=%.*s detail=\"%s\"",
                 (int)code->manifest->name.size, code->manifest->name.data, (int)projection->name.size,
                 projection->name.data, projection->failure.detail);
    return projection;
}

static void
stop_projection(struct app_projection *projection, bool forget)
{
    if (projection != NULL && projection->runner != NULL && tell_no_more(projection->apps, projection))
        runner_stop(projection->runner, forget);
}

cairn_err
app_projection_retry(struct app_projection *projection, cairn_error *error)
{
    cairn_err err = projection->runner == NULL ? run_projection(projection, error) : CAIRN_OK;
    if (err == CAIRN_OK)
        apps_log(projection->apps, CAIRN_LOG_INFO, "msg=\"a projection runs now\" projection=%.*s",
                 (int)projection->name.size, projection->name.data);
    return err;
}

static bool
same_on_error(const struct app_on_error *a, const struct app_on_error *b)
{
    return a->what == b->what && a->retries == b->retries && a->backoff_us == b->backoff_us;
}

static bool
goes_on(const struct app_projection *have, const struct app_code *code, size_t index, uint64_t salt)
{
    return have != NULL && have->runner != NULL && have->salt == salt
           && same_on_error(&have->on_error, &code->manifest->projection_on_error[index])
           && cairn_str_equal(projection_digest(have->projection), projection_digest(code->manifest->projections[index]));
}

void
app_version_start(struct app_version *version, struct app_version *before)
{
    struct app_code *code = version->code;
    if (code->apps->options.read_only)
        return;
    for (size_t i = 0; before != NULL && i < before->code->manifest->projection_count; i++) {
        struct app_projection *have = before->projections[i];
        bool kept = false;
        for (size_t k = 0; have != NULL && k < code->manifest->projection_count; k++)
            kept |= cairn_str_equal(have->name, projection_name(code->manifest->projections[k]));
        if (!kept)
            stop_projection(have, true);
    }
    for (size_t i = 0; i < code->manifest->projection_count; i++) {
        uint64_t salt = app_code_salt(code, code->manifest->projections[i]);
        struct app_projection *have =
            before != NULL ? app_version_projection(before, projection_name(code->manifest->projections[i])) : NULL;
        if (goes_on(have, code, i, salt)) {
            atomic_fetch_add(&have->refs, 1);
            version->projections[i] = have;
            continue;
        }
        stop_projection(have, false); /* its file serves until the new one beside it has caught up */
        version->projections[i] = start_projection(code, i, salt);
    }
}

void
app_version_stop(struct app_version *version, bool forget)
{
    for (size_t i = 0; i < version->code->manifest->projection_count; i++)
        stop_projection(version->projections[i], forget);
}

void
app_version_hold(struct app_version *version)
{
    atomic_fetch_add(&version->refs, 1);
}

void
app_version_release(struct app_version *version)
{
    if (version == NULL || atomic_fetch_sub(&version->refs, 1) != 1)
        return;
    if (version->projections != NULL)
        for (size_t i = 0; i < version->code->manifest->projection_count; i++)
            app_projection_release(version->projections[i]);
    free(version->projections);
    if (version->bus_app != NULL)
        bus_app_release(version->bus_app);
    code_release(version->code);
    free(version);
}

/* ---- finding ----------------------------------------------------------------------------------------------------------- */

struct app_projection *
app_version_projection(const struct app_version *version, cairn_str name)
{
    for (size_t i = 0; i < version->code->manifest->projection_count; i++)
        if (version->projections[i] != NULL && cairn_str_equal(version->projections[i]->name, name))
            return version->projections[i];
    return NULL;
}

const struct query *
app_version_query(const struct app_version *version, cairn_str name)
{
    for (size_t i = 0; i < version->code->manifest->query_count; i++)
        if (cairn_str_equal(query_name(version->code->manifest->queries[i]), name))
            return version->code->manifest->queries[i];
    return NULL;
}

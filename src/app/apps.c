/* The apps of a store: opening them, finding one, closing them. See apps_int.h for who holds what. */
#include <app/apps_int.h>

#include <base/error.h>
#include <os/os.h>
#include <os/wait.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LOG_LINE_MAX 1024

void
apps_log(cairn_apps *apps, cairn_log_level level, const char *format, ...)
{
    if (apps->options.log == NULL)
        return;
    char line[LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (size > 0)
        apps->options.log(apps->options.log_context, level,
                          (cairn_str){line, (size_t)size < sizeof line ? (size_t)size : sizeof line - 1});
}

bool
app_name_valid(cairn_str name)
{
    if (name.size == 0 || name.size > APP_NAME_MAX || name.data[0] < 'a' || name.data[0] > 'z')
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

/* ---- which apps there are --------------------------------------------------------------------------------- */

struct app *
apps_find(cairn_apps *apps, cairn_str name)
{
    for (struct app *app = apps->first; app != NULL; app = app->next)
        if (cairn_str_equal(cairn_cstr(app->name), name))
            return app;
    return NULL;
}

struct app *
apps_entry(cairn_apps *apps, cairn_str name)
{
    struct app *app = apps_find(apps, name);
    if (app != NULL)
        return app;
    if (apps->count >= APPS_MAX || (app = calloc(1, sizeof *app)) == NULL)
        return NULL;
    memcpy(app->name, name.data, name.size);
    app->stream_revision = -1;
    pthread_mutex_lock(&apps->lock);
    struct app **at = &apps->first; /* by name: lists come out sorted */
    while (*at != NULL && strcmp((*at)->name, app->name) < 0)
        at = &(*at)->next;
    app->next = *at;
    *at = app;
    apps->count++;
    pthread_mutex_unlock(&apps->lock);
    return app;
}

cairn_err
apps_hold(cairn_apps *apps, cairn_str name, struct app_version **ret, cairn_error *error)
{
    pthread_mutex_lock(&apps->lock);
    struct app *app = apps_find(apps, name);
    struct app_version *version = app != NULL ? app->current : NULL;
    if (version != NULL)
        app_version_hold(version);
    cairn_error why = app != NULL ? app->failure : (cairn_error){0};
    pthread_mutex_unlock(&apps->lock);
    if (version == NULL && why.code != CAIRN_OK)
        return error_set(error, CAIRN_E_UNSUPPORTED, "the app %.*s cannot run here: %s", (int)name.size, name.data,
                         why.detail);
    if (version == NULL)
        return error_set(error, CAIRN_E_NOTFOUND, "there is no app named '%.*s'", (int)(name.size < 64 ? name.size : 64),
                         name.data);
    *ret = version;
    return CAIRN_OK;
}

void
apps_show(cairn_apps *apps, struct app *app, struct app_version *version)
{
    pthread_mutex_lock(&apps->lock);
    struct app_version *before = app->current;
    app->current = version;
    app->failure.code = CAIRN_OK;
    pthread_mutex_unlock(&apps->lock);
    atomic_fetch_add(&apps->shown, 1);
    os_wake(&apps->shown, INT32_MAX);
    app_version_release(before); /* commands and queries under way finish on it */
}

/* ---- opening and closing ------------------------------------------------------------------------------------ */

static cairn_err
make_folder(cairn_apps *apps, cairn_error *error)
{
    if (apps->options.folder == NULL)
        return error_set(error, CAIRN_E_INVALID, "options.folder is NULL: read models need a folder");
    apps->folder = strdup(apps->options.folder);
    if (apps->options.native_folder != NULL)
        apps->native_folder = strdup(apps->options.native_folder);
    if (apps->folder == NULL || (apps->native_folder == NULL && apps->options.native_folder != NULL))
        return error_set(error, CAIRN_E_NOMEM, "no memory for the apps");
    apps->options.folder = apps->folder; /* the caller's strings may go */
    apps->options.native_folder = apps->native_folder;
    int made = os_mkdir(os_real(), apps->folder);
    if (made != 0 && made != -EEXIST)
        return error_set_errno(error, -made, "cannot make the folder %s for read models", apps->folder);
    return CAIRN_OK;
}

cairn_err
cairn_apps_open(cairn_store *store, const cairn_apps_options *options, cairn_apps **ret_apps, cairn_error *error)
{
    if (store == NULL || options == NULL || ret_apps == NULL)
        return error_set(error, CAIRN_E_INVALID, "store, options and ret_apps must be given");
    cairn_apps *apps = calloc(1, sizeof *apps);
    if (apps == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the apps");
    apps->store = store;
    apps->options = *options;
    pthread_mutex_init(&apps->deploying, NULL);
    pthread_mutex_init(&apps->lock, NULL);
    pthread_mutex_init(&apps->runners_lock, NULL);
    pthread_mutex_init(&apps->caches_lock, NULL);

    cairn_err err = make_folder(apps, error);
    if (err == CAIRN_OK)
        err = schema_registry_open(store, 0, &apps->registry, error);
    if (err == CAIRN_OK) {
        const struct bus_options bus = {.store = store, .apps = &apps->options};
        err = bus_create(&bus, &apps->bus, error);
    }
    if (err == CAIRN_OK)
        err = deployments_load(apps, error);
    if (err != CAIRN_OK) {
        cairn_apps_close(apps);
        return err;
    }
    *ret_apps = apps;
    return CAIRN_OK;
}

/* Versions stay shown: what was held is served to the end, what comes is refused by `closing` or by runners that stopped. */
void
cairn_apps_stop(cairn_apps *apps)
{
    if (apps == NULL)
        return;
    atomic_store(&apps->closing, true);
    pthread_mutex_lock(&apps->deploying);
    for (struct app *app = apps->first; app != NULL; app = app->next)
        if (app->current != NULL)
            app_version_stop(app->current, false);
    pthread_mutex_unlock(&apps->deploying);
    atomic_fetch_add(&apps->shown, 1);
    os_wake(&apps->shown, INT32_MAX);
}

void
cairn_apps_close(cairn_apps *apps)
{
    if (apps == NULL)
        return;
    cairn_apps_stop(apps);
    /* Each app lets go of its version; the bus lets go of them when the last command is over. */
    for (struct app *app = apps->first; app != NULL; app = app->next)
        if (app->current != NULL)
            apps_show(apps, app, NULL);
    bus_free(apps->bus);
    schema_registry_free(apps->registry);
    while (apps->first != NULL) {
        struct app *app = apps->first;
        apps->first = app->next;
        free(app);
    }
    for (size_t i = 0; i < apps->cache_count; i++)
        query_cache_free(apps->caches[i]);
    free(apps->caches);
    free(apps->runners);
    free(apps->folder);
    free(apps->native_folder);
    pthread_mutex_destroy(&apps->deploying);
    pthread_mutex_destroy(&apps->lock);
    pthread_mutex_destroy(&apps->runners_lock);
    pthread_mutex_destroy(&apps->caches_lock);
    free(apps);
}

void
cairn_apps_committed(cairn_apps *apps, uint64_t end)
{
    bus_committed(apps->bus, end);
    pthread_mutex_lock(&apps->runners_lock);
    for (size_t i = 0; i < apps->runner_count; i++)
        runner_committed(apps->runners[i]->runner, end);
    pthread_mutex_unlock(&apps->runners_lock);
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

cairn_err
cairn_command_async(cairn_apps *apps, const cairn_command *command, cairn_command_done done, void *context,
                    cairn_error *error)
{
    if (apps == NULL || command == NULL || done == NULL)
        return error_set(error, CAIRN_E_INVALID, "apps, command and done must be given");
    if (atomic_load(&apps->closing))
        return error_set(error, CAIRN_E_CLOSED, "the apps are closing");
    if (apps->options.read_only)
        return error_set(error, CAIRN_E_READONLY, "the apps were opened for reading only");
    struct app_version *version;
    cairn_err err = apps_hold(apps, command->app, &version, error);
    if (err != CAIRN_OK)
        return err;
    err = bus_submit(apps->bus, version->bus_app, command, done, context, error);
    app_version_release(version);
    return err;
}

struct waiting {
    cairn_command_done done;
    void *context;
    pthread_mutex_t lock;
    pthread_cond_t over_changed;
    bool over;
    cairn_err err;
    cairn_error error;
};

static void
wake_caller(void *context, cairn_err err, const cairn_outcome *outcome, const cairn_error *error)
{
    struct waiting *waiting = context;
    if (waiting->done != NULL)
        waiting->done(waiting->context, err, outcome, error);
    pthread_mutex_lock(&waiting->lock);
    waiting->err = err;
    if (err != CAIRN_OK && error != NULL)
        waiting->error = *error;
    waiting->over = true;
    pthread_cond_signal(&waiting->over_changed);
    pthread_mutex_unlock(&waiting->lock);
}

cairn_err
cairn_command_run(cairn_apps *apps, const cairn_command *command, cairn_command_done done, void *context,
                  cairn_error *error)
{
    struct waiting waiting = {.done = done, .context = context};
    pthread_mutex_init(&waiting.lock, NULL);
    pthread_cond_init(&waiting.over_changed, NULL);
    cairn_err err = cairn_command_async(apps, command, wake_caller, &waiting, error);
    if (err == CAIRN_OK) {
        pthread_mutex_lock(&waiting.lock);
        while (!waiting.over)
            pthread_cond_wait(&waiting.over_changed, &waiting.lock);
        pthread_mutex_unlock(&waiting.lock);
        err = waiting.err;
        if (err != CAIRN_OK && error != NULL)
            *error = waiting.error;
    }
    pthread_cond_destroy(&waiting.over_changed);
    pthread_mutex_destroy(&waiting.lock);
    return err;
}

cairn_err
cairn_app_state(cairn_apps *apps, cairn_str app, cairn_str stream, int64_t revision, cairn_sink sink, void *context,
                cairn_error *error)
{
    struct app_version *version;
    cairn_err err = apps_hold(apps, app, &version, error);
    if (err != CAIRN_OK)
        return err;
    size_t decider;
    if (app_stream_decider(version->code->manifest, stream, &decider))
        err = bus_state(apps->bus, version->bus_app, decider, stream, revision, sink, context, error);
    else
        err = error_set(error, CAIRN_E_NOTFOUND, "no command of the app %.*s is decided on a stream of that name",
                        (int)app.size, app.data);
    app_version_release(version);
    return err;
}

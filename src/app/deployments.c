/* Deployments are events of "$app-<name>": AppFileAdded (a file's text, once for each text), AppDeployed (which files make
 * a version), AppRemoved. An AppDeployed names each file's revision in this very stream, so a version is read back without
 * going through the history.
 *
 * One deployment at a time. All of it is one append, together with the schemas that are new; before that nothing is
 * visible, after it the version is shown. */
#include <app/apps_int.h>

#include <base/error.h>
#include <base/hash.h>
#include <base/json.h>
#include <base/text.h>
#include <os/os.h>

#include <stdio.h>
#include <stdlib.h>

#define STREAM_SIZE (sizeof APP_STREAM_PREFIX + APP_NAME_MAX)
#define APP_FILES_MAX 256
#define SHA256_TEXT 65

static cairn_str
stream_of(cairn_str app, char to[STREAM_SIZE])
{
    int size = snprintf(to, STREAM_SIZE, APP_STREAM_PREFIX "%.*s", (int)app.size, app.data);
    return (cairn_str){to, (size_t)size};
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static cairn_str
text_at(struct json value, const char *name, struct arena *arena)
{
    cairn_str text = json_string(json_get(value, name), arena);
    return text.data != NULL ? arena_copy(arena, text) : (cairn_str){"", 0};
}

static uint64_t
number_at(struct json value, const char *name)
{
    uint64_t number = 0;
    return json_u64(json_get(value, name), &number) ? number : 0;
}

static cairn_err
read_deployed(const cairn_recorded *event, struct arena *arena, struct deployed *ret, cairn_error *error)
{
    struct json data = json_trusted(event->event.data), files = json_get(data, "files"), item;
    memset(ret, 0, sizeof *ret);
    ret->about = (cairn_deployment){
        .version = (uint32_t)number_at(data, "version"),
        .rollback_of = (uint32_t)number_at(data, "rollback_of"),
        .time_us = event->time_us,
        .position = event->position,
        .by = text_at(data, "by", arena),
        .note = text_at(data, "note", arena),
        .digest = text_at(data, "digest", arena),
        .file_count = json_count(files),
    };
    ret->files = arena_zalloc(arena, (ret->about.file_count + 1) * sizeof *ret->files);
    if (ret->files == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the app's history");
    struct json_walk walk = json_walk(files);
    struct json unused;
    for (size_t i = 0; json_next(&walk, &unused, &item); i++)
        ret->files[i] = (struct deployed_file){text_at(item, "path", arena), text_at(item, "sha256", arena),
                                               number_at(item, "revision")};
    return CAIRN_OK;
}

typedef bool (*deployed_visit)(void *context, const struct deployed *deployed); /* false: enough */

/* Newest first. AppRemoved is visited with removed = true and nothing else. */
static cairn_err
walk_deployments(cairn_apps *apps, cairn_str app, struct arena *arena, deployed_visit visit, void *context,
                 int64_t *ret_revision, cairn_error *error)
{
    char stream[STREAM_SIZE];
    const cairn_read_options options = {.from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD, .system = true};
    cairn_reader *reader;
    cairn_err err = cairn_read_stream(apps->store, stream_of(app, stream), &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    bool first = true;
    for (;;) {
        cairn_recorded event;
        err = cairn_reader_next(reader, &event, error);
        if (err != CAIRN_OK)
            break;
        if (first && ret_revision != NULL)
            *ret_revision = (int64_t)event.revision;
        first = false;
        struct deployed deployed = {.removed = true};
        if (cairn_str_equal(event.event.type, CAIRN_STR(APP_EVENT_DEPLOYED)))
            err = read_deployed(&event, arena, &deployed, error);
        else if (!cairn_str_equal(event.event.type, CAIRN_STR(APP_EVENT_REMOVED)))
            continue;
        if (err != CAIRN_OK || !visit(context, &deployed))
            break;
    }
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

struct wanted {
    uint32_t version;
    bool found, removed_since;
    struct deployed deployed;
};

static bool
is_wanted(void *context, const struct deployed *deployed)
{
    struct wanted *wanted = context;
    if (deployed->removed) {
        wanted->removed_since = true;
        return true;
    }
    if (wanted->version != 0 && deployed->about.version != wanted->version)
        return true;
    wanted->deployed = *deployed;
    wanted->found = true;
    return false;
}

cairn_err
deployments_find(cairn_apps *apps, cairn_str app, uint32_t version, struct arena *arena, struct deployed *ret,
                 cairn_error *error)
{
    struct wanted wanted = {.version = version};
    if (!app_name_valid(app))
        return error_set(error, CAIRN_E_NOTFOUND, "there is no app of that name");
    cairn_err err = walk_deployments(apps, app, arena, is_wanted, &wanted, NULL, error);
    if (err != CAIRN_OK)
        return err;
    if (!wanted.found)
        return version == 0 ? error_set(error, CAIRN_E_NOTFOUND, "there is no app named '%.*s'", (int)app.size, app.data)
                            : error_set(error, CAIRN_E_NOTFOUND, "the app '%.*s' has no version %u", (int)app.size,
                                        app.data, version);
    *ret = wanted.deployed;
    ret->removed = wanted.removed_since && version == 0;
    return CAIRN_OK;
}

cairn_err
deployments_files(cairn_apps *apps, cairn_str app, const struct deployed *deployed, struct arena *arena,
                  cairn_app_file **ret, cairn_error *error)
{
    char stream[STREAM_SIZE];
    size_t count = deployed->about.file_count;
    cairn_app_file *files = arena_zalloc(arena, (count + 1) * sizeof *files);
    if (files == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the app's files");
    for (size_t i = 0; i < count; i++) {
        const cairn_read_options options = {.from = (int64_t)deployed->files[i].revision, .system = true};
        cairn_reader *reader;
        cairn_err err = cairn_read_stream(apps->store, stream_of(app, stream), &options, &reader, error);
        if (err != CAIRN_OK)
            return err;
        cairn_recorded event;
        err = cairn_reader_next(reader, &event, error);
        if (err == CAIRN_OK) {
            files[i].path = deployed->files[i].path;
            files[i].text = arena_copy(arena, event.event.data);
            if (files[i].text.data == NULL)
                err = error_set(error, CAIRN_E_NOMEM, "no memory for the app's files");
        }
        cairn_reader_free(reader);
        if (err != CAIRN_OK)
            return err == CAIRN_E_END ? error_set(error, CAIRN_E_CORRUPT, "%s lacks the file %.*s at revision %llu", stream,
                                                  (int)deployed->files[i].path.size, deployed->files[i].path.data,
                                                  (unsigned long long)deployed->files[i].revision)
                                      : err;
    }
    *ret = files;
    return CAIRN_OK;
}

/* ---- deploying ------------------------------------------------------------------------------------------------ */

struct deploying {
    cairn_apps *apps;
    const cairn_deploy_options *options;
    uint32_t rollback_of;
    struct version_plan plan;
    struct arena arena;
    struct app *app;
    struct deployed before; /* the newest version there is, file_count 0 when none */
    bool had_before;
};

/* Text that was deployed with the newest version keeps its event; only what is new is added. */
static const struct deployed_file *
same_text(const struct deployed *before, const char *sha256)
{
    for (size_t i = 0; i < before->about.file_count; i++)
        if (before->files[i].sha256.size == SHA256_TEXT - 1 && memcmp(before->files[i].sha256.data, sha256, SHA256_TEXT - 1) == 0)
            return &before->files[i];
    return NULL;
}

static void
put_text(struct buf *to, const char *name, cairn_str text)
{
    json_put_name(to, name);
    json_put_string(to, text);
}

/* The events of "$app-<name>": new texts, then what is deployed. */
static cairn_err
make_events(struct deploying *job, cairn_event **ret, size_t *ret_count, cairn_error *error)
{
    const struct app_manifest *manifest = job->plan.version->code->manifest;
    cairn_event *events = arena_zalloc(&job->arena, (manifest->file_count + 1) * sizeof *events);
    if (events == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the deployment");
    size_t count = 0;
    struct buf data = {0};
    buf_printf(&data, "{\"version\":%u", job->app->newest + 1);
    put_text(&data, "digest", manifest->digest);
    if (job->options->by.size > 0)
        put_text(&data, "by", job->options->by);
    if (job->options->note.size > 0)
        put_text(&data, "note", job->options->note);
    if (job->rollback_of != 0)
        buf_printf(&data, ",\"rollback_of\":%u", job->rollback_of);
    buf_put_str(&data, CAIRN_STR(",\"files\":["));
    for (size_t i = 0; i < manifest->file_count; i++) {
        const cairn_app_file *file = &manifest->files[i];
        uint8_t hash[32];
        char sha256_text[SHA256_TEXT];
        sha256(file->text.data, file->text.size, hash);
        format_hex(hash, sizeof hash, sha256_text);
        const struct deployed_file *have = same_text(&job->before, sha256_text);
        uint64_t revision = have != NULL ? have->revision : (uint64_t)(job->app->stream_revision + 1) + count;
        if (have == NULL)
            events[count++] = (cairn_event){.type = CAIRN_STR(APP_EVENT_FILE),
                                            .content_type = CAIRN_STR("text/plain; charset=utf-8"),
                                            .data = file->text};
        json_put_comma(&data);
        buf_put_char(&data, '{');
        put_text(&data, "path", file->path);
        put_text(&data, "sha256", cairn_cstr(sha256_text));
        json_put_name(&data, "revision");
        json_put_u64(&data, revision);
        buf_put_char(&data, '}');
    }
    buf_put_str(&data, CAIRN_STR("]}"));
    cairn_str copy = data.failed ? (cairn_str){0} : arena_copy(&job->arena, buf_str(&data));
    buf_free(&data);
    if (copy.data == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the deployment");
    events[count++] = (cairn_event){.type = CAIRN_STR(APP_EVENT_DEPLOYED), .data = copy};
    *ret = events;
    *ret_count = count;
    return CAIRN_OK;
}

static cairn_err
append_deployment(struct deploying *job, cairn_at *ret_at, cairn_error *error)
{
    cairn_event *events = NULL;
    size_t count = 0;
    char stream[STREAM_SIZE];
    cairn_err err = make_events(job, &events, &count, error);
    if (err != CAIRN_OK)
        return err;
    const cairn_write writes[2] = {
        {.stream = stream_of(cairn_cstr(job->app->name), stream),
         .expected = job->app->stream_revision < 0 ? CAIRN_NONE : job->app->stream_revision,
         .events = events, .event_count = count},
        job->plan.schemas,
    };
    const cairn_append_request request = {
        .writes = writes, .write_count = job->plan.schemas.event_count > 0 ? 2 : 1, .system = true};
    err = cairn_append_all(job->apps->store, &request, ret_at, error);
    if (err != CAIRN_OK)
        return err;
    job->app->stream_revision += (int64_t)count;
    if (job->plan.schemas.event_count > 0)
        err = schema_registry_refresh(job->apps->registry, error);
    return err;
}

static cairn_err
expect_version(const struct deploying *job, cairn_error *error)
{
    uint32_t expected = job->options->expected_version;
    uint32_t current = job->app != NULL && job->app->current != NULL ? job->app->current->number : 0;
    if (expected == 0 || expected == current)
        return CAIRN_OK;
    if (error != NULL)
        error->revision = current;
    return error_set(error, CAIRN_E_CONFLICT, "version %u was expected to run; version %u does", expected, current);
}

/* Under `deploying`. */
static cairn_err
deploy_now(struct deploying *job, cairn_deployed *ret, cairn_error *error)
{
    cairn_apps *apps = job->apps;
    const struct app_manifest *manifest = job->plan.version->code->manifest;
    job->app = apps_find(apps, manifest->name);
    cairn_err err = expect_version(job, error);
    if (err != CAIRN_OK)
        return err;
    struct app_version *current = job->app != NULL ? job->app->current : NULL;
    if (current != NULL && cairn_str_equal(current->code->manifest->digest, manifest->digest)) {
        *ret = (cairn_deployed){.version = current->number};
        return CAIRN_OK;
    }
    if (job->options->dry_run) {
        *ret = (cairn_deployed){.version = (job->app != NULL ? job->app->newest : 0) + 1, .changed = true};
        return CAIRN_OK;
    }
    job->app = apps_entry(apps, manifest->name);
    if (job->app == NULL || job->app->newest >= APP_VERSIONS_MAX)
        return error_set(error, CAIRN_E_LIMIT, "there are %d apps, or %d versions of this one, which is the limit", APPS_MAX,
                         APP_VERSIONS_MAX);
    err = deployments_find(apps, manifest->name, 0, &job->arena, &job->before, error);
    if (err != CAIRN_OK && err != CAIRN_E_NOTFOUND)
        return err;
    cairn_at at;
    err = append_deployment(job, &at, error);
    if (err != CAIRN_OK)
        return err;

    struct app_version *version = job->plan.version;
    job->plan.version = NULL;
    version->number = ++job->app->newest;
    version->rollback_of = job->rollback_of;
    version->position = at.first_position;
    version->time_us = os_now_us(os_real());
    app_version_start(version, current);
    apps_show(apps, job->app, version);
    *ret = (cairn_deployed){.version = version->number, .changed = true};
    apps_log(apps, CAIRN_LOG_INFO, "msg=deployed app=%s version=%u", job->app->name, ret->version);
    return CAIRN_OK;
}

static cairn_err
deploy(cairn_apps *apps, const cairn_app_file *files, size_t count, const cairn_deploy_options *options,
       uint32_t rollback_of, cairn_app_fault_visit visit, void *context, cairn_deployed *ret, cairn_error *error)
{
    static const cairn_deploy_options plain;
    struct deploying job = {.apps = apps, .options = options != NULL ? options : &plain, .rollback_of = rollback_of};
    if (apps->options.read_only)
        return error_set(error, CAIRN_E_READONLY, "the apps were opened for reading only");
    if (job.options->by.size > 256 || job.options->note.size > 4096)
        return error_set(error, CAIRN_E_LIMIT, "by has at most 256 bytes and note 4096");
    pthread_mutex_lock(&apps->deploying);
    cairn_err err = app_version_plan(apps, files, count, visit, context, &job.plan, error);
    if (err == CAIRN_OK)
        err = deploy_now(&job, ret, error);
    version_plan_free(&job.plan);
    arena_free(&job.arena);
    pthread_mutex_unlock(&apps->deploying);
    return err;
}

cairn_err
cairn_app_deploy(cairn_apps *apps, const cairn_app_file *files, size_t count, const cairn_deploy_options *options,
                 cairn_app_fault_visit visit, void *context, cairn_deployed *ret, cairn_error *error)
{
    if (apps == NULL || (files == NULL && count > 0) || ret == NULL)
        return error_set(error, CAIRN_E_INVALID, "apps, files and ret must be given");
    return deploy(apps, files, count, options, 0, visit, context, ret, error);
}

cairn_err
cairn_app_rollback(cairn_apps *apps, cairn_str app, uint32_t to_version, const cairn_deploy_options *options,
                   cairn_app_fault_visit visit, void *context, cairn_deployed *ret, cairn_error *error)
{
    struct arena arena = {0};
    struct deployed deployed;
    cairn_app_file *files = NULL;
    if (to_version == 0)
        return error_set(error, CAIRN_E_INVALID, "the version to go back to must be 1 or more");
    cairn_err err = deployments_find(apps, app, to_version, &arena, &deployed, error);
    if (err == CAIRN_OK)
        err = deployments_files(apps, app, &deployed, &arena, &files, error);
    if (err == CAIRN_OK)
        err = deploy(apps, files, deployed.about.file_count, options, to_version, visit, context, ret, error);
    arena_free(&arena);
    return err;
}

cairn_err
cairn_app_remove(cairn_apps *apps, cairn_str name, cairn_error *error)
{
    if (apps->options.read_only)
        return error_set(error, CAIRN_E_READONLY, "the apps were opened for reading only");
    pthread_mutex_lock(&apps->deploying);
    struct app *app = apps_find(apps, name);
    cairn_err err = CAIRN_OK;
    if (app == NULL || app->current == NULL) {
        err = error_set(error, CAIRN_E_NOTFOUND, "there is no app named '%.*s'", (int)(name.size < 64 ? name.size : 64),
                        name.data);
    } else {
        char stream[STREAM_SIZE];
        const cairn_event event = {.type = CAIRN_STR(APP_EVENT_REMOVED), .data = CAIRN_STR("{}")};
        const cairn_write write = {.stream = stream_of(name, stream), .expected = app->stream_revision, .events = &event,
                                   .event_count = 1};
        const cairn_append_request request = {.writes = &write, .write_count = 1, .system = true};
        cairn_at at;
        err = cairn_append_all(apps->store, &request, &at, error);
        if (err == CAIRN_OK) {
            app->stream_revision++;
            app_version_stop(app->current, true);
            apps_show(apps, app, NULL);
        }
    }
    pthread_mutex_unlock(&apps->deploying);
    return err;
}

/* ---- history ------------------------------------------------------------------------------------------------------ */

struct history {
    cairn_deployment_visit visit;
    void *context;
    bool newest_seen;
    size_t count;
};

static bool
tell_history(void *context, const struct deployed *deployed)
{
    struct history *history = context;
    if (!deployed->removed) {
        cairn_deployment about = deployed->about;
        about.current = !history->newest_seen;
        history->visit(history->context, &about);
        history->count++;
    }
    history->newest_seen = true; /* removed since: none is current */
    return true;
}

cairn_err
cairn_app_history(cairn_apps *apps, cairn_str app, cairn_deployment_visit visit, void *context, cairn_error *error)
{
    struct arena arena = {0};
    struct history history = {.visit = visit, .context = context};
    cairn_err err = app_name_valid(app) ? walk_deployments(apps, app, &arena, tell_history, &history, NULL, error) : CAIRN_OK;
    if (err == CAIRN_OK && history.count == 0)
        err = error_set(error, CAIRN_E_NOTFOUND, "there is no app named '%.*s'", (int)(app.size < 64 ? app.size : 64), app.data);
    arena_free(&arena);
    return err;
}

cairn_err
cairn_app_files(cairn_apps *apps, cairn_str app, uint32_t version, cairn_app_file_visit visit, void *context,
                cairn_error *error)
{
    struct arena arena = {0};
    struct deployed deployed;
    cairn_app_file *files;
    cairn_err err = deployments_find(apps, app, version, &arena, &deployed, error);
    if (err == CAIRN_OK)
        err = deployments_files(apps, app, &deployed, &arena, &files, error);
    for (size_t i = 0; err == CAIRN_OK && i < deployed.about.file_count; i++)
        visit(context, &files[i]);
    arena_free(&arena);
    return err;
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

static void
log_fault(void *context, const cairn_app_fault *fault)
{
    if (!fault->warning)
        apps_log(context, CAIRN_LOG_ERROR, "msg=\"fault in a deployed app\" file=%.*s line=%u detail=\"%.*s\"",
                 (int)fault->file.size, fault->file.data, fault->line, (int)fault->message.size, fault->message.data);
}

static cairn_err
load_app(cairn_apps *apps, cairn_str name, cairn_error *error)
{
    struct arena arena = {0};
    struct wanted wanted = {0};
    struct version_plan plan = {0};
    cairn_app_file *files;
    cairn_error why = {0};
    struct app *app = apps_entry(apps, name);
    if (app == NULL)
        return error_set(error, CAIRN_E_LIMIT, "there are more than %d apps, which is the limit", APPS_MAX);
    cairn_err err = walk_deployments(apps, name, &arena, is_wanted, &wanted, &app->stream_revision, error);
    if (err != CAIRN_OK || !wanted.found)
        goto done;
    app->newest = wanted.deployed.about.version;
    if (wanted.removed_since)
        goto done;
    err = deployments_files(apps, name, &wanted.deployed, &arena, &files, error);
    if (err != CAIRN_OK)
        goto done;
    if (app_version_plan(apps, files, wanted.deployed.about.file_count, log_fault, apps, &plan, &why) != CAIRN_OK) {
        apps_log(apps, CAIRN_LOG_ERROR, "msg=\"a deployed app cannot run\" app=%s version=%u detail=\"%s\"", app->name,
                 app->newest, why.detail);
        goto done;
    }
    struct app_version *version = plan.version;
    plan.version = NULL;
    version->number = wanted.deployed.about.version;
    version->rollback_of = wanted.deployed.about.rollback_of;
    version->time_us = wanted.deployed.about.time_us;
    version->position = wanted.deployed.about.position;
    app_version_start(version, NULL);
    apps_show(apps, app, version);
done:
    version_plan_free(&plan);
    arena_free(&arena);
    return err;
}

struct loading {
    cairn_str *names;
    size_t count;
    struct arena arena;
    bool failed;
};

static bool
note_app(void *context, cairn_str stream, uint64_t first_position)
{
    struct loading *loading = context;
    (void)first_position;
    cairn_str name = {stream.data + sizeof APP_STREAM_PREFIX - 1, stream.size - (sizeof APP_STREAM_PREFIX - 1)};
    if (!app_name_valid(name) || loading->count == APPS_MAX)
        return true;
    loading->names[loading->count] = arena_copy(&loading->arena, name);
    loading->failed = loading->names[loading->count++].data == NULL;
    return !loading->failed;
}

cairn_err
deployments_load(cairn_apps *apps, cairn_error *error)
{
    struct loading loading = {0};
    loading.names = calloc(APPS_MAX, sizeof *loading.names);
    cairn_err err = loading.names == NULL ? CAIRN_E_NOMEM
                                          : cairn_streams(apps->store, 0, CAIRN_STR(APP_STREAM_PREFIX), (cairn_str){0},
                                                          note_app, &loading, error);
    if (err == CAIRN_E_NOMEM || (err == CAIRN_OK && loading.failed))
        err = error_set(error, CAIRN_E_NOMEM, "no memory for the apps");
    for (size_t i = 0; err == CAIRN_OK && i < loading.count; i++)
        err = load_app(apps, loading.names[i], error);
    arena_free(&loading.arena);
    free(loading.names);
    return err;
}

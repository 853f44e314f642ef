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
#define PATH_SIZE 4096
#define SHA256_TEXT 65

static cairn_str
stream_of(cairn_str app, char to[STREAM_SIZE])
{
    int size = snprintf(to, STREAM_SIZE, APP_STREAM_PREFIX "%.*s", (int)app.size, app.data);
    return (cairn_str){to, (size_t)size};
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* Empty when there is none; data is NULL when there is no memory. */
static cairn_str
text_at(struct json value, const char *name, struct arena *arena)
{
    struct json member = json_get(value, name);
    cairn_str text = json_string(member, arena);
    return member.type != JSON_STRING ? (cairn_str){"", 0} : text.data != NULL ? arena_copy(arena, text) : text;
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
    bool whole = ret->files != NULL && ret->about.by.data != NULL && ret->about.note.data != NULL
                 && ret->about.digest.data != NULL;
    struct json_walk walk = json_walk(files);
    struct json unused;
    for (size_t i = 0; whole && json_next(&walk, &unused, &item); i++) {
        ret->files[i] = (struct deployed_file){text_at(item, "path", arena), text_at(item, "sha256", arena),
                                               number_at(item, "revision")};
        whole = ret->files[i].path.data != NULL && ret->files[i].sha256.data != NULL;
    }
    return whole ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for the app's history");
}

/* What an event says before its list of files is read. */
struct told {
    const cairn_recorded *event;
    uint32_t version;
    bool removed; /* AppRemoved: nothing else */
};
/* CAIRN_E_END: enough. */
typedef cairn_err (*told_visit)(void *context, const struct told *told, cairn_error *error);

/* Newest first; memory is the visitor's business, because an app may have many versions. ret_revision (may be NULL): the
 * stream's last, -1 when there is none. */
static cairn_err
walk_deployments(cairn_apps *apps, cairn_str app, told_visit visit, void *context, int64_t *ret_revision,
                 cairn_error *error)
{
    char stream[STREAM_SIZE];
    const cairn_read_options options = {.from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD, .system = true};
    cairn_reader *reader;
    cairn_err err = cairn_read_stream(apps->store, stream_of(app, stream), &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    int64_t revision = -1;
    cairn_recorded event;
    while (err == CAIRN_OK && (err = cairn_reader_next(reader, &event, error)) == CAIRN_OK) {
        if (revision < 0)
            revision = (int64_t)event.revision;
        struct told told = {.event = &event, .removed = cairn_str_equal(event.event.type, CAIRN_STR(APP_EVENT_REMOVED))};
        bool deployed = cairn_str_equal(event.event.type, CAIRN_STR(APP_EVENT_DEPLOYED));
        if (deployed)
            told.version = (uint32_t)number_at(json_trusted(event.event.data), "version");
        if (deployed || told.removed)
            err = visit(context, &told, error);
    }
    cairn_reader_free(reader);
    if (ret_revision != NULL)
        *ret_revision = revision;
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

struct wanted {
    uint32_t version; /* 0: the newest */
    struct arena *arena;
    bool found, removed_since;
    struct deployed deployed;
};

static cairn_err
is_wanted(void *context, const struct told *told, cairn_error *error)
{
    struct wanted *wanted = context;
    wanted->removed_since |= told->removed;
    if (told->removed || (wanted->version != 0 && told->version != wanted->version))
        return CAIRN_OK;
    cairn_err err = read_deployed(told->event, wanted->arena, &wanted->deployed, error);
    wanted->found = err == CAIRN_OK;
    return err == CAIRN_OK ? CAIRN_E_END : err;
}

static cairn_err
no_such_app(cairn_str name, cairn_error *error)
{
    return error_set(error, CAIRN_E_NOTFOUND, "there is no app named '%.*s'", (int)(name.size < 64 ? name.size : 64),
                     name.data);
}

cairn_err
deployments_find(cairn_apps *apps, cairn_str app, uint32_t version, struct arena *arena, struct deployed *ret,
                 cairn_error *error)
{
    struct wanted wanted = {.version = version, .arena = arena};
    if (!app_name_valid(app))
        return no_such_app(app, error);
    cairn_err err = walk_deployments(apps, app, is_wanted, &wanted, NULL, error);
    if (err != CAIRN_OK)
        return err;
    if (!wanted.found)
        return version == 0 ? no_such_app(app, error)
                            : error_set(error, CAIRN_E_NOTFOUND, "the app '%.*s' has no version %u", (int)app.size,
                                        app.data, version);
    *ret = wanted.deployed;
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
    cairn_app_fault_visit visit;
    void *context;
    struct version_plan plan;
    struct arena arena;
    struct app *app;
    struct deployed before; /* the newest version there is, file_count 0 when none */
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
    json_put_text_member(&data, "digest", manifest->digest);
    if (job->options->by.size > 0)
        json_put_text_member(&data, "by", job->options->by);
    if (job->options->note.size > 0)
        json_put_text_member(&data, "note", job->options->note);
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
        json_put_text_member(&data, "path", file->path);
        json_put_text_member(&data, "sha256", cairn_cstr(sha256_text));
        json_put_u64_member(&data, "revision", revision);
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
    /* It is there now, whatever comes: a registry that could not be read does so before the next deployment, and until then
     * this version knows its newest schemas itself. */
    cairn_error why = {0};
    if (job->plan.schemas.event_count > 0 && schema_registry_refresh(job->apps->registry, &why) != CAIRN_OK)
        apps_log(job->apps, CAIRN_LOG_ERROR, "msg=\"schemas cannot be read\" detail=\"%s\"", why.detail);
    return CAIRN_OK;
}

/* What the stream says is what counts: after an append that failed nobody knows otherwise. */
static cairn_err
read_newest(struct deploying *job, cairn_error *error)
{
    struct wanted newest = {.arena = &job->arena};
    cairn_err err = walk_deployments(job->apps, cairn_cstr(job->app->name), is_wanted, &newest,
                                     &job->app->stream_revision, error);
    if (err == CAIRN_OK && newest.found) {
        job->before = newest.deployed;
        job->app->newest = newest.deployed.about.version;
    }
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
    *ret = (cairn_deployed){0};
    memcpy(ret->app, manifest->name.data, manifest->name.size);
    job->app = apps_find(apps, manifest->name);
    cairn_err err = expect_version(job, error);
    if (err != CAIRN_OK)
        return err;
    struct app_version *current = job->app != NULL ? job->app->current : NULL;
    if (current != NULL && cairn_str_equal(current->code->manifest->digest, manifest->digest)) {
        ret->version = current->number;
        return CAIRN_OK;
    }
    err = app_topics_check(apps, manifest, job->rollback_of > 0, job->visit, job->context, error);
    if (err != CAIRN_OK)
        return err;
    if (job->options->dry_run) {
        ret->version = (job->app != NULL ? job->app->newest : 0) + 1;
        ret->changed = true;
        return CAIRN_OK;
    }
    job->app = apps_entry(apps, manifest->name);
    if (job->app != NULL && (err = read_newest(job, error)) != CAIRN_OK)
        return err;
    if (job->app == NULL || job->app->newest >= APP_VERSIONS_MAX)
        return error_set(error, CAIRN_E_LIMIT, "there are %d apps, or %d versions of this one, which is the limit", APPS_MAX,
                         APP_VERSIONS_MAX);
    cairn_at at;
    err = app_topics_put(apps, manifest, error); /* first: an app that runs has its topics; those of one that does not are no harm */
    if (err == CAIRN_OK)
        err = append_deployment(job, &at, error);
    if (err != CAIRN_OK)
        return err;

    struct app_version *version = job->plan.version;
    job->plan.version = NULL;
    version->number = ++job->app->newest;
    version->rollback_of = job->rollback_of;
    version->position = at.first_position;
    version->time_us = os_now_us(os_real());
    if (read_newest(job, NULL) == CAIRN_OK && job->before.about.version == version->number) { /* as it will be after a restart */
        version->position = job->before.about.position;
        version->time_us = job->before.about.time_us;
    }
    app_version_start(version, current);
    apps_show(apps, job->app, version);
    ret->version = version->number;
    ret->changed = true;
    apps_log(apps, CAIRN_LOG_INFO, "msg=deployed app=%s version=%u", job->app->name, ret->version);
    return CAIRN_OK;
}

static cairn_err
deploy(cairn_apps *apps, const cairn_app_file *files, size_t count, const cairn_deploy_options *options,
       uint32_t rollback_of, cairn_app_fault_visit visit, void *context, cairn_deployed *ret, cairn_error *error)
{
    static const cairn_deploy_options plain;
    struct deploying job = {.apps = apps, .options = options != NULL ? options : &plain, .rollback_of = rollback_of,
                            .visit = visit, .context = context};
    if (apps->options.read_only)
        return error_set(error, CAIRN_E_READONLY, "the apps were opened for reading only");
    if (job.options->by.size > 256 || job.options->note.size > 4096)
        return error_set(error, CAIRN_E_LIMIT, "by has at most 256 bytes and note 4096");
    if (!utf8_valid(job.options->by) || !utf8_valid(job.options->note))
        return error_set(error, CAIRN_E_INVALID, "by and note must be UTF-8 text");
    pthread_mutex_lock(&apps->deploying);
    cairn_err err = atomic_load(&apps->closing) ? error_set(error, CAIRN_E_CLOSED, "the apps are closing")
                                                : schema_registry_refresh(apps->registry, error);
    if (err == CAIRN_OK)
        err = app_version_plan(apps, files, count, visit, context, &job.plan, error);
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
    if (atomic_load(&apps->closing)) {
        err = error_set(error, CAIRN_E_CLOSED, "the apps are closing");
    } else if (app == NULL || (app->current == NULL && app->failure.code == CAIRN_OK)) {
        err = no_such_app(name, error);
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
            struct app_version *version = app->current;
            if (version != NULL)
                app_version_hold(version);
            apps_show(apps, app, NULL); /* first, so that nobody meets what is being stopped */
            if (version != NULL)
                app_version_stop(version, true);
            app_version_release(version);
            apps_log(apps, CAIRN_LOG_INFO, "msg=removed app=%s", app->name);
        }
    }
    pthread_mutex_unlock(&apps->deploying);
    return err;
}

/* ---- history ------------------------------------------------------------------------------------------------------ */

struct history {
    cairn_deployment_visit visit;
    void *context;
    struct arena arena; /* of one at a time */
    bool newest_seen;
    size_t count;
};

static cairn_err
tell_history(void *context, const struct told *told, cairn_error *error)
{
    struct history *history = context;
    struct deployed deployed;
    cairn_err err = CAIRN_OK;
    if (!told->removed) {
        arena_reset(&history->arena);
        err = read_deployed(told->event, &history->arena, &deployed, error);
    }
    if (!told->removed && err == CAIRN_OK) {
        deployed.about.current = !history->newest_seen;
        history->visit(history->context, &deployed.about);
        history->count++;
    }
    history->newest_seen = true; /* removed since: none is current */
    return err;
}

cairn_err
cairn_app_history(cairn_apps *apps, cairn_str app, cairn_deployment_visit visit, void *context, cairn_error *error)
{
    if (apps == NULL || visit == NULL)
        return error_set(error, CAIRN_E_INVALID, "apps and visit must be given");
    struct history history = {.visit = visit, .context = context};
    cairn_err err = app_name_valid(app) ? walk_deployments(apps, app, tell_history, &history, NULL, error) : CAIRN_OK;
    if (err == CAIRN_OK && history.count == 0)
        err = no_such_app(app, error);
    arena_free(&history.arena);
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

struct tidying {
    char folder[PATH_SIZE];
    const struct app_version *version;
};

static void
unlink_left_over(void *context, const char *file)
{
    const struct tidying *tidying = context;
    char path[PATH_SIZE];
    const struct app_manifest *manifest = tidying->version != NULL ? tidying->version->code->manifest : NULL;
    for (size_t i = 0; manifest != NULL && i < manifest->projection_count; i++) {
        cairn_str name = projection_name(manifest->projections[i]);
        if (strncmp(file, name.data, name.size) == 0 && (file[name.size] == '-' || file[name.size] == '.' || file[name.size] == '@'))
            return;
    }
    int size = snprintf(path, sizeof path, "%s/%s", tidying->folder, file);
    if (file[0] != '.' && size > 0 && (size_t)size < sizeof path)
        (void)os_unlink(os_real(), path);
}

/* Read models of projections that the version (NULL: none) does not have: a crash came between the deployment that left
 * them out and their deletion. */
static void
tidy_models(cairn_apps *apps, const struct app *app, const struct app_version *version)
{
    struct tidying tidying = {.version = version};
    int size = snprintf(tidying.folder, sizeof tidying.folder, "%s/%s", apps->folder, app->name);
    if (!apps->options.read_only && size > 0 && (size_t)size < sizeof tidying.folder)
        (void)os_list(os_real(), tidying.folder, unlink_left_over, &tidying);
}

static cairn_err
load_app(cairn_apps *apps, cairn_str name, cairn_error *error)
{
    struct arena arena = {0};
    struct wanted wanted = {.arena = &arena};
    struct version_plan plan = {0};
    cairn_app_file *files;
    cairn_error why = {0};
    struct app *app = apps_entry(apps, name);
    if (app == NULL)
        return error_set(error, CAIRN_E_LIMIT, "there are more than %d apps, which is the limit", APPS_MAX);
    cairn_err err = walk_deployments(apps, name, is_wanted, &wanted, &app->stream_revision, &why);
    if (err == CAIRN_OK && wanted.found) {
        app->newest = wanted.deployed.about.version;
        if (!wanted.removed_since)
            err = deployments_files(apps, name, &wanted.deployed, &arena, &files, &why);
    }
    if (err == CAIRN_OK && (!wanted.found || wanted.removed_since)) {
        tidy_models(apps, app, NULL);
        goto done;
    }
    if (err == CAIRN_OK)
        err = app_version_plan(apps, files, wanted.deployed.about.file_count, log_fault, apps, &plan, &why);
    if (err == CAIRN_E_NOMEM || err == CAIRN_E_IO) {
        err = error_set(error, err, "%s", why.detail);
        goto done;
    }
    if (err != CAIRN_OK) { /* the others are none the worse for it */
        apps_log(apps, CAIRN_LOG_ERROR, "msg=\"a deployed app cannot run\" app=%s version=%u detail=\"%s\"", app->name,
                 app->newest, why.detail);
        why.code = err;
        pthread_mutex_lock(&apps->lock);
        app->failure = why;
        app->failed_time_us = wanted.deployed.about.time_us;
        pthread_mutex_unlock(&apps->lock);
        err = CAIRN_OK;
        goto done;
    }
    struct app_version *version = plan.version;
    plan.version = NULL;
    version->number = wanted.deployed.about.version;
    version->rollback_of = wanted.deployed.about.rollback_of;
    version->time_us = wanted.deployed.about.time_us;
    version->position = wanted.deployed.about.position;
    tidy_models(apps, app, version);
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

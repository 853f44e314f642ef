/* Apps as JSON for people, consoles and programs; and their figures for Prometheus. */
#include <app/apps_int.h>

#include <base/error.h>
#include <base/json.h>
#include <batch/event.h>

#include <stdlib.h>

void
app_projection_status(struct app_projection *projection, struct buf *to)
{
    if (projection->runner != NULL) {
        runner_status(projection->runner, to);
        return;
    }
    buf_put_char(to, '{');
    json_put_text_member(to, "name", projection->name);
    json_put_text_member(to, "state", CAIRN_STR("failed"));
    json_put_name(to, "failure");
    buf_put_char(to, '{');
    json_put_text_member(to, "error", cairn_cstr(projection->failure.detail));
    buf_put_str(to, CAIRN_STR("}}"));
}

static void
put_projections(struct buf *to, const struct app_version *version)
{
    json_put_name(to, "projections");
    buf_put_char(to, '[');
    for (size_t i = 0; i < version->code->manifest->projection_count; i++) {
        if (version->projections[i] == NULL)
            continue;
        json_put_comma(to);
        app_projection_status(version->projections[i], to);
    }
    buf_put_char(to, ']');
}

static void
put_head(struct buf *to, const struct app_version *version)
{
    const struct app_manifest *manifest = version->code->manifest;
    json_put_text_member(to, "name", manifest->name);
    json_put_text_member(to, "title", manifest->title.size > 0 ? manifest->title : manifest->name);
    json_put_text_member(to, "description", manifest->description);
    json_put_u64_member(to, "version", version->number);
    json_put_name(to, "deployed_at");
    json_put_time(to, version->time_us);
    json_put_text_member(to, "digest", manifest->digest);
}

static void
put_summary(struct buf *to, const struct app_version *version)
{
    const struct app_manifest *manifest = version->code->manifest;
    json_put_comma(to);
    buf_put_char(to, '{');
    put_head(to, version);
    json_put_u64_member(to, "commands", manifest->command_count);
    json_put_u64_member(to, "queries", manifest->query_count);
    json_put_u64_member(to, "events", manifest->event_count);
    put_projections(to, version);
    buf_put_char(to, '}');
}

static void
put_commands(struct buf *to, const struct app_manifest *manifest)
{
    json_put_name(to, "commands");
    buf_put_char(to, '[');
    for (size_t i = 0; i < manifest->command_count; i++) {
        const struct app_command *command = &manifest->commands[i];
        json_put_comma(to);
        buf_put_char(to, '{');
        json_put_text_member(to, "name", command->name);
        json_put_text_member(to, "description", command->description);
        json_put_text_member(to, "stream", command->stream);
        json_put_text_member(to, "decider", manifest->deciders[command->decider].name);
        json_put_text_member(to, "permission", command->permission);
        json_put_name(to, "schema");
        if (command->schema_text.size > 0)
            json_put_compact(to, command->schema_text);
        else
            buf_put_str(to, CAIRN_STR("{}"));
        buf_put_char(to, '}');
    }
    buf_put_char(to, ']');
}

static void
put_events(struct buf *to, const struct app_code *code)
{
    json_put_name(to, "events");
    buf_put_char(to, '[');
    for (size_t i = 0; i < code->manifest->event_count; i++) {
        const struct app_event *event = &code->manifest->events[i];
        json_put_comma(to);
        buf_put_char(to, '{');
        json_put_text_member(to, "type", event->type);
        json_put_text_member(to, "description", event->description);
        json_put_text_member(to, "compatibility", cairn_cstr(compat_level_name(event->compat)));
        json_put_u64_member(to, "version", code->schema_versions[i]);
        json_put_u64_member(to, "schema_id", code->schema_ids[i]);
        json_put_name(to, "schema");
        if (event->schema_text.size > 0)
            json_put_compact(to, event->schema_text);
        else
            buf_put_str(to, CAIRN_STR("null"));
        buf_put_char(to, '}');
    }
    buf_put_char(to, ']');
}

static void
put_deciders(struct buf *to, const struct app_manifest *manifest)
{
    static const char *const kinds[] = {[APP_DECIDER_LUA] = "lua", [APP_DECIDER_NATIVE] = "native",
                                        [APP_DECIDER_WEBHOOK] = "webhook"};
    json_put_name(to, "deciders");
    buf_put_char(to, '[');
    for (size_t i = 0; i < manifest->decider_count; i++) {
        const struct app_decider *decider = &manifest->deciders[i];
        json_put_comma(to);
        buf_put_char(to, '{');
        json_put_text_member(to, "name", decider->name);
        json_put_text_member(to, "kind", cairn_cstr(kinds[decider->kind]));
        json_put_text_member(to, "source", decider->source);
        json_put_u64_member(to, "snapshot_every_events", decider->snapshots.every_events);
        json_put_u64_member(to, "snapshot_every_bytes", decider->snapshots.every_bytes);
        buf_put_char(to, '}');
    }
    buf_put_char(to, ']');
}

static void
put_topics(struct buf *to, const struct app_manifest *manifest)
{
    char by_name[TOPIC_NAME_MAX];
    json_put_name(to, "topics");
    buf_put_char(to, '[');
    for (size_t i = 0; i < manifest->topic_count; i++) {
        const struct app_topic *topic = &manifest->topics[i];
        json_put_comma(to);
        buf_put_char(to, '{');
        json_put_text_member(to, "topic", topic->name);
        json_put_text_member(to, "category", topic->category.size > 0 ? topic->category : topic_category(topic->name, by_name));
        if (topic->partitions > 0)
            json_put_u64_member(to, "partitions", topic->partitions);
        json_put_name(to, "config");
        buf_put_char(to, '{');
        for (size_t n = 0; n < topic->config_count; n++) {
            json_put_comma(to);
            json_put_string(to, topic->config[n].name);
            buf_put_char(to, ':');
            json_put_string(to, topic->config[n].value);
        }
        buf_put_str(to, CAIRN_STR("}}"));
    }
    buf_put_char(to, ']');
}

static void
put_statistics(struct buf *to, struct bus *bus)
{
    struct bus_numbers numbers;
    bus_numbers(bus, &numbers);
    json_put_name(to, "statistics");
    buf_put_char(to, '{');
#define NUMBER(field) json_put_u64_member(to, #field, numbers.field)
    NUMBER(accepted);
    NUMBER(rejected);
    NUMBER(invalid);
    NUMBER(denied);
    NUMBER(failed);
    NUMBER(conflicts);
    NUMBER(retries);
    NUMBER(repeated);
    NUMBER(waiting);
    NUMBER(cache_hits);
    NUMBER(cache_misses);
    NUMBER(cache_bytes);
    NUMBER(cache_entries);
    NUMBER(snapshots_taken);
    NUMBER(snapshots_used);
    NUMBER(snapshots_dropped);
#undef NUMBER
    buf_put_char(to, '}');
}

static cairn_err
hand_out(struct buf *from, cairn_sink sink, void *context, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    if (from->failed)
        err = error_set(error, CAIRN_E_NOMEM, "no memory to describe the app");
    else if (!sink(context, buf_str(from)))
        err = error_set(error, CAIRN_E_CLOSED, "the receiver stopped");
    buf_free(from);
    return err;
}

/* Deployed, and not running: nothing of it is known but why. */
static void
put_failed(struct buf *to, const struct app *app)
{
    json_put_comma(to);
    buf_put_char(to, '{');
    json_put_text_member(to, "name", cairn_cstr(app->name));
    json_put_text_member(to, "title", cairn_cstr(app->name));
    json_put_text_member(to, "description", CAIRN_STR("It is deployed and cannot run here."));
    json_put_u64_member(to, "version", app->newest);
    json_put_name(to, "deployed_at");
    json_put_time(to, app->failed_time_us);
    json_put_u64_member(to, "commands", 0);
    json_put_u64_member(to, "queries", 0);
    json_put_u64_member(to, "events", 0);
    buf_put_str(to, CAIRN_STR(",\"projections\":[],\"failure\":{\"error\":"));
    json_put_string(to, cairn_cstr(app->failure.detail));
    buf_put_str(to, CAIRN_STR("}}"));
}

static cairn_err
describe_all(cairn_apps *apps, struct buf *to)
{
    struct app_version *held[APPS_MAX];
    size_t count = 0;
    pthread_mutex_lock(&apps->lock);
    for (struct app *app = apps->first; app != NULL && count < APPS_MAX; app = app->next)
        if (app->current != NULL) {
            app_version_hold(app->current);
            held[count++] = app->current;
        }
    buf_put_str(to, CAIRN_STR("{\"apps\":["));
    for (struct app *app = apps->first; app != NULL; app = app->next)
        if (app->current == NULL && app->failure.code != CAIRN_OK)
            put_failed(to, app);
    pthread_mutex_unlock(&apps->lock);
    for (size_t i = 0; i < count; i++) {
        put_summary(to, held[i]);
        app_version_release(held[i]);
    }
    buf_put_char(to, ']');
    put_statistics(to, apps->bus);
    buf_put_char(to, '}');
    return CAIRN_OK;
}

cairn_err
cairn_app_describe(cairn_apps *apps, cairn_str app, cairn_sink sink, void *context, cairn_error *error)
{
    struct buf out = {0};
    if (app.size == 0) {
        cairn_err err = describe_all(apps, &out);
        return err == CAIRN_OK ? hand_out(&out, sink, context, error) : err;
    }
    struct app_version *version;
    cairn_err err = apps_hold(apps, app, &version, error);
    if (err != CAIRN_OK)
        return err;
    const struct app_manifest *manifest = version->code->manifest;
    buf_put_char(&out, '{');
    put_head(&out, version);
    put_commands(&out, manifest);
    put_events(&out, version->code);
    json_put_name(&out, "queries");
    buf_put_char(&out, '[');
    for (size_t i = 0; i < manifest->query_count; i++) {
        json_put_comma(&out);
        query_describe(manifest->queries[i], &out);
    }
    buf_put_char(&out, ']');
    put_projections(&out, version);
    put_deciders(&out, manifest);
    put_topics(&out, manifest);
    put_statistics(&out, apps->bus);
    buf_put_char(&out, '}');
    app_version_release(version);
    return hand_out(&out, sink, context, error);
}

cairn_err
cairn_app_openapi(cairn_apps *apps, cairn_str app, cairn_sink sink, void *context, cairn_error *error)
{
    struct app_version *version;
    cairn_err err = apps_hold(apps, app, &version, error);
    if (err != CAIRN_OK)
        return err;
    struct buf out = {0};
    app_openapi(version->code->manifest, version->number, &out);
    app_version_release(version);
    return hand_out(&out, sink, context, error);
}

/* ---- projections ---------------------------------------------------------------------------------------------- */

static cairn_err
hold_projection(cairn_apps *apps, cairn_str app, cairn_str name, struct app_version **ret_version,
                struct app_projection **ret, cairn_error *error)
{
    cairn_err err = apps_hold(apps, app, ret_version, error);
    if (err != CAIRN_OK)
        return err;
    *ret = app_version_projection(*ret_version, name);
    if (*ret != NULL)
        return CAIRN_OK;
    app_version_release(*ret_version);
    return error_set(error, CAIRN_E_NOTFOUND, "the app %.*s has no projection '%.*s'", (int)app.size, app.data,
                     (int)(name.size < 64 ? name.size : 64), name.data);
}

/* One that could not be started (a full disk, say) is not lost until the next restart. */
static cairn_err
start_again(cairn_apps *apps, const struct app_version *version, struct app_projection *projection,
            cairn_projection_action action, cairn_error *error)
{
    if (action != CAIRN_PROJECTION_RETRY && action != CAIRN_PROJECTION_RESUME && action != CAIRN_PROJECTION_REBUILD)
        return error_set(error, projection->failure.code, "it does not run, retry starts it: %s", projection->failure.detail);
    pthread_mutex_lock(&apps->deploying);
    const struct app *app = apps_find(apps, version->code->manifest->name);
    cairn_err err = app == NULL || app->current != version || atomic_load(&apps->closing)
                        ? error_set(error, CAIRN_E_CLOSED, "another version of the app has taken this one's place")
                        : app_projection_retry(projection, error);
    pthread_mutex_unlock(&apps->deploying);
    return err;
}

cairn_err
cairn_projection_do(cairn_apps *apps, cairn_str app, cairn_str name, cairn_projection_action action,
                    cairn_error *error)
{
    struct app_version *version;
    struct app_projection *projection;
    cairn_err err = hold_projection(apps, app, name, &version, &projection, error);
    if (err != CAIRN_OK)
        return err;
    err = projection->runner != NULL ? runner_do(projection->runner, action, error)
                                     : start_again(apps, version, projection, action, error);
    app_version_release(version);
    return err;
}

cairn_err
cairn_projection_status(cairn_apps *apps, cairn_str app, cairn_str name, cairn_sink sink, void *context,
                        cairn_error *error)
{
    struct app_version *version;
    struct app_projection *projection;
    cairn_err err = hold_projection(apps, app, name, &version, &projection, error);
    if (err != CAIRN_OK)
        return err;
    struct buf out = {0}, faults = {0};
    app_projection_status(projection, &out);
    if (projection->runner != NULL)
        err = runner_faults(projection->runner, &faults, error);
    /* Two objects become one: {status} and {"parked":…,"skipped":…} */
    if (err == CAIRN_OK && faults.size > 2 && !out.failed && out.size > 0) {
        out.size--;
        buf_put_char(&out, ',');
        buf_put(&out, faults.data + 1, faults.size - 1);
    }
    out.failed |= faults.failed;
    buf_free(&faults);
    app_version_release(version);
    if (err != CAIRN_OK) {
        buf_free(&out);
        return err;
    }
    return hand_out(&out, sink, context, error);
}

/* ---- figures ---------------------------------------------------------------------------------------------------- */

struct projection_figure {
    const char *name, *kind, *help;
};

static double
figure_value(const struct runner_numbers *numbers, size_t figure)
{
    switch (figure) {
    case 0: return (double)numbers->position;
    case 1: return (double)(numbers->end > numbers->position ? numbers->end - numbers->position : 0);
    case 2: return numbers->lag_s;
    case 3: return numbers->state;
    case 4: return (double)numbers->applied_total;
    case 5: return (double)numbers->failed_total;
    case 6: return (double)numbers->parked;
    case 7: return (double)numbers->skipped;
    default: return (double)numbers->dead_letters;
    }
}

void
cairn_apps_metrics(cairn_apps *apps, cairn_sink sink, void *context)
{
    static const struct projection_figure figures[] = {
        {"cairn_projection_position", "gauge", "Events of the log that the read model has taken in."},
        {"cairn_projection_lag_events", "gauge", "Events of the log that it has not looked at yet."},
        {"cairn_projection_lag_seconds", "gauge", "Age of the oldest event not taken in; 0 when caught up."},
        {"cairn_projection_state", "gauge", "0 building, 1 running, 2 paused, 3 stopped by an event."},
        {"cairn_projection_applied_total", "counter", "Events applied since the server started."},
        {"cairn_projection_failed_total", "counter", "Events that could not be applied at first."},
        {"cairn_projection_parked", "gauge", "Events set aside."},
        {"cairn_projection_skipped", "gauge", "Events left out."},
        {"cairn_projection_dead_letters", "gauge", "Events given up, in a topic of dead letters, that the read model lacks."},
    };
    struct buf out = {0};
    struct app_projection **held = NULL;
    bus_metrics(apps->bus, &out);
    size_t count = app_projections_hold(apps, &held);
    struct runner_numbers *numbers = calloc(count + 1, sizeof *numbers);
    for (size_t i = 0; numbers != NULL && i < count; i++)
        runner_numbers(held[i]->runner, &numbers[i]);
    for (size_t f = 0; f < sizeof figures / sizeof figures[0] && numbers != NULL && count > 0; f++) {
        buf_printf(&out, "# HELP %s %s\n# TYPE %s %s\n", figures[f].name, figures[f].help, figures[f].name,
                   figures[f].kind);
        for (size_t i = 0; i < count; i++) {
            cairn_str app = held[i]->code->manifest->name, name = held[i]->name;
            buf_printf(&out, "%s{app=\"%.*s\",projection=\"%.*s\"} %.17g\n", figures[f].name, (int)app.size, app.data,
                       (int)name.size, name.data, figure_value(&numbers[i], f));
        }
    }
    free(numbers);
    for (size_t i = 0; i < count; i++)
        app_projection_release(held[i]);
    free(held);
    if (!out.failed)
        sink(context, buf_str(&out));
    buf_free(&out);
}

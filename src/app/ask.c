/* Queries of a running app: which read models, whether they are far enough, and a warm connection to them. */
#include <app/apps_int.h>

#include <base/error.h>
#include <base/json.h>
#include <os/os.h>
#include <os/wait.h>

#include <stdlib.h>

#define QUERY_TIMEOUT_MS 5000
#define QUERY_TIMEOUT_MAX_MS 120000
#define QUICK_STEPS 20000 /* of SQLite's virtual machine: below a millisecond; more belongs on another thread */
#define MODELS_MAX 16
#define CACHES_MAX 256
#define TRIM_EVERY 256 /* questions; then those kept close what nobody will ask again */

/* ---- connections ------------------------------------------------------------------------------------------ */

static struct query_cache *
take_cache(cairn_apps *apps)
{
    struct query_cache *cache = NULL;
    pthread_mutex_lock(&apps->caches_lock);
    if (apps->cache_count > 0)
        cache = apps->caches[--apps->cache_count];
    pthread_mutex_unlock(&apps->caches_lock);
    return cache != NULL ? cache : query_cache_new();
}

static void
give_cache(cairn_apps *apps, struct query_cache *cache)
{
    pthread_mutex_lock(&apps->caches_lock);
    if (apps->cache_count == apps->cache_capacity && apps->cache_capacity < CACHES_MAX) {
        size_t capacity = apps->cache_capacity * 2 + 8;
        struct query_cache **more = realloc(apps->caches, capacity * sizeof(struct query_cache *));
        if (more != NULL) {
            apps->caches = more;
            apps->cache_capacity = capacity;
        }
    }
    if (++apps->cache_gives % TRIM_EVERY == 0)
        for (size_t i = 0; i < apps->cache_count; i++)
            query_cache_trim(apps->caches[i]);
    bool kept = apps->cache_count < apps->cache_capacity;
    if (kept)
        apps->caches[apps->cache_count++] = cache;
    pthread_mutex_unlock(&apps->caches_lock);
    if (!kept)
        query_cache_free(cache);
}

/* ---- one question ------------------------------------------------------------------------------------------ */

struct question {
    cairn_apps *apps;
    const cairn_app_query_request *request;
    struct app_version *version;
    const struct query *query;
    struct app_projection *projections[MODELS_MAX];
    struct model *models[MODELS_MAX];
    size_t count;
    int64_t deadline_us; /* monotonic */
    uint64_t position;
    bool stopped; /* it met a runner that a deployment has stopped */
};

static uint32_t
time_left_ms(const struct question *question)
{
    int64_t left_us = question->deadline_us - os_monotonic_us(os_real());
    return left_us <= 0 ? 0 : (uint32_t)(left_us / 1000 + 1);
}

static cairn_err
find_projections(struct question *question, cairn_error *error)
{
    cairn_str name;
    for (size_t i = 0; query_projection(question->query, i, &name); i++) {
        struct app_projection *projection = app_version_projection(question->version, name);
        if (question->count == MODELS_MAX)
            return error_set(error, CAIRN_E_LIMIT, "a query reads at most %d projections", MODELS_MAX);
        if (projection == NULL || projection->runner == NULL)
            return error_set(error, projection != NULL ? projection->failure.code : CAIRN_E_NOTFOUND,
                             "the projection %.*s does not run: %s", (int)name.size, name.data,
                             projection != NULL ? projection->failure.detail : "it was not started");
        question->projections[question->count++] = projection;
    }
    return CAIRN_OK;
}

static cairn_err
hold_live(struct question *question, cairn_error *error)
{
    const cairn_app_query_request *request = question->request;
    question->position = UINT64_MAX;
    for (size_t i = 0; i < question->count; i++) {
        struct runner *runner = question->projections[i]->runner;
        uint64_t wanted = request->after_position < UINT64_MAX ? request->after_position + 1 : UINT64_MAX;
        if (request->has_after_position && runner_position(runner) < wanted) {
            if (request->quick_only)
                return error_set(error, CAIRN_E_BUSY, "the read model has to be waited for");
            cairn_err err = runner_wait(runner, wanted, time_left_ms(question), error);
            question->stopped |= err == CAIRN_E_CLOSED;
            if (err != CAIRN_OK)
                return err;
        }
        uint64_t position = runner_position(runner); /* before: what is held then has it, whatever takes its place meanwhile */
        question->models[i] = runner_hold(runner);
        question->position = position < question->position ? position : question->position;
    }
    return CAIRN_OK;
}

static cairn_err
hold_as_of(struct question *question, cairn_error *error)
{
    uint64_t end = question->request->as_of, now = cairn_end(question->apps->store);
    if (question->request->quick_only)
        return error_set(error, CAIRN_E_BUSY, "a read model of the past has to be made");
    end = end < now ? end : now;
    for (size_t i = 0; i < question->count; i++) {
        cairn_err err = runner_hold_as_of(question->projections[i]->runner, end, time_left_ms(question),
                                          &question->models[i], error);
        question->stopped |= err == CAIRN_E_CLOSED;
        if (err != CAIRN_OK)
            return err;
    }
    question->position = end;
    return CAIRN_OK;
}

static cairn_err
run(struct question *question, struct buf *out, cairn_error *error)
{
    const cairn_app_query_request *request = question->request;
    const struct query_call call = {
        .models = question->models,
        .params = request->params,
        .param_count = request->param_count,
        .limit = request->limit,
        .cursor = request->cursor,
        .timeout_ms = time_left_ms(question),
        .steps_max = request->quick_only ? QUICK_STEPS : 0,
        .position = question->position,
    };
    if (call.timeout_ms == 0)
        return error_set(error, CAIRN_E_TIMEOUT, "the time was over before the query began");
    struct query_cache *cache = take_cache(question->apps);
    if (cache == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the query");
    cairn_err err = query_run(question->query, cache, &call, out, error);
    give_cache(question->apps, cache);
    return err;
}

/* An answer from a read model that an event has stopped looks like any other: it says so itself. */
static void
tell_stopped(struct question *question, struct buf *out)
{
    bool any = false;
    for (size_t i = 0; i < question->count; i++) {
        struct runner_numbers numbers;
        runner_numbers(question->projections[i]->runner, &numbers);
        if (numbers.state != RUNNER_STOPPED || out->failed || out->size == 0)
            continue;
        if (!any) {
            out->size--; /* the closing brace */
            buf_put_str(out, CAIRN_STR(",\"stopped\":["));
        }
        any = true;
        json_put_comma(out);
        json_put_string(out, question->projections[i]->name);
    }
    if (any)
        buf_put_str(out, CAIRN_STR("]}"));
}

static cairn_err
ask_once(struct question *question, struct buf *out, cairn_error *error)
{
    cairn_apps *apps = question->apps;
    const cairn_app_query_request *request = question->request;
    cairn_err err = apps_hold(apps, request->app, &question->version, error);
    if (err != CAIRN_OK)
        return err;
    question->query = app_version_query(question->version, request->query);
    question->count = 0;
    question->stopped = false;
    memset(question->models, 0, sizeof question->models);
    cairn_str permission = question->query != NULL ? query_permission(question->query) : (cairn_str){0};
    if (question->query == NULL)
        err = error_set(error, CAIRN_E_NOTFOUND, "the app %.*s has no query '%.*s'", (int)request->app.size,
                        request->app.data, (int)(request->query.size < 64 ? request->query.size : 64), request->query.data);
    else if (permission.size > 0 && apps->options.authorise != NULL)
        err = apps->options.authorise(apps->options.authorise_context, request->scope, request->actor, permission, error);
    if (err == CAIRN_OK)
        err = find_projections(question, error);
    if (err == CAIRN_OK)
        err = request->has_as_of ? hold_as_of(question, error) : hold_live(question, error);
    if (err == CAIRN_OK)
        err = run(question, out, error);
    if (err == CAIRN_OK && !request->has_as_of)
        tell_stopped(question, out);
    for (size_t i = 0; i < question->count; i++)
        if (question->models[i] != NULL)
            model_release(question->models[i]);
    app_version_release(question->version);
    return err;
}

cairn_err
cairn_app_query(cairn_apps *apps, const cairn_app_query_request *request, cairn_sink sink, void *context,
                cairn_error *error)
{
    if (apps == NULL || request == NULL || sink == NULL)
        return error_set(error, CAIRN_E_INVALID, "apps, request and sink must be given");
    uint32_t timeout_ms = request->timeout_ms != 0 ? request->timeout_ms : QUERY_TIMEOUT_MS;
    if (timeout_ms > QUERY_TIMEOUT_MAX_MS)
        return error_set(error, CAIRN_E_LIMIT, "timeout_ms is %u; the limit is %d", timeout_ms, QUERY_TIMEOUT_MAX_MS);
    struct question question = {.apps = apps, .request = request,
                                .deadline_us = os_monotonic_us(os_real()) + (int64_t)timeout_ms * 1000};
    struct buf out = {0};
    cairn_err err;
    /* A deployment that replaces a projection stops the runner that was waited for: ask its successor when it is shown. */
    for (;;) {
        uint32_t shown = atomic_load(&apps->shown), left_ms;
        err = ask_once(&question, &out, error);
        if (err != CAIRN_E_CLOSED || !question.stopped || atomic_load(&apps->closing)
            || (left_ms = time_left_ms(&question)) == 0)
            break;
        os_wait(&apps->shown, shown, (uint64_t)left_ms * 1000);
    }
    if (err == CAIRN_OK && out.failed)
        err = error_set(error, CAIRN_E_NOMEM, "no memory for the answer");
    if (err == CAIRN_OK && !sink(context, buf_str(&out)))
        err = error_set(error, CAIRN_E_CLOSED, "the receiver stopped");
    buf_free(&out);
    return err;
}

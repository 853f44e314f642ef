/* Long work with its progress as lines: verify, scavenge, reindex, replay.
 *
 *   pool: work ── progress, faults ─► lines (locked) ── http_post ─► loop: http_write
 *              └─ last line: the report or a problem
 *
 * One of each kind at a time. When the peer goes away or the server stops, the next progress call says so
 * and the work ends, leaving everything as it was. */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define PROGRESS_EVERY_US 200000
#define FAULT_LINES_MAX 1000 /* the report counts them all */

struct job {
    struct api *api;
    struct api_loop *loop;
    struct http_exchange *x;
    enum api_job kind;
    cairn_err (*run)(struct job *job, struct buf *report, cairn_error *error);
    const void *request;  /* what to do, in the exchange's arena */
    atomic_bool gone; /* nobody reads it any more */
    atomic_bool slow; /* progress is left out until the peer has read */
    int64_t told_us;
    uint64_t faults;
    pthread_mutex_t lock; /* of lines and posted */
    struct buf lines;
    bool posted;
    struct http_post_node node;
    bool worked, closed; /* loop's thread: freed when both */
};

static void
free_when_over(struct job *job)
{
    if (!job->worked || !job->closed)
        return;
    http_release(job->x);
    pthread_mutex_destroy(&job->lock);
    buf_free(&job->lines);
    free(job);
}

/* ---- lines ---------------------------------------------------------------------------------------- */

/* Loop's thread. */
static void
flush(void *context)
{
    struct job *job = context;
    pthread_mutex_lock(&job->lock);
    struct buf lines = job->lines;
    job->lines = (struct buf){0};
    job->posted = false;
    pthread_mutex_unlock(&job->lock);
    if (lines.size > 0 && !lines.failed && !http_write(job->x, buf_str(&lines)))
        atomic_store(&job->slow, true);
    buf_free(&lines);
}

/* Pool's thread. */
static void
add_line(struct job *job, const struct buf *line)
{
    if (line->failed)
        return;
    pthread_mutex_lock(&job->lock);
    buf_put_str(&job->lines, buf_str(line));
    buf_put_char(&job->lines, '\n');
    bool post = !job->posted;
    job->posted = true;
    pthread_mutex_unlock(&job->lock);
    if (post) {
        job->node.fn = flush;
        job->node.context = job;
        http_post(job->loop->loop, &job->node);
    }
}

static bool
may_go_on(struct job *job)
{
    return !atomic_load(&job->gone) && !atomic_load_explicit(&job->api->closing, memory_order_relaxed);
}

static bool
progress(void *context, uint64_t done, uint64_t total, const char *unit)
{
    struct job *job = context;
    int64_t now_us = api_now_us();
    if (now_us - job->told_us >= PROGRESS_EVERY_US && !atomic_load(&job->slow)) {
        struct buf line = {0};
        job->told_us = now_us;
        buf_printf(&line, "{\"progress\":{\"done\":%llu,\"total\":%llu,\"unit\":", (unsigned long long)done,
                   (unsigned long long)total);
        json_put_string(&line, cairn_cstr(unit));
        buf_put_str(&line, CAIRN_STR("}}"));
        add_line(job, &line);
        buf_free(&line);
    }
    return may_go_on(job);
}

static bool
fault(void *context, const char *file, uint64_t offset, const char *what)
{
    struct job *job = context;
    if (job->faults++ < FAULT_LINES_MAX) {
        struct buf line = {0};
        buf_put_str(&line, CAIRN_STR("{\"fault\":{\"file\":"));
        json_put_string(&line, cairn_cstr(file));
        buf_printf(&line, ",\"offset\":%llu,\"what\":", (unsigned long long)offset);
        json_put_string(&line, cairn_cstr(what));
        buf_put_str(&line, CAIRN_STR("}}"));
        add_line(job, &line);
        buf_free(&line);
    }
    return may_go_on(job);
}

/* ---- running ------------------------------------------------------------------------------------------- */

static void
work(void *context)
{
    struct job *job = context;
    struct buf line = {0};
    cairn_error error = {0};
    cairn_err err = job->run(job, &line, &error);
    if (err != CAIRN_OK) {
        struct problem_kind kind = problem_of(err);
        buf_clear(&line);
        buf_put_str(&line, CAIRN_STR("{\"problem\":"));
        problem_put(&line, &kind, &error);
        buf_put_char(&line, '}');
    }
    add_line(job, &line);
    buf_free(&line);
}

static void
work_done(void *context)
{
    struct job *job = context;
    atomic_store(&job->api->job_running[job->kind], false);
    job->worked = true;
    if (!job->closed) {
        flush(job);
        http_end(job->x);
    }
    free_when_over(job);
}

static void
on_drain(void *context, struct http_exchange *x)
{
    struct job *job = context;
    (void)x;
    atomic_store(&job->slow, false);
}

static void
on_close(void *context, struct http_exchange *x)
{
    struct job *job = context;
    (void)x;
    atomic_store(&job->gone, true);
    job->closed = true;
    free_when_over(job);
}

static cairn_err
start(struct api_call *call, enum api_job kind,
      cairn_err (*run)(struct job *job, struct buf *report, cairn_error *error), const void *request,
      cairn_error *error)
{
    static const struct http_field fields[] = {{"content-type", {"application/x-ndjson", 20}},
                                               {"cache-control", {"no-store", 8}}};
    if (atomic_exchange(&call->api->job_running[kind], true))
        return error_set(error, CAIRN_E_BUSY, "another %s is under way", call->route->id);
    struct job *job = calloc(1, sizeof *job);
    if (job) {
        job->api = call->api;
        job->loop = call->loop;
        job->x = call->x;
        job->kind = kind;
        job->run = run;
        job->request = request;
        pthread_mutex_init(&job->lock, NULL);
    }
    /* The exchange lives until the work is over, whoever leaves first: flush writes to it. */
    http_hold(call->x);
    if (!job || !http_work(call->loop->loop, work, work_done, job)) {
        cairn_err err = job ? error_set(error, CAIRN_E_BUSY, "too many requests are waiting for the disk")
                            : error_set(error, CAIRN_E_NOMEM, "out of memory");
        http_release(call->x);
        free(job);
        atomic_store(&call->api->job_running[kind], false);
        return err;
    }
    api_count(call, 200);
    http_begin(call->x, 200, fields, sizeof fields / sizeof *fields, on_drain, on_close, job);
    return CAIRN_OK;
}

/* ---- what is run ------------------------------------------------------------------------------------------ */

static void
put_hash(struct buf *to, const char *name, const uint8_t hash[32])
{
    char text[65];
    format_hex(hash, 32, text);
    buf_printf(to, ",\"%s\":\"%s\"", name, text);
}

static cairn_err
run_verify(struct job *job, struct buf *report, cairn_error *error)
{
    cairn_verify_report found = {0};
    cairn_err err = cairn_verify(job->api->store, fault, progress, job, &found, error);
    if (err != CAIRN_OK && err != CAIRN_E_CORRUPT)
        return err;
    uint64_t faults = found.faults > job->faults ? found.faults : job->faults;
    buf_printf(report,
               "{\"report\":{\"ok\":%s,\"events\":%llu,\"streams\":%llu,\"segments\":%llu,"
               "\"index_entries\":%llu,\"faults\":%llu",
               err == CAIRN_OK ? "true" : "false", (unsigned long long)found.events,
               (unsigned long long)found.streams, (unsigned long long)found.segments,
               (unsigned long long)found.index_entries, (unsigned long long)faults);
    put_hash(report, "root", found.root);
    put_hash(report, "digest", found.digest);
    if (err != CAIRN_OK) {
        json_put_text_member(report, "detail", cairn_cstr(error->detail));
    }
    buf_put_str(report, CAIRN_STR("}}"));
    return CAIRN_OK;
}

static cairn_err
run_scavenge(struct job *job, struct buf *report, cairn_error *error)
{
    cairn_scavenge_report done = {0};
    cairn_err err = cairn_scavenge(job->api->store, progress, job, &done, error);
    buf_printf(report,
               "{\"report\":{\"segments_rewritten\":%llu,\"events_removed\":%llu,\"bytes_freed\":%llu}}",
               (unsigned long long)done.segments_rewritten, (unsigned long long)done.events_removed,
               (unsigned long long)done.bytes_freed);
    return err;
}

static cairn_err
run_reindex(struct job *job, struct buf *report, cairn_error *error)
{
    cairn_err err = cairn_reindex(job->api->store, progress, job, error);
    buf_printf(report, "{\"report\":{\"events\":%llu}}", (unsigned long long)cairn_end(job->api->store));
    return err;
}

cairn_err
api_verify(struct api_call *call, cairn_error *error)
{
    return start(call, JOB_VERIFY, run_verify, NULL, error);
}

cairn_err
api_scavenge(struct api_call *call, cairn_error *error)
{
    return start(call, JOB_SCAVENGE, run_scavenge, NULL, error);
}

cairn_err
api_reindex(struct api_call *call, cairn_error *error)
{
    return start(call, JOB_REINDEX, run_reindex, NULL, error);
}

/* ---- replay of an app ------------------------------------------------------------------------------------------ */

static bool
replayed(void *context, cairn_str what, uint64_t done, uint64_t total)
{
    char unit[64];
    snprintf(unit, sizeof unit, "%.*s", (int)what.size, what.data);
    return progress(context, done, total, unit);
}

/* CAIRN_E_SCRIPT means that the report has something to complain of: it is told all the same. */
static cairn_err
run_replay(struct job *job, struct buf *report, cairn_error *error)
{
    const cairn_replay_request *request = job->request;
    buf_put_str(report, CAIRN_STR("{\"report\":"));
    size_t before = report->size;
    cairn_err err = cairn_app_replay(job->api->config.apps, request, replayed, job, buf_sink, report, error);
    buf_put_char(report, '}');
    return err == CAIRN_E_SCRIPT && report->size > before + 1 ? CAIRN_OK : err;
}

static cairn_err
read_replay(struct api_call *call, cairn_replay_request *ret, cairn_error *error)
{
    static const char *const policies[] = {"stop", "skip", "park", "dead_letter"};
    struct json body = {0}, name, value;
    uint64_t number;
    if (call->body.size == 0)
        return CAIRN_OK;
    cairn_err err = json_check(call->body, &body, error);
    call->malformed = err == CAIRN_E_INVALID;
    if (err == CAIRN_OK && body.type != JSON_OBJECT)
        err = error_set(error, CAIRN_E_INVALID, "the body must be an object");
    struct json_walk walk = json_walk(body);
    while (err == CAIRN_OK && json_next(&walk, &name, &value)) {
        bool is_bool = value.type == JSON_TRUE || value.type == JSON_FALSE, is_whole = json_u64(value, &number);
        bool known = true;
        if (json_string_is(name, "projection") && value.type == JSON_STRING) {
            ret->projection = json_string(value, http_arena(call->x));
            known = ret->projection.size > 0; /* empty would be all of them */
        } else if (json_string_is(name, "aggregates") && is_bool) {
            ret->aggregates = value.type == JSON_TRUE;
        } else if (json_string_is(name, "decisions") && is_bool) {
            ret->decisions = value.type == JSON_TRUE;
        } else if (json_string_is(name, "from") && is_whole) {
            ret->from = number;
        } else if (json_string_is(name, "parallel") && is_whole && number >= 1 && number <= 64) {
            ret->parallel = (uint32_t)number;
        } else if (json_string_is(name, "on_error")) {
            known = false;
            for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
                if (json_string_is(value, policies[i])) {
                    ret->on_error = (cairn_on_error)i;
                    known = true;
                }
        } else {
            known = false;
        }
        if (!known)
            err = error_set(error, CAIRN_E_INVALID,
                            "%.*s: known are projection (text), aggregates, decisions (true or false), from (a position), "
                            "parallel (1 to 64), on_error (stop, skip, park or dead_letter)",
                            (int)(name.raw.size < 64 ? name.raw.size : 64), name.raw.data);
    }
    return err;
}

cairn_err
api_replay(struct api_call *call, cairn_error *error)
{
    cairn_apps *apps;
    cairn_err err = api_apps(call, &apps, error);
    cairn_replay_request *request = arena_zalloc(http_arena(call->x), sizeof *request);
    if (err == CAIRN_OK && request == NULL)
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (err == CAIRN_OK)
        err = read_replay(call, request, error);
    if (err != CAIRN_OK)
        return err;
    /* What the path names lies in the exchange's arena already, or in its head. */
    request->app = call->parts[0];
    return start(call, JOB_REPLAY, run_replay, request, error);
}

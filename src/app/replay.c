/* Replay: rebuild read models and snapshots from the log, or decide recorded history again, with a report.
 *
 *   projections   each on its own thread beside the one that serves, all at once; this thread only watches
 *   aggregates    the streams that the app's commands write to, a page at a time, shared out over threads
 *   decisions     those, decided again; then those over several streams, in the log's order, on this thread
 *
 * What is wrong is counted, and the first FAILURES_MAX are named. */
#include <app/apps_int.h>

#include <base/error.h>
#include <base/json.h>
#include <os/os.h>
#include <os/thread.h>

#include <stdlib.h>

#define WATCH_MS 100 /* between two tellings of progress */
#define ROUND_MS 20  /* for a look at every projection */
#define PAGE_STREAMS 4096
#define PARALLEL_MAX 64
#define FAILURES_MAX 100

struct replay {
    cairn_apps *apps;
    const cairn_replay_request *request;
    struct app_version *version;
    cairn_replay_progress progress;
    void *progress_context;
    struct buf report;
    bool complained; /* something failed or differed */

    /* aggregates */
    struct arena names;
    cairn_str page[PAGE_STREAMS], after;
    size_t page_size;
    atomic_size_t next;
    pthread_mutex_t lock; /* of what follows */
    struct bus_replay_counts counts;
    uint64_t streams, failures;
    struct buf failed;
    atomic_bool stop; /* no further stream */
    atomic_bool given_up; /* because the caller, or closing, said so */
};

static bool
may_go_on(struct replay *replay, const char *what, uint64_t done, uint64_t total)
{
    if (atomic_load(&replay->apps->closing))
        return false;
    return replay->progress == NULL || replay->progress(replay->progress_context, cairn_cstr(what), done, total);
}

/* ---- projections ---------------------------------------------------------------------------------------- */

struct watched {
    struct app_projection *projection;
    int64_t began_us, took_us;
    uint64_t position;
    bool over;
    cairn_err err; /* what came of it */
    cairn_error why;
};

static void
report_projection(struct replay *replay, const struct watched *watched)
{
    struct buf *to = &replay->report;
    struct runner_numbers numbers;
    runner_numbers(watched->projection->runner, &numbers);
    json_put_comma(to);
    buf_put_char(to, '{');
    json_put_text_member(to, "name", watched->projection->name);
    json_put_text_member(to, "outcome", watched->err == CAIRN_OK ? CAIRN_STR("rebuilt") : CAIRN_STR("failed"));
    json_put_u64_member(to, "position", watched->position);
    json_put_u64_member(to, "parked", numbers.parked);
    json_put_u64_member(to, "skipped", numbers.skipped);
    json_put_name(to, "seconds");
    json_put_double(to, (double)watched->took_us / 1e6);
    if (watched->err != CAIRN_OK) {
        json_put_text_member(to, "error", cairn_cstr(watched->why.detail));
        replay->complained = true;
    }
    buf_put_char(to, '}');
}

/* A look at each that is not over; ret_done is how far the last of them is. CAIRN_E_END: all are over. */
static cairn_err
watch_round(struct watched *watched, size_t count, size_t *left, uint64_t *ret_done, cairn_error *error)
{
    uint32_t wait_ms = *left < ROUND_MS ? ROUND_MS / (uint32_t)*left : 1;
    *ret_done = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        struct watched *one = &watched[i];
        if (one->over)
            continue;
        one->why = (cairn_error){0};
        one->err = runner_rebuild_wait(one->projection->runner, wait_ms, &one->position, &one->why);
        if (one->err == CAIRN_E_CLOSED)
            return error_set(error, one->err, "%s", one->why.detail);
        *ret_done = one->position < *ret_done ? one->position : *ret_done;
        if (one->err == CAIRN_E_TIMEOUT)
            continue;
        one->took_us = os_monotonic_us(os_real()) - one->began_us;
        one->over = true;
        (*left)--;
    }
    return *left > 0 ? CAIRN_OK : CAIRN_E_END;
}

static cairn_err
watch_projections(struct replay *replay, struct watched *watched, size_t count, cairn_error *error)
{
    int64_t told_us = 0;
    size_t left = count;
    uint64_t done;
    cairn_err err = CAIRN_OK;
    while (left > 0 && err == CAIRN_OK) {
        err = watch_round(watched, count, &left, &done, error);
        int64_t now_us = os_monotonic_us(os_real());
        if ((err != CAIRN_OK && err != CAIRN_E_END) || (err == CAIRN_OK && now_us - told_us < WATCH_MS * 1000))
            continue;
        told_us = now_us;
        if (!may_go_on(replay, "events projected", done, cairn_end(replay->apps->store)))
            err = error_set(error, CAIRN_E_CLOSED, "the replay was stopped; what it began goes on by itself");
    }
    for (size_t i = 0; i < count && err == CAIRN_E_END; i++)
        report_projection(replay, &watched[i]);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static cairn_err
begin_projections(struct replay *replay, struct watched *watched, size_t *ret_begun, cairn_error *error)
{
    const cairn_replay_request *request = replay->request;
    for (size_t i = 0; i < replay->version->code->manifest->projection_count; i++) {
        struct app_projection *projection = replay->version->projections[i];
        if (projection == NULL || projection->runner == NULL
            || (request->projection.size > 0 && !cairn_str_equal(request->projection, projection->name)))
            continue;
        watched[(*ret_begun)++] = (struct watched){.projection = projection, .began_us = os_monotonic_us(os_real())};
        cairn_err err = runner_rebuild(projection->runner, request->from, request->on_error, error);
        if (err != CAIRN_OK && err != CAIRN_E_EXISTS) /* under way already: watch that one */
            return err;
    }
    return CAIRN_OK;
}

static cairn_err
replay_projections(struct replay *replay, cairn_error *error)
{
    const cairn_replay_request *request = replay->request;
    size_t begun = 0;
    struct watched *watched = calloc(replay->version->code->manifest->projection_count + 1, sizeof *watched);
    if (watched == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the replay");
    json_put_name(&replay->report, "projections");
    buf_put_char(&replay->report, '[');
    cairn_err err = begin_projections(replay, watched, &begun, error); /* them all, then watch */
    if (err == CAIRN_OK)
        err = watch_projections(replay, watched, begun, error);
    if (err == CAIRN_OK && begun == 0 && request->projection.size > 0)
        err = error_set(error, CAIRN_E_NOTFOUND, "the app has no projection '%.*s' that runs",
                        (int)(request->projection.size < 64 ? request->projection.size : 64), request->projection.data);
    buf_put_char(&replay->report, ']');
    free(watched);
    return err;
}

/* ---- aggregates -------------------------------------------------------------------------------------------- */

static void
note_failure(struct replay *replay, cairn_str stream, const cairn_error *why)
{
    pthread_mutex_lock(&replay->lock);
    replay->complained = true;
    if (replay->failures++ < FAILURES_MAX) {
        json_put_comma(&replay->failed);
        buf_put_char(&replay->failed, '{');
        json_put_text_member(&replay->failed, "stream", stream);
        json_put_text_member(&replay->failed, "error", cairn_cstr(why->detail));
        buf_put_char(&replay->failed, '}');
    }
    pthread_mutex_unlock(&replay->lock);
    if (replay->request->on_error == CAIRN_ON_ERROR_STOP && !replay->request->decisions)
        atomic_store(&replay->stop, true);
}

/* `leader`: on the caller's thread, where progress is told. */
static void
replay_streams(struct replay *replay, bool leader)
{
    struct bus_replay_counts counts = {0};
    for (;;) {
        size_t at = atomic_fetch_add(&replay->next, 1);
        if (at >= replay->page_size || atomic_load(&replay->stop))
            break;
        if (leader && !may_go_on(replay, "streams", replay->streams + at, 0)) {
            atomic_store(&replay->given_up, true);
            atomic_store(&replay->stop, true);
            break;
        }
        struct bus_replay_counts before = counts;
        cairn_error why = {0};
        cairn_err err = bus_replay_stream(replay->apps->bus, replay->version->bus_app, replay->page[at],
                                          replay->request->aggregates, replay->request->decisions, &counts, &why);
        if (err == CAIRN_OK && counts.differing + counts.failed == before.differing + before.failed)
            continue;
        if (why.detail[0] == '\0')
            error_set(&why, CAIRN_E_SCRIPT, "deciding again gave other events than those recorded");
        note_failure(replay, replay->page[at], &why);
    }
    pthread_mutex_lock(&replay->lock);
    replay->counts.events += counts.events;
    replay->counts.commands += counts.commands;
    replay->counts.differing += counts.differing;
    replay->counts.failed += counts.failed;
    replay->counts.left_out += counts.left_out;
    pthread_mutex_unlock(&replay->lock);
}

static void *
help_replay(void *context)
{
    replay_streams(context, false);
    return NULL;
}

static bool
take_name(void *context, cairn_str stream, uint64_t first_position)
{
    struct replay *replay = context;
    size_t decider;
    (void)first_position;
    replay->after = arena_copy(&replay->names, stream);
    if (replay->after.data == NULL)
        return false;
    if (app_stream_decider(replay->version->code->manifest, stream, &decider))
        replay->page[replay->page_size++] = replay->after;
    return replay->page_size < PAGE_STREAMS;
}

static void
replay_page(struct replay *replay)
{
    pthread_t threads[PARALLEL_MAX];
    size_t wanted = replay->request->parallel != 0 ? replay->request->parallel : os_processors();
    size_t started = 0;
    wanted = wanted < PARALLEL_MAX ? wanted : PARALLEL_MAX;
    wanted = wanted < replay->page_size ? wanted : replay->page_size;
    atomic_store(&replay->next, 0);
    while (started + 1 < wanted && os_thread_start(&threads[started], "cairn-replay", help_replay, replay) == 0)
        started++;
    replay_streams(replay, true); /* this thread works too, alone when no other could be had */
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

static cairn_str
prefix_of(const struct app_manifest *manifest, size_t command)
{
    cairn_str pattern = manifest->commands[command].stream;
    const char *open = memchr(pattern.data, '{', pattern.size);
    return (cairn_str){pattern.data, open != NULL ? (size_t)(open - pattern.data) : pattern.size};
}

/* Are the streams of this command among those of another one, which is looked at instead? */
static bool
is_covered(const struct app_manifest *manifest, size_t command)
{
    cairn_str prefix = prefix_of(manifest, command);
    for (size_t i = 0; i < manifest->command_count; i++) {
        cairn_str other = prefix_of(manifest, i);
        bool begins = other.size <= prefix.size && memcmp(other.data, prefix.data, other.size) == 0;
        if (begins && manifest->deciders[manifest->commands[i].decider].item_count == 0
            && (other.size < prefix.size || i < command))
            return true;
    }
    return false;
}

/* Every stream whose name begins as a command's template does. */
static cairn_err
replay_prefix(struct replay *replay, cairn_str prefix, cairn_error *error)
{
    cairn_str last = {0};
    for (;;) {
        replay->page_size = 0;
        replay->after = (cairn_str){0};
        cairn_err err = cairn_streams(replay->apps->store, 0, prefix, last, take_name, replay, error);
        if (err != CAIRN_OK)
            return err;
        replay_page(replay);
        replay->streams += replay->page_size;
        bool more = replay->page_size == PAGE_STREAMS;
        if (atomic_load(&replay->given_up))
            return error_set(error, CAIRN_E_CLOSED, "the replay was stopped");
        if (atomic_load(&replay->stop) || !more)
            return CAIRN_OK;
        struct arena next = {0};
        last = arena_copy(&next, replay->after);
        arena_free(&replay->names);
        replay->names = next;
        if (last.data == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for the replay");
    }
}

static bool
may_look_on(void *context, uint64_t done, uint64_t total)
{
    return may_go_on(context, "events looked through", done, total);
}

static void
note_decision(void *context, cairn_str stream, const cairn_error *why)
{
    note_failure(context, stream, why);
}

static cairn_err
replay_aggregates(struct replay *replay, cairn_error *error)
{
    const struct app_manifest *manifest = replay->version->code->manifest;
    int64_t began_us = os_monotonic_us(os_real());
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; i < manifest->command_count && err == CAIRN_OK && !atomic_load(&replay->stop); i++)
        if (manifest->deciders[manifest->commands[i].decider].item_count == 0 && !is_covered(manifest, i))
            err = replay_prefix(replay, prefix_of(manifest, i), error);
    const struct bus_replay_watch watch = {may_look_on, note_decision, replay};
    if (err == CAIRN_OK && replay->request->decisions && !atomic_load(&replay->stop))
        err = bus_replay_queries(replay->apps->bus, replay->version->bus_app, &watch, &replay->counts, error);
    struct buf *to = &replay->report;
    json_put_name(to, "aggregates");
    buf_put_char(to, '{');
    json_put_u64_member(to, "streams", replay->streams);
    json_put_u64_member(to, "events", replay->counts.events);
    json_put_u64_member(to, "commands", replay->counts.commands);
    json_put_u64_member(to, "differing", replay->counts.differing);
    json_put_u64_member(to, "failed", replay->counts.failed);
    json_put_u64_member(to, "left_out", replay->counts.left_out);
    json_put_name(to, "seconds");
    json_put_double(to, (double)(os_monotonic_us(os_real()) - began_us) / 1e6);
    json_put_name(to, "failures");
    buf_put_char(to, '[');
    buf_put_str(to, buf_str(&replay->failed));
    buf_put_str(to, CAIRN_STR("]}"));
    return err;
}

cairn_err
cairn_app_replay(cairn_apps *apps, const cairn_replay_request *request, cairn_replay_progress progress,
                 void *progress_context, cairn_sink sink, void *context, cairn_error *error)
{
    if (apps == NULL || request == NULL || sink == NULL)
        return error_set(error, CAIRN_E_INVALID, "apps, request and sink must be given");
    if (apps->options.read_only && (request->aggregates || !request->decisions))
        return error_set(error, CAIRN_E_READONLY, "the apps were opened for reading only: decisions can be checked, nothing else");
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the replay");
    *replay = (struct replay){.apps = apps, .request = request, .progress = progress, .progress_context = progress_context};
    pthread_mutex_init(&replay->lock, NULL);
    cairn_err err = apps_hold(apps, request->app, &replay->version, error);
    if (err == CAIRN_OK) {
        buf_put_char(&replay->report, '{');
        json_put_text_member(&replay->report, "app", request->app);
        json_put_u64_member(&replay->report, "version", replay->version->number);
        if (!request->decisions)
            err = replay_projections(replay, error);
        if (err == CAIRN_OK && (request->aggregates || request->decisions))
            err = replay_aggregates(replay, error);
        json_put_name(&replay->report, "ok");
        buf_put_str(&replay->report, replay->complained ? CAIRN_STR("false}") : CAIRN_STR("true}"));
        if (err == CAIRN_OK && replay->report.failed)
            err = error_set(error, CAIRN_E_NOMEM, "no memory for the report");
    }
    if (err == CAIRN_OK && !sink(context, buf_str(&replay->report)))
        err = error_set(error, CAIRN_E_CLOSED, "the receiver stopped");
    if (err == CAIRN_OK && replay->complained)
        err = error_set(error, CAIRN_E_SCRIPT, "something failed or differed; the report says what");
    app_version_release(replay->version);
    arena_free(&replay->names);
    buf_free(&replay->report);
    buf_free(&replay->failed);
    pthread_mutex_destroy(&replay->lock);
    free(replay);
    return err;
}

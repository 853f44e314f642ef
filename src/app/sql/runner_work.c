/* A worker: the thread that keeps one read model up with the log.
 *
 *   batch ──► commit ──► publish ──► more? next batch
 *     │                              caught up? take over (beside), then sleep until a commit or a request
 *     │ an event fails in a batch of several: roll back, apply those before it, then it alone
 *     └ an event fails alone: transient → again later; decided or on_error → left out and remembered; else stop at it
 *
 * A batch ends when nothing more is there, so that at low load each event is visible at once, and after RUNNER_BATCH_MAX
 * events or RUNNER_BATCH_US while behind. After a failure batches are small for a while: each failure costs reading the
 * batch again.
 *
 * Invariant: checkpoint.position <= next. Between them nothing changed the read model. */
#include "runner_int.h"

#include <base/error.h>
#include <os/os.h>
#include <os/thread.h>
#include <os/wait.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK_ALWAYS_BYTES (64u << 20)   /* look through a file of at most this size when it is opened */
#define CHECK_UNCLEAN_BYTES (256u << 20) /* and of this size when it was not closed */
#define BATCH_AFTER_FAILURE 16
#define BACK_OFF_FIRST_US 10000
#define RATE_US 500000

static int64_t
now_us(void)
{
    return os_monotonic_us(os_real());
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static cairn_err
look_through(struct worker *worker, const char *path, bool unclean, cairn_error *error)
{
    struct os_file *file = NULL;
    uint64_t size = 0;
    if (os_open(os_real(), path, OS_READ, &file) >= 0)
        (void)os_size(os_real(), file, &size);
    (void)os_close(os_real(), file);
    if (size > (unclean ? CHECK_UNCLEAN_BYTES : CHECK_ALWAYS_BYTES))
        return CAIRN_OK;
    sqlite3_stmt *check = NULL;
    cairn_err err = applier_prepare_own(&worker->applier, "PRAGMA quick_check(1)", &check, error);
    if (err != CAIRN_OK)
        return err;
    worker->applier.guard.own = true;
    sqlite3_progress_handler(worker->applier.db, 0, NULL, NULL); /* it may take many steps */
    int rc = sqlite3_step(check);
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(check, 0) : NULL;
    if (rc != SQLITE_ROW)
        err = sql_failed(worker->applier.db, rc, "the read model", error);
    else if (text == NULL || strcmp(text, "ok") != 0)
        err = error_set(error, CAIRN_E_CORRUPT, "the read model is damaged: %s", text != NULL ? text : "");
    sqlite3_finalize(check);
    worker->applier.guard.own = false;
    applier_watch(&worker->applier);
    return err;
}

/* The event applied last must be there, and be the same: otherwise the log is another one. */
static cairn_err
check_log(struct worker *worker, cairn_error *error)
{
    const struct runner_options *options = &worker->runner->options;
    const struct checkpoint *at = &worker->applier.checkpoint;
    if (at->position > cairn_end(options->store))
        return error_set(error, CAIRN_E_CORRUPT, "the read model is ahead of the log");
    if (!at->has_last)
        return CAIRN_OK;
    cairn_read_options read = {.scope = options->scope, .from = (int64_t)at->last_position,
                               .end = at->last_position + 1};
    cairn_reader *reader;
    cairn_recorded event;
    cairn_err err = cairn_read_all(options->store, &read, &reader, error);
    if (err != CAIRN_OK)
        return err;
    err = cairn_reader_next(reader, &event, error);
    if (err == CAIRN_OK && memcmp(&event.event.id, &at->last_id, sizeof at->last_id) != 0)
        err = error_set(error, CAIRN_E_CORRUPT, "the read model was made from another log");
    else if (err == CAIRN_E_END || err == CAIRN_E_CORRUPT) /* removed by retention since; damage is the log's affair */
        err = CAIRN_OK;
    cairn_reader_free(reader);
    return err;
}

static void
fill_failure(struct failure *failure, const cairn_recorded *event, const char *why, bool transient)
{
    failure->tries = failure->there && failure->position == event->position ? failure->tries + 1 : 1;
    failure->there = true;
    failure->transient = transient;
    failure->position = event->position;
    failure->time_us = event->time_us;
    snprintf(failure->stream, sizeof failure->stream, "%.*s", (int)event->stream.size, event->stream.data);
    snprintf(failure->type, sizeof failure->type, "%.*s", (int)event->event.type.size, event->event.type.data);
    snprintf(failure->error, sizeof failure->error, "%s", why);
}

void
worker_note_failure(struct worker *worker, const cairn_recorded *event, const char *why, bool transient)
{
    pthread_mutex_lock(&worker->runner->lock);
    fill_failure(&worker->failure, event, why, transient);
    pthread_mutex_unlock(&worker->runner->lock);
}

uint64_t *
worker_faults(struct worker *worker, const char *kind)
{
    return strcmp(kind, "parked") == 0 ? &worker->faults_parked : strcmp(kind, "dead") == 0 ? &worker->faults_dead : &worker->faults_skipped;
}

static cairn_err
count_faults(struct worker *worker, cairn_error *error)
{
    sqlite3_stmt *count = NULL;
    cairn_err err = applier_prepare_own(&worker->applier, "SELECT kind, count(*), stream, max(position) FROM _cairn_fault GROUP BY kind",
                                        &count, error);
    worker->applier.guard.own = true;
    while (err == CAIRN_OK && sqlite3_step(count) == SQLITE_ROW) {
        const char *kind = (const char *)sqlite3_column_text(count, 0), *stream = (const char *)sqlite3_column_text(count, 2);
        if (kind == NULL || stream == NULL)
            continue;
        *worker_faults(worker, kind) += (uint64_t)sqlite3_column_int64(count, 1);
        if (strcmp(kind, "dead") == 0)
            worker_find_dead_topic(worker, cairn_cstr(stream));
    }
    worker->applier.guard.own = false;
    sqlite3_finalize(count);
    return err;
}

/* What it was when it was closed: stopped at an event, paused. */
static void
restore_state(struct worker *worker)
{
    const struct checkpoint *at = &worker->applier.checkpoint;
    cairn_recorded event;
    cairn_err upcast;
    worker->next = worker->position = at->position;
    worker->paused = at->paused;
    worker->complete = at->complete;
    worker->applied = at->applied;
    worker->failed = at->failed;
    if (!at->has_failure || worker->on_error != CAIRN_ON_ERROR_STOP)
        return;
    worker->stopped = true;
    worker->failure = (struct failure){.there = true, .position = at->failure_position, .tries = 1};
    snprintf(worker->failure.error, sizeof worker->failure.error, "%s", at->failure);
    if (feed_seek(&worker->feed, at->failure_position, NULL) == CAIRN_OK
        && feed_next(&worker->feed, &event, &upcast, NULL) == CAIRN_OK && event.position == at->failure_position) {
        worker->failure.tries = 0;
        fill_failure(&worker->failure, &event, at->failure, false);
    }
    feed_close(&worker->feed); /* it has gone past the event */
}

cairn_err
worker_open(struct runner *runner, uint64_t generation, struct worker **ret, cairn_error *error)
{
    char path[RUNNER_PATH_MAX], wal[RUNNER_PATH_MAX + 8];
    struct os_file *file = NULL;
    struct worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL || !files_path(runner, path, generation, ".db")
        || (worker->model = model_new(path, 0)) == NULL) {
        free(worker);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a projection, or its path is too long");
    }
    worker->runner = runner;
    worker->generation = generation;
    worker->on_error = runner->options.on_error;
    worker->alone = worker->decided_at = worker->tries.position = UINT64_MAX;
    worker->batch_max = RUNNER_BATCH_MAX;
    worker->feed = (struct feed){.runner = runner, .stop = &worker->quit};
    snprintf(wal, sizeof wal, "%s-wal", path);
    bool unclean = os_open(os_real(), wal, OS_READ, &file) >= 0;
    (void)os_close(os_real(), file);
    file = NULL;
    bool old = os_open(os_real(), path, OS_READ, &file) >= 0;
    (void)os_close(os_real(), file);

    cairn_err err = applier_open(&worker->applier, runner, path, false, &worker->quit, error);
    if (err == CAIRN_OK && old)
        err = look_through(worker, path, unclean, error);
    if (err == CAIRN_OK)
        err = check_log(worker, error);
    if (err == CAIRN_OK)
        err = count_faults(worker, error);
    if (err != CAIRN_OK) {
        worker_free(worker);
        return err;
    }
    restore_state(worker);
    *ret = worker;
    return CAIRN_OK;
}

/* ---- batches ------------------------------------------------------------------------------------------------- */

/* Something that passes: try again later, from `from`. */
enum outcome
worker_later(struct worker *worker, uint64_t from, const cairn_recorded *event, const cairn_error *error)
{
    struct runner *runner = worker->runner;
    applier_rollback(&worker->applier);
    worker->next = from;
    if (worker->applier.interrupted) {
        feed_close(&worker->feed);
        return WORK_LEAVE;
    }
    int64_t next = worker->back_off_us * 2;
    worker->back_off_us = next < BACK_OFF_FIRST_US ? BACK_OFF_FIRST_US
                          : next > RUNNER_WAIT_MAX_US ? RUNNER_WAIT_MAX_US : next;
    cairn_recorded nothing = {.position = from};
    pthread_mutex_lock(&runner->lock);
    fill_failure(&worker->failure, event != NULL ? event : &nothing, error->detail, true);
    uint64_t tries = worker->failure.tries;
    pthread_mutex_unlock(&runner->lock);
    feed_close(&worker->feed); /* the event was in it */
    if ((tries & (tries - 1)) == 0)
        runner_say(runner, CAIRN_LOG_WARN, "position=%llu tries=%llu error=\"%s\" waiting_ms=%lld",
                   (unsigned long long)from, (unsigned long long)tries, error->detail,
                   (long long)worker->back_off_us / 1000);
    return WORK_LATER;
}

static enum outcome
damaged(struct worker *worker, const cairn_error *error)
{
    applier_rollback(&worker->applier);
    runner_damaged(worker, error->detail);
    return WORK_LEAVE;
}

static enum outcome
failed_outside(struct worker *worker, uint64_t from, cairn_err err, const cairn_error *error)
{
    return err == CAIRN_E_CORRUPT ? damaged(worker, error) : worker_later(worker, from, NULL, error);
}

static cairn_err
commit(struct worker *worker, uint64_t position, cairn_error *error)
{
    struct checkpoint *at = &worker->applier.checkpoint;
    uint64_t before = at->position;
    at->position = position;
    cairn_err err = applier_commit(&worker->applier, error);
    if (err != CAIRN_OK)
        at->position = before;
    return err;
}

static void
note_applied(struct worker *worker, const cairn_recorded *event)
{
    struct checkpoint *at = &worker->applier.checkpoint;
    at->has_last = true;
    at->last_position = event->position;
    at->last_id = event->event.id;
}

/* Leave the event out and remember it. */
enum outcome
worker_set_aside(struct worker *worker, const cairn_recorded *event, const char *kind, const char *why)
{
    cairn_error error = {0};
    struct checkpoint *at = &worker->applier.checkpoint, before = *at;
    cairn_err err = applier_begin(&worker->applier, &error);
    if (err == CAIRN_OK)
        err = applier_put_fault(&worker->applier, event, kind, why, &error);
    if (err == CAIRN_OK) {
        note_applied(worker, event);
        at->has_failure = false;
        at->failed++;
        err = commit(worker, event->position + 1, &error);
    }
    if (err != CAIRN_OK) {
        applier_rollback(&worker->applier);
        *at = before;
        return err == CAIRN_E_CORRUPT ? damaged(worker, &error) : worker_later(worker, event->position, event, &error);
    }
    worker->next = event->position + 1;
    worker->decided_at = worker->tries.position = UINT64_MAX;
    pthread_mutex_lock(&worker->runner->lock);
    ++*worker_faults(worker, kind);
    worker->failure.there = false;
    pthread_mutex_unlock(&worker->runner->lock);
    runner_moved(worker->runner);
    runner_say(worker->runner, CAIRN_LOG_WARN, "position=%llu %s error=\"%s\"", (unsigned long long)event->position,
               kind, why);
    return WORK_MORE;
}

enum outcome
worker_stop_at(struct worker *worker, const cairn_recorded *event, const char *why)
{
    struct runner *runner = worker->runner;
    struct checkpoint *at = &worker->applier.checkpoint;
    cairn_error error = {0};
    worker->next = event->position;
    at->has_failure = true;
    at->failure_position = event->position;
    at->failed++;
    snprintf(at->failure, sizeof at->failure, "%s", why);
    cairn_err err = commit(worker, event->position, &error);
    if (err != CAIRN_OK) {
        at->has_failure = false;
        at->failed--;
        return err == CAIRN_E_CORRUPT ? damaged(worker, &error) : worker_later(worker, event->position, event, &error);
    }
    pthread_mutex_lock(&runner->lock);
    fill_failure(&worker->failure, event, why, false);
    worker->stopped = true;
    pthread_mutex_unlock(&runner->lock);
    runner_say(runner, CAIRN_LOG_ERROR, "position=%llu stream=%.*s type=%.*s stopped error=\"%s\"",
               (unsigned long long)event->position, (int)event->stream.size, event->stream.data,
               (int)event->event.type.size, event->event.type.data, why);
    feed_close(&worker->feed); /* it is read again when somebody asks for it */
    return WORK_STOPPED;
}

/* It failed by itself, and nothing else is in the transaction. */
static enum outcome
failed_alone(struct worker *worker, const cairn_recorded *event, cairn_err err, const cairn_error *error)
{
    struct applier *applier = &worker->applier;
    applier_rollback(applier);
    worker->alone = UINT64_MAX;
    if (applier->interrupted)
        return WORK_LEAVE;
    if (err == CAIRN_E_CORRUPT)
        return damaged(worker, error);
    if (error_is_transient(err))
        return worker_later(worker, event->position, event, error);
    const char *kind = worker->decided_at == event->position ? worker->decided
                                                             : applier_decided(applier, event->position);
    bool decided = kind != NULL;
    if (!decided && worker->on_error != CAIRN_ON_ERROR_STOP)
        kind = worker->on_error == CAIRN_ON_ERROR_SKIP ? "skipped" : worker->on_error == CAIRN_ON_ERROR_PARK ? "parked" : "dead";
    if (kind != NULL && worker->faults_parked + worker->faults_skipped + worker->faults_dead >= RUNNER_FAULTS_MAX) {
        char why[RUNNER_ERROR_MAX];
        snprintf(why, sizeof why, "%d events are parked, skipped or dead letters already; this one: %.200s", RUNNER_FAULTS_MAX,
                 error->detail);
        return worker_stop_at(worker, event, why);
    }
    if (kind != NULL && strcmp(kind, "dead") == 0)
        return worker_give_up(worker, event, decided, err, error);
    return kind != NULL ? worker_set_aside(worker, event, kind, error->detail) : worker_stop_at(worker, event, error->detail);
}

struct batch {
    uint64_t from;
    unsigned count;
    int64_t begun_us;
};

/* The event could not be applied. Among others: they go first. */
static enum outcome
failed(struct worker *worker, struct batch *batch, const cairn_recorded *event, cairn_err err,
       const cairn_error *error)
{
    worker->applier.checkpoint.applied -= batch->count;
    if (batch->count == 0)
        return failed_alone(worker, event, err, error);
    uint64_t position = event->position;
    applier_rollback(&worker->applier);
    feed_close(&worker->feed);
    worker->next = batch->from;
    if (worker->applier.interrupted)
        return WORK_LEAVE;
    if (err == CAIRN_E_CORRUPT)
        return damaged(worker, error);
    worker->alone = position;
    worker->batch_max = BATCH_AFTER_FAILURE;
    return WORK_MORE;
}

static bool
batch_full(const struct worker *worker, const struct batch *batch)
{
    return batch->count >= worker->batch_max
        || (batch->count % 64 == 0
            && now_us() - batch->begun_us > (worker->far ? RUNNER_BATCH_FAR_US : RUNNER_BATCH_US));
}

cairn_err
worker_apply_one(struct worker *worker, const struct feed *feed, const cairn_recorded *event, cairn_err upcast,
                 cairn_error *error)
{
    return upcast != CAIRN_OK ? upcast : applier_event(&worker->applier, feed, event, error);
}

/* End the batch before `position`. */
static enum outcome
finish(struct worker *worker, struct batch *batch, uint64_t position, bool caught_up)
{
    cairn_error error = {0};
    struct checkpoint *at = &worker->applier.checkpoint;
    bool first = caught_up && !at->complete;
    at->complete = at->complete || caught_up;
    if (batch->count > 0)
        at->has_failure = false;
    if (batch->count > 0 || first || position - at->position > RUNNER_PASSED_MAX) {
        cairn_err err = commit(worker, position, &error);
        if (err != CAIRN_OK) {
            at->applied -= batch->count;
            at->complete = at->complete && !first;
            feed_close(&worker->feed);
            return failed_outside(worker, batch->from, err, &error);
        }
    }
    if (batch->count > 0)
        worker->committed_us = now_us();
    if (worker->applier.wal_pages >= RUNNER_WAL_PAGES) {
        copies_want_sync(worker->runner, worker->model);
        worker->applier.wal_pages = 0;
    }
    if (batch->count > 0 && worker->batch_max < RUNNER_BATCH_MAX)
        worker->batch_max *= 2;
    worker->next = position;
    worker->back_off_us = 0;
    batch->from = position;
    batch->count = 0;
    return caught_up ? WORK_IDLE : WORK_MORE;
}

/* Apply what is there, up to a batch. */
static enum outcome
work(struct worker *worker)
{
    struct batch batch = {.from = worker->next, .begun_us = now_us()};
    cairn_recorded event;
    cairn_error error = {0};
    cairn_err upcast = CAIRN_OK, err = CAIRN_OK;
    uint64_t end = atomic_load(&worker->runner->end);
    if (worker_waits(worker))
        return WORK_LATER;
    worker->far = end > worker->next + RUNNER_FAR;
    if (worker->feed.reader == NULL && (err = feed_seek(&worker->feed, worker->next, &error)) != CAIRN_OK)
        return failed_outside(worker, worker->next, err, &error);
    if (end > worker->next + RUNNER_AHEAD && worker->batch_max >= RUNNER_AHEAD_BATCH && !worker->runner->projection->is_lua)
        ahead_begin(&worker->feed);
    while ((err = feed_next(&worker->feed, &event, &upcast, &error)) == CAIRN_OK) {
        if (event.position == worker->alone && batch.count > 0) { /* what comes before it is good: keep that */
            enum outcome outcome = finish(worker, &batch, event.position, false);
            if (outcome != WORK_MORE)
                return outcome;
        }
        if (batch.count == 0 && (err = applier_begin(&worker->applier, &error)) != CAIRN_OK)
            return failed_outside(worker, batch.from, err, &error);
        if ((err = worker_apply_one(worker, &worker->feed, &event, upcast, &error)) != CAIRN_OK)
            return failed(worker, &batch, &event, err, &error);
        batch.count++;
        worker->applier.checkpoint.applied++;
        worker->last_time_now_us = event.time_us;
        if (event.position == worker->alone || batch_full(worker, &batch)) {
            worker->alone = event.position == worker->alone ? UINT64_MAX : worker->alone;
            note_applied(worker, &event);
            return finish(worker, &batch, event.position + 1, false);
        }
        note_applied(worker, &event);
    }
    if (err != CAIRN_E_END) {
        worker->applier.checkpoint.applied -= batch.count;
        worker->applier.interrupted = worker->applier.interrupted || err == CAIRN_E_CLOSED;
        /* A damaged log is not this file's fault: wait for somebody to mend it. */
        return worker_later(worker, batch.from, NULL, &error);
    }
    return finish(worker, &batch, feed_position(&worker->feed), true);
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

/* Paused or not is kept in the file. */
static cairn_err
save_state(struct worker *worker, bool paused, cairn_error *error)
{
    worker->applier.checkpoint.paused = paused;
    return commit(worker, worker->next, error);
}

static void
handle_request(struct worker *worker)
{
    struct runner *runner = worker->runner;
    cairn_error error = {0};
    cairn_err err = CAIRN_OK;
    pthread_mutex_lock(&runner->lock);
    enum request request = worker->request;
    bool paused = worker->paused;
    uint64_t failing = worker->failure.position;
    struct returning *returning = worker->returning;
    pthread_mutex_unlock(&runner->lock);
    if (request == REQUEST_NONE)
        return;
    switch (request) {
    case REQUEST_SAVE: err = save_state(worker, paused, &error); break;
    case REQUEST_RETURN: worker_return_dead(worker, returning); break;
    case REQUEST_REPLAY: err = worker_replay_parked(worker, &error); break;
    case REQUEST_SKIP:
    case REQUEST_PARK:
        worker->decided_at = failing;
        worker->decided = request == REQUEST_PARK ? "parked" : "skipped";
        break;
    default: break;
    }
    pthread_mutex_lock(&runner->lock);
    if (request == REQUEST_RETRY || request == REQUEST_SKIP || request == REQUEST_PARK) {
        worker->stopped = false;
        worker->back_off_us = 0;
        worker->tries.next_us = 0;
    }
    if (request == REQUEST_RETURN) {
        returning->done = true; /* it is its caller's from here on */
        worker->returning = NULL;
    }
    worker->request = REQUEST_NONE;
    worker->request_result = err;
    worker->applied = worker->applier.checkpoint.applied;
    pthread_mutex_unlock(&runner->lock);
    if (err != CAIRN_OK)
        runner_say(runner, CAIRN_LOG_WARN, "request failed error=\"%s\"", error.detail);
    runner_moved(runner);
}

/* ---- the thread ------------------------------------------------------------------------------------------------------ */

static void
rest(struct worker *worker, uint32_t seen, uint64_t timeout_us)
{
    struct runner *runner = worker->runner;
    atomic_fetch_add(&runner->sleeping, 1);
    if (!atomic_load(&worker->quit))
        os_wait(&runner->wake, seen, timeout_us);
    atomic_fetch_sub(&runner->sleeping, 1);
}

/* Something was committed just now, and more has come: let it gather. */
static void
linger(struct worker *worker)
{
    int64_t since = now_us() - worker->committed_us;
    if (since >= 0 && since < RUNNER_COMMIT_US && worker->applier.checkpoint.complete
        && worker->next + RUNNER_GATHER > atomic_load(&worker->runner->end))
        os_wait(&worker->still, 0, (uint64_t)(RUNNER_COMMIT_US - since));
}

static void
measure_rate(struct worker *worker)
{
    int64_t now = now_us();
    if (worker->rate_at_us == 0) {
        worker->rate_at_us = now;
        worker->rate_position = worker->next;
    }
    int64_t passed = now - worker->rate_at_us;
    if (passed < RATE_US)
        return;
    double rate = (double)(worker->next - worker->rate_position) * 1e6 / (double)passed;
    worker->rate = worker->rate > 0 ? (worker->rate + rate) / 2 : rate;
    worker->rate_at_us = now;
    worker->rate_position = worker->next;
}

bool
runner_publish(struct worker *worker)
{
    struct runner *runner = worker->runner;
    pthread_mutex_lock(&runner->lock);
    worker->working = false;
    bool here = !worker->gone;
    if (here) {
        worker->position = worker->next;
        worker->applied = worker->applier.checkpoint.applied;
        worker->failed = worker->applier.checkpoint.failed;
        worker->complete = worker->applier.checkpoint.complete;
        worker->last_time_us = worker->last_time_now_us;
        if (!worker->stopped && worker->failure.there && worker->position > worker->failure.position)
            worker->failure.there = false;
        measure_rate(worker);
        if (runner->serving == worker)
            atomic_store(&runner->position, worker->next);
    }
    pthread_mutex_unlock(&runner->lock);
    runner_moved(runner);
    return here;
}

static void
maybe_copy(struct worker *worker)
{
    struct runner *runner = worker->runner;
    uint64_t applied = worker->applier.checkpoint.applied;
    if (applied < worker->copy_next)
        return;
    uint32_t every = runner->options.checkpoint_every;
    worker->copy_next = applied - applied % every + every;
    if (!worker->beside && applied >= every)
        copies_want(runner);
}

/* Wait while another takes over, then be at work: what is committed from here to publishing, readers may see, so nobody
 * takes over meanwhile. False: another serves. */
static bool
enter(struct worker *worker)
{
    struct runner *runner = worker->runner;
    pthread_mutex_lock(&runner->lock);
    while (runner->swapping && !worker->gone && runner->building != worker && !atomic_load(&worker->quit)) {
        uint32_t seen = atomic_load(&runner->moved);
        pthread_mutex_unlock(&runner->lock);
        runner_wait_moved(runner, seen, 10000);
        pthread_mutex_lock(&runner->lock);
    }
    worker->working = !worker->gone;
    bool here = worker->working;
    pthread_mutex_unlock(&runner->lock);
    return here;
}

static void
leave(struct worker *worker)
{
    pthread_mutex_lock(&worker->runner->lock);
    worker->working = false;
    pthread_mutex_unlock(&worker->runner->lock);
    runner_moved(worker->runner);
}

static bool
held(struct worker *worker)
{
    pthread_mutex_lock(&worker->runner->lock);
    bool held = worker->paused || worker->stopped;
    pthread_mutex_unlock(&worker->runner->lock);
    return held;
}

static void
work_on(struct worker *worker)
{
    struct runner *runner = worker->runner;
    cairn_error error = {0};
    if (worker->delay_us > 0)
        rest(worker, atomic_load(&runner->wake), worker->delay_us);
    while (!atomic_load(&worker->quit)) {
        uint32_t seen = atomic_load(&runner->wake);
        if (!enter(worker))
            return;
        handle_request(worker);
        if (atomic_load_explicit(&worker->model->damaged, memory_order_relaxed)) {
            runner_damaged(worker, "a reader found the file damaged");
            return;
        }
        if (held(worker)) {
            leave(worker);
            rest(worker, seen, UINT64_MAX);
            continue;
        }
        linger(worker);
        enum outcome outcome = work(worker);
        if (outcome == WORK_LEAVE || !runner_publish(worker))
            return;
        maybe_copy(worker);
        error = (cairn_error){0};
        if (outcome == WORK_IDLE && worker->beside && !runner_take_over(worker, &error)) {
            if (error.code != CAIRN_OK)
                (void)worker_later(worker, worker->next, NULL, &error);
            outcome = WORK_LATER;
        }
        if (outcome == WORK_LATER)
            rest(worker, seen, worker->back_off_us > 0 ? (uint64_t)worker->back_off_us : 1000);
        else if (outcome == WORK_IDLE)
            rest(worker, seen, UINT64_MAX);
    }
}

static void *
worker_main(void *context)
{
    struct worker *worker = context;
    struct runner *runner = worker->runner;
    cairn_error error = {0};
    work_on(worker);
    leave(worker);
    pthread_mutex_lock(&runner->lock);
    bool gone = worker->gone;
    worker->over = true;
    if (worker->returning != NULL) { /* nobody will see to it */
        worker->returning->err = error_set(&worker->returning->error, CAIRN_E_CLOSED, "the projection is stopping, or being built anew");
        worker->returning->done = true;
        worker->returning = NULL;
    }
    pthread_mutex_unlock(&runner->lock);
    runner_moved(runner);
    worker->applier.stop = NULL;
    applier_rollback(&worker->applier);
    if (!gone && worker->next > worker->applier.checkpoint.position
        && commit(worker, worker->next, &error) != CAIRN_OK)
        runner_say(runner, CAIRN_LOG_WARN, "stopping error=\"%s\"", error.detail);
    feed_close(&worker->feed);
    applier_close(&worker->applier);
    sql_time_set(0);
    model_release(&worker->model->model); /* a doomed file goes now, not when the thread is joined */
    worker->model = NULL;
    return NULL;
}

cairn_err
worker_begin(struct worker *worker, cairn_error *error)
{
    int rc = os_thread_start(&worker->thread, "cairn-project", worker_main, worker);
    if (rc != 0)
        return error_set_errno(error, rc, "starting a projection's thread");
    worker->started = true;
    return CAIRN_OK;
}

void
worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    if (worker->started) {
        atomic_store(&worker->quit, true);
        runner_wake(worker->runner);
        pthread_join(worker->thread, NULL);
    } else {
        feed_close(&worker->feed);
        applier_close(&worker->applier);
    }
    if (worker->model != NULL)
        model_release(&worker->model->model);
    free(worker);
}

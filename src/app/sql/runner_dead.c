/* A projection's dead letters: events that it gives up after some tries, and their way back. What they are: store/dead.h.
 *
 * The letter is appended first, under an id made of projection and position, then the model goes past the event and remembers that it
 * lacks it, in one transaction. A crash in between leaves the event to be tried again, and its letter is there already. So the
 * model itself knows what it lacks: sending back applies that and nothing else, however often it is asked for. */
#include "runner_int.h"

#include <base/error.h>
#include <os/os.h>
#include <stdio.h>

static int64_t
now_us(void)
{
    return os_monotonic_us(os_real());
}

/* ---- giving up --------------------------------------------------------------------------------------------------- */

bool
worker_waits(struct worker *worker)
{
    int64_t left = worker->tries.position == UINT64_MAX || worker->tries.next_us == 0 ? 0 : worker->tries.next_us - now_us();
    if (left <= 0)
        return false;
    worker->back_off_us = left; /* a commit may have woken us before */
    return true;
}

static enum outcome
try_again(struct worker *worker, const cairn_recorded *event, const cairn_error *error)
{
    struct tries *tries = &worker->tries;
    int64_t pause = worker->runner->options.backoff_us;
    for (uint32_t i = 1; i < tries->count && pause < RUNNER_BACKOFF_MAX_US; i++)
        pause *= 2;
    if (pause > RUNNER_BACKOFF_MAX_US)
        pause = RUNNER_BACKOFF_MAX_US;
    tries->next_us = now_us() + pause;
    worker->back_off_us = pause;
    worker->next = worker->alone = event->position;
    worker_note_failure(worker, event, error->detail, true);
    feed_close(&worker->feed); /* the event was in it */
    return WORK_LATER;
}

static enum outcome
post(struct worker *worker, const cairn_recorded *event, cairn_err err, const cairn_error *why)
{
    const struct runner_options *options = &worker->runner->options;
    const struct dead_consumer consumer = {.kind = DEAD_PROJECTION, .app = cairn_cstr(options->app),
                                           .name = cairn_cstr(worker->runner->name)};
    const struct dead_failure failure = {.code = cairn_cstr(cairn_err_name(err)), .detail = cairn_cstr(why->detail),
                                         .attempts = worker->tries.count, .first_us = worker->tries.first_us,
                                         .last_us = os_now_us(os_real())};
    struct arena arena = {0};
    struct dead_letter letter;
    cairn_error error = {0};
    enum outcome outcome;
    cairn_err made = dead_letter_make(options->store, options->scope, &consumer, &failure, event->position, true, &arena, &letter, &error);
    if (made == CAIRN_OK)
        made = dead_letter_append_once(options->store, options->scope, &letter, &error);
    if (made == CAIRN_OK) {
        pthread_mutex_lock(&worker->runner->lock);
        memcpy(worker->dead_topic, letter.topic.data, letter.topic.size);
        worker->dead_topic_size = letter.topic.size;
        pthread_mutex_unlock(&worker->runner->lock);
        outcome = worker_set_aside(worker, event, "dead", why->detail);
    } else if (made == CAIRN_E_EXISTS || made == CAIRN_E_NOTFOUND) { /* it is one itself, or has gone meanwhile */
        outcome = worker_set_aside(worker, event, made == CAIRN_E_EXISTS ? "parked" : "skipped", why->detail);
    } else if (dead_error_passes(made)) {
        outcome = worker_later(worker, event->position, event, &error);
    } else {
        char both[RUNNER_ERROR_MAX];
        snprintf(both, sizeof both, "no dead letter can be written: %.120s; the event failed with: %.120s", error.detail, why->detail);
        outcome = worker_stop_at(worker, event, both);
    }
    arena_free(&arena);
    return outcome;
}

enum outcome
worker_give_up(struct worker *worker, const cairn_recorded *event, bool decided, cairn_err err, const cairn_error *error)
{
    struct tries *tries = &worker->tries;
    if (tries->position != event->position)
        *tries = (struct tries){.position = event->position, .first_us = os_now_us(os_real())};
    tries->count++;
    tries->next_us = 0;
    if (!decided && tries->count <= worker->runner->options.retries)
        return try_again(worker, event, error);
    return post(worker, event, err, error);
}

void
worker_find_dead_topic(struct worker *worker, cairn_str stream)
{
    const struct runner_options *options = &worker->runner->options;
    char name[TOPIC_NAME_MAX];
    const char *dash = memchr(stream.data, '-', stream.size);
    cairn_str category = {stream.data, dash != NULL ? (size_t)(dash - stream.data) : stream.size};
    cairn_str topic = dead_topic(options->store, options->scope, category, (cairn_str){0}, name);
    memcpy(worker->dead_topic, topic.data, topic.size);
    worker->dead_topic_size = topic.size;
}

/* ---- applied again ------------------------------------------------------------ */

/* Apply one event that was given up; it stays given up, with what is wrong now, when that fails again. ret_why: 256 bytes, of
 * DEAD_FAILED. */
static cairn_err
replay_one(struct worker *worker, uint64_t position, const char *kind, enum dead_result *ret_result, char *ret_why,
           cairn_error *error)
{
    struct applier *applier = &worker->applier;
    struct feed feed = {.runner = worker->runner, .end = position + 1};
    cairn_recorded event;
    cairn_err upcast = CAIRN_OK;
    cairn_err err = feed_seek(&feed, position, error);
    if (err == CAIRN_OK)
        err = feed_next(&feed, &event, &upcast, error);
    if (err == CAIRN_OK && (err = applier_begin(applier, error)) == CAIRN_OK) {
        cairn_error why = {0};
        cairn_err applied = worker_apply_one(worker, &feed, &event, upcast, &why);
        if (applied == CAIRN_OK) {
            sqlite3_bind_int64(applier->take_fault, 1, (int64_t)position);
            err = applier_run_own(applier, applier->take_fault, error);
            applier->checkpoint.applied++;
        } else {
            applier_rollback(applier);
            snprintf(ret_why, 256, "%.255s", why.detail);
            if (error_is_transient(applied) || applied == CAIRN_E_CORRUPT || applier->interrupted)
                err = error_set(error, applied, "%s", why.detail);
            else if ((err = applier_begin(applier, error)) == CAIRN_OK)
                err = applier_put_fault(applier, &event, kind, why.detail, error);
        }
        *ret_result = applied == CAIRN_OK ? DEAD_RETURNED : DEAD_FAILED;
        if (err == CAIRN_OK)
            err = applier_commit(applier, error);
        applier_rollback(applier);
        if (err == CAIRN_OK && applied == CAIRN_OK) {
            pthread_mutex_lock(&worker->runner->lock);
            --*worker_faults(worker, kind);
            pthread_mutex_unlock(&worker->runner->lock);
        }
    } else if (err == CAIRN_E_END) {
        *ret_result = DEAD_GONE;
        err = CAIRN_OK; /* retention has removed it; it stays in the list */
    }
    feed_close(&feed);
    return err;
}

cairn_err
worker_replay_parked(struct worker *worker, cairn_error *error)
{
    struct applier *applier = &worker->applier;
    sqlite3_stmt *next = NULL;
    cairn_err err = applier_prepare_own(applier, "SELECT position FROM _cairn_fault WHERE kind = 'parked' AND"
                                                 " position > ?1 ORDER BY position LIMIT 1", &next, error);
    int64_t position = -1;
    enum dead_result result;
    char why[256];
    while (err == CAIRN_OK && !atomic_load(&worker->quit)) {
        sqlite3_bind_int64(next, 1, position);
        applier->guard.own = true;
        int rc = sqlite3_step(next);
        applier->guard.own = false;
        position = rc == SQLITE_ROW ? sqlite3_column_int64(next, 0) : position;
        (void)sqlite3_reset(next);
        if (rc != SQLITE_ROW) {
            err = rc == SQLITE_DONE ? CAIRN_OK : sql_failed(applier->db, rc, "the read model", error);
            break;
        }
        err = replay_one(worker, (uint64_t)position, "parked", &result, why, error);
    }
    sqlite3_finalize(next);
    return err;
}

/* ---- sent back ------------------------------------------------------------------------------------------------------ */

/* Does the model lack it? */
static cairn_err
lacks(struct worker *worker, uint64_t position, sqlite3_stmt *find, bool *ret, cairn_error *error)
{
    struct applier *applier = &worker->applier;
    sqlite3_bind_int64(find, 1, (int64_t)position);
    applier->guard.own = true;
    int rc = sqlite3_step(find);
    applier->guard.own = false;
    *ret = rc == SQLITE_ROW;
    (void)sqlite3_reset(find);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? CAIRN_OK : sql_failed(applier->db, rc, "the read model", error);
}

void
worker_return_dead(struct worker *worker, struct returning *returning)
{
    sqlite3_stmt *find = NULL;
    cairn_error *error = &returning->error;
    cairn_err err = applier_prepare_own(&worker->applier, "SELECT 1 FROM _cairn_fault WHERE position = ?1 AND kind = 'dead'", &find,
                                        error);
    for (size_t i = 0; i < returning->count && err == CAIRN_OK; i++) {
        struct dead_return *one = &returning->returns[i];
        bool missing;
        one->result = DEAD_BEFORE;
        err = lacks(worker, one->position, find, &missing, error);
        if (err == CAIRN_OK && missing && returning->dry_run)
            one->result = DEAD_RETURNED;
        else if (err == CAIRN_OK && missing)
            err = replay_one(worker, one->position, "dead", &one->result, one->why, error);
    }
    sqlite3_finalize(find);
    returning->err = err;
}

cairn_err
runner_return_dead(struct runner *runner, struct dead_return *returns, size_t count, bool dry_run, cairn_error *error)
{
    struct returning returning = {.returns = returns, .count = count, .dry_run = dry_run};
    cairn_err err = CAIRN_OK;
    pthread_mutex_lock(&runner->lock);
    struct worker *worker = runner->serving;
    if (runner->closing)
        err = error_set(error, CAIRN_E_CLOSED, "the projection is stopping");
    else if (worker == NULL || worker->over)
        err = error_set(error, CAIRN_E_BUSY, "projection %s is being built anew; try again when it has been", runner->name);
    else if (worker->request != REQUEST_NONE)
        err = error_set(error, CAIRN_E_BUSY, "another action is under way; try again");
    if (err == CAIRN_OK) {
        worker->returning = &returning;
        worker->request = REQUEST_RETURN;
    }
    pthread_mutex_unlock(&runner->lock);
    if (err != CAIRN_OK)
        return err;
    runner_wake(runner);
    for (;;) { /* the worker says so, at the latest when it ends */
        uint32_t seen = atomic_load(&runner->moved);
        pthread_mutex_lock(&runner->lock);
        bool done = returning.done;
        pthread_mutex_unlock(&runner->lock);
        if (done)
            break;
        runner_wait_moved(runner, seen, 1000000);
    }
    if (returning.err != CAIRN_OK && error != NULL)
        *error = returning.error;
    return returning.err;
}

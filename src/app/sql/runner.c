/* The runner: which model serves, which is being built, and what may be asked of either. See runner_int.h. */
#include "runner_int.h"

#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <errno.h>
#include <os/os.h>
#include <os/wait.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define REQUEST_WAIT_MS 5000
#define DAMAGE_DELAY_US 100000

void
runner_say(const struct runner *runner, cairn_log_level level, const char *format, ...)
{
    char line[1024];
    if (runner->options.log == NULL)
        return;
    int size = snprintf(line, sizeof line, "projection=%s ", runner->name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + size, sizeof line - (size_t)size, format, arguments);
    va_end(arguments);
    runner->options.log(runner->options.log_context, level, cairn_cstr(line));
}

void
runner_moved(struct runner *runner)
{
    atomic_fetch_add(&runner->moved, 1);
    if (atomic_load(&runner->waiting) > 0)
        os_wake(&runner->moved, INT32_MAX);
}

void
runner_wait_moved(struct runner *runner, uint32_t seen, int64_t timeout_us)
{
    atomic_fetch_add(&runner->waiting, 1);
    os_wait(&runner->moved, seen, (uint64_t)timeout_us);
    atomic_fetch_sub(&runner->waiting, 1);
}

void
runner_wake(struct runner *runner)
{
    atomic_fetch_add(&runner->wake, 1);
    if (atomic_load(&runner->sleeping) > 0)
        os_wake(&runner->wake, INT32_MAX);
}

void
runner_committed(struct runner *runner, uint64_t end)
{
    atomic_store(&runner->end, end);
    runner_wake(runner);
}

uint64_t
runner_position(const struct runner *runner)
{
    return atomic_load(&runner->position);
}

struct model *
runner_hold(struct runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    struct model *model = model_hold(runner->model);
    pthread_mutex_unlock(&runner->lock);
    return model;
}

/* ---- building beside ------------------------------------------------------------------------------------ */

/* Lock held. The worker has nothing to say any more; it is freed when its thread has ended. */
static void
retire(struct runner *runner, struct worker *worker)
{
    worker->gone = true;
    worker->next_ended = runner->ended;
    runner->ended = worker;
}

/* Join those that have ended by themselves, except `but`. */
static void
reap(struct runner *runner, const struct worker *but)
{
    for (;;) {
        pthread_mutex_lock(&runner->lock);
        struct worker **link = &runner->ended, *found = NULL;
        while (*link != NULL && *link == but)
            link = &(*link)->next_ended;
        if (*link != NULL) {
            found = *link;
            *link = found->next_ended;
        }
        pthread_mutex_unlock(&runner->lock);
        if (found == NULL)
            return;
        worker_free(found);
    }
}

/* A new generation's file, empty or from the nearest copy. */
static cairn_err
make_generation(struct runner *runner, uint64_t from, struct worker **ret, cairn_error *error)
{
    char path[RUNNER_PATH_MAX], copy_path[RUNNER_PATH_MAX];
    struct copy copy = {0};
    pthread_mutex_lock(&runner->lock);
    uint64_t generation = runner->generation_next++;
    struct model *old = runner->model != NULL ? model_hold(runner->model) : NULL;
    pthread_mutex_unlock(&runner->lock);
    cairn_err err = files_path(runner, path, generation, ".db") ? CAIRN_OK
                                                                : error_set(error, CAIRN_E_LIMIT, "path too long");
    if (err == CAIRN_OK)
        files_remove(path);
    if (err == CAIRN_OK && from > 0 && copies_nearest(runner, from, &copy, copy_path))
        err = files_copy(copy_path, path, error);
    struct worker *worker = NULL;
    if (err == CAIRN_OK)
        err = worker_open(runner, generation, &worker, error);
    if (err == CAIRN_OK && old != NULL) {
        cairn_error why = {0};
        if (applier_copy_decisions(&worker->applier, old->path, &why) != CAIRN_OK)
            runner_say(runner, CAIRN_LOG_WARN, "decisions of the old read model are lost error=\"%s\"", why.detail);
    }
    model_release(old);
    if (err != CAIRN_OK) {
        files_remove(path);
        return err;
    }
    worker->base = copy.position;
    worker->paused = worker->applier.checkpoint.paused = false;
    worker->stopped = worker->failure.there = worker->applier.checkpoint.has_failure = false;
    *ret = worker;
    return CAIRN_OK;
}

/* Actions held. */
static cairn_err
build_beside(struct runner *runner, uint64_t from, cairn_on_error on_error, uint64_t delay_us,
             const struct worker *but, cairn_error *error)
{
    struct worker *worker;
    pthread_mutex_lock(&runner->lock);
    bool busy = runner->building != NULL, closing = runner->closing;
    pthread_mutex_unlock(&runner->lock);
    if (closing)
        return error_set(error, CAIRN_E_CLOSED, "the projection is stopping");
    if (busy)
        return error_set(error, CAIRN_E_EXISTS, "a rebuild is under way already");
    reap(runner, but);
    cairn_err err = make_generation(runner, from, &worker, error);
    if (err != CAIRN_OK)
        return err;
    worker->beside = true;
    worker->delay_us = delay_us;
    worker->on_error = on_error;
    pthread_mutex_lock(&runner->lock);
    runner->building = worker;
    pthread_mutex_unlock(&runner->lock);
    if ((err = worker_begin(worker, error)) != CAIRN_OK) {
        pthread_mutex_lock(&runner->lock);
        runner->building = NULL;
        pthread_mutex_unlock(&runner->lock);
        atomic_store(&worker->model->doomed, true);
        worker_free(worker);
        return err;
    }
    runner_say(runner, CAIRN_LOG_INFO, "rebuild generation=%llu from=%llu", (unsigned long long)worker->generation,
               (unsigned long long)worker->base);
    return CAIRN_OK;
}

cairn_err
runner_rebuild(struct runner *runner, uint64_t from, cairn_on_error on_error, cairn_error *error)
{
    pthread_mutex_lock(&runner->actions);
    cairn_err err = build_beside(runner, from, on_error, 0, NULL, error);
    pthread_mutex_unlock(&runner->actions);
    runner_moved(runner);
    return err;
}

/* Give the rebuild up: its file goes. False: it has just taken over. Actions held. */
static bool
give_up(struct runner *runner, struct worker *worker)
{
    pthread_mutex_lock(&runner->lock);
    bool here = runner->building == worker && !runner->swapping;
    if (here) {
        runner->building = NULL;
        worker->gone = true;
        atomic_store(&worker->model->doomed, true);
    }
    pthread_mutex_unlock(&runner->lock);
    if (here)
        worker_free(worker);
    return here;
}

/* Lock held: the rebuild stands at an event. */
static bool
stands(const struct worker *building, char why[RUNNER_ERROR_MAX])
{
    if (building == NULL || !building->stopped || building->request != REQUEST_NONE)
        return false;
    snprintf(why, RUNNER_ERROR_MAX, "position %llu: %.250s", (unsigned long long)building->failure.position,
             building->failure.error);
    return true;
}

cairn_err
runner_rebuild_wait(struct runner *runner, uint32_t timeout_ms, uint64_t *ret_position, cairn_error *error)
{
    int64_t until = os_monotonic_us(os_real()) + (int64_t)timeout_ms * 1000;
    char why[RUNNER_ERROR_MAX];
    for (;;) {
        uint32_t seen = atomic_load(&runner->moved);
        pthread_mutex_lock(&runner->lock);
        struct worker *building = runner->building;
        bool closing = runner->closing, stood = stands(building, why);
        *ret_position = building != NULL ? building->position : atomic_load(&runner->position);
        pthread_mutex_unlock(&runner->lock);
        if (closing)
            return error_set(error, CAIRN_E_CLOSED, "the projection is stopping");
        if (building == NULL)
            return CAIRN_OK;
        if (stood) {
            pthread_mutex_lock(&runner->actions);
            bool given_up = give_up(runner, building);
            pthread_mutex_unlock(&runner->actions);
            if (!given_up)
                continue;
            return error_set(error, CAIRN_E_SCRIPT, "the rebuild was given up at %s", why);
        }
        int64_t left = until - os_monotonic_us(os_real());
        if (left <= 0)
            return error_set(error, CAIRN_E_TIMEOUT, "the rebuild is at position %llu",
                             (unsigned long long)*ret_position);
        runner_wait_moved(runner, seen, left);
    }
}

/* Called by a worker that is built beside and has caught up. True: it serves now. */
bool
runner_take_over(struct worker *worker, cairn_error *error)
{
    struct runner *runner = worker->runner;
    pthread_mutex_lock(&runner->lock);
    struct worker *old = runner->serving;
    if (runner->closing || worker->gone || (old != NULL && old->position > worker->next)) {
        pthread_mutex_unlock(&runner->lock);
        return false;
    }
    runner->swapping = true; /* the old one begins nothing from here on */
    uint64_t from = runner->generation;
    while (runner->serving != NULL && runner->serving->working) {
        uint32_t seen = atomic_load(&runner->moved);
        pthread_mutex_unlock(&runner->lock);
        runner_wait_moved(runner, seen, 10000);
        pthread_mutex_lock(&runner->lock);
    }
    old = runner->serving;
    if (old != NULL && old->position > worker->next) { /* what it has shown since must not vanish: catch up again */
        runner->swapping = false;
        pthread_mutex_unlock(&runner->lock);
        runner_moved(runner);
        return false;
    }
    pthread_mutex_unlock(&runner->lock);

    cairn_err err = files_set_current(runner, worker->generation, error);

    pthread_mutex_lock(&runner->lock);
    runner->swapping = false;
    struct runner_model *old_model = NULL;
    if (err == CAIRN_OK) {
        old_model = runner->model;
        runner->model = worker->model;
        (void)model_hold(worker->model);
        runner->serving = worker;
        runner->building = NULL;
        worker->beside = false;
        worker->on_error = runner->options.on_error;
        runner->generation = worker->generation;
        memcpy(runner->model_digest, runner->digest, sizeof runner->model_digest);
        atomic_store(&runner->position, worker->next);
        copies_take_over(runner, from, worker->generation, worker->base);
        if (old != NULL)
            retire(runner, old);
    }
    pthread_mutex_unlock(&runner->lock);
    runner_moved(runner);
    os_wake(&runner->moved, INT32_MAX);
    if (err != CAIRN_OK)
        return false;
    runner_wake(runner);
    if (old_model != NULL) {
        atomic_store(&old_model->doomed, true);
        model_release(&old_model->model);
    }
    runner_say(runner, CAIRN_LOG_INFO, "rebuilt generation=%llu position=%llu", (unsigned long long)worker->generation,
               (unsigned long long)worker->next);
    return true;
}

/* Called by a worker whose file is damaged: it ends, what it served goes on being read, another is built. */
void
runner_damaged(struct worker *worker, const char *why)
{
    struct runner *runner = worker->runner;
    cairn_error error = {0};
    runner_say(runner, CAIRN_LOG_ERROR, "generation=%llu damaged, building another error=\"%s\"",
               (unsigned long long)worker->generation, why);
    pthread_mutex_lock(&runner->actions);
    pthread_mutex_lock(&runner->lock);
    bool here = !worker->gone && !runner->closing;
    if (here) {
        if (runner->serving == worker)
            runner->serving = NULL;
        if (runner->building == worker) {
            runner->building = NULL;
            atomic_store(&worker->model->doomed, true);
        }
        retire(runner, worker);
    }
    bool building = runner->building != NULL;
    unsigned damages = runner->damages < 9 ? runner->damages++ : 9;
    pthread_mutex_unlock(&runner->lock);
    if (here && !building
        && build_beside(runner, 0, runner->options.on_error, (uint64_t)DAMAGE_DELAY_US << damages, worker,
                        &error) != CAIRN_OK)
        runner_say(runner, CAIRN_LOG_ERROR, "rebuild error=\"%s\"", error.detail);
    pthread_mutex_unlock(&runner->actions);
    runner_moved(runner);
}

/* ---- starting ----------------------------------------------------------------------------------------------- */

static void
make_digest(struct runner *runner)
{
    uint8_t salt[8], hash[32];
    cairn_str pieces[] = {projection_digest(runner->projection), {(const char *)salt, sizeof salt}};
    memcpy(runner->digest, pieces[0].data, pieces[0].size);
    if (runner->options.salt == 0)
        return;
    store64(salt, runner->options.salt);
    sha256_pieces(pieces, 2, hash);
    format_hex(hash, sizeof hash, runner->digest);
}

/* Generations of forgotten projections are not used again in this process: somebody may still hold a file of that name, and
 * letting go of it deletes it. */
static atomic_uint_fast64_t generation_floor;

static cairn_err
runner_new(const struct runner_options *options, struct runner **ret, cairn_error *error)
{
    cairn_str name = projection_name(options->projection);
    size_t folder = strlen(options->folder);
    struct runner *runner = calloc(1, sizeof *runner);
    if (runner == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a projection");
    if (folder == 0 || folder >= sizeof runner->folder || name.size >= sizeof runner->name) {
        free(runner);
        return error_set(error, CAIRN_E_LIMIT, "the folder's path is too long");
    }
    runner->options = *options;
    runner->projection = options->projection;
    memcpy(runner->folder, options->folder, folder + 1);
    memcpy(runner->name, name.data, name.size);
    if (runner->options.checkpoint_every == 0)
        runner->options.checkpoint_every = RUNNER_CHECKPOINT_EVERY;
    make_digest(runner);
    pthread_mutex_init(&runner->lock, NULL);
    pthread_mutex_init(&runner->actions, NULL);
    atomic_store(&runner->end, cairn_end(options->store));
    *ret = runner;
    return CAIRN_OK;
}

struct generations {
    const struct runner *runner;
    uint64_t highest;
};

static void
see_generation(void *context, const char *file)
{
    struct generations *seen = context;
    size_t size = strlen(seen->runner->name);
    unsigned long long generation;
    char ending[4] = "";
    if (strncmp(file, seen->runner->name, size) == 0 && sscanf(file + size, "-%llu.%3s", &generation, ending) == 2
        && strcmp(ending, "db") == 0 && generation > seen->highest)
        seen->highest = generation;
}

/* The digest of a file that this projection did not make, for the status; empty when it cannot be read. */
static bool
serves_old(struct runner *runner, const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *read = NULL;
    bool good = false;
    if (sql_open(path, SQL_MODEL, &db, NULL) != CAIRN_OK)
        return false;
    error_ignore(sql_exec(db, "PRAGMA wal_checkpoint(TRUNCATE);", NULL));
    if (sqlite3_prepare_v2(db, "SELECT digest, position FROM _cairn_checkpoint WHERE id = 1", -1, &read, NULL)
            == SQLITE_OK && sqlite3_step(read) == SQLITE_ROW && sqlite3_column_text(read, 0) != NULL) {
        snprintf(runner->model_digest, sizeof runner->model_digest, "%s", (const char *)sqlite3_column_text(read, 0));
        atomic_store(&runner->position, (uint64_t)sqlite3_column_int64(read, 1));
        good = true;
    }
    sqlite3_finalize(read);
    sql_close(db);
    return good;
}

/* The file that serves: go on with it, or leave it to readers when another digest made it. */
static cairn_err
open_current(struct runner *runner, cairn_error *error)
{
    char path[RUNNER_PATH_MAX];
    struct os_file *file = NULL;
    if (!files_path(runner, path, runner->generation, ".db"))
        return error_set(error, CAIRN_E_LIMIT, "the folder's path is too long");
    if (os_open(os_real(), path, OS_READ, &file) < 0) {
        runner_say(runner, CAIRN_LOG_WARN, "generation=%llu is missing", (unsigned long long)runner->generation);
        return CAIRN_OK;
    }
    (void)os_close(os_real(), file);
    cairn_error why = {0};
    cairn_err err = worker_open(runner, runner->generation, &runner->serving, &why);
    if (err == CAIRN_E_VERSION && serves_old(runner, path)) {
        runner->model = model_new(path, 0);
        return runner->model != NULL ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for a projection");
    }
    if (err == CAIRN_OK) {
        runner->model = runner->serving->model;
        (void)model_hold(runner->model);
        memcpy(runner->model_digest, runner->digest, sizeof runner->model_digest);
        atomic_store(&runner->position, runner->serving->position);
        return CAIRN_OK;
    }
    if (err == CAIRN_E_NOMEM || err == CAIRN_E_NOSPACE || err == CAIRN_E_READONLY)
        return error_set(error, err, "%s", why.detail);
    runner_say(runner, CAIRN_LOG_ERROR, "generation=%llu cannot be used, building another error=\"%s\"",
               (unsigned long long)runner->generation, why.detail);
    return CAIRN_OK;
}

/* Nothing serves: a new generation does, from the first event on. */
static cairn_err
begin_first(struct runner *runner, cairn_error *error)
{
    cairn_err err = make_generation(runner, 0, &runner->serving, error);
    if (err != CAIRN_OK)
        return err;
    runner->generation = runner->serving->generation;
    runner->model = runner->serving->model;
    (void)model_hold(runner->model);
    memcpy(runner->model_digest, runner->digest, sizeof runner->model_digest);
    return files_set_current(runner, runner->generation, error);
}

/* A rebuild that the last stop or crash interrupted, where it can go on. */
static struct worker *
open_unfinished(struct runner *runner, uint64_t highest)
{
    struct worker *worker = NULL;
    char path[RUNNER_PATH_MAX];
    if (runner->model == NULL || highest <= runner->generation)
        return NULL;
    if (worker_open(runner, highest, &worker, NULL) == CAIRN_OK)
        worker->beside = true;
    else if (files_path(runner, path, highest, ".db"))
        files_remove(path);
    return worker;
}

cairn_err
runner_start(const struct runner_options *options, struct runner **ret, cairn_error *error)
{
    struct runner *runner = NULL;
    cairn_err err = runner_new(options, &runner, error);
    if (err != CAIRN_OK)
        return err;
    int rc = os_mkdir(os_real(), runner->folder);
    if (rc < 0 && rc != -EEXIST)
        err = error_set_errno(error, -rc, "making %s", runner->folder);
    struct generations seen = {.runner = runner};
    if (err == CAIRN_OK)
        (void)os_list(os_real(), runner->folder, see_generation, &seen);
    bool current = err == CAIRN_OK && files_current(runner, &runner->generation, error);
    runner->generation_next = (seen.highest > runner->generation ? seen.highest : runner->generation) + 1;
    if (runner->generation_next < atomic_load(&generation_floor))
        runner->generation_next = atomic_load(&generation_floor);
    if (current)
        err = open_current(runner, error);
    if (err == CAIRN_OK)
        runner->building = open_unfinished(runner, seen.highest);
    if (err == CAIRN_OK && runner->model == NULL)
        err = begin_first(runner, error);
    if (err == CAIRN_OK)
        err = files_clean(runner, runner->generation, runner->building != NULL ? runner->building->generation : 0,
                          error);
    if (err == CAIRN_OK) {
        copies_find(runner);
        if (runner->serving != NULL)
            err = worker_begin(runner->serving, error);
    }
    if (err == CAIRN_OK && runner->building != NULL)
        err = worker_begin(runner->building, error);
    else if (err == CAIRN_OK && runner->serving == NULL)
        err = runner_rebuild(runner, 0, options->on_error, error);
    if (err != CAIRN_OK) {
        runner_stop(runner, false);
        runner_free(runner);
        return err;
    }
    *ret = runner;
    return CAIRN_OK;
}

static void
stop_all(struct runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    runner->closing = true;
    pthread_mutex_unlock(&runner->lock);
    runner_moved(runner);
    os_wake(&runner->moved, INT32_MAX);
    /* A worker may be about to change places: its action ends before, or sees that we are closing. */
    pthread_mutex_lock(&runner->actions);
    pthread_mutex_unlock(&runner->actions);
    copies_stop(runner);
    for (;;) {
        pthread_mutex_lock(&runner->lock);
        struct worker **link = runner->building != NULL ? &runner->building
                               : runner->serving != NULL ? &runner->serving : &runner->ended;
        struct worker *worker = *link;
        if (worker != NULL)
            atomic_store(&worker->quit, true);
        pthread_mutex_unlock(&runner->lock);
        if (worker == NULL)
            return;
        /* It may take the other's place meanwhile, so it is taken out of its own only when it has ended. */
        if (worker->started) {
            runner_wake(runner);
            pthread_join(worker->thread, NULL);
            worker->started = false;
        }
        pthread_mutex_lock(&runner->lock);
        if (runner->building == worker)
            runner->building = NULL;
        if (runner->serving == worker)
            runner->serving = NULL;
        for (struct worker **at = &runner->ended; *at != NULL; at = &(*at)->next_ended)
            if (*at == worker) {
                *at = worker->next_ended;
                break;
            }
        pthread_mutex_unlock(&runner->lock);
        worker_free(worker);
    }
}

static void
forget_files(struct runner *runner)
{
    char path[RUNNER_PATH_MAX];
    uint64_t floor = atomic_load(&generation_floor);
    while (floor < runner->generation_next
           && !atomic_compare_exchange_weak(&generation_floor, &floor, runner->generation_next))
        ;
    snprintf(path, sizeof path, "%s/%s.current", runner->folder, runner->name);
    (void)os_unlink(os_real(), path);
    if (runner->model != NULL) /* it may still be held */
        atomic_store(&runner->model->doomed, true);
    error_ignore(files_clean(runner, UINT64_MAX, runner->generation, NULL));
}

void
runner_stop(struct runner *runner, bool forget)
{
    stop_all(runner);
    if (forget)
        forget_files(runner);
}

void
runner_free(struct runner *runner)
{
    if (runner == NULL)
        return;
    if (runner->model != NULL)
        model_release(&runner->model->model);
    pthread_mutex_destroy(&runner->lock);
    pthread_mutex_destroy(&runner->actions);
    free(runner);
}

/* ---- actions ------------------------------------------------------------------------------------------------- */

/* Lock held: give the worker a request. */
static cairn_err
request(struct worker *worker, enum request what, cairn_error *error)
{
    if (worker->request != REQUEST_NONE)
        return error_set(error, CAIRN_E_BUSY, "another action is under way; try again");
    worker->request = what;
    return CAIRN_OK;
}

/* Lock held: who stands at a failure, and may be told what to do about it. */
static struct worker *
stopped_worker(struct runner *runner)
{
    if (runner->serving != NULL && runner->serving->failure.there)
        return runner->serving;
    return runner->building != NULL && runner->building->failure.there ? runner->building : NULL;
}

static cairn_err
ask_worker(struct runner *runner, cairn_projection_action action, struct worker **ret, cairn_error *error)
{
    struct worker *worker = runner->building != NULL ? runner->building : runner->serving;
    if (action == CAIRN_PROJECTION_RESUME && worker != NULL && !worker->paused && runner->serving != NULL)
        worker = runner->serving;
    if (runner->closing)
        return error_set(error, CAIRN_E_CLOSED, "the projection is stopping");
    if (worker == NULL)
        return error_set(error, CAIRN_E_BUSY, "nothing is at work on it now; try again");
    *ret = worker;
    switch (action) {
    case CAIRN_PROJECTION_PAUSE:
    case CAIRN_PROJECTION_RESUME: {
        cairn_err err = request(worker, REQUEST_SAVE, error);
        if (err == CAIRN_OK)
            worker->paused = action == CAIRN_PROJECTION_PAUSE;
        return err;
    }
    case CAIRN_PROJECTION_REPLAY_PARKED:
        if (runner->serving == NULL || runner->serving->faults_parked == 0)
            return error_set(error, CAIRN_E_INVALID, "no event is parked");
        *ret = runner->serving;
        return request(*ret, REQUEST_REPLAY, error);
    default:
        if ((*ret = worker = stopped_worker(runner)) == NULL)
            return error_set(error, CAIRN_E_INVALID, "it has not stopped at an event");
        if (action == CAIRN_PROJECTION_RETRY)
            return request(worker, REQUEST_RETRY, error);
        if (worker->failure.transient)
            return error_set(error, CAIRN_E_INVALID, "the event is not at fault: %s", worker->failure.error);
        return request(worker, action == CAIRN_PROJECTION_SKIP ? REQUEST_SKIP : REQUEST_PARK, error);
    }
}

/* Lock held. An answer about an event that failed has taken effect when that event is behind, or has failed again. */
static bool
still_asked(struct runner *runner, const struct worker *worker, uint64_t failing)
{
    bool trying = worker->failure.there && worker->failure.position == failing && !worker->stopped && !worker->paused;
    return !runner->closing && (runner->serving == worker || runner->building == worker)
        && (worker->request != REQUEST_NONE || trying);
}

cairn_err
runner_do(struct runner *runner, cairn_projection_action action, cairn_error *error)
{
    if (action == CAIRN_PROJECTION_REBUILD)
        return runner_rebuild(runner, 0, runner->options.on_error, error);
    struct worker *worker = NULL;
    pthread_mutex_lock(&runner->lock);
    cairn_err err = ask_worker(runner, action, &worker, error);
    bool about_event = action == CAIRN_PROJECTION_RETRY || action == CAIRN_PROJECTION_SKIP || action == CAIRN_PROJECTION_PARK;
    uint64_t failing = err == CAIRN_OK && about_event ? worker->failure.position : UINT64_MAX;
    pthread_mutex_unlock(&runner->lock);
    if (err != CAIRN_OK)
        return err;
    runner_wake(runner);
    if (action == CAIRN_PROJECTION_REPLAY_PARKED)
        return CAIRN_OK;
    int64_t until = os_monotonic_us(os_real()) + REQUEST_WAIT_MS * INT64_C(1000);
    for (;;) {
        uint32_t seen = atomic_load(&runner->moved);
        pthread_mutex_lock(&runner->lock);
        bool waiting = still_asked(runner, worker, failing);
        pthread_mutex_unlock(&runner->lock);
        int64_t left = until - os_monotonic_us(os_real());
        if (!waiting || left <= 0)
            return CAIRN_OK; /* accepted; a long batch ends before it takes effect */
        runner_wait_moved(runner, seen, left);
    }
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

/* Lock held: it will not get there by itself. */
static cairn_err
cannot_reach(const struct runner *runner, uint64_t position, cairn_error *error)
{
    const struct worker *worker = runner->serving;
    if (runner->closing)
        return error_set(error, CAIRN_E_CLOSED, "the projection is stopping");
    if (worker == NULL && runner->building != NULL && runner->building->stopped
        && runner->building->request == REQUEST_NONE) /* what serves is outdated, and its rebuild stands */
        return error_set(error, CAIRN_E_SCRIPT, "projection %s is being built anew and has stopped at position %llu: %.200s",
                         runner->name, (unsigned long long)runner->building->failure.position,
                         runner->building->failure.error);
    if (worker != NULL && worker->stopped && worker->request == REQUEST_NONE && worker->failure.position < position)
        return error_set(error, CAIRN_E_SCRIPT, "projection %s has stopped at position %llu: %.200s", runner->name,
                         (unsigned long long)worker->failure.position, worker->failure.error);
    return CAIRN_OK;
}

cairn_err
runner_wait(struct runner *runner, uint64_t position, uint32_t timeout_ms, cairn_error *error)
{
    if (runner_position(runner) >= position)
        return CAIRN_OK;
    int64_t until = os_monotonic_us(os_real()) + (int64_t)timeout_ms * 1000;
    atomic_fetch_add(&runner->waiting, 1);
    cairn_err err = CAIRN_OK;
    for (;;) {
        uint32_t seen = atomic_load(&runner->moved);
        if (runner_position(runner) >= position)
            break;
        pthread_mutex_lock(&runner->lock);
        err = cannot_reach(runner, position, error);
        pthread_mutex_unlock(&runner->lock);
        int64_t left = until - os_monotonic_us(os_real());
        if (err == CAIRN_OK && left <= 0)
            err = error_set(error, CAIRN_E_TIMEOUT, "projection %s is at position %llu, before %llu", runner->name,
                            (unsigned long long)runner_position(runner), (unsigned long long)position);
        if (err != CAIRN_OK)
            break;
        os_wait(&runner->moved, seen, (uint64_t)left);
    }
    atomic_fetch_sub(&runner->waiting, 1);
    return err;
}

/* Kept copies of a read model, and read models as they were.
 *
 * Every checkpoint_every events a copy is made, page by page from one snapshot (not by VACUUM, which may change rowids).
 * At most four stay, spread over the log: of any five, the one goes whose neighbours are nearest to each other. Copying
 * takes at most a tenth of the time. A model as of a position is a copy's copy with the events between applied.
 *
 * One thread of low priority does all of it, started when first needed. It also moves WALs into their files, so that no
 * commit waits for a sync. */
#include "runner_int.h"

#include <base/error.h>
#include <os/os.h>
#include <os/thread.h>
#include <os/wait.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGES_AT_ONCE 2048
#define AS_OF_BATCH 10000

static bool
copy_path(const struct runner *runner, const struct copy *copy, const char *suffix, char to[RUNNER_PATH_MAX])
{
    char ending[64];
    snprintf(ending, sizeof ending, "@%llu.copy%s", (unsigned long long)copy->position, suffix);
    return files_path(runner, to, copy->generation, ending);
}

static void *copies_main(void *context);

/* Lock held. */
static bool
wake_thread(struct runner *runner)
{
    struct copies *copies = &runner->copies;
    if (!copies->started && !runner->closing)
        copies->started = os_thread_start(&copies->thread, "cairn-copies", copies_main, runner) == 0;
    atomic_fetch_add(&copies->wake, 1);
    os_wake(&copies->wake, 1);
    return copies->started;
}

/* ---- the list (lock held) --------------------------------------------------------------------------------- */

static void
drop_copy(struct runner *runner, size_t index)
{
    struct copies *copies = &runner->copies;
    char path[RUNNER_PATH_MAX];
    if (copy_path(runner, &copies->kept[index], "", path))
        (void)os_unlink(os_real(), path);
    memmove(&copies->kept[index], &copies->kept[index + 1],
            (copies->kept_count - index - 1) * sizeof *copies->kept);
    copies->kept_count--;
}

static void
thin(struct runner *runner)
{
    struct copies *copies = &runner->copies;
    if (copies->kept_count <= RUNNER_COPIES_MAX)
        return;
    size_t best = 0;
    uint64_t nearest = UINT64_MAX;
    for (size_t i = 0; i + 1 < copies->kept_count; i++) { /* the newest always stays */
        uint64_t before = i > 0 ? copies->kept[i - 1].position : 0;
        uint64_t between = copies->kept[i + 1].position - before;
        if (between < nearest) {
            nearest = between;
            best = i;
        }
    }
    drop_copy(runner, best);
}

static void
insert_copy(struct runner *runner, struct copy copy)
{
    struct copies *copies = &runner->copies;
    size_t at = 0;
    while (at < copies->kept_count && copies->kept[at].position < copy.position)
        at++;
    if (at < copies->kept_count && copies->kept[at].position == copy.position)
        return;
    memmove(&copies->kept[at + 1], &copies->kept[at], (copies->kept_count - at) * sizeof *copies->kept);
    copies->kept[at] = copy;
    copies->kept_count++;
    thin(runner);
}

static void
find_one(void *context, const char *file)
{
    struct runner *runner = context;
    char path[RUNNER_PATH_MAX];
    size_t size = strlen(runner->name);
    unsigned long long generation, position;
    int used = 0;
    if (strncmp(file, runner->name, size) != 0
        || sscanf(file + size, "-%llu@%llu.copy%n", &generation, &position, &used) != 2 || used == 0
        || file[size + (size_t)used] != '\0')
        return;
    struct copy copy = {position, generation};
    if (generation == runner->generation && copy_path(runner, &copy, "", path))
        insert_copy(runner, copy);
}

void
copies_find(struct runner *runner)
{
    (void)os_list(os_real(), runner->folder, find_one, runner);
}

/* Another generation serves: copies of the old one up to where it began are its own too, the others go. */
void
copies_take_over(struct runner *runner, uint64_t from, uint64_t to, uint64_t base)
{
    struct copies *copies = &runner->copies;
    for (size_t i = copies->kept_count; i > 0; i--) {
        struct copy *copy = &copies->kept[i - 1], moved = {copy->position, to};
        char old_path[RUNNER_PATH_MAX], new_path[RUNNER_PATH_MAX];
        if (copy->generation != from || copy->position > base || !copy_path(runner, copy, "", old_path)
            || !copy_path(runner, &moved, "", new_path) || os_rename(os_real(), old_path, new_path) < 0)
            drop_copy(runner, i - 1);
        else
            *copy = moved;
    }
    for (size_t i = 0; i < RUNNER_AS_OF_MAX; i++) { /* made from what is not trusted any more */
        struct as_of *as_of = &copies->as_of[i];
        if (as_of->model != NULL && as_of->end > base) {
            model_release(&as_of->model->model);
            *as_of = (struct as_of){0};
        }
    }
}

bool
copies_nearest(struct runner *runner, uint64_t position, struct copy *ret, char path[RUNNER_PATH_MAX])
{
    bool found = false;
    pthread_mutex_lock(&runner->lock);
    for (size_t i = 0; i < runner->copies.kept_count; i++)
        if (runner->copies.kept[i].position <= position) {
            *ret = runner->copies.kept[i];
            found = true;
        }
    found = found && copy_path(runner, ret, "", path);
    pthread_mutex_unlock(&runner->lock);
    return found;
}

/* ---- making a copy ------------------------------------------------------------------------------------------ */

static cairn_err
copy_pages(struct runner *runner, sqlite3 *from, sqlite3 *to, cairn_error *error)
{
    /* The transaction keeps the snapshot between steps. */
    cairn_err err = sql_exec(from, "BEGIN; SELECT position FROM _cairn_checkpoint;", error);
    if (err == CAIRN_OK)
        err = sql_exec(to, "PRAGMA synchronous = OFF;", error);
    if (err != CAIRN_OK)
        return err;
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (backup == NULL)
        return sql_failed(to, sqlite3_errcode(to), "copying the read model", error);
    int rc;
    while ((rc = sqlite3_backup_step(backup, PAGES_AT_ONCE)) == SQLITE_OK)
        if (atomic_load(&runner->copies.quit)) {
            (void)sqlite3_backup_finish(backup);
            return error_set(error, CAIRN_E_CLOSED, "stopping");
        }
    (void)sqlite3_backup_finish(backup);
    if (rc != SQLITE_DONE)
        return sql_failed(to, rc, "copying the read model", error);
    return sql_exec(to, "PRAGMA journal_mode = DELETE;", error);
}

static cairn_err
position_in(sqlite3 *db, uint64_t *ret, cairn_error *error)
{
    sqlite3_stmt *read = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT position FROM _cairn_checkpoint WHERE id = 1", -1, &read, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(read)) == SQLITE_ROW)
        *ret = (uint64_t)sqlite3_column_int64(read, 0);
    sqlite3_finalize(read);
    return rc == SQLITE_ROW ? CAIRN_OK : sql_failed(db, rc, "copying the read model", error);
}

static cairn_err
make_copy(struct runner *runner, cairn_error *error)
{
    char tmp[RUNNER_PATH_MAX], path[RUNNER_PATH_MAX];
    sqlite3 *from = NULL, *to = NULL;
    pthread_mutex_lock(&runner->lock);
    struct copy copy = {0, runner->generation};
    struct model *model = runner->serving != NULL ? model_hold(runner->model) : NULL;
    pthread_mutex_unlock(&runner->lock);
    if (model == NULL)
        return CAIRN_OK;
    cairn_err err = copy_path(runner, &copy, ".tmp", tmp) ? CAIRN_OK
                                                          : error_set(error, CAIRN_E_LIMIT, "the path is too long");
    if (err == CAIRN_OK) {
        files_remove(tmp);
        err = sql_open(model->path, SQL_READ, &from, error);
    }
    if (err == CAIRN_OK)
        err = sql_open(tmp, SQL_MODEL, &to, error);
    if (err == CAIRN_OK)
        err = copy_pages(runner, from, to, error);
    if (err == CAIRN_OK)
        err = position_in(to, &copy.position, error);
    sql_close(to);
    sql_close(from);
    if (err == CAIRN_OK)
        err = files_sync(tmp, error);
    if (err == CAIRN_OK) {
        pthread_mutex_lock(&runner->lock);
        bool still = runner->generation == copy.generation;
        if (still && copy_path(runner, &copy, "", path) && os_rename(os_real(), tmp, path) >= 0)
            insert_copy(runner, copy);
        pthread_mutex_unlock(&runner->lock);
    }
    files_remove(tmp);
    model_release(model);
    return err;
}

/* ---- moving a WAL into its file ---------------------------------------------------------------------------------- */

/* On a connection of its own, so that the worker goes on committing meanwhile. */
static void
sync_model(struct runner *runner, struct model *model)
{
    sqlite3 *db = NULL;
    cairn_error error = {0};
    cairn_err err = sql_open(model->path, SQL_MODEL, &db, &error);
    int rc = err == CAIRN_OK ? sqlite3_exec(db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL) : SQLITE_OK;
    if (err == CAIRN_OK && rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY)
        err = sql_failed(db, rc, "moving the WAL", &error);
    if (err != CAIRN_OK)
        runner_say(runner, CAIRN_LOG_WARN, "error=\"%s\"", error.detail);
    sql_close(db);
}

void
copies_want_sync(struct runner *runner, struct runner_model *model)
{
    pthread_mutex_lock(&runner->lock);
    if (runner->copies.to_sync == NULL && !runner->copies.syncing && !runner->closing) {
        runner->copies.to_sync = model_hold(model);
        (void)wake_thread(runner);
    }
    pthread_mutex_unlock(&runner->lock);
}

/* ---- as of ----------------------------------------------------------------------------------------------------- */

/* An event that cannot be applied was left out of the model that serves too, when that is past it. */
static bool
left_out(struct runner *runner, cairn_err err, const cairn_recorded *event)
{
    return !error_is_transient(err) && err != CAIRN_E_CORRUPT
        && event->position < atomic_load(&runner->position);
}

struct build {
    struct runner *runner;
    struct applier applier;
    struct feed feed;
    uint64_t next, alone;
    unsigned count;
};

/* Apply the events up to the end, or to the first that fails among others: then again up to that one. */
static cairn_err
build_batch(struct build *build, cairn_error *error)
{
    cairn_recorded event;
    cairn_err upcast = CAIRN_OK;
    cairn_err err = feed_seek(&build->feed, build->next, error);
    build->count = 0;
    while (err == CAIRN_OK && (err = feed_next(&build->feed, &event, &upcast, error)) == CAIRN_OK) {
        if (event.position == build->alone && build->count > 0) {
            build->next = event.position;
            build->applier.checkpoint.position = event.position;
            return applier_commit(&build->applier, error);
        }
        if (build->count == 0 && (err = applier_begin(&build->applier, error)) != CAIRN_OK)
            return err;
        if (upcast == CAIRN_OK)
            upcast = applier_event(&build->applier, &build->feed, &event, error);
        if (upcast != CAIRN_OK) {
            applier_rollback(&build->applier);
            if (build->count > 0) {
                build->alone = event.position;
                return CAIRN_OK;
            }
            if (build->applier.interrupted || !left_out(build->runner, upcast, &event))
                return upcast;
            build->next = event.position + 1;
            return CAIRN_OK;
        }
        if (++build->count == AS_OF_BATCH || event.position == build->alone) {
            build->next = event.position + 1;
            build->applier.checkpoint.position = build->next;
            return applier_commit(&build->applier, error);
        }
    }
    if (err != CAIRN_E_END)
        return err;
    build->next = build->feed.end;
    build->applier.checkpoint.position = build->next;
    return applier_commit(&build->applier, error);
}

static cairn_err
build_as_of(struct runner *runner, uint64_t end, struct runner_model **ret, cairn_error *error)
{
    char path[RUNNER_PATH_MAX], from[RUNNER_PATH_MAX];
    struct copy copy;
    pthread_mutex_lock(&runner->lock);
    uint64_t serial = runner->copies.serial++;
    pthread_mutex_unlock(&runner->lock);
    snprintf(path, sizeof path, "%s/%s@%llu.asof", runner->folder, runner->name, (unsigned long long)serial);
    files_remove(path);
    struct build build = {.runner = runner, .alone = UINT64_MAX, .feed = {.runner = runner, .end = end, .stop = &runner->copies.quit}};
    cairn_err err = CAIRN_OK;
    if (copies_nearest(runner, end, &copy, from))
        err = files_copy(from, path, error);
    if (err == CAIRN_OK)
        err = applier_open(&build.applier, runner, path, true, &runner->copies.quit, error);
    if (err == CAIRN_OK) {
        build.next = build.applier.checkpoint.position;
        while (err == CAIRN_OK && build.next < end)
            err = atomic_load(&runner->copies.quit) ? error_set(error, CAIRN_E_CLOSED, "stopping")
                                                    : build_batch(&build, error);
        feed_close(&build.feed);
        applier_close(&build.applier);
        sql_time_set(0);
    }
    struct runner_model *model = err == CAIRN_OK ? model_new(path, end) : NULL;
    if (err == CAIRN_OK && model == NULL)
        err = error_set(error, CAIRN_E_NOMEM, "no memory for a read model");
    if (err != CAIRN_OK) {
        files_remove(path);
        return err;
    }
    atomic_store(&model->doomed, true);
    *ret = model;
    return CAIRN_OK;
}

/* ---- the thread ---------------------------------------------------------------------------------------------------- */

static void
do_as_of(struct runner *runner, struct as_of *as_of, uint64_t end)
{
    struct runner_model *model = NULL;
    cairn_error error = {0};
    cairn_err err = build_as_of(runner, end, &model, &error);
    pthread_mutex_lock(&runner->lock);
    as_of->wanted = false;
    as_of->model = model;
    as_of->err = err;
    snprintf(as_of->why, sizeof as_of->why, "%s", error.detail);
    pthread_mutex_unlock(&runner->lock);
    runner_moved(runner);
}

static void
do_copy(struct runner *runner)
{
    cairn_error error = {0};
    int64_t begun = os_monotonic_us(os_real());
    cairn_err err = make_copy(runner, &error);
    int64_t ended = os_monotonic_us(os_real());
    pthread_mutex_lock(&runner->lock);
    runner->copies.copy_wanted = false;
    runner->copies.copy_after_us = ended + 10 * (ended - begun);
    pthread_mutex_unlock(&runner->lock);
    if (err != CAIRN_OK && err != CAIRN_E_CLOSED)
        runner_say(runner, CAIRN_LOG_WARN, "no copy was kept error=\"%s\"", error.detail);
    runner_moved(runner);
}

static void *
copies_main(void *context)
{
    struct runner *runner = context;
    struct copies *copies = &runner->copies;
    os_lower_priority(); /* of the processor; what it writes, it writes as fast as others */
    while (!atomic_load(&copies->quit)) {
        uint32_t seen = atomic_load(&copies->wake);
        struct as_of *as_of = NULL;
        pthread_mutex_lock(&runner->lock);
        for (size_t i = 0; i < RUNNER_AS_OF_MAX; i++)
            if (copies->as_of[i].wanted && (as_of == NULL || copies->as_of[i].used < as_of->used))
                as_of = &copies->as_of[i];
        uint64_t end = as_of != NULL ? as_of->end : 0;
        bool copy = copies->copy_wanted;
        struct model *to_sync = copies->to_sync;
        copies->to_sync = NULL;
        copies->syncing = to_sync != NULL;
        pthread_mutex_unlock(&runner->lock);
        if (to_sync != NULL) {
            sync_model(runner, to_sync);
            model_release(to_sync);
            pthread_mutex_lock(&runner->lock);
            copies->syncing = false;
            pthread_mutex_unlock(&runner->lock);
        } else if (as_of != NULL)
            do_as_of(runner, as_of, end);
        else if (copy)
            do_copy(runner);
        else
            os_wait(&copies->wake, seen, UINT64_MAX);
    }
    return NULL;
}

void
copies_want(struct runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    if (os_monotonic_us(os_real()) >= runner->copies.copy_after_us && !runner->copies.copy_wanted) {
        runner->copies.copy_wanted = true;
        if (!wake_thread(runner))
            runner->copies.copy_wanted = false;
    }
    pthread_mutex_unlock(&runner->lock);
}

void
copies_stop(struct runner *runner)
{
    struct copies *copies = &runner->copies;
    atomic_store(&copies->quit, true);
    pthread_mutex_lock(&runner->lock);
    bool started = copies->started;
    pthread_mutex_unlock(&runner->lock);
    atomic_fetch_add(&copies->wake, 1);
    os_wake(&copies->wake, 1);
    if (started)
        pthread_join(copies->thread, NULL);
    model_release(copies->to_sync);
    copies->to_sync = NULL;
    for (size_t i = 0; i < RUNNER_AS_OF_MAX; i++)
        if (copies->as_of[i].model != NULL)
            model_release(&copies->as_of[i].model->model);
}

/* ---- asking --------------------------------------------------------------------------------------------------------- */

static struct as_of *
find_as_of(struct copies *copies, uint64_t end)
{
    for (size_t i = 0; i < RUNNER_AS_OF_MAX; i++) {
        struct as_of *as_of = &copies->as_of[i];
        if (as_of->used != 0 && as_of->end == end)
            return as_of;
    }
    return NULL;
}

/* A free place, or the one least recently used that is not being built. */
static struct as_of *
place_as_of(struct copies *copies)
{
    struct as_of *best = NULL;
    for (size_t i = 0; i < RUNNER_AS_OF_MAX; i++) {
        struct as_of *as_of = &copies->as_of[i];
        if (!as_of->wanted && (best == NULL || as_of->used < best->used))
            best = as_of;
    }
    if (best != NULL && best->model != NULL)
        model_release(&best->model->model);
    if (best != NULL)
        *best = (struct as_of){0};
    return best;
}

static cairn_err
ask_as_of(struct runner *runner, uint64_t end, struct model **ret, cairn_error *error)
{
    struct copies *copies = &runner->copies;
    struct as_of *as_of = find_as_of(copies, end);
    if (as_of != NULL && as_of->model != NULL) {
        as_of->used = ++copies->clock;
        *ret = model_hold(as_of->model);
        return CAIRN_OK;
    }
    if (as_of != NULL && !as_of->wanted) {
        cairn_err err = error_set(error, as_of->err, "%s", as_of->why);
        *as_of = (struct as_of){0};
        return err;
    }
    if (as_of != NULL)
        return CAIRN_E_TIMEOUT;
    if ((as_of = place_as_of(copies)) == NULL)
        return error_set(error, CAIRN_E_BUSY, "%d read models of the past are being built already",
                         RUNNER_AS_OF_MAX);
    *as_of = (struct as_of){.end = end, .used = ++copies->clock, .wanted = true};
    if (wake_thread(runner))
        return CAIRN_E_TIMEOUT;
    *as_of = (struct as_of){0};
    return error_set(error, CAIRN_E_NOMEM, "no thread to build a read model of the past");
}

cairn_err
runner_hold_as_of(struct runner *runner, uint64_t end, uint32_t timeout_ms, struct model **ret, cairn_error *error)
{
    uint64_t log_end = cairn_end(runner->options.store);
    int64_t until = os_monotonic_us(os_real()) + (int64_t)timeout_ms * 1000;
    end = end < log_end ? end : log_end;
    for (;;) {
        uint32_t seen = atomic_load(&runner->moved);
        pthread_mutex_lock(&runner->lock);
        cairn_err err = runner->closing ? error_set(error, CAIRN_E_CLOSED, "the projection is stopping")
                                        : ask_as_of(runner, end, ret, error);
        pthread_mutex_unlock(&runner->lock);
        if (err != CAIRN_E_TIMEOUT)
            return err;
        int64_t left = until - os_monotonic_us(os_real());
        if (left <= 0)
            return error_set(error, CAIRN_E_TIMEOUT, "the read model as of position %llu is being built; ask again",
                             (unsigned long long)end);
        runner_wait_moved(runner, seen, left);
    }
}

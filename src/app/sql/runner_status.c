/* What a projection says of itself. */
#include "runner_int.h"

#include <base/error.h>
#include <base/json.h>
#include <os/os.h>

enum { STATE_BUILDING, STATE_RUNNING, STATE_PAUSED, STATE_STOPPED };
static const char *const STATES[] = {"building", "running", "paused", "stopped"};

/* Lock held. */
static int
state_of(const struct worker *worker)
{
    if (worker == NULL)
        return STATE_BUILDING;
    return worker->stopped ? STATE_STOPPED : worker->paused ? STATE_PAUSED
           : worker->complete && !worker->beside ? STATE_RUNNING : STATE_BUILDING;
}

/* Lock held: who brings the read model forward. What serves an outdated one does not: its rebuild does, or nobody. */
static const struct worker *
advancing(const struct runner *runner)
{
    return runner->serving != NULL ? runner->serving : runner->building;
}

static double
lag_of(const struct runner *runner, const struct worker *worker, uint64_t end)
{
    (void)runner;
    if (worker == NULL || worker->position >= end)
        return 0;
    int64_t time_us = worker->stopped && worker->failure.there ? worker->failure.time_us : worker->last_time_us;
    int64_t age = time_us > 0 ? os_now_us(os_real()) - time_us : 0;
    return age > 0 ? (double)age / 1e6 : 0;
}

static void
put_failure(struct buf *to, const struct worker *worker)
{
    json_put_name(to, "failure");
    if (worker == NULL || !worker->failure.there) {
        buf_put_str(to, CAIRN_STR("null"));
        return;
    }
    const struct failure *failure = &worker->failure;
    buf_put_char(to, '{');
    json_put_u64_member(to, "position", failure->position);
    json_put_text_member(to, "stream", cairn_cstr(failure->stream));
    json_put_text_member(to, "type", cairn_cstr(failure->type));
    json_put_text_member(to, "error", cairn_cstr(failure->error));
    json_put_u64_member(to, "tries", failure->tries);
    json_put_name(to, "retrying");
    buf_put_str(to, failure->transient && !worker->stopped ? CAIRN_STR("true") : CAIRN_STR("false"));
    buf_put_char(to, '}');
}

static void
put_progress(struct buf *to, const struct worker *worker, uint64_t position, uint64_t end)
{
    bool working = worker != NULL && !worker->paused && !worker->stopped;
    double rate = working ? worker->rate : 0;
    json_put_u64_member(to, "position", position);
    json_put_u64_member(to, "lag", end > position ? end - position : 0);
    json_put_name(to, "events_per_s");
    json_put_double(to, rate);
    json_put_name(to, "eta_s");
    if (end <= position)
        json_put_u64(to, 0);
    else if (rate >= 1)
        json_put_double(to, (double)(end - position) / rate);
    else
        buf_put_str(to, CAIRN_STR("null"));
}

static void
put_rebuild(struct buf *to, const struct worker *worker, uint64_t end)
{
    json_put_name(to, "rebuild");
    if (worker == NULL) {
        buf_put_str(to, CAIRN_STR("null"));
        return;
    }
    buf_put_char(to, '{');
    json_put_u64_member(to, "generation", worker->generation);
    json_put_text_member(to, "state", cairn_cstr(STATES[state_of(worker)]));
    json_put_u64_member(to, "from", worker->base);
    put_progress(to, worker, worker->position, end);
    put_failure(to, worker);
    buf_put_char(to, '}');
}

void
runner_status(struct runner *runner, struct buf *to)
{
    uint64_t end = cairn_end(runner->options.store);
    pthread_mutex_lock(&runner->lock);
    const struct worker *worker = advancing(runner);
    buf_put_char(to, '{');
    json_put_text_member(to, "name", cairn_cstr(runner->name));
    json_put_text_member(to, "state", cairn_cstr(STATES[state_of(worker)]));
    json_put_u64_member(to, "end", end);
    put_progress(to, runner->serving, atomic_load(&runner->position), end);
    json_put_name(to, "lag_s");
    json_put_double(to, lag_of(runner, worker, end));
    put_rebuild(to, runner->building, end);
    put_failure(to, worker);
    json_put_u64_member(to, "parked", worker != NULL ? worker->faults_parked : 0);
    json_put_u64_member(to, "skipped", worker != NULL ? worker->faults_skipped : 0);
    json_put_u64_member(to, "dead_letters", worker != NULL ? worker->faults_dead : 0);
    if (worker != NULL && worker->dead_topic_size > 0)
        json_put_text_member(to, "dead_letter_topic", (cairn_str){worker->dead_topic, worker->dead_topic_size});
    json_put_u64_member(to, "applied", worker != NULL ? worker->applied : 0);
    json_put_u64_member(to, "generation", runner->generation);
    json_put_text_member(to, "digest", cairn_cstr(runner->model_digest));
    json_put_name(to, "outdated"); /* made by another version of the projection; does not advance */
    buf_put_str(to, strcmp(runner->model_digest, runner->digest) == 0 ? CAIRN_STR("false")
                                                                                  : CAIRN_STR("true"));
    json_put_name(to, "as_of_copies");
    buf_put_char(to, '[');
    for (size_t i = 0; i < runner->copies.kept_count; i++) {
        json_put_comma(to);
        json_put_u64(to, runner->copies.kept[i].position);
    }
    buf_put_str(to, CAIRN_STR("]}"));
    pthread_mutex_unlock(&runner->lock);
}

void
runner_numbers(struct runner *runner, struct runner_numbers *ret)
{
    uint64_t end = cairn_end(runner->options.store);
    pthread_mutex_lock(&runner->lock);
    const struct worker *worker = advancing(runner);
    *ret = (struct runner_numbers){.position = atomic_load(&runner->position), .end = end, .state = state_of(worker),
                                   .lag_s = lag_of(runner, worker, end)};
    if (worker != NULL) {
        ret->applied_total = worker->applied;
        ret->failed_total = worker->failed;
        ret->parked = worker->faults_parked;
        ret->skipped = worker->faults_skipped;
        ret->dead_letters = worker->faults_dead;
    }
    if (runner->building != NULL)
        ret->rebuild_position = runner->building->position;
    pthread_mutex_unlock(&runner->lock);
}

static cairn_err
put_faults(sqlite3 *db, const char *kind, const char *name, struct buf *to, cairn_error *error)
{
    sqlite3_stmt *read = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT position, stream, revision, type, error, time_us FROM _cairn_fault"
                                    " WHERE kind = ?1 ORDER BY position DESC LIMIT ?2", -1, &read, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(read, 1, kind, -1, SQLITE_STATIC);
        sqlite3_bind_int(read, 2, RUNNER_FAULTS_SHOWN);
    }
    json_put_name(to, name);
    buf_put_char(to, '[');
    while (rc == SQLITE_OK && (rc = sqlite3_step(read)) == SQLITE_ROW) {
        static const char *const NAMES[] = {"position", "stream", "revision", "type", "error"};
        json_put_comma(to);
        buf_put_char(to, '{');
        for (int i = 0; i < 5; i++) {
            json_put_name(to, NAMES[i]);
            sql_put_column(to, read, i);
        }
        json_put_name(to, "time");
        json_put_time(to, sqlite3_column_int64(read, 5));
        buf_put_char(to, '}');
        rc = SQLITE_OK;
    }
    buf_put_char(to, ']');
    sqlite3_finalize(read);
    return rc == SQLITE_DONE ? CAIRN_OK : sql_failed(db, rc, "the read model", error);
}

cairn_err
runner_faults(struct runner *runner, struct buf *to, cairn_error *error)
{
    struct model *model = runner_hold(runner);
    sqlite3 *db = NULL;
    size_t before = to->size;
    cairn_err err = sql_open(model->path, SQL_READ, &db, error);
    if (err == CAIRN_OK) {
        sqlite3_busy_timeout(db, 1000);
        buf_put_char(to, '{');
        err = put_faults(db, "parked", "parked_events", to, error);
    }
    if (err == CAIRN_OK)
        err = put_faults(db, "skipped", "skipped_events", to, error);
    if (err == CAIRN_OK)
        err = put_faults(db, "dead", "dead_letter_events", to, error);
    buf_put_char(to, '}');
    sql_close(db);
    model_release(model);
    if (err != CAIRN_OK)
        to->size = before;
    else if (to->failed)
        err = error_set(error, CAIRN_E_NOMEM, "no memory for the list of faults");
    return err;
}

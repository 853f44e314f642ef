/* app/sql/runner.h: a projection at work: its read model kept up with the log, on a thread of its own.
 *
 *   building ──caught up──► running ⇄ paused
 *                              │  an event cannot be applied
 *                              ▼
 *                           stopped (event and error shown) ── retry, skip, park ──► running
 *
 * Instead of stopping it may go on by itself, as on_error says: the event is skipped, parked, or (after some tries) a dead letter
 * (store/dead.h). That one is appended before the model goes past the event, under an id that is made of the projection and the
 * position: after a crash in between, or in a rebuild, it is there already.
 *
 * The checkpoint is written in the transaction that applies the events, so each takes effect exactly once. A rebuild works
 * on a file beside; when it has caught up it takes the old one's place in one step, and readers of the old one finish on
 * it. A projection never stalls in silence: status says state, positions, lag, rate, time left, failure.
 *
 * Files: <folder>/<name>-<generation>.db (SQLite, WAL). Which generation serves is in the file <folder>/<name>.current,
 * replaced by rename. What is neither current nor being built is deleted on start.
 *
 * Threads: calls from any thread. */
#ifndef APP_SQL_RUNNER_H
#define APP_SQL_RUNNER_H

#include <app/sql/projection.h>
#include <cairn/store.h>

#define RUNNER_BACKOFF_MAX_US INT64_C(60000000)

struct runner;

/* Bring an event to its newest form (schema/upcast.h); data may be replaced by bytes in the arena. NULL: as stored. */
typedef cairn_err (*event_upcast)(void *context, cairn_recorded *event, struct arena *arena, cairn_error *error);

struct runner_options {
    cairn_store *store;
    cairn_scope scope;
    const char *folder;
    struct projection *projection; /* borrowed until runner_free() */
    event_upcast upcast;
    void *upcast_context;
    uint64_t salt;                 /* part of the digest: changes when events read differently (upcasters) */
    cairn_on_error on_error;       /* what the app says should happen by itself */
    const char *app;               /* whose it is, for dead letters; borrowed until runner_free() */
    uint32_t retries;              /* before an event becomes a dead letter, */
    int64_t backoff_us;            /* the first after so long, then doubled up to RUNNER_BACKOFF_MAX_US */
    uint32_t checkpoint_every;     /* (250,000) events between copies kept for as-of and incremental replay; at most 4 copies */
    void (*log)(void *context, cairn_log_level level, cairn_str line);
    void *log_context;
};

/* Open or begin the read model and start the thread. When the file there was made by another digest, it goes on serving
 * (reads only, not advancing) while the new one is built beside it. */
CAIRN_MUST_CHECK cairn_err runner_start(const struct runner_options *options, struct runner **ret, cairn_error *error);
/* Stop at a checkpoint, let go of the files; once. Calls that wait, and later ones, return CAIRN_E_CLOSED; models that are
 * held stay. `forget`: delete the files (those held when they are let go). Returns when the thread has ended. */
void runner_stop(struct runner *runner, bool forget);
/* After runner_stop(), when nobody calls any more. NULL is fine. */
void runner_free(struct runner *runner);

/* The store has committed up to `end`: wakes the thread. Short, never blocks. */
void runner_committed(struct runner *runner, uint64_t end);

/* Begin building anew beside the model that serves: from nothing, or from the newest kept copy that has not gone beyond
 * `from`. An event that cannot be applied is treated as on_error says. CAIRN_E_EXISTS: a rebuild is under way. */
CAIRN_MUST_CHECK cairn_err runner_rebuild(struct runner *runner, uint64_t from, cairn_on_error on_error,
                                          cairn_error *error);
/* Wait until it has taken the other's place, at most timeout_ms. CAIRN_E_TIMEOUT: not yet, ret_position says how far.
 * CAIRN_E_SCRIPT: it stands at an event, the detail says why; it is given up. CAIRN_OK also when none is under way. */
CAIRN_MUST_CHECK cairn_err runner_rebuild_wait(struct runner *runner, uint32_t timeout_ms, uint64_t *ret_position,
                                               cairn_error *error);
/* While a rebuild runs, pause and resume are about the rebuild. Retry, skip and park are about the event that the model that
 * serves has stopped at, or else the rebuild. Returns when it has taken effect and will survive a restart; replaying parked
 * events goes on in the background.
 * CAIRN_E_INVALID  it has not stopped at an event; nothing is parked; CAIRN_E_EXISTS  a rebuild is under way */
CAIRN_MUST_CHECK cairn_err runner_do(struct runner *runner, cairn_projection_action action, cairn_error *error);
/* Everything before `position` is applied in the model that serves (an event that was skipped or parked counts). */
uint64_t runner_position(const struct runner *runner);
/* Wait for it, at most timeout_ms: CAIRN_E_TIMEOUT; CAIRN_E_SCRIPT with the failure when it has stopped before that. */
CAIRN_MUST_CHECK cairn_err runner_wait(struct runner *runner, uint64_t position, uint32_t timeout_ms,
                                       cairn_error *error);
/* Apply these events, which it had given up as dead letters, each in a transaction of its own, in the order given. Those that the model
 * does not lack (it has had them since, or was built anew) are left alone. dry_run: only look. Waits for the model's thread.
 * CAIRN_E_BUSY: what serves is outdated and being built anew, or another action is under way. */
struct dead_return;
CAIRN_MUST_CHECK cairn_err runner_return_dead(struct runner *runner, struct dead_return *returns, size_t count, bool dry_run,
                                              cairn_error *error);
/* The status as one JSON object: name, state, position, end, lag, events_per_s, eta_s, rebuild {position, …}|null,
 * failure {position, stream, type, error, tries}|null, parked, skipped, dead_letters (counts), dead_letter_topic (of the newest), applied, digest, generation,
 * outdated (made by another digest: serves, does not advance), as_of_copies [positions]. A failure that passes by itself has
 * "retrying": true. */
void runner_status(struct runner *runner, struct buf *to);
/* {"parked_events":[{position, stream, revision, type, error, time}],"skipped_events":[…],"dead_letter_events":[…]}, newest
 * 1,000 each. */
CAIRN_MUST_CHECK cairn_err runner_faults(struct runner *runner, struct buf *to, cairn_error *error);
struct runner_numbers {
    uint64_t position, end, applied_total, failed_total, parked, skipped, dead_letters, rebuild_position;
    double lag_s; /* age of the oldest event not yet applied; 0 when caught up */
    int state;    /* 0 building 1 running 2 paused */
#define RUNNER_STOPPED 3
};
void runner_numbers(struct runner *runner, struct runner_numbers *ret); /* for /metrics */

/* A read model as a file that stays while it is held: reference counted. `generation` is unique per content source, so
 * that connections to it may be kept between calls. */
struct model {
    const char *path;
    uint64_t generation;
    uint64_t position; /* of an as-of model: fixed; of the live one: ask runner_position */
};
/* The one that serves now. Never blocks. */
struct model *runner_hold(struct runner *runner);
/* The model as it was after the first `end` events of the log; built from the nearest kept copy, at most 8 kept, least
 * recently used go. CAIRN_E_TIMEOUT: not ready in time (it goes on being built; ask again). */
CAIRN_MUST_CHECK cairn_err runner_hold_as_of(struct runner *runner, uint64_t end, uint32_t timeout_ms,
                                             struct model **ret, cairn_error *error);
void model_release(struct model *model);
/* A reader has found the file damaged (SQLITE_CORRUPT, SQLITE_NOTADB): the runner builds another. */
void model_damaged(struct model *model);
#endif

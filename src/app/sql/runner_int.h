/* app/sql/runner_int.h: a runner from within.
 *
 *   feed     events from the store, those that the projection wants (runner_feed.c), read ahead (runner_ahead.c)
 *   applier  one read model being written: connection, statements, checkpoint (runner_apply.c, runner_lua.c)
 *   worker   a thread with a feed and an applier: batches, faults, requests (runner_work.c, runner_dead.c)
 *   copies   kept checkpoints and as-of models, made by a thread of their own (runner_copies.c)
 *   runner   who serves, who builds; actions, status (runner.c)
 *
 * Locks: runner->lock guards everything marked so below; it is never held over SQLite or the disk. Whoever
 * publishes a position waits while `swapping` is set, so that the model that takes over is never behind. */
#ifndef APP_SQL_RUNNER_INT_H
#define APP_SQL_RUNNER_INT_H

#include "projection_int.h"

#include <app/sql/runner.h>
#include <pthread.h>
#include <stdatomic.h>
#include <store/dead.h>

#define RUNNER_FORMAT 1              /* of the files */
#define RUNNER_BATCH_MAX 100000      /* events of a transaction */
#define RUNNER_BATCH_US 50000        /* of a transaction */
#define RUNNER_BATCH_FAR_US 1000000  /* of one that is far behind: a row changed often is written once */
#define RUNNER_FAR 100000            /* events behind that are far */
#define RUNNER_AHEAD 10000           /* events behind for which another thread reads ahead, */
#define RUNNER_AHEAD_BATCH 1024      /* unless batches are smaller than so many events after a failure */
#define RUNNER_COMMIT_US 2000        /* between commits when there are many: half the work for two milliseconds */
#define RUNNER_GATHER 1000           /* unless more than so many wait already */
#define RUNNER_WAL_PAGES 2000        /* then they are moved into the file, by the thread that keeps copies */
#define RUNNER_WAL_PAGES_MAX 16000   /* then by the worker itself */
#define RUNNER_STEPS_MAX 10000       /* thousands of SQLite's steps for one event */
#define RUNNER_FAULTS_MAX 100000     /* parked, skipped or dead letters; then it stops */
#define RUNNER_FAULTS_SHOWN 1000
#define RUNNER_ERROR_MAX 320
#define RUNNER_COPIES_MAX 4
#define RUNNER_AS_OF_MAX 8
#define RUNNER_CHECKPOINT_EVERY 250000
#define RUNNER_PASSED_MAX 100000     /* events not wanted between checkpoints that nothing else asked for */
#define RUNNER_WAIT_MAX_US 10000000  /* of a back-off */
#define RUNNER_PATH_MAX 1024

/* ---- models (runner_files.c) */

struct runner_model {
    struct model model; /* first; its path is `text` */
    atomic_uint holders;
    atomic_bool doomed; /* delete the file when nobody holds it */
    atomic_bool damaged;
    char text[];
};
struct runner_model *model_new(const char *path, uint64_t position);
struct model *model_hold(struct runner_model *model);
static inline struct runner_model *model_of(struct model *model) { return (struct runner_model *)(void *)model; }

struct runner;
void files_remove(const char *path); /* and -wal, -shm, -journal */
bool files_path(const struct runner *runner, char to[RUNNER_PATH_MAX], uint64_t generation, const char *suffix);
/* The generation that serves; false when there is none. */
bool files_current(const struct runner *runner, uint64_t *ret_generation, cairn_error *error);
cairn_err files_set_current(const struct runner *runner, uint64_t generation, cairn_error *error);
/* Delete what belongs to this projection and is neither; copies of `keep` stay. */
cairn_err files_clean(const struct runner *runner, uint64_t current, uint64_t building, cairn_error *error);
cairn_err files_copy(const char *from, const char *to, cairn_error *error);
cairn_err files_sync(const char *path, cairn_error *error);

/* ---- the feed */

struct feed {
    const struct runner *runner;
    cairn_reader *reader;
    bool filtered, filterable;
    uint64_t end;     /* as of; 0: none */
    uint64_t from;    /* where this way of reading began */
    uint64_t matched; /* since */
    struct arena arena; /* of upcast data */
    const atomic_bool *stop; /* gives up with CAIRN_E_CLOSED; NULL: never */
    struct ahead *ahead;     /* another thread reads; NULL: whoever calls does */
    /* of the event given last */
    const struct plan *plan;
    const struct value *slots; /* found already; NULL: not yet */
};
void feed_close(struct feed *feed);
cairn_err feed_seek(struct feed *feed, uint64_t position, cairn_error *error);
/* The next event that the projection wants and has a plan for, upcast; valid until the next call. CAIRN_E_END: nothing
 * now. When upcasting fails the event is there and *ret_upcast is the error; so it is with what decoding ahead found wrong. */
cairn_err feed_next(struct feed *feed, cairn_recorded *ret, cairn_err *ret_upcast, cairn_error *error);
/* The same by the calling thread, whoever else reads ahead. */
cairn_err feed_read(struct feed *feed, cairn_recorded *ret, const struct plan **ret_plan, cairn_err *ret_upcast,
                    cairn_error *error);
uint64_t feed_position(const struct feed *feed); /* not while another thread reads */

/* ---- reading ahead (runner_ahead.c): until the log's end, an error or feed_close(). Without memory or a thread nothing changes. */
void ahead_begin(struct feed *feed);
void ahead_end(struct feed *feed);
cairn_err ahead_next(struct feed *feed, cairn_recorded *ret, cairn_err *ret_upcast, cairn_error *error);

/* ---- the applier */

struct checkpoint {
    uint64_t position; /* everything before it is applied */
    bool has_last, complete, paused, has_failure;
    uint64_t last_position;
    cairn_uuid last_id; /* of the event there: is this still the same log? */
    uint64_t applied, failed, failure_position;
    char failure[RUNNER_ERROR_MAX];
};

struct lua_statement {
    char *sql;
    sqlite3_stmt *statement;
    uint64_t used;
};
#define LUA_STATEMENTS_MAX 64

struct applier {
    const struct projection *projection;
    const char *digest;
    sqlite3 *db;
    struct sql_guard guard;
    sqlite3_stmt **statements; /* beside the projection's */
    sqlite3_stmt *begin, *commit, *rollback, *put_checkpoint, *put_fault, *take_fault, *find_decided;
    struct values values;
    struct checkpoint checkpoint;
    bool in_transaction;
    unsigned ticks;             /* of the progress handler, for the event at hand */
    const atomic_bool *stop;    /* interrupts */
    bool interrupted;           /* by stop */
    int wal_pages;              /* after the last commit */
    struct lua_projection *lua;
    struct lua_statement *lua_statements;
    uint64_t lua_clock;
    cairn_err lua_failed; /* of the last statement that the script ran */
};
/* Open or make the file. `scratch`: a file that nobody misses after a crash. CAIRN_E_VERSION: made by another digest or
 * format; CAIRN_E_CORRUPT: not what it should be. */
cairn_err applier_open(struct applier *applier, const struct runner *runner, const char *path, bool scratch,
                       const atomic_bool *stop, cairn_error *error);
void applier_close(struct applier *applier);
void applier_watch(struct applier *applier); /* the progress handler */
cairn_err applier_begin(struct applier *applier, cairn_error *error);
/* Write the checkpoint and commit (outside a transaction too). */
cairn_err applier_commit(struct applier *applier, cairn_error *error);
void applier_rollback(struct applier *applier);
/* The event that the feed gave last. */
cairn_err applier_event(struct applier *applier, const struct feed *feed, const cairn_recorded *event, cairn_error *error);
/* Within a transaction: remember that the event is left out. CAIRN_E_LIMIT: too many are. */
cairn_err applier_put_fault(struct applier *applier, const cairn_recorded *event, const char *kind, const char *why,
                            cairn_error *error);
/* "skipped", "parked", "dead" or NULL: what was decided of the position before. */
const char *applier_decided(struct applier *applier, uint64_t position);
cairn_err applier_copy_decisions(struct applier *applier, const char *from_path, cairn_error *error);
/* Statements of ours, which the guard lets through. */
cairn_err applier_prepare_own(struct applier *applier, const char *sql, sqlite3_stmt **ret, cairn_error *error);
cairn_err applier_run_own(struct applier *applier, sqlite3_stmt *statement, cairn_error *error);
bool error_is_transient(cairn_err err);

/* runner_lua.c */
cairn_err applier_lua_open(struct applier *applier, cairn_error *error);
void applier_lua_close(struct applier *applier);
cairn_err applier_lua_event(struct applier *applier, const cairn_recorded *event, cairn_error *error);

/* ---- the worker */

enum request { REQUEST_NONE, REQUEST_RETRY, REQUEST_SKIP, REQUEST_PARK, REQUEST_REPLAY, REQUEST_SAVE, REQUEST_RETURN };

/* REQUEST_RETURN: the caller's, who waits until it is done. */
struct returning {
    struct dead_return *returns;
    size_t count;
    bool dry_run, done;
    cairn_err err;
    cairn_error error;
};

/* How often an event has been tried that is to be a dead letter. */
struct tries {
    uint64_t position; /* UINT64_MAX: none */
    uint32_t count;
    int64_t first_us;
    int64_t next_us;   /* on the monotonic clock: not before */
};

struct failure {
    uint64_t position, tries;
    bool there, transient;
    char stream[128], type[128], error[RUNNER_ERROR_MAX];
    int64_t time_us;
};

struct worker {
    struct runner *runner;
    pthread_t thread;
    bool started;
    uint64_t generation;
    struct runner_model *model;
    /* the thread's own */
    struct applier applier;
    struct feed feed;
    uint64_t next;        /* the next event to look at; checkpoint.position is what is written */
    uint64_t alone;       /* the event at this position has a transaction of its own; UINT64_MAX: none */
    unsigned batch_max;
    int64_t back_off_us, last_time_now_us, committed_us;
    bool far;
    uint64_t delay_us;    /* before the first batch: after damage */
    uint64_t decided_at;  /* what a person asked for the event that it stopped at */
    const char *decided;
    struct tries tries;
    uint64_t copy_next;   /* applied events at which a copy is wanted */
    uint64_t base;        /* a rebuild began at a copy of this position; later copies go when it takes over */
    /* guarded by runner->lock */
    bool beside, paused, stopped, complete;
    bool working; /* between entering and publishing */
    bool over; /* its thread takes no more requests */
    bool gone; /* has nothing to say any more: another serves, or it was given up */
    enum request request;
    cairn_err request_result;
    struct returning *returning;
    cairn_on_error on_error;
    struct failure failure;
    uint64_t position, applied, failed, faults_parked, faults_skipped, faults_dead;
    char dead_topic[250]; /* where the newest dead letter went */
    size_t dead_topic_size;
    int64_t last_time_us; /* of the event applied last, while behind */
    double rate;          /* events a second */
    uint64_t rate_position;
    int64_t rate_at_us;
    struct worker *next_ended;
    /* any thread */
    atomic_bool quit;
    atomic_uint still; /* always 0: what it sleeps on for a while */
};
/* Open the generation's file, made where it is missing, and make sure that it belongs to this log. Errors as
 * applier_open(), CAIRN_E_CORRUPT also when it is damaged or of another log. */
cairn_err worker_open(struct runner *runner, uint64_t generation, struct worker **ret, cairn_error *error);
cairn_err worker_begin(struct worker *worker, cairn_error *error); /* its thread */
void worker_free(struct worker *worker);                           /* ends the thread, closes the file */
/* runner_work.c, for runner_dead.c. Leave the event out and remember it; what passes is tried again; stop at it. */
enum outcome { WORK_MORE, WORK_IDLE, WORK_LATER, WORK_STOPPED, WORK_LEAVE };
enum outcome worker_set_aside(struct worker *worker, const cairn_recorded *event, const char *kind, const char *why);
enum outcome worker_later(struct worker *worker, uint64_t from, const cairn_recorded *event, const cairn_error *error);
enum outcome worker_stop_at(struct worker *worker, const cairn_recorded *event, const char *why);
void worker_note_failure(struct worker *worker, const cairn_recorded *event, const char *why, bool transient);
cairn_err worker_apply_one(struct worker *worker, const struct feed *feed, const cairn_recorded *event, cairn_err upcast,
                           cairn_error *error);
uint64_t *worker_faults(struct worker *worker, const char *kind); /* how many of that kind; guarded by runner->lock */

/* runner_dead.c. It failed alone: try again later, or make it a dead letter and go on. */
enum outcome worker_give_up(struct worker *worker, const cairn_recorded *event, bool decided, cairn_err err, const cairn_error *error);
/* Its time to be tried again has not come. */
bool worker_waits(struct worker *worker);
cairn_err worker_replay_parked(struct worker *worker, cairn_error *error);
void worker_return_dead(struct worker *worker, struct returning *returning);
/* The topic that an event of the stream goes to; for what was given up before. */
void worker_find_dead_topic(struct worker *worker, cairn_str stream);

/* Called by the worker's thread. */
bool runner_publish(struct worker *worker);  /* false: another has taken over */
bool runner_take_over(struct worker *worker, cairn_error *error);
void runner_damaged(struct worker *worker, const char *why);

/* ---- copies and as-of models */

struct copy {
    uint64_t position, generation;
};
struct as_of {
    uint64_t end, used;
    struct runner_model *model; /* NULL until ready */
    cairn_err err;
    char why[RUNNER_ERROR_MAX];
    bool wanted;
};
struct copies {
    pthread_t thread;
    bool started, failed_told;
    atomic_bool quit;
    atomic_uint wake;
    struct model *to_sync; /* held: move its WAL into the file; guarded by runner->lock */
    bool syncing;
    bool copy_wanted;      /* guarded by runner->lock, as all below */
    int64_t copy_after_us; /* copying takes at most a tenth of the time */
    struct copy kept[RUNNER_COPIES_MAX + 1];
    size_t kept_count;
    struct as_of as_of[RUNNER_AS_OF_MAX];
    uint64_t clock, serial;
};
void copies_find(struct runner *runner);
void copies_want(struct runner *runner);
void copies_want_sync(struct runner *runner, struct runner_model *model);
void copies_stop(struct runner *runner);
void copies_take_over(struct runner *runner, uint64_t from, uint64_t to, uint64_t base);
/* The newest copy at or before the position; false when there is none. Its path goes to `path`. */
bool copies_nearest(struct runner *runner, uint64_t position, struct copy *ret, char path[RUNNER_PATH_MAX]);

struct runner {
    struct runner_options options;
    char folder[512], name[64];
    struct projection *projection;
    char digest[65]; /* the projection's, with the salt */
    pthread_mutex_t lock;
    struct worker *serving;  /* NULL: what serves is of another digest and does not advance */
    struct worker *building; /* beside, or NULL */
    struct runner_model *model;
    char model_digest[65];
    uint64_t generation, generation_next;
    bool swapping, closing, forget;
    pthread_mutex_t actions; /* one change of workers at a time; taken before lock */
    struct worker *ended;    /* to be joined and freed */
    unsigned damages;
    struct copies copies;
    atomic_uint_fast64_t end, position;
    atomic_uint wake, sleeping; /* work for workers; how many sleep */
    atomic_uint moved, waiting; /* counts changes of position and state; who waits for them */
};
void runner_say(const struct runner *runner, cairn_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void runner_moved(struct runner *runner);
/* Until `moved` is no longer `seen`, at most timeout_us. */
void runner_wait_moved(struct runner *runner, uint32_t seen, int64_t timeout_us);
void runner_wake(struct runner *runner);
#endif

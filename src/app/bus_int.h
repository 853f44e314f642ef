/* app/bus_int.h: what the files of the bus share.
 *
 *   bus.c          create, free, submit: the submitting thread's part
 *   bus_app.c      a deployed version: its instances, when it is gone
 *   bus_worker.c   a worker: queues, the life of a command, what became of its append
 *   bus_cache.c    a worker's states by stream
 *   bus_fold.c     state from snapshot and events
 *   bus_build.c    a decision becomes an append: ids, tags, meta, schemas
 *   bus_key.c      idempotency keys
 *   bus_snapshot.c the threads that keep snapshots
 *   bus_numbers.c  metrics, log line, the end of a command
 *   bus_history.c  states at a revision, replay
 *
 * A command (struct op) belongs to the thread that submits it, then to its worker; what became of its append is written by
 * the commit thread, which reads only what the worker wrote before the append; then it is the worker's again, who frees it. */
#ifndef APP_BUS_INT_H
#define APP_BUS_INT_H

#include <assert.h>
#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <os/wait.h>
#include <pthread.h>
#include <stdlib.h>
#include <store/store.h>

#include "bus.h"
#include "decision.h"

#define BUS_WORKERS_MAX 64
#define BUS_WEBHOOK_WORKERS 16
#define BUS_KEY_MAX 256
#define BUS_TAGS_MAX 64
#define BUS_RECORDED_DATA_MAX (64u << 10) /* a command's data larger than this is not recorded in its event's meta */
#define BUS_TYPES_FEW 4

/* ---- numbers -------------------------------------------------------------------------------- */

enum meter_outcome { METER_OK, METER_REJECTED, METER_INVALID, METER_DENIED, METER_EXISTS, METER_BUSY, METER_TIMEOUT,
                     METER_SCRIPT, METER_FAILED, METER_OUTCOMES };
#define METER_BUCKETS 15

/* Of one command of one app, over all its versions. Lives as long as the bus. */
struct meter {
    struct meter *next;
    cairn_str app, command;
    _Atomic uint64_t outcomes[METER_OUTCOMES];
    _Atomic uint64_t buckets[METER_BUCKETS + 1];
    _Atomic uint64_t sum_us;
};

struct bus_counts {
    _Atomic uint64_t accepted, rejected, invalid, denied, failed, conflicts, retries, repeated;
    _Atomic uint64_t cache_hits, cache_misses, cache_bytes, cache_entries;
    _Atomic uint64_t snapshots_taken, snapshots_used, snapshots_dropped;
};

/* ---- a deployed version ------------------------------------------------------------------------ */

struct op;
struct worker;

struct bus_app {
    struct bus *bus;
    const struct app_manifest *manifest;
    const cairn_decider *const *deciders;
    const uint32_t *schema_ids;
    event_upcast upcast;
    void *upcast_context;
    void (*gone)(void *context);
    void *context;
    _Atomic uint32_t references; /* the owner, each command under way, each worker with states */
    struct meter **meters;       /* one for each command */
    char (*forms)[80];           /* one for each decider: content type of its snapshots */
    struct worker_app {          /* one for each worker: that worker's own */
        size_t entries;
        bool holds, retired;
        void **selves;           /* one for each decider; or NULL */
        bool *open;
    } *at_worker;
    struct op *retire;           /* one for each worker */
    pthread_mutex_t spare_lock;  /* instances for other threads */
    struct spare {
        struct spare *next;
        size_t decider;
        void *self;
    } *spares;
};

void bus_app_hold(struct bus_app *app);
void bus_app_drop(struct bus_app *app);
/* The worker's instance of a decider, made at the first need. */
CAIRN_MUST_CHECK cairn_err bus_app_self(struct bus_app *app, struct worker *worker, size_t decider, void **ret,
                                        cairn_error *error);
/* On the worker: it has no state of the app's any more. */
void bus_app_leave(struct bus_app *app, struct worker *worker);
CAIRN_MUST_CHECK cairn_err bus_app_borrow(struct bus_app *app, size_t decider, struct spare **ret, cairn_error *error);
void bus_app_give_back(struct bus_app *app, struct spare *spare);
/* NULL: the manifest does not name it. */
const struct app_event *bus_app_event(const struct bus_app *app, cairn_str type);

/* ---- a command ---------------------------------------------------------------------------------- */

struct entry;

struct op {
    struct op *next; /* in the one queue that it is in */
    struct bus_app *app;
    struct worker *worker;
    bool retire; /* no command: the app's version has been replaced */

    /* From submission on. */
    const struct app_command *spec;
    struct meter *meter;
    cairn_command command;
    cairn_command_done done;
    void *context;
    cairn_str stream;
    cairn_query query;   /* a decision over several streams */
    bool over_streams;
    cairn_str place;     /* what its state is cached by: the stream, or the query as text */
    uint64_t hash;
    cairn_str key_stream; /* or empty: no key */
    uint8_t fingerprint[16];
    int64_t submitted_us, deadline_us; /* monotonic */
    struct arena arena;  /* the query's */

    /* The worker's. */
    struct entry *entry;
    uint32_t tries;
    bool keyed;            /* in the worker's table of keys in flight */
    struct op *key_next;
    struct op *key_waiters; /* the same key, waiting for this one; newest first */
    struct op *followers;  /* answered when this one is durable; newest first */
    bool sequenced;
    cairn_snapshot snapshot; /* to keep when this one is durable */
    void *snapshot_memory;

    /* Written by the worker before the append, read by whoever answers. */
    cairn_err answer;      /* OK or REJECTED */
    size_t event_count;
    cairn_str *types;
    cairn_str types_few[BUS_TYPES_FEW];
    bool types_owned;
    int64_t revision;      /* of its stream afterwards, or -1: as the append says */
    uint32_t answer_events; /* written before its own: the key's answer */
    cairn_str code, message, details;
    void *texts;

    /* Written by the commit thread. */
    cairn_err err;
    cairn_error *error; /* or NULL */
};

/* ---- states ----------------------------------------------------------------------------------------- */

/* A state and how far it has come. */
struct fold {
    void *state;         /* NULL: none */
    int64_t revision;    /* of the stream, the last one in the state; -1: no event */
    uint64_t truncated;  /* of the stream's retention when it was folded */
    uint64_t position;   /* over several streams: the next one to look at */
    uint64_t events, bytes; /* since the snapshot */
    bool from_snapshot;
};

struct entry {
    struct entry *next;            /* in its bucket */
    struct entry *newer, *older;   /* by last use */
    struct bus_app *app;
    size_t decider;
    cairn_scope scope;
    uint64_t hash;
    void *self;
    struct fold fold;
    bool over_streams;
    bool blocked;        /* until nothing is in flight */
    uint32_t epoch;      /* of the newest append in flight */
    uint32_t in_flight;
    struct op *last;     /* the newest that was sequenced, while it is in flight */
    struct op *waiting, **waiting_end;
    size_t bytes;
    int64_t used_us;
    size_t place_size;
    char place[];
};

struct worker {
    struct bus *bus;
    unsigned index;
    pthread_t thread;
    bool started;
    _Atomic(struct op *) submitted, completed; /* stacks: newest first */
    _Atomic uint32_t word, sleeping;           /* 1: for commands; 2: also for what became of appends */
    _Atomic bool stopping;

    /* Its own. */
    struct op *ready, **ready_end;
    size_t parked;    /* commands that wait for the end of another's append */
    size_t in_flight; /* appends */
    struct entry **buckets;
    size_t bucket_count, entry_count;
    struct entry *newest, *oldest;
    size_t bytes, bytes_max;
    struct op **keys;
    size_t key_capacity, key_count;
    struct cairn_decision decision;
    struct arena arena, fold_arena;
    struct buf text;
};

struct snapshots_queue;

struct bus {
    cairn_store *store;
    cairn_apps_options apps;
    struct os *os;
    uint32_t waiting_max, retries_max;
    _Atomic uint64_t waiting; /* commands not over */
    _Atomic bool closing;
    unsigned worker_count;    /* without the webhooks' */
    struct worker *workers;   /* worker_count + BUS_WEBHOOK_WORKERS */
    bool webhooks;            /* their workers run; under lock */
    pthread_mutex_t lock;
    struct meter *meters;     /* only grows; under lock */
    struct snapshots_queue *snapshots;
    struct bus_counts counts;
};

/* bus_worker.c */
CAIRN_MUST_CHECK cairn_err worker_start(struct worker *worker, struct bus *bus, unsigned index, cairn_error *error);
void worker_stop(struct worker *worker); /* when no command is under way any more */
void worker_submit(struct worker *worker, struct op *op);
void worker_make_ready(struct worker *worker, struct op *op);
void op_free(struct op *op);

/* bus_cache.c */
CAIRN_MUST_CHECK cairn_err cache_find(struct worker *worker, struct op *op, struct entry **ret, cairn_error *error);
void cache_forget_state(struct worker *worker, struct entry *entry);
void cache_forget_states(struct worker *worker);
void cache_resize(struct worker *worker, struct entry *entry, int64_t now_us); /* its state has changed */
void cache_trim(struct worker *worker, int64_t now_us);
/* Free every idle state of an instance but one: it has run out of memory. False: there was none. */
bool cache_make_room(struct worker *worker, const struct entry *keep);
/* Nothing is under way on it at the moment: goes with its version. The entry may be gone afterwards. */
void cache_settled(struct worker *worker, struct entry *entry);
void cache_retire(struct worker *worker, struct bus_app *app);
void cache_close(struct worker *worker);

/* bus_fold.c: blocks. `self` is the caller's. */
struct folding {
    struct bus *bus;
    struct bus_app *app;
    size_t decider;
    void *self;
    cairn_scope scope;
    cairn_str stream;        /* of the state; with a query: of the command */
    const cairn_query *query; /* or NULL */
    bool no_snapshot;
    int64_t revision_max;    /* or -1 */
    struct arena *arena;     /* reset for each event */
};
/* Begin a state, or bring it up to date. After an error the state is as it may be: forget it. */
CAIRN_MUST_CHECK cairn_err fold_up(const struct folding *folding, struct fold *fold, cairn_error *error);
CAIRN_MUST_CHECK cairn_err fold_event(const struct folding *folding, struct fold *fold, cairn_recorded *event,
                                      cairn_error *error);
bool fold_matches(const cairn_query *query, const cairn_event *event);

/* bus_build.c */
struct append {
    cairn_append_request request;
    cairn_condition condition;
    cairn_write *writes;
    cairn_event *events;  /* the answer to a key first */
    cairn_str *streams;   /* beside events */
    size_t event_count;
    size_t own_count;     /* of the command's stream */
};
CAIRN_MUST_CHECK cairn_err build_append(struct worker *worker, struct op *op, int64_t key_expected, struct append *ret,
                                        cairn_error *error);
/* Types, tags, schema ids of what was decided, as it would be written: without ids and meta. */
CAIRN_MUST_CHECK cairn_err build_events(struct bus_app *app, const struct cairn_decision *decision, cairn_str stream,
                                        struct arena *arena, struct buf *text, cairn_event *events, cairn_str *streams,
                                        cairn_error *error);
CAIRN_MUST_CHECK cairn_err build_outcome(struct op *op, const struct cairn_decision *decision, cairn_error *error);
cairn_uuid bus_uuid(struct bus *bus, int64_t time_us);

/* bus_key.c */
/* The key's answer. CAIRN_E_NOTFOUND: there is none, and ret_expected is what to expect of its stream. CAIRN_OK: op has been
 * filled in with it (answer, outcome); CAIRN_E_EXISTS: the key was used otherwise. */
CAIRN_MUST_CHECK cairn_err key_look(struct op *op, int64_t *ret_expected, cairn_at *ret_at, cairn_error *error);
bool key_put_answer(struct op *op, const struct append *append, struct buf *to);
struct op *key_find(struct worker *worker, const struct op *op);
CAIRN_MUST_CHECK bool key_enter(struct worker *worker, struct op *op);
void key_leave(struct worker *worker, struct op *op);

/* bus_snapshot.c */
struct snapshots_queue *snapshots_start(struct bus *bus);
void snapshots_stop(struct snapshots_queue *queue);
/* Save a state. The memory (malloc) holds the data, behind it the stream's name, then the content type. */
CAIRN_MUST_CHECK cairn_err snapshot_make(struct bus_app *app, size_t decider, void *self, cairn_str stream,
                                         const struct fold *fold, cairn_snapshot *ret, void **ret_memory,
                                         cairn_error *error);
/* Takes the memory. Dropped when the queue is full. */
void snapshots_keep(struct snapshots_queue *queue, cairn_scope scope, const cairn_snapshot *snapshot, size_t stream_size,
                    void *memory);

/* bus_numbers.c */
struct meter *meter_of(struct bus *bus, cairn_str app, cairn_str command);
/* Tell everybody that a command is over. */
void op_tell(struct op *op, cairn_err err, const cairn_at *at, bool repeated, const cairn_error *error);

#endif

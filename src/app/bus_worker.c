/* A worker: decides commands one after the other, without waiting for the disk in between.
 *
 *   submitted ─► ready ─► key known? ─► state ─► decide ─► append ─┬─ sequenced: evolve, go on; told by the commit thread
 *                  ▲                                               └─ refused: the entry is blocked until that is told
 *                  └── what was parked: on a blocked entry, behind the same key, or behind an append in flight (follower)
 *
 * Invariants
 *  1. A state holds exactly what was sequenced. It moves on only by an append that has its place, or by reading what is durable.
 *  2. What rests on an append in flight shares its fate: a later append is sequenced after it; a decision without events
 *     (a rejection) is its follower and told when it is durable, or decided again when it failed.
 *  3. A blocked entry has something in flight; when nothing is any more, it is unblocked and what waited is ready, in order.
 *  4. Before every decision the stream's durable head is compared with the state: later events of others mean that the
 *     state is stale. With appends of ours in flight it is brought up to date after these.
 *  5. What became of appends may be told out of order, when two threads tell of two commits: an entry's newest may be settled
 *     before older ones. The log is durable in order all the same.
 *  6. When an append that was sequenced fails, every state of the worker is forgotten. */
#include "bus_int.h"

#include <os/thread.h>

#define STEP_MAX 64           /* commands between two looks at what became of appends */
#define IDLE_US 1000000
#define APPEND_WAIT_US 1000

static void on_appended(void *context, cairn_err err, const cairn_at *at, const cairn_error *error);

/* ---- queues ------------------------------------------------------------------------------------------------ */

static void
push(_Atomic(struct op *) *stack, struct op *op)
{
    struct op *first = atomic_load_explicit(stack, memory_order_relaxed);
    do
        op->next = first;
    while (!atomic_compare_exchange_weak(stack, &first, op));
}

/* Everything on a stack, oldest first. */
static struct op *
take_all(_Atomic(struct op *) *stack)
{
    struct op *newest = atomic_exchange(stack, NULL), *oldest = NULL;
    while (newest != NULL) {
        struct op *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void
wake(struct worker *worker)
{
    atomic_fetch_add(&worker->word, 1);
    os_wake(&worker->word, 1);
}

void
worker_submit(struct worker *worker, struct op *op)
{
    push(&worker->submitted, op);
    if (atomic_load(&worker->sleeping) != 0 && atomic_exchange(&worker->sleeping, 0) != 0)
        wake(worker);
}

void
worker_make_ready(struct worker *worker, struct op *op)
{
    op->next = NULL;
    *worker->ready_end = op;
    worker->ready_end = &op->next;
}

/* Parked commands, newest first, are ready again. */
static void
unpark(struct worker *worker, struct op *newest)
{
    struct op *oldest = NULL;
    while (newest != NULL) {
        struct op *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct op *next = oldest->next;
        worker->parked--;
        worker_make_ready(worker, oldest);
        oldest = next;
    }
}

/* ---- the end of a command ------------------------------------------------------------------------------------ */

void
op_free(struct op *op)
{
    if (op->types_owned)
        free(op->types);
    free(op->texts);
    free(op->error);
    free(op->snapshot_memory);
    arena_free(&op->arena);
    bus_app_drop(op->app);
    free(op);
}

static void
leave(struct worker *worker, struct op *op)
{
    assert(op->followers == NULL);
    if (op->keyed)
        key_leave(worker, op);
    unpark(worker, op->key_waiters);
    op->key_waiters = NULL;
    op_free(op);
}

static void
end(struct worker *worker, struct op *op, cairn_err err, const cairn_at *at, bool repeated, const cairn_error *error)
{
    op_tell(op, err, at, repeated, error);
    leave(worker, op);
    atomic_fetch_sub(&worker->bus->waiting, 1);
}

static void
end_failed(struct worker *worker, struct op *op, cairn_err err, const cairn_error *error)
{
    op->code = op->message = op->details = (cairn_str){0};
    end(worker, op, err, NULL, false, error);
}

/* ---- parking ---------------------------------------------------------------------------------------------------- */

static void
wait_on_entry(struct worker *worker, struct entry *entry, struct op *op, bool first)
{
    assert(entry->in_flight > 0);
    entry->blocked = true;
    worker->parked++;
    op->next = NULL;
    if (first) {
        op->next = entry->waiting;
        entry->waiting = op;
        if (op->next == NULL)
            entry->waiting_end = &op->next;
    } else {
        *entry->waiting_end = op;
        entry->waiting_end = &op->next;
    }
}

static void
unblock(struct worker *worker, struct entry *entry)
{
    if (entry->in_flight > 0 || !entry->blocked)
        return;
    entry->blocked = false;
    struct op *op = entry->waiting;
    entry->waiting = NULL;
    entry->waiting_end = &entry->waiting;
    while (op != NULL) {
        struct op *next = op->next;
        worker->parked--;
        worker_make_ready(worker, op);
        op = next;
    }
}

/* ---- the state -------------------------------------------------------------------------------------------------- */

static struct folding
folding_of(struct worker *worker, const struct entry *entry, const struct op *op)
{
    return (struct folding){.bus = worker->bus, .app = entry->app, .decider = entry->decider, .self = entry->self,
                            .scope = entry->scope, .stream = op->stream, .query = entry->over_streams ? &op->query : NULL,
                            .revision_max = -1, .arena = &worker->fold_arena};
}

static cairn_err
load(struct worker *worker, struct entry *entry, struct op *op, cairn_error *error)
{
    struct folding with = folding_of(worker, entry, op);
    atomic_fetch_add_explicit(&worker->bus->counts.cache_misses, 1, memory_order_relaxed);
    cairn_err err = fold_up(&with, &entry->fold, error);
    if ((err == CAIRN_E_NOMEM || err == CAIRN_E_LIMIT) && cache_make_room(worker, entry)) {
        cache_forget_state(worker, entry);
        err = fold_up(&with, &entry->fold, error);
    }
    if (err != CAIRN_OK)
        cache_forget_state(worker, entry);
    cache_resize(worker, entry, os_monotonic_us(worker->bus->os));
    return err;
}

static bool
is_stale(const struct entry *entry, const cairn_stream_info *info)
{
    const struct fold *fold = &entry->fold;
    return fold->state == NULL || info->last_revision > fold->revision || info->retention.truncate_before != fold->truncated
           || (entry->in_flight == 0 && info->last_revision < fold->revision);
}

/* The state that a decision may rest on. CAIRN_E_END: not before what is in flight is told. */
static cairn_err
refresh(struct worker *worker, struct entry *entry, struct op *op, cairn_error *error)
{
    bool stale = entry->fold.state == NULL;
    if (entry->over_streams) {
        stale |= entry->in_flight == 0 && cairn_end(worker->bus->store) > entry->fold.position;
    } else {
        cairn_stream_info info;
        cairn_err err = cairn_stream_info_get(worker->bus->store, entry->scope, op->stream, &info, error);
        if (err != CAIRN_OK)
            return err;
        if (info.tombstoned)
            return error_set(error, CAIRN_E_GONE, "the stream %.*s was deleted for good", (int)op->stream.size,
                             op->stream.data);
        stale = is_stale(entry, &info);
    }
    if (stale)
        return entry->in_flight > 0 ? CAIRN_E_END : load(worker, entry, op, error);
    atomic_fetch_add_explicit(&worker->bus->counts.cache_hits, 1, memory_order_relaxed);
    return CAIRN_OK;
}

/* Its own events have their place: the state moves on by them. */
static void
evolve_own(struct worker *worker, struct entry *entry, struct op *op, const struct append *append, const cairn_at *at,
           int64_t time_us)
{
    struct folding with = folding_of(worker, entry, op);
    struct fold *fold = &entry->fold;
    cairn_err err = CAIRN_OK;
    for (size_t i = op->answer_events; err == CAIRN_OK && i < append->event_count; i++) {
        bool own = cairn_str_equal(append->streams[i], op->stream);
        if (entry->over_streams ? !fold_matches(&op->query, &append->events[i]) : !own)
            continue;
        cairn_recorded event = {.position = at->first_position + i,
                                .revision = entry->over_streams ? 0 : (uint64_t)(fold->revision + 1),
                                .time_us = time_us, .scope = entry->scope, .stream = append->streams[i],
                                .event = append->events[i]};
        if (event.event.content_type.size == 0)
            event.event.content_type = CAIRN_STR("application/json");
        err = fold_event(&with, fold, &event, NULL);
        fold->revision += !entry->over_streams;
    }
    if (entry->over_streams)
        fold->position = at->last_position + 1;
    if (err != CAIRN_OK)
        cache_forget_state(worker, entry); /* the events are there; whoever loads them again is told what is wrong */
    cache_resize(worker, entry, os_monotonic_us(worker->bus->os));
}

static void
save_when_due(struct worker *worker, struct entry *entry, struct op *op)
{
    (void)worker;
    const struct app_snapshots *snapshots = &entry->app->manifest->deciders[entry->decider].snapshots;
    struct fold *fold = &entry->fold;
    bool due = (snapshots->every_events > 0 && fold->events >= snapshots->every_events)
               || (snapshots->every_bytes > 0 && fold->bytes >= snapshots->every_bytes);
    if (!due || entry->over_streams || fold->state == NULL)
        return;
    fold->events = fold->bytes = 0;
    free(op->snapshot_memory);
    op->snapshot_memory = NULL;
    error_ignore(snapshot_make(entry->app, entry->decider, entry->self, op->stream, fold, &op->snapshot,
                               &op->snapshot_memory, NULL));
}

/* ---- appending ----------------------------------------------------------------------------------------------------- */

/* A full queue of the log is waited for here: every other append of ours would meet it too. */
static cairn_err
append_async(struct worker *worker, struct op *op, const cairn_append_request *request, uint32_t epoch,
             cairn_error *error)
{
    cairn_append_request asked = *request;
    for (;;) {
        uint32_t before = epoch;
        asked.epoch = &before;
        uint32_t seen = atomic_load(&worker->word);
        cairn_err err = cairn_append_async(worker->bus->store, &asked, on_appended, op, error);
        if (err == CAIRN_OK)
            *request->epoch = before;
        if (err != CAIRN_E_BUSY || os_monotonic_us(worker->bus->os) > op->deadline_us)
            return err;
        atomic_store(&worker->sleeping, 2);
        os_wait(&worker->word, seen, APPEND_WAIT_US);
        atomic_store(&worker->sleeping, 0);
    }
}

/* What the store refuses at once is the decider's doing, or the disk's. */
static cairn_err
refused_at_once(struct worker *worker, cairn_err err, cairn_error *error)
{
    if (err == CAIRN_E_NOSPACE || err == CAIRN_E_IO)
        cache_forget_states(worker);
    if (err != CAIRN_E_INVALID && err != CAIRN_E_LIMIT && err != CAIRN_E_DENIED)
        return err;
    return error_set(error, CAIRN_E_SCRIPT, "what the decider made cannot be appended: %s", error->detail);
}

static void
append(struct worker *worker, struct entry *entry, struct op *op, int64_t key_expected)
{
    struct append built;
    cairn_error error = {0};
    cairn_err err = build_append(worker, op, key_expected, &built, &error);
    if (err != CAIRN_OK) {
        end_failed(worker, op, err, &error);
        return;
    }
    const uint64_t nowhere = UINT64_MAX;
    cairn_at at = {.first_position = nowhere};
    int64_t time_us = 0;
    uint32_t epoch = 0;
    built.request.ret_sequenced = &at;
    built.request.ret_time_us = &time_us;
    built.request.epoch = &epoch;
    op->sequenced = false;
    entry->in_flight++;
    worker->in_flight++;
    err = append_async(worker, op, &built.request, entry->in_flight > 1 ? entry->epoch : 0, &error);
    if (err != CAIRN_OK) {
        entry->in_flight--;
        worker->in_flight--;
        err = refused_at_once(worker, err, &error);
        end_failed(worker, op, err, &error);
        return;
    }
    if (at.first_position == nowhere || at.repeated) {
        entry->blocked = true; /* what is in the log is known when it is told */
        return;
    }
    op->sequenced = true;
    entry->last = op;
    entry->epoch = epoch;
    evolve_own(worker, entry, op, &built, &at, time_us);
    save_when_due(worker, entry, op);
}

/* ---- deciding -------------------------------------------------------------------------------------------------------- */

static cairn_err
decide(struct worker *worker, struct entry *entry, struct op *op, cairn_error *error)
{
    const cairn_decider *decider = entry->app->deciders[entry->decider];
    struct cairn_decision *decision = &worker->decision;
    decision_clear(decision);
    decision->count_max = worker->bus->store->append_events_max;
    op->tries++;
    cairn_error why = {0};
    cairn_err err = decider->decide(entry->self, entry->fold.state, &op->command, decision, &why);
    if (err == CAIRN_E_REJECTED && decision->rejected)
        err = CAIRN_OK;
    if (err == CAIRN_E_NOMEM)
        return error_set(error, err, "%s", why.code ? why.detail : "no memory to decide");
    if (err != CAIRN_OK)
        return error_set(error, CAIRN_E_SCRIPT, "%s", why.code ? why.detail : cairn_err_name(err));
    return build_outcome(op, decision, error);
}

static void
run_on(struct worker *worker, struct entry *entry, struct op *op, int64_t key_expected)
{
    cairn_error error = {0};
    cairn_err err = refresh(worker, entry, op, &error);
    if (err == CAIRN_E_END) {
        wait_on_entry(worker, entry, op, true);
        return;
    }
    if (err == CAIRN_OK)
        err = decide(worker, entry, op, &error);
    if (err != CAIRN_OK) {
        end_failed(worker, op, err, &error);
        return;
    }
    if (worker->decision.count > 0 || op->key_stream.size > 0) {
        append(worker, entry, op, key_expected);
    } else if (entry->in_flight > 0 && entry->over_streams) {
        wait_on_entry(worker, entry, op, true); /* whether others wrote meanwhile is read when ours are durable */
    } else if (entry->last == NULL) {
        end(worker, op, op->answer, NULL, false, NULL); /* the newest in the state is durable, and so are all before it */
    } else {
        op->next = entry->last->followers;
        entry->last->followers = op;
        worker->parked++;
    }
}

/* CAIRN_E_END: the command is no longer ours to run. */
static cairn_err
look_for_answer(struct worker *worker, struct op *op, int64_t *ret_expected)
{
    if (op->key_stream.size == 0)
        return CAIRN_OK;
    cairn_error error = {0};
    cairn_at at;
    if (!op->keyed) {
        struct op *other = key_find(worker, op);
        if (other != NULL) {
            op->next = other->key_waiters;
            other->key_waiters = op;
            worker->parked++;
            return CAIRN_E_END;
        }
        if (!key_enter(worker, op)) {
            end_failed(worker, op, CAIRN_E_NOMEM, NULL);
            return CAIRN_E_END;
        }
    }
    cairn_err err = key_look(op, ret_expected, &at, &error);
    if (err == CAIRN_E_NOTFOUND)
        return CAIRN_OK;
    if (err == CAIRN_OK)
        end(worker, op, op->answer, &at, true, NULL);
    else
        end_failed(worker, op, err, &error);
    return CAIRN_E_END;
}

static void
run(struct worker *worker, struct op *op)
{
    if (op->retire) {
        struct bus_app *app = op->app;
        cache_retire(worker, app);
        bus_app_drop(app);
        return;
    }
    cairn_error error = {0};
    int64_t key_expected = CAIRN_NONE;
    if (os_monotonic_us(worker->bus->os) > op->deadline_us) {
        (void)error_set(&error, CAIRN_E_TIMEOUT, "the command's deadline passed before it was decided");
        end_failed(worker, op, CAIRN_E_TIMEOUT, &error);
        return;
    }
    if (look_for_answer(worker, op, &key_expected) != CAIRN_OK)
        return;
    struct entry *entry;
    cairn_err err = cache_find(worker, op, &entry, &error);
    if (err != CAIRN_OK) {
        end_failed(worker, op, err, &error);
        return;
    }
    op->entry = entry;
    if (entry->blocked) {
        wait_on_entry(worker, entry, op, false);
        return;
    }
    arena_reset(&worker->arena);
    run_on(worker, entry, op, key_expected);
    cache_settled(worker, entry);
}

/* ---- what became of appends --------------------------------------------------------------------------------------------- */

/* On the commit thread, or on the worker's own where everything was durable already. */
static void
on_appended(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    struct op *op = context;
    struct worker *worker = op->worker;
    struct bus *bus = worker->bus;
    if (err == CAIRN_OK)
        op_tell(op, op->answer, at, false, NULL);
    else
        atomic_fetch_add(&bus->waiting, 1); /* ours: the bus must not go before we have left */
    op->err = err;
    if (err != CAIRN_OK && error != NULL && (op->error = malloc(sizeof *op->error)) != NULL)
        *op->error = *error;
    push(&worker->completed, op);
    if (atomic_load(&worker->sleeping) == 2 && atomic_exchange(&worker->sleeping, 0) != 0)
        wake(worker);
    atomic_fetch_sub(&bus->waiting, 1);
}

static void
tell_followers(struct worker *worker, struct op *op)
{
    struct op *oldest = NULL;
    while (op->followers != NULL) {
        struct op *next = op->followers->next;
        op->followers->next = oldest;
        oldest = op->followers;
        op->followers = next;
    }
    while (oldest != NULL) {
        struct op *next = oldest->next;
        worker->parked--;
        end(worker, oldest, oldest->answer, NULL, false, NULL);
        oldest = next;
    }
}

static void
settle_failed(struct worker *worker, struct op *op)
{
    struct bus *bus = worker->bus;
    if (op->sequenced)
        cache_forget_states(worker);
    unpark(worker, op->followers);
    op->followers = NULL;
    free(op->snapshot_memory);
    op->snapshot_memory = NULL;
    cairn_error error = {0};
    if (op->error != NULL)
        error = *op->error;
    free(op->error);
    op->error = NULL;
    if (op->err != CAIRN_E_CONFLICT && op->err != CAIRN_E_CONDITION) {
        end_failed(worker, op, op->err, error.code ? &error : NULL);
        return;
    }
    atomic_fetch_add_explicit(&bus->counts.conflicts, 1, memory_order_relaxed);
    if (op->tries > bus->retries_max) {
        (void)error_set(&error, CAIRN_E_BUSY, "the command lost the race for its stream %u times; try again", op->tries);
        end_failed(worker, op, CAIRN_E_BUSY, &error);
        return;
    }
    atomic_fetch_add_explicit(&bus->counts.retries, 1, memory_order_relaxed);
    worker_make_ready(worker, op);
}

static void
settle(struct worker *worker, struct op *op)
{
    struct entry *entry = op->entry;
    entry->in_flight--;
    worker->in_flight--;
    if (entry->last == op)
        entry->last = NULL;
    if (op->err == CAIRN_OK) {
        tell_followers(worker, op);
        if (op->snapshot_memory != NULL)
            snapshots_keep(worker->bus->snapshots, entry->scope, &op->snapshot, op->stream.size, op->snapshot_memory);
        op->snapshot_memory = NULL;
        leave(worker, op);
    } else {
        settle_failed(worker, op);
    }
    unblock(worker, entry);
    cache_settled(worker, entry);
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------ */

static bool
settle_all(struct worker *worker)
{
    struct op *op = take_all(&worker->completed);
    bool any = op != NULL;
    while (op != NULL) {
        struct op *next = op->next;
        settle(worker, op);
        op = next;
    }
    return any;
}

static void
take_submitted(struct worker *worker)
{
    struct op *op = take_all(&worker->submitted);
    while (op != NULL) {
        struct op *next = op->next;
        worker_make_ready(worker, op);
        op = next;
    }
}

static struct op *
next_ready(struct worker *worker)
{
    struct op *op = worker->ready;
    if (op != NULL && (worker->ready = op->next) == NULL)
        worker->ready_end = &worker->ready;
    return op;
}

static void
sleep_a_while(struct worker *worker)
{
    uint32_t seen = atomic_load(&worker->word);
    bool eager = worker->parked > 0 || atomic_load(&worker->stopping);
    atomic_store(&worker->sleeping, eager ? 2 : 1);
    if (atomic_load(&worker->submitted) == NULL && atomic_load(&worker->completed) == NULL
        && !(atomic_load(&worker->stopping) && worker->in_flight == 0))
        os_wait(&worker->word, seen, worker->in_flight > 0 || worker->entry_count > 0 ? IDLE_US : UINT64_MAX);
    atomic_store(&worker->sleeping, 0);
}

static void *
worker_main(void *context)
{
    struct worker *worker = context;
    for (;;) {
        (void)settle_all(worker);
        if (worker->ready == NULL)
            take_submitted(worker);
        for (int i = 0; i < STEP_MAX && worker->ready != NULL; i++)
            run(worker, next_ready(worker));
        if (worker->ready != NULL)
            continue;
        cache_trim(worker, os_monotonic_us(worker->bus->os));
        if (atomic_load(&worker->submitted) != NULL || atomic_load(&worker->completed) != NULL)
            continue;
        if (atomic_load(&worker->stopping) && worker->in_flight == 0)
            break;
        sleep_a_while(worker);
    }
    assert(worker->parked == 0);
    cache_close(worker);
    free(worker->keys);
    decision_free(&worker->decision);
    arena_free(&worker->arena);
    arena_free(&worker->fold_arena);
    buf_free(&worker->text);
    return NULL;
}

cairn_err
worker_start(struct worker *worker, struct bus *bus, unsigned index, cairn_error *error)
{
    worker->bus = bus;
    worker->index = index;
    worker->ready_end = &worker->ready;
    worker->bytes_max = bus->apps.state_cache_bytes / bus->worker_count;
    if (os_thread_start(&worker->thread, "cairn-decide", worker_main, worker) != 0)
        return error_set(error, CAIRN_E_NOMEM, "a worker's thread cannot be started");
    worker->started = true;
    return CAIRN_OK;
}

void
worker_stop(struct worker *worker)
{
    if (!worker->started)
        return;
    atomic_store(&worker->stopping, true);
    wake(worker);
    pthread_join(worker->thread, NULL);
}

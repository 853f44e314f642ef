/* Producers: their ids, and what the idempotent ones have sent.
 *
 * Each (topic, partition, producer id) that is active has a state: its epoch and its last five batches. A stripe's lock is held
 * from looking at the state until the append has its place, so that a producer's batches come into the log in the order of their
 * sequences. What is not in memory is read from the log (cairn_producer_batches): there are no snapshots, and nothing to lose.
 *
 *   unknown ──any sequence──► known ──the next one──► known          a gap: OUT_OF_ORDER_SEQUENCE_NUMBER
 *      ▲                       │ │ └──one of the last five──► its offset, as soon as that is durable
 *      │                       │ └──newer epoch, sequence 0──► known   an older one: INVALID_PRODUCER_EPOCH
 *      └──forgotten: an append failed, or too many are known
 *
 * An append that had its place may still fail: a full disk takes it back. Then the state is broken: what comes after is refused
 * as retriable until the last append under way is over, and the state is forgotten, to be read from the log.
 *
 * Ends of appends are told on the commit thread, which must not wait: it puts the flight on the stripe's list, and settles the
 * list if the lock is free. If not, whoever holds the lock settles it when he lets go. */
#include "broker_int.h"
#include "used.h"

#include <base/json.h>
#include <stdlib.h>

#define SLOTS_MIN 64
#define ID_STREAM "$producer-ids"

struct waiter {
    produce_done done;
    void *context;
    struct produced result;
    struct waiter *next;
};

/* One append of one call. */
struct flight {
    struct broker *broker;
    struct stripe *stripe;         /* NULL: no producer */
    struct sequences *sequences;
    struct flight *next;           /* on the stripe's list */
    cairn_err err;
    produce_done done;
    void *context;
    int64_t log_append_time_ms, log_start_offset;
    struct waiter *waiters;        /* duplicates that came before it was durable */
    uint64_t records, bytes, batches;
    uint64_t offsets[];            /* of each batch */
};

struct sent {
    int64_t offset, log_append_time_ms;
    struct flight *flight; /* NULL: durable */
};

/* What a producer has sent to a partition. */
struct sequences {
    cairn_uuid topic_id;
    uint32_t partition;
    int64_t producer_id;
    int16_t epoch;
    bool known;  /* anything at all */
    bool broken;
    uint32_t flights;
    uint32_t rests_on; /* cairn_append_request.epoch, as long as something is not durable */
    struct window window;
    struct sent sent[BATCHES_KNOWN]; /* what is in the window */
    struct sequences *next;          /* in its slot */
    struct sequences *newer, *older; /* used */
};

struct stripe {
    pthread_mutex_t lock;
    struct flight *_Atomic over; /* newest first */
    struct sequences **slots;
    size_t capacity, count;
    struct sequences *newest, *oldest;
};

/* ---- sequences --------------------------------------------------------------------------------------------------------------- */

static int
window_find(const struct window *window, const struct batch_head *head)
{
    for (int i = 0; i < window->count; i++)
        if (window->batches[i].first == head->base_sequence
            && window->batches[i].last == batch_sequence_after(head->base_sequence, head->count - 1))
            return i;
    return -1;
}

enum kafka_err
window_check(const struct window *window, const struct batch_head *head, size_t count, int *ret_duplicate)
{
    *ret_duplicate = window_find(window, head);
    if (*ret_duplicate < 0 && window->count > 0 && head->base_sequence != batch_sequence_after(window->batches[0].last, 1))
        return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    for (size_t i = 1; i < count; i++) {
        const struct batch_head *before = head++;
        if (head->base_sequence != batch_sequence_after(before->base_sequence, before->count))
            return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
        if (*ret_duplicate >= 0 && window_find(window, head) < 0) /* they came in one append, so all are there or none */
            return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    }
    return KAFKA_NONE;
}

void
window_put(struct window *window, const struct batch_head *head)
{
    memmove(&window->batches[1], &window->batches[0], (BATCHES_KNOWN - 1) * sizeof window->batches[0]);
    window->batches[0].first = head->base_sequence;
    window->batches[0].last = batch_sequence_after(head->base_sequence, head->count - 1);
    window->count += window->count < BATCHES_KNOWN;
}

/* ---- producer ids ------------------------------------------------------------------------------------------------------------ */

/* The end of the newest block in the log, and its revision (-1: none). */
static cairn_err
read_blocks(struct broker *broker, int64_t *ret_end, int64_t *ret_revision)
{
    const cairn_read_options options = {.scope = broker->scope, .from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD, .system = true};
    cairn_reader *reader = NULL;
    cairn_recorded event;
    struct json data;
    *ret_end = 0;
    *ret_revision = -1;
    cairn_err err = cairn_read_stream(broker->store, CAIRN_STR(ID_STREAM), &options, &reader, NULL);
    if (err == CAIRN_OK)
        err = cairn_reader_next(reader, &event, NULL);
    if (err == CAIRN_OK) {
        *ret_revision = (int64_t)event.revision;
        if (json_check(event.event.data, &data, NULL) != CAIRN_OK || !json_i64(json_get(data, "end"), ret_end) || *ret_end < 0)
            err = CAIRN_E_CORRUPT;
    }
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

/* Take a block, durably, before any id of it is given away. */
static cairn_err
take_block(struct broker *broker)
{
    struct producers *producers = &broker->producers;
    cairn_err err;
    int tries = 0;
    do {
        int64_t end, revision;
        cairn_at at;
        err = read_blocks(broker, &end, &revision);
        if (err != CAIRN_OK)
            return err;
        struct buf data = {0};
        buf_printf(&data, "{\"end\":%lld}", (long long)end + PRODUCER_BLOCK);
        const cairn_event event = {.type = CAIRN_STR("$producer-ids"), .data = buf_str(&data)};
        const cairn_write write = {.stream = CAIRN_STR(ID_STREAM), .expected = revision == -1 ? CAIRN_NONE : revision,
                                   .events = &event, .event_count = 1};
        const cairn_append_request request = {.scope = broker->scope, .writes = &write, .write_count = 1, .system = true};
        err = data.failed ? CAIRN_E_NOMEM : cairn_append_all(broker->store, &request, &at, NULL);
        buf_free(&data);
        if (err == CAIRN_OK) {
            producers->next_id = end;
            producers->end_id = end + PRODUCER_BLOCK;
            int64_t unknown = INT64_MAX;
            atomic_compare_exchange_strong(&producers->first_new, &unknown, end);
        }
    } while (err == CAIRN_E_CONFLICT && ++tries < CONFLICT_TRIES);
    return err;
}

enum kafka_err
producer_id_new(struct broker *broker, int64_t *ret)
{
    struct producers *producers = &broker->producers;
    cairn_err err = CAIRN_OK;
    pthread_mutex_lock(&producers->id_lock);
    if (producers->next_id == producers->end_id)
        err = take_block(broker);
    if (err == CAIRN_OK)
        *ret = producers->next_id++;
    atomic_store(&producers->given, producers->next_id);
    pthread_mutex_unlock(&producers->id_lock);
    return err == CAIRN_OK ? KAFKA_NONE : KAFKA_COORDINATOR_LOAD_IN_PROGRESS; /* whatever it was: who has no transactions knows this one */
}

/* ---- the table of a stripe; under its lock ----------------------------------------------------------------------------------- */

struct place {
    cairn_uuid topic_id;
    uint32_t partition;
};

static struct stripe *
stripe_of(struct producers *producers, const struct place *place)
{
    return &producers->stripes[hash64(place, sizeof *place, 1) % STRIPES];
}

static struct sequences **
slot_of(const struct stripe *stripe, const struct place *place, int64_t producer_id)
{
    struct sequences **slot =
        &stripe->slots[hash64(&producer_id, sizeof producer_id, hash64(place, sizeof *place, 2)) & (stripe->capacity - 1)];
    while (*slot && ((*slot)->producer_id != producer_id || (*slot)->partition != place->partition ||
                     memcmp(&(*slot)->topic_id, &place->topic_id, sizeof(cairn_uuid)) != 0))
        slot = &(*slot)->next;
    return slot;
}

static struct sequences **
slot_holding(const struct stripe *stripe, const struct sequences *sequences)
{
    const struct place place = {.topic_id = sequences->topic_id, .partition = sequences->partition};
    return slot_of(stripe, &place, sequences->producer_id);
}

static bool
stripe_grow(struct stripe *stripe)
{
    struct stripe larger = {.capacity = stripe->capacity ? stripe->capacity * 2 : SLOTS_MIN};
    larger.slots = calloc(larger.capacity, sizeof(struct sequences *));
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < stripe->capacity; i++)
        for (struct sequences *one = stripe->slots[i], *next; one; one = next) {
            next = one->next;
            one->next = NULL;
            *slot_holding(&larger, one) = one;
        }
    free(stripe->slots);
    stripe->slots = larger.slots;
    stripe->capacity = larger.capacity;
    return true;
}

/* From now on it is looked up in the log, and so are the ids before it. */
static void
forget(struct broker *broker, struct stripe *stripe, struct sequences *one)
{
    _Atomic int64_t *first_new = &broker->producers.first_new;
    int64_t seen = atomic_load(first_new);
    while (seen <= one->producer_id && !atomic_compare_exchange_weak(first_new, &seen, one->producer_id + 1))
        ;
    *slot_holding(stripe, one) = one->next;
    USED_REMOVE(stripe, one);
    stripe->count--;
    atomic_fetch_sub(&broker->producers.count, 1);
    free(one);
}

/* Those that have not been used for longest go, as long as there are too many; but not what is under way. */
static void
make_room(struct broker *broker, struct stripe *stripe, const struct sequences *keep)
{
    while (atomic_load(&broker->producers.count) > broker->options.producers_max) {
        struct sequences *one = stripe->oldest;
        while (one && (one == keep || one->flights > 0))
            one = one->newer;
        if (!one)
            return;
        forget(broker, stripe, one);
    }
}

/* What the log has of it. */
static cairn_err
load(struct broker *broker, const struct view *view, struct sequences *one)
{
    cairn_producer_batch batches[BATCHES_KNOWN];
    size_t count = 0;
    struct producers *producers = &broker->producers;
    if (one->producer_id >= atomic_load(&producers->first_new) && one->producer_id < atomic_load(&producers->given))
        return CAIRN_OK; /* a new producer: there can be nothing */
    cairn_err err = cairn_producer_batches(broker->store, broker->scope, &one->topic_id, one->partition, one->producer_id, batches,
                                           BATCHES_KNOWN, &count, NULL);
    if (err != CAIRN_OK)
        return err;
    one->known = count > 0;
    for (size_t i = 0; i < count && batches[i].epoch == batches[0].epoch; i++) {
        one->epoch = batches[i].epoch;
        one->window.batches[i].first = batches[i].first_sequence;
        one->window.batches[i].last = batches[i].last_sequence;
        one->window.count++;
        one->sent[i] = (struct sent){.offset = (int64_t)batches[i].first_offset,
                                     .log_append_time_ms = view->log_append_time ? batches[i].time_us / 1000 : -1};
    }
    return CAIRN_OK;
}

/* The state of a producer in a partition, from memory or the log. */
static cairn_err
find(struct broker *broker, struct stripe *stripe, const struct view *view, const struct place *place, int64_t producer_id,
     struct sequences **ret)
{
    struct sequences *one = stripe->capacity ? *slot_of(stripe, place, producer_id) : NULL;
    if (one) {
        USED_REMOVE(stripe, one);
        USED_NOW(stripe, one);
        *ret = one;
        return CAIRN_OK;
    }
    if (stripe->count == stripe->capacity && !stripe_grow(stripe))
        return CAIRN_E_NOMEM;
    one = calloc(1, sizeof *one);
    if (!one)
        return CAIRN_E_NOMEM;
    one->topic_id = place->topic_id;
    one->partition = place->partition;
    one->producer_id = producer_id;
    cairn_err err = load(broker, view, one);
    if (err != CAIRN_OK) {
        free(one);
        return err;
    }
    *slot_of(stripe, place, producer_id) = one;
    USED_NOW(stripe, one);
    stripe->count++;
    atomic_fetch_add(&broker->producers.count, 1);
    make_room(broker, stripe, one);
    *ret = one;
    return CAIRN_OK;
}

/* ---- ends of appends --------------------------------------------------------------------------------------------------------- */

static void
answer(struct flight *flight)
{
    struct broker *broker = flight->broker;
    enum kafka_err err = append_err(flight->err);
    const struct produced result = {.err = err, .base_offset = err == KAFKA_NONE ? (int64_t)flight->offsets[0] : -1,
                                    .records = err == KAFKA_NONE ? flight->records : 0,
                                    .log_append_time_ms = err == KAFKA_NONE ? flight->log_append_time_ms : -1,
                                    .log_start_offset = flight->log_start_offset};
    if (err == KAFKA_NONE) {
        atomic_fetch_add_explicit(&broker->records_in, flight->records, memory_order_relaxed);
        atomic_fetch_add_explicit(&broker->bytes_in, flight->bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&broker->batches_in, flight->batches, memory_order_relaxed);
    }
    flight->done(flight->context, &result);
    for (struct waiter *waiter = flight->waiters, *next; waiter; waiter = next) {
        next = waiter->next;
        waiter->done(waiter->context, err == KAFKA_NONE ? &waiter->result : &result);
        free(waiter);
    }
    free(flight);
    flight_ends(broker);
}

/* What is over is entered; the list to answer, in order. Under the lock. */
static struct flight *
settle(struct broker *broker, struct stripe *stripe)
{
    struct flight *list = NULL;
    for (struct flight *flight = atomic_exchange(&stripe->over, NULL), *next; flight; flight = next) {
        next = flight->next;
        flight->next = list;
        list = flight;
        struct sequences *one = flight->sequences;
        for (size_t i = 0; i < one->window.count; i++)
            if (one->sent[i].flight == flight)
                one->sent[i].flight = NULL;
        one->broken |= flight->err != CAIRN_OK;
        if (--one->flights > 0)
            continue;
        one->rests_on = 0;
        if (one->broken)
            forget(broker, stripe, one);
    }
    return list;
}

/* Settle and answer what is over, unless somebody has the lock, who will. */
static void
stripe_settle(struct broker *broker, struct stripe *stripe)
{
    while (atomic_load(&stripe->over) && pthread_mutex_trylock(&stripe->lock) == 0) {
        struct flight *list = settle(broker, stripe);
        pthread_mutex_unlock(&stripe->lock);
        for (struct flight *next; list; list = next) {
            next = list->next;
            answer(list);
        }
    }
}

static void
flight_over(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    struct flight *flight = context;
    struct stripe *stripe = flight->stripe;
    struct broker *broker = flight->broker;
    (void)at;
    (void)error;
    flight->err = err;
    if (!stripe) {
        answer(flight);
        return;
    }
    flight_begins(broker); /* the flight may be answered by another, and the broker closed, before we have looked */
    flight->next = atomic_load(&stripe->over);
    while (!atomic_compare_exchange_weak(&stripe->over, &flight->next, flight))
        ;
    stripe_settle(broker, stripe);
    flight_ends(broker);
}

/* ---- appending --------------------------------------------------------------------------------------------------------------- */

static void
refuse(const struct appending *appending, enum kafka_err err, const char *message)
{
    const struct produced refusal = {.err = err, .base_offset = -1, .log_append_time_ms = -1,
                                     .log_start_offset = view_start(appending->view, appending->partition), .message = message};
    appending->done(appending->context, &refusal);
}

static struct flight *
flight_new(const struct appending *appending)
{
    struct flight *flight = calloc(1, sizeof *flight + appending->count * sizeof *flight->offsets);
    if (!flight)
        return NULL;
    flight->broker = appending->broker;
    flight->done = appending->done;
    flight->context = appending->context;
    flight->log_append_time_ms = appending->log_append_time_ms;
    flight->log_start_offset = view_start(appending->view, appending->partition);
    flight->batches = appending->count;
    for (size_t i = 0; i < appending->count; i++) {
        flight->records += appending->heads[i].count;
        flight->bytes += appending->batches[i].size;
    }
    return flight;
}

/* rests_on: NULL, or as cairn_append_request.epoch. */
static cairn_err
append(const struct appending *appending, struct flight *flight, uint32_t *rests_on, cairn_error *error)
{
    cairn_batch few[4], *batches = few;
    cairn_at at;
    if (appending->count > sizeof few / sizeof *few)
        batches = malloc(appending->count * sizeof *batches);
    if (!batches)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the append");
    for (size_t i = 0; i < appending->count; i++)
        batches[i] = (cairn_batch){.topic_id = appending->view->topic->id, .partition = appending->partition,
                                   .bytes = appending->batches[i], .ret_offset = &flight->offsets[i]};
    const cairn_append_request request = {.scope = appending->broker->scope, .batches = batches, .batch_count = appending->count,
                                          .ret_sequenced = &at, .epoch = rests_on, .system = true};
    flight_begins(appending->broker);
    cairn_err err = cairn_append_async(appending->broker->store, &request, flight_over, flight, error);
    if (err != CAIRN_OK)
        flight_ends(appending->broker);
    if (batches != few)
        free(batches);
    return err;
}

void
append_plain(const struct appending *appending)
{
    cairn_error error = {.detail = ""};
    struct flight *flight = flight_new(appending);
    cairn_err err = flight ? append(appending, flight, NULL, &error) : CAIRN_E_NOMEM;
    if (err != CAIRN_OK) {
        free(flight);
        refuse(appending, append_err(err), error.detail);
    }
}

/* ---- in order ----------------------------------------------------------------------------------------------------------------- */

/* May these batches be appended? *ret_duplicate: they are there already, and this is the first; or -1. */
static enum kafka_err
check_sequences(const struct sequences *one, const struct appending *appending, int *ret_duplicate)
{
    static const struct window nothing;
    const struct batch_head *head = &appending->heads[0];
    if (one->known && head->producer_epoch < one->epoch)
        return KAFKA_INVALID_PRODUCER_EPOCH;
    if (one->known && head->producer_epoch > one->epoch && head->base_sequence != 0)
        return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    bool same = one->known && head->producer_epoch == one->epoch;
    return window_check(same ? &one->window : &nothing, head, appending->count, ret_duplicate);
}

static void
remember(struct sequences *one, const struct appending *appending, struct flight *flight)
{
    const struct batch_head *head = appending->heads;
    if (!one->known || one->epoch != head->producer_epoch)
        one->window.count = 0; /* flights of an older epoch are not asked for again */
    one->known = true;
    one->epoch = head->producer_epoch;
    for (size_t i = 0; i < appending->count; i++, head++) {
        memmove(&one->sent[1], &one->sent[0], (BATCHES_KNOWN - 1) * sizeof one->sent[0]);
        window_put(&one->window, head);
        one->sent[0] = (struct sent){.offset = (int64_t)flight->offsets[i], .log_append_time_ms = appending->log_append_time_ms,
                                     .flight = flight};
    }
    one->flights++;
}

/* A duplicate is answered when the one that it repeats is durable. True: the answer is due now, in *ret. */
static bool
join(const struct appending *appending, const struct sent *sent, struct produced *ret)
{
    *ret = (struct produced){.err = KAFKA_NONE, .base_offset = sent->offset, .log_append_time_ms = sent->log_append_time_ms,
                             .log_start_offset = view_start(appending->view, appending->partition)};
    if (!sent->flight)
        return true;
    struct waiter *waiter = malloc(sizeof *waiter);
    if (!waiter) {
        *ret = (struct produced){.err = KAFKA_REQUEST_TIMED_OUT, .base_offset = -1, .log_append_time_ms = -1, .log_start_offset = -1};
        return true;
    }
    *waiter = (struct waiter){.done = appending->done, .context = appending->context, .result = *ret, .next = sent->flight->waiters};
    sent->flight->waiters = waiter;
    return false;
}

/* Under the stripe's lock. True: the answer is due now, in *ret. */
static bool
append_next(const struct appending *appending, struct stripe *stripe, const struct place *place, struct produced *ret,
            cairn_error *error)
{
    struct broker *broker = appending->broker;
    struct sequences *one = NULL;
    struct flight *flight = NULL;
    int duplicate = -1;
    *ret = (struct produced){.base_offset = -1, .log_append_time_ms = -1,
                             .log_start_offset = view_start(appending->view, appending->partition)};
    cairn_err err = find(broker, stripe, appending->view, place, appending->heads[0].producer_id, &one);
    ret->err = err == CAIRN_OK && one->broken ? KAFKA_STORAGE_ERROR : append_err(err);
    if (ret->err == KAFKA_NONE)
        ret->err = check_sequences(one, appending, &duplicate);
    if (ret->err == KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER)
        atomic_fetch_add(&broker->out_of_order, 1);
    if (ret->err != KAFKA_NONE)
        return true;
    if (duplicate >= 0) {
        atomic_fetch_add(&broker->duplicates, 1);
        return join(appending, &one->sent[duplicate], ret);
    }
    flight = flight_new(appending);
    if (!flight) {
        ret->err = kafka_err_of(CAIRN_E_NOMEM);
        return true;
    }
    flight->stripe = stripe;
    flight->sequences = one;
    err = append(appending, flight, &one->rests_on, error);
    if (err != CAIRN_OK) {
        free(flight);
        ret->err = append_err(err);
        ret->message = error->detail;
        return true;
    }
    remember(one, appending, flight);
    return false;
}

void
append_idempotent(const struct appending *appending)
{
    struct broker *broker = appending->broker;
    struct place place;
    memset(&place, 0, sizeof place); /* hashed whole */
    place.topic_id = appending->view->topic->id;
    place.partition = appending->partition;
    struct stripe *stripe = stripe_of(&broker->producers, &place);
    struct produced result;
    cairn_error error = {.detail = ""};
    pthread_mutex_lock(&stripe->lock);
    bool due = append_next(appending, stripe, &place, &result, &error);
    pthread_mutex_unlock(&stripe->lock);
    stripe_settle(broker, stripe);
    if (due)
        appending->done(appending->context, &result);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------------------- */

cairn_err
producers_open(struct broker *broker)
{
    struct producers *producers = &broker->producers;
    pthread_mutex_init(&producers->id_lock, NULL);
    atomic_init(&producers->first_new, INT64_MAX);
    producers->stripes = calloc(STRIPES, sizeof *producers->stripes);
    if (!producers->stripes)
        return CAIRN_E_NOMEM;
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&producers->stripes[i].lock, NULL);
    return CAIRN_OK;
}

void
producers_close(struct broker *broker)
{
    struct producers *producers = &broker->producers;
    for (size_t i = 0; i < STRIPES && producers->stripes; i++) {
        struct stripe *stripe = &producers->stripes[i];
        for (struct sequences *one = stripe->newest, *older; one; one = older) {
            older = one->older;
            free(one);
        }
        free(stripe->slots);
        pthread_mutex_destroy(&stripe->lock);
    }
    free(producers->stripes);
    pthread_mutex_destroy(&producers->id_lock);
}

/* ---- looking ----------------------------------------------------------------------------------------------------------------- */

void
broker_producers(struct broker *broker, const cairn_uuid *topic_id, uint32_t partition, producer_visit visit, void *context)
{
    bool more = true;
    for (unsigned i = 0; more && i < STRIPES; i++) {
        struct stripe *stripe = &broker->producers.stripes[i];
        pthread_mutex_lock(&stripe->lock);
        for (const struct sequences *one = stripe->newest; more && one; one = one->older) {
            const struct producer_info info = {{one->producer_id, one->epoch}, one->window.count ? one->window.batches[0].last : -1};
            if (one->known && one->partition == partition && memcmp(&one->topic_id, topic_id, sizeof *topic_id) == 0)
                more = visit(context, &info);
        }
        pthread_mutex_unlock(&stripe->lock);
        stripe_settle(broker, stripe);
    }
}

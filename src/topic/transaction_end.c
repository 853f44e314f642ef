/* The end of a transaction: one append of its state, its offsets and all its batches, or of its state alone.
 *
 * While the append is under way the transaction is busy, so what it holds stays where it is, and the lock is free. Its end is told
 * on the commit thread, which must not wait for the lock: it puts the ending on a list, which is settled by it, or else by whoever
 * has the lock, when he lets go (as with producers.c).
 *
 * When the append is refused for a moment (a full disk), the transaction is open as before, and the client ends it again. What the
 * log can never take was refused when it came; should there be any nevertheless, the transaction is lost, and says so. */
#include "transactions_int.h"

#include <stdlib.h>
#include <topic/groups.h>

struct ending {
    struct ending *next;
    struct broker *broker;
    struct transaction *transaction;
    bool commit;
    cairn_err err;
    enum kafka_err answer;
    end_done done;
    void *context;
};

/* ---- what is appended -------------------------------------------------------------------------------------------------------- */

struct end_request {
    struct arena arena;
    cairn_write *writes;
    size_t write_count;
    cairn_batch *batches;
    size_t batch_count;
};

static bool
add_write(struct end_request *request, cairn_str stream, int64_t expected, const cairn_event *event)
{
    cairn_event *copy = arena_alloc(&request->arena, sizeof *copy);
    cairn_str name = arena_copy(&request->arena, stream);
    if (!copy || !name.data)
        return false;
    *copy = *event;
    copy->data = arena_copy(&request->arena, event->data);
    request->writes[request->write_count++] = (cairn_write){.stream = name, .expected = expected, .events = copy, .event_count = 1};
    return copy->data.data != NULL;
}

static bool
add_state(struct end_request *request, const struct transaction *one, bool commit)
{
    /* Not all of it: its place among those that were used is others' to change now. */
    const struct transaction as = {.producer = one->producer, .before = one->before, .timed_out = one->timed_out,
                                   .timeout_ms = one->timeout_ms, .state = commit ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT};
    struct buf data = {0};
    cairn_event event;
    char name[512];
    bool made = transaction_event(&as, &data, &event) &&
                add_write(request, transaction_stream(transaction_id(one), name), one->revision == -1 ? CAIRN_NONE : one->revision, &event);
    buf_free(&data);
    return made;
}

static bool
add_offset(struct end_request *request, const struct held_offset *held)
{
    struct buf data = {0};
    cairn_event event;
    char name[OFFSET_STREAM_ROOM];
    cairn_str stream = groups_offset_stream(held->group, held->commit.topic, held->commit.partition, name);
    bool made = groups_offset_event(&held->commit, &data, &event) && add_write(request, stream, CAIRN_ANY, &event);
    buf_free(&data);
    return made;
}

/* What was sent to a topic that has been deleted since is gone with it, as in Kafka. */
static void
add_batches(struct broker *broker, struct end_request *request, const struct txn_partition *partition)
{
    cairn_topic_ref *ref = NULL;
    if (!partition->first || cairn_topic_by_id(broker->store, broker->scope, &partition->topic_id, &ref, NULL) != CAIRN_OK)
        return;
    cairn_topic_release(ref);
    for (const struct held *held = partition->first; held; held = held->next)
        request->batches[request->batch_count++] = (cairn_batch){.topic_id = partition->topic_id, .partition = partition->partition,
                                                                 .bytes = {(const char *)held->bytes, held->size}};
}

static bool
make_request(struct broker *broker, const struct transaction *one, bool commit, struct end_request *request)
{
    request->writes = arena_alloc(&request->arena, (one->offset_count + 1) * sizeof *request->writes);
    request->batches = arena_alloc(&request->arena, (one->held_batches + 1) * sizeof *request->batches);
    if (!request->writes || !request->batches || !add_state(request, one, commit))
        return false;
    for (size_t i = 0; i < one->offset_count && commit; i++)
        if (!add_offset(request, &one->offsets[i]))
            return false;
    for (size_t i = 0; i < one->partition_count && commit; i++)
        add_batches(broker, request, &one->partitions[i]);
    return true;
}

/* ---- the append is over ------------------------------------------------------------------------------------------------------ */

/* Under the lock. */
static void
settle_one(struct broker *broker, struct ending *ending)
{
    struct transactions *all = broker->transactions;
    struct transaction *one = ending->transaction;
    one->busy = false;
    ending->answer = transaction_err(ending->err);
    if (ending->err == CAIRN_OK) {
        if (ending->commit) {
            atomic_fetch_add_explicit(&broker->records_in, one->held_records, memory_order_relaxed);
            atomic_fetch_add_explicit(&broker->bytes_in, one->held_bytes, memory_order_relaxed);
            atomic_fetch_add_explicit(&broker->batches_in, one->held_batches, memory_order_relaxed);
        }
        transaction_become(all, one, ending->commit ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT);
        one->revision++;
        transaction_forget_held(all, one);
    } else if (ending->err == CAIRN_E_INVALID || ending->err == CAIRN_E_LIMIT) {
        transaction_become(all, one, TXN_LOST);
        transaction_forget_held(all, one);
        ending->answer = KAFKA_INVALID_PRODUCER_ID_MAPPING;
    }
}

void
transactions_settle(struct broker *broker)
{
    struct transactions *all = broker->transactions;
    while (atomic_load(&all->over) && pthread_mutex_trylock(&all->lock) == 0) {
        struct ending *list = NULL, *next;
        for (struct ending *ending = atomic_exchange(&all->over, NULL); ending; ending = next) {
            next = ending->next;
            settle_one(broker, ending);
            ending->next = list;
            list = ending;
        }
        pthread_mutex_unlock(&all->lock);
        for (; list; list = next) {
            next = list->next;
            list->done(list->context, list->answer);
            free(list);
            flight_ends(broker);
        }
    }
}

static void
end_over(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    struct ending *ending = context;
    struct broker *broker = ending->broker;
    struct transactions *all = broker->transactions;
    (void)at;
    (void)error;
    ending->err = err;
    flight_begins(broker); /* the ending may be answered by another, and the broker closed, before we have looked */
    ending->next = atomic_load(&all->over);
    while (!atomic_compare_exchange_weak(&all->over, &ending->next, ending))
        ;
    transactions_settle(broker);
    flight_ends(broker);
}

/* ---- the call ---------------------------------------------------------------------------------------------------------------- */

/* True: the answer is clear already, in *ret. Under the lock. */
static bool
is_answered(const struct transaction *one, struct producer producer, bool commit, enum kafka_err *ret)
{
    *ret = transaction_check(one, producer);
    if (*ret != KAFKA_NONE) {
        bool late = one->timed_out && producer.id == one->before.id && producer.epoch == one->before.epoch;
        if (late && !commit)
            *ret = KAFKA_NONE; /* that it is */
        return true;
    }
    switch (one->state) {
    case TXN_ONGOING: return false;
    case TXN_LOST: *ret = KAFKA_INVALID_PRODUCER_ID_MAPPING; return commit;
    case TXN_COMPLETE_COMMIT: *ret = commit ? KAFKA_NONE : KAFKA_INVALID_TXN_STATE; return true;
    case TXN_COMPLETE_ABORT: *ret = commit ? KAFKA_INVALID_TXN_STATE : KAFKA_NONE; return true;
    case TXN_EMPTY: break;
    }
    *ret = KAFKA_INVALID_TXN_STATE;
    return true;
}

static cairn_err
append_end(struct broker *broker, const struct transaction *one, struct ending *ending)
{
    struct end_request made = {.write_count = 0};
    cairn_err err = CAIRN_E_NOMEM;
    if (make_request(broker, one, ending->commit, &made)) {
        const cairn_append_request request = {.scope = broker->scope, .writes = made.writes, .write_count = made.write_count,
                                              .batches = made.batches, .batch_count = made.batch_count, .system = true};
        flight_begins(broker);
        err = cairn_append_async(broker->store, &request, end_over, ending, NULL);
        if (err != CAIRN_OK)
            flight_ends(broker);
    }
    arena_free(&made.arena);
    return err;
}

void
broker_transaction_end_async(struct broker *broker, cairn_str transactional_id, struct producer producer, bool commit,
                             end_done done, void *context)
{
    struct transactions *all = broker->transactions;
    struct transaction *one = NULL;
    struct ending *ending = malloc(sizeof *ending);
    enum kafka_err answer = KAFKA_COORDINATOR_NOT_AVAILABLE;
    bool answered = true;
    if (!ending) {
        done(context, answer);
        return;
    }
    *ending = (struct ending){.broker = broker, .commit = commit, .done = done, .context = context};
    pthread_mutex_lock(&all->lock);
    answer = transaction_find(broker, transactional_id, false, &one);
    if (answer == KAFKA_NONE)
        answered = is_answered(one, producer, commit, &answer);
    if (!answered) {
        one->busy = true;
        ending->transaction = one;
    }
    pthread_mutex_unlock(&all->lock);
    if (!answered) {
        cairn_err err = append_end(broker, one, ending);
        if (err == CAIRN_OK) { /* and the ending may be gone already */
            transactions_settle(broker);
            return;
        }
        ending->err = err;
        pthread_mutex_lock(&all->lock);
        settle_one(broker, ending);
        answer = ending->answer;
        pthread_mutex_unlock(&all->lock);
    }
    transactions_settle(broker);
    free(ending);
    done(context, answer);
}

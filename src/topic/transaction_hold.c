/* Batches of a transaction: checked when they come, and held until the end.
 *
 * Whatever the log could refuse at the commit is refused here, for then it would be too late to tell the producer which batch it was:
 * records are walked, sizes bounded. Sequences are checked as those of other producers are (producers.c), but that an epoch is the
 * transaction's. */
#include "transactions_int.h"

#include <stdlib.h>

static void
free_list(struct held *held)
{
    for (struct held *next; held; held = next) {
        next = held->next;
        free(held);
    }
}

static struct held *
copy_batches(const struct appending *appending)
{
    struct held *first = NULL, **end = &first;
    for (size_t i = 0; i < appending->count; i++) {
        struct held *held = malloc(sizeof *held + appending->batches[i].size);
        *end = held;
        if (!held) {
            free_list(first);
            return NULL;
        }
        held->next = NULL;
        held->size = appending->batches[i].size;
        held->records = appending->heads[i].count;
        memcpy(held->bytes, appending->batches[i].data, held->size);
        end = &held->next;
    }
    return first;
}

/* Whatever the log would refuse is refused now: at the commit it is too late. */
static const char *
check_whole(const struct appending *appending)
{
    struct batch_cursor cursor = {.left = 0};
    struct batch_record record;
    const char *fault = NULL;
    size_t limit = appending->broker->store->event_size_max;
    for (size_t i = 0; i < appending->count && !fault; i++) {
        fault = batch_open(&cursor, appending->batches[i]);
        for (int64_t number = 0; !fault && batch_next(&cursor, &record); number++) {
            if (record.offset_delta != number)
                fault = "The offset deltas of the records are not 0, 1, 2 …";
            else if (record.key.size + record.value.size + record.headers.size > limit)
                fault = "A record is larger than an event may be.";
        }
        if (!fault)
            fault = cursor.fault;
    }
    batch_close(&cursor);
    return fault;
}

static bool
is_fenced(const struct transaction *one, const struct appending *appending)
{
    const struct batch_head *head = &appending->heads[0];
    return transaction_check(one, (struct producer){.id = head->producer_id, .epoch = head->producer_epoch}) == KAFKA_PRODUCER_FENCED;
}

/* The partition in its open transaction. */
static enum kafka_err
find_open(const struct transaction *one, const struct appending *appending, struct txn_partition **ret)
{
    const struct batch_head *head = &appending->heads[0];
    const struct producer producer = {.id = head->producer_id, .epoch = head->producer_epoch};
    bool there = false;
    enum kafka_err err = transaction_check(one, producer);
    if (err == KAFKA_PRODUCER_FENCED)
        return KAFKA_INVALID_PRODUCER_EPOCH; /* what Produce says */
    if (err == KAFKA_NONE && one->state == TXN_LOST)
        err = KAFKA_INVALID_PRODUCER_ID_MAPPING;
    if (err != KAFKA_NONE)
        return err;
    size_t at = transaction_partition(one, &appending->view->topic->id, appending->partition, &there);
    if (one->state != TXN_ONGOING || !there || !one->partitions[at].added)
        return KAFKA_INVALID_TXN_STATE;
    *ret = &one->partitions[at];
    return KAFKA_NONE;
}

/* Take over the list; NULL in *list: it is held. */
static enum kafka_err
hold(struct broker *broker, struct transaction *one, const struct appending *appending, struct held **list, const char **ret_message)
{
    struct transactions *all = broker->transactions;
    struct txn_partition *partition = NULL;
    int duplicate = -1;
    uint64_t bytes = 0, records = 0, append_bytes = one->append_bytes;
    enum kafka_err err = find_open(one, appending, &partition);
    if (err == KAFKA_NONE && partition->window.count == 0 && one->begun_here && appending->heads[0].base_sequence != 0)
        err = KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    if (err == KAFKA_NONE)
        err = window_check(&partition->window, appending->heads, appending->count, &duplicate);
    if (err == KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER)
        atomic_fetch_add(&broker->out_of_order, 1);
    if (duplicate >= 0 && err == KAFKA_NONE)
        atomic_fetch_add(&broker->duplicates, 1);
    if (err != KAFKA_NONE || duplicate >= 0)
        return err;
    for (const struct held *held = *list; held; held = held->next) {
        bytes += held->size;
        records += held->records;
        append_bytes += held->size + 8 * (uint64_t)held->records + BATCH_APPEND_BYTES + appending->view->topic->category.size;
    }
    if (one->held_bytes + bytes > broker->options.transaction_bytes || one->held_records + records > TRANSACTION_RECORDS_MAX
        || append_bytes > broker->store->append_bytes_max) {
        *ret_message = "The transaction is larger than one append may be: commit more often.";
        return KAFKA_RECORD_LIST_TOO_LARGE;
    }
    if (all->held_bytes + bytes > broker->options.transactions_bytes) {
        *ret_message = "All open transactions together are too large: try again when some have ended.";
        return KAFKA_REQUEST_TIMED_OUT;
    }
    *(partition->last ? &partition->last->next : &partition->first) = *list;
    for (const struct batch_head *head = appending->heads; *list; *list = (*list)->next, head++) {
        partition->last = *list;
        window_put(&partition->window, head);
        one->held_batches++;
    }
    one->append_bytes = append_bytes;
    one->held_bytes += bytes;
    one->held_records += records;
    all->held_bytes += bytes;
    return KAFKA_NONE;
}

void
transaction_hold(const struct appending *appending, cairn_str transactional_id)
{
    struct broker *broker = appending->broker;
    struct transactions *all = broker->transactions;
    struct transaction *one = NULL;
    struct held *list = NULL;
    struct produced result = {.base_offset = -1, .log_append_time_ms = -1,
                              .log_start_offset = view_start(appending->view, appending->partition)};
    result.message = check_whole(appending);
    result.err = result.message ? fault_err(result.message) : KAFKA_NONE;
    if (result.err == KAFKA_NONE) {
        list = copy_batches(appending);
        result.err = list ? KAFKA_NONE : kafka_err_of(CAIRN_E_NOMEM);
    }
    if (result.err == KAFKA_NONE && transactional_id.size == 0) {
        result.err = KAFKA_INVALID_TXN_STATE;
        result.message = "The batch is transactional, but the request has no transactional id.";
    }
    if (result.err == KAFKA_NONE) {
        pthread_mutex_lock(&all->lock);
        result.err = transaction_find(broker, transactional_id, false, &one);
        if (result.err == KAFKA_NONE)
            result.err = hold(broker, one, appending, &list, &result.message);
        else if (result.err == KAFKA_CONCURRENT_TRANSACTIONS) /* it is just ending, or being fenced */
            result.err = is_fenced(one, appending) ? KAFKA_INVALID_PRODUCER_EPOCH : KAFKA_INVALID_TXN_STATE;
        pthread_mutex_unlock(&all->lock);
        transactions_settle(broker);
    }
    free_list(list);
    appending->done(appending->context, &result);
}

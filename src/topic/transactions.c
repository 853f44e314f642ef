/* Transactions: the calls of their producers, up to the end (transaction_end.c). transactions_int.h says what they are. */
#include "transactions_int.h"
#include "used.h"

#include <base/text.h>
#include <stdlib.h>
#include <topic/groups.h>

#define SLOTS_MIN 64

/* ---- the table; under the lock ----------------------------------------------------------------------------------------------- */

static struct transaction **
slot_of(const struct transactions *all, cairn_str id)
{
    struct transaction **slot = &all->slots[hash64(id.data, id.size, 3) & (all->capacity - 1)];
    while (*slot && !cairn_str_equal(transaction_id(*slot), id))
        slot = &(*slot)->next;
    return slot;
}

static struct used_transactions *
list_of(struct transactions *all, const struct transaction *one)
{
    return one->state == TXN_ONGOING ? &all->open : &all->resting;
}

void
transaction_become(struct transactions *all, struct transaction *one, enum transaction_state state)
{
    USED_REMOVE(list_of(all, one), one);
    all->open_count -= one->state == TXN_ONGOING;
    one->state = state;
    all->open_count += one->state == TXN_ONGOING;
    USED_NOW(list_of(all, one), one);
}

static bool
table_grow(struct transactions *all)
{
    struct transactions larger = {.capacity = all->capacity ? all->capacity * 2 : SLOTS_MIN};
    larger.slots = calloc(larger.capacity, sizeof(struct transaction *));
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < all->capacity; i++)
        for (struct transaction *one = all->slots[i], *next; one; one = next) {
            next = one->next;
            one->next = NULL;
            *slot_of(&larger, transaction_id(one)) = one;
        }
    free(all->slots);
    all->slots = larger.slots;
    all->capacity = larger.capacity;
    return true;
}

void
transaction_forget_held(struct transactions *all, struct transaction *one)
{
    for (size_t i = 0; i < one->partition_count; i++) {
        struct txn_partition *partition = &one->partitions[i];
        for (struct held *held = partition->first, *next; held; held = next) {
            next = held->next;
            free(held);
        }
        partition->first = partition->last = NULL;
        partition->added = false;
    }
    all->held_bytes -= one->held_bytes;
    one->held_bytes = one->held_records = 0;
    one->append_bytes = 0;
    one->held_batches = 0;
    one->groups = NULL;
    one->offsets = NULL;
    one->offset_heads = NULL;
    one->group_count = one->group_capacity = one->offset_count = one->offset_capacity = 0;
    arena_free(&one->arena);
}

void
transaction_forget_sequences(struct transaction *one)
{
    for (size_t i = 0; i < one->partition_count; i++)
        free((char *)(uintptr_t)one->partitions[i].topic.data);
    one->partition_count = 0;
}

static void
transaction_free(struct transactions *all, struct transaction *one)
{
    transaction_forget_held(all, one);
    transaction_forget_sequences(one);
    free(one->partitions);
    free(one);
}

/* Those that have rested longest are left to the log. */
static void
make_room(struct transactions *all)
{
    struct transaction *one = all->resting.oldest;
    while (one && all->count >= TRANSACTIONS_MAX) {
        struct transaction *newer = one->newer;
        if (!one->busy) {
            *slot_of(all, transaction_id(one)) = one->next;
            USED_REMOVE(&all->resting, one);
            all->count--;
            transaction_free(all, one);
        }
        one = newer;
    }
}

/* One that is in nobody's table yet, as the log has it. */
static enum kafka_err
load(struct broker *broker, cairn_str id, struct transaction **ret)
{
    struct transaction *one = calloc(1, sizeof *one + id.size);
    if (!one)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    memcpy(one->id, id.data, id.size);
    one->id_size = id.size;
    one->before = (struct producer){.id = -1, .epoch = -1};
    cairn_err err = transaction_load(broker, one);
    if (err != CAIRN_OK) {
        free(one);
        return transaction_err(err);
    }
    *ret = one;
    return KAFKA_NONE;
}

enum kafka_err
transaction_find(struct broker *broker, cairn_str id, bool create, struct transaction **ret)
{
    struct transactions *all = broker->transactions;
    if (id.size == 0 || id.size > TRANSACTIONAL_ID_MAX || !utf8_valid(id) || memchr(id.data, '\0', id.size))
        return KAFKA_INVALID_REQUEST;
    struct transaction *one = all->capacity ? *slot_of(all, id) : NULL;
    if (!one) {
        struct transaction *loaded = NULL;
        pthread_mutex_unlock(&all->lock); /* the disk may be asked */
        enum kafka_err err = load(broker, id, &loaded);
        pthread_mutex_lock(&all->lock);
        if (err != KAFKA_NONE)
            return err;
        one = all->capacity ? *slot_of(all, id) : NULL; /* somebody else was quicker */
        if (one || (!loaded->exists && !create)) {
            transaction_free(all, loaded);
        } else {
            make_room(all);
            if (all->count == all->capacity && !table_grow(all)) {
                transaction_free(all, loaded);
                return KAFKA_COORDINATOR_NOT_AVAILABLE;
            }
            *slot_of(all, id) = one = loaded;
            USED_NOW(list_of(all, one), one);
            all->count++;
        }
    }
    if (!one || (!one->exists && !create))
        return KAFKA_INVALID_PRODUCER_ID_MAPPING;
    USED_REMOVE(list_of(all, one), one);
    USED_NOW(list_of(all, one), one);
    *ret = one;
    return one->busy ? KAFKA_CONCURRENT_TRANSACTIONS : KAFKA_NONE;
}

/* A producer whose transaction has timed out is told what makes it abort and go on; one that was fenced, that it is over. */
enum kafka_err
transaction_check(const struct transaction *one, struct producer producer)
{
    if (one->timed_out && producer.id == one->before.id && producer.epoch == one->before.epoch)
        return KAFKA_INVALID_PRODUCER_ID_MAPPING;
    if (producer.id != one->producer.id)
        return KAFKA_INVALID_PRODUCER_ID_MAPPING;
    if (producer.epoch != one->producer.epoch)
        return KAFKA_PRODUCER_FENCED;
    return KAFKA_NONE;
}

/* ---- a new producer ---------------------------------------------------------------------------------------------------------- */

/* What the producer is to be. *ret_keep: as it is, since this is a call that has come before. */
static enum kafka_err
next_producer(const struct transaction *one, struct producer expected, struct transaction *as, bool *ret_new_id, bool *ret_keep)
{
    bool exhausted = one->producer.epoch >= EPOCH_LAST;
    *ret_new_id = !one->exists || exhausted;
    *ret_keep = false;
    if (one->exists && expected.id >= 0) {
        bool same = expected.id == one->producer.id && expected.epoch == one->producer.epoch;
        bool last = expected.id == one->before.id && expected.epoch == one->before.epoch;
        if (!same && !last)
            return KAFKA_PRODUCER_FENCED;
        if (last && !same && one->state == TXN_ONGOING)
            return KAFKA_PRODUCER_FENCED; /* somebody works with the newer one */
        *ret_keep = last && !same && !exhausted;
    }
    /* Only who has said which one he is may ask again: to another instance, the one before is fenced. */
    if (!*ret_keep)
        as->before = one->exists && expected.id >= 0 ? one->producer : (struct producer){.id = -1, .epoch = -1};
    if (!*ret_new_id && !*ret_keep)
        as->producer.epoch++;
    as->timed_out = false;
    as->state = TXN_EMPTY;
    return KAFKA_NONE;
}

/* Enter what has been written. */
static void
take_over(struct transactions *all, struct transaction *one, const struct transaction *as, bool keep_sequences)
{
    transaction_forget_held(all, one);
    if (!keep_sequences)
        transaction_forget_sequences(one);
    transaction_become(all, one, as->state);
    one->producer = as->producer;
    one->before = as->before;
    one->timed_out = as->timed_out;
    one->timeout_ms = as->timeout_ms;
    one->exists = true;
    one->revision++;
}

/* Without the lock; one is busy. */
static enum kafka_err
write_producer(struct broker *broker, const struct transaction *one, struct transaction *as, bool new_id)
{
    enum kafka_err err = KAFKA_NONE;
    if (new_id) {
        err = producer_id_new(broker, &as->producer.id);
        as->producer.epoch = 0;
    }
    return err == KAFKA_NONE ? transaction_err(transaction_write(broker, as, transaction_id(one))) : KAFKA_COORDINATOR_NOT_AVAILABLE;
}

enum kafka_err
transaction_init(struct broker *broker, cairn_str id, int32_t timeout_ms, struct producer expected, struct producer *ret)
{
    struct transactions *all = broker->transactions;
    struct transaction *one = NULL, as;
    bool new_id = false, keep = false;
    if (timeout_ms <= 0 || (uint32_t)timeout_ms > broker->options.transaction_timeout_max_ms)
        return KAFKA_INVALID_TRANSACTION_TIMEOUT;
    pthread_mutex_lock(&all->lock);
    enum kafka_err err = transaction_find(broker, id, true, &one);
    if (err == KAFKA_NONE) {
        as = *one;
        as.timeout_ms = timeout_ms;
        err = next_producer(one, expected, &as, &new_id, &keep);
    }
    if (err == KAFKA_NONE) {
        one->busy = true;
        pthread_mutex_unlock(&all->lock);
        err = write_producer(broker, one, &as, new_id);
        pthread_mutex_lock(&all->lock);
        one->busy = false;
        if (err == KAFKA_NONE) {
            take_over(all, one, &as, false);
            one->begun_here = true;
            *ret = one->producer;
        }
    }
    pthread_mutex_unlock(&all->lock);
    transactions_settle(broker);
    return err;
}

enum kafka_err
broker_producer_init(struct broker *broker, cairn_str transactional_id, int32_t timeout_ms, struct producer expected,
                     struct producer *ret)
{
    if (transactional_id.size > 0)
        return transaction_init(broker, transactional_id, timeout_ms, expected, ret);
    ret->epoch = 0;
    return producer_id_new(broker, &ret->id);
}

/* ---- partitions and groups --------------------------------------------------------------------------------------------------- */

static int
compare_place(const struct txn_partition *partition, const cairn_uuid *topic_id, uint32_t number)
{
    int order = memcmp(&partition->topic_id, topic_id, sizeof *topic_id);
    return order ? order : (partition->partition > number) - (partition->partition < number);
}

size_t
transaction_partition(const struct transaction *one, const cairn_uuid *topic_id, uint32_t number, bool *ret_there)
{
    size_t low = 0, high = one->partition_count;
    *ret_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_place(&one->partitions[middle], topic_id, number);
        if (order == 0) {
            *ret_there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Those that are not of this transaction go, with the sequences that were known of them. */
static void
forget_others(struct transaction *one)
{
    size_t kept = 0;
    for (size_t i = 0; i < one->partition_count; i++)
        if (one->partitions[i].added)
            one->partitions[kept++] = one->partitions[i];
        else
            free((char *)(uintptr_t)one->partitions[i].topic.data);
    one->partition_count = kept;
    one->begun_here = false;
}

static enum kafka_err
partition_add(struct transaction *one, const struct view *view, uint32_t number)
{
    bool there;
    if (one->partition_count >= TRANSACTION_PARTITIONS_MAX)
        forget_others(one);
    size_t at = transaction_partition(one, &view->topic->id, number, &there);
    if (!there) {
        if (one->partition_count >= TRANSACTION_PARTITIONS_MAX)
            return KAFKA_RECORD_LIST_TOO_LARGE;
        if (one->partition_count == one->partition_capacity) {
            size_t capacity = one->partition_capacity ? one->partition_capacity * 2 : 8;
            struct txn_partition *partitions = realloc(one->partitions, capacity * sizeof *partitions);
            if (!partitions)
                return KAFKA_COORDINATOR_NOT_AVAILABLE;
            one->partitions = partitions;
            one->partition_capacity = capacity;
        }
        cairn_str name = view->topic->name;
        char *copy = malloc(name.size);
        if (!copy)
            return KAFKA_COORDINATOR_NOT_AVAILABLE;
        memcpy(copy, name.data, name.size);
        memmove(&one->partitions[at + 1], &one->partitions[at], (one->partition_count - at) * sizeof *one->partitions);
        one->partitions[at] = (struct txn_partition){.topic_id = view->topic->id, .partition = number, .topic = {copy, name.size}};
        one->partition_count++;
    }
    one->partitions[at].added = true;
    return KAFKA_NONE;
}

/* It goes on, or begins: durably, before anything is added to it. May let go of the lock. */
static enum kafka_err
open_transaction(struct broker *broker, struct transaction *one, struct producer producer)
{
    struct transactions *all = broker->transactions;
    enum kafka_err err = transaction_check(one, producer);
    if (err != KAFKA_NONE || one->state == TXN_ONGOING)
        return err;
    if (one->state == TXN_LOST)
        return KAFKA_INVALID_PRODUCER_ID_MAPPING;
    struct transaction as = *one;
    as.state = TXN_ONGOING;
    one->busy = true;
    pthread_mutex_unlock(&all->lock);
    err = transaction_err(transaction_write(broker, &as, transaction_id(one)));
    pthread_mutex_lock(&all->lock);
    one->busy = false;
    if (err == KAFKA_NONE) {
        transaction_become(all, one, TXN_ONGOING);
        one->revision++;
        one->started_ms = now_ms(broker);
    }
    return err;
}

/* The topics' views, in `views`, and errors for those that are not there. */
static enum kafka_err
find_topics(struct broker *broker, const struct topic_partition *partitions, size_t count, struct view **views,
            enum kafka_err *ret_errs)
{
    enum kafka_err err = KAFKA_NONE;
    for (size_t i = 0; i < count; i++) {
        ret_errs[i] = view_get(broker, partitions[i].topic, NULL, &views[i]);
        if (ret_errs[i] == KAFKA_NONE && partitions[i].partition >= views[i]->topic->partitions)
            ret_errs[i] = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        if (ret_errs[i] != KAFKA_NONE)
            err = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    for (size_t i = 0; i < count && err != KAFKA_NONE; i++) /* all are added, or none */
        if (ret_errs[i] == KAFKA_NONE)
            ret_errs[i] = KAFKA_OPERATION_NOT_ATTEMPTED;
    return err;
}

enum kafka_err
broker_transaction_add(struct broker *broker, cairn_str transactional_id, struct producer producer,
                       const struct topic_partition *partitions, size_t count, enum kafka_err *ret_errs)
{
    struct transactions *all = broker->transactions;
    struct transaction *one = NULL;
    struct view **views = calloc(count ? count : 1, sizeof(struct view *));
    enum kafka_err err = views ? find_topics(broker, partitions, count, views, ret_errs) : KAFKA_COORDINATOR_NOT_AVAILABLE;
    bool each = views && err != KAFKA_NONE; /* each has its own already */
    if (err == KAFKA_NONE) {
        pthread_mutex_lock(&all->lock);
        err = transaction_find(broker, transactional_id, false, &one);
        if (err == KAFKA_NONE)
            err = open_transaction(broker, one, producer);
        for (size_t i = 0; i < count && err == KAFKA_NONE; i++)
            err = partition_add(one, views[i], partitions[i].partition);
        pthread_mutex_unlock(&all->lock);
        transactions_settle(broker);
    }
    for (size_t i = 0; i < count; i++) {
        if (!each)
            ret_errs[i] = err;
        if (views)
            view_release(views[i]);
    }
    free(views);
    return err;
}

static bool
has_group(const struct transaction *one, cairn_str group)
{
    for (size_t i = 0; i < one->group_count; i++)
        if (cairn_str_equal(one->groups[i], group))
            return true;
    return false;
}

/* Room for one more in an array of the transaction's arena. */
static bool
arena_room(struct arena *arena, void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t larger = *capacity ? *capacity * 2 : 8;
    void *copy = arena_alloc(arena, larger * size), **at = array;
    if (!copy)
        return false;
    if (count > 0)
        memcpy(copy, *at, count * size);
    *at = copy;
    *capacity = larger;
    return true;
}

static enum kafka_err
group_add(struct transaction *one, cairn_str group)
{
    if (has_group(one, group))
        return KAFKA_NONE;
    if (one->group_count == TRANSACTION_GROUPS_MAX)
        return KAFKA_INVALID_REQUEST;
    cairn_str copy = arena_copy(&one->arena, group);
    if (!copy.data || !arena_room(&one->arena, &one->groups, one->group_count, &one->group_capacity, sizeof *one->groups))
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    one->groups[one->group_count++] = copy;
    return KAFKA_NONE;
}

enum kafka_err
broker_transaction_add_group(struct broker *broker, cairn_str transactional_id, struct producer producer, cairn_str group)
{
    struct transactions *all = broker->transactions;
    struct transaction *one = NULL;
    pthread_mutex_lock(&all->lock);
    enum kafka_err err = transaction_find(broker, transactional_id, false, &one);
    if (err == KAFKA_NONE)
        err = open_transaction(broker, one, producer);
    if (err == KAFKA_NONE)
        err = group_add(one, group);
    pthread_mutex_unlock(&all->lock);
    transactions_settle(broker);
    return err;
}

/* The one of this partition that is held. `stream`: groups_offset_stream(); NULL: none. *ret_head: its chain. */
static struct held_offset *
find_offset(const struct transaction *one, cairn_str stream, cairn_str group, cairn_str topic, uint32_t partition, uint16_t **ret_head)
{
    *ret_head = one->offset_heads ? &one->offset_heads[hash64(stream.data, stream.size, 4) % OFFSET_HEADS] : NULL;
    for (uint16_t at = *ret_head ? **ret_head : 0; at > 0;) {
        struct held_offset *held = &one->offsets[at - 1];
        if (held->commit.partition == partition && cairn_str_equal(held->commit.topic, topic) && cairn_str_equal(held->group, group))
            return held;
        at = held->next;
    }
    return NULL;
}

/* What JSON may make of each byte included. */
static uint64_t
offset_append_bytes(cairn_str stream, cairn_str metadata)
{
    return OFFSET_APPEND_BYTES + stream.size + 6 * (uint64_t)metadata.size;
}

/* The newest of a group's partition counts, so there is at most one event of it in the append. */
static enum kafka_err
offset_hold(struct broker *broker, struct transaction *one, cairn_str group, const struct offset_commit *commit)
{
    char name[OFFSET_STREAM_ROOM];
    uint16_t *head;
    cairn_str stream = groups_offset_stream(group, commit->topic, commit->partition, name);
    if (stream.size == 0)
        return KAFKA_INVALID_GROUP_ID; /* the names are too long for a stream's */
    if (!one->offset_heads && !(one->offset_heads = arena_zalloc(&one->arena, OFFSET_HEADS * sizeof *one->offset_heads)))
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    struct held_offset *to = find_offset(one, stream, group, commit->topic, commit->partition, &head);
    uint64_t append_bytes = one->append_bytes + offset_append_bytes(stream, commit->metadata);
    if (to)
        append_bytes -= offset_append_bytes(stream, to->commit.metadata);
    if (append_bytes > broker->store->append_bytes_max || (!to && one->offset_count == TRANSACTION_OFFSETS_MAX))
        return KAFKA_INVALID_COMMIT_OFFSET_SIZE;
    cairn_str metadata = arena_copy(&one->arena, commit->metadata);
    cairn_str topic = to ? to->commit.topic : arena_copy(&one->arena, commit->topic);
    cairn_str group_copy = to ? to->group : arena_copy(&one->arena, group);
    if (!metadata.data || !topic.data || !group_copy.data ||
        (!to && !arena_room(&one->arena, &one->offsets, one->offset_count, &one->offset_capacity, sizeof *one->offsets)))
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (!to) {
        to = &one->offsets[one->offset_count++];
        to->next = *head;
        *head = (uint16_t)one->offset_count;
    }
    one->append_bytes = append_bytes;
    to->group = group_copy;
    to->commit = *commit;
    to->commit.topic = topic;
    to->commit.metadata = metadata;
    return KAFKA_NONE;
}

enum kafka_err
broker_transaction_offsets(struct broker *broker, cairn_str transactional_id, struct producer producer, cairn_str group,
                           const struct offset_commit *commits, size_t count)
{
    struct transactions *all = broker->transactions;
    struct transaction *one = NULL;
    pthread_mutex_lock(&all->lock);
    enum kafka_err err = transaction_find(broker, transactional_id, false, &one);
    if (err == KAFKA_NONE)
        err = transaction_check(one, producer);
    if (err == KAFKA_INVALID_PRODUCER_ID_MAPPING || (err == KAFKA_NONE && one->state == TXN_LOST))
        err = KAFKA_ILLEGAL_GENERATION; /* of this call, what makes every client abort and go on */
    else if (err == KAFKA_NONE && (one->state != TXN_ONGOING || !has_group(one, group)))
        err = KAFKA_INVALID_TXN_STATE;
    if (err == KAFKA_NONE && one->arena.used_bytes > broker->options.transaction_bytes)
        err = KAFKA_INVALID_COMMIT_OFFSET_SIZE;
    for (size_t i = 0; i < count && err == KAFKA_NONE; i++)
        err = offset_hold(broker, one, group, &commits[i]);
    pthread_mutex_unlock(&all->lock);
    transactions_settle(broker);
    return err;
}

/* ---- time-outs, looking ------------------------------------------------------------------------------------------------------ */

static struct transaction *
find_late(const struct transactions *all, int64_t time_ms)
{
    for (struct transaction *one = all->open.oldest; one; one = one->newer)
        if (!one->busy && time_ms - one->started_ms >= one->timeout_ms)
            return one;
    return NULL;
}

/* Aborted, and its producer replaced, so that whatever it still sends is refused. */
static enum kafka_err
time_out(struct broker *broker, struct transaction *one)
{
    struct transactions *all = broker->transactions;
    struct transaction as = *one;
    as.state = TXN_COMPLETE_ABORT;
    as.before = one->producer;
    as.producer.epoch++; /* at most INT16_MAX, which no client gets */
    as.timed_out = true;
    one->busy = true;
    pthread_mutex_unlock(&all->lock);
    enum kafka_err err = transaction_err(transaction_write(broker, &as, transaction_id(one)));
    pthread_mutex_lock(&all->lock);
    one->busy = false;
    if (err == KAFKA_NONE) {
        take_over(all, one, &as, false);
        one->begun_here = true;
    }
    return err;
}

void
transactions_tick(struct broker *broker, int64_t now_us)
{
    struct transactions *all = broker->transactions;
    struct transaction *late;
    enum kafka_err err = KAFKA_NONE;
    pthread_mutex_lock(&all->lock);
    while (err == KAFKA_NONE && (late = find_late(all, now_us / 1000)) != NULL)
        err = time_out(broker, late);
    pthread_mutex_unlock(&all->lock);
    transactions_settle(broker);
}

/* A copy of what is to be shown, in the arena. */
static bool
describe(const struct transaction *one, struct arena *arena, struct transaction_info *ret)
{
    static const char *const names[] = {"Empty", "Ongoing", "CompleteCommit", "CompleteAbort", "CompleteAbort"};
    struct topic_partition *partitions = arena_alloc(arena, (one->partition_count + 1) * sizeof *partitions);
    *ret = (struct transaction_info){.transactional_id = arena_copy(arena, transaction_id(one)), .producer = one->producer,
                                     .state = names[one->state], .timeout_ms = one->timeout_ms,
                                     .started_ms = one->state == TXN_ONGOING ? one->started_ms : -1,
                                     .held_bytes = one->held_bytes, .partitions = partitions};
    for (size_t i = 0; i < one->partition_count && partitions; i++)
        if (one->partitions[i].added) {
            partitions[ret->partition_count] = (struct topic_partition){.topic = arena_copy(arena, one->partitions[i].topic),
                                                                        .partition = one->partitions[i].partition};
            if (!partitions[ret->partition_count++].topic.data)
                return false;
        }
    return partitions && ret->transactional_id.data;
}

bool
broker_offset_pending(struct broker *broker, cairn_str group, cairn_str topic, uint32_t partition)
{
    struct transactions *all = broker->transactions;
    char name[OFFSET_STREAM_ROOM];
    uint16_t *head;
    cairn_str stream = groups_offset_stream(group, topic, partition, name);
    bool pending = false;
    pthread_mutex_lock(&all->lock);
    for (struct transaction *one = stream.size > 0 ? all->open.newest : NULL; one && !pending; one = one->older)
        pending = find_offset(one, stream, group, topic, partition, &head) != NULL;
    pthread_mutex_unlock(&all->lock);
    transactions_settle(broker);
    return pending;
}

void
broker_transactions(struct broker *broker, transaction_visit visit, void *context)
{
    struct transactions *all = broker->transactions;
    struct arena arena = {0};
    size_t count = 0;
    pthread_mutex_lock(&all->lock);
    struct transaction_info *infos = arena_alloc(&arena, (all->count + 1) * sizeof *infos);
    const struct transaction *lists[] = {all->open.newest, all->resting.newest};
    for (int i = 0; i < 2; i++)
        for (const struct transaction *one = lists[i]; one && infos; one = one->older)
            count += one->exists && describe(one, &arena, &infos[count]);
    pthread_mutex_unlock(&all->lock);
    transactions_settle(broker);
    for (size_t i = 0; i < count && visit(context, &infos[i]); i++)
        ;
    arena_free(&arena);
}

void
transactions_stats(struct broker *broker, struct broker_stats *ret)
{
    struct transactions *all = broker->transactions;
    pthread_mutex_lock(&all->lock);
    ret->transactions_open = all->open_count;
    ret->transactions_bytes = all->held_bytes;
    pthread_mutex_unlock(&all->lock);
    transactions_settle(broker);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------------------- */

cairn_err
transactions_open(struct broker *broker)
{
    struct transactions *all = broker->transactions = calloc(1, sizeof *all);
    if (!all)
        return CAIRN_E_NOMEM;
    pthread_mutex_init(&all->lock, NULL);
    return CAIRN_OK;
}

void
transactions_close(struct broker *broker)
{
    struct transactions *all = broker->transactions;
    if (!all)
        return;
    struct transaction *lists[] = {all->open.newest, all->resting.newest};
    for (int i = 0; i < 2; i++)
        for (struct transaction *one = lists[i], *older; one; one = older) {
            older = one->older;
            transaction_free(all, one);
        }
    free(all->slots);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

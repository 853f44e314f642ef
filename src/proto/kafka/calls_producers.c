/* Looking at producers and transactions: DescribeProducers, DescribeTransactions, ListTransactions. */
#include <proto/kafka/calls_int.h>

#include <strings.h>

/* ---- DescribeProducers --------------------------------------------------------------------------------------------------- */

struct producers {
    struct kafka_call *call;
    struct kafka_describe_producers_response_partition *to;
    size_t room;
    bool failed;
};

static bool
visit_producer(void *context, const struct producer_info *info)
{
    struct producers *producers = context;
    struct kafka_describe_producers_response_partition *to = producers->to;
    if ((size_t)to->active_producers_count == producers->room) {
        size_t room = producers->room ? producers->room * 2 : 8;
        struct kafka_describe_producers_response_active_producer *list =
            KAFKA_LIST(producers->call, describe_producers_response_active_producer, room);
        if (!list) {
            producers->failed = true;
            return false;
        }
        if (to->active_producers_count > 0)
            memcpy(list, to->active_producers, (size_t)to->active_producers_count * sizeof *list);
        to->active_producers = list;
        producers->room = room;
    }
    struct kafka_describe_producers_response_active_producer *out = &to->active_producers[to->active_producers_count++];
    out->producer_id = info->producer.id;
    out->producer_epoch = info->producer.epoch;
    out->last_sequence = info->last_sequence;
    out->coordinator_epoch = 0;
    out->current_txn_start_offset = -1; /* an open transaction has written nothing yet */
    return true;
}

void
answer_describe_producers(struct kafka_call *call)
{
    const struct kafka_describe_producers_request *in = KAFKA_REQUEST(call, describe_producers);
    struct calls *calls = calls_of(call);
    struct kafka_describe_producers_response out;
    KAFKA_DEFAULTS(describe_producers_response, &out);
    out.topics = KAFKA_LIST(call, describe_producers_response_topic, (size_t)in->topics_count);
    bool fine = out.topics != NULL;
    for (int32_t i = 0; fine && i < in->topics_count; i++) {
        const struct kafka_describe_producers_request_topic *asked = &in->topics[i];
        struct kafka_describe_producers_response_topic *to = &out.topics[out.topics_count++];
        enum kafka_err found;
        cairn_topic_ref *topic = find_topic(call, asked->name, &found);
        to->name = asked->name;
        to->partitions = KAFKA_LIST(call, describe_producers_response_partition, (size_t)asked->partition_indexes_count);
        fine = to->partitions != NULL;
        for (int32_t n = 0; fine && n < asked->partition_indexes_count; n++) {
            struct producers producers = {.call = call, .to = &to->partitions[to->partitions_count++]};
            int32_t partition = asked->partition_indexes[n];
            enum kafka_err err = found;
            if (topic && (partition < 0 || (uint32_t)partition >= cairn_topic_of(topic)->partitions))
                err = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
            if (err == KAFKA_NONE)
                broker_producers(calls->broker, &cairn_topic_of(topic)->id, (uint32_t)partition, visit_producer, &producers);
            producers.to->partition_index = partition;
            producers.to->error_code = (int16_t)err;
            producers.to->error_message = error_text(err);
            fine = !producers.failed;
        }
        cairn_topic_release(topic);
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

/* ---- DescribeTransactions ------------------------------------------------------------------------------------------------ */

#define TRANSACTIONAL_ID_NOT_FOUND 105 /* only here */

struct describing {
    struct kafka_call *call;
    struct kafka_describe_transactions_response out;
    bool failed;
};

/* Partitions by topic, in the order in which they were added. */
static bool
put_partitions(struct kafka_call *call, const struct transaction_info *info,
               struct kafka_describe_transactions_response_transaction_state *to)
{
    to->topics = KAFKA_LIST(call, describe_transactions_response_topic, info->partition_count);
    int32_t *all = arena_alloc(&call->arena, (info->partition_count + 1) * sizeof *all);
    size_t at = 0;
    if (!to->topics || !all)
        return false;
    for (size_t i = 0; i < info->partition_count; i++) {
        bool before = false;
        for (int32_t n = 0; !before && n < to->topics_count; n++)
            before = cairn_str_equal(to->topics[n].topic, info->partitions[i].topic);
        if (before)
            continue;
        struct kafka_describe_transactions_response_topic *topic = &to->topics[to->topics_count++];
        topic->topic = arena_copy(&call->arena, info->partitions[i].topic);
        topic->partitions = all + at;
        if (!topic->topic.data)
            return false;
        for (size_t n = i; n < info->partition_count; n++)
            if (cairn_str_equal(info->partitions[n].topic, topic->topic)) {
                all[at++] = (int32_t)info->partitions[n].partition;
                topic->partitions_count++;
            }
    }
    return true;
}

static bool
visit_described(void *context, const struct transaction_info *info)
{
    struct describing *describing = context;
    for (int32_t i = 0; i < describing->out.transaction_states_count; i++) {
        struct kafka_describe_transactions_response_transaction_state *to = &describing->out.transaction_states[i];
        if (!cairn_str_equal(to->transactional_id, info->transactional_id))
            continue;
        to->error_code = KAFKA_NONE;
        to->transaction_state = cairn_cstr(info->state);
        to->transaction_timeout_ms = info->timeout_ms;
        to->transaction_start_time_ms = info->started_ms > 0 ? info->started_ms : -1;
        to->producer_id = info->producer.id;
        to->producer_epoch = info->producer.epoch;
        if (!put_partitions(describing->call, info, to)) {
            describing->failed = true;
            return false;
        }
    }
    return true;
}

void
answer_describe_transactions(struct kafka_call *call)
{
    const struct kafka_describe_transactions_request *in = KAFKA_REQUEST(call, describe_transactions);
    struct describing describing = {.call = call};
    struct kafka_describe_transactions_response *out = &describing.out;
    KAFKA_DEFAULTS(describe_transactions_response, out);
    out->transaction_states =
        KAFKA_LIST(call, describe_transactions_response_transaction_state, (size_t)in->transactional_ids_count);
    if (!out->transaction_states) {
        kafka_no_memory(call);
        return;
    }
    for (int32_t i = 0; i < in->transactional_ids_count; i++) {
        struct kafka_describe_transactions_response_transaction_state *to =
            &out->transaction_states[out->transaction_states_count++];
        to->transactional_id = in->transactional_ids[i];
        to->error_code = TRANSACTIONAL_ID_NOT_FOUND;
    }
    broker_transactions(calls_of(call)->broker, visit_described, &describing);
    if (describing.failed)
        kafka_no_memory(call);
    else
        kafka_respond(call, out);
}

/* ---- ListTransactions ---------------------------------------------------------------------------------------------------- */

static const char *const states[] = {"Empty",         "Ongoing",       "PrepareCommit", "PrepareAbort",
                                     "CompleteCommit", "CompleteAbort", "Dead",          "PrepareEpochFence"};

struct listing {
    struct kafka_call *call;
    struct kafka_list_transactions_response out;
    size_t room;
    int64_t now_ms;
    bool failed;
};

static bool
is_wanted(const struct kafka_list_transactions_request *in, const struct transaction_info *info, int64_t now_ms)
{
    bool state = in->state_filters_count <= 0, producer = in->producer_id_filters_count <= 0;
    for (int32_t i = 0; !state && i < in->state_filters_count; i++)
        state = cairn_str_equal(in->state_filters[i], cairn_cstr(info->state));
    for (int32_t i = 0; !producer && i < in->producer_id_filters_count; i++)
        producer = in->producer_id_filters[i] == info->producer.id;
    bool ongoing = strcmp(info->state, "Ongoing") == 0;
    bool old = in->duration_filter < 0 || (ongoing && now_ms - info->started_ms > in->duration_filter);
    return state && producer && old;
}

static bool
visit_listed(void *context, const struct transaction_info *info)
{
    struct listing *listing = context;
    struct kafka_list_transactions_response *out = &listing->out;
    if (!is_wanted(KAFKA_REQUEST(listing->call, list_transactions), info, listing->now_ms))
        return true;
    if ((size_t)out->transaction_states_count == listing->room) {
        size_t room = listing->room ? listing->room * 2 : 16;
        struct kafka_list_transactions_response_transaction_state *list =
            KAFKA_LIST(listing->call, list_transactions_response_transaction_state, room);
        if (!list) {
            listing->failed = true;
            return false;
        }
        if (out->transaction_states_count > 0)
            memcpy(list, out->transaction_states, (size_t)out->transaction_states_count * sizeof *list);
        out->transaction_states = list;
        listing->room = room;
    }
    struct kafka_list_transactions_response_transaction_state *to = &out->transaction_states[out->transaction_states_count++];
    to->transactional_id = arena_copy(&listing->call->arena, info->transactional_id);
    to->producer_id = info->producer.id;
    to->transaction_state = cairn_cstr(info->state);
    listing->failed = !to->transactional_id.data;
    return !listing->failed;
}

void
answer_list_transactions(struct kafka_call *call)
{
    const struct kafka_list_transactions_request *in = KAFKA_REQUEST(call, list_transactions);
    struct listing listing = {.call = call, .now_ms = wall_ms()};
    KAFKA_DEFAULTS(list_transactions_response, &listing.out);
    listing.out.unknown_state_filters =
        arena_alloc(&call->arena, ((size_t)in->state_filters_count + 1) * sizeof *listing.out.unknown_state_filters);
    if (!listing.out.unknown_state_filters) {
        kafka_no_memory(call);
        return;
    }
    for (int32_t i = 0; i < in->state_filters_count; i++) {
        bool known = false;
        for (size_t n = 0; !known && n < sizeof states / sizeof *states; n++)
            known = cairn_str_equal(in->state_filters[i], cairn_cstr(states[n]));
        if (!known)
            listing.out.unknown_state_filters[listing.out.unknown_state_filters_count++] = in->state_filters[i];
    }
    broker_transactions(calls_of(call)->broker, visit_listed, &listing);
    if (listing.failed)
        kafka_no_memory(call);
    else
        kafka_respond(call, &listing.out);
}

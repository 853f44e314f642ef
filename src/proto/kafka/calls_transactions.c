/* Idempotent producers and transactions: InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn. What a
 * transaction is here (one append, at its end) is broker.h's. */
#include <proto/kafka/calls_int.h>

void
answer_init_producer_id(struct kafka_call *call)
{
    const struct kafka_init_producer_id_request *in = KAFKA_REQUEST(call, init_producer_id);
    struct kafka_init_producer_id_response out;
    struct producer expected = {in->producer_id, in->producer_epoch}, producer = {-1, -1};
    enum kafka_err err = KAFKA_NONE;
    KAFKA_DEFAULTS(init_producer_id_response, &out);
    if (in->transactional_id.data && in->transactional_id.size == 0)
        err = KAFKA_INVALID_REQUEST; /* null is none; empty is a mistake */
    else
        err = broker_producer_init(calls_of(call)->broker, in->transactional_id, in->transaction_timeout_ms, expected, &producer);
    out.error_code = (int16_t)err;
    out.producer_id = err == KAFKA_NONE ? producer.id : -1;
    out.producer_epoch = err == KAFKA_NONE ? producer.epoch : -1;
    kafka_respond(call, &out);
}

/* ---- AddPartitionsToTxn -------------------------------------------------------------------------------------------------- */

void
answer_add_partitions_to_txn(struct kafka_call *call)
{
    const struct kafka_add_partitions_to_txn_request *in = KAFKA_REQUEST(call, add_partitions_to_txn);
    struct kafka_add_partitions_to_txn_response out;
    size_t count = 0, at = 0;
    bool fine;
    KAFKA_DEFAULTS(add_partitions_to_txn_response, &out);
    for (int32_t i = 0; i < in->topics_count; i++)
        count += (size_t)in->topics[i].partitions_count;
    struct topic_partition *partitions = arena_alloc(&call->arena, (count + 1) * sizeof *partitions);
    enum kafka_err *errs = arena_zalloc(&call->arena, (count + 1) * sizeof *errs);
    out.results = KAFKA_LIST(call, add_partitions_to_txn_response_topic, (size_t)in->topics_count);
    fine = partitions && errs && out.results;
    for (int32_t i = 0; fine && i < in->topics_count; i++)
        for (int32_t n = 0; n < in->topics[i].partitions_count; n++) /* a negative one is too large, and so unknown */
            partitions[at++] = (struct topic_partition){in->topics[i].name, (uint32_t)in->topics[i].partitions[n]};
    if (fine) {
        struct producer producer = {in->producer_id, in->producer_epoch};
        enum kafka_err err =
            broker_transaction_add(calls_of(call)->broker, in->transactional_id, producer, partitions, count, errs);
        for (size_t i = 0; err != KAFKA_NONE && i < count; i++)
            if (errs[i] == KAFKA_NONE)
                errs[i] = err;
    }
    at = 0;
    for (int32_t i = 0; fine && i < in->topics_count; i++) {
        struct kafka_add_partitions_to_txn_response_topic *to = &out.results[out.results_count++];
        to->name = in->topics[i].name;
        to->partitions = KAFKA_LIST(call, add_partitions_to_txn_response_partition, (size_t)in->topics[i].partitions_count);
        fine = to->partitions != NULL;
        for (int32_t n = 0; fine && n < in->topics[i].partitions_count; n++)
            to->partitions[to->partitions_count++] = (struct kafka_add_partitions_to_txn_response_partition){
                .partition_index = in->topics[i].partitions[n], .error_code = (int16_t)errs[at++]};
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

/* ---- offsets ------------------------------------------------------------------------------------------------------------- */

void
answer_add_offsets_to_txn(struct kafka_call *call)
{
    const struct kafka_add_offsets_to_txn_request *in = KAFKA_REQUEST(call, add_offsets_to_txn);
    struct kafka_add_offsets_to_txn_response out;
    struct producer producer = {in->producer_id, in->producer_epoch};
    KAFKA_DEFAULTS(add_offsets_to_txn_response, &out);
    if (in->group_id.size == 0 || in->group_id.size > GROUP_ID_MAX)
        out.error_code = KAFKA_INVALID_GROUP_ID;
    else
        out.error_code = (int16_t)broker_transaction_add_group(calls_of(call)->broker, in->transactional_id, producer, in->group_id);
    kafka_respond(call, &out);
}

/* Those that can be committed; the others get their error at once. False: no memory. */
static bool
collect_commits(struct kafka_call *call, const struct kafka_txn_offset_commit_request *in,
                struct kafka_txn_offset_commit_response *out, struct offset_commit *commits, size_t *ret_count)
{
    int64_t now = wall_ms();
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct kafka_txn_offset_commit_request_topic *topic = &in->topics[i];
        struct kafka_txn_offset_commit_response_topic *to = &out->topics[out->topics_count++];
        to->name = topic->name;
        to->partitions = KAFKA_LIST(call, txn_offset_commit_response_partition, (size_t)topic->partitions_count);
        if (!to->partitions)
            return false;
        to->partitions_count = topic->partitions_count;
        for (int32_t n = 0; n < topic->partitions_count; n++) {
            const struct kafka_txn_offset_commit_request_partition *asked = &topic->partitions[n];
            enum kafka_err err = check_partition(call, topic->name, asked->partition_index);
            to->partitions[n].partition_index = asked->partition_index;
            to->partitions[n].error_code = (int16_t)err;
            if (err == KAFKA_NONE)
                commits[(*ret_count)++] = (struct offset_commit){.topic = topic->name,
                                                                 .partition = (uint32_t)asked->partition_index,
                                                                 .offset = asked->committed_offset,
                                                                 .leader_epoch = asked->committed_leader_epoch,
                                                                 .metadata = asked->committed_metadata,
                                                                 .commit_time_ms = now,
                                                                 .expire_time_ms = -1};
        }
    }
    return true;
}

void
answer_txn_offset_commit(struct kafka_call *call)
{
    const struct kafka_txn_offset_commit_request *in = KAFKA_REQUEST(call, txn_offset_commit);
    struct calls *calls = calls_of(call);
    struct kafka_txn_offset_commit_response out;
    struct producer producer = {in->producer_id, in->producer_epoch};
    size_t room = 0, count = 0;
    KAFKA_DEFAULTS(txn_offset_commit_response, &out);
    for (int32_t i = 0; i < in->topics_count; i++)
        room += (size_t)in->topics[i].partitions_count;
    struct offset_commit *commits = arena_alloc(&call->arena, (room + 1) * sizeof *commits);
    out.topics = KAFKA_LIST(call, txn_offset_commit_response_topic, (size_t)in->topics_count);
    if (!commits || !out.topics || !collect_commits(call, in, &out, commits, &count)) {
        kafka_no_memory(call);
        return;
    }
    enum kafka_err err = in->group_id.size == 0 || in->group_id.size > GROUP_ID_MAX ? KAFKA_INVALID_GROUP_ID : KAFKA_NONE;
    if (err == KAFKA_NONE)
        err = groups_may_commit_transaction(calls->groups, in->group_id, in->member_id, in->group_instance_id, in->generation_id);
    if (err == KAFKA_NONE && count > 0)
        err = broker_transaction_offsets(calls->broker, in->transactional_id, producer, in->group_id, commits, count);
    for (int32_t i = 0; err != KAFKA_NONE && i < out.topics_count; i++)
        for (int32_t n = 0; n < out.topics[i].partitions_count; n++)
            if (out.topics[i].partitions[n].error_code == KAFKA_NONE)
                out.topics[i].partitions[n].error_code = (int16_t)err;
    kafka_respond(call, &out);
}

/* ---- EndTxn -------------------------------------------------------------------------------------------------------------- */

static void
ended(void *context, enum kafka_err err)
{
    struct kafka_call *call = context;
    struct kafka_end_txn_response out;
    KAFKA_DEFAULTS(end_txn_response, &out);
    out.error_code = (int16_t)err;
    kafka_respond(call, &out);
}

void
answer_end_txn(struct kafka_call *call)
{
    const struct kafka_end_txn_request *in = KAFKA_REQUEST(call, end_txn);
    struct producer producer = {in->producer_id, in->producer_epoch};
    broker_transaction_end_async(calls_of(call)->broker, in->transactional_id, producer, in->committed, ended, call);
}

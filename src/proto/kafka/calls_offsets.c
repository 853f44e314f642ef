/* Offsets by time and by leader epoch: ListOffsets, OffsetForLeaderEpoch. */
#include <proto/kafka/calls_int.h>

/* What Kafka has besides broker.h's: the same as the earliest here, because nothing is tiered (KIP-405, KIP-1005). */
#define EARLIEST_LOCAL (-4)
#define LATEST_TIERED (-5)

static void
list_one(struct kafka_call *call, const cairn_topic *topic, const struct kafka_list_offsets_request_partition *in,
         struct kafka_list_offsets_response_partition *to)
{
    enum kafka_err err = check_epoch(in->current_leader_epoch);
    int64_t at = in->timestamp == EARLIEST_LOCAL ? OFFSET_EARLIEST : in->timestamp;
    if (in->partition_index < 0 || (uint32_t)in->partition_index >= topic->partitions)
        err = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    else if (err == KAFKA_NONE && at < LATEST_TIERED)
        err = KAFKA_INVALID_REQUEST;
    if (err == KAFKA_NONE && at != LATEST_TIERED) {
        err = broker_offset_at(calls_of(call)->broker, &topic->id, (uint32_t)in->partition_index, at, &to->offset, &to->timestamp);
        to->leader_epoch = err == KAFKA_NONE && to->offset >= 0 ? 0 : -1;
    }
    to->error_code = (int16_t)err;
}

void
answer_list_offsets(struct kafka_call *call)
{
    const struct kafka_list_offsets_request *in = KAFKA_REQUEST(call, list_offsets);
    struct kafka_list_offsets_response out;
    KAFKA_DEFAULTS(list_offsets_response, &out);
    out.topics = KAFKA_LIST(call, list_offsets_response_topic, (size_t)in->topics_count);
    bool fine = out.topics != NULL;
    for (int32_t i = 0; fine && i < in->topics_count; i++) {
        const struct kafka_list_offsets_request_topic *asked = &in->topics[i];
        struct kafka_list_offsets_response_topic *to = &out.topics[out.topics_count++];
        enum kafka_err err;
        to->name = asked->name;
        to->partitions = KAFKA_LIST(call, list_offsets_response_partition, (size_t)asked->partitions_count);
        fine = to->partitions != NULL;
        cairn_topic_ref *topic = find_topic(call, asked->name, &err);
        for (int32_t n = 0; fine && n < asked->partitions_count; n++) {
            struct kafka_list_offsets_response_partition *partition = &to->partitions[to->partitions_count++];
            partition->partition_index = asked->partitions[n].partition_index;
            partition->error_code = (int16_t)err;
            if (topic)
                list_one(call, cairn_topic_of(topic), &asked->partitions[n], partition);
        }
        cairn_topic_release(topic);
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

/* ---- OffsetForLeaderEpoch: there has only ever been epoch 0, which ends where the partition does ------------------------- */

static void
epoch_end(struct kafka_call *call, const cairn_topic *topic, const struct kafka_offset_for_leader_epoch_request_partition *in,
          struct kafka_offset_for_leader_epoch_response_partition *to)
{
    struct calls *calls = calls_of(call);
    cairn_partition_info info;
    enum kafka_err err = check_epoch(in->current_leader_epoch);
    if (in->partition < 0 || (uint32_t)in->partition >= topic->partitions)
        err = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (err == KAFKA_NONE && in->leader_epoch == 0) {
        cairn_err got = cairn_partition_get(calls->store, calls->scope, &topic->id, (uint32_t)in->partition, &info, NULL);
        err = got == CAIRN_OK ? KAFKA_NONE : kafka_err_of(got);
        if (err == KAFKA_NONE) {
            to->leader_epoch = 0;
            to->end_offset = (int64_t)info.end;
        }
    }
    to->error_code = (int16_t)err;
}

void
answer_offset_for_leader_epoch(struct kafka_call *call)
{
    const struct kafka_offset_for_leader_epoch_request *in = KAFKA_REQUEST(call, offset_for_leader_epoch);
    struct kafka_offset_for_leader_epoch_response out;
    KAFKA_DEFAULTS(offset_for_leader_epoch_response, &out);
    out.topics = KAFKA_LIST(call, offset_for_leader_epoch_response_topic, (size_t)in->topics_count);
    bool fine = out.topics != NULL;
    for (int32_t i = 0; fine && i < in->topics_count; i++) {
        const struct kafka_offset_for_leader_epoch_request_topic *asked = &in->topics[i];
        struct kafka_offset_for_leader_epoch_response_topic *to = &out.topics[out.topics_count++];
        enum kafka_err err;
        to->topic = asked->topic;
        to->partitions = KAFKA_LIST(call, offset_for_leader_epoch_response_partition, (size_t)asked->partitions_count);
        fine = to->partitions != NULL;
        cairn_topic_ref *topic = find_topic(call, asked->topic, &err);
        for (int32_t n = 0; fine && n < asked->partitions_count; n++) {
            struct kafka_offset_for_leader_epoch_response_partition *partition = &to->partitions[to->partitions_count++];
            partition->partition = asked->partitions[n].partition;
            partition->error_code = (int16_t)err;
            if (topic)
                epoch_end(call, cairn_topic_of(topic), &asked->partitions[n], partition);
        }
        cairn_topic_release(topic);
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

/* Produce: a client's batches into their partitions.
 *
 *   loop's thread                       commit thread                  loop's thread
 *   for each partition                  the last of them ─────────────► kafka_respond
 *     broker_produce_async() ─────────► done: note the result
 *
 * From the first topic on whose values are held to schemas, which may take long, a pool thread goes on instead, and the connection's
 * next request waits for the answer: its records come behind.
 *
 * A request may hold many partitions; it is answered when the last of them is durable. Each has a slot of its own, so that
 * whoever is done writes where nobody else does; `left` says who is last. Nothing is allocated for a record. */
#include <proto/kafka/calls_int.h>

#include <stdio.h>

#define MESSAGE_MAX 200

struct producing;
struct slot {
    struct producing *producing;
    struct kafka_produce_response_partition *to;
    cairn_uuid topic_id;
    uint32_t partition;
    char message[MESSAGE_MAX];
};
struct producing {
    struct kafka_call *call;
    struct kafka_produce_response out;
    struct slot *slots, *slot; /* all; the next to be handed over, */
    int32_t topic;             /* and its topic */
    bool on_pool;
    atomic_uint left; /* partitions under way, and 1 while they are still handed over */
    atomic_bool failed;
};

static bool
is_for_what_it_is(int16_t err)
{
    return err == KAFKA_INVALID_RECORD || err == KAFKA_MESSAGE_TOO_LARGE || err == KAFKA_INVALID_TIMESTAMP
           || err == KAFKA_UNSUPPORTED_COMPRESSION_TYPE || err == KAFKA_CORRUPT_MESSAGE;
}

/* Clients show the error's name and not its words: a producer's owner finds them in the log. One a request will do. */
static void
tell_refused(struct kafka_call *call, const struct kafka_produce_response *out)
{
    for (int32_t i = 0; i < out->topics_count; i++)
        for (int32_t n = 0; n < out->topics[i].partitions_count; n++) {
            const struct kafka_produce_response_partition *partition = &out->topics[i].partitions[n];
            if (!is_for_what_it_is(partition->error_code))
                continue;
            cairn_str topic = out->topics[i].name, why = partition->error_message;
            kafka_tell(call, "records for partition %d of %.*s are refused: %.*s", (int)partition->index, (int)topic.size, topic.data,
                       (int)why.size, why.data);
            return;
        }
}

static void
answer(struct kafka_call *call)
{
    const struct kafka_produce_request *in = KAFKA_REQUEST(call, produce);
    struct producing *producing = call->state;
    if (atomic_load(&producing->failed))
        tell_refused(call, &producing->out);
    if (in->acks != 0)
        kafka_respond(call, &producing->out);
    else if (atomic_load(&producing->failed))
        kafka_refuse(call, "a batch that nobody wants acknowledged was refused"); /* the only way to tell, as Kafka does */
    else
        kafka_finish(call);
}

static void
one_less(struct producing *producing)
{
    if (atomic_fetch_sub(&producing->left, 1) == 1)
        answer(producing->call);
}

static void
note(struct slot *slot, enum kafka_err err, const char *message)
{
    struct kafka_produce_response_partition *to = slot->to;
    to->error_code = (int16_t)err;
    if (err == KAFKA_NONE)
        return;
    atomic_store(&slot->producing->failed, true);
    snprintf(slot->message, sizeof slot->message, "%s", message ? message : kafka_err_message(err));
    to->error_message = cairn_cstr(slot->message);
}

/* On the thread that hands over: whoever refuses records does so at once. Without memory the client learns the error alone. */
static void
name_bad_records(struct slot *slot, const struct produced *result)
{
    struct kafka_call *call = slot->producing->call;
    struct kafka_produce_response_record_error *list = KAFKA_LIST(call, produce_response_record_error, result->bad_count);
    if (!list)
        return;
    for (size_t i = 0; i < result->bad_count; i++)
        list[i].batch_index = (int32_t)result->bad_records[i];
    slot->to->record_errors = list;
    slot->to->record_errors_count = (int32_t)result->bad_count;
}

static void
produced(void *context, const struct produced *result)
{
    struct slot *slot = context;
    struct producing *producing = slot->producing;
    slot->to->base_offset = result->base_offset;
    slot->to->log_append_time_ms = result->log_append_time_ms;
    slot->to->log_start_offset = result->log_start_offset;
    note(slot, result->err, result->message);
    if (result->bad_count > 0)
        name_bad_records(slot, result);
    if (result->records > 0)
        fetches_moved(calls_of(producing->call)->fetches, &slot->topic_id, slot->partition, result->records);
    one_less(producing);
}

/* Lists of the answer, and the slots; NULL: no memory. */
static struct producing *
prepare(struct kafka_call *call, const struct kafka_produce_request *in)
{
    struct producing *producing = arena_zalloc(&call->arena, sizeof *producing);
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count; i++)
        count += (size_t)in->topics[i].partitions_count;
    if (!producing || count > UINT32_MAX / 2)
        return NULL;
    KAFKA_DEFAULTS(produce_response, &producing->out);
    producing->call = call;
    producing->slots = arena_alloc(&call->arena, (count + 1) * sizeof *producing->slots);
    producing->out.topics = KAFKA_LIST(call, produce_response_topic, (size_t)in->topics_count);
    producing->out.topics_count = in->topics_count;
    if (!producing->slots || !producing->out.topics)
        return NULL;
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct kafka_produce_response_topic *to = &producing->out.topics[i];
        to->name = in->topics[i].name;
        to->partitions = KAFKA_LIST(call, produce_response_partition, (size_t)in->topics[i].partitions_count);
        to->partitions_count = in->topics[i].partitions_count;
        if (!to->partitions)
            return NULL;
    }
    atomic_init(&producing->left, (unsigned)count + 1);
    return producing;
}

static void
produce_one(struct slot *slot, cairn_topic_ref *topic, enum kafka_err err, cairn_str transactional_id,
            const struct kafka_produce_request_partition *in)
{
    if (err == KAFKA_NONE && (in->index < 0 || (uint32_t)in->index >= cairn_topic_of(topic)->partitions))
        err = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (err == KAFKA_NONE && in->records.size == 0)
        err = KAFKA_INVALID_RECORD;
    if (err != KAFKA_NONE) {
        slot->to->base_offset = -1;
        note(slot, err, NULL);
        one_less(slot->producing);
        return;
    }
    slot->topic_id = cairn_topic_of(topic)->id;
    slot->partition = (uint32_t)in->index;
    struct produce produce = {.topic_id = slot->topic_id,
                              .partition = slot->partition,
                              .bytes = in->records,
                              .transactional_id = transactional_id};
    broker_produce_async(calls_of(slot->producing->call)->broker, &produce, produced, slot);
}

static void
produce_topic(struct kafka_call *call, cairn_topic_ref *topic, enum kafka_err err)
{
    const struct kafka_produce_request *in = KAFKA_REQUEST(call, produce);
    struct producing *producing = call->state;
    const int32_t i = producing->topic++;
    if (in->acks < -1 || in->acks > 1)
        err = KAFKA_INVALID_REQUIRED_ACKS;
    for (int32_t n = 0; n < in->topics[i].partitions_count; n++) {
        struct slot *slot = producing->slot++;
        slot->producing = producing;
        slot->to = &producing->out.topics[i].partitions[n];
        slot->to->index = in->topics[i].partitions[n].index;
        produce_one(slot, topic, err, in->transactional_id, &in->topics[i].partitions[n]);
    }
}

/* Hand over what has not been handed over yet: all of it, or as far as the pool goes on. */
static void
hand_over(struct kafka_call *call)
{
    const struct kafka_produce_request *in = KAFKA_REQUEST(call, produce);
    struct producing *producing = call->state;
    while (producing->topic < in->topics_count) {
        enum kafka_err err;
        cairn_topic_ref *topic = find_topic(call, in->topics[producing->topic].name, &err);
        if (!producing->on_pool && topic && broker_checks_values(calls_of(call)->broker, cairn_topic_of(topic)->name)) {
            producing->on_pool = true;
            kafka_alone(call);
            if (kafka_work(call, hand_over)) {
                cairn_topic_release(topic);
                return;
            }
        }
        produce_topic(call, topic, err);
        cairn_topic_release(topic);
    }
    one_less(producing);
}

void
answer_produce(struct kafka_call *call)
{
    struct producing *producing = prepare(call, KAFKA_REQUEST(call, produce));
    if (!producing) {
        kafka_no_memory(call);
        return;
    }
    producing->slot = producing->slots;
    producing->out.throttle_time_ms = kafka_throttle(call, KAFKA_RATE_PRODUCE, kafka_request_bytes(call));
    call->state = producing;
    hand_over(call);
}

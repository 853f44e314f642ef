/* Making, changing and deleting topics: CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords. */
#include <proto/kafka/calls_int.h>

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 3, 4))) static enum kafka_err
refuse(enum kafka_err err, struct broker_why *why, const char *text, ...)
{
    va_list list;
    va_start(list, text);
    vsnprintf(why->text, sizeof why->text, text, list);
    va_end(list);
    return err;
}

static bool
this_node_alone(const int32_t *nodes, int32_t count)
{
    return count == 1 && nodes[0] == KAFKA_NODE_ID;
}

/* ---- CreateTopics -------------------------------------------------------------------------------------------------------- */

/* Where partitions are to lie, when the client says so: all of them here, each once. */
static enum kafka_err
check_assignments(const struct kafka_create_topics_request_topic *in, int32_t *ret_partitions, struct broker_why *why)
{
    if (in->num_partitions != -1 || in->replication_factor != -1)
        return refuse(KAFKA_INVALID_REQUEST, why, "Either say where partitions lie or how many there are, not both.");
    for (int32_t i = 0; i < in->assignments_count; i++) {
        const struct kafka_create_topics_request_assignment *assignment = &in->assignments[i];
        bool good = this_node_alone(assignment->broker_ids, assignment->broker_ids_count) &&
                    assignment->partition_index >= 0 && assignment->partition_index < in->assignments_count;
        for (int32_t n = 0; good && n < i && in->assignments_count <= 1000; n++)
            good = in->assignments[n].partition_index != assignment->partition_index;
        if (!good)
            return refuse(KAFKA_INVALID_REPLICA_ASSIGNMENT, why,
                          "Partitions count up from 0, and each has one replica, on node %d.", KAFKA_NODE_ID);
    }
    *ret_partitions = in->assignments_count;
    return KAFKA_NONE;
}

static enum kafka_err
read_spec(struct kafka_call *call, const struct kafka_create_topics_request_topic *in, struct broker_topic_spec *ret,
          struct broker_why *why)
{
    *ret = (struct broker_topic_spec){.name = in->name, .partitions = in->num_partitions};
    if (in->assignments_count > 0) {
        enum kafka_err err = check_assignments(in, &ret->partitions, why);
        if (err != KAFKA_NONE)
            return err;
    } else if (in->replication_factor < -1 || in->replication_factor == 0) { /* any other means nothing here: programs have theirs written in */
        return refuse(KAFKA_INVALID_REPLICATION_FACTOR, why, "The replication factor is %d; at least 1, or -1.", in->replication_factor);
    }
    if (in->assignments_count <= 0 && in->num_partitions != -1 && in->num_partitions <= 0)
        return refuse(KAFKA_INVALID_PARTITIONS, why, "A topic has at least one partition.");
    struct broker_pair *pairs = arena_alloc(&call->arena, ((size_t)in->configs_count + 1) * sizeof *pairs);
    if (!pairs)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    for (int32_t i = 0; i < in->configs_count; i++) {
        pairs[i] = (struct broker_pair){in->configs[i].name, in->configs[i].value, PAIR_SET};
        if (!in->configs[i].value.data)
            return refuse(KAFKA_INVALID_CONFIG, why, "The setting %.*s has no value.", (int)in->configs[i].name.size,
                          in->configs[i].name.data);
    }
    ret->config = pairs;
    ret->config_count = (size_t)in->configs_count;
    return KAFKA_NONE;
}

static bool
named_twice(const struct kafka_create_topics_request *in, int32_t which)
{
    for (int32_t i = 0; i < in->topics_count; i++)
        if (i != which && cairn_str_equal(in->topics[i].name, in->topics[which].name))
            return true;
    return false;
}

/* What the topic has become, for version 5 and later. False: no memory. */
static bool
put_made(struct kafka_call *call, const cairn_topic *topic, struct kafka_create_topics_response_topic *to)
{
    size_t count;
    const struct broker_setting *settings = broker_settings(&count);
    to->topic_id = topic->id;
    to->num_partitions = (int32_t)topic->partitions;
    to->replication_factor = 1;
    to->configs = KAFKA_LIST(call, create_topics_response_config, count);
    if (!to->configs)
        return false;
    to->configs_count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        bool otherwise;
        cairn_str value = broker_setting_get(calls_of(call)->broker, topic, settings[i].name, &otherwise);
        to->configs[i].name = cairn_cstr(settings[i].name);
        to->configs[i].value = arena_copy(&call->arena, value);
        to->configs[i].config_source = otherwise ? 5 : 1;
        if (!to->configs[i].value.data)
            return false;
    }
    return true;
}

#define TWICE_MAX 1000 /* topics of one request, which are compared with each other */

void
answer_create_topics(struct kafka_call *call)
{
    const struct kafka_create_topics_request *in = KAFKA_REQUEST(call, create_topics);
    struct calls *calls = calls_of(call);
    struct kafka_create_topics_response out;
    bool fine = true;
    KAFKA_DEFAULTS(create_topics_response, &out);
    out.topics = KAFKA_LIST(call, create_topics_response_topic, (size_t)in->topics_count);
    if (!out.topics) {
        kafka_no_memory(call);
        return;
    }
    out.topics_count = in->topics_count;
    for (int32_t i = 0; fine && i < in->topics_count; i++) {
        struct kafka_create_topics_response_topic *to = &out.topics[i];
        struct broker_topic_spec spec;
        struct broker_why why = {{0}};
        cairn_topic_ref *ref = NULL;
        enum kafka_err err = KAFKA_NONE;
        to->name = in->topics[i].name;
        if (in->topics_count <= TWICE_MAX && named_twice(in, i))
            err = refuse(KAFKA_INVALID_REQUEST, &why, "The topic is named twice in the request.");
        else
            err = read_spec(call, &in->topics[i], &spec, &why);
        if (err == KAFKA_NONE)
            err = broker_topic_create(calls->broker, &spec, in->validate_only, &ref, &why);
        to->error_code = (int16_t)err;
        to->error_message = why_text(call, err, &why);
        if (err != KAFKA_NONE)
            to->configs_count = -1;
        else if (ref)
            fine = put_made(call, cairn_topic_of(ref), to);
        else { /* only looked at */
            to->num_partitions = spec.partitions;
            to->replication_factor = 1;
        }
        cairn_topic_release(ref);
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

/* ---- DeleteTopics -------------------------------------------------------------------------------------------------------- */

static enum kafka_err
delete_one(struct kafka_call *call, cairn_str name, cairn_uuid id, struct kafka_delete_topics_response_response *to)
{
    struct calls *calls = calls_of(call);
    struct broker_why why = {{0}};
    bool by_id = !name.data;
    if (by_id) {
        cairn_topic_ref *ref = NULL;
        if (cairn_topic_by_id(calls->store, calls->scope, &id, &ref, NULL) != CAIRN_OK)
            return KAFKA_UNKNOWN_TOPIC_ID;
        name = arena_copy(&call->arena, cairn_topic_of(ref)->name);
        cairn_topic_release(ref);
        if (!name.data)
            return KAFKA_UNKNOWN_SERVER_ERROR;
    } else {
        enum kafka_err err;
        cairn_topic_ref *ref = find_topic(call, name, &err);
        if (ref)
            id = cairn_topic_of(ref)->id;
        cairn_topic_release(ref);
    }
    to->name = name;
    to->topic_id = id;
    enum kafka_err err = by_id ? broker_topic_delete_id(calls->broker, &id, &why) : broker_topic_delete(calls->broker, name, &why);
    to->error_message = why_text(call, err, &why);
    return err;
}

void
answer_delete_topics(struct kafka_call *call)
{
    const struct kafka_delete_topics_request *in = KAFKA_REQUEST(call, delete_topics);
    struct kafka_delete_topics_response out;
    int32_t count = call->version < 6 ? in->topic_names_count : in->topics_count;
    KAFKA_DEFAULTS(delete_topics_response, &out);
    out.responses = KAFKA_LIST(call, delete_topics_response_response, (size_t)count);
    if (!out.responses) {
        kafka_no_memory(call);
        return;
    }
    out.responses_count = count;
    for (int32_t i = 0; i < count; i++) {
        cairn_str name = call->version < 6 ? not_null(in->topic_names[i]) : in->topics[i].name;
        cairn_uuid id = call->version < 6 ? (cairn_uuid){{0}} : in->topics[i].topic_id;
        struct kafka_delete_topics_response_response *to = &out.responses[i];
        to->name = name;
        to->topic_id = id;
        enum kafka_err err = delete_one(call, name, id, to);
        to->error_code = (int16_t)err;
        if (err != KAFKA_NONE && !to->error_message.data)
            to->error_message = error_text(err);
    }
    kafka_respond(call, &out);
}

/* ---- CreatePartitions ---------------------------------------------------------------------------------------------------- */

static enum kafka_err
grow_one(struct kafka_call *call, const struct kafka_create_partitions_request_topic *in, bool validate_only,
         struct broker_why *why)
{
    if (in->assignments_count > 0) {
        enum kafka_err err;
        cairn_topic_ref *ref = find_topic(call, in->name, &err);
        if (!ref)
            return err;
        int64_t more = (int64_t)in->count - cairn_topic_of(ref)->partitions;
        cairn_topic_release(ref);
        bool good = more == in->assignments_count;
        for (int32_t i = 0; good && i < in->assignments_count; i++)
            good = this_node_alone(in->assignments[i].broker_ids, in->assignments[i].broker_ids_count);
        if (!good)
            return refuse(KAFKA_INVALID_REPLICA_ASSIGNMENT, why, "Each new partition has one replica, on node %d.", KAFKA_NODE_ID);
    }
    return broker_topic_grow(calls_of(call)->broker, in->name, in->count, validate_only, why);
}

void
answer_create_partitions(struct kafka_call *call)
{
    const struct kafka_create_partitions_request *in = KAFKA_REQUEST(call, create_partitions);
    struct kafka_create_partitions_response out;
    KAFKA_DEFAULTS(create_partitions_response, &out);
    out.results = KAFKA_LIST(call, create_partitions_response_result, (size_t)in->topics_count);
    if (!out.results) {
        kafka_no_memory(call);
        return;
    }
    out.results_count = in->topics_count;
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct broker_why why = {{0}};
        enum kafka_err err = grow_one(call, &in->topics[i], in->validate_only, &why);
        out.results[i].name = in->topics[i].name;
        out.results[i].error_code = (int16_t)err;
        out.results[i].error_message = why_text(call, err, &why);
    }
    kafka_respond(call, &out);
}

/* ---- DeleteRecords ------------------------------------------------------------------------------------------------------- */

void
answer_delete_records(struct kafka_call *call)
{
    const struct kafka_delete_records_request *in = KAFKA_REQUEST(call, delete_records);
    struct calls *calls = calls_of(call);
    struct kafka_delete_records_response out;
    KAFKA_DEFAULTS(delete_records_response, &out);
    out.topics = KAFKA_LIST(call, delete_records_response_topic, (size_t)in->topics_count);
    out.topics_count = in->topics_count;
    bool fine = out.topics != NULL;
    for (int32_t i = 0; fine && i < in->topics_count; i++) {
        const struct kafka_delete_records_request_topic *topic = &in->topics[i];
        struct kafka_delete_records_response_topic *to = &out.topics[i];
        to->name = topic->name;
        to->partitions = KAFKA_LIST(call, delete_records_response_partition, (size_t)topic->partitions_count);
        to->partitions_count = topic->partitions_count;
        fine = to->partitions != NULL;
        for (int32_t n = 0; fine && n < topic->partitions_count; n++) {
            const struct kafka_delete_records_request_partition *asked = &topic->partitions[n];
            struct broker_why why = {{0}};
            uint64_t low = 0;
            enum kafka_err err = check_partition(call, topic->name, asked->partition_index);
            if (err == KAFKA_NONE)
                err = broker_delete_records(calls->broker, topic->name, (uint32_t)asked->partition_index, asked->offset, &low,
                                            &why);
            to->partitions[n].partition_index = asked->partition_index;
            to->partitions[n].error_code = (int16_t)err;
            to->partitions[n].low_watermark = err == KAFKA_NONE ? (int64_t)low : -1;
        }
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

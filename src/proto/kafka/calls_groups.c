/* Being in a group: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, and ConsumerGroupHeartbeat (KIP-848). What groups are is
 * groups.h's. Join and sync are answered when the group is ready, on whatever thread made it so; a client that goes
 * meanwhile is forgotten. */
#include <proto/kafka/calls_int.h>

static bool
group_valid(cairn_str group)
{
    return group.size > 0 && group.size <= GROUP_ID_MAX;
}

/* Kafka's tools show "/127.0.0.1". */
static cairn_str
client_host(struct kafka_call *call)
{
    size_t size = strlen(call->session->host);
    char *text = arena_alloc(&call->arena, size + 1);
    if (!text)
        return (cairn_str){0};
    text[0] = '/';
    memcpy(text + 1, call->session->host, size);
    return (cairn_str){text, size + 1};
}

/* The client has gone while it waited in join or sync. */
static void
forget(struct kafka_call *call)
{
    if (groups_forget(calls_of(call)->groups, call))
        kafka_finish(call);
}

/* ---- JoinGroup ----------------------------------------------------------------------------------------------------------- */

static void
joined(void *context, const struct group_joined *result)
{
    struct kafka_call *call = context;
    struct kafka_join_group_response out;
    KAFKA_DEFAULTS(join_group_response, &out);
    out.error_code = (int16_t)result->err;
    out.generation_id = result->err == KAFKA_NONE ? result->generation : -1;
    out.member_id = not_null(result->member_id);
    out.leader = not_null(result->leader);
    if (result->err == KAFKA_NONE) {
        out.protocol_type = not_null(result->protocol_type);
        out.protocol_name = not_null(result->protocol);
        out.skip_assignment = result->skip_assignment;
    }
    out.members = KAFKA_LIST(call, join_group_response_member, result->member_count);
    if (!out.members) {
        kafka_no_memory(call);
        return;
    }
    for (size_t i = 0; i < result->member_count; i++) {
        struct kafka_join_group_response_member *to = &out.members[out.members_count++];
        to->member_id = result->members[i].member_id;
        to->group_instance_id = result->members[i].instance_id.size ? result->members[i].instance_id : (cairn_str){0};
        to->metadata = result->members[i].metadata;
    }
    kafka_respond(call, &out);
}

void
answer_join_group(struct kafka_call *call)
{
    const struct kafka_join_group_request *in = KAFKA_REQUEST(call, join_group);
    struct group_protocol *protocols = arena_alloc(&call->arena, ((size_t)in->protocols_count + 1) * sizeof *protocols);
    cairn_str host = client_host(call);
    if (!protocols || !host.data) {
        kafka_no_memory(call);
        return;
    }
    if (!group_valid(in->group_id)) {
        joined(call, &(struct group_joined){.err = KAFKA_INVALID_GROUP_ID, .member_id = in->member_id});
        return;
    }
    for (int32_t i = 0; i < in->protocols_count; i++)
        protocols[i] = (struct group_protocol){in->protocols[i].name, in->protocols[i].metadata};
    struct group_join join = {
        .group = in->group_id,
        .member_id = in->member_id,
        .instance_id = in->group_instance_id,
        .client_id = call->client_id,
        .client_host = host,
        .protocol_type = in->protocol_type,
        .session_timeout_ms = in->session_timeout_ms,
        .rebalance_timeout_ms = in->rebalance_timeout_ms < 0 ? in->session_timeout_ms : in->rebalance_timeout_ms,
        .protocols = protocols,
        .protocol_count = (size_t)in->protocols_count,
        .member_id_required = call->version >= 4,
        .skip_assignment_known = call->version >= 9,
    };
    call->on_gone = forget;
    groups_join(calls_of(call)->groups, &join, clock_ms(), joined, call);
}

/* ---- SyncGroup ----------------------------------------------------------------------------------------------------------- */

static void
synced(void *context, const struct group_synced *result)
{
    struct kafka_call *call = context;
    struct kafka_sync_group_response out;
    KAFKA_DEFAULTS(sync_group_response, &out);
    out.error_code = (int16_t)result->err;
    if (result->err == KAFKA_NONE) {
        out.protocol_type = not_null(result->protocol_type);
        out.protocol_name = not_null(result->protocol);
        out.assignment = result->assignment;
    }
    kafka_respond(call, &out);
}

void
answer_sync_group(struct kafka_call *call)
{
    const struct kafka_sync_group_request *in = KAFKA_REQUEST(call, sync_group);
    struct group_assignment *assignments = arena_alloc(&call->arena, ((size_t)in->assignments_count + 1) * sizeof *assignments);
    if (!assignments) {
        kafka_no_memory(call);
        return;
    }
    if (!group_valid(in->group_id)) {
        synced(call, &(struct group_synced){.err = KAFKA_INVALID_GROUP_ID});
        return;
    }
    for (int32_t i = 0; i < in->assignments_count; i++)
        assignments[i] = (struct group_assignment){in->assignments[i].member_id, in->assignments[i].assignment};
    struct group_sync sync = {
        .group = in->group_id,
        .member_id = in->member_id,
        .instance_id = in->group_instance_id,
        .protocol_type = in->protocol_type,
        .protocol = in->protocol_name,
        .generation = in->generation_id,
        .assignments = assignments,
        .assignment_count = (size_t)in->assignments_count,
    };
    call->on_gone = forget;
    groups_sync(calls_of(call)->groups, &sync, clock_ms(), synced, call);
}

/* ---- Heartbeat, LeaveGroup ----------------------------------------------------------------------------------------------- */

void
answer_heartbeat(struct kafka_call *call)
{
    const struct kafka_heartbeat_request *in = KAFKA_REQUEST(call, heartbeat);
    struct kafka_heartbeat_response out;
    KAFKA_DEFAULTS(heartbeat_response, &out);
    out.error_code = (int16_t)(group_valid(in->group_id)
                                   ? groups_heartbeat(calls_of(call)->groups, in->group_id, in->member_id, in->group_instance_id,
                                                      in->generation_id, clock_ms())
                                   : KAFKA_INVALID_GROUP_ID);
    kafka_respond(call, &out);
}

void
answer_leave_group(struct kafka_call *call)
{
    const struct kafka_leave_group_request *in = KAFKA_REQUEST(call, leave_group);
    struct groups_broker *groups = calls_of(call)->groups;
    struct kafka_leave_group_response out;
    KAFKA_DEFAULTS(leave_group_response, &out);
    size_t count = call->version < 3 ? 0 : (size_t)in->members_count;
    out.members = KAFKA_LIST(call, leave_group_response_member, count);
    if (!out.members) {
        kafka_no_memory(call);
        return;
    }
    if (!group_valid(in->group_id))
        out.error_code = KAFKA_INVALID_GROUP_ID;
    else if (call->version < 3)
        out.error_code = (int16_t)groups_leave(groups, in->group_id, in->member_id, (cairn_str){0}, clock_ms());
    for (size_t i = 0; out.error_code == KAFKA_NONE && i < count; i++) {
        struct kafka_leave_group_response_member *to = &out.members[out.members_count++];
        to->member_id = in->members[i].member_id;
        to->group_instance_id = in->members[i].group_instance_id;
        to->error_code = (int16_t)groups_leave(groups, in->group_id, to->member_id, to->group_instance_id, clock_ms());
    }
    kafka_respond(call, &out);
}

/* ---- ConsumerGroupHeartbeat ---------------------------------------------------------------------------------------------- */

static void
beaten(void *context, const struct consumer_heartbeat_result *result)
{
    struct kafka_call *call = context;
    struct kafka_consumer_group_heartbeat_response out;
    KAFKA_DEFAULTS(consumer_group_heartbeat_response, &out);
    out.error_code = (int16_t)result->err;
    out.error_message = result->err == KAFKA_NONE ? (cairn_str){0}
                        : result->message         ? cairn_cstr(result->message)
                                                  : error_text(result->err);
    out.member_id = result->member_id.size ? result->member_id : (cairn_str){0};
    out.member_epoch = result->epoch;
    out.heartbeat_interval_ms = result->heartbeat_interval_ms;
    out.has_assignment = result->has_assignment;
    size_t count = result->has_assignment ? result->assignment_count : 0;
    out.assignment.topic_partitions = KAFKA_LIST(call, consumer_group_heartbeat_response_topic_partition, count);
    if (!out.assignment.topic_partitions) {
        kafka_no_memory(call);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct kafka_consumer_group_heartbeat_response_topic_partition *to =
            &out.assignment.topic_partitions[out.assignment.topic_partitions_count++];
        to->topic_id = result->assignment[i].topic_id;
        to->partitions = (int32_t *)(uintptr_t)result->assignment[i].partitions; /* read only */
        to->partitions_count = (int32_t)result->assignment[i].count;
    }
    kafka_respond(call, &out);
}

void
answer_consumer_group_heartbeat(struct kafka_call *call)
{
    const struct kafka_consumer_group_heartbeat_request *in = KAFKA_REQUEST(call, consumer_group_heartbeat);
    struct topic_partitions *owned = NULL;
    cairn_str host = client_host(call);
    if (in->topic_partitions_count >= 0)
        owned = arena_alloc(&call->arena, ((size_t)in->topic_partitions_count + 1) * sizeof *owned);
    cairn_str *topics = NULL;
    if (in->subscribed_topic_names_count >= 0) /* an empty list is not null */
        topics = arena_alloc(&call->arena, ((size_t)in->subscribed_topic_names_count + 1) * sizeof *topics);
    if (!host.data || (in->topic_partitions_count >= 0 && !owned) || (in->subscribed_topic_names_count >= 0 && !topics)) {
        kafka_no_memory(call);
        return;
    }
    for (int32_t i = 0; i < in->topic_partitions_count; i++)
        owned[i] = (struct topic_partitions){in->topic_partitions[i].topic_id, in->topic_partitions[i].partitions,
                                             (size_t)in->topic_partitions[i].partitions_count};
    for (int32_t i = 0; i < in->subscribed_topic_names_count; i++)
        topics[i] = in->subscribed_topic_names[i];
    if (!group_valid(in->group_id)) {
        beaten(call, &(struct consumer_heartbeat_result){.err = KAFKA_INVALID_GROUP_ID});
        return;
    }
    struct consumer_heartbeat heartbeat = {
        .group = in->group_id,
        .member_id = in->member_id,
        .instance_id = in->instance_id,
        .rack_id = in->rack_id,
        .client_id = call->client_id,
        .client_host = host,
        .epoch = in->member_epoch,
        .rebalance_timeout_ms = in->rebalance_timeout_ms,
        .topics = topics,
        .topic_count = topics ? (size_t)in->subscribed_topic_names_count : 0,
        .has_regex = in->subscribed_topic_regex.data != NULL,
        .regex = in->subscribed_topic_regex,
        .assignor = in->server_assignor,
        .owned = owned,
        .owned_count = owned ? (size_t)in->topic_partitions_count : 0,
    };
    groups_consumer_heartbeat(calls_of(call)->groups, &heartbeat, clock_ms(), beaten, call);
}

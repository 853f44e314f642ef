/* Looking at groups, and deleting them: DescribeGroups, ListGroups, DeleteGroups, ConsumerGroupDescribe. */
#include <proto/kafka/calls_int.h>

#include <strings.h>

static bool
is_type(const struct group_info *info, const char *type)
{
    return info->type && strcmp(info->type, type) == 0;
}

/* ---- DescribeGroups: of the classic protocol ----------------------------------------------------------------------------- */

static bool
put_classic(struct kafka_call *call, const struct group_info *info, struct kafka_describe_groups_response_group *to)
{
    to->group_state = not_null(info->state);
    to->protocol_type = not_null(info->protocol_type);
    to->protocol_data = not_null(info->protocol);
    to->members = KAFKA_LIST(call, describe_groups_response_member, info->member_count);
    if (!to->members)
        return false;
    for (size_t i = 0; i < info->member_count; i++) {
        const struct group_member_info *member = &info->members[i];
        struct kafka_describe_groups_response_member *out = &to->members[to->members_count++];
        out->member_id = member->member_id;
        out->group_instance_id = member->instance_id.size ? member->instance_id : (cairn_str){0};
        out->client_id = member->client_id;
        out->client_host = member->client_host;
        out->member_metadata = member->metadata;
        out->member_assignment = member->assignment;
    }
    return true;
}

void
answer_describe_groups(struct kafka_call *call)
{
    const struct kafka_describe_groups_request *in = KAFKA_REQUEST(call, describe_groups);
    struct kafka_describe_groups_response out;
    KAFKA_DEFAULTS(describe_groups_response, &out);
    out.groups = KAFKA_LIST(call, describe_groups_response_group, (size_t)in->groups_count);
    bool fine = out.groups != NULL;
    for (int32_t i = 0; fine && i < in->groups_count; i++) {
        struct kafka_describe_groups_response_group *to = &out.groups[out.groups_count++];
        struct group_info info = {0};
        enum kafka_err err = in->groups[i].size == 0 ? KAFKA_INVALID_GROUP_ID
                                                     : groups_describe(calls_of(call)->groups, in->groups[i], &call->arena, &info);
        if (err == KAFKA_NONE && is_type(&info, "consumer"))
            err = KAFKA_GROUP_ID_NOT_FOUND; /* not of this protocol: ConsumerGroupDescribe tells of it */
        to->group_id = in->groups[i];
        to->authorized_operations = authorized(in->include_authorized_operations, AUTHORIZED_GROUP);
        to->group_state = CAIRN_STR("");
        if (err == KAFKA_NONE)
            fine = put_classic(call, &info, to);
        else if (err == KAFKA_GROUP_ID_NOT_FOUND) {
            to->group_state = CAIRN_STR("Dead"); /* before version 6 that says it all */
            to->error_code = call->version < 6 ? KAFKA_NONE : (int16_t)err;
        } else
            to->error_code = (int16_t)err;
        to->error_message = error_text(to->error_code);
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

/* ---- ListGroups ---------------------------------------------------------------------------------------------------------- */

struct listing {
    struct kafka_call *call;
    struct kafka_list_groups_response out;
    size_t room;
    bool failed;
};

static bool
is_wanted(const cairn_str *filter, int32_t count, cairn_str text)
{
    for (int32_t i = 0; i < count; i++)
        if (filter[i].size == text.size && strncasecmp(filter[i].data, text.data, text.size) == 0)
            return true;
    return count <= 0;
}

static bool
visit_group(void *context, const struct group_info *info)
{
    struct listing *listing = context;
    const struct kafka_list_groups_request *in = KAFKA_REQUEST(listing->call, list_groups);
    struct kafka_list_groups_response *out = &listing->out;
    struct arena *arena = &listing->call->arena;
    if (!is_wanted(in->states_filter, in->states_filter_count, info->state) ||
        !is_wanted(in->types_filter, in->types_filter_count, cairn_cstr(info->type)))
        return true;
    if ((size_t)out->groups_count == listing->room) {
        size_t room = listing->room ? listing->room * 2 : 32;
        struct kafka_list_groups_response_group *groups = KAFKA_LIST(listing->call, list_groups_response_group, room);
        if (!groups) {
            listing->failed = true;
            return false;
        }
        if (out->groups_count > 0)
            memcpy(groups, out->groups, (size_t)out->groups_count * sizeof *groups);
        out->groups = groups;
        listing->room = room;
    }
    struct kafka_list_groups_response_group *to = &out->groups[out->groups_count++];
    to->group_id = arena_copy(arena, info->group);
    to->protocol_type = arena_copy(arena, info->protocol_type);
    to->group_state = arena_copy(arena, info->state);
    to->group_type = arena_copy(arena, cairn_cstr(info->type));
    listing->failed = !to->group_id.data || !to->protocol_type.data || !to->group_state.data || !to->group_type.data;
    return !listing->failed;
}

void
answer_list_groups(struct kafka_call *call)
{
    struct listing listing = {.call = call};
    KAFKA_DEFAULTS(list_groups_response, &listing.out);
    groups_list(calls_of(call)->groups, visit_group, &listing);
    if (listing.failed)
        kafka_no_memory(call);
    else
        kafka_respond(call, &listing.out);
}

/* ---- DeleteGroups -------------------------------------------------------------------------------------------------------- */

void
answer_delete_groups(struct kafka_call *call)
{
    const struct kafka_delete_groups_request *in = KAFKA_REQUEST(call, delete_groups);
    struct kafka_delete_groups_response out;
    KAFKA_DEFAULTS(delete_groups_response, &out);
    out.results = KAFKA_LIST(call, delete_groups_response_result, (size_t)in->group_names_count);
    if (!out.results) {
        kafka_no_memory(call);
        return;
    }
    groups_tick(calls_of(call)->groups, kafka_now_ms()); /* a session that is over this very moment does not keep a group */
    for (int32_t i = 0; i < in->group_names_count; i++) {
        struct kafka_delete_groups_response_result *to = &out.results[out.results_count++];
        to->group_id = in->group_names[i];
        to->error_code = (int16_t)(in->group_names[i].size == 0 ? KAFKA_INVALID_GROUP_ID
                                                                : groups_delete(calls_of(call)->groups, in->group_names[i]));
    }
    kafka_respond(call, &out);
}

/* ---- ConsumerGroupDescribe: of the newer protocol ------------------------------------------------------------------------ */

static bool
put_assignment(struct kafka_call *call, const struct topic_partitions *from, size_t count,
               struct kafka_consumer_group_describe_response_assignment *to)
{
    struct calls *calls = calls_of(call);
    to->topic_partitions = KAFKA_LIST(call, consumer_group_describe_response_topic_partition, count);
    bool fine = to->topic_partitions != NULL;
    for (size_t i = 0; fine && i < count; i++) {
        cairn_topic_ref *ref = NULL;
        if (cairn_topic_by_id(calls->store, calls->scope, &from[i].topic_id, &ref, NULL) != CAIRN_OK)
            continue; /* deleted meanwhile */
        struct kafka_consumer_group_describe_response_topic_partition *out = &to->topic_partitions[to->topic_partitions_count++];
        out->topic_id = from[i].topic_id;
        out->topic_name = arena_copy(&call->arena, cairn_topic_of(ref)->name);
        out->partitions = (int32_t *)(uintptr_t)from[i].partitions; /* read only, in the arena */
        out->partitions_count = (int32_t)from[i].count;
        fine = out->topic_name.data != NULL;
        cairn_topic_release(ref);
    }
    return fine;
}

static bool
put_consumers(struct kafka_call *call, const struct group_info *info, struct kafka_consumer_group_describe_response_group *to)
{
    bool fine;
    to->group_state = not_null(info->state);
    to->group_epoch = info->generation;
    to->assignment_epoch = info->assignment_epoch;
    to->assignor_name = not_null(info->protocol);
    to->members = KAFKA_LIST(call, consumer_group_describe_response_member, info->member_count);
    fine = to->members != NULL;
    for (size_t i = 0; fine && i < info->member_count; i++) {
        const struct group_member_info *member = &info->members[i];
        struct kafka_consumer_group_describe_response_member *out = &to->members[to->members_count++];
        out->member_id = member->member_id;
        out->instance_id = member->instance_id.size ? member->instance_id : (cairn_str){0};
        out->member_epoch = member->epoch;
        out->client_id = member->client_id;
        out->client_host = member->client_host;
        out->subscribed_topic_names = (cairn_str *)(uintptr_t)member->topics; /* read only, in the arena */
        out->subscribed_topic_names_count = (int32_t)member->topic_count;
        out->member_type = 1; /* of this protocol */
        fine = put_assignment(call, member->owned, member->owned_count, &out->assignment) &&
               put_assignment(call, member->target, member->target_count, &out->target_assignment);
    }
    return fine;
}

void
answer_consumer_group_describe(struct kafka_call *call)
{
    const struct kafka_consumer_group_describe_request *in = KAFKA_REQUEST(call, consumer_group_describe);
    struct kafka_consumer_group_describe_response out;
    KAFKA_DEFAULTS(consumer_group_describe_response, &out);
    out.groups = KAFKA_LIST(call, consumer_group_describe_response_group, (size_t)in->group_ids_count);
    bool fine = out.groups != NULL;
    for (int32_t i = 0; fine && i < in->group_ids_count; i++) {
        struct kafka_consumer_group_describe_response_group *to = &out.groups[out.groups_count++];
        struct group_info info = {0};
        enum kafka_err err = in->group_ids[i].size == 0
                                 ? KAFKA_INVALID_GROUP_ID
                                 : groups_describe(calls_of(call)->groups, in->group_ids[i], &call->arena, &info);
        if (err == KAFKA_NONE && !is_type(&info, "consumer"))
            err = KAFKA_GROUP_ID_NOT_FOUND; /* DescribeGroups tells of it: clients try both */
        to->group_id = in->group_ids[i];
        to->error_code = (int16_t)err;
        to->error_message = error_text(err);
        to->authorized_operations = authorized(in->include_authorized_operations, AUTHORIZED_GROUP);
        if (err == KAFKA_NONE)
            fine = put_consumers(call, &info, to);
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

/* What groups have read: OffsetCommit, OffsetFetch, OffsetDelete. */
#include <proto/kafka/calls_int.h>

/* ---- OffsetCommit -------------------------------------------------------------------------------------------------------- */

/* Under way: which of the answer's partitions belongs to which commit. */
struct committing {
    struct kafka_offset_commit_response out;
    struct offset_commit *commits;
    struct kafka_offset_commit_response_partition **to;
    size_t count;
};

static void
fail_all(struct kafka_offset_commit_response *out, enum kafka_err err)
{
    for (int32_t i = 0; i < out->topics_count; i++)
        for (int32_t n = 0; n < out->topics[i].partitions_count; n++)
            if (out->topics[i].partitions[n].error_code == KAFKA_NONE)
                out->topics[i].partitions[n].error_code = (int16_t)err;
}

static void
committed(void *context, enum kafka_err err, const enum kafka_err *errs)
{
    struct kafka_call *call = context;
    struct committing *committing = call->state;
    for (size_t i = 0; errs && i < committing->count; i++)
        committing->to[i]->error_code = (int16_t)errs[i];
    if (err != KAFKA_NONE)
        fail_all(&committing->out, err);
    kafka_respond(call, &committing->out);
}

/* Commits for what there is, errors for the rest. NULL: no memory. */
static struct committing *
collect(struct kafka_call *call, const struct kafka_offset_commit_request *in)
{
    struct committing *committing = arena_zalloc(&call->arena, sizeof *committing);
    size_t room = 1;
    for (int32_t i = 0; i < in->topics_count; i++)
        room += (size_t)in->topics[i].partitions_count;
    if (!committing)
        return NULL;
    KAFKA_DEFAULTS(offset_commit_response, &committing->out);
    committing->commits = arena_alloc(&call->arena, room * sizeof *committing->commits);
    committing->to = arena_alloc(&call->arena, room * sizeof *committing->to);
    committing->out.topics = KAFKA_LIST(call, offset_commit_response_topic, (size_t)in->topics_count);
    if (!committing->commits || !committing->to || !committing->out.topics)
        return NULL;
    int64_t now = wall_ms();
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct kafka_offset_commit_request_topic *topic = &in->topics[i];
        struct kafka_offset_commit_response_topic *to = &committing->out.topics[committing->out.topics_count++];
        to->name = topic->name;
        to->partitions = KAFKA_LIST(call, offset_commit_response_partition, (size_t)topic->partitions_count);
        if (!to->partitions)
            return NULL;
        for (int32_t n = 0; n < topic->partitions_count; n++) {
            const struct kafka_offset_commit_request_partition *asked = &topic->partitions[n];
            struct kafka_offset_commit_response_partition *partition = &to->partitions[to->partitions_count++];
            enum kafka_err err = check_partition(call, topic->name, asked->partition_index);
            partition->partition_index = asked->partition_index;
            partition->error_code = (int16_t)err;
            if (err != KAFKA_NONE)
                continue;
            committing->commits[committing->count] = (struct offset_commit){
                .topic = topic->name,
                .partition = (uint32_t)asked->partition_index,
                .offset = asked->committed_offset,
                .leader_epoch = asked->committed_leader_epoch,
                .metadata = asked->committed_metadata,
                .commit_time_ms = now,
                .expire_time_ms = in->retention_time_ms >= 0 && in->retention_time_ms < INT64_MAX - now ? now + in->retention_time_ms
                                                                                                       : -1,
            };
            committing->to[committing->count++] = partition;
        }
    }
    return committing;
}

void
answer_offset_commit(struct kafka_call *call)
{
    const struct kafka_offset_commit_request *in = KAFKA_REQUEST(call, offset_commit);
    struct groups_broker *groups = calls_of(call)->groups;
    struct committing *committing = collect(call, in);
    if (!committing) {
        kafka_no_memory(call);
        return;
    }
    call->state = committing;
    enum kafka_err err = in->group_id.size == 0 || in->group_id.size > GROUP_ID_MAX ? KAFKA_INVALID_GROUP_ID : KAFKA_NONE;
    if (err == KAFKA_NONE)
        err = groups_may_commit(groups, in->group_id, in->member_id, in->group_instance_id, in->generation_id_or_member_epoch);
    if (err != KAFKA_NONE || committing->count == 0)
        committed(call, err, NULL);
    else
        groups_commit_async(groups, in->group_id, committing->commits, committing->count, committed, call);
}

/* ---- OffsetFetch --------------------------------------------------------------------------------------------------------- */

/* Version 8 put the same answer inside a list of groups: everything is built in that form, and taken out of it for older ones. */
typedef struct kafka_offset_fetch_response_group_topic fetched_topic;
typedef struct kafka_offset_fetch_response_group_topic_partition fetched_partition;

static void
put_fetched(fetched_partition *to, int32_t partition, enum kafka_err err, const struct offset_commit *commit)
{
    to->partition_index = partition;
    to->error_code = (int16_t)err;
    to->committed_offset = err == KAFKA_NONE && commit ? commit->offset : -1;
    to->committed_leader_epoch = err == KAFKA_NONE && commit && commit->offset >= 0 ? commit->leader_epoch : -1;
    to->metadata = err == KAFKA_NONE && commit ? not_null(commit->metadata) : CAIRN_STR("");
}

static bool
fetch_topic(struct kafka_call *call, cairn_str group, bool stable, cairn_str name, const int32_t *partitions, int32_t count,
            fetched_topic *to, int16_t *ret_error)
{
    struct calls *calls = calls_of(call);
    to->name = name;
    to->partitions = KAFKA_LIST(call, offset_fetch_response_group_topic_partition, (size_t)count);
    if (!to->partitions)
        return false;
    for (int32_t i = 0; i < count; i++) {
        struct offset_commit commit = {.offset = -1};
        enum kafka_err err = KAFKA_NONE;
        if (partitions[i] >= 0 && stable && broker_offset_pending(calls->broker, group, name, (uint32_t)partitions[i]))
            err = KAFKA_UNSTABLE_OFFSET_COMMIT;
        else if (partitions[i] >= 0)
            err = groups_offset_fetch(calls->groups, group, name, (uint32_t)partitions[i], &call->arena, &commit);
        if (err == KAFKA_NOT_COORDINATOR) /* clients try again only when it is said of the whole */
            *ret_error = (int16_t)err;
        put_fetched(&to->partitions[to->partitions_count++], partitions[i], err, &commit);
    }
    return true;
}

/* Everything that a group has. */
struct everything {
    struct kafka_call *call;
    struct kafka_offset_fetch_response_group *to;
    cairn_str group;
    bool stable, failed;
    size_t topic_room, partition_room;
};

/* Room for one more at the end of a list in the arena. */
#define GROW(everything, table, list, count, room)                                                        \
    do {                                                                                                  \
        if ((size_t)(count) < (room))                                                                     \
            break;                                                                                        \
        (room) = (room) ? (room) * 2 : 8;                                                                 \
        void *grown = kafka_list((everything)->call, &kafka_##table##_table, (room));                     \
        if (!grown) {                                                                                     \
            (everything)->failed = true;                                                                  \
            return false;                                                                                 \
        }                                                                                                 \
        if ((count) > 0)                                                                                  \
            memcpy(grown, (list), (size_t)(count) * sizeof *(list));                                      \
        (list) = grown;                                                                                   \
    } while (0)

static bool
visit_offset(void *context, const struct offset_commit *commit)
{
    struct everything *all = context;
    struct arena *arena = &all->call->arena;
    struct kafka_offset_fetch_response_group *to = all->to;
    fetched_topic *topic = to->topics_count > 0 ? &to->topics[to->topics_count - 1] : NULL;
    struct offset_commit copy = *commit;
    if (commit->offset < 0)
        return true;
    copy.metadata = arena_copy(arena, commit->metadata);
    all->failed = !copy.metadata.data;
    if (!topic || !cairn_str_equal(topic->name, commit->topic)) {
        GROW(all, offset_fetch_response_group_topic, to->topics, to->topics_count, all->topic_room);
        topic = &to->topics[to->topics_count++];
        topic->name = arena_copy(arena, commit->topic);
        all->failed |= !topic->name.data;
        all->partition_room = 0;
    }
    GROW(all, offset_fetch_response_group_topic_partition, topic->partitions, topic->partitions_count, all->partition_room);
    bool pending = all->stable && broker_offset_pending(calls_of(all->call)->broker, all->group, topic->name, commit->partition);
    put_fetched(&topic->partitions[topic->partitions_count++], (int32_t)commit->partition,
                pending ? KAFKA_UNSTABLE_OFFSET_COMMIT : KAFKA_NONE, &copy);
    return !all->failed;
}

static bool
fetch_everything(struct kafka_call *call, cairn_str group, bool stable, struct kafka_offset_fetch_response_group *to)
{
    struct everything all = {.call = call, .to = to, .group = group, .stable = stable};
    enum kafka_err err = groups_offsets(calls_of(call)->groups, group, visit_offset, &all);
    if (err != KAFKA_NONE && err != KAFKA_GROUP_ID_NOT_FOUND)
        to->error_code = (int16_t)err;
    return !all.failed;
}

static bool
fetch_group(struct kafka_call *call, const struct kafka_offset_fetch_request_group *in, bool stable,
            struct kafka_offset_fetch_response_group *to)
{
    to->group_id = in->group_id;
    /* KIP-848: not for members that have been left behind */
    to->error_code = (int16_t)groups_may_fetch(calls_of(call)->groups, in->group_id, in->member_id, in->member_epoch);
    if (to->error_code != KAFKA_NONE)
        return true;
    if (in->topics_count < 0)
        return fetch_everything(call, in->group_id, stable, to);
    to->topics = KAFKA_LIST(call, offset_fetch_response_group_topic, (size_t)in->topics_count);
    bool fine = to->topics != NULL;
    for (int32_t i = 0; fine && i < in->topics_count; i++)
        fine = fetch_topic(call, in->group_id, stable, in->topics[i].name, in->topics[i].partition_indexes,
                           in->topics[i].partition_indexes_count, &to->topics[to->topics_count++], &to->error_code);
    return fine;
}

/* Versions before 8. */
static bool
fetch_alone(struct kafka_call *call, const struct kafka_offset_fetch_request *in, struct kafka_offset_fetch_response *out)
{
    struct kafka_offset_fetch_request_group group;
    struct kafka_offset_fetch_response_group got;
    KAFKA_DEFAULTS(offset_fetch_request_group, &group);
    KAFKA_DEFAULTS(offset_fetch_response_group, &got);
    group.group_id = in->group_id;
    group.topics_count = in->topics_count;
    group.topics = arena_alloc(&call->arena, ((size_t)(in->topics_count > 0 ? in->topics_count : 0) + 1) * sizeof *group.topics);
    for (int32_t i = 0; group.topics && i < in->topics_count; i++)
        group.topics[i] = (struct kafka_offset_fetch_request_group_topic){
            in->topics[i].name, in->topics[i].partition_indexes, in->topics[i].partition_indexes_count};
    if (!group.topics || !fetch_group(call, &group, in->require_stable, &got))
        return false;
    out->error_code = got.error_code;
    out->topics = KAFKA_LIST(call, offset_fetch_response_topic, (size_t)got.topics_count);
    if (!out->topics)
        return false;
    for (int32_t i = 0; i < got.topics_count; i++) {
        struct kafka_offset_fetch_response_topic *to = &out->topics[out->topics_count++];
        to->name = got.topics[i].name;
        to->partitions = KAFKA_LIST(call, offset_fetch_response_partition, (size_t)got.topics[i].partitions_count);
        if (!to->partitions)
            return false;
        for (int32_t n = 0; n < got.topics[i].partitions_count; n++) {
            const fetched_partition *from = &got.topics[i].partitions[n];
            to->partitions[to->partitions_count++] =
                (struct kafka_offset_fetch_response_partition){.partition_index = from->partition_index,
                                                               .committed_offset = from->committed_offset,
                                                               .committed_leader_epoch = from->committed_leader_epoch,
                                                               .metadata = from->metadata,
                                                               .error_code = from->error_code};
        }
    }
    return true;
}

void
answer_offset_fetch(struct kafka_call *call)
{
    const struct kafka_offset_fetch_request *in = KAFKA_REQUEST(call, offset_fetch);
    struct kafka_offset_fetch_response out;
    bool fine = true;
    KAFKA_DEFAULTS(offset_fetch_response, &out);
    if (call->version < 8)
        fine = fetch_alone(call, in, &out);
    else {
        out.groups = KAFKA_LIST(call, offset_fetch_response_group, (size_t)in->groups_count);
        fine = out.groups != NULL;
        for (int32_t i = 0; fine && i < in->groups_count; i++)
            fine = fetch_group(call, &in->groups[i], in->require_stable, &out.groups[out.groups_count++]);
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

/* ---- OffsetDelete -------------------------------------------------------------------------------------------------------- */

void
answer_offset_delete(struct kafka_call *call)
{
    const struct kafka_offset_delete_request *in = KAFKA_REQUEST(call, offset_delete);
    struct kafka_offset_delete_response out;
    size_t count = 0, at = 0;
    KAFKA_DEFAULTS(offset_delete_response, &out);
    for (int32_t i = 0; i < in->topics_count; i++)
        count += (size_t)in->topics[i].partitions_count;
    struct topic_partition *partitions = arena_alloc(&call->arena, (count + 1) * sizeof *partitions);
    enum kafka_err *errs = arena_zalloc(&call->arena, (count + 1) * sizeof *errs);
    out.topics = KAFKA_LIST(call, offset_delete_response_topic, (size_t)in->topics_count);
    bool fine = partitions && errs && out.topics;
    for (int32_t i = 0; fine && i < in->topics_count; i++)
        for (int32_t n = 0; n < in->topics[i].partitions_count; n++)
            partitions[at++] = (struct topic_partition){in->topics[i].name, (uint32_t)in->topics[i].partitions[n].partition_index};
    if (fine)
        out.error_code = (int16_t)groups_offset_delete(calls_of(call)->groups, in->group_id, partitions, count, errs);
    at = 0;
    for (int32_t i = 0; fine && out.error_code == KAFKA_NONE && i < in->topics_count; i++) {
        struct kafka_offset_delete_response_topic *to = &out.topics[out.topics_count++];
        to->name = in->topics[i].name;
        to->partitions = KAFKA_LIST(call, offset_delete_response_partition, (size_t)in->topics[i].partitions_count);
        fine = to->partitions != NULL;
        for (int32_t n = 0; fine && n < in->topics[i].partitions_count; n++)
            to->partitions[to->partitions_count++] = (struct kafka_offset_delete_response_partition){
                .partition_index = in->topics[i].partitions[n].partition_index, .error_code = (int16_t)errs[at++]};
    }
    if (fine)
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

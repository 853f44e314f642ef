/* Moving a group's offsets: to the beginning, the end, a time, a position, an offset, or by so many. Only while nobody is in the group, whose
 * members would go on from where they are and commit over it. */
#include <proto/http/api_kafka.h>

#include <base/error.h>
#include <base/json.h>
#include <os/os.h>
#include <os/wait.h>

#include <stdio.h>

struct reset {
    struct api_call *call;
    struct groups_broker *groups;
    struct broker *broker;
    const cairn_topic *topic;
    const struct reset_body *body;
    struct moved {
        cairn_partition_info info;
        int64_t from, to;
        uint32_t partition;
    } *moved;
    size_t count;
};

/* Members, or somebody on the way in: both are in the way. A group that is not known yet may get offsets. */
static cairn_err
check_empty(struct reset *reset, cairn_error *error)
{
    struct api_call *call = reset->call;
    struct group_info info;
    struct broker_why why;
    cairn_str group = call->parts[0];
    enum kafka_err err = group.size > GROUP_ID_MAX ? KAFKA_INVALID_GROUP_ID : groups_describe(reset->groups, group, call->arena, &info);
    if (err == KAFKA_GROUP_ID_NOT_FOUND)
        return CAIRN_OK;
    if (err == KAFKA_NONE && info.member_count > 0) {
        snprintf(why.text, sizeof why.text, "The group has %zu member%s (%.*s).", info.member_count,
                 info.member_count == 1 ? "" : "s", (int)info.state.size, info.state.data);
        return api_kafka_problem(call, KAFKA_NON_EMPTY_GROUP, why.text, error);
    }
    if (err == KAFKA_NONE)
        err = groups_may_commit(reset->groups, group, (cairn_str){0}, (cairn_str){0}, -1);
    return api_kafka_problem(call, err, NULL, error);
}

/* Saturating: an offset is never below 0 nor beyond what an i64 holds. */
static int64_t
moved_by(int64_t from, int64_t by)
{
    int64_t sum;
    if (__builtin_add_overflow(from, by, &sum))
        return by > 0 ? INT64_MAX : 0;
    return sum;
}

static cairn_err
find_target(struct reset *reset, struct moved *moved, cairn_error *error)
{
    int64_t timestamp_ms, to = 0;
    struct broker_why why;
    enum kafka_err err = KAFKA_NONE;
    switch (reset->body->to) {
    case TO_EARLIEST: to = (int64_t)moved->info.start; break;
    case TO_LATEST: to = (int64_t)moved->info.end; break;
    case TO_OFFSET: to = reset->body->number; break;
    case TO_BY:
        if (moved->from < 0) {
            snprintf(why.text, sizeof why.text, "The group has no offset in partition %u to count from.", moved->partition);
            return api_kafka_problem(reset->call, KAFKA_INVALID_REQUEST, why.text, error);
        }
        to = moved_by(moved->from, reset->body->number);
        break;
    case TO_TIME:
        err = broker_offset_at(reset->broker, &reset->topic->id, moved->partition, reset->body->number, &to, &timestamp_ms);
        to = to < 0 ? (int64_t)moved->info.end : to;
        break;
    case TO_POSITION:
        err = broker_offset_at_position(reset->broker, &reset->topic->id, moved->partition, (uint64_t)reset->body->number, &to);
        break;
    }
    if (to < (int64_t)moved->info.start)
        to = (int64_t)moved->info.start;
    moved->to = to > (int64_t)moved->info.end ? (int64_t)moved->info.end : to;
    return api_kafka_problem(reset->call, err, NULL, error);
}

static cairn_err
plan(struct reset *reset, cairn_error *error)
{
    const struct reset_body *body = reset->body;
    struct api_call *call = reset->call;
    cairn_err err = CAIRN_OK;
    reset->count = body->partition_count ? body->partition_count : reset->topic->partitions;
    reset->moved = arena_zalloc(call->arena, reset->count * sizeof *reset->moved);
    if (!reset->moved)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    for (size_t i = 0; i < reset->count && err == CAIRN_OK; i++) {
        struct moved *moved = &reset->moved[i];
        struct offset_commit had = {.offset = -1};
        char text[16];
        moved->partition = body->partition_count ? body->partitions[i] : (uint32_t)i;
        int size = snprintf(text, sizeof text, "%u", moved->partition);
        err = api_partition_find(call, reset->topic, (cairn_str){text, (size_t)size}, &moved->partition, error);
        if (err == CAIRN_OK)
            err = cairn_partition_get(broker_store(reset->broker), broker_scope(reset->broker), &reset->topic->id,
                                      moved->partition, &moved->info, error);
        if (err == CAIRN_OK)
            err = api_kafka_problem(call, groups_offset_fetch(reset->groups, call->parts[0], reset->topic->name, moved->partition,
                                                              call->arena, &had), NULL, error);
        moved->from = had.offset;
        if (err == CAIRN_OK)
            err = find_target(reset, moved, error);
    }
    return err;
}

/* ---- doing it ------------------------------------------------------------------------------------------------------------------ */

struct waiting {
    _Atomic uint32_t done;
    enum kafka_err err;
    size_t count;
};

static void
committed(void *context, enum kafka_err err, const enum kafka_err *errs)
{
    struct waiting *waiting = context;
    for (size_t i = 0; i < waiting->count && err == KAFKA_NONE && errs; i++)
        err = errs[i];
    waiting->err = err;
    atomic_store(&waiting->done, 1);
    os_wake(&waiting->done, 1);
}

static cairn_err
commit(struct reset *reset, cairn_error *error)
{
    struct api_call *call = reset->call;
    struct waiting waiting = {.count = reset->count};
    int64_t now_ms = os_now_us(os_real()) / 1000;
    struct offset_commit *commits = arena_alloc(call->arena, reset->count * sizeof *commits);
    if (!commits)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    for (size_t i = 0; i < reset->count; i++)
        commits[i] = (struct offset_commit){.topic = reset->topic->name,
                                            .partition = reset->moved[i].partition,
                                            .offset = reset->moved[i].to,
                                            .leader_epoch = -1,
                                            .commit_time_ms = now_ms,
                                            .expire_time_ms = -1};
    groups_commit_async(reset->groups, call->parts[0], commits, reset->count, committed, &waiting);
    while (atomic_load(&waiting.done) == 0) /* the commit always ends: durable, or with the log's failure */
        os_wait(&waiting.done, 0, UINT64_MAX);
    return api_kafka_problem(call, waiting.err, NULL, error);
}

static void
put_plan(struct buf *to, const struct reset *reset)
{
    buf_put_str(to, CAIRN_STR("{\"group\":"));
    json_put_string(to, reset->call->parts[0]);
    json_put_text_member(to, "topic", reset->topic->name);
    json_put_bool_member(to, "dry_run", reset->body->dry_run);
    json_put_name(to, "offsets");
    buf_put_char(to, '[');
    for (size_t i = 0; i < reset->count; i++) {
        const struct moved *moved = &reset->moved[i];
        json_put_comma(to);
        buf_printf(to, "{\"partition\":%u,\"from\":", moved->partition);
        if (moved->from >= 0)
            json_put_i64(to, moved->from);
        else
            buf_put_str(to, CAIRN_STR("null"));
        json_put_u64_member(to, "to", (uint64_t)moved->to);
        json_put_u64_member(to, "start", moved->info.start);
        json_put_u64_member(to, "end", moved->info.end);
        json_put_u64_member(to, "lag", moved->info.end - (uint64_t)moved->to);
        buf_put_char(to, '}');
    }
    buf_put_str(to, CAIRN_STR("]}"));
}

cairn_err
api_kgroup_reset(struct api_call *call, cairn_error *error)
{
    struct parse parse = {.arena = call->arena, .error = error};
    struct reset_body body;
    struct reset reset = {.call = call, .broker = call->api->config.broker, .body = &body};
    cairn_topic_ref *ref = NULL;
    cairn_err err = api_kgroups(call, &reset.groups, error);
    if (err == CAIRN_OK)
        err = parse_reset(&parse, call->body, &body);
    call->malformed = parse.malformed;
    if (err == CAIRN_OK)
        err = api_topic_find(call, body.topic, &ref, error);
    if (err == CAIRN_OK) {
        reset.topic = cairn_topic_of(ref);
        err = check_empty(&reset, error);
    }
    if (err == CAIRN_OK)
        err = plan(&reset, error);
    if (err == CAIRN_OK && !body.dry_run)
        err = commit(&reset, error);
    if (err == CAIRN_OK)
        put_plan(call->out, &reset);
    cairn_topic_release(ref);
    return err;
}

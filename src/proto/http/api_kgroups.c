/* Groups of Kafka's clients: who is in them, what each reads, how far they are. ("Subscriptions", api_groups.c, are those of
 * Cairn's own clients.) */
#include <proto/http/api_kafka.h>

#include <base/error.h>
#include <base/json.h>

#include <stdlib.h>

/* ---- how far it is ------------------------------------------------------------------------------------------------------------ */

/* A partition that the group has an offset of, or that is assigned to one of its members. */
struct row {
    cairn_str topic, metadata, member; /* member empty: nobody's */
    uint32_t partition;
    int64_t committed, commit_time_ms; /* -1: none */
    bool known;                        /* there is such a partition: start and end are its */
    uint64_t start, end;
};

struct rows {
    struct arena *arena;
    struct row *items;
    size_t count, capacity;
    bool failed;
};

static bool
add_row(struct rows *rows, const struct row *row)
{
    if (rows->count == rows->capacity) {
        size_t capacity = rows->capacity ? rows->capacity * 2 : 64;
        struct row *larger = realloc(rows->items, capacity * sizeof *larger);
        if (!larger)
            return !(rows->failed = true);
        rows->items = larger;
        rows->capacity = capacity;
    }
    rows->items[rows->count++] = *row;
    return true;
}

static bool
take_offset(void *context, const struct offset_commit *commit)
{
    struct rows *rows = context;
    struct row row = {.topic = arena_copy(rows->arena, commit->topic),
                      .metadata = arena_copy(rows->arena, commit->metadata),
                      .partition = commit->partition,
                      .committed = commit->offset,
                      .commit_time_ms = commit->commit_time_ms};
    if (!row.topic.data || !row.metadata.data)
        return !(rows->failed = true);
    return add_row(rows, &row);
}

static void
add_assigned(struct rows *rows, cairn_str topic, const int32_t *partitions, size_t count, cairn_str member)
{
    for (size_t i = 0; i < count && !rows->failed; i++)
        add_row(rows, &(struct row){.topic = topic, .member = member, .partition = (uint32_t)partitions[i], .committed = -1,
                                    .commit_time_ms = -1});
}

/* The name of a topic that members know by id; empty: it is gone. */
static cairn_str
name_of(struct api_call *call, const cairn_uuid *id)
{
    struct broker *broker = call->api->config.broker;
    cairn_topic_ref *ref;
    if (cairn_topic_by_id(broker_store(broker), broker_scope(broker), id, &ref, NULL) != CAIRN_OK)
        return (cairn_str){0};
    cairn_str name = arena_copy(call->arena, cairn_topic_of(ref)->name);
    cairn_topic_release(ref);
    return name;
}

/* What a member has: of either protocol, by name. */
static bool
member_assigned(struct api_call *call, const struct group_info *info, const struct group_member_info *member,
                struct assigned **ret, size_t *ret_count)
{
    *ret = NULL;
    *ret_count = 0;
    if (!strcmp(info->type, "classic"))
        return cairn_str_equal(info->protocol_type, CAIRN_STR("consumer")) &&
               assignment_read(member->assignment, call->arena, ret, ret_count);
    struct assigned *items = arena_alloc(call->arena, (member->owned_count + 1) * sizeof *items);
    if (!items)
        return false;
    for (size_t i = 0; i < member->owned_count; i++)
        items[i] = (struct assigned){name_of(call, &member->owned[i].topic_id), member->owned[i].partitions,
                                     member->owned[i].count};
    *ret = items;
    *ret_count = member->owned_count;
    return true;
}

static int
by_place(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = cairn_str_order(x->topic, y->topic);
    if (order == 0)
        order = (x->partition > y->partition) - (x->partition < y->partition);
    return order ? order : (y->committed > x->committed) - (y->committed < x->committed);
}

/* One row a partition: its offset, and who has it. */
static void
join_rows(struct rows *rows)
{
    size_t kept = 0;
    if (rows->count > 1)
        qsort(rows->items, rows->count, sizeof *rows->items, by_place);
    for (size_t i = 0; i < rows->count; i++) {
        struct row *before = kept ? &rows->items[kept - 1] : NULL;
        const struct row *row = &rows->items[i];
        if (before && before->partition == row->partition && cairn_str_equal(before->topic, row->topic)) {
            if (before->member.size == 0)
                before->member = row->member;
        } else {
            rows->items[kept++] = *row;
        }
    }
    rows->count = kept;
}

static void
find_ends(struct broker *broker, struct rows *rows)
{
    cairn_topic_ref *ref = NULL;
    cairn_str topic = {0};
    for (size_t i = 0; i < rows->count; i++) {
        struct row *row = &rows->items[i];
        cairn_partition_info info;
        if (i == 0 || !cairn_str_equal(topic, row->topic)) {
            cairn_topic_release(ref);
            ref = NULL;
            topic = row->topic;
            error_ignore(cairn_topic_get(broker_store(broker), broker_scope(broker), topic, &ref, NULL));
        }
        row->known = ref && cairn_partition_get(broker_store(broker), broker_scope(broker), &cairn_topic_of(ref)->id,
                                                row->partition, &info, NULL) == CAIRN_OK;
        if (row->known) {
            row->start = info.start;
            row->end = info.end;
        }
    }
    cairn_topic_release(ref);
}

static bool
row_lag(const struct row *row, uint64_t *ret)
{
    if (!row->known || row->committed < 0)
        return false;
    uint64_t from = (uint64_t)row->committed > row->start ? (uint64_t)row->committed : row->start;
    *ret = row->end > from ? row->end - from : 0;
    return true;
}

/* The rows of a group, and the sum of their lags. info: of groups_describe. */
static cairn_err
gather_rows(struct api_call *call, const struct group_info *info, struct rows *rows, uint64_t *ret_lag, cairn_error *error)
{
    enum kafka_err err = groups_offsets(call->api->config.groups, info->group, take_offset, rows);
    for (size_t i = 0; i < info->member_count && err == KAFKA_NONE; i++) {
        struct assigned *items;
        size_t count;
        if (member_assigned(call, info, &info->members[i], &items, &count))
            for (size_t n = 0; n < count; n++)
                if (items[n].topic.size > 0)
                    add_assigned(rows, items[n].topic, items[n].partitions, items[n].count, info->members[i].member_id);
    }
    if (rows->failed)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    join_rows(rows);
    find_ends(call->api->config.broker, rows);
    *ret_lag = 0;
    for (size_t i = 0; i < rows->count; i++) {
        uint64_t lag;
        *ret_lag += row_lag(&rows->items[i], &lag) ? lag : 0;
    }
    return api_kafka_problem(call, err, NULL, error);
}

cairn_err
api_kgroup_lags(struct api_call *call, cairn_str group, kgroup_lag_visit visit, void *context, cairn_error *error)
{
    const struct group_info info = {.group = group}; /* members have nothing to do with it */
    struct rows rows = {.arena = call->arena};
    uint64_t all;
    cairn_err err = gather_rows(call, &info, &rows, &all, error);
    for (size_t i = 0, next; i < rows.count && err == CAIRN_OK; i = next) {
        uint64_t sum = 0, lag;
        bool any = false;
        for (next = i; next < rows.count && cairn_str_equal(rows.items[i].topic, rows.items[next].topic); next++)
            if (row_lag(&rows.items[next], &lag)) {
                sum += lag;
                any = true;
            }
        if (any)
            visit(context, rows.items[i].topic, sum);
    }
    free(rows.items);
    return err;
}

/* ---- writing ------------------------------------------------------------------------------------------------------------------ */

static void
put_u64_or_null(struct buf *to, const char *name, bool there, uint64_t n)
{
    json_put_name(to, name);
    if (there)
        json_put_u64(to, n);
    else
        buf_put_str(to, CAIRN_STR("null"));
}

static void
put_rows(struct buf *to, const struct rows *rows)
{
    json_put_name(to, "offsets");
    buf_put_char(to, '[');
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->items[i];
        uint64_t lag = 0;
        bool has_lag = row_lag(row, &lag);
        json_put_comma(to);
        buf_put_str(to, CAIRN_STR("{\"topic\":"));
        json_put_string(to, row->topic);
        json_put_u64_member(to, "partition", row->partition);
        put_u64_or_null(to, "offset", row->committed >= 0, (uint64_t)row->committed);
        put_u64_or_null(to, "start", row->known, row->start);
        put_u64_or_null(to, "end", row->known, row->end);
        put_u64_or_null(to, "lag", has_lag, lag);
        api_put_ms(to, "commit_time", row->commit_time_ms);
        json_put_name(to, "member_id");
        if (row->member.size)
            json_put_string(to, row->member);
        else
            buf_put_str(to, CAIRN_STR("null"));
        json_put_text_member(to, "metadata", row->metadata);
        buf_put_char(to, '}');
    }
    buf_put_char(to, ']');
}

static void
put_assignment(struct buf *to, const struct assigned *items, size_t count)
{
    json_put_name(to, "assignment");
    buf_put_char(to, '[');
    for (size_t i = 0; i < count; i++) {
        json_put_comma(to);
        buf_put_str(to, CAIRN_STR("{\"topic\":"));
        json_put_string(to, items[i].topic);
        json_put_name(to, "partitions");
        buf_put_char(to, '[');
        for (size_t n = 0; n < items[i].count; n++)
            buf_printf(to, "%s%d", n ? "," : "", items[i].partitions[n]);
        buf_put_str(to, CAIRN_STR("]}"));
    }
    buf_put_char(to, ']');
}

static void
put_member(struct api_call *call, const struct group_info *info, const struct group_member_info *member)
{
    struct buf *to = call->out;
    struct assigned *items;
    cairn_str *topics = NULL;
    size_t count, topic_count = 0;
    json_put_comma(to);
    buf_put_str(to, CAIRN_STR("{\"member_id\":"));
    json_put_string(to, member->member_id);
    if (member->instance_id.size)
        json_put_text_member(to, "instance_id", member->instance_id);
    json_put_text_member(to, "client_id", member->client_id);
    json_put_text_member(to, "client_host", member->client_host);
    if (!strcmp(info->type, "consumer"))
        json_put_u64_member(to, "epoch", member->epoch > 0 ? (uint64_t)member->epoch : 0);
    bool subscribed = cairn_str_equal(info->protocol_type, CAIRN_STR("consumer")) &&
                      subscription_read(member->metadata, call->arena, &topics, &topic_count);
    if (member->topic_count > 0)
        json_put_texts_member(to, "topics", member->topics, member->topic_count);
    else if (subscribed)
        json_put_texts_member(to, "topics", topics, topic_count);
    if (member_assigned(call, info, member, &items, &count))
        put_assignment(to, items, count);
    else if (member->assignment.size > 0) /* of another kind of client (Connect …): its own business */
        json_put_u64_member(to, "assignment_bytes", member->assignment.size);
    buf_put_char(to, '}');
}

/* `{"group":…` without its end. */
static void
put_group(struct buf *to, const struct group_info *info, uint64_t lag)
{
    buf_put_str(to, CAIRN_STR("{\"group\":"));
    json_put_string(to, info->group);
    json_put_text_member(to, "state", info->state);
    json_put_text_member(to, "type", cairn_cstr(info->type));
    json_put_text_member(to, "protocol_type", info->protocol_type);
    json_put_text_member(to, "protocol", info->protocol);
    json_put_u64_member(to, "member_count", info->member_count);
    json_put_u64_member(to, "lag", lag);
}

/* ---- calls ----------------------------------------------------------------------------------------------------------------------- */

cairn_err
api_kgroup_get(struct api_call *call, cairn_error *error)
{
    struct groups_broker *groups;
    struct rows rows = {.arena = call->arena};
    struct group_info info;
    uint64_t lag;
    cairn_err err = api_kgroups(call, &groups, error);
    if (err == CAIRN_OK)
        err = api_kafka_problem(call, groups_describe(groups, call->parts[0], call->arena, &info), NULL, error);
    if (err == CAIRN_OK)
        err = gather_rows(call, &info, &rows, &lag, error);
    if (err == CAIRN_OK) {
        put_group(call->out, &info, lag);
        json_put_name(call->out, strcmp(info.type, "consumer") ? "generation" : "epoch");
        json_put_i64(call->out, info.generation);
        json_put_name(call->out, "members");
        buf_put_char(call->out, '[');
        for (size_t i = 0; i < info.member_count; i++)
            put_member(call, &info, &info.members[i]);
        buf_put_char(call->out, ']');
        put_rows(call->out, &rows);
        buf_put_char(call->out, '}');
    }
    free(rows.items);
    return err;
}

static bool
gather_group(void *context, const struct group_info *info)
{
    struct name_page *page = context;
    return !name_page_wants(page, info->group) || name_page_add(page, info->group, NULL);
}

static cairn_err
put_listed(struct api_call *call, cairn_str name, cairn_error *error)
{
    struct rows rows = {.arena = call->arena};
    struct group_info info;
    uint64_t lag;
    enum kafka_err found = groups_describe(call->api->config.groups, name, call->arena, &info);
    if (found == KAFKA_GROUP_ID_NOT_FOUND)
        return CAIRN_OK; /* gone a moment ago */
    cairn_err err = api_kafka_problem(call, found, NULL, error);
    if (err == CAIRN_OK)
        err = gather_rows(call, &info, &rows, &lag, error);
    if (err == CAIRN_OK) {
        json_put_comma(call->out);
        put_group(call->out, &info, lag);
        buf_put_char(call->out, '}');
    }
    free(rows.items);
    return err;
}

cairn_err
api_kgroup_list(struct api_call *call, cairn_error *error)
{
    struct name_page page = name_page_of(call);
    struct groups_broker *groups;
    cairn_err err = api_kgroups(call, &groups, error);
    if (err == CAIRN_OK)
        groups_list(groups, gather_group, &page);
    if (err == CAIRN_OK && page.failed)
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    name_page_close(&page);
    buf_put_str(call->out, CAIRN_STR("{\"groups\":["));
    for (size_t i = 0; i < page.count && err == CAIRN_OK; i++)
        err = put_listed(call, page.items[i].name, error);
    if (err == CAIRN_OK)
        name_page_end(&page, call->out);
    name_page_free(&page);
    return err;
}

cairn_err
api_kgroup_delete(struct api_call *call, cairn_error *error)
{
    struct groups_broker *groups;
    cairn_err err = api_kgroups(call, &groups, error);
    if (err != CAIRN_OK)
        return err;
    call->status = 204;
    return api_kafka_problem(call, groups_delete(groups, call->parts[0]), NULL, error);
}

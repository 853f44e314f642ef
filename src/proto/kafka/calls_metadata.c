/* What there is and where: Metadata, DescribeTopicPartitions, DescribeCluster, FindCoordinator. One broker, node 1, leads
 * everything, coordinates everything and is the controller. */
#include <proto/kafka/calls_int.h>

#include <batch/event.h>
#include <stdlib.h>

static int32_t this_node[] = {KAFKA_NODE_ID};

/* One list of partitions serves all topics of an answer: they differ in how many of it they have. */
struct partitions {
    struct kafka_metadata_response_partition *list;
    uint32_t count;
};

static bool
put_partitions(struct kafka_call *call, struct partitions *shared, uint32_t count, struct kafka_metadata_response_topic *to)
{
    if (count > shared->count) {
        uint32_t room = count > 2 * shared->count ? count : 2 * shared->count;
        shared->list = KAFKA_LIST(call, metadata_response_partition, room);
        shared->count = shared->list ? room : 0;
        for (uint32_t i = 0; i < shared->count; i++) {
            struct kafka_metadata_response_partition *partition = &shared->list[i];
            partition->partition_index = (int32_t)i;
            partition->leader_id = KAFKA_NODE_ID;
            partition->leader_epoch = 0;
            partition->replica_nodes = partition->isr_nodes = this_node;
            partition->replica_nodes_count = partition->isr_nodes_count = 1;
        }
    }
    to->partitions = shared->list;
    to->partitions_count = (int32_t)count;
    return shared->list != NULL;
}

/* The name is copied: the topic may go before the answer does. */
static bool
put_topic(struct kafka_call *call, struct partitions *shared, const cairn_topic *topic, struct kafka_metadata_response_topic *to)
{
    const struct kafka_metadata_request *in = KAFKA_REQUEST(call, metadata);
    to->error_code = KAFKA_NONE;
    to->name = arena_copy(&call->arena, topic->name);
    to->topic_id = topic->id;
    to->topic_authorized_operations = authorized(in->include_topic_authorized_operations, AUTHORIZED_TOPIC);
    return to->name.data && put_partitions(call, shared, topic->partitions, to);
}

/* ---- all of them --------------------------------------------------------------------------------------------------------- */

struct all_topics {
    struct kafka_call *call;
    struct kafka_metadata_response_topic *topics;
    struct partitions partitions;
    size_t count, room;
    bool failed;
};

static bool
visit_topic(void *context, const cairn_topic *topic, uint64_t revision)
{
    struct all_topics *all = context;
    (void)revision;
    if (all->count == all->room) {
        size_t room = all->room ? all->room * 2 : 64;
        struct kafka_metadata_response_topic *topics = KAFKA_LIST(all->call, metadata_response_topic, room);
        if (!topics) {
            all->failed = true;
            return false;
        }
        if (all->count)
            memcpy(topics, all->topics, all->count * sizeof *topics);
        all->topics = topics;
        all->room = room;
    }
    all->failed = !put_topic(all->call, &all->partitions, topic, &all->topics[all->count++]);
    return !all->failed;
}

static bool
put_all(struct kafka_call *call, struct kafka_metadata_response *out)
{
    struct calls *calls = calls_of(call);
    struct all_topics all = {.call = call};
    if (cairn_topics(calls->store, calls->scope, visit_topic, &all, NULL) != CAIRN_OK || all.failed)
        return false;
    out->topics = all.topics;
    out->topics_count = (int32_t)all.count;
    return true;
}

static int
compare_names(const void *a, const void *b)
{
    const cairn_str *x = a, *y = b;
    return cairn_str_order(*x, *y);
}

/* ---- those that were named ----------------------------------------------------------------------------------------------- */

/* A topic that is missing is made when both the client and the broker's default want that. */
static cairn_topic_ref *
find_or_make(struct kafka_call *call, cairn_str name, enum kafka_err *ret)
{
    const struct kafka_metadata_request *in = KAFKA_REQUEST(call, metadata);
    struct calls *calls = calls_of(call);
    struct broker_why why = {{0}};
    cairn_topic_ref *ref = NULL;
    if (!topic_name_valid(name)) {
        *ret = KAFKA_INVALID_TOPIC_EXCEPTION;
        return NULL;
    }
    ref = find_topic(call, name, ret);
    if (*ret != KAFKA_UNKNOWN_TOPIC_OR_PARTITION || !in->allow_auto_topic_creation || !broker_auto_creates(calls->broker))
        return ref;
    struct broker_topic_spec spec = {.name = name, .partitions = -1};
    *ret = broker_topic_create(calls->broker, &spec, false, &ref, &why);
    if (*ret == KAFKA_TOPIC_ALREADY_EXISTS) /* somebody was quicker */
        ref = find_topic(call, name, ret);
    return *ret == KAFKA_NONE ? ref : NULL;
}

static int
compare_asked(const void *a, const void *b)
{
    const struct kafka_metadata_request_topic *x = *(const struct kafka_metadata_request_topic *const *)a;
    const struct kafka_metadata_request_topic *y = *(const struct kafka_metadata_request_topic *const *)b;
    if (x->name.data && y->name.data)
        return compare_names(&x->name, &y->name);
    if (x->name.data || y->name.data)
        return x->name.data ? 1 : -1;
    return memcmp(&x->topic_id, &y->topic_id, sizeof x->topic_id);
}

static int
compare_places(const void *a, const void *b)
{
    const struct kafka_metadata_request_topic *x = *(const struct kafka_metadata_request_topic *const *)a;
    const struct kafka_metadata_request_topic *y = *(const struct kafka_metadata_request_topic *const *)b;
    return (x > y) - (x < y);
}

/* Each once: as in Kafka a request is a set, and what it costs is bounded by what there is. In the request's order. NULL: no
 * memory. */
static const struct kafka_metadata_request_topic **
each_asked(struct kafka_call *call, const struct kafka_metadata_request *in, size_t *ret_count)
{
    size_t count = (size_t)in->topics_count, kept = 0;
    const struct kafka_metadata_request_topic **asked = arena_alloc(&call->arena, (count + 1) * sizeof *asked);
    for (size_t i = 0; asked && i < count; i++)
        asked[i] = &in->topics[i];
    if (asked && count > 1)
        qsort(asked, count, sizeof *asked, compare_asked);
    for (size_t i = 0; asked && i < count; i++)
        if (i == 0 || compare_asked(&asked[i], &asked[kept - 1]) != 0)
            asked[kept++] = asked[i];
    if (kept > 1)
        qsort(asked, kept, sizeof *asked, compare_places);
    *ret_count = kept;
    return asked;
}

static bool
put_named(struct kafka_call *call, struct kafka_metadata_response *out)
{
    const struct kafka_metadata_request *in = KAFKA_REQUEST(call, metadata);
    struct calls *calls = calls_of(call);
    struct partitions partitions = {0};
    bool fine = true;
    size_t count;
    const struct kafka_metadata_request_topic **all = each_asked(call, in, &count);
    out->topics = all ? KAFKA_LIST(call, metadata_response_topic, count) : NULL;
    if (!out->topics)
        return false;
    out->topics_count = (int32_t)count;
    for (size_t i = 0; fine && i < count; i++) {
        const struct kafka_metadata_request_topic *asked = all[i];
        struct kafka_metadata_response_topic *topic = &out->topics[i];
        cairn_topic_ref *ref = NULL;
        enum kafka_err err = KAFKA_NONE;
        topic->topic_id = asked->topic_id;
        topic->name = asked->name.data || call->version >= 12 ? asked->name : CAIRN_STR("");
        if (asked->name.data)
            ref = find_or_make(call, asked->name, &err);
        else if (cairn_topic_by_id(calls->store, calls->scope, &asked->topic_id, &ref, NULL) != CAIRN_OK)
            err = KAFKA_UNKNOWN_TOPIC_ID;
        topic->error_code = (int16_t)err;
        if (ref)
            fine = put_topic(call, &partitions, cairn_topic_of(ref), topic);
        cairn_topic_release(ref);
    }
    return fine;
}

void
answer_metadata(struct kafka_call *call)
{
    const struct kafka_metadata_request *in = KAFKA_REQUEST(call, metadata);
    struct kafka_metadata_response_broker node;
    struct kafka_metadata_response out;
    KAFKA_DEFAULTS(metadata_response, &out);
    KAFKA_DEFAULTS(metadata_response_broker, &node);
    node.node_id = KAFKA_NODE_ID;
    kafka_advertised(call, &node.host, &node.port);
    out.brokers = &node;
    out.brokers_count = 1;
    out.cluster_id = cairn_cstr(kafka_config_of(call->server)->cluster_id);
    out.controller_id = KAFKA_NODE_ID;
    out.cluster_authorized_operations = authorized(in->include_cluster_authorized_operations, AUTHORIZED_CLUSTER);
    /* Version 0 has no null: there an empty list asks for all. */
    bool all = in->topics_count < 0 || (call->version == 0 && in->topics_count == 0);
    if (all ? put_all(call, &out) : put_named(call, &out))
        kafka_respond(call, &out);
    else
        kafka_no_memory(call);
}

/* ---- DescribeTopicPartitions (KIP-966): in pages ------------------------------------------------------------------------- */

#define PAGE_MAX 2000

struct page {
    struct kafka_call *call;
    struct kafka_describe_topic_partitions_response *out;
    cairn_str *names;
    size_t count, room;
    int32_t left; /* partitions */
    bool failed;
};

static bool
collect_name(void *context, const cairn_topic *topic, uint64_t revision)
{
    struct page *page = context;
    (void)revision;
    if (page->count == page->room) {
        size_t room = page->room ? page->room * 2 : 64;
        cairn_str *names = arena_alloc(&page->call->arena, room * sizeof *names);
        if (!names) {
            page->failed = true;
            return false;
        }
        if (page->count)
            memcpy(names, page->names, page->count * sizeof *names);
        page->names = names;
        page->room = room;
    }
    page->names[page->count] = arena_copy(&page->call->arena, topic->name);
    page->failed = !page->names[page->count].data;
    page->count++;
    return !page->failed;
}

/* A topic from `first` on, as far as the page goes. False: the page is full, or there is no memory. */
static bool
page_topic(struct page *page, cairn_str name, int32_t first)
{
    struct kafka_describe_topic_partitions_response *out = page->out;
    struct kafka_describe_topic_partitions_response_topic *to = &out->topics[out->topics_count];
    enum kafka_err err;
    if (page->left <= 0) {
        out->has_next_cursor = true;
        out->next_cursor.topic_name = name;
        out->next_cursor.partition_index = first;
        return false;
    }
    cairn_topic_ref *ref = find_topic(page->call, name, &err);
    to->name = name;
    to->error_code = (int16_t)(ref || topic_name_valid(name) ? err : KAFKA_INVALID_TOPIC_EXCEPTION);
    out->topics_count++;
    if (!ref)
        return true;
    int32_t end = (int32_t)cairn_topic_of(ref)->partitions;
    to->topic_id = cairn_topic_of(ref)->id;
    to->topic_authorized_operations = authorized(true, AUTHORIZED_TOPIC);
    cairn_topic_release(ref);
    first = first < 0 ? 0 : first < end ? first : end;
    int32_t count = end - first < page->left ? end - first : page->left;
    to->partitions = KAFKA_LIST(page->call, describe_topic_partitions_response_partition, (size_t)count);
    if (!to->partitions) {
        page->failed = true;
        return false;
    }
    to->partitions_count = count;
    page->left -= count;
    for (int32_t i = 0; i < count; i++) {
        struct kafka_describe_topic_partitions_response_partition *partition = &to->partitions[i];
        partition->partition_index = first + i;
        partition->leader_id = KAFKA_NODE_ID;
        partition->leader_epoch = 0;
        partition->replica_nodes = partition->isr_nodes = this_node;
        partition->replica_nodes_count = partition->isr_nodes_count = 1;
    }
    if (first + count < end) {
        out->has_next_cursor = true;
        out->next_cursor.topic_name = name;
        out->next_cursor.partition_index = first + count;
        return false;
    }
    return true;
}

void
answer_describe_topic_partitions(struct kafka_call *call)
{
    const struct kafka_describe_topic_partitions_request *in = KAFKA_REQUEST(call, describe_topic_partitions);
    struct calls *calls = calls_of(call);
    struct kafka_describe_topic_partitions_response out;
    struct page page = {.call = call, .out = &out};
    KAFKA_DEFAULTS(describe_topic_partitions_response, &out);
    page.left = in->response_partition_limit > 0 && in->response_partition_limit < PAGE_MAX ? in->response_partition_limit
                                                                                             : PAGE_MAX;
    if (in->topics_count > 0) {
        page.names = arena_alloc(&call->arena, (size_t)in->topics_count * sizeof *page.names);
        for (int32_t i = 0; page.names && i < in->topics_count; i++)
            page.names[page.count++] = not_null(in->topics[i].name);
    } else if (cairn_topics(calls->store, calls->scope, collect_name, &page, NULL) != CAIRN_OK)
        page.failed = true;
    if (page.count > 0)
        qsort(page.names, page.count, sizeof *page.names, compare_names);
    out.topics = KAFKA_LIST(call, describe_topic_partitions_response_topic, page.count);
    if (page.failed || !out.topics) {
        kafka_no_memory(call);
        return;
    }
    bool more = true;
    for (size_t i = 0; more && i < page.count; i++) {
        int order = in->has_cursor ? compare_names(&page.names[i], &in->cursor.topic_name) : 1;
        if (order >= 0 && (i == 0 || compare_names(&page.names[i], &page.names[i - 1]) != 0))
            more = page_topic(&page, page.names[i], order == 0 ? in->cursor.partition_index : 0);
    }
    if (page.failed)
        kafka_no_memory(call);
    else
        kafka_respond(call, &out);
}

/* ---- the cluster --------------------------------------------------------------------------------------------------------- */

void
answer_describe_cluster(struct kafka_call *call)
{
    const struct kafka_describe_cluster_request *in = KAFKA_REQUEST(call, describe_cluster);
    struct kafka_describe_cluster_response_broker node;
    struct kafka_describe_cluster_response out;
    KAFKA_DEFAULTS(describe_cluster_response, &out);
    KAFKA_DEFAULTS(describe_cluster_response_broker, &node);
    node.broker_id = KAFKA_NODE_ID;
    kafka_advertised(call, &node.host, &node.port);
    out.cluster_id = cairn_cstr(kafka_config_of(call->server)->cluster_id);
    out.endpoint_type = in->endpoint_type;
    if (in->endpoint_type == 1) {
        out.controller_id = KAFKA_NODE_ID;
        out.brokers = &node;
        out.brokers_count = 1;
        out.cluster_authorized_operations = authorized(in->include_cluster_authorized_operations, AUTHORIZED_CLUSTER);
    } else { /* controllers have no address of their own here */
        out.error_code = KAFKA_UNSUPPORTED_VERSION;
        out.error_message = CAIRN_STR("There are no controllers apart from the broker.");
    }
    kafka_respond(call, &out);
}

enum { COORDINATES_GROUPS = 0, COORDINATES_TRANSACTIONS = 1 };

static enum kafka_err
check_coordinated(int8_t type, cairn_str key)
{
    if (type != COORDINATES_GROUPS && type != COORDINATES_TRANSACTIONS)
        return KAFKA_INVALID_REQUEST;
    if (type == COORDINATES_GROUPS && (key.size == 0 || key.size > GROUP_ID_MAX))
        return KAFKA_INVALID_GROUP_ID;
    return type == COORDINATES_TRANSACTIONS && key.size == 0 ? KAFKA_INVALID_REQUEST : KAFKA_NONE;
}

void
answer_find_coordinator(struct kafka_call *call)
{
    const struct kafka_find_coordinator_request *in = KAFKA_REQUEST(call, find_coordinator);
    struct kafka_find_coordinator_response out;
    cairn_str host;
    int32_t port;
    KAFKA_DEFAULTS(find_coordinator_response, &out);
    kafka_advertised(call, &host, &port);
    enum kafka_err err = call->version < 4 ? check_coordinated(in->key_type, in->key) : KAFKA_NONE;
    out.error_code = (int16_t)err;
    out.error_message = call->version < 4 ? error_text(err) : (cairn_str){0};
    out.node_id = err == KAFKA_NONE ? KAFKA_NODE_ID : -1;
    out.host = err == KAFKA_NONE ? host : CAIRN_STR("");
    out.port = err == KAFKA_NONE ? port : -1;
    size_t count = call->version < 4 ? 0 : (size_t)in->coordinator_keys_count;
    out.coordinators = KAFKA_LIST(call, find_coordinator_response_coordinator, count);
    if (!out.coordinators) {
        kafka_no_memory(call);
        return;
    }
    out.coordinators_count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        struct kafka_find_coordinator_response_coordinator *to = &out.coordinators[i];
        err = check_coordinated(in->key_type, in->coordinator_keys[i]);
        to->key = in->coordinator_keys[i];
        to->error_code = (int16_t)err;
        to->error_message = error_text(err);
        to->node_id = err == KAFKA_NONE ? KAFKA_NODE_ID : -1;
        to->host = err == KAFKA_NONE ? host : CAIRN_STR("");
        to->port = err == KAFKA_NONE ? port : -1;
    }
    kafka_respond(call, &out);
}

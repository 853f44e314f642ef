/* Idempotent producers, transactions, groups, access control lists, coordinators: over the wire. */
#include "kafka_calls.h"

#include <os/twin.h>

/* ---- producers, transactions --------------------------------------------------------------------------------------------- */

static const struct kafka_produce_response_partition *
produce_as(const char *topic, struct producer producer, int32_t sequence, const char *transaction)
{
    struct buf batch = batch_of("tx", 2, BATCH_PLAIN);
    struct batch_head head;
    CHECK(batch_head_read(buf_str(&batch), &head) == NULL);
    head.producer_id = producer.id;
    head.producer_epoch = producer.epoch;
    head.base_sequence = sequence;
    head.attributes |= transaction ? BATCH_TRANSACTIONAL : 0;
    batch_head_write((uint8_t *)batch.data, &head);
    const struct kafka_produce_response_partition *out =
        produce_bytes(&client, topic, 0, buf_str(&batch), -1, transaction ? cairn_cstr(transaction) : (cairn_str){0});
    buf_free(&batch);
    return out;
}

TEST(idempotent_producer)
{
    create("idem", 1);
    struct producer producer = init_producer(NULL);
    CHECK_INT(produce_as("idem", producer, 0, NULL)->base_offset, 0);
    CHECK_INT(produce_as("idem", producer, 2, NULL)->base_offset, 2);
    const struct kafka_produce_response_partition *again = produce_as("idem", producer, 0, NULL);
    CHECK_INT(again->error_code, KAFKA_NONE);
    CHECK_INT(again->base_offset, 0);
    CHECK_INT(produce_as("idem", producer, 9, NULL)->error_code, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);

    int32_t zero = 0;
    struct kafka_describe_producers_request_topic topic = {CAIRN_STR("idem"), &zero, 1};
    struct kafka_describe_producers_request in = {.topics = &topic, .topics_count = 1};
    const struct kafka_describe_producers_response *out = CLIENT_CALL(&client, DESCRIBE_PRODUCERS, describe_producers, 0, &in);
    CHECK_INT(out->topics[0].partitions[0].active_producers_count, 1);
    CHECK_INT(out->topics[0].partitions[0].active_producers[0].producer_id, producer.id);
    CHECK_INT(out->topics[0].partitions[0].active_producers[0].last_sequence, 3);
}

static int
add_partition(const char *id, struct producer producer, const char *topic)
{
    int32_t zero = 0;
    struct kafka_add_partitions_to_txn_request_topic to = {cairn_cstr(topic), &zero, 1};
    struct kafka_add_partitions_to_txn_request in = {cairn_cstr(id), producer.id, producer.epoch, &to, 1};
    return CLIENT_CALL(&client, ADD_PARTITIONS_TO_TXN, add_partitions_to_txn, 3, &in)->results[0].partitions[0].error_code;
}

static int
end_txn(const char *id, struct producer producer, bool commit)
{
    struct kafka_end_txn_request in = {cairn_cstr(id), producer.id, producer.epoch, commit};
    return CLIENT_CALL(&client, END_TXN, end_txn, 3, &in)->error_code;
}

static int64_t
committed(const char *group, bool stable, int *ret_err)
{
    int32_t zero = 0;
    struct kafka_offset_fetch_request_topic topic = {CAIRN_STR("tx"), &zero, 1};
    struct kafka_offset_fetch_request in = {.group_id = cairn_cstr(group), .topics = &topic, .topics_count = 1, .require_stable = stable};
    const struct kafka_offset_fetch_response *out = CLIENT_CALL(&client, OFFSET_FETCH, offset_fetch, 7, &in);
    *ret_err = out->topics[0].partitions[0].error_code;
    return out->topics[0].partitions[0].committed_offset;
}

static void
send_offset(const char *id, struct producer producer, const char *group, int64_t offset)
{
    struct kafka_add_offsets_to_txn_request add = {cairn_cstr(id), producer.id, producer.epoch, cairn_cstr(group)};
    CHECK_INT(CLIENT_CALL(&client, ADD_OFFSETS_TO_TXN, add_offsets_to_txn, 3, &add)->error_code, KAFKA_NONE);
    struct kafka_txn_offset_commit_request_partition part = {.committed_offset = offset, .committed_leader_epoch = -1};
    struct kafka_txn_offset_commit_request_topic topic = {CAIRN_STR("tx"), &part, 1};
    struct kafka_txn_offset_commit_request in = {
        .transactional_id = cairn_cstr(id), .group_id = cairn_cstr(group), .producer_id = producer.id,
        .producer_epoch = producer.epoch, .generation_id = -1, .topics = &topic, .topics_count = 1};
    CHECK_INT(CLIENT_CALL(&client, TXN_OFFSET_COMMIT, txn_offset_commit, 3, &in)->topics[0].partitions[0].error_code, KAFKA_NONE);
}

/* Goal: records and offsets of a transaction are there when it is committed and not before, nor ever when it is aborted. */
TEST(transactions)
{
    int err;
    create("tx", 1);
    struct producer producer = init_producer("tx-1");
    CHECK_INT(add_partition("tx-1", producer, "tx"), KAFKA_NONE);
    CHECK_INT(produce_as("tx", producer, 0, "tx-1")->error_code, KAFKA_NONE);
    send_offset("tx-1", producer, "tx-group", 17);
    CHECK_INT(offset_at("tx", -1), 0);
    CHECK_INT(committed("tx-group", false, &err), -1);
    CHECK_INT(err, KAFKA_NONE);
    committed("tx-group", true, &err);
    CHECK_INT(err, KAFKA_UNSTABLE_OFFSET_COMMIT);

    cairn_str id = CAIRN_STR("tx-1");
    struct kafka_describe_transactions_request describe = {.transactional_ids = &id, .transactional_ids_count = 1};
    const struct kafka_describe_transactions_response *told =
        CLIENT_CALL(&client, DESCRIBE_TRANSACTIONS, describe_transactions, 0, &describe);
    CHECK_INT(told->transaction_states[0].error_code, KAFKA_NONE);
    CHECK(cairn_str_equal(told->transaction_states[0].transaction_state, CAIRN_STR("Ongoing")));
    CHECK_INT(told->transaction_states[0].producer_id, producer.id);
    CHECK_INT(told->transaction_states[0].topics_count, 1);

    CHECK_INT(end_txn("tx-1", producer, true), KAFKA_NONE);
    CHECK_INT(offset_at("tx", -1), 2);
    CHECK_INT(committed("tx-group", true, &err), 17);
    CHECK_INT(err, KAFKA_NONE);

    CHECK_INT(add_partition("tx-1", producer, "tx"), KAFKA_NONE);
    CHECK_INT(produce_as("tx", producer, 2, "tx-1")->error_code, KAFKA_NONE);
    send_offset("tx-1", producer, "tx-group", 99);
    CHECK_INT(end_txn("tx-1", producer, false), KAFKA_NONE);
    CHECK_INT(offset_at("tx", -1), 2);
    CHECK_INT(committed("tx-group", true, &err), 17);

    struct producer newer = init_producer("tx-1"); /* fences the older one */
    CHECK(newer.id == producer.id && newer.epoch > producer.epoch);
    CHECK(add_partition("tx-1", producer, "tx") != KAFKA_NONE);

    cairn_str states[] = {CAIRN_STR("Empty"), CAIRN_STR("Sleeping")};
    struct kafka_list_transactions_request list = {.state_filters = states, .state_filters_count = 2, .duration_filter = -1};
    const struct kafka_list_transactions_response *listed = CLIENT_CALL(&client, LIST_TRANSACTIONS, list_transactions, 1, &list);
    CHECK_INT(listed->transaction_states_count, 1);
    CHECK_INT(listed->unknown_state_filters_count, 1);
}

/* Goal: a fetch that waits is woken by a commit. */
TEST(commit_wakes_fetch)
{
    struct kafka_client waiting = kafka_client_open(rig.port);
    create("tx-wake", 1);
    struct producer producer = init_producer("tx-2");
    CHECK_INT(add_partition("tx-2", producer, "tx-wake"), KAFKA_NONE);
    struct fetch_ask ask = {.topic = "tx-wake", .wait_ms = 60000};
    int32_t sent = fetch_send(&waiting, 12, &ask);
    CHECK_INT(produce_as("tx-wake", producer, 0, "tx-2")->error_code, KAFKA_NONE);
    CHECK_INT(end_txn("tx-2", producer, true), KAFKA_NONE);
    CHECK_INT(check_records(fetched(fetch_take(&waiting, 12, sent)), 0, "tx0"), 2);
    kafka_client_close(&waiting);
}

/* ---- groups ------------------------------------------------------------------------------------------------------------------- */

static int32_t
join_send(struct kafka_client *by, const char *group, const char *member)
{
    struct kafka_join_group_request_protocol protocol = {CAIRN_STR("range"), CAIRN_STR("what I want")};
    struct kafka_join_group_request in = {.group_id = cairn_cstr(group),
                                          .session_timeout_ms = 10000,
                                          .rebalance_timeout_ms = 10000,
                                          .member_id = cairn_cstr(member),
                                          .protocol_type = CAIRN_STR("consumer"),
                                          .protocols = &protocol,
                                          .protocols_count = 1};
    return kafka_client_send(by, KAFKA_API_JOIN_GROUP, 5, &in);
}

static const struct kafka_join_group_response *
join_take(struct kafka_client *by, int32_t correlation)
{
    return kafka_client_answer(by, KAFKA_API_JOIN_GROUP, 5, correlation);
}

/* Join for the first time: told one's id, and then in. Returns the generation. */
static int32_t
join(struct kafka_client *by, const char *group, char member[128])
{
    const struct kafka_join_group_response *out = join_take(by, join_send(by, group, ""));
    CHECK_INT(out->error_code, KAFKA_MEMBER_ID_REQUIRED);
    snprintf(member, 128, "%.*s", (int)out->member_id.size, out->member_id.data);
    CHECK(member[0]);
    out = join_take(by, join_send(by, group, member));
    CHECK_INT(out->error_code, KAFKA_NONE);
    CHECK(cairn_str_equal(out->member_id, cairn_cstr(member)));
    CHECK(cairn_str_equal(out->protocol_name, CAIRN_STR("range")));
    return out->generation_id;
}

static int32_t
sync_send(struct kafka_client *by, const char *group, const char *member, int32_t generation, const char *const *to, int count)
{
    struct kafka_sync_group_request_assignment assignments[2];
    for (int i = 0; i < count; i++)
        assignments[i] = (struct kafka_sync_group_request_assignment){cairn_cstr(to[i]), cairn_cstr(to[i])};
    struct kafka_sync_group_request in = {.group_id = cairn_cstr(group),
                                          .generation_id = generation,
                                          .member_id = cairn_cstr(member),
                                          .assignments = assignments,
                                          .assignments_count = count};
    return kafka_client_send(by, KAFKA_API_SYNC_GROUP, 3, &in);
}

static void
sync_take(struct kafka_client *by, int32_t correlation, const char *assignment)
{
    const struct kafka_sync_group_response *out = kafka_client_answer(by, KAFKA_API_SYNC_GROUP, 3, correlation);
    CHECK_INT(out->error_code, KAFKA_NONE);
    CHECK(cairn_str_equal(out->assignment, cairn_cstr(assignment)));
}

static int
heartbeat(struct kafka_client *by, const char *group, const char *member, int32_t generation)
{
    struct kafka_heartbeat_request in = {cairn_cstr(group), generation, cairn_cstr(member), {0}};
    return CLIENT_CALL(by, HEARTBEAT, heartbeat, 4, &in)->error_code;
}

static int
commit_offset(const char *group, const char *member, int32_t generation, const char *topic, int64_t offset)
{
    struct kafka_offset_commit_request_partition part = {.committed_offset = offset, .committed_leader_epoch = -1,
                                                         .committed_metadata = CAIRN_STR("note")};
    struct kafka_offset_commit_request_topic to = {cairn_cstr(topic), &part, 1};
    struct kafka_offset_commit_request in = {.group_id = cairn_cstr(group), .generation_id_or_member_epoch = generation,
                                             .member_id = cairn_cstr(member), .retention_time_ms = -1, .topics = &to, .topics_count = 1};
    return CLIENT_CALL(&client, OFFSET_COMMIT, offset_commit, 8, &in)->topics[0].partitions[0].error_code;
}

/* Goal: one member's life: in, told its part, alive, committing, read back in every form, out. */
TEST(groups)
{
    char member[128];
    create("grouped", 1);
    int32_t generation = join(&client, "g-one", member);
    const char *const alone[] = {member};
    sync_take(&client, sync_send(&client, "g-one", member, generation, alone, 1), member);
    CHECK_INT(heartbeat(&client, "g-one", member, generation), KAFKA_NONE);
    CHECK_INT(heartbeat(&client, "g-one", member, generation + 1), KAFKA_ILLEGAL_GENERATION);
    CHECK_INT(heartbeat(&client, "g-one", "stranger", generation), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(heartbeat(&client, "", member, generation), KAFKA_INVALID_GROUP_ID);
    CHECK_INT(commit_offset("g-one", member, generation, "grouped", 5), KAFKA_NONE);
    CHECK_INT(commit_offset("g-one", member, generation, "nowhere", 5), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    CHECK_INT(commit_offset("g-one", "stranger", generation, "grouped", 6), KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(commit_offset("g-one", "", -1, "grouped", 6), KAFKA_UNKNOWN_MEMBER_ID); /* from outside, while it has members */

    int32_t parts[] = {0, 3};
    struct kafka_offset_fetch_request_group_topic topic = {CAIRN_STR("grouped"), parts, 2};
    struct kafka_offset_fetch_request_group groups[] = {
        {.group_id = CAIRN_STR("g-one"), .member_epoch = -1, .topics = &topic, .topics_count = 1},
        {.group_id = CAIRN_STR("g-one"), .member_epoch = -1, .topics_count = -1},
        {.group_id = CAIRN_STR("g-none"), .member_epoch = -1, .topics_count = -1}};
    struct kafka_offset_fetch_request in = {.groups = groups, .groups_count = 3};
    const struct kafka_offset_fetch_response *out = CLIENT_CALL(&client, OFFSET_FETCH, offset_fetch, 8, &in);
    CHECK_INT(out->groups_count, 3);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(out->groups[i].topics[0].partitions[0].committed_offset, 5);
        CHECK(cairn_str_equal(out->groups[i].topics[0].partitions[0].metadata, CAIRN_STR("note")));
        CHECK_INT(out->groups[i].topics[0].partitions_count, i == 0 ? 2 : 1);
    }
    CHECK_INT(out->groups[0].topics[0].partitions[1].committed_offset, -1);
    CHECK_INT(out->groups[2].topics_count, 0);
    struct kafka_offset_fetch_request old = {.group_id = CAIRN_STR("g-one"), .topics_count = -1};
    for (int16_t version = 2; version <= 7; version++)
        CHECK_INT(CLIENT_CALL(&client, OFFSET_FETCH, offset_fetch, version, &old)->topics[0].partitions[0].committed_offset, 5);

    cairn_str name = CAIRN_STR("g-one");
    struct kafka_describe_groups_request describe = {.groups = &name, .groups_count = 1};
    const struct kafka_describe_groups_response *told = CLIENT_CALL(&client, DESCRIBE_GROUPS, describe_groups, 5, &describe);
    CHECK(cairn_str_equal(told->groups[0].group_state, CAIRN_STR("Stable")));
    CHECK(cairn_str_equal(told->groups[0].members[0].client_host, CAIRN_STR("/127.0.0.1")));
    CHECK(cairn_str_equal(told->groups[0].members[0].member_metadata, CAIRN_STR("what I want")));
    struct kafka_delete_groups_request drop = {&name, 1};
    CHECK_INT(CLIENT_CALL(&client, DELETE_GROUPS, delete_groups, 2, &drop)->results[0].error_code, KAFKA_NON_EMPTY_GROUP);

    struct kafka_leave_group_request_member leaving[] = {{.member_id = cairn_cstr(member)}, {.member_id = CAIRN_STR("stranger")}};
    struct kafka_leave_group_request leave = {.group_id = name, .members = leaving, .members_count = 2};
    const struct kafka_leave_group_response *left = CLIENT_CALL(&client, LEAVE_GROUP, leave_group, 5, &leave);
    CHECK_INT(left->members[0].error_code, KAFKA_NONE);
    CHECK_INT(left->members[1].error_code, KAFKA_UNKNOWN_MEMBER_ID);
    CHECK_INT(commit_offset("g-one", "", -1, "grouped", 7), KAFKA_NONE); /* from outside */

    cairn_str empty = CAIRN_STR("empty");
    struct kafka_list_groups_request list = {.states_filter = &empty, .states_filter_count = 1};
    const struct kafka_list_groups_response *listed = CLIENT_CALL(&client, LIST_GROUPS, list_groups, 5, &list);
    bool there = false;
    for (int32_t i = 0; i < listed->groups_count; i++)
        there |= cairn_str_equal(listed->groups[i].group_id, name);
    CHECK(there);
    struct kafka_offset_delete_request_partition zero = {0};
    struct kafka_offset_delete_request_topic gone = {CAIRN_STR("grouped"), &zero, 1};
    struct kafka_offset_delete_request forget = {name, &gone, 1};
    CHECK_INT(CLIENT_CALL(&client, OFFSET_DELETE, offset_delete, 0, &forget)->topics[0].partitions[0].error_code, KAFKA_NONE);
    out = CLIENT_CALL(&client, OFFSET_FETCH, offset_fetch, 8, &in);
    CHECK_INT(out->groups[0].topics[0].partitions[0].committed_offset, -1);
    CHECK_INT(CLIENT_CALL(&client, DELETE_GROUPS, delete_groups, 2, &drop)->results[0].error_code, KAFKA_NONE);
    CHECK_INT(CLIENT_CALL(&client, DELETE_GROUPS, delete_groups, 2, &drop)->results[0].error_code, KAFKA_GROUP_ID_NOT_FOUND);
}

static void
ignore_commit(void *context, enum kafka_err err, const enum kafka_err *errs)
{
    (void)context;
    (void)err;
    (void)errs;
}

/* Goal: a disk that cannot be read is said with the code that consumers try again upon, where they look for it: of the whole answer,
 * and in version 1, which has none, of the partition.
 * Method: a server of its own, so that no offset is in its memory, and every read fails. */
TEST(offsets_that_cannot_be_read)
{
    static struct kafka_rig own;
    struct os_faulty faulty;
    os_faulty_init(&faulty, os_real());
    faulty.kinds = OS_FAULT_READ;
    faulty.errno_value = EIO;
    faulty.fail_forever = true;
    kafka_rig_open(&own, (struct kafka_config){.port = 0}, NULL);
    struct offset_commit commit = {.topic = CAIRN_STR("t"), .offset = 5, .leader_epoch = -1, .expire_time_ms = -1};
    const struct topic_partition none = {CAIRN_STR("t"), 1};
    groups_commit_async(own.groups, CAIRN_STR("g"), &commit, 1, ignore_commit, NULL);
    CLIENT_AWAIT(groups_offset_delete(own.groups, CAIRN_STR("g"), &none, 1, &(enum kafka_err){0}) == KAFKA_NONE); /* it is there */
    kafka_rig_stop(&own);
    own.os = &faulty.os;
    kafka_rig_start(&own, (struct kafka_config){.port = 0}, NULL);
    struct kafka_client to = kafka_client_open(own.port);
    int32_t zero = 0;
    struct kafka_offset_fetch_request_topic topic = {CAIRN_STR("t"), &zero, 1};
    struct kafka_offset_fetch_request in = {.group_id = CAIRN_STR("g"), .topics = &topic, .topics_count = 1};
    struct kafka_offset_fetch_request_group_topic in_group = {CAIRN_STR("t"), &zero, 1};
    struct kafka_offset_fetch_request_group groups[] = {
        {.group_id = CAIRN_STR("g"), .member_epoch = -1, .topics = &in_group, .topics_count = 1},
        {.group_id = CAIRN_STR("g"), .member_epoch = -1, .topics_count = -1}};
    struct kafka_offset_fetch_request newer = {.groups = groups, .groups_count = 2};
    __atomic_store_n(&faulty.fail_at, 1, __ATOMIC_RELAXED);
    for (int16_t version = 1; version <= 7; version++) {
        const struct kafka_offset_fetch_response *out = CLIENT_CALL(&to, OFFSET_FETCH, offset_fetch, version, &in);
        CHECK_INT(version == 1 ? out->topics[0].partitions[0].error_code : out->error_code, KAFKA_NOT_COORDINATOR);
    }
    const struct kafka_offset_fetch_response *out = CLIENT_CALL(&to, OFFSET_FETCH, offset_fetch, 8, &newer);
    CHECK_INT(out->groups[0].error_code, KAFKA_NOT_COORDINATOR);
    CHECK_INT(out->groups[1].error_code, KAFKA_NOT_COORDINATOR);
    __atomic_store_n(&faulty.fail_at, 0, __ATOMIC_RELAXED);
    out = CLIENT_CALL(&to, OFFSET_FETCH, offset_fetch, 8, &newer);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(out->groups[i].error_code, KAFKA_NONE);
        CHECK_INT(out->groups[i].topics[0].partitions[0].committed_offset, 5);
    }
    kafka_client_close(&to);
    kafka_rig_close(&own);
}

/* Goal: two members share; who waits is answered by what another does; who goes while it waits holds nobody up. */
TEST(group_of_two)
{
    struct kafka_client other = kafka_client_open(rig.port), third = kafka_client_open(rig.port);
    char first[128], second[128];
    int32_t generation = join(&client, "g-two", first);
    const char *const alone[] = {first};
    sync_take(&client, sync_send(&client, "g-two", first, generation, alone, 1), first);

    const struct kafka_join_group_response *told = join_take(&other, join_send(&other, "g-two", ""));
    snprintf(second, sizeof second, "%.*s", (int)told->member_id.size, told->member_id.data);
    int32_t waits = join_send(&other, "g-two", second); /* until the first one joins again */
    CLIENT_AWAIT(heartbeat(&client, "g-two", first, generation) == KAFKA_REBALANCE_IN_PROGRESS);
    told = join_take(&client, join_send(&client, "g-two", first));
    CHECK_INT(told->error_code, KAFKA_NONE);
    CHECK_INT(told->members_count, 2); /* it leads */
    CHECK_INT(told->generation_id, generation + 1);
    told = join_take(&other, waits);
    CHECK_INT(told->error_code, KAFKA_NONE);
    CHECK_INT(told->members_count, 0);
    CHECK(cairn_str_equal(told->leader, cairn_cstr(first)));
    waits = sync_send(&other, "g-two", second, generation + 1, NULL, 0); /* until the leader says who has what */
    const char *const both[] = {first, second};
    sync_take(&client, sync_send(&client, "g-two", first, generation + 1, both, 2), first);
    sync_take(&other, waits, second);

    /* A third one begins to join and is gone. */
    told = join_take(&third, join_send(&third, "g-two", ""));
    char gone[128];
    snprintf(gone, sizeof gone, "%.*s", (int)told->member_id.size, told->member_id.data);
    join_send(&third, "g-two", gone);
    CLIENT_AWAIT(heartbeat(&client, "g-two", first, generation + 1) == KAFKA_REBALANCE_IN_PROGRESS);
    kafka_client_close(&third);
    waits = join_send(&other, "g-two", second);
    told = join_take(&client, join_send(&client, "g-two", first));
    CHECK_INT(told->error_code, KAFKA_NONE);
    CHECK_INT(join_take(&other, waits)->error_code, KAFKA_NONE);
    kafka_client_close(&other);
}

/* Goal: who leaves while its join waits for others is answered at once, and holds them up no longer.
 * Method: its leave comes on the same connection, behind the join that is not answered. The one that stays joins alone. */
TEST(leaving_overtakes_joining)
{
    struct kafka_client other = kafka_client_open(rig.port);
    char first[128], second[128];
    int32_t generation = join(&client, "g-left", first);
    const struct kafka_join_group_response *told = join_take(&other, join_send(&other, "g-left", ""));
    snprintf(second, sizeof second, "%.*s", (int)told->member_id.size, told->member_id.data);
    int32_t waits = join_send(&other, "g-left", second);
    CLIENT_AWAIT(heartbeat(&client, "g-left", first, generation) == KAFKA_REBALANCE_IN_PROGRESS);
    struct kafka_leave_group_request leave = {.group_id = CAIRN_STR("g-left"), .member_id = cairn_cstr(second)};
    int32_t leaves = kafka_client_send(&other, KAFKA_API_LEAVE_GROUP, 1, &leave);
    CHECK_INT(join_take(&other, waits)->error_code, KAFKA_UNKNOWN_MEMBER_ID);
    const struct kafka_leave_group_response *left = kafka_client_answer(&other, KAFKA_API_LEAVE_GROUP, 1, leaves);
    CHECK_INT(left->error_code, KAFKA_NONE);
    told = join_take(&client, join_send(&client, "g-left", first));
    CHECK_INT(told->error_code, KAFKA_NONE);
    CHECK_INT(told->members_count, 1);
    kafka_client_close(&other);
}

/* Goal: the newer protocol: the server assigns. */
TEST(consumer_group)
{
    create("c-topic", 3);
    cairn_str topics[] = {CAIRN_STR("c-topic")};
    struct kafka_consumer_group_heartbeat_request in = {.group_id = CAIRN_STR("g-new"),
                                                        .member_id = CAIRN_STR("member-1"),
                                                        .rebalance_timeout_ms = 10000,
                                                        .subscribed_topic_names = topics,
                                                        .subscribed_topic_names_count = 1,
                                                        .topic_partitions_count = 0};
    int32_t partitions = 0;
    int64_t until = client_now_ms() + 10000;
    for (;;) {
        const struct kafka_consumer_group_heartbeat_response *out =
            CLIENT_CALL(&client, CONSUMER_GROUP_HEARTBEAT, consumer_group_heartbeat, 1, &in);
        CHECK_INT(out->error_code, KAFKA_NONE);
        CHECK(out->heartbeat_interval_ms > 0);
        in.member_epoch = out->member_epoch;
        in.subscribed_topic_names_count = -1;
        in.topic_partitions_count = -1;
        in.rebalance_timeout_ms = -1;
        if (out->has_assignment)
            partitions = out->assignment.topic_partitions_count ? out->assignment.topic_partitions[0].partitions_count : 0;
        if (partitions == 3 || client_now_ms() > until)
            break;
        poll(NULL, 0, 10);
    }
    CHECK_INT(partitions, 3);

    cairn_str name = CAIRN_STR("g-new");
    struct kafka_consumer_group_describe_request describe = {.group_ids = &name, .group_ids_count = 1};
    const struct kafka_consumer_group_describe_response *told =
        CLIENT_CALL(&client, CONSUMER_GROUP_DESCRIBE, consumer_group_describe, 0, &describe);
    CHECK_INT(told->groups[0].error_code, KAFKA_NONE);
    CHECK_INT(told->groups[0].members_count, 1);
    CHECK(cairn_str_equal(told->groups[0].members[0].target_assignment.topic_partitions[0].topic_name, topics[0]));
    struct kafka_describe_groups_request old = {.groups = &name, .groups_count = 1};
    CHECK_INT(CLIENT_CALL(&client, DESCRIBE_GROUPS, describe_groups, 6, &old)->groups[0].error_code, KAFKA_GROUP_ID_NOT_FOUND);
    in.member_epoch = -1;
    CHECK_INT(CLIENT_CALL(&client, CONSUMER_GROUP_HEARTBEAT, consumer_group_heartbeat, 0, &in)->error_code, KAFKA_NONE);
}

/* ---- access control lists ------------------------------------------------------------------------------------------------ */

static int
count_acls(int8_t pattern, const char *name)
{
    struct kafka_describe_acls_request in = {.resource_type_filter = 2, .pattern_type_filter = pattern, .operation = 1, .permission_type = 1,
                                             .resource_name_filter = name ? cairn_cstr(name) : (cairn_str){0}};
    const struct kafka_describe_acls_response *out = CLIENT_CALL(&client, DESCRIBE_ACLS, describe_acls, 3, &in);
    int count = 0;
    CHECK_INT(out->error_code, KAFKA_NONE);
    for (int32_t i = 0; i < out->resources_count; i++)
        count += out->resources[i].acls_count;
    return count;
}

TEST(access_control_lists)
{
    struct kafka_create_acls_request_creation acls[] = {
        {2, CAIRN_STR("pay-in"), 3, CAIRN_STR("User:ann"), CAIRN_STR("*"), 3, 3},
        {2, CAIRN_STR("pay-in"), 3, CAIRN_STR("User:bob"), CAIRN_STR("*"), 4, 2},
        {2, CAIRN_STR("pay"), 4, CAIRN_STR("User:ann"), CAIRN_STR("*"), 2, 3},
        {2, CAIRN_STR("*"), 3, CAIRN_STR("User:ann"), CAIRN_STR("*"), 8, 3},
        {2, CAIRN_STR("pay-in"), 3, CAIRN_STR("User:ann"), CAIRN_STR("*"), 3, 3}, /* once more */
        {1, CAIRN_STR("x"), 3, CAIRN_STR("User:ann"), CAIRN_STR("*"), 3, 3},
        {2, CAIRN_STR("x"), 3, CAIRN_STR("ann"), CAIRN_STR("*"), 3, 3},
    };
    struct kafka_create_acls_request in = {acls, 7};
    const struct kafka_create_acls_response *out = CLIENT_CALL(&client, CREATE_ACLS, create_acls, 3, &in);
    for (int i = 0; i < 7; i++)
        CHECK_INT(out->results[i].error_code, i < 5 ? KAFKA_NONE : KAFKA_INVALID_REQUEST);
    for (int round = 0; round < 2; round++) {
        CHECK_INT(count_acls(1, NULL), 4);
        CHECK_INT(count_acls(3, "pay-in"), 2);
        CHECK_INT(count_acls(4, "pay-in"), 0);
        CHECK_INT(count_acls(2, "pay-in"), 4); /* all that would apply to it */
        CHECK_INT(count_acls(2, "other"), 1);
        kafka_client_close(&client); /* they survive a restart */
        kafka_rig_stop(&rig);
        kafka_rig_start(&rig, (struct kafka_config){.loops = 2}, NULL);
        client = kafka_client_open(rig.port);
    }
    struct kafka_delete_acls_request_filter filters[] = {{2, CAIRN_STR("pay-in"), 3, {0}, {0}, 1, 1}, {9, {0}, 1, {0}, {0}, 1, 1}};
    struct kafka_delete_acls_request drop = {filters, 2};
    const struct kafka_delete_acls_response *dropped = CLIENT_CALL(&client, DELETE_ACLS, delete_acls, 3, &drop);
    CHECK_INT(dropped->filter_results[0].matching_acls_count, 2);
    CHECK_INT(dropped->filter_results[1].error_code, KAFKA_INVALID_REQUEST);
    CHECK_INT(count_acls(1, NULL), 2);
}

/* ---- where things are ---------------------------------------------------------------------------------------------------- */

TEST(coordinators)
{
    cairn_str keys[] = {CAIRN_STR("g"), CAIRN_STR("")};
    struct kafka_find_coordinator_request in = {.key = keys[0], .coordinator_keys = keys, .coordinator_keys_count = 2};
    for (int16_t version = 0; version <= 6; version++) {
        const struct kafka_find_coordinator_response *out =
            CLIENT_CALL(&client, FIND_COORDINATOR, find_coordinator, version, &in);
        if (version < 4) {
            CHECK_INT(out->error_code, KAFKA_NONE);
            CHECK_INT(out->node_id, 1);
            CHECK_INT(out->port, rig.port);
        } else {
            CHECK_INT(out->coordinators[0].node_id, 1);
            CHECK_INT(out->coordinators[0].port, rig.port);
            CHECK_INT(out->coordinators[1].error_code, KAFKA_INVALID_GROUP_ID);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(idempotent_producer),
        RUN(transactions),
        RUN(commit_wakes_fetch),
        RUN(groups),
        RUN(offsets_that_cannot_be_read),
        RUN(group_of_two),
        RUN(leaving_overtakes_joining),
        RUN(consumer_group),
        RUN(access_control_lists),
        RUN(coordinators),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

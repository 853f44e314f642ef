/* A C program on librdkafka against a server: what its API can do, and both faces of what it does.
 *
 * Goal: producing by every codec, consuming by assignment and by group with every strategy, static members, offsets for times, transactions with
 *       fencing, admin calls; what is produced is read over HTTP as events, projected and asked for as of a time, and what is appended
 *       over HTTP is consumed by key and partition.
 * Method: a server of its own (rdkafka_rig.h), a topic for each test. */
#include "rdkafka_server.h"

/* ---- producing and reading ------------------------------------------------------------------------------------------------------- */

static void
delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    CHECK_RK(message->err);
    ++*(unsigned *)opaque;
}

/* Produce "FROM", "FROM + 1" … with keys k0 to k6, a header "n", times of a second each from 1,000,000 seconds on; and wait for all. */
static void
produce(const char *topic, int32_t partition, unsigned from, unsigned count, const char *const *settings)
{
    unsigned told = 0;
    rd_kafka_conf_t *conf = rig_conf(&serve, settings);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, &told);
    rd_kafka_t *rk = rig_new(RD_KAFKA_PRODUCER, conf);
    for (unsigned i = from; i < from + count; i++) {
        char key[8], value[16];
        int size = snprintf(value, sizeof value, "%u", i);
        CHECK_RK(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY(key, (size_t)snprintf(key, sizeof key, "k%u", i % 7)),
                                   RD_KAFKA_V_VALUE(value, (size_t)size), RD_KAFKA_V_HEADER("n", value, size), RD_KAFKA_V_TIMESTAMP((1000000 + i) * 1000L),
                                   RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END));
    }
    CHECK_RK(rd_kafka_flush(rk, RIG_PATIENCE_MS));
    CHECK_INT(told, count);
    rd_kafka_destroy(rk);
}

static void
assign(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    CHECK_RK(rd_kafka_assign(rk, list));
    rd_kafka_topic_partition_list_destroy(list);
}

/* The next record. */
static rd_kafka_message_t *
next(rd_kafka_t *rk)
{
    rd_kafka_message_t *message = NULL;
    UNTIL(message != NULL, message = rd_kafka_consumer_poll(rk, 100));
    CHECK_RK(message->err);
    return message;
}

static unsigned
number_of(const rd_kafka_message_t *message)
{
    char text[16];
    snprintf(text, sizeof text, "%.*s", (int)message->len, (const char *)message->payload);
    return (unsigned)strtoul(text, NULL, 10);
}

static unsigned
next_number(rd_kafka_t *rk)
{
    rd_kafka_message_t *message = next(rk);
    unsigned number = number_of(message);
    rd_kafka_message_destroy(message);
    return number;
}

TEST(every_codec_there_and_back)
{
    static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    rig_make_topic(admin, "codecs", 1);
    for (unsigned i = 0; i < 10; i++)
        produce("codecs", 0, i * 400, 400, SETTINGS("compression.codec", codecs[i % 5], "enable.idempotence", i < 5 ? "false" : "true", "linger.ms", "20"));
    rd_kafka_t *rk = CONSUMER(&serve, "group.id", "x", "check.crcs", "true");
    assign(rk, "codecs", 0, 0);
    for (unsigned i = 0; i < 4000; i++) {
        rd_kafka_message_t *message = next(rk);
        rd_kafka_headers_t *headers;
        const void *header;
        size_t size;
        char key[8];
        CHECK_INT(message->offset, i);
        CHECK_INT(number_of(message), i);
        snprintf(key, sizeof key, "k%u", i % 7);
        CHECK(message->key_len == strlen(key) && !memcmp(message->key, key, message->key_len));
        CHECK_INT(rd_kafka_message_timestamp(message, NULL), (1000000 + i) * 1000L);
        CHECK_RK(rd_kafka_message_headers(message, &headers));
        CHECK_RK(rd_kafka_header_get_last(headers, "n", &header, &size));
        CHECK(size == message->len && !memcmp(header, message->payload, size));
        rd_kafka_message_destroy(message);
    }
    assign(rk, "codecs", 0, 1234); /* inside a batch */
    CHECK_INT(next_number(rk), 1234);
    assign(rk, "codecs", 0, RD_KAFKA_OFFSET_TAIL(3));
    CHECK_INT(next_number(rk), 3997);
    rd_kafka_destroy(rk);
}

TEST(offsets_for_times)
{
    rig_make_topic(admin, "times", 1);
    produce("times", 0, 0, 100, SETTINGS("batch.num.messages", "10"));
    rd_kafka_topic_partition_list_t *times = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *at = rd_kafka_topic_partition_list_add(times, "times", 0);
    static const struct {
        int64_t time, offset;
    } cases[] = {{0, 0}, {1000000000, 0}, {1000042000, 42}, {1000042001, 43}, {1000099000, 99}, {1000099001, RD_KAFKA_OFFSET_END}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        at->offset = cases[i].time;
        CHECK_RK(rd_kafka_offsets_for_times(admin, times, RIG_PATIENCE_MS));
        CHECK_INT(at->offset, cases[i].offset);
    }
    rd_kafka_topic_partition_list_destroy(times);
    int64_t low, high;
    CHECK_RK(rd_kafka_query_watermark_offsets(admin, "times", 0, &low, &high, RIG_PATIENCE_MS));
    CHECK(low == 0 && high == 100);
}

/* ---- groups ------------------------------------------------------------------------------------------------------------------------ */

static rd_kafka_t *
join(const char *group, const char *topic, const char *const *more)
{
    char why[256];
    rd_kafka_conf_t *conf = rig_conf(&serve, SETTINGS("group.id", group, "auto.offset.reset", "earliest", "heartbeat.interval.ms", "50", "session.timeout.ms", "6000",
                                                      "auto.commit.interval.ms", "100", "fetch.wait.max.ms", "50"));
    for (; *more; more += 2)
        CHECK_INT(rd_kafka_conf_set(conf, more[0], more[1], why, sizeof why), RD_KAFKA_CONF_OK);
    rd_kafka_t *rk = rig_new(RD_KAFKA_CONSUMER, conf);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    CHECK_RK(rd_kafka_subscribe(rk, list));
    rd_kafka_topic_partition_list_destroy(list);
    return rk;
}

static int
mine(rd_kafka_t *rk)
{
    rd_kafka_topic_partition_list_t *list;
    CHECK_RK(rd_kafka_assignment(rk, &list));
    int count = list->cnt;
    rd_kafka_topic_partition_list_destroy(list);
    return count;
}

/* Poll once; what comes is counted by its number. */
static void
take(rd_kafka_t *rk, unsigned *came)
{
    rd_kafka_message_t *message = rk ? rd_kafka_consumer_poll(rk, 10) : NULL;
    if (message && message->err == 0)
        came[number_of(message)]++;
    if (message)
        rd_kafka_message_destroy(message);
}

static unsigned
distinct(const unsigned *came, unsigned count)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < count; i++)
        seen += came[i] > 0;
    return seen;
}

static void
leave(rd_kafka_t *rk)
{
    CHECK_RK(rd_kafka_consumer_close(rk));
    rd_kafka_destroy(rk);
}

/* Goal: by any strategy three members share six partitions, get everything, once where they commit when they leave, and take over what one leaves. */
static void
share(const char *strategy)
{
    unsigned came[900] = {0};
    char topic[64];
    rd_kafka_t *members[3];
    snprintf(topic, sizeof topic, "shared-%s", strategy);
    rig_make_topic(admin, topic, 6);
    for (size_t i = 0; i < 3; i++)
        members[i] = join(topic, topic, SETTINGS("partition.assignment.strategy", strategy));
#define TAKE_ALL (take(members[0], came), take(members[1], came), take(members[2], came))
    UNTIL(mine(members[0]) == 2 && mine(members[1]) == 2 && mine(members[2]) == 2, TAKE_ALL);
    for (int32_t p = 0; p < 6; p++)
        produce(topic, p, (unsigned)p * 100, 100, SETTINGS());
    UNTIL(distinct(came, 900) == 600, TAKE_ALL);
    for (unsigned i = 0; i < 600; i++)
        CHECK_INT(came[i], 1);
    leave(members[1]);
    members[1] = NULL;
    UNTIL(mine(members[0]) == 3 && mine(members[2]) == 3, TAKE_ALL);
    for (int32_t p = 0; p < 6; p++)
        produce(topic, p, 600 + (unsigned)p * 50, 50, SETTINGS());
    UNTIL(distinct(came, 900) == 900, TAKE_ALL);
    leave(members[0]);
    leave(members[2]);
    for (unsigned i = 0; i < 900; i++)
        if (came[i] != 1 && (strcmp(strategy, "cooperative-sticky") || rd_kafka_version() >= 0x02030000)) /* 2.0.2 does not commit when it leaves those */
            fail_msg("%s: record %u came %u times", strategy, i, came[i]);
}

TEST(group_range)
{
    share("range");
}
TEST(group_roundrobin)
{
    share("roundrobin");
}
TEST(group_cooperative_sticky)
{
    share("cooperative-sticky");
}

static void
count_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    ++*(unsigned *)opaque;
    rd_kafka_assign(rk, err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS ? partitions : NULL);
}

static rd_kafka_t *
join_static(const char *instance, unsigned *rebalances)
{
    rd_kafka_conf_t *conf = rig_conf(&serve, SETTINGS("group.id", "statics", "group.instance.id", instance, "session.timeout.ms", "20000", "heartbeat.interval.ms", "50",
                                                      "auto.offset.reset", "earliest"));
    rd_kafka_conf_set_rebalance_cb(conf, count_rebalance);
    rd_kafka_conf_set_opaque(conf, rebalances);
    rd_kafka_t *rk = rig_new(RD_KAFKA_CONSUMER, conf);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "statics", RD_KAFKA_PARTITION_UA);
    CHECK_RK(rd_kafka_subscribe(rk, list));
    rd_kafka_topic_partition_list_destroy(list);
    return rk;
}

/* Goal: a static member that goes and comes back has what it had, and nobody is disturbed; a second one of its name ends the first. */
TEST(static_members)
{
    unsigned came[10], first_count = 0, second_count = 0, again_count = 0;
    rig_make_topic(admin, "statics", 4);
    rd_kafka_t *first = join_static("one", &first_count), *second = join_static("two", &second_count);
    UNTIL(mine(first) == 2 && mine(second) == 2, (take(first, came), take(second, came)));
    unsigned before = first_count;
    leave(second);
    rd_kafka_t *again = join_static("two", &again_count);
    UNTIL(mine(again) == 2, (take(first, came), take(again, came)));
    CHECK_INT(first_count, before);

    rd_kafka_t *usurper = join_static("two", &second_count);
    char why[256];
    UNTIL(rd_kafka_fatal_error(again, why, sizeof why) == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID && mine(usurper) == 2,
          (take(first, came), take(again, came), take(usurper, came)));
    CHECK_INT(first_count, before);
    rd_kafka_consumer_close(again);
    rd_kafka_destroy(again);
    leave(usurper);
    leave(first);
}

/* ---- transactions -------------------------------------------------------------------------------------------------------------------- */

static void
produce_in(rd_kafka_t *rk, const char *topic, unsigned number)
{
    char value[16];
    int size = snprintf(value, sizeof value, "%u", number);
    CHECK_RK(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION((int32_t)(number % 2)), RD_KAFKA_V_VALUE(value, (size_t)size),
                               RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END));
}

static int64_t
committed(const char *group, const char *topic)
{
    rd_kafka_t *rk = CONSUMER(&serve, "group.id", group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0);
    CHECK_RK(rd_kafka_committed(rk, list, RIG_PATIENCE_MS));
    int64_t offset = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    return offset;
}

TEST(transactions)
{
    rig_make_topic(admin, "tx", 2);
    rd_kafka_t *first = PRODUCER(&serve, "transactional.id", "tx"), *second = PRODUCER(&serve, "transactional.id", "tx");
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata_new("tx-group");
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *offset = rd_kafka_topic_partition_list_add(offsets, "tx", 0);
    CHECK_RKE(rd_kafka_init_transactions(first, RIG_PATIENCE_MS));
    for (unsigned i = 0; i < 4; i++) { /* committed: 10, 11, 30, 31 */
        CHECK_RKE(rd_kafka_begin_transaction(first));
        produce_in(first, "tx", i * 10 + (i % 2 ? 0 : 900));
        produce_in(first, "tx", i * 10 + (i % 2 ? 1 : 901));
        offset->offset = 100 + i;
        CHECK_RKE(rd_kafka_send_offsets_to_transaction(first, offsets, group, RIG_PATIENCE_MS));
        CHECK_RKE(i % 2 ? rd_kafka_commit_transaction(first, RIG_PATIENCE_MS) : rd_kafka_abort_transaction(first, RIG_PATIENCE_MS));
        static const int64_t then[] = {RD_KAFKA_OFFSET_INVALID, 101, 101, 103};
        CHECK_INT(committed("tx-group", "tx"), then[i]);
    }
    CHECK_RKE(rd_kafka_begin_transaction(first));
    produce_in(first, "tx", 990);
    CHECK_RK(rd_kafka_flush(first, RIG_PATIENCE_MS));
    CHECK_RKE(rd_kafka_init_transactions(second, RIG_PATIENCE_MS)); /* ends what the first has open */
    CHECK_RKE(rd_kafka_begin_transaction(second));
    produce_in(second, "tx", 50);
    CHECK_RKE(rd_kafka_commit_transaction(second, RIG_PATIENCE_MS));
    rd_kafka_error_t *error = rd_kafka_commit_transaction(first, RIG_PATIENCE_MS);
    CHECK(error != NULL && rd_kafka_error_is_fatal(error));
    rd_kafka_error_destroy(error);

    rd_kafka_t *rk = CONSUMER(&serve, "group.id", "x", "isolation.level", "read_committed");
    assign(rk, "tx", 0, 0);
    CHECK_INT(next_number(rk), 10);
    CHECK_INT(next_number(rk), 30);
    CHECK_INT(next_number(rk), 50);
    assign(rk, "tx", 1, 0);
    CHECK_INT(next_number(rk), 11);
    CHECK_INT(next_number(rk), 31);
    CHECK_INT(rig_end_offset(rk, "tx", 0), 3);
    CHECK_INT(rig_end_offset(rk, "tx", 1), 2);
    rd_kafka_destroy(rk);
    rd_kafka_topic_partition_list_destroy(offsets);
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_destroy(first);
    rd_kafka_destroy(second);
}

/* ---- administration -------------------------------------------------------------------------------------------------------------------- */

static rd_kafka_event_t *
answer(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, RIG_PATIENCE_MS);
    assert_non_null(event);
    CHECK_RK(rd_kafka_event_error(event));
    return event;
}

/* The value of a topic's setting, in `to`; alter: sets it first. */
static void
topic_config(rd_kafka_queue_t *queue, const char *topic, const char *name, const char *alter, char to[64])
{
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    size_t count;
    if (alter) {
        CHECK_RK(rd_kafka_ConfigResource_set_config(resource, name, alter));
        rd_kafka_AlterConfigs(admin, &resource, 1, NULL, queue);
        rd_kafka_event_t *event = answer(queue);
        const rd_kafka_ConfigResource_t **done = rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
        CHECK_RK(rd_kafka_ConfigResource_error(done[0]));
        rd_kafka_event_destroy(event);
    }
    rd_kafka_DescribeConfigs(admin, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    const rd_kafka_ConfigResource_t **told = rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    CHECK_RK(rd_kafka_ConfigResource_error(told[0]));
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(told[0], &count);
    to[0] = '\0';
    for (size_t i = 0; i < count; i++)
        if (!strcmp(rd_kafka_ConfigEntry_name(entries[i]), name))
            snprintf(to, 64, "%s", rd_kafka_ConfigEntry_value(entries[i]));
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
}

static int
partitions_of(const char *name)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(admin, name, NULL);
    CHECK_RK(rd_kafka_metadata(admin, 0, topic, &metadata, RIG_PATIENCE_MS));
    int count = metadata->topics[0].err ? -1 : metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return count;
}

TEST(topics_administered)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    char value[64];
    size_t count;
    rig_make_topic(admin, "ruled", 1);
    topic_config(queue, "ruled", "retention.ms", NULL, value);
    CHECK_STR(value, "-1");
    topic_config(queue, "ruled", "retention.ms", "90000000", value);
    CHECK_STR(value, "90000000");

    char why[128];
    rd_kafka_NewPartitions_t *grow = rd_kafka_NewPartitions_new("ruled", 3, why, sizeof why);
    rd_kafka_CreatePartitions(admin, &grow, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    CHECK_RK(rd_kafka_topic_result_error(rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &count)[0]));
    rd_kafka_event_destroy(event);
    rd_kafka_NewPartitions_destroy(grow);
    CHECK_INT(partitions_of("ruled"), 3);

    produce("ruled", 1, 0, 10, SETTINGS("batch.num.messages", "5"));
    rd_kafka_topic_partition_list_t *before = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(before, "ruled", 1)->offset = 5;
    rd_kafka_DeleteRecords_t *drop = rd_kafka_DeleteRecords_new(before);
    rd_kafka_DeleteRecords(admin, &drop, 1, NULL, queue);
    event = answer(queue);
    CHECK_INT(rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event))->elems[0].offset, 5);
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteRecords_destroy(drop);
    rd_kafka_topic_partition_list_destroy(before);
    int64_t low, high;
    CHECK_RK(rd_kafka_query_watermark_offsets(admin, "ruled", 1, &low, &high, RIG_PATIENCE_MS));
    CHECK(low == 5 && high == 10);

    rd_kafka_DeleteTopic_t *gone = rd_kafka_DeleteTopic_new("ruled");
    rd_kafka_DeleteTopics(admin, &gone, 1, NULL, queue);
    event = answer(queue);
    CHECK_RK(rd_kafka_topic_result_error(rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count)[0]));
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteTopic_destroy(gone);
    rd_kafka_queue_destroy(queue);
}

static int64_t
listed_offset(rd_kafka_queue_t *queue, const char *group)
{
    size_t count;
    rd_kafka_ListConsumerGroupOffsets_t *list = rd_kafka_ListConsumerGroupOffsets_new(group, NULL);
    rd_kafka_ListConsumerGroupOffsets(admin, &list, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    const rd_kafka_group_result_t **groups =
        rd_kafka_ListConsumerGroupOffsets_result_groups(rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
    CHECK(rd_kafka_group_result_error(groups[0]) == NULL);
    const rd_kafka_topic_partition_list_t *offsets = rd_kafka_group_result_partitions(groups[0]);
    int64_t offset = offsets->cnt == 1 ? offsets->elems[0].offset : RD_KAFKA_OFFSET_INVALID;
    rd_kafka_event_destroy(event);
    rd_kafka_ListConsumerGroupOffsets_destroy(list);
    return offset;
}

TEST(groups_administered)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    unsigned came[100] = {0};
    size_t count;
    rig_make_topic(admin, "grouped", 1);
    produce("grouped", 0, 0, 100, SETTINGS());
    rd_kafka_t *rk = join("grouped", "grouped", SETTINGS());
    UNTIL(distinct(came, 100) == 100, take(rk, came));

    const char *name = "grouped";
    rd_kafka_DescribeConsumerGroups(admin, &name, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    const rd_kafka_ConsumerGroupDescription_t *told =
        rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event), &count)[0];
    CHECK_INT(rd_kafka_ConsumerGroupDescription_member_count(told), 1);
    CHECK_INT(rd_kafka_ConsumerGroupDescription_state(told), RD_KAFKA_CONSUMER_GROUP_STATE_STABLE);
    const rd_kafka_topic_partition_list_t *has =
        rd_kafka_MemberAssignment_partitions(rd_kafka_MemberDescription_assignment(rd_kafka_ConsumerGroupDescription_member(told, 0)));
    CHECK(has->cnt == 1 && !strcmp(has->elems[0].topic, "grouped"));
    rd_kafka_event_destroy(event);
    leave(rk);
    CHECK_INT(listed_offset(queue, "grouped"), 100);

    rd_kafka_topic_partition_list_t *to = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(to, "grouped", 0)->offset = 42;
    rd_kafka_AlterConsumerGroupOffsets_t *alter = rd_kafka_AlterConsumerGroupOffsets_new("grouped", to);
    rd_kafka_AlterConsumerGroupOffsets(admin, &alter, 1, NULL, queue);
    event = answer(queue);
    CHECK(rd_kafka_group_result_error(rd_kafka_AlterConsumerGroupOffsets_result_groups(rd_kafka_event_AlterConsumerGroupOffsets_result(event), &count)[0]) == NULL);
    rd_kafka_event_destroy(event);
    rd_kafka_AlterConsumerGroupOffsets_destroy(alter);
    CHECK_INT(listed_offset(queue, "grouped"), 42);
    rk = join("grouped", "grouped", SETTINGS());
    CHECK_INT(next_number(rk), 42);
    leave(rk);

    rd_kafka_DeleteConsumerGroupOffsets_t *forget = rd_kafka_DeleteConsumerGroupOffsets_new("grouped", to);
    rd_kafka_DeleteConsumerGroupOffsets(admin, &forget, 1, NULL, queue);
    rd_kafka_event_destroy(answer(queue));
    rd_kafka_DeleteConsumerGroupOffsets_destroy(forget);
    CHECK_INT(listed_offset(queue, "grouped"), RD_KAFKA_OFFSET_INVALID);
    rd_kafka_topic_partition_list_destroy(to);

    bool listed[2] = {false, false};
    for (int i = 0; i < 2; i++) {
        rd_kafka_ListConsumerGroups(admin, NULL, queue);
        event = answer(queue);
        const rd_kafka_ConsumerGroupListing_t **all = rd_kafka_ListConsumerGroups_result_valid(rd_kafka_event_ListConsumerGroups_result(event), &count);
        while (count-- > 0)
            listed[i] |= !strcmp(rd_kafka_ConsumerGroupListing_group_id(all[count]), "grouped");
        rd_kafka_event_destroy(event);
        if (i == 0) {
            rd_kafka_DeleteGroup_t *gone = rd_kafka_DeleteGroup_new("grouped");
            rd_kafka_DeleteGroups(admin, &gone, 1, NULL, queue);
            rd_kafka_event_destroy(answer(queue));
            rd_kafka_DeleteGroup_destroy(gone);
        }
    }
    CHECK(listed[0] && !listed[1]);
    rd_kafka_queue_destroy(queue);
}

/* ---- two faces --------------------------------------------------------------------------------------------------------------------------- */

static struct reply
ask(const char *method, const char *path, const char *body, long status)
{
    static const char *const headers[] = {"content-type: application/json", NULL};
    struct reply reply = client_call(serve.url, method, path, body ? headers : NULL, body ? cairn_cstr(body) : (cairn_str){0});
    if (reply.status != status)
        fail_msg("%s %s: %ld %s", method, path, reply.status, reply.body.data);
    return reply;
}

/* A read model may not have it yet: then nothing is found. */
static bool
says(const char *path, const char *what)
{
    struct reply reply = client_call(serve.url, "GET", path, NULL, (cairn_str){0});
    bool found = reply.status == 200 && strstr(reply.body.data, what) != NULL;
    if (reply.status != 200 && reply.status != 404)
        fail_msg("GET %s: %ld %s", path, reply.status, reply.body.data);
    reply_free(&reply);
    return found;
}

/* Goal: one log: records are events, projected and asked for as of a moment; events are records, in the partition of their key.
 * Method: a small app counts by type; a producer by Kafka and one by HTTP take turns. */
TEST(both_faces)
{
    rig_make_topic(admin, "parcel", 4);
    struct reply reply = ask("POST", "/v1/apps/deployments",
                             "{\"files\":{\"app.yaml\":\"app: post\\nevents:\\n  Sent: {}\\n  Seen: {}\\n\","
                             "\"projections/parcels.sql\":\"-- from parcel\\n-- table\\nCREATE TABLE parcel (id TEXT PRIMARY KEY, moves INTEGER NOT NULL, place TEXT);\\n"
                             "-- on Sent\\nINSERT INTO parcel (id, moves, place) VALUES (:stream_id, 0, :data.place);\\n"
                             "-- on Seen\\nUPDATE parcel SET moves = moves + 1, place = :data.place WHERE id = :stream_id;\\n\","
                             "\"queries/parcel.sql\":\"-- One parcel.\\n-- param id text\\n-- one\\nSELECT id, moves, place FROM parcel WHERE id = :id\\n\"}}",
                             201);
    reply_free(&reply);
    rd_kafka_t *rk = PRODUCER(&serve, "partitioner", "murmur2_random");
    static const struct {
        const char *type, *place;
    } moves[] = {{"Sent", "Ulm"}, {"Seen", "Bonn"}, {"Seen", "Kiel"}};
    for (size_t i = 0; i < 3; i++) {
        char value[64];
        int size = snprintf(value, sizeof value, "{\"place\":\"%s\"}", moves[i].place);
        CHECK_RK(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC("parcel"), RD_KAFKA_V_KEY("p1", 2), RD_KAFKA_V_VALUE(value, (size_t)size),
                                   RD_KAFKA_V_HEADER("ce_type", moves[i].type, -1), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END));
    }
    CHECK_RK(rd_kafka_flush(rk, RIG_PATIENCE_MS));
    CHECK(says("/v1/streams/parcel-p1/events", "\"type\":\"Sent\""));
    CHECK(says("/v1/streams/parcel-p1/events", "{\"place\":\"Kiel\"}"));
    AWAIT(says("/v1/apps/post/queries/parcel?id=p1", "\"moves\":2"));

    /* The moment of the third one, as HTTP tells it; then things go on by HTTP. */
    reply = ask("GET", "/v1/streams/parcel-p1/events?from=2&limit=1", NULL, 200);
    const char *at = strstr(reply.body.data, "\"time\":\"");
    char path[160];
    assert_non_null(at);
    snprintf(path, sizeof path, "/v1/apps/post/queries/parcel?id=p1&as_of=%.27s", at + 8);
    reply_free(&reply);
    reply_free(&(struct reply[]){ask("POST", "/v1/streams/parcel-p1/events", "{\"type\":\"Seen\",\"data\":{\"place\":\"Oslo\"}}", 201)}[0]);
    AWAIT(says("/v1/apps/post/queries/parcel?id=p1", "\"place\":\"Oslo\""));
    CHECK(says(path, "\"place\":\"Kiel\""));

    /* By key: the partition that the partitioner gives it, where the client's own records are, behind them. */
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, "parcel", NULL);
    int32_t partition = rd_kafka_msg_partitioner_murmur2(topic, "p1", 2, 4, NULL, NULL);
    rd_kafka_topic_destroy(topic);
    rd_kafka_t *consumer = CONSUMER(&serve, "group.id", "x");
    assign(consumer, "parcel", partition, 0);
    static const char *const places[] = {"Ulm", "Bonn", "Kiel", "Oslo"};
    for (size_t i = 0; i < 4; i++) {
        rd_kafka_message_t *message = next(consumer);
        char text[64];
        rd_kafka_headers_t *headers;
        const void *type;
        size_t size;
        snprintf(text, sizeof text, "%.*s", (int)message->len, (const char *)message->payload);
        CHECK(strstr(text, places[i]) != NULL);
        CHECK(message->key_len == 2 && !memcmp(message->key, "p1", 2));
        CHECK_INT(message->offset, i);
        CHECK_RK(rd_kafka_message_headers(message, &headers));
        CHECK_RK(rd_kafka_header_get_last(headers, "ce_type", &type, &size));
        CHECK(size == 4 && !memcmp(type, i == 0 ? "Sent" : "Seen", 4));
        rd_kafka_message_destroy(message);
    }
    rd_kafka_destroy(consumer);
    rd_kafka_destroy(rk);
}

/* ---- rates ----------------------------------------------------------------------------------------------------------------------- */

#define RATE (1 << 20) /* bytes a second */
#define RATE_RECORDS 256u
#define RATE_RECORD_BYTES (4 * RATE / RATE_RECORDS)

struct throttled {
    unsigned told, times, longest_ms; /* records delivered; throttles heard of */
    int64_t begun_ms;                 /* the first record */
};

static void
throttled_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct throttled *seen = opaque;
    if (seen->told == 0)
        seen->begun_ms = rig_now_ms();
    delivered(rk, message, &seen->told);
}

static void
on_throttle(rd_kafka_t *rk, const char *broker, int32_t id, int throttle_ms, void *opaque)
{
    struct throttled *seen = opaque;
    (void)rk, (void)broker, (void)id;
    seen->times += throttle_ms > 0;
    seen->longest_ms = throttle_ms > (int)seen->longest_ms ? (unsigned)throttle_ms : seen->longest_ms;
}

/* Four seconds' worth, of which the first is the burst. */
static void
check_rate(const char *what, const struct throttled *seen)
{
    int64_t took_ms = rig_now_ms() - seen->begun_ms;
    if (getenv("TEST_LOG"))
        fprintf(stderr, "%s: %d ms, throttled %u times, %u ms at most\n", what, (int)took_ms, seen->times, seen->longest_ms);
    if (took_ms < 2700 || took_ms > 3600)
        fail_msg("%s: 3 MiB after the burst took %d ms", what, (int)took_ms);
    CHECK(seen->times > 0 && seen->longest_ms > 0 && seen->longest_ms <= 1000);
}

static rd_kafka_t *
throttled_client(const struct serve *rated, rd_kafka_type_t type, struct throttled *seen, const char *const *settings)
{
    rd_kafka_conf_t *conf = rig_conf(rated, settings);
    rd_kafka_conf_set_throttle_cb(conf, on_throttle);
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(conf, throttled_delivered);
    rd_kafka_conf_set_opaque(conf, seen);
    return rig_new(type, conf);
}

/* Goal: a connection gets the rates that it is given, librdkafka says that it is being throttled, and no record is lost or doubled.
 * Method: four seconds' worth in, and out again. */
TEST(rates_of_a_connection)
{
    struct serve rated = {0};
    struct throttled in = {0}, out = {0};
    char value[RATE_RECORD_BYTES] = {0};
    setenv("CAIRN_KAFKA_PRODUCE_RATE", "1MiB", 1);
    setenv("CAIRN_KAFKA_FETCH_RATE", "1MiB", 1);
    serve_start(&rated);
    unsetenv("CAIRN_KAFKA_PRODUCE_RATE");
    unsetenv("CAIRN_KAFKA_FETCH_RATE");

    rd_kafka_t *rk = throttled_client(&rated, RD_KAFKA_PRODUCER, &in, SETTINGS("batch.size", "65536", "enable.idempotence", "true"));
    rig_make_topic(rk, "rated", 1);
    for (unsigned i = 0; i < RATE_RECORDS; i++) {
        snprintf(value, sizeof value, "%u", i);
        CHECK_RK(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC("rated"), RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE(value, sizeof value),
                                   RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END));
    }
    CHECK_RK(rd_kafka_flush(rk, RIG_PATIENCE_MS));
    CHECK_INT(in.told, RATE_RECORDS);
    check_rate("producing", &in);
    CHECK_INT(rig_end_offset(rk, "rated", 0), RATE_RECORDS);
    rd_kafka_destroy(rk);

    rk = throttled_client(&rated, RD_KAFKA_CONSUMER, &out, SETTINGS("group.id", "x", "fetch.message.max.bytes", "131072"));
    assign(rk, "rated", 0, 0);
    for (unsigned i = 0; i < RATE_RECORDS; i++) {
        CHECK_INT(next_number(rk), i);
        out.begun_ms = i == 0 ? rig_now_ms() : out.begun_ms;
    }
    check_rate("consuming", &out);
    rd_kafka_destroy(rk);
    serve_end(&rated);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(every_codec_there_and_back),
        RUN(offsets_for_times),
        RUN(group_range),
        RUN(group_roundrobin),
        RUN(group_cooperative_sticky),
        RUN(static_members),
        RUN(transactions),
        RUN(topics_administered),
        RUN(groups_administered),
        RUN(both_faces),
        RUN(rates_of_a_connection),
    };
    return cmocka_run_group_tests(tests, server_begin, server_end);
}

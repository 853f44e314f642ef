/* What the calls do, over the wire, by a client made of the same tables the other way round: topics, settings, records,
 * long polls, offsets. Others: kafka_transactions.c, kafka_login.c. */
#include "kafka_calls.h"

/* ---- topics -------------------------------------------------------------------------------------------------------------- */

static const struct kafka_metadata_response *
metadata(int16_t version, const char *const *names, int count, bool make)
{
    struct kafka_metadata_request_topic topics[4] = {0};
    for (int i = 0; i < count; i++)
        topics[i].name = cairn_cstr(names[i]);
    struct kafka_metadata_request in = {.topics = topics, .topics_count = count, .allow_auto_topic_creation = make,
                                        .include_topic_authorized_operations = true};
    return CLIENT_CALL(&client, METADATA, metadata, version, &in);
}

/* Goal: Metadata tells of what there is, and makes what is missing when it may. */
TEST(metadata_tells_and_makes)
{
    const char *const names[] = {"new-one", "bad name"};
    const struct kafka_metadata_response *out = metadata(9, names, 2, false);
    CHECK_INT(out->brokers_count, 1);
    CHECK_INT(out->brokers[0].node_id, 1);
    CHECK_INT(out->brokers[0].port, rig.port);
    CHECK(cairn_str_equal(out->brokers[0].host, CAIRN_STR("127.0.0.1")));
    CHECK(cairn_str_equal(out->cluster_id, CAIRN_STR("test-cluster")));
    CHECK_INT(out->controller_id, 1);
    CHECK_INT(out->topics[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    CHECK_INT(out->topics[1].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
    out = metadata(12, names, 1, true);
    CHECK_INT(out->topics[0].error_code, KAFKA_NONE);
    CHECK_INT(out->topics[0].partitions_count, 1);
    CHECK_INT(out->topics[0].partitions[0].leader_id, 1);
    CHECK_INT(out->topics[0].partitions[0].replica_nodes_count, 1);
    CHECK(out->topics[0].topic_authorized_operations > 0);
    cairn_uuid id = out->topics[0].topic_id;
    CHECK(!uuid_is_zero(id));

    struct kafka_metadata_request_topic by_id[2] = {{.topic_id = id}, {.topic_id = {{1, 2, 3}}}};
    struct kafka_metadata_request in = {.topics = by_id, .topics_count = 2};
    out = CLIENT_CALL(&client, METADATA, metadata, 12, &in);
    CHECK_INT(out->topics[0].error_code, KAFKA_NONE);
    CHECK(cairn_str_equal(out->topics[0].name, CAIRN_STR("new-one")));
    CHECK_INT(out->topics[1].error_code, KAFKA_UNKNOWN_TOPIC_ID);

    /* However often it is named, it is told once. */
    struct kafka_metadata_request_topic often[1000] = {{.name = {NULL, 0}}};
    struct kafka_metadata_request same = {.topics = often, .topics_count = 1000};
    for (int i = 0; i < 1000; i++)
        often[i].name = cairn_cstr(names[i % 2]);
    out = CLIENT_CALL(&client, METADATA, metadata, 9, &same);
    CHECK_INT(out->topics_count, 2);
    CHECK(!cairn_str_equal(out->topics[0].name, out->topics[1].name));
    struct kafka_metadata_request_topic ids[3] = {{.topic_id = id}, {.topic_id = {{1, 2, 3}}}, {.topic_id = id}};
    struct kafka_metadata_request thrice = {.topics = ids, .topics_count = 3};
    CHECK_INT(CLIENT_CALL(&client, METADATA, metadata, 12, &thrice)->topics_count, 2);

    for (int16_t version = 0; version <= 13; version++) { /* all: null, and in version 0 an empty list */
        out = metadata(version, names, version == 0 ? 0 : -1, false);
        bool there = false;
        for (int32_t i = 0; i < out->topics_count; i++)
            there |= cairn_str_equal(out->topics[i].name, CAIRN_STR("new-one"));
        CHECK(there);
    }
    CHECK_INT(metadata(1, names, 0, false)->topics_count, 0);
}

TEST(topics_come_and_go)
{
    struct kafka_create_topics_request_config config[] = {{CAIRN_STR("retention.ms"), CAIRN_STR("5000")}};
    struct kafka_create_topics_request_assignment here[] = {{0, (int32_t[]){1}, 1}, {1, (int32_t[]){1}, 1}};
    struct kafka_create_topics_request_assignment elsewhere[] = {{0, (int32_t[]){2}, 1}};
    struct kafka_create_topics_request_topic topics[] = {
        {.name = CAIRN_STR("t-config"), .num_partitions = 2, .replication_factor = 3, .configs = config, .configs_count = 1},
        {.name = CAIRN_STR("t-here"), .num_partitions = -1, .replication_factor = -1, .assignments = here, .assignments_count = 2},
        {.name = CAIRN_STR("t-elsewhere"), .num_partitions = -1, .replication_factor = -1, .assignments = elsewhere, .assignments_count = 1},
        {.name = CAIRN_STR("t-many"), .num_partitions = 1, .replication_factor = 0},
        {.name = CAIRN_STR("t-none"), .num_partitions = 0, .replication_factor = 1},
        {.name = CAIRN_STR("t-twice"), .num_partitions = 1, .replication_factor = 1},
        {.name = CAIRN_STR("t-twice"), .num_partitions = 1, .replication_factor = 1},
        {.name = CAIRN_STR("t bad"), .num_partitions = 1, .replication_factor = 1},
    };
    static const int expected[] = {KAFKA_NONE, KAFKA_NONE, KAFKA_INVALID_REPLICA_ASSIGNMENT, KAFKA_INVALID_REPLICATION_FACTOR,
                                   KAFKA_INVALID_PARTITIONS, KAFKA_INVALID_REQUEST, KAFKA_INVALID_REQUEST,
                                   KAFKA_INVALID_TOPIC_EXCEPTION};
    struct kafka_create_topics_request in = {.topics = topics, .topics_count = 8, .validate_only = true};
    const struct kafka_create_topics_response *out = CLIENT_CALL(&client, CREATE_TOPICS, create_topics, 7, &in);
    for (int i = 0; i < 8; i++) {
        CHECK_INT(out->topics[i].error_code, expected[i]);
        CHECK((expected[i] == KAFKA_NONE) == (out->topics[i].error_message.data == NULL));
    }
    in.validate_only = false;
    out = CLIENT_CALL(&client, CREATE_TOPICS, create_topics, 7, &in);
    for (int i = 0; i < 8; i++)
        CHECK_INT(out->topics[i].error_code, expected[i]);
    CHECK_INT(out->topics[1].num_partitions, 2);
    cairn_uuid id = out->topics[1].topic_id;
    bool told = false;
    for (int32_t i = 0; i < out->topics[0].configs_count; i++)
        if (cairn_str_equal(out->topics[0].configs[i].name, CAIRN_STR("retention.ms"))) {
            CHECK(cairn_str_equal(out->topics[0].configs[i].value, CAIRN_STR("5000")));
            told = true;
        }
    CHECK(told);
    out = CLIENT_CALL(&client, CREATE_TOPICS, create_topics, 2, &in);
    CHECK_INT(out->topics[0].error_code, KAFKA_TOPIC_ALREADY_EXISTS);

    struct kafka_create_partitions_request_topic grow[] = {{.name = CAIRN_STR("t-config"), .count = 5, .assignments_count = -1},
                                                           {.name = CAIRN_STR("t-here"), .count = 1, .assignments_count = -1},
                                                           {.name = CAIRN_STR("t-nowhere"), .count = 5, .assignments_count = -1}};
    struct kafka_create_partitions_request more = {.topics = grow, .topics_count = 3};
    const struct kafka_create_partitions_response *grown = CLIENT_CALL(&client, CREATE_PARTITIONS, create_partitions, 3, &more);
    CHECK_INT(grown->results[0].error_code, KAFKA_NONE);
    CHECK_INT(grown->results[1].error_code, KAFKA_INVALID_PARTITIONS);
    CHECK_INT(grown->results[2].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);

    struct kafka_delete_topics_request_topic gone[] = {{.name = CAIRN_STR("t-config")}, {.topic_id = id}, {.topic_id = {{9}}},
                                                       {.name = CAIRN_STR("t-nowhere")}};
    struct kafka_delete_topics_request drop = {.topics = gone, .topics_count = 4};
    const struct kafka_delete_topics_response *dropped = CLIENT_CALL(&client, DELETE_TOPICS, delete_topics, 6, &drop);
    CHECK_INT(dropped->responses[0].error_code, KAFKA_NONE);
    CHECK_INT(dropped->responses[1].error_code, KAFKA_NONE);
    CHECK(cairn_str_equal(dropped->responses[1].name, CAIRN_STR("t-here")));
    CHECK_INT(dropped->responses[2].error_code, KAFKA_UNKNOWN_TOPIC_ID);
    CHECK_INT(dropped->responses[3].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
}

/* Goal: many partitions are told of in pages, whose cursor leads through all of them once. */
TEST(partitions_in_pages)
{
    struct kafka_describe_topic_partitions_request_topic topics[] = {{CAIRN_STR("page-b")}, {CAIRN_STR("page-a")}};
    struct kafka_describe_topic_partitions_request in = {.topics = topics, .topics_count = 2, .response_partition_limit = 4};
    char name[32];
    int seen = 0, pages = 0;
    create("page-a", 5);
    create("page-b", 6);
    for (bool more = true; more; pages++) {
        const struct kafka_describe_topic_partitions_response *out =
            CLIENT_CALL(&client, DESCRIBE_TOPIC_PARTITIONS, describe_topic_partitions, 0, &in);
        for (int32_t i = 0; i < out->topics_count; i++) {
            CHECK_INT(out->topics[i].error_code, KAFKA_NONE);
            for (int32_t n = 0; n < out->topics[i].partitions_count; n++, seen++) {
                bool first = cairn_str_equal(out->topics[i].name, CAIRN_STR("page-a"));
                CHECK_INT(out->topics[i].partitions[n].partition_index, first ? seen : seen - 5);
            }
        }
        more = out->has_next_cursor;
        snprintf(name, sizeof name, "%.*s", (int)out->next_cursor.topic_name.size,
                 more ? out->next_cursor.topic_name.data : "");
        in.has_cursor = more;
        in.cursor.topic_name = cairn_cstr(name);
        in.cursor.partition_index = out->next_cursor.partition_index;
    }
    CHECK_INT(seen, 11);
    CHECK_INT(pages, 3);
}

/* ---- settings ------------------------------------------------------------------------------------------------------------ */

enum { TOPIC = 2, BROKER = 4 };

/* A setting, and where it comes from. */
static int
setting_of(int8_t type, const char *of, const char *name, char value[64])
{
    cairn_str key = cairn_cstr(name);
    struct kafka_describe_configs_request_resource resource = {
        .resource_type = type, .resource_name = cairn_cstr(of), .configuration_keys = &key, .configuration_keys_count = 1};
    struct kafka_describe_configs_request in = {.resources = &resource, .resources_count = 1, .include_synonyms = true};
    const struct kafka_describe_configs_response *out = CLIENT_CALL(&client, DESCRIBE_CONFIGS, describe_configs, 4, &in);
    CHECK_INT(out->results[0].error_code, KAFKA_NONE);
    CHECK_INT(out->results[0].configs_count, 1);
    CHECK(type != TOPIC || out->results[0].configs[0].synonyms_count >= 1);
    snprintf(value, 64, "%.*s", (int)out->results[0].configs[0].value.size, out->results[0].configs[0].value.data);
    return out->results[0].configs[0].config_source;
}

static int
setting(const char *topic, const char *name, char value[64])
{
    return setting_of(TOPIC, topic, name, value);
}

TEST(settings)
{
    char value[64];
    create("settings", 1);
    CHECK_INT(setting("settings", "retention.ms", value), 5);

    struct kafka_incremental_alter_configs_request_config sets[] = {{CAIRN_STR("retention.ms"), 0, CAIRN_STR("777")},
                                                                    {CAIRN_STR("cleanup.policy"), 2, CAIRN_STR("compact")}};
    struct kafka_incremental_alter_configs_request_resource one = {
        .resource_type = 2, .resource_name = CAIRN_STR("settings"), .configs = sets, .configs_count = 2};
    struct kafka_incremental_alter_configs_request in = {.resources = &one, .resources_count = 1};
    const struct kafka_incremental_alter_configs_response *out =
        CLIENT_CALL(&client, INCREMENTAL_ALTER_CONFIGS, incremental_alter_configs, 1, &in);
    CHECK_INT(out->responses[0].error_code, KAFKA_NONE);
    CHECK_INT(setting("settings", "retention.ms", value), 1);
    CHECK_STR(value, "777");
    setting("settings", "cleanup.policy", value);
    CHECK_STR(value, "delete,compact");
    sets[0] = (struct kafka_incremental_alter_configs_request_config){CAIRN_STR("retention.ms"), 0, CAIRN_STR("soon")};
    out = CLIENT_CALL(&client, INCREMENTAL_ALTER_CONFIGS, incremental_alter_configs, 0, &in);
    CHECK_INT(out->responses[0].error_code, KAFKA_INVALID_CONFIG);
    sets[0].config_operation = 9;
    out = CLIENT_CALL(&client, INCREMENTAL_ALTER_CONFIGS, incremental_alter_configs, 0, &in);
    CHECK_INT(out->responses[0].error_code, KAFKA_INVALID_REQUEST);

    /* The older call: what it does not name goes back to its default. */
    struct kafka_alter_configs_request_config whole[] = {{CAIRN_STR("max.message.bytes"), CAIRN_STR("2000")}};
    struct kafka_alter_configs_request_resource old = {
        .resource_type = 2, .resource_name = CAIRN_STR("settings"), .configs = whole, .configs_count = 1};
    struct kafka_alter_configs_request replace = {.resources = &old, .resources_count = 1};
    const struct kafka_alter_configs_response *replaced = CLIENT_CALL(&client, ALTER_CONFIGS, alter_configs, 2, &replace);
    CHECK_INT(replaced->responses[0].error_code, KAFKA_NONE);
    CHECK_INT(setting("settings", "retention.ms", value), 5);
    CHECK_INT(setting("settings", "max.message.bytes", value), 1);
    old.resource_type = 4;
    old.resource_name = CAIRN_STR("1");
    replaced = CLIENT_CALL(&client, ALTER_CONFIGS, alter_configs, 2, &replace);
    CHECK_INT(replaced->responses[0].error_code, KAFKA_INVALID_REQUEST);
}

/* Goal: the broker says where clients are told to come, an IPv6 address so that its port can be told from it. */
TEST(advertised_listeners)
{
    static const char *const hosts[][2] = {{"::1", "PLAINTEXT://[::1]:9092"}, {"kafka.example", "PLAINTEXT://kafka.example:9092"}};
    struct kafka_client before = client;
    struct kafka_rig there;
    char value[64];
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        kafka_rig_open(&there, (struct kafka_config){.loops = 1, .advertised_host = hosts[i][0], .advertised_port = 9092}, NULL);
        client = kafka_client_open(there.port);
        setting_of(BROKER, "1", "advertised.listeners", value);
        CHECK_STR(value, hosts[i][1]);
        kafka_client_close(&client);
        kafka_rig_close(&there);
    }
    client = before;
}

/* ---- producing, fetching ------------------------------------------------------------------------------------------------- */

/* Goal: what was produced comes back byte for byte but for its place, whatever its codec, in every version. */
TEST(bytes_come_back)
{
    create("bytes", 1);
    int64_t first = 0;
    for (enum batch_codec codec = BATCH_PLAIN; codec <= BATCH_ZSTD; codec++) {
        struct buf batch = batch_of("value", 10, codec);
        const struct kafka_produce_response_partition *out =
            produce_bytes(&client, "bytes", 0, buf_str(&batch), codec % 2 ? 1 : -1, (cairn_str){0});
        CHECK_INT(out->error_code, KAFKA_NONE);
        CHECK_INT(out->base_offset, first);
        for (int16_t version = 4; version <= 12; version++) {
            struct fetch_ask ask = {.topic = "bytes", .offset = first + 3}; /* inside the batch: all of it comes */
            const struct kafka_fetch_response_partition *got =
                fetch_take(&client, version, fetch_send(&client, version, &ask));
            CHECK_INT(got->error_code, KAFKA_NONE);
            CHECK_INT(got->high_watermark, first + 10);
            CHECK_INT(got->last_stable_offset, first + 10);
            cairn_str bytes = fetched(got);
            CHECK_INT(bytes.size, batch.size);
            CHECK(memcmp(bytes.data + 16, batch.data + 16, batch.size - 16) == 0); /* behind base offset, length, epoch */
            CHECK_INT(check_records(bytes, first, "value0"), 10);
        }
        buf_free(&batch);
        first += 10;
    }
    const struct kafka_fetch_response_partition *all = fetch((struct fetch_ask){.topic = "bytes"});
    CHECK_INT(check_records(fetched(all), 0, "value0"), 50);
}

static atomic_int checks_begun;
static atomic_bool checks_may_end;

/* "slow…" takes until the test lets it end. */
static enum kafka_err
check_slowly(void *context, cairn_str subject, cairn_str value, char *ret_reason, size_t reason_size)
{
    (void)context, (void)ret_reason, (void)reason_size;
    if (!cairn_str_equal(subject, CAIRN_STR("shop.Placed")))
        return KAFKA_INVALID_RECORD;
    atomic_fetch_add(&checks_begun, 1);
    while (value.data[0] == 's' && !atomic_load(&checks_may_end))
        poll(NULL, 0, 1);
    return KAFKA_NONE;
}

static int32_t
send_value(struct kafka_client *by, const char *text, struct buf *ret_batch)
{
    *ret_batch = batch_of(text, 1, BATCH_PLAIN);
    struct kafka_produce_request_partition part = {.index = 0, .records = buf_str(ret_batch)};
    struct kafka_produce_request_topic to = {.name = CAIRN_STR("checked"), .partitions = &part, .partitions_count = 1};
    struct kafka_produce_request in = {.acks = -1, .timeout_ms = 1000, .topics = &to, .topics_count = 1};
    return kafka_client_send(by, KAFKA_API_PRODUCE, 9, &in);
}

/* Goal: values that take long to check hold up their own connection alone, and what comes behind them there keeps its order.
 * Method: one loop, a check that does not end; another client's question is answered meanwhile; then what was sent behind it. */
TEST(slow_checks_hold_up_nobody_else)
{
    struct kafka_rig one = {.validate = check_slowly};
    struct buf batches[3];
    test_folder(one.folder);
    kafka_rig_start(&one, (struct kafka_config){.loops = 1}, NULL);
    struct kafka_client slow = kafka_client_open(one.port), other = kafka_client_open(one.port);
    struct kafka_create_topics_request_config config[] = {{CAIRN_STR("cairn.value.subject"), CAIRN_STR("shop.Placed")}};
    struct kafka_create_topics_request_topic topic = {
        .name = CAIRN_STR("checked"), .num_partitions = 1, .replication_factor = 1, .configs = config, .configs_count = 1};
    struct kafka_create_topics_request in = {.topics = &topic, .topics_count = 1};
    CHECK_INT(CLIENT_CALL(&other, CREATE_TOPICS, create_topics, 7, &in)->topics[0].error_code, KAFKA_NONE);

    int32_t first = send_value(&slow, "slow", &batches[0]);
    send_value(&slow, "quick", &batches[1]);
    CLIENT_AWAIT(atomic_load(&checks_begun) > 0);
    struct kafka_metadata_request ask = {.topics_count = -1};
    const struct kafka_metadata_response *answer = CLIENT_CALL(&other, METADATA, metadata, 9, &ask);
    CHECK_INT(answer->topics_count, 1);
    CHECK_INT(atomic_load(&checks_begun), 1);
    atomic_store(&checks_may_end, true);
    send_value(&slow, "quick too", &batches[2]);
    for (int32_t i = 0; i < 3; i++) {
        const struct kafka_produce_response *out = kafka_client_answer(&slow, KAFKA_API_PRODUCE, 9, first + i);
        CHECK(out->topics[0].partitions[0].error_code == KAFKA_NONE && out->topics[0].partitions[0].base_offset == i);
        buf_free(&batches[i]);
    }
    kafka_client_close(&slow);
    kafka_client_close(&other);
    kafka_rig_close(&one);
}

/* Goal: a request for several topics and partitions is answered for each, good ones and bad ones. */
TEST(many_partitions_in_one_request)
{
    struct buf good = batch_of("v", 3, BATCH_PLAIN), bad = batch_of("v", 3, BATCH_PLAIN);
    create("many", 3);
    bad.data[70] ^= 1;
    struct kafka_produce_request_partition parts[] = {{0, buf_str(&good)}, {2, buf_str(&good)}, {3, buf_str(&good)},
                                                      {1, buf_str(&bad)},  {-1, buf_str(&good)}, {1, {0}}};
    static const int expected[] = {KAFKA_NONE, KAFKA_NONE, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, KAFKA_CORRUPT_MESSAGE,
                                   KAFKA_UNKNOWN_TOPIC_OR_PARTITION, KAFKA_INVALID_RECORD};
    struct kafka_produce_request_topic topics[] = {{CAIRN_STR("many"), parts, 6}, {CAIRN_STR("nowhere"), parts, 1}};
    struct kafka_produce_request in = {.acks = -1, .topics = topics, .topics_count = 2};
    const struct kafka_produce_response *out = CLIENT_CALL(&client, PRODUCE, produce, 11, &in);
    for (int i = 0; i < 6; i++) {
        CHECK_INT(out->topics[0].partitions[i].error_code, expected[i]);
        CHECK_INT(out->topics[0].partitions[i].base_offset, expected[i] == KAFKA_NONE ? 0 : -1);
        CHECK((expected[i] == KAFKA_NONE) == (out->topics[0].partitions[i].error_message.data == NULL));
    }
    CHECK_INT(out->topics[1].partitions[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    in.acks = 2;
    out = CLIENT_CALL(&client, PRODUCE, produce, 3, &in);
    CHECK_INT(out->topics[0].partitions[0].error_code, KAFKA_INVALID_REQUIRED_ACKS);

    /* acks 0: no answer; the next call's comes next. A bad batch closes the connection, which is all that can be told. */
    struct kafka_client other = kafka_client_open(rig.port);
    in.acks = 0;
    in.topics_count = topics[0].partitions_count = 1;
    kafka_client_send(&other, KAFKA_API_PRODUCE, 9, &in);
    struct kafka_describe_cluster_request any = {.endpoint_type = 1};
    CHECK_INT(CLIENT_CALL(&other, DESCRIBE_CLUSTER, describe_cluster, 0, &any)->controller_id, 1);
    topics[0].partitions = &parts[3];
    kafka_client_send(&other, KAFKA_API_PRODUCE, 9, &in);
    CHECK(kafka_client_is_closed(&other));
    kafka_client_close(&other);
    CHECK_INT(produce("many", 0, "v", 1), 6);
    CHECK_INT(produce("many", 1, "v", 1), 0);
    buf_free(&good);
    buf_free(&bad);
}

/* Goal: sizes bound what comes, but the first batch always comes whole. */
TEST(fetch_bounds)
{
    create("bounds", 1);
    for (int i = 0; i < 20; i++)
        produce("bounds", 0, "a value that has some length", 10);
    size_t whole = fetched(fetch((struct fetch_ask){.topic = "bounds"})).size, one = whole / 20;
    CHECK_INT(check_records(fetched(fetch((struct fetch_ask){.topic = "bounds", .max_bytes = 1})), 0, NULL), 10);
    CHECK_INT(check_records(fetched(fetch((struct fetch_ask){.topic = "bounds", .partition_max_bytes = 1})), 0, NULL), 10);
    const struct kafka_fetch_response_partition *got =
        fetch((struct fetch_ask){.topic = "bounds", .offset = 50, .partition_max_bytes = (int32_t)(3 * one + 5)});
    CHECK_INT(check_records(fetched(got), 50, NULL), 30);
    got = fetch((struct fetch_ask){.topic = "bounds", .offset = 200});
    CHECK_INT(got->error_code, KAFKA_NONE);
    CHECK_INT(fetched(got).size, 0);
    got = fetch((struct fetch_ask){.topic = "bounds", .offset = 201});
    CHECK_INT(got->error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    CHECK_INT(fetch((struct fetch_ask){.topic = "bounds", .offset = -5})->error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    CHECK_INT(fetch((struct fetch_ask){.topic = "bounds", .partition = 1})->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    CHECK_INT(fetch((struct fetch_ask){.topic = "nowhere"})->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);

    struct kafka_fetch_request session = {.session_id = 7, .session_epoch = 1};
    CHECK_INT(CLIENT_CALL(&client, FETCH, fetch, 12, &session)->error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    session.session_id = 0;
    CHECK_INT(CLIENT_CALL(&client, FETCH, fetch, 12, &session)->error_code, KAFKA_INVALID_FETCH_SESSION_EPOCH);
    session.session_epoch = 0;
    CHECK_INT(CLIENT_CALL(&client, FETCH, fetch, 12, &session)->session_id, 0);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------------- */

static void
append_event_with(const char *stream, const char *data, cairn_str meta)
{
    cairn_event event = {.type = CAIRN_STR("Placed"), .data = cairn_cstr(data), .meta = meta};
    cairn_error error = {0};
    cairn_at at;
    if (cairn_append(rig.store, 0, cairn_cstr(stream), CAIRN_ANY, &event, 1, &at, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
}

static void
append_event(const char *stream, const char *data)
{
    append_event_with(stream, data, (cairn_str){0});
}

/* Goal: a fetch that finds nothing waits, and is answered as soon as its partition moves, by whatever door. */
TEST(long_poll)
{
    struct kafka_client waiting = kafka_client_open(rig.port);
    struct fetch_ask ask = {.topic = "long-poll", .partition = 1, .wait_ms = 60000};
    create("long-poll", 2);
    int32_t sent = fetch_send(&waiting, 12, &ask);
    produce("long-poll", 0, "other", 1); /* not for it */
    int64_t begun = client_now_ms();
    produce("long-poll", 1, "mine", 2);
    CHECK_INT(check_records(fetched(fetch_take(&waiting, 12, sent)), 0, "mine0"), 2);
    CHECK(client_now_ms() - begun < 10000);

    /* By an event: key k1 falls into the partition that Kafka's partitioner says; ask both. */
    struct kafka_client second = kafka_client_open(rig.port);
    ask.offset = 2;
    sent = fetch_send(&waiting, 12, &ask);
    ask.partition = 0;
    ask.offset = 1;
    int32_t also = fetch_send(&second, 12, &ask);
    for (int i = 0; i < 16; i++) { /* the keys a to p are in both */
        char stream[32];
        snprintf(stream, sizeof stream, "long~poll-%c", 'a' + i);
        append_event(stream, "{\"n\":1}");
    }
    CHECK(check_records(fetched(fetch_take(&waiting, 12, sent)), 2, "{\"n\":1}") > 0);
    CHECK(check_records(fetched(fetch_take(&second, 12, also)), 1, "{\"n\":1}") > 0);

    /* Time is up: empty, and not before. */
    create("silent", 1);
    ask = (struct fetch_ask){.topic = "silent", .wait_ms = 300};
    begun = client_now_ms();
    const struct kafka_fetch_response_partition *got = fetch_take(&waiting, 12, fetch_send(&waiting, 12, &ask));
    CHECK_INT(fetched(got).size, 0);
    CHECK(client_now_ms() - begun >= 290);

    /* Less than was asked for, until time is up. */
    ask = (struct fetch_ask){.topic = "silent", .wait_ms = 300, .min_bytes = 100000};
    sent = fetch_send(&waiting, 12, &ask);
    produce("silent", 0, "little", 1);
    CHECK_INT(check_records(fetched(fetch_take(&waiting, 12, sent)), 0, "little0"), 1);

    /* A topic that goes ends the wait. */
    ask = (struct fetch_ask){.topic = "silent", .offset = 1, .wait_ms = 60000};
    sent = fetch_send(&waiting, 12, &ask);
    cairn_str name = CAIRN_STR("silent");
    struct kafka_delete_topics_request drop = {.topic_names = &name, .topic_names_count = 1};
    CHECK_INT(CLIENT_CALL(&client, DELETE_TOPICS, delete_topics, 1, &drop)->responses[0].error_code, KAFKA_NONE);
    CHECK_INT(fetch_take(&waiting, 12, sent)->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);

    /* A client that goes while it waits is nobody's trouble. */
    ask = (struct fetch_ask){.topic = "long-poll", .partition = 1, .offset = 1000000, .wait_ms = 60000};
    ask.offset = (int64_t)produce("long-poll", 1, "x", 1) + 1;
    fetch_send(&waiting, 12, &ask);
    kafka_client_close(&waiting);
    kafka_client_close(&second);
    produce("long-poll", 1, "after", 1);
}

/* Goal: an event is a record to Kafka's clients: its key, its data, its type. */
TEST(events_as_records)
{
    struct batch_cursor cursor = {0};
    struct batch_record record;
    create("my-orders", 1);
    append_event("my~orders-42", "{\"total\":7}");
    produce("my-orders", 0, "by kafka", 1);
    append_event("my~orders-43", "{\"total\":8}");
    cairn_str bytes = fetched(fetch((struct fetch_ask){.topic = "my-orders"}));
    CHECK_INT(check_records(bytes, 0, "{\"total\":7}"), 3);
    CHECK(batch_open(&cursor, bytes) == NULL && batch_next(&cursor, &record));
    CHECK(cairn_str_equal(record.key, CAIRN_STR("42")));
    bool typed = false;
    cairn_str headers = record.headers, name, value;
    for (bool there; batch_next_header(&headers, &name, &there, &value);)
        typed |= cairn_str_equal(name, CAIRN_STR("ce_type")) && cairn_str_equal(value, CAIRN_STR("Placed"));
    CHECK(typed);
    batch_close(&cursor);
}

/* Goal: no event ends those who read its partition. Method: one that asks for more headers than a record can have. */
TEST(events_with_too_many_headers)
{
    struct buf meta = {0};
    create("many-headers", 1);
    buf_put_str(&meta, CAIRN_STR("{\"kafka_headers\":{\"h\":["));
    for (int i = 0; i < 2000; i++)
        buf_put_str(&meta, i ? CAIRN_STR(",\"v\"") : CAIRN_STR("\"v\""));
    buf_put_str(&meta, CAIRN_STR("]}}"));
    append_event("many~headers-1", "{\"n\":1}");
    append_event_with("many~headers-2", "{\"n\":2}", buf_str(&meta));
    append_event("many~headers-3", "{\"n\":3}");
    buf_free(&meta);
    CHECK_INT(check_records(fetched(fetch((struct fetch_ask){.topic = "many-headers"})), 0, "{\"n\":1}"), 3);
}

/* ---- offsets ------------------------------------------------------------------------------------------------------------- */

TEST(offsets)
{
    create("offsets", 1);
    for (int i = 0; i < 3; i++)
        produce("offsets", 0, "v", 10); /* times 1700000000000 to …009 each */
    CHECK_INT(offset_at("offsets", -1), 30);
    CHECK_INT(offset_at("offsets", -2), 0);
    CHECK_INT(offset_at("offsets", 1700000000000), 0);
    CHECK_INT(offset_at("offsets", 1700000000004), 4);
    CHECK_INT(offset_at("offsets", 1700000000010), -1);

    struct kafka_delete_records_request_partition part[] = {{0, 15}, {7, 1}};
    struct kafka_delete_records_request_topic topic = {CAIRN_STR("offsets"), part, 2};
    struct kafka_delete_records_request drop = {.topics = &topic, .topics_count = 1};
    const struct kafka_delete_records_response *dropped = CLIENT_CALL(&client, DELETE_RECORDS, delete_records, 2, &drop);
    CHECK_INT(dropped->topics[0].partitions[0].error_code, KAFKA_NONE);
    CHECK_INT(dropped->topics[0].partitions[0].low_watermark, 15);
    CHECK_INT(dropped->topics[0].partitions[1].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    CHECK_INT(offset_at("offsets", -2), 15);
    CHECK_INT(fetch((struct fetch_ask){.topic = "offsets", .offset = 14})->error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    CHECK_INT(fetch((struct fetch_ask){.topic = "offsets", .offset = 15})->log_start_offset, 15);

    struct kafka_offset_for_leader_epoch_request_partition epoch = {.current_leader_epoch = -1, .leader_epoch = 0};
    struct kafka_offset_for_leader_epoch_request_topic epochs = {CAIRN_STR("offsets"), &epoch, 1};
    struct kafka_offset_for_leader_epoch_request ask = {.replica_id = -1, .topics = &epochs, .topics_count = 1};
    const struct kafka_offset_for_leader_epoch_response *end =
        CLIENT_CALL(&client, OFFSET_FOR_LEADER_EPOCH, offset_for_leader_epoch, 4, &ask);
    CHECK_INT(end->topics[0].partitions[0].error_code, KAFKA_NONE);
    CHECK_INT(end->topics[0].partitions[0].end_offset, 30);
    epoch.current_leader_epoch = 3;
    end = CLIENT_CALL(&client, OFFSET_FOR_LEADER_EPOCH, offset_for_leader_epoch, 4, &ask);
    CHECK_INT(end->topics[0].partitions[0].error_code, KAFKA_UNKNOWN_LEADER_EPOCH);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(metadata_tells_and_makes),
        RUN(topics_come_and_go),
        RUN(partitions_in_pages),
        RUN(settings),
        RUN(advertised_listeners),
        RUN(bytes_come_back),
        RUN(slow_checks_hold_up_nobody_else),
        RUN(many_partitions_in_one_request),
        RUN(fetch_bounds),
        RUN(long_poll),
        RUN(events_as_records),
        RUN(events_with_too_many_headers),
        RUN(offsets),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

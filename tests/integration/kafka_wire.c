/* Calls over the wire: their order, their ends, and what is no request. The handlers are those of kafka_wire.h. */
#include "kafka_wire.h"

/* Goal: clients learn the versions, of any age of theirs. Method: every version, and one that nobody has. */
TEST(api_versions_tell_what_is_served)
{
    start((struct kafka_config){0});
    struct kafka_client client = kafka_client_open(rig.port);
    struct kafka_api_versions_request in = {CAIRN_STR("test-client"), CAIRN_STR("1.0")};
    for (int16_t version = 0; version <= 4; version++) {
        struct kafka_api_versions_response *out = CLIENT_CALL(&client, API_VERSIONS, api_versions, version, &in);
        CHECK_INT(out->error_code, 0);
        CHECK_INT(out->api_keys_count, 10);
        CHECK_INT(out->api_keys[0].api_key, KAFKA_API_PRODUCE);
        CHECK_INT(out->api_keys[0].min_version, 0); /* said, so that old clients compress */
        CHECK_INT(out->api_keys[0].max_version, 11);
        CHECK_INT(out->api_keys[1].min_version, 4);
    }
    static const char from_the_future[] = "\0\0\0\x0D\0\x12\0\x63\0\0\0\x07\xFF\xFF..";
    kafka_client_send_bytes(&client, from_the_future, sizeof from_the_future);
    struct kafka_api_versions_response *out = kafka_client_answer(&client, KAFKA_API_API_VERSIONS, 0, 7);
    CHECK_INT(out->error_code, KAFKA_UNSUPPORTED_VERSION);
    CHECK_INT(out->api_keys_count, 1);
    CHECK_INT(out->api_keys[0].max_version, 4);
    in.client_software_name = CAIRN_STR("-no name-");
    CHECK_INT(CLIENT_CALL(&client, API_VERSIONS, api_versions, 3, &in)->error_code, KAFKA_INVALID_REQUEST);
    kafka_client_close(&client);
    stop();
    CHECK_INT(atomic_load(&rig.sessions_ended), 1);
}

TEST(metadata_leads_back_to_where_the_client_came)
{
    start((struct kafka_config){.cluster_id = "here"});
    struct kafka_client client = kafka_client_open(rig.port);
    struct kafka_metadata_request_topic topics[] = {{.name = CAIRN_STR("one")}, {.name = CAIRN_STR("two")}};
    for (int16_t version = 0; version <= 13; version++) {
        struct kafka_metadata_request in = {topics, 2, true, false, false};
        struct kafka_metadata_response *out = CLIENT_CALL(&client, METADATA, metadata, version, &in);
        CHECK(cairn_str_equal(out->brokers[0].host, CAIRN_STR("127.0.0.1")));
        CHECK_INT(out->brokers[0].port, rig.port);
        CHECK_INT(out->topics_count, 2);
        CHECK(cairn_str_equal(out->topics[1].name, CAIRN_STR("two")));
        CHECK_INT(out->topics[1].partitions_count, 1);
        CHECK(version < 2 || cairn_str_equal(out->cluster_id, CAIRN_STR("here")));
    }
    kafka_client_close(&client);
    stop();
    start((struct kafka_config){.advertised_host = "kafka.example", .advertised_port = 19092});
    client = kafka_client_open(rig.port);
    struct kafka_metadata_request in = {.topics_count = -1};
    struct kafka_metadata_response *out = CLIENT_CALL(&client, METADATA, metadata, 9, &in);
    CHECK(cairn_str_equal(out->brokers[0].host, CAIRN_STR("kafka.example")));
    CHECK_INT(out->brokers[0].port, 19092);
    kafka_client_close(&client);
    stop();
}

/* Goal: pipelined calls begin before the ones ahead are answered, others wait; answers come in the order of requests.
 * Method: hold three, put a heartbeat behind them, answer them backwards. */
TEST(answers_come_in_the_order_of_requests)
{
    struct kafka_heartbeat_request beat = {0};
    start((struct kafka_config){0});
    struct kafka_client client = kafka_client_open(rig.port);
    int32_t first = send_produce(&client, -1, "a", CAIRN_STR("x"));
    send_produce(&client, -1, "b", CAIRN_STR("x"));
    send_produce(&client, 0, "none", CAIRN_STR("x"));
    send_produce(&client, -1, "c", CAIRN_STR("x"));
    kafka_client_send(&client, KAFKA_API_HEARTBEAT, 4, &beat);
    send_produce(&client, -1, "d", CAIRN_STR("x"));
    CLIENT_AWAIT(held() == 4);
    CHECK_INT(atomic_load(&rig.begun), 4); /* neither heartbeat nor what is behind it */
    release(3);
    release(2);
    release(1);
    CHECK_INT(atomic_load(&rig.begun), 4);
    release(0);
    static const char *const names[] = {"a", "b", NULL, "c", NULL, "d"};
    for (int32_t i = 0; i < 6; i++) {
        if (i == 2)
            continue; /* acks = 0 */
        if (i == 4) {
            kafka_client_answer(&client, KAFKA_API_HEARTBEAT, 4, first + i);
            CLIENT_AWAIT(held() == 5);
            release(4);
            continue;
        }
        struct kafka_produce_response *out = kafka_client_answer(&client, KAFKA_API_PRODUCE, 9, first + i);
        CHECK(cairn_str_equal(out->topics[0].name, cairn_cstr(names[i])));
    }
    CLIENT_AWAIT(atomic_load(&rig.ended) == 5);
    CHECK_INT(stats().request_bytes, 0);
    CHECK_INT(stats().calls_by_key[KAFKA_API_PRODUCE], 5);
    kafka_client_close(&client);
    stop();
}

TEST(a_call_goes_from_loop_to_pool_and_back)
{
    struct kafka_sync_group_request in = {.member_id = CAIRN_STR("member-1")};
    start((struct kafka_config){0});
    struct kafka_client client = kafka_client_open(rig.port);
    for (int i = 0; i < 200; i++) {
        struct kafka_sync_group_response *out = CLIENT_CALL(&client, SYNC_GROUP, sync_group, (int16_t)(i % 6), &in);
        CHECK(cairn_str_equal(out->assignment, CAIRN_STR("member-1")));
    }
    CLIENT_AWAIT(atomic_load(&rig.ticks) > 2);
    kafka_client_close(&client);
    stop();
}

/* Goal: a call that ends while its post is on its way ends well, and the post does nothing. */
TEST(a_post_that_comes_too_late_does_nothing)
{
    struct kafka_leave_group_request in = {0};
    start((struct kafka_config){0});
    struct kafka_client client = kafka_client_open(rig.port);
    for (int i = 0; i < 100; i++)
        CLIENT_CALL(&client, LEAVE_GROUP, leave_group, 4, &in);
    CHECK_INT(atomic_load(&rig.ended), 100);
    CHECK_INT(atomic_load(&rig.gone), 0);
    kafka_client_close(&client);
    stop();
}

/* Goal: before a connection ends, what was answered is sent, and nothing behind it is done. */
TEST(the_last_answer_is_sent)
{
    struct kafka_heartbeat_request beat = {0};
    struct kafka_end_txn_request end = {0};
    start((struct kafka_config){0});
    struct kafka_client client = kafka_client_open(rig.port);
    struct buf all = {0};
    for (int i = 0; i < 3; i++) {
        struct buf frame = kafka_client_frame(&client, i == 1 ? KAFKA_API_END_TXN : KAFKA_API_HEARTBEAT, 3,
                                              i == 1 ? (const void *)&end : &beat);
        buf_put_str(&all, buf_str(&frame));
        buf_free(&frame);
    }
    kafka_client_send_bytes(&client, all.data, all.size);
    kafka_client_answer(&client, KAFKA_API_HEARTBEAT, 3, 1);
    struct kafka_end_txn_response *out = kafka_client_answer(&client, KAFKA_API_END_TXN, 3, 2);
    CHECK_INT(out->error_code, KAFKA_SASL_AUTHENTICATION_FAILED);
    CHECK(kafka_client_is_closed(&client));
    CHECK_INT(atomic_load(&rig.begun), 1);
    kafka_client_close(&client);

    client = kafka_client_open(rig.port);
    kafka_client_send_bytes(&client, "\0\0\0\x12\0\x0C\0\0\0\0\0\1\xFF\xFF\0\0\0\0\0\0\0\0" /* a heartbeat, */
                                     "\0\0\0\x0A\0\x63\0\0\0\0\0\1\xFF\xFF", 36);           /* and what is none */
    kafka_client_answer(&client, KAFKA_API_HEARTBEAT, 0, 1);
    CHECK(kafka_client_is_closed(&client));
    kafka_client_close(&client);
    buf_free(&all);
    stop();
}

/* Goal: however the bytes are cut, the calls are the same. Method: send them one at a time, and many calls in one write. */
TEST(requests_arrive_in_any_pieces)
{
    struct kafka_heartbeat_request beat = {.group_id = CAIRN_STR("group"), .member_id = CAIRN_STR("member")};
    struct buf many = {0};
    start((struct kafka_config){0});
    struct kafka_client client = kafka_client_open(rig.port);
    struct buf frame = kafka_client_frame(&client, KAFKA_API_HEARTBEAT, 3, &beat);
    for (size_t i = 0; i < frame.size; i++)
        kafka_client_send_bytes(&client, frame.data + i, 1);
    buf_free(&frame);
    kafka_client_answer(&client, KAFKA_API_HEARTBEAT, 3, 1);
    for (int i = 0; i < 5000; i++) {
        frame = kafka_client_frame(&client, KAFKA_API_HEARTBEAT, 4, &beat);
        buf_put(&many, frame.data, frame.size);
        buf_free(&frame);
    }
    kafka_client_send_bytes(&client, many.data, many.size);
    for (int32_t i = 2; i < 5002; i++)
        kafka_client_answer(&client, KAFKA_API_HEARTBEAT, 4, i);
    buf_free(&many);
    kafka_client_close(&client);
    stop();
}

/* Goal: large requests are read whole, whatever memory they find. Method: sizes around those at which reading goes straight to
 * its place and memory is kept, up and down, behind a small one in the same write; each comes back as it was sent. */
TEST(large_requests_arrive_as_sent)
{
    static const size_t sizes[] = {65000, 65536, 131000, 200000, 1 << 20, 70000, (1 << 20) + 65536, 3 << 20, 66000, 1 << 20, 100, 262144};
    enum { SIZE_MAX_HERE = 3 << 20 };
    struct kafka_heartbeat_request beat = {.group_id = CAIRN_STR("group"), .member_id = CAIRN_STR("member")};
    struct kafka_sync_group_request_assignment assignment = {.member_id = CAIRN_STR("m")};
    struct kafka_sync_group_request in = {.assignments = &assignment, .assignments_count = 1};
    char *bytes = malloc(SIZE_MAX_HERE);
    uint64_t seed = 7;
    start((struct kafka_config){.loops = 1});
    struct kafka_client client = kafka_client_open(rig.port);
    for (size_t i = 0; i < 3 * (sizeof sizes / sizeof *sizes); i++) {
        size_t size = sizes[i % (sizeof sizes / sizeof *sizes)] - i;
        for (size_t j = 0; j + 8 <= size; j += 8)
            store64(bytes + j, test_random(&seed));
        assignment.assignment = (cairn_str){bytes, size};
        struct buf first = kafka_client_frame(&client, KAFKA_API_HEARTBEAT, 4, &beat);
        struct buf frame = kafka_client_frame(&client, KAFKA_API_SYNC_GROUP, 5, &in);
        buf_put(&first, frame.data, frame.size);
        kafka_client_send_bytes(&client, first.data, first.size);
        kafka_client_answer(&client, KAFKA_API_HEARTBEAT, 4, (int32_t)(2 * i + 1));
        const struct kafka_sync_group_response *out = kafka_client_answer(&client, KAFKA_API_SYNC_GROUP, 5, (int32_t)(2 * i + 2));
        CHECK(cairn_str_equal(out->assignment, assignment.assignment));
        buf_free(&frame);
        buf_free(&first);
    }
    kafka_client_close(&client);
    free(bytes);
    stop();
}

/* Goal: what is no request ends the connection, with a line that says why. */
TEST(faults_close_the_connection)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } faults[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18, "not a Kafka client"},
        {"\0\0\0\0", 4, "0 bytes"},
        {"\xFF\xFF\xFF\xFF", 4, "4294967295 bytes"},
        {"\0\0\0\x0A\0\x63\0\0\0\0\0\1\xFF\xFF", 14, "no such call"},
        {"\0\0\0\x0A\0\x08\0\x02\0\0\0\1\xFF\xFF", 14, "no such call"}, /* it has no handler */
        {"\0\0\0\x0A\0\x0C\0\x63\0\0\0\1\xFF\xFF", 14, "in this version"},
        {"\0\0\0\x0A\0\0\0\2\0\0\0\1\xFF\xFF", 14, "in this version"}, /* Produce 2: told of, not served */
        {"\0\0\0\x08\0\x0C\0\0\0\0\0\1", 12, "header is malformed"},
        {"\0\0\0\x0E\0\x0C\0\0\0\0\0\1\xFF\xFF\0\x09gr", 18, "Heartbeat 0 cannot be read: a length reaches past the end"},
        {"\0\0\0\x11\0\x03\0\x01\0\0\0\1\xFF\xFF\x7F\xFF\xFF\xFF\0\0\0", 21, "longer than the bytes that are left at topics"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        start((struct kafka_config){0});
        struct kafka_client client = kafka_client_open(rig.port);
        kafka_client_send_bytes(&client, faults[i].bytes, faults[i].size);
        CHECK(kafka_client_is_closed(&client));
        check_log(faults[i].says);
        CHECK_INT(stats().rejected_total, 1);
        kafka_client_close(&client);
        stop();
    }
}

/* Goal: a crowd of faulty clients does not fill the log. */
TEST(the_log_is_not_flooded)
{
    start((struct kafka_config){.loops = 1});
    for (int i = 0; i < 50; i++) {
        struct kafka_client client = kafka_client_open(rig.port);
        kafka_client_send_bytes(&client, "\0\0\0\0", 4);
        CHECK(kafka_client_is_closed(&client));
        kafka_client_close(&client);
    }
    CHECK_INT(stats().rejected_total, 50);
    CHECK(atomic_load(&rig.log_lines) >= 5 && atomic_load(&rig.log_lines) < 50);
    stop();
}

/* Goal: who waits is told when the client has gone, and what was sent before the end is done. */
TEST(waiting_calls_learn_that_the_client_has_gone)
{
    struct kafka_join_group_request join = {.group_id = CAIRN_STR("g")};
    start((struct kafka_config){0});
    struct kafka_client client = kafka_client_open(rig.port);
    kafka_client_send(&client, KAFKA_API_JOIN_GROUP, 5, &join);
    CLIENT_AWAIT(atomic_load(&rig.begun) == 1);
    kafka_client_close(&client);
    CLIENT_AWAIT(atomic_load(&rig.gone) == 1 && atomic_load(&rig.ended) == 1);
    client = kafka_client_open(rig.port);
    send_produce(&client, 0, "a", CAIRN_STR("x"));
    send_produce(&client, 0, "b", CAIRN_STR("x"));
    kafka_client_close(&client);
    CLIENT_AWAIT(held() == 2);
    release(0);
    release(1);
    CLIENT_AWAIT(atomic_load(&rig.ended) == 3 && stats().connections == 0);
    stop();
}

/* Goal: stopping answers what waits for time, and cuts what waits for ever. */
TEST(stopping_ends_what_waits)
{
    struct kafka_list_offsets_request offsets = {.timeout_ms = 60000};
    struct kafka_join_group_request join = {.group_id = CAIRN_STR("g")};
    start((struct kafka_config){0});
    struct kafka_client patient = kafka_client_open(rig.port), joining = kafka_client_open(rig.port),
                        idle = kafka_client_open(rig.port);
    int32_t asked = kafka_client_send(&patient, KAFKA_API_LIST_OFFSETS, 10, &offsets);
    kafka_client_send(&joining, KAFKA_API_JOIN_GROUP, 5, &join);
    CLIENT_AWAIT(atomic_load(&rig.begun) == 2 && stats().connections == 3);
    kafka_server_stop(rig.server, 100);
    kafka_client_answer(&patient, KAFKA_API_LIST_OFFSETS, 10, asked);
    CHECK(kafka_client_is_closed(&patient));
    CHECK(kafka_client_is_closed(&joining));
    CHECK(kafka_client_is_closed(&idle));
    CHECK_INT(atomic_load(&rig.gone), 1);
    kafka_client_close(&patient);
    kafka_client_close(&joining);
    kafka_client_close(&idle);
}

TEST(timers_answer_in_time)
{
    struct kafka_list_offsets_request offsets = {.timeout_ms = 50};
    start((struct kafka_config){0});
    struct kafka_client client = kafka_client_open(rig.port);
    int64_t before = client_now_ms();
    CLIENT_CALL(&client, LIST_OFFSETS, list_offsets, 10, &offsets);
    CHECK(client_now_ms() - before >= 49);
    kafka_client_close(&client);
    stop();
}

/* Goal: who has to log in may ask for versions and nothing else. */
TEST(nothing_is_served_before_the_login)
{
    struct kafka_heartbeat_request beat = {0};
    struct kafka_api_versions_request versions = {CAIRN_STR("a"), CAIRN_STR("b")};
    static const char somebody;
    start((struct kafka_config){.sasl = (const struct kafka_sasl *)(const void *)&somebody, .login_request_max = 1000});
    struct kafka_client client = kafka_client_open(rig.port);
    CLIENT_CALL(&client, API_VERSIONS, api_versions, 3, &versions);
    kafka_client_send(&client, KAFKA_API_HEARTBEAT, 4, &beat);
    CHECK(kafka_client_is_closed(&client));
    check_log("has to log in first");
    kafka_client_close(&client);
    client = kafka_client_open(rig.port);
    kafka_client_send_bytes(&client, "\0\0\x03\xE9", 4);
    CHECK(kafka_client_is_closed(&client));
    check_log("1001 bytes, and the limit is 1000");
    kafka_client_close(&client);
    stop();
}

/* Goal: librdkafka finds its way in, in the clear and through TLS. Method: kcat lists metadata. */
static void
kcat_lists(const char *options)
{
    char command[400], line[512], all[4096] = "";
    snprintf(command, sizeof command, "kcat -b 127.0.0.1:%u %s -L -t greetings 2>&1", rig.port, options);
    FILE *kcat = popen(command, "r");
    CHECK(kcat != NULL);
    while (fgets(line, sizeof line, kcat))
        strncat(all, line, sizeof all - strlen(all) - 1);
    CHECK_INT(pclose(kcat), 0);
    snprintf(line, sizeof line, "broker 1 at 127.0.0.1:%u", rig.port);
    if (!strstr(all, line) || !strstr(all, "topic \"greetings\" with 1 partitions"))
        fail_msg("kcat says:\n%s", all);
}

TEST(kcat_lists_metadata)
{
    start((struct kafka_config){0});
    kcat_lists("");
    stop();
}

TEST(kcat_lists_metadata_through_tls)
{
    char folder[64], command[512], cert[96], key[96];
    test_folder(folder);
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
             "-addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s 2>/dev/null", key, cert);
    CHECK_INT(system(command), 0);
    start((struct kafka_config){.tls_cert_file = cert, .tls_key_file = key});
    snprintf(command, sizeof command, "-X security.protocol=ssl -X ssl.ca.location=%s", cert);
    kcat_lists(command);
    CHECK(stats().calls_by_key[KAFKA_API_METADATA] > 0);
    stop();
    test_remove(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(api_versions_tell_what_is_served),
        RUN(metadata_leads_back_to_where_the_client_came),
        RUN(answers_come_in_the_order_of_requests),
        RUN(a_call_goes_from_loop_to_pool_and_back),
        RUN(a_post_that_comes_too_late_does_nothing),
        RUN(the_last_answer_is_sent),
        RUN(requests_arrive_in_any_pieces),
        RUN(large_requests_arrive_as_sent),
        RUN(faults_close_the_connection),
        RUN(the_log_is_not_flooded),
        RUN(waiting_calls_learn_that_the_client_has_gone),
        RUN(stopping_ends_what_waits),
        RUN(timers_answer_in_time),
        RUN(nothing_is_served_before_the_login),
        RUN(kcat_lists_metadata),
        RUN(kcat_lists_metadata_through_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

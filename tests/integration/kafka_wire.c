/* The wire's machinery with handlers made for tests: order, bounds, ends. What calls mean is for other tests.
 *
 *   ApiVersions   the real one                  Heartbeat    answered at once, on the loop
 *   Produce       pipelined; held until the test lets it go, from the test's thread; acks 0: no answer
 *   Metadata      on the pool: one broker, the topics asked for
 *   Fetch         on the pool: max_bytes of records in pieces; with min_bytes they lie in a file
 *   ListOffsets   answered by a timer           JoinGroup    waits until its client has gone, or for ever
 *   SyncGroup     goes from the loop to the pool and back, and is answered there
 *   LeaveGroup    posts itself, and is answered before that arrives
 *   EndTxn        the last answer of its connection */
#include "kafka_client.h"

#include <proto/kafka/kafka_int.h>

#define HELD_MAX 4096
#define PIECE_BYTES 100000u

static struct {
    struct kafka_server *server;
    uint16_t port;
    pthread_mutex_t lock;
    struct kafka_call *held[HELD_MAX];
    unsigned held_count;
    atomic_uint begun, gone, ended, log_lines, ticks, sessions_ended;
    char log[512];
    int file; /* of records, for Fetch */
} rig = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- handlers ------------------------------------------------------------------------------------------------------------ */

static void
count_end(struct kafka_call *call)
{
    (void)call;
    atomic_fetch_add(&rig.ended, 1);
}

static void
hold(struct kafka_call *call)
{
    pthread_mutex_lock(&rig.lock);
    assert_true(rig.held_count < HELD_MAX);
    rig.held[rig.held_count++] = call;
    pthread_mutex_unlock(&rig.lock);
}

static void
run_produce(struct kafka_call *call)
{
    call->on_end = count_end;
    atomic_fetch_add(&rig.begun, 1);
    hold(call);
}

static void
answer_produce(struct kafka_call *call)
{
    const struct kafka_produce_request *in = KAFKA_REQUEST(call, produce);
    struct kafka_produce_response out;
    struct kafka_produce_response_topic topic;
    if (in->acks == 0) {
        kafka_finish(call);
        return;
    }
    KAFKA_DEFAULTS(produce_response, &out);
    KAFKA_DEFAULTS(produce_response_topic, &topic);
    topic.name = in->topics_count ? in->topics[0].name : CAIRN_STR("");
    out.topics = &topic;
    out.topics_count = 1;
    kafka_respond(call, &out);
}

/* Let go of the one that has been held for `at` others; on the test's thread. */
static void
release(unsigned at)
{
    pthread_mutex_lock(&rig.lock);
    struct kafka_call *call = rig.held[at];
    rig.held[at] = NULL;
    pthread_mutex_unlock(&rig.lock);
    assert_non_null(call);
    answer_produce(call);
}

static unsigned
held(void)
{
    pthread_mutex_lock(&rig.lock);
    unsigned count = rig.held_count;
    pthread_mutex_unlock(&rig.lock);
    return count;
}

static void
run_metadata(struct kafka_call *call)
{
    const struct kafka_metadata_request *in = KAFKA_REQUEST(call, metadata);
    struct kafka_metadata_response out;
    struct kafka_metadata_response_broker broker = {.node_id = KAFKA_NODE_ID};
    kafka_advertised(call, &broker.host, &broker.port);
    KAFKA_DEFAULTS(metadata_response, &out);
    out.brokers = &broker;
    out.brokers_count = 1;
    out.cluster_id = cairn_cstr(kafka_config_of(call->server)->cluster_id);
    out.controller_id = KAFKA_NODE_ID;
    int32_t count = in->topics_count > 0 ? in->topics_count : 0;
    out.topics = KAFKA_LIST(call, metadata_response_topic, (size_t)count);
    out.topics_count = count;
    for (int32_t i = 0; i < count; i++) {
        out.topics[i].name = in->topics[i].name;
        out.topics[i].partitions = KAFKA_LIST(call, metadata_response_partition, 1);
        out.topics[i].partitions_count = 1;
        out.topics[i].partitions->leader_id = KAFKA_NODE_ID;
    }
    kafka_respond(call, &out);
}

static char
record_byte(size_t i)
{
    return (char)(i * 2654435761u >> 13);
}

static void
run_fetch(struct kafka_call *call)
{
    const struct kafka_fetch_request *in = KAFKA_REQUEST(call, fetch);
    size_t left = (size_t)in->max_bytes, at = 0;
    struct kafka_fetch_response out;
    struct kafka_fetch_response_topic topic;
    struct kafka_fetch_response_partition partition;
    KAFKA_DEFAULTS(fetch_response, &out);
    KAFKA_DEFAULTS(fetch_response_topic, &topic);
    KAFKA_DEFAULTS(fetch_response_partition, &partition);
    partition.records.items = arena_alloc(&call->arena, (left / PIECE_BYTES + 1) * sizeof(struct kafka_piece));
    while (left > 0 && partition.records.items) {
        size_t size = left < PIECE_BYTES ? left : PIECE_BYTES;
        char *piece = in->min_bytes > 0 ? NULL : arena_alloc(&call->arena, size);
        if (in->min_bytes > 0) {
            partition.records.items[partition.records.count++] = (struct kafka_piece){{NULL, size}, rig.file, at};
            at += size;
            left -= size;
            continue;
        }
        if (!piece) {
            kafka_no_memory(call);
            return;
        }
        for (size_t i = 0; i < size; i++)
            piece[i] = record_byte(at + i);
        partition.records.items[partition.records.count++] = (struct kafka_piece){.bytes = {piece, size}};
        at += size;
        left -= size;
    }
    topic.partitions = &partition;
    topic.partitions_count = 1;
    out.topics = &topic;
    out.topics_count = 1;
    kafka_respond(call, &out);
}

static void
run_heartbeat(struct kafka_call *call)
{
    struct kafka_heartbeat_response out = {0};
    atomic_fetch_add(&rig.begun, 1);
    kafka_respond(call, &out);
}

static void
offsets_timeout(struct kafka_call *call)
{
    struct kafka_list_offsets_response out = {0};
    kafka_respond(call, &out);
}

static void
run_list_offsets(struct kafka_call *call)
{
    const struct kafka_list_offsets_request *in = KAFKA_REQUEST(call, list_offsets);
    kafka_wait(call, (unsigned)in->timeout_ms, offsets_timeout);
    atomic_fetch_add(&rig.begun, 1);
}

static void
join_gone(struct kafka_call *call)
{
    atomic_fetch_add(&rig.gone, 1);
    kafka_finish(call);
}

static void
run_join(struct kafka_call *call)
{
    call->on_gone = join_gone;
    call->on_end = count_end;
    atomic_fetch_add(&rig.begun, 1);
}

static void
sync_at_last(struct kafka_call *call)
{
    const struct kafka_sync_group_request *in = KAFKA_REQUEST(call, sync_group);
    struct kafka_sync_group_response out = {.assignment = in->assignments_count > 0 ? in->assignments[0].assignment : in->member_id};
    kafka_respond(call, &out);
}

static void
sync_on_pool(struct kafka_call *call)
{
    kafka_post(call, sync_at_last);
}

static void
run_sync(struct kafka_call *call)
{
    if (!kafka_work(call, sync_on_pool))
        kafka_refuse(call, "the pool is full");
}

static void
never_run(struct kafka_call *call)
{
    (void)call;
    atomic_fetch_add(&rig.gone, 1);
}

static void
run_leave(struct kafka_call *call)
{
    struct kafka_leave_group_response out = {0};
    call->on_end = count_end;
    kafka_post(call, never_run);
    kafka_respond(call, &out);
}

static void
run_end(struct kafka_call *call)
{
    struct kafka_end_txn_response out = {.error_code = KAFKA_SASL_AUTHENTICATION_FAILED};
    call->last = true;
    kafka_respond(call, &out);
}

static void
on_tick(struct kafka_server *server, int64_t now_ms)
{
    (void)server;
    if (now_ms > 0)
        atomic_fetch_add(&rig.ticks, 1);
}

static void
on_session_end(struct kafka_session *session)
{
    (void)session;
    atomic_fetch_add(&rig.sessions_ended, 1);
}

static const struct kafka_calls calls = {
    .handlers = {[KAFKA_API_API_VERSIONS] = {kafka_answer_api_versions, KAFKA_BEFORE_LOGIN},
                 [KAFKA_API_PRODUCE] = {run_produce, KAFKA_PIPELINED},
                 [KAFKA_API_METADATA] = {run_metadata, KAFKA_WORK},
                 [KAFKA_API_FETCH] = {run_fetch, KAFKA_WORK},
                 [KAFKA_API_HEARTBEAT] = {run_heartbeat, 0},
                 [KAFKA_API_LIST_OFFSETS] = {run_list_offsets, 0},
                 [KAFKA_API_JOIN_GROUP] = {run_join, 0},
                 [KAFKA_API_SYNC_GROUP] = {run_sync, 0},
                 [KAFKA_API_LEAVE_GROUP] = {run_leave, 0},
                 [KAFKA_API_END_TXN] = {run_end, KAFKA_WORK}},
    .tick = on_tick,
    .session_end = on_session_end,
};

static void
keep_line(void *context, const char *line)
{
    (void)context;
    pthread_mutex_lock(&rig.lock);
    snprintf(rig.log, sizeof rig.log, "%s", line);
    pthread_mutex_unlock(&rig.lock);
    atomic_fetch_add(&rig.log_lines, 1);
}

static void
check_log(const char *text)
{
    CLIENT_AWAIT(atomic_load(&rig.log_lines) > 0);
    char log[sizeof rig.log];
    pthread_mutex_lock(&rig.lock);
    memcpy(log, rig.log, sizeof log);
    pthread_mutex_unlock(&rig.lock);
    if (!strstr(log, text))
        fail_msg("the log says \"%s\", not \"%s\"", log, text);
    atomic_store(&rig.log_lines, 0);
}

static void
start(struct kafka_config config)
{
    cairn_error error = {0};
    config.address = "127.0.0.1";
    config.calls = &calls;
    config.log = keep_line;
    if (!config.loops)
        config.loops = 2;
    rig.held_count = 0;
    for (atomic_uint *number = &rig.begun; number <= &rig.sessions_ended; number++)
        atomic_store(number, 0);
    if (kafka_server_start(&config, &rig.server, &error) != CAIRN_OK)
        fail_msg("start: %s", error.detail);
    rig.port = kafka_server_port(rig.server);
}

static void
stop(void)
{
    kafka_server_stop(rig.server, 2000);
    rig.server = NULL;
}

static struct kafka_server_stats
stats(void)
{
    struct kafka_server_stats now;
    kafka_server_stats(rig.server, &now);
    return now;
}

static int32_t
send_produce(struct kafka_client *client, int16_t acks, const char *topic, cairn_str records)
{
    struct kafka_produce_request_partition partition = {.records = records};
    struct kafka_produce_request_topic asked = {cairn_cstr(topic), &partition, 1};
    struct kafka_produce_request in = {.acks = acks, .topics = &asked, .topics_count = 1};
    return kafka_client_send(client, KAFKA_API_PRODUCE, 9, &in);
}

/* ---- tests ------------------------------------------------------------------------------------------------------------------- */

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

/* Goal: a large answer arrives whole however slowly it is read, without holding up the loop; a reader that stands still is cut. */
TEST(large_answers_go_at_the_readers_pace)
{
    struct kafka_fetch_request in = {.max_bytes = 20 << 20};
    struct kafka_heartbeat_request beat = {0};
    start((struct kafka_config){.loops = 1, .write_timeout_ms = 500});
    struct kafka_client slow = kafka_client_open_small(rig.port, 65536), quick = kafka_client_open(rig.port);
    int32_t asked = kafka_client_send(&slow, KAFKA_API_FETCH, 12, &in);
    CLIENT_AWAIT(stats().unsent_bytes > 10 << 20);
    CLIENT_CALL(&quick, HEARTBEAT, heartbeat, 0, &beat);
    struct kafka_fetch_response *out = kafka_client_answer(&slow, KAFKA_API_FETCH, 12, asked);
    const cairn_str *records = &out->topics[0].partitions[0].records.items->bytes;
    CHECK_INT(records->size, in.max_bytes);
    for (size_t i = 0; i < records->size; i++)
        if (records->data[i] != record_byte(i))
            fail_msg("byte %zu is wrong", i);
    CLIENT_AWAIT(stats().unsent_bytes == 0);
    kafka_client_send(&slow, KAFKA_API_FETCH, 12, &in);
    check_log("has not read its answers");
    CLIENT_AWAIT(stats().connections == 1 && stats().unsent_bytes == 0);
    CLIENT_CALL(&quick, HEARTBEAT, heartbeat, 0, &beat);
    kafka_client_close(&slow);
    kafka_client_close(&quick);
    stop();
}

/* Goal: unsent answers of all are bounded; the one that reads slowest pays. */
TEST(slow_readers_cannot_take_all_memory)
{
    struct kafka_fetch_request in = {.max_bytes = 20 << 20};
    struct kafka_client clients[4];
    start((struct kafka_config){.loops = 1, .unsent_max = 50 << 20});
    for (int i = 0; i < 4; i++) {
        clients[i] = kafka_client_open_small(rig.port, 65536);
        kafka_client_send(&clients[i], KAFKA_API_FETCH, 12, &in);
    }
    check_log("reads slowest");
    CLIENT_AWAIT(stats().calls_total == 4 && stats().rejected_total > 0);
    CLIENT_AWAIT(stats().unsent_bytes <= 50 << 20);
    for (int i = 0; i < 4; i++)
        kafka_client_close(&clients[i]);
    stop();
}

static void
make_file(size_t size)
{
    char *bytes = malloc(size);
    FILE *file = tmpfile();
    CHECK(bytes && file);
    for (size_t i = 0; i < size; i++)
        bytes[i] = record_byte(i);
    CHECK_INT(fwrite(bytes, 1, size, file), size);
    CHECK_INT(fflush(file), 0);
    rig.file = dup(fileno(file));
    CHECK(rig.file >= 0);
    fclose(file);
    free(bytes);
}

/* Goal: what waits in files takes no memory, so nobody is cut for it. Method: more loops than readers; each asks for many times of
 * what unsent answers may be, takes only what the socket holds until the other has asked too, and gets all in the end. */
TEST(answers_from_files_are_not_held_against_their_readers)
{
    struct kafka_fetch_request in = {.max_bytes = 50 << 20, .min_bytes = 1};
    struct kafka_heartbeat_request beat = {0};
    struct kafka_client clients[2];
    int32_t asked[2];
    make_file((size_t)in.max_bytes);
    start((struct kafka_config){.loops = 8, .unsent_max = 8 << 20});
    for (int i = 0; i < 2; i++) {
        clients[i] = kafka_client_open_small(rig.port, 65536);
        asked[i] = kafka_client_send(&clients[i], KAFKA_API_FETCH, 12, &in);
    }
    CLIENT_AWAIT(stats().unsent_bytes > 0); /* a slice of a file, for a socket that is full; and one is enough */
    CHECK(stats().unsent_bytes < 3 * 16 << 10);  /* for each of the two, and the few bytes behind the records */
    for (int i = 0; i < 2; i++) {
        struct kafka_fetch_response *out = kafka_client_answer(&clients[i], KAFKA_API_FETCH, 12, asked[i]);
        const cairn_str *records = &out->topics[0].partitions[0].records.items->bytes;
        CHECK_INT(records->size, in.max_bytes);
        for (size_t at = 0; at < records->size; at++)
            if (records->data[at] != record_byte(at))
                fail_msg("byte %zu is wrong", at);
        CLIENT_CALL(&clients[i], HEARTBEAT, heartbeat, 0, &beat);
    }
    CHECK_INT(stats().rejected_total, 0);
    CLIENT_AWAIT(stats().unsent_bytes == 0);
    for (int i = 0; i < 2; i++)
        kafka_client_close(&clients[i]);
    stop();
    close(rig.file);
}

/* Goal: what goes to this very machine is not paced by timers, whatever the system's default is. Method: look at our sockets that
 * have the server's port, one of which is the client's own connection. */
TEST(local_answers_are_not_paced)
{
    unsigned count = 0;
    start((struct kafka_config){.loops = 1});
    struct kafka_client client = kafka_client_open(rig.port);
    CLIENT_AWAIT(stats().connections == 1);
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in at = {.sin_family = 0};
        socklen_t size = sizeof at, name_size = 16;
        char name[16] = "";
        if (getsockname(fd, (struct sockaddr *)&at, &size) != 0 || at.sin_family != AF_INET || ntohs(at.sin_port) != rig.port)
            continue;
        CHECK_INT(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &name_size), 0);
        CHECK_STR(name, "reno");
        count++;
    }
    CHECK_INT(count, 2); /* the one that listens, the one that came */
    kafka_client_close(&client);
    stop();
}

/* A thread that sends a number of produce requests, as far as the server lets it. */
struct sender {
    pthread_t thread;
    struct kafka_client *client;
    int count;
};

#define SENT_BYTES (1 << 20)

static void *
send_ahead(void *context)
{
    struct sender *sender = context;
    char *records = calloc(1, SENT_BYTES);
    for (int i = 0; i < sender->count; i++)
        send_produce(sender->client, -1, "t", (cairn_str){records, SENT_BYTES});
    free(records);
    return NULL;
}

static void
start_sending(struct sender *sender, struct kafka_client *client, int count)
{
    *sender = (struct sender){.client = client, .count = count};
    CHECK_INT(pthread_create(&sender->thread, NULL, send_ahead, sender), 0);
}

/* Goal: a client that sends ahead is not read without end. Method: many large requests behind one that is held; what lies in
 * memory stays bounded, and all are served in the end. */
TEST(requests_sent_ahead_wait_in_the_socket)
{
    enum { REQUESTS = 100 };
    struct sender sender;
    start((struct kafka_config){.calls_max = 8, .requests_max = 16 << 20});
    struct kafka_client client = kafka_client_open(rig.port);
    start_sending(&sender, &client, REQUESTS);
    CLIENT_AWAIT(held() >= 8);
    for (int i = 0; i < 50; i++) { /* time to take more, if it would */
        poll(NULL, 0, 1);
        CHECK(stats().request_bytes < 12 << 20);
    }
    CHECK_INT(held(), 8);
    for (unsigned i = 0; i < REQUESTS; i++) {
        CLIENT_AWAIT(held() > i);
        release(i);
        kafka_client_answer(&client, KAFKA_API_PRODUCE, 9, (int32_t)i + 1);
        CHECK(stats().request_bytes < 12 << 20);
    }
    pthread_join(sender.thread, NULL);
    CLIENT_AWAIT(stats().request_bytes == 0);
    kafka_client_close(&client);
    stop();
}

/* Goal: the budget of all requests holds however many connections there are, and passes on as calls end. */
TEST(the_budget_of_requests_is_shared)
{
    enum { CLIENTS = 8 };
    struct kafka_client clients[CLIENTS];
    struct sender senders[CLIENTS];
    start((struct kafka_config){.requests_max = 3 << 20});
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = kafka_client_open(rig.port);
        start_sending(&senders[i], &clients[i], 1);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        CLIENT_AWAIT(held() > i);
        CHECK(stats().request_bytes <= (3 << 20) + (64 << 10)); /* and a request's lists */
        release(i);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(senders[i].thread, NULL);
        kafka_client_answer(&clients[i], KAFKA_API_PRODUCE, 9, 1);
        kafka_client_close(&clients[i]);
    }
    CLIENT_AWAIT(stats().request_bytes == 0);
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

/* Goal: neither silence nor half a request holds a connection for ever, and there are not too many of them. */
TEST(connections_have_their_time_and_number)
{
    start((struct kafka_config){.idle_timeout_ms = 100, .request_timeout_ms = 100, .connections_max = 2});
    struct kafka_client idle = kafka_client_open(rig.port), half = kafka_client_open(rig.port);
    CLIENT_AWAIT(stats().connections == 2);
    struct kafka_client third = kafka_client_open(rig.port);
    CHECK(kafka_client_is_closed(&third));
    kafka_client_send_bytes(&half, "\0\0\x03", 3);
    CHECK(kafka_client_is_closed(&idle));
    CHECK(kafka_client_is_closed(&half));
    check_log("not arrived whole in time");
    kafka_client_close(&idle);
    kafka_client_close(&half);
    kafka_client_close(&third);
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

/* Goal: small requests cannot make the server take much memory. Method: a request whose lists would take twenty times its size
 * is refused. */
TEST(lists_of_a_request_are_bounded)
{
    enum { NAMES = 20 << 20 };
    start((struct kafka_config){0});
    struct kafka_client client = kafka_client_open(rig.port);
    uint8_t head[] = {0, 0, 0, 0, 0, 3, 0, 9, 0, 0, 0, 1, 0xFF, 0xFF, 0, 0, 0, 0, 0}; /* Metadata 9 */
    uint32_t size = __builtin_bswap32((uint32_t)(sizeof head - 4 + 2 * NAMES + 4));
    memcpy(head, &size, 4);
    for (int i = 0; i < 4; i++) /* the count of a compact list, more by one, in seven bits a byte */
        head[15 + i] = (uint8_t)(((NAMES + 1) >> 7 * i & 0x7F) | (i < 3 ? 0x80 : 0));
    char *names = malloc(2 * NAMES + 4); /* empty names, each with its tagged fields */
    for (size_t i = 0; i < NAMES; i++)
        memcpy(names + 2 * i, "\1\0", 2);
    memcpy(names + 2 * NAMES, "\0\0\0\0", 4);
    kafka_client_send_bytes(&client, head, sizeof head);
    kafka_client_send_bytes(&client, names, 2 * NAMES + 4);
    CHECK(kafka_client_is_closed(&client));
    check_log("lists take too much memory");
    free(names);
    kafka_client_close(&client);
    stop();
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
        RUN(large_answers_go_at_the_readers_pace),
        RUN(slow_readers_cannot_take_all_memory),
        RUN(answers_from_files_are_not_held_against_their_readers),
        RUN(local_answers_are_not_paced),
        RUN(requests_sent_ahead_wait_in_the_socket),
        RUN(the_budget_of_requests_is_shared),
        RUN(waiting_calls_learn_that_the_client_has_gone),
        RUN(stopping_ends_what_waits),
        RUN(timers_answer_in_time),
        RUN(nothing_is_served_before_the_login),
        RUN(connections_have_their_time_and_number),
        RUN(lists_of_a_request_are_bounded),
        RUN(kcat_lists_metadata),
        RUN(kcat_lists_metadata_through_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

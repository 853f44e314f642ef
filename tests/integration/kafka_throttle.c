/* Rates of a connection (kafka.produce_rate, kafka.fetch_rate), over the wire, by a client that looks at throttle_time_ms and at the
 * clock. What librdkafka makes of them: kafka_rdkafka.c. The arithmetic: unit/kafka_rate.c. */
#include "kafka_calls.h"

#define RATE (64u << 10)
#define CLOCKS_MS 20 /* between the loop's time, which is as of its round, and the test's */

static void
begin_with(struct kafka_config config)
{
    config.loops = 1;
    kafka_rig_open(&rig, config, NULL);
    client = kafka_client_open(rig.port);
}

static void
finish(void)
{
    kafka_client_close(&client);
    kafka_rig_close(&rig);
}

static struct kafka_server_stats
stats(void)
{
    struct kafka_server_stats now;
    kafka_server_stats(rig.server, &now);
    return now;
}

static struct buf
large_batch(size_t size)
{
    struct batch_maker maker = {0};
    char *value = calloc(1, size);
    assert_non_null(value);
    batch_make_begin(&maker);
    CHECK(batch_make_add(&maker, 0, 1700000000000, NULL, &(cairn_str){value, size}, NULL, 0));
    CHECK(batch_make_end(&maker, BATCH_PLAIN, 0, 0));
    struct buf out = maker.out;
    maker.out = (struct buf){0};
    batch_make_free(&maker);
    free(value);
    return out;
}

static int32_t
send_large(struct kafka_client *by, int16_t version, int16_t acks, const char *topic, size_t size)
{
    struct buf batch = large_batch(size);
    struct kafka_produce_request_partition part = {.records = buf_str(&batch)};
    struct kafka_produce_request_topic to = {.name = cairn_cstr(topic), .partitions = &part, .partitions_count = 1};
    struct kafka_produce_request in = {.acks = acks, .timeout_ms = 1000, .topics = &to, .topics_count = 1};
    int32_t correlation = kafka_client_send(by, KAFKA_API_PRODUCE, version, &in);
    buf_free(&batch);
    return correlation;
}

/* The answer's throttle time. */
static int32_t
produced(struct kafka_client *by, int16_t version, int32_t correlation)
{
    const struct kafka_produce_response *out = kafka_client_answer(by, KAFKA_API_PRODUCE, version, correlation);
    CHECK_INT(out->topics[0].partitions[0].error_code, KAFKA_NONE);
    return out->throttle_time_ms;
}

static int64_t
end_of(struct kafka_client *by, const char *topic)
{
    struct kafka_list_offsets_request_partition part = {.current_leader_epoch = -1, .timestamp = -1};
    struct kafka_list_offsets_request_topic to = {.name = cairn_cstr(topic), .partitions = &part, .partitions_count = 1};
    struct kafka_list_offsets_request in = {.replica_id = -1, .topics = &to, .topics_count = 1};
    const struct kafka_list_offsets_response *out = CLIENT_CALL(by, LIST_OFFSETS, list_offsets, 7, &in);
    CHECK_INT(out->topics[0].partitions[0].error_code, KAFKA_NONE);
    return out->topics[0].partitions[0].offset;
}

/* Goal: what is produced beyond the burst is answered at once and says how long the connection waits; the next request is taken up
 *       then and not before, whatever its version and whether or not the client knows. Others on the same loop do not wait.
 * Method: a burst and more, then requests of a client that does not wait by itself; a second connection asks in between. */
TEST(producing_waits_whatever_the_version)
{
    static const int16_t versions[] = {3, 5, 6, 9, 11};
    uint64_t waits = 0, waited_ms = 0;
    int64_t until_ms = 0;
    begin_with((struct kafka_config){.produce_rate = RATE});
    create("rated", 1);
    struct kafka_client other = kafka_client_open(rig.port);
    for (unsigned i = 0; i < 5; i++) {
        int64_t asked_ms = client_now_ms();
        int32_t correlation = send_large(&client, versions[i], -1, "rated", i == 0 ? RATE + RATE / 4 : RATE / 4);
        int64_t end = end_of(&other, "rated");
        if (i > 0 && client_now_ms() < until_ms)
            CHECK_INT(end, i);
        int32_t wait_ms = produced(&client, versions[i], correlation);
        CHECK(client_now_ms() >= until_ms);
        CHECK(wait_ms >= (i == 0 ? 250 : 0) && wait_ms < 270);
        until_ms = (asked_ms > until_ms ? asked_ms : until_ms) + wait_ms - CLOCKS_MS;
        waits += wait_ms > 0;
        waited_ms += (uint64_t)wait_ms;
    }
    CHECK_INT(stats().throttled_total, waits);
    CHECK_INT(stats().throttled_ms_total, waited_ms);
    kafka_client_close(&other);
    finish();
}

/* Goal: what is not acknowledged is counted as well, keeps the connection's other calls waiting, and is done although the client has
 *       gone before its turn came. */
TEST(without_acknowledgement)
{
    begin_with((struct kafka_config){.produce_rate = RATE});
    create("unacknowledged", 1);
    struct kafka_client other = kafka_client_open(rig.port);
    int64_t begun_ms = client_now_ms();
    send_large(&other, 9, 0, "unacknowledged", RATE + RATE / 2);
    CHECK_INT(end_of(&other, "unacknowledged"), 1);
    CHECK(client_now_ms() - begun_ms >= 500 - CLOCKS_MS);
    send_large(&other, 9, 0, "unacknowledged", RATE / 4);
    send_large(&other, 9, 0, "unacknowledged", RATE / 4);
    kafka_client_close(&other);
    CLIENT_AWAIT(end_of(&client, "unacknowledged") == 3);
    finish();
}

/* Goal: a fetch brings what the burst holds and no more, at least one batch, and waits for no more than it could be given; all of it
 *       arrives at the rate. A large batch is not held back for ever.
 * Method: ten batches of a quarter of a second, one of two seconds; a client that asks for a megabyte, and for at least as much. */
TEST(fetching_at_a_rate)
{
    struct fetch_ask ask = {.topic = "fetched", .wait_ms = 8000, .min_bytes = 1 << 20};
    int64_t bytes = 0, begun_ms, last_ms = 0;
    begin_with((struct kafka_config){.fetch_rate = RATE});
    create("fetched", 1);
    for (unsigned i = 0; i < 11; i++)
        CHECK_INT(produced(&client, 9, send_large(&client, 9, -1, "fetched", i < 10 ? RATE / 4 : 2 * RATE)), 0);
    begun_ms = client_now_ms();
    for (unsigned i = 0; ask.offset < 11; i++) {
        const struct kafka_fetch_response *out = kafka_client_answer(&client, KAFKA_API_FETCH, 12, fetch_send(&client, 12, &ask));
        cairn_str got = fetched(&out->topics[0].partitions[0]);
        CHECK_INT(out->topics[0].partitions[0].error_code, KAFKA_NONE);
        CHECK(got.size > 0 && (got.size <= RATE || (ask.offset == 10 && got.size < 2 * RATE + 200)));
        CHECK((i > 0 || out->throttle_time_ms == 0) && out->throttle_time_ms < 2100);
        CHECK(client_now_ms() - begun_ms >= (bytes - (int64_t)RATE) * 1000 / (int64_t)RATE - CLOCKS_MS);
        bytes += (int64_t)got.size;
        last_ms = out->throttle_time_ms;
        ask.offset += check_records(got, ask.offset, NULL);
    }
    CHECK(last_ms > 900);
    CHECK(client_now_ms() - begun_ms < 8000);
    finish();
}

/* Goal: a connection that waits is not read: what its client sends stays with the client, and takes no memory that others need.
 * Method: after an answer with ten seconds' wait as much as the kernel takes of a large request; then many rounds of the same loop. */
TEST(who_waits_is_not_read)
{
    begin_with((struct kafka_config){.produce_rate = 1024});
    create("unread", 1);
    struct kafka_client other = kafka_client_open(rig.port);
    CHECK_INT(produced(&client, 9, send_large(&client, 9, -1, "unread", 16000)), 10000);
    uint64_t before = stats().bytes_in_total;
    char *large = calloc(1, 1 << 20);
    assert_non_null(large);
    memcpy(large, (const char[]){0, 0x10, 0, 0}, 4); /* a megabyte follows */
    CHECK(send(client.fd, large, 1 << 20, MSG_DONTWAIT | MSG_NOSIGNAL) > 100000);
    for (unsigned i = 0; i < 50; i++)
        CHECK_INT(end_of(&other, "unread"), 1);
    CHECK(stats().bytes_in_total - before < 50000);
    CHECK_INT(stats().request_bytes, 0);
    free(large);
    kafka_client_close(&other);
    finish();
}

/* Goal: no wait is longer than ten seconds, and none holds up a stop: what the server has read by then is still answered.
 * Method: fifteen seconds' worth in one request and another one behind it, small enough that one read brings both; then a stop. */
TEST(a_stop_does_not_wait)
{
    begin_with((struct kafka_config){.produce_rate = 1024});
    create("stopped", 1);
    struct buf batches[2] = {large_batch(16000), large_batch(100)};
    struct buf frames = {0};
    for (unsigned i = 0; i < 2; i++) {
        struct kafka_produce_request_partition part = {.records = buf_str(&batches[i])};
        struct kafka_produce_request_topic to = {.name = CAIRN_STR("stopped"), .partitions = &part, .partitions_count = 1};
        struct kafka_produce_request in = {.acks = -1, .timeout_ms = 1000, .topics = &to, .topics_count = 1};
        struct buf frame = kafka_client_frame(&client, KAFKA_API_PRODUCE, 9, &in);
        buf_put(&frames, frame.data, frame.size);
        buf_free(&frame);
        buf_free(&batches[i]);
    }
    kafka_client_send_bytes(&client, frames.data, frames.size);
    buf_free(&frames);
    CHECK_INT(produced(&client, 9, client.correlation - 1), 10000);
    int64_t begun_ms = client_now_ms();
    kafka_rig_stop(&rig);
    CHECK(client_now_ms() - begun_ms < 5000);
    CHECK_INT(produced(&client, 9, client.correlation), 0);
    kafka_client_close(&client);
    test_remove(rig.folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(producing_waits_whatever_the_version),
        RUN(without_acknowledgement),
        RUN(fetching_at_a_rate),
        RUN(who_waits_is_not_read),
        RUN(a_stop_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What topics' settings say is to go leaves the disk, and nobody has to ask for it.
 *
 * Goal: retention.ms, retention.bytes and compaction, as librdkafka's clients set them, give disk space back while the server
 *       runs; what is left is read by its offsets, new offsets go on, values and nulls alike; also after kill -9.
 * Method: a server of its own (rdkafka_rig.h) with small segments, which looks every 100 ms; topics that give up most of what
 *         they get beside one that keeps all; wait for the figures that the server tells and for what a consumer reads. */
#include "rdkafka_server.h"

#define VALUE_SIZE 1000

/* ---- producing and reading ------------------------------------------------------------------------------------------------ */

static void
make_value(char value[VALUE_SIZE], unsigned number)
{
    memset(value, '.', VALUE_SIZE);
    int size = snprintf(value, VALUE_SIZE, "%u", number);
    value[size] = '.';
}

/* A record with the key "k<key>"; number UINT_MAX: without value. */
static void
produce(rd_kafka_t *rk, const char *topic, unsigned key, unsigned number)
{
    bool null = number == UINT_MAX;
    char name[16], value[VALUE_SIZE];
    int size = snprintf(name, sizeof name, "k%u", key);
    make_value(value, number);
    rd_kafka_resp_err_t err;
    do {
        err = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_KEY(name, (size_t)size),
                                RD_KAFKA_V_VALUE(null ? NULL : value, null ? 0 : VALUE_SIZE),
                                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        rd_kafka_poll(rk, err == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 100 : 0);
    } while (err == RD_KAFKA_RESP_ERR__QUEUE_FULL);
    CHECK_RK(err);
}

static void
flush(rd_kafka_t *rk)
{
    CHECK_RK(rd_kafka_flush(rk, RIG_PATIENCE_MS));
    rd_kafka_destroy(rk);
}

/* Every record from the beginning; returns how many. */
static unsigned
read_all(const char *topic, void (*visit)(void *context, const rd_kafka_message_t *message), void *context)
{
    unsigned count = 0;
    int64_t before = -1;
    rd_kafka_t *rk = CONSUMER(&serve, "group.id", "reader", "enable.partition.eof", "true", "auto.offset.reset", "earliest");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    CHECK_RK(rd_kafka_assign(rk, list));
    rd_kafka_topic_partition_list_destroy(list);
    for (;;) {
        rd_kafka_message_t *message = NULL;
        UNTIL(message != NULL, message = rd_kafka_consumer_poll(rk, 100));
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            rd_kafka_message_destroy(message);
            break;
        }
        CHECK_RK(message->err);
        CHECK(message->offset > before);
        before = message->offset;
        visit(context, message);
        count++;
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return count;
}

static unsigned
key_of(const rd_kafka_message_t *message)
{
    char text[16];
    snprintf(text, sizeof text, "%.*s", (int)message->key_len, (const char *)message->key);
    CHECK(text[0] == 'k');
    return (unsigned)strtoul(text + 1, NULL, 10);
}

/* Records that were produced as number 0, 1, 2 … of keys that go round. */
struct row {
    unsigned keys;
    int64_t first, last; /* offsets; first -1: none yet */
};

static void
check_row(void *context, const rd_kafka_message_t *message)
{
    struct row *row = context;
    char value[VALUE_SIZE];
    make_value(value, (unsigned)message->offset);
    CHECK(message->len == VALUE_SIZE && memcmp(message->payload, value, VALUE_SIZE) == 0);
    CHECK_INT(key_of(message), (unsigned)message->offset % row->keys);
    if (row->first < 0)
        row->first = message->offset;
    else
        CHECK_INT(message->offset, row->last + 1); /* no gap */
    row->last = message->offset;
}

static int64_t
low_offset(const char *topic)
{
    int64_t low, high;
    CHECK_RK(rd_kafka_query_watermark_offsets(admin, topic, 0, &low, &high, RIG_PATIENCE_MS));
    return low;
}

/* A figure of /v1/stats. */
static uint64_t
figure(const char *name)
{
    uint64_t number = 0;
    struct reply reply = client_call(serve.url, "GET", "/v1/stats", NULL, (cairn_str){0});
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    CHECK_INT(reply.status, 200);
    const char *at = strstr(reply.body.data, quoted);
    assert_non_null(at);
    number = strtoull(at + strlen(quoted), NULL, 10);
    reply_free(&reply);
    return number;
}

static bool
server_says(const char *path, const char *text)
{
    struct reply reply = client_call(serve.url, "GET", path, NULL, (cairn_str){0});
    bool says = reply.status == 200 && strstr(reply.body.data, text) != NULL;
    reply_free(&reply);
    return says;
}

/* ---- retention ------------------------------------------------------------------------------------------------------------ */

#define ROUNDS 3000

/* Of what was produced, "kept" has all, "few" the newest without a gap, "old" nothing. */
static void
check_topics(unsigned count)
{
    struct row kept = {.keys = 50, .first = -1}, few = kept;
    CHECK_INT(read_all("kept", check_row, &kept), count);
    CHECK_INT(kept.first, 0);
    unsigned left = read_all("few", check_row, &few);
    CHECK(left >= 95 && left < 500);
    CHECK_INT(few.last, count - 1);
    CHECK_INT(rig_end_offset(admin, "old", 0), count);
}

TEST(retention_gives_space_back)
{
    rig_make_topic(admin, "kept", 1);
    rig_make_topic_with(admin, "few", 1, SETTINGS("retention.bytes", "100000", "segment.bytes", "100000"));
    rig_make_topic_with(admin, "old", 1, SETTINGS("retention.ms", "1000", "segment.ms", "500"));
    static const char *const names[] = {"kept", "few", "old"};
    rd_kafka_t *rk = PRODUCER(&serve, "enable.idempotence", "true", "batch.size", "20000");
    for (unsigned i = 0; i < ROUNDS; i++)
        for (size_t t = 0; t < 3; t++)
            produce(rk, names[t], i % 50, i);
    flush(rk);
    AWAIT(low_offset("old") == ROUNDS);
    /* Nine megabytes came, three are to stay; a quarter of a segment may be left, and the newest is as it is. */
    AWAIT(figure("log_bytes") < 6000000);
    CHECK(figure("scavenged_bytes_total") > 3000000);
    CHECK(server_says("/metrics", "\ncairn_scavenged_bytes_total "));
    CHECK(server_says("/metrics", "\ncairn_scavenge_failed 0"));
    check_topics(ROUNDS);

    serve_kill(&serve);
    serve_start(&serve);
    check_topics(ROUNDS);
    rk = PRODUCER(&serve);
    for (unsigned i = ROUNDS; i < ROUNDS + 100; i++)
        for (size_t t = 0; t < 3; t++)
            produce(rk, names[t], i % 50, i);
    flush(rk);
    check_topics(ROUNDS + 100);
}

/* ---- compaction ----------------------------------------------------------------------------------------------------------- */

#define TABLE_KEYS 100 /* the lower half gets a null after TABLE_ROUNDS, and the upper half as many rounds again */
#define TABLE_ROUNDS 40

struct table {
    unsigned newest[TABLE_KEYS]; /* number; UINT_MAX: null; 0: there is none */
};

static void
note_table(void *context, const rd_kafka_message_t *message)
{
    struct table *table = context;
    unsigned key = key_of(message);
    CHECK(key < TABLE_KEYS);
    table->newest[key] = message->payload == NULL ? UINT_MAX : (unsigned)strtoul(message->payload, NULL, 10);
}

/* What a consumer makes of it from the beginning is right; the lower half may be gone or null, but no value. */
static bool
lower_half_is_gone(void)
{
    struct table table = {{0}};
    bool gone = true;
    (void)read_all("table", note_table, &table);
    for (unsigned key = 0; key < TABLE_KEYS; key++) {
        if (key >= TABLE_KEYS / 2)
            CHECK_INT(table.newest[key], 2 * TABLE_ROUNDS);
        else
            CHECK(table.newest[key] == 0 || table.newest[key] == UINT_MAX);
        gone = gone && (key >= TABLE_KEYS / 2 || table.newest[key] == 0);
    }
    return gone;
}

TEST(compaction_gives_space_back)
{
    rig_make_topic_with(admin, "table", 1, SETTINGS("cleanup.policy", "compact", "delete.retention.ms", "2000", "min.cleanable.dirty.ratio", "0.1"));
    rd_kafka_t *rk = PRODUCER(&serve, "batch.size", "20000");
    unsigned produced = TABLE_ROUNDS * TABLE_KEYS + TABLE_KEYS / 2 + TABLE_ROUNDS * TABLE_KEYS / 2;
    for (unsigned round = 1; round <= TABLE_ROUNDS; round++)
        for (unsigned key = 0; key < TABLE_KEYS; key++)
            produce(rk, "table", key, round);
    for (unsigned key = 0; key < TABLE_KEYS / 2; key++)
        produce(rk, "table", key, UINT_MAX);
    for (unsigned round = TABLE_ROUNDS + 1; round <= 2 * TABLE_ROUNDS; round++)
        for (unsigned key = TABLE_KEYS / 2; key < TABLE_KEYS; key++)
            produce(rk, "table", key, round);
    flush(rk);
    serve_kill(&serve); /* in the middle of it */
    serve_start(&serve);
    AWAIT(lower_half_is_gone());
    AWAIT(figure("log_bytes") < 7000000); /* of twelve megabytes */
    struct table table = {{0}};
    CHECK(read_all("table", note_table, &table) < produced / 3);
    CHECK_INT(rig_end_offset(admin, "table", 0), produced);

    rk = PRODUCER(&serve);
    produce(rk, "table", 1, 7);
    flush(rk);
    CHECK_INT(rig_end_offset(admin, "table", 0), produced + 1);
    (void)read_all("table", note_table, &table);
    CHECK_INT(table.newest[1], 7);
    CHECK(server_says("/v1/streams/table-k1/events", "\"revision\":41"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(retention_gives_space_back),
        RUN(compaction_gives_space_back),
    };
    setenv("CAIRN_LOG_SEGMENT_SIZE", "1MiB", 1);
    setenv("CAIRN_LOG_SCAVENGE_INTERVAL", "100ms", 1);
    return cmocka_run_group_tests(tests, server_begin, server_end);
}

/* tests/kafka_calls.h: the calls that several tests make: create, produce, fetch, ask for offsets. One server and one client, of
 * the test program that includes this. */
#ifndef TESTS_KAFKA_CALLS_H
#define TESTS_KAFKA_CALLS_H

#include "kafka_rig.h"

#include <base/text.h>
#include <batch/batch.h>

static struct kafka_rig rig;
static struct kafka_client client;

static inline int
setup(void **state)
{
    (void)state;
    kafka_rig_open(&rig, (struct kafka_config){.loops = 2}, NULL);
    client = kafka_client_open(rig.port);
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    kafka_client_close(&client);
    kafka_rig_close(&rig);
    return 0;
}

/* ---- short ways ---------------------------------------------------------------------------------------------------------- */

static inline void
create(const char *name, int partitions)
{
    struct kafka_create_topics_request_topic topic = {
        .name = cairn_cstr(name), .num_partitions = partitions, .replication_factor = 1};
    struct kafka_create_topics_request in = {.topics = &topic, .topics_count = 1};
    const struct kafka_create_topics_response *out = CLIENT_CALL(&client, CREATE_TOPICS, create_topics, 7, &in);
    CHECK_INT(out->topics_count, 1);
    CHECK_INT(out->topics[0].error_code, KAFKA_NONE);
    CHECK_INT(out->topics[0].num_partitions, partitions);
    CHECK(!uuid_is_zero(out->topics[0].topic_id));
}

/* A batch of `count` records "<text><i>" with key "k"; the caller's, buf_free(). */
static inline struct buf
batch_of(const char *text, unsigned count, enum batch_codec codec)
{
    struct batch_maker maker = {0};
    batch_make_begin(&maker);
    for (unsigned i = 0; i < count; i++) {
        char value[64];
        snprintf(value, sizeof value, "%s%u", text, i);
        CHECK(batch_make_add(&maker, i, 1700000000000 + i, &CAIRN_STR("k"), &(cairn_str){value, strlen(value)}, NULL, 0));
    }
    CHECK(batch_make_end(&maker, codec, 0, count - 1));
    struct buf out = maker.out;
    maker.out = (struct buf){0};
    batch_make_free(&maker);
    return out;
}

/* Produce bytes; the partition of the answer, until the next call. */
static inline const struct kafka_produce_response_partition *
produce_bytes(struct kafka_client *by, const char *topic, int32_t partition, cairn_str bytes, int16_t acks, cairn_str transaction)
{
    struct kafka_produce_request_partition part = {.index = partition, .records = bytes};
    struct kafka_produce_request_topic to = {.name = cairn_cstr(topic), .partitions = &part, .partitions_count = 1};
    struct kafka_produce_request in = {
        .transactional_id = transaction, .acks = acks, .timeout_ms = 1000, .topics = &to, .topics_count = 1};
    const struct kafka_produce_response *out = CLIENT_CALL(by, PRODUCE, produce, 9, &in);
    CHECK_INT(out->topics_count, 1);
    CHECK_INT(out->topics[0].partitions_count, 1);
    CHECK_INT(out->topics[0].partitions[0].index, partition);
    return &out->topics[0].partitions[0];
}

static inline int64_t
produce(const char *topic, int32_t partition, const char *text, unsigned count)
{
    struct buf batch = batch_of(text, count, BATCH_PLAIN);
    const struct kafka_produce_response_partition *out =
        produce_bytes(&client, topic, partition, buf_str(&batch), -1, (cairn_str){0});
    buf_free(&batch);
    CHECK_INT(out->error_code, KAFKA_NONE);
    CHECK(out->error_message.data == NULL);
    return out->base_offset;
}

struct fetch_ask {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int32_t wait_ms, min_bytes, max_bytes, partition_max_bytes;
};

static inline int32_t
fetch_send(struct kafka_client *by, int16_t version, const struct fetch_ask *ask)
{
    struct kafka_fetch_request_partition part = {
        .partition = ask->partition,
        .current_leader_epoch = -1,
        .fetch_offset = ask->offset,
        .last_fetched_epoch = -1,
        .log_start_offset = -1,
        .partition_max_bytes = ask->partition_max_bytes ? ask->partition_max_bytes : 1 << 20,
    };
    struct kafka_fetch_request_topic topic = {.topic = cairn_cstr(ask->topic), .partitions = &part, .partitions_count = 1};
    struct kafka_fetch_request in = {
        .replica_id = -1,
        .max_wait_ms = ask->wait_ms,
        .min_bytes = ask->min_bytes ? ask->min_bytes : 1,
        .max_bytes = ask->max_bytes ? ask->max_bytes : 1 << 20,
        .session_epoch = -1,
        .topics = &topic,
        .topics_count = 1,
    };
    return kafka_client_send(by, KAFKA_API_FETCH, version, &in);
}

static inline const struct kafka_fetch_response_partition *
fetch_take(struct kafka_client *by, int16_t version, int32_t correlation)
{
    const struct kafka_fetch_response *out = kafka_client_answer(by, KAFKA_API_FETCH, version, correlation);
    CHECK_INT(out->error_code, KAFKA_NONE);
    CHECK_INT(out->session_id, 0);
    CHECK_INT(out->topics_count, 1);
    CHECK_INT(out->topics[0].partitions_count, 1);
    return &out->topics[0].partitions[0];
}

static inline const struct kafka_fetch_response_partition *
fetch(struct fetch_ask ask)
{
    return fetch_take(&client, 12, fetch_send(&client, 12, &ask));
}

/* The bytes that were fetched: the reader gives pieces as one. */
static inline cairn_str
fetched(const struct kafka_fetch_response_partition *part)
{
    CHECK(part->records.count <= 1);
    return part->records.count ? part->records.items[0].bytes : (cairn_str){0};
}

/* Walk the batches of what was fetched; how many records. Offsets go on from `first`. */
static inline unsigned
check_records(cairn_str bytes, int64_t first, const char *ret_value_of_first)
{
    struct batch_cursor cursor = {0};
    struct batch_record record;
    unsigned count = 0;
    while (bytes.size > 0) {
        struct batch_head head;
        CHECK(batch_head_read(bytes, &head) == NULL);
        CHECK(batch_crc_holds(bytes));
        CHECK_INT(head.base_offset, first + count);
        CHECK_INT(head.leader_epoch, 0);
        CHECK(batch_open(&cursor, (cairn_str){bytes.data, head.size}) == NULL);
        while (batch_next(&cursor, &record)) {
            if (count++ == 0 && ret_value_of_first)
                CHECK(cairn_str_equal(record.value, cairn_cstr(ret_value_of_first)));
        }
        CHECK(cursor.fault == NULL);
        bytes.data += head.size;
        bytes.size -= head.size;
    }
    batch_close(&cursor);
    return count;
}

static inline int64_t
offset_at(const char *topic, int64_t timestamp)
{
    struct kafka_list_offsets_request_partition part = {.current_leader_epoch = -1, .timestamp = timestamp};
    struct kafka_list_offsets_request_topic to = {.name = cairn_cstr(topic), .partitions = &part, .partitions_count = 1};
    struct kafka_list_offsets_request in = {.replica_id = -1, .topics = &to, .topics_count = 1};
    const struct kafka_list_offsets_response *out = CLIENT_CALL(&client, LIST_OFFSETS, list_offsets, 7, &in);
    CHECK_INT(out->topics[0].partitions[0].error_code, KAFKA_NONE);
    return out->topics[0].partitions[0].offset;
}

static inline struct producer
init_producer(const char *transactional_id)
{
    struct kafka_init_producer_id_request in = {.transactional_id = transactional_id ? cairn_cstr(transactional_id) : (cairn_str){0},
                                                .transaction_timeout_ms = 60000, .producer_id = -1, .producer_epoch = -1};
    const struct kafka_init_producer_id_response *out = CLIENT_CALL(&client, INIT_PRODUCER_ID, init_producer_id, 4, &in);
    CHECK_INT(out->error_code, KAFKA_NONE);
    return (struct producer){out->producer_id, out->producer_epoch};
}

#endif

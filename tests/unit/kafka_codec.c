/* The codec against what Kafka's clients really send, and against bytes that were made to mislead it. */
#include "test.h"
#include "kafka_frames.h"

#include <proto/kafka/codec.h>

#define FRAME_MAX 1024
#define FRAMES (sizeof kafka_frames / sizeof kafka_frames[0])

static cairn_str
from_hex(const char *hex, char to[FRAME_MAX])
{
    size_t size = strlen(hex) / 2;
    CHECK(size <= FRAME_MAX);
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        CHECK_INT(sscanf(hex + 2 * i, "%2x", &byte), 1);
        to[i] = (char)byte;
    }
    return (cairn_str){to, size};
}

/* librdkafka before 2.1 ends some requests of flexible versions with a byte too many; a server reads over it, as Kafka does. */
static size_t
surplus_of(const struct kafka_frame *frame)
{
    return strcmp(frame->client, "librdkafka 2.0.2") == 0 && strcmp(frame->message, "ListGroups") == 0;
}

/* Goal: requests of real clients are understood to their last byte, and written as they wrote them.
 * Method: read the recorded frames, write them again, compare. */
TEST(requests_of_real_clients_are_understood)
{
    char bytes[FRAME_MAX];
    for (size_t i = 0; i < FRAMES; i++) {
        struct arena arena = {0};
        struct kafka_out out = {0};
        struct kafka_header header;
        struct kafka_fault fault;
        size_t used = 0;
        cairn_str frame = from_hex(kafka_frames[i].hex, bytes);
        CHECK_INT(kafka_read_header(frame, &header, &fault), KAFKA_HEADER_FINE);
        const struct kafka_message *message = kafka_message_of(header.key);
        CHECK_STR(message->name, kafka_frames[i].message);
        CHECK_INT(header.version, kafka_frames[i].version);
        bool flexible = kafka_is_flexible(message, header.version);
        cairn_str body = {frame.data + header.size, frame.size - header.size};
        void *request = arena_alloc(&arena, message->request->size);
        cairn_err err = kafka_read(body, message->request, header.version, flexible, &arena, request, &used, &fault);
        if (err != CAIRN_OK || used + surplus_of(&kafka_frames[i]) != body.size)
            fail_msg("%s, %s %d: %s at %s; %zu of %zu bytes", kafka_frames[i].client, message->name, header.version,
                     fault.what, fault.where, used, body.size);
        CHECK_OK(kafka_write_request(&out, message, header.version, header.correlation, header.client_id, request));
        CHECK_INT(out.bytes.size, 4 + header.size + used);
        if (memcmp(out.bytes.data + 4, frame.data, header.size + used) != 0)
            fail_msg("%s, %s %d is written otherwise", kafka_frames[i].client, message->name, header.version);
        kafka_out_free(&out);
        arena_free(&arena);
    }
}

static const struct kafka_frame *
find_frame(const char *client, const char *message, int version)
{
    for (size_t i = 0; i < FRAMES; i++)
        if (strcmp(kafka_frames[i].message, message) == 0 && kafka_frames[i].version == version &&
            strncmp(kafka_frames[i].client, client, strlen(client)) == 0)
            return &kafka_frames[i];
    fail_msg("no frame of %s %d by %s", message, version, client);
    return NULL;
}

static void
read_frame(const char *client, int16_t key, int version, char bytes[FRAME_MAX], struct arena *arena, void *to)
{
    struct kafka_header header;
    struct kafka_fault fault;
    const struct kafka_message *message = kafka_message_of(key);
    cairn_str frame = from_hex(find_frame(client, message->name, version)->hex, bytes);
    CHECK_INT(kafka_read_header(frame, &header, &fault), KAFKA_HEADER_FINE);
    CHECK_OK(kafka_read((cairn_str){frame.data + header.size, frame.size - header.size}, message->request, header.version,
                        kafka_is_flexible(message, header.version), arena, to, NULL, &fault));
}

/* Goal: the fields are where they belong. Method: look at what the recorded programs are known to have asked. */
TEST(fields_are_where_they_belong)
{
    char bytes[FRAME_MAX];
    struct arena arena = {0};
    struct kafka_produce_request produce;
    struct kafka_create_topics_request create;
    struct kafka_fetch_request fetch;
    struct kafka_consumer_group_heartbeat_request beat;

    read_frame("librdkafka 2.16", KAFKA_API_PRODUCE, 10, bytes, &arena, &produce);
    CHECK_INT(produce.acks, -1);
    CHECK_INT(produce.topics_count, 1);
    CHECK(cairn_str_equal(produce.topics[0].name, CAIRN_STR("greetings")));
    CHECK_INT(produce.topics[0].partitions_count, 1);
    CHECK_INT(produce.topics[0].partitions[0].index, 0);
    CHECK(produce.topics[0].partitions[0].records.size > 61);
    CHECK_INT(produce.topics[0].partitions[0].records.data[16], 2); /* the batch's format */
    CHECK(produce.transactional_id.data == NULL);

    read_frame("kafkajs", KAFKA_API_CREATE_TOPICS, 3, bytes, &arena, &create);
    CHECK(cairn_str_equal(create.topics[0].name, CAIRN_STR("n")));
    CHECK_INT(create.topics[0].num_partitions, 3);
    CHECK_INT(create.topics[0].replication_factor, 1);
    CHECK(cairn_str_equal(create.topics[0].configs[0].name, CAIRN_STR("retention.ms")));
    CHECK(cairn_str_equal(create.topics[0].configs[0].value, CAIRN_STR("1000")));
    CHECK(!create.validate_only);

    read_frame("", KAFKA_API_FETCH, 11, bytes, &arena, &fetch);
    CHECK_INT(fetch.replica_id, -1);
    CHECK_INT(fetch.min_bytes, 1);
    CHECK(cairn_str_equal(fetch.topics[0].topic, CAIRN_STR("greetings")));

    read_frame("librdkafka 2.16", KAFKA_API_CONSUMER_GROUP_HEARTBEAT, 1, bytes, &arena, &beat);
    CHECK(cairn_str_equal(beat.group_id, CAIRN_STR("new")));
    CHECK_INT(beat.member_id.size, 22); /* a UUID in base 64 */
    arena_free(&arena);
}

/* Goal: a few bytes cannot ask for much memory. Method: counts that no rest of a message could hold, and one that could, in an
 * arena too small for it. */
TEST(counts_are_checked_before_memory_is_taken)
{
    static const struct {
        int16_t key, version;
        const char *bytes;
        size_t size;
    } lies[] = {
        {KAFKA_API_METADATA, 1, "\x7F\xFF\xFF\xFF", 4},
        {KAFKA_API_METADATA, 1, "\x00\x00\x00\x05\0\1a\0\1b", 10}, /* five topics in six bytes */
        {KAFKA_API_METADATA, 9, "\xFF\xFF\xFF\xFF\x0F", 5},
        {KAFKA_API_METADATA, 9, "\xFF\xFF\xFF\xFF\x7F", 5},        /* more than 32 bits */
        {KAFKA_API_METADATA, 9, "\xFF\xFF\xFF\xFF\xFF\xFF", 6},
        {KAFKA_API_METADATA, 0, "\xFF\xFF\xFF\xFF", 4},            /* null, not yet allowed */
        {KAFKA_API_METADATA, 1, "\xFF\xFF\xFF\xFE", 4},
        {KAFKA_API_DESCRIBE_GROUPS, 5, "\x05\1\1\1", 4},
        {KAFKA_API_SASL_AUTHENTICATE, 1, "\xFF\xFF\xFF\xFF", 4},
        {KAFKA_API_SASL_AUTHENTICATE, 2, "\xF0\xFF\xFF\xFF\x07" "a", 6},
        {KAFKA_API_API_VERSIONS, 3, "\2a\2b\xFF\xFF\xFF\xFF\x0F", 9},
        {KAFKA_API_API_VERSIONS, 3, "\2a\2b\1\0\x05" "abc", 10},
        {KAFKA_API_FETCH, 12, "\xFF\xFF\xFF\xFF\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\0\0\1\1\1\1\0\3\2a\0", 34},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct arena arena = {.size_max = 8192};
        struct kafka_fault fault;
        char to[256];
        const struct kafka_message *message = kafka_message_of(lies[i].key);
        CHECK(message->request->size <= sizeof to);
        cairn_err err = kafka_read((cairn_str){lies[i].bytes, lies[i].size}, message->request, lies[i].version,
                                   kafka_is_flexible(message, lies[i].version), &arena, to, NULL, &fault);
        if (err != CAIRN_E_INVALID || !fault.what)
            fail_msg("lie %zu: %s", i, cairn_err_name(err));
        CHECK(arena.used_bytes <= 8192);
        arena_free(&arena);
    }
    static char empty_names[4 + 2 * 5000] = "\0\0\x13\x88";
    struct arena arena = {.size_max = 8192};
    struct kafka_fault fault;
    struct kafka_metadata_request metadata;
    CHECK_INT(kafka_read((cairn_str){empty_names, sizeof empty_names}, &kafka_metadata_request_table, 1, false, &arena, &metadata,
                         NULL, &fault), CAIRN_E_NOMEM);
    CHECK(fault.what == NULL);
    arena_free(&arena);
}

/* Goal: a text too long for its form is refused, not cut. */
TEST(what_cannot_be_said_is_not_written)
{
    static char text[40000];
    struct kafka_out out = {0};
    struct kafka_sasl_authenticate_response answer = {.error_message = {text, sizeof text}};
    const struct kafka_message *message = kafka_message_of(KAFKA_API_SASL_AUTHENTICATE);
    CHECK_INT(kafka_write_response(&out, message, 1, 0, &answer), CAIRN_E_LIMIT);
    kafka_out_clear(&out);
    CHECK_OK(kafka_write_response(&out, message, 2, 0, &answer));
    kafka_out_free(&out);
}

/* Goal: the tables hold together. Method: look through them as the codec does. */
/* Goal: lists that share their items cannot make an answer of any size. Method: one list of 100,000 partitions in each of 1,000
 * topics is 3 GB; writing stops near the bound. */
TEST(an_answer_has_a_bound)
{
    enum { PARTITIONS = 100000, TOPICS = 1000 };
    const struct kafka_message *message = kafka_message_of(KAFKA_API_METADATA);
    struct kafka_metadata_response_partition *partitions = calloc(PARTITIONS, sizeof *partitions);
    struct kafka_metadata_response_topic *topics = calloc(TOPICS, sizeof *topics);
    struct kafka_out out = {.piece_bytes = 0};
    CHECK(partitions && topics);
    for (int i = 0; i < TOPICS; i++) {
        topics[i].partitions = partitions;
        topics[i].partitions_count = PARTITIONS;
    }
    struct kafka_metadata_response answer = {.topics = topics, .topics_count = TOPICS};
    CHECK_INT(kafka_write_response(&out, message, 9, 0, &answer), CAIRN_E_LIMIT);
    CHECK(out.bytes.size > KAFKA_OUT_MAX && out.bytes.size < KAFKA_OUT_MAX + 1000);
    kafka_out_clear(&out);
    answer.topics_count = 20;
    CHECK_OK(kafka_write_response(&out, message, 9, 0, &answer));
    kafka_out_free(&out);
    free(topics);
    free(partitions);
}

TEST(tables_are_sound)
{
    for (int16_t key = 0; key < KAFKA_KEYS; key++) {
        const struct kafka_message *message = kafka_message_of(key);
        if (!message)
            continue;
        CHECK_INT(message->key, key);
        CHECK(message->advertised <= message->first && message->first <= message->last);
        for (int side = 0; side < 2; side++) {
            const struct kafka_struct *table = side ? message->response : message->request;
            for (uint32_t i = 0; i < table->field_count; i++) {
                const struct kafka_field *field = &table->fields[i];
                CHECK(field->first <= field->last);
                CHECK(field->tag < 0 || field->first >= message->flexible);
                CHECK((size_t)field->offset + (field->list ? sizeof(void *) : kafka_size_of(field)) <= table->size);
                CHECK((field->kind == KAFKA_STRUCT) == (field->of != NULL));
            }
        }
    }
    CHECK(kafka_message_of(-1) == NULL);
    CHECK(kafka_message_of(KAFKA_KEYS) == NULL);
    CHECK(kafka_message_of(4) == NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(requests_of_real_clients_are_understood),
        RUN(fields_are_where_they_belong),
        RUN(counts_are_checked_before_memory_is_taken),
        RUN(what_cannot_be_said_is_not_written),
        RUN(an_answer_has_a_bound),
        RUN(tables_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

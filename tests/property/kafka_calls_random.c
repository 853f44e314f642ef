/* Goal: whatever a client asks, in whatever order, it gets a well-formed answer to that question or a closed connection; and the
 * server serves the next one as before.
 * Method: requests made at random by the tables, of every message and version, whose names, numbers and batches are often enough
 * those of things that are there; several connections, some of which go without waiting. At the end an ordinary client works, and
 * the server stops without a leak. */
#include "kafka_calls.h"

#define CONNECTIONS 4
#define ROUNDS 1500
#define ITEMS_MAX 3

static uint64_t seed;
static struct arena arena;
static struct buf batches[3];

static size_t
below(size_t bound)
{
    return test_random(&seed) % bound;
}

static cairn_str
some_text(void)
{
    static const char *const known[] = {"one", "two", "three", "group-a", "group-b", "member", "range", "consumer", "tx", "uniform",
                                        "PLAIN", "retention.ms", "1000", "compact", "cleanup.policy", "User:ann", "*", "1",
                                        "kafka-cluster", "Ongoing", "Stable", ""};
    size_t which = below(sizeof known / sizeof *known + 1);
    if (which < sizeof known / sizeof *known)
        return cairn_cstr(known[which]);
    size_t size = below(300);
    char *data = arena_alloc(&arena, size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)test_random(&seed);
    return (cairn_str){data, size};
}

static uint64_t
some_number(const char *name)
{
    static const int64_t known[] = {0, 1, 2, 3, 4, 5, -1, -2, 10, 100, 4096, 30000, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    if (strcmp(name, "max_wait_ms") == 0 || strcmp(name, "acks") == 0)
        return (uint64_t)(int64_t)below(3) - 1;
    if (strcmp(name, "num_partitions") == 0 || strcmp(name, "count") == 0)
        return below(8);
    return below(6) ? (uint64_t)known[below(sizeof known / sizeof *known)] : test_random(&seed);
}

static void fill(const struct kafka_struct *table, int16_t version, char *to);

static void
fill_scalar(const struct kafka_field *field, bool nullable, char *to)
{
    uint64_t number = some_number(field->name);
    cairn_str text = nullable && below(4) == 0 ? (cairn_str){0} : some_text();
    const struct buf *batch = &batches[below(3)];
    cairn_uuid id = {{0}};
    cairn_topic_ref *ref;
    switch ((enum kafka_kind)field->kind) {
    case KAFKA_BOOL:
        *to = number & 1;
        return;
    case KAFKA_UUID:
        if (below(2) && cairn_topic_get(rig.store, 0, CAIRN_STR("one"), &ref, NULL) == CAIRN_OK) {
            id = cairn_topic_of(ref)->id;
            cairn_topic_release(ref);
        }
        memcpy(to, &id, sizeof id);
        return;
    case KAFKA_RECORDS:
        if (below(4)) {
            cairn_str copy = arena_copy(&arena, buf_str(batch));
            if (below(3) == 0)
                ((char *)(uintptr_t)copy.data)[below(copy.size)] ^= 1;
            text = (cairn_str){copy.data, below(4) ? copy.size : below(copy.size)};
        }
        memcpy(to, &text, sizeof text);
        return;
    case KAFKA_STRING: case KAFKA_BYTES:
        memcpy(to, &text, sizeof text);
        return;
    default:
        memcpy(to, &number, kafka_size_of(field));
    }
}

static void
fill(const struct kafka_struct *table, int16_t version, char *to)
{
    memset(to, 0, table->size);
    for (uint32_t i = 0; i < table->field_count; i++) {
        const struct kafka_field *field = &table->fields[i];
        if (field->list) {
            int32_t count = version >= field->null_from && below(3) == 0 ? -1 : (int32_t)below(ITEMS_MAX + 1);
            size_t size = kafka_size_of(field);
            char *items = count > 0 ? arena_zalloc(&arena, (size_t)count * size) : NULL;
            for (int32_t n = 0; n < count; n++)
                if (field->kind == KAFKA_STRUCT)
                    fill(field->of, version, items + (size_t)n * size);
                else
                    fill_scalar(field, false, items + (size_t)n * size);
            memcpy(to + field->offset, &items, sizeof items);
            memcpy(to + field->beside, &count, sizeof count);
        } else if (field->kind == KAFKA_STRUCT) {
            bool optional = field->null_from != KAFKA_NEVER;
            if (optional)
                to[field->beside] = below(2) != 0;
            if (!optional || to[field->beside])
                fill(field->of, version, to + field->offset);
        } else
            fill_scalar(field, version >= field->null_from, to + field->offset);
    }
}

/* Is there an answer, or the end of the connection, within this time? */
static bool
comes(struct kafka_client *one, int timeout_ms)
{
    struct pollfd ready = {one->fd, POLLIN, 0};
    return poll(&ready, 1, timeout_ms) > 0;
}

/* Ask something. False: the connection is of no more use. */
static bool
ask(struct kafka_client *one)
{
    const struct kafka_message *message = NULL;
    while (!message)
        message = kafka_message_of((int16_t)below(KAFKA_KEYS));
    int16_t version = (int16_t)(message->first + (int)below((size_t)(message->last - message->first) + 1));
    struct kafka_fault fault = {0};
    int32_t correlation;
    arena_reset(&arena);
    char *request = arena_alloc(&arena, message->request->size);
    fill(message->request, version, request);
    struct kafka_out out = {0};
    if (kafka_write_request(&out, message, version, ++one->correlation, CAIRN_STR("test"), request) != CAIRN_OK) {
        kafka_out_free(&out);
        return true; /* too long for the wire */
    }
    ssize_t sent = send(one->fd, out.bytes.data, out.bytes.size, MSG_NOSIGNAL);
    bool whole = sent == (ssize_t)out.bytes.size;
    kafka_out_free(&out);
    if (!whole || below(20) == 0) /* gone without waiting */
        return false;
    if (message->key == KAFKA_API_PRODUCE && ((struct kafka_produce_request *)(void *)request)->acks == 0)
        return !comes(one, 0);
    bool may_wait = message->key == KAFKA_API_JOIN_GROUP || message->key == KAFKA_API_SYNC_GROUP;
    if (!comes(one, may_wait ? 60 : 10000)) {
        if (!may_wait)
            fail_msg("no answer to %s %d", message->name, version);
        return false;
    }
    if (!kafka_client_take(one))
        return false;
    arena_reset(&one->arena);
    void *response = arena_alloc(&one->arena, message->response->size);
    cairn_err err = kafka_read_response(buf_str(&one->answer), message, version, &one->arena, &correlation, response, &fault);
    if (err != CAIRN_OK || correlation != one->correlation)
        fail_msg("answer to %s %d: %s at %s", message->name, version, fault.what, fault.where);
    return true;
}

TEST(anything_asked)
{
    struct kafka_client connections[CONNECTIONS];
    unsigned answered = 0, rounds = ROUNDS * test_scale();
    seed = test_seed();
    batches[0] = batch_of("plain", 3, BATCH_PLAIN);
    batches[1] = batch_of("zipped", 30, BATCH_ZSTD);
    batches[2] = batch_of("one", 1, BATCH_SNAPPY);
    for (int i = 0; i < CONNECTIONS; i++)
        connections[i] = kafka_client_open(rig.port);
    for (unsigned i = 0; i < rounds; i++) {
        struct kafka_client *one = &connections[below(CONNECTIONS)];
        if (i % 100 == 0) { /* there are such topics most of the time */
            const char *const names[] = {"one", "two", "three"};
            struct kafka_metadata_request_topic topics[3] = {0};
            for (int n = 0; n < 3; n++)
                topics[n].name = cairn_cstr(names[n]);
            struct kafka_metadata_request in = {.topics = topics, .topics_count = 3, .allow_auto_topic_creation = true};
            CHECK_INT(CLIENT_CALL(&client, METADATA, metadata, 9, &in)->topics_count, 3);
        }
        if (ask(one))
            answered++;
        else {
            kafka_client_close(one);
            *one = kafka_client_open(rig.port);
        }
    }
    printf("%u of %u answered\n", answered, rounds);
    CHECK(answered > rounds / 2);
    for (int i = 0; i < CONNECTIONS; i++)
        kafka_client_close(&connections[i]);
    create("afterwards", 1);
    CHECK_INT(produce("afterwards", 0, "v", 3), 0);
    CHECK_INT(check_records(fetched(fetch((struct fetch_ask){.topic = "afterwards"})), 0, "v0"), 3);
    CHECK_INT(offset_at("afterwards", -1), 3);
    for (int i = 0; i < 3; i++)
        buf_free(&batches[i]);
    arena_free(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(anything_asked)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

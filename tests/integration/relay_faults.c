/* Relays when single calls of librdkafka go wrong, or never end.
 *
 * Goal: whatever one call answers, nothing is lost, doubled or held up: each test has its own.
 * Method: a store with relays in this process, a server of its own as the Kafka (rdkafka_rig.h), and librdkafka's functions in between:
 *         those below stand before the library's own, and do as the test wants. */
#include "rdkafka_rig.h"

#include <base/text.h>
#include <batch/batch.h>
#include <bus/relay_int.h>
#include <dlfcn.h>

static struct serve serve;
static char folder[64];
static cairn_store *store;
static struct relays *relays;
static rd_kafka_t *producer;

/* ---- what stands before librdkafka ------------------------------------------------------------------------------------------- */

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The next batch consumed begins with a fault of partition 0 and has a record; how many messages to gather for each; 0: as they come. */
static atomic_bool fault_first;
static atomic_int gather;
static rd_kafka_message_t fault = {.err = RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, .partition = 0};

ssize_t
rd_kafka_consume_batch_queue(rd_kafka_queue_t *queue, int timeout_ms, rd_kafka_message_t **messages, size_t size)
{
    if (size == 1 && atomic_load(&fault_first)) {
        messages[0] = &fault;
        return 1;
    }
    const bool after_fault = atomic_exchange(&fault_first, false);
    const ssize_t wanted = after_fault ? 1 : size > 1 ? atomic_load(&gather) - 1 : 0;
    ssize_t got = REAL(rd_kafka_consume_batch_queue)(queue, timeout_ms, messages, size);
    for (int64_t until = rig_now_ms() + RIG_PATIENCE_MS; got >= 0 && got < wanted && rig_now_ms() < until;) {
        ssize_t more = REAL(rd_kafka_consume_batch_queue)(queue, 100, messages + got, size - (size_t)got);
        got = more < 0 ? more : got + more;
    }
    return got;
}

void
rd_kafka_message_destroy(rd_kafka_message_t *message)
{
    if (message != &fault)
        REAL(rd_kafka_message_destroy)(message);
}

static atomic_int watermark_faults; /* so many questions go unanswered */

rd_kafka_resp_err_t
rd_kafka_query_watermark_offsets(rd_kafka_t *client, const char *topic, int32_t partition, int64_t *low, int64_t *high, int timeout_ms)
{
    if (atomic_load(&watermark_faults) > 0) {
        atomic_fetch_sub(&watermark_faults, 1);
        return RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    return REAL(rd_kafka_query_watermark_offsets)(client, topic, partition, low, high, timeout_ms);
}

static atomic_bool places_refused; /* for now: the same call may be made again */
static atomic_int places_tried, commits, aborts;

rd_kafka_error_t *
rd_kafka_send_offsets_to_transaction(rd_kafka_t *client, const rd_kafka_topic_partition_list_t *offsets,
                                     const rd_kafka_consumer_group_metadata_t *metadata, int timeout_ms)
{
    atomic_fetch_add(&places_tried, 1);
    if (atomic_load(&places_refused))
        return rd_kafka_error_new(RD_KAFKA_RESP_ERR__INTR, "not now");
    return REAL(rd_kafka_send_offsets_to_transaction)(client, offsets, metadata, timeout_ms);
}

int
rd_kafka_error_is_retriable(const rd_kafka_error_t *error)
{
    return rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__INTR || REAL(rd_kafka_error_is_retriable)(error);
}

rd_kafka_error_t *
rd_kafka_commit_transaction(rd_kafka_t *client, int timeout_ms)
{
    atomic_fetch_add(&commits, 1);
    return REAL(rd_kafka_commit_transaction)(client, timeout_ms);
}

rd_kafka_error_t *
rd_kafka_abort_transaction(rd_kafka_t *client, int timeout_ms)
{
    atomic_fetch_add(&aborts, 1);
    return REAL(rd_kafka_abort_transaction)(client, timeout_ms);
}

/* Questions to Kafka that are not answered yet; while `hang` is true none is. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool hang;
    int count;
} asking = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void
set_hang(bool hang)
{
    pthread_mutex_lock(&asking.lock);
    asking.hang = hang;
    pthread_cond_broadcast(&asking.changed);
    pthread_mutex_unlock(&asking.lock);
}

static void
await_asking(int count)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RIG_PATIENCE_MS / 1000;
    pthread_mutex_lock(&asking.lock);
    while (asking.count != count && late == 0)
        late = pthread_cond_timedwait(&asking.changed, &asking.lock, &until);
    pthread_mutex_unlock(&asking.lock);
    CHECK_INT(late, 0);
}

rd_kafka_resp_err_t
rd_kafka_metadata(rd_kafka_t *client, int all, rd_kafka_topic_t *only, const struct rd_kafka_metadata **ret, int timeout_ms)
{
    pthread_mutex_lock(&asking.lock);
    asking.count++;
    pthread_cond_broadcast(&asking.changed);
    while (asking.hang)
        pthread_cond_wait(&asking.changed, &asking.lock);
    pthread_mutex_unlock(&asking.lock);
    const rd_kafka_resp_err_t err = REAL(rd_kafka_metadata)(client, all, only, ret, timeout_ms);
    pthread_mutex_lock(&asking.lock);
    asking.count--;
    pthread_mutex_unlock(&asking.lock);
    return err;
}

/* ---- both sides ---------------------------------------------------------------------------------------------------------------- */

static void
start_relays(void)
{
    const cairn_options options = {.create = true};
    CHECK_OK(cairn_open(folder, &options, &store, NULL));
    CHECK_OK(relays_open(store, 0, NULL, NULL, &relays, NULL));
}

static int
begin(void **state)
{
    (void)state;
    serve_start(&serve);
    producer = PRODUCER(&serve);
    test_folder(folder);
    start_relays();
    return 0;
}

static int
end(void **state)
{
    (void)state;
    relays_close(relays);
    cairn_close(store);
    test_remove(folder);
    rd_kafka_destroy(producer);
    serve_end(&serve);
    return 0;
}

static void
put_with(const char *name, bool out, bool transactions, const char *source, const char *target)
{
    char client[128];
    cairn_error error = {0};
    int size = snprintf(client, sizeof client, "{\"bootstrap.servers\":\"%s\"}", serve.broker);
    const struct relay_spec spec = {.name = cairn_cstr(name), .out = out, .source = cairn_cstr(source), .target = cairn_cstr(target),
                                    .client = {client, (size_t)size}, .transactions = transactions};
    if (relay_put(relays, &spec, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
}

static void
put(const char *name, bool out, const char *source, const char *target)
{
    put_with(name, out, out, source, target);
}

struct looking {
    const char *name;
    bool found;
    struct relay_status status;
};

static bool
look(void *context, const struct relay_status *status)
{
    struct looking *looking = context;
    if (cairn_str_equal(status->spec.name, cairn_cstr(looking->name))) {
        looking->found = true;
        looking->status = *status;
    }
    return true;
}

/* Its settings' strings are gone on return. */
static struct relay_status
status_of(const char *name)
{
    struct looking looking = {.name = name};
    relays_visit(relays, look, &looking);
    CHECK(looking.found);
    return looking.status;
}

/* A topic here. */
static void
make_topic(const char *name, uint32_t partitions)
{
    const struct cairn_topic topic = {.name = cairn_cstr(name), .partitions = partitions, .config = CAIRN_STR("{}")};
    cairn_topic_ref *ref;
    CHECK_OK(cairn_topic_put(store, 0, &topic, CAIRN_NONE, &ref, NULL));
    cairn_topic_release(ref);
}

static cairn_uuid
topic_id(const char *name)
{
    cairn_topic_ref *ref;
    CHECK_OK(cairn_topic_get(store, 0, cairn_cstr(name), &ref, NULL));
    const cairn_uuid id = cairn_topic_of(ref)->id;
    cairn_topic_release(ref);
    return id;
}

/* 0 before the relay has made it. */
static uint64_t
end_here(const char *name, uint32_t partition)
{
    cairn_topic_ref *ref;
    cairn_partition_info info = {0};
    if (cairn_topic_get(store, 0, cairn_cstr(name), &ref, NULL) != CAIRN_OK)
        return 0;
    CHECK_OK(cairn_partition_get(store, 0, &cairn_topic_of(ref)->id, partition, &info, NULL));
    cairn_topic_release(ref);
    return info.end;
}

static void
append(const char *stream)
{
    const cairn_event event = {.type = CAIRN_STR("T"), .data = CAIRN_STR("{}")};
    cairn_at at;
    CHECK_OK(cairn_append(store, 0, cairn_cstr(stream), CAIRN_ANY, &event, 1, &at, NULL));
}

/* Numbered records to a partition there, each with a header of so many bytes. */
static void
produce(const char *topic, int32_t partition, int from, int count, size_t header_size)
{
    char value[16], *header = calloc(1, header_size + 1);
    CHECK(header != NULL);
    for (int i = from; i < from + count; i++) {
        snprintf(value, sizeof value, "%d", i);
        rd_kafka_resp_err_t err;
        UNTIL((err = rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                                       RD_KAFKA_V_VALUE(value, strlen(value)), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                       RD_KAFKA_V_HEADER("h", header, (ssize_t)header_size), RD_KAFKA_V_END))
                  != RD_KAFKA_RESP_ERR__QUEUE_FULL, rd_kafka_poll(producer, 100));
        CHECK_RK(err);
    }
    free(header);
    CHECK_RK(rd_kafka_flush(producer, RIG_PATIENCE_MS));
}

/* Records of a topic there, those of transactions that ended well. */
static int
count_there(const char *topic, int partitions)
{
    rd_kafka_t *consumer = CONSUMER(&serve, "group.id", "count", "enable.partition.eof", "true", "isolation.level", "read_committed");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    int count = 0, ends = 0;
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    CHECK_RK(rd_kafka_assign(consumer, list));
    rd_kafka_topic_partition_list_destroy(list);
    while (ends < partitions) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, RIG_PATIENCE_MS);
        CHECK(message != NULL);
        ends += message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        count += message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return count;
}

/* ---- coming in ------------------------------------------------------------------------------------------------------------------- */

/* Goal: a fault of one partition does not lose what was consumed with it of another.
 * Method: a batch of 500 records of partition 1 begins with "no such offset" of partition 0, and Kafka does not answer what there is
 * instead; one more record comes behind. */
TEST(a_fault_loses_no_other_records)
{
    rig_make_topic(producer, "faulty", 2);
    produce("faulty", 1, 0, 500, 0);
    atomic_store(&watermark_faults, 1);
    atomic_store(&fault_first, true);
    put("in", false, "faulty", "faulty");
    AWAIT(atomic_load(&watermark_faults) == 0);
    produce("faulty", 1, 500, 1, 0);
    AWAIT(end_here("faulty", 1) > 0);
    const cairn_uuid id = topic_id("faulty");
    cairn_partition_reader *reader;
    cairn_partition_item item;
    struct batch_cursor cursor = {0};
    struct batch_record record;
    CHECK_OK(cairn_read_partition(store, 0, &id, 1, 0, &reader, NULL));
    CHECK_OK(cairn_partition_next(reader, &item, NULL));
    CHECK(batch_open(&cursor, item.batch) == NULL && batch_next(&cursor, &record));
    CHECK(cairn_str_equal(record.value, CAIRN_STR("0")));
    batch_close(&cursor);
    cairn_partition_reader_free(reader);
    AWAIT(end_here("faulty", 1) == 501);
}

/* Goal: headers count in how much one append takes. Method: 600 records that are 8 MB by their headers alone, consumed at once. */
TEST(headers_are_bytes)
{
    const int count = 600;
    rig_make_topic(producer, "headers", 1);
    produce("headers", 0, 0, count, 14000);
    atomic_store(&gather, count);
    put("headers", false, "headers", "headers");
    AWAIT(end_here("headers", 0) >= (uint64_t)count);
    atomic_store(&gather, 0);
    CHECK_OK(relay_delete(relays, CAIRN_STR("headers"), NULL));
    const cairn_uuid id = topic_id("headers");
    cairn_partition_reader *reader;
    cairn_partition_item item;
    cairn_err err;
    size_t batches = 0;
    CHECK_OK(cairn_read_partition(store, 0, &id, 0, 0, &reader, NULL));
    for (; (err = cairn_partition_next(reader, &item, NULL)) == CAIRN_OK; batches++)
        if (item.batch.size > RELAY_BATCH_BYTES + 65536)
            fail_msg("a batch of %zu bytes", item.batch.size);
    CHECK(err == CAIRN_E_END && batches > 1);
    cairn_partition_reader_free(reader);
}

/* ---- going out ------------------------------------------------------------------------------------------------------------------- */

/* Goal: a transaction without the places reached is not committed: its records would be sent again.
 * Method: Kafka takes no places for now; the relay is paused meanwhile. */
TEST(no_commit_without_places)
{
    rig_make_topic(producer, "orders", 1);
    make_topic("orders", 1);
    append("orders-1");
    atomic_store(&places_refused, true);
    put("out", true, "orders", "orders");
    AWAIT(atomic_load(&places_tried) > 1);
    CHECK_OK(relay_pause(relays, CAIRN_STR("out"), true, NULL));
    CHECK_INT(atomic_load(&commits), 0);
    CHECK(atomic_load(&aborts) > 0);
    atomic_store(&places_refused, false);
    CHECK_OK(relay_pause(relays, CAIRN_STR("out"), false, NULL));
    AWAIT(status_of("out").records_total == 1);
    CHECK_INT(count_there("orders", 1), 1);
}

/* Goal: the places of many partitions are more than Kafka lets one offset say (4,096 bytes), and are kept all the same; where they
 * cannot be, the relay says what it needs. Method: 3,000 partitions to a topic of three, the relay begun anew in between; to a topic of
 * one. */
TEST(places_of_many_partitions)
{
    rig_make_topic(producer, "wide", 3);
    rig_make_topic(producer, "narrow", 1);
    make_topic("wide", 3000);
    append("wide-1");
    put("wide", true, "wide", "wide");
    for (uint64_t i = 1; i <= 3; i++) {
        AWAIT(status_of("wide").records_total == i);
        CHECK_OK(relay_pause(relays, CAIRN_STR("wide"), true, NULL));
        append(i == 1 ? "wide-2" : "wide-1");
        CHECK_OK(relay_pause(relays, CAIRN_STR("wide"), false, NULL));
    }
    AWAIT(status_of("wide").records_total == 4);
    AWAIT(status_of("wide").lag == 0);
    CHECK_INT(count_there("wide", 3), 4);
    put("narrow", true, "wide", "narrow");
    AWAIT(strstr(status_of("narrow").detail, "2 partitions at least") != NULL);
    CHECK_INT(count_there("narrow", 1), 0);
}

/* Goal: how far a relay is behind is known while its Kafka is away, from the start; of one with transactions all of it until Kafka has
 * said how far it came. Method: two of three records go out; both sides stop, this one begins again. */
TEST(lag_is_known_without_kafka)
{
    rig_make_topic(producer, "lag", 1);
    make_topic("lag", 1);
    append("lag-1");
    append("lag-2");
    put_with("least", true, false, "lag", "lag");
    AWAIT(status_of("least").records_total == 2 && status_of("least").lag == 0);
    relays_close(relays);
    cairn_close(store);
    serve_kill(&serve);
    start_relays();
    append("lag-1");
    CHECK_INT(status_of("least").lag, 1);
    put("never", true, "lag", "lag");
    CHECK_INT(status_of("never").lag, 3);
    AWAIT(strstr(status_of("least").detail, "Connection refused") && strstr(status_of("never").detail, "Connection refused"));
    CHECK_INT(status_of("least").lag, 1);
    CHECK_INT(status_of("never").lag, 3);
    serve_start(&serve);
    AWAIT(status_of("least").lag == 0 && status_of("never").lag == 0);
    CHECK_INT(status_of("never").records_total, 3);
    CHECK_INT(count_there("lag", 1), 6);
}

/* ---- stopping ---------------------------------------------------------------------------------------------------------------------- */

static void *
pause_it(void *name)
{
    CHECK_OK(relay_pause(relays, cairn_cstr(name), true, NULL));
    return NULL;
}

static void *
delete_it(void *name)
{
    CHECK_OK(relay_delete(relays, cairn_cstr(name), NULL));
    return NULL;
}

static void *
look_for_it(void *looking)
{
    relays_visit(relays, look, looking);
    return NULL;
}

static bool
ends(pthread_t thread)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

/* Goal: who pauses or deletes a relay whose client hangs waits for it alone: what relays there are can be asked meanwhile.
 * Method: a question to Kafka that has no answer before the others have theirs. */
TEST(a_relay_that_hangs_holds_up_nobody)
{
    static char name[] = "hangs";
    static void *(*const changes[])(void *) = {pause_it, delete_it};
    for (int i = 0; i < 2; i++) {
        pthread_t changing, looking;
        struct looking found = {.name = name};
        set_hang(true);
        put(name, false, "nothing", "nothing");
        await_asking(1);
        struct relay *relay = relays->list[0];
        CHECK_INT(pthread_create(&changing, NULL, changes[i], name), 0);
        AWAIT(atomic_load(&relay->stop));
        CHECK_INT(pthread_create(&looking, NULL, look_for_it, &found), 0);
        const bool seen = ends(looking);
        set_hang(false);
        CHECK(ends(changing) && seen);
        CHECK_INT(found.found, i == 0); /* deleted, it is there no more */
    }
}

/* Goal: who stops the server while a Kafka is away does not wait for what it does not say.
 * Method: three relays ask one that is not there, and are closed in the midst of it. */
TEST(relays_stop_while_kafka_is_away)
{
    make_topic("away", 1);
    serve_kill(&serve);
    put_with("once", true, true, "away", "away");
    put_with("least", true, false, "away", "away");
    put("in", false, "away", "here");
    await_asking(3);
    const int64_t begun_ms = rig_now_ms();
    relays_close(relays);
    relays = NULL;
    const int64_t took_ms = rig_now_ms() - begun_ms;
    serve_start(&serve);
    if (took_ms > RELAY_CALL_MS / 2)
        fail_msg("it took %lld ms", (long long)took_ms);
}

#define WITH_BOTH(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {WITH_BOTH(a_fault_loses_no_other_records), WITH_BOTH(headers_are_bytes),
                                       WITH_BOTH(no_commit_without_places), WITH_BOTH(places_of_many_partitions),
                                       WITH_BOTH(lag_is_known_without_kafka),
                                       WITH_BOTH(a_relay_that_hangs_holds_up_nobody), WITH_BOTH(relays_stop_while_kafka_is_away)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

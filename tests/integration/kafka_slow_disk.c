/* A disk that stands still, and what clients see of it: their batches keep their order, nothing is lost, and the threads that all
 * rely on (the loop's, the one that commits) are not held up.
 *
 * The machine is the real one but for three gates: a closed one lets no sync, no new segment, or no read of a thread of the pool,
 * through until the test opens it. And it can be cold: then no read succeeds that may not wait. */
#include "kafka_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define MARK "this is the one" /* a write of it is told of: atomic_bool marked */

static struct {
    struct os os;
    struct os_ops ops;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool syncs_wait, segments_wait, reads_wait;
    atomic_uint waiting_segments, waiting_reads, pool_reads;
    atomic_bool marked;
    atomic_bool cold; /* nothing is in the page cache */
} machine = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};

static void
pass(const bool *closed)
{
    pthread_mutex_lock(&machine.lock);
    while (*closed)
        pthread_cond_wait(&machine.opened, &machine.lock);
    pthread_mutex_unlock(&machine.lock);
}

static void
set_gate(bool *gate, bool closed)
{
    pthread_mutex_lock(&machine.lock);
    *gate = closed;
    pthread_cond_broadcast(&machine.opened);
    pthread_mutex_unlock(&machine.lock);
}

static int
slow_sync(struct os *os, struct os_file *file)
{
    pass(&machine.syncs_wait);
    return os_real()->ops->sync(os, file);
}

static int
slow_open(struct os *os, const char *path, int flags, struct os_file **ret)
{
    if ((flags & OS_CREATE) && strstr(path, ".seg")) {
        atomic_fetch_add(&machine.waiting_segments, 1);
        pass(&machine.segments_wait);
        atomic_fetch_sub(&machine.waiting_segments, 1);
    }
    return os_real()->ops->open(os, path, flags, ret);
}

static bool
is_of_the_pool(void)
{
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof name);
    return strcmp(name, "cairn-work") == 0;
}

static ssize_t
slow_read(struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset)
{
    if (!os_reads_are_waiting() && atomic_load(&machine.cold))
        return -EAGAIN;
    if (is_of_the_pool()) {
        atomic_fetch_add(&machine.pool_reads, 1);
        atomic_fetch_add(&machine.waiting_reads, 1);
        pass(&machine.reads_wait);
        atomic_fetch_sub(&machine.waiting_reads, 1);
    }
    return os_real()->ops->pread(os, file, to, size, offset);
}

static ssize_t
telling_write(struct os *os, struct os_file *file, const struct iovec *pieces, int count, uint64_t offset)
{
    for (int i = 0; i < count; i++)
        if (memmem(pieces[i].iov_base, pieces[i].iov_len, MARK, sizeof MARK - 1))
            atomic_store(&machine.marked, true);
    return os_real()->ops->pwritev(os, file, pieces, count, offset);
}

/* One loop, so that whoever holds it up holds up all. */
static void
start_with(cairn_options options, struct kafka_config config)
{
    machine.ops = *os_real()->ops;
    machine.ops.sync = slow_sync;
    machine.ops.open = slow_open;
    machine.ops.pwritev = telling_write;
    machine.ops.pread = slow_read;
    machine.os.ops = &machine.ops;
    atomic_store(&machine.marked, false);
    atomic_store(&machine.cold, false);
    machine.syncs_wait = machine.segments_wait = machine.reads_wait = false;
    rig = (struct kafka_rig){.os = &machine.os, .options = options};
    test_folder(rig.folder);
    config.loops = 1;
    kafka_rig_start(&rig, config, NULL);
    client = kafka_client_open(rig.port);
}

static void
start(cairn_options options)
{
    start_with(options, (struct kafka_config){0});
}

static void
stop(void)
{
    kafka_client_close(&client);
    kafka_rig_close(&rig);
}

/* A batch of `count` records with keys of their own and values of `size` bytes; the caller's, buf_free(). */
static struct buf
batch_sized(unsigned number, unsigned count, size_t size)
{
    struct batch_maker maker = {0};
    char *bytes = calloc(1, size + 1);
    CHECK(bytes != NULL);
    memset(bytes, 'v', size);
    batch_make_begin(&maker);
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "%u.%u", number, i);
        CHECK(batch_make_add(&maker, i, 1700000000000, &(cairn_str){key, strlen(key)}, &(cairn_str){bytes, size}, NULL, 0));
    }
    CHECK(batch_make_end(&maker, BATCH_PLAIN, 0, count - 1));
    free(bytes);
    struct buf out = maker.out;
    maker.out = (struct buf){0};
    batch_make_free(&maker);
    return out;
}

static int32_t
send_produce(struct kafka_client *by, const char *topic, cairn_str bytes, int16_t acks, const char *transaction)
{
    struct kafka_produce_request_partition part = {.records = bytes};
    struct kafka_produce_request_topic to = {.name = cairn_cstr(topic), .partitions = &part, .partitions_count = 1};
    struct kafka_produce_request in = {.transactional_id = transaction ? cairn_cstr(transaction) : (cairn_str){0}, .acks = acks,
                                       .timeout_ms = 1000, .topics = &to, .topics_count = 1};
    return kafka_client_send(by, KAFKA_API_PRODUCE, 9, &in);
}

static const struct kafka_produce_response_partition *
take_produce(struct kafka_client *by, int32_t correlation)
{
    const struct kafka_produce_response *out = kafka_client_answer(by, KAFKA_API_PRODUCE, 9, correlation);
    return &out->topics[0].partitions[0];
}

static const struct kafka_api_versions_request versions = {.client_software_name = CAIRN_STR("t"),
                                                           .client_software_version = CAIRN_STR("1")};

static void
check_alive(struct kafka_client *by)
{
    CHECK_INT(CLIENT_CALL(by, API_VERSIONS, api_versions, 3, &versions)->error_code, KAFKA_NONE);
}

/* ---- room ------------------------------------------------------------------------------------------------------------------ */

#define CLIENTS 3

struct flood {
    cairn_options options;
    unsigned batches, records; /* of each client; in each batch */
    size_t value_size;
};

static uint64_t
request_bytes(void)
{
    struct kafka_server_stats stats;
    kafka_server_stats(rig.server, &stats);
    return stats.request_bytes;
}

/* From several clients, without waiting for answers, while the disk stands still; until all is in the server's memory. */
static void
flood(struct kafka_client *clients, const struct flood *how, int16_t acks, int32_t *ret_first)
{
    char topic[CLIENTS][24];
    uint64_t bytes = 0;
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(topic[i], sizeof topic[i], "flood-%d", i);
        create(topic[i], 1);
        clients[i] = kafka_client_open(rig.port);
    }
    set_gate(&machine.syncs_wait, true);
    for (unsigned n = 0; n < how->batches; n++)
        for (int i = 0; i < CLIENTS; i++) {
            struct buf batch = batch_sized(n, how->records, how->value_size);
            int32_t sent = send_produce(&clients[i], topic[i], buf_str(&batch), acks, NULL);
            if (n == 0)
                ret_first[i] = sent;
            bytes += batch.size;
            buf_free(&batch);
        }
    CLIENT_AWAIT(request_bytes() >= bytes);
}

/* Goal: a producer without idempotence that has many batches under way keeps their order when the disk does not keep up, and none is
 * refused; with acks = 0 none is lost, and the connection goes on.
 * Method: more than a bound allows comes while no sync returns; then the disk goes on. */
static void
check_flood(const struct flood *how)
{
    struct kafka_client clients[CLIENTS];
    int32_t first[CLIENTS];
    char topic[24];
    start(how->options);
    flood(clients, how, 1, first);
    set_gate(&machine.syncs_wait, false);
    for (int i = 0; i < CLIENTS; i++) {
        for (unsigned n = 0; n < how->batches; n++) {
            const struct kafka_produce_response_partition *out = take_produce(&clients[i], first[i] + (int32_t)n);
            CHECK_INT(out->error_code, KAFKA_NONE);
            CHECK_INT(out->base_offset, n * how->records);
        }
        kafka_client_close(&clients[i]);
    }
    stop();

    start(how->options);
    flood(clients, how, 0, first);
    set_gate(&machine.syncs_wait, false);
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(topic, sizeof topic, "flood-%d", i);
        CLIENT_AWAIT(offset_at(topic, -1) == how->batches * how->records);
        check_alive(&clients[i]);
        kafka_client_close(&clients[i]);
    }
    stop();
}

TEST(many_appends_wait_for_room)
{
    check_flood(&(struct flood){{.segment_size_bytes = 256 << 20, .appends_waiting_max = 10}, 20, 1, 10});
}

TEST(many_bytes_wait_for_room)
{
    check_flood(&(struct flood){{.segment_size_bytes = 256 << 20}, 26, 1, 1000000});
}

TEST(many_keys_wait_for_room)
{
    check_flood(&(struct flood){{.segment_size_bytes = 256 << 20, .index_memory_events = 2000}, 40, 100, 10});
}

/* ---- the commit thread ------------------------------------------------------------------------------------------------------ */

#define IDLE 100 /* partitions that are waited for */
#define BUSY 200 /* batches for another */

static const struct store_ops *real_store;
static atomic_uint looks;

static cairn_err
counting_partition_get(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition,
                       cairn_partition_info *ret, cairn_error *error)
{
    atomic_fetch_add(&looks, 1);
    return real_store->partition_get(store, scope, topic_id, partition, ret, error);
}

static void
count_looks(cairn_store *store)
{
    static struct store_ops ops;
    real_store = store->ops;
    ops = *real_store;
    ops.partition_get = counting_partition_get;
    store->ops = &ops;
}

/* Goal: a commit of what clients have produced does not look at all partitions that are waited for: who waits for it has been told.
 * Method: count, while many wait for others; some are due to the look every 50 ms, which is for all. */
TEST(produces_look_at_their_partition)
{
    rig = (struct kafka_rig){.opened = count_looks};
    test_folder(rig.folder);
    kafka_rig_start(&rig, (struct kafka_config){.loops = 1}, NULL);
    client = kafka_client_open(rig.port);
    create("idle", IDLE);
    create("busy", 1);
    struct kafka_fetch_request_partition parts[IDLE];
    for (int i = 0; i < IDLE; i++)
        parts[i] = (struct kafka_fetch_request_partition){
            .partition = i, .current_leader_epoch = -1, .last_fetched_epoch = -1, .log_start_offset = -1, .partition_max_bytes = 1000};
    struct kafka_fetch_request_topic topic = {.topic = CAIRN_STR("idle"), .partitions = parts, .partitions_count = IDLE};
    struct kafka_fetch_request in = {.replica_id = -1, .max_wait_ms = 60000, .min_bytes = 1, .max_bytes = 1000, .session_epoch = -1,
                                     .topics = &topic, .topics_count = 1};
    struct kafka_client waiting = kafka_client_open(rig.port);
    int32_t sent = kafka_client_send(&waiting, KAFKA_API_FETCH, 12, &in);
    CLIENT_AWAIT(atomic_load(&looks) >= 2 * IDLE); /* when it reads, and when it begins to wait */

    unsigned before = atomic_load(&looks);
    int64_t begun = client_now_ms();
    for (unsigned i = 0; i < BUSY; i++)
        CHECK_INT(produce("busy", 0, "b", 10), i * 10);
    unsigned ticks = (unsigned)(client_now_ms() - begun) / 50 + 3;
    CHECK(atomic_load(&looks) - before <= ticks * IDLE);

    CHECK_INT(produce("idle", IDLE - 1, "i", 1), 0);
    const struct kafka_fetch_response *out = kafka_client_answer(&waiting, KAFKA_API_FETCH, 12, sent);
    CHECK_INT(out->topics[0].partitions[IDLE - 1].high_watermark, 1);
    kafka_client_close(&waiting);
    stop();
}

/* ---- the loop's thread ----------------------------------------------------------------------------------------------------- */

static int32_t
send_as(struct kafka_client *by, struct producer producer, int32_t sequence, size_t size, const char *transaction)
{
    struct buf batch = batch_sized(0, 1, size);
    struct batch_head head;
    CHECK(batch_head_read(buf_str(&batch), &head) == NULL);
    head.producer_id = producer.id;
    head.producer_epoch = producer.epoch;
    head.base_sequence = sequence;
    head.attributes |= transaction ? BATCH_TRANSACTIONAL : 0;
    batch_head_write((uint8_t *)batch.data, &head);
    int32_t sent = send_produce(by, "t", buf_str(&batch), -1, transaction);
    buf_free(&batch);
    return sent;
}

#define NEARLY_FULL 4
#define LARGE 900000 /* four of these fit a segment of 4 MiB, and not five */

static void
fill_segment(struct producer producer)
{
    for (int i = 0; i < NEARLY_FULL; i++)
        CHECK_INT(take_produce(&client, send_as(&client, producer, i, LARGE, NULL))->error_code, KAFKA_NONE);
}

static uint64_t
appends_waiting(void)
{
    cairn_stats stats;
    cairn_stats_get(rig.store, &stats);
    return stats.appends_waiting;
}

static void
hold_committer(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    (void)at;
    (void)error;
    CHECK_INT(err, CAIRN_OK);
    pass(context);
}

/* Goal: a loop's thread that commits in the middle of a producer's append does not begin another append of that producer's partition:
 * it would wait for itself.
 * Method: the committer is held while it tells of one append, so that whoever needs a new segment commits the next batch himself:
 * a loop's thread, with a produce. In that batch is another client's, with a call behind it that is answered at once, and behind
 * that an idempotent one to the same partition. */
TEST(a_commit_on_the_loop_begins_nothing)
{
    bool committer_waits = true;
    start((cairn_options){0});
    create("t", 1);
    struct producer filler = init_producer(NULL), large = init_producer(NULL), small = init_producer(NULL);
    fill_segment(filler);
    struct kafka_client other = kafka_client_open(rig.port);
    check_alive(&other);

    set_gate(&machine.syncs_wait, true);
    const cairn_event event = {.type = CAIRN_STR("T"), .data = CAIRN_STR("{\"a\":\"" MARK "\"}")};
    const cairn_write write = {.stream = CAIRN_STR("a-1"), .expected = CAIRN_ANY, .events = &event, .event_count = 1};
    const cairn_append_request request = {.writes = &write, .write_count = 1};
    CHECK_OK(cairn_append_async(rig.store, &request, hold_committer, &committer_waits, NULL));
    CLIENT_AWAIT(atomic_load(&machine.marked));

    int32_t first = send_as(&other, (struct producer){-1, -1}, -1, 10, NULL);
    CLIENT_AWAIT(appends_waiting() == 2);
    int32_t between = kafka_client_send(&other, KAFKA_API_API_VERSIONS, 3, &versions);
    int32_t second = send_as(&other, small, 0, 10, NULL);
    int32_t rolls = send_as(&client, large, 0, LARGE, NULL);
    CLIENT_AWAIT(appends_waiting() == 3);
    set_gate(&machine.syncs_wait, false);

    CHECK_INT(take_produce(&other, first)->base_offset, NEARLY_FULL);
    set_gate(&committer_waits, false);
    kafka_client_answer(&other, KAFKA_API_API_VERSIONS, 3, between);
    CHECK_INT(take_produce(&other, second)->error_code, KAFKA_NONE);
    CHECK_INT(take_produce(&client, rolls)->error_code, KAFKA_NONE);
    kafka_client_close(&other);
    stop();
}

/* Goal: while a transaction is being committed the loop serves others.
 * Method: the commit needs a new segment, which the disk does not give. */
TEST(a_commit_does_not_hold_up_the_loop)
{
    int32_t zero = 0;
    start((cairn_options){0});
    create("t", 1);
    struct producer producer = init_producer("tx");
    struct kafka_add_partitions_to_txn_request_topic topic = {CAIRN_STR("t"), &zero, 1};
    struct kafka_add_partitions_to_txn_request add = {CAIRN_STR("tx"), producer.id, producer.epoch, &topic, 1};
    CHECK_INT(CLIENT_CALL(&client, ADD_PARTITIONS_TO_TXN, add_partitions_to_txn, 3, &add)->results[0].partitions[0].error_code, KAFKA_NONE);
    CHECK_INT(take_produce(&client, send_as(&client, producer, 0, LARGE, "tx"))->error_code, KAFKA_NONE);
    fill_segment(init_producer(NULL));

    set_gate(&machine.segments_wait, true);
    struct kafka_end_txn_request end = {CAIRN_STR("tx"), producer.id, producer.epoch, true};
    int32_t ended = kafka_client_send(&client, KAFKA_API_END_TXN, 3, &end);
    CLIENT_AWAIT(atomic_load(&machine.waiting_segments) == 1);
    struct kafka_client other = kafka_client_open(rig.port);
    check_alive(&other);
    CHECK_INT(atomic_load(&machine.waiting_segments), 1);
    set_gate(&machine.segments_wait, false);
    const struct kafka_end_txn_response *out = kafka_client_answer(&client, KAFKA_API_END_TXN, 3, ended);
    CHECK_INT(out->error_code, KAFKA_NONE);
    kafka_client_close(&other);
    CHECK_INT(offset_at("t", -1), NEARLY_FULL + 1);
    stop();
}

/* Can this file system tell what is in the page cache? Where it cannot, all fetches are the pool's. */
static bool
can_tell(void)
{
    char path[128], byte;
    struct os_file *file;
    snprintf(path, sizeof path, "%s/data/segments/00000001.seg", rig.folder);
    CHECK_INT(os_open(os_real(), path, OS_READ, &file), 0);
    CHECK_INT(os_pread(os_real(), file, &byte, 1, 0), 1);
    os_reads_wait(false);
    bool can = os_pread(os_real(), file, &byte, 1, 0) == 1;
    os_reads_wait(true);
    CHECK_INT(os_close(os_real(), file), 0);
    if (!can)
        print_message("this file system cannot tell what is in memory\n");
    return can;
}

/* Goal: what is in the page cache is fetched without the pool; what is not, without holding up the loop.
 * Method: the pool's reads stand still, first while all is in the cache, then while nothing is. */
TEST(a_read_does_not_hold_up_the_loop)
{
    struct fetch_ask ask = {.topic = "t"};
    start((cairn_options){0});
    create("t", 1);
    CHECK_INT(produce("t", 0, "small", 10), 0);
    struct buf large = batch_sized(0, 1, LARGE);
    CHECK_INT(take_produce(&client, send_produce(&client, "t", buf_str(&large), 1, NULL))->base_offset, 10);
    buf_free(&large);

    set_gate(&machine.reads_wait, can_tell());
    CHECK_INT(check_records(fetched(fetch(ask)), 0, "small0"), 11);
    set_gate(&machine.reads_wait, true);
    atomic_store(&machine.cold, true);
    int32_t sent = fetch_send(&client, 12, &ask);
    CLIENT_AWAIT(atomic_load(&machine.waiting_reads) == 1);
    struct kafka_client other = kafka_client_open(rig.port);
    check_alive(&other);
    CHECK_INT(atomic_load(&machine.waiting_reads), 1);
    set_gate(&machine.reads_wait, false);
    CHECK_INT(check_records(fetched(fetch_take(&client, 12, sent)), 0, "small0"), 11);
    kafka_client_close(&other);
    atomic_store(&machine.cold, false);
    stop();
}

/* Goal: what is quick is answered at once where the rest of it would take long: each answer has some, and none is read in vain.
 * Method: more than the loop copies, while the pool's reads stand still. */
TEST(the_loop_answers_what_it_has)
{
    enum { BATCHES = 40, SIZE = 10000 };
    struct fetch_ask ask = {.topic = "t"};
    unsigned answers = 0;
    start((cairn_options){0});
    create("t", 1);
    for (int i = 0; i < BATCHES; i++) {
        struct buf batch = batch_sized(0, 1, SIZE);
        CHECK_INT(take_produce(&client, send_produce(&client, "t", buf_str(&batch), 1, NULL))->base_offset, i);
        buf_free(&batch);
    }
    bool can = can_tell();
    set_gate(&machine.reads_wait, can);
    for (; ask.offset < BATCHES; answers++)
        ask.offset += check_records(fetched(fetch(ask)), ask.offset, NULL);
    CHECK_INT(ask.offset, BATCHES);
    CHECK(!can || (answers > 1 && answers <= BATCHES * SIZE / (64 << 10)));
    set_gate(&machine.reads_wait, false);
    stop();
}

/* A topic of two partitions, with more in the first one than the loop copies, and a batch in the other. */
static void
make_two(void)
{
    enum { BATCHES = 40, SIZE = 10000 };
    create("two", 2);
    struct buf batch = batch_sized(0, 1, SIZE);
    for (int i = 0; i < BATCHES; i++)
        CHECK_INT(produce_bytes(&client, "two", 0, buf_str(&batch), 1, (cairn_str){0})->base_offset, i);
    CHECK_INT(produce_bytes(&client, "two", 1, buf_str(&batch), 1, (cairn_str){0})->base_offset, 0);
    buf_free(&batch);
}

static int32_t
send_fetch_of_two(struct kafka_client *by)
{
    struct kafka_fetch_request_partition parts[2];
    for (int i = 0; i < 2; i++)
        parts[i] = (struct kafka_fetch_request_partition){.partition = i, .current_leader_epoch = -1, .last_fetched_epoch = -1,
                                                          .log_start_offset = -1, .partition_max_bytes = 1 << 20};
    struct kafka_fetch_request_topic topic = {.topic = CAIRN_STR("two"), .partitions = parts, .partitions_count = 2};
    struct kafka_fetch_request in = {.replica_id = -1, .min_bytes = 1, .max_bytes = 10 << 20, .session_epoch = -1,
                                     .topics = &topic, .topics_count = 1};
    return kafka_client_send(by, KAFKA_API_FETCH, 12, &in);
}

static void
take_both(struct kafka_client *by, int32_t sent)
{
    const struct kafka_fetch_response *out = kafka_client_answer(by, KAFKA_API_FETCH, 12, sent);
    CHECK(check_records(fetched(&out->topics[0].partitions[0]), 0, NULL) > 0);
    CHECK_INT(check_records(fetched(&out->topics[0].partitions[1]), 0, NULL), 1);
}

/* Goal: no partition is left out because another one gives quickly what is enough for the client. */
TEST(no_partition_is_passed_over)
{
    start((cairn_options){0});
    make_two();
    take_both(&client, send_fetch_of_two(&client));
    stop();
}

static uint64_t
fetches_begun(void)
{
    struct kafka_server_stats stats;
    kafka_server_stats(rig.server, &stats);
    return stats.calls_by_key[KAFKA_API_FETCH];
}

/* Goal: fetches that wait for a thread hold nothing that others need: however many there are, all are answered.
 * Method: both threads of the pool stand still, each with a fetch of what is not in the page cache; then so many more come that the
 * 256 MiB for all are taken if each holds a megabyte. */
TEST(many_fetches_wait_for_a_thread)
{
    enum { THREADS = 2, MANY = 280 };
    static struct kafka_client many[MANY];
    int32_t sent[MANY];
    start_with((cairn_options){0}, (struct kafka_config){.threads = THREADS});
    make_two();
    set_gate(&machine.reads_wait, true);
    atomic_store(&machine.cold, true);
    for (unsigned i = 0; i < MANY; i++) {
        many[i] = kafka_client_open(rig.port);
        sent[i] = send_fetch_of_two(&many[i]);
        if (i == THREADS - 1) {
            CLIENT_AWAIT(atomic_load(&machine.waiting_reads) == THREADS);
            atomic_store(&machine.cold, false);
        }
    }
    CLIENT_AWAIT(fetches_begun() == MANY);
    check_alive(&client); /* behind the others: the loop has tried them all */
    set_gate(&machine.reads_wait, false);
    for (unsigned i = 0; i < MANY; i++) {
        take_both(&many[i], sent[i]);
        kafka_client_close(&many[i]);
    }
    stop();
}

/* Goal: a partition of which nothing is left tells the client to go on behind it, from the page cache and from the disk. */
TEST(hidden_events_are_a_gap)
{
    start((cairn_options){0});
    create("gone", 1);
    for (int i = 0; i < 3; i++) {
        const cairn_event event = {.type = CAIRN_STR("T"), .data = CAIRN_STR("{}")};
        cairn_at at;
        CHECK_OK(cairn_append(rig.store, 0, CAIRN_STR("gone-1"), CAIRN_ANY, &event, 1, &at, NULL));
    }
    CHECK_OK(cairn_delete(rig.store, 0, CAIRN_STR("gone-1"), CAIRN_ANY, false, NULL));
    for (int cold = 1; cold >= 0; cold--) {
        struct batch_head head;
        atomic_store(&machine.cold, cold);
        atomic_store(&machine.pool_reads, 0);
        cairn_str bytes = fetched(fetch((struct fetch_ask){.topic = "gone", .offset = 1}));
        CHECK(batch_head_read(bytes, &head) == NULL);
        CHECK_INT(head.base_offset, 1);
        CHECK_INT(head.base_offset + head.last_offset_delta, 2);
        CHECK_INT(head.count, 0);
        CHECK_INT(atomic_load(&machine.pool_reads) > 0, cold || !can_tell());
    }
    atomic_store(&machine.cold, false);
    stop();
}

/* Goal: damage is an error of its partition, and not the server's end; from the page cache and from the disk.
 * Method: a byte of the second batch is another one on the disk. */
TEST(a_damaged_batch_is_an_error)
{
    char path[128], bytes[64 << 10];
    start((cairn_options){0});
    create("t", 1);
    CHECK_INT(produce("t", 0, "good", 10), 0);
    CHECK_INT(produce("t", 0, MARK, 10), 10);
    snprintf(path, sizeof path, "%s/data/segments/00000001.seg", rig.folder);
    int file = open(path, O_RDWR);
    CHECK(file >= 0);
    ssize_t size = pread(file, bytes, sizeof bytes, 0);
    const char *mark = memmem(bytes, (size_t)size, MARK, sizeof MARK - 1);
    CHECK(mark != NULL);
    CHECK_INT(pwrite(file, "#", 1, mark - bytes), 1);
    CHECK_INT(close(file), 0);
    for (int cold = 0; cold < 2; cold++) {
        atomic_store(&machine.cold, cold);
        CHECK_INT(check_records(fetched(fetch((struct fetch_ask){.topic = "t"})), 0, "good0"), 10);
        const struct kafka_fetch_response_partition *part = fetch((struct fetch_ask){.topic = "t", .offset = 10});
        CHECK_INT(part->error_code, KAFKA_STORAGE_ERROR);
        check_alive(&client);
    }
    atomic_store(&machine.cold, false);
    stop();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(many_appends_wait_for_room),
        RUN(many_bytes_wait_for_room),
        RUN(many_keys_wait_for_room),
        RUN(produces_look_at_their_partition),
        RUN(a_commit_on_the_loop_begins_nothing),
        RUN(a_commit_does_not_hold_up_the_loop),
        RUN(a_read_does_not_hold_up_the_loop),
        RUN(the_loop_answers_what_it_has),
        RUN(no_partition_is_passed_over),
        RUN(many_fetches_wait_for_a_thread),
        RUN(hidden_events_are_a_gap),
        RUN(a_damaged_batch_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

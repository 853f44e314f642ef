/* tests/integration/kafka_wire.h: the wire's machinery with handlers made for tests. What calls mean is for other tests.
 *
 *   ApiVersions   the real one                  Heartbeat    answered at once, on the loop
 *   Produce       pipelined; held until the test lets it go, from the test's thread; acks 0: no answer
 *   Metadata      on the pool: one broker, the topics asked for
 *   Fetch         on the pool: max_bytes of records in pieces; with min_bytes they lie in a file
 *   ListOffsets   answered by a timer           JoinGroup    waits until its client has gone, or for ever
 *   SyncGroup     goes from the loop to the pool and back, and is answered there
 *   LeaveGroup    posts itself, and is answered before that arrives
 *   EndTxn        the last answer of its connection */
#ifndef TESTS_KAFKA_WIRE_H
#define TESTS_KAFKA_WIRE_H

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

static inline void
count_end(struct kafka_call *call)
{
    (void)call;
    atomic_fetch_add(&rig.ended, 1);
}

static inline void
hold(struct kafka_call *call)
{
    pthread_mutex_lock(&rig.lock);
    assert_true(rig.held_count < HELD_MAX);
    rig.held[rig.held_count++] = call;
    pthread_mutex_unlock(&rig.lock);
}

static inline void
run_produce(struct kafka_call *call)
{
    call->on_end = count_end;
    atomic_fetch_add(&rig.begun, 1);
    hold(call);
}

static inline void
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
static inline void
release(unsigned at)
{
    pthread_mutex_lock(&rig.lock);
    struct kafka_call *call = rig.held[at];
    rig.held[at] = NULL;
    pthread_mutex_unlock(&rig.lock);
    assert_non_null(call);
    answer_produce(call);
}

static inline unsigned
held(void)
{
    pthread_mutex_lock(&rig.lock);
    unsigned count = rig.held_count;
    pthread_mutex_unlock(&rig.lock);
    return count;
}

static inline void
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

static inline char
record_byte(size_t i)
{
    return (char)(i * 2654435761u >> 13);
}

static inline void
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

static inline void
run_heartbeat(struct kafka_call *call)
{
    struct kafka_heartbeat_response out = {0};
    atomic_fetch_add(&rig.begun, 1);
    kafka_respond(call, &out);
}

static inline void
offsets_timeout(struct kafka_call *call)
{
    struct kafka_list_offsets_response out = {0};
    kafka_respond(call, &out);
}

static inline void
run_list_offsets(struct kafka_call *call)
{
    const struct kafka_list_offsets_request *in = KAFKA_REQUEST(call, list_offsets);
    kafka_wait(call, (unsigned)in->timeout_ms, offsets_timeout);
    atomic_fetch_add(&rig.begun, 1);
}

static inline void
join_gone(struct kafka_call *call)
{
    atomic_fetch_add(&rig.gone, 1);
    kafka_finish(call);
}

static inline void
run_join(struct kafka_call *call)
{
    call->on_gone = join_gone;
    call->on_end = count_end;
    atomic_fetch_add(&rig.begun, 1);
}

static inline void
sync_at_last(struct kafka_call *call)
{
    const struct kafka_sync_group_request *in = KAFKA_REQUEST(call, sync_group);
    struct kafka_sync_group_response out = {.assignment = in->assignments_count > 0 ? in->assignments[0].assignment : in->member_id};
    kafka_respond(call, &out);
}

static inline void
sync_on_pool(struct kafka_call *call)
{
    kafka_post(call, sync_at_last);
}

static inline void
run_sync(struct kafka_call *call)
{
    if (!kafka_work(call, sync_on_pool))
        kafka_refuse(call, "the pool is full");
}

static inline void
never_run(struct kafka_call *call)
{
    (void)call;
    atomic_fetch_add(&rig.gone, 1);
}

static inline void
run_leave(struct kafka_call *call)
{
    struct kafka_leave_group_response out = {0};
    call->on_end = count_end;
    kafka_post(call, never_run);
    kafka_respond(call, &out);
}

static inline void
run_end(struct kafka_call *call)
{
    struct kafka_end_txn_response out = {.error_code = KAFKA_SASL_AUTHENTICATION_FAILED};
    call->denied = true;
    kafka_respond(call, &out);
}

static inline void
on_tick(struct kafka_server *server, int64_t now_ms)
{
    (void)server;
    if (now_ms > 0)
        atomic_fetch_add(&rig.ticks, 1);
}

static inline void
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

static inline void
keep_line(void *context, const char *line)
{
    (void)context;
    pthread_mutex_lock(&rig.lock);
    snprintf(rig.log, sizeof rig.log, "%s", line);
    pthread_mutex_unlock(&rig.lock);
    atomic_fetch_add(&rig.log_lines, 1);
}

static inline void
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

static inline void
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

static inline void
stop(void)
{
    kafka_server_stop(rig.server, 2000);
    rig.server = NULL;
}

static inline struct kafka_server_stats
stats(void)
{
    struct kafka_server_stats now;
    kafka_server_stats(rig.server, &now);
    return now;
}

static inline int32_t
send_produce(struct kafka_client *client, int16_t acks, const char *topic, cairn_str records)
{
    struct kafka_produce_request_partition partition = {.records = records};
    struct kafka_produce_request_topic asked = {cairn_cstr(topic), &partition, 1};
    struct kafka_produce_request in = {.acks = acks, .topics = &asked, .topics_count = 1};
    return kafka_client_send(client, KAFKA_API_PRODUCE, 9, &in);
}

#endif

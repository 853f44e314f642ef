/* kafka_client.c: see kafka_client.h. Only librdkafka's public calls, with its defaults wherever a setting is not the point. */
#include "kafka_client.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS 30000
#define RECORD_MAX 4096

static bool
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return true;
    failure("kafka: %s=%s: %s", name, value, why);
    return false;
}

struct wish {
    const char *name, *value;
};

static rd_kafka_t *
client_new(rd_kafka_type_t type, unsigned port, const struct wish *wishes, void (*told)(rd_kafka_t *, const rd_kafka_message_t *, void *),
           void *context)
{
    char brokers[32], why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    snprintf(brokers, sizeof brokers, "127.0.0.1:%u", port);
    bool ok = set(conf, "bootstrap.servers", brokers);
    for (; ok && wishes != NULL && wishes->name != NULL; wishes++)
        ok = set(conf, wishes->name, wishes->value);
    if (told != NULL)
        rd_kafka_conf_set_dr_msg_cb(conf, told);
    rd_kafka_conf_set_opaque(conf, context);
    rd_kafka_t *client = ok ? rd_kafka_new(type, conf, why, sizeof why) : NULL;
    if (client == NULL)
        rd_kafka_conf_destroy(conf);
    return client;
}

static const struct wish QUIET[] = {{"log_level", "0"}, {NULL, NULL}};

bool
kafka_answers(unsigned port)
{
    rd_kafka_t *client = client_new(RD_KAFKA_PRODUCER, port, QUIET, NULL, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    bool there = client != NULL && rd_kafka_metadata(client, 0, NULL, &metadata, 500) == RD_KAFKA_RESP_ERR_NO_ERROR
                 && metadata->broker_cnt > 0;
    if (metadata != NULL)
        rd_kafka_metadata_destroy(metadata);
    if (client != NULL)
        rd_kafka_destroy(client);
    return there;
}

/* ---- topics -------------------------------------------------------------------------------- */

/* Wait for an admin call's answer and look for an error among the topics in it. */
static bool
topics_answered(rd_kafka_queue_t *queue, bool made, const char *what)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, CALL_MS);
    rd_kafka_resp_err_t err = event != NULL ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    const char *why = rd_kafka_err2str(err);
    size_t count = 0;
    const rd_kafka_topic_result_t **results = NULL;
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        results = made ? rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count)
                       : rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    for (size_t i = 0; i < count && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        err = rd_kafka_topic_result_error(results[i]);
        why = rd_kafka_topic_result_error_string(results[i]);
    }
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        failure("kafka: %s: %s", what, why != NULL ? why : rd_kafka_err2name(err));
    if (event != NULL)
        rd_kafka_event_destroy(event);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool
make_topics(const struct kafka_target *target, const char *const *names, size_t count, unsigned partitions)
{
    rd_kafka_t *client = client_new(RD_KAFKA_PRODUCER, target->port, QUIET, NULL, NULL);
    if (client == NULL)
        return false;
    rd_kafka_NewTopic_t **topics = calloc(count, sizeof *topics);
    char why[256];
    for (size_t i = 0; i < count; i++) {
        topics[i] = rd_kafka_NewTopic_new(names[i], (int)partitions, 1, why, sizeof why);
        if (target->topic_config[0] != NULL)
            rd_kafka_NewTopic_set_config(topics[i], target->topic_config[0], target->topic_config[1]);
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_AdminOptions_set_request_timeout(options, CALL_MS, why, sizeof why);
    rd_kafka_AdminOptions_set_operation_timeout(options, CALL_MS - 5000, why, sizeof why);
    rd_kafka_CreateTopics(client, topics, count, options, queue);
    bool ok = topics_answered(queue, true, "cannot make topics");
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy_array(topics, count);
    free(topics);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(client);
    return ok;
}

bool
kafka_make_topic(const struct kafka_target *target, const char *topic, unsigned partitions)
{
    return make_topics(target, &topic, 1, partitions);
}

bool
kafka_make_topics(const struct kafka_target *target, const char *prefix, unsigned count)
{
    enum { STEP = 1000 };
    char(*text)[64] = calloc(STEP, sizeof *text);
    const char **names = calloc(STEP, sizeof *names);
    bool ok = true;
    for (unsigned from = 0; ok && from < count; from += STEP) {
        unsigned some = count - from < STEP ? count - from : STEP;
        for (unsigned i = 0; i < some; i++) {
            snprintf(text[i], sizeof text[i], "%s%u", prefix, from + i);
            names[i] = text[i];
        }
        ok = make_topics(target, names, some, 1);
    }
    free(text);
    free(names);
    return ok;
}

bool
kafka_delete_topic(const struct kafka_target *target, const char *topic)
{
    rd_kafka_t *client = client_new(RD_KAFKA_PRODUCER, target->port, QUIET, NULL, NULL);
    if (client == NULL)
        return false;
    rd_kafka_DeleteTopic_t *one = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DeleteTopics(client, &one, 1, NULL, queue);
    bool ok = topics_answered(queue, false, "cannot delete a topic");
    rd_kafka_DeleteTopic_destroy(one);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(client);
    return ok;
}

/* ---- producing --------------------------------------------------------------------------------- */

struct told {
    uint64_t good, bad;
};

static void
note_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *context)
{
    (void)client;
    struct told *told = context;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        told->good++;
    else
        told->bad++;
}

static void
fill(char *to, size_t size)
{
    uint64_t state = 88172645463325252u; /* xorshift: text that a codec would not shrink to nothing */
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        to[i] = (char)(' ' + state % 90);
    }
}

/* The client's queue is its own bound: when it is full we serve deliveries and try again. */
static bool
produce_one(rd_kafka_t *client, rd_kafka_topic_t *topic, unsigned partition, const void *bytes, size_t size, int flags)
{
    while (rd_kafka_produce(topic, (int32_t)partition, flags, (void *)(uintptr_t)bytes, size, NULL, 0, NULL) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            failure("kafka: cannot produce: %s", rd_kafka_err2str(rd_kafka_last_error()));
            return false;
        }
        rd_kafka_poll(client, 10);
    }
    return true;
}

bool
kafka_produce(const struct kafka_target *target, const char *topic_name, unsigned partitions, size_t size, double seconds,
              struct sample *ret)
{
    static char record[RECORD_MAX];
    struct told told = {0, 0};
    rd_kafka_t *client = client_new(RD_KAFKA_PRODUCER, target->port, NULL, note_delivery, &told);
    if (client == NULL || size > sizeof record)
        return false;
    fill(record, size);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, topic_name, NULL);
    bool ok = produce_one(client, topic, 0, record, size, 0) && rd_kafka_flush(client, CALL_MS) == 0; /* connections are made */
    uint64_t sent = 0, begin = now_ns();
    double client_s = cpu_self_s(), server_s = cpu_tree_s(target->pid);
    uint64_t until = begin + (uint64_t)(seconds * 1e9);
    for (told.good = 0; ok && (sent % 256 != 0 || now_ns() < until); sent++) {
        ok = produce_one(client, topic, (unsigned)(sent % partitions), record, size, 0);
        if (sent % 256 == 0)
            rd_kafka_poll(client, 0);
    }
    ok = ok && rd_kafka_flush(client, CALL_MS) == 0;
    double took = (double)(now_ns() - begin) / 1e9;
    *ret = (struct sample){.appends = told.good, .seconds = took, .client_cores = (cpu_self_s() - client_s) / took,
                           .server_cores = (cpu_tree_s(target->pid) - server_s) / took};
    if (ok && (told.bad > 0 || told.good != sent)) {
        failure("kafka: %s: of %llu records %llu were acknowledged, %llu refused", target->label, (unsigned long long)sent,
                (unsigned long long)told.good, (unsigned long long)told.bad);
        ok = false;
    }
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
    return ok;
}

static const struct wish EAGER[] = {{"linger.ms", "0"}, {NULL, NULL}};

struct waiting_producer {
    const struct kafka_target *target;
    const char *topic;
    size_t size;
    double seconds;
    pthread_barrier_t *connected;
    uint64_t acknowledged;
    bool ok;
};

static void *
produce_and_wait(void *context)
{
    struct waiting_producer *producer = context;
    char record[RECORD_MAX];
    struct told told = {0, 0};
    rd_kafka_t *client = client_new(RD_KAFKA_PRODUCER, producer->target->port, EAGER, note_delivery, &told);
    rd_kafka_topic_t *topic = client != NULL ? rd_kafka_topic_new(client, producer->topic, NULL) : NULL;
    fill(record, producer->size);
    bool ok = topic != NULL && produce_one(client, topic, 0, record, producer->size, 0) && rd_kafka_flush(client, CALL_MS) == 0;
    pthread_barrier_wait(producer->connected);
    uint64_t until = now_ns() + (uint64_t)(producer->seconds * 1e9);
    for (told.good = 0; ok && now_ns() < until; producer->acknowledged = told.good) {
        ok = produce_one(client, topic, 0, record, producer->size, 0);
        while (ok && told.good == producer->acknowledged)
            ok = rd_kafka_poll(client, CALL_MS) > 0 && told.bad == 0;
    }
    producer->ok = ok;
    if (topic != NULL)
        rd_kafka_topic_destroy(topic);
    if (client != NULL)
        rd_kafka_destroy(client);
    return NULL;
}

bool
kafka_produce_each(const struct kafka_target *target, const char *topic, unsigned count, size_t size, double seconds,
                   struct sample *ret)
{
    enum { MOST = 64 };
    struct waiting_producer producers[MOST];
    pthread_t threads[MOST];
    pthread_barrier_t connected;
    bool ok = count <= MOST && size <= RECORD_MAX && pthread_barrier_init(&connected, NULL, count) == 0;
    *ret = (struct sample){.seconds = seconds};
    for (unsigned i = 0; ok && i < count; i++) {
        producers[i] = (struct waiting_producer){.target = target, .topic = topic, .size = size, .seconds = seconds,
                                                 .connected = &connected};
        if (pthread_create(&threads[i], NULL, produce_and_wait, &producers[i]) != 0) {
            failure("kafka: cannot start a thread"); /* those that wait at the barrier wait for it */
            abort();
        }
    }
    for (unsigned i = 0; ok && i < count; i++) {
        pthread_join(threads[i], NULL);
        ret->appends += producers[i].acknowledged;
    }
    for (unsigned i = 0; i < count; i++)
        ok = ok && producers[i].ok;
    if (!ok)
        failure("kafka: %s: a producer that waits for each record did not get on", target->label);
    return ok;
}

/* ---- consuming -------------------------------------------------------------------------------------- */

static const struct wish READER[] = {{"group.id", "bench"}, {"enable.auto.commit", "false"}, {"auto.offset.reset", "earliest"}, {NULL, NULL}};

static rd_kafka_t *
consumer_new(const struct kafka_target *target, const char *topic, unsigned partitions, int64_t offset)
{
    rd_kafka_t *client = client_new(RD_KAFKA_CONSUMER, target->port, READER, NULL, NULL);
    if (client == NULL)
        return NULL;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)partitions);
    for (unsigned i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, (int32_t)i)->offset = offset;
    rd_kafka_poll_set_consumer(client);
    rd_kafka_assign(client, list);
    rd_kafka_topic_partition_list_destroy(list);
    return client;
}

bool
kafka_consume(const struct kafka_target *target, const char *topic, unsigned partitions, uint64_t count, struct sample *ret)
{
    enum { STEP = 1000 };
    static rd_kafka_message_t *messages[STEP];
    rd_kafka_t *client = consumer_new(target, topic, partitions, RD_KAFKA_OFFSET_BEGINNING);
    if (client == NULL)
        return false;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    uint64_t seen = 0, begin = 0, give_up = now_ns() + 60000000000u;
    double client_s = 0, server_s = 0;
    while (seen < count && now_ns() < give_up) {
        ssize_t got = rd_kafka_consume_batch_queue(queue, 100, messages, STEP);
        if (got > 0 && begin == 0) { /* the clock starts with the first records: finding the broker is not consuming */
            begin = now_ns();
            client_s = cpu_self_s();
            server_s = cpu_tree_s(target->pid);
        }
        for (ssize_t i = 0; i < got; i++) {
            seen += messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR;
            rd_kafka_message_destroy(messages[i]);
        }
    }
    double took = (double)(now_ns() - begin) / 1e9;
    *ret = (struct sample){.appends = seen, .seconds = took, .client_cores = (cpu_self_s() - client_s) / took,
                           .server_cores = (cpu_tree_s(target->pid) - server_s) / took};
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    if (seen < count)
        failure("kafka: %s: of %llu records %llu came", target->label, (unsigned long long)count, (unsigned long long)seen);
    return seen >= count;
}

/* ---- latency ------------------------------------------------------------------------------------------- */

struct listening {
    rd_kafka_t *client;
    struct histogram *histogram;
    uint64_t wanted;
    _Atomic bool ready, stop;
};

/* Each record begins with the time when it was handed to the producer; 0: a record to find the beginning by. */
static void *
hear(void *context)
{
    struct listening *listening = context;
    uint64_t seen = 0;
    while (seen < listening->wanted && !listening->stop) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(listening->client, 100);
        if (message == NULL)
            continue;
        uint64_t sent = 0;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->len >= sizeof sent)
            memcpy(&sent, message->payload, sizeof sent);
        if (sent == 0 && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            listening->ready = true;
        } else if (sent != 0) {
            histogram_add(listening->histogram, now_ns() - sent);
            seen++;
        }
        rd_kafka_message_destroy(message);
    }
    return NULL;
}

bool
kafka_latency(const struct kafka_target *target, const char *topic_name, double rate, double seconds, struct sample *ret)
{
    static char record[100];
    struct told told = {0, 0};
    struct histogram *histogram = calloc(1, sizeof *histogram);
    struct listening listening = {.histogram = histogram, .wanted = (uint64_t)(rate * seconds)};
    rd_kafka_t *client = client_new(RD_KAFKA_PRODUCER, target->port, EAGER, note_delivery, &told);
    listening.client = consumer_new(target, topic_name, 1, RD_KAFKA_OFFSET_BEGINNING);
    pthread_t thread;
    bool ok = client != NULL && listening.client != NULL && histogram != NULL
              && pthread_create(&thread, NULL, hear, &listening) == 0;
    if (!ok)
        return false;
    fill(record, sizeof record);
    memset(record, 0, 8);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, topic_name, NULL);
    ok = produce_one(client, topic, 0, record, sizeof record, RD_KAFKA_MSG_F_COPY);
    for (unsigned i = 0; ok && !listening.ready && i < 1000; i++)
        rd_kafka_poll(client, 10);
    uint64_t begin = now_ns();
    for (uint64_t sent = 0; ok && sent < listening.wanted;) {
        uint64_t due = begin + (uint64_t)((double)sent / rate * 1e9), now = now_ns();
        if (now < due) {
            rd_kafka_poll(client, due - now > 1000000 ? 1 : 0);
            continue;
        }
        memcpy(record, &now, sizeof now);
        ok = produce_one(client, topic, 0, record, sizeof record, RD_KAFKA_MSG_F_COPY);
        sent++;
    }
    ok = ok && rd_kafka_flush(client, CALL_MS) == 0;
    for (unsigned i = 0; ok && histogram->total < listening.wanted && i < 500; i++)
        sleep_ms(10); /* the last ones are on their way; a consumer that gets nothing shows as a failure below */
    listening.stop = true;
    pthread_join(thread, NULL);
    *ret = (struct sample){.appends = histogram->total, .seconds = seconds, .p50_us = histogram_us(histogram, 0.5),
                           .p99_us = histogram_us(histogram, 0.99)};
    if (ok && histogram->total < listening.wanted) {
        failure("kafka: %s: of %llu records %llu came back", target->label, (unsigned long long)listening.wanted,
                (unsigned long long)histogram->total);
        ok = false;
    }
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
    rd_kafka_consumer_close(listening.client);
    rd_kafka_destroy(listening.client);
    free(histogram);
    return ok;
}

/* ---- many topics and groups ---------------------------------------------------------------------------------- */

/* The call is made twice on a connection, the second time is taken: connecting is not what is measured. */
bool
kafka_metadata_ms(const struct kafka_target *target, double *ret)
{
    rd_kafka_t *client = client_new(RD_KAFKA_PRODUCER, target->port, NULL, NULL, NULL);
    bool ok = client != NULL;
    for (int i = 0; ok && i < 2; i++) {
        const struct rd_kafka_metadata *metadata;
        uint64_t begin = now_ns();
        ok = rd_kafka_metadata(client, 1, NULL, &metadata, CALL_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
        *ret = (double)(now_ns() - begin) / 1e6;
        if (ok)
            rd_kafka_metadata_destroy(metadata);
    }
    if (client != NULL)
        rd_kafka_destroy(client);
    return ok;
}

static rd_kafka_t *
group_client(const struct kafka_target *target, const char *group)
{
    const struct wish wishes[] = {{"group.id", group}, {"enable.auto.commit", "false"}, {NULL, NULL}};
    return client_new(RD_KAFKA_CONSUMER, target->port, wishes, NULL, NULL);
}

bool
kafka_make_groups(const struct kafka_target *target, const char *topic_prefix, unsigned count)
{
    bool ok = true;
    for (unsigned i = 0; ok && i < count; i++) {
        char group[64], topic[64];
        snprintf(group, sizeof group, "group-%u", i);
        snprintf(topic, sizeof topic, "%s%u", topic_prefix, i);
        rd_kafka_t *client = group_client(target, group);
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(list, topic, 0)->offset = 0;
        ok = client != NULL && rd_kafka_commit(client, list, 0) == RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_topic_partition_list_destroy(list);
        if (client != NULL)
            rd_kafka_destroy(client);
    }
    if (!ok)
        failure("kafka: %s: cannot commit for a new group", target->label);
    return ok;
}

bool
kafka_list_groups_ms(const struct kafka_target *target, double *ret)
{
    rd_kafka_t *client = client_new(RD_KAFKA_PRODUCER, target->port, NULL, NULL, NULL);
    bool ok = client != NULL;
    for (int i = 0; ok && i < 2; i++) {
        const struct rd_kafka_group_list *list;
        uint64_t begin = now_ns();
        ok = rd_kafka_list_groups(client, NULL, &list, CALL_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
        *ret = (double)(now_ns() - begin) / 1e6;
        if (ok)
            rd_kafka_group_list_destroy(list);
    }
    if (client != NULL)
        rd_kafka_destroy(client);
    return ok;
}

bool
kafka_lag_ms(const struct kafka_target *target, const char *topic, const char *group, double *ret)
{
    rd_kafka_t *client = group_client(target, group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0);
    bool ok = client != NULL;
    for (int i = 0; ok && i < 2; i++) {
        int64_t low, high;
        uint64_t begin = now_ns();
        ok = rd_kafka_committed(client, list, CALL_MS) == RD_KAFKA_RESP_ERR_NO_ERROR
             && rd_kafka_query_watermark_offsets(client, topic, 0, &low, &high, CALL_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
        *ret = (double)(now_ns() - begin) / 1e6;
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (client != NULL)
        rd_kafka_destroy(client);
    return ok;
}

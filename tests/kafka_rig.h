/* tests/kafka_rig.h: a store in a temporary folder, and all that serves Kafka's clients on it, in this process. */
#ifndef TESTS_KAFKA_RIG_H
#define TESTS_KAFKA_RIG_H

#include "kafka_client.h"

#include <os/wait.h>
#include <proto/kafka/calls.h>
#include <proto/kafka/kafka.h>
#include <pthread.h>
#include <store/store.h>
#include <topic/broker.h>
#include <topic/groups.h>

struct kafka_rig {
    char folder[64];
    struct os *os;         /* the store's; NULL: the real one */
    cairn_options options; /* the store's */
    void (*opened)(cairn_store *store); /* before anything uses it; NULL: nothing to do */
    __typeof__(((struct broker_options *)0)->validate) validate; /* of the broker; NULL: values are not checked */
    cairn_store *store;
    struct broker *broker;
    struct groups_broker *groups;
    struct kafka_sasl *sasl;
    struct kafka_server *server;
    uint16_t port;
    pthread_t ticker;
    _Atomic uint32_t stopping;
};

static inline void *
kafka_rig_tick(void *context)
{
    struct kafka_rig *rig = context;
    while (atomic_load(&rig->stopping) == 0) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        broker_tick(rig->broker, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
        os_wait(&rig->stopping, 0, 200000);
    }
    return NULL;
}

static inline void
kafka_rig_log(void *context, const char *line)
{
    (void)context;
    if (getenv("TEST_LOG"))
        fprintf(stderr, "%s\n", line);
}

/* Start on what is in the folder. `config`: what the test wants otherwise; broker, groups and calls are filled in. */
static inline void
kafka_rig_start(struct kafka_rig *rig, struct kafka_config config, const struct kafka_sasl_options *sasl)
{
    char data[96];
    cairn_error error = {0};
    cairn_options store = rig->options;
    store.create = true;
    if (store.segment_size_bytes == 0)
        store.segment_size_bytes = 4 << 20;
    const struct broker_options broker = {.partitions = 1, .validate = rig->validate};
    const struct groups_options groups = {.initial_delay_ms = 20};
    snprintf(data, sizeof data, "%s/data", rig->folder);
    if (cairn_store_open_on(rig->os ? rig->os : os_real(), data, &store, &rig->store, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    if (rig->opened)
        rig->opened(rig->store);
    if (broker_open(rig->store, &broker, &rig->broker, &error) != CAIRN_OK ||
        groups_open(rig->broker, &groups, &rig->groups, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    if (sasl && kafka_sasl_new(rig->store, 0, sasl, &rig->sasl, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    config.address = "127.0.0.1";
    config.cluster_id = config.cluster_id ? config.cluster_id : "test-cluster";
    config.broker = rig->broker;
    config.groups = rig->groups;
    config.sasl = rig->sasl;
    config.calls = &kafka_calls;
    config.log = config.log ? config.log : kafka_rig_log;
    if (kafka_server_start(&config, &rig->server, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    rig->port = kafka_server_port(rig->server);
    atomic_store(&rig->stopping, 0);
    CHECK_INT(pthread_create(&rig->ticker, NULL, kafka_rig_tick, rig), 0);
}

static inline void
kafka_rig_stop(struct kafka_rig *rig)
{
    atomic_store(&rig->stopping, 1);
    os_wake(&rig->stopping, 1);
    pthread_join(rig->ticker, NULL);
    kafka_server_stop(rig->server, 5000);
    kafka_sasl_free(rig->sasl);
    rig->sasl = NULL;
    groups_close(rig->groups);
    broker_close(rig->broker);
    cairn_close(rig->store);
}

static inline void
kafka_rig_open(struct kafka_rig *rig, struct kafka_config config, const struct kafka_sasl_options *sasl)
{
    *rig = (struct kafka_rig){.port = 0};
    test_folder(rig->folder);
    kafka_rig_start(rig, config, sasl);
}

static inline void
kafka_rig_close(struct kafka_rig *rig)
{
    kafka_rig_stop(rig);
    test_remove(rig->folder);
}

#endif

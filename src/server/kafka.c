/* Kafka's side of the server. See kafka.h.
 *
 *   open:   broker ─► groups ─► relays          stop: doors        close: relays ─► groups ─► broker
 *   listen: who may log in ─► Kafka's door ─► the registry's
 *
 * Topics have work of their own (transactions whose time is up, retention) whether or not the door is open; then a thread here does
 * it, once a second. */
#include <server/kafka.h>

#include <base/error.h>
#include <base/text.h>
#include <bus/relay.h>
#include <os/os.h>
#include <os/thread.h>
#include <os/wait.h>
#include <proto/http/http.h>
#include <proto/http/registry.h>
#include <proto/kafka/calls.h>
#include <proto/kafka/kafka.h>
#include <schema/registry.h>
#include <server/log.h>
#include <topic/broker.h>
#include <topic/groups.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct kafka_side {
    const struct server_config *config;
    cairn_store *store;
    struct broker *broker;
    struct groups_broker *groups;
    struct relays *relays;
    struct registry_door *door;
    struct kafka_sasl *sasl;
    struct kafka_server *kafka;  /* set and taken away under the lock: /metrics asks for it from other threads */
    pthread_mutex_t lock;
    struct http_server *registry;
    char cluster_id[UUID_TEXT_SIZE], advertised[CONFIG_HOST_SIZE];
    char address[128], registry_url[160];
    pthread_t ticker;
    bool ticking;
    _Atomic uint32_t stopping;
};

static const char *
or_null(const char *text)
{
    return text[0] ? text : NULL;
}

/* ---- opening ---------------------------------------------------------------------------------------------------------------- */

static void
log_of_relays(void *context, bool error, const char *relay, const char *message)
{
    (void)context;
    server_log(error ? SERVER_LOG_WARN : SERVER_LOG_INFO, "relay", "name", relay, error ? "detail" : "state", message, NULL);
}

static enum kafka_err
validate(void *context, cairn_str subject, cairn_str value, char *ret_reason, size_t reason_size)
{
    struct kafka_side *side = context;
    cairn_error error = {0};
    cairn_err err = schema_registry_validate(registry_door_registry(side->door), subject, value, &error);
    if (err == CAIRN_OK)
        return KAFKA_NONE;
    snprintf(ret_reason, reason_size, "%s", error.detail);
    return err == CAIRN_E_INVALID || err == CAIRN_E_NOTFOUND || err == CAIRN_E_LIMIT ? KAFKA_INVALID_RECORD : kafka_err_of(err);
}

static void *
tick(void *context)
{
    struct kafka_side *side = context;
    while (atomic_load(&side->stopping) == 0) {
        int64_t now_us = os_now_us(os_real());
        broker_tick(side->broker, now_us);
        groups_expire(side->groups, now_us);
        os_wait(&side->stopping, 0, 1000000);
    }
    return NULL;
}

static cairn_err
open_broker(struct kafka_side *side, cairn_error *error)
{
    const struct server_config *config = side->config;
    const struct broker_options options = {
        .partitions = (uint32_t)config->kafka_partitions,
        .no_auto_create = config->kafka_auto_create == 0,
        .message_max_bytes = (uint32_t)config->kafka_message_size,
        .transactions_bytes = config->kafka_transactions_size,
        .validate = validate,
        .validate_context = side,
    };
    return broker_open(side->store, &options, &side->broker, error);
}

cairn_err
kafka_side_open(const struct server_config *config, cairn_store *store, struct kafka_side **ret, cairn_error *error)
{
    struct kafka_side *side = calloc(1, sizeof *side);
    if (side == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    pthread_mutex_init(&side->lock, NULL);
    side->config = config;
    side->store = store;
    const struct groups_options groups = {.bytes_max = config->kafka_groups_size};
    cairn_err err = registry_door_create(store, 0, NULL, &side->door, error);
    if (err == CAIRN_OK)
        err = open_broker(side, error);
    if (err == CAIRN_OK)
        err = groups_open(side->broker, &groups, &side->groups, error);
    if (err == CAIRN_OK)
        err = relays_open(store, 0, log_of_relays, NULL, &side->relays, error);
    if (err == CAIRN_OK) {
        side->ticking = os_thread_start(&side->ticker, "cairn-topics", tick, side) == 0;
        err = side->ticking ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "cannot start the thread that looks after topics");
    }
    if (err == CAIRN_OK)
        *ret = side;
    else
        kafka_side_close(side);
    return err;
}

void
kafka_side_close(struct kafka_side *side)
{
    if (side == NULL)
        return;
    kafka_side_stop(side, 0);
    if (side->ticking) {
        atomic_store(&side->stopping, 1);
        os_wake(&side->stopping, 1);
        pthread_join(side->ticker, NULL);
    }
    relays_close(side->relays);
    groups_close(side->groups);
    broker_close(side->broker);
    registry_door_free(side->door);
    kafka_sasl_free(side->sasl);
    pthread_mutex_destroy(&side->lock);
    free(side);
}

/* ---- the doors ------------------------------------------------------------------------------------------------------------------- */

static void
log_of_kafka(void *context, const char *line)
{
    (void)context;
    server_log(SERVER_LOG_WARN, "kafka", "detail", line, NULL);
}

static cairn_err
open_kafka(struct kafka_side *side, cairn_error *error)
{
    const struct server_config *config = side->config;
    struct kafka_config kafka = {
        .tls_cert_file = or_null(config->kafka_tls_cert),
        .tls_key_file = or_null(config->kafka_tls_key),
        .tls_client_ca_file = or_null(config->kafka_tls_client_ca),
        .cluster_id = side->cluster_id,
        .loops = (unsigned)config->kafka_loops,
        .connections_max = (unsigned)config->kafka_connections,
        .request_max = config->kafka_request_size,
        .requests_max = config->kafka_requests_size,
        .produce_rate = config->kafka_produce_rate,
        .fetch_rate = config->kafka_fetch_rate,
        .broker = side->broker,
        .groups = side->groups,
        .calls = &kafka_calls,
        .log = log_of_kafka,
    };
    const struct kafka_sasl_options sasl = {
        .mechanisms = config->kafka_sasl,
        .users_file = or_null(config->kafka_users),
        .keys_file = or_null(config->kafka_jwks),
        .issuer = or_null(config->kafka_jwt_issuer),
        .audience = or_null(config->kafka_jwt_audience),
    };
    char address[64];
    cairn_stats stats;
    cairn_stats_get(side->store, &stats);
    format_uuid(stats.log_id, side->cluster_id);
    cairn_err err = config_address("kafka.listen", config->kafka_listen, address, &kafka.port, error);
    kafka.address = address;
    if (err == CAIRN_OK)
        err = config_advertised(config->kafka_advertise, side->advertised, &kafka.advertised_port, error);
    kafka.advertised_host = side->advertised;
    if (err == CAIRN_OK && config->kafka_sasl[0]) {
        err = kafka_sasl_new(side->store, 0, &sasl, &side->sasl, error);
        kafka.sasl = side->sasl;
    }
    struct kafka_server *started = NULL;
    if (err == CAIRN_OK)
        err = kafka_server_start(&kafka, &started, error);
    if (err != CAIRN_OK)
        return err;
    pthread_mutex_lock(&side->lock);
    side->kafka = started;
    pthread_mutex_unlock(&side->lock);
    bool v6 = strchr(address, ':') != NULL;
    snprintf(side->address, sizeof side->address, "%s%s%s:%u", v6 ? "[" : "", address, v6 ? "]" : "",
             (unsigned)kafka_server_port(side->kafka));
    return CAIRN_OK;
}

static cairn_err
open_registry(struct kafka_side *side, cairn_error *error)
{
    const struct server_config *config = side->config;
    char address[64];
    struct http_config http = {
        .tls_cert_file = or_null(config->tls_cert),
        .tls_key_file = or_null(config->tls_key),
        .tls_client_ca_file = or_null(config->tls_client_ca),
        .loops = 1, /* schemas are asked for once and then known to the clients */
        .handler = registry_door_handle,
        .context = side->door,
    };
    cairn_err err = config_address("schema_registry.listen", config->registry_listen, address, &http.port, error);
    http.address = address;
    if (err == CAIRN_OK)
        err = http_server_start(&http, &side->registry, error);
    if (err != CAIRN_OK)
        return err;
    bool v6 = strchr(address, ':') != NULL;
    snprintf(side->registry_url, sizeof side->registry_url, "%s://%s%s%s:%u", config->tls_cert[0] ? "https" : "http", v6 ? "[" : "",
             address, v6 ? "]" : "", (unsigned)http_server_port(side->registry));
    return CAIRN_OK;
}

cairn_err
kafka_side_listen(struct kafka_side *side, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    if (side->config->kafka_listen[0])
        err = open_kafka(side, error);
    if (err == CAIRN_OK && side->config->registry_listen[0])
        err = open_registry(side, error);
    return err;
}

/* ---- figures ---------------------------------------------------------------------------------------------------------------------- */

static void
put_metric(struct buf *to, const char *name, const char *type, const char *help, uint64_t value)
{
    buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name, (unsigned long long)value);
}

/* The lock keeps the door from being taken away while its figures are read. */
void
kafka_side_metrics(void *context, struct buf *to)
{
    struct kafka_side *side = context;
    struct kafka_server_stats stats;
    pthread_mutex_lock(&side->lock);
    bool open = side->kafka != NULL;
    if (open)
        kafka_server_stats(side->kafka, &stats);
    pthread_mutex_unlock(&side->lock);
    if (!open)
        return;
    put_metric(to, "cairn_kafka_connections", "gauge", "Connections of Kafka's clients open now.", stats.connections);
    put_metric(to, "cairn_kafka_connections_total", "counter", "Connections accepted.", stats.connections_total);
    put_metric(to, "cairn_kafka_rejected_total", "counter", "Connections closed by a bound or a fault.", stats.rejected_total);
    put_metric(to, "cairn_kafka_received_bytes_total", "counter", "Bytes received.", stats.bytes_in_total);
    put_metric(to, "cairn_kafka_sent_bytes_total", "counter", "Bytes sent.", stats.bytes_out_total);
    put_metric(to, "cairn_kafka_denied_total", "counter", "Logins and TLS handshakes that failed.", stats.denied_total);
    put_metric(to, "cairn_kafka_throttled_total", "counter", "Answers after which a connection had to wait because of its rate.", stats.throttled_total);
    put_metric(to, "cairn_kafka_throttled_ms_total", "counter", "Milliseconds for which connections had to wait because of their rates.",
               stats.throttled_ms_total);
    put_metric(to, "cairn_kafka_request_bytes", "gauge", "Requests in memory now.", stats.request_bytes);
    put_metric(to, "cairn_kafka_unsent_bytes", "gauge", "Answers in memory that clients have not read.", stats.unsent_bytes);
    put_metric(to, "cairn_kafka_group_bytes", "gauge", "What members of consumer groups hold in memory.", groups_bytes(side->groups));
    buf_printf(to, "# HELP cairn_kafka_calls_total Calls begun, by Kafka's number of the call.\n"
                   "# TYPE cairn_kafka_calls_total counter\n");
    for (size_t i = 0; i < sizeof stats.calls_by_key / sizeof *stats.calls_by_key; i++)
        if (stats.calls_by_key[i] > 0)
            buf_printf(to, "cairn_kafka_calls_total{key=\"%zu\"} %llu\n", i, (unsigned long long)stats.calls_by_key[i]);
}

void
kafka_side_stop(struct kafka_side *side, unsigned grace_ms)
{
    if (side == NULL)
        return;
    pthread_mutex_lock(&side->lock);
    struct kafka_server *kafka = side->kafka;
    side->kafka = NULL;
    pthread_mutex_unlock(&side->lock);
    kafka_server_stop(kafka, grace_ms);
    if (side->registry != NULL)
        http_server_stop(side->registry, grace_ms);
    side->registry = NULL;
}

struct broker *kafka_side_broker(struct kafka_side *side) { return side->broker; }
struct groups_broker *kafka_side_groups(struct kafka_side *side) { return side->groups; }
struct relays *kafka_side_relays(struct kafka_side *side) { return side->relays; }
const char *kafka_side_address(const struct kafka_side *side) { return side->address; }
const char *kafka_side_registry_url(const struct kafka_side *side) { return side->registry_url; }

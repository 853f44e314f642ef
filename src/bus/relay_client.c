/* librdkafka's side of a relay: settings, and what Kafka says about a topic. */
#include "relay_int.h"

#include <base/json.h>
#include <os/os.h>
#include <stdio.h>
#include <stdlib.h>

#define UNREACHABLE "Kafka cannot be reached: %s"

/* What a relay may set. Left out is what runs a program, loads a library, reads a file of the user's choice into a request, or
 * would take from the relay what its guarantees rest on. */
static const char *const allowed[] = {
    "bootstrap.servers", "client.id", "client.dns.lookup", "broker.address.family", "metadata.max.age.ms",
    "topic.metadata.refresh.interval.ms", "socket.timeout.ms", "socket.keepalive.enable", "socket.nagle.disable",
    "socket.send.buffer.bytes", "socket.receive.buffer.bytes", "socket.connection.setup.timeout.ms", "connections.max.idle.ms",
    "reconnect.backoff.ms", "reconnect.backoff.max.ms", "retry.backoff.ms", "request.timeout.ms", "message.max.bytes",
    "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password", "ssl.ca.location",
    "ssl.certificate.location", "ssl.key.location", "ssl.key.password", "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification", "compression.codec", "compression.type", "compression.level", "linger.ms",
    "batch.size", "batch.num.messages", "transaction.timeout.ms", "partitioner", "fetch.min.bytes", "fetch.max.bytes",
    "fetch.wait.max.ms", "max.partition.fetch.bytes", "fetch.message.max.bytes", "check.crcs",
};

bool
relay_setting_allowed(cairn_str name)
{
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (cairn_str_equal(name, cairn_cstr(allowed[i])))
            return true;
    return false;
}

static cairn_err
set(rd_kafka_conf_t *conf, const char *name, const char *value, cairn_error *error)
{
    char why[200] = "";
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, name, value, why, sizeof why);
    if (result == RD_KAFKA_CONF_OK)
        return CAIRN_OK;
    return error_set(error, CAIRN_E_INVALID, "client: %s: %s", name, why[0] ? why : "is not known to the client");
}

/* The value of a setting as text: itself, or what the environment has under {"env": NAME}. */
static cairn_err
setting_text(struct json value, struct arena *arena, cairn_str *ret, cairn_error *error)
{
    if (value.type == JSON_OBJECT) {
        cairn_str name = arena_copy(arena, json_string(json_get(value, "env"), arena));
        const char *found = name.data != NULL ? getenv(name.data) : NULL;
        if (found == NULL)
            return error_set(error, CAIRN_E_NOTFOUND, "client: the environment has no %.*s", (int)name.size,
                             name.data ? name.data : "");
        *ret = cairn_cstr(found);
        return CAIRN_OK;
    }
    *ret = arena_copy(arena, value.type == JSON_STRING ? json_string(value, arena) : value.raw);
    return ret->data != NULL ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for a relay's settings");
}

static cairn_err
set_all(struct relay *relay, rd_kafka_conf_t *conf, struct arena *arena, cairn_error *error)
{
    struct json name, value;
    cairn_err err = CAIRN_OK;
    for (struct json_walk walk = json_walk(json_trusted(relay->spec.client)); err == CAIRN_OK && json_next(&walk, &name, &value);) {
        cairn_str key = arena_copy(arena, json_string(name, arena)), text = {0}; /* librdkafka wants a final 0 */
        if (key.data == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for a relay's settings");
        err = setting_text(value, arena, &text, error);
        if (err == CAIRN_OK)
            err = set(conf, key.data, text.data, error);
    }
    return err;
}

/* What librdkafka has to say about a broker that is away goes to the relay's state, which logs news only. */
static void
on_error(rd_kafka_t *client, int err, const char *reason, void *context)
{
    (void)client;
    struct relay *relay = context;
    if (err == RD_KAFKA_RESP_ERR__TRANSPORT || err == RD_KAFKA_RESP_ERR__RESOLVE || err == RD_KAFKA_RESP_ERR__AUTHENTICATION
        || err == RD_KAFKA_RESP_ERR__SSL) {
        const char *times = strstr(reason, " (after "); /* how long and how often: it would be news each time */
        snprintf(relay->reason, sizeof relay->reason, "%.*s", times ? (int)(times - reason) : (int)strlen(reason), reason);
    } else if (err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        return;
    }
    relay_say(relay, "waiting", UNREACHABLE, relay->reason[0] ? relay->reason : reason);
}

/* What the client has noted waits in its queue until it is polled. */
cairn_err
relay_explain(struct relay *relay, rd_kafka_t *client, cairn_err err, cairn_error *error)
{
    if (err != CAIRN_E_TIMEOUT)
        return err;
    rd_kafka_poll(client, 0);
    return relay->reason[0] ? error_set(error, err, UNREACHABLE, relay->reason) : err;
}

cairn_err
relay_client_new(struct relay *relay, rd_kafka_type_t type, const struct relay_client_setting *more,
                 void (*told)(rd_kafka_t *, const rd_kafka_message_t *, void *), rd_kafka_t **ret, cairn_error *error)
{
    char why[200] = "";
    struct arena arena = {.size_max = 1u << 20};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    cairn_err err = set(conf, "client.id", "cairn-relay", error);
    if (err == CAIRN_OK)
        err = set_all(relay, conf, &arena, error);
    for (; err == CAIRN_OK && more->name != NULL; more++)
        err = set(conf, more->name, more->value, error);
    if (err == CAIRN_OK) {
        rd_kafka_conf_set_opaque(conf, relay);
        rd_kafka_conf_set_error_cb(conf, on_error);
        rd_kafka_conf_set_log_cb(conf, NULL);
        if (told != NULL)
            rd_kafka_conf_set_dr_msg_cb(conf, told);
        rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof why);
        if (client == NULL) {
            err = error_set(error, CAIRN_E_INVALID, "client: %s", why);
        } else {
            conf = NULL; /* the client's from here on */
            *ret = client;
        }
    }
    if (conf != NULL)
        rd_kafka_conf_destroy(conf);
    arena_free(&arena);
    return err;
}

/* While there is no connection at all, in steps, so that a stop is noticed; what has been asked is given its time. */
static rd_kafka_resp_err_t
ask_metadata(const struct relay *relay, rd_kafka_t *client, rd_kafka_topic_t *topic, const struct rd_kafka_metadata **ret)
{
    rd_kafka_resp_err_t fault = RD_KAFKA_RESP_ERR__TRANSPORT;
    const int64_t until_us = os_monotonic_us(os_real()) + RELAY_CALL_MS * INT64_C(1000);
    for (int64_t left_ms = RELAY_CALL_MS; left_ms > 0 && !relay_stopping(relay);
         left_ms = (until_us - os_monotonic_us(os_real())) / 1000) {
        const int64_t step_ms = fault == RD_KAFKA_RESP_ERR__TRANSPORT && left_ms > RELAY_WAIT_MS ? RELAY_WAIT_MS : left_ms;
        fault = rd_kafka_metadata(client, 0, topic, ret, (int)step_ms);
        if (fault != RD_KAFKA_RESP_ERR__TRANSPORT && fault != RD_KAFKA_RESP_ERR__TIMED_OUT)
            break;
    }
    return fault;
}

cairn_err
relay_partitions(const struct relay *relay, rd_kafka_t *client, cairn_str topic, size_t *ret, cairn_error *error)
{
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)topic.size, topic.data);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, name, NULL);
    if (handle == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s is no topic's name", name);
    rd_kafka_resp_err_t fault = ask_metadata(relay, client, handle, &metadata);
    rd_kafka_topic_destroy(handle);
    if (fault != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(error, CAIRN_E_TIMEOUT, "Kafka does not answer: %s", rd_kafka_err2str(fault));
    cairn_err err = CAIRN_OK;
    if (metadata->topic_cnt != 1 || metadata->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR || metadata->topics[0].partition_cnt == 0)
        err = error_set(error, CAIRN_E_NOTFOUND, "Kafka has no topic %s%s%s", name, metadata->topic_cnt == 1 ? ": " : "",
                        metadata->topic_cnt == 1 ? rd_kafka_err2str(metadata->topics[0].err) : "");
    else if (metadata->topics[0].partition_cnt > RELAY_PARTITIONS_MAX)
        err = error_set(error, CAIRN_E_LIMIT, "the topic %s has %d partitions; a relay has at most %d", name,
                        metadata->topics[0].partition_cnt, RELAY_PARTITIONS_MAX);
    else
        *ret = (size_t)metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    return err;
}

void
relay_look_again(struct relay *relay, rd_kafka_t *client, cairn_str topic)
{
    size_t partitions;
    pthread_mutex_lock(&relay->lock);
    bool waiting = strcmp(relay->state, "waiting") == 0;
    pthread_mutex_unlock(&relay->lock);
    if (waiting && relay_partitions(relay, client, topic, &partitions, NULL) == CAIRN_OK)
        relay_say(relay, "running", "%s", "");
}

const char *
relay_group(const struct relay *relay, char to[RELAY_GROUP_SIZE])
{
    char log[UUID_TEXT_SIZE];
    format_uuid(relay->relays->log_id, log);
    snprintf(to, RELAY_GROUP_SIZE, "cairn-relay-%s-%s", relay->name, log);
    return to;
}

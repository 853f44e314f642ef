/* From a topic of Kafka's to a topic here.
 *
 *   consume ─► a record batch for each partition ─► one append: batches + `$relayed-<name>` under its expected revision
 *
 * Keys, values, headers, times and the partition stay. What is consumed and not appended is consumed again: the places in the log are
 * the only ones that count, and Kafka's own offsets of the group are not used. */
#include "relay_int.h"

#include <batch/batch.h>
#include <batch/event.h>
#include <base/text.h>
#include <os/os.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADERS_MAX 256
#define RELAY_GATHER_MS 5 /* for more, once there is one */
#define GROW_CHECK_US (INT64_C(60) * 1000000)

struct incoming {
    struct relay *relay;
    rd_kafka_t *client;
    rd_kafka_queue_t *queue;
    struct relay_places places;
    size_t partitions;          /* assigned */
    cairn_uuid topic_id;
    struct batch_maker *makers; /* one for each partition, in use only while it has records */
    size_t maker_count;
    rd_kafka_message_t **messages;
    cairn_batch *batches;
    char log_id[UUID_TEXT_SIZE];
    int64_t looked_us;
};

/* The topic here, with as many partitions as there at least. */
static cairn_err
have_topic(struct incoming *in, size_t partitions, cairn_error *error)
{
    const struct relays *relays = in->relay->relays;
    const struct relay_spec *spec = &in->relay->spec;
    cairn_topic_ref *ref = NULL;
    cairn_err err = cairn_topic_get(relays->store, relays->scope, spec->target, &ref, error);
    struct cairn_topic topic = {.name = spec->target, .partitions = (uint32_t)partitions, .config = CAIRN_STR("{}")};
    int64_t expected = CAIRN_NONE;
    if (err == CAIRN_OK) {
        topic = *cairn_topic_of(ref);
        expected = (int64_t)cairn_topic_revision(ref);
    }
    if (err == CAIRN_E_NOTFOUND || (err == CAIRN_OK && topic.partitions < partitions)) {
        cairn_topic_ref *made = NULL;
        topic.partitions = (uint32_t)partitions;
        topic.starts = NULL; /* those there are stay */
        err = cairn_topic_put(relays->store, relays->scope, &topic, expected, &made, error);
        if (err == CAIRN_OK) {
            cairn_topic_release(ref);
            ref = made;
        }
    }
    if (err == CAIRN_OK)
        in->topic_id = cairn_topic_of(ref)->id;
    cairn_topic_release(ref);
    return err;
}

static bool
have_makers(struct incoming *in, size_t count)
{
    if (count <= in->maker_count)
        return true;
    struct batch_maker *makers = realloc(in->makers, count * sizeof *makers);
    if (makers == NULL)
        return false;
    in->makers = makers;
    memset(makers + in->maker_count, 0, (count - in->maker_count) * sizeof *makers);
    in->maker_count = count;
    cairn_batch *batches = realloc(in->batches, count * sizeof *batches);
    if (batches == NULL)
        return false;
    in->batches = batches;
    return true;
}

/* All partitions of the topic there, each from where the log says. */
static cairn_err
assign(struct incoming *in, cairn_error *error)
{
    size_t partitions;
    char topic[256];
    const cairn_str source = in->relay->spec.source;
    cairn_err err = relay_partitions(in->relay, in->client, source, &partitions, error);
    in->looked_us = os_monotonic_us(os_real());
    if (err != CAIRN_OK || partitions == in->partitions)
        return err;
    err = have_topic(in, partitions, error);
    if (err != CAIRN_OK)
        return err;
    if (!relay_places_grow(&in->places, partitions) || !have_makers(in, in->places.count))
        return error_set(error, CAIRN_E_NOMEM, "no memory for %zu partitions", partitions);
    snprintf(topic, sizeof topic, "%.*s", (int)source.size, source.data);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)partitions);
    for (size_t i = 0; i < partitions; i++) /* one that is new to the relay begins with what is left of it */
        rd_kafka_topic_partition_list_add(list, topic, (int32_t)i)->offset =
            in->places.next[i] > 0 ? (int64_t)in->places.next[i] : RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_resp_err_t fault = rd_kafka_assign(in->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (fault != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(error, CAIRN_E_INVALID, "cannot read the topic %s: %s", topic, rd_kafka_err2str(fault));
    in->partitions = partitions;
    return CAIRN_OK;
}

static void
close_incoming(struct incoming *in)
{
    if (in->queue != NULL)
        rd_kafka_queue_destroy(in->queue);
    if (in->client != NULL) {
        rd_kafka_consumer_close(in->client);
        rd_kafka_destroy(in->client);
    }
    for (size_t i = 0; i < in->maker_count; i++)
        batch_make_free(&in->makers[i]);
    free(in->makers);
    free(in->batches);
    free(in->messages);
    relay_places_free(&in->places);
}

static cairn_err
open_incoming(struct incoming *in, cairn_error *error)
{
    char group[RELAY_GROUP_SIZE];
    const struct relay_client_setting settings[] = {{"group.id", relay_group(in->relay, group)}, {"enable.auto.commit", "false"},
                                                    {"enable.auto.offset.store", "false"}, {"auto.offset.reset", "error"},
                                                    {"enable.partition.eof", "true"},
                                                    {"isolation.level", "read_committed"}, {NULL, NULL}};
    cairn_err err = relay_places_load(in->relay, &in->places, error);
    if (err == CAIRN_OK)
        err = relay_client_new(in->relay, RD_KAFKA_CONSUMER, settings, NULL, &in->client, error);
    if (err != CAIRN_OK)
        return err;
    format_uuid(in->relay->relays->log_id, in->log_id);
    in->queue = rd_kafka_queue_get_consumer(in->client);
    in->messages = calloc(RELAY_BATCH_RECORDS, sizeof(rd_kafka_message_t *));
    if (in->messages == NULL || in->queue == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a relay");
    err = relay_explain(in->relay, in->client, assign(in, error), error);
    if (err == CAIRN_OK)
        rd_kafka_poll_set_consumer(in->client);
    return err;
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

/* The headers, and their bytes; *ret_ours: it left this very log by a relay, so taking it in would go round and round. */
static cairn_err
read_headers(const struct incoming *in, rd_kafka_message_t *message, struct batch_header_field *fields, size_t *ret_count,
             size_t *ret_bytes, bool *ret_ours, cairn_error *error)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size, count = 0;
    *ret_ours = false;
    *ret_count = *ret_bytes = 0;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return CAIRN_OK;
    for (; rd_kafka_header_get_all(headers, count, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; count++) {
        if (count == HEADERS_MAX)
            return error_set(error, CAIRN_E_LIMIT, "partition %d, offset %lld: more than %d headers", message->partition,
                             (long long)message->offset, HEADERS_MAX);
        fields[count] = (struct batch_header_field){cairn_cstr(name), {value, size}, value == NULL};
        *ret_bytes += fields[count].name.size + size;
        if (strcmp(name, RELAY_HEADER_LOG) == 0 && cairn_str_equal(fields[count].value, cairn_cstr(in->log_id)))
            *ret_ours = true;
    }
    *ret_count = count;
    return CAIRN_OK;
}

/* Adds to what has been taken and to its bytes. */
static cairn_err
take_in(struct incoming *in, rd_kafka_message_t *message, size_t *taken, size_t *bytes, cairn_error *error)
{
    struct batch_header_field fields[HEADERS_MAX];
    size_t count, header_bytes, partition = (size_t)message->partition;
    bool ours;
    if (message->partition < 0 || partition >= in->places.count)
        return error_set(error, CAIRN_E_INVALID, "a record of partition %d, which the topic did not have", message->partition);
    cairn_err err = read_headers(in, message, fields, &count, &header_bytes, &ours, error);
    if (err != CAIRN_OK)
        return err;
    if (!ours) {
        struct batch_maker *maker = &in->makers[partition];
        rd_kafka_timestamp_type_t kind;
        int64_t time_ms = rd_kafka_message_timestamp(message, &kind);
        const cairn_str key = {message->key, message->key_len}, value = {message->payload, message->len};
        if (time_ms < 0)
            time_ms = os_now_us(os_real()) / 1000;
        if (maker->count == 0)
            batch_make_begin(maker);
        if (!batch_make_add(maker, maker->count, time_ms, message->key ? &key : NULL, message->payload ? &value : NULL, fields, count))
            return error_set(error, CAIRN_E_NOMEM, "no memory for a batch of records");
        ++*taken;
        *bytes += message->len + message->key_len + header_bytes;
    }
    in->places.next[partition] = (uint64_t)message->offset + 1;
    return CAIRN_OK;
}

/* The makers that have records become batches of one append. */
static cairn_err
append_batches(struct incoming *in, cairn_error *error)
{
    size_t count = 0;
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; err == CAIRN_OK && i < in->maker_count; i++) {
        struct batch_maker *maker = &in->makers[i];
        if (maker->count == 0)
            continue;
        if (!batch_make_end(maker, BATCH_PLAIN, 0, maker->last_offset))
            err = error_set(error, CAIRN_E_NOMEM, "no memory for a batch of records");
        else
            in->batches[count++] = (cairn_batch){.topic_id = in->topic_id, .partition = (uint32_t)i, .bytes = buf_str(&maker->out)};
    }
    if (err == CAIRN_OK)
        err = relay_places_save(in->relay, &in->places, in->batches, count, error);
    for (size_t i = 0; i < in->maker_count; i++)
        in->makers[i].count = 0;
    return err;
}

/* What is there and not yet here, as the last fetches said: no call. False: not every partition has been heard of. */
static bool
count_lag(struct incoming *in, size_t taken)
{
    char topic[256];
    uint64_t lag = 0;
    bool heard = true;
    const cairn_str source = in->relay->spec.source;
    snprintf(topic, sizeof topic, "%.*s", (int)source.size, source.data);
    for (size_t i = 0; i < in->partitions; i++) {
        int64_t low, high = -1;
        if (rd_kafka_get_watermark_offsets(in->client, topic, (int32_t)i, &low, &high) != RD_KAFKA_RESP_ERR_NO_ERROR || high < 0)
            heard = false;
        else if (high > (int64_t)in->places.next[i])
            lag += (uint64_t)high - in->places.next[i];
    }
    relay_count(in->relay, taken, lag);
    return heard;
}

/* Kafka does not have the offset that is next. Retention may have removed it: then it goes on after the gap, and says so. */
static cairn_err
no_such_offset(struct incoming *in, int32_t partition, cairn_error *error)
{
    char topic[256];
    int64_t low, high;
    const cairn_str source = in->relay->spec.source;
    if (partition < 0 || (size_t)partition >= in->places.count)
        return error_set(error, CAIRN_E_IO, "Kafka has no such offset");
    snprintf(topic, sizeof topic, "%.*s", (int)source.size, source.data);
    rd_kafka_resp_err_t fault = rd_kafka_query_watermark_offsets(in->client, topic, partition, &low, &high, RELAY_CALL_MS);
    if (fault != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(error, CAIRN_E_TIMEOUT, "Kafka does not say which offsets it has: %s", rd_kafka_err2str(fault));
    const uint64_t next = in->places.next[partition];
    if ((int64_t)next >= low)
        return error_set(error, CAIRN_E_CONFLICT,
                         "partition %d ends at %lld there, and this relay has been at %llu: the topic was made anew, or has lost its end. A "
                         "relay of another name begins anew",
                         partition, (long long)high, (unsigned long long)next);
    in->places.next[partition] = (uint64_t)low;
    cairn_err err = append_batches(in, error); /* what came before, and where it goes on */
    return err != CAIRN_OK ? err
                           : error_set(error, CAIRN_E_NOTFOUND, "partition %d: offsets %llu to %lld are gone there; it goes on after them",
                                       partition, (unsigned long long)next, (long long)low - 1);
}

/* What is not a record: the end of a partition, which says where it goes on (behind a transaction's marker), or a fault. */
static cairn_err
take_note(struct incoming *in, const rd_kafka_message_t *message, cairn_error *error)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        size_t partition = (size_t)message->partition;
        if (message->partition >= 0 && partition < in->places.count && message->offset > (int64_t)in->places.next[partition])
            in->places.next[partition] = (uint64_t)message->offset;
        return CAIRN_OK;
    }
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        return no_such_offset(in, message->partition, error);
    return error_set(error, CAIRN_E_IO, "%s", rd_kafka_message_errstr(message));
}

/* The first is waited for; those that are there already come with it. */
static ssize_t
consume(struct incoming *in)
{
    ssize_t got = rd_kafka_consume_batch_queue(in->queue, RELAY_WAIT_MS, in->messages, 1);
    if (got <= 0)
        return got;
    ssize_t more = rd_kafka_consume_batch_queue(in->queue, RELAY_GATHER_MS, in->messages + got, RELAY_BATCH_RECORDS - (size_t)got);
    return more > 0 ? got + more : got;
}

/* Consume until it is enough for an append, or nothing more comes; then append. The lag is reckoned before: what is consumed and then
 * refused here has not arrived. It runs from when it is known. */
static cairn_err
relay_some(struct incoming *in, cairn_error *error)
{
    ssize_t got = consume(in);
    size_t taken = 0, moved = 0;
    cairn_err err = got < 0 ? error_set(error, CAIRN_E_IO, "cannot consume: %s", rd_kafka_err2str(rd_kafka_last_error())) : CAIRN_OK;
    size_t bytes = 0;
    (void)count_lag(in, 0);
    for (ssize_t i = 0; i < got; i++) {
        rd_kafka_message_t *message = in->messages[i];
        if (err == CAIRN_OK && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            err = take_in(in, message, &taken, &bytes, error);
            moved++;
        } else if (err == CAIRN_OK) {
            err = take_note(in, message, error);
        }
        rd_kafka_message_destroy(message);
        if (err == CAIRN_OK && bytes >= RELAY_BATCH_BYTES) {
            err = append_batches(in, error);
            bytes = 0;
        }
    }
    if (err == CAIRN_OK && moved > 0)
        err = append_batches(in, error);
    if (err != CAIRN_OK || !count_lag(in, taken))
        return err;
    if (got > 0)
        relay_say(in->relay, "running", "%s", "");
    else
        relay_look_again(in->relay, in->client, in->relay->spec.source);
    return CAIRN_OK;
}

cairn_err
relay_run_in(struct relay *relay, cairn_error *error)
{
    struct incoming in = {.relay = relay};
    cairn_err err = open_incoming(&in, error);
    while (err == CAIRN_OK && !relay_stopping(relay)) {
        err = relay_some(&in, error);
        if (err != CAIRN_OK || os_monotonic_us(os_real()) - in.looked_us <= GROW_CHECK_US)
            continue;
        err = assign(&in, error);
        if (err == CAIRN_E_TIMEOUT)
            err = CAIRN_OK; /* whether there are more partitions can be asked later */
    }
    close_incoming(&in);
    return err;
}

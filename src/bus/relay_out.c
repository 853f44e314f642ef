/* From a topic here to a topic of Kafka's.
 *
 *   partitions here ─► up to RELAY_BATCH_RECORDS records ─► produce ─► all acknowledged ─► places reached
 *
 * With transactions the places are committed to Kafka inside the transaction that brings the records, as the metadata of the target's
 * partition 0 and of as many behind it as it takes, all at one offset; without, they become an event
 * here, at most once a second, so that a crash repeats a second's records at most. A record keeps its key, value, headers and
 * time. Where both topics have as many partitions it keeps its partition too; otherwise its key decides (murmur2). Either way those of one
 * key keep their order.
 *
 * Ordinary events go the same way as batches: each is made into a record first (batch/event.h). */
#include "relay_int.h"

#include <base/json.h>
#include <base/text.h>
#include <batch/batch.h>
#include <batch/event.h>
#include <os/os.h>
#include <stdio.h>
#include <stdlib.h>

#define TRANSACTION_MS 30000
#define TRY_AGAIN_MS 100
#define PLACES_PIECE_BYTES 4000 /* Kafka's offset.metadata.max.bytes is 4,096 */
#define PLACES_PIECES_MAX 64    /* 10,000 partitions, with 20 digits each */
#define TRY_MS 1000 /* of a call that goes on where it was when it is made again: how long it takes to notice a stop */

struct outgoing {
    struct relay *relay;
    rd_kafka_t *client;
    rd_kafka_topic_t *topic;
    struct relay_places places; /* reached, for good */
    uint64_t *ahead;            /* reached by what is being produced */
    cairn_partition_reader **readers;
    size_t partitions;
    size_t target_partitions;   /* when it was opened: there may be more by now */
    size_t turn;                /* the partition to begin with: they take turns */
    cairn_uuid topic_id;
    bool same_partitions;
    struct batch_cursor cursor;
    struct batch_maker maker;
    struct arena arena;
    char log_id[UUID_TEXT_SIZE], target[256];
    uint64_t total;             /* the group's offset in Kafka: how many records so far */
    int64_t saved_us, looked_us;
    bool unsaved;
    /* Of the records under way; told by librdkafka from within poll and flush. */
    size_t acknowledged, refused;
    rd_kafka_resp_err_t refusal;
};

/* One at a time, so that the callback, which has only the relay, finds it. */
static _Thread_local struct outgoing *current;

static void
note_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *context)
{
    (void)client, (void)context;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        current->acknowledged++;
    } else {
        current->refused++;
        current->refusal = message->err;
    }
}

/* ---- where we are ------------------------------------------------------------------------------------------------------ */

/* The pieces of a text that the group has committed in one transaction: those at the first one's offset. A longer text of before may
 * have left others behind. */
static cairn_err
take_places(struct outgoing *out, const rd_kafka_topic_partition_list_t *list, cairn_error *error)
{
    struct buf text = {0};
    cairn_err err = CAIRN_OK;
    if (list->elems[0].offset < 0)
        return CAIRN_OK;
    for (int i = 0; i < list->cnt && list->elems[i].offset == list->elems[0].offset; i++)
        buf_put_str(&text, (cairn_str){list->elems[i].metadata, list->elems[i].metadata_size});
    if (text.failed)
        err = error_set(error, CAIRN_E_NOMEM, "no memory for a relay's offsets");
    else if (!relay_places_get(&out->places, buf_str(&text)))
        err = error_set(error, CAIRN_E_CORRUPT, "what this relay's group has committed does not say how far it has come");
    else
        out->total = (uint64_t)list->elems[0].offset;
    buf_free(&text);
    return err;
}

/* With transactions Kafka knows: the group's committed metadata of the target's first partitions. */
static cairn_err
places_from_kafka(struct outgoing *out, cairn_error *error)
{
    char group[RELAY_GROUP_SIZE];
    const struct relay_client_setting settings[] = {{"group.id", relay_group(out->relay, group)}, {"enable.auto.commit", "false"}, {NULL, NULL}};
    rd_kafka_t *client;
    cairn_err err = relay_client_new(out->relay, RD_KAFKA_CONSUMER, settings, NULL, &client, error);
    if (err != CAIRN_OK)
        return err;
    const size_t pieces = out->target_partitions < PLACES_PIECES_MAX ? out->target_partitions : PLACES_PIECES_MAX;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)pieces);
    for (size_t i = 0; i < pieces; i++)
        rd_kafka_topic_partition_list_add(list, out->target, (int32_t)i);
    rd_kafka_resp_err_t fault = rd_kafka_committed(client, list, RELAY_CALL_MS);
    err = fault == RD_KAFKA_RESP_ERR_NO_ERROR
              ? take_places(out, list, error)
              : error_set(error, CAIRN_E_TIMEOUT, "Kafka does not say how far this relay has come: %s", rd_kafka_err2str(fault));
    err = relay_explain(out->relay, client, err, error);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return err;
}

static cairn_err
open_client(struct outgoing *out, cairn_error *error)
{
    char id[RELAY_GROUP_SIZE];
    const bool transactions = out->relay->spec.transactions;
    const struct relay_client_setting settings[] = {{"enable.idempotence", "true"}, {"message.timeout.ms", transactions ? "25000" : "0"},
                                                    {"queue.buffering.max.messages", "100000"}, {"partitioner", "murmur2_random"},
                                                    {transactions ? "transactional.id" : NULL, relay_group(out->relay, id)}, {NULL, NULL}};
    cairn_err err = relay_client_new(out->relay, RD_KAFKA_PRODUCER, settings, note_delivery, &out->client, error);
    if (err == CAIRN_OK)
        err = relay_explain(out->relay, out->client,
                            relay_partitions(out->relay, out->client, cairn_cstr(out->target), &out->target_partitions, error), error);
    if (err != CAIRN_OK)
        return err;
    out->same_partitions = out->target_partitions == out->partitions;
    out->topic = rd_kafka_topic_new(out->client, out->target, NULL);
    if (transactions) { /* fences whoever ran this relay before, and ends what that one had begun */
        rd_kafka_error_t *fault = rd_kafka_init_transactions(out->client, TRANSACTION_MS);
        if (fault != NULL) {
            err = error_set(error, CAIRN_E_TIMEOUT, "cannot begin with transactions: %s", rd_kafka_error_string(fault));
            rd_kafka_error_destroy(fault);
        }
    }
    return relay_explain(out->relay, out->client, err, error);
}

/* The topic here, as it is now: it may have grown. */
static cairn_err
open_topic(struct outgoing *out, cairn_error *error)
{
    const struct relays *relays = out->relay->relays;
    cairn_topic_ref *ref;
    cairn_err err = cairn_topic_get(relays->store, relays->scope, out->relay->spec.source, &ref, error);
    if (err != CAIRN_OK)
        return err;
    out->topic_id = cairn_topic_of(ref)->id;
    out->partitions = cairn_topic_of(ref)->partitions;
    cairn_topic_release(ref);
    out->readers = calloc(out->partitions, sizeof(cairn_partition_reader *));
    return out->readers != NULL ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for a relay");
}

/* Places of a topic of that name that is gone are no places in this one; and none is beyond the end, unless the log lost its. */
static cairn_err
check_places(struct outgoing *out, cairn_error *error)
{
    char id[UUID_TEXT_SIZE];
    const struct relays *relays = out->relay->relays;
    cairn_err err = CAIRN_OK;
    format_uuid(out->topic_id, id);
    if (out->places.topic[0] && strcmp(out->places.topic, id) != 0)
        memset(out->places.next, 0, out->places.count * sizeof *out->places.next);
    memcpy(out->places.topic, id, sizeof id);
    for (size_t i = 0; err == CAIRN_OK && i < out->partitions; i++) {
        cairn_partition_info info;
        err = cairn_partition_get(relays->store, relays->scope, &out->topic_id, (uint32_t)i, &info, error);
        if (err == CAIRN_OK && out->places.next[i] > info.end)
            err = error_set(error, CAIRN_E_CONFLICT,
                            "partition %zu ends at %llu, and this relay has been at %llu: is this log an older copy of itself? A relay of "
                            "another name begins anew",
                            i, (unsigned long long)info.end, (unsigned long long)out->places.next[i]);
    }
    return err;
}

static cairn_err
open_readers(struct outgoing *out, cairn_error *error)
{
    const struct relays *relays = out->relay->relays;
    if (!relay_places_grow(&out->places, out->partitions) || (out->ahead = calloc(out->places.count, sizeof *out->ahead)) == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a relay");
    cairn_err err = check_places(out, error);
    memcpy(out->ahead, out->places.next, out->places.count * sizeof *out->ahead);
    for (size_t i = 0; err == CAIRN_OK && i < out->partitions; i++)
        err = cairn_read_partition(relays->store, relays->scope, &out->topic_id, (uint32_t)i, out->places.next[i], &out->readers[i], error);
    return err;
}

static void
close_outgoing(struct outgoing *out)
{
    if (out->client != NULL) {
        (void)rd_kafka_purge(out->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        (void)rd_kafka_flush(out->client, 1000);
    }
    if (out->topic != NULL)
        rd_kafka_topic_destroy(out->topic);
    if (out->client != NULL)
        rd_kafka_destroy(out->client);
    for (size_t i = 0; out->readers != NULL && i < out->partitions; i++)
        cairn_partition_reader_free(out->readers[i]);
    free(out->readers);
    free(out->ahead);
    relay_places_free(&out->places);
    batch_close(&out->cursor);
    batch_make_free(&out->maker);
    arena_free(&out->arena);
}

/* ---- records ---------------------------------------------------------------------------------------------------------------- */

static rd_kafka_headers_t *
headers_of(const struct outgoing *out, size_t partition, uint64_t offset, const struct batch_record *record)
{
    char place[320];
    const struct relay_spec *spec = &out->relay->spec;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count + 2);
    cairn_str rest = record->headers, name, value;
    bool has_value;
    while (batch_next_header(&rest, &name, &has_value, &value))
        if (!cairn_str_equal(name, CAIRN_STR(RELAY_HEADER_LOG)) && !cairn_str_equal(name, CAIRN_STR(RELAY_HEADER_PLACE)))
            rd_kafka_header_add(headers, name.data, (ssize_t)name.size, has_value ? value.data : NULL, (ssize_t)value.size);
    int size = snprintf(place, sizeof place, "%.*s/%zu/%llu", (int)spec->source.size, spec->source.data, partition, (unsigned long long)offset);
    rd_kafka_header_add(headers, RELAY_HEADER_LOG, -1, out->log_id, -1);
    rd_kafka_header_add(headers, RELAY_HEADER_PLACE, -1, place, size);
    return headers;
}

/* The client's queue is full for as long as Kafka is away: that is waited for. */
static cairn_err
produce(struct outgoing *out, size_t partition, uint64_t offset, const struct batch_record *record, cairn_error *error)
{
    rd_kafka_headers_t *headers = headers_of(out, partition, offset, record);
    while (!relay_stopping(out->relay)) {
        rd_kafka_resp_err_t fault = rd_kafka_producev(
            out->client, RD_KAFKA_V_RKT(out->topic),
            RD_KAFKA_V_PARTITION(out->same_partitions ? (int32_t)partition : RD_KAFKA_PARTITION_UA),
            RD_KAFKA_V_KEY(record->has_key ? (record->key.data ? record->key.data : "") : NULL, record->key.size),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)(record->has_value ? (record->value.data ? record->value.data : "") : NULL), record->value.size),
            RD_KAFKA_V_TIMESTAMP(record->timestamp_ms), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_END);
        if (fault == RD_KAFKA_RESP_ERR_NO_ERROR)
            return CAIRN_OK;
        if (fault != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            rd_kafka_headers_destroy(headers);
            return error_set(error, CAIRN_E_IO, "the record %.*s/%zu/%llu cannot be produced: %s", (int)out->relay->spec.source.size,
                             out->relay->spec.source.data, partition, (unsigned long long)offset, rd_kafka_err2str(fault));
        }
        rd_kafka_poll(out->client, 100);
    }
    rd_kafka_headers_destroy(headers);
    return CAIRN_E_CLOSED;
}

/* One item of a partition: a batch, or an event that becomes one of a single record. */
static cairn_err
produce_item(struct outgoing *out, size_t partition, const cairn_partition_item *item, size_t *records, size_t *bytes, cairn_error *error)
{
    cairn_str batch = item->batch;
    if (batch.size == 0) {
        batch_make_begin(&out->maker);
        arena_reset(&out->arena);
        if (!event_to_record(&item->event, 0, &out->arena, &out->maker) || !batch_make_end(&out->maker, BATCH_PLAIN, 0, 0))
            return error_set(error, CAIRN_E_NOMEM, "no memory for a record");
        batch = buf_str(&out->maker.out);
    }
    struct batch_record record;
    const char *fault = batch_open(&out->cursor, batch);
    cairn_err err = CAIRN_OK;
    while (fault == NULL && err == CAIRN_OK && batch_next(&out->cursor, &record)) {
        uint64_t offset = item->first_offset + (uint64_t)record.offset_delta;
        if (offset < out->ahead[partition])
            continue; /* the batch began before the place we are at */
        err = produce(out, partition, offset, &record, error);
        out->ahead[partition] = offset + 1;
        ++*records;
        *bytes += record.key.size + record.value.size + record.headers.size;
    }
    if (fault == NULL && err == CAIRN_OK)
        fault = out->cursor.fault;
    if (fault != NULL)
        return error_set(error, CAIRN_E_CORRUPT, "the batch at offset %llu of partition %zu: %s", (unsigned long long)item->first_offset,
                         partition, fault);
    out->ahead[partition] = item->last_offset + 1;
    return err;
}

static bool
enough(size_t records, size_t bytes)
{
    return records >= RELAY_BATCH_RECORDS || bytes >= RELAY_BATCH_BYTES;
}

/* The next item of a partition. At its end, what lies before the end and was not given is hidden: that is passed too. */
static cairn_err
next_item(struct outgoing *out, size_t partition, cairn_partition_item *ret, cairn_error *error)
{
    const struct relays *relays = out->relay->relays;
    cairn_partition_info info;
    cairn_err err = cairn_partition_get(relays->store, relays->scope, &out->topic_id, (uint32_t)partition, &info, error);
    if (err == CAIRN_OK)
        err = cairn_partition_next(out->readers[partition], ret, error);
    if (err == CAIRN_E_END && out->ahead[partition] < info.end)
        out->ahead[partition] = info.end;
    return err;
}

/* A turn of every partition: an item each until there is enough, or nothing more. */
static cairn_err
produce_some(struct outgoing *out, size_t *ret_records, cairn_error *error)
{
    size_t bytes = 0;
    bool any = true;
    cairn_err err = CAIRN_OK;
    *ret_records = 0;
    while (err == CAIRN_OK && any && !enough(*ret_records, bytes) && !relay_stopping(out->relay)) {
        any = false;
        for (size_t i = 0; err == CAIRN_OK && i < out->partitions && !enough(*ret_records, bytes); i++) {
            size_t partition = out->turn++ % out->partitions;
            cairn_partition_item item;
            err = next_item(out, partition, &item, error);
            if (err == CAIRN_OK) {
                any = true;
                err = produce_item(out, partition, &item, ret_records, &bytes, error);
            } else if (err == CAIRN_E_END) {
                err = CAIRN_OK;
            }
        }
    }
    return err;
}

/* All that was produced is acknowledged; or why not. */
static cairn_err
wait_for_all(struct outgoing *out, size_t records, cairn_error *error)
{
    while (out->acknowledged + out->refused < records && !relay_stopping(out->relay))
        rd_kafka_poll(out->client, RELAY_WAIT_MS);
    if (out->refused > 0)
        return error_set(error, CAIRN_E_IO, "Kafka refused %zu of %zu records: %s", out->refused, records, rd_kafka_err2str(out->refusal));
    return out->acknowledged < records ? CAIRN_E_CLOSED : CAIRN_OK;
}

/* ---- exactly once: a transaction of Kafka's -------------------------------------------------------------------------------------- */

/* The kind of a fault decides: the same call again, or abort and begin anew (the caller does both by starting over). */
static cairn_err
fault_of(rd_kafka_error_t *fault, const char *what, cairn_error *error)
{
    if (fault == NULL)
        return CAIRN_OK;
    cairn_err err = error_set(error, rd_kafka_error_is_retriable(fault) ? CAIRN_E_TIMEOUT : CAIRN_E_IO, "%s: %s", what,
                              rd_kafka_error_string(fault));
    rd_kafka_error_destroy(fault);
    return err;
}

/* A text as the metadata of the target's first partitions, each with a piece. */
static cairn_err
cut_places(const struct outgoing *out, cairn_str text, uint64_t total, rd_kafka_topic_partition_list_t *list, cairn_error *error)
{
    const size_t pieces = (text.size + PLACES_PIECE_BYTES - 1) / PLACES_PIECE_BYTES;
    if (pieces > out->target_partitions || pieces > PLACES_PIECES_MAX)
        return error_set(error, CAIRN_E_LIMIT,
                         "to keep in Kafka how far %zu partitions have come, %s needs %zu partitions at least; a relay without "
                         "transactions keeps it here",
                         out->partitions, out->target, pieces);
    for (size_t i = 0; i < pieces; i++) {
        const size_t from = i * PLACES_PIECE_BYTES, left = text.size - from;
        rd_kafka_topic_partition_t *place = rd_kafka_topic_partition_list_add(list, out->target, (int32_t)i);
        place->offset = (int64_t)total;
        place->metadata_size = left < PLACES_PIECE_BYTES ? left : PLACES_PIECE_BYTES;
        place->metadata = malloc(place->metadata_size); /* the list's from here on */
        if (place->metadata == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for a relay's offsets");
        memcpy(place->metadata, text.data + from, place->metadata_size);
    }
    return CAIRN_OK;
}

/* What Kafka refuses for now is tried again until the relay is to stop; never CAIRN_E_TIMEOUT, by which nothing would be known. */
static cairn_err
send_places(struct outgoing *out, uint64_t total, cairn_error *error)
{
    char group[RELAY_GROUP_SIZE];
    struct buf text = {0};
    struct relay_places reached = {.next = out->ahead, .count = out->places.count};
    memcpy(reached.topic, out->places.topic, sizeof reached.topic);
    relay_places_put(&reached, &text);
    rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata_new(relay_group(out->relay, group));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    cairn_err err = text.failed ? error_set(error, CAIRN_E_NOMEM, "no memory for a relay's offsets")
                                : cut_places(out, buf_str(&text), total, list, error);
    if (err == CAIRN_OK) {
        do {
            rd_kafka_poll(out->client, err == CAIRN_OK ? 0 : TRY_AGAIN_MS);
            err = fault_of(rd_kafka_send_offsets_to_transaction(out->client, list, metadata, TRY_MS), "cannot commit how far it came", error);
        } while (err == CAIRN_E_TIMEOUT && !relay_stopping(out->relay));
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_group_metadata_destroy(metadata);
    buf_free(&text);
    return err == CAIRN_E_TIMEOUT ? CAIRN_E_CLOSED : err;
}

static cairn_err
relay_transaction(struct outgoing *out, size_t *ret_records, cairn_error *error)
{
    out->acknowledged = out->refused = 0;
    cairn_err err = fault_of(rd_kafka_begin_transaction(out->client), "cannot begin a transaction", error);
    if (err != CAIRN_OK)
        return err;
    err = produce_some(out, ret_records, error);
    if (err == CAIRN_OK && *ret_records == 0) { /* what was left is hidden: nothing to tell Kafka yet */
        memcpy(out->places.next, out->ahead, out->places.count * sizeof *out->ahead);
        return fault_of(rd_kafka_abort_transaction(out->client, TRANSACTION_MS), "cannot end an empty transaction", error);
    }
    if (err == CAIRN_OK)
        err = send_places(out, out->total + *ret_records, error);
    while (err == CAIRN_OK || err == CAIRN_E_TIMEOUT) {
        err = fault_of(rd_kafka_commit_transaction(out->client, TRY_MS), "the transaction was not committed", error);
        if (err == CAIRN_OK || relay_stopping(out->relay))
            break;
        rd_kafka_poll(out->client, TRY_AGAIN_MS);
    }
    if (err == CAIRN_OK) {
        out->total += *ret_records;
        memcpy(out->places.next, out->ahead, out->places.count * sizeof *out->ahead);
    } else {
        const int wait_ms = relay_stopping(out->relay) ? TRY_MS : RELAY_CALL_MS; /* or it times out there */
        (void)fault_of(rd_kafka_abort_transaction(out->client, wait_ms), "abort", NULL);
    }
    return err;
}

/* ---- at least once ------------------------------------------------------------------------------------------------------------------ */

static cairn_err
save_places(struct outgoing *out, bool now, cairn_error *error)
{
    int64_t at = os_monotonic_us(os_real());
    if (!out->unsaved || (!now && at - out->saved_us < RELAY_CHECKPOINT_US))
        return CAIRN_OK;
    cairn_err err = relay_places_save(out->relay, &out->places, NULL, 0, error);
    if (err == CAIRN_OK) {
        out->saved_us = at;
        out->unsaved = false;
    }
    return err;
}

static cairn_err
relay_plain(struct outgoing *out, size_t *ret_records, cairn_error *error)
{
    out->acknowledged = out->refused = 0;
    cairn_err err = produce_some(out, ret_records, error);
    if (err == CAIRN_OK)
        err = wait_for_all(out, *ret_records, error);
    if (err != CAIRN_OK)
        return err;
    memcpy(out->places.next, out->ahead, out->places.count * sizeof *out->ahead);
    out->unsaved |= *ret_records > 0;
    return save_places(out, false, error);
}

/* ---- running -------------------------------------------------------------------------------------------------------------------------- */

static uint64_t
lag_of(struct outgoing *out)
{
    const struct relays *relays = out->relay->relays;
    uint64_t lag = 0;
    for (size_t i = 0; i < out->partitions; i++) {
        cairn_partition_info info;
        if (cairn_partition_get(relays->store, relays->scope, &out->topic_id, (uint32_t)i, &info, NULL) == CAIRN_OK
            && info.end > out->places.next[i])
            lag += info.end - out->places.next[i];
    }
    return lag;
}

static bool
topic_has_changed(const struct outgoing *out)
{
    const struct relays *relays = out->relay->relays;
    cairn_topic_ref *ref;
    if (cairn_topic_get(relays->store, relays->scope, out->relay->spec.source, &ref, NULL) != CAIRN_OK)
        return true;
    bool changed = cairn_topic_of(ref)->partitions != out->partitions
                   || memcmp(&cairn_topic_of(ref)->id, &out->topic_id, sizeof out->topic_id) != 0;
    cairn_topic_release(ref);
    return changed;
}

cairn_err
relay_run_out(struct relay *relay, cairn_error *error)
{
    struct outgoing out = {.relay = relay};
    const cairn_str target = relay->spec.target;
    snprintf(out.target, sizeof out.target, "%.*s", (int)target.size, target.data);
    format_uuid(relay->relays->log_id, out.log_id);
    current = &out;
    cairn_err err = open_topic(&out, error);
    if (err == CAIRN_OK)
        err = open_client(&out, error);
    if (err == CAIRN_OK)
        err = relay->spec.transactions ? places_from_kafka(&out, error) : relay_places_load(relay, &out.places, error);
    if (err == CAIRN_OK)
        err = open_readers(&out, error);
    if (err == CAIRN_OK) {
        relay_reached(relay, &out.places);
        relay_say(relay, "running", "%s", "");
    }
    while (err == CAIRN_OK && !relay_stopping(relay)) {
        size_t records = 0;
        uint32_t seen = atomic_load(&relay->wake);
        if (lag_of(&out) > 0)
            err = relay->spec.transactions ? relay_transaction(&out, &records, error) : relay_plain(&out, &records, error);
        if (err != CAIRN_OK)
            break;
        if (records > 0)
            relay_say(relay, "running", "%s", "");
        relay_count(relay, records, lag_of(&out));
        relay_reached(relay, &out.places);
        int64_t now_us = os_monotonic_us(os_real());
        if (records == 0 || now_us - out.looked_us > RELAY_LOOK_US) {
            out.looked_us = now_us;
            if (topic_has_changed(&out))
                break; /* begin anew with what it is now */
        }
        if (records > 0)
            continue;
        rd_kafka_poll(out.client, 0);
        relay_look_again(relay, out.client, target);
        if (!relay->spec.transactions)
            err = save_places(&out, true, error);
        relay_sleep(relay, seen, RELAY_WAIT_MS);
    }
    if (!relay->spec.transactions)
        error_ignore(save_places(&out, true, NULL));
    close_outgoing(&out);
    current = NULL;
    return err;
}

/* Producing: what may enter a partition, and the append.
 *
 * All checks are made without a lock, on the caller's thread, before anything is remembered: a batch that is refused has left no
 * trace. Codes are those that Kafka's own broker answers (its LogValidator and ProducerAppendInfo), because clients decide by
 * them: MESSAGE_TOO_LARGE makes the Java client split a batch, CORRUPT_MESSAGE makes it send it again.
 *
 * Records are only looked at one by one where a setting asks for it (compaction needs keys, a subject values, a lower bound
 * timestamps): otherwise a batch's head says all, and what is compressed stays so. */
#include "broker_int.h"

#include <stdio.h>
#include <stdlib.h>

#define MAGIC_AT 16
#define FEW 4 /* batches in a call: one, as a rule */

/* A produce that is being checked. */
struct checking {
    struct broker *broker;
    const struct produce *produce;
    struct view *view;
    int64_t now_ms;
    struct batch_head few_heads[FEW], *heads;
    cairn_str few_batches[FEW], *batches;
    size_t count, capacity;
    uint8_t *stamped;
    const char *message;
    char text[200];
    uint32_t *bad; /* records of the batch that is refused for them */
    size_t bad_count;
};

static enum kafka_err
refused(struct checking *checking, enum kafka_err err, const char *message)
{
    checking->message = message;
    return err;
}

enum kafka_err
fault_err(const char *fault)
{
    if (fault == batch_no_memory)
        return kafka_err_of(CAIRN_E_NOMEM);
    return fault == batch_cut_short ? KAFKA_CORRUPT_MESSAGE : KAFKA_INVALID_RECORD;
}

/* ---- heads ------------------------------------------------------------------------------------------------------------------- */

static bool
make_room(struct checking *checking)
{
    if (checking->count < checking->capacity)
        return true;
    size_t capacity = checking->capacity * 4;
    struct batch_head *heads = malloc(capacity * sizeof *heads);
    cairn_str *batches = malloc(capacity * sizeof *batches);
    if (!heads || !batches) {
        free(heads);
        free(batches);
        return false;
    }
    memcpy(heads, checking->heads, checking->count * sizeof *heads);
    memcpy(batches, checking->batches, checking->count * sizeof *batches);
    if (checking->heads != checking->few_heads) {
        free(checking->heads);
        free(checking->batches);
    }
    checking->heads = heads;
    checking->batches = batches;
    checking->capacity = capacity;
    return true;
}

static enum kafka_err
check_producer(struct checking *checking, const struct batch_head *head)
{
    const struct batch_head *first = &checking->heads[0];
    bool transactional = head->attributes & BATCH_TRANSACTIONAL;
    if (head->producer_id >= 0 && (head->base_sequence < 0 || head->producer_epoch < 0))
        return refused(checking, KAFKA_INVALID_RECORD, "The batch has a producer id, but no sequence number or epoch.");
    if (head->producer_id < 0 && transactional)
        return refused(checking, KAFKA_INVALID_RECORD, "The batch is transactional, but has no producer id.");
    if (head->producer_id != first->producer_id || head->producer_epoch != first->producer_epoch ||
        transactional != (bool)(first->attributes & BATCH_TRANSACTIONAL))
        return refused(checking, KAFKA_INVALID_RECORD, "The batches of one partition are of different producers.");
    return KAFKA_NONE;
}

static enum kafka_err
check_times(struct checking *checking, const struct batch_head *head)
{
    const struct view *view = checking->view;
    if (view->log_append_time)
        return KAFKA_NONE; /* whatever they are, they will be others */
    if (head->attributes & BATCH_LOG_APPEND_TIME)
        return refused(checking, KAFKA_INVALID_TIMESTAMP, "The producer may not say that timestamps are of the log's append.");
    if (head->max_timestamp_ms > checking->now_ms && head->max_timestamp_ms - checking->now_ms > view->after_max_ms)
        return refused(checking, KAFKA_INVALID_TIMESTAMP, "A timestamp is later than message.timestamp.after.max.ms allows.");
    return KAFKA_NONE;
}

/* One batch at the beginning of `rest`, as Kafka would check it, in its order. */
static enum kafka_err
check_head(struct checking *checking, cairn_str rest)
{
    struct batch_head *head = &checking->heads[checking->count];
    if (rest.size > MAGIC_AT && rest.data[MAGIC_AT] != 2)
        return refused(checking, KAFKA_INVALID_RECORD, "Only record batches of format version 2 are taken.");
    const char *fault = batch_head_read(rest, head);
    if (fault)
        return refused(checking, fault_err(fault), fault);
    cairn_str batch = {rest.data, head->size};
    checking->batches[checking->count] = batch;
    if (head->size > checking->view->batch_bytes_max)
        return refused(checking, KAFKA_MESSAGE_TOO_LARGE, "The batch is larger than max.message.bytes of the topic.");
    if (!batch_crc_holds(batch))
        return refused(checking, KAFKA_CORRUPT_MESSAGE, "The checksum does not hold.");
    if (head->base_offset != 0)
        return refused(checking, KAFKA_INVALID_RECORD, "The base offset of a batch that is sent is 0.");
    if (head->count == 0 || (int64_t)head->last_offset_delta + 1 != (int64_t)head->count)
        return refused(checking, KAFKA_INVALID_RECORD, "The number of records is not what the last offset says.");
    if (head->attributes & BATCH_CONTROL)
        return refused(checking, KAFKA_INVALID_RECORD, "Clients may not write control records.");
    if ((head->attributes & BATCH_CODEC_BITS) >= BATCH_CODECS)
        return refused(checking, KAFKA_UNSUPPORTED_COMPRESSION_TYPE, "There is no codec of that number.");
    enum kafka_err err = check_producer(checking, head);
    return err == KAFKA_NONE ? check_times(checking, head) : err;
}

static enum kafka_err
check_heads(struct checking *checking)
{
    cairn_str rest = checking->produce->bytes;
    if (rest.size == 0)
        return refused(checking, KAFKA_INVALID_RECORD, "There is no batch.");
    while (rest.size > 0) {
        if (checking->count == CALL_BATCHES_MAX)
            return refused(checking, KAFKA_RECORD_LIST_TOO_LARGE, "There are too many batches for one partition.");
        if (!make_room(checking))
            return kafka_err_of(CAIRN_E_NOMEM);
        enum kafka_err err = check_head(checking, rest);
        if (err != KAFKA_NONE)
            return err;
        size_t size = checking->heads[checking->count++].size;
        rest = (cairn_str){rest.data + size, rest.size - size};
    }
    return KAFKA_NONE;
}

/* ---- records ----------------------------------------------------------------------------------------------------------------- */

static enum kafka_err
check_record(struct checking *checking, const struct batch_record *record, char text[sizeof checking->text])
{
    const struct view *view = checking->view;
    const struct broker_options *options = &checking->broker->options;
    if (view->topic->compact && !record->has_key)
        return refused(checking, KAFKA_INVALID_RECORD, "A topic that is compacted takes no record without a key.");
    if (!view->log_append_time && record->timestamp_ms >= 0 && checking->now_ms - record->timestamp_ms > view->before_max_ms)
        return refused(checking, KAFKA_INVALID_TIMESTAMP, "A timestamp is earlier than message.timestamp.before.max.ms allows.");
    if (view->value_subject.size == 0 || !options->validate || !record->has_value)
        return KAFKA_NONE;
    snprintf(text, sizeof checking->text, "The value does not conform to the topic's subject.");
    return refused(checking, options->validate(options->validate_context, view->value_subject, record->value, text, sizeof checking->text),
                   text);
}

/* All of a batch's records: who sent them learns which ones it is refused for (KIP-467), and may send the others again. The error and
 * its text are of the first. */
static enum kafka_err
check_batch(struct checking *checking, struct batch_cursor *cursor, cairn_str batch)
{
    struct batch_record record;
    char other[sizeof checking->text];
    enum kafka_err err = KAFKA_NONE;
    const char *fault = batch_open(cursor, batch), *message = NULL;
    for (uint32_t i = 0; !fault && batch_next(cursor, &record); i++) {
        enum kafka_err of_this = check_record(checking, &record, err == KAFKA_NONE ? checking->text : other);
        if (of_this == KAFKA_NONE)
            continue;
        if (err == KAFKA_NONE) {
            err = of_this;
            message = checking->message;
        }
        if (of_this != KAFKA_INVALID_RECORD && of_this != KAFKA_INVALID_TIMESTAMP) { /* no memory, say: not for what it is */
            checking->bad_count = 0;
            return of_this;
        }
        if (!checking->bad)
            checking->bad = malloc(PRODUCE_BAD_MAX * sizeof *checking->bad);
        if (checking->bad && checking->bad_count < PRODUCE_BAD_MAX)
            checking->bad[checking->bad_count++] = i;
    }
    if (!fault)
        fault = cursor->fault;
    if (fault) {
        checking->bad_count = 0;
        return refused(checking, fault_err(fault), fault);
    }
    return err == KAFKA_NONE ? err : refused(checking, err, message);
}

static bool
checks_values(const struct broker *broker, const struct view *view)
{
    return view->value_subject.size > 0 && broker->options.validate;
}

bool
broker_checks_values(struct broker *broker, cairn_str topic)
{
    struct view *view = NULL;
    if (!broker->options.validate || view_get(broker, topic, NULL, &view) != KAFKA_NONE)
        return false;
    bool checks = checks_values(broker, view);
    view_release(view);
    return checks;
}

static enum kafka_err
check_records(struct checking *checking)
{
    const struct view *view = checking->view;
    bool times = !view->log_append_time && view->before_max_ms != INT64_MAX;
    bool values = checks_values(checking->broker, view);
    if (!view->topic->compact && !times && !values)
        return KAFKA_NONE;
    struct batch_cursor cursor = {.left = 0};
    enum kafka_err err = KAFKA_NONE;
    for (size_t i = 0; i < checking->count && err == KAFKA_NONE; i++)
        err = check_batch(checking, &cursor, checking->batches[i]);
    batch_close(&cursor);
    return err;
}

/* Log-append time goes into a copy: what the client sent is borrowed. */
static enum kafka_err
stamp(struct checking *checking)
{
    if (!checking->view->log_append_time)
        return KAFKA_NONE;
    cairn_str bytes = checking->produce->bytes;
    checking->stamped = malloc(bytes.size);
    if (!checking->stamped)
        return kafka_err_of(CAIRN_E_NOMEM);
    memcpy(checking->stamped, bytes.data, bytes.size);
    for (size_t i = 0; i < checking->count; i++) {
        uint8_t *batch = checking->stamped + (checking->batches[i].data - bytes.data);
        batch_stamp(batch, checking->now_ms);
        checking->batches[i].data = (const char *)batch;
    }
    return KAFKA_NONE;
}

/* ---- the call ---------------------------------------------------------------------------------------------------------------- */

int64_t
view_start(const struct view *view, uint32_t partition)
{
    return view->topic->starts ? (int64_t)view->topic->starts[partition] : 0;
}

enum kafka_err
append_err(cairn_err err)
{
    switch (err) {
    case CAIRN_E_INVALID: return KAFKA_INVALID_RECORD;
    case CAIRN_E_LIMIT: return KAFKA_MESSAGE_TOO_LARGE;
    default: return kafka_err_of(err);
    }
}

static enum kafka_err
check(struct checking *checking)
{
    const struct produce *produce = checking->produce;
    enum kafka_err err = view_get(checking->broker, produce->topic, &produce->topic_id, &checking->view);
    if (err == KAFKA_NONE && produce->partition >= checking->view->topic->partitions)
        err = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (err == KAFKA_NONE)
        err = check_heads(checking);
    if (err == KAFKA_NONE)
        err = check_records(checking);
    if (err == KAFKA_NONE)
        err = stamp(checking);
    return err;
}

void
broker_produce_async(struct broker *broker, const struct produce *produce, produce_done done, void *context)
{
    struct checking checking = {.broker = broker, .produce = produce, .now_ms = now_ms(broker), .capacity = FEW};
    checking.heads = checking.few_heads;
    checking.batches = checking.few_batches;
    enum kafka_err err = check(&checking);
    if (err == KAFKA_NONE) {
        const struct appending appending = {.broker = broker, .view = checking.view, .partition = produce->partition,
                                            .heads = checking.heads, .batches = checking.batches, .count = checking.count,
                                            .log_append_time_ms = checking.stamped ? checking.now_ms : -1,
                                            .done = done, .context = context};
        if (checking.heads[0].attributes & BATCH_TRANSACTIONAL)
            transaction_hold(&appending, produce->transactional_id);
        else if (checking.heads[0].producer_id >= 0)
            append_idempotent(&appending);
        else
            append_plain(&appending);
    } else {
        const struct produced refusal = {.err = err, .base_offset = -1, .log_append_time_ms = -1, .log_start_offset = -1,
                                         .message = checking.message, .bad_records = checking.bad,
                                         .bad_count = checking.bad_count};
        done(context, &refusal);
    }
    if (checking.heads != checking.few_heads) {
        free(checking.heads);
        free(checking.batches);
    }
    free(checking.stamped);
    free(checking.bad);
    view_release(checking.view);
}

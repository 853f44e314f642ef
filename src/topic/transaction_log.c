/* Transactions in the log: `$transaction-<id>`, whose newest event counts.
 *
 *   {"producer", "epoch", "before_producer", "before_epoch", "timed_out", "timeout_ms", "state"} */
#include "transactions_int.h"

#include <base/json.h>

#define PREFIX "$transaction-"
#define EVENT_TYPE "$transaction"

static const char *const names[] = {
    [TXN_EMPTY] = "Empty", [TXN_ONGOING] = "Ongoing", [TXN_COMPLETE_COMMIT] = "CompleteCommit",
    [TXN_COMPLETE_ABORT] = "CompleteAbort", [TXN_LOST] = "Ongoing",
};

cairn_str
transaction_stream(cairn_str id, char to[512])
{
    size_t prefix = sizeof PREFIX - 1;
    memcpy(to, PREFIX, prefix);
    memcpy(to + prefix, id.data, id.size); /* at most TRANSACTIONAL_ID_MAX */
    return (cairn_str){to, prefix + id.size};
}

/* No answer of the store may end a client that could go on: for all transactional calls these two are "try again". */
enum kafka_err
transaction_err(cairn_err err)
{
    return err == CAIRN_OK ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
}

static void
put_i64(struct buf *to, const char *name, int64_t number)
{
    json_put_name(to, name);
    json_put_i64(to, number);
}

bool
transaction_event(const struct transaction *one, struct buf *to, cairn_event *ret)
{
    buf_put_char(to, '{');
    put_i64(to, "producer", one->producer.id);
    put_i64(to, "epoch", one->producer.epoch);
    put_i64(to, "before_producer", one->before.id);
    put_i64(to, "before_epoch", one->before.epoch);
    json_put_bool_member(to, "timed_out", one->timed_out);
    put_i64(to, "timeout_ms", one->timeout_ms);
    json_put_text_member(to, "state", cairn_cstr(names[one->state]));
    buf_put_char(to, '}');
    *ret = (cairn_event){.type = CAIRN_STR(EVENT_TYPE), .data = buf_str(to)};
    return !to->failed;
}

static bool
read_number(struct json data, const char *name, int64_t least, int64_t most, int64_t *ret)
{
    return json_i64(json_get(data, name), ret) && *ret >= least && *ret <= most;
}

static bool
read_state(cairn_str text, struct transaction *one)
{
    struct json data;
    int64_t producer, epoch, before, before_epoch, timeout;
    if (json_check(text, &data, NULL) != CAIRN_OK || !read_number(data, "producer", 0, INT64_MAX, &producer) ||
        !read_number(data, "epoch", 0, INT16_MAX, &epoch) || !read_number(data, "before_producer", -1, INT64_MAX, &before) ||
        !read_number(data, "before_epoch", -1, INT16_MAX, &before_epoch) ||
        !read_number(data, "timeout_ms", 1, INT32_MAX, &timeout))
        return false;
    one->producer = (struct producer){.id = producer, .epoch = (int16_t)epoch};
    one->before = (struct producer){.id = before, .epoch = (int16_t)before_epoch};
    one->timeout_ms = (int32_t)timeout;
    one->timed_out = json_get(data, "timed_out").type == JSON_TRUE;
    struct json state = json_get(data, "state");
    for (enum transaction_state i = TXN_EMPTY; i <= TXN_COMPLETE_ABORT; i++)
        if (json_string_is(state, names[i])) {
            one->state = i == TXN_ONGOING ? TXN_LOST : i; /* what it held was in the memory of a program that has ended */
            return true;
        }
    return false;
}

cairn_err
transaction_load(struct broker *broker, struct transaction *one)
{
    const cairn_read_options options = {.scope = broker->scope, .from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD, .system = true};
    char name[512];
    cairn_reader *reader = NULL;
    cairn_recorded event;
    one->exists = false;
    one->revision = -1;
    cairn_err err = cairn_read_stream(broker->store, transaction_stream(transaction_id(one), name), &options, &reader, NULL);
    if (err == CAIRN_OK)
        err = cairn_reader_next(reader, &event, NULL);
    if (err == CAIRN_OK) {
        one->exists = read_state(event.event.data, one);
        one->revision = (int64_t)event.revision;
        if (!one->exists)
            err = CAIRN_E_CORRUPT;
    }
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

cairn_err
transaction_write(struct broker *broker, const struct transaction *as, cairn_str id)
{
    char name[512];
    struct buf data = {0};
    cairn_event event;
    cairn_at at;
    const cairn_write write = {.stream = transaction_stream(id, name), .expected = as->revision == -1 ? CAIRN_NONE : as->revision,
                               .events = &event, .event_count = 1};
    const cairn_append_request request = {.scope = broker->scope, .writes = &write, .write_count = 1, .system = true};
    cairn_err err = transaction_event(as, &data, &event) ? cairn_append_all(broker->store, &request, &at, NULL) : CAIRN_E_NOMEM;
    buf_free(&data);
    return err;
}

/* Idempotency keys: the answer to a command that bore one is an event of "$command-<app>/<key>", written in the same append
 * as the command's events. The same key again is answered by it:
 *
 *   {"fingerprint":"…","id":"…","command":"…","stream":"…","outcome":"ok","events":["OrderPlaced"],"revision":3}
 *   {"fingerprint":"…","id":"…","command":"…","stream":"…","outcome":"rejected","code":"…","message":"…","details":…}
 *
 * The events lie right behind it in the log. The fingerprint is of the command's name and data. Answers are kept for seven
 * days (the log's rule for the category "$command"); then the key may be used anew. */
#include "bus_int.h"

#include <stdio.h>

/* ---- what is written -------------------------------------------------------------------------------------- */

static void
put_text(struct buf *to, const char *name, cairn_str value)
{
    json_put_text_member(to, name, value);
}

bool
key_put_answer(struct op *op, const struct append *append, struct buf *to)
{
    char hex[33], id[UUID_TEXT_SIZE];
    format_hex(op->fingerprint, 16, hex);
    format_uuid(op->command.id, id);
    buf_put_char(to, '{');
    put_text(to, "fingerprint", cairn_cstr(hex));
    put_text(to, "id", cairn_cstr(id));
    put_text(to, "command", op->command.name);
    put_text(to, "stream", op->stream);
    if (op->answer == CAIRN_E_REJECTED) {
        put_text(to, "outcome", CAIRN_STR("rejected"));
        put_text(to, "code", op->code);
        put_text(to, "message", op->message);
        if (op->details.size > 0 && json_check(op->details, &(struct json){0}, NULL) == CAIRN_OK) {
            json_put_name(to, "details");
            buf_put_str(to, op->details);
        }
    } else {
        put_text(to, "outcome", CAIRN_STR("ok"));
        json_put_name(to, "events");
        buf_put_char(to, '[');
        for (size_t i = 1; i < append->event_count; i++) {
            json_put_comma(to);
            json_put_string(to, append->events[i].type);
        }
        buf_put_char(to, ']');
        if (op->revision >= 0) {
            json_put_name(to, "revision");
            json_put_i64(to, op->revision);
        }
    }
    buf_put_char(to, '}');
    return !to->failed;
}

/* ---- what is read -------------------------------------------------------------------------------------------- */

static cairn_str
take_text(struct op *op, struct json answer, const char *name)
{
    cairn_str text = json_string(json_get(answer, name), &op->arena);
    return text.data == NULL ? (cairn_str){0} : arena_copy(&op->arena, text);
}

static bool
take_types(struct op *op, struct json events)
{
    struct json name, value;
    if (op->types_owned)
        free(op->types);
    op->types_owned = false;
    op->event_count = json_count(events);
    op->types = op->types_few;
    if (op->event_count > BUS_TYPES_FEW
        && (op->types = arena_alloc(&op->arena, op->event_count * sizeof *op->types)) == NULL)
        return false;
    struct json_walk walk = json_walk(events);
    for (size_t i = 0; json_next(&walk, &name, &value); i++) {
        cairn_str type = json_string(value, &op->arena);
        op->types[i] = type.data == NULL ? (cairn_str){0} : arena_copy(&op->arena, type);
        if (op->types[i].data == NULL)
            return false;
    }
    return true;
}

/* The revision of the last event of the answer, where it could not be known beforehand. */
static uint64_t
revision_at(struct op *op, uint64_t position)
{
    const cairn_read_options options = {.scope = op->command.scope, .from = (int64_t)position, .end = position + 1};
    cairn_reader *reader;
    cairn_recorded event = {0};
    if (cairn_read_all(op->app->bus->store, &options, &reader, NULL) != CAIRN_OK)
        return 0;
    uint64_t revision = cairn_reader_next(reader, &event, NULL) == CAIRN_OK ? event.revision : 0;
    cairn_reader_free(reader);
    return revision;
}

static cairn_err
take_answer(struct op *op, const cairn_recorded *event, cairn_at *ret_at, cairn_error *error)
{
    struct json answer;
    if (json_check(event->event.data, &answer, NULL) != CAIRN_OK || answer.type != JSON_OBJECT)
        return error_set(error, CAIRN_E_CORRUPT, "the answer at position %llu is not JSON",
                         (unsigned long long)event->position);
    char hex[33];
    format_hex(op->fingerprint, 16, hex);
    if (!json_string_is(json_get(answer, "fingerprint"), hex))
        return error_set(error, CAIRN_E_EXISTS, "the idempotency key was used for another command or other data");
    cairn_uuid id;
    if (parse_uuid(json_string(json_get(answer, "id"), &op->arena), &id))
        op->command.id = id;
    cairn_str stream = take_text(op, answer, "stream");
    if (stream.size > 0)
        op->stream = stream;
    bool good = true;
    if (json_string_is(json_get(answer, "outcome"), "rejected")) {
        op->answer = CAIRN_E_REJECTED;
        op->event_count = 0;
        op->code = take_text(op, answer, "code");
        op->message = take_text(op, answer, "message");
        cairn_str details = json_get(answer, "details").raw;
        op->details = details.size > 0 ? arena_copy(&op->arena, details) : (cairn_str){0};
        good = op->code.data != NULL && (details.size == 0 || op->details.data != NULL);
    } else {
        op->answer = CAIRN_OK;
        good = take_types(op, json_get(answer, "events"));
    }
    if (!good)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the answer");
    int64_t revision;
    *ret_at = (cairn_at){event->position + 1, event->position + op->event_count, 0, true};
    if (op->event_count == 0)
        ret_at->first_position = ret_at->last_position = event->position;
    else if (json_i64(json_get(answer, "revision"), &revision))
        ret_at->revision = (uint64_t)revision;
    else
        ret_at->revision = revision_at(op, ret_at->last_position);
    return CAIRN_OK;
}

cairn_err
key_look(struct op *op, int64_t *ret_expected, cairn_at *ret_at, cairn_error *error)
{
    cairn_store *store = op->app->bus->store;
    cairn_stream_info info;
    cairn_err err = cairn_stream_info_get(store, op->command.scope, op->key_stream, &info, error);
    if (err != CAIRN_OK)
        return err;
    *ret_expected = info.last_revision < 0 ? CAIRN_NONE : info.last_revision; /* an answer of long ago is hidden */
    if (!info.exists)
        return CAIRN_E_NOTFOUND;
    const cairn_read_options newest = {.scope = op->command.scope, .from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD};
    cairn_reader *reader;
    err = cairn_read_stream(store, op->key_stream, &newest, &reader, error);
    if (err != CAIRN_OK)
        return err;
    cairn_recorded event;
    err = cairn_reader_next(reader, &event, error);
    if (err == CAIRN_OK)
        err = take_answer(op, &event, ret_at, error);
    else if (err == CAIRN_E_END)
        err = CAIRN_E_NOTFOUND; /* its time has just passed */
    cairn_reader_free(reader);
    return err;
}

/* ---- in flight: the worker's table ---------------------------------------------------------------------------- */

static size_t
bucket_of(const struct worker *worker, const struct op *op)
{
    return hash64(op->key_stream.data, op->key_stream.size, op->command.scope) & (worker->key_capacity - 1);
}

struct op *
key_find(struct worker *worker, const struct op *op)
{
    if (worker->key_count == 0)
        return NULL;
    struct op *other = worker->keys[bucket_of(worker, op)];
    while (other != NULL
           && (other->command.scope != op->command.scope || !cairn_str_equal(other->key_stream, op->key_stream)))
        other = other->key_next;
    return other;
}

bool
key_enter(struct worker *worker, struct op *op)
{
    if (worker->key_count >= worker->key_capacity) {
        size_t before = worker->key_capacity, capacity = before ? before * 2 : 64;
        struct op **keys = calloc(capacity, sizeof *keys), **old = worker->keys;
        if (keys == NULL && before == 0)
            return false;
        if (keys != NULL) {
            worker->keys = keys;
            worker->key_capacity = capacity;
            for (size_t i = 0; i < before; i++) {
                for (struct op *at = old[i], *next; at != NULL; at = next) {
                    next = at->key_next;
                    size_t bucket = bucket_of(worker, at);
                    at->key_next = keys[bucket];
                    keys[bucket] = at;
                }
            }
            free(old);
        }
    }
    size_t bucket = bucket_of(worker, op);
    op->key_next = worker->keys[bucket];
    worker->keys[bucket] = op;
    op->keyed = true;
    worker->key_count++;
    return true;
}

void
key_leave(struct worker *worker, struct op *op)
{
    struct op **at = &worker->keys[bucket_of(worker, op)];
    while (*at != op)
        at = &(*at)->key_next;
    *at = op->key_next;
    op->keyed = false;
    worker->key_count--;
}

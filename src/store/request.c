/* Check an append before a backend sees it, and take correlations out of meta.
 *
 * The sizes and the UTF-8 of names, and how many and how large events may be, are checked by the
 * backend, which knows the limits and walks the names anyway: this runs for every event of every
 * append, and does only what the backend leaves out.
 *
 * Nothing is copied unless an event names its correlation in meta only: then the arrays of writes
 * and events are copied (not what they point to), because the caller's are const. */
#include "request.h"

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <batch/batch.h>
#include <cairn/topic.h>
#include <stdio.h>

#define NAME_MAX_BYTES 512
#define SYSTEM_NAME_MAX_BYTES 544 /* Cairn's own streams: a prefix, then a user's name */

cairn_err
request_check_name(cairn_str name, const char *what, cairn_error *error)
{
    if (name.size == 0)
        return error_set(error, CAIRN_E_INVALID, "%s is empty", what);
    if (name.data == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s has a size but no bytes", what);
    int limit = name.data[0] == '$' ? SYSTEM_NAME_MAX_BYTES : NAME_MAX_BYTES;
    if (name.size > (size_t)limit)
        return error_set(error, CAIRN_E_LIMIT, "%s is %zu bytes; the limit is %d", what, name.size,
                         limit);
    if (!utf8_valid(name))
        return error_set(error, CAIRN_E_INVALID, "%s is not valid UTF-8", what);
    return CAIRN_OK;
}

static cairn_err
denied(cairn_str stream, cairn_error *error)
{
    return error_set(error, CAIRN_E_DENIED,
                     "stream '%.*s': names beginning with '$' are Cairn's own",
                     (int)(stream.size < 100 ? stream.size : 100), stream.data);
}

cairn_err
request_check_own(cairn_str stream, cairn_error *error)
{
    cairn_err err = request_check_name(stream, "stream name", error);
    return err == CAIRN_OK && stream.data[0] == '$' ? denied(stream, error) : err;
}

/* Where a check stands, for the sentence it may have to say. */
struct place {
    size_t write, event;
};

/* ret_correlation: what meta says, {NULL, 0} when nothing. */
static cairn_err
check_meta(const cairn_event *event, struct place at, struct arena *arena,
           cairn_str *ret_correlation, cairn_error *error)
{
    *ret_correlation = (cairn_str){0};
    if (event->meta.size == 0)
        return CAIRN_OK;
    struct json meta;
    cairn_error why = {0};
    cairn_err err = json_check(event->meta, &meta, &why);
    if (err == CAIRN_E_NOMEM)
        return error_set(error, err, "out of memory");
    if (err != CAIRN_OK)
        return error_set(error, err, "write %zu, event %zu: meta: %s", at.write, at.event,
                         why.detail);
    if (meta.type != JSON_OBJECT)
        return error_set(error, CAIRN_E_INVALID,
                         "write %zu, event %zu: meta must be a JSON object", at.write, at.event);
    if (event->correlation.size > 0)
        return CAIRN_OK;
    struct json correlation = json_get(meta, "correlation");
    if (correlation.type == JSON_STRING) {
        *ret_correlation = json_string(correlation, arena);
        if (ret_correlation->data == NULL && correlation.raw.size > 2)
            return error_set(error, CAIRN_E_INVALID,
                             "write %zu, event %zu: meta.correlation is not readable text",
                             at.write, at.event);
    }
    return CAIRN_OK;
}

static bool
points_nowhere(cairn_str text)
{
    return text.size > 0 && text.data == NULL;
}

static cairn_err
check_event(const cairn_event *event, struct place at, struct arena *arena,
            cairn_str *ret_correlation, cairn_error *error)
{
    bool nowhere = points_nowhere(event->type) || points_nowhere(event->content_type) ||
                   points_nowhere(event->data) || points_nowhere(event->meta) ||
                   points_nowhere(event->correlation) ||
                   (event->tag_count > 0 && event->tags == NULL);
    if (nowhere)
        return error_set(error, CAIRN_E_INVALID,
                         "write %zu, event %zu: something has a size but no bytes", at.write,
                         at.event);
    return check_meta(event, at, arena, ret_correlation, error);
}

static cairn_err
check_write(const cairn_write *write, size_t index, bool system, cairn_error *error)
{
    if (points_nowhere(write->stream))
        return error_set(error, CAIRN_E_INVALID, "write %zu: the stream's name has no bytes",
                         index);
    if (!system && write->stream.size > 0 && write->stream.data[0] == '$')
        return denied(write->stream, error);
    if (write->event_count > 0 && write->events == NULL)
        return error_set(error, CAIRN_E_INVALID, "write %zu: events is NULL", index);
    return CAIRN_OK;
}

cairn_err
request_check_query(const cairn_query *query, const char *what, cairn_error *error)
{
    if (query->item_count > 0 && query->items == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s: the query's items are NULL", what);
    for (size_t i = 0; i < query->item_count; i++) {
        const cairn_query_item *item = &query->items[i];
        if ((item->type_count > 0 && item->types == NULL) ||
            (item->tag_count > 0 && item->tags == NULL))
            return error_set(error, CAIRN_E_INVALID, "%s: query item %zu points to nothing", what,
                             i);
    }
    return CAIRN_OK;
}

static cairn_err
check_conditions(const cairn_append_request *request, cairn_error *error)
{
    if (request->condition_count > 0 && request->conditions == NULL)
        return error_set(error, CAIRN_E_INVALID, "conditions is NULL");
    for (size_t i = 0; i < request->condition_count; i++) {
        const cairn_condition *condition = &request->conditions[i];
        char what[32];
        snprintf(what, sizeof what, "condition %zu", i);
        if (condition->after < -1)
            return error_set(error, CAIRN_E_INVALID,
                             "%s: after is %lld; it must be a position, or -1", what,
                             (long long)condition->after);
        cairn_err err = request_check_query(&condition->query, what, error);
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}

/* A write's events in a copy that may be changed. The array of writes is copied at the first need. */
static cairn_event *
copy_events(const cairn_append_request *from, cairn_append_request *to, size_t write,
            struct arena *arena)
{
    cairn_write *writes = (cairn_write *)(uintptr_t)to->writes;
    if (to->writes == from->writes) {
        writes = arena_alloc(arena, from->write_count * sizeof *writes);
        if (writes == NULL)
            return NULL;
        memcpy(writes, from->writes, from->write_count * sizeof *writes);
        to->writes = writes;
    }
    size_t size = writes[write].event_count * sizeof(cairn_event);
    cairn_event *events = arena_alloc(arena, size);
    if (events == NULL)
        return NULL;
    memcpy(events, writes[write].events, size);
    writes[write].events = events;
    return events;
}

static cairn_err
prepare_events(const cairn_append_request *from, cairn_append_request *to, size_t index,
               struct arena *arena, cairn_error *error)
{
    const cairn_write *write = &from->writes[index];
    cairn_event *copy = NULL;
    for (size_t i = 0; i < write->event_count; i++) {
        cairn_str correlation;
        cairn_err err = check_event(&write->events[i], (struct place){index, i}, arena,
                                    &correlation, error);
        if (err != CAIRN_OK)
            return err;
        if (correlation.size == 0)
            continue;
        if (copy == NULL && (copy = copy_events(from, to, index, arena)) == NULL)
            return error_set(error, CAIRN_E_NOMEM, "out of memory");
        copy[i].correlation = correlation;
    }
    return CAIRN_OK;
}

/* Cairn's own rooms have looked at the checksum when they took the batch in. */
static cairn_err
check_batch(const cairn_batch *batch, size_t index, cairn_error *error)
{
    struct batch_head head;
    if (points_nowhere(batch->bytes))
        return error_set(error, CAIRN_E_INVALID, "batch %zu has a size but no bytes", index);
    const char *fault = batch_head_read(batch->bytes, &head);
    if (fault == NULL && head.size != batch->bytes.size)
        fault = "there is something behind the batch";
    if (fault == NULL && !batch_crc_holds(batch->bytes))
        fault = "its bytes do not match its checksum";
    return fault ? error_set(error, CAIRN_E_INVALID, "batch %zu: %s", index, fault) : CAIRN_OK;
}

cairn_err
request_prepare(const cairn_append_request *request, struct arena *arena,
                cairn_append_request *ret, cairn_error *error)
{
    if (request->write_count == 0 && request->batch_count == 0)
        return error_set(error, CAIRN_E_INVALID, "an append needs at least one write");
    if (request->write_count > 0 && request->writes == NULL)
        return error_set(error, CAIRN_E_INVALID, "writes is NULL");
    if (request->batch_count > 0 && request->batches == NULL)
        return error_set(error, CAIRN_E_INVALID, "batches is NULL");
    *ret = *request;
    for (size_t i = 0; !request->system && i < request->batch_count; i++) {
        cairn_err err = check_batch(&request->batches[i], i, error);
        if (err != CAIRN_OK)
            return err;
    }
    for (size_t i = 0; i < request->write_count; i++) {
        cairn_err err = check_write(&request->writes[i], i, request->system, error);
        if (err == CAIRN_OK)
            err = prepare_events(request, ret, i, arena, error);
        if (err != CAIRN_OK)
            return err;
    }
    return check_conditions(ret, error);
}

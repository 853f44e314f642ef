/* Appending: parse, hand to the store, answer when it is durable.
 *
 *   loop: parse ─► cairn_append_async ─► (commit thread) completed ─► http_post ─► loop: answer
 *
 * The exchange is held meanwhile; what the commit thread writes to lies in the exchange's arena. api_drain()
 * waits until `appends` is zero, so that a server that stops never frees it under the commit thread. */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <base/json.h>
#include <proto/http/api_parse.h>

#define CE_HEADERS_MAX 64

struct append {
    struct api_call call; /* its arena is the exchange's */
    struct http_post_node node;
    cairn_at at;
    cairn_err err;
    cairn_error error;
};

static void
put_at(struct buf *to, const cairn_at *at)
{
    buf_put_str(to, CAIRN_STR("{\"first_position\":"));
    json_put_u64(to, at->first_position);
    buf_put_str(to, CAIRN_STR(",\"last_position\":"));
    json_put_u64(to, at->last_position);
    buf_put_str(to, CAIRN_STR(",\"revision\":"));
    json_put_u64(to, at->revision);
    buf_put_str(to, at->repeated ? CAIRN_STR(",\"repeated\":true}") : CAIRN_STR("}"));
}

/* On the loop again. */
static void
answer(void *context)
{
    struct append *append = context;
    struct api_call *call = &append->call;
    struct http_exchange *x = call->x;
    struct api *api = call->api;

    api_observe(&api->append_time, api_now_us() - call->start_us);
    buf_clear(call->out);
    if (append->err == CAIRN_OK) {
        call->status = append->at.repeated ? 200 : 201;
        put_at(call->out, &append->at);
    }
    api_finish(call, append->err, &append->error);
    http_release(x);
}

/* On the commit thread. */
static void
completed(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    struct append *append = context;
    struct api *api = append->call.api;
    append->err = err;
    if (err == CAIRN_OK)
        append->at = *at;
    else if (error)
        append->error = *error;
    append->node.fn = answer;
    append->node.context = append;
    /* From here on the loop may free it. */
    http_post(append->call.loop->loop, &append->node);
    atomic_fetch_sub(&api->appends, 1);
}

static cairn_err
submit(struct api_call *call, const cairn_append_request *request, cairn_error *error)
{
    struct append *append = arena_alloc(http_arena(call->x), sizeof *append);
    if (!append)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    append->call = *call;
    append->error = (cairn_error){0};
    http_hold(call->x);
    atomic_fetch_add(&call->api->appends, 1);
    cairn_err err = cairn_append_async(call->api->store, request, completed, append, error);
    if (err != CAIRN_OK) {
        atomic_fetch_sub(&call->api->appends, 1);
        api_observe(&call->api->append_time, api_now_us() - call->start_us);
        http_release(call->x);
    }
    return err;
}

/* ---- bodies --------------------------------------------------------------------------------------- */

static struct parse
begin_parse(struct api_call *call, cairn_error *error)
{
    return (struct parse){
        .arena = call->arena, .error = error, .events_max = call->api->config.append_events_max};
}

/* The ce-* headers; the count, or -1 when there are too many. */
static int
ce_headers(struct http_exchange *x, struct parse_header headers[CE_HEADERS_MAX])
{
    int count = 0;
    cairn_str name, value;
    for (size_t i = 0; http_header_at(x, i, &name, &value); i++) {
        if (name.size <= 3 || memcmp(name.data, "ce-", 3) != 0)
            continue;
        if (count == CE_HEADERS_MAX)
            return -1;
        headers[count++] = (struct parse_header){name, value};
    }
    return count;
}

static cairn_err
refuse_media_type(struct api_call *call)
{
    cairn_error error = {0};
    bool form = parse_media_is(call->content_type, "application/x-www-form-urlencoded");
    error_set(&error, CAIRN_E_UNSUPPORTED,
              "content-type '%.*s' is not known here; known are application/json, "
              "application/x-ndjson, application/cloudevents+json, "
              "application/cloudevents-batch+json, or ce-* headers%s",
              (int)(call->content_type.size < 80 ? call->content_type.size : 80),
              call->content_type.data, form ? " (curl needs -H 'content-type: application/json')" : "");
    api_count(call, 415);
    problem_send(call->x, &problem_media_type, &error, NULL);
    return CAIRN_OK;
}

cairn_err
api_append_stream(struct api_call *call, cairn_error *error)
{
    struct parse parse = begin_parse(call, error);
    struct parse_header headers[CE_HEADERS_MAX];
    int header_count = ce_headers(call->x, headers);
    if (header_count < 0)
        return error_set(error, CAIRN_E_LIMIT, "more than %d ce-* headers", CE_HEADERS_MAX);
    enum event_format format = parse_event_format(call->content_type, header_count > 0);
    if (format == EVENTS_UNKNOWN)
        return refuse_media_type(call);

    struct event_list list;
    cairn_err err = format == EVENTS_CLOUDEVENT_BINARY
                        ? parse_binary_event(&parse, call->content_type, headers, (size_t)header_count,
                                             call->body, &list)
                        : parse_events(&parse, format, call->body, &list);
    call->malformed = parse.malformed;
    if (err != CAIRN_OK)
        return err;
    const cairn_write write = {call->parts[0], call->args.value[ARG_EXPECTED].number, list.events, list.count};
    const cairn_append_request request = {.writes = &write, .write_count = 1};
    return submit(call, &request, error);
}

cairn_err
api_append_many(struct api_call *call, cairn_error *error)
{
    struct parse parse = begin_parse(call, error);
    cairn_append_request request;
    if (!parse_media_is(call->content_type, "application/json") && call->content_type.size > 0)
        return refuse_media_type(call);
    cairn_err err = parse_append(&parse, call->body, &request);
    call->malformed = parse.malformed;
    if (err != CAIRN_OK)
        return err;
    return submit(call, &request, error);
}

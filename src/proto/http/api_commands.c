/* Commands and queries of apps.
 *
 *   POST …/commands/{Command}:  loop ─► cairn_command_async ─► (worker or commit thread) over ─► http_post ─► loop: answer
 *                                  └─ a large body: pool, because its data is read and validated here
 *   GET  …/queries/{query}:     loop, with a small budget of work ─► answer
 *                                    └─ needs more: threads that may wait, with the request's time ─► answer
 *
 * What the worker writes to lies in the exchange's arena, which is held meanwhile, or in a buffer of the command's own.
 * api_drain() waits for commands as it does for appends. */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <proto/http/api_parse.h>

#include <stdio.h>

#define SUBMIT_INLINE_BYTES (64u << 10)

cairn_err
api_apps(struct api_call *call, cairn_apps **ret, cairn_error *error)
{
    if (call->api->config.apps == NULL)
        return error_set(error, CAIRN_E_UNSUPPORTED, "this server was started without apps");
    *ret = call->api->config.apps;
    return CAIRN_OK;
}

/* ---- commands ------------------------------------------------------------------------------------------- */

struct command {
    struct api_call call; /* its arena is the exchange's */
    cairn_command given;
    cairn_err refused; /* on the pool: it was not taken on */
    struct http_post_node node;
    cairn_err err;
    cairn_error error;
    struct buf out; /* written by the worker: the answer, or what a problem has besides the usual members */
};

static void
put_outcome(struct buf *to, const struct api_call *call, const cairn_outcome *outcome)
{
    buf_put_str(to, CAIRN_STR("{\"command_id\":"));
    json_put_uuid(to, outcome->id);
    json_put_text_member(to, "app", call->parts[0]);
    json_put_text_member(to, "command", call->parts[1]);
    json_put_text_member(to, "stream", outcome->stream);
    if (outcome->event_count > 0) {
        json_put_u64_member(to, "revision", outcome->at.revision);
        json_put_u64_member(to, "position", outcome->position);
    }
    json_put_name(to, "events");
    buf_put_char(to, '[');
    for (size_t i = 0; i < outcome->event_count; i++) {
        json_put_comma(to);
        buf_put_str(to, CAIRN_STR("{\"type\":"));
        json_put_string(to, outcome->types[i]);
        json_put_u64_member(to, "position", outcome->at.first_position + i);
        buf_put_char(to, '}');
    }
    buf_put_str(to, outcome->repeated ? CAIRN_STR("],\"repeated\":true}") : CAIRN_STR("],\"repeated\":false}"));
}

/* Members that a rejection's problem has besides the usual ones. */
static void
put_rejection(struct buf *to, const cairn_outcome *outcome)
{
    json_put_text_member(to, "code", outcome->code);
    json_put_text_member(to, "message", outcome->message);
    json_put_name(to, "details");
    if (outcome->details.size > 0)
        json_put_compact(to, outcome->details);
    else
        buf_put_str(to, CAIRN_STR("null"));
    json_put_name(to, "command_id");
    json_put_uuid(to, outcome->id);
    json_put_bool_member(to, "repeated", outcome->repeated);
}

void
api_problem_with(struct api_call *call, cairn_err err, const cairn_error *error, cairn_str members)
{
    struct problem_kind kind = call->problem ? *call->problem : problem_of(err);
    struct buf body = {0};
    problem_put(&body, &kind, error);
    if (!body.failed && members.size > 0) {
        body.size--; /* the closing brace */
        if (members.data[0] != ',')
            buf_put_char(&body, ',');
        buf_put_str(&body, members);
        buf_put_char(&body, '}');
    }
    const struct http_field fields[] = {{"content-type", CAIRN_STR("application/problem+json")},
                                        {"cache-control", CAIRN_STR("no-store")},
                                        {"retry-after", CAIRN_STR("1")}};
    api_count(call, kind.status);
    http_respond(call->x, kind.status, fields, kind.status == 429 || kind.status == 503 ? 3 : 2, body.failed ? (cairn_str){0} : buf_str(&body));
    buf_free(&body);
}

/* On the loop again. */
static void
answer(void *context)
{
    struct command *command = context;
    struct api_call *call = &command->call;
    struct http_exchange *x = call->x;
    api_observe(&call->api->append_time, api_now_us() - call->start_us);
    if (command->err != CAIRN_OK && command->out.size > 0) {
        api_problem_with(call, command->err, &command->error, buf_str(&command->out));
    } else {
        call->out = &command->out;
        api_finish(call, command->err, &command->error);
    }
    buf_free(&command->out);
    http_release(x);
}

/* On a worker's or the commit thread. */
static void
over(void *context, cairn_err err, const cairn_outcome *outcome, const cairn_error *error)
{
    struct command *command = context;
    struct api *api = command->call.api;
    command->err = err;
    if (err != CAIRN_OK && error != NULL)
        command->error = *error;
    if (err == CAIRN_OK)
        put_outcome(&command->out, &command->call, outcome);
    else if (err == CAIRN_E_REJECTED)
        put_rejection(&command->out, outcome);
    else if (err == CAIRN_E_INVALID && outcome->details.size > 0) {
        json_put_name(&command->out, "faults");
        json_put_compact(&command->out, outcome->details);
    }
    command->node.fn = answer;
    command->node.context = command;
    http_post(command->call.loop->loop, &command->node);
    atomic_fetch_sub(&api->appends, 1);
}

static cairn_err
read_deadline(struct api_call *call, uint32_t *ret, cairn_error *error)
{
    cairn_str text = http_header(call->x, "cairn-deadline-ms");
    uint64_t number = 0;
    if (text.size > 0 && (!parse_u64(text, &number) || number == 0 || number > 600000)) {
        call->malformed = true;
        return error_set(error, CAIRN_E_INVALID, "the header cairn-deadline-ms takes 1 to 600000");
    }
    *ret = (uint32_t)number;
    return CAIRN_OK;
}

static cairn_err
submit(struct command *command, cairn_error *error)
{
    struct api_call *call = &command->call;
    struct json data;
    cairn_err err = json_check(call->body, &data, error);
    call->malformed = err == CAIRN_E_INVALID;
    return err != CAIRN_OK ? err : cairn_command_async(call->api->config.apps, &command->given, over, command, error);
}

static void
submit_on_pool(void *context)
{
    struct command *command = context;
    cairn_error error = {0};
    command->refused = submit(command, &error);
    if (command->refused != CAIRN_OK) /* otherwise what is here belongs to over() */
        command->error = error;
}

static void
submitted(void *context)
{
    struct command *command = context;
    struct http_exchange *x = command->call.x;
    if (command->refused != CAIRN_OK) {
        atomic_fetch_sub(&command->call.api->appends, 1);
        command->call.out = &command->out;
        api_finish(&command->call, command->refused, &command->error);
        http_release(x);
    }
    http_release(x);
}

cairn_err
api_command(struct api_call *call, cairn_error *error)
{
    cairn_apps *apps = NULL;
    cairn_command command = {
        .app = call->parts[0],
        .name = call->parts[1],
        .data = call->body,
        .key = http_header(call->x, "idempotency-key"),
        .correlation = http_header(call->x, "cairn-correlation"),
        .causation = http_header(call->x, "cairn-causation"),
        .actor = http_header(call->x, "cairn-actor"),
    };
    cairn_err err = api_apps(call, &apps, error);
    if (err == CAIRN_OK)
        err = read_deadline(call, &command.deadline_ms, error);
    if (err == CAIRN_OK && call->content_type.size > 0 && !parse_media_is(call->content_type, "application/json")) {
        cairn_error media = {0};
        error_set(&media, CAIRN_E_UNSUPPORTED, "content-type '%.*s': a command's data is application/json",
                  (int)(call->content_type.size < 80 ? call->content_type.size : 80), call->content_type.data);
        api_count(call, 415);
        problem_send(call->x, &problem_media_type, &media, NULL);
        return CAIRN_OK;
    }
    if (err != CAIRN_OK)
        return err;
    struct command *kept = arena_zalloc(http_arena(call->x), sizeof *kept);
    if (kept == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    kept->call = *call;
    kept->given = command;
    http_hold(call->x);
    atomic_fetch_add(&call->api->appends, 1);
    if (call->body.size <= SUBMIT_INLINE_BYTES) {
        err = submit(kept, error);
        call->malformed = kept->call.malformed;
    } else {
        http_hold(call->x); /* until the pool is through, however soon the answer is there */
        if (http_work(call->loop->loop, submit_on_pool, submitted, kept))
            return CAIRN_OK;
        http_release(call->x);
        err = error_set(error, CAIRN_E_BUSY, "too many requests are waiting for the disk");
    }
    if (err != CAIRN_OK) {
        atomic_fetch_sub(&call->api->appends, 1);
        http_release(call->x);
    }
    return err;
}

/* ---- queries ------------------------------------------------------------------------------------------------ */

static cairn_err
read_request(struct api_call *call, cairn_app_query_request *ret, cairn_error *error)
{
    const struct api_value *values = call->args.value;
    *ret = (cairn_app_query_request){
        .app = call->parts[0],
        .query = call->parts[1],
        .actor = http_header(call->x, "cairn-actor"),
        .params = call->args.free,
        .param_count = call->args.free_count,
        .limit = values[ARG_ROWS].given ? (uint32_t)values[ARG_ROWS].number : 0,
        .cursor = values[ARG_CURSOR].given ? values[ARG_CURSOR].text : (cairn_str){0},
        .has_after_position = values[ARG_AFTER_POSITION].given,
        .after_position = (uint64_t)values[ARG_AFTER_POSITION].number,
        .has_as_of = values[ARG_AS_OF].given,
        .as_of = (uint64_t)values[ARG_AS_OF].number,
        .timeout_ms = values[ARG_TIMEOUT].given ? (uint32_t)values[ARG_TIMEOUT].number : 0,
    };
    if (values[ARG_AS_OF].given && values[ARG_AS_OF].is_time)
        return cairn_position_at(call->api->store, values[ARG_AS_OF].number, &ret->as_of, error);
    return CAIRN_OK;
}

static cairn_err
query_on_pool(struct api_call *call, cairn_error *error)
{
    cairn_app_query_request request;
    cairn_err err = read_request(call, &request, error);
    buf_clear(call->out);
    return err == CAIRN_OK ? cairn_app_query(call->api->config.apps, &request, buf_sink, call->out, error) : err;
}

cairn_err
api_query(struct api_call *call, cairn_error *error)
{
    cairn_apps *apps = NULL;
    cairn_app_query_request request = {0};
    cairn_err err = api_apps(call, &apps, error);
    if (err != CAIRN_OK)
        return err;
    /* A time is looked up on the disk: not here. */
    bool quick = !call->args.value[ARG_AS_OF].given;
    if (quick) {
        err = read_request(call, &request, error);
        request.quick_only = true;
        if (err == CAIRN_OK)
            err = cairn_app_query(apps, &request, buf_sink, call->out, error);
        if (err == CAIRN_OK)
            api_finish(call, CAIRN_OK, NULL);
        if (err != CAIRN_E_BUSY)
            return err;
    }
    struct api_call *kept = api_keep(call);
    if (kept == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    err = api_run_waiting(kept, query_on_pool, error);
    if (err != CAIRN_OK)
        api_release(kept);
    return err;
}

/* Calls: find the route, read the parameters, run the handler where its route says, answer.
 *
 *   api_serve ─► RUN_INLINE: handler, api_finish                          all on the loop
 *             ─► RUN_WORK:   api_keep ─► pool: handler ─► loop: api_finish ─► api_release
 *             ─► RUN_OWN:    the handler has the exchange; an error it returns is answered here */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <base/text.h>
#include <os/os.h>
#include <os/wait.h>
#include <proto/http/api_parse.h>
#include <proto/http/console.h>

#include <stdlib.h>

#define OUT_KEEP_BYTES (1u << 20) /* a loop's buffer that grew beyond is given back */
#define WORK_ARENA_MAX (64u << 20)

int64_t
api_now_us(void)
{
    return os_monotonic_us(os_real());
}

/* ---- answering ---------------------------------------------------------------------------------- */

void
api_reply_field(struct api_call *call, const char *name, cairn_str value)
{
    if (call->field_count < sizeof call->fields / sizeof *call->fields)
        call->fields[call->field_count++] = (struct http_field){name, value};
}

void
api_count(struct api_call *call, int status)
{
    size_t row = call->route ? (size_t)(call->route - api_route_at(0)) : api_route_count();
    unsigned column = status >= 100 && status < 600 ? (unsigned)status / 100 : 5;
    atomic_fetch_add_explicit(&call->api->requests[row * 6 + column], 1, memory_order_relaxed);
}

static void
send_problem(struct api_call *call, cairn_err err, const cairn_error *error)
{
    struct problem_kind kind = call->problem                              ? *call->problem
                               : err == CAIRN_E_INVALID && call->malformed ? problem_malformed
                                                                           : problem_of(err);
    if (call->problem_members.size > 0) {
        api_problem_with(call, err, error, call->problem_members);
        return;
    }
    api_count(call, kind.status);
    problem_send(call->x, &kind, error, NULL);
}

void
api_finish(struct api_call *call, cairn_err err, const cairn_error *error)
{
    cairn_error no_memory = {.code = CAIRN_E_NOMEM, .detail = "out of memory while writing the answer"};
    if (err == CAIRN_OK && call->out->failed) {
        err = CAIRN_E_NOMEM;
        error = &no_memory;
    }
    if (err != CAIRN_OK) {
        send_problem(call, err, error);
        return;
    }
    int status = call->status ? call->status : 200;
    struct http_field fields[8];
    size_t count = 0;
    if (status != 204)
        fields[count++] = (struct http_field){
            "content-type", call->reply_type_text.size ? call->reply_type_text
                                                       : cairn_cstr(call->reply_type ? call->reply_type
                                                                                     : "application/json")};
    for (size_t i = 0; i < call->field_count; i++)
        fields[count++] = call->fields[i];
    api_count(call, status);
    http_respond(call->x, status, fields, count, buf_str(call->out));
}

/* ---- calls that outlive the handler ---------------------------------------------------------------- */

struct api_call *
api_keep(const struct api_call *call)
{
    struct api_call *kept = malloc(sizeof *kept);
    if (!kept)
        return NULL;
    *kept = *call;
    kept->own_arena = (struct arena){.size_max = WORK_ARENA_MAX};
    kept->own_out = (struct buf){0};
    kept->arena = &kept->own_arena;
    kept->out = &kept->own_out;
    http_hold(call->x);
    return kept;
}

void
api_release(struct api_call *call)
{
    http_release(call->x);
    buf_free(&call->own_out);
    arena_free(&call->own_arena);
    free(call);
}

static void
work(void *context)
{
    struct api_call *call = context;
    call->failure = (cairn_error){0};
    call->result = call->on_pool(call, &call->failure);
}

static void
work_done(void *context)
{
    struct api_call *call = context;
    api_finish(call, call->result, &call->failure);
    api_release(call);
}

cairn_err
api_run_on_pool(struct api_call *kept, api_handle handle, cairn_error *error)
{
    kept->on_pool = handle;
    if (http_work(kept->loop->loop, work, work_done, kept))
        return CAIRN_OK;
    return error_set(error, CAIRN_E_BUSY, "too many requests are waiting for the disk");
}

cairn_err
api_run_waiting(struct api_call *kept, api_handle handle, cairn_error *error)
{
    kept->on_pool = handle;
    if (http_wait(kept->loop->loop, work, work_done, kept))
        return CAIRN_OK;
    return error_set(error, CAIRN_E_BUSY, "too many requests are waiting for read models");
}

static cairn_err
run_work(struct api_call *call, cairn_error *error)
{
    struct api_call *kept = api_keep(call);
    if (!kept)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    cairn_err err = api_run_on_pool(kept, call->route->handle, error);
    if (err != CAIRN_OK)
        api_release(kept);
    return err;
}

static void
run(struct api_call *call)
{
    cairn_error error = {0};
    if (call->route->run == RUN_INLINE) {
        cairn_err err = call->route->handle(call, &error);
        api_finish(call, err, &error);
        return;
    }
    cairn_err err = call->route->run == RUN_WORK ? run_work(call, &error)
                                                 : call->route->handle(call, &error);
    if (err != CAIRN_OK)
        send_problem(call, err, &error);
}

/* ---- resolving ----------------------------------------------------------------------------------------- */

/* Names in paths are names of streams and groups: what is no name is no path. */
static bool
parts_are_good(const struct api_match *match, cairn_error *error)
{
    for (size_t i = 0; i < match->part_count; i++)
        if (match->bad_escape || !utf8_valid(match->parts[i])) {
            error_set(error, CAIRN_E_INVALID, "the path holds a bad percent-escape or is not UTF-8");
            return false;
        }
    return true;
}

static void
refuse_path(struct api_call *call, const struct api_match *match)
{
    cairn_error error = {0};
    cairn_str path = http_path(call->x);
    cairn_str method = http_method(call->x);
    const struct problem_kind *kind = match->allow[0] ? &problem_method : &problem_path;
    error_set(&error, CAIRN_E_NOTFOUND, "%.*s %.*s", (int)(method.size < 20 ? method.size : 20),
              method.data, (int)(path.size < 200 ? path.size : 200), path.data);
    api_count(call, kind->status);
    problem_send(call->x, kind, &error, match->allow[0] ? match->allow : NULL);
}

/* A page of another site can make its visitor's browser send simple requests here, and this server may listen
 * where only that browser reaches it: whatever changes something is refused when Origin names another host. */
static bool
is_foreign(const struct api_call *call, cairn_error *error)
{
    cairn_str origin = http_header(call->x, "origin"), host = http_header(call->x, "host");
    if (origin.size == 0 || !strcmp(call->route->method, "GET"))
        return false;
    const char *slashes = memmem(origin.data, origin.size, "://", 3);
    size_t skip = slashes ? (size_t)(slashes - origin.data) + 3 : 0;
    if (slashes && cairn_str_equal((cairn_str){origin.data + skip, origin.size - skip}, host))
        return false;
    error_set(error, CAIRN_E_DENIED, "origin '%.*s' is not the host '%.*s'",
              (int)(origin.size < 100 ? origin.size : 100), origin.data, (int)(host.size < 100 ? host.size : 100),
              host.data ? host.data : "");
    return true;
}

/* Control objects are JSON; handlers of events look at the type themselves. */
static bool
is_json_body(const struct api_call *call, cairn_error *error)
{
    if (call->route->run == RUN_OWN || !call->route->body[0].type ||
        strcmp(call->route->body[0].type, "application/json") != 0 || call->content_type.size == 0 ||
        parse_media_is(call->content_type, "application/json"))
        return true;
    error_set(error, CAIRN_E_UNSUPPORTED, "content-type '%.*s' is not application/json",
              (int)(call->content_type.size < 80 ? call->content_type.size : 80), call->content_type.data);
    return false;
}

static void
refuse_as(struct api_call *call, const struct problem_kind *kind, const cairn_error *error)
{
    api_count(call, kind->status);
    problem_send(call->x, kind, error, NULL);
}

static struct api_loop *
loop_of(struct api *api, struct http_exchange *x)
{
    struct http_loop *http_loop = http_loop_of(x);
    unsigned index = http_loop_index(http_loop);
    if (index >= API_LOOPS_MAX)
        return NULL;
    struct api_loop *loop = &api->loops[index];
    if (!loop->loop) { /* once: other threads read it */
        loop->api = api;
        loop->loop = http_loop;
    }
    return loop;
}

/* Path parts, parameters, headers and body of the request into the call. False: refused, and answered. */
static bool
read_request(struct api_call *call, const struct api_match *match)
{
    struct http_exchange *x = call->x;
    cairn_error error = {0};
    call->malformed = true; /* until the parameters are through */
    cairn_err err = parts_are_good(match, &error)
                        ? api_args_parse(http_query_text(x), call->route->args, call->arena, &call->args, &error)
                        : CAIRN_E_INVALID;
    if (err != CAIRN_OK) {
        send_problem(call, err, &error);
        return false;
    }
    call->malformed = false;
    memcpy(call->parts, match->parts, sizeof call->parts);
    call->body = http_body(x);
    call->content_type = http_header(x, "content-type");
    call->accept = http_header(x, "accept");
    call->last_event_id = http_header(x, "last-event-id");
    const struct problem_kind *refusal = is_foreign(call, &error)      ? &problem_origin
                                         : !is_json_body(call, &error) ? &problem_media_type
                                                                       : NULL;
    if (refusal)
        refuse_as(call, refusal, &error);
    return !refusal;
}

void
api_serve(void *context, struct http_exchange *x)
{
    struct api *api = context;
    struct api_call call = {.api = api, .x = x, .arena = http_arena(x), .start_us = api_now_us()};
    struct api_match match;
    int status;

    call.loop = loop_of(api, x);
    api_route_find(http_method(x), http_path(x), call.arena, &match);
    call.route = match.route;
    if (!call.loop || atomic_load_explicit(&api->closing, memory_order_relaxed)) {
        cairn_error error = {.code = CAIRN_E_CLOSED, .detail = "the server is stopping"};
        send_problem(&call, CAIRN_E_CLOSED, &error);
        return;
    }
    if (console_serve(x, &status)) {
        call.route = NULL;
        api_count(&call, status);
        return;
    }
    if (!match.route) {
        refuse_path(&call, &match);
        return;
    }
    if (!read_request(&call, &match))
        return;
    call.out = &call.loop->out;
    if (call.out->capacity > OUT_KEEP_BYTES)
        buf_free(call.out);
    buf_clear(call.out);
    run(&call);
}

/* ---- Accept -------------------------------------------------------------------------------------------- */

static const char *const form_media[] = {
    [FORM_JSON] = "application/json",
    [FORM_NDJSON] = "application/x-ndjson",
    [FORM_CLOUDEVENTS] = "application/cloudevents-batch+json",
    [FORM_SSE] = "text/event-stream",
};

/* Cut the text before the next `stop` off `rest`, without the spaces around it. */
static cairn_str
cut(cairn_str *rest, char stop)
{
    const char *at = memchr(rest->data, stop, rest->size);
    cairn_str piece = {rest->data, at ? (size_t)(at - rest->data) : rest->size};
    rest->data += piece.size + (at != NULL);
    rest->size -= piece.size + (at != NULL);
    while (piece.size > 0 && piece.data[0] == ' ') {
        piece.data++;
        piece.size--;
    }
    while (piece.size > 0 && piece.data[piece.size - 1] == ' ')
        piece.size--;
    return piece;
}

/* "0.8" in thousandths (RFC 9110 §12.4.2). */
static int
quality(cairn_str text)
{
    if (text.size == 0 || text.data[0] != '0')
        return 1000;
    int q = 0, weight = 100;
    for (size_t i = 2; i < text.size && i < 5 && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        q += (text.data[i] - '0') * weight;
        weight /= 10;
    }
    return q;
}

/* Does one element of Accept name this media type: exactly (2), by its group (1), by a wildcard (0), not
 * at all (-1)? Its quality goes to *ret_q. */
static int
names_media(cairn_str element, const char *media, int *ret_q)
{
    cairn_str name = cut(&element, ';');
    size_t group = (size_t)(strchr(media, '/') - media) + 1;
    *ret_q = 1000;
    while (element.size > 0) {
        cairn_str parameter = cut(&element, ';');
        if (parameter.size > 2 && (parameter.data[0] | 32) == 'q' && parameter.data[1] == '=')
            *ret_q = quality((cairn_str){parameter.data + 2, parameter.size - 2});
    }
    if (parse_media_is(name, media))
        return 2;
    if (name.size == group + 1 && name.data[group] == '*' && !strncmp(name.data, media, group))
        return 1;
    return parse_media_is(name, "*/*") ? 0 : -1;
}

enum api_form
api_negotiate(cairn_str accept, const enum api_form *offered, size_t count)
{
    if (accept.size == 0)
        return offered[0];
    enum api_form best = FORM_NONE;
    int best_q = 0;
    for (size_t i = 0; i < count; i++) {
        cairn_str rest = accept;
        int q = 0, exactness = -1;
        while (rest.size > 0) {
            int this_q, here = names_media(cut(&rest, ','), form_media[offered[i]], &this_q);
            if (here > exactness) {
                exactness = here;
                q = this_q;
            }
        }
        if (q > best_q) {
            best_q = q;
            best = offered[i];
        }
    }
    return best;
}

/* ---- life -------------------------------------------------------------------------------------------------- */

cairn_err
api_create(const struct api_config *config, struct api **ret, cairn_error *error)
{
    struct api *api = calloc(1, sizeof *api);
    if (!api)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    api->config = *config;
    if (!api->config.append_events_max)
        api->config.append_events_max = 4096;
    if (!api->config.followers_max)
        api->config.followers_max = 100000;
    if (!api->config.heartbeat_ms)
        api->config.heartbeat_ms = 15000;
    api->store = config->store;
    api->started_us = api_now_us();
    api->requests = calloc((api_route_count() + 1) * 6, sizeof *api->requests);
    api_openapi_put(&api->openapi);
    if (!api->requests || api->openapi.failed) {
        api_free(api);
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    if (api->store)
        cairn_on_commit(api->store, api_loops_on_commit, api);
    *ret = api;
    return CAIRN_OK;
}

void
api_set_server(struct api *api, struct http_server *server)
{
    api->server = server;
}

void
api_drain(struct api *api)
{
    uint32_t left;
    atomic_store(&api->closing, true);
    while ((left = atomic_load(&api->appends)) > 0)
        os_wait(&api->appends, left, 10000);
    if (api->store)
        cairn_on_commit(api->store, NULL, api);
}

void
api_free(struct api *api)
{
    if (!api)
        return;
    if (api->store)
        cairn_on_commit(api->store, NULL, api);
    for (unsigned i = 0; i < API_LOOPS_MAX; i++) {
        api_polls_free(&api->loops[i]);
        api_hub_free(&api->loops[i]);
        buf_free(&api->loops[i].out);
    }
    buf_free(&api->openapi);
    free(api->requests);
    free(api);
}

cairn_str
api_openapi(const struct api *api)
{
    return buf_str(&api->openapi);
}

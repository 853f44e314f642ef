/* A target over the wire: the server's HTTP API (docs/http.md). See target.h and wire_int.h. */
#include "wire_int.h"

#include <base/error.h>
#include <base/text.h>
#include <stdlib.h>
#include <unistd.h>

#include "event_json.h"

#define PAGE_EVENTS 1000

static const struct target_ops wire_ops;

/* ---- life ---------------------------------------------------------------------------------------------- */

static void
wire_close(struct target *target)
{
    struct wire *wire = (struct wire *)target;
    if (wire->curl)
        curl_easy_cleanup(wire->curl);
    buf_free(&wire->path);
    buf_free(&wire->body);
    buf_free(&wire->reply);
    free(wire->url);
    free(wire->cacert);
    free(wire);
}

cairn_err
wire_open(const struct wire_options *options, struct target **ret, cairn_error *error)
{
    struct wire *wire = calloc(1, sizeof *wire);
    size_t size = strlen(options->url);
    while (size > 0 && options->url[size - 1] == '/')
        size--;
    bool has_scheme = strstr(options->url, "://") != NULL;
    if (!wire || asprintf(&wire->url, "%s%.*s", has_scheme ? "" : "http://", (int)size, options->url) < 0)
        goto no_memory;
    wire->target.ops = &wire_ops;
    wire->target.where = wire->url;
    wire->options = *options;
    wire->options.url = wire->url;
    wire->curl = curl_easy_init();
    if (options->cacert)
        wire->cacert = strdup(options->cacert);
    if (!wire->curl || (options->cacert && !wire->cacert))
        goto no_memory;
    *ret = &wire->target;
    return CAIRN_OK;
no_memory:
    if (wire)
        wire_close(&wire->target);
    return error_set(error, CAIRN_E_NOMEM, "out of memory");
}

static cairn_err
wire_clone(struct target *target, struct target **ret, cairn_error *error)
{
    const struct wire *wire = (const struct wire *)target;
    struct wire_options options = wire->options;
    options.cacert = wire->cacert;
    return wire_open(&options, ret, error);
}

/* ---- appending ------------------------------------------------------------------------------------------- */

static void
put_names(struct buf *to, const char *member, const cairn_str *names, size_t count)
{
    if (count > 0)
        json_put_texts_member(to, member, names, count);
}

void
wire_put_query(struct buf *to, const cairn_query *query)
{
    buf_put_char(to, '[');
    for (size_t i = 0; i < query->item_count; i++) {
        const cairn_query_item *item = &query->items[i];
        json_put_comma(to);
        buf_put_char(to, '{');
        put_names(to, "types", item->types, item->type_count);
        put_names(to, "tags", item->tags, item->tag_count);
        buf_put_char(to, '}');
    }
    buf_put_char(to, ']');
}

static void
put_expected(struct buf *to, int64_t expected)
{
    if (expected >= 0)
        json_put_i64(to, expected);
    else
        json_put_string(to, expected == CAIRN_NONE     ? CAIRN_STR("none")
                            : expected == CAIRN_EXISTS ? CAIRN_STR("exists")
                                                       : CAIRN_STR("any"));
}

static void
put_append(struct buf *to, const cairn_append_request *request)
{
    buf_put_str(to, CAIRN_STR("{\"writes\":["));
    for (size_t i = 0; i < request->write_count; i++) {
        const cairn_write *write = &request->writes[i];
        buf_put_str(to, i ? CAIRN_STR(",{\"stream\":") : CAIRN_STR("{\"stream\":"));
        json_put_string(to, write->stream);
        json_put_name(to, "expected");
        put_expected(to, write->expected);
        json_put_name(to, "events");
        buf_put_char(to, '[');
        for (size_t n = 0; n < write->event_count; n++) {
            if (n > 0)
                buf_put_char(to, ',');
            event_put_input(to, &write->events[n]);
        }
        buf_put_str(to, CAIRN_STR("]}"));
    }
    buf_put_char(to, ']');
    if (request->condition_count) {
        json_put_name(to, "conditions");
        buf_put_char(to, '[');
        for (size_t i = 0; i < request->condition_count; i++) {
            buf_put_str(to, i ? CAIRN_STR(",{\"query\":") : CAIRN_STR("{\"query\":"));
            wire_put_query(to, &request->conditions[i].query);
            json_put_name(to, "after");
            json_put_i64(to, request->conditions[i].after);
            buf_put_char(to, '}');
        }
        buf_put_char(to, ']');
    }
    buf_put_char(to, '}');
}

static cairn_err
wire_append(struct target *target, const cairn_append_request *request, cairn_at *ret_at, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    buf_clear(&wire->body);
    put_append(&wire->body, request);
    wire_path(wire, "/v1/append", (cairn_str){0}, "");
    struct call call = {.method = "POST", .body = buf_str(&wire->body), .content_type = "application/json",
                        .whatever = true};
    struct json reply;
    cairn_err err = wire_call(wire, &call, error);
    if (err == CAIRN_OK)
        err = wire_json(wire, &reply, error);
    if (err == CAIRN_OK)
        *ret_at = (cairn_at){wire_number(reply, "first_position"), wire_number(reply, "last_position"),
                             wire_number(reply, "revision"),
                             call.status == 200 || json_get(reply, "repeated").type == JSON_TRUE};
    return err;
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

/* What of a request the server cannot check for a stream's events. */
struct sieve {
    const struct read_request *request;
    int64_t since_us, until_us; /* INT64_MIN, INT64_MAX where there is none */
};

static cairn_err
sieve_of(const struct read_request *request, struct sieve *ret, cairn_error *error)
{
    *ret = (struct sieve){request, INT64_MIN, INT64_MAX};
    if (request->since.size && !parse_time(request->since, &ret->since_us))
        return error_set(error, CAIRN_E_INVALID, "since: \"%.*s\" is no RFC 3339 time such as 2026-01-31T18:00:00Z",
                         (int)request->since.size, request->since.data);
    if (request->until.size && !parse_time(request->until, &ret->until_us))
        return error_set(error, CAIRN_E_INVALID, "until: \"%.*s\" is no RFC 3339 time such as 2026-01-31T18:00:00Z",
                         (int)request->until.size, request->until.data);
    return CAIRN_OK;
}

static bool
passes(const struct sieve *sieve, const cairn_recorded *event)
{
    return event->time_us >= sieve->since_us && event->time_us < sieve->until_us &&
           (sieve->request->stream.size == 0 || request_matches(sieve->request, &event->event));
}

static void
read_path(struct wire *wire, const struct read_request *request)
{
    if (request->stream.size) {
        wire_path(wire, "/v1/streams/", request->stream, "/events");
        return;
    }
    wire_path(wire, "/v1/events", (cairn_str){0}, "");
    if (request->category.size)
        wire_arg(wire, "category", request->category);
    for (size_t i = 0; i < request->type_count; i++)
        wire_arg(wire, "type", request->types[i]);
    for (size_t i = 0; i < request->tag_count; i++)
        wire_arg(wire, "tag", request->tags[i]);
    if (request->since.size)
        wire_arg(wire, "since", request->since);
    if (request->until.size)
        wire_arg(wire, "until", request->until);
    if (request->system)
        wire_arg(wire, "system", CAIRN_STR("true"));
}

static void
put_from(struct wire *wire, int64_t from)
{
    if (from == CAIRN_FROM_END)
        wire_arg(wire, "from", CAIRN_STR("end"));
    else
        wire_arg_number(wire, "from", from);
}

/* The events of a page to the visit. *left counts down where there is a limit. */
static cairn_err
give_page(struct json page, const struct sieve *sieve, struct arena *arena, uint64_t *left, bool *ret_stop,
          event_visit visit, void *context, cairn_error *error)
{
    struct json_walk walk = json_walk(json_get(page, "events"));
    struct json none, item;
    *ret_stop = false;
    while (!*ret_stop && json_next(&walk, &none, &item)) {
        struct event_in in;
        arena_reset(arena);
        cairn_err err = event_parse(item, arena, &in, error);
        if (err != CAIRN_OK)
            return err;
        if (!passes(sieve, &in.recorded))
            continue;
        *ret_stop = !visit(context, &in.recorded) || (*left && --*left == 0);
    }
    return CAIRN_OK;
}

static cairn_err
wire_read(struct target *target, const struct read_request *request, event_visit visit, void *context,
          cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    struct sieve sieve;
    struct arena arena = {0};
    uint64_t left = request->limit;
    bool stop = false, first = true;
    int64_t from = request->from;
    cairn_err err = sieve_of(request, &sieve, error);
    while (err == CAIRN_OK && !stop) {
        read_path(wire, request);
        if (!first || request->from_given)
            put_from(wire, from);
        if (request->backward)
            wire_arg(wire, "direction", CAIRN_STR("backward"));
        if (request->as_of.size)
            wire_arg(wire, "as_of", request->as_of);
        wire_arg_number(wire, "limit", left && left < PAGE_EVENTS ? (int64_t)left : PAGE_EVENTS);
        struct call call = {.method = "GET"};
        struct json page;
        err = wire_call(wire, &call, error);
        if (err == CAIRN_OK)
            err = wire_json(wire, &page, error);
        if (err == CAIRN_OK)
            err = give_page(page, &sieve, &arena, &left, &stop, visit, context, error);
        if (err == CAIRN_OK)
            stop |= json_get(page, "end").type == JSON_TRUE || !json_i64(json_get(page, "next"), &from);
        if (err == CAIRN_OK && interrupted)
            err = error_set(error, CLI_E_INTERRUPTED, "interrupted");
        first = false;
    }
    arena_free(&arena);
    return err;
}

/* ---- following: server-sent events (HTML Living Standard §9.2) --------------------------------------------- */

struct follower {
    const struct sieve *sieve;
    event_visit visit;
    void *context;
    uint64_t left;
    struct buf line, data;
    struct arena arena;
    int64_t id;          /* of the event whose lines are coming; -1 */
    int64_t last_id;     /* of the last one handed on; -1 */
    cairn_err err;       /* the visit's end is CAIRN_E_END */
    cairn_error *error;
};

/* A blank line: the event is whole. */
static bool
dispatch(struct follower *f)
{
    struct json value;
    struct event_in in;
    if (f->data.size == 0)
        return true;
    f->err = json_check(buf_str(&f->data), &value, f->error);
    arena_reset(&f->arena);
    if (f->err == CAIRN_OK && json_get(value, "position").type == JSON_NONE &&
        json_get(value, "status").type != JSON_NONE) /* a problem ends the stream */
        f->err = wire_problem(value, 500, f->error);
    else if (f->err == CAIRN_OK)
        f->err = event_parse(value, &f->arena, &in, f->error);
    buf_clear(&f->data);
    if (f->err != CAIRN_OK)
        return false;
    f->last_id = f->id >= 0 ? f->id : f->last_id;
    if (!passes(f->sieve, &in.recorded))
        return true;
    if (!f->visit(f->context, &in.recorded) || (f->left && --f->left == 0))
        f->err = CAIRN_E_END;
    return f->err == CAIRN_OK;
}

static bool
take_line(struct follower *f, cairn_str line)
{
    if (line.size && line.data[line.size - 1] == '\r')
        line.size--;
    if (line.size == 0)
        return dispatch(f);
    const char *colon = memchr(line.data, ':', line.size);
    size_t name = colon ? (size_t)(colon - line.data) : line.size;
    cairn_str value = {line.data + name + (colon != NULL), line.size - name - (colon != NULL)};
    if (value.size && value.data[0] == ' ')
        value.data++, value.size--;
    if (name == 4 && memcmp(line.data, "data", 4) == 0) {
        if (f->data.size)
            buf_put_char(&f->data, '\n');
        buf_put_str(&f->data, value);
    } else if (name == 2 && memcmp(line.data, "id", 2) == 0) {
        if (!parse_i64(value, &f->id))
            f->id = -1;
    }
    return true;
}

static bool
take_sse(void *context, cairn_str bytes)
{
    struct follower *f = context;
    while (bytes.size > 0) {
        const char *newline = memchr(bytes.data, '\n', bytes.size);
        size_t size = newline ? (size_t)(newline - bytes.data) : bytes.size;
        buf_put(&f->line, bytes.data, size);
        bytes.data += size + (newline != NULL);
        bytes.size -= size + (newline != NULL);
        if (!newline)
            break;
        bool go_on = take_line(f, buf_str(&f->line));
        buf_clear(&f->line);
        if (!go_on)
            return false;
    }
    return !f->line.failed && !f->data.failed;
}

static bool
remember_head(void *context, const cairn_recorded *event)
{
    struct stream_head *head = context;
    *head = (struct stream_head){(int64_t)event->revision, event->event.id, event->position, event->time_us, true};
    return false;
}

/* "From now on" as a number, so that a connection lost before the first event leaves no gap. */
static cairn_err
resolve_end(struct target *target, struct read_request *request, cairn_error *error)
{
    if (!request->from_given || request->from != CAIRN_FROM_END)
        return CAIRN_OK;
    struct stream_head newest = {0};
    struct read_request last = {.stream = request->stream, .backward = true, .limit = 1, .system = true};
    cairn_err err = wire_read(target, &last, remember_head, &newest, error);
    if (err != CAIRN_OK)
        return err;
    request->from = 0;
    if (newest.readable)
        request->from = (request->stream.size ? newest.last_revision : (int64_t)newest.last_position) + 1;
    return CAIRN_OK;
}

static cairn_err
follow_once(struct wire *wire, const struct read_request *request, struct follower *f, bool *ret_connected,
            cairn_error *error)
{
    read_path(wire, request);
    if (request->from_given && f->last_id < 0)
        put_from(wire, request->from);
    struct call call = {.method = "GET", .accept = "text/event-stream", .chunk = take_sse, .context = f,
                        .patient = true, .has_last_event_id = f->last_id >= 0, .last_event_id = f->last_id};
    buf_clear(&f->line);
    buf_clear(&f->data);
    f->id = -1;
    f->err = CAIRN_OK;
    cairn_err err = wire_call(wire, &call, error);
    *ret_connected = call.connected && call.status < 400;
    return f->err != CAIRN_OK ? f->err : err;
}

static cairn_err
wire_follow(struct target *target, const struct read_request *request, event_visit visit, void *context,
            cairn_error *error)
{
    struct read_request from = *request;
    struct sieve sieve;
    cairn_err err = sieve_of(request, &sieve, error);
    if (err == CAIRN_OK)
        err = resolve_end(target, &from, error);
    if (err != CAIRN_OK)
        return err;
    struct follower f = {.sieve = &sieve, .visit = visit, .context = context, .left = request->limit,
                         .last_id = -1, .error = error};
    bool ever = false;
    for (unsigned wait_ms = 100;;) {
        bool connected = false;
        err = follow_once((struct wire *)target, &from, &f, &connected, error);
        ever |= connected;
        if (interrupted || err == CAIRN_E_END) {
            err = CAIRN_OK;
            break;
        }
        bool passing = err == CAIRN_OK || (int)err == (int)CLI_E_UNREACHABLE || err == CAIRN_E_BUSY;
        if (!ever || !passing)
            break;
        if (connected)
            wait_ms = 100;
        else if (wait_ms < 5000)
            wait_ms *= 2;
        if (out.verbose)
            note("connection lost; trying again in %u ms", wait_ms);
        usleep(wait_ms * 1000);
    }
    buf_free(&f.line);
    buf_free(&f.data);
    arena_free(&f.arena);
    return err;
}

/* ---- streams ------------------------------------------------------------------------------------------------- */

static cairn_err
wire_head(struct target *target, cairn_str stream, struct stream_head *ret, cairn_error *error)
{
    struct read_request last = {.stream = stream, .backward = true, .limit = 1, .system = true};
    *ret = (struct stream_head){.last_revision = -1};
    return wire_read(target, &last, remember_head, ret, error);
}

static cairn_err
wire_streams(struct target *target, cairn_str prefix, cairn_str after, uint64_t limit, stream_visit visit,
             void *context, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    struct arena arena = {0};
    struct buf last = {0};
    bool stop = false;
    cairn_err err = CAIRN_OK;
    buf_put_str(&last, after);
    while (err == CAIRN_OK && !stop) {
        wire_path(wire, "/v1/streams", (cairn_str){0}, "");
        if (prefix.size)
            wire_arg(wire, "prefix", prefix);
        if (last.size)
            wire_arg(wire, "after", buf_str(&last));
        wire_arg_number(wire, "limit", limit && limit < PAGE_EVENTS ? (int64_t)limit : PAGE_EVENTS);
        struct call call = {.method = "GET"};
        struct json page, none, item;
        err = wire_call(wire, &call, error);
        if (err == CAIRN_OK)
            err = wire_json(wire, &page, error);
        if (err != CAIRN_OK)
            break;
        arena_reset(&arena);
        struct json_walk walk = json_walk(json_get(page, "streams"));
        while (!stop && json_next(&walk, &none, &item)) {
            cairn_str name = json_string(json_get(item, "stream"), &arena);
            stop = !visit(context, name, wire_number(item, "first_position")) || (limit && --limit == 0);
        }
        cairn_str next = json_string(json_get(page, "next"), &arena);
        stop |= json_get(page, "end").type == JSON_TRUE || next.size == 0;
        buf_clear(&last);
        buf_put_str(&last, next);
        if (interrupted)
            err = error_set(error, CLI_E_INTERRUPTED, "interrupted");
    }
    buf_free(&last);
    arena_free(&arena);
    return err;
}

static void
take_retention(struct json value, struct arena *arena, cairn_retention *ret)
{
    cairn_str age = json_string(json_get(value, "max_age"), arena);
    *ret = (cairn_retention){.max_count = wire_number(value, "max_count"),
                             .truncate_before = wire_number(value, "truncate_before")};
    if (age.size)
        parse_duration(age, &ret->max_age_us);
}

static cairn_err
wire_stream_info(struct target *target, cairn_str stream, cairn_stream_info *ret, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    struct call call = {.method = "GET"};
    struct json reply;
    struct arena arena = {0};
    wire_path(wire, "/v1/streams/", stream, "");
    cairn_err err = wire_call(wire, &call, error);
    if (err == CAIRN_OK)
        err = wire_json(wire, &reply, error);
    if (err != CAIRN_OK)
        return err;
    *ret = (cairn_stream_info){.exists = json_get(reply, "exists").type == JSON_TRUE,
                               .tombstoned = json_get(reply, "tombstoned").type == JSON_TRUE,
                               .first_revision = wire_number(reply, "first_revision"),
                               .last_revision = -1,
                               .last_position = wire_number(reply, "last_position")};
    json_i64(json_get(reply, "last_revision"), &ret->last_revision);
    take_retention(json_get(reply, "retention"), &arena, &ret->retention);
    arena_free(&arena);
    return CAIRN_OK;
}

static cairn_err
wire_stats(struct target *target, struct buf *to, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    struct call call = {.method = "GET"};
    struct json reply;
    wire_path(wire, "/v1/stats", (cairn_str){0}, "");
    cairn_err err = wire_call(wire, &call, error);
    if (err == CAIRN_OK)
        err = wire_json(wire, &reply, error);
    if (err == CAIRN_OK)
        json_put_compact(to, reply.raw);
    return err;
}

static cairn_err
wire_retention_set(struct target *target, cairn_str stream, const cairn_retention *retention, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    struct buf *body = &wire->body;
    buf_clear(body);
    buf_put_char(body, '{');
    if (retention->max_count) {
        json_put_u64_member(body, "max_count", retention->max_count);
    }
    if (retention->max_age_us) {
        json_put_name(body, "max_age");
        buf_printf(body, "\"%llums\"", (unsigned long long)(retention->max_age_us + 999) / 1000);
    }
    if (retention->truncate_before) {
        json_put_u64_member(body, "truncate_before", retention->truncate_before);
    }
    buf_put_char(body, '}');
    wire_path(wire, "/v1/streams/", stream, "/retention");
    struct call call = {.method = "PUT", .body = buf_str(body), .content_type = "application/json"};
    return wire_call(wire, &call, error);
}

static cairn_err
wire_delete(struct target *target, cairn_str stream, int64_t expected, bool tombstone, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    wire_path(wire, "/v1/streams/", stream, "");
    if (expected >= 0)
        wire_arg_number(wire, "expected", expected);
    else if (expected != CAIRN_ANY)
        wire_arg(wire, "expected", expected == CAIRN_EXISTS ? CAIRN_STR("exists") : CAIRN_STR("none"));
    if (tombstone)
        wire_arg(wire, "tombstone", CAIRN_STR("true"));
    struct call call = {.method = "DELETE"};
    return wire_call(wire, &call, error);
}

static cairn_err
wire_snapshot_get(struct target *target, cairn_str stream, uint64_t *ret_revision, struct buf *content_type,
                  struct buf *to, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    struct call call = {.method = "GET", .accept = "*/*"};
    wire_path(wire, "/v1/streams/", stream, "/snapshot");
    cairn_err err = wire_call(wire, &call, error);
    if (err != CAIRN_OK)
        return err;
    *ret_revision = call.revision < 0 ? 0 : (uint64_t)call.revision;
    buf_put_str(content_type, cairn_cstr(call.content_type_got));
    buf_put_str(to, buf_str(&wire->reply));
    return to->failed ? error_set(error, CAIRN_E_NOMEM, "out of memory") : CAIRN_OK;
}

static cairn_err
wire_snapshot_put(struct target *target, cairn_str stream, const cairn_snapshot *snapshot, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    char content_type[128] = "application/json";
    if (snapshot->content_type.size)
        snprintf(content_type, sizeof content_type, "%.*s", (int)snapshot->content_type.size,
                 snapshot->content_type.data);
    wire_path(wire, "/v1/streams/", stream, "/snapshot");
    wire_arg_number(wire, "revision", (int64_t)snapshot->revision);
    struct call call = {.method = "PUT", .body = snapshot->data, .content_type = content_type};
    return wire_call(wire, &call, error);
}

static const struct target_ops wire_ops = {
    .close = wire_close,
    .clone = wire_clone,
    .append = wire_append,
    .read = wire_read,
    .follow = wire_follow,
    .head = wire_head,
    .streams = wire_streams,
    .stream_info = wire_stream_info,
    .stats = wire_stats,
    .retention_set = wire_retention_set,
    .delete = wire_delete,
    .snapshot_get = wire_snapshot_get,
    .snapshot_put = wire_snapshot_put,
    .verify = wire_verify,
    .backup = wire_backup,
    .branch = wire_branch,
    .scavenge = wire_scavenge,
    .reindex = wire_reindex,
    .group_put = wire_group_put,
    .group_delete = wire_group_delete,
    .group_status = wire_group_status,
    .group_take = wire_group_take,
    .group_ack = wire_group_ack,
    .group_nack = wire_group_nack,
    .group_parked = wire_group_parked,
    .group_replay = wire_group_replay,
};

struct wire *
wire_of(struct target *target)
{
    return target->ops == &wire_ops ? (struct wire *)target : NULL;
}

/* What the machinery itself refuses, as RFC 9457 problems like the API's. */
#include <proto/http/http_int.h>

#include <base/error.h>
#include <stdio.h>

const struct problem_kind refuse_timeout = {
    "timeout", 408, "The deadline passed", "Send it again, without pauses."};
const struct problem_kind refuse_too_large = {
    "limit", 413, "A limit was reached", "Send it in smaller parts."};
const struct problem_kind refuse_too_many = {
    "busy", 503, "There is as much to do as is taken on", "Try again a little later."};
const struct problem_kind refuse_internal = {"internal", 500, "The server made a mistake", NULL};

static const struct problem_kind malformed = {
    "malformed", 400, "The request is malformed", "See RFC 9112."};
static const struct problem_kind target_too_long = {
    "limit", 414, "A limit was reached", "Shorten the path or its parameters."};
static const struct problem_kind expectation = {
    "unsupported", 417, "This server cannot do that", "Leave the Expect header out."};
static const struct problem_kind head_too_large = {
    "limit", 431, "A limit was reached", "Send fewer or shorter header fields."};
static const struct problem_kind unsupported = {
    "unsupported", 501, "This server cannot do that", NULL};
static const struct problem_kind version = {
    "unsupported", 505, "This server cannot do that", "Use HTTP/1.1 or HTTP/2."};

static const struct problem_kind *const kinds[] = {
    &malformed,      &refuse_timeout, &refuse_too_large, &target_too_long,
    &expectation,    &head_too_large, &refuse_internal,  &unsupported,
    &refuse_too_many, &version,
};
#define KIND_COUNT (sizeof kinds / sizeof *kinds)

const struct problem_kind *
refuse_kind(int status)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (kinds[i]->status == status)
            return kinds[i];
    return &refuse_internal;
}

bool
refuse_kind_at(size_t index, struct problem_kind *ret_kind)
{
    if (index < KIND_COUNT)
        *ret_kind = *kinds[index];
    return index < KIND_COUNT;
}

#define REFUSE_FIELDS 2

static size_t
put_fields(const struct problem_kind *kind, struct http_field fields[REFUSE_FIELDS])
{
    fields[0] = (struct http_field){"content-type", CAIRN_STR("application/problem+json")};
    fields[1] = (struct http_field){"retry-after", CAIRN_STR("1")};
    return kind->status == 503 ? 2 : 1;
}

/* The parsers say what was too much; how much there may be is the server's to say. */
static void
put_limit(const struct http_server *server, int status, char *to, size_t size)
{
    const struct http_config *config = &server->config;
    *to = '\0';
    if (status == 408)
        snprintf(to, size, " (http.header_timeout is %u ms, http.body_timeout %u ms)", config->header_timeout_ms,
                 config->body_timeout_ms);
    if (status == 414)
        snprintf(to, size, ": the limit is %u bytes", server->limits.target_max);
    if (status == 431)
        snprintf(to, size, ": the limit is %u fields and %zu bytes with the request line (limits.headers, "
                 "limits.header_size)", config->headers_max, config->header_max);
}

static void
put_body(struct buf *to, const struct http_server *server, const struct problem_kind *kind, const char *detail)
{
    char limit[160];
    cairn_error error = {.code = CAIRN_E_INVALID};
    put_limit(server, kind->status, limit, sizeof limit);
    error_set(&error, CAIRN_E_INVALID, "%s%s", detail, limit);
    problem_put(to, kind, &error);
}

void
refuse_exchange(struct http_exchange *x, const struct problem_kind *kind, const char *detail)
{
    struct http_field fields[REFUSE_FIELDS];
    struct buf body = {0};
    http_count(&x->loop->rejected);
    x->refused = true;
    x->state = X_HANDLING;
    put_body(&body, x->loop->server, kind, detail);
    http_respond(x, kind->status, fields, put_fields(kind, fields), buf_str(&body));
    buf_free(&body);
}

void
refuse_conn(struct http_conn *c, const struct problem_kind *kind, const char *detail)
{
    struct http_field fields[REFUSE_FIELDS];
    struct buf body = {0};
    http_count(&c->loop->rejected);
    put_body(&body, c->loop->server, kind, detail);
    h1_put_response(c, 1, kind->status, fields, put_fields(kind, fields), buf_str(&body), false, false);
    buf_free(&body);
    conn_linger(c);
}

void
refuse_body(struct http_exchange *x, cairn_err err)
{
    char detail[96];
    if (err == CAIRN_E_LIMIT) {
        snprintf(detail, sizeof detail, "the body is larger than %zu bytes, which is limits.body_size",
                 x->loop->server->config.body_max);
        refuse_exchange(x, &refuse_too_large, detail);
    } else {
        snprintf(detail, sizeof detail, "all request bodies take %zu bytes, which is limits.bodies_size",
                 x->loop->server->config.bodies_max);
        refuse_exchange(x, &refuse_too_many, detail);
    }
}

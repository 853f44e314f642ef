/* What the machinery itself refuses, as RFC 9457 problems like the API's. */
#include <proto/http/http_int.h>

#include <base/error.h>
#include <stdio.h>

const struct problem_kind refuse_timeout = {
    "timeout", 408, "The request did not arrive in time", "send it again, without pauses"};
const struct problem_kind refuse_too_large = {
    "limit", 413, "The body is too large", "send it in smaller parts"};
const struct problem_kind refuse_too_many = {
    "busy", 503, "The server has as much to do as it takes", "try again a little later"};
const struct problem_kind refuse_internal = {"internal", 500, "The server made a mistake", NULL};

static const struct problem_kind malformed = {
    "malformed", 400, "The request is not valid HTTP", "see RFC 9112"};
static const struct problem_kind target_too_long = {
    "limit", 414, "The request target is too long", "send long parameters in a body"};
static const struct problem_kind expectation = {
    "unsupported", 417, "The expectation cannot be met", "leave the Expect header out"};
static const struct problem_kind head_too_large = {
    "limit", 431, "The header fields are too large", "send fewer or shorter header fields"};
static const struct problem_kind unsupported = {
    "unsupported", 501, "This server cannot do that", NULL};
static const struct problem_kind version = {
    "unsupported", 505, "The HTTP version is not spoken here", "use HTTP/1.1 or HTTP/2"};

const struct problem_kind *
refuse_kind(int status)
{
    static const struct problem_kind *const kinds[] = {
        &malformed,      &refuse_timeout, &refuse_too_large, &target_too_long,
        &expectation,    &head_too_large, &refuse_internal,  &unsupported,
        &refuse_too_many, &version,
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i]->status == status)
            return kinds[i];
    return &refuse_internal;
}

#define REFUSE_FIELDS 2

static size_t
put_fields(const struct problem_kind *kind, struct http_field fields[REFUSE_FIELDS])
{
    fields[0] = (struct http_field){"content-type", CAIRN_STR("application/problem+json")};
    fields[1] = (struct http_field){"retry-after", CAIRN_STR("1")};
    return kind->status == 503 ? 2 : 1;
}

static void
put_body(struct buf *to, const struct problem_kind *kind, const char *detail)
{
    cairn_error error = {.code = CAIRN_E_INVALID};
    error_set(&error, CAIRN_E_INVALID, "%s", detail);
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
    put_body(&body, kind, detail);
    http_respond(x, kind->status, fields, put_fields(kind, fields), buf_str(&body));
    buf_free(&body);
}

void
refuse_conn(struct http_conn *c, const struct problem_kind *kind, const char *detail)
{
    struct http_field fields[REFUSE_FIELDS];
    struct buf body = {0};
    http_count(&c->loop->rejected);
    put_body(&body, kind, detail);
    h1_put_response(c, 1, kind->status, fields, put_fields(kind, fields), buf_str(&body), false, false);
    buf_free(&body);
    conn_linger(c);
}

void
refuse_body(struct http_exchange *x, cairn_err err)
{
    char detail[96];
    if (err == CAIRN_E_LIMIT) {
        snprintf(detail, sizeof detail, "the body is larger than %zu bytes, which is the limit",
                 x->loop->server->config.body_max);
        refuse_exchange(x, &refuse_too_large, detail);
    } else {
        refuse_exchange(x, &refuse_too_many, "there is no memory left for request bodies at the moment");
    }
}

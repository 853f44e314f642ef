/* proto/http/problem.c: see problem.h. */
#include <proto/http/problem.h>

#include <base/json.h>
#include <proto/http/http.h>

const struct problem_kind problem_malformed = {"malformed", 400, "The request is malformed", NULL};
const struct problem_kind problem_origin = {
    "origin", 403, "Pages of other sites may not write", "Send it from a program, or from a page of this server."};
const struct problem_kind problem_path = {
    "path", 404, "There is nothing at this path", "GET /openapi.json lists every path."};
const struct problem_kind problem_method = {
    "method", 405, "This path does not take that method", "The Allow header lists those it takes."};
const struct problem_kind problem_not_acceptable = {
    "not-acceptable", 406, "None of the accepted media types can be given", NULL};
const struct problem_kind problem_media_type = {
    "media-type", 415, "The body's media type is not understood here", NULL};
const struct problem_kind problem_in_use = {
    "in-use", 409, "Somebody is using it", "Stop its members, or wait until their sessions have ended."};

static const struct problem_kind *const own_kinds[] = {
    &problem_malformed, &problem_origin,         &problem_path,
    &problem_method,    &problem_not_acceptable, &problem_media_type,
    &problem_in_use,
};

/* The store's errors. A name of its own would be a second vocabulary: cairn_err_name() gives it. A type has one
 * title, whoever answers with it (RFC 9457 §3.1.4): refuse.c has the same ones. */
static const struct {
    cairn_err err;
    int status;
    const char *title;
} store_kinds[] = {
    {CAIRN_E_NOMEM, 503, "Out of memory"},
    {CAIRN_E_INVALID, 422, "The request cannot be understood"},
    {CAIRN_E_LIMIT, 413, "A limit was reached"},
    {CAIRN_E_CONFLICT, 409, "The stream is not at the expected revision"},
    {CAIRN_E_CONDITION, 409, "An append condition does not hold"},
    {CAIRN_E_GONE, 410, "The stream bears a tombstone"},
    {CAIRN_E_NOTFOUND, 404, "There is no such thing"},
    {CAIRN_E_EXISTS, 409, "It is there already"},
    {CAIRN_E_DENIED, 403, "That is not allowed"},
    {CAIRN_E_IO, 503, "The log has failed and takes no writes"},
    {CAIRN_E_NOSPACE, 507, "The disk is full"},
    {CAIRN_E_CORRUPT, 500, "Stored data is damaged"},
    {CAIRN_E_VERSION, 500, "The data has an unknown format version"},
    {CAIRN_E_LOCKED, 503, "The data folder is in use by another process"},
    {CAIRN_E_READONLY, 503, "The store is read-only"},
    {CAIRN_E_BUSY, 429, "There is as much to do as is taken on"},
    {CAIRN_E_TIMEOUT, 504, "The deadline passed"},
    {CAIRN_E_CLOSED, 503, "The server is stopping"},
    {CAIRN_E_UNSUPPORTED, 501, "This server cannot do that"},
    {CAIRN_E_REJECTED, 422, "The app's rules refuse the command"},
    {CAIRN_E_SCRIPT, 500, "The app's own code failed"},
};

struct problem_kind
problem_of(cairn_err err)
{
    for (size_t i = 0; i < sizeof store_kinds / sizeof *store_kinds; i++)
        if (store_kinds[i].err == err)
            return (struct problem_kind){cairn_err_name(err), store_kinds[i].status,
                                         store_kinds[i].title, cairn_err_hint(err)};
    return (struct problem_kind){"internal", 500, "The server made a mistake", NULL};
}

bool
problem_at(size_t index, struct problem_kind *ret_kind)
{
    const size_t own = sizeof own_kinds / sizeof *own_kinds;
    const size_t all = own + sizeof store_kinds / sizeof *store_kinds;
    if (index >= all)
        return refuse_kind_at(index - all, ret_kind);
    *ret_kind = index < own ? *own_kinds[index] : problem_of(store_kinds[index - own].err);
    return true;
}

void
problem_put(struct buf *to, const struct problem_kind *kind, const cairn_error *error)
{
    buf_printf(to, "{\"type\":\"urn:cairn:problem:%s\",\"title\":", kind->name);
    json_put_string(to, cairn_cstr(kind->title));
    buf_printf(to, ",\"status\":%d", kind->status);
    if (error && error->detail[0]) {
        json_put_text_member(to, "detail", cairn_cstr(error->detail));
    }
    if (kind->hint && kind->hint[0]) {
        json_put_text_member(to, "hint", cairn_cstr(kind->hint));
    }
    if (error && error->code == CAIRN_E_CONFLICT)
        buf_printf(to, ",\"revision\":%lld", (long long)error->revision);
    if (error && error->code == CAIRN_E_CONDITION)
        buf_printf(to, ",\"position\":%llu", (unsigned long long)error->position);
    buf_put_char(to, '}');
}

void
problem_send(struct http_exchange *x, const struct problem_kind *kind, const cairn_error *error,
             const char *allow)
{
    struct buf body = {0};
    struct http_field fields[4];
    size_t count = 0;

    problem_put(&body, kind, error);
    fields[count++] = (struct http_field){"content-type", CAIRN_STR("application/problem+json")};
    fields[count++] = (struct http_field){"cache-control", CAIRN_STR("no-store")};
    if (kind->status == 503 || kind->status == 429)
        fields[count++] = (struct http_field){"retry-after", CAIRN_STR("1")};
    if (allow)
        fields[count++] = (struct http_field){"allow", cairn_cstr(allow)};
    http_respond(x, kind->status, fields, count, body.failed ? (cairn_str){0} : buf_str(&body));
    buf_free(&body);
}

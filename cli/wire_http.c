/* One HTTP call over a kept connection. See wire_int.h.
 *
 * Answers below 400 go to the call's chunk function or to wire->reply; others are gathered up to
 * PROBLEM_MAX and become an error. Owner: the target's thread. */
#include "wire_int.h"

#include <base/error.h>
#include <base/text.h>
#include <stdlib.h>
#include <strings.h>

#define PROBLEM_MAX (1u << 20) /* a refused deployment lists every fault */
#define REPLY_MAX (64u << 20)
#define SILENCE_MAX_S 120L

void
wire_path(struct wire *wire, const char *before, cairn_str name, const char *after)
{
    buf_clear(&wire->path);
    buf_put_str(&wire->path, cairn_cstr(wire->url));
    buf_put_str(&wire->path, cairn_cstr(before));
    percent_put(&wire->path, name);
    buf_put_str(&wire->path, cairn_cstr(after));
}

void
wire_arg(struct wire *wire, const char *name, cairn_str value)
{
    bool first = memchr(wire->path.data, '?', wire->path.size) == NULL;
    buf_put_char(&wire->path, first ? '?' : '&');
    buf_put_str(&wire->path, cairn_cstr(name));
    buf_put_char(&wire->path, '=');
    percent_put(&wire->path, value);
}

void
wire_arg_number(struct wire *wire, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    wire_arg(wire, name, cairn_cstr(text));
}

/* ---- callbacks of libcurl ------------------------------------------------------------------------- */

static size_t
take_body(char *bytes, size_t one, size_t size, void *context)
{
    struct call *call = context;
    struct buf *reply = &call->wire->reply;
    cairn_str piece = {bytes, one * size};
    if (call->status >= 400) {
        if (call->problem.size + piece.size <= PROBLEM_MAX)
            buf_put_str(&call->problem, piece);
        return piece.size;
    }
    if (call->chunk) {
        call->enough = !call->chunk(call->context, piece);
        return call->enough ? 0 : piece.size;
    }
    buf_put_str(reply, piece);
    call->no_memory = reply->failed || reply->size > REPLY_MAX;
    return call->no_memory ? 0 : piece.size;
}

static bool
header_is(cairn_str line, const char *name, cairn_str *ret_value)
{
    size_t size = strlen(name);
    if (line.size <= size || line.data[size] != ':' || strncasecmp(line.data, name, size) != 0)
        return false;
    *ret_value = (cairn_str){line.data + size + 1, line.size - size - 1};
    while (ret_value->size && strchr(" \r\n", ret_value->data[0]))
        ret_value->data++, ret_value->size--;
    while (ret_value->size && strchr(" \r\n", ret_value->data[ret_value->size - 1]))
        ret_value->size--;
    return true;
}

static size_t
take_header(char *bytes, size_t one, size_t size, void *context)
{
    struct call *call = context;
    cairn_str line = {bytes, one * size}, value;
    if (line.size > 5 && strncmp(line.data, "HTTP/", 5) == 0) {
        curl_easy_getinfo(call->wire->curl, CURLINFO_RESPONSE_CODE, &call->status);
        call->connected = true;
    } else if (header_is(line, "content-type", &value)) {
        size_t n = value.size < sizeof call->content_type_got - 1 ? value.size : sizeof call->content_type_got - 1;
        memcpy(call->content_type_got, value.data, n);
        call->content_type_got[n] = '\0';
    } else if (header_is(line, "cairn-revision", &value)) {
        parse_i64(value, &call->revision);
    } else if (header_is(line, "cairn-end", &value)) {
        parse_i64(value, &call->end);
    } else if (header_is(line, "content-length", &value)) {
        parse_u64(value, &call->length);
    } else if (header_is(line, "retry-after", &value)) {
        parse_u64(value, &call->retry_after_s);
    }
    return line.size;
}

static int
look_for_interrupt(void *context, curl_off_t a __attribute__((unused)), curl_off_t b __attribute__((unused)),
                   curl_off_t c __attribute__((unused)), curl_off_t d __attribute__((unused)))
{
    const struct call *call = context;
    return interrupted && !call->whatever;
}

/* ---- problems ---------------------------------------------------------------------------------------- */

static cairn_err
code_of_name(const char *name, long status)
{
    for (int code = -1; code >= CAIRN_E_SCRIPT; code--)
        if (strcmp(cairn_err_name((cairn_err)code), name) == 0)
            return (cairn_err)code;
    switch (status) {
    case 400:
    case 415:
    case 422:
        return CAIRN_E_INVALID;
    case 403:
        return CAIRN_E_DENIED;
    case 404:
        return strcmp(name, "path") == 0 ? CAIRN_E_UNSUPPORTED : CAIRN_E_NOTFOUND;
    case 409:
        return CAIRN_E_CONFLICT;
    case 410:
        return CAIRN_E_GONE;
    case 413:
    case 414:
    case 431:
        return CAIRN_E_LIMIT;
    case 408:
        return CAIRN_E_TIMEOUT;
    case 429:
    case 503:
        return CAIRN_E_BUSY;
    case 507:
        return CAIRN_E_NOSPACE;
    default:
        return status >= 500 ? CAIRN_E_IO : CAIRN_E_UNSUPPORTED;
    }
}

cairn_err
wire_problem(struct json problem, long status, cairn_error *error)
{
    struct arena arena = {0};
    uint64_t said;
    cairn_str type = json_string(json_get(problem, "type"), &arena);
    cairn_str detail = json_string(json_get(problem, "detail"), &arena);
    char name[40] = "";
    for (size_t i = type.size; i > 0 && name[0] == '\0'; i--)
        if (type.data[i - 1] == ':' || type.data[i - 1] == '/')
            snprintf(name, sizeof name, "%.*s", (int)(type.size - i), type.data + i);
    if (json_u64(json_get(problem, "status"), &said))
        status = (long)said;
    cairn_err code = error_set(error, code_of_name(name, status), "%.*s",
                               (int)(detail.size < 300 ? detail.size : 300), detail.size ? detail.data : "");
    if (error) {
        error->revision = -1;
        json_i64(json_get(problem, "revision"), &error->revision);
        json_u64(json_get(problem, "position"), &error->position);
        if (detail.size == 0)
            error_set(error, code, "the server answered %ld %s", status, name);
    }
    arena_free(&arena);
    return code;
}

static cairn_err
refusal(struct call *call, cairn_error *error)
{
    struct json problem;
    cairn_str text = buf_str(&call->problem);
    if (text.size && json_check(text, &problem, NULL) == CAIRN_OK && problem.type == JSON_OBJECT)
        return wire_problem(problem, call->status, error);
    return error_set(error, code_of_name("", call->status),
                     "%s answered %ld without saying more: is it a Cairn server?", call->wire->url, call->status);
}

static cairn_err
outcome(struct call *call, CURLcode curl_code, const char *curl_text, cairn_error *error)
{
    const char *url = call->wire->url;
    if (call->no_memory)
        return error_set(error, CAIRN_E_LIMIT, "%s sent an answer of more than %u bytes", url, REPLY_MAX);
    if (call->enough)
        return CAIRN_OK;
    if (curl_code == CURLE_ABORTED_BY_CALLBACK && interrupted)
        return error_set(error, CLI_E_INTERRUPTED, "interrupted");
    if (curl_code == CURLE_PEER_FAILED_VERIFICATION || curl_code == CURLE_SSL_CACERT_BADFILE)
        return error_set(error, CLI_E_UNTRUSTED, "%s: %s", url, *curl_text ? curl_text : curl_easy_strerror(curl_code));
    if (curl_code != CURLE_OK)
        return error_set(error, CLI_E_UNREACHABLE, "%s %s: %s",
                         call->connected ? "the connection was lost to" : "cannot reach", url,
                         *curl_text ? curl_text : curl_easy_strerror(curl_code));
    return call->status >= 400 ? refusal(call, error) : CAIRN_OK;
}

/* ---- the call -------------------------------------------------------------------------------------------- */

static struct curl_slist *
add_header(struct curl_slist *list, const struct call_header *header)
{
    struct buf line = {0};
    buf_printf(&line, "%s: ", header->name);
    for (size_t i = 0; i < header->value.size; i++) { /* no header may end early and begin another */
        unsigned char c = (unsigned char)header->value.data[i];
        buf_put_char(&line, c < 0x20 || c == 0x7F ? ' ' : (char)c);
    }
    buf_put_char(&line, '\0');
    if (!line.failed)
        list = curl_slist_append(list, line.data);
    buf_free(&line);
    return list;
}

static struct curl_slist *
headers_of(const struct call *call)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    char line[160];
    snprintf(line, sizeof line, "Accept: %s", call->accept ? call->accept : "application/json");
    list = curl_slist_append(list, line);
    if (call->content_type) {
        snprintf(line, sizeof line, "Content-Type: %s", call->content_type);
        list = curl_slist_append(list, line);
    }
    if (call->has_last_event_id) {
        snprintf(line, sizeof line, "Last-Event-ID: %lld", (long long)call->last_event_id);
        list = curl_slist_append(list, line);
    }
    for (const struct call_header *h = call->headers; h && h->name; h++)
        if (h->value.size)
            list = add_header(list, h);
    return list;
}

static void
set_options(struct wire *wire, struct call *call, struct curl_slist *headers, char *error_text)
{
    CURL *curl = wire->curl;
    curl_easy_reset(curl); /* keeps connections */
    curl_easy_setopt(curl, CURLOPT_URL, wire->path.data);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L); /* a group may be called ".." */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "cairn/" CAIRN_VERSION);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
                     wire->options.http2 ? (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
    if (!call->patient) {
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SILENCE_MAX_S);
    }
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_for_interrupt);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, call);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* a store is near; a proxy for the web is not for it */
    if (wire->cacert)
        curl_easy_setopt(curl, CURLOPT_CAINFO, wire->cacert);
    if (wire->options.insecure) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (strcmp(call->method, "GET") == 0)
        return;
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
    if (strcmp(call->method, "DELETE") != 0 || call->body.size) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body.data ? call->body.data : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.size);
    }
}

cairn_err
wire_call(struct wire *wire, struct call *call, cairn_error *error)
{
    char error_text[CURL_ERROR_SIZE] = "";
    buf_clear(&wire->reply);
    buf_put_char(&wire->path, '\0');
    if (wire->path.failed || wire->body.failed)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    call->wire = wire;
    call->revision = call->end = -1;
    struct curl_slist *headers = headers_of(call);
    set_options(wire, call, headers, error_text);
    if (wire->options.verbose)
        note("%s %s", call->method, wire->path.data);
    CURLcode curl_code = curl_easy_perform(wire->curl);
    curl_slist_free_all(headers);
    cairn_err err = outcome(call, curl_code, error_text, error);
    if (call->problem_text) {
        buf_free(call->problem_text);
        *call->problem_text = call->problem;
        call->problem = (struct buf){0};
    }
    buf_free(&call->problem);
    return err;
}

cairn_err
wire_json(struct wire *wire, struct json *ret, cairn_error *error)
{
    cairn_error why = {0};
    if (json_check(buf_str(&wire->reply), ret, &why) == CAIRN_OK)
        return CAIRN_OK;
    return error_set(error, CAIRN_E_IO, "%s sent an answer that is not JSON: %.200s", wire->url, why.detail);
}

uint64_t
wire_number(struct json object, const char *name)
{
    uint64_t number = 0;
    return json_u64(json_get(object, name), &number) ? number : 0;
}

/* HTTP/1.1 on a connection: requests out of bytes, one exchange at a time, answers into bytes.
 *
 *   waiting ─► head ─► body ─► handler ─► answer ─► waiting …
 *                                            └─(close, HTTP/1.0, refusal)─► lingering
 *
 * Bytes are parsed where they were read. Only what a read leaves over is kept (`in`): the beginning of a head, or
 * requests that were sent ahead while an answer is being made. Reading pauses when too much of that has come.
 * Answers to requests that arrive together leave in one write, because the connection is flushed after
 * the whole read. */
#include <proto/http/http_int.h>

#include <stdlib.h>

#define COPY_MAX ((size_t)16384) /* larger bodies are offered to the socket before they are copied */
#define CHUNK_HEAD 24            /* "ffffffffffffffff\r\n" and "\r\n" */
#define HEAD_EXTRA 192           /* status line, content-length, date, connection */

/* ---- what goes out --------------------------------------------------------------------------- */

static const char *
reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"}, {206, "Partial Content"},
        {301, "Moved Permanently"}, {302, "Found"}, {303, "See Other"}, {304, "Not Modified"},
        {307, "Temporary Redirect"}, {308, "Permanent Redirect"}, {400, "Bad Request"},
        {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
        {406, "Not Acceptable"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"},
        {411, "Length Required"}, {412, "Precondition Failed"}, {413, "Content Too Large"},
        {414, "URI Too Long"}, {415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"}, {421, "Misdirected Request"}, {422, "Unprocessable Content"},
        {426, "Upgrade Required"}, {428, "Precondition Required"}, {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
        {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
        {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"}, {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Status";
}

static char *
put(char *to, const char *bytes, size_t size)
{
    if (size)
        memcpy(to, bytes, size);
    return to + size;
}

#define PUT(to, literal) put((to), literal, sizeof literal - 1)

/* A value cannot end its line: whatever the handler took from a user, CR, LF and NUL become blanks. */
static char *
put_value(char *to, cairn_str value)
{
    for (size_t i = 0; i < value.size; i++) {
        char c = value.data[i];
        to[i] = c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
    }
    return to + value.size;
}

static char *
put_number(char *to, size_t n)
{
    char digits[24], *at = digits + sizeof digits;
    do {
        *--at = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    return put(to, at, (size_t)(digits + sizeof digits - at));
}

static char *
put_status_line(char *to, unsigned minor, int status)
{
    if (status == 200 && minor == 1)
        return PUT(to, "HTTP/1.1 200 OK\r\n");
    to = PUT(to, "HTTP/1.");
    *to++ = (char)('0' + minor);
    *to++ = ' ';
    to = put_number(to, (size_t)status);
    *to++ = ' ';
    const char *reason = reason_of(status);
    to = put(to, reason, strlen(reason));
    return PUT(to, "\r\n");
}

bool
is_bodiless(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* How the body's end will be found. */
enum framing { BY_LENGTH, BY_CHUNKS, BY_CLOSE, WITHOUT };

struct head_out {
    unsigned minor;
    int status;
    const struct http_field *fields;
    size_t field_count;
    enum framing framing;
    size_t body_size;
    bool keep_alive;
};

static size_t
head_size_max(const struct head_out *head)
{
    size_t size = HEAD_EXTRA;
    for (size_t i = 0; i < head->field_count; i++)
        size += strlen(head->fields[i].name) + head->fields[i].value.size + 4;
    return size;
}

static char *
put_head(char *to, const struct head_out *head, struct http_loop *loop)
{
    to = put_status_line(to, head->minor, head->status);
    for (size_t i = 0; i < head->field_count; i++) {
        to = put(to, head->fields[i].name, strlen(head->fields[i].name));
        to = PUT(to, ": ");
        to = put_value(to, head->fields[i].value);
        to = PUT(to, "\r\n");
    }
    if (head->framing == BY_LENGTH) {
        to = PUT(to, "content-length: ");
        to = put_number(to, head->body_size);
        to = PUT(to, "\r\n");
    } else if (head->framing == BY_CHUNKS) {
        to = PUT(to, "transfer-encoding: chunked\r\n");
    }
    if (!head->keep_alive)
        to = PUT(to, "connection: close\r\n");
    else if (head->minor == 0)
        to = PUT(to, "connection: keep-alive\r\n");
    to = PUT(to, "date: ");
    to = put(to, loop_date(loop), HTTP_DATE_SIZE);
    return PUT(to, "\r\n\r\n");
}

void
h1_put_response(struct http_conn *c, unsigned minor, int status, const struct http_field *fields,
                size_t field_count, cairn_str body, bool head_only, bool keep_alive)
{
    struct head_out head = {minor, status, fields, field_count,
                            is_bodiless(status) ? WITHOUT : BY_LENGTH, body.size, keep_alive};
    bool with_body = !head_only && head.framing == BY_LENGTH && body.size > 0;
    bool together = with_body && body.size <= COPY_MAX;
    char *from = net_conn_room(c->net, head_size_max(&head) + (together ? body.size : 0));
    if (!from)
        return;
    char *to = put_head(from, &head, c->loop);
    if (together)
        to = put(to, body.data, body.size);
    net_conn_added(c->net, (size_t)(to - from));
    if (with_body && !together)
        net_conn_put_large(c->net, body);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static bool
may_keep_alive(const struct http_conn *c, const struct http_exchange *x)
{
    /* After a half-close only what was sent ahead is still to be answered. */
    bool more_to_come = !c->eof || c->in.size > 0;
    return c->keep_alive && more_to_come && !x->refused && !is_stopping(c->loop);
}

/* All of the answer has been put: the next request may be read. */
static void
finish(struct http_exchange *x, bool keep_alive)
{
    struct http_conn *c = x->conn;
    c->quiet_ms = net_now_ms(c->loop->net);
    if (!keep_alive)
        conn_linger(c);
    else if (!c->inside && (c->in.size || c->paused))
        conn_wake(c);
    exchange_over(x, false);
}

static void
h1_respond(struct http_exchange *x, int status, const struct http_field *fields, size_t field_count,
           cairn_str body)
{
    struct http_conn *c = x->conn;
    bool keep_alive = may_keep_alive(c, x);
    h1_put_response(c, c->minor, status, fields, field_count, body, x->head_only, keep_alive);
    if (x->conn)
        finish(x, keep_alive);
}

static void
h1_begin(struct http_exchange *x, int status, const struct http_field *fields, size_t field_count)
{
    struct http_conn *c = x->conn;
    enum framing framing = is_bodiless(status) ? WITHOUT : c->minor ? BY_CHUNKS : BY_CLOSE;
    c->chunked_out = framing == BY_CHUNKS && !x->head_only;
    c->keep_alive = may_keep_alive(c, x) && framing != BY_CLOSE;
    struct head_out head = {c->minor, status, fields, field_count, framing, 0, c->keep_alive};
    char *from = net_conn_room(c->net, head_size_max(&head));
    if (from)
        net_conn_added(c->net, (size_t)(put_head(from, &head, c->loop) - from));
}

static char *
put_chunk(char *to, cairn_str bytes)
{
    static const char hex[] = "0123456789abcdef";
    int shift = 60;
    while (shift > 0 && bytes.size >> shift == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *to++ = hex[bytes.size >> shift & 15];
    to = PUT(to, "\r\n");
    to = put(to, bytes.data, bytes.size);
    return PUT(to, "\r\n");
}

static bool
h1_write(struct http_exchange *x, cairn_str bytes)
{
    struct http_conn *c = x->conn;
    if (c->chunked_out) {
        char *from = net_conn_room(c->net, bytes.size + CHUNK_HEAD);
        if (!from)
            return false;
        net_conn_added(c->net, (size_t)(put_chunk(from, bytes) - from));
    } else {
        net_conn_put(c->net, bytes);
    }
    return net_conn_unsent(c->net) <= c->loop->server->config.write_buffer_max;
}

static void
h1_end(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    if (c->chunked_out)
        net_conn_put(c->net, CAIRN_STR("0\r\n\r\n"));
    finish(x, c->keep_alive && !is_stopping(c->loop));
}

/* ---- the request ----------------------------------------------------------------------------- */

static cairn_str
slice(const char *text, struct h1_span span)
{
    return (cairn_str){text + span.at, span.size};
}

/* Copy the head to where it lives as long as the exchange, and point into the copy. */
static bool
fill_request(struct http_exchange *x, const struct h1_head *head, const char *bytes)
{
    char *text = arena_alloc(&x->arena, head->size);
    x->headers = arena_alloc(&x->arena, (head->field_count + 1) * sizeof *x->headers);
    if (!text || !x->headers)
        return false;
    memcpy(text, bytes, head->size);
    x->method = slice(text, head->method);
    x->path = slice(text, head->path);
    x->query = slice(text, head->query);
    x->head_only = cairn_str_equal(x->method, CAIRN_STR("HEAD"));
    x->header_count = x->header_room = head->field_count;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct h1_field *field = &head->fields[i];
        for (char *at = text + field->name.at, *end = at + field->name.size; at < end; at++)
            if (*at >= 'A' && *at <= 'Z')
                *at += 'a' - 'A';
        x->headers[i] = (struct http_pair){slice(text, field->name), slice(text, field->value)};
    }
    return true;
}

/* A complete head: make the exchange. NULL: the connection is ending. */
static struct http_exchange *
start_exchange(struct http_conn *c, const struct h1_head *head, const char *bytes, bool body_is_here)
{
    struct http_exchange *x = exchange_new(c);
    if (!x || !fill_request(x, head, bytes)) {
        conn_close(c);
        return NULL;
    }
    c->asked = true;
    c->minor = (uint8_t)head->minor;
    c->keep_alive = head->keep_alive;
    h1_body_begin(&c->body, head);
    x->body_since_ms = x->body_progress_ms = net_now_ms(c->loop->net);
    if (head->content_length > 0 && (uint64_t)head->content_length > c->loop->server->config.body_max) {
        refuse_body(x, CAIRN_E_LIMIT);
        return NULL;
    }
    if (head->expect_continue && !body_is_here && (head->chunked || head->content_length > 0))
        net_conn_put(c->net, CAIRN_STR("HTTP/1.1 100 Continue\r\n\r\n"));
    return x;
}

static void
drop_partial(struct http_conn *c)
{
    free(c->partial);
    c->partial = NULL;
}

/* Keep where the head's reading stands for when more arrives. */
static bool
keep_partial(struct http_conn *c, const struct h1_head *head)
{
    size_t room = c->loop->server->limits.fields_max;
    c->partial = malloc(h1_head_bytes((uint32_t)room));
    if (!c->partial)
        return false;
    memcpy(c->partial, head, h1_head_bytes(head->field_count));
    c->since_ms = net_now_ms(c->loop->net);
    return true;
}

/* Read a head. Returns the bytes used: 0 when it is not complete or the connection is ending. */
static size_t
read_head(struct http_conn *c, const char *bytes, size_t size)
{
    struct http_server *server = c->loop->server;
    struct h1_head *head = c->partial ? c->partial : c->loop->scratch;
    if (!c->partial)
        h1_head_begin(head, server->limits.fields_max);
    enum h1_result result = h1_head_parse(head, bytes, size, &server->limits);
    if (result == H1_BAD) {
        refuse_conn(c, refuse_kind(head->status), head->why);
        return 0;
    }
    if (result == H1_MORE) {
        if (!c->partial && !keep_partial(c, head))
            conn_close(c);
        return 0;
    }
    size_t used = head->size;
    struct http_exchange *x = start_exchange(c, head, bytes, used < size);
    bool plain = !head->chunked && head->content_length <= 0;
    bool upgrade = x && head->upgrade_h2c && plain && !net_conn_is_tls(c->net);
    cairn_str settings = slice(bytes, head->h2_settings);
    drop_partial(c);
    if (!x)
        return 0;
    if (upgrade && h2_upgrade(c, x, settings, x->head_only))
        return used; /* c->protocol says how to go on */
    if (plain)
        exchange_dispatch(x);
    return used;
}

/* Read body bytes. Returns those used; the handler runs when the body is whole. */
static size_t
read_body(struct http_conn *c, struct http_exchange *x, const char *bytes, size_t size)
{
    size_t used = 0;
    enum h1_result result = H1_MORE;
    while (result == H1_MORE && used < size) {
        size_t step;
        cairn_str data;
        result = h1_body_parse(&c->body, bytes + used, size - used, &step, &data);
        used += step;
        cairn_err err = exchange_add_body(x, data);
        if (err != CAIRN_OK) {
            refuse_body(x, err);
            return used;
        }
    }
    x->body_progress_ms = net_now_ms(c->loop->net);
    if (result == H1_BAD)
        refuse_exchange(x, refuse_kind(400), c->body.why);
    else if (result == H1_DONE)
        exchange_dispatch(x);
    return used;
}

/* Serve as many requests as the bytes hold, until one has to wait for its answer. Returns bytes used. */
static size_t
serve(struct http_conn *c, const char *bytes, size_t size)
{
    size_t used = 0;
    c->inside = true;
    while (used < size && !c->closing && !c->lingering && c->protocol == &h1_protocol) {
        struct http_exchange *x = c->exchanges;
        if (x && x->state != X_READING)
            break;
        size_t step = x ? read_body(c, x, bytes + used, size - used)
                        : read_head(c, bytes + used, size - used);
        if (step == 0)
            break;
        used += step;
    }
    c->inside = false;
    return used;
}

/* ---- bytes left over ------------------------------------------------------------------------- */

static void
drop_in(struct http_conn *c)
{
    buf_free(&c->in);
    body_discharge(c->loop, c->in_charged);
    c->in_charged = 0;
}

/* Keep what a read has left over. It counts as request bytes in memory, like bodies. */
static bool
keep_in(struct http_conn *c, cairn_str rest)
{
    buf_put_str(&c->in, rest);
    if (c->in.failed) {
        conn_close(c);
        return false;
    }
    if (c->in.capacity > c->in_charged) {
        if (!body_charge(c->loop, c->in.capacity - c->in_charged)) {
            refuse_conn(c, &refuse_too_many, "there is no memory left for requests at the moment");
            return false;
        }
        c->in_charged = c->in.capacity;
    }
    return true;
}

/* Reading rests while more is waiting than one head may be; it goes on when that has been served. */
static void
pace(struct http_conn *c)
{
    bool too_much = c->exchanges && c->in.size > c->loop->server->config.header_max;
    if (too_much == c->paused)
        return;
    c->paused = too_much;
    if (too_much)
        net_conn_pause(c->net);
    else
        net_conn_resume(c->net);
}

/* Serve what is in `in`, and drop what was used. */
static void
serve_in(struct http_conn *c)
{
    struct buf in = c->in; /* taken out, since an upgrade leaves the rest to the other protocol */
    c->in = (struct buf){0};
    size_t used = serve(c, in.data, in.size);
    cairn_str rest = {in.data + used, in.size - used};
    if (!c->closing && !c->lingering && c->protocol != &h1_protocol) {
        drop_in(c);
        c->protocol->input(c, rest);
        buf_free(&in);
        return;
    }
    if (rest.size == 0 || c->closing || c->lingering) {
        buf_free(&in);
        drop_in(c);
        return;
    }
    memmove(in.data, rest.data, rest.size);
    in.size = rest.size;
    c->in = in;
}

static void
h1_input(struct http_conn *c, cairn_str bytes)
{
    if (!c->in.size && !c->exchanges && !c->partial)
        c->since_ms = net_now_ms(c->loop->net);
    c->quiet_ms = net_now_ms(c->loop->net);
    if (c->in.size) {
        if (keep_in(c, bytes))
            serve_in(c);
    } else {
        size_t used = serve(c, bytes.data, bytes.size);
        cairn_str rest = {bytes.data + used, bytes.size - used};
        if (rest.size && !c->closing && !c->lingering) {
            if (c->protocol != &h1_protocol) {
                c->protocol->input(c, rest);
                return;
            }
            keep_in(c, rest);
        }
    }
    if (!c->closing && c->protocol == &h1_protocol)
        pace(c);
}

/* An answer is finished that others were waiting behind. */
static void
h1_work(struct http_conn *c)
{
    if (c->in.size && !c->exchanges)
        serve_in(c);
    if (c->closing || c->lingering || c->protocol != &h1_protocol)
        return;
    if (c->eof && !c->exchanges)
        conn_linger(c);
    else
        pace(c);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void
h1_eof(struct http_conn *c)
{
    struct http_exchange *x = c->exchanges;
    if (x && x->state == X_HANDLING)
        return; /* asked and then half-closed: it may still be waiting for its answer */
    if (x || net_conn_unsent(c->net) == 0)
        conn_close(c);
    else
        conn_linger(c);
}

static void
h1_flushed(struct http_conn *c)
{
    struct http_exchange *x = c->exchanges;
    if (x && x->want_drain && net_conn_unsent(c->net) < c->loop->server->config.write_buffer_max / 2)
        exchange_drained(x);
}

/* A body has its timeout for the beginning and for each pause, and must then keep a slow but steady rate. */
static uint64_t
body_deadline(const struct http_exchange *x)
{
    uint64_t timeout_ms = x->loop->server->config.body_timeout_ms;
    uint64_t whole = x->body_since_ms + timeout_ms + x->body.size / HTTP_BODY_RATE;
    uint64_t pause = x->body_progress_ms + timeout_ms;
    return whole < pause ? whole : pause;
}

static uint64_t
h1_deadline(struct http_conn *c)
{
    const struct http_config *config = &c->loop->server->config;
    struct http_exchange *x = c->exchanges;
    if (x)
        return x->state == X_READING ? body_deadline(x) : 0;
    if (c->partial || c->in.size)
        return c->since_ms + config->header_timeout_ms;
    return c->quiet_ms + (c->asked ? config->idle_timeout_ms : config->header_timeout_ms);
}

static void
h1_expired(struct http_conn *c)
{
    struct http_exchange *x = c->exchanges;
    if (x)
        refuse_exchange(x, &refuse_timeout, "the body did not arrive in time");
    else if (c->partial)
        refuse_conn(c, &refuse_timeout, "the header fields did not arrive in time");
    else
        conn_close(c);
}

static void
h1_stop(struct http_conn *c)
{
    struct http_exchange *x = c->exchanges;
    if (x && x->state == X_STREAMING && x->event_stream)
        http_end(x);
    else if (!x && !c->unsent)
        conn_close(c);
    else if (!x)
        conn_linger(c);
}

static void
h1_free(struct http_conn *c)
{
    drop_partial(c);
}

const struct http_protocol h1_protocol = {
    .input = h1_input,
    .eof = h1_eof,
    .work = h1_work,
    .flushed = h1_flushed,
    .deadline = h1_deadline,
    .expired = h1_expired,
    .stop = h1_stop,
    .free = h1_free,
    .respond = h1_respond,
    .begin = h1_begin,
    .write = h1_write,
    .end = h1_end,
};

/* An exchange: one request and its answer, whichever protocol carries it.
 *
 *   READING ─► HANDLING ─┬─ http_respond ──────────────────► ANSWERED ─► over
 *                        └─ http_begin ─► STREAMING ─ end ─►
 *
 * `over` comes once: the answer has been handed on whole, or the peer is gone. From then on x->conn is NULL
 * and answering does nothing. The memory goes when the last reference does; on_close runs before that, always
 * from the end of a round of events and never from inside a call of the handler's. */
#include <proto/http/http_int.h>

#include <stdlib.h>

/* ---- life ------------------------------------------------------------------------------------ */

struct http_exchange *
exchange_new(struct http_conn *c)
{
    struct http_loop *loop = c->loop;
    struct http_exchange *x = loop->spare;
    if (x) {
        loop->spare = x->next;
        loop->spare_count--;
    } else {
        x = calloc(1, sizeof *x);
        if (!x)
            return NULL;
    }
    x->loop = loop;
    x->conn = c;
    x->refs = 1;
    x->state = X_READING;
    x->next = c->exchanges;
    x->link = &c->exchanges;
    if (x->next)
        x->next->link = &x->next;
    c->exchanges = x;
    net_loop_hold(loop->net);
    return x;
}

/* Back to the loop's spares with an empty arena and buffers of modest size, or to the system. */
static void
recycle(struct http_exchange *x)
{
    struct http_loop *loop = x->loop;
    body_discharge(loop, x->charged_bytes);
    net_loop_release(loop->net);
    buf_free(&x->out);
    if (x->arena.used_bytes > HTTP_KEEP_BYTES || loop->spare_count >= HTTP_SPARE_EXCHANGES)
        arena_free(&x->arena);
    else
        arena_reset(&x->arena);
    if (x->body.capacity > HTTP_KEEP_BYTES || loop->spare_count >= HTTP_SPARE_EXCHANGES)
        buf_free(&x->body);
    if (loop->spare_count >= HTTP_SPARE_EXCHANGES) {
        free(x);
        return;
    }
    struct arena arena = x->arena;
    struct buf body = x->body;
    buf_clear(&body);
    *x = (struct http_exchange){.arena = arena, .body = body, .next = loop->spare};
    loop->spare = x;
    loop->spare_count++;
}

void
exchange_unref(struct http_exchange *x)
{
    assert(x->refs > 0);
    if (--x->refs == 0)
        recycle(x);
}

void
exchange_free_spares(struct http_loop *loop)
{
    while (loop->spare) {
        struct http_exchange *x = loop->spare;
        loop->spare = x->next;
        arena_free(&x->arena);
        buf_free(&x->body);
        free(x);
    }
    loop->spare_count = 0;
}

/* on_close at the end of the round. Takes over a reference. */
static void
close_later(struct http_exchange *x)
{
    struct http_loop *loop = x->loop;
    x->close_due = true;
    x->next = NULL;
    *loop->closing_end = x;
    loop->closing_end = &x->next;
    net_loop_again(loop->net);
}

void
exchange_over(struct http_exchange *x, bool gone)
{
    if (!x->conn)
        return;
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
    x->next = NULL;
    x->link = NULL;
    x->conn = NULL;
    x->gone = gone;
    if (x->on_close)
        close_later(x);
    else
        exchange_unref(x);
}

void
exchange_run_closing(struct http_loop *loop)
{
    while (loop->closing) {
        struct http_exchange *x = loop->closing;
        loop->closing = x->next;
        if (!loop->closing)
            loop->closing_end = &loop->closing;
        x->next = NULL;
        x->on_close(x->context, x);
        exchange_unref(x);
    }
}

/* The handler has returned, or the last holder has let go, and nobody is left to answer. */
static void
answer_forgotten(struct http_exchange *x)
{
    if (x->state == X_HANDLING && x->conn && x->refs == 2)
        refuse_exchange(x, &refuse_internal, "the handler of this path has given no answer");
}

void
exchange_dispatch(struct http_exchange *x)
{
    struct http_server *server = x->loop->server;
    assert(x->state == X_READING);
    http_count(&x->loop->requests);
    x->state = X_HANDLING;
    x->refs++;
    server->config.handler(server->config.context, x);
    answer_forgotten(x);
    exchange_unref(x);
}

void
http_hold(struct http_exchange *x)
{
    assert(net_loop_is_here(x->loop->net));
    x->refs++;
}

void
http_release(struct http_exchange *x)
{
    assert(net_loop_is_here(x->loop->net));
    answer_forgotten(x);
    exchange_unref(x);
}

bool
http_is_gone(const struct http_exchange *x)
{
    return x->gone;
}

/* ---- the request ----------------------------------------------------------------------------- */

bool
exchange_add_header(struct http_exchange *x, cairn_str name, cairn_str value)
{
    if (x->header_count == x->header_room) {
        size_t room = x->header_room ? x->header_room * 2 : 16;
        struct http_pair *headers = arena_alloc(&x->arena, room * sizeof *headers);
        if (!headers)
            return false;
        if (x->header_count)
            memcpy(headers, x->headers, x->header_count * sizeof *headers);
        x->headers = headers;
        x->header_room = room;
    }
    x->headers[x->header_count++] = (struct http_pair){name, value};
    return true;
}

cairn_err
exchange_add_body(struct http_exchange *x, cairn_str bytes)
{
    if (bytes.size == 0)
        return CAIRN_OK;
    if (bytes.size > x->loop->server->config.body_max - x->body.size)
        return CAIRN_E_LIMIT;
    size_t before = x->body.capacity, need = x->body.size + bytes.size;
    if (need > before) {
        if (!buf_reserve(&x->body, bytes.size))
            return CAIRN_E_NOMEM;
    }
    /* Kept capacity of a pooled exchange is small and not counted; what a body really takes is. */
    size_t taken = x->body.capacity > HTTP_KEEP_BYTES ? x->body.capacity : need;
    if (taken > x->charged_bytes) {
        if (!body_charge(x->loop, taken - x->charged_bytes))
            return CAIRN_E_BUSY;
        x->charged_bytes = taken;
    }
    buf_put_str(&x->body, bytes);
    return CAIRN_OK;
}

cairn_str http_method(const struct http_exchange *x) { return x->method; }
cairn_str http_path(const struct http_exchange *x) { return x->path; }
cairn_str http_query_text(const struct http_exchange *x) { return x->query; }
cairn_str http_body(const struct http_exchange *x) { return buf_str(&x->body); }
struct arena *http_arena(struct http_exchange *x) { return &x->arena; }
struct http_loop *http_loop_of(struct http_exchange *x) { return x->loop; }
bool http_is_tls(const struct http_exchange *x) { return x->loop->server->tls != NULL; }

/* Several fields of one name as one value (RFC 9110 §5.2; RFC 9113 §8.2.3 for cookies). */
static cairn_str
join_headers(const struct http_exchange *x, size_t first, size_t size)
{
    cairn_str name = x->headers[first].name;
    const char *between = cairn_str_equal(name, CAIRN_STR("cookie")) ? "; " : ", ";
    char *joined = arena_alloc((struct arena *)(uintptr_t)&x->arena, size), *to = joined;
    if (!joined)
        return x->headers[first].value;
    for (size_t i = first; i < x->header_count; i++) {
        if (!cairn_str_equal(x->headers[i].name, name))
            continue;
        if (to > joined) {
            memcpy(to, between, 2);
            to += 2;
        }
        if (x->headers[i].value.size)
            memcpy(to, x->headers[i].value.data, x->headers[i].value.size);
        to += x->headers[i].value.size;
    }
    return (cairn_str){joined, (size_t)(to - joined)};
}

cairn_str
http_header(const struct http_exchange *x, const char *name)
{
    cairn_str wanted = cairn_cstr(name);
    size_t first = 0, found = 0, size = 0;
    for (size_t i = 0; i < x->header_count; i++) {
        if (!cairn_str_equal(x->headers[i].name, wanted))
            continue;
        if (found++ == 0)
            first = i;
        size += x->headers[i].value.size + 2;
    }
    if (found == 0)
        return (cairn_str){NULL, 0};
    return found == 1 ? x->headers[first].value : join_headers(x, first, size);
}

bool
http_header_at(const struct http_exchange *x, size_t index, cairn_str *ret_name, cairn_str *ret_value)
{
    if (index >= x->header_count)
        return false;
    *ret_name = x->headers[index].name;
    *ret_value = x->headers[index].value;
    return true;
}

cairn_str
http_peer(const struct http_exchange *x)
{
    char text[NET_PEER_TEXT_SIZE];
    if (!x->conn)
        return CAIRN_STR("");
    size_t size = net_conn_peer(x->conn->net, text);
    return arena_copy((struct arena *)(uintptr_t)&x->arena, (cairn_str){text, size});
}

/* ---- the response ---------------------------------------------------------------------------- */

void
http_respond(struct http_exchange *x, int status, const struct http_field *fields, size_t field_count,
             cairn_str body)
{
    assert(net_loop_is_here(x->loop->net));
    assert(x->state == X_HANDLING);
    x->state = X_ANSWERED;
    if (x->conn)
        x->conn->protocol->respond(x, status, fields, field_count, body);
}

static bool
has_event_stream(const struct http_field *fields, size_t count)
{
    static const char type[] = "text/event-stream";
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, "content-type") == 0 && fields[i].value.size >= sizeof type - 1 &&
            memcmp(fields[i].value.data, type, sizeof type - 1) == 0)
            return true;
    return false;
}

void
http_begin(struct http_exchange *x, int status, const struct http_field *fields, size_t field_count,
           http_event on_drain, http_event on_close, void *context)
{
    assert(net_loop_is_here(x->loop->net));
    assert(x->state == X_HANDLING);
    x->state = X_STREAMING;
    x->on_drain = on_drain;
    x->on_close = on_close;
    x->context = context;
    x->event_stream = has_event_stream(fields, field_count);
    if (!x->conn) {
        /* The peer has gone already; the owner learns it in the usual way. */
        x->state = X_ANSWERED;
        if (on_close) {
            x->refs++;
            close_later(x);
        }
        return;
    }
    x->conn->protocol->begin(x, status, fields, field_count);
    if (x->conn && (x->head_only || (x->event_stream && is_stopping(x->loop))))
        http_end(x);
}

bool
http_write(struct http_exchange *x, cairn_str bytes)
{
    assert(net_loop_is_here(x->loop->net));
    assert(x->state == X_STREAMING || x->state == X_ANSWERED);
    if (!x->conn || x->state != X_STREAMING)
        return false;
    if (bytes.size == 0)
        return !x->want_drain;
    bool enough = !x->conn->protocol->write(x, bytes);
    if (enough)
        x->want_drain = true;
    return !enough;
}

void
http_end(struct http_exchange *x)
{
    assert(net_loop_is_here(x->loop->net));
    assert(x->state == X_STREAMING || x->state == X_ANSWERED);
    if (x->state == X_ANSWERED)
        return;
    x->state = X_ANSWERED;
    if (x->conn)
        x->conn->protocol->end(x);
}

void
exchange_drained(struct http_exchange *x)
{
    if (!x->want_drain || x->state != X_STREAMING)
        return;
    x->want_drain = false;
    if (x->on_drain)
        x->on_drain(x->context, x);
}

/* A connection: which protocol it speaks, its deadlines, its unsent bytes, its end.
 *
 *   new ─(first bytes, ALPN)─► h1 ─(Upgrade)─► h2
 *    └──────────────────────────┴───────────────┴─► lingering ─► closing ─► freed
 *
 * Lingering: the last answer is on its way, and what the peer still sends is dropped. Closing at once would make
 * the kernel answer those bytes with a reset, which can destroy the answer before it has been read.
 *
 * Memory: `unsent` of all connections is bounded by unsent_max. Beyond it the loop that notices cuts the one of its
 * connections that has made no progress for longest, so slow readers cannot use up what others need.
 * Invariant: a connection is in the slow list exactly when its `unsent` is not 0. */
#include <proto/http/http_int.h>

#include <stdio.h>
#include <stdlib.h>

#define REFUSED_MAX 64 /* connections beyond the bound that may wait to read their 503 */

static const char h2_preface[24] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* ---- unsent bytes ---------------------------------------------------------------------------- */

static void
leave_slow(struct http_conn *c)
{
    if (!c->slow_link)
        return;
    *c->slow_link = c->slow_next;
    if (c->slow_next)
        c->slow_next->slow_link = c->slow_link;
    else
        c->loop->slow_end = c->slow_link;
    c->slow_next = NULL;
    c->slow_link = NULL;
}

static void
join_slow(struct http_conn *c)
{
    c->slow_next = NULL;
    c->slow_link = c->loop->slow_end;
    *c->loop->slow_end = c;
    c->loop->slow_end = &c->slow_next;
}

void
conn_account(struct http_conn *c)
{
    if (c->closing)
        return;
    struct http_loop *loop = c->loop;
    size_t in_socket = net_conn_unsent(c->net), unsent = in_socket + c->stream_bytes;
    if (unsent == 0 && c->unsent == 0)
        return;
    bool progress = unsent < c->unsent || c->socket_unsent == 0;
    atomic_fetch_add_explicit(&loop->server->unsent, unsent - c->unsent, memory_order_relaxed);
    c->unsent = unsent;
    c->socket_unsent = in_socket;
    if (progress) {
        c->progress_ms = net_now_ms(loop->net);
        leave_slow(c);
        if (unsent)
            join_slow(c);
    }
    while (atomic_load_explicit(&loop->server->unsent, memory_order_relaxed) > loop->server->config.unsent_max && loop->slow) {
        http_count(&loop->rejected);
        conn_close(loop->slow);
    }
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static uint64_t
deadline_of(struct http_conn *c)
{
    const struct http_config *config = &c->loop->server->config;
    uint64_t deadline = 0;
    if (c->socket_unsent)
        deadline = c->progress_ms + config->write_timeout_ms;
    if (c->lingering)
        return deadline ? deadline : c->quiet_ms + HTTP_LINGER_MS;
    uint64_t other = c->protocol ? c->protocol->deadline(c) : c->quiet_ms + config->header_timeout_ms;
    return !deadline || (other && other < deadline) ? other : deadline;
}

void
conn_rearm(struct http_conn *c)
{
    if (c->closing)
        return;
    uint64_t deadline = deadline_of(c);
    if (deadline)
        net_timer_set(c->loop->net, &c->timer, deadline);
    else
        net_timer_clear(c->loop->net, &c->timer);
}

static void
on_deadline(void *context)
{
    struct http_conn *c = context;
    uint64_t now = net_now_ms(c->loop->net);
    conn_account(c); /* libuv may have sent a part in the meantime */
    uint64_t deadline = c->closing ? 0 : deadline_of(c);
    if (deadline && deadline <= now) {
        bool stuck = c->socket_unsent && c->progress_ms + c->loop->server->config.write_timeout_ms <= now;
        if (c->lingering || !c->protocol || stuck)
            conn_close(c);
        else
            c->protocol->expired(c);
    }
    conn_rearm(c);
}

/* ---- the end --------------------------------------------------------------------------------- */

void
conn_close(struct http_conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    leave_slow(c);
    atomic_fetch_sub_explicit(&c->loop->server->unsent, c->unsent, memory_order_relaxed);
    c->unsent = 0;
    net_timer_clear(c->loop->net, &c->timer);
    while (c->exchanges)
        exchange_over(c->exchanges, true);
    net_conn_close(c->net);
}

void
conn_linger(struct http_conn *c)
{
    if (c->closing || c->lingering)
        return;
    c->lingering = true;
    c->quiet_ms = net_now_ms(c->loop->net);
    net_conn_resume(c->net);
    net_conn_finish(c->net);
}

static void
on_closed(void *user)
{
    struct http_conn *c = user;
    struct http_loop *loop = c->loop;
    conn_close(c); /* when the end came from below */
    if (c->ready) {
        struct http_conn **link = &loop->ready;
        while (*link != c)
            link = &(*link)->ready_next;
        *link = c->ready_next;
    }
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    if (c->protocol)
        c->protocol->free(c);
    buf_free(&c->in);
    body_discharge(loop, c->in_charged);
    atomic_fetch_sub_explicit(&loop->server->connections, 1, memory_order_relaxed);
    free(c);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Decide by ALPN, or by whether the first bytes are HTTP/2's preface. False: too few bytes to tell. */
static bool
choose_protocol(struct http_conn *c, cairn_str bytes)
{
    if (net_conn_is_h2(c->net)) {
        h2_start(c);
        return true;
    }
    size_t common = bytes.size < sizeof h2_preface ? bytes.size : sizeof h2_preface;
    if (memcmp(bytes.data, h2_preface, common) != 0) {
        c->protocol = &h1_protocol;
        c->since_ms = net_now_ms(c->loop->net);
        return true;
    }
    if (common < sizeof h2_preface)
        return false;
    h2_start(c);
    return true;
}

/* The first bytes; nearly always all of a preface, or more than enough to see that it is none. */
static void
read_first(struct http_conn *c, cairn_str bytes)
{
    struct buf first = {0};
    if (c->in.size) {
        buf_put_str(&c->in, bytes);
        if (c->in.failed) {
            conn_close(c);
            return;
        }
        bytes = buf_str(&c->in);
    }
    if (!choose_protocol(c, bytes)) {
        if (!c->in.size)
            buf_put_str(&c->in, bytes);
        return;
    }
    first = c->in;
    c->in = (struct buf){0};
    if (!c->closing)
        c->protocol->input(c, bytes);
    buf_free(&first);
}

static void
on_read(void *user, cairn_str bytes)
{
    struct http_conn *c = user;
    if (c->closing || c->lingering)
        return;
    if (c->protocol)
        c->protocol->input(c, bytes);
    else
        read_first(c, bytes);
    conn_rearm(c);
}

static void
on_eof(void *user)
{
    struct http_conn *c = user;
    c->eof = true;
    if (c->lingering ? net_conn_unsent(c->net) == 0 : !c->protocol) {
        conn_close(c);
        return;
    }
    if (!c->lingering)
        c->protocol->eof(c);
    conn_rearm(c);
}

static void
on_flushed(void *user)
{
    struct http_conn *c = user;
    conn_account(c);
    if (c->closing)
        return;
    if (c->lingering) {
        if (c->eof && c->unsent == 0) {
            conn_close(c);
            return;
        }
    } else if (c->protocol) {
        c->protocol->flushed(c);
    }
    conn_rearm(c);
}

void
conn_wake(struct http_conn *c)
{
    if (c->ready || c->closing)
        return;
    c->ready = true;
    c->ready_next = c->loop->ready;
    c->loop->ready = c;
    net_loop_again(c->loop->net);
}

void
conn_work(struct http_loop *loop)
{
    struct http_conn *c = loop->ready;
    loop->ready = NULL;
    while (c) {
        struct http_conn *next = c->ready_next;
        c->ready = false;
        if (!c->closing && !c->lingering && c->protocol) {
            c->protocol->work(c);
            conn_rearm(c);
        }
        c = next;
    }
}

/* ---- the beginning --------------------------------------------------------------------------- */

/* One connection too many: say so where it can be said, to as many as can wait for it. */
static void
turn_away(struct http_conn *c, unsigned count)
{
    http_count(&c->loop->rejected);
    if (net_conn_is_tls(c->net) || count > c->loop->server->config.connections_max + REFUSED_MAX) {
        conn_close(c);
        return;
    }
    char detail[96];
    snprintf(detail, sizeof detail, "there are %u connections, which is limits.connections",
             c->loop->server->config.connections_max);
    refuse_conn(c, &refuse_too_many, detail);
}

void
conn_open(void *context, struct net_conn *net)
{
    static const struct net_conn_events events = {.on_read = on_read, .on_eof = on_eof, .on_flushed = on_flushed, .on_closed = on_closed};
    struct http_loop *loop = context;
    struct http_server *server = loop->server;
    struct http_conn *c = calloc(1, sizeof *c);
    if (!c) {
        net_conn_close(net);
        return;
    }
    c->net = net;
    c->loop = loop;
    c->next = loop->conns;
    c->link = &loop->conns;
    if (c->next)
        c->next->link = &c->next;
    loop->conns = c;
    c->timer.fn = on_deadline;
    c->timer.context = c;
    c->quiet_ms = net_now_ms(loop->net);
    http_count(&loop->connections);
    unsigned count = atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed) + 1;
    net_conn_start(net, &events, c);
    if (is_stopping(loop))
        conn_close(c);
    else if (count > server->config.connections_max)
        turn_away(c, count);
    conn_rearm(c);
}

/* A connection: frames in, answers out, and when it rests.
 *
 *   bytes ─► head (4 bytes: a size) ─► reading ─► calls: ANSWERED … BEGUN … QUEUED     answers leave at the front
 *
 * Invariants: `calls` is in the order of requests; to_begin is its first QUEUED one; a call begins only when nothing that has begun
 * is in its way (may_begin); answers leave from the front only. So a client sees its calls happen one after another.
 *
 * Resting: it is not read while too much of it is in memory (its own calls, the server's requests) or unsent, or while it has had more
 * than its rate; then nothing of it is begun either. Unsent answers of all
 * connections are bounded by unsent_max, as far as they are in memory: beyond, each loop cuts the reader that has stood still
 * longest. What lies in the log's files counts for nothing there, so that a fetch of 50 MB is a matter of its reader alone. A large
 * answer goes to the socket in slices as the socket takes them, from the call's own memory.
 *
 * The end: `gone` and every waiting handler is told (on_gone); calls stay until their handlers have ended them, the connection
 * until its last call has. After an end of the client's side (eof) what it sent before is still done, as for acks = 0. */
#include <proto/kafka/conn_int.h>

#include <os/os.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LOG_LINES 5 /* a second */

/* ---- telling -------------------------------------------------------------------------------------------------------------- */

void
kafka_conn_log(struct kafka_conn *c, const char *format, ...)
{
    struct kafka_loop *loop = c->loop;
    const struct kafka_config *config = &loop->server->config;
    char line[512], text[256], left_out[48] = "";
    va_list args;
    if (!config->log)
        return;
    uint64_t now_ms = net_now_ms(loop->net);
    if (now_ms - loop->log_ms >= 1000) {
        loop->log_ms = now_ms;
        loop->logged = 0;
    }
    if (loop->logged == LOG_LINES) {
        loop->unlogged++;
        return;
    }
    loop->logged++;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (loop->unlogged)
        snprintf(left_out, sizeof left_out, " (and %u more)", loop->unlogged);
    loop->unlogged = 0;
    snprintf(line, sizeof line, "kafka: %s%s%s: %s%s", c->session.host, c->session.software_name[0] ? " " : "",
             c->session.software_name, text, left_out);
    config->log(config->log_context, line);
}

/* ---- the end --------------------------------------------------------------------------------------------------------------- */

static void
set_unsent(struct kafka_conn *c, size_t unsent, size_t held)
{
    atomic_fetch_add_explicit(&c->loop->server->unsent, held - c->held, memory_order_relaxed);
    c->unsent = unsent;
    c->held = held;
}

static void
leave_slow(struct kafka_conn *c)
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
set_starved(struct kafka_conn *c, bool starved)
{
    c->loop->starved_count += starved;
    c->loop->starved_count -= c->starved;
    c->starved = starved;
}

static void
free_if_over(struct kafka_conn *c)
{
    if (c->net || c->calls || c->busy || c->soon)
        return;
    const struct kafka_calls *calls = c->loop->server->config.calls;
    if (calls->session_end)
        calls->session_end(&c->session);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    free(c);
}

/* Take out of the list whatever needs no more thread: only what handlers have stays. */
static void
drop_calls(struct kafka_conn *c)
{
    struct kafka_call **link = &c->calls;
    c->to_begin = NULL;
    while (*link) {
        struct kafka_call *call = *link;
        if (call->stage == CALL_BEGUN) {
            link = &call->next;
            continue;
        }
        *link = call->next;
        c->call_count--;
        call_end(call);
    }
    c->calls_end = link;
}

/* Handlers that wait for something else are told that nobody waits for them. */
static void
tell_gone(struct kafka_conn *c)
{
    if (atomic_exchange_explicit(&c->gone, true, memory_order_relaxed))
        return;
    bool was_busy = c->busy;
    c->busy = true; /* what ends meanwhile stays in the list */
    for (struct kafka_call *call = c->calls; call; call = call->next)
        if (call->stage == CALL_BEGUN && call->on_gone)
            call->on_gone(call);
    c->busy = was_busy;
}

void
kafka_conn_close(struct kafka_conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    set_starved(c, false);
    leave_slow(c);
    set_unsent(c, 0, 0);
    net_timer_clear(c->loop->net, &c->timer);
    net_timer_clear(c->loop->net, &c->throttle);
    tell_gone(c);
    if (c->reading)
        call_end(c->reading);
    c->reading = NULL;
    if (!c->busy)
        drop_calls(c);
    if (c->net)
        net_conn_close(c->net);
}

static void
on_closed(void *user)
{
    struct kafka_conn *c = user;
    const char *fault = net_conn_fault(c->net);
    if (fault) {
        kafka_count(&c->loop->denied);
        kafka_conn_log(c, "TLS: %s", fault);
    }
    kafka_conn_close(c); /* when the end came from below */
    c->net = NULL;
    atomic_fetch_sub_explicit(&c->loop->server->connections, 1, memory_order_relaxed);
    drop_calls(c);
    free_if_over(c);
}

static void __attribute__((format(printf, 2, 3)))
reject(struct kafka_conn *c, const char *format, ...)
{
    char text[224];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!c->closing) {
        kafka_count(&c->loop->rejected);
        kafka_conn_log(c, "%s", text);
    }
    kafka_conn_close(c);
}

/* ---- answers out ------------------------------------------------------------------------------------------------------------- */

/* Beyond the bound, those go that have stood still; beyond twice the bound whoever is slowest. */
static void
cut_slow(struct kafka_loop *loop)
{
    const struct kafka_server *server = loop->server;
    size_t most = server->config.unsent_max, unsent;
    while (loop->slow && (unsent = atomic_load_explicit(&server->unsent, memory_order_relaxed)) > most
           && (unsent / 2 > most || net_now_ms(loop->net) >= loop->slow->progress_ms + CONN_SLOW_MS))
        reject(loop->slow, "answers to all clients are unsent beyond the bound, and this one reads slowest");
}

/* Unsent: for the socket, and of the answer at the front what the socket has yet to be given. */
static void
account(struct kafka_conn *c)
{
    if (c->closing)
        return;
    struct kafka_loop *loop = c->loop;
    size_t held = net_conn_unsent(c->net), in_files = 0;
    for (const struct kafka_call *call = c->calls; call && call->stage == CALL_ANSWERED; call = call->next) {
        size_t files = call->out.file_bytes - call->sent_files;
        in_files += files;
        held += kafka_out_size(&call->out) - call->sent_bytes - files;
    }
    if (held + in_files == 0 && c->unsent == 0)
        return;
    bool progress = held + in_files < c->unsent || c->unsent == 0;
    set_unsent(c, held + in_files, held);
    if (progress)
        c->progress_ms = net_now_ms(loop->net);
    if (progress || !held)
        leave_slow(c);
    if (held && !c->slow_link) {
        c->slow_link = loop->slow_end;
        *loop->slow_end = c;
        loop->slow_end = &c->slow_next;
    }
    cut_slow(loop);
}

/* The next stretch of an answer that lies together in memory: bytes up to a gap, or a piece. */
static cairn_str
next_stretch(struct kafka_call *call, const struct kafka_piece **ret_piece)
{
    const struct kafka_out *out = &call->out;
    const struct kafka_gap *gaps = (const struct kafka_gap *)(void *)out->gaps.data;
    size_t count = kafka_out_gaps(out), bytes = call->sent_own;
    bool piece = call->sent_gaps < count && gaps[call->sent_gaps].at == bytes;
    *ret_piece = piece ? &gaps[call->sent_gaps].piece : NULL;
    if (piece) {
        cairn_str all = gaps[call->sent_gaps].piece.bytes;
        return (cairn_str){all.data ? all.data + call->sent_of_piece : NULL, all.size - call->sent_of_piece};
    }
    size_t end = call->sent_gaps < count ? gaps[call->sent_gaps].at : out->bytes.size;
    return (cairn_str){out->bytes.data + bytes, end - bytes};
}

/* From a file to the socket, past our memory. Where the socket is full (or encrypts), a slice is put instead, so that it tells
 * when it goes on. How much; 0: a slice waits already, or the connection is closed. */
static size_t
send_from_file(struct kafka_conn *c, const struct kafka_piece *piece, size_t from, size_t size)
{
    size_t sent = net_conn_send_file(c->net, piece->file, piece->file_at + from, size);
    if (sent > 0 || !net_conn_is_open(c->net))
        return sent;
    if (net_conn_unsent(c->net) > 0 && !c->session.tls)
        return 0;
    size_t most = c->session.tls ? CONN_TLS_SLICE_BYTES : CONN_FILE_SLICE_BYTES, slice = size < most ? size : most;
    char *room = net_conn_room(c->net, slice);
    if (!room)
        return 0;
    if (os_descriptor_read(piece->file, room, slice, piece->file_at + from) != (ssize_t)slice) {
        reject(c, "the log cannot be read");
        return 0;
    }
    net_conn_added(c->net, slice);
    return slice;
}

static size_t
send_stretch(struct kafka_conn *c, const struct kafka_call *call, const struct kafka_piece *piece, cairn_str stretch)
{
    if (piece && !stretch.data)
        return send_from_file(c, piece, call->sent_of_piece, stretch.size);
    if (stretch.size > CONN_SLICE_BYTES)
        stretch.size = CONN_SLICE_BYTES;
    if (stretch.size < CALL_KEEP_BYTES)
        net_conn_put(c->net, stretch);
    else
        net_conn_put_large(c->net, stretch);
    return stretch.size;
}

/* Give the socket what it takes. True: all of it. */
static bool
send_answer(struct kafka_conn *c, struct kafka_call *call)
{
    size_t total = kafka_out_size(&call->out);
    while (call->sent_bytes < total && !c->closing) {
        const struct kafka_piece *piece;
        if (net_conn_unsent(c->net) >= CONN_SLICE_BYTES && total - call->sent_bytes > CONN_SLICE_BYTES)
            return false;
        cairn_str stretch = next_stretch(call, &piece);
        size_t sent = send_stretch(c, call, piece, stretch);
        if (sent == 0)
            return false;
        call->sent_bytes += sent;
        if (!piece) {
            call->sent_own += sent;
            continue;
        }
        call->sent_of_piece += sent;
        if (!piece->bytes.data)
            call->sent_files += sent;
        if (call->sent_of_piece == piece->bytes.size) {
            call->sent_gaps++;
            call->sent_of_piece = 0;
        }
    }
    return true;
}

static void
pop_call(struct kafka_conn *c)
{
    struct kafka_call *call = c->calls;
    c->calls = call->next;
    if (!c->calls)
        c->calls_end = &c->calls;
    c->call_count--;
    c->quiet_ms = net_now_ms(c->loop->net);
    call_end(call);
}

static void
send_answers(struct kafka_conn *c)
{
    while (!c->closing && c->calls && c->calls->stage == CALL_ANSWERED) {
        struct kafka_call *call = c->calls;
        if (!call->silent && !send_answer(c, call))
            return;
        c->ending |= call->denied || call->refused;
        if (call->refused) {
            kafka_count(&c->loop->rejected);
            kafka_conn_log(c, "%s; the connection is closed", call->refused);
        }
        if (call->denied)
            kafka_count(&c->loop->denied);
        if (call->tell)
            kafka_conn_log(c, "%s", call->tell);
        pop_call(c);
    }
}

/* ---- beginning calls, resting -------------------------------------------------------------------------------------------------- */

static bool
may_begin(const struct kafka_conn *c)
{
    const struct kafka_call *call = c->to_begin;
    if (!call || c->closing || c->ending || c->unsent > CONN_UNSENT_BYTES || net_timer_is_set(&c->throttle))
        return false;
    unsigned flags = call->handler->flags;
    return c->begun_count == 0 || (c->begun_flags & flags & KAFKA_PIPELINED) || ((c->begun_flags & KAFKA_WAITS) && (flags & KAFKA_OVERTAKES));
}

static void
begin_calls(struct kafka_conn *c)
{
    c->stalled = false;
    while (may_begin(c)) {
        struct kafka_call *call = c->to_begin;
        unsigned flags = call->handler->flags;
        c->to_begin = call->next;
        c->begun_flags = c->begun_count == 0 ? flags : c->begun_flags & flags;
        c->begun_count++;
        if (!call_begin(call)) {
            c->begun_count--;
            c->to_begin = call;
            c->stalled = true;
            return;
        }
        send_answers(c);
        if (c->calls && c->calls->stage == CALL_ANSWERED)
            account(c); /* the socket is full: perhaps that is enough */
    }
}

/* Read on, or not. */
static void
rest_or_read(struct kafka_conn *c)
{
    const struct kafka_server *server = c->loop->server;
    const struct kafka_config *config = &server->config;
    bool throttled = net_timer_is_set(&c->throttle); /* who has to wait for his rate's sake holds no memory that others need */
    bool wait = throttled    ? false
                : c->reading ? !call_reserve(c->reading)
                             : atomic_load_explicit(&server->request_bytes, memory_order_relaxed) > config->requests_max;
    bool rest = wait || throttled || c->call_count >= config->calls_max || c->unsent > CONN_UNSENT_BYTES ||
                (c->calls && c->request_bytes > CONN_AHEAD_BYTES) || c->eof || c->ending || kafka_stopping(c->loop);
    set_starved(c, wait || c->stalled);
    if (rest == c->resting)
        return;
    c->resting = rest;
    if (rest)
        net_conn_pause(c->net);
    else
        net_conn_resume(c->net);
    c->frame_since_ms = net_now_ms(c->loop->net);
}

static uint64_t
deadline_of(struct kafka_conn *c)
{
    const struct kafka_config *config = &c->loop->server->config;
    uint64_t deadline = c->unsent ? c->progress_ms + config->write_timeout_ms : 0, other = 0;
    if (c->ending)
        return deadline;
    if ((c->reading || c->head_size) && !c->resting) /* otherwise it is we who do not read */
        other = c->frame_since_ms + config->request_timeout_ms + (c->reading ? c->reading->frame_have / CONN_FRAME_RATE : 0);
    else if (!c->calls && !c->unsent)
        other = c->quiet_ms + config->idle_timeout_ms;
    return !deadline || (other && other < deadline) ? other : deadline;
}

static void
rearm(struct kafka_conn *c)
{
    if (c->closing)
        return;
    uint64_t deadline = deadline_of(c);
    if (deadline)
        net_timer_set(c->loop->net, &c->timer, deadline);
    else
        net_timer_clear(c->loop->net, &c->timer);
}

/* Nothing more is to come or to go. */
static bool
is_over(const struct kafka_conn *c)
{
    if (c->unsent > 0 || c->begun_count > 0 || (c->calls && c->calls->stage == CALL_ANSWERED))
        return false;
    return c->ending || (!c->calls && (c->eof || kafka_stopping(c->loop)));
}

void
kafka_conn_advance(struct kafka_conn *c)
{
    if (c->busy)
        return; /* whoever made it busy goes on */
    c->busy = true;
    send_answers(c);
    begin_calls(c);
    account(c);
    c->busy = false;
    if (c->closing) {
        drop_calls(c);
        free_if_over(c);
        return;
    }
    rest_or_read(c);
    if (is_over(c))
        kafka_conn_close(c);
    rearm(c);
}

static void
advance_now(void *context)
{
    struct kafka_conn *c = context;
    c->soon = false;
    kafka_conn_advance(c);
}

void
kafka_conn_advance_soon(struct kafka_conn *c)
{
    if (c->busy || c->soon)
        return;
    c->soon = true;
    c->soon_node = (struct net_post_node){NULL, advance_now, c};
    net_post(c->loop->net, &c->soon_node);
}

void
kafka_conn_tick(struct kafka_loop *loop)
{
    cut_slow(loop);
    for (struct kafka_conn *c = loop->conns, *next; loop->starved_count && c; c = next) {
        next = c->next;
        if (c->starved && !c->closing) {
            set_starved(c, false);
            kafka_conn_advance(c);
        }
    }
}

void
kafka_conn_stop(struct kafka_conn *c)
{
    if (c->closing)
        return;
    if (c->reading)
        call_end(c->reading);
    c->reading = NULL;
    c->head_size = 0;
    net_timer_clear(c->loop->net, &c->throttle);
    for (struct kafka_call *call = c->calls; call; call = call->next)
        if (call->stage == CALL_BEGUN && call->timeout)
            net_timer_set(c->loop->net, &call->timer, net_now_ms(c->loop->net) + 1);
    kafka_conn_advance(c);
}

/* ---- rates ---------------------------------------------------------------------------------------------------------------------------- */

static void
throttle_is_over(void *context)
{
    kafka_conn_advance(context);
}

/* The answer goes out at once and tells (KIP-219, Kafka 2.0: Produce 6, Fetch 8); waiting is seen to here, whatever the version, as
 * Kafka's brokers do it: clients that do not know of it have their next request taken up later. */
int32_t
kafka_throttle(struct kafka_call *call, enum kafka_rate kind, uint64_t bytes)
{
    struct kafka_conn *c = call->conn;
    uint64_t rate = kafka_rate_of(call->server, kind);
    if (rate == 0 || bytes == 0 || c->closing || kafka_stopping(c->loop))
        return 0;
    uint64_t now_ms = net_now_ms(c->loop->net);
    uint32_t wait_ms = rate_take(&c->rates[kind], rate, bytes, now_ms);
    if (wait_ms == 0)
        return 0;
    c->throttle.fn = throttle_is_over;
    c->throttle.context = c;
    if (c->throttle.at_ms < now_ms + wait_ms) /* it may be waiting for the other rate */
        net_timer_set(c->loop->net, &c->throttle, now_ms + wait_ms);
    kafka_count(&c->loop->throttled);
    kafka_count_many(&c->loop->throttled_ms, wait_ms);
    return (int32_t)wait_ms;
}

/* ---- frames in ---------------------------------------------------------------------------------------------------------------------- */

static void
add_call(struct kafka_conn *c, struct kafka_call *call)
{
    call->next = NULL;
    *c->calls_end = call;
    c->calls_end = &call->next;
    c->call_count++;
    call_queue(call);
    if (!c->to_begin)
        c->to_begin = call;
}

/* Its size is known: make room for it as its bytes come. */
static bool
begin_frame(struct kafka_conn *c)
{
    const struct kafka_config *config = &c->loop->server->config;
    size_t size_max = c->session.logged_in ? config->request_max : config->login_request_max;
    uint32_t size;
    memcpy(&size, c->head, 4);
    size = __builtin_bswap32(size);
    c->head_size = 0;
    if (size < FRAME_LEAST || size > size_max) {
        reject(c, "a request says that it is %u bytes, and the limit is %zu: not a Kafka client?", size, size_max);
        return false;
    }
    c->reading = call_new(c, size);
    if (!c->reading)
        reject(c, "out of memory");
    return c->reading != NULL;
}

static bool
take_head(struct kafka_conn *c, cairn_str *bytes)
{
    if (c->head_size == 0)
        c->frame_since_ms = net_now_ms(c->loop->net);
    while (c->head_size < sizeof c->head && bytes->size > 0) {
        c->head[c->head_size++] = *bytes->data++;
        bytes->size--;
    }
    return c->head_size < sizeof c->head || begin_frame(c);
}

/* A large request is read to where it will lie; of a small one, and of a large one's end, more comes with a read than itself. */
static char *
room_to_read(void *user, size_t *ret_size)
{
    struct kafka_conn *c = user;
    return c->reading && !c->closing ? call_room(c->reading, ret_size) : NULL;
}

static void
on_read(void *user, cairn_str bytes)
{
    struct kafka_conn *c = user;
    c->quiet_ms = net_now_ms(c->loop->net);
    while (bytes.size > 0 && !c->closing && !c->eof && !c->ending && !kafka_stopping(c->loop)) {
        if (!c->reading && !take_head(c, &bytes))
            return;
        struct kafka_call *call = c->reading;
        if (!call || bytes.size == 0)
            break;
        if (!call_add(call, &bytes)) {
            reject(c, "out of memory");
            return;
        }
        if (call->frame_have == call->frame_size) {
            c->reading = NULL;
            add_call(c, call);
        }
    }
    if (!c->closing)
        kafka_conn_advance(c);
}

static void
on_eof(void *user)
{
    struct kafka_conn *c = user;
    if (c->closing)
        return;
    c->eof = true;
    if (c->reading)
        call_end(c->reading);
    c->reading = NULL;
    c->head_size = 0;
    tell_gone(c);
    kafka_conn_advance(c);
}

static void
on_flushed(void *user)
{
    struct kafka_conn *c = user;
    if (!c->closing && (c->unsent || c->calls || c->eof))
        kafka_conn_advance(c);
}

static void
on_deadline(void *context)
{
    struct kafka_conn *c = context;
    const struct kafka_config *config = &c->loop->server->config;
    uint64_t now = net_now_ms(c->loop->net);
    account(c); /* libuv may have sent a part in the meantime */
    uint64_t deadline = c->closing ? 0 : deadline_of(c);
    if (!deadline || deadline > now)
        rearm(c);
    else if (c->unsent && c->progress_ms + config->write_timeout_ms <= now)
        reject(c, "it has not read its answers for %u ms", config->write_timeout_ms);
    else if (c->reading || c->head_size)
        reject(c, "a request has not arrived whole in time");
    else
        kafka_conn_close(c); /* idle: clients expect it, and come again */
}

/* ---- the beginning ------------------------------------------------------------------------------------------------------------------- */

static void
fill_session(struct kafka_conn *c)
{
    struct kafka_session *session = &c->session;
    size_t size = net_conn_peer(c->net, session->host);
    while (size > 0 && session->host[size - 1] != ':')
        size--;
    session->host[size ? size - 1 : 0] = '\0';
    session->logged_in = !c->loop->server->config.sasl;
    session->tls = net_conn_is_tls(c->net);
    snprintf(session->principal, sizeof session->principal, "User:ANONYMOUS");
    net_conn_local(c->net, c->host, &c->port);
}

void
kafka_conn_open(void *context, struct net_conn *net)
{
    static const struct net_conn_events events = {on_read, room_to_read, on_eof, on_flushed, on_closed};
    struct kafka_loop *loop = context;
    struct kafka_server *server = loop->server;
    struct kafka_conn *c = calloc(1, sizeof *c);
    if (!c) {
        net_conn_close(net);
        return;
    }
    c->net = net;
    c->loop = loop;
    c->calls_end = &c->calls;
    c->next = loop->conns;
    c->link = &loop->conns;
    if (c->next)
        c->next->link = &c->next;
    loop->conns = c;
    c->timer.fn = on_deadline;
    c->timer.context = c;
    c->quiet_ms = net_now_ms(loop->net);
    fill_session(c);
    kafka_count(&loop->connections);
    unsigned count = atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed) + 1;
    net_conn_start(net, &events, c);
    if (kafka_stopping(loop))
        kafka_conn_close(c);
    else if (count > server->config.connections_max)
        reject(c, "there are %u connections already", server->config.connections_max);
    rearm(c);
}

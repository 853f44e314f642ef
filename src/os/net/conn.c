/* One TCP connection: reading into the loop's buffer or its owner's room, collecting what is put, sending it at the end of the
 * round.
 *
 *   put ─► out ─(TLS: encrypt ─► cipher)─► socket        one write call as long as the socket takes all
 *                                      └─► sending ─►     the rest lies with libuv until it is writable
 *
 *   new ─► started ─► finishing (all sent, FIN) ─► closing ─► on_closed, freed
 *
 * Invariants: while `sending` is set nothing else is written, so order is kept; a connection with nothing
 * to send has no output buffer; no callback is made from inside a call of the owner; after closing is set
 * the only callback is on_closed. Owner: the loop's thread. */
#include <os/net/net_int.h>

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

struct net_sending {
    uv_write_t request;
    struct net_conn *conn;
    struct net_buf bytes;
    size_t slice; /* of the write under way */
};

struct net_conn *
net_conn_new(struct net_loop *loop, int fd, const struct sockaddr_in6 *peer, struct net_tls *tls)
{
    struct net_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    if (tls) {
        conn->session = net_session_new(tls);
        if (!conn->session) {
            free(conn);
            return NULL;
        }
    }
    conn->loop = loop;
    conn->peer = *peer;
    if (uv_tcp_init(&loop->uv, &conn->tcp) != 0 || uv_tcp_open(&conn->tcp, fd) != 0) {
        /* uv_tcp_init without a socket cannot fail, and uv_tcp_open only on a descriptor that is none. */
        net_session_free(loop, conn->session);
        free(conn);
        return NULL;
    }
    conn->tcp.data = conn;
    return conn;
}

/* ---- closing --------------------------------------------------------------------------------- */

static void
forget_dirty(struct net_conn *conn)
{
    struct net_loop *loop = conn->loop;
    struct net_conn **link = &loop->dirty;
    while (*link && *link != conn)
        link = &(*link)->dirty_next;
    if (*link)
        *link = conn->dirty_next;
    loop->dirty_end = &loop->dirty;
    while (*loop->dirty_end)
        loop->dirty_end = &(*loop->dirty_end)->dirty_next;
}

static void
on_closed(uv_handle_t *handle)
{
    struct net_conn *conn = handle->data;
    if (conn->dirty)
        forget_dirty(conn);
    if (conn->events)
        conn->events->on_closed(conn->user);
    atomic_fetch_sub_explicit(&conn->loop->conn_count, 1, memory_order_relaxed);
    net_buf_release(conn->loop, &conn->out);
    net_session_free(conn->loop, conn->session);
    free(conn);
}

void
net_conn_close(struct net_conn *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    uv_close((uv_handle_t *)&conn->tcp, on_closed); /* a write under way ends with ECANCELED before it */
}

bool
net_conn_is_open(const struct net_conn *conn)
{
    return !conn->closing;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
lend_buffer(uv_handle_t *handle, size_t wish, uv_buf_t *ret)
{
    struct net_conn *conn = handle->data;
    size_t size = 0;
    bool ask = !conn->session && !conn->closing && conn->events->room_to_read;
    char *room = ask ? conn->events->room_to_read(conn->user, &size) : NULL;
    (void)wish;
    *ret = room ? uv_buf_init(room, (unsigned)size) : uv_buf_init(conn->loop->read_buf, NET_READ_SIZE);
}

static void
on_bytes(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct net_conn *conn = stream->data;
    if (size == 0)
        return;
    if (size == UV_EOF) {
        conn->reading = false;
        net_conn_deliver_eof(conn);
        return;
    }
    if (size < 0) {
        net_conn_close(conn);
        return;
    }
    net_count(&conn->loop->in_bytes, (uint64_t)size);
    cairn_str bytes = {buf->base, (size_t)size};
    if (!conn->session) {
        conn->events->on_read(conn->user, bytes);
    } else if (!net_session_read(conn, bytes)) {
        net_conn_flush(conn); /* the alert that says why */
        net_conn_close(conn);
    }
    if (conn->fresh)
        net_conn_flush(conn); /* no need to wait for the end of the round */
}

void
net_conn_deliver(struct net_conn *conn, cairn_str bytes)
{
    if (!conn->closing)
        conn->events->on_read(conn->user, bytes);
}

void
net_conn_deliver_eof(struct net_conn *conn)
{
    if (!conn->closing)
        conn->events->on_eof(conn->user);
}

void
net_conn_start(struct net_conn *conn, const struct net_conn_events *events, void *user)
{
    conn->events = events;
    conn->user = user;
    conn->reading = true;
    if (uv_read_start((uv_stream_t *)&conn->tcp, lend_buffer, on_bytes) != 0)
        net_conn_close(conn);
}

void
net_conn_pause(struct net_conn *conn)
{
    if (conn->closing || conn->paused)
        return;
    conn->paused = true;
    uv_read_stop((uv_stream_t *)&conn->tcp);
}

void
net_conn_resume(struct net_conn *conn)
{
    if (conn->closing || !conn->paused)
        return;
    conn->paused = false;
    if (conn->reading && uv_read_start((uv_stream_t *)&conn->tcp, lend_buffer, on_bytes) != 0)
        net_conn_close(conn);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void on_sent(uv_write_t *request, int status);

static bool
send_slice(struct net_sending *sending)
{
    struct net_buf *bytes = &sending->bytes;
    sending->slice = net_buf_size(bytes) < NET_SLICE_MAX ? net_buf_size(bytes) : NET_SLICE_MAX;
    uv_buf_t slice = uv_buf_init(bytes->data + bytes->start, (unsigned)sending->slice);
    return uv_write(&sending->request, (uv_stream_t *)&sending->conn->tcp, &slice, 1, on_sent) == 0;
}

static void
end_sending(struct net_conn *conn)
{
    net_buf_release(conn->loop, &conn->sending->bytes);
    free(conn->sending);
    conn->sending = NULL;
}

static void
on_sent(uv_write_t *request, int status)
{
    struct net_sending *sending = (struct net_sending *)request;
    struct net_conn *conn = sending->conn;
    if (status != 0) {
        end_sending(conn);
        net_conn_close(conn);
        return;
    }
    net_count(&conn->loop->out_bytes, sending->slice);
    sending->bytes.start += sending->slice;
    if (net_buf_size(&sending->bytes) == 0) {
        end_sending(conn);
        net_conn_flush(conn);
        return;
    }
    if (conn->closing)
        return; /* the slice was sent, and the close comes next */
    if (!send_slice(sending)) {
        end_sending(conn);
        net_conn_close(conn);
    } else {
        conn->events->on_flushed(conn->user);
    }
}

/* The socket is full: let libuv send the rest when it can. */
static bool
start_sending(struct net_conn *conn, struct net_buf *wire)
{
    struct net_sending *sending = malloc(sizeof *sending);
    if (!sending)
        return false;
    sending->conn = conn;
    sending->bytes = *wire;
    *wire = (struct net_buf){0};
    conn->sending = sending;
    if (send_slice(sending))
        return true;
    end_sending(conn);
    return false;
}

/* What the kernel takes of these pieces now; negative when the connection is broken. */
static ssize_t
try_write(struct net_conn *conn, const uv_buf_t *pieces, unsigned count)
{
    int size = uv_try_write((uv_stream_t *)&conn->tcp, pieces, count);
    if (size == UV_EAGAIN)
        return 0;
    if (size > 0)
        net_count(&conn->loop->out_bytes, (uint64_t)size);
    return size;
}

/* Write as much as the socket takes. False: the connection is broken. */
static bool
write_out(struct net_conn *conn)
{
    for (;;) {
        if (conn->session && !net_session_encrypt(conn))
            return false;
        struct net_buf *wire = conn->session ? net_session_cipher(conn->session) : &conn->out;
        size_t size = net_buf_size(wire);
        if (size == 0)
            return true;
        uv_buf_t piece = uv_buf_init(wire->data + wire->start, (unsigned)(size < INT32_MAX ? size : INT32_MAX));
        ssize_t sent = try_write(conn, &piece, 1);
        if (sent < 0)
            return false;
        wire->start += (size_t)sent;
        if ((size_t)sent < size)
            return start_sending(conn, wire);
        net_buf_release(conn->loop, wire);
    }
}

/* Once everything has been sent: close_notify where there is TLS, then FIN. False: the connection broke. */
static bool
say_end(struct net_conn *conn)
{
    int fd;
    if (conn->finished || net_conn_unsent(conn) > 0)
        return true;
    if (conn->session) {
        net_session_goodbye(conn);
        if (!write_out(conn))
            return false;
        if (net_conn_unsent(conn) > 0)
            return true; /* again when it has gone */
    }
    conn->finished = true;
    if (uv_fileno((uv_handle_t *)&conn->tcp, &fd) == 0)
        shutdown(fd, SHUT_WR);
    return true;
}

void
net_conn_flush(struct net_conn *conn)
{
    conn->fresh = false;
    if (conn->closing)
        return;
    if (!conn->sending && (!write_out(conn) || (conn->finishing && !say_end(conn)))) {
        net_conn_close(conn);
        return;
    }
    if (conn->events)
        conn->events->on_flushed(conn->user);
}

char *
net_conn_room(struct net_conn *conn, size_t size)
{
    if (conn->closing)
        return NULL;
    if (!net_buf_reserve(conn->loop, &conn->out, size)) {
        net_conn_close(conn);
        return NULL;
    }
    return conn->out.data + conn->out.end;
}

void
net_conn_added(struct net_conn *conn, size_t size)
{
    assert(size <= conn->out.capacity - conn->out.end);
    conn->out.end += size;
    net_loop_mark(conn);
}

void
net_conn_put(struct net_conn *conn, cairn_str bytes)
{
    char *to = bytes.size ? net_conn_room(conn, bytes.size) : NULL;
    if (!to)
        return;
    memcpy(to, bytes.data, bytes.size);
    net_conn_added(conn, bytes.size);
}

void
net_conn_put_large(struct net_conn *conn, cairn_str bytes)
{
    if (conn->closing || conn->sending || conn->session) {
        net_conn_put(conn, bytes);
        return;
    }
    size_t before = net_buf_size(&conn->out);
    uv_buf_t pieces[2] = {uv_buf_init(conn->out.data + conn->out.start, (unsigned)before),
                          uv_buf_init((char *)(uintptr_t)bytes.data, (unsigned)bytes.size)};
    ssize_t sent = before < INT32_MAX && bytes.size < INT32_MAX
                       ? try_write(conn, pieces + (before == 0), before == 0 ? 1 : 2) : 0;
    if (sent < 0) {
        net_conn_close(conn);
        return;
    }
    net_loop_mark(conn);
    if ((size_t)sent < before) {
        conn->out.start += (size_t)sent;
        net_conn_put(conn, bytes);
        return;
    }
    net_buf_release(conn->loop, &conn->out);
    size_t taken = (size_t)sent - before;
    net_conn_put(conn, (cairn_str){bytes.data + taken, bytes.size - taken});
}

/* What has been put, and that more follows at once: so the front of an answer travels with the file's first bytes, and the peer is
 * woken once. False: the connection is broken. */
static bool
send_with_more(struct net_conn *conn, int fd)
{
    size_t size = net_buf_size(&conn->out);
    ssize_t sent = send(fd, conn->out.data + conn->out.start, size, MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    if (sent > 0) {
        net_count(&conn->loop->out_bytes, (uint64_t)sent);
        conn->out.start += (size_t)sent;
    }
    if (net_buf_size(&conn->out) > 0)
        return start_sending(conn, &conn->out);
    net_buf_release(conn->loop, &conn->out);
    return true;
}

size_t
net_conn_send_file(struct net_conn *conn, int file, uint64_t offset, size_t size)
{
    int fd;
    size_t done = 0;
    off_t at = (off_t)offset;
    if (conn->closing || conn->session || conn->sending || uv_fileno((uv_handle_t *)&conn->tcp, &fd) != 0)
        return 0;
    if (net_buf_size(&conn->out) > 0 && !send_with_more(conn, fd)) {
        net_conn_close(conn);
        return 0;
    }
    while (!conn->sending && done < size) {
        ssize_t sent = sendfile(fd, file, &at, size - done);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0) {
            if (sent == 0 || errno != EAGAIN) /* the file ends too early, or the connection is broken */
                net_conn_close(conn);
            break;
        }
        net_count(&conn->loop->out_bytes, (uint64_t)sent);
        done += (size_t)sent;
    }
    return done;
}

size_t
net_conn_unsent(const struct net_conn *conn)
{
    size_t size = net_buf_size(&conn->out);
    if (conn->session)
        size += net_buf_size(net_session_cipher(conn->session));
    if (conn->sending) {
        /* libuv's queue shrinks while a slice goes out bit by bit. */
        size_t rest = net_buf_size(&conn->sending->bytes) - conn->sending->slice;
        size += rest + uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp);
    }
    return size;
}

void
net_conn_finish(struct net_conn *conn)
{
    if (conn->closing || conn->finishing)
        return;
    conn->finishing = true;
    net_loop_mark(conn);
}

/* ---- what it is ------------------------------------------------------------------------------ */

bool
net_conn_is_tls(const struct net_conn *conn)
{
    return conn->session != NULL;
}

const char *
net_conn_fault(const struct net_conn *conn)
{
    return conn->fault;
}

bool
net_conn_is_h2(const struct net_conn *conn)
{
    return conn->session && net_session_is_h2(conn->session);
}

size_t
net_conn_peer(const struct net_conn *conn, char to[NET_PEER_TEXT_SIZE])
{
    char address[INET6_ADDRSTRLEN] = "?";
    int size;
    if (conn->peer.sin6_family == AF_INET6) {
        inet_ntop(AF_INET6, &conn->peer.sin6_addr, address, sizeof address);
        size = snprintf(to, NET_PEER_TEXT_SIZE, "[%s]:%u", address, ntohs(conn->peer.sin6_port));
    } else {
        struct sockaddr_in peer;
        memcpy(&peer, &conn->peer, sizeof peer);
        inet_ntop(AF_INET, &peer.sin_addr, address, sizeof address);
        size = snprintf(to, NET_PEER_TEXT_SIZE, "%s:%u", address, ntohs(peer.sin_port));
    }
    return size < 0 ? 0 : (size_t)size;
}

size_t
net_conn_local(const struct net_conn *conn, char to[NET_PEER_TEXT_SIZE], uint16_t *ret_port)
{
    struct sockaddr_in6 in6 = {0};
    struct sockaddr_in in4;
    int room = sizeof in6;
    to[0] = '\0';
    *ret_port = 0;
    if (uv_tcp_getsockname(&conn->tcp, (struct sockaddr *)&in6, &room) != 0)
        return 0;
    memcpy(&in4, &in6, sizeof in4);
    *ret_port = ntohs(in6.sin6_port); /* at the same place in both */
    if (in6.sin6_family != AF_INET6) {
        inet_ntop(AF_INET, &in4.sin_addr, to, NET_PEER_TEXT_SIZE);
    } else if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        inet_ntop(AF_INET, &in6.sin6_addr.s6_addr[12], to, NET_PEER_TEXT_SIZE);
    } else {
        inet_ntop(AF_INET6, &in6.sin6_addr, to, NET_PEER_TEXT_SIZE);
    }
    return strlen(to);
}

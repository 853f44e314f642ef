/* Accepting: one socket, watched by the first loop, and every connection handed to the loop that has
 * fewest, so that all loops share the work even when there are few connections.
 *
 *   listening ─(EMFILE, ENFILE, ENOBUFS, ENOMEM)─► resting ─(100 ms)─► listening ─► closed
 *
 * While resting the socket is not watched: a connection that cannot be accepted would otherwise wake the loop
 * for ever. It waits in the kernel's queue meanwhile. libuv's own accepting is not used because it drops
 * connections when descriptors run out. */
#include <os/net/net_int.h>

#include <arpa/inet.h>
#include <base/error.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_BATCH 64 /* in one go, then others have their turn */
#define REST_MS 100
#define BACKLOG 4096

struct net_listener {
    struct net_listen_options options;
    struct net_loop **loops;
    uv_poll_t poll;
    uv_timer_t rest;
    int fd;
    uint16_t port;
    unsigned next; /* for loops that have equally many */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, closed;
    unsigned handles_open;
    int failed;
    struct net_post_node start_node, close_node;
};

/* An accepted socket on its way to its loop. */
struct handover {
    struct net_post_node node;
    struct net_listener *listener;
    struct net_loop *loop;
    int fd;
    struct sockaddr_in6 peer;
};

static void
open_conn(struct net_listener *listener, struct net_loop *loop, int fd, const struct sockaddr_in6 *peer)
{
    struct net_conn *conn = net_conn_new(loop, fd, peer, listener->options.tls);
    if (!conn) {
        close(fd);
        atomic_fetch_sub_explicit(&loop->conn_count, 1, memory_order_relaxed);
        return;
    }
    listener->options.on_conn(loop->context, conn);
}

static void
take_over(void *context)
{
    struct handover handover = *(struct handover *)context;
    free(context);
    open_conn(handover.listener, handover.loop, handover.fd, &handover.peer);
}

static struct net_loop *
least_loaded(struct net_listener *listener)
{
    unsigned count = listener->options.loop_count;
    struct net_loop *best = NULL;
    unsigned fewest = UINT32_MAX;
    for (unsigned i = 0; i < count; i++) {
        struct net_loop *loop = listener->loops[(listener->next + i) % count];
        unsigned conns = net_loop_conns(loop);
        if (conns < fewest) {
            fewest = conns;
            best = loop;
        }
    }
    listener->next = (listener->next + 1) % count;
    return best;
}

static void
hand_over(struct net_listener *listener, int fd, const struct sockaddr_in6 *peer)
{
    struct net_loop *loop = least_loaded(listener);
    atomic_fetch_add_explicit(&loop->conn_count, 1, memory_order_relaxed);
    if (loop == listener->loops[0]) {
        open_conn(listener, loop, fd, peer);
        return;
    }
    struct handover *handover = malloc(sizeof *handover);
    if (handover) {
        *handover = (struct handover){{NULL, take_over, handover}, listener, loop, fd, *peer};
        if (net_post(loop, &handover->node))
            return;
        free(handover);
    }
    close(fd);
    atomic_fetch_sub_explicit(&loop->conn_count, 1, memory_order_relaxed);
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void
on_rested(uv_timer_t *timer)
{
    struct net_listener *listener = timer->data;
    uv_poll_start(&listener->poll, UV_READABLE, on_ready);
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
    struct net_listener *listener = poll->data;
    (void)events;
    for (int i = 0; status == 0 && i < ACCEPT_BATCH; i++) {
        union {
            struct sockaddr any;
            struct sockaddr_in6 in6;
            struct sockaddr_storage room;
        } peer;
        socklen_t size = sizeof peer;
        memset(&peer.in6, 0, sizeof peer.in6);
        int fd = accept4(listener->fd, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hand_over(listener, fd, &peer.in6);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            uv_poll_stop(poll);
            uv_timer_start(&listener->rest, on_rested, REST_MS, 0);
            return;
        }
        /* Anything else is the fate of that one connection (ECONNABORTED and the like). */
    }
}

/* ---- opening the socket ---------------------------------------------------------------------- */

static bool
parse_address(const char *text, uint16_t port, struct sockaddr_in6 *ret, socklen_t *ret_size)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(ret, &in, sizeof in);
        *ret_size = sizeof in;
        return true;
    }
    *ret = in6;
    *ret_size = sizeof in6;
    return inet_pton(AF_INET6, text, &ret->sin6_addr) == 1;
}

/* Accepted sockets inherit these from the listening one, which saves four calls a connection. */
static void
set_options(int fd)
{
    const int on = 1, idle_s = 60, interval_s = 20, probes = 3;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/* To clients on this very machine there is no network to be gentle to. Where the system's default paces what it sends (BBR), each
 * 64 KiB of an answer would cost a timer of the kernel's: half of all that sending takes. */
static void
set_local(int fd, const struct sockaddr_in6 *at)
{
    static const char PLAIN[] = "reno";
    struct sockaddr_in in;
    memcpy(&in, at, sizeof in);
    bool local = at->sin6_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&at->sin6_addr) : ntohl(in.sin_addr.s_addr) >> 24 == 127;
    if (local)
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, PLAIN, sizeof PLAIN - 1);
}

static cairn_err
open_socket(struct net_listener *listener, cairn_error *error)
{
    const char *address = listener->options.address;
    uint16_t port = listener->options.port;
    struct sockaddr_in6 at;
    socklen_t size;
    if (!parse_address(address, port, &at, &size))
        return error_set(error, CAIRN_E_INVALID, "'%s' is not a numeric IPv4 or IPv6 address to listen on", address);
    listener->fd = socket(at.sin6_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd >= 0) {
        set_options(listener->fd);
        set_local(listener->fd, &at);
    }
    if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&at, size) != 0 ||
        listen(listener->fd, BACKLOG) != 0 ||
        getsockname(listener->fd, (struct sockaddr *)&at, &size) != 0) {
        error_set_errno(error, errno, "cannot listen on %s port %u", address, port);
        return error_set(error, CAIRN_E_IO, "%s", error ? error->detail : "");
    }
    listener->port = ntohs(at.sin6_port); /* at the same place in both families */
    return CAIRN_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
tell(struct net_listener *listener, bool *what)
{
    pthread_mutex_lock(&listener->lock);
    *what = true;
    pthread_cond_broadcast(&listener->changed);
    pthread_mutex_unlock(&listener->lock);
}

static void
await(struct net_listener *listener, const bool *what)
{
    pthread_mutex_lock(&listener->lock);
    while (!*what)
        pthread_cond_wait(&listener->changed, &listener->lock);
    pthread_mutex_unlock(&listener->lock);
}

static void
start_here(void *context)
{
    struct net_listener *listener = context;
    uv_loop_t *uv = &listener->loops[0]->uv;
    listener->failed = uv_poll_init(uv, &listener->poll, listener->fd);
    if (listener->failed == 0) {
        listener->handles_open = 2;
        uv_timer_init(uv, &listener->rest);
        listener->poll.data = listener->rest.data = listener;
        listener->failed = uv_poll_start(&listener->poll, UV_READABLE, on_ready);
    }
    tell(listener, &listener->started);
}

static void
on_handle_closed(uv_handle_t *handle)
{
    struct net_listener *listener = handle->data;
    if (--listener->handles_open > 0)
        return;
    close(listener->fd);
    listener->fd = -1;
    tell(listener, &listener->closed);
}

static void
close_here(void *context)
{
    struct net_listener *listener = context;
    uv_close((uv_handle_t *)&listener->poll, on_handle_closed);
    uv_close((uv_handle_t *)&listener->rest, on_handle_closed);
}

cairn_err
net_listen(const struct net_listen_options *options, struct net_listener **ret, cairn_error *error)
{
    struct net_listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a listener");
    listener->fd = -1;
    listener->options = *options;
    pthread_mutex_init(&listener->lock, NULL);
    pthread_cond_init(&listener->changed, NULL);

    cairn_err err = CAIRN_E_NOMEM;
    listener->loops = calloc(options->loop_count, sizeof(struct net_loop *));
    if (!listener->loops) {
        error_set(error, err, "no memory for a listener");
        goto failed;
    }
    memcpy(listener->loops, options->loops, options->loop_count * sizeof(struct net_loop *));
    err = open_socket(listener, error);
    if (err != CAIRN_OK)
        goto failed;
    listener->start_node = (struct net_post_node){NULL, start_here, listener};
    if (!net_post(listener->loops[0], &listener->start_node)) {
        err = error_set(error, CAIRN_E_CLOSED, "the event loop has stopped");
        goto failed;
    }
    await(listener, &listener->started);
    if (listener->failed) {
        err = error_set_errno(error, -listener->failed, "cannot watch the listening socket");
        if (listener->handles_open)
            net_listener_close(listener);
        goto failed;
    }
    *ret = listener;
    return CAIRN_OK;

failed:
    net_listener_free(listener);
    return err;
}

uint16_t
net_listener_port(const struct net_listener *listener)
{
    return listener->port;
}

void
net_listener_close(struct net_listener *listener)
{
    if (!listener || listener->closed)
        return;
    listener->close_node = (struct net_post_node){NULL, close_here, listener};
    if (net_post(listener->loops[0], &listener->close_node))
        await(listener, &listener->closed);
}

void
net_listener_free(struct net_listener *listener)
{
    if (!listener)
        return;
    if (listener->fd >= 0)
        close(listener->fd);
    pthread_cond_destroy(&listener->changed);
    pthread_mutex_destroy(&listener->lock);
    free(listener->loops);
    free(listener);
}

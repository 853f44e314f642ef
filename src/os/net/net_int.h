/* os/net/net_int.h: what the files of this room share and nobody else sees. */
#ifndef OS_NET_NET_INT_H
#define OS_NET_NET_INT_H

#include <os/net/net.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#define NET_READ_SIZE ((size_t)65536)   /* one buffer a loop, lent to the connection that reads */
#define NET_BUF_SIZE ((size_t)16384)    /* the usual output buffer; idle connections have none */
#define NET_SPARE_BUFS 64               /* kept by a loop for reuse */
#define NET_SLICE_MAX ((size_t)262144)  /* queued to the kernel at once, so that progress is seen */
#define NET_TIMER_SLOTS 512u
#define NET_TIMER_TICK_MS 16u

/* Bytes waiting to be sent: data[start, end). */
struct net_buf {
    char *data;
    size_t start, end, capacity;
};

struct net_wheel {
    struct net_timer *slots[NET_TIMER_SLOTS];
    uint64_t occupied[NET_TIMER_SLOTS / 64]; /* a bit a slot */
    uint64_t tick;                           /* every slot before this one has been served */
    uint64_t wake_tick;                      /* the uv timer is set for it; UINT64_MAX: it is not */
    unsigned count;
    uv_timer_t timer;
};

struct net_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_idle_t no_sleep; /* active while there is work that no event will announce */
    pthread_t thread;
    bool joined, stopping;
    char name[16];
    void (*after_events)(void *context);
    void *context;

    _Atomic(struct net_post_node *) posted; /* a stack; &closed_mark once posts are refused */
    atomic_uint posters; /* threads inside net_post() */
    atomic_uint conn_count;
    unsigned holds;
    _Atomic uint32_t drain; /* how far net_loops_drain() has come: enum net_drain */
    void (*tell)(void *context);
    struct net_post_node tell_node;
    atomic_uint_fast64_t in_bytes, out_bytes;

    struct net_conn *dirty, **dirty_end; /* have been given bytes in this round */
    bool again;
    struct net_wheel wheel;
    char *read_buf, *plain_buf; /* ciphertext or plain bytes; decrypted bytes */
    char *spare[NET_SPARE_BUFS];
    unsigned spare_count;
};

struct net_sending;
struct net_session; /* a connection's TLS state */

struct net_conn {
    uv_tcp_t tcp;
    struct net_loop *loop;
    const struct net_conn_events *events;
    void *user;
    struct net_buf out;          /* put and not yet encrypted or sent */
    struct net_sending *sending; /* lies with libuv because the socket was full */
    struct net_session *session; /* NULL: plain */
    struct net_conn *dirty_next;
    const char *fault;        /* net_conn_fault() */
    struct sockaddr_in6 peer; /* or a sockaddr_in, which is smaller */
    bool dirty; /* lies in the loop's list of those to flush */
    bool fresh; /* has something that no flush has seen */
    bool closing, finishing, finished, paused, reading;
};

/* loop.c */
enum net_drain { DRAIN_NONE, DRAIN_ASKED, DRAIN_TOLD, DRAIN_EMPTY };
static inline unsigned
net_loop_conns(const struct net_loop *loop)
{
    return atomic_load_explicit(&loop->conn_count, memory_order_relaxed);
}
void net_loop_mark(struct net_conn *conn); /* to be flushed when the round ends */
void net_count(atomic_uint_fast64_t *counter, uint64_t more);

/* buf.c: buffers of NET_BUF_SIZE come from the loop's spares, larger ones from malloc. */
bool net_buf_reserve(struct net_loop *loop, struct net_buf *buf, size_t more);
void net_buf_release(struct net_loop *loop, struct net_buf *buf);
void net_buf_free_spares(struct net_loop *loop);
static inline size_t net_buf_size(const struct net_buf *buf) { return buf->end - buf->start; }

/* timer.c */
int net_wheel_init(struct net_loop *loop);

/* conn.c */
struct net_conn *net_conn_new(struct net_loop *loop, int fd, const struct sockaddr_in6 *peer,
                              struct net_tls *tls);
void net_conn_flush(struct net_conn *conn);
void net_conn_deliver(struct net_conn *conn, cairn_str bytes);
void net_conn_deliver_eof(struct net_conn *conn);

/* tls.c */
struct net_session *net_session_new(struct net_tls *tls);
void net_session_free(struct net_loop *loop, struct net_session *session);
/* Feed ciphertext; deliver what it decrypts to. False: the connection must be closed (after a flush). */
bool net_session_read(struct net_conn *conn, cairn_str cipher);
/* Move plain bytes of conn->out into the session's buffer as ciphertext, a bounded amount. */
bool net_session_encrypt(struct net_conn *conn);
void net_session_goodbye(struct net_conn *conn); /* close_notify */
struct net_buf *net_session_cipher(struct net_session *session);
bool net_session_is_h2(const struct net_session *session);

#endif

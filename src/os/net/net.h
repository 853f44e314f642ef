/* os/net/net.h: event loops, TCP and TLS connections, timers, posting between threads, blocking work.
 *
 * A loop is one thread. A connection, a timer and a periodic call belong to one loop for good, and every
 * call on them is made on that loop's thread; the callbacks come there too, never from inside a call that
 * the owner makes. What any thread may call says so: net_post, net_every, net_pool_run, starting and
 * stopping. */
#ifndef OS_NET_NET_H
#define OS_NET_NET_H

#include <base/bytes.h>
#include <sys/uio.h>

struct net_loop;
struct net_listener;
struct net_conn;
struct net_tls;
struct net_pool;

/* Once, before anything else: SIGPIPE is ignored and the soft limit of descriptors raised to the hard
 * one. Returns that limit. */
unsigned net_prepare_process(void);
unsigned net_processors(void);

/* ---- loops ----------------------------------------------------------------------------------- */

/* Start a loop and its thread. after_events(context), where given, runs on the thread after each round of
 * events and before what connections have been given is written out: the place for work put off. */
CAIRN_MUST_CHECK cairn_err net_loop_start(const char *name, void (*after_events)(void *context),
                                          void *context, struct net_loop **ret, cairn_error *error);
/* Refuse new posts, run the ones accepted, close what is left open, end the thread, join it. Not on a loop's
 * thread. The memory stays until net_loop_free(), so that late posts are refused rather than lost. */
void net_loop_stop(struct net_loop *loop);
void net_loop_free(struct net_loop *loop);
bool net_loop_is_here(const struct net_loop *loop); /* the calling thread is the loop's */
uint64_t net_now_ms(const struct net_loop *loop);   /* monotonic, as of this round */
/* What its owner still has to do with keeps a loop from being empty: a request that somebody else will answer. The loop's thread. */
void net_loop_hold(struct net_loop *loop);
void net_loop_release(struct net_loop *loop);
/* The polite end, before net_loop_stop(): run tell(context) on each loop's thread, then wait until all of them are empty, without
 * connections and holds. False: they are not after wait_ms; tell may be harsher the next time. Not on a loop's thread. */
bool net_loops_drain(struct net_loop *const *loops, unsigned count, void (*tell)(void *context), unsigned wait_ms);

/* Run node->fn(node->context) on the loop's thread, in the order of posting. Any thread; lock-free; one
 * wake-up however many are waiting. False when the loop has stopped: fn will not run. The node is the
 * caller's and borrowed until fn is called. */
struct net_post_node {
    struct net_post_node *next;
    void (*fn)(void *context);
    void *context;
};
bool net_post(struct net_loop *loop, struct net_post_node *node);

/* Call fn every period_ms until the loop stops. Any thread. False when out of memory or stopped. */
bool net_every(struct net_loop *loop, unsigned period_ms, void (*fn)(void *context), void *context);

/* Run fn with the next round's after_events without waiting for an event first. */
void net_loop_again(struct net_loop *loop);

/* ---- timers ---------------------------------------------------------------------------------- */

/* A deadline, embedded in what it guards: zero it, set fn and context. Precision: 16 ms, never early.
 * Moving a deadline later is one store, so a timer may follow every request. */
struct net_timer {
    struct net_timer *next, **link;
    uint64_t at_ms;
    uint64_t tick; /* the slot it lies in */
    void (*fn)(void *context);
    void *context;
};
void net_timer_set(struct net_loop *loop, struct net_timer *timer, uint64_t at_ms);
void net_timer_clear(struct net_loop *loop, struct net_timer *timer);
static inline bool net_timer_is_set(const struct net_timer *timer) { return timer->at_ms != 0; }

/* ---- connections ----------------------------------------------------------------------------- */

/* TLS 1.2 and later with ALPN h2 and http/1.1. client_ca_file: require certificates signed by it. */
CAIRN_MUST_CHECK cairn_err net_tls_new(const char *cert_file, const char *key_file,
                                       const char *client_ca_file, struct net_tls **ret,
                                       cairn_error *error);
void net_tls_free(struct net_tls *tls);

/* Accept on the first loop, hand each connection to the loop that has fewest. on_conn(the loop's context, …) runs on the
 * connection's loop and calls net_conn_start() or net_conn_close(). When descriptors run out, accepting
 * rests for a moment and then goes on. */
struct net_listen_options {
    const char *address; /* numeric, IPv4 or IPv6 */
    uint16_t port;       /* 0: any free one */
    struct net_loop *const *loops;
    unsigned loop_count;
    struct net_tls *tls; /* NULL: plain */
    void (*on_conn)(void *context, struct net_conn *conn);
};
CAIRN_MUST_CHECK cairn_err net_listen(const struct net_listen_options *options,
                                      struct net_listener **ret, cairn_error *error);
uint16_t net_listener_port(const struct net_listener *listener);
/* Stop accepting. Before the loops are stopped, not on a loop's thread; connections handed over already
 * may still arrive. */
void net_listener_close(struct net_listener *listener);
/* After the loops have been stopped. */
void net_listener_free(struct net_listener *listener);

struct net_conn_events {
    /* Bytes (decrypted) have arrived; borrowed until return. */
    void (*on_read)(void *user, cairn_str bytes);
    /* Where the next bytes may go straight from the socket, at most *ret_size of them; on_read then says how many came. NULL, or
     * no such event: into the loop's own buffer. Not asked where the connection is encrypted. */
    char *(*room_to_read)(void *user, size_t *ret_size);
    /* The peer will send no more. Writing is still possible. */
    void (*on_eof)(void *user);
    /* What was put has gone to the kernel, or a part of it, or it waits behind what has not: see
     * net_conn_unsent(). */
    void (*on_flushed)(void *user);
    /* The last call: the connection is closed, for whatever reason, and `conn` invalid afterwards. */
    void (*on_closed)(void *user);
};
void net_conn_start(struct net_conn *conn, const struct net_conn_events *events, void *user);

/* Room for `size` more bytes behind what has been put: write there, then net_conn_added(). NULL when out
 * of memory (the connection then closes). Valid until the next call on conn. What was put is sent after
 * the callback or round of events in which it was put: one system call however many pieces. */
char *net_conn_room(struct net_conn *conn, size_t size);
void net_conn_added(struct net_conn *conn, size_t size);
void net_conn_put(struct net_conn *conn, cairn_str bytes);
/* The same for large pieces: tries to send at once together with what was put before, and copies only what
 * the kernel did not take. */
void net_conn_put_large(struct net_conn *conn, cairn_str bytes);

/* Give the socket what it takes now straight from a file (os_descriptor()), behind what has been put. Returns how much; 0:
 * nothing, since the socket is full or the connection is encrypted: put a piece of it instead, and go on in on_flushed.
 * The kernel reads the file here and now, on the loop's thread. */
size_t net_conn_send_file(struct net_conn *conn, int file, uint64_t offset, size_t size);

size_t net_conn_unsent(const struct net_conn *conn); /* put, and not yet taken by the kernel */
/* Stop and go on reading. Bytes read before (at most 64 KiB, or a TLS record) may still arrive. */
void net_conn_pause(struct net_conn *conn);
void net_conn_resume(struct net_conn *conn);
/* Send what was put, then tell the peer that no more comes. Reading goes on until net_conn_close(). */
void net_conn_finish(struct net_conn *conn);
/* Close now; on_closed follows later, no other callback. Twice is fine. */
void net_conn_close(struct net_conn *conn);
bool net_conn_is_open(const struct net_conn *conn); /* neither closed nor closing */

bool net_conn_is_tls(const struct net_conn *conn);
/* In on_closed: what was wrong with the peer's TLS, in OpenSSL's static words, where that ended the connection; or NULL. */
const char *net_conn_fault(const struct net_conn *conn);
bool net_conn_is_h2(const struct net_conn *conn); /* chosen by ALPN */
/* "127.0.0.1:51234", "[::1]:51234"; returns the length. */
#define NET_PEER_TEXT_SIZE 64
size_t net_conn_peer(const struct net_conn *conn, char to[NET_PEER_TEXT_SIZE]);
/* The address and port by which the peer came to us, the address without brackets: "127.0.0.1", "::1"; IPv4 that came through
 * an IPv6 socket is written as IPv4. Returns the address's length; 0 (and port 0) when the connection is broken. */
size_t net_conn_local(const struct net_conn *conn, char to[NET_PEER_TEXT_SIZE], uint16_t *ret_port);

/* Bytes moved by a loop's connections since it started; any thread. */
void net_loop_traffic(const struct net_loop *loop, uint64_t *ret_in_bytes, uint64_t *ret_out_bytes);

/* ---- blocking work --------------------------------------------------------------------------- */

/* Threads for calls that block, and a bounded queue in front of them. */
CAIRN_MUST_CHECK cairn_err net_pool_start(unsigned threads, unsigned queue_max, struct net_pool **ret,
                                          cairn_error *error);
/* Run work(context) on a pool thread, then done(context), where there is one, on the loop's. Any thread. False when queue_max
 * jobs are waiting or running, or the pool is stopping. */
bool net_pool_run(struct net_pool *pool, struct net_loop *loop, void (*work)(void *context),
                  void (*done)(void *context), void *context);
/* Finish what was accepted and join the threads. Before the loops are stopped, so that every done runs. */
void net_pool_stop(struct net_pool *pool);
/* After the loops have been stopped. */
void net_pool_free(struct net_pool *pool);

#endif

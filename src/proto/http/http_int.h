/* proto/http/http_int.h: what the machinery's files share and the API does not see.
 *
 *   net_conn ─► conn.c ─┬─► h1.c ─┐                 ┌─► exchange.c (http_respond, http_write …)
 *                       └─► h2.c ─┴─► the handler ──┘        back through struct http_protocol
 *
 * Everything here belongs to one loop's thread, except what says atomic. */
#ifndef PROTO_HTTP_HTTP_INT_H
#define PROTO_HTTP_HTTP_INT_H

#include <os/net/net.h>
#include <proto/http/h1_parse.h>
#include <proto/http/http.h>
#include <proto/http/problem.h>

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

struct http_conn;
struct h2;

#define HTTP_LOOPS_MAX 64
#define HTTP_LINGER_MS 2000         /* how long a peer may go on sending after its last answer */
#define HTTP_BODY_RATE 16           /* bytes a millisecond that a body must keep after its first timeout */
#define HTTP_KEEP_BYTES ((size_t)16384) /* memory that a pooled exchange may keep */
#define HTTP_SPARE_EXCHANGES 128
#define HTTP_DATE_SIZE 29           /* "Sun, 06 Nov 1994 08:49:37 GMT" */

enum exchange_state {
    X_READING,   /* the request is not complete */
    X_HANDLING,  /* the handler has it, no answer has begun */
    X_STREAMING, /* http_begin, not yet http_end */
    X_ANSWERED,  /* nothing more to say; HTTP/2 may still be sending */
};

struct http_pair {
    cairn_str name, value; /* in the arena; names in lower case */
};

/* References: one of the protocol until the exchange is over, one each http_hold(), one while the
 * handler or on_close runs. */
struct http_exchange {
    struct http_loop *loop;
    struct http_conn *conn; /* NULL once it is over */
    struct http_exchange *next, **link; /* of the connection; `next` also in the loop's lists */
    struct arena arena;
    unsigned refs;
    enum exchange_state state;
    bool head_only;    /* HEAD: no body goes out */
    bool event_stream; /* ends when the server stops */
    bool want_drain, gone, close_due;

    cairn_str method, path, query;
    struct http_pair *headers;
    size_t header_count, header_room, header_bytes;
    struct buf body;
    size_t charged_bytes; /* of the server's body budget */
    uint64_t body_since_ms, body_progress_ms;

    http_event on_drain, on_close;
    void *context;

    /* HTTP/2 */
    int32_t stream_id;
    struct buf out; /* out[out_start, size) is unsent */
    size_t out_start;
    uint64_t progress_ms;
    int64_t content_length;
    bool head_done, request_ended, out_ended, deferred, refused, no_more_headers, expects;
};

/* What the two protocols do, each its own way. */
struct http_protocol {
    void (*input)(struct http_conn *c, cairn_str bytes);
    void (*eof)(struct http_conn *c);
    void (*work)(struct http_conn *c);    /* after conn_wake() */
    void (*flushed)(struct http_conn *c);
    uint64_t (*deadline)(struct http_conn *c); /* 0: none */
    void (*expired)(struct http_conn *c);
    void (*stop)(struct http_conn *c); /* the server is stopping: end what need not go on */
    void (*free)(struct http_conn *c);
    void (*respond)(struct http_exchange *x, int status, const struct http_field *fields,
                    size_t field_count, cairn_str body);
    void (*begin)(struct http_exchange *x, int status, const struct http_field *fields,
                  size_t field_count);
    bool (*write)(struct http_exchange *x, cairn_str bytes);
    void (*end)(struct http_exchange *x);
};
extern const struct http_protocol h1_protocol, h2_protocol;

struct http_conn {
    struct net_conn *net;
    struct http_loop *loop;
    struct http_conn *next, **link; /* of the loop */
    struct http_conn *ready_next;
    struct http_conn *slow_next, **slow_link; /* of those with unsent bytes, longest without progress first */
    const struct http_protocol *protocol;     /* NULL until the first bytes tell */
    struct http_exchange *exchanges;          /* HTTP/1.1: at most one */
    struct net_timer timer;
    size_t unsent;        /* as last accounted: for the socket and in HTTP/2 streams */
    size_t socket_unsent; /* the part of it that waits for the socket */
    size_t stream_bytes;  /* unsent in HTTP/2 streams, now */
    uint64_t progress_ms; /* the last time that unsent bytes went */
    uint64_t quiet_ms;    /* the last time that something was asked or answered */
    uint64_t since_ms;    /* the first byte of the head being read */
    bool ready, eof, closing, lingering, asked;

    /* HTTP/1.1 */
    struct buf in; /* read, not yet used: a part of a head, or pipelined requests */
    size_t in_charged;
    struct h1_head *partial; /* the head that `in` begins with, as far as it was read */
    struct h1_body body;
    bool keep_alive, inside, paused;
    uint8_t minor;
    bool chunked_out;

    struct h2 *h2;
};

struct http_loop {
    struct http_server *server;
    struct net_loop *net;
    unsigned index;
    struct http_conn *conns, *ready;
    struct http_conn *slow, **slow_end;
    struct http_exchange *closing, **closing_end; /* on_close is due */
    struct http_exchange *spare;
    unsigned spare_count;
    struct h1_head *scratch;
    char date[HTTP_DATE_SIZE + 1];
    uint64_t date_ms;
    atomic_uint_fast64_t requests, rejected, connections;
};

struct http_server {
    struct http_config config; /* defaults filled in; strings are the caller's and not used after start */
    struct h1_limits limits;
    struct net_tls *tls;
    struct net_listener *listener;
    struct net_pool *pool, *waiters;
    struct http_loop loops[HTTP_LOOPS_MAX];
    struct net_loop *nets[HTTP_LOOPS_MAX]; /* theirs */
    atomic_uint connections;
    atomic_size_t body_bytes;
    atomic_size_t unsent; /* bytes of all connections */
    atomic_int stopping; /* 1: ending politely, 2: everything is cut */
};

static inline void
http_count(atomic_uint_fast64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static inline bool
is_stopping(const struct http_loop *loop)
{
    return atomic_load_explicit(&loop->server->stopping, memory_order_relaxed) != 0;
}

/* server.c */
/* Take from the budget for request bytes in memory. False: there is too much already. */
bool body_charge(struct http_loop *loop, size_t bytes);
void body_discharge(struct http_loop *loop, size_t bytes);
void loop_after_events(void *context);
const char *loop_date(struct http_loop *loop); /* HTTP_DATE_SIZE characters */

/* conn.c */
void conn_open(void *loop, struct net_conn *net);
void conn_close(struct http_conn *c); /* now, and whatever was unsent is lost */
void conn_linger(struct http_conn *c); /* after the last answer: send, say so, close when the peer has */
void conn_wake(struct http_conn *c);  /* call protocol->work when this round of events is over */
void conn_account(struct http_conn *c); /* unsent bytes have changed */
void conn_rearm(struct http_conn *c);   /* set the timer for the next deadline */
void conn_work(struct http_loop *loop); /* serve those that were woken */

/* exchange.c */
struct http_exchange *exchange_new(struct http_conn *c); /* NULL: out of memory */
bool exchange_add_header(struct http_exchange *x, cairn_str name, cairn_str value);
/* Add to the body within the bounds. CAIRN_E_LIMIT: body_max; CAIRN_E_BUSY: bodies_max; CAIRN_E_NOMEM. */
cairn_err exchange_add_body(struct http_exchange *x, cairn_str bytes);
void exchange_dispatch(struct http_exchange *x);
/* The protocol has done with it. gone: the peer, before all was said. Drops the protocol's reference. */
void exchange_over(struct http_exchange *x, bool gone);
void exchange_unref(struct http_exchange *x);
void exchange_run_closing(struct http_loop *loop); /* the on_close calls that are due */
void exchange_free_spares(struct http_loop *loop);
void exchange_drained(struct http_exchange *x); /* calls on_drain where it is wanted */

/* refuse.c */
extern const struct problem_kind refuse_timeout, refuse_too_large, refuse_too_many, refuse_internal;
/* The kind for a status that the parser chose. */
const struct problem_kind *refuse_kind(int status);
/* Answer an exchange that the handler has not seen. */
void refuse_exchange(struct http_exchange *x, const struct problem_kind *kind, const char *detail);
/* The same on an HTTP/1.1 connection without an exchange, and end it. */
void refuse_conn(struct http_conn *c, const struct problem_kind *kind, const char *detail);
void refuse_body(struct http_exchange *x, cairn_err err); /* what exchange_add_body() returned */

/* h1.c: what refuse_conn and the upgrade need */
void h1_put_response(struct http_conn *c, unsigned minor, int status, const struct http_field *fields,
                     size_t field_count, cairn_str body, bool head_only, bool keep_alive);
bool is_bodiless(int status); /* 1xx, 204, 304 */

/* h2.c */
bool h2_start(struct http_conn *c); /* false: out of memory, and the connection is closing */
/* Go on as HTTP/2 with x as stream 1. False: the settings are malformed, and nothing has changed. */
bool h2_upgrade(struct http_conn *c, struct http_exchange *x, cairn_str settings, bool head_request);

#endif

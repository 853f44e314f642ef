/* proto/http/http.h: an HTTP server: HTTP/1.1 and HTTP/2 (prior knowledge, upgrade, ALPN) on one port,
 * with TLS by configuration. What the paths mean is the API's business (api.h); here are bytes.
 *
 * Threads. A server runs `loops` event loops, each on a thread of its own; a connection and its
 * exchanges live on one loop for good. Every call on an exchange is made on its loop's thread, where the
 * handler is called too; from elsewhere use http_post(). Handlers must not block: long work goes
 * to http_work().
 *
 * Life of an exchange:  headers+body read ─► handler ─► http_respond, or http_begin, http_write…, http_end
 *                       peer goes away at any time ─► on_close once, then writes do nothing
 * An exchange lives until it has been answered (or the peer is gone) and http_hold()s are released, and never
 * less than until the handler returns. What the request's calls return lives as long. A handler that neither
 * answers nor holds has its exchange answered with 500.
 *
 * Bounds: header bytes, header count, target length, body size, bodies in memory at once, connections,
 * streams a connection, bytes buffered for a slow reader, time for headers, body, idle. A bound that is
 * reached is answered (400, 408, 413, 414, 429, 431, 503 as RFC 9457 problems) or the connection closed. */
#ifndef PROTO_HTTP_HTTP_H
#define PROTO_HTTP_HTTP_H

#include <base/arena.h>
#include <base/bytes.h>

struct http_server;
struct http_exchange;
struct http_loop;

typedef void (*http_handler)(void *context, struct http_exchange *exchange);

struct http_config {
    const char *address;      /* "127.0.0.1", "::1", "0.0.0.0" */
    uint16_t port;            /* 0: any free one, see http_server_port */
    const char *tls_cert_file, *tls_key_file; /* PEM; both or neither */
    const char *tls_client_ca_file;           /* PEM: require client certificates */
    unsigned loops;           /* (number of processors, at most 8) */
    size_t body_max;          /* (24 MiB) */
    size_t bodies_max;        /* (256 MiB) all request bodies in memory */
    size_t header_max;        /* (16 KiB) request line and headers */
    unsigned headers_max;     /* (100) */
    unsigned connections_max; /* (descriptor limit less 200) */
    unsigned streams_max;     /* (128) HTTP/2 streams a connection */
    size_t write_buffer_max;  /* (1 MiB) unsent bytes of a stream before it counts as slow */
    size_t unsent_max;        /* (256 MiB) unsent bytes of all; beyond, the slowest readers are cut off */
    unsigned header_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms; /* (10 s, 30 s, 75 s, 30 s) */
    http_handler handler;
    void *context;
};

/* Listen and start the loops' threads. CAIRN_E_IO with the address and reason when it cannot. */
CAIRN_MUST_CHECK cairn_err http_server_start(const struct http_config *config,
                                             struct http_server **ret, cairn_error *error);
uint16_t http_server_port(const struct http_server *server);
/* Stop accepting, let exchanges in progress finish for up to grace_ms (streams are ended), close, join
 * the threads, free. */
void http_server_stop(struct http_server *server, unsigned grace_ms);

/* ---- the request -------------------------------------------------------------------------- */

cairn_str http_method(const struct http_exchange *x);    /* "GET" */
cairn_str http_path(const struct http_exchange *x);      /* as sent, still percent-encoded, without query */
cairn_str http_query_text(const struct http_exchange *x); /* after '?', still encoded */
/* Header by lower-case name; repeated ones joined by ", ". {NULL,0} when absent. */
cairn_str http_header(const struct http_exchange *x, const char *name);
/* All headers in order, for those that carry meaning in their names (ce-*). False at the end. */
bool http_header_at(const struct http_exchange *x, size_t index, cairn_str *ret_name, cairn_str *ret_value);
cairn_str http_body(const struct http_exchange *x);
cairn_str http_peer(const struct http_exchange *x);  /* "127.0.0.1:51234" */
bool http_is_tls(const struct http_exchange *x);
struct arena *http_arena(struct http_exchange *x);   /* freed with the exchange */

/* ---- the response --------------------------------------------------------------------------- */

struct http_field {
    const char *name; /* lower case */
    cairn_str value;
};

/* Answer whole. Everything is borrowed until return. content-length, date and connection are added. For
 * HEAD the body is left out. */
void http_respond(struct http_exchange *x, int status, const struct http_field *fields,
                  size_t field_count, cairn_str body);

/* Answer in pieces (chunked, DATA frames, or to the connection's end for HTTP/1.0). on_close is called once when the
 * exchange is over, whoever ended it, last of all; on_drain whenever the unsent bytes have fallen below half of
 * write_buffer_max after http_write has returned false. Both come from the loop, never from inside a call made here.
 * The answer to HEAD is over at once. Event streams (content-type text/event-stream) are ended when the server
 * stops; other streams have until grace_ms, and are then cut without their end, so that a client can tell. */
typedef void (*http_event)(void *context, struct http_exchange *x);
void http_begin(struct http_exchange *x, int status, const struct http_field *fields,
                size_t field_count, http_event on_drain, http_event on_close, void *context);
/* Copies. False: enough for now, wait for on_drain (the bytes were taken all the same), or the peer is gone. */
bool http_write(struct http_exchange *x, cairn_str bytes);
void http_end(struct http_exchange *x);

/* Keep an exchange alive for an answer that comes later (an append's completion). While held, `x` is valid
 * even when the peer is gone; answers to it then do nothing. Release on the loop's thread. */
void http_hold(struct http_exchange *x);
void http_release(struct http_exchange *x);
bool http_is_gone(const struct http_exchange *x);

/* ---- loops ------------------------------------------------------------------------------------ */

struct http_loop *http_loop_of(struct http_exchange *x);
struct http_loop *http_loop_at(struct http_server *server, unsigned index); /* NULL past the last */
unsigned http_loop_index(const struct http_loop *loop);
/* Run fn(context) on the loop's thread soon; from any thread, never blocks; cheap when many are posted at
 * once (one wake-up). False when the server is stopping: fn will not be called. `node` is caller's memory,
 * borrowed until fn runs: no allocation, no queue bound to overrun. */
struct http_post_node {
    struct http_post_node *next;
    void (*fn)(void *context);
    void *context;
};
bool http_post(struct http_loop *loop, struct http_post_node *node);
/* Run work(context) on a pool thread, then done(context) on this loop's thread. False when the
 * bounded queue is full (answer 429 with Retry-After). */
bool http_work(struct http_loop *loop, void (*work)(void *context), void (*done)(void *context), void *context);
/* The same for work that may wait for others or take seconds, such as an app's query: on threads of its own, so that what only
 * reads the disk is never behind it. */
bool http_work_long(struct http_loop *loop, void (*work)(void *context), void (*done)(void *context), void *context);
/* Call fn every period_ms on the loop's thread until the server stops. Any thread. False when out of memory or
 * stopped. */
bool http_every(struct http_loop *loop, unsigned period_ms, void (*fn)(void *context), void *context);

/* For /metrics. */
struct http_server_stats {
    uint64_t connections, connections_total, requests_total, bytes_in_total, bytes_out_total;
    uint64_t rejected_total; /* by a bound */
    uint64_t body_bytes;     /* in memory now */
};
void http_server_stats(struct http_server *server, struct http_server_stats *ret);

#endif

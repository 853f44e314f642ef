/* proto/kafka/kafka.h: a server for Kafka's clients, on a broker (topic/broker.h) and its groups (topic/groups.h).
 *
 * Start it, stop it, ask how it fares. What the calls do is in calls_*.c; what they look like on the wire in messages.def.
 *
 * Bounds: one request, all requests in memory, calls a connection has begun, connections, unsent bytes, time for a request to
 * arrive, idle time, time without progress for a slow reader. A connection that reaches one rests (it is not read) or is closed. */
#ifndef PROTO_KAFKA_KAFKA_H
#define PROTO_KAFKA_KAFKA_H

#include <cairn/types.h>

struct broker;
struct groups_broker;
struct kafka_server;
struct kafka_sasl;
struct kafka_calls;

/* All that is served. */
extern const struct kafka_calls kafka_calls;

struct kafka_config {
    const char *address;         /* "127.0.0.1", "::1", "0.0.0.0" */
    uint16_t port;               /* 0: any free one, see kafka_server_port */
    const char *advertised_host; /* (the address by which the client came) */
    uint16_t advertised_port;    /* (the port by which it came) */
    const char *tls_cert_file, *tls_key_file; /* PEM; both or neither */
    const char *tls_client_ca_file;           /* PEM: require client certificates */
    const char *cluster_id;      /* up to 64 characters */
    unsigned loops;              /* (number of processors, at most 8) */
    unsigned threads;            /* (8) for calls that block */
    unsigned connections_max;    /* (descriptor limit less 200) */
    unsigned calls_max;          /* (64) that one connection may have begun, or sent ahead */
    size_t request_max;          /* (100 MiB) kafka.request_size: one request */
    size_t login_request_max;    /* (512 KiB) one request before the client has logged in, where it must */
    size_t requests_max;         /* (256 MiB) all requests in memory */
    uint64_t produce_rate, fetch_rate; /* (none) bytes a second of one connection, at most RATE_MAX; 0: none */
    size_t unsent_max;           /* (256 MiB) answers in memory and not yet sent, of all; beyond, the slowest readers are cut off */
    unsigned request_timeout_ms, idle_timeout_ms, write_timeout_ms; /* (30 s, 10 min, 30 s) */
    const struct kafka_sasl *sasl; /* who may log in; NULL: everybody, without */
    struct broker *broker;
    struct groups_broker *groups;
    const struct kafka_calls *calls; /* &kafka_calls; tests have others */
    /* One line about a client that is at fault; a few a second at most. Any thread. NULL: nobody wants to know. */
    void (*log)(void *context, const char *line);
    void *log_context;
};

/* Listen and start the loops' threads. CAIRN_E_IO with the address and reason when it cannot. What config points to, except
 * strings, is borrowed until the server has stopped. */
CAIRN_MUST_CHECK cairn_err kafka_server_start(const struct kafka_config *config, struct kafka_server **ret, cairn_error *error);
uint16_t kafka_server_port(const struct kafka_server *server);
/* Stop accepting, answer the calls that have begun for up to grace_ms, close, join the threads, free. Broker and groups are
 * still needed until it returns. NULL is fine. */
void kafka_server_stop(struct kafka_server *server, unsigned grace_ms);

/* For /metrics. */
struct kafka_server_stats {
    uint64_t connections, connections_total, calls_total, bytes_in_total, bytes_out_total;
    uint64_t rejected_total; /* connections closed by a bound or a fault */
    uint64_t denied_total;   /* logins and TLS handshakes that failed */
    uint64_t throttled_total, throttled_ms_total; /* how often a connection had to wait because of its rate, and how long */
    uint64_t request_bytes;  /* in memory now */
    uint64_t unsent_bytes;
    uint64_t calls_by_key[128]; /* begun since the start */
};
void kafka_server_stats(struct kafka_server *server, struct kafka_server_stats *ret);

#endif

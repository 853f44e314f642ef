/* proto/kafka/conn_int.h: what connections, calls and the server share and handlers do not see.
 *
 * Everything here belongs to one loop's thread, except what is atomic or under the server's lock. */
#ifndef PROTO_KAFKA_CONN_INT_H
#define PROTO_KAFKA_CONN_INT_H

#include <proto/kafka/kafka_int.h>
#include <proto/kafka/rate.h>

#define CONN_AHEAD_BYTES ((size_t)32 << 20)  /* requests of one connection in memory, before it is not read any more */
#define CONN_UNSENT_BYTES ((size_t)1 << 20)  /* unsent answers, before it is not served any more */
#define CONN_FILE_SLICE_BYTES ((size_t)16 << 10) /* of a file, for a socket that is full, to be told when it is not … */
#define CONN_TLS_SLICE_BYTES ((size_t)64 << 10)  /* … and for one that encrypts */
#define CONN_SLICE_BYTES ((size_t)256 << 10) /* of a large answer given to the socket at once */
#define CONN_SLOW_MS 1000                    /* without progress, before a reader is cut for what it holds */
#define CONN_FRAME_RATE 16                   /* bytes a millisecond that a request must keep after its first timeout */
#define CALL_KEEP_BYTES ((size_t)65536)      /* memory that a spare call may keep, of each kind */
#define CALL_SPARES 128
#define FRAME_LEAST 8                        /* key, version, correlation */
#define FRAME_USUAL ((size_t)256 << 10)      /* room that a request gets at once, when it says it needs that much */
#define FRAME_STEP ((size_t)64 << 10)        /* rooms are multiples of it; as much or more is read straight to its place */
#define FRAMES_KEPT 32                       /* rooms of large requests that a loop keeps for the next ones … */
#define FRAMES_REST_MS 1000
#define FRAME_KEPT_MAX ((size_t)2 << 20)     /* … each no larger than this, for as long as they are in use: see call_trim_frames() */
#define TICK_MS 50
#define ROOM_LOOK_MS 10                      /* a call that finds no room looks again … */
#define ROOM_WAIT_MAX_MS 30000               /* … for so long; then it begins, and is told that the server is busy */

/* READING ─► QUEUED ─► BEGUN ─► ANSWERED ─► ended
 * The request's bytes arrive; it waits for its turn; the handler has it; the answer waits for its turn, or for the socket. */
enum call_stage { CALL_READING, CALL_QUEUED, CALL_BEGUN, CALL_ANSWERED, CALL_ENDED };

/* Freed when it is closed and no call is left. */
struct kafka_conn {
    struct net_conn *net; /* NULL once closed */
    struct kafka_loop *loop;
    struct kafka_conn *next, **link;           /* of the loop */
    struct kafka_conn *slow_next, **slow_link; /* of those that hold memory, longest without progress first */
    struct kafka_session session;
    struct kafka_call *calls, **calls_end;     /* in the order of requests */
    struct kafka_call *to_begin;               /* the first that is QUEUED */
    struct kafka_call *reading;                /* its request is arriving */
    unsigned call_count, begun_count;
    unsigned begun_flags; /* of the handlers: those that all calls have which have begun and are not answered */
    size_t request_bytes; /* charged for its calls */
    char head[4];         /* of the next request: its size */
    unsigned head_size;
    struct net_timer timer;
    struct rate rates[KAFKA_RATE_FETCH + 1];
    struct net_timer throttle; /* set: it has had more than its rate, and waits */
    uint64_t frame_since_ms; /* the first byte of `reading`, or of its size */
    uint64_t quiet_ms;       /* the last time that something was asked or answered */
    uint64_t progress_ms;    /* the last time that unsent bytes went */
    size_t unsent, held;     /* as last accounted: answers not sent; what of them is in memory */
    bool resting;            /* not read, because of a bound */
    bool stalled;            /* the pool was full, or the store, when a call was to begin */
    bool starved;            /* that, or the server's requests are in the way: look again at the next tick */
    bool busy;               /* conn_advance() is at work on it */
    bool soon;               /* conn_advance() will be: soon_node is on its way */
    struct net_post_node soon_node;
    bool eof, closing;
    bool ending;          /* no call begins any more, and it closes when what was answered has been sent */
    atomic_bool gone;        /* nobody will read what is answered */
    char host[NET_PEER_TEXT_SIZE]; /* the server's address, as the client came to it … */
    uint16_t port;                 /* … and its port */
};

struct kafka_loop {
    struct kafka_server *server;
    struct net_loop *net;
    struct kafka_conn *conns;
    struct kafka_conn *slow, **slow_end;
    struct kafka_call *spare;
    unsigned spare_count;
    struct frame_room { char *bytes; size_t size; } frames[FRAMES_KEPT]; /* of large requests: new memory costs as much as copying */
    unsigned frame_count, frames_unused; /* the fewest there were since frames_ms */
    uint64_t frames_ms;
    unsigned starved_count;
    uint64_t log_ms;
    unsigned logged, unlogged; /* lines written since log_ms; lines left out */
    atomic_uint_fast64_t rejected, denied, connections, throttled, throttled_ms;
    atomic_uint_fast64_t calls[KAFKA_KEYS];
};

struct kafka_server {
    struct kafka_config config; /* defaults filled in; strings are copies */
    struct net_tls *tls;
    struct net_listener *listener;
    struct net_pool *pool;
    struct kafka_loop loops[KAFKA_LOOPS_MAX];
    struct net_loop *nets[KAFKA_LOOPS_MAX]; /* theirs */
    void *state; /* of calls->start */
    bool started; /* calls->start has been called, calls->stop is owed */
    atomic_uint connections;
    atomic_size_t request_bytes;
    atomic_size_t unsent; /* answers in memory, of all connections */
    atomic_int stopping; /* 1: ending politely, 2: everything is cut */
};

static inline void
kafka_count_many(atomic_uint_fast64_t *counter, uint64_t many)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + many, memory_order_relaxed);
}

static inline void
kafka_count(atomic_uint_fast64_t *counter)
{
    kafka_count_many(counter, 1);
}

static inline int
kafka_stopping(const struct kafka_loop *loop)
{
    return atomic_load_explicit(&loop->server->stopping, memory_order_relaxed);
}

/* conn.c */
void kafka_conn_open(void *loop, struct net_conn *net);
void kafka_conn_close(struct kafka_conn *c);
void kafka_conn_advance(struct kafka_conn *c); /* begin calls and send answers, as far as they may */
void kafka_conn_advance_soon(struct kafka_conn *c); /* as soon as this thread has nothing else in hand; not where advance is at work */
void kafka_conn_tick(struct kafka_loop *loop); /* look again at those that starved, and at what is unsent */
void kafka_conn_stop(struct kafka_conn *c);    /* the server is stopping: end as soon as what has begun is answered */
/* "kafka: 127.0.0.1:5000 (librdkafka): …" to whoever wants to know; a few a second. */
void kafka_conn_log(struct kafka_conn *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* call.c: all on the loop's thread */
struct kafka_call *call_new(struct kafka_conn *c, size_t frame_size); /* NULL: out of memory */
bool call_add(struct kafka_call *call, cairn_str *bytes);             /* move bytes into its frame; false: out of memory */
/* Where so many of its next bytes may be read to, for call_add() to find them there. NULL: not worth it, or out of memory. */
char *call_room(struct kafka_call *call, size_t *ret_size);
/* Take its frame's size from the budget of all requests, once. False: there is too much already. */
bool call_reserve(struct kafka_call *call);
void call_queue(struct kafka_call *call);                             /* its request is whole: find its handler */
bool call_begin(struct kafka_call *call);                             /* false: there is no room now, try again later */
void call_end(struct kafka_call *call);                               /* it is no longer the connection's */
void call_free_spares(struct kafka_loop *loop);
void call_trim_frames(struct kafka_loop *loop);                       /* give back what has not been used for FRAMES_REST_MS */

#endif

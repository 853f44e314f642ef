/* proto/kafka/kafka_int.h: what the room's files share.
 *
 *   net_conn ─► conn.c ─(frames)─► call.c ─(struct kafka_call)─► a handler (calls_*.c) ─► broker, groups
 *                 ▲                                                     │
 *                 └────── in the order of requests ◄── kafka_respond ───┘
 *
 * For handlers. A call is one request. Its handler is run once, and owes exactly one of kafka_respond(), kafka_finish() and
 * kafka_refuse(): before it returns or later, from any thread, also when the client has gone meanwhile (answering then does
 * nothing but end the call). After that the call is not touched any more. Until then all of it stays: request, arena, session.
 *
 * Where it runs: on the loop's thread, where it must not block; or, with KAFKA_WORK, on a pool thread. Everything of a call is one
 * thread's at a time, handed on by kafka_work(), kafka_post() and the answer.
 *
 * Order: calls of a connection begin in the order of its requests, and are answered in it. A call begins when all before it
 * have been answered, as in Kafka; except that calls with KAFKA_PIPELINED may begin while others with KAFKA_PIPELINED wait
 * for theirs (producing: the next batch comes before the one before is durable), and those with KAFKA_OVERTAKES while those with
 * KAFKA_WAITS wait (leaving a group while a join waits for others, who would otherwise wait for one that has gone). */
#ifndef PROTO_KAFKA_KAFKA_INT_H
#define PROTO_KAFKA_KAFKA_INT_H

#include <base/arena.h>
#include <os/net/net.h>
#include <proto/kafka/codec.h>
#include <proto/kafka/kafka.h>
#include <topic/kafka_error.h>

#include <pthread.h>
#include <stdatomic.h>

struct kafka_call;
struct kafka_conn;
struct kafka_session;

/* ---- what calls are served -------------------------------------------------------------------------------------------- */

#define KAFKA_WORK 1u         /* on a pool thread: it may block */
#define KAFKA_PIPELINED 2u    /* see above */
#define KAFKA_BEFORE_LOGIN 4u /* also for clients that have yet to log in */
#define KAFKA_WAITS 8u        /* perhaps long, for other clients */
#define KAFKA_OVERTAKES 16u   /* those */
#define KAFKA_NEEDS_ROOM 32u  /* begins when there is room for it (kafka_calls.has_room), as a rule */

struct kafka_handler {
    void (*run)(struct kafka_call *call); /* NULL: not served, and not told of by ApiVersions */
    unsigned flags;
};

struct kafka_calls {
    struct kafka_handler handlers[KAFKA_KEYS]; /* by key: [KAFKA_API_METADATA] = {answer_metadata, KAFKA_WORK} */
    /* Each may be NULL. start: before the first connection; *ret_state is kafka_state_of(). stop: after the last call. */
    cairn_err (*start)(struct kafka_server *server, void **ret_state, cairn_error *error);
    void (*stop)(struct kafka_server *server);
    bool (*has_room)(struct kafka_server *server);             /* for KAFKA_NEEDS_ROOM; on any loop, must not block */
    void (*tick)(struct kafka_server *server, int64_t now_ms); /* every 50 ms, on the first loop: groups_tick() */
    void (*session_end)(struct kafka_session *session);        /* free session->sasl; on the connection's loop */
};

/* api_versions.c: KAFKA_BEFORE_LOGIN. */
void kafka_answer_api_versions(struct kafka_call *call);

/* ---- who is asking ------------------------------------------------------------------------------------------------------ */

/* One a connection. Changed only by calls that are not KAFKA_PIPELINED, so that no other looks at it meanwhile. */
struct kafka_session {
    bool logged_in;         /* set by the SASL calls; from the start where the server wants no login */
    char principal[256];    /* "User:alice"; "User:ANONYMOUS" */
    void *sasl;             /* where the exchange stands; calls->session_end frees it */
    int64_t expires_ms;     /* monotonic; 0: never. Then the connection ends, unless it logs in again */
    char software_name[64], software_version[64]; /* from ApiVersions; "" */
    char host[NET_PEER_TEXT_SIZE];                /* the client's address without its port: Kafka's client host is "/" and this */
    bool tls;
};

/* ---- a call -------------------------------------------------------------------------------------------------------------- */

struct kafka_call {
    struct kafka_server *server;
    const struct kafka_message *message;
    int16_t version;
    const void *request;    /* struct kafka_<name>_request */
    bool has_client_id;
    cairn_str client_id;
    struct arena arena;     /* for the handler too, up to KAFKA_ARENA_MAX */
    struct kafka_session *session;

    /* Set before answering. denied: a login has failed, the connection ends when the answer has been sent. tell: for the log, static
     * or in the arena. */
    bool denied;
    const char *tell;

    /* The handler's own. on_gone: the client has gone and the call is still owed its end; on the loop's thread, where alone it
     * may be set (look at kafka_is_gone() then). on_end: the call's memory goes, and nothing of what was answered is needed any more:
     * free `state` there. On the loop's thread. */
    void *state;
    void (*on_gone)(struct kafka_call *call);
    void (*on_end)(struct kafka_call *call);

    /* The machinery's (call.c, conn.c). */
    struct kafka_conn *conn;
    struct kafka_call *next;     /* of the connection, in the order of requests; of the loop's spares */
    const struct kafka_handler *handler;
    void (*step)(struct kafka_call *call);    /* what kafka_work() is to run */
    void (*posted_step)(struct kafka_call *call);
    void (*timeout)(struct kafka_call *call); /* what kafka_wait() is to run */
    int32_t correlation;
    uint8_t stage;               /* enum call_stage */
    atomic_bool posted;          /* post_node is on its way */
    bool silent;                 /* it ends without an answer */
    const char *refused;         /* it ends with the connection's end, because of this */
    char *frame;                 /* the request's bytes */
    size_t frame_size, frame_have, frame_room, body_at, charged_bytes;
    void *body;                  /* the decoded struct */
    size_t body_room;
    struct kafka_out out;
    size_t sent_bytes;           /* of `out`, given to the socket; and of those: */
    size_t sent_own, sent_gaps, sent_of_piece, sent_files; /* of out.bytes; whole pieces; of the next piece; of pieces in files */
    uint64_t crowded_ms;         /* since when there has been no room for it to begin; 0: it has not been tried */
    struct net_timer timer;
    struct net_post_node post_node, done_node;
};

/* What the request is: const struct kafka_metadata_request *in = KAFKA_REQUEST(call, metadata). */
#define KAFKA_REQUEST(call, name) ((const struct kafka_##name##_request *)(call)->request)

/* Answer. The response is read before this returns and is the caller's; only what PIECES point to must stay until on_end (the
 * arena does). Begin it with KAFKA_DEFAULTS(metadata_response, &out): -1, not 0, where there is no value. */
void kafka_respond(struct kafka_call *call, const void *response);
/* End without an answer: acks = 0, or nobody is there to read it. */
void kafka_finish(struct kafka_call *call);
/* End, and close the connection, with a line in the log that says why: what the client did cannot be answered. */
void kafka_refuse(struct kafka_call *call, const char *why);
/* A line for the log, which is written when the call is answered; whoever may touch the call. */
void kafka_tell(struct kafka_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A zeroed list of n of a struct's, with defaults, in the call's arena; NULL: no memory (answer with kafka_no_memory()). */
void *kafka_list(struct kafka_call *call, const struct kafka_struct *table, size_t count);
#define KAFKA_LIST(call, name, count) ((struct kafka_##name *)kafka_list(call, &kafka_##name##_table, count))
#define KAFKA_DEFAULTS(name, to) kafka_defaults(&kafka_##name##_table, 1 ? (to) : (struct kafka_##name *)NULL)
/* No memory for an answer: the connection closes, and the client tries again. */
void kafka_no_memory(struct kafka_call *call);

/* Go on with `step` on a pool thread. False: the queue is full or the server stops; it will not run. Any thread. */
bool kafka_work(struct kafka_call *call, void (*step)(struct kafka_call *call));
/* The connection's next call begins when this one has ended, as if it were not KAFKA_PIPELINED. Before it is handed to another thread; the
 * loop's thread. */
void kafka_alone(struct kafka_call *call);
/* Go on with `step` on the call's loop. Any thread that may touch the call; one at a time. When the call ends first (a timer
 * was quicker), step is not run. */
void kafka_post(struct kafka_call *call, void (*step)(struct kafka_call *call));
/* Run `timeout` on the loop's thread in delay_ms; the loop's thread only; a new one replaces the old. 0: no more. */
void kafka_wait(struct kafka_call *call, unsigned delay_ms, void (*timeout)(struct kafka_call *call));
bool kafka_is_gone(const struct kafka_call *call); /* any thread: nobody will read the answer */

/* Count this call's bytes against its connection's rate, if there is one. What to answer in throttle_time_ms: for so long nothing of
 * the connection is begun or read, from now on. The loop's thread, unless there is no such rate. */
enum kafka_rate { KAFKA_RATE_PRODUCE, KAFKA_RATE_FETCH };
int32_t kafka_throttle(struct kafka_call *call, enum kafka_rate kind, uint64_t bytes);
uint64_t kafka_rate_of(const struct kafka_server *server, enum kafka_rate kind); /* bytes a second; 0: none */
uint64_t kafka_request_bytes(const struct kafka_call *call);                    /* as it came */

/* Defaults filled in; broker, groups, sasl, cluster_id … */
const struct kafka_config *kafka_config_of(const struct kafka_server *server);
void *kafka_state_of(const struct kafka_server *server); /* what calls->start gave */

/* Where this client is to find this broker: host borrowed until the call ends. */
void kafka_advertised(const struct kafka_call *call, cairn_str *ret_host, int32_t *ret_port);
int64_t kafka_now_ms(void); /* the clock of groups.h */
#define KAFKA_NODE_ID 1

#define KAFKA_ARENA_MAX ((size_t)64 << 20)
#define KAFKA_LOOPS_MAX 64

#endif

/* bus/relay.h: relays: topics of Cairn that go to a Kafka, and topics of a Kafka that come here.
 *
 * A relay is an event of `$relay-<name>` (the newest one counts) and a thread. What has been relayed is known where it cannot
 * get lost together with what it is about:
 *
 *   out, with transactions   each batch is a transaction of Kafka's, and the offsets it reached here are committed in it (group
 *                            "cairn-relay-<name>-<the log's id>", in the metadata of the target's partition 0 and, where
 *                            there is not room enough in that, of those behind it): exactly once
 *   out, without             an idempotent producer; the offsets reached are an event of `$relayed-<name>`, written behind the
 *                            acknowledgements: at least once, in order for each key
 *   in                       the records become record batches of a topic here, and the offsets reached there are an event of
 *                            `$relayed-<name>` in the same append, under its expected revision: exactly once, also when two
 *                            servers run the same relay by mistake
 *
 * When Kafka is away a relay waits; the log is the buffer. Nothing is ever skipped: what a Kafka refuses (a record that is too
 * large for it), a topic there that ends before the place reached (it was made anew, or lost its end), a log here that does (an old
 * backup) stop the relay, which says so and tries again. What a Kafka's retention has removed before it came in is gone; that is told.
 *
 * Settings for the client are librdkafka's, from a list of those that neither run nor load anything; a secret may be given as
 * {"env": "NAME"}, so that it does not stand in the log.
 *
 * Threads: every call from any thread; they may block on the disk, put, pause and delete also until the relay's thread has stopped:
 * half a second when Kafka is away, up to 10 s when it has been asked and is silent. */
#ifndef BUS_RELAY_H
#define BUS_RELAY_H

#include <cairn/topic.h>

struct relays;

#define RELAYS_MAX 256
#define RELAY_NAME_MAX 63 /* [a-z0-9][a-z0-9._-]* */

struct relay_spec {
    cairn_str name;
    bool out;         /* from a topic here to Kafka; otherwise from Kafka to a topic here */
    cairn_str source; /* topic */
    cairn_str target; /* topic there, or here; empty: the source's name */
    cairn_str client; /* JSON object of librdkafka's settings; "bootstrap.servers" at least */
    bool transactions; /* out: exactly once */
    bool paused;
};

struct relay_status {
    struct relay_spec spec; /* secrets in `client` as they were given; borrowed until return */
    const char *state;      /* "running" "waiting" "paused" "stopped" */
    char detail[256];       /* why it waits */
    uint64_t records_total; /* since the start */
    uint64_t lag;           /* records at the source that have not arrived; while it does not run: as far as known */
    int64_t last_time_us;   /* of the newest that arrived; 0: none since the start */
};

typedef void (*relay_log)(void *context, bool error, const char *relay, const char *message);

CAIRN_MUST_CHECK cairn_err relays_open(cairn_store *store, cairn_scope scope, relay_log log, void *log_context, struct relays **ret,
                                       cairn_error *error);
/* Stop all, each at the end of what it is doing. NULL is fine. */
void relays_close(struct relays *relays);

/* Make or change one; durable on return. CAIRN_E_INVALID names what is wrong; CAIRN_E_LIMIT: RELAYS_MAX; CAIRN_E_EXISTS: the name is, or
 * was before it was deleted, that of a relay of another direction or other topics. */
CAIRN_MUST_CHECK cairn_err relay_put(struct relays *relays, const struct relay_spec *spec, cairn_error *error);
/* Pause or go on. CAIRN_E_NOTFOUND. */
CAIRN_MUST_CHECK cairn_err relay_pause(struct relays *relays, cairn_str name, bool paused, cairn_error *error);
/* What it has relayed stays known to Kafka's group or to `$relayed-<name>`: made again, it goes on from there. */
CAIRN_MUST_CHECK cairn_err relay_delete(struct relays *relays, cairn_str name, cairn_error *error);
/* In the order of names. Return false to stop. */
typedef bool (*relay_visit)(void *context, const struct relay_status *status);
void relays_visit(struct relays *relays, relay_visit visit, void *context);

#endif

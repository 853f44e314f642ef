/* store/dead.h: dead letters: what a consumer has given up, in a topic beside the one that it came from.
 *
 *   event of topic `orders` ──given up by a consumer──► event of topic `orders.dlq`
 *     stream  orders-42                                   orders.dlq-42: the same key
 *     type    OrderPaid                                   DeadLetter
 *     data    {…}                                         the same bytes, with their content type
 *     meta    {…}                                         dead_letter {consumer, error, where it stands, …}, kafka_headers {…}
 *
 * Its type is its own, because types and tags are looked at across all streams: a second OrderPaid would be projected, decided
 * on and counted as if it had happened again. Kafka's clients read it as the record that it was (key, value, its own headers, ce_type),
 * with the headers dlq_… beside.
 *
 * Which topic: what the consumer's settings name; otherwise what the topic of the event's category says (cairn.dead.letter); otherwise
 * that topic's name, or the category's, and ".dlq". It is made when first needed, with as many partitions as the topic has.
 *
 * A dead letter is given up no further: its consumer parks it. So two that refuse everything do not feed each other.
 *
 * Sending back is marked by an event of "$replayed-<topic>" with the tag "replayed:<position of the dead letter>", written in the
 * append that it goes with, on the condition that there is none. Projections need no mark: their models know what they lack.
 *
 * Threads: any. Blocks on the disk. */
#ifndef STORE_DEAD_H
#define STORE_DEAD_H

#include <base/arena.h>
#include <base/bytes.h>
#include <batch/event.h>
#include <cairn/cairn.h>

#define DEAD_TYPE "DeadLetter"
#define DEAD_SUFFIX ".dlq"
#define REPLAYED_PREFIX "$replayed-"
#define DEAD_SUBSCRIPTION "subscription"
#define DEAD_PROJECTION "projection"

/* Data and meta of the dead letters of one append, and of one alone: what is left of an append (64 MiB) is for names and a state. */
#define DEAD_BYTES_MAX ((size_t)56 << 20)

struct dead_consumer {
    const char *kind;    /* one of the two above */
    cairn_str app, name; /* app: of projections */
    cairn_str topic;     /* where its settings want dead letters; empty: by the event's category */
};

struct dead_failure {
    cairn_str code, detail;
    uint32_t attempts;
    int64_t first_us, last_us;
};

struct dead_letter {
    cairn_str topic, stream;
    cairn_event event; /* as it is to be appended */
};

/* The topic's name for events of that category. `to` has TOPIC_NAME_MAX bytes. */
cairn_str dead_topic(cairn_store *store, cairn_scope scope, cairn_str category, cairn_str wanted, char *to);

/* Make the dead letter of the event at a position, and its topic where that is missing. What is returned is in the arena.
 * once: its id is derived from consumer and position, for dead_letter_append_once().
 *
 * CAIRN_E_NOTFOUND  the event is gone
 * CAIRN_E_EXISTS    it is a dead letter itself */
CAIRN_MUST_CHECK cairn_err dead_letter_make(cairn_store *store, cairn_scope scope, const struct dead_consumer *consumer,
                                            const struct dead_failure *failure, uint64_t position, bool once,
                                            struct arena *arena, struct dead_letter *ret, cairn_error *error);
/* Append it unless it has been appended before. */
CAIRN_MUST_CHECK cairn_err dead_letter_append_once(cairn_store *store, cairn_scope scope, const struct dead_letter *letter,
                                                   cairn_error *error);

/* Whose dead letter is it? CAIRN_E_NOTFOUND: nobody's here; CAIRN_E_INVALID: it says that it is one, and not whose; CAIRN_E_NOMEM.
 * Strings in the arena. */
struct dead_origin {
    cairn_str kind, app, name;
    uint64_t position; /* of the event that was given up */
};
CAIRN_MUST_CHECK cairn_err dead_letter_read(const cairn_event *event, struct arena *arena, struct dead_origin *ret);

/* The mark of a dead letter that is sent back, with the condition that there is none. */
struct dead_mark {
    char stream[sizeof REPLAYED_PREFIX + TOPIC_NAME_MAX], tag[32], data[64];
    cairn_str type, tag_text;
    cairn_query_item item;
    cairn_event event;
    cairn_write write;
    cairn_condition condition;
};
void dead_mark_make(struct dead_mark *mark, cairn_str topic, uint64_t letter); /* must not be moved afterwards */
CAIRN_MUST_CHECK cairn_err dead_mark_find(cairn_store *store, cairn_scope scope, uint64_t letter, bool *ret, cairn_error *error);

/* Hand the events of these dead letters of a consumer group out again (group_dead.c), each marked in the append that makes it due. More
 * than the group has room for are left: DEAD_NO_ROOM. CAIRN_E_NOTFOUND: there is no such group. */
enum dead_result {
    DEAD_RETURNED, /* a dry run: it would be */
    DEAD_BEFORE,   /* it was sent back before, or a projection has had it since */
    DEAD_NO_ROOM,
    DEAD_FAILED,   /* a projection: again */
    DEAD_GONE,     /* the event is not in the log any more */
};
struct dead_return {
    uint64_t letter;   /* position of the dead letter */
    uint64_t position; /* of the event */
    enum dead_result result;
    char why[256];     /* DEAD_FAILED */
};
CAIRN_MUST_CHECK cairn_err group_return_dead(cairn_store *store, cairn_scope scope, cairn_str name, cairn_str topic,
                                             struct dead_return *returns, size_t count, bool dry_run, cairn_error *error);

/* The stream of the same key in another category. In the arena. CAIRN_E_NOMEM. */
CAIRN_MUST_CHECK cairn_err dead_move_stream(cairn_str category, cairn_str from, struct arena *arena, cairn_str *ret, cairn_error *error);
/* The members of meta.kafka.headers (or meta.kafka_headers) that go on with the record: those of the binding (ce_…, content-type), and what
 * a dead letter said (dlq_…), are made anew. */
void dead_put_headers(struct buf *to, cairn_str meta);

/* Something that passes: worth trying again. */
bool dead_error_passes(cairn_err err);

#endif

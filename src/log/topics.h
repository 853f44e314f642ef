/* log/topics.h: which topics there are, and which partition an event belongs to.
 *
 * A topic's definition is the newest event of "$topic-<name>", which only cairn_log_topic_put() and cairn_log_topic_delete()
 * write, and which the log applies itself where it is sequenced: an event has a place in the partitions as they are at its
 * position. There are two tables: what is sequenced, for the sequencer, and what is durable, for everybody else; and whoever
 * computes an index again makes his own, as of where he is.
 *
 * That is why no definition that changed what partitions there are may be scavenged. Their events have the types
 * TOPIC_MADE, TOPIC_GROWN and TOPIC_DELETED; what changed else is said by the newest TOPIC_CHANGED. Every event holds all
 * of the definition but `linked`, which is what TOPIC_MADE said.
 *
 * Threads. The log's tables: rwlock for look-ups, by any thread; changed under the sequence lock. A topic is counted and
 * never changes. */
#ifndef LOG_TOPICS_H
#define LOG_TOPICS_H

#include "log_int.h"
#include <cairn/topic.h>

#define LOG_TOPICS_MAX 100000u
#define LOG_PARTITIONS_MAX 1000000u
#define TOPIC_PREFIX "$topic-"
#define TOPIC_MADE "$topic-made"
#define TOPIC_GROWN "$topic-grown"
#define TOPIC_DELETED "$topic-deleted"
#define TOPIC_CHANGED "$topic-changed"

struct cairn_topic_ref {
    cairn_topic topic; /* points into this */
    _Atomic uint32_t count;
    cairn_scope scope;
    bool deleted;
    uint64_t revision;
    struct hash128 name_key, id_key, category_key; /* the last is that of the category's series */
    uint64_t null_age_us; /* compact: how old a null value gets, and how old a record is before a newer one may take its place */
    uint64_t lag_us;
    uint64_t *linked; /* events of each partition that were there before the topic; NULL: none */
};

static inline cairn_topic_ref *
topic_keep(cairn_topic_ref *ref)
{
    atomic_fetch_add_explicit(&ref->count, 1, memory_order_relaxed);
    return ref;
}
static inline uint64_t
topic_linked(const cairn_topic_ref *ref, uint32_t partition)
{
    return ref->linked != NULL && partition < ref->topic.partitions ? ref->linked[partition] : 0;
}
static inline uint64_t
topic_start(const cairn_topic_ref *ref, uint32_t partition)
{
    return ref->topic.starts != NULL ? ref->topic.starts[partition] : 0;
}

/* "$topic-…" */
bool is_topic_stream(cairn_str stream);
/* Series of a partition, and of a producer's batches in it. */
struct hash128 partition_key(const struct log *log, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition);
struct hash128 producer_key(const struct log *log, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition,
                            int64_t producer_id);

/* ---- a table (topics.c) ------------------------------------------------------------------------------------------------ */

struct topics;
struct topics *topics_new(void);
void topics_free(struct topics *topics);
/* Take over a stored definition. */
CAIRN_MUST_CHECK cairn_err topics_apply(struct log *log, struct topics *topics, const struct record *record,
                                        cairn_error *error);
/* The partition of a stream. One without a dash has no key: Kafka would spread such records, here they stay in order. */
uint32_t stream_partition(cairn_str stream, uint32_t partitions);
/* Which partition does an event that comes the ordinary way go to? *ret_first: the ordinal there when it is the first. False:
 * none. */
bool topics_place(const struct log *log, const struct topics *topics, cairn_scope scope, cairn_str stream,
                  struct hash128 *ret_key, uint64_t *ret_first);
/* What record_entries() cannot know: the partition's entry of an event that came the ordinary way. `series` holds those of what
 * is before it; `topics` is as of then. */
CAIRN_MUST_CHECK cairn_err topics_entry(const struct log *log, const struct topics *topics, struct series *series,
                                        const struct record *record, struct log_entry entries[LOG_KEYS_MAX], size_t *n,
                                        cairn_error *error);

/* ---- the log's ------------------------------------------------------------------------------------------------------------ */

CAIRN_MUST_CHECK cairn_err log_topics_open(struct log *log, cairn_error *error);
void log_topics_close(struct log *log);
/* All definitions below `end`, found by the index; both tables. */
CAIRN_MUST_CHECK cairn_err log_topics_load(struct log *log, uint64_t end, cairn_error *error);
/* Opening: a definition met in replay, in both tables. */
CAIRN_MUST_CHECK cairn_err log_topics_apply(struct log *log, const struct record *record, cairn_error *error);
/* Opening: the table as it is by now. */
const struct topics *log_topics_durable(const struct log *log);

/* Is there any topic, as sequenced or durable? One load. */
bool log_topics_any(const struct log *log);
/* What is kept of the sequenced table is as of then. */
uint64_t log_topics_sequenced_changes(const struct log *log);
uint64_t log_topics_changes(const struct log *log);
/* A count of the topic, NULL: there is none. `sequenced`: what is in flight counts. */
cairn_topic_ref *log_topic_by_id(struct log *log, cairn_scope scope, const cairn_uuid *id, bool sequenced);
cairn_topic_ref *log_topic_by_name(struct log *log, cairn_scope scope, cairn_str name, bool sequenced);
/* topics_place() by the sequenced table. */
bool log_topics_place(struct log *log, cairn_scope scope, cairn_str stream, struct hash128 *ret_key, uint64_t *ret_first);
/* Is a batch with this last offset hidden, its topic being deleted, or all of it below the start? */
bool topic_hides_batch(struct log *log, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition,
                       uint64_t last_offset);
/* Is the event one of a batch, and hidden so? */
static inline bool
topic_hides_record(struct log *log, const struct record *record)
{
    return record->unfolded
           && topic_hides_batch(log, record->scope, &record->place.topic_id, record->place.partition, record->place.offset);
}

/* A definition on its way into the log. */
struct topic_change {
    cairn_topic_ref *ref;
    bool is_new;
    bool locked;          /* the caller holds the sequence lock, which the append gives back */
    uint64_t looked_end;  /* new: the category's events below this are linked */
    bool has_more;        /* refused: the category has events at or after looked_end */
};
/* Under the sequence lock. May it be, beside all others? Takes the memory it needs. `attempt` may need a head. */
struct attempt;
CAIRN_MUST_CHECK cairn_err topic_check_change(struct log *log, struct attempt *attempt, cairn_error *error);
void topic_placed(struct log *log, const struct topic_change *change, uint64_t revision, uint64_t position);
/* What is below `end` is durable; nothing of what is in flight will be. */
void topics_settle(struct log *log, uint64_t end);
void topics_forget(struct log *log);

/* ---- events that were there before their topic (links.c) ----------------------------------------------------------------------- */

struct links;
struct links *links_new(struct log *log, cairn_scope scope, const cairn_topic *topic); /* NULL: out of memory */
void links_free(struct links *links);
/* Read what the category has got since the last call, and write where it is. */
CAIRN_MUST_CHECK cairn_err links_read_on(struct links *links, cairn_error *error);
/* The same under the sequence lock, up to what is sequenced, and nothing is written: that is left to the append that makes the
 * topic. CAIRN_E_BUSY: it is too much for one. */
CAIRN_MUST_CHECK cairn_err links_read_rest(struct links *links, cairn_error *error);
/* Writes of what is not written yet; they live until the next call. At most LINKS_WRITES_MAX. */
#define LINKS_WRITES_MAX 256
CAIRN_MUST_CHECK cairn_err links_writes(struct links *links, const cairn_write **ret, size_t *ret_count, cairn_error *error);
uint64_t links_looked_end(const struct links *links);
const uint64_t *links_counts(const struct links *links); /* of each partition; NULL: there are none */

struct links_cursor; /* where the last one was found */
struct links_cursor *links_cursor_new(void);
void links_cursor_free(struct links_cursor *cursor);
/* The position of an offset below the partition's `linked`. */
CAIRN_MUST_CHECK cairn_err links_find(struct log *log, struct links_cursor *cursor, cairn_scope scope,
                                      const cairn_uuid *topic_id, uint32_t partition, uint64_t offset,
                                      uint64_t *ret_position, cairn_error *error);

/* ---- definitions (topic_put.c) ------------------------------------------------------------------------------------------------ */

/* A topic as an event's data, and back. `before`: whose `linked` it inherits, may be NULL. */
void topic_write(struct buf *to, const cairn_topic *topic, const uint64_t *linked, bool deleted);
CAIRN_MUST_CHECK cairn_err topic_parse(const struct log *log, cairn_scope scope, cairn_str data, uint64_t revision,
                                       const cairn_topic_ref *before, cairn_topic_ref **ret, cairn_error *error);

#endif

/* cairn/topic.h: topics: categories of streams read by partition and offset.
 *
 * A topic is a view of one category. Each of its partitions is a series: the events in it, in the order of the log, and an
 * event's ordinal there is its *offset*. An event that is appended to a stream of the category goes to the partition that
 * Kafka's default partitioner gives its key (what stands behind the category and its '-'). A *record batch* (Kafka's, format
 * v2) can be appended to a partition as it is: the log keeps its bytes, and every record in it is an event like any other,
 * with a position, in a stream of the category, found by type, read, followed and projected.
 *
 * Threads, errors and `error` as in cairn/store.h. */
#ifndef CAIRN_TOPIC_H
#define CAIRN_TOPIC_H

#include <cairn/store.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CAIRN_PARTITIONS_MAX 10000

typedef struct cairn_topic {
    cairn_uuid id;        /* of this topic for good: one that is made again under the same name has another */
    cairn_str name;       /* 1 to 249 of [a-zA-Z0-9._-], not "." or ".." */
    cairn_str category;   /* empty: made from the name ('-' becomes '~'); a category has one topic at most */
    uint32_t partitions;  /* 1 to CAIRN_PARTITIONS_MAX; grows only */
    bool compact;         /* scavenging keeps the newest record of each key; one without value goes when it is old enough */
    cairn_str config;     /* a JSON object, whose meaning is that of the rooms above, but for two texts that scavenging goes by:
                             "delete.retention.ms" (a day), how old that is; "min.compaction.lag.ms" (0), how old any record
                             is before a newer one may take its place */
    const uint64_t *starts; /* offsets below which nothing is left, for each partition; NULL: 0. They grow only. Batches that
                               lie below are hidden everywhere, and scavenged */
} cairn_topic;

/* A topic as it is. Counted: cairn_topic_release() gives it back; what it points to lives as long. */
typedef struct cairn_topic_ref cairn_topic_ref;
CAIRN_API const cairn_topic *cairn_topic_of(const cairn_topic_ref *ref);
CAIRN_API uint64_t cairn_topic_revision(const cairn_topic_ref *ref); /* of its definition */
CAIRN_API void cairn_topic_release(cairn_topic_ref *ref);            /* NULL is fine */

/* Make a topic or change it; durable on return. expected: CAIRN_NONE to make one, otherwise the revision of the definition
 * that `topic` was made from. A new one's id is made where it is zero. Events that the category has already come first, in
 * the log's order: making the topic reads them all once.
 *
 * CAIRN_E_EXISTS    there is one of that name, or the category has another one
 * CAIRN_E_CONFLICT  its definition has changed: error.revision
 * CAIRN_E_INVALID   name, category or number of partitions; fewer partitions or smaller starts than before; another category
 * CAIRN_E_LIMIT     100,000 topics, 1,000,000 partitions in all
 * CAIRN_E_BUSY      events keep coming to the category faster than they can be linked, or others change the topic too: again */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_topic_put(cairn_store *store, cairn_scope scope, const cairn_topic *topic,
                                                     int64_t expected, cairn_topic_ref **ret, cairn_error *error);
/* Delete the topic: batches that were appended to it are hidden wherever events are read, and scavenged; events that came by
 * other ways stay in their streams. Streams keep their names and revisions, also where nothing is left to read. CAIRN_E_NOTFOUND, CAIRN_E_CONFLICT (expected: CAIRN_ANY or its revision). */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_topic_delete(cairn_store *store, cairn_scope scope, cairn_str name,
                                                        int64_t expected, cairn_error *error);

/* From memory: never reads the disk. CAIRN_E_NOTFOUND. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_topic_get(cairn_store *store, cairn_scope scope, cairn_str name,
                                                     cairn_topic_ref **ret, cairn_error *error);
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_topic_by_id(cairn_store *store, cairn_scope scope, const cairn_uuid *id,
                                                       cairn_topic_ref **ret, cairn_error *error);
/* Every topic, in the order of their names. Return false to stop. The topic is borrowed until return. */
typedef bool (*cairn_topic_visit)(void *context, const cairn_topic *topic, uint64_t revision);
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_topics(cairn_store *store, cairn_scope scope, cairn_topic_visit visit, void *context,
                                                  cairn_error *error);
/* Goes up whenever any topic has been made, changed or deleted: what is kept of them is as of then. */
CAIRN_API uint64_t cairn_topics_changes(cairn_store *store);

/* ---- appending ---------------------------------------------------------------------------------------------------------------- */

/* A record batch for a partition; cairn_append_request.batches. All its records become events, next to each other, or none
 * does. Not for batches of which Kafka's coordinator is the author (control batches).
 *
 * CAIRN_E_INVALID   the bytes are no whole batch of format v2, or not with offset deltas 0, 1, 2 …; the detail says what is wrong.
 *                   The checksum is compared too, unless the request is `system`: Cairn's own rooms have done it
 * CAIRN_E_NOTFOUND  there is no such topic or partition
 * CAIRN_E_LIMIT     it is larger than a segment or append_size_max allows (`system`: 64 MiB), or a record than an event may be.
 *                   append_events_max is about events that come by themselves; records may be 2^21 an append                 */
typedef struct cairn_batch {
    cairn_uuid topic_id;
    uint32_t partition;
    cairn_str bytes;       /* borrowed as everything in a request; kept as it is */
    uint64_t *ret_offset;  /* optional: of its first record; written when it has its place, before cairn_append_async() returns */
} cairn_batch;

/* ---- reading ------------------------------------------------------------------------------------------------------------------ */

typedef struct cairn_partition_info {
    uint64_t start;         /* the first offset that can be read */
    uint64_t end;           /* the next offset: one past the last durable record */
    uint64_t last_position; /* of the last durable record; meaningful when end > 0 */
} cairn_partition_info;
/* Cheap: from memory but for the first time after opening. CAIRN_E_NOTFOUND: no such topic or partition. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_partition_get(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id,
                                                         uint32_t partition, cairn_partition_info *ret, cairn_error *error);

/* What lies in a partition at an offset: a batch as it was stored, or one event that came another way. */
typedef struct cairn_partition_item {
    uint64_t first_offset, last_offset;
    uint64_t position;   /* of the first */
    int64_t time_us;     /* of commit */
    cairn_str batch;     /* its bytes; the base offset in them is whatever the producer wrote. Empty: it is an event */
    cairn_recorded event;
} cairn_partition_item;

typedef struct cairn_partition_reader cairn_partition_reader;
/* Read from an offset on. An offset inside a batch gives the whole batch first. Offsets whose events are hidden or scavenged
 * are left out. A reader belongs to one thread at a time; what next returns is borrowed until the next call. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_read_partition(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id,
                                                          uint32_t partition, uint64_t from, cairn_partition_reader **ret,
                                                          cairn_error *error);
/* Go to another offset, or another partition, with the same memory. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_partition_seek(cairn_partition_reader *reader, const cairn_uuid *topic_id,
                                                          uint32_t partition, uint64_t from, cairn_error *error);
/* CAIRN_E_END: nothing more now; call again later. CAIRN_E_NOTFOUND: the topic has been deleted. */
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_partition_next(cairn_partition_reader *reader, cairn_partition_item *ret,
                                                          cairn_error *error);
CAIRN_API void cairn_partition_reader_free(cairn_partition_reader *reader);

/* The newest batches of a producer (their producer id) in a partition, newest first, at most `max`: how a broker knows after a
 * restart what it has. *ret_count 0: none. */
typedef struct cairn_producer_batch {
    int16_t epoch;
    int32_t first_sequence, last_sequence;
    uint64_t first_offset;
    int64_t time_us;
} cairn_producer_batch;
CAIRN_API CAIRN_MUST_CHECK cairn_err cairn_producer_batches(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id,
                                                            uint32_t partition, int64_t producer_id,
                                                            cairn_producer_batch *batches, size_t max, size_t *ret_count,
                                                            cairn_error *error);

#ifdef __cplusplus
}
#endif
#endif

/* batch/event.h: a record as an event, and an event as a record: one rule, both ways (CloudEvents 1.0, Kafka binding 1.0.3,
 * binary mode).
 *
 *   topic `my-orders`       category `my~orders`: a category ends at the first '-', so '-' is written '~' there (which no topic has)
 *   record's key `42`       stream `my~orders-42`; no key: stream `my~orders`
 *                           a key that is not UTF-8, has a NUL, or is too long for a name: `my~orders-x:` and the key in hex, or
 *                           `my~orders-sha256:` and its SHA-256 in hex
 *   header ce_type          type; absent: the topic's name
 *   header ce_id            id when it is a UUID, otherwise derived: UUIDv8 of (topic id, partition, offset); kept in meta too
 *   header content-type     content type; absent: application/json when the value is JSON, otherwise application/octet-stream
 *   header ce_time, others  meta: {"kafka":{"topic","partition","offset","timestamp","headers":{…}}}; a header's value that is not
 *                           UTF-8 is {"base64":"…"}; ce_tags (a JSON array of strings) are tags; ce_correlation the correlation
 *   value                   data; null: no data and content type application/x-null ("tombstone")
 *
 *   event → record          key: what stands behind the category and its '-' (no dash: null); value: data; headers ce_specversion,
 *                           ce_id, ce_source, ce_type, ce_subject (the stream), ce_time, content-type, ce_position, ce_revision,
 *                           ce_correlation, ce_tags, ce_meta (where there are any); timestamp: commit time in ms.
 *
 * Pure. What is returned points into the record, the batch, or the arena. */
#ifndef BATCH_EVENT_H
#define BATCH_EVENT_H

#include <batch/batch.h>

#define TOPIC_NAME_MAX 249
bool topic_name_valid(cairn_str name); /* Kafka's rule: [a-zA-Z0-9._-]{1,249}, neither "." nor ".." */
/* The category of a topic by default, and back. `to` has TOPIC_NAME_MAX bytes. */
cairn_str topic_category(cairn_str topic, char *to);
cairn_str category_topic(cairn_str category, char *to);

#define RECORD_STREAM_MAX 512
/* The stream of a record with this key (NULL: none). `to` has RECORD_STREAM_MAX bytes. */
cairn_str record_stream(cairn_str category, const cairn_str *key, char *to);
/* Its type: ce_type, or the topic's name (category_topic). Points into the record, or `to` (TOPIC_NAME_MAX bytes). A ce_type that
 * is no legal name (empty, over 512 bytes, not UTF-8) counts as absent. */
cairn_str record_type(cairn_str category, const struct batch_record *record, char *to);

struct record_place {
    cairn_uuid topic_id;
    cairn_str category;
    uint32_t partition;
    uint64_t offset;
};
/* The event that a record is: all but stream and revision. False: out of memory. */
CAIRN_MUST_CHECK bool record_to_event(const struct batch_record *record, const struct record_place *place, struct arena *arena,
                                      cairn_event *ret);
/* Add an event as a record with this offset. False: out of memory. */
CAIRN_MUST_CHECK bool event_to_record(const cairn_recorded *event, int64_t offset, struct arena *scratch, struct batch_maker *to);

/* Which partition the key belongs to: Kafka's default partitioner, murmur2 (base/hash.h) of the key's bytes, sign bit dropped,
 * modulo the number of partitions. */
uint32_t key_partition(cairn_str key, uint32_t partitions);
/* The key of a stream in a category: what event → record says. False: the stream has none. */
bool stream_record_key(cairn_str stream, cairn_str *ret_key);

#endif

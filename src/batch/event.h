/* batch/event.h: a record as an event, and an event as a record: one rule, both ways (CloudEvents 1.0, Kafka binding 1.0.3,
 * binary mode).
 *
 *   topic `my-orders`       category `my~orders`: a category ends at the first '-', so '-' is written '~' there, which no
 *                           topic has
 *   record's key `42`       stream `my~orders-42`; no key: stream `my~orders`
 *                           a key that is not UTF-8, has a NUL, or begins with `x:` or `sha256:`: `my~orders-x:` and the key in
 *                           hex; one that is too long for a name: `my~orders-sha256:` and its SHA-256 in hex. So two keys
 *                           never share a stream
 *   header ce_type          type; absent: the topic's name
 *   header ce_id            id when it is a UUID, otherwise derived: a UUIDv8 that holds partition and offset (record_id())
 *   header content-type     content type; absent: application/json when the value is JSON, otherwise application/octet-stream
 *   header ce_tags          tags, when it is a JSON array of at most 64 strings that are legal tags
 *   header ce_correlation   correlation, when it is a legal name
 *   all headers             meta: {"kafka":{"topic","partition","offset","timestamp","headers":{…}}}, in the order of their
 *                           names. One that comes more than once is an array; null is null; what is not UTF-8 is {"base64":"…"}
 *   value                   data; null: no data and content type application/x-null ("tombstone")
 *
 * Of known headers that come more than once the last one counts (Kafka's lastHeader).
 *
 *   event → record          key: what stands behind the category and its '-' (no dash: null; hex behind `x:`: the bytes);
 *                           value: data; headers ce_specversion, ce_id, ce_source (/v1/streams/…), ce_type, ce_subject (the
 *                           stream), ce_time, content-type, ce_position, ce_revision, ce_correlation, ce_tags, ce_meta (where
 *                           there are any); timestamp: commit time in ms. A tombstone: null and no content-type.
 *   meta.kafka_headers        an object: its members are headers of the record, each in place of the ones of that name that would
 *                           be made; values as in meta.kafka.headers (text, null, {"base64":"…"}, or an array of these; anything
 *                           else as its JSON). ce_meta is what is left of meta. More than 988 values, or names that come to over
 *                           1 MiB when each value has its own (and to more than all of meta): none is a header, and ce_meta is meta
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
#define RECORD_CATEGORY_MAX (RECORD_STREAM_MAX - 72) /* of a topic's category: "-sha256:" and 64 digits fit behind it */
/* The stream of a record with this key (NULL: none). `to` has RECORD_STREAM_MAX bytes; without a key it is the category itself.
 * category.size <= RECORD_CATEGORY_MAX. */
cairn_str record_stream(cairn_str category, const cairn_str *key, char *to);
/* Its type: ce_type, or the topic's name (category_topic). Points into the record, the category, or `to` (TOPIC_NAME_MAX bytes). A
 * ce_type that is no legal name (empty, over 512 bytes, not UTF-8) counts as absent. */
cairn_str record_type(cairn_str category, const struct batch_record *record, char *to);

/* What the index needs of a record, and nothing more: without headers it costs next to nothing. */
#define RECORD_NAME_MAX 512
#define RECORD_TAGS_MAX 64
struct record_names {
    cairn_str stream, type, correlation; /* correlation empty: none */
    const cairn_str *tags;
    size_t tag_count;
    char stream_text[RECORD_STREAM_MAX]; /* what the above may point into: do not move it */
    char type_text[TOPIC_NAME_MAX];
};
/* The arena is used only where there are tags. False: out of memory. */
CAIRN_MUST_CHECK bool record_names(const struct batch_record *record, cairn_str category, struct arena *arena,
                                   struct record_names *ret);

struct record_place {
    cairn_uuid topic_id;
    cairn_str category;
    uint32_t partition;
    uint64_t offset;
};
/* The id of a record that brings none: 48 bits of a hash of the topic's id, 14 of the partition, 60 of the offset, as RFC 9562 §5.8
 * lays them out. Different for every record of a topic; the offset is its end, in hex. */
cairn_uuid record_id(const struct record_place *place);
/* The event that a record is: all of `event` (stream, revision, position and time are the log's to know). It points into the
 * record, the place's category, or the arena. False: out of memory. */
CAIRN_MUST_CHECK bool record_to_event(const struct batch_record *record, const struct record_place *place, struct arena *arena,
                                      cairn_event *ret);
/* Add an event as a record with this offset. The scratch arena may be reset after the call. False: as batch_make_add(); what the log
 * takes as an event is within a batch's bounds. */
CAIRN_MUST_CHECK bool event_to_record(const cairn_recorded *event, int64_t offset, struct arena *scratch, struct batch_maker *to);

/* Which partition the key belongs to: Kafka's default partitioner, murmur2 (base/hash.h) of the key's bytes, sign bit dropped,
 * modulo the number of partitions. */
uint32_t key_partition(cairn_str key, uint32_t partitions); /* partitions > 0 */
/* The key of a stream: what event → record says, so that an event appended to the stream of a record lands in that record's
 * partition. Points into the stream, or `to` (RECORD_STREAM_MAX bytes). False: the stream has none. */
bool stream_record_key(cairn_str stream, char *to, cairn_str *ret_key);

#endif

/* Series keys: which ordered lists an event belongs to.
 *
 * A key hashes the kind of series, the scope and the name, so that tenants, and a type and a tag of
 * one name, never meet. */
#include "topics.h"

struct hash128
log_key(const struct log *log, enum key_kind kind, cairn_scope scope, cairn_str name)
{
    uint8_t text[5 + LOG_STREAM_MAX];
    assert(name.size <= LOG_STREAM_MAX);
    text[0] = (uint8_t)kind;
    store32(text + 1, scope);
    if (name.size > 0)
        memcpy(text + 5, name.data, name.size);
    return hash128(log->secret, text, 5 + name.size);
}

cairn_str
category_of(cairn_str stream)
{
    const char *dash = stream.size > 0 ? memchr(stream.data, '-', stream.size) : NULL;
    return (cairn_str){stream.data, dash ? (size_t)(dash - stream.data) : stream.size};
}

size_t
stream_entries(const struct log *log, cairn_scope scope, cairn_str stream, uint64_t revision,
               struct log_entry entries[4])
{
    size_t n = 0;
    cairn_str category = category_of(stream);
    entries[n++] = (struct log_entry){log_key(log, KEY_STREAM, scope, stream), revision};
    entries[n++] = (struct log_entry){log_key(log, KEY_CATEGORY, scope, category), 0};
    if (revision == 0) {
        entries[n++] = (struct log_entry){log_key(log, KEY_DIRECTORY, scope, (cairn_str){0}), 0};
        entries[n++] = (struct log_entry){log_key(log, KEY_CATEGORY_DIRECTORY, scope, category), 0};
    }
    return n;
}

bool
is_retention_stream(cairn_str stream)
{
    static const char prefix[] = "$retention-";
    return stream.size > sizeof prefix - 1 && memcmp(stream.data, prefix, sizeof prefix - 1) == 0;
}

/* A tag given twice is in its series once. */
size_t
add_tag(const struct log *log, cairn_scope scope, cairn_str tag, struct log_entry *entries,
        size_t first_tag, size_t n)
{
    struct hash128 key = log_key(log, KEY_TAG, scope, tag);
    for (size_t i = first_tag; i < n; i++)
        if (entries[i].key.low == key.low && entries[i].key.high == key.high)
            return n;
    entries[n] = (struct log_entry){key, 0};
    return n + 1;
}

/* Of an event in a batch: its partition, and of the first one its producer. */
static size_t
batch_entries(const struct log *log, const struct record *record, struct log_entry *entries, size_t n)
{
    const struct record_place *place = &record->place;
    struct batch_head head;
    entries[n++] = (struct log_entry){partition_key(log, record->scope, &place->topic_id, place->partition),
                                      place->offset};
    if (record->batch_index == 0 && record->batch.bytes.size > 0
        && batch_head_read(record->batch.bytes, &head) == NULL && head.producer_id >= 0)
        entries[n++] = (struct log_entry){
            producer_key(log, record->scope, &place->topic_id, place->partition, head.producer_id), 0};
    return n;
}

size_t
record_entries(const struct log *log, const struct record *record,
               struct log_entry entries[LOG_KEYS_MAX])
{
    size_t n = 0;
    if (record->stream.size > 0) /* of what is gone from a batch, only a stream's last one has its name */
        n = stream_entries(log, record->scope, record->stream, record->revision, entries);
    if (record->unfolded)
        n = batch_entries(log, record, entries, n);
    if (record->kind != RECORD_EVENT)
        return n;
    const cairn_event *event = &record->event;
    entries[n++] = (struct log_entry){log_key(log, KEY_TYPE, record->scope, event->type), 0};
    if (event->correlation.size > 0)
        entries[n++] = (struct log_entry){
            log_key(log, KEY_CORRELATION, record->scope, event->correlation), 0};
    if (is_retention_stream(record->stream))
        entries[n++] = (struct log_entry){log_key(log, KEY_RETENTION, 0, (cairn_str){0}), 0};
    if (is_topic_stream(record->stream))
        entries[n++] = (struct log_entry){log_key(log, KEY_TOPICS, 0, (cairn_str){0}), 0};
    size_t first_tag = n;
    cairn_str packed = record->tags_packed, tag;
    while (record_next_tag(&packed, &tag))
        n = add_tag(log, record->scope, tag, entries, first_tag, n);
    return n;
}

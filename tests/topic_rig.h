/* What tests of topics share: batches made, partitions read. */
#ifndef TESTS_TOPIC_RIG_H
#define TESTS_TOPIC_RIG_H

#include <batch/batch.h>
#include <batch/event.h>
#include <cairn/cairn.h>

#include "test.h"

struct rig_producer {
    int64_t id;
    int16_t epoch;
    int32_t sequence;
};

/* A batch of `count` records; those with a key have keys[i % key_count] (NULL: none). The values are "<tag>.<i>". */
static inline cairn_str
rig_batch(struct batch_maker *maker, const char *tag, uint32_t count, const char *const *keys, size_t key_count,
          enum batch_codec codec)
{
    batch_make_begin(maker);
    for (uint32_t i = 0; i < count; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s.%u", tag, i);
        cairn_str value = cairn_cstr(text), key = {0};
        const char *name = key_count > 0 ? keys[i % key_count] : NULL;
        if (name != NULL)
            key = cairn_cstr(name);
        CHECK(batch_make_add(maker, i, 1700000000000 + i, name ? &key : NULL, &value, NULL, 0));
    }
    CHECK(batch_make_end(maker, codec, 0, (int64_t)count - 1));
    return buf_str(&maker->out);
}

static inline void
rig_set_producer(cairn_str batch, struct rig_producer producer)
{
    struct batch_head head;
    CHECK(batch_head_read(batch, &head) == NULL);
    head.producer_id = producer.id;
    head.producer_epoch = producer.epoch;
    head.base_sequence = producer.sequence;
    batch_head_write((uint8_t *)(uintptr_t)batch.data, &head);
}

static inline cairn_topic_ref *
rig_make_topic(cairn_store *store, const char *name, uint32_t partitions)
{
    cairn_topic topic = {.name = cairn_cstr(name), .partitions = partitions};
    cairn_topic_ref *ref;
    CHECK_OK(cairn_topic_put(store, 0, &topic, CAIRN_NONE, &ref, NULL));
    return ref;
}

static inline uint64_t
rig_produce(cairn_store *store, const cairn_uuid *topic_id, uint32_t partition, cairn_str bytes)
{
    uint64_t offset = UINT64_MAX;
    cairn_batch batch = {*topic_id, partition, bytes, &offset};
    cairn_append_request request = {.batches = &batch, .batch_count = 1};
    cairn_at at;
    CHECK_OK(cairn_append_all(store, &request, &at, NULL));
    return offset;
}

static inline cairn_at
rig_append(cairn_store *store, const char *stream, const char *data)
{
    const cairn_event event = {.type = CAIRN_STR("Happened"), .data = cairn_cstr(data)};
    cairn_at at;
    CHECK_OK(cairn_append(store, 0, cairn_cstr(stream), CAIRN_ANY, &event, 1, &at, NULL));
    return at;
}

/* All values of a partition from an offset on, as "<offset>=<value> …". */
static inline void
rig_read(cairn_store *store, const cairn_uuid *topic_id, uint32_t partition, uint64_t from, struct buf *to)
{
    cairn_partition_reader *reader;
    cairn_partition_item item;
    struct batch_cursor cursor = {0};
    cairn_err err;
    buf_clear(to);
    CHECK_OK(cairn_read_partition(store, 0, topic_id, partition, from, &reader, NULL));
    while ((err = cairn_partition_next(reader, &item, NULL)) == CAIRN_OK) {
        struct batch_record record;
        if (item.batch.size == 0) {
            CHECK(item.first_offset == item.last_offset);
            buf_printf(to, "%llu=%.*s ", (unsigned long long)item.first_offset, (int)item.event.event.data.size,
                       item.event.event.data.data);
            continue;
        }
        CHECK(batch_open(&cursor, item.batch) == NULL);
        while (batch_next(&cursor, &record))
            buf_printf(to, "%llu=%.*s ", (unsigned long long)(item.first_offset + (uint64_t)record.offset_delta),
                       (int)record.value.size, record.value.data);
        CHECK(cursor.fault == NULL);
    }
    CHECK_INT(err, CAIRN_E_END);
    batch_close(&cursor);
    cairn_partition_reader_free(reader);
    buf_put_char(to, '\0');
}

#endif

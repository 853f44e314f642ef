/* tests/broker_rig.h: a store with a broker on it, and batches made by hand. */
#ifndef TESTS_BROKER_RIG_H
#define TESTS_BROKER_RIG_H

#include "test.h"

#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <os/twin.h>
#include <pthread.h>
#include <store/store.h>
#include <topic/broker.h>
#include <batch/batch.h>

#define CHECK_KAFKA(actual, expected)                                                                                                  \
    do {                                                                                                                               \
        enum kafka_err got_ = (actual);                                                                                                \
        if (got_ != (expected))                                                                                                        \
            fail_msg("%s: %s instead of %s", #actual, kafka_err_name(got_), kafka_err_name(expected));                                 \
    } while (0)

struct rig {
    char folder[64];
    struct os_sim *sim;  /* or a folder of the real machine */
    bool no_background;  /* a simulated one never has threads */
    uint64_t segment_size_bytes; /* 0: the default */
    cairn_store *store;
    struct broker *broker;
    struct broker_options options;
};

static inline void
rig_open(struct rig *rig)
{
    const cairn_options options = {.create = true, .no_background = rig->no_background || rig->sim,
                                   .segment_size_bytes = rig->segment_size_bytes};
    struct os *os = rig->sim ? os_sim_os(rig->sim) : os_real();
    cairn_error error = {.detail = ""};
    if (cairn_store_open_on(os, rig->sim ? "store" : rig->folder, &options, &rig->store, &error) != CAIRN_OK ||
        broker_open(rig->store, &rig->options, &rig->broker, &error) != CAIRN_OK)
        fail_msg("opening: %s", error.detail);
}

static inline void
rig_close(struct rig *rig)
{
    broker_close(rig->broker);
    cairn_close(rig->store);
    rig->broker = NULL;
    rig->store = NULL;
}

static inline void
rig_reopen(struct rig *rig)
{
    rig_close(rig);
    rig_open(rig);
}

static inline void
rig_begin(struct rig *rig, bool simulated)
{
    if (simulated)
        rig->sim = os_sim_new(7);
    else
        test_folder(rig->folder);
    rig_open(rig);
}

static inline void
rig_end(struct rig *rig)
{
    rig_close(rig);
    if (rig->sim)
        os_sim_free(rig->sim);
    else
        test_remove(rig->folder);
}

/* ---- batches */

struct batch_spec {
    uint32_t count;         /* of records; values are "<text>-0" … */
    const char *text, *key; /* key NULL: none */
    int64_t timestamp_ms;   /* 0: the rig's now */
    int64_t producer_id;    /* 0: none, otherwise the id + 1 */
    int16_t epoch;
    int32_t sequence;
    bool transactional;
    enum batch_codec codec;
};

static inline void
put_big(uint8_t *at, uint64_t value, size_t size)
{
    while (size-- > 0) {
        at[size] = (uint8_t)value;
        value >>= 8;
    }
}

/* After the head has been changed by hand. */
static inline void
rig_checksum(uint8_t *batch, size_t size)
{
    put_big(batch + 17, crc32c(0, batch + 21, size - 21), 4);
}

/* The batch is `to`'s until the next one. */
static inline cairn_str
rig_batch(struct rig *rig, struct batch_maker *to, const struct batch_spec *spec)
{
    int64_t time = spec->timestamp_ms ? spec->timestamp_ms : os_now_us(rig->store->os) / 1000;
    batch_make_begin(to);
    for (uint32_t i = 0; i < spec->count; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s-%u", spec->text ? spec->text : "value", i);
        cairn_str value = cairn_cstr(text), key = cairn_cstr(spec->key);
        CHECK(batch_make_add(to, i, time, spec->key ? &key : NULL, &value, NULL, 0));
    }
    CHECK(batch_make_end(to, spec->codec, spec->transactional ? BATCH_TRANSACTIONAL : 0, (int64_t)spec->count - 1));
    uint8_t *batch = (uint8_t *)to->out.data;
    if (spec->producer_id) {
        put_big(batch + 43, (uint64_t)spec->producer_id - 1, 8);
        put_big(batch + 51, (uint16_t)spec->epoch, 2);
        put_big(batch + 53, (uint32_t)spec->sequence, 4);
        rig_checksum(batch, to->out.size);
    }
    return buf_str(&to->out);
}

/* ---- producing, waiting for the answer */

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t came;
    bool done;
    struct produced result;
    char message[200];
};

static inline void
answer_came(void *context, const struct produced *result)
{
    struct answer *answer = context;
    pthread_mutex_lock(&answer->lock);
    assert_false(answer->done);
    answer->result = *result;
    snprintf(answer->message, sizeof answer->message, "%s", result->message ? result->message : "");
    answer->done = true;
    pthread_cond_signal(&answer->came);
    pthread_mutex_unlock(&answer->lock);
}

static inline void
answer_init(struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
    pthread_mutex_init(&answer->lock, NULL);
    pthread_cond_init(&answer->came, NULL);
}

static inline struct produced
answer_wait(struct answer *answer)
{
    pthread_mutex_lock(&answer->lock);
    while (!answer->done)
        pthread_cond_wait(&answer->came, &answer->lock);
    pthread_mutex_unlock(&answer->lock);
    return answer->result;
}

static inline struct produced
rig_produce_bytes(struct rig *rig, const char *topic, uint32_t partition, const char *transactional_id, cairn_str bytes,
                  char message[200])
{
    struct answer answer;
    answer_init(&answer);
    const struct produce produce = {.topic = cairn_cstr(topic), .partition = partition, .bytes = bytes,
                                    .transactional_id = cairn_cstr(transactional_id)};
    broker_produce_async(rig->broker, &produce, answer_came, &answer);
    struct produced result = answer_wait(&answer);
    if (message)
        memcpy(message, answer.message, 200);
    return result;
}

static inline struct produced
rig_produce(struct rig *rig, const char *topic, uint32_t partition, const struct batch_spec *spec)
{
    struct batch_maker maker = {.count = 0};
    cairn_str batch = rig_batch(rig, &maker, spec);
    struct produced result = rig_produce_bytes(rig, topic, partition, NULL, batch, NULL);
    batch_make_free(&maker);
    return result;
}

static inline void
rig_topic(struct rig *rig, const char *name, int32_t partitions, const char *setting, const char *value)
{
    struct broker_why why = {""};
    const struct broker_pair pair = {.name = cairn_cstr(setting), .value = cairn_cstr(value)};
    const struct broker_topic_spec spec = {.name = cairn_cstr(name), .partitions = partitions, .config = &pair,
                                           .config_count = setting ? 1 : 0};
    enum kafka_err err = broker_topic_create(rig->broker, &spec, false, NULL, &why);
    if (err != KAFKA_NONE)
        fail_msg("%s: %s: %s", name, kafka_err_name(err), why.text);
}

static inline cairn_partition_info
rig_partition(struct rig *rig, const char *topic, uint32_t partition)
{
    cairn_topic_ref *ref;
    cairn_partition_info info;
    CHECK_OK(cairn_topic_get(rig->store, 0, cairn_cstr(topic), &ref, NULL));
    CHECK_OK(cairn_partition_get(rig->store, 0, &cairn_topic_of(ref)->id, partition, &info, NULL));
    cairn_topic_release(ref);
    return info;
}

/* All values of a partition, each followed by a space. */
static inline void
rig_values(struct rig *rig, const char *topic, uint32_t partition, struct buf *to)
{
    cairn_topic_ref *ref;
    cairn_partition_reader *reader;
    cairn_partition_item item;
    struct batch_cursor cursor = {.left = 0};
    struct batch_record record;
    cairn_err err;
    buf_clear(to);
    CHECK_OK(cairn_topic_get(rig->store, 0, cairn_cstr(topic), &ref, NULL));
    CHECK_OK(cairn_read_partition(rig->store, 0, &cairn_topic_of(ref)->id, partition, 0, &reader, NULL));
    while ((err = cairn_partition_next(reader, &item, NULL)) == CAIRN_OK) {
        CHECK(batch_open(&cursor, item.batch) == NULL);
        while (batch_next(&cursor, &record)) {
            buf_put_str(to, record.value);
            buf_put_char(to, ' ');
        }
        CHECK(cursor.fault == NULL);
    }
    CHECK_INT(err, CAIRN_E_END);
    batch_close(&cursor);
    cairn_partition_reader_free(reader);
    cairn_topic_release(ref);
    buf_put_char(to, '\0');
}

#endif

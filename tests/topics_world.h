/* A store with topics, and a model of what is in it: random work on both, and a comparison. */
#ifndef TESTS_TOPICS_WORLD_H
#define TESTS_TOPICS_WORLD_H

#include <os/twin.h>
#include <store/store.h>

#include "topic_rig.h"

#define CATEGORIES 3
#define KEYS 6 /* the last: no key */
#define PARTITIONS_MAX 5
#define EVENTS_MAX 20000

struct model_partition {
    uint32_t numbers[EVENTS_MAX];
    uint8_t keys[EVENTS_MAX];
    bool nulls[EVENTS_MAX];
    uint64_t count, start;
    uint64_t batch_first[EVENTS_MAX]; /* of the batch that holds it: its first offset; of an event: its own */
    uint64_t producer_batches;
    uint64_t producer_last; /* first offset of its newest batch */
};

struct model_topic {
    bool exists;
    cairn_uuid id;
    uint64_t revision;
    uint32_t partitions;
    bool compact, nulls_go; /* nulls_go: as soon as they are scavenged */
    uint32_t newest[KEYS]; /* number of each key's newest, in whatever partition */
    struct {
        const struct model_partition *part;
        uint64_t offset;
    } newest_at[KEYS];
    uint32_t seen[KEYS]; /* one more than the largest number of the key that could be read; 0: none */
    struct model_partition parts[PARTITIONS_MAX];
};

struct history {
    uint32_t number;
    int key;
};

struct world {
    struct os_sim *sim;
    cairn_store *store; /* NULL: it could not be opened, the machine being off */
    uint64_t seed;
    uint32_t next_number;
    uint64_t gone;  /* events that scavenging took */
    bool scavenged; /* something may be gone */
    uint64_t revisions[CATEGORIES][KEYS]; /* how many events each stream has */
    struct history *history[CATEGORIES];  /* events that came by themselves */
    size_t history_count[CATEGORIES];
    struct model_topic *topics;
    struct batch_maker makers[3];
};

static uint64_t
below(struct world *world, uint64_t n)
{
    return test_random(&world->seed) % n;
}

/* Whether a call failed; it may only when the machine is off, and then the world is of no more use. */
static bool
failed(struct world *world, cairn_err err)
{
    if (err != CAIRN_OK && !os_sim_is_off(world->sim))
        fail_msg("%s", cairn_err_name(err));
    return err != CAIRN_OK;
}

static void
open_world(struct world *world)
{
    world->store = NULL;
    const cairn_options options = {.create = true, .no_background = true, .segment_size_bytes = 64 << 10,
                                   .index_memory_events = 1000, .append_size_max = 32 << 10};
    (void)failed(world, cairn_store_open_on(os_sim_os(world->sim), "data", &options, &world->store, NULL));
}

static cairn_str
stream_of(int category, int key, char name[32])
{
    int size = key == KEYS - 1 ? snprintf(name, 32, "c%d", category) : snprintf(name, 32, "c%d-k%d", category, key);
    return (cairn_str){name, (size_t)size};
}

static uint32_t
partition_of(int key, uint32_t partitions)
{
    char name[8];
    snprintf(name, sizeof name, "k%d", key);
    return key == KEYS - 1 ? 0 : key_partition(cairn_cstr(name), partitions);
}

static void
model_add(struct model_topic *topic, struct model_partition *part, uint32_t number, int key, bool null, uint64_t batch_first)
{
    topic->newest[key] = number;
    topic->newest_at[key].part = part;
    topic->newest_at[key].offset = part->count;
    assert_true(part->count < EVENTS_MAX);
    part->nulls[part->count] = null;
    part->keys[part->count] = (uint8_t)key;
    part->batch_first[part->count] = batch_first;
    part->numbers[part->count++] = number;
}

static void
model_event(struct world *world, int category, int key, uint32_t number)
{
    struct model_topic *topic = &world->topics[category];
    world->revisions[category][key]++;
    world->history[category][world->history_count[category]++] = (struct history){number, key};
    if (topic->exists) {
        struct model_partition *part = &topic->parts[partition_of(key, topic->partitions)];
        model_add(topic, part, number, key, false, part->count);
    }
}

/* ---- steps --------------------------------------------------------------------------------------------------------------------- */

static void
make_topic(struct world *world, int category)
{
    struct model_topic *model = &world->topics[category];
    char name[8];
    snprintf(name, sizeof name, "c%d", category);
    cairn_topic topic = {.name = cairn_cstr(name), .partitions = 1 + (uint32_t)below(world, 3), .compact = below(world, 2)};
    bool nulls_go = below(world, 2);
    topic.config = nulls_go ? CAIRN_STR("{\"delete.retention.ms\":\"0\"}") : CAIRN_STR("{}");
    for (int i = 0; i < 16; i++)
        topic.id.bytes[i] = (uint8_t)below(world, 256); /* the machine's would differ when the work is done again */
    cairn_topic_ref *ref;
    if (failed(world, cairn_topic_put(world->store, 0, &topic, CAIRN_NONE, &ref, NULL)))
        return;
    memset(model, 0, sizeof *model);
    *model = (struct model_topic){.exists = true, .id = cairn_topic_of(ref)->id, .revision = cairn_topic_revision(ref),
                                  .partitions = topic.partitions, .compact = topic.compact, .nulls_go = nulls_go};
    cairn_topic_release(ref);
    for (size_t i = 0; i < world->history_count[category]; i++) {
        const struct history *event = &world->history[category][i];
        struct model_partition *part = &model->parts[partition_of(event->key, model->partitions)];
        model_add(model, part, event->number, event->key, false, part->count);
    }
}

static void
change_topic(struct world *world, int category)
{
    struct model_topic *model = &world->topics[category];
    cairn_topic_ref *ref, *now;
    uint64_t starts[PARTITIONS_MAX] = {0};
    char name[8];
    snprintf(name, sizeof name, "c%d", category);
    CHECK_OK(cairn_topic_get(world->store, 0, cairn_cstr(name), &ref, NULL));
    cairn_topic topic = *cairn_topic_of(ref);
    CHECK_INT(topic.partitions, model->partitions);
    if (below(world, 2) && topic.partitions < PARTITIONS_MAX)
        model->partitions = ++topic.partitions;
    for (uint32_t i = 0; i < topic.partitions; i++) {
        struct model_partition *part = &model->parts[i];
        part->start += below(world, 4) ? 0 : below(world, part->count - part->start + 1);
        starts[i] = part->start;
    }
    topic.starts = starts;
    cairn_err err = cairn_topic_put(world->store, 0, &topic, (int64_t)cairn_topic_revision(ref), &now, NULL);
    cairn_topic_release(ref);
    if (failed(world, err))
        return;
    model->revision = cairn_topic_revision(now);
    cairn_topic_release(now);
}

static void
delete_topic(struct world *world, int category)
{
    char name[8];
    snprintf(name, sizeof name, "c%d", category);
    if (failed(world, cairn_topic_delete(world->store, 0, cairn_cstr(name), (int64_t)world->topics[category].revision, NULL)))
        return;
    world->topics[category].exists = false;
}

struct plan {
    cairn_write writes[4];
    cairn_event events[4][3];
    char names[4][32], data[4][3][16];
    size_t write_count;
    cairn_batch batches[3];
    uint64_t offsets[3], expected[3];
    size_t batch_count;
};

static void
plan_write(struct world *world, struct plan *plan)
{
    size_t n = plan->write_count++;
    int category = (int)below(world, CATEGORIES), key = (int)below(world, KEYS);
    size_t count = 1 + below(world, 3);
    for (size_t i = 0; i < count; i++) {
        uint32_t number = world->next_number++;
        snprintf(plan->data[n][i], sizeof plan->data[n][i], "v%u", number);
        plan->events[n][i] = (cairn_event){.type = CAIRN_STR("T"), .data = cairn_cstr(plan->data[n][i])};
        model_event(world, category, key, number);
    }
    int64_t expected = (int64_t)(world->revisions[category][key] - count) - 1;
    plan->writes[n] = (cairn_write){stream_of(category, key, plan->names[n]), expected < 0 ? CAIRN_NONE : expected,
                                    plan->events[n], count};
}

static void
plan_batch(struct world *world, struct plan *plan)
{
    int category = (int)below(world, CATEGORIES);
    struct model_topic *topic = &world->topics[category];
    if (!topic->exists)
        return;
    size_t n = plan->batch_count++;
    uint32_t partition = (uint32_t)below(world, topic->partitions);
    struct model_partition *part = &topic->parts[partition];
    struct batch_maker *maker = &world->makers[n];
    bool keyless = below(world, 2);
    uint32_t count = 1 + (uint32_t)below(world, below(world, 4) ? 5 : 300);
    plan->expected[n] = part->count;
    batch_make_begin(maker);
    for (uint32_t i = 0; i < count; i++) {
        char value[16], key[8];
        int k = keyless ? KEYS - 1 : (int)below(world, KEYS);
        uint32_t number = world->next_number++;
        snprintf(value, sizeof value, "v%u", number);
        snprintf(key, sizeof key, "k%d", k);
        cairn_str key_text = cairn_cstr(key), value_text = cairn_cstr(value), type = CAIRN_STR("Typed");
        struct batch_header_field header = {.name = CAIRN_STR("ce_type"), .value = type};
        bool null = k < KEYS - 1 && below(world, 4) == 0;
        CHECK(batch_make_add(maker, i, 1700000000000, k == KEYS - 1 ? NULL : &key_text, null ? NULL : &value_text, &header,
                             below(world, 2)));
        world->revisions[category][k]++;
        model_add(topic, part, number, k, null, plan->expected[n]);
    }
    CHECK(batch_make_end(maker, (enum batch_codec)below(world, BATCH_CODECS), 0, (int64_t)count - 1));
    cairn_str bytes = buf_str(&maker->out);
    if (below(world, 2)) {
        rig_set_producer(bytes, (struct rig_producer){5, 0, (int32_t)part->producer_batches++});
        part->producer_last = plan->expected[n];
    }
    plan->batches[n] = (cairn_batch){topic->id, partition, bytes, &plan->offsets[n]};
}

static void
append(struct world *world)
{
    struct plan plan = {.write_count = 0};
    size_t writes = below(world, 5), batches = below(world, 4);
    for (size_t i = 0; i < writes; i++)
        plan_write(world, &plan);
    for (size_t i = 0; i < batches; i++)
        plan_batch(world, &plan);
    if (plan.write_count + plan.batch_count == 0)
        return;
    cairn_append_request request = {.writes = plan.writes, .write_count = plan.write_count, .batches = plan.batches,
                                    .batch_count = plan.batch_count};
    cairn_at at;
    if (failed(world, cairn_append_all(world->store, &request, &at, NULL)))
        return;
    for (size_t i = 0; i < plan.batch_count; i++)
        CHECK_INT(plan.offsets[i], plan.expected[i]);
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------------- */

static void
check_value(const struct model_partition *part, uint64_t offset, cairn_str value)
{
    char expected[16];
    assert_true(offset < part->count);
    snprintf(expected, sizeof expected, "v%u", part->numbers[offset]);
    CHECK(cairn_str_equal(value, cairn_cstr(expected)));
}

/* May scavenging have taken it? */
static bool
may_be_gone(const struct world *world, const struct model_topic *topic, const struct model_partition *part, uint64_t offset)
{
    int key = part->keys[offset];
    return world->scavenged
           && (offset < part->start
               || (topic->compact && key != KEYS - 1
                   && (topic->newest[key] > part->numbers[offset] || (topic->nulls_go && part->nulls[offset]))));
}

/* The next that is there is at `offset`. */
static uint64_t
pass_to(const struct world *world, const struct model_topic *topic, const struct model_partition *part, uint64_t next,
        uint64_t offset)
{
    CHECK(next <= offset);
    for (; next < offset; next++)
        CHECK(may_be_gone(world, topic, part, next));
    return next;
}

static void
see(struct model_topic *topic, const struct model_partition *part, uint64_t offset)
{
    uint32_t *seen = &topic->seen[part->keys[offset]];
    if (*seen <= part->numbers[offset])
        *seen = part->numbers[offset] + 1;
}

/* Whatever is gone, what one reads last of a key is its newest, unless that lies before its partition's start. */
static void
check_newest(const struct model_topic *topic)
{
    for (int key = 0; key < KEYS - 1; key++)
        if (topic->seen[key] > 0 && topic->newest_at[key].offset >= topic->newest_at[key].part->start)
            CHECK_INT(topic->seen[key], topic->newest[key] + 1);
}

static void
check_reading(struct world *world, struct model_topic *topic, uint32_t partition, uint64_t from)
{
    const struct model_partition *part = &topic->parts[partition];
    cairn_partition_reader *reader;
    cairn_partition_item item;
    struct batch_cursor cursor = {0};
    cairn_err err;
    uint64_t next = from < part->start ? part->start : from;
    if (next < part->count)
        next = part->batch_first[next];
    CHECK_OK(cairn_read_partition(world->store, 0, &topic->id, partition, from, &reader, NULL));
    while ((err = cairn_partition_next(reader, &item, NULL)) == CAIRN_OK) {
        struct batch_record record;
        next = pass_to(world, topic, part, next, item.first_offset);
        if (item.batch.size == 0) {
            see(topic, part, next);
            check_value(part, next++, item.event.event.data);
            continue;
        }
        CHECK(batch_open(&cursor, item.batch) == NULL);
        while (batch_next(&cursor, &record)) {
            next = pass_to(world, topic, part, next, item.first_offset + (uint64_t)record.offset_delta);
            see(topic, part, next);
            CHECK(record.has_value == !part->nulls[next]);
            if (record.has_value)
                check_value(part, next, record.value);
            next++;
        }
        next = pass_to(world, topic, part, next, item.last_offset + 1);
    }
    CHECK_INT(err, CAIRN_E_END);
    if (from < part->count)
        (void)pass_to(world, topic, part, next, part->count);
    batch_close(&cursor);
    cairn_partition_reader_free(reader);
}

static void
check_partition(struct world *world, struct model_topic *topic, uint32_t partition)
{
    const struct model_partition *part = &topic->parts[partition];
    cairn_partition_info info;
    cairn_producer_batch newest;
    size_t count;
    CHECK_OK(cairn_partition_get(world->store, 0, &topic->id, partition, &info, NULL));
    CHECK(info.end == part->count && info.start == part->start);
    check_reading(world, topic, partition, 0);
    check_reading(world, topic, partition, below(world, part->count + 2));
    CHECK_OK(cairn_producer_batches(world->store, 0, &topic->id, partition, 5, &newest, 1, &count, NULL));
    bool forgotten = world->scavenged && part->producer_last < part->start
                     && (part->start == part->count || part->batch_first[part->start] != part->producer_last);
    CHECK(forgotten || (count > 0) == (part->producer_batches > 0));
    if (count > 0)
        CHECK(newest.first_sequence == (int32_t)part->producer_batches - 1 && newest.first_offset == part->producer_last);
}

static void
check_all(struct world *world)
{
    for (int category = 0; category < CATEGORIES; category++) {
        for (int key = 0; key < KEYS; key++) {
            char name[32];
            cairn_stream_info info;
            CHECK_OK(cairn_stream_info_get(world->store, 0, stream_of(category, key, name), &info, NULL));
            CHECK_INT(info.last_revision, (int64_t)world->revisions[category][key] - 1);
        }
        struct model_topic *topic = &world->topics[category];
        memset(topic->seen, 0, sizeof topic->seen);
        for (uint32_t i = 0; topic->exists && i < topic->partitions; i++)
            check_partition(world, topic, i);
        if (topic->exists)
            check_newest(topic);
    }
}

static void
check_log(struct world *world)
{
    cairn_verify_report report;
    CHECK_OK(cairn_verify(world->store, NULL, NULL, NULL, &report, NULL));
    CHECK_INT(report.faults, 0);
}

static void
step(struct world *world)
{
    int category = (int)below(world, CATEGORIES);
    switch (below(world, 24)) {
    case 0:
    case 1:
        if (!world->topics[category].exists)
            make_topic(world, category);
        break;
    case 2:
        if (world->topics[category].exists)
            change_topic(world, category);
        break;
    case 3:
        if (world->topics[category].exists && below(world, 8) == 0)
            delete_topic(world, category);
        break;
    case 4:
    case 5:
        cairn_close(world->store); /* the index may be computed again a few times while the store is open */
        open_world(world);
        if (world->store != NULL && below(world, 8) == 0)
            (void)failed(world, cairn_reindex(world->store, NULL, NULL, NULL));
        break;
    case 6:
        (void)failed(world, cairn_maintain(world->store, NULL));
        break;
    case 7:
        if (below(world, 2)) {
            cairn_scavenge_report report;
            world->scavenged = true;
            (void)failed(world, cairn_scavenge(world->store, NULL, NULL, &report, NULL));
            world->gone += report.events_removed;
        }
        break;
    default:
        append(world);
    }
}

/* `sim` becomes the world's. */
static void
world_begin(struct world *world, struct os_sim *sim, uint64_t seed)
{
    *world = (struct world){.sim = sim, .seed = seed, .topics = calloc(CATEGORIES, sizeof *world->topics)};
    assert_true(sim != NULL && world->topics != NULL);
    for (int i = 0; i < CATEGORIES; i++)
        assert_non_null(world->history[i] = calloc(EVENTS_MAX, sizeof *world->history[i]));
    open_world(world);
}

static void
world_end(struct world *world)
{
    cairn_close(world->store);
    for (int i = 0; i < 3; i++)
        batch_make_free(&world->makers[i]);
    for (int i = 0; i < CATEGORIES; i++)
        free(world->history[i]);
    free(world->topics);
    os_sim_free(world->sim);
}

#endif

/* Retention: what is older than retention.ms, or more than retention.bytes, goes, a batch at a time.
 *
 * Age counts from when a batch was committed: that ascends along the partition, so the boundary is found by binary search, and no
 * producer's clock can make anything go early. Sizes are added up behind two readers, one at the newest batch that has been counted
 * and one at the oldest that is kept, so every batch is read twice, whatever the limit; the tally is kept in memory and begun anew
 * after a restart, and after scavenging, which makes batches smaller that have been counted; where events in between are hidden by
 * their streams' retention, once in a while. A tick does a bounded amount of work and goes on at the next where it stopped, so a
 * partition that is always behind keeps nobody waiting. Only topics that have limits cost anything. All starts of a topic that
 * move are one change of its definition.
 *
 * Thread: the ticking one. */
#include "broker_int.h"

#include <stdlib.h>

#define TICK_ITEMS 20000 /* read for sizes in one tick */
#define TICK_TOPICS 1000 /* whose ages are looked at in one tick */
#define TICK_PARTITIONS CAIRN_PARTITIONS_MAX /* and as many partitions */
#define TALLIES_MAX 100000
#define ANEW_TICKS 600 /* a tally that has met with hidden events is begun anew, but not more often */
#define FIND_LEAST (16u << 10) /* of larger batches only the head is read */

/* Of a partition with retention.bytes. */
struct tally {
    cairn_uuid topic_id;
    uint32_t partition;
    uint64_t from, to, bytes; /* bytes of the items in [from, to) */
    uint64_t removed;         /* store_removed() when it was begun */
    uint64_t begun;           /* the tick */
    struct tally *next;
    uint64_t tick; /* when it was last of use */
};

struct retention_work {
    struct tally **slots;
    size_t capacity, count;
    uint64_t tick, removed;
    size_t items_left, partitions_left;
    size_t next_topic;      /* of the list, where to go on */
    uint32_t next_partition;
    uint64_t changes;       /* of topics, as of the list */
    bool listed;
    struct arena arena;
    cairn_str *topics;      /* names, in the arena */
    size_t topic_count, topic_capacity;
};

/* ---- which topics have limits ------------------------------------------------------------------------------------------------ */

struct listing {
    struct retention_work *work;
    bool failed;
};

static bool
list_topic(void *context, const cairn_topic *topic, uint64_t revision)
{
    struct listing *listing = context;
    struct retention_work *work = listing->work;
    struct settings settings;
    (void)revision;
    settings_read(topic->config, &settings);
    if (!settings_lists(&settings, "cleanup.policy", "delete") ||
        (settings_number(&settings, "retention.ms") < 0 && settings_number(&settings, "retention.bytes") < 0))
        return true;
    if (work->topic_count == work->topic_capacity) {
        size_t capacity = work->topic_capacity ? work->topic_capacity * 2 : 64;
        cairn_str *topics = realloc(work->topics, capacity * sizeof *topics);
        if (!topics) {
            listing->failed = true;
            return false;
        }
        work->topics = topics;
        work->topic_capacity = capacity;
    }
    cairn_str name = arena_copy(&work->arena, topic->name);
    listing->failed = !name.data;
    if (!listing->failed)
        work->topics[work->topic_count++] = name;
    return !listing->failed;
}

static void
list_topics(struct broker *broker, struct retention_work *work)
{
    uint64_t changes = cairn_topics_changes(broker->store);
    struct listing listing = {.work = work};
    if (work->listed && work->changes == changes)
        return;
    arena_reset(&work->arena);
    work->topic_count = 0;
    cairn_err err = cairn_topics(broker->store, broker->scope, list_topic, &listing, NULL);
    work->listed = err == CAIRN_OK && !listing.failed;
    work->changes = changes;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------------------- */

static struct tally **
tally_slot(const struct retention_work *work, const cairn_uuid *topic_id, uint32_t partition)
{
    struct tally **slot = &work->slots[hash64(topic_id, sizeof *topic_id, partition) & (work->capacity - 1)];
    while (*slot && ((*slot)->partition != partition || memcmp(&(*slot)->topic_id, topic_id, sizeof *topic_id) != 0))
        slot = &(*slot)->next;
    return slot;
}

/* A larger table, without those of topics that have no limit any more. */
static bool
tallies_grow(struct retention_work *work)
{
    struct retention_work larger = {.capacity = work->capacity ? work->capacity * 2 : 64};
    larger.slots = calloc(larger.capacity, sizeof(struct tally *));
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < work->capacity; i++)
        for (struct tally *tally = work->slots[i], *next; tally; tally = next) {
            next = tally->next;
            tally->next = NULL;
            if (tally->tick + 1000 < work->tick) {
                free(tally);
                continue;
            }
            *tally_slot(&larger, &tally->topic_id, tally->partition) = tally;
            larger.count++;
        }
    free(work->slots);
    work->slots = larger.slots;
    work->capacity = larger.capacity;
    work->count = larger.count;
    return true;
}

static struct tally *
tally_get(struct retention_work *work, const cairn_uuid *topic_id, uint32_t partition)
{
    struct tally *tally = work->capacity ? *tally_slot(work, topic_id, partition) : NULL;
    if (!tally) {
        if (work->count >= TALLIES_MAX || (work->count == work->capacity && !tallies_grow(work)))
            return NULL;
        tally = calloc(1, sizeof *tally);
        if (!tally)
            return NULL;
        tally->topic_id = *topic_id;
        tally->partition = partition;
        *tally_slot(work, topic_id, partition) = tally;
        work->count++;
    }
    tally->tick = work->tick;
    return tally;
}

static uint64_t
item_size(const cairn_partition_item *item)
{
    return item->batch.size ? item->batch.size : item->event.event.data.size + item->event.event.meta.size;
}

/* Reading one item after the other, for their sizes alone. */
struct sizing {
    cairn_partition_reader *reader;
    const struct tally *tally;
    const uint64_t *from; /* where to begin; NULL: it has */
    size_t items_left, last_size;
};

/* CAIRN_E_END: there are no more, or enough have been read. */
static cairn_err
next_item(struct sizing *sizing, cairn_partition_item *ret)
{
    const struct tally *tally = sizing->tally;
    int file = -1;
    uint64_t at;
    if (sizing->items_left == 0)
        return CAIRN_E_END;
    cairn_err err = sizing->from ? cairn_partition_seek(sizing->reader, &tally->topic_id, tally->partition, *sizing->from, NULL)
                                 : CAIRN_OK;
    if (err == CAIRN_OK) /* small ones are read faster many at a time */
        err = store_partition_find(sizing->reader, sizing->last_size >= FIND_LEAST ? FIND_LEAST : 0, ret, &file, &at, NULL);
    if (err != CAIRN_OK)
        return err;
    if (file >= 0)
        os_descriptor_close(file);
    sizing->items_left--;
    sizing->from = NULL;
    sizing->last_size = item_size(ret);
    return CAIRN_OK;
}

static void
tally_begin(const struct retention_work *work, struct tally *tally, uint64_t at)
{
    tally->from = tally->to = at;
    tally->bytes = 0;
    tally->removed = work->removed;
    tally->begun = work->tick;
}

/* Count what has come, then leave out from the beginning what is too much. Moves *start. Counting takes half of what the tick may
 * read, so that something goes however much comes. */
static cairn_err
trim(struct retention_work *work, cairn_partition_reader *reader, struct tally *tally, const cairn_partition_info *info,
     uint64_t bytes_max, uint64_t *start)
{
    cairn_partition_item item;
    cairn_err err = CAIRN_OK;
    /* Others have deleted, or made smaller, or it is new to us: what is gone has no size. */
    if (tally->from != info->start || tally->to > info->end || tally->to < *start || tally->removed != work->removed)
        tally_begin(work, tally, *start);
    size_t budget = work->items_left, half = (budget + 1) / 2;
    struct sizing sizing = {.reader = reader, .tally = tally, .from = &tally->to, .items_left = half};
    while (tally->to < info->end && (err = next_item(&sizing, &item)) == CAIRN_OK) {
        tally->bytes += item_size(&item);
        tally->to = item.last_offset + 1;
    }
    work->items_left -= half - sizing.items_left;
    if (err != CAIRN_OK && err != CAIRN_E_END)
        return err;
    sizing.from = &tally->from;
    sizing.items_left = work->items_left;
    while ((tally->bytes > bytes_max || tally->from < *start) && (err = next_item(&sizing, &item)) == CAIRN_OK) {
        uint64_t size = item_size(&item);
        if (item.first_offset > tally->from && work->tick - tally->begun >= ANEW_TICKS) { /* hidden, and perhaps counted before it was */
            tally_begin(work, tally, tally->from > *start ? tally->from : *start);
            break;
        }
        if (item.last_offset >= tally->to || (item.first_offset >= *start && tally->bytes - size < bytes_max))
            break; /* without it there would be less than is to be kept */
        tally->bytes -= size;
        tally->from = item.last_offset + 1;
    }
    work->items_left = sizing.items_left;
    if (tally->from > *start)
        *start = tally->from;
    return err;
}

/* ---- a topic ----------------------------------------------------------------------------------------------------------------- */

/* Where the partition is to begin. */
static cairn_err
partition_start(struct broker *broker, const struct view *view, cairn_partition_reader *reader, uint32_t partition, int64_t now_us,
                int64_t *ret_start)
{
    struct retention_work *work = broker->retention;
    const cairn_uuid *id = &view->topic->id;
    cairn_partition_info info;
    cairn_partition_item item;
    cairn_err err = cairn_partition_get(broker->store, broker->scope, id, partition, &info, NULL);
    if (err != CAIRN_OK)
        return err;
    uint64_t start = info.start;
    if (view->retention_ms >= 0 && view->retention_ms < now_us / 1000 && start < info.end) {
        int64_t oldest_us = now_us - view->retention_ms * 1000;
        err = cairn_partition_seek(reader, id, partition, start, NULL); /* as a rule the first one is young enough */
        if (err == CAIRN_OK)
            err = cairn_partition_next(reader, &item, NULL);
        if (err == CAIRN_OK && item.time_us < oldest_us)
            err = offset_search(reader, id, partition, start, info.end, BY_COMMIT, oldest_us, &start, NULL);
    }
    if ((err == CAIRN_OK || err == CAIRN_E_END) && view->retention_bytes >= 0) {
        struct tally *tally = tally_get(work, id, partition);
        if (tally)
            err = trim(work, reader, tally, &info, (uint64_t)view->retention_bytes, &start);
    }
    *ret_start = start > info.start ? (int64_t)start : -1;
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

/* From work->next_partition on, which goes back to 0 when all have been looked at; whatever fails is tried again later. */
static void
retain_topic(struct broker *broker, cairn_str name, int64_t now_us)
{
    struct retention_work *work = broker->retention;
    struct view *view = NULL;
    cairn_partition_reader *reader = NULL;
    bool any = false;
    uint32_t at = work->next_partition;
    work->next_partition = 0;
    if (view_get(broker, name, NULL, &view) != KAFKA_NONE)
        return;
    uint32_t partitions = view->topic->partitions;
    int64_t *starts = malloc(partitions * sizeof *starts);
    cairn_err err = starts ? cairn_read_partition(broker->store, broker->scope, &view->topic->id, 0, 0, &reader, NULL) : CAIRN_E_NOMEM;
    for (uint32_t i = 0; i < partitions && err == CAIRN_OK; i++)
        starts[i] = -1;
    for (; at < partitions && err == CAIRN_OK && work->partitions_left > 0 && work->items_left > 0; at++, work->partitions_left--)
        any |= partition_start(broker, view, reader, at, now_us, &starts[at]) == CAIRN_OK && starts[at] >= 0;
    cairn_partition_reader_free(reader);
    if (err == CAIRN_OK && at < partitions)
        work->next_partition = at;
    if (any)
        (void)starts_raise(broker, name, &view->topic->id, starts, partitions, NULL);
    free(starts);
    view_release(view);
}

void
retention_tick(struct broker *broker, int64_t now_us)
{
    struct retention_work *work = broker->retention;
    if (!work)
        work = broker->retention = calloc(1, sizeof *work);
    if (!work)
        return;
    work->tick++;
    work->removed = store_removed(broker->store);
    work->items_left = TICK_ITEMS;
    work->partitions_left = TICK_PARTITIONS;
    list_topics(broker, work);
    size_t visits = work->topic_count < TICK_TOPICS ? work->topic_count : TICK_TOPICS;
    visits += visits > 0 && work->next_partition > 0; /* the first part of that topic comes last */
    for (; visits > 0 && work->partitions_left > 0 && work->items_left > 0; visits--) {
        if (work->next_topic >= work->topic_count)
            work->next_topic = work->next_partition = 0;
        retain_topic(broker, work->topics[work->next_topic], now_us);
        work->next_topic += work->next_partition == 0;
    }
}

void
retention_close(struct broker *broker)
{
    struct retention_work *work = broker->retention;
    if (!work)
        return;
    for (size_t i = 0; i < work->capacity; i++)
        for (struct tally *tally = work->slots[i], *next; tally; tally = next) {
            next = tally->next;
            free(tally);
        }
    free(work->slots);
    free(work->topics);
    arena_free(&work->arena);
    free(work);
}

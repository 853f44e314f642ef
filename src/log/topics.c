/* The tables of topics: topics.h says what they are for.
 *
 * A table finds a topic by its name, its id and its category; it holds one count of each. The log's two tables differ by the
 * queue: changes that are sequenced and not yet durable, oldest first, each with what it replaced, so that a full disk can
 * take them back. */
#include "attempt.h"
#include "topics.h"
#include <batch/event.h>

struct entry {
    struct hash128 key;
    cairn_topic_ref *ref; /* NULL: free */
};

struct map {
    struct entry *entries;
    size_t capacity, count; /* capacity: 0, or a power of two, at most half full */
};

struct topics {
    struct map by_name, by_id, by_category;
    uint64_t partitions;
};

struct change {
    cairn_topic_ref *ref, *before; /* before: NULL when there was none */
    uint64_t position;
};

struct log_topics {
    pthread_rwlock_t lock; /* of the tables; changed only under the sequence lock besides */
    struct topics sequenced, durable;
    struct change *queue; /* under the sequence lock */
    size_t queue_count, queue_capacity;
    _Atomic uint64_t any;
    _Atomic uint64_t sequenced_changes, changes;
};

const cairn_topic *
cairn_topic_of(const cairn_topic_ref *ref)
{
    return &ref->topic;
}

uint64_t
cairn_topic_revision(const cairn_topic_ref *ref)
{
    return ref->revision;
}

void
cairn_topic_release(cairn_topic_ref *ref)
{
    if (ref != NULL && atomic_fetch_sub_explicit(&ref->count, 1, memory_order_acq_rel) == 1)
        free(ref);
}

bool
is_topic_stream(cairn_str stream)
{
    return stream.size > sizeof TOPIC_PREFIX - 1 && memcmp(stream.data, TOPIC_PREFIX, sizeof TOPIC_PREFIX - 1) == 0;
}

struct hash128
partition_key(const struct log *log, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition)
{
    char name[20];
    memcpy(name, topic_id->bytes, 16);
    store32(name + 16, partition);
    return log_key(log, KEY_PARTITION, scope, (cairn_str){name, sizeof name});
}

struct hash128
producer_key(const struct log *log, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition, int64_t producer_id)
{
    char name[28];
    memcpy(name, topic_id->bytes, 16);
    store32(name + 16, partition);
    store64(name + 20, (uint64_t)producer_id);
    return log_key(log, KEY_PRODUCER, scope, (cairn_str){name, sizeof name});
}

/* ---- maps ---------------------------------------------------------------------------------------------------------------- */

static struct entry *
find(const struct map *map, struct hash128 key)
{
    size_t mask = map->capacity - 1, at = key.low & mask;
    while (map->entries[at].ref != NULL && (map->entries[at].key.low != key.low || map->entries[at].key.high != key.high))
        at = (at + 1) & mask;
    return &map->entries[at];
}

static cairn_topic_ref *
look_up(const struct map *map, struct hash128 key)
{
    return map->count > 0 ? find(map, key)->ref : NULL;
}

static bool
grow(struct map *map, size_t more)
{
    if (map->capacity > 0 && (map->count + more) * 2 <= map->capacity)
        return true;
    struct map larger = {.capacity = map->capacity ? map->capacity : 16, .count = map->count};
    while ((map->count + more) * 2 > larger.capacity)
        larger.capacity *= 2;
    larger.entries = calloc(larger.capacity, sizeof *larger.entries);
    if (larger.entries == NULL)
        return false;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->entries[i].ref != NULL)
            *find(&larger, map->entries[i].key) = map->entries[i];
    free(map->entries);
    *map = larger;
    return true;
}

static void
put(struct map *map, struct hash128 key, cairn_topic_ref *ref)
{
    struct entry *entry = find(map, key);
    map->count += entry->ref == NULL;
    *entry = (struct entry){key, ref};
}

/* What follows without a gap moves up, so that no search ends too early. */
static void
take_out(struct map *map, struct hash128 key)
{
    size_t mask = map->capacity - 1, gap = (size_t)(find(map, key) - map->entries);
    if (map->entries[gap].ref == NULL)
        return;
    map->count--;
    for (size_t at = (gap + 1) & mask; map->entries[at].ref != NULL; at = (at + 1) & mask) {
        size_t home = map->entries[at].key.low & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            map->entries[gap] = map->entries[at];
            gap = at;
        }
    }
    map->entries[gap].ref = NULL;
}

/* ---- a table ---------------------------------------------------------------------------------------------------------------- */

struct topics *
topics_new(void)
{
    return calloc(1, sizeof(struct topics));
}

static void
clear(struct topics *topics)
{
    for (size_t i = 0; i < topics->by_name.capacity; i++)
        cairn_topic_release(topics->by_name.entries[i].ref);
    free(topics->by_name.entries);
    free(topics->by_id.entries);
    free(topics->by_category.entries);
}

void
topics_free(struct topics *topics)
{
    if (topics == NULL)
        return;
    clear(topics);
    free(topics);
}

static bool
make_room(struct topics *topics, size_t more)
{
    return grow(&topics->by_name, more) && grow(&topics->by_id, more) && grow(&topics->by_category, more);
}

static void
remove_topic(struct topics *topics, struct hash128 name_key)
{
    cairn_topic_ref *ref = look_up(&topics->by_name, name_key);
    if (ref == NULL)
        return;
    take_out(&topics->by_name, ref->name_key);
    take_out(&topics->by_id, ref->id_key);
    take_out(&topics->by_category, ref->category_key);
    topics->partitions -= ref->topic.partitions;
    cairn_topic_release(ref);
}

/* With room made. */
static void
enter(struct topics *topics, cairn_topic_ref *ref)
{
    remove_topic(topics, ref->name_key);
    if (ref->deleted)
        return;
    put(&topics->by_name, ref->name_key, topic_keep(ref));
    put(&topics->by_id, ref->id_key, ref);
    put(&topics->by_category, ref->category_key, ref);
    topics->partitions += ref->topic.partitions;
}

static struct hash128
key_of_name(const struct log *log, cairn_scope scope, cairn_str name)
{
    return log_key(log, KEY_TOPIC_NAME, scope, name);
}

static cairn_err
parse_record(const struct log *log, const struct topics *topics, const struct record *record, cairn_topic_ref **ret,
             cairn_error *error)
{
    size_t prefix = sizeof TOPIC_PREFIX - 1;
    cairn_str name = {record->stream.data + prefix, record->stream.size - prefix};
    const cairn_topic_ref *before = look_up(&topics->by_name, key_of_name(log, record->scope, name));
    cairn_error inner = {0};
    cairn_err err = topic_parse(log, record->scope, record->event.data, record->revision, before, ret, &inner);
    if (err == CAIRN_OK && !cairn_str_equal((*ret)->topic.name, name)) {
        cairn_topic_release(*ret);
        err = error_set(&inner, CAIRN_E_CORRUPT, "it is that of another topic");
    }
    return err == CAIRN_OK ? CAIRN_OK
                           : error_set(error, err, "the definition at position %llu: %s",
                                       (unsigned long long)record->position, inner.detail);
}

cairn_err
topics_apply(struct log *log, struct topics *topics, const struct record *record, cairn_error *error)
{
    cairn_topic_ref *ref;
    cairn_err err = parse_record(log, topics, record, &ref, error);
    if (err != CAIRN_OK)
        return err;
    if (make_room(topics, 1))
        enter(topics, ref);
    else
        err = error_set(error, CAIRN_E_NOMEM, "no memory for a topic");
    cairn_topic_release(ref);
    return err;
}

uint32_t
stream_partition(cairn_str stream, uint32_t partitions)
{
    char text[RECORD_STREAM_MAX];
    cairn_str key;
    return stream_record_key(stream, text, &key) ? key_partition(key, partitions) : 0;
}

bool
topics_place(const struct log *log, const struct topics *topics, cairn_scope scope, cairn_str stream,
             struct hash128 *ret_key, uint64_t *ret_first)
{
    if (topics->by_name.count == 0 || stream.size == 0 || stream.data[0] == '$')
        return false;
    const cairn_topic_ref *ref = look_up(&topics->by_category, log_key(log, KEY_CATEGORY, scope, category_of(stream)));
    if (ref == NULL)
        return false;
    uint32_t partition = stream_partition(stream, ref->topic.partitions);
    *ret_key = partition_key(log, scope, &ref->topic.id, partition);
    *ret_first = topic_linked(ref, partition);
    return true;
}

cairn_err
topics_entry(const struct log *log, const struct topics *topics, struct series *series, const struct record *record,
             struct log_entry entries[LOG_KEYS_MAX], size_t *n, cairn_error *error)
{
    struct hash128 key;
    uint64_t first;
    if (record->unfolded || !topics_place(log, topics, record->scope, record->stream, &key, &first))
        return CAIRN_OK;
    struct series_head head;
    cairn_err err = cairn_series_head(series, key, record->position, &head, error);
    if (err != CAIRN_OK && err != CAIRN_E_END)
        return err;
    assert(*n < LOG_KEYS_MAX);
    entries[(*n)++] = (struct log_entry){key, err == CAIRN_OK ? head.ordinal + 1 : first};
    return CAIRN_OK;
}

/* ---- the log's -------------------------------------------------------------------------------------------------------------- */

cairn_err
log_topics_open(struct log *log, cairn_error *error)
{
    struct log_topics *topics = calloc(1, sizeof *topics);
    if (topics == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a log");
    pthread_rwlockattr_t attributes; /* a change waits under the sequence lock: readers must not keep it waiting */
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&topics->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    log->topics = topics;
    return CAIRN_OK;
}

void
log_topics_close(struct log *log)
{
    struct log_topics *topics = log->topics;
    if (topics == NULL)
        return;
    for (size_t i = 0; i < topics->queue_count; i++) {
        cairn_topic_release(topics->queue[i].ref);
        cairn_topic_release(topics->queue[i].before);
    }
    free(topics->queue);
    clear(&topics->sequenced);
    clear(&topics->durable);
    pthread_rwlock_destroy(&topics->lock);
    free(topics);
    log->topics = NULL;
}

static void
count_any(struct log_topics *topics)
{
    atomic_store_explicit(&topics->any, topics->sequenced.by_name.count + topics->durable.by_name.count,
                          memory_order_release);
}

cairn_err
log_topics_apply(struct log *log, const struct record *record, cairn_error *error)
{
    struct log_topics *topics = log->topics;
    cairn_topic_ref *ref;
    cairn_err err = parse_record(log, &topics->durable, record, &ref, error);
    if (err != CAIRN_OK)
        return err;
    pthread_rwlock_wrlock(&topics->lock);
    if (make_room(&topics->durable, 1) && make_room(&topics->sequenced, 1)) {
        enter(&topics->durable, ref);
        enter(&topics->sequenced, ref);
        count_any(topics);
        atomic_fetch_add(&topics->changes, 1);
        atomic_fetch_add(&topics->sequenced_changes, 1);
    } else {
        err = error_set(error, CAIRN_E_NOMEM, "no memory for a topic");
    }
    pthread_rwlock_unlock(&topics->lock);
    cairn_topic_release(ref);
    return err;
}

const struct topics *
log_topics_durable(const struct log *log)
{
    return &log->topics->durable;
}

cairn_err
log_topics_load(struct log *log, uint64_t end, cairn_error *error)
{
    struct block *block = block_new();
    if (block == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to read the log");
    struct series_read read = {.key = log_key(log, KEY_TOPICS, 0, (cairn_str){0}), .by = SERIES_BY_POSITION, .end = end};
    struct series_head entries[64];
    size_t count = 0;
    cairn_err err;
    do {
        err = cairn_series_read(log->series, &read, entries, 64, &count, error);
        for (size_t i = 0; err == CAIRN_OK && i < count; i++) {
            struct record record;
            err = log_read_record(log, block, entries[i].position, BLOCK_POINT, &record, error);
            if (err == CAIRN_OK && record.kind == RECORD_EVENT)
                err = log_topics_apply(log, &record, error);
            read.from = entries[i].position + 1;
        }
    } while (err == CAIRN_OK && count > 0);
    block_free(block);
    return err;
}

bool
log_topics_any(const struct log *log)
{
    return atomic_load_explicit(&log->topics->any, memory_order_acquire) > 0;
}

uint64_t
log_topics_sequenced_changes(const struct log *log)
{
    return atomic_load_explicit(&log->topics->sequenced_changes, memory_order_acquire);
}

uint64_t
log_topics_changes(const struct log *log)
{
    return atomic_load_explicit(&log->topics->changes, memory_order_acquire);
}

static cairn_topic_ref *
get(struct log *log, struct hash128 key, size_t map_offset, bool sequenced)
{
    struct log_topics *topics = log->topics;
    pthread_rwlock_rdlock(&topics->lock);
    const char *table = (const char *)(sequenced ? &topics->sequenced : &topics->durable);
    cairn_topic_ref *ref = look_up((const struct map *)(const void *)(table + map_offset), key);
    if (ref != NULL)
        topic_keep(ref);
    pthread_rwlock_unlock(&topics->lock);
    return ref;
}

cairn_topic_ref *
log_topic_by_id(struct log *log, cairn_scope scope, const cairn_uuid *id, bool sequenced)
{
    struct hash128 key = log_key(log, KEY_TOPIC_ID, scope, (cairn_str){(const char *)id->bytes, 16});
    return get(log, key, offsetof(struct topics, by_id), sequenced);
}

cairn_topic_ref *
log_topic_by_name(struct log *log, cairn_scope scope, cairn_str name, bool sequenced)
{
    return name.size <= TOPIC_NAME_MAX
               ? get(log, key_of_name(log, scope, name), offsetof(struct topics, by_name), sequenced)
               : NULL;
}

bool
log_topics_place(struct log *log, cairn_scope scope, cairn_str stream, struct hash128 *ret_key, uint64_t *ret_first)
{
    if (!log_topics_any(log))
        return false;
    pthread_rwlock_rdlock(&log->topics->lock);
    bool placed = topics_place(log, &log->topics->sequenced, scope, stream, ret_key, ret_first);
    pthread_rwlock_unlock(&log->topics->lock);
    return placed;
}

bool
topic_hides_batch(struct log *log, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition, uint64_t last_offset)
{
    struct hash128 key = log_key(log, KEY_TOPIC_ID, scope, (cairn_str){(const char *)topic_id->bytes, 16});
    pthread_rwlock_rdlock(&log->topics->lock);
    const cairn_topic_ref *ref = look_up(&log->topics->durable.by_id, key);
    bool hidden = ref == NULL || partition >= ref->topic.partitions || last_offset < topic_start(ref, partition);
    pthread_rwlock_unlock(&log->topics->lock);
    return hidden;
}

/* ---- changes in flight ------------------------------------------------------------------------------------------------------ */

/* A category's series must not have gone on since it was read for the links. */
static bool
check_history(struct log *log, struct attempt *attempt)
{
    struct topic_change *change = attempt->change;
    struct series_head head;
    switch (cairn_series_known(log->series, change->ref->category_key, &head)) {
    case SERIES_ABSENT:
        return true;
    case SERIES_PRESENT:
        change->has_more = head.position >= change->looked_end;
        return true;
    default:
        attempt->need = NEED_HEAD;
        attempt->head = change->ref->category_key;
        return false;
    }
}

cairn_err
topic_check_change(struct log *log, struct attempt *attempt, cairn_error *error)
{
    struct log_topics *topics = log->topics;
    struct topic_change *change = attempt->change;
    const cairn_topic_ref *ref = change->ref;
    const cairn_topic_ref *before = look_up(&topics->sequenced.by_name, ref->name_key);
    const cairn_topic_ref *other = look_up(&topics->sequenced.by_category, ref->category_key);
    change->has_more = false;
    if (!ref->deleted) {
        const cairn_topic_ref *same = look_up(&topics->sequenced.by_id, ref->id_key);
        if (same != NULL && same != before)
            return error_set(error, CAIRN_E_EXISTS, "there is a topic of that id already");
        if (other != NULL && other != before)
            return error_set(error, CAIRN_E_EXISTS, "the category has a topic already: %.*s", (int)other->topic.name.size,
                             other->topic.name.data);
        if (before == NULL && topics->sequenced.by_name.count >= LOG_TOPICS_MAX)
            return error_set(error, CAIRN_E_LIMIT, "there are %u topics, which is the limit", LOG_TOPICS_MAX);
        if (topics->sequenced.partitions - (before ? before->topic.partitions : 0) + ref->topic.partitions
            > LOG_PARTITIONS_MAX)
            return error_set(error, CAIRN_E_LIMIT, "all topics would have more than %u partitions, which is the limit",
                             LOG_PARTITIONS_MAX);
        if (change->is_new && !check_history(log, attempt))
            return CAIRN_OK;
        if (change->has_more)
            return error_set(error, CAIRN_E_BUSY, "events come to the category while the topic is made; try again");
    }
    if (topics->queue_count == topics->queue_capacity) {
        size_t capacity = topics->queue_capacity ? topics->queue_capacity * 2 : 16;
        struct change *queue = realloc(topics->queue, capacity * sizeof *queue);
        if (queue == NULL)
            return error_set(error, CAIRN_E_NOMEM, "no memory for a topic");
        topics->queue = queue;
        topics->queue_capacity = capacity;
    }
    pthread_rwlock_wrlock(&topics->lock);
    bool room = make_room(&topics->sequenced, topics->queue_count + 1)
                && make_room(&topics->durable, topics->queue_count + 1);
    pthread_rwlock_unlock(&topics->lock);
    return room ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for a topic");
}

void
topic_placed(struct log *log, const struct topic_change *change, uint64_t revision, uint64_t position)
{
    struct log_topics *topics = log->topics;
    cairn_topic_ref *ref = change->ref, *before = look_up(&topics->sequenced.by_name, ref->name_key);
    assert(topics->queue_count < topics->queue_capacity);
    ref->revision = revision; /* nobody else has it yet */
    topics->queue[topics->queue_count++]
        = (struct change){topic_keep(ref), before ? topic_keep(before) : NULL, position};
    pthread_rwlock_wrlock(&topics->lock);
    enter(&topics->sequenced, ref);
    count_any(topics);
    atomic_fetch_add_explicit(&topics->sequenced_changes, 1, memory_order_release);
    pthread_rwlock_unlock(&topics->lock);
}

void
topics_settle(struct log *log, uint64_t end)
{
    struct log_topics *topics = log->topics;
    size_t settled = 0;
    if (topics->queue_count == 0)
        return;
    pthread_rwlock_wrlock(&topics->lock);
    for (; settled < topics->queue_count && topics->queue[settled].position < end; settled++) {
        enter(&topics->durable, topics->queue[settled].ref);
        cairn_topic_release(topics->queue[settled].ref);
        cairn_topic_release(topics->queue[settled].before);
        atomic_fetch_add_explicit(&topics->changes, 1, memory_order_release);
    }
    count_any(topics);
    pthread_rwlock_unlock(&topics->lock);
    topics->queue_count -= settled;
    memmove(topics->queue, topics->queue + settled, topics->queue_count * sizeof *topics->queue);
}

void
topics_forget(struct log *log)
{
    struct log_topics *topics = log->topics;
    if (topics->queue_count == 0)
        return;
    pthread_rwlock_wrlock(&topics->lock);
    while (topics->queue_count > 0) {
        struct change *change = &topics->queue[--topics->queue_count];
        remove_topic(&topics->sequenced, change->ref->name_key);
        if (change->before != NULL)
            enter(&topics->sequenced, change->before);
        cairn_topic_release(change->ref);
        cairn_topic_release(change->before);
    }
    count_any(topics);
    atomic_fetch_add_explicit(&topics->sequenced_changes, 1, memory_order_release);
    pthread_rwlock_unlock(&topics->lock);
}

/* ---- asking ------------------------------------------------------------------------------------------------------------------ */

static cairn_err
not_found(cairn_error *error)
{
    return error_set(error, CAIRN_E_NOTFOUND, "there is no such topic");
}

cairn_err
cairn_log_topic_get(struct log *log, cairn_scope scope, cairn_str name, cairn_topic_ref **ret, cairn_error *error)
{
    cairn_topic_ref *ref = log_topic_by_name(log, scope, name, false);
    if (ref == NULL)
        return not_found(error);
    *ret = ref;
    return CAIRN_OK;
}

cairn_err
cairn_log_topic_by_id(struct log *log, cairn_scope scope, const cairn_uuid *id, cairn_topic_ref **ret, cairn_error *error)
{
    cairn_topic_ref *ref = log_topic_by_id(log, scope, id, false);
    if (ref == NULL)
        return not_found(error);
    *ret = ref;
    return CAIRN_OK;
}

static int
by_name(const void *a, const void *b)
{
    const cairn_topic *x = &(*(cairn_topic_ref *const *)a)->topic, *y = &(*(cairn_topic_ref *const *)b)->topic;
    return cairn_str_order(x->name, y->name);
}

/* The list is taken first, so that `visit` may do what it likes. */
cairn_err
cairn_log_topics(struct log *log, cairn_scope scope, cairn_topic_visit visit, void *context, cairn_error *error)
{
    struct log_topics *topics = log->topics;
    pthread_rwlock_rdlock(&topics->lock);
    const struct map *map = &topics->durable.by_name;
    size_t count = 0;
    cairn_topic_ref **refs = malloc((map->count + 1) * sizeof *refs);
    for (size_t i = 0; refs != NULL && i < map->capacity; i++)
        if (map->entries[i].ref != NULL && map->entries[i].ref->scope == scope)
            refs[count++] = topic_keep(map->entries[i].ref);
    pthread_rwlock_unlock(&topics->lock);
    if (refs == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to list the topics");
    qsort(refs, count, sizeof *refs, by_name);
    bool more = true;
    for (size_t i = 0; i < count; i++) {
        more = more && visit(context, &refs[i]->topic, refs[i]->revision);
        cairn_topic_release(refs[i]);
    }
    free(refs);
    return CAIRN_OK;
}

uint64_t
cairn_log_topics_changes(struct log *log)
{
    return log_topics_changes(log);
}

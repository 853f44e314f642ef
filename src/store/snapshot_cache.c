/* A hash table of entries that are also on a list, most recently used first. See the header. */
#include "snapshot_cache.h"

#include <base/hash.h>
#include <pthread.h>
#include <stdlib.h>

struct entry {
    struct entry *next_in_bucket;
    struct entry *newer, *older;
    uint64_t hash;
    cairn_scope scope;
    cairn_str stream; /* in the same piece of memory, after the entry */
    cairn_snapshot snapshot;
    void *memory;
    int64_t since_us;
    uint64_t size_bytes;
};

struct snapshot_cache {
    pthread_mutex_t lock;
    struct entry **buckets;
    size_t bucket_count; /* a power of two, at least as many as entries */
    struct entry *newest, *oldest;
    uint64_t size_max_bytes;
    uint64_t generation;
    struct snapshot_cache_stats stats;
};

#define BUCKETS_FIRST 64

void *
snapshot_copy(const cairn_snapshot *from, cairn_snapshot *ret)
{
    char *memory = malloc(from->content_type.size + from->data.size + 1);
    if (memory == NULL)
        return NULL;
    if (from->data.size > 0)
        memcpy(memory, from->data.data, from->data.size);
    if (from->content_type.size > 0)
        memcpy(memory + from->data.size, from->content_type.data, from->content_type.size);
    ret->revision = from->revision;
    ret->data = (cairn_str){memory, from->data.size};
    ret->content_type = (cairn_str){memory + from->data.size, from->content_type.size};
    return memory;
}

struct snapshot_cache *
snapshot_cache_new(uint64_t size_max_bytes)
{
    struct snapshot_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return NULL;
    cache->buckets = calloc(BUCKETS_FIRST, sizeof(struct entry *));
    if (cache->buckets == NULL) {
        free(cache);
        return NULL;
    }
    cache->bucket_count = BUCKETS_FIRST;
    cache->size_max_bytes = size_max_bytes;
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

static void
unlink_entry(struct snapshot_cache *cache, struct entry *entry)
{
    if (entry->newer)
        entry->newer->older = entry->older;
    else
        cache->newest = entry->older;
    if (entry->older)
        entry->older->newer = entry->newer;
    else
        cache->oldest = entry->newer;
    entry->newer = entry->older = NULL;
}

static void
link_newest(struct snapshot_cache *cache, struct entry *entry)
{
    entry->older = cache->newest;
    if (cache->newest)
        cache->newest->newer = entry;
    else
        cache->oldest = entry;
    cache->newest = entry;
}

static void
remove_entry(struct snapshot_cache *cache, struct entry *entry)
{
    struct entry **at = &cache->buckets[entry->hash & (cache->bucket_count - 1)];
    while (*at != entry)
        at = &(*at)->next_in_bucket;
    *at = entry->next_in_bucket;
    unlink_entry(cache, entry);
    cache->stats.bytes -= entry->size_bytes;
    cache->stats.entries--;
    free(entry->memory);
    free(entry);
}

void
snapshot_cache_free(struct snapshot_cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->newest)
        remove_entry(cache, cache->newest);
    pthread_mutex_destroy(&cache->lock);
    free(cache->buckets);
    free(cache);
}

static struct entry *
find(struct snapshot_cache *cache, cairn_scope scope, cairn_str stream, uint64_t hash)
{
    struct entry *entry = cache->buckets[hash & (cache->bucket_count - 1)];
    while (entry && !(entry->hash == hash && entry->scope == scope &&
                      cairn_str_equal(entry->stream, stream)))
        entry = entry->next_in_bucket;
    return entry;
}

/* A table that cannot grow only gets slower. */
static void
grow(struct snapshot_cache *cache)
{
    size_t count = cache->bucket_count * 2;
    struct entry **buckets = calloc(count, sizeof(struct entry *));
    if (buckets == NULL)
        return;
    for (struct entry *entry = cache->newest; entry; entry = entry->older) {
        struct entry **at = &buckets[entry->hash & (count - 1)];
        entry->next_in_bucket = *at;
        *at = entry;
    }
    free(cache->buckets);
    cache->buckets = buckets;
    cache->bucket_count = count;
}

static void
insert(struct snapshot_cache *cache, cairn_scope scope, cairn_str stream, uint64_t hash,
       const cairn_snapshot *snapshot, int64_t now_us)
{
    uint64_t size = sizeof(struct entry) + stream.size + snapshot->data.size +
                    snapshot->content_type.size + 1;
    if (size > cache->size_max_bytes)
        return;
    struct entry *entry = calloc(1, sizeof *entry + stream.size);
    if (entry == NULL)
        return;
    entry->memory = snapshot_copy(snapshot, &entry->snapshot);
    if (entry->memory == NULL) {
        free(entry);
        return;
    }
    while (cache->stats.bytes + size > cache->size_max_bytes)
        remove_entry(cache, cache->oldest);
    if (cache->stats.entries >= cache->bucket_count)
        grow(cache);
    memcpy(entry + 1, stream.data, stream.size);
    entry->stream = (cairn_str){(const char *)(entry + 1), stream.size};
    entry->scope = scope;
    entry->hash = hash;
    entry->since_us = now_us;
    entry->size_bytes = size;
    struct entry **at = &cache->buckets[hash & (cache->bucket_count - 1)];
    entry->next_in_bucket = *at;
    *at = entry;
    link_newest(cache, entry);
    cache->stats.bytes += size;
    cache->stats.entries++;
}

cairn_err
snapshot_cache_get(struct snapshot_cache *cache, cairn_scope scope, cairn_str stream,
                   int64_t now_us, cairn_snapshot *ret, void **ret_memory,
                   uint64_t *ret_generation)
{
    uint64_t hash = hash64(stream.data, stream.size, scope);
    cairn_err err = CAIRN_E_NOTFOUND;
    pthread_mutex_lock(&cache->lock);
    struct entry *entry = find(cache, scope, stream, hash);
    if (entry && now_us - entry->since_us > SNAPSHOT_CACHE_AGE_US) {
        remove_entry(cache, entry);
        entry = NULL;
    }
    if (entry) {
        cache->stats.hits++;
        unlink_entry(cache, entry);
        link_newest(cache, entry);
        void *memory = snapshot_copy(&entry->snapshot, ret);
        err = memory ? CAIRN_OK : CAIRN_E_NOMEM;
        if (memory)
            *ret_memory = memory;
    } else {
        cache->stats.misses++;
        *ret_generation = cache->generation;
    }
    pthread_mutex_unlock(&cache->lock);
    return err;
}

static void
replace(struct snapshot_cache *cache, cairn_scope scope, cairn_str stream,
        const cairn_snapshot *snapshot, int64_t now_us)
{
    uint64_t hash = hash64(stream.data, stream.size, scope);
    struct entry *old = find(cache, scope, stream, hash);
    if (old)
        remove_entry(cache, old);
    if (snapshot)
        insert(cache, scope, stream, hash, snapshot, now_us);
}

void
snapshot_cache_fill(struct snapshot_cache *cache, cairn_scope scope, cairn_str stream,
                    const cairn_snapshot *snapshot, int64_t now_us, uint64_t generation)
{
    pthread_mutex_lock(&cache->lock);
    if (cache->generation == generation)
        replace(cache, scope, stream, snapshot, now_us);
    pthread_mutex_unlock(&cache->lock);
}

void
snapshot_cache_put(struct snapshot_cache *cache, cairn_scope scope, cairn_str stream,
                   const cairn_snapshot *snapshot, int64_t now_us)
{
    pthread_mutex_lock(&cache->lock);
    cache->generation++;
    replace(cache, scope, stream, snapshot, now_us);
    pthread_mutex_unlock(&cache->lock);
}

void
snapshot_cache_drop(struct snapshot_cache *cache, cairn_scope scope, cairn_str stream)
{
    pthread_mutex_lock(&cache->lock);
    cache->generation++;
    replace(cache, scope, stream, NULL, 0);
    pthread_mutex_unlock(&cache->lock);
}

void
snapshot_cache_stats(struct snapshot_cache *cache, struct snapshot_cache_stats *ret)
{
    pthread_mutex_lock(&cache->lock);
    *ret = cache->stats;
    pthread_mutex_unlock(&cache->lock);
}

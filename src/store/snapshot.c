/* Snapshots: see snapshot.h for the bytes and cairn/store.h for the promises.
 *
 *   put:  check against the stream ─► compress ─► append to "$snapshot-<stream>" ─► cache
 *   get:  cache, else last event of "$snapshot-<stream>" ─► check, decompress ─► cache
 *
 * The last put wins: an older revision put later is still a true state of its revision, and whoever
 * reads it goes on from there. */
#include "snapshot.h"

#include <base/bytes.h>
#include <base/error.h>
#include <base/hash.h>
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

#include "request.h"
#include "snapshot_cache.h"

#define PREFIX "$snapshot-"
#define EVENT_TYPE "$snapshot"
#define REMOVED_TYPE "$snapshot-removed"
#define EVENT_CONTENT_TYPE "application/vnd.cairn.snapshot"
#define NAME_SIZE_MAX (sizeof PREFIX - 1 + 512)
#define HEADER_SIZE 16
#define FORM 1
#define COMPRESSION_LEVEL 3
#define LOCKS 64

enum codec { CODEC_NONE = 0, CODEC_ZSTD = 1 };

struct snapshots {
    struct snapshot_cache *cache;
    pthread_mutex_t locks[LOCKS];
};

struct snapshots *
snapshots_new(uint64_t cache_bytes)
{
    struct snapshots *snapshots = calloc(1, sizeof *snapshots);
    if (snapshots == NULL)
        return NULL;
    snapshots->cache = snapshot_cache_new(cache_bytes);
    if (snapshots->cache == NULL) {
        free(snapshots);
        return NULL;
    }
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&snapshots->locks[i], NULL);
    return snapshots;
}

void
snapshots_free(struct snapshots *snapshots)
{
    if (snapshots == NULL)
        return;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&snapshots->locks[i]);
    snapshot_cache_free(snapshots->cache);
    free(snapshots);
}

uint64_t
snapshots_memory(struct snapshots *snapshots)
{
    struct snapshot_cache_stats stats;
    snapshot_cache_stats(snapshots->cache, &stats);
    return stats.bytes;
}

void
snapshots_counts(struct snapshots *snapshots, uint64_t *ret_hits, uint64_t *ret_misses)
{
    struct snapshot_cache_stats stats;
    snapshot_cache_stats(snapshots->cache, &stats);
    *ret_hits = stats.hits;
    *ret_misses = stats.misses;
}

static pthread_mutex_t *
lock_of(struct snapshots *snapshots, cairn_scope scope, cairn_str stream)
{
    return &snapshots->locks[hash64(stream.data, stream.size, scope) % LOCKS];
}

/* "$snapshot-<stream>" in `to`. The stream has passed request_check_own(). */
static cairn_str
name_of(cairn_str stream, char to[NAME_SIZE_MAX])
{
    memcpy(to, PREFIX, sizeof PREFIX - 1);
    memcpy(to + sizeof PREFIX - 1, stream.data, stream.size);
    return (cairn_str){to, sizeof PREFIX - 1 + stream.size};
}

static cairn_err
check_stream(cairn_store *store, cairn_str stream, cairn_error *error)
{
    if (store == NULL)
        return error_set(error, CAIRN_E_INVALID, "no store given");
    return request_check_own(stream, error);
}

/* ---- the stored form ---------------------------------------------------------------------- */

static cairn_err
encode(const cairn_snapshot *snapshot, struct buf *to, cairn_error *error)
{
    size_t size = snapshot->data.size;
    size_t bound = ZSTD_compressBound(size);
    buf_clear(to);
    if (!buf_reserve(to, HEADER_SIZE + snapshot->content_type.size + bound))
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    uint8_t header[HEADER_SIZE] = {FORM};
    store16(header + 2, (uint16_t)snapshot->content_type.size);
    store32(header + 4, (uint32_t)size);
    store64(header + 8, snapshot->revision);
    buf_put(to, header, sizeof header);
    buf_put_str(to, snapshot->content_type);
    size_t packed = ZSTD_compress(to->data + to->size, bound, snapshot->data.data, size,
                                  COMPRESSION_LEVEL);
    if (!ZSTD_isError(packed) && packed < size) {
        to->data[1] = CODEC_ZSTD;
        to->size += packed;
    } else {
        buf_put_str(to, snapshot->data);
    }
    return CAIRN_OK;
}

static cairn_err
damaged(const cairn_recorded *event, const char *what, cairn_error *error)
{
    return error_set(error, CAIRN_E_CORRUPT, "the snapshot at position %llu %s",
                     (unsigned long long)event->position, what);
}

/* The state into one piece of memory. Sizes are checked before they are believed. */
static cairn_err
decode(const cairn_recorded *event, cairn_snapshot *ret, void **ret_memory, cairn_error *error)
{
    cairn_str data = event->event.data;
    if (data.size < HEADER_SIZE)
        return damaged(event, "is too short", error);
    const uint8_t *header = (const uint8_t *)data.data;
    if (header[0] != FORM)
        return error_set(error, CAIRN_E_VERSION,
                         "the snapshot at position %llu has form %u, which this program does not "
                         "know",
                         (unsigned long long)event->position, header[0]);
    size_t type_size = load16(header + 2), size = load32(header + 4);
    if (HEADER_SIZE + type_size > data.size || size > SNAPSHOT_SIZE_MAX)
        return damaged(event, "has sizes that cannot be", error);
    const char *packed = data.data + HEADER_SIZE + type_size;
    size_t packed_size = data.size - HEADER_SIZE - type_size;
    cairn_snapshot snapshot = {.revision = load64(header + 8),
                               .content_type = {data.data + HEADER_SIZE, type_size}};
    char *memory = malloc(size + type_size + 1);
    if (memory == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    size_t got = SIZE_MAX;
    if (header[1] == CODEC_NONE && packed_size == size) {
        if (size > 0)
            memcpy(memory, packed, size);
        got = size;
    } else if (header[1] == CODEC_ZSTD) {
        got = ZSTD_decompress(memory, size, packed, packed_size);
    }
    if (got != size) {
        free(memory);
        return damaged(event, "does not decompress to what was put", error);
    }
    if (type_size > 0)
        memcpy(memory + size, snapshot.content_type.data, type_size);
    *ret = (cairn_snapshot){.revision = snapshot.revision,
                            .content_type = {memory + size, type_size},
                            .data = {memory, size}};
    *ret_memory = memory;
    return CAIRN_OK;
}

/* ---- put ---------------------------------------------------------------------------------- */

static cairn_err
check_snapshot(const cairn_snapshot *snapshot, cairn_error *error)
{
    if (snapshot == NULL)
        return error_set(error, CAIRN_E_INVALID, "snapshot is NULL");
    if (snapshot->data.size > 0 && snapshot->data.data == NULL)
        return error_set(error, CAIRN_E_INVALID, "the snapshot's data has a size but no bytes");
    if (snapshot->data.size > SNAPSHOT_SIZE_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the snapshot is %zu bytes; the limit is %u",
                         snapshot->data.size, SNAPSHOT_SIZE_MAX);
    if (snapshot->content_type.size > 0)
        return request_check_name(snapshot->content_type, "content type", error);
    return CAIRN_OK;
}

static cairn_err
check_revision(const cairn_stream_info *info, uint64_t revision, cairn_error *error)
{
    if (info->tombstoned)
        return error_set(error, CAIRN_E_GONE, "the stream bears a tombstone");
    if (info->last_revision < 0)
        return error_set(error, CAIRN_E_INVALID,
                         "the snapshot is of revision %llu, but the stream has no events",
                         (unsigned long long)revision);
    if (revision > (uint64_t)info->last_revision)
        return error_set(error, CAIRN_E_INVALID,
                         "the snapshot is of revision %llu; the stream's last is %lld",
                         (unsigned long long)revision, (long long)info->last_revision);
    return CAIRN_OK;
}

static cairn_err
append_event(cairn_store *store, cairn_scope scope, cairn_str stream, const cairn_event *event,
             cairn_error *error)
{
    char memory[NAME_SIZE_MAX];
    const cairn_write write = {name_of(stream, memory), CAIRN_ANY, event, 1};
    cairn_at at;
    return store_append_system(store, scope, &write, 1, &at, error);
}

static cairn_err
put_locked(cairn_store *store, cairn_scope scope, cairn_str stream,
           const cairn_snapshot *snapshot, const struct buf *bytes, cairn_error *error)
{
    cairn_stream_info info;
    cairn_err err = store->ops->stream_info(store, scope, stream, &info, error);
    if (err == CAIRN_OK)
        err = check_revision(&info, snapshot->revision, error);
    if (err == CAIRN_OK && bytes->size > store->event_size_max)
        err = error_set(error, CAIRN_E_LIMIT,
                        "the snapshot is %zu bytes when compressed; an event may have %u",
                        bytes->size, store->event_size_max);
    const cairn_event event = {.type = CAIRN_STR(EVENT_TYPE),
                               .content_type = CAIRN_STR(EVENT_CONTENT_TYPE),
                               .data = buf_str(bytes)};
    if (err == CAIRN_OK)
        err = append_event(store, scope, stream, &event, error);
    if (err == CAIRN_OK)
        snapshot_cache_put(store->snapshots->cache, scope, stream, snapshot,
                           os_monotonic_us(store->os));
    return err;
}

cairn_err
cairn_snapshot_put(cairn_store *store, cairn_scope scope, cairn_str stream,
                   const cairn_snapshot *snapshot, cairn_error *error)
{
    cairn_err err = check_stream(store, stream, error);
    if (err == CAIRN_OK)
        err = check_snapshot(snapshot, error);
    struct buf bytes = {0};
    if (err == CAIRN_OK)
        err = encode(snapshot, &bytes, error);
    if (err == CAIRN_OK) {
        pthread_mutex_t *lock = lock_of(store->snapshots, scope, stream);
        pthread_mutex_lock(lock);
        err = put_locked(store, scope, stream, snapshot, &bytes, error);
        pthread_mutex_unlock(lock);
    }
    buf_free(&bytes);
    return err;
}

/* ---- get ---------------------------------------------------------------------------------- */

static cairn_err
read_newest(cairn_store *store, cairn_scope scope, cairn_str stream, cairn_snapshot *ret,
            void **ret_memory, cairn_error *error)
{
    char memory[NAME_SIZE_MAX];
    const cairn_read_options newest = {
        .scope = scope, .from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD};
    cairn_reader *reader = NULL;
    cairn_err err =
        cairn_read_stream(store, name_of(stream, memory), &newest, &reader, error);
    cairn_recorded event;
    if (err == CAIRN_OK)
        err = cairn_reader_next(reader, &event, error);
    if (err == CAIRN_OK && cairn_str_equal(event.event.type, CAIRN_STR(REMOVED_TYPE)))
        err = CAIRN_E_END;
    if (err == CAIRN_OK)
        err = decode(&event, ret, ret_memory, error);
    else if (err == CAIRN_E_END)
        err = error_set(error, CAIRN_E_NOTFOUND, "the stream has no snapshot");
    cairn_reader_free(reader);
    return err;
}

cairn_err
cairn_snapshot_get(cairn_store *store, cairn_scope scope, cairn_str stream,
                   cairn_snapshot *ret_snapshot, void **ret_memory, cairn_error *error)
{
    cairn_err err = check_stream(store, stream, error);
    if (err == CAIRN_OK && (ret_snapshot == NULL || ret_memory == NULL))
        err = error_set(error, CAIRN_E_INVALID, "%s is NULL",
                        ret_snapshot ? "ret_memory" : "ret_snapshot");
    if (err != CAIRN_OK)
        return err;
    struct snapshot_cache *cache = store->snapshots->cache;
    int64_t now_us = os_monotonic_us(store->os);
    uint64_t generation = 0;
    err = snapshot_cache_get(cache, scope, stream, now_us, ret_snapshot, ret_memory, &generation);
    if (err == CAIRN_E_NOMEM)
        return error_set(error, err, "out of memory");
    if (err == CAIRN_OK)
        return err;
    err = read_newest(store, scope, stream, ret_snapshot, ret_memory, error);
    if (err == CAIRN_OK)
        snapshot_cache_fill(cache, scope, stream, ret_snapshot, now_us, generation);
    return err;
}

/* ---- delete ------------------------------------------------------------------------------- */

/* The snapshot goes first: without it the state is computed again from the events, while the other
 * way round a crash would leave the state of events that are gone. It stays when the delete is
 * going to be refused anyway. */
static cairn_err
delete_locked(cairn_store *store, cairn_scope scope, cairn_str stream, int64_t expected,
              bool tombstone, cairn_error *error)
{
    char memory[NAME_SIZE_MAX];
    cairn_stream_info info, own;
    cairn_err err = store->ops->stream_info(store, scope, stream, &info, error);
    if (err == CAIRN_OK)
        err = store->ops->stream_info(store, scope, name_of(stream, memory), &own, error);
    if (err != CAIRN_OK)
        return err;
    bool refused = info.tombstoned || info.last_revision < 0 || (!info.exists && !tombstone) ||
                   (expected >= 0 && expected != info.last_revision);
    if (own.exists && !refused) {
        const cairn_event removed = {.type = CAIRN_STR(REMOVED_TYPE)};
        err = append_event(store, scope, stream, &removed, error);
        if (err != CAIRN_OK)
            return err;
    }
    snapshot_cache_drop(store->snapshots->cache, scope, stream);
    return store->ops->delete(store, scope, stream, expected, tombstone, error);
}

cairn_err
snapshots_delete_stream(cairn_store *store, cairn_scope scope, cairn_str stream, int64_t expected,
                        bool tombstone, cairn_error *error)
{
    pthread_mutex_t *lock = lock_of(store->snapshots, scope, stream);
    pthread_mutex_lock(lock);
    cairn_err err = delete_locked(store, scope, stream, expected, tombstone, error);
    pthread_mutex_unlock(lock);
    return err;
}

/* Fetches that wait for more, and what all fetches share: memory, readers.
 *
 * A waiting fetch is an entry for each of its partitions in one table, and a timer on its loop; no thread waits. Who has
 * appended through this server says which partition moved (fetches_moved). Whatever came another way is found by looking at
 * all that is waited for: after each commit that has any of it, on the commit thread, while that is little; otherwise every
 * 50 ms (fetches_sweep).
 *
 *   READING ─fetches_wait─► WAITING ─a partition moved─► WOKEN ─fetch_again, on the loop─► READING
 *                              └──time is up, client gone: fetches_leave──► READING, and answered
 *
 * Whoever moves a fetch out of WAITING, under the lock, goes on with it: so a timer and a commit never both do.
 *
 * Nothing is missed: a fetch is in the table before it looks at its partitions' ends once more. */
#include <proto/kafka/fetch_int.h>

#include <base/error.h>
#include <base/hash.h>
#include <stdlib.h>

#define SLOTS 4096u
#define LOOK_MAX 256u                     /* partitions looked at on the commit thread */
#define FETCHES_MEMORY (UINT64_C(256) << 20)
#define READERS_MAX 16u
#define BUFFERS_MAX 8u
#define BUFFER_LEAST ((size_t)64 << 10) /* of a buffer that is kept … */
#define BUFFER_MOST ((size_t)2 << 20)   /* … at most; BUFFERS_MAX of them */

/* A reader that nobody uses now, and where it was used last: there it goes on without asking the index. */
struct kept_reader {
    cairn_partition_reader *reader;
    cairn_uuid topic_id;
    uint32_t partition;
};

struct fetches {
    struct calls *calls;
    atomic_uint_fast64_t reserved;
    atomic_uint_fast64_t told;            /* records that fetches_moved() was told of */
    uint64_t untold;                      /* the log's others, at the last commit */
    pthread_mutex_t lock;                 /* what follows */
    atomic_uint count;                    /* entries; read without the lock */
    uint64_t swept_end;
    struct kept_reader readers[READERS_MAX]; /* the last one was used last */
    unsigned reader_count;
    struct buf buffers[BUFFERS_MAX];
    unsigned buffer_count;
    struct fetching *waiting;             /* all of them */
    struct fetch_part *slots[SLOTS];
};

/* What is told of late looks like something that came another way, and might even hide one: then the next sweep finds it. */
static void
committed(void *context, uint64_t end)
{
    struct fetches *fetches = context;
    uint64_t told = atomic_load(&fetches->told), untold = cairn_end(fetches->calls->store) - told;
    (void)end; /* may be before what was told meanwhile */
    if (untold != fetches->untold && atomic_load(&fetches->count) <= LOOK_MAX)
        fetches_sweep(fetches);
    fetches->untold = untold;
}

cairn_err
fetches_new(struct calls *calls, struct fetches **ret, cairn_error *error)
{
    struct fetches *fetches = calloc(1, sizeof *fetches);
    if (!fetches)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    fetches->calls = calls;
    pthread_mutex_init(&fetches->lock, NULL);
    cairn_on_commit(calls->store, committed, fetches);
    *ret = fetches;
    return CAIRN_OK;
}

void
fetches_free(struct fetches *fetches)
{
    if (!fetches)
        return;
    cairn_on_commit(fetches->calls->store, NULL, fetches);
    for (unsigned i = 0; i < fetches->reader_count; i++)
        cairn_partition_reader_free(fetches->readers[i].reader);
    for (unsigned i = 0; i < fetches->buffer_count; i++)
        buf_free(&fetches->buffers[i]);
    pthread_mutex_destroy(&fetches->lock);
    free(fetches);
}

/* ---- memory -------------------------------------------------------------------------------------------------------------- */

bool
fetches_reserve(struct fetches *fetches, struct fetching *fetching, uint64_t want, uint64_t least)
{
    uint64_t used = atomic_load(&fetches->reserved), granted;
    do {
        uint64_t left = used < FETCHES_MEMORY ? FETCHES_MEMORY - used : 0;
        granted = want < left ? want : left;
        if (granted < want && granted < least)
            return false;
    } while (!atomic_compare_exchange_weak(&fetches->reserved, &used, used + granted));
    fetching->reserved += granted;
    return true;
}

void
fetches_settle(struct fetches *fetches, struct fetching *fetching, uint64_t used)
{
    atomic_fetch_add(&fetches->reserved, used - fetching->reserved);
    fetching->reserved = used;
}

void
fetches_buffer(struct fetches *fetches, size_t size, struct buf *to)
{
    pthread_mutex_lock(&fetches->lock);
    bool kept = fetches->buffer_count > 0;
    if (kept)
        *to = fetches->buffers[--fetches->buffer_count];
    pthread_mutex_unlock(&fetches->lock);
    if (!kept && !buf_reserve(to, size))
        to->failed = false; /* the batch itself may fit */
}

void
fetches_keep_buffer(struct fetches *fetches, struct buf *buffer)
{
    buf_clear(buffer);
    if (buffer->capacity >= BUFFER_LEAST && buffer->capacity <= BUFFER_MOST) {
        pthread_mutex_lock(&fetches->lock);
        if (fetches->buffer_count < BUFFERS_MAX) {
            fetches->buffers[fetches->buffer_count++] = *buffer;
            *buffer = (struct buf){.data = NULL};
        }
        pthread_mutex_unlock(&fetches->lock);
    }
    buf_free(buffer);
}

/* ---- readers ------------------------------------------------------------------------------------------------------------- */

/* Under the lock. */
static cairn_partition_reader *
take_at(struct fetches *fetches, unsigned at)
{
    struct kept_reader *kept = &fetches->readers[at];
    cairn_partition_reader *reader = kept->reader;
    memmove(kept, kept + 1, (--fetches->reader_count - at) * sizeof *kept);
    return reader;
}

/* Under the lock. The partition's own, or, when there are many, the one that was not used for longest. */
static cairn_partition_reader *
take_reader(struct fetches *fetches, const cairn_uuid *topic_id, uint32_t partition)
{
    for (unsigned at = fetches->reader_count; at-- > 0;) {
        const struct kept_reader *kept = &fetches->readers[at];
        if (kept->partition == partition && memcmp(&kept->topic_id, topic_id, sizeof *topic_id) == 0)
            return take_at(fetches, at);
    }
    return fetches->reader_count == READERS_MAX ? take_at(fetches, 0) : NULL;
}

cairn_partition_reader *
fetches_reader(struct fetches *fetches, const cairn_uuid *topic_id, uint32_t partition, uint64_t from, cairn_err *ret)
{
    pthread_mutex_lock(&fetches->lock);
    cairn_partition_reader *reader = take_reader(fetches, topic_id, partition);
    pthread_mutex_unlock(&fetches->lock);
    if (!reader) {
        *ret = cairn_read_partition(fetches->calls->store, fetches->calls->scope, topic_id, partition, from, &reader, NULL);
        return *ret == CAIRN_OK ? reader : NULL;
    }
    *ret = cairn_partition_seek(reader, topic_id, partition, from, NULL);
    if (*ret == CAIRN_OK)
        return reader;
    cairn_partition_reader_free(reader);
    return NULL;
}

void
fetches_give_back(struct fetches *fetches, cairn_partition_reader *reader, const cairn_uuid *topic_id, uint32_t partition)
{
    if (!reader)
        return;
    cairn_partition_reader *oldest = NULL;
    pthread_mutex_lock(&fetches->lock);
    if (fetches->reader_count == READERS_MAX)
        oldest = take_at(fetches, 0);
    fetches->readers[fetches->reader_count++] = (struct kept_reader){reader, *topic_id, partition};
    pthread_mutex_unlock(&fetches->lock);
    cairn_partition_reader_free(oldest);
}

/* ---- the table ----------------------------------------------------------------------------------------------------------- */

static struct fetch_part **
slot_of(struct fetches *fetches, const cairn_uuid *topic_id, uint32_t partition)
{
    return &fetches->slots[hash64(topic_id, sizeof *topic_id, partition) & (SLOTS - 1)];
}

/* Under the lock. */
static void
take_out(struct fetches *fetches, struct fetching *fetching)
{
    for (size_t i = 0; i < fetching->part_count; i++) {
        struct fetch_part *part = &fetching->parts[i];
        if (!part->link)
            continue;
        *part->link = part->next;
        if (part->next)
            part->next->link = part->link;
        part->link = NULL;
        atomic_fetch_sub(&fetches->count, 1);
    }
    *fetching->link = fetching->next;
    if (fetching->next)
        fetching->next->link = fetching->link;
}

static void
put_in(struct fetches *fetches, struct fetching *fetching)
{
    for (size_t i = 0; i < fetching->part_count; i++) {
        struct fetch_part *part = &fetching->parts[i];
        if (part->bad)
            continue;
        part->link = slot_of(fetches, &part->topic_id, part->partition);
        part->next = *part->link;
        if (part->next)
            part->next->link = &part->next;
        *part->link = part;
        atomic_fetch_add(&fetches->count, 1);
    }
    fetching->link = &fetches->waiting;
    fetching->next = fetches->waiting;
    if (fetching->next)
        fetching->next->link = &fetching->next;
    fetches->waiting = fetching;
}

static void
wake(struct fetches *fetches, struct fetching *fetching)
{
    take_out(fetches, fetching);
    fetching->state = FETCH_WOKEN;
    kafka_post(fetching->call, fetch_again);
}

static bool
has_moved(struct fetches *fetches, const struct fetch_part *part)
{
    cairn_partition_info info;
    return cairn_partition_get(fetches->calls->store, fetches->calls->scope, &part->topic_id, part->partition, &info, NULL) !=
               CAIRN_OK ||
           info.end > part->end;
}

static bool
any_moved(struct fetches *fetches, const struct fetching *fetching)
{
    bool moved = false;
    for (size_t i = 0; !moved && i < fetching->part_count; i++)
        moved = !fetching->parts[i].bad && has_moved(fetches, &fetching->parts[i]);
    return moved;
}

bool
fetches_wait(struct fetches *fetches, struct fetching *fetching)
{
    pthread_mutex_lock(&fetches->lock);
    fetching->state = FETCH_WAITING;
    put_in(fetches, fetching);
    pthread_mutex_unlock(&fetches->lock);
    return !any_moved(fetches, fetching) || !fetches_leave(fetches, fetching);
}

bool
fetches_leave(struct fetches *fetches, struct fetching *fetching)
{
    pthread_mutex_lock(&fetches->lock);
    bool was_waiting = fetching->state == FETCH_WAITING;
    if (was_waiting) {
        take_out(fetches, fetching);
        fetching->state = FETCH_READING;
    }
    pthread_mutex_unlock(&fetches->lock);
    return was_waiting;
}

void
fetches_moved(struct fetches *fetches, const cairn_uuid *topic_id, uint32_t partition, uint64_t records)
{
    atomic_fetch_add(&fetches->told, records);
    if (atomic_load(&fetches->count) == 0)
        return;
    pthread_mutex_lock(&fetches->lock);
    struct fetch_part **slot = slot_of(fetches, topic_id, partition);
    for (struct fetch_part *part = *slot; part;) {
        bool same = part->partition == partition && memcmp(&part->topic_id, topic_id, sizeof *topic_id) == 0;
        if (same)
            wake(fetches, part->fetching);
        part = same ? *slot : part->next; /* others of the fetch may have been next */
    }
    pthread_mutex_unlock(&fetches->lock);
}

void
fetches_sweep(struct fetches *fetches)
{
    if (atomic_load(&fetches->count) == 0)
        return;
    uint64_t end = cairn_end(fetches->calls->store);
    pthread_mutex_lock(&fetches->lock);
    if (end != fetches->swept_end)
        for (struct fetching *fetching = fetches->waiting, *next; fetching; fetching = next) {
            next = fetching->next;
            if (any_moved(fetches, fetching))
                wake(fetches, fetching);
        }
    fetches->swept_end = end;
    pthread_mutex_unlock(&fetches->lock);
}

/* Keeping snapshots, beside the commands: a bounded queue and a few threads that give way to the others. Each waits for the
 * disk with its snapshot, so that a few share a sync. A worker saves the
 * state as JSON when one is due and hands it over once the events in it are durable; compressing and writing happen here. When
 * the queue is full a snapshot is dropped: the next one is as good. */
#include "bus_int.h"

#include <os/thread.h>

#define QUEUE_MAX 256
#define THREADS 4
#define SNAPSHOT_BYTES_MAX (16u << 20)

struct job {
    cairn_scope scope;
    cairn_str stream; /* all of it in memory */
    cairn_snapshot snapshot;
    void *memory;
};

struct snapshots_queue {
    struct bus *bus; /* jobs of one stream may overtake each other: any of them is a true state of its revision */
    pthread_t threads[THREADS];
    unsigned thread_count;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct job jobs[QUEUE_MAX];
    size_t first, count;
    bool stopping;
};

static void *
snapshots_main(void *context)
{
    struct snapshots_queue *queue = context;
    struct bus *bus = queue->bus;
    os_lower_priority();
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        while (queue->count == 0 && !queue->stopping)
            pthread_cond_wait(&queue->more, &queue->lock);
        if (queue->count == 0)
            break;
        struct job job = queue->jobs[queue->first];
        queue->first = (queue->first + 1) % QUEUE_MAX;
        queue->count--;
        pthread_mutex_unlock(&queue->lock);
        if (cairn_snapshot_put(bus->store, job.scope, job.stream, &job.snapshot, NULL) == CAIRN_OK)
            atomic_fetch_add_explicit(&bus->counts.snapshots_taken, 1, memory_order_relaxed);
        else
            atomic_fetch_add_explicit(&bus->counts.snapshots_dropped, 1, memory_order_relaxed);
        free(job.memory);
        pthread_mutex_lock(&queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

struct snapshots_queue *
snapshots_start(struct bus *bus)
{
    struct snapshots_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return NULL;
    queue->bus = bus;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->more, NULL);
    while (queue->thread_count < THREADS
           && pthread_create(&queue->threads[queue->thread_count], NULL, snapshots_main, queue) == 0)
        queue->thread_count++;
    if (queue->thread_count > 0)
        return queue;
    snapshots_stop(queue);
    return NULL;
}

/* What waits is kept first. */
void
snapshots_stop(struct snapshots_queue *queue)
{
    if (queue == NULL)
        return;
    pthread_mutex_lock(&queue->lock);
    queue->stopping = true;
    pthread_cond_broadcast(&queue->more);
    pthread_mutex_unlock(&queue->lock);
    for (unsigned i = 0; i < queue->thread_count; i++)
        pthread_join(queue->threads[i], NULL);
    pthread_cond_destroy(&queue->more);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

void
snapshots_keep(struct snapshots_queue *queue, cairn_scope scope, const cairn_snapshot *snapshot, size_t stream_size,
               void *memory)
{
    cairn_str stream = {(char *)memory + snapshot->data.size, stream_size};
    pthread_mutex_lock(&queue->lock);
    bool room = queue->count < QUEUE_MAX && !queue->stopping;
    if (room) {
        queue->jobs[(queue->first + queue->count++) % QUEUE_MAX] = (struct job){scope, stream, *snapshot, memory};
        pthread_cond_signal(&queue->more);
    }
    pthread_mutex_unlock(&queue->lock);
    if (!room) {
        atomic_fetch_add_explicit(&queue->bus->counts.snapshots_dropped, 1, memory_order_relaxed);
        free(memory);
    }
}

/* ---- saving ---------------------------------------------------------------------------------------------- */

static bool
take_piece(void *context, cairn_str bytes)
{
    struct buf *to = context;
    buf_put_str(to, bytes);
    return !to->failed && to->size <= SNAPSHOT_BYTES_MAX;
}

/* CAIRN_E_UNSUPPORTED: the decider does not save its states. */
cairn_err
snapshot_make(struct bus_app *app, size_t decider, void *self, cairn_str stream, const struct fold *fold,
              cairn_snapshot *ret, void **ret_memory, cairn_error *error)
{
    const cairn_decider *with = app->deciders[decider];
    if (with->save == NULL || with->load == NULL || fold->revision < 0)
        return CAIRN_E_UNSUPPORTED;
    struct buf text = {0};
    cairn_err err = with->save(self, fold->state, take_piece, &text, error);
    size_t size = text.size;
    cairn_str form = cairn_cstr(app->forms[decider]); /* the version may be gone before the snapshot is kept */
    buf_put_str(&text, stream);
    buf_put_str(&text, form);
    if (err == CAIRN_OK && (text.failed || text.size > SNAPSHOT_BYTES_MAX))
        err = error_set(error, text.failed ? CAIRN_E_NOMEM : CAIRN_E_LIMIT, "the state is too large for a snapshot");
    if (err != CAIRN_OK) {
        buf_free(&text);
        return err;
    }
    *ret = (cairn_snapshot){(uint64_t)fold->revision, {text.data + size + stream.size, form.size}, {text.data, size}};
    *ret_memory = text.data;
    return CAIRN_OK;
}

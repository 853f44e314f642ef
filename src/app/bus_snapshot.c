/* Keeping snapshots, beside the commands: a few lanes, each a bounded queue and a thread that gives way to the others. A
 * lane waits for the disk with its snapshot, so that a few share a sync; a stream's snapshots go through one lane, so that
 * an older one never replaces a newer. A worker saves the state as JSON when one is due and hands it over once the events in
 * it are durable; compressing and writing happen here. When its lane is full a snapshot is dropped: the next one is as good. */
#include "bus_int.h"

#include <os/thread.h>

#define LANES 4
#define WAITING_MAX 64 /* in a lane */
#define SNAPSHOT_BYTES_MAX (16u << 20)

struct job {
    cairn_scope scope;
    cairn_str stream; /* all of it in memory */
    cairn_snapshot snapshot;
    void *memory;
};

struct lane {
    struct bus *bus;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct job jobs[WAITING_MAX];
    size_t first, count;
    bool stopping;
};

struct snapshots_queue {
    unsigned started;
    struct lane lanes[LANES];
};

static void
count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void *
lane_main(void *context)
{
    struct lane *lane = context;
    struct bus_counts *counts = &lane->bus->counts;
    os_lower_priority();
    pthread_mutex_lock(&lane->lock);
    for (;;) {
        while (lane->count == 0 && !lane->stopping)
            pthread_cond_wait(&lane->more, &lane->lock);
        if (lane->count == 0)
            break;
        struct job job = lane->jobs[lane->first];
        lane->first = (lane->first + 1) % WAITING_MAX;
        lane->count--;
        pthread_mutex_unlock(&lane->lock);
        cairn_err err = cairn_snapshot_put(lane->bus->store, job.scope, job.stream, &job.snapshot, NULL);
        count(err == CAIRN_OK ? &counts->snapshots_taken : &counts->snapshots_dropped);
        free(job.memory);
        pthread_mutex_lock(&lane->lock);
    }
    pthread_mutex_unlock(&lane->lock);
    return NULL;
}

static bool
start_lane(struct lane *lane, struct bus *bus)
{
    lane->bus = bus;
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->more, NULL);
    if (os_thread_start(&lane->thread, "cairn-snapshot", lane_main, lane) == 0)
        return true;
    pthread_cond_destroy(&lane->more);
    pthread_mutex_destroy(&lane->lock);
    return false;
}

struct snapshots_queue *
snapshots_start(struct bus *bus)
{
    struct snapshots_queue *queue = calloc(1, sizeof *queue);
    while (queue != NULL && queue->started < LANES && start_lane(&queue->lanes[queue->started], bus))
        queue->started++;
    if (queue != NULL && queue->started == 0) {
        free(queue);
        return NULL;
    }
    return queue;
}

/* What waits is kept first. */
void
snapshots_stop(struct snapshots_queue *queue)
{
    for (unsigned i = 0; queue != NULL && i < queue->started; i++) {
        struct lane *lane = &queue->lanes[i];
        pthread_mutex_lock(&lane->lock);
        lane->stopping = true;
        pthread_cond_signal(&lane->more);
        pthread_mutex_unlock(&lane->lock);
    }
    for (unsigned i = 0; queue != NULL && i < queue->started; i++) {
        pthread_join(queue->lanes[i].thread, NULL);
        pthread_cond_destroy(&queue->lanes[i].more);
        pthread_mutex_destroy(&queue->lanes[i].lock);
    }
    free(queue);
}

void
snapshots_keep(struct snapshots_queue *queue, cairn_scope scope, const cairn_snapshot *snapshot, size_t stream_size,
               void *memory)
{
    cairn_str stream = {(char *)memory + snapshot->data.size, stream_size};
    struct lane *lane = &queue->lanes[hash64(stream.data, stream.size, scope) % queue->started];
    pthread_mutex_lock(&lane->lock);
    bool room = lane->count < WAITING_MAX && !lane->stopping;
    if (room) {
        lane->jobs[(lane->first + lane->count++) % WAITING_MAX] = (struct job){scope, stream, *snapshot, memory};
        pthread_cond_signal(&lane->more);
    }
    pthread_mutex_unlock(&lane->lock);
    if (!room) {
        count(&lane->bus->counts.snapshots_dropped);
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

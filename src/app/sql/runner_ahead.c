/* Reading ahead: a second thread that reads, upcasts and decodes events while the worker is in SQLite.
 *
 *   reader thread ──► block ──► block ──► block ──► worker
 *          └──────────── when the worker is done with one ◄┘
 *
 * Only for a read model that is far behind: about a third of the work of an event goes to the other thread, and handing over
 * costs a lock for each block. At the log's end the thread ends, and the worker reads for itself again, at once.
 *
 * While the thread runs, the feed's reader, window and arena are its own; the worker has what the last block says. */
#include "runner_int.h"

#include <base/error.h>
#include <os/thread.h>
#include <stdlib.h>

#define BLOCKS 4
#define BLOCK_EVENTS 256
#define BLOCK_BYTES (256u << 10) /* of events; one event may be larger */

struct item {
    cairn_recorded event;
    const struct plan *plan;
    const struct value *slots;
    cairn_err err; /* of upcasting or decoding */
    const char *why;
};

struct block {
    struct item items[BLOCK_EVENTS];
    unsigned count;
    struct values values; /* its arena holds the events too */
    cairn_err end;        /* what came after the items: CAIRN_OK when it was only full */
    cairn_error error;
};

struct ahead {
    pthread_t thread;
    struct feed *feed;
    struct block *current; /* the worker's, and the next item in it */
    unsigned at;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t made, used; /* blocks; guarded by lock */
    bool quit;           /* guarded by lock */
    struct block blocks[BLOCKS];
};

static cairn_str
keep(char **to, cairn_str text)
{
    if (text.size == 0)
        return text;
    cairn_str kept = {*to, text.size};
    memcpy(*to, text.data, text.size);
    *to += text.size;
    return kept;
}

/* The event's bytes are the reader's until its next call: they come along. 0: no memory. */
static size_t
keep_event(struct arena *arena, cairn_recorded *event)
{
    cairn_event *inner = &event->event;
    size_t size = event->stream.size + inner->type.size + inner->content_type.size + inner->data.size + inner->meta.size
        + inner->correlation.size + inner->tag_count * sizeof(cairn_str);
    for (size_t i = 0; i < inner->tag_count; i++)
        size += inner->tags[i].size;
    char *to = arena_alloc(arena, size + 1);
    if (to == NULL)
        return 0;
    if (inner->tag_count > 0) {
        cairn_str *tags = (cairn_str *)(void *)to;
        to += inner->tag_count * sizeof *tags;
        for (size_t i = 0; i < inner->tag_count; i++)
            tags[i] = keep(&to, inner->tags[i]);
        inner->tags = tags;
    }
    event->stream = keep(&to, event->stream);
    inner->type = keep(&to, inner->type);
    inner->content_type = keep(&to, inner->content_type);
    inner->data = keep(&to, inner->data);
    inner->meta = keep(&to, inner->meta);
    inner->correlation = keep(&to, inner->correlation);
    return size + 1;
}

static void
fill(struct feed *feed, struct block *block)
{
    size_t bytes = 0;
    block->count = 0;
    block->end = CAIRN_OK;
    arena_reset(&block->values.arena);
    while (block->count < BLOCK_EVENTS && bytes < BLOCK_BYTES) {
        struct item *item = &block->items[block->count];
        cairn_error *error = &block->error;
        const struct plan *plan = NULL;
        *item = (struct item){.err = CAIRN_OK};
        block->end = feed_read(feed, &item->event, &plan, &item->err, error);
        if (block->end != CAIRN_OK)
            return;
        item->plan = plan;
        size_t size = keep_event(&block->values.arena, &item->event);
        if (size == 0) {
            block->end = error_set(error, CAIRN_E_NOMEM, "no memory to read events ahead");
            return;
        }
        bytes += size;
        if (item->err == CAIRN_OK) {
            item->err = values_take(&block->values, item->plan, &item->event, error);
            item->slots = block->values.slots;
        }
        if (item->err != CAIRN_OK) /* rare: what is wrong goes with the event */
            item->why = arena_copy(&block->values.arena, cairn_cstr(error->detail)).data;
        block->count++;
    }
}

static void *
read_on(void *context)
{
    struct ahead *ahead = context;
    for (;;) {
        pthread_mutex_lock(&ahead->lock);
        while (ahead->made - ahead->used == BLOCKS && !ahead->quit)
            pthread_cond_wait(&ahead->changed, &ahead->lock);
        struct block *block = &ahead->blocks[ahead->made % BLOCKS];
        bool quit = ahead->quit;
        pthread_mutex_unlock(&ahead->lock);
        if (quit)
            return NULL;
        fill(ahead->feed, block);
        cairn_err end = block->end;
        pthread_mutex_lock(&ahead->lock);
        ahead->made++;
        pthread_cond_signal(&ahead->changed);
        pthread_mutex_unlock(&ahead->lock);
        if (end != CAIRN_OK)
            return NULL;
    }
}

static void
free_ahead(struct ahead *ahead)
{
    for (size_t i = 0; i < BLOCKS; i++)
        values_free(&ahead->blocks[i].values);
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}

void
ahead_begin(struct feed *feed)
{
    struct ahead *ahead = feed->ahead == NULL && feed->reader != NULL ? calloc(1, sizeof *ahead) : NULL;
    if (ahead == NULL)
        return;
    bool good = true;
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->changed, NULL);
    ahead->feed = feed;
    for (size_t i = 0; i < BLOCKS && good; i++)
        good = values_init(&ahead->blocks[i].values, feed->runner->projection, true, NULL) == CAIRN_OK;
    if (good && os_thread_start(&ahead->thread, "cairn-ahead", read_on, ahead) == 0)
        feed->ahead = ahead;
    else
        free_ahead(ahead);
}

void
ahead_end(struct feed *feed)
{
    struct ahead *ahead = feed->ahead;
    if (ahead == NULL)
        return;
    feed->ahead = NULL;
    pthread_mutex_lock(&ahead->lock);
    ahead->quit = true;
    pthread_cond_signal(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
    pthread_join(ahead->thread, NULL);
    free_ahead(ahead);
}

/* The block at hand is done with: the next one. */
static struct block *
next_block(struct ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    if (ahead->current != NULL) {
        ahead->used++;
        pthread_cond_signal(&ahead->changed);
    }
    while (ahead->made == ahead->used)
        pthread_cond_wait(&ahead->changed, &ahead->lock);
    struct block *block = &ahead->blocks[ahead->used % BLOCKS];
    pthread_mutex_unlock(&ahead->lock);
    ahead->current = block;
    ahead->at = 0;
    return block;
}

cairn_err
ahead_next(struct feed *feed, cairn_recorded *ret, cairn_err *ret_upcast, cairn_error *error)
{
    struct ahead *ahead = feed->ahead;
    struct block *block = ahead->current != NULL ? ahead->current : next_block(ahead);
    while (ahead->at == block->count) {
        if (block->end != CAIRN_OK) {
            cairn_err err = block->end;
            if (error != NULL)
                *error = block->error;
            ahead_end(feed);
            return err;
        }
        block = next_block(ahead);
    }
    const struct item *item = &block->items[ahead->at++];
    *ret = item->event;
    *ret_upcast = item->err;
    feed->plan = item->plan;
    feed->slots = item->slots;
    if (item->err != CAIRN_OK)
        error_ignore(error_set(error, item->err, "%s", item->why != NULL ? item->why : "the event cannot be read"));
    return CAIRN_OK;
}

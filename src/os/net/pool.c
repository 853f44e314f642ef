/* Threads for blocking calls. The queue is a ring of queue_max jobs allocated at the start; a job keeps its
 * place until its `done` has run, so the bound counts what waits, what runs and what is on its way back.
 *
 *   free ─► queued ─► working ─(done)─► posted to the loop ─► free
 *                        └───(none)───────────────────────────┘
 *
 * Its own threads, not libuv's pool, so that nothing else in the program can fill it. */
#include <os/net/net_int.h>

#include <base/error.h>
#include <os/thread.h>
#include <stdlib.h>

struct job {
    struct net_post_node node; /* node.next links the lists too */
    struct net_pool *pool;
    struct net_loop *loop;
    void (*work)(void *context);
    void (*done)(void *context);
    void *context;
};

struct net_pool {
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct job *free, *first, *last; /* linked through node.next */
    unsigned idle;
    bool stopping;
    unsigned thread_count;
    pthread_t *threads;
    struct job jobs[];
};

static struct job *
next_job(struct job *job)
{
    return (struct job *)job->node.next;
}

static void
give_back(struct net_pool *pool, struct job *job)
{
    pthread_mutex_lock(&pool->lock);
    job->node.next = (struct net_post_node *)pool->free;
    pool->free = job;
    pthread_mutex_unlock(&pool->lock);
}

static void
finish_job(void *context)
{
    struct job *job = context;
    void (*done)(void *) = job->done;
    void *done_context = job->context;
    give_back(job->pool, job);
    done(done_context);
}

static void *
run_thread(void *context)
{
    struct net_pool *pool = context;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->first && !pool->stopping) {
            pool->idle++;
            pthread_cond_wait(&pool->some, &pool->lock);
            pool->idle--;
        }
        struct job *job = pool->first;
        if (!job)
            break;
        pool->first = next_job(job);
        if (!pool->first)
            pool->last = NULL;
        pthread_mutex_unlock(&pool->lock);
        job->work(job->context);
        job->node.fn = finish_job;
        job->node.context = job;
        if (!job->done || !net_post(job->loop, &job->node))
            give_back(pool, job);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

bool
net_pool_run(struct net_pool *pool, struct net_loop *loop, void (*work)(void *context),
             void (*done)(void *context), void *context)
{
    pthread_mutex_lock(&pool->lock);
    struct job *job = pool->stopping ? NULL : pool->free;
    if (job) {
        pool->free = next_job(job);
        job->loop = loop;
        job->work = work;
        job->done = done;
        job->context = context;
        job->node.next = NULL;
        if (pool->last)
            pool->last->node.next = &job->node;
        else
            pool->first = job;
        pool->last = job;
        if (pool->idle)
            pthread_cond_signal(&pool->some);
    }
    pthread_mutex_unlock(&pool->lock);
    return job != NULL;
}

cairn_err
net_pool_start(unsigned threads, unsigned queue_max, struct net_pool **ret, cairn_error *error)
{
    struct net_pool *pool = calloc(1, sizeof *pool + queue_max * sizeof pool->jobs[0]);
    if (!pool)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a queue of %u jobs", queue_max);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->some, NULL);
    for (unsigned i = 0; i < queue_max; i++) {
        pool->jobs[i].pool = pool;
        pool->jobs[i].node.next = (struct net_post_node *)pool->free;
        pool->free = &pool->jobs[i];
    }
    pool->threads = calloc(threads, sizeof *pool->threads);
    int failed = pool->threads ? 0 : ENOMEM;
    while (!failed && pool->thread_count < threads) {
        failed = os_thread_start(&pool->threads[pool->thread_count], "cairn-work", run_thread, pool);
        pool->thread_count += !failed;
    }
    if (failed) {
        net_pool_stop(pool);
        net_pool_free(pool);
        return error_set_errno(error, failed, "cannot start %u worker threads", threads);
    }
    *ret = pool;
    return CAIRN_OK;
}

void
net_pool_stop(struct net_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->some);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pool->thread_count = 0;
}

void
net_pool_free(struct net_pool *pool)
{
    if (!pool)
        return;
    pthread_cond_destroy(&pool->some);
    pthread_mutex_destroy(&pool->lock);
    free(pool->threads);
    free(pool);
}

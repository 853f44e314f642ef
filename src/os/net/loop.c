/* The event loop: one thread, one uv_loop, work posted from other threads, and the order of a round.
 *
 *   poll: sockets are read, posted work runs, timers fire
 *     └─► after_events ─► flush every connection that was given bytes ─► (again, while there is work) ─► poll
 *
 * The end of a round comes twice, before and after polling: timers run before the poll and sockets after
 * its return, and neither may leave bytes unsent over a sleep.
 *
 * Posting is a lock-free stack that the loop takes whole and turns round. The one who finds it empty wakes
 * the loop; everybody else only pushes. Once the stack holds `closed_mark`, posts are refused for good. */
#include <os/net/net_int.h>

#include <assert.h>
#include <base/error.h>
#include <os/os.h>
#include <os/thread.h>
#include <os/wait.h>
#include <sched.h>
#include <stdlib.h>

static struct net_post_node closed_mark;

struct every {
    uv_timer_t timer;
    struct net_post_node node;
    struct net_loop *loop;
    unsigned period_ms;
    void (*fn)(void *context);
    void *context;
};

void
net_count(atomic_uint_fast64_t *counter, uint64_t more)
{
    /* One writer: a plain add, made visible to readers of the statistics. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

/* ---- posting --------------------------------------------------------------------------------- */

bool
net_post(struct net_loop *loop, struct net_post_node *node)
{
    atomic_fetch_add_explicit(&loop->posters, 1, memory_order_acquire);
    struct net_post_node *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do {
        if (head == &closed_mark)
            break;
        node->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->posted, &head, node, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (!head)
        uv_async_send(&loop->wake);
    atomic_fetch_sub_explicit(&loop->posters, 1, memory_order_release);
    return head != &closed_mark;
}

/* After posts are refused: wait for those who are still inside net_post(), perhaps about to wake us. */
static void
await_posters(struct net_loop *loop)
{
    while (atomic_load_explicit(&loop->posters, memory_order_acquire))
        sched_yield();
}

/* Take what has been posted and run it, oldest first. `then` is left in the stack. */
static void
run_posted(struct net_loop *loop, struct net_post_node *then)
{
    struct net_post_node *newest = atomic_exchange_explicit(&loop->posted, then, memory_order_acq_rel);
    struct net_post_node *oldest = NULL;
    if (newest == &closed_mark)
        return;
    while (newest) {
        struct net_post_node *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct net_post_node *node = oldest;
        oldest = node->next; /* the node is the caller's again once fn runs */
        node->fn(node->context);
    }
}

/* ---- the polite end -------------------------------------------------------------------------- */

void
net_loop_hold(struct net_loop *loop)
{
    loop->holds++;
}

void
net_loop_release(struct net_loop *loop)
{
    assert(loop->holds > 0);
    loop->holds--;
}

static bool
is_empty(const struct net_loop *loop)
{
    return loop->holds == 0 && net_loop_conns(loop) == 0;
}

static void
drain_to(struct net_loop *loop, enum net_drain how)
{
    atomic_store(&loop->drain, how);
    os_wake(&loop->drain, 1);
}

static void
tell_loop(void *context)
{
    struct net_loop *loop = context;
    loop->tell(loop->context);
    drain_to(loop, is_empty(loop) ? DRAIN_EMPTY : DRAIN_TOLD);
}

/* Until it has been told, however long that takes: what we posted is run or the process hangs anyway. Then until it is empty. */
static bool
await_drained(struct net_loop *loop, int64_t until_us)
{
    for (;;) {
        uint32_t how = atomic_load(&loop->drain);
        int64_t left_us = until_us - os_monotonic_us(os_real());
        if (how == DRAIN_EMPTY || (how == DRAIN_TOLD && left_us <= 0))
            return how == DRAIN_EMPTY;
        os_wait(&loop->drain, how, how == DRAIN_TOLD ? (uint64_t)left_us : UINT64_MAX);
    }
}

bool
net_loops_drain(struct net_loop *const *loops, unsigned count, void (*tell)(void *context), unsigned wait_ms)
{
    const int64_t until_us = os_monotonic_us(os_real()) + (int64_t)wait_ms * 1000;
    bool empty = true;
    for (unsigned i = 0; i < count; i++) {
        struct net_loop *loop = loops[i];
        loop->tell = tell;
        loop->tell_node = (struct net_post_node){.fn = tell_loop, .context = loop};
        atomic_store(&loop->drain, DRAIN_ASKED);
        (void)net_post(loop, &loop->tell_node);
    }
    for (unsigned i = 0; i < count; i++)
        empty &= await_drained(loops[i], until_us);
    return empty;
}

/* ---- a round's end --------------------------------------------------------------------------- */

void
net_loop_mark(struct net_conn *conn)
{
    conn->fresh = true;
    if (conn->dirty)
        return;
    conn->dirty = true;
    conn->dirty_next = NULL;
    *conn->loop->dirty_end = conn;
    conn->loop->dirty_end = &conn->dirty_next;
}

static void
keep_awake(uv_idle_t *handle)
{
    (void)handle; /* an active idle handle makes the next poll return at once; that is all */
}

/* Once over what is there now: what flushing brings about belongs to the next round, so that one busy
 * connection cannot keep the others from being read. */
static void
end_round(struct net_loop *loop)
{
    loop->again = false;
    if (loop->after_events)
        loop->after_events(loop->context);
    struct net_conn *conn = loop->dirty;
    loop->dirty = NULL;
    loop->dirty_end = &loop->dirty;
    while (conn) {
        struct net_conn *next = conn->dirty_next;
        conn->dirty = false;
        if (conn->fresh)
            net_conn_flush(conn);
        conn = next;
    }
    bool more = loop->dirty || loop->again;
    if (more && !uv_is_active((uv_handle_t *)&loop->no_sleep))
        uv_idle_start(&loop->no_sleep, keep_awake);
    else if (!more)
        uv_idle_stop(&loop->no_sleep);
    if (atomic_load_explicit(&loop->drain, memory_order_relaxed) == DRAIN_TOLD && is_empty(loop))
        drain_to(loop, DRAIN_EMPTY);
}

void
net_loop_again(struct net_loop *loop)
{
    loop->again = true;
}

static void
before_poll(uv_prepare_t *handle)
{
    end_round(handle->data);
}

static void
after_poll(uv_check_t *handle)
{
    end_round(handle->data);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void
free_every(uv_handle_t *handle)
{
    free(handle->data);
}

/* Everything in this room that lies in the loop: connections know how to close themselves, periodic calls
 * own their memory, the rest is part of the loop. */
static void
close_handle(uv_handle_t *handle, void *context)
{
    struct net_loop *loop = context;
    if (uv_is_closing(handle))
        return;
    if (handle->type == UV_TCP)
        net_conn_close(handle->data);
    else if (handle->type == UV_TIMER && handle != (uv_handle_t *)&loop->wheel.timer)
        uv_close(handle, free_every);
    else
        uv_close(handle, NULL);
}

static void
on_wake(uv_async_t *handle)
{
    struct net_loop *loop = handle->data;
    run_posted(loop, NULL);
    if (loop->stopping)
        uv_stop(&loop->uv);
}

static void *
run_thread(void *context)
{
    struct net_loop *loop = context;
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* until net_loop_stop() */
    run_posted(loop, &closed_mark);
    await_posters(loop);
    uv_walk(&loop->uv, close_handle, loop);
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* until every handle has closed */
    if (loop->after_events)
        loop->after_events(loop->context);
    int left = uv_loop_close(&loop->uv);
    assert(left == 0);
    (void)left;
    return NULL;
}

static int
init_handles(struct net_loop *loop)
{
    int failed = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (failed)
        return failed;
    loop->wake.data = loop->before_poll.data = loop->after_poll.data = loop;
    uv_prepare_init(&loop->uv, &loop->before_poll);
    uv_check_init(&loop->uv, &loop->after_poll);
    uv_idle_init(&loop->uv, &loop->no_sleep);
    uv_prepare_start(&loop->before_poll, before_poll);
    uv_check_start(&loop->after_poll, after_poll);
    return net_wheel_init(loop);
}

cairn_err
net_loop_start(const char *name, void (*after_events)(void *context), void *context,
               struct net_loop **ret, cairn_error *error)
{
    struct net_loop *loop = calloc(1, sizeof *loop);
    if (loop) {
        loop->read_buf = malloc(NET_READ_SIZE);
        loop->plain_buf = malloc(NET_READ_SIZE);
    }
    if (!loop || !loop->read_buf || !loop->plain_buf) {
        net_loop_free(loop);
        return error_set(error, CAIRN_E_NOMEM, "no memory for an event loop");
    }
    snprintf(loop->name, sizeof loop->name, "%s", name);
    loop->after_events = after_events;
    loop->context = context;
    loop->dirty_end = &loop->dirty;
    atomic_init(&loop->posted, NULL);

    int failed = uv_loop_init(&loop->uv);
    if (!failed) {
        failed = init_handles(loop);
        if (!failed)
            failed = -os_thread_start(&loop->thread, loop->name, run_thread, loop);
        if (failed) {
            uv_walk(&loop->uv, close_handle, loop);
            uv_run(&loop->uv, UV_RUN_DEFAULT);
            uv_loop_close(&loop->uv);
        }
    }
    if (failed) {
        loop->joined = true;
        net_loop_free(loop);
        return error_set_errno(error, -failed, "cannot start an event loop");
    }
    *ret = loop;
    return CAIRN_OK;
}

static void
begin_stop(void *context)
{
    struct net_loop *loop = context;
    loop->stopping = true;
}

void
net_loop_stop(struct net_loop *loop)
{
    if (!loop || loop->joined)
        return;
    struct net_post_node node = {.fn = begin_stop, .context = loop};
    bool posted = net_post(loop, &node);
    assert(posted);
    (void)posted;
    pthread_join(loop->thread, NULL);
    loop->joined = true;
}

void
net_loop_free(struct net_loop *loop)
{
    if (!loop)
        return;
    await_posters(loop);
    net_buf_free_spares(loop);
    free(loop->read_buf);
    free(loop->plain_buf);
    free(loop);
}

/* ---- small things ---------------------------------------------------------------------------- */

bool
net_loop_is_here(const struct net_loop *loop)
{
    return pthread_equal(pthread_self(), loop->thread);
}

uint64_t
net_now_ms(const struct net_loop *loop)
{
    return uv_now(&loop->uv);
}

void
net_loop_traffic(const struct net_loop *loop, uint64_t *ret_in_bytes, uint64_t *ret_out_bytes)
{
    *ret_in_bytes = atomic_load_explicit(&loop->in_bytes, memory_order_relaxed);
    *ret_out_bytes = atomic_load_explicit(&loop->out_bytes, memory_order_relaxed);
}

static void
run_every(uv_timer_t *handle)
{
    struct every *every = handle->data;
    every->fn(every->context);
}

static void
start_every(void *context)
{
    struct every *every = context;
    uv_timer_init(&every->loop->uv, &every->timer);
    every->timer.data = every;
    uv_timer_start(&every->timer, run_every, every->period_ms, every->period_ms);
}

bool
net_every(struct net_loop *loop, unsigned period_ms, void (*fn)(void *context), void *context)
{
    struct every *every = calloc(1, sizeof *every);
    if (!every)
        return false;
    every->loop = loop;
    every->period_ms = period_ms ? period_ms : 1;
    every->fn = fn;
    every->context = context;
    every->node.fn = start_every;
    every->node.context = every;
    if (net_post(loop, &every->node))
        return true;
    free(every);
    return false;
}

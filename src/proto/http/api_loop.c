/* One notification of the store, spread to the loops that want it.
 *
 *   commit thread: api_loops_on_commit ─► for each loop that listens and has none under way: http_post
 *   loop:          followers first (api_hub_run), then pollers (api_polls_wake)
 *
 * A loop without followers and pollers costs a commit one load. */
#include <proto/http/api_int.h>

#include <base/error.h>

#define TICK_MS 250

static void
run(void *context)
{
    struct api_loop *loop = context;
    /* Before reading: a commit that comes now posts again. */
    atomic_store(&loop->hub.posted, false);
    api_hub_run(loop);
    api_polls_wake(loop);
}

static void
tick(void *context)
{
    struct api_loop *loop = context;
    int64_t now_us = api_now_us();
    api_hub_tick(loop, now_us);
    api_polls_tick(loop, now_us);
    if (loop->hub.followers == 0 && !loop->polls.groups)
        atomic_store(&loop->hub.listening, false);
}

void
api_loop_wake(struct api_loop *loop)
{
    if (atomic_exchange(&loop->hub.posted, true))
        return;
    loop->hub.node.fn = run;
    loop->hub.node.context = loop;
    http_post(loop->loop, &loop->hub.node);
}

void
api_loops_on_commit(void *context, uint64_t end)
{
    struct api *api = context;
    if (api->config.apps != NULL)
        cairn_apps_committed(api->config.apps, end);
    for (unsigned i = 0; i < API_LOOPS_MAX; i++)
        if (atomic_load(&api->loops[i].hub.listening))
            api_loop_wake(&api->loops[i]);
}

cairn_err
api_loop_listen(struct api_loop *loop, cairn_error *error)
{
    if (!loop->ready && !http_every(loop->loop, TICK_MS, tick, loop))
        return error_set(error, CAIRN_E_NOMEM, "no memory for the timer that followers and consumers need");
    loop->ready = true;
    atomic_store(&loop->hub.listening, true);
    return CAIRN_OK;
}

/* Long polling: consumers that wait for a group's next event.
 *
 * Calls that wait for one group stand in a queue, and at most one of them is asking the store at a time, so
 * that a commit costs one question a group however many wait:
 *
 *   api_poll ─► queue ─► first asks (pool) ─┬─ events ─────► answered; the next one asks
 *                 ▲                         └─ nothing due: those whose time is up are answered with none,
 *                 └── commit, or a tick ◄───── the others wait
 *
 * A tick asks too, because retries and deadlines of deliveries become due without a commit. A peer that
 * has gone away is let go before the store is asked: what it would take nobody would get.
 *
 * Loop's thread, except `ask`. */
#include <proto/http/api_int.h>

#include <base/error.h>

#include <stdlib.h>

#define POLLS_MAX 4096 /* a loop */
#define POLL_TICK_US 250000

struct poller {
    struct poller *next;
    struct api_call *call;
    int64_t arrived_us, deadline_us;
};

struct poll_group {
    struct poll_group *next;
    struct api_loop *loop;
    struct poller *first, **last;
    bool asking; /* `first` is on the pool */
    bool again;  /* something has changed since it went there */
    bool any;    /* the answer of the pool */
    int64_t asked_us;
    size_t name_size;
    char name[];
};

static void ask_done(void *context);

static struct poll_group *
group_of(struct api_loop *loop, cairn_str name)
{
    struct poll_group *group = loop->polls.groups;
    while (group && !(group->name_size == name.size && !memcmp(group->name, name.data, name.size)))
        group = group->next;
    if (group)
        return group;
    group = calloc(1, sizeof *group + name.size);
    if (!group)
        return NULL;
    group->loop = loop;
    group->last = &group->first;
    group->name_size = name.size;
    memcpy(group->name, name.data, name.size);
    group->next = loop->polls.groups;
    loop->polls.groups = group;
    return group;
}

static struct poller *
take_first(struct poll_group *group)
{
    struct poller *poller = group->first;
    group->first = poller->next;
    if (!group->first)
        group->last = &group->first;
    group->loop->polls.waiting--;
    return poller;
}

static void
let_go(struct poller *poller)
{
    api_release(poller->call);
    free(poller);
}

/* Those whose peers have gone. */
static void
drop_gone(struct poll_group *group)
{
    struct poller **link = &group->first;
    while (*link) {
        struct poller *poller = *link;
        if (!http_is_gone(poller->call->x)) {
            link = &poller->next;
            continue;
        }
        *link = poller->next;
        group->loop->polls.waiting--;
        let_go(poller);
    }
    group->last = link;
}

/* Those whose time is up and who have been asked for: nothing was due. `all`: the server stops. */
static void
answer_expired(struct poll_group *group, int64_t now_us, bool all)
{
    struct poller **link = &group->first;
    while (*link) {
        struct poller *poller = *link;
        bool expired = poller->deadline_us <= now_us && poller->arrived_us <= group->asked_us;
        if (!expired && !all) {
            link = &poller->next;
            continue;
        }
        *link = poller->next;
        group->loop->polls.waiting--;
        buf_clear(poller->call->out);
        buf_put_str(poller->call->out, CAIRN_STR("{\"events\":[]}"));
        api_finish(poller->call, CAIRN_OK, NULL);
        let_go(poller);
    }
    group->last = link;
}

/* On the pool. */
static void
ask(void *context)
{
    struct poll_group *group = context;
    struct api_call *call = group->first->call;
    call->failure = (cairn_error){0};
    call->result = api_group_take_now(call, &group->any, &call->failure);
}

static void
ask_first(struct poll_group *group)
{
    if (group->asking)
        return;
    drop_gone(group);
    if (!group->first)
        return;
    group->again = false;
    group->asked_us = api_now_us();
    /* When the pool is full, the next tick tries again. */
    group->asking = http_work(group->loop->loop, ask, ask_done, group);
}

static void
ask_done(void *context)
{
    struct poll_group *group = context;
    struct api_call *call = group->first->call;
    bool answered = call->result != CAIRN_OK || group->any;
    group->asking = false;
    if (answered) {
        struct poller *poller = take_first(group);
        api_finish(call, call->result, &call->failure);
        let_go(poller);
    } else
        answer_expired(group, api_now_us(), false);
    if (answered || group->again)
        ask_first(group);
}

cairn_err
api_poll(struct api_call *kept, int64_t deadline_us, cairn_error *error)
{
    struct api_loop *loop = kept->loop;
    if (loop->polls.waiting >= POLLS_MAX)
        return error_set(error, CAIRN_E_BUSY, "%d consumers are waiting already", POLLS_MAX);
    cairn_err err = api_loop_listen(loop, error);
    if (err != CAIRN_OK)
        return err;
    struct poller *poller = calloc(1, sizeof *poller);
    struct poll_group *group = poller ? group_of(loop, kept->parts[0]) : NULL;
    if (!group) {
        free(poller);
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    poller->call = kept;
    poller->arrived_us = api_now_us();
    poller->deadline_us = deadline_us;
    group->again = true;
    *group->last = poller;
    group->last = &poller->next;
    loop->polls.waiting++;
    ask_first(group);
    return CAIRN_OK;
}

void
api_polls_wake(struct api_loop *loop)
{
    for (struct poll_group *group = loop->polls.groups; group; group = group->next) {
        group->again = true;
        ask_first(group);
    }
}

void
api_polls_tick(struct api_loop *loop, int64_t now_us)
{
    bool closing = atomic_load_explicit(&loop->api->closing, memory_order_relaxed);
    struct poll_group **link = &loop->polls.groups;
    while (*link) {
        struct poll_group *group = *link;
        if (!group->asking && closing)
            answer_expired(group, now_us, true);
        if (!group->asking)
            drop_gone(group);
        if (!group->asking && !group->first) {
            *link = group->next;
            free(group);
            continue;
        }
        if (now_us - group->asked_us >= POLL_TICK_US)
            ask_first(group);
        link = &group->next;
    }
}

/* The loops have ended, and the exchanges with them. */
void
api_polls_free(struct api_loop *loop)
{
    while (loop->polls.groups) {
        struct poll_group *group = loop->polls.groups;
        loop->polls.groups = group->next;
        while (group->first) {
            struct poller *poller = take_first(group);
            buf_free(&poller->call->own_out);
            arena_free(&poller->call->own_arena);
            free(poller->call);
            free(poller);
        }
        free(group);
    }
}

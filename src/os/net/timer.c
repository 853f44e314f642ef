/* Deadlines in a wheel: 512 slots of 16 ms, one uv timer set for the first slot in use.
 *
 * A timer lies in the slot of its deadline or, when that is more than a turn away or has been moved
 * later since, in an earlier one; when that slot's time comes it is put where it belongs then. So
 * most of the work for deadlines that never pass (every request moves one) is a store.
 *
 * Invariants: a linked timer's slot is not later than its deadline; a bit of `occupied` is set where the
 * slot's list may be non-empty; the uv timer is set for the first slot in use or earlier.
 * Owner: the loop's thread. */
#include <os/net/net_int.h>

static uint64_t
tick_of(uint64_t at_ms)
{
    return (at_ms + NET_TIMER_TICK_MS - 1) / NET_TIMER_TICK_MS;
}

static void serve_wheel(uv_timer_t *handle);

static void
unlink_timer(struct net_wheel *wheel, struct net_timer *timer)
{
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    timer->link = NULL;
    timer->next = NULL;
    wheel->count--;
}

/* Put it into its slot, or the last one of this turn; wake in time for it. */
static void
link_timer(struct net_loop *loop, struct net_timer *timer)
{
    struct net_wheel *wheel = &loop->wheel;
    uint64_t tick = tick_of(timer->at_ms);
    if (tick < wheel->tick)
        tick = wheel->tick;
    if (tick > wheel->tick + NET_TIMER_SLOTS - 1)
        tick = wheel->tick + NET_TIMER_SLOTS - 1;
    unsigned slot = tick % NET_TIMER_SLOTS;
    timer->tick = tick;
    timer->next = wheel->slots[slot];
    if (timer->next)
        timer->next->link = &timer->next;
    timer->link = &wheel->slots[slot];
    wheel->slots[slot] = timer;
    wheel->occupied[slot / 64] |= UINT64_C(1) << (slot % 64);
    wheel->count++;
    if (tick < wheel->wake_tick) {
        uint64_t now = uv_now(&loop->uv), at = tick * NET_TIMER_TICK_MS;
        wheel->wake_tick = tick;
        uv_timer_start(&wheel->timer, serve_wheel, at > now ? at - now : 0, 0);
    }
}

void
net_timer_set(struct net_loop *loop, struct net_timer *timer, uint64_t at_ms)
{
    struct net_wheel *wheel = &loop->wheel;
    timer->at_ms = at_ms ? at_ms : 1;
    if (timer->link) {
        if (tick_of(timer->at_ms) >= timer->tick)
            return;
        unlink_timer(wheel, timer);
    }
    if (wheel->count == 0) {
        /* An empty wheel has stood still; let it start from now. */
        uint64_t tick = uv_now(&loop->uv) / NET_TIMER_TICK_MS;
        if (tick > wheel->tick)
            wheel->tick = tick;
    }
    link_timer(loop, timer);
}

void
net_timer_clear(struct net_loop *loop, struct net_timer *timer)
{
    timer->at_ms = 0;
    if (timer->link)
        unlink_timer(&loop->wheel, timer);
}

/* Set the uv timer for the first slot in use; let it rest when there is none. */
static void
wake_for_next(struct net_loop *loop)
{
    struct net_wheel *wheel = &loop->wheel;
    wheel->wake_tick = UINT64_MAX;
    if (wheel->count == 0)
        return;
    for (uint64_t tick = wheel->tick; tick < wheel->tick + NET_TIMER_SLOTS;) {
        unsigned slot = tick % NET_TIMER_SLOTS;
        uint64_t bits = wheel->occupied[slot / 64] >> (slot % 64);
        if (bits == 0) {
            tick += 64 - slot % 64;
            continue;
        }
        tick += (unsigned)__builtin_ctzll(bits);
        slot = tick % NET_TIMER_SLOTS;
        if (wheel->slots[slot]) {
            uint64_t now = uv_now(&loop->uv), at = tick * NET_TIMER_TICK_MS;
            wheel->wake_tick = tick;
            uv_timer_start(&wheel->timer, serve_wheel, at > now ? at - now : 0, 0);
            return;
        }
        wheel->occupied[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    }
}

/* The uv timer: serve every slot whose time has come. What a callback sets or clears meanwhile is safe:
 * each slot's list is taken off first and walked by its head. */
static void
serve_wheel(uv_timer_t *handle)
{
    struct net_loop *loop = handle->data;
    struct net_wheel *wheel = &loop->wheel;
    uint64_t now = uv_now(&loop->uv), now_tick = now / NET_TIMER_TICK_MS;

    if (now_tick >= NET_TIMER_SLOTS && wheel->tick <= now_tick - NET_TIMER_SLOTS)
        wheel->tick = now_tick - NET_TIMER_SLOTS + 1; /* late by more than a turn: every slot once */
    wheel->wake_tick = 0; /* no uv timer while this runs: it is set once at the end */
    while (wheel->tick <= now_tick) {
        unsigned slot = wheel->tick % NET_TIMER_SLOTS;
        wheel->tick++;
        if (!(wheel->occupied[slot / 64] & UINT64_C(1) << (slot % 64)))
            continue;
        struct net_timer *list = wheel->slots[slot];
        wheel->slots[slot] = NULL;
        wheel->occupied[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
        if (list)
            list->link = &list;
        while (list) {
            struct net_timer *timer = list;
            unlink_timer(wheel, timer);
            if (timer->at_ms > now) {
                link_timer(loop, timer);
            } else {
                timer->at_ms = 0;
                timer->fn(timer->context);
            }
        }
    }
    wake_for_next(loop);
}

int
net_wheel_init(struct net_loop *loop)
{
    loop->wheel.wake_tick = UINT64_MAX;
    loop->wheel.timer.data = loop;
    return uv_timer_init(&loop->uv, &loop->wheel.timer);
}

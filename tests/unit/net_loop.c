/* os/net's loops, timers and pool, without sockets. */
#include "test.h"

#include <os/net/net.h>

#include <poll.h>
#include <sched.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static uint64_t
now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        uint64_t until_ = now_ms() + 10000;                                                        \
        while (!(condition)) {                                                                     \
            if (now_ms() > until_)                                                                 \
                fail_msg("never became true: %s", #condition);                                     \
            poll(NULL, 0, 1);                                                                      \
        }                                                                                          \
    } while (0)

static struct net_loop *
start_loop(void)
{
    struct net_loop *loop;
    cairn_error error;
    CHECK_OK(net_loop_start("test", NULL, NULL, &loop, &error));
    return loop;
}

static void
stop_loop(struct net_loop *loop)
{
    net_loop_stop(loop);
    net_loop_free(loop);
}

/* ---- timers ---------------------------------------------------------------------------------- */

enum { TIMERS = 2000 };

struct alarm {
    struct net_timer timer;
    uint64_t due_ms;
    bool cleared;
};

static struct net_loop *timer_loop;
static struct alarm alarms[TIMERS];
static uint64_t timer_seed;
static atomic_uint fired, early, wrong, late_ms;

static void
on_alarm(void *context)
{
    struct alarm *a = context;
    uint64_t now = net_now_ms(timer_loop);
    if (now < a->due_ms)
        atomic_fetch_add(&early, 1);
    if (a->cleared || net_timer_is_set(&a->timer))
        atomic_fetch_add(&wrong, 1);
    if (now > a->due_ms && now - a->due_ms > atomic_load(&late_ms))
        atomic_store(&late_ms, (unsigned)(now - a->due_ms));
    atomic_fetch_add(&fired, 1);
}

static void
set_alarm(struct alarm *a, uint64_t delay_ms)
{
    a->due_ms = net_now_ms(timer_loop) + delay_ms;
    net_timer_set(timer_loop, &a->timer, a->due_ms);
}

/* Set all, then move every third earlier or later, and clear every tenth. */
static void
set_alarms(void *context)
{
    (void)context;
    for (unsigned i = 0; i < TIMERS; i++) {
        alarms[i].timer.fn = on_alarm;
        alarms[i].timer.context = &alarms[i];
        set_alarm(&alarms[i], test_random(&timer_seed) % 600);
    }
    for (unsigned i = 0; i < TIMERS; i += 3)
        set_alarm(&alarms[i], test_random(&timer_seed) % 900);
    for (unsigned i = 0; i < TIMERS; i += 10) {
        net_timer_clear(timer_loop, &alarms[i].timer);
        alarms[i].cleared = true;
    }
}

/* Goal: every timer fires once, not before its deadline, wherever it was moved; a cleared one never does. Method: 2,000
 * timers with random deadlines, a third of them moved, a tenth cleared. */
TEST(timers_keep_their_deadlines)
{
    struct net_post_node node = {.fn = set_alarms};
    timer_seed = test_seed();
    timer_loop = start_loop();
    CHECK(net_post(timer_loop, &node));
    AWAIT(atomic_load(&fired) == TIMERS - TIMERS / 10);
    stop_loop(timer_loop);
    CHECK_INT(atomic_load(&fired), TIMERS - TIMERS / 10);
    CHECK_INT(atomic_load(&early), 0);
    CHECK_INT(atomic_load(&wrong), 0);
    printf("timers: the latest was %u ms late\n", atomic_load(&late_ms));
}

static struct alarm far, near;

static void
set_far(void *context)
{
    (void)context;
    far.timer.fn = near.timer.fn = on_alarm;
    far.timer.context = &far;
    near.timer.context = &near;
    set_alarm(&far, 9000); /* more than a turn of the wheel, which is 8,192 ms */
    set_alarm(&near, 20000);
    set_alarm(&near, 10);
}

/* Goal: a deadline more than a turn of the wheel away is kept, and one moved from there to here as well. Method: 9 seconds
 * and 10 ms at once. */
TEST(far_timers)
{
    struct net_post_node node = {.fn = set_far};
    atomic_store(&fired, 0);
    timer_loop = start_loop();
    uint64_t began = now_ms();
    CHECK(net_post(timer_loop, &node));
    AWAIT(atomic_load(&fired) == 1);
    CHECK(now_ms() - began < 5000);
    began = now_ms();
    while (atomic_load(&fired) == 1 && now_ms() - began < 20000)
        poll(NULL, 0, 10);
    CHECK_INT(atomic_load(&fired), 2);
    CHECK_INT(atomic_load(&early), 0);
    stop_loop(timer_loop);
}

/* ---- pool ------------------------------------------------------------------------------------ */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint worked, done_count;

static void
work(void *context)
{
    (void)context;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_fetch_add(&worked, 1);
}

static void
done(void *context)
{
    struct net_loop *loop = context;
    CHECK(net_loop_is_here(loop));
    atomic_fetch_add(&done_count, 1);
}

/* Goal: the queue's bound holds and comes free again; stopping finishes what was accepted. Method: work that waits at a gate,
 * ten jobs on two threads with room for ten. */
TEST(pool_is_bounded)
{
    struct net_loop *loop = start_loop();
    struct net_pool *pool;
    cairn_error error;
    CHECK_OK(net_pool_start(2, 10, &pool, &error));
    for (unsigned round = 1; round <= 2; round++) {
        pthread_mutex_lock(&gate);
        for (unsigned i = 0; i < 10; i++)
            CHECK(net_pool_run(pool, loop, work, done, loop));
        CHECK(!net_pool_run(pool, loop, work, done, loop));
        pthread_mutex_unlock(&gate);
        if (round == 1)
            AWAIT(atomic_load(&done_count) == 10);
    }
    AWAIT(atomic_load(&done_count) == 20);
    for (unsigned round = 1; round <= 2; round++) { /* where nothing is to be done afterwards, no loop is needed */
        pthread_mutex_lock(&gate);
        for (unsigned i = 0; i < 10; i++)
            AWAIT(net_pool_run(pool, NULL, work, NULL, loop));
        CHECK(!net_pool_run(pool, NULL, work, NULL, loop));
        pthread_mutex_unlock(&gate);
        AWAIT(atomic_load(&worked) == 20 + round * 10);
    }
    net_pool_stop(pool);
    CHECK_INT(atomic_load(&worked), 40);
    CHECK(!net_pool_run(pool, loop, work, done, loop));
    net_loop_stop(loop);
    CHECK_INT(atomic_load(&done_count), 20);
    net_loop_free(loop);
    net_pool_free(pool);
}

/* ---- posting --------------------------------------------------------------------------------- */

struct shout {
    struct net_post_node node;
    atomic_bool ran;
};

static struct net_loop *post_loop;
static atomic_bool go_on;

static void
run_shout(void *context)
{
    struct shout *shout = context;
    atomic_store(&shout->ran, true);
}

/* Post a node, wait until it has run, and again, until the loop refuses. */
static void *
post_until_refused(void *context)
{
    static _Thread_local struct shout shout;
    (void)context;
    for (;;) {
        atomic_store(&shout.ran, false);
        shout.node = (struct net_post_node){NULL, run_shout, &shout};
        if (!net_post(post_loop, &shout.node))
            return NULL;
        while (!atomic_load(&shout.ran))
            sched_yield();
        atomic_store(&go_on, true);
    }
}

/* Goal: a post is either run or refused, also while the loop is being stopped. Method: threads that post and wait for each
 * post while the loop stops; the test ends only when none waits in vain. 50 rounds. */
TEST(posts_are_run_or_refused)
{
    for (unsigned round = 0; round < 50; round++) {
        pthread_t threads[3];
        post_loop = start_loop();
        atomic_store(&go_on, false);
        for (unsigned i = 0; i < 3; i++)
            CHECK_INT(pthread_create(&threads[i], NULL, post_until_refused, NULL), 0);
        AWAIT(atomic_load(&go_on));
        net_loop_stop(post_loop);
        for (unsigned i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        net_loop_free(post_loop);
    }
}

/* ---- draining -------------------------------------------------------------------------------- */

enum { DRAINED = 3 };

struct drained {
    struct net_loop *loop;
    struct net_post_node node;
    atomic_uint told;
    bool held;
};

static void
hold_it(void *context)
{
    struct drained *drained = context;
    net_loop_hold(drained->loop);
    drained->held = true;
}

static void
tell_it(void *context)
{
    struct drained *drained = context;
    atomic_fetch_add(&drained->told, 1);
}

/* Lets go once it has been told twice; every 5 ms on its loop. */
static void
let_go(void *context)
{
    struct drained *drained = context;
    if (atomic_load(&drained->told) == 2 && drained->held) {
        net_loop_release(drained->loop);
        drained->held = false;
    }
}

/* Goal: draining tells every loop each time, ends when the last hold has gone and not before, and not later than its time.
 * Method: three loops, one of them held until some time after it has been told again. */
TEST(loops_are_drained)
{
    struct drained drained[DRAINED];
    struct net_loop *loops[DRAINED];
    cairn_error error;
    memset(drained, 0, sizeof drained);
    for (size_t i = 0; i < DRAINED; i++) {
        CHECK_OK(net_loop_start("test", NULL, &drained[i], &drained[i].loop, &error));
        loops[i] = drained[i].loop;
    }
    drained[1].node = (struct net_post_node){NULL, hold_it, &drained[1]};
    CHECK(net_post(loops[1], &drained[1].node));
    CHECK(net_every(loops[1], 5, let_go, &drained[1]));
    CHECK(!net_loops_drain(loops, DRAINED, tell_it, 20));
    for (size_t i = 0; i < DRAINED; i++)
        CHECK_INT(atomic_load(&drained[i].told), 1);
    uint64_t begun_ms = now_ms();
    CHECK(net_loops_drain(loops, DRAINED, tell_it, 60000));
    CHECK(now_ms() - begun_ms < 30000);
    for (size_t i = 0; i < DRAINED; i++)
        CHECK_INT(atomic_load(&drained[i].told), 2);
    CHECK(net_loops_drain(loops, DRAINED, tell_it, 0)); /* those that are empty need no time */
    for (size_t i = 0; i < DRAINED; i++)
        stop_loop(loops[i]);
    CHECK(!drained[1].held);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(timers_keep_their_deadlines),
        RUN(far_timers),
        RUN(pool_is_bounded),
        RUN(posts_are_run_or_refused),
        RUN(loops_are_drained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

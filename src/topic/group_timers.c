/* What is due when: a heap of all timers of all groups, so that a tick costs what is due, not what is there.
 *
 * Room in the heap is reserved when a member or a group is made: arming never fails. A timer that has come due waits in its
 * group's list until the ticking thread has the group's lock; whoever frees a member takes its timer out of either. */
#include <topic/groups_int.h>

#include <assert.h>
#include <stdlib.h>

static void
place(struct timers *timers, struct timer *timer, size_t at)
{
    timers->heap[at] = timer;
    timer->at = at;
}

static void
sift_up(struct timers *timers, struct timer *timer, size_t at)
{
    for (; at > 1 && timers->heap[at / 2]->due_ms > timer->due_ms; at /= 2)
        place(timers, timers->heap[at / 2], at);
    place(timers, timer, at);
}

static void
sift_down(struct timers *timers, struct timer *timer, size_t at)
{
    for (size_t child; (child = at * 2) <= timers->count; at = child) {
        if (child < timers->count && timers->heap[child + 1]->due_ms < timers->heap[child]->due_ms)
            child++;
        if (timers->heap[child]->due_ms >= timer->due_ms)
            break;
        place(timers, timers->heap[child], at);
    }
    place(timers, timer, at);
}

static void
take_out(struct timers *timers, struct timer *timer)
{
    size_t at = timer->at;
    struct timer *last = timers->heap[timers->count--];
    timer->at = 0;
    if (last == timer)
        return;
    if (at > 1 && timers->heap[at / 2]->due_ms > last->due_ms)
        sift_up(timers, last, at);
    else
        sift_down(timers, last, at);
}

bool
timers_reserve(struct timers *timers, size_t more)
{
    pthread_mutex_lock(&timers->lock);
    size_t needed = timers->reserved + more;
    if (needed + 1 > timers->capacity) {
        size_t capacity = timers->capacity ? timers->capacity * 2 : 64;
        struct timer **heap = realloc(timers->heap, capacity * sizeof *heap);
        if (heap != NULL) {
            timers->heap = heap;
            timers->capacity = capacity;
        }
    }
    bool room = needed + 1 <= timers->capacity;
    if (room)
        timers->reserved = needed;
    pthread_mutex_unlock(&timers->lock);
    return room;
}

void
timers_give_back(struct timers *timers, size_t count)
{
    pthread_mutex_lock(&timers->lock);
    timers->reserved -= count;
    pthread_mutex_unlock(&timers->lock);
}

void
timer_arm(struct groups_broker *groups, struct timer *timer, int64_t due_ms)
{
    struct timers *timers = &groups->timers;
    pthread_mutex_lock(&timers->lock);
    if (timer->at != 0 && timer->due_ms > due_ms) {
        timer->due_ms = due_ms;
        sift_up(timers, timer, timer->at);
    } else if (timer->at == 0 && !timer->due) {
        assert(timers->count < timers->reserved);
        timer->due_ms = due_ms;
        sift_up(timers, timer, ++timers->count);
    } /* one that has come due is handled soon, and armed again by what it finds */
    pthread_mutex_unlock(&timers->lock);
}

void
timer_cancel(struct groups_broker *groups, struct timer *timer)
{
    struct timers *timers = &groups->timers;
    pthread_mutex_lock(&timers->lock);
    if (timer->at != 0)
        take_out(timers, timer);
    if (timer->due) {
        struct timer **at = &timer->group->due_first;
        while (*at != timer)
            at = &(*at)->next_due;
        *at = timer->next_due;
        timer->due = false;
    }
    pthread_mutex_unlock(&timers->lock);
}

struct kgroup *
timers_take_group(struct groups_broker *groups, int64_t now_ms)
{
    struct timers *timers = &groups->timers;
    struct kgroup *group = NULL;
    pthread_mutex_lock(&timers->lock);
    while (timers->count > 0 && timers->heap[1]->due_ms <= now_ms && (group == NULL || timers->heap[1]->group == group)) {
        struct timer *timer = timers->heap[1];
        take_out(timers, timer);
        group = timer->group;
        timer->due = true;
        timer->next_due = group->due_first;
        group->due_first = timer;
    }
    if (group != NULL)
        atomic_fetch_add(&group->refs, 1);
    pthread_mutex_unlock(&timers->lock);
    return group;
}

struct timer *
timers_take_due(struct groups_broker *groups, struct kgroup *group)
{
    pthread_mutex_lock(&groups->timers.lock);
    struct timer *timer = group->due_first;
    if (timer != NULL) {
        group->due_first = timer->next_due;
        timer->due = false;
    }
    pthread_mutex_unlock(&groups->timers.lock);
    return timer;
}

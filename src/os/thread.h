/* os/thread.h: a thread with a name, what it may ask of the scheduler, and what it took. */
#ifndef OS_THREAD_H
#define OS_THREAD_H

#include <pthread.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define OS_LOW_PRIORITY 10 /* niceness: a tenth of the processor time of an ordinary thread that wants it too */

/* As pthread_create(), whose errors it gives; `name` (15 bytes are kept) is what `top -H` and debuggers show. */
static inline int
os_thread_start(pthread_t *ret, const char *name, void *(*run)(void *), void *context)
{
    int failed = pthread_create(ret, NULL, run, context);
    if (!failed)
        (void)pthread_setname_np(*ret, name);
    return failed;
}

/* The calling thread alone (niceness is per thread on Linux), for good. A wish: failing changes nothing that a
 * caller relies on. */
static inline void
os_lower_priority(void)
{
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), OS_LOW_PRIORITY);
}

/* Processor time of the calling thread so far: what it did, not how long it waited its turn. */
static inline int64_t
os_thread_cpu_us(void)
{
    struct timespec used = {0, 0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

/* How many threads can run at once; at least 1. */
static inline unsigned
os_processors(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 1 ? (unsigned)count : 1;
}

#endif

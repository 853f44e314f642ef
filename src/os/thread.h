/* os/thread.h: what a thread may ask of the scheduler, and what it took. */
#ifndef OS_THREAD_H
#define OS_THREAD_H

#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define OS_LOW_PRIORITY 10 /* niceness: a tenth of the processor time of an ordinary thread that wants it too */

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

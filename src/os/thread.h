/* os/thread.h: what a thread may ask of the scheduler. */
#ifndef OS_THREAD_H
#define OS_THREAD_H

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OS_LOW_PRIORITY 10 /* niceness: a tenth of the processor time of an ordinary thread that wants it too */

/* The calling thread alone (niceness is per thread on Linux), for good. A wish: failing changes nothing that a
 * caller relies on. */
static inline void
os_lower_priority(void)
{
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), OS_LOW_PRIORITY);
}

#endif

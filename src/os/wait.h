/* os/wait.h: wait for a word in memory to change (Linux futex), for places where a condition variable
 * would make every woken thread queue for one mutex. */
#ifndef OS_WAIT_H
#define OS_WAIT_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleep while *word == seen, at most timeout_us (UINT64_MAX: no limit). May return early: callers
 * check their condition again. */
static inline void
os_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_us)
{
    struct timespec limit = {(time_t)(timeout_us / 1000000), (long)(timeout_us % 1000000) * 1000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout_us == UINT64_MAX ? NULL : &limit, NULL, 0);
}

static inline void
os_wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

#endif

/* no_memory.h: make allocations fail. malloc, calloc and realloc are bound to the ones below (mk/crash.mk) in the programs
 * that include this, in every thread; the program says which by refuse_allocation(). */
#ifndef TESTS_CRASH_NO_MEMORY_H
#define TESTS_CRASH_NO_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static struct {
    _Atomic bool armed, fired, forever; /* forever: every one after it fails too */
    _Atomic uint64_t calls, fail_at;
} memory;

static bool
refuse_allocation(void)
{
    if (!atomic_load(&memory.armed))
        return false;
    uint64_t call = atomic_fetch_add(&memory.calls, 1) + 1;
    if (call < memory.fail_at || (call > memory.fail_at && !memory.forever))
        return false;
    atomic_store(&memory.fired, true);
    return true;
}

/* The at-th allocation from now on fails. */
static inline void
memory_fails(uint64_t at, bool forever)
{
    memory.fail_at = at;
    memory.forever = forever;
    atomic_store(&memory.calls, 0);
    atomic_store(&memory.fired, false);
    atomic_store(&memory.armed, true);
}

/* No further one does. True: one has. */
static inline bool
memory_returns(void)
{
    atomic_store(&memory.armed, false);
    return atomic_load(&memory.fired);
}

void *
__wrap_malloc(size_t size)
{
    return refuse_allocation() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return refuse_allocation() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *of, size_t size)
{
    return refuse_allocation() ? NULL : __real_realloc(of, size);
}

#endif

/* base/arena.h: memory freed by context. Many small allocations, one release; one owner thread. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <cairn/types.h>

struct arena_block;

/* Zero it to begin. size_max bounds the sum of all blocks (0: no bound). */
struct arena {
    struct arena_block *block;
    size_t used_bytes; /* the sum of all blocks */
    size_t size_max;
};

/* NULL when out of memory or over size_max. Aligned to 16, not zeroed. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t size);
/* A copy of the bytes, followed by a NUL that the size does not count. data is NULL on failure. */
cairn_str arena_copy(struct arena *arena, cairn_str text);
/* Forget every allocation, keep the largest block for reuse. */
void arena_reset(struct arena *arena);
void arena_free(struct arena *arena);

#endif

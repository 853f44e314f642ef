/* Memory freed by context.
 *
 *   arena ─► block ─► block ─► …       allocations are cut from the first block only
 *            [header | used … | free ]
 *
 * Invariants: used_bytes is the sum of the blocks' sizes (headers not counted) and never exceeds
 * size_max; every pointer handed out stays where it is until arena_reset() or arena_free(). An
 * allocation too large to share a block gets one of its own *behind* the first, so that the room
 * left in the first is not lost. Under AddressSanitizer whatever is not handed out is poisoned, so
 * that running over an allocation or keeping one past a reset is caught. One owner thread. */
#include <base/arena.h>

#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS 1
#endif
#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define ARENA_ALIGN ((size_t)16)
#define ARENA_BLOCK_MIN ((size_t)4096)
#define ARENA_BLOCK_MAX ((size_t)1 << 20)

struct arena_block {
    struct arena_block *next;
    size_t size; /* of bytes[] */
    size_t used;
    size_t reserved; /* keeps bytes[] aligned to 16 */
    _Alignas(16) uint8_t bytes[];
};

/* A block that holds at least `need` bytes, within the arena's bound; larger than that where the
 * bound allows, so that many small allocations share it. NULL when it cannot be. */
static struct arena_block *
make_block(struct arena *arena, size_t need, size_t wish)
{
    size_t left = arena->size_max ? arena->size_max - arena->used_bytes : SIZE_MAX;
    if (need > left || need > PTRDIFF_MAX - sizeof(struct arena_block))
        return NULL;
    size_t size = need > wish ? need : wish;
    if (size > left)
        size = left;
    struct arena_block *block = malloc(sizeof *block + size);
    if (!block)
        return NULL;
    block->next = NULL;
    block->size = size;
    block->used = 0;
    arena->used_bytes += size;
    ASAN_POISON_MEMORY_REGION(block->bytes, size);
    return block;
}

/* Put a new block where an allocation of `size` fits, and return it. */
static struct arena_block *
add_block(struct arena *arena, size_t size)
{
    struct arena_block *first = arena->block;
    size_t wish = ARENA_BLOCK_MIN;
    if (first && first->size >= wish)
        wish = first->size < ARENA_BLOCK_MAX / 2 ? first->size * 2 : ARENA_BLOCK_MAX;
    bool alone = first && size > wish / 4;
    struct arena_block *block = make_block(arena, size, alone ? size : wish);
    if (!block)
        return NULL;
    if (alone) {
        block->next = first->next;
        first->next = block;
    } else {
        block->next = first;
        arena->block = block;
    }
    return block;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
    if (size == 0)
        size = 1;
    struct arena_block *block = arena->block;
    if (!block || size > block->size - block->used) {
        block = add_block(arena, size);
        if (!block)
            return NULL;
    }
    uint8_t *at = block->bytes + block->used;
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
    size_t left = block->size - block->used;
    block->used += rounded < left ? rounded : left;
    ASAN_UNPOISON_MEMORY_REGION(at, size);
    return at;
}

void *
arena_zalloc(struct arena *arena, size_t size)
{
    void *at = arena_alloc(arena, size);
    return at ? memset(at, 0, size) : NULL;
}

cairn_str
arena_copy(struct arena *arena, cairn_str text)
{
    if (text.size == SIZE_MAX)
        return (cairn_str){NULL, 0};
    char *copy = arena_alloc(arena, text.size + 1);
    if (!copy)
        return (cairn_str){NULL, 0};
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return (cairn_str){copy, text.size};
}

static void
free_block(struct arena_block *block)
{
    ASAN_UNPOISON_MEMORY_REGION(block->bytes, block->size);
    free(block);
}

void
arena_reset(struct arena *arena)
{
    struct arena_block *keep = NULL;
    for (struct arena_block *block = arena->block, *next; block; block = next) {
        next = block->next;
        if (!keep || block->size > keep->size) {
            if (keep)
                free_block(keep);
            keep = block;
        } else {
            free_block(block);
        }
    }
    arena->block = keep;
    arena->used_bytes = 0;
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
        arena->used_bytes = keep->size;
        ASAN_POISON_MEMORY_REGION(keep->bytes, keep->size);
    }
}

void
arena_free(struct arena *arena)
{
    if (!arena)
        return;
    for (struct arena_block *block = arena->block, *next; block; block = next) {
        next = block->next;
        free_block(block);
    }
    arena->block = NULL;
    arena->used_bytes = 0;
}

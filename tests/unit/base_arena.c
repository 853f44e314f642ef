/* base/arena.h: memory freed by context. */
#include "test.h"

#include <base/arena.h>

/* The sanitizers' allocators end the process when asked for too much, unless told to answer NULL. */
CAIRN_API const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
CAIRN_API const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }

/* Goal: every allocation is aligned, its own, and keeps its bytes until the reset.
 * Method: many random sizes filled with a mark each, all looked at again at the end. */
TEST(allocations_do_not_touch_each_other)
{
    uint64_t seed = test_seed();
    struct arena arena = {0};
    enum { COUNT = 3000 };
    static struct {
        uint8_t *at;
        size_t size;
    } got[COUNT];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            size_t size = test_random(&seed) % (i % 100 == 0 ? 50000 : 200);
            uint8_t *at = arena_alloc(&arena, size);
            assert_non_null(at);
            CHECK_INT((uintptr_t)at % 16, 0);
            memset(at, i, size);
            got[i].at = at;
            got[i].size = size;
        }
        for (int i = 0; i < COUNT; i++)
            for (size_t k = 0; k < got[i].size; k++)
                CHECK_INT(got[i].at[k], (uint8_t)i);
        arena_reset(&arena);
    }
    arena_free(&arena);
}

/* Goal: zalloc gives zeros, also in memory that was used before.
 * Method: fill, reset, allocate again. */
TEST(zalloc_is_zero)
{
    struct arena arena = {0};
    memset(arena_alloc(&arena, 1000), 0xAA, 1000);
    arena_reset(&arena);
    uint8_t *at = arena_zalloc(&arena, 1000);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(at[i], 0);
    arena_free(&arena);
}

/* Goal: a copy has the bytes and a NUL after them; an empty one is not NULL.
 * Method: a text with a NUL inside, and the empty string. */
TEST(copy_ends_with_nul)
{
    struct arena arena = {0};
    cairn_str copy = arena_copy(&arena, CAIRN_STR("a\0b"));
    CHECK_INT(copy.size, 3);
    assert_memory_equal(copy.data, "a\0b", 4);
    copy = arena_copy(&arena, (cairn_str){NULL, 0});
    CHECK(copy.data && copy.size == 0 && copy.data[0] == '\0');
    CHECK(!arena_copy(&arena, (cairn_str){"x", SIZE_MAX}).data);
    arena_free(&arena);
}

/* Goal: the sum of the blocks never passes size_max, and all of it can be used.
 * Method: allocate until it refuses; what fitted is nearly everything; a reset lets it begin again. */
TEST(bound_holds)
{
    const size_t bounds[] = {16, 1000, 4096, 10000, 300000};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        struct arena arena = {.size_max = bounds[i]};
        for (int round = 0; round < 2; round++) {
            size_t sum = 0;
            while (arena_alloc(&arena, 16))
                sum += 16;
            CHECK(sum <= bounds[i]);
            if (round == 0)
                CHECK(sum + 16 > bounds[i]);
            CHECK(arena.used_bytes <= bounds[i]);
            CHECK(!arena_alloc(&arena, bounds[i] + 1));
            CHECK(!arena_copy(&arena, CAIRN_STR("a text that has no room any more")).data);
            arena_reset(&arena);
        }
        arena_free(&arena);
        CHECK_INT(arena.used_bytes, 0);
    }
}

/* Goal: a reset keeps the largest block: the same work again needs no new memory.
 * Method: one large allocation among small ones; used_bytes after the reset, and after doing it again. */
TEST(reset_keeps_the_largest_block)
{
    struct arena arena = {0};
    for (int i = 0; i < 10; i++)
        arena_alloc(&arena, 100);
    arena_alloc(&arena, 200000);
    for (int i = 0; i < 10; i++)
        arena_alloc(&arena, 100);
    arena_reset(&arena);
    size_t kept = arena.used_bytes;
    CHECK(kept >= 200000);
    CHECK(arena_alloc(&arena, 200000));
    CHECK_INT(arena.used_bytes, kept);
    arena_free(&arena);
    arena_free(&arena); /* twice is fine, and NULL too */
    arena_free(NULL);
}

/* Goal: a size that cannot be had is refused, not wrapped.
 * Method: the largest sizes there are, in a fresh arena and one with a block. */
TEST(absurd_sizes_are_refused)
{
    struct arena arena = {0};
    for (int round = 0; round < 2; round++) {
        CHECK(!arena_alloc(&arena, SIZE_MAX));
        CHECK(!arena_alloc(&arena, SIZE_MAX - 15));
        CHECK(!arena_zalloc(&arena, PTRDIFF_MAX));
        size_t before = arena.used_bytes;
        CHECK(!arena_alloc(&arena, PTRDIFF_MAX - 4096)); /* the system has not that much */
        CHECK_INT(arena.used_bytes, before);
        CHECK(arena_alloc(&arena, 1));
    }
    arena_free(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(allocations_do_not_touch_each_other), RUN(zalloc_is_zero),
        RUN(copy_ends_with_nul),                  RUN(bound_holds),
        RUN(reset_keeps_the_largest_block),       RUN(absurd_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

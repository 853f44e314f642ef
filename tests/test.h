/* tests/test.h: what every test program uses: cmocka, CHECK, seeds, temporary folders. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define TEST(name) static void name(void **state __attribute__((unused)))
#define RUN(name) cmocka_unit_test(name)
#define CHECK(condition) assert_true(condition)
#define CHECK_INT(actual, expected) assert_int_equal((actual), (expected))
#define CHECK_STR(actual, expected) assert_string_equal((actual), (expected))
/* CHECK_OK(cairn_append(…, NULL)); where there is a cairn_error `error` that says why, CHECK_TOLD(cairn_append(…, &error)). */
#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        cairn_err err_ = (call);                                                                   \
        if (err_ != CAIRN_OK)                                                                      \
            fail_msg("%s: %s", #call, cairn_err_name(err_));                                       \
    } while (0)
#define CHECK_TOLD(call)                                                                           \
    do {                                                                                           \
        cairn_err err_ = (call);                                                                   \
        if (err_ != CAIRN_OK)                                                                      \
            fail_msg("%s: %s: %s", #call, cairn_err_name(err_), error.detail);                     \
    } while (0)

/* The seed of random tests: TEST_SEED from the environment, else a fixed one mixed with nothing; printed, so
 * that a failure can be played again. */
static inline uint64_t
test_seed(void)
{
    const char *text = getenv("TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 0x9E3779B97F4A7C15u;
    printf("seed: TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* splitmix64 (Steele, Lea, Flood 2014): small, good enough, the same everywhere. */
static inline uint64_t
test_random(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* How much random work to do: TEST_SCALE (1 by default, more in `make soak`). */
static inline unsigned
test_scale(void)
{
    const char *text = getenv("TEST_SCALE");
    return text ? (unsigned)strtoul(text, NULL, 10) : 1;
}

/* A new empty folder; test_remove() takes it away with all that is in it. `path` needs 64 bytes. */
static inline void
test_folder(char path[64])
{
    snprintf(path, 64, "%s/cairn-test-XXXXXX", getenv("TMPDIR") && strlen(getenv("TMPDIR")) < 40 ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(path));
}
static inline void
test_remove(const char *path)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

#endif

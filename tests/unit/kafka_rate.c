/* proto/kafka/rate.h: bytes a second, a burst, a longest wait. */
#include "test.h"

#include <proto/kafka/rate.h>
#include <stdbool.h>

/* Goal: a rested bucket gives a second's worth at once, and then the rate, to the millisecond. */
TEST(a_burst_and_then_the_rate)
{
    struct rate bucket = {0};
    CHECK_INT(rate_burst(1000), 1000);
    CHECK_INT(rate_take(&bucket, 1000, 600, 50000), 0);
    CHECK_INT(rate_take(&bucket, 1000, 400, 50000), 0);
    CHECK_INT(rate_take(&bucket, 1000, 1, 50000), 1);
    CHECK_INT(rate_take(&bucket, 1000, 499, 50000), 500);
    CHECK_INT(rate_take(&bucket, 1000, 250, 50500), 250);
    CHECK_INT(rate_take(&bucket, 1000, 100, 50850), 0); /* it came 100 ms later than it had to */
    CHECK_INT(rate_take(&bucket, 1000, 1000, 90000), 0);
    CHECK_INT(rate_take(&bucket, 1000, 1000, 90000), 1000); /* resting longer has given no more than a burst */
}

/* Goal: parts of a millisecond and of a byte's time are neither lost nor given away.
 * Method: a hundred thousand takes of 3 bytes at 7 bytes a second take as long as one of all. */
TEST(rounding_adds_nothing_up)
{
    struct rate bucket = {0};
    uint64_t now_ms = 1000000, begun_ms = now_ms;
    for (unsigned i = 0; i < 100000; i++)
        now_ms += rate_take(&bucket, 7, 3, now_ms);
    uint64_t due_ms = (300000 - 7) * UINT64_C(1000) / 7;
    CHECK(now_ms - begun_ms >= due_ms && now_ms - begun_ms <= due_ms + 2);
}

/* Goal: nobody waits longer than RATE_WAIT_MAX_MS, also who takes far too much, again and again; what is beyond is forgiven. */
TEST(a_wait_has_an_end)
{
    struct rate bucket = {0};
    uint64_t now_ms = 5;
    for (unsigned i = 0; i < 10; i++) {
        uint32_t wait_ms = rate_take(&bucket, 1, i % 2 ? UINT64_MAX : 1000000, now_ms);
        CHECK_INT(wait_ms, RATE_WAIT_MAX_MS);
        now_ms += wait_ms;
    }
    CHECK_INT(rate_take(&bucket, 1, 1, now_ms), 1000);
    CHECK_INT(rate_take(&bucket, 1, 1, now_ms + RATE_WAIT_MAX_MS), 0);
}

/* Goal: no number is too large. A century after the machine was started, at the largest rate. */
TEST(the_largest_numbers)
{
    struct rate bucket = {0};
    uint64_t now_ms = UINT64_C(100) * 366 * 86400 * 1000;
    CHECK_INT(rate_take(&bucket, RATE_MAX, RATE_MAX, now_ms), 0);
    CHECK_INT(rate_take(&bucket, RATE_MAX, RATE_MAX - 1, now_ms), 1000);
    CHECK_INT(rate_take(&bucket, RATE_MAX, UINT64_MAX, now_ms), RATE_WAIT_MAX_MS);
    CHECK_INT(rate_take(&bucket, RATE_MAX, 1, now_ms + 20000), 0);
}

/* Goal: whatever is taken when, as long as whoever takes waits as he is told: over any time no more than rate × (t + burst) and one take,
 * and whoever is never idle gets no less than the rate.
 * Method: random rates, sizes up to ten seconds' worth, and pauses. */
TEST(the_rate_holds)
{
    uint64_t seed = test_seed();
    for (unsigned round = 0; round < 300; round++) {
        struct rate bucket = {0};
        uint64_t rate = 1 + test_random(&seed) % (UINT64_C(1) << (1 + round % 34)), largest = 0, taken = 0, waited_ms = 0;
        uint64_t now_ms = test_random(&seed) % 1000000, begun_ms = now_ms;
        bool pauses = round % 2;
        rate = rate > RATE_MAX ? RATE_MAX : rate;
        for (unsigned i = 0; i < 300; i++) {
            uint64_t bytes = 1 + test_random(&seed) % (rate * (1 + round % 10));
            uint32_t wait_ms = rate_take(&bucket, rate, bytes, now_ms);
            taken += bytes;
            largest = bytes > largest ? bytes : largest;
            double t = (double)(now_ms - begun_ms) / 1000;
            CHECK((double)(taken - bytes) <= (double)rate * (t + RATE_BURST_MS / 1000.0 + i / 1e9) + 1); /* a take is rounded by a nanosecond */
            CHECK(wait_ms <= RATE_WAIT_MAX_MS);
            now_ms += wait_ms + (pauses ? test_random(&seed) % 3000 : 0);
            waited_ms += wait_ms;
        }
        if (!pauses && waited_ms > 0)
            CHECK((double)taken >= (double)rate * ((double)(now_ms - begun_ms - 300) / 1000)); /* a wait is a whole number of ms */
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_burst_and_then_the_rate), RUN(rounding_adds_nothing_up), RUN(a_wait_has_an_end), RUN(the_largest_numbers), RUN(the_rate_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

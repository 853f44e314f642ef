/* A token bucket of one number. See rate.h. */
#include <proto/kafka/rate.h>

#include <assert.h>

#define NS_A_MS UINT64_C(1000000)
#define NS_A_SECOND (1000 * NS_A_MS)

uint32_t
rate_take(struct rate *bucket, uint64_t rate, uint64_t bytes, uint64_t now_ms)
{
    assert(rate > 0 && rate <= RATE_MAX);
    uint64_t now_ns = now_ms * NS_A_MS, free_ns = now_ns + RATE_BURST_MS * NS_A_MS, last_ns = free_ns + RATE_WAIT_MAX_MS * NS_A_MS;
    uint64_t most = rate * (RATE_BURST_MS + RATE_WAIT_MAX_MS) / 1000 + 1; /* more makes no difference */
    if (bucket->full_ns < now_ns)
        bucket->full_ns = now_ns;
    if (bytes > most)
        bytes = most;
    bucket->full_ns += bytes / rate * NS_A_SECOND + bytes % rate * NS_A_SECOND / rate;
    if (bucket->full_ns > last_ns)
        bucket->full_ns = last_ns;
    return bucket->full_ns <= free_ns ? 0 : (uint32_t)((bucket->full_ns - free_ns + NS_A_MS - 1) / NS_A_MS);
}

/* proto/kafka/rate.h: bytes a second of one connection: a token bucket, kept as the one number that says all of it.
 *
 * A bucket holds RATE_BURST_MS worth of bytes and fills at the rate. Instead of how full it is, `full_ns` says when it will be full: in
 * the past, it is; up to RATE_BURST_MS ahead, there is something in it; further ahead, more was taken than there was, and what is beyond
 * is how long whoever took it has to wait (the "virtual scheduling" form of the Generic Cell Rate Algorithm, ITU-T I.371, annex A). So
 * nothing is to be topped up, and zero is a full bucket.
 *
 * Whoever waits when he is told to gets, over any time t, at most rate × (t + RATE_BURST_MS) and one take more. The exception is a single
 * take of more than RATE_WAIT_MAX_MS and what is in the bucket: the rest of it is forgiven, so that nobody waits longer than clients
 * wait for an answer. */
#ifndef PROTO_KAFKA_RATE_H
#define PROTO_KAFKA_RATE_H

#include <stdint.h>

#define RATE_BURST_MS 1000u     /* what a rested connection may have at once is a second's worth */
#define RATE_WAIT_MAX_MS 10000u /* clients give up on an answer after 30 s, and groups on a member after as much */
#define RATE_MAX (UINT64_C(16) << 30) /* bytes a second; so that no product leaves 64 bits */

struct rate {
    uint64_t full_ns;
};

/* Take `bytes` at now_ms. How many milliseconds to wait from now, rounded up; 0: they were there. rate: bytes a second, 1 to RATE_MAX. */
uint32_t rate_take(struct rate *bucket, uint64_t rate, uint64_t bytes, uint64_t now_ms);

/* What a full bucket holds. */
static inline uint64_t
rate_burst(uint64_t rate)
{
    return rate * RATE_BURST_MS / 1000;
}

#endif

/* batch/varint.h: the numbers inside of records: zigzag varints (as Protobuf's sint32 and sint64).
 *
 * Strict: at most 5 bytes for 32 bits, 10 for 64, and nothing beyond the number's bits in the last one. Most are one byte,
 * so that case is inline and the others are not. */
#ifndef BATCH_VARINT_H
#define BATCH_VARINT_H

#include <base/bytes.h>

#define VARINT32_MAX 5

/* NULL: the bytes run out, or it is no number. */
const uint8_t *signed_varint_slow(const uint8_t *at, const uint8_t *end, unsigned bits, int64_t *ret);

static inline const uint8_t *
signed_varint(const uint8_t *at, const uint8_t *end, unsigned bits, int64_t *ret)
{
    if (__builtin_expect(end - at >= 2, 1)) {
        uint32_t first = at[0], second = at[1], value = first;
        if (first < 0x80) {
            *ret = (int64_t)(int32_t)((value >> 1) ^ (0 - (value & 1)));
            return at + 1;
        }
        if (second < 0x80) {
            value = (first & 0x7F) | second << 7;
            *ret = (int64_t)(int32_t)((value >> 1) ^ (0 - (value & 1)));
            return at + 2;
        }
    }
    return signed_varint_slow(at, end, bits, ret);
}

/* VARINT_MAX bytes of room; returns the end. */
static inline uint8_t *
signed_varint_put(uint8_t *to, int64_t value)
{
    return varint_put(to, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

static inline size_t
signed_varint_size(int64_t value)
{
    uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    return (70 - (size_t)__builtin_clzll(zigzag | 1)) / 7;
}

#endif

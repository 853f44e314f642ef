/* base/utf8.h: one UTF-8 sequence at a time, for the base room's own parsers and writers. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <base/bytes.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* The length of the well-formed sequence at `at` (1 to 4), or minus the number of bytes that one
 * U+FFFD stands for (Unicode 15, §3.9, "substitution of maximal subparts"). at < end.
 * Ranges from Unicode 15, table 3-7. */
static inline int
utf8_sequence(const uint8_t *at, const uint8_t *end)
{
    uint8_t lead = at[0];
    if (lead < 0x80)
        return 1;
    int length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead < 0xC2 || lead > 0xF4 || end - at < 2)
        return -1;
    uint8_t low = 0x80, high = 0xBF; /* what the second byte may be */
    switch (lead) {
    case 0xE0: low = 0xA0; break;  /* no overlong form */
    case 0xED: high = 0x9F; break; /* no surrogate */
    case 0xF0: low = 0x90; break;  /* no overlong form */
    case 0xF4: high = 0x8F; break; /* nothing after U+10FFFF */
    }
    if (at[1] < low || at[1] > high)
        return -1;
    for (int i = 2; i < length; i++)
        if (end - at <= i || (at[i] & 0xC0) != 0x80)
            return -i;
    return length;
}

/* Skip what a JSON string may hold as it stands and needs no look at: ASCII other than '"', '\\' and
 * control characters. Returns the first byte that is something else, or end. */
static inline const uint8_t *
skip_plain(const uint8_t *at, const uint8_t *end)
{
#if defined(__SSE2__)
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        /* As signed bytes, what is below 0x20 is a control character or not ASCII. */
        __m128i stop = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        unsigned mask = (unsigned)_mm_movemask_epi8(stop);
        if (mask)
            return at + __builtin_ctz(mask);
        at += 16;
    }
#endif
    while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
        at++;
    return at;
}

#endif

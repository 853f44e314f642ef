/* CRC32C (Castagnoli; RFC 3720 appendix B.4), by the SSE4.2 instruction where there is one and by
 * tables elsewhere.
 *
 * Polynomials over GF(2) are kept bit-reversed, as the standard transmits them: bit 0 of a word is its
 * highest power. P is the Castagnoli polynomial.
 *
 * The instruction takes eight bytes a cycle but answers after three, so a long input is cut into
 * three lanes that are computed side by side and then joined:
 *
 *     crc(A‖B‖C) = crc(A)·x^2n + crc(B)·x^n + crc(C)   mod P,   n = bits in a lane
 *
 * with one carry-less multiplication for each of the two products (V. Gopal et al., "Fast CRC
 * computation for iSCSI polynomial using CRC32 instruction", Intel, 2011).
 *
 * The tables and the choice are made before main() runs, so that a call costs neither a lock nor an
 * atomic load. Thread-safe. */
#include <base/bytes.h>
#include <base/crc32c_int.h>
#include <base/hash.h>

#define POLYNOMIAL 0x82F63B78u /* P without x^32, reversed */

/* tables[k][b] = the CRC of byte b followed by k zero bytes ("slicing by 8"). */
static uint32_t tables[8][256];

static void
make_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
        tables[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t crc = tables[k - 1][byte];
            tables[k][byte] = (crc >> 8) ^ tables[0][crc & 0xff];
        }
}

uint32_t
crc32c_by_table(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    crc = ~crc;
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word = load64(at) ^ crc;
        crc = 0;
        for (int k = 0; k < 8; k++, word >>= 8)
            crc ^= tables[7 - k][word & 0xff];
    }
    for (; size > 0; at++, size--)
        crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 0xff];
    return ~crc;
}

/* squares[k] = x^(8·2^k) mod P: what moves a CRC 2^k bytes on. */
static uint32_t squares[64];

/* a·b mod P, a bit at a time from the highest power (bit 0 is x^31) down: Horner's scheme. */
static uint32_t
product(uint32_t a, uint32_t b)
{
    uint32_t sum = 0;
    for (int bit = 0; bit < 32; bit++) {
        sum = (sum >> 1) ^ (sum & 1 ? POLYNOMIAL : 0); /* times x */
        sum ^= a >> bit & 1 ? b : 0;
    }
    return sum;
}

static void
make_squares(void)
{
    squares[0] = UINT32_C(1) << 23; /* x^8 */
    for (int k = 1; k < 64; k++)
        squares[k] = product(squares[k - 1], squares[k - 1]);
}

/* What is inverted at both ends of a CRC is the same in all three, so that it cancels out. */
uint32_t
crc32c_join(uint32_t crc, uint32_t crc_of_b, uint64_t size_of_b)
{
    for (int k = 0; size_of_b > 0; k++, size_of_b >>= 1)
        if (size_of_b & 1)
            crc = product(crc, squares[k]);
    return crc ^ crc_of_b;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define HARDWARE __attribute__((target("sse4.2,pclmul")))

/* Words of 8 bytes in a lane. A longer one would gain nothing and want a larger table. */
#define LANE_MAX 128
/* Below this the joining costs more than the lanes save. */
#define LANE_MIN 4

/* powers[w] = x^(64w - 33) mod P: what moves a CRC w words on. The 33 is made up for in join(). */
static uint32_t powers[2 * LANE_MAX + 1];

HARDWARE static void
make_powers(void)
{
    powers[1] = 1; /* x^31 */
    for (int w = 2; w <= 2 * LANE_MAX; w++)
        powers[w] = (uint32_t)_mm_crc32_u64(0, powers[w - 1]); /* times x^64 */
}

HARDWARE static inline __m128i
multiply(uint64_t a, uint32_t b)
{
    return _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)a), _mm_cvtsi32_si128((int)b), 0);
}

/* The carry-less product of two reversed 32-bit words stands one bit too low in its 64 bits, which is
 * a factor x, and the instruction multiplies by x^32 while it reduces: x^33 in all. */
HARDWARE static inline uint64_t
join(uint64_t a, uint64_t b, uint64_t c, size_t lane)
{
    __m128i sum = _mm_xor_si128(multiply(a, powers[2 * lane]), multiply(b, powers[lane]));
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(sum)) ^ c;
}

HARDWARE uint32_t
crc32c_by_hardware(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t a = (uint32_t)~crc;
    size_t words = size / 8;
    while (words >= 3 * LANE_MIN) {
        size_t lane = words / 3 < LANE_MAX ? words / 3 : LANE_MAX;
        uint64_t b = 0, c = 0;
        const uint8_t *end = at + 8 * lane;
        for (; at < end; at += 8) {
            a = _mm_crc32_u64(a, load64(at));
            b = _mm_crc32_u64(b, load64(at + 8 * lane));
            c = _mm_crc32_u64(c, load64(at + 16 * lane));
        }
        a = join(a, b, c, lane);
        at += 16 * lane;
        words -= 3 * lane;
    }
    for (; words > 0; at += 8, words--)
        a = _mm_crc32_u64(a, load64(at));
    uint32_t rest = (uint32_t)a;
    if (size & 4) {
        rest = _mm_crc32_u32(rest, load32(at));
        at += 4;
    }
    if (size & 2) {
        rest = _mm_crc32_u16(rest, load16(at));
        at += 2;
    }
    if (size & 1)
        rest = _mm_crc32_u8(rest, *at);
    return ~rest;
}

bool
crc32c_has_hardware(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

#else /* another processor: tables */

static void make_powers(void) {}

bool
crc32c_has_hardware(void)
{
    return false;
}

uint32_t
crc32c_by_hardware(uint32_t crc, const void *bytes, size_t size)
{
    return crc32c_by_table(crc, bytes, size);
}

#endif

static uint32_t (*chosen)(uint32_t crc, const void *bytes, size_t size) = crc32c_by_table;

/* Before the constructors without a priority, which may belong to an embedding program and open a
 * store already. */
__attribute__((constructor(101))) static void
choose(void)
{
    make_tables();
    make_squares();
    if (crc32c_has_hardware()) {
        make_powers();
        chosen = crc32c_by_hardware;
    }
}

uint32_t
crc32c(uint32_t crc, const void *bytes, size_t size)
{
    return chosen(crc, bytes, size);
}

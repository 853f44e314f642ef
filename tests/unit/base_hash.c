/* base/hash.h: CRC32C, XXH3, SHA-256. */
#include "test.h"

#include <base/crc32c_int.h>
#include <base/hash.h>
#include <base/text.h>
#include <xxhash.h>

typedef uint32_t (*crc_function)(uint32_t crc, const void *bytes, size_t size);

/* The definition, bit by bit: what the fast ones are held against. */
static uint32_t
crc_by_bits(uint32_t crc, const uint8_t *bytes, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static void
check_crc_vectors(crc_function crc)
{
    uint8_t bytes[32];
    CHECK_INT(crc(0, "123456789", 9), 0xE3069283u);
    CHECK_INT(crc(0, NULL, 0), 0);
    memset(bytes, 0, 32);
    CHECK_INT(crc(0, bytes, 32), 0x8A9136AAu);
    memset(bytes, 0xFF, 32);
    CHECK_INT(crc(0, bytes, 32), 0x62A8AB43u);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    CHECK_INT(crc(0, bytes, 32), 0x46DD794Eu);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    CHECK_INT(crc(0, bytes, 32), 0x113FDB5Cu);
    /* An iSCSI SCSI Read (10) command PDU. */
    static const uint8_t pdu[48] = {0x01, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                    0x14, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                    0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0};
    CHECK_INT(crc(0, pdu, 48), 0xD9963A56u);
}

/* Goal: both implementations compute CRC32C. Method: the vectors of RFC 3720 B.4. */
TEST(crc32c_known_answers)
{
    check_crc_vectors(crc32c);
    check_crc_vectors(crc32c_by_table);
    if (crc32c_has_hardware())
        check_crc_vectors(crc32c_by_hardware);
    else
        print_message("this processor has no CRC32C instruction: only tables are tested\n");
}

/* Goal: lanes of every size join rightly, at any alignment, from any beginning.
 * Method: every size up to beyond the longest block, and random larger ones, against the definition. */
TEST(crc32c_agrees_with_definition)
{
    uint64_t seed = test_seed();
    enum { SIZE = 40000 };
    uint8_t *bytes = malloc(SIZE + 8);
    for (int i = 0; i < SIZE + 8; i++)
        bytes[i] = (uint8_t)test_random(&seed);
    for (size_t size = 0; size < 6500; size += size < 700 ? 1 : 1 + test_random(&seed) % 40) {
        const uint8_t *at = bytes + test_random(&seed) % 8;
        uint32_t begin = (uint32_t)test_random(&seed);
        uint32_t expected = crc_by_bits(begin, at, size);
        CHECK_INT(crc32c(begin, at, size), expected);
        CHECK_INT(crc32c_by_table(begin, at, size), expected);
    }
    for (int round = 0; round < 20; round++) {
        size_t size = test_random(&seed) % SIZE;
        CHECK_INT(crc32c(0, bytes, size), crc_by_bits(0, bytes, size));
    }
    free(bytes);
}

/* Goal: a CRC chains over pieces. Method: cut a text everywhere. */
TEST(crc32c_chains)
{
    char text[401];
    for (int i = 0; i < 400; i++)
        text[i] = (char)(i * 7);
    uint32_t whole = crc32c(0, text, 400);
    for (size_t cut = 0; cut <= 400; cut++)
        CHECK_INT(crc32c(crc32c(0, text, cut), text + cut, 400 - cut), whole);
}

/* Goal: the checksum of two pieces follows from theirs. Method: random cuts of random bytes; sizes that nobody can read are
 * held against joining in two steps. */
TEST(crc32c_joins)
{
    uint64_t seed = test_seed();
    enum { SIZE = 10000 };
    uint8_t bytes[SIZE];
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)test_random(&seed);
    for (int round = 0; round < 2000; round++) {
        size_t size = test_random(&seed) % (SIZE + 1), cut = size ? test_random(&seed) % (size + 1) : 0;
        uint32_t begin = (uint32_t)test_random(&seed);
        uint32_t front = crc32c(begin, bytes, cut), rest = crc32c(0, bytes + cut, size - cut);
        CHECK_INT(crc32c_join(front, rest, size - cut), crc32c(begin, bytes, size));
    }
    uint32_t a = (uint32_t)test_random(&seed), b = (uint32_t)test_random(&seed), c = (uint32_t)test_random(&seed);
    for (int round = 0; round < 100; round++) {
        uint64_t size_b = test_random(&seed) >> 2, size_c = test_random(&seed) >> 2;
        CHECK_INT(crc32c_join(crc32c_join(a, b, size_b), c, size_c), crc32c_join(a, crc32c_join(b, c, size_c), size_b + size_c));
    }
}

/* Goal: the hashes are XXH3 as everybody knows it.
 * Method: the published hash of nothing, and the shared library on random texts of many sizes. */
TEST(xxh3_agrees_with_library)
{
    uint64_t seed = test_seed();
    CHECK(hash64(NULL, 0, 0) == 0x2D06800538D394C2u);
    uint8_t secret[HASH_SECRET_BYTES], bytes[3000];
    hash_secret(secret, "a seed", 6);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)test_random(&seed);
    for (size_t size = 0; size < sizeof bytes; size += 1 + size / 16) {
        CHECK(hash64(bytes, size, size) == XXH3_64bits_withSeed(bytes, size, size));
        struct hash128 hash = hash128(secret, bytes, size);
        XXH128_hash_t expected = XXH3_128bits_withSecret(bytes, size, secret, sizeof secret);
        CHECK(hash.low == expected.low64 && hash.high == expected.high64);
    }
}

/* Goal: series keys hash alike in every version, since the index keeps the hashes.
 * Method: a fixed secret and key have a fixed hash; another secret gives another. */
TEST(hash128_is_stable)
{
    uint8_t secret[HASH_SECRET_BYTES], other[HASH_SECRET_BYTES];
    hash_secret(secret, "cairn", 5);
    hash_secret(other, "Cairn", 5);
    struct hash128 a = hash128(secret, "order-42", 8), b = hash128(other, "order-42", 8);
    CHECK(a.low == 0x17ED7468C57E2E9Bu && a.high == 0xE15814DBADE51501u);
    CHECK(b.low != a.low && b.high != a.high);
}

static void
check_sha256(cairn_str text, const char *expected)
{
    uint8_t hash[32];
    char hex[65];
    sha256(text.data, text.size, hash);
    format_hex(hash, 32, hex);
    CHECK_STR(hex, expected);
}

/* Goal: SHA-256. Method: the examples of FIPS 180-4 (NIST's example values), and of nothing. */
TEST(sha256_known_answers)
{
    check_sha256((cairn_str){NULL, 0}, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha256(CAIRN_STR("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha256(CAIRN_STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    check_sha256((cairn_str){million, 1000000},
                 "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

/* Goal: pieces in a row hash as the whole. Method: cut a text in three everywhere. */
TEST(sha256_pieces_hash_as_whole)
{
    const char *text = "The quick brown fox jumps over the lazy dog, and over it again, and again, until it is "
                       "longer than one block of the hash.";
    size_t size = strlen(text);
    uint8_t whole[32], hash[32];
    sha256(text, size, whole);
    for (size_t a = 0; a <= size; a += 3)
        for (size_t b = a; b <= size; b += 5) {
            cairn_str pieces[] = {{text, a}, {NULL, 0}, {text + a, b - a}, {text + b, size - b}};
            sha256_pieces(pieces, 4, hash);
            assert_memory_equal(hash, whole, 32);
        }
    sha256_pieces(NULL, 0, hash);
    sha256(NULL, 0, whole);
    assert_memory_equal(hash, whole, 32);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(crc32c_known_answers), RUN(crc32c_agrees_with_definition), RUN(crc32c_chains), RUN(crc32c_joins),
        RUN(xxh3_agrees_with_library), RUN(hash128_is_stable), RUN(sha256_known_answers),
        RUN(sha256_pieces_hash_as_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* base/hash.h: the checksums and hashes Cairn uses, each for one purpose. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <cairn/types.h>

/* CRC32C (Castagnoli, RFC 3720 B.4), for damage. crc32c(0, "123456789", 9) = 0xE3069283. Chains:
 * crc32c(crc32c(0, a), b) = crc32c(0, a ‖ b). By the processor's instruction where there is one. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);
/* crc32c(crc, b), of which only the checksum and the size are known: crc32c(0, b). About as long as reading 8 KiB. */
uint32_t crc32c_join(uint32_t crc, uint32_t crc_of_b, uint64_t size_of_b);

/* XXH3-128 under a secret, for series keys: without the secret nobody can aim for a collision. */
#define HASH_SECRET_BYTES 192
struct hash128 {
    uint64_t low, high;
};
struct hash128 hash128(const uint8_t secret[HASH_SECRET_BYTES], const void *bytes, size_t size);
/* Derive the secret from a random seed (XXH3_generateSecret). */
void hash_secret(uint8_t ret_secret[HASH_SECRET_BYTES], const void *seed, size_t seed_size);

/* XXH3-64, for hash tables in memory. */
uint64_t hash64(const void *bytes, size_t size, uint64_t seed);

/* MurmurHash2, 32 bits, under the seed 0x9747b28c that Kafka's default partitioner has, little-endian: for nothing but
 * choosing the partition that its clients choose. */
uint32_t murmur2(const void *bytes, size_t size);

/* SHA-256 (FIPS 180-4, OpenSSL), for tamper evidence. Reentrant. */
void sha256(const void *bytes, size_t size, uint8_t ret_hash[32]);
/* Of several pieces in a row. */
void sha256_pieces(const cairn_str *pieces, size_t count, uint8_t ret_hash[32]);

#endif

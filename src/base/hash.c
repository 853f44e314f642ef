/* The other hashes of hash.h: MurmurHash2, XXH3 (compiled in from its header: a call into a shared library would
 * cost as much as hashing a short key) and SHA-256. */
#define OPENSSL_SUPPRESS_DEPRECATED /* see sha256_pieces() */
#define XXH_INLINE_ALL
#include <base/bytes.h>
#include <base/hash.h>

#include <assert.h>
#include <openssl/sha.h>
#include <xxhash.h>

struct hash128
hash128(const uint8_t secret[HASH_SECRET_BYTES], const void *bytes, size_t size)
{
    XXH128_hash_t hash = XXH3_128bits_withSecret(bytes, size, secret, HASH_SECRET_BYTES);
    return (struct hash128){hash.low64, hash.high64};
}

void
hash_secret(uint8_t ret_secret[HASH_SECRET_BYTES], const void *seed, size_t seed_size)
{
    XXH_errorcode code = XXH3_generateSecret(ret_secret, HASH_SECRET_BYTES, seed, seed_size);
    assert(code == XXH_OK); /* it fails only for a secret that is too short */
    (void)code;
}

uint64_t
hash64(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

uint32_t
murmur2(const void *bytes, size_t size)
{
    const uint32_t m = 0x5BD1E995u;
    const uint8_t *at = bytes;
    uint32_t hash = 0x9747B28Cu ^ (uint32_t)size;
    for (; size >= 4; at += 4, size -= 4) {
        uint32_t k = load32(at) * m;
        hash = (hash * m) ^ ((k ^ k >> 24) * m);
    }
    switch (size) {
    case 3: hash ^= (uint32_t)at[2] << 16; /* fall through */
    case 2: hash ^= (uint32_t)at[1] << 8;  /* fall through */
    case 1: hash = (hash ^ at[0]) * m;
    }
    hash = (hash ^ hash >> 13) * m;
    return hash ^ hash >> 15;
}

/* OpenSSL 3 deprecates these in favour of EVP, which allocates and looks up a provider: that takes
 * longer than hashing an event does. The functions themselves are the same. */
void
sha256_pieces(const cairn_str *pieces, size_t count, uint8_t ret_hash[32])
{
    SHA256_CTX context;
    SHA256_Init(&context);
    for (size_t i = 0; i < count; i++)
        if (pieces[i].size)
            SHA256_Update(&context, pieces[i].data, pieces[i].size);
    SHA256_Final(ret_hash, &context);
}

void
sha256(const void *bytes, size_t size, uint8_t ret_hash[32])
{
    sha256_pieces(&(cairn_str){bytes, size}, 1, ret_hash);
}

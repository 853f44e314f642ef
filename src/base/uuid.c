/* UUIDs (RFC 9562). */
#define OPENSSL_SUPPRESS_DEPRECATED /* as in hash.c */
#include <base/hex.h>
#include <base/text.h>

#include <openssl/sha.h>

#define VERSION_BYTE 6 /* its high half is the version */
#define VARIANT_BYTE 8 /* its two high bits are 10 */

static bool
dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

bool
parse_uuid(cairn_str text, cairn_uuid *ret)
{
    cairn_uuid id;
    if (text.size != UUID_TEXT_SIZE - 1)
        return false;
    const char *at = text.data;
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        if (dash_before(i) && *at++ != '-')
            return false;
        int high = hex_value(*at++), low = hex_value(*at++);
        if (high < 0 || low < 0)
            return false;
        id.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret = id;
    return true;
}

void
format_uuid(cairn_uuid id, char to[UUID_TEXT_SIZE])
{
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        if (dash_before(i))
            *to++ = '-';
        *to++ = HEX_LOWER[id.bytes[i] >> 4];
        *to++ = HEX_LOWER[id.bytes[i] & 15];
    }
    *to = '\0';
}

static void
set_version(cairn_uuid *id, unsigned version)
{
    id->bytes[VERSION_BYTE] = (uint8_t)(version << 4 | (id->bytes[VERSION_BYTE] & 0x0F));
    id->bytes[VARIANT_BYTE] = (uint8_t)(0x80 | (id->bytes[VARIANT_BYTE] & 0x3F));
}

cairn_uuid
uuid_v7(int64_t time_us, const uint8_t random[10])
{
    cairn_uuid id;
    uint64_t time_ms = time_us > 0 ? (uint64_t)time_us / 1000 : 0;
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)(time_ms >> (40 - 8 * i));
    memcpy(id.bytes + 6, random, 10);
    set_version(&id, 7);
    return id;
}

cairn_uuid
uuid_v5(cairn_uuid namespace_id, cairn_str name)
{
    uint8_t hash[SHA_DIGEST_LENGTH];
    SHA_CTX context;
    SHA1_Init(&context);
    SHA1_Update(&context, namespace_id.bytes, sizeof namespace_id.bytes);
    if (name.size)
        SHA1_Update(&context, name.data, name.size);
    SHA1_Final(hash, &context);
    cairn_uuid id;
    memcpy(id.bytes, hash, sizeof id.bytes);
    set_version(&id, 5);
    return id;
}

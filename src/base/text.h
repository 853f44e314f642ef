/* base/text.h: UTF-8, numbers, times, ids, base64, percent-encoding as text. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <base/bytes.h>

/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool utf8_valid(cairn_str text);

/* A whole decimal number, no sign for u64, nothing around it; false when it is not or overflows. */
bool parse_u64(cairn_str text, uint64_t *ret);
bool parse_i64(cairn_str text, int64_t *ret);
/* "64KiB", "256 MiB", "1GB", "4096" → bytes (KiB = 1024, KB = 1000). */
bool parse_size(cairn_str text, uint64_t *ret_bytes);
/* "250ms", "30s", "15m", "2h", "7d" → microseconds. */
bool parse_duration(cairn_str text, uint64_t *ret_us);

/* RFC 3339 date-time ("2026-11-21T08:31:11.123456Z", "+01:00" offsets, 't', 'z' and ' ' accepted, up to 9
 * digits of fraction read, truncated to µs) or a plain date (midnight UTC). */
bool parse_time(cairn_str text, int64_t *ret_time_us);
/* Always 27 characters: YYYY-MM-DDTHH:MM:SS.ffffffZ; returns 27. `to` needs 28 bytes (a NUL follows). */
#define TIME_TEXT_SIZE 28
size_t format_time(int64_t time_us, char to[TIME_TEXT_SIZE]);

/* UUIDs (RFC 9562). Text is 36 characters, lower case when written; needs 37 bytes. */
#define UUID_TEXT_SIZE 37
bool parse_uuid(cairn_str text, cairn_uuid *ret);
void format_uuid(cairn_uuid id, char to[UUID_TEXT_SIZE]);
static inline bool
uuid_is_zero(cairn_uuid id)
{
    static const cairn_uuid zero;
    return memcmp(&id, &zero, sizeof id) == 0;
}
/* Version 7 of a time and 10 random bytes. */
cairn_uuid uuid_v7(int64_t time_us, const uint8_t random[10]);
/* Version 5 (SHA-1) of a namespace and a name: the same id for the same name, for importers. */
cairn_uuid uuid_v5(cairn_uuid namespace_id, cairn_str name);

/* Hexadecimal, lower case; `to` needs 2 * size + 1 bytes. */
void format_hex(const void *bytes, size_t size, char *to);
bool parse_hex(cairn_str text, uint8_t *ret_bytes, size_t size);

/* Base64 (RFC 4648 §4), padded; decoding also takes the URL alphabet and missing padding. */
void base64_put(struct buf *to, cairn_str bytes);
bool base64_get(struct buf *to, cairn_str text);

/* Percent-encoding (RFC 3986). get also turns '+' into a space when form is true; false on a bad
 * escape. put leaves unreserved characters alone. */
bool percent_get(struct buf *to, cairn_str text, bool form);
void percent_put(struct buf *to, cairn_str text);

/* {1234567} → "1.2M"; {1610612736} → "1.5 GiB"; µs → "2m 03s". For people; `to` needs 32 bytes. */
const char *human_count(uint64_t n, char to[32]);
const char *human_bytes(uint64_t n, char to[32]);
const char *human_duration(uint64_t us, char to[32]);

#endif

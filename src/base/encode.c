/* Bytes as text: hexadecimal, base64 (RFC 4648), percent-encoding (RFC 3986).
 *
 * A decoder that fails leaves its buffer as it found it. */
#include <base/hex.h>
#include <base/text.h>

void
format_hex(const void *bytes, size_t size, char *to)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++) {
        *to++ = HEX_LOWER[at[i] >> 4];
        *to++ = HEX_LOWER[at[i] & 15];
    }
    *to = '\0';
}

bool
parse_hex(cairn_str text, uint8_t *ret_bytes, size_t size)
{
    if (text.size / 2 != size || text.size % 2 != 0)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (hex_value(text.data[i]) < 0)
            return false;
    for (size_t i = 0; i < size; i++)
        ret_bytes[i] = (uint8_t)(hex_value(text.data[2 * i]) << 4 | hex_value(text.data[2 * i + 1]));
    return true;
}

/* ---- base64 */

static const char base64_digits[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_put(struct buf *to, cairn_str bytes)
{
    if (bytes.size > SIZE_MAX / 2 || !buf_reserve(to, (bytes.size + 2) / 3 * 4)) {
        to->failed = true;
        return;
    }
    const uint8_t *at = (const uint8_t *)bytes.data;
    char *out = to->data + to->size;
    size_t left = bytes.size;
    for (; left >= 3; at += 3, left -= 3) {
        uint32_t group = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
        *out++ = base64_digits[group >> 18];
        *out++ = base64_digits[group >> 12 & 63];
        *out++ = base64_digits[group >> 6 & 63];
        *out++ = base64_digits[group & 63];
    }
    if (left) {
        uint32_t group = (uint32_t)at[0] << 16 | (left == 2 ? (uint32_t)at[1] << 8 : 0);
        *out++ = base64_digits[group >> 18];
        *out++ = base64_digits[group >> 12 & 63];
        *out++ = left == 2 ? base64_digits[group >> 6 & 63] : '=';
        *out++ = '=';
    }
    if (bytes.size)
        to->size = (size_t)(out - to->data);
}

static int
base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

bool
base64_get(struct buf *to, cairn_str text)
{
    size_t before = to->size, size = text.size;
    if (size % 4 == 0) /* padding may be absent, but where it is it completes the last four */
        for (int i = 0; i < 2 && size > 0 && text.data[size - 1] == '='; i++)
            size--;
    if (size % 4 == 1 || !buf_reserve(to, size / 4 * 3 + 2))
        return false;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < size; i++) {
        int value = base64_value(text.data[i]);
        if (value < 0)
            goto bad;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            to->data[to->size++] = (char)(uint8_t)(bits >> count);
        }
    }
    if (bits & ((1u << count) - 1)) /* left over bits that are not zero: no encoder writes that */
        goto bad;
    return true;
bad:
    to->size = before;
    return false;
}

/* ---- percent-encoding */

bool
percent_get(struct buf *to, cairn_str text, bool form)
{
    size_t before = to->size;
    if (!buf_reserve(to, text.size))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = text.size - i > 2 ? hex_value(text.data[i + 1]) : -1;
            int low = high >= 0 ? hex_value(text.data[i + 2]) : -1;
            if (low < 0) {
                to->size = before;
                return false;
            }
            c = (char)(uint8_t)(high << 4 | low);
            i += 2;
        } else if (form && c == '+') {
            c = ' ';
        }
        to->data[to->size++] = c;
    }
    return true;
}

/* RFC 3986 §2.3. */
static bool
is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void
percent_put(struct buf *to, cairn_str text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = (uint8_t)text.data[i];
        if (is_unreserved((char)c)) {
            buf_put_char(to, (char)c);
        } else {
            char escape[3] = {'%', HEX_UPPER[c >> 4], HEX_UPPER[c & 15]};
            buf_put(to, escape, sizeof escape);
        }
    }
}

/* What a checked JSON value says: strings decoded, numbers in C's types. */
#include <base/hex.h>
#include <base/json.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- strings */

/* The text between the quotes; data is NULL when it is no string. */
static cairn_str
inside_quotes(struct json value)
{
    if (value.type != JSON_STRING || value.raw.size < 2)
        return (cairn_str){NULL, 0};
    return (cairn_str){value.raw.data + 1, value.raw.size - 2};
}

#define BAD_CODE UINT32_MAX

/* Four hexadecimal digits. */
static uint32_t
code_unit(const char *at, const char *end)
{
    uint32_t unit = 0;
    if (end - at < 4)
        return BAD_CODE;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(at[i]);
        if (digit < 0)
            return BAD_CODE;
        unit = unit << 4 | (uint32_t)digit;
    }
    return unit;
}

/* The character after "\u", which *at is behind; a pair of surrogates is one character. */
static uint32_t
code_point(const char **at, const char *end)
{
    uint32_t high = code_unit(*at, end);
    if (high == BAD_CODE || (high >= 0xDC00 && high <= 0xDFFF))
        return BAD_CODE;
    *at += 4;
    if (high < 0xD800 || high > 0xDBFF)
        return high;
    if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
        return BAD_CODE;
    uint32_t low = code_unit(*at + 2, end);
    if (low < 0xDC00 || low > 0xDFFF)
        return BAD_CODE;
    *at += 6;
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

static size_t
put_utf8(char to[4], uint32_t code)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = size - 1; i > 0; i--, code >>= 6)
        to[i] = (char)(uint8_t)(0x80 | (code & 0x3F));
    to[0] = (char)(uint8_t)(lead[size] | code);
    return size;
}

/* The character that the escape at *at (a backslash) stands for, as UTF-8; 0 when it stands for none.
 * An escape is never shorter than what it stands for. */
static size_t
decode_escape(const char **at, const char *end, char to[4])
{
    static const char plain[256] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    if (end - *at < 2)
        return 0;
    uint8_t c = (uint8_t)(*at)[1];
    *at += 2;
    if (c == 'u') {
        uint32_t code = code_point(at, end);
        return code == BAD_CODE ? 0 : put_utf8(to, code);
    }
    to[0] = plain[c];
    return plain[c] != 0;
}

cairn_str
json_string(struct json value, struct arena *arena)
{
    cairn_str text = inside_quotes(value);
    if (text.size == 0)
        return text;
    const char *at = text.data, *end = at + text.size;
    const char *escape = memchr(at, '\\', text.size);
    if (!escape)
        return text;
    char *decoded = arena_alloc(arena, text.size), *to = decoded;
    if (!decoded)
        return (cairn_str){NULL, 0};
    for (; escape; escape = memchr(at, '\\', (size_t)(end - at))) {
        memcpy(to, at, (size_t)(escape - at));
        to += escape - at;
        at = escape;
        size_t size = decode_escape(&at, end, to);
        if (size == 0)
            return (cairn_str){NULL, 0};
        to += size;
        if (at == end)
            break;
    }
    memcpy(to, at, (size_t)(end - at));
    to += end - at;
    return (cairn_str){decoded, (size_t)(to - decoded)};
}

bool
json_string_is(struct json value, const char *text)
{
    cairn_str raw = inside_quotes(value);
    if (!raw.data)
        return false;
    const char *at = raw.data, *end = at + raw.size;
    size_t left = strlen(text);
    while (at < end) {
        char decoded[4] = {*at};
        size_t size = 1;
        if (*at == '\\')
            size = decode_escape(&at, end, decoded);
        else
            at++;
        if (size == 0 || size > left || memcmp(decoded, text, size) != 0)
            return false;
        text += size;
        left -= size;
    }
    return left == 0;
}

/* ---- numbers */

/* Far outside of what any type holds, and far from overflowing. */
#define EXPONENT_FAR (INT64_C(1) << 48)

static int64_t
read_exponent(const char *at, const char *end)
{
    bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    int64_t exponent = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        if (exponent < EXPONENT_FAR)
            exponent = exponent * 10 + (*at - '0');
    return negative ? -exponent : exponent;
}

bool
json_decimal(struct json value, struct json_decimal *ret)
{
    struct json_decimal number = {0};
    if (value.type != JSON_NUMBER)
        return false;
    const char *at = value.raw.data, *end = at + value.raw.size, *point = NULL;
    number.negative = *at == '-';
    at += number.negative;
    int64_t seen = 0, first_seen = 0, last_seen = 0; /* digits so far, counted from 1 */
    int64_t whole = 0;                               /* digits before the point */
    for (; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            point = at;
            whole = seen;
            continue;
        }
        if (*at < '0' || *at > '9')
            return false; /* stored text that was never checked */
        seen++;
        if (*at != '0') {
            if (!number.first) {
                number.first = at;
                first_seen = seen;
            }
            number.last = at;
            last_seen = seen;
        }
    }
    if (!point)
        whole = seen;
    if (number.first) {
        number.digits = (size_t)(last_seen - first_seen + 1);
        number.exponent = whole - last_seen + (at < end ? read_exponent(at + 1, end) : 0);
    }
    *ret = number;
    return true;
}

/* |number| as a whole number. */
static bool
whole_number(const struct json_decimal *number, uint64_t *ret)
{
    uint64_t size = 0;
    if (number->digits) {
        if (number->exponent < 0 || number->exponent > 19)
            return false;
        for (const char *at = number->first; at <= number->last; at++)
            if (*at != '.' && (__builtin_mul_overflow(size, 10, &size) ||
                               __builtin_add_overflow(size, (unsigned)(*at - '0'), &size)))
                return false;
        for (int64_t i = 0; i < number->exponent; i++)
            if (__builtin_mul_overflow(size, 10, &size))
                return false;
    }
    *ret = size;
    return true;
}

bool
json_u64(struct json value, uint64_t *ret)
{
    struct json_decimal number;
    uint64_t size;
    if (!json_decimal(value, &number) || !whole_number(&number, &size) ||
        (number.negative && size != 0))
        return false;
    *ret = size;
    return true;
}

bool
json_i64(struct json value, int64_t *ret)
{
    struct json_decimal number;
    uint64_t size;
    if (!json_decimal(value, &number) || !whole_number(&number, &size) ||
        size > (uint64_t)INT64_MAX + number.negative)
        return false;
    *ret = number.negative ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}

/* The value by strtod, which rounds rightly. It gets digits and an exponent but no decimal point, which
 * would depend on the locale. No double, nor the middle between two, has more than 768 digits (those
 * next to the smallest normal number have most); of a longer text it is enough to know that something
 * follows. */
static double
double_by_strtod(const struct json_decimal *number)
{
    enum { DIGITS_MAX = 770 };
    char text[DIGITS_MAX + 32];
    size_t size = 0;
    int64_t exponent = number->exponent;
    for (const char *at = number->first; at <= number->last && size < DIGITS_MAX; at++)
        if (*at != '.')
            text[size++] = *at;
    if (number->digits > size) {
        exponent += (int64_t)(number->digits - size) - 1;
        text[size++] = '1';
    }
    snprintf(text + size, sizeof text - size, "e%lld", (long long)exponent);
    return strtod(text, NULL);
}

bool
json_double(struct json value, double *ret)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    struct json_decimal number;
    double size = 0;
    if (!json_decimal(value, &number))
        return false;
    if (number.digits > 0 && number.digits <= 15 && number.exponent >= -22 &&
        number.exponent <= 22) {
        /* Both are exact in a double, so one operation rounds rightly (W. D. Clinger, "How to read
         * floating point numbers accurately", 1990). */
        uint64_t digits = 0;
        for (const char *at = number.first; at <= number.last; at++)
            if (*at != '.')
                digits = digits * 10 + (unsigned)(*at - '0');
        size = number.exponent < 0 ? (double)digits / powers[-number.exponent]
                                   : (double)digits * powers[number.exponent];
    } else if (number.digits > 0) {
        size = double_by_strtod(&number);
        if (isinf(size))
            return false;
    }
    *ret = number.negative ? -size : size;
    return true;
}

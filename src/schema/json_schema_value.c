/* Values as JSON Schema compares them: numbers exactly and by value, strings decoded, objects without order.
 *
 * Functions of their arguments: any thread. */
#include <base/hex.h>
#include <schema/json_schema_int.h>

#include <stdlib.h>

/* ---- numbers */

struct json_decimal
js_decimal(struct json number)
{
    struct json_decimal decimal = {0};
    (void)json_decimal(number, &decimal); /* a schema's numbers have been checked */
    if (decimal.digits == 0)
        decimal.negative = false;
    return decimal;
}

/* |a| against |b|; neither is zero. */
static int
compare_sizes(const struct json_decimal *a, const struct json_decimal *b)
{
    int64_t top_a = (int64_t)a->digits + a->exponent, top_b = (int64_t)b->digits + b->exponent;
    if (top_a != top_b)
        return top_a < top_b ? -1 : 1;
    const char *p = a->first, *q = b->first;
    for (;; p++, q++) {
        p += p <= a->last && *p == '.';
        q += q <= b->last && *q == '.';
        bool more_a = p <= a->last, more_b = q <= b->last;
        if (!more_a || !more_b)
            return more_a - more_b;
        if (*p != *q)
            return *p < *q ? -1 : 1;
    }
}

int
js_decimal_compare(const struct json_decimal *a, const struct json_decimal *b)
{
    int sign_a = a->digits == 0 ? 0 : a->negative ? -1 : 1;
    int sign_b = b->digits == 0 ? 0 : b->negative ? -1 : 1;
    if (sign_a != sign_b)
        return sign_a < sign_b ? -1 : 1;
    return sign_a == 0 ? 0 : sign_a * compare_sizes(a, b);
}

/* (number's digits × 10^power) mod divisor, digit by digit. */
static uint64_t
digits_modulo(const struct json_decimal *number, uint64_t divisor)
{
    uint64_t rest = 0;
    for (const char *at = number->first; at <= number->last; at++)
        if (*at != '.')
            rest = (uint64_t)(((unsigned __int128)rest * 10 + (unsigned)(*at - '0')) % divisor);
    return rest;
}

static uint64_t
power_of_ten_modulo(uint64_t power, uint64_t divisor)
{
    unsigned __int128 result = 1 % divisor, base = 10 % divisor;
    for (; power; power >>= 1) {
        if (power & 1)
            result = result * base % divisor;
        base = base * base % divisor;
    }
    return (uint64_t)result;
}

/* With n × 10^e and d × 10^f, where neither n nor d ends with 0: when f > e the quotient would need another factor of
 * ten in n; otherwise it is whole when d divides n × 10^(e-f). */
bool
js_decimal_is_multiple(const struct json_decimal *number, const struct json_decimal *divisor)
{
    if (number->digits == 0)
        return true;
    if (divisor->exponent > number->exponent)
        return false;
    uint64_t by = 0;
    for (const char *at = divisor->first; at <= divisor->last; at++)
        if (*at != '.')
            by = by * 10 + (unsigned)(*at - '0');
    uint64_t rest = digits_modulo(number, by);
    uint64_t power = power_of_ten_modulo((uint64_t)(number->exponent - divisor->exponent), by);
    return (unsigned __int128)rest * power % by == 0;
}

bool
js_plain_i64(struct json number, int64_t *ret)
{
    const char *at = number.raw.data, *end = at + number.raw.size;
    bool negative = *at == '-';
    at += negative;
    if (end - at > 18)
        return false;
    int64_t value = 0;
    for (; at < end; at++) {
        unsigned digit = (unsigned)(unsigned char)*at - '0';
        if (digit > 9)
            return false;
        value = value * 10 + digit;
    }
    *ret = negative ? -value : value;
    return true;
}

bool
js_is_integer(struct json number)
{
    int64_t value;
    if (js_plain_i64(number, &value))
        return true;
    struct json_decimal decimal = js_decimal(number);
    return decimal.digits == 0 || decimal.exponent >= 0;
}

/* ---- strings */

static size_t
put_utf8(char *to, uint32_t code)
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

/* The four digits after "\u"; 0xFFFD where there are none (of a text that was never checked). */
static uint32_t
code_unit(const char *at, const char *end)
{
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = at + i < end ? hex_value(at[i]) : -1;
        if (digit < 0)
            return 0xFFFD;
        unit = unit << 4 | (uint32_t)digit;
    }
    return unit;
}

/* The character of the escape at `at` (a backslash), and where it ends. */
static const char *
read_escape(const char *at, const char *end, uint32_t *ret)
{
    if (end - at < 2) {
        *ret = 0xFFFD;
        return end;
    }
    switch (at[1]) {
    case 'b': *ret = '\b'; return at + 2;
    case 'f': *ret = '\f'; return at + 2;
    case 'n': *ret = '\n'; return at + 2;
    case 'r': *ret = '\r'; return at + 2;
    case 't': *ret = '\t'; return at + 2;
    case 'u': break;
    default: *ret = (unsigned char)at[1]; return at + 2;
    }
    uint32_t unit = code_unit(at + 2, end);
    const char *next = end - at < 6 ? end : at + 6;
    if (unit >= 0xD800 && unit <= 0xDBFF && end - next >= 6 && next[0] == '\\' && next[1] == 'u') {
        uint32_t low = code_unit(next + 2, end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *ret = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            return next + 6;
        }
    }
    *ret = unit >= 0xD800 && unit <= 0xDFFF ? 0xFFFD : unit;
    return next;
}

cairn_str
js_text(struct json string, struct arena *arena)
{
    if (string.type != JSON_STRING || string.raw.size < 2)
        return (cairn_str){"", 0};
    cairn_str text = {string.raw.data + 1, string.raw.size - 2};
    if (!memchr(text.data, '\\', text.size))
        return text;
    char *decoded = arena_alloc(arena, text.size + 4), *to = decoded; /* 4: half an escape, of unchecked text */
    if (!decoded)
        return (cairn_str){NULL, 0};
    for (const char *at = text.data, *end = at + text.size; at < end;) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        uint32_t code;
        at = read_escape(at, end, &code);
        to += put_utf8(to, code);
    }
    return (cairn_str){decoded, (size_t)(to - decoded)};
}

size_t
js_length(struct json string)
{
    if (string.raw.size < 2)
        return 0;
    const char *at = string.raw.data + 1, *end = string.raw.data + string.raw.size - 1;
    size_t length = 0;
    while (at < end) {
        if (*at == '\\') {
            uint32_t code;
            at = read_escape(at, end, &code);
            length++;
        } else {
            length += ((uint8_t)*at++ & 0xC0) != 0x80; /* not a continuation byte */
        }
    }
    return length;
}

/* ---- equality */

static bool
spend(struct js_compare *compare, size_t steps)
{
    *compare->steps -= (int64_t)steps;
    return *compare->steps >= 0;
}

static bool
text_of(struct js_compare *compare, struct json string, cairn_str *ret)
{
    *ret = js_text(string, compare->arena);
    if (!ret->data)
        compare->nomem = true;
    bool copied = ret->data && string.raw.size > 2 && ret->data != string.raw.data + 1;
    return ret->data && (!copied || spend(compare, string.raw.size / 32)); /* bounds the memory */
}

static bool
equal_strings(struct js_compare *compare, struct json a, struct json b)
{
    if (cairn_str_equal(a.raw, b.raw))
        return true;
    if (!memchr(a.raw.data, '\\', a.raw.size) && !memchr(b.raw.data, '\\', b.raw.size))
        return false;
    cairn_str text_a, text_b;
    return text_of(compare, a, &text_a) && text_of(compare, b, &text_b) && cairn_str_equal(text_a, text_b);
}

/* The member of `object` with that name: the first look is at *hint, which goes on from member to member. */
static bool
find_member(struct js_compare *compare, struct json object, struct json name, struct json_walk *hint, struct json *ret)
{
    struct json key;
    if (json_next(hint, &key, ret) && equal_strings(compare, key, name))
        return true;
    for (struct json_walk walk = json_walk(object); json_next(&walk, &key, ret);) {
        if (!spend(compare, 1))
            return false;
        if (equal_strings(compare, key, name))
            return true;
    }
    return false;
}

static bool
equal_objects(struct js_compare *compare, struct json a, struct json b)
{
    struct json name, item, other;
    size_t count = 0;
    struct json_walk hint = json_walk(b);
    for (struct json_walk walk = json_walk(a); json_next(&walk, &name, &item); count++)
        if (!spend(compare, 1) || !find_member(compare, b, name, &hint, &other) || !js_equal(compare, item, other))
            return false;
    return json_count(b) == count;
}

bool
js_equal(struct js_compare *compare, struct json a, struct json b)
{
    if (a.type != b.type || !spend(compare, 1 + a.raw.size / 1024))
        return false;
    if (cairn_str_equal(a.raw, b.raw))
        return true;
    switch (a.type) {
    case JSON_NUMBER: {
        struct json_decimal x = js_decimal(a), y = js_decimal(b);
        return js_decimal_compare(&x, &y) == 0;
    }
    case JSON_STRING: return equal_strings(compare, a, b);
    case JSON_ARRAY: {
        struct json_walk walk = json_walk(a), other = json_walk(b);
        struct json name, x, y;
        for (;;) {
            bool more = json_next(&walk, &name, &x);
            if (more != json_next(&other, &name, &y))
                return false;
            if (!more || !js_equal(compare, x, y))
                return !more;
        }
    }
    case JSON_OBJECT: return equal_objects(compare, a, b);
    default: return true; /* null, true, false */
    }
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
    uint64_t pair[2] = {a, b};
    return hash64(pair, sizeof pair, 0);
}

static uint64_t
hash_number(struct json value)
{
    struct json_decimal decimal = js_decimal(value);
    uint64_t hash = decimal.negative;
    for (const char *at = decimal.first; decimal.digits && at <= decimal.last; at++)
        if (*at != '.')
            hash = hash * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)(*at - '0') + 1;
    return mix(hash, (uint64_t)decimal.exponent);
}

uint64_t
js_hash(struct js_compare *compare, struct json value)
{
    struct json name, item;
    uint64_t hash = value.type;
    if (!spend(compare, 1 + value.raw.size / 1024))
        return 0;
    switch (value.type) {
    case JSON_NUMBER: return hash_number(value);
    case JSON_STRING: {
        cairn_str text;
        return text_of(compare, value, &text) ? hash64(text.data, text.size, JSON_STRING) : 0;
    }
    case JSON_ARRAY:
        for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item);)
            hash = mix(hash, js_hash(compare, item));
        return hash;
    case JSON_OBJECT: /* a sum, so that order does not matter */
        for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item);)
            hash += mix(js_hash(compare, name), js_hash(compare, item));
        return hash;
    default: return hash;
    }
}

/* Write JSON into a buffer. What is written is always well-formed, whatever bytes go in. */
#include <base/hex.h>
#include <base/json_int.h>
#include <base/text.h>
#include <base/utf8.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void
put_escape(struct buf *to, uint8_t c)
{
    static const char short_form[256] = {
        ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
        ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't',
    };
    char escape[6] = {'\\', short_form[c]};
    if (short_form[c]) {
        buf_put(to, escape, 2);
    } else {
        memcpy(escape, "\\u00", 4);
        escape[4] = HEX_LOWER[c >> 4];
        escape[5] = HEX_LOWER[c & 15];
        buf_put(to, escape, 6);
    }
}

void
json_put_string(struct buf *to, cairn_str text)
{
    const uint8_t *at = (const uint8_t *)(text.size > 0 ? text.data : ""), *end = at + text.size;
    if (text.size > SIZE_MAX - 2 || !buf_reserve(to, text.size + 2)) {
        to->failed = true;
        return;
    }
    to->data[to->size++] = '"';
    while (at < end) {
        const uint8_t *from = at; /* the run that goes in as it is */
        int length = 0;
        while ((at = skip_plain(at, end)) < end && *at >= 0x80 &&
               (length = utf8_sequence(at, end)) > 0)
            at += length;
        buf_put(to, from, (size_t)(at - from));
        if (at == end)
            break;
        if (*at >= 0x80) {
            buf_put_str(to, CAIRN_STR("\xEF\xBF\xBD")); /* U+FFFD */
            at += -length;
        } else {
            put_escape(to, *at++);
        }
    }
    buf_put_char(to, '"');
}

void
json_put_comma(struct buf *to)
{
    char last = to->size ? to->data[to->size - 1] : '[';
    if (last != '{' && last != '[' && last != ':')
        buf_put_char(to, ',');
}

void
json_put_name(struct buf *to, const char *name)
{
    json_put_comma(to);
    json_put_string(to, cairn_cstr(name));
    buf_put_char(to, ':');
}

void
json_put_text_member(struct buf *to, const char *name, cairn_str text)
{
    json_put_name(to, name);
    json_put_string(to, text);
}

void
json_put_u64_member(struct buf *to, const char *name, uint64_t n)
{
    json_put_name(to, name);
    json_put_u64(to, n);
}

void
json_put_bool_member(struct buf *to, const char *name, bool value)
{
    json_put_name(to, name);
    buf_put_str(to, value ? CAIRN_STR("true") : CAIRN_STR("false"));
}

void
json_put_texts_member(struct buf *to, const char *name, const cairn_str *texts, size_t count)
{
    json_put_name(to, name);
    buf_put_char(to, '[');
    for (size_t i = 0; i < count; i++) {
        json_put_comma(to);
        json_put_string(to, texts[i]);
    }
    buf_put_char(to, ']');
}

void
json_put_u64(struct buf *to, uint64_t n)
{
    char digits[20], *at = digits + sizeof digits;
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    buf_put(to, at, (size_t)(digits + sizeof digits - at));
}

void
json_put_i64(struct buf *to, int64_t n)
{
    if (n < 0)
        buf_put_char(to, '-');
    json_put_u64(to, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

/* ---- doubles */

/* Digits d1 d2 … dn and the power of ten of d1: d1.d2…dn × 10^power. */
struct digits {
    char text[20];
    int count;
    int power;
};

/* Take them from printf's exponent form. Whatever the locale's decimal point is, it is no digit. */
static void
round_to(double n, int precision, struct digits *ret)
{
    char text[40];
    snprintf(text, sizeof text, "%.*e", precision - 1, n);
    const char *at = text;
    ret->count = 0;
    for (; *at && *at != 'e'; at++)
        if (*at >= '0' && *at <= '9')
            ret->text[ret->count++] = *at;
    ret->power = *at ? atoi(at + 1) : 0;
    while (ret->count > 1 && ret->text[ret->count - 1] == '0')
        ret->count--;
}

static double
value_of(const struct digits *digits)
{
    char text[40];
    int power = digits->power - digits->count + 1; /* of the last digit */
    snprintf(text, sizeof text, "%.*se%d", digits->count, digits->text, power);
    return strtod(text, NULL);
}

/* The fewest digits that read back as n (> 0). 15 always survive in a normal double and 17 always
 * suffice; a subnormal one may need only one. */
static void
shortest(double n, struct digits *ret)
{
    for (int precision = isnormal(n) ? 15 : 1; precision <= 17; precision++) {
        round_to(n, precision, ret);
        if (precision == 17 || value_of(ret) == n)
            return;
    }
}

/* As ECMAScript writes numbers (ECMA-262 §6.1.6.1.20), which readers know. */
static void
put_digits(struct buf *to, const struct digits *digits)
{
    int count = digits->count, power = digits->power;
    if (power >= 21 || power < -6) {
        buf_put_char(to, digits->text[0]);
        if (count > 1) {
            buf_put_char(to, '.');
            buf_put(to, digits->text + 1, (size_t)count - 1);
        }
        buf_printf(to, "e%+d", power);
        return;
    }
    if (power < 0)
        buf_put(to, "0.00000", (size_t)(1 - power)); /* at least "0." */
    for (int i = 0; i < count || i <= power; i++) {
        if (i > 0 && i == power + 1)
            buf_put_char(to, '.');
        buf_put_char(to, i < count ? digits->text[i] : '0');
    }
}

/* Amounts and measurements: up to six decimals. n × 10^k is near a whole number t below 2^50; division
 * rounds rightly, so t / 10^k == n says that this decimal reads back as n, and no fewer places did. */
static bool
put_few_decimals(struct buf *to, double n)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    if (!(n >= 1e-6 && n < 1e9))
        return false;
    for (int places = 0; places <= 6; places++) {
        uint64_t whole = (uint64_t)(n * powers[places] + 0.5), unit = (uint64_t)powers[places];
        if ((double)whole / powers[places] != n)
            continue;
        json_put_u64(to, whole / unit);
        if (places == 0)
            return true;
        char fraction[8] = {'.'};
        whole %= unit;
        for (int i = places; i > 0; i--, whole /= 10)
            fraction[i] = (char)('0' + whole % 10);
        buf_put(to, fraction, (size_t)places + 1);
        return true;
    }
    return false;
}

void
json_put_double(struct buf *to, double n)
{
    if (!isfinite(n)) {
        buf_put_str(to, CAIRN_STR("null"));
        return;
    }
    if (signbit(n))
        buf_put_char(to, '-');
    n = fabs(n);
    if (n == 0) {
        buf_put_char(to, '0');
    } else if (!put_few_decimals(to, n)) {
        struct digits digits;
        shortest(n, &digits);
        put_digits(to, &digits);
    }
}

/* ---- times, ids, whole texts */

void
json_put_time(struct buf *to, int64_t time_us)
{
    if (!buf_reserve(to, TIME_TEXT_SIZE + 2))
        return;
    to->data[to->size++] = '"';
    to->size += format_time(time_us, to->data + to->size);
    to->data[to->size++] = '"';
}

void
json_put_uuid(struct buf *to, cairn_uuid id)
{
    if (!buf_reserve(to, UUID_TEXT_SIZE + 2))
        return;
    to->data[to->size++] = '"';
    format_uuid(id, to->data + to->size);
    to->size += UUID_TEXT_SIZE - 1;
    to->data[to->size++] = '"';
}

void
json_put_compact(struct buf *to, cairn_str checked)
{
    const char *at = checked.data, *end = at + checked.size;
    if (!buf_reserve(to, checked.size))
        return;
    while (at < end) {
        const char *from = at; /* a run without white space outside of strings */
        while (at < end && !is_space((uint8_t)*at)) {
            if (*at++ != '"')
                continue;
            while (at < end && *at != '"')
                at += *at == '\\' && end - at > 1 ? 2 : 1;
            at += at < end;
        }
        buf_put(to, from, (size_t)(at - from));
        while (at < end && is_space((uint8_t)*at))
            at++;
    }
}

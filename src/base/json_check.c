/* Check a JSON text (RFC 8259) once, so that everything after it may trust the text.
 *
 * A machine with a stack of one bit a level (array or object), so that neither the depth nor the size
 * of the input reaches the C stack:
 *
 *            ┌─────────────── ',' ──────────────┐
 *            ▼                                  │      value: a scalar ─► after value
 *   [ ─► value ─────────► after value ──────────┤             [ or {   ─► one level down
 *   { ─► name ':' value ─► after value ── ',' ──┘
 *                            │ ] or }: one level up ─► after value; at level 0: the end
 *
 * Sixteen bytes at a time in strings, which are most of an event; one at a time elsewhere. Functions
 * of their arguments: any thread. */
#include <base/error.h>
#include <base/json_int.h>
#include <base/utf8.h>

static inline const uint8_t *
skip_digits(const uint8_t *at, const uint8_t *end)
{
    while (at < end && is_digit(*at))
        at++;
    return at;
}

/* `wrong` says what the text should have had at `at`; the first complaint ends the check. */
struct check {
    const uint8_t *at, *end;
    const char *wrong;
};

static bool
complain(struct check *in, const uint8_t *at, const char *wrong)
{
    in->at = at;
    in->wrong = wrong;
    return false;
}

static bool
check_escape(struct check *in)
{
    const uint8_t *at = in->at + 1;
    if (at == in->end)
        return complain(in, at, "the string does not end");
    switch (*at) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
        in->at = at + 1;
        return true;
    case 'u':
        for (int i = 1; i <= 4; i++) {
            if (in->end - at <= i)
                return complain(in, in->end, "the string does not end");
            uint8_t c = at[i];
            if (!is_digit(c) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'f'))
                return complain(in, at + i, "expected four hexadecimal digits after \\u");
        }
        in->at = at + 5;
        return true;
    default:
        return complain(in, at, "no such escape");
    }
}

/* in->at is after the opening quote; ends after the closing one. */
static inline bool
check_string(struct check *in)
{
    for (;;) {
        in->at = skip_plain(in->at, in->end);
        if (in->at == in->end)
            return complain(in, in->at, "the string does not end");
        uint8_t c = *in->at;
        if (c == '"') {
            in->at++;
            return true;
        }
        if (c == '\\') {
            if (!check_escape(in))
                return false;
        } else if (c < 0x20) {
            return complain(in, in->at, "a control character in a string must be escaped");
        } else {
            do { /* texts that are not English come in runs */
                int length = utf8_sequence(in->at, in->end);
                if (length < 0)
                    return complain(in, in->at, "malformed UTF-8");
                in->at += length;
            } while (in->at < in->end && *in->at >= 0x80);
        }
    }
}

static inline bool
check_number(struct check *in)
{
    const uint8_t *at = in->at, *end = in->end;
    at += *at == '-';
    const uint8_t *digits = at;
    at = skip_digits(at, end);
    if (at == digits)
        return complain(in, at, "expected a digit");
    if (*digits == '0' && at - digits > 1)
        return complain(in, digits, "a number must not begin with 0");
    if (at < end && *at == '.') {
        digits = ++at;
        at = skip_digits(at, end);
        if (at == digits)
            return complain(in, at, "expected a digit after the decimal point");
    }
    if (at < end && (*at | 0x20) == 'e') {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        digits = at;
        at = skip_digits(at, end);
        if (at == digits)
            return complain(in, at, "expected a digit in the exponent");
    }
    in->at = at;
    return true;
}

static bool
check_word(struct check *in, const char *word, size_t size)
{
    if ((size_t)(in->end - in->at) < size || memcmp(in->at, word, size) != 0)
        return complain(in, in->at, "expected a value");
    in->at += size;
    return true;
}

/* Anything but an array or object. */
static inline bool
check_scalar(struct check *in)
{
    switch (in->at < in->end ? *in->at : 0) {
    case '"':
        in->at++;
        return check_string(in);
    case '-': case '0': case '1': case '2': case '3': case '4':
    case '5': case '6': case '7': case '8': case '9':
        return check_number(in);
    case 't':
        return check_word(in, "true", 4);
    case 'f':
        return check_word(in, "false", 5);
    case 'n':
        return check_word(in, "null", 4);
    default:
        return complain(in, in->at, "expected a value");
    }
}

/* White space, a name, ':' and white space. */
static inline bool
check_name(struct check *in)
{
    in->at = skip_space(in->at, in->end);
    if (in->at == in->end || *in->at != '"')
        return complain(in, in->at, "expected a name in double quotes");
    in->at++;
    if (!check_string(in))
        return false;
    if (in->at == in->end || *in->at != ':') {
        in->at = skip_space(in->at, in->end);
        if (in->at == in->end || *in->at != ':')
            return complain(in, in->at, "expected ':'");
    }
    in->at++;
    return true;
}

_Static_assert(JSON_DEPTH_MAX % 64 == 0, "the stack is whole words");

/* The open containers, innermost last; a set bit is an object. */
struct levels {
    uint64_t bits[JSON_DEPTH_MAX / 64];
    unsigned depth;
};

static inline bool
enter_level(struct levels *levels, bool object)
{
    if (levels->depth == JSON_DEPTH_MAX)
        return false;
    uint64_t bit = UINT64_C(1) << levels->depth % 64, *word = &levels->bits[levels->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    levels->depth++;
    return true;
}

static inline bool
in_object(const struct levels *levels)
{
    unsigned top = levels->depth - 1;
    return levels->bits[top / 64] >> top % 64 & 1;
}

static const char too_deep[] = "arrays and objects are nested too deep";

/* One value, whatever it holds. */
static bool
check_value(struct check *in)
{
    struct levels levels = {{0}, 0};
    for (;;) {
        in->at = skip_space(in->at, in->end);
        uint8_t c = in->at < in->end ? *in->at : 0;
        if (c == '{' || c == '[') {
            bool object = c == '{';
            if (!enter_level(&levels, object))
                return complain(in, in->at, too_deep);
            in->at = skip_space(in->at + 1, in->end);
            if (in->at == in->end || *in->at != (object ? '}' : ']')) {
                if (object && !check_name(in))
                    return false;
                continue;
            }
            in->at++; /* empty */
            levels.depth--;
        } else if (!check_scalar(in)) {
            return false;
        }
        /* After a value: close what ends here, until a comma asks for another. */
        for (;;) {
            if (levels.depth == 0)
                return true;
            bool object = in_object(&levels);
            in->at = skip_space(in->at, in->end);
            c = in->at < in->end ? *in->at : 0;
            if (c == ',') {
                in->at++;
                if (object && !check_name(in))
                    return false;
                break;
            }
            if (c != (object ? '}' : ']'))
                return complain(in, in->at, object ? "expected ',' or '}'" : "expected ',' or ']'");
            in->at++;
            levels.depth--;
        }
    }
}

cairn_err
json_check(cairn_str text, struct json *ret, cairn_error *error)
{
    const uint8_t *begin = (const uint8_t *)text.data, *end = begin + text.size;
    const uint8_t *from = skip_space(begin, end);
    struct check in = {from, end, NULL};
    if (check_value(&in)) {
        const uint8_t *to = in.at;
        in.at = skip_space(in.at, end);
        if (in.at == end) {
            if (ret)
                *ret = json_slice(from, to);
            return CAIRN_OK;
        }
        complain(&in, in.at, "expected nothing after the value");
    }
    size_t offset = (size_t)(in.at - begin);
    if (in.wrong == too_deep)
        return error_set(error, CAIRN_E_LIMIT, "at byte %zu: %s; the limit is %d levels", offset,
                         in.wrong, JSON_DEPTH_MAX);
    bool ends = in.at == end && strncmp(in.wrong, "expected", 8) == 0;
    return error_set(error, CAIRN_E_INVALID, "at byte %zu: %s%s", offset, in.wrong,
                     ends ? ", but the text ends" : "");
}

/* Walk a JSON text that was checked, possibly long ago and read back from a disk.
 *
 * Skipping a value needs neither names nor numbers, only where strings end and how deep the brackets
 * are. There are no errors to report; yet whatever the slice holds, nothing outside of it is read, and
 * every walk ends. Functions of their arguments: any thread. */
#include <base/json_int.h>
#include <base/utf8.h>

const uint8_t json_class[256] = {
    [' '] = JSON_CLASS_SPACE,  ['\t'] = JSON_CLASS_SPACE, ['\n'] = JSON_CLASS_SPACE,
    ['\r'] = JSON_CLASS_SPACE, ['0' ... '9'] = JSON_CLASS_DIGIT,
};

static enum json_type
type_of(uint8_t first)
{
    switch (first) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't': return JSON_TRUE;
    case 'f': return JSON_FALSE;
    case 'n': return JSON_NULL;
    default: return is_digit(first) || first == '-' ? JSON_NUMBER : JSON_NONE;
    }
}

struct json
json_slice(const uint8_t *from, const uint8_t *to)
{
    if (from == to)
        return (struct json){JSON_NONE, {NULL, 0}};
    return (struct json){type_of(*from), {(const char *)from, (size_t)(to - from)}};
}

struct json
json_trusted(cairn_str text)
{
    const uint8_t *at = (const uint8_t *)text.data, *end = at + text.size;
    at = skip_space(at, end);
    while (end > at && is_space(end[-1]))
        end--;
    return json_slice(at, end);
}

/* `at` is after the opening quote; returns what follows the closing one. */
static inline const uint8_t *
skip_string(const uint8_t *at, const uint8_t *end)
{
#if defined(__SSE2__)
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        unsigned mask = (unsigned)_mm_movemask_epi8(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                         _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
        if (mask) {
            at += __builtin_ctz(mask);
            break;
        }
    }
#endif
    for (; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\' && ++at == end)
            break;
    }
    return end;
}

/* The next byte that opens or closes something, or end. */
static inline const uint8_t *
skip_to_structure(const uint8_t *at, const uint8_t *end)
{
#if defined(__SSE2__)
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        /* '[' and '{', ']' and '}' differ in the bit 0x20 only. */
        __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')),
                                     _mm_cmpeq_epi8(folded, _mm_set1_epi8('}')));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
        unsigned mask = (unsigned)_mm_movemask_epi8(found);
        if (mask)
            return at + __builtin_ctz(mask);
    }
#endif
    while (at < end && *at != '"' && (*at | 0x20) != '{' && (*at | 0x20) != '}')
        at++;
    return at;
}

/* at < end. Returns the end of the value that begins there. */
static const uint8_t *
skip_value(const uint8_t *at, const uint8_t *end)
{
    if (*at == '"')
        return skip_string(at + 1, end);
    if (*at != '{' && *at != '[') {
        while (at < end && !is_space(*at) && *at != ',' && *at != ']' && *at != '}')
            at++;
        return at;
    }
    size_t depth = 0;
    while ((at = skip_to_structure(at, end)) < end) {
        uint8_t c = *at++;
        if (c == '"')
            at = skip_string(at, end);
        else if ((c | 0x20) == '{')
            depth++;
        else if (--depth == 0)
            return at;
    }
    return end;
}

struct json_walk
json_walk(struct json value)
{
    if ((value.type != JSON_ARRAY && value.type != JSON_OBJECT) || value.raw.size < 2)
        return (struct json_walk){NULL, NULL, false};
    const char *data = value.raw.data;
    return (struct json_walk){data + 1, data + value.raw.size - 1, value.type == JSON_OBJECT};
}

/* White space, and the comma between items. */
static inline const uint8_t *
skip_between(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (is_space(*at) || *at == ','))
        at++;
    return at;
}

bool
json_next(struct json_walk *walk, struct json *ret_name, struct json *ret_value)
{
    const uint8_t *end = (const uint8_t *)walk->end;
    const uint8_t *at = skip_between((const uint8_t *)walk->at, end);
    struct json name = {JSON_NONE, {NULL, 0}};
    if (walk->object && at < end) {
        const uint8_t *from = at;
        at = *from == '"' ? skip_string(from + 1, end) : end;
        name = json_slice(from, at);
        while (at < end && (is_space(*at) || *at == ':'))
            at++;
    }
    const uint8_t *from = at;
    if (at < end)
        at = skip_value(at, end);
    walk->at = (const char *)at;
    if (at == from) { /* the end, or something that was never checked */
        walk->at = walk->end;
        return false;
    }
    if (ret_name)
        *ret_name = name;
    *ret_value = json_slice(from, at);
    return true;
}

struct json
json_get(struct json value, const char *name)
{
    size_t size = strlen(name);
    if (value.type == JSON_OBJECT) {
        struct json_walk walk = json_walk(value);
        struct json key, item;
        while (json_next(&walk, &key, &item)) {
            cairn_str raw = key.raw;
            if (raw.size == size + 2 && memcmp(raw.data + 1, name, size) == 0)
                return item;
            if (raw.size > size + 2 && json_string_is(key, name)) /* written with escapes */
                return item;
        }
    }
    return (struct json){JSON_NONE, {NULL, 0}};
}

size_t
json_count(struct json value)
{
    struct json_walk walk = json_walk(value);
    struct json name, item;
    size_t count = 0;
    while (json_next(&walk, &name, &item))
        count++;
    return count;
}

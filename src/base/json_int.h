/* base/json_int.h: what checking and walking share: classes of bytes, and a value from its text. */
#ifndef BASE_JSON_INT_H
#define BASE_JSON_INT_H

#include <base/json.h>

enum { JSON_CLASS_SPACE = 1, JSON_CLASS_DIGIT = 2 };
extern const uint8_t json_class[256];

static inline bool is_space(uint8_t c) { return json_class[c] == JSON_CLASS_SPACE; }
static inline bool is_digit(uint8_t c) { return json_class[c] == JSON_CLASS_DIGIT; }

static inline const uint8_t *
skip_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

/* The value whose text this is; JSON_NONE when it is empty or begins as no value does. */
struct json json_slice(const uint8_t *from, const uint8_t *to);

#endif

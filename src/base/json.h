/* base/json.h: a strict zero-copy JSON reader (RFC 8259) and a small writer, for hot paths.
 *
 * Read in two steps: json_check() validates a whole text once; then values are walked without
 * copying and without further errors. A value is a slice of the text. Documents that are edited
 * belong to jansson instead.
 *
 * Held to JSONTestSuite: duplicate names are accepted (the first one wins in json_get), numbers are
 * kept as text until asked for, depth is bounded. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <base/arena.h>
#include <base/bytes.h>

enum json_type { JSON_NONE = 0, JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* A checked value: `raw` is its exact text without surrounding white space, borrowed. */
struct json {
    enum json_type type;
    cairn_str raw;
};

#define JSON_DEPTH_MAX 128

/* Validate a text that holds exactly one value. On failure `error` says what and at which byte
 * ("at byte 17: expected ':'"): CAIRN_E_INVALID, or CAIRN_E_LIMIT when nested too deep. */
CAIRN_MUST_CHECK cairn_err json_check(cairn_str text, struct json *ret, cairn_error *error);

/* Take the value as checked: for text that this program stored after checking. */
struct json json_trusted(cairn_str text);

/* Walk an array or object. `struct json_walk walk = json_walk(value); while (json_next(&walk, &name,
 * &item))`; name is a JSON_STRING for objects and JSON_NONE for arrays. */
struct json_walk {
    const char *at, *end;
    bool object;
};
struct json_walk json_walk(struct json value);
bool json_next(struct json_walk *walk, struct json *ret_name, struct json *ret_value);

/* A member by name (no escapes in `name`); JSON_NONE when absent or when value is no object. */
struct json json_get(struct json value, const char *name);
/* The number of items or members. */
size_t json_count(struct json value);

/* The string's text. Without escapes it is borrowed from the text; with escapes it is decoded into
 * the arena. data is NULL when it is no string, or out of memory, or holds a lone surrogate. */
cairn_str json_string(struct json value, struct arena *arena);
/* Compare a string value (decoded) with plain text. */
bool json_string_is(struct json value, const char *text);
/* False when it is no number of that kind or does not fit. 1.0 and 1e3 are whole numbers. */
bool json_i64(struct json value, int64_t *ret);
bool json_u64(struct json value, uint64_t *ret);
bool json_double(struct json value, double *ret);

/* A number's parts, exact whatever its size: (-1)^negative × D × 10^exponent, where D is the digits from `first` to `last`
 * inclusive, which may have a '.' among them, and begins and ends with one that is not 0. Zero has digits = 0. Borrowed
 * from the text. False when it is no number. */
struct json_decimal {
    const char *first, *last;
    size_t digits;
    int64_t exponent;
    bool negative;
};
bool json_decimal(struct json value, struct json_decimal *ret);

/* Writing: values into a buffer, with commas where they belong. */
void json_put_string(struct buf *to, cairn_str text); /* quoted; invalid UTF-8 becomes U+FFFD */
void json_put_name(struct buf *to, const char *name); /* ,"name": (comma unless after { or [) */
void json_put_comma(struct buf *to);                  /* , unless after { or [ or at the beginning */
/* A member whole: json_put_name() and its value. */
void json_put_text_member(struct buf *to, const char *name, cairn_str text);
void json_put_u64_member(struct buf *to, const char *name, uint64_t n);
void json_put_bool_member(struct buf *to, const char *name, bool value);
void json_put_texts_member(struct buf *to, const char *name, const cairn_str *texts, size_t count); /* an array */
void json_put_u64(struct buf *to, uint64_t n);
void json_put_i64(struct buf *to, int64_t n);
void json_put_double(struct buf *to, double n); /* shortest that reads back the same; not finite: null */
void json_put_time(struct buf *to, int64_t time_us); /* "2026-…Z" quoted */
void json_put_uuid(struct buf *to, cairn_uuid id);
/* Checked JSON text on one line, without white space between tokens: for NDJSON and SSE. */
void json_put_compact(struct buf *to, cairn_str checked);

#endif

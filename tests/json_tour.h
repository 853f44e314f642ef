/* tests/json_tour.h: walk a checked JSON text through every door of base/json.h, and compare two texts
 * by what they say. For the suite, the property test and the fuzzer, which all want the same tour.
 *
 * A promise that does not hold ends the process by abort(), which all three of them notice. */
#ifndef TESTS_JSON_TOUR_H
#define TESTS_JSON_TOUR_H

#include <base/json.h>
#include <base/text.h>

#include <stdio.h>
#include <stdlib.h>

#define TOUR_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct tour {
    struct arena arena;
    size_t values, lone_surrogates;
};

static inline bool
tour_inside(cairn_str inner, cairn_str outer)
{
    return inner.data >= outer.data && inner.data + inner.size <= outer.data + outer.size;
}

static inline void
tour_string(struct tour *tour, struct json value)
{
    cairn_str text = json_string(value, &tour->arena);
    if (!text.data) {
        tour->lone_surrogates++;
        return;
    }
    TOUR_CHECK(utf8_valid(text));
    TOUR_CHECK(text.size <= value.raw.size - 2);
    if (text.size == 0 || !memchr(text.data, 0, text.size)) {
        cairn_str copy = arena_copy(&tour->arena, text);
        TOUR_CHECK(json_string_is(value, copy.data));
        TOUR_CHECK(text.size == 0 || !json_string_is(value, copy.data + 1));
    }
}

static inline void
tour_number(struct json value)
{
    double number;
    int64_t i;
    uint64_t u;
    bool is_double = json_double(value, &number);
    if (json_i64(value, &i))
        TOUR_CHECK(is_double && number == (double)i);
    if (json_u64(value, &u))
        TOUR_CHECK(is_double && number == (double)u);
}

/* Every value below `value`, and that each lies inside the one around it. Depth is bounded by the check. */
static inline void
tour_value(struct tour *tour, struct json value)
{
    tour->values++;
    TOUR_CHECK(value.type != JSON_NONE && value.raw.size > 0);
    struct json_walk walk = json_walk(value);
    struct json name, item;
    size_t count = 0;
    while (json_next(&walk, &name, &item)) {
        count++;
        TOUR_CHECK(tour_inside(item.raw, value.raw));
        TOUR_CHECK(name.type == (value.type == JSON_OBJECT ? JSON_STRING : JSON_NONE));
        if (name.type == JSON_STRING)
            tour_string(tour, name);
        tour_value(tour, item);
    }
    TOUR_CHECK(json_count(value) == count);
    if (value.type == JSON_STRING)
        tour_string(tour, value);
    if (value.type == JSON_NUMBER)
        tour_number(value);
}

/* Do two checked values say the same? Strings and numbers by their raw text. */
static inline bool
tour_equal(struct json a, struct json b)
{
    if (a.type != b.type)
        return false;
    if (a.type != JSON_ARRAY && a.type != JSON_OBJECT)
        return cairn_str_equal(a.raw, b.raw);
    struct json_walk walk_a = json_walk(a), walk_b = json_walk(b);
    struct json name_a, name_b, item_a, item_b;
    while (json_next(&walk_a, &name_a, &item_a))
        if (!json_next(&walk_b, &name_b, &item_b) || !cairn_str_equal(name_a.raw, name_b.raw) ||
            !tour_equal(item_a, item_b))
            return false;
    return !json_next(&walk_b, &name_b, &item_b);
}

/* The whole tour of a text that json_check() has accepted as `value`. */
static inline void
tour_checked(struct tour *tour, cairn_str text, struct json value)
{
    struct json trusted = json_trusted(text), again;
    TOUR_CHECK(trusted.type == value.type && cairn_str_equal(trusted.raw, value.raw));
    tour_value(tour, value);

    struct buf compact = {0}, twice = {0};
    json_put_compact(&compact, text);
    TOUR_CHECK(!compact.failed && compact.size <= text.size);
    TOUR_CHECK(json_check(buf_str(&compact), &again, NULL) == CAIRN_OK);
    TOUR_CHECK(again.raw.size == compact.size);
    TOUR_CHECK(!compact.size || (!memchr(compact.data, '\n', compact.size) &&
                                 !memchr(compact.data, '\t', compact.size)));
    TOUR_CHECK(tour_equal(value, again));
    json_put_compact(&twice, buf_str(&compact));
    TOUR_CHECK(cairn_str_equal(buf_str(&compact), buf_str(&twice)));
    buf_free(&compact);
    buf_free(&twice);
}

/* Walk bytes that nobody has checked: the values mean nothing, but nothing outside is read. */
static inline void
tour_unchecked(struct tour *tour, struct json value, int depth)
{
    struct json_walk walk = json_walk(value);
    struct json name, item;
    double number;
    int64_t i;
    while (depth < 64 && json_next(&walk, &name, &item)) {
        TOUR_CHECK(tour_inside(item.raw, value.raw));
        json_string(name, &tour->arena);
        json_string_is(name, "name");
        tour_unchecked(tour, item, depth + 1);
    }
    json_get(value, "a");
    json_string(value, &tour->arena);
    json_string_is(value, "text");
    json_i64(value, &i);
    json_double(value, &number);
}

#endif

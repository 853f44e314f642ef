/* Whole numbers, sizes and durations as people write them in configurations and query strings. */
#include <base/text.h>

bool
parse_u64(cairn_str text, uint64_t *ret)
{
    uint64_t value = 0;
    if (text.size == 0)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *ret = value;
    return true;
}

bool
parse_i64(cairn_str text, int64_t *ret)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    uint64_t size;
    if (!parse_u64((cairn_str){text.data + negative, text.size - negative}, &size) ||
        size > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool
is_unit(cairn_str text, const char *name)
{
    size_t i = 0;
    for (; i < text.size && name[i]; i++) {
        char c = text.data[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != name[i])
            return false;
    }
    return i == text.size && !name[i];
}

/* A whole number, at most one space, one of the units. */
static bool
parse_with_unit(cairn_str text, const struct unit *units, uint64_t *ret)
{
    size_t digits = 0;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9')
        digits++;
    uint64_t value;
    if (!parse_u64((cairn_str){text.data, digits}, &value))
        return false;
    cairn_str name = {text.data + digits, text.size - digits};
    if (name.size > 1 && name.data[0] == ' ') {
        name.data++;
        name.size--;
    }
    for (const struct unit *unit = units; unit->name; unit++)
        if (is_unit(name, unit->name)) {
            if (__builtin_mul_overflow(value, unit->factor, &value))
                return false;
            *ret = value;
            return true;
        }
    return false;
}

bool
parse_size(cairn_str text, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        {"", 1},
        {"b", 1},
        {"kib", UINT64_C(1) << 10},
        {"mib", UINT64_C(1) << 20},
        {"gib", UINT64_C(1) << 30},
        {"tib", UINT64_C(1) << 40},
        {"kb", 1000},
        {"mb", 1000000},
        {"gb", 1000000000},
        {"tb", 1000000000000},
        {NULL, 0},
    };
    return parse_with_unit(text, units, ret_bytes);
}

bool
parse_duration(cairn_str text, uint64_t *ret_us)
{
    static const struct unit units[] = {
        {"us", 1},
        {"ms", 1000},
        {"s", 1000000},
        {"m", UINT64_C(60) * 1000000},
        {"h", UINT64_C(3600) * 1000000},
        {"d", UINT64_C(86400) * 1000000},
        {NULL, 0},
    };
    if (text.size == 1 && text.data[0] == '0') { /* nothing is nothing in any unit */
        *ret_us = 0;
        return true;
    }
    return parse_with_unit(text, units, ret_us);
}

/* Counts and checks of a migration: what the source says, what has been counted, what is there. See migrate.h.
 *
 * Sums are exact as long as every number has at most nine digits after its point and the sum stays below 10^18; otherwise
 * they are compared with a relative tolerance, because a database's own sum of such numbers is rounded too. */
#include <base/error.h>
#include <stdlib.h>

#include "migrate.h"

#define NANO 1000000000
#define TOLERANCE 1e-9L

/* ---- tallies ------------------------------------------------------------------------------------------------ */

/* "-12.50" → −12,500,000,000. False when it has an exponent or too many digits. */
static bool
parse_decimal(cairn_str text, __int128 *ret)
{
    bool minus = text.size && text.data[0] == '-';
    size_t at = minus, whole_digits = 0, digits = 0;
    __int128 value = 0;
    for (; at < text.size && text.data[at] >= '0' && text.data[at] <= '9'; at++, whole_digits++)
        value = value * 10 + (text.data[at] - '0');
    if (whole_digits == 0 || whole_digits > 18)
        return false;
    bool point = at < text.size && text.data[at] == '.';
    for (at += point; point && at < text.size && text.data[at] >= '0' && text.data[at] <= '9'; at++)
        if (++digits <= 9)
            value = value * 10 + (text.data[at] - '0');
        else if (text.data[at] != '0')
            return false;
    for (; digits < 9; digits++)
        value *= 10;
    *ret = minus ? -value : value;
    return at == text.size;
}

static bool
is_number(cairn_str text, long double *ret)
{
    char copy[64];
    char *end;
    if (text.size == 0 || text.size >= sizeof copy || !strchr("-0123456789", text.data[0]))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    *ret = strtold(copy, &end);
    return *end == '\0';
}

/* Numbers as numbers, everything else byte by byte. */
static int
compare_texts(cairn_str a, cairn_str b)
{
    long double x, y;
    if (is_number(a, &x) && is_number(b, &y))
        return (x > y) - (x < y);
    return cairn_str_order(a, b);
}

void
tally_add(struct tally *tally, enum check_function function, const struct value *value)
{
    __int128 nano;
    long double number;
    if (value->kind == VALUE_NULL)
        return;
    if (tally->count++ == 0)
        tally->exact = true;
    if (function == CHECK_SUM) {
        tally->exact = tally->exact && parse_decimal(value->text, &nano) &&
                       !__builtin_add_overflow(tally->nano, nano, &tally->nano);
        if (is_number(value->text, &number))
            tally->sum += number;
    } else if (function == CHECK_MIN || function == CHECK_MAX) {
        int order = tally->count == 1 ? 0 : compare_texts(value->text, buf_str(&tally->best));
        if (tally->count == 1 || (function == CHECK_MIN ? order < 0 : order > 0)) {
            buf_clear(&tally->best);
            buf_put_str(&tally->best, value->text);
        }
    }
}

static void
put_nano(struct buf *to, __int128 nano)
{
    unsigned __int128 value = nano < 0 ? -(unsigned __int128)nano : (unsigned __int128)nano;
    uint64_t whole = (uint64_t)(value / NANO), part = (uint64_t)(value % NANO);
    unsigned digits = 9;
    while (digits > 0 && part % 10 == 0)
        part /= 10, digits--;
    buf_printf(to, "%s%llu", nano < 0 ? "-" : "", (unsigned long long)whole);
    if (digits)
        buf_printf(to, ".%0*llu", (int)digits, (unsigned long long)part);
}

void
tally_put(struct buf *to, const struct tally *tally, enum check_function function)
{
    const __int128 most = (__int128)UINT64_MAX * NANO;
    if (function == CHECK_COUNT)
        buf_printf(to, "%llu", (unsigned long long)tally->count);
    else if (function == CHECK_SUM && tally->count && tally->exact && tally->nano < most && tally->nano > -most)
        put_nano(to, tally->nano);
    else if (function == CHECK_SUM && tally->count)
        json_put_double(to, (double)tally->sum);
    else if (function != CHECK_SUM)
        buf_put_str(to, buf_str(&tally->best));
}

/* ---- audits -------------------------------------------------------------------------------------------------- */

void
audit_begin(struct audit *audit, const struct mapping *mapping)
{
    *audit = (struct audit){.mapping = mapping};
}

void
audit_free(struct audit *audit)
{
    for (size_t i = 0; i < CHECKS_MAX; i++)
        buf_free(&audit->tallies[i].best);
    arena_free(&audit->arena);
    audit->type_count = 0;
}

bool
audit_add_type(struct audit *audit, cairn_str type, uint64_t count)
{
    for (size_t i = 0; i < audit->type_count; i++)
        if (cairn_str_equal(audit->types[i].type, type)) {
            audit->types[i].count += count;
            return true;
        }
    if (audit->type_count == TYPES_MAX)
        return false;
    cairn_str copy = arena_copy(&audit->arena, type);
    audit->types[audit->type_count] = (struct type_count){copy, count};
    audit->type_count += copy.data != NULL;
    return copy.data != NULL;
}

static void
audit_check(struct audit *audit, size_t at, struct json data, struct arena *arena)
{
    const struct check *check = &audit->mapping->checks[at];
    struct value value = {.kind = VALUE_TRUE};
    if (check->member.size) {
        struct json_walk walk = json_walk(data);
        struct json name, item, found = {0};
        while (found.type == JSON_NONE && json_next(&walk, &name, &item))
            if (cairn_str_equal(json_string(name, arena), check->member))
                found = item;
        value.kind = found.type == JSON_NONE || found.type == JSON_NULL ? VALUE_NULL : VALUE_TEXT;
        value.text = found.type == JSON_STRING ? json_string(found, arena) : found.raw;
    }
    tally_add(&audit->tallies[at], check->function, &value);
}

cairn_err
audit_event(struct audit *audit, const cairn_event *event, cairn_error *error)
{
    struct json data = {0};
    struct arena arena = {0};
    audit->events++;
    if (!audit_add_type(audit, event->type, 1))
        return error_set(error, CAIRN_E_LIMIT, "more than %d types of events: is the right column named for the type?",
                         TYPES_MAX);
    if (!audit->mapping || audit->mapping->check_count == 0)
        return CAIRN_OK;
    if (json_check(event->data, &data, NULL) != CAIRN_OK)
        data = (struct json){0};
    for (size_t i = 0; i < audit->mapping->check_count; i++)
        if (!audit->mapping->checks[i].type.size || cairn_str_equal(audit->mapping->checks[i].type, event->type))
            audit_check(audit, i, data, &arena);
    arena_free(&arena);
    return CAIRN_OK;
}

void
audit_put_types(struct buf *to, const struct audit *audit)
{
    buf_put_char(to, '{');
    for (size_t i = 0; i < audit->type_count; i++) {
        json_put_comma(to);
        json_put_string(to, audit->types[i].type);
        buf_printf(to, ":%llu", (unsigned long long)audit->types[i].count);
    }
    buf_put_char(to, '}');
}

/* ---- findings ------------------------------------------------------------------------------------------------- */

static bool
same_texts(cairn_str a, cairn_str b)
{
    __int128 p, q;
    long double x, y;
    if (cairn_str_equal(a, b) || (parse_decimal(a, &p) && parse_decimal(b, &q) && p == q))
        return true;
    if (!is_number(a, &x) || !is_number(b, &y))
        return false;
    bool whole = !memchr(a.data, '.', a.size) && !memchr(a.data, 'e', a.size) && !memchr(b.data, '.', b.size) &&
                 !memchr(b.data, 'e', b.size);
    long double larger = x < 0 ? -x : x, other = y < 0 ? -y : y, apart = x > y ? x - y : y - x;
    larger = larger > other ? larger : other;
    return !whole && apart <= larger * TOLERANCE;
}

static cairn_err
add(struct findings *to, cairn_str what, cairn_str source, cairn_str events, bool same, cairn_error *error)
{
    cairn_str name = arena_copy(&to->arena, what), a = arena_copy(&to->arena, source), b = arena_copy(&to->arena, events);
    if (!name.data || !a.data || !b.data || to->count == FINDINGS_MAX)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    to->at[to->count++] = (struct finding){name.data, a, b, same};
    to->same = to->same && same;
    return CAIRN_OK;
}

static cairn_err
add_numbers(struct findings *to, cairn_str what, uint64_t source, uint64_t events, cairn_error *error)
{
    char a[24], b[24];
    snprintf(a, sizeof a, "%llu", (unsigned long long)source);
    snprintf(b, sizeof b, "%llu", (unsigned long long)events);
    return add(to, what, cairn_cstr(a), cairn_cstr(b), source == events, error);
}

static uint64_t
count_of(const struct audit *audit, cairn_str type)
{
    for (size_t i = 0; i < audit->type_count; i++)
        if (cairn_str_equal(audit->types[i].type, type))
            return audit->types[i].count;
    return 0;
}

/* The source is asked for its rows anew: what has been read before is not its own witness. */
static cairn_err
add_rows(struct findings *to, struct source *source, uint64_t rows, cairn_error *error)
{
    struct buf text = {0}, read = {0};
    cairn_err err = source->ops->aggregate(source, CAIRN_STR("count(*)"), &text, error);
    buf_printf(&read, "%llu", (unsigned long long)rows);
    if (err == CAIRN_OK)
        err = add(to, CAIRN_STR("rows"), buf_str(&text), buf_str(&read), cairn_str_equal(buf_str(&text), buf_str(&read)), error);
    buf_free(&text);
    buf_free(&read);
    return err;
}

cairn_err
findings_make(struct findings *to, struct source *source, const struct mapping *mapping, uint64_t rows,
              const struct audit *counted, const struct audit *found, cairn_error *error)
{
    struct buf theirs = {0}, ours = {0};
    *to = (struct findings){.same = true};
    cairn_err err = add_rows(to, source, rows, error);
    if (err == CAIRN_OK)
        err = add_numbers(to, CAIRN_STR("events"), counted->events, found->events, error);
    for (size_t i = 0; err == CAIRN_OK && i < counted->type_count; i++)
        err = add_numbers(to, counted->types[i].type, counted->types[i].count, count_of(found, counted->types[i].type), error);
    for (size_t i = 0; err == CAIRN_OK && i < found->type_count; i++)
        if (count_of(counted, found->types[i].type) == 0)
            err = add_numbers(to, found->types[i].type, 0, found->types[i].count, error);
    for (size_t i = 0; err == CAIRN_OK && i < mapping->check_count; i++) {
        buf_clear(&theirs);
        buf_clear(&ours);
        err = source->ops->aggregate(source, mapping->checks[i].source, &theirs, error);
        tally_put(&ours, &found->tallies[i], mapping->checks[i].function);
        if (err == CAIRN_OK)
            err = add(to, mapping->checks[i].name, buf_str(&theirs), buf_str(&ours),
                      same_texts(buf_str(&theirs), buf_str(&ours)), error);
        else
            error_ignore(error_set(error, err, "%s:%u: check %.*s: %s", mapping->path, mapping->checks[i].line,
                                   (int)mapping->checks[i].name.size, mapping->checks[i].name.data, error->detail));
    }
    buf_free(&theirs);
    buf_free(&ours);
    return err;
}

void
findings_put_json(struct buf *to, const struct findings *findings)
{
    buf_put_char(to, '[');
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *f = &findings->at[i];
        json_put_comma(to);
        buf_put_str(to, CAIRN_STR("{\"what\":"));
        json_put_string(to, cairn_cstr(f->what));
        json_put_text_member(to, "source", f->source);
        json_put_text_member(to, "events", f->events);
        json_put_name(to, "same");
        buf_put_str(to, f->same ? CAIRN_STR("true}") : CAIRN_STR("false}"));
    }
    buf_put_char(to, ']');
}

void
findings_show(const struct findings *findings)
{
    static const struct table_column columns[] = {{"CHECK", false, STYLE_CYAN}, {"SOURCE", true, STYLE_PLAIN},
                                                  {"EVENTS", true, STYLE_PLAIN}, {"", false, STYLE_BOLD}};
    struct table table;
    table_begin(&table, columns, 4);
    for (size_t i = 0; i < findings->count; i++) {
        table_cell(&table, cairn_cstr(findings->at[i].what));
        table_cell(&table, findings->at[i].source);
        table_cell(&table, findings->at[i].events);
        table_cell(&table, findings->at[i].same ? CAIRN_STR("same") : CAIRN_STR("DIFFERENT"));
    }
    table_end(&table);
}

void
findings_free(struct findings *findings)
{
    arena_free(&findings->arena);
    findings->count = 0;
}

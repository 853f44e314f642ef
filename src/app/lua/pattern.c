/* Match Lua's patterns: compiled to a list of items, then tried by backtracking.
 *
 * Only items that may match in several ways recurse, and always to a later item, so the depth is bounded by the
 * pattern. Every test of a character is a step; steps are charged in thousands. */
#include "pattern.h"

#include <stdlib.h>

#define STEPS_PER_UNIT 4 /* that one instruction pays for */
#define STEPS_UNCHARGED 4000

enum item_kind {
    ITEM_END,
    ITEM_SUBJECT_END, /* $ at the end */
    ITEM_OPEN,        /* ( */
    ITEM_POSITION,    /* () */
    ITEM_CLOSE,       /* ) */
    ITEM_CAPTURED,    /* %1 */
    ITEM_BALANCE,     /* %bxy */
    ITEM_FRONTIER,    /* %f[set] */
    ITEM_ANY,         /* . */
    ITEM_CHAR,
    ITEM_SET /* and %a */
};
enum times { ONCE, OPTIONAL, MANY, SOME, FEW }; /* "", ?, *, +, - */

struct set {
    uint32_t bits[8];
};

struct item {
    uint8_t kind, times;
    uint8_t first, second; /* the character; of %b both; of %1 the number */
    uint32_t set;
};

struct pattern {
    bool anchored;
    size_t item_count, set_count;
    struct item *items; /* in the same block */
    struct set *sets;
};

/* ---- compiling */

struct compiler {
    lua_State *L;
    const char *at, *end;
    struct pattern *pattern;
    int open, captures, backtracks;
};

static void
set_add(struct set *set, unsigned c)
{
    set->bits[c >> 5] |= UINT32_C(1) << (c & 31);
}

static bool
set_has(const struct set *set, unsigned char c)
{
    return set->bits[c >> 5] >> (c & 31) & 1;
}

static bool
class_has(char lower, unsigned c)
{
    bool letter = (c | 32) >= 'a' && (c | 32) <= 'z' && c < 128, digit = c >= '0' && c <= '9';
    switch (lower) {
    case 'a': return letter;
    case 'c': return c < 32 || c == 127;
    case 'd': return digit;
    case 'g': return c > 32 && c < 127;
    case 'l': return c >= 'a' && c <= 'z';
    case 'p': return c > 32 && c < 127 && !letter && !digit;
    case 's': return c == ' ' || (c >= 9 && c <= 13);
    case 'u': return c >= 'A' && c <= 'Z';
    case 'w': return letter || digit;
    case 'x': return digit || ((c | 32) >= 'a' && (c | 32) <= 'f' && c < 128);
    default: return false;
    }
}

/* %a and its kin; false: the letter is no class and stands for itself. */
static bool
set_add_class(struct set *set, char letter)
{
    char lower = (char)(letter | 32);
    if (!((lower >= 'a' && lower <= 'z')) || !strchr("acdglpsuwx", lower))
        return false;
    for (unsigned c = 0; c < 256; c++)
        if (class_has(lower, c) == (letter == lower))
            set_add(set, c);
    return true;
}

static uint32_t
new_set(struct compiler *compiler)
{
    struct pattern *pattern = compiler->pattern;
    memset(&pattern->sets[pattern->set_count], 0, sizeof *pattern->sets);
    return (uint32_t)pattern->set_count++;
}

static char
next_char(struct compiler *compiler, const char *otherwise)
{
    if (compiler->at == compiler->end)
        machine_error(compiler->L, "malformed pattern (%s)", otherwise);
    return *compiler->at++;
}

/* Behind the '['. */
static uint32_t
compile_set(struct compiler *compiler)
{
    static const char missing[] = "missing ']'";
    uint32_t index = new_set(compiler);
    struct set *set = &compiler->pattern->sets[index];
    bool not = compiler->at < compiler->end && *compiler->at == '^';
    compiler->at += not;
    bool first = true;
    for (;; first = false) {
        char c = next_char(compiler, missing);
        if (c == ']' && !first)
            break;
        if (c == '%') {
            c = next_char(compiler, missing);
            if (!set_add_class(set, c))
                set_add(set, (unsigned char)c);
        } else if (compiler->end - compiler->at >= 2 && compiler->at[0] == '-' && compiler->at[1] != ']') {
            compiler->at++;
            unsigned char to = (unsigned char)*compiler->at++;
            for (unsigned each = (unsigned char)c; each <= to; each++)
                set_add(set, each);
        } else {
            set_add(set, (unsigned char)c);
        }
    }
    for (int i = 0; not && i < 8; i++)
        set->bits[i] = ~set->bits[i];
    return index;
}

static struct item *
add_item(struct compiler *compiler, enum item_kind kind)
{
    struct item *item = &compiler->pattern->items[compiler->pattern->item_count++];
    *item = (struct item){.kind = (uint8_t)kind};
    return item;
}

static void
count_backtrack(struct compiler *compiler)
{
    if (++compiler->backtracks > PATTERN_BACKTRACKS_MAX)
        machine_error(compiler->L, "pattern too complex");
}

static void
compile_times(struct compiler *compiler, struct item *item)
{
    static const char suffixes[] = "?*+-";
    const char *found = compiler->at < compiler->end && *compiler->at ? strchr(suffixes, *compiler->at) : NULL;
    if (!found)
        return;
    compiler->at++;
    item->times = (uint8_t)(OPTIONAL + (found - suffixes));
    count_backtrack(compiler);
}

static void
compile_escape(struct compiler *compiler)
{
    char c = next_char(compiler, "ends with '%'");
    struct item *item;
    if (c == 'b') {
        item = add_item(compiler, ITEM_BALANCE);
        item->first = (uint8_t)next_char(compiler, "missing arguments to '%b'");
        item->second = (uint8_t)next_char(compiler, "missing arguments to '%b'");
    } else if (c == 'f') {
        if (compiler->at == compiler->end || *compiler->at++ != '[')
            machine_error(compiler->L, "missing '[' after '%%f' in pattern");
        item = add_item(compiler, ITEM_FRONTIER);
        item->set = compile_set(compiler);
    } else if (c >= '0' && c <= '9') {
        item = add_item(compiler, ITEM_CAPTURED);
        if (c == '0' || c - '0' > compiler->captures)
            machine_error(compiler->L, "invalid capture index %%%d", c - '0');
        item->first = (uint8_t)(c - '1');
    } else {
        item = add_item(compiler, ITEM_CHAR);
        item->first = (uint8_t)c;
        uint32_t set = new_set(compiler);
        if (set_add_class(&compiler->pattern->sets[set], c)) {
            item->kind = ITEM_SET;
            item->set = set;
        } else {
            compiler->pattern->set_count--;
        }
        compile_times(compiler, item);
    }
}

static void
compile_open(struct compiler *compiler)
{
    if (++compiler->captures > PATTERN_CAPTURES_MAX)
        machine_error(compiler->L, "too many captures");
    count_backtrack(compiler);
    if (compiler->at < compiler->end && *compiler->at == ')') {
        compiler->at++;
        add_item(compiler, ITEM_POSITION);
        return;
    }
    compiler->open++;
    add_item(compiler, ITEM_OPEN);
}

static void
compile_item(struct compiler *compiler)
{
    char c = *compiler->at++;
    struct item *item;
    switch (c) {
    case '(': compile_open(compiler); return;
    case ')':
        if (compiler->open-- == 0)
            machine_error(compiler->L, "invalid pattern capture");
        count_backtrack(compiler);
        add_item(compiler, ITEM_CLOSE);
        return;
    case '%': compile_escape(compiler); return;
    case '$':
        if (compiler->at == compiler->end) {
            add_item(compiler, ITEM_SUBJECT_END);
            return;
        }
        item = add_item(compiler, ITEM_CHAR);
        item->first = (uint8_t)c;
        break;
    case '[':
        item = add_item(compiler, ITEM_SET);
        item->set = compile_set(compiler);
        break;
    default:
        item = add_item(compiler, c == '.' ? ITEM_ANY : ITEM_CHAR);
        item->first = (uint8_t)c;
    }
    compile_times(compiler, item);
}

struct pattern *
pattern_push(lua_State *L, cairn_str text, bool anchors)
{
    if (text.size > PATTERN_SIZE_MAX)
        machine_error(L, "a pattern of %d bytes; at most %d", (int)text.size, PATTERN_SIZE_MAX);
    size_t sets = 0;
    for (size_t i = 0; i < text.size; i++)
        sets += text.data[i] == '[' || text.data[i] == '%';
    machine_charge(L, 1 + text.size / 4 + sets * 8);
    struct pattern *pattern = lua_newuserdatauv(
        L, sizeof *pattern + (text.size + 1) * sizeof *pattern->items + sets * sizeof *pattern->sets, 0);
    *pattern = (struct pattern){.items = (struct item *)(pattern + 1)};
    pattern->sets = (struct set *)(pattern->items + text.size + 1);
    struct compiler compiler = {.L = L, .at = text.data, .end = text.data + text.size, .pattern = pattern};
    if (anchors && text.size && *text.data == '^') {
        pattern->anchored = true;
        compiler.at++;
    }
    while (compiler.at < compiler.end)
        compile_item(&compiler);
    if (compiler.open)
        machine_error(L, "unfinished capture");
    add_item(&compiler, ITEM_END);
    return pattern;
}

bool
pattern_anchored(const struct pattern *pattern)
{
    return pattern->anchored;
}

/* ---- matching */

static inline void
step(struct pattern_match *match)
{
    if (++match->steps > STEPS_UNCHARGED)
        pattern_done(match);
}

void
pattern_done(struct pattern_match *match)
{
    machine_charge(match->L, 1 + match->steps / STEPS_PER_UNIT);
    match->steps = 0;
}

static inline bool
item_has(struct pattern_match *match, const struct item *item, const char *at)
{
    step(match);
    if (at >= match->end)
        return false;
    unsigned char c = (unsigned char)*at;
    return item->kind == ITEM_CHAR ? c == item->first
                                   : item->kind == ITEM_ANY || set_has(&match->pattern->sets[item->set], c);
}

static const char *
match_balance(struct pattern_match *match, const struct item *item, const char *at)
{
    if (at >= match->end || (unsigned char)*at != item->first)
        return NULL;
    for (size_t depth = 1; ++at < match->end;) {
        step(match);
        unsigned char c = (unsigned char)*at;
        if (c == item->second) {
            if (--depth == 0)
                return at + 1;
        } else if (c == item->first) {
            depth++;
        }
    }
    return NULL;
}

static bool
match_frontier(struct pattern_match *match, const struct item *item, const char *at)
{
    const struct set *set = &match->pattern->sets[item->set];
    unsigned char before = at == match->from ? 0 : (unsigned char)at[-1];
    unsigned char here = at == match->end ? 0 : (unsigned char)*at;
    return !set_has(set, before) && set_has(set, here);
}

static const char *
match_captured(struct pattern_match *match, int index, const char *at)
{
    if (index >= match->level || match->captures[index].size == CAPTURE_OPEN)
        machine_error(match->L, "invalid capture index %%%d", index + 1);
    ptrdiff_t size = match->captures[index].size;
    if (size == CAPTURE_POSITION)
        return NULL; /* there is no text in it */
    match->steps += (size_t)size / 16;
    return match->end - at >= size && memcmp(at, match->captures[index].at, (size_t)size) == 0 ? at + size : NULL;
}

static const char *match_items(struct pattern_match *match, const struct item *item, const char *at);

static const char *
match_repeated(struct pattern_match *match, const struct item *item, const char *at)
{
    if (item->times == FEW) {
        for (;; at++) {
            const char *found = match_items(match, item + 1, at);
            if (found || !item_has(match, item, at))
                return found;
        }
    }
    ptrdiff_t count = 0, least = item->times == SOME, most = item->times == OPTIONAL ? 1 : PTRDIFF_MAX;
    while (count < most && item_has(match, item, at + count))
        count++;
    for (; count >= least; count--) {
        const char *found = match_items(match, item + 1, at + count);
        if (found)
            return found;
    }
    return NULL;
}

static const char *
match_open(struct pattern_match *match, const struct item *item, const char *at)
{
    match->captures[match->level].at = at;
    match->captures[match->level].size = item->kind == ITEM_POSITION ? CAPTURE_POSITION : CAPTURE_OPEN;
    match->level++;
    const char *found = match_items(match, item + 1, at);
    if (!found)
        match->level--;
    return found;
}

static const char *
match_close(struct pattern_match *match, const struct item *item, const char *at)
{
    int index = match->level - 1;
    while (match->captures[index].size != CAPTURE_OPEN)
        index--; /* the compiler has counted: one is open */
    match->captures[index].size = at - match->captures[index].at;
    const char *found = match_items(match, item + 1, at);
    if (!found)
        match->captures[index].size = CAPTURE_OPEN;
    return found;
}

static const char *
match_items(struct pattern_match *match, const struct item *item, const char *at)
{
    for (;; item++) {
        step(match);
        switch ((enum item_kind)item->kind) {
        case ITEM_END: return at;
        case ITEM_SUBJECT_END: return at == match->end ? at : NULL;
        case ITEM_OPEN:
        case ITEM_POSITION: return match_open(match, item, at);
        case ITEM_CLOSE: return match_close(match, item, at);
        case ITEM_CAPTURED: at = match_captured(match, item->first, at); break;
        case ITEM_BALANCE: at = match_balance(match, item, at); break;
        case ITEM_FRONTIER:
            if (!match_frontier(match, item, at))
                return NULL;
            break;
        case ITEM_ANY:
        case ITEM_CHAR:
        case ITEM_SET:
            if (item->times != ONCE)
                return match_repeated(match, item, at);
            at = item_has(match, item, at) ? at + 1 : NULL;
            break;
        }
        if (!at)
            return NULL;
    }
}

const char *
pattern_match(struct pattern_match *match, const char *at)
{
    match->level = 0;
    return match_items(match, match->pattern->items, at);
}

/* ---- captures */

void
pattern_push_capture(struct pattern_match *match, int index, const char *at, const char *end)
{
    lua_State *L = match->L;
    if (index >= match->level) {
        if (index > 0)
            machine_error(L, "invalid capture index %%%d", index + 1);
        lua_pushlstring(L, at, (size_t)(end - at));
    } else if (match->captures[index].size == CAPTURE_POSITION) {
        lua_pushinteger(L, match->captures[index].at - match->from + 1);
    } else {
        lua_pushlstring(L, match->captures[index].at, (size_t)match->captures[index].size);
    }
}

int
pattern_push_captures(struct pattern_match *match, const char *at, const char *end)
{
    int count = match->level ? match->level : 1;
    luaL_checkstack(match->L, count + 4, "too many captures");
    for (int i = 0; i < count; i++)
        pattern_push_capture(match, i, at, end);
    return count;
}

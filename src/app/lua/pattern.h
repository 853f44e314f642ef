/* app/lua/pattern.h: Lua's patterns with a bound on their work. The room's own.
 *
 * Lua's own matcher is C that no count hook sees, and a pattern with a few '-' in it takes years on a long subject. This
 * one (Lua 5.4 manual §6.4.1) charges its steps to the machine's budget. Classes are ASCII's, whatever the locale. */
#ifndef APP_LUA_PATTERN_H
#define APP_LUA_PATTERN_H

#include "machine.h"

#define PATTERN_CAPTURES_MAX 32
#define PATTERN_BACKTRACKS_MAX 200 /* items that may match in several ways, each a level of recursion */
#define PATTERN_SIZE_MAX 4096

struct pattern;

/* Compile into a userdata, pushed. A `^` is an anchor when `anchors`. Errors are Lua errors. */
struct pattern *pattern_push(lua_State *L, cairn_str text, bool anchors);
bool pattern_anchored(const struct pattern *pattern);

struct pattern_match {
    lua_State *L;
    const struct pattern *pattern;
    const char *from, *end; /* the subject */
    size_t steps;
    int level;
    struct {
        const char *at;
        ptrdiff_t size; /* or one of these two */
    } captures[PATTERN_CAPTURES_MAX];
};
#define CAPTURE_OPEN (-1)
#define CAPTURE_POSITION (-2)

/* Match at exactly this place; the end of what matched, or NULL. */
const char *pattern_match(struct pattern_match *match, const char *at);
/* Charge what is left of the steps. */
void pattern_done(struct pattern_match *match);

/* Push capture `index` (0-based; with no captures at all, 0 is the whole match at … end). */
void pattern_push_capture(struct pattern_match *match, int index, const char *at, const char *end);
/* Push all of them, or the whole match when there are none; returns how many. */
int pattern_push_captures(struct pattern_match *match, const char *at, const char *end);

#endif

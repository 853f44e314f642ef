/* How large a statement becomes when SQLite replaces each name of a view or of a WITH table by its query. Counted from
 * the text, always at least as much as SQLite will do: a name counts wherever it stands. Pure. */
#include "sql_int.h"

#define LOCAL_MAX 100 /* WITH tables of one statement; more count as too large */
#define DEPTH_MAX 100 /* of parentheses that hold WITH tables */

struct scope {
    struct sql_unfold names[LOCAL_MAX];
    size_t count;
    const struct sql_unfold *views;
    size_t view_count;
};

static uint32_t
add(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static cairn_str
unquoted(const char *at, size_t size)
{
    bool quoted = size >= 2 && (*at == '"' || *at == '`' || *at == '[');
    return (cairn_str){at + quoted, size - 2 * quoted};
}

static bool
same(cairn_str a, cairn_str b)
{
    return a.size == b.size && sqlite3_strnicmp(a.data, b.data, (int)a.size) == 0;
}

static uint32_t
parts_of(const struct scope *scope, cairn_str name)
{
    for (size_t i = scope->count; i > 0; i--)
        if (same(scope->names[i - 1].name, name))
            return scope->names[i - 1].parts;
    for (size_t i = 0; i < scope->view_count; i++)
        if (same(scope->views[i].name, name))
            return scope->views[i].parts;
    return 0;
}

/* The next token that says something. */
static enum sql_token
next_token(const char **at, const char *end, size_t *ret_size)
{
    enum sql_token token;
    while ((token = sql_next(*at, end, ret_size)) == SQL_SPACE || token == SQL_COMMENT)
        *at += *ret_size;
    return token;
}

/* `at` is at "("; returns what follows the matching ")", or end. */
static const char *
after_group(const char *at, const char *end)
{
    size_t depth = 0, size;
    for (enum sql_token token; (token = sql_next(at, end, &size)) != SQL_END; at += size) {
        if (token != SQL_PUNCT)
            continue;
        depth += *at == '(';
        if (*at == ')' && --depth == 0)
            return at + 1;
    }
    return end;
}

/* After a name: does "[(columns)] AS [NOT] [MATERIALIZED] (" follow? The place of the last parenthesis, or NULL. */
static const char *
defined_as(const char *at, const char *end)
{
    size_t size;
    enum sql_token token = next_token(&at, end, &size);
    if (token == SQL_PUNCT && *at == '(') {
        at = after_group(at, end);
        token = next_token(&at, end, &size);
    }
    if (token != SQL_WORD || !sql_word_is(at, size, "as"))
        return NULL;
    at += size;
    while ((token = next_token(&at, end, &size)) == SQL_WORD
           && (sql_word_is(at, size, "not") || sql_word_is(at, size, "materialized")))
        at += size;
    return token == SQL_PUNCT && *at == '(' ? at : NULL;
}

static uint32_t
unfold(struct scope *scope, const char *at, const char *end, unsigned depth)
{
    uint32_t parts = 1;
    size_t size, outer = scope->count;
    if (depth == DEPTH_MAX)
        return UINT32_MAX;
    for (enum sql_token token; (token = sql_next(at, end, &size)) != SQL_END; at += size) {
        if (token == SQL_WORD && sql_word_is(at, size, "select"))
            parts = add(parts, 1);
        if (token != SQL_WORD && token != SQL_NAME)
            continue;
        cairn_str name = unquoted(at, size);
        parts = add(parts, parts_of(scope, name));
        const char *body = size > 0 ? defined_as(at + size, end) : NULL;
        if (body == NULL)
            continue;
        const char *after = after_group(body, end);
        if (scope->count == LOCAL_MAX)
            return UINT32_MAX;
        uint32_t inner = unfold(scope, body + 1, after, depth + 1);
        scope->names[scope->count++] = (struct sql_unfold){name, inner};
        parts = add(parts, inner);
        at = after;
        size = 0;
    }
    scope->count = outer;
    return parts;
}

uint32_t
sql_unfolded(cairn_str sql, const struct sql_unfold *views, size_t count)
{
    struct scope scope = {.views = views, .view_count = count};
    return sql.size > 0 ? unfold(&scope, sql.data, sql.data + sql.size, 0) : 0;
}

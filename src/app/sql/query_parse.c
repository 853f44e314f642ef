/* A query's file: header lines, then one SELECT. Every fault that can be found is found in one go.
 *
 * A comment line before the SQL whose first word is a setting's name is that setting; the first block of other comment
 * lines is the description. The SQL is kept without comments (line breaks stay, so that faults keep their lines) and
 * with its parameters numbered. */
#include "query_int.h"

#include <base/error.h>
#include <base/hash.h>
#include <base/json.h>
#include <base/text.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define LIMIT_DEFAULT 50
#define LIMIT_MAX_DEFAULT 1000
#define LIMIT_MAX 10000
#define TIMEOUT_DEFAULT_MS 5000
#define TIMEOUT_MAX_MS 60000
#define TEXT_MAX (64 << 10) /* of a query's file */

struct parse {
    struct query *query;
    struct sql_faults faults;
    cairn_str text;
    struct query_names *names, **names_end;
    struct query_param params[QUERY_PARAMS_MAX];
    struct buf description;
    bool described, limit_seen, timeout_seen, permission_seen;
    bool failed; /* out of memory */
};

static cairn_str
copy(struct parse *p, cairn_str text)
{
    cairn_str kept = arena_copy(&p->query->arena, text);
    if (kept.data == NULL)
        p->failed = true;
    return kept;
}

static int
shown(cairn_str text)
{
    return (int)(text.size < 60 ? text.size : 60);
}

static bool
is_name(cairn_str text)
{
    if (text.size == 0 || text.size > QUERY_NAME_MAX || (text.data[0] >= '0' && text.data[0] <= '9'))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}

/* Parameters of every query: what HTTP and the command line take besides the query's own. */
static bool
is_reserved(cairn_str name)
{
    static const char *const WORDS[] = {"limit", "cursor", "sort", "after_position", "as_of", "timeout_ms"};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (cairn_str_equal(name, cairn_cstr(WORDS[i])))
            return true;
    return false;
}

static cairn_str
take_word(cairn_str *rest)
{
    cairn_str word = {rest->data, 0};
    while (word.size < rest->size && rest->data[word.size] != ' ' && rest->data[word.size] != '\t')
        word.size++;
    *rest = sql_trim((cairn_str){rest->data + word.size, rest->size - word.size});
    return word;
}

/* ---- param ------------------------------------------------------------------------------------------ */

static bool
param_type(cairn_str word, enum query_type *ret)
{
    static const enum query_type TYPES[] = {QUERY_TEXT, QUERY_INTEGER, QUERY_REAL, QUERY_BOOLEAN, QUERY_JSON};
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (cairn_str_equal(word, cairn_cstr(query_type_name(TYPES[i])))) {
            *ret = TYPES[i];
            return true;
        }
    return false;
}

/* 'text' with '' for a quote, or a bare number, true, false, null. */
static bool
param_default(struct parse *p, struct query_param *param, cairn_str text)
{
    bool quoted = text.size >= 2 && text.data[0] == '\'' && text.data[text.size - 1] == '\'';
    if (quoted) {
        struct buf plain = {0};
        bool fine = true;
        for (size_t i = 1; i + 1 < text.size; i++) {
            if (text.data[i] == '\'' && (++i + 1 >= text.size || text.data[i] != '\'')) {
                fine = false;
                break;
            }
            buf_put_char(&plain, text.data[i]);
        }
        p->failed |= plain.failed;
        text = copy(p, buf_str(&plain));
        buf_free(&plain);
        if (!fine)
            return false;
    } else if (cairn_str_equal(text, CAIRN_STR("null"))) {
        param->optional = true;
        return true;
    } else if (param->type == QUERY_TEXT || param->type == QUERY_JSON)
        return false;
    else
        text = copy(p, text);
    param->has_default = true;
    return !p->failed && query_value_read(param->type, text, &param->value);
}

static void
read_param(struct parse *p, cairn_str rest, uint32_t line)
{
    static const char FORM[] = "write: -- param name type, with a type of text, integer, real, boolean, json; `?` after "
                               "the type when it may be absent, or `= default`";
    struct query *q = p->query;
    struct query_param param = {.line = line, .value.kind = SQLITE_NULL};
    cairn_str equals = {0};
    const char *at = rest.size ? memchr(rest.data, '=', rest.size) : NULL;
    if (at != NULL) {
        equals = sql_trim((cairn_str){at + 1, rest.size - (size_t)(at + 1 - rest.data)});
        rest = sql_trim((cairn_str){rest.data, (size_t)(at - rest.data)});
    }
    cairn_str name = take_word(&rest);
    cairn_str type = take_word(&rest);
    if (rest.size == 1 && rest.data[0] == '?') {
        param.optional = true;
        rest.size = 0;
    } else if (type.size > 1 && type.data[type.size - 1] == '?') {
        param.optional = true;
        type.size--;
    }
    if (!is_name(name)) {
        sql_fault(&p->faults, line, FORM, "\"%.*s\" is no name of a parameter", shown(name), name.data);
        return;
    }
    if (is_reserved(name)) {
        sql_fault(&p->faults, line, "give the parameter another name",
                  "\"%.*s\" is a parameter that every query has already", shown(name), name.data);
        return;
    }
    if (!param_type(type, &param.type) || rest.size > 0) {
        sql_fault(&p->faults, line, FORM, "parameter \"%.*s\": \"%.*s%s%.*s\" is no type", shown(name), name.data,
                  shown(type), type.data, rest.size ? " " : "", shown(rest), rest.data);
        return;
    }
    for (size_t i = 0; i < q->param_count; i++)
        if (cairn_str_equal(p->params[i].name, name)) {
            sql_fault(&p->faults, line, "", "parameter \"%.*s\" is declared twice", shown(name), name.data);
            return;
        }
    if (q->param_count == QUERY_PARAMS_MAX) {
        sql_fault(&p->faults, line, "", "more than %d parameters", QUERY_PARAMS_MAX);
        return;
    }
    if (at != NULL && !param_default(p, &param, equals))
        sql_fault(&p->faults, line, param.type == QUERY_TEXT || param.type == QUERY_JSON
                      ? "text stands between single quotes: = 'open'" : "",
                  "parameter \"%.*s\" takes %s; the default is not", shown(name), name.data, query_type_takes(param.type));
    param.name = copy(p, name);
    p->params[q->param_count++] = param;
}

/* ---- the other settings ---------------------------------------------------------------------------- */

static void
read_limit(struct parse *p, cairn_str rest, uint32_t line)
{
    uint64_t limit = 0, max = 0;
    cairn_str number = take_word(&rest);
    bool fine = parse_u64(number, &limit) && !p->limit_seen;
    if (rest.size > 0) {
        cairn_str word = take_word(&rest);
        fine = fine && cairn_str_equal(word, CAIRN_STR("max")) && parse_u64(rest, &max);
    } else
        max = limit > LIMIT_MAX_DEFAULT ? limit : LIMIT_MAX_DEFAULT;
    if (!fine || limit == 0 || max < limit || max > LIMIT_MAX) {
        sql_fault(&p->faults, line, "write, once: -- limit 50 max 1000 (rows of a page; at most 10000)",
                  "the limit is not understood");
        return;
    }
    p->limit_seen = true;
    p->query->limit = (uint32_t)limit;
    p->query->limit_max = (uint32_t)max;
}

static void
read_timeout(struct parse *p, cairn_str rest, uint32_t line)
{
    uint64_t us;
    if (!parse_duration(rest, &us) || us < 1000 || us > TIMEOUT_MAX_MS * UINT64_C(1000) || p->timeout_seen) {
        sql_fault(&p->faults, line, "write, once: -- timeout 2s (1ms to 60s)", "the timeout is not understood");
        return;
    }
    p->timeout_seen = true;
    p->query->timeout_ms = (uint32_t)(us / 1000);
}

static void
read_permission(struct parse *p, cairn_str rest, uint32_t line)
{
    cairn_str word = take_word(&rest);
    if (word.size == 0 || rest.size > 0 || p->permission_seen) {
        sql_fault(&p->faults, line, "write, once: -- permission orders.read", "the permission is not understood");
        return;
    }
    p->permission_seen = true;
    p->query->permission = copy(p, word);
}

static void
keep_names(struct parse *p, int what, cairn_str rest, uint32_t line)
{
    struct query_names *names = arena_zalloc(&p->query->arena, sizeof *names);
    if (names == NULL) {
        p->failed = true;
        return;
    }
    names->what = what;
    names->list = copy(p, rest);
    names->line = line;
    *p->names_end = names;
    p->names_end = &names->next;
    if (rest.size == 0)
        sql_fault(&p->faults, line, "", "here the names of output columns are missing");
}

static void
read_setting(struct parse *p, cairn_str word, cairn_str rest, uint32_t line, bool *ret_known)
{
    static const char *const LISTS[] = {[NAMES_FILTER] = "filter", [NAMES_SORT] = "sort", [NAMES_KEY] = "key",
                                        [NAMES_JSON] = "json", [NAMES_BOOLEAN] = "boolean"};
    *ret_known = true;
    if (cairn_str_equal(word, CAIRN_STR("param")))
        read_param(p, rest, line);
    else if (cairn_str_equal(word, CAIRN_STR("limit")))
        read_limit(p, rest, line);
    else if (cairn_str_equal(word, CAIRN_STR("timeout")))
        read_timeout(p, rest, line);
    else if (cairn_str_equal(word, CAIRN_STR("permission")))
        read_permission(p, rest, line);
    else if (cairn_str_equal(word, CAIRN_STR("one")) && rest.size == 0)
        p->query->one = true;
    else {
        for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++)
            if (cairn_str_equal(word, cairn_cstr(LISTS[i]))) {
                keep_names(p, (int)i, rest, line);
                return;
            }
        *ret_known = false;
    }
}

/* A comment that is no setting: of the description, or a setting with a slip in its name. */
static void
read_comment(struct parse *p, cairn_str word, cairn_str rest, uint32_t line)
{
    static const char *const WORDS[] = {"param", "filter", "sort", "key", "limit", "timeout", "permission", "json", "boolean"};
    struct sql_nearest nearest = sql_nearest(word);
    for (size_t i = 0; word.size >= 4 && i < sizeof WORDS / sizeof *WORDS; i++)
        sql_nearest_try(&nearest, cairn_cstr(WORDS[i]));
    if (nearest.best.size > 0 && nearest.distance == 1 && rest.size > 0) {
        char hint[64];
        snprintf(hint, sizeof hint, "did you mean `-- %.*s`?", (int)nearest.best.size, nearest.best.data);
        sql_warning(&p->faults, line, hint, "\"%.*s\" is no setting: the line is a comment", shown(word), word.data);
    }
    if (word.size == 0)
        p->described = p->description.size > 0;
    if (p->described || word.size == 0)
        return;
    if (p->description.size > 0)
        buf_put_char(&p->description, ' ');
    buf_put(&p->description, word.data, (size_t)(rest.data + rest.size - word.data));
}

/* Returns where the SQL begins. */
static const char *
read_header(struct parse *p)
{
    const char *at = p->text.data, *end = at + p->text.size;
    while (at < end) {
        cairn_str word, rest;
        const char *next;
        if (sql_directive(at, end, &word, &rest, &next)) {
            bool known;
            uint32_t line = sql_line(p->text.data, at);
            read_setting(p, word, rest, line, &known);
            if (known)
                p->described |= p->description.size > 0;
            else
                read_comment(p, word, rest, line);
        } else if (sql_trim((cairn_str){at, (size_t)(next - at)}).size > 0) {
            size_t size;
            if (sql_next(at, end, &size) != SQL_COMMENT)
                break;
            next = at + size;
        }
        else
            p->described |= p->description.size > 0;
        at = next;
    }
    return at;
}

/* ---- the SQL ------------------------------------------------------------------------------------------- */

/* What has been seen of the SELECT while its tokens went by. */
struct select {
    struct buf sql;
    int depth;
    bool any, ended, match, order, limit, broken;
    const char *order_at;
};

static void
number_param(struct parse *p, struct select *s, const char *at, size_t size)
{
    struct query *q = p->query;
    cairn_str name = {at + 1, size - 1};
    uint32_t line = sql_line(p->text.data, at);
    if (*at != ':') {
        sql_fault(&p->faults, line, "write :name, and declare it: -- param name text", "parameters have names; \"%.*s\" does not fit",
                  shown((cairn_str){at, size}), at);
        s->broken = true;
        return;
    }
    for (size_t i = 0; i < q->param_count; i++)
        if (cairn_str_equal(p->params[i].name, name)) {
            p->params[i].used = true;
            p->params[i].match |= s->match;
            buf_printf(&s->sql, "?%zu", i + 1);
            return;
        }
    struct sql_nearest nearest = sql_nearest(name);
    for (size_t i = 0; i < q->param_count; i++)
        sql_nearest_try(&nearest, p->params[i].name);
    char hint[160];
    if (nearest.best.size > 0)
        snprintf(hint, sizeof hint, "did you mean :%.*s?", (int)nearest.best.size, nearest.best.data);
    else
        snprintf(hint, sizeof hint, "declare it: -- param %.*s text", shown(name), name.data);
    sql_fault(&p->faults, line, hint, "parameter :%.*s is not declared", shown(name), name.data);
    s->broken = true;
}

static void
see_word(struct parse *p, struct select *s, const char *at, size_t size)
{
    if (!s->any && !sql_word_is(at, size, "SELECT") && !sql_word_is(at, size, "WITH")) {
        sql_fault(&p->faults, sql_line(p->text.data, at), "a query reads: it begins with SELECT or WITH",
                  "a query cannot begin with %.*s", shown((cairn_str){at, size}), at);
        s->broken = true;
    }
    if (s->depth == 0 && sql_word_is(at, size, "ORDER")) {
        s->order = true;
        s->order_at = at;
    }
    if (s->depth == 0 && sql_word_is(at, size, "LIMIT"))
        s->limit = true;
}

/* Copies the tokens; comments become white space. */
static void
read_select(struct parse *p, const char *at, struct select *s)
{
    const char *end = p->text.data + p->text.size;
    size_t size;
    for (enum sql_token token; (token = sql_next(at, end, &size)) != SQL_END; at += size) {
        if (token == SQL_COMMENT || token == SQL_SPACE) {
            for (size_t i = 0; i < size; i++)
                buf_put_char(&s->sql, at[i] == '\n' ? '\n' : ' ');
            continue;
        }
        if (token == SQL_BROKEN) {
            sql_fault(&p->faults, sql_line(p->text.data, at), "close the quote or comment", "here begins what does not end");
            s->broken = true;
            return;
        }
        if (token == SQL_SEMICOLON) {
            s->ended = s->any;
            continue;
        }
        if (s->ended) {
            sql_fault(&p->faults, sql_line(p->text.data, at), "put the second one into a file of its own",
                      "a query is one statement; here begins another");
            s->broken = true;
            return;
        }
        if (token == SQL_WORD)
            see_word(p, s, at, size);
        s->any = true;
        if (token == SQL_PARAM)
            number_param(p, s, at, size);
        else
            buf_put(&s->sql, at, size);
        if (token == SQL_PUNCT)
            s->depth += *at == '(' ? 1 : *at == ')' ? -1 : 0;
        s->match = (token == SQL_WORD && sql_word_is(at, size, "MATCH")) || (s->match && token == SQL_PUNCT && *at == '(');
    }
}

/* ---- names of columns -------------------------------------------------------------------------------------- */

static void
no_column(struct parse *p, const struct query_names *names, cairn_str name)
{
    struct sql_nearest nearest = sql_nearest(name);
    char hint[120] = "name it in the SELECT: … AS name";
    for (size_t i = 0; i < p->query->column_count; i++)
        sql_nearest_try(&nearest, p->query->columns[i].name);
    if (nearest.best.size > 0)
        snprintf(hint, sizeof hint, "did you mean \"%.*s\"?", (int)nearest.best.size, nearest.best.data);
    sql_fault(&p->faults, names->line, hint, "there is no output column \"%.*s\"", shown(name), name.data);
}

static void
name_filter(struct parse *p, const struct query_names *names, struct query_column *column, cairn_str type)
{
    if (type.size > 0 && !param_type(type, &column->type)) {
        sql_fault(&p->faults, names->line, "write: -- filter column, other integer", "\"%.*s\" is no type", shown(type), type.data);
        return;
    }
    if (column->type == QUERY_ANY || column->type == QUERY_BLOB || column->type == QUERY_JSON) {
        char hint[160];
        snprintf(hint, sizeof hint, "say its type: -- filter %.*s integer (or text, real, boolean)",
                 (int)(column->name.size < 60 ? column->name.size : 60), column->name.data);
        sql_fault(&p->faults, names->line, hint, "SQLite knows no type of column \"%.*s\" that a filter could be read as",
                  shown(column->name), column->name.data);
        return;
    }
    for (size_t i = 0; i < p->query->param_count; i++)
        if (cairn_str_equal(p->params[i].name, column->name)) {
            sql_fault(&p->faults, names->line, "rename the output column: … AS other",
                      "\"%.*s\" is a parameter and a filter", shown(column->name), column->name.data);
            return;
        }
    if (is_reserved(column->name))
        sql_fault(&p->faults, names->line, "rename the output column: … AS other",
                  "\"%.*s\" is a parameter that every query has already", shown(column->name), column->name.data);
    column->filter = true;
}

static void
apply_names(struct parse *p, const struct query_names *names)
{
    struct query *q = p->query;
    cairn_str rest = names->list, item;
    while (names->list.size > 0 && sql_list_next(&rest, &item)) {
        cairn_str name = item, extra;
        if (item.size > 0 && item.data[0] == '-')
            name = sql_trim((cairn_str){item.data + 1, item.size - 1});
        size_t i = query_column_find(q, name);
        extra = name;
        if (i == q->column_count) {
            cairn_str first = take_word(&extra);
            name = first;
            i = query_column_find(q, name);
        } else
            extra.size = 0;
        if (i == q->column_count) {
            no_column(p, names, name);
            continue;
        }
        struct query_column *column = &q->columns[i];
        if (names->what == NAMES_FILTER)
            name_filter(p, names, column, extra);
        else if (extra.size > 0 && !(names->what == NAMES_SORT
                                     && (sql_word_is(extra.data, extra.size, "asc") || sql_word_is(extra.data, extra.size, "desc"))))
            sql_fault(&p->faults, names->line, "put commas between the columns", "\"%.*s\" does not belong here", shown(extra), extra.data);
        switch (names->what) {
        case NAMES_SORT: column->sort = true; break;
        case NAMES_KEY: column->key = q->keyed = true; break;
        case NAMES_JSON: column->json = true; column->type = QUERY_JSON; break;
        case NAMES_BOOLEAN: column->type = QUERY_BOOLEAN; break;
        case NAMES_FILTER: break;
        }
    }
}

/* json and boolean say what a column is, so they come before filter; then sorts, when the columns are marked. */
static void
apply_all_names(struct parse *p, const struct select *s)
{
    struct query *q = p->query;
    static const int ORDER[] = {NAMES_JSON, NAMES_BOOLEAN, NAMES_FILTER, NAMES_KEY, NAMES_SORT};
    const struct query_names *first_sort = NULL;
    for (size_t i = 0; i < sizeof ORDER / sizeof *ORDER; i++)
        for (const struct query_names *names = p->names; names != NULL; names = names->next)
            if ((int)names->what == ORDER[i]) {
                apply_names(p, names);
                if (names->what == NAMES_SORT && first_sort == NULL)
                    first_sort = names;
            }
    if (p->faults.count > 0)
        return;
    if (first_sort != NULL && !q->keyed) {
        sql_fault(&p->faults, first_sort->line, "add: -- key id (the column that is different in every row)",
                  "a sort needs a key: pages rest on it");
        return;
    }
    if (first_sort != NULL || q->keyed) {
        cairn_str bad;
        enum query_sort_fault fault = query_sort_read(q, first_sort ? first_sort->list : (cairn_str){0}, q->sort, &q->sort_count, &bad);
        if (fault != SORT_FINE)
            sql_fault(&p->faults, first_sort ? first_sort->line : 0, "", fault == SORT_TWICE ? "\"%.*s\" is sorted by twice"
                      : fault == SORT_MANY ? "\"%.*s\": too many columns to sort by" : "\"%.*s\" is no column to sort by",
                      shown(bad), bad.data);
    }
    if (q->sort_count > 0 && s->order && !s->limit)
        sql_warning(&p->faults, sql_line(p->text.data, s->order_at), "say it as a setting: -- sort column desc, other",
                    "with a key the rows are sorted by -- sort and -- key; this ORDER BY has no effect");
}

/* ---- all of it ------------------------------------------------------------------------------------------------ */

static bool
take_name(struct parse *p, cairn_str path)
{
    const char *slash = path.size ? memrchr(path.data, '/', path.size) : NULL;
    cairn_str name = slash ? (cairn_str){slash + 1, path.size - (size_t)(slash + 1 - path.data)} : path;
    bool ending = name.size > 4 && memcmp(name.data + name.size - 4, ".sql", 4) == 0;
    if (ending)
        name.size -= 4;
    p->query->name = copy(p, name);
    if (ending && is_name(name))
        return true;
    sql_fault(&p->faults, 0, "name the file after the query: queries/open_tasks.sql",
              "\"%.*s\" gives no name of a query: letters, digits and _, at most %d, then .sql", shown(name), name.data,
              QUERY_NAME_MAX);
    return false;
}

static cairn_err
parse_all(struct parse *p, cairn_str path, struct projection *const *projections, size_t count, cairn_error *error)
{
    static _Atomic uint64_t last_id;
    struct query *q = p->query;
    struct select select = {0};
    cairn_err err = CAIRN_OK;

    (void)take_name(p, path);
    if (p->text.size > TEXT_MAX || !utf8_valid(p->text) || (p->text.size && memchr(p->text.data, 0, p->text.size))) {
        sql_fault(&p->faults, 0, "", "a query is at most %d KiB of UTF-8 text", TEXT_MAX >> 10);
        return CAIRN_OK;
    }
    const char *at = read_header(p);
    read_select(p, at, &select);
    if (!select.any && !select.broken)
        sql_fault(&p->faults, sql_line(p->text.data, at), "", "there is no SELECT");
    for (size_t i = 0; i < q->param_count && !select.broken; i++)
        if (!p->params[i].used)
            sql_warning(&p->faults, p->params[i].line, "take it out, or use it in the SQL", "parameter :%.*s is not used",
                        shown(p->params[i].name), p->params[i].name.data);
    q->sql = copy(p, buf_str(&select.sql));
    q->description = copy(p, buf_str(&p->description));
    q->params = arena_alloc(&q->arena, sizeof p->params);
    p->failed |= q->params == NULL || select.sql.failed || p->description.failed;
    if (p->failed) {
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
        goto done;
    }
    memcpy(q->params, p->params, sizeof p->params);
    if (select.broken || !select.any)
        goto done;
    err = query_try(q, projections, count, sql_line(p->text.data, at), &p->faults, error);
    if (err != CAIRN_OK || q->column_count == 0)
        goto done;
    apply_all_names(p, &select);
    q->id = atomic_fetch_add(&last_id, 1) + 1;
    q->name_hash = (uint32_t)hash64(q->name.data, q->name.size, 0);
    uint64_t hash = hash64(q->sql.data, q->sql.size, 0);
    for (size_t i = 0; i < q->column_count; i++) /* SELECT * may become other columns */
        hash = hash64(q->columns[i].name.data, q->columns[i].name.size, hash);
    q->sql_hash = (uint32_t)hash;
    if (p->failed)
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
done:
    buf_free(&select.sql);
    return err;
}

cairn_err
query_parse(cairn_str path, cairn_str text, struct projection *const *projections, size_t projection_count,
            cairn_app_fault_visit visit, void *context, struct query **ret, cairn_error *error)
{
    struct query *query = calloc(1, sizeof *query);
    if (query == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    query->limit = LIMIT_DEFAULT;
    query->limit_max = LIMIT_MAX_DEFAULT;
    query->timeout_ms = TIMEOUT_DEFAULT_MS;

    struct parse p = {.query = query, .faults = {visit, context, path, 0}, .text = text};
    p.names_end = &p.names;
    cairn_err err = parse_all(&p, path, projections, projection_count, error);
    buf_free(&p.description);
    if (err == CAIRN_OK && p.faults.count > 0)
        err = error_set(error, CAIRN_E_INVALID, "%.*s has %zu fault%s", (int)path.size, path.data, p.faults.count,
                        p.faults.count == 1 ? "" : "s");
    if (err != CAIRN_OK) {
        query_free(query);
        return err;
    }
    *ret = query;
    return CAIRN_OK;
}

void
query_free(struct query *query)
{
    if (query == NULL)
        return;
    arena_free(&query->arena);
    free(query);
}

cairn_str
query_name(const struct query *query)
{
    return query->name;
}

cairn_str
query_permission(const struct query *query)
{
    return query->permission;
}

bool
query_projection(const struct query *query, size_t index, cairn_str *ret)
{
    if (index >= query->projection_count)
        return false;
    *ret = query->projections[index];
    return true;
}

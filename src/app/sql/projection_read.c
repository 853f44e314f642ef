/* A projection file into sections, statements and plans. Everything wrong is told, with its line; reading goes on. */
#include "projection_int.h"

#include <base/error.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum section_kind { SECTION_NONE, SECTION_TABLE, SECTION_ON, SECTION_BROKEN };

struct reading {
    struct projection *projection;
    struct sql_faults *faults;
    const char *text, *end;
    enum section_kind kind;
    struct names *sections; /* types by section */
    size_t section_count;
    bool outside_told, table_only, no_memory;
};

static const char *const SECTIONS[] = {"from", "tagged", "table", "on"};

static const struct {
    const char *name;
    enum field field;
    bool path;
} FIELDS[] = {
    {"position", FIELD_POSITION, false}, {"stream", FIELD_STREAM, false},
    {"stream_id", FIELD_STREAM_ID, false}, {"category", FIELD_CATEGORY, false},
    {"revision", FIELD_REVISION, false}, {"type", FIELD_TYPE, false},
    {"id", FIELD_ID, false}, {"time", FIELD_TIME, false},
    {"time_us", FIELD_TIME_US, false}, {"correlation", FIELD_CORRELATION, false},
    {"causation", FIELD_META_PATH, false}, {"actor", FIELD_META_PATH, false},
    {"data", FIELD_DATA, true}, {"meta", FIELD_META, true},
    {"tags", FIELD_TAGS, false}, {"tag", FIELD_TAG, true},
};
#define FIELD_COUNT (sizeof FIELDS / sizeof *FIELDS)

/* 0 for the tables of a script: their lines are not the file's. */
static uint32_t
line_of(const struct reading *in, const char *at)
{
    return in->table_only ? 0 : sql_line(in->text, at);
}

/* ---- names ------------------------------------------------------------------------------------ */

bool
projection_name_has(const struct names *names, cairn_str name)
{
    for (size_t i = 0; i < names->count; i++)
        if (cairn_str_equal(names->items[i], name))
            return true;
    return false;
}

/* Room doubles at powers of two; what is left behind in the arena is bounded by what is kept. */
bool
projection_name_add(struct projection *projection, struct names *names, cairn_str name)
{
    if ((names->count & (names->count - 1)) == 0) {
        cairn_str *items = arena_alloc(&projection->arena, (names->count > 0 ? names->count * 2 : 1) * sizeof *items);
        if (items == NULL)
            return false;
        if (names->count > 0)
            memcpy(items, names->items, names->count * sizeof *items);
        names->items = items;
    }
    cairn_str copy = arena_copy(&projection->arena, name);
    if (copy.data == NULL)
        return false;
    names->items[names->count++] = copy;
    return true;
}

/* The next name of a list: plain, or in double quotes, which are doubled inside. *ret_item is what stands there, with its quotes. */
static bool
list_next(cairn_str *rest, cairn_str *ret_item)
{
    cairn_str text = sql_trim(*rest);
    size_t size = 0;
    if (rest->data == NULL)
        return false;
    if (text.size > 0 && text.data[0] == '"') /* a doubled quote closes and opens again */
        for (bool in = false; size < text.size && (in || text.data[size] != ','); size++)
            in ^= text.data[size] == '"';
    else
        while (size < text.size && text.data[size] != ',')
            size++;
    *ret_item = sql_trim((cairn_str){text.data, size});
    *rest = size < text.size ? (cairn_str){text.data + size + 1, text.size - size - 1} : (cairn_str){0};
    return true;
}

/* Plain names have neither spaces nor quotes in them. False: it is no name. */
static bool
take_name(cairn_str item, struct buf *to)
{
    bool in_quotes = item.size > 1 && item.data[0] == '"' && item.data[item.size - 1] == '"';
    buf_clear(to);
    for (size_t i = in_quotes, end = item.size - in_quotes; i < end; i++) {
        char c = item.data[i];
        if (!in_quotes && (isspace((unsigned char)c) || c == '\'' || c == '"'))
            return false;
        if (in_quotes && c == '"' && (++i == end || item.data[i] != '"'))
            return false;
        if (iscntrl((unsigned char)c))
            return false;
        buf_put_char(to, c);
    }
    return to->size > 0 || to->failed;
}

/* At least one name. */
static bool
is_list(cairn_str rest)
{
    struct buf name = {0};
    cairn_str item;
    bool good = rest.size > 0;
    while (good && list_next(&rest, &item))
        good = take_name(item, &name);
    buf_free(&name);
    return good;
}

static void
take_list(struct reading *in, struct names *names, cairn_str rest, uint32_t line, const char *what)
{
    struct buf name = {0};
    cairn_str item;
    if (!is_list(rest)) {
        sql_fault(in->faults, line, "names are separated by commas, those with blanks in them stand in \"double quotes\"; a "
                  "comment that begins with this word goes between /* and */", "expected %s, separated by commas", what);
        return;
    }
    while (list_next(&rest, &item)) {
        (void)take_name(item, &name);
        if (name.failed)
            in->no_memory = true;
        else if (item.data[0] == '"' && name.size == 1 && name.data[0] == '*')
            sql_fault(in->faults, line, "every event is -- on *, without quotes", "nothing can be named \"*\"");
        else if (name.size > PROJECTION_NAME_MAX)
            sql_fault(in->faults, line, "", "a name has %zu bytes; %d are allowed", name.size, PROJECTION_NAME_MAX);
        else if (names->count >= PROJECTION_NAMES_MAX)
            sql_fault(in->faults, line, "split the projection", "more than %d names", PROJECTION_NAMES_MAX);
        else if (!projection_name_has(names, buf_str(&name)) && !projection_name_add(in->projection, names, buf_str(&name)))
            in->no_memory = true;
    }
    buf_free(&name);
}

/* ---- sections ------------------------------------------------------------------------------------- */

static void
begin_on(struct reading *in, cairn_str rest, uint32_t line)
{
    in->kind = SECTION_BROKEN;
    if (in->section_count == PROJECTION_SECTIONS_MAX) {
        sql_fault(in->faults, line, "split the projection", "more than %d sections", PROJECTION_SECTIONS_MAX);
        return;
    }
    struct names *types = &in->sections[in->section_count];
    *types = (struct names){0};
    take_list(in, types, rest, line, "event types");
    if (types->count == 0)
        return;
    in->section_count++;
    in->kind = SECTION_ON;
    for (size_t i = 0; i < types->count; i++) {
        if (projection_name_has(&in->projection->types, types->items[i]))
            continue;
        if (in->projection->types.count >= PROJECTION_NAMES_MAX)
            sql_fault(in->faults, line, "split the projection", "more than %d event types", PROJECTION_NAMES_MAX);
        else if (!projection_name_add(in->projection, &in->projection->types, types->items[i]))
            in->no_memory = true;
    }
}

/* A comment whose first word is nearly a section's, and which goes on as a section would. */
static bool
meant_as_section(cairn_str word, cairn_str rest, const char **ret_meant)
{
    struct sql_nearest nearest = sql_nearest(word);
    for (size_t i = 0; i < sizeof SECTIONS / sizeof *SECTIONS; i++)
        sql_nearest_try(&nearest, cairn_cstr(SECTIONS[i]));
    if (nearest.best.size == 0 || word.size < 2 || nearest.distance > (word.size < 4 ? 1 : 2))
        return false;
    *ret_meant = nearest.best.data;
    if (cairn_str_equal(nearest.best, CAIRN_STR("table")))
        return rest.size == 0;
    if (!is_list(rest))
        return false;
    return word.size >= 4 || isupper((unsigned char)rest.data[0]) || rest.data[0] == '*' || rest.data[0] == '"';
}

/* Is the comment a section's line? Then it takes effect. */
static bool
take_directive(struct reading *in, const char *at)
{
    const char *next, *meant;
    cairn_str word, rest;
    if (!sql_directive(at, in->end, &word, &rest, &next))
        return false;
    uint32_t line = line_of(in, at);
    struct projection *projection = in->projection;
    if (sql_word_is(word.data, word.size, "on"))
        begin_on(in, rest, line);
    else if (sql_word_is(word.data, word.size, "table") && rest.size == 0)
        in->kind = SECTION_TABLE;
    else if (sql_word_is(word.data, word.size, "from"))
        take_list(in, &projection->categories, rest, line, "categories");
    else if (sql_word_is(word.data, word.size, "tagged"))
        take_list(in, &projection->tags, rest, line, "tags");
    else if (meant_as_section(word, rest, &meant)) {
        char hint[128];
        snprintf(hint, sizeof hint, "did you mean \"-- %s\"? A comment that only looks like it goes between /* and */",
                 meant);
        sql_fault(in->faults, line, hint, "there is no section \"%.*s\"", (int)(word.size < 64 ? word.size : 64),
                  word.data);
        in->kind = SECTION_BROKEN;
    } else
        return false;
    return true;
}

/* ---- parameters --------------------------------------------------------------------------------------- */

static bool
add_slot(struct reading *in, enum field field, cairn_str path, size_t *ret, uint32_t line)
{
    struct projection *projection = in->projection;
    for (size_t i = 0; i < projection->slot_count; i++)
        if (projection->slots[i].field == field && cairn_str_equal(projection->slots[i].path, path)) {
            *ret = i;
            return true;
        }
    if (projection->slot_count == PROJECTION_SLOTS_MAX) {
        sql_fault(in->faults, line, "split the projection", "more than %d different parameters", PROJECTION_SLOTS_MAX);
        return false;
    }
    cairn_str copy = arena_copy(&projection->arena, path);
    if (copy.data == NULL) {
        in->no_memory = true;
        return false;
    }
    *ret = projection->slot_count++;
    projection->slots[*ret] = (struct slot){field, copy};
    return true;
}

/* The path with every part written in its shortest way. False: something is wrong with it, which was told. */
static bool
take_path(struct reading *in, cairn_str path, cairn_str shown, uint32_t line, struct buf *to)
{
    struct path_part part;
    char *name = malloc(path.size + 1);
    bool good = name != NULL;
    unsigned parts = 0;
    in->no_memory = in->no_memory || name == NULL;
    for (size_t at = 0; good && path_next(path, &at, name, &part);) {
        const char *what = ++parts > PROJECTION_PATH_MAX ? "too many parts"
                           : part.name.size > PROJECTION_NAME_MAX ? "too long a name" : NULL;
        for (size_t i = 0; i < part.name.size; i++)
            if (iscntrl((unsigned char)part.name.data[i]))
                what = "a name with a control character or a line's end";
        if (what != NULL) {
            char hint[96];
            snprintf(hint, sizeof hint, "a path has at most %d parts, a name %d bytes", PROJECTION_PATH_MAX,
                     PROJECTION_NAME_MAX);
            sql_fault(in->faults, line, hint, ":%.*s: the path has %s", (int)shown.size, shown.data, what);
            good = false;
        }
        path_put(to, &part);
    }
    free(name);
    in->no_memory = in->no_memory || to->failed;
    return good && !to->failed;
}

/* :tag.NAME is the text after "NAME:". */
static bool
take_tag(struct reading *in, cairn_str path, cairn_str shown, uint32_t line, size_t *ret)
{
    char name[2 * PROJECTION_NAME_MAX + 4];
    struct path_part part = {0};
    size_t at = 0;
    bool one = path.size + 2 <= sizeof name && path_next(path, &at, name, &part) && part.member && part.name.size > 0
        && at == path.size;
    if (!one) {
        sql_fault(in->faults, line, ":tag.customer is the text after \"customer:\"", ":%.*s is no tag's name",
                  (int)shown.size, shown.data);
        return false;
    }
    memmove(name, part.name.data, part.name.size);
    name[part.name.size] = ':';
    return add_slot(in, FIELD_TAG, (cairn_str){name, part.name.size + 1}, ret, line);
}

/* ":data.customer.name" → its slot. */
static bool
take_parameter(struct reading *in, cairn_str parameter, uint32_t line, size_t *ret)
{
    cairn_str name = {parameter.data + 1, parameter.size - 1};
    size_t root = 0;
    while (root < name.size && name.data[root] != '.' && name.data[root] != '[')
        root++;
    cairn_str path = {name.data + root, name.size - root};
    int shown = (int)(name.size < 80 ? name.size : 80);
    struct sql_nearest nearest = sql_nearest((cairn_str){name.data, root});
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        sql_nearest_try(&nearest, cairn_cstr(FIELDS[i].name));
        if (strlen(FIELDS[i].name) != root || memcmp(FIELDS[i].name, name.data, root) != 0)
            continue;
        if (path.size > 0 && !FIELDS[i].path) {
            sql_fault(in->faults, line, "paths go into :data and :meta; :tag.NAME is the text after \"NAME:\"",
                      ":%s has no parts (:%.*s)", FIELDS[i].name, shown, name.data);
            return false;
        }
        struct buf whole = {0};
        enum field field = FIELDS[i].field;
        bool good = take_path(in, path, (cairn_str){name.data, (size_t)shown}, line, &whole);
        if (field == FIELD_META_PATH) { /* causation and actor are members of meta */
            buf_put_char(&whole, '.');
            buf_put_str(&whole, cairn_cstr(FIELDS[i].name));
        } else if (path.size > 0 && field != FIELD_TAG)
            field = field == FIELD_DATA ? FIELD_DATA_PATH : FIELD_META_PATH;
        if (good)
            good = field == FIELD_TAG ? take_tag(in, buf_str(&whole), (cairn_str){name.data, (size_t)shown}, line, ret)
                                      : add_slot(in, field, buf_str(&whole), ret, line);
        buf_free(&whole);
        return good;
    }
    char hint[160] = "parameters are :data.MEMBER, :meta.MEMBER, :tag.NAME and the event's own fields";
    if (nearest.best.size > 0)
        snprintf(hint, sizeof hint, "did you mean :%.*s%.*s?", (int)nearest.best.size, nearest.best.data,
                 (int)(path.size < 60 ? path.size : 60), path.data);
    else if (path.size == 0 && root > 0 && root < 60)
        snprintf(hint, sizeof hint, "a member of the event's data is :data.%.*s", (int)root, name.data);
    sql_fault(in->faults, line, hint, "there is no parameter :%.*s", shown, name.data);
    return false;
}

/* ---- statements ------------------------------------------------------------------------------------------ */

/* The machine's time zone is no part of an event. */
static void
check_string(struct reading *in, const char *at, size_t size, bool dates)
{
    if (sql_word_is(at, size, "'localtime'") || (dates && sql_word_is(at, size, "'utc'")))
        sql_fault(in->faults, line_of(in, at), "times of events are UTC; shift by a fixed '+01:00'",
                  "%.*s depends on the machine's time zone", (int)size, at);
}

static bool
names_dates(const char *at, const char *end)
{
    static const char *const DATES[] = {"date", "time", "datetime", "julianday", "unixepoch", "strftime"};
    size_t size;
    for (enum sql_token token; (token = sql_next(at, end, &size)) != SQL_END; at += size)
        for (size_t i = 0; token == SQL_WORD && i < sizeof DATES / sizeof *DATES; i++)
            if (sql_word_is(at, size, DATES[i]))
                return true;
    return false;
}

/* Copy the statement with :names as ?numbers, on the same lines. */
static bool
map_parameters(struct reading *in, const char *at, const char *end, struct statement *statement)
{
    struct arena *arena = &in->projection->arena;
    struct buf sql = {0};
    uint16_t binds[SQL_PARAMETERS_MAX];
    size_t count = 0, size;
    bool good = true, dates = names_dates(at, end);
    const char *after = NULL; /* of the last parameter */
    for (enum sql_token token; (token = sql_next(at, end, &size)) != SQL_END; at += size) {
        if (token == SQL_STRING)
            check_string(in, at, size, dates);
        if (token != SQL_PARAM || in->kind == SECTION_TABLE) {
            if (token == SQL_PARAM) {
                sql_fault(in->faults, line_of(in, at), "tables are made before there is any event",
                          "a parameter in a table's declaration");
                good = false;
            }
            buf_put(&sql, at, size);
            continue;
        }
        size_t slot = 0, i = 0;
        uint32_t line = line_of(in, at);
        if (at == after) { /* SQL has no two values side by side */
            sql_fault(in->faults, line, "a member with such a name is written :data.\"org:resource\"",
                      "%.*s follows a parameter directly", (int)(size < 40 ? size : 40), at);
            good = false;
            continue;
        }
        after = at + size;
        if (*at != ':') {
            sql_fault(in->faults, line, "write :data.MEMBER", "%.*s: parameters have names here",
                      (int)(size < 40 ? size : 40), at);
            good = false;
            continue;
        }
        if (!take_parameter(in, (cairn_str){at, size}, line, &slot)) {
            good = false;
            continue;
        }
        while (i < count && binds[i] != slot)
            i++;
        if (i == count) {
            if (count == SQL_PARAMETERS_MAX) {
                sql_fault(in->faults, line, "", "more than %d parameters in one statement", SQL_PARAMETERS_MAX);
                good = false;
                break;
            }
            binds[count++] = (uint16_t)slot;
        }
        buf_printf(&sql, "?%zu ", i + 1);
    }
    cairn_str copy = sql.failed ? (cairn_str){0} : arena_copy(arena, buf_str(&sql));
    uint16_t *kept = arena_alloc(arena, (count + 1) * sizeof *kept);
    buf_free(&sql);
    if (copy.data == NULL || kept == NULL) {
        in->no_memory = true;
        return false;
    }
    memcpy(kept, binds, count * sizeof *kept);
    statement->sql = copy;
    statement->binds = kept;
    statement->bind_count = (uint16_t)count;
    return good;
}

/* The first words of a statement, without comments. */
static size_t
first_words(const char *at, const char *end, cairn_str *words, size_t max)
{
    size_t count = 0, size;
    for (enum sql_token token; count < max && (token = sql_next(at, end, &size)) != SQL_END; at += size)
        if (token != SQL_SPACE && token != SQL_COMMENT)
            words[count++] = (cairn_str){at, size};
    return count;
}

static bool
word_at(const cairn_str *words, size_t count, size_t i, const char *word)
{
    return i < count && sql_word_is(words[i].data, words[i].size, word);
}

static bool
defers(const char *at, const char *end)
{
    size_t size;
    bool initially = false;
    for (enum sql_token token; (token = sql_next(at, end, &size)) != SQL_END; at += size) {
        if (token == SQL_SPACE || token == SQL_COMMENT)
            continue;
        if (initially && sql_word_is(at, size, "deferred"))
            return true;
        initially = token == SQL_WORD && sql_word_is(at, size, "initially");
    }
    return false;
}

/* SQLite does not ask about functions in DEFAULT. A name before "(" is a function's, unless what stands before it says
 * that it is a table's. */
static bool
calls_refused(struct reading *in, const char *at, const char *end)
{
    static const char *const BEFORE_TABLE[] = {"table", "exists", "references", "into", "on", "view", "trigger", "index"};
    cairn_str name = {0}, before = {0};
    size_t size;
    for (enum sql_token token; (token = sql_next(at, end, &size)) != SQL_END; at += size) {
        if (token == SQL_SPACE || token == SQL_COMMENT)
            continue;
        bool table = false;
        for (size_t i = 0; i < sizeof BEFORE_TABLE / sizeof *BEFORE_TABLE; i++)
            table = table || sql_word_is(before.data, before.size, BEFORE_TABLE[i]);
        char text[64];
        const char *hint;
        snprintf(text, sizeof text, "%.*s", (int)(name.size < 63 ? name.size : 63), name.size > 0 ? name.data : "");
        if (*at == '(' && name.size > 0 && !table && sql_function_refused(text, &hint)) {
            sql_fault(in->faults, line_of(in, at), hint, "the function is not allowed here: \"%s\"", text);
            return true;
        }
        bool quoted = token == SQL_NAME && size >= 2;
        before = name;
        name = token == SQL_WORD || quoted ? (cairn_str){at + quoted, size - 2 * quoted} : (cairn_str){0};
    }
    return false;
}

static bool
check_ddl(struct reading *in, const char *at, const char *end, uint32_t line)
{
    cairn_str words[10];
    size_t count = first_words(at, end, words, 10), i = 1;
    if (!word_at(words, count, 0, "create")) {
        sql_fault(in->faults, line, "what happens for an event stands in a section \"-- on TYPE\"",
                  "only CREATE TABLE, INDEX, VIEW, TRIGGER and VIRTUAL TABLE … USING fts5 belong in \"-- table\"");
        return false;
    }
    if (word_at(words, count, 1, "temp") || word_at(words, count, 1, "temporary")) {
        sql_fault(in->faults, line, "leave out the word", "a temporary %s would be gone after a restart",
                  word_at(words, count, 2, "table") ? "table" : "thing");
        return false;
    }
    if (defers(at, end)) {
        sql_fault(in->faults, line, "leave out INITIALLY DEFERRED", "a deferred constraint would be checked when a batch "
                  "of events ends, not with its event");
        return false;
    }
    if (calls_refused(in, at, end))
        return false;
    if (!word_at(words, count, i, "table"))
        return true;
    if (word_at(words, count, i + 1, "if"))
        i += 3;
    i += 2; /* table NAME */
    if (i < count && words[i].data[0] == '.')
        i += 2;
    if (word_at(words, count, i, "as")) {
        sql_fault(in->faults, line, "declare the columns", "CREATE TABLE … AS: tables are declared here, not made from "
                  "a query");
        return false;
    }
    return true;
}

static bool
check_change(struct reading *in, const char *at, const char *end, uint32_t line)
{
    static const char *const FIRST[] = {"insert", "replace", "update", "delete", "with"};
    cairn_str word = {0};
    (void)first_words(at, end, &word, 1);
    for (size_t i = 0; i < sizeof FIRST / sizeof *FIRST; i++)
        if (sql_word_is(word.data, word.size, FIRST[i]))
            return true;
    sql_fault(in->faults, line, sql_word_is(word.data, word.size, "create") ? "put it under \"-- table\""
              : sql_word_is(word.data, word.size, "select") ? "a SELECT alone changes nothing; queries have files of "
                                                              "their own"
                                                            : "INSERT, REPLACE, UPDATE, DELETE, or WITH before one",
              "%.*s cannot stand in a section \"-- on\"", (int)(word.size < 40 ? word.size : 40), word.data);
    return false;
}

static void
take_statement(struct reading *in, const char *at, const char *end)
{
    uint32_t line = line_of(in, at);
    struct projection *projection = in->projection;
    if (in->kind == SECTION_BROKEN)
        return;
    if (in->kind == SECTION_NONE) {
        if (!in->outside_told)
            sql_fault(in->faults, line, "begin with \"-- table\" or \"-- on TYPE\"", "SQL before the first section");
        in->outside_told = true;
        return;
    }
    bool ddl = in->kind == SECTION_TABLE;
    size_t *count = ddl ? &projection->ddl_count : &projection->statement_count;
    if (*count == PROJECTION_STATEMENTS_MAX) {
        if (!in->outside_told)
            sql_fault(in->faults, line, "split the projection", "more than %d statements", PROJECTION_STATEMENTS_MAX);
        in->outside_told = true;
        return;
    }
    if ((size_t)(end - at) > SQL_TEXT_MAX / 2) {
        sql_fault(in->faults, line, "", "a statement has %zu bytes; %d are allowed", (size_t)(end - at),
                  SQL_TEXT_MAX / 2);
        return;
    }
    struct statement statement = {.line = line, .section = (uint32_t)in->section_count - 1};
    bool good = ddl ? check_ddl(in, at, end, line) : check_change(in, at, end, line);
    good = map_parameters(in, at, end, &statement) && good;
    if (good)
        (ddl ? projection->ddl_statements : projection->statements)[(*count)++] = statement;
}

/* A trigger's body holds semicolons: it ends with "; END". */
struct splitter {
    const char *begin, *last; /* of the statement: its first byte, one past its last token */
    unsigned words;
    bool create, trigger;
    unsigned ended; /* 1: a semicolon, 2: END after it */
};

static void
note_token(struct splitter *split, enum sql_token token, const char *at, size_t size)
{
    if (split->begin == NULL)
        split->begin = at;
    split->last = at + size;
    unsigned word = split->words++;
    if (word == 0)
        split->create = sql_word_is(at, size, "create");
    else if (word <= 2 && split->create && sql_word_is(at, size, "trigger"))
        split->trigger = true;
    split->ended = token == SQL_SEMICOLON ? 1 : split->ended == 1 && sql_word_is(at, size, "end") ? 2 : 0;
}

static void
end_statement(struct reading *in, struct splitter *split)
{
    if (split->begin != NULL)
        take_statement(in, split->begin, split->last);
    *split = (struct splitter){0};
}

static bool
first_on_line(const struct reading *in, const char *at)
{
    while (at > in->text && (at[-1] == ' ' || at[-1] == '\t'))
        at--;
    return at == in->text || at[-1] == '\n' || at[-1] == '\r';
}

static void
read_all(struct reading *in)
{
    struct splitter split = {0};
    size_t size;
    const char *at = in->text;
    for (enum sql_token token; !in->no_memory && (token = sql_next(at, in->end, &size)) != SQL_END; at += size) {
        if (token == SQL_BROKEN) {
            sql_fault(in->faults, line_of(in, at), "close it", "%s that begins here does not end",
                      *at == '/' ? "the comment" : *at == '\'' ? "the string" : "the name");
            return;
        }
        if (token == SQL_COMMENT && *at == '-' && !in->table_only && first_on_line(in, at)) {
            struct splitter whole = split;
            enum section_kind kind = in->kind;
            size_t sections = in->section_count;
            if (take_directive(in, at)) { /* the statement before it belongs to the section before */
                enum section_kind new_kind = in->kind;
                size_t new_sections = in->section_count;
                in->kind = kind;
                in->section_count = sections;
                end_statement(in, &whole);
                in->kind = new_kind;
                in->section_count = new_sections;
                split = (struct splitter){0};
            }
            continue;
        }
        if (token == SQL_SPACE || token == SQL_COMMENT)
            continue;
        if (*at == '\0') {
            sql_fault(in->faults, line_of(in, at), "", "a zero byte in the file");
            return;
        }
        if (token == SQL_SEMICOLON && (!split.trigger || split.ended == 2 || split.begin == NULL)) {
            end_statement(in, &split);
            continue;
        }
        note_token(&split, token, at, size);
    }
    end_statement(in, &split);
}

/* ---- whole files ----------------------------------------------------------------------------------------- */

static cairn_err
reading_begin(struct reading *in, struct projection *projection, cairn_str text, struct sql_faults *faults,
              cairn_error *error)
{
    struct arena *arena = &projection->arena;
    *in = (struct reading){.projection = projection, .faults = faults, .text = text.data != NULL ? text.data : "",
                           .end = (text.data != NULL ? text.data : "") + text.size};
    in->sections = arena_alloc(arena, PROJECTION_SECTIONS_MAX * sizeof *in->sections);
    projection->ddl_statements = arena_alloc(arena, PROJECTION_STATEMENTS_MAX * sizeof *projection->ddl_statements);
    projection->statements = arena_alloc(arena, PROJECTION_STATEMENTS_MAX * sizeof *projection->statements);
    projection->slots = arena_alloc(arena, PROJECTION_SLOTS_MAX * sizeof *projection->slots);
    if (in->sections == NULL || projection->ddl_statements == NULL || projection->statements == NULL
        || projection->slots == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory to read a projection");
    return CAIRN_OK;
}

cairn_err
projection_read(struct projection *projection, cairn_str text, struct sql_faults *faults, cairn_error *error)
{
    struct reading in;
    cairn_err err = reading_begin(&in, projection, text, faults, error);
    if (err != CAIRN_OK)
        return err;
    read_all(&in);
    if (in.no_memory)
        return error_set(error, CAIRN_E_NOMEM, "no memory to read a projection");
    if (faults->count == 0 && projection->ddl_count == 0)
        sql_fault(faults, 0, "begin with a line \"-- table\" and a CREATE TABLE", "the projection has no table");
    if (faults->count == 0 && projection->statement_count == 0)
        sql_fault(faults, 0, "add a section \"-- on TYPE\" with an INSERT", "the projection does nothing for any event");
    return faults->count == 0 ? projection_plan_all(projection, in.sections, in.section_count, error) : CAIRN_OK;
}

cairn_err
projection_read_ddl(struct projection *projection, cairn_str text, struct sql_faults *faults, cairn_error *error)
{
    struct reading in;
    cairn_err err = reading_begin(&in, projection, text, faults, error);
    if (err != CAIRN_OK)
        return err;
    in.kind = SECTION_TABLE;
    in.table_only = true;
    read_all(&in);
    if (in.no_memory)
        return error_set(error, CAIRN_E_NOMEM, "no memory to read a projection");
    if (faults->count == 0 && projection->ddl_count == 0)
        sql_fault(faults, 0, "table = \"CREATE TABLE …\"", "the projection has no table");
    return CAIRN_OK;
}

/* SQL as text: tokens, directives in comments, lines, faults. Pure.
 *
 * Tokens follow SQLite's tokenizer (sqlite3GetToken), but a parameter may go on with dots and indices. */
#include "sql_int.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool
word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static bool
space_byte(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* Text between quotes, the quote doubled inside. The size goes past the closing quote. */
static enum sql_token
quoted(const char *at, const char *end, char close, enum sql_token token, size_t *ret_size)
{
    const char *p = at + 1;
    for (; p < end; p++)
        if (*p == close) {
            if (close != ']' && p + 1 < end && p[1] == close)
                p++;
            else {
                *ret_size = (size_t)(p + 1 - at);
                return token;
            }
        }
    *ret_size = (size_t)(end - at);
    return SQL_BROKEN;
}

static enum sql_token
block_comment(const char *at, const char *end, size_t *ret_size)
{
    for (const char *p = at + 2; p + 1 < end; p++)
        if (p[0] == '*' && p[1] == '/') {
            *ret_size = (size_t)(p + 2 - at);
            return SQL_COMMENT;
        }
    *ret_size = (size_t)(end - at);
    return SQL_BROKEN;
}

/* :name, then .name, ."any name" and [12] as often as they come. */
static size_t
parameter_size(const char *at, const char *end)
{
    const char *p = at + 1;
    while (p < end && word_byte(*p))
        p++;
    if (*at != ':')
        return (size_t)(p - at);
    for (;;) {
        if (p + 1 < end && *p == '.' && word_byte(p[1])) {
            p++;
            while (p < end && word_byte(*p))
                p++;
        } else if (p + 1 < end && *p == '.' && p[1] == '"') {
            size_t size;
            if (quoted(p + 1, end, '"', SQL_NAME, &size) == SQL_BROKEN)
                break;
            p += 1 + size;
        } else if (p + 1 < end && *p == '[' && isdigit((unsigned char)p[1])) {
            const char *q = p + 1;
            while (q < end && isdigit((unsigned char)*q))
                q++;
            if (q >= end || *q != ']')
                break;
            p = q + 1;
        } else
            break;
    }
    return (size_t)(p - at);
}

static size_t
number_size(const char *at, const char *end)
{
    const char *p = at;
    while (p < end && (word_byte(*p) || *p == '.' || ((*p == '+' || *p == '-') && (p[-1] == 'e' || p[-1] == 'E'))))
        p++;
    return (size_t)(p - at);
}

enum sql_token
sql_next(const char *at, const char *end, size_t *ret_size)
{
    *ret_size = at < end ? 1 : 0;
    if (at >= end)
        return SQL_END;
    char c = *at, next = at + 1 < end ? at[1] : 0;
    const char *p = at + 1;
    if (space_byte(c)) {
        while (p < end && space_byte(*p))
            p++;
        *ret_size = (size_t)(p - at);
        return SQL_SPACE;
    }
    if (c == '-' && next == '-') {
        while (p < end && *p != '\n')
            p++;
        *ret_size = (size_t)(p - at);
        return SQL_COMMENT;
    }
    if (c == '/' && next == '*')
        return block_comment(at, end, ret_size);
    if (c == '\'')
        return quoted(at, end, '\'', SQL_STRING, ret_size);
    if (c == '"' || c == '`')
        return quoted(at, end, c, SQL_NAME, ret_size);
    if (c == '[')
        return quoted(at, end, ']', SQL_NAME, ret_size);
    if (c == ';')
        return SQL_SEMICOLON;
    if (c == '?' || ((c == ':' || c == '@' || c == '$' || c == '#') && word_byte(next))) {
        *ret_size = parameter_size(at, end);
        return SQL_PARAM;
    }
    if ((c == 'x' || c == 'X') && next == '\'') {
        enum sql_token token = quoted(at + 1, end, '\'', SQL_BLOB, ret_size);
        ++*ret_size;
        return token;
    }
    if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)next))) {
        *ret_size = number_size(at, end);
        return SQL_NUMBER;
    }
    if (word_byte(c)) {
        while (p < end && word_byte(*p))
            p++;
        *ret_size = (size_t)(p - at);
        return SQL_WORD;
    }
    return SQL_PUNCT;
}

bool
sql_word_is(const char *at, size_t size, const char *word)
{
    return strlen(word) == size && sqlite3_strnicmp(at, word, (int)size) == 0;
}

uint32_t
sql_line(const char *text, const char *at)
{
    uint32_t line = 1;
    for (const char *p = text; p < at; p++)
        line += *p == '\n';
    return line;
}

cairn_str
sql_trim(cairn_str text)
{
    while (text.size > 0 && space_byte(text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && space_byte(text.data[text.size - 1]))
        text.size--;
    return text;
}

bool
sql_directive(const char *at, const char *end, cairn_str *ret_word, cairn_str *ret_rest, const char **ret_next)
{
    const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    *ret_next = stop != NULL ? stop + 1 : end;
    cairn_str line = sql_trim((cairn_str){at, (size_t)((stop != NULL ? stop : end) - at)});
    if (line.size < 2 || line.data[0] != '-' || line.data[1] != '-')
        return false;
    line = sql_trim((cairn_str){line.data + 2, line.size - 2});
    size_t size = 0;
    while (size < line.size && !space_byte(line.data[size]))
        size++;
    *ret_word = (cairn_str){line.data, size};
    *ret_rest = sql_trim((cairn_str){line.data + size, line.size - size});
    return true;
}

bool
sql_list_next(cairn_str *rest, cairn_str *ret_item)
{
    if (rest->data == NULL)
        return false;
    const char *comma = rest->size > 0 ? memchr(rest->data, ',', rest->size) : NULL;
    size_t size = comma != NULL ? (size_t)(comma - rest->data) : rest->size;
    *ret_item = sql_trim((cairn_str){rest->data, size});
    if (comma != NULL)
        *rest = (cairn_str){comma + 1, rest->size - size - 1};
    else
        *rest = (cairn_str){NULL, 0};
    return true;
}

/* ---- faults --------------------------------------------------------------------------------------- */

static void
visit_fault(struct sql_faults *faults, uint32_t line, bool warning, const char *hint, const char *format,
            va_list arguments)
{
    char message[512];
    vsnprintf(message, sizeof message, format, arguments);
    if (!warning && faults->count++ >= SQL_FAULTS_MAX)
        return;
    cairn_app_fault fault = {.file = faults->file, .line = line, .message = cairn_cstr(message),
                             .hint = cairn_cstr(hint), .warning = warning};
    if (faults->visit != NULL)
        faults->visit(faults->context, &fault);
}

void
sql_fault(struct sql_faults *faults, uint32_t line, const char *hint, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    visit_fault(faults, line, false, hint, format, arguments);
    va_end(arguments);
}

void
sql_warning(struct sql_faults *faults, uint32_t line, const char *hint, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    visit_fault(faults, line, true, hint, format, arguments);
    va_end(arguments);
}

/* ---- did you mean --------------------------------------------------------------------------------- */

#define NEAREST_MAX 40 /* bytes of words that are compared at all */

/* Levenshtein, one row at a time. */
static size_t
edit_distance(cairn_str a, cairn_str b)
{
    size_t row[NEAREST_MAX + 1];
    for (size_t j = 0; j <= b.size; j++)
        row[j] = j;
    for (size_t i = 0; i < a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.size; j++) {
            bool same = tolower((unsigned char)a.data[i]) == tolower((unsigned char)b.data[j]);
            size_t best = diagonal + !same;
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j + 1] + 1 < best)
                best = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[b.size];
}

struct sql_nearest
sql_nearest(cairn_str word)
{
    return (struct sql_nearest){.word = word, .distance = word.size / 3 + 2};
}

void
sql_nearest_try(struct sql_nearest *nearest, cairn_str candidate)
{
    if (nearest->word.size > NEAREST_MAX || candidate.size > NEAREST_MAX)
        return;
    size_t distance = edit_distance(nearest->word, candidate);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->best = candidate;
    }
}

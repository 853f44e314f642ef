/* CSV, a row at a time. See csv.h. */
#include "csv.h"

#include <base/error.h>
#include <errno.h>

/* -1 at the end of the file, -2 when reading failed. */
static int
peek(struct csv *csv)
{
    if (csv->chunk_at == csv->chunk_size) {
        csv->chunk_at = 0;
        csv->chunk_size = fread(csv->chunk, 1, sizeof csv->chunk, csv->file);
        csv->bytes += csv->chunk_size;
        if (csv->chunk_size == 0)
            return ferror(csv->file) ? -2 : -1;
    }
    return (unsigned char)csv->chunk[csv->chunk_at];
}

static int
next(struct csv *csv)
{
    int c = peek(csv);
    if (c >= 0)
        csv->chunk_at++;
    csv->next_line += c == '\n';
    return c;
}

static void
skip_mark(struct csv *csv)
{
    static const unsigned char mark[] = {0xEF, 0xBB, 0xBF};
    csv->begun = true;
    csv->next_line = 1;
    if (peek(csv) == mark[0] && csv->chunk_size >= 3 && memcmp(csv->chunk, mark, 3) == 0)
        csv->chunk_at = 3;
}

static cairn_err
put(struct csv *csv, int c, cairn_error *error)
{
    if (csv->text.size >= CSV_ROW_MAX)
        return error_set(error, CAIRN_E_LIMIT,
                         "line %llu: the row is longer than %u bytes (a quote that is never closed?)",
                         (unsigned long long)csv->line, CSV_ROW_MAX);
    buf_put_char(&csv->text, (char)c);
    return csv->text.failed ? error_set(error, CAIRN_E_NOMEM, "out of memory") : CAIRN_OK;
}

/* The rest of a field after its opening quote. */
static cairn_err
quoted(struct csv *csv, cairn_error *error)
{
    for (;;) {
        int c = next(csv);
        if (c == '"' && peek(csv) != '"')
            break;
        if (c == '"')
            next(csv);
        if (c < 0)
            return error_set(error, CAIRN_E_INVALID, "line %llu: a quote is never closed",
                             (unsigned long long)csv->line);
        cairn_err err = put(csv, c, error);
        if (err != CAIRN_OK)
            return err;
    }
    int c = peek(csv);
    if (c != csv->separator && c != '\n' && c != '\r' && c >= 0)
        return error_set(error, CAIRN_E_INVALID, "line %llu: text after a closing quote",
                         (unsigned long long)csv->next_line);
    return CAIRN_OK;
}

/* A field up to, and without, its separator or line end. */
static cairn_err
field(struct csv *csv, cairn_error *error)
{
    if (peek(csv) == '"') {
        next(csv);
        return quoted(csv, error);
    }
    for (;;) {
        int c = peek(csv);
        if (c < 0 || c == csv->separator || c == '\n')
            return CAIRN_OK;
        if (c == '\r') {
            next(csv);
            if (peek(csv) == '\n' || peek(csv) < 0)
                return CAIRN_OK;
            c = '\r'; /* one that ends no line */
        } else {
            next(csv);
        }
        cairn_err err = put(csv, c, error);
        if (err != CAIRN_OK)
            return err;
    }
}

/* Fields are found by size while the buffer may still move; their places are set at the end. */
static cairn_err
row(struct csv *csv, cairn_error *error)
{
    for (;;) {
        size_t begin = csv->text.size;
        cairn_err err = field(csv, error);
        if (err != CAIRN_OK)
            return err;
        if (csv->field_count == CSV_FIELDS_MAX)
            return error_set(error, CAIRN_E_LIMIT, "line %llu: more than %d fields", (unsigned long long)csv->line,
                             CSV_FIELDS_MAX);
        csv->fields[csv->field_count++].size = csv->text.size - begin;
        int c = next(csv);
        if (c == '\r')
            c = peek(csv) == '\n' ? next(csv) : c; /* after a closing quote */
        if (c == csv->separator)
            continue;
        if (c == '\n' || c == -1)
            return CAIRN_OK;
        if (c == -2)
            return error_set_errno(error, errno ? errno : EIO, "cannot read the input");
        return error_set(error, CAIRN_E_INVALID, "line %llu: a line ends in CR alone", (unsigned long long)csv->line);
    }
}

cairn_err
csv_next(struct csv *csv, cairn_error *error)
{
    if (!csv->separator)
        csv->separator = ',';
    if (!csv->begun)
        skip_mark(csv);
    do {
        if (peek(csv) == -1)
            return CAIRN_E_END;
        csv->line = csv->next_line;
        csv->field_count = 0;
        buf_clear(&csv->text);
        cairn_err err = row(csv, error);
        if (err != CAIRN_OK)
            return err;
    } while (csv->field_count == 1 && csv->text.size == 0);
    const char *at = csv->text.data ? csv->text.data : ""; /* a row of empty fields takes no memory */
    for (size_t i = 0; i < csv->field_count; i++) {
        csv->fields[i].data = at;
        at += csv->fields[i].size;
    }
    return CAIRN_OK;
}

void
csv_free(struct csv *csv)
{
    buf_free(&csv->text);
}

/* Read JSON objects one after the other from a file, without holding more than one. See event_json.h. */
#include "event_json.h"

#include <base/error.h>
#include <errno.h>

#define VALUE_MAX (32u << 20)
#define READ_STEP (64u << 10)

/* Bring more bytes in. False at the end of the file. */
static cairn_err
fill(struct json_source *source, bool *ret_more, cairn_error *error)
{
    if (source->at > 0 && source->at >= source->buf.size / 2) {
        memmove(source->buf.data, source->buf.data + source->at, source->buf.size - source->at);
        source->buf.size -= source->at;
        source->at = 0;
    }
    if (!buf_reserve(&source->buf, READ_STEP))
        return error_set(error, CAIRN_E_NOMEM, "out of memory for an object of %zu bytes", source->buf.size);
    size_t got = fread(source->buf.data + source->buf.size, 1, READ_STEP, source->file);
    if (got == 0 && ferror(source->file))
        return error_set_errno(error, errno ? errno : EIO, "cannot read the input");
    source->buf.size += got;
    source->bytes += got;
    *ret_more = got > 0;
    return CAIRN_OK;
}

/* Move to the next byte that is not white space; *ret_c is -1 at the end of the file. */
static cairn_err
skip_space(struct json_source *source, int *ret_c, cairn_error *error)
{
    for (;;) {
        for (; source->at < source->buf.size; source->at++) {
            unsigned char c = (unsigned char)source->buf.data[source->at];
            if (c == '\n')
                source->next_line++;
            else if (c != ' ' && c != '\t' && c != '\r') {
                *ret_c = c;
                return CAIRN_OK;
            }
        }
        bool more;
        cairn_err err = fill(source, &more, error);
        if (err != CAIRN_OK)
            return err;
        if (!more) {
            *ret_c = -1;
            return CAIRN_OK;
        }
    }
}

/* Find the end of the object that begins at `at`: its braces balance outside strings. */
static cairn_err
find_end(struct json_source *source, size_t *ret_size, cairn_error *error)
{
    size_t depth = 0, i = 0, max = source->value_max ? source->value_max : VALUE_MAX;
    bool in_string = false, escaped = false;
    for (;;) {
        for (; source->at + i < source->buf.size; i++) {
            char c = source->buf.data[source->at + i];
            source->next_line += c == '\n';
            if (in_string) {
                in_string = escaped || c != '"';
                escaped = !escaped && c == '\\';
            } else if (c == '"') {
                in_string = true;
            } else if (c == '{' || c == '[') {
                depth++;
            } else if ((c == '}' || c == ']') && --depth == 0) {
                *ret_size = i + 1;
                return CAIRN_OK;
            }
        }
        bool more;
        if (i > max)
            return error_set(error, CAIRN_E_LIMIT, "line %llu: an object of more than %zu bytes",
                             (unsigned long long)source->line, max);
        cairn_err err = fill(source, &more, error);
        if (err != CAIRN_OK)
            return err;
        if (!more)
            return error_set(error, CAIRN_E_INVALID, "line %llu: the input ends inside an object",
                             (unsigned long long)source->line);
    }
}

/* Everything before the next object: a byte-order mark, "[" and "," of an array, its "]". */
static cairn_err
find_begin(struct json_source *source, cairn_error *error)
{
    int c;
    cairn_err err = skip_space(source, &c, error);
    if (err != CAIRN_OK)
        return err;
    if (!source->begun) {
        source->begun = true;
        source->next_line++;
        bool more = true;
        while (c == 0xEF && source->buf.size - source->at < 3 && more)
            if ((err = fill(source, &more, error)) != CAIRN_OK)
                return err;
        if (c == 0xEF && source->buf.size - source->at >= 3 &&
            memcmp(source->buf.data + source->at, "\xEF\xBB\xBF", 3) == 0) {
            source->at += 3;
            err = skip_space(source, &c, error);
        }
        if (err == CAIRN_OK && c == '[') {
            source->in_array = true;
            source->at++;
            err = skip_space(source, &c, error);
        }
    } else if (source->in_array && source->want_comma && c == ',') {
        source->at++;
        err = skip_space(source, &c, error);
        if (err == CAIRN_OK && c == ']')
            err = error_set(error, CAIRN_E_INVALID, "line %llu: a ',' with nothing after it",
                            (unsigned long long)source->next_line);
    } else if (source->in_array && c != ']' && c != -1) {
        return error_set(error, CAIRN_E_INVALID, "line %llu: expected ',' or ']'",
                         (unsigned long long)source->next_line);
    }
    if (err != CAIRN_OK)
        return err;
    if (source->in_array && c == ']') {
        source->in_array = false;
        source->at++;
        err = skip_space(source, &c, error);
        if (err == CAIRN_OK && c != -1)
            err = error_set(error, CAIRN_E_INVALID, "line %llu: more after the array's ']'",
                            (unsigned long long)source->next_line);
        return err == CAIRN_OK ? CAIRN_E_END : err;
    }
    if (c == -1)
        return source->in_array ? error_set(error, CAIRN_E_INVALID, "the input ends inside an array") : CAIRN_E_END;
    if (c != '{')
        return error_set(error, CAIRN_E_INVALID, "line %llu: expected an object, found '%c'",
                         (unsigned long long)source->next_line, c > 0x20 && c < 0x7F ? c : '?');
    return CAIRN_OK;
}

cairn_err
json_source_next(struct json_source *source, struct json *ret, cairn_error *error)
{
    if (source->finished)
        return CAIRN_E_END;
    cairn_err err = find_begin(source, error);
    if (err == CAIRN_E_END)
        source->finished = true;
    if (err != CAIRN_OK)
        return err;
    size_t size = 0;
    source->line = source->next_line;
    err = find_end(source, &size, error);
    if (err != CAIRN_OK)
        return err;
    cairn_error why = {0};
    err = json_check((cairn_str){source->buf.data + source->at, size}, ret, &why);
    if (err != CAIRN_OK)
        return error_set(error, err, "line %llu: %s", (unsigned long long)source->line, why.detail);
    source->at += size;
    source->want_comma = true;
    return CAIRN_OK;
}

void
json_source_free(struct json_source *source)
{
    buf_free(&source->buf);
}

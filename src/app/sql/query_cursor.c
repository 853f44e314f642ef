/* Cursors: where a page ended, as a text that callers hand back and cannot make anything else of.
 *
 *   version u8 · query's name u32 · its SQL u32 · columns u8 · {column << 1 | descending}… · value… · CRC32C u32
 *   value: 0 NULL · 1 zigzag varint · 2 double · 3 size, text · 4 size, bytes
 *
 * The checksum finds damage. It keeps nobody from making a cursor up; that would give him no more than a page of a
 * query that he may ask anyway, for the values are only ever bound. */
#include "query_int.h"

#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>

#define CURSOR_VERSION 1
#define CURSOR_HEAD 10

static void
put_varint(struct buf *to, uint64_t n)
{
    uint8_t bytes[VARINT_MAX];
    buf_put(to, bytes, (size_t)(varint_put(bytes, n) - bytes));
}

static void
put_value(struct buf *to, sqlite3_stmt *row, int column)
{
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_INTEGER: {
        int64_t n = sqlite3_column_int64(row, column);
        buf_put_char(to, 1);
        put_varint(to, ((uint64_t)n << 1) ^ (uint64_t)(n >> 63));
        break;
    }
    case SQLITE_FLOAT: {
        double real = sqlite3_column_double(row, column);
        buf_put_char(to, 2);
        buf_put(to, &real, sizeof real);
        break;
    }
    case SQLITE_TEXT:
    case SQLITE_BLOB: {
        bool text = sqlite3_column_type(row, column) == SQLITE_TEXT;
        const void *bytes = text ? (const void *)sqlite3_column_text(row, column) : sqlite3_column_blob(row, column);
        size_t size = (size_t)sqlite3_column_bytes(row, column);
        buf_put_char(to, text ? 3 : 4);
        put_varint(to, size);
        if (size > QUERY_CURSOR_BYTES || (bytes == NULL && size > 0))
            to->failed = true;
        else
            buf_put(to, bytes, size);
        break;
    }
    default: buf_put_char(to, 0); break;
    }
}

/* base64url without padding, of what stands at to->data + from. */
static void
put_url(struct buf *to, cairn_str bytes)
{
    size_t from = to->size;
    base64_put(to, bytes);
    if (to->failed)
        return;
    while (to->size > from && to->data[to->size - 1] == '=')
        to->size--;
    for (char *p = to->data + from; p < to->data + to->size; p++)
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
}

cairn_err
query_cursor_put(const struct query *query, const struct query_args *args, sqlite3_stmt *row, struct buf *to,
                 cairn_error *error)
{
    uint8_t head[CURSOR_HEAD] = {CURSOR_VERSION};
    struct buf bytes = {0};
    cairn_err err = CAIRN_OK;

    store32(head + 1, query->name_hash);
    store32(head + 5, query->sql_hash);
    head[9] = (uint8_t)args->sort_count;
    buf_put(&bytes, head, sizeof head);
    for (size_t i = 0; i < args->sort_count; i++)
        buf_put_char(&bytes, (char)(args->sort[i].column << 1 | args->sort[i].descending));
    for (size_t i = 0; i < args->sort_count && !bytes.failed; i++)
        put_value(&bytes, row, args->sort[i].column);
    if (bytes.size > QUERY_CURSOR_BYTES - 4 || bytes.failed) {
        err = error_set(error, CAIRN_E_LIMIT,
                        "query \"%.*s\": the values that the page ends at are longer than the %d bytes a cursor holds; "
                        "sort by a shorter column",
                        (int)query->name.size, query->name.data, QUERY_CURSOR_BYTES);
        goto done;
    }
    uint8_t check[4];
    store32(check, crc32c(0, bytes.data, bytes.size));
    buf_put(&bytes, check, sizeof check);
    put_url(to, buf_str(&bytes));
done:
    buf_free(&bytes);
    return err;
}

static const uint8_t *
get_value(const uint8_t *at, const uint8_t *end, struct query_value *ret)
{
    uint64_t n;
    if (at == NULL || at >= end)
        return NULL;
    switch (*at++) {
    case 0: ret->kind = SQLITE_NULL; return at;
    case 1:
        if ((at = varint_get(at, end, &n)) == NULL)
            return NULL;
        ret->kind = SQLITE_INTEGER;
        ret->whole = (int64_t)((n >> 1) ^ (0 - (n & 1)));
        return at;
    case 2:
        if (end - at < 8)
            return NULL;
        ret->kind = SQLITE_FLOAT;
        memcpy(&ret->real, at, 8);
        return ret->real == ret->real ? at + 8 : NULL;
    case 3:
    case 4:
        ret->kind = at[-1] == 3 ? SQLITE_TEXT : SQLITE_BLOB;
        if ((at = varint_get(at, end, &n)) == NULL || n > (uint64_t)(end - at))
            return NULL;
        ret->text = (cairn_str){(const char *)at, n};
        return at + n;
    default: return NULL;
    }
}

static bool
same_sort(const struct query_args *args, const uint8_t *columns, size_t count)
{
    if (count != args->sort_count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (columns[i] != (args->sort[i].column << 1 | args->sort[i].descending))
            return false;
    return true;
}

/* The sort that the cursor names, when it is one that the query offers. */
static bool
take_sort(const struct query *query, struct query_args *args, const uint8_t *columns, size_t count)
{
    if (count == 0 || count > QUERY_SORT_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t column = columns[i] >> 1;
        if (column >= query->column_count || !(query->columns[column].sort || query->columns[column].key))
            return false;
        args->sort[i] = (struct query_sort){(uint8_t)column, columns[i] & 1};
    }
    args->sort_count = count;
    return true;
}

cairn_err
query_cursor_get(const struct query *query, cairn_str cursor, struct buf *bytes, struct query_args *args,
                 cairn_error *error)
{
    static const char BROKEN[] = "cursor: it is not one that a page ended with; pass on \"next\" as it was given";
    buf_clear(bytes);
    if (cursor.size > QUERY_CURSOR_BYTES * 4 / 3 + 4 || !base64_get(bytes, cursor) || bytes->size < CURSOR_HEAD + 4)
        return error_set(error, bytes->failed ? CAIRN_E_NOMEM : CAIRN_E_INVALID, "%s", BROKEN);

    const uint8_t *at = (const uint8_t *)bytes->data, *end = at + bytes->size - 4;
    if (load32(end) != crc32c(0, at, (size_t)(end - at)) || at[0] != CURSOR_VERSION)
        return error_set(error, CAIRN_E_INVALID, "%s", BROKEN);
    if (load32(at + 1) != query->name_hash)
        return error_set(error, CAIRN_E_INVALID, "cursor: it belongs to another query than \"%.*s\"",
                         (int)query->name.size, query->name.data);
    if (load32(at + 5) != query->sql_hash)
        return error_set(error, CAIRN_E_INVALID,
                         "cursor: query \"%.*s\" has been changed since; begin with the first page again",
                         (int)query->name.size, query->name.data);
    size_t count = at[9];
    const uint8_t *columns = at + CURSOR_HEAD;
    if (count > (size_t)(end - columns))
        return error_set(error, CAIRN_E_INVALID, "%s", BROKEN);
    if (args->sort_given ? !same_sort(args, columns, count) : !take_sort(query, args, columns, count))
        return error_set(error, CAIRN_E_INVALID, "cursor: it was made under another sort than this call's");
    at = columns + count;
    for (size_t i = 0; i < count; i++)
        at = get_value(at, end, &args->after[i]);
    if (at != end)
        return error_set(error, CAIRN_E_INVALID, "%s", BROKEN);
    args->part = PART_AFTER;
    return CAIRN_OK;
}

/* Functions of SQLite's that take time with the product of their arguments' sizes, and during which neither a deadline nor a
 * count of steps is looked at: here with the same results in time with the sum, or refused beyond a bound. (SQLite 3.40, func.c: instrFunc,
 * replaceFunc, trimFunc.) json_patch(), which is of that kind too, is refused by the authoriser. */
#include "sql_int.h"

#include <base/error.h>
#include <base/utf8.h>

#define TRIM_SET_MAX 256 /* bytes of characters to trim away */

static cairn_str
text_of(sqlite3_value *value)
{
    const void *text = sqlite3_value_text(value);
    return (cairn_str){text, text != NULL ? (size_t)sqlite3_value_bytes(value) : 0};
}

static cairn_str
blob_of(sqlite3_value *value)
{
    const void *blob = sqlite3_value_blob(value);
    return (cairn_str){blob != NULL ? blob : "", (size_t)sqlite3_value_bytes(value)};
}

static bool
any_null(sqlite3_value **values, int count)
{
    for (int i = 0; i < count; i++)
        if (sqlite3_value_type(values[i]) == SQLITE_NULL)
            return true;
    return false;
}

/* memmem() a window at a time: what one call looks at beyond the place it finds would be looked at again by the next. */
static const char *
find(const char *at, const char *end, cairn_str what)
{
    size_t step = what.size > 4096 ? what.size : 4096;
    for (; (size_t)(end - at) >= what.size; at += step) {
        size_t rest = (size_t)(end - at), window = rest - what.size < step ? rest : step + what.size - 1;
        const char *found = memmem(at, window, what.data, what.size);
        if (found != NULL || window == rest)
            return found;
    }
    return NULL;
}

/* Where Y first is in X, from 1; 0: nowhere. Bytes when both are blobs, else characters. */
static void
instr(sqlite3_context *context, int count, sqlite3_value **values)
{
    if (any_null(values, count))
        return;
    bool blobs = sqlite3_value_type(values[0]) == SQLITE_BLOB && sqlite3_value_type(values[1]) == SQLITE_BLOB;
    cairn_str x = blobs ? blob_of(values[0]) : text_of(values[0]), y = blobs ? blob_of(values[1]) : text_of(values[1]);
    if (x.data == NULL || y.data == NULL) {
        sqlite3_result_error_nomem(context);
        return;
    }
    const char *found = y.size == 0 ? x.data : find(x.data, x.data + x.size, y);
    sqlite3_int64 place = found != NULL;
    for (const char *p = x.data; found != NULL && p < found; p++)
        place += blobs || ((unsigned char)*p & 0xC0) != 0x80;
    sqlite3_result_int64(context, place);
}

/* X with every Y turned into Z. */
static void
replace(sqlite3_context *context, int count, sqlite3_value **values)
{
    if (any_null(values, count))
        return;
    cairn_str x = text_of(values[0]), y = text_of(values[1]), z = text_of(values[2]);
    if (x.data == NULL || y.data == NULL || z.data == NULL) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (y.size == 0) {
        sqlite3_result_value(context, values[0]);
        return;
    }
    struct buf to = {0};
    size_t max = (size_t)sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1);
    const char *at = x.data, *end = x.data + x.size;
    for (const char *found; to.size <= max && (found = find(at, end, y)) != NULL; at = found + y.size) {
        buf_put(&to, at, (size_t)(found - at));
        buf_put_str(&to, z);
    }
    buf_put(&to, at, (size_t)(end - at));
    if (to.failed)
        sqlite3_result_error_nomem(context);
    else
        sqlite3_result_text64(context, to.size ? to.data : "", to.size, SQLITE_TRANSIENT, SQLITE_UTF8); /* too large: SQLite says so */
    buf_free(&to);
}

/* How many bytes at the beginning (or end) of x one character of the set takes up; 0: none does. */
static size_t
trim_one(cairn_str x, cairn_str set, bool at_end)
{
    for (const char *p = set.data, *end = set.data + set.size; p < end;) {
        int sequence = utf8_sequence((const uint8_t *)p, (const uint8_t *)end);
        size_t size = (size_t)(sequence < 0 ? 1 : sequence);
        if (size <= x.size && memcmp(at_end ? x.data + x.size - size : x.data, p, size) == 0)
            return size;
        p += size;
    }
    return 0;
}

enum { TRIM_LEFT = 1, TRIM_RIGHT = 2 };

static void
trim(sqlite3_context *context, int count, sqlite3_value **values)
{
    if (any_null(values, count))
        return;
    int sides = (int)(intptr_t)sqlite3_user_data(context);
    cairn_str x = text_of(values[0]), set = count > 1 ? text_of(values[1]) : CAIRN_STR(" ");
    if (x.data == NULL || set.data == NULL) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (set.size > TRIM_SET_MAX) {
        sqlite3_result_error(context, "too many characters to trim", -1);
        return;
    }
    for (size_t size; (sides & TRIM_LEFT) && (size = trim_one(x, set, false)) > 0;)
        x = (cairn_str){x.data + size, x.size - size};
    for (size_t size; (sides & TRIM_RIGHT) && (size = trim_one(x, set, true)) > 0;)
        x.size -= size;
    sqlite3_result_text64(context, x.data, x.size, SQLITE_TRANSIENT, SQLITE_UTF8);
}

cairn_err
sql_functions_set(sqlite3 *db, cairn_error *error)
{
    static const struct {
        const char *name;
        int count, sides;
        void (*function)(sqlite3_context *, int, sqlite3_value **);
    } FUNCTIONS[] = {
        {"instr", 2, 0, instr},
        {"replace", 3, 0, replace},
        {"trim", 1, TRIM_LEFT | TRIM_RIGHT, trim},
        {"trim", 2, TRIM_LEFT | TRIM_RIGHT, trim},
        {"ltrim", 1, TRIM_LEFT, trim},
        {"ltrim", 2, TRIM_LEFT, trim},
        {"rtrim", 1, TRIM_RIGHT, trim},
        {"rtrim", 2, TRIM_RIGHT, trim},
    };
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++) {
        int rc = sqlite3_create_function_v2(db, FUNCTIONS[i].name, FUNCTIONS[i].count,
                                            SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
                                            (void *)(intptr_t)FUNCTIONS[i].sides, FUNCTIONS[i].function, NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            return sql_failed(db, rc, "opening the read model", error);
    }
    return CAIRN_OK;
}

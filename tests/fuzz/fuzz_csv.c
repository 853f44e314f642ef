/* Any bytes as CSV: it ends, within its bounds, and what it reads has the same fields when written out quoted
 * and read again. */
#include <stdint.h>
#include <stdlib.h>

#include "../../cli/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct csv *
open_text(const void *text, size_t size, char separator)
{
    struct csv *csv = calloc(1, sizeof *csv);
    if (!csv)
        abort();
    csv->file = fmemopen((void *)(uintptr_t)text, size, "rb");
    csv->separator = separator;
    if (!csv->file)
        abort();
    return csv;
}

static void
close_text(struct csv *csv)
{
    fclose(csv->file);
    csv_free(csv);
    free(csv);
}

/* The row in its most careful form. */
static void
write_row(struct buf *to, const struct csv *csv)
{
    for (size_t i = 0; i < csv->field_count; i++) {
        if (i > 0)
            buf_put_char(to, ',');
        buf_put_char(to, '"');
        for (size_t j = 0; j < csv->fields[i].size; j++) {
            if (csv->fields[i].data[j] == '"')
                buf_put_char(to, '"');
            buf_put_char(to, csv->fields[i].data[j]);
        }
        buf_put_char(to, '"');
    }
    buf_put_str(to, CAIRN_STR("\r\n"));
}

static void
check_again(const struct csv *csv)
{
    struct buf text = {0};
    cairn_error error;
    write_row(&text, csv);
    struct csv *again = open_text(text.data, text.size, ',');
    if (text.size < CSV_ROW_MAX) {
        if (csv_next(again, &error) != CAIRN_OK || again->field_count != csv->field_count)
            abort();
        for (size_t i = 0; i < csv->field_count; i++)
            if (!cairn_str_equal(again->fields[i], csv->fields[i]))
                abort();
        if (csv_next(again, &error) != CAIRN_E_END)
            abort();
    }
    close_text(again);
    buf_free(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char separators[] = {',', ';', '\t', '|'};
    cairn_error error = {0};
    if (size < 2)
        return 0;
    struct csv *csv = open_text(data + 1, size - 1, separators[data[0] % sizeof separators]);
    cairn_err err;
    while ((err = csv_next(csv, &error)) == CAIRN_OK)
        if (csv->field_count > 1 || csv->fields[0].size > 0)
            check_again(csv);
    if (err != CAIRN_E_END && err != CAIRN_E_INVALID && err != CAIRN_E_LIMIT)
        abort();
    close_text(csv);
    return 0;
}

/* cli/csv.h: CSV as RFC 4180 has it, a row at a time, with bounded memory.
 *
 * Fields may be quoted; a quoted field may hold separators, line breaks and doubled quotes. Lines end in LF or
 * CRLF; a byte-order mark at the beginning is skipped; an empty line is skipped. What the standard leaves open:
 * a quote inside a field that does not begin with one is taken as it is; text after a closing quote is an error. */
#ifndef CLI_CSV_H
#define CLI_CSV_H

#include <base/bytes.h>
#include <stdio.h>

#define CSV_FIELDS_MAX 4096
#define CSV_ROW_MAX (1u << 20)

/* Zero it, set file and separator (0: ','). */
struct csv {
    FILE *file;       /* borrowed */
    char separator;
    uint64_t line;    /* on which the row last returned began, from 1 */
    uint64_t bytes;   /* read so far */

    struct buf text;  /* the row's fields, one after the other */
    cairn_str fields[CSV_FIELDS_MAX];
    size_t field_count;
    char chunk[16384];
    size_t chunk_at, chunk_size;
    uint64_t next_line;
    bool begun;
};

/* The next row: csv->fields, borrowed until the next call. CAIRN_E_END after the last.
 * CAIRN_E_INVALID, CAIRN_E_LIMIT: the detail names the line. */
CAIRN_MUST_CHECK cairn_err csv_next(struct csv *csv, cairn_error *error);
void csv_free(struct csv *csv);

#endif

/* cli/out.h: everything `cairn` says: aligned tables, colours, progress, errors, machine output.
 *
 * Results go to stdout, everything else to stderr. Colours only where the stream is a terminal and
 * NO_COLOR is not set (no-color.org). Used by the main thread only, except note(). */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <base/bytes.h>
#include <base/json.h>
#include <base/text.h>
#include <stdio.h>

#include "exit_codes.h"

/* Set once by main before anything is said. */
struct out {
    bool json;
    bool quiet;
    bool verbose;
    bool colour;       /* stdout */
    bool err_colour;   /* stderr */
    bool err_terminal; /* stderr is a terminal: progress bars make sense */
    unsigned width;    /* columns of stdout; 0 when it is no terminal */
};
extern struct out out;

/* when: "auto" (or NULL), "always", "never". False when it is none of them. */
bool out_begin(const char *when);
/* Flush stdout. Ends the program quietly when the reader of a pipe has gone, with an error when
 * the output cannot be written. Returns `code`, or EXIT_FAILED. */
int out_end(int code);
/* Write bytes to stdout; false when that failed (the program should stop; out_end says why). */
bool out_write(cairn_str bytes);
/* A line of JSON on stdout: writes, flushes when following, and clears the buffer. */
bool out_json_line(struct buf *line);

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_GREEN, STYLE_YELLOW, STYLE_RED, STYLE_CYAN };
const char *style_on(enum style style);  /* for stdout; "" without colours */
const char *style_off(void);

/* "cairn: what: detail", then "hint: …" where there is one. Under --json one object on stderr. Returns
 * the code. detail is printf; hint may be NULL. */
__attribute__((format(printf, 4, 5))) int fail(int code, const char *what, const char *hint,
                                               const char *format, ...);
/* The same for an error that a call answered. The hint is the library's for its code. */
int fail_error(const char *what, const cairn_error *error);
int fail_hint(const char *what, const cairn_error *error, const char *hint);
/* The same with another exit code (0: the error's); under --json the object also carries `problem`, a JSON value as the
 * server gave it (or empty). */
int fail_problem(int code, const char *what, const cairn_error *error, const char *hint, cairn_str problem);
/* A colour for stderr; "" without colours. */
const char *style_on_err(enum style style);

/* A remark on stderr, left out with --quiet. */
__attribute__((format(printf, 1, 2))) void note(const char *format, ...);

/* Make bytes fit to print on a terminal: control characters become visible, so that stored text
 * cannot send escape sequences. */
void put_printable(struct buf *to, cairn_str text, size_t columns_max);
size_t columns_of(cairn_str text);

/* ---- tables: columns as wide as their widest cell among the rows shown together -------------- */

#define TABLE_COLUMNS_MAX 32
struct table_column {
    const char *title;
    bool right;        /* numbers */
    enum style style;
};
struct table {
    const struct table_column *columns;
    size_t column_count;
    bool no_header, header_done;
    size_t width[TABLE_COLUMNS_MAX];
    struct buf cells;  /* u32 size ‖ bytes, row after row */
    size_t row_count;
};
void table_begin(struct table *table, const struct table_column *columns, size_t column_count);
void table_cell(struct table *table, cairn_str text);
__attribute__((format(printf, 2, 3))) void table_cellf(struct table *table, const char *format, ...);
/* Print the rows gathered. Widths only grow, so that what follows stays aligned. */
void table_flush(struct table *table);
void table_end(struct table *table);

/* ---- progress on stderr, at most ten times a second ------------------------------------------ */

struct progress {
    const char *doing;
    int64_t begun_us, shown_us;
    uint64_t done, total; /* total 0: unknown */
    const char *unit;     /* "bytes" are shown as sizes */
    char extra[48];       /* shown at the end of the line */
    bool shown;
};
void progress_begin(struct progress *progress, const char *doing);
void progress_update(struct progress *progress, uint64_t done, uint64_t total, const char *unit);
void progress_end(struct progress *progress);

int64_t clock_us(void); /* monotonic */
int64_t wall_us(void);  /* since 1970 */

/* Set by SIGINT and SIGTERM. Long work looks at it and stops cleanly. */
extern volatile int interrupted;
void catch_interrupts(void);

#endif

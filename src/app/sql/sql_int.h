/* app/sql/sql_int.h: what projections, runners and queries share inside the room: hardened SQLite connections, the
 * event's time as SQLite's clock, a tokenizer, and faults with file and line.
 *
 * Threads: a connection belongs to one thread at a time (opened without SQLite's own mutex). */
#ifndef APP_SQL_SQL_INT_H
#define APP_SQL_SQL_INT_H

#include <base/bytes.h>
#include <cairn/app.h>
#include <sqlite3.h>

/* ---- connections (sql_open.c) ----------------------------------------------------------------- */

enum sql_use {
    SQL_SCRATCH, /* in memory, for trying; path is not looked at */
    SQL_MODEL,   /* a read model that is written: made when missing */
    SQL_READ,    /* a read model that is read. Never makes the file. Deleting the file under it is fine */
};

/* Open with everything that users' SQL could abuse switched off or bounded: extensions, double-quoted strings, writable
 * schema, unbounded lengths, depths and program sizes. No authoriser is set. CAIRN_E_CORRUPT: not a database. */
CAIRN_MUST_CHECK cairn_err sql_open(const char *path, enum sql_use use, sqlite3 **ret, cairn_error *error);
void sql_close(sqlite3 *db); /* NULL is fine */

/* SQLite's result as ours: FULL → NOSPACE, NOMEM, BUSY and LOCKED → BUSY, INTERRUPT → TIMEOUT, CORRUPT and NOTADB →
 * CORRUPT, IOERR and CANTOPEN → IO, TOOBIG → LIMIT, READONLY → READONLY, AUTH → DENIED, all else → SCRIPT. */
cairn_err sql_err(int rc);
/* The same with a detail: "<what>: <SQLite's message>". */
cairn_err sql_failed(sqlite3 *db, int rc, const char *what, cairn_error *error);
/* Run our own SQL, several statements, without results. */
CAIRN_MUST_CHECK cairn_err sql_exec(sqlite3 *db, const char *sql, cairn_error *error);

/* What 'now' is in date functions, and CURRENT_TIMESTAMP, for the calling thread (µs since 1970); 0: the real clock. */
void sql_time_set(int64_t time_us);

/* instr(), replace() and trim() that end in time (sql_functions.c); every connection of sql_open() has them. */
CAIRN_MUST_CHECK cairn_err sql_functions_set(sqlite3 *db, cairn_error *error);

/* Functions that do not end in time, or whose answer does not follow from their arguments (and that no read model or query may use): true, and in
 * *ret_hint what to do instead. */
bool sql_function_refused(const char *name, const char **ret_hint);

/* A column of the row at hand as JSON: numbers, strings, null; a blob as base64. */
void sql_put_column(struct buf *to, sqlite3_stmt *statement, int column);

#define SQL_TEXT_MAX (256 << 10)   /* bytes of one statement */
#define SQL_VALUE_MAX (16 << 20)   /* bytes of one string, blob or row */
#define SQL_PARAMETERS_MAX 200     /* of one statement */

/* ---- text (sql_text.c) ------------------------------------------------------------------------- */

enum sql_token {
    SQL_END,
    SQL_SPACE,   /* also comments in between; a comment is a token of its own */
    SQL_COMMENT, /* -- to the end of the line (without it), or between slash-stars */
    SQL_WORD,    /* an identifier or keyword as it stands */
    SQL_STRING,  /* 'text' */
    SQL_NAME,    /* "x", `x` or [x] */
    SQL_NUMBER,
    SQL_BLOB,    /* x'00' */
    SQL_PARAM,   /* :name with dots, ."quoted names" and [indices], ?, ?1, @x, $x */
    SQL_SEMICOLON,
    SQL_PUNCT,   /* one byte of anything else */
    SQL_BROKEN,  /* a string, name or comment that does not end */
};
/* The token at `at`; its size in *ret_size (0 only for SQL_END). Never reads at or after `end`. */
enum sql_token sql_next(const char *at, const char *end, size_t *ret_size);
/* Is this token the word, in whatever case? */
bool sql_word_is(const char *at, size_t size, const char *word);
/* Lines between two places of one text, as a person counts them. */
uint32_t sql_line(const char *text, const char *at);

/* "-- word rest" lines are what projections and queries are written with: the words of a line that begins with "--".
 * False when the line at `at` is none. *ret_word is the first word, *ret_rest what follows it, both trimmed;
 * ret_next is where the next line begins. */
bool sql_directive(const char *at, const char *end, cairn_str *ret_word, cairn_str *ret_rest, const char **ret_next);
/* The next item of a comma-separated list, trimmed; false when there is no more. An empty item has size 0. */
bool sql_list_next(cairn_str *rest, cairn_str *ret_item);
cairn_str sql_trim(cairn_str text);

/* How many parts a statement has once its views and WITH tables are unfolded, which SQLite does before anything can
 * stop it: 30 views that each name the one before twice are a billion. Saturates at UINT32_MAX. */
struct sql_unfold {
    cairn_str name; /* of a view */
    uint32_t parts;
};
uint32_t sql_unfolded(cairn_str sql, const struct sql_unfold *views, size_t count);

/* Faults on their way to the caller. */
struct sql_faults {
    cairn_app_fault_visit visit;
    void *context;
    cairn_str file;
    size_t count; /* that are no warnings */
};
#define SQL_FAULTS_MAX 100 /* of one file; later ones are counted and not visited */
__attribute__((format(printf, 4, 5))) void sql_fault(struct sql_faults *faults, uint32_t line, const char *hint,
                                                     const char *format, ...);
__attribute__((format(printf, 4, 5))) void sql_warning(struct sql_faults *faults, uint32_t line, const char *hint,
                                                       const char *format, ...);

/* The candidate nearest to `word` (edit distance, case aside), or an empty string when none is near: for "did you mean". */
struct sql_nearest {
    cairn_str word, best;
    size_t distance;
};
struct sql_nearest sql_nearest(cairn_str word);
void sql_nearest_try(struct sql_nearest *nearest, cairn_str candidate);

#endif

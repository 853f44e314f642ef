/* Everything `cairn` says. See out.h.
 *
 * Owner: the main thread, except note(), clock_us(), wall_us() and `interrupted`. */
#include "out.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

struct out out;
volatile int interrupted;

static bool stdout_gone;   /* EPIPE: whoever read us has seen enough */
static int stdout_errno;   /* any other failure */

bool
out_begin(const char *when)
{
    bool always = when && strcmp(when, "always") == 0;
    bool never = when && strcmp(when, "never") == 0;
    if (when && !always && !never && strcmp(when, "auto") != 0)
        return false;
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    if ((no_color && *no_color) || (term && strcmp(term, "dumb") == 0))
        never = never || !always;
    out.colour = always || (!never && isatty(STDOUT_FILENO));
    out.err_terminal = isatty(STDERR_FILENO);
    out.err_colour = always || (!never && out.err_terminal);
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        out.width = size.ws_col;
    return true;
}

bool
out_write(cairn_str bytes)
{
    if (stdout_gone || stdout_errno)
        return false;
    if (bytes.size == 0 || fwrite(bytes.data, 1, bytes.size, stdout) == bytes.size)
        return true;
    stdout_gone = errno == EPIPE;
    stdout_errno = stdout_gone ? 0 : errno;
    return false;
}

bool
out_json_line(struct buf *line)
{
    buf_put_char(line, '\n');
    bool fine = out_write(buf_str(line));
    buf_clear(line);
    return fine;
}

int
out_end(int code)
{
    if (!stdout_gone && !stdout_errno && (fflush(stdout) != 0 || ferror(stdout))) {
        stdout_gone = errno == EPIPE;
        stdout_errno = stdout_gone ? 0 : errno;
    }
    if (stdout_errno && code == EXIT_DONE)
        return fail(stdout_errno == ENOSPC ? EXIT_DISK_FULL : EXIT_FAILED, "write", NULL,
                    "standard output: %s", strerror(stdout_errno));
    return code;
}

static const char *const style_codes[] = {"",         "\033[1m",  "\033[2m", "\033[32m",
                                          "\033[33m", "\033[31m", "\033[36m"};

const char *
style_on(enum style style)
{
    return out.colour ? style_codes[style] : "";
}

const char *
style_off(void)
{
    return out.colour ? "\033[0m" : "";
}

/* ---- text that is safe to show ------------------------------------------------------------------ */

static size_t
utf8_length(unsigned char first)
{
    return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

size_t
columns_of(cairn_str text)
{
    size_t columns = 0;
    for (size_t i = 0; i < text.size; i++)
        columns += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    return columns;
}

void
put_printable(struct buf *to, cairn_str text, size_t columns_max)
{
    bool utf8 = utf8_valid(text);
    size_t columns = columns_max ? columns_of(text) : 0;
    bool cut = columns_max && columns > columns_max;
    size_t room = cut ? columns_max - 1 : SIZE_MAX;
    for (size_t i = 0; i < text.size && room > 0; room--) {
        unsigned char c = (unsigned char)text.data[i];
        size_t length = utf8 ? utf8_length(c) : 1;
        bool c1_control = length == 2 && c == 0xC2 && (unsigned char)text.data[i + 1] < 0xA0;
        if (c < 0x20 || c == 0x7F)
            buf_put(to, c == '\n' || c == '\t' ? " " : "?", 1);
        else if ((c >= 0x80 && !utf8) || c1_control)
            buf_put(to, "?", 1);
        else
            buf_put(to, text.data + i, length);
        i += length;
    }
    if (cut)
        buf_put_str(to, CAIRN_STR("…"));
}

const char *
style_on_err(enum style style)
{
    return !out.err_colour ? "" : style == STYLE_PLAIN ? "\033[0m" : style_codes[style];
}

/* ---- errors -------------------------------------------------------------------------------------- */

static const char *
code_name(int code)
{
    switch (code) {
#define X(name, number, meaning)                                                                   \
    case number:                                                                                   \
        return #name;
        EXIT_CODES(X)
#undef X
    default:
        return "EXIT_FAILED";
    }
}

static void
say_error_json(int code, const char *what, const char *hint, const char *detail,
               const cairn_error *error, cairn_str problem)
{
    struct buf line = {0};
    const char *name = error && error->code > CLI_E_UNREACHABLE ? cairn_err_name(error->code)
                                                                : code_name(code);
    buf_put_str(&line, CAIRN_STR("{\"error\":"));
    if (strncmp(name, "EXIT_", 5) == 0) { /* EXIT_NOT_FOUND → "not_found" */
        char lower[32];
        size_t n = 0;
        for (name += 5; *name && n + 1 < sizeof lower; name++)
            lower[n++] = *name >= 'A' && *name <= 'Z' ? (char)(*name + 32) : *name;
        json_put_string(&line, (cairn_str){lower, n});
    } else {
        json_put_string(&line, cairn_cstr(name));
    }
    json_put_name(&line, "exit");
    json_put_i64(&line, code);
    json_put_text_member(&line, "what", cairn_cstr(what));
    json_put_text_member(&line, "detail", cairn_cstr(detail));
    if (hint) {
        json_put_text_member(&line, "hint", cairn_cstr(hint));
    }
    if (error && error->code == CAIRN_E_CONFLICT) {
        json_put_name(&line, "revision");
        json_put_i64(&line, error->revision);
    }
    if (error && error->code == CAIRN_E_CONDITION) {
        json_put_u64_member(&line, "position", error->position);
    }
    if (problem.size) {
        json_put_name(&line, "problem");
        json_put_compact(&line, problem);
    }
    buf_put_str(&line, CAIRN_STR("}\n"));
    fwrite(line.data, 1, line.failed ? 0 : line.size, stderr);
    buf_free(&line);
}

static int
say_error(int code, const char *what, const char *hint, const char *detail,
          const cairn_error *error, cairn_str problem)
{
    fflush(stdout);
    if (out.json) {
        say_error_json(code, what, hint, detail, error, problem);
        return code;
    }
    const char *red = out.err_colour ? style_codes[STYLE_RED] : "";
    const char *dim = out.err_colour ? style_codes[STYLE_DIM] : "";
    const char *off = out.err_colour ? "\033[0m" : "";
    struct buf shown = {0};
    put_printable(&shown, cairn_cstr(detail), 0);
    fprintf(stderr, "%scairn:%s %s: %.*s\n", red, off, what, (int)shown.size,
            shown.data ? shown.data : "");
    if (hint && *hint)
        fprintf(stderr, "%shint:%s %s\n", dim, off, hint);
    buf_free(&shown);
    return code;
}

int
fail(int code, const char *what, const char *hint, const char *format, ...)
{
    char detail[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(detail, sizeof detail, format, list);
    va_end(list);
    return say_error(code, what, hint, detail, NULL, (cairn_str){0});
}

int
fail_problem(int code, const char *what, const cairn_error *error, const char *hint, cairn_str problem)
{
    const char *detail = error->detail[0] ? error->detail : cairn_err_name(error->code);
    if (error->code == CLI_E_INTERRUPTED)
        return say_error(EXIT_INTERRUPTED, what, NULL, "interrupted", error, problem);
    return say_error(code ? code : exit_code_of(error->code), what, hint, detail, error, problem);
}

int
fail_hint(const char *what, const cairn_error *error, const char *hint)
{
    return fail_problem(0, what, error, hint, (cairn_str){0});
}

int
fail_error(const char *what, const cairn_error *error)
{
    const char *hint = NULL;
    if (error->code == CLI_E_UNREACHABLE)
        hint = "start one with `cairn serve --data DIR`, name another with --url or CAIRN_URL, or "
               "work on a folder with --data DIR";
    else if (error->code == CLI_E_UNTRUSTED)
        hint = "name the authority that signed its certificate with --cacert FILE or CAIRN_CACERT; --insecure "
               "does without";
    else if (error->code > CLI_E_UNREACHABLE)
        hint = cairn_err_hint(error->code);
    return fail_hint(what, error, hint);
}

void
note(const char *format, ...)
{
    if (out.quiet)
        return;
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

/* ---- tables --------------------------------------------------------------------------------------- */

void
table_begin(struct table *table, const struct table_column *columns, size_t column_count)
{
    *table = (struct table){.columns = columns, .column_count = column_count};
}

void
table_cell(struct table *table, cairn_str text)
{
    struct buf shown = {0};
    put_printable(&shown, text, 0);
    uint32_t size = (uint32_t)shown.size;
    buf_put(&table->cells, &size, sizeof size);
    buf_put(&table->cells, shown.data, shown.size);
    buf_free(&shown);
    table->row_count++;
}

void
table_cellf(struct table *table, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    int size = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    table_cell(table, (cairn_str){text, size < 0 ? 0 : (size_t)size < sizeof text ? (size_t)size : sizeof text - 1});
}

static void
put_cell(struct buf *line, const struct table *table, size_t column, cairn_str text, bool header)
{
    const struct table_column *c = &table->columns[column];
    size_t columns = columns_of(text);
    size_t pad = table->width[column] > columns ? table->width[column] - columns : 0;
    bool last = column + 1 == table->column_count;
    if (column > 0)
        buf_put_str(line, CAIRN_STR("  "));
    if (c->right)
        buf_printf(line, "%*s", (int)pad, "");
    /* the last column may run on to the right edge, no further */
    size_t used = 0;
    for (size_t i = 0; last && i < column; i++)
        used += table->width[i] + 2;
    bool cut = last && out.width && used + 10 < out.width && used + columns > out.width;
    enum style style = header ? STYLE_DIM : c->style;
    buf_put_str(line, cairn_cstr(style_on(style)));
    if (cut)
        put_printable(line, text, out.width - used);
    else
        buf_put_str(line, text);
    if (style != STYLE_PLAIN)
        buf_put_str(line, cairn_cstr(style_off()));
    if (!c->right && !last)
        buf_printf(line, "%*s", (int)pad, "");
}

/* Visit the gathered cells: called once to measure and once to print. */
static bool
next_cell(const struct table *table, size_t *at, cairn_str *ret)
{
    if (*at + sizeof(uint32_t) > table->cells.size)
        return false;
    uint32_t size;
    memcpy(&size, table->cells.data + *at, sizeof size);
    *ret = (cairn_str){table->cells.data + *at + sizeof size, size};
    *at += sizeof size + size;
    return true;
}

void
table_flush(struct table *table)
{
    struct buf line = {0};
    cairn_str text;
    if (table->row_count == 0)
        return;
    for (size_t i = 0; i < table->column_count && !table->header_done && !table->no_header; i++)
        table->width[i] = columns_of(cairn_cstr(table->columns[i].title));
    for (size_t at = 0, i = 0; next_cell(table, &at, &text); i++) {
        size_t columns = columns_of(text);
        size_t *width = &table->width[i % table->column_count];
        *width = columns > *width ? columns : *width;
    }
    if (!table->header_done && !table->no_header) {
        for (size_t i = 0; i < table->column_count; i++)
            put_cell(&line, table, i, cairn_cstr(table->columns[i].title), true);
        buf_put_char(&line, '\n');
        table->header_done = true;
    }
    for (size_t at = 0, i = 0; next_cell(table, &at, &text); i++) {
        put_cell(&line, table, i % table->column_count, text, false);
        if ((i + 1) % table->column_count == 0)
            buf_put_char(&line, '\n');
    }
    out_write(buf_str(&line));
    buf_free(&line);
    buf_clear(&table->cells);
    table->row_count = 0;
}

void
table_end(struct table *table)
{
    table_flush(table);
    buf_free(&table->cells);
}

/* ---- clocks, progress, signals ---------------------------------------------------------------------- */

int64_t
clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void
progress_begin(struct progress *progress, const char *doing)
{
    *progress = (struct progress){.doing = doing, .begun_us = clock_us()};
}

static void
draw_progress(const struct progress *p, int64_t now_us)
{
    bool bytes = p->unit && strcmp(p->unit, "bytes") == 0;
    double seconds = (double)(now_us - p->begun_us) / 1e6;
    double rate = seconds > 0.2 ? (double)p->done / seconds : 0;
    char done[32], per_second[32], left[32];
    const char *(*human)(uint64_t, char[32]) = bytes ? human_bytes : human_count;
    fprintf(stderr, "\r\033[K%s  ", p->doing);
    if (p->total) {
        int filled = p->done >= p->total ? 24 : (int)(24 * p->done / p->total);
        fprintf(stderr, "[%.*s%*s] %3d%%  ", filled, "########################", 24 - filled, "",
                (int)(p->done >= p->total ? 100 : 100 * p->done / p->total));
    }
    fprintf(stderr, "%s%s%s", human(p->done, done), bytes ? "" : " ",
            bytes || !p->unit ? "" : p->unit);
    if (rate > 0)
        fprintf(stderr, "  %s/s", human((uint64_t)rate, per_second));
    if (rate > 0 && p->total > p->done)
        fprintf(stderr, "  %s left",
                human_duration((uint64_t)((double)(p->total - p->done) / rate * 1e6), left));
    if (p->extra[0])
        fprintf(stderr, "  %s", p->extra);
    fflush(stderr);
}

void
progress_update(struct progress *progress, uint64_t done, uint64_t total, const char *unit)
{
    progress->done = done;
    progress->total = total;
    progress->unit = unit;
    if (!out.err_terminal || out.quiet)
        return;
    int64_t now = clock_us();
    if (now - progress->shown_us < 100000 || now - progress->begun_us < 300000)
        return;
    progress->shown_us = now;
    progress->shown = true;
    draw_progress(progress, now);
}

void
progress_end(struct progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}

static void
on_signal(int number __attribute__((unused)))
{
    if (interrupted++ >= 2) /* insisted: do not wait for what is under way */
        _exit(EXIT_INTERRUPTED);
}

void
catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* figures.c: every number of every round, by name; histograms; remarks and failures.
 *
 * Bounded and single-threaded: only the main thread adds. */
#include "bench.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FIGURES_MAX 1024
#define LINES_MAX 64

static struct figure figures[FIGURES_MAX];
static unsigned figure_count;

struct lines {
    char text[LINES_MAX][400];
    unsigned count;
};
static struct lines remarks, failed;

static struct figure *
find_or_make(const char *name)
{
    for (unsigned i = 0; i < figure_count; i++)
        if (strcmp(figures[i].name, name) == 0)
            return &figures[i];
    if (figure_count == FIGURES_MAX)
        return NULL;
    struct figure *figure = &figures[figure_count++];
    snprintf(figure->name, sizeof figure->name, "%s", name);
    return figure;
}

void
figure_add(double value, const char *format, ...)
{
    char name[80];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    struct figure *figure = find_or_make(name);
    if (figure == NULL || figure->count == ROUNDS_MAX) {
        failure("no room to keep the figure %s", name);
        return;
    }
    figure->values[figure->count++] = value;
}

const struct figure *
figure_find(const char *name)
{
    for (unsigned i = 0; i < figure_count; i++)
        if (strcmp(figures[i].name, name) == 0)
            return &figures[i];
    return NULL;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double
figure_median(const struct figure *figure)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, figure->values, figure->count * sizeof *sorted);
    qsort(sorted, figure->count, sizeof *sorted, compare);
    unsigned middle = figure->count / 2;
    return figure->count % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

static void
add_line(struct lines *lines, const char *format, va_list arguments)
{
    char text[400];
    vsnprintf(text, sizeof text, format, arguments);
    for (unsigned i = 0; i < lines->count; i++)
        if (strcmp(lines->text[i], text) == 0)
            return;
    if (lines->count < LINES_MAX)
        memcpy(lines->text[lines->count++], text, sizeof text);
}

void
remark(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_line(&remarks, format, arguments);
    va_end(arguments);
}

void
failure(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_line(&failed, format, arguments);
    va_end(arguments);
    va_start(arguments, format);
    fputs("bench: FAILED: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

unsigned
failures_count(void)
{
    return failed.count;
}

void
figures_print_remarks(FILE *to)
{
    for (unsigned i = 0; i < failed.count; i++)
        fprintf(to, "  FAILED  %s\n", failed.text[i]);
    for (unsigned i = 0; i < remarks.count; i++)
        fprintf(to, "  note    %s\n", remarks.text[i]);
}

void
json_text(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', to);
        if ((unsigned char)*text < 0x20)
            fprintf(to, "\\u%04x", *text);
        else
            fputc(*text, to);
    }
    fputc('"', to);
}

static void
write_lines(FILE *to, const char *name, const struct lines *lines)
{
    fprintf(to, "  \"%s\": [", name);
    for (unsigned i = 0; i < lines->count; i++) {
        fputs(i ? ",\n    " : "\n    ", to);
        json_text(to, lines->text[i]);
    }
    fputs("]", to);
}

void
figures_write_json(FILE *to)
{
    fputs("  \"figures\": {", to);
    for (unsigned i = 0; i < figure_count; i++) {
        fputs(i ? ",\n    " : "\n    ", to);
        json_text(to, figures[i].name);
        fputs(": [", to);
        for (unsigned j = 0; j < figures[i].count; j++)
            fprintf(to, "%s%.9g", j ? ", " : "", figures[i].values[j]);
        fputc(']', to);
    }
    fputs("\n  },\n", to);
    write_lines(to, "remarks", &remarks);
    fputs(",\n", to);
    write_lines(to, "failures", &failed);
}

/* ---- histograms -------------------------------------------------------------------------- */

/* Values below 128 have a step each; above, the top 7 bits after the leading one choose the step. */
static unsigned
step_of(uint64_t ns)
{
    if (ns < HISTOGRAM_STEPS)
        return (unsigned)ns;
    unsigned doubling = 63u - (unsigned)__builtin_clzll(ns);            /* >= 7 */
    unsigned step = (unsigned)(ns >> (doubling - 7)) - HISTOGRAM_STEPS; /* 0 to 127 */
    unsigned index = (doubling - 6) * HISTOGRAM_STEPS + step;
    unsigned last = 40 * HISTOGRAM_STEPS - 1;
    return index < last ? index : last;
}

static double
value_of(unsigned index)
{
    if (index < HISTOGRAM_STEPS)
        return index;
    unsigned doubling = index / HISTOGRAM_STEPS + 6;
    return ((double)(HISTOGRAM_STEPS + index % HISTOGRAM_STEPS) + 0.5)
           * (double)(1ull << (doubling - 7));
}

void
histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->counts[step_of(ns)]++;
    histogram->total++;
}

void
histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < sizeof into->counts / sizeof *into->counts; i++)
        into->counts[i] += from->counts[i];
    into->total += from->total;
}

double
histogram_us(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)((double)histogram->total * share), seen = 0;
    for (unsigned i = 0; i < sizeof histogram->counts / sizeof *histogram->counts; i++) {
        seen += histogram->counts[i];
        if (seen > wanted)
            return value_of(i) / 1e3;
    }
    return 0;
}

void
sample_add(const struct shape *shape, const char *contender, const struct sample *sample)
{
    sample_add_as("append", shape, contender, sample);
}

void
sample_add_as(const char *what, const struct shape *shape, const char *contender, const struct sample *sample)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%ux%u.%s", what, shape->events, shape->clients, contender);
    double rate = (double)sample->appends / sample->seconds;
    figure_add(rate, "%s.appends_per_s", name);
    figure_add(rate * shape->events * DATA_SIZE / 1e6, "%s.data_mb_per_s", name);
    figure_add(sample->p50_us, "%s.p50_us", name);
    figure_add(sample->p99_us, "%s.p99_us", name);
    figure_add(sample->client_cores, "%s.client_cores", name);
    if (sample->server_cores > 0)
        figure_add(sample->server_cores, "%s.server_cores", name);
    if (sample->log_bytes > 0)
        figure_add(rate * sample->log_bytes / 1e6, "%s.log_mb_per_s", name);
}

/* Counts, sizes and durations for people: about three figures, a unit that keeps them small. */
#include <base/text.h>

#include <inttypes.h>
#include <stdio.h>

#define HUMAN_SIZE 32

/* n / step^k with one decimal below 100 ("1.2", "12.3", "123"), and the k-th unit. Rounded to what is
 * shown before the unit is chosen, so that 999,960 is "1.0M" and not "1000k". */
static const char *
scale(uint64_t n, unsigned step, const char *const *units, int unit_count, char to[HUMAN_SIZE])
{
    if (n < step) {
        snprintf(to, HUMAN_SIZE, "%" PRIu64 "%s", n, units[0]);
        return to;
    }
    double value = (double)n;
    int unit = 0;
    while (unit < unit_count - 1 && value >= step - 0.5) {
        value /= step;
        unit++;
    }
    unsigned tenths = (unsigned)(value * 10 + 0.5); /* by hand: printf would ask the locale */
    if (value < 99.95)
        snprintf(to, HUMAN_SIZE, "%u.%u%s", tenths / 10, tenths % 10, units[unit]);
    else
        snprintf(to, HUMAN_SIZE, "%u%s", (unsigned)(value + 0.5), units[unit]);
    return to;
}

const char *
human_count(uint64_t n, char to[HUMAN_SIZE])
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    return scale(n, 1000, units, 7, to);
}

const char *
human_bytes(uint64_t n, char to[HUMAN_SIZE])
{
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    return scale(n, 1024, units, 7, to);
}

const char *
human_duration(uint64_t us, char to[HUMAN_SIZE])
{
    uint64_t s = us / 1000000;
    if (us < 1000)
        snprintf(to, HUMAN_SIZE, "%" PRIu64 " µs", us);
    else if (us < 100000)
        snprintf(to, HUMAN_SIZE, "%" PRIu64 ".%" PRIu64 " ms", us / 1000, us / 100 % 10);
    else if (us < 1000000)
        snprintf(to, HUMAN_SIZE, "%" PRIu64 " ms", us / 1000);
    else if (s < 60)
        snprintf(to, HUMAN_SIZE, "%" PRIu64 ".%" PRIu64 " s", s, us / 100000 % 10);
    else if (s < 3600)
        snprintf(to, HUMAN_SIZE, "%" PRIu64 "m %02" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(to, HUMAN_SIZE, "%" PRIu64 "h %02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(to, HUMAN_SIZE, "%" PRIu64 "d %02" PRIu64 "h", s / 86400, s / 3600 % 24);
    return to;
}

/* Times as text: RFC 3339, in the proleptic Gregorian calendar, UTC, years 0000 to 9999. A time
 * outside these has no such text: it is refused when read and shown as the nearest one when written. */
#include <base/text.h>

#define SECOND_US INT64_C(1000000)
#define DAY_S INT64_C(86400)
#define TIME_MIN_US (INT64_C(-62167219200) * SECOND_US)              /* 0000-01-01T00:00:00 */
#define TIME_MAX_US (INT64_C(253402300800) * SECOND_US - 1)          /* 9999-12-31T23:59:59.999999 */

/* Days since 1970-01-01 of a date and back: H. Hinnant, "chrono-compatible low-level date
 * algorithms", 2013. A year begins in March there, so that the leap day is its last; an era is 400
 * years or 146,097 days. */
static int64_t
days_of_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + (int64_t)day_of_era - 719468;
}

static void
date_of_days(int64_t days, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    /* Counted from the era before year 0, to which January and February of year 0 belong. */
    uint64_t since = (uint64_t)(days + 719468 + 146097);
    unsigned era = (unsigned)(since / 146097), day_of_era = (unsigned)(since % 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted = (5 * day_of_year + 2) / 153;
    *ret_day = day_of_year - (153 * shifted + 2) / 5 + 1;
    *ret_month = shifted < 10 ? shifted + 3 : shifted - 9;
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2) - 400;
}

static bool
is_leap(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned
days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* ---- reading */

struct cursor {
    const char *at, *end;
};

static bool
take_char(struct cursor *in, char c)
{
    if (in->at == in->end || *in->at != c)
        return false;
    in->at++;
    return true;
}

static bool
take_digits(struct cursor *in, int count, unsigned *ret)
{
    if (in->end - in->at < count)
        return false;
    unsigned value = 0;
    for (int i = 0; i < count; i++) {
        unsigned digit = (unsigned)(unsigned char)in->at[i] - '0';
        if (digit > 9)
            return false;
        value = value * 10 + digit;
    }
    in->at += count;
    *ret = value;
    return true;
}

static bool
take_date(struct cursor *in, int64_t *ret_days)
{
    unsigned year, month, day;
    if (!take_digits(in, 4, &year) || !take_char(in, '-') || !take_digits(in, 2, &month) ||
        !take_char(in, '-') || !take_digits(in, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return false;
    *ret_days = days_of_date(year, month, day);
    return true;
}

/* ".123456789" → 123456; nothing there → 0. */
static bool
take_fraction(struct cursor *in, int64_t *ret_us)
{
    *ret_us = 0;
    if (!take_char(in, '.'))
        return true;
    int count = 0;
    for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++)
        if (++count <= 6)
            *ret_us = *ret_us * 10 + (*in->at - '0');
    if (count < 1 || count > 9)
        return false;
    for (; count < 6; count++)
        *ret_us *= 10;
    return true;
}

/* "Z", "+01:00" → seconds east of UTC. */
static bool
take_offset(struct cursor *in, int64_t *ret_s)
{
    *ret_s = 0;
    if (take_char(in, 'Z') || take_char(in, 'z'))
        return true;
    bool west = take_char(in, '-');
    unsigned hour, minute;
    if ((!west && !take_char(in, '+')) || !take_digits(in, 2, &hour) || !take_char(in, ':') ||
        !take_digits(in, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *ret_s = (west ? -1 : 1) * (int64_t)(hour * 3600 + minute * 60);
    return true;
}

bool
parse_time(cairn_str text, int64_t *ret_time_us)
{
    struct cursor in = {text.data, text.data + text.size};
    int64_t days, fraction_us = 0, offset_s = 0;
    unsigned hour = 0, minute = 0, second = 0;
    if (!take_date(&in, &days))
        return false;
    if (in.at < in.end) {
        if (!take_char(&in, 'T') && !take_char(&in, 't') && !take_char(&in, ' '))
            return false;
        if (!take_digits(&in, 2, &hour) || !take_char(&in, ':') || !take_digits(&in, 2, &minute) ||
            !take_char(&in, ':') || !take_digits(&in, 2, &second) ||
            !take_fraction(&in, &fraction_us) || !take_offset(&in, &offset_s) || in.at != in.end)
            return false;
    }
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    int64_t seconds = days * DAY_S + hour * 3600 + minute * 60 + second - offset_s;
    /* A leap second stands at the end of a UTC day (RFC 3339 §5.7); we count it as the next second. */
    if (second == 60 && seconds % DAY_S != 0)
        return false;
    int64_t time_us = seconds * SECOND_US + fraction_us;
    if (time_us < TIME_MIN_US || time_us > TIME_MAX_US)
        return false;
    *ret_time_us = time_us;
    return true;
}

/* ---- writing */

static void
put_two(char *to, unsigned value)
{
    to[0] = (char)('0' + value / 10);
    to[1] = (char)('0' + value % 10);
}

size_t
format_time(int64_t time_us, char to[TIME_TEXT_SIZE])
{
    if (time_us < TIME_MIN_US)
        time_us = TIME_MIN_US;
    if (time_us > TIME_MAX_US)
        time_us = TIME_MAX_US;
    /* Counted from the beginning of year 0, nothing is negative. */
    uint64_t since_us = (uint64_t)(time_us - TIME_MIN_US);
    uint64_t since_s = since_us / SECOND_US;
    unsigned us = (unsigned)(since_us % SECOND_US), second = (unsigned)(since_s % DAY_S);
    int64_t days = (int64_t)(since_s / DAY_S) + TIME_MIN_US / SECOND_US / DAY_S;
    unsigned year, month, day;
    date_of_days(days, &year, &month, &day);
    put_two(to, year / 100);
    put_two(to + 2, year % 100);
    to[4] = '-';
    put_two(to + 5, month);
    to[7] = '-';
    put_two(to + 8, day);
    to[10] = 'T';
    put_two(to + 11, second / 3600);
    to[13] = ':';
    put_two(to + 14, second / 60 % 60);
    to[16] = ':';
    put_two(to + 17, second % 60);
    to[19] = '.';
    put_two(to + 20, us / 10000);
    put_two(to + 22, us / 100 % 100);
    put_two(to + 24, us % 100);
    to[26] = 'Z';
    to[27] = '\0';
    return TIME_TEXT_SIZE - 1;
}

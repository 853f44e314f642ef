/* "format" as an assertion: one function a format, of the text alone.
 *
 * Sources: RFC 3339 (times, durations in appendix A), RFC 5321 and 6531 (mail), RFC 1123 (host names), RFC 4291 (IPv6),
 * RFC 3986 and 3987 (URI, IRI), RFC 6570 (templates), RFC 6901 (pointers), RFC 9562 (UUID). idn-hostname is not checked:
 * it needs the tables of IDNA. */
#include <base/hex.h>
#include <schema/json_schema_int.h>

struct js_format {
    const char *name;
    bool (*holds)(cairn_str text);
    const char *hint;
};

/* ---- reading */

struct read {
    const char *at, *end;
};

static struct read
read_all(cairn_str text)
{
    return (struct read){text.data, text.data + text.size};
}

static bool
take(struct read *in, char c)
{
    if (in->at == in->end || *in->at != c)
        return false;
    in->at++;
    return true;
}

static bool
take_any(struct read *in, const char *characters)
{
    if (in->at == in->end || !*in->at || !strchr(characters, *in->at))
        return false;
    in->at++;
    return true;
}

static bool is_digit_char(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

/* Exactly `count` digits. */
static bool
take_number(struct read *in, int count, int *ret)
{
    *ret = 0;
    for (int i = 0; i < count; i++) {
        if (in->at == in->end || !is_digit_char(*in->at))
            return false;
        *ret = *ret * 10 + (*in->at++ - '0');
    }
    return true;
}

/* One or more. */
static bool
take_digits(struct read *in)
{
    const char *from = in->at;
    while (in->at < in->end && is_digit_char(*in->at))
        in->at++;
    return in->at > from;
}

/* ---- times (RFC 3339) */

static bool
take_date(struct read *in)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;
    if (!take_number(in, 4, &year) || !take(in, '-') || !take_number(in, 2, &month) || !take(in, '-') ||
        !take_number(in, 2, &day) || month < 1 || month > 12 || day < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && leap);
}

static bool
take_time(struct read *in)
{
    int hour, minute, second, offset_hour = 0, offset_minute = 0, sign = 0;
    if (!take_number(in, 2, &hour) || !take(in, ':') || !take_number(in, 2, &minute) || !take(in, ':') ||
        !take_number(in, 2, &second) || hour > 23 || minute > 59 || second > 60)
        return false;
    if (take(in, '.') && !take_digits(in))
        return false;
    if (!take_any(in, "zZ")) {
        sign = take(in, '+') ? 1 : take(in, '-') ? -1 : 0;
        if (sign == 0 || !take_number(in, 2, &offset_hour) || !take(in, ':') || !take_number(in, 2, &offset_minute) ||
            offset_hour > 23 || offset_minute > 59)
            return false;
    }
    int utc = hour * 60 + minute - sign * (offset_hour * 60 + offset_minute);
    return second < 60 || (utc + 1440) % 1440 == 1439; /* a leap second comes at 23:59:60 UTC only */
}

static bool
is_date(cairn_str text)
{
    struct read in = read_all(text);
    return take_date(&in) && in.at == in.end;
}

static bool
is_time(cairn_str text)
{
    struct read in = read_all(text);
    return take_time(&in) && in.at == in.end;
}

static bool
is_date_time(cairn_str text)
{
    struct read in = read_all(text);
    return take_date(&in) && take_any(&in, "tT") && take_time(&in) && in.at == in.end;
}

/* Numbers with the units of `units`, each at most once, in order and without gaps; returns how many. */
static int
take_units(struct read *in, const char *units)
{
    int count = 0;
    const char *next = NULL;
    while (in->at < in->end && is_digit_char(*in->at)) {
        take_digits(in);
        const char *unit = in->at < in->end ? strchr(units, *in->at) : NULL;
        if (!unit || !*unit || (next && unit != next))
            return -1;
        next = unit + 1;
        in->at++;
        count++;
    }
    return count;
}

static bool
is_duration(cairn_str text)
{
    struct read in = read_all(text);
    if (!take(&in, 'P'))
        return false;
    struct read weeks = in;
    if (take_digits(&weeks) && take(&weeks, 'W'))
        return weeks.at == weeks.end;
    int dates = take_units(&in, "YMD"), times = 0;
    if (take(&in, 'T')) {
        times = take_units(&in, "HMS");
        if (times == 0)
            return false;
    }
    return dates >= 0 && times >= 0 && dates + times > 0 && in.at == in.end;
}

/* ---- hosts */

static bool
is_ipv4(cairn_str text)
{
    struct read in = read_all(text);
    for (int i = 0; i < 4; i++) {
        const char *from = in.at;
        int value = 0;
        if (i > 0 && !take(&in, '.'))
            return false;
        from = in.at;
        while (in.at < in.end && is_digit_char(*in.at) && in.at - from < 4)
            value = value * 10 + (*in.at++ - '0');
        if (in.at == from || value > 255 || (in.at - from > 1 && *from == '0'))
            return false;
    }
    return in.at == in.end;
}

static bool
is_ipv6(cairn_str text)
{
    struct read in = read_all(text);
    int groups = 0;
    bool gap = false;
    if (text.size >= 2 && in.at[0] == ':' && in.at[1] != ':')
        return false;
    while (in.at < in.end) {
        if (*in.at == ':') {
            in.at++;
            if (in.at < in.end && *in.at == ':') {
                if (gap)
                    return false;
                gap = true;
                in.at++;
                if (in.at == in.end)
                    break;
            } else if (groups == 0 || in.at == in.end) {
                return false;
            }
        } else if (groups > 0) {
            return false;
        }
        const char *from = in.at;
        while (in.at < in.end && hex_value(*in.at) >= 0 && in.at - from < 5)
            in.at++;
        if (in.at < in.end && *in.at == '.') {
            groups += 2;
            return is_ipv4((cairn_str){from, (size_t)(in.end - from)}) && (gap ? groups < 8 : groups == 8);
        }
        if (in.at == from || in.at - from > 4 || ++groups > 8)
            return false;
    }
    return gap ? groups < 8 : groups == 8;
}

static bool
is_hostname(cairn_str text)
{
    size_t label = 0;
    if (text.size == 0 || text.size > 253)
        return false;
    for (size_t i = 0; i <= text.size; i++) {
        char c = i < text.size ? text.data[i] : '.';
        if (c == '.') {
            if (label == 0 || label > 63 || text.data[i - 1] == '-')
                return false;
            const char *from = text.data + i - label;
            if (label >= 4 && from[2] == '-' && from[3] == '-' && (from[0] | 0x20) != 'x')
                return false; /* RFC 5891 §4.2.3.1: only an A-label has hyphens there */
            label = 0;
        } else if (is_letter(c) || is_digit_char(c) || (c == '-' && label > 0)) {
            label++;
        } else {
            return false;
        }
    }
    return true;
}

/* ---- mail (RFC 5321 §4.1.2; RFC 6531 lets UTF-8 in) */

static bool
is_mail_domain(cairn_str text, bool international)
{
    if (text.size > 2 && text.data[0] == '[' && text.data[text.size - 1] == ']') {
        cairn_str inner = {text.data + 1, text.size - 2};
        if (inner.size > 5 && memcmp(inner.data, "IPv6:", 5) == 0)
            return is_ipv6((cairn_str){inner.data + 5, inner.size - 5});
        return is_ipv4(inner);
    }
    if (!international)
        return is_hostname(text);
    bool plain = text.size > 0;
    for (size_t i = 0; i < text.size; i++)
        plain = plain && (is_letter(text.data[i]) || is_digit_char(text.data[i]) || (signed char)text.data[i] < 0 ||
                          text.data[i] == '.' || text.data[i] == '-');
    return plain;
}

static bool
is_mail_address(cairn_str text, bool international)
{
    struct read in = read_all(text);
    if (take(&in, '"')) {
        while (in.at < in.end && *in.at != '"') {
            if (*in.at == '\\' && ++in.at == in.end)
                return false;
            if ((uint8_t)*in.at < 0x20 || *in.at == 0x7F || ((signed char)*in.at < 0 && !international))
                return false;
            in.at++;
        }
        if (!take(&in, '"'))
            return false;
    } else {
        char before = '.';
        while (in.at < in.end && *in.at != '@') {
            char c = *in.at++;
            if (c == '.' ? before == '.' : !(is_letter(c) || is_digit_char(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c)) ||
                                             ((signed char)c < 0 && international)))
                return false;
            before = c;
        }
        if (before == '.')
            return false;
    }
    return take(&in, '@') && is_mail_domain((cairn_str){in.at, (size_t)(in.end - in.at)}, international);
}

static bool is_email(cairn_str text) { return is_mail_address(text, false); }
static bool is_idn_email(cairn_str text) { return is_mail_address(text, true); }

/* ---- URIs (RFC 3986 appendix A; with characters beyond ASCII, RFC 3987) */

/* Characters of `allowed`, letters, digits, %XX, and others beyond ASCII where they may be. */
static bool
uri_characters(cairn_str text, const char *allowed, bool iri)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            if (text.size - i < 3 || hex_value(text.data[i + 1]) < 0 || hex_value(text.data[i + 2]) < 0)
                return false;
            i += 2;
        } else if (!is_letter(c) && !is_digit_char(c) && !(c && strchr(allowed, c)) && !((signed char)c < 0 && iri)) {
            return false;
        }
    }
    return true;
}

#define URI_SEGMENT "-._~!$&'()*+,;=:@"

static bool
uri_authority(cairn_str text, bool iri)
{
    const char *at = text.size ? memrchr(text.data, '@', text.size) : NULL, *end = text.data + text.size;
    cairn_str host = text;
    if (at) {
        if (!uri_characters((cairn_str){text.data, (size_t)(at - text.data)}, "-._~!$&'()*+,;=:", iri))
            return false;
        host = (cairn_str){at + 1, (size_t)(end - at - 1)};
    }
    const char *port = NULL;
    if (host.size && host.data[0] == '[') {
        const char *close = memchr(host.data, ']', host.size);
        if (!close)
            return false;
        cairn_str inner = {host.data + 1, (size_t)(close - host.data - 1)};
        bool future = inner.size > 3 && (inner.data[0] | 0x20) == 'v' && memchr(inner.data, '.', inner.size);
        if (!is_ipv6(inner) && !(future && uri_characters(inner, "-._~!$&'()*+,;=:", false)))
            return false;
        if (close + 1 < end && close[1] != ':')
            return false;
        port = close + 1 < end ? close + 2 : NULL;
    } else {
        const char *colon = host.size ? memchr(host.data, ':', host.size) : NULL;
        port = colon ? colon + 1 : NULL;
        if (colon)
            host.size = (size_t)(colon - host.data);
        if (!uri_characters(host, "-._~!$&'()*+,;=", iri))
            return false;
    }
    for (; port && port < end; port++)
        if (!is_digit_char(*port))
            return false;
    return true;
}

static bool
is_any_uri(cairn_str text, bool relative, bool iri)
{
    const char *at = text.data, *end = at + text.size;
    const char *hash = text.size ? memchr(at, '#', text.size) : NULL;
    if (hash && !uri_characters((cairn_str){hash + 1, (size_t)(end - hash - 1)}, URI_SEGMENT "/?", iri))
        return false;
    end = hash ? hash : end;
    const char *query = end > at ? memchr(at, '?', (size_t)(end - at)) : NULL;
    if (query && !uri_characters((cairn_str){query + 1, (size_t)(end - query - 1)}, URI_SEGMENT "/?", iri))
        return false;
    end = query ? query : end;
    const char *colon = at;
    while (colon < end && *colon != ':' && *colon != '/')
        colon++;
    if (colon < end && *colon == ':') {
        cairn_str scheme = {at, (size_t)(colon - at)};
        if (scheme.size == 0 || !is_letter(*at) || !uri_characters(scheme, "+-.", false) ||
            memchr(scheme.data, '%', scheme.size))
            return false; /* a relative path's first segment has no ':' either */
        at = colon + 1;
    } else if (!relative) {
        return false;
    }
    if (end - at >= 2 && at[0] == '/' && at[1] == '/') {
        const char *from = at += 2;
        while (at < end && *at != '/')
            at++;
        if (!uri_authority((cairn_str){from, (size_t)(at - from)}, iri))
            return false;
    }
    return uri_characters((cairn_str){at, (size_t)(end - at)}, URI_SEGMENT "/", iri);
}

static bool is_uri(cairn_str text) { return is_any_uri(text, false, false); }
static bool is_uri_reference(cairn_str text) { return is_any_uri(text, true, false); }
static bool is_iri(cairn_str text) { return is_any_uri(text, false, true); }
static bool is_iri_reference(cairn_str text) { return is_any_uri(text, true, true); }

/* One variable of an expression: name, then ":digits" or "*". */
static bool
take_variable(struct read *in)
{
    const char *from = in->at;
    while (in->at < in->end && (is_letter(*in->at) || is_digit_char(*in->at) || strchr("_.%", *in->at)))
        in->at++;
    if (in->at == from || *from == '.' || in->at[-1] == '.' ||
        memmem(from, (size_t)(in->at - from), "..", 2) ||
        !uri_characters((cairn_str){from, (size_t)(in->at - from)}, "_.", false))
        return false;
    if (take(in, ':')) {
        from = in->at;
        return take_digits(in) && *from != '0' && in->at - from <= 4;
    }
    take(in, '*');
    return true;
}

static bool
is_uri_template(cairn_str text)
{
    struct read in = read_all(text);
    while (in.at < in.end) {
        char c = *in.at++;
        if (c == '{') {
            take_any(&in, "+#./;?&=,!@|");
            do {
                if (!take_variable(&in))
                    return false;
            } while (take(&in, ','));
            if (!take(&in, '}'))
                return false;
        } else if (c == '%') {
            if (in.end - in.at < 2 || hex_value(in.at[0]) < 0 || hex_value(in.at[1]) < 0)
                return false;
            in.at += 2;
        } else if ((uint8_t)c <= 0x20 || c == 0x7F || strchr("\"<>\\^`|}", c)) {
            return false;
        }
    }
    return true;
}

/* ---- pointers, ids, patterns */

static bool
is_pointer(cairn_str text)
{
    if (text.size == 0)
        return true;
    if (text.data[0] != '/')
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '~' && (i + 1 == text.size || (text.data[i + 1] != '0' && text.data[i + 1] != '1')))
            return false;
    return true;
}

static bool
is_relative_pointer(cairn_str text)
{
    struct read in = read_all(text);
    const char *from = in.at;
    if (!take_digits(&in) || (*from == '0' && in.at - from > 1))
        return false;
    cairn_str rest = {in.at, (size_t)(in.end - in.at)};
    return cairn_str_equal(rest, CAIRN_STR("#")) || is_pointer(rest);
}

static bool
is_uuid(cairn_str text)
{
    if (text.size != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text.data[i] != '-' : hex_value(text.data[i]) < 0)
            return false;
    }
    return true;
}

static const struct js_format formats[] = {
    {"date-time", is_date_time, "a date and time like 2026-11-21T18:30:00Z"},
    {"date", is_date, "a date like 2026-11-21"},
    {"time", is_time, "a time with its offset like 18:30:00Z"},
    {"duration", is_duration, "a duration like P3DT4H"},
    {"email", is_email, "an e-mail address"},
    {"idn-email", is_idn_email, "an e-mail address"},
    {"hostname", is_hostname, "a host name"},
    {"ipv4", is_ipv4, "an IPv4 address like 192.0.2.1"},
    {"ipv6", is_ipv6, "an IPv6 address like 2001:db8::1"},
    {"uri", is_uri, "a URI with its scheme"},
    {"uri-reference", is_uri_reference, "a URI or a relative reference"},
    {"iri", is_iri, "an IRI with its scheme"},
    {"iri-reference", is_iri_reference, "an IRI or a relative reference"},
    {"uri-template", is_uri_template, "a URI template (RFC 6570)"},
    {"uuid", is_uuid, "a UUID"},
    {"json-pointer", is_pointer, "a JSON pointer like /a/0"},
    {"relative-json-pointer", is_relative_pointer, "a relative JSON pointer like 1/a"},
    {"regex", js_pattern_valid, "a regular expression (ECMA-262)"},
};

const struct js_format *
js_format_find(cairn_str name)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (cairn_str_equal(name, cairn_cstr(formats[i].name)))
            return &formats[i];
    return NULL;
}

bool
js_format_holds(const struct js_format *format, cairn_str text)
{
    return format->holds(text);
}

const char *
js_format_name(const struct js_format *format)
{
    return format->name;
}

const char *
js_format_hint(const struct js_format *format)
{
    return format->hint;
}

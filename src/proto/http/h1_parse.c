/* HTTP/1.1 requests from bytes.
 *
 * A head is read line by line: each line is looked at once, when its end has arrived, so a peer that
 * sends byte by byte costs no more than one that sends at once. Only the method is checked before its line
 * is complete, so that what is not HTTP at all is refused at its first bytes. */
#include <proto/http/h1_parse.h>

/* ---- characters ------------------------------------------------------------------------------ */

enum { TOKEN = 1, VALUE = 2, TARGET = 4, HOST = 8 };

/* RFC 9110 §5.6.2 (token), §5.5 (field-value: VCHAR, obs-text, blank, tab); RFC 3986 §2 without '#' for the
 * target, with the characters that clients are known to leave unescaped; uri-host with port. */
#define EVERY (TOKEN | VALUE | TARGET | HOST)
static const uint8_t kinds[256] = {
    ['0' ... '9'] = EVERY, ['A' ... 'Z'] = EVERY, ['a' ... 'z'] = EVERY,
    ['!'] = EVERY, ['$'] = EVERY, ['&'] = EVERY, ['\''] = EVERY, ['*'] = EVERY, ['+'] = EVERY,
    ['-'] = EVERY, ['.'] = EVERY, ['_'] = EVERY, ['~'] = EVERY, ['%'] = EVERY,
    ['#'] = TOKEN | VALUE,
    ['^'] = TOKEN | VALUE | TARGET, ['`'] = TOKEN | VALUE | TARGET, ['|'] = TOKEN | VALUE | TARGET,
    ['('] = VALUE | TARGET | HOST, [')'] = VALUE | TARGET | HOST, [','] = VALUE | TARGET | HOST,
    [':'] = VALUE | TARGET | HOST, [';'] = VALUE | TARGET | HOST, ['='] = VALUE | TARGET | HOST,
    ['['] = VALUE | TARGET | HOST, [']'] = VALUE | TARGET | HOST,
    ['/'] = VALUE | TARGET, ['?'] = VALUE | TARGET, ['@'] = VALUE | TARGET, ['"'] = VALUE | TARGET,
    ['<'] = VALUE | TARGET, ['>'] = VALUE | TARGET, ['\\'] = VALUE | TARGET, ['{'] = VALUE | TARGET,
    ['}'] = VALUE | TARGET,
    [' '] = VALUE, ['\t'] = VALUE, [0x80 ... 0xFF] = VALUE,
};

static inline bool
is(char c, unsigned kind)
{
    return kinds[(uint8_t)c] & kind;
}

/* The first byte in [at, end) that is not of the kind, or end. */
static const char *
skip(const char *at, const char *end, unsigned kind)
{
    while (at < end && is(*at, kind))
        at++;
    return at;
}

bool
h1_is_token(cairn_str text)
{
    return text.size > 0 && skip(text.data, text.data + text.size, TOKEN) == text.data + text.size;
}

bool
h1_same_name(cairn_str a, const char *lower_case, size_t size)
{
    if (a.size != size)
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = a.data[i];
        if (c >= 'A' && c <= 'Z')
            c += 'a' - 'A';
        if (c != lower_case[i])
            return false;
    }
    return true;
}

#define SAME(text, literal) h1_same_name((text), literal, sizeof literal - 1)

/* ---- refusals -------------------------------------------------------------------------------- */

static enum h1_result
bad(struct h1_head *head, int status, const char *why)
{
    head->status = status;
    head->why = why;
    return H1_BAD;
}

/* ---- the request line ------------------------------------------------------------------------ */

#define METHOD_MAX 32

/* What is there of the method, even before the line is complete. */
static enum h1_result
check_method(struct h1_head *head, const char *line, const char *end)
{
    const char *at = skip(line, end, TOKEN);
    if (at - line > METHOD_MAX)
        return bad(head, 501, "the method is longer than 32 bytes");
    if (at < end && (*at != ' ' || at == line))
        return bad(head, 400, "the request line does not begin with a method and one space");
    return at < end ? H1_DONE : H1_MORE;
}

/* origin-form, absolute-form (http and https), asterisk-form with OPTIONS. authority-form is for proxies. */
static enum h1_result
split_target(struct h1_head *head, const char *bytes)
{
    const char *target = bytes + head->target.at, *end = target + head->target.size, *path = target;
    cairn_str method = {bytes + head->method.at, head->method.size};
    if (cairn_str_equal(method, CAIRN_STR("CONNECT")))
        return bad(head, 501, "CONNECT is for proxies, and this is none");
    if (head->target.size == 1 && *target == '*') {
        if (!cairn_str_equal(method, CAIRN_STR("OPTIONS")))
            return bad(head, 400, "the target '*' is for OPTIONS only");
        head->path = head->target;
        return H1_DONE;
    }
    if (*target != '/') {
        size_t scheme = 0;
        if (head->target.size > 7 && SAME(((cairn_str){target, 7}), "http://"))
            scheme = 7;
        else if (head->target.size > 8 && SAME(((cairn_str){target, 8}), "https://"))
            scheme = 8;
        else
            return bad(head, 400, "the request target does not begin with '/'");
        path = skip(target + scheme, end, HOST);
        if (path == target + scheme || (path < end && *path != '/' && *path != '?'))
            return bad(head, 400, "the request target has no valid host");
    }
    const char *query = memchr(path, '?', (size_t)(end - path));
    const char *path_end = query ? query : end;
    head->path = (struct h1_span){(uint32_t)(path - bytes), (uint32_t)(path_end - path)};
    if (query)
        head->query = (struct h1_span){(uint32_t)(query + 1 - bytes), (uint32_t)(end - query - 1)};
    return H1_DONE;
}

static enum h1_result
parse_request_line(struct h1_head *head, const char *bytes, const char *line, const char *end,
                   const struct h1_limits *limits)
{
    enum h1_result method = check_method(head, line, end);
    if (method == H1_BAD)
        return method;
    const char *space = memchr(line, ' ', (size_t)(end - line));
    if (!space)
        return bad(head, 400, "the request line has no target");
    head->method = (struct h1_span){(uint32_t)(line - bytes), (uint32_t)(space - line)};
    const char *target = space + 1, *target_end = skip(target, end, TARGET);
    if (target_end - target > (ptrdiff_t)limits->target_max)
        return bad(head, 414, "the request target is too long");
    if (target_end == target || target_end == end || *target_end != ' ')
        return bad(head, 400, "the request target is empty or holds a character that must be percent-encoded");
    head->target = (struct h1_span){(uint32_t)(target - bytes), (uint32_t)(target_end - target)};

    const char *version = target_end + 1;
    if (end - version != 8 || memcmp(version, "HTTP/", 5) != 0 || version[5] < '0' || version[5] > '9' ||
        version[6] != '.' || version[7] < '0' || version[7] > '9')
        return bad(head, 400, "the request line does not end with one space and an HTTP version");
    if (version[5] != '1' || version[7] > '1')
        return bad(head, 505, "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here");
    head->minor = (unsigned)(version[7] - '0');
    return split_target(head, bytes);
}

/* ---- fields ---------------------------------------------------------------------------------- */

/* The next item of a comma-separated list, without blanks around it. False at the end. */
static bool
next_item(cairn_str *list, cairn_str *ret)
{
    while (list->size && (*list->data == ',' || *list->data == ' ' || *list->data == '\t')) {
        list->data++;
        list->size--;
    }
    if (!list->size)
        return false;
    const char *comma = memchr(list->data, ',', list->size);
    size_t size = comma ? (size_t)(comma - list->data) : list->size, trimmed = size;
    while (trimmed && (list->data[trimmed - 1] == ' ' || list->data[trimmed - 1] == '\t'))
        trimmed--;
    *ret = (cairn_str){list->data, trimmed};
    list->data += size;
    list->size -= size;
    return true;
}

static enum h1_result
take_length(struct h1_head *head, cairn_str value)
{
    if (head->has_length)
        return bad(head, 400, "there is more than one Content-Length");
    head->has_length = true;
    uint64_t length = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return bad(head, 400, "Content-Length is not a decimal number");
        if (length > (INT64_MAX - 9) / 10)
            return bad(head, 400, "Content-Length does not fit 63 bits");
        length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    if (value.size == 0)
        return bad(head, 400, "Content-Length is empty");
    head->content_length = (int64_t)length;
    return H1_DONE;
}

static enum h1_result
take_coding(struct h1_head *head, cairn_str value)
{
    if (head->has_coding)
        return bad(head, 400, "there is more than one Transfer-Encoding");
    head->has_coding = true;
    if (head->minor == 0)
        return bad(head, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (SAME(value, "chunked")) {
        head->chunked = true;
        return H1_DONE;
    }
    /* Without chunked as the last coding the body's end could not be found (RFC 9112 §6.3). */
    cairn_str item, last = {NULL, 0};
    while (next_item(&value, &item))
        last = item;
    if (SAME(last, "chunked"))
        return bad(head, 501, "the only transfer coding taken here is chunked");
    return bad(head, 400, "Transfer-Encoding does not end with chunked");
}

static enum h1_result
take_host(struct h1_head *head, cairn_str value)
{
    if (head->has_host)
        return bad(head, 400, "there is more than one Host");
    head->has_host = true;
    if (skip(value.data, value.data + value.size, HOST) != value.data + value.size)
        return bad(head, 400, "Host holds a character that no host name has");
    return H1_DONE;
}

static enum h1_result
take_connection(struct h1_head *head, cairn_str value)
{
    cairn_str item;
    while (next_item(&value, &item)) {
        if (SAME(item, "close"))
            head->saw_close = true;
        else if (SAME(item, "keep-alive"))
            head->saw_keep_alive = true;
        else if (SAME(item, "upgrade"))
            head->saw_upgrade = true;
        else if (SAME(item, "http2-settings"))
            head->saw_settings = true;
    }
    return H1_DONE;
}

static enum h1_result
take_expect(struct h1_head *head, cairn_str value)
{
    if (!SAME(value, "100-continue"))
        return bad(head, 417, "the only expectation met here is 100-continue");
    head->expect_continue = head->minor >= 1;
    return H1_DONE;
}

static enum h1_result
take_upgrade(struct h1_head *head, cairn_str value)
{
    cairn_str item;
    while (next_item(&value, &item))
        head->saw_h2c = head->saw_h2c || SAME(item, "h2c");
    return H1_DONE;
}

/* Fields that change how the message is read. Everything else is the handler's. */
static enum h1_result
take_field(struct h1_head *head, const struct h1_field *field, const char *bytes)
{
    static const struct {
        const char *name;
        size_t size;
        enum h1_result (*take)(struct h1_head *head, cairn_str value);
    } framing[] = {
        {"host", 4, take_host},
        {"connection", 10, take_connection},
        {"content-length", 14, take_length},
        {"transfer-encoding", 17, take_coding},
        {"expect", 6, take_expect},
        {"upgrade", 7, take_upgrade},
    };
    cairn_str name = {bytes + field->name.at, field->name.size};
    cairn_str value = {bytes + field->value.at, field->value.size};
    for (size_t i = 0; i < sizeof framing / sizeof *framing; i++)
        if (framing[i].size == name.size && h1_same_name(name, framing[i].name, name.size))
            return framing[i].take(head, value);
    if (SAME(name, "http2-settings")) {
        if (head->h2_settings.at)
            return bad(head, 400, "there is more than one HTTP2-Settings");
        head->h2_settings = field->value;
    }
    return H1_DONE;
}

static enum h1_result
parse_field_line(struct h1_head *head, const char *bytes, const char *line, const char *end,
                 const struct h1_limits *limits)
{
    if (*line == ' ' || *line == '\t')
        return bad(head, 400, "a header line is folded");
    const char *colon = skip(line, end, TOKEN);
    if (colon == line || colon == end || *colon != ':')
        return bad(head, 400, "a header line does not begin with a name and a colon");
    const char *value = colon + 1, *value_end = end;
    while (value < value_end && (*value == ' ' || *value == '\t'))
        value++;
    while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t'))
        value_end--;
    if (skip(value, value_end, VALUE) != value_end)
        return bad(head, 400, "a header value holds a control character");
    if (head->field_count >= limits->fields_max || head->field_count >= head->field_room)
        return bad(head, 431, "there are too many header fields");
    struct h1_field *field = &head->fields[head->field_count++];
    field->name = (struct h1_span){(uint32_t)(line - bytes), (uint32_t)(colon - line)};
    field->value = (struct h1_span){(uint32_t)(value - bytes), (uint32_t)(value_end - value)};
    return take_field(head, field, bytes);
}

/* What only the whole head can tell. */
static enum h1_result
finish_head(struct h1_head *head)
{
    if (head->minor >= 1 && !head->has_host)
        return bad(head, 400, "Host is missing");
    if (head->has_length && head->has_coding)
        return bad(head, 400, "there are both Content-Length and Transfer-Encoding");
    head->keep_alive = !head->saw_close && (head->minor >= 1 || head->saw_keep_alive);
    head->upgrade_h2c = head->minor >= 1 && head->saw_upgrade && head->saw_h2c && head->saw_settings &&
                        head->h2_settings.at != 0;
    return H1_DONE;
}

/* ---- the head -------------------------------------------------------------------------------- */

void
h1_head_begin(struct h1_head *head, uint32_t field_room)
{
    memset(head, 0, sizeof *head);
    head->content_length = -1;
    head->field_room = field_room;
}

static enum h1_result
too_long(struct h1_head *head)
{
    if (head->method.size == 0)
        return bad(head, 414, "the request line is too long");
    return bad(head, 431, "the header fields are too long");
}

/* One complete line, without its CRLF. H1_MORE: go on with the next one. */
static enum h1_result
parse_line(struct h1_head *head, const char *bytes, const char *line, const char *end,
           const struct h1_limits *limits)
{
    if (head->method.size == 0) {
        if (line == end && !head->skipped_line) {
            head->skipped_line = true; /* one empty line before a request is forgiven */
            return H1_MORE;
        }
        enum h1_result result = parse_request_line(head, bytes, line, end, limits);
        return result == H1_DONE ? H1_MORE : result;
    }
    if (line == end) {
        head->size = (uint32_t)(end + 2 - bytes);
        return finish_head(head);
    }
    enum h1_result result = parse_field_line(head, bytes, line, end, limits);
    return result == H1_DONE ? H1_MORE : result;
}

enum h1_result
h1_head_parse(struct h1_head *head, const char *bytes, size_t size, const struct h1_limits *limits)
{
    size_t seen = size < limits->head_max ? size : limits->head_max;
    for (;;) {
        const char *line = bytes + head->line, *limit = bytes + seen;
        const char *newline = memchr(bytes + head->scanned, '\n', seen - head->scanned);
        if (head->method.size == 0 && line < limit && *line != '\r' &&
            check_method(head, line, limit) == H1_BAD)
            return H1_BAD;
        if (!newline) {
            head->scanned = (uint32_t)seen;
            return size < limits->head_max ? H1_MORE : too_long(head);
        }
        if (newline == line || newline[-1] != '\r')
            return bad(head, 400, "a line ends with a bare LF");
        const char *end = newline - 1;
        head->scanned = head->line = (uint32_t)(newline + 1 - bytes);
        enum h1_result result = parse_line(head, bytes, line, end, limits);
        if (result != H1_MORE)
            return result;
    }
}

/* ---- the body -------------------------------------------------------------------------------- */

/*  LENGTH ─► END
 *  SIZE ─► EXTENSION ─► SIZE_LF ─► DATA ─► DATA_CR ─► DATA_LF ─► SIZE …
 *                          └(0)─► TRAILER ─► NAME ─► VALUE ─► LINE_LF ─► TRAILER … ─► LAST_LF ─► END     */
enum { END, LENGTH, SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, NAME, VALUE_PART, LINE_LF, LAST_LF };

#define SIZE_LINE_MAX 256  /* bytes of a chunk's size with its extensions */
#define TRAILERS_MAX 8192  /* bytes of all trailers */

void
h1_body_begin(struct h1_body *body, const struct h1_head *head)
{
    *body = (struct h1_body){.state = END};
    if (head->chunked) {
        body->chunked = true;
        body->state = SIZE;
    } else if (head->content_length > 0) {
        body->state = LENGTH;
        body->left = (uint64_t)head->content_length;
    }
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
body_bad(struct h1_body *body, const char *why)
{
    body->why = why;
    return false;
}

/* A byte of a chunk's size line, the first of which must be a digit. */
static bool
step_size(struct h1_body *body, char c)
{
    int digit = hex_digit(c);
    if (digit >= 0) {
        if (body->left > (UINT64_MAX >> 5))
            return body_bad(body, "a chunk's size does not fit");
        body->left = body->left * 16 + (uint64_t)digit;
        return true;
    }
    if (body->line_bytes <= 1)
        return body_bad(body, "a chunk does not begin with its size in hexadecimal");
    if (c == '\r')
        body->state = SIZE_LF;
    else if (c == ';')
        body->state = EXTENSION;
    else
        return body_bad(body, "a chunk's size is followed by something else than ';' or CRLF");
    return true;
}

static bool
step_trailer(struct h1_body *body, char c)
{
    switch (body->state) {
    case TRAILER:
        body->state = c == '\r' ? LAST_LF : NAME;
        return c == '\r' || is(c, TOKEN) || body_bad(body, "a trailer has no valid name");
    case NAME:
        if (c == ':')
            body->state = VALUE_PART;
        return c == ':' || is(c, TOKEN) || body_bad(body, "a trailer has no valid name");
    case VALUE_PART:
        if (c == '\r')
            body->state = LINE_LF;
        return c == '\r' || is(c, VALUE) || body_bad(body, "a trailer holds a control character");
    default:
        if (c != '\n')
            return body_bad(body, "a trailer holds a bare CR");
        body->state = body->state == LAST_LF ? END : TRAILER;
        return true;
    }
}

/* One byte of what stands around the chunks' data. */
static bool
step(struct h1_body *body, char c)
{
    if (body->state <= SIZE_LF && ++body->line_bytes > SIZE_LINE_MAX)
        return body_bad(body, "a chunk's size line is longer than 256 bytes");
    if (body->state >= TRAILER && ++body->line_bytes > TRAILERS_MAX)
        return body_bad(body, "the trailers are longer than 8192 bytes");
    switch (body->state) {
    case SIZE:
        return step_size(body, c);
    case EXTENSION:
        if (c == '\r')
            body->state = SIZE_LF;
        return c == '\r' || is(c, VALUE) || body_bad(body, "a chunk's extension holds a control character");
    case SIZE_LF:
        body->state = body->left ? DATA : TRAILER;
        body->line_bytes = 0;
        return c == '\n' || body_bad(body, "a chunk's size line holds a bare CR");
    case DATA_CR:
        body->state = DATA_LF;
        return c == '\r' || body_bad(body, "a chunk's data is longer than its size");
    case DATA_LF:
        body->state = SIZE;
        body->line_bytes = 0;
        return c == '\n' || body_bad(body, "a chunk's data is followed by a bare CR");
    default:
        return step_trailer(body, c);
    }
}

enum h1_result
h1_body_parse(struct h1_body *body, const char *bytes, size_t size, size_t *ret_used, cairn_str *ret_data)
{
    size_t used = 0;
    *ret_data = (cairn_str){NULL, 0};
    while (used < size && body->state != END) {
        if (body->state == LENGTH || body->state == DATA) {
            size_t take = size - used < body->left ? size - used : (size_t)body->left;
            *ret_data = (cairn_str){bytes + used, take};
            used += take;
            body->left -= take;
            if (body->left == 0)
                body->state = body->state == LENGTH ? END : DATA_CR;
            break;
        }
        if (!step(body, bytes[used++])) {
            *ret_used = used;
            return H1_BAD;
        }
    }
    *ret_used = used;
    return body->state == END ? H1_DONE : H1_MORE;
}

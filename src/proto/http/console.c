/* The console's files over HTTP.
 *
 * All of it is in the program: a request looks its path up and answers, compressed where the client takes that. Pages
 * may load nothing from elsewhere, run nothing that is not a file of ours, and be framed by nobody: the policy below
 * says so to the browser. Runs on the loops' threads; the table never changes. */
#include <proto/http/console.h>

#include <proto/http/api_parse.h>
#include <proto/http/http.h>

#include <string.h>
#include <strings.h>

#define PREFIX "/console"
#define INDEX "index.html"

static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static const char without[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Cairn: no console</title>\n"
    "<h1>This server was built without the console</h1>\n"
    "<p>Building the console takes Node.js and npm, and npm was out of reach. Everything else works: see "
    "<a href=\"/openapi.json\">/openapi.json</a> and the <code>cairn</code> command.</p>\n"
    "<p>To have it: <code>make build</code> again where npm can be reached.</p>\n</html>\n";

static bool
begins_with(cairn_str text, const char *prefix)
{
    size_t size = strlen(prefix);
    return text.size >= size && memcmp(text.data, prefix, size) == 0;
}

/* The next element of a list with commas, without the spaces around it. */
static bool
next_element(cairn_str *rest, cairn_str *ret)
{
    if (rest->size == 0)
        return false;
    const char *comma = memchr(rest->data, ',', rest->size);
    cairn_str at = {rest->data, comma ? (size_t)(comma - rest->data) : rest->size};
    rest->data += at.size + (comma != NULL);
    rest->size -= at.size + (comma != NULL);
    while (at.size > 0 && (at.data[0] == ' ' || at.data[0] == '\t'))
        at = (cairn_str){at.data + 1, at.size - 1};
    while (at.size > 0 && (at.data[at.size - 1] == ' ' || at.data[at.size - 1] == '\t'))
        at.size--;
    *ret = at;
    return true;
}

/* "gzip;q=0" is a refusal (RFC 9110 §12.5.3). */
static bool
is_refused(cairn_str parameters)
{
    const char *q = memmem(parameters.data, parameters.size, "q=0", 3);
    for (q = q ? q + 3 : NULL; q && q < parameters.data + parameters.size; q++)
        if (*q != '.' && *q != '0')
            return *q < '1' || *q > '9';
    return q != NULL;
}

static bool
takes_gzip(cairn_str accept_encoding)
{
    cairn_str element;
    while (next_element(&accept_encoding, &element))
        if (element.size >= 4 && strncasecmp(element.data, "gzip", 4) == 0 &&
            (element.size == 4 || element.data[4] == ';' || element.data[4] == ' '))
            return !is_refused((cairn_str){element.data + 4, element.size - 4});
    return false;
}

/* A browser names text/html in Accept; programs name JSON or anything at all. */
static bool
is_browser(cairn_str accept)
{
    cairn_str element;
    while (next_element(&accept, &element))
        if (parse_media_is(element, "text/html"))
            return true;
    return false;
}

/* If-None-Match compares weakly (RFC 9110 §13.1.2). */
static bool
has_this(cairn_str if_none_match, const char *etag)
{
    cairn_str element;
    while (next_element(&if_none_match, &element)) {
        if (begins_with(element, "W/"))
            element = (cairn_str){element.data + 2, element.size - 2};
        if (cairn_str_equal(element, cairn_cstr(etag)) || cairn_str_equal(element, CAIRN_STR("*")))
            return true;
    }
    return false;
}

static const struct console_file *
find_file(cairn_str path)
{
    for (const struct console_file *file = console_files; file->path; file++)
        if (cairn_str_equal(path, cairn_cstr(file->path)))
            return file;
    return NULL;
}

static int
redirect(struct http_exchange *x)
{
    struct http_field fields[] = {{"location", CAIRN_STR(PREFIX "/")}, {"vary", CAIRN_STR("accept")},
                                  {"cache-control", CAIRN_STR("no-cache")}};
    http_respond(x, 302, fields, sizeof fields / sizeof *fields, CAIRN_STR(""));
    return 302;
}

static int
send_text(struct http_exchange *x, int status, const char *type, const char *text)
{
    struct http_field fields[] = {{"content-type", cairn_cstr(type)}, {"cache-control", CAIRN_STR("no-store")},
                                  {"content-security-policy", cairn_cstr(policy)},
                                  {"x-content-type-options", CAIRN_STR("nosniff")}};
    http_respond(x, status, fields, sizeof fields / sizeof *fields, cairn_cstr(text));
    return status;
}

static int
send_file(struct http_exchange *x, const struct console_file *file, bool is_fixed)
{
    bool packed = file->gzip && takes_gzip(http_header(x, "accept-encoding"));
    const char *etag = packed ? file->gzip_etag : file->etag;
    cairn_str body = packed ? (cairn_str){file->gzip, file->gzip_size} : (cairn_str){file->bytes, file->size};
    bool known = has_this(http_header(x, "if-none-match"), etag);
    struct http_field fields[10] = {
        {"etag", cairn_cstr(etag)},
        {"cache-control", is_fixed ? CAIRN_STR("public, max-age=31536000, immutable") : CAIRN_STR("no-cache")},
        {"vary", CAIRN_STR("accept-encoding")},
        {"content-security-policy", cairn_cstr(policy)},
        {"x-content-type-options", CAIRN_STR("nosniff")},
        {"referrer-policy", CAIRN_STR("no-referrer")},
        {"cross-origin-opener-policy", CAIRN_STR("same-origin")},
    };
    size_t count = 7;
    if (!known)
        fields[count++] = (struct http_field){"content-type", cairn_cstr(file->type)};
    if (!known && packed)
        fields[count++] = (struct http_field){"content-encoding", CAIRN_STR("gzip")};
    int status = known ? 304 : 200;
    http_respond(x, status, fields, count, known ? CAIRN_STR("") : body);
    return status;
}

bool
console_serve(struct http_exchange *x, int *ret_status)
{
    cairn_str path = http_path(x), method = http_method(x);
    bool is_root = cairn_str_equal(path, CAIRN_STR("/"));
    bool is_below = begins_with(path, PREFIX "/");
    if (!cairn_str_equal(method, CAIRN_STR("GET")) && !cairn_str_equal(method, CAIRN_STR("HEAD")))
        return false;
    if (cairn_str_equal(path, CAIRN_STR(PREFIX)) || (is_root && is_browser(http_header(x, "accept")))) {
        *ret_status = redirect(x);
        return true;
    }
    if (!is_below)
        return false;
    path = (cairn_str){path.data + sizeof PREFIX, path.size - sizeof PREFIX};
    bool is_asset = begins_with(path, "assets/");
    const struct console_file *file = find_file(path);
    if (!file && !is_asset)
        file = find_file(CAIRN_STR(INDEX));
    if (file)
        *ret_status = send_file(x, file, is_asset);
    else if (is_asset)
        *ret_status = send_text(x, 404, "text/plain; charset=utf-8", "There is no such file of the console.\n");
    else
        *ret_status = send_text(x, 200, "text/html; charset=utf-8", without);
    return true;
}

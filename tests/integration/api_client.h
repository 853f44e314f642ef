/* tests/integration/api_client.h: a client for the tests of the HTTP API: whole requests by libcurl, and streams of
 * server-sent events over a plain socket, where the test decides when to read. */
#ifndef TESTS_API_CLIENT_H
#define TESTS_API_CLIENT_H

#include <test.h>

#include <base/bytes.h>
#include <base/json.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#define CLIENT_TIMEOUT_MS 20000

struct reply {
    long status;
    struct buf body, headers;
    struct json json; /* of the body, NONE where it is none */
};

static inline size_t
client_take(char *bytes, size_t size, size_t count, void *to)
{
    buf_put(to, bytes, size * count);
    return size * count;
}

static inline void
reply_free(struct reply *reply)
{
    buf_free(&reply->body);
    buf_free(&reply->headers);
}

/* `headers` are lines, ended by NULL. The curl handle is the thread's own. */
static inline struct reply
client_call(const char *base, const char *method, const char *path, const char *const *headers, cairn_str body)
{
    struct reply reply = {0};
    char url[2048];
    CURL *curl = curl_easy_init();
    struct curl_slist *list = NULL;
    assert_non_null(curl);
    snprintf(url, sizeof url, "%s%s", base, path);
    for (size_t i = 0; headers && headers[i]; i++)
        list = curl_slist_append(list, headers[i]);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_NOBODY, (long)!strcmp(method, "HEAD"));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)CLIENT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, client_take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply.body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, client_take);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &reply.headers);
    if (body.data) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.size);
    }
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        fail_msg("%s %s: %s", method, url, curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
    buf_put_char(&reply.headers, '\0');
    buf_put_char(&reply.body, '\0');
    reply.body.size--;
    if (json_check(buf_str(&reply.body), &reply.json, NULL) != CAIRN_OK)
        reply.json = (struct json){0};
    return reply;
}

/* The value of a response header, in `to`; false when it is absent. */
static inline bool
reply_header(const struct reply *reply, const char *name, char to[256])
{
    char line[300];
    snprintf(line, sizeof line, "\n%s: ", name);
    const char *at = strcasestr(reply->headers.data, line);
    if (!at)
        return false;
    at += strlen(line);
    snprintf(to, 256, "%.*s", (int)strcspn(at, "\r\n"), at);
    return true;
}

/* ---- server-sent events ------------------------------------------------------------------------------- */

struct sse {
    int fd;
    struct buf in;   /* as received */
    struct buf text; /* without the chunks' frames */
    size_t at;       /* in text */
    bool begun, ended;
};

struct sse_event {
    bool has_id, has_data;
    uint64_t id;
    cairn_str data; /* valid until the next call */
    bool comment;
    char event[32];
};

static inline struct sse
sse_open(unsigned port, const char *path, const char *last_id)
{
    struct sse sse = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[1024];
    assert_true(sse.fd >= 0);
    assert_int_equal(connect(sse.fd, (struct sockaddr *)&to, sizeof to), 0);
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nhost: t\r\naccept: text/event-stream\r\n%s%s%s\r\n",
                        path, last_id ? "last-event-id: " : "", last_id ? last_id : "", last_id ? "\r\n" : "");
    assert_int_equal(send(sse.fd, request, (size_t)size, MSG_NOSIGNAL), size);
    return sse;
}

static inline void
sse_close(struct sse *sse)
{
    close(sse->fd);
    buf_free(&sse->in);
    buf_free(&sse->text);
}

/* More bytes from the socket; false when none came in time or the peer has ended. */
static inline bool
sse_receive(struct sse *sse, int timeout_ms)
{
    struct pollfd wait = {sse->fd, POLLIN, 0};
    if (poll(&wait, 1, timeout_ms) <= 0)
        return false;
    if (!buf_reserve(&sse->in, 65536))
        return false;
    ssize_t n = recv(sse->fd, sse->in.data + sse->in.size, 65536, 0);
    if (n <= 0) {
        sse->ended = true;
        return false;
    }
    sse->in.size += (size_t)n;
    return true;
}

static inline void
sse_drop(struct buf *buf, size_t count)
{
    memmove(buf->data, buf->data + count, buf->size - count);
    buf->size -= count;
}

/* Take whole chunks off the input. */
static inline void
sse_unchunk(struct sse *sse)
{
    if (!sse->begun) {
        char *end = sse->in.size ? memmem(sse->in.data, sse->in.size, "\r\n\r\n", 4) : NULL;
        if (!end)
            return;
        if (strncmp(sse->in.data, "HTTP/1.1 200", 12) != 0)
            fail_msg("%.*s", (int)sse->in.size, sse->in.data);
        sse_drop(&sse->in, (size_t)(end + 4 - sse->in.data));
        sse->begun = true;
    }
    for (;;) {
        char *line = sse->in.size ? memmem(sse->in.data, sse->in.size, "\r\n", 2) : NULL;
        if (!line)
            return;
        size_t size = strtoul(sse->in.data, NULL, 16), head = (size_t)(line + 2 - sse->in.data);
        if (sse->in.size < head + size + 2)
            return;
        if (size == 0) {
            sse->ended = true;
            return;
        }
        buf_put(&sse->text, sse->in.data + head, size);
        sse_drop(&sse->in, head + size + 2);
    }
}

/* The next block of lines. False: nothing whole came within the time, or the stream is over. */
static inline bool
sse_next(struct sse *sse, struct sse_event *ret, int timeout_ms)
{
    char *end;
    memset(ret, 0, sizeof *ret);
    while (!(end = sse->text.size > sse->at
                       ? memmem(sse->text.data + sse->at, sse->text.size - sse->at, "\n\n", 2)
                       : NULL)) {
        if (sse->at > 0) {
            sse_drop(&sse->text, sse->at);
            sse->at = 0;
        }
        size_t before = sse->text.size;
        sse_unchunk(sse);
        if (sse->text.size == before && (sse->ended || !sse_receive(sse, timeout_ms)))
            return false;
    }
    for (char *line = sse->text.data + sse->at; line < end;) {
        char *stop = memchr(line, '\n', (size_t)(end + 1 - line));
        if (line[0] == ':')
            ret->comment = true;
        else if (!strncmp(line, "id: ", 4)) {
            ret->has_id = true;
            ret->id = strtoull(line + 4, NULL, 10);
        } else if (!strncmp(line, "data: ", 6)) {
            ret->has_data = true;
            ret->data = (cairn_str){line + 6, (size_t)(stop - line - 6)};
        } else if (!strncmp(line, "event: ", 7))
            snprintf(ret->event, sizeof ret->event, "%.*s", (int)(stop - line - 7), line + 7);
        line = stop + 1;
    }
    sse->at = (size_t)(end + 2 - sse->text.data);
    return true;
}

/* The next one that is an event. */
static inline bool
sse_next_data(struct sse *sse, struct sse_event *ret)
{
    while (sse_next(sse, ret, CLIENT_TIMEOUT_MS))
        if (ret->has_data)
            return true;
    return false;
}

#endif

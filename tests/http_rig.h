/* tests/http_rig.h: an HTTP server with handlers made for tests, and a client of raw sockets.
 *
 *   /echo      the body back; x-method, x-path, x-query, x-header (the request's "x-test") say what was understood
 *   /bytes?N   N bytes in one answer          /stream?N  the same in pieces, minding backpressure
 *   /held      answered by rig_answer_held() from the test's thread
 *   /sse       begins an event stream and leaves it open
 *   /pool      answered by a pool thread      /forget    not answered at all
 *   /flood     writes 64 MiB without minding backpressure
 * Byte i of /bytes and /stream is rig_byte(i). */
#ifndef TESTS_HTTP_RIG_H
#define TESTS_HTTP_RIG_H

#include "test.h"

#include <proto/http/http.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#define RIG_HELD_MAX 256

struct rig {
    struct http_server *server;
    uint16_t port;
    atomic_uint begun, closed, drained, refused_writes, gone;
    atomic_uint held_count;
    struct http_exchange *_Atomic held[RIG_HELD_MAX];
    struct rig_answer {
        struct http_post_node node;
        struct http_exchange *x;
        struct rig *rig;
    } answers[RIG_HELD_MAX];
};

static inline char
rig_byte(size_t i)
{
    return (char)('a' + (i + i / 251) % 26);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static inline int64_t
rig_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Wait, at most ten seconds, until the condition holds. */
#define RIG_AWAIT(condition)                                                                       \
    do {                                                                                           \
        int64_t until_ = rig_now_ms() + 10000;                                                     \
        while (!(condition)) {                                                                     \
            if (rig_now_ms() > until_)                                                             \
                fail_msg("never became true: %s", #condition);                                     \
            poll(NULL, 0, 1);                                                                      \
        }                                                                                          \
    } while (0)

/* ---- handlers -------------------------------------------------------------------------------- */

static inline size_t
rig_number(cairn_str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++)
        n = n * 10 + (size_t)(text.data[i] - '0');
    return n;
}

static inline void
rig_echo(struct http_exchange *x)
{
    struct http_field fields[] = {
        {"content-type", CAIRN_STR("application/octet-stream")},
        {"x-method", http_method(x)},
        {"x-path", http_path(x)},
        {"x-query", http_query_text(x)},
        {"x-header", http_header(x, "x-test")},
        {"x-host", http_header(x, "host")},
        {"x-tls", http_is_tls(x) ? CAIRN_STR("yes") : CAIRN_STR("no")},
    };
    http_respond(x, 200, fields, sizeof fields / sizeof *fields, http_body(x));
}

static inline void
rig_bytes(struct http_exchange *x)
{
    size_t size = rig_number(http_query_text(x));
    char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = rig_byte(i);
    http_respond(x, 200, NULL, 0, (cairn_str){bytes, size});
    free(bytes);
}

struct rig_stream {
    struct rig *rig;
    size_t at, size;
};

static inline void
rig_stream_on(void *context, struct http_exchange *x)
{
    struct rig_stream *stream = context;
    if (stream->at > 0)
        atomic_fetch_add(&stream->rig->drained, 1);
    while (stream->at < stream->size) {
        char piece[10000];
        size_t size = stream->size - stream->at < sizeof piece ? stream->size - stream->at : sizeof piece;
        for (size_t i = 0; i < size; i++)
            piece[i] = rig_byte(stream->at + i);
        stream->at += size;
        if (!http_write(x, (cairn_str){piece, size})) {
            atomic_fetch_add(&stream->rig->refused_writes, 1);
            if (stream->at < stream->size)
                return;
        }
    }
    http_end(x);
}

static inline void
rig_stream_closed(void *context, struct http_exchange *x)
{
    struct rig_stream *stream = context;
    atomic_fetch_add(&stream->rig->closed, 1);
    if (http_is_gone(x))
        atomic_fetch_add(&stream->rig->gone, 1);
    free(stream);
}

static inline void
rig_stream(struct rig *rig, struct http_exchange *x)
{
    struct rig_stream *stream = calloc(1, sizeof *stream);
    assert_non_null(stream);
    stream->rig = rig;
    stream->size = rig_number(http_query_text(x));
    struct http_field type = {"content-type", CAIRN_STR("text/plain")};
    atomic_fetch_add(&rig->begun, 1);
    http_begin(x, 200, &type, 1, rig_stream_on, rig_stream_closed, stream);
    rig_stream_on(stream, x);
}

static inline void
rig_sse_closed(void *context, struct http_exchange *x)
{
    struct rig *rig = context;
    atomic_fetch_add(&rig->closed, 1);
    if (http_is_gone(x))
        atomic_fetch_add(&rig->gone, 1);
    CHECK(!http_write(x, CAIRN_STR("too late")));
    http_end(x);
}

static inline void
rig_sse(struct rig *rig, struct http_exchange *x)
{
    struct http_field type = {"content-type", CAIRN_STR("text/event-stream")};
    http_begin(x, 200, &type, 1, NULL, rig_sse_closed, rig);
    http_write(x, CAIRN_STR("data: hello\n\n"));
    atomic_fetch_add(&rig->begun, 1);
}

static inline void
rig_flood(struct rig *rig, struct http_exchange *x)
{
    static const char block[65536];
    http_begin(x, 200, NULL, 0, NULL, rig_sse_closed, rig);
    atomic_fetch_add(&rig->begun, 1);
    for (unsigned i = 0; i < 1024; i++)
        if (!http_write(x, (cairn_str){block, sizeof block}) && http_is_gone(x))
            break;
}

static inline void
rig_work(void *context)
{
    struct rig_answer *answer = context;
    CHECK(answer->x != NULL);
}

static inline void
rig_worked(void *context)
{
    struct rig_answer *answer = context;
    http_respond(answer->x, 200, NULL, 0, CAIRN_STR("worked"));
    http_release(answer->x);
    free(answer);
}

static inline void
rig_start_work(struct http_exchange *x)
{
    struct rig_answer *answer = calloc(1, sizeof *answer);
    assert_non_null(answer);
    answer->x = x;
    http_hold(x);
    CHECK(http_work(http_loop_of(x), rig_work, rig_worked, answer));
}

static inline void
rig_handle(void *context, struct http_exchange *x)
{
    struct rig *rig = context;
    cairn_str path = http_path(x);
    if (cairn_str_equal(path, CAIRN_STR("/bytes"))) {
        rig_bytes(x);
    } else if (cairn_str_equal(path, CAIRN_STR("/stream"))) {
        rig_stream(rig, x);
    } else if (cairn_str_equal(path, CAIRN_STR("/sse"))) {
        rig_sse(rig, x);
    } else if (cairn_str_equal(path, CAIRN_STR("/flood"))) {
        rig_flood(rig, x);
    } else if (cairn_str_equal(path, CAIRN_STR("/pool"))) {
        rig_start_work(x);
    } else if (cairn_str_equal(path, CAIRN_STR("/forget"))) {
        http_hold(x);
        http_release(x);
    } else if (cairn_str_equal(path, CAIRN_STR("/held"))) {
        http_hold(x);
        atomic_store(&rig->held[atomic_fetch_add(&rig->held_count, 1) % RIG_HELD_MAX], x);
    } else {
        rig_echo(x);
    }
}

static inline void
rig_answer_here(void *context)
{
    struct rig_answer *answer = context;
    if (http_is_gone(answer->x))
        atomic_fetch_add(&answer->rig->gone, 1);
    http_respond(answer->x, 200, NULL, 0, http_query_text(answer->x));
    http_release(answer->x);
}

/* Answer the n-th exchange that came to /held, from this thread. */
static inline void
rig_answer_held(struct rig *rig, unsigned n)
{
    struct http_exchange *x;
    RIG_AWAIT((x = atomic_load(&rig->held[n])) != NULL);
    rig->answers[n] = (struct rig_answer){{NULL, rig_answer_here, &rig->answers[n]}, x, rig};
    CHECK(http_post(http_loop_of(x), &rig->answers[n].node));
}

/* ---- the server ------------------------------------------------------------------------------ */

static inline void
rig_start(struct rig *rig, struct http_config config)
{
    cairn_error error;
    memset(rig, 0, sizeof *rig);
    config.address = config.address ? config.address : "127.0.0.1";
    config.loops = config.loops ? config.loops : 2;
    config.handler = rig_handle;
    config.context = rig;
    if (http_server_start(&config, &rig->server, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    rig->port = http_server_port(rig->server);
}

static inline void
rig_stop(struct rig *rig)
{
    http_server_stop(rig->server, 2000);
}

static inline struct http_server_stats
rig_stats(struct rig *rig)
{
    struct http_server_stats stats;
    http_server_stats(rig->server, &stats);
    return stats;
}

/* ---- a raw client ---------------------------------------------------------------------------- */

static inline void
rig_join(int fd, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {10, 0};
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
        fail_msg("connect: %s", strerror(errno));
}

static inline int
rig_connect(const struct rig *rig)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    rig_join(fd, rig->port);
    return fd;
}

static inline bool
rig_try_send(int fd, const void *bytes, size_t size)
{
    for (const char *at = bytes; size > 0;) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

static inline void
rig_send(int fd, const char *text)
{
    CHECK(rig_try_send(fd, text, strlen(text)));
}

/* Read until `to` holds `size` bytes, the peer ends, or ten seconds pass. Returns bytes read, or -1 on a reset
 * or time-out before the first. A NUL follows. */
static inline ssize_t
rig_receive(int fd, char *to, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t got = recv(fd, to + have, size - have, 0);
        if (got <= 0) {
            if (got < 0 && have == 0)
                return -1;
            break;
        }
        have += (size_t)got;
    }
    to[have] = '\0';
    return (ssize_t)have;
}

/* Everything until the peer closes; fails the test when it does not within ten seconds. */
static inline size_t
rig_receive_all(int fd, char *to, size_t size)
{
    size_t have = 0;
    for (;;) {
        ssize_t got = recv(fd, to + have, size - 1 - have, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            fail_msg("the server neither answered nor closed");
        if (got <= 0)
            break;
        have += (size_t)got;
        CHECK(have < size - 1);
    }
    to[have] = '\0';
    return have;
}

struct rig_response {
    int status;
    char head[4096];
    char *body;
    size_t size;
};

static inline void
rig_free(struct rig_response *response)
{
    free(response->body);
}

/* One answer with a content-length (or `bodiless`), exactly, leaving what follows in the socket. */
static inline void
rig_response(int fd, struct rig_response *ret, bool bodiless)
{
    memset(ret, 0, sizeof *ret);
    size_t have = 0;
    while (have < 4 || memcmp(ret->head + have - 4, "\r\n\r\n", 4) != 0) {
        ssize_t got = recv(fd, ret->head + have, 1, 0);
        if (got <= 0)
            fail_msg("no complete head, only: %.*s", (int)have, ret->head);
        have++;
        CHECK(have < sizeof ret->head - 1);
    }
    ret->head[have] = '\0';
    CHECK_INT(sscanf(ret->head, "HTTP/1.%*d %d", &ret->status), 1);
    const char *length = strstr(ret->head, "content-length: ");
    ret->size = length && !bodiless ? strtoul(length + 16, NULL, 10) : 0;
    ret->body = malloc(ret->size + 1);
    assert_non_null(ret->body);
    CHECK_INT(rig_receive(fd, ret->body, ret->size), (ssize_t)ret->size);
}

/* Send a request, expect this status and body (NULL: any). */
static inline void
rig_ask(int fd, const char *request, int status, const char *body)
{
    struct rig_response response;
    rig_send(fd, request);
    rig_response(fd, &response, false);
    CHECK_INT(response.status, status);
    if (body)
        CHECK_STR(response.body, body);
    rig_free(&response);
}

/* The server has closed: nothing more comes. */
static inline void
rig_expect_end(int fd)
{
    char more[256];
    ssize_t got = recv(fd, more, sizeof more, 0);
    if (got > 0 || (got < 0 && errno != ECONNRESET))
        fail_msg("expected the end, but got %zd (%s)", got, strerror(errno));
}

#define RIG_HOST "Host: test\r\n"

#endif

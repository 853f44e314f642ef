/* The HTTP server's bounds: each is reached on purpose, answered as documented, and leaves others unharmed. */
#include "http_rig.h"

#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static void
expect_problem(int fd, int status, const char *name)
{
    struct rig_response response;
    char type[64];
    rig_response(fd, &response, false);
    if (response.status != status)
        fail_msg("expected %d but got %d: %s", status, response.status, response.body);
    snprintf(type, sizeof type, "\"type\":\"urn:cairn:problem:%s\"", name);
    CHECK(strstr(response.head, "content-type: application/problem+json\r\n") != NULL);
    CHECK(strstr(response.head, "connection: close\r\n") != NULL);
    CHECK(strstr(response.body, type) != NULL);
    CHECK(strstr(response.body, "\"detail\":\"") != NULL);
    if (!strcmp(name, "limit")) /* how much there may be is told */
        CHECK(strstr(response.body, "limit is ") != NULL || strstr(response.body, "which is limits.") != NULL);
    rig_free(&response);
    rig_expect_end(fd);
    close(fd);
}

static void
put_many(struct buf *to, const char *text, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        buf_put_str(to, cairn_cstr(text));
}

/* Goal: what is too long is refused with its own status and a problem. Method: one request for each bound. */
TEST(bounds_have_their_statuses)
{
    struct rig rig;
    struct buf text = {0};
    rig_start(&rig, (struct http_config){.header_max = 2048, .headers_max = 20, .body_max = 1000});
    int fd = rig_connect(&rig);
    rig_send(fd, "GET / HTTP/1.1\r\nno host\r\n\r\n");
    expect_problem(fd, 400, "malformed");

    fd = rig_connect(&rig);
    buf_put_str(&text, CAIRN_STR("GET /"));
    put_many(&text, "x", 4000);
    CHECK(rig_try_send(fd, text.data, text.size));
    expect_problem(fd, 414, "limit");

    fd = rig_connect(&rig);
    buf_clear(&text);
    buf_put_str(&text, CAIRN_STR("GET / HTTP/1.1\r\n" RIG_HOST));
    put_many(&text, "A: b\r\n", 20);
    CHECK(rig_try_send(fd, text.data, text.size));
    expect_problem(fd, 431, "limit");

    fd = rig_connect(&rig);
    buf_clear(&text);
    buf_put_str(&text, CAIRN_STR("GET / HTTP/1.1\r\n" RIG_HOST "X: "));
    put_many(&text, "x", 4000);
    CHECK(rig_try_send(fd, text.data, text.size));
    expect_problem(fd, 431, "limit");

    fd = rig_connect(&rig);
    rig_send(fd, "POST / HTTP/1.1\r\n" RIG_HOST "Content-Length: 1001\r\n\r\n");
    expect_problem(fd, 413, "limit");

    fd = rig_connect(&rig);
    buf_clear(&text);
    buf_put_str(&text, CAIRN_STR("POST / HTTP/1.1\r\n" RIG_HOST "Transfer-Encoding: chunked\r\n\r\n3e9\r\n"));
    put_many(&text, "x", 1001);
    CHECK(rig_try_send(fd, text.data, text.size));
    expect_problem(fd, 413, "limit");

    CHECK_INT(rig_stats(&rig).rejected_total, 6);
    buf_free(&text);
    rig_stop(&rig);
}

/* Goal: a client that sends its whole body before it reads still gets the refusal, not a reset. Method: 1 MB after a
 * head that is refused at once. */
TEST(refusals_survive_unread_bodies)
{
    struct rig rig;
    struct buf text = {0};
    rig_start(&rig, (struct http_config){.body_max = 1000});
    int fd = rig_connect(&rig);
    buf_put_str(&text, CAIRN_STR("POST / HTTP/1.1\r\n" RIG_HOST "Content-Length: 1000000\r\n\r\n"));
    put_many(&text, "x", 1000000);
    CHECK(rig_try_send(fd, text.data, text.size));
    expect_problem(fd, 413, "limit");
    buf_free(&text);
    rig_stop(&rig);
}

/* Goal: all bodies together are bounded; whoever asks for more is told to come again. Method: one upload of 900 kB
 * stays half done while another begins; the bound is 1 MiB. */
TEST(bodies_in_memory_are_bounded)
{
    struct rig rig;
    struct buf text = {0};
    rig_start(&rig, (struct http_config){.body_max = 1 << 20, .bodies_max = 1 << 20});
    int first = rig_connect(&rig), second = rig_connect(&rig);
    buf_put_str(&text, CAIRN_STR("POST / HTTP/1.1\r\n" RIG_HOST "Content-Length: 900000\r\n\r\n"));
    put_many(&text, "x", 900000);
    CHECK(rig_try_send(first, text.data, text.size - 1));
    RIG_AWAIT(rig_stats(&rig).body_bytes >= 800000);
    CHECK(rig_try_send(second, text.data, text.size));
    expect_problem(second, 503, "busy");
    rig_ask(first, "x", 200, NULL);
    close(first);
    RIG_AWAIT(rig_stats(&rig).body_bytes == 0);
    buf_free(&text);
    rig_stop(&rig);
}

/* Goal: peers that do not finish what they begin are ended in time, each in its way. Method: small time-outs and one
 * connection for each; all wait at the same time. */
TEST(slow_peers_are_ended)
{
    struct rig rig;
    struct rig_response response;
    rig_start(&rig, (struct http_config){.header_timeout_ms = 200, .body_timeout_ms = 300, .idle_timeout_ms = 400});
    int silent = rig_connect(&rig), head = rig_connect(&rig), body = rig_connect(&rig);
    int chunk = rig_connect(&rig), idle = rig_connect(&rig), half = rig_connect(&rig);
    rig_send(head, "GET / HTTP/1.1\r\nHos");
    rig_send(half, "PRI * HTT");
    rig_send(body, "POST / HTTP/1.1\r\n" RIG_HOST "Content-Length: 10\r\n\r\nabc");
    rig_send(chunk, "POST / HTTP/1.1\r\n" RIG_HOST "Transfer-Encoding: chunked\r\n\r\nA\r\nabc");
    rig_ask(idle, "GET /bytes?2 HTTP/1.1\r\n" RIG_HOST "\r\n", 200, "ab");
    int64_t began = rig_now_ms();
    rig_expect_end(silent);
    rig_expect_end(half);
    expect_problem(head, 408, "timeout");
    CHECK(rig_now_ms() - began >= 150);
    expect_problem(body, 408, "timeout");
    expect_problem(chunk, 408, "timeout");
    rig_expect_end(idle);
    CHECK(rig_now_ms() - began >= 350);
    close(silent);
    close(half);
    close(idle);
    RIG_AWAIT(rig_stats(&rig).connections == 0);

    /* A byte now and then does not count as progress for ever: a body has to keep its rate. */
    int trickle = rig_connect(&rig);
    rig_send(trickle, "POST / HTTP/1.1\r\n" RIG_HOST "Content-Length: 1000000\r\n\r\n");
    began = rig_now_ms();
    struct pollfd answered = {trickle, POLLIN, 0};
    while (poll(&answered, 1, 20) == 0)
        CHECK(rig_try_send(trickle, "x", 1));
    CHECK(rig_now_ms() - began >= 250);
    CHECK(rig_now_ms() - began < 3000);
    rig_response(trickle, &response, false);
    CHECK_INT(response.status, 408);
    rig_free(&response);
    close(trickle);
    rig_stop(&rig);
}

/* Goal: many slow heads cost little and disturb nobody. Method: 500 connections send a head byte by byte; another client is
 * served between; at the end all have got their 408 and the memory is given back. */
TEST(slow_heads_disturb_nobody)
{
    enum { COUNT = 500 };
    struct rig rig;
    int fds[COUNT];
    rig_start(&rig, (struct http_config){.header_timeout_ms = 1500});
    int other = rig_connect(&rig);
    for (unsigned i = 0; i < COUNT; i++)
        fds[i] = rig_connect(&rig);
    static const char head[] = "GET / HTTP/1.1\r\nX: abcdefghi";
    for (size_t k = 0; k < sizeof head - 1; k++) {
        for (unsigned i = 0; i < COUNT; i++)
            (void)rig_try_send(fds[i], head + k, 1);
        rig_ask(other, "GET /bytes?2 HTTP/1.1\r\n" RIG_HOST "\r\n", 200, "ab");
    }
    for (unsigned i = 0; i < COUNT; i++)
        expect_problem(fds[i], 408, "timeout");
    close(other);
    RIG_AWAIT(rig_stats(&rig).connections == 0);
    CHECK_INT(rig_stats(&rig).body_bytes, 0);
    rig_stop(&rig);
}

/* Goal: a reader that stops reading is cut after write_timeout_ms, and its stream learns it. Method: a stream of 100 MB
 * into a socket that is never read. */
TEST(stalled_readers_are_cut)
{
    struct rig rig;
    rig_start(&rig, (struct http_config){.write_timeout_ms = 300, .write_buffer_max = 65536});
    int fd = rig_connect(&rig);
    rig_send(fd, "GET /stream?100000000 HTTP/1.1\r\n" RIG_HOST "\r\n");
    RIG_AWAIT(atomic_load(&rig.refused_writes) > 0);
    RIG_AWAIT(atomic_load(&rig.closed) == 1);
    CHECK_INT(atomic_load(&rig.gone), 1);
    close(fd);
    RIG_AWAIT(rig_stats(&rig).connections == 0);
    rig_stop(&rig);
}

/* Goal: unsent bytes of all peers are bounded, and those without progress pay, not others. Method: 40 peers that never read
 * streams of 100 MB (1 MiB buffered each; the bound is 8 MiB), while another reads one of 5 MB. */
TEST(unsent_bytes_are_bounded)
{
    enum { COUNT = 40 };
    struct rig rig;
    struct rig_response response;
    int fds[COUNT];
    rig_start(&rig, (struct http_config){.unsent_max = 8 << 20});
    for (unsigned i = 0; i < COUNT; i++) {
        fds[i] = rig_connect(&rig);
        rig_send(fds[i], "GET /stream?100000000 HTTP/1.1\r\n" RIG_HOST "\r\n");
    }
    RIG_AWAIT(atomic_load(&rig.begun) == COUNT);
    RIG_AWAIT(atomic_load(&rig.gone) >= COUNT - 10);
    CHECK(atomic_load(&rig.gone) < COUNT);
    int other = rig_connect(&rig);
    rig_send(other, "GET /bytes?3000000 HTTP/1.1\r\n" RIG_HOST "\r\n");
    rig_response(other, &response, false);
    CHECK_INT(response.size, 3000000);
    rig_free(&response);
    close(other);
    for (unsigned i = 0; i < COUNT; i++)
        close(fds[i]);
    RIG_AWAIT(atomic_load(&rig.closed) == COUNT);
    rig_stop(&rig);
}

/* Goal: the bound on unsent bytes is one for all, not a small share for each of many loops. Method: an answer of half of it, with
 * eight loops, of which nothing is read until it has been made. */
TEST(a_large_answer_may_take_what_nobody_else_needs)
{
    struct rig rig;
    struct rig_response response;
    rig_start(&rig, (struct http_config){.unsent_max = 40 << 20, .loops = 8});
    int fd = rig_connect(&rig);
    rig_send(fd, "GET /bytes?20000000 HTTP/1.1\r\n" RIG_HOST "\r\n");
    RIG_AWAIT(rig_stats(&rig).requests_total == 1);
    rig_response(fd, &response, false);
    CHECK_INT(response.size, 20000000);
    rig_free(&response);
    close(fd);
    CHECK_INT(rig_stats(&rig).rejected_total, 0);
    rig_stop(&rig);
}

/* Goal: connections beyond the bound get a 503, and there is room again when others leave. Method: a bound of 10. */
TEST(connections_are_bounded)
{
    struct rig rig;
    int fds[10];
    rig_start(&rig, (struct http_config){.connections_max = 10});
    for (unsigned i = 0; i < 10; i++) {
        fds[i] = rig_connect(&rig);
        rig_ask(fds[i], "GET /bytes?1 HTTP/1.1\r\n" RIG_HOST "\r\n", 200, "a");
    }
    for (unsigned i = 0; i < 3; i++) {
        int more = rig_connect(&rig);
        rig_send(more, "GET /bytes?1 HTTP/1.1\r\n" RIG_HOST "\r\n");
        expect_problem(more, 503, "busy");
    }
    rig_ask(fds[9], "GET /bytes?1 HTTP/1.1\r\n" RIG_HOST "\r\n", 200, "a");
    close(fds[0]);
    RIG_AWAIT(rig_stats(&rig).connections == 9);
    fds[0] = rig_connect(&rig);
    rig_ask(fds[0], "GET /bytes?1 HTTP/1.1\r\n" RIG_HOST "\r\n", 200, "a");
    for (unsigned i = 0; i < 10; i++)
        close(fds[i]);
    rig_stop(&rig);
}

/* Goal: without descriptors accepting rests instead of spinning, those connected are served, and waiting ones are
 * accepted when there are descriptors again. Method: the limit is lowered to what is in use; 20 more connect and wait. */
TEST(accepting_rests_without_descriptors)
{
    enum { COUNT = 20 };
    struct rig rig;
    struct rlimit before, tight;
    struct rusage usage[2];
    int fds[COUNT];
    rig_start(&rig, (struct http_config){0});
    int other = rig_connect(&rig);
    rig_ask(other, "GET /bytes?1 HTTP/1.1\r\n" RIG_HOST "\r\n", 200, "a");
    for (unsigned i = 0; i < COUNT; i++)
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = 3; /* less than is open: no new descriptor for anybody */
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &tight), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        rig_join(fds[i], rig.port);
        rig_send(fds[i], "GET /bytes?1 HTTP/1.1\r\n" RIG_HOST "\r\n");
    }
    getrusage(RUSAGE_SELF, &usage[0]);
    struct pollfd waiting = {fds[0], POLLIN, 0};
    int answered = poll(&waiting, 1, 500);
    getrusage(RUSAGE_SELF, &usage[1]);
    rig_ask(other, "GET /bytes?2 HTTP/1.1\r\n" RIG_HOST "\r\n", 200, "ab");
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_INT(answered, 0);
    int64_t used_us = 0;
    for (unsigned i = 0; i < 2; i++)
        used_us += (i ? 1 : -1) * ((usage[i].ru_utime.tv_sec + usage[i].ru_stime.tv_sec) * 1000000 +
                                   usage[i].ru_utime.tv_usec + usage[i].ru_stime.tv_usec);
    CHECK(used_us < 100000);
    for (unsigned i = 0; i < COUNT; i++) {
        struct rig_response response;
        rig_response(fds[i], &response, false);
        CHECK_STR(response.body, "a");
        rig_free(&response);
        close(fds[i]);
    }
    close(other);
    rig_stop(&rig);
}

static size_t
resident_bytes(void)
{
    long pages = 0, all = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld %ld", &all, &pages) == 2);
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Goal: idle connections and idle followers are cheap, so that 15,000 followers fit into 250 MB. Method: 2,000 of each;
 * the growth of the resident memory, a connection, is printed and bounded. */
TEST(idle_connections_are_cheap)
{
    enum { COUNT = 2000 };
    static const struct {
        const char *name, *request;
        size_t bytes_max;
    } kinds[] = {
        {"keep-alive", "GET /bytes?1 HTTP/1.1\r\n" RIG_HOST "\r\n", 4096},
        {"follower", "GET /sse HTTP/1.1\r\n" RIG_HOST "Accept: text/event-stream\r\n\r\n", 8192},
    };
    static int fds[2][COUNT];
    struct rig rig;
    char answer[1024];
    rig_start(&rig, (struct http_config){0});
    for (unsigned k = 0; k < 2; k++) {
        size_t before = resident_bytes();
        for (unsigned i = 0; i < COUNT; i++) {
            fds[k][i] = rig_connect(&rig);
            rig_send(fds[k][i], kinds[k].request);
            CHECK(recv(fds[k][i], answer, sizeof answer, 0) > 0);
        }
        size_t each = (resident_bytes() - before) / COUNT;
        printf("memory: %zu bytes each of %d idle %s connections\n", each, COUNT, kinds[k].name);
        if (!SANITIZED)
            CHECK(each <= kinds[k].bytes_max);
    }
    CHECK_INT(rig_stats(&rig).connections, 2 * COUNT);
    for (unsigned k = 0; k < 2; k++)
        for (unsigned i = 0; i < COUNT; i++)
            close(fds[k][i]);
    RIG_AWAIT(rig_stats(&rig).connections == 0);
    RIG_AWAIT(atomic_load(&rig.closed) == COUNT);
    rig_stop(&rig);
}

/* Goal: whatever bytes come, the server stays whole and serves others. Method: 300 connections with random pieces of
 * requests, some mutated, some cut off; afterwards a request is answered and nothing is left. */
TEST(random_bytes_do_no_harm)
{
    static const char *const pieces[] = {
        "GET / HTTP/1.1\r\n", "POST /echo HTTP/1.1\r\n", RIG_HOST, "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "Connection: close\r\n", "\r\n", "hello",
        "5\r\nhello\r\n", "0\r\n\r\n", "GET /sse HTTP/1.1\r\n", "GET /stream?300000 HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /pool HTTP/1.1\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    };
    uint64_t seed = test_seed();
    struct rig rig;
    rig_start(&rig, (struct http_config){.header_timeout_ms = 500, .body_timeout_ms = 500, .idle_timeout_ms = 500});
    for (unsigned i = 0; i < 300 * test_scale(); i++) {
        struct buf text = {0};
        unsigned count = 1 + test_random(&seed) % 20;
        for (unsigned k = 0; k < count; k++)
            put_many(&text, pieces[test_random(&seed) % (sizeof pieces / sizeof *pieces)], 1);
        if (test_random(&seed) % 2)
            text.data[test_random(&seed) % text.size] = (char)test_random(&seed);
        int fd = rig_connect(&rig);
        (void)rig_try_send(fd, text.data, test_random(&seed) % 4 ? text.size : test_random(&seed) % text.size);
        close(fd);
        buf_free(&text);
    }
    int fd = rig_connect(&rig);
    rig_ask(fd, "GET /bytes?1 HTTP/1.1\r\n" RIG_HOST "\r\n", 200, "a");
    close(fd);
    RIG_AWAIT(rig_stats(&rig).connections == 0 && rig_stats(&rig).body_bytes == 0);
    RIG_AWAIT(atomic_load(&rig.begun) == atomic_load(&rig.closed));
    rig_stop(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(idle_connections_are_cheap), /* first: freed memory of others would be taken again unseen */
        RUN(bounds_have_their_statuses),
        RUN(refusals_survive_unread_bodies),
        RUN(bodies_in_memory_are_bounded),
        RUN(slow_peers_are_ended),
        RUN(slow_heads_disturb_nobody),
        RUN(stalled_readers_are_cut),
        RUN(unsent_bytes_are_bounded),
        RUN(a_large_answer_may_take_what_nobody_else_needs),
        RUN(connections_are_bounded),
        RUN(accepting_rests_without_descriptors),
        RUN(random_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

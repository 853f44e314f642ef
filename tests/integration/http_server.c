/* The HTTP server over HTTP/1.1, by raw sockets: what a well-behaved client may do, and when answers come from
 * elsewhere or the peer goes away. */
#include "http_rig.h"

/* Goal: requests on one connection are answered one after the other, and the request is passed on as sent.
 * Method: raw requests with names in odd case, repeated fields, a query. */
TEST(keep_alive_and_request_parts)
{
    struct rig rig;
    struct rig_response response;
    rig_start(&rig, (struct http_config){0});
    int fd = rig_connect(&rig);
    for (unsigned i = 0; i < 3; i++) {
        rig_send(fd, "POST /a%20b?q=%31 HTTP/1.1\r\n" RIG_HOST
                     "X-Test: one\r\nContent-Length: 5\r\nx-TEST:  two \r\n\r\nhello");
        rig_response(fd, &response, false);
        CHECK_INT(response.status, 200);
        CHECK_STR(response.body, "hello");
        CHECK(strstr(response.head, "\r\nx-method: POST\r\n") != NULL);
        CHECK(strstr(response.head, "\r\nx-path: /a%20b\r\n") != NULL);
        CHECK(strstr(response.head, "\r\nx-query: q=%31\r\n") != NULL);
        CHECK(strstr(response.head, "\r\nx-header: one, two\r\n") != NULL);
        CHECK(strstr(response.head, "\r\nx-host: test\r\n") != NULL);
        CHECK(strstr(response.head, "\r\nx-tls: no\r\n") != NULL);
        CHECK(strstr(response.head, "\r\ndate: ") != NULL);
        CHECK(strstr(response.head, "connection:") == NULL);
        rig_free(&response);
    }
    close(fd);
    CHECK_INT(rig_stats(&rig).requests_total, 3);
    CHECK_INT(rig_stats(&rig).connections_total, 1);
    rig_stop(&rig);
}

/* Goal: the connection ends when either side says so, or HTTP/1.0 does not say otherwise. Method: one request each,
 * then read to the end. */
TEST(connections_end_as_asked)
{
    static const struct {
        const char *request, *expected;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" RIG_HOST "Connection: close\r\n\r\n", "connection: close\r\n"},
        {"GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n"},
    };
    struct rig rig;
    char answer[4096];
    rig_start(&rig, (struct http_config){0});
    for (size_t i = 0; i < 2; i++) {
        int fd = rig_connect(&rig);
        rig_send(fd, cases[i].request);
        rig_receive_all(fd, answer, sizeof answer);
        CHECK(strstr(answer, cases[i].expected) != NULL);
        close(fd);
    }
    int fd = rig_connect(&rig);
    for (unsigned i = 0; i < 2; i++)
        rig_ask(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "");
    close(fd);
    RIG_AWAIT(rig_stats(&rig).connections == 0);
    rig_stop(&rig);
}

/* Goal: requests sent ahead are answered in order, also when one in the middle is answered late and from
 * another thread. Method: 200 requests in one send, number 100 held; its answer is given when the others' are in. */
TEST(pipelining_keeps_order)
{
    struct rig rig;
    struct rig_response response;
    struct buf all = {0};
    char path[32];
    rig_start(&rig, (struct http_config){0});
    int fd = rig_connect(&rig);
    for (unsigned i = 0; i < 200; i++)
        buf_printf(&all, "GET /%s?%u HTTP/1.1\r\n" RIG_HOST "\r\n", i == 100 ? "held" : "echo", i);
    CHECK(rig_try_send(fd, all.data, all.size));
    for (unsigned i = 0; i < 200; i++) {
        if (i == 100)
            rig_answer_held(&rig, 0);
        rig_response(fd, &response, false);
        snprintf(path, sizeof path, "x-query: %u\r\n", i);
        if (i == 100)
            CHECK_STR(response.body, "100");
        else
            CHECK(strstr(response.head, path) != NULL);
        rig_free(&response);
    }
    close(fd);
    buf_free(&all);
    rig_stop(&rig);
}

/* Goal: more requests sent ahead than the server keeps make it pause, not fail. Method: 4 MiB of requests behind a
 * held one, sent by a second thread; all are answered once it is. */
static void *
send_buf(void *context)
{
    struct buf *buf = context;
    int fd = (int)load32(buf->data);
    return (void *)(uintptr_t)rig_try_send(fd, buf->data + 4, buf->size - 4);
}

TEST(too_much_pipelined_input_pauses_reading)
{
    enum { COUNT = 4000 };
    struct rig rig;
    struct buf all = {0};
    pthread_t sender;
    void *sent;
    rig_start(&rig, (struct http_config){0});
    int fd = rig_connect(&rig);
    uint32_t number = (uint32_t)fd;
    buf_put(&all, &number, 4);
    buf_put_str(&all, CAIRN_STR("GET /held?0 HTTP/1.1\r\n" RIG_HOST "\r\n"));
    for (unsigned i = 0; i < COUNT; i++) {
        buf_printf(&all, "GET /bytes?1 HTTP/1.1\r\n" RIG_HOST "X-Pad: ");
        for (unsigned k = 0; k < 1000; k++)
            buf_put_char(&all, 'p');
        buf_put_str(&all, CAIRN_STR("\r\n\r\n"));
    }
    CHECK_INT(pthread_create(&sender, NULL, send_buf, &all), 0);
    RIG_AWAIT(rig_stats(&rig).body_bytes > 16384);
    CHECK(rig_stats(&rig).body_bytes < 512 * 1024);
    rig_answer_held(&rig, 0);
    struct rig_response response;
    for (unsigned i = 0; i < COUNT + 1; i++) {
        rig_response(fd, &response, false);
        CHECK_STR(response.body, i ? "a" : "0");
        rig_free(&response);
    }
    pthread_join(sender, &sent);
    CHECK(sent != NULL);
    close(fd);
    buf_free(&all);
    RIG_AWAIT(rig_stats(&rig).body_bytes == 0);
    rig_stop(&rig);
}

/* Goal: HEAD has the head of GET and no body, whole or streamed. Method: HEAD then GET on one connection; a body
 * that came all the same would be taken for the next answer. */
TEST(head_has_no_body)
{
    struct rig rig;
    struct rig_response response;
    rig_start(&rig, (struct http_config){0});
    int fd = rig_connect(&rig);
    rig_send(fd, "HEAD /bytes?50000 HTTP/1.1\r\n" RIG_HOST "\r\n");
    rig_response(fd, &response, true);
    CHECK(strstr(response.head, "content-length: 50000\r\n") != NULL);
    rig_free(&response);
    rig_send(fd, "HEAD /stream?50000 HTTP/1.1\r\n" RIG_HOST "\r\n");
    rig_response(fd, &response, true);
    CHECK_INT(response.status, 200);
    rig_free(&response);
    rig_ask(fd, "GET /bytes?3 HTTP/1.1\r\n" RIG_HOST "\r\n", 200, "abc");
    RIG_AWAIT(atomic_load(&rig.closed) == 1);
    close(fd);
    rig_stop(&rig);
}

/* Goal: Expect: 100-continue is answered before the body, and not when the body is there already. Method: wait for
 * the interim answer before sending the body; then send both at once. */
TEST(expect_continue)
{
    struct rig rig;
    char interim[64];
    rig_start(&rig, (struct http_config){0});
    int fd = rig_connect(&rig);
    rig_send(fd, "PUT /echo HTTP/1.1\r\n" RIG_HOST "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    CHECK_INT(rig_receive(fd, interim, 25), 25);
    CHECK_STR(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    rig_ask(fd, "body", 200, "body");
    rig_ask(fd, "PUT /echo HTTP/1.1\r\n" RIG_HOST "Content-Length: 4\r\nExpect: 100-continue\r\n\r\nbody", 200, "body");
    close(fd);
    rig_stop(&rig);
}

/* Goal: chunked uploads arrive whole, however they are cut. Method: the same upload sent whole and byte by byte. */
TEST(chunked_upload)
{
    static const char request[] = "POST /echo HTTP/1.1\r\n" RIG_HOST "Transfer-Encoding: chunked\r\n\r\n"
                                  "5;x=y\r\nhello\r\nA\r\n, chunked!\r\n0\r\nX-Trailer: gone\r\n\r\n";
    struct rig rig;
    struct rig_response response;
    rig_start(&rig, (struct http_config){0});
    int fd = rig_connect(&rig);
    rig_ask(fd, request, 200, "hello, chunked!");
    for (const char *at = request; *at; at++)
        CHECK(rig_try_send(fd, at, 1));
    rig_response(fd, &response, false);
    CHECK_STR(response.body, "hello, chunked!");
    rig_free(&response);
    close(fd);
    rig_stop(&rig);
}

static void
check_bytes(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != rig_byte(i))
            fail_msg("byte %zu is %d", i, bytes[i]);
}

/* Goal: bodies of many megabytes pass in both directions. Method: 8 MB up and back down by echo, 20 MB down. */
TEST(large_bodies)
{
    enum { SIZE = 8000000 };
    struct rig rig;
    struct rig_response response;
    struct buf request = {0};
    pthread_t sender;
    rig_start(&rig, (struct http_config){0});
    int fd = rig_connect(&rig);
    uint32_t number = (uint32_t)fd;
    buf_put(&request, &number, 4);
    buf_printf(&request, "POST /echo HTTP/1.1\r\n" RIG_HOST "Content-Length: %d\r\n\r\n", SIZE);
    for (size_t i = 0; i < SIZE; i++)
        buf_put_char(&request, rig_byte(i));
    CHECK_INT(pthread_create(&sender, NULL, send_buf, &request), 0);
    rig_response(fd, &response, false);
    pthread_join(sender, NULL);
    CHECK_INT(response.size, SIZE);
    check_bytes(response.body, response.size);
    rig_free(&response);
    rig_send(fd, "GET /bytes?20000000 HTTP/1.1\r\n" RIG_HOST "\r\n");
    rig_response(fd, &response, false);
    CHECK_INT(response.size, 20000000);
    check_bytes(response.body, response.size);
    rig_free(&response);
    close(fd);
    buf_free(&request);
    RIG_AWAIT(rig_stats(&rig).body_bytes == 0);
    rig_stop(&rig);
}

/* Take the chunks apart in place; returns the size of the data, or fails when the end is missing. */
static size_t
dechunk(char *bytes, size_t size)
{
    size_t out = 0, at = 0;
    for (;;) {
        char *end;
        size_t chunk = strtoul(bytes + at, &end, 16);
        CHECK(end > bytes + at && memcmp(end, "\r\n", 2) == 0);
        at = (size_t)(end - bytes) + 2;
        CHECK(at + chunk + 2 <= size);
        if (chunk == 0)
            return out;
        memmove(bytes + out, bytes + at, chunk);
        out += chunk;
        at += chunk + 2;
    }
}

/* Goal: a stream to a slow reader is held up by backpressure, goes on, and arrives whole. Method: 30 MB with a buffer
 * of 64 KiB; nothing is read until the handler has been told to wait; then everything is. */
TEST(streaming_minds_backpressure)
{
    enum { SIZE = 30000000, ROOM = SIZE + 1000000 };
    struct rig rig;
    rig_start(&rig, (struct http_config){.write_buffer_max = 65536});
    int fd = rig_connect(&rig);
    rig_send(fd, "GET /stream?30000000 HTTP/1.1\r\n" RIG_HOST "Connection: close\r\n\r\n");
    RIG_AWAIT(atomic_load(&rig.refused_writes) > 0);
    CHECK_INT(atomic_load(&rig.closed), 0);
    char *all = malloc(ROOM);
    assert_non_null(all);
    size_t size = rig_receive_all(fd, all, ROOM);
    char *body = strstr(all, "\r\n\r\n");
    assert_non_null(body);
    body += 4;
    CHECK_INT(dechunk(body, size - (size_t)(body - all)), SIZE);
    check_bytes(body, SIZE);
    CHECK(atomic_load(&rig.drained) > 10);
    RIG_AWAIT(atomic_load(&rig.closed) == 1);
    CHECK_INT(atomic_load(&rig.gone), 0);
    close(fd);
    free(all);
    rig_stop(&rig);
}

/* Goal: HTTP/1.0 gets a stream without chunks, ended by closing. Method: read to the end. */
TEST(streaming_to_http_1_0)
{
    struct rig rig;
    char *all = malloc(200000);
    assert_non_null(all);
    rig_start(&rig, (struct http_config){0});
    int fd = rig_connect(&rig);
    rig_send(fd, "GET /stream?100000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    size_t size = rig_receive_all(fd, all, 200000);
    char *body = strstr(all, "\r\n\r\n");
    assert_non_null(body);
    CHECK(strstr(all, "transfer-encoding") == NULL);
    CHECK_INT(size - (size_t)(body + 4 - all), 100000);
    check_bytes(body + 4, 100000);
    close(fd);
    free(all);
    rig_stop(&rig);
}

/* Goal: answers given from other threads reach the right peers; a held exchange outlives its peer. Method: 50
 * connections held; every second one is closed before all are answered. */
TEST(held_answers)
{
    enum { COUNT = 50 };
    struct rig rig;
    int fds[COUNT];
    char request[64], expected[16];
    rig_start(&rig, (struct http_config){0});
    for (unsigned i = 0; i < COUNT; i++) {
        fds[i] = rig_connect(&rig);
        snprintf(request, sizeof request, "GET /held?%u HTTP/1.1\r\n" RIG_HOST "\r\n", i);
        rig_send(fds[i], request);
        RIG_AWAIT(atomic_load(&rig.held_count) == i + 1);
    }
    for (unsigned i = 0; i < COUNT; i += 2) {
        struct linger reset = {1, 0}; /* a reset, so that the server learns it at once */
        setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fds[i]);
    }
    RIG_AWAIT(rig_stats(&rig).connections == COUNT / 2);
    for (unsigned i = 0; i < COUNT; i++)
        rig_answer_held(&rig, i);
    for (unsigned i = 1; i < COUNT; i += 2) {
        struct rig_response response;
        rig_response(fds[i], &response, false);
        snprintf(expected, sizeof expected, "%u", i);
        CHECK_STR(response.body, expected);
        rig_free(&response);
        close(fds[i]);
    }
    RIG_AWAIT(atomic_load(&rig.gone) == COUNT / 2);
    rig_stop(&rig);
}

/* Goal: a peer that has asked and half-closed still gets its answer. Method: shutdown before a held answer is given. */
TEST(half_closed_peer_is_answered)
{
    struct rig rig;
    char answer[1024];
    rig_start(&rig, (struct http_config){0});
    int fd = rig_connect(&rig);
    rig_send(fd, "GET /held?yes HTTP/1.1\r\n" RIG_HOST "\r\nGET /bytes?3 HTTP/1.1\r\n" RIG_HOST "\r\n");
    RIG_AWAIT(atomic_load(&rig.held_count) == 1);
    shutdown(fd, SHUT_WR);
    rig_answer_held(&rig, 0);
    rig_receive_all(fd, answer, sizeof answer);
    CHECK(strstr(answer, "\r\n\r\nyes") != NULL);
    CHECK(strstr(answer, "\r\n\r\nabc") != NULL);
    close(fd);
    RIG_AWAIT(rig_stats(&rig).connections == 0);
    rig_stop(&rig);
}

/* Goal: on_close comes once to every stream, whether the peer closes, resets or half-closes. Method: three followers,
 * three ways to leave; writes after that do nothing. */
TEST(followers_that_leave_are_noticed)
{
    struct rig rig;
    char answer[512];
    int fds[3];
    rig_start(&rig, (struct http_config){0});
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = rig_connect(&rig);
        rig_send(fds[i], "GET /sse HTTP/1.1\r\n" RIG_HOST "\r\n");
        CHECK(recv(fds[i], answer, sizeof answer, 0) > 0);
    }
    close(fds[0]);
    RIG_AWAIT(atomic_load(&rig.closed) == 1);
    struct linger reset = {1, 0};
    setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fds[1]);
    RIG_AWAIT(atomic_load(&rig.closed) == 2);
    shutdown(fds[2], SHUT_WR);
    RIG_AWAIT(atomic_load(&rig.closed) == 3);
    CHECK_INT(atomic_load(&rig.gone), 3);
    close(fds[2]);
    rig_stop(&rig);
    CHECK_INT(atomic_load(&rig.closed), 3);
}

/* Goal: work on pool threads is answered; a handler that forgets to answer gives 500. Method: many at once. */
TEST(pool_work_and_forgotten_answers)
{
    struct rig rig;
    int fds[100];
    rig_start(&rig, (struct http_config){0});
    for (unsigned i = 0; i < 100; i++) {
        fds[i] = rig_connect(&rig);
        rig_send(fds[i], "GET /pool HTTP/1.1\r\n" RIG_HOST "\r\n");
    }
    for (unsigned i = 0; i < 100; i++) {
        struct rig_response response;
        rig_response(fds[i], &response, false);
        CHECK_STR(response.body, "worked");
        rig_free(&response);
    }
    rig_ask(fds[0], "GET /forget HTTP/1.1\r\n" RIG_HOST "\r\n", 500, NULL);
    for (unsigned i = 0; i < 100; i++)
        close(fds[i]);
    rig_stop(&rig);
}

/* Goal: both loops get their share of few connections. Method: 64 connections on two loops, each handler says where it
 * runs. */
static atomic_uint seen_on[2];

static void
count_loop(void *context, struct http_exchange *x)
{
    (void)context;
    atomic_fetch_add(&seen_on[http_loop_index(http_loop_of(x))], 1);
    http_respond(x, 204, NULL, 0, CAIRN_STR(""));
}

TEST(connections_are_spread_over_loops)
{
    struct rig rig = {0};
    struct rig_response response;
    cairn_error error;
    int fds[64];
    struct http_config config = {.address = "127.0.0.1", .loops = 2, .handler = count_loop};
    CHECK_OK(http_server_start(&config, &rig.server, &error));
    rig.port = http_server_port(rig.server);
    for (unsigned i = 0; i < 64; i++) {
        fds[i] = rig_connect(&rig);
        rig_send(fds[i], "GET / HTTP/1.1\r\n" RIG_HOST "\r\n");
        rig_response(fds[i], &response, true);
        CHECK_INT(response.status, 204);
        rig_free(&response);
    }
    CHECK_INT(atomic_load(&seen_on[0]), 32);
    CHECK_INT(atomic_load(&seen_on[1]), 32);
    for (unsigned i = 0; i < 64; i++)
        close(fds[i]);
    rig_stop(&rig);
}

/* Goal: posts from many threads all run, in each thread's order; http_every goes on calling. Method: four threads post
 * 10,000 nodes each. */
enum { POSTERS = 4, POSTS = 10000 };

struct posted {
    struct http_post_node node;
    unsigned thread, number;
};
static struct posted posted[POSTERS][POSTS];
static unsigned next_of[POSTERS];
static atomic_uint run_count, tick_count, out_of_order;

static void
run_post(void *context)
{
    struct posted *p = context;
    if (next_of[p->thread]++ != p->number)
        atomic_fetch_add(&out_of_order, 1);
    atomic_fetch_add(&run_count, 1);
}

static void
count_tick(void *context)
{
    (void)context;
    atomic_fetch_add(&tick_count, 1);
}

struct poster {
    struct rig *rig;
    unsigned thread;
};

static void *
post_many(void *context)
{
    struct poster *poster = context;
    for (unsigned i = 0; i < POSTS; i++) {
        struct posted *p = &posted[poster->thread][i];
        *p = (struct posted){{NULL, run_post, p}, poster->thread, i};
        if (!http_post(http_loop_at(poster->rig->server, 0), &p->node))
            return NULL;
    }
    return context;
}

TEST(posts_run_in_order)
{
    struct rig rig;
    pthread_t threads[POSTERS];
    struct poster posters[POSTERS];
    rig_start(&rig, (struct http_config){0});
    http_every(http_loop_at(rig.server, 1), 5, count_tick, NULL);
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){&rig, i};
        CHECK_INT(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    for (unsigned i = 0; i < POSTERS; i++) {
        void *done;
        pthread_join(threads[i], &done);
        CHECK(done != NULL);
    }
    RIG_AWAIT(atomic_load(&run_count) == POSTERS * POSTS);
    CHECK_INT(atomic_load(&out_of_order), 0);
    RIG_AWAIT(atomic_load(&tick_count) >= 3);
    CHECK(http_loop_at(rig.server, 2) == NULL);
    rig_stop(&rig);
}

/* Goal: stopping ends event streams cleanly, lets held answers be given, and closes idle connections. Method: one of
 * each, then stop from a second thread. */
static void *
stop_rig(void *context)
{
    rig_stop(context);
    return NULL;
}

TEST(stopping_is_polite)
{
    struct rig rig;
    char answer[1024];
    pthread_t stopper;
    rig_start(&rig, (struct http_config){0});
    int idle = rig_connect(&rig), follower = rig_connect(&rig), held = rig_connect(&rig);
    rig_ask(idle, "GET /bytes?1 HTTP/1.1\r\n" RIG_HOST "\r\n", 200, "a");
    rig_send(follower, "GET /sse HTTP/1.1\r\n" RIG_HOST "\r\n");
    rig_send(held, "GET /held?bye HTTP/1.1\r\n" RIG_HOST "\r\n");
    RIG_AWAIT(atomic_load(&rig.begun) == 1 && atomic_load(&rig.held_count) == 1);
    CHECK_INT(pthread_create(&stopper, NULL, stop_rig, &rig), 0);
    rig_expect_end(idle);
    rig_receive_all(follower, answer, sizeof answer);
    CHECK(strstr(answer, "data: hello\n\n\r\n0\r\n\r\n") != NULL);
    close(idle);
    close(follower);
    rig_answer_held(&rig, 0);
    rig_receive_all(held, answer, sizeof answer);
    CHECK(strstr(answer, "connection: close\r\n") != NULL);
    CHECK(strstr(answer, "\r\n\r\nbye") != NULL);
    close(held);
    pthread_join(stopper, NULL);
    CHECK_INT(atomic_load(&rig.closed), 1);
}

/* Goal: what cannot be listened on is an error that says why. Method: a taken port, a bad address, a missing
 * certificate. */
TEST(start_errors_are_clear)
{
    struct rig rig;
    struct http_server *second;
    cairn_error error;
    rig_start(&rig, (struct http_config){0});
    struct http_config config = {.address = "127.0.0.1", .port = rig.port, .handler = rig_handle};
    CHECK_INT(http_server_start(&config, &second, &error), CAIRN_E_IO);
    CHECK(strstr(error.detail, "127.0.0.1") && strstr(error.detail, "in use"));
    config = (struct http_config){.address = "localhost", .handler = rig_handle};
    CHECK_INT(http_server_start(&config, &second, &error), CAIRN_E_INVALID);
    config = (struct http_config){.address = "127.0.0.1", .handler = rig_handle,
                                  .tls_cert_file = "/nowhere.pem", .tls_key_file = "/nowhere.key"};
    CHECK_INT(http_server_start(&config, &second, &error), CAIRN_E_INVALID);
    CHECK(strstr(error.detail, "/nowhere.pem") != NULL);
    rig_stop(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(keep_alive_and_request_parts),
        RUN(connections_end_as_asked),
        RUN(pipelining_keeps_order),
        RUN(too_much_pipelined_input_pauses_reading),
        RUN(head_has_no_body),
        RUN(expect_continue),
        RUN(chunked_upload),
        RUN(large_bodies),
        RUN(streaming_minds_backpressure),
        RUN(streaming_to_http_1_0),
        RUN(held_answers),
        RUN(half_closed_peer_is_answered),
        RUN(followers_that_leave_are_noticed),
        RUN(pool_work_and_forgotten_answers),
        RUN(connections_are_spread_over_loops),
        RUN(posts_run_in_order),
        RUN(stopping_is_polite),
        RUN(start_errors_are_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

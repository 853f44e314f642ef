/* HTTP/2 and TLS: by libcurl as users have it (prior knowledge, Upgrade, ALPN), and by frames made by hand for what
 * no honest client does. */
#include "http_rig.h"

#include <curl/curl.h>

/* ---- by libcurl ------------------------------------------------------------------------------ */

static size_t
take_body(char *bytes, size_t size, size_t count, void *context)
{
    buf_put(context, bytes, size * count);
    return size * count;
}

struct answer {
    long status, version, error;
    struct buf head, body;
};

static void
free_answer(struct answer *answer)
{
    buf_free(&answer->head);
    buf_free(&answer->body);
}

static CURL *
make_request(const struct rig *rig, const char *scheme, const char *path, long version, struct answer *answer)
{
    char url[256];
    CURL *curl = curl_easy_init();
    assert_non_null(curl);
    memset(answer, 0, sizeof *answer);
    snprintf(url, sizeof url, "%s://localhost:%u%s", scheme, rig->port, path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_IPRESOLVE, CURL_IPRESOLVE_V4);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, version);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer->body);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer->head);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    return curl;
}

static void
perform(CURL *curl, struct answer *answer)
{
    answer->error = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_easy_getinfo(curl, CURLINFO_HTTP_VERSION, &answer->version);
    buf_put_char(&answer->head, '\0');
}

static void
check_bytes(const struct buf *body, size_t size)
{
    CHECK_INT(body->size, size);
    for (size_t i = 0; i < size; i++)
        if (body->data[i] != rig_byte(i))
            fail_msg("byte %zu is %d", i, body->data[i]);
}

/* Goal: HTTP/2 by prior knowledge does all that HTTP/1.1 does. Method: several requests over one connection. */
TEST(prior_knowledge)
{
    struct rig rig;
    struct answer answer;
    rig_start(&rig, (struct http_config){0});
    CURL *curl = make_request(&rig, "http", "/a?b=c", CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE, &answer);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "hello");
    perform(curl, &answer);
    CHECK_INT(answer.error, CURLE_OK);
    CHECK_INT(answer.version, CURL_HTTP_VERSION_2_0);
    CHECK_INT(answer.status, 200);
    CHECK(cairn_str_equal(buf_str(&answer.body), CAIRN_STR("hello")));
    CHECK(strstr(answer.head.data, "x-method: POST\r\n") && strstr(answer.head.data, "x-path: /a\r\n"));
    CHECK(strstr(answer.head.data, "x-query: b=c\r\n") && strstr(answer.head.data, "x-host: localhost:"));
    CHECK(strstr(answer.head.data, "content-length: 5\r\n") && strstr(answer.head.data, "date: "));
    curl_easy_cleanup(curl);
    free_answer(&answer);

    static const struct {
        const char *path;
        long status;
        size_t size;
    } gets[] = {{"/bytes?0", 200, 0}, {"/bytes?5000000", 200, 5000000}, {"/stream?3000000", 200, 3000000},
                {"/pool", 200, 6}, {"/forget", 500, SIZE_MAX}};
    for (size_t i = 0; i < sizeof gets / sizeof *gets; i++) {
        curl = make_request(&rig, "http", gets[i].path, CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE, &answer);
        perform(curl, &answer);
        CHECK_INT(answer.error, CURLE_OK);
        CHECK_INT(answer.status, gets[i].status);
        if (gets[i].size > 100)
            gets[i].size == SIZE_MAX ? (void)0 : check_bytes(&answer.body, gets[i].size);
        else
            CHECK_INT(answer.body.size, gets[i].size);
        curl_easy_cleanup(curl);
        free_answer(&answer);
    }
    curl = make_request(&rig, "http", "/bytes?777", CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE, &answer);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    perform(curl, &answer);
    CHECK_INT(answer.error, CURLE_OK);
    CHECK(strstr(answer.head.data, "content-length: 777\r\n") != NULL);
    curl_easy_cleanup(curl);
    free_answer(&answer);
    rig_stop(&rig);
}

/* Goal: an HTTP/1.1 request may be upgraded, and the connection goes on as HTTP/2. Method: libcurl's HTTP/2 over plain
 * text, two requests on one handle. */
TEST(upgrade_from_http_1_1)
{
    struct rig rig;
    struct answer answer;
    rig_start(&rig, (struct http_config){0});
    CURL *curl = make_request(&rig, "http", "/bytes?100000", CURL_HTTP_VERSION_2_0, &answer);
    for (unsigned i = 0; i < 2; i++) {
        perform(curl, &answer);
        CHECK_INT(answer.error, CURLE_OK);
        CHECK_INT(answer.version, CURL_HTTP_VERSION_2_0);
        check_bytes(&answer.body, 100000);
        buf_clear(&answer.body);
    }
    CHECK(strstr(answer.head.data, "101 Switching Protocols") != NULL);
    CHECK_INT(rig_stats(&rig).connections_total, 1);
    curl_easy_cleanup(curl);
    free_answer(&answer);
    rig_stop(&rig);
}

/* Goal: uploads of megabytes pass flow control; one that is too large gets its 413. Method: 3 MB to /echo with a bound of
 * 4 MB, then 5 MB. */
TEST(uploads)
{
    enum { SIZE = 3000000 };
    struct rig rig;
    struct answer answer;
    struct buf body = {0};
    rig_start(&rig, (struct http_config){.body_max = 4000000});
    for (size_t i = 0; i < 5000000; i++)
        buf_put_char(&body, rig_byte(i));
    CURL *curl = make_request(&rig, "http", "/echo", CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE, &answer);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)SIZE);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data);
    perform(curl, &answer);
    CHECK_INT(answer.error, CURLE_OK);
    check_bytes(&answer.body, SIZE);
    curl_easy_cleanup(curl);
    free_answer(&answer);
    curl = make_request(&rig, "http", "/echo", CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE, &answer);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 5000000L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data);
    perform(curl, &answer);
    CHECK_INT(answer.error, CURLE_OK);
    CHECK_INT(answer.status, 413);
    curl_easy_cleanup(curl);
    free_answer(&answer);
    buf_free(&body);
    RIG_AWAIT(rig_stats(&rig).body_bytes == 0);
    rig_stop(&rig);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

struct certificates {
    char folder[64], cert[96], key[96], other_cert[96], other_key[96];
};

static void
make_certificate(const char *cert, const char *key)
{
    char command[512];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
             "-addext subjectAltName=DNS:localhost -out %s -keyout %s >/dev/null 2>&1", cert, key);
    CHECK_INT(system(command), 0);
}

static void
make_certificates(struct certificates *c)
{
    test_folder(c->folder);
    snprintf(c->cert, sizeof c->cert, "%s/cert.pem", c->folder);
    snprintf(c->key, sizeof c->key, "%s/key.pem", c->folder);
    snprintf(c->other_cert, sizeof c->other_cert, "%s/other.pem", c->folder);
    snprintf(c->other_key, sizeof c->other_key, "%s/other.key", c->folder);
    make_certificate(c->cert, c->key);
    make_certificate(c->other_cert, c->other_key);
}

/* Goal: both protocols run over TLS, chosen by ALPN, with bodies of every size. Method: libcurl with the certificate as its
 * authority. */
TEST(tls_with_alpn)
{
    static const struct {
        long asked, used;
    } versions[] = {{CURL_HTTP_VERSION_2TLS, CURL_HTTP_VERSION_2_0}, {CURL_HTTP_VERSION_1_1, CURL_HTTP_VERSION_1_1}};
    static const char *const paths[] = {"/bytes?10", "/bytes?5000000", "/stream?3000000"};
    static const size_t sizes[] = {10, 5000000, 3000000};
    struct certificates c;
    struct rig rig;
    struct answer answer;
    make_certificates(&c);
    rig_start(&rig, (struct http_config){.tls_cert_file = c.cert, .tls_key_file = c.key, .write_buffer_max = 65536});
    for (size_t v = 0; v < 2; v++) {
        for (size_t i = 0; i < 3; i++) {
            CURL *curl = make_request(&rig, "https", paths[i], versions[v].asked, &answer);
            curl_easy_setopt(curl, CURLOPT_CAINFO, c.cert);
            perform(curl, &answer);
            CHECK_INT(answer.error, CURLE_OK);
            CHECK_INT(answer.version, versions[v].used);
            check_bytes(&answer.body, sizes[i]);
            curl_easy_cleanup(curl);
            free_answer(&answer);
        }
        CURL *curl = make_request(&rig, "https", "/echo", versions[v].asked, &answer);
        curl_easy_setopt(curl, CURLOPT_CAINFO, c.cert);
        struct buf body = {0};
        for (size_t i = 0; i < 700000; i++)
            buf_put_char(&body, rig_byte(i));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 700000L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data);
        perform(curl, &answer);
        CHECK(strstr(answer.head.data, "x-tls: yes\r\n") != NULL);
        check_bytes(&answer.body, 700000);
        curl_easy_cleanup(curl);
        free_answer(&answer);
        buf_free(&body);
    }
    /* What is no TLS at all is closed. */
    int fd = rig_connect(&rig);
    rig_send(fd, "GET / HTTP/1.1\r\n" RIG_HOST "\r\n");
    char alert[256];
    while (recv(fd, alert, sizeof alert, 0) > 0)
        ;
    close(fd);
    rig_stop(&rig);
    test_remove(c.folder);
}

/* Goal: with an authority for clients only those with its certificate get in. Method: none, a wrong one, the right one. */
TEST(tls_client_certificates)
{
    struct certificates c;
    struct rig rig;
    struct answer answer;
    make_certificates(&c);
    rig_start(&rig, (struct http_config){.tls_cert_file = c.cert, .tls_key_file = c.key, .tls_client_ca_file = c.other_cert});
    for (unsigned i = 0; i < 3; i++) {
        CURL *curl = make_request(&rig, "https", "/bytes?10", CURL_HTTP_VERSION_2TLS, &answer);
        curl_easy_setopt(curl, CURLOPT_CAINFO, c.cert);
        if (i > 0) {
            curl_easy_setopt(curl, CURLOPT_SSLCERT, i == 1 ? c.cert : c.other_cert);
            curl_easy_setopt(curl, CURLOPT_SSLKEY, i == 1 ? c.key : c.other_key);
        }
        perform(curl, &answer);
        if (i == 2)
            check_bytes(&answer.body, 10);
        else
            CHECK(answer.error != CURLE_OK);
        curl_easy_cleanup(curl);
        free_answer(&answer);
    }
    rig_stop(&rig);
    test_remove(c.folder);
}

/* ---- by hand --------------------------------------------------------------------------------- */

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8, CONTINUATION = 9 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

static void
put32(struct buf *to, uint32_t n)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_put_char(to, (char)(n >> shift));
}

static void
put_frame(struct buf *to, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t size)
{
    buf_put_char(to, (char)(size >> 16));
    buf_put_char(to, (char)(size >> 8));
    buf_put_char(to, (char)size);
    buf_put_char(to, (char)type);
    buf_put_char(to, (char)flags);
    put32(to, stream);
    if (size)
        buf_put(to, payload, size);
}

static void
put_preface(struct buf *to)
{
    buf_put_str(to, CAIRN_STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    put_frame(to, SETTINGS, 0, 0, NULL, 0);
}

/* HPACK without the dynamic table: GET or POST, http, a literal path, authority "a". */
static void
put_request(struct buf *to, uint32_t stream, bool post, const char *path, bool ends)
{
    struct buf block = {0};
    buf_put_char(&block, post ? (char)0x83 : (char)0x82);
    buf_put_char(&block, (char)0x86);
    buf_put_char(&block, 0x04);
    buf_put_char(&block, (char)strlen(path));
    buf_put_str(&block, cairn_cstr(path));
    buf_put_str(&block, CAIRN_STR("\x01\x01" "a"));
    put_frame(to, HEADERS, (uint8_t)(END_HEADERS | (ends ? END_STREAM : 0)), stream, block.data, block.size);
    buf_free(&block);
}

struct frame {
    uint8_t type, flags;
    uint32_t stream, size, code; /* code: of RST_STREAM and GOAWAY */
    uint8_t payload[65536];
};

/* The next frame; false at the connection's end. */
static bool
next_frame(int fd, struct frame *ret)
{
    uint8_t head[9];
    for (size_t have = 0; have < sizeof head;) {
        ssize_t got = recv(fd, head + have, sizeof head - have, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            fail_msg("no frame came");
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    ret->size = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    ret->type = head[3];
    ret->flags = head[4];
    ret->stream = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
    CHECK(ret->size <= 65536);
    for (size_t have = 0; have < ret->size;) {
        ssize_t got = recv(fd, ret->payload + have, ret->size - have, 0);
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    size_t at = ret->type == GOAWAY ? 4 : 0;
    ret->code = ret->size >= at + 4 ? (uint32_t)ret->payload[at] << 24 | (uint32_t)ret->payload[at + 1] << 16 |
                                          (uint32_t)ret->payload[at + 2] << 8 | ret->payload[at + 3] : 0;
    return true;
}

static struct frame frame; /* too large for a stack that a sanitizer widens */

/* Wait for a frame of this type. */
static void
await_frame(int fd, uint8_t type)
{
    do {
        if (!next_frame(fd, &frame))
            fail_msg("the connection ended before a frame of type %d", type);
    } while (frame.type != type || (type == SETTINGS && frame.flags & ACK));
}

static int
connect_h2(struct rig *rig)
{
    struct buf text = {0};
    int fd = rig_connect(rig);
    put_preface(&text);
    CHECK(rig_try_send(fd, text.data, text.size));
    await_frame(fd, SETTINGS);
    buf_free(&text);
    return fd;
}

static void
send_and_free(int fd, struct buf *text)
{
    (void)rig_try_send(fd, text->data, text->size); /* a peer that is cut off cannot send all */
    buf_free(text);
}

static void
put_window(struct buf *to, uint32_t stream, uint32_t more)
{
    struct buf payload = {0};
    put32(&payload, more);
    put_frame(to, WINDOW_UPDATE, 0, stream, payload.data, payload.size);
    buf_free(&payload);
}

/* Goal: many streams share a connection, each whole, with backpressure and a window of its own. Method: 60 streams of up to
 * 600 kB at once, a buffer of 64 KiB a stream; windows are opened by what was read, as an honest client does. */
TEST(many_streams_on_one_connection)
{
    enum { COUNT = 60 };
    struct rig rig;
    struct buf text = {0};
    size_t at[COUNT] = {0};
    char path[32];
    rig_start(&rig, (struct http_config){.write_buffer_max = 65536});
    int fd = connect_h2(&rig);
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(path, sizeof path, "/stream?%u", 1000 + i * 10000);
        put_request(&text, 2 * i + 1, false, path, true);
    }
    send_and_free(fd, &text);
    for (unsigned ended = 0; ended < COUNT;) {
        await_frame(fd, DATA);
        uint32_t i = frame.stream / 2;
        CHECK(i < COUNT);
        for (uint32_t k = 0; k < frame.size; k++)
            if ((char)frame.payload[k] != rig_byte(at[i] + k))
                fail_msg("stream %u differs at byte %zu", frame.stream, at[i] + k);
        at[i] += frame.size;
        if (frame.flags & END_STREAM) {
            CHECK_INT(at[i], 1000 + i * 10000);
            ended++;
        }
        if (frame.size) {
            put_window(&text, 0, frame.size);
            put_window(&text, frame.stream, frame.size);
            send_and_free(fd, &text);
        }
    }
    RIG_AWAIT(atomic_load(&rig.closed) == COUNT);
    CHECK_INT(atomic_load(&rig.gone), 0);
    CHECK(atomic_load(&rig.refused_writes) > 0);
    close(fd);
    rig_stop(&rig);
}

/* Goal: opening and resetting streams without end (CVE-2023-44487) costs the connection, not the server. Method: 5,000
 * pairs; the answer is GOAWAY with ENHANCE_YOUR_CALM, and another client is served. */
TEST(rapid_resets_end_the_connection)
{
    struct rig rig;
    struct buf text = {0};
    const uint8_t cancel[4] = {0, 0, 0, 8};
    rig_start(&rig, (struct http_config){0});
    int fd = connect_h2(&rig), other = connect_h2(&rig);
    for (uint32_t i = 0; i < 5000; i++) {
        put_request(&text, 2 * i + 1, false, "/sse", true);
        put_frame(&text, RST_STREAM, 0, 2 * i + 1, cancel, sizeof cancel);
    }
    send_and_free(fd, &text);
    await_frame(fd, GOAWAY);
    CHECK_INT(frame.code, 11);
    close(fd);
    CHECK(rig_stats(&rig).requests_total < 2000);
    put_request(&text, 1, false, "/bytes?3", true);
    send_and_free(other, &text);
    await_frame(other, DATA);
    CHECK_INT(frame.size, 3);
    close(other);
    RIG_AWAIT(rig_stats(&rig).connections == 0);
    RIG_AWAIT(atomic_load(&rig.begun) == atomic_load(&rig.closed));
    rig_stop(&rig);
}

/* Goal: control frames without purpose end the connection too. Method: 50,000 pings, then 50,000 empty DATA frames. */
TEST(control_floods_end_the_connection)
{
    struct rig rig;
    struct buf text = {0};
    rig_start(&rig, (struct http_config){0});
    int fd = connect_h2(&rig);
    for (uint32_t i = 0; i < 50000; i++)
        put_frame(&text, PING, 0, 0, "12345678", 8);
    send_and_free(fd, &text);
    while (next_frame(fd, &frame) && frame.type != GOAWAY)
        ;
    CHECK_INT(rig_stats(&rig).rejected_total, 1);
    close(fd);

    fd = connect_h2(&rig);
    put_request(&text, 1, true, "/echo", false);
    for (uint32_t i = 0; i < 50000; i++)
        put_frame(&text, DATA, 0, 1, NULL, 0);
    send_and_free(fd, &text);
    while (next_frame(fd, &frame) && frame.type != GOAWAY)
        ;
    CHECK_INT(rig_stats(&rig).rejected_total, 2);
    close(fd);
    rig_stop(&rig);
}

/* Goal: header blocks are bounded whether they come in one frame or many. Method: 40 fields of 200 bytes with a bound of
 * 4 KiB are answered 431; CONTINUATION frames without end close the connection. */
TEST(header_blocks_are_bounded)
{
    struct rig rig;
    struct buf text = {0}, block = {0};
    rig_start(&rig, (struct http_config){.header_max = 4096});
    int fd = connect_h2(&rig);
    buf_put_str(&block, CAIRN_STR("\x82\x86\x84\x01\x01" "a"));
    for (unsigned i = 0; i < 40; i++) {
        buf_put_str(&block, CAIRN_STR("\0\x01x\x7f\x49")); /* a literal of 127 + 73 bytes */
        for (unsigned k = 0; k < 200; k++)
            buf_put_char(&block, 'v');
    }
    put_frame(&text, HEADERS, END_HEADERS | END_STREAM, 1, block.data, block.size);
    send_and_free(fd, &text);
    await_frame(fd, DATA);
    CHECK(memmem(frame.payload, frame.size, "\"status\":431", 12) != NULL);
    close(fd);

    fd = connect_h2(&rig);
    put_frame(&text, HEADERS, 0, 1, block.data, block.size);
    for (unsigned i = 0; i < 20000; i++)
        put_frame(&text, CONTINUATION, 0, 1, "\0\x01x\x01y", 5);
    put_frame(&text, CONTINUATION, END_HEADERS, 1, NULL, 0);
    send_and_free(fd, &text);
    while (next_frame(fd, &frame))
        ;
    close(fd);
    buf_free(&block);
    RIG_AWAIT(rig_stats(&rig).connections == 0);
    rig_stop(&rig);
}

/* Goal: path and query together are bounded, as they are in HTTP/1.1. Method: 9,000 bytes, nearly all of them query, are
 * answered 414 with the bound. */
TEST(targets_are_bounded)
{
    struct rig rig;
    struct buf text = {0}, block = {0};
    rig_start(&rig, (struct http_config){0});
    int fd = connect_h2(&rig);
    buf_put_str(&block, CAIRN_STR("\x82\x86\x01\x01" "a" "\x04\x7f\xa9\x45/?")); /* :path, a literal of 127 + 8873 */
    for (unsigned i = 0; i < 8998; i++)
        buf_put_char(&block, 'q');
    put_frame(&text, HEADERS, END_HEADERS | END_STREAM, 1, block.data, block.size);
    send_and_free(fd, &text);
    await_frame(fd, DATA);
    CHECK(memmem(frame.payload, frame.size, "\"status\":414", 12) != NULL);
    CHECK(memmem(frame.payload, frame.size, "the limit is 8192 bytes", 23) != NULL);
    close(fd);
    buf_free(&block);
    RIG_AWAIT(rig_stats(&rig).connections == 0);
    rig_stop(&rig);
}

/* Goal: streams beyond the bound are refused, and the others served. Method: a bound of 4; ten held requests at once. */
TEST(streams_are_bounded)
{
    struct rig rig;
    struct buf text = {0};
    rig_start(&rig, (struct http_config){.streams_max = 4});
    int fd = connect_h2(&rig);
    for (uint32_t i = 0; i < 10; i++)
        put_request(&text, 2 * i + 1, false, "/held?x", true);
    send_and_free(fd, &text);
    unsigned refused = 0;
    for (; refused < 6; refused++) {
        await_frame(fd, RST_STREAM);
        CHECK_INT(frame.code, 7);
    }
    for (unsigned i = 0; i < 4; i++) {
        rig_answer_held(&rig, i);
        await_frame(fd, DATA);
        CHECK(frame.stream < 8);
    }
    CHECK_INT(atomic_load(&rig.held_count), 4);
    close(fd);
    rig_stop(&rig);
}

/* Goal: a stream that its peer resets is over, the connection goes on; an early close of everything is noticed by all
 * streams. Method: three followers; one reset, then the connection closed. */
TEST(reset_streams_are_noticed)
{
    struct rig rig;
    struct buf text = {0};
    const uint8_t cancel[4] = {0, 0, 0, 8};
    rig_start(&rig, (struct http_config){0});
    int fd = connect_h2(&rig);
    for (uint32_t stream = 1; stream < 7; stream += 2)
        put_request(&text, stream, false, "/sse", true);
    send_and_free(fd, &text);
    RIG_AWAIT(atomic_load(&rig.begun) == 3);
    put_frame(&text, RST_STREAM, 0, 3, cancel, sizeof cancel);
    send_and_free(fd, &text);
    RIG_AWAIT(atomic_load(&rig.gone) == 1);
    put_request(&text, 7, false, "/bytes?3", true);
    send_and_free(fd, &text);
    do
        await_frame(fd, DATA);
    while (frame.stream != 7);
    close(fd);
    RIG_AWAIT(atomic_load(&rig.gone) == 3);
    CHECK_INT(atomic_load(&rig.closed), 3);
    rig_stop(&rig);
}

/* Goal: a stream whose window its peer never opens is reset after write_timeout_ms, a body that stalls gets its 408, and an
 * idle connection its GOAWAY; meanwhile the connection serves others. Method: small time-outs, one connection. */
TEST(stalled_streams_are_ended)
{
    struct rig rig;
    struct buf text = {0};
    bool reset = false, timed_out = false;
    rig_start(&rig, (struct http_config){.write_timeout_ms = 400, .body_timeout_ms = 400, .idle_timeout_ms = 700});
    int fd = connect_h2(&rig);
    put_request(&text, 1, false, "/bytes?200000", true); /* more than the first window of 65,535 */
    put_request(&text, 3, true, "/echo", false);
    put_frame(&text, DATA, 0, 3, "ab", 2);
    send_and_free(fd, &text);
    while (!reset || !timed_out) {
        CHECK(next_frame(fd, &frame));
        if (frame.type == RST_STREAM && frame.stream == 1 && frame.code == 8)
            reset = true;
        if (frame.type == DATA && frame.stream == 3 && memmem(frame.payload, frame.size, "\"status\":408", 12))
            timed_out = true;
        if (frame.type == DATA) {
            put_window(&text, 0, 65536); /* the connection's, not the stream's */
            send_and_free(fd, &text);
        }
    }
    await_frame(fd, GOAWAY);
    CHECK_INT(frame.code, 0);
    while (next_frame(fd, &frame))
        ;
    close(fd);
    RIG_AWAIT(rig_stats(&rig).connections == 0);
    rig_stop(&rig);
}

/* Goal: stopping says GOAWAY, ends event streams whole and lets held answers be given. Method: one of each on one
 * connection. */
static void *
stop_rig(void *context)
{
    rig_stop(context);
    return NULL;
}

TEST(stopping_says_goaway)
{
    struct rig rig;
    struct buf text = {0};
    pthread_t stopper;
    rig_start(&rig, (struct http_config){0});
    int fd = connect_h2(&rig);
    put_request(&text, 1, false, "/sse", true);
    put_request(&text, 3, false, "/held?bye", true);
    send_and_free(fd, &text);
    RIG_AWAIT(atomic_load(&rig.begun) == 1 && atomic_load(&rig.held_count) == 1);
    CHECK_INT(pthread_create(&stopper, NULL, stop_rig, &rig), 0);
    bool goaway = false, ended = false;
    while (!goaway || !ended) {
        CHECK(next_frame(fd, &frame));
        goaway = goaway || frame.type == GOAWAY;
        ended = ended || (frame.type == DATA && frame.stream == 1 && frame.flags & END_STREAM);
    }
    rig_answer_held(&rig, 0);
    do
        await_frame(fd, DATA);
    while (frame.stream != 3);
    CHECK(memcmp(frame.payload, "bye", 3) == 0);
    close(fd);
    pthread_join(stopper, NULL);
    CHECK_INT(atomic_load(&rig.closed), 1);
}

/* Goal: whatever frames come, the server stays whole and serves others. Method: 300 connections with random frames, some
 * well-formed requests among them; afterwards a request is answered and nothing is left. */
TEST(random_frames_do_no_harm)
{
    static const char *const paths[] = {"/echo", "/sse", "/stream?300000", "/pool", "/bytes?70000"};
    uint64_t seed = test_seed();
    struct rig rig;
    rig_start(&rig, (struct http_config){.header_timeout_ms = 500, .body_timeout_ms = 500, .idle_timeout_ms = 500,
                                         .write_timeout_ms = 500});
    for (unsigned i = 0; i < 300 * test_scale(); i++) {
        struct buf text = {0};
        uint32_t stream = 1;
        put_preface(&text);
        for (unsigned k = test_random(&seed) % 40; k > 0; k--) {
            uint8_t payload[64];
            for (size_t b = 0; b < sizeof payload; b++)
                payload[b] = (uint8_t)test_random(&seed);
            if (test_random(&seed) % 2) {
                put_request(&text, stream, test_random(&seed) % 2, paths[test_random(&seed) % 5], test_random(&seed) % 2);
                stream += 2;
            } else {
                put_frame(&text, (uint8_t)(test_random(&seed) % 10), (uint8_t)test_random(&seed),
                          (uint32_t)(test_random(&seed) % (stream + 2)), payload, test_random(&seed) % sizeof payload);
            }
        }
        if (test_random(&seed) % 4 == 0)
            text.data[24 + test_random(&seed) % (text.size - 24)] ^= (char)(1 << test_random(&seed) % 8);
        int fd = rig_connect(&rig);
        (void)rig_try_send(fd, text.data, text.size);
        if (test_random(&seed) % 2)
            shutdown(fd, SHUT_WR);
        close(fd);
        buf_free(&text);
    }
    struct buf text = {0};
    int fd = connect_h2(&rig);
    put_request(&text, 1, false, "/bytes?3", true);
    send_and_free(fd, &text);
    await_frame(fd, DATA);
    CHECK_INT(frame.size, 3);
    close(fd);
    RIG_AWAIT(rig_stats(&rig).connections == 0 && rig_stats(&rig).body_bytes == 0);
    RIG_AWAIT(atomic_load(&rig.begun) == atomic_load(&rig.closed));
    rig_stop(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(prior_knowledge),
        RUN(upgrade_from_http_1_1),
        RUN(uploads),
        RUN(tls_with_alpn),
        RUN(tls_client_certificates),
        RUN(many_streams_on_one_connection),
        RUN(rapid_resets_end_the_connection),
        RUN(control_floods_end_the_connection),
        RUN(header_blocks_are_bounded), RUN(targets_are_bounded),
        RUN(streams_are_bounded),
        RUN(reset_streams_are_noticed),
        RUN(stalled_streams_are_ended),
        RUN(stopping_says_goaway),
        RUN(random_frames_do_no_harm),
    };
    curl_global_init(CURL_GLOBAL_ALL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}

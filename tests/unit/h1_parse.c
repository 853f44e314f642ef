/* The HTTP/1.1 parsers: what they take, what they refuse, and that the pieces in which bytes arrive never
 * matter. */
#include "h1_play.h"
#include "test.h"

struct sample {
    const char *name;
    const char *bytes;
    size_t size;
    const char *expected; /* the result as tests/h1_play.h writes it, or its beginning */
};

#define CASE(name, bytes, expected) {name, bytes, sizeof bytes - 1, expected}
#define HOST "Host: a\r\n"

/* Requests that must be understood, and how. */
static const struct sample good[] = {
    CASE("plain", "GET /x HTTP/1.1\r\n" HOST "\r\n", "GET|/x||Host|a|1.1 keep:.\nMORE"),
    CASE("query", "GET /x?a=1&b=%20 HTTP/1.1\r\n" HOST "\r\n", "GET|/x|a=1&b=%20|Host|a|1.1 keep:.\nMORE"),
    CASE("second question mark", "GET /x?a?b HTTP/1.1\r\n" HOST "\r\n", "GET|/x|a?b|"),
    CASE("absolute form", "GET http://a:80/x?q HTTP/1.1\r\n" HOST "\r\n", "GET|/x|q|Host|a|1.1 keep:.\nMORE"),
    CASE("absolute form without path", "GET HTTP://a HTTP/1.1\r\n" HOST "\r\n", "GET|||Host"),
    CASE("asterisk", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS|*||"),
    CASE("own method", "PURGE-IT /x HTTP/1.1\r\n" HOST "\r\n", "PURGE-IT|/x||"),
    CASE("one empty line first", "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET|/||"),
    CASE("HTTP/1.0 without host", "GET / HTTP/1.0\r\n\r\n", "GET|/||1.0:.\nMORE"),
    CASE("HTTP/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
         "GET|/||Connection|Keep-Alive|1.0 keep:.\nMORE"),
    CASE("close", "GET / HTTP/1.1\r\n" HOST "connection: foo, CLOSE\r\n\r\n",
         "GET|/||Host|a|connection|foo, CLOSE|1.1:.\nMORE"),
    CASE("blanks around a value", "GET / HTTP/1.1\r\nHost:\t a \t\r\n\r\n", "GET|/||Host|a|1.1 keep:.\nMORE"),
    CASE("empty value", "GET / HTTP/1.1\r\n" HOST "X:\r\n\r\n", "GET|/||Host|a|X||1.1 keep:.\nMORE"),
    CASE("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET|/||Host||1.1 keep:.\nMORE"),
    CASE("bytes beyond ASCII in a value", "GET / HTTP/1.1\r\n" HOST "X: \xC3\xA9\r\n\r\n", "GET|/||Host|a|X|\xC3\xA9|"),
    CASE("length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhelloGET", "POST|/||Host|a|Content-Length|5|1.1 keep:hello.\nMORE"),
    CASE("length 0", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "POST|/||Host|a|Content-Length|0|1.1 keep:.\nMORE"),
    CASE("chunked", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
         "POST|/||Host|a|Transfer-Encoding|Chunked|1.1 keep:hello0123456789.\nMORE"),
    CASE("trailers are dropped", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nContent-Length: 9\r\nA:\r\n\r\n",
         "POST|/||Host|a|Transfer-Encoding|chunked|1.1 keep:x.\nMORE"),
    CASE("expect", "PUT / HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-Continue\r\n\r\nab",
         "PUT|/||Host|a|Content-Length|2|Expect|100-Continue|1.1 keep expect:ab.\nMORE"),
    CASE("upgrade", "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
         "GET|/||Host|a|Connection|Upgrade, HTTP2-Settings|Upgrade|h2c|HTTP2-Settings|AAMAAABkAAQAoAAAAAIAAAAA|1.1 keep h2c:.\nMORE"),
    CASE("upgrade not named in Connection", "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
         "GET|/||Host|a|Connection|Upgrade|Upgrade|h2c|HTTP2-Settings|AA|1.1 keep:.\nMORE"),
    CASE("pipelined", "GET /1 HTTP/1.1\r\n" HOST "\r\nPOST /2 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nxGET /3 HTTP/1.1\r\n" HOST "\r\n",
         "GET|/1||Host|a|1.1 keep:.\nPOST|/2||Host|a|Content-Length|1|1.1 keep:x.\nGET|/3||Host|a|1.1 keep:.\nMORE"),
};

/* Requests that must be refused, with the status. */
static const struct sample bad[] = {
    CASE("TLS on a plain port", "\x16\x03\x01\x02", "BAD 400"),
    CASE("nonsense without a line end", "\x01", "BAD 400"),
    CASE("a blank first", " GET / HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("two blanks", "GET  / HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("tab for a blank", "GET\t/ HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("blank at the line's end", "GET / HTTP/1.1 \r\n" HOST "\r\n", "BAD 400"),
    CASE("no version", "GET /\r\n\r\n", "BAD 400"),
    CASE("no target", "GET HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("version in lower case", "GET / http/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("version 1.2", "GET / HTTP/1.2\r\n" HOST "\r\n", "BAD 505"),
    CASE("version 2.0", "GET / HTTP/2.0\r\n" HOST "\r\n", "BAD 505"),
    CASE("version 11", "GET / HTTP/11\r\n" HOST "\r\n", "BAD 400"),
    CASE("fragment", "GET /x#y HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("control in the target", "GET /\x01 HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("NUL in the target", "GET /\0 HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("UTF-8 in the target", "GET /\xC3\xA9 HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("target without slash", "GET x HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("asterisk for GET", "GET * HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("CONNECT", "CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", "BAD 501"),
    CASE("other scheme", "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("user in the authority", "GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("absolute form without host", "GET http:///x HTTP/1.1\r\n" HOST "\r\n", "BAD 400"),
    CASE("long method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ / HTTP/1.1\r\n" HOST "\r\n", "BAD 501"),
    CASE("bare LF after the request line", "GET / HTTP/1.1\n" HOST "\r\n", "BAD 400"),
    CASE("bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", "BAD 400"),
    CASE("bare LF as the empty line", "GET / HTTP/1.1\r\n" HOST "\n", "BAD 400"),
    CASE("bare CR in a value", "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", "BAD 400"),
    CASE("two CRs", "GET / HTTP/1.1\r\n" HOST "X: a\r\r\n\r\n", "BAD 400"),
    CASE("NUL in a value", "GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n", "BAD 400"),
    CASE("DEL in a value", "GET / HTTP/1.1\r\n" HOST "X: a\x7F\r\n\r\n", "BAD 400"),
    CASE("folded line", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", "BAD 400"),
    CASE("folded first field", "GET / HTTP/1.1\r\n " HOST "\r\n", "BAD 400"),
    CASE("blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "BAD 400"),
    CASE("no colon", "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", "BAD 400"),
    CASE("no name", "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", "BAD 400"),
    CASE("name that is no token", "GET / HTTP/1.1\r\n" HOST "X(y): x\r\n\r\n", "BAD 400"),
    CASE("no host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", "BAD 400"),
    CASE("two hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", "BAD 400"),
    CASE("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "BAD 400"),
    CASE("other expectation", "GET / HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n", "BAD 417"),
    /* What request smuggling is made of. */
    CASE("length and chunked", "POST / HTTP/1.1\r\n" HOST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "BAD 400"),
    CASE("chunked and length", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", "BAD 400"),
    CASE("two lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", "BAD 400"),
    CASE("the same length twice", "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\ncontent-length: 1\r\n\r\nx", "BAD 400"),
    CASE("length list", "POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\nx", "BAD 400"),
    CASE("signed length", "POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\nx", "BAD 400"),
    CASE("negative length", "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\nx", "BAD 400"),
    CASE("hexadecimal length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\nx", "BAD 400"),
    CASE("length with a blank inside", "POST / HTTP/1.1\r\n" HOST "Content-Length: 1 1\r\n\r\nx", "BAD 400"),
    CASE("empty length", "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\nx", "BAD 400"),
    CASE("length over 63 bits", "POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\nx", "BAD 400"),
    CASE("length over 64 bits", "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551617\r\n\r\nx", "BAD 400"),
    CASE("two codings in two fields", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "BAD 400"),
    CASE("chunked twice", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "BAD 400"),
    CASE("unknown coding", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "BAD 400"),
    CASE("chunked not last", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "BAD 400"),
    CASE("gzip before chunked", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "BAD 501"),
    CASE("coding after a vertical tab", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0B" "chunked\r\n\r\n0\r\n\r\n", "BAD 400"),
    CASE("blank before the coding's colon", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "BAD 400"),
    CASE("folded coding", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "BAD 400"),
    CASE("chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "BAD 400"),
    CASE("name with underscore and NUL", "POST / HTTP/1.1\r\n" HOST "Content_Length\0: 1\r\n\r\n", "BAD 400"),
};

#define CHUNKED "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_SAID "POST|/||Host|a|Transfer-Encoding|chunked|1.1 keep:"

/* Chunked bodies that must be refused. */
static const struct sample bad_chunks[] = {
    CASE("no size", CHUNKED "\r\nhello", CHUNKED_SAID "BAD "),
    CASE("no digit", CHUNKED "x\r\n", CHUNKED_SAID "BAD "),
    CASE("0x", CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", CHUNKED_SAID "BAD "),
    CASE("sign", CHUNKED "+5\r\nhello\r\n0\r\n\r\n", CHUNKED_SAID "BAD "),
    CASE("blank before the size", CHUNKED " 5\r\nhello\r\n0\r\n\r\n", CHUNKED_SAID "BAD "),
    CASE("blank after the size", CHUNKED "5 \r\nhello\r\n0\r\n\r\n", CHUNKED_SAID "BAD "),
    CASE("bare LF after the size", CHUNKED "5\nhello\r\n0\r\n\r\n", CHUNKED_SAID "BAD "),
    CASE("bare CR after the size", CHUNKED "5\rXhello\r\n0\r\n\r\n", CHUNKED_SAID "BAD "),
    CASE("bare LF in the extension", CHUNKED "5;a\nhello\r\n0\r\n\r\n", CHUNKED_SAID "BAD "),
    CASE("data longer than the size", CHUNKED "4\r\nhello\r\n0\r\n\r\n", CHUNKED_SAID "hellBAD "),
    CASE("bare LF after the data", CHUNKED "5\r\nhello\n0\r\n\r\n", CHUNKED_SAID "helloBAD "),
    CASE("size over 64 bits", CHUNKED "10000000000000005\r\nhello\r\n", CHUNKED_SAID "BAD "),
    CASE("bare LF in a trailer", CHUNKED "0\r\nA: b\n\r\n", CHUNKED_SAID "BAD "),
    CASE("trailer without a name", CHUNKED "0\r\n: b\r\n\r\n", CHUNKED_SAID "BAD "),
    CASE("trailer without a colon", CHUNKED "0\r\nA\r\n\r\n", CHUNKED_SAID "BAD "),
    CASE("folded trailer", CHUNKED "0\r\nA: b\r\n c\r\n\r\n", CHUNKED_SAID "BAD "),
};

static void
check_sample(const struct sample *sample)
{
    struct play play;
    play_begin(&play);
    play_feed(&play, sample->bytes, sample->size);
    const char *result = play_result(&play);
    if (strncmp(result, sample->expected, strlen(sample->expected)) != 0)
        fail_msg("%s: expected\n%s\nbut got\n%s", sample->name, sample->expected, result);
    play_end(&play);
}

#define CHECK_ALL(samples)                                                                         \
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)                                  \
        check_sample(&samples[i])

/* Goal: valid requests are understood as RFC 9112 says. Method: a table, results compared whole. */
TEST(valid_requests_are_understood)
{
    CHECK_ALL(good);
}

/* Goal: whatever could be read in two ways is refused with the right status. Method: a table. */
TEST(doubtful_requests_are_refused)
{
    CHECK_ALL(bad);
}

/* Goal: the same for chunked bodies. Method: a table. */
TEST(doubtful_chunks_are_refused)
{
    CHECK_ALL(bad_chunks);
}

static void
check_splits(const struct sample *sample)
{
    struct play whole, split;
    play_begin(&whole);
    play_feed(&whole, sample->bytes, sample->size);
    const char *expected = play_result(&whole);
    for (size_t cut = 0; cut <= sample->size; cut++) {
        /* cut = size: byte by byte instead */
        play_begin(&split);
        for (size_t size = cut == sample->size ? 0 : cut; size < sample->size; size++) {
            char *moved = malloc(size ? size : 1); /* at another address each time, as a growing buffer is */
            assert_non_null(moved);
            memcpy(moved, sample->bytes, size);
            play_feed(&split, moved, size);
            free(moved);
            if (cut != sample->size)
                break;
        }
        play_feed(&split, sample->bytes, sample->size);
        const char *result = play_result(&split);
        if (strcmp(result, expected) != 0)
            fail_msg("%s, cut at byte %zu: expected\n%s\nbut got\n%s", sample->name, cut, expected, result);
        play_end(&split);
    }
    play_end(&whole);
}

/* Goal: the pieces in which bytes arrive do not matter. Method: every sample cut in two at every byte, and byte
 * by byte; the results are the same as whole. */
TEST(splitting_never_matters)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        check_splits(&good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_splits(&bad[i]);
    for (size_t i = 0; i < sizeof bad_chunks / sizeof *bad_chunks; i++)
        check_splits(&bad_chunks[i]);
}

/* A request with `pad` more bytes in its target or in one field, and `fields` small fields besides. */
static const char *
padded(struct play *play, size_t target, size_t value, unsigned fields)
{
    struct buf text = {0};
    buf_put_str(&text, CAIRN_STR("GET /"));
    for (size_t i = 0; i < target; i++)
        buf_put_char(&text, 't');
    buf_put_str(&text, CAIRN_STR(" HTTP/1.1\r\nHost: a\r\nX: "));
    for (size_t i = 0; i < value; i++)
        buf_put_char(&text, 'v');
    buf_put_str(&text, CAIRN_STR("\r\n"));
    for (unsigned i = 0; i < fields; i++)
        buf_put_str(&text, CAIRN_STR("A:b\r\n"));
    buf_put_str(&text, CAIRN_STR("\r\n"));
    play_begin(play);
    play_feed(play, text.data, text.size);
    buf_free(&text);
    return play_result(play);
}

#define CHECK_PADDED(target, value, fields, beginning)                                             \
    do {                                                                                           \
        struct play play_;                                                                         \
        const char *result_ = padded(&play_, target, value, fields);                               \
        assert_memory_equal(result_, beginning, strlen(beginning));                                \
        play_end(&play_);                                                                          \
    } while (0)

/* Goal: each limit refuses with its own status, and not a byte earlier. Method: sizes at a limit and one over it
 * (a target of 200, 20 fields, a head of 1,024 bytes). */
TEST(limits_have_their_statuses)
{
    CHECK_PADDED(199, 0, 0, "GET|/ttt");
    CHECK_PADDED(200, 0, 0, "BAD 414");
    CHECK_PADDED(2000, 0, 0, "BAD 414");
    CHECK_PADDED(0, 0, 18, "GET|/|");
    CHECK_PADDED(0, 0, 19, "BAD 431");
    CHECK_PADDED(0, 1024 - 32, 0, "GET|/|");
    CHECK_PADDED(0, 1024 - 31, 0, "BAD 431");
    CHECK_PADDED(0, 5000, 0, "BAD 431");
}

/* Goal: chunk sizes and trailers without end are refused. Method: 300 digits; 9,000 bytes of trailers. */
TEST(chunk_lines_are_bounded)
{
    struct buf text = {0};
    struct play play;
    buf_put_str(&text, CAIRN_STR(CHUNKED));
    for (unsigned i = 0; i < 300; i++)
        buf_put_char(&text, '0');
    play_begin(&play);
    play_feed(&play, text.data, text.size);
    CHECK_STR(play_result(&play), CHUNKED_SAID "BAD a chunk's size line is longer than 256 bytes");
    play_end(&play);

    buf_clear(&text);
    buf_put_str(&text, CAIRN_STR(CHUNKED "0\r\n"));
    for (unsigned i = 0; i < 900; i++)
        buf_put_str(&text, CAIRN_STR("abc: defg\r\n"));
    play_begin(&play);
    play_feed(&play, text.data, text.size);
    CHECK_STR(play_result(&play), CHUNKED_SAID "BAD the trailers are longer than 8192 bytes");
    play_end(&play);
    buf_free(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(valid_requests_are_understood), RUN(doubtful_requests_are_refused),
        RUN(doubtful_chunks_are_refused),   RUN(splitting_never_matters),
        RUN(limits_have_their_statuses),    RUN(chunk_lines_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

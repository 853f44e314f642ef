/* The HTTP API: followers. Server-sent events from a real server, read when the test decides to. */
#include "api_rig.h"

#include <pthread.h>

/* ---- following ------------------------------------------------------------------------------------------------------ */

struct writer {
    unsigned events;
    pthread_t thread;
};

static void *
write_events(void *context)
{
    struct writer *writer = context;
    for (unsigned i = 0; i < writer->events; i++) {
        char path[64], body[96];
        snprintf(path, sizeof path, "/v1/streams/sse-%u/events", i % 3);
        snprintf(body, sizeof body, "{\"type\":\"T%u\",\"data\":%u,\"tags\":[\"sse:%u\"]}", i % 2, i, i % 5);
        just(201, "POST", path, body);
    }
    return NULL;
}

/* Follow while a writer writes, letting go and resuming after each `stretch` events; check the ids with `next`
 * and stop after `count` events. */
static void
follow_in_stretches(const char *path, unsigned count, unsigned stretch, uint64_t step, uint64_t first_n)
{
    char last[24] = "";
    unsigned seen = 0;
    while (seen < count) {
        struct sse sse = sse_open(port, path, last[0] ? last : NULL);
        struct sse_event event;
        for (unsigned i = 0; i < stretch && seen < count; i++, seen++) {
            struct json json;
            if (!sse_next_data(&sse, &event))
                fail_msg("%s: nothing after %u of %u events", path, seen, count);
            CHECK_INT(json_check(event.data, &json, NULL), CAIRN_OK);
            if ((uint64_t)number(json, "data") != first_n + seen * step)
                fail_msg("%s: %lld came where %llu should", path, (long long)number(json, "data"),
                         (unsigned long long)(first_n + seen * step));
            snprintf(last, sizeof last, "%llu", (unsigned long long)event.id);
        }
        sse_close(&sse);
    }
}

/* Goal: resuming with Last-Event-ID while events are appended gives each exactly once, in order.
 * Method: followers of one stream, of a category, of a tag and a type, connected again and again after a few
 * events, against one writer; the data counts. */
TEST(follow_resume_without_gap_or_double)
{
    struct writer writer = {.events = 300};
    char path[128];
    CHECK_INT(pthread_create(&writer.thread, NULL, write_events, &writer), 0);
    follow_in_stretches("/v1/streams/sse-1/events", 100, 7, 3, 1);
    follow_in_stretches("/v1/events?category=sse", 300, 11, 1, 0);
    pthread_join(writer.thread, NULL);
    follow_in_stretches("/v1/events?tag=sse:2", 60, 13, 5, 2);
    follow_in_stretches("/v1/events?category=sse&type=T1", 150, 50, 2, 1);
    snprintf(path, sizeof path, "/v1/events?from=%llu", (unsigned long long)cairn_end(server_store(server)));
    struct sse sse = sse_open(port, path, NULL);
    struct sse_event event;
    CHECK(sse_next(&sse, &event, CLIENT_TIMEOUT_MS) && event.comment); /* caught up */
    append("sse-end", "{\"type\":\"A\",\"data\":{\n\"x\":1}}");
    CHECK(sse_next_data(&sse, &event));
    CHECK(memmem(event.data.data, event.data.size, "{\"x\":1}", 7) != NULL);
    sse_close(&sse);
}

/* Goal: many followers at once, live: an event reaches those it concerns and nobody else, once.
 * Method: 60 followers of as many streams, 4 of all, 3 of a tag; one event to each stream; heartbeats are the
 * proof that nothing else was on the way. */
TEST(live_followers_get_their_own)
{
    enum { STREAMS = 60, ALL = 4, TAGGED = 3, COUNT = STREAMS + ALL + TAGGED };
    static struct sse sse[COUNT];
    struct sse_event event;
    for (int i = 0; i < COUNT; i++) {
        char path[64];
        snprintf(path, sizeof path, i < STREAMS ? "/v1/streams/own-%d/events" : i < STREAMS + ALL ? "/v1/events?from=end" : "/v1/events?from=end&tag=live", i);
        sse[i] = sse_open(port, path, NULL);
        CHECK(sse_next(&sse[i], &event, CLIENT_TIMEOUT_MS) && event.comment);
    }
    for (int i = 0; i < STREAMS; i++) {
        char stream[32];
        snprintf(stream, sizeof stream, "own-%d", i);
        append(stream, i % 10 ? "{\"type\":\"A\"}" : "{\"type\":\"A\",\"tags\":[\"live\",\"live2\"]}");
    }
    for (int i = 0; i < COUNT; i++) {
        unsigned wanted = i < STREAMS ? 1 : i < STREAMS + ALL ? STREAMS : STREAMS / 10;
        uint64_t last = 0;
        for (unsigned n = 0; n < wanted; n++) {
            if (!sse_next_data(&sse[i], &event))
                fail_msg("follower %d got %u of %u", i, n, wanted);
            CHECK(n == 0 || event.id > last);
            last = event.id;
        }
        CHECK(sse_next(&sse[i], &event, CLIENT_TIMEOUT_MS));
        if (event.has_data)
            fail_msg("follower %d got more than its own: %.*s", i, (int)event.data.size, event.data.data);
        sse_close(&sse[i]);
    }
}

/* Goal: a follower that does not read costs no memory without bound and misses nothing once it reads.
 * Method: 40 MB of events to a stream whose follower sleeps; then read them all. */
TEST(slow_follower_catches_up)
{
    struct sse sse = sse_open(port, "/v1/streams/slow-1/events", NULL);
    struct sse_event event;
    struct buf body = {0};
    CHECK(sse_next(&sse, &event, CLIENT_TIMEOUT_MS));
    buf_put_str(&body, CAIRN_STR("{\"type\":\"A\",\"data\":\""));
    for (int i = 0; i < 400000; i++)
        buf_put_char(&body, 'z');
    buf_put_str(&body, CAIRN_STR("\"}"));
    buf_put_char(&body, '\0');
    for (int i = 0; i < 100; i++)
        append("slow-1", body.data);
    for (uint64_t i = 0; i < 100; i++) {
        if (!sse_next_data(&sse, &event))
            fail_msg("nothing after %llu events", (unsigned long long)i);
        CHECK_INT(event.id, i);
        CHECK(event.data.size > 400000);
    }
    append("slow-1", "{\"type\":\"Last\"}");
    CHECK(sse_next_data(&sse, &event));
    CHECK_INT(event.id, 100);
    sse_close(&sse);
    buf_free(&body);
}

/* Goal: a filtered follower's heartbeat says how far the log was looked through, and resuming there misses nothing.
 * Method: a tag that nothing bears, other events, the id of a heartbeat, then an event with the tag. */
TEST(heartbeat_moves_the_id)
{
    struct sse sse = sse_open(port, "/v1/events?tag=seldom&from=end", NULL);
    struct sse_event event;
    append("hb-1", "{\"type\":\"A\"}");
    uint64_t end = cairn_end(server_store(server));
    do
        CHECK(sse_next(&sse, &event, CLIENT_TIMEOUT_MS));
    while (!event.has_id);
    CHECK(!event.has_data);
    CHECK_INT(event.id, end - 1);
    sse_close(&sse);
    char last[24];
    snprintf(last, sizeof last, "%llu", (unsigned long long)event.id);
    append("hb-1", "{\"type\":\"A\",\"tags\":[\"seldom\"]}");
    sse = sse_open(port, "/v1/events?tag=seldom&from=end", last);
    CHECK(sse_next_data(&sse, &event));
    CHECK_INT(event.id, end);
    sse_close(&sse);
}

/* Goal: a follower too many is told to come back: 429 with Retry-After.
 * Method: a second server that takes one. */
TEST(followers_are_bounded)
{
    struct server_config config;
    struct server *small;
    cairn_error error = {0};
    char value[256];
    config_defaults(&config);
    snprintf(config.data, sizeof config.data, "%s/small", folder);
    snprintf(config.listen, sizeof config.listen, "127.0.0.1:0");
    config.followers = 1;
    CHECK_OK(server_start(&config, &small, &error));
    const char *url = server_url(small);
    unsigned small_port = (unsigned)strtoul(strrchr(url, ':') + 1, NULL, 10);
    static const char *const headers[] = {"accept: text/event-stream", NULL};
    struct sse sse = sse_open(small_port, "/v1/events", NULL);
    struct sse_event event;
    CHECK(sse_next(&sse, &event, CLIENT_TIMEOUT_MS));

    struct reply reply = expect_problem(429, "busy", "the limit is 1", client_call(url, "GET", "/v1/events", headers,
                                                                                    (cairn_str){0}));
    CHECK(reply_header(&reply, "retry-after", value));
    CHECK_STR(value, "1");
    reply_free(&reply);
    sse_close(&sse);
    server_stop(small);
}

/* Goal: what cannot be followed is refused by name.
 * Method: a table. */
TEST(follow_refusals)
{
    static const char *const cases[] = {"/v1/events?limit=5", "/v1/events?as_of=5", "/v1/events?until=2030-01-01",
                                        "/v1/events?direction=backward"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reply r = expect_problem(400, "malformed", "text/event-stream", call_as("GET", cases[i], "accept: text/event-stream", NULL));
        reply_free(&r);
    }
    const char *const headers[] = {"accept: text/event-stream", "last-event-id: abc", NULL};
    struct reply r = expect_problem(400, "malformed", "last-event-id", client_call(base, "GET", "/v1/events", headers, (cairn_str){0}));
    reply_free(&r);
    r = call_as("HEAD", "/v1/events", "accept: text/event-stream", NULL);
    CHECK_INT(r.status, 200);
    reply_free(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(follow_resume_without_gap_or_double),
        RUN(live_followers_get_their_own),
        RUN(followers_are_bounded),
        RUN(slow_follower_catches_up),
        RUN(heartbeat_moves_the_id),
        RUN(follow_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* The HTTP API, end to end. Every route is called well and badly; the last test checks that none was left out.
 * Followers: api_follow.c. */
#include "api_rig.h"

#include <pthread.h>

/* ---- appending ------------------------------------------------------------------------------------------------ */

/* Goal: append answers where the events landed; expected revisions hold; a lost race names the actual one.
 * Method: a stream's first three appends. */
TEST(append_and_conflict)
{
    struct reply r = expect(201, "POST", "/v1/streams/a-1/events?expected=none",
                            "[{\"type\":\"A\",\"data\":{\"n\": 1}},{\"type\":\"B\"}]");
    CHECK_INT(number(r.json, "last_position") - number(r.json, "first_position"), 1);
    CHECK_INT(number(r.json, "revision"), 1);
    CHECK(json_get(r.json, "repeated").type == JSON_NONE);
    reply_free(&r);
    just(201, "POST", "/v1/streams/a-1/events?expected=1", "{\"type\":\"C\"}");
    r = expect_problem(409, "conflict", "revision", call("POST", "/v1/streams/a-1/events?expected=1", "{\"type\":\"D\"}"));
    CHECK_INT(number(r.json, "revision"), 2);
    CHECK(json_get(r.json, "hint").type == JSON_STRING);
    reply_free(&r);
    r = expect_problem(409, "conflict", "", call("POST", "/v1/streams/a-new/events?expected=exists", "{\"type\":\"D\"}"));
    CHECK_INT(number(r.json, "revision"), -1);
    reply_free(&r);
}

/* Goal: the same ids again: 200, the same places, "repeated".
 * Method: send one body twice. */
TEST(idempotent_repeat)
{
    const char *body = "[{\"type\":\"A\",\"id\":\"0198c5f0-7a3e-7bb2-9d6e-5f1c3b9a2e10\"}]";
    struct reply first = expect(201, "POST", "/v1/streams/idem/events?expected=none", body);
    struct reply again = expect(200, "POST", "/v1/streams/idem/events?expected=none", body);
    CHECK(json_get(again.json, "repeated").type == JSON_TRUE);
    CHECK_INT(number(first.json, "first_position"), number(again.json, "first_position"));
    reply_free(&first);
    reply_free(&again);
}

/* Goal: every form of body is taken and every kind of bad one refused.
 * Method: one call each; a binary CloudEvent comes back as it went. */
TEST(bodies)
{
    struct reply r = call_as("POST", "/v1/streams/b-1/events", "content-type: application/x-ndjson", "{\"type\":\"A\"}\n{\"type\":\"B\"}\n");
    CHECK_INT(r.status, 201);
    reply_free(&r);
    r = call_as("POST", "/v1/streams/b-1/events", "content-type: application/cloudevents+json",
                "{\"specversion\":\"1.0\",\"type\":\"T\",\"source\":\"/x\",\"id\":\"1\",\"data\":5}");
    CHECK_INT(r.status, 201);
    reply_free(&r);
    r = call_as("POST", "/v1/streams/b-1/events", "content-type: application/cloudevents-batch+json",
                "[{\"specversion\":\"1.0\",\"type\":\"T\",\"source\":\"/x\",\"id\":\"2\"}]");
    CHECK_INT(r.status, 201);
    reply_free(&r);
    const char *const headers[] = {"content-type: text/plain", "ce-specversion: 1.0", "ce-type: T", "ce-source: /y",
                                   "ce-id: 3", "ce-subject: %C3%A4", NULL};
    r = client_call(base, "POST", "/v1/streams/b-1/events", headers, CAIRN_STR("hello"));
    CHECK_INT(r.status, 201);
    reply_free(&r);
    r = call_as("GET", "/v1/streams/b-1/events?from=4", "accept: application/cloudevents-batch+json", NULL);
    CHECK_INT(r.status, 200);
    CHECK(strstr(r.body.data, "\"subject\":\"\xC3\xA4\"") && strstr(r.body.data, "\"source\":\"/y\"") &&
          strstr(r.body.data, "\"id\":\"3\"") && strstr(r.body.data, "\"data_base64\":\"aGVsbG8=\""));
    char end[256];
    CHECK(reply_header(&r, "cairn-end", end) && !strcmp(end, "true"));
    CHECK(reply_header(&r, "cairn-next", end) && !strcmp(end, "5"));
    reply_free(&r);

    r = expect_problem(415, "media-type", "curl needs", call_as("POST", "/v1/streams/b-1/events", "content-type: application/x-www-form-urlencoded", "x"));
    reply_free(&r);
    r = expect_problem(415, "media-type", "text/csv", call_as("POST", "/v1/append", "content-type: text/csv", "x"));
    reply_free(&r);
    problem(400, "malformed", "not JSON: at byte", "POST", "/v1/streams/b-1/events", "{\"type\"");
    problem(422, "invalid", "events[1].tags[0]: must be a string", "POST", "/v1/streams/b-1/events",
            "[{\"type\":\"A\"},{\"type\":\"A\",\"tags\":[1]}]");
    problem(403, "denied", "$mine", "POST", "/v1/streams/$mine/events", "{\"type\":\"A\"}");
    problem(400, "malformed", "parameter 'expect' is not known here; known are expected", "POST", "/v1/streams/b-1/events?expect=any", "{\"type\":\"A\"}");
}

/* Goal: pages of other sites cannot write, by whatever simple request a browser lets them make; those of this server
 * can. Control objects are JSON.
 * Method: Origin foreign, null, own; a form's content type. */
TEST(other_sites_and_forms)
{
    static const char *const foreign[] = {"origin: http://evil.example", "origin: null", "origin: http://127.0.0.1:1"};
    for (size_t i = 0; i < 3; i++) {
        const char *const headers[] = {foreign[i], "content-type: application/json", NULL};
        struct reply r = expect_problem(403, "origin", "is not the host", client_call(base, "POST", "/v1/streams/o/events", headers, CAIRN_STR("{\"type\":\"A\"}")));
        reply_free(&r);
        r = expect_problem(403, "origin", "is not the host", client_call(base, "POST", "/v1/scavenge", headers, CAIRN_STR("")));
        reply_free(&r);
        r = client_call(base, "GET", "/v1/events?limit=1", headers, (cairn_str){0});
        CHECK_INT(r.status, 200);
        reply_free(&r);
    }
    char own[160];
    snprintf(own, sizeof own, "origin: %s", base);
    const char *const headers[] = {own, "content-type: application/json", NULL};
    struct reply r = client_call(base, "POST", "/v1/streams/o/events", headers, CAIRN_STR("{\"type\":\"A\"}"));
    CHECK_INT(r.status, 201);
    reply_free(&r);
    r = expect_problem(415, "media-type", "is not application/json", call_as("PUT", "/v1/streams/o/retention", "content-type: text/plain", "{}"));
    reply_free(&r);
}

/* Goal: limits are answered with 413 and the limit.
 * Method: an event of 1.2 MiB, 4097 events, a type of 513 bytes, a stream name of 513 bytes. */
TEST(limits)
{
    struct buf body = {0};
    buf_put_str(&body, CAIRN_STR("{\"type\":\"A\",\"data\":\""));
    for (int i = 0; i < 1200000; i++)
        buf_put_char(&body, 'x');
    buf_put_str(&body, CAIRN_STR("\"}"));
    buf_put_char(&body, '\0');
    problem(413, "limit", "limit", "POST", "/v1/streams/l/events", body.data);
    buf_clear(&body);
    buf_put_char(&body, '[');
    for (int i = 0; i < 4097; i++)
        buf_printf(&body, "%s{\"type\":\"A\"}", i ? "," : "");
    buf_put_str(&body, CAIRN_STR("]"));
    buf_put_char(&body, '\0');
    problem(413, "limit", "4096", "POST", "/v1/streams/l/events", body.data);
    buf_clear(&body);
    buf_printf(&body, "{\"type\":\"%0513d\"}", 1);
    problem(413, "limit", "events[0].type: is 513 bytes; the limit is 512", "POST", "/v1/streams/l/events", body.data);
    buf_clear(&body);
    buf_printf(&body, "/v1/streams/%0513d/events", 1);
    problem(413, "limit", "513", "POST", body.data, "{\"type\":\"A\"}");
    buf_free(&body);
}

struct crowd {
    const char *url;
    unsigned said[600]; /* how often each status came */
};

#define CROWD 8
#define CROWD_APPENDS 5000 /* of each, at most: one refusal ends it */

static void *
append_until_refused(void *context)
{
    struct crowd *crowd = context;
    for (unsigned i = 0; i < CROWD_APPENDS && __atomic_load_n(&crowd->said[429], __ATOMIC_RELAXED) == 0; i++) {
        struct reply r = client_call(crowd->url, "POST", "/v1/streams/crowd-1/events", json_headers,
                                     CAIRN_STR("{\"type\":\"A\"}"));
        char value[256];
        CHECK(r.status > 0 && r.status < 600);
        if (r.status == 429)
            CHECK(json_string_is(json_get(r.json, "type"), "urn:cairn:problem:busy")
                  && strstr(r.body.data, "appends are waiting for the disk") != NULL
                  && reply_header(&r, "retry-after", value));
        __atomic_fetch_add(&crowd->said[r.status], 1, __ATOMIC_RELAXED);
        reply_free(&r);
    }
    return NULL;
}

/* Goal: a full queue of appends is 429 with Retry-After, and what was refused is not written.
 * Method: a second server whose queue takes one; eight clients append until one of them is refused. */
TEST(full_queue_is_busy)
{
    struct server_config config;
    struct server *small;
    cairn_error error = {0};
    config_defaults(&config);
    snprintf(config.data, sizeof config.data, "%s/crowded", folder);
    snprintf(config.listen, sizeof config.listen, "127.0.0.1:0");
    config.appends_waiting = 1;
    CHECK_OK(server_start(&config, &small, &error));
    struct crowd crowd = {.url = server_url(small)};
    pthread_t threads[CROWD];
    for (unsigned i = 0; i < CROWD; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, append_until_refused, &crowd), 0);
    for (unsigned i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    CHECK(crowd.said[429] > 0);
    cairn_stream_info info;
    unsigned others = 0;
    for (unsigned status = 0; status < 600; status++)
        others += status == 201 || status == 429 ? 0 : crowd.said[status];
    CHECK_INT(others, 0);
    CHECK_OK(cairn_stream_info_get(server_store(small), 0, CAIRN_STR("crowd-1"), &info, &error));
    CHECK_INT(info.last_revision + 1, crowd.said[201]);
    server_stop(small);
}

/* Goal: an append over streams is all or nothing; a condition that fails names the first match.
 * Method: two streams, then a condition on a tag that was written. */
TEST(append_with_conditions)
{
    struct reply r = expect(201, "POST", "/v1/append",
                            "{\"writes\":[{\"stream\":\"c-1\",\"expected\":\"none\",\"events\":[{\"type\":\"Taken\","
                            "\"tags\":[\"seat:1\"]}]},{\"stream\":\"c-2\",\"events\":{\"type\":\"Other\"}}],\"conditions\":"
                            "[{\"query\":[{\"tags\":[\"seat:1\"]}]}]}");
    int64_t position = number(r.json, "first_position");
    CHECK_INT(number(r.json, "last_position"), position + 1);
    reply_free(&r);
    const char *again = "{\"writes\":[{\"stream\":\"c-3\",\"events\":{\"type\":\"Taken\"}}],\"conditions\":[{\"query\":"
                        "[{\"types\":[\"Taken\"],\"tags\":[\"seat:1\"]}],\"after\":-1}]}";
    r = expect_problem(409, "condition", "", call("POST", "/v1/append", again));
    CHECK_INT(number(r.json, "position"), position);
    reply_free(&r);
    r = expect(200, "GET", "/v1/streams/c-3/events", NULL);
    CHECK(json_get(r.json, "exists").type == JSON_FALSE);
    reply_free(&r);
    problem(409, "conflict", "c-1", "POST", "/v1/append",
            "{\"writes\":[{\"stream\":\"c-4\",\"events\":{\"type\":\"A\"}},{\"stream\":\"c-1\",\"expected\":\"none\","
            "\"events\":{\"type\":\"A\"}}]}");
    problem(422, "invalid", "writes[0].events[0].type: is missing", "POST", "/v1/append", "{\"writes\":[{\"stream\":\"x\",\"events\":{}}]}");
    problem(422, "invalid", "condition\\\" is not known here; known are writes, conditions", "POST", "/v1/append", "{\"condition\":[]}");
    problem(400, "malformed", "takes none", "POST", "/v1/append?expected=any", "{}");
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* Goal: pages forward and backward join without a gap; an unknown stream reads as empty.
 * Method: 10 events in pages of 4, both ways. */
TEST(pages_of_a_stream)
{
    for (int i = 0; i < 10; i++) {
        char body[64];
        snprintf(body, sizeof body, "{\"type\":\"N\",\"data\": {\"i\":%d}}", i);
        append("p-1", body);
    }
    int64_t from = 0;
    size_t seen = 0;
    bool end = false;
    while (!end) {
        char path[128];
        snprintf(path, sizeof path, "/v1/streams/p-1/events?limit=4&from=%lld", (long long)from);
        struct reply r = expect(200, "GET", path, NULL);
        for (size_t i = 0; i < events_in(&r); i++)
            CHECK_INT(number(event_at(&r, i), "revision"), seen++);
        CHECK(json_get(r.json, "exists").type == JSON_TRUE);
        end = json_get(r.json, "end").type == JSON_TRUE;
        from = number(r.json, "next");
        reply_free(&r);
    }
    CHECK_INT(seen, 10);
    CHECK_INT(from, 10);
    char query[64] = "";
    for (end = false; !end;) {
        char path[160];
        snprintf(path, sizeof path, "/v1/streams/p-1/events?limit=4&direction=backward%s", query);
        struct reply r = expect(200, "GET", path, NULL);
        for (size_t i = 0; i < events_in(&r); i++)
            CHECK_INT(number(event_at(&r, i), "revision"), --seen);
        end = json_get(r.json, "end").type == JSON_TRUE;
        if (end)
            CHECK(json_get(r.json, "next").type == JSON_NULL);
        else
            snprintf(query, sizeof query, "&from=%lld", (long long)number(r.json, "next"));
        reply_free(&r);
    }
    CHECK_INT(seen, 0);
    struct reply r = expect(200, "GET", "/v1/streams/never/events", NULL);
    CHECK_STR(r.body.data, "{\"events\":[],\"next\":0,\"end\":true,\"exists\":false}");
    reply_free(&r);
    r = expect(200, "GET", "/v1/streams/p-1/events?from=100", NULL);
    CHECK_INT(events_in(&r), 0);
    CHECK(json_get(r.json, "exists").type == JSON_TRUE);
    reply_free(&r);
    problem(400, "malformed", "parameter 'limit'", "GET", "/v1/streams/p-1/events?limit=0", NULL);
    problem(400, "malformed", "parameter 'type'", "GET", "/v1/streams/p-1/events?type=A", NULL);
    r = expect_problem(406, "not-acceptable", "image/png", call_as("GET", "/v1/events", "accept: image/png", NULL));
    reply_free(&r);
}

/* Goal: filters of all: category, types (any of), tags (all of), system streams, and their pages.
 * Method: events of two categories; count what each filter gives. */
TEST(filters_of_all)
{
    for (int i = 0; i < 6; i++) {
        char body[128], stream[32];
        snprintf(body, sizeof body, "{\"type\":\"%s\",\"tags\":[\"f:%d\",\"g\"]}", i % 2 ? "Odd" : "Even", i % 3);
        snprintf(stream, sizeof stream, i < 3 ? "fil-%d" : "ter-%d", i);
        append(stream, body);
    }
    static const struct {
        const char *query;
        size_t count;
    } cases[] = {
        {"category=fil", 3},          {"type=Odd&category=fil", 1}, {"type=Odd&type=Even&category=ter", 3},
        {"tag=f:0", 2},               {"tag=f:0&tag=g", 2},         {"tag=f:0&type=Odd", 1},
        {"tag=f:0&tag=f:1", 0},       {"category=none", 0},         {"tag=g&direction=backward&limit=4", 4},
        {"category=fil&as_of=0", 0},  {"tag=g&as_of=2000-01-01", 0}, {"tag=g&since=2000-01-01T00:00:00Z", 6},
        {"tag=g&until=2000-01-01", 0}, {"tag=g&until=2999-01-01", 6}, {"since=2999-01-01", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[128];
        snprintf(path, sizeof path, "/v1/events?%s", cases[i].query);
        struct reply r = expect(200, "GET", path, NULL);
        if (events_in(&r) != cases[i].count)
            fail_msg("%s: %zu events, not %zu", cases[i].query, events_in(&r), cases[i].count);
        reply_free(&r);
    }
    struct reply first = expect(200, "GET", "/v1/events?tag=g&limit=4", NULL);
    CHECK(json_get(first.json, "end").type == JSON_FALSE);
    char path[128];
    snprintf(path, sizeof path, "/v1/events?tag=g&from=%lld", (long long)number(first.json, "next"));
    struct reply rest = expect(200, "GET", path, NULL);
    CHECK_INT(events_in(&rest), 2);
    CHECK(json_get(rest.json, "end").type == JSON_TRUE);
    reply_free(&first);
    reply_free(&rest);
}

/* Goal: as_of reads what was there, by position and by time.
 * Method: note the end and the time between two appends. */
TEST(as_of)
{
    append("as-1", "{\"type\":\"A\"}");
    struct reply r = expect(200, "GET", "/v1/streams/as-1/events", NULL);
    struct arena arena = {0};
    cairn_str time = arena_copy(&arena, json_string(json_get(event_at(&r, 0), "time"), &arena));
    int64_t position = number(event_at(&r, 0), "position");
    reply_free(&r);
    append("as-1", "{\"type\":\"B\"}");
    char path[128];
    snprintf(path, sizeof path, "/v1/streams/as-1/events?as_of=%s", time.data);
    r = expect(200, "GET", path, NULL);
    CHECK_INT(events_in(&r), 1);
    reply_free(&r);
    snprintf(path, sizeof path, "/v1/streams/as-1/events?as_of=%lld", (long long)position + 1);
    r = expect(200, "GET", path, NULL);
    CHECK_INT(events_in(&r), 1);
    reply_free(&r);
    snprintf(path, sizeof path, "/v1/streams/as-1/events?as_of=%lld", (long long)position);
    r = expect(200, "GET", path, NULL);
    CHECK_INT(events_in(&r), 0);
    reply_free(&r);
    arena_free(&arena);
}

/* Goal: long pages and large ones go to the pool and come back whole; a page is bounded in bytes.
 * Method: 600 small events in one page; 20 events of 700 kB, read until the end. */
TEST(long_and_large_pages)
{
    struct buf body = {0};
    buf_put_char(&body, '[');
    for (int i = 0; i < 600; i++)
        buf_printf(&body, "%s{\"type\":\"A\",\"data\":%d}", i ? "," : "", i);
    buf_put_str(&body, CAIRN_STR("]"));
    buf_put_char(&body, '\0');
    append("long-1", body.data);
    struct reply r = expect(200, "GET", "/v1/streams/long-1/events?limit=1000", NULL);
    CHECK_INT(events_in(&r), 600);
    CHECK(json_get(r.json, "end").type == JSON_TRUE);
    reply_free(&r);
    r = call_as("GET", "/v1/streams/long-1/events?limit=150", "accept: application/x-ndjson", NULL);
    size_t lines = 0;
    for (size_t i = 0; i < r.body.size; i++)
        lines += r.body.data[i] == '\n';
    CHECK_INT(lines, 150);
    reply_free(&r);

    buf_clear(&body);
    buf_put_str(&body, CAIRN_STR("{\"type\":\"A\",\"data\":\""));
    for (int i = 0; i < 700000; i++)
        buf_put_char(&body, 'y');
    buf_put_str(&body, CAIRN_STR("\"}"));
    buf_put_char(&body, '\0');
    for (int i = 0; i < 20; i++)
        append("large-1", body.data);
    int64_t from = 0;
    size_t seen = 0, pages = 0;
    for (bool end = false; !end; pages++) {
        char path[64];
        snprintf(path, sizeof path, "/v1/streams/large-1/events?from=%lld", (long long)from);
        r = expect(200, "GET", path, NULL);
        CHECK(r.body.size < API_PAGE_BYTES_MAX + 1000000);
        seen += events_in(&r);
        end = json_get(r.json, "end").type == JSON_TRUE;
        from = number(r.json, "next");
        reply_free(&r);
    }
    CHECK_INT(seen, 20);
    CHECK(pages >= 2);
    buf_free(&body);
}

/* ---- streams ------------------------------------------------------------------------------------------------------------ */

/* Goal: streams are listed in pages, by prefix; an unknown `after` is 404.
 * Method: five streams in pages of two. */
TEST(list_streams)
{
    for (int i = 0; i < 5; i++) {
        char stream[32];
        snprintf(stream, sizeof stream, "list-%d", i);
        append(stream, "{\"type\":\"A\"}");
    }
    char path[128] = "/v1/streams?prefix=list-&limit=2";
    size_t seen = 0;
    for (bool end = false; !end;) {
        struct reply r = expect(200, "GET", path, NULL);
        seen += json_count(json_get(r.json, "streams"));
        end = json_get(r.json, "end").type == JSON_TRUE;
        struct arena arena = {0};
        cairn_str next = json_string(json_get(r.json, "next"), &arena);
        if (!end)
            snprintf(path, sizeof path, "/v1/streams?prefix=list-&limit=2&after=%.*s", (int)next.size, next.data);
        arena_free(&arena);
        reply_free(&r);
    }
    CHECK_INT(seen, 5);
    problem(404, "notfound", "", "GET", "/v1/streams?after=unknown", NULL);
    problem(400, "malformed", "prefix", "GET", "/v1/streams?prefix=", NULL);
}

/* Goal: names of every kind go through the path: slashes, spaces, UTF-8.
 * Method: append and read back; a bad escape and bad UTF-8 are refused. */
TEST(names_in_paths)
{
    append("a%2Fb%20%C3%A4%3F", "{\"type\":\"A\"}");
    struct reply r = expect(200, "GET", "/v1/streams/a%2Fb%20%C3%A4%3F", NULL);
    CHECK(json_string_is(json_get(r.json, "stream"), "a/b \xC3\xA4?"));
    CHECK(json_get(r.json, "exists").type == JSON_TRUE);
    CHECK_INT(number(r.json, "last_revision"), 0);
    reply_free(&r);
    problem(400, "malformed", "percent-escape", "GET", "/v1/streams/%zz", NULL);
    problem(400, "malformed", "UTF-8", "GET", "/v1/streams/%ff", NULL);
}

/* Goal: retention is set, shown, and acts; bad ones and system streams are refused.
 * Method: max_count 2 on a stream of 5. */
TEST(retention)
{
    for (int i = 0; i < 5; i++)
        append("ret-1", "{\"type\":\"A\"}");
    struct reply r = expect(200, "GET", "/v1/streams/ret-1/retention", NULL);
    CHECK_STR(r.body.data, "{\"max_count\":null,\"max_age\":null,\"truncate_before\":null}");
    reply_free(&r);
    r = expect(200, "PUT", "/v1/streams/ret-1/retention", "{\"max_count\":2,\"max_age\":\"36h\"}");
    CHECK_STR(r.body.data, "{\"max_count\":2,\"max_age\":\"36h\",\"truncate_before\":null}");
    reply_free(&r);
    r = expect(200, "GET", "/v1/streams/ret-1/events", NULL);
    CHECK_INT(events_in(&r), 2);
    CHECK_INT(number(event_at(&r, 0), "revision"), 3);
    reply_free(&r);
    r = expect(200, "GET", "/v1/streams/ret-1", NULL);
    CHECK_INT(number(r.json, "first_revision"), 3);
    reply_free(&r);
    problem(422, "invalid", "max_age", "PUT", "/v1/streams/ret-1/retention", "{\"max_age\":7}");
    problem(403, "denied", "$x", "PUT", "/v1/streams/$x/retention", "{}");
    problem(400, "malformed", "takes none", "GET", "/v1/streams/ret-1/retention?x=1", NULL);
}

/* Goal: a deleted stream reads as not existing and goes on with the next revision; a tombstone answers 410.
 * Method: delete, append, delete for good, append. */
TEST(delete_and_tombstone)
{
    append("del-1", "[{\"type\":\"A\"},{\"type\":\"A\"}]");
    problem(409, "conflict", "", "DELETE", "/v1/streams/del-1?expected=0", NULL);
    just(204, "DELETE", "/v1/streams/del-1?expected=1", NULL);
    struct reply r = expect(200, "GET", "/v1/streams/del-1/events", NULL);
    CHECK(json_get(r.json, "exists").type == JSON_FALSE);
    reply_free(&r);
    r = expect(201, "POST", "/v1/streams/del-1/events?expected=none", "{\"type\":\"B\"}");
    CHECK_INT(number(r.json, "revision"), 2);
    reply_free(&r);
    just(204, "DELETE", "/v1/streams/del-1?tombstone=true", NULL);
    problem(410, "gone", "", "POST", "/v1/streams/del-1/events", "{\"type\":\"B\"}");
    r = expect(200, "GET", "/v1/streams/del-1/events", NULL);
    CHECK(json_get(r.json, "tombstoned").type == JSON_TRUE);
    reply_free(&r);
    problem(404, "notfound", "", "DELETE", "/v1/streams/del-never", NULL);
    problem(400, "malformed", "true or false", "DELETE", "/v1/streams/del-1?tombstone=yes", NULL);
}

/* Goal: a snapshot comes back byte for byte with its type and revision.
 * Method: put, get; a revision beyond the stream's, none at all, no parameter. */
TEST(snapshots)
{
    append("snap-1", "[{\"type\":\"A\"},{\"type\":\"A\"}]");
    problem(404, "notfound", "", "GET", "/v1/streams/snap-1/snapshot", NULL);
    const char *const headers[] = {"content-type: application/x-state", NULL};
    struct reply r = client_call(base, "PUT", "/v1/streams/snap-1/snapshot?revision=1", headers, CAIRN_STR("\x00\x01zz"));
    if (r.status != 204)
        fail_msg("%s", r.body.data);
    reply_free(&r);
    r = call("GET", "/v1/streams/snap-1/snapshot", NULL);
    char text[256];
    CHECK_INT(r.status, 200);
    CHECK_INT(r.body.size, 4);
    CHECK(memcmp(r.body.data, "\x00\x01zz", 4) == 0);
    CHECK(reply_header(&r, "content-type", text) && !strcmp(text, "application/x-state"));
    CHECK(reply_header(&r, "cairn-revision", text) && !strcmp(text, "1"));
    reply_free(&r);
    problem(422, "invalid", "revision", "PUT", "/v1/streams/snap-1/snapshot?revision=9", "{}");
    problem(400, "malformed", "'revision' is missing", "PUT", "/v1/streams/snap-1/snapshot", "{}");
}

/* ---- subscriptions ---------------------------------------------------------------------------------------------------------- */

static void
positions_of(const struct reply *reply, char to[256])
{
    size_t used = (size_t)snprintf(to, 256, "{\"positions\":[");
    for (size_t i = 0; i < events_in(reply); i++)
        used += (size_t)snprintf(to + used, 256 - used, "%s%lld", i ? "," : "",
                                 (long long)number(event_at(reply, i), "position"));
    snprintf(to + used, 256 - used, "]}");
}

/* Goal: the life of a group: made, events taken, acknowledged, refused, parked, replayed, deleted.
 * Method: three events through all of it. */
TEST(subscription_life)
{
    problem(404, "notfound", "", "GET", "/v1/subscriptions/g1", NULL);
    struct reply r = expect(200, "PUT", "/v1/subscriptions/g1", "{\"stream\":\"grp-1\",\"retry_max\":5,\"ack_timeout_ms\":60000}");
    CHECK_INT(number(r.json, "retry_max"), 5);
    CHECK_INT(number(r.json, "outstanding_max"), 1000);
    reply_free(&r);
    append("grp-1", "[{\"type\":\"A\"},{\"type\":\"B\"},{\"type\":\"C\"}]");
    r = expect(200, "GET", "/v1/subscriptions/g1/events?limit=2&wait=5000", NULL);
    CHECK_INT(events_in(&r), 2);
    CHECK_INT(number(event_at(&r, 0), "delivery"), 1);
    char positions[256], body[320];
    positions_of(&r, positions);
    reply_free(&r);
    r = expect(200, "POST", "/v1/subscriptions/g1/ack", positions);
    CHECK_STR(r.body.data, "{\"acknowledged\":2}");
    reply_free(&r);
    r = expect(200, "GET", "/v1/subscriptions/g1/events?wait=5000", NULL);
    CHECK_INT(events_in(&r), 1);
    positions_of(&r, positions);
    reply_free(&r);
    snprintf(body, sizeof body, "%.*s,\"park\":true,\"reason\":\"no good\"}", (int)strlen(positions) - 1, positions);
    r = expect(200, "POST", "/v1/subscriptions/g1/nack", body);
    CHECK_STR(r.body.data, "{\"refused\":1}");
    reply_free(&r);
    r = expect(200, "GET", "/v1/subscriptions/g1/parked", NULL);
    CHECK_INT(events_in(&r), 1);
    CHECK(json_string_is(json_get(event_at(&r, 0), "reason"), "no good"));
    reply_free(&r);
    r = expect(200, "POST", "/v1/subscriptions/g1/parked/replay", NULL);
    CHECK_STR(r.body.data, "{\"replayed\":1}");
    reply_free(&r);
    r = expect(200, "GET", "/v1/subscriptions/g1/events?wait=5000", NULL);
    CHECK_INT(events_in(&r), 1);
    reply_free(&r);
    r = expect(200, "PUT", "/v1/subscriptions/g1", "{\"retry_max\":7}");
    CHECK(json_string_is(json_get(r.json, "stream"), "grp-1"));
    CHECK_INT(number(r.json, "retry_max"), 7);
    reply_free(&r);
    r = expect(200, "GET", "/v1/subscriptions", NULL);
    CHECK(json_count(json_get(r.json, "subscriptions")) >= 1);
    reply_free(&r);
    just(200, "GET", "/v1/subscriptions/g1", NULL);
    problem(422, "invalid", "dead_letter", "PUT", "/v1/subscriptions/g1", "{\"dead_letter\":7}");
    problem(422, "invalid", "a-zA-Z0-9", "PUT", "/v1/subscriptions/g1", "{\"dead_letter\":\"no topic\"}");
    r = expect(200, "PUT", "/v1/subscriptions/g1", "{\"dead_letter\":\"g1.dead\"}");
    CHECK(json_string_is(json_get(r.json, "dead_letter"), "g1.dead") && number(r.json, "retry_max") == 7);
    reply_free(&r);
    just(200, "PUT", "/v1/subscriptions/g1", "{\"dead_letter\":true}");
    r = expect(200, "PUT", "/v1/subscriptions/g1", "{\"retry_max\":8}");
    CHECK(json_get(r.json, "dead_letter").type == JSON_TRUE);
    reply_free(&r);
    append("grp-1", "[{\"type\":\"D\"}]");
    r = expect(200, "GET", "/v1/subscriptions/g1/events?limit=100&wait=5000", NULL);
    CHECK_INT(events_in(&r), 1);
    positions_of(&r, positions);
    reply_free(&r);
    snprintf(body, sizeof body, "%.*s,\"park\":true}", (int)strlen(positions) - 1, positions);
    just(200, "POST", "/v1/subscriptions/g1/nack", body);
    r = expect(200, "GET", "/v1/subscriptions/g1", NULL);
    CHECK(number(r.json, "dead_letters") == 1 && json_string_is(json_get(r.json, "dead_letter_topic"), "grp.dlq"));
    reply_free(&r);
    problem(404, "notfound", "", "POST", "/v1/topics/nothing.dlq/replay", NULL);
    problem(422, "invalid", "until", "POST", "/v1/topics/grp.dlq/replay", "{\"next\":{\"partition\":0}}");
    problem(422, "invalid", "10000", "POST", "/v1/topics/grp.dlq/replay", "{\"limit\":10001}");
    r = expect(200, "POST", "/v1/topics/grp.dlq/replay", "{\"dry_run\":true,\"to\":1,\"partition\":0}");
    CHECK(number(r.json, "replayed") == 1 && json_get(r.json, "next").type == JSON_NULL);
    reply_free(&r);
    r = expect(200, "POST", "/v1/topics/grp.dlq/replay", NULL);
    CHECK(number(r.json, "replayed") == 1);
    reply_free(&r);
    just(204, "DELETE", "/v1/subscriptions/g1", NULL);
    problem(404, "notfound", "", "DELETE", "/v1/subscriptions/g1", NULL);
    problem(404, "notfound", "", "GET", "/v1/subscriptions/g1/events", NULL);
    problem(404, "notfound", "", "POST", "/v1/subscriptions/g1/ack", "{\"positions\":[1]}");
    problem(404, "notfound", "", "POST", "/v1/subscriptions/g1/nack", "{\"positions\":[1]}");
    problem(404, "notfound", "", "POST", "/v1/subscriptions/g1/parked/replay", NULL);
    problem(404, "notfound", "", "GET", "/v1/subscriptions/g1/parked", NULL);
    problem(422, "invalid", "streams\\\" is not known", "PUT", "/v1/subscriptions/g1", "{\"streams\":\"x\"}");
    problem(422, "invalid", "positions", "POST", "/v1/subscriptions/g1/ack", "{}");
    problem(400, "malformed", "wait", "GET", "/v1/subscriptions/g1/events?wait=60001", NULL);
}

static void *
append_one(void *context)
{
    append(context, "{\"type\":\"A\"}");
    return NULL;
}

/* Goal: a long poll answers as soon as an event comes, and with none at its deadline; two pollers share.
 * Method: poll while another thread appends; measure both. */
TEST(long_poll)
{
    just(200, "PUT", "/v1/subscriptions/poll", "{\"stream\":\"poll-1\"}");
    int64_t begun = api_now_us();
    struct reply r = expect(200, "GET", "/v1/subscriptions/poll/events?wait=400", NULL);
    CHECK_INT(events_in(&r), 0);
    CHECK(api_now_us() - begun >= 400000);
    reply_free(&r);
    pthread_t thread;
    static char stream[] = "poll-1";
    begun = api_now_us();
    CHECK_INT(pthread_create(&thread, NULL, append_one, stream), 0);
    r = expect(200, "GET", "/v1/subscriptions/poll/events?wait=15000", NULL);
    CHECK_INT(events_in(&r), 1);
    CHECK(api_now_us() - begun < 10000000);
    reply_free(&r);
    pthread_join(thread, NULL);
    just(204, "DELETE", "/v1/subscriptions/poll", NULL);
}

/* ---- administration -------------------------------------------------------------------------------------------------------------- */

static struct json
last_line(const struct reply *reply, struct json *ret_checked)
{
    const char *at = reply->body.data + reply->body.size - 1;
    while (at > reply->body.data && at[-1] != '\n')
        at--;
    cairn_str line = {at, strcspn(at, "\n")};
    CHECK_INT(json_check(line, ret_checked, NULL), CAIRN_OK);
    return *ret_checked;
}

/* Goal: verify, scavenge and reindex answer in lines that end with a report.
 * Method: each once; verify counts the events. */
TEST(jobs)
{
    static const char *const paths[] = {"/v1/verify", "/v1/scavenge", "/v1/reindex"};
    for (size_t i = 0; i < 3; i++) {
        struct json line;
        struct reply r = call("POST", paths[i], NULL);
        CHECK_INT(r.status, 200);
        struct json report = json_get(last_line(&r, &line), "report");
        if (report.type != JSON_OBJECT)
            fail_msg("%s: %s", paths[i], r.body.data);
        if (i == 0) {
            CHECK(json_get(report, "ok").type == JSON_TRUE);
            CHECK_INT(number(report, "events"), (int64_t)cairn_end(server_store(server)));
            CHECK_INT(number(report, "faults"), 0);
        }
        reply_free(&r);
        problem(405, "method", "", "GET", paths[i], NULL);
    }
}

/* Goal: the archive of a backup is a store with every event up to the end that the header states.
 * Method: download, unpack with tar, open read-only, compare; and once more, since the scratch folder is reused. */
TEST(backup)
{
    for (int round = 0; round < 2; round++) {
        char end[256], path[128], command[512];
        struct reply r = call("GET", "/v1/backup", NULL);
        if (r.status != 200)
            fail_msg("%s", r.body.data);
        CHECK(reply_header(&r, "cairn-end", end));
        CHECK_INT(strtoull(end, NULL, 10), cairn_end(server_store(server)));
        snprintf(path, sizeof path, "%s/b%d.tar", folder, round);
        FILE *file = fopen(path, "wb");
        CHECK(file && fwrite(r.body.data, 1, r.body.size, file) == r.body.size && fclose(file) == 0);
        reply_free(&r);
        snprintf(command, sizeof command, "mkdir %s/b%d && tar -xf %s -C %s/b%d", folder, round, path, folder, round);
        CHECK_INT(system(command), 0);
        snprintf(path, sizeof path, "%s/b%d", folder, round);
        cairn_store *copy;
        cairn_error error = {0};
        const cairn_options options = {.read_only = true};
        if (cairn_open(path, &options, &copy, &error) != CAIRN_OK)
            fail_msg("%s", error.detail);
        CHECK_INT(cairn_end(copy), strtoull(end, NULL, 10));
        cairn_close(copy);
    }
    struct reply r = call("HEAD", "/v1/backup", NULL);
    CHECK_INT(r.status, 200);
    reply_free(&r);
    problem(400, "malformed", "takes none", "GET", "/v1/backup?x=1", NULL);
}

/* Goal: an event's proof is JSON; beyond the end there is none.
 * Method: position 0, a huge one, no number. */
TEST(proofs)
{
    struct reply r = expect(200, "GET", "/v1/events/0/proof", NULL);
    CHECK(r.json.type == JSON_OBJECT);
    reply_free(&r);
    problem(404, "notfound", "", "GET", "/v1/events/999999999/proof", NULL);
    problem(400, "malformed", "whole number", "GET", "/v1/events/x/proof", NULL);
}

/* Goal: small pages about the server.
 * Method: each, and a bad path, method and parameter. */
TEST(server_pages)
{
    just(200, "GET", "/", NULL);
    just(200, "GET", "/healthz", NULL);
    just(200, "GET", "/readyz", NULL);
    struct reply r = expect(200, "GET", "/v1/stats", NULL);
    CHECK_INT(number(json_get(r.json, "store"), "events"), (int64_t)cairn_end(server_store(server)));
    reply_free(&r);
    r = expect(200, "GET", "/openapi.json", NULL);
    CHECK(json_get(r.json, "paths").type == JSON_OBJECT);
    reply_free(&r);
    r = call("HEAD", "/openapi.json", NULL);
    CHECK_INT(r.status, 200);
    CHECK_INT(r.body.size, 0);
    reply_free(&r);
    problem(404, "path", "/v2", "GET", "/v2", NULL);
    r = expect_problem(405, "method", "PUT /v1/events", call("PUT", "/v1/events", "{}"));
    char allow[256];
    CHECK(reply_header(&r, "allow", allow));
    CHECK_STR(allow, "GET, HEAD");
    reply_free(&r);
}

/* Goal: /metrics is well formed, and the tests above have called every route with success and without.
 * Method: every line is a comment or `name{labels} number`, each metric has HELP and TYPE; for each route a line of
 * status 2xx. Every route refuses an unknown parameter. */
TEST(metrics_and_every_route_was_called)
{
    for (size_t i = 0; i < api_route_count(); i++) {
        const struct api_route *route = api_route_at(i);
        char path[160] = "";
        for (const char *at = route->pattern; *at; at++) {
            size_t used = strlen(path);
            if (*at == '{') {
                snprintf(path + used, sizeof path - used, "0");
                at = strchr(at, '}');
            } else
                snprintf(path + used, sizeof path - used, "%c", *at);
        }
        strcat(path, "?bogus=1");
        if ((route->args & ARG(FREE)) == 0) /* what an app's query takes, only the query knows */
            problem(400, "malformed", "parameter 'bogus' is not known", route->method, path, strcmp(route->method, "GET") ? "{}" : NULL);
    }
    just(200, "GET", "/metrics", NULL);
    struct reply r = expect(200, "GET", "/metrics", NULL);
    char type[256], wanted[128];
    CHECK(reply_header(&r, "content-type", type) && !strncmp(type, "text/plain; version=0.0.4", 25));
    for (size_t i = 0; i < api_route_count(); i++) {
        static const char *const elsewhere[] = {"apps", "topics", "groups", "relays"}; /* apps_http.sh, cli_topics.sh */
        bool called = false;
        for (size_t j = 0; j < sizeof elsewhere / sizeof *elsewhere; j++)
            called |= strcmp(api_route_at(i)->tag, elsewhere[j]) == 0;
        if (called && strcmp(api_route_at(i)->id, "replayDeadLetters") != 0)
            continue;
        snprintf(wanted, sizeof wanted, "cairn_http_requests_total{operation=\"%s\",status=\"2xx\"}", api_route_at(i)->id);
        if (!strstr(r.body.data, wanted))
            fail_msg("no test has called %s with success", api_route_at(i)->id);
    }
    char helped[128] = "";
    for (const char *line = r.body.data; *line; line += strcspn(line, "\n") + 1) {
        size_t name = strcspn(line, "{ \n");
        if (!strncmp(line, "# HELP ", 7)) {
            snprintf(helped, sizeof helped, "%.*s", (int)strcspn(line + 7, " "), line + 7);
            continue;
        }
        if (!strncmp(line, "# TYPE ", 7))
            continue;
        if (strncmp(line, helped, strlen(helped)) != 0 || name < strlen(helped))
            fail_msg("%.60s comes under the help of %s", line, helped);
        const char *space = strchr(line, ' ');
        char *end;
        CHECK(space != NULL);
        strtod(space, &end);
        CHECK(end > space && *end == '\n');
    }
    CHECK(strstr(r.body.data, "cairn_append_seconds_bucket{le=\"0.001\"}") != NULL);
    CHECK(strstr(r.body.data, "cairn_read_seconds_count") != NULL);
    CHECK(strstr(r.body.data, "\ncairn_disk_free_bytes ") != NULL);
    reply_free(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(append_and_conflict),
        RUN(idempotent_repeat),
        RUN(bodies),
        RUN(other_sites_and_forms),
        RUN(limits),
        RUN(full_queue_is_busy),
        RUN(append_with_conditions),
        RUN(pages_of_a_stream),
        RUN(filters_of_all),
        RUN(as_of),
        RUN(long_and_large_pages),
        RUN(list_streams),
        RUN(names_in_paths),
        RUN(retention),
        RUN(delete_and_tombstone),
        RUN(snapshots),
        RUN(subscription_life),
        RUN(long_poll),
        RUN(jobs),
        RUN(backup),
        RUN(proofs),
        RUN(server_pages),
        RUN(metrics_and_every_route_was_called),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

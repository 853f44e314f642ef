/* The HTTP API's calls about topics, groups of Kafka's clients, and relays, against a real server.
 *
 * Kafka's own clients beside it: tests/integration/cli_topics.sh, tests/browser/topics.mjs. */
#include "api_rig.h"

static void
fill(void)
{
    char stream[32], body[64];
    for (int i = 1; i <= 30; i++) {
        snprintf(stream, sizeof stream, "http-%d", i);
        snprintf(body, sizeof body, "{\"type\":\"T\",\"data\":{\"n\":%d}}", i);
        append(stream, body);
    }
}

static cairn_str
text(struct json object, const char *name)
{
    static struct arena arena;
    return json_string(json_get(object, name), &arena);
}

static bool
is_text(struct json object, const char *name, const char *wanted)
{
    return json_string_is(json_get(object, name), wanted);
}

/* ---- topics --------------------------------------------------------------------------------------------------------- */

/* Goal: a topic over a category shows what is appended before and after, in every partition exactly once, by offset, by time and in
 * pages.
 * Method: 30 events before, 30 after; all pages of all partitions are read with a limit of 4 and compared with the events. */
TEST(events_are_in_partitions)
{
    char path[128];
    bool seen[60] = {false};
    fill();
    struct reply reply = expect(201, "PUT", "/v1/topics/http", "{\"partitions\":3}");
    CHECK_INT(number(reply.json, "partitions"), 3);
    CHECK(is_text(reply.json, "category", "http"));
    reply_free(&reply);
    fill();
    uint64_t total = 0;
    for (int partition = 0; partition < 3; partition++) {
        int64_t next = 0;
        for (bool end = false; !end;) {
            snprintf(path, sizeof path, "/v1/topics/http/partitions/%d/records?from=%lld&limit=4", partition, (long long)next);
            reply = expect(200, "GET", path, NULL);
            struct json_walk walk = json_walk(json_get(reply.json, "records"));
            struct json none, record;
            while (json_next(&walk, &none, &record)) {
                CHECK_INT(number(record, "offset"), next);
                CHECK_INT(number(record, "partition"), partition);
                cairn_str key = text(record, "key"), stream = text(record, "stream");
                CHECK(stream.size == key.size + 5 && !memcmp(stream.data + 5, key.data, key.size));
                int64_t n = number(json_get(record, "data"), "n") - 1 + 30 * number(record, "revision");
                CHECK(n >= 0 && n < 60 && !seen[n]);
                seen[n] = true;
                CHECK(json_count(json_get(record, "headers")) >= 8);
                next++;
                total++;
            }
            CHECK_INT(number(reply.json, "next"), next);
            end = json_get(reply.json, "end").type == JSON_TRUE;
            CHECK(!end || next == number(reply.json, "end_offset"));
            reply_free(&reply);
        }
    }
    CHECK_INT(total, 60);
    reply = expect(200, "GET", "/v1/topics?prefix=http&limit=1", NULL);
    struct json_walk walk = json_walk(json_get(reply.json, "topics"));
    struct json none, topic;
    CHECK(json_next(&walk, &none, &topic));
    CHECK_INT(number(topic, "records"), 60);
    CHECK(json_get(reply.json, "end").type == JSON_TRUE);
    reply_free(&reply);
    just(204, "DELETE", "/v1/topics/http", NULL);
    problem(404, "notfound", "UNKNOWN_TOPIC_OR_PARTITION", "GET", "/v1/topics/http", NULL);
    reply = expect(200, "GET", "/v1/streams/http-1/events", NULL);
    CHECK_INT(events_in(&reply), 2); /* they came by another way: they stay */
    reply_free(&reply);
}

/* Goal: the newest records are as many as were asked for, also where nothing is left at the newest offsets.
 * Method: streams of which the later ones are deleted; limits below, at and above what is left. */
TEST(newest_of_what_is_left)
{
    char path[128];
    just(201, "PUT", "/v1/topics/gaps", "{\"partitions\":1}");
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "gaps-%d", i);
        append(path, "{\"type\":\"Put\",\"data\":1}");
    }
    for (int i = 10; i < 39; i++) {
        snprintf(path, sizeof path, "/v1/streams/gaps-%d", i);
        just(204, "DELETE", path, NULL);
    }
    static const struct {
        int limit, first, count;
    } cases[] = {{1, 39, 1}, {2, 9, 2}, {5, 6, 5}, {11, 0, 11}, {30, 0, 11}, {100, 0, 11}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(path, sizeof path, "/v1/topics/gaps/partitions/0/records?from=latest&limit=%d", cases[i].limit);
        struct reply reply = expect(200, "GET", path, NULL);
        struct json_walk walk = json_walk(json_get(reply.json, "records"));
        struct json none, record;
        CHECK_INT(json_count(json_get(reply.json, "records")), cases[i].count);
        CHECK(json_next(&walk, &none, &record));
        CHECK_INT(number(record, "offset"), cases[i].first);
        CHECK_INT(number(reply.json, "next"), 40);
        CHECK(json_get(reply.json, "end").type == JSON_TRUE);
        reply_free(&reply);
    }
    just(204, "DELETE", "/v1/topics/gaps", NULL);
}

/* Goal: PUT makes and changes, its config is the whole; PATCH changes what it names; expected= says which of both is wanted; what
 * cannot be changes nothing, also where another part of the same request could.
 * Method: one topic through all of it. */
TEST(topics_change)
{
    just(404, "PUT", "/v1/topics/t?expected=exists", "{}");
    just(201, "PUT", "/v1/topics/t?expected=none", "{\"config\":{\"retention.ms\":60000,\"cleanup.policy\":\"compact\"}}");
    problem(409, "exists", "TOPIC_ALREADY_EXISTS", "PUT", "/v1/topics/t?expected=none", "{}");
    problem(400, "malformed", "expected", "PUT", "/v1/topics/t?expected=3", "{}");
    problem(409, "exists", "TOPIC_ALREADY_EXISTS", "PUT", "/v1/topics/other", "{\"category\":\"t\"}");
    problem(422, "invalid", "INVALID_REQUEST", "PUT", "/v1/topics/t", "{\"category\":\"u\"}");
    problem(422, "invalid", "INVALID_CONFIG", "PUT", "/v1/topics/t", "{\"partitions\":5,\"config\":{\"retention.ms\":\"soon\"}}");
    problem(422, "invalid", "INVALID_CONFIG", "PATCH", "/v1/topics/t", "{\"partitions\":5,\"config\":{\"retention.mss\":1}}");
    struct reply reply = expect(200, "GET", "/v1/topics/t", NULL);
    int64_t partitions = number(reply.json, "partitions"), revision = number(reply.json, "revision");
    CHECK(partitions < 5);
    reply_free(&reply);
    reply = expect(200, "PUT", "/v1/topics/t", "{}"); /* nothing is named: nothing changes */
    CHECK_INT(number(reply.json, "revision"), revision);
    reply_free(&reply);
    reply = expect(200, "PATCH", "/v1/topics/t", "{\"partitions\":5,\"config\":{\"retention.ms\":null}}");
    struct json config = json_get(reply.json, "config");
    CHECK_INT(number(reply.json, "partitions"), 5);
    CHECK(json_get(json_get(config, "retention.ms"), "default").type == JSON_TRUE);
    CHECK(is_text(json_get(config, "cleanup.policy"), "value", "compact"));
    reply_free(&reply);
    reply = expect(200, "PUT", "/v1/topics/t", "{\"config\":{\"max.message.bytes\":1000}}");
    config = json_get(reply.json, "config");
    CHECK(json_get(json_get(config, "cleanup.policy"), "default").type == JSON_TRUE);
    CHECK(is_text(json_get(config, "max.message.bytes"), "value", "1000"));
    CHECK_INT(json_count(json_get(reply.json, "offsets")), 5);
    reply_free(&reply);
    problem(422, "invalid", "INVALID_PARTITIONS", "PATCH", "/v1/topics/t", "{\"partitions\":4}");
    just(204, "DELETE", "/v1/topics/t", NULL);
    problem(404, "notfound", "UNKNOWN_TOPIC_OR_PARTITION", "DELETE", "/v1/topics/t", NULL);
    problem(404, "notfound", "UNKNOWN_TOPIC_OR_PARTITION", "PATCH", "/v1/topics/t", "{}");
}

/* ---- groups ------------------------------------------------------------------------------------------------------------- */

static int64_t
moved_to(const char *group, const char *body, size_t partition)
{
    char path[128];
    snprintf(path, sizeof path, "/v1/groups/%s/offsets", group);
    struct reply reply = expect(200, "POST", path, body);
    struct json_walk walk = json_walk(json_get(reply.json, "offsets"));
    struct json none, row = {0};
    for (size_t i = 0; i <= partition; i++)
        CHECK(json_next(&walk, &none, &row));
    int64_t to = number(row, "to");
    reply_free(&reply);
    return to;
}

/* Goal: a group's offsets go where they are told, within the partition; a dry run moves nothing; the group is listed with its lag, and
 * gone when it is deleted.
 * Method: one partition of 60 records; every form of `to`, with what is beyond both ends. */
TEST(offsets_move)
{
    just(201, "PUT", "/v1/topics/http", "{\"partitions\":1}");
    problem(404, "notfound", "GROUP_ID_NOT_FOUND", "GET", "/v1/groups/g%2Fx", NULL);
    CHECK_INT(moved_to("g%2Fx", "{\"topic\":\"http\",\"to\":{\"offset\":20},\"dry_run\":true}", 0), 20);
    problem(404, "notfound", "GROUP_ID_NOT_FOUND", "GET", "/v1/groups/g%2Fx", NULL);
    static const struct {
        const char *to;
        int64_t want;
    } moves[] = {{"{\"offset\":20}", 20},  {"{\"by\":-5}", 15},   {"{\"by\":100}", 60},
                 {"{\"by\":-1000}", 0},    {"\"latest\"", 60},    {"\"earliest\"", 0},
                 {"{\"offset\":9223372036854775806}", 60},        {"{\"by\":9223372036854775806}", 60},
                 {"{\"by\":-9223372036854775807}", 0},            {"{\"time\":\"2000-01-01T00:00:00Z\"}", 0},
                 {"{\"time\":\"2200-01-01T00:00:00Z\"}", 60},     {"{\"position\":0}", 0},
                 {"{\"position\":9223372036854775806}", 60},      {"{\"offset\":7}", 7}};
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        char body[160];
        snprintf(body, sizeof body, "{\"topic\":\"http\",\"partitions\":[0],\"to\":%s}", moves[i].to);
        CHECK_INT(moved_to("g%2Fx", body, 0), moves[i].want);
    }
    struct reply reply = expect(200, "GET", "/v1/groups/g%2Fx", NULL);
    CHECK_INT(number(reply.json, "lag"), 53);
    CHECK(is_text(reply.json, "group", "g/x") && is_text(reply.json, "state", "Empty"));
    reply_free(&reply);
    reply = expect(200, "GET", "/v1/groups?prefix=g%2F", NULL);
    CHECK(strstr(reply.body.data, "\"lag\":53") != NULL);
    reply_free(&reply);
    reply = expect(200, "GET", "/metrics", NULL);
    CHECK(strstr(reply.body.data, "\ncairn_group_lag_records{group=\"g/x\",topic=\"http\"} 53\n") != NULL);
    CHECK(strstr(reply.body.data, "\ncairn_groups{state=\"Empty\"} 1\n") != NULL);
    CHECK(strstr(reply.body.data, "\ncairn_topics 1\n") != NULL);
    reply_free(&reply);
    problem(422, "invalid", "no offset", "POST", "/v1/groups/h/offsets", "{\"topic\":\"http\",\"to\":{\"by\":1}}");
    just(204, "DELETE", "/v1/groups/g%2Fx", NULL);
    problem(404, "notfound", "GROUP_ID_NOT_FOUND", "DELETE", "/v1/groups/g%2Fx", NULL);
    just(204, "DELETE", "/v1/topics/http", NULL);
}

/* ---- relays --------------------------------------------------------------------------------------------------------------- */

/* Goal: a relay does not go on, from the place of one topic, in another: its name stays with its direction and its topics.
 * Method: each of them changed, while it is there and when it was deleted; what is put again as it was is fine. */
TEST(topics_of_relays)
{
#define TO_NOWHERE "\"client\":{\"bootstrap.servers\":\"127.0.0.1:1\"},\"paused\":true}"
    static const char same[] = "{\"direction\":\"out\",\"source\":\"a\",\"target\":\"b\"," TO_NOWHERE;
    static const char *const others[] = {"{\"direction\":\"in\",\"source\":\"a\",\"target\":\"b\"," TO_NOWHERE,
                                         "{\"direction\":\"out\",\"source\":\"c\",\"target\":\"b\"," TO_NOWHERE,
                                         "{\"direction\":\"out\",\"source\":\"a\",\"target\":\"c\"," TO_NOWHERE,
                                         "{\"direction\":\"out\",\"source\":\"a\"," TO_NOWHERE};
    just(201, "PUT", "/v1/relays/named", same);
    just(200, "PUT", "/v1/relays/named", same);
    for (int i = 0; i < 4; i++)
        problem(409, "exists", "the relay named goes out from a to b", "PUT", "/v1/relays/named", others[i]);
    just(204, "DELETE", "/v1/relays/named", NULL);
    for (int i = 0; i < 4; i++)
        problem(409, "exists", "the relay named went out from a to b", "PUT", "/v1/relays/named", others[i]);
    just(404, "GET", "/v1/relays/named", NULL);
    just(201, "PUT", "/v1/relays/named", same);
    just(204, "DELETE", "/v1/relays/named", NULL);
}

/* Goal: a relay can be read, changed and put back without its secret ever being shown or lost.
 * Method: PUT with a secret, GET, PUT what was shown with other members changed; a secret that was never given is asked for. */
TEST(secrets_of_relays)
{
    just(201, "PUT", "/v1/relays/copy",
         "{\"direction\":\"out\",\"source\":\"a\",\"paused\":true,\"client\":{\"bootstrap.servers\":\"127.0.0.1:1\","
         "\"sasl.password\":\"hunter2\",\"ssl.key.password\":{\"env\":\"NOWHERE\"}}}");
    struct reply reply = expect(200, "GET", "/v1/relays/copy", NULL);
    struct json client = json_get(reply.json, "client");
    CHECK(strstr(reply.body.data, "hunter2") == NULL);
    CHECK(is_text(client, "sasl.password", "\u2022\u2022\u2022"));
    CHECK(is_text(json_get(client, "ssl.key.password"), "env", "NOWHERE"));
    struct buf again = {0};
    buf_printf(&again, "{\"direction\":\"out\",\"source\":\"a\",\"transactions\":true,\"client\":%.*s}", (int)client.raw.size, client.raw.data);
    buf_put_char(&again, '\0');
    reply_free(&reply);
    reply = expect(200, "PUT", "/v1/relays/copy", again.data);
    CHECK(is_text(reply.json, "target", "a"));
    CHECK(json_get(reply.json, "transactions").type == JSON_TRUE);
    CHECK(json_get(reply.json, "paused").type == JSON_TRUE); /* it was */
    CHECK(strstr(reply.body.data, "hunter2") == NULL);
    reply_free(&reply);
    buf_free(&again);
    reply = expect(200, "GET", "/v1/streams/%24relay-copy/events", NULL);
    CHECK(events_in(&reply) >= 1 && strstr(reply.body.data, "hunter2") != NULL); /* kept as it was given */
    CHECK(strstr(reply.body.data, "\u2022") == NULL);
    reply_free(&reply);
    problem(422, "invalid", "given again", "PUT", "/v1/relays/other",
            "{\"direction\":\"in\",\"source\":\"a\",\"client\":{\"bootstrap.servers\":\"127.0.0.1:1\",\"sasl.password\":\"\u2022\u2022\u2022\"}}");
    just(204, "DELETE", "/v1/relays/copy", NULL);
    just(404, "POST", "/v1/relays/copy/pause", NULL);
    just(404, "POST", "/v1/relays/copy/resume", NULL);
    just(404, "GET", "/v1/relays/copy", NULL);
}

/* ---- what nobody should send ------------------------------------------------------------------------------------------------ */

struct hostile {
    const char *method, *path, *body;
    long status;
    const char *says;
};

/* Goal: names, numbers and bodies from outside are refused by name, and nothing comes of them.
 * Method: a table; afterwards there is no topic, no group, no relay, and the server answers. */
TEST(hostile_input)
{
    static const struct hostile table[] = {
        {"PUT", "/v1/topics/a%20b", "{}", 422, "INVALID_TOPIC_EXCEPTION"},
        {"PUT", "/v1/topics/..", "{}", 422, "INVALID_TOPIC_EXCEPTION"},
        {"PUT", "/v1/topics/%00", "{}", 422, "INVALID_TOPIC_EXCEPTION"},
        {"PUT", "/v1/topics/%C3%A9", "{}", 422, "INVALID_TOPIC_EXCEPTION"},
        {"PUT", "/v1/topics/%FF", "{}", 400, "UTF-8"},
        {"PUT", "/v1/topics/a%zz", "{}", 400, "percent"},
        {"PUT", "/v1/topics/a", "", 400, "empty"},
        {"PUT", "/v1/topics/a", "{", 400, "not JSON"},
        {"PUT", "/v1/topics/a", "[]", 422, "object"},
        {"PUT", "/v1/topics/a", "null", 422, "object"},
        {"PUT", "/v1/topics/a", "{\"partition\":1}", 422, "not known"},
        {"PUT", "/v1/topics/a", "{\"partitions\":1,\"partitions\":2}", 422, "twice"},
        {"PUT", "/v1/topics/a", "{\"partitions\":0}", 422, "partitions: must be"},
        {"PUT", "/v1/topics/a", "{\"partitions\":-1}", 422, "partitions: must be"},
        {"PUT", "/v1/topics/a", "{\"partitions\":10001}", 422, "partitions: must be"},
        {"PUT", "/v1/topics/a", "{\"partitions\":4294967297}", 422, "partitions: must be"},
        {"PUT", "/v1/topics/a", "{\"partitions\":1e400}", 422, "partitions: must be"},
        {"PUT", "/v1/topics/a", "{\"partitions\":\"2\"}", 422, "partitions: must be"},
        {"PUT", "/v1/topics/a", "{\"partitions\":1.5}", 422, "partitions: must be"},
        {"PUT", "/v1/topics/a", "{\"category\":7}", 422, "category: must be"},
        {"PUT", "/v1/topics/a", "{\"category\":\"$app\"}", 422, "category"},
        {"PUT", "/v1/topics/a", "{\"category\":\"b-c\"}", 422, "category"},
        {"PUT", "/v1/topics/a", "{\"category\":\"\\u0000\"}", 422, "category"},
        {"PUT", "/v1/topics/a", "{\"category\":\"\\ud800\"}", 422, "surrogate"},
        {"PUT", "/v1/topics/a", "{\"config\":[]}", 422, "config: must be"},
        {"PUT", "/v1/topics/a", "{\"config\":{\"retention.ms\":[1]}}", 422, "retention.ms"},
        {"PUT", "/v1/topics/a", "{\"config\":{\"retention.ms\":null}}", 422, "null"},
        {"PUT", "/v1/topics/a", "{\"config\":{\"retention.ms\":99999999999999999999}}", 422, "INVALID_CONFIG"},
        {"PUT", "/v1/topics/a", "{\"config\":{\"\":\"\"}}", 422, "INVALID_CONFIG"},
        {"PUT", "/v1/topics/a", "{\"config\":{\"retention.ms\":\"1\",\"retention.ms\":\"2\"}}", 422, "twice"},
        {"PUT", "/v1/topics/a", "{\"config\":{\"\\ud800\":\"1\"}}", 422, "surrogate"},
        {"PATCH", "/v1/topics/a", "{\"category\":\"b\"}", 422, "not known"},
        {"GET", "/v1/topics?limit=0", NULL, 400, "limit"},
        {"GET", "/v1/topics?limit=99999999999999999999", NULL, 400, "limit"},
        {"GET", "/v1/topics?from=1", NULL, 400, "not known"},
        {"GET", "/v1/topics/a/partitions/0/records", NULL, 404, "There is no topic"},
        {"GET", "/v1/topics/real/partitions/1/records", NULL, 404, "no partition"},
        {"GET", "/v1/topics/real/partitions/-1/records", NULL, 404, "no partition"},
        {"GET", "/v1/topics/real/partitions/4294967296/records", NULL, 404, "no partition"},
        {"GET", "/v1/topics/real/partitions/0x0/records", NULL, 404, "no partition"},
        {"GET", "/v1/topics/real/partitions/%30%00/records", NULL, 404, "no partition"},
        {"GET", "/v1/topics/real/partitions/0/records?from=1", NULL, 422, "OFFSET_OUT_OF_RANGE"},
        {"GET", "/v1/topics/real/partitions/0/records?from=9223372036854775807", NULL, 400, "from"},
        {"GET", "/v1/topics/real/partitions/0/records?from=-1", NULL, 400, "from"},
        {"GET", "/v1/topics/real/partitions/0/records?from=newest", NULL, 400, "earliest or latest"},
        {"GET", "/v1/topics/real/partitions/0/records?at=noon", NULL, 400, "RFC 3339"},
        {"GET", "/v1/topics/real/partitions/0/records?at=2026-01-01T00:00:00Z&from=0", NULL, 400, "both"},
        {"POST", "/v1/groups/g/offsets", "{}", 422, "topic is missing"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\"}", 422, "to is missing"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"none\",\"to\":\"earliest\"}", 404, "UNKNOWN_TOPIC_OR_PARTITION"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":\"middle\"}", 422, "to: must be"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":{}}", 422, "to: must be"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":{\"offset\":1,\"by\":1}}", 422, "to: must be"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":{\"offset\":-1}}", 422, "to.offset"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":{\"offset\":18446744073709551615}}", 422, "to.offset"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":{\"by\":\"x\"}}", 422, "to.by"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":{\"position\":-1}}", 422, "to.position"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":{\"time\":5}}", 422, "to.time"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":{\"where\":5}}", 422, "not known"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":\"latest\",\"partitions\":[]}", 422, "partitions"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":\"latest\",\"partitions\":[1]}", 404, "no partition"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":\"latest\",\"partitions\":[\"0\"]}", 422, "partitions[0]"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":\"latest\",\"partitions\":[0,-1]}", 422, "partitions[1]"},
        {"POST", "/v1/groups/g/offsets", "{\"topic\":\"real\",\"to\":\"latest\",\"dry_run\":1}", 422, "dry_run"},
        {"PUT", "/v1/relays/Bad", "{\"direction\":\"out\",\"source\":\"real\",\"client\":{\"bootstrap.servers\":\"x\"}}", 422, ""},
        {"PUT", "/v1/relays/r", "{\"direction\":\"out\",\"source\":\"real\",\"client\":{}}", 422, "bootstrap.servers"},
        {"PUT", "/v1/relays/r", "{\"direction\":\"up\",\"source\":\"real\",\"client\":{\"bootstrap.servers\":\"x\"}}", 422, "direction"},
        {"PUT", "/v1/relays/r", "{\"source\":\"real\",\"client\":{\"bootstrap.servers\":\"x\"}}", 422, "direction is missing"},
        {"PUT", "/v1/relays/r", "{\"direction\":\"out\",\"source\":\"real\",\"client\":7}", 422, "client: must be"},
        {"PUT", "/v1/relays/r", "{\"direction\":\"out\",\"source\":\"real\",\"client\":{\"bootstrap.servers\":\"x\",\"plugin.library.paths\":\"y\"}}",
         422, "plugin.library.paths"},
    };
    just(201, "PUT", "/v1/topics/real", "{\"partitions\":1}");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct reply reply = call(table[i].method, table[i].path, table[i].body);
        if (reply.status != table[i].status || !strstr(reply.body.data, table[i].says))
            fail_msg("%s %s %s: not %ld %s but %ld %s", table[i].method, table[i].path, table[i].body ? table[i].body : "",
                     table[i].status, table[i].says, reply.status, reply.body.data);
        reply_free(&reply);
    }
    static char name[260], path[400], long_config[8192];
    memset(name, 'n', 256);
    snprintf(path, sizeof path, "/v1/topics/%.250s", name);
    problem(422, "invalid", "INVALID_TOPIC_EXCEPTION", "PUT", path, "{}");
    snprintf(path, sizeof path, "/v1/groups/%.256s/offsets", name);
    problem(422, "invalid", "INVALID_GROUP_ID", "POST", path, "{\"topic\":\"real\",\"to\":\"earliest\"}");
    size_t size = (size_t)snprintf(long_config, sizeof long_config, "{\"config\":{");
    for (int i = 0; i < 65; i++)
        size += (size_t)snprintf(long_config + size, sizeof long_config - size, "%s\"x%d\":\"1\"", i ? "," : "", i);
    snprintf(long_config + size, sizeof long_config - size, "}}");
    problem(413, "limit", "65", "PUT", "/v1/topics/a", long_config);
    just(204, "DELETE", "/v1/topics/real", NULL);
    static const char *const empty[][2] = {{"/v1/topics", "{\"topics\":[],"}, {"/v1/groups", "{\"groups\":[],"}, {"/v1/relays", "{\"relays\":[]}"}};
    for (size_t i = 0; i < 3; i++) {
        struct reply reply = expect(200, "GET", empty[i][0], NULL);
        if (strncmp(reply.body.data, empty[i][1], strlen(empty[i][1])) != 0)
            fail_msg("%s: %s", empty[i][0], reply.body.data);
        reply_free(&reply);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(events_are_in_partitions), RUN(newest_of_what_is_left), RUN(topics_change), RUN(offsets_move),
        RUN(topics_of_relays), RUN(secrets_of_relays), RUN(hostile_input),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

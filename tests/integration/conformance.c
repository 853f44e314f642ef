/* The contract of a store, by its public calls alone: every backend must pass this.
 *
 * The location is the first argument, or CAIRN_TEST_STORE, or a new folder that is taken away
 * afterwards. Streams' names carry the run's number, so a location may be used again; what is said of "all
 * events" is said of those after the end at the beginning. */
#include <base/bytes.h>
#include <cairn/cairn.h>
#include <inttypes.h>
#include <pthread.h>

#include "test.h"

static const char *location;
static cairn_store *store;
static char run_name[32];
static uint64_t run_begin;
static unsigned stream_number;

/* A stream of this run that nobody has used. */
static cairn_str
new_stream(const char *category)
{
    static char names[256][64];
    char *name = names[stream_number++ % 256];
    snprintf(name, 64, "%s%s-%u", category, run_name, stream_number);
    return cairn_cstr(name);
}

static cairn_str
run_tag(const char *tag)
{
    static char tags[64][64];
    static unsigned next;
    char *text = tags[next++ % 64];
    snprintf(text, 64, "%s:%s", tag, run_name);
    return cairn_cstr(text);
}

static void
open_store(void)
{
    const cairn_options options = {.create = true};
    cairn_error error = {0};
    if (cairn_open(location, &options, &store, &error) != CAIRN_OK)
        fail_msg("open %s: %s", location, error.detail);
}

static cairn_event
event_of(const char *type, const char *data)
{
    return (cairn_event){.type = cairn_cstr(type), .data = cairn_cstr(data)};
}

static cairn_at
append(cairn_str stream, const char *data)
{
    const cairn_event event = event_of("T", data);
    cairn_at at;
    cairn_error error = {0};
    if (cairn_append(store, 0, stream, CAIRN_ANY, &event, 1, &at, &error) != CAIRN_OK)
        fail_msg("append: %s", error.detail);
    return at;
}

/* How many a read returns; the data of all of them, joined by spaces. */
static const char *
read_all_of(cairn_reader *reader)
{
    static char text[4096];
    size_t size = 0;
    cairn_recorded event;
    cairn_err err;
    text[0] = '\0';
    while ((err = cairn_reader_next(reader, &event, NULL)) == CAIRN_OK)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%.*s", size ? " " : "",
                                 (int)event.event.data.size, event.event.data.data);
    CHECK_INT(err, CAIRN_E_END);
    cairn_reader_free(reader);
    return text;
}

static const char *
read_stream(cairn_str stream, cairn_read_options options)
{
    cairn_reader *reader;
    CHECK_OK(cairn_read_stream(store, stream, &options, &reader, NULL));
    return read_all_of(reader);
}

static const char *
read_log(cairn_read_options options)
{
    cairn_reader *reader;
    CHECK_OK(cairn_read_all(store, &options, &reader, NULL));
    return read_all_of(reader);
}

/* ---- appending ---------------------------------------------------------------------------------- */

/* Goal: each kind of expectation holds exactly when it should.
 * Method: append under every kind to a stream without events and to one with two. */
TEST(expectations)
{
    static const struct {
        int64_t expected;
        bool on_empty, on_two;
    } cases[] = {{CAIRN_ANY, true, true}, {CAIRN_NONE, true, false}, {CAIRN_EXISTS, false, true},
                 {0, false, false},       {1, false, true},          {2, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int two = 0; two < 2; two++) {
            cairn_str stream = new_stream("e");
            if (two) {
                append(stream, "a");
                append(stream, "b");
            }
            const cairn_event event = event_of("T", "c");
            cairn_at at = {0};
            cairn_error error = {0};
            cairn_err err =
                cairn_append(store, 0, stream, cases[i].expected, &event, 1, &at, &error);
            bool holds = two ? cases[i].on_two : cases[i].on_empty;
            CHECK_INT(err, holds ? CAIRN_OK : CAIRN_E_CONFLICT);
            if (holds)
                CHECK_INT(at.revision, two ? 2 : 0);
            else
                CHECK_INT(error.revision, two ? 1 : -1);
            CHECK_STR(read_stream(stream, (cairn_read_options){0}),
                      two ? (holds ? "a b c" : "a b") : (holds ? "c" : ""));
        }
}

/* Goal: an append over several streams is whole or absent.
 * Method: two writes that hold; then one that holds and one that does not. */
TEST(several_streams_at_once)
{
    cairn_str a = new_stream("m"), b = new_stream("m");
    const cairn_event events[] = {event_of("T", "1"), event_of("T", "2")};
    const cairn_write good[] = {{a, CAIRN_NONE, events, 2}, {b, CAIRN_NONE, events, 1}};
    cairn_append_request request = {.writes = good, .write_count = 2};
    cairn_at at;
    CHECK_OK(cairn_append_all(store, &request, &at, NULL));
    CHECK_INT(at.last_position - at.first_position, 2);
    CHECK_INT(at.revision, 0);
    const cairn_write bad[] = {{a, 1, events, 1}, {b, CAIRN_NONE, events, 1}};
    request.writes = bad;
    uint64_t end = cairn_end(store);
    cairn_error error = {0};
    CHECK_INT(cairn_append_all(store, &request, &at, &error), CAIRN_E_CONFLICT);
    CHECK_INT(error.revision, 0);
    CHECK(cairn_end(store) == end);
    const cairn_write twice[] = {{a, 1, events, 1}, {a, 2, events, 1}}; /* one stream, step by step */
    request.writes = twice;
    CHECK_OK(cairn_append_all(store, &request, &at, NULL));
    CHECK_STR(read_stream(a, (cairn_read_options){0}), "1 2 1 1");
}

/* Goal: a condition holds exactly when nothing that matches its query came after its position.
 * Method: one event with a type and two tags; conditions around it. */
TEST(conditions)
{
    const cairn_str k1 = run_tag("k1"), k2 = run_tag("k2"), k3 = run_tag("k3");
    const cairn_str both[] = {k1, k2}, wrong[] = {k1, k3}, types[] = {CAIRN_STR("A"), CAIRN_STR("B")};
    cairn_event event = event_of("A", "x");
    event.tags = both;
    event.tag_count = 2;
    cairn_at at;
    CHECK_OK(cairn_append(store, 0, new_stream("c"), CAIRN_ANY, &event, 1, &at, NULL));
    const int64_t before = (int64_t)at.first_position - 1, on = (int64_t)at.first_position;
    const struct {
        cairn_query_item item;
        int64_t after;
        bool holds;
    } cases[] = {
        {{.tags = both, .tag_count = 1}, before, false},
        {{.tags = both, .tag_count = 2}, before, false},
        {{.tags = both, .tag_count = 2}, on, true},
        {{.tags = wrong, .tag_count = 2}, -1, true},
        {{.types = types, .type_count = 2, .tags = both, .tag_count = 1}, -1, false},
        {{.types = types + 1, .type_count = 1, .tags = both, .tag_count = 1}, -1, true},
        {{.types = types, .type_count = 1, .tags = both, .tag_count = 1}, before, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const cairn_event probe = event_of("Probe", "p");
        const cairn_write write = {new_stream("c"), CAIRN_ANY, &probe, 1};
        const cairn_condition condition = {{&cases[i].item, 1}, cases[i].after};
        const cairn_append_request request = {
            .writes = &write, .write_count = 1, .conditions = &condition, .condition_count = 1};
        cairn_error error = {0};
        cairn_at ignored;
        CHECK_INT(cairn_append_all(store, &request, &ignored, &error),
                  cases[i].holds ? CAIRN_OK : CAIRN_E_CONDITION);
        if (!cases[i].holds)
            CHECK_INT(error.position, on);
    }
}

/* Goal: the same append again succeeds, writes nothing and says so.
 * Method: repeat with an exact revision and with CAIRN_NONE, also after reopening; then with other ids. */
TEST(repeats)
{
    cairn_str stream = new_stream("r");
    cairn_event events[2] = {event_of("T", "1"), event_of("T", "2")};
    for (int i = 0; i < 2; i++) {
        store64(events[i].id.bytes, (uint64_t)getpid() << 32 | stream_number);
        store64(events[i].id.bytes + 8, run_begin * 2 + (uint64_t)i + 1);
    }
    cairn_at first, again;
    CHECK_OK(cairn_append(store, 0, stream, CAIRN_NONE, events, 2, &first, NULL));
    CHECK(!first.repeated);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(cairn_append(store, 0, stream, CAIRN_NONE, events, 2, &again, NULL));
        CHECK(again.repeated && again.first_position == first.first_position &&
              again.revision == first.revision);
        cairn_close(store);
        open_store();
    }
    events[1].id.bytes[0] ^= 1;
    CHECK_INT(cairn_append(store, 0, stream, CAIRN_NONE, events, 2, &again, NULL), CAIRN_E_CONFLICT);
    CHECK_STR(read_stream(stream, (cairn_read_options){0}), "1 2");
}

/* Goal: what is wrong with an append is said, and nothing is written.
 * Method: one wrong thing at a time. */
TEST(bad_appends_are_refused)
{
    static char large[2 << 20], long_name[600];
    memset(large, 'x', sizeof large);
    memset(long_name, 'x', sizeof long_name);
    const cairn_event good = event_of("T", "x");
    cairn_event no_type = good, bad_meta = good, meta_array = good, too_large = good, bad_type = good;
    no_type.type = (cairn_str){0};
    bad_meta.meta = CAIRN_STR("{\"a\":");
    meta_array.meta = CAIRN_STR("[1]");
    too_large.data = (cairn_str){large, sizeof large};
    bad_type.type = CAIRN_STR("\xff");
    cairn_str own = new_stream("x");
    const struct {
        cairn_str stream;
        const cairn_event *event;
        int64_t expected;
        cairn_err err;
    } cases[] = {
        {{NULL, 0}, &good, CAIRN_ANY, CAIRN_E_INVALID},
        {CAIRN_STR("$own"), &good, CAIRN_ANY, CAIRN_E_DENIED},
        {{long_name, sizeof long_name}, &good, CAIRN_ANY, CAIRN_E_LIMIT},
        {CAIRN_STR("\xc0\x80"), &good, CAIRN_ANY, CAIRN_E_INVALID},
        {own, &no_type, CAIRN_ANY, CAIRN_E_INVALID},
        {own, &bad_type, CAIRN_ANY, CAIRN_E_INVALID},
        {own, &bad_meta, CAIRN_ANY, CAIRN_E_INVALID},
        {own, &meta_array, CAIRN_ANY, CAIRN_E_INVALID},
        {own, &too_large, CAIRN_ANY, CAIRN_E_LIMIT},
        {own, &good, -7, CAIRN_E_INVALID},
        {own, NULL, CAIRN_ANY, CAIRN_E_INVALID},
    };
    uint64_t end = cairn_end(store);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cairn_at at;
        cairn_error error = {0};
        CHECK_INT(cairn_append(store, 0, cases[i].stream, cases[i].expected, cases[i].event, 1, &at,
                               &error),
                  cases[i].err);
        CHECK(error.code == cases[i].err && strlen(error.detail) > 10);
    }
    CHECK(cairn_end(store) == end);
}

/* Goal: an event comes back with everything it was given, and with what the store adds.
 * Method: one event with every field; one with as little as can be. */
TEST(events_come_back_whole)
{
    const cairn_str tags[] = {CAIRN_STR("k:1"), CAIRN_STR("k:\xc3\xa9")};
    const cairn_event full = {.id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
                              .type = CAIRN_STR("Full"),
                              .content_type = CAIRN_STR("application/octet-stream"),
                              .schema_id = 77,
                              .data = CAIRN_STR("\0\1\xff"),
                              .meta = CAIRN_STR("{\"actor\":\"me\"}"),
                              .correlation = CAIRN_STR("c-1"),
                              .tags = tags,
                              .tag_count = 2};
    const cairn_event bare = {.type = CAIRN_STR("Bare")};
    cairn_str stream = new_stream("w");
    const cairn_event events[] = {full, bare};
    cairn_at at;
    CHECK_OK(cairn_append(store, 3, stream, CAIRN_NONE, events, 2, &at, NULL));
    cairn_reader *reader;
    cairn_recorded got;
    const cairn_read_options options = {.scope = 3};
    CHECK_OK(cairn_read_stream(store, stream, &options, &reader, NULL));
    CHECK_OK(cairn_reader_next(reader, &got, NULL));
    CHECK(got.position == at.first_position && got.revision == 0 && got.scope == 3);
    CHECK(got.time_us > INT64_C(1500000000000000));
    CHECK(cairn_str_equal(got.stream, stream) && memcmp(&got.event.id, &full.id, 16) == 0);
    CHECK(cairn_str_equal(got.event.type, full.type));
    CHECK(cairn_str_equal(got.event.content_type, full.content_type));
    CHECK_INT(got.event.schema_id, 77);
    CHECK(cairn_str_equal(got.event.data, full.data) && cairn_str_equal(got.event.meta, full.meta));
    CHECK(cairn_str_equal(got.event.correlation, full.correlation));
    CHECK(got.event.tag_count == 2 && cairn_str_equal(got.event.tags[1], tags[1]));
    CHECK_OK(cairn_reader_next(reader, &got, NULL));
    CHECK_INT(got.event.id.bytes[6] >> 4, 7); /* a UUID of version 7 was made */
    CHECK(got.event.data.size == 0 && got.event.tag_count == 0);
    cairn_reader_free(reader);
    CHECK_STR(read_stream(stream, (cairn_read_options){0}), ""); /* another scope, another stream */
}

/* Goal: a correlation that only meta names is known to the store.
 * Method: one event with it, one with escapes, one with another kind of value, one without, in one append. */
TEST(correlation_comes_from_meta)
{
    cairn_event events[4] = {event_of("T", "0"), event_of("T", "1"), event_of("T", "2"),
                             event_of("T", "3")};
    events[0].meta = CAIRN_STR("{\"x\":1,\"correlation\":\"abc\"}");
    events[1].meta = CAIRN_STR("{\"correlation\":\"a\\u00e9\"}");
    events[2].meta = CAIRN_STR("{\"correlation\":5}");
    const char *expected[] = {"abc", "a\xc3\xa9", "", ""};
    cairn_str streams[] = {new_stream("k"), new_stream("k")};
    const cairn_write writes[] = {{streams[0], CAIRN_ANY, events, 2},
                                  {streams[1], CAIRN_ANY, events + 2, 2}};
    const cairn_append_request request = {.writes = writes, .write_count = 2};
    cairn_at at;
    CHECK_OK(cairn_append_all(store, &request, &at, NULL));
    const cairn_read_options options = {.from = (int64_t)at.first_position};
    cairn_reader *reader;
    CHECK_OK(cairn_read_all(store, &options, &reader, NULL));
    for (int i = 0; i < 4; i++) {
        cairn_recorded got;
        CHECK_OK(cairn_reader_next(reader, &got, NULL));
        CHECK(cairn_str_equal(got.event.correlation, cairn_cstr(expected[i])));
    }
    cairn_reader_free(reader);
}

struct completion {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned done, failed;
    uint64_t positions;
};

static void
complete(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    (void)error;
    struct completion *completion = context;
    pthread_mutex_lock(&completion->lock);
    completion->done++;
    completion->failed += err != CAIRN_OK;
    if (err == CAIRN_OK)
        completion->positions += at->last_position - at->first_position + 1;
    pthread_cond_signal(&completion->changed);
    pthread_mutex_unlock(&completion->lock);
}

/* Goal: asynchronous appends are each answered once, in the order of one stream, also refused ones.
 * Method: 200 with exact revisions without waiting, one of them wrong; count the answers. */
TEST(asynchronous_appends)
{
    cairn_str stream = new_stream("y");
    struct completion completion = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0};
    for (int i = 0; i < 200; i++) {
        char data[16];
        snprintf(data, sizeof data, "%d", i);
        const cairn_event event = event_of("T", data);
        const cairn_write write = {stream, i == 0 ? CAIRN_NONE : i - 1, &event, 1};
        const cairn_append_request request = {.writes = &write, .write_count = 1};
        CHECK_OK(cairn_append_async(store, &request, complete, &completion, NULL));
    }
    const cairn_event event = event_of("T", "wrong");
    const cairn_write write = {stream, CAIRN_NONE, &event, 1};
    const cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_err err = cairn_append_async(store, &request, complete, &completion, NULL);
    CHECK(err == CAIRN_OK || err == CAIRN_E_CONFLICT); /* a refusal may come either way */
    unsigned expected = 200 + (err == CAIRN_OK);
    pthread_mutex_lock(&completion.lock);
    while (completion.done < expected)
        pthread_cond_wait(&completion.changed, &completion.lock);
    pthread_mutex_unlock(&completion.lock);
    CHECK_INT(completion.failed, expected - 200);
    CHECK_INT(completion.positions, 200);
    cairn_stream_info info;
    CHECK_OK(cairn_stream_info_get(store, 0, stream, &info, NULL));
    CHECK_INT(info.last_revision, 199);
}

/* ---- reading -------------------------------------------------------------------------------------- */

/* Goal: a stream reads from any revision in either direction, and as of any position.
 * Method: five events between those of another stream; every start and direction. */
TEST(streams_read_both_ways)
{
    cairn_str stream = new_stream("d"), other = new_stream("d");
    cairn_at at[5];
    for (int i = 0; i < 5; i++) {
        char data[4] = {(char)('a' + i)};
        at[i] = append(stream, data);
        append(other, "-");
    }
    const int back = CAIRN_BACKWARD;
    CHECK_STR(read_stream(stream, (cairn_read_options){0}), "a b c d e");
    CHECK_STR(read_stream(stream, (cairn_read_options){.from = 3}), "d e");
    CHECK_STR(read_stream(stream, (cairn_read_options){.from = 5}), "");
    CHECK_STR(read_stream(stream, (cairn_read_options){.from = CAIRN_FROM_END}), "");
    CHECK_STR(read_stream(stream, (cairn_read_options){.from = CAIRN_FROM_END, .direction = back}),
              "e d c b a");
    CHECK_STR(read_stream(stream, (cairn_read_options){.from = 1, .direction = back}), "b a");
    CHECK_STR(read_stream(stream, (cairn_read_options){.end = at[2].first_position}), "a b");
    CHECK_STR(read_stream(stream, (cairn_read_options){.from = CAIRN_FROM_END, .direction = back,
                                                      .end = at[3].first_position + 1}),
              "d c b a");
    CHECK_STR(read_stream(new_stream("d"), (cairn_read_options){0}), "");
}

/* Goal: all events read in the log's order, filtered by category, types and tags.
 * Method: events of two categories with types and tags; every filter in both directions. */
TEST(all_events_read_filtered)
{
    const cairn_str tag = run_tag("f"), type = CAIRN_STR("Filtered");
    int64_t from = (int64_t)cairn_end(store);
    cairn_str p = new_stream("p"), q = new_stream("q");
    const struct {
        cairn_str stream;
        const char *type, *data;
        bool tagged;
    } events[] = {{p, "Filtered", "1", true}, {q, "Filtered", "2", false}, {p, "Other", "3", true},
                  {q, "Other", "4", true},    {p, "Filtered", "5", false}};
    for (size_t i = 0; i < 5; i++) {
        cairn_event event = event_of(events[i].type, events[i].data);
        event.tags = &tag;
        event.tag_count = events[i].tagged;
        cairn_at at;
        CHECK_OK(cairn_append(store, 0, events[i].stream, CAIRN_ANY, &event, 1, &at, NULL));
    }
    char category[64];
    snprintf(category, sizeof category, "p%s", run_name);
    const cairn_query_item by_type = {.types = &type, .type_count = 1};
    const cairn_query_item by_tag = {.tags = &tag, .tag_count = 1};
    const cairn_query_item by_both = {.types = &type, .type_count = 1, .tags = &tag, .tag_count = 1};
    const cairn_query_item either[] = {by_type, by_tag};
    CHECK_STR(read_log((cairn_read_options){.from = from}), "1 2 3 4 5");
    CHECK_STR(read_log((cairn_read_options){.from = from, .category = cairn_cstr(category)}), "1 3 5");
    CHECK_STR(read_log((cairn_read_options){.from = from, .query = {&by_type, 1}}), "1 2 5");
    CHECK_STR(read_log((cairn_read_options){.from = from, .query = {&by_tag, 1}}), "1 3 4");
    CHECK_STR(read_log((cairn_read_options){.from = from, .query = {&by_both, 1}}), "1");
    CHECK_STR(read_log((cairn_read_options){.from = from, .query = {either, 2}}), "1 2 3 4 5");
    CHECK_STR(read_log((cairn_read_options){.from = from, .query = {&by_tag, 1},
                                            .category = cairn_cstr(category)}),
              "1 3");
    CHECK_STR(read_log((cairn_read_options){.from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD,
                                            .query = {&by_tag, 1}}),
              "4 3 1");
    CHECK_STR(read_log((cairn_read_options){.from = from, .end = (uint64_t)from + 2}), "1 2");
}

/* Goal: a reader tells where it stands, and another one resumes there without a gap or a double.
 * Method: stop after each event in turn and go on with a new reader. */
TEST(readers_resume)
{
    cairn_str stream = new_stream("u");
    int64_t from = (int64_t)cairn_end(store);
    for (int i = 0; i < 4; i++)
        append(stream, (const char *[]){"a", "b", "c", "d"}[i]);
    for (int stop = 0; stop <= 4; stop++) {
        cairn_read_options options = {.from = from};
        cairn_reader *reader;
        cairn_recorded event;
        CHECK_OK(cairn_read_all(store, &options, &reader, NULL));
        for (int i = 0; i < stop; i++)
            CHECK_OK(cairn_reader_next(reader, &event, NULL));
        options.from = cairn_reader_from(reader);
        cairn_reader_free(reader);
        CHECK_STR(read_log(options), &"a b c d"[stop == 4 ? 7 : stop * 2]);
    }
}

struct follower {
    cairn_str stream;
    unsigned count;
};

static void *
write_slowly(void *context)
{
    struct follower *follower = context;
    for (unsigned i = 0; i < follower->count; i++)
        append(follower->stream, "x");
    return NULL;
}

/* Goal: following sees every event once, in order, whenever it is written.
 * Method: follow a stream and a category from before the first of 300 appends by another thread. */
TEST(following_misses_nothing)
{
    for (int by_category = 0; by_category < 2; by_category++) {
        struct follower follower = {new_stream("v"), 300};
        char category[64];
        snprintf(category, sizeof category, "v%s", run_name);
        cairn_read_options options = {.follow = true};
        cairn_reader *reader;
        if (by_category) {
            options.from = (int64_t)cairn_end(store);
            options.category = cairn_cstr(category);
            CHECK_OK(cairn_read_all(store, &options, &reader, NULL));
        } else {
            CHECK_OK(cairn_read_stream(store, follower.stream, &options, &reader, NULL));
        }
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, write_slowly, &follower) == 0);
        for (unsigned seen = 0; seen < follower.count;) {
            cairn_recorded event;
            cairn_err err = cairn_reader_next(reader, &event, NULL);
            if (err == CAIRN_E_END) {
                CHECK_OK(cairn_reader_wait(reader, 30000));
                continue;
            }
            CHECK_OK(err);
            CHECK_INT(event.revision, seen++);
        }
        pthread_join(thread, NULL);
        cairn_recorded event;
        CHECK_INT(cairn_reader_next(reader, &event, NULL), CAIRN_E_END);
        CHECK_INT(cairn_reader_wait(reader, 1), CAIRN_E_TIMEOUT);
        cairn_reader_free(reader);
    }
    cairn_reader *reader;
    const cairn_read_options wrong = {.follow = true, .direction = CAIRN_BACKWARD};
    CHECK_INT(cairn_read_all(store, &wrong, &reader, NULL), CAIRN_E_INVALID);
}

static void
note_end(void *context, uint64_t end)
{
    __atomic_store_n((uint64_t *)context, end, __ATOMIC_RELEASE);
}

/* Goal: the listener hears of every commit, and of none after it was taken away.
 * Method: append, compare with the end that was told; take it away, append. */
TEST(commits_are_told)
{
    uint64_t told = 0;
    cairn_str stream = new_stream("n");
    cairn_on_commit(store, note_end, &told);
    append(stream, "x");
    uint64_t end = cairn_end(store);
    while (__atomic_load_n(&told, __ATOMIC_ACQUIRE) < end)
        sched_yield();
    cairn_on_commit(store, NULL, NULL);
    append(stream, "y");
    CHECK_INT(told, end);
}

/* Goal: a moment leads to the position of what came after it.
 * Method: the times of two events; the moments at and just before them. */
TEST(times_lead_to_positions)
{
    cairn_str stream = new_stream("t");
    cairn_at at = append(stream, "x");
    const cairn_read_options options = {.from = (int64_t)at.first_position};
    cairn_reader *reader;
    cairn_recorded event;
    CHECK_OK(cairn_read_all(store, &options, &reader, NULL));
    CHECK_OK(cairn_reader_next(reader, &event, NULL));
    uint64_t position;
    CHECK_OK(cairn_position_at(store, event.time_us, &position, NULL));
    CHECK(position > at.first_position);
    CHECK_OK(cairn_position_at(store, event.time_us - 1, &position, NULL));
    CHECK(position <= at.first_position);
    CHECK_OK(cairn_position_at(store, INT64_MAX, &position, NULL));
    CHECK(position == cairn_end(store));
    CHECK_OK(cairn_position_at(store, 0, &position, NULL));
    CHECK_INT(position, 0);
    cairn_reader_free(reader);
}

/* ---- streams ---------------------------------------------------------------------------------------- */

struct names {
    size_t count, limit;
    char text[512];
};

static bool
note_name(void *context, cairn_str stream, uint64_t first_position)
{
    (void)first_position;
    struct names *names = context;
    size_t used = strlen(names->text);
    snprintf(names->text + used, sizeof names->text - used, "%.*s ", (int)stream.size, stream.data);
    return ++names->count < names->limit;
}

/* Goal: streams are listed by prefix in the order of their first events, page by page.
 * Method: three streams of a category of this run, then pages of one. */
TEST(streams_are_listed)
{
    cairn_str streams[3];
    char expected[512] = "", prefix[64];
    snprintf(prefix, sizeof prefix, "l%s-", run_name);
    for (int i = 0; i < 3; i++) {
        streams[i] = new_stream("l");
        append(streams[i], "x");
        snprintf(expected + strlen(expected), 128, "%s ", streams[i].data);
    }
    struct names names = {.limit = 100};
    CHECK_OK(cairn_streams(store, 0, cairn_cstr(prefix), (cairn_str){0}, note_name, &names, NULL));
    CHECK_STR(names.text, expected);
    struct names pages = {.limit = 1};
    CHECK_OK(cairn_streams(store, 0, cairn_cstr(prefix), (cairn_str){0}, note_name, &pages, NULL));
    pages.limit = 2;
    CHECK_OK(cairn_streams(store, 0, cairn_cstr(prefix), streams[0], note_name, &pages, NULL));
    pages.limit = 3;
    CHECK_OK(cairn_streams(store, 0, cairn_cstr(prefix), streams[1], note_name, &pages, NULL));
    CHECK_STR(pages.text, expected);
    CHECK_INT(cairn_streams(store, 0, cairn_cstr(prefix), CAIRN_STR("never-was"), note_name, &pages,
                            NULL),
              CAIRN_E_NOTFOUND);
}

/* Goal: retention hides what it should from every read, and the stream goes on counting.
 * Method: count, then truncation; reads both ways; an append after. */
TEST(retention_hides_events)
{
    cairn_str stream = new_stream("z");
    int64_t from = (int64_t)cairn_end(store);
    for (int i = 0; i < 6; i++)
        append(stream, (const char *[]){"a", "b", "c", "d", "e", "f"}[i]);
    const cairn_retention newest = {.max_count = 3};
    CHECK_OK(cairn_retention_set(store, 0, stream, &newest, NULL));
    CHECK_STR(read_stream(stream, (cairn_read_options){0}), "d e f");
    CHECK_STR(read_log((cairn_read_options){.from = from}), "d e f");
    append(stream, "g");
    CHECK_STR(read_stream(stream, (cairn_read_options){.from = CAIRN_FROM_END,
                                                      .direction = CAIRN_BACKWARD}),
              "g f e");
    const cairn_retention truncated = {.truncate_before = 6};
    CHECK_OK(cairn_retention_set(store, 0, stream, &truncated, NULL));
    CHECK_STR(read_stream(stream, (cairn_read_options){0}), "g");
    cairn_stream_info info;
    CHECK_OK(cairn_stream_info_get(store, 0, stream, &info, NULL));
    CHECK(info.exists && info.first_revision == 6 && info.last_revision == 6);
    CHECK_INT(info.retention.truncate_before, 6);
    CHECK_INT(cairn_retention_set(store, 0, CAIRN_STR("$x"), &newest, NULL), CAIRN_E_DENIED);
}

/* Goal: a deleted stream reads as empty and may go on; one with a tombstone is closed for good.
 * Method: delete with wrong and right expectations, append, delete with a tombstone, append. */
TEST(streams_are_deleted)
{
    cairn_str stream = new_stream("g");
    cairn_error error = {0};
    CHECK_INT(cairn_delete(store, 0, stream, CAIRN_ANY, false, &error), CAIRN_E_NOTFOUND);
    append(stream, "a");
    append(stream, "b");
    CHECK_INT(cairn_delete(store, 0, stream, 0, false, &error), CAIRN_E_CONFLICT);
    CHECK_INT(error.revision, 1);
    CHECK_OK(cairn_delete(store, 0, stream, 1, false, NULL));
    CHECK_STR(read_stream(stream, (cairn_read_options){0}), "");
    cairn_stream_info info;
    CHECK_OK(cairn_stream_info_get(store, 0, stream, &info, NULL));
    CHECK(!info.exists && !info.tombstoned && info.last_revision == 1);
    const cairn_event event = event_of("T", "c");
    cairn_at at;
    CHECK_OK(cairn_append(store, 0, stream, CAIRN_NONE, &event, 1, &at, NULL));
    CHECK_INT(at.revision, 2);
    CHECK_STR(read_stream(stream, (cairn_read_options){0}), "c");
    CHECK_OK(cairn_delete(store, 0, stream, CAIRN_ANY, true, NULL));
    CHECK_INT(cairn_append(store, 0, stream, CAIRN_ANY, &event, 1, &at, NULL), CAIRN_E_GONE);
    CHECK_STR(read_stream(stream, (cairn_read_options){0}), "");
    CHECK_INT(cairn_delete(store, 0, CAIRN_STR("$x"), CAIRN_ANY, false, NULL), CAIRN_E_DENIED);
}

/* Goal: Cairn's own streams stay out of sight unless asked for, and open to Cairn alone.
 * Method: write one as Cairn may; read all without and with `system`; list. */
TEST(own_streams_are_apart)
{
    int64_t from = (int64_t)cairn_end(store);
    char name[64];
    snprintf(name, sizeof name, "$test%s-1", run_name);
    const cairn_event event = event_of("$t", "own");
    const cairn_write write = {cairn_cstr(name), CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_at at;
    CHECK_INT(cairn_append_all(store, &request, &at, NULL), CAIRN_E_DENIED);
    request.system = true;
    CHECK_OK(cairn_append_all(store, &request, &at, NULL));
    append(new_stream("o"), "user's");
    CHECK_STR(read_log((cairn_read_options){.from = from}), "user's");
    CHECK_STR(read_log((cairn_read_options){.from = from, .system = true}), "own user's");
    CHECK_STR(read_stream(cairn_cstr(name), (cairn_read_options){0}), "own");
    struct names names = {.limit = 1000000};
    CHECK_OK(cairn_streams(store, 0, CAIRN_STR("$test"), (cairn_str){0}, note_name, &names, NULL));
    CHECK(names.count >= 1);
}

/* ---- snapshots and groups ---------------------------------------------------------------------------- */

/* Goal: the newest snapshot comes back, also after reopening; a delete takes it away.
 * Method: put twice, get, reopen, get, delete, get. */
TEST(snapshots)
{
    cairn_str stream = new_stream("s");
    append(stream, "a");
    append(stream, "b");
    cairn_snapshot snapshot = {0, CAIRN_STR("application/json"), CAIRN_STR("{\"n\":1}")};
    void *memory;
    CHECK_INT(cairn_snapshot_get(store, 0, stream, &snapshot, &memory, NULL), CAIRN_E_NOTFOUND);
    CHECK_OK(cairn_snapshot_put(store, 0, stream, &snapshot, NULL));
    const cairn_snapshot second = {1, CAIRN_STR("text/plain"), CAIRN_STR("two")};
    CHECK_OK(cairn_snapshot_put(store, 0, stream, &second, NULL));
    for (int again = 0; again < 2; again++) {
        CHECK_OK(cairn_snapshot_get(store, 0, stream, &snapshot, &memory, NULL));
        CHECK(snapshot.revision == 1 && cairn_str_equal(snapshot.data, second.data) &&
              cairn_str_equal(snapshot.content_type, second.content_type));
        cairn_free(memory);
        cairn_close(store);
        open_store();
    }
    const cairn_snapshot beyond = {2, {0}, CAIRN_STR("x")};
    CHECK_INT(cairn_snapshot_put(store, 0, stream, &beyond, NULL), CAIRN_E_INVALID);
    CHECK_OK(cairn_delete(store, 0, stream, CAIRN_ANY, false, NULL));
    CHECK_INT(cairn_snapshot_get(store, 0, stream, &snapshot, &memory, NULL), CAIRN_E_NOTFOUND);
}

struct deliveries {
    size_t count;
    uint64_t positions[64];
};

static void
note_delivery(void *context, const cairn_recorded *event, uint32_t delivery)
{
    (void)delivery;
    struct deliveries *deliveries = context;
    CHECK(deliveries->count < 64);
    deliveries->positions[deliveries->count++] = event->position;
}

static void
note_status(void *context, const cairn_group_status *status)
{
    *(cairn_group_status *)context = *status;
}

/* Goal: a group hands out, remembers what was done across a reopening, parks and replays.
 * Method: ten events, four acknowledged, one parked; reopen; replay; acknowledge all. */
TEST(groups)
{
    cairn_str stream = new_stream("h"), group = cairn_cstr(run_name);
    for (int i = 0; i < 10; i++)
        append(stream, "x");
    const cairn_group_config config = {.stream = stream};
    struct deliveries deliveries = {0};
    CHECK_INT(cairn_group_take(store, 0, group, 5, note_delivery, &deliveries, NULL),
              CAIRN_E_NOTFOUND);
    CHECK_OK(cairn_group_put(store, 0, group, &config, NULL));
    CHECK_OK(cairn_group_take(store, 0, group, 6, note_delivery, &deliveries, NULL));
    CHECK_INT(deliveries.count, 6);
    size_t count;
    CHECK_OK(cairn_group_ack(store, 0, group, deliveries.positions, 4, &count, NULL));
    CHECK_INT(count, 4);
    CHECK_OK(cairn_group_nack(store, 0, group, deliveries.positions + 4, 1, true,
                              CAIRN_STR("broken"), &count, NULL));
    cairn_close(store);
    open_store();
    cairn_group_status status;
    CHECK_OK(cairn_group_status_get(store, 0, group, note_status, &status, NULL));
    CHECK(status.parked == 1 && status.checkpoint == deliveries.positions[5]);
    deliveries.count = 0;
    CHECK_OK(cairn_group_take(store, 0, group, 64, note_delivery, &deliveries, NULL));
    CHECK_INT(deliveries.count, 5); /* one that was open, four that were never out */
    CHECK_OK(cairn_group_replay_parked(store, 0, group, &count, NULL));
    CHECK_INT(count, 1);
    CHECK_OK(cairn_group_take(store, 0, group, 64, note_delivery, &deliveries, NULL));
    CHECK_INT(deliveries.count, 6);
    CHECK_OK(cairn_group_ack(store, 0, group, deliveries.positions, 6, &count, NULL));
    CHECK_INT(count, 6);
    CHECK_INT(cairn_group_take(store, 0, group, 1, note_delivery, &deliveries, NULL), CAIRN_E_END);
    CHECK_OK(cairn_group_delete(store, 0, group, NULL));
    CHECK_INT(cairn_group_delete(store, 0, group, NULL), CAIRN_E_NOTFOUND);
}

/* ---- the store as a whole ------------------------------------------------------------------------------ */

/* Goal: the figures follow what is done, and the store is found sound at the end.
 * Method: figures around an append; verify. */
TEST(figures_and_verify)
{
    cairn_stats before, after;
    cairn_stats_get(store, &before);
    append(new_stream("i"), "x");
    cairn_stats_get(store, &after);
    CHECK(after.events == before.events + 1 && after.appends_total == before.appends_total + 1);
    CHECK(!after.failed);
    cairn_verify_report report;
    CHECK_OK(cairn_verify(store, NULL, NULL, NULL, &report, NULL));
    CHECK(report.faults == 0 && report.events == cairn_end(store));
}

/* Goal: a location that cannot be is refused with a sentence that says why.
 * Method: open what is not there, what is no location, and another backend's. */
TEST(bad_locations_are_refused)
{
    const struct {
        const char *location;
        cairn_err err;
    } cases[] = {{"/nowhere/at/all", CAIRN_E_NOTFOUND},
                 {"", CAIRN_E_INVALID},
                 {"file:", CAIRN_E_INVALID},
                 {"redis://localhost", CAIRN_E_INVALID},
                 {NULL, CAIRN_E_INVALID}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cairn_store *none = NULL;
        cairn_error error = {0};
        CHECK_INT(cairn_open(cases[i].location, NULL, &none, &error), cases[i].err);
        CHECK(none == NULL && strlen(error.detail) > 10);
    }
}

int
main(int argc, char **argv)
{
    char folder[64], with_scheme[80];
    location = argc > 1 ? argv[1] : getenv("CAIRN_TEST_STORE");
    bool own = location == NULL;
    if (own) {
        test_folder(folder);
        snprintf(with_scheme, sizeof with_scheme, "file:%s", folder);
        location = with_scheme;
    }
    open_store();
    run_begin = cairn_end(store);
    snprintf(run_name, sizeof run_name, "run%" PRIu64, run_begin);
    const struct CMUnitTest tests[] = {
        RUN(expectations),
        RUN(several_streams_at_once),
        RUN(conditions),
        RUN(repeats),
        RUN(bad_appends_are_refused),
        RUN(events_come_back_whole),
        RUN(correlation_comes_from_meta),
        RUN(asynchronous_appends),
        RUN(streams_read_both_ways),
        RUN(all_events_read_filtered),
        RUN(readers_resume),
        RUN(following_misses_nothing),
        RUN(commits_are_told),
        RUN(times_lead_to_positions),
        RUN(streams_are_listed),
        RUN(retention_hides_events),
        RUN(streams_are_deleted),
        RUN(own_streams_are_apart),
        RUN(snapshots),
        RUN(groups),
        RUN(figures_and_verify),
        RUN(bad_locations_are_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cairn_close(store);
    if (own)
        test_remove(folder);
    return failed;
}

/* Random operations on a store and on a small model of it; they must always agree.
 *
 * The model (struct model) keeps every event in an array and answers each question by looking at all of
 * it. Where the contract leaves a choice the test allows each answer: an append that breaks several
 * rules may name any of them, and a condition that only a hidden event breaks may hold. */
#include <base/bytes.h>
#include <cairn/cairn.h>

#include "test.h"

#define SCOPES 2
#define STREAMS 10
#define TYPES 4
#define TAGS 5
#define EVENTS_MAX 6000
#define WRITES_MAX 3
#define BATCH_MAX 4
#define RETRIES_KEPT 16

static const char *const stream_names[STREAMS] = {"a-1",     "a-2", "a-3",  "b-1", "b-2",
                                                  "b-\xc3\xa9", "c",   "ab-1", "a",   "b-1-x"};
static const char *const type_names[TYPES] = {"Placed", "Paid", "Sent", "Lost"};
static const char *const tag_names[TAGS] = {"k:0", "k:1", "k:2", "x", "y"};

struct model_event {
    uint64_t position, revision;
    cairn_uuid id;
    unsigned scope, stream, type, tags; /* tags: bits */
    unsigned size;                      /* of data */
    bool may_be_gone;                   /* it was hidden when the log was scavenged */
};

struct model_stream {
    int64_t last; /* revision */
    uint64_t last_position;
    cairn_retention retention;
    bool tombstoned;
    bool has_snapshot;
    uint64_t snapshot_revision, snapshot_seed;
};

struct model {
    struct model_event events[EVENTS_MAX];
    size_t count;
    struct model_stream streams[SCOPES][STREAMS];
};

/* What has happened, to see that the test tests. */
static struct {
    size_t appended, gone, conflict, condition, repeated, reads, events_read, snapshots, deletes, removed;
} seen;

static struct model model;
static cairn_store *store;
static char folder[64];
static uint64_t seed;

static unsigned
below(unsigned n)
{
    return (unsigned)(test_random(&seed) % n);
}

/* ---- what an event looks like ---------------------------------------------------------------- */

static void
fill_data(char *to, size_t size, uint64_t from)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (char)(from * 31 + i * 7);
}

static cairn_str
name_of(unsigned stream)
{
    return cairn_cstr(stream_names[stream]);
}

/* Data says which id it belongs to, so a wrong or old record cannot pass for the right one. */
static void
make_event(const struct model_event *from, cairn_event *to, char *data, cairn_str tags[TAGS])
{
    *to = (cairn_event){.id = from->id, .type = cairn_cstr(type_names[from->type])};
    for (unsigned i = 0; i < TAGS; i++)
        if (from->tags & 1u << i)
            tags[to->tag_count++] = cairn_cstr(tag_names[i]);
    to->tags = tags;
    fill_data(data, from->size, load64(from->id.bytes + 8));
    to->data = (cairn_str){data, from->size};
}

static void
check_same(const cairn_recorded *got, const struct model_event *expected)
{
    char data[4096];
    cairn_str tags[TAGS];
    cairn_event event;
    make_event(expected, &event, data, tags);
    CHECK_INT(got->position, expected->position);
    CHECK_INT(got->revision, expected->revision);
    CHECK_INT(got->scope, expected->scope);
    CHECK(cairn_str_equal(got->stream, name_of(expected->stream)));
    CHECK(memcmp(&got->event.id, &expected->id, 16) == 0);
    CHECK(cairn_str_equal(got->event.type, event.type));
    CHECK(cairn_str_equal(got->event.data, event.data));
    CHECK_INT(got->event.tag_count, event.tag_count);
    for (size_t i = 0; i < event.tag_count; i++)
        CHECK(cairn_str_equal(got->event.tags[i], tags[i]));
}

/* ---- the model's rules ------------------------------------------------------------------------ */

static bool
is_empty(const struct model_stream *stream)
{
    return stream->last < 0 || stream->retention.truncate_before > (uint64_t)stream->last;
}

/* Of a stream whose last revision is `last` as seen. */
static uint64_t
first_readable(const struct model_stream *stream, int64_t last)
{
    uint64_t first = stream->retention.truncate_before, keep = stream->retention.max_count;
    if (stream->tombstoned)
        return UINT64_MAX;
    if (keep > 0 && last + 1 > (int64_t)keep && (uint64_t)last + 1 - keep > first)
        first = (uint64_t)last + 1 - keep;
    return first;
}

static int64_t
last_below(unsigned scope, unsigned stream, uint64_t end)
{
    for (size_t i = model.count; i-- > 0;)
        if (model.events[i].scope == scope && model.events[i].stream == stream &&
            model.events[i].position < end)
            return (int64_t)model.events[i].revision;
    return -1;
}

static bool
is_visible(const struct model_event *event, uint64_t end)
{
    const struct model_stream *stream = &model.streams[event->scope][event->stream];
    return event->position < end &&
           event->revision >= first_readable(stream, last_below(event->scope, event->stream, end));
}

/* A query as numbers: items of types (bits, 0: any) and tags (bits). */
struct model_query {
    unsigned count;
    struct {
        unsigned types, tags;
    } items[3];
};

static bool
matches(const struct model_event *event, const struct model_query *query)
{
    for (unsigned i = 0; i < query->count; i++)
        if ((query->items[i].types == 0 || query->items[i].types & 1u << event->type) &&
            (event->tags & query->items[i].tags) == query->items[i].tags)
            return true;
    return query->count == 0;
}

struct query_room {
    cairn_query_item items[3];
    cairn_str types[3][TYPES], tags[3][TAGS];
};

static cairn_query
make_query(const struct model_query *from, struct query_room *room)
{
    memset(room, 0, sizeof *room);
    for (unsigned i = 0; i < from->count; i++) {
        cairn_query_item *item = &room->items[i];
        item->types = room->types[i];
        item->tags = room->tags[i];
        for (unsigned n = 0; n < TYPES; n++)
            if (from->items[i].types & 1u << n)
                room->types[i][item->type_count++] = cairn_cstr(type_names[n]);
        for (unsigned n = 0; n < TAGS; n++)
            if (from->items[i].tags & 1u << n)
                room->tags[i][item->tag_count++] = cairn_cstr(tag_names[n]);
    }
    return (cairn_query){room->items, from->count};
}

static struct model_query
random_query(bool may_be_empty)
{
    struct model_query query = {.count = may_be_empty ? below(4) : 1 + below(3)};
    for (unsigned i = 0; i < query.count; i++) {
        query.items[i].types = below(3) ? 1u << below(TYPES) | 1u << below(TYPES) : 0;
        query.items[i].tags = below(2) ? 1u << below(TAGS) : 0;
        if (below(4) == 0)
            query.items[i].tags |= 1u << below(TAGS);
        if (query.items[i].types == 0 && query.items[i].tags == 0)
            query.items[i].tags = 1u << below(TAGS);
    }
    return query;
}

/* ---- appending --------------------------------------------------------------------------------- */

struct request {
    unsigned scope, write_count, condition_count;
    struct {
        unsigned stream, count;
        int64_t expected;
        struct model_event events[BATCH_MAX];
    } writes[WRITES_MAX];
    struct {
        struct model_query query;
        int64_t after;
    } conditions[2];
    bool repeatable; /* expects an exact place in every stream */
    cairn_at at;
};

static struct request done[RETRIES_KEPT];
static unsigned done_count;

static struct request
random_request(void)
{
    struct request request = {.scope = below(4) == 0, .write_count = below(3) ? 1 : 1 + below(3)};
    request.repeatable = true;
    for (unsigned i = 0; i < request.write_count; i++) {
        unsigned stream = below(STREAMS);
        int64_t last = model.streams[request.scope][stream].last;
        int64_t choices[] = {CAIRN_ANY, CAIRN_ANY,    CAIRN_NONE, CAIRN_EXISTS, last >= 0 ? last : CAIRN_NONE,
                             last >= 0 ? last : CAIRN_NONE, (int64_t)below(20)};
        request.writes[i].stream = stream;
        request.writes[i].expected = choices[below(sizeof choices / sizeof choices[0])];
        request.writes[i].count = 1 + below(BATCH_MAX);
        if (request.writes[i].expected == CAIRN_ANY || request.writes[i].expected == CAIRN_EXISTS)
            request.repeatable = false;
        for (unsigned n = 0; n < request.writes[i].count; n++) {
            struct model_event *event = &request.writes[i].events[n];
            *event = (struct model_event){.scope = request.scope, .stream = stream,
                                          .type = below(TYPES), .tags = below(1u << TAGS),
                                          .size = below(8) ? below(200) : below(4000)};
            uint64_t id[2] = {test_random(&seed), test_random(&seed)};
            memcpy(event->id.bytes, id, 16);
        }
    }
    if (below(2) == 0)
        request.condition_count = 1 + below(2);
    uint64_t end = cairn_end(store);
    for (unsigned i = 0; i < request.condition_count; i++) {
        request.conditions[i].query = random_query(false);
        request.conditions[i].after = (int64_t)end - 1 - (int64_t)below(12);
        if (request.conditions[i].after < -1 || below(8) == 0)
            request.conditions[i].after = -1;
    }
    return request;
}

static cairn_err
submit(const struct request *request, cairn_at *at, cairn_error *error)
{
    static char data[WRITES_MAX][BATCH_MAX][4096];
    cairn_event events[WRITES_MAX][BATCH_MAX];
    cairn_str tags[WRITES_MAX][BATCH_MAX][TAGS];
    cairn_write writes[WRITES_MAX];
    cairn_condition conditions[2];
    struct query_room rooms[2];
    for (unsigned i = 0; i < request->write_count; i++) {
        for (unsigned n = 0; n < request->writes[i].count; n++)
            make_event(&request->writes[i].events[n], &events[i][n], data[i][n], tags[i][n]);
        writes[i] = (cairn_write){name_of(request->writes[i].stream), request->writes[i].expected,
                                  events[i], request->writes[i].count};
    }
    for (unsigned i = 0; i < request->condition_count; i++)
        conditions[i] = (cairn_condition){make_query(&request->conditions[i].query, &rooms[i]),
                                          request->conditions[i].after};
    const cairn_append_request real = {.scope = request->scope, .writes = writes,
                                       .write_count = request->write_count, .conditions = conditions,
                                       .condition_count = request->condition_count};
    return cairn_append_all(store, &real, at, error);
}

/* What the rules say about a request: which refusals are justified. */
struct verdict {
    bool gone, conflict, condition;
    int64_t conflict_revisions[WRITES_MAX];
    unsigned conflict_count;
};

static struct verdict
judge_writes(const struct request *request)
{
    struct verdict verdict = {0};
    struct model_stream streams[STREAMS];
    memcpy(streams, model.streams[request->scope], sizeof streams);
    for (unsigned i = 0; i < request->write_count; i++) {
        struct model_stream *stream = &streams[request->writes[i].stream];
        int64_t expected = request->writes[i].expected;
        bool holds = expected == CAIRN_ANY || (expected == CAIRN_NONE && is_empty(stream)) ||
                     (expected == CAIRN_EXISTS && !is_empty(stream)) ||
                     (expected >= 0 && expected == stream->last);
        verdict.gone |= stream->tombstoned;
        if (!holds)
            verdict.conflict_revisions[verdict.conflict_count++] = stream->last;
        stream->last += request->writes[i].count;
    }
    verdict.conflict = verdict.conflict_count > 0;
    return verdict;
}

static bool
is_certain(const struct model_event *event)
{
    return is_visible(event, UINT64_MAX) && !event->may_be_gone;
}

static bool
breaks(const struct model_event *event, const struct request *request, unsigned condition)
{
    return event->scope == request->scope &&
           (int64_t)event->position > request->conditions[condition].after &&
           matches(event, &request->conditions[condition].query);
}

/* Is this the first event that breaks the condition? Before it only such may come that are hidden. */
static bool
is_first_match(const struct request *request, unsigned condition, uint64_t position)
{
    for (size_t i = 0; i < model.count; i++)
        if (breaks(&model.events[i], request, condition)) {
            if (model.events[i].position == position)
                return true;
            if (is_certain(&model.events[i]))
                return false;
        }
    return false;
}

static void
judge_conditions(const struct request *request, struct verdict *verdict)
{
    for (unsigned i = 0; i < request->condition_count; i++)
        for (size_t n = 0; n < model.count; n++)
            if (breaks(&model.events[n], request, i) && is_certain(&model.events[n]))
                verdict->condition = true;
}

static void
take_over(struct request *request, const cairn_at *at)
{
    uint64_t position = at->first_position;
    CHECK_INT(position, cairn_end(store) - (at->last_position - at->first_position + 1));
    for (unsigned i = 0; i < request->write_count; i++) {
        struct model_stream *stream =
            &model.streams[request->scope][request->writes[i].stream];
        for (unsigned n = 0; n < request->writes[i].count; n++) {
            struct model_event *event = &request->writes[i].events[n];
            event->position = position++;
            event->revision = (uint64_t)++stream->last;
            stream->last_position = event->position;
            if (model.count < EVENTS_MAX)
                model.events[model.count++] = *event;
        }
        CHECK(i + 1 < request->write_count || (int64_t)at->revision == stream->last);
    }
    CHECK_INT(at->last_position, position - 1);
    request->at = *at;
}

static void
remember(const struct request *request)
{
    for (unsigned i = 0; i < request->write_count; i++) /* NONE on a deleted stream is another place */
        if (request->writes[i].expected == CAIRN_NONE && request->writes[i].events[0].revision != 0)
            return;
    if (request->repeatable)
        done[done_count++ % RETRIES_KEPT] = *request;
}

static void
try_append(void)
{
    if (model.count + WRITES_MAX * BATCH_MAX > EVENTS_MAX)
        return;
    static struct request request;
    request = random_request();
    struct verdict verdict = judge_writes(&request);
    judge_conditions(&request, &verdict);
    cairn_at at = {0};
    cairn_error error = {0};
    cairn_err err = submit(&request, &at, &error);
    if (err == CAIRN_OK) {
        CHECK(!verdict.gone && !verdict.conflict && !verdict.condition);
        CHECK(!at.repeated);
        take_over(&request, &at);
        remember(&request);
        seen.appended++;
    } else if (err == CAIRN_E_GONE) {
        CHECK(verdict.gone);
        seen.gone++;
    } else if (err == CAIRN_E_CONFLICT) {
        seen.conflict++;
        bool named = false;
        for (unsigned i = 0; i < verdict.conflict_count; i++)
            named |= verdict.conflict_revisions[i] == error.revision;
        CHECK(named);
    } else if (err == CAIRN_E_CONDITION) {
        seen.condition++;
        bool named = false;
        for (unsigned i = 0; i < request.condition_count; i++)
            named |= is_first_match(&request, i, error.position);
        CHECK(named);
    } else {
        fail_msg("append: %s: %s", cairn_err_name(err), error.detail);
    }
}

static bool
is_hidden(uint64_t position)
{
    for (size_t i = 0; i < model.count; i++)
        if (model.events[i].position == position)
            return !is_certain(&model.events[i]);
    return true;
}

/* The same request again: nothing is written, and the answer is the first one's. What retention has
 * hidden is left out: a deleted stream's first events may be written again. */
static void
repeat_append(void)
{
    if (done_count == 0)
        return;
    const struct request *request =
        &done[below(done_count < RETRIES_KEPT ? done_count : RETRIES_KEPT)];
    for (unsigned i = 0; i < request->write_count; i++)
        for (unsigned n = 0; n < request->writes[i].count; n++)
            if (is_hidden(request->writes[i].events[n].position))
                return;
    uint64_t end = cairn_end(store);
    cairn_at at = {0};
    cairn_error error = {0};
    cairn_err err = submit(request, &at, &error);
    if (err != CAIRN_OK)
        fail_msg("repeat: %s: %s", cairn_err_name(err), error.detail);
    seen.repeated++;
    CHECK(at.repeated);
    CHECK_INT(at.first_position, request->at.first_position);
    CHECK_INT(at.last_position, request->at.last_position);
    CHECK_INT(at.revision, request->at.revision);
    CHECK_INT(cairn_end(store), end);
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* The reader must return exactly the model's events that `wanted` accepts, in order. */
struct want {
    unsigned scope;
    int stream; /* -1: all */
    cairn_str category;
    struct model_query query;
    cairn_read_options options;
};

static bool
wanted(const struct want *want, const struct model_event *event, uint64_t end)
{
    int64_t at = want->stream >= 0 ? (int64_t)event->revision : (int64_t)event->position;
    bool forward = want->options.direction == CAIRN_FORWARD;
    if (event->scope != want->scope || !is_visible(event, end) ||
        (want->stream >= 0 && (int)event->stream != want->stream) ||
        (forward ? at < want->options.from : at > want->options.from))
        return false;
    if (want->category.size > 0) {
        cairn_str name = name_of(event->stream);
        const char *dash = memchr(name.data, '-', name.size);
        cairn_str category = {name.data, dash ? (size_t)(dash - name.data) : name.size};
        if (!cairn_str_equal(category, want->category))
            return false;
    }
    return matches(event, &want->query);
}

static void
compare(const struct want *want, cairn_reader *reader, size_t limit)
{
    uint64_t now = cairn_end(store);
    uint64_t end = want->options.end && want->options.end < now ? want->options.end : now;
    bool forward = want->options.direction == CAIRN_FORWARD;
    cairn_recorded event;
    cairn_error error = {0};
    cairn_err err = cairn_reader_next(reader, &event, &error);
    for (size_t n = 0; n < model.count; n++) {
        const struct model_event *expected = &model.events[forward ? n : model.count - 1 - n];
        if (!wanted(want, expected, end))
            continue;
        if (expected->may_be_gone && (err != CAIRN_OK || event.position != expected->position))
            continue;
        if (err != CAIRN_OK)
            fail_msg("expected position %llu: %s: %s", (unsigned long long)expected->position,
                     cairn_err_name(err), error.detail);
        check_same(&event, expected);
        seen.events_read++;
        int64_t at = want->stream >= 0 ? (int64_t)event.revision : (int64_t)event.position;
        if (forward)
            CHECK_INT(cairn_reader_from(reader), at + 1);
        if (--limit == 0)
            return;
        err = cairn_reader_next(reader, &event, &error);
    }
    CHECK_INT(err, CAIRN_E_END);
    CHECK_INT(cairn_reader_next(reader, &event, &error), CAIRN_E_END);
    if (forward && want->stream < 0 && want->options.from < (int64_t)end)
        CHECK_INT(cairn_reader_from(reader), end);
}

static void
try_read(void)
{
    struct want want = {.scope = below(4) == 0, .stream = below(2) ? (int)below(STREAMS) : -1};
    uint64_t end = cairn_end(store);
    want.options.scope = want.scope;
    want.options.direction = below(2) ? CAIRN_FORWARD : CAIRN_BACKWARD;
    want.options.end = below(3) == 0 ? 1 + below((unsigned)end + 1) : 0;
    unsigned span = want.stream >= 0
                        ? (unsigned)(model.streams[want.scope][want.stream].last + 3)
                        : (unsigned)end + 2;
    want.options.from = below(3) ? (int64_t)below(span) : 0;
    if (want.options.direction == CAIRN_BACKWARD && below(2))
        want.options.from = CAIRN_FROM_END;
    struct query_room room;
    cairn_reader *reader;
    cairn_error error = {0};
    cairn_err err;
    if (want.stream >= 0) {
        err = cairn_read_stream(store, name_of((unsigned)want.stream), &want.options, &reader, &error);
    } else {
        if (below(2))
            want.query = random_query(true);
        if (below(2))
            want.category = below(2) ? CAIRN_STR("a") : CAIRN_STR("b");
        want.options.category = want.category;
        want.options.query = make_query(&want.query, &room);
        err = cairn_read_all(store, &want.options, &reader, &error);
    }
    if (err != CAIRN_OK)
        fail_msg("read: %s: %s", cairn_err_name(err), error.detail);
    seen.reads++;
    compare(&want, reader, below(2) ? SIZE_MAX : 1 + below(20));
    cairn_reader_free(reader);
}

/* ---- streams, retention, snapshots ------------------------------------------------------------- */

static void
check_info(unsigned scope, unsigned number)
{
    const struct model_stream *stream = &model.streams[scope][number];
    cairn_stream_info info;
    CHECK_OK(cairn_stream_info_get(store, scope, name_of(number), &info, NULL));
    uint64_t first = first_readable(stream, stream->last);
    CHECK_INT(info.last_revision, stream->last);
    CHECK_INT(info.tombstoned, stream->tombstoned);
    CHECK_INT(info.exists, stream->last >= 0 && first <= (uint64_t)stream->last);
    if (info.exists)
        CHECK_INT(info.first_revision, first);
    if (stream->last >= 0)
        CHECK_INT(info.last_position, stream->last_position);
    if (!stream->tombstoned)
        CHECK_INT(info.retention.max_count, stream->retention.max_count);
}

struct listed {
    cairn_str names[STREAMS + 1];
    char bytes[STREAMS + 1][16];
    size_t count, limit;
};

static bool
list_stream(void *context, cairn_str stream, uint64_t first_position)
{
    (void)first_position;
    struct listed *listed = context;
    CHECK(listed->count <= STREAMS && stream.size <= 16);
    memcpy(listed->bytes[listed->count], stream.data, stream.size);
    listed->names[listed->count] = (cairn_str){listed->bytes[listed->count], stream.size};
    return ++listed->count < listed->limit;
}

static void
check_listing(void)
{
    static const char *const prefixes[] = {"", "a", "a-", "b-1", "zz", "b-1-"};
    unsigned scope = below(SCOPES);
    cairn_str prefix = cairn_cstr(prefixes[below(sizeof prefixes / sizeof prefixes[0])]);
    struct listed listed = {.limit = below(2) ? SIZE_MAX : 1 + below(3)};
    CHECK_OK(cairn_streams(store, scope, prefix, (cairn_str){0}, list_stream, &listed, NULL));
    size_t n = 0;
    for (size_t i = 0; i < model.count && n < listed.limit; i++) {
        const struct model_event *event = &model.events[i];
        cairn_str name = name_of(event->stream);
        const struct model_stream *stream = &model.streams[scope][event->stream];
        if (event->scope != scope || event->revision != 0 || name.size < prefix.size ||
            memcmp(name.data, prefix.data, prefix.size) != 0 ||
            first_readable(stream, stream->last) > (uint64_t)stream->last)
            continue;
        CHECK(n < listed.count && cairn_str_equal(listed.names[n], name));
        n++;
    }
    CHECK_INT(listed.count, n);
}

/* truncate_before only grows: what a lower one would bring back may be gone for good. */
static void
set_retention(void)
{
    unsigned scope = below(4) == 0, number = below(STREAMS);
    struct model_stream *stream = &model.streams[scope][number];
    cairn_retention retention = {.max_count = below(2) ? 0 : 1 + below(30),
                                 .max_age_us = below(2) ? 0 : UINT64_C(3600) * 1000000,
                                 .truncate_before = stream->retention.truncate_before};
    if (below(4) == 0 && stream->last >= 0) {
        uint64_t before = below((unsigned)stream->last + 2);
        if (before > retention.truncate_before)
            retention.truncate_before = before;
    }
    cairn_error error = {0};
    cairn_err err = cairn_retention_set(store, scope, name_of(number), &retention, &error);
    if (stream->tombstoned) {
        CHECK_INT(err, CAIRN_E_GONE);
        return;
    }
    if (err != CAIRN_OK)
        fail_msg("retention: %s", error.detail);
    stream->retention = retention;
}

static void
delete_stream(void)
{
    unsigned scope = below(4) == 0, number = below(STREAMS);
    struct model_stream *stream = &model.streams[scope][number];
    bool tombstone = below(12) == 0;
    int64_t expected = below(3) == 0 ? (int64_t)below(30) : below(2) ? CAIRN_ANY : CAIRN_EXISTS;
    uint64_t first = first_readable(stream, stream->last);
    bool exists = stream->last >= 0 && first <= (uint64_t)stream->last;
    cairn_error error = {0};
    cairn_err err = cairn_delete(store, scope, name_of(number), expected, tombstone, &error);
    if (stream->tombstoned) {
        CHECK_INT(err, CAIRN_E_GONE);
    } else if (!exists && !(tombstone && stream->last >= 0)) {
        CHECK_INT(err, CAIRN_E_NOTFOUND);
    } else if (expected >= 0 && expected != stream->last) {
        CHECK_INT(err, CAIRN_E_CONFLICT);
        CHECK_INT(error.revision, stream->last);
    } else {
        if (err != CAIRN_OK)
            fail_msg("delete: %s", error.detail);
        stream->retention.truncate_before = (uint64_t)stream->last + 1;
        seen.deletes++;
        stream->tombstoned = tombstone;
        stream->has_snapshot = false;
    }
}

static void
put_snapshot(void)
{
    unsigned scope = below(4) == 0, number = below(STREAMS);
    struct model_stream *stream = &model.streams[scope][number];
    static char data[3000];
    uint64_t from = test_random(&seed);
    const cairn_snapshot snapshot = {.revision = below((unsigned)(stream->last + 3)),
                                     .content_type = CAIRN_STR("text/plain"),
                                     .data = {data, from % sizeof data}};
    fill_data(data, snapshot.data.size, from);
    cairn_error error = {0};
    cairn_err err = cairn_snapshot_put(store, scope, name_of(number), &snapshot, &error);
    if (stream->tombstoned) {
        CHECK_INT(err, CAIRN_E_GONE);
    } else if ((int64_t)snapshot.revision > stream->last) {
        CHECK_INT(err, CAIRN_E_INVALID);
    } else {
        if (err != CAIRN_OK)
            fail_msg("snapshot: %s", error.detail);
        seen.snapshots++;
        stream->has_snapshot = true;
        stream->snapshot_revision = snapshot.revision;
        stream->snapshot_seed = from;
    }
}

static void
check_snapshot(unsigned scope, unsigned number)
{
    const struct model_stream *stream = &model.streams[scope][number];
    static char data[3000];
    cairn_snapshot snapshot;
    void *memory;
    cairn_error error = {0};
    cairn_err err = cairn_snapshot_get(store, scope, name_of(number), &snapshot, &memory, &error);
    CHECK_INT(err, stream->has_snapshot ? CAIRN_OK : CAIRN_E_NOTFOUND);
    if (err != CAIRN_OK)
        return;
    fill_data(data, stream->snapshot_seed % sizeof data, stream->snapshot_seed);
    CHECK_INT(snapshot.revision, stream->snapshot_revision);
    CHECK(cairn_str_equal(snapshot.content_type, CAIRN_STR("text/plain")));
    CHECK(cairn_str_equal(snapshot.data,
                          (cairn_str){data, stream->snapshot_seed % sizeof data}));
    cairn_free(memory);
}

/* ---- the store as a whole ----------------------------------------------------------------------- */

static void
open_store(void)
{
    const cairn_options options = {.create = true,
                                   .segment_size_bytes = 64 * 1024,
                                   .event_size_max = 16 * 1024,
                                   .append_size_max = 48 * 1024,
                                   .index_memory_events = 100,
                                   .snapshot_cache_bytes = 1 + below(20000),
                                   .no_background = below(2)};
    cairn_error error = {0};
    if (cairn_open(folder, &options, &store, &error) != CAIRN_OK)
        fail_msg("open: %s", error.detail);
}

static bool
print_fault(void *context, const char *file, uint64_t offset, const char *what)
{
    (void)context;
    printf("%s at byte %llu: %s\n", file, (unsigned long long)offset, what);
    return true;
}

static void
verify(void)
{
    cairn_verify_report report;
    cairn_error error = {0};
    if (cairn_verify(store, print_fault, NULL, NULL, &report, &error) != CAIRN_OK)
        fail_msg("verify: %s", error.detail);
    CHECK_INT(report.faults, 0);
    CHECK_INT(report.events, cairn_end(store));
}

static void
look_after(void)
{
    cairn_error error = {0};
    cairn_err err = CAIRN_OK;
    cairn_scavenge_report report;
    switch (below(5)) {
    case 0:
        err = cairn_scavenge(store, NULL, NULL, &report, &error);
        for (size_t i = 0; i < model.count; i++)
            if (!is_visible(&model.events[i], UINT64_MAX))
                model.events[i].may_be_gone = true;
        seen.removed += report.events_removed;
        break;
    case 1:
        err = below(4) ? CAIRN_OK : cairn_reindex(store, NULL, NULL, &error);
        if (err == CAIRN_E_BUSY) /* once an opening */
            err = CAIRN_OK;
        break;
    case 2:
        verify();
        break;
    default:
        err = cairn_maintain(store, &error);
    }
    if (err != CAIRN_OK)
        fail_msg("looking after the store: %s: %s", cairn_err_name(err), error.detail);
}

static void
reopen(void)
{
    uint64_t end = cairn_end(store);
    cairn_close(store);
    open_store();
    CHECK(cairn_end(store) == end);
}

/* Positions are dense, times never decrease, and a time leads to its position. */
static void
check_times(void)
{
    const cairn_read_options options = {.system = true};
    cairn_reader *reader;
    cairn_recorded event;
    int64_t before = INT64_MIN;
    uint64_t next = 0;
    CHECK_OK(cairn_read_all(store, &options, &reader, NULL));
    while (cairn_reader_next(reader, &event, NULL) == CAIRN_OK) {
        CHECK(event.position >= next && event.time_us >= before);
        if (event.time_us > before && below(20) == 0) {
            uint64_t found;
            CHECK_OK(cairn_position_at(store, event.time_us - 1, &found, NULL));
            CHECK(found <= event.position); /* removed events may share the moment */
            CHECK_OK(cairn_position_at(store, event.time_us, &found, NULL));
            CHECK(found > event.position);
        }
        before = event.time_us;
        next = event.position + 1;
    }
    cairn_reader_free(reader);
}

static void
check_everything(void)
{
    for (unsigned scope = 0; scope < SCOPES; scope++) {
        for (unsigned number = 0; number < STREAMS; number++) {
            check_info(scope, number);
            check_snapshot(scope, number);
        }
        struct want want = {.scope = scope, .stream = -1, .options = {.scope = scope}};
        cairn_reader *reader;
        CHECK_OK(cairn_read_all(store, &want.options, &reader, NULL));
        compare(&want, reader, SIZE_MAX);
        cairn_reader_free(reader);
    }
    check_times();
    verify();
}

static void
one_step(void)
{
    unsigned what = below(200);
    if (what < 90)
        try_append();
    else if (what < 100)
        repeat_append();
    else if (what < 160)
        try_read();
    else if (what < 166)
        set_retention();
    else if (what < 169)
        delete_stream();
    else if (what < 175)
        put_snapshot();
    else if (what < 180)
        check_snapshot(below(SCOPES), below(STREAMS));
    else if (what < 186)
        check_info(below(SCOPES), below(STREAMS));
    else if (what < 190)
        check_listing();
    else if (what < 197)
        look_after();
    else
        reopen();
}

/* Goal: through any mix of operations the store says what its contract says.
 * Method: random operations on the store and on the model, with segments and index tables so small that
 * rotation, flush and merge happen all the time; compare every answer, and everything at the end. */
TEST(store_agrees_with_its_model)
{
    seed = test_seed();
    unsigned rounds = 3 * test_scale();
    for (unsigned round = 0; round < rounds; round++) {
        memset(&model, 0, sizeof model);
        done_count = 0;
        for (unsigned scope = 0; scope < SCOPES; scope++)
            for (unsigned i = 0; i < STREAMS; i++)
                model.streams[scope][i].last = -1;
        test_folder(folder);
        open_store();
        for (unsigned step = 0; step < 2500; step++)
            one_step();
        check_everything();
        reopen();
        check_everything();
        cairn_close(store);
        test_remove(folder);
    }
    printf("appends: %zu done, %zu conflicts, %zu conditions, %zu gone, %zu repeated; reads: %zu of "
           "%zu events; %zu snapshots, %zu deletes, %zu scavenged\n",
           seen.appended, seen.conflict, seen.condition, seen.gone, seen.repeated, seen.reads,
           seen.events_read, seen.snapshots, seen.deletes, seen.removed);
    CHECK(seen.appended > 1000 && seen.conflict > 100 && seen.condition > 100 && seen.gone > 0);
    CHECK(seen.repeated > 0 && seen.events_read > 10000 && seen.snapshots > 0 && seen.deletes > 0);
    CHECK(seen.removed > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(store_agrees_with_its_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

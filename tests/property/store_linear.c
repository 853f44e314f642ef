/* Concurrent writers with expected revisions and conditions: appends must be linearizable.
 *
 * Every thread notes for each append where the log ended before it began and after it was answered.
 * Afterwards the log is read in the order of its positions, which is the one order there is:
 *
 *   accepted   its events are there exactly once, next to each other, at the place that the answer
 *              named, between the two ends; at that place every expectation and condition held
 *   refused    none of its events is there, and at some place between the two ends the reason that was
 *              given was true */
#include <base/bytes.h>
#include <cairn/cairn.h>
#include <pthread.h>

#include "test.h"

#define THREADS 8
#define APPENDS 150 /* of each thread */
#define STREAMS 4
#define TAGS 3
#define WRITES_MAX 2
#define BATCH_MAX 3
#define EVENTS_MAX (THREADS * APPENDS * WRITES_MAX * BATCH_MAX)

struct attempt {
    unsigned thread, number, write_count;
    struct {
        unsigned stream, count;
        int64_t expected;
    } writes[WRITES_MAX];
    bool has_condition, asynchronous;
    unsigned condition_tags; /* bits, at least one */
    int64_t after;
    unsigned tags; /* of its events */
    uint64_t begin, end;
    cairn_err err;
    cairn_at at;
    cairn_error error;
};

struct logged {
    unsigned attempt; /* index in attempts */
    unsigned sequence; /* within the attempt */
    unsigned stream, tags;
    uint64_t revision;
};

static cairn_store *store;
static struct attempt attempts[THREADS * APPENDS];
static struct logged events[EVENTS_MAX + 1];
static size_t event_count;

/* ---- writing ------------------------------------------------------------------------------------ */

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
    struct attempt *attempt;
};

static void
on_done(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    struct waiting *waiting = context;
    pthread_mutex_lock(&waiting->lock);
    waiting->attempt->err = err;
    if (err == CAIRN_OK)
        waiting->attempt->at = *at;
    else
        waiting->attempt->error = *error;
    waiting->over = true;
    pthread_cond_signal(&waiting->changed);
    pthread_mutex_unlock(&waiting->lock);
}

static void
hand_over(const cairn_append_request *request, struct attempt *attempt)
{
    if (!attempt->asynchronous) {
        attempt->err = cairn_append_all(store, request, &attempt->at, &attempt->error);
        return;
    }
    struct waiting waiting = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, attempt};
    cairn_err err = cairn_append_async(store, request, on_done, &waiting, &attempt->error);
    if (err != CAIRN_OK) {
        attempt->err = err;
        return;
    }
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.over)
        pthread_cond_wait(&waiting.changed, &waiting.lock);
    pthread_mutex_unlock(&waiting.lock);
}

static cairn_uuid
id_of(const struct attempt *attempt, unsigned sequence)
{
    cairn_uuid id = {{0}};
    store32(id.bytes, attempt->thread * APPENDS + attempt->number + 1);
    store32(id.bytes + 4, sequence);
    /* spread, as ids are */
    store64(id.bytes + 8, (uint64_t)load32(id.bytes) * UINT64_C(0x9E3779B97F4A7C15) + sequence);
    return id;
}

static void
submit(struct attempt *attempt)
{
    static const char *const stream_names[STREAMS] = {"s-0", "s-1", "s-2", "s-3"};
    static const char *const tag_names[TAGS] = {"t0", "t1", "t2"};
    cairn_str tags[TAGS], condition_tags[TAGS];
    size_t tag_count = 0, condition_tag_count = 0;
    for (unsigned i = 0; i < TAGS; i++) {
        if (attempt->tags & 1u << i)
            tags[tag_count++] = cairn_cstr(tag_names[i]);
        if (attempt->condition_tags & 1u << i)
            condition_tags[condition_tag_count++] = cairn_cstr(tag_names[i]);
    }
    cairn_event batch[WRITES_MAX][BATCH_MAX];
    cairn_write writes[WRITES_MAX];
    unsigned sequence = 0;
    for (unsigned i = 0; i < attempt->write_count; i++) {
        for (unsigned n = 0; n < attempt->writes[i].count; n++)
            batch[i][n] = (cairn_event){.id = id_of(attempt, sequence++), .type = CAIRN_STR("T"),
                                        .data = CAIRN_STR("{}"), .tags = tags, .tag_count = tag_count};
        writes[i] = (cairn_write){cairn_cstr(stream_names[attempt->writes[i].stream]),
                                  attempt->writes[i].expected, batch[i], attempt->writes[i].count};
    }
    const cairn_query_item item = {.tags = condition_tags, .tag_count = condition_tag_count};
    const cairn_condition condition = {{&item, 1}, attempt->after};
    const cairn_append_request request = {.writes = writes, .write_count = attempt->write_count,
                                          .conditions = &condition,
                                          .condition_count = attempt->has_condition};
    attempt->begin = cairn_end(store);
    hand_over(&request, attempt);
    attempt->end = cairn_end(store);
}

/* Revisions that the thread has last seen: near enough the truth that many appends succeed. */
static void
choose(struct attempt *attempt, int64_t known[STREAMS], uint64_t *seed)
{
    attempt->write_count = 1 + test_random(seed) % WRITES_MAX;
    for (unsigned i = 0; i < attempt->write_count; i++) {
        unsigned stream = test_random(seed) % STREAMS;
        attempt->writes[i].stream = stream;
        attempt->writes[i].count = 1 + test_random(seed) % BATCH_MAX;
        attempt->writes[i].expected = CAIRN_ANY;
        if (test_random(seed) % 3 && (i == 0 || attempt->writes[0].stream != stream))
            attempt->writes[i].expected = known[stream] < 0 ? CAIRN_NONE : known[stream];
    }
    attempt->tags = test_random(seed) % (1u << TAGS);
    attempt->has_condition = test_random(seed) % 2;
    attempt->condition_tags = 1u << test_random(seed) % TAGS;
    if (test_random(seed) % 3 == 0)
        attempt->condition_tags |= 1u << test_random(seed) % TAGS;
    attempt->asynchronous = test_random(seed) % 3 == 0;
    uint64_t end = cairn_end(store);
    attempt->after = (int64_t)end - 1 - (int64_t)(test_random(seed) % 2);
    if (attempt->after < -1)
        attempt->after = -1;
}

static void
learn(const struct attempt *attempt, int64_t known[STREAMS])
{
    if (attempt->err == CAIRN_E_CONFLICT) /* which stream it was the answer does not say: ask all */
        for (unsigned i = 0; i < STREAMS; i++) {
            char name[8];
            cairn_stream_info info;
            snprintf(name, sizeof name, "s-%u", i);
            if (cairn_stream_info_get(store, 0, cairn_cstr(name), &info, NULL) == CAIRN_OK)
                known[i] = info.last_revision;
        }
    if (attempt->err == CAIRN_OK)
        known[attempt->writes[attempt->write_count - 1].stream] = (int64_t)attempt->at.revision;
}

struct writer {
    unsigned number;
    uint64_t seed;
};

static void *
write_all(void *context)
{
    const struct writer *writer = context;
    uint64_t seed = writer->seed;
    int64_t known[STREAMS] = {-1, -1, -1, -1};
    for (unsigned i = 0; i < APPENDS; i++) {
        struct attempt *attempt = &attempts[writer->number * APPENDS + i];
        attempt->thread = writer->number;
        attempt->number = i;
        choose(attempt, known, &seed);
        submit(attempt);
        learn(attempt, known);
    }
    return NULL;
}

/* ---- judging ------------------------------------------------------------------------------------ */

static void
read_log(void)
{
    const cairn_read_options options = {.from = 0};
    cairn_reader *reader;
    cairn_recorded event;
    cairn_err err;
    CHECK_OK(cairn_read_all(store, &options, &reader, NULL));
    event_count = 0;
    while ((err = cairn_reader_next(reader, &event, NULL)) == CAIRN_OK) {
        CHECK_INT(event.position, event_count); /* nothing but our events is in this log */
        CHECK(event_count < EVENTS_MAX);
        struct logged *logged = &events[event_count++];
        *logged = (struct logged){.attempt = load32(event.event.id.bytes) - 1,
                                  .sequence = load32(event.event.id.bytes + 4),
                                  .stream = (unsigned)(event.stream.data[2] - '0'),
                                  .revision = event.revision};
        for (size_t i = 0; i < event.event.tag_count; i++)
            logged->tags |= 1u << (event.event.tags[i].data[1] - '0');
    }
    CHECK_INT(err, CAIRN_E_END);
    cairn_reader_free(reader);
}

/* The stream's last revision when the log ended at `end`. */
static int64_t
last_revision(unsigned stream, uint64_t end)
{
    while (end-- > 0)
        if (events[end].stream == stream)
            return (int64_t)events[end].revision;
    return -1;
}

static bool
matches(const struct attempt *attempt, uint64_t position)
{
    return (int64_t)position > attempt->after &&
           (events[position].tags & attempt->condition_tags) == attempt->condition_tags;
}

static void
judge_accepted(const struct attempt *attempt, unsigned index)
{
    uint64_t position = attempt->at.first_position;
    CHECK(position >= attempt->begin && attempt->at.last_position < attempt->end);
    CHECK(!attempt->at.repeated);
    if (attempt->has_condition)
        for (uint64_t i = 0; i < position; i++)
            CHECK(!matches(attempt, i));
    unsigned sequence = 0;
    for (unsigned i = 0; i < attempt->write_count; i++) {
        unsigned stream = attempt->writes[i].stream;
        int64_t last = last_revision(stream, position), expected = attempt->writes[i].expected;
        CHECK(expected == CAIRN_ANY || (expected == CAIRN_NONE && last < 0) || expected == last);
        for (unsigned n = 0; n < attempt->writes[i].count; n++, position++, sequence++) {
            CHECK(position < event_count);
            CHECK_INT(events[position].attempt, index);
            CHECK_INT(events[position].sequence, sequence);
            CHECK_INT(events[position].stream, stream);
            CHECK_INT(events[position].revision, ++last);
        }
        if (i + 1 == attempt->write_count)
            CHECK_INT(attempt->at.revision, last);
    }
    CHECK_INT(attempt->at.last_position, position - 1);
}

/* Some state between the ends made one of the expectations wrong, with the revision that was named. */
static bool
conflict_is_justified(const struct attempt *attempt)
{
    for (uint64_t end = attempt->begin; end <= attempt->end; end++)
        for (unsigned i = 0; i < attempt->write_count; i++) {
            int64_t last = last_revision(attempt->writes[i].stream, end);
            int64_t expected = attempt->writes[i].expected;
            bool broken = expected == CAIRN_NONE ? last >= 0 : expected >= 0 && expected != last;
            if (broken && attempt->error.revision == last)
                return true;
        }
    return false;
}

/* The named event matches, is the first that does, and was there in time. */
static bool
condition_is_justified(const struct attempt *attempt)
{
    uint64_t named = attempt->error.position;
    if (!attempt->has_condition || named >= attempt->end || !matches(attempt, named))
        return false;
    for (uint64_t i = 0; i < named; i++)
        if (matches(attempt, i))
            return false;
    return true;
}

static void
judge_all(void)
{
    size_t accepted_events = 0, accepted = 0, conflicts = 0, conditions = 0, busy = 0;
    for (unsigned i = 0; i < THREADS * APPENDS; i++) {
        const struct attempt *attempt = &attempts[i];
        if (attempt->err == CAIRN_OK) {
            judge_accepted(attempt, i);
            accepted++;
            accepted_events += attempt->at.last_position - attempt->at.first_position + 1;
        } else if (attempt->err == CAIRN_E_CONFLICT) {
            CHECK(conflict_is_justified(attempt));
            conflicts++;
        } else if (attempt->err == CAIRN_E_CONDITION) {
            CHECK(condition_is_justified(attempt));
            conditions++;
        } else if (attempt->err == CAIRN_E_BUSY && attempt->asynchronous) {
            busy++; /* a bounded queue was full: nothing written, which the count below shows */
        } else {
            fail_msg("append: %s: %s", cairn_err_name(attempt->err), attempt->error.detail);
        }
    }
    /* As many events as were accepted, each accepted one at its own place: none twice, none besides. */
    CHECK_INT(accepted_events, event_count);
    printf("%zu accepted, %zu conflicts, %zu conditions, %zu busy\n", accepted, conflicts, conditions,
           busy);
    CHECK(accepted > 100 && conflicts > 20 && conditions > 20);
}

static void
run(uint64_t seed, const cairn_options *options)
{
    char folder[64];
    test_folder(folder);
    CHECK_OK(cairn_open(folder, options, &store, NULL));
    memset(attempts, 0, sizeof attempts);
    pthread_t threads[THREADS];
    struct writer writers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){i, test_random(&seed)};
        CHECK(pthread_create(&threads[i], NULL, write_all, &writers[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    read_log();
    judge_all();
    cairn_close(store);
    CHECK_OK(cairn_open(folder, options, &store, NULL));
    read_log(); /* and again as it is on the disk */
    judge_all();
    cairn_close(store);
    test_remove(folder);
}

/* Goal: acknowledged and refused appends agree with one order of the log.
 * Method: eight threads; judge every answer by the log afterwards; with background threads and large
 * segments, then with neither. */
TEST(appends_are_linearizable)
{
    uint64_t seed = test_seed();
    for (unsigned round = 0; round < test_scale(); round++) {
        const cairn_options large = {.create = true};
        run(test_random(&seed), &large);
        const cairn_options small = {.create = true, .segment_size_bytes = 64 * 1024,
                                     .append_size_max = 32 * 1024, .index_memory_events = 100,
                                     .no_background = true};
        run(test_random(&seed), &small);
        const cairn_options small_threads = {.create = true, .segment_size_bytes = 64 * 1024,
                                             .append_size_max = 32 * 1024,
                                             .index_memory_events = 100};
        run(test_random(&seed), &small_threads);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(appends_are_linearizable)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

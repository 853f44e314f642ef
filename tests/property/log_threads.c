/* Many threads on one log: appends of every kind, reads of every kind, retention, scavenging, verifying, backups,
 * in a log whose segments and index tables are so small that they roll all the time.
 *
 * What must hold while it runs:
 *   writers     what was acknowledged can be read at once, by position and by revision, and says what was
 *               written; a conflict or a broken condition names what a reader then finds
 *   readers     positions ascend (descend), times never decrease, each stream's revisions are dense, filtered reads
 *               return what matches and nothing else, events appended together are seen together
 *   follower    sees each event of the writers exactly once, in order
 *   retention   takes effect at once, for the thread that set it
 *   admin       verify finds no fault, a backup is a sound log that ends where it says, proofs are made
 * and at the end that every acknowledged event is there once, also after reopening. */
#include <base/bytes.h>
#include <log/log.h>
#include <os/wait.h>
#include <pthread.h>
#include <stdatomic.h>
#include <test.h>
#include <time.h>

#define SECONDS 4 /* × TEST_SCALE */
#define STREAMS 8  /* "s-0" … : many writers, never limited */
#define TAGS 4
#define EVENTS_MAX 5
#define BLOCKING 3
#define DATA_MAX 24000 /* now and then: enough for a batch to be written ahead */
#define IN_FLIGHT 32 /* of the asynchronous writer */

static struct log *log_;
static char folder[64], backup[64];
static uint64_t base_seed;
static _Atomic bool stop, stop_following;
static _Atomic uint64_t written;      /* events of type "S", acknowledged */
static _Atomic uint64_t appended, conflicts, conditions, repeats, read_events, rounds, scavenged;

/* For any thread: cmocka's own checks belong to the main one. */
#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#define EXPECT_OK(call, error)                                                                     \
    do {                                                                                           \
        cairn_err code_ = (call);                                                                  \
        EXPECT(code_ == CAIRN_OK, "%s: %s", cairn_err_name(code_), (error)->detail);               \
    } while (0)

static unsigned
pick(uint64_t *seed, unsigned n)
{
    return (unsigned)(test_random(seed) % n);
}

/* ---- what an append holds ------------------------------------------------------------------------ */

static cairn_str
stream_name(unsigned stream)
{
    static const char names[STREAMS][4] = {"s-0", "s-1", "s-2", "s-3", "s-4", "s-5", "s-6", "s-7"};
    return (cairn_str){names[stream], 3};
}

static cairn_str
tag_name(unsigned tag)
{
    static const char names[TAGS][6] = {"tag:0", "tag:1", "tag:2", "tag:3"};
    return (cairn_str){names[tag], 5};
}

/* Who wrote it, and which part of what it is; the rest is filler. */
struct stamp {
    uint32_t writer, number, index, count;
};

struct append {
    cairn_append_request request;
    cairn_write writes[2];
    cairn_event events[EVENTS_MAX];
    struct stamp stamps[EVENTS_MAX];
    char data[EVENTS_MAX][DATA_MAX];
    cairn_str tags[2];
    size_t tag_count;
    cairn_query_item item;
    cairn_condition condition;
    cairn_str condition_tag;
    uint32_t writer, number;
};

static void
make_events(struct append *append, uint64_t *seed, uint32_t count, const char *type)
{
    append->tag_count = pick(seed, 3);
    unsigned tag = pick(seed, TAGS);
    for (unsigned i = 0; i < append->tag_count; i++)
        append->tags[i] = tag_name((tag + i) % TAGS);
    bool ids = pick(seed, 2) == 0;
    unsigned most = pick(seed, 16) == 0 ? DATA_MAX : 600;
    for (uint32_t i = 0; i < count; i++) {
        append->stamps[i] = (struct stamp){append->writer, append->number, i, count};
        memcpy(append->data[i], &append->stamps[i], sizeof append->stamps[i]);
        size_t size = sizeof(struct stamp) + pick(seed, most - sizeof(struct stamp));
        append->events[i] = (cairn_event){.type = cairn_cstr(type),
                                          .data = {append->data[i], size},
                                          .tags = append->tags,
                                          .tag_count = append->tag_count};
        if (ids)
            memcpy(append->events[i].id.bytes, &append->stamps[i], sizeof append->stamps[i]);
    }
}

/* What the writer knows of a stream is what it last saw: often enough somebody else was there since. */
static void
make_append(struct append *append, uint64_t *seed, uint32_t writer, uint32_t number)
{
    memset(append, 0, offsetof(struct append, data));
    append->condition = (cairn_condition){0};
    append->writer = writer;
    append->number = number;
    append->request = (cairn_append_request){.writes = append->writes, .write_count = 1};
    if (pick(seed, 4) == 0) { /* a pair, always together */
        make_events(append, seed, 2, "P");
        append->writes[0] = (cairn_write){CAIRN_STR("p-0"), CAIRN_ANY, append->events, 1};
        append->writes[1] = (cairn_write){CAIRN_STR("p-1"), CAIRN_ANY, append->events + 1, 1};
        append->request.write_count = 2;
        return;
    }
    make_events(append, seed, 1 + pick(seed, EVENTS_MAX), "S");
    cairn_str stream = stream_name(pick(seed, STREAMS));
    int64_t expected = CAIRN_ANY;
    cairn_stream_info info;
    cairn_error error;
    switch (pick(seed, 4)) {
    case 0:
        EXPECT_OK(cairn_log_stream_info(log_, 0, stream, &info, &error), &error);
        expected = info.last_revision < 0 ? CAIRN_NONE : info.last_revision;
        break;
    case 1:
        expected = pick(seed, 20) == 0 ? CAIRN_NONE : CAIRN_EXISTS;
        break;
    default:
        break;
    }
    append->writes[0] = (cairn_write){stream, expected, append->events, append->stamps[0].count};
    if (pick(seed, 3) == 0) {
        append->condition_tag = tag_name(pick(seed, TAGS));
        append->item = (cairn_query_item){.tags = &append->condition_tag, .tag_count = 1};
        append->condition.query = (cairn_query){&append->item, pick(seed, 30) != 0};
        append->condition.after = (int64_t)cairn_log_end(log_) - 1;
        append->request.conditions = &append->condition;
        append->request.condition_count = 1;
    }
}

static bool
has_tag(const cairn_event *event, cairn_str tag)
{
    for (size_t i = 0; i < event->tag_count; i++)
        if (cairn_str_equal(event->tags[i], tag))
            return true;
    return false;
}

/* ---- writers ------------------------------------------------------------------------------------- */

/* Read forward from `from` what the append wrote: all of it, next to each other. */
static void
check_events(const struct append *append, struct log_reader *reader, const cairn_at *at, bool by_stream)
{
    cairn_error error;
    uint32_t count = append->stamps[0].count;
    for (uint32_t i = 0; i < count; i++) {
        cairn_recorded event;
        EXPECT_OK(cairn_log_reader_next(reader, &event, &error), &error);
        EXPECT(by_stream || event.position == at->first_position + i, "position %llu",
               (unsigned long long)event.position);
        EXPECT(event.event.data.size == append->events[i].data.size
                   && memcmp(event.event.data.data, append->events[i].data.data, event.event.data.size) == 0,
               "event %llu is not the one that was acknowledged there", (unsigned long long)event.position);
    }
    cairn_log_reader_free(reader);
}

static void
check_acknowledged(const struct append *append, const cairn_at *at)
{
    cairn_error error;
    struct log_reader *reader;
    uint32_t count = append->stamps[0].count;
    EXPECT(at->last_position - at->first_position + 1 == count, "%u events", count);
    EXPECT(cairn_log_end(log_) > at->last_position, "the log ends at %llu",
           (unsigned long long)cairn_log_end(log_));
    cairn_read_options all = {.from = (int64_t)at->first_position};
    EXPECT_OK(cairn_log_read_all(log_, &all, &reader, &error), &error);
    check_events(append, reader, at, false);
    if (append->request.write_count == 1) {
        cairn_read_options one = {.from = (int64_t)(at->revision + 1 - count)};
        EXPECT_OK(cairn_log_read_stream(log_, append->writes[0].stream, &one, &reader, &error), &error);
        check_events(append, reader, at, true);
    }
    if (append->request.write_count == 1)
        atomic_fetch_add(&written, at->repeated ? 0 : count);
    atomic_fetch_add(&appended, 1);
}

static void
check_refused(const struct append *append, cairn_err err, const cairn_error *why)
{
    cairn_error error;
    if (err == CAIRN_E_CONFLICT) {
        cairn_stream_info info;
        EXPECT(append->writes[0].expected != CAIRN_ANY, "%s", why->detail);
        EXPECT_OK(cairn_log_stream_info(log_, 0, append->writes[0].stream, &info, &error), &error);
        EXPECT(info.last_revision >= why->revision, "a conflict with revision %lld, which nobody sees",
               (long long)why->revision);
        atomic_fetch_add(&conflicts, 1);
        return;
    }
    EXPECT(err == CAIRN_E_CONDITION, "%s: %s", cairn_err_name(err), why->detail);
    EXPECT((int64_t)why->position > append->condition.after && why->position < cairn_log_end(log_), "%s",
           why->detail);
    if (append->condition.query.item_count > 0) { /* else it may be one that retention hides by now */
        cairn_read_options options = {.from = (int64_t)why->position};
        struct log_reader *reader;
        cairn_recorded event;
        EXPECT_OK(cairn_log_read_all(log_, &options, &reader, &error), &error);
        EXPECT_OK(cairn_log_reader_next(reader, &event, &error), &error);
        EXPECT(event.position == why->position && has_tag(&event.event, append->condition_tag), "%s",
               why->detail);
        cairn_log_reader_free(reader);
    }
    atomic_fetch_add(&conditions, 1);
}

static void *
write_blocking(void *context)
{
    uint32_t writer = (uint32_t)(uintptr_t)context;
    uint64_t seed = base_seed + writer;
    struct append *append = malloc(sizeof *append);
    for (uint32_t number = 0; !atomic_load(&stop); number++) {
        cairn_at at, again;
        cairn_error error;
        make_append(append, &seed, writer, number);
        cairn_err err = cairn_log_append(log_, &append->request, &at, &error);
        if (err == CAIRN_OK)
            check_acknowledged(append, &at);
        else
            check_refused(append, err, &error);
        bool exact = append->writes[0].expected >= 0 && append->request.condition_count == 0;
        if (err == CAIRN_OK && exact && append->events[0].id.bytes[15] + append->events[0].id.bytes[12] != 0) {
            EXPECT_OK(cairn_log_append(log_, &append->request, &again, &error), &error);
            EXPECT(again.repeated && again.first_position == at.first_position
                       && again.revision == at.revision,
                   "repeated at %llu, not %llu", (unsigned long long)again.first_position,
                   (unsigned long long)at.first_position);
            atomic_fetch_add(&repeats, 1);
        }
    }
    free(append);
    return NULL;
}

/* An append that is under way; `over` is set by its completion. */
struct flight {
    struct append append;
    _Atomic uint32_t over;
    cairn_err err;
    cairn_at at;
    cairn_error why;
};

static void
landed(void *context, cairn_err err, const cairn_at *at, const cairn_error *why)
{
    struct flight *flight = context;
    flight->err = err;
    flight->at = *at;
    if (err != CAIRN_OK)
        flight->why = *why;
    atomic_store(&flight->over, 1);
    os_wake(&flight->over, INT32_MAX);
}

static void
finish(struct flight *flight)
{
    while (atomic_load(&flight->over) == 0)
        os_wait(&flight->over, 0, UINT64_MAX);
    if (flight->err == CAIRN_OK)
        check_acknowledged(&flight->append, &flight->at);
    else
        check_refused(&flight->append, flight->err, &flight->why);
}

static void *
write_asynchronously(void *context)
{
    uint32_t writer = (uint32_t)(uintptr_t)context;
    uint64_t seed = base_seed + writer;
    struct flight *flights = calloc(IN_FLIGHT, sizeof *flights);
    uint32_t begun = 0, finished = 0;
    while (!atomic_load(&stop) || finished < begun) {
        if (begun - finished == IN_FLIGHT || (atomic_load(&stop) && finished < begun)) {
            finish(&flights[finished++ % IN_FLIGHT]);
            continue;
        }
        struct flight *flight = &flights[begun % IN_FLIGHT];
        cairn_error error;
        make_append(&flight->append, &seed, writer, begun);
        atomic_store(&flight->over, 0);
        cairn_err err = cairn_log_append_async(log_, &flight->append.request, landed, flight, &error);
        EXPECT(err == CAIRN_OK || err == CAIRN_E_BUSY, "%s: %s", cairn_err_name(err), error.detail);
        if (err == CAIRN_OK)
            begun++;
        else if (finished < begun)
            finish(&flights[finished++ % IN_FLIGHT]);
    }
    free(flights);
    return NULL;
}

/* ---- readers --------------------------------------------------------------------------------------- */

/* The s-stream that an event is in; STREAMS: none. */
static unsigned
stream_of(const cairn_recorded *event)
{
    for (unsigned i = 0; i < STREAMS; i++)
        if (cairn_str_equal(event->stream, stream_name(i)))
            return i;
    return STREAMS;
}

/* The second of a pair must come right behind the first, in a read of everything. */
static void
check_pair(const cairn_recorded *event, struct stamp *first)
{
    struct stamp stamp;
    if (!cairn_str_equal(event->event.type, CAIRN_STR("P")))
        return;
    memcpy(&stamp, event->event.data.data, sizeof stamp);
    bool second = cairn_str_equal(event->stream, CAIRN_STR("p-1"));
    EXPECT(!second || first->count == 0
               || (first->writer == stamp.writer && first->number == stamp.number),
           "event %llu is not next to its other half", (unsigned long long)event->position);
    *first = second ? (struct stamp){0} : stamp;
}

/* Everything, or what bears a tag, in either direction, from some place or the beginning. */
static void
read_all(uint64_t *seed)
{
    bool backward = pick(seed, 2) == 0, filtered = pick(seed, 3) == 0, whole = pick(seed, 3) == 0;
    uint64_t end = cairn_log_end(log_);
    cairn_str tag = tag_name(pick(seed, TAGS));
    cairn_query_item item = {.tags = &tag, .tag_count = 1};
    cairn_read_options options = {.direction = backward ? CAIRN_BACKWARD : CAIRN_FORWARD};
    if (filtered)
        options.query = (cairn_query){&item, 1};
    options.from = backward ? CAIRN_FROM_END : whole || end == 0 ? 0 : (int64_t)(test_random(seed) % end);
    if (pick(seed, 4) == 0 && end > 0)
        options.end = 1 + test_random(seed) % end; /* as of */

    struct log_reader *reader;
    cairn_recorded event;
    cairn_error error;
    cairn_err err;
    int64_t revisions[STREAMS], position = -1, time = backward ? INT64_MAX : 0;
    struct stamp first = {0};
    for (unsigned i = 0; i < STREAMS; i++)
        revisions[i] = whole && !backward && !filtered ? 0 : -1;
    EXPECT_OK(cairn_log_read_all(log_, &options, &reader, &error), &error);
    unsigned limit = whole ? UINT32_MAX : 2000, count = 0;
    while (count++ < limit && (err = cairn_log_reader_next(reader, &event, &error)) == CAIRN_OK) {
        bool onward = position < 0 || ((int64_t)event.position > position) != backward;
        EXPECT(onward, "event %llu after %lld", (unsigned long long)event.position, (long long)position);
        EXPECT(backward ? event.time_us <= time : event.time_us >= time, "event %llu: time turns",
               (unsigned long long)event.position);
        EXPECT(options.end == 0 || event.position < options.end, "event %llu is beyond the end",
               (unsigned long long)event.position);
        EXPECT(!filtered || has_tag(&event.event, tag), "event %llu does not match",
               (unsigned long long)event.position);
        position = (int64_t)event.position;
        time = event.time_us;
        unsigned stream = stream_of(&event);
        if (stream < STREAMS && !filtered) {
            EXPECT(revisions[stream] < 0 || (int64_t)event.revision == revisions[stream],
                   "event %llu has revision %llu; %lld comes next", (unsigned long long)event.position,
                   (unsigned long long)event.revision, (long long)revisions[stream]);
            revisions[stream] = backward && event.revision == 0 ? -1
                                                                : (int64_t)event.revision + (backward ? -1 : 1);
        }
        if (!backward && !filtered)
            check_pair(&event, &first);
        atomic_fetch_add(&read_events, 1);
    }
    EXPECT(count > limit || err == CAIRN_E_END, "%s: %s", cairn_err_name(err), error.detail);
    cairn_log_reader_free(reader);
}

/* A stream from some revision on, in either direction: dense, and to the end that was known before. */
static void
read_stream(uint64_t *seed)
{
    unsigned stream = pick(seed, STREAMS);
    bool backward = pick(seed, 2) == 0;
    cairn_stream_info info;
    cairn_error error;
    EXPECT_OK(cairn_log_stream_info(log_, 0, stream_name(stream), &info, &error), &error);
    if (info.last_revision < 0)
        return;
    int64_t from = (int64_t)(test_random(seed) % (uint64_t)(info.last_revision + 1)), next = from;
    cairn_read_options options = {.from = from, .direction = backward ? CAIRN_BACKWARD : CAIRN_FORWARD};
    struct log_reader *reader;
    cairn_recorded event;
    cairn_err err;
    EXPECT_OK(cairn_log_read_stream(log_, stream_name(stream), &options, &reader, &error), &error);
    while ((err = cairn_log_reader_next(reader, &event, &error)) == CAIRN_OK) {
        EXPECT(stream_of(&event) == stream && (int64_t)event.revision == next, "revision %llu, not %lld",
               (unsigned long long)event.revision, (long long)next);
        next += backward ? -1 : 1;
        atomic_fetch_add(&read_events, 1);
    }
    EXPECT(err == CAIRN_E_END, "%s: %s", cairn_err_name(err), error.detail);
    EXPECT(backward ? next == -1 : next > info.last_revision, "the stream ends before %lld", (long long)next);
    cairn_log_reader_free(reader);
}

/* Both halves of a pair are there or neither is: p-1, looked at later, has at least what p-0 had. */
static void
compare_pairs(void)
{
    cairn_stream_info first, second;
    cairn_error error;
    EXPECT_OK(cairn_log_stream_info(log_, 0, CAIRN_STR("p-0"), &first, &error), &error);
    EXPECT_OK(cairn_log_stream_info(log_, 0, CAIRN_STR("p-1"), &second, &error), &error);
    EXPECT(second.last_revision >= first.last_revision, "%lld pairs, of which %lld are whole",
           (long long)first.last_revision + 1, (long long)second.last_revision + 1);
}

/* The first event after a moment, and the last one before it. */
static void
seek_time(uint64_t *seed)
{
    uint64_t end = cairn_log_end(log_), position;
    if (end == 0)
        return;
    cairn_read_options options = {.from = (int64_t)(test_random(seed) % end), .system = true};
    struct log_reader *reader;
    cairn_recorded event;
    cairn_error error;
    EXPECT_OK(cairn_log_read_all(log_, &options, &reader, &error), &error);
    if (cairn_log_reader_next(reader, &event, &error) == CAIRN_OK) {
        EXPECT_OK(cairn_log_position_at(log_, event.time_us, &position, &error), &error);
        EXPECT(position > event.position, "%llu is not after event %llu", (unsigned long long)position,
               (unsigned long long)event.position);
        EXPECT_OK(cairn_log_position_at(log_, event.time_us - 1, &position, &error), &error);
        EXPECT(position <= event.position, "%llu is after event %llu", (unsigned long long)position,
               (unsigned long long)event.position);
    }
    cairn_log_reader_free(reader);
}

static void *
read_things(void *context)
{
    uint64_t seed = base_seed + (uintptr_t)context;
    while (!atomic_load(&stop)) {
        read_all(&seed);
        read_stream(&seed);
        compare_pairs();
        seek_time(&seed);
    }
    return NULL;
}

/* Each event of type "S", from the first on, as they come. */
static void *
follow(void *context)
{
    uint64_t *ret_count = context;
    cairn_str type = CAIRN_STR("S");
    cairn_query_item item = {.types = &type, .type_count = 1};
    cairn_read_options options = {.query = {&item, 1}, .follow = true};
    struct log_reader *reader;
    cairn_error error;
    int64_t next[STREAMS] = {0};
    EXPECT_OK(cairn_log_read_all(log_, &options, &reader, &error), &error);
    for (;;) {
        bool last = atomic_load(&stop_following);
        uint64_t end = cairn_log_end(log_);
        cairn_recorded event;
        cairn_err err;
        while ((err = cairn_log_reader_next(reader, &event, &error)) == CAIRN_OK) {
            unsigned stream = stream_of(&event);
            EXPECT(stream < STREAMS && (int64_t)event.revision == next[stream],
                   "event %llu has revision %llu; %lld comes next", (unsigned long long)event.position,
                   (unsigned long long)event.revision, (long long)next[stream]);
            next[stream]++;
            ++*ret_count;
        }
        EXPECT(err == CAIRN_E_END, "%s: %s", cairn_err_name(err), error.detail);
        if (last)
            break;
        err = cairn_log_wait(log_, end, 100);
        EXPECT(err == CAIRN_OK || err == CAIRN_E_TIMEOUT, "%s", cairn_err_name(err));
    }
    cairn_log_reader_free(reader);
    return NULL;
}

/* ---- retention --------------------------------------------------------------------------------------- */

static unsigned
count_readable(cairn_str stream, uint64_t *ret_first)
{
    cairn_read_options options = {0};
    struct log_reader *reader;
    cairn_recorded event;
    cairn_error error;
    cairn_err err;
    unsigned count = 0;
    EXPECT_OK(cairn_log_read_stream(log_, stream, &options, &reader, &error), &error);
    while ((err = cairn_log_reader_next(reader, &event, &error)) == CAIRN_OK) {
        if (count == 0)
            *ret_first = event.revision;
        EXPECT(event.revision == *ret_first + count, "revision %llu", (unsigned long long)event.revision);
        count++;
    }
    EXPECT(err == CAIRN_E_END, "%s: %s", cairn_err_name(err), error.detail);
    cairn_log_reader_free(reader);
    return count;
}

/* A stream of its own: grown, limited, cut off, deleted, grown again, and closed in the end. */
static void
live_and_die(uint64_t *seed, unsigned number)
{
    char name[32], filler[400] = {0};
    snprintf(name, sizeof name, "r-%u", number);
    cairn_str stream = cairn_cstr(name);
    cairn_error error;
    uint64_t first = 0, last = 0, cut = 0, limit = 0;
    cairn_event event = {.type = CAIRN_STR("R"), .data = {filler, sizeof filler}};
    for (unsigned step = 0; step < 12; step++) {
        unsigned grow = 1 + pick(seed, 5);
        for (unsigned i = 0; i < grow; i++) {
            cairn_write write = {stream, CAIRN_ANY, &event, 1};
            cairn_append_request request = {.writes = &write, .write_count = 1};
            cairn_at at;
            EXPECT_OK(cairn_log_append(log_, &request, &at, &error), &error);
            last = at.revision;
        }
        cairn_retention limits = {.max_count = limit, .truncate_before = cut};
        switch (pick(seed, 3)) {
        case 0:
            /* Never more than before: what a larger number would show again may have been scavenged. */
            limits.max_count = limit = 1 + pick(seed, limit > 0 ? (unsigned)limit : 10);
            EXPECT_OK(cairn_log_retention_set(log_, 0, stream, &limits, &error), &error);
            break;
        case 1:
            limits.truncate_before = cut = cut + (last + 1 - cut) / 2;
            EXPECT_OK(cairn_log_retention_set(log_, 0, stream, &limits, &error), &error);
            break;
        default:
            EXPECT_OK(cairn_log_delete(log_, 0, stream, (int64_t)last, false, &error), &error);
            cut = last + 1;
        }
        uint64_t kept = last + 1 - cut;
        if (limit > 0 && kept > limit)
            kept = limit;
        unsigned count = count_readable(stream, &first);
        EXPECT(count == kept && (count == 0 || first == last + 1 - kept),
               "%u events from %llu on can be read; the newest %llu of %llu should be", count,
               (unsigned long long)first, (unsigned long long)kept, (unsigned long long)last + 1);
    }
    cairn_err err = cairn_log_delete(log_, 0, stream, CAIRN_ANY, true, &error);
    EXPECT(err == CAIRN_OK, "%s: %s", cairn_err_name(err), error.detail);
    cairn_write write = {stream, CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_at at;
    EXPECT(cairn_log_append(log_, &request, &at, &error) == CAIRN_E_GONE, "a closed stream grows");
    EXPECT(count_readable(stream, &first) == 0, "a closed stream can be read");
}

static void *
limit_streams(void *context)
{
    uint64_t seed = base_seed + (uintptr_t)context;
    for (unsigned number = 0; !atomic_load(&stop); number++)
        live_and_die(&seed, number);
    return NULL;
}

/* ---- administration ------------------------------------------------------------------------------------ */

static bool
print_fault(void *context, const char *file, uint64_t offset, const char *what)
{
    (void)context;
    fprintf(stderr, "%s at byte %llu: %s\n", file, (unsigned long long)offset, what);
    return true;
}

static struct log_options
options_for(bool read_only)
{
    struct log_options options;
    cairn_log_defaults(&options);
    options.create = !read_only;
    options.read_only = read_only;
    options.segment_size_bytes = 512u << 10;
    options.append_size_max = options.event_size_max = 128u << 10;
    options.index_memory_events = 300;
    options.head_cache_entries = 64;
    options.scavenge_interval_us = 10000;
    return options;
}

static void
check_backup(void)
{
    struct log *copy;
    uint64_t end = 0;
    cairn_error error;
    cairn_verify_report report;
    struct log_options options = options_for(false);
    options.no_background = true;
    EXPECT_OK(cairn_log_backup(log_, backup, NULL, NULL, &end, &error), &error);
    EXPECT_OK(cairn_log_open(os_real(), backup, &options, &copy, &error), &error);
    EXPECT(cairn_log_end(copy) == end, "the copy ends at %llu, not %llu",
           (unsigned long long)cairn_log_end(copy), (unsigned long long)end);
    EXPECT_OK(cairn_log_verify(copy, print_fault, NULL, NULL, &report, &error), &error);
    cairn_log_close(copy);
}

static void *
administer(void *context)
{
    uint64_t seed = base_seed + (uintptr_t)context;
    cairn_error error;
    for (unsigned round = 0; !atomic_load(&stop); round++) {
        cairn_verify_report report;
        cairn_scavenge_report swept;
        cairn_stats stats;
        char *proof;
        uint64_t end = cairn_log_end(log_);
        EXPECT_OK(cairn_log_verify(log_, print_fault, NULL, NULL, &report, &error), &error);
        EXPECT(report.events >= end, "%llu events", (unsigned long long)report.events);
        EXPECT_OK(cairn_log_scavenge(log_, NULL, NULL, &swept, &error), &error);
        atomic_fetch_add(&scavenged, swept.events_removed);
        EXPECT_OK(cairn_log_maintain(log_, &error), &error);
        cairn_log_stats(log_, &stats);
        EXPECT(stats.events >= end && !stats.failed && !stats.disk_full, "%s", stats.failure.detail);
        if (end > 0) {
            EXPECT_OK(cairn_log_prove(log_, test_random(&seed) % end, &proof, &error), &error);
            free(proof);
        }
        if (round % 4 == 0)
            check_backup();
        if (round == 6)
            EXPECT_OK(cairn_log_reindex(log_, NULL, NULL, &error), &error);
        atomic_fetch_add(&rounds, 1);
    }
    return NULL;
}

static void
count_commits(void *context, uint64_t end)
{
    _Atomic uint64_t *seen = context;
    EXPECT(end >= atomic_load(seen), "told of %llu after %llu", (unsigned long long)end,
           (unsigned long long)atomic_load(seen));
    atomic_store(seen, end);
}

/* ---- all of it ------------------------------------------------------------------------------------------- */

static uint64_t
count_all(struct log *log)
{
    cairn_str type = CAIRN_STR("S");
    cairn_query_item item = {.types = &type, .type_count = 1};
    cairn_read_options options = {.query = {&item, 1}};
    struct log_reader *reader;
    cairn_recorded event;
    cairn_error error;
    cairn_err err;
    uint64_t count = 0;
    EXPECT_OK(cairn_log_read_all(log, &options, &reader, &error), &error);
    while ((err = cairn_log_reader_next(reader, &event, &error)) == CAIRN_OK)
        count++;
    EXPECT(err == CAIRN_E_END, "%s: %s", cairn_err_name(err), error.detail);
    cairn_log_reader_free(reader);
    return count;
}

TEST(threads)
{
    base_seed = test_seed();
    test_folder(folder);
    test_folder(backup);
    cairn_error error;
    struct log_options options = options_for(false);
    EXPECT_OK(cairn_log_open(os_real(), folder, &options, &log_, &error), &error);
    _Atomic uint64_t seen = 0;
    cairn_log_on_commit(log_, count_commits, &seen);

    pthread_t threads[16], follower;
    unsigned count = 0;
    uint64_t followed = 0;
    CHECK_INT(pthread_create(&follower, NULL, follow, &followed), 0);
    for (; count < BLOCKING; count++)
        CHECK_INT(pthread_create(&threads[count], NULL, write_blocking, (void *)(uintptr_t)(count + 1)), 0);
    void *(*const others[])(void *) = {write_asynchronously, read_things, read_things, limit_streams, administer};
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++, count++)
        CHECK_INT(pthread_create(&threads[count], NULL, others[i], (void *)(uintptr_t)(count + 1)), 0);
    struct timespec run = {.tv_sec = SECONDS * test_scale()}; /* how long, not until when */
    nanosleep(&run, NULL);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&stop_following, true);
    pthread_join(follower, NULL);
    cairn_log_on_commit(log_, NULL, NULL);

    cairn_stats stats;
    cairn_log_stats(log_, &stats);
    printf("%llu appends, %llu conflicts, %llu conditions broken, %llu repeats; %llu events read; %llu rounds of "
           "administration, %llu events scavenged; %llu segments, %llu runs\n",
           (unsigned long long)appended, (unsigned long long)conflicts, (unsigned long long)conditions,
           (unsigned long long)repeats, (unsigned long long)read_events, (unsigned long long)rounds,
           (unsigned long long)scavenged, (unsigned long long)stats.segments,
           (unsigned long long)stats.index_runs);
    CHECK(atomic_load(&seen) == cairn_log_end(log_));
    CHECK(appended > 0 && conflicts > 0 && conditions > 0 && repeats > 0 && read_events > 0);
    CHECK_INT(followed, written);
    CHECK_INT(count_all(log_), written);
    cairn_log_close(log_);
    EXPECT_OK(cairn_log_open(os_real(), folder, &options, &log_, &error), &error);
    CHECK_INT(count_all(log_), written);
    cairn_verify_report report;
    EXPECT_OK(cairn_log_verify(log_, print_fault, NULL, NULL, &report, &error), &error);
    cairn_log_close(log_);
    test_remove(backup);
    test_remove(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

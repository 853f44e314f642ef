/* tests/crash/world.h: what a log should hold, and a comparison with what it does hold.
 *
 * A world is a list of facts, one for each position: those below `acked` have been acknowledged, those
 * up to `count` were being written when something happened and may be there, whole appends in order,
 * or not. Everything else (revisions, retention, what each read returns) is worked out from the list, in
 * the dullest way there is, and compared with what the log answers.
 *
 * It looks inside the log in two places only: log_read_record(), to see also what retention hides,
 * and play.h's group of appends in one batch. */
#ifndef TESTS_CRASH_WORLD_H
#define TESTS_CRASH_WORLD_H

#include <log/log_int.h>
#include <test.h>

#define STREAMS 12
#define TYPES 4
#define TAGS 6
#define FACTS_MAX 8192
#define NOTES_MAX 4096
#define WRITES_MAX 4
#define DATA_MAX 9000

static const struct stream_name {
    cairn_scope scope;
    const char *name, *category;
} stream_names[STREAMS] = {
    {0, "order-1", "order"},   {0, "order-2", "order"},     {0, "order-3", "order"},
    {0, "order-4", "order"},   {0, "customer-1", "customer"}, {0, "customer-2", "customer"},
    {0, "customer-3", "customer"}, {0, "stock", "stock"},   {0, "stock-b-1", "stock"},
    {7, "order-1", "order"},   {7, "customer-9", "customer"}, {7, "late", "late"},
};
static const cairn_scope scopes[] = {0, 7};
static const char *const categories[] = {"order", "customer", "stock", "late"};
#define CATEGORIES (sizeof categories / sizeof *categories)
static const char *const type_names[TYPES] = {"Made", "Moved", "Paid", "Sent"};
static const char *const tag_names[TAGS] = {"customer:1", "customer:2", "item:7",
                                            "item:8",     "region:north", "région:süd"};

struct limits {
    cairn_retention retention;
    bool tombstone;
};

/* One event. */
struct fact {
    uint8_t stream, type, tags; /* indexes; a bit for each tag */
    bool is_retention;          /* of "$retention-<stream>": `limits` is what it says */
    bool may_go;                /* scavenging may have removed it */
    bool removed;               /* and has */
    uint16_t size;
    uint32_t append;            /* which note it belongs to */
    uint64_t revision;
    int64_t time_us;            /* as first read; 0: not read yet */
    cairn_uuid id;
    struct limits limits;
};

/* One append, as it would be tried again. */
struct note {
    uint32_t first, count; /* facts */
    uint32_t write_count;
    struct {
        uint8_t stream;
        uint8_t count;
        int64_t expected;
    } writes[WRITES_MAX];
    int condition_tag; /* -1: none */
    int64_t after;
};

struct world {
    struct fact *facts;
    size_t count, acked;
    struct note *notes;
    size_t note_count;
};

/* What was going on, for whoever reads a failure; and whether this is a forked child, which must not go back into
 * the list of tests. */
static char world_context[256];
static bool world_in_child;

__attribute__((format(printf, 4, 5), noreturn)) static inline void
world_fail(const char *file, int line, const char *condition, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: expected %s\n  where: %s\n  ", file, line, condition, world_context);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    if (world_in_child)
        _exit(1);
    fail();
    abort();
}
#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            world_fail(__FILE__, __LINE__, #condition, __VA_ARGS__);                               \
    } while (0)
#define EXPECT_OK(call, error)                                                                     \
    do {                                                                                           \
        cairn_err code_ = (call);                                                                  \
        EXPECT(code_ == CAIRN_OK, "%s: %s (%s)", #call, cairn_err_name(code_), (error)->detail);   \
    } while (0)

static inline void
world_new(struct world *world)
{
    *world = (struct world){.facts = calloc(FACTS_MAX, sizeof *world->facts),
                            .notes = calloc(NOTES_MAX, sizeof *world->notes)};
    CHECK(world->facts != NULL && world->notes != NULL);
}

static inline void
world_free(struct world *world)
{
    free(world->facts);
    free(world->notes);
}

/* A second world that goes its own way. */
static inline void
world_copy(struct world *to, const struct world *from)
{
    world_new(to);
    memcpy(to->facts, from->facts, from->count * sizeof *from->facts);
    memcpy(to->notes, from->notes, from->note_count * sizeof *from->notes);
    to->count = from->count;
    to->acked = from->acked;
    to->note_count = from->note_count;
}

/* After an append that is known not to have been written. */
static inline void
world_forget_pending(struct world *world)
{
    world->count = world->acked;
    while (world->note_count > 0 && world->notes[world->note_count - 1].first >= world->acked)
        world->note_count--;
}

/* ---- what events look like ------------------------------------------------------------------- */

/* Room for what a cairn_event borrows. */
struct event_memory {
    char data[DATA_MAX];
    char meta[64], correlation[16];
    cairn_str tags[TAGS];
};

/* The id decides the data, so a byte of another event's would show. */
static inline void
fact_data(const struct fact *fact, char data[DATA_MAX])
{
    uint64_t seed, word;
    memcpy(&seed, fact->id.bytes, 8);
    for (size_t at = 0; at < fact->size; at += 8) {
        word = test_random(&seed);
        if (word % 16 == 0)
            word = FRAME_MAGIC; /* looks like the beginning of a frame */
        memcpy(data + at, &word, fact->size - at < 8 ? fact->size - at : 8);
    }
}

static inline cairn_event
fact_event(const struct fact *fact, struct event_memory *memory)
{
    size_t n = 0;
    fact_data(fact, memory->data);
    snprintf(memory->meta, sizeof memory->meta, "{\"n\":%u}", fact->size);
    snprintf(memory->correlation, sizeof memory->correlation, "c%u", fact->id.bytes[0] % 5);
    for (size_t i = 0; i < TAGS; i++)
        if (fact->tags >> i & 1)
            memory->tags[n++] = cairn_cstr(tag_names[i]);
    return (cairn_event){
        .id = fact->id,
        .type = cairn_cstr(type_names[fact->type]),
        .schema_id = fact->type,
        .data = {memory->data, fact->size},
        .meta = cairn_cstr(memory->meta),
        .correlation = cairn_cstr(memory->correlation),
        .tags = memory->tags,
        .tag_count = n,
    };
}

static inline const char *
fact_stream(const struct fact *fact, char to[64])
{
    snprintf(to, 64, "%s%s", fact->is_retention ? "$retention-" : "", stream_names[fact->stream].name);
    return to;
}

static inline cairn_scope
fact_scope(const struct fact *fact)
{
    return stream_names[fact->stream].scope;
}

/* ---- what may be read ------------------------------------------------------------------------ */

/* The streams as they stand after the first `count` facts. */
struct standing {
    struct limits limits[STREAMS];
    int64_t last[STREAMS], last_retention[STREAMS]; /* revisions; -1: none */
    uint64_t last_position[STREAMS];
    int64_t now_us;
};

static inline void
world_standing(const struct world *world, size_t count, int64_t now_us, struct standing *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->now_us = now_us;
    for (size_t i = 0; i < STREAMS; i++)
        ret->last[i] = ret->last_retention[i] = -1;
    for (size_t i = 0; i < count; i++) {
        const struct fact *fact = &world->facts[i];
        if (fact->is_retention) {
            /* What has been cut off stays so. */
            uint64_t cut = ret->limits[fact->stream].retention.truncate_before;
            ret->limits[fact->stream] = fact->limits;
            if (fact->limits.retention.truncate_before < cut)
                ret->limits[fact->stream].retention.truncate_before = cut;
            ret->last_retention[fact->stream]++;
        } else {
            ret->last[fact->stream]++;
            ret->last_position[fact->stream] = i;
        }
    }
}

/* Do the limits leave it? Whether it has been removed for good is another question. */
static inline bool
fact_kept(const struct standing *standing, const struct fact *fact)
{
    if (fact->is_retention)
        return (int64_t)fact->revision == standing->last_retention[fact->stream];
    const struct limits *limits = &standing->limits[fact->stream];
    const cairn_retention *keep = &limits->retention;
    uint64_t revisions = (uint64_t)(standing->last[fact->stream] + 1);
    return !limits->tombstone && fact->revision >= keep->truncate_before
           && (keep->max_count == 0 || fact->revision + keep->max_count >= revisions)
           && (keep->max_age_us == 0
               || fact->time_us >= standing->now_us - (int64_t)keep->max_age_us);
}

static inline bool
fact_visible(const struct standing *standing, const struct fact *fact)
{
    return !fact->removed && fact_kept(standing, fact);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static inline void
check_event(const struct fact *fact, const cairn_event *event, size_t position)
{
    struct event_memory memory;
    cairn_event should = fact_event(fact, &memory);
    EXPECT(memcmp(&event->id, &should.id, 16) == 0, "position %zu: another id", position);
    EXPECT(cairn_str_equal(event->type, should.type), "position %zu: another type", position);
    EXPECT(cairn_str_equal(event->data, should.data), "position %zu: other data", position);
    EXPECT(cairn_str_equal(event->meta, should.meta), "position %zu: other meta", position);
    EXPECT(cairn_str_equal(event->correlation, should.correlation),
           "position %zu: another correlation", position);
    EXPECT(event->schema_id == should.schema_id, "position %zu: another schema", position);
    EXPECT(event->tag_count == should.tag_count, "position %zu: other tags", position);
}

static inline void
check_tags(const struct fact *fact, cairn_str packed, size_t position)
{
    cairn_str tag;
    for (size_t i = 0; i < TAGS; i++)
        if (fact->tags >> i & 1)
            EXPECT(record_next_tag(&packed, &tag) && cairn_str_equal(tag, cairn_cstr(tag_names[i])),
                   "position %zu: tag %zu is not there", position, i);
    EXPECT(!record_next_tag(&packed, &tag), "position %zu: too many tags", position);
}

/* Every position, hidden ones too: the record is the fact. */
static inline void
check_records(struct world *world, struct log *log)
{
    struct block *block = block_new();
    cairn_error error = {0};
    int64_t time_us = 0;
    CHECK(block != NULL);
    for (size_t i = 0; i < world->acked; i++) {
        struct fact *fact = &world->facts[i];
        struct record record;
        char stream[64];
        EXPECT_OK(log_read_record(log, block, i, BLOCK_SCAN, &record, &error), &error);
        EXPECT(record.position == i && record.revision == fact->revision
                   && record.scope == fact_scope(fact),
               "position %zu: record says position %llu revision %llu (not %llu) scope %u", i,
               (unsigned long long)record.position, (unsigned long long)record.revision,
               (unsigned long long)fact->revision, record.scope);
        EXPECT(record.time_us >= time_us, "position %zu: time goes backward", i);
        EXPECT(fact->time_us == 0 || fact->time_us == record.time_us, "position %zu: another time", i);
        fact->time_us = time_us = record.time_us;
        EXPECT(cairn_str_equal(record.stream, cairn_cstr(fact_stream(fact, stream))),
               "position %zu: the stream is not %s", i, stream);
        if (record.kind == RECORD_REMOVED) {
            EXPECT(fact->may_go, "position %zu was removed, though nothing hid it", i);
            fact->removed = true;
            continue;
        }
        EXPECT(!fact->removed, "position %zu was removed and is back", i);
        if (fact->is_retention)
            continue;
        check_event(fact, &record.event, i);
        check_tags(fact, record.tags_packed, i);
    }
    block_free(block);
}

/* What a read of all asks for. */
struct question {
    cairn_scope scope;
    const char *category;
    int type, tag; /* -1: any */
    bool system, backward;
};

static inline bool
answers(const struct standing *standing, const struct fact *fact, const struct question *question)
{
    const char *category = fact->is_retention ? "$retention" : stream_names[fact->stream].category;
    return fact_scope(fact) == question->scope && (question->system || !fact->is_retention)
           && (question->category == NULL || strcmp(category, question->category) == 0)
           && (question->type < 0 || (!fact->is_retention && fact->type == question->type))
           && (question->tag < 0 || (!fact->is_retention && (fact->tags >> question->tag & 1)))
           && fact_visible(standing, fact);
}

/* The reader returns the next event of the list, which is this one. */
static inline void
check_next(struct log_reader *reader, const struct world *world, size_t position, const char *what)
{
    cairn_error error = {0};
    cairn_recorded event;
    cairn_err err = cairn_log_reader_next(reader, &event, &error);
    EXPECT(err == CAIRN_OK, "%s: position %zu should come: %s (%s)", what, position,
           cairn_err_name(err), error.detail);
    EXPECT(event.position == position, "%s: position %llu came instead of %zu", what,
           (unsigned long long)event.position, position);
    const struct fact *fact = &world->facts[position];
    EXPECT(event.revision == fact->revision && event.time_us == fact->time_us,
           "%s: position %zu has another revision or time", what, position);
    if (!fact->is_retention)
        EXPECT(memcmp(&event.event.id, &fact->id, 16) == 0 && event.event.data.size == fact->size,
               "%s: position %zu is another event", what, position);
}

static inline void
check_over(struct log_reader *reader, const char *what)
{
    cairn_error error = {0};
    cairn_recorded event;
    cairn_err err = cairn_log_reader_next(reader, &event, &error);
    EXPECT(err == CAIRN_E_END, "%s: should be over: %s (%s) position %llu", what, cairn_err_name(err),
           error.detail, err == CAIRN_OK ? (unsigned long long)event.position : 0);
    cairn_log_reader_free(reader);
}

static inline void
check_question(const struct world *world, const struct standing *standing, struct log *log,
               const struct question *question)
{
    cairn_error error = {0};
    cairn_str type, tag;
    cairn_query_item item = {0};
    cairn_read_options options = {
        .scope = question->scope,
        .system = question->system,
        .direction = question->backward ? CAIRN_BACKWARD : CAIRN_FORWARD,
        .from = question->backward ? CAIRN_FROM_END : CAIRN_FROM_START,
        .category = cairn_cstr(question->category),
    };
    if (question->type >= 0) {
        type = cairn_cstr(type_names[question->type]);
        item.types = &type;
        item.type_count = 1;
    }
    if (question->tag >= 0) {
        tag = cairn_cstr(tag_names[question->tag]);
        item.tags = &tag;
        item.tag_count = 1;
    }
    if (question->type >= 0 || question->tag >= 0)
        options.query = (cairn_query){&item, 1};
    char what[128];
    snprintf(what, sizeof what, "all of scope %u, category %s, type %d, tag %d%s%s", question->scope,
             question->category ? question->category : "any", question->type, question->tag,
             question->system ? ", system" : "", question->backward ? ", backward" : "");
    struct log_reader *reader;
    EXPECT_OK(cairn_log_read_all(log, &options, &reader, &error), &error);
    for (size_t i = 0; i < world->acked; i++) {
        size_t position = question->backward ? world->acked - 1 - i : i;
        if (answers(standing, &world->facts[position], question))
            check_next(reader, world, position, what);
    }
    check_over(reader, what);
}

static inline void
check_stream(const struct world *world, const struct standing *standing, struct log *log,
             unsigned stream, bool backward)
{
    cairn_error error = {0};
    cairn_read_options options = {
        .scope = stream_names[stream].scope,
        .direction = backward ? CAIRN_BACKWARD : CAIRN_FORWARD,
        .from = backward ? CAIRN_FROM_END : CAIRN_FROM_START,
    };
    struct log_reader *reader;
    const char *what = stream_names[stream].name;
    EXPECT_OK(cairn_log_read_stream(log, cairn_cstr(what), &options, &reader, &error), &error);
    for (size_t i = 0; i < world->acked; i++) {
        size_t position = backward ? world->acked - 1 - i : i;
        const struct fact *fact = &world->facts[position];
        if (!fact->is_retention && fact->stream == stream && fact_visible(standing, fact))
            check_next(reader, world, position, what);
    }
    check_over(reader, what);
}

static inline void
check_info(const struct world *world, const struct standing *standing, struct log *log,
           unsigned stream)
{
    cairn_error error = {0};
    cairn_stream_info info;
    bool kept = false;
    for (size_t i = 0; i < world->acked && !kept; i++) {
        const struct fact *fact = &world->facts[i];
        kept = !fact->is_retention && fact->stream == stream && fact_kept(standing, fact);
    }
    EXPECT_OK(cairn_log_stream_info(log, stream_names[stream].scope,
                                    cairn_cstr(stream_names[stream].name), &info, &error),
              &error);
    const struct limits *limits = &standing->limits[stream];
    EXPECT(info.exists == kept && info.last_revision == standing->last[stream],
           "stream %u: exists %d (not %d), last revision %lld (not %lld)", stream, info.exists, kept,
           (long long)info.last_revision, (long long)standing->last[stream]);
    EXPECT(info.last_revision < 0 || info.last_position == standing->last_position[stream],
           "stream %u: the last position is not %llu", stream,
           (unsigned long long)standing->last_position[stream]);
    EXPECT(info.tombstoned == limits->tombstone
               && (standing->last[stream] < 0
                   || memcmp(&info.retention, &limits->retention, sizeof info.retention) == 0),
           "stream %u: its retention is not the one that was set", stream);
}

struct seen_streams {
    const struct world *world;
    const struct standing *standing;
    cairn_scope scope;
    size_t at; /* next fact that may be a stream's first */
};

static inline bool
next_first(struct seen_streams *seen, size_t *ret)
{
    for (; seen->at < seen->world->acked; seen->at++) {
        const struct fact *fact = &seen->world->facts[seen->at];
        if (fact->is_retention || fact->revision != 0 || fact_scope(fact) != seen->scope)
            continue;
        bool kept = false;
        for (size_t i = seen->at; i < seen->world->acked && !kept; i++)
            kept = !seen->world->facts[i].is_retention
                   && seen->world->facts[i].stream == fact->stream
                   && fact_kept(seen->standing, &seen->world->facts[i]);
        if (kept) {
            *ret = seen->at++;
            return true;
        }
    }
    return false;
}

static inline bool
check_listed(void *context, cairn_str stream, uint64_t first_position)
{
    struct seen_streams *seen = context;
    size_t position;
    EXPECT(next_first(seen, &position) && position == first_position,
           "the stream %.*s at %llu should not be listed here", (int)stream.size, stream.data,
           (unsigned long long)first_position);
    return true;
}

static inline void
check_streams(const struct world *world, const struct standing *standing, struct log *log)
{
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
        struct seen_streams seen = {world, standing, scopes[i], 0};
        cairn_error error = {0};
        size_t missing;
        EXPECT_OK(cairn_log_streams(log, scopes[i], (cairn_str){0}, (cairn_str){0}, check_listed,
                                    &seen, &error), &error);
        EXPECT(!next_first(&seen, &missing), "the stream that begins at %zu is not listed", missing);
    }
}

/* Everything that the index answers. */
static inline void
check_index(const struct world *world, const struct standing *standing, struct log *log)
{
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++)
        for (int backward = 0; backward < 2; backward++) {
            struct question question = {scopes[i], NULL, -1, -1, false, backward};
            check_question(world, standing, log, &question);
            question.system = true;
            check_question(world, standing, log, &question);
            question.category = "$retention";
            check_question(world, standing, log, &question);
            question.system = false;
            for (size_t j = 0; j < CATEGORIES; j++) {
                question.category = categories[j];
                check_question(world, standing, log, &question);
            }
            question.category = NULL;
            for (question.type = 0; question.type < TYPES; question.type++)
                check_question(world, standing, log, &question);
            question.type = -1;
            for (question.tag = 0; question.tag < TAGS; question.tag++)
                check_question(world, standing, log, &question);
            question.category = "order";
            question.type = 0;
            question.tag = 0;
            check_question(world, standing, log, &question);
        }
    for (unsigned stream = 0; stream < STREAMS; stream++) {
        check_stream(world, standing, log, stream, false);
        check_stream(world, standing, log, stream, true);
        check_info(world, standing, log, stream);
    }
    check_streams(world, standing, log);
}

/* After opening: everything acknowledged is there, what was under way is there or not, append by append. From
 * now on what is there counts as acknowledged: opening has made it durable. */
static inline void
world_adopt(struct world *world, struct log *log)
{
    uint64_t end = cairn_log_end(log);
    EXPECT(end >= world->acked, "the log ends at %llu, but %zu were acknowledged",
           (unsigned long long)end, world->acked);
    EXPECT(end <= world->count, "the log ends at %llu, but only %zu were ever appended",
           (unsigned long long)end, world->count);
    EXPECT(end == world->count || end == world->acked
               || world->facts[end].append != world->facts[end - 1].append,
           "the log ends at %llu, in the middle of an append", (unsigned long long)end);
    world->acked = (size_t)end;
    world_forget_pending(world);
}

static inline void
world_check(struct world *world, struct log *log)
{
    EXPECT(cairn_log_end(log) == world->acked, "the log ends at %llu, not %zu",
           (unsigned long long)cairn_log_end(log), world->acked);
    check_records(world, log);
    struct standing standing;
    world_standing(world, world->acked, os_now_us(cairn_log_os(log)), &standing);
    check_index(world, &standing, log);
}

static inline bool
print_fault(void *context __attribute__((unused)), const char *file, uint64_t offset, const char *what)
{
    fprintf(stderr, "  verify: %s at byte %llu: %s\n", file, (unsigned long long)offset, what);
    return true;
}

/* The log's own opinion, which also compares the index with one computed from the log. */
static inline void
world_verify(const struct world *world, struct log *log)
{
    cairn_verify_report report;
    cairn_error error = {0};
    EXPECT_OK(cairn_log_verify(log, print_fault, NULL, NULL, &report, &error), &error);
    EXPECT(report.faults == 0 && report.events == world->acked, "verify saw %llu events, not %zu",
           (unsigned long long)report.events, world->acked);
}

#endif

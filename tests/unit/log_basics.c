/* The log engine, where several things happen at once or one comes at an awkward moment.
 *
 * A gate stands before the machine's sync: while it is closed, what was appended is written and not
 * durable, for as long as a test wants. */
#include <log/log.h>
#include <os/wait.h>
#include <pthread.h>
#include <test.h>

/* ---- a machine with a gate ------------------------------------------------------------------ */

struct gate {
    struct os os; /* first: the engine hands it back */
    struct os_ops ops;
    _Atomic uint32_t closed;
    _Atomic uint32_t waiting; /* syncs that stand before it */
    _Atomic uint32_t sequencing; /* a thread that announces itself is about to sequence an append */
};
static struct gate gate;
static _Thread_local bool announces;

/* The engine takes its deadline from this clock right before it sequences. */
static int64_t
announcing_clock(struct os *os)
{
    (void)os;
    if (announces) {
        atomic_store(&gate.sequencing, 1);
        os_wake(&gate.sequencing, INT32_MAX);
    }
    return os_monotonic_us(os_real());
}

static int
gated_sync(struct os *os, struct os_file *file)
{
    (void)os;
    atomic_fetch_add(&gate.waiting, 1);
    os_wake(&gate.waiting, INT32_MAX);
    while (atomic_load(&gate.closed) != 0)
        os_wait(&gate.closed, 1, UINT64_MAX);
    atomic_fetch_sub(&gate.waiting, 1);
    return os_sync(os_real(), file);
}

static void
gate_close(void)
{
    atomic_store(&gate.closed, 1);
}

static void
gate_open(void)
{
    atomic_store(&gate.closed, 0);
    os_wake(&gate.closed, INT32_MAX);
}

/* Until some sync stands before the gate. */
static void
gate_wait(void)
{
    for (;;) {
        uint32_t waiting = atomic_load(&gate.waiting);
        if (waiting > 0)
            return;
        os_wait(&gate.waiting, waiting, UINT64_MAX);
    }
}

static struct os *
gate_os(void)
{
    gate.ops = *os_real()->ops;
    gate.ops.sync = gated_sync;
    gate.ops.monotonic_us = announcing_clock;
    atomic_store(&gate.sequencing, 0);
    gate.os.ops = &gate.ops;
    gate_open();
    return &gate.os;
}

/* ---- a log ------------------------------------------------------------------------------------ */

static char folder[64];
static cairn_error error;

static struct log_options
small(void)
{
    struct log_options options;
    cairn_log_defaults(&options);
    options.create = true;
    options.segment_size_bytes = 64u << 10;
    options.append_size_max = options.event_size_max = 32u << 10;
    return options;
}

static struct log *
open_log(struct os *os, const struct log_options *options)
{
    struct log *log = NULL;
    CHECK_TOLD(cairn_log_open(os, folder, options, &log, &error));
    return log;
}

/* As a process that is killed leaves it: the files as they are now, in a folder of their own. */
static void
copy_folder(char copy[64])
{
    char command[256];
    test_folder(copy);
    snprintf(command, sizeof command, "cp -r '%s/.' '%s'", folder, copy);
    CHECK_INT(system(command), 0);
}

static cairn_uuid
id_of(uint64_t number)
{
    cairn_uuid id = {{0xC0}};
    for (int i = 0; i < 8; i++)
        id.bytes[15 - i] = (uint8_t)(number >> 8 * i);
    return id;
}

/* One write of one event to one stream; everything else can be set afterwards. */
struct call {
    cairn_append_request request;
    cairn_write write;
    cairn_event event;
    cairn_str tag;
    cairn_query_item item;
    cairn_condition condition;
};

static void
make_call(struct call *call, cairn_str stream, int64_t expected, cairn_str data, uint64_t id)
{
    *call = (struct call){.event = {.type = CAIRN_STR("Happened"), .data = data}};
    if (id != 0)
        call->event.id = id_of(id);
    call->write = (cairn_write){stream, expected, &call->event, 1};
    call->request = (cairn_append_request){.writes = &call->write, .write_count = 1};
}

static void
set_tag(struct call *call, cairn_str tag)
{
    call->tag = tag;
    call->event.tags = &call->tag;
    call->event.tag_count = 1;
}

/* Nothing with the call's tag after `after`. */
static void
set_condition(struct call *call, int64_t after)
{
    call->item = (cairn_query_item){.tags = &call->tag, .tag_count = 1};
    call->condition = (cairn_condition){{&call->item, 1}, after};
    call->request.conditions = &call->condition;
    call->request.condition_count = 1;
}

static cairn_at
append_one(struct log *log, cairn_str stream, cairn_str data)
{
    struct call call;
    cairn_at at = {0};
    make_call(&call, stream, CAIRN_ANY, data, 0);
    CHECK_TOLD(cairn_log_append(log, &call.request, &at, &error));
    return at;
}

struct answer {
    _Atomic uint32_t over;
    cairn_err err;
    cairn_at at;
    cairn_error error;
};

static void
answered(void *context, cairn_err err, const cairn_at *at, const cairn_error *why)
{
    struct answer *answer = context;
    answer->err = err;
    answer->at = *at;
    if (why != NULL)
        answer->error = *why;
    atomic_store(&answer->over, 1);
    os_wake(&answer->over, INT32_MAX);
}

static void
await(struct answer *answer)
{
    while (atomic_load(&answer->over) == 0)
        os_wait(&answer->over, 0, UINT64_MAX);
}

/* How many events a stream reads as; `ret_first`: the revision of the first. */
static unsigned
count_stream(struct log *log, cairn_str stream, uint64_t *ret_first)
{
    cairn_read_options options = {.system = true};
    struct log_reader *reader;
    cairn_recorded event;
    unsigned count = 0;
    CHECK_TOLD(cairn_log_read_stream(log, stream, &options, &reader, &error));
    cairn_err err;
    while ((err = cairn_log_reader_next(reader, &event, &error)) == CAIRN_OK)
        if (count++ == 0 && ret_first != NULL)
            *ret_first = event.revision;
    CHECK_INT(err, CAIRN_E_END);
    cairn_log_reader_free(reader);
    return count;
}

static const char filler[16384];

/* ---- appending ----------------------------------------------------------------------------- */

/* Goal: a condition that an event in flight breaks is refused when that event is durable, also where
 * the append has ids of its own.
 * Method: hold the first append's sync, send the second, let go. */
TEST(condition_broken_in_flight)
{
    test_folder(folder);
    struct log_options options = small();
    struct log *log = open_log(gate_os(), &options);
    struct call first, second;
    struct answer one = {0}, two = {0};
    make_call(&first, CAIRN_STR("a"), CAIRN_ANY, CAIRN_STR("1"), 1);
    set_tag(&first, CAIRN_STR("customer:1"));
    make_call(&second, CAIRN_STR("b"), CAIRN_ANY, CAIRN_STR("2"), 2);
    set_tag(&second, CAIRN_STR("customer:1"));
    set_condition(&second, -1);

    CHECK_TOLD(cairn_log_maintain(log, &error)); /* no other sync is due */
    gate_close();
    CHECK_TOLD(cairn_log_append_async(log, &first.request, answered, &one, &error));
    gate_wait();
    CHECK_TOLD(cairn_log_append_async(log, &second.request, answered, &two, &error));
    CHECK(atomic_load(&two.over) == 0); /* what it rests upon is not durable yet */
    gate_open();
    await(&one);
    await(&two);
    CHECK_INT(one.err, CAIRN_OK);
    CHECK_INT(two.err, CAIRN_E_CONDITION);
    CHECK_INT(two.error.position, one.at.first_position);
    cairn_log_close(log);
    test_remove(folder);
}

/* Goal: "nothing at all after p" is answered, and not put off as busy, while other events are in flight.
 * Method: as above, with a query of no items, by a blocking call in another thread, several times. */
static void *
append_after_nothing(void *context)
{
    struct answer *answer = context;
    struct log *log = *(struct log **)(answer + 1);
    struct call call;
    announces = true;
    make_call(&call, CAIRN_STR("c"), CAIRN_ANY, CAIRN_STR("3"), 0);
    call.condition = (cairn_condition){{NULL, 0}, -1};
    call.request.conditions = &call.condition;
    call.request.condition_count = 1;
    answer->err = cairn_log_append(log, &call.request, &answer->at, &answer->error);
    return NULL;
}

TEST(empty_query_waits_for_what_is_in_flight)
{
    for (int i = 0; i < 10; i++) {
        test_folder(folder);
        struct log_options options = small();
        struct {
            struct answer answer;
            struct log *log;
        } blocking = {.log = open_log(gate_os(), &options)};
        struct call first;
        struct answer one = {0};
        pthread_t thread;
        CHECK_TOLD(cairn_log_maintain(blocking.log, &error)); /* no other sync is due */
        make_call(&first, CAIRN_STR("a"), CAIRN_ANY, CAIRN_STR("1"), 0);
        gate_close();
        CHECK_TOLD(cairn_log_append_async(blocking.log, &first.request, answered, &one, &error));
        gate_wait();
        CHECK_INT(pthread_create(&thread, NULL, append_after_nothing, &blocking), 0);
        while (atomic_load(&gate.sequencing) == 0)
            os_wait(&gate.sequencing, 0, UINT64_MAX);
        gate_open();
        pthread_join(thread, NULL);
        await(&one);
        CHECK_INT(blocking.answer.err, CAIRN_E_CONDITION);
        CHECK_INT(blocking.answer.error.position, 0);
        cairn_log_close(blocking.log);
        test_remove(folder);
    }
}

/* Goal: a completion may append asynchronously, whichever thread it is called on.
 * Method: appends whose completion appends to another stream; blocking appends in between that roll the segment,
 * so that they commit, and tell, in the middle of being sequenced. Every stream must then read as written. */
struct chain {
    struct log *log;
    struct answer answer;
    unsigned number;
};

static void
append_more(void *context, cairn_err err, const cairn_at *at, const cairn_error *why)
{
    struct chain *chain = context;
    (void)at;
    (void)why;
    CHECK_INT(err, CAIRN_OK);
    struct call call;
    char stream[32], data[32];
    snprintf(stream, sizeof stream, "then-%u", chain->number);
    snprintf(data, sizeof data, "then %u", chain->number);
    make_call(&call, cairn_cstr(stream), CAIRN_NONE, cairn_cstr(data), 0);
    CHECK_TOLD(cairn_log_append_async(chain->log, &call.request, answered, &chain->answer, NULL));
}

static void
check_chain(struct log *log, unsigned number)
{
    char name[32], data[32];
    snprintf(name, sizeof name, "then-%u", number);
    snprintf(data, sizeof data, "then %u", number);
    cairn_read_options options = {0};
    struct log_reader *reader;
    cairn_recorded event;
    CHECK_TOLD(cairn_log_read_stream(log, cairn_cstr(name), &options, &reader, &error));
    CHECK_TOLD(cairn_log_reader_next(reader, &event, &error));
    CHECK(cairn_str_equal(event.stream, cairn_cstr(name)));
    CHECK(cairn_str_equal(event.event.data, cairn_cstr(data)));
    CHECK_INT(cairn_log_reader_next(reader, &event, &error), CAIRN_E_END);
    cairn_log_reader_free(reader);
}

TEST(completion_appends)
{
    enum { CHAINS = 200 };
    test_folder(folder);
    struct log_options options = small();
    struct log *log = open_log(os_real(), &options);
    static struct chain chains[CHAINS];
    for (unsigned i = 0; i < CHAINS; i++) {
        struct call call;
        chains[i] = (struct chain){.log = log, .number = i};
        make_call(&call, CAIRN_STR("first"), CAIRN_ANY, CAIRN_STR("x"), 0);
        CHECK_TOLD(cairn_log_append_async(log, &call.request, append_more, &chains[i], &error));
        (void)append_one(log, CAIRN_STR("large"), (cairn_str){filler, sizeof filler});
    }
    for (unsigned i = 0; i < CHAINS; i++) {
        await(&chains[i].answer);
        CHECK_INT(chains[i].answer.err, CAIRN_OK);
        check_chain(log, i);
    }
    CHECK_INT(count_stream(log, CAIRN_STR("large"), NULL), CHAINS);
    cairn_verify_report report;
    CHECK_TOLD(cairn_log_verify(log, NULL, NULL, NULL, &report, &error));
    cairn_log_close(log);
    test_remove(folder);
}

/* Goal: an append that comes while the keeper writes its closing frame is committed when that is done.
 * Method: an idle log with its space prepared; hold the closing frame's sync, append, let go; more than once. */
TEST(append_meets_closing_frame)
{
    test_folder(folder);
    struct log_options options = small();
    struct log *log = open_log(gate_os(), &options);
    CHECK_TOLD(cairn_log_maintain(log, &error));
    for (int i = 0; i < 3; i++) {
        struct call call;
        struct answer answer = {0};
        (void)append_one(log, CAIRN_STR("a"), CAIRN_STR("1"));
        gate_close();
        gate_wait();
        make_call(&call, CAIRN_STR("b"), CAIRN_ANY, CAIRN_STR("2"), 0);
        CHECK_TOLD(cairn_log_append_async(log, &call.request, answered, &answer, &error));
        gate_open();
        await(&answer);
        CHECK_INT(answer.err, CAIRN_OK);
    }
    cairn_log_close(log);
    test_remove(folder);
}

/* Goal: one append over many streams that are not in memory goes through at once.
 * Method: more streams than there are retries, in an index of runs with an empty cache. */
TEST(many_cold_streams)
{
    enum { COUNT = 200 };
    test_folder(folder);
    struct log_options options = small();
    options.no_background = true;
    struct log *log = open_log(os_real(), &options);
    static cairn_write writes[COUNT];
    static char names[COUNT][16];
    cairn_event event = {.type = CAIRN_STR("t")};
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "cold-%u", i);
        writes[i] = (cairn_write){cairn_cstr(names[i]), CAIRN_NONE, &event, 1};
    }
    cairn_append_request request = {.writes = writes, .write_count = COUNT};
    cairn_at at;
    CHECK_TOLD(cairn_log_append(log, &request, &at, &error));
    cairn_log_close(log); /* flushes the index */
    log = open_log(os_real(), &options);
    for (unsigned i = 0; i < COUNT; i++)
        writes[i].expected = 0;
    CHECK_TOLD(cairn_log_append(log, &request, &at, &error));
    CHECK_INT(at.revision, 1);
    cairn_log_close(log);
    test_remove(folder);
}

/* Goal: a repeat is recognised at the beginning of a stream that had been deleted before.
 * Method: append, delete, append with NONE, and that once more; then again after reopening. */
TEST(repeat_after_delete)
{
    test_folder(folder);
    struct log_options options = small();
    struct log *log = open_log(os_real(), &options);
    (void)append_one(log, CAIRN_STR("order-1"), CAIRN_STR("old"));
    CHECK_TOLD(cairn_log_delete(log, 0, CAIRN_STR("order-1"), CAIRN_ANY, false, &error));
    struct call call;
    cairn_at at, again;
    make_call(&call, CAIRN_STR("order-1"), CAIRN_NONE, CAIRN_STR("new"), 7);
    CHECK_TOLD(cairn_log_append(log, &call.request, &at, &error));
    CHECK_INT(at.revision, 1);
    CHECK_TOLD(cairn_log_append(log, &call.request, &again, &error));
    CHECK(again.repeated && again.first_position == at.first_position);
    cairn_log_close(log);
    log = open_log(os_real(), &options);
    CHECK_TOLD(cairn_log_append(log, &call.request, &again, &error));
    CHECK(again.repeated && again.first_position == at.first_position && again.revision == 1);
    cairn_log_close(log);
    test_remove(folder);
}

/* Goal: an append that is repeated while it is in flight is a repeat, not a conflict, however many events it has.
 * Method: hold its sync, send it again, let go. */
TEST(large_repeat_in_flight)
{
    enum { COUNT = 300 };
    test_folder(folder);
    struct log_options options = small();
    struct log *log = open_log(gate_os(), &options);
    static cairn_event events[COUNT];
    for (unsigned i = 0; i < COUNT; i++) /* each id takes the place of one before in a small table */
        events[i] = (cairn_event){.id = id_of((uint64_t)i << 40 | (i % 100 + 1)), .type = CAIRN_STR("t")};
    cairn_write write = {CAIRN_STR("s"), CAIRN_NONE, events, COUNT};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    struct answer one = {0};
    struct answer two = {0};
    CHECK_TOLD(cairn_log_maintain(log, &error)); /* no other sync is due */
    gate_close();
    CHECK_TOLD(cairn_log_append_async(log, &request, answered, &one, &error));
    gate_wait();
    CHECK_TOLD(cairn_log_append_async(log, &request, answered, &two, &error));
    CHECK(atomic_load(&two.over) == 0);
    gate_open();
    await(&one);
    await(&two);
    CHECK_INT(one.err, CAIRN_OK);
    CHECK_INT(two.err, CAIRN_OK);
    CHECK(two.at.repeated && two.at.first_position == 0 && two.at.revision == COUNT - 1);
    CHECK_INT(cairn_log_end(log), COUNT);
    cairn_log_close(log);
    test_remove(folder);
}

/* ---- retention ------------------------------------------------------------------------------- */

struct deletion {
    struct log *log;
    cairn_err err;
};

static void *
delete_for_good(void *context)
{
    struct deletion *deletion = context;
    deletion->err = cairn_log_delete(deletion->log, 0, CAIRN_STR("order-1"), CAIRN_ANY, true, NULL);
    return NULL;
}

/* Goal: readers do not see a deletion that is not durable, appends that come after it do.
 * Method: hold the deletion's sync; look; let go; look again. */
TEST(deletion_shows_when_durable)
{
    test_folder(folder);
    struct log_options options = small();
    options.no_background = true; /* so that whoever stands before the gate is the deletion */
    struct log *log = open_log(gate_os(), &options);
    (void)append_one(log, CAIRN_STR("order-1"), CAIRN_STR("1"));
    gate_close();
    struct deletion deletion = {log, CAIRN_OK};
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, delete_for_good, &deletion), 0);
    gate_wait();
    struct call late;
    struct answer answer = {0};
    cairn_stream_info info;
    make_call(&late, CAIRN_STR("order-1"), CAIRN_ANY, CAIRN_STR("2"), 0);
    CHECK_TOLD(cairn_log_append_async(log, &late.request, answered, &answer, &error));
    CHECK(atomic_load(&answer.over) == 0); /* a refusal, too, rests upon the deletion */
    CHECK_INT(count_stream(log, CAIRN_STR("order-1"), NULL), 1);
    CHECK_TOLD(cairn_log_stream_info(log, 0, CAIRN_STR("order-1"), &info, &error));
    CHECK(info.exists && !info.tombstoned);
    gate_open();
    pthread_join(thread, NULL);
    await(&answer);
    CHECK_INT(deletion.err, CAIRN_OK);
    CHECK_INT(answer.err, CAIRN_E_GONE);
    CHECK_INT(count_stream(log, CAIRN_STR("order-1"), NULL), 0);
    CHECK_TOLD(cairn_log_stream_info(log, 0, CAIRN_STR("order-1"), &info, &error));
    CHECK(!info.exists && info.tombstoned);
    cairn_log_close(log);
    test_remove(folder);
}

/* Goal: setting limits does not bring back what was deleted or cut off.
 * Method: delete, set max_count, append, read; then truncate lower than before. */
TEST(limits_keep_deletion)
{
    test_folder(folder);
    struct log_options options = small();
    struct log *log = open_log(os_real(), &options);
    for (int i = 0; i < 3; i++)
        (void)append_one(log, CAIRN_STR("order-1"), CAIRN_STR("old"));
    CHECK_TOLD(cairn_log_delete(log, 0, CAIRN_STR("order-1"), 2, false, &error));
    cairn_retention limits = {.max_count = 100};
    CHECK_TOLD(cairn_log_retention_set(log, 0, CAIRN_STR("order-1"), &limits, &error));
    CHECK_INT(count_stream(log, CAIRN_STR("order-1"), NULL), 0);
    (void)append_one(log, CAIRN_STR("order-1"), CAIRN_STR("new"));
    uint64_t first = 0;
    CHECK_INT(count_stream(log, CAIRN_STR("order-1"), &first), 1);
    CHECK_INT(first, 3);
    cairn_stream_info info;
    CHECK_TOLD(cairn_log_stream_info(log, 0, CAIRN_STR("order-1"), &info, &error));
    CHECK(info.retention.max_count == 100 && info.retention.truncate_before == 3);
    cairn_log_close(log);
    test_remove(folder);
}

/* Goal: any age may be asked for.
 * Method: ages at and beyond what a time holds keep everything; an age of one microsecond nothing. */
TEST(extreme_ages)
{
    static const uint64_t ages[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63,
                                    (UINT64_C(1) << 63) - 1, UINT64_C(1) << 62};
    test_folder(folder);
    struct log_options options = small();
    struct log *log = open_log(os_real(), &options);
    (void)append_one(log, CAIRN_STR("s"), CAIRN_STR("1"));
    for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
        cairn_retention limits = {.max_age_us = ages[i]};
        CHECK_TOLD(cairn_log_retention_set(log, 0, CAIRN_STR("s"), &limits, &error));
        CHECK_INT(count_stream(log, CAIRN_STR("s"), NULL), 1);
        cairn_read_options all = {0};
        struct log_reader *reader;
        cairn_recorded event;
        CHECK_TOLD(cairn_log_read_all(log, &all, &reader, &error));
        CHECK_TOLD(cairn_log_reader_next(reader, &event, &error));
        cairn_log_reader_free(reader);
    }
    cairn_retention limits = {.max_age_us = 1};
    CHECK_TOLD(cairn_log_retention_set(log, 0, CAIRN_STR("s"), &limits, &error));
    CHECK_INT(count_stream(log, CAIRN_STR("s"), NULL), 0);
    cairn_log_close(log);
    test_remove(folder);
}

/* ---- opening ---------------------------------------------------------------------------------- */

/* Goal: what was acknowledged stays when the log is opened with smaller segments than its last append.
 * Method: append more than a small segment holds; copy the folder as a killed process leaves it; open the copy
 * with small segments; also a clean copy. */
TEST(opened_with_smaller_segments)
{
    static const char large[200000];
    test_folder(folder);
    struct log_options options = small();
    options.segment_size_bytes = 1u << 20;
    options.append_size_max = options.event_size_max = 512u << 10;
    options.no_background = true;
    struct log *log = open_log(os_real(), &options);
    (void)append_one(log, CAIRN_STR("s"), CAIRN_STR("small"));
    (void)append_one(log, CAIRN_STR("s"), (cairn_str){large, sizeof large});
    char killed[64], original[64];
    copy_folder(killed);
    cairn_log_close(log);
    struct log_options smaller = small();
    for (int i = 0; i < 2; i++) {
        memcpy(original, folder, sizeof folder);
        if (i == 1)
            memcpy(folder, killed, sizeof folder);
        log = open_log(os_real(), &smaller);
        CHECK_INT(cairn_log_end(log), 2);
        CHECK_INT(count_stream(log, CAIRN_STR("s"), NULL), 2);
        (void)append_one(log, CAIRN_STR("s"), CAIRN_STR("next"));
        cairn_verify_report report;
        CHECK_TOLD(cairn_log_verify(log, NULL, NULL, NULL, &report, &error));
        cairn_log_close(log);
        memcpy(folder, original, sizeof folder);
    }
    test_remove(killed);
    test_remove(folder);
}

/* Goal: a segment that was made when the power went, and whose making failed before, does not keep the log
 * from opening.
 * Method: put a file with a header and nothing else behind the last segment: taken from a log that rolled,
 * while the segment before it goes on. */
TEST(empty_segment_left_behind)
{
    test_folder(folder);
    struct log_options options = small();
    options.no_background = true;
    struct log *log = open_log(os_real(), &options);
    for (int i = 0; i < 3; i++)
        (void)append_one(log, CAIRN_STR("s"), (cairn_str){filler, sizeof filler});
    char before[64], command[512];
    copy_folder(before);
    (void)append_one(log, CAIRN_STR("s"), (cairn_str){filler, sizeof filler}); /* rolls */
    snprintf(command, sizeof command, "head -c 64 '%s/segments/00000002.seg' > '%s/segments/00000002.seg'",
             folder, before);
    CHECK_INT(system(command), 0);
    cairn_log_close(log);
    test_remove(folder);

    /* The first segment goes on, as after a failed roll, with the file still there. */
    char hidden[160];
    snprintf(hidden, sizeof hidden, "%s/00000002.hidden", before);
    memcpy(folder, before, sizeof folder);
    snprintf(command, sizeof command, "mv '%s/segments/00000002.seg' '%s'", folder, hidden);
    CHECK_INT(system(command), 0);
    log = open_log(os_real(), &options);
    (void)append_one(log, CAIRN_STR("s"), CAIRN_STR("fits"));
    cairn_log_close(log);
    snprintf(command, sizeof command, "mv '%s' '%s/segments/00000002.seg'", hidden, folder);
    CHECK_INT(system(command), 0);
    log = open_log(os_real(), &options);
    CHECK_INT(cairn_log_end(log), 4);
    for (int i = 0; i < 4; i++)
        (void)append_one(log, CAIRN_STR("s"), (cairn_str){filler, sizeof filler});
    CHECK_INT(count_stream(log, CAIRN_STR("s"), NULL), 8);
    cairn_verify_report report;
    CHECK_TOLD(cairn_log_maintain(log, &error));
    CHECK_TOLD(cairn_log_verify(log, NULL, NULL, NULL, &report, &error));
    cairn_log_close(log);
    test_remove(folder);
}

/* Goal: a log opened for reading only writes nothing.
 * Method: compare names, sizes, times and sums of every file before and after, with reads of all kinds. */
static void
fingerprint(char to[65])
{
    char command[256];
    snprintf(command, sizeof command,
             "cd '%s' && { find . -printf '%%p %%s %%T@\\n'; find . -type f -exec sha256sum {} +; } | sort | sha256sum", folder);
    FILE *pipe = popen(command, "r");
    CHECK(pipe != NULL && fgets(to, 65, pipe) != NULL);
    pclose(pipe);
}

TEST(read_only_writes_nothing)
{
    test_folder(folder);
    struct log_options options = small();
    struct log *log = open_log(os_real(), &options);
    for (int i = 0; i < 20; i++)
        (void)append_one(log, CAIRN_STR("s-1"), (cairn_str){filler, sizeof filler});
    char killed[64], before[65], after[65];
    copy_folder(killed); /* with an unsealed segment, a prepared tail and an index behind the log */
    cairn_log_close(log);
    test_remove(folder);
    memcpy(folder, killed, sizeof folder);
    fingerprint(before);
    options.read_only = true;
    log = open_log(os_real(), &options);
    CHECK_INT(count_stream(log, CAIRN_STR("s-1"), NULL), 20);
    cairn_verify_report report;
    CHECK_TOLD(cairn_log_verify(log, NULL, NULL, NULL, &report, &error));
    CHECK_TOLD(cairn_log_maintain(log, &error));
    cairn_stats stats;
    cairn_log_stats(log, &stats);
    CHECK_INT(stats.events, 20);
    struct call call;
    cairn_at at;
    make_call(&call, CAIRN_STR("s-1"), CAIRN_ANY, CAIRN_STR("x"), 0);
    CHECK_INT(cairn_log_append(log, &call.request, &at, &error), CAIRN_E_READONLY);
    CHECK_INT(cairn_log_delete(log, 0, CAIRN_STR("s-1"), CAIRN_ANY, false, &error), CAIRN_E_READONLY);
    cairn_scavenge_report scavenged;
    CHECK_INT(cairn_log_scavenge(log, NULL, NULL, &scavenged, &error), CAIRN_E_READONLY);
    CHECK_INT(cairn_log_reindex(log, NULL, NULL, &error), CAIRN_E_READONLY);
    cairn_log_close(log);
    fingerprint(after);
    CHECK_STR(after, before);
    test_remove(folder);
}

/* ---- verify and proofs ------------------------------------------------------------------------ */

struct interference {
    struct log *log;
    unsigned calls;
};

static bool
append_meanwhile(void *context, uint64_t done, uint64_t total, const char *unit)
{
    struct interference *interference = context;
    (void)done;
    (void)total;
    (void)unit;
    for (int i = 0; i < 5 && interference->calls < 20; i++)
        (void)append_one(interference->log, CAIRN_STR("s"), (cairn_str){filler, sizeof filler});
    if (interference->calls++ % 2 == 1)
        CHECK_TOLD(cairn_log_maintain(interference->log, &error)); /* seals what rolled */
    return true;
}

/* Goal: verify finds no fault in a sound log, whatever is sealed or not, and while it grows and seals.
 * Method: no background; verify with full segments unsealed, then with appends and sealing in its progress callback. */
TEST(verify_while_it_grows)
{
    test_folder(folder);
    struct log_options options = small();
    options.no_background = true;
    struct log *log = open_log(os_real(), &options);
    for (int i = 0; i < 20; i++)
        (void)append_one(log, CAIRN_STR("s"), (cairn_str){filler, sizeof filler});
    cairn_verify_report report;
    CHECK_TOLD(cairn_log_verify(log, NULL, NULL, NULL, &report, &error));
    CHECK_INT(report.events, 20);
    struct interference interference = {log, 0};
    CHECK_TOLD(cairn_log_verify(log, NULL, append_meanwhile, &interference, &report, &error));
    CHECK(interference.calls > 2);
    CHECK_INT(report.events, 20);
    CHECK_TOLD(cairn_log_maintain(log, &error));
    CHECK_TOLD(cairn_log_verify(log, NULL, NULL, NULL, &report, &error));
    cairn_log_close(log);
    test_remove(folder);
}

/* Goal: while nobody appends, a log prepares as much space as its segment holds; a small one stays small.
 * Method: twelve events of 1 MiB into a segment of 64 MiB; its file's size, while the log is left alone. */
TEST(idle_log_prepares_for_a_burst)
{
    enum { EVENTS = 12, SIZE = (1 << 20) - 1000, LEAST = EVENTS * SIZE, DEADLINE_MS = 20000 };
    char path[128];
    struct log_options options;
    cairn_log_defaults(&options);
    options.create = true;
    options.segment_size_bytes = 64 << 20;
    test_folder(folder);
    struct log *log = open_log(os_real(), &options);
    char *data = calloc(1, SIZE);
    CHECK(data != NULL);
    for (unsigned i = 0; i < EVENTS; i++)
        (void)append_one(log, CAIRN_STR("s"), (cairn_str){data, SIZE});
    free(data);
    snprintf(path, sizeof path, "%s/segments/00000001.seg", folder);
    uint64_t size = 0;
    for (int64_t end = os_monotonic_us(os_real()) + DEADLINE_MS * 1000; size < 2 * LEAST;) {
        struct os_file *file;
        CHECK_INT(os_open(os_real(), path, OS_READ, &file), 0);
        CHECK_INT(os_size(os_real(), file, &size), 0);
        CHECK_INT(os_close(os_real(), file), 0);
        CHECK(os_monotonic_us(os_real()) < end);
        CHECK_INT(cairn_log_wait(log, EVENTS, 10), CAIRN_E_TIMEOUT); /* nothing comes: it waits that long */
    }
    CHECK(size <= 2 * LEAST + (3 << 20)); /* headers, and the last step */
    cairn_log_close(log);
    test_remove(folder);
}

int
main(int count, char **arguments)
{
    if (count > 1)
        cmocka_set_test_filter(arguments[1]);
    const struct CMUnitTest tests[] = {
        RUN(condition_broken_in_flight), RUN(empty_query_waits_for_what_is_in_flight),
        RUN(completion_appends),         RUN(many_cold_streams),
        RUN(append_meets_closing_frame), RUN(idle_log_prepares_for_a_burst),
        RUN(repeat_after_delete),        RUN(large_repeat_in_flight),
        RUN(deletion_shows_when_durable), RUN(limits_keep_deletion),
        RUN(extreme_ages),               RUN(opened_with_smaller_segments),
        RUN(empty_segment_left_behind),  RUN(read_only_writes_nothing),
        RUN(verify_while_it_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

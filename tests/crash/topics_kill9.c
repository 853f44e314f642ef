/* The process is killed (SIGKILL) while threads append events and batches to a topic that grows meanwhile, again and again, in one
 * folder: what was acknowledged is in its partition at its offset, everything is there once, and each thread's in order.
 *
 * What a thread writes is numbered from 0; what it has acknowledged goes through a pipe. After each kill the partitions are read,
 * and each thread goes on behind the last number that is there. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "topic_rig.h"

#define ROUNDS 12
#define THREADS 3 /* the last appends events, the others batches */
#define PARTITIONS_MAX 6
#define NUMBERS_MAX 2000000

struct ack {
    uint32_t thread, partition, first, count; /* numbers */
    uint64_t offset;                          /* of the first; UINT64_MAX: an event, which is not told */
};

static struct {
    uint64_t (*offsets)[NUMBERS_MAX]; /* as acknowledged, plus one; 0: not; UINT64_MAX: acknowledged, offset not told */
    uint32_t next[THREADS];
    char folder[64];
} told;

static cairn_store *
open_store(void)
{
    const cairn_options options = {.create = true, .segment_size_bytes = 1 << 20, .index_memory_events = 3000};
    cairn_store *store;
    CHECK_OK(cairn_open(told.folder, &options, &store, NULL));
    return store;
}

/* ---- the process that is killed ---------------------------------------------------------------------------------------------- */

struct child {
    cairn_store *store;
    cairn_uuid id;
    uint32_t partitions, thread, next;
    int acks;
};

static void
must(bool holds)
{
    if (!holds)
        _exit(1);
}

static void
produce(struct child *child, struct batch_maker *maker, uint32_t round)
{
    struct ack ack = {child->thread, (child->thread + round) % child->partitions, child->next, 1 + round % 50, 0};
    batch_make_begin(maker);
    for (uint32_t i = 0; i < ack.count; i++) {
        char value[32], key[16];
        snprintf(value, sizeof value, "%u.%u", child->thread, child->next++);
        snprintf(key, sizeof key, "%u", i % 9);
        cairn_str value_text = cairn_cstr(value), key_text = cairn_cstr(key);
        must(batch_make_add(maker, i, 1700000000000, round % 2 ? &key_text : NULL, &value_text, NULL, 0));
    }
    must(batch_make_end(maker, BATCH_PLAIN, 0, (int64_t)ack.count - 1));
    const cairn_batch batch = {child->id, ack.partition, buf_str(&maker->out), &ack.offset};
    const cairn_append_request request = {.batches = &batch, .batch_count = 1};
    cairn_at at;
    must(cairn_append_all(child->store, &request, &at, NULL) == CAIRN_OK);
    must(write(child->acks, &ack, sizeof ack) == sizeof ack);
}

static void
append_event(struct child *child)
{
    const struct ack ack = {child->thread, 0, child->next++, 1, UINT64_MAX};
    char stream[32], data[32];
    snprintf(stream, sizeof stream, "t-%u", ack.first % 9);
    snprintf(data, sizeof data, "%u.%u", ack.thread, ack.first);
    const cairn_event event = {.type = CAIRN_STR("T"), .data = cairn_cstr(data)};
    cairn_at at;
    must(cairn_append(child->store, 0, cairn_cstr(stream), CAIRN_ANY, &event, 1, &at, NULL) == CAIRN_OK);
    must(write(child->acks, &ack, sizeof ack) == sizeof ack);
}

static void *
child_thread(void *context)
{
    struct child *child = context;
    struct batch_maker maker = {0};
    for (uint32_t round = 0;; round++) {
        if (child->thread < THREADS - 1)
            produce(child, &maker, round);
        else
            append_event(child);
    }
    return NULL;
}

static _Noreturn void
run_child(int acks, unsigned round)
{
    cairn_store *store = open_store();
    cairn_topic_ref *ref, *now;
    struct child children[THREADS];
    must(cairn_topic_get(store, 0, CAIRN_STR("t"), &ref, NULL) == CAIRN_OK);
    cairn_topic topic = *cairn_topic_of(ref);
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        children[i] = (struct child){store, topic.id, topic.partitions, i, told.next[i], acks};
        must(pthread_create(&thread, NULL, child_thread, &children[i]) == 0);
    }
    if (round % 3 == 2 && topic.partitions < PARTITIONS_MAX) {
        topic.partitions++;
        must(cairn_topic_put(store, 0, &topic, (int64_t)cairn_topic_revision(ref), &now, NULL) == CAIRN_OK);
    }
    for (;;)
        pause();
}

/* ---- looking at what is left ----------------------------------------------------------------------------------------------------- */

static void
see(uint64_t offset, cairn_str value, uint8_t (*seen)[NUMBERS_MAX], int64_t last[THREADS])
{
    char text[32];
    uint32_t thread, number;
    snprintf(text, sizeof text, "%.*s", (int)value.size, value.data);
    CHECK_INT(sscanf(text, "%u.%u", &thread, &number), 2);
    assert_true(thread < THREADS && number < NUMBERS_MAX);
    CHECK((int64_t)number > last[thread] && !seen[thread][number]);
    seen[thread][number] = 1;
    last[thread] = number;
    uint64_t there = told.offsets[thread][number];
    CHECK(there == 0 || there == UINT64_MAX || there == offset + 1);
}

static void
check_store(bool verify)
{
    cairn_store *store = open_store();
    cairn_topic_ref *ref;
    struct batch_cursor cursor = {0};
    uint8_t(*seen)[NUMBERS_MAX] = calloc(THREADS, sizeof *seen);
    assert_non_null(seen);
    CHECK_OK(cairn_topic_get(store, 0, CAIRN_STR("t"), &ref, NULL));
    for (uint32_t partition = 0; partition < cairn_topic_of(ref)->partitions; partition++) {
        cairn_partition_reader *reader;
        cairn_partition_item item;
        struct batch_record record;
        int64_t last[THREADS] = {-1, -1, -1};
        uint64_t next = 0;
        cairn_err err;
        CHECK_OK(cairn_read_partition(store, 0, &cairn_topic_of(ref)->id, partition, 0, &reader, NULL));
        while ((err = cairn_partition_next(reader, &item, NULL)) == CAIRN_OK) {
            CHECK_INT(item.first_offset, next);
            if (item.batch.size == 0) {
                see(next, item.event.event.data, seen, last);
            } else {
                CHECK(batch_open(&cursor, item.batch) == NULL);
                while (batch_next(&cursor, &record))
                    see(next + (uint64_t)record.offset_delta, record.value, seen, last);
            }
            next = item.last_offset + 1;
        }
        CHECK_INT(err, CAIRN_E_END);
        cairn_partition_reader_free(reader);
    }
    for (int i = 0; i < THREADS; i++) {
        uint32_t next = 0;
        while (next < NUMBERS_MAX && seen[i][next])
            next++;
        for (uint32_t n = next; n < NUMBERS_MAX; n++) /* nothing is missing before what is there, and nothing that was told */
            CHECK(!seen[i][n] && told.offsets[i][n] == 0);
        told.next[i] = next;
    }
    if (verify) {
        cairn_verify_report report;
        CHECK_OK(cairn_verify(store, NULL, NULL, NULL, &report, NULL));
        CHECK_INT(report.faults, 0);
    }
    cairn_topic_release(ref);
    batch_close(&cursor);
    free(seen);
    cairn_close(store);
}

/* Read acknowledgements, kill after a number of them, read the rest. */
static void
run_round(unsigned round, unsigned acks_wanted)
{
    int pipes[2];
    struct ack ack;
    unsigned count = 0;
    CHECK_INT(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pipes[0]);
        run_child(pipes[1], round);
    }
    close(pipes[1]);
    while (read(pipes[0], &ack, sizeof ack) == (ssize_t)sizeof ack) {
        assert_true(ack.thread < THREADS && (uint64_t)ack.first + ack.count <= NUMBERS_MAX);
        for (uint32_t i = 0; i < ack.count; i++)
            told.offsets[ack.thread][ack.first + i] = ack.offset == UINT64_MAX ? UINT64_MAX : ack.offset + i + 1;
        if (++count == acks_wanted)
            CHECK_INT(kill(child, SIGKILL), 0);
    }
    int status;
    close(pipes[0]);
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && count >= acks_wanted);
}

TEST(killed_again_and_again)
{
    uint64_t seed = test_seed();
    test_folder(told.folder);
    assert_non_null(told.offsets = calloc(THREADS, sizeof *told.offsets));
    cairn_store *store = open_store();
    (void)rig_append(store, "t-1", "2.0"); /* linked */
    cairn_topic_release(rig_make_topic(store, "t", 2));
    cairn_close(store);
    check_store(false);
    for (unsigned round = 0; round < ROUNDS * test_scale(); round++) {
        run_round(round, 1 + (unsigned)(test_random(&seed) % 300));
        check_store(round % 4 == 3);
    }
    CHECK(told.next[0] > 0 && told.next[THREADS - 1] > 1);
    free(told.offsets);
    test_remove(told.folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(killed_again_and_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every allocation fails in turn while topics are made, changed, written to and read: what was asked is refused with "nomem" or
 * done, nothing is half there, and the same call succeeds when there is memory again. */
#include <os/twin.h>
#include <pthread.h>
#include <store/store.h>

#include "no_memory.h"
#include "topic_rig.h"

struct run {
    struct os_sim *sim;
    cairn_store *store;
    cairn_uuid id;
    struct batch_maker makers[2];
    uint64_t refused;
    bool failed; /* the log has: its disk answered "no memory" */
};

/* ---- the script ------------------------------------------------------------------------------------------------------------------ */

static cairn_err
open_it(struct run *run)
{
    const cairn_options options = {.create = true, .no_background = true, .segment_size_bytes = 64 << 10,
                                   .index_memory_events = 30};
    return cairn_store_open_on(os_sim_os(run->sim), "data", &options, &run->store, NULL);
}

static cairn_err
append_history(struct run *run)
{
    const cairn_event events[3] = {{.type = CAIRN_STR("A"), .data = CAIRN_STR("e0")}, {.type = CAIRN_STR("A"), .data = CAIRN_STR("e1")},
                                   {.type = CAIRN_STR("A"), .data = CAIRN_STR("e2")}};
    const cairn_write writes[2] = {{CAIRN_STR("t-1"), CAIRN_NONE, events, 2}, {CAIRN_STR("t-2"), CAIRN_NONE, events + 2, 1}};
    const cairn_append_request request = {.writes = writes, .write_count = 2};
    cairn_at at;
    return cairn_append_all(run->store, &request, &at, NULL);
}

static cairn_err
make(struct run *run)
{
    cairn_topic topic = {.name = CAIRN_STR("t"), .partitions = 1};
    cairn_topic_ref *ref;
    cairn_err err = cairn_topic_put(run->store, 0, &topic, CAIRN_NONE, &ref, NULL);
    if (err != CAIRN_OK)
        return err;
    run->id = cairn_topic_of(ref)->id;
    cairn_topic_release(ref);
    return CAIRN_OK;
}

static cairn_err
append_batches(struct run *run)
{
    const cairn_batch batches[2] = {{run->id, 0, buf_str(&run->makers[0].out), NULL},
                                    {run->id, 0, buf_str(&run->makers[1].out), NULL}};
    const cairn_event event = {.type = CAIRN_STR("A"), .data = CAIRN_STR("e3")};
    const cairn_write write = {CAIRN_STR("t-1"), 1, &event, 1};
    const cairn_append_request request = {.writes = &write, .write_count = 1, .batches = batches, .batch_count = 2};
    cairn_at at;
    return cairn_append_all(run->store, &request, &at, NULL);
}

static cairn_err
grow(struct run *run)
{
    cairn_topic_ref *ref, *now = NULL;
    cairn_err err = cairn_topic_get(run->store, 0, CAIRN_STR("t"), &ref, NULL);
    if (err != CAIRN_OK)
        return err;
    cairn_topic topic = *cairn_topic_of(ref);
    topic.partitions = 3;
    topic.starts = (const uint64_t[]){1, 0, 0};
    err = cairn_topic_put(run->store, 0, &topic, (int64_t)cairn_topic_revision(ref), &now, NULL);
    cairn_topic_release(ref);
    cairn_topic_release(now);
    return err;
}

static cairn_err
read_it(struct run *run)
{
    cairn_partition_reader *reader;
    cairn_partition_item item;
    cairn_producer_batch producer;
    size_t count;
    uint64_t next = 1;
    cairn_err err = cairn_producer_batches(run->store, 0, &run->id, 0, 3, &producer, 1, &count, NULL);
    if (err == CAIRN_OK)
        err = cairn_read_partition(run->store, 0, &run->id, 0, 0, &reader, NULL);
    if (err != CAIRN_OK)
        return err;
    while ((err = cairn_partition_next(reader, &item, NULL)) == CAIRN_OK) {
        CHECK_INT(item.first_offset, next);
        next = item.last_offset + 1;
    }
    cairn_partition_reader_free(reader);
    if (err == CAIRN_E_END)
        CHECK_INT(next, 304);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static cairn_err
reindex(struct run *run)
{
    return cairn_reindex(run->store, NULL, NULL, NULL);
}

static cairn_err
verify(struct run *run)
{
    cairn_verify_report report;
    cairn_err err = cairn_verify(run->store, NULL, NULL, NULL, &report, NULL);
    if (err == CAIRN_OK)
        CHECK_INT(report.faults, 0);
    return err;
}

static cairn_err
open_again(struct run *run)
{
    cairn_close(run->store);
    run->store = NULL;
    return open_it(run);
}

static cairn_err (*const script[])(struct run *run) = {
    open_it, append_history, make, append_batches, grow, read_it, open_again, read_it, reindex, read_it,
};
#define SCRIPT (sizeof script / sizeof *script)

/* ---- running it -------------------------------------------------------------------------------------------------------------------- */

/* Out of memory in the simulated disk is a disk that fails: then the rest is another run's matter. */
static bool
log_has_failed(const struct run *run)
{
    cairn_stats stats;
    if (run->store == NULL)
        return false;
    cairn_stats_get(run->store, &stats);
    return stats.failed;
}

static void
act(struct run *run, size_t i)
{
    atomic_store(&memory.armed, memory.fail_at > 0);
    cairn_err err = script[i](run);
    atomic_store(&memory.armed, false);
    if (err == CAIRN_OK)
        return;
    run->failed = log_has_failed(run);
    if (!run->failed && err != CAIRN_E_NOMEM)
        fail_msg("step %zu: %s", i, cairn_err_name(err));
    run->refused++;
    if (!run->failed)
        CHECK_OK(script[i](run));
}

struct job {
    uint64_t call, refused;
    bool fired;
};

static void *
run_once(void *context)
{
    struct job *job = context;
    static const char *const keys[] = {"1", "2", "3", NULL};
    struct run run = {.sim = os_sim_new(1)};
    memset(&memory, 0, sizeof memory);
    rig_set_producer(rig_batch(&run.makers[0], "a", 100, keys, 4, BATCH_PLAIN), (struct rig_producer){3, 0, 0});
    (void)rig_batch(&run.makers[1], "b", 200, keys, 3, BATCH_ZSTD);
    memory.fail_at = job->call;
    for (size_t i = 0; i < SCRIPT && !run.failed; i++)
        act(&run, i);
    job->fired = atomic_load(&memory.fired); /* otherwise the script has fewer allocations */
    memory.fail_at = 0;
    CHECK_OK(open_again(&run));
    CHECK_OK(verify(&run));
    if (!run.failed)
        CHECK_OK(read_it(&run));
    cairn_close(run.store);
    batch_make_free(&run.makers[0]);
    batch_make_free(&run.makers[1]);
    os_sim_free(run.sim);
    job->refused += run.refused;
    return NULL;
}

TEST(any_allocation_may_fail)
{
    struct job job = {.fired = true};
    while (job.fired) {
        pthread_t thread; /* a new one each time: what a thread keeps for its next append is taken anew */
        job.call++;
        CHECK_INT(pthread_create(&thread, NULL, run_once, &job), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
    }
    printf("%llu allocations, %llu calls refused\n", (unsigned long long)job.call - 1, (unsigned long long)job.refused);
    CHECK(job.call > 100 && job.refused > 50);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(any_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

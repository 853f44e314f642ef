/* Consumer groups: what survives a stop, a crash, a disk that fails and many consumers at once. */
#include "group_rig.h"

/* ---- what survives ------------------------------------------------------------------------------------ */

/* Goal: a clean stop repeats exactly what was not acknowledged.
 * Method: acknowledge odd ones, reopen, take: the even ones, counted as second deliveries. */
TEST(a_clean_stop_repeats_only_what_is_open)
{
    begin();
    append_many("s-1", 100);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1")});
    struct taken *taken = take(60);
    for (size_t i = 1; i < 60; i += 2)
        ack_one(taken->positions[i]);
    uint64_t first = taken->positions[0];
    reopen();
    taken = take(1000);
    CHECK_INT(taken->count, 70);
    for (size_t i = 0; i < 30; i++) {
        CHECK_INT(taken->positions[i], first + 2 * i);
        CHECK_INT(taken->deliveries[i], 2);
    }
    for (size_t i = 30; i < 70; i++) {
        CHECK_INT(taken->positions[i], first + 30 + i);
        CHECK_INT(taken->deliveries[i], 1);
    }
    end();
}

/* Goal: a crash loses nothing, and repeats no more than the last 1,000 acknowledgements.
 * Method: acknowledge one at a time; crash (copy the folder); everything not acknowledged must come, and
 * of what was acknowledged at most 1,000. */
TEST(a_crash_repeats_at_most_a_checkpoint)
{
    begin();
    cairn_event events[1000];
    for (size_t i = 0; i < 1000; i++)
        events[i] = (cairn_event){.type = CAIRN_STR("T")};
    cairn_at at;
    for (int i = 0; i < 4; i++)
        CHECK_OK(cairn_append(store, 0, CAIRN_STR("s-1"), CAIRN_ANY, events, 1000, &at, NULL));
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1"), .outstanding_max = 5000});
    static bool acked[5000], seen[5000];
    memset(acked, 0, sizeof acked);
    memset(seen, 0, sizeof seen);
    struct taken *taken = take(5000);
    CHECK_INT(taken->count, 4000);
    uint64_t first = taken->positions[0];
    size_t acked_count = 0;
    for (size_t i = 0; i < 4000; i++)
        if (i % 7 != 0) {
            ack_one(taken->positions[i]);
            acked[i] = true;
            acked_count++;
        }
    CHECK(acked_count > 3000);
    CHECK(events_of("$subscription-work") < 10); /* checkpoints are few */
    crash_and_reopen();
    size_t repeated = 0;
    while ((taken = take(5000))->count > 0)
        for (size_t i = 0; i < taken->count; i++) {
            size_t index = taken->positions[i] - first;
            CHECK(index < 4000 && !seen[index]);
            seen[index] = true;
            repeated += acked[index];
        }
    for (size_t i = 0; i < 4000; i++)
        CHECK(acked[i] || seen[i]);
    printf("repeated %zu of %zu\n", repeated, acked_count);
    CHECK(repeated <= 1000);
    end();
}

/* Goal: with a moderate number outstanding a crash repeats no more than 1,000 acknowledgements.
 * Method: 100 outstanding at a time, acknowledge all; crash; count what comes again. */
TEST(a_crash_repeats_at_most_a_thousand)
{
    begin();
    cairn_event events[500];
    for (size_t i = 0; i < 500; i++)
        events[i] = (cairn_event){.type = CAIRN_STR("T")};
    cairn_at at;
    for (int i = 0; i < 5; i++)
        CHECK_OK(cairn_append(store, 0, CAIRN_STR("s-1"), CAIRN_ANY, events, 500, &at, NULL));
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1")});
    size_t done = 0;
    for (struct taken *taken; (taken = take(100))->count > 0; done += taken->count)
        ack(taken->positions, taken->count);
    CHECK_INT(done, 2500);
    crash_and_reopen();
    CHECK(take(5000)->count <= 1000);
    end();
}

/* Goal: a group whose checkpoints cannot be written says so, goes on handing out, and loses nothing.
 * Method: every sync fails from some moment on; look at the status; open again on a good disk. */
TEST(failing_checkpoints_are_visible)
{
    struct os_faulty faulty;
    os_faulty_init(&faulty, test_os());
    test_folder(folder);
    open_on(&faulty.os, folder, true);
    append_many("s-1", 10);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1")});
    uint64_t first = take(5)->positions[0];
    faulty.kinds = OS_FAULT_SYNC;
    faulty.errno_value = 5; /* EIO */
    faulty.fail_forever = true;
    faulty.fail_at = 1;
    faulty.calls = 0;
    pass_ms(2000);
    ack_one(first); /* taken note of, though it does not reach the log */
    pass_ms(2000);
    cairn_err err = cairn_maintain(store, NULL);
    (void)err;
    cairn_group_status got = status();
    CHECK_INT(got.state, CAIRN_GROUP_FAILING);
    CHECK(got.failure.code == CAIRN_E_IO && strlen(got.failure.detail) > 10);
    CHECK_INT(got.checkpoint, first + 1);
    CHECK_INT(take(2)->count, 2); /* reading still works, and so does the group */
    uint64_t position = first + 1;
    CHECK_INT(cairn_group_nack(store, 0, group, &position, 1, true, CAIRN_STR("x"), NULL, NULL),
              CAIRN_E_IO);
    CHECK_INT(status().parked, 0); /* what could not be parked comes again */
    CHECK_INT(status().retrying, 1);
    reopen();
    size_t again = take(100)->count; /* the acknowledgement may be lost, or its checkpoint there */
    CHECK(again == 9 || again == 10);
    CHECK_INT(status().state, CAIRN_GROUP_RUNNING);
    end();
}

/* Goal: a second's worth is the other bound: a slow consumer loses no more than that either.
 * Method: acknowledge one, let a second pass, let the store look after itself; crash. */
TEST(a_checkpoint_follows_within_a_second)
{
    begin();
    append_many("s-1", 10);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1")});
    struct taken *taken = take(10);
    ack(taken->positions, 10);
    uint64_t before = events_of("$subscription-work");
    CHECK_OK(cairn_maintain(store, NULL));
    CHECK_INT(events_of("$subscription-work"), before); /* not yet */
    pass_ms(1000);
    CHECK_OK(cairn_maintain(store, NULL));
    CHECK_INT(events_of("$subscription-work"), before + 1);
    pass_ms(1000);
    CHECK_OK(cairn_maintain(store, NULL));
    CHECK_INT(events_of("$subscription-work"), before + 1); /* and nothing when nothing happens */
    crash_and_reopen();
    CHECK_INT(take(10)->count, 0);
    end();
}

/* Goal: a store with threads of its own writes the checkpoint when nobody calls.
 * Method: acknowledge once, then only watch the group's stream grow. */
TEST(the_keeper_writes_checkpoints)
{
    test_folder(folder);
    open_at(folder, false);
    append_many("s-1", 1);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1")});
    ack_one(take(1)->positions[0]);
    uint64_t before = events_of("$subscription-work");
    cairn_reader *reader;
    cairn_recorded event;
    const cairn_read_options follow = {.from = (int64_t)before, .follow = true};
    CHECK_OK(cairn_read_stream(store, CAIRN_STR("$subscription-work"), &follow, &reader, NULL));
    cairn_err err;
    while ((err = cairn_reader_next(reader, &event, NULL)) == CAIRN_E_END)
        CHECK_OK(cairn_reader_wait(reader, 20000));
    CHECK_OK(err);
    cairn_reader_free(reader);
    end();
}

/* Goal: the group's own stream does not grow without end.
 * Method: many checkpoints; read the stream: only the newest few are left. */
TEST(checkpoints_are_bounded)
{
    begin();
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1")});
    for (int i = 0; i < 50; i++) {
        append_many("s-1", 1);
        ack_one(take(1)->positions[0]);
        pass_ms(1001);
        CHECK_OK(cairn_maintain(store, NULL));
    }
    cairn_stream_info info;
    CHECK_OK(cairn_stream_info_get(store, 0, CAIRN_STR("$subscription-work"), &info, NULL));
    CHECK(info.last_revision >= 50);
    CHECK(info.last_revision - (int64_t)info.first_revision < 10);
    end();
}

/* ---- many at once -------------------------------------------------------------------------------------- */

#define CONSUMERS 6
#define WORK 2000

struct consumer {
    unsigned *seen; /* how often each event was handed out, by position */
    uint64_t seed;
    size_t done;
};

static void
count_seen(void *context, const cairn_recorded *event, uint32_t delivery)
{
    (void)delivery;
    struct consumer *consumer = context;
    __atomic_fetch_add(&consumer->seen[event->position], 1, __ATOMIC_RELAXED);
    CHECK_OK(cairn_group_ack(store, 0, group, &event->position, 1, NULL, NULL));
    consumer->done++;
}

static unsigned work_done;

static void *
consume(void *context)
{
    struct consumer *consumer = context;
    while (__atomic_load_n(&work_done, __ATOMIC_RELAXED) < WORK) {
        size_t before = consumer->done;
        cairn_err err = cairn_group_take(store, 0, group, 1 + test_random(&consumer->seed) % 20,
                                         count_seen, consumer, NULL);
        CHECK(err == CAIRN_OK || err == CAIRN_E_END);
        __atomic_fetch_add(&work_done, consumer->done - before, __ATOMIC_RELAXED);
        if (err == CAIRN_E_END)
            sched_yield();
    }
    return NULL;
}

static void *
produce(void *context)
{
    (void)context;
    const cairn_event events[10] = {
        {.type = CAIRN_STR("T")}, {.type = CAIRN_STR("T")}, {.type = CAIRN_STR("T")},
        {.type = CAIRN_STR("T")}, {.type = CAIRN_STR("T")}, {.type = CAIRN_STR("T")},
        {.type = CAIRN_STR("T")}, {.type = CAIRN_STR("T")}, {.type = CAIRN_STR("T")},
        {.type = CAIRN_STR("T")}};
    for (int i = 0; i < WORK / 10; i++) {
        cairn_at at;
        CHECK_OK(cairn_append(store, 0, CAIRN_STR("s-1"), CAIRN_ANY, events, 10, &at, NULL));
    }
    return NULL;
}

/* Goal: however many share the work, each event is done exactly once when all acknowledge.
 * Method: six threads take and acknowledge (some within the callback) while one appends. */
TEST(consumers_share_the_work)
{
    test_folder(folder);
    open_at(folder, false);
    put(&(cairn_group_config){.category = CAIRN_STR("s"), .outstanding_max = 50});
    unsigned *seen = calloc(WORK * 4, sizeof *seen);
    uint64_t seed = test_seed();
    pthread_t producer, threads[CONSUMERS];
    struct consumer consumers[CONSUMERS];
    work_done = 0;
    CHECK(pthread_create(&producer, NULL, produce, NULL) == 0);
    for (int i = 0; i < CONSUMERS; i++) {
        consumers[i] = (struct consumer){seen, test_random(&seed), 0};
        CHECK(pthread_create(&threads[i], NULL, consume, &consumers[i]) == 0);
    }
    pthread_join(producer, NULL);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(threads[i], NULL);
    cairn_reader *reader;
    cairn_recorded event;
    size_t count = 0;
    CHECK_OK(cairn_read_stream(store, CAIRN_STR("s-1"), &(cairn_read_options){0}, &reader, NULL));
    for (; cairn_reader_next(reader, &event, NULL) == CAIRN_OK; count++)
        CHECK_INT(seen[event.position], 1);
    cairn_reader_free(reader);
    CHECK_INT(count, WORK);
    CHECK_INT(status().acked_total, WORK);
    CHECK_INT(status().outstanding, 0);
    cairn_close(store);
    open_at(folder, true);
    CHECK_INT(take(10)->count, 0);
    free(seen);
    end();
}

static void *
meddle(void *context)
{
    uint64_t seed = *(uint64_t *)context;
    static const char *const names[] = {"g-1", "g-2", "g-3"};
    for (int i = 0; i < 150; i++) {
        cairn_str name = cairn_cstr(names[test_random(&seed) % 3]);
        const cairn_group_config config = {.category = CAIRN_STR("s"),
                                           .outstanding_max = 1 + test_random(&seed) % 20};
        struct taken *taken = calloc(1, sizeof *taken);
        cairn_err err = CAIRN_OK;
        switch (test_random(&seed) % 6) {
        case 0:
            err = cairn_group_put(store, 0, name, &config, NULL);
            break;
        case 1:
            err = cairn_group_delete(store, 0, name, NULL);
            break;
        case 2:
            err = cairn_group_replay_parked(store, 0, name, NULL, NULL);
            break;
        case 3: {
            cairn_group_status got;
            err = cairn_group_status_get(store, 0, (cairn_str){0}, copy_status, &got, NULL);
            break;
        }
        default:
            err = cairn_group_take(store, 0, name, 5, note, taken, NULL);
            if (err == CAIRN_OK && test_random(&seed) % 2)
                err = cairn_group_ack(store, 0, name, taken->positions, taken->count, NULL, NULL);
            else if (err == CAIRN_OK)
                err = cairn_group_nack(store, 0, name, taken->positions, taken->count,
                                       test_random(&seed) % 2, CAIRN_STR("no"), NULL, NULL);
        }
        CHECK(err == CAIRN_OK || err == CAIRN_E_END || err == CAIRN_E_NOTFOUND);
        free(taken);
    }
    return NULL;
}

/* Goal: making, deleting, taking, parking, replaying and listing at once harm nothing.
 * Method: four threads do them at random on three names; then every group that is left still works. */
TEST(groups_survive_meddling)
{
    test_folder(folder);
    open_at(folder, false);
    append_many("s-1", 40);
    uint64_t seed = test_seed(), seeds[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        seeds[i] = test_random(&seed);
        CHECK(pthread_create(&threads[i], NULL, meddle, &seeds[i]) == 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    const cairn_str name = CAIRN_STR("g-1");
    cairn_err err = cairn_group_delete(store, 0, name, NULL);
    CHECK(err == CAIRN_OK || err == CAIRN_E_NOTFOUND);
    CHECK_OK(cairn_group_put(store, 0, name, &(cairn_group_config){.stream = CAIRN_STR("s-1")}, NULL));
    static struct taken taken;
    taken.count = 0;
    CHECK_OK(cairn_group_take(store, 0, name, 100, note, &taken, NULL));
    CHECK_INT(taken.count, 40); /* a new group of an old name begins anew */
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_clean_stop_repeats_only_what_is_open),
        RUN(a_crash_repeats_at_most_a_checkpoint),
        RUN(a_crash_repeats_at_most_a_thousand),
        RUN(failing_checkpoints_are_visible),
        RUN(a_checkpoint_follows_within_a_second),
        RUN(the_keeper_writes_checkpoints),
        RUN(checkpoints_are_bounded),
        RUN(consumers_share_the_work),
        RUN(groups_survive_meddling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Consumer groups on a real store, with a clock that the test moves. */
#include <inttypes.h>
#include <os/os.h>
#include <os/twin.h>
#include <pthread.h>
#include <store/group_state.h>
#include <store/store.h>

#include "test.h"

/* ---- a machine whose clock runs ahead as the test says ------------------------------------------ */

static struct os_ops clock_ops;
static struct os clock_os;
static int64_t ahead_us;

static int64_t
clock_monotonic(struct os *os)
{
    (void)os;
    return os_monotonic_us(os_real()) + __atomic_load_n(&ahead_us, __ATOMIC_RELAXED);
}

static void
pass_ms(int64_t ms)
{
    __atomic_fetch_add(&ahead_us, ms * 1000, __ATOMIC_RELAXED);
}

/* ---- the store ------------------------------------------------------------------------------------ */

static cairn_store *store;
static char folder[64];
static const cairn_str group = {"work", 4};

static struct os *
test_os(void)
{
    clock_ops = *os_real()->ops;
    clock_ops.monotonic_us = clock_monotonic;
    clock_os.ops = &clock_ops;
    return &clock_os;
}

static void
open_on(struct os *os, const char *path, bool no_background)
{
    const cairn_options options = {.create = true, .no_background = no_background};
    cairn_error error = {0};
    if (cairn_store_open_on(os, path, &options, &store, &error) != CAIRN_OK)
        fail_msg("open: %s", error.detail);
}

static void
open_at(const char *path, bool no_background)
{
    open_on(test_os(), path, no_background);
}

static void
begin(void)
{
    test_folder(folder);
    open_at(folder, true);
}

static void
end(void)
{
    cairn_close(store);
    test_remove(folder);
}

static void
reopen(void)
{
    cairn_close(store);
    open_at(folder, true);
}

/* What a crash leaves: the folder as it is now, opened as another store. */
static void
crash_and_reopen(void)
{
    char copy[64], command[256];
    test_folder(copy);
    snprintf(command, sizeof command, "cp -r '%s/.' '%s/'", folder, copy);
    CHECK(system(command) == 0);
    end();
    memcpy(folder, copy, sizeof copy);
    open_at(folder, true);
}

static uint64_t
append(const char *stream, const char *type)
{
    const cairn_event event = {.type = cairn_cstr(type), .data = CAIRN_STR("{}")};
    cairn_at at;
    CHECK_OK(cairn_append(store, 0, cairn_cstr(stream), CAIRN_ANY, &event, 1, &at, NULL));
    return at.first_position;
}

static void
append_many(const char *stream, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        append(stream, "T");
}

static void
put(const cairn_group_config *config)
{
    cairn_error error = {0};
    if (cairn_group_put(store, 0, group, config, &error) != CAIRN_OK)
        fail_msg("put: %s", error.detail);
}

#define TAKEN_MAX 5000
struct taken {
    uint64_t positions[TAKEN_MAX];
    uint32_t deliveries[TAKEN_MAX];
    size_t count;
};

static void
note(void *context, const cairn_recorded *event, uint32_t delivery)
{
    struct taken *taken = context;
    CHECK(taken->count < TAKEN_MAX);
    taken->positions[taken->count] = event->position;
    taken->deliveries[taken->count++] = delivery;
}

/* Up to `limit` events; none when there are none. */
static struct taken *
take(size_t limit)
{
    static struct taken taken;
    taken.count = 0;
    cairn_error error = {0};
    cairn_err err = cairn_group_take(store, 0, group, limit, note, &taken, &error);
    if (err != CAIRN_OK && err != CAIRN_E_END)
        fail_msg("take: %s: %s", cairn_err_name(err), error.detail);
    CHECK((err == CAIRN_OK) == (taken.count > 0));
    return &taken;
}

static void
ack(const uint64_t *positions, size_t count)
{
    size_t done = 0;
    CHECK_OK(cairn_group_ack(store, 0, group, positions, count, &done, NULL));
    CHECK_INT(done, count);
}

static void
ack_one(uint64_t position)
{
    ack(&position, 1);
}

static void
nack_one(uint64_t position, bool park)
{
    size_t count = 0;
    CHECK_OK(cairn_group_nack(store, 0, group, &position, 1, park, CAIRN_STR("because"), &count,
                              NULL));
    CHECK_INT(count, 1);
}

static void
copy_status(void *context, const cairn_group_status *status)
{
    *(cairn_group_status *)context = *status;
}

/* Without its names and settings' strings, which are borrowed. */
static cairn_group_status
status(void)
{
    cairn_group_status got = {0};
    CHECK_OK(cairn_group_status_get(store, 0, group, copy_status, &got, NULL));
    return got;
}

static uint64_t
events_of(const char *stream)
{
    cairn_stream_info info;
    CHECK_OK(cairn_stream_info_get(store, 0, cairn_cstr(stream), &info, NULL));
    return (uint64_t)(info.last_revision + 1);
}

/* ---- handing out ------------------------------------------------------------------------------------ */

/* Goal: a group sees each event of its view once, in order, and nothing else.
 * Method: one group each on a stream, a category, a query and everything; interleaved appends. */
TEST(each_view_is_handed_out_in_order)
{
    begin();
    const cairn_str type = CAIRN_STR("B");
    const cairn_query_item item = {.types = &type, .type_count = 1};
    const cairn_group_config configs[] = {
        {.stream = CAIRN_STR("a-1")}, {.category = CAIRN_STR("a")}, {.query = {&item, 1}}, {.from = 0}};
    uint64_t expected[4][300];
    size_t counts[4] = {0};
    for (unsigned i = 0; i < 300; i++) {
        const char *stream = i % 3 == 0 ? "a-1" : i % 3 == 1 ? "a-2" : "b-1";
        bool is_b = i % 5 == 0;
        uint64_t position = append(stream, is_b ? "B" : "A");
        bool in[4] = {i % 3 == 0, i % 3 < 2, is_b, true};
        for (int g = 0; g < 4; g++)
            if (in[g])
                expected[g][counts[g]++] = position;
    }
    for (int g = 0; g < 4; g++) {
        CHECK_OK(cairn_group_put(store, 0, group, &configs[g], NULL));
        size_t got = 0;
        for (struct taken *taken; (taken = take(7))->count > 0;) {
            for (size_t i = 0; i < taken->count; i++, got++) {
                CHECK_INT(taken->positions[i], expected[g][got]);
                CHECK_INT(taken->deliveries[i], 1);
            }
            ack(taken->positions, taken->count);
        }
        CHECK_INT(got, counts[g]);
        CHECK_INT(status().outstanding, 0);
        CHECK_OK(cairn_group_delete(store, 0, group, NULL));
    }
    end();
}

/* Goal: a group may begin anywhere: at a position, or with what comes from now on.
 * Method: groups on all and on a stream from the middle and from the end; take, append, take. */
TEST(groups_begin_where_they_are_told)
{
    begin();
    for (unsigned i = 0; i < 50; i++)
        append(i % 2 ? "s-1" : "s-2", "T");
    for (int on_stream = 0; on_stream < 2; on_stream++) {
        cairn_group_config config = {.from = 25};
        if (on_stream)
            config.stream = CAIRN_STR("s-1");
        put(&config);
        CHECK_INT(take(1)->positions[0], 25);
        CHECK_OK(cairn_group_delete(store, 0, group, NULL));
        config.from = CAIRN_FROM_END;
        put(&config);
        CHECK_INT(take(1)->count, 0);
        uint64_t position = append("s-1", "T");
        CHECK_INT(take(9)->count, 1);
        CHECK_INT(take(9)->count, 0);
        ack_one(position);
        CHECK_OK(cairn_group_delete(store, 0, group, NULL));
    }
    const cairn_group_config beyond = {.from = 100000};
    CHECK_INT(cairn_group_put(store, 0, group, &beyond, NULL), CAIRN_E_INVALID);
    end();
}

/* Goal: what is acknowledged is done, once, and the checkpoint is the first that is not.
 * Method: acknowledge out of order and twice; follow the status. */
TEST(the_checkpoint_is_the_first_not_done)
{
    begin();
    append_many("s-1", 10);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1")});
    struct taken *taken = take(10);
    CHECK_INT(taken->count, 10);
    uint64_t first = taken->positions[0];
    CHECK_INT(status().checkpoint, first);
    ack_one(first + 5);
    CHECK_INT(status().checkpoint, first);
    ack_one(first);
    CHECK_INT(status().checkpoint, first + 1);
    size_t count = 99;
    CHECK_OK(cairn_group_ack(store, 0, group, &first, 1, &count, NULL));
    CHECK_INT(count, 0);
    for (uint64_t i = 1; i < 10; i++)
        if (i != 5)
            ack_one(first + i);
    CHECK(status().checkpoint >= first + 10);
    CHECK_INT(status().acked_total, 10);
    CHECK(status().last_activity_us > 0);
    end();
}

/* Goal: an event that is not answered for comes again after its deadline, not before.
 * Method: take, move the clock to just before and to the deadline. */
TEST(deadlines_bring_events_back)
{
    begin();
    append_many("s-1", 3);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1"), .ack_timeout_ms = 100000});
    struct taken *taken = take(10);
    CHECK_INT(taken->count, 3);
    ack_one(taken->positions[1]);
    uint64_t first = taken->positions[0];
    pass_ms(90000);
    CHECK_INT(take(10)->count, 0);
    pass_ms(10000);
    taken = take(10);
    CHECK_INT(taken->count, 2);
    CHECK(taken->positions[0] == first && taken->positions[1] == first + 2);
    CHECK_INT(taken->deliveries[0], 2);
    ack(taken->positions, 2);
    pass_ms(1000000);
    CHECK_INT(take(10)->count, 0);
    end();
}

/* Goal: a refused event comes again after a back-off that doubles; a late acknowledgement counts.
 * Method: refuse with a delay of 10 s; step the clock through the back-offs. */
TEST(refused_events_back_off)
{
    begin();
    append_many("s-1", 1);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1"), .retry_delay_ms = 10000,
                              .ack_timeout_ms = 1000000});
    uint64_t position = take(1)->positions[0];
    for (int64_t delay_ms = 10000; delay_ms <= 40000; delay_ms *= 2) {
        nack_one(position, false);
        CHECK_INT(status().retrying, 1);
        pass_ms(delay_ms - 5000);
        CHECK_INT(take(1)->count, 0);
        pass_ms(5000);
        CHECK_INT(take(1)->count, 1);
        CHECK_INT(status().retrying, 0);
    }
    nack_one(position, false);
    ack_one(position); /* done after all */
    pass_ms(1000000);
    CHECK_INT(take(1)->count, 0);
    end();
}

/* Goal: a reader never holds more than it was allowed, whatever the log holds.
 * Method: 100 events, at most 10 outstanding; acknowledge some, take some. */
TEST(outstanding_events_are_bounded)
{
    begin();
    append_many("s-1", 100);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1"), .outstanding_max = 10});
    struct taken *taken = take(1000);
    CHECK_INT(taken->count, 10);
    CHECK_INT(status().state, CAIRN_GROUP_FULL);
    CHECK_INT(take(1000)->count, 0);
    uint64_t first = status().checkpoint;
    const uint64_t some[] = {first + 2, first + 7, first + 9};
    ack(some, 3);
    CHECK_INT(status().state, CAIRN_GROUP_RUNNING);
    CHECK_INT(take(1000)->count, 3);
    CHECK_INT(status().outstanding, 10);
    end();
}

/* Goal: looking when nothing is due costs next to nothing: no read, no write.
 * Method: compare the store's counters before and after 200,000 takes. */
TEST(taking_nothing_is_cheap)
{
    begin();
    append_many("s-1", 20);
    put(&(cairn_group_config){.outstanding_max = 5});
    CHECK_INT(take(100)->count, 5);
    cairn_stats before, after;
    cairn_stats_get(store, &before);
    for (int i = 0; i < 200000; i++)
        CHECK(cairn_group_take(store, 0, group, 10, note, NULL, NULL) == CAIRN_E_END);
    cairn_stats_get(store, &after);
    CHECK(before.reads_total == after.reads_total && before.events == after.events);
    end();
}

/* ---- parking ----------------------------------------------------------------------------------------- */

struct parked_seen {
    size_t count;
    uint64_t positions[200];
    uint32_t deliveries[200];
    char reasons[200][64];
};

static void
note_parked(void *context, const cairn_recorded *event, uint32_t deliveries, cairn_str reason)
{
    struct parked_seen *seen = context;
    CHECK(seen->count < 200 && reason.size < 64);
    seen->positions[seen->count] = event->position;
    seen->deliveries[seen->count] = deliveries;
    snprintf(seen->reasons[seen->count++], 64, "%.*s", (int)reason.size, reason.data);
}

static struct parked_seen *
parked(size_t limit)
{
    static struct parked_seen seen;
    memset(&seen, 0, sizeof seen);
    CHECK_OK(cairn_group_parked(store, 0, group, limit, note_parked, &seen, NULL));
    return &seen;
}

static size_t
replay(void)
{
    size_t count = 99;
    CHECK_OK(cairn_group_replay_parked(store, 0, group, &count, NULL));
    return count;
}

/* Goal: an event is parked at once when asked, after its last try otherwise, with what is known of it.
 * Method: park one; refuse one and let one time out until each is given up. */
TEST(events_are_parked_with_their_reasons)
{
    begin();
    append_many("s-1", 3);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1"), .retry_max = 3, .retry_delay_ms = 1,
                              .ack_timeout_ms = 1000});
    struct taken *taken = take(3);
    uint64_t first = taken->positions[0];
    nack_one(first, true);
    for (uint32_t delivery = 1; delivery <= 3; delivery++) {
        nack_one(first + 1, false);
        pass_ms(5000);
        taken = take(10);
        CHECK_INT(taken->count, delivery < 3 ? 2 : 0);
    }
    struct parked_seen *seen = parked(100);
    CHECK_INT(seen->count, 3);
    CHECK(seen->positions[0] == first && seen->deliveries[0] == 1);
    CHECK_STR(seen->reasons[0], "because");
    CHECK(seen->positions[1] == first + 1 && seen->deliveries[1] == 3);
    CHECK(seen->positions[2] == first + 2 && seen->deliveries[2] == 3);
    CHECK_STR(seen->reasons[2], "no acknowledgement before the deadline");
    CHECK_INT(parked(2)->count, 2);
    CHECK_INT(status().parked, 3);
    CHECK_INT(status().outstanding, 0);
    CHECK(status().checkpoint > first + 2); /* parked ones hold nothing up */
    reopen();
    CHECK_INT(status().parked, 3);
    CHECK_INT(take(10)->count, 0);
    end();
}

/* Goal: replayed events come again once, beginning with their first delivery, and may be parked again.
 * Method: park 150 (more than one append's worth), replay, acknowledge half, park half, replay again. */
TEST(parked_events_are_replayed)
{
    begin();
    append_many("s-1", 150);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1"), .outstanding_max = 200});
    struct taken *taken = take(200);
    CHECK_INT(taken->count, 150);
    size_t count;
    CHECK_OK(cairn_group_nack(store, 0, group, taken->positions, 150, true, CAIRN_STR("x"), &count,
                              NULL));
    CHECK_INT(count, 150);
    CHECK_INT(status().parked, 150);
    CHECK_INT(replay(), 150);
    CHECK_INT(replay(), 0);
    CHECK_INT(status().parked, 0);
    CHECK_INT(status().replaying, 150);
    uint64_t checkpoint = status().checkpoint;
    taken = take(200);
    CHECK_INT(taken->count, 150);
    CHECK(status().checkpoint >= checkpoint); /* a replay does not move it back */
    for (size_t i = 0; i < 150; i++)
        CHECK_INT(taken->deliveries[i], 1);
    ack(taken->positions, 75);
    for (size_t i = 75; i < 150; i++)
        nack_one(taken->positions[i], true);
    CHECK_INT(status().parked, 75);
    CHECK_INT(parked(200)->count, 75);
    reopen();
    CHECK_INT(replay(), 75);
    taken = take(10);
    CHECK_INT(taken->count, 10);
    reopen(); /* in the middle of the replay */
    size_t again = 0;
    while ((taken = take(200))->count > 0) {
        again += taken->count;
        ack(taken->positions, taken->count);
    }
    CHECK_INT(again, 75);
    CHECK_INT(status().outstanding + status().retrying + status().replaying, 0);
    reopen();
    CHECK_INT(take(10)->count, 0);
    end();
}

/* Goal: an event that retention takes away while it is out holds nothing up.
 * Method: take, truncate the stream, let the deadline pass. */
TEST(events_that_are_gone_are_done)
{
    begin();
    append_many("s-1", 10);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1"), .ack_timeout_ms = 1000});
    CHECK_INT(take(10)->count, 10);
    const cairn_retention retention = {.truncate_before = 8};
    CHECK_OK(cairn_retention_set(store, 0, CAIRN_STR("s-1"), &retention, NULL));
    pass_ms(2000);
    CHECK_INT(take(10)->count, 2);
    CHECK_INT(status().outstanding, 2);
    end();
}

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

/* ---- keeping order ---------------------------------------------------------------------------------- */

struct names_seen {
    size_t count;
    char names[10][8];
};

static void
note_name(void *context, const cairn_group_status *got)
{
    struct names_seen *seen = context;
    CHECK(seen->count < 10 && got->name.size < 8);
    snprintf(seen->names[seen->count++], 8, "%.*s", (int)got->name.size, got->name.data);
}

/* Goal: all groups of a scope are listed, also those not used since the store was opened; deleted ones are not.
 * Method: make groups in two scopes, delete one, reopen, list. */
TEST(groups_are_listed)
{
    begin();
    const char *names[] = {"b", "a", "d", "c"};
    for (int i = 0; i < 4; i++)
        CHECK_OK(cairn_group_put(store, 0, cairn_cstr(names[i]), &(cairn_group_config){0}, NULL));
    CHECK_OK(cairn_group_put(store, 7, CAIRN_STR("z"), &(cairn_group_config){0}, NULL));
    CHECK_OK(cairn_group_delete(store, 0, CAIRN_STR("d"), NULL));
    for (int again = 0; again < 2; again++) {
        struct names_seen seen = {0};
        CHECK_OK(cairn_group_status_get(store, 0, (cairn_str){0}, note_name, &seen, NULL));
        CHECK_INT(seen.count, 3);
        CHECK_STR(seen.names[0], "a");
        CHECK_STR(seen.names[1], "b");
        CHECK_STR(seen.names[2], "c");
        reopen();
    }
    CHECK_INT(cairn_group_status_get(store, 0, CAIRN_STR("d"), note_name, NULL, NULL),
              CAIRN_E_NOTFOUND);
    CHECK_INT(cairn_group_take(store, 0, CAIRN_STR("z"), 1, note, NULL, NULL), CAIRN_E_NOTFOUND);
    end();
}

/* Goal: settings change without losing what was done; what cannot be is refused with the old ones kept.
 * Method: change the bound, then the view, on a group with work open; wrong settings in between. */
TEST(settings_change_and_work_stays)
{
    begin();
    append_many("s-1", 10);
    append_many("t-1", 10);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1"), .outstanding_max = 3});
    struct taken *taken = take(10);
    CHECK_INT(taken->count, 3);
    ack(taken->positions, 2);
    const cairn_group_config wrong[] = {
        {.stream = CAIRN_STR("s-1"), .category = CAIRN_STR("s")},
        {.outstanding_max = 1000000},
        {.from = -1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cairn_err err = cairn_group_put(store, 0, group, &wrong[i], NULL);
        CHECK(err == CAIRN_E_INVALID || err == CAIRN_E_LIMIT);
    }
    CHECK_INT(status().config.outstanding_max, 3);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1"), .outstanding_max = 5});
    CHECK_INT(status().outstanding, 1);
    CHECK_INT(take(10)->count, 4);
    put(&(cairn_group_config){.category = CAIRN_STR("t"), .outstanding_max = 20});
    reopen();
    taken = take(50);
    CHECK_INT(taken->count, 15); /* five of s-1 that are open, ten of t-1 */
    end();
}

/* Goal: what was opened read-only hands nothing out, since it could not keep what is done.
 * Method: open a copy read-only; take, acknowledge, put; status still works. */
TEST(read_only_stores_have_no_groups_to_work)
{
    begin();
    append_many("s-1", 1);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1")});
    cairn_close(store);
    const cairn_options options = {.read_only = true};
    CHECK_OK(cairn_open(folder, &options, &store, NULL));
    CHECK_INT(cairn_group_take(store, 0, group, 1, note, NULL, NULL), CAIRN_E_READONLY);
    CHECK_INT(cairn_group_put(store, 0, group, &(cairn_group_config){0}, NULL), CAIRN_E_READONLY);
    CHECK_INT(status().parked, 0);
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(each_view_is_handed_out_in_order),
        RUN(groups_begin_where_they_are_told),
        RUN(the_checkpoint_is_the_first_not_done),
        RUN(deadlines_bring_events_back),
        RUN(refused_events_back_off),
        RUN(outstanding_events_are_bounded),
        RUN(taking_nothing_is_cheap),
        RUN(events_are_parked_with_their_reasons),
        RUN(parked_events_are_replayed),
        RUN(events_that_are_gone_are_done),
        RUN(a_clean_stop_repeats_only_what_is_open),
        RUN(a_crash_repeats_at_most_a_checkpoint),
        RUN(a_crash_repeats_at_most_a_thousand),
        RUN(failing_checkpoints_are_visible),
        RUN(a_checkpoint_follows_within_a_second),
        RUN(the_keeper_writes_checkpoints),
        RUN(checkpoints_are_bounded),
        RUN(consumers_share_the_work),
        RUN(groups_survive_meddling),
        RUN(groups_are_listed),
        RUN(settings_change_and_work_stays),
        RUN(read_only_stores_have_no_groups_to_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

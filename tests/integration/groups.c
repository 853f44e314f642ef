/* Consumer groups: what is handed out, to whom and when, and what becomes of it. What survives a crash and many
 * consumers at once: groups_survive.c. */
#include "group_rig.h"

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
        RUN(groups_are_listed),
        RUN(settings_change_and_work_stays),
        RUN(read_only_stores_have_no_groups_to_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A consumer group's memory: the heap of pending events that a hash table can find, and its JSON. */
#include <base/bytes.h>
#include <store/group_state.h>
#include <store/pending.h>

#include "test.h"

#define POSITIONS 300

static struct pending_entry
entry_at(uint64_t position, int64_t due_us)
{
    return (struct pending_entry){.position = position, .due_us = due_us, .deliveries = 1};
}

/* Goal: whatever the order of changes, the earliest is first and every position is found.
 * Method: random adds, updates and removals beside an array indexed by position; compare after each. */
TEST(pending_agrees_with_an_array)
{
    uint64_t seed = test_seed();
    struct pending pending = {0};
    struct pending_entry model[POSITIONS];
    bool present[POSITIONS] = {false};
    size_t count = 0;
    for (unsigned step = 0; step < 20000 * test_scale(); step++) {
        uint64_t position = test_random(&seed) % POSITIONS;
        int64_t due_us = (int64_t)(test_random(&seed) % 50);
        unsigned what = test_random(&seed) % 3;
        if (!present[position] && what < 2) {
            model[position] = entry_at(position * 1000003, due_us);
            model[position].replayed = test_random(&seed) % 4 == 0;
            CHECK(pending_add(&pending, &model[position]));
            present[position] = true;
            count++;
        } else if (present[position] && what == 0) {
            model[position].due_us = due_us;
            model[position].state = test_random(&seed) % 2 ? PENDING_BACK_OFF : PENDING_OUT;
            pending_update(&pending, &model[position]);
        } else {
            CHECK(pending_remove(&pending, position * 1000003) == present[position]);
            count -= present[position];
            present[position] = false;
        }
        int64_t earliest = INT64_MAX;
        uint64_t lowest = UINT64_MAX;
        size_t back_off = 0;
        for (uint64_t i = 0; i < POSITIONS; i++) {
            const struct pending_entry *found = pending_find(&pending, i * 1000003);
            CHECK((found != NULL) == present[i]);
            if (!present[i])
                continue;
            CHECK_INT(found->due_us, model[i].due_us);
            CHECK_INT(found->state, model[i].state);
            back_off += model[i].state == PENDING_BACK_OFF;
            if (model[i].due_us < earliest)
                earliest = model[i].due_us;
            if (!model[i].replayed && model[i].position < lowest)
                lowest = model[i].position;
        }
        CHECK_INT(pending.count, count);
        CHECK_INT(pending.back_off_count, back_off);
        CHECK(pending_lowest(&pending, UINT64_MAX) == lowest);
        CHECK(count == 0 ? pending_first(&pending) == NULL
                         : pending_first(&pending)->due_us == earliest);
        if (step % 4 == 0 && count > 200) /* now and then let it run empty */
            for (uint64_t i = 0; i < POSITIONS; i++)
                if (present[i] && pending_remove(&pending, i * 1000003)) {
                    present[i] = false;
                    count--;
                }
    }
    pending_free(&pending);
}

/* Goal: what is due at the same moment is handed out in the log's order.
 * Method: add positions in a scrambled order with one moment; take them out. */
TEST(pending_keeps_order_among_equals)
{
    struct pending pending = {0};
    for (uint64_t i = 0; i < 1000; i++) {
        struct pending_entry entry = entry_at(i * 617 % 1000, 7);
        CHECK(pending_add(&pending, &entry));
    }
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK_INT(pending_first(&pending)->position, i);
        CHECK(pending_remove(&pending, i));
    }
    CHECK_INT(pending_memory(&pending), 0); /* an idle group holds nothing */
}

static cairn_group_config
full_config(void)
{
    static const cairn_str types[] = {{"a", 1}, {"\"quoted\"\n", 9}}, tags[] = {{"k:\xc3\xa9", 4}};
    static const cairn_query_item items[] = {
        {.types = types, .type_count = 2, .tags = tags, .tag_count = 1},
        {.tags = tags, .tag_count = 1},
    };
    return (cairn_group_config){.category = CAIRN_STR("order"),
                                .query = {items, 2},
                                .from = 17,
                                .ack_timeout_ms = 5,
                                .retry_max = 6,
                                .retry_delay_ms = 7,
                                .outstanding_max = 8};
}

/* Goal: a state written and read again says the same.
 * Method: encode one with every field set, decode, compare, encode again, compare texts' sizes. */
TEST(state_survives_its_json)
{
    struct group_state group = {.next = 123456789012, .replay_next = 3, .replay_until = 9};
    const cairn_group_config config = full_config();
    CHECK_OK(group_config_copy(&config, &group.arena, &group.config, NULL));
    for (uint64_t i = 0; i < 100; i++) {
        struct pending_entry entry = {.position = i * i, .deliveries = (uint32_t)i, .due_us = 5,
                                      .replayed = i % 3 == 0};
        CHECK(pending_add(&group.pending, &entry));
    }
    struct buf text = {0}, again = {0};
    group_state_encode(&group, &text);
    CHECK(!text.failed);

    struct group_state read = {0};
    CHECK_OK(group_state_decode(buf_str(&text), &read, NULL));
    CHECK(read.next == group.next && read.replay_next == 3 && read.replay_until == 9);
    CHECK_INT(read.pending.count, 100);
    for (uint64_t i = 0; i < 100; i++) {
        const struct pending_entry *entry = pending_find(&read.pending, i * i);
        CHECK(entry && entry->deliveries == i && entry->replayed == (i % 3 == 0));
        CHECK(entry->due_us <= 0); /* due at once */
    }
    CHECK(cairn_str_equal(read.config.category, config.category));
    CHECK_INT(read.config.query.item_count, 2);
    CHECK(cairn_str_equal(read.config.query.items[0].types[1], config.query.items[0].types[1]));
    CHECK(cairn_str_equal(read.config.query.items[1].tags[0], config.query.items[1].tags[0]));
    CHECK_INT(read.config.outstanding_max, 8);
    group_state_encode(&read, &again);
    CHECK_INT(again.size, text.size);
    buf_free(&text);
    buf_free(&again);
    group_state_free(&group);
    group_state_free(&read);
}

/* Goal: a state that is cut or changed is refused, never half believed.
 * Method: decode every prefix of a good one, and texts with wrong members. */
TEST(bad_states_are_refused)
{
    struct group_state group = {.next = 5};
    const cairn_group_config config = full_config();
    CHECK_OK(group_config_copy(&config, &group.arena, &group.config, NULL));
    struct pending_entry entry = entry_at(3, 0);
    CHECK(pending_add(&group.pending, &entry));
    struct buf text = {0};
    group_state_encode(&group, &text);
    for (size_t size = 0; size < text.size; size++) {
        struct group_state read = {0};
        CHECK(group_state_decode((cairn_str){text.data, size}, &read, NULL) == CAIRN_E_CORRUPT);
        group_state_free(&read);
    }
    const char *bad[] = {
        "{}",
        "[]",
        "{\"config\":{},\"next\":1,\"replay_next\":0,\"replay_until\":0,\"pending\":[],\"replayed\":[]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct group_state read = {0};
        CHECK(group_state_decode(cairn_cstr(bad[i]), &read, NULL) == CAIRN_E_CORRUPT);
        group_state_free(&read);
    }
    buf_free(&text);
    group_state_free(&group);
}

/* Goal: back-off doubles from the delay that is set and stops at a minute.
 * Method: the first twenty delays of 200 ms. */
TEST(back_off_doubles_to_a_minute)
{
    const cairn_group_config config = {.retry_delay_ms = 200};
    int64_t expected_ms = 200;
    for (uint32_t deliveries = 1; deliveries <= 20; deliveries++) {
        CHECK_INT(group_retry_due(&config, deliveries, 1000), 1000 + expected_ms * 1000);
        expected_ms = expected_ms * 2 > 60000 ? 60000 : expected_ms * 2;
    }
}

/* Goal: a reason of any length and with any bytes is kept as readable text.
 * Method: a reason of multi-byte characters longer than the limit; read it back. */
TEST(long_reasons_are_cut_between_characters)
{
    char reason[3000];
    for (size_t i = 0; i + 1 < sizeof reason; i += 2)
        memcpy(reason + i, "\xc3\xa9", 2);
    const struct group_parked parked = {.position = 7, .deliveries = 3, .reason = {reason + 1, sizeof reason - 1}};
    struct buf text = {0};
    struct arena arena = {0};
    struct group_parked read;
    group_parked_encode(&parked, &text);
    CHECK_OK(group_parked_decode(buf_str(&text), &arena, &read, NULL));
    CHECK(read.position == 7 && read.deliveries == 3);
    CHECK(read.reason.size > 1000 && read.reason.size <= GROUP_REASON_BYTES_MAX + 3);
    buf_free(&text);
    arena_free(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(pending_agrees_with_an_array),      RUN(pending_keeps_order_among_equals),
        RUN(state_survives_its_json),           RUN(bad_states_are_refused),
        RUN(back_off_doubles_to_a_minute),      RUN(long_reasons_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

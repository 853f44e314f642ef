/* Consumer groups with dead letters: what becomes of events that are given up, and of dead letters that are sent back. */
#include "group_rig.h"

#include <base/json.h>
#include <store/dead.h>

/* ---- the dead letters there are ---------------------------------------------------------------------- */

#define LETTERS_MAX 256
struct letters {
    size_t count;
    uint64_t at[LETTERS_MAX], position[LETTERS_MAX];
};

static struct letters *
letters(void)
{
    static struct letters all;
    const cairn_str type = CAIRN_STR(DEAD_TYPE);
    const cairn_query_item item = {.types = &type, .type_count = 1};
    const cairn_read_options options = {.query = {&item, 1}};
    struct arena arena = {0};
    cairn_reader *reader;
    cairn_recorded event;
    cairn_err err;
    all.count = 0;
    CHECK_OK(cairn_read_all(store, &options, &reader, NULL));
    while ((err = cairn_reader_next(reader, &event, NULL)) == CAIRN_OK) {
        struct dead_origin origin;
        CHECK(all.count < LETTERS_MAX && dead_letter_read(&event.event, &arena, &origin) == CAIRN_OK);
        CHECK(cairn_str_equal(origin.kind, CAIRN_STR("subscription")) && cairn_str_equal(origin.name, group));
        all.at[all.count] = event.position;
        all.position[all.count++] = origin.position;
    }
    CHECK_INT(err, CAIRN_E_END);
    cairn_reader_free(reader);
    arena_free(&arena);
    return &all;
}

static size_t
letters_of(const struct letters *all, uint64_t position)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++)
        count += all->position[i] == position;
    return count;
}

static bool
error_is(struct json meta, const char *code, const char *detail)
{
    struct json error = json_get(json_get(meta, "dead_letter"), "error");
    return json_string_is(json_get(error, "code"), code) && json_string_is(json_get(error, "detail"), detail);
}

static bool
header_is(struct json meta, const char *name, const char *value)
{
    return json_string_is(json_get(json_get(meta, "kafka_headers"), name), value);
}

/* ---- one at a time ------------------------------------------------------------------------------------- */

/* The newest event of a stream, while it is looked at. */
static cairn_recorded
newest(const char *stream, cairn_reader **reader)
{
    const cairn_read_options options = {.from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD};
    cairn_recorded event;
    CHECK_OK(cairn_read_stream(store, cairn_cstr(stream), &options, reader, NULL));
    CHECK_OK(cairn_reader_next(*reader, &event, NULL));
    return event;
}

/* Goal: after retry_max tries an event is a dead letter with key, data, error and place, in a topic made for it; the next goes on.
 * Method: an event of a topic with three partitions, refused twice; one whose deadline passes; one in no topic; one parked at once. */
TEST(what_is_given_up_is_a_dead_letter)
{
    begin();
    const cairn_topic topic = {.name = CAIRN_STR("my-orders"), .partitions = 3};
    cairn_topic_ref *ref;
    CHECK_OK(cairn_topic_put(store, 0, &topic, CAIRN_NONE, &ref, NULL));
    cairn_topic_release(ref);
    const cairn_str tag = CAIRN_STR("customer:7");
    const cairn_event paid = {.type = CAIRN_STR("Paid"), .data = CAIRN_STR("{\"n\":1}"), .meta = CAIRN_STR("{\"actor\":\"me\"}"),
                              .correlation = CAIRN_STR("c-9"), .tags = &tag, .tag_count = 1};
    cairn_at at;
    append("my~orders-4-2", "Placed");
    CHECK_OK(cairn_append(store, 0, CAIRN_STR("my~orders-4-2"), CAIRN_ANY, &paid, 1, &at, NULL));
    uint64_t position = at.first_position;
    put(&(cairn_group_config){.from = (int64_t)position, .retry_max = 2, .retry_delay_ms = 1000, .dead_letter = true});
    CHECK_INT(take(9)->count, 1);
    nack_one(position, false);
    CHECK_INT(take(9)->count, 0);
    CHECK_INT(letters()->count, 0);
    pass_ms(1000);
    CHECK_INT(take(9)->count, 1);
    nack_one(position, false);
    CHECK_INT(letters()->count, 1);
    CHECK_INT(letters()->position[0], position);

    cairn_reader *reader;
    cairn_recorded event = newest("my~orders.dlq-4-2", &reader);
    struct json meta;
    CHECK_OK(json_check(event.event.meta, &meta, NULL));
    CHECK(cairn_str_equal(event.event.type, CAIRN_STR("DeadLetter")) && cairn_str_equal(event.event.data, paid.data));
    CHECK(cairn_str_equal(event.event.correlation, paid.correlation) && event.event.tag_count == 0);
    CHECK(error_is(meta, "refused", "because") && json_string_is(json_get(json_get(json_get(meta, "dead_letter"), "meta"), "actor"), "me"));
    CHECK(header_is(meta, "ce_type", "Paid") && header_is(meta, "dlq_attempts", "2") && header_is(meta, "dlq_topic", "my-orders"));
    CHECK(header_is(meta, "dlq_consumer", "work") && header_is(meta, "dlq_offset", "1") && header_is(meta, "dlq_stream", "my~orders-4-2"));
    cairn_reader_free(reader);
    CHECK_OK(cairn_topic_get(store, 0, CAIRN_STR("my-orders.dlq"), &ref, NULL));
    CHECK_INT(cairn_topic_of(ref)->partitions, 3);
    cairn_topic_release(ref);

    /* Its own dead letter is an event of everything, and is not one again. */
    struct taken *taken = take(9);
    CHECK_INT(taken->count, 1);
    nack_one(taken->positions[0], true);
    CHECK(letters()->count == 1 && status().parked == 1 && status().dead_letters == 1);

    uint64_t late = append("bill-1", "T"), odd = append("h\xC3\xB6 he", "T");
    CHECK_INT(take(1)->positions[0], late);
    pass_ms(30000);
    CHECK_INT(take(1)->positions[0], late);
    pass_ms(30000);
    CHECK_INT(take(1)->positions[0], odd);
    event = newest("bill.dlq-1", &reader);
    CHECK(json_check(event.event.meta, &meta, NULL) == CAIRN_OK && error_is(meta, "deadline", "no acknowledgement before the deadline"));
    cairn_reader_free(reader);
    nack_one(odd, true);
    event = newest("h___he.dlq", &reader);
    CHECK(json_check(event.event.meta, &meta, NULL) == CAIRN_OK && header_is(meta, "dlq_attempts", "1"));
    cairn_reader_free(reader);
    CHECK_INT(status().dead_letters, 3);
    reopen();
    CHECK_INT(status().dead_letters, 3);
    end();
}

/* Goal: where dead letters go is the consumer's to say, then the topic's; what is too large for one goes without its data. */
TEST(where_they_go_and_how_large_they_are)
{
    begin();
    const cairn_topic topic = {.name = CAIRN_STR("a"), .partitions = 1, .config = CAIRN_STR("{\"cairn.dead.letter\":\"the-dead\"}")};
    cairn_topic_ref *ref;
    CHECK_OK(cairn_topic_put(store, 0, &topic, CAIRN_NONE, &ref, NULL));
    cairn_topic_release(ref);
    cairn_group_config config = {.dead_letter = true, .dead_letter_topic = CAIRN_STR("no topic"), .category = CAIRN_STR("a")};
    CHECK_INT(cairn_group_put(store, 0, group, &config, NULL), CAIRN_E_INVALID);
    config.dead_letter_topic = (cairn_str){0};
    put(&config);
    append("a-1", "T");
    nack_one(take(1)->positions[0], true);
    CHECK_INT(events_of("the~dead-1"), 1);
    config.dead_letter_topic = CAIRN_STR("mine");
    put(&config);
    size_t size = (1 << 20) - 300;
    char *data = calloc(1, size);
    memset(data, 'x', size);
    const cairn_event large = {.type = CAIRN_STR("T"), .data = {data, size}, .content_type = CAIRN_STR("text/plain")};
    cairn_at at;
    CHECK_OK(cairn_append(store, 0, CAIRN_STR("a-1"), CAIRN_ANY, &large, 1, &at, NULL));
    nack_one(take(1)->positions[0], true);
    cairn_reader *reader;
    cairn_recorded event = newest("mine-1", &reader);
    struct json meta;
    CHECK_OK(json_check(event.event.meta, &meta, NULL));
    CHECK(event.event.data.size == 0 && header_is(meta, "dlq_data_left_out", "true"));
    cairn_reader_free(reader);
    CHECK_INT(status().parked, 0);
    free(data);
    end();
}

/* ---- sent back -------------------------------------------------------------------------------------------- */

static cairn_err
send_back(struct dead_return *returns, size_t *ret_count)
{
    const struct letters *all = letters();
    *ret_count = all->count;
    for (size_t i = 0; i < all->count; i++)
        returns[i] = (struct dead_return){.letter = all->at[i], .position = all->position[i]};
    return group_return_dead(store, 0, group, CAIRN_STR("s.dlq"), returns, all->count, false, NULL);
}

static size_t
count_results(const struct dead_return *returns, size_t count, enum dead_result result)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += returns[i].result == result;
    return n;
}

/* Goal: a dead letter is sent back once; what fails again is another one; there is never more pending than the group allows.
 * Method: 50 dead letters, 20 outstanding; send back, twice; refuse; send back across a restart. */
TEST(dead_letters_go_back_once)
{
    static struct dead_return returns[LETTERS_MAX];
    size_t count;
    begin();
    append_many("s-1", 50);
    put(&(cairn_group_config){.stream = CAIRN_STR("s-1"), .dead_letter = true, .outstanding_max = 20});
    for (struct taken *taken; (taken = take(20))->count > 0;) {
        size_t refused;
        CHECK_OK(cairn_group_nack(store, 0, group, taken->positions, taken->count, true, CAIRN_STR("no"), &refused, NULL));
    }
    CHECK_INT(letters()->count, 50);
    CHECK_OK(send_back(returns, &count));
    CHECK(count_results(returns, count, DEAD_RETURNED) == 20 && count_results(returns, count, DEAD_NO_ROOM) == 30);
    CHECK_OK(send_back(returns, &count));
    CHECK(count_results(returns, count, DEAD_BEFORE) == 20 && count_results(returns, count, DEAD_NO_ROOM) == 30);
    reopen();
    struct taken *taken = take(100);
    CHECK_INT(taken->count, 20);
    CHECK_INT(taken->deliveries[0], 1);
    ack(taken->positions, 20);
    CHECK_OK(send_back(returns, &count));
    CHECK_INT(count_results(returns, count, DEAD_RETURNED), 20);
    taken = take(100);
    CHECK_INT(taken->count, 20);
    ack(taken->positions, 19);
    nack_one(taken->positions[19], true);
    CHECK_INT(letters()->count, 51);
    CHECK_OK(send_back(returns, &count));
    CHECK(count == 51 && count_results(returns, count, DEAD_RETURNED) == 11 && count_results(returns, count, DEAD_BEFORE) == 40);
    CHECK_INT(take(100)->count, 11);
    end();
}

/* ---- when the disk fails ------------------------------------------------------------------------------------ */

#define EVENTS 9
static uint64_t positions[EVENTS];

static bool
refused_ones(uint64_t position)
{
    return position % 3 != 0;
}

/* Ack a third, refuse the others, until nothing comes. Errors of a disk that fails end it. */
static void
consume(bool fails_too)
{
    static struct taken taken;
    for (int round = 0; round < 40; round++) {
        taken.count = 0;
        cairn_err err = cairn_group_take(store, 0, group, 4, note, &taken, NULL);
        if (err != CAIRN_OK && err != CAIRN_E_END)
            return;
        for (size_t i = 0; i < taken.count; i++) {
            bool refuse = fails_too && refused_ones(taken.positions[i]);
            err = refuse ? cairn_group_nack(store, 0, group, &taken.positions[i], 1, false, CAIRN_STR("no"), NULL, NULL)
                         : cairn_group_ack(store, 0, group, &taken.positions[i], 1, NULL, NULL);
            if (err != CAIRN_OK)
                return;
        }
        pass_ms(100000);
    }
}

/* Goal: whatever write or sync fails, an event that is refused is a dead letter once, and one that is sent back is one once
 * more when it is refused again.
 * Method: fail the n-th call while events are given up, reopen and go on; the same while they are sent back. Until no call is left to fail. */
TEST(none_lost_none_doubled)
{
    static struct dead_return returns[LETTERS_MAX];
    struct os_faulty faulty;
    uint64_t fired_at[2] = {0};
    for (int phase = 0; phase < 2; phase++) {
        bool fired = true;
        for (uint64_t fail_at = 1; fired; fail_at++) {
            size_t count;
            begin();
            for (int i = 0; i < EVENTS; i++)
                positions[i] = append(i % 2 ? "s-1" : "s-2", "T");
            put(&(cairn_group_config){.category = CAIRN_STR("s"), .dead_letter = true, .retry_max = 2});
            cairn_close(store);
            os_faulty_init(&faulty, test_os());
            open_on(&faulty.os, folder, true);
            if (phase == 1)
                consume(true);
            faulty.kinds = OS_FAULT_SYNC | OS_FAULT_WRITE;
            faulty.errno_value = fail_at % 2 ? 5 : 28; /* EIO, ENOSPC */
            faulty.fail_at = fail_at;
            faulty.calls = 0;
            if (phase == 0)
                consume(true);
            else if (send_back(returns, &count) == CAIRN_OK)
                consume(true);
            fired = faulty.calls >= fail_at;
            fired_at[phase] += fired;
            faulty.fail_at = 0;
            reopen();
            consume(true);
            if (phase == 1) {
                CHECK_OK(send_back(returns, &count));
                consume(true);
            }
            const struct letters *all = letters();
            for (int i = 0; i < EVENTS; i++) {
                size_t n = letters_of(all, positions[i]), want = refused_ones(positions[i]) ? 1 : 0;
                if (phase == 0 ? n != want : n < 2 * want || n > 3 * want) /* the second sending back is a third failure */
                    fail_msg("phase %d, call %llu: event %llu has %zu dead letters", phase, (unsigned long long)fail_at,
                             (unsigned long long)positions[i], n);
            }
            CHECK(status().outstanding == 0 && status().retrying == 0);
            end();
        }
    }
    printf("%llu and %llu failures\n", (unsigned long long)fired_at[0], (unsigned long long)fired_at[1]);
    CHECK(fired_at[0] > 10 && fired_at[1] > 10);
}

/* Goal: large events that are given up together all become dead letters, in as many appends as it takes; one that leaves no room for
 * anything beside it leaves its data out. Method: three that together are more than an append may have, and one that nearly is. */
TEST(large_ones_are_given_up_together)
{
    static const size_t sizes[] = {24 << 20, 24 << 20, 24 << 20, 62 << 20};
    const cairn_options options = {.create = true, .no_background = true, .event_size_max = 64 << 20, .append_size_max = 64 << 20};
    uint64_t large[4];
    size_t count = 0;
    char *data = malloc(sizes[3]);
    CHECK(data != NULL);
    memset(data, 'x', sizes[3]);
    test_folder(folder);
    CHECK_OK(cairn_store_open_on(test_os(), folder, &options, &store, NULL));
    for (int i = 0; i < 4; i++) {
        const cairn_event event = {.type = CAIRN_STR("T"), .content_type = CAIRN_STR("application/octet-stream"), .data = {data, sizes[i]}};
        cairn_at at;
        CHECK_OK(cairn_append(store, 0, CAIRN_STR("orders-1"), CAIRN_ANY, &event, 1, &at, NULL));
        large[i] = at.first_position;
    }
    free(data);
    put(&(cairn_group_config){.dead_letter = true});
    CHECK_INT(take(4)->count, 4);
    CHECK_OK(cairn_group_nack(store, 0, group, large, 4, true, CAIRN_STR("because"), &count, NULL));
    CHECK_INT(count, 4);
    CHECK(status().dead_letters == 4 && status().parked == 0 && status().outstanding == 0 && status().retrying == 0);
    const struct letters *all = letters();
    for (int i = 0; i < 4; i++)
        CHECK_INT(letters_of(all, large[i]), 1);
    cairn_reader *reader;
    CHECK_INT(newest("orders.dlq-1", &reader).event.data.size, 0);
    cairn_reader_free(reader);
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(what_is_given_up_is_a_dead_letter),
        RUN(where_they_go_and_how_large_they_are),
        RUN(dead_letters_go_back_once),
        RUN(none_lost_none_doubled),
        RUN(large_ones_are_given_up_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

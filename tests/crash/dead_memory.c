/* Every allocation fails in turn while a consumer group gives events up and gets them back: none is lost, none is doubled, and the same
 * calls succeed when there is memory again. */
#include <os/twin.h>
#include <store/dead.h>
#include <store/store.h>

#include "no_memory.h"
#include "test.h"

#define EVENTS 5
static const cairn_str group = {"work", 4};

struct taken {
    uint64_t positions[64];
    size_t count;
};

static void
note(void *context, const cairn_recorded *event, uint32_t delivery)
{
    struct taken *taken = context;
    (void)delivery;
    CHECK(taken->count < 64);
    taken->positions[taken->count++] = event->position;
}

/* What there is, refused. */
static cairn_err
refuse_all(cairn_store *store)
{
    struct taken taken = {.count = 0};
    cairn_err err = cairn_group_take(store, 0, group, 64, note, &taken, NULL);
    if (err != CAIRN_OK)
        return err == CAIRN_E_END ? CAIRN_OK : err;
    return cairn_group_nack(store, 0, group, taken.positions, taken.count, true, CAIRN_STR("no"), NULL, NULL);
}

struct letters {
    size_t count;
    struct dead_return returns[64];
};

static cairn_err
find_letters(cairn_store *store, struct letters *ret)
{
    const cairn_str type = CAIRN_STR(DEAD_TYPE);
    const cairn_query_item item = {.types = &type, .type_count = 1};
    const cairn_read_options options = {.query = {&item, 1}};
    struct arena arena = {0};
    cairn_reader *reader = NULL;
    cairn_recorded event;
    ret->count = 0;
    cairn_err err = cairn_read_all(store, &options, &reader, NULL);
    while (err == CAIRN_OK && (err = cairn_reader_next(reader, &event, NULL)) == CAIRN_OK) {
        struct dead_origin origin;
        CHECK(ret->count < 64);
        err = dead_letter_read(&event.event, &arena, &origin);
        if (err != CAIRN_OK)
            break;
        ret->returns[ret->count++] = (struct dead_return){.letter = event.position, .position = origin.position};
    }
    cairn_reader_free(reader);
    arena_free(&arena);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static size_t
letters_of(const struct letters *letters, uint64_t position)
{
    size_t count = 0;
    for (size_t i = 0; i < letters->count; i++)
        count += letters->returns[i].position == position;
    return count;
}

static cairn_store *
open_it(struct os *os)
{
    const cairn_options options = {.create = true, .no_background = true};
    cairn_store *store;
    CHECK_OK(cairn_store_open_on(os, "data", &options, &store, NULL));
    return store;
}

/* Give up, send back, give up: with memory it ends with two dead letters of each. */
static cairn_err
play(cairn_store *store, unsigned step, struct letters *letters)
{
    if (step != 1)
        return refuse_all(store);
    cairn_err err = find_letters(store, letters);
    return err == CAIRN_OK ? group_return_dead(store, 0, group, CAIRN_STR("s.dlq"), letters->returns, letters->count, false, NULL) : err;
}

TEST(every_allocation)
{
    static struct letters letters;
    uint64_t failures = 0;
    for (unsigned step = 0; step < 3; step++) {
        bool fired = true;
        for (uint64_t at = 1; fired; at++) {
            struct os_sim *sim = os_sim_new(at);
            cairn_store *store = open_it(os_sim_os(sim));
            uint64_t positions[EVENTS];
            for (int i = 0; i < EVENTS; i++) {
                const cairn_event event = {.type = CAIRN_STR("T"), .data = CAIRN_STR("{}"), .meta = CAIRN_STR("{\"a\":\"b\"}")};
                cairn_at where;
                CHECK_OK(cairn_append(store, 0, i % 2 ? CAIRN_STR("s-1") : CAIRN_STR("s-2"), CAIRN_ANY, &event, 1, &where, NULL));
                positions[i] = where.first_position;
            }
            const cairn_group_config config = {.category = CAIRN_STR("s"), .dead_letter = true, .retry_max = 1, .ack_timeout_ms = 1};
            CHECK_OK(cairn_group_put(store, 0, group, &config, NULL));
            for (unsigned before = 0; before < step; before++)
                CHECK_OK(play(store, before, &letters));
            memory_fails(at, false);
            cairn_err err = play(store, step, &letters);
            fired = memory_returns();
            failures += fired;
            CHECK(err == CAIRN_OK || fired);
            cairn_close(store); /* what was handed out comes again */
            store = open_it(os_sim_os(sim));
            for (unsigned after = step; after < 3; after++)
                CHECK_OK(play(store, after, &letters));
            CHECK_OK(find_letters(store, &letters));
            for (int i = 0; i < EVENTS; i++)
                if (letters_of(&letters, positions[i]) != 2)
                    fail_msg("step %u, allocation %llu: event %d has %zu dead letters", step, (unsigned long long)at, i,
                             letters_of(&letters, positions[i]));
            cairn_close(store);
            os_sim_free(sim);
        }
    }
    printf("%llu failures\n", (unsigned long long)failures);
    CHECK(failures > 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(every_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The series index against a simple model of it. */
#include "series_model.h"
#include <os/twin.h>

#define READ_MAX 3000

struct round {
    struct os *os;
    const char *dir;
    struct series_options options;
    struct series *series;
    struct model model;
    size_t durable;
    uint64_t *seed;
    struct series_head *got, *want; /* READ_MAX each */
};

static size_t
below(struct round *round, uint64_t n)
{
    return n ? test_random(round->seed) % n : 0;
}

static void
insert(struct round *round, uint64_t position)
{
    const struct model_event *event = &round->model.events[position];
    while (!cairn_series_has_room(round->series, event->count, position)) {
        bool more;
        cairn_error error;
        if (round->durable < position)
            round->durable = position; /* the log would wait for its sync here */
        CHECK_OK(cairn_series_maintain(round->series, round->durable, &more, &error));
    }
    for (unsigned i = 0; i < event->count; i++) {
        cairn_series_prefetch(round->series, model_key(event->entries[i].key));
        cairn_series_insert(round->series, model_key(event->entries[i].key),
                            event->entries[i].ordinal, position);
    }
}

/* What the next `count` events have in common, as ranges. */
static void
insert_batch(struct round *round, size_t count)
{
    uint64_t first = round->model.next;
    struct model_event event = model_add_batch(&round->model, round->seed, count);
    struct series_need need = {.ranges = event.count, .range_entries = event.count * count};
    while (!cairn_series_has_room_ranges(round->series, &need, first)) {
        bool more;
        cairn_error error;
        if (round->durable < first)
            round->durable = first;
        CHECK_OK(cairn_series_maintain(round->series, round->durable, &more, &error));
    }
    for (unsigned i = 0; i < event.count; i++)
        cairn_series_insert_range(round->series, model_key(event.entries[i].key), event.entries[i].ordinal,
                                  event.entries[i].key < round->model.stream_keys, first, count);
}

static void
insert_again(struct round *round)
{
    uint64_t from = cairn_series_flushed_end(round->series);
    CHECK(from <= round->durable);
    for (uint64_t position = from; position < round->model.next; position++)
        insert(round, position);
}

static void
reopen(struct round *round)
{
    cairn_error error;
    cairn_series_close(round->series);
    model_cut(&round->model, round->durable);
    cairn_err err
        = cairn_series_open(round->os, round->dir, &round->options, &round->series, &error);
    if (err != CAIRN_OK)
        fail_msg("open: %s", error.detail);
    insert_again(round);
}

static void
check_read(struct round *round)
{
    struct model *model = &round->model;
    uint32_t key = (uint32_t)below(round, model->keys + 3);
    const struct model_list *list = key < model->keys ? &model->lists[key] : NULL;
    uint64_t last_ordinal = list && list->count ? list->entries[list->count - 1].ordinal : 0;
    struct series_read read = {.key = model_key(key), .backward = below(round, 2)};
    read.by = key < model->stream_keys && below(round, 2) ? SERIES_BY_ORDINAL : SERIES_BY_POSITION;
    read.from = below(round, (read.by == SERIES_BY_ORDINAL ? last_ordinal : model->next) + 3);
    if (below(round, 8) == 0)
        read.from = read.backward ? UINT64_MAX : 0;
    read.end = below(round, 3) ? model->next : below(round, model->next + 1);
    size_t max = below(round, 4) ? below(round, 20) : below(round, READ_MAX);
    size_t want = key < model->keys ? model_read(model, key, &read, round->want, max) : 0, got = 0;
    cairn_error error;
    CHECK_OK(cairn_series_read(round->series, &read, round->got, max, &got, &error));
    CHECK_INT(got, want);
    for (size_t i = 0; i < got; i++) {
        CHECK_INT(round->got[i].position, round->want[i].position);
        CHECK_INT(round->got[i].ordinal, round->want[i].ordinal);
    }
}

static void
check_head(struct round *round)
{
    struct model *model = &round->model;
    uint32_t key = (uint32_t)below(round, model->keys);
    const struct model_list *list = &model->lists[key];
    struct series_head head = {0};
    cairn_error error;
    enum series_known known = cairn_series_known(round->series, model_key(key), &head);
    if (known == SERIES_UNKNOWN) {
        CHECK_OK(cairn_series_warm(round->series, model_key(key), &error));
        known = cairn_series_known(round->series, model_key(key), &head);
    }
    CHECK_INT(known, list->count ? SERIES_PRESENT : SERIES_ABSENT);
    if (list->count) {
        CHECK_INT(head.position, list->entries[list->count - 1].position);
        CHECK_INT(head.ordinal, list->entries[list->count - 1].ordinal);
    }

    size_t end = below(round, model->next + 2);
    const struct series_head *want = NULL;
    for (size_t i = 0; i < list->count && list->entries[i].position < end; i++)
        want = &list->entries[i];
    cairn_err err = cairn_series_head(round->series, model_key(key), end, &head, &error);
    CHECK_INT(err, want ? CAIRN_OK : CAIRN_E_END);
    if (want) {
        CHECK_INT(head.position, want->position);
        CHECK_INT(head.ordinal, want->ordinal);
    }
}

struct counting {
    uint64_t count, sum;
};

static uint64_t
digest(struct hash128 key, uint64_t ordinal, uint64_t position)
{
    uint64_t seed = key.low ^ ordinal * 31 ^ position << 20;
    return test_random(&seed);
}

static bool
count_entry(void *context, struct hash128 key, uint64_t ordinal, uint64_t position)
{
    struct counting *counting = context;
    counting->count++;
    counting->sum += digest(key, ordinal, position);
    return true;
}

static void
check_each(struct round *round)
{
    struct counting want = {0}, got = {0};
    size_t end = below(round, round->model.next + 2);
    cairn_error error;
    for (uint32_t key = 0; key < round->model.keys; key++)
        for (size_t i = 0; i < round->model.lists[key].count; i++) {
            struct series_head entry = round->model.lists[key].entries[i];
            if (entry.position < end)
                count_entry(&want, model_key(key), entry.ordinal, entry.position);
        }
    CHECK_OK(cairn_series_each(round->series, end, count_entry, &got, &error));
    CHECK_INT(got.count, want.count);
    CHECK(got.sum == want.sum);
}

static bool
no_fault(void *context, const char *file, uint64_t offset, const char *what)
{
    (void)context;
    fail_msg("%s at %llu: %s", file, (unsigned long long)offset, what);
    return false;
}

static void
step(struct round *round)
{
    cairn_error error = {0};
    bool more;
    switch (below(round, 25)) {
    case 24:
        model_cut(&round->model,
                  round->durable + below(round, round->model.next - round->durable + 1));
        CHECK_OK(cairn_series_forget(round->series, round->model.next));
        break;
    case 0:
        CHECK_OK(cairn_series_rewind(round->series));
        if (below(round, 2))
            model_cut(&round->model, round->durable);
        insert_again(round);
        break;
    case 1:
        round->durable = round->model.next;
        CHECK_OK(cairn_series_flush(round->series, round->durable, &error));
        CHECK_INT(cairn_series_flushed_end(round->series), round->durable);
        break;
    case 2:
        reopen(round);
        break;
    case 3:
        check_each(round);
        break;
    case 4:
        CHECK_OK(cairn_series_check(round->series, no_fault, NULL, &error));
        break;
    case 5:
    case 6:
    case 7:
        CHECK_OK(cairn_series_maintain(round->series, round->durable, &more, &error));
        break;
    case 8:
    case 9:
        round->durable += below(round, round->model.next - round->durable + 1);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        for (size_t i = below(round, round->options.memory_events * 2); i > 0; i--) {
            if (below(round, 30) == 0)
                insert_batch(round, 1 + below(round, below(round, 2) ? 40 : 3000));
            model_add(&round->model, round->seed);
            insert(round, round->model.next - 1);
        }
        break;
    default:
        for (unsigned i = 0; i < 8; i++) {
            check_read(round);
            check_head(round);
        }
    }
}

static void
play(struct os *os, const char *dir, uint32_t memory_events, uint32_t keys, unsigned steps,
     uint64_t *seed)
{
    struct round round = {.os = os, .dir = dir, .seed = seed};
    round.options
        = (struct series_options){.memory_events = memory_events, .head_cache_entries = 32};
    round.got = calloc(READ_MAX, sizeof *round.got);
    round.want = calloc(READ_MAX, sizeof *round.want);
    assert_non_null(round.got);
    assert_non_null(round.want);
    model_init(&round.model, keys, keys * 2 / 3);
    cairn_error error;
    CHECK_OK(cairn_series_open(os, dir, &round.options, &round.series, &error));
    for (unsigned i = 0; i < steps; i++)
        step(&round);
    struct series_stats stats;
    cairn_series_stats(round.series, &stats);
    CHECK(stats.runs <= 16);
    cairn_series_close(round.series);
    model_free(&round.model);
    free(round.got);
    free(round.want);
}

/* Goal: the index answers as the model does, whatever happens to it.
 * Method: random inserts, freezes, flushes, merges, rewinds, reopens and questions on a simulated disk. */
TEST(answers_as_the_model)
{
    uint64_t seed = test_seed();
    for (unsigned n = 0; n < 60 * test_scale(); n++) {
        struct os_sim *sim = os_sim_new(test_random(&seed));
        play(os_sim_os(sim), "/index", 4 + (uint32_t)(test_random(&seed) % 100),
             20 + (uint32_t)(test_random(&seed) % 400), 200, &seed);
        os_sim_free(sim);
    }
}

/* Goal: series of many blocks, and the real file system.
 * Method: the same with larger tables, fewer keys and a temporary folder. */
TEST(long_series_as_the_model)
{
    uint64_t seed = test_seed();
    for (unsigned n = 0; n < 4 * test_scale(); n++) {
        char folder[64], dir[80];
        test_folder(folder);
        snprintf(dir, sizeof dir, "%s/index", folder);
        play(os_real(), dir, 5000, 12 + 300 * (n % 2), 80, &seed);
        test_remove(folder);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(answers_as_the_model), RUN(long_series_as_the_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The series index as a child would write it: for the tests of the real one. */
#ifndef TESTS_SERIES_MODEL_H
#define TESTS_SERIES_MODEL_H

#include <log/series.h>
#include <test.h>

#define MODEL_EVENT_ENTRIES 5

struct model_entry {
    uint32_t key;
    uint64_t ordinal;
};
struct model_event {
    unsigned count;
    struct model_entry entries[MODEL_EVENT_ENTRIES];
};
struct model_list {
    struct series_head *entries;
    size_t count, capacity;
};

/* Keys [0, stream_keys) have ordinals; those from there on have none. */
struct model {
    uint32_t keys, stream_keys;
    struct model_list *lists;
    struct model_event *events; /* by position */
    size_t next, capacity;
};

static inline struct hash128
model_key(uint32_t key)
{
    uint64_t seed = 77 + key;
    struct hash128 hash;
    hash.low = test_random(&seed);
    hash.high = test_random(&seed);
    return hash;
}

static inline void
model_init(struct model *model, uint32_t keys, uint32_t stream_keys)
{
    *model = (struct model){.keys = keys, .stream_keys = stream_keys};
    model->lists = calloc(keys, sizeof *model->lists);
    assert_non_null(model->lists);
}

static inline void
model_free(struct model *model)
{
    for (uint32_t i = 0; i < model->keys; i++)
        free(model->lists[i].entries);
    free(model->lists);
    free(model->events);
}

static inline struct model_event *
model_next(struct model *model)
{
    if (model->next == model->capacity) {
        model->capacity = model->capacity ? 2 * model->capacity : 1024;
        model->events = realloc(model->events, model->capacity * sizeof *model->events);
        assert_non_null(model->events);
    }
    model->events[model->next].count = 0;
    return &model->events[model->next];
}

static inline uint64_t
model_next_ordinal(const struct model *model, uint32_t key)
{
    const struct model_list *list = &model->lists[key];
    return key < model->stream_keys && list->count ? list->entries[list->count - 1].ordinal + 1 : 0;
}

static inline void
model_enter(struct model *model, struct model_event *event, uint32_t key, uint64_t ordinal)
{
    struct model_list *list = &model->lists[key];
    event->entries[event->count++] = (struct model_entry){key, ordinal};
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 8;
        list->entries = realloc(list->entries, list->capacity * sizeof *list->entries);
        assert_non_null(list->entries);
    }
    list->entries[list->count++] = (struct series_head){.ordinal = ordinal, .position = model->next};
}

/* Make the next event: one hot key, and some others; ordinals go up by one, now and then by more. */
static inline const struct model_event *
model_add(struct model *model, uint64_t *seed)
{
    struct model_event *event = model_next(model);
    unsigned want = 1 + (unsigned)(test_random(seed) % MODEL_EVENT_ENTRIES);
    for (unsigned i = 0; i < want; i++) {
        uint32_t range = test_random(seed) % 4 == 0 ? 4 : model->keys;
        uint32_t key = i == 0 ? model->keys - 1 : (uint32_t)(test_random(seed) % range);
        bool again = false;
        for (unsigned j = 0; j < event->count; j++)
            again |= event->entries[j].key == key;
        if (again)
            continue;
        uint64_t ordinal = model_next_ordinal(model, key);
        if (key < model->stream_keys && test_random(seed) % 50 == 0)
            ordinal += test_random(seed) % 1000;
        model_enter(model, event, key, ordinal);
    }
    model->next++;
    return event;
}

/* Make the next `count` events, which all bear the hot key and the same two others; returns those of the first. */
static inline struct model_event
model_add_batch(struct model *model, uint64_t *seed, size_t count)
{
    uint32_t keys[3] = {model->keys - 1, (uint32_t)(test_random(seed) % 4), (uint32_t)(test_random(seed) % model->keys)};
    struct model_event first = {0};
    for (size_t n = 0; n < count; n++, model->next++) {
        struct model_event *event = model_next(model);
        for (unsigned i = 0; i < 3; i++)
            if ((i < 1 || keys[i] != keys[0]) && (i < 2 || keys[i] != keys[1]))
                model_enter(model, event, keys[i], model_next_ordinal(model, keys[i]));
        if (n == 0)
            first = *event;
    }
    return first;
}

/* Forget the events from `end` on. */
static inline void
model_cut(struct model *model, size_t end)
{
    for (uint32_t i = 0; i < model->keys; i++) {
        struct model_list *list = &model->lists[i];
        while (list->count > 0 && list->entries[list->count - 1].position >= end)
            list->count--;
    }
    model->next = end;
}

static inline size_t
model_read(const struct model *model, uint32_t key, const struct series_read *read,
           struct series_head *to, size_t max)
{
    const struct model_list *list = &model->lists[key];
    size_t count = 0;
    for (size_t n = 0; n < list->count && count < max; n++) {
        struct series_head entry = list->entries[read->backward ? list->count - 1 - n : n];
        uint64_t measure = read->by == SERIES_BY_POSITION ? entry.position : entry.ordinal;
        if (entry.position < read->end
            && (read->backward ? measure <= read->from : measure >= read->from))
            to[count++] = entry;
    }
    return count;
}

#endif

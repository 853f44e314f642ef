/* group_rig.h: one consumer group on a real store, with a clock that the test moves: opening, appending, taking,
 * answering. */
#ifndef TESTS_GROUP_RIG_H
#define TESTS_GROUP_RIG_H

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

static inline int64_t
clock_monotonic(struct os *os)
{
    (void)os;
    return os_monotonic_us(os_real()) + __atomic_load_n(&ahead_us, __ATOMIC_RELAXED);
}

static inline void
pass_ms(int64_t ms)
{
    __atomic_fetch_add(&ahead_us, ms * 1000, __ATOMIC_RELAXED);
}

/* ---- the store ------------------------------------------------------------------------------------ */

static cairn_store *store;
static char folder[64];
static const cairn_str group = {"work", 4};

static inline struct os *
test_os(void)
{
    clock_ops = *os_real()->ops;
    clock_ops.monotonic_us = clock_monotonic;
    clock_os.ops = &clock_ops;
    return &clock_os;
}

static inline void
open_on(struct os *os, const char *path, bool no_background)
{
    const cairn_options options = {.create = true, .no_background = no_background};
    cairn_error error = {0};
    if (cairn_store_open_on(os, path, &options, &store, &error) != CAIRN_OK)
        fail_msg("open: %s", error.detail);
}

static inline void
open_at(const char *path, bool no_background)
{
    open_on(test_os(), path, no_background);
}

static inline void
begin(void)
{
    test_folder(folder);
    open_at(folder, true);
}

static inline void
end(void)
{
    cairn_close(store);
    test_remove(folder);
}

static inline void
reopen(void)
{
    cairn_close(store);
    open_at(folder, true);
}

/* What a crash leaves: the folder as it is now, opened as another store. */
static inline void
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

static inline uint64_t
append(const char *stream, const char *type)
{
    const cairn_event event = {.type = cairn_cstr(type), .data = CAIRN_STR("{}")};
    cairn_at at;
    CHECK_OK(cairn_append(store, 0, cairn_cstr(stream), CAIRN_ANY, &event, 1, &at, NULL));
    return at.first_position;
}

static inline void
append_many(const char *stream, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        append(stream, "T");
}

static inline void
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

static inline void
note(void *context, const cairn_recorded *event, uint32_t delivery)
{
    struct taken *taken = context;
    CHECK(taken->count < TAKEN_MAX);
    taken->positions[taken->count] = event->position;
    taken->deliveries[taken->count++] = delivery;
}

/* Up to `limit` events; none when there are none. */
static inline struct taken *
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

static inline void
ack(const uint64_t *positions, size_t count)
{
    size_t done = 0;
    CHECK_OK(cairn_group_ack(store, 0, group, positions, count, &done, NULL));
    CHECK_INT(done, count);
}

static inline void
ack_one(uint64_t position)
{
    ack(&position, 1);
}

static inline void
nack_one(uint64_t position, bool park)
{
    size_t count = 0;
    CHECK_OK(cairn_group_nack(store, 0, group, &position, 1, park, CAIRN_STR("because"), &count,
                              NULL));
    CHECK_INT(count, 1);
}

static inline void
copy_status(void *context, const cairn_group_status *status)
{
    *(cairn_group_status *)context = *status;
}

/* Without its names and settings' strings, which are borrowed. */
static inline cairn_group_status
status(void)
{
    cairn_group_status got = {0};
    CHECK_OK(cairn_group_status_get(store, 0, group, copy_status, &got, NULL));
    return got;
}

static inline uint64_t
events_of(const char *stream)
{
    cairn_stream_info info;
    CHECK_OK(cairn_stream_info_get(store, 0, cairn_cstr(stream), &info, NULL));
    return (uint64_t)(info.last_revision + 1);
}

#endif

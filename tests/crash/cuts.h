/* tests/crash/cuts.h: a simulated disk on which somebody works, and copies of it as power cuts at each step would
 * leave it. The work goes on meanwhile; the copies are looked at afterwards. */
#ifndef TESTS_CRASH_CUTS_H
#define TESTS_CRASH_CUTS_H

#include "play.h"
#include "watch.h"

#define SNAPSHOTS_MAX 20000

struct snapshot {
    struct os_sim *disk;
    size_t acked, count; /* of the world at that moment */
    size_t mark;         /* and the scene's mark */
    char cause[40];
};

struct scene {
    struct os_sim *sim;
    struct watch watch; /* give &watch.os to the log */
    struct world *world;
    struct snapshot *snapshots;
    size_t snapshot_count;
    uint64_t random;
    unsigned depth;   /* 0: the first disk; 1: a disk after a cut … Deeper ones are cut less often */
    size_t mark;      /* the test's own */
    bool paused;      /* take none now */
};

static inline void
take_snapshot(struct scene *scene, enum os_cut how, const char *call)
{
    static const char *const names[] = {"drop", "keep", "random"};
    CHECK(scene->snapshot_count < SNAPSHOTS_MAX);
    struct snapshot *snapshot = &scene->snapshots[scene->snapshot_count++];
    *snapshot = (struct snapshot){
        .disk = os_sim_after_cut(scene->sim, how, test_random(&scene->random)),
        .acked = scene->world->acked,
        .count = scene->world->count,
        .mark = scene->mark,
    };
    snprintf(snapshot->cause, sizeof snapshot->cause, "%s step %llu %s", call,
             (unsigned long long)os_sim_steps(scene->sim), names[how]);
    CHECK(snapshot->disk != NULL);
}

static inline void
take_snapshots(void *context, const char *call)
{
    struct scene *scene = context;
    if (scene->paused)
        return;
    if (scene->depth > 0) {
        if (test_random(&scene->random) % 3 == 0)
            take_snapshot(scene, OS_CUT_RANDOM, call);
        return;
    }
    take_snapshot(scene, OS_CUT_DROP, call);
    take_snapshot(scene, OS_CUT_KEEP, call);
    take_snapshot(scene, OS_CUT_RANDOM, call);
    take_snapshot(scene, OS_CUT_RANDOM, call);
}

static inline void
scene_begin(struct scene *scene, struct os_sim *sim, struct world *world, unsigned depth, uint64_t seed)
{
    *scene = (struct scene){.sim = sim, .world = world, .random = seed, .depth = depth};
    scene->snapshots = calloc(SNAPSHOTS_MAX, sizeof *scene->snapshots);
    CHECK(sim != NULL && scene->snapshots != NULL);
    watch_init(&scene->watch, os_sim_os(sim), take_snapshots, scene);
}

static inline void
scene_end(struct scene *scene)
{
    CHECK_INT(scene->snapshot_count, 0);
    free(scene->snapshots);
}

/* The world as it was then. */
static inline void
snapshot_world(const struct snapshot *snapshot, const struct world *now, struct world *ret)
{
    world_copy(ret, now);
    ret->acked = snapshot->acked;
    ret->count = snapshot->count;
    while (ret->note_count > 0 && ret->notes[ret->note_count - 1].first >= ret->count)
        ret->note_count--;
    for (size_t i = 0; i < ret->count; i++)
        ret->facts[i].removed = false; /* perhaps only after this moment: the disk says */
}

/* Look at each snapshot and free it. */
static inline void
look_at_snapshots(struct scene *scene, const struct world *world,
                  void (*look)(struct snapshot *snapshot, const struct world *world, unsigned depth,
                               uint64_t seed))
{
    char outer[sizeof world_context];
    memcpy(outer, world_context, sizeof outer);
    for (size_t i = 0; i < scene->snapshot_count; i++) {
        struct snapshot *snapshot = &scene->snapshots[i];
        snprintf(world_context, sizeof world_context, "%.160s / cut %u at %s", outer, scene->depth,
                 snapshot->cause);
        look(snapshot, world, scene->depth, test_random(&scene->random));
        os_sim_free(snapshot->disk);
    }
    scene->snapshot_count = 0;
    memcpy(world_context, outer, sizeof outer);
}

static inline struct log *
open_folder(struct os *os, const char *folder, bool create)
{
    struct log_options options;
    struct log *log;
    cairn_error error = {0};
    cairn_log_defaults(&options);
    options.create = create;
    options.no_background = true;
    options.segment_size_bytes = 64 << 10;
    options.index_memory_events = 30;
    options.head_cache_entries = 64;
    options.scavenge_interval_us = 1;
    EXPECT_OK(cairn_log_open(os, folder, &options, &log, &error), &error);
    return log;
}

#endif

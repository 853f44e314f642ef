/* append.c: points 1 to 3. Every shape of load to every contender, round after round.
 *
 * The raw disk is measured next to Cairn, with writes of the size that Cairn's log was seen to make for
 * the shape. Every second round goes backward, so that nobody always comes after the same neighbour. */
#include "cairn_lib.h"

#include <string.h>

static struct contender *const contenders[]
    = {&CAIRN_THREADS,         &CAIRN_ASYNC, &CAIRN_HTTP, &POSTGRES,
       &POSTGRES_ONE_CATEGORY, &REDIS,       &SQLITE,     &UMADB};
#define CONTENDERS (sizeof contenders / sizeof *contenders)

/* What one append of so many events comes to in the log. */
static size_t
frame_size(unsigned events)
{
    struct shape shape = {.events = events, .clients = 1, .seconds = 0.1};
    struct sample sample = {0};
    size_t size = events * (DATA_SIZE + 64u);
    if (CAIRN_THREADS.ready && CAIRN_THREADS.run(&CAIRN_THREADS, &shape, &sample)
        && sample.log_bytes >= 1)
        size = (size_t)(sample.log_bytes + 0.5);
    figure_add((double)size, "disk.frame_of_%u_bytes", events);
    return size;
}

static void
run_contender(struct contender *contender, const struct shape *shape)
{
    struct sample sample = {0};
    if (!contender->ready)
        return;
    if (contender->run(contender, shape, &sample))
        sample_add(shape, contender->key, &sample);
    else
        failure("%s: appends of %u by %u clients failed", contender->label, shape->events,
                shape->clients);
}

/* The disk itself, under what this shape is compared with. */
static void
run_raw(const struct shape *shape, size_t frame_1, size_t frame_100)
{
    if (shape->clients == 1 && shape->events == 1) {
        disk_run(frame_1, shape->seconds, "frame_1");
    } else if (shape->clients == 1) {
        disk_run(frame_100, shape->seconds, "frame_100");
    } else if (shape->events > 1) {
        disk_run(256 << 10, shape->seconds, "sequential_256k");
        disk_run(1 << 20, shape->seconds, "sequential_1m");
        disk_run_growing(1 << 20, shape->seconds, "growing_1m");
    }
}

void
part_append(const struct settings *settings)
{
    static const struct shape shapes[]
        = {{1, 1, 0}, {1, 16, 0}, {1, 64, 0}, {100, 1, 0}, {100, 16, 0}};
    if (!disk_open(settings))
        return;
    for (size_t i = 0; i < CONTENDERS; i++)
        contenders[i]->ready = contenders[i]->open(contenders[i], settings);
    size_t frame_1 = frame_size(1), frame_100 = frame_size(100);
    for (unsigned round = 0; round < settings->rounds; round++) {
        progress("appends, round %u of %u", round + 1, settings->rounds);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            struct shape shape = shapes[i];
            shape.seconds = settings->slice_s;
            bool backward = round % 2 == 1;
            disk_settle();
            if (!backward)
                run_raw(&shape, frame_1, frame_100);
            for (size_t j = 0; j < CONTENDERS; j++)
                run_contender(contenders[backward ? CONTENDERS - 1 - j : j], &shape);
            if (backward)
                run_raw(&shape, frame_1, frame_100);
        }
    }
    for (size_t i = 0; i < CONTENDERS; i++)
        if (contenders[i]->ready)
            contenders[i]->close(contenders[i]);
    disk_close();
}

/* What the load generators reach where nothing is stored. */
void
part_ceilings(const struct settings *settings)
{
    struct shape shape = {.events = 1, .clients = 64, .seconds = settings->slice_s};
    struct http_connection *connections[64] = {NULL};
    void *pointers[64];
    struct sample sample;
    unsigned port;
    pid_t null = null_server_start(&port, 0);
    bool ok = null > 0;
    for (unsigned i = 0; ok && i < 64; i++) {
        pointers[i] = connections[i] = http_connect(port);
        ok = connections[i] != NULL && http_prepare_append(connections[i], 1, "c1-1");
    }
    for (unsigned round = 0; ok && round < settings->rounds; round++) {
        sample = (struct sample){0};
        if (load_run(&HTTP_WIRE, pointers, &shape, null, &sample))
            sample_add(&shape, "null_http", &sample);
        sample = (struct sample){0};
        if (lib_run_null(&shape, &sample))
            sample_add(&shape, "null_async", &sample);
    }
    for (unsigned i = 0; i < 64; i++)
        http_disconnect(connections[i]);
    process_stop(null, 9);
}

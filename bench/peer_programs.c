/* peer_programs.c: frameworks that handle commands, each by a small program of its own: Emmett (peer_emmett/, Node.js) and the
 * Python library eventsourcing (peer_eventsourcing/), both on SQLite.
 *
 *   PROGRAM FOLDER prepare                      an aggregate of 1,000 events, and events to be projected
 *   PROGRAM FOLDER commands CLIENTS SECONDS     → appends=N seconds=S p50_us=T p99_us=T durable=1
 *   PROGRAM FOLDER aggregate                    → p50_us=T
 *   PROGRAM FOLDER projection                   → events=N seconds=S
 *
 * run.sh installs them where their registries can be had, and says how they are called (BENCH_EMMETT: words) or why not. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct program {
    const char *variable, *why; /* of the environment */
    char words[2][512];         /* interpreter, file */
    char folder[512];
};
static struct program emmett = {.variable = "BENCH_EMMETT", .why = "BENCH_EMMETT_WHY"},
                      eventsourcing = {.variable = "BENCH_EVENTSOURCING", .why = "BENCH_EVENTSOURCING_WHY"};

static bool
call(struct contender *self, const char *what, const char *clients, const char *seconds, char *output, size_t size)
{
    const struct program *program = self->state;
    const char *arguments[] = {program->words[0], program->words[1], program->folder, what, clients, seconds, NULL};
    if (process_run(arguments, output, size))
        return true;
    failure("%s: %s failed: %s", self->label, what, output);
    return false;
}

static bool
program_open(struct contender *self, const struct settings *settings)
{
    struct program *program = self->state;
    const char *words = getenv(program->variable), *why = getenv(program->why);
    char output[512];
    if (words == NULL || sscanf(words, "%511s %511s", program->words[0], program->words[1]) != 2) {
        remark("%s: LEFT OUT, %s", self->label, why != NULL ? why : "it was not installed (see above)");
        return false;
    }
    snprintf(program->folder, sizeof program->folder, "%s/%s", settings->dir, self->key);
    if (mkdir(program->folder, 0755) != 0 && errno != EEXIST) {
        failure("%s: cannot make %s: %s", self->label, program->folder, strerror(errno));
        return false;
    }
    return call(self, "prepare", NULL, NULL, output, sizeof output);
}

static bool
program_run(struct contender *self, const struct shape *shape, struct sample *ret)
{
    char clients[16], seconds[16], output[512] = "";
    unsigned long long appends;
    int durable = 0;
    snprintf(clients, sizeof clients, "%u", shape->clients);
    snprintf(seconds, sizeof seconds, "%.2f", shape->seconds);
    if (!call(self, "commands", clients, seconds, output, sizeof output))
        return false;
    if (sscanf(output, "appends=%llu seconds=%lf p50_us=%lf p99_us=%lf durable=%d", &appends, &ret->seconds, &ret->p50_us,
               &ret->p99_us, &durable) != 5 || durable != 1) {
        failure("%s: the program said: %s", self->label, output);
        return false;
    }
    ret->appends = appends;
    return true;
}

static void
program_close(struct contender *self)
{
    (void)self;
}

void
peer_program_reads(struct contender *self, const struct settings *settings)
{
    char output[512] = "";
    double p50_us, seconds;
    unsigned long long events;
    (void)settings;
    if (!self->ready)
        return;
    if (call(self, "aggregate", NULL, NULL, output, sizeof output)) {
        if (sscanf(output, "p50_us=%lf", &p50_us) == 1)
            figure_add(p50_us, "aggregate.%s.p50_us", self->key);
        else
            failure("%s: the program said: %s", self->label, output);
    }
    if (call(self, "projection", NULL, NULL, output, sizeof output)) {
        if (sscanf(output, "events=%llu seconds=%lf", &events, &seconds) == 2)
            figure_add((double)events / seconds, "projection.%s.events_per_s", self->key);
        else
            failure("%s: the program said: %s", self->label, output);
    }
}

struct contender EMMETT = {.key = "emmett",
                           .label = "Emmett on SQLite, Node.js",
                           .open = program_open,
                           .run = program_run,
                           .close = program_close,
                           .state = &emmett};
struct contender EVENTSOURCING = {.key = "eventsourcing",
                                  .label = "eventsourcing on SQLite, Python",
                                  .open = program_open,
                                  .run = program_run,
                                  .close = program_close,
                                  .state = &eventsourcing};

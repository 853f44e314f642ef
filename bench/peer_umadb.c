/* peer_umadb.c: UmaDB, through the program in peer_umadb/, which is its server and a client of it.
 *
 * run.sh builds and starts it where cargo and crates.io can be had, and says where: BENCH_UMADB (the
 * program), BENCH_UMADB_URL, BENCH_UMADB_PID. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

static bool
umadb_open(struct contender *self, const struct settings *settings)
{
    (void)settings;
    if (getenv("BENCH_UMADB") == NULL || getenv("BENCH_UMADB_URL") == NULL
        || getenv("BENCH_UMADB_PID") == NULL) {
        const char *why = getenv("BENCH_UMADB_WHY");
        remark("%s: LEFT OUT, %s", self->label,
               why != NULL ? why : "no server was started (see above)");
        return false;
    }
    return true;
}

static bool
umadb_run(struct contender *self, const struct shape *shape, struct sample *ret)
{
    char clients[16], events[16], size[16], seconds[16], output[512] = "";
    snprintf(clients, sizeof clients, "%u", shape->clients);
    snprintf(events, sizeof events, "%u", shape->events);
    snprintf(size, sizeof size, "%d", DATA_SIZE);
    snprintf(seconds, sizeof seconds, "%.2f", shape->seconds);
    const char *arguments[] = {getenv("BENCH_UMADB"),
                               "load",
                               getenv("BENCH_UMADB_URL"),
                               clients,
                               events,
                               size,
                               seconds,
                               NULL};
    pid_t server = (pid_t)atoi(getenv("BENCH_UMADB_PID"));
    double client_s = cpu_children_s(), server_s = cpu_tree_s(server);
    unsigned long long appends;
    bool ran = process_run(arguments, output, sizeof output);
    if (!ran
        || sscanf(output, "appends=%llu seconds=%lf p50_us=%lf p99_us=%lf", &appends, &ret->seconds,
                  &ret->p50_us, &ret->p99_us)
               != 4) {
        failure("%s: the load generator said: %s", self->label, output);
        return false;
    }
    ret->appends = appends;
    ret->client_cores = (cpu_children_s() - client_s) / ret->seconds;
    ret->server_cores = (cpu_tree_s(server) - server_s) / ret->seconds;
    return true;
}

static void
umadb_close(struct contender *self)
{
    (void)self;
}

struct contender UMADB = {.key = "umadb",
                          .label = "UmaDB, over gRPC",
                          .open = umadb_open,
                          .run = umadb_run,
                          .close = umadb_close};

/* threads.c: one thread a client, each blocking in its append: how most programs use an embedded store. */
#include "bench.h"

#include <pthread.h>
#include <stdlib.h>

struct client {
    pthread_t thread;
    unsigned index;
    bool started, failed;
    const struct shape *shape;
    bool (*append)(void *context, unsigned client, const struct shape *shape);
    void *context;
    uint64_t until_ns;
    struct histogram histogram;
};

static void *
run_client(void *context)
{
    struct client *client = context;
    for (uint64_t now = now_ns(); now < client->until_ns;) {
        if (!client->append(client->context, client->index, client->shape)) {
            client->failed = true;
            break;
        }
        uint64_t after = now_ns();
        if (after <= client->until_ns)
            histogram_add(&client->histogram, after - now);
        now = after;
    }
    return NULL;
}

bool
threads_run(bool (*append)(void *context, unsigned client, const struct shape *shape),
            void *context, const struct shape *shape, struct sample *ret)
{
    struct client *clients = calloc(shape->clients, sizeof *clients);
    struct histogram *all = calloc(1, sizeof *all);
    bool ok = clients != NULL && all != NULL;
    double cpu = cpu_self_s();
    uint64_t until = now_ns() + (uint64_t)(shape->seconds * 1e9);
    for (unsigned i = 0; ok && i < shape->clients; i++) {
        struct client *client = &clients[i];
        client->index = i;
        client->shape = shape;
        client->append = append;
        client->context = context;
        client->until_ns = until;
        ok = client->started = pthread_create(&client->thread, NULL, run_client, client) == 0;
    }
    for (unsigned i = 0; clients != NULL && i < shape->clients && clients[i].started; i++) {
        pthread_join(clients[i].thread, NULL);
        ok = ok && !clients[i].failed;
        histogram_merge(all, &clients[i].histogram);
    }
    if (ok) {
        *ret = (struct sample){.appends = all->total, .seconds = shape->seconds};
        ret->client_cores = (cpu_self_s() - cpu) / shape->seconds;
        ret->p50_us = histogram_us(all, 0.5);
        ret->p99_us = histogram_us(all, 0.99);
    }
    free(clients);
    free(all);
    return ok && ret->appends > 0;
}

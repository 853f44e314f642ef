/* load.c: one thread feeds many connections, with one append outstanding on each.
 *
 * A thread a connection would spend the machine's two processors on switching between clients and
 * measure that. Appends that are under way when time is up are waited for and not counted. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CLIENTS_MAX 1024
#define WARM_UP_S 0.05
#define SILENCE_MS 20000 /* no answer on any connection for so long: give up */

struct feed {
    const struct wire *wire;
    void **connections;
    const struct shape *shape;
    uint64_t *sent_ns;
    struct histogram *histogram;
    unsigned outstanding;
    bool sending;
    uint64_t count_from_ns;
};

static bool
send_next(struct feed *feed, unsigned client)
{
    feed->sent_ns[client] = now_ns();
    if (!feed->wire->send(feed->connections[client], feed->shape))
        return false;
    feed->outstanding++;
    return true;
}

static bool
answered(struct feed *feed, unsigned client, uint64_t now)
{
    feed->outstanding--;
    if (!feed->sending)
        return true;
    if (now >= feed->count_from_ns)
        histogram_add(feed->histogram, now - feed->sent_ns[client]);
    return send_next(feed, client);
}

/* Serve whatever is ready until the deadline, or, once sending has stopped, until nothing is out. */
static bool
pump(struct feed *feed, int epoll, uint64_t until_ns)
{
    struct epoll_event events[64];
    while (feed->outstanding > 0 && (!feed->sending || now_ns() < until_ns)) {
        int ready = epoll_wait(epoll, events, 64, SILENCE_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            failure("no answer for %d s", SILENCE_MS / 1000);
            return false;
        }
        for (int i = 0; i < ready; i++) {
            unsigned client = events[i].data.u32;
            int done = feed->wire->receive(feed->connections[client]);
            if (done < 0 || (done > 0 && !answered(feed, client, now_ns())))
                return false;
        }
    }
    return true;
}

static bool
watch(int epoll, const struct feed *feed)
{
    for (unsigned i = 0; i < feed->shape->clients; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, feed->wire->descriptor(feed->connections[i]), &event)
            != 0)
            return false;
    }
    return true;
}

bool
load_run(const struct wire *wire, void **connections, const struct shape *shape, pid_t server,
         struct sample *ret)
{
    bool ok = false;
    struct feed feed = {.wire = wire, .connections = connections, .shape = shape, .sending = true};
    feed.sent_ns = calloc(shape->clients, sizeof *feed.sent_ns);
    feed.histogram = calloc(1, sizeof *feed.histogram);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (feed.sent_ns == NULL || feed.histogram == NULL || epoll < 0 || shape->clients > CLIENTS_MAX
        || !watch(epoll, &feed)) {
        failure("cannot set up %u clients: %s", shape->clients, strerror(errno));
        goto done;
    }
    feed.count_from_ns = now_ns() + (uint64_t)(WARM_UP_S * 1e9);
    for (unsigned i = 0; i < shape->clients; i++)
        if (!send_next(&feed, i))
            goto done;
    if (!pump(&feed, epoll, feed.count_from_ns))
        goto done;
    double client_s = cpu_self_s(), server_s = cpu_tree_s(server);
    uint64_t begin = now_ns();
    if (!pump(&feed, epoll, begin + (uint64_t)(shape->seconds * 1e9)))
        goto done;
    double elapsed = (double)(now_ns() - begin) / 1e9;
    ret->client_cores = (cpu_self_s() - client_s) / elapsed;
    ret->server_cores = (cpu_tree_s(server) - server_s) / elapsed;
    feed.sending = false;
    if (!pump(&feed, epoll, UINT64_MAX))
        goto done;
    ret->appends = feed.histogram->total;
    ret->seconds = elapsed;
    ret->p50_us = histogram_us(feed.histogram, 0.5);
    ret->p99_us = histogram_us(feed.histogram, 0.99);
    ok = ret->appends > 0;
done:
    if (epoll >= 0)
        close(epoll);
    free(feed.sent_ns);
    free(feed.histogram);
    return ok;
}

const char *
event_data(void)
{
    static char data[DATA_SIZE + 1];
    if (data[0] == '\0') {
        static const char begin[] = "{\"text\":\"", end[] = "\"}";
        memcpy(data, begin, sizeof begin - 1);
        memset(data + sizeof begin - 1, 'x', DATA_SIZE - (sizeof begin - 1) - (sizeof end - 1));
        memcpy(data + DATA_SIZE - (sizeof end - 1), end, sizeof end);
    }
    return data;
}

/* cairn_http.c: the real server over HTTP/1.1: appends (a contender), reads (wrk), idle followers.
 *
 * The server is a process of its own on the same processors as its clients; both sides' use is recorded. */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLIENTS_MAX 64
#define START_TRIES 2000 /* 10 ms apart */

bool
cairn_server_start(const struct settings *settings, const char *name, struct cairn_server *ret)
{
    char data[512], log[512], listen[32];
    *ret = (struct cairn_server){.pid = -1, .port = free_port()};
    snprintf(data, sizeof data, "%s/%s", settings->dir, name);
    snprintf(log, sizeof log, "%s/%s.log", settings->dir, name);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", ret->port);
    const char *arguments[] = {settings->server, "serve", "--data", data, "--listen", listen, NULL};
    if (mkdir(data, 0755) != 0 && errno != EEXIST) {
        failure("Cairn over HTTP: cannot make %s: %s", data, strerror(errno));
        return false;
    }
    ret->pid = process_start(arguments, log);
    if (ret->pid < 0)
        return false;
    for (unsigned i = 0; i < START_TRIES && process_runs(ret->pid); i++, sleep_ms(10))
        if (http_get(ret->port, "/healthz", NULL) == 200)
            return true;
    failure("Cairn over HTTP: the server did not come up; see %s", log);
    cairn_server_stop(ret);
    return false;
}

void
cairn_server_stop(struct cairn_server *server)
{
    if (server->pid > 0 && !process_stop(server->pid, SIGTERM))
        failure("Cairn over HTTP: the server did not stop cleanly");
    server->pid = -1;
}

/* ---- appends ----------------------------------------------------------------------------- */

static struct cairn_server appended; /* the one that gets the appends */

static bool
cairn_http_open(struct contender *self, const struct settings *settings)
{
    if (settings->server == NULL) {
        remark("%s: LEFT OUT, there is no server program", self->label);
        return false;
    }
    return cairn_server_start(settings, "cairn-http", &appended);
}

/* Connections are made for each run, before its clock: between runs they would be idle, and the server closes what
 * asks for nothing. */
static bool
cairn_http_run(struct contender *self, const struct shape *shape, struct sample *ret)
{
    (void)self;
    void *connections[CLIENTS_MAX];
    bool ok = shape->clients <= CLIENTS_MAX;
    unsigned count = 0;
    for (; ok && count < shape->clients; count++) {
        char stream[24];
        snprintf(stream, sizeof stream, "c%u-1", count);
        if ((connections[count] = http_connect(appended.port)) == NULL)
            break;
        ok = http_prepare_append(connections[count], shape->events, stream);
    }
    ok = ok && count == shape->clients && load_run(&HTTP_WIRE, connections, shape, appended.pid, ret);
    while (count-- > 0)
        http_disconnect(connections[count]);
    return ok;
}

static void
cairn_http_close(struct contender *self)
{
    (void)self;
    cairn_server_stop(&appended);
}

struct contender CAIRN_HTTP = {.key = "cairn_http",
                               .label = "Cairn, over HTTP/1.1",
                               .open = cairn_http_open,
                               .run = cairn_http_run,
                               .close = cairn_http_close};

/* ---- reads, by wrk ----------------------------------------------------------------------- */

/* The time after `label` in wrk's table of percentiles; 0: it is not there. */
static double
percentile_us(const char *output, const char *label)
{
    char unit[4] = "";
    double time = 0;
    const char *at = strstr(output, label);
    if (at == NULL || sscanf(at + strlen(label), "%lf%3s", &time, unit) != 2)
        return 0;
    return time * (strcmp(unit, "us") == 0 ? 1 : strcmp(unit, "ms") == 0 ? 1e3 : 1e6);
}

bool
wrk_run(const struct settings *settings, pid_t server, unsigned port, const char *target, const char *script,
        const char *name)
{
    char url[256], seconds[16], output[4096] = "";
    unsigned whole = settings->slice_s < 1 ? 1 : (unsigned)(settings->slice_s + 0.5);
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, target);
    snprintf(seconds, sizeof seconds, "%us", whole);
    const char *arguments[12] = {"wrk", "-t1", "-c64", "-d", seconds, "--latency"};
    unsigned count = 6;
    if (script != NULL) {
        arguments[count++] = "-s";
        arguments[count++] = script;
    }
    arguments[count++] = url;
    double client_s = cpu_children_s(), server_s = cpu_tree_s(server);
    uint64_t begin = now_ns();
    bool ran = process_run(arguments, output, sizeof output);
    double elapsed = (double)(now_ns() - begin) / 1e9, p95_us, p99_us;
    const char *rate = strstr(output, "Requests/sec:"), *told = strstr(output, "p95_us=");
    double p50_us = percentile_us(output, "50%");
    if (!ran || rate == NULL || p50_us <= 0) {
        failure("wrk on %s: %s", target, output[0] ? output : "is not installed");
        return false;
    }
    if (strstr(output, "Non-2xx") != NULL || strstr(output, "Socket errors") != NULL) {
        failure("wrk on %s: answers were not all good: %s", target, output);
        return false;
    }
    figure_add(strtod(rate + 13, NULL), "%s.per_s", name);
    figure_add(p50_us, "%s.p50_us", name);
    if (told != NULL && sscanf(told, "p95_us=%lf p99_us=%lf", &p95_us, &p99_us) == 2) {
        figure_add(p95_us, "%s.p95_us", name);
        figure_add(p99_us, "%s.p99_us", name);
    }
    figure_add((cpu_children_s() - client_s) / elapsed, "%s.client_cores", name);
    figure_add((cpu_tree_s(server) - server_s) / elapsed, "%s.server_cores", name);
    return true;
}

static void
measure_reads(const struct settings *settings)
{
    struct cairn_server server;
    unsigned null_port;
    size_t page_size = 0;
    if (!cairn_server_start(settings, "cairn-reads", &server))
        return;
    if (!http_append_once(server.port, "small-1", 1) || !http_append_once(server.port, "small-4", 4)
        || http_get(server.port, "/v1/streams/small-4/events", &page_size) != 200) {
        failure("Cairn over HTTP: cannot prepare streams to read");
        cairn_server_stop(&server);
        return;
    }
    figure_add((double)page_size, "http.small_page_bytes");
    pid_t null = null_server_start(&null_port, page_size);
    for (unsigned round = 0; round < settings->rounds; round++) {
        bool ok
            = wrk_run(settings, null, null_port, "/", NULL, "http.null")
              && wrk_run(settings, server.pid, server.port, "/healthz", NULL, "http.healthz")
              && wrk_run(settings, server.pid, server.port, "/v1/streams/small-1/events", NULL, "http.read_1")
              && wrk_run(settings, server.pid, server.port, "/v1/streams/small-4/events", NULL, "http.read_4");
        if (!ok)
            break;
    }
    process_stop(null, SIGKILL);
    cairn_server_stop(&server);
}

/* ---- idle followers ---------------------------------------------------------------------- */

struct followers {
    int *fds;
    bool *seen;
    unsigned count;
    int epoll;
};

/* Wait until every follower has received `text` in something that arrived from now on. */
static bool
wait_for_all(struct followers *followers, const char *text, unsigned timeout_ms)
{
    struct epoll_event events[256];
    char buffer[8192];
    unsigned left = followers->count;
    memset(followers->seen, 0, followers->count * sizeof *followers->seen);
    uint64_t until = now_ns() + (uint64_t)timeout_ms * 1000000u;
    while (left > 0) {
        int ready = epoll_wait(followers->epoll, events, 256, 1000);
        if (now_ns() > until)
            return false;
        for (int i = 0; i < ready; i++) {
            unsigned index = events[i].data.u32;
            ssize_t got = recv(followers->fds[index], buffer, sizeof buffer, MSG_DONTWAIT);
            if (got == 0 || (got < 0 && errno != EAGAIN)) {
                failure("followers: the server closed connection %u", index);
                return false;
            }
            if (got > 0 && !followers->seen[index]
                && memmem(buffer, (size_t)got, text, strlen(text)) != NULL) {
                followers->seen[index] = true;
                left--;
            }
        }
    }
    return true;
}

static bool
connect_followers(struct followers *followers, unsigned port, unsigned wanted)
{
    static const char request[] = "GET /v1/events?from=end HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: "
                                  "text/event-stream\r\n\r\n";
    for (; followers->count < wanted; followers->count++) {
        int fd = http_open_socket(port);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = followers->count};
        if (fd < 0
            || send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1
            || epoll_ctl(followers->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
            failure("followers: cannot connect the %u. one: %s", followers->count + 1,
                    strerror(errno));
            if (fd >= 0)
                close(fd);
            return false;
        }
        followers->fds[followers->count] = fd;
    }
    return true;
}

/* Memory may still be on its way down or up when the last answer is out. */
static double
settled_memory(pid_t pid)
{
    double last = 0, now = memory_mb(pid, "VmRSS");
    for (unsigned i = 0; i < 50 && (now > last * 1.001 || now < last * 0.999); i++) {
        last = now;
        sleep_ms(200);
        now = memory_mb(pid, "VmRSS");
    }
    return now;
}

static void
measure_followers(const struct settings *settings)
{
    struct cairn_server server;
    unsigned wanted = settings->followers;
    if (settings->descriptors < wanted + 500ull) {
        wanted = settings->descriptors > 600 ? (unsigned)settings->descriptors - 500 : 100;
        remark("followers: %u instead of %u, for the system allows %llu descriptors a process",
               wanted, settings->followers, (unsigned long long)settings->descriptors);
    }
    struct followers followers = {.fds = calloc(wanted, sizeof *followers.fds),
                                  .seen = calloc(wanted, sizeof *followers.seen),
                                  .epoll = epoll_create1(EPOLL_CLOEXEC)};
    if (followers.fds == NULL || followers.seen == NULL || followers.epoll < 0
        || !cairn_server_start(settings, "cairn-follow", &server))
        goto done;
    double before = settled_memory(server.pid);
    uint64_t begin = now_ns();
    if (!connect_followers(&followers, server.port, wanted)
        || !wait_for_all(&followers, "HTTP/1.1 200", 60000)) {
        failure("followers: not all of %u were let in", wanted);
        goto stop;
    }
    figure_add((double)(now_ns() - begin) / 1e6, "followers.connect_ms");
    figure_add(followers.count, "followers.count");
    double memory = settled_memory(server.pid), cpu = cpu_tree_s(server.pid);
    figure_add(memory, "followers.server_mb");
    figure_add((memory - before) * 1e6 / followers.count, "followers.each_bytes");
    sleep_ms(2000);
    figure_add((cpu_tree_s(server.pid) - cpu) / 2, "followers.idle_cores");
    begin = now_ns();
    if (http_append_once(server.port, "wake-1", 1) && wait_for_all(&followers, "wake-1", 30000)) {
        figure_add((double)(now_ns() - begin) / 1e6, "followers.one_event_to_all_ms");
        figure_add(settled_memory(server.pid), "followers.server_after_event_mb");
    } else {
        failure("followers: one event did not reach all %u", followers.count);
    }
stop:
    for (unsigned i = 0; i < followers.count; i++)
        close(followers.fds[i]);
    cairn_server_stop(&server);
done:
    if (followers.epoll >= 0)
        close(followers.epoll);
    free(followers.fds);
    free(followers.seen);
}

void
part_http(const struct settings *settings)
{
    if (settings->server == NULL) {
        remark("HTTP: LEFT OUT, there is no server program");
        return;
    }
    measure_reads(settings);
    measure_followers(settings);
}

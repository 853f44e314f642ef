/* A server: its loops, its budget for bodies, starting, stopping, statistics.
 *
 * Stopping:  listener closed ─► loops end what need not go on ─(all over, or grace_ms)─► connections cut
 *            ─► on_close calls run, holders release ─► pool, loops, memory */
#include <proto/http/http_int.h>

#include <base/error.h>
#include <os/os.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WORK_THREADS 8
#define WAIT_THREADS 64
#define WORK_QUEUE_MAX 1024 /* of either */
#define HELD_WAIT_MS 10000 /* for exchanges that somebody still holds after everything was cut */

_Static_assert(sizeof(struct http_post_node) == sizeof(struct net_post_node) &&
                   offsetof(struct http_post_node, next) == offsetof(struct net_post_node, next) &&
                   offsetof(struct http_post_node, fn) == offsetof(struct net_post_node, fn) &&
                   offsetof(struct http_post_node, context) == offsetof(struct net_post_node, context),
               "http_post_node is net_post_node under the API's name");

/* ---- the budget for bodies ------------------------------------------------------------------- */

bool
body_charge(struct http_loop *loop, size_t bytes)
{
    struct http_server *server = loop->server;
    size_t before = atomic_fetch_add_explicit(&server->body_bytes, bytes, memory_order_relaxed);
    if (before + bytes <= server->config.bodies_max)
        return true;
    atomic_fetch_sub_explicit(&server->body_bytes, bytes, memory_order_relaxed);
    return false;
}

void
body_discharge(struct http_loop *loop, size_t bytes)
{
    if (bytes)
        atomic_fetch_sub_explicit(&loop->server->body_bytes, bytes, memory_order_relaxed);
}

/* ---- a loop ---------------------------------------------------------------------------------- */

const char *
loop_date(struct http_loop *loop)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t now_ms = net_now_ms(loop->net);
    if (loop->date_ms && now_ms - loop->date_ms < 1000)
        return loop->date;
    loop->date_ms = now_ms ? now_ms : 1;
    time_t now_s = os_now_us(os_real()) / 1000000;
    struct tm t;
    gmtime_r(&now_s, &t);
    snprintf(loop->date, sizeof loop->date, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * t.tm_wday,
             (unsigned)t.tm_mday % 100, months + 3 * t.tm_mon, ((unsigned)t.tm_year + 1900) % 10000,
             (unsigned)t.tm_hour % 100, (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
    return loop->date;
}

void
loop_after_events(void *context)
{
    struct http_loop *loop = context;
    conn_work(loop);
    exchange_run_closing(loop);
}

struct http_loop *
http_loop_at(struct http_server *server, unsigned index)
{
    return index < server->config.loops ? &server->loops[index] : NULL;
}

unsigned
http_loop_index(const struct http_loop *loop)
{
    return loop->index;
}

bool
http_post(struct http_loop *loop, struct http_post_node *node)
{
    return net_post(loop->net, (struct net_post_node *)node);
}

bool
http_work(struct http_loop *loop, void (*work)(void *context), void (*done)(void *context), void *context)
{
    return net_pool_run(loop->server->pool, loop->net, work, done, context);
}

bool
http_wait(struct http_loop *loop, void (*work)(void *context), void (*done)(void *context), void *context)
{
    return net_pool_run(loop->server->waiters, loop->net, work, done, context);
}

bool
http_every(struct http_loop *loop, unsigned period_ms, void (*fn)(void *context), void *context)
{
    return net_every(loop->net, period_ms, fn, context);
}

/* ---- starting -------------------------------------------------------------------------------- */

static void
set_default(unsigned *value, unsigned otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void
set_default_size(size_t *value, size_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void
fill_config(struct http_config *config)
{
    unsigned descriptors = net_prepare_process(), processors = net_processors();
    set_default(&config->loops, processors < 8 ? processors : 8);
    if (config->loops > HTTP_LOOPS_MAX)
        config->loops = HTTP_LOOPS_MAX;
    set_default_size(&config->body_max, 24 << 20);
    set_default_size(&config->bodies_max, 256 << 20);
    set_default_size(&config->header_max, 16 << 10);
    if (config->header_max > UINT16_MAX)
        config->header_max = UINT16_MAX;
    set_default(&config->headers_max, 100);
    if (config->headers_max > 1000)
        config->headers_max = 1000;
    set_default(&config->connections_max, descriptors > 400 ? descriptors - 200 : descriptors / 2);
    set_default(&config->streams_max, 128);
    set_default_size(&config->write_buffer_max, 1 << 20);
    set_default_size(&config->unsent_max, 256 << 20);
    set_default(&config->header_timeout_ms, 10000);
    set_default(&config->body_timeout_ms, 30000);
    set_default(&config->idle_timeout_ms, 75000);
    set_default(&config->write_timeout_ms, 30000);
}

static void
free_server(struct http_server *server)
{
    for (unsigned i = 0; i < server->config.loops; i++)
        net_loop_stop(server->loops[i].net);
    for (unsigned i = 0; i < server->config.loops; i++) {
        struct http_loop *loop = &server->loops[i];
        exchange_free_spares(loop);
        net_loop_free(loop->net);
        free(loop->scratch);
    }
    net_listener_free(server->listener);
    net_pool_free(server->pool);
    net_pool_free(server->waiters);
    net_tls_free(server->tls);
    free(server);
}

static cairn_err
start_loops(struct http_server *server, cairn_error *error)
{
    for (unsigned i = 0; i < server->config.loops; i++) {
        struct http_loop *loop = &server->loops[i];
        char name[16];
        loop->server = server;
        loop->index = i;
        loop->slow_end = &loop->slow;
        loop->closing_end = &loop->closing;
        loop->scratch = malloc(h1_head_bytes(server->limits.fields_max));
        if (!loop->scratch)
            return error_set(error, CAIRN_E_NOMEM, "no memory for an event loop");
        snprintf(name, sizeof name, "cairn-loop-%u", i % 1000);
        cairn_err err = net_loop_start(name, loop_after_events, loop, &loop->net, error);
        if (err != CAIRN_OK)
            return err;
        server->nets[i] = loop->net;
    }
    return CAIRN_OK;
}

static cairn_err
start_listening(struct http_server *server, cairn_error *error)
{
    const struct http_config *config = &server->config;
    return net_listen(&(struct net_listen_options){.address = config->address,
                                                   .port = config->port,
                                                   .loops = server->nets,
                                                   .loop_count = config->loops,
                                                   .tls = server->tls,
                                                   .on_conn = conn_open},
                      &server->listener, error);
}

cairn_err
http_server_start(const struct http_config *config, struct http_server **ret, cairn_error *error)
{
    if (!config->tls_cert_file != !config->tls_key_file)
        return error_set(error, CAIRN_E_INVALID, "TLS needs both a certificate file and a key file");
    struct http_server *server = calloc(1, sizeof *server);
    if (!server)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a server");
    server->config = *config;
    fill_config(&server->config);
    size_t head_max = server->config.header_max;
    server->limits = (struct h1_limits){.head_max = (uint32_t)head_max,
                                        .target_max = (uint32_t)(head_max < 8192 ? head_max : 8192),
                                        .fields_max = server->config.headers_max};

    cairn_err err = CAIRN_OK;
    if (config->tls_cert_file)
        err = net_tls_new(config->tls_cert_file, config->tls_key_file, config->tls_client_ca_file,
                          &server->tls, error);
    if (err == CAIRN_OK)
        err = net_pool_start(WORK_THREADS, WORK_QUEUE_MAX, &server->pool, error);
    if (err == CAIRN_OK)
        err = net_pool_start(WAIT_THREADS, WORK_QUEUE_MAX, &server->waiters, error);
    if (err == CAIRN_OK)
        err = start_loops(server, error);
    if (err == CAIRN_OK)
        err = start_listening(server, error);
    if (err != CAIRN_OK) {
        net_pool_stop(server->pool);
        net_pool_stop(server->waiters);
        free_server(server);
        return err;
    }
    *ret = server;
    return CAIRN_OK;
}

uint16_t
http_server_port(const struct http_server *server)
{
    return net_listener_port(server->listener);
}

/* ---- stopping -------------------------------------------------------------------------------- */

static void
stop_here(void *context)
{
    struct http_loop *loop = context;
    bool cut = atomic_load(&loop->server->stopping) == 2;
    for (struct http_conn *c = loop->conns, *next; c; c = next) {
        next = c->next;
        if (cut || !c->protocol)
            conn_close(c);
        else if (!c->closing && !c->lingering)
            c->protocol->stop(c);
    }
}

/* Tell every loop how far stopping has come, and wait until all are empty. */
static bool
stop_loops(struct http_server *server, int how, unsigned wait_ms)
{
    atomic_store(&server->stopping, how);
    return net_loops_drain(server->nets, server->config.loops, stop_here, wait_ms);
}

void
http_server_stop(struct http_server *server, unsigned grace_ms)
{
    if (!server)
        return;
    net_listener_close(server->listener);
    bool empty = stop_loops(server, 1, grace_ms) || stop_loops(server, 2, HELD_WAIT_MS);
    net_pool_stop(server->pool);
    net_pool_stop(server->waiters);
    if (empty) {
        free_server(server);
        return;
    }
    /* Somebody on another thread still holds an exchange and will post its release. Memory that they
     * point to must stay; the threads go. */
    for (unsigned i = 0; i < server->config.loops; i++)
        net_loop_stop(server->loops[i].net);
}

void
http_server_stats(struct http_server *server, struct http_server_stats *ret)
{
    struct http_server_stats stats = {0};
    for (unsigned i = 0; i < server->config.loops; i++) {
        struct http_loop *loop = &server->loops[i];
        uint64_t in_bytes, out_bytes;
        net_loop_traffic(loop->net, &in_bytes, &out_bytes);
        stats.bytes_in_total += in_bytes;
        stats.bytes_out_total += out_bytes;
        stats.connections_total += atomic_load_explicit(&loop->connections, memory_order_relaxed);
        stats.requests_total += atomic_load_explicit(&loop->requests, memory_order_relaxed);
        stats.rejected_total += atomic_load_explicit(&loop->rejected, memory_order_relaxed);
    }
    stats.connections = atomic_load_explicit(&server->connections, memory_order_relaxed);
    stats.body_bytes = atomic_load_explicit(&server->body_bytes, memory_order_relaxed);
    *ret = stats;
}

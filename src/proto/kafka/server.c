/* A server: its loops, its pool, what happens now and then, starting, stopping, statistics.
 *
 * Stopping:  listener closed ─► what has begun is answered, waiting calls at once ─(all over, or grace_ms)─► connections cut,
 *            handlers told ─► every call has ended ─► pool, loops, calls->stop, memory */
#include <proto/kafka/conn_int.h>

#include <base/error.h>
#include <stdio.h>
#include <stdlib.h>

#define WORK_QUEUE_MAX 1024
#define HELD_WAIT_MS 10000 /* for calls that somebody still holds after everything was cut */

const struct kafka_config *
kafka_config_of(const struct kafka_server *server)
{
    return &server->config;
}

uint64_t
kafka_rate_of(const struct kafka_server *server, enum kafka_rate kind)
{
    return kind == KAFKA_RATE_PRODUCE ? server->config.produce_rate : server->config.fetch_rate;
}

void *
kafka_state_of(const struct kafka_server *server)
{
    return server->state;
}

/* ---- now and then ------------------------------------------------------------------------------------------------------------ */

static void
on_tick(void *context)
{
    struct kafka_loop *loop = context;
    struct kafka_server *server = loop->server;
    kafka_conn_tick(loop);
    call_trim_frames(loop);
    if (loop == &server->loops[0] && server->config.calls->tick)
        server->config.calls->tick(server, kafka_now_ms());
}

/* ---- starting ------------------------------------------------------------------------------------------------------------------ */

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
set_most(uint64_t *value, uint64_t most)
{
    if (*value > most)
        *value = most;
}

static void
fill_config(struct kafka_config *config)
{
    unsigned descriptors = net_prepare_process(), processors = net_processors();
    set_default(&config->loops, processors < 8 ? processors : 8);
    if (config->loops > KAFKA_LOOPS_MAX)
        config->loops = KAFKA_LOOPS_MAX;
    set_default(&config->threads, 8);
    set_default(&config->connections_max, descriptors > 400 ? descriptors - 200 : descriptors / 2);
    set_default(&config->calls_max, 64);
    set_default_size(&config->request_max, (size_t)100 << 20);
    if (config->request_max > INT32_MAX)
        config->request_max = INT32_MAX;
    set_default_size(&config->login_request_max, (size_t)512 << 10);
    set_default_size(&config->requests_max, (size_t)256 << 20);
    set_default_size(&config->unsent_max, (size_t)256 << 20);
    set_most(&config->produce_rate, RATE_MAX);
    set_most(&config->fetch_rate, RATE_MAX);
    set_default(&config->request_timeout_ms, 30000);
    set_default(&config->idle_timeout_ms, 600000);
    set_default(&config->write_timeout_ms, 30000);
}

static void
free_server(struct kafka_server *server)
{
    for (unsigned i = 0; i < server->config.loops; i++)
        net_loop_stop(server->loops[i].net);
    if (server->started && server->config.calls->stop)
        server->config.calls->stop(server);
    for (unsigned i = 0; i < server->config.loops; i++) {
        call_free_spares(&server->loops[i]);
        net_loop_free(server->loops[i].net);
    }
    net_listener_free(server->listener);
    net_pool_free(server->pool);
    net_tls_free(server->tls);
    free((char *)(uintptr_t)server->config.advertised_host);
    free((char *)(uintptr_t)server->config.cluster_id);
    free(server);
}

static cairn_err
start_loops(struct kafka_server *server, cairn_error *error)
{
    for (unsigned i = 0; i < server->config.loops; i++) {
        struct kafka_loop *loop = &server->loops[i];
        char name[16];
        loop->server = server;
        loop->slow_end = &loop->slow;
        snprintf(name, sizeof name, "cairn-kafka-%u", i % 100);
        cairn_err err = net_loop_start(name, NULL, loop, &loop->net, error);
        if (err != CAIRN_OK)
            return err;
        server->nets[i] = loop->net;
    }
    return CAIRN_OK;
}

static cairn_err
start_listening(struct kafka_server *server, cairn_error *error)
{
    struct kafka_config *config = &server->config;
    return net_listen(&(struct net_listen_options){.address = config->address,
                                                   .port = config->port,
                                                   .loops = server->nets,
                                                   .loop_count = config->loops,
                                                   .tls = server->tls,
                                                   .on_conn = kafka_conn_open},
                      &server->listener, error);
}

/* The strings that are needed for as long as it runs. */
static cairn_err
copy_strings(struct kafka_config *config, cairn_error *error)
{
    const char *host = config->advertised_host, *cluster = config->cluster_id ? config->cluster_id : "cairn";
    config->advertised_host = host && *host ? strdup(host) : NULL;
    config->cluster_id = strdup(cluster);
    if ((host && *host && !config->advertised_host) || !config->cluster_id)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a server");
    return CAIRN_OK;
}

static cairn_err
start_calls(struct kafka_server *server, cairn_error *error)
{
    const struct kafka_calls *calls = server->config.calls;
    server->started = true;
    cairn_err err = calls->start ? calls->start(server, &server->state, error) : CAIRN_OK;
    server->started = err == CAIRN_OK;
    for (unsigned i = 0; err == CAIRN_OK && i < server->config.loops; i++)
        if (!net_every(server->loops[i].net, TICK_MS, on_tick, &server->loops[i]))
            err = error_set(error, CAIRN_E_NOMEM, "no memory for a server");
    return err;
}

cairn_err
kafka_server_start(const struct kafka_config *config, struct kafka_server **ret, cairn_error *error)
{
    if (!config->tls_cert_file != !config->tls_key_file)
        return error_set(error, CAIRN_E_INVALID, "TLS needs both a certificate file and a key file");
    struct kafka_server *server = calloc(1, sizeof *server);
    if (!server)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a server");
    server->config = *config;
    fill_config(&server->config);

    cairn_err err = copy_strings(&server->config, error);
    if (err == CAIRN_OK && config->tls_cert_file)
        err = net_tls_new(config->tls_cert_file, config->tls_key_file, config->tls_client_ca_file, &server->tls, error);
    if (err == CAIRN_OK)
        err = net_pool_start(server->config.threads, WORK_QUEUE_MAX, &server->pool, error);
    if (err == CAIRN_OK)
        err = start_loops(server, error);
    if (err == CAIRN_OK)
        err = start_calls(server, error);
    if (err == CAIRN_OK)
        err = start_listening(server, error);
    if (err != CAIRN_OK) {
        net_pool_stop(server->pool);
        free_server(server);
        return err;
    }
    *ret = server;
    return CAIRN_OK;
}

uint16_t
kafka_server_port(const struct kafka_server *server)
{
    return net_listener_port(server->listener);
}

/* ---- stopping ------------------------------------------------------------------------------------------------------------------- */

static void
stop_here(void *context)
{
    struct kafka_loop *loop = context;
    bool cut = atomic_load(&loop->server->stopping) == 2;
    for (struct kafka_conn *c = loop->conns, *next; c; c = next) {
        next = c->next;
        if (cut)
            kafka_conn_close(c);
        else
            kafka_conn_stop(c);
    }
}

/* Tell every loop how far stopping has come, and wait until all are empty. */
static bool
stop_loops(struct kafka_server *server, int how, unsigned wait_ms)
{
    atomic_store(&server->stopping, how);
    return net_loops_drain(server->nets, server->config.loops, stop_here, wait_ms);
}

void
kafka_server_stop(struct kafka_server *server, unsigned grace_ms)
{
    if (!server)
        return;
    net_listener_close(server->listener);
    bool empty = stop_loops(server, 1, grace_ms) || stop_loops(server, 2, HELD_WAIT_MS);
    net_pool_stop(server->pool);
    if (empty) {
        free_server(server);
        return;
    }
    /* Somebody on another thread still holds a call and will answer it. Memory that they point to must stay; the
     * threads go. */
    for (unsigned i = 0; i < server->config.loops; i++)
        net_loop_stop(server->loops[i].net);
}

void
kafka_server_stats(struct kafka_server *server, struct kafka_server_stats *ret)
{
    struct kafka_server_stats stats = {0};
    for (unsigned i = 0; i < server->config.loops; i++) {
        struct kafka_loop *loop = &server->loops[i];
        uint64_t in_bytes, out_bytes;
        net_loop_traffic(loop->net, &in_bytes, &out_bytes);
        stats.bytes_in_total += in_bytes;
        stats.bytes_out_total += out_bytes;
        stats.connections_total += atomic_load_explicit(&loop->connections, memory_order_relaxed);
        stats.rejected_total += atomic_load_explicit(&loop->rejected, memory_order_relaxed);
        stats.denied_total += atomic_load_explicit(&loop->denied, memory_order_relaxed);
        stats.throttled_total += atomic_load_explicit(&loop->throttled, memory_order_relaxed);
        stats.throttled_ms_total += atomic_load_explicit(&loop->throttled_ms, memory_order_relaxed);
        for (unsigned key = 0; key < KAFKA_KEYS; key++) {
            uint64_t calls = atomic_load_explicit(&loop->calls[key], memory_order_relaxed);
            stats.calls_by_key[key] += calls;
            stats.calls_total += calls;
        }
    }
    stats.connections = atomic_load_explicit(&server->connections, memory_order_relaxed);
    stats.unsent_bytes = atomic_load_explicit(&server->unsent, memory_order_relaxed);
    stats.request_bytes = atomic_load_explicit(&server->request_bytes, memory_order_relaxed);
    *ret = stats;
}

/* Wiring: a store, the API on it, HTTP in front. See server.h.
 *
 *   start: store ─► kafka ─► apps ─► api ─► http ─► kafka's doors
 *   stop:  api_drain ─► apps stop ─► kafka's doors ─► http ─► api ─► apps ─► kafka ─► store
 *
 * Stopping goes from the outside in, except that appends and commands under way are waited for first: their answers
 * need the loops; and that queries which wait for a read model are ended, because the pool waits for them. */
#include <server/server.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <os/net/fetch.h>
#include <proto/http/api.h>
#include <proto/http/http.h>
#include <server/kafka.h>
#include <server/log.h>

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

struct server {
    struct server_config config;
    cairn_store *store;
    struct kafka_side *kafka;
    struct fetch *fetch; /* for deciders behind webhooks */
    cairn_apps *apps;
    struct api *api;
    struct http_server *http;
    char url[128];
};

static const char *
or_null(const char *text)
{
    return text[0] ? text : NULL;
}

/* ---- starting and stopping ------------------------------------------------------------------------------ */

static cairn_err
open_store(struct server *server, cairn_error *error)
{
    const struct server_config *config = &server->config;
    const cairn_options options = {
        .create = true,
        .segment_size_bytes = config->segment_size,
        .event_size_max = (uint32_t)config->event_size,
        .append_size_max = (uint32_t)config->append_size,
        .append_events_max = (uint32_t)config->append_events,
        .appends_waiting_max = (uint32_t)config->appends_waiting,
        .index_memory_events = (uint32_t)config->index_memory_events,
        .scavenge_interval_us = config->scavenge_interval_us,
        .snapshot_cache_bytes = (uint32_t)(config->snapshot_cache < UINT32_MAX ? config->snapshot_cache : UINT32_MAX),
    };
    return cairn_open(config->data, &options, &server->store, error);
}

static void
log_of_apps(void *context, cairn_log_level level, cairn_str line)
{
    (void)context;
    if (level != CAIRN_LOG_DEBUG)
        server_log_line(level == CAIRN_LOG_ERROR  ? SERVER_LOG_ERROR
                        : level == CAIRN_LOG_WARN ? SERVER_LOG_WARN
                                                  : SERVER_LOG_INFO,
                        line.data, line.size);
}

static cairn_err
open_apps(struct server *server, cairn_error *error)
{
    const struct server_config *config = &server->config;
    char folder[CONFIG_PATH_MAX + 8];
    snprintf(folder, sizeof folder, "%s%s", config->apps_folder[0] ? config->apps_folder : config->data,
             config->apps_folder[0] ? "" : "/apps");
    cairn_apps_options options = {
        .folder = folder,
        .native_folder = or_null(config->apps_native),
        .post = fetch_post,
        .log = log_of_apps,
        .log_commands = config->apps_log != 0,
        .workers = (uint32_t)config->apps_workers,
        .commands_waiting_max = (uint32_t)config->commands_waiting,
        .state_cache_bytes = config->apps_state_cache,
    };
    cairn_err err = fetch_new(&server->fetch, error);
    if (err != CAIRN_OK)
        return err;
    options.post_context = server->fetch;
    return cairn_apps_open(server->store, &options, &server->apps, error);
}

static cairn_err
make_api(struct server *server, cairn_error *error)
{
    const struct server_config *config = &server->config;
    const struct api_config api = {
        .store = server->store,
        .apps = server->apps,
        .broker = kafka_side_broker(server->kafka),
        .groups = kafka_side_groups(server->kafka),
        .relays = kafka_side_relays(server->kafka),
        .metrics = kafka_side_metrics,
        .metrics_context = server->kafka,
        .append_events_max = (uint32_t)config->append_events,
        .followers_max = (uint32_t)config->followers,
        .heartbeat_ms = (uint32_t)(config->heartbeat_us / 1000),
        .data_folder = config->data,
        .scratch_folder = config->scratch,
    };
    cairn_err err = api_create(&api, &server->api, error);
    if (err == CAIRN_OK) /* what was committed before the API listened for it */
        cairn_apps_committed(server->apps, cairn_end(server->store));
    return err;
}

static cairn_err
start_http(struct server *server, cairn_error *error)
{
    const struct server_config *config = &server->config;
    char address[64];
    uint16_t port;
    cairn_err err = config_address("listen", config->listen, address, &port, error);
    if (err != CAIRN_OK)
        return err;
    const struct http_config http = {
        .address = address,
        .port = port,
        .tls_cert_file = or_null(config->tls_cert),
        .tls_key_file = or_null(config->tls_key),
        .tls_client_ca_file = or_null(config->tls_client_ca),
        .loops = (unsigned)config->loops,
        .body_max = config->body_size,
        .bodies_max = config->bodies_size,
        .header_max = config->header_size,
        .headers_max = (unsigned)config->headers,
        .connections_max = (unsigned)config->connections,
        .streams_max = (unsigned)config->connection_streams,
        .write_buffer_max = config->write_buffer,
        .unsent_max = config->unsent_size,
        .header_timeout_ms = (unsigned)(config->header_timeout_us / 1000),
        .body_timeout_ms = (unsigned)(config->body_timeout_us / 1000),
        .idle_timeout_ms = (unsigned)(config->idle_timeout_us / 1000),
        .write_timeout_ms = (unsigned)(config->write_timeout_us / 1000),
        .handler = api_serve,
        .context = server->api,
    };
    err = http_server_start(&http, &server->http, error);
    if (err != CAIRN_OK)
        return err;
    api_set_server(server->api, server->http);
    bool v6 = strchr(address, ':') != NULL;
    snprintf(server->url, sizeof server->url, "%s://%s%s%s:%u", config->tls_cert[0] ? "https" : "http",
             v6 ? "[" : "", address, v6 ? "]" : "", (unsigned)http_server_port(server->http));
    return CAIRN_OK;
}

cairn_err
server_start(const struct server_config *config, struct server **ret, cairn_error *error)
{
    struct server *server = calloc(1, sizeof *server);
    if (!server)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    server->config = *config;
    cairn_err err = config_check(&server->config, error);
    if (err == CAIRN_OK)
        err = open_store(server, error);
    if (err == CAIRN_OK)
        err = kafka_side_open(&server->config, server->store, &server->kafka, error);
    if (err == CAIRN_OK)
        err = open_apps(server, error);
    if (err == CAIRN_OK)
        err = make_api(server, error);
    if (err == CAIRN_OK)
        err = start_http(server, error);
    if (err == CAIRN_OK)
        err = kafka_side_listen(server->kafka, error);
    if (err == CAIRN_OK)
        *ret = server;
    else
        server_stop(server);
    return err;
}

void
server_stop(struct server *server)
{
    if (!server)
        return;
    if (server->api)
        api_drain(server->api);
    cairn_apps_stop(server->apps);
    kafka_side_stop(server->kafka, (unsigned)(server->config.grace_us / 1000));
    if (server->http)
        http_server_stop(server->http, (unsigned)(server->config.grace_us / 1000));
    api_free(server->api);
    cairn_apps_close(server->apps);
    fetch_free(server->fetch);
    kafka_side_close(server->kafka);
    cairn_close(server->store);
    free(server);
}

const char *
server_url(const struct server *server)
{
    return server->url;
}

cairn_store *
server_store(struct server *server)
{
    return server->store;
}

/* ---- running -------------------------------------------------------------------------------------------------- */

/* The numbers that `cairn help` lists for the whole command line. */
static int
exit_code(cairn_err err)
{
    switch (err) {
    case CAIRN_OK:
        return 0;
    case CAIRN_E_INVALID:
        return 2;
    case CAIRN_E_NOTFOUND:
        return 3;
    case CAIRN_E_CORRUPT:
        return 7;
    case CAIRN_E_LOCKED:
        return 8;
    case CAIRN_E_NOSPACE:
        return 9;
    default:
        return 1;
    }
}

/* One object, as the other commands fail with --json. */
static void
say_failure_json(const char *what, cairn_err err, const char *detail, const char *hint)
{
    struct buf line = {0};
    buf_put_str(&line, CAIRN_STR("{\"error\":"));
    json_put_string(&line, cairn_cstr(cairn_err_name(err)));
    buf_printf(&line, ",\"exit\":%d,\"what\":", exit_code(err));
    json_put_string(&line, cairn_cstr(what));
    json_put_text_member(&line, "detail", cairn_cstr(detail));
    json_put_text_member(&line, "hint", cairn_cstr(hint));
    buf_put_str(&line, CAIRN_STR("}\n"));
    fwrite(line.data, 1, line.failed ? 0 : line.size, stderr);
    buf_free(&line);
}

static int
say_failure(const char *what, cairn_err err, const cairn_error *error, bool json)
{
    const char *detail = error->detail[0] ? error->detail : cairn_err_name(err);
    const char *hint = err == CAIRN_E_INVALID                   ? "`cairn serve --help` lists the settings"
                       : !strncmp(detail, "cannot listen on", 16) ? "name an address of this machine and a port that is free; 0 takes one"
                                                                  : cairn_err_hint(err);
    if (json)
        say_failure_json(what, err, detail, hint);
    else
        fprintf(stderr, "cairn: %s: %s\nhint: %s\n", what, detail, hint);
    return exit_code(err);
}

/* The one line on stdout. */
static void
say_listening(const struct server *server)
{
    struct buf line = {0};
    if (server->config.json) {
        buf_put_str(&line, CAIRN_STR("{\"url\":"));
        json_put_string(&line, cairn_cstr(server->url));
        json_put_text_member(&line, "data", cairn_cstr(server->config.data));
        if (kafka_side_address(server->kafka)[0])
            json_put_text_member(&line, "kafka", cairn_cstr(kafka_side_address(server->kafka)));
        if (kafka_side_registry_url(server->kafka)[0])
            json_put_text_member(&line, "schema_registry", cairn_cstr(kafka_side_registry_url(server->kafka)));
        json_put_text_member(&line, "version", cairn_cstr(cairn_version()));
        buf_put_str(&line, CAIRN_STR("}\n"));
    } else {
        bool doors = kafka_side_address(server->kafka)[0] || kafka_side_registry_url(server->kafka)[0];
        buf_printf(&line, "Cairn %s is listening on %s", cairn_version(), server->url);
        if (kafka_side_address(server->kafka)[0])
            buf_printf(&line, ", for Kafka's clients on %s", kafka_side_address(server->kafka));
        if (kafka_side_registry_url(server->kafka)[0])
            buf_printf(&line, ", for the schema registry's clients on %s", kafka_side_registry_url(server->kafka));
        buf_printf(&line, "%s with its data in %s\n", doors ? "," : "", server->config.data);
    }
    fwrite(line.data, 1, line.failed ? 0 : line.size, stdout);
    fflush(stdout);
    buf_free(&line);
}

/* The signals that end the server are taken by sigtimedwait, so that no handler runs anywhere; threads started
 * later inherit the mask. */
static void
block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

static void
log_opened(struct server *server)
{
    cairn_stats stats;
    char events[24], streams[24], recovered[24], discarded[24];
    cairn_stats_get(server->store, &stats);
    snprintf(events, sizeof events, "%llu", (unsigned long long)stats.events);
    snprintf(streams, sizeof streams, "%llu", (unsigned long long)stats.streams);
    snprintf(recovered, sizeof recovered, "%llu", (unsigned long long)stats.recovered_events);
    snprintf(discarded, sizeof discarded, "%llu", (unsigned long long)stats.discarded_bytes);
    server_log(SERVER_LOG_INFO, "store opened", "data", server->config.data, "events", events, "streams",
               streams, "recovered_events", recovered, "discarded_bytes", discarded, NULL);
    server_log(SERVER_LOG_INFO, "listening", "url", server->url, "version", cairn_version(), NULL);
}

/* What has been said about the store. */
struct said {
    bool stopped, index_damaged;
    uint64_t index_faults, scavenged_bytes;
    cairn_err scavenge_failure;
};

/* Space that has come back, by itself or because somebody asked. */
static void
watch_scavenging(const cairn_stats *stats, struct said *said)
{
    cairn_err failure = stats->scavenge_failure.code;
    char bytes[24];
    if (stats->scavenged_bytes_total > said->scavenged_bytes) {
        snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)(stats->scavenged_bytes_total - said->scavenged_bytes));
        server_log(SERVER_LOG_INFO, "space was given back", "bytes", bytes, NULL);
    }
    if (failure != CAIRN_OK && failure != said->scavenge_failure)
        server_log(SERVER_LOG_ERROR, "scavenging has failed, and is tried again", "detail", stats->scavenge_failure.detail, NULL);
    said->scavenged_bytes = stats->scavenged_bytes_total;
    said->scavenge_failure = failure;
}

/* Say once when writing stops, and once when it goes on; likewise when damage is found in the index. */
static void
watch_store(struct server *server, struct said *said)
{
    cairn_stats stats;
    cairn_stats_get(server->store, &stats);
    bool damaged = stats.index_failure.code != CAIRN_OK;
    if (damaged && !said->index_damaged)
        server_log(SERVER_LOG_ERROR, "the index is damaged; no event is, but some reads may fail", "detail",
                   stats.index_failure.detail, NULL);
    else if (!damaged && (said->index_damaged || stats.index_faults != said->index_faults))
        server_log(SERVER_LOG_INFO, "the index was damaged, and has been computed again", NULL, NULL);
    said->index_damaged = damaged;
    said->index_faults = stats.index_faults;

    watch_scavenging(&stats, said);

    bool stops = stats.failed || stats.disk_full;
    if (stops == said->stopped)
        return;
    said->stopped = stops;
    if (stops)
        server_log(SERVER_LOG_ERROR, stats.failed ? "the log has failed; restart to write again"
                                                  : "the disk is full; writes wait for room",
                   "detail", stats.failure.detail, NULL);
    else
        server_log(SERVER_LOG_INFO, "writes go on", NULL, NULL);
}

/* The number of the signal that ends the server. */
static int
wait_for_signal(struct server *server, const sigset_t *signals)
{
    const struct timespec second = {1, 0};
    struct said said = {0};
    for (;;) {
        int received = sigtimedwait(signals, NULL, &second);
        if (received > 0)
            return received;
        watch_store(server, &said);
    }
}

/* Large buffers (requests, batches, tables) come from the kernel one by one and go back at once. By default glibc raises the size
 * from which it does so with each one that is freed, and the memory of many threads' arenas then never shrinks: three times as
 * much after an hour of batches of a megabyte. */
#define OWN_MAPPING_BYTES (512 << 10)
#define ARENAS_MAX 4

int
cairn_server_run(const struct server_config *config)
{
    struct server *server;
    cairn_error error = {0};
    sigset_t signals;

    (void)mallopt(M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
    (void)mallopt(M_ARENA_MAX, ARENAS_MAX);
    server_log_from(config->quiet ? SERVER_LOG_ERROR : SERVER_LOG_INFO);
    block_signals(&signals);
    cairn_err err = server_start(config, &server, &error);
    if (err != CAIRN_OK) {
        pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
        return say_failure("cannot serve", err, &error, config->json);
    }
    log_opened(server);
    say_listening(server);

    int received = wait_for_signal(server, &signals);
    server_log(SERVER_LOG_INFO, "stopping", "signal", strsignal(received), NULL);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    server_stop(server);
    server_log(SERVER_LOG_INFO, "stopped", NULL, NULL);
    return 0;
}

/* ---- the command line ------------------------------------------------------------------------------------------- */

static void
print_help(void)
{
    struct buf text = {0};
    buf_put_str(&text, CAIRN_STR(
        "Usage: cairn serve [--data DIR] [--listen ADDR:PORT] [--config FILE] [SETTING]...\n"
        "\n"
        "Serve the store in a folder over HTTP until Ctrl-C.\n"
        "\n"
        "  --config FILE                        read settings from FILE (cairn.yaml, where there is one)\n"
        "  --json                               the line that says where it listens, and a failure, as JSON\n"
        "  --quiet                              only errors on stderr\n"
        "  --help                               this text\n"
        "\n"
        "Settings (default):\n"));
    config_put_help(&text);
    buf_put_str(&text, CAIRN_STR(
        "\n"
        "Each setting may also stand in the environment, as CAIRN_LIMITS_EVENT_SIZE, and in the file, as\n"
        "limits.event_size or nested:\n"
        "\n"
        "  listen: 127.0.0.1:7480\n"
        "  limits:\n"
        "    event_size: 2MiB\n"
        "\n"
        "The command line wins over the environment, the environment over the file. Try it:\n"
        "\n"
        "  cairn serve --data /tmp/try --listen 127.0.0.1:7480\n"
        "  curl http://127.0.0.1:7480/\n"));
    if (!text.failed)
        fwrite(text.data, 1, text.size, stdout);
    buf_free(&text);
}

struct flags {
    const char *config_file;
    bool help, quiet, json;
};

/* The value of a flag: after '=' or the next word. NULL: there is none. */
static const char *
value_of(int argc, char **argv, int *i)
{
    const char *equals = strchr(argv[*i], '=');
    if (equals)
        return equals + 1;
    return *i + 1 < argc ? argv[++*i] : NULL;
}

/* Flags that are no settings go to *flags; with `config`, settings go there. */
static cairn_err
read_flags(int argc, char **argv, struct server_config *config, struct flags *flags, cairn_error *error)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
            flags->help = true;
            continue;
        }
        if (!strcmp(word, "--quiet") || !strcmp(word, "-q")) {
            flags->quiet = true;
            continue;
        }
        if (!strcmp(word, "--json") || !strcmp(word, "-j")) {
            flags->json = true;
            continue;
        }
        if (strncmp(word, "--", 2) != 0)
            return error_set(error, CAIRN_E_INVALID, "'%s' is not understood", word);
        cairn_str name = {word + 2, strcspn(word + 2, "=")};
        bool is_config = cairn_str_equal(name, CAIRN_STR("config"));
        const char *key = is_config ? "config" : config_key_of_flag(name);
        if (!key)
            return error_set(error, CAIRN_E_INVALID, "unknown flag '--%.*s'",
                             (int)name.size, name.data);
        const char *value = value_of(argc, argv, &i);
        if (!value)
            return error_set(error, CAIRN_E_INVALID, "--%.*s needs a value", (int)name.size, name.data);
        if (is_config)
            flags->config_file = value;
        else if (config) {
            cairn_err err = config_set(config, key, cairn_cstr(value), "--", error);
            if (err != CAIRN_OK)
                return err;
        }
    }
    return CAIRN_OK;
}

static cairn_err
gather(int argc, char **argv, struct server_config *config, struct flags *flags, cairn_error *error)
{
    const char *file;
    config_defaults(config);
    cairn_err err = read_flags(argc, argv, NULL, flags, error);
    if (err != CAIRN_OK || flags->help)
        return err;
    file = flags->config_file ? flags->config_file : getenv("CAIRN_CONFIG");
    err = config_read_file(config, file ? file : "cairn.yaml", error);
    if (err == CAIRN_E_NOTFOUND && !file)
        err = CAIRN_OK;
    if (err == CAIRN_OK)
        err = config_read_environment(config, environ, error);
    if (err == CAIRN_OK)
        err = read_flags(argc, argv, config, flags, error);
    config->quiet = flags->quiet;
    config->json = flags->json;
    if (err == CAIRN_OK)
        err = config_check(config, error);
    return err;
}

int
cairn_serve_main(int argc, char **argv)
{
    static struct server_config config;
    struct flags flags = {0};
    cairn_error error = {0};
    cairn_err err = gather(argc, argv, &config, &flags, &error);
    if (flags.help) {
        print_help();
        return 0;
    }
    if (err != CAIRN_OK)
        return say_failure("serve", err, &error, flags.json);
    return cairn_server_run(&config);
}

/* One table of settings; the file, the environment and the command line are three ways to fill it in. See
 * config.h. */
#include <server/config.h>

#include <base/error.h>
#include <base/text.h>
#include <libfyaml.h>
#include <os/os.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum kind { TEXT, SIZE, COUNT, DURATION };

struct setting {
    const char *key;
    enum kind kind;
    size_t offset, room; /* room: of a text */
    uint64_t min, max;
    const char *value;   /* what the help calls it */
    const char *summary;
};

#define AT(member) offsetof(struct server_config, member)
#define TEXT_AT(member) TEXT, AT(member), sizeof((struct server_config *)0)->member, 0, 0
#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define SECOND UINT64_C(1000000)

static const struct setting settings[] = {
    {"data", TEXT_AT(data), "DIR", "the folder of the store; made where there is none (cairn-data)"},
    {"listen", TEXT_AT(listen), "ADDR:PORT", "where to listen; port 0 takes a free one (127.0.0.1:7480)"},
    {"tls.cert", TEXT_AT(tls_cert), "FILE", "certificate chain, PEM: serve over TLS"},
    {"tls.key", TEXT_AT(tls_key), "FILE", "its private key, PEM"},
    {"tls.client_ca", TEXT_AT(tls_client_ca), "FILE", "require client certificates signed by these, PEM"},
    {"limits.event_size", SIZE, AT(event_size), 0, KIB, 64 * MIB, "SIZE", "data, meta and names of one event (1MiB)"},
    {"limits.append_size", SIZE, AT(append_size), 0, KIB, 64 * MIB, "SIZE", "all events of one append (16MiB)"},
    {"limits.append_events", COUNT, AT(append_events), 0, 1, 65536, "N", "events of one append (4096)"},
    {"limits.appends_waiting", COUNT, AT(appends_waiting), 0, 1, 1000000, "N", "appends waiting for the disk (65536)"},
    {"limits.body_size", SIZE, AT(body_size), 0, KIB, GIB, "SIZE", "one request's body (24MiB)"},
    {"limits.bodies_size", SIZE, AT(bodies_size), 0, MIB, 64 * GIB, "SIZE", "all request bodies in memory (256MiB)"},
    {"limits.header_size", SIZE, AT(header_size), 0, KIB, MIB, "SIZE", "request line and headers (16KiB)"},
    {"limits.headers", COUNT, AT(headers), 0, 10, 10000, "N", "headers of a request (100)"},
    {"limits.connections", COUNT, AT(connections), 0, 1, 10000000, "N", "connections at once (by the descriptor limit)"},
    {"limits.connection_streams", COUNT, AT(connection_streams), 0, 1, 10000, "N", "HTTP/2 requests at once on a connection (128)"},
    {"limits.write_buffer", SIZE, AT(write_buffer), 0, 16 * KIB, GIB, "SIZE", "unsent bytes before a reader counts as slow (256KiB)"},
    {"limits.unsent_size", SIZE, AT(unsent_size), 0, MIB, 64 * GIB, "SIZE", "unsent bytes of all; then the slowest are cut off (256MiB)"},
    {"limits.followers", COUNT, AT(followers), 0, 1, 10000000, "N", "followers by server-sent events at once (100000)"},
    {"log.segment_size", SIZE, AT(segment_size), 0, 64 * KIB, GIB, "SIZE", "size of a segment file (256MiB)"},
    {"log.index_memory_events", COUNT, AT(index_memory_events), 0, 1000, 100000000, "N", "room of the index's memory table, at six entries an event (1000000)"},
    {"log.scavenge_interval", DURATION, AT(scavenge_interval_us), 0, 0, 30 * 86400 * SECOND, "TIME", "how often to look by itself for space to give back; 0: never (1h)"},
    {"log.snapshot_cache", SIZE, AT(snapshot_cache), 0, 0, 64 * GIB, "SIZE", "memory for snapshots (64MiB)"},
    {"backup.scratch", TEXT_AT(scratch), "DIR", "where a backup to be downloaded is put together (DATA/scratch)"},
    {"apps.folder", TEXT_AT(apps_folder), "DIR", "where the read models of apps are kept (DATA/apps)"},
    {"apps.native", TEXT_AT(apps_native), "DIR", "shared objects that apps may name as deciders (none)"},
    {"apps.workers", COUNT, AT(apps_workers), 0, 1, 64, "N", "threads that decide commands (processors, at most 16)"},
    {"apps.state_cache", SIZE, AT(apps_state_cache), 0, MIB, 64 * GIB, "SIZE", "memory for aggregates' states (64MiB)"},
    {"apps.log", COUNT, AT(apps_log), 0, 0, 1, "0|1", "a line in the log for every command (1)"},
    {"limits.commands_waiting", COUNT, AT(commands_waiting), 0, 1, 1000000, "N", "commands waiting to be decided (10000)"},
    {"kafka.listen", TEXT_AT(kafka_listen), "ADDR:PORT", "serve Kafka's clients there (not at all)"},
    {"kafka.advertise", TEXT_AT(kafka_advertise), "HOST[:PORT]", "where clients are told to come (the address they came to)"},
    {"kafka.tls_cert", TEXT_AT(kafka_tls_cert), "FILE", "certificate chain, PEM: Kafka's clients over TLS"},
    {"kafka.tls_key", TEXT_AT(kafka_tls_key), "FILE", "its private key, PEM"},
    {"kafka.tls_client_ca", TEXT_AT(kafka_tls_client_ca), "FILE", "require client certificates signed by these, PEM"},
    {"kafka.sasl", TEXT_AT(kafka_sasl), "LIST", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER: who comes must be known (nobody must)"},
    {"kafka.users", TEXT_AT(kafka_users), "FILE", "who is known: a line NAME:PASSWORD each"},
    {"kafka.jwks", TEXT_AT(kafka_jwks), "FILE", "keys of OAUTHBEARER's tokens, a JSON Web Key Set"},
    {"kafka.jwt_issuer", TEXT_AT(kafka_jwt_issuer), "URL", "who must have issued these tokens (anybody with the keys)"},
    {"kafka.jwt_audience", TEXT_AT(kafka_jwt_audience), "NAME", "for whom they must be (anybody)"},
    {"kafka.partitions", COUNT, AT(kafka_partitions), 0, 1, 10000, "N", "partitions of a topic that is made without saying (1)"},
    {"kafka.auto_create", COUNT, AT(kafka_auto_create), 0, 0, 1, "0|1", "asking for a topic makes it (1)"},
    {"kafka.message_size", SIZE, AT(kafka_message_size), 0, KIB, 64 * MIB, "SIZE", "one record batch (1MiB and 12 bytes)"},
    {"kafka.request_size", SIZE, AT(kafka_request_size), 0, MIB, GIB, "SIZE", "one request (100MiB)"},
    {"kafka.requests_size", SIZE, AT(kafka_requests_size), 0, MIB, 64 * GIB, "SIZE", "all requests in memory (256MiB)"},
    {"kafka.produce_rate", SIZE, AT(kafka_produce_rate), 0, 0, 16 * GIB, "SIZE", "bytes a second that one connection may produce (any)"},
    {"kafka.fetch_rate", SIZE, AT(kafka_fetch_rate), 0, 0, 16 * GIB, "SIZE", "bytes a second that one connection may fetch (any)"},
    {"kafka.connections", COUNT, AT(kafka_connections), 0, 1, 10000000, "N", "connections at once (by the descriptor limit)"},
    {"kafka.transactions_size", SIZE, AT(kafka_transactions_size), 0, MIB, 64 * GIB, "SIZE", "what open transactions hold in memory (256MiB)"},
    {"kafka.groups_size", SIZE, AT(kafka_groups_size), 0, MIB, 64 * GIB, "SIZE", "what members of consumer groups hold in memory (256MiB)"},
    {"kafka.loops", COUNT, AT(kafka_loops), 0, 1, 64, "N", "event loops, a thread each (processors, at most 8)"},
    {"schema_registry.listen", TEXT_AT(registry_listen), "ADDR:PORT", "serve the schema registry's clients there (not at all)"},
    {"http.loops", COUNT, AT(loops), 0, 1, 64, "N", "event loops, a thread each (processors, at most 8)"},
    {"http.header_timeout", DURATION, AT(header_timeout_us), 0, 100000, 3600 * SECOND, "TIME", "to send a request's headers (10s)"},
    {"http.body_timeout", DURATION, AT(body_timeout_us), 0, 100000, 3600 * SECOND, "TIME", "of silence while sending a body (30s)"},
    {"http.idle_timeout", DURATION, AT(idle_timeout_us), 0, 100000, 86400 * SECOND, "TIME", "of a connection between requests (75s)"},
    {"http.write_timeout", DURATION, AT(write_timeout_us), 0, 100000, 3600 * SECOND, "TIME", "of a reader that takes nothing (30s)"},
    {"http.heartbeat", DURATION, AT(heartbeat_us), 0, 100000, 3600 * SECOND, "TIME", "of silence before a follower gets a comment line (15s)"},
    {"http.grace", DURATION, AT(grace_us), 0, 0, 3600 * SECOND, "TIME", "for requests under way when stopping (10s)"},
};
#define SETTING_COUNT (sizeof settings / sizeof *settings)

static const struct setting *
find_setting(const char *key)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (!strcmp(settings[i].key, key))
            return &settings[i];
    return NULL;
}

void
config_defaults(struct server_config *config)
{
    memset(config, 0, sizeof *config);
    snprintf(config->data, sizeof config->data, "cairn-data");
    snprintf(config->listen, sizeof config->listen, "127.0.0.1:7480");
    config->apps_log = 1;
    config->kafka_auto_create = 1;
    config->write_buffer = 256 * KIB;
    config->scavenge_interval_us = 3600 * SECOND;
    config->heartbeat_us = 15 * SECOND;
    config->grace_us = 10 * SECOND;
}

/* ---- one value ------------------------------------------------------------------------------------------ */

static cairn_err
set_text(const struct setting *setting, char *to, cairn_str value, const char *where, cairn_error *error)
{
    if (value.size >= setting->room || (value.size > 0 && memchr(value.data, '\0', value.size)))
        return error_set(error, CAIRN_E_INVALID, "%s%s: is longer than %zu bytes or holds a NUL", where,
                         setting->key, setting->room - 1);
    memcpy(to, value.data, value.size);
    to[value.size] = '\0';
    return CAIRN_OK;
}

static cairn_err
set_number(const struct setting *setting, uint64_t *to, cairn_str value, const char *where, cairn_error *error)
{
    static const char *const looks[] = {
        [SIZE] = "a size such as 64KiB or 16MiB",
        [COUNT] = "a whole number",
        [DURATION] = "a duration such as 500ms, 30s or 15m",
    };
    uint64_t n = 0;
    bool reads = setting->kind == SIZE    ? parse_size(value, &n)
                 : setting->kind == COUNT ? parse_u64(value, &n)
                                          : parse_duration(value, &n);
    int shown = (int)(value.size < 60 ? value.size : 60);
    if (!reads)
        return error_set(error, CAIRN_E_INVALID, "%s%s: '%.*s' is not %s", where, setting->key, shown,
                         value.data ? value.data : "", looks[setting->kind]);
    if (n < setting->min || n > setting->max) {
        uint64_t unit = setting->kind == DURATION ? 1000 : 1;
        return error_set(error, CAIRN_E_INVALID, "%s%s: '%.*s' is not between %llu and %llu%s", where,
                         setting->key, shown, value.data, (unsigned long long)(setting->min / unit),
                         (unsigned long long)(setting->max / unit),
                         setting->kind == DURATION ? " ms"
                         : setting->kind == SIZE   ? " bytes"
                                                   : "");
    }
    *to = n;
    return CAIRN_OK;
}

cairn_err
config_set(struct server_config *config, const char *key, cairn_str value, const char *where,
           cairn_error *error)
{
    const struct setting *setting = find_setting(key);
    if (!setting)
        return error_set(error, CAIRN_E_INVALID, "%sunknown key '%.80s'",
                         where, key);
    void *to = (char *)config + setting->offset;
    return setting->kind == TEXT ? set_text(setting, to, value, where, error)
                                 : set_number(setting, to, value, where, error);
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

struct yaml {
    struct server_config *config;
    const char *path;
    cairn_error *error;
};

static int
line_of(struct fy_node *node)
{
    struct fy_token *token = fy_node_get_scalar_token(node);
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    return mark ? mark->line + 1 : 0;
}

static cairn_err
read_mapping(struct yaml *yaml, struct fy_node *mapping, const char *prefix, unsigned depth)
{
    struct fy_node_pair *pair;
    void *iterator = NULL;
    while ((pair = fy_node_mapping_iterate(mapping, &iterator))) {
        struct fy_node *name = fy_node_pair_key(pair), *value = fy_node_pair_value(pair);
        char key[128], where[CONFIG_PATH_MAX + 32];
        size_t size = 0;
        const char *text = name ? fy_node_get_scalar(name, &size) : NULL;
        snprintf(where, sizeof where, "%s:%d: ", yaml->path, name ? line_of(name) : 0);
        snprintf(key, sizeof key, "%s%s%.*s", prefix, *prefix ? "." : "", (int)(size < 80 ? size : 80),
                 text ? text : "");
        cairn_err err;
        if (value && fy_node_is_mapping(value) && depth < 2)
            err = read_mapping(yaml, value, key, depth + 1);
        else if (!value || !fy_node_is_scalar(value))
            err = error_set(yaml->error, CAIRN_E_INVALID, "%s%s must be one value", where, key);
        else {
            const char *bytes = fy_node_get_scalar(value, &size);
            err = config_set(yaml->config, key, (cairn_str){bytes ? bytes : "", size}, where, yaml->error);
        }
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}

/* There is no document: because of a mistake, or because there is nothing but comments. */
static cairn_err
no_document(const char *path, struct fy_diag *diag, cairn_error *error)
{
    void *iterator = NULL;
    struct fy_diag_error *first = fy_diag_errors_iterate(diag, &iterator);
    if (!first)
        return CAIRN_OK;
    return error_set(error, CAIRN_E_INVALID, "%s:%d: is not YAML: %.200s", path,
                     first->line > 0 ? first->line : 1, first->msg ? first->msg : "malformed");
}

static cairn_err
read_text(struct server_config *config, const char *path, const char *bytes, size_t size, cairn_error *error)
{
    struct fy_diag_cfg diag_config;
    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&diag_config);
    if (!diag)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    fy_diag_set_collect_errors(diag, true);
    const struct fy_parse_cfg parse = {.flags = FYPCF_QUIET, .diag = diag};
    struct fy_document *document = fy_document_build_from_string(&parse, bytes, size);
    struct fy_node *root = document ? fy_document_root(document) : NULL;
    struct yaml yaml = {config, path, error};
    cairn_err err = CAIRN_OK;
    if (!document)
        err = no_document(path, diag, error);
    else if (root && fy_node_is_mapping(root))
        err = read_mapping(&yaml, root, "", 0);
    else if (root && !(fy_node_is_scalar(root) && fy_node_get_scalar_length(root) == 0))
        err = error_set(error, CAIRN_E_INVALID, "%s:1: must be a mapping of settings", path);
    fy_document_destroy(document);
    fy_diag_destroy(diag);
    return err;
}

cairn_err
config_read_file(struct server_config *config, const char *path, cairn_error *error)
{
    char *bytes;
    size_t size;
    int fault = os_read_file(os_real(), path, MIB, &bytes, &size);
    if (fault == -EFBIG)
        return error_set(error, CAIRN_E_INVALID, "%s:1: is larger than 1 MiB", path);
    if (fault != 0)
        return error_set_errno(error, -fault, "%s: cannot read", path);
    cairn_err err = read_text(config, path, bytes, size, error);
    free(bytes);
    return err;
}

/* ---- the environment, flags --------------------------------------------------------------------------------- */

/* How much of a key its flag and variable spell: "kafka.listen" is --kafka. */
static size_t
spelled(const char *key)
{
    const char *listen = strstr(key, ".listen");
    return listen ? (size_t)(listen - key) : strlen(key);
}

/* "limits.event_size" as CAIRN_LIMITS_EVENT_SIZE. */
static void
variable_of(const char *key, char to[64])
{
    size_t at = (size_t)snprintf(to, 64, "CAIRN_");
    for (const char *end = key + spelled(key); key < end && at < 63; key++)
        to[at++] = *key == '.' ? '_' : (char)toupper((unsigned char)*key);
    to[at] = '\0';
}

/* "limits.event_size" as limits-event-size. */
static void
flag_of(const char *key, char to[64])
{
    size_t at = 0;
    for (const char *end = key + spelled(key); key < end && at < 63; key++)
        to[at++] = *key == '.' || *key == '_' ? '-' : *key;
    to[at] = '\0';
}

cairn_err
config_read_environment(struct server_config *config, char *const *environment, cairn_error *error)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char name[64], where[72];
        variable_of(settings[i].key, name);
        size_t size = strlen(name);
        for (char *const *entry = environment; *entry; entry++) {
            if (strncmp(*entry, name, size) != 0 || (*entry)[size] != '=')
                continue;
            snprintf(where, sizeof where, "%s: ", name);
            cairn_err err = config_set(config, settings[i].key, cairn_cstr(*entry + size + 1), where, error);
            if (err != CAIRN_OK)
                return err;
        }
    }
    return CAIRN_OK;
}

const char *
config_key_of_flag(cairn_str flag)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char name[64];
        flag_of(settings[i].key, name);
        if (cairn_str_equal(cairn_cstr(name), flag))
            return settings[i].key;
    }
    return NULL;
}

void
config_put_help(struct buf *to)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char flag[64], both[100];
        flag_of(settings[i].key, flag);
        snprintf(both, sizeof both, "--%s %s", flag, settings[i].value);
        buf_printf(to, "  %-36s %s\n", both, settings[i].summary);
    }
}

/* ---- what goes together ---------------------------------------------------------------------------------------- */

cairn_err
config_address(const char *key, const char *listen, char address[64], uint16_t *ret_port, cairn_error *error)
{
    const char *colon = strrchr(listen, ':');
    uint64_t port;
    if (!colon || !parse_u64(cairn_cstr(colon + 1), &port) || port > 65535)
        return error_set(error, CAIRN_E_INVALID, "%s: '%s' is not ADDRESS:PORT such as 127.0.0.1:7480 or [::1]:7480", key,
                         listen);
    cairn_str host = {listen, (size_t)(colon - listen)};
    bool bracketed = host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']';
    if (bracketed)
        host = (cairn_str){host.data + 1, host.size - 2};
    if (host.size >= 64 || (!bracketed && host.size > 0 && memchr(host.data, ':', host.size)))
        return error_set(error, CAIRN_E_INVALID, "%s: '%s': an IPv6 address stands in brackets: [::1]:7480", key, listen);
    if (cairn_str_equal(host, CAIRN_STR("localhost")))
        host = CAIRN_STR("127.0.0.1");
    if (host.size == 0)
        host = CAIRN_STR("0.0.0.0");
    snprintf(address, 64, "%.*s", (int)host.size, host.data);
    *ret_port = (uint16_t)port;
    return CAIRN_OK;
}

cairn_err
config_advertised(const char *text, char host[CONFIG_HOST_SIZE], uint16_t *ret_port, cairn_error *error)
{
    cairn_str name = cairn_cstr(text);
    const char *end = text[0] == '[' ? strchr(text, ']') : NULL, *colon = end ? strchr(end, ':') : strrchr(text, ':');
    uint64_t port = 0;
    bool bare = !end && colon && strchr(text, ':') != colon; /* an IPv6 address and no port */
    bool fine = text[0] != '[' || (end && (end[1] == '\0' || colon == end + 1));
    if (colon && !bare) {
        fine = fine && parse_u64(cairn_cstr(colon + 1), &port) && port > 0 && port <= 65535;
        name.size = (size_t)(colon - text);
    }
    if (end)
        name = (cairn_str){text + 1, (size_t)(end - text) - 1};
    if (!fine || (text[0] && name.size == 0) || name.size >= CONFIG_HOST_SIZE)
        return error_set(error, CAIRN_E_INVALID, "kafka.advertise: '%s' is not HOST[:PORT] such as kafka.example.org:9092 or [::1]:9092",
                         text);
    snprintf(host, CONFIG_HOST_SIZE, "%.*s", (int)name.size, name.data);
    *ret_port = (uint16_t)port;
    return CAIRN_OK;
}

static cairn_err
check_kafka(const struct server_config *config, cairn_error *error)
{
    if (!config->kafka_listen[0] && (config->kafka_tls_cert[0] || config->kafka_tls_key[0] || config->kafka_sasl[0]))
        return error_set(error, CAIRN_E_INVALID, "%s needs kafka.listen (--kafka ADDR:PORT), the door that it is for",
                         config->kafka_tls_cert[0]  ? "kafka.tls_cert"
                         : config->kafka_tls_key[0] ? "kafka.tls_key"
                                                    : "kafka.sasl");
    if (!config->kafka_tls_cert[0] != !config->kafka_tls_key[0])
        return error_set(error, CAIRN_E_INVALID, "kafka.tls_cert and kafka.tls_key go together; %s is missing",
                         config->kafka_tls_cert[0] ? "kafka.tls_key" : "kafka.tls_cert");
    if (config->kafka_tls_client_ca[0] && !config->kafka_tls_cert[0])
        return error_set(error, CAIRN_E_INVALID, "kafka.tls_client_ca needs kafka.tls_cert and kafka.tls_key");
    if ((config->kafka_users[0] || config->kafka_jwks[0]) && !config->kafka_sasl[0])
        return error_set(error, CAIRN_E_INVALID, "%s needs kafka.sasl, which says by which mechanisms",
                         config->kafka_users[0] ? "kafka.users" : "kafka.jwks");
    return CAIRN_OK;
}

cairn_err
config_check(struct server_config *config, cairn_error *error)
{
    char address[64];
    uint16_t port;
    cairn_err err = config_address("listen", config->listen, address, &port, error);
    if (err == CAIRN_OK && config->kafka_listen[0])
        err = config_address("kafka.listen", config->kafka_listen, address, &port, error);
    if (err == CAIRN_OK && config->registry_listen[0])
        err = config_address("schema_registry.listen", config->registry_listen, address, &port, error);
    if (err == CAIRN_OK)
        err = check_kafka(config, error);
    if (err != CAIRN_OK)
        return err;
    if (!config->data[0])
        return error_set(error, CAIRN_E_INVALID, "data: must name a folder");
    if (!config->tls_cert[0] != !config->tls_key[0])
        return error_set(error, CAIRN_E_INVALID, "tls.cert and tls.key go together; %s is missing",
                         config->tls_cert[0] ? "tls.key" : "tls.cert");
    if (config->tls_client_ca[0] && !config->tls_cert[0])
        return error_set(error, CAIRN_E_INVALID, "tls.client_ca needs tls.cert and tls.key");
    if (config->append_size && config->event_size > config->append_size)
        return error_set(error, CAIRN_E_INVALID, "limits.event_size is larger than limits.append_size");
    if (!config->scratch[0] &&
        snprintf(config->scratch, sizeof config->scratch, "%s/scratch", config->data) >= (int)sizeof config->scratch)
        return error_set(error, CAIRN_E_INVALID, "data: the path is too long");
    return CAIRN_OK;
}

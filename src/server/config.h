/* server/config.h: settings, each known by one key in three places:
 *
 *   limits.event_size    cairn.yaml (nested mappings, or the dotted key)
 *   CAIRN_LIMITS_EVENT_SIZE    the environment
 *   --limits-event-size    the command line
 *
 * A door's address has the door's own name there: kafka.listen is --kafka and CAIRN_KAFKA.
 *
 * The command line wins over the environment, the environment over the file, the file over the default. A key
 * that is not known is refused with file and line. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <base/bytes.h>

#define CONFIG_PATH_MAX 900

/* Zero and "" mean the default of the room concerned. */
struct server_config {
    char data[CONFIG_PATH_MAX];
    char listen[128];
    char scratch[CONFIG_PATH_MAX];
    char tls_cert[CONFIG_PATH_MAX], tls_key[CONFIG_PATH_MAX], tls_client_ca[CONFIG_PATH_MAX];
    uint64_t event_size, append_size, append_events, appends_waiting;
    uint64_t body_size, bodies_size, header_size, headers;
    uint64_t connections, connection_streams, write_buffer, unsent_size, followers;
    uint64_t segment_size, index_memory_events, snapshot_cache, scavenge_interval_us;
    char apps_folder[CONFIG_PATH_MAX], apps_native[CONFIG_PATH_MAX];
    uint64_t apps_workers, apps_state_cache, apps_log, commands_waiting;
    uint64_t loops;
    uint64_t header_timeout_us, body_timeout_us, idle_timeout_us, write_timeout_us;
    uint64_t heartbeat_us, grace_us;
    char kafka_listen[128], kafka_advertise[300], registry_listen[128];
    char kafka_tls_cert[CONFIG_PATH_MAX], kafka_tls_key[CONFIG_PATH_MAX], kafka_tls_client_ca[CONFIG_PATH_MAX];
    char kafka_sasl[128], kafka_users[CONFIG_PATH_MAX], kafka_jwks[CONFIG_PATH_MAX];
    char kafka_jwt_issuer[512], kafka_jwt_audience[512];
    uint64_t kafka_partitions, kafka_auto_create, kafka_message_size, kafka_request_size, kafka_requests_size;
    uint64_t kafka_produce_rate, kafka_fetch_rate;
    uint64_t kafka_connections, kafka_transactions_size, kafka_groups_size, kafka_loops;
    bool quiet; /* no lines on stderr but errors */
    bool json;  /* what is for programs, as JSON: the line on stdout, a failure on stderr */
};

/* The defaults that are the server's own. */
void config_defaults(struct server_config *config);
/* CAIRN_E_INVALID: the detail begins with "file:line: ". CAIRN_E_NOTFOUND: no such file. */
CAIRN_MUST_CHECK cairn_err config_read_file(struct server_config *config, const char *path,
                                            cairn_error *error);
/* CAIRN_* of `environment` ("NAME=value", NULL at the end). Names that are no setting are left alone: others may
 * own them. */
CAIRN_MUST_CHECK cairn_err config_read_environment(struct server_config *config, char *const *environment,
                                                   cairn_error *error);
/* One setting by its key: "listen", "tls.cert". `where` begins the sentence of a refusal. */
CAIRN_MUST_CHECK cairn_err config_set(struct server_config *config, const char *key, cairn_str value,
                                      const char *where, cairn_error *error);
/* The key of a flag without its dashes ("limits-event-size"), NULL when there is none. */
const char *config_key_of_flag(cairn_str flag);
/* Settings that do not go together, and defaults that follow from others. */
CAIRN_MUST_CHECK cairn_err config_check(struct server_config *config, cairn_error *error);
/* What others are told, in its parts: "host:port", "[::1]:port", or without a port (0). An IPv6 address loses its brackets. */
#define CONFIG_HOST_SIZE 256
CAIRN_MUST_CHECK cairn_err config_advertised(const char *text, char host[CONFIG_HOST_SIZE], uint16_t *ret_port, cairn_error *error);
/* "host:port" in its parts; "localhost" becomes 127.0.0.1, an empty host every address. key: whose value it is. */
CAIRN_MUST_CHECK cairn_err config_address(const char *key, const char *listen, char address[64], uint16_t *ret_port,
                                          cairn_error *error);
/* The settings with their flags, for --help. */
void config_put_help(struct buf *to);

#endif

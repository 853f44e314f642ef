/* Small answers about the server itself: index, health, figures, the OpenAPI document, proofs. */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <os/os.h>

cairn_err
api_index(struct api_call *call, cairn_error *error)
{
    (void)error;
    buf_printf(call->out,
               "{\"name\":\"cairn\",\"version\":\"%s\",\"links\":{\"openapi\":\"/openapi.json\",\"events\":\"/v1/events\","
               "\"streams\":\"/v1/streams\",\"subscriptions\":\"/v1/subscriptions\",\"stats\":\"/v1/stats\","
               "\"metrics\":\"/metrics\",\"health\":\"/healthz\",\"ready\":\"/readyz\"}}",
               cairn_version());
    return CAIRN_OK;
}

cairn_err
api_openapi_get(struct api_call *call, cairn_error *error)
{
    (void)error;
    buf_put_str(call->out, api_openapi(call->api));
    return CAIRN_OK;
}

cairn_err
api_healthz(struct api_call *call, cairn_error *error)
{
    (void)error;
    buf_put_str(call->out, CAIRN_STR("{\"status\":\"ok\"}"));
    return CAIRN_OK;
}

cairn_err
api_readyz(struct api_call *call, cairn_error *error)
{
    cairn_stats stats;
    cairn_stats_get(call->api->store, &stats);
    if (stats.failed || stats.disk_full) {
        *error = stats.failure;
        error->code = stats.failed ? CAIRN_E_IO : CAIRN_E_NOSPACE;
        return error->code;
    }
    buf_put_str(call->out, CAIRN_STR("{\"status\":\"ready\"}"));
    return CAIRN_OK;
}

cairn_err
api_proof(struct api_call *call, cairn_error *error)
{
    uint64_t position;
    char *proof;
    if (!parse_u64(call->parts[0], &position)) {
        call->malformed = true;
        return error_set(error, CAIRN_E_INVALID, "the position in the path is not a whole number");
    }
    cairn_err err = cairn_prove(call->api->store, position, &proof, error);
    if (err != CAIRN_OK)
        return err == CAIRN_E_END ? CAIRN_E_NOTFOUND : err;
    buf_put_str(call->out, cairn_cstr(proof));
    cairn_free(proof);
    return CAIRN_OK;
}

/* ---- /v1/stats ---------------------------------------------------------------------------------------- */

static void
put_time(struct buf *to, const char *name, bool known, int64_t time_us)
{
    json_put_name(to, name);
    if (known)
        json_put_time(to, time_us);
    else
        buf_put_str(to, CAIRN_STR("null"));
}

static void
put_store_stats(struct buf *to, const cairn_stats *stats)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"events", stats->events},
        {"streams", stats->streams},
        {"log_bytes", stats->log_bytes},
        {"index_bytes", stats->index_bytes},
        {"segments", stats->segments},
        {"index_runs", stats->index_runs},
        {"index_memory_entries", stats->index_memory_entries},
        {"memory_bytes", stats->memory_bytes},
        {"appends_total", stats->appends_total},
        {"events_appended_total", stats->events_appended_total},
        {"conflicts_total", stats->conflicts_total},
        {"batches_total", stats->batches_total},
        {"batch_bytes_total", stats->batch_bytes_total},
        {"sync_us_total", stats->sync_us_total},
        {"sync_us_max", stats->sync_us_max},
        {"reads_total", stats->reads_total},
        {"events_read_total", stats->events_read_total},
        {"appends_waiting", stats->appends_waiting},
        {"recovered_events", stats->recovered_events},
        {"discarded_bytes", stats->discarded_bytes},
        {"index_faults", stats->index_faults},
        {"scavenges_total", stats->scavenges_total},
        {"scavenged_bytes_total", stats->scavenged_bytes_total},
    };
    buf_put_char(to, '{');
    json_put_name(to, "log_id");
    json_put_uuid(to, stats->log_id);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_put_u64_member(to, numbers[i].name, numbers[i].value);
    put_time(to, "first_time", stats->events > 0, stats->first_time_us);
    put_time(to, "last_time", stats->events > 0, stats->last_time_us);
    json_put_bool_member(to, "failed", stats->failed);
    json_put_bool_member(to, "disk_full", stats->disk_full);
    if (stats->failed || stats->disk_full) {
        json_put_text_member(to, "failure", cairn_cstr(stats->failure.detail));
    }
    if (stats->index_failure.code != CAIRN_OK) {
        json_put_text_member(to, "index_failure", cairn_cstr(stats->index_failure.detail));
    }
    if (stats->scavenge_failure.code != CAIRN_OK)
        json_put_text_member(to, "scavenge_failure", cairn_cstr(stats->scavenge_failure.detail));
    buf_put_char(to, '}');
}

cairn_err
api_stats(struct api_call *call, cairn_error *error)
{
    cairn_stats stats;
    struct http_server_stats server = {0};
    uint64_t free_bytes;
    (void)error;
    cairn_stats_get(call->api->store, &stats);
    if (call->api->server)
        http_server_stats(call->api->server, &server);

    struct buf *to = call->out;
    buf_printf(to, "{\"version\":\"%s\",\"store\":", cairn_version());
    put_store_stats(to, &stats);
    json_put_name(to, "server");
    buf_put_char(to, '{');
    json_put_u64_member(to, "uptime_ms", (uint64_t)(api_now_us() - call->api->started_us) / 1000);
    json_put_u64_member(to, "connections", server.connections);
    json_put_u64_member(to, "connections_total", server.connections_total);
    json_put_u64_member(to, "requests_total", server.requests_total);
    json_put_u64_member(to, "rejected_total", server.rejected_total);
    json_put_u64_member(to, "bytes_in_total", server.bytes_in_total);
    json_put_u64_member(to, "bytes_out_total", server.bytes_out_total);
    json_put_u64_member(to, "body_bytes", server.body_bytes);
    json_put_u64_member(to, "followers", atomic_load(&call->api->followers));
    json_put_u64_member(to, "events_followed_total", atomic_load(&call->api->followed_total));
    if (call->api->config.data_folder &&
        os_free_space(os_real(), call->api->config.data_folder, &free_bytes) == 0)
        json_put_u64_member(to, "disk_free_bytes", free_bytes);
    buf_put_str(to, CAIRN_STR("}}"));
    return CAIRN_OK;
}

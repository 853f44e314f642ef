/* /metrics: Prometheus text format 0.0.4. Names: https://prometheus.io/docs/practices/naming/ */
#include <proto/http/api_metrics.h>

#include <os/os.h>

const uint32_t api_bucket_us[API_BUCKETS] = {50,    100,   250,    500,    1000,   2500,    5000,    10000,
                                             25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};

void
api_observe(struct api_histogram *histogram, int64_t us)
{
    unsigned i = 0;
    while (i < API_BUCKETS && us > (int64_t)api_bucket_us[i])
        i++;
    atomic_fetch_add_explicit(&histogram->bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us, us > 0 ? (uint64_t)us : 0, memory_order_relaxed);
}

void
metric_head(struct buf *to, const char *name, const char *type, const char *help)
{
    buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void
metric_whole(struct buf *to, const char *name, const char *type, const char *help, uint64_t value)
{
    metric_head(to, name, type, help);
    buf_printf(to, "%s %llu\n", name, (unsigned long long)value);
}

static void
put_seconds(struct buf *to, const char *name, const char *type, const char *help, uint64_t us)
{
    metric_head(to, name, type, help);
    buf_printf(to, "%s %.6f\n", name, (double)us / 1e6);
}

static void
put_histogram(struct buf *to, const char *name, const char *help, struct api_histogram *histogram)
{
    uint64_t count = 0;
    metric_head(to, name, "histogram", help);
    for (unsigned i = 0; i < API_BUCKETS; i++) {
        count += atomic_load_explicit(&histogram->bucket[i], memory_order_relaxed);
        buf_printf(to, "%s_bucket{le=\"%g\"} %llu\n", name, (double)api_bucket_us[i] / 1e6,
                   (unsigned long long)count);
    }
    count += atomic_load_explicit(&histogram->bucket[API_BUCKETS], memory_order_relaxed);
    buf_printf(to, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.6f\n%s_count %llu\n", name, (unsigned long long)count,
               name, (double)atomic_load_explicit(&histogram->sum_us, memory_order_relaxed) / 1e6, name,
               (unsigned long long)count);
}

/* Rows that have never been counted are left out. */
static void
put_requests(struct buf *to, struct api *api)
{
    metric_head(to, "cairn_http_requests_total", "counter", "Requests answered, by operation and status class.");
    for (size_t row = 0; row <= api_route_count(); row++)
        for (unsigned column = 1; column < 6; column++) {
            uint64_t n = atomic_load_explicit(&api->requests[row * 6 + column], memory_order_relaxed);
            if (n > 0)
                buf_printf(to, "cairn_http_requests_total{operation=\"%s\",status=\"%uxx\"} %llu\n",
                           row < api_route_count() ? api_route_at(row)->id : "none", column,
                           (unsigned long long)n);
        }
}

static void
put_store(struct buf *to, const cairn_stats *stats)
{
    metric_whole(to, "cairn_events", "gauge", "Events in the log: the position after the last.", stats->events);
    metric_whole(to, "cairn_streams", "gauge", "Streams that ever had an event.", stats->streams);
    metric_whole(to, "cairn_log_bytes", "gauge", "Bytes of the log's segments on disk.", stats->log_bytes);
    metric_whole(to, "cairn_index_bytes", "gauge", "Bytes of the index on disk.", stats->index_bytes);
    metric_whole(to, "cairn_segments", "gauge", "Segments of the log.", stats->segments);
    metric_whole(to, "cairn_index_runs", "gauge", "Sorted runs of the index.", stats->index_runs);
    metric_whole(to, "cairn_index_memory_entries", "gauge", "Entries in the index's memory table, several an event.",
              stats->index_memory_entries);
    metric_whole(to, "cairn_memory_bytes", "gauge", "Bytes known to be held by caches and tables.",
              stats->memory_bytes);
    metric_whole(to, "cairn_appends_total", "counter", "Appends made durable.", stats->appends_total);
    metric_whole(to, "cairn_events_appended_total", "counter", "Events made durable.",
              stats->events_appended_total);
    metric_whole(to, "cairn_conflicts_total", "counter", "Appends refused by a revision or a condition.",
              stats->conflicts_total);
    metric_whole(to, "cairn_commits_total", "counter", "Group commits, each one write and one sync.",
              stats->batches_total);
    metric_whole(to, "cairn_commit_bytes_total", "counter", "Bytes written by group commits.",
              stats->batch_bytes_total);
    put_seconds(to, "cairn_sync_seconds_total", "counter", "Time spent in syncs.", stats->sync_us_total);
    put_seconds(to, "cairn_sync_seconds_max", "gauge", "The longest sync since the store was opened.",
                stats->sync_us_max);
    metric_whole(to, "cairn_reads_total", "counter", "Reads begun.", stats->reads_total);
    metric_whole(to, "cairn_events_read_total", "counter", "Events read.", stats->events_read_total);
    metric_whole(to, "cairn_appends_waiting", "gauge", "Appends not yet durable.", stats->appends_waiting);
    metric_whole(to, "cairn_failed", "gauge", "1 when the log takes no more writes until it is reopened.",
              stats->failed);
    metric_whole(to, "cairn_disk_full", "gauge", "1 when writes wait for room on the disk.", stats->disk_full);
    metric_whole(to, "cairn_index_faults_total", "counter", "Times that damage was found in the index.",
              stats->index_faults);
    metric_whole(to, "cairn_scavenges_total", "counter", "Times that scavenging came to its end.", stats->scavenges_total);
    metric_whole(to, "cairn_scavenged_bytes_total", "counter", "Bytes that scavenging has given back.",
              stats->scavenged_bytes_total);
    metric_whole(to, "cairn_scavenge_failed", "gauge", "1 when the store's last scavenging of its own failed.",
              stats->scavenge_failure.code != CAIRN_OK);
    metric_whole(to, "cairn_index_damaged", "gauge", "1 while the index is damaged and not computed again.",
              stats->index_failure.code != CAIRN_OK);
}

static void
put_server(struct buf *to, struct api *api)
{
    struct http_server_stats stats = {0};
    if (api->server)
        http_server_stats(api->server, &stats);
    metric_whole(to, "cairn_http_connections", "gauge", "Connections open now.", stats.connections);
    metric_whole(to, "cairn_http_connections_total", "counter", "Connections accepted.", stats.connections_total);
    metric_whole(to, "cairn_http_rejected_total", "counter", "Requests and connections refused by a bound.",
              stats.rejected_total);
    metric_whole(to, "cairn_http_received_bytes_total", "counter", "Bytes received.", stats.bytes_in_total);
    metric_whole(to, "cairn_http_sent_bytes_total", "counter", "Bytes sent.", stats.bytes_out_total);
    metric_whole(to, "cairn_http_body_bytes", "gauge", "Request bodies in memory now.", stats.body_bytes);
    metric_whole(to, "cairn_followers", "gauge", "Followers by server-sent events connected now.",
              atomic_load(&api->followers));
    metric_whole(to, "cairn_events_followed_total", "counter", "Events handed to followers.",
              atomic_load(&api->followed_total));
    put_seconds(to, "cairn_uptime_seconds", "gauge", "Time since the server started.",
                (uint64_t)(api_now_us() - api->started_us));
    uint64_t free_bytes;
    if (api->config.data_folder && os_free_space(os_real(), api->config.data_folder, &free_bytes) == 0)
        metric_whole(to, "cairn_disk_free_bytes", "gauge", "Bytes free on the data folder's disk.", free_bytes);
}

/* Lag and liveness of each consumer group: a group that stalls must be seen. */
struct group_rows {
    struct buf lag, parked, outstanding, dead, idle;
};

void
metric_label(struct buf *to, const char *label, cairn_str name)
{
    buf_printf(to, "%s=\"", label);
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '"' || name.data[i] == '\\')
            buf_put_char(to, '\\');
        if (name.data[i] == '\n')
            buf_put_str(to, CAIRN_STR("\\n"));
        else
            buf_put_char(to, name.data[i]);
    }
    buf_put_char(to, '"');
}

static void
put_label(struct buf *to, const char *metric, cairn_str name)
{
    buf_printf(to, "%s{", metric);
    metric_label(to, "subscription", name);
    buf_put_str(to, CAIRN_STR("} "));
}

static void
add_group(void *context, const cairn_group_status *status)
{
    struct group_rows *rows = context;
    put_label(&rows->lag, "cairn_subscription_lag_events", status->name);
    buf_printf(&rows->lag, "%llu\n",
               (unsigned long long)(status->end > status->checkpoint ? status->end - status->checkpoint : 0));
    put_label(&rows->parked, "cairn_subscription_parked_events", status->name);
    buf_printf(&rows->parked, "%llu\n", (unsigned long long)status->parked);
    put_label(&rows->outstanding, "cairn_subscription_outstanding_events", status->name);
    buf_printf(&rows->outstanding, "%llu\n", (unsigned long long)status->outstanding);
    put_label(&rows->dead, "cairn_subscription_dead_letters_total", status->name);
    buf_printf(&rows->dead, "%llu\n", (unsigned long long)status->dead_letters);
    if (status->last_activity_us > 0) {
        put_label(&rows->idle, "cairn_subscription_last_activity_timestamp_seconds", status->name);
        buf_printf(&rows->idle, "%.3f\n", (double)status->last_activity_us / 1e6);
    }
}

static cairn_err
put_groups(struct buf *to, struct api *api, cairn_error *error)
{
    struct group_rows rows = {0};
    cairn_err err = cairn_group_status_get(api->store, 0, (cairn_str){0}, add_group, &rows, error);
    if (err == CAIRN_OK && rows.lag.size > 0) {
        metric_head(to, "cairn_subscription_lag_events", "gauge",
                 "Positions between a group's checkpoint and the end of the log.");
        buf_put_str(to, buf_str(&rows.lag));
        metric_head(to, "cairn_subscription_parked_events", "gauge", "Events a group has parked.");
        buf_put_str(to, buf_str(&rows.parked));
        metric_head(to, "cairn_subscription_outstanding_events", "gauge",
                 "Events delivered and not yet done with.");
        buf_put_str(to, buf_str(&rows.outstanding));
        metric_head(to, "cairn_subscription_dead_letters_total", "counter",
                 "Events a group has given up, as dead letters in a topic.");
        buf_put_str(to, buf_str(&rows.dead));
        metric_head(to, "cairn_subscription_last_activity_timestamp_seconds", "gauge",
                 "When a group last took, acknowledged or refused an event.");
        buf_put_str(to, buf_str(&rows.idle));
    }
    buf_free(&rows.lag);
    buf_free(&rows.parked);
    buf_free(&rows.outstanding);
    buf_free(&rows.dead);
    buf_free(&rows.idle);
    return err;
}

cairn_err
api_metrics(struct api_call *call, cairn_error *error)
{
    cairn_stats stats;
    cairn_stats_get(call->api->store, &stats);
    call->reply_type = "text/plain; version=0.0.4; charset=utf-8";
    metric_head(call->out, "cairn_build_info", "gauge", "The version, as a label.");
    buf_printf(call->out, "cairn_build_info{version=\"%s\"} 1\n", cairn_version());
    put_store(call->out, &stats);
    put_server(call->out, call->api);
    put_histogram(call->out, "cairn_append_seconds", "Time from an append's request to its durable answer.",
                  &call->api->append_time);
    put_histogram(call->out, "cairn_read_seconds", "Time of reading a page of events.", &call->api->read_time);
    put_requests(call->out, call->api);
    if (call->api->config.apps != NULL)
        cairn_apps_metrics(call->api->config.apps, buf_sink, call->out);
    cairn_err err = put_groups(call->out, call->api, error);
    if (err == CAIRN_OK)
        err = api_metrics_kafka(call, error);
    if (err == CAIRN_OK && call->api->config.metrics)
        call->api->config.metrics(call->api->config.metrics_context, call->out);
    return err;
}

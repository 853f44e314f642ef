/* /metrics of topics, groups of Kafka's clients, and relays.
 *
 * The lag of a group in a topic is a series each, LAG_SERIES_MAX of them at most: groups come in an order of their own, and those that
 * do not fit are counted. */
#include <proto/http/api_kafka.h>
#include <proto/http/api_metrics.h>

#include <base/error.h>
#include <bus/relay.h>

#define LAG_SERIES_MAX 1000u
#define STATES_MAX 16

/* ---- topics ----------------------------------------------------------------------------------------------------------------- */

struct topic_counts {
    uint64_t topics, partitions;
};

static bool
count_topic(void *context, const cairn_topic *topic, uint64_t revision)
{
    struct topic_counts *counts = context;
    (void)revision;
    counts->topics++;
    counts->partitions += topic->partitions;
    return true;
}

static cairn_err
put_topics(struct buf *to, struct broker *broker, cairn_error *error)
{
    struct topic_counts counts = {0};
    struct broker_stats stats;
    cairn_err err = cairn_topics(broker_store(broker), broker_scope(broker), count_topic, &counts, error);
    broker_stats(broker, &stats);
    metric_whole(to, "cairn_topics", "gauge", "Topics.", counts.topics);
    metric_whole(to, "cairn_topic_partitions", "gauge", "Partitions of all topics.", counts.partitions);
    metric_whole(to, "cairn_topic_records_in_total", "counter", "Records that producers have sent.", stats.records_in);
    metric_whole(to, "cairn_topic_bytes_in_total", "counter", "Bytes of the batches that producers have sent.", stats.bytes_in);
    metric_whole(to, "cairn_topic_batches_in_total", "counter", "Batches that producers have sent.", stats.batches_in);
    metric_whole(to, "cairn_topic_duplicates_total", "counter", "Batches that were there already, of idempotent producers.",
                 stats.duplicates);
    metric_whole(to, "cairn_topic_out_of_order_total", "counter", "Batches refused because one before them is missing.",
                 stats.out_of_order);
    metric_whole(to, "cairn_transactions_open", "gauge", "Transactions of producers that are open.", stats.transactions_open);
    metric_whole(to, "cairn_transactions_held_bytes", "gauge", "Memory that open transactions hold.", stats.transactions_bytes);
    return err;
}

/* ---- groups ----------------------------------------------------------------------------------------------------------------- */

struct group_counts {
    struct name_page names;
    struct {
        char name[32];
        uint64_t count;
    } states[STATES_MAX];
    size_t state_count;
};

static bool
count_group(void *context, const struct group_info *info)
{
    struct group_counts *counts = context;
    size_t i = 0, size = info->state.size < 31 ? info->state.size : 31;
    while (i < counts->state_count && !cairn_str_equal(cairn_cstr(counts->states[i].name), info->state))
        i++;
    if (i == counts->state_count && i < STATES_MAX) {
        memcpy(counts->states[i].name, info->state.data, size);
        counts->state_count++;
    }
    if (i < counts->state_count)
        counts->states[i].count++;
    return name_page_add(&counts->names, info->group, NULL);
}

struct lag_rows {
    struct buf *to;
    cairn_str group;
    uint32_t count;
};

static void
put_lag(void *context, cairn_str topic, uint64_t lag)
{
    struct lag_rows *rows = context;
    if (rows->count++ >= LAG_SERIES_MAX)
        return;
    buf_put_str(rows->to, CAIRN_STR("cairn_group_lag_records{"));
    metric_label(rows->to, "group", rows->group);
    buf_put_char(rows->to, ',');
    metric_label(rows->to, "topic", topic);
    buf_printf(rows->to, "} %llu\n", (unsigned long long)lag);
}

static cairn_err
put_lags(struct api_call *call, const struct name_page *names, cairn_error *error)
{
    struct lag_rows rows = {.to = call->out};
    uint64_t left_out = 0;
    cairn_err err = CAIRN_OK;
    if (names->count > 0)
        metric_head(call->out, "cairn_group_lag_records", "gauge", "Records behind a group's offsets in a topic.");
    for (size_t i = 0; i < names->count && err == CAIRN_OK; i++) {
        rows.group = names->items[i].name;
        if (rows.count < LAG_SERIES_MAX)
            err = api_kgroup_lags(call, rows.group, put_lag, &rows, error);
        left_out += rows.count >= LAG_SERIES_MAX;
    }
    metric_whole(call->out, "cairn_group_lag_left_out", "gauge",
                 "Groups whose lag is not among the series, which are 1,000 at most.", left_out);
    return err;
}

static cairn_err
put_groups(struct api_call *call, cairn_error *error)
{
    struct group_counts counts = {.names = {.arena = call->arena, .limit = SIZE_MAX}};
    struct buf *to = call->out;
    groups_list(call->api->config.groups, count_group, &counts);
    cairn_err err = counts.names.failed ? error_set(error, CAIRN_E_NOMEM, "out of memory") : CAIRN_OK;
    name_page_close(&counts.names);
    metric_head(to, "cairn_groups", "gauge", "Groups of Kafka's clients, by state.");
    for (size_t i = 0; i < counts.state_count; i++)
        buf_printf(to, "cairn_groups{state=\"%s\"} %llu\n", counts.states[i].name, (unsigned long long)counts.states[i].count);
    if (err == CAIRN_OK)
        err = put_lags(call, &counts.names, error);
    name_page_free(&counts.names);
    return err;
}

/* ---- relays ------------------------------------------------------------------------------------------------------------------ */

struct relay_rows {
    struct buf records, lag, running, last;
};

static void
put_relay_label(struct buf *to, const char *metric, const struct relay_status *status)
{
    buf_printf(to, "%s{", metric);
    metric_label(to, "relay", status->spec.name);
    buf_printf(to, ",direction=\"%s\"} ", status->spec.out ? "out" : "in");
}

static bool
add_relay(void *context, const struct relay_status *status)
{
    struct relay_rows *rows = context;
    put_relay_label(&rows->records, "cairn_relay_records_total", status);
    buf_printf(&rows->records, "%llu\n", (unsigned long long)status->records_total);
    put_relay_label(&rows->lag, "cairn_relay_lag_records", status);
    buf_printf(&rows->lag, "%llu\n", (unsigned long long)status->lag);
    put_relay_label(&rows->running, "cairn_relay_running", status);
    buf_printf(&rows->running, "%d\n", !strcmp(status->state, "running"));
    put_relay_label(&rows->last, "cairn_relay_last_record_timestamp_seconds", status);
    buf_printf(&rows->last, "%.3f\n", (double)status->last_time_us / 1e6);
    return true;
}

static void
put_relays(struct buf *to, struct relays *relays)
{
    struct relay_rows rows = {0};
    relays_visit(relays, add_relay, &rows);
    if (rows.records.size > 0) {
        metric_head(to, "cairn_relay_records_total", "counter", "Records relayed since the start.");
        buf_put_str(to, buf_str(&rows.records));
        metric_head(to, "cairn_relay_lag_records", "gauge", "Records at the source that have not arrived, as far as known.");
        buf_put_str(to, buf_str(&rows.lag));
        metric_head(to, "cairn_relay_running", "gauge", "1 while the relay runs; 0: it waits, is paused or has stopped.");
        buf_put_str(to, buf_str(&rows.running));
        metric_head(to, "cairn_relay_last_record_timestamp_seconds", "gauge", "Time of the newest record that arrived; 0: none.");
        buf_put_str(to, buf_str(&rows.last));
    }
    buf_free(&rows.records);
    buf_free(&rows.lag);
    buf_free(&rows.running);
    buf_free(&rows.last);
}

cairn_err
api_metrics_kafka(struct api_call *call, cairn_error *error)
{
    const struct api_config *config = &call->api->config;
    cairn_err err = config->broker ? put_topics(call->out, config->broker, error) : CAIRN_OK;
    if (err == CAIRN_OK && config->broker && config->groups)
        err = put_groups(call, error);
    if (err == CAIRN_OK && config->relays)
        put_relays(call->out, config->relays);
    return err;
}

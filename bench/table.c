/* table.c: what was asked, what was measured, and whether the one meets the other.
 *
 * Everything here is data: a line compares two figures by name. Where a name lists alternatives ("a|b"),
 * the best one counts and the table says which. Ratios are taken round by round, so that what slowed a round
 * down slowed both sides, and the median of the ratios is what is held to the target. */
#include "bench.h"

#include <math.h>
#include <string.h>

enum target { AT_MOST, AT_LEAST };

struct line {
    const char *point, *what;
    const char *measured;
    const char *beside; /* NULL: the target is absolute */
    const char *beside_label;
    enum target target;
    double asked;
};

#define PEERS(shape, figure)                                                               \
    "append." shape ".postgres." figure "|append." shape ".redis." figure "|append." shape \
    ".sqlite." figure "|append." shape ".umadb." figure
#define IN_PROCESS(shape, figure) \
    "append." shape ".cairn_async." figure "|append." shape ".cairn_threads." figure

static const struct line lines[] = {
    {"1", "one client, 1 event: p50, in-process", "append.1x1.cairn_threads.p50_us",
     "disk.frame_1.p50_us", "raw write+sync", AT_MOST, 1.5},
    {"1", "one client, 1 event: p50, over HTTP", "append.1x1.cairn_http.p50_us",
     "disk.frame_1.p50_us", "raw write+sync", AT_MOST, 3},
    {"2", "64 appenders, 1 event: rate, in-process", IN_PROCESS("1x64", "appends_per_s"),
     "append.1x64.postgres.appends_per_s", "PostgreSQL", AT_LEAST, 20},
    {"2", "64 appenders, 1 event: rate, over HTTP", "append.1x64.cairn_http.appends_per_s",
     "append.1x64.postgres.appends_per_s", "PostgreSQL", AT_LEAST, 4},
    {"3", "one client, 100 events: rate", "append.100x1.cairn_threads.appends_per_s",
     "disk.frame_100.writes_per_s", "raw write+sync", AT_LEAST, 0.7},
    {"3", "16 clients, 100 events: bytes to the log", IN_PROCESS("100x16", "log_mb_per_s"),
     "disk.sequential_256k.mb_per_s|disk.sequential_1m.mb_per_s", "raw sequential", AT_LEAST, 0.4},
    {"3", "one client, 100 events: best peer", "append.100x1.cairn_threads.appends_per_s",
     PEERS("100x1", "appends_per_s"), "", AT_LEAST, 1},
    {"3", "16 clients, 100 events: best peer", IN_PROCESS("100x16", "appends_per_s"),
     PEERS("100x16", "appends_per_s"), "", AT_LEAST, 1},
    {"4", "sequential read from page cache", "log.read_events_per_s", NULL, NULL, AT_LEAST, 4e6},
    {"4", "a stream of 1,000 events, spread over the log", "log.stream_spread.p50_ms", NULL, NULL,
     AT_MOST, 1},
    {"5", "condition on one tag, 1 client: p50", "conditions.own_tag.x1.p50_us",
     "conditions.none.x1.p50_us", "unconditional", AT_MOST, 1.3},
    {"5", "condition on one tag, 64: time an append", "conditions.own_tag.x64.us_per_append",
     "conditions.none.x64.us_per_append", "unconditional", AT_MOST, 1.3},
    {"5", "condition on any tag of the large log, 64", "rates.large_any_tag.x64.us_per_append",
     "rates.large.x64.us_per_append", "unconditional", AT_MOST, 1.3},
    {"5", "large log beside small: rate, 1 client", "rates.large.x1.appends_per_s",
     "rates.small.x1.appends_per_s", "small log", AT_LEAST, 0.85},
    {"5", "large log beside small: rate, 64", "rates.large.x64.appends_per_s",
     "rates.small.x64.appends_per_s", "small log", AT_LEAST, 0.85},
    {"5", "the same, with a condition on any tag", "rates.large_any_tag.x64.appends_per_s",
     "rates.small_any_tag.x64.appends_per_s", "small log", AT_LEAST, 0.85},
    {"6", "index on disk, of an event with one tag", "open.clean.index_bytes_per_event", NULL, NULL,
     AT_MOST, 24},
    {"6", "memory, large log in use (resident, all)", "memory.used.rss_mb", NULL, NULL, AT_MOST,
     400},
    {"6", "opening after a clean stop", "open.clean.ms", NULL, NULL, AT_MOST, 500},
    {"6", "opening after kill -9", "open.killed.ms", NULL, NULL, AT_MOST, 3000},
    {"7", "HTTP reads of a stream of 4 events, 64 conn.", "http.read_4.per_s", NULL, NULL, AT_LEAST,
     60000},
    {"7", "15,000 idle followers: server memory", "followers.server_mb", NULL, NULL, AT_MOST, 250},
    {"8", "commands, decider in C, in-process", "commands.c_x64.per_s|commands.c_x256.per_s|commands.c_x1024.per_s",
     NULL, NULL, AT_LEAST, 1e5},
    {"8", "commands, decider in Lua, over HTTP, 64 clients", "apps.1x64.cairn_lua.appends_per_s",
     "apps.1x64.postgres.appends_per_s", "PostgreSQL", AT_LEAST, 2},
    {"8", "aggregate of 1,000 events rebuilt, C", "aggregate.c.p50_us", NULL, NULL, AT_MOST, 1000},
    {"8", "aggregate of 1,000 events rebuilt, Lua", "aggregate.lua.p50_us", NULL, NULL, AT_MOST, 5000},
    {"8", "the same from a snapshot, C", "aggregate.c_snapshot.p50_us", NULL, NULL, AT_MOST, 100},
    {"8", "the same from a snapshot, Lua", "aggregate.lua_snapshot.p50_us", NULL, NULL, AT_MOST, 100},
    {"9", "projection, one upsert an event", "projection.upsert.events_per_s", NULL, NULL, AT_LEAST, 2e5},
    {"9", "the same beside a bare loop in C", "projection.upsert.events_per_s", "projection.bare.events_per_s", "bare loop",
     AT_LEAST, 0.7},
    {"9", "lag, 10,000 events a second: p50", "lag.p50_ms", NULL, NULL, AT_MOST, 5},
    {"9", "lag, 10,000 events a second: p99", "lag.p99_ms", NULL, NULL, AT_MOST, 50},
    {"10", "query by key over HTTP, 64 conn.", "query.by_key.per_s", NULL, NULL, AT_LEAST, 40000},
    {"10", "query by key over HTTP, 64 conn.: p95", "query.by_key.p95_us", NULL, NULL, AT_MOST, 5000},
    {"11", "produce, 1,000 B, acks=all", "kafka.produce_1000.cairn.per_s", "kafka.produce_1000.kafka.per_s", "Kafka", AT_LEAST, 1},
    {"11", "produce, 100 B, acks=all", "kafka.produce_100.cairn.per_s", "kafka.produce_100.kafka.per_s", "Kafka", AT_LEAST, 1},
    {"11", "produce, 1,000 B, both sync", "kafka.produce_1000.cairn.per_s", "kafka.produce_1000.kafka_synced.per_s", "Kafka",
     AT_LEAST, 5},
    {"11", "produce, 100 B, both sync", "kafka.produce_100.cairn.per_s", "kafka.produce_100.kafka_synced.per_s", "Kafka",
     AT_LEAST, 5},
    {"11", "produce, 1,000 B, 12 partitions", "kafka.produce_spread_1000.cairn.per_s", "kafka.produce_spread_1000.kafka.per_s",
     "Kafka", AT_LEAST, 1},
    {"11", "produce, 100 B, 12 partitions", "kafka.produce_spread_100.cairn.per_s", "kafka.produce_spread_100.kafka.per_s", "Kafka",
     AT_LEAST, 1},
    {"11", "produce, 1,000 B, 12 partitions, both sync", "kafka.produce_spread_1000.cairn.per_s",
     "kafka.produce_spread_1000.kafka_synced.per_s", "Kafka", AT_LEAST, 5},
    {"12", "consume, 1,000 B, from the page cache", "kafka.consume_1000.cairn.per_s", "kafka.consume_1000.kafka.per_s", "Kafka",
     AT_LEAST, 1.5},
    {"12", "consume, 100 B, from the page cache", "kafka.consume_100.cairn.per_s", "kafka.consume_100.kafka.per_s", "Kafka",
     AT_LEAST, 1.5},
    {"12", "consume, 1,000 B, 12 partitions", "kafka.consume_spread_1000.cairn.per_s", "kafka.consume_spread_1000.kafka.per_s",
     "Kafka", AT_LEAST, 1.5},
    {"12", "consume, 100 B, 12 partitions", "kafka.consume_spread_100.cairn.per_s", "kafka.consume_spread_100.kafka.per_s", "Kafka",
     AT_LEAST, 1.5},
    {"12", "end to end at 10,000 a second, both sync: p99", "kafka.latency.cairn.p99_ms", "kafka.latency.kafka_synced.p99_ms",
     "Kafka", AT_MOST, 0.5},
    {"13", "memory after the run (resident)", "kafka.memory.cairn.rss_mb", "kafka.memory.kafka.rss_mb", "Kafka", AT_MOST, 0.1},
    {"13", "10,000 topics: metadata of all", "kafka.metadata.cairn.ms", NULL, NULL, AT_MOST, 50},
    {"13", "1,000 groups: list of all", "kafka.groups.cairn.ms", NULL, NULL, AT_MOST, 50},
    {"13", "a group's lag: committed and end", "kafka.lag.cairn.ms", NULL, NULL, AT_MOST, 50},
};
#define LINES (sizeof lines / sizeof *lines)

/* Beside the lines: what helps to understand them. */
static const struct {
    const char *label, *name;
} notes[] = {
    {"raw disk: one event's frame", "disk.frame_of_1_bytes"},
    {"  write + sync, p50", "disk.frame_1.p50_us"},
    {"raw disk: frame of 100 events", "disk.frame_of_100_bytes"},
    {"  write + sync, p50", "disk.frame_100.p50_us"},
    {"raw disk: synced, 256 KiB at a time", "disk.sequential_256k.mb_per_s"},
    {"raw disk: synced, 1 MiB at a time", "disk.sequential_1m.mb_per_s"},
    {"  the same into a file that grows, as a log's does", "disk.growing_1m.mb_per_s"},
    {"most that the HTTP load generator can do (64 conn., null server)",
     "append.1x64.null_http.appends_per_s"},
    {"  its own use of processors", "append.1x64.null_http.client_cores"},
    {"most that the asynchronous driver can do (64, null store)",
     "append.1x64.null_async.appends_per_s"},
    {"most that wrk can do (64 conn., null server, same answer)", "http.null.per_s"},
    {"  wrk's own use of processors", "http.null.client_cores"},
    {"Cairn /healthz, 64 conn.", "http.healthz.per_s"},
    {"Cairn read of a stream of 1 event, 64 conn.", "http.read_1.per_s"},
    {"Cairn read of a stream of 4 events: answer's size", "http.small_page_bytes"},
    {"  processors used by the server", "http.read_4.server_cores"},
    {"  processors used by wrk", "http.read_4.client_cores"},
    {"followers connected", "followers.count"},
    {"  memory of the server for each", "followers.each_bytes"},
    {"  server's processors while they idle", "followers.idle_cores"},
    {"  one event to all of them", "followers.one_event_to_all_ms"},
    {"  memory of the server after that event", "followers.server_after_event_mb"},
    {"commands, decider in C, 64 outstanding", "commands.c_x64.per_s"},
    {"  1,024 outstanding", "commands.c_x1024.per_s"},
    {"  processors used, 1,024 outstanding", "commands.c_x1024.cores"},
    {"commands, decider in Lua, 64 outstanding", "commands.lua_x64.per_s"},
    {"  1,024 outstanding", "commands.lua_x1024.per_s"},
    {"commands over HTTP, Lua, 64 clients: p50", "apps.1x64.cairn_lua.p50_us"},
    {"  p99", "apps.1x64.cairn_lua.p99_us"},
    {"projection: processors used", "projection.upsert.cores"},
    {"lag: appends a second", "lag.appends_per_s"},
    {"query by key: p50", "query.by_key.p50_us"},
    {"  p99", "query.by_key.p99_us"},
    {"  processors used by the server", "query.by_key.server_cores"},
    {"  processors used by wrk", "query.by_key.client_cores"},
    {"  most that wrk can do with random keys (null server, same answer)", "query.null.per_s"},
    {"raw disk: synced, 4 MiB at a time into a file that grows", "disk.growing_large.mb_per_s"},
    {"produce, 1,000 B: Cairn, MB/s", "kafka.produce_1000.cairn.mb_per_s"},
    {"  Kafka", "kafka.produce_1000.kafka.mb_per_s"},
    {"  Kafka, synced", "kafka.produce_1000.kafka_synced.mb_per_s"},
    {"produce, 1,000 B: client's processors", "kafka.produce_1000.cairn.client_cores"},
    {"  Cairn's", "kafka.produce_1000.cairn.server_cores"},
    {"  Kafka's", "kafka.produce_1000.kafka.server_cores"},
    {"produce, 100 B: Cairn, MB/s", "kafka.produce_100.cairn.mb_per_s"},
    {"  Kafka", "kafka.produce_100.kafka.mb_per_s"},
    {"  Kafka, synced", "kafka.produce_100.kafka_synced.mb_per_s"},
    {"produce, 100 B: client's processors", "kafka.produce_100.cairn.client_cores"},
    {"  Cairn's", "kafka.produce_100.cairn.server_cores"},
    {"  Kafka's", "kafka.produce_100.kafka.server_cores"},
    {"consume, 1,000 B: client's processors", "kafka.consume_1000.cairn.client_cores"},
    {"  Cairn's", "kafka.consume_1000.cairn.server_cores"},
    {"  Kafka's", "kafka.consume_1000.kafka.server_cores"},
    {"consume, 100 B: client's processors", "kafka.consume_100.cairn.client_cores"},
    {"  Cairn's", "kafka.consume_100.cairn.server_cores"},
    {"  Kafka's", "kafka.consume_100.kafka.server_cores"},
    {"produce, 100 B, 12 partitions: client's processors", "kafka.produce_spread_100.cairn.client_cores"},
    {"consume, 100 B, 12 partitions: client's processors", "kafka.consume_spread_100.cairn.client_cores"},
    {"32 producers that wait for each 100 B: Cairn, records/s", "kafka.each_100.cairn.per_s"},
    {"  Kafka, synced", "kafka.each_100.kafka_synced.per_s"},
    {"  Kafka, which does not sync", "kafka.each_100.kafka.per_s"},
    {"end to end at 10,000 a second: p50", "kafka.latency.cairn.p50_ms"},
    {"  Kafka, which does not sync: p99", "kafka.latency.kafka.p99_ms"},
    {"building the large log, 1,000 events in 1,000 streams an append", "log.build_events_per_s"},
    {"  times it was told \"busy, try again\"", "log.build_busy_answers"},
    {"the log's bytes for an event of 256 B", "log.event_bytes"},
    {"sequential read, bytes of log", "log.read_mb_per_s"},
    {"  plain read() of the same files", "log.raw_read_mb_per_s"},
    {"stream of 1,000 events read when the log had", "log.stream_read_at_events"},
    {"  the same, its events appended together, p50", "log.stream_together.p50_ms"},
    {"events in the small log while rates were compared", "rates.small.events"},
    {"events in the large log while rates were compared", "rates.large.events"},
    {"condition on one tag, 1 client, rate", "conditions.own_tag.x1.appends_per_s"},
    {"condition on one tag, 64 appenders, rate", "conditions.own_tag.x64.appends_per_s"},
    {"opening after kill -9: events replayed into the index", "open.killed.recovered_events"},
    {"  \"busy, try again\" while these were appended, 1,000 streams at a time",
     "open.dirtied.busy_answers"},
    {"memory, large log just opened", "memory.opened.rss_mb"},
    {"memory, in use: anonymous part", "memory.used.anonymous_mb"},
    {"memory, in use: file pages", "memory.used.file_mb"},
    {"memory, after reading 5M events", "memory.scanned.rss_mb"},
    {"streams of 20 events read at random, one thread", "memory.streams_read_per_s"},
};

static const struct {
    const char *key, *label;
} stores[] = {
    {"cairn_threads", "Cairn, in-process, blocking threads"},
    {"cairn_async", "Cairn, in-process, asynchronous"},
    {"cairn_http", "Cairn, over HTTP/1.1"},
    {"postgres", "PostgreSQL, message-db style"},
    {"postgres_one_category", "  the same, all in one category"},
    {"redis", "Redis Streams, appendfsync always"},
    {"sqlite", "SQLite, WAL, synchronous=FULL"},
    {"umadb", "UmaDB, over gRPC"},
};
#define STORES (sizeof stores / sizeof *stores)

/* What handles commands, and what it does besides. "": nothing of the kind. */
static const struct {
    const char *label, *commands_1, *p50_1, *commands_64, *aggregate, *projection;
} frameworks[] = {
#define OVER_HTTP(key) "apps.1x1." key ".appends_per_s", "apps.1x1." key ".p50_us", "apps.1x64." key ".appends_per_s"
    {"Cairn, Lua, over HTTP", OVER_HTTP("cairn_lua"), "aggregate.lua.p50_us", "projection.upsert.events_per_s"},
    {"  with idempotency keys", OVER_HTTP("cairn_lua_keyed"), "", ""},
    {"  with a projection on them", OVER_HTTP("cairn_lua_projected"), "", ""},
    {"Cairn, Lua, in-process", "", "", "commands.lua_x64.per_s", "aggregate.lua.p50_us", "projection.upsert.events_per_s"},
    {"Cairn, C, in-process", "", "", "commands.c_x64.per_s", "aggregate.c.p50_us", "projection.upsert.events_per_s"},
    {"Emmett, SQLite, in-process", OVER_HTTP("emmett"), "aggregate.emmett.p50_us", "projection.emmett.events_per_s"},
    {"eventsourcing, SQLite, in-process", OVER_HTTP("eventsourcing"), "aggregate.eventsourcing.p50_us",
     "projection.eventsourcing.events_per_s"},
    {"PostgreSQL's function: inserts only", OVER_HTTP("postgres"), "", ""},
};
#define FRAMEWORKS (sizeof frameworks / sizeof *frameworks)

/* ---- text -------------------------------------------------------------------------------- */

static bool
ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* A value with the unit that its figure's name ends in. */
static void
format_value(char *to, size_t size, const char *name, double value)
{
    static const struct {
        const char *end, *unit;
    } units[] = {{"mb_per_s", " MB/s"}, {"_mb", " MB"},           {"bytes_per_event", " B"},
                 {"_bytes", " B"},      {"us_per_append", " µs"}, {"_us", " µs"},
                 {"ms", " ms"},         {"per_s", "/s"},          {"", ""}};
    size_t i = 0;
    while (!ends_with(name, units[i].end))
        i++;
    const char *unit = units[i].unit;
    if (value >= 1e6)
        snprintf(to, size, "%.2fM%s", value / 1e6, unit);
    else if (value >= 1e4)
        snprintf(to, size, "%.1fk%s", value / 1e3, unit);
    else if (value >= 100)
        snprintf(to, size, "%.0f%s", value, unit);
    else
        snprintf(to, size, "%.*f%s", value >= 10 ? 1 : 2, value, unit);
}

/* Print `text` in a column of so many characters; to its right end when the width is negative. */
static void
column(FILE *to, const char *text, int width)
{
    int characters = 0, wanted = width < 0 ? -width : width;
    for (const char *at = text; *at; at++)
        characters += (*at & 0xC0) != 0x80; /* UTF-8 continuation bytes take no room */
    int blank = wanted > characters ? wanted - characters : 0;
    fprintf(to, "%*s%s%*s  ", width < 0 ? blank : 0, "", text, width < 0 ? 0 : blank, "");
}

/* ---- comparing --------------------------------------------------------------------------- */

/* The best of the alternatives: highest, or lowest where the figure is a time. NULL: none was measured. */
static const struct figure *
best_of(const char *names)
{
    char copy[400];
    const struct figure *best = NULL;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *rest = copy, *name; (name = strsep(&rest, "|")) != NULL;) {
        const struct figure *figure = figure_find(name);
        if (figure == NULL)
            continue;
        bool time = ends_with(name, "_us") || ends_with(name, "_ms");
        double ahead = best == NULL ? 1 : figure_median(figure) - figure_median(best);
        if (best == NULL || (time ? ahead < 0 : ahead > 0))
            best = figure;
    }
    return best;
}

struct verdict {
    const struct figure *measured, *beside;
    double ratio, least, most; /* absolute lines: the value itself */
    bool known, met;
    double missed_by;
};

static struct verdict
judge(const struct line *line)
{
    struct verdict verdict = {.measured = best_of(line->measured)};
    if (line->beside != NULL)
        verdict.beside = best_of(line->beside);
    if (verdict.measured == NULL || (line->beside != NULL && verdict.beside == NULL))
        return verdict;
    const struct figure *beside = verdict.beside;
    unsigned count = verdict.measured->count;
    if (beside != NULL && beside->count < count)
        count = beside->count;
    struct figure ratios = {.count = count};
    verdict.least = INFINITY;
    verdict.most = -INFINITY;
    for (unsigned i = 0; i < count; i++) {
        double ratio = verdict.measured->values[i] / (beside != NULL ? beside->values[i] : 1);
        ratios.values[i] = ratio;
        verdict.least = fmin(verdict.least, ratio);
        verdict.most = fmax(verdict.most, ratio);
    }
    verdict.ratio = figure_median(&ratios);
    verdict.known = true;
    verdict.met
        = line->target == AT_MOST ? verdict.ratio <= line->asked : verdict.ratio >= line->asked;
    verdict.missed_by = fabs(verdict.ratio / line->asked - 1);
    return verdict;
}

/* Which alternative it was: the store's name inside a figure's name; "" when there was no choice. */
static const char *
chosen(const char *names, const struct figure *figure)
{
    if (strchr(names, '|') == NULL)
        return "";
    static const struct {
        const char *part, *label;
    } labels[] = {{".cairn_async.", ", async"}, {".cairn_threads.", ", threads"},
                  {".postgres.", "PostgreSQL"}, {".redis.", "Redis"},
                  {".sqlite.", "SQLite"},       {".umadb.", "UmaDB"},
                  {"_256k.", ", 256 KiB"},      {"_1m.", ", 1 MiB"},
                  {"_x64.", ", 64"},            {"_x256.", ", 256"},
                  {"_x1024.", ", 1,024"}};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        if (strstr(figure->name, labels[i].part) != NULL)
            return labels[i].label;
    return "";
}

/* ---- printing ---------------------------------------------------------------------------- */

static void
print_line(FILE *to, const struct line *line)
{
    struct verdict verdict = judge(line);
    char text[160], number[48], least[48], most[48];
    fprintf(to, "  %s  ", line->point);
    snprintf(text, sizeof text, "%s%s", line->what,
             verdict.measured ? chosen(line->measured, verdict.measured) : "");
    column(to, text, 50);
    if (!verdict.known) {
        fputs("not measured in this run\n", to);
        return;
    }
    format_value(number, sizeof number, verdict.measured->name, figure_median(verdict.measured));
    column(to, number, -11);
    text[0] = '\0';
    if (verdict.beside != NULL) {
        format_value(number, sizeof number, verdict.beside->name, figure_median(verdict.beside));
        snprintf(text, sizeof text, "%s%s %s", line->beside_label,
                 chosen(line->beside, verdict.beside), number);
    }
    column(to, text, 33);
    if (verdict.beside != NULL) {
        snprintf(text, sizeof text, "%.2f× (%.2f–%.2f)", verdict.ratio, verdict.least,
                 verdict.most);
        snprintf(number, sizeof number, "%.2f×", line->asked);
    } else {
        format_value(least, sizeof least, "", verdict.least);
        format_value(most, sizeof most, "", verdict.most);
        snprintf(text, sizeof text, "(%s–%s)", least, most);
        format_value(number, sizeof number, verdict.measured->name, line->asked);
    }
    column(to, text, 20);
    snprintf(text, sizeof text, "%s %s", line->target == AT_MOST ? "≤" : "≥", number);
    column(to, text, 10);
    if (verdict.met)
        fputs("met\n", to);
    else
        fprintf(to, "MISSED by %.0f %%\n", verdict.missed_by * 100);
}

static void
print_figure(FILE *to, const char *name, double scale, int width)
{
    char text[48] = "–";
    const struct figure *figure = figure_find(name);
    if (figure != NULL)
        format_value(text, sizeof text, name, figure_median(figure) * scale);
    column(to, text, -width);
}

static void
print_cell(FILE *to, const char *shape, const char *key, const char *figure_name, double scale,
           int width)
{
    char name[96];
    snprintf(name, sizeof name, "append.%s.%s.%s", shape, key, figure_name);
    print_figure(to, name, scale, width);
}

static void
print_stores(FILE *to)
{
    bool any = false;
    for (size_t i = 0; i < STORES; i++) {
        char name[96];
        snprintf(name, sizeof name, "append.1x1.%s.p50_us", stores[i].key);
        if (figure_find(name) == NULL)
            continue;
        if (!any)
            fputs("\n  Durable appends of 256 B: events a second; processors in use, of which the "
                  "machine has as many as above\n\n"
                  "                                        one event an append                     "
                  "                     "
                  "             100 an append\n"
                  "                                        1 client p50     1 client   16 clients  "
                  " 64 clients   client+server"
                  " cores     1 client   16 clients\n",
                  to);
        any = true;
        fputs("  ", to);
        column(to, stores[i].label, 36);
        print_cell(to, "1x1", stores[i].key, "p50_us", 1, 12);
        print_cell(to, "1x1", stores[i].key, "appends_per_s", 1, 11);
        print_cell(to, "1x16", stores[i].key, "appends_per_s", 1, 11);
        print_cell(to, "1x64", stores[i].key, "appends_per_s", 1, 11);
        print_cell(to, "1x64", stores[i].key, "client_cores", 1, 8);
        print_cell(to, "1x64", stores[i].key, "server_cores", 1, 8);
        print_cell(to, "100x1", stores[i].key, "appends_per_s", 100, 11);
        print_cell(to, "100x16", stores[i].key, "appends_per_s", 100, 11);
        fputc('\n', to);
    }
}

static void
print_frameworks(FILE *to)
{
    if (figure_find("apps.1x64.cairn_lua.appends_per_s") == NULL)
        return;
    fputs("\n  Commands with an event of 256 B (in-process: a small one), durable; an aggregate of 1,000 events rebuilt without a\n"
          "  snapshot; a read model built anew, an upsert an event\n\n"
          "                                        1 client p50     1 client   64 clients  1,000 events   projection\n", to);
    for (size_t i = 0; i < FRAMEWORKS; i++) {
        if (figure_find(frameworks[i].commands_64) == NULL)
            continue;
        fputs("  ", to);
        column(to, frameworks[i].label, 36);
        print_figure(to, frameworks[i].p50_1, 1, 12);
        print_figure(to, frameworks[i].commands_1, 1, 11);
        print_figure(to, frameworks[i].commands_64, 1, 11);
        print_figure(to, frameworks[i].aggregate, 1, 12);
        print_figure(to, frameworks[i].projection, 1, 11);
        fputc('\n', to);
    }
}

static void
print_notes(FILE *to)
{
    fputs("\n  Beside these\n\n", to);
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        const struct figure *figure = figure_find(notes[i].name);
        char text[48], least[48], most[48];
        if (figure == NULL)
            continue;
        double low = INFINITY, high = -INFINITY;
        for (unsigned j = 0; j < figure->count; j++) {
            low = fmin(low, figure->values[j]);
            high = fmax(high, figure->values[j]);
        }
        format_value(text, sizeof text, notes[i].name, figure_median(figure));
        format_value(least, sizeof least, "", low);
        format_value(most, sizeof most, "", high);
        fputs("  ", to);
        column(to, notes[i].label, 66);
        column(to, text, -12);
        if (figure->count > 1)
            fprintf(to, "(%s–%s)", least, most);
        fputc('\n', to);
    }
}

void
table_print(FILE *to, const struct settings *settings)
{
    fputs("\nCairn beside its peers and beside the machine\n\n", to);
    machine_print(to, settings);
    fprintf(to, "  the logs  small %.1fM events, large %.1fM, streams read at %.1fM%s\n",
            (double)settings->log_small / 1e6, (double)settings->log_large / 1e6,
            (double)settings->log_stream / 1e6,
            settings->quick ? ": a tenth of what the lines 4 to 6 ask for" : "");
    fputs("\n  #  what                                                      Cairn  beside it       "
          "                   "
          "ratio (spread)        asked       verdict\n",
          to);
    for (size_t i = 0; i < LINES; i++) {
        if (i > 0 && strcmp(lines[i].point, lines[i - 1].point) != 0)
            fputc('\n', to);
        print_line(to, &lines[i]);
    }
    print_stores(to);
    print_frameworks(to);
    print_notes(to);
    fputc('\n', to);
    figures_print_remarks(to);
}

void
table_write_json(FILE *to)
{
    fputs("  \"lines\": [", to);
    for (size_t i = 0; i < LINES; i++) {
        struct verdict verdict = judge(&lines[i]);
        fputs(i ? ",\n    " : "\n    ", to);
        fprintf(to, "{\"point\": %s, \"what\": ", lines[i].point);
        json_text(to, lines[i].what);
        fprintf(to, ", \"asked\": \"%s %g\"",
                lines[i].target == AT_MOST ? "<=" : ">=", lines[i].asked);
        if (verdict.known) {
            fprintf(to, ", \"measured\": \"%s\"", verdict.measured->name);
            if (verdict.beside != NULL)
                fprintf(to, ", \"beside\": \"%s\"", verdict.beside->name);
            fprintf(to, ", \"value\": %.6g, \"least\": %.6g, \"most\": %.6g, \"met\": %s",
                    verdict.ratio, verdict.least, verdict.most, verdict.met ? "true" : "false");
        }
        fputc('}', to);
    }
    fputs("\n  ],\n", to);
}

/* The end of a command: whoever waits is told, and it is counted and logged. Any thread. */
#include "bus_int.h"

#include <stdio.h>

static const char *const outcome_names[METER_OUTCOMES] = {"ok", "rejected", "invalid", "denied", "exists", "busy", "timeout",
                                                          "script", "failed"};
static const uint64_t bucket_us[METER_BUCKETS] = {100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000,
                                                  500000, 1000000, 2500000, 10000000};

/* ---- meters ------------------------------------------------------------------------------------------------ */

struct meter *
meter_of(struct bus *bus, cairn_str app, cairn_str command)
{
    pthread_mutex_lock(&bus->lock);
    struct meter *meter = bus->meters;
    while (meter != NULL && !(cairn_str_equal(meter->app, app) && cairn_str_equal(meter->command, command)))
        meter = meter->next;
    if (meter == NULL && (meter = calloc(1, sizeof *meter + app.size + command.size)) != NULL) {
        char *names = (char *)(meter + 1);
        memcpy(names, app.data, app.size);
        memcpy(names + app.size, command.data, command.size);
        meter->app = (cairn_str){names, app.size};
        meter->command = (cairn_str){names + app.size, command.size};
        meter->next = bus->meters;
        bus->meters = meter;
    }
    pthread_mutex_unlock(&bus->lock);
    return meter;
}

static enum meter_outcome
outcome_of(cairn_err err)
{
    switch (err) {
    case CAIRN_OK: return METER_OK;
    case CAIRN_E_REJECTED: return METER_REJECTED;
    case CAIRN_E_INVALID:
    case CAIRN_E_LIMIT: return METER_INVALID;
    case CAIRN_E_DENIED: return METER_DENIED;
    case CAIRN_E_EXISTS: return METER_EXISTS;
    case CAIRN_E_BUSY: return METER_BUSY;
    case CAIRN_E_TIMEOUT: return METER_TIMEOUT;
    case CAIRN_E_SCRIPT: return METER_SCRIPT;
    default: return METER_FAILED;
    }
}

static void
add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static void
count(struct op *op, cairn_err err, bool repeated, uint64_t took_us)
{
    struct bus_counts *counts = &op->app->bus->counts;
    enum meter_outcome outcome = outcome_of(err);
    struct meter *meter = op->meter;
    size_t bucket = 0;
    while (bucket < METER_BUCKETS && took_us > bucket_us[bucket])
        bucket++;
    add(&meter->outcomes[outcome], 1);
    add(&meter->buckets[bucket], 1);
    add(&meter->sum_us, took_us);
    add(outcome == METER_OK         ? &counts->accepted
        : outcome == METER_REJECTED ? &counts->rejected
        : outcome == METER_INVALID  ? &counts->invalid
        : outcome == METER_DENIED   ? &counts->denied
                                    : &counts->failed,
        1);
    if (repeated)
        add(&counts->repeated, 1);
}

/* ---- the log line --------------------------------------------------------------------------------------------- */

struct line {
    char text[1024];
    size_t size;
};

static void
put_raw(struct line *line, const char *text, size_t size)
{
    size_t room = sizeof line->text - line->size;
    if (size > room)
        size = room;
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

/* name=value; quoted where it is not one plain word. */
static void
put_field(struct line *line, const char *name, cairn_str value)
{
    if (value.size == 0)
        return;
    if (line->size > 0)
        put_raw(line, " ", 1);
    put_raw(line, name, strlen(name));
    put_raw(line, "=", 1);
    bool plain = true;
    size_t size = value.size > 160 ? 160 : value.size;
    for (size_t i = 0; i < size; i++)
        plain = plain && (unsigned char)value.data[i] > ' ' && value.data[i] != '"' && value.data[i] != '=' && value.data[i] != '\\';
    if (plain) {
        put_raw(line, value.data, size);
        return;
    }
    put_raw(line, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        char c = value.data[i];
        if (c == '"' || c == '\\')
            put_raw(line, "\\", 1);
        put_raw(line, (unsigned char)c < ' ' ? " " : &c, 1);
    }
    put_raw(line, "\"", 1);
}

static void
put_number(struct line *line, const char *name, uint64_t n)
{
    char text[24];
    put_field(line, name, (cairn_str){text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)n)});
}

static void
log_command(struct op *op, cairn_err err, bool repeated, uint64_t took_us, const cairn_error *error)
{
    const cairn_apps_options *apps = &op->app->bus->apps;
    const cairn_command *command = &op->command;
    enum meter_outcome outcome = outcome_of(err);
    cairn_log_level level = outcome == METER_FAILED || outcome == METER_SCRIPT ? CAIRN_LOG_ERROR
                            : outcome == METER_BUSY || outcome == METER_TIMEOUT ? CAIRN_LOG_WARN
                                                                                : CAIRN_LOG_INFO;
    if (level == CAIRN_LOG_INFO && !apps->log_commands)
        return;
    struct line line = {.size = 0};
    char id[UUID_TEXT_SIZE];
    format_uuid(command->id, id);
    put_field(&line, "command", command->name);
    put_field(&line, "app", command->app);
    put_field(&line, "stream", op->stream);
    put_field(&line, "outcome", cairn_cstr(outcome_names[outcome]));
    put_field(&line, "code", op->code);
    if (repeated)
        put_field(&line, "repeated", CAIRN_STR("true"));
    put_number(&line, "took_us", took_us);
    put_number(&line, "tries", op->tries);
    put_field(&line, "id", cairn_cstr(id));
    put_field(&line, "correlation", command->correlation);
    put_field(&line, "actor", command->actor);
    if (err != CAIRN_OK && err != CAIRN_E_REJECTED && error != NULL)
        put_field(&line, "error", cairn_cstr(error->detail));
    apps->log(apps->log_context, level, (cairn_str){line.text, line.size});
}

/* ---- telling --------------------------------------------------------------------------------------------------- */

/* `at`: of the append, its answer to the key included; or of the answer given before. NULL: nothing was written. */
void
op_tell(struct op *op, cairn_err err, const cairn_at *at, bool repeated, const cairn_error *error)
{
    struct bus *bus = op->app->bus;
    const cairn_apps_options *apps = &bus->apps;
    bool decided = err == CAIRN_OK || err == CAIRN_E_REJECTED;
    cairn_outcome outcome = {.stream = op->stream, .id = op->command.id, .repeated = repeated, .tries = op->tries,
                             .code = op->code, .message = op->message, .details = op->details};
    if (decided && at != NULL) {
        outcome.event_count = op->event_count;
        outcome.types = op->types;
        outcome.at = *at;
        outcome.position = at->last_position;
        if (!repeated && op->event_count > 0) {
            outcome.at.first_position += op->answer_events;
            if (op->revision >= 0)
                outcome.at.revision = (uint64_t)op->revision;
        }
    } else if (decided) {
        uint64_t end = cairn_end(bus->store);
        outcome.position = end > 0 ? end - 1 : 0;
    }
    uint64_t took_us = (uint64_t)(os_monotonic_us(bus->os) - op->submitted_us);
    count(op, err, repeated, took_us);
    if (apps->log != NULL)
        log_command(op, err, repeated, took_us, error);
    for (size_t i = apps->middleware_count; i-- > 0;)
        if (apps->middleware[i].after != NULL)
            apps->middleware[i].after(apps->middleware[i].context, &op->command, err, took_us);
    cairn_error none = {.code = err};
    if (err != CAIRN_OK && error == NULL)
        snprintf(none.detail, sizeof none.detail, "%s", cairn_err_name(err));
    op->done(op->context, err, &outcome, err == CAIRN_OK ? NULL : error != NULL ? error : &none);
}

/* ---- for others --------------------------------------------------------------------------------------------------- */

void
bus_numbers(struct bus *bus, struct bus_numbers *ret)
{
    struct bus_counts *c = &bus->counts;
    *ret = (struct bus_numbers){
        .accepted = c->accepted, .rejected = c->rejected, .invalid = c->invalid, .denied = c->denied, .failed = c->failed,
        .conflicts = c->conflicts, .retries = c->retries, .repeated = c->repeated, .waiting = bus->waiting,
        .cache_hits = c->cache_hits, .cache_misses = c->cache_misses, .cache_bytes = c->cache_bytes,
        .cache_entries = c->cache_entries, .snapshots_taken = c->snapshots_taken, .snapshots_used = c->snapshots_used,
        .snapshots_dropped = c->snapshots_dropped,
    };
}

static void
put_labels(struct buf *to, const struct meter *meter)
{
    buf_printf(to, "{app=\"%.*s\",command=\"%.*s\"", (int)meter->app.size, meter->app.data, (int)meter->command.size,
               meter->command.data); /* names have no quotes */
}

static void
put_histogram(struct buf *to, struct meter *meter)
{
    uint64_t total = 0;
    for (size_t i = 0; i <= METER_BUCKETS; i++) {
        total += atomic_load_explicit(&meter->buckets[i], memory_order_relaxed);
        buf_put_str(to, CAIRN_STR("cairn_command_seconds_bucket"));
        put_labels(to, meter);
        if (i < METER_BUCKETS)
            buf_printf(to, ",le=\"%g\"} %llu\n", (double)bucket_us[i] / 1e6, (unsigned long long)total);
        else
            buf_printf(to, ",le=\"+Inf\"} %llu\n", (unsigned long long)total);
    }
    buf_put_str(to, CAIRN_STR("cairn_command_seconds_sum"));
    put_labels(to, meter);
    buf_printf(to, "} %.6f\n", (double)atomic_load(&meter->sum_us) / 1e6);
    buf_put_str(to, CAIRN_STR("cairn_command_seconds_count"));
    put_labels(to, meter);
    buf_printf(to, "} %llu\n", (unsigned long long)total);
}

static void
put_single(struct buf *to, const char *name, const char *type, const char *help, uint64_t n)
{
    buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name, (unsigned long long)n);
}

void
bus_metrics(struct bus *bus, struct buf *to)
{
    struct bus_numbers n;
    bus_numbers(bus, &n);
    pthread_mutex_lock(&bus->lock);
    struct meter *first = bus->meters; /* the list only grows, at its beginning */
    pthread_mutex_unlock(&bus->lock);
    buf_put_str(to, CAIRN_STR("# HELP cairn_commands_total Commands that are over, by outcome.\n"
                              "# TYPE cairn_commands_total counter\n"));
    for (struct meter *meter = first; meter != NULL; meter = meter->next) {
        for (int i = 0; i < METER_OUTCOMES; i++) {
            uint64_t value = atomic_load_explicit(&meter->outcomes[i], memory_order_relaxed);
            if (value == 0)
                continue;
            buf_put_str(to, CAIRN_STR("cairn_commands_total"));
            put_labels(to, meter);
            buf_printf(to, ",outcome=\"%s\"} %llu\n", outcome_names[i], (unsigned long long)value);
        }
    }
    buf_put_str(to, CAIRN_STR("# HELP cairn_command_seconds From submission to the answer.\n"
                              "# TYPE cairn_command_seconds histogram\n"));
    for (struct meter *meter = first; meter != NULL; meter = meter->next)
        put_histogram(to, meter);
    put_single(to, "cairn_commands_waiting", "gauge", "Commands not over.", n.waiting);
    put_single(to, "cairn_command_conflicts_total", "counter", "Appends that lost a race.", n.conflicts);
    put_single(to, "cairn_command_retries_total", "counter", "Decisions taken again.", n.retries);
    put_single(to, "cairn_command_repeated_total", "counter", "Commands answered by an earlier answer to the same key.",
               n.repeated);
    put_single(to, "cairn_state_cache_hits_total", "counter", "Commands that found their state in memory.", n.cache_hits);
    put_single(to, "cairn_state_cache_misses_total", "counter", "Commands that had their state loaded.", n.cache_misses);
    put_single(to, "cairn_state_cache_bytes", "gauge", "Memory of states.", n.cache_bytes);
    put_single(to, "cairn_state_cache_entries", "gauge", "States in memory.", n.cache_entries);
    put_single(to, "cairn_snapshots_taken_total", "counter", "Snapshots of states kept.", n.snapshots_taken);
    put_single(to, "cairn_snapshots_used_total", "counter", "Snapshots that a state began from.", n.snapshots_used);
    put_single(to, "cairn_snapshots_dropped_total", "counter", "Snapshots not kept, or of another evolve.",
               n.snapshots_dropped);
}

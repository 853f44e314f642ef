/* `cairn topics …`: topics, their partitions and settings, and what is in them. */
#include <base/text.h>

#include "event_json.h"
#include "run.h"
#include "topic_client.h"

#define LIST "topics"

/* ---- list ------------------------------------------------------------------------------------------------------------------- */

/* "retention.ms=3600000 cleanup.policy=compact" */
static void
put_own_settings(struct buf *to, struct json config, struct arena *arena)
{
    struct json_walk walk = json_walk(config);
    struct json name, value;
    while (json_next(&walk, &name, &value)) {
        cairn_str key = json_string(name, arena);
        cairn_str text = value.type == JSON_STRING ? json_string(value, arena) : value.raw;
        buf_printf(to, "%s%.*s=%.*s", to->size ? " " : "", (int)key.size, key.data, (int)text.size, text.data);
    }
}

static void
list_topic(void *context, struct json topic)
{
    static const char *const members[] = {"topic", "category", "partitions", "records"};
    struct table *table = context;
    struct arena arena = {0};
    struct buf own = {0};
    if (out.json) {
        topic_say_json(topic);
        return;
    }
    topic_cells(table, topic, members, 4);
    put_own_settings(&own, json_get(topic, "config"), &arena);
    table_cell(table, buf_str(&own));
    buf_free(&own);
    arena_free(&arena);
}

int
run_topics_list(const struct args *args)
{
    static const struct table_column columns[] = {{"TOPIC", false, STYLE_CYAN},   {"CATEGORY", false, STYLE_PLAIN},
                                                  {"PARTITIONS", true, STYLE_PLAIN}, {"RECORDS", true, STYLE_PLAIN},
                                                  {"SETTINGS", false, STYLE_DIM}};
    struct table table;
    struct wire *wire;
    uint64_t limit;
    int code = arg_u64(args, "limit", 0, &limit);
    if (code || (code = topic_open(args, &wire)))
        return code;
    table_begin(&table, columns, 5);
    code = topic_pages(args, wire, "/v1/topics", "topics", limit, list_topic, &table);
    if (!code && !out.json && table.row_count == 0 && !table.header_done)
        note("no topics; `cairn topics create NAME` makes one");
    table_end(&table);
    topic_close(wire);
    return code;
}

/* ---- show ------------------------------------------------------------------------------------------------------------------- */

static void
show_config(struct json config, bool all)
{
    static const struct table_column columns[] = {{"SETTING", false, STYLE_CYAN}, {"VALUE", false, STYLE_PLAIN},
                                                  {"", false, STYLE_DIM}};
    static const char *const members[] = {"value"};
    struct table table;
    struct arena arena = {0};
    struct json name, setting;
    struct json_walk walk = json_walk(config);
    table_begin(&table, columns, 3);
    while (json_next(&walk, &name, &setting)) {
        bool by_default = json_get(setting, "default").type == JSON_TRUE;
        if (by_default && !all)
            continue;
        table_cell(&table, json_string(name, &arena));
        topic_cells(&table, setting, members, 1);
        table_cell(&table, by_default ? CAIRN_STR("default") : (cairn_str){0});
    }
    if (table.row_count > 0)
        topic_heading("Settings");
    table_end(&table);
    arena_free(&arena);
}

static void
show_partitions(struct json offsets)
{
    static const struct table_column columns[] = {{"PARTITION", true, STYLE_CYAN}, {"START", true, STYLE_PLAIN},
                                                  {"END", true, STYLE_PLAIN},      {"RECORDS", true, STYLE_PLAIN},
                                                  {"NEWEST", false, STYLE_DIM}};
    static const char *const members[] = {"partition", "start", "end"}, *const time[] = {"last_time"};
    struct table table;
    struct json none, partition;
    struct json_walk walk = json_walk(offsets);
    topic_heading("Partitions");
    table_begin(&table, columns, 5);
    while (json_next(&walk, &none, &partition)) {
        topic_cells(&table, partition, members, 3);
        table_cellf(&table, "%llu", (unsigned long long)(wire_number(partition, "end") - wire_number(partition, "start")));
        topic_cells(&table, partition, time, 1);
    }
    table_end(&table);
}

static void
show_topic(struct json topic, bool all)
{
    static const char *const lines[][2] = {{"topic", "topic"}, {"category", "category"}, {"partitions", "partitions"}, {"id", "id"}};
    topic_say(topic, lines, sizeof lines / sizeof *lines);
    show_config(json_get(topic, "config"), all);
    show_partitions(json_get(topic, "offsets"));
}

static void
topic_path(struct wire *wire, const struct args *args)
{
    wire_path(wire, "/v1/topics/", cairn_cstr(args->operands[0]), "");
}

int
run_topics_show(const struct args *args)
{
    struct json topic;
    struct wire *wire;
    int code = topic_open(args, &wire);
    if (code)
        return code;
    topic_path(wire, args);
    code = topic_get(args, wire, LIST, &topic);
    if (!code && out.json)
        topic_say_json(topic);
    else if (!code)
        show_topic(topic, arg_flag(args, "all"));
    topic_close(wire);
    return code;
}

/* ---- create, grow, set, delete -------------------------------------------------------------------------------------------------- */

/* Send wire->body to wire->path; the answer is the topic. */
static int
send_topic(const struct args *args, struct wire *wire, const char *method, const char *done)
{
    struct call call = {.method = method, .body = buf_str(&wire->body), .content_type = "application/json", .patient = true};
    struct json topic;
    int code = topic_perform(args, wire, &call, LIST, &topic);
    if (!code && out.json)
        topic_say_json(topic);
    else if (!code)
        printf("%s topic %s: %llu partition%s\n", done, args->operands[0], (unsigned long long)wire_number(topic, "partitions"),
               wire_number(topic, "partitions") == 1 ? "" : "s");
    return code;
}

/* A subject without a schema is a trap that only producers would see. */
static void
say_subject(const cairn_str *settings, size_t count)
{
    const cairn_str name = CAIRN_STR("cairn.value.subject=");
    for (size_t i = 0; i < count; i++)
        if (settings[i].size > name.size && !memcmp(settings[i].data, name.data, name.size))
            note("values are refused unless they conform to subject %s of the schema registry: all of them while it has no schema",
                 settings[i].data + name.size);
}

int
run_topics_create(const struct args *args)
{
    static cairn_str settings[ARGS_MAX];
    size_t count = arg_all(args, "set", settings, ARGS_MAX);
    struct wire *wire;
    uint64_t partitions;
    int code = arg_u64(args, "partitions", 0, &partitions);
    if (code || (code = topic_open(args, &wire)))
        return code;
    buf_clear(&wire->body);
    buf_put_str(&wire->body, CAIRN_STR("{\"config\":{"));
    code = topic_put_settings(args, &wire->body, settings, count);
    buf_put_char(&wire->body, '}');
    if (arg_text(args, "partitions"))
        json_put_u64_member(&wire->body, "partitions", partitions);
    if (arg_text(args, "category"))
        json_put_text_member(&wire->body, "category", cairn_cstr(arg_text(args, "category")));
    buf_put_char(&wire->body, '}');
    if (!code) {
        topic_path(wire, args);
        wire_arg(wire, "expected", CAIRN_STR("none"));
        code = send_topic(args, wire, "PUT", "made");
    }
    if (!code)
        say_subject(settings, count);
    topic_close(wire);
    return code;
}

int
run_topics_grow(const struct args *args)
{
    struct json topic;
    struct wire *wire;
    uint64_t partitions;
    if (!parse_u64(cairn_cstr(args->operands[1]), &partitions))
        return fail(EXIT_USAGE, args->command->name, "how many the topic is to have in all", "\"%s\" is no number of partitions",
                    args->operands[1]);
    int code = topic_open(args, &wire);
    if (code)
        return code;
    topic_path(wire, args);
    code = topic_get(args, wire, LIST, &topic);
    if (!code && wire_number(topic, "partitions") == partitions) { /* the server takes it for no change; Kafka refuses it */
        code = fail(EXIT_USAGE, args->command->name, "the number is that of all partitions, those there are among them",
                    "topic %s has %llu partition%s already", args->operands[0], (unsigned long long)partitions, partitions == 1 ? "" : "s");
    } else if (!code) {
        buf_clear(&wire->body);
        buf_printf(&wire->body, "{\"partitions\":%llu}", (unsigned long long)partitions);
        topic_path(wire, args);
        code = send_topic(args, wire, "PATCH", "changed");
    }
    topic_close(wire);
    return code;
}

int
run_topics_set(const struct args *args)
{
    static cairn_str set[ARGS_MAX], unset[ARGS_MAX];
    size_t unset_count = arg_all(args, "unset", unset, ARGS_MAX), set_count = 0;
    struct wire *wire;
    for (size_t i = 1; i < args->operand_count; i++)
        set[set_count++] = cairn_cstr(args->operands[i]);
    if (set_count + unset_count == 0)
        return fail(EXIT_USAGE, args->command->name, "such as retention.ms=86400000", "there is nothing to set");
    int code = topic_open(args, &wire);
    if (code)
        return code;
    buf_clear(&wire->body);
    buf_put_str(&wire->body, CAIRN_STR("{\"config\":{"));
    code = topic_put_settings(args, &wire->body, set, set_count);
    for (size_t i = 0; i < unset_count; i++) {
        json_put_comma(&wire->body);
        json_put_string(&wire->body, unset[i]);
        buf_put_str(&wire->body, CAIRN_STR(":null"));
    }
    buf_put_str(&wire->body, CAIRN_STR("}}"));
    if (!code) {
        topic_path(wire, args);
        code = send_topic(args, wire, "PATCH", "changed");
    }
    if (!code)
        say_subject(set, set_count);
    topic_close(wire);
    return code;
}

int
run_topics_delete(const struct args *args)
{
    struct call call = {.method = "DELETE"};
    struct wire *wire;
    int code = topic_open(args, &wire);
    if (code)
        return code;
    topic_path(wire, args);
    code = topic_perform(args, wire, &call, LIST, NULL);
    if (!code)
        printf(out.json ? "{\"deleted\":true}\n" : "deleted topic %s\n", args->operands[0]);
    topic_close(wire);
    return code;
}

/* ---- read -------------------------------------------------------------------------------------------------------------------- */

#define TABLE_BYTES_MAX (1u << 20) /* rows that are gathered before they are shown, so that columns are as wide in all partitions */

/* Its data as `cairn read` shows it. */
static int
show_record(const struct args *args, struct table *table, struct json record)
{
    static const char *const members[] = {"partition", "offset", "timestamp"};
    struct arena arena = {0};
    struct buf shown = {0};
    struct event_in in;
    cairn_error error = {0};
    if (out.json) {
        topic_say_json(record);
        return 0;
    }
    int code = event_parse(record, &arena, &in, &error) == CAIRN_OK ? 0 : fail_error(args->command->name, &error);
    if (!code) {
        topic_cells(table, record, members, 3);
        table_cell(table, topic_bytes(record, "key", &arena));
        table_cell(table, in.recorded.event.type);
        if (json_get(record, "tombstone").type == JSON_TRUE)
            buf_put_str(&shown, CAIRN_STR("(tombstone)"));
        else
            event_put_shown(&shown, &in.recorded.event);
        table_cell(table, buf_str(&shown));
        if (table->cells.size > TABLE_BYTES_MAX)
            table_flush(table);
    }
    buf_free(&shown);
    arena_free(&arena);
    return code;
}

/* Records of one partition, page by page. */
static int
read_partition(const struct args *args, struct wire *wire, uint64_t partition, const char *from, uint64_t limit, struct table *table)
{
    uint64_t seen = 0, next = 0;
    bool end = false;
    int code = 0;
    while (!code && !end && (limit == 0 || seen < limit) && !interrupted) {
        char after[64];
        struct json reply, none, record;
        uint64_t left = limit ? limit - seen : 1000;
        snprintf(after, sizeof after, "/partitions/%llu/records", (unsigned long long)partition);
        wire_path(wire, "/v1/topics/", cairn_cstr(args->operands[0]), after);
        wire_arg_number(wire, "limit", (int64_t)(left < 1000 ? left : 1000));
        if (seen > 0)
            wire_arg_number(wire, "from", (int64_t)next);
        else if (arg_text(args, "at"))
            wire_arg(wire, "at", cairn_cstr(arg_text(args, "at")));
        else if (from)
            wire_arg(wire, "from", cairn_cstr(from));
        code = topic_get(args, wire, LIST, &reply);
        if (code)
            break;
        struct json_walk walk = json_walk(json_get(reply, "records"));
        uint64_t before = seen;
        for (; !code && json_next(&walk, &none, &record); seen++)
            code = show_record(args, table, record);
        next = wire_number(reply, "next");
        end = json_get(reply, "end").type != JSON_FALSE || seen == before;
    }
    return code;
}

/* All partitions. One that ends before --from has nothing to show, which is no reason to refuse the others. */
static int
read_partitions(const struct args *args, struct wire *wire, uint64_t limit, struct table *table)
{
    const char *from = arg_text(args, "from");
    uint64_t offset = 0, at = 0;
    bool by_offset = from && parse_u64(cairn_cstr(from), &offset);
    struct json topic, checked, none, partition;
    struct buf offsets = {0}; /* of the topic, whose text the next call's takes the place of */
    topic_path(wire, args);
    int code = topic_get(args, wire, LIST, &topic);
    if (!code) {
        buf_put_str(&offsets, json_get(topic, "offsets").raw);
        if (offsets.failed || json_check(buf_str(&offsets), &checked, NULL) != CAIRN_OK)
            code = fail(EXIT_FAILED, args->command->name, NULL, "out of memory");
    }
    if (!code) {
        struct json_walk walk = json_walk(checked);
        for (; !code && !interrupted && json_next(&walk, &none, &partition); at++) {
            uint64_t end = wire_number(partition, "end");
            if (by_offset && offset > end)
                note("partition %llu ends at %llu", (unsigned long long)at, (unsigned long long)end);
            else
                code = read_partition(args, wire, at, from, limit, table);
        }
    }
    buf_free(&offsets);
    return code;
}

int
run_topics_read(const struct args *args)
{
    static const struct table_column columns[] = {{"PARTITION", true, STYLE_DIM}, {"OFFSET", true, STYLE_CYAN},
                                                  {"TIMESTAMP", false, STYLE_DIM}, {"KEY", false, STYLE_CYAN},
                                                  {"TYPE", false, STYLE_GREEN},    {"VALUE", false, STYLE_PLAIN}};
    struct table table;
    struct wire *wire;
    uint64_t partition, limit;
    int code = arg_u64(args, "partition", 0, &partition);
    if (!code)
        code = arg_u64(args, "limit", arg_text(args, "from") || arg_text(args, "at") ? 0 : 100, &limit);
    if (!code && arg_text(args, "from") && arg_text(args, "at"))
        code = fail(EXIT_USAGE, args->command->name, NULL, "--from and --at both say where to begin");
    if (code || (code = topic_open(args, &wire)))
        return code;
    if (!arg_text(args, "limit") && arg_text(args, "from") && !strcmp(arg_text(args, "from"), "latest"))
        limit = 10;
    table_begin(&table, columns, 6);
    code = arg_text(args, "partition") ? read_partition(args, wire, partition, arg_text(args, "from"), limit, &table)
                                       : read_partitions(args, wire, limit, &table);
    table_end(&table);
    topic_close(wire);
    return code;
}

/* ---- replay ------------------------------------------------------------------------------------------------------------------ */

static const char *const replay_members[] = {"looked_at", "replayed", "appended", "before", "failed", "waiting", "no_consumer", "no_origin", "gone"};
#define REPLAY_MEMBERS (sizeof replay_members / sizeof *replay_members)

/* What is asked for, and where to go on. */
static int
put_replay(const struct args *args, struct buf *to, cairn_str next)
{
    static const char *const numbers[] = {"partition", "from", "to"};
    uint64_t n;
    int code = 0;
    buf_clear(to);
    buf_put_char(to, '{');
    for (size_t i = 0; i < 3 && !code; i++)
        if (arg_text(args, numbers[i]) && !(code = arg_u64(args, numbers[i], 0, &n)))
            json_put_u64_member(to, numbers[i], n);
    if (arg_text(args, "consumer"))
        json_put_text_member(to, "consumer", cairn_cstr(arg_text(args, "consumer")));
    json_put_bool_member(to, "dry_run", arg_flag(args, "dry-run"));
    if (next.size) {
        json_put_name(to, "next");
        buf_put_str(to, next);
    }
    buf_put_char(to, '}');
    return code;
}

static void
say_failures(struct json failures, bool dry_run)
{
    struct json none, failure;
    struct arena arena = {0};
    for (struct json_walk walk = json_walk(failures); json_next(&walk, &none, &failure);) {
        cairn_str consumer = topic_bytes(failure, "consumer", &arena), error = topic_bytes(failure, "error", &arena);
        note("partition %llu, offset %llu%s: %.*s%s%.*s", (unsigned long long)wire_number(failure, "partition"),
             (unsigned long long)wire_number(failure, "offset"), dry_run ? " would fail" : "", (int)consumer.size,
             consumer.size ? consumer.data : "", consumer.size ? ": " : "", (int)error.size, error.size ? error.data : "");
    }
    arena_free(&arena);
}

/* As JSON the answers' own members, added up. */
static void
say_replayed(const struct args *args, const uint64_t *counts, cairn_str failures, cairn_str next)
{
    static const char *const said[][REPLAY_MEMBERS] = {
        {"looked at", "sent back", "appended to the topic that they came from", "sent back before, or had since", "failed",
         "wait: the subscription has no room for them; run this again later", "of consumers that are not there",
         "whose origin is not known", "not in the log any more"},
        {"looked at", "would be sent back", "would be appended to the topic that they came from", "sent back before, or had since",
         "would fail", "would wait: the subscription has no room for them", "of consumers that are not there",
         "whose origin is not known", "not in the log any more"}};
    const bool dry_run = arg_flag(args, "dry-run");
    struct buf text = {0};
    if (out.json) {
        buf_put_char(&text, '{');
        json_put_text_member(&text, "topic", cairn_cstr(args->operands[0]));
        json_put_bool_member(&text, "dry_run", dry_run);
        for (size_t i = 0; i < REPLAY_MEMBERS; i++)
            json_put_u64_member(&text, replay_members[i], counts[i]);
        buf_printf(&text, ",\"failures\":[%.*s],\"next\":%.*s}", (int)failures.size, failures.size ? failures.data : "",
                   next.size ? (int)next.size : 4, next.size ? next.data : "null");
        printf("%.*s\n", (int)text.size, text.data);
        buf_free(&text);
        return;
    }
    if (dry_run)
        printf("a dry run: nothing is changed\n");
    for (size_t i = 0; i < REPLAY_MEMBERS; i++)
        if (counts[i] > 0 || i < 2)
            printf("%8llu %s\n", (unsigned long long)counts[i], said[dry_run][i]);
}

int
run_topics_replay(const struct args *args)
{
    struct wire *wire;
    struct buf next = {0}, failures = {0};
    uint64_t counts[REPLAY_MEMBERS] = {0};
    bool more = true;
    int code = topic_open(args, &wire);
    if (code)
        return code;
    while (more && !code && !interrupted) {
        struct call call = {.method = "POST", .content_type = "application/json", .patient = true};
        struct json report;
        code = put_replay(args, &wire->body, buf_str(&next));
        if (code)
            break;
        call.body = buf_str(&wire->body);
        wire_path(wire, "/v1/topics/", cairn_cstr(args->operands[0]), "/replay");
        code = topic_perform(args, wire, &call, LIST, &report);
        if (code)
            break;
        for (size_t i = 0; i < REPLAY_MEMBERS; i++)
            counts[i] += wire_number(report, replay_members[i]);
        struct json failed = json_get(report, "failures");
        if (!out.json)
            say_failures(failed, arg_flag(args, "dry-run"));
        else if (json_count(failed) > 0)
            buf_printf(&failures, "%s%.*s", failures.size > 0 ? "," : "", (int)failed.raw.size - 2, failed.raw.data + 1);
        struct json on = json_get(report, "next");
        more = on.type == JSON_OBJECT;
        buf_clear(&next);
        buf_put_str(&next, more ? on.raw : (cairn_str){0});
        if (next.failed || failures.failed)
            code = fail(EXIT_FAILED, args->command->name, NULL, "out of memory");
    }
    if (!code)
        say_replayed(args, counts, buf_str(&failures), buf_str(&next));
    buf_free(&failures);
    buf_free(&next);
    topic_close(wire);
    return code ? code : counts[4] > 0 ? EXIT_FAILED : 0;
}

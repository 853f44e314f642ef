/* `cairn groups …`: consumer groups of Kafka's clients. */
#include <base/text.h>

#include "run.h"
#include "topic_client.h"

#define LIST "groups"

static void
list_group(void *context, struct json group)
{
    static const char *const members[] = {"group", "state", "type", "protocol", "member_count", "lag"};
    if (out.json)
        topic_say_json(group);
    else
        topic_cells(context, group, members, 6);
}

int
run_groups_list(const struct args *args)
{
    static const struct table_column columns[] = {{"GROUP", false, STYLE_CYAN},   {"STATE", false, STYLE_PLAIN},
                                                  {"TYPE", false, STYLE_DIM},     {"PROTOCOL", false, STYLE_DIM},
                                                  {"MEMBERS", true, STYLE_PLAIN}, {"LAG", true, STYLE_PLAIN}};
    struct table table;
    struct wire *wire;
    uint64_t limit;
    int code = arg_u64(args, "limit", 0, &limit);
    if (code || (code = topic_open(args, &wire)))
        return code;
    table_begin(&table, columns, 6);
    code = topic_pages(args, wire, "/v1/groups", "groups", limit, list_group, &table);
    if (!code && !out.json && table.row_count == 0 && !table.header_done)
        note("no groups");
    table_end(&table);
    topic_close(wire);
    return code;
}

/* ---- show -------------------------------------------------------------------------------------------------------------------- */

/* "orders: 0, 2; payments: 1" */
static void
put_assignment(struct buf *to, struct json assignment, struct arena *arena)
{
    struct json none, item, partition;
    struct json_walk walk = json_walk(assignment);
    while (json_next(&walk, &none, &item)) {
        cairn_str topic = json_string(json_get(item, "topic"), arena);
        struct json_walk inner = json_walk(json_get(item, "partitions"));
        buf_printf(to, "%s%.*s:", to->size ? "; " : "", (int)topic.size, topic.size ? topic.data : "");
        for (bool first = true; json_next(&inner, &none, &partition); first = false)
            buf_printf(to, "%s %.*s", first ? "" : ",", (int)partition.raw.size, partition.raw.data);
    }
}

static void
show_members(struct json members)
{
    static const struct table_column columns[] = {{"MEMBER", false, STYLE_CYAN}, {"INSTANCE", false, STYLE_PLAIN},
                                                  {"CLIENT", false, STYLE_PLAIN}, {"HOST", false, STYLE_DIM},
                                                  {"ASSIGNED", false, STYLE_PLAIN}};
    static const char *const names[] = {"member_id", "instance_id", "client_id", "client_host"};
    struct table table;
    struct json none, member;
    struct json_walk walk = json_walk(members);
    if (json_count(members) == 0)
        return;
    topic_heading("Members");
    table_begin(&table, columns, 5);
    while (json_next(&walk, &none, &member)) {
        struct arena arena = {0};
        struct buf assigned = {0};
        topic_cells(&table, member, names, 4);
        put_assignment(&assigned, json_get(member, "assignment"), &arena);
        table_cell(&table, buf_str(&assigned));
        buf_free(&assigned);
        arena_free(&arena);
    }
    table_end(&table);
}

static void
show_offsets(struct json offsets)
{
    static const struct table_column columns[] = {{"TOPIC", false, STYLE_CYAN}, {"PARTITION", true, STYLE_PLAIN},
                                                  {"OFFSET", true, STYLE_PLAIN}, {"END", true, STYLE_PLAIN},
                                                  {"LAG", true, STYLE_YELLOW},  {"COMMITTED", false, STYLE_DIM},
                                                  {"MEMBER", false, STYLE_DIM}};
    static const char *const names[] = {"topic", "partition", "offset", "end", "lag", "commit_time", "member_id"};
    struct table table;
    struct json none, row;
    struct json_walk walk = json_walk(offsets);
    if (json_count(offsets) == 0)
        return;
    topic_heading("Offsets");
    table_begin(&table, columns, 7);
    while (json_next(&walk, &none, &row))
        topic_cells(&table, row, names, 7);
    table_end(&table);
}

int
run_groups_show(const struct args *args)
{
    static const char *const lines[][2] = {{"group", "group"},       {"state", "state"},
                                           {"type", "type"},         {"protocol", "protocol"},
                                           {"generation", "generation"}, {"epoch", "epoch"},
                                           {"lag", "lag"}};
    struct json group;
    struct wire *wire;
    int code = topic_open(args, &wire);
    if (code)
        return code;
    wire_path(wire, "/v1/groups/", cairn_cstr(args->operands[0]), "");
    code = topic_get(args, wire, LIST, &group);
    if (!code && out.json) {
        topic_say_json(group);
    } else if (!code) {
        topic_say(group, lines, sizeof lines / sizeof *lines);
        show_members(json_get(group, "members"));
        show_offsets(json_get(group, "offsets"));
    }
    topic_close(wire);
    return code;
}

/* ---- reset ------------------------------------------------------------------------------------------------------------------- */

/* A time but for its zone. */
static bool
lacks_zone(const char *text)
{
    char with[48];
    int64_t time_us;
    int size = snprintf(with, sizeof with, "%sZ", text);
    return size > 0 && (size_t)size < sizeof with && parse_time(cairn_cstr(with), &time_us);
}

/* earliest, latest, OFFSET, +N, -N, position:N, or a time. */
static int
put_to(const struct args *args, struct buf *to, const char *text)
{
    static const char position[] = "position:";
    const size_t prefix = sizeof position - 1;
    uint64_t number;
    int64_t time_us;
    json_put_name(to, "to");
    if (!strcmp(text, "earliest") || !strcmp(text, "latest"))
        buf_printf(to, "\"%s\"", text);
    else if (parse_u64(cairn_cstr(text), &number))
        buf_printf(to, "{\"offset\":%s}", text);
    else if ((*text == '-' || *text == '+') && parse_u64(cairn_cstr(text + 1), &number))
        buf_printf(to, "{\"by\":%s%s}", *text == '-' ? "-" : "", text + 1);
    else if (!strncmp(text, position, prefix) && parse_u64(cairn_cstr(text + prefix), &number))
        buf_printf(to, "{\"position\":%s}", text + prefix);
    else if (parse_time(cairn_cstr(text), &time_us)) {
        buf_put_str(to, CAIRN_STR("{\"time\":"));
        json_put_string(to, cairn_cstr(text));
        buf_put_char(to, '}');
    } else if (lacks_zone(text)) {
        return fail(EXIT_USAGE, args->command->name, "Z for UTC, or +02:00", "--to: \"%s\" is a time without its zone", text);
    } else {
        return fail(EXIT_USAGE, args->command->name, "earliest, latest, an offset, -N, +N, position:N in the log, or a time such as 2026-11-21T08:31:11Z",
                    "--to: \"%s\"", text);
    }
    return 0;
}

static int
put_reset(const struct args *args, struct buf *to)
{
    static cairn_str partitions[ARGS_MAX];
    size_t count = arg_all(args, "partition", partitions, ARGS_MAX);
    const char *topic = arg_text(args, "topic"), *where = arg_text(args, "to");
    uint64_t number;
    if (!topic || !where)
        return fail(EXIT_USAGE, args->command->name, NULL, "--%s is missing", topic ? "to" : "topic");
    buf_clear(to);
    buf_put_str(to, CAIRN_STR("{\"topic\":"));
    json_put_string(to, cairn_cstr(topic));
    if (count > 0) {
        json_put_name(to, "partitions");
        buf_put_char(to, '[');
        for (size_t i = 0; i < count; i++) {
            if (!parse_u64(partitions[i], &number))
                return fail(EXIT_USAGE, args->command->name, NULL, "--partition: \"%s\" is no number", partitions[i].data);
            json_put_comma(to);
            json_put_u64(to, number);
        }
        buf_put_char(to, ']');
    }
    int code = put_to(args, to, where);
    json_put_bool_member(to, "dry_run", arg_flag(args, "dry-run"));
    buf_put_char(to, '}');
    return code;
}

static void
show_reset(struct json reply)
{
    static const struct table_column columns[] = {{"PARTITION", true, STYLE_CYAN}, {"WAS", true, STYLE_PLAIN},
                                                  {"IS", true, STYLE_GREEN},       {"END", true, STYLE_PLAIN},
                                                  {"LAG", true, STYLE_PLAIN}};
    static const char *const names[] = {"partition", "from", "to", "end", "lag"};
    struct table table;
    struct json none, row;
    struct json_walk walk = json_walk(json_get(reply, "offsets"));
    table_begin(&table, columns, 5);
    while (json_next(&walk, &none, &row))
        topic_cells(&table, row, names, 5);
    table_end(&table);
    if (json_get(reply, "dry_run").type == JSON_TRUE)
        note("a dry run: nothing has changed");
}

int
run_groups_reset(const struct args *args)
{
    struct json reply;
    struct wire *wire;
    int code = topic_open(args, &wire);
    if (code)
        return code;
    code = put_reset(args, &wire->body);
    if (!code) {
        wire_path(wire, "/v1/groups/", cairn_cstr(args->operands[0]), "/offsets");
        struct call call = {.method = "POST", .body = buf_str(&wire->body), .content_type = "application/json"};
        code = topic_perform(args, wire, &call, "topics", &reply); /* a group that is not there yet may have offsets */
        if (!code && out.json)
            topic_say_json(reply);
        else if (!code)
            show_reset(reply);
    }
    topic_close(wire);
    return code;
}

int
run_groups_delete(const struct args *args)
{
    struct call call = {.method = "DELETE"};
    struct wire *wire;
    int code = topic_open(args, &wire);
    if (code)
        return code;
    wire_path(wire, "/v1/groups/", cairn_cstr(args->operands[0]), "");
    code = topic_perform(args, wire, &call, LIST, NULL);
    if (!code)
        printf(out.json ? "{\"deleted\":true}\n" : "deleted group %s\n", args->operands[0]);
    topic_close(wire);
    return code;
}

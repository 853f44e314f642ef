/* `cairn relays …`: topics that go to a Kafka, and topics of a Kafka that come here. */
#include "run.h"
#include "topic_client.h"

#define LIST "relays"

int
run_relays_list(const struct args *args)
{
    static const struct table_column columns[] = {{"RELAY", false, STYLE_CYAN},  {"", false, STYLE_PLAIN},
                                                  {"FROM", false, STYLE_PLAIN},  {"TO", false, STYLE_PLAIN},
                                                  {"STATE", false, STYLE_GREEN}, {"RECORDS", true, STYLE_PLAIN},
                                                  {"LAG", true, STYLE_PLAIN},    {"", false, STYLE_YELLOW}};
    static const char *const members[] = {"relay", "direction", "source", "target", "state", "records_total", "lag", "detail"};
    struct json reply, none, relay;
    struct table table;
    struct wire *wire;
    int code = topic_open(args, &wire);
    if (code)
        return code;
    wire_path(wire, "/v1/relays", (cairn_str){0}, "");
    code = topic_get(args, wire, NULL, &reply);
    table_begin(&table, columns, 8);
    struct json_walk walk = json_walk(code ? (struct json){0} : json_get(reply, "relays"));
    while (json_next(&walk, &none, &relay))
        if (out.json)
            topic_say_json(relay);
        else
            topic_cells(&table, relay, members, 8);
    if (!code && !out.json && table.row_count == 0)
        note("no relays; `cairn relays put NAME` makes one");
    table_end(&table);
    topic_close(wire);
    return code;
}

static void
show_relay(struct json relay)
{
    static const char *const head[][2] = {{"relay", "relay"}, {"direction", "direction"}, {"from", "source"},
                                          {"to", "target"},   {"state", "state"},         {"detail", "detail"}};
    static const char *const tail[][2] = {{"records", "records_total"}, {"lag", "lag"}, {"newest", "last_time"}};
    bool exactly_once = json_string_is(json_get(relay, "direction"), "in") || json_get(relay, "transactions").type == JSON_TRUE;
    struct json name, value;
    struct arena arena = {0};
    struct buf shown = {0};
    topic_say(relay, head, sizeof head / sizeof *head);
    printf("%-12s %s\n", "exactly once", exactly_once ? "true" : "false");
    topic_say(relay, tail, sizeof tail / sizeof *tail);
    topic_heading("Client");
    struct json_walk walk = json_walk(json_get(relay, "client"));
    while (json_next(&walk, &name, &value)) {
        buf_clear(&shown);
        put_printable(&shown, json_string(name, &arena), 0);
        buf_put_char(&shown, '=');
        put_printable(&shown, value.type == JSON_STRING ? json_string(value, &arena) : value.raw, 0);
        printf("%.*s\n", (int)shown.size, shown.data);
    }
    buf_free(&shown);
    arena_free(&arena);
}

/* Perform a call on the relay of the command line and say what it is then. */
static int
on_relay(const struct args *args, const char *method, const char *action, const char *done)
{
    struct call call = {.method = method, .patient = true};
    struct json relay = {0};
    struct wire *wire;
    int code = topic_open(args, &wire);
    if (code)
        return code;
    wire_path(wire, "/v1/relays/", cairn_cstr(args->operands[0]), action);
    code = topic_perform(args, wire, &call, LIST, &relay);
    if (!code && out.json && relay.type == JSON_OBJECT)
        topic_say_json(relay);
    else if (!code && out.json)
        printf("{\"deleted\":true}\n");
    else if (!code && done)
        printf("%s relay %s\n", done, args->operands[0]);
    else if (!code)
        show_relay(relay);
    topic_close(wire);
    return code;
}

int
run_relays_show(const struct args *args)
{
    return on_relay(args, "GET", "", NULL);
}

int
run_relays_pause(const struct args *args)
{
    return on_relay(args, "POST", "/pause", "paused");
}

int
run_relays_resume(const struct args *args)
{
    return on_relay(args, "POST", "/resume", "resumed");
}

int
run_relays_delete(const struct args *args)
{
    return on_relay(args, "DELETE", "", "deleted");
}

/* ---- put ---------------------------------------------------------------------------------------------------------------------- */

/* NAME=VARIABLE: the value is what the server's environment has under that name. */
static int
put_environment(const struct args *args, struct buf *to)
{
    static cairn_str words[ARGS_MAX];
    size_t count = arg_all(args, "client-env", words, ARGS_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *equals = memchr(words[i].data, '=', words[i].size);
        if (!equals || equals == words[i].data)
            return fail(EXIT_USAGE, args->command->name, "such as sasl.password=KAFKA_PASSWORD", "\"%s\" is not NAME=VARIABLE",
                        words[i].data);
        size_t size = (size_t)(equals - words[i].data);
        json_put_comma(to);
        json_put_string(to, (cairn_str){words[i].data, size});
        buf_put_str(to, CAIRN_STR(":{\"env\":"));
        json_put_string(to, (cairn_str){equals + 1, words[i].size - size - 1});
        buf_put_char(to, '}');
    }
    return 0;
}

static int
put_relay(const struct args *args, struct buf *to)
{
    static cairn_str client[ARGS_MAX];
    size_t count = arg_all(args, "client", client, ARGS_MAX);
    bool outwards = arg_flag(args, "out");
    const char *from = arg_text(args, "from");
    if (outwards == arg_flag(args, "in"))
        return fail(EXIT_USAGE, args->command->name, "--out: from here to a Kafka; --in: from a Kafka to here",
                    "either --out or --in says which way");
    if (!from || !arg_text(args, "bootstrap"))
        return fail(EXIT_USAGE, args->command->name, NULL, "--%s is missing", from ? "bootstrap" : "from");
    buf_clear(to);
    buf_printf(to, "{\"direction\":\"%s\"", outwards ? "out" : "in");
    json_put_text_member(to, "source", cairn_cstr(from));
    if (arg_text(args, "to"))
        json_put_text_member(to, "target", cairn_cstr(arg_text(args, "to")));
    json_put_bool_member(to, "transactions", arg_flag(args, "transactions"));
    if (arg_flag(args, "paused"))
        json_put_bool_member(to, "paused", true);
    json_put_name(to, "client");
    buf_put_str(to, CAIRN_STR("{\"bootstrap.servers\":"));
    json_put_string(to, cairn_cstr(arg_text(args, "bootstrap")));
    int code = topic_put_settings(args, to, client, count);
    if (!code)
        code = put_environment(args, to);
    buf_put_str(to, CAIRN_STR("}}"));
    return code;
}

int
run_relays_put(const struct args *args)
{
    struct json relay;
    struct wire *wire;
    int code = topic_open(args, &wire);
    if (code)
        return code;
    code = put_relay(args, &wire->body);
    if (!code) {
        wire_path(wire, "/v1/relays/", cairn_cstr(args->operands[0]), "");
        struct call call = {.method = "PUT", .body = buf_str(&wire->body), .content_type = "application/json", .patient = true};
        code = topic_perform(args, wire, &call, LIST, &relay);
        if (!code && out.json)
            topic_say_json(relay);
        else if (!code)
            printf("relay %s is set: `cairn relays show %s` says how it is\n", args->operands[0], args->operands[0]);
    }
    topic_close(wire);
    return code;
}

/* `cairn subscription …`: consumer groups. */
#include "event_json.h"
#include "read_options.h"
#include "run.h"

/* Run one operation on the target and say what came of it. */
#define WITH_TARGET(access)                                                                        \
    struct target *target;                                                                         \
    cairn_error error = {0};                                                                       \
    cairn_str name = cairn_cstr(args->operand_count ? args->operands[0] : NULL);                   \
    int code = target_open(args, access, &target);                                                 \
    if (code)                                                                                      \
        return code

static int
finish(const struct args *args, struct target *target, cairn_err err, const cairn_error *error)
{
    target_close(target);
    return err == CAIRN_OK ? EXIT_DONE : fail_error(args->command->name, error);
}

static void
say_count(const char *what, size_t count)
{
    if (out.json)
        printf("{\"%s\":%zu}\n", what, count);
    else
        printf("%s %zu event%s\n", what, count, count == 1 ? "" : "s");
}

static int
config_of(const struct args *args, struct read_choice *choice, cairn_query_item *item, cairn_group_config *ret)
{
    uint64_t ack_us, delay_us, retries, outstanding;
    bool given;
    int code = from_of(args, &given, &ret->from);
    if (!code)
        code = arg_duration(args, "ack-timeout", 0, &ack_us);
    if (!code)
        code = arg_duration(args, "retry-delay", 0, &delay_us);
    if (!code)
        code = arg_u64(args, "retries", 0, &retries);
    if (!code)
        code = arg_u64(args, "outstanding", 0, &outstanding);
    if (code)
        return code;
    if (ack_us / 1000 > UINT32_MAX || delay_us / 1000 > UINT32_MAX || retries > UINT32_MAX || outstanding > UINT32_MAX)
        return fail(EXIT_USAGE, args->command->name, NULL, "a number is too large");
    *item = (cairn_query_item){.types = choice->types,
                               .type_count = arg_all(args, "type", choice->types, NAMES_MAX),
                               .tags = choice->tags,
                               .tag_count = arg_all(args, "tag", choice->tags, NAMES_MAX)};
    ret->stream = cairn_cstr(arg_text(args, "stream"));
    ret->category = cairn_cstr(arg_text(args, "category"));
    if (item->type_count || item->tag_count)
        ret->query = (cairn_query){item, 1};
    ret->ack_timeout_ms = (uint32_t)(ack_us / 1000);
    ret->retry_delay_ms = (uint32_t)(delay_us / 1000);
    ret->retry_max = (uint32_t)retries;
    ret->outstanding_max = (uint32_t)outstanding;
    ret->dead_letter_topic = cairn_cstr(arg_text(args, "dead-letter-topic"));
    ret->dead_letter = arg_flag(args, "dead-letter") || ret->dead_letter_topic.size > 0;
    return 0;
}

int
run_subscription_create(const struct args *args)
{
    static struct read_choice choice;
    cairn_query_item item;
    cairn_group_config config = {0};
    int bad = config_of(args, &choice, &item, &config);
    if (bad)
        return bad;
    WITH_TARGET(TARGET_CREATE);
    cairn_err err = target->ops->group_put(target, name, &config, &error);
    code = finish(args, target, err, &error);
    if (!code && out.json)
        printf("{\"created\":true}\n");
    else if (!code)
        printf("group %s is ready: `cairn subscription take %s`\n", args->operands[0], args->operands[0]);
    return code;
}

int
run_subscription_delete(const struct args *args)
{
    WITH_TARGET(TARGET_WRITE);
    cairn_err err = target->ops->group_delete(target, name, &error);
    code = finish(args, target, err, &error);
    if (!code)
        printf(out.json ? "{\"deleted\":true}\n" : "deleted group %s\n", args->operands[0]);
    return code;
}

/* ---- list --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *title, *member;
    bool right;
} list_columns[] = {{"GROUP", "name", false},        {"CHECKPOINT", "checkpoint", true}, {"END", "end", true},
                    {"OUTSTANDING", "outstanding", true}, {"RETRYING", "retrying", true}, {"PARKED", "parked", true},
                    {"DEAD", "dead_letters", true}, {"ACKNOWLEDGED", "acked_total", true}};
#define LIST_COLUMNS (sizeof list_columns / sizeof *list_columns)

static void
show_groups(struct json groups)
{
    struct table_column columns[LIST_COLUMNS];
    struct table table;
    struct arena arena = {0};
    struct json none, group;
    for (size_t i = 0; i < LIST_COLUMNS; i++)
        columns[i] = (struct table_column){list_columns[i].title, list_columns[i].right, i ? STYLE_PLAIN : STYLE_CYAN};
    table_begin(&table, columns, LIST_COLUMNS);
    struct json_walk walk = json_walk(groups);
    while (json_next(&walk, &none, &group))
        for (size_t i = 0; i < LIST_COLUMNS; i++) {
            struct json value = json_get(group, list_columns[i].member);
            table_cell(&table, value.type == JSON_STRING ? json_string(value, &arena) : value.raw);
        }
    if (table.row_count == 0)
        note("no groups");
    table_end(&table);
    arena_free(&arena);
}

int
run_subscription_list(const struct args *args)
{
    struct buf text = {0};
    struct json groups, none, group;
    WITH_TARGET(TARGET_READ);
    if (name.size) /* one as a list of one */
        buf_put_char(&text, '[');
    cairn_err err = target->ops->group_status(target, name, &text, &error);
    if (name.size)
        buf_put_char(&text, ']');
    code = finish(args, target, err, &error);
    if (!code && json_check(buf_str(&text), &groups, NULL) == CAIRN_OK) {
        struct buf line = {0};
        struct json_walk walk = json_walk(groups);
        while (out.json && json_next(&walk, &none, &group)) {
            buf_put_str(&line, group.raw);
            out_json_line(&line);
        }
        buf_free(&line);
        if (!out.json)
            show_groups(groups);
    }
    buf_free(&text);
    return code;
}

/* ---- take, parked ----------------------------------------------------------------------------------------------- */

struct taken {
    struct table table;
    struct buf line, data;
    uint64_t *positions;
    size_t count, room;
    bool parked;
};

static bool
take_one(void *context, const cairn_recorded *event, uint32_t delivery, cairn_str reason)
{
    struct taken *taken = context;
    if (taken->positions && taken->count < taken->room)
        taken->positions[taken->count] = event->position;
    taken->count++;
    if (out.json) {
        event_put_open(&taken->line, event);
        json_put_name(&taken->line, taken->parked ? "deliveries" : "delivery");
        json_put_u64(&taken->line, delivery);
        if (taken->parked) {
            json_put_text_member(&taken->line, "reason", reason);
        }
        buf_put_char(&taken->line, '}');
        return out_json_line(&taken->line);
    }
    table_cellf(&taken->table, "%llu", (unsigned long long)event->position);
    table_cellf(&taken->table, "%u", delivery);
    table_cell(&taken->table, event->stream);
    table_cellf(&taken->table, "%llu", (unsigned long long)event->revision);
    table_cell(&taken->table, event->event.type);
    table_cell(&taken->table, taken->parked ? reason : event->event.data);
    return true;
}

static void
taken_begin(struct taken *taken)
{
    static const struct table_column due[] = {{"POSITION", true, STYLE_DIM},   {"DELIVERY", true, STYLE_DIM},
                                              {"STREAM", false, STYLE_CYAN},   {"REVISION", true, STYLE_PLAIN},
                                              {"TYPE", false, STYLE_GREEN},    {"DATA", false, STYLE_PLAIN}};
    static const struct table_column parked[] = {{"POSITION", true, STYLE_DIM}, {"DELIVERIES", true, STYLE_DIM},
                                                 {"STREAM", false, STYLE_CYAN}, {"REVISION", true, STYLE_PLAIN},
                                                 {"TYPE", false, STYLE_GREEN},  {"REASON", false, STYLE_YELLOW}};
    table_begin(&taken->table, taken->parked ? parked : due, 6);
}

#define TAKE_MAX 10000

int
run_subscription_take(const struct args *args)
{
    static uint64_t positions[TAKE_MAX];
    struct taken taken = {.positions = positions, .room = TAKE_MAX};
    uint64_t limit;
    size_t acked = 0;
    int bad = arg_u64(args, "limit", 10, &limit);
    if (!bad && (limit == 0 || limit > TAKE_MAX))
        bad = fail(EXIT_USAGE, args->command->name, NULL, "--limit takes 1 to %d", TAKE_MAX);
    if (bad)
        return bad;
    WITH_TARGET(TARGET_WRITE);
    taken_begin(&taken);
    cairn_err err = target->ops->group_take(target, name, (size_t)limit, take_one, &taken, &error);
    table_end(&taken.table);
    buf_free(&taken.line);
    if (err == CAIRN_OK && taken.count && arg_flag(args, "ack") && fflush(stdout) == 0)
        err = target->ops->group_ack(target, name, positions, taken.count, &acked, &error);
    code = finish(args, target, err, &error);
    if (!code && taken.count == 0)
        note("nothing is due");
    return code;
}

int
run_subscription_parked(const struct args *args)
{
    struct taken taken = {.parked = true};
    uint64_t limit;
    int bad = arg_u64(args, "limit", 100, &limit);
    if (bad)
        return bad;
    WITH_TARGET(TARGET_READ);
    taken_begin(&taken);
    cairn_err err = target->ops->group_parked(target, name, (size_t)limit, take_one, &taken, &error);
    table_end(&taken.table);
    buf_free(&taken.line);
    code = finish(args, target, err, &error);
    if (!code && taken.count == 0)
        note("nothing is parked");
    return code;
}

/* ---- ack, nack, replay ------------------------------------------------------------------------------------ */

static int
positions_of(const struct args *args, uint64_t *to, size_t *ret_count)
{
    *ret_count = 0;
    for (size_t i = 1; i < args->operand_count; i++)
        if (!parse_u64(cairn_cstr(args->operands[i]), &to[(*ret_count)++]))
            return fail(EXIT_USAGE, args->command->name, "positions are the numbers that `take` printed first",
                        "\"%s\" is no position", args->operands[i]);
    return 0;
}

int
run_subscription_ack(const struct args *args)
{
    static uint64_t positions[ARGS_MAX];
    size_t count, done = 0;
    int bad = positions_of(args, positions, &count);
    if (bad)
        return bad;
    WITH_TARGET(TARGET_WRITE);
    cairn_err err = target->ops->group_ack(target, name, positions, count, &done, &error);
    code = finish(args, target, err, &error);
    if (!code)
        say_count("acknowledged", done);
    return code;
}

int
run_subscription_nack(const struct args *args)
{
    static uint64_t positions[ARGS_MAX];
    size_t count, done = 0;
    int bad = positions_of(args, positions, &count);
    if (bad)
        return bad;
    WITH_TARGET(TARGET_WRITE);
    cairn_err err = target->ops->group_nack(target, name, positions, count, arg_flag(args, "park"),
                                            cairn_cstr(arg_text(args, "reason")), &done, &error);
    code = finish(args, target, err, &error);
    if (!code)
        say_count("refused", done);
    return code;
}

int
run_subscription_replay(const struct args *args)
{
    size_t done = 0;
    WITH_TARGET(TARGET_WRITE);
    cairn_err err = target->ops->group_replay(target, name, &done, &error);
    code = finish(args, target, err, &error);
    if (!code)
        say_count("replayed", done);
    return code;
}

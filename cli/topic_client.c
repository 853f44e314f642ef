/* Calls about topics, groups and relays, and what comes back. See topic_client.h. */
#include "topic_client.h"

#include <base/error.h>
#include <base/text.h>

#define PAGE 1000

int
topic_open(const struct args *args, struct wire **ret)
{
    struct target *target;
    if (args->operand_count > 0 && !args->operands[0][0])
        return fail(EXIT_USAGE, args->command->name, NULL, "the name is empty");
    if (target_is_folder(args))
        return fail(EXIT_USAGE, args->command->name, "run `cairn serve --data DIR`, and leave --data out here",
                    "topics, groups and relays are looked after by a server");
    int code = target_open(args, TARGET_READ, &target);
    if (!code)
        *ret = wire_of(target);
    return code;
}

void
topic_close(struct wire *wire)
{
    target_close(&wire->target);
}

static cairn_str
text_of(struct json object, const char *member, struct arena *arena)
{
    struct json value = json_get(object, member);
    if (value.type == JSON_STRING)
        return json_string(value, arena);
    return value.type == JSON_NULL ? (cairn_str){0} : value.raw;
}

static int
say_refusal(const struct args *args, const struct buf *text, const char *lists, const cairn_error *error)
{
    struct json problem = {0};
    struct arena arena = {0};
    char hint[300] = "";
    if (text->size == 0 || json_check(buf_str(text), &problem, NULL) != CAIRN_OK || problem.type != JSON_OBJECT)
        return fail_error(args->command->name, error);
    cairn_str said = text_of(problem, "hint", &arena);
    if (error->code == CAIRN_E_NOTFOUND && lists)
        snprintf(hint, sizeof hint, "`cairn %s` lists those there are", lists);
    else if (said.size)
        snprintf(hint, sizeof hint, "%.*s", (int)said.size, said.data);
    int code = fail_problem(0, args->command->name, error, hint[0] ? hint : NULL, problem.raw);
    arena_free(&arena);
    return code;
}

int
topic_perform(const struct args *args, struct wire *wire, struct call *call, const char *lists, struct json *ret)
{
    cairn_error error = {0};
    struct buf problem = {0};
    struct json reply = {0};
    call->problem_text = &problem;
    cairn_err err = wire_call(wire, call, &error);
    int code = err == CAIRN_OK ? 0 : say_refusal(args, &problem, lists, &error);
    buf_free(&problem);
    if (!code && ret && wire->reply.size && wire_json(wire, &reply, &error) != CAIRN_OK)
        code = fail_error(args->command->name, &error);
    if (!code && ret)
        *ret = reply;
    return code;
}

int
topic_get(const struct args *args, struct wire *wire, const char *lists, struct json *ret)
{
    struct call call = {.method = "GET"};
    return topic_perform(args, wire, &call, lists, ret);
}

int
topic_pages(const struct args *args, struct wire *wire, const char *path, const char *member, uint64_t limit, topic_item visit,
            void *context)
{
    struct arena arena = {0};
    cairn_str after = {0};
    uint64_t seen = 0;
    int code = 0;
    bool end = false;
    while (!code && !end && (limit == 0 || seen < limit)) {
        struct json reply, none, item;
        uint64_t left = limit ? limit - seen : PAGE;
        wire_path(wire, path, (cairn_str){0}, "");
        wire_arg_number(wire, "limit", (int64_t)(left < PAGE ? left : PAGE));
        if (arg_text(args, "prefix"))
            wire_arg(wire, "prefix", cairn_cstr(arg_text(args, "prefix")));
        if (after.size)
            wire_arg(wire, "after", after);
        code = topic_get(args, wire, NULL, &reply);
        if (code)
            break;
        struct json_walk walk = json_walk(json_get(reply, member));
        for (; json_next(&walk, &none, &item); seen++)
            visit(context, item);
        after = arena_copy(&arena, text_of(reply, "next", &arena));
        end = json_get(reply, "end").type != JSON_FALSE || after.size == 0;
    }
    arena_free(&arena);
    return code;
}

int
topic_put_settings(const struct args *args, struct buf *to, const cairn_str *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *equals = memchr(words[i].data, '=', words[i].size);
        char name[256];
        size_t size = equals ? (size_t)(equals - words[i].data) : 0;
        if (size == 0 || size >= sizeof name)
            return fail(EXIT_USAGE, args->command->name, "such as retention.ms=86400000", "\"%s\" is not NAME=VALUE", words[i].data);
        memcpy(name, words[i].data, size);
        name[size] = '\0';
        json_put_comma(to);
        json_put_string(to, cairn_cstr(name));
        buf_put_char(to, ':');
        json_put_string(to, (cairn_str){equals + 1, words[i].size - size - 1});
    }
    return 0;
}

/* ---- saying ---------------------------------------------------------------------------------------------------------------- */

void
topic_say(struct json object, const char *const (*lines)[2], size_t count)
{
    struct arena arena = {0};
    struct buf shown = {0};
    for (size_t i = 0; i < count; i++) {
        buf_clear(&shown);
        put_printable(&shown, text_of(object, lines[i][1], &arena), 0);
        if (shown.size)
            printf("%-12s %.*s\n", lines[i][0], (int)shown.size, shown.data);
    }
    buf_free(&shown);
    arena_free(&arena);
}

void
topic_cells(struct table *table, struct json object, const char *const *members, size_t count)
{
    struct arena arena = {0};
    for (size_t i = 0; i < count; i++)
        table_cell(table, text_of(object, members[i], &arena));
    arena_free(&arena);
}

void
topic_heading(const char *text)
{
    printf("\n%s%s%s\n", style_on(STYLE_BOLD), text, style_off());
}

cairn_str
topic_bytes(struct json object, const char *member, struct arena *arena)
{
    char encoded[64];
    struct buf marked = {0};
    cairn_str text = text_of(object, member, arena);
    if (text.size)
        return text;
    snprintf(encoded, sizeof encoded, "%s_base64", member);
    text = text_of(object, encoded, arena);
    if (text.size) {
        buf_printf(&marked, "base64:%.*s", (int)text.size, text.data);
        text = arena_copy(arena, buf_str(&marked));
        buf_free(&marked);
    }
    return text;
}

void
topic_say_json(struct json value)
{
    struct buf line = {0};
    json_put_compact(&line, value.raw);
    out_json_line(&line);
    buf_free(&line);
}

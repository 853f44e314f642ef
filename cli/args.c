/* Read the command line against the command table. See command.h. */
#include <assert.h>
#include <stdlib.h>

#include "command.h"

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t
edit_distance(const char *a, const char *b)
{
    enum { LENGTH_MAX = 40 };
    size_t n = strlen(a), m = strlen(b);
    if (n > LENGTH_MAX || m > LENGTH_MAX)
        return LENGTH_MAX;
    size_t rows[3][LENGTH_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = smaller(smaller(last[j] + 1, row[j - 1] + 1),
                             last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[m];
}

/* "did you mean": at most two slips, and fewer than half of the word. */
static bool
is_near(const char *typed, const char *name, size_t *best)
{
    size_t distance = edit_distance(typed, name);
    if (distance >= *best || distance > 2 || distance * 2 >= strlen(name) + 1)
        return false;
    *best = distance;
    return true;
}

const char *
command_nearest(const char *typed)
{
    const char *nearest = NULL;
    size_t best = SIZE_MAX;
    for (const struct command *c = commands; c->name; c++) {
        const char *space = strchr(typed, ' ');
        if (!space && strchr(c->name, ' '))
            continue; /* one word was typed: suggest one word */
        if (is_near(typed, c->name, &best))
            nearest = c->name;
    }
    return nearest;
}

const struct command *
command_find(char *const *words, int count, int *ret_words)
{
    for (int take = count < 2 ? count : 2; take > 0; take--) {
        char name[64];
        int size = take == 2 ? snprintf(name, sizeof name, "%s %s", words[0], words[1])
                             : snprintf(name, sizeof name, "%s", words[0]);
        if (size < 0 || (size_t)size >= sizeof name)
            continue;
        for (const struct command *c = commands; c->name; c++)
            if (strcmp(c->name, name) == 0) {
                *ret_words = take;
                return c;
            }
    }
    return NULL;
}

static const struct option *
option_of(const struct command *command, const char *name, size_t size, char letter)
{
    const struct option *lists[] = {command->options, global_options};
    for (size_t i = 0; i < 2; i++)
        for (const struct option *o = lists[i]; o && o->name; o++)
            if (letter ? o->letter == letter : strlen(o->name) == size && strncmp(o->name, name, size) == 0)
                return o;
    return NULL;
}

static int
unknown_option(const struct command *command, const char *typed, size_t size)
{
    char name[64], hint[160];
    snprintf(name, sizeof name, "%.*s", (int)(size < 60 ? size : 60), typed);
    const struct option *lists[] = {command->options, global_options};
    const char *nearest = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < 2; i++)
        for (const struct option *o = lists[i]; o && o->name; o++)
            if (is_near(name, o->name, &best))
                nearest = o->name;
    if (nearest)
        snprintf(hint, sizeof hint, "did you mean --%s?", nearest);
    else
        snprintf(hint, sizeof hint, "`cairn help %s` lists its options", command->name);
    return fail(EXIT_USAGE, command->name, hint, "unknown option --%s", name);
}

static int
give(struct args *args, const struct option *option, const char *text)
{
    if (args->given_count == ARGS_MAX)
        return fail(EXIT_USAGE, args->command->name, NULL, "more than %d options", ARGS_MAX);
    args->given[args->given_count].option = option;
    args->given[args->given_count++].text = text;
    return 0;
}

static int
parse_long(struct args *args, char *const *words, int count, int *at)
{
    const char *name = words[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    const struct option *option = option_of(args->command, name, size, 0);
    if (!option)
        return unknown_option(args->command, name, size);
    if (!option->value)
        return equals ? fail(EXIT_USAGE, args->command->name, NULL, "--%s takes no value", option->name)
                      : give(args, option, "");
    if (equals)
        return give(args, option, equals + 1);
    if (*at + 1 >= count)
        return fail(EXIT_USAGE, args->command->name, option->help, "--%s needs a value: %s",
                    option->name, option->value);
    return give(args, option, words[++*at]);
}

static int
parse_short(struct args *args, char *const *words, int count, int *at)
{
    for (const char *letter = words[*at] + 1; *letter; letter++) {
        const struct option *option = option_of(args->command, "", 0, *letter);
        if (!option)
            return unknown_option(args->command, letter, 1);
        if (!option->value) {
            int code = give(args, option, "");
            if (code)
                return code;
            continue;
        }
        if (letter[1])
            return give(args, option, letter + 1);
        if (*at + 1 >= count)
            return fail(EXIT_USAGE, args->command->name, option->help, "-%c needs a value: %s",
                        *letter, option->value);
        return give(args, option, words[++*at]);
    }
    return 0;
}

int
args_parse(const struct command *command, char *const *words, int count, struct args *ret)
{
    *ret = (struct args){.command = command};
    bool only_operands = false;
    for (int i = 0; i < count; i++) {
        const char *word = words[i];
        int code = 0;
        if (!only_operands && strcmp(word, "--") == 0)
            only_operands = true;
        else if (!only_operands && word[0] == '-' && word[1] == '-')
            code = parse_long(ret, words, count, &i);
        else if (!only_operands && word[0] == '-' && word[1])
            code = parse_short(ret, words, count, &i);
        else if (ret->operand_count == ARGS_MAX)
            code = fail(EXIT_USAGE, command->name, NULL, "more than %d arguments", ARGS_MAX);
        else
            ret->operands[ret->operand_count++] = word;
        if (code)
            return code;
    }
    return 0;
}

/* ---- values ------------------------------------------------------------------------------------ */

bool
arg_flag(const struct args *args, const char *name)
{
    return arg_text(args, name) != NULL;
}

const char *
arg_text(const struct args *args, const char *name)
{
    const char *text = NULL;
    assert(option_of(args->command, name, strlen(name), 0)); /* the table lacks it: our mistake */
    for (size_t i = 0; i < args->given_count; i++)
        if (strcmp(args->given[i].option->name, name) == 0)
            text = args->given[i].text;
    return text;
}

size_t
arg_all(const struct args *args, const char *name, cairn_str *to, size_t room)
{
    size_t count = 0;
    for (size_t i = 0; i < args->given_count && count < room; i++)
        if (strcmp(args->given[i].option->name, name) == 0)
            to[count++] = cairn_cstr(args->given[i].text);
    return count;
}

int
arg_u64(const struct args *args, const char *name, uint64_t otherwise, uint64_t *ret)
{
    const char *text = arg_text(args, name);
    *ret = otherwise;
    if (!text || parse_u64(cairn_cstr(text), ret))
        return 0;
    return fail(EXIT_USAGE, args->command->name, NULL, "--%s: \"%s\" is not a whole number", name, text);
}

int
arg_size(const struct args *args, const char *name, uint64_t otherwise, uint64_t *ret_bytes)
{
    const char *text = arg_text(args, name);
    *ret_bytes = otherwise;
    if (!text || parse_size(cairn_cstr(text), ret_bytes))
        return 0;
    return fail(EXIT_USAGE, args->command->name, "write 4096, 64KiB, 1MB …",
                "--%s: \"%s\" is not a size", name, text);
}

int
arg_duration(const struct args *args, const char *name, uint64_t otherwise, uint64_t *ret_us)
{
    const char *text = arg_text(args, name);
    *ret_us = otherwise;
    if (!text || parse_duration(cairn_cstr(text), ret_us))
        return 0;
    return fail(EXIT_USAGE, args->command->name, "write 250ms, 30s, 15m, 2h, 7d",
                "--%s: \"%s\" is not a duration", name, text);
}

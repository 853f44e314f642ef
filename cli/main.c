/* `cairn`: find the command, read its options, run it.
 *
 * Options of every command may stand before or after the command's name. Before it, --data is always
 * the folder; after `append` it is the event's data. */
#include <cairn/cairn.h>
#include <server/server.h>
#include <stdlib.h>

#include "command.h"

static const struct command no_command = {.name = "cairn", .summary = "", .synopsis = "", .about = ""};

/* How many of the words before the command's name are options and their values. */
static int
count_leading(char *const *words, int count)
{
    int i = 0;
    while (i < count && words[i][0] == '-' && words[i][1]) {
        const char *name = words[i] + (words[i][1] == '-' ? 2 : 1);
        bool takes = false;
        for (const struct option *o = global_options; o->name; o++)
            takes |= o->value && (words[i][1] == '-' ? strcmp(o->name, name) == 0
                                                     : o->letter == name[strlen(name) - 1]);
        i += takes ? 2 : 1;
    }
    return i < count ? i : count;
}

static int
unknown_command(const char *typed)
{
    char hint[96];
    const char *nearest = command_nearest(typed);
    snprintf(hint, sizeof hint, nearest ? "did you mean `cairn %s`?" : "`cairn help` lists the commands", nearest);
    return fail(EXIT_USAGE, typed, hint, "no such command");
}

static int
unknown_subcommand(const struct command *group, const char *typed)
{
    char both[96], hint[128];
    snprintf(both, sizeof both, "%s %s", group->name, typed);
    const char *nearest = command_nearest(both);
    if (nearest && strcmp(nearest, both) == 0) {
        snprintf(hint, sizeof hint, "cairn %s …", both);
        return fail(EXIT_USAGE, group->name, hint, "\"%s\" stands before its options", typed);
    }
    if (nearest)
        snprintf(hint, sizeof hint, "did you mean `cairn %s`?", nearest);
    else
        snprintf(hint, sizeof hint, "`cairn help %s` lists what there is", group->name);
    return fail(EXIT_USAGE, group->name, hint, "no such command: %s", both);
}

static int
check_operands(const struct args *args)
{
    const struct command *command = args->command;
    char hint[256];
    snprintf(hint, sizeof hint, "usage: cairn %s %s", command->name, command->synopsis);
    if (args->operand_count < command->operand_min)
        return fail(EXIT_USAGE, command->name, hint, "an argument is missing");
    if (args->operand_count > command->operand_max)
        return fail(EXIT_USAGE, command->name, hint, "\"%s\" is one argument too many",
                    args->operands[command->operand_max]);
    return 0;
}

/* The options before the command's name count as if they stood after it. */
static int
merge(struct args *args, const struct args *leading)
{
    if (args->given_count + leading->given_count > ARGS_MAX)
        return fail(EXIT_USAGE, args->command->name, NULL, "more than %d options", ARGS_MAX);
    memmove(args->given + leading->given_count, args->given, args->given_count * sizeof *args->given);
    memcpy(args->given, leading->given, leading->given_count * sizeof *args->given);
    args->given_count += leading->given_count;
    return 0;
}

static int
run_serve(int leading, int took, int argc, char **argv)
{
    /* argv as the server knows it: the leading options after its own name */
    char **words = calloc((size_t)argc + 1, sizeof *words);
    if (!words)
        return fail(EXIT_FAILED, "serve", NULL, "out of memory");
    int count = 0;
    static char name[] = "serve";
    words[count++] = name;
    for (int i = 1; i <= leading; i++)
        words[count++] = argv[i];
    for (int i = 1 + leading + took; i < argc; i++)
        words[count++] = argv[i];
    int code = cairn_serve_main(count, words);
    free(words);
    return code;
}

static bool
wants_help(char *const *words, int count)
{
    for (int i = 0; i < count && strcmp(words[i], "--") != 0; i++)
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0)
            return true;
    return false;
}

static int
begin_output(const struct args *args)
{
    out.json = arg_flag(args, "json");
    out.quiet = arg_flag(args, "quiet");
    out.verbose = arg_flag(args, "verbose");
    if (!out_begin(arg_text(args, "color")))
        return fail(EXIT_USAGE, args->command->name, "auto, always or never", "--color: \"%s\"",
                    arg_text(args, "color"));
    return 0;
}

static int
run(int argc, char **argv)
{
    static struct args leading, args; /* too large for the stack's taste */
    int before = count_leading(argv + 1, argc - 1);
    int code = args_parse(&no_command, argv + 1, before, &leading);
    if (code || (code = begin_output(&leading)))
        return code;
    char **words = argv + 1 + before;
    int count = argc - 1 - before, took = 0;
    for (size_t i = 0; i < leading.given_count; i++)
        if (leading.given[i].option->letter == 'h')
            count = 0;
    if (count == 0) {
        help_overview(stdout);
        return EXIT_DONE;
    }
    const struct command *command = command_find(words, count, &took);
    if (!command)
        return unknown_command(words[0]);
    if (wants_help(words + took, count - took)) {
        help_command(stdout, command);
        return EXIT_DONE;
    }
    if (command->flags & COMMAND_OWN_ARGS)
        return run_serve(before, took, argc, argv);
    code = args_parse(command, words + took, count - took, &args);
    if (code || (code = merge(&args, &leading)) || (code = begin_output(&args)))
        return code;
    if (command->flags & COMMAND_GROUP) {
        if (args.operand_count)
            return unknown_subcommand(command, args.operands[0]);
        if (!command->run) {
            help_command(stdout, command);
            return EXIT_USAGE;
        }
    }
    code = check_operands(&args);
    if (code)
        return code;
    catch_interrupts();
    return command->run(&args);
}

int
main(int argc, char **argv)
{
    int code = out_end(run(argc, argv));
    return interrupted && code == EXIT_DONE ? EXIT_INTERRUPTED : code;
}

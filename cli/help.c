/* Help, and the manual page, out of the command table. */
#include <cairn/cairn.h>
#include <server/config.h>

#include "command.h"
#include "run.h"

#define ABOUT                                                                                      \
    "Cairn keeps every fact that a business records, in order and for good, in one append-only log, and "  \
    "serves it to everything that runs from that history. `cairn` is its command line: it talks to a " \
    "server, or with --data works on a store's folder directly."

struct exit_text {
    int number;
    const char *meaning;
};
static const struct exit_text exit_texts[] = {
#define X(name, number, meaning) {number, meaning},
    EXIT_CODES(X)
#undef X
};

static const char *
bold(FILE *to)
{
    return to == stdout ? style_on(STYLE_BOLD) : "";
}

static const char *
dim(FILE *to)
{
    return to == stdout ? style_on(STYLE_DIM) : "";
}

static const char *
plain(FILE *to)
{
    return to == stdout ? style_off() : "";
}

/* Print text broken at spaces, at most 80 columns wide, each line after `indent` spaces. */
static void
wrapped(FILE *to, const char *text, unsigned indent)
{
    unsigned column = 0;
    while (*text) {
        if (text[0] == '\n') {
            fputs("\n\n", to);
            column = 0;
            while (*text == '\n')
                text++;
            continue;
        }
        size_t size = strcspn(text, " \n");
        unsigned columns = (unsigned)columns_of((cairn_str){text, size});
        if (column && column + 1 + columns > 80) {
            fputc('\n', to);
            column = 0;
        }
        if (column == 0)
            fprintf(to, "%*s", (int)indent, "");
        else
            fputc(' ', to);
        column = (column ? column + 1 : indent) + columns;
        fprintf(to, "%.*s", (int)size, text);
        text += size;
        while (*text == ' ')
            text++;
    }
    fputc('\n', to);
}

static void
print_options(FILE *to, const struct option *options)
{
    for (const struct option *o = options; o && o->name; o++) {
        char left[64], letter[8] = "    ";
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        if (strlen(left) <= 26)
            fprintf(to, "  %-26s  %s\n", left, o->help);
        else
            fprintf(to, "  %s\n  %-26s  %s\n", left, "", o->help);
    }
}

static void
print_examples(FILE *to, const struct example *examples)
{
    if (!examples)
        return;
    fprintf(to, "\n%sExamples%s\n", bold(to), plain(to));
    for (const struct example *e = examples; e->line; e++)
        fprintf(to, "  %s# %s%s\n  %s\n", dim(to), e->what, plain(to), e->line);
}

static bool
is_child(const struct command *child, const struct command *group)
{
    size_t size = strlen(group->name);
    return strncmp(child->name, group->name, size) == 0 && child->name[size] == ' ';
}

void
help_overview(FILE *to)
{
    wrapped(to, ABOUT, 0);
    fprintf(to, "\n%sUsage%s\n  cairn COMMAND [ARGUMENTS] [OPTIONS]\n\n%sCommands%s\n", bold(to),
            plain(to), bold(to), plain(to));
    for (const struct command *c = commands; c->name; c++)
        if (!strchr(c->name, ' '))
            fprintf(to, "  %-13s %s\n", c->name, c->summary);
    fprintf(to, "\n%sOptions of every command%s\n", bold(to), plain(to));
    print_options(to, global_options);
    fprintf(to,
            "\n%sTry it%s\n"
            "  %s# a server in the background, on a folder of its own%s\n"
            "  cairn serve --data ./store &\n"
            "  %s# two facts, and the stream they make%s\n"
            "  cairn append order-42 --type OrderPlaced --data '{\"total\":99}'\n"
            "  cairn append order-42 --type OrderPaid --data '{\"by\":\"card\"}' --expected 0\n"
            "  cairn read order-42\n",
            bold(to), plain(to), dim(to), plain(to), dim(to), plain(to));
    fprintf(to, "\n`cairn help COMMAND` explains one, with examples. `man cairn` has it all.\n");
}

void
help_command(FILE *to, const struct command *command)
{
    fprintf(to, "%scairn %s%s: %s\n\n", bold(to), command->name, plain(to), command->summary);
    fprintf(to, "%sUsage%s\n  cairn %s%s%s%s\n", bold(to), plain(to), command->name,
            *command->synopsis ? " " : "", command->synopsis,
            command->options && command->options->name ? " [OPTIONS]" : "");
    if (*command->about) {
        fputc('\n', to);
        wrapped(to, command->about, 0);
    }
    if (command->flags & COMMAND_GROUP) {
        fprintf(to, "\n%sCommands%s\n", bold(to), plain(to));
        for (const struct command *c = commands; c->name; c++)
            if (is_child(c, command))
                fprintf(to, "  %-21s %s\n", c->name, c->summary);
    }
    if (command->options && command->options->name) {
        fprintf(to, "\n%sOptions%s\n", bold(to), plain(to));
        print_options(to, command->options);
    }
    if (command->flags & COMMAND_OWN_ARGS) { /* serve: its settings are the server's to tell */
        struct buf settings = {0};
        config_put_help(&settings);
        fprintf(to, "\n%sSettings%s: flags, CAIRN_* variables, or the file\n%.*s", bold(to), plain(to),
                (int)settings.size, settings.data ? settings.data : "");
        buf_free(&settings);
    }
    print_examples(to, command->examples);
    if (!(command->flags & COMMAND_OWN_ARGS))
        fprintf(to, "\nOptions of every command: --url, --data DIR, --json, --quiet, … (`cairn help`).\n");
}

/* ---- the manual ----------------------------------------------------------------------------------- */

/* Text as troff: backslashes, leading dots and quotes, hyphens of options. */
static void
troff(FILE *to, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '\\')
            fputs("\\e", to);
        else if (*c == '-')
            fputs("\\-", to);
        else if (*c == '\'')
            fputs("\\(aq", to);
        else if (*c == '.' && (c == text || c[-1] == '\n'))
            fputs("\\&.", to);
        else if (*c == '\n' && c[1] == '\n')
            fputs("\n.PP\n", to), c++;
        else
            fputc(*c, to);
    }
}

static void
manual_options(FILE *to, const struct option *options)
{
    for (const struct option *o = options; o && o->name; o++) {
        fputs(".TP\n", to);
        if (o->letter)
            fprintf(to, "\\fB\\-%c\\fR, ", o->letter);
        fputs("\\fB\\-\\-", to);
        troff(to, o->name);
        fputs("\\fR", to);
        if (o->value) {
            fputs(" \\fI", to);
            troff(to, o->value);
            fputs("\\fR", to);
        }
        fputc('\n', to);
        troff(to, o->help);
        fputs(o->flags & OPTION_REPEATS ? " (may be repeated)\n" : "\n", to);
    }
}

static void
manual_command(FILE *to, const struct command *command)
{
    fputs(".SS \"cairn ", to);
    troff(to, command->name);
    fputs("\"\n\\fBcairn ", to);
    troff(to, command->name);
    fputs("\\fR ", to);
    troff(to, command->synopsis);
    fputs("\n.PP\n", to);
    char first = command->summary[0];
    fputc(first >= 'a' && first <= 'z' ? first - 32 : first, to);
    troff(to, command->summary + 1);
    fputs(".\n", to);
    if (*command->about) {
        fputs(".PP\n", to);
        troff(to, command->about);
        fputc('\n', to);
    }
    manual_options(to, command->options);
    if (command->flags & COMMAND_OWN_ARGS) {
        struct buf settings = {0};
        config_put_help(&settings);
        buf_put_char(&settings, '\0');
        fputs(".PP\nSettings, as flags, CAIRN_* variables, or in the file:\n.PP\n.nf\n", to);
        troff(to, settings.failed ? "" : settings.data);
        fputs(".fi\n", to);
        buf_free(&settings);
    }
    for (const struct example *e = command->examples; e && e->line && !strchr(command->name, ' '); e++) {
        fputs(".PP\n", to);
        troff(to, e->what);
        fputs(":\n.PP\n.RS 4\n.EX\n", to);
        troff(to, e->line);
        fputs("\n.EE\n.RE\n", to);
    }
}

void
manual_page(FILE *to)
{
    fprintf(to, ".\\\" Made by `cairn help --man` from the command table (cli/commands.c).\n"
                ".TH CAIRN 1 \"\" \"Cairn %s\" \"User Commands\"\n.SH NAME\ncairn \\- append to, read, follow and "
                "look after an event store\n.SH SYNOPSIS\n\\fBcairn\\fR \\fICOMMAND\\fR "
                "[\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n", cairn_version());
    troff(to, ABOUT);
    fputs("\n.SH OPTIONS OF EVERY COMMAND\n", to);
    manual_options(to, global_options);
    fputs(".SH COMMANDS\n", to);
    for (const struct command *c = commands; c->name; c++)
        manual_command(to, c);
    fputs(".SH EXIT STATUS\n", to);
    for (size_t i = 0; i < sizeof exit_texts / sizeof *exit_texts; i++)
        fprintf(to, ".TP\n\\fB%d\\fR\n%s\n", exit_texts[i].number, exit_texts[i].meaning);
    fputs(".SH ENVIRONMENT\n"
          ".TP\n\\fBCAIRN_URL\\fR\nServer to talk to where \\-\\-url is not given.\n"
          ".TP\n\\fBCAIRN_CACERT\\fR\nCertificate authority to trust where \\-\\-cacert is not given.\n"
          ".TP\n\\fBNO_COLOR\\fR\nNo colours.\n"
          ".SH OUTPUT\nResults go to standard output, remarks, progress and errors to standard error. An error "
          "is one line, \"cairn: what: detail\", and a line with a hint where there is one; with "
          "\\-\\-json it is one object with the members error, exit, what, detail and hint.\n"
          ".SH SEE ALSO\nThe wire is described in docs/http.md, the folder in docs/format.md.\n", to);
}

/* ---- commands --------------------------------------------------------------------------------------- */

int
run_help(const struct args *args)
{
    if (arg_flag(args, "man")) {
        manual_page(stdout);
        return EXIT_DONE;
    }
    if (args->operand_count == 0) {
        help_overview(stdout);
        fprintf(stdout, "\n%sExit codes%s\n", style_on(STYLE_BOLD), style_off());
        for (size_t i = 0; i < sizeof exit_texts / sizeof *exit_texts; i++)
            printf("  %3d  %s\n", exit_texts[i].number, exit_texts[i].meaning);
        return EXIT_DONE;
    }
    int took = 0;
    const struct command *command =
        command_find((char *const *)(uintptr_t)args->operands, (int)args->operand_count, &took);
    if (command && (size_t)took == args->operand_count) {
        help_command(stdout, command);
        return EXIT_DONE;
    }
    const char *nearest = command_nearest(args->operands[0]);
    char hint[96];
    snprintf(hint, sizeof hint, nearest ? "did you mean `cairn help %s`?" : "`cairn help` lists the commands", nearest);
    return fail(EXIT_USAGE, "help", hint, "no command \"%s%s%s\"", args->operands[0],
                args->operand_count > 1 ? " " : "", args->operand_count > 1 ? args->operands[1] : "");
}

int
run_version(const struct args *args __attribute__((unused)))
{
    if (out.json)
        printf("{\"version\":\"%s\"}\n", cairn_version());
    else
        printf("cairn %s\n", cairn_version());
    return EXIT_DONE;
}

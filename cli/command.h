/* cli/command.h: one table says what `cairn` can do.
 *
 * Parsing, help, completion and the manual page are all made from `commands`, so none of them can
 * know an option that the others do not. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "out.h"

struct args;

enum option_flags {
    OPTION_REPEATS = 1 << 0, /* may be given several times */
};

struct option {
    const char *name; /* without the dashes; NULL ends a list */
    char letter;      /* -x, or 0 */
    const char *value; /* what stands for the value in help; NULL: a switch */
    const char *help;
    const char *words; /* for completion: "forward backward", "@file", "@dir", "@stream" */
    unsigned flags;
};

struct example {
    const char *what;
    const char *line; /* works as typed */
};

enum command_flags {
    COMMAND_GROUP = 1 << 0,  /* a heading for its subcommands; what it runs, if anything, is the list */
    COMMAND_OWN_ARGS = 1 << 1, /* gets its arguments unparsed */
    COMMAND_NO_TARGET = 1 << 2, /* takes neither --url nor --data as a target */
};

struct command {
    const char *name;     /* "append", "import git" */
    const char *summary;  /* one line */
    const char *synopsis; /* after the name */
    const char *about;    /* paragraphs, "\n\n" between; "" allowed */
    const struct option *options;
    const struct example *examples; /* up to a NULL line */
    int (*run)(const struct args *args);
    unsigned operand_min, operand_max;
    unsigned flags;
};

extern const struct command commands[]; /* up to a NULL name */
extern const struct option global_options[];

/* Longest name that matches the words; *ret_words says how many of them it took. */
const struct command *command_find(char *const *words, int count, int *ret_words);
/* The commands' name nearest to what was typed, or NULL when none is near. */
const char *command_nearest(const char *typed);

/* ---- arguments --------------------------------------------------------------------------------- */

#define ARGS_MAX 512
struct args {
    const struct command *command;
    struct {
        const struct option *option;
        const char *text;
    } given[ARGS_MAX];
    size_t given_count;
    const char *operands[ARGS_MAX];
    size_t operand_count;
};

/* 0, or an exit code after having said what is wrong. `words` follow the command's name. */
int args_parse(const struct command *command, char *const *words, int count, struct args *ret);

bool arg_flag(const struct args *args, const char *name);
const char *arg_text(const struct args *args, const char *name); /* the last one given, or NULL */
/* All values of a repeatable option, as strings borrowed from the command line; *ret_count of them. */
size_t arg_all(const struct args *args, const char *name, cairn_str *to, size_t room);
/* 0, or EXIT_USAGE after having said what is wrong. `otherwise` where it was not given. */
int arg_u64(const struct args *args, const char *name, uint64_t otherwise, uint64_t *ret);
int arg_size(const struct args *args, const char *name, uint64_t otherwise, uint64_t *ret_bytes);
int arg_duration(const struct args *args, const char *name, uint64_t otherwise, uint64_t *ret_us);

/* Edit distance with swaps (Damerau–Levenshtein, restricted), for "did you mean". */
size_t edit_distance(const char *a, const char *b);

/* ---- made from the table -------------------------------------------------------------------------- */

void help_overview(FILE *to);
void help_command(FILE *to, const struct command *command);
void manual_page(FILE *to); /* troff, man(7) */
int completion_script(FILE *to, const char *shell);

#endif

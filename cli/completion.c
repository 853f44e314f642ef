/* Shell completion, out of the command table: bash, zsh, fish.
 *
 * Commands, subcommands, options and the words that an option takes; files and folders by the shell;
 * stream names by asking `cairn streams --json` of the default server, quietly. */
#include "command.h"
#include "run.h"

static bool
is_top(const struct command *command)
{
    return !strchr(command->name, ' ');
}

static const char *
last_word(const struct command *command)
{
    const char *space = strchr(command->name, ' ');
    return space ? space + 1 : command->name;
}

static bool
is_sub_of(const struct command *child, const struct command *group)
{
    size_t size = strlen(group->name);
    return strncmp(child->name, group->name, size) == 0 && child->name[size] == ' ';
}

static bool
takes_file(const struct command *c)
{
    return strncmp(c->name, "import", 6) == 0 || strcmp(c->name, "backup") == 0 ||
           strcmp(c->name, "restore") == 0 || strcmp(c->name, "branch") == 0 || strcmp(c->name, "check") == 0 ||
           strcmp(c->name, "deploy") == 0 || strcmp(c->name, "migrate") == 0;
}

/* ---- bash --------------------------------------------------------------------------------------- */

static void
bash_options(FILE *to, const struct option *options)
{
    for (const struct option *o = options; o && o->name; o++)
        fprintf(to, " --%s", o->name);
}

/* case "<command> <option>": what completes its value */
static void
bash_values(FILE *to, const char *command, const struct option *options)
{
    for (const struct option *o = options; o && o->name; o++) {
        if (!o->value)
            continue;
        fprintf(to, "        '%s --%s'", command, o->name);
        if (o->letter)
            fprintf(to, "|'%s -%c'", command, o->letter);
        if (!o->words)
            fprintf(to, ") return 0 ;;\n");
        else if (strcmp(o->words, "@dir") == 0)
            fprintf(to, ") COMPREPLY=($(compgen -d -- \"$cur\")); return 0 ;;\n");
        else if (strcmp(o->words, "@file") == 0)
            fprintf(to, ") COMPREPLY=($(compgen -f -- \"$cur\")); return 0 ;;\n");
        else if (strcmp(o->words, "@stream") == 0)
            fprintf(to, ") COMPREPLY=($(compgen -W \"$(_cairn_streams \"$cur\")\" -- \"$cur\")); return 0 ;;\n");
        else
            fprintf(to, ") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return 0 ;;\n", o->words);
    }
}

static bool
takes_stream(const struct command *c)
{
    return strncmp(c->synopsis, "STREAM", 6) == 0 || strncmp(c->synopsis, "[STREAM", 7) == 0;
}

static void
bash(FILE *to)
{
    fputs("# bash completion for cairn; made by `cairn completion bash`\n"
          "_cairn_streams() {\n"
          "    cairn streams --quiet --json --limit 50 ${1:+--prefix \"$1\"} 2>/dev/null |\n"
          "        sed -n 's/^{\"stream\":\"\\([^\"\\\\]*\\)\".*/\\1/p'\n"
          "}\n"
          "_cairn() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= word i\n"
          "    COMPREPLY=()\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        word=${COMP_WORDS[i]}\n"
          "        case \"$cmd $word\" in\n"
          "        *' -'*) ;;\n", to);
    for (const struct command *c = commands; c->name; c++)
        fprintf(to, "        '%s%s') cmd='%s' ;;\n", is_top(c) ? " " : "", c->name, c->name);
    fputs("        esac\n    done\n    case \"$cmd $prev\" in\n", to);
    for (const struct command *c = commands; c->name; c++)
        bash_values(to, c->name, c->options);
    fputs("    esac\n    case \"$prev\" in\n", to);
    fputs("        --data|-d) COMPREPLY=($(compgen -d -- \"$cur\")); return 0 ;;\n"
          "        --cacert) COMPREPLY=($(compgen -f -- \"$cur\")); return 0 ;;\n"
          "        --color) COMPREPLY=($(compgen -W 'auto always never' -- \"$cur\")); return 0 ;;\n"
          "    esac\n    local options='", to);
    bash_options(to, global_options);
    fputs("' words= streams=\n    case \"$cmd\" in\n    '') words='", to);
    for (const struct command *c = commands; c->name; c++)
        if (is_top(c))
            fprintf(to, "%s ", c->name);
    fputs("' ;;\n", to);
    for (const struct command *c = commands; c->name; c++) {
        fprintf(to, "    '%s') options+='", c->name);
        bash_options(to, c->options);
        fputs("'", to);
        if (c->flags & COMMAND_GROUP || strcmp(c->name, "help") == 0) {
            fputs("; words='", to);
            for (const struct command *s = commands; s->name; s++)
                if (strcmp(c->name, "help") == 0 ? is_top(s) : is_sub_of(s, c))
                    fprintf(to, "%s ", last_word(s));
            fputs("'", to);
        } else if (strcmp(c->name, "completion") == 0) {
            fputs("; words='bash zsh fish'", to);
        } else if (strcmp(c->name, "bench") == 0) {
            fputs("; words='append read stream follow'", to);
        } else if (takes_stream(c)) {
            fputs("; streams=1", to);
        }
        if (takes_file(c) && !(c->flags & COMMAND_GROUP))
            fputs("; [[ $cur == -* ]] || { COMPREPLY=($(compgen -f -- \"$cur\")); return 0; }", to);
        fputs(" ;;\n", to);
    }
    fputs("    esac\n"
          "    if [[ $cur == -* ]]; then words=$options\n"
          "    elif [[ -n $streams ]]; then words=$(_cairn_streams \"$cur\"); fi\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "}\n"
          "complete -o filenames -F _cairn cairn\n", to);
}

/* ---- zsh ------------------------------------------------------------------------------------------- */

/* Text inside a single-quoted _arguments spec. */
static void
zsh_text(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", to);
        else if (strchr("[]:\\", *text))
            fprintf(to, "\\%c", *text);
        else
            fputc(*text, to);
    }
}

static void
zsh_options(FILE *to, const struct option *options)
{
    for (const struct option *o = options; o && o->name; o++) {
        for (int pass = 0; pass < (o->letter ? 2 : 1); pass++) {
            fputs("            '", to);
            if (o->flags & OPTION_REPEATS)
                fputc('*', to);
            if (pass == 0)
                fprintf(to, "--%s[", o->name);
            else
                fprintf(to, "-%c[", o->letter);
            zsh_text(to, o->help);
            fputc(']', to);
            if (o->value) {
                fputc(':', to);
                zsh_text(to, o->value);
                if (!o->words)
                    fputs(": ", to);
                else if (strcmp(o->words, "@dir") == 0)
                    fputs(":_files -/", to);
                else if (strcmp(o->words, "@file") == 0)
                    fputs(":_files", to);
                else if (strcmp(o->words, "@stream") == 0)
                    fputs(":_cairn_streams", to);
                else
                    fprintf(to, ":(%s)", o->words);
            }
            fputs("' \\\n", to);
        }
    }
}

static void
zsh(FILE *to)
{
    fputs("#compdef cairn\n# zsh completion for cairn; made by `cairn completion zsh`\n"
          "_cairn_streams() {\n"
          "    local -a names\n"
          "    names=(${(f)\"$(cairn streams --quiet --json --limit 50 ${PREFIX:+--prefix \"$PREFIX\"} 2>/dev/null |\n"
          "        sed -n 's/^{\"stream\":\"\\([^\"\\\\]*\\)\".*/\\1/p')\"})\n"
          "    compadd -a names\n"
          "}\n"
          "_cairn() {\n"
          "    local cmd=${words[2]}\n"
          "    local -a list\n"
          "    if ((CURRENT == 2)); then\n        list=(\n", to);
    for (const struct command *c = commands; c->name; c++)
        if (is_top(c)) {
            fprintf(to, "            '%s:", c->name);
            zsh_text(to, c->summary);
            fputs("'\n", to);
        }
    fputs("        )\n        _describe command list\n        return\n    fi\n    case $cmd in\n", to);
    for (const struct command *c = commands; c->name; c++) {
        if (!is_top(c) || !(c->flags & COMMAND_GROUP))
            continue;
        fprintf(to, "    %s)\n        if ((CURRENT == 3)); then\n            list=(\n", c->name);
        for (const struct command *s = commands; s->name; s++)
            if (is_sub_of(s, c)) {
                fprintf(to, "                '%s:", last_word(s));
                zsh_text(to, s->summary);
                fputs("'\n", to);
            }
        fputs("            )\n            _describe command list\n            return\n        fi\n"
              "        cmd=\"$cmd ${words[3]}\" ;;\n", to);
    }
    fputs("    esac\n    case $cmd in\n", to);
    for (const struct command *c = commands; c->name; c++) {
        fprintf(to, "    '%s')\n        _arguments \\\n", c->name);
        zsh_options(to, c->options);
        zsh_options(to, global_options);
        fprintf(to, "            '*:: :%s' ;;\n",
                takes_file(c) ? "_files" : takes_stream(c) ? "_cairn_streams"
                : strcmp(c->name, "completion") == 0 ? "(bash zsh fish)" : " ");
    }
    fputs("    esac\n}\n_cairn \"$@\"\n", to);
}

/* ---- fish ------------------------------------------------------------------------------------------ */

static void
fish_text(FILE *to, const char *text)
{
    fputc('\'', to);
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', to);
        fputc(*text, to);
    }
    fputc('\'', to);
}

static void
fish_options(FILE *to, const char *condition, const struct option *options)
{
    for (const struct option *o = options; o && o->name; o++) {
        fprintf(to, "complete -c cairn%s -l %s", condition, o->name);
        if (o->letter)
            fprintf(to, " -s %c", o->letter);
        if (o->value && o->words && strcmp(o->words, "@dir") == 0)
            fputs(" -x -a '(__fish_complete_directories)'", to);
        else if (o->value && o->words && strcmp(o->words, "@file") == 0)
            fputs(" -r -F", to);
        else if (o->value && o->words && strcmp(o->words, "@stream") == 0)
            fputs(" -x -a '(__cairn_streams)'", to);
        else if (o->value && o->words)
            fprintf(to, " -x -a '%s'", o->words);
        else if (o->value)
            fputs(" -x", to);
        fputs(" -d ", to);
        fish_text(to, o->help);
        fputc('\n', to);
    }
}

static void
fish(FILE *to)
{
    fputs("# fish completion for cairn; made by `cairn completion fish`\n"
          "function __cairn_streams\n"
          "    cairn streams --quiet --json --limit 50 --prefix (commandline -ct) 2>/dev/null |\n"
          "        string match -rg '^{\"stream\":\"([^\"\\\\\\\\]*)\"'\n"
          "end\n"
          "function __cairn_is\n"
          "    set -l words (commandline -opc)\n"
          "    set -l want (string split ' ' -- $argv[1])\n"
          "    test \"$words[2..(math 1 + (count $want))]\" = \"$argv[1]\"\n"
          "end\n"
          "complete -c cairn -f\n", to);
    for (const struct command *c = commands; c->name; c++) {
        char condition[128];
        if (is_top(c))
            snprintf(condition, sizeof condition, " -n 'test (count (commandline -opc)) -eq 1'");
        else
            snprintf(condition, sizeof condition,
                     " -n 'test (count (commandline -opc)) -eq 2; and __cairn_is %.*s'",
                     (int)strcspn(c->name, " "), c->name);
        fprintf(to, "complete -c cairn%s -a %s -d ", condition, last_word(c));
        fish_text(to, c->summary);
        fputc('\n', to);
        snprintf(condition, sizeof condition, " -n '__cairn_is \"%s\"'", c->name);
        fish_options(to, condition, c->options);
        if (takes_file(c) && !(c->flags & COMMAND_GROUP))
            fprintf(to, "complete -c cairn%s -F\n", condition);
        if (takes_stream(c))
            fprintf(to, "complete -c cairn%s -a '(__cairn_streams)'\n", condition);
    }
    fish_options(to, "", global_options);
    fputs("complete -c cairn -n '__cairn_is completion' -a 'bash zsh fish'\n", to);
}

int
completion_script(FILE *to, const char *shell)
{
    static const struct {
        const char *shell;
        void (*print)(FILE *to);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (strcmp(shells[i].shell, shell) == 0) {
            shells[i].print(to);
            return EXIT_DONE;
        }
    return fail(EXIT_USAGE, "completion", "bash, zsh or fish", "no completion for \"%s\"", shell);
}

int
run_completion(const struct args *args)
{
    return completion_script(stdout, args->operands[0]);
}

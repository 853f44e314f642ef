/* bench.c: `make bench`: the options, the parts in turn, the table. run.sh starts the peers' servers and
 * calls this; see README.md. */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char USAGE[]
    = "usage: bench --dir DIR [--quick] [--part NAME,…] [--rounds N] [--seconds S] [--server "
      "CAIRN] [--apps DIR] [--json FILE]\n"
      "\n"
      "  --dir DIR     an empty folder on the disk to be measured\n"
      "  --quick       a minute or two: shorter measurements, a log of 2M events instead of 20M\n"
      "  --part NAME   append (points 1–3), log (4–6), http (7), commands (8), apps (8, 10),\n"
      "                projections (9), kafka (11–13), ceilings; all of them by default\n"
      "  --rounds N    how often everything is measured, in turn\n"
      "  --seconds S   how long each measurement takes\n"
      "  --server F    the cairn program, for what goes over HTTP\n"
      "  --apps DIR    the apps that it is given (bench/app)\n"
      "  --json FILE   keep every figure of every round there\n";

bool
part_wanted(const struct settings *settings, const char *part)
{
    if (strcmp(settings->parts, "all") == 0)
        return true;
    size_t size = strlen(part);
    for (const char *at = settings->parts; (at = strstr(at, part)) != NULL; at += size)
        if ((at == settings->parts || at[-1] == ',') && (at[size] == ',' || at[size] == '\0'))
            return true;
    return false;
}

void
progress(const char *format, ...)
{
    static uint64_t begin;
    va_list arguments;
    begin = begin != 0 ? begin : now_ns();
    va_start(arguments, format);
    fprintf(stderr, "bench: %4.0f s  ", (double)(now_ns() - begin) / 1e9);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static bool
parts_known(const char *parts)
{
    static const char *const known[] = {"all",  "append",      "log", "http", "commands",
                                         "apps", "projections", "kafka", "ceilings"};
    char copy[128];
    snprintf(copy, sizeof copy, "%s", parts);
    for (char *part = strtok(copy, ","); part != NULL; part = strtok(NULL, ",")) {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            found |= strcmp(part, known[i]) == 0;
        if (!found)
            return false;
    }
    return true;
}

static bool
read_options(int count, char **arguments, struct settings *settings)
{
    static const struct option options[]
        = {{"quick", no_argument, NULL, 'q'},         {"part", required_argument, NULL, 'p'},
           {"dir", required_argument, NULL, 'd'},     {"server", required_argument, NULL, 's'},
           {"apps", required_argument, NULL, 'a'},
           {"json", required_argument, NULL, 'j'},    {"rounds", required_argument, NULL, 'r'},
           {"seconds", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        switch (option) {
        case 'q':
            settings->quick = true;
            break;
        case 'p':
            settings->parts = optarg;
            break;
        case 'd':
            settings->dir = optarg;
            break;
        case 's':
            settings->server = optarg;
            break;
        case 'a':
            settings->apps = optarg;
            break;
        case 'j':
            settings->json = optarg;
            break;
        case 'r':
            settings->rounds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 't':
            settings->slice_s = strtod(optarg, NULL);
            break;
        default:
            return false;
        }
    }
    if (settings->rounds == 0)
        settings->rounds = settings->quick ? 3 : 7;
    if (settings->slice_s <= 0)
        settings->slice_s = settings->quick ? 0.4 : 1;
    settings->log_small = settings->quick ? 100000 : 1000000;
    settings->log_stream = settings->quick ? 1000000 : 10000000;
    settings->log_large = settings->quick ? 2000000 : 20000000;
    settings->followers = 15000;
    return settings->dir != NULL && optind == count && settings->rounds <= ROUNDS_MAX
           && parts_known(settings->parts);
}

static void
write_json(const struct settings *settings)
{
    FILE *file = settings->json != NULL ? fopen(settings->json, "we") : NULL;
    if (file == NULL) {
        if (settings->json != NULL)
            failure("cannot write %s: %s", settings->json, strerror(errno));
        return;
    }
    fputs("{\n", file);
    machine_write_json(file, settings);
    table_write_json(file);
    figures_write_json(file);
    fputs("\n}\n", file);
    if (fclose(file) != 0)
        failure("cannot write %s: %s", settings->json, strerror(errno));
}

int
main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(const struct settings *settings);
    } parts[] = {{"ceilings", part_ceilings},
                 {"append", part_append},
                 {"http", part_http},
                 {"commands", part_commands},
                 {"apps", part_apps},
                 {"projections", part_projections},
                 {"kafka", part_kafka},
                 {"log", part_log}};
    struct settings settings = {.parts = "all", .apps = "bench/app"};

    if (count > 1 && strcmp(arguments[1], "--child") == 0)
        return child_main(count - 2, arguments + 2);
    if (!read_options(count, arguments, &settings)) {
        fputs(USAGE, stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    settings.descriptors = descriptors_raise();
    machine_begin();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!part_wanted(&settings, parts[i].name))
            continue;
        progress("%s", parts[i].name);
        parts[i].run(&settings);
    }
    table_print(stdout, &settings);
    write_json(&settings);
    return failures_count() > 0;
}

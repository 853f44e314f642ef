/* Which target a command line means. See target.h. */
#include "target.h"

#include <base/text.h>
#include <stdlib.h>

#include "command.h"

/* An option of every command, not one of the command's own of the same name. */
static const char *
global_text(const struct args *args, const char *name)
{
    const char *text = NULL;
    for (const struct option *o = global_options; o->name; o++)
        for (size_t i = 0; i < args->given_count && strcmp(o->name, name) == 0; i++)
            if (args->given[i].option == o)
                text = args->given[i].text;
    return text;
}

bool
target_is_folder(const struct args *args)
{
    return global_text(args, "data") != NULL;
}

int
target_open(const struct args *args, enum target_access access, struct target **ret)
{
    const char *folder = global_text(args, "data");
    cairn_error error = {0};
    cairn_err err;
    if (folder) {
        err = local_open(folder, access, ret, &error);
        if (err == CAIRN_E_NOTFOUND)
            return fail_hint(args->command->name, &error,
                             "a folder becomes a store when something is appended to it, or when `cairn serve` is "
                             "run on it");
        if (err == CAIRN_E_LOCKED)
            return fail_hint(args->command->name, &error, "work through its server (--url), or stop that process");
    } else {
        struct wire_options options = {.url = global_text(args, "url"),
                                       .cacert = global_text(args, "cacert"),
                                       .insecure = global_text(args, "insecure") != NULL,
                                       .http2 = global_text(args, "http2") != NULL,
                                       .verbose = out.verbose};
        const char *url = getenv("CAIRN_URL");
        if (!options.url)
            options.url = url && *url ? url : "http://127.0.0.1:7480";
        if (!options.cacert)
            options.cacert = getenv("CAIRN_CACERT");
        err = wire_open(&options, ret, &error);
    }
    return err == CAIRN_OK ? 0 : fail_error(args->command->name, &error);
}

bool
parse_expected(cairn_str text, int64_t *ret)
{
    static const struct {
        const char *word;
        int64_t value;
    } words[] = {{"any", CAIRN_ANY}, {"none", CAIRN_NONE}, {"exists", CAIRN_EXISTS}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (cairn_str_equal(text, cairn_cstr(words[i].word))) {
            *ret = words[i].value;
            return true;
        }
    uint64_t revision;
    if (!parse_u64(text, &revision) || revision >= INT64_MAX)
        return false;
    *ret = (int64_t)revision;
    return true;
}

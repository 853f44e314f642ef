/* Deciders in C: those built into the program, and shared objects that the server's owner has put into one folder. An app
 * only names them: what is deployed over the wire can never bring machine code along. */
#include <app/apps_int.h>

#include <base/error.h>

#include <dlfcn.h>
#include <stdio.h>

#define PATH_SIZE 4096

/* A plain file name: what an app says never leaves the folder. */
static bool
name_is_plain(cairn_str name)
{
    if (name.size == 0 || name.size > 128 || name.data[0] == '.')
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] == '/' || (unsigned char)name.data[i] < 0x20)
            return false;
    return true;
}

static cairn_err
check_module(const cairn_decider *decider, cairn_str name, cairn_error *error)
{
    if (decider == NULL || decider->abi != CAIRN_DECIDER_ABI)
        return error_set(error, CAIRN_E_VERSION, "the decider '%.*s' was built for interface %u; this program has %d",
                         (int)name.size, name.data, decider != NULL ? decider->abi : 0, CAIRN_DECIDER_ABI);
    if (decider->state_new == NULL || decider->state_free == NULL || decider->evolve == NULL || decider->decide == NULL
        || (decider->save == NULL) != (decider->load == NULL) || (decider->open == NULL) != (decider->close == NULL))
        return error_set(error, CAIRN_E_INVALID, "the decider '%.*s' lacks a function (cairn/app.h, cairn_decider)",
                         (int)name.size, name.data);
    return CAIRN_OK;
}

static cairn_err
load_module(const char *folder, cairn_str name, const cairn_decider **ret, cairn_error *error)
{
    char path[PATH_SIZE];
    int size = snprintf(path, sizeof path, "%s/%.*s.so", folder, (int)name.size, name.data);
    if (size < 0 || (size_t)size >= sizeof path)
        return error_set(error, CAIRN_E_LIMIT, "the path of the decider '%.*s' is too long", (int)name.size, name.data);
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL)
        return error_set(error, CAIRN_E_NOTFOUND, "no decider '%.*s': %s", (int)name.size, name.data, dlerror());
    const cairn_decider *(*module)(void);
    *(void **)&module = dlsym(object, CAIRN_DECIDER_SYMBOL);
    if (module == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s does not export %s()", path, CAIRN_DECIDER_SYMBOL);
    const cairn_decider *decider = module();
    cairn_err err = check_module(decider, name, error);
    if (err == CAIRN_OK)
        *ret = decider;
    return err;
}

cairn_err
native_find(const cairn_apps_options *options, cairn_str name, const cairn_decider **ret, cairn_error *error)
{
    for (size_t i = 0; i < options->native_count; i++)
        if (cairn_str_equal(cairn_cstr(options->natives[i]->name), name)) {
            cairn_err err = check_module(options->natives[i], name, error);
            if (err == CAIRN_OK)
                *ret = options->natives[i];
            return err;
        }
    if (options->native_folder == NULL)
        return error_set(error, CAIRN_E_NOTFOUND, "no decider '%.*s' is built in, and no folder of modules was configured",
                         (int)name.size, name.data);
    if (!name_is_plain(name))
        return error_set(error, CAIRN_E_INVALID, "'%.*s' is not the name of a module", (int)name.size, name.data);
    return load_module(options->native_folder, name, ret, error);
}

/* cairn_app_check(): everything that a deployment would refuse, without a store. */
#include <app/manifest.h>

cairn_err
cairn_app_check(const cairn_app_file *files, size_t count, cairn_app_fault_visit visit, void *context, cairn_error *error)
{
    struct app_manifest *manifest = NULL;
    cairn_err err = app_manifest_read(files, count, visit, context, &manifest, error);
    if (err == CAIRN_OK)
        app_manifest_free(manifest);
    return err;
}

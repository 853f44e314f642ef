/* The public calls of cairn/admin.h: check the arguments, dispatch to the backend. */
#include <base/error.h>

#include "group.h"
#include "snapshot.h"
#include "store.h"

static cairn_err
check_store(const cairn_store *store, const void *needed, const char *name, cairn_error *error)
{
    if (store == NULL)
        return error_set(error, CAIRN_E_INVALID, "no store given");
    if (needed == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s is NULL", name);
    return CAIRN_OK;
}

void
cairn_stats_get(cairn_store *store, cairn_stats *ret_stats)
{
    if (store == NULL || ret_stats == NULL)
        return;
    store->ops->stats(store, ret_stats);
    ret_stats->memory_bytes += snapshots_memory(store->snapshots) + groups_memory(store->groups);
}

cairn_err
cairn_verify(cairn_store *store, cairn_fault_visit visit, cairn_progress progress, void *context,
             cairn_verify_report *ret_report, cairn_error *error)
{
    cairn_err err = check_store(store, ret_report, "ret_report", error);
    return err == CAIRN_OK
               ? store->ops->verify(store, visit, progress, context, ret_report, error)
               : err;
}

cairn_err
cairn_prove(cairn_store *store, uint64_t position, char **ret_proof, cairn_error *error)
{
    cairn_err err = check_store(store, ret_proof, "ret_proof", error);
    return err == CAIRN_OK ? store->ops->prove(store, position, ret_proof, error) : err;
}

cairn_err
cairn_backup(cairn_store *store, const char *folder, cairn_progress progress, void *context,
             uint64_t *ret_end, cairn_error *error)
{
    cairn_err err = check_store(store, folder, "folder", error);
    uint64_t end = 0;
    if (err == CAIRN_OK)
        err = store->ops->backup(store, folder, progress, context, &end, error);
    if (err == CAIRN_OK && ret_end != NULL)
        *ret_end = end;
    return err;
}

cairn_err
cairn_branch(cairn_store *store, const char *folder, uint64_t end, cairn_error *error)
{
    cairn_err err = check_store(store, folder, "folder", error);
    return err == CAIRN_OK ? store->ops->branch(store, folder, end, error) : err;
}

cairn_err
cairn_scavenge(cairn_store *store, cairn_progress progress, void *context,
               cairn_scavenge_report *ret_report, cairn_error *error)
{
    cairn_err err = check_store(store, ret_report, "ret_report", error);
    return err == CAIRN_OK ? store->ops->scavenge(store, progress, context, ret_report, error)
                           : err;
}

cairn_err
cairn_reindex(cairn_store *store, cairn_progress progress, void *context, cairn_error *error)
{
    cairn_err err = check_store(store, store, "store", error);
    return err == CAIRN_OK ? store->ops->reindex(store, progress, context, error) : err;
}

cairn_err
cairn_maintain(cairn_store *store, cairn_error *error)
{
    cairn_err err = check_store(store, store, "store", error);
    if (err == CAIRN_OK)
        groups_checkpoint_due(store->groups);
    return err == CAIRN_OK ? store->ops->maintain(store, error) : err;
}

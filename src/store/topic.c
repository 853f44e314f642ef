/* The public calls of cairn/topic.h: check the arguments, dispatch to the backend, as store.c does. */
#include "store.h"

#include <base/error.h>

static cairn_err
check(const cairn_store *store, const void *argument, const char *name, cairn_error *error)
{
    if (store == NULL)
        return error_set(error, CAIRN_E_INVALID, "no store given");
    return argument == NULL ? error_set(error, CAIRN_E_INVALID, "%s is NULL", name) : CAIRN_OK;
}

cairn_err
cairn_topic_put(cairn_store *store, cairn_scope scope, const cairn_topic *topic, int64_t expected,
                cairn_topic_ref **ret, cairn_error *error)
{
    cairn_err err = check(store, topic, "topic", error);
    return err == CAIRN_OK ? store->ops->topic_put(store, scope, topic, expected, ret, error) : err;
}

cairn_err
cairn_topic_delete(cairn_store *store, cairn_scope scope, cairn_str name, int64_t expected, cairn_error *error)
{
    cairn_err err = check(store, "", "", error);
    return err == CAIRN_OK ? store->ops->topic_delete(store, scope, name, expected, error) : err;
}

cairn_err
cairn_topic_get(cairn_store *store, cairn_scope scope, cairn_str name, cairn_topic_ref **ret, cairn_error *error)
{
    cairn_err err = check(store, ret, "ret", error);
    return err == CAIRN_OK ? store->ops->topic_get(store, scope, name, ret, error) : err;
}

cairn_err
cairn_topic_by_id(cairn_store *store, cairn_scope scope, const cairn_uuid *id, cairn_topic_ref **ret, cairn_error *error)
{
    cairn_err err = check(store, ret, "ret", error);
    if (err == CAIRN_OK)
        err = check(store, id, "id", error);
    return err == CAIRN_OK ? store->ops->topic_by_id(store, scope, id, ret, error) : err;
}

cairn_err
cairn_topics(cairn_store *store, cairn_scope scope, cairn_topic_visit visit, void *context, cairn_error *error)
{
    if (store == NULL)
        return check(store, NULL, "", error);
    return visit ? store->ops->topics(store, scope, visit, context, error)
                 : error_set(error, CAIRN_E_INVALID, "visit is NULL");
}

uint64_t
cairn_topics_changes(cairn_store *store)
{
    return store ? store->ops->topics_changes(store) : 0;
}

cairn_err
cairn_partition_get(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition,
                    cairn_partition_info *ret, cairn_error *error)
{
    cairn_err err = check(store, ret, "ret", error);
    if (err == CAIRN_OK)
        err = check(store, topic_id, "topic_id", error);
    return err == CAIRN_OK ? store->ops->partition_get(store, scope, topic_id, partition, ret, error) : err;
}

cairn_err
cairn_read_partition(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition, uint64_t from,
                     cairn_partition_reader **ret, cairn_error *error)
{
    cairn_err err = check(store, ret, "ret", error);
    if (err == CAIRN_OK)
        err = check(store, topic_id, "topic_id", error);
    cairn_partition_reader *reader;
    if (err == CAIRN_OK)
        err = store->ops->read_partition(store, scope, topic_id, partition, from, &reader, error);
    if (err != CAIRN_OK)
        return err;
    reader->store = store;
    *ret = reader;
    return CAIRN_OK;
}

cairn_err
cairn_partition_seek(cairn_partition_reader *reader, const cairn_uuid *topic_id, uint32_t partition, uint64_t from,
                     cairn_error *error)
{
    if (reader == NULL || topic_id == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s is NULL", reader ? "topic_id" : "reader");
    return reader->store->ops->partition_seek(reader, topic_id, partition, from, error);
}

cairn_err
cairn_partition_next(cairn_partition_reader *reader, cairn_partition_item *ret, cairn_error *error)
{
    if (reader == NULL || ret == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s is NULL", reader ? "ret" : "reader");
    return reader->store->ops->partition_next(reader, ret, error);
}

cairn_err
store_partition_find(cairn_partition_reader *reader, size_t least, cairn_partition_item *ret, int *ret_file, uint64_t *ret_at,
                     cairn_error *error)
{
    const struct store_ops *ops = reader->store->ops;
    if (least > 0 && ops->partition_find != NULL)
        return ops->partition_find(reader, least, ret, ret_file, ret_at, error);
    *ret_file = -1;
    return ops->partition_next(reader, ret, error);
}

void
cairn_partition_reader_free(cairn_partition_reader *reader)
{
    if (reader != NULL)
        reader->store->ops->partition_reader_free(reader);
}

cairn_err
cairn_producer_batches(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition,
                       int64_t producer_id, cairn_producer_batch *batches, size_t max, size_t *ret_count,
                       cairn_error *error)
{
    cairn_err err = check(store, topic_id, "topic_id", error);
    if (err == CAIRN_OK)
        err = check(store, ret_count, "ret_count", error);
    if (err == CAIRN_OK && max > 0)
        err = check(store, batches, "batches", error);
    return err == CAIRN_OK ? store->ops->producer_batches(store, scope, topic_id, partition, producer_id, batches, max,
                                                          ret_count, error)
                           : err;
}

/* The embedded backend: the store's contract over a log in a folder (log/log.h).
 *
 * Almost everything is the log's own call; here the options are mapped, and readers learn to wait. */
#include <base/error.h>
#include <log/log.h>
#include <stdlib.h>

#include "store.h"

struct embedded {
    cairn_store store; /* first: the contract's part */
    struct log *log;
};

struct embedded_reader {
    cairn_reader reader; /* first */
    struct log_reader *log_reader;
    uint64_t seen_end; /* following: everything below was looked at when next said "no more" */
};

static struct log *
log_of(cairn_store *store)
{
    return ((struct embedded *)store)->log;
}

static void
embedded_close(cairn_store *store)
{
    cairn_log_close(log_of(store));
    free(store);
}

static cairn_err
embedded_append(cairn_store *store, const cairn_append_request *request, cairn_at *ret_at,
                cairn_error *error)
{
    return cairn_log_append(log_of(store), request, ret_at, error);
}

static cairn_err
embedded_append_async(cairn_store *store, const cairn_append_request *request,
                      cairn_append_done done, void *context, cairn_error *error)
{
    return cairn_log_append_async(log_of(store), request, done, context, error);
}

/* ---- readers ------------------------------------------------------------------------------ */

static cairn_err
open_reader(cairn_store *store, const cairn_str *stream, const cairn_read_options *options,
            cairn_reader **ret_reader, cairn_error *error)
{
    struct embedded_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    struct log *log = log_of(store);
    cairn_err err = stream ? cairn_log_read_stream(log, *stream, options, &reader->log_reader, error)
                           : cairn_log_read_all(log, options, &reader->log_reader, error);
    if (err != CAIRN_OK) {
        free(reader);
        return err;
    }
    *ret_reader = &reader->reader;
    return CAIRN_OK;
}

static cairn_err
embedded_read_stream(cairn_store *store, cairn_str stream, const cairn_read_options *options,
                     cairn_reader **ret_reader, cairn_error *error)
{
    return open_reader(store, &stream, options, ret_reader, error);
}

static cairn_err
embedded_read_all(cairn_store *store, const cairn_read_options *options, cairn_reader **ret_reader,
                  cairn_error *error)
{
    return open_reader(store, NULL, options, ret_reader, error);
}

/* A follower that finds nothing looks once more after noting the end, so that the end it waits
 * beyond is one that it has really looked up to: no commit can slip in between. */
static cairn_err
embedded_reader_next(cairn_reader *base, cairn_recorded *ret_event, cairn_error *error)
{
    struct embedded_reader *reader = (struct embedded_reader *)base;
    cairn_err err = cairn_log_reader_next(reader->log_reader, ret_event, error);
    if (err != CAIRN_E_END || !base->follow)
        return err;
    uint64_t end = cairn_log_end(log_of(base->store));
    if (end == reader->seen_end)
        return err;
    err = cairn_log_reader_next(reader->log_reader, ret_event, error);
    if (err == CAIRN_E_END)
        reader->seen_end = end;
    return err;
}

static int64_t
embedded_reader_from(const cairn_reader *base)
{
    return cairn_log_reader_from(((const struct embedded_reader *)base)->log_reader);
}

static cairn_err
embedded_reader_wait(cairn_reader *base, uint32_t timeout_ms)
{
    struct embedded_reader *reader = (struct embedded_reader *)base;
    if (base->end != 0 && reader->seen_end >= base->end)
        return CAIRN_E_END;
    return cairn_log_wait(log_of(base->store), reader->seen_end, timeout_ms);
}

static void
embedded_reader_free(cairn_reader *base)
{
    cairn_log_reader_free(((struct embedded_reader *)base)->log_reader);
    free(base);
}

static uint64_t
embedded_end(cairn_store *store)
{
    return cairn_log_end(log_of(store));
}

static void
embedded_on_commit(cairn_store *store, cairn_commit_notify notify, void *context)
{
    cairn_log_on_commit(log_of(store), notify, context);
}

static cairn_err
embedded_position_at(cairn_store *store, int64_t time_us, uint64_t *ret_position,
                     cairn_error *error)
{
    return cairn_log_position_at(log_of(store), time_us, ret_position, error);
}

/* ---- streams ------------------------------------------------------------------------------ */

static cairn_err
embedded_stream_info(cairn_store *store, cairn_scope scope, cairn_str stream,
                     cairn_stream_info *ret_info, cairn_error *error)
{
    return cairn_log_stream_info(log_of(store), scope, stream, ret_info, error);
}

static cairn_err
embedded_streams(cairn_store *store, cairn_scope scope, cairn_str prefix, cairn_str after,
                 cairn_stream_visit visit, void *context, cairn_error *error)
{
    return cairn_log_streams(log_of(store), scope, prefix, after, visit, context, error);
}

static cairn_err
embedded_retention_set(cairn_store *store, cairn_scope scope, cairn_str stream,
                       const cairn_retention *retention, cairn_error *error)
{
    return cairn_log_retention_set(log_of(store), scope, stream, retention, error);
}

static cairn_err
embedded_delete(cairn_store *store, cairn_scope scope, cairn_str stream, int64_t expected,
                bool tombstone, cairn_error *error)
{
    return cairn_log_delete(log_of(store), scope, stream, expected, tombstone, error);
}

/* ---- topics ---------------------------------------------------------------------------------- */

struct embedded_partition_reader {
    cairn_partition_reader reader; /* first */
    struct partition_reader *log_reader;
};

static cairn_err
embedded_topic_put(cairn_store *store, cairn_scope scope, const cairn_topic *topic, int64_t expected,
                   cairn_topic_ref **ret, cairn_error *error)
{
    return cairn_log_topic_put(log_of(store), scope, topic, expected, ret, error);
}

static cairn_err
embedded_topic_delete(cairn_store *store, cairn_scope scope, cairn_str name, int64_t expected,
                      cairn_error *error)
{
    return cairn_log_topic_delete(log_of(store), scope, name, expected, error);
}

static cairn_err
embedded_topic_get(cairn_store *store, cairn_scope scope, cairn_str name, cairn_topic_ref **ret,
                   cairn_error *error)
{
    return cairn_log_topic_get(log_of(store), scope, name, ret, error);
}

static cairn_err
embedded_topic_by_id(cairn_store *store, cairn_scope scope, const cairn_uuid *id,
                     cairn_topic_ref **ret, cairn_error *error)
{
    return cairn_log_topic_by_id(log_of(store), scope, id, ret, error);
}

static cairn_err
embedded_topics(cairn_store *store, cairn_scope scope, cairn_topic_visit visit, void *context,
                cairn_error *error)
{
    return cairn_log_topics(log_of(store), scope, visit, context, error);
}

static uint64_t
embedded_topics_changes(cairn_store *store)
{
    return cairn_log_topics_changes(log_of(store));
}

static cairn_err
embedded_partition_get(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id,
                       uint32_t partition, cairn_partition_info *ret, cairn_error *error)
{
    return cairn_log_partition_get(log_of(store), scope, topic_id, partition, ret, error);
}

static cairn_err
embedded_read_partition(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id,
                        uint32_t partition, uint64_t from, cairn_partition_reader **ret,
                        cairn_error *error)
{
    struct embedded_partition_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    cairn_err err = cairn_log_read_partition(log_of(store), scope, topic_id, partition, from,
                                             &reader->log_reader, error);
    if (err != CAIRN_OK) {
        free(reader);
        return err;
    }
    *ret = &reader->reader;
    return CAIRN_OK;
}

static cairn_err
embedded_partition_seek(cairn_partition_reader *reader, const cairn_uuid *topic_id,
                        uint32_t partition, uint64_t from, cairn_error *error)
{
    return cairn_log_partition_seek(((struct embedded_partition_reader *)reader)->log_reader,
                                    topic_id, partition, from, error);
}

static cairn_err
embedded_partition_next(cairn_partition_reader *reader, cairn_partition_item *ret,
                        cairn_error *error)
{
    return cairn_log_partition_next(((struct embedded_partition_reader *)reader)->log_reader, ret,
                                    error);
}

static cairn_err
embedded_partition_find(cairn_partition_reader *reader, size_t least, cairn_partition_item *ret,
                        int *ret_file, uint64_t *ret_at, cairn_error *error)
{
    return cairn_log_partition_find(((struct embedded_partition_reader *)reader)->log_reader, least,
                                    ret, ret_file, ret_at, error);
}

static void
embedded_partition_reader_free(cairn_partition_reader *reader)
{
    cairn_log_partition_reader_free(((struct embedded_partition_reader *)reader)->log_reader);
    free(reader);
}

static cairn_err
embedded_producer_batches(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id,
                          uint32_t partition, int64_t producer_id, cairn_producer_batch *batches,
                          size_t max, size_t *ret_count, cairn_error *error)
{
    return cairn_log_producer_batches(log_of(store), scope, topic_id, partition, producer_id,
                                      batches, max, ret_count, error);
}

/* ---- looking after it --------------------------------------------------------------------- */

static bool
embedded_has_room(cairn_store *store)
{
    return cairn_log_has_room(log_of(store));
}

static void
embedded_stats(cairn_store *store, cairn_stats *ret_stats)
{
    cairn_log_stats(log_of(store), ret_stats);
}

static uint64_t
embedded_removed(cairn_store *store)
{
    return cairn_log_removed(log_of(store));
}

static cairn_err
embedded_verify(cairn_store *store, cairn_fault_visit visit, cairn_progress progress,
                void *context, cairn_verify_report *ret_report, cairn_error *error)
{
    return cairn_log_verify(log_of(store), visit, progress, context, ret_report, error);
}

static cairn_err
embedded_prove(cairn_store *store, uint64_t position, char **ret_proof, cairn_error *error)
{
    return cairn_log_prove(log_of(store), position, ret_proof, error);
}

static cairn_err
embedded_backup(cairn_store *store, const char *folder, cairn_progress progress, void *context,
                uint64_t *ret_end, cairn_error *error)
{
    return cairn_log_backup(log_of(store), folder, progress, context, ret_end, error);
}

static cairn_err
embedded_branch(cairn_store *store, const char *folder, uint64_t end, cairn_error *error)
{
    return cairn_log_branch(log_of(store), folder, end, error);
}

static cairn_err
embedded_scavenge(cairn_store *store, cairn_progress progress, void *context,
                  cairn_scavenge_report *ret_report, cairn_error *error)
{
    return cairn_log_scavenge(log_of(store), progress, context, ret_report, error);
}

static cairn_err
embedded_reindex(cairn_store *store, cairn_progress progress, void *context, cairn_error *error)
{
    return cairn_log_reindex(log_of(store), progress, context, error);
}

static cairn_err
embedded_maintain(cairn_store *store, cairn_error *error)
{
    return cairn_log_maintain(log_of(store), error);
}

static const struct store_ops embedded_ops = {
    .close = embedded_close,
    .append = embedded_append,
    .append_async = embedded_append_async,
    .read_stream = embedded_read_stream,
    .read_all = embedded_read_all,
    .reader_next = embedded_reader_next,
    .reader_from = embedded_reader_from,
    .reader_wait = embedded_reader_wait,
    .reader_free = embedded_reader_free,
    .end = embedded_end,
    .on_commit = embedded_on_commit,
    .position_at = embedded_position_at,
    .stream_info = embedded_stream_info,
    .streams = embedded_streams,
    .retention_set = embedded_retention_set,
    .delete = embedded_delete,
    .topic_put = embedded_topic_put,
    .topic_delete = embedded_topic_delete,
    .topic_get = embedded_topic_get,
    .topic_by_id = embedded_topic_by_id,
    .topics = embedded_topics,
    .topics_changes = embedded_topics_changes,
    .partition_get = embedded_partition_get,
    .read_partition = embedded_read_partition,
    .partition_seek = embedded_partition_seek,
    .partition_next = embedded_partition_next,
    .partition_find = embedded_partition_find,
    .partition_reader_free = embedded_partition_reader_free,
    .producer_batches = embedded_producer_batches,
    .has_room = embedded_has_room,
    .stats = embedded_stats,
    .removed = embedded_removed,
    .verify = embedded_verify,
    .prove = embedded_prove,
    .backup = embedded_backup,
    .branch = embedded_branch,
    .scavenge = embedded_scavenge,
    .reindex = embedded_reindex,
    .maintain = embedded_maintain,
};

cairn_err
cairn_embedded_open(struct os *os, const char *folder, const cairn_options *options,
                    cairn_store **ret_store, cairn_error *error)
{
    struct embedded *embedded = calloc(1, sizeof *embedded);
    if (embedded == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    struct log_options log_options;
    cairn_log_defaults(&log_options);
    log_options.read_only = options->read_only;
    log_options.create = options->create;
    log_options.no_background = options->no_background;
    log_options.segment_size_bytes = options->segment_size_bytes;
    log_options.event_size_max = options->event_size_max;
    log_options.append_size_max = options->append_size_max;
    log_options.append_events_max = options->append_events_max;
    log_options.appends_waiting_max = options->appends_waiting_max;
    log_options.index_memory_events = options->index_memory_events;
    log_options.scavenge_interval_us = options->scavenge_interval_us;
    cairn_err err = cairn_log_open(os, folder, &log_options, &embedded->log, error);
    if (err != CAIRN_OK) {
        free(embedded);
        return err;
    }
    embedded->store.ops = &embedded_ops;
    embedded->store.os = os;
    *ret_store = &embedded->store;
    return CAIRN_OK;
}

/* Restoring makes a folder out of a folder, so it is this backend's alone and needs no store. */
cairn_err
cairn_restore(const char *source, const char *folder, uint64_t end, cairn_progress progress,
              void *context, cairn_error *error)
{
    if (source == NULL || folder == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s is NULL", source ? "folder" : "source");
    return cairn_log_restore(os_real(), source, folder, end, progress, context, error);
}

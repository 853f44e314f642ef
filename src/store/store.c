/* The public calls of cairn/store.h: check the arguments, dispatch to the backend.
 *
 * Nothing is kept here: a store's state is its backend's, its snapshots' and its groups'. */
#include "store.h"

#include <base/error.h>
#include <stdio.h>
#include <stdlib.h>

#include "group.h"
#include "request.h"
#include "snapshot.h"

#define MIB (1024u * 1024)
#define SEGMENT_HEADS 4096u /* more than what stands around the records of an append in its segment */

static cairn_err
no_store(cairn_error *error)
{
    return error_set(error, CAIRN_E_INVALID, "no store given");
}

/* ---- opening ------------------------------------------------------------------------------ */

/* Defaults for zeros. What is out of bounds is the backend's to refuse. */
static cairn_options
fill_options(const cairn_options *given)
{
    cairn_options options = given ? *given : (cairn_options){0};
    if (options.segment_size_bytes == 0)
        options.segment_size_bytes = 256 * MIB;
    if (options.append_size_max == 0)
        options.append_size_max = 16 * MIB;
    if (options.event_size_max == 0) /* an event must fit an append */
        options.event_size_max = options.append_size_max < MIB ? options.append_size_max : MIB;
    if (options.append_events_max == 0)
        options.append_events_max = 4096;
    if (options.appends_waiting_max == 0)
        options.appends_waiting_max = 65536;
    if (options.index_memory_events == 0)
        options.index_memory_events = 1000000;
    if (options.snapshot_cache_bytes == 0)
        options.snapshot_cache_bytes = 64 * MIB;
    return options;
}

static bool
has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* "file:PATH" and "file:///PATH" are the folder at PATH, anything else without a scheme too. */
static cairn_err
folder_of(const char *location, const char **ret_folder, cairn_error *error)
{
    const char *folder = location;
    if (has_prefix(location, "postgresql://") || has_prefix(location, "postgres://"))
        return error_set(error, CAIRN_E_UNSUPPORTED,
                         "this build of Cairn keeps its events in a folder and cannot use a "
                         "PostgreSQL database: give a path instead of '%.40s'",
                         location);
    if (has_prefix(location, "file:")) {
        folder += strlen("file:");
        if (has_prefix(folder, "//"))
            folder += 2;
    } else if (strstr(location, "://") != NULL) {
        return error_set(error, CAIRN_E_INVALID,
                         "'%.100s' is no location of a store: give a path, or file:PATH",
                         location);
    }
    if (folder[0] == '\0')
        return error_set(error, CAIRN_E_INVALID, "the location of the store is empty");
    *ret_folder = folder;
    return CAIRN_OK;
}

cairn_err
cairn_store_open_on(struct os *os, const char *location, const cairn_options *options,
                    cairn_store **ret_store, cairn_error *error)
{
    if (location == NULL || ret_store == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s is NULL", location ? "ret_store" : "location");
    const cairn_options filled = fill_options(options);
    const char *folder = NULL;
    cairn_err err = folder_of(location, &folder, error);
    cairn_store *store = NULL;
    if (err == CAIRN_OK)
        err = cairn_embedded_open(os, folder, &filled, &store, error);
    if (err != CAIRN_OK)
        return err;
    store->read_only = filled.read_only;
    store->no_background = filled.no_background;
    store->event_size_max = filled.event_size_max;
    store->append_events_max = filled.append_events_max;
    store->append_bytes_max = (filled.segment_size_bytes < 64 * MIB ? filled.segment_size_bytes : 64 * MIB) - SEGMENT_HEADS;
    store->snapshots = snapshots_new(filled.snapshot_cache_bytes);
    store->groups = groups_new(store);
    if (store->snapshots == NULL || store->groups == NULL) {
        cairn_close(store);
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    *ret_store = store;
    return CAIRN_OK;
}

cairn_err
cairn_open(const char *location, const cairn_options *options, cairn_store **ret_store,
           cairn_error *error)
{
    return cairn_store_open_on(os_real(), location, options, ret_store, error);
}

void
cairn_close(cairn_store *store)
{
    if (store == NULL)
        return;
    groups_free(store->groups); /* writes last checkpoints, so before the log closes */
    snapshots_free(store->snapshots);
    store->ops->close(store);
}

void
cairn_free(void *memory)
{
    free(memory);
}

/* ---- appending ---------------------------------------------------------------------------- */

cairn_err
cairn_append_all(cairn_store *store, const cairn_append_request *request, cairn_at *ret_at,
                 cairn_error *error)
{
    if (store == NULL)
        return no_store(error);
    if (request == NULL || ret_at == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s is NULL", request ? "ret_at" : "request");
    struct arena arena = {0};
    cairn_append_request prepared;
    cairn_err err = request_prepare(request, &arena, &prepared, error);
    if (err == CAIRN_OK)
        err = store->ops->append(store, &prepared, ret_at, error);
    arena_free(&arena);
    return err;
}

cairn_err
cairn_append(cairn_store *store, cairn_scope scope, cairn_str stream, int64_t expected,
             const cairn_event *events, size_t event_count, cairn_at *ret_at, cairn_error *error)
{
    const cairn_write write = {stream, expected, events, event_count};
    const cairn_append_request request = {.scope = scope, .writes = &write, .write_count = 1};
    return cairn_append_all(store, &request, ret_at, error);
}

cairn_err
cairn_append_async(cairn_store *store, const cairn_append_request *request, cairn_append_done done,
                   void *context, cairn_error *error)
{
    if (store == NULL)
        return no_store(error);
    if (request == NULL || done == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s is NULL", request ? "done" : "request");
    struct arena arena = {0};
    cairn_append_request prepared;
    cairn_err err = request_prepare(request, &arena, &prepared, error);
    if (err == CAIRN_OK)
        err = store->ops->append_async(store, &prepared, done, context, error);
    arena_free(&arena);
    return err;
}

bool
store_has_room(cairn_store *store)
{
    return store->ops->has_room == NULL || store->ops->has_room(store);
}

/* ---- reading ------------------------------------------------------------------------------ */

static cairn_err
check_read(const cairn_store *store, const cairn_read_options *options, cairn_reader **ret_reader,
           cairn_error *error)
{
    if (store == NULL)
        return no_store(error);
    if (options == NULL || ret_reader == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s is NULL", options ? "ret_reader" : "options");
    if (options->from < 0)
        return error_set(error, CAIRN_E_INVALID, "from is %lld; it must not be negative",
                         (long long)options->from);
    if (options->direction != CAIRN_FORWARD && options->direction != CAIRN_BACKWARD)
        return error_set(error, CAIRN_E_INVALID, "direction is %d; it must be forward or backward",
                         (int)options->direction);
    if (options->follow && options->direction == CAIRN_BACKWARD)
        return error_set(error, CAIRN_E_INVALID, "only a forward read can follow the log");
    return CAIRN_OK;
}

static cairn_reader *
finish_reader(cairn_store *store, const cairn_read_options *options, cairn_reader *reader)
{
    reader->store = store;
    reader->end = options->end;
    reader->follow = options->follow;
    return reader;
}

cairn_err
cairn_read_stream(cairn_store *store, cairn_str stream, const cairn_read_options *options,
                  cairn_reader **ret_reader, cairn_error *error)
{
    cairn_err err = check_read(store, options, ret_reader, error);
    if (err == CAIRN_OK)
        err = request_check_name(stream, "stream name", error);
    if (err == CAIRN_OK && (options->category.size > 0 || options->query.item_count > 0))
        err = error_set(error, CAIRN_E_INVALID,
                        "category and query are for reading all events, not one stream");
    cairn_reader *reader = NULL;
    if (err == CAIRN_OK)
        err = store->ops->read_stream(store, stream, options, &reader, error);
    if (err == CAIRN_OK)
        *ret_reader = finish_reader(store, options, reader);
    return err;
}

cairn_err
cairn_read_all(cairn_store *store, const cairn_read_options *options, cairn_reader **ret_reader,
               cairn_error *error)
{
    cairn_err err = check_read(store, options, ret_reader, error);
    if (err == CAIRN_OK && options->category.size > 0)
        err = request_check_name(options->category, "category", error);
    if (err == CAIRN_OK)
        err = request_check_query(&options->query, "read", error);
    cairn_reader *reader = NULL;
    if (err == CAIRN_OK)
        err = store->ops->read_all(store, options, &reader, error);
    if (err == CAIRN_OK)
        *ret_reader = finish_reader(store, options, reader);
    return err;
}

cairn_err
cairn_reader_next(cairn_reader *reader, cairn_recorded *ret_event, cairn_error *error)
{
    if (reader == NULL || ret_event == NULL)
        return error_set(error, CAIRN_E_INVALID, "%s is NULL", reader ? "ret_event" : "reader");
    return reader->store->ops->reader_next(reader, ret_event, error);
}

int64_t
cairn_reader_from(const cairn_reader *reader)
{
    return reader ? reader->store->ops->reader_from(reader) : 0;
}

cairn_err
cairn_reader_wait(cairn_reader *reader, uint32_t timeout_ms)
{
    if (reader == NULL || !reader->follow)
        return CAIRN_E_INVALID;
    return reader->store->ops->reader_wait(reader, timeout_ms);
}

void
cairn_reader_free(cairn_reader *reader)
{
    if (reader != NULL)
        reader->store->ops->reader_free(reader);
}

uint64_t
cairn_end(cairn_store *store)
{
    return store ? store->ops->end(store) : 0;
}

void
cairn_on_commit(cairn_store *store, cairn_commit_notify notify, void *context)
{
    if (store != NULL)
        store->ops->on_commit(store, notify, context);
}

cairn_err
cairn_position_at(cairn_store *store, int64_t time_us, uint64_t *ret_position, cairn_error *error)
{
    if (store == NULL)
        return no_store(error);
    if (ret_position == NULL)
        return error_set(error, CAIRN_E_INVALID, "ret_position is NULL");
    return store->ops->position_at(store, time_us, ret_position, error);
}

/* ---- streams ------------------------------------------------------------------------------ */

cairn_err
cairn_stream_info_get(cairn_store *store, cairn_scope scope, cairn_str stream,
                      cairn_stream_info *ret_info, cairn_error *error)
{
    if (store == NULL)
        return no_store(error);
    if (ret_info == NULL)
        return error_set(error, CAIRN_E_INVALID, "ret_info is NULL");
    cairn_err err = request_check_name(stream, "stream name", error);
    return err == CAIRN_OK ? store->ops->stream_info(store, scope, stream, ret_info, error) : err;
}

cairn_err
cairn_streams(cairn_store *store, cairn_scope scope, cairn_str prefix, cairn_str after,
              cairn_stream_visit visit, void *context, cairn_error *error)
{
    if (store == NULL)
        return no_store(error);
    if (visit == NULL)
        return error_set(error, CAIRN_E_INVALID, "visit is NULL");
    cairn_err err = CAIRN_OK;
    if (prefix.size > 0)
        err = request_check_name(prefix, "prefix", error);
    if (err == CAIRN_OK && after.size > 0)
        err = request_check_name(after, "after", error);
    return err == CAIRN_OK
               ? store->ops->streams(store, scope, prefix, after, visit, context, error)
               : err;
}

cairn_err
cairn_retention_set(cairn_store *store, cairn_scope scope, cairn_str stream,
                    const cairn_retention *retention, cairn_error *error)
{
    if (store == NULL)
        return no_store(error);
    if (retention == NULL)
        return error_set(error, CAIRN_E_INVALID, "retention is NULL");
    cairn_err err = request_check_own(stream, error);
    return err == CAIRN_OK ? store->ops->retention_set(store, scope, stream, retention, error)
                           : err;
}

cairn_err
cairn_delete(cairn_store *store, cairn_scope scope, cairn_str stream, int64_t expected,
             bool tombstone, cairn_error *error)
{
    if (store == NULL)
        return no_store(error);
    if (expected < CAIRN_EXISTS || expected == CAIRN_NONE)
        return error_set(error, CAIRN_E_INVALID,
                         "expected is %lld; it must be a revision or CAIRN_ANY, CAIRN_EXISTS",
                         (long long)expected);
    cairn_err err = request_check_own(stream, error);
    return err == CAIRN_OK
               ? snapshots_delete_stream(store, scope, stream, expected, tombstone, error)
               : err;
}

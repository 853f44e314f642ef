/* store/store.h: the contract between the store's public calls and a backend.
 *
 * store.c checks arguments and dispatches; a backend implements `struct store_ops`. Snapshots and
 * consumer groups are written once, above the contract, and know no backend: all they keep is
 * events of system streams. What each operation promises is said in cairn/store.h and admin.h;
 * arguments have been checked when a backend sees them, and `ret_` pointers are never NULL except
 * where the public call lets them be.
 *
 * Threads: every operation from any thread. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <cairn/cairn.h>
#include <os/os.h>

struct groups;
struct snapshots;

struct store_ops {
    void (*close)(cairn_store *store);

    cairn_err (*append)(cairn_store *store, const cairn_append_request *request, cairn_at *ret_at,
                        cairn_error *error);
    cairn_err (*append_async)(cairn_store *store, const cairn_append_request *request,
                              cairn_append_done done, void *context, cairn_error *error);

    cairn_err (*read_stream)(cairn_store *store, cairn_str stream,
                             const cairn_read_options *options, cairn_reader **ret_reader,
                             cairn_error *error);
    cairn_err (*read_all)(cairn_store *store, const cairn_read_options *options,
                          cairn_reader **ret_reader, cairn_error *error);
    cairn_err (*reader_next)(cairn_reader *reader, cairn_recorded *ret_event, cairn_error *error);
    int64_t (*reader_from)(const cairn_reader *reader);
    cairn_err (*reader_wait)(cairn_reader *reader, uint32_t timeout_ms);
    void (*reader_free)(cairn_reader *reader);

    uint64_t (*end)(cairn_store *store);
    void (*on_commit)(cairn_store *store, cairn_commit_notify notify, void *context);
    cairn_err (*position_at)(cairn_store *store, int64_t time_us, uint64_t *ret_position,
                             cairn_error *error);

    cairn_err (*stream_info)(cairn_store *store, cairn_scope scope, cairn_str stream,
                             cairn_stream_info *ret_info, cairn_error *error);
    cairn_err (*streams)(cairn_store *store, cairn_scope scope, cairn_str prefix, cairn_str after,
                         cairn_stream_visit visit, void *context, cairn_error *error);
    cairn_err (*retention_set)(cairn_store *store, cairn_scope scope, cairn_str stream,
                               const cairn_retention *retention, cairn_error *error);
    cairn_err (*delete)(cairn_store *store, cairn_scope scope, cairn_str stream, int64_t expected,
                        bool tombstone, cairn_error *error);

    cairn_err (*topic_put)(cairn_store *store, cairn_scope scope, const cairn_topic *topic, int64_t expected,
                           cairn_topic_ref **ret, cairn_error *error);
    cairn_err (*topic_delete)(cairn_store *store, cairn_scope scope, cairn_str name, int64_t expected,
                              cairn_error *error);
    cairn_err (*topic_get)(cairn_store *store, cairn_scope scope, cairn_str name, cairn_topic_ref **ret,
                           cairn_error *error);
    cairn_err (*topic_by_id)(cairn_store *store, cairn_scope scope, const cairn_uuid *id, cairn_topic_ref **ret,
                             cairn_error *error);
    cairn_err (*topics)(cairn_store *store, cairn_scope scope, cairn_topic_visit visit, void *context,
                        cairn_error *error);
    uint64_t (*topics_changes)(cairn_store *store);
    cairn_err (*partition_get)(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition,
                               cairn_partition_info *ret, cairn_error *error);
    cairn_err (*read_partition)(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id, uint32_t partition,
                                uint64_t from, cairn_partition_reader **ret, cairn_error *error);
    cairn_err (*partition_seek)(cairn_partition_reader *reader, const cairn_uuid *topic_id, uint32_t partition,
                                uint64_t from, cairn_error *error);
    cairn_err (*partition_next)(cairn_partition_reader *reader, cairn_partition_item *ret, cairn_error *error);
    cairn_err (*partition_find)(cairn_partition_reader *reader, size_t least, cairn_partition_item *ret, int *ret_file,
                                uint64_t *ret_at, cairn_error *error); /* NULL: everything is read */
    void (*partition_reader_free)(cairn_partition_reader *reader);
    cairn_err (*producer_batches)(cairn_store *store, cairn_scope scope, const cairn_uuid *topic_id,
                                  uint32_t partition, int64_t producer_id, cairn_producer_batch *batches, size_t max,
                                  size_t *ret_count, cairn_error *error);

    bool (*has_room)(cairn_store *store); /* NULL: always */
    void (*stats)(cairn_store *store, cairn_stats *ret_stats);
    uint64_t (*removed)(cairn_store *store);
    cairn_err (*verify)(cairn_store *store, cairn_fault_visit visit, cairn_progress progress,
                        void *context, cairn_verify_report *ret_report, cairn_error *error);
    cairn_err (*prove)(cairn_store *store, uint64_t position, char **ret_proof,
                       cairn_error *error);
    cairn_err (*backup)(cairn_store *store, const char *folder, cairn_progress progress,
                        void *context, uint64_t *ret_end, cairn_error *error);
    cairn_err (*branch)(cairn_store *store, const char *folder, uint64_t end, cairn_error *error);
    cairn_err (*scavenge)(cairn_store *store, cairn_progress progress, void *context,
                          cairn_scavenge_report *ret_report, cairn_error *error);
    cairn_err (*reindex)(cairn_store *store, cairn_progress progress, void *context,
                         cairn_error *error);
    cairn_err (*maintain)(cairn_store *store, cairn_error *error);
};

/* What every backend's store begins with. The backend fills in `ops` and `os`; store.c the rest. */
struct cairn_store {
    const struct store_ops *ops;
    struct os *os; /* clocks */
    bool read_only;
    bool no_background;
    uint32_t event_size_max;
    uint32_t append_events_max;
    uint64_t append_bytes_max; /* of a `system` append: its records with what the log adds to each */
    struct snapshots *snapshots;
    struct groups *groups;
};

/* What every backend's reader of partitions begins with. */
struct cairn_partition_reader {
    cairn_store *store;
};

/* What every backend's reader begins with. */
struct cairn_reader {
    cairn_store *store;
    uint64_t end; /* the options' bound; 0: none */
    bool follow;
};

/* cairn_open() on another machine: the tests' faulty, simulated or slow one. */
CAIRN_MUST_CHECK cairn_err cairn_store_open_on(struct os *os, const char *location,
                                               const cairn_options *options,
                                               cairn_store **ret_store, cairn_error *error);

/* The embedded backend: a log in a folder. The options have been checked and have no zeros. */
CAIRN_MUST_CHECK cairn_err cairn_embedded_open(struct os *os, const char *folder,
                                               const cairn_options *options,
                                               cairn_store **ret_store, cairn_error *error);

/* Have asynchronous appends room (cairn_log_has_room())? Who can wait asks first, so that BUSY is for those who cannot. */
bool store_has_room(cairn_store *store);

/* cairn_partition_next(), but a batch of at least `least` bytes that is stored as it came is not read: of item.batch only Kafka's
 * head (BATCH_HEAD_SIZE bytes) is there, and the whole lies in *ret_file from *ret_at on, for a socket to be given. The
 * file is the caller's (os_descriptor_close()). *ret_file -1: the item is whole. What vouches for bytes that nobody has read
 * is the checksum that they carry themselves. */
CAIRN_MUST_CHECK cairn_err store_partition_find(cairn_partition_reader *reader, size_t least, cairn_partition_item *ret,
                                                int *ret_file, uint64_t *ret_at, cairn_error *error);

/* Does os_reads_wait() reach what this store reads? */
static inline bool
store_reads_files(const cairn_store *store)
{
    return store->ops->partition_find != NULL;
}

/* How many events scavenging has ever removed: when that has gone up, batches are not as large any more as they were. */
static inline uint64_t
store_removed(cairn_store *store)
{
    return store->ops->removed(store);
}

/* Append without the check for '$': what snapshots and groups write with. */
static inline cairn_err
store_append_system(cairn_store *store, cairn_scope scope, const cairn_write *writes,
                    size_t write_count, cairn_at *ret_at, cairn_error *error)
{
    const cairn_append_request request = {
        .scope = scope, .writes = writes, .write_count = write_count, .system = true};
    return store->ops->append(store, &request, ret_at, error);
}

#endif

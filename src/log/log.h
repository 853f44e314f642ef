/* log/log.h: the log engine: one folder, one append-only sequence of events.
 *
 * The calls mirror include/cairn/store.h and admin.h, which say what they promise; this header adds
 * only what the rooms above must know besides. The log never parses `data` or `meta`. It enforces
 * limits and revisions, but not who may write to streams beginning with '$': that is the store's.
 *
 * Threads: every call from any thread. Sequencing (conditions, revisions, encoding) happens under one
 * short lock in the caller's thread; the write and the sync happen outside it, by whichever caller
 * finds no commit under way (group commit), while the next batch fills. Reads take no lock. */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include <cairn/admin.h>
#include <cairn/topic.h>
#include <os/os.h>

struct log;
struct log_reader;

/* Options: the log's part of cairn_options, defaults already filled in (cairn_log_defaults). */
struct log_options {
    bool read_only, create, no_background;
    uint64_t segment_size_bytes;
    uint32_t event_size_max, append_size_max, append_events_max;
    uint32_t index_memory_events;
    uint32_t head_cache_entries;
    uint32_t appends_waiting_max; /* asynchronous appends not yet durable; then CAIRN_E_BUSY */
    uint64_t scavenge_interval_us; /* scavenge by itself this often; 0: never */
};
void cairn_log_defaults(struct log_options *options);

#define LOG_NAME_MAX 512 /* bytes of a stream name, type, tag, content type, correlation */
#define LOG_TAGS_MAX 64

CAIRN_MUST_CHECK cairn_err cairn_log_open(struct os *os, const char *dir,
                                          const struct log_options *options, struct log **ret,
                                          cairn_error *error);
void cairn_log_close(struct log *log);

CAIRN_MUST_CHECK cairn_err cairn_log_append(struct log *log, const cairn_append_request *request,
                                            cairn_at *ret_at, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_append_async(struct log *log,
                                                  const cairn_append_request *request,
                                                  cairn_append_done done, void *context,
                                                  cairn_error *error);

/* Have asynchronous appends room, so that the next ones will not be refused as busy? They have while half of what may wait does not
 * (bytes, appends, entries for the index); the other half is for those who ask at the same time, or do not ask. True also when they
 * will be refused for another reason: whoever appends learns it. Does not wait for the disk. */
bool cairn_log_has_room(struct log *log);

CAIRN_MUST_CHECK cairn_err cairn_log_read_stream(struct log *log, cairn_str stream,
                                                 const cairn_read_options *options,
                                                 struct log_reader **ret, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_read_all(struct log *log, const cairn_read_options *options,
                                              struct log_reader **ret, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_reader_next(struct log_reader *reader, cairn_recorded *ret,
                                                 cairn_error *error);
int64_t cairn_log_reader_from(const struct log_reader *reader);
void cairn_log_reader_free(struct log_reader *reader);

uint64_t cairn_log_end(struct log *log);
/* Wait until the end is greater than `end`, at most timeout_ms. */
CAIRN_MUST_CHECK cairn_err cairn_log_wait(struct log *log, uint64_t end, uint32_t timeout_ms);
void cairn_log_on_commit(struct log *log, cairn_commit_notify notify, void *context);
struct os *cairn_log_os(struct log *log);

CAIRN_MUST_CHECK cairn_err cairn_log_position_at(struct log *log, int64_t time_us,
                                                 uint64_t *ret_position, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_stream_info(struct log *log, cairn_scope scope,
                                                 cairn_str stream, cairn_stream_info *ret,
                                                 cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_streams(struct log *log, cairn_scope scope, cairn_str prefix,
                                             cairn_str after, cairn_stream_visit visit,
                                             void *context, cairn_error *error);

/* Retention and deletion are events of the stream "$retention-<stream>", which only this call
 * writes; the log applies them itself. */
CAIRN_MUST_CHECK cairn_err cairn_log_retention_set(struct log *log, cairn_scope scope,
                                                   cairn_str stream,
                                                   const cairn_retention *retention,
                                                   cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_delete(struct log *log, cairn_scope scope, cairn_str stream,
                                            int64_t expected, bool tombstone, cairn_error *error);

/* Topics are events of "$topic-<name>", which only these calls write; the log applies them itself. */
CAIRN_MUST_CHECK cairn_err cairn_log_topic_put(struct log *log, cairn_scope scope, const cairn_topic *topic,
                                               int64_t expected, cairn_topic_ref **ret, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_topic_delete(struct log *log, cairn_scope scope, cairn_str name,
                                                  int64_t expected, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_topic_get(struct log *log, cairn_scope scope, cairn_str name,
                                               cairn_topic_ref **ret, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_topic_by_id(struct log *log, cairn_scope scope, const cairn_uuid *id,
                                                 cairn_topic_ref **ret, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_topics(struct log *log, cairn_scope scope, cairn_topic_visit visit,
                                            void *context, cairn_error *error);
uint64_t cairn_log_topics_changes(struct log *log);
CAIRN_MUST_CHECK cairn_err cairn_log_partition_get(struct log *log, cairn_scope scope,
                                                   const cairn_uuid *topic_id, uint32_t partition,
                                                   cairn_partition_info *ret, cairn_error *error);
struct partition_reader;
CAIRN_MUST_CHECK cairn_err cairn_log_read_partition(struct log *log, cairn_scope scope,
                                                    const cairn_uuid *topic_id, uint32_t partition,
                                                    uint64_t from, struct partition_reader **ret,
                                                    cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_partition_seek(struct partition_reader *reader,
                                                    const cairn_uuid *topic_id, uint32_t partition,
                                                    uint64_t from, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_partition_next(struct partition_reader *reader,
                                                    cairn_partition_item *ret, cairn_error *error);
/* See store_partition_find(). */
CAIRN_MUST_CHECK cairn_err cairn_log_partition_find(struct partition_reader *reader, size_t least,
                                                    cairn_partition_item *ret, int *ret_file,
                                                    uint64_t *ret_at, cairn_error *error);
void cairn_log_partition_reader_free(struct partition_reader *reader);
CAIRN_MUST_CHECK cairn_err cairn_log_producer_batches(struct log *log, cairn_scope scope,
                                                      const cairn_uuid *topic_id, uint32_t partition,
                                                      int64_t producer_id,
                                                      cairn_producer_batch *batches, size_t max,
                                                      size_t *ret_count, cairn_error *error);

void cairn_log_stats(struct log *log, cairn_stats *ret);
uint64_t cairn_log_removed(struct log *log); /* events that scavenging has removed, ever */
CAIRN_MUST_CHECK cairn_err cairn_log_verify(struct log *log, cairn_fault_visit visit,
                                            cairn_progress progress, void *context,
                                            cairn_verify_report *ret, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_prove(struct log *log, uint64_t position, char **ret_proof,
                                           cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_backup(struct log *log, const char *folder,
                                            cairn_progress progress, void *context,
                                            uint64_t *ret_end, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_restore(struct os *os, const char *source, const char *folder,
                                             uint64_t end, cairn_progress progress, void *context,
                                             cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_branch(struct log *log, const char *folder, uint64_t end,
                                            cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_scavenge(struct log *log, cairn_progress progress,
                                              void *context, cairn_scavenge_report *ret,
                                              cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_reindex(struct log *log, cairn_progress progress,
                                             void *context, cairn_error *error);
CAIRN_MUST_CHECK cairn_err cairn_log_maintain(struct log *log, cairn_error *error);

#endif

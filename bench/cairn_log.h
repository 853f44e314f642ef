/* cairn_log.h: what the large log's part and its child processes share. */
#ifndef BENCH_CAIRN_LOG_H
#define BENCH_CAIRN_LOG_H

#include "cairn_lib.h"

#include <pthread.h>

#define BULK_EVENTS 1000  /* of one append, each to a stream of its own */
#define PER_STREAM 20     /* events of a stream, and of a tag */
#define PROBES 20         /* streams that are read whole … */
#define PROBE_EVENTS 1000 /* … of so many events */

/* Append events number `from` to `to` of the log that has so many streams. The first `spread` events
 * contain the PROBES streams "spread-0" …, evenly (0: they do not). */
bool log_build(cairn_store *store, uint64_t from, uint64_t to, uint64_t streams, uint64_t spread);

/* How many events; -1 after a failure. */
int64_t log_read_stream(cairn_store *store, const char *stream);
int64_t log_read_all(cairn_store *store, uint64_t most);

#endif

/* cli/import.h: where importers put their events: batches, several under way, each event once.
 *
 *   importer ─put─► batch ─full─► queue ─► workers (a connection each) ─► append
 *
 * Each event has a place: the n-th of its stream in the source. Appends expect exact revisions and carry
 * deterministic ids, so an append that is repeated writes nothing. What is there already is found
 * out in one of two ways:
 *
 *   by place  (most sources) the n-th event of a stream belongs at revision n. A stream's head is looked up on
 *             first sight once anything turned out to be there, or when an append meets a conflict; events up to
 *             the head are skipped, the one at the head must bear the same id, and the rest is appended.
 *   by tail   (git) the importer itself leaves out what is there; a stream's new events go after its
 *             head, and only an event with the head's own id is skipped.
 *
 * Order: within a stream always. Across streams only when `ordered`. A batch that touches a stream waits
 * for the earlier batches that touched it.
 *
 * Memory: `in_flight` + 2 batches of up to 4 MiB, and about 100 bytes and the name of each stream seen.
 * Threads: put, end by one thread; workers are the import's own. */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "command.h"
#include "target.h"

struct import;

struct import_options {
    struct target *target;  /* borrowed; used by the importer's thread, cloned for workers */
    const char *kind;       /* "xes": part of the ids */
    unsigned in_flight;     /* 0: 4 */
    size_t batch_events;    /* 0: 1000 */
    bool ordered;           /* positions in the order of the source */
    bool by_tail;
    bool careful;           /* look heads up from the beginning: something is known to be there */
};

CAIRN_MUST_CHECK cairn_err import_begin(const struct import_options *options, struct import **ret,
                                        cairn_error *error);

struct import_event {
    cairn_str stream;
    cairn_event event;     /* id of zeros: made from kind, stream, place, type and data */
    bool has_revision;     /* ndjson: where it was in the store that it comes from */
    uint64_t revision;
};

/* Take an event; everything is copied. Blocks while the queue is full. Errors of earlier appends come out
 * here. CLI_E_INTERRUPTED after Ctrl-C. */
CAIRN_MUST_CHECK cairn_err import_put(struct import *import, const struct import_event *event,
                                      cairn_error *error);

/* Count events that the importer itself left out because they are there. */
void import_already(struct import *import, uint64_t count);

/* Show how far the source has been read. */
void import_progress(struct import *import, uint64_t done, uint64_t total, const char *unit);

struct import_report {
    uint64_t imported, already, streams;
    double seconds;
};

/* Finish what is under way, check what was skipped, free. `err`, `error`: how reading the source ended.
 * The error that comes out is the first of them all. */
CAIRN_MUST_CHECK cairn_err import_end(struct import *import, cairn_err err, struct import_report *ret,
                                      cairn_error *error);

/* ---- for the importers' commands -------------------------------------------------------------------- */

/* Open the target (where *ret_target is NULL) and begin, with --in-flight and --batch. 0, or an exit code after
 * saying what is wrong. */
int import_open(const struct args *args, struct import_options *options, struct target **ret_target,
                struct import **ret);
/* End, say what has been done, close the target. `source` names the source in errors. */
int import_close(const struct args *args, struct target *target, struct import *import, cairn_err err,
                 cairn_error *error, const char *source);

/* "-" is standard input. 0, or an exit code after saying what is wrong. size 0: unknown. */
int import_file(const struct args *args, const char *path, FILE **ret, uint64_t *ret_size);

/* A stream name out of a category and any text: valid UTF-8, at most 512 bytes; what does not fit is cut
 * and marked with a hash, so that two long names stay two. */
cairn_str import_name(struct buf *to, cairn_str category, cairn_str text);
/* The same for a tag: "key:text". */
cairn_str import_tag(struct buf *to, cairn_str key, cairn_str text);
/* The part of a path that names it: "data/receipt.csv.gz" → "receipt", '-' made '_'. */
void import_base_name(const char *path, char to[64]);

#endif

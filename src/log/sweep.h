/* log/sweep.h: what scavenging remembers of a segment, so that it can tell without reading it whether reading it is worth it.
 *
 * A look counts the bytes that some rule may take later: of each partition's batches, and of events in streams with limits. It
 * is made by whoever reads or writes a segment for scavenging, lives in memory, and is the segment's until the next one. All
 * under admin_lock. */
#ifndef LOG_SWEEP_H
#define LOG_SWEEP_H

#include "thin.h"

#define SWEEP_PERCENT 25 /* of a segment's bytes: what must be won before nobody's asking it is written again */

struct look;
/* now_us, end: what age and newer events are measured by. `before`: the segment's last look, or NULL. NULL: out of memory, which is
 * no harm. */
struct look *look_new(struct log *log, int64_t now_us, uint64_t end, const struct look *before);
void look_free(struct look *look);
/* What is to be left: an event with limits, of so many bytes; of a batch, what `count` says. NULL is fine. */
void look_note_event(struct look *look, uint64_t bytes);
void look_note_batch(struct look *look, const struct record *stored, const struct thin_count *count);
/* The segment has been read to its end. `bytes` are there that could go; `worth`: as many have gone as were worth the work. */
void look_end(struct look *look, struct log *log, uint64_t bytes, bool worth);
/* Of scavenging that nobody has asked for: CAIRN_E_CLOSED, CAIRN_E_BUSY: it is in the way. */
CAIRN_MUST_CHECK cairn_err sweep_may_go_on(struct log *log, cairn_error *error);
/* Is it time to look at the segment again? */
bool look_is_due(struct log *log, const struct segment *segment, int64_t now_us);

#endif

/* log/thin.h: a batch without the records that scavenging takes. One thread; used by scavenge.c alone. */
#ifndef LOG_THIN_H
#define LOG_THIN_H

#include "log_int.h"

struct thin;
/* now_us, end: what age and newer events are measured by; unasked: see sweep_may_go_on(). NULL: out of memory. */
struct thin *thin_new(struct log *log, int64_t now_us, uint64_t end, bool unasked);
void thin_free(struct thin *thin);
/* The segment that the batches from now on are of. `to`: what takes its place, as far as it is written; NULL: it is only counted
 * what would go. */
void thin_begin(struct thin *thin, const struct segment *from, struct segment *to);
struct thin_count {
    uint32_t gone;    /* records that are there still and are to go */
    uint32_t left;    /* that stay */
    uint32_t waiting; /* of these: until they are old enough */
    uint32_t nulls;   /* of those that go: without value, and the newest of their key, so that readers see them until then */
    uint64_t bytes;   /* about how many it gives back */
};
/* Which records of a stored batch are to go: hidden by their topic or their stream's retention, or, in a compacting topic, of a key
 * that has a newer one, or null and old. The record is borrowed until thin_encode(). */
CAIRN_MUST_CHECK cairn_err thin_look(struct thin *thin, const struct record *stored, struct thin_count *ret, cairn_error *error);
/* The record that takes its place, but for what batch_record_place() fills in: positions, first offset, revisions and leaf as they
 * were. *ret is borrowed until the next call; it may turn out no smaller, as it names streams. */
CAIRN_MUST_CHECK cairn_err thin_encode(struct thin *thin, cairn_str *ret, cairn_error *error);

#endif

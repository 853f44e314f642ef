/* log/thin.h: a batch without the records that scavenging takes. One thread; used by scavenge.c alone. */
#ifndef LOG_THIN_H
#define LOG_THIN_H

#include "log_int.h"

struct thin;
/* now_us, end: what age and newer events are measured by. NULL: out of memory. */
struct thin *thin_new(struct log *log, int64_t now_us, uint64_t end);
void thin_free(struct thin *thin);
/* Which records of a stored batch are to go: hidden by their topic or their stream's retention, or, in a compacting topic, of a key
 * that has a newer one. *ret_gone: how many that are there still; *ret_bytes: about how many bytes that gives back. The record is
 * borrowed until thin_encode(). */
CAIRN_MUST_CHECK cairn_err thin_look(struct thin *thin, const struct record *stored, uint32_t *ret_gone,
                                     uint64_t *ret_bytes, cairn_error *error);
/* The record that takes its place, but for what batch_record_place() fills in: positions, first offset, revisions and leaf as they
 * were. *ret is borrowed until the next call; it may turn out no smaller. */
CAIRN_MUST_CHECK cairn_err thin_encode(struct thin *thin, cairn_str *ret, cairn_error *error);

#endif

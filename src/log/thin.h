/* log/thin.h: a batch without the records that scavenging takes. One thread; used by scavenge.c alone. */
#ifndef LOG_THIN_H
#define LOG_THIN_H

#include "log_int.h"

struct thin;
struct thin *thin_new(void);
void thin_free(struct thin *thin);

/* What goes, apart from what retention hides. */
struct thin_rules {
    bool all;     /* every record */
    bool compact; /* those whose key has a newer one */
    int64_t now_us;
    uint64_t end; /* what is below counts as newer */
};
/* Which records of a stored batch are to go? *ret_gone: how many that are there still; *ret_bytes: about how many bytes that gives
 * back. The record is borrowed until thin_encode(). */
CAIRN_MUST_CHECK cairn_err thin_look(struct thin *thin, struct log *log, const struct record *stored,
                                     const struct thin_rules *rules, uint32_t *ret_gone, uint64_t *ret_bytes,
                                     cairn_error *error);
/* The record that takes its place, but for what batch_record_place() fills in: positions, first offset, revisions and leaf as they
 * were. *ret is borrowed until the next call; it may turn out no smaller. */
CAIRN_MUST_CHECK cairn_err thin_encode(struct thin *thin, cairn_str *ret, cairn_error *error);

#endif

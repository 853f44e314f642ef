/* log/unfold.h: the events of a batch, one by one.
 *
 * An unfold holds one stored batch at a time, opened: its records decompressed, and where each begins. So neighbours, in either
 * direction, cost no second look at the rest of it. It belongs to one thread at a time. */
#ifndef LOG_UNFOLD_H
#define LOG_UNFOLD_H

#include "log_int.h"

struct unfold;
struct unfold *unfold_new(void);
void unfold_free(struct unfold *unfold);
/* Take a batch that record_decode() has passed; it is borrowed until the next one, or unfold_forget(). NULL, or what is wrong
 * with it: batch_no_memory, or damage. */
const char *unfold_open(struct unfold *unfold, const struct record *stored);
void unfold_forget(struct unfold *unfold);
/* Is a batch open that holds this position? */
bool unfold_has(const struct unfold *unfold, uint64_t position);
/* The event at a position that it has; or, with names only, what the index needs of it (block_only_names()). Borrowed from the batch
 * and from here until the next call. NULL, or what is wrong. */
const char *unfold_at(struct unfold *unfold, uint64_t position, bool only_names, struct record *ret);
/* How many records there are; index in the batch, and bytes, of record number `number`. */
uint32_t unfold_count(const struct unfold *unfold);
const char *unfold_bytes(struct unfold *unfold, uint32_t number, uint32_t *ret_index, cairn_str *ret_bytes);

#endif

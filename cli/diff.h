/* cli/diff.h: how two texts differ, line by line. Pure. */
#ifndef CLI_DIFF_H
#define CLI_DIFF_H

#include <base/bytes.h>

/* A unified diff of two texts, three lines of context, appended to `to`; nothing when they are equal. Where finding the
 * least one would take too long it shows more lines as changed than need be. Fit for a terminal: control characters are
 * made visible. */
void diff_put(struct buf *to, const char *name_a, cairn_str a, const char *name_b, cairn_str b, bool colour);
/* How many lines were added and removed. False: out of memory. */
bool diff_count(cairn_str a, cairn_str b, size_t *ret_added, size_t *ret_removed);

#endif

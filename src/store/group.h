/* store/group.h: the part of consumer groups that the rest of the store calls. The calls for users
 * are in cairn/group.h; how it works is in group_int.h. */
#ifndef STORE_GROUP_H
#define STORE_GROUP_H

#include "store.h"

struct groups;

/* NULL when out of memory. The store is borrowed until groups_free(). */
struct groups *groups_new(cairn_store *store);
/* Write what is not yet in the log, then free. NULL is fine. No call on a group may be under way. */
void groups_free(struct groups *groups);
/* Write the checkpoints that are due: the keeper thread's work, or cairn_maintain()'s where the
 * store has no threads of its own. */
void groups_checkpoint_due(struct groups *groups);
uint64_t groups_memory(struct groups *groups);

#endif

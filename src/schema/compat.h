/* schema/compat.h: may a schema follow another? The levels are Confluent's.
 *
 * BACKWARD: whoever reads by the new schema can read what was written by the old one. FORWARD: the other way round. FULL:
 * both. _TRANSITIVE: against every earlier version, not only the newest.
 *
 * "Can read" = every document valid by the writer's schema is valid by the reader's. That is decided keyword by keyword;
 * where it cannot be shown, it is not compatible, and the fault says which keyword. */
#ifndef SCHEMA_COMPAT_H
#define SCHEMA_COMPAT_H

#include <base/arena.h>
#include <cairn/types.h>

enum compat_level { COMPAT_NONE, COMPAT_BACKWARD, COMPAT_BACKWARD_TRANSITIVE, COMPAT_FORWARD,
                    COMPAT_FORWARD_TRANSITIVE, COMPAT_FULL, COMPAT_FULL_TRANSITIVE };
bool compat_level_parse(cairn_str text, enum compat_level *ret);
const char *compat_level_name(enum compat_level level);

struct compat_fault {
    uint32_t version;  /* index into `earlier`, from 1 */
    cairn_str place;   /* JSON pointer into the newer schema */
    cairn_str message; /* what was and is, and who could not read what */
};

/* `earlier`: oldest first. CAIRN_E_INVALID: not compatible, faults say why (in the arena). */
CAIRN_MUST_CHECK cairn_err compat_check(enum compat_level level, const cairn_str *earlier, size_t count,
                                        cairn_str newer, struct arena *arena, struct compat_fault *ret_faults,
                                        size_t fault_max, size_t *ret_count, cairn_error *error);
#endif

/* schema/faults.h: why one schema cannot follow another, in Confluent's words for the kind of fault and ours for the rest. */
#ifndef SCHEMA_FAULTS_H
#define SCHEMA_FAULTS_H

#include <base/arena.h>
#include <cairn/types.h>

#define SCHEMA_FAULTS_MAX 64 /* kept; more are only counted */

struct schema_fault {
    const char *type; /* "READER_FIELD_MISSING_DEFAULT_VALUE" …; static */
    cairn_str place;  /* a JSON pointer, or "#/Message/3" */
    cairn_str message;
};

/* Zero it but for the arena. */
struct schema_faults {
    struct arena *arena; /* of places and messages */
    struct schema_fault items[SCHEMA_FAULTS_MAX];
    size_t count; /* of all, also of those without room: count > SCHEMA_FAULTS_MAX is possible */
    bool nomem;
};

/* Always false, so that a check may `return schema_fault_add(…)`. */
__attribute__((format(printf, 4, 5))) bool schema_fault_add(struct schema_faults *faults, const char *type, cairn_str place,
                                                            const char *format, ...);
static inline size_t
schema_faults_kept(const struct schema_faults *faults)
{
    return faults->count < SCHEMA_FAULTS_MAX ? faults->count : SCHEMA_FAULTS_MAX;
}

#endif

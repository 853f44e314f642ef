/* schema/upcast.h: earlier versions of an event's data become the newest when they are read. Stored bytes never change.
 *
 * A chain belongs to one event type and has steps "to version n"; reading an event of version v applies the steps
 * v+1 … newest in order. A version without a step is taken as it is. Pure; a built chain never changes and any number of
 * threads may use it (a step with a function of its own says what that one allows). */
#ifndef SCHEMA_UPCAST_H
#define SCHEMA_UPCAST_H

#include <base/arena.h>
#include <base/json.h>

struct upcast_chain;

/* Places are JSON pointers to members of objects (a plain name means /name; an array on the way is entered by index).
 * Where there is nothing at `from`, or something else than an object is in the way, a step leaves the data as it is. */
enum upcast_op {
    UPCAST_RENAME,  /* from, to: places; what stands at `to` is replaced. The object that `to` is in must be there */
    UPCAST_MOVE,    /* the same, making the objects on the way */
    UPCAST_DEFAULT, /* to: place, value: JSON, put there when absent, making the objects on the way */
    UPCAST_REMOVE,  /* from: place */
    UPCAST_CALL     /* call(context, …): a Lua step */
};

#define UPCAST_STEPS_MAX 1000 /* of a chain */
#define UPCAST_DEPTH_MAX 32   /* names in a pointer */

/* data in, data out (both JSON objects; out in the arena). Thread rules are the maker's. */
typedef cairn_err (*upcast_call)(void *context, uint32_t to_version, cairn_str type, cairn_str data,
                                 struct arena *arena, cairn_str *ret_data, cairn_error *error);

struct upcast_step {
    uint32_t to_version;
    enum upcast_op op;
    cairn_str from, to, value;
    upcast_call call;
    void *context;
};

/* Copies the steps; they are sorted by version, stable. CAIRN_E_INVALID names the step that makes no sense. */
CAIRN_MUST_CHECK cairn_err upcast_build(const struct upcast_step *steps, size_t count, struct upcast_chain **ret,
                                        cairn_error *error);
void upcast_free(struct upcast_chain *chain);

/* `data` as `version` wrote it → as `newest` would. Unchanged data is borrowed, changed data lies in the arena. Version 0
 * counts as the newest. CAIRN_E_INVALID: there are steps to take, and the data is no JSON object (or a call made it none).
 * CAIRN_E_LIMIT: the outcome is nested deeper than JSON_DEPTH_MAX. */
CAIRN_MUST_CHECK cairn_err upcast_apply(const struct upcast_chain *chain, cairn_str type, uint32_t version,
                                        uint32_t newest, cairn_str data, struct arena *arena, cairn_str *ret_data,
                                        cairn_error *error);
#endif

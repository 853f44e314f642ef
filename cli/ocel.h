/* cli/ocel.h: object-centric event logs, OCEL 1.0 and 2.0 in JSON (ocel-standard.org).
 *
 * The format names an object's type once, anywhere in the file, so the text is held whole; events are handed on in
 * the file's order. */
#ifndef CLI_OCEL_H
#define CLI_OCEL_H

#include <base/json.h>

struct ocel_object {
    cairn_str id, type;
    struct json value; /* as it stands in the file */
};

struct ocel_event {
    cairn_str id, type, time;
    cairn_str data; /* {"id","attributes":{…},"objects":[{"id","type","qualifier"?}…]} */
    const struct ocel_object *objects; /* those it is about; type is empty where the file has no such object */
    size_t object_count;
};

/* Borrowed until they return. CAIRN_OK goes on; another error ends it and is returned. */
typedef cairn_err (*ocel_event_visit)(void *context, const struct ocel_event *event, cairn_error *error);
typedef cairn_err (*ocel_object_visit)(void *context, const struct ocel_object *object, cairn_error *error);

struct ocel_visits {
    ocel_event_visit event;
    ocel_object_visit object; /* or NULL; called for all objects, before the events */
    void *context;
};

/* CAIRN_E_INVALID: no OCEL, or an event lacks its id, type or time; the detail names it. */
CAIRN_MUST_CHECK cairn_err ocel_read(cairn_str text, const struct ocel_visits *visits, cairn_error *error);

#endif

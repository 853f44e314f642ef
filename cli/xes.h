/* cli/xes.h: process logs in XES (IEEE 1849), read as they stream by: an event is handed on as soon as its
 * element ends. Memory: one event, one trace's own attributes, and the log's where they are asked for.
 *
 * An attribute becomes a member of a JSON object under its key: string, date and id as strings, int and float as
 * numbers (a float always with '.' or 'e'), boolean as true or false, list as an array of objects of one
 * member, container as an object. An attribute that has attributes of its own becomes
 * {"value":…,"attributes":{…}}. Where JSON does not show the type, `types` names it by the
 * path of keys: {"due":"date"}. time:timestamp is always a date and not named. */
#ifndef CLI_XES_H
#define CLI_XES_H

#include <base/bytes.h>

#define XES_EVENT_MAX (1u << 20) /* bytes of one event's attributes, or of one trace's own */
#define XES_TAGS_MAX 16

struct xes_tag {
    cairn_str key, value;
};

/* Borrowed until the handler returns. */
struct xes_event {
    uint64_t trace;      /* number of the trace in the log, from 0 */
    uint64_t index;      /* of the event in its trace, from 0 */
    cairn_str trace_name; /* concept:name of the trace; empty without */
    cairn_str type;      /* concept:name of the event; empty without */
    cairn_str time;      /* time:timestamp as it stands; empty without */
    cairn_str data;      /* JSON object: the event's attributes but for concept:name */
    cairn_str types;     /* JSON object, or empty */
    cairn_str trace_data; /* JSON object: the trace's attributes read since its last event; or empty */
    struct xes_tag tags[XES_TAGS_MAX];
    size_t tag_count;
};

/* False: stop; xes_feed() then answers CAIRN_E_CLOSED. */
typedef bool (*xes_visit)(void *context, const struct xes_event *event);

struct xes_options {
    xes_visit visit;
    void *context;
    const cairn_str *tag_keys; /* attributes of events to hand on as tags; borrowed */
    size_t tag_key_count;      /* up to XES_TAGS_MAX */
    bool keep_log;             /* gather the log's own attributes, for xes_log() */
};

struct xes;
/* NULL: out of memory. */
struct xes *xes_new(const struct xes_options *options);
void xes_free(struct xes *xes);
/* More of the text. CAIRN_E_INVALID and CAIRN_E_LIMIT name the line. */
CAIRN_MUST_CHECK cairn_err xes_feed(struct xes *xes, cairn_str bytes, bool final, cairn_error *error);
/* After the last byte: {"attributes":{…},"extensions":[…],"globals":[…],"classifiers":[…]}. */
cairn_str xes_log(struct xes *xes);

struct xes_counts {
    uint64_t traces, events, traces_empty;
    uint64_t attributes_dropped; /* of traces, after their last event */
};
struct xes_counts xes_count(const struct xes *xes);

#endif
